/* SPDX-License-Identifier: MIT
 *
 * solarize: 1 - x where x >= threshold; with from,to a threshold is drawn for each image.
 */
#include "rein/rein.h"

struct solarize {
	struct rein_reals threshold;
};
static const struct rein_key solarize_keys[] = { REIN_REALS(
													 struct solarize, threshold, "128/255", 0, 2, 0,
													 "a number, or from,to; pixels are 0..1, so byte 128 is 128/255"),
	                                             REIN_KEYS_END };

static rein_status solarize_create(void *self, const struct rein_host *h)
{
	const struct solarize *s = self;
	return rein_range_check(h, "threshold", &s->threshold);
}

static void solarize_record(const void *self, struct rein_rec *r, const struct rein_step *t, struct rein_batch *b)
{
	const struct solarize *s = self;
	(void)t;
	if (rein_is_image(r, b->x))
		b->x = rein_solarize(r, b->x,
		                     rein_draw(r, "threshold", b->x, s->threshold.v[0], s->threshold.v[s->threshold.n - 1]));
}

static const struct rein_augmentation_vt solarize_vt = { .struct_size = sizeof solarize_vt,
	                                                     .record = solarize_record,
	                                                     .p = 0.5 };
REIN_COMPONENT(solarize, REIN_AUGMENTATION, struct solarize, solarize_keys, &solarize_vt, .create = solarize_create,
               .summary = "the negative of what is brighter than a threshold; p=0.5 by default",
               .reference = "torchvision.transforms.RandomSolarize");
REIN_PLUGIN("solarize", "1.0.0", "MIT", &solarize_component)
