/* SPDX-License-Identifier: MIT
 *
 * odd_scores: a pruner whose scores are not numbers, or not of type real; odd_masks: one whose masks
 * are not bool. Both have to be refused by name.
 */
#include "rein/rein.h"

struct odd_scores {
	double amount;
	int32_t what;
};

enum { NOT_NUMBERS, CHOICES };
static const char *const whats[] = { "nan", "bool", NULL };
static const struct rein_key odd_scores_keys[] = {
	REIN_REAL(struct odd_scores, amount, "0.5", 0, 1, 0, "share that goes"),
	REIN_ENUM(struct odd_scores, what, NULL, whats, "the mistake"),
	REIN_KEYS_END,
};

static rein_val odd_scores_score(const void *self, struct rein_rec *r, const struct rein_tensor *p)
{
	const struct odd_scores *s = self;

	if (s->what == CHOICES)
		return rein_gt(r, p->w, rein_scalar(r, 0));
	return rein_sqrt(r, rein_offset(r, rein_neg(r, rein_abs(r, p->w)), -1));
}
static double odd_scores_amount(const void *self) { return ((const struct odd_scores *)self)->amount; }

static const struct rein_pruner_vt odd_scores_vt = { .struct_size = sizeof odd_scores_vt,
	                                                 .score = odd_scores_score,
	                                                 .amount = odd_scores_amount };
REIN_COMPONENT(odd_scores, REIN_PRUNER, struct odd_scores, odd_scores_keys, &odd_scores_vt, .summary = "mistakes");

static rein_val odd_masks_keep(const void *self, struct rein_rec *r, const struct rein_tensor *p)
{
	(void)self;
	return rein_abs(r, p->w);
}

static const struct rein_pruner_vt odd_masks_vt = { .struct_size = sizeof odd_masks_vt, .keep = odd_masks_keep };
REIN_COMPONENT(odd_masks, REIN_PRUNER, struct rein_keyless, NULL, &odd_masks_vt, .summary = "mistakes");
REIN_PLUGIN("odd_scores", "1.0.0", "MIT", &odd_scores_component, &odd_masks_component)
