/* SPDX-License-Identifier: MIT
 *
 * image.h: what augmentations of images are made of: draws per image, flips, crops, affine
 * maps. Images are x (N,C,H,W), real, pixels in 0..1 (stored bytes / 255). A value per image
 * is a vector (N). Colours and filters are in color.h. Conventions are those of
 * torchvision.transforms.functional on tensors.
 */
#ifndef REIN_IMAGE_H
#define REIN_IMAGE_H

#include "host.h"
#include "math.h"

/* --- keys ----------------------------------------------------------------------------- */
struct rein_range {
	double lo, hi;
};
/* A key with two numbers is that range; with one number a: middle - a .. middle + a, but
 * not below `least`; empty: 0 numbers give middle alone. */
static inline struct rein_range rein_range_of(const struct rein_reals *key, double middle, double least)
{
	struct rein_range o = { middle, middle };
	if (key->n == 1) {
		o.lo = middle - key->v[0] < least ? least : middle - key->v[0];
		o.hi = middle + key->v[0];
	} else if (key->n > 1) {
		o.lo = key->v[0];
		o.hi = key->v[1];
	}
	return o;
}
/* For create(): a range has at most two numbers, the smaller one first. */
static inline rein_status rein_range_check(const struct rein_host *h, const char *key, const struct rein_reals *v)
{
	if (v->n > 2)
		return rein_failf(h, "%s= has %lld numbers; one or two are expected", key, (long long)v->n);
	if (v->n == 2 && !(v->v[0] <= v->v[1]))
		return rein_failf(h, "%s=%g,%g: the smaller number comes first", key, v->v[0], v->v[1]);
	return REIN_OK;
}
/* Is x a batch of images? Else refuses. */
static inline int rein_is_image(struct rein_rec *r, rein_val x)
{
	if (rein_rank(r, x) == 4 && rein_dtype(r, x) == REIN_REAL_T)
		return 1;
	if (rein_rank(r, x) >= 0)
		rein_refuse(r, "needs images, (N,C,H,W)");
	return 0;
}

/* --- values per image ------------------------------------------------------------------- */
/* v (N) -> (N,1,1,1), to meet images */
static inline rein_val rein_per_image(struct rein_rec *r, rein_val v)
{
	int64_t dim[4] = { rein_dim(r, v, 0), 1, 1, 1 };
	return rein_reshape(r, v, 4, dim);
}
/* (N): uniform in lo..hi, one draw for each image of x. The draw is u in [0,1). */
static inline rein_val rein_draw(struct rein_rec *r, const char *stream, rein_val x, double lo, double hi)
{
	int64_t n = rein_dim(r, x, 0);
	rein_val u = rein_random(r, stream, REIN_UNIFORM, REIN_PER_SAMPLE, 1, &n);
	return rein_offset(r, rein_scale(r, u, hi - lo), lo);
}
/* (N) i32: uniform over 0..count-1; count (N) or scalar, real, whole, at most 2^24. */
static inline rein_val rein_draw_below(struct rein_rec *r, const char *stream, rein_val x, rein_val count)
{
	int64_t n = rein_dim(r, x, 0);
	rein_val u = rein_random(r, stream, REIN_UNIFORM, REIN_PER_SAMPLE, 1, &n);
	return rein_cast(r, rein_floor(r, rein_mul(r, u, count)), REIN_I32_T);
}
/* Where when (N) bool holds a's image, else b's. */
static inline rein_val rein_pick(struct rein_rec *r, rein_val when, rein_val a, rein_val b)
{
	return rein_where(r, rein_per_image(r, when), a, b);
}

/* --- geometry ------------------------------------------------------------------------------ */
/* One axis turned round. */
static inline rein_val rein_flip(struct rein_rec *r, rein_val x, uint32_t axis)
{
	struct rein_attr a = { sizeof a, 0, 0, 0, (uint32_t)rein_rank(r, x), 0, { 0 }, { 0 }, { 0 }, { 0 }, NULL };
	rein_val y;
	for (uint32_t i = 0; i < a.rank && i < REIN_MAX_RANK; i++) {
		a.dim[i] = rein_dim(r, x, (int32_t)i);
		a.start[i] = i == axis ? a.dim[i] - 1 : 0;
		a.step[i] = i == axis ? -1 : 1;
	}
	rein_op(r, REIN_OP_SLICE, 1, &x, &a, 1, &y);
	return y;
}
/* Zeros around x on its last two axes. */
static inline rein_val rein_pad(struct rein_rec *r, rein_val x, int64_t top, int64_t left, int64_t height,
                                int64_t width)
{
	struct rein_attr a = { sizeof a, 0, 0, 0, (uint32_t)rein_rank(r, x), 0, { 0 }, { 0 }, { 0 }, { 0 }, NULL };
	rein_val y;
	for (uint32_t i = 0; i < a.rank && i < REIN_MAX_RANK; i++) {
		a.dim[i] = i + 2 == a.rank ? height : i + 1 == a.rank ? width : rein_dim(r, x, (int32_t)i);
		a.start[i] = i + 2 == a.rank ? top : i + 1 == a.rank ? left : 0;
		a.step[i] = 1;
	}
	rein_op(r, REIN_OP_UNSLICE, 1, &x, &a, 1, &y);
	return y;
}
/* (1,1,H,1) or (1,1,1,W): the index along axis 2 or 3 of an image, times `step`, plus `from`. */
static inline rein_val rein_places(struct rein_rec *r, uint32_t axis, int64_t n, double from, double step)
{
	int64_t dim[4] = { 1, 1, axis == 2 ? n : 1, axis == 3 ? n : 1 };
	rein_val i = rein_cast(r, rein_iota(r, axis, 4, dim), REIN_REAL_T);
	return rein_offset(r, rein_scale(r, i, step), from);
}
/* x'(i,j) = x(rows(i), columns(j)), `fill` outside: rows (N,H'), columns (N,W') i32 are places in
 * x (N,C,H,W), one list for each image; the result is (N,C,H',W'). */
static inline rein_val rein_gather_image(struct rein_rec *r, rein_val x, rein_val rows, rein_val columns, double fill)
{
	int64_t n = rein_dim(r, x, 0), c = rein_dim(r, x, 1), h = rein_dim(r, x, 2), w = rein_dim(r, x, 3);
	int64_t to[2] = { rein_dim(r, rows, 1), rein_dim(r, columns, 1) }, plane[3] = { n, c, h * w };
	int64_t down[3] = { n, to[0], 1 }, across[3] = { n, 1, to[1] }, flat[3] = { n, 1, to[0] * to[1] };
	int64_t image[4] = { n, c, to[0], to[1] }, one[4] = { n, 1, to[0], to[1] };
	rein_val i = rein_reshape(r, rows, 3, down), j = rein_reshape(r, columns, 3, across), zero = rein_scalar_i(r, 0);
	rein_val in = rein_and(r, rein_le(r, zero, i), rein_lt(r, i, rein_scalar_i(r, (int32_t)h)));
	in = rein_and(r, in, rein_and(r, rein_le(r, zero, j), rein_lt(r, j, rein_scalar_i(r, (int32_t)w))));
	rein_val at = rein_add(r, rein_mul(r, i, rein_scalar_i(r, (int32_t)w)), j);
	at = rein_reshape(r, rein_where(r, in, at, rein_scalar_i(r, -1)), 3, flat);
	rein_val y = rein_reshape(r, rein_take(r, rein_reshape(r, x, 3, plane), at, 2), 4, image);
	return fill == 0 ? y : rein_where(r, rein_reshape(r, in, 4, one), y, rein_scalar(r, fill));
}
/* xy (N,H',W',2): column and row in x of every pixel of the result; mode REIN_NEAREST or
 * REIN_BILINEAR; what lies outside is `fill`. */
static inline rein_val rein_warp(struct rein_rec *r, rein_val x, rein_val xy, uint32_t mode, double fill)
{
	struct rein_attr a = { sizeof a, 0, 0, mode, 0, 0, { 0 }, { 0 }, { 0 }, { fill }, NULL };
	rein_val in[2] = { x, xy }, y;
	rein_op(r, REIN_OP_WARP, 2, in, &a, 1, &y);
	return y;
}
/* Pixel (column, row), counted from the middle of the image, is taken from
 *   (m0 column + m1 row + m2, m3 column + m4 row + m5);  m[k] are (N) or scalars. */
static inline rein_val rein_affine(struct rein_rec *r, rein_val x, const rein_val m[6], uint32_t mode, double fill)
{
	int64_t n = rein_dim(r, x, 0), h = rein_dim(r, x, 2), w = rein_dim(r, x, 3);
	int64_t one[4] = { n, 1, 1, 1 }, all[4] = { n, h, w, 1 };
	double middle[2] = { 0.5 * (double)(w - 1), 0.5 * (double)(h - 1) };
	rein_val column, row, xy[2], part[6];
	int64_t across[4] = { 1, 1, w, 1 }, down[4] = { 1, h, 1, 1 };
	column = rein_offset(r, rein_cast(r, rein_iota(r, 2, 4, across), REIN_REAL_T), -middle[0]);
	row = rein_offset(r, rein_cast(r, rein_iota(r, 1, 4, down), REIN_REAL_T), -middle[1]);
	for (int k = 0; k < 6; k++)
		part[k] = rein_rank(r, m[k]) == 0 ? m[k] : rein_reshape(r, m[k], 4, one);
	for (int k = 0; k < 2; k++) {
		rein_val at = rein_add(r, rein_mul(r, column, part[3 * k]), rein_mul(r, row, part[3 * k + 1]));
		at = rein_offset(r, rein_add(r, at, part[3 * k + 2]), middle[k]);
		xy[k] = rein_expand(r, at, 4, all);
	}
	return rein_warp(r, x, rein_concat(r, 2, xy, 3), mode, fill);
}
/* m of a turn by `angle` degrees with the clock, translation (tx, ty) in pixels, scale and
 * shear in degrees along both axes; all (N). As torchvision's inverse affine matrix. */
static inline void rein_affine_matrix(struct rein_rec *r, rein_val angle, rein_val tx, rein_val ty, rein_val scale,
                                      rein_val shear_x, rein_val shear_y, rein_val m[6])
{
	const double radian = 3.14159265358979323846 / 180;
	rein_val sx = rein_scale(r, shear_x, radian), sy = rein_scale(r, shear_y, radian);
	rein_val rot = rein_scale(r, angle, radian), turned = rein_sub(r, rot, sy), cy = rein_cos(r, sy);
	rein_val tan_x = rein_div(r, rein_sin(r, sx), rein_cos(r, sx));
	rein_val a = rein_div(r, rein_cos(r, turned), cy), c = rein_div(r, rein_sin(r, turned), cy);
	rein_val b = rein_neg(r, rein_add(r, rein_mul(r, a, tan_x), rein_sin(r, rot)));
	rein_val d = rein_sub(r, rein_cos(r, rot), rein_mul(r, c, tan_x));
	m[0] = rein_div(r, d, scale);
	m[1] = rein_div(r, rein_neg(r, b), scale);
	m[3] = rein_div(r, rein_neg(r, c), scale);
	m[4] = rein_div(r, a, scale);
	m[2] = rein_neg(r, rein_add(r, rein_mul(r, m[0], tx), rein_mul(r, m[1], ty)));
	m[5] = rein_neg(r, rein_add(r, rein_mul(r, m[3], tx), rein_mul(r, m[4], ty)));
}
/* (N,1,H,W) bool: rows top..bottom-1 and columns left..right-1; all (N), real. */
static inline rein_val rein_inside(struct rein_rec *r, rein_val x, rein_val top, rein_val left, rein_val bottom,
                                   rein_val right)
{
	rein_val i = rein_places(r, 2, rein_dim(r, x, 2), 0, 1), j = rein_places(r, 3, rein_dim(r, x, 3), 0, 1);
	rein_val rows = rein_and(r, rein_le(r, rein_per_image(r, top), i), rein_lt(r, i, rein_per_image(r, bottom)));
	rein_val cols = rein_and(r, rein_le(r, rein_per_image(r, left), j), rein_lt(r, j, rein_per_image(r, right)));
	return rein_and(r, rows, cols);
}

#endif
