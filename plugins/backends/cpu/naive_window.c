/* SPDX-License-Identifier: MIT
 *
 * naive_window.c: reference kernels of pooling. A window's tap (i, j) reads input row
 * out_row * stride - pad + i * dilation; taps outside are -inf for max, nothing for avg.
 */
#include <math.h>
#include <string.h>

#include "naive.h"

struct pool2d {
	int64_t planes, H, W, Ho, Wo, sh, sw, kh, kw, ph, pw, dh, dw;
};
static void pool_init(struct pool2d *v, const struct rein_attr *a, const struct rein_prog_value *x,
                      const struct rein_prog_value *y)
{
	v->planes = x->dim[0] * x->dim[1], v->H = x->dim[2], v->W = x->dim[3], v->Ho = y->dim[2], v->Wo = y->dim[3];
	v->sh = a->step[0], v->sw = a->step[1], v->kh = a->step[2], v->kw = a->step[3];
	v->ph = a->start[0], v->pw = a->start[1];
	v->dh = a->start[2] ? a->start[2] : 1, v->dw = a->start[3] ? a->start[3] : 1;
}
/* Position of a tap in its plane, or -1 in the padding. */
static int64_t tap(const struct pool2d *v, int64_t oh, int64_t ow, int64_t i, int64_t j)
{
	int64_t ih = oh * v->sh - v->ph + i * v->dh, iw = ow * v->sw - v->pw + j * v->dw;
	return ih < 0 || ih >= v->H || iw < 0 || iw >= v->W ? -1 : ih * v->W + iw;
}

/* The first of ties, the first NaN; a window wholly in the padding gives -inf at index -1. */
static rein_status max_pool(const struct call *c)
{
	struct pool2d v;
	pool_init(&v, &c->i->attr, in_value(c, 0), out_value(c, 0));
	real *y = out_mem(c, 0);
	int32_t *index = out_mem(c, 1);
	for (int64_t p = 0; p < v.planes; p++) {
		const real *x = (const real *)in_mem(c, 0) + p * v.H * v.W;
		for (int64_t q = 0; q < v.Ho * v.Wo; q++) {
			int64_t best = -1;
			for (int64_t t = 0; t < v.kh * v.kw; t++) {
				int64_t at = tap(&v, q / v.Wo, q % v.Wo, t / v.kw, t % v.kw);
				if (at < 0)
					continue;
				if (best < 0 || (x[best] == x[best] && (x[at] != x[at] || x[at] > x[best])))
					best = at;
			}
			if (y)
				*y++ = best < 0 ? -(real)INFINITY : x[best];
			if (index)
				*index++ = (int32_t)best;
		}
	}
	return REIN_OK;
}

/* dx[index[q]] += g[q] in ascending q; work: doubles of x's shape */
static rein_status max_pool_dx(const struct call *c)
{
	const struct rein_prog_value *x = out_value(c, 0), *g = in_value(c, 0);
	int64_t planes = x->dim[0] * x->dim[1], plane = x->count / planes, n = g->count / planes;
	const real *grad = in_mem(c, 0);
	const int32_t *index = in_mem(c, 1);
	double *acc = c->work;
	memset(acc, 0, (size_t)x->count * sizeof *acc);
	for (int64_t q = 0; q < g->count; q++)
		if (index[q] >= 0 && index[q] < plane)
			acc[q / n * plane + index[q]] += (double)grad[q];
	for (int64_t e = 0; e < x->count; e++)
		((real *)out_mem(c, 0))[e] = (real)acc[e];
	return REIN_OK;
}

/* Number that window q's sum is divided by: kh kw, or the taps inside. */
static double divisor(const struct pool2d *v, const struct rein_attr *a, int64_t q)
{
	int64_t inside = 0;
	if (a->flags & REIN_COUNT_PAD)
		return (double)(v->kh * v->kw);
	for (int64_t t = 0; t < v->kh * v->kw; t++)
		inside += tap(v, q / v->Wo, q % v->Wo, t / v->kw, t % v->kw) >= 0;
	return inside ? (double)inside : 1;
}

static rein_status avg_pool(const struct call *c)
{
	struct pool2d v;
	pool_init(&v, &c->i->attr, in_value(c, 0), out_value(c, 0));
	real *y = out_mem(c, 0);
	for (int64_t p = 0; p < v.planes; p++) {
		const real *x = (const real *)in_mem(c, 0) + p * v.H * v.W;
		for (int64_t q = 0; q < v.Ho * v.Wo; q++) {
			double acc = 0;
			for (int64_t t = 0; t < v.kh * v.kw; t++) {
				int64_t at = tap(&v, q / v.Wo, q % v.Wo, t / v.kw, t % v.kw);
				acc += at < 0 ? 0 : (double)x[at];
			}
			*y++ = (real)(acc / divisor(&v, &c->i->attr, q));
		}
	}
	return REIN_OK;
}

/* Its transpose; work: doubles of x's shape */
static rein_status avg_pool_dx(const struct call *c)
{
	struct pool2d v;
	pool_init(&v, &c->i->attr, out_value(c, 0), in_value(c, 0));
	const real *g = in_mem(c, 0);
	double *acc = c->work;
	int64_t n = v.planes * v.H * v.W;
	memset(acc, 0, (size_t)n * sizeof *acc);
	for (int64_t p = 0; p < v.planes; p++)
		for (int64_t q = 0; q < v.Ho * v.Wo; q++) {
			double share = (double)*g++ / divisor(&v, &c->i->attr, q);
			for (int64_t t = 0; t < v.kh * v.kw; t++) {
				int64_t at = tap(&v, q / v.Wo, q % v.Wo, t / v.kw, t % v.kw);
				if (at >= 0)
					acc[p * v.H * v.W + at] += share;
			}
		}
	for (int64_t e = 0; e < n; e++)
		((real *)out_mem(c, 0))[e] = (real)acc[e];
	return REIN_OK;
}

naive_fn *NAIVE(naive_window)(const struct rein_program *p, const struct rein_prog_instr *i)
{
	(void)p;
	switch (i->op) {
	case REIN_OP_MAX_POOL: return max_pool;
	case REIN_OP_MAX_POOL_DX: return max_pool_dx;
	case REIN_OP_AVG_POOL: return avg_pool;
	case REIN_OP_AVG_POOL_DX: return avg_pool_dx;
	default: return NULL;
	}
}
