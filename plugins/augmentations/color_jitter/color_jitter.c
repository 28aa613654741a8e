/* SPDX-License-Identifier: MIT
 *
 * color_jitter: brightness, contrast, saturation and hue by random amounts, in random order.
 * Factors f: brightness f x; contrast f x + (1 - f) mean of grey; saturation f x + (1 - f) grey,
 * each clipped to 0..1; hue turns by a share of the circle in HSV. Grey images have no
 * saturation and no hue. Order: the four, by one permutation for each image.
 */
#include "rein/rein.h"

enum { BRIGHTNESS, CONTRAST, SATURATION, HUE, KINDS };

struct color_jitter {
	struct rein_reals brightness, contrast, saturation, hue;
};
static const struct rein_key color_jitter_keys[] = {
	REIN_REALS(struct color_jitter, brightness, "0", 0, 1e3, 0, "factor from,to; one number a: max(0, 1-a),1+a"),
	REIN_REALS(struct color_jitter, contrast, "0", 0, 1e3, 0, "the same"),
	REIN_REALS(struct color_jitter, saturation, "0", 0, 1e3, 0, "the same"),
	REIN_REALS(struct color_jitter, hue, "0", -0.5, 0.5, 0,
	           "turn from,to, as shares of the circle; one number a: -a,a"),
	REIN_KEYS_END
};

static const struct rein_reals *key_of(const struct color_jitter *s, int kind)
{
	const struct rein_reals *const key[KINDS] = { &s->brightness, &s->contrast, &s->saturation, &s->hue };
	return key[kind];
}
static const char *const names[KINDS] = { "brightness", "contrast", "saturation", "hue" };

static rein_status color_jitter_create(void *self, const struct rein_host *h)
{
	for (int k = 0; k < KINDS; k++)
		if (rein_range_check(h, names[k], key_of(self, k)) < 0)
			return REIN_ERROR;
	return REIN_OK;
}

/* to HSV, h + turn modulo 1, and back */
/* clang-format off */
REIN_MAP(turn_hue, (r, g, b, turn), (r2, g2, b2), (),
	real most = r > g ? (r > b ? r : b) : (g > b ? g : b);
	real least = r < g ? (r < b ? r : b) : (g < b ? g : b);
	real range = most - least;
	real s = range / (range > 0 ? most : 1);
	real by = range > 0 ? range : 1;
	real rc = (most - r) / by;
	real gc = (most - g) / by;
	real bc = (most - b) / by;
	real sector = most == r ? bc - gc : most == g ? 2 + rc - bc : 4 + gc - rc;
	real h = sector / 6 + 1;
	h = h - floor(h) + turn;
	h = (h - floor(h)) * 6;
	real i = floor(h);
	real f = h - i;
	i = i >= 6 ? 0 : i;
	real p = most * (1 - s);
	real q = most * (1 - s * f);
	real t = most * (1 - s * (1 - f));
	r2 = i == 0 || i == 5 ? most : i == 1 ? q : i == 4 ? t : p;
	g2 = i == 1 || i == 2 ? most : i == 0 ? t : i == 3 ? q : p;
	b2 = i == 3 || i == 4 ? most : i == 2 ? t : i == 5 ? q : p;
	r2 = r2 < 0 ? 0 : r2 > 1 ? 1 : r2;
	g2 = g2 < 0 ? 0 : g2 > 1 ? 1 : g2;
	b2 = b2 < 0 ? 0 : b2 > 1 ? 1 : b2;
)
/* clang-format on */

static rein_val hue(struct rein_rec *r, rein_val x, rein_val turn)
{
	rein_val in[4] = { REIN_NONE, REIN_NONE, REIN_NONE, rein_per_image(r, turn) }, out[3];
	for (uint32_t c = 0; c < 3; c++)
		in[c] = rein_narrow(r, x, 1, c, 1);
	rein_map(r, &turn_hue, in, NULL, out);
	return rein_concat(r, 3, out, 1);
}

static rein_val change(struct rein_rec *r, rein_val x, int kind, rein_val f)
{
	switch (kind) {
	case BRIGHTNESS: return rein_brightness(r, x, f);
	case CONTRAST: return rein_contrast(r, x, f);
	case SATURATION: return rein_saturation(r, x, f);
	default: return hue(r, x, f);
	}
}

static void color_jitter_record(const void *self, struct rein_rec *r, const struct rein_step *t, struct rein_batch *b)
{
	const struct color_jitter *s = self;
	rein_val factor[KINDS], order;
	int kinds[KINDS], n = 0;
	(void)t;
	if (!rein_is_image(r, b->x))
		return;
	int64_t rows = rein_dim(r, b->x, 0), drawn[2] = { rows, KINDS };
	for (int k = 0; k < KINDS; k++) {
		struct rein_range range = rein_range_of(key_of(s, k), k == HUE ? 0 : 1, k == HUE ? -0.5 : 0);
		double none = k == HUE ? 0 : 1;
		factor[k] = rein_draw(r, names[k], b->x, range.lo, range.hi);
		if ((range.lo != none || range.hi != none) && (k < SATURATION || rein_dim(r, b->x, 1) == 3))
			kinds[n++] = k;
	}
	/* entry i of the sorted draws' index: which kind comes i-th */
	rein_sort(r, rein_random(r, "order", REIN_UNIFORM, REIN_PER_SAMPLE, 2, drawn), 0, &order);
	for (int place = 0; place < KINDS && n; place++) {
		rein_val who = rein_reshape(r, rein_narrow(r, order, 1, place, 1), 1, &rows), y = b->x;
		for (int k = 0; k < n; k++)
			y = rein_pick(r, rein_eq(r, who, rein_scalar_i(r, kinds[k])), change(r, b->x, kinds[k], factor[kinds[k]]),
			              y);
		b->x = y;
	}
}

static const struct rein_augmentation_vt color_jitter_vt = { .struct_size = sizeof color_jitter_vt,
	                                                         .record = color_jitter_record };
REIN_COMPONENT(color_jitter, REIN_AUGMENTATION, struct color_jitter, color_jitter_keys, &color_jitter_vt,
               .create = color_jitter_create, .summary = "brightness, contrast, saturation and hue by random amounts",
               .reference = "torchvision.transforms.ColorJitter");
REIN_PLUGIN("color_jitter", "1.0.0", "MIT", &color_jitter_component)
