/* SPDX-License-Identifier: MIT
 *
 * compose.h: helpers composed of single ops; included by math.h. In formulas x is
 * any real tensor unless a shape is given.
 */
#ifndef REIN_COMPOSE_H
#define REIN_COMPOSE_H

#include "math.h"

/* --- scalars and arithmetic ----------------------------------------------------- */
static inline rein_val rein_scalar(struct rein_rec *r, double v) { return rein_fill(r, REIN_REAL_T, v, 0, NULL); }
static inline rein_val rein_scalar_i(struct rein_rec *r, int32_t v) { return rein_fill(r, REIN_I32_T, v, 0, NULL); }
static inline rein_val rein_scale(struct rein_rec *r, rein_val x, double k)
{
	return rein_mul(r, x, rein_scalar(r, k));
}
static inline rein_val rein_offset(struct rein_rec *r, rein_val x, double k)
{
	return rein_add(r, x, rein_scalar(r, k));
}
static inline rein_val rein_neg(struct rein_rec *r, rein_val x) { return rein_scale(r, x, -1.0); }
static inline rein_val rein_square(struct rein_rec *r, rein_val x) { return rein_mul(r, x, x); }
static inline rein_val rein_min(struct rein_rec *r, rein_val a, rein_val b)
{
	return rein_neg(r, rein_max(r, rein_neg(r, a), rein_neg(r, b)));
}
static inline rein_val rein_gt(struct rein_rec *r, rein_val a, rein_val b) { return rein_lt(r, b, a); }
static inline rein_val rein_ge(struct rein_rec *r, rein_val a, rein_val b) { return rein_le(r, b, a); }
static inline rein_val rein_or(struct rein_rec *r, rein_val a, rein_val b)
{
	return rein_not(r, rein_and(r, rein_not(r, a), rein_not(r, b)));
}
/* a + t (b - a), as torch.lerp */
static inline rein_val rein_lerp(struct rein_rec *r, rein_val a, rein_val b, rein_val t)
{
	return rein_add(r, a, rein_mul(r, rein_sub(r, b, a), t));
}
/* |x| <= FLT_MAX: false for NaN and infinities */
static inline rein_val rein_isfinite(struct rein_rec *r, rein_val x)
{
	return rein_le(r, rein_abs(r, x), rein_scalar(r, 3.4028234663852886e38));
}
/* A tensor of v with x's shape. */
static inline rein_val rein_like(struct rein_rec *r, rein_val x, double v)
{
	int64_t dim[REIN_MAX_RANK];
	int32_t rank = rein_rank(r, x);
	for (int32_t i = 0; i < rank; i++)
		dim[i] = rein_dim(r, x, i);
	return rein_fill(r, rein_dtype(r, x), v, rank < 0 ? 0u : (uint32_t)rank, dim);
}
/* Draws shaped like x. */
static inline rein_val rein_random_like(struct rein_rec *r, const char *stream, uint32_t dist, uint32_t key, rein_val x)
{
	int64_t dim[REIN_MAX_RANK];
	int32_t rank = rein_rank(r, x);
	for (int32_t i = 0; i < rank; i++)
		dim[i] = rein_dim(r, x, i);
	return rein_random(r, stream, dist, key, rank < 0 ? 0u : (uint32_t)rank, dim);
}
/* Vector v (n) reshaped so that it lies along `axis` of a tensor of like's rank. */
static inline rein_val rein_along(struct rein_rec *r, rein_val v, rein_val like, uint32_t axis)
{
	int64_t dim[REIN_MAX_RANK];
	int32_t rank = rein_rank(r, like);
	for (int32_t i = 0; i < rank; i++)
		dim[i] = i == (int32_t)axis ? rein_dim(r, v, 0) : 1;
	return rein_reshape(r, v, rank < 0 ? 0u : (uint32_t)rank, dim);
}

/* --- kinks: conventions as PyTorch's ------------------------------------------------ */
/* Gradient passes at the bounds, as torch.clamp. */
static inline rein_val rein_clip(struct rein_rec *r, rein_val x, double lo, double hi)
{
	rein_val l = rein_scalar(r, lo), h = rein_scalar(r, hi);
	return rein_where(r, rein_lt(r, x, l), l, rein_where(r, rein_lt(r, h, x), h, x));
}
/* Gradient 0 at 0, NaN kept. */
static inline rein_val rein_relu(struct rein_rec *r, rein_val x)
{
	rein_val zero = rein_scalar(r, 0);
	return rein_where(r, rein_le(r, x, zero), zero, x);
}
static inline rein_val rein_leaky_relu(struct rein_rec *r, rein_val x, double slope)
{
	return rein_where(r, rein_le(r, x, rein_scalar(r, 0)), rein_scale(r, x, slope), x);
}
/* log(1 + e^x) without overflow; max and not relu, since its gradient at 0 must be 1/2 */
static inline rein_val rein_softplus(struct rein_rec *r, rein_val x)
{
	return rein_add(r, rein_max(r, x, rein_scalar(r, 0)), rein_log1p(r, rein_exp(r, rein_neg(r, rein_abs(r, x)))));
}

/* --- reductions --------------------------------------------------------------------- */
static inline double rein_count_over_(struct rein_rec *r, rein_val x, uint32_t axes)
{
	double n = 1;
	for (int32_t i = 0; i < rein_rank(r, x); i++)
		if (axes & REIN_AXIS(i))
			n *= (double)rein_dim(r, x, i);
	return n;
}
static inline rein_val rein_mean_over(struct rein_rec *r, rein_val x, uint32_t axes, uint32_t flags)
{
	return rein_div(r, rein_sum_over(r, x, axes, flags), rein_scalar(r, rein_count_over_(r, x, axes)));
}
static inline rein_val rein_mean(struct rein_rec *r, rein_val x) { return rein_mean_over(r, x, REIN_ALL_AXES, 0); }
/* sqrt(sum x^2); 0 with gradient 0 at 0 */
static inline rein_val rein_norm(struct rein_rec *r, rein_val x, uint32_t axes, uint32_t flags)
{
	return rein_sqrt(r, rein_sum_over(r, rein_square(r, x), axes, flags));
}
/* One scalar: the sum over n tensors of any shapes. */
static inline rein_val rein_sum_all(struct rein_rec *r, uint32_t n, const rein_val *x)
{
	rein_val s = n ? rein_sum(r, x[0]) : rein_scalar(r, 0);
	for (uint32_t i = 1; i < n; i++)
		s = rein_add(r, s, rein_sum(r, x[i]));
	return s;
}
/* All axes but the first: one number per row of x (N,...) -> (N). */
static inline rein_val rein_sum_rows(struct rein_rec *r, rein_val x) { return rein_sum_over(r, x, ~1u, 0); }
static inline rein_val rein_mean_rows(struct rein_rec *r, rein_val x) { return rein_mean_over(r, x, ~1u, 0); }
static inline rein_val rein_norm_rows(struct rein_rec *r, rein_val x) { return rein_norm(r, x, ~1u, 0); }
static inline rein_val rein_softmax(struct rein_rec *r, rein_val x, uint32_t axis)
{
	return rein_exp(r, rein_log_softmax(r, x, axis));
}

/* --- targets, losses, draws ------------------------------------------------------------ */
/* y (N) i32 -> bool (N,K) */
static inline rein_val rein_one_hot(struct rein_rec *r, rein_val y, int64_t classes)
{
	int64_t dim[2] = { rein_dim(r, y, 0), classes }, col[2] = { dim[0], 1 };
	return rein_eq(r, rein_iota(r, 1, 2, dim), rein_reshape(r, y, 2, col));
}
/* z_y - max_{k != y} z_k, (N) from z (N,K), y (N) i32 */
static inline rein_val rein_margin(struct rein_rec *r, rein_val z, rein_val y)
{
	rein_val hot = rein_one_hot(r, y, rein_dim(r, z, 1)), none = rein_scalar(r, -(double)INFINITY);
	rein_val own = rein_sum_over(r, rein_where(r, hot, z, rein_scalar(r, 0)), REIN_AXIS(1), 0);
	return rein_sub(r, own, rein_amax(r, rein_where(r, hot, none, z), REIN_AXIS(1), 0));
}
/* Sum over classes of p (log p - log q), (N), from log-probabilities lp, lq (N,K). */
static inline rein_val rein_kl(struct rein_rec *r, rein_val lp, rein_val lq)
{
	return rein_sum_over(r, rein_mul(r, rein_exp(r, lp), rein_sub(r, lp, lq)), REIN_AXIS(1), 0);
}
/* x m / (1 - p), m = 1 with probability 1 - p */
static inline rein_val rein_dropout(struct rein_rec *r, rein_val x, double p, const char *stream, uint32_t key)
{
	rein_val keep = rein_lt(r, rein_random_like(r, stream, REIN_UNIFORM, key, x), rein_scalar(r, 1 - p));
	return rein_where(r, keep, rein_scale(r, x, p < 1 ? 1 / (1 - p) : 0), rein_scalar(r, 0));
}
/* sign(w) max(|w| - t, 0): the proximal step of t |w| */
static inline rein_val rein_soft_threshold(struct rein_rec *r, rein_val w, rein_val t)
{
	return rein_mul(r, rein_sign(r, w), rein_max(r, rein_sub(r, rein_abs(r, w), t), rein_scalar(r, 0)));
}

#endif
