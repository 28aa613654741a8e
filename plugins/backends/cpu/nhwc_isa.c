/* SPDX-License-Identifier: MIT
 *
 * nhwc_isa.c: the inner loops over images with channels last, compiled once per instruction set
 * (see meson.build). A vector holds channels of one place; the other operand of a product is one
 * number for the whole vector. Products use vec.h's vectors, everything else GCC's vectors of the
 * same size, with functions for one of them and, below, for LANES channels.
 */
#include "nhwc.h"
#include "vec.h"

#pragma GCC diagnostic ignored "-Wpsabi" /* vectors are passed between inlined functions only */
#define UNROLL_ALL _Pragma("GCC unroll 32")

/* Read and written in place, at any address: a copy by memcpy would go through halves and the stack. */
typedef float lanes __attribute__((vector_size(4 * VL), aligned(4), may_alias));
typedef int32_t ints __attribute__((vector_size(4 * VL), aligned(4), may_alias));
typedef int8_t bytes __attribute__((vector_size(VL), aligned(1), may_alias));

ALWAYS lanes get(const float *p) { return *(const lanes *)p; }
ALWAYS void put(float *p, lanes v) { *(lanes *)p = v; }
ALWAYS ints get_ints(const int32_t *p) { return *(const ints *)p; }
/* v where m is 0, else 0 */
ALWAYS lanes drop(lanes v, ints m) { return (lanes)((ints)v & ~m); }
ALWAYS lanes keep(lanes v, ints m) { return (lanes)((ints)v & m); }
ALWAYS ints get_mask(const uint8_t *p) { return __builtin_convertvector(*(const bytes *)p, ints) != 0; }

/* --- products ----------------------------------------------------------------------------------- */
/* Bases three places apart: an address is base, base + step or base + 2 step. */
ALWAYS void tile_body(int np, int nv, int64_t runs, int64_t len, int64_t ldrun, const float *w, const float *x,
                      int64_t step, const float *start, float *y, int64_t ldy)
{
	vec acc[2 * MR][2];
	vec s0 = start ? LOAD(start) : ZERO(), s1 = start && nv == 2 ? LOAD(start + VL) : ZERO();
	UNROLL_ALL for (int i = 0; i < 2 * MR; i++)
	{
		acc[i][0] = s0;
		acc[i][1] = s1;
	}
	for (int64_t r = 0; r < runs; r++, x += ldrun)
		for (int64_t e = 0; e < len; e++, w += nv * VL) {
			vec w0 = LOAD(w), w1 = nv == 2 ? LOAD(w + VL) : ZERO();
			const float *q = x + e;
			UNROLL_ALL for (int i = 0; i < 2 * MR; i += 3)
			{
				UNROLL_ALL for (int j = 0; j < 3; j++) if (i + j < np)
				{
					vec b = FILL(q[j * step]);
					acc[i + j < 2 * MR ? i + j : 0][0] = FMA(b, w0, acc[i + j < 2 * MR ? i + j : 0][0]);
					if (nv == 2)
						acc[i + j < 2 * MR ? i + j : 0][1] = FMA(b, w1, acc[i + j < 2 * MR ? i + j : 0][1]);
				}
				q += 3 * step;
			}
		}
	UNROLL_ALL for (int i = 0; i < 2 * MR; i++) if (i < np)
	{
		STORE(y + i * ldy, acc[i][0]);
		if (nv == 2)
			STORE(y + i * ldy + VL, acc[i][1]);
	}
}

ALWAYS void outer_body(int nt, int nv, int64_t rows, int64_t cols, const float *x, int64_t ldx, int64_t step,
                       const float *g, int64_t ldg, int64_t step_g, float *c, int64_t ldc)
{
	vec acc[2 * MR][2];
	UNROLL_ALL for (int i = 0; i < 2 * MR; i++)
	{
		acc[i][0] = i < nt ? LOAD(c + i * ldc) : ZERO();
		acc[i][1] = i < nt && nv == 2 ? LOAD(c + i * ldc + VL) : ZERO();
	}
	for (int64_t r = 0; r < rows; r++, x += ldx, g += ldg) {
		const float *p = x, *q = g;
		for (int64_t k = 0; k < cols; k++, p += step, q += step_g) {
			vec g0 = LOAD(q), g1 = nv == 2 ? LOAD(q + VL) : ZERO();
			UNROLL_ALL for (int i = 0; i < 2 * MR; i++) if (i < nt)
			{
				vec b = FILL(p[i]);
				acc[i][0] = FMA(b, g0, acc[i][0]);
				if (nv == 2)
					acc[i][1] = FMA(b, g1, acc[i][1]);
			}
		}
	}
	UNROLL_ALL for (int i = 0; i < 2 * MR; i++) if (i < nt)
	{
		STORE(c + i * ldc, acc[i][0]);
		if (nv == 2)
			STORE(c + i * ldc + VL, acc[i][1]);
	}
}

/* All sizes up to mr x 2 and 2 mr x 1. */
#define EACH_4(X)  X(1) X(2) X(3) X(4)
#define EACH_8(X)  EACH_4(X) X(5) X(6) X(7) X(8)
#define EACH_6(X)  EACH_4(X) X(5) X(6)
#define EACH_12(X) EACH_8(X) X(9) X(10) X(11) X(12)
#define EACH_14(X) EACH_12(X) X(13) X(14)
#define EACH_28(X) EACH_14(X) X(15) X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28)
#if MR == 14
#define EACH_TWO EACH_14
#define EACH_ONE EACH_28
#elif MR == 6
#define EACH_TWO EACH_6
#define EACH_ONE EACH_12
#else
#define EACH_TWO EACH_4
#define EACH_ONE EACH_8
#endif

static void tile(int64_t places, int64_t nv, int64_t runs, int64_t len, int64_t ldrun, const float *w, const float *x,
                 int64_t step, const float *start, float *y, int64_t ldy)
{
#define TILE_2(n)                                                     \
	case n:                                                           \
		tile_body(n, 2, runs, len, ldrun, w, x, step, start, y, ldy); \
		return;
#define TILE_1(n) \
	case n: tile_body(n, 1, runs, len, ldrun, w, x, step, start, y, ldy); return;
	if (nv == 2)
		switch (places) {
			EACH_TWO(TILE_2)
		}
	else
		switch (places) {
			EACH_ONE(TILE_1)
		}
}

static void outer(int64_t terms, int64_t nv, int64_t rows, int64_t cols, const float *x, int64_t ldx, int64_t step,
                  const float *g, int64_t ldg, int64_t step_g, float *c, int64_t ldc)
{
#define OUTER_2(n)                                                          \
	case n:                                                                 \
		outer_body(n, 2, rows, cols, x, ldx, step, g, ldg, step_g, c, ldc); \
		return;
#define OUTER_1(n) \
	case n: outer_body(n, 1, rows, cols, x, ldx, step, g, ldg, step_g, c, ldc); return;
	if (nv == 2)
		switch (terms) {
			EACH_TWO(OUTER_2)
		}
	else
		switch (terms) {
			EACH_ONE(OUTER_1)
		}
}

/* --- Winograd F(2x2, 3x3) ------------------------------------------------------------------------ */
/* B' d B of 4 x 4 places, B' = [1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 1 0 -1]; a tile shares two columns with the next */
ALWAYS void wino_x_(int64_t tiles, const float *x, int64_t ldx, int64_t ld, float *v, int64_t point)
{
	lanes a[4][4];
#define COLUMN(j, at)                                                                                 \
	do {                                                                                              \
		lanes d0 = get(at), d1 = get((at) + ldx), d2 = get((at) + 2 * ldx), d3 = get((at) + 3 * ldx); \
		a[0][j] = d0 - d2, a[1][j] = d1 + d2, a[2][j] = d2 - d1, a[3][j] = d1 - d3;                   \
	} while (0)
	COLUMN(2, x);
	COLUMN(3, x + ld);
	x += 2 * ld;
	for (int64_t t = 0; t < tiles; t++, x += 2 * ld, v += ld) {
		UNROLL_ALL for (int i = 0; i < 4; i++) a[i][0] = a[i][2], a[i][1] = a[i][3];
		COLUMN(2, x);
		COLUMN(3, x + ld);
		UNROLL_ALL for (int i = 0; i < 4; i++)
		{
			put(v + (4 * i) * point, a[i][0] - a[i][2]);
			put(v + (4 * i + 1) * point, a[i][1] + a[i][2]);
			put(v + (4 * i + 2) * point, a[i][2] - a[i][1]);
			put(v + (4 * i + 3) * point, a[i][1] - a[i][3]);
		}
	}
}

/* A g A' of 2 x 2 places, A = [1 0; 1 1; 1 -1; 0 -1] */
ALWAYS void wino_g_(int64_t cols, const float *g0, const float *g1, int64_t ld, float *v, int64_t point)
{
	const lanes none = { 0 };
	for (int64_t x = 0; x < cols; x += 2, v += ld) {
		bool more = x + 1 < cols;
		lanes a = get(g0 + x * ld), b = more ? get(g0 + (x + 1) * ld) : none;
		lanes c = g1 ? get(g1 + x * ld) : none, d = g1 && more ? get(g1 + (x + 1) * ld) : none;
		lanes left[4] = { a, a + c, a - c, -c }, right[4] = { b, b + d, b - d, -d };
		UNROLL_ALL for (int i = 0; i < 4; i++)
		{
			put(v + (4 * i) * point, left[i]);
			put(v + (4 * i + 1) * point, left[i] + right[i]);
			put(v + (4 * i + 2) * point, left[i] - right[i]);
			put(v + (4 * i + 3) * point, -right[i]);
		}
	}
}

/* A' m A of 4 x 4 points */
ALWAYS void wino_y_(int64_t cols, const float *m, int64_t point, int64_t ld, const float *start, float *y0, float *y1)
{
	const lanes none = { 0 }, s = start ? get(start) : none;
	for (int64_t x = 0; x < cols; x += 2, m += ld) {
		lanes top[4], low[4];
		UNROLL_ALL for (int j = 0; j < 4; j++)
		{
			lanes m0 = get(m + j * point), m1 = get(m + (4 + j) * point);
			lanes m2 = get(m + (8 + j) * point), m3 = get(m + (12 + j) * point);
			top[j] = m0 + m1 + m2;
			low[j] = m1 - m2 - m3;
		}
		bool more = x + 1 < cols;
		put(y0 + x * ld, top[0] + top[1] + top[2] + s);
		if (more)
			put(y0 + (x + 1) * ld, top[1] - top[2] - top[3] + s);
		if (y1)
			put(y1 + x * ld, low[0] + low[1] + low[2] + s);
		if (y1 && more)
			put(y1 + (x + 1) * ld, low[1] - low[2] - low[3] + s);
	}
}

/* --- sums ----------------------------------------------------------------------------------------- */
ALWAYS void add_up(double *sum, lanes v)
{
	for (int l = 0; l < VL; l++)
		sum[l] += (double)v[l];
}

/* Four places in flight. */
ALWAYS void total_(int64_t n, int64_t ld, const float *x, double *sum)
{
	lanes s[4] = { { 0 } };
	int64_t i = 0;
	for (; i + 4 <= n; i += 4)
		UNROLL_ALL for (int k = 0; k < 4; k++) s[k] += get(x + (i + k) * ld);
	for (; i < n; i++)
		s[0] += get(x + i * ld);
	add_up(sum, (s[0] + s[1]) + (s[2] + s[3]));
}

ALWAYS void square_(int64_t n, int64_t ld, const float *x, const float *shift, double *sum, double *squares)
{
	lanes s[4] = { { 0 } }, q[4] = { { 0 } }, mean = get(shift);
	int64_t i = 0;
	for (; i + 4 <= n; i += 4)
		UNROLL_ALL for (int k = 0; k < 4; k++)
		{
			lanes d = get(x + (i + k) * ld) - mean;
			s[k] += d;
			q[k] += d * d;
		}
	for (; i < n; i++) {
		lanes d = get(x + i * ld) - mean;
		s[0] += d;
		q[0] += d * d;
	}
	add_up(sum, (s[0] + s[1]) + (s[2] + s[3]));
	add_up(squares, (q[0] + q[1]) + (q[2] + q[3]));
}

ALWAYS void product_(int64_t n, int64_t ld, const float *x, const float *g, const uint8_t *off, const float *shift,
                     double *sum, double *prod)
{
	lanes s[4] = { { 0 } }, q[4] = { { 0 } }, mean = get(shift);
	int64_t i = 0;
#define ONE(k, at)                                \
	do {                                          \
		lanes y = get(g + (at)*ld);               \
		if (off)                                  \
			y = drop(y, get_mask(off + (at)*ld)); \
		s[k] += y;                                \
		q[k] += y * (get(x + (at)*ld) - mean);    \
	} while (0)
	for (; i + 4 <= n; i += 4)
		UNROLL_ALL for (int k = 0; k < 4; k++) ONE(k, i + k);
	for (; i < n; i++)
		ONE(0, i);
	add_up(sum, (s[0] + s[1]) + (s[2] + s[3]));
	add_up(prod, (q[0] + q[1]) + (q[2] + q[3]));
}

ALWAYS void product_pool_(int64_t n, int64_t ld, const float *x0, const float *x1, const float *g, const int32_t *index,
                          const float *shift, double *sum, double *prod)
{
	lanes s = { 0 }, q = { 0 }, mean = get(shift);
	for (int64_t i = 0; i < n; i++) {
		ints at = get_ints(index + i * ld);
		lanes y = drop(get(g + i * ld), at < 0);
		const float *p = x0 + 2 * i * ld, *r = x1 + 2 * i * ld;
		lanes x = (lanes)(((ints)get(p) & (at == 0)) | ((ints)get(p + ld) & (at == 1)) | ((ints)get(r) & (at == 2)) |
		                  ((ints)get(r + ld) & (at == 3)));
		s += y;
		q += y * (x - mean);
	}
	add_up(sum, s);
	add_up(prod, q);
}

/* --- element by element --------------------------------------------------------------------------- */
ALWAYS void affine_(int64_t n, int64_t ld, const float *x, const float *par, float *y)
{
	lanes mean = get(par), scale = get(par + LANES), shift = get(par + 2 * LANES);
	for (int64_t i = 0; i < n; i++)
		put(y + i * ld, (get(x + i * ld) - mean) * scale + shift);
}

ALWAYS void relu_(int64_t n, int64_t ld, const float *x, const float *par, float *y, uint8_t *off)
{
	lanes mean = get(par), scale = get(par + LANES), shift = get(par + 2 * LANES);
	for (int64_t i = 0; i < n; i++) {
		lanes v = (get(x + i * ld) - mean) * scale + shift;
		ints low = v <= 0;
		put(y + i * ld, drop(v, low));
		if (off) {
			*(bytes *)(off + i * ld) = __builtin_convertvector(low & 1, bytes);
		}
	}
}

ALWAYS void relu_pool_(int64_t n, int64_t ld, const float *x0, const float *x1, const float *par, float *y,
                       int32_t *index)
{
	lanes mean = get(par), scale = get(par + LANES), shift = get(par + 2 * LANES);
	for (int64_t i = 0; i < n; i++) {
		const float *from[4] = { x0 + 2 * i * ld, x0 + (2 * i + 1) * ld, x1 + 2 * i * ld, x1 + (2 * i + 1) * ld };
		lanes best = (get(from[0]) - mean) * scale + shift;
		ints at = { 0 };
		UNROLL_ALL for (int k = 1; k < 4; k++)
		{
			lanes v = (get(from[k]) - mean) * scale + shift;
			/* a NaN is larger than numbers, and the first one stays */
			ints take = (best == best) & ~(v <= best);
			best = (lanes)(((ints)v & take) | ((ints)best & ~take));
			at = (at & ~take) | (take & k);
		}
		ints low = best <= 0;
		put(y + i * ld, drop(best, low));
		at |= low;
		if (index)
			*(ints *)(index + i * ld) = at;
	}
}

ALWAYS void norm_dx_(int64_t n, int64_t ld, const float *x, const float *g, const uint8_t *off, const float *par,
                     float *y, double *sum)
{
	lanes mean = get(par), scale = get(par + LANES), a = get(par + 2 * LANES), b = get(par + 3 * LANES), s = { 0 };
	const lanes none = { 0 };
	for (int64_t i = 0; i < n; i++) {
		lanes d = g ? get(g + i * ld) : none;
		if (off)
			d = drop(d, get_mask(off + i * ld));
		d = scale * (d - a - (get(x + i * ld) - mean) * b);
		put(y + i * ld, d);
		s += d;
	}
	add_up(sum, s);
}

ALWAYS void norm_dx_pool_(int64_t n, int64_t ld, const float *x0, const float *x1, const float *g, const int32_t *index,
                          const float *par, float *y0, float *y1, double *sum)
{
	lanes mean = get(par), scale = get(par + LANES), a = get(par + 2 * LANES), b = get(par + 3 * LANES), s = { 0 };
	for (int64_t i = 0; i < n; i++) {
		ints at = get_ints(index + i * ld);
		lanes d = get(g + i * ld);
		UNROLL_ALL for (int k = 0; k < 4; k++)
		{
			int64_t to = (2 * i + k % 2) * ld;
			lanes v = scale * (keep(d, at == k) - a - (get((k < 2 ? x0 : x1) + to) - mean) * b);
			put((k < 2 ? y0 : y1) + to, v);
			s += v;
		}
	}
	add_up(sum, s);
}

/* --- LANES channels by vectors ---------------------------------------------------------------------- */
#define BY_VECTORS for (int64_t h = 0; h < LANES; h += VL)
/* What may be missing stays missing. */
#define AT(p) ((p) ? (p) + h : (p))

static void wino_x(int64_t tiles, const float *x, int64_t ldx, int64_t ld, float *v, int64_t point)
{
	BY_VECTORS wino_x_(tiles, x + h, ldx, ld, v + h, point);
}
static void wino_g(int64_t cols, const float *g0, const float *g1, int64_t ld, float *v, int64_t point)
{
	BY_VECTORS wino_g_(cols, g0 + h, AT(g1), ld, v + h, point);
}
static void wino_y(int64_t cols, const float *m, int64_t point, int64_t ld, const float *start, float *y0, float *y1)
{
	BY_VECTORS wino_y_(cols, m + h, point, ld, AT(start), y0 + h, AT(y1));
}
static void total(int64_t n, int64_t ld, const float *x, double *sum) { BY_VECTORS total_(n, ld, x + h, sum + h); }
static void square(int64_t n, int64_t ld, const float *x, const float *shift, double *sum, double *squares)
{
	BY_VECTORS square_(n, ld, x + h, shift + h, sum + h, squares + h);
}
static void product(int64_t n, int64_t ld, const float *x, const float *g, const uint8_t *off, const float *shift,
                    double *sum, double *prod)
{
	BY_VECTORS product_(n, ld, x + h, AT(g), AT(off), shift + h, sum + h, prod + h);
}
static void product_pool(int64_t n, int64_t ld, const float *x0, const float *x1, const float *g, const int32_t *index,
                         const float *shift, double *sum, double *prod)
{
	BY_VECTORS product_pool_(n, ld, x0 + h, x1 + h, AT(g), AT(index), shift + h, sum + h, prod + h);
}
static void affine(int64_t n, int64_t ld, const float *x, const float *par, float *y)
{
	BY_VECTORS affine_(n, ld, x + h, par + h, y + h);
}
static void relu(int64_t n, int64_t ld, const float *x, const float *par, float *y, uint8_t *off)
{
	BY_VECTORS relu_(n, ld, x + h, par + h, y + h, AT(off));
}
static void relu_pool(int64_t n, int64_t ld, const float *x0, const float *x1, const float *par, float *y,
                      int32_t *index)
{
	BY_VECTORS relu_pool_(n, ld, x0 + h, x1 + h, par + h, y + h, AT(index));
}
static void norm_dx(int64_t n, int64_t ld, const float *x, const float *g, const uint8_t *off, const float *par,
                    float *y, double *sum)
{
	BY_VECTORS norm_dx_(n, ld, x + h, AT(g), AT(off), par + h, y + h, sum + h);
}
static void norm_dx_pool(int64_t n, int64_t ld, const float *x0, const float *x1, const float *g, const int32_t *index,
                         const float *par, float *y0, float *y1, double *sum)
{
	BY_VECTORS norm_dx_pool_(n, ld, x0 + h, x1 + h, AT(g), AT(index), par + h, y0 + h, AT(y1), sum + h);
}

const struct nhwc_isa ISA(nhwc) = {
	VL,     MR,     tile, outer,     wino_x,  wino_g,       wino_y,  total,
	square, affine, relu, relu_pool, product, product_pool, norm_dx, norm_dx_pool,
};
