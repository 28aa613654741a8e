/* SPDX-License-Identifier: MIT
 *
 * gemm_isa.c: the inner loops of matrix products, compiled once per instruction set
 * (see meson.build); gemm.c decides blocks and calls them through struct gemm_isa.
 * Two kernels over row-major float matrices:
 *   tile  C (mr x n) = A (mr x k) B (k x n), n <= 2 vectors: one row of B against one element
 *         of each row of A. Every element of C is one chain of products in ascending k.
 *   dots  C (mr x 4) = A (mr x k) B' with B (4 x k): both run along k, so B = W as it is
 *         stored needs no packing. Lane l of an element sums k = l, l + VL, ...
 * Neither order depends on the tile an element is in, so blocks can be cut freely.
 */
#include "fast.h"
#include "vec.h"

/* C (mr x n) = A B; nv vectors wide, the last one masked if `edge`. sam, sak: distance between
 * rows and along k of A; ldb, ldc: between rows of B and C. */
ALWAYS void tile_body(int mr, int nv, int edge, int64_t n, int64_t k, const float *a, int64_t sam, int64_t sak,
                      const float *b, int64_t ldb, float *c, int64_t ldc)
{
	vec acc[MR][2];
	mask m = tail_mask(edge ? n - (nv - 1) * VL : 0);
	UNROLL for (int i = 0; i < MR; i++) acc[i][0] = acc[i][1] = ZERO();
	for (int64_t kk = 0; kk < k; kk++, b += ldb, a += sak) {
		vec b0 = edge && nv == 1 ? LOADM(b, m) : LOAD(b);
		vec b1 = nv == 1 ? ZERO() : edge ? LOADM(b + VL, m) : LOAD(b + VL);
		UNROLL for (int i = 0; i < MR; i++) if (i < mr)
		{
			vec x = FILL(a[i * sam]);
			acc[i][0] = FMA(x, b0, acc[i][0]);
			if (nv == 2)
				acc[i][1] = FMA(x, b1, acc[i][1]);
		}
	}
	UNROLL for (int i = 0; i < MR; i++) if (i < mr)
	{
		if (edge && nv == 1)
			STOREM(c + i * ldc, acc[i][0], m);
		else
			STORE(c + i * ldc, acc[i][0]);
		if (nv == 2 && edge)
			STOREM(c + i * ldc + VL, acc[i][1], m);
		else if (nv == 2)
			STORE(c + i * ldc + VL, acc[i][1]);
	}
}

#define TILE_(mr)                                                                                                      \
	static void tile_##mr(int64_t n, int64_t k, const float *a, int64_t sam, int64_t sak, const float *b, int64_t ldb, \
	                      float *c, int64_t ldc)                                                                       \
	{                                                                                                                  \
		if (n == 2 * VL)                                                                                               \
			tile_body(mr, 2, 0, n, k, a, sam, sak, b, ldb, c, ldc);                                                    \
		else if (n > VL)                                                                                               \
			tile_body(mr, 2, 1, n, k, a, sam, sak, b, ldb, c, ldc);                                                    \
		else if (n == VL)                                                                                              \
			tile_body(mr, 1, 0, n, k, a, sam, sak, b, ldb, c, ldc);                                                    \
		else                                                                                                           \
			tile_body(mr, 1, 1, n, k, a, sam, sak, b, ldb, c, ldc);                                                    \
	}
typedef void tile_fn(int64_t n, int64_t k, const float *a, int64_t sam, int64_t sak, const float *b, int64_t ldb,
                     float *c, int64_t ldc);
TILE_(1)
TILE_(2)
TILE_(3)
TILE_(4)
#if MR > 4
TILE_(5)
TILE_(6)
#endif
#if MR > 6
TILE_(7)
TILE_(8)
TILE_(9)
TILE_(10)
TILE_(11)
TILE_(12)
TILE_(13)
TILE_(14)
#endif
static tile_fn *const tiles[] = { tile_1, tile_2, tile_3, tile_4,
#if MR > 4
	                              tile_5, tile_6,
#endif
#if MR > 6
	                              tile_7, tile_8, tile_9, tile_10, tile_11, tile_12, tile_13, tile_14
#endif
};

static void tile(int64_t mr, int64_t n, int64_t k, const float *a, int64_t sam, int64_t sak, const float *b,
                 int64_t ldb, float *c, int64_t ldc)
{
	tiles[mr - 1](n, k, a, sam, sak, b, ldb, c, ldc);
}

/* C (mr x nd) (+)= A B': dot products of mr rows of A and nd <= 4 rows of B; rows of B beyond
 * nd repeat the first, their results are dropped. */
ALWAYS void dots_body(int mr, int64_t nd, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb, float *c,
                      int64_t ldc, int add)
{
	vec acc[MD][ND];
	const float *row[ND];
	int64_t kk = 0;
	mask m = tail_mask(k % VL);
	UNROLL for (int i = 0; i < MD; i++) UNROLL for (int j = 0; j < ND; j++) acc[i][j] = ZERO();
	UNROLL for (int j = 0; j < ND; j++) row[j] = b + (j < nd ? j : 0) * ldb;
	for (; kk + VL <= k; kk += VL) {
		vec y[ND];
		UNROLL for (int j = 0; j < ND; j++) y[j] = LOAD(row[j] + kk);
		UNROLL for (int i = 0; i < MD; i++) if (i < mr)
		{
			vec x = LOAD(a + i * lda + kk);
			UNROLL for (int j = 0; j < ND; j++) acc[i][j] = FMA(x, y[j], acc[i][j]);
		}
	}
	if (kk < k) {
		vec y[ND];
		UNROLL for (int j = 0; j < ND; j++) y[j] = LOADM(row[j] + kk, m);
		UNROLL for (int i = 0; i < MD; i++) if (i < mr)
		{
			vec x = LOADM(a + i * lda + kk, m);
			UNROLL for (int j = 0; j < ND; j++) acc[i][j] = FMA(x, y[j], acc[i][j]);
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

#define DOTS_(mr)                                                                                                    \
	static void dots_##mr(int64_t nd, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb, float *c, \
	                      int64_t ldc, int add)                                                                      \
	{                                                                                                                \
		dots_body(mr, nd, k, a, lda, b, ldb, c, ldc, add);                                                           \
	}
typedef void dots_fn(int64_t nd, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb, float *c,
                     int64_t ldc, int add);
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
static dots_fn *const all_dots[] = { dots_1, dots_2,
#if MD > 2
	                                 dots_3,
#endif
#if MD > 3
	                                 dots_4, dots_5, dots_6
#endif
};

static void dots(int64_t mr, int64_t nd, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb, float *c,
                 int64_t ldc, int add)
{
	all_dots[mr - 1](nd, k, a, lda, b, ldb, c, ldc, add);
}

/* b (n x k), rows ldb apart -> out (k x w), w >= n, columns from n on zero. */
static void pack_transposed(int64_t n, int64_t k, const float *b, int64_t ldb, float *out, int64_t w)
{
	for (int64_t k0 = 0; k0 < k; k0 += 16) {
		int64_t kn = k - k0 < 16 ? k - k0 : 16;
		for (int64_t j = 0; j < n; j++)
			for (int64_t i = 0; i < kn; i++)
				out[(k0 + i) * w + j] = b[j * ldb + k0 + i];
		for (int64_t j = n; j < w; j++)
			for (int64_t i = 0; i < kn; i++)
				out[(k0 + i) * w + j] = 0;
	}
}

const struct gemm_isa ISA(gemm) = { MR, 2 * VL, MD, ND, tile, dots, pack_transposed };
