/* SPDX-License-Identifier: MIT
 *
 * random_crop: a window of size=height,width at a random place of the image with padding=
 * pixels around it. Top and left are uniform over the whole numbers that keep the window
 * inside: 0 .. H + 2 padding - height.
 */
#include "rein/rein.h"

enum { FILL_CONSTANT, FILL_EDGE, FILL_REFLECT };
static const char *const mode_choices[] = { "constant", "edge", "reflect", NULL };

struct random_crop {
	struct rein_ints size, padding;
	int32_t mode;
	double fill;
};
static const struct rein_key random_crop_keys[] = {
	REIN_INTS(struct random_crop, size, "", 1, 65536, REIN_KEY_MAY_BE_EMPTY,
	          "height,width; one number stands for both; empty: those of the image"),
	REIN_INTS(struct random_crop, padding, "0", 0, 65536, 0,
	          "pixels added: on all sides, or left and right,top and bottom"),
	REIN_ENUM(struct random_crop, mode, "constant", mode_choices,
	          "what padding holds: fill=, the nearest pixel, or the image mirrored at its edge"),
	REIN_REAL(struct random_crop, fill, "0", -1e6, 1e6, 0, "value of constant padding; pixels are 0..1"), REIN_KEYS_END
};

static rein_status random_crop_create(void *self, const struct rein_host *h)
{
	const struct random_crop *s = self;
	if (s->size.n > 2 || s->padding.n > 2)
		return rein_failf(h, "size= and padding= take one or two numbers");
	return REIN_OK;
}

/* Places (N,count) i32 along an axis of n pixels, from `top` (N) i32, which counts padding. */
static rein_val places(const struct random_crop *s, struct rein_rec *r, rein_val top, int64_t n, int64_t count,
                       int64_t padding)
{
	int64_t column[2] = { rein_dim(r, top, 0), 1 }, row[2] = { 1, count };
	rein_val zero = rein_scalar_i(r, 0), last = rein_scalar_i(r, (int32_t)(n - 1));
	rein_val i = rein_add(r, rein_reshape(r, top, 2, column), rein_iota(r, 1, 2, row));
	i = rein_sub(r, i, rein_scalar_i(r, (int32_t)padding));
	if (s->mode == FILL_EDGE) {
		i = rein_max(r, i, zero);
		return rein_where(r, rein_lt(r, last, i), last, i);
	}
	if (s->mode == FILL_REFLECT) { /* -1 is 1, n is n - 2 */
		i = rein_abs(r, i);
		return rein_sub(r, last, rein_abs(r, rein_sub(r, last, i)));
	}
	return i;
}

static void random_crop_record(const void *self, struct rein_rec *r, const struct rein_step *t, struct rein_batch *b)
{
	const struct random_crop *s = self;
	char why[160];
	rein_val place[2];
	(void)t;
	if (!rein_is_image(r, b->x))
		return;
	for (int k = 0; k < 2; k++) {
		int64_t n = rein_dim(r, b->x, 2 + k), size = s->size.n ? s->size.v[s->size.n > 1 ? k : 0] : n;
		int64_t pad = s->padding.n ? s->padding.v[s->padding.n > 1 ? 1 - k : 0] : 0, room = n + 2 * pad - size;
		if (room < 0 || (s->mode == FILL_REFLECT && pad >= n)) {
			snprintf(why, sizeof why, "a window of %lld does not fit into %lld pixels with padding %lld",
			         (long long)size, (long long)n, (long long)pad);
			rein_refuse(r, why);
			return;
		}
		rein_val first = rein_draw_below(r, k ? "left" : "top", b->x, rein_scalar(r, (double)(room + 1)));
		place[k] = places(s, r, first, n, size, pad);
	}
	b->x = rein_gather_image(r, b->x, place[0], place[1], s->mode == FILL_CONSTANT ? s->fill : 0);
}

static const struct rein_augmentation_vt random_crop_vt = { .struct_size = sizeof random_crop_vt,
	                                                        .record = random_crop_record };
REIN_COMPONENT(random_crop, REIN_AUGMENTATION, struct random_crop, random_crop_keys, &random_crop_vt,
               .create = random_crop_create, .summary = "a window at a random place of the padded image",
               .reference = "torchvision.transforms.RandomCrop");
REIN_PLUGIN("random_crop", "1.0.0", "MIT", &random_crop_component)
