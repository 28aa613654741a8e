/* SPDX-License-Identifier: MIT
 *
 * record.h: the calls of the recorder that are not maths: shapes, parameters,
 * states, gradients, draws, changing scalars, loops and networks. Inline over
 * the table of ops.h. All [control], only inside a recording slot.
 */
#ifndef REIN_RECORD_H
#define REIN_RECORD_H

#include "ops.h"

/* --- shapes: known while recording, -1 for an invalid value ------------------ */
static inline int32_t rein_rank(struct rein_rec *r, rein_val v) { return r->vt->rank(r, v); }
/* Size of an axis; negative counts from the end. */
static inline int64_t rein_dim(struct rein_rec *r, rein_val v, int32_t axis) { return r->vt->dim(r, v, axis); }
static inline uint32_t rein_dtype(struct rein_rec *r, rein_val v) { return r->vt->dtype(r, v); }
/* n values of scratch, freed with the recording; NULL only when memory is out. */
static inline rein_val *rein_vals(struct rein_rec *r, uint32_t n)
{
	return (rein_val *)r->vt->scratch(r, (uint64_t)n * sizeof(rein_val));
}
/* Refuses the recording with a reason: "DLR needs 3 classes". */
static inline void rein_refuse(struct rein_rec *r, const char *why) { r->vt->refuse(r, why); }

/* --- one op ------------------------------------------------------------------ */
static inline void rein_op(struct rein_rec *r, uint32_t op, uint32_t n_in, const rein_val *in,
                           const struct rein_attr *a, uint32_t n_out, rein_val *out)
{
	r->vt->op(r, op, n_in, in, a, n_out, out);
}
/* A constant. REAL data is given as double, I32 as int32_t, U8 and BOOL as bytes. */
static inline rein_val rein_const(struct rein_rec *r, uint32_t dtype, uint32_t rank, const int64_t *dim,
                                  const void *data)
{
	struct rein_attr a = { sizeof a, 0, 0, dtype, rank, 0, { 0 }, { 0 }, { 0 }, { 0 }, data };
	rein_val v;
	for (uint32_t i = 0; i < rank; i++)
		a.dim[i] = dim[i];
	r->vt->op(r, REIN_OP_CONST, 0, NULL, &a, 1, &v);
	return v;
}
/* A constant of one repeated value; rank 0 for a scalar. */
static inline rein_val rein_fill(struct rein_rec *r, uint32_t dtype, double value, uint32_t rank, const int64_t *dim)
{
	struct rein_attr a = { sizeof a, 0, 0, dtype, rank, 0, { 0 }, { 0 }, { 0 }, { value }, NULL };
	rein_val v;
	for (uint32_t i = 0; i < rank; i++)
		a.dim[i] = dim[i];
	r->vt->op(r, REIN_OP_CONST, 0, NULL, &a, 1, &v);
	return v;
}

/* --- parameters and states --------------------------------------------------- */
/* A trainable parameter of the layer being recorded, named `<layer>.<name>`, as the
 * forward pass sees it (after weight noise, masks, rein_with). The result's shape is
 * the truth: it is smaller than asked for after channels were removed. `init` NULL: zeros. */
static inline rein_val rein_param(struct rein_rec *r, const char *name, uint32_t rank, const int64_t *dim,
                                  const struct rein_init *init)
{
	return r->vt->param(r, name, rank, dim, init);
}
/* A state of this instance (and, in per-tensor slots, of that tensor): momentum,
 * running mean, counters. Kept in checkpoints. Asked for again: the same state. */
static inline rein_var rein_state(struct rein_rec *r, const char *name, uint32_t dtype, uint32_t rank,
                                  const int64_t *dim, const struct rein_init *init)
{
	return r->vt->state(r, name, dtype, rank, dim, init);
}
/* A state shaped and typed like v, starting at zero. */
static inline rein_var rein_state_like(struct rein_rec *r, const char *name, rein_val v)
{
	int64_t dim[REIN_MAX_RANK];
	int32_t rank = rein_rank(r, v);
	for (int32_t i = 0; i < rank; i++)
		dim[i] = rein_dim(r, v, i);
	return r->vt->state(r, name, rein_dtype(r, v), rank < 0 ? 0u : (uint32_t)rank, dim, NULL);
}
/* The version left by the last assign recorded before this call, else the stored one. */
static inline rein_val rein_read(struct rein_rec *r, rein_var s) { return r->vt->read(r, s); }
/* A new version. `when`: a bool scalar, false keeps the old one; REIN_NONE: always. */
static inline void rein_assign(struct rein_rec *r, rein_var s, rein_val v, rein_val when)
{
	r->vt->assign(r, s, v, when);
}

/* --- gradients: recorded in ops of the same table, so they nest ---------------- */
/* out[i] = d(sum(seed * y)) / d(wrt[i]); seed REIN_NONE: y is a scalar and seed 1.
 * Not reached: zeros. Through an op without a derivative: refused by name. */
static inline void rein_grads(struct rein_rec *r, rein_val y, rein_val seed, uint32_t n, const rein_val *wrt,
                              rein_val *out)
{
	r->vt->grads(r, y, seed, n, wrt, out);
}
static inline rein_val rein_grad(struct rein_rec *r, rein_val y, rein_val wrt)
{
	rein_val g;
	r->vt->grads(r, y, REIN_NONE, 1, &wrt, &g);
	return g;
}
/* y with zero gradient. */
static inline rein_val rein_stop(struct rein_rec *r, rein_val y)
{
	rein_val out;
	r->vt->op(r, REIN_OP_STOP, 1, &y, NULL, 1, &out);
	return out;
}
/* y whose gradient goes to in[0..n-1] by `rule`. `ctx` must outlive the recording (it
 * usually is `self`); on every backend, since the rule is recorded. */
static inline rein_val rein_override(struct rein_rec *r, rein_val y, uint32_t n, const rein_val *in, rein_vjp *rule,
                                     const void *ctx)
{
	return r->vt->override(r, y, n, in, rule, ctx);
}
/* Maths in a C function, CPU only: for outside libraries. `run` is [compute], gets
 * contiguous tensors in the order recorded and returns a status. The struct itself is
 * copied. */
struct rein_tensor_view {
	void *data;
	int64_t dim[REIN_MAX_RANK];
	uint32_t dtype, rank; /* REAL is float, or double in a double program (see bytes) */
	uint64_t bytes;
};
struct rein_custom {
	uint32_t struct_size, n_out;
	const char *name;
	const void *ctx; /* handed to run and vjp; must outlive the program (usually self) */
	rein_status (*run)(const void *ctx, const struct rein_tensor_view *in, struct rein_tensor_view *out);
	rein_vjp *vjp; /* NULL: gradients are refused */
	struct {
		uint32_t dtype, rank;
		int64_t dim[REIN_MAX_RANK];
	} out[4];
};
static inline void rein_custom_op(struct rein_rec *r, const struct rein_custom *c, uint32_t n_in, const rein_val *in,
                                  uint32_t n_out, rein_val *out)
{
	r->vt->custom(r, c, n_in, in, n_out, out);
}

/* --- draws and scalars that change -------------------------------------------- */
/* dist REIN_UNIFORM/NORMAL/BITS, key REIN_PER_SAMPLE/PER_STEP/ONCE; see ops.h. */
static inline rein_val rein_random(struct rein_rec *r, const char *stream, uint32_t dist, uint32_t key, uint32_t rank,
                                   const int64_t *dim)
{
	return r->vt->random(r, stream, dist, key, rank, dim);
}
/* The value of this instance's key `key`: a constant `now`, or, where [schedules] names
 * it, now times the schedule, as a scalar read from a table made an epoch ahead. */
static inline rein_val rein_knob(struct rein_rec *r, const char *key, double now) { return r->vt->knob(r, key, now); }
/* f(self, step) for the steps of an epoch, evaluated in double on the host ahead of the
 * epoch; step counts optimizer updates from 0 over the whole run. f is pure. */
static inline rein_val rein_per_step(struct rein_rec *r, double (*f)(const void *self, int64_t step), const void *self)
{
	return r->vt->per_step(r, f, self);
}

/* --- loops: the body is recorded once ------------------------------------------ */
/* Rewrites carry[0..n_carry-1] with the values after the loop. In the body assign and
 * param are refused; values from outside are read-only. */
static inline void rein_repeat(struct rein_rec *r, const struct rein_loop *l, rein_val *carry, rein_body *body,
                               void *ctx)
{
	r->vt->repeat(r, l, carry, body, ctx);
}

/* --- networks -------------------------------------------------------------------- */
/* A trainable tensor as per-tensor slots see it. mask: bool or REIN_NONE. */
struct rein_tensor {
	uint32_t struct_size, flags;
	const char *name; /* "fc1.weight" */
	rein_val w, g, mask;
};
/* x (N,...), y (N) class, (N,K) soft or (N,D) real, id (N) i32 sample numbers. With
 * views > 1 the batch holds that many copies of each sample, view after view. */
struct rein_batch {
	uint32_t struct_size, views;
	rein_val x, y, id;
};
/* What is known of the model under training or attack; lo, hi: the box of pixel space. */
struct rein_model {
	uint32_t struct_size, classes;
	double lo, hi;
	const void *impl; /* the core's */
};
/* The step being recorded. Fields not known yet at a slot are REIN_NONE or NULL.
 * logits: network output; rows (N): loss per sample; loss: their weighted mean;
 * lr: this step's learning rate; step, epoch: optimizer updates and epochs so far (i32). */
struct rein_step {
	uint32_t struct_size, mode, n_tensor, tensor_size;
	const struct rein_model *model;
	const struct rein_batch *batch;
	rein_val logits, rows, loss, lr, step, epoch;
	const struct rein_tensor *tensor; /* n_tensor of them, tensor_size bytes apart */
	int64_t n_train;                  /* samples in the training split */
};
static inline const struct rein_tensor *rein_tensor_at(const struct rein_step *t, uint32_t i)
{
	return (const struct rein_tensor *)(const void *)((const char *)t->tensor + (size_t)i * t->tensor_size);
}
/* The model on x. flags: REIN_EVAL, REIN_TRAIN or REIN_STATS, with REIN_KEEP_STATE,
 * REIN_SAME_RANDOM. */
static inline rein_val rein_forward(struct rein_rec *r, const struct rein_model *m, rein_val x, uint32_t flags)
{
	return r->vt->forward(r, m, x, flags);
}
/* The whole objective again (forward, loss, terms, penalties): for SAM and its kin. */
static inline rein_val rein_objective(struct rein_rec *r, const struct rein_step *t, uint32_t flags)
{
	return r->vt->objective(r, t, flags);
}
/* Until rein_without(), parameters read as as[i] wherever param[i] would be. Nests. */
static inline void rein_with(struct rein_rec *r, uint32_t n, const rein_val *param, const rein_val *as)
{
	r->vt->with(r, n, param, as);
}
static inline void rein_without(struct rein_rec *r) { r->vt->without(r); }
/* Shows in metrics and logs as `<instance>.<name>`. how: REIN_MEAN, TOTAL, LAST, PEAK. */
static inline void rein_metric(struct rein_rec *r, const char *name, rein_val v, uint32_t how)
{
	r->vt->metric(r, name, v, how);
}
/* The attack a REF key names, on x; the network a REF key names, on x. */
static inline rein_val rein_perturb(struct rein_rec *r, const struct rein_ref *attack, const struct rein_model *m,
                                    rein_val x, rein_val y)
{
	return r->vt->perturb(r, attack, m, x, y);
}
static inline rein_val rein_forward_ref(struct rein_rec *r, const struct rein_ref *network, rein_val x, uint32_t flags)
{
	return r->vt->forward_ref(r, network, x, flags);
}

/* The augmentation a REF key names, on the batch, as if it stood in the list: with its p=. */
static inline void rein_augment(struct rein_rec *r, const struct rein_ref *augmentation, const struct rein_step *t,
                                struct rein_batch *b)
{
	r->vt->augment(r, augmentation, t, b);
}

/* In slots that see all tensors at once: states asked for until the next call belong to p
 * (NULL: to the instance again). */
static inline void rein_scope(struct rein_rec *r, const struct rein_tensor *p) { r->vt->scope(r, p); }
/* In event(): the parameter itself becomes v when the program ends. */
static inline void rein_set_param(struct rein_rec *r, const struct rein_tensor *p, rein_val v)
{
	r->vt->set_param(r, p, v);
}

#endif
