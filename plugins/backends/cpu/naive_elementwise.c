/* SPDX-License-Identifier: MIT
 *
 * naive_elementwise.c: reference kernels of ops that compute element i of the result from
 * element i of (broadcast) operands. A new op: one FN_ line and one row in the switch.
 */
#include <math.h>
#include <string.h>
#include <tgmath.h>

#include "naive.h"

#define UNARY(fn, T, R, expr)                                         \
	static rein_status fn(const struct call *c)                       \
	{                                                                 \
		const T *x = in_mem(c, 0);                                    \
		R *y = out_mem(c, 0);                                         \
		for (int64_t j = 0, n = out_value(c, 0)->count; j < n; j++) { \
			const T a = x[j];                                         \
			y[j] = (R)(expr);                                         \
		}                                                             \
		return REIN_OK;                                               \
	}

#define BINARY(fn, T, R, expr)                                       \
	static rein_status fn(const struct call *c)                      \
	{                                                                \
		struct rows w;                                               \
		rows_init(&w, c, 2);                                         \
		for (int64_t r = 0; r < w.n; r++) {                          \
			const T *p = (const T *)in_mem(c, 0) + row_at(&w, r, 0); \
			const T *q = (const T *)in_mem(c, 1) + row_at(&w, r, 1); \
			R *y = (R *)out_mem(c, 0) + r * w.len;                   \
			for (int64_t j = 0; j < w.len; j++) {                    \
				const T a = p[j * w.step[0]], b = q[j * w.step[1]];  \
				y[j] = (R)(expr);                                    \
			}                                                        \
		}                                                            \
		return REIN_OK;                                              \
	}

#define WHERE(fn, T)                                                             \
	static rein_status fn(const struct call *c)                                  \
	{                                                                            \
		struct rows w;                                                           \
		rows_init(&w, c, 3);                                                     \
		for (int64_t r = 0; r < w.n; r++) {                                      \
			const uint8_t *m = (const uint8_t *)in_mem(c, 0) + row_at(&w, r, 0); \
			const T *p = (const T *)in_mem(c, 1) + row_at(&w, r, 1);             \
			const T *q = (const T *)in_mem(c, 2) + row_at(&w, r, 2);             \
			T *y = (T *)out_mem(c, 0) + r * w.len;                               \
			for (int64_t j = 0; j < w.len; j++)                                  \
				y[j] = m[j * w.step[0]] ? p[j * w.step[1]] : q[j * w.step[2]];   \
		}                                                                        \
		return REIN_OK;                                                          \
	}

/* i32 wraps, so it is computed in uint32_t; division floors. */
static int32_t floor_div(int32_t a, int32_t b)
{
	if (b == 0)
		return 0;
	int64_t q = (int64_t)a / b;
	return (int32_t)(uint32_t)(uint64_t)(q - ((int64_t)a % b != 0 && (a < 0) != (b < 0)));
}

BINARY(add_real, real, real, a + b)
BINARY(add_wide, double, double, a + b)
BINARY(add_i32, uint32_t, uint32_t, a + b)
BINARY(sub_real, real, real, a - b)
BINARY(sub_wide, double, double, a - b)
BINARY(sub_i32, uint32_t, uint32_t, a - b)
BINARY(mul_real, real, real, a *b)
BINARY(mul_wide, double, double, a *b)
BINARY(mul_i32, uint32_t, uint32_t, a *b)
BINARY(div_real, real, real, a / b)
BINARY(div_wide, double, double, a / b)
BINARY(div_i32, int32_t, int32_t, floor_div(a, b))
BINARY(max_real, real, real, a != a ? a : b != b ? b : a < b ? b : a)
BINARY(max_wide, double, double, a != a ? a : b != b ? b : a < b ? b : a)
BINARY(max_i32, int32_t, int32_t, a < b ? b : a)
BINARY(pow_real, real, real, pow(a, b))
BINARY(lt_real, real, uint8_t, a < b)
BINARY(lt_wide, double, uint8_t, a < b)
BINARY(lt_i32, int32_t, uint8_t, a < b)
BINARY(lt_u8, uint8_t, uint8_t, a < b)
BINARY(le_real, real, uint8_t, a <= b)
BINARY(le_wide, double, uint8_t, a <= b)
BINARY(le_i32, int32_t, uint8_t, a <= b)
BINARY(le_u8, uint8_t, uint8_t, a <= b)
BINARY(eq_real, real, uint8_t, a == b)
BINARY(eq_wide, double, uint8_t, a == b)
BINARY(eq_i32, int32_t, uint8_t, a == b)
BINARY(eq_u8, uint8_t, uint8_t, a == b)
BINARY(and_bool, uint8_t, uint8_t, a &&b)
UNARY(not_bool, uint8_t, uint8_t, !a)
UNARY(abs_real, real, real, fabs(a))
UNARY(abs_i32, uint32_t, uint32_t, a & 0x80000000u ? 0 - a : a)
UNARY(sign_real, real, real, (a > 0) - (a < 0))
UNARY(sign_i32, int32_t, int32_t, (a > 0) - (a < 0))
UNARY(floor_real, real, real, floor(a))
UNARY(rint_real, real, real, rint(a))
UNARY(exp_real, real, real, exp(a))
UNARY(log_real, real, real, log(a))
UNARY(log1p_real, real, real, log1p(a))
UNARY(sqrt_real, real, real, sqrt(a))
UNARY(sqrt_wide, double, double, sqrt(a))
UNARY(sin_real, real, real, sin(a))
UNARY(cos_real, real, real, cos(a))
UNARY(erf_real, real, real, erf(a))
UNARY(tanh_real, real, real, tanh(a))
/* 1/(1+exp(-a)) by the side on which exp cannot overflow */
UNARY(sigmoid_real, real, real, a >= 0 ? 1 / (1 + exp(-a)) : exp(a) / (1 + exp(a)))
WHERE(where_1, uint8_t)
WHERE(where_4, uint32_t)
WHERE(where_8, uint64_t)

/* Everything but f64 to f64 passes through double exactly, so one way in and one way out
 * do for all pairs. To bool: not zero (NaN is false, as it is 0 in the integers). */
static void store(uint32_t dtype, void *y, int64_t j, double x)
{
	switch (dtype) {
	case REIN_REAL_T: ((real *)y)[j] = (real)x; break;
	case REIN_WIDE_T: ((double *)y)[j] = x; break;
	case REIN_I32_T: ((int32_t *)y)[j] = (int32_t)saturate(x, INT32_MIN, INT32_MAX); break;
	case REIN_U8_T: ((uint8_t *)y)[j] = (uint8_t)saturate(x, 0, 255); break;
	default: ((uint8_t *)y)[j] = x < 0 || x > 0; break;
	}
}

#define CAST(fn, T)                                          \
	static rein_status fn(const struct call *c)              \
	{                                                        \
		const struct rein_prog_value *v = out_value(c, 0);   \
		const T *x = in_mem(c, 0);                           \
		for (int64_t j = 0; j < v->count; j++)               \
			store(v->dtype, out_mem(c, 0), j, (double)x[j]); \
		return REIN_OK;                                      \
	}
CAST(cast_real, real)
CAST(cast_wide, double)
CAST(cast_i32, int32_t)
CAST(cast_byte, uint8_t)

static rein_status iota(const struct call *c)
{
	struct lines l = lines_of(out_value(c, 0), axis_of(&c->i->attr));
	int32_t *y = out_mem(c, 0);
	for (int64_t o = 0; o < l.outer; o++)
		for (int64_t j = 0; j < l.n; j++)
			for (int64_t k = 0; k < l.inner; k++)
				*y++ = (int32_t)j;
	return REIN_OK;
}

/* A plugin's kernel sees contiguous strips, so broadcast operands are copied into one. */
#define STRIP 128
static rein_status map(const struct call *c)
{
	const struct rein_map *m = c->i->attr.data;
	real in[8][STRIP], out[4][STRIP], par[8];
	const real *pi[8];
	real *po[4];
	struct rows w;
	rows_init(&w, c, m->n_in);
	for (uint32_t k = 0; k < m->n_par; k++)
		par[k] = *(const real *)in_mem(c, m->n_in + k);
	for (uint32_t k = 0; k < 8; k++)
		pi[k] = in[k];
	for (uint32_t k = 0; k < 4; k++)
		po[k] = out[k];
	for (int64_t r = 0; r < w.n; r++) {
		for (int64_t at = 0; at < w.len; at += STRIP) {
			int64_t n = w.len - at < STRIP ? w.len - at : STRIP;
			for (uint32_t k = 0; k < m->n_in; k++) {
				const real *x = (const real *)in_mem(c, k) + row_at(&w, r, k) + at * w.step[k];
				for (int64_t j = 0; j < n; j++)
					in[k][j] = x[j * w.step[k]];
			}
#ifdef NAIVE_DOUBLE
			m->run_f64(n, pi, po, par);
#else
			m->run_f32(n, pi, po, par);
#endif
			for (uint32_t k = 0; k < m->n_out; k++)
				if (out_mem(c, k))
					memcpy((real *)out_mem(c, k) + r * w.len + at, out[k], (size_t)n * sizeof(real));
		}
	}
	return REIN_OK;
}

/* Columns: REAL, WIDE, I32, U8 or BOOL operands. */
struct row {
	uint32_t op;
	naive_fn *fn[4];
};
static const struct row table[] = {
	{ REIN_OP_ADD, { add_real, add_wide, add_i32, NULL } },
	{ REIN_OP_SUB, { sub_real, sub_wide, sub_i32, NULL } },
	{ REIN_OP_MUL, { mul_real, mul_wide, mul_i32, NULL } },
	{ REIN_OP_DIV, { div_real, div_wide, div_i32, NULL } },
	{ REIN_OP_MAX, { max_real, max_wide, max_i32, NULL } },
	{ REIN_OP_POW, { pow_real } },
	{ REIN_OP_ABS, { abs_real, NULL, abs_i32, NULL } },
	{ REIN_OP_SIGN, { sign_real, NULL, sign_i32, NULL } },
	{ REIN_OP_FLOOR, { floor_real } },
	{ REIN_OP_RINT, { rint_real } },
	{ REIN_OP_EXP, { exp_real } },
	{ REIN_OP_LOG, { log_real } },
	{ REIN_OP_LOG1P, { log1p_real } },
	{ REIN_OP_SQRT, { sqrt_real, sqrt_wide } },
	{ REIN_OP_SIN, { sin_real } },
	{ REIN_OP_COS, { cos_real } },
	{ REIN_OP_ERF, { erf_real } },
	{ REIN_OP_TANH, { tanh_real } },
	{ REIN_OP_SIGMOID, { sigmoid_real } },
	{ REIN_OP_LT, { lt_real, lt_wide, lt_i32, lt_u8 } },
	{ REIN_OP_LE, { le_real, le_wide, le_i32, le_u8 } },
	{ REIN_OP_EQ, { eq_real, eq_wide, eq_i32, eq_u8 } },
	{ REIN_OP_AND, { NULL, NULL, NULL, and_bool } },
	{ REIN_OP_NOT, { NULL, NULL, NULL, not_bool } },
	{ REIN_OP_CAST, { cast_real, cast_wide, cast_i32, cast_byte } },
	{ REIN_OP_MAP, { map } },
};

naive_fn *NAIVE(naive_elementwise)(const struct rein_program *p, const struct rein_prog_instr *i)
{
	if (i->op == REIN_OP_IOTA)
		return iota;
	if (i->op == REIN_OP_WHERE) {
		int64_t size = size_of(p, p->value[i->out[0]].dtype);
		return size == 1 ? where_1 : size == 4 ? where_4 : where_8;
	}
	for (size_t k = 0; k < sizeof table / sizeof *table; k++) {
		if (table[k].op != i->op)
			continue;
		uint32_t d = i->n_in ? p->value[i->in[0]].dtype : REIN_REAL_T;
		return table[k].fn[d == REIN_REAL_T ? 0 : d == REIN_WIDE_T ? 1 : d == REIN_I32_T ? 2 : 3];
	}
	return NULL;
}
