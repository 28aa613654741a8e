/* SPDX-License-Identifier: MIT
 *
 * random: prunes weights drawn by lot: each gets a number of [0,1) from the run's seed, those
 * with the smallest go. What a better pruner has to beat. Numbers that go as in magnitude.
 */
#include "rein/rein.h"

struct random {
	double amount;
	int32_t global;
};
static const struct rein_key random_keys[] = {
	REIN_REAL(struct random, amount, "0.5", 0, 1e9, 0, "share (below 1) or number of the weights left that go"),
	REIN_BOOL(struct random, global, "no", "draw from all tensors of on= together, not from each by itself"),
	REIN_KEYS_END,
};

static rein_val random_score(const void *self, struct rein_rec *r, const struct rein_tensor *p)
{
	return rein_random_like(r, "lot", REIN_UNIFORM, REIN_PER_STEP, p->w);
}
static double random_amount(const void *self) { return ((const struct random *)self)->amount; }
static uint32_t random_global(const void *self) { return (uint32_t)((const struct random *)self)->global; }

static const struct rein_pruner_vt random_vt = {
	.struct_size = sizeof random_vt, .score = random_score, .amount = random_amount, .global = random_global
};
REIN_COMPONENT(random, REIN_PRUNER, struct random, random_keys, &random_vt, .summary = "prunes weights drawn by lot",
               .reference = "torch.nn.utils.prune.random_unstructured");
REIN_PLUGIN("random", "1.0.0", "MIT", &random_component)
