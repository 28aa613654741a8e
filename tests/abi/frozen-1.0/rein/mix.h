/* SPDX-License-Identifier: MIT
 *
 * mix.h: for augmentations that mix samples of a batch: shares drawn from Beta(alpha,alpha),
 * partners, targets as distributions.
 */
#ifndef REIN_MIX_H
#define REIN_MIX_H

#include "host.h"
#include "init.h"
#include "math.h"

/* --- Beta(a,a) by its quantiles, without a loop of rejections ---------------------------- */
#define REIN_BETA_ENTRIES 257
struct rein_beta {
	double alpha;
	double v[REIN_BETA_ENTRIES]; /* entry k: q^alpha, q the quantile of mass k / 512 */
};
/* With v = q^a the mass below q <= 1/2 is the integral over v of (1 - v^(1/a))^(a-1), up to a
 * constant: smooth for every a, so sums by the trapezoid rule and straight lines between entries
 * are exact to 1e-5 for a from .1 to 8. For create(). */
static inline void rein_beta_init(struct rein_beta *b, double alpha)
{
	enum { N = 8192 };
	double top = pow(0.5, alpha), h = top / N, total = 0, sum = 0, f[2] = { 1, 1 };
	int64_t k = 1;
	b->alpha = alpha;
	for (int64_t i = 1; i <= N; i++, f[0] = f[1]) {
		f[1] = pow(1 - pow(h * (double)i, 1 / alpha), alpha - 1);
		total += 0.5 * (f[0] + f[1]);
	}
	b->v[0] = 0;
	f[0] = 1;
	for (int64_t i = 1; i <= N; i++, f[0] = f[1]) {
		f[1] = pow(1 - pow(h * (double)i, 1 / alpha), alpha - 1);
		double more = 0.5 * (f[0] + f[1]);
		for (; k < REIN_BETA_ENTRIES - 1 && sum + more >= total * (double)k / 256; k++)
			b->v[k] = h * ((double)i - 1 + (total * (double)k / 256 - sum) / more);
		sum += more;
	}
	b->v[REIN_BETA_ENTRIES - 1] = top;
}
/* u uniform in [0,1), any shape, becomes Beta(a,a). */
static inline rein_val rein_beta_of(struct rein_rec *r, const struct rein_beta *b, rein_val u)
{
	const int64_t n = REIN_BETA_ENTRIES;
	rein_val table = rein_const(r, REIN_REAL_T, 1, &n, b->v), one = rein_scalar(r, 1), half = rein_scalar(r, 0.5);
	rein_val far = rein_sub(r, one, rein_abs(r, rein_offset(r, rein_scale(r, u, 2), -1))); /* 0..1 */
	rein_val at = rein_scale(r, far, 256), low = rein_floor(r, at), i = rein_cast(r, low, REIN_I32_T);
	rein_val last = rein_scalar_i(r, (int32_t)n - 1), next = rein_add(r, i, rein_scalar_i(r, 1));
	next = rein_where(r, rein_lt(r, last, next), last, next);
	rein_val v = rein_lerp(r, rein_take(r, table, i, 0), rein_take(r, table, next, 0), rein_sub(r, at, low));
	rein_val q = rein_pow(r, v, rein_scalar(r, 1 / b->alpha));
	return rein_where(r, rein_lt(r, u, half), q, rein_sub(r, one, q));
}

/* --- partners and targets ------------------------------------------------------------------ */
#define REIN_PAIR_ROLL    0 /* the sample before, as torchvision */
#define REIN_PAIR_REVERSE 1 /* first with last, as timm */
#define REIN_PAIR_SHUFFLE 2 /* a random permutation, as the paper */
REIN_UNUSED_ static const char *const rein_pair_names[] = { "roll", "reverse", "shuffle", NULL };
REIN_UNUSED_ static const char *const rein_per_names[] = { "batch", "sample", NULL };

/* (N) i32: whom each sample of x is mixed with. Stream "pair". */
static inline rein_val rein_partner(struct rein_rec *r, rein_val x, int32_t pair)
{
	int64_t n = rein_dim(r, x, 0);
	rein_val i = rein_iota(r, 0, 1, &n), last = rein_scalar_i(r, (int32_t)(n - 1)), j;
	if (pair == REIN_PAIR_REVERSE)
		return rein_sub(r, last, i);
	if (pair == REIN_PAIR_ROLL) {
		j = rein_sub(r, i, rein_scalar_i(r, 1));
		return rein_where(r, rein_lt(r, j, rein_scalar_i(r, 0)), last, j);
	}
	rein_sort(r, rein_random(r, "pair", REIN_UNIFORM, REIN_PER_STEP, 1, &n), 0, &j);
	return j;
}
/* (N): one share for the whole batch, or one for each sample. Stream "share". */
static inline rein_val rein_share(struct rein_rec *r, const struct rein_beta *b, rein_val x, int32_t per_sample)
{
	int64_t n = rein_dim(r, x, 0), one = 1;
	if (per_sample)
		return rein_beta_of(r, b, rein_random(r, "share", REIN_UNIFORM, REIN_PER_SAMPLE, 1, &n));
	return rein_expand(r, rein_beta_of(r, b, rein_random(r, "share", REIN_UNIFORM, REIN_PER_STEP, 1, &one)), 1, &n);
}
/* share a + (1 - share) b row by row; share (N) */
static inline rein_val rein_mix_rows(struct rein_rec *r, rein_val a, rein_val b, rein_val share)
{
	return rein_lerp(r, b, a, rein_along(r, share, a, 0));
}
/* Targets mixed with those of the partners: class numbers become distributions. */
static inline rein_val rein_mix_targets(struct rein_rec *r, const struct rein_step *t, rein_val y, rein_val partner,
                                        rein_val share)
{
	if (rein_dtype(r, y) == REIN_I32_T)
		y = rein_cast(r, rein_one_hot(r, y, t->model->classes), REIN_REAL_T);
	return rein_mix_rows(r, y, rein_take(r, y, partner, 0), share);
}

#endif
