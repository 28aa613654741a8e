/* SPDX-License-Identifier: MIT
 *
 * frozen.c: a plugin as it was written for ABI 1.0, compiled with the headers of then
 * (frozen-1.0/rein/). Every rein 1.x must load it and train with it; nothing here may be
 * adapted to make that so.
 */
#include "rein/rein.h"

#if REIN_ABI_MAJOR != 1 || REIN_ABI_MINOR != 0
#error "the frozen headers are those of 1.0"
#endif

/* --- dataset: y = 2 a - b + 1 on a grid ----------------------------------------------- */
struct plane {
	int64_t rows;
};
static const struct rein_key plane_keys[] = { REIN_INT(struct plane, rows, "64", 1, 4096, "samples"), REIN_KEYS_END };
static rein_status plane_info(void *self, struct rein_dataset_info *o)
{
	o->dtype = REIN_REAL_T;
	o->rank = 1;
	o->dim[0] = 2;
	o->target = REIN_TARGET_REAL;
	o->target_dim = 1;
	o->count = ((struct plane *)self)->rows;
	return REIN_OK;
}
static rein_status plane_read(const void *self, const struct rein_host *h, int64_t i, void *x, void *y)
{
	float a = (float)(i % 8) / 8, b = (float)(i / 8 % 8) / 8;
	(void)self;
	(void)h;
	if (x) {
		((float *)x)[0] = a;
		((float *)x)[1] = b;
	}
	*(float *)y = 2 * a - b + 1;
	return REIN_OK;
}
static const struct rein_dataset_vt plane_vt = { .struct_size = sizeof plane_vt,
	                                             .info = plane_info,
	                                             .read = plane_read };
REIN_COMPONENT(frozen_plane, REIN_DATASET, struct plane, plane_keys, &plane_vt, .summary = "a plane over a grid");

/* --- layer: y = x W' + b ------------------------------------------------------------------ */
struct dense {
	int64_t units;
};
static const struct rein_key dense_keys[] = { REIN_INT(struct dense, units, NULL, 1, 4096, "outputs"), REIN_KEYS_END };
static rein_val dense_record(const void *self, struct rein_rec *r, const struct rein_call *c)
{
	const struct dense *s = self;
	int64_t in = rein_dim(r, c->in[0], -1), dim[2] = { s->units, in };
	struct rein_init u = { .struct_size = sizeof u, .kind = REIN_INIT_UNIFORM, .a = -0.5, .b = 0.5 };
	rein_val w = rein_param(r, "weight", 2, dim, &u), y = rein_matmul(r, c->in[0], w, REIN_TB);
	return rein_add(r, y, rein_along(r, rein_param(r, "bias", 1, dim, NULL), y, 1));
}
static const struct rein_layer_vt dense_vt = { .struct_size = sizeof dense_vt, .record = dense_record };
REIN_COMPONENT(frozen_dense, REIN_LAYER, struct dense, dense_keys, &dense_vt, .summary = "fully connected");

/* --- loss: mean over outputs of (y - t)^2 ------------------------------------------------- */
struct none {
	int32_t unused;
};
static rein_val square_record(const void *self, struct rein_rec *r, rein_val output, rein_val target)
{
	(void)self;
	return rein_mean_rows(r, rein_square(r, rein_sub(r, output, target)));
}
static const struct rein_loss_vt square_vt = { .struct_size = sizeof square_vt,
	                                           .accept = REIN_ACCEPT_REAL,
	                                           .record = square_record };
REIN_COMPONENT(frozen_square, REIN_LOSS, struct none, NULL, &square_vt, .summary = "squared error");

/* --- optimizer: w - lr (m = mu m + g) ------------------------------------------------------- */
struct heavy {
	double lr, mu;
};
static const struct rein_key heavy_keys[] = {
	REIN_REAL(struct heavy, lr, NULL, 0, 10, REIN_KEY_KNOB, "learning rate"),
	REIN_REAL(struct heavy, mu, "0.5", 0, 1, REIN_KEY_UNDER_MAX, "momentum"),
	REIN_KEYS_END,
};
static rein_val heavy_update(const void *self, struct rein_rec *r, const struct rein_step *t,
                             const struct rein_tensor *p)
{
	rein_var m = rein_state_like(r, "m", p->w);
	rein_val new = rein_add(r, rein_scale(r, rein_read(r, m), ((const struct heavy *)self)->mu), p->g);
	rein_assign(r, m, new, REIN_NONE);
	return rein_sub(r, p->w, rein_mul(r, new, t->lr));
}
static double heavy_lr(const void *self) { return ((const struct heavy *)self)->lr; }
static const struct rein_optimizer_vt heavy_vt = { .struct_size = sizeof heavy_vt,
	                                               .update = heavy_update,
	                                               .lr = heavy_lr };
REIN_COMPONENT(frozen_heavy, REIN_OPTIMIZER, struct heavy, heavy_keys, &heavy_vt, .summary = "momentum");

/* --- schedule: 1 / (1 + rate epoch) ------------------------------------------------------------ */
struct decay {
	double rate;
};
static const struct rein_key decay_keys[] = { REIN_REAL(struct decay, rate, "0.001", 0, 1, 0, "per epoch"),
	                                          REIN_KEYS_END };
static double decay_value(const void *self, const struct rein_time *t)
{
	return 1 / (1 + ((const struct decay *)self)->rate * (double)t->epoch);
}
static const struct rein_schedule_vt decay_vt = { .struct_size = sizeof decay_vt, .value = decay_value };
REIN_COMPONENT(frozen_decay, REIN_SCHEDULE, struct decay, decay_keys, &decay_vt, .summary = "slows down");

/* --- regularizer: lambda sum w^2, with a stored block and an elementwise kernel -------------------- */
struct ridge {
	double lambda;
	int32_t created;
};
struct ridge_mem {
	int64_t epochs;
};
static const struct rein_key ridge_keys[] = {
	REIN_REAL(struct ridge, lambda, "0", 0, 1e3, REIN_KEY_KNOB, "strength"),
	REIN_KEYS_END,
};
static const struct rein_key ridge_mem_keys[] = {
	REIN_INT(struct ridge_mem, epochs, "0", 0, 1 << 30, "epochs seen"),
	REIN_KEYS_END,
};
static rein_status ridge_create(void *self, const struct rein_host *host)
{
	void *p = host->alloc(host, 100);
	if (!p)
		return REIN_ERROR;
	host->free(host, p);
	((struct ridge *)self)->created = 1;
	return REIN_OK;
}
static void ridge_destroy(void *self, const struct rein_host *host)
{
	(void)host;
	((struct ridge *)self)->created = 0;
}
static rein_val ridge_penalty(const void *self, struct rein_rec *r, const struct rein_step *t,
                              const struct rein_tensor *p)
{
	(void)t;
	return rein_mul(r, rein_knob(r, "lambda", ((const struct ridge *)self)->lambda), rein_sum(r, rein_square(r, p->w)));
}
REIN_MAP(frozen_halve, (g), (out), (factor), out = g * factor;)
static rein_val ridge_gradient(const void *self, struct rein_rec *r, const struct rein_step *t,
                               const struct rein_tensor *p)
{
	rein_val factor = rein_scalar(r, 0.5), out;
	(void)self;
	(void)t;
	rein_map(r, &frozen_halve, &p->g, &factor, &out);
	return out;
}
static uint32_t ridge_epoch_end(const void *self, const struct rein_host *host, const struct rein_metrics *m, void *mem)
{
	(void)self;
	(void)host;
	((struct ridge_mem *)mem)->epochs++;
	return m->epoch != ((struct ridge_mem *)mem)->epochs ? REIN_STOP : REIN_GO_ON;
}
static const struct rein_regularizer_vt ridge_vt = {
	.struct_size = sizeof ridge_vt, .penalty = ridge_penalty, .gradient = ridge_gradient, .epoch_end = ridge_epoch_end
};
REIN_COMPONENT(frozen_ridge, REIN_REGULARIZER, struct ridge, ridge_keys, &ridge_vt, .summary = "sum of w^2",
               .mem_size = sizeof(struct ridge_mem), .mem = ridge_mem_keys, .create = ridge_create,
               .destroy = ridge_destroy);

REIN_PLUGIN("frozen", "1.0.0", "MIT", &frozen_plane_component, &frozen_dense_component, &frozen_square_component,
            &frozen_heavy_component, &frozen_decay_component, &frozen_ridge_component)
