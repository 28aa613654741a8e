/* SPDX-License-Identifier: MIT
 *
 * sharpness: f x + (1 - f) smooth(x), clipped to 0..1, smooth by [1 1 1; 1 5 1; 1 1 1] / 13 with
 * the border kept: f > 1 sharpens, f < 1 blurs.
 */
#include "rein/rein.h"

struct sharpness {
	struct rein_reals factor;
};
static const struct rein_key sharpness_keys[] = {
	REIN_REALS(struct sharpness, factor, NULL, 0, 1e3, 0, "f: a number, or from,to"), REIN_KEYS_END
};

static rein_status sharpness_create(void *self, const struct rein_host *h)
{
	const struct sharpness *s = self;
	return rein_range_check(h, "factor", &s->factor);
}

static void sharpness_record(const void *self, struct rein_rec *r, const struct rein_step *t, struct rein_batch *b)
{
	const struct sharpness *s = self;
	(void)t;
	if (rein_is_image(r, b->x))
		b->x = rein_sharpness(r, b->x, rein_draw(r, "factor", b->x, s->factor.v[0], s->factor.v[s->factor.n - 1]));
}

static const struct rein_augmentation_vt sharpness_vt = { .struct_size = sizeof sharpness_vt,
	                                                      .record = sharpness_record,
	                                                      .p = 0.5 };
REIN_COMPONENT(sharpness, REIN_AUGMENTATION, struct sharpness, sharpness_keys, &sharpness_vt,
               .create = sharpness_create, .summary = "sharper or smoother by a random factor; p=0.5 by default",
               .reference = "torchvision.transforms.RandomAdjustSharpness");
REIN_PLUGIN("sharpness", "1.0.0", "MIT", &sharpness_component)
