/* SPDX-License-Identifier: MIT
 *
 * strip_isa.c: the vector functions of strips, compiled once per instruction set. Plain loops
 * that the compiler vectorises: with contraction off and fused products written out, the
 * vector body and its tail round alike, so no bit depends on where a strip ends.
 * A new op: a line in STRIP_LIST and a function here.
 */
#include <math.h>
#include <string.h>

#include "strip.h"

#if defined(__clang__) /* libm calls stay scalar loops: known */
#pragma clang diagnostic ignored "-Wpass-failed"
#endif

#if defined(__AVX512F__)
#define NAME strip_avx512
#elif defined(__AVX2__)
#define NAME strip_avx2
#else
#define NAME strip_plain
#endif

/* One rounding where the hardware has it: inside of the functions below only. */
#ifdef __FMA__
#define FMA(a, b, c) __builtin_fmaf(a, b, c)
#else
#define FMA(a, b, c) ((a) * (b) + (c))
#endif

/* Element i is computed from element i of each operand alone, so overlap of whole strips is
 * harmless and the loop may be a vector loop. */
#if defined(__clang__)
#define EACH(i) _Pragma("clang loop vectorize(assume_safety)") for (int64_t i = 0; i < n; i++)
#else
#define EACH(i) _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++)
#endif
#define INLINE static inline __attribute__((always_inline))
#define ARGS   int64_t n, void *d_, const void *a_, const void *b_, const void *c_, unsigned s

#define UNARY(name, T, R, expr)    \
	static void name(ARGS)         \
	{                              \
		const T *a = a_;           \
		R *d = d_;                 \
		(void)b_, (void)c_;        \
		if (s & 1) {               \
			const T x = a[0];      \
			const R y = (R)(expr); \
			EACH(i) d[i] = y;      \
		} else                     \
			EACH(i)                \
			{                      \
				const T x = a[i];  \
				d[i] = (R)(expr);  \
			}                      \
	}

#define LOOP2_(T, A, B, expr) \
	EACH(i)                   \
	{                         \
		const T x = A, y = B; \
		d[i] = (expr);        \
	}
#define BINARY(name, T, R, expr)        \
	static void name(ARGS)              \
	{                                   \
		const T *a = a_, *b = b_;       \
		R *d = d_;                      \
		(void)c_;                       \
		if ((s & 3) == 0) {             \
			LOOP2_(T, a[i], b[i], expr) \
		} else if ((s & 3) == 1) {      \
			const T k = a[0];           \
			LOOP2_(T, k, b[i], expr)    \
		} else if ((s & 3) == 2) {      \
			const T k = b[0];           \
			LOOP2_(T, a[i], k, expr)    \
		} else {                        \
			const T k = a[0], l = b[0]; \
			LOOP2_(T, k, l, expr)       \
		}                               \
	}

#define LOOP3_(A, B, C, expr)            \
	EACH(i)                              \
	{                                    \
		const float x = A, y = B, z = C; \
		d[i] = (expr);                   \
	}
#define TERNARY(name, expr)                                                  \
	static void name(ARGS)                                                   \
	{                                                                        \
		const float *a = a_, *b = b_, *c = c_, p = a[0], q = b[0], r = c[0]; \
		float *d = d_;                                                       \
		switch (s & 7) {                                                     \
		case 0: LOOP3_(a[i], b[i], c[i], expr) break;                        \
		case 1: LOOP3_(p, b[i], c[i], expr) break;                           \
		case 2: LOOP3_(a[i], q, c[i], expr) break;                           \
		case 3: LOOP3_(p, q, c[i], expr) break;                              \
		case 4: LOOP3_(a[i], b[i], r, expr) break;                           \
		case 5: LOOP3_(p, b[i], r, expr) break;                              \
		case 6: LOOP3_(a[i], q, r, expr) break;                              \
		default: LOOP3_(p, q, r, expr)                                       \
		}                                                                    \
	}

#define WHERE(name, T)                         \
	static void name(ARGS)                     \
	{                                          \
		const uint8_t *a = a_;                 \
		const T *b = b_, *c = c_;              \
		T *d = d_;                             \
		const T q = b[0], r = c[0];            \
		if (s & 1) {                           \
			const T *from = a[0] ? b : c;      \
			if (a[0] ? s & 2 : s & 4) {        \
				const T k = from[0];           \
				EACH(i) d[i] = k;              \
			} else if (from != d)              \
				EACH(i) d[i] = from[i];        \
		} else if (s & 2 && s & 4)             \
			EACH(i) d[i] = a[i] ? q : r;       \
		else if (s & 2)                        \
			EACH(i) d[i] = a[i] ? q : c[i];    \
		else if (s & 4)                        \
			EACH(i) d[i] = a[i] ? b[i] : r;    \
		else                                   \
			EACH(i) d[i] = a[i] ? b[i] : c[i]; \
	}

INLINE uint32_t bits(float x)
{
	uint32_t u;
	memcpy(&u, &x, sizeof u);
	return u;
}
INLINE float from_bits(uint32_t u)
{
	float x;
	memcpy(&x, &u, sizeof x);
	return x;
}

/* Adding 1.5 2^23 leaves the nearest integer in the low bits. */
#define MAGIC 12582912.0f

/* e^x = 2^k e^r, |r| <= ln2/2; e^r = 1 + r + r^2 p(r), p a minimax fit (3e-9). Two factors of
 * 2^k reach subnormal results and overflow to infinity; NaN goes through every step. */
INLINE float exp_(float x)
{
	x = x > 89.0f ? 89.0f : x;
	x = x < -104.0f ? -104.0f : x;
	float t = FMA(x, 1.44269504f, MAGIC), k = t - MAGIC;
	float r = FMA(k, -0.693359375f, x); /* ln2 in two parts, the first exact in 10 bits */
	r = FMA(k, 2.12194440e-4f, r);
	float p = FMA(r, 1.381461275741458e-3f, 8.368710055947304e-3f);
	p = FMA(p, r, 4.166838899254799e-2f);
	p = FMA(p, r, 0.1666652113199234f);
	p = FMA(p, r, 0.4999999403953552f);
	p = FMA(p, r * r, r) + 1.0f;
	int32_t e = (int32_t)(bits(t) - bits(MAGIC)), h = e >> 1;
	return p * from_bits((uint32_t)(h + 127) << 23) * from_bits((uint32_t)(e - h + 127) << 23);
}

/* x = 2^k (1+f), sqrt(1/2) <= 1+f < sqrt(2); log(1+f) = 2s + s z q(z), s = f/(2+f), z = s^2. */
INLINE float log_(float x)
{
	uint32_t small = bits(x) < 0x00800000u; /* subnormal or 0: scaled by 2^23 */
	float y = small ? x * 8388608.0f : x;
	uint32_t u = bits(y) - 0x3f3504f3u; /* of sqrt(1/2) */
	int32_t k = ((int32_t)u >> 23) - (small ? 23 : 0);
	float f = from_bits((u & 0x007fffffu) + 0x3f3504f3u) - 1.0f, kf = (float)k;
	float s = f / (2.0f + f), z = s * s;
	float q = FMA(z, 0.23582151532173157f, 0.28537309169769287f);
	q = FMA(q, z, 0.4000033438205719f);
	q = FMA(q, z, 0.6666666269302368f);
	/* 2s = f - s f; kept apart, f is exact */
	float low = FMA(kf, -2.12194440e-4f, s * (z * q - f));
	float y0 = FMA(kf, 0.693359375f, f + low);
	y0 = x == 0.0f ? -INFINITY : y0;
	y0 = x < 0.0f ? NAN : y0;
	return x <= 3.4028235e38f ? y0 : x; /* inf and NaN are their own logarithms */
}

/* |x| < 0.625: x + x z p(z), z = x^2; else 1 - 2 / (e^2|x| + 1). */
INLINE float tanh_(float x)
{
	float a = fabsf(x), z = x * x;
	float p = FMA(z, -5.704986397176981e-3f, 2.063908614218235e-2f);
	p = FMA(p, z, -5.373971536755562e-2f);
	p = FMA(p, z, 0.13331441581249237f);
	p = FMA(p, z, -0.3333328068256378f);
	float near = FMA(p * z, x, x);
	float far = copysignf(1.0f - 2.0f / (exp_(2.0f * a) + 1.0f), x);
	return a < 0.625f ? near : far;
}

/* By the side on which exp cannot overflow. */
INLINE float sigmoid_(float x)
{
	float e = exp_(-fabsf(x));
	return (x < 0.0f ? e : x != x ? x : 1.0f) / (1.0f + e);
}

/* Truncated toward zero, saturated, NaN 0. */
INLINE int32_t to_i32(float x)
{
	float y = x != x ? 0.0f : x;
	y = y < -2147483648.0f ? -2147483648.0f : y;
	return y >= 2147483648.0f ? INT32_MAX : (int32_t)y;
}
INLINE int32_t to_u8(float x)
{
	float y = x != x ? 0.0f : x;
	y = y < 0.0f ? 0.0f : y;
	return (int32_t)(y > 255.0f ? 255.0f : y);
}
INLINE int32_t floor_div(int32_t a, int32_t b)
{
	if (b == 0)
		return 0;
	int64_t q = (int64_t)a / b;
	return (int32_t)(uint32_t)(uint64_t)(q - ((int64_t)a % b != 0 && (a < 0) != (b < 0)));
}

BINARY(ADD_F, float, float, x + y)
BINARY(SUB_F, float, float, x - y)
BINARY(MUL_F, float, float, x *y)
BINARY(DIV_F, float, float, x / y)
BINARY(MAX_F, float, float, x != x ? x : y != y ? y : x < y ? y : x)
BINARY(POW_F, float, float, powf(x, y))
BINARY(LT_F, float, uint8_t, x < y)
BINARY(LE_F, float, uint8_t, x <= y)
BINARY(EQ_F, float, uint8_t, x == y)
BINARY(ADD_I, uint32_t, uint32_t, x + y)
BINARY(SUB_I, uint32_t, uint32_t, x - y)
BINARY(MUL_I, uint32_t, uint32_t, x *y)
BINARY(DIV_I, int32_t, int32_t, floor_div(x, y))
BINARY(MAX_I, int32_t, int32_t, x < y ? y : x)
BINARY(LT_I, int32_t, uint8_t, x < y)
BINARY(LE_I, int32_t, uint8_t, x <= y)
BINARY(EQ_I, int32_t, uint8_t, x == y)
BINARY(LT_B, uint8_t, uint8_t, x < y)
BINARY(LE_B, uint8_t, uint8_t, x <= y)
BINARY(EQ_B, uint8_t, uint8_t, x == y)
BINARY(AND_B, uint8_t, uint8_t, (x != 0) & (y != 0))
UNARY(NOT_B, uint8_t, uint8_t, x == 0)
UNARY(ABS_F, float, float, fabsf(x))
UNARY(SIGN_F, float, float, x > 0 ? 1.0f : x < 0 ? -1.0f : 0.0f)
UNARY(FLOOR_F, float, float, floorf(x))
UNARY(RINT_F, float, float, rintf(x))
UNARY(EXP_F, float, float, exp_(x))
UNARY(LOG_F, float, float, log_(x))
UNARY(LOG1P_F, float, float, log1pf(x))
UNARY(SQRT_F, float, float, sqrtf(x))
UNARY(SIN_F, float, float, sinf(x))
UNARY(COS_F, float, float, cosf(x))
UNARY(ERF_F, float, float, erff(x))
UNARY(TANH_F, float, float, tanh_(x))
UNARY(SIGMOID_F, float, float, sigmoid_(x))
UNARY(ABS_I, uint32_t, uint32_t, x & 0x80000000u ? 0 - x : x)
UNARY(SIGN_I, int32_t, int32_t, (x > 0) - (x < 0))
UNARY(F_TO_I, float, int32_t, to_i32(x))
UNARY(F_TO_U8, float, uint8_t, to_u8(x))
UNARY(F_TO_BOOL, float, uint8_t, (x < 0) | (x > 0))
UNARY(I_TO_F, int32_t, float, (float)x)
UNARY(I_TO_U8, int32_t, uint8_t, x<0 ? 0 : x> 255 ? 255 : x)
UNARY(I_TO_BOOL, int32_t, uint8_t, x != 0)
UNARY(B_TO_F, uint8_t, float, (float)x)
UNARY(B_TO_I, uint8_t, int32_t, x)
UNARY(B_TO_BOOL, uint8_t, uint8_t, x != 0)
UNARY(COPY_4, uint32_t, uint32_t, x)
UNARY(COPY_1, uint8_t, uint8_t, x)
WHERE(WHERE_4, uint32_t)
WHERE(WHERE_1, uint8_t)
TERNARY(MUL_ADD, x *y + z)
TERNARY(MUL_SUB, x *y - z)
TERNARY(MUL_RSUB, z - x * y)
TERNARY(MUL_MUL, x *y *z)
TERNARY(ADD_MUL, (x + y) * z)
TERNARY(SUB_MUL, (x - y) * z)
TERNARY(DIV_MUL, x / y * z)

/* --- reductions: 16 lanes, lane l takes elements l, l + 16, ... ------------------------- */
#define LANES 16

static float sum(int64_t n, const float *x)
{
	float lane[LANES] = { 0 };
	int64_t i = 0;
	for (; i + LANES <= n; i += LANES)
		for (int l = 0; l < LANES; l++)
			lane[l] += x[i + l];
	for (int l = 0; i + l < n; l++)
		lane[l] += x[i + l];
	for (int w = LANES / 2; w; w /= 2)
		for (int l = 0; l < w; l++)
			lane[l] += lane[l + w];
	return lane[0];
}

static double sum_wide(int64_t n, const float *x)
{
	double lane[LANES] = { 0 };
	int64_t i = 0;
	for (; i + LANES <= n; i += LANES)
		for (int l = 0; l < LANES; l++)
			lane[l] += (double)x[i + l];
	for (int l = 0; i + l < n; l++)
		lane[l] += (double)x[i + l];
	for (int w = LANES / 2; w; w /= 2)
		for (int l = 0; l < w; l++)
			lane[l] += lane[l + w];
	return lane[0];
}

INLINE float larger(float x, float y) { return x != x ? x : y != y ? y : x < y ? y : x; }

static float amax(int64_t n, const float *x)
{
	float lane[LANES];
	int64_t i = 0;
	for (int l = 0; l < LANES; l++)
		lane[l] = -INFINITY;
	for (; i + LANES <= n; i += LANES)
		for (int l = 0; l < LANES; l++)
			lane[l] = larger(lane[l], x[i + l]);
	for (int l = 0; i + l < n; l++)
		lane[l] = larger(lane[l], x[i + l]);
	for (int w = LANES / 2; w; w /= 2)
		for (int l = 0; l < w; l++)
			lane[l] = larger(lane[l], lane[l + w]);
	return lane[0];
}

static void add_to(int64_t n, float *s, const float *x) { EACH(i) s[i] += x[i]; }

const struct strip_isa NAME = { {
#define STRIP_FN(name, n) [S_##name] = name,
									STRIP_LIST(STRIP_FN) },
	                            sum,
	                            sum_wide,
	                            amax,
	                            add_to };
