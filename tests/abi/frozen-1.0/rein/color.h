/* SPDX-License-Identifier: MIT
 *
 * color.h: colours and filters of images x (N,C,H,W), real, pixels in 0..1; strengths are one
 * number per image, (N). Formulas are those of torchvision.transforms.functional on tensors;
 * what counts in bytes there (posterize, equalize) rounds to bytes here.
 */
#ifndef REIN_COLOR_H
#define REIN_COLOR_H

#include "image.h"

/* clip(f a + (1 - f) b, 0, 1), f (N) */
static inline rein_val rein_blend(struct rein_rec *r, rein_val a, rein_val b, rein_val f)
{
	rein_val k = rein_per_image(r, f), rest = rein_sub(r, rein_scalar(r, 1), k);
	return rein_clip(r, rein_add(r, rein_mul(r, a, k), rein_mul(r, b, rest)), 0, 1);
}
/* .2989 R + .587 G + .114 B, (N,1,H,W); other numbers of channels: the first one */
static inline rein_val rein_gray(struct rein_rec *r, rein_val x)
{
	if (rein_dim(r, x, 1) != 3)
		return rein_narrow(r, x, 1, 0, 1);
	rein_val sum = rein_scale(r, rein_narrow(r, x, 1, 0, 1), 0.2989);
	sum = rein_add(r, sum, rein_scale(r, rein_narrow(r, x, 1, 1, 1), 0.587));
	return rein_add(r, sum, rein_scale(r, rein_narrow(r, x, 1, 2, 1), 0.114));
}
/* The mean of the grey image, (N,1,1,1) */
static inline rein_val rein_gray_mean(struct rein_rec *r, rein_val x)
{
	return rein_mean_over(r, rein_gray(r, x), REIN_AXIS(1) | REIN_AXIS(2) | REIN_AXIS(3), REIN_KEEP);
}
static inline rein_val rein_brightness(struct rein_rec *r, rein_val x, rein_val f)
{
	return rein_blend(r, x, rein_scalar(r, 0), f);
}
static inline rein_val rein_contrast(struct rein_rec *r, rein_val x, rein_val f)
{
	return rein_blend(r, x, rein_gray_mean(r, x), f);
}
static inline rein_val rein_saturation(struct rein_rec *r, rein_val x, rein_val f)
{
	return rein_dim(r, x, 1) == 3 ? rein_blend(r, x, rein_gray(r, x), f) : x;
}
/* x smoothed by [1 1 1; 1 5 1; 1 1 1] / 13, its border kept */
static inline rein_val rein_smooth(struct rein_rec *r, rein_val x)
{
	int64_t h = rein_dim(r, x, 2), w = rein_dim(r, x, 3);
	if (h <= 2 || w <= 2)
		return x;
	rein_val rows = rein_add(r, rein_narrow(r, x, 2, 0, h - 2), rein_narrow(r, x, 2, 1, h - 2));
	rows = rein_add(r, rows, rein_narrow(r, x, 2, 2, h - 2)); /* (N,C,H-2,W) */
	rein_val all = rein_add(r, rein_narrow(r, rows, 3, 0, w - 2), rein_narrow(r, rows, 3, 1, w - 2));
	all = rein_add(r, all, rein_narrow(r, rows, 3, 2, w - 2)); /* (N,C,H-2,W-2) */
	rein_val middle = rein_narrow(r, rein_narrow(r, x, 2, 1, h - 2), 3, 1, w - 2);
	all = rein_div(r, rein_add(r, all, rein_scale(r, middle, 4)), rein_scalar(r, 13));
	rein_val i = rein_places(r, 2, h, -0.5 * (double)(h - 1), 1), j = rein_places(r, 3, w, -0.5 * (double)(w - 1), 1);
	rein_val inner = rein_and(r, rein_lt(r, rein_abs(r, i), rein_scalar(r, 0.5 * (double)(h - 1))),
	                          rein_lt(r, rein_abs(r, j), rein_scalar(r, 0.5 * (double)(w - 1))));
	return rein_where(r, inner, rein_pad(r, all, 1, 1, h, w), x);
}
static inline rein_val rein_sharpness(struct rein_rec *r, rein_val x, rein_val f)
{
	return rein_blend(r, x, rein_smooth(r, x), f);
}
static inline rein_val rein_invert(struct rein_rec *r, rein_val x) { return rein_sub(r, rein_scalar(r, 1), x); }
/* 1 - x where x >= threshold (N) */
static inline rein_val rein_solarize(struct rein_rec *r, rein_val x, rein_val threshold)
{
	return rein_where(r, rein_le(r, rein_per_image(r, threshold), x), rein_invert(r, x), x);
}
/* The pixel's byte, 0..255, as a real number. */
static inline rein_val rein_bytes(struct rein_rec *r, rein_val x)
{
	return rein_clip(r, rein_rint(r, rein_scale(r, x, 255)), 0, 255);
}
/* The upper `bits` (N), i32, 0..8, of each byte stay. */
static inline rein_val rein_posterize(struct rein_rec *r, rein_val x, rein_val bits)
{
	static const double step[9] = { 256, 128, 64, 32, 16, 8, 4, 2, 1 };
	static const int64_t nine = 9;
	rein_val k = rein_per_image(r, rein_take(r, rein_const(r, REIN_REAL_T, 1, &nine, step), bits, 0));
	return rein_div(r, rein_mul(r, rein_floor(r, rein_div(r, rein_bytes(r, x), k)), k), rein_scalar(r, 255));
}
/* Each channel stretched to 0..1: (x - min) / (max - min); constant ones stay. */
static inline rein_val rein_autocontrast(struct rein_rec *r, rein_val x)
{
	uint32_t plane = REIN_AXIS(2) | REIN_AXIS(3);
	rein_val lo = rein_neg(r, rein_amax(r, rein_neg(r, x), plane, REIN_KEEP));
	rein_val span = rein_sub(r, rein_amax(r, x, plane, REIN_KEEP), lo), zero = rein_scalar(r, 0);
	rein_val flat = rein_le(r, span, zero);
	rein_val scale = rein_div(r, rein_scalar(r, 1), rein_where(r, flat, rein_scalar(r, 1), span));
	return rein_clip(r, rein_mul(r, rein_sub(r, x, rein_where(r, flat, zero, lo)), scale), 0, 1);
}
/* Each channel's histogram made even: with counts c(k) of the 256 bytes, step = floor((pixels
 * - count of the largest byte there is) / 255), byte k becomes floor((sum of c below k +
 * floor(step / 2)) / step), at most 255; step 0: nothing changes. */
static inline rein_val rein_equalize(struct rein_rec *r, rein_val x)
{
	int64_t n = rein_dim(r, x, 0), c = rein_dim(r, x, 1), h = rein_dim(r, x, 2), w = rein_dim(r, x, 3);
	int64_t flat[2] = { n * c, h * w }, column[2] = { n * c, 1 }, back[4] = { n, c, h, w };
	struct rein_attr last = { sizeof last, REIN_AXIS(1), REIN_EXCLUSIVE, 0, 0, 0, { 0 }, { 0 }, { 0 }, { 0 }, NULL };
	rein_val q = rein_reshape(r, rein_cast(r, rein_bytes(r, x), REIN_I32_T), 2, flat);
	rein_val one = rein_fill(r, REIN_I32_T, 1, 2, flat);
	rein_val count = rein_put(r, REIN_NONE, q, one, 1, 256, REIN_PUT_ADD); /* (N C,256) */
	rein_val top = rein_reshape(r, rein_amax(r, q, REIN_AXIS(1), 0), 2, column);
	rein_val most = rein_sub(r, rein_scalar_i(r, (int32_t)(h * w)), rein_take(r, count, top, 1)), below;
	rein_val step = rein_cast(r, rein_div(r, most, rein_scalar_i(r, 255)), REIN_REAL_T); /* (N C,1) */
	rein_op(r, REIN_OP_CUMSUM, 1, &count, &last, 1, &below);
	rein_val none = rein_le(r, step, rein_scalar(r, 0)), safe = rein_where(r, none, rein_scalar(r, 1), step);
	rein_val half = rein_floor(r, rein_scale(r, step, 0.5));
	rein_val map = rein_floor(r, rein_div(r, rein_add(r, rein_cast(r, below, REIN_REAL_T), half), safe));
	map = rein_div(r, rein_clip(r, map, 0, 255), rein_scalar(r, 255)); /* (N C,256) */
	rein_val even = rein_where(r, none, rein_reshape(r, x, 2, flat), rein_take(r, map, q, 1));
	return rein_reshape(r, even, 4, back);
}

#endif
