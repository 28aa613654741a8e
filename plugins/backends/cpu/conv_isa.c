/* SPDX-License-Identifier: MIT
 *
 * conv_isa.c: the inner loops of convolution, pooling and batch norm, compiled once per
 * instruction set (see meson.build). An element's result never depends on its place in a
 * vector or tile; sums run in lanes and a fixed tree.
 */
#include <math.h>

#include "conv.h"
#include "vec.h"

/* --- convolution ------------------------------------------------------------------------------ */
ALWAYS void taps_body(int mr, int nv, int64_t k, const float *a, const float *b, const int32_t *off, float *c,
                      int64_t ldc, int add)
{
	vec acc[MR][2];
	UNROLL for (int i = 0; i < MR; i++)
	{
		acc[i][0] = add && i < mr ? LOAD(c + i * ldc) : ZERO();
		acc[i][1] = add && i < mr && nv == 2 ? LOAD(c + i * ldc + VL) : ZERO();
	}
	for (int64_t kk = 0; kk < k; kk++, a += mr) {
		const float *row = b + off[kk];
		vec b0 = LOAD(row), b1 = nv == 2 ? LOAD(row + VL) : ZERO();
		UNROLL for (int i = 0; i < MR; i++) if (i < mr)
		{
			vec x = FILL(a[i]);
			acc[i][0] = FMA(x, b0, acc[i][0]);
			if (nv == 2)
				acc[i][1] = FMA(x, b1, acc[i][1]);
		}
	}
	UNROLL for (int i = 0; i < MR; i++) if (i < mr)
	{
		STORE(c + i * ldc, acc[i][0]);
		if (nv == 2)
			STORE(c + i * ldc + VL, acc[i][1]);
	}
}

#define TAPS_(mr)                                                                                              \
	static void taps_##mr(int64_t nv, int64_t k, const float *a, const float *b, const int32_t *off, float *c, \
	                      int64_t ldc, int add)                                                                \
	{                                                                                                          \
		if (nv == 2)                                                                                           \
			taps_body(mr, 2, k, a, b, off, c, ldc, add);                                                       \
		else                                                                                                   \
			taps_body(mr, 1, k, a, b, off, c, ldc, add);                                                       \
	}
typedef void taps_fn(int64_t nv, int64_t k, const float *a, const float *b, const int32_t *off, float *c, int64_t ldc,
                     int add);
TAPS_(1)
TAPS_(2)
TAPS_(3)
TAPS_(4)
#if MR > 4
TAPS_(5)
TAPS_(6)
#endif
#if MR > 6
TAPS_(7)
TAPS_(8)
TAPS_(9)
TAPS_(10)
TAPS_(11)
TAPS_(12)
TAPS_(13)
TAPS_(14)
#endif
static taps_fn *const all_taps[] = { taps_1, taps_2, taps_3, taps_4,
#if MR > 4
	                                 taps_5, taps_6,
#endif
#if MR > 6
	                                 taps_7, taps_8, taps_9, taps_10, taps_11, taps_12, taps_13, taps_14
#endif
};

static void taps(int64_t mr, int64_t nv, int64_t k, const float *a, const float *b, const int32_t *off, float *c,
                 int64_t ldc, int add)
{
	all_taps[mr - 1](nv, k, a, b, off, c, ldc, add);
}

ALWAYS void dots_body(int mr, int64_t nd, int64_t n, int64_t q, const float *a, int64_t lda, int64_t step_a,
                      const float *b, const int32_t *off, int64_t step_b, float *c, int64_t ldc, int add)
{
	vec acc[MD][ND];
	int64_t at[ND];
	UNROLL for (int i = 0; i < MD; i++) UNROLL for (int j = 0; j < ND; j++) acc[i][j] = ZERO();
	UNROLL for (int j = 0; j < ND; j++) at[j] = off[j < nd ? j : 0];
	for (int64_t image = 0; image < n; image++, a += step_a, b += step_b) {
		const float *r0 = b + at[0], *r1 = b + at[1], *r2 = b + at[2], *r3 = b + at[3];
		for (int64_t e = 0; e < q; e += VL) {
			vec y0 = LOAD(r0 + e), y1 = LOAD(r1 + e), y2 = LOAD(r2 + e), y3 = LOAD(r3 + e);
			UNROLL for (int i = 0; i < MD; i++) if (i < mr)
			{
				vec x = LOAD(a + i * lda + e);
				acc[i][0] = FMA(x, y0, acc[i][0]);
				acc[i][1] = FMA(x, y1, acc[i][1]);
				acc[i][2] = FMA(x, y2, acc[i][2]);
				acc[i][3] = FMA(x, y3, acc[i][3]);
			}
		}
	}
	UNROLL for (int i = 0; i < MD; i++) if (i < mr)
	{
		float s[4];
		sum4(s, acc[i][0], acc[i][1], acc[i][2], acc[i][3]);
		for (int64_t j = 0; j < nd; j++)
			c[i * ldc + j] = add ? c[i * ldc + j] + s[j] : s[j];
	}
}

static void dots(int64_t mr, int64_t nd, int64_t n, int64_t q, const float *a, int64_t lda, int64_t step_a,
                 const float *b, const int32_t *off, int64_t step_b, float *c, int64_t ldc, int add)
{
#define DOTS_(mr) \
	case mr: dots_body(mr, nd, n, q, a, lda, step_a, b, off, step_b, c, ldc, add); return;
	switch (mr) {
		DOTS_(1)
		DOTS_(2)
#if MD > 2
		DOTS_(3)
#endif
#if MD > 3
		DOTS_(4)
		DOTS_(5)
		DOTS_(6)
#endif
	}
}

/* --- pooling ----------------------------------------------------------------------------------- */
static void max_tap(int64_t n, const float *restrict x, float *restrict y, int32_t *restrict index,
                    const int32_t *restrict base, int32_t tap)
{
	for (int64_t i = 0; i < n; i++) {
		int take = (y[i] == y[i]) & !(x[i] <= y[i]);
		y[i] = take ? x[i] : y[i];
		index[i] = take ? base[i] + tap : index[i];
	}
}

ALWAYS void copy(int64_t n, const float *x, float *y)
{
	int64_t i = 0;
	for (; i + VL <= n; i += VL) {
		vec v = LOAD(x + i);
		STORE(y + i, v);
	}
	if (i < n) {
		mask m = tail_mask(n - i);
		vec v = LOADM(x + i, m);
		STOREM(y + i, v, m);
	}
}

static void rows(int64_t count, int64_t n, const float *x, int64_t ldx, int64_t step, float *y, int64_t ldy)
{
	if (step == 1) {
		for (int64_t r = 0; r < count; r++)
			copy(n, x + r * ldx, y + r * ldy);
		return;
	}
	for (int64_t r = 0; r < count; r++) {
		const float *restrict from = x + r * ldx;
		float *restrict to = y + r * ldy;
		if (step == 2)
			for (int64_t i = 0; i < n; i++)
				to[i] = from[2 * i];
		else
			for (int64_t i = 0; i < n; i++)
				to[i] = from[step * i];
	}
}

static void apart(int64_t count, int64_t n, const float *x, int64_t ldx, float *y, int64_t ldy, int64_t step)
{
	for (int64_t r = 0; r < count; r++) {
		const float *restrict from = x + r * ldx;
		float *restrict to = y + r * ldy;
		if (step == 1)
			copy(n, from, to);
		else if (step == 2)
			for (int64_t i = 0; i < n; i++)
				to[2 * i] = from[i];
		else
			for (int64_t i = 0; i < n; i++)
				to[step * i] = from[i];
	}
}

/* Masks of the two vectors that hold 2 m elements, m <= VL. */
ALWAYS mask low_half(int64_t m) { return tail_mask(2 * m < VL ? 2 * m : VL); }
ALWAYS mask high_half(int64_t m) { return tail_mask(2 * m > VL ? 2 * m - VL : 0); }

static void average2(int64_t rows, int64_t n, const float *x, int64_t ldx, float *y)
{
	vec quarter = FILL(0.25f);
	for (int64_t r = 0; r < rows; r++, y += n)
		for (int64_t i = 0; i < n; i += VL) {
			const float *a = x + 2 * r * ldx + 2 * i, *b = a + ldx;
			int64_t m = n - i < VL ? n - i : VL;
			mask lo = low_half(m), hi = high_half(m);
			vec a0 = LOADM(a, lo), a1 = LOADM(a + VL, hi), b0 = LOADM(b, lo), b1 = LOADM(b + VL, hi);
			vec s = ADD(ADD(ADD(even(a0, a1), odd(a0, a1)), even(b0, b1)), odd(b0, b1));
			s = MUL(s, quarter);
			STOREM(y + i, s, tail_mask(m));
		}
}

static void share2(int64_t rows, int64_t n, const float *y, float *x, int64_t ldx)
{
	vec quarter = FILL(0.25f);
	for (int64_t r = 0; r < rows; r++, y += n)
		for (int64_t i = 0; i < n; i += VL) {
			float *a = x + 2 * r * ldx + 2 * i, *b = a + ldx;
			int64_t m = n - i < VL ? n - i : VL;
			mask lo = low_half(m), hi = high_half(m);
			vec s = MUL(LOADM(y + i, tail_mask(m)), quarter), s0 = twice_low(s), s1 = twice_high(s);
			STOREM(a, s0, lo);
			STOREM(a + VL, s1, hi);
			STOREM(b, s0, lo);
			STOREM(b + VL, s1, hi);
		}
}

static void larger(int64_t n, const float *restrict x, float *restrict y)
{
	for (int64_t i = 0; i < n; i++)
		y[i] = ((y[i] == y[i]) & !(x[i] <= y[i])) != 0 ? x[i] : y[i];
}

static void add(int64_t n, const float *restrict x, float *restrict y)
{
	for (int64_t i = 0; i < n; i++)
		y[i] += x[i];
}

static void divide(int64_t n, const float *restrict x, const float *restrict by, float *restrict y)
{
	for (int64_t i = 0; i < n; i++)
		y[i] = x[i] / by[i];
}

/* --- batch norm -------------------------------------------------------------------------------- */
/* Sums run in four vectors of lanes, then a fixed tree. */
#define LANES 4

static double tree(const vec *s)
{
	float out[4];
	sum4(out, s[0], s[1], s[2], s[3]);
	return ((double)out[0] + (double)out[1]) + ((double)out[2] + (double)out[3]);
}

static double total(int64_t n, const float *x)
{
	vec s[LANES];
	UNROLL for (int l = 0; l < LANES; l++) s[l] = ZERO();
	int64_t i = 0;
	for (; i + LANES * VL <= n; i += LANES * VL)
		UNROLL for (int l = 0; l < LANES; l++) s[l] = ADD(s[l], LOAD(x + i + l * VL));
	for (; i < n; i += VL) {
		mask m = tail_mask(n - i < VL ? n - i : VL);
		s[0] = ADD(s[0], LOADM(x + i, m));
	}
	return tree(s);
}

static void square(int64_t n, const float *x, float shift, double sum[2])
{
	vec s[LANES], q[LANES], mean = FILL(shift);
	UNROLL for (int l = 0; l < LANES; l++) s[l] = q[l] = ZERO();
	int64_t i = 0;
	for (; i + LANES * VL <= n; i += LANES * VL)
		UNROLL for (int l = 0; l < LANES; l++)
		{
			vec d = SUB(LOAD(x + i + l * VL), mean);
			s[l] = ADD(s[l], d);
			q[l] = FMA(d, d, q[l]);
		}
	for (; i < n; i += VL) {
		mask m = tail_mask(n - i < VL ? n - i : VL);
		vec d = KEEP(SUB(LOADM(x + i, m), mean), m);
		s[0] = ADD(s[0], d);
		q[0] = FMA(d, d, q[0]);
	}
	sum[0] = tree(s);
	sum[1] = tree(q);
}

static void product(int64_t n, const float *x, const float *g, float shift, double sum[2])
{
	vec s[LANES], q[LANES], mean = FILL(shift);
	UNROLL for (int l = 0; l < LANES; l++) s[l] = q[l] = ZERO();
	int64_t i = 0;
	for (; i + LANES * VL <= n; i += LANES * VL)
		UNROLL for (int l = 0; l < LANES; l++)
		{
			vec y = LOAD(g + i + l * VL);
			s[l] = ADD(s[l], y);
			q[l] = FMA(y, SUB(LOAD(x + i + l * VL), mean), q[l]);
		}
	for (; i < n; i += VL) {
		mask m = tail_mask(n - i < VL ? n - i : VL);
		vec y = LOADM(g + i, m);
		s[0] = ADD(s[0], y);
		q[0] = FMA(y, KEEP(SUB(LOADM(x + i, m), mean), m), q[0]);
	}
	sum[0] = tree(s);
	sum[1] = tree(q);
}

static void affine(int64_t n, const float *restrict x, float mean, float scale, float shift, float *restrict y)
{
	for (int64_t i = 0; i < n; i++)
		y[i] = (x[i] - mean) * scale + shift;
}

static void norm_dx(int64_t n, const float *restrict x, const float *restrict g, float mean, float scale, float a,
                    float b, float *restrict y)
{
	for (int64_t i = 0; i < n; i++)
		y[i] = scale * (g[i] - a - (x[i] - mean) * b);
}

const struct conv_isa ISA(conv) = { MR,     VL,     MD,  taps,   dots,  max_tap, rows,    apart,  average2,
	                                share2, larger, add, divide, total, square,  product, affine, norm_dx };
