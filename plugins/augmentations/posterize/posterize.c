/* SPDX-License-Identifier: MIT
 *
 * posterize: only the upper bits= of each byte stay; with from,to a number of bits is drawn for
 * each image.
 */
#include "rein/rein.h"

struct posterize {
	struct rein_ints bits;
};
static const struct rein_key posterize_keys[] = {
	REIN_INTS(struct posterize, bits, NULL, 0, 8, 0, "bits that stay: a number, or from,to"), REIN_KEYS_END
};

static rein_status posterize_create(void *self, const struct rein_host *h)
{
	const struct posterize *s = self;
	if (s->bits.n > 2 || s->bits.v[0] > s->bits.v[s->bits.n - 1])
		return rein_failf(h, "bits= takes a number, or from,to");
	return REIN_OK;
}

static void posterize_record(const void *self, struct rein_rec *r, const struct rein_step *t, struct rein_batch *b)
{
	const struct posterize *s = self;
	int64_t from = s->bits.v[0], to = s->bits.v[s->bits.n - 1];
	(void)t;
	if (!rein_is_image(r, b->x))
		return;
	rein_val bits = rein_draw_below(r, "bits", b->x, rein_scalar(r, (double)(to - from + 1)));
	b->x = rein_posterize(r, b->x, rein_add(r, bits, rein_scalar_i(r, (int32_t)from)));
}

static const struct rein_augmentation_vt posterize_vt = { .struct_size = sizeof posterize_vt,
	                                                      .record = posterize_record,
	                                                      .p = 0.5 };
REIN_COMPONENT(posterize, REIN_AUGMENTATION, struct posterize, posterize_keys, &posterize_vt,
               .create = posterize_create, .summary = "fewer bits for each byte; p=0.5 by default",
               .reference = "torchvision.transforms.RandomPosterize");
REIN_PLUGIN("posterize", "1.0.0", "MIT", &posterize_component)
