/* SPDX-License-Identifier: MIT
 *
 * chain_math.h: what every elementwise op computes, once as device code and once as text for
 * NVRTC. Overloads follow the dtypes: float REAL, double WIDE, int I32, unsigned char U8 and
 * BOOL. No preprocessor lines inside of the macro.
 */
#ifndef CUDA_CHAIN_MATH_H
#define CUDA_CHAIN_MATH_H

#define CHAIN_SOURCE(...) \
	__VA_ARGS__           \
	static const char chain_math_text[] = #__VA_ARGS__;

/* clang-format off */
CHAIN_SOURCE(
typedef unsigned char u8_t;
static __device__ __forceinline__ float op_add(float a, float b) { return a + b; }
static __device__ __forceinline__ double op_add(double a, double b) { return a + b; }
static __device__ __forceinline__ int op_add(int a, int b) { return (int)((unsigned)a + (unsigned)b); }
static __device__ __forceinline__ float op_sub(float a, float b) { return a - b; }
static __device__ __forceinline__ double op_sub(double a, double b) { return a - b; }
static __device__ __forceinline__ int op_sub(int a, int b) { return (int)((unsigned)a - (unsigned)b); }
static __device__ __forceinline__ float op_mul(float a, float b) { return a * b; }
static __device__ __forceinline__ double op_mul(double a, double b) { return a * b; }
static __device__ __forceinline__ int op_mul(int a, int b) { return (int)((unsigned)a * (unsigned)b); }
static __device__ __forceinline__ float op_div(float a, float b) { return a / b; }
static __device__ __forceinline__ double op_div(double a, double b) { return a / b; }
static __device__ __forceinline__ int op_div(int a, int b)
{
	if (b == 0)
		return 0;
	long long q = (long long)a / b;
	return (int)(unsigned)(unsigned long long)(q - ((long long)a % b != 0 && (a < 0) != (b < 0)));
}
static __device__ __forceinline__ float op_max(float a, float b) { return a != a ? a : b != b ? b : a < b ? b : a; }
static __device__ __forceinline__ double op_max(double a, double b) { return a != a ? a : b != b ? b : a < b ? b : a; }
static __device__ __forceinline__ int op_max(int a, int b) { return a < b ? b : a; }
static __device__ __forceinline__ float op_pow(float a, float b) { return powf(a, b); }
static __device__ __forceinline__ float op_abs(float a) { return fabsf(a); }
static __device__ __forceinline__ int op_abs(int a) { return a < 0 ? (int)(0u - (unsigned)a) : a; }
static __device__ __forceinline__ float op_sign(float a) { return (float)((a > 0) - (a < 0)); }
static __device__ __forceinline__ int op_sign(int a) { return (a > 0) - (a < 0); }
static __device__ __forceinline__ float op_floor(float a) { return floorf(a); }
static __device__ __forceinline__ float op_rint(float a) { return rintf(a); }
static __device__ __forceinline__ float op_exp(float a) { return expf(a); }
static __device__ __forceinline__ float op_log(float a) { return logf(a); }
static __device__ __forceinline__ float op_log1p(float a) { return log1pf(a); }
static __device__ __forceinline__ float op_sqrt(float a) { return sqrtf(a); }
static __device__ __forceinline__ double op_sqrt(double a) { return sqrt(a); }
static __device__ __forceinline__ float op_sin(float a) { return sinf(a); }
static __device__ __forceinline__ float op_cos(float a) { return cosf(a); }
static __device__ __forceinline__ float op_erf(float a) { return erff(a); }
static __device__ __forceinline__ float op_tanh(float a) { return tanhf(a); }
static __device__ __forceinline__ float op_sigmoid(float a)
{
	float e = expf(a >= 0 ? -a : a);
	return (a >= 0 ? 1.0f : e) / (1.0f + e);
}
static __device__ __forceinline__ u8_t op_lt(float a, float b) { return a < b; }
static __device__ __forceinline__ u8_t op_lt(double a, double b) { return a < b; }
static __device__ __forceinline__ u8_t op_lt(int a, int b) { return a < b; }
static __device__ __forceinline__ u8_t op_lt(u8_t a, u8_t b) { return a < b; }
static __device__ __forceinline__ u8_t op_le(float a, float b) { return a <= b; }
static __device__ __forceinline__ u8_t op_le(double a, double b) { return a <= b; }
static __device__ __forceinline__ u8_t op_le(int a, int b) { return a <= b; }
static __device__ __forceinline__ u8_t op_le(u8_t a, u8_t b) { return a <= b; }
static __device__ __forceinline__ u8_t op_eq(float a, float b) { return a == b; }
static __device__ __forceinline__ u8_t op_eq(double a, double b) { return a == b; }
static __device__ __forceinline__ u8_t op_eq(int a, int b) { return a == b; }
static __device__ __forceinline__ u8_t op_eq(u8_t a, u8_t b) { return a == b; }
static __device__ __forceinline__ u8_t op_and(u8_t a, u8_t b) { return a && b; }
static __device__ __forceinline__ u8_t op_not(u8_t a) { return !a; }
static __device__ __forceinline__ float op_where(u8_t c, float a, float b) { return c ? a : b; }
static __device__ __forceinline__ double op_where(u8_t c, double a, double b) { return c ? a : b; }
static __device__ __forceinline__ int op_where(u8_t c, int a, int b) { return c ? a : b; }
static __device__ __forceinline__ u8_t op_where(u8_t c, u8_t a, u8_t b) { return c ? a : b; }

static __device__ __forceinline__ int to_i32(double a)
{
	return a != a ? 0 : a <= -2147483648.0 ? -2147483647 - 1 : a >= 2147483647.0 ? 2147483647 : (int)a;
}
static __device__ __forceinline__ int to_i32(float a) { return to_i32((double)a); }
static __device__ __forceinline__ int to_i32(int a) { return a; }
static __device__ __forceinline__ int to_i32(u8_t a) { return a; }
static __device__ __forceinline__ u8_t to_u8(double a)
{
	return a != a ? 0 : a <= 0 ? 0 : a >= 255 ? 255 : (u8_t)a;
}
static __device__ __forceinline__ u8_t to_u8(float a) { return to_u8((double)a); }
static __device__ __forceinline__ u8_t to_u8(int a) { return (u8_t)(a < 0 ? 0 : a > 255 ? 255 : a); }
static __device__ __forceinline__ u8_t to_u8(u8_t a) { return a; }

static __device__ __forceinline__ u8_t to_bool(double a) { return a < 0 || a > 0; }
static __device__ __forceinline__ u8_t to_bool(float a) { return a < 0 || a > 0; }
static __device__ __forceinline__ u8_t to_bool(int a) { return a != 0; }
static __device__ __forceinline__ u8_t to_bool(u8_t a) { return a != 0; }
)
/* clang-format on */

#endif
