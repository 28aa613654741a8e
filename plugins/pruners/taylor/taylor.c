/* SPDX-License-Identifier: MIT
 *
 * taylor: prunes the weights whose removal changes the loss least, to first order: |w dL/dw|. With
 * structured=yes whole slices along axis dim, by the sum of that over the slice. The gradient is
 * that of the mean loss over `batches=` batches of training data (a key of the stage). As the first
 * of all stages, before any training, it is SNIP.
 */
#include <stdio.h>

#include "rein/rein.h"

struct taylor {
	double amount;
	int32_t global, structured;
	int64_t dim;
};
static const struct rein_key taylor_keys[] = {
	REIN_REAL(struct taylor, amount, "0.5", 0, 1e9, 0,
	          "share (below 1) or number of the weights or slices left that go"),
	REIN_BOOL(struct taylor, global, "no", "rank over all tensors of on= together, not in each by itself"),
	REIN_BOOL(struct taylor, structured, "no",
	          "whole slices along axis dim go, not single weights; tensors of one axis stay"),
	REIN_INT(struct taylor, dim, "0", -REIN_MAX_RANK, REIN_MAX_RANK - 1,
	         "axis of the slices: 0 rows or filters, 1 input columns or channels; negative counts from the end"),
	REIN_KEYS_END,
};

/* w, g (d0, d1, ..) -> the same, or (1, .., d_dim, .., 1) */
static rein_val taylor_score(const void *self, struct rein_rec *r, const struct rein_tensor *p)
{
	const struct taylor *s = self;
	int32_t rank = rein_rank(r, p->w);
	int64_t dim = s->dim < 0 ? s->dim + rank : s->dim;
	rein_val change = rein_abs(r, rein_mul(r, p->w, p->g));
	char why[256];

	if (!s->structured)
		return change;
	if (rank >= 2 && dim >= 0 && dim < rank)
		return rein_sum_over(r, change, ((1u << (uint32_t)rank) - 1) & ~REIN_AXIS((uint32_t)dim), REIN_KEEP);
	if (rank < 2)
		return REIN_NONE;
	snprintf(why, sizeof why, "dim=%lld: '%s' has %d axes", (long long)s->dim, p->name, (int)rank);
	rein_refuse(r, why);
	return p->w;
}
static double taylor_amount(const void *self) { return ((const struct taylor *)self)->amount; }
static uint32_t taylor_global(const void *self) { return (uint32_t)((const struct taylor *)self)->global; }

static const struct rein_pruner_vt taylor_vt = { .struct_size = sizeof taylor_vt,
	                                             .flags = REIN_NEEDS_GRADIENT,
	                                             .score = taylor_score,
	                                             .amount = taylor_amount,
	                                             .global = taylor_global };
REIN_COMPONENT(taylor, REIN_PRUNER, struct taylor, taylor_keys, &taylor_vt,
               .summary = "prunes what changes the loss least, by |w dL/dw|",
               .reference = "Molchanov et al. 2017; Lee et al. 2019 (SNIP)");
REIN_PLUGIN("taylor", "1.0.0", "MIT", &taylor_component)
