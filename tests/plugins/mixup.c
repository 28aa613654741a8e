/* SPDX-License-Identifier: MIT
 *
 * mixup: x = l x + (1-l) x[j], the same for the targets as distributions; j a permutation and
 * l uniform, both drawn once a step (formula R22 with alpha = 1: Zhang et al. 2018).
 */
#include "rein/rein.h"

static void mixup_record(const void *self, struct rein_rec *r, const struct rein_step *t, struct rein_batch *b)
{
	int64_t n = rein_dim(r, b->x, 0);
	rein_val j, l = rein_random(r, "lambda", REIN_UNIFORM, REIN_PER_STEP, 0, NULL);
	rein_sort(r, rein_random(r, "pair", REIN_BITS, REIN_PER_STEP, 1, &n), 0, &j);
	rein_val y = b->y;
	if (rein_dtype(r, y) == REIN_I32_T)
		y = rein_cast(r, rein_one_hot(r, y, t->model->classes), REIN_REAL_T);
	b->x = rein_lerp(r, rein_take(r, b->x, j, 0), b->x, l);
	b->y = rein_lerp(r, rein_take(r, y, j, 0), y, l);
}

static const struct rein_augmentation_vt mixup_vt = { .struct_size = sizeof mixup_vt, .record = mixup_record };
REIN_COMPONENT(mixup, REIN_AUGMENTATION, struct rein_keyless, NULL, &mixup_vt,
               .summary = "mixes pairs of samples and their targets");
REIN_PLUGIN("mixup", "1.0.0", "MIT", &mixup_component)
