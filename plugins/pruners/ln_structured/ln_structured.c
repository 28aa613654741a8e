/* SPDX-License-Identifier: MIT
 *
 * ln_structured: prunes whole slices along axis dim, those with the smallest norm
 * (sum |w|^n)^(1/n): rows and filters (dim=0), or what one input feeds (dim=1). Only the matched
 * weights go; the bias of a pruned row stays. What has one axis, a bias or the scale of a batch
 * normalization, has no slices and is left alone. torch.nn.utils.prune.ln_structured.
 */
#include <stdio.h>

#include "rein/rein.h"

struct ln_structured {
	double amount, n;
	int64_t dim;
};
static const struct rein_key ln_structured_keys[] = {
	REIN_REAL(struct ln_structured, amount, "0.5", 0, 1e9, 0, "share (below 1) or number of the slices left that go"),
	REIN_REAL(struct ln_structured, n, "2", 0, 100, REIN_KEY_OVER_MIN, "order of the norm: 1, 2, ..."),
	REIN_INT(struct ln_structured, dim, "0", -REIN_MAX_RANK, REIN_MAX_RANK - 1,
	         "axis whose slices go: 0 rows or filters, 1 input columns or channels; negative counts from the end"),
	REIN_KEYS_END,
};

/* w (d0, d1, ..) -> (1, .., d_dim, .., 1) */
static rein_val ln_structured_score(const void *self, struct rein_rec *r, const struct rein_tensor *p)
{
	const struct ln_structured *s = self;
	int32_t rank = rein_rank(r, p->w);
	int64_t dim = s->dim < 0 ? s->dim + rank : s->dim;

	if (rank < 2)
		return REIN_NONE;
	if (dim < 0 || dim >= rank) {
		char why[256];
		snprintf(why, sizeof why, "dim=%lld: '%s' has %d axes", (long long)s->dim, p->name, (int)rank);
		rein_refuse(r, why);
		return p->w;
	}
	uint32_t others = ((1u << (uint32_t)rank) - 1) & ~REIN_AXIS((uint32_t)dim);
	if (s->n == 2.0)
		return rein_norm(r, p->w, others, REIN_KEEP);
	rein_val a = rein_abs(r, p->w);
	if (s->n == 1.0)
		return rein_sum_over(r, a, others, REIN_KEEP);
	a = rein_sum_over(r, rein_pow(r, a, rein_scalar(r, s->n)), others, REIN_KEEP);
	return rein_pow(r, a, rein_scalar(r, 1 / s->n));
}
static double ln_structured_amount(const void *self) { return ((const struct ln_structured *)self)->amount; }

static const struct rein_pruner_vt ln_structured_vt = { .struct_size = sizeof ln_structured_vt,
	                                                    .score = ln_structured_score,
	                                                    .amount = ln_structured_amount };
REIN_COMPONENT(ln_structured, REIN_PRUNER, struct ln_structured, ln_structured_keys, &ln_structured_vt,
               .summary = "prunes rows, filters or columns with the smallest norm; leaves tensors of one axis alone",
               .reference = "Li et al. 2017; torch.nn.utils.prune.ln_structured");
REIN_PLUGIN("ln_structured", "1.0.0", "MIT", &ln_structured_component)
