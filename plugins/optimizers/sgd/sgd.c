/* SPDX-License-Identifier: MIT
 *
 * sgd: d = g + weight_decay w;  b = momentum b + (1 - dampening) d, at the first step b = d;
 * d = d + momentum b (nesterov) or b;  w = w - lr d. As torch.optim.SGD.
 */
#include "rein/rein.h"

struct sgd {
	double lr, momentum, dampening, weight_decay;
	int32_t nesterov;
};
static const struct rein_key sgd_keys[] = {
	REIN_REAL(struct sgd, lr, NULL, 0, 1e6, REIN_KEY_KNOB, "learning rate"),
	REIN_REAL(struct sgd, momentum, "0", 0, 1, REIN_KEY_KNOB,
	          "share of the last update kept: b = momentum b + (1-dampening) g"),
	REIN_REAL(struct sgd, dampening, "0", 0, 1, 0, "see momentum; not applied at the first step"),
	REIN_BOOL(struct sgd, nesterov, "no", "look ahead: g + momentum b instead of b"),
	REIN_REAL(struct sgd, weight_decay, "0", 0, 1e6, REIN_KEY_KNOB,
	          "adds weight_decay w to the gradient: the penalty (weight_decay/2) sum w^2"),
	REIN_KEYS_END,
};

static rein_status sgd_create(void *self, const struct rein_host *host)
{
	const struct sgd *s = self;
	if (s->nesterov && (s->momentum == 0 || s->dampening != 0))
		return rein_failf(host, "nesterov=yes needs momentum > 0 and dampening=0");
	return REIN_OK;
}

/* The buffer is 0 before the first step, so only the factor of d differs there. */
static double fresh(const void *self, int64_t step)
{
	const struct sgd *s = self;
	return step == 0 ? 1 : 1 - s->dampening;
}

static rein_val sgd_update(const void *self, struct rein_rec *r, const struct rein_step *t, const struct rein_tensor *p)
{
	const struct sgd *s = self;
	rein_val d = p->g;
	if (s->weight_decay != 0)
		d = rein_add(r, d, rein_mul(r, p->w, rein_knob(r, "weight_decay", s->weight_decay)));
	if (s->momentum != 0) {
		rein_var buffer = rein_state_like(r, "momentum", p->w);
		rein_val mu = rein_knob(r, "momentum", s->momentum);
		rein_val in = s->dampening != 0 ? rein_mul(r, d, rein_per_step(r, fresh, s)) : d;
		rein_val b = rein_add(r, rein_mul(r, rein_read(r, buffer), mu), in);
		rein_assign(r, buffer, b, REIN_NONE);
		d = s->nesterov ? rein_add(r, d, rein_mul(r, b, mu)) : b;
	}
	return rein_sub(r, p->w, rein_mul(r, d, t->lr));
}

static double sgd_lr(const void *self) { return ((const struct sgd *)self)->lr; }

static const struct rein_optimizer_vt sgd_vt = { .struct_size = sizeof sgd_vt, .update = sgd_update, .lr = sgd_lr };
REIN_COMPONENT(sgd, REIN_OPTIMIZER, struct sgd, sgd_keys, &sgd_vt, .create = sgd_create,
               .summary = "stochastic gradient descent with momentum",
               .reference = "torch.optim.SGD; Sutskever et al. 2013");
REIN_PLUGIN("sgd", "1.0.0", "MIT", &sgd_component)
