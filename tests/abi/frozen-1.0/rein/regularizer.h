/* SPDX-License-Identifier: MIT
 *
 * regularizer.h: a strategy that hooks into the step. All slots are optional and,
 * but for epoch_end, record maths. Order within a step: inputs, target, forward
 * (with param and activation), loss with weight, term, penalty; gradients; gradient
 * per tensor; gradients over all; optimizer; after_step; masks; assigns; after;
 * metrics. Regularizers run in the order of the config; per-tensor slots see the
 * tensors that the spec's `on=` patterns match (default: every parameter).
 */
#ifndef REIN_REGULARIZER_H
#define REIN_REGULARIZER_H

#include "host.h"
#include "math.h"

/* Events, recorded as programs of their own. t->epoch is the number, from 0, of the epoch
 * that begins or ends. */
#define REIN_EPOCH_BEGIN 0u
#define REIN_EPOCH_END   1u
#define REIN_STAGE_BEGIN 2u
#define REIN_STAGE_END   3u

/* What epoch_end answers. */
#define REIN_GO_ON     0u
#define REIN_KEEP_BEST 1u /* keep a copy of all parameters and states as the best so far */
#define REIN_STOP      2u /* end this stage after the epoch */
#define REIN_RESTORE   4u /* go back to the copy kept last */

/* Numbers of the finished epoch. [control] */
struct rein_metrics {
	uint32_t struct_size, reserved;
	int64_t epoch; /* from 1 */
	int64_t epochs;
	/* `val.accuracy`, `train.loss`, `lasso.penalty` ...; NaN if there is no such metric. */
	double (*get)(const struct rein_metrics *, const char *name);
	const void *impl;
};

struct rein_regularizer_vt {
	uint32_t struct_size;
	uint32_t flags; /* REIN_REFRESH_STATS */
	/* p->w as the forward pass shall see it: weight noise, DropConnect, spectral norm. */
	rein_val (*param)(const void *self, struct rein_rec *, const struct rein_step *t, const struct rein_tensor *p);
	/* A scalar added to the objective for this tensor. */
	rein_val (*penalty)(const void *self, struct rein_rec *, const struct rein_step *t, const struct rein_tensor *p);
	/* A scalar added to the objective for the output x of each layer that `on=` matches. */
	rein_val (*activation)(const void *self, struct rein_rec *, const struct rein_step *t, rein_val x);
	/* Targets as the loss shall see them; `soft` distributions come back as (N,K). */
	rein_val (*target)(const void *self, struct rein_rec *, const struct rein_step *t, rein_val y);
	/* Rewrites the batch before the forward pass. */
	void (*inputs)(const void *self, struct rein_rec *, const struct rein_step *t, struct rein_batch *);
	/* A weight per sample (N). */
	rein_val (*weight)(const void *self, struct rein_rec *, const struct rein_step *t);
	/* A scalar added to the objective: TRADES, distillation, gradient penalty. */
	rein_val (*term)(const void *self, struct rein_rec *, const struct rein_step *t);
	/* The gradient p->g, changed. */
	rein_val (*gradient)(const void *self, struct rein_rec *, const struct rein_step *t, const struct rein_tensor *p);
	/* All gradients g[0..n-1] of t->tensor at once, changed in place: clipping, SAM. */
	void (*gradients)(const void *self, struct rein_rec *, const struct rein_step *t, uint32_t n, rein_val *g);
	/* The new weight p->w, changed before it is assigned: proximal steps, projections. */
	rein_val (*after_step)(const void *self, struct rein_rec *, const struct rein_step *t, const struct rein_tensor *p);
	/* With the final new weight p->w of this step: averages. */
	void (*after)(const void *self, struct rein_rec *, const struct rein_step *t, const struct rein_tensor *p);
	/* A program at a border; `what` is REIN_EPOCH_BEGIN ... Called for each; record nothing
	 * where nothing is to do. t->tensor holds the parameters; rein_set_param changes one. */
	void (*event)(const void *self, struct rein_rec *, const struct rein_step *t, uint32_t what);
	/* The weight that evaluation shall see instead of p->w: EMA, SWA. */
	rein_val (*view)(const void *self, struct rein_rec *, const struct rein_step *t, const struct rein_tensor *p);
	/* [control] After each epoch's evaluation; mem is the component's stored block. Returns
	 * REIN_GO_ON or a combination of REIN_KEEP_BEST, REIN_STOP, REIN_RESTORE. */
	uint32_t (*epoch_end)(const void *self, const struct rein_host *, const struct rein_metrics *, void *mem);
};

/* The view's batch-norm statistics are refreshed over the training split before evaluation. */
#define REIN_REFRESH_STATS 1u

#endif
