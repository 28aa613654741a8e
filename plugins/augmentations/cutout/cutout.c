/* SPDX-License-Identifier: MIT
 *
 * cutout: squares (or boxes) with their middle anywhere in the image are replaced by value=; what
 * lies outside is cut off. With ranges, how many there are and how long their sides are is drawn
 * for each image (coarse dropout).
 */
#include "rein/rein.h"

#define HOLES_MAX 64

struct cutout {
	struct rein_reals size;
	struct rein_ints holes;
	double value;
};
static const struct rein_key cutout_keys[] = {
	REIN_REALS(
		struct cutout, size, NULL, 0, 65536, REIN_KEY_OVER_MIN,
		"side of a square in pixels, or below 1 as a share of the image's height and width; a number, or from,to"),
	REIN_INTS(struct cutout, holes, "1", 1, HOLES_MAX, 0, "how many: a number, or from,to"),
	REIN_REAL(struct cutout, value, "0", -1e6, 1e6, 0, "what they hold; pixels are 0..1"), REIN_KEYS_END
};

static rein_status cutout_create(void *self, const struct rein_host *h)
{
	const struct cutout *s = self;
	if (s->holes.n > 2 || s->holes.v[0] > s->holes.v[s->holes.n - 1])
		return rein_failf(h, "holes= takes a number, or from,to");
	return rein_range_check(h, "size", &s->size);
}

/* Side k (0 height, 1 width) of a hole, (N) whole numbers. */
static rein_val side_of(const struct cutout *s, struct rein_rec *r, rein_val x, int k)
{
	double n = (double)rein_dim(r, x, 2 + k), lo = s->size.v[0], hi = s->size.v[s->size.n - 1];
	rein_val v = rein_draw(r, k ? "width" : "height", x, lo, hi);
	return rein_max(r, rein_rint(r, hi < 1 ? rein_scale(r, v, n) : v), rein_scalar(r, 1));
}

static void cutout_record(const void *self, struct rein_rec *r, const struct rein_step *t, struct rein_batch *b)
{
	const struct cutout *s = self;
	int64_t least = s->holes.v[0], most = s->holes.v[s->holes.n - 1];
	rein_val gone = REIN_NONE, from[2], to[2];
	(void)t;
	if (!rein_is_image(r, b->x))
		return;
	rein_val count = rein_draw_below(r, "holes", b->x, rein_scalar(r, (double)(most - least + 1)));
	for (int64_t i = 0; i < most; i++) {
		for (int k = 0; k < 2; k++) {
			rein_val side = side_of(s, r, b->x, k), n = rein_scalar(r, (double)rein_dim(r, b->x, 2 + k));
			rein_val middle = rein_cast(r, rein_draw_below(r, k ? "column" : "row", b->x, n), REIN_REAL_T);
			from[k] = rein_sub(r, middle, rein_floor(r, rein_scale(r, side, 0.5)));
			to[k] = rein_add(r, from[k], side);
		}
		rein_val box = rein_inside(r, b->x, from[0], from[1], to[0], to[1]);
		rein_val there = rein_le(r, rein_scalar_i(r, (int32_t)(i + 1 - least)), count);
		box = rein_and(r, box, rein_per_image(r, there));
		gone = i ? rein_or(r, gone, box) : box;
	}
	b->x = rein_where(r, gone, rein_scalar(r, s->value), b->x);
}

static const struct rein_augmentation_vt cutout_vt = { .struct_size = sizeof cutout_vt, .record = cutout_record };
REIN_COMPONENT(
	cutout, REIN_AUGMENTATION, struct cutout, cutout_keys, &cutout_vt, .create = cutout_create,
	.summary = "squares at random places are cut out",
	.reference = "DeVries and Taylor, Improved Regularization of Convolutional Neural Networks with Cutout, 2017");
REIN_PLUGIN("cutout", "1.0.0", "MIT", &cutout_component)
