/* SPDX-License-Identifier: MIT
 *
 * check_bounds.c: how far a backend may be from the reference: the one table that
 * docs/numerics.md, "What every backend is held to", states. An op without a row computes
 * exactly what the reference computes in float.
 */
#include "check.h"

#include <math.h>

/* Factor of CHECK_TERMS and share of CHECK_WHOLE. */
#define FLOAT_TERMS 1.2e-7

static const struct {
	uint32_t op;
	struct check_bound bound;
} table[] = {
	{ REIN_OP_EXP, { CHECK_ULP, 2, false, "2 ulp" } },
	{ REIN_OP_LOG, { CHECK_ULP, 2, false, "2 ulp" } },
	{ REIN_OP_LOG1P, { CHECK_ULP, 2, false, "2 ulp" } },
	{ REIN_OP_SIN, { CHECK_ULP, 2, false, "2 ulp" } },
	{ REIN_OP_COS, { CHECK_ULP, 2, false, "2 ulp" } },
	{ REIN_OP_ERF, { CHECK_ULP, 3, false, "3 ulp" } },
	{ REIN_OP_TANH, { CHECK_ULP, 3, false, "3 ulp" } },
	{ REIN_OP_SIGMOID, { CHECK_ULP, 3, false, "3 ulp" } },
	{ REIN_OP_POW, { CHECK_ULP, 4, false, "4 ulp" } },
	{ REIN_OP_MAP, { CHECK_NEAR, 2e-6, false, "2e-6 (1 + |y|)" } },
	{ REIN_OP_SUM, { CHECK_TERMS, FLOAT_TERMS, false, "1.2e-7 (1 + sqrt k) sum |terms|" } },
	{ REIN_OP_CUMSUM, { CHECK_TERMS, FLOAT_TERMS, false, "1.2e-7 (1 + sqrt k) sum |terms|" } },
	{ REIN_OP_MATMUL, { CHECK_TERMS, FLOAT_TERMS, true, "1.2e-7 (1 + sqrt k) sum |terms|" } },
	{ REIN_OP_CONV2D, { CHECK_TERMS, FLOAT_TERMS, true, "1.2e-7 (1 + sqrt k) sum |terms|" } },
	{ REIN_OP_CONV2D_DX, { CHECK_TERMS, FLOAT_TERMS, true, "1.2e-7 (1 + sqrt k) sum |terms|" } },
	{ REIN_OP_CONV2D_DW, { CHECK_TERMS, FLOAT_TERMS, true, "1.2e-7 (1 + sqrt k) sum |terms|" } },
	{ REIN_OP_MAX_POOL_DX, { CHECK_TERMS, FLOAT_TERMS, false, "1.2e-7 (1 + sqrt k) sum |terms|" } },
	{ REIN_OP_AVG_POOL, { CHECK_TERMS, FLOAT_TERMS, false, "1.2e-7 (1 + sqrt k) sum |terms|" } },
	{ REIN_OP_AVG_POOL_DX, { CHECK_TERMS, FLOAT_TERMS, false, "1.2e-7 (1 + sqrt k) sum |terms|" } },
	{ REIN_OP_MOMENTS, { CHECK_NEAR, 1e-5, false, "1e-5 (1 + |y|)" } },
	{ REIN_OP_BATCH_NORM, { CHECK_NEAR, 1e-5, false, "1e-5 (1 + |y|)" } },
	{ REIN_OP_BATCH_NORM_DX, { CHECK_NEAR, 1e-5, false, "1e-5 (1 + |y|)" } },
	{ REIN_OP_LOG_SOFTMAX, { CHECK_NEAR, 1e-6, false, "1e-6 (1 + |y|)" } },
	{ REIN_OP_CROSS_ENTROPY, { CHECK_NEAR, 1e-6, false, "1e-6 (1 + |y|)" } },
	{ REIN_OP_WARP, { CHECK_NEAR, 2e-6, false, "2e-6 (1 + |y|)" } },
	{ CHECK_PROGRAMS, { CHECK_WHOLE, 4e-6, false, "16 times the reference's error + 4e-6" } },
};

/* Share of sum |terms| that rounded operands may cost: twice that of both operands. */
static const struct check_bound rounded[CHECK_N_MATH] = {
	[CHECK_TF32] = { CHECK_TERMS, 0x1p-9, true, "2^-9 sum |terms|" },
	[CHECK_BF16] = { CHECK_TERMS, 0x1p-7, true, "2^-7 sum |terms|" },
};

struct check_bound check_bound(uint32_t op, const struct rein_attr *a, int math)
{
	if (op == REIN_OP_PUT && a->mode == REIN_PUT_ADD)
		op = REIN_OP_SUM;
	if (op == REIN_OP_RANDOM && a->mode == REIN_NORMAL)
		return (struct check_bound){ CHECK_NEAR, 1e-6, false, "the same bits; normal: 1e-6 (1 + |y|)" };
	for (size_t k = 0; k < sizeof table / sizeof *table; k++) {
		if (table[k].op != op)
			continue;
		return table[k].bound.product && math != CHECK_FP32 ? rounded[math] : table[k].bound;
	}
	return (struct check_bound){ CHECK_SAME, 0, false, "the same bits" };
}

/* The distance of floats around x. */
static double ulp(double x)
{
	int e;
	frexp(x, &e);
	return ldexp(1, (e < -125 ? -125 : e) - 24);
}

/* What CHECK_WHOLE allows a tensor. */
static double allowed_whole(double by, int64_t n, const double *exact, const double *ref)
{
	double scale = 1, off = 0;
	for (int64_t i = 0; i < n; i++) {
		if (isfinite(exact[i]))
			scale = fmax(scale, fabs(exact[i]));
		if (isfinite(exact[i]) && isfinite(ref[i]))
			off = fmax(off, fabs(ref[i] - exact[i]));
	}
	return CHECK_OF_REF * off + by * scale;
}

static double allowed(const struct check_bound *b, uint32_t dtype, double terms, double exact, double magnitude)
{
	switch (b->rule) {
	case CHECK_ULP: return b->by * ulp(exact);
	case CHECK_NEAR: return b->by * (1 + fabs(exact));
	case CHECK_TERMS:
		if (dtype == REIN_WIDE_T)
			return terms * 0x1p-52 * magnitude;
		/* below the normal range a float rounds to a fixed step */
		return (b->by > 1e-3 ? b->by : b->by * (1 + sqrt(terms))) * magnitude + 0x1p-149;
	default: return 0;
	}
}

/* The number a float backend gives for it: what double can hold, float may not. */
static double in_float(uint32_t dtype, double x) { return dtype == REIN_REAL_T ? (double)(float)x : x; }

struct check_judged check_judge(const struct check_bound *b, uint32_t dtype, double terms, int64_t n, const double *got,
                                const double *exact, const double *ref, const double *magnitude)
{
	struct check_judged j = { 0, 0, 0 };
	bool real = dtype == REIN_REAL_T || dtype == REIN_WIDE_T, same = !real || b->rule == CHECK_SAME;
	double whole = b->rule == CHECK_WHOLE && real ? allowed_whole(b->by, n, exact, ref) : 0;
	for (int64_t i = 0; i < n; i++) {
		double want = same ? ref[i] : exact[i], tol = 0, off;
		if (isnan(got[i]) && isnan(want))
			continue;
		if (got[i] == want && (!same || signbit(got[i]) == signbit(want)))
			continue;
		if (!same && got[i] == in_float(dtype, want))
			off = 0; /* it overflows as it should */
		else
			off = fabs(got[i] - want);
		if (!same)
			tol = b->rule == CHECK_WHOLE ? whole : allowed(b, dtype, terms, want, magnitude ? magnitude[i] : 0);
		double share = off == 0 && !same ? 0 : tol > 0 ? off / tol : (double)INFINITY;
		if (isnan(share))
			share = (double)INFINITY;
		if (share > j.worst)
			j = (struct check_judged){ share, i, tol };
	}
	return j;
}
