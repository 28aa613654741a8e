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
 * To add an instruction set: a section of macros below and one line in meson.build and gemm.c.
 */
#include <string.h>

#include "fast.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#define NAME gemm_avx512
#define VL   16
#define MR   14 /* 28 accumulators, 2 of B, 1 of A */
#define MD   6  /* 24 accumulators, 4 of B, 1 of A */
#define ND   4
typedef __m512 vec;
typedef __mmask16 mask;
#define ZERO()          _mm512_setzero_ps()
#define LOAD(p)         _mm512_loadu_ps(p)
#define LOADM(p, m)     _mm512_maskz_loadu_ps(m, p)
#define STORE(p, v)     _mm512_storeu_ps(p, v)
#define STOREM(p, v, m) _mm512_mask_storeu_ps(p, m, v)
#define FILL(x)         _mm512_set1_ps(x)
#define FMA(a, b, c)    _mm512_fmadd_ps(a, b, c)
static inline mask tail_mask(int64_t n) { return (mask)((1u << n) - 1u); }
/* Four horizontal sums. */
static inline void sum4(float *out, vec a, vec b, vec c, vec d)
{
#define HALF_(v) _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1))
	__m256 ab = _mm256_hadd_ps(HALF_(a), HALF_(b)), cd = _mm256_hadd_ps(HALF_(c), HALF_(d));
	__m256 s = _mm256_hadd_ps(ab, cd);
	_mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1)));
#undef HALF_
}
#elif defined(__AVX2__)
#include <immintrin.h>
#define NAME            gemm_avx2
#define VL              8
#define MR              6
#define MD              3
#define ND              4
typedef __m256 vec;
typedef __m256i mask;
#define ZERO()          _mm256_setzero_ps()
#define LOAD(p)         _mm256_loadu_ps(p)
#define LOADM(p, m)     _mm256_maskload_ps(p, m)
#define STORE(p, v)     _mm256_storeu_ps(p, v)
#define STOREM(p, v, m) _mm256_maskstore_ps(p, m, v)
#define FILL(x)         _mm256_set1_ps(x)
#define FMA(a, b, c)    _mm256_fmadd_ps(a, b, c)
static inline mask tail_mask(int64_t n)
{
	return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline void sum4(float *out, vec a, vec b, vec c, vec d)
{
	__m256 s = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
	_mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1)));
}
#else
#define NAME            gemm_plain
#define VL              4
#define MR              4
#define MD              2
#define ND              4
typedef float vec __attribute__((vector_size(16)));
typedef int64_t mask; /* how many elements */
static inline vec load_(const float *p, int64_t n)
{
	vec v = { 0 };
	memcpy(&v, p, (size_t)n * sizeof *p);
	return v;
}
#define ZERO()          ((vec){ 0 })
#define LOAD(p)         load_(p, VL)
#define LOADM(p, m)     load_(p, m)
#define STORE(p, v)     memcpy(p, &(v), sizeof(vec))
#define STOREM(p, v, m) memcpy(p, &(v), (size_t)(m) * sizeof(float))
#define FILL(x)         ((vec){ x, x, x, x })
#define FMA(a, b, c)    ((a) * (b) + (c))
static inline mask tail_mask(int64_t n) { return n; }
static inline void sum4(float *out, vec a, vec b, vec c, vec d)
{
	out[0] = (a[0] + a[1]) + (a[2] + a[3]);
	out[1] = (b[0] + b[1]) + (b[2] + b[3]);
	out[2] = (c[0] + c[1]) + (c[2] + c[3]);
	out[3] = (d[0] + d[1]) + (d[2] + d[3]);
}
#endif

/* Literal bounds everywhere below: the compiler must keep the accumulators in registers. */
#define UNROLL _Pragma("GCC unroll 16")
#define ALWAYS static inline __attribute__((always_inline))

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

const struct gemm_isa NAME = { MR, 2 * VL, MD, ND, tile, dots, pack_transposed };
