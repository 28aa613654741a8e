/* SPDX-License-Identifier: MIT
 *
 * draw_isa.c: Philox4x32-10 for as many counters at once as a vector has lanes of 64 bits,
 * compiled once per instruction set. The same words as philox.c.
 */
#include "fast.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#define NAME draw_avx512
#define SIDE 8
typedef __m512i words;
#define ALL(x)       _mm512_set1_epi64((long long)(x))
#define TIMES(x, k)  _mm512_mul_epu32(x, k)
#define XOR(x, y, z) _mm512_ternarylogic_epi64(x, y, z, 0x96)
#define HIGH(x)      _mm512_srli_epi64(x, 32)
#define PAIR(x, y)   _mm512_mask_blend_epi32(0xAAAA, x, _mm512_slli_epi64(y, 32))
static inline words counters(uint32_t first)
{
	return _mm512_add_epi64(ALL(first), _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline void put(uint32_t *out, words ab, words cd)
{
	__m512i lo = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11), hi = _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15);
	_mm512_storeu_si512(out, _mm512_permutex2var_epi64(ab, lo, cd));
	_mm512_storeu_si512(out + 16, _mm512_permutex2var_epi64(ab, hi, cd));
}
#elif defined(__AVX2__)
#include <immintrin.h>
#define NAME         draw_avx2
#define SIDE         4
typedef __m256i words;
#define ALL(x)       _mm256_set1_epi64x((long long)(x))
#define TIMES(x, k)  _mm256_mul_epu32(x, k)
#define XOR(x, y, z) _mm256_xor_si256(_mm256_xor_si256(x, y), z)
#define HIGH(x)      _mm256_srli_epi64(x, 32)
#define PAIR(x, y)   _mm256_blend_epi32(x, _mm256_slli_epi64(y, 32), 0xAA)
static inline words counters(uint32_t first) { return _mm256_add_epi64(ALL(first), _mm256_setr_epi64x(0, 1, 2, 3)); }
static inline void put(uint32_t *out, words ab, words cd)
{
	__m256i even = _mm256_unpacklo_epi64(ab, cd), odd = _mm256_unpackhi_epi64(ab, cd);
	_mm256_storeu_si256((__m256i *)(void *)out, _mm256_permute2x128_si256(even, odd, 0x20));
	_mm256_storeu_si256((__m256i *)(void *)(out + 8), _mm256_permute2x128_si256(even, odd, 0x31));
}
#else
#define NAME         draw_plain
#define SIDE         1
typedef uint64_t words;
#define ALL(x)       ((uint64_t)(x))
#define TIMES(x, k)  ((uint64_t)(uint32_t)(x) * (k))
#define XOR(x, y, z) ((x) ^ (y) ^ (z))
#define HIGH(x)      ((x) >> 32)
#define PAIR(x, y)   (((x)&0xFFFFFFFFu) | (y) << 32)
static inline words counters(uint32_t first) { return first; }
static inline void put(uint32_t *out, words ab, words cd)
{
	out[0] = (uint32_t)ab, out[1] = (uint32_t)(ab >> 32), out[2] = (uint32_t)cd, out[3] = (uint32_t)(cd >> 32);
}
#endif

/* Words of SIDE counters, a counter's four together. Each word is the low half of a lane of 64
 * bits, where a product fits; what is in the high half is never read. */
static void block(uint32_t first, const uint32_t ctr[3], uint64_t key, uint32_t *out)
{
	words a = counters(first), b = ALL(ctr[0]), c = ALL(ctr[1]), d = ALL(ctr[2]);
	uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
	for (int round = 0; round < 10; round++) {
		words p = TIMES(a, ALL(0xD2511F53u)), q = TIMES(c, ALL(0xCD9E8D57u));
		a = XOR(HIGH(q), b, ALL(k0));
		b = q;
		c = XOR(HIGH(p), d, ALL(k1));
		d = p;
		k0 += 0x9E3779B9u;
		k1 += 0xBB67AE85u;
	}
	put(out, PAIR(a, b), PAIR(c, d));
}

static void bits(int64_t n, uint32_t first, const uint32_t ctr[3], uint64_t key, uint32_t *out)
{
	for (; n >= 4 * SIDE; n -= 4 * SIDE, first += SIDE, out += 4 * SIDE)
		block(first, ctr, key, out);
	if (n > 0) {
		uint32_t last[4 * SIDE];
		block(first, ctr, key, last);
		for (int64_t i = 0; i < n; i++)
			out[i] = last[i];
	}
}

static void uniform(int64_t n, const uint32_t *restrict w, float *restrict out)
{
	for (int64_t i = 0; i < n; i++)
		out[i] = (float)(int32_t)(w[i] >> 8) * 0x1p-24f;
}

const struct draw_isa NAME = { bits, uniform };
