/* SPDX-License-Identifier: MIT
 *
 * slimming: network slimming: channels whose batch normalization scales them with the smallest
 * |gamma| go, ranked over all layers of on= together. The shift beta of a channel goes with its
 * scale, so that what comes out of the layer is zero there. Other parameters are left alone.
 * Train with the regularizer of the same name first, which pulls the scales apart.
 */
#include "rein/rein.h"

struct slimming {
	double amount;
	int32_t global;
};
static const struct rein_key slimming_keys[] = {
	REIN_REAL(struct slimming, amount, "0.5", 0, 1e9, 0, "share (below 1) or number of the channels left that go"),
	REIN_BOOL(struct slimming, global, "yes", "rank over all layers of on= together, not in each by itself"),
	REIN_KEYS_END,
};

/* gamma (C) -> |gamma| (C) */
static rein_val slimming_score(const void *self, struct rein_rec *r, const struct rein_tensor *p)
{
	size_t n = strlen(p->name);
	if (rein_rank(r, p->w) != 1 || n < 7 || strcmp(p->name + n - 7, ".weight") != 0)
		return REIN_NONE;
	return rein_abs(r, p->w);
}
static double slimming_amount(const void *self) { return ((const struct slimming *)self)->amount; }
static uint32_t slimming_global(const void *self) { return (uint32_t)((const struct slimming *)self)->global; }

static const struct rein_pruner_vt slimming_vt = { .struct_size = sizeof slimming_vt,
	                                               .flags = REIN_PRUNE_BIAS,
	                                               .score = slimming_score,
	                                               .amount = slimming_amount,
	                                               .global = slimming_global };
REIN_COMPONENT(slimming, REIN_PRUNER, struct slimming, slimming_keys, &slimming_vt,
               .summary = "prunes the channels that batch normalization scales least",
               .reference = "Liu et al. 2017, network slimming");
REIN_PLUGIN("slimming", "1.0.0", "MIT", &slimming_component)
