/* SPDX-License-Identifier: MIT
 *
 * magnitude: prunes the weights with the smallest |w|, of each tensor or of all together. The
 * core counts as PyTorch does: amount times what is left, rounded half to even, so that half of
 * 5 is 2, and half twice leaves a quarter. torch.nn.utils.prune: l1_unstructured and, with
 * global=yes, global_unstructured.
 */
#include "rein/rein.h"

struct magnitude {
	double amount;
	int32_t global;
};
static const struct rein_key magnitude_keys[] = {
	REIN_REAL(struct magnitude, amount, "0.5", 0, 1e9, 0, "share (below 1) or number of the weights left that go"),
	REIN_BOOL(struct magnitude, global, "no", "rank over all tensors of on= together, not in each by itself"),
	REIN_KEYS_END,
};

static rein_val magnitude_score(const void *self, struct rein_rec *r, const struct rein_tensor *p)
{
	return rein_abs(r, p->w);
}
static double magnitude_amount(const void *self) { return ((const struct magnitude *)self)->amount; }
static uint32_t magnitude_global(const void *self) { return (uint32_t)((const struct magnitude *)self)->global; }

static const struct rein_pruner_vt magnitude_vt = {
	.struct_size = sizeof magnitude_vt, .score = magnitude_score, .amount = magnitude_amount, .global = magnitude_global
};
REIN_COMPONENT(magnitude, REIN_PRUNER, struct magnitude, magnitude_keys, &magnitude_vt,
               .summary = "prunes the weights with the smallest |w|", .reference = "Han et al. 2015");
REIN_PLUGIN("magnitude", "1.0.0", "MIT", &magnitude_component)
