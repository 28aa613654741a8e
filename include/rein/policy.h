/* SPDX-License-Identifier: MIT
 *
 * policy.h: what policies such as RandAugment choose from: elementary changes with a
 * magnitude, one per image, each image another one. A policy is a table of kinds (a row
 * each) and their magnitudes in `bins` steps; drawing from it and applying what was drawn are
 * two calls, so that a policy may override what it likes in between.
 *
 * The five geometric kinds make one warp together, and all that blend with something one
 * blend: a batch costs the same whatever its images drew.
 */
#ifndef REIN_POLICY_H
#define REIN_POLICY_H

#include "color.h"
#include "init.h"

enum {
	REIN_DO_NOTHING,
	REIN_DO_SHEAR_X,     /* tangent */
	REIN_DO_SHEAR_Y,     /* tangent */
	REIN_DO_TRANSLATE_X, /* pixels, rounded toward zero */
	REIN_DO_TRANSLATE_Y, /* pixels, rounded toward zero */
	REIN_DO_ROTATE,      /* degrees, against the clock */
	REIN_DO_BRIGHTNESS,  /* factor - 1 */
	REIN_DO_COLOR,       /* factor - 1 */
	REIN_DO_CONTRAST,    /* factor - 1 */
	REIN_DO_SHARPNESS,   /* factor - 1 */
	REIN_DO_POSTERIZE,   /* bits */
	REIN_DO_SOLARIZE,    /* threshold in 0..1 */
	REIN_DO_AUTOCONTRAST,
	REIN_DO_EQUALIZE,
	REIN_DO_COUNT
};
/* Names as torchvision's _augmentation_space has them, in lower case. */
REIN_UNUSED_ static const char *const rein_do_names[REIN_DO_COUNT + 1] = {
	"identity", "shear_x",   "shear_y",   "translate_x", "translate_y",  "rotate",   "brightness", "color",
	"contrast", "sharpness", "posterize", "solarize",    "autocontrast", "equalize", NULL
};
/* Kinds whose magnitude has its sign drawn. */
static inline int rein_do_signed(int kind) { return kind >= REIN_DO_SHEAR_X && kind <= REIN_DO_SHARPNESS; }

#define REIN_POLICY_BINS 64
struct rein_policy {
	int64_t n, bins;
	int32_t kind[REIN_DO_COUNT];                        /* n of them */
	double magnitude[REIN_DO_COUNT * REIN_POLICY_BINS]; /* n x bins */
};
/* A row whose magnitudes go evenly from `first` to `last`. */
static inline void rein_policy_row(struct rein_policy *p, int kind, double first, double last)
{
	double *m = p->magnitude + p->n * p->bins;
	for (int64_t i = 0; i < p->bins; i++)
		m[i] = p->bins > 1 ? first + (last - first) * (double)i / (double)(p->bins - 1) : first;
	p->kind[p->n++] = kind;
}
/* Keeps the rows a list of names asks for ("rotate,color"; empty: all). A name that is none:
 * an error. For create(). */
static inline rein_status rein_policy_only(struct rein_policy *p, const struct rein_host *h, const char *names)
{
	int64_t kept = 0;
	char wanted[REIN_DO_COUNT] = { 0 };
	for (const char *at = names; *at;) {
		size_t len = 0;
		int found = 0;
		while (at[len] && at[len] != ',')
			len++;
		for (int k = 0; k < REIN_DO_COUNT; k++) {
			size_t i = 0;
			while (i < len && rein_do_names[k][i] == at[i])
				i++;
			if (i == len && len && !rein_do_names[k][i])
				wanted[k] = 1, found = 1;
		}
		if (!found)
			return rein_failf(h, "ops=%s: there is no '%.*s'", names, (int)len, at);
		at += len + (at[len] == ',');
	}
	for (int64_t i = 0; *names && i < p->n; i++) {
		if (!wanted[p->kind[i]])
			continue;
		for (int64_t b = 0; b < p->bins; b++)
			p->magnitude[kept * p->bins + b] = p->magnitude[i * p->bins + b];
		p->kind[kept++] = p->kind[i];
	}
	if (*names)
		p->n = kept;
	return p->n ? REIN_OK : rein_failf(h, "ops=%s: none of them is in this policy", names);
}

/* Draws a row for each image of x, and the sign of its magnitude; `bin` (N) i32 or scalar.
 * *kind (N) i32: REIN_DO_*, *magnitude (N). Streams "op" and "sign". */
static inline void rein_policy_draw(struct rein_rec *r, const struct rein_policy *p, rein_val x, rein_val bin,
                                    rein_val *kind, rein_val *magnitude)
{
	double factor[REIN_DO_COUNT];
	int64_t size = p->n * p->bins;
	rein_val row = rein_draw_below(r, "op", x, rein_scalar(r, (double)p->n));
	rein_val u = rein_draw(r, "sign", x, 0, 1), half = rein_scalar(r, 0.5);
	rein_val at = rein_add(r, rein_mul(r, row, rein_scalar_i(r, (int32_t)p->bins)), bin);
	for (int64_t i = 0; i < p->n; i++)
		factor[i] = rein_do_signed(p->kind[i]) ? -1 : 1;
	*kind = rein_take(r, rein_const(r, REIN_I32_T, 1, &p->n, p->kind), row, 0);
	*magnitude = rein_take(r, rein_const(r, REIN_REAL_T, 1, &size, p->magnitude), at, 0);
	rein_val minus = rein_mul(r, *magnitude, rein_take(r, rein_const(r, REIN_REAL_T, 1, &p->n, factor), row, 0));
	*magnitude = rein_where(r, rein_lt(r, u, half), minus, *magnitude);
}

/* Bool (N): this image's kind is k. */
static inline rein_val rein_does(struct rein_rec *r, rein_val kind, int k)
{
	return rein_eq(r, kind, rein_scalar_i(r, k));
}
static inline rein_val rein_policy_geometry(struct rein_rec *r, rein_val x, rein_val kind, rein_val m, uint32_t mode,
                                            double fill)
{
	double w = (double)rein_dim(r, x, 3), h = (double)rein_dim(r, x, 2);
	rein_val zero = rein_scalar(r, 0), one = rein_scalar(r, 1), part[6];
	rein_val turn = rein_does(r, kind, REIN_DO_ROTATE), sx = rein_does(r, kind, REIN_DO_SHEAR_X);
	rein_val sy = rein_does(r, kind, REIN_DO_SHEAR_Y), tx = rein_does(r, kind, REIN_DO_TRANSLATE_X);
	rein_val ty = rein_does(r, kind, REIN_DO_TRANSLATE_Y);
	rein_val whole = rein_cast(r, rein_cast(r, m, REIN_I32_T), REIN_REAL_T);
	rein_val radian = rein_scale(r, m, 3.14159265358979323846 / 180);
	part[0] = part[4] = rein_where(r, turn, rein_cos(r, radian), one);
	rein_val sine = rein_where(r, turn, rein_sin(r, radian), zero);
	part[1] = rein_where(r, sx, m, rein_neg(r, sine));
	part[3] = rein_where(r, sy, m, sine);
	part[2] = rein_where(r, tx, rein_neg(r, whole), rein_where(r, sx, rein_scale(r, m, h / 2), zero));
	part[5] = rein_where(r, ty, rein_neg(r, whole), rein_where(r, sy, rein_scale(r, m, w / 2), zero));
	return rein_affine(r, x, part, mode, fill);
}
static inline rein_val rein_policy_blends(struct rein_rec *r, rein_val x, rein_val kind, rein_val m)
{
	rein_val with = rein_like(r, x, 0), blends = rein_does(r, kind, REIN_DO_BRIGHTNESS);
	const int kinds[3] = { REIN_DO_COLOR, REIN_DO_CONTRAST, REIN_DO_SHARPNESS };
	rein_val base[3] = { rein_dim(r, x, 1) == 3 ? rein_gray(r, x) : x, rein_gray_mean(r, x), rein_smooth(r, x) };
	for (int k = 0; k < 3; k++) {
		rein_val is = rein_does(r, kind, kinds[k]);
		with = rein_pick(r, is, base[k], with);
		blends = rein_or(r, blends, is);
	}
	return rein_pick(r, blends, rein_blend(r, x, with, rein_offset(r, m, 1)), x);
}
/* Each image changed by its own kind and magnitude. mode, fill: of the geometric ones. */
static inline rein_val rein_policy_apply(struct rein_rec *r, const struct rein_policy *p, rein_val x, rein_val kind,
                                         rein_val m, uint32_t mode, double fill)
{
	int geometry = 0, blends = 0, has[REIN_DO_COUNT] = { 0 };
	for (int64_t i = 0; i < p->n; i++) {
		has[p->kind[i]] = 1;
		geometry |= p->kind[i] >= REIN_DO_SHEAR_X && p->kind[i] <= REIN_DO_ROTATE;
		blends |= p->kind[i] >= REIN_DO_BRIGHTNESS && p->kind[i] <= REIN_DO_SHARPNESS;
	}
	rein_val y = geometry ? rein_policy_geometry(r, x, kind, m, mode, fill) : x;
	if (blends)
		y = rein_policy_blends(r, y, kind, m);
	/* an image has one kind: the others find it as it came */
	if (has[REIN_DO_POSTERIZE]) {
		rein_val is = rein_does(r, kind, REIN_DO_POSTERIZE), all = rein_scalar(r, 8);
		rein_val bits = rein_cast(r, rein_where(r, is, m, all), REIN_I32_T);
		y = rein_pick(r, is, rein_posterize(r, y, bits), y);
	}
	if (has[REIN_DO_SOLARIZE])
		y = rein_pick(r, rein_does(r, kind, REIN_DO_SOLARIZE), rein_solarize(r, y, m), y);
	if (has[REIN_DO_AUTOCONTRAST])
		y = rein_pick(r, rein_does(r, kind, REIN_DO_AUTOCONTRAST), rein_autocontrast(r, y), y);
	if (has[REIN_DO_EQUALIZE])
		y = rein_pick(r, rein_does(r, kind, REIN_DO_EQUALIZE), rein_equalize(r, y), y);
	return y;
}

#endif
