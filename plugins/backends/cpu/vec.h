/* SPDX-License-Identifier: MIT
 *
 * vec.h: vectors of floats for the inner loops of gemm_isa.c and conv_isa.c, and the tile
 * sizes that fit the registers. ISA(x) is the name of x on this instruction set.
 * To add an instruction set: a section of macros below and one line in meson.build and gemm.c.
 */
#ifndef CPU_VEC_H
#define CPU_VEC_H

#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#include <immintrin.h>
#define ISA(x) x##_avx512
#define VL     16
#define MR     14 /* 28 accumulators, 2 of B, 1 of A */
#define MD     6  /* 24 accumulators, 4 of B, 1 of A */
#define ND     4
typedef __m512 vec;
typedef __mmask16 mask;
#define ZERO()          _mm512_setzero_ps()
#define LOAD(p)         _mm512_loadu_ps(p)
#define LOADM(p, m)     _mm512_maskz_loadu_ps(m, p)
#define STORE(p, v)     _mm512_storeu_ps(p, v)
#define STOREM(p, v, m) _mm512_mask_storeu_ps(p, m, v)
#define FILL(x)         _mm512_set1_ps(x)
#define FMA(a, b, c)    _mm512_fmadd_ps(a, b, c)
#define ADD(a, b)       _mm512_add_ps(a, b)
#define SUB(a, b)       _mm512_sub_ps(a, b)
#define MUL(a, b)       _mm512_mul_ps(a, b)
#define KEEP(v, m)      _mm512_maskz_mov_ps(m, v)
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
/* Even and odd elements of a and b; each element of the lower or upper half twice. */
#define INDEX_(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p) \
	_mm512_setr_epi32(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p)
static inline vec even(vec a, vec b)
{
	return _mm512_permutex2var_ps(a, INDEX_(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30), b);
}
static inline vec odd(vec a, vec b)
{
	return _mm512_permutex2var_ps(a, INDEX_(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31), b);
}
static inline vec twice_low(vec v)
{
	return _mm512_permutexvar_ps(INDEX_(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7), v);
}
static inline vec twice_high(vec v)
{
	return _mm512_permutexvar_ps(INDEX_(8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15), v);
}
#undef INDEX_
/* Rows become columns. */
static inline void transpose(vec v[16])
{
	__m512 a[16], b[16];
#define UNPACK_(i) a[i] = _mm512_unpacklo_ps(v[i], v[(i) + 1]), a[(i) + 1] = _mm512_unpackhi_ps(v[i], v[(i) + 1])
	UNPACK_(0), UNPACK_(2), UNPACK_(4), UNPACK_(6), UNPACK_(8), UNPACK_(10), UNPACK_(12), UNPACK_(14);
#undef UNPACK_
#define PAIR_(lo, i, j) _mm512_castpd_ps(_mm512_unpack##lo##_pd(_mm512_castps_pd(a[i]), _mm512_castps_pd(a[j])))
#define FOUR_(i)                                                                                                \
	b[i] = PAIR_(lo, i, (i) + 2), b[(i) + 1] = PAIR_(hi, i, (i) + 2), b[(i) + 2] = PAIR_(lo, (i) + 1, (i) + 3), \
	b[(i) + 3] = PAIR_(hi, (i) + 1, (i) + 3)
	FOUR_(0), FOUR_(4), FOUR_(8), FOUR_(12); /* b[4 g + c], quarter q: rows 4 g.. of column 4 q + c */
#undef FOUR_
#undef PAIR_
	for (int c = 0; c < 4; c++) {
		__m512 lo = _mm512_shuffle_f32x4(b[c], b[4 + c], 0x44), hi = _mm512_shuffle_f32x4(b[c], b[4 + c], 0xEE);
		__m512 lo2 = _mm512_shuffle_f32x4(b[8 + c], b[12 + c], 0x44);
		__m512 hi2 = _mm512_shuffle_f32x4(b[8 + c], b[12 + c], 0xEE);
		v[c] = _mm512_shuffle_f32x4(lo, lo2, 0x88), v[4 + c] = _mm512_shuffle_f32x4(lo, lo2, 0xDD);
		v[8 + c] = _mm512_shuffle_f32x4(hi, hi2, 0x88), v[12 + c] = _mm512_shuffle_f32x4(hi, hi2, 0xDD);
	}
}
#elif defined(__AVX2__)
#include <immintrin.h>
#define ISA(x)          x##_avx2
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
#define ADD(a, b)       _mm256_add_ps(a, b)
#define SUB(a, b)       _mm256_sub_ps(a, b)
#define MUL(a, b)       _mm256_mul_ps(a, b)
#define KEEP(v, m)      _mm256_and_ps(v, _mm256_castsi256_ps(m))
static inline mask tail_mask(int64_t n)
{
	return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline void sum4(float *out, vec a, vec b, vec c, vec d)
{
	__m256 s = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
	_mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1)));
}
static inline vec even(vec a, vec b)
{
	__m256d v = _mm256_castps_pd(_mm256_shuffle_ps(a, b, 0x88));
	return _mm256_castpd_ps(_mm256_permute4x64_pd(v, 0xD8));
}
static inline vec odd(vec a, vec b)
{
	__m256d v = _mm256_castps_pd(_mm256_shuffle_ps(a, b, 0xDD));
	return _mm256_castpd_ps(_mm256_permute4x64_pd(v, 0xD8));
}
static inline vec twice_low(vec v) { return _mm256_permutevar8x32_ps(v, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3)); }
static inline vec twice_high(vec v) { return _mm256_permutevar8x32_ps(v, _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7)); }
static inline void transpose(vec v[8])
{
	__m256 a[8], b[8];
	for (int i = 0; i < 8; i += 2)
		a[i] = _mm256_unpacklo_ps(v[i], v[i + 1]), a[i + 1] = _mm256_unpackhi_ps(v[i], v[i + 1]);
	for (int i = 0; i < 8; i += 4) { /* b[i + c], half h: rows i.. of column 4 h + c */
		b[i] = _mm256_shuffle_ps(a[i], a[i + 2], 0x44), b[i + 1] = _mm256_shuffle_ps(a[i], a[i + 2], 0xEE);
		b[i + 2] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0x44), b[i + 3] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0xEE);
	}
	for (int c = 0; c < 4; c++) {
		v[c] = _mm256_permute2f128_ps(b[c], b[4 + c], 0x20);
		v[4 + c] = _mm256_permute2f128_ps(b[c], b[4 + c], 0x31);
	}
}
#else
#define ISA(x)          x##_plain
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
#define ADD(a, b)       ((a) + (b))
#define SUB(a, b)       ((a) - (b))
#define MUL(a, b)       ((a) * (b))
#define KEEP(v, m)      keep_(v, m)
static inline vec keep_(vec v, int64_t n)
{
	for (int64_t i = n; i < 4; i++)
		v[i] = 0;
	return v;
}
static inline mask tail_mask(int64_t n) { return n; }
static inline vec even(vec a, vec b) { return (vec){ a[0], a[2], b[0], b[2] }; }
static inline vec odd(vec a, vec b) { return (vec){ a[1], a[3], b[1], b[3] }; }
static inline vec twice_low(vec v) { return (vec){ v[0], v[0], v[1], v[1] }; }
static inline vec twice_high(vec v) { return (vec){ v[2], v[2], v[3], v[3] }; }
static inline void transpose(vec v[4])
{
	for (int i = 0; i < 4; i++)
		for (int j = 0; j < i; j++) {
			float x = v[i][j];
			v[i][j] = v[j][i];
			v[j][i] = x;
		}
}
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

#endif
