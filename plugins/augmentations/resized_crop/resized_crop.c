/* SPDX-License-Identifier: MIT
 *
 * resized_crop: a window of random area and shape, made size=height,width. Area is uniform in
 * scale= (shares of the image), the logarithm of width / height uniform between those of
 * ratio=; the first of ten tries that fits, else the largest middle window whose shape is in
 * ratio=. Bilinear: output i sits at c = top + (i + 1/2) h / height; input j weighs
 * max(0, 1 - |j + 1/2 - c| / s), normalised over the window, s = max(h / height, 1) with
 * antialias, else 1. So it is two products of matrices for each image.
 */
#include "rein/rein.h"

#define TRIES 10

struct resized_crop {
	struct rein_ints size;
	struct rein_reals scale, ratio;
	int32_t antialias;
};
static const struct rein_key resized_crop_keys[] = {
	REIN_INTS(struct resized_crop, size, "", 1, 65536, REIN_KEY_MAY_BE_EMPTY,
	          "height,width; one number stands for both; empty: those of the image"),
	REIN_REALS(struct resized_crop, scale, "0.08,1", 1e-6, 1, 0, "area of the window: from,to, as shares of the image"),
	REIN_REALS(struct resized_crop, ratio, "3/4,4/3", 1e-3, 1e3, 0, "width / height: from,to"),
	REIN_BOOL(struct resized_crop, antialias, "yes", "weights as wide as the step between output pixels"), REIN_KEYS_END
};

static rein_status resized_crop_create(void *self, const struct rein_host *h)
{
	const struct resized_crop *s = self;
	if (s->size.n > 2 || s->scale.n != 2 || s->ratio.n != 2)
		return rein_failf(h, "size= takes one or two numbers, scale= and ratio= two");
	return rein_range_check(h, "scale", &s->scale) < 0 ? REIN_ERROR : rein_range_check(h, "ratio", &s->ratio);
}

/* The window where no try fits: { height, width } */
static void fallback(const struct resized_crop *s, double h, double w, double size[2])
{
	double shape = w / h;
	size[0] = h;
	size[1] = w;
	if (shape < s->ratio.v[0])
		size[0] = rint(w / s->ratio.v[0]);
	else if (shape > s->ratio.v[1])
		size[1] = rint(h * s->ratio.v[1]);
}

/* size[2], first[2] of the window, (N) each: height and top, width and left */
static void window(const struct resized_crop *s, struct rein_rec *r, rein_val x, rein_val size[2], rein_val first[2])
{
	double side[2] = { (double)rein_dim(r, x, 2), (double)rein_dim(r, x, 3) }, whole[2];
	int64_t n = rein_dim(r, x, 0), tries[2] = { n, TRIES }, row[2] = { n, 1 };
	rein_val one = rein_scalar(r, 1), none = rein_scalar(r, 0), good = REIN_NONE, tried[2];
	rein_val u = rein_random(r, "area", REIN_UNIFORM, REIN_PER_SAMPLE, 2, tries);
	rein_val v = rein_random(r, "shape", REIN_UNIFORM, REIN_PER_SAMPLE, 2, tries);
	double from = log(s->ratio.v[0]), to = log(s->ratio.v[1]), area = side[0] * side[1];
	u = rein_scale(r, rein_offset(r, rein_scale(r, u, s->scale.v[1] - s->scale.v[0]), s->scale.v[0]), area);
	v = rein_exp(r, rein_offset(r, rein_scale(r, v, to - from), from));
	tried[0] = rein_rint(r, rein_sqrt(r, rein_div(r, u, v)));
	tried[1] = rein_rint(r, rein_sqrt(r, rein_mul(r, u, v)));
	for (int k = 0; k < 2; k++) {
		rein_val fits = rein_and(r, rein_le(r, one, tried[k]), rein_le(r, tried[k], rein_scalar(r, side[k])));
		good = k ? rein_and(r, good, fits) : fits;
	}
	rein_val pick = rein_argmax(r, rein_cast(r, good, REIN_REAL_T)), any = rein_amax(r, good, REIN_AXIS(1), 0);
	fallback(s, side[0], side[1], whole);
	for (int k = 0; k < 2; k++) {
		rein_val chosen = rein_reshape(r, rein_take(r, tried[k], rein_reshape(r, pick, 2, row), 1), 1, &n);
		size[k] = rein_where(r, any, chosen, rein_scalar(r, whole[k]));
		rein_val room = rein_sub(r, rein_scalar(r, side[k]), size[k]);
		rein_val drawn = rein_draw_below(r, k ? "left" : "top", x, rein_offset(r, room, 1));
		rein_val middle = rein_floor(r, rein_scale(r, room, 0.5));
		first[k] = rein_where(r, any, rein_cast(r, drawn, REIN_REAL_T), rein_add(r, middle, none));
	}
}

/* Weights (N,to,from) of one axis: output i, input j. */
static rein_val weights(struct rein_rec *r, rein_val first, rein_val size, int64_t from, int64_t to, int antialias)
{
	int64_t n = rein_dim(r, first, 0), each[3] = { n, 1, 1 }, out[3] = { 1, to, 1 }, in[3] = { 1, 1, from };
	rein_val one = rein_scalar(r, 1), zero = rein_scalar(r, 0);
	rein_val f = rein_reshape(r, first, 3, each), s = rein_reshape(r, size, 3, each);
	rein_val step = rein_scale(r, s, 1 / (double)to), wide = antialias ? rein_max(r, step, one) : one;
	rein_val i = rein_offset(r, rein_cast(r, rein_iota(r, 1, 3, out), REIN_REAL_T), 0.5);
	rein_val j = rein_offset(r, rein_cast(r, rein_iota(r, 2, 3, in), REIN_REAL_T), 0.5);
	rein_val centre = rein_add(r, rein_mul(r, i, step), f); /* (N,to,1) */
	rein_val far = rein_div(r, rein_abs(r, rein_sub(r, j, centre)), wide);
	rein_val w = rein_max(r, rein_sub(r, one, far), zero);
	rein_val inside = rein_and(r, rein_lt(r, f, j), rein_lt(r, j, rein_add(r, f, s)));
	w = rein_where(r, inside, w, zero);
	return rein_div(r, w, rein_sum_over(r, w, REIN_AXIS(2), REIN_KEEP));
}

static void resized_crop_record(const void *self, struct rein_rec *r, const struct rein_step *t, struct rein_batch *b)
{
	const struct resized_crop *s = self;
	rein_val size[2], first[2], x = b->x;
	(void)t;
	if (!rein_is_image(r, x))
		return;
	int64_t n = rein_dim(r, x, 0), c = rein_dim(r, x, 1), h = rein_dim(r, x, 2), w = rein_dim(r, x, 3);
	int64_t to[2] = { s->size.n ? s->size.v[0] : h, s->size.n ? s->size.v[s->size.n - 1] : w };
	int64_t rows[3] = { n, c * h, w }, split[4] = { n, c, h, to[1] }, back[4] = { 0, 2, 1, 3 };
	int64_t columns[3] = { n, h, c * to[1] }, joined[4] = { n, to[0], c, to[1] };
	window(s, r, x, size, first);
	rein_val across = weights(r, first[1], size[1], w, to[1], s->antialias); /* (N,W',W) */
	rein_val down = weights(r, first[0], size[0], h, to[0], s->antialias);   /* (N,H',H) */
	rein_val y = rein_matmul(r, rein_reshape(r, x, 3, rows), across, REIN_TB);
	y = rein_permute(r, rein_reshape(r, y, 4, split), 4, back); /* (N,H,C,W') */
	y = rein_matmul(r, down, rein_reshape(r, y, 3, columns), 0);
	b->x = rein_permute(r, rein_reshape(r, y, 4, joined), 4, back);
}

static const struct rein_augmentation_vt resized_crop_vt = { .struct_size = sizeof resized_crop_vt,
	                                                         .record = resized_crop_record };
REIN_COMPONENT(resized_crop, REIN_AUGMENTATION, struct resized_crop, resized_crop_keys, &resized_crop_vt,
               .create = resized_crop_create, .summary = "a window of random area and shape, resized",
               .reference = "torchvision.transforms.RandomResizedCrop");
REIN_PLUGIN("resized_crop", "1.0.0", "MIT", &resized_crop_component)
