/* SPDX-License-Identifier: MIT
 *
 * Elementwise ops on every pair of a list of awkward numbers, and their broadcasting,
 * against the C library in double.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "../support/expect.h"
#include "check.h"

/* Exact in float, so that float and double runs have the same inputs. */
static const double edge[] = { 0.0,       -0.0,    1.0,  -1.0,    0.5,      -0.5,      1.5,   2.5,
	                           -2.5,      3.0,     -7.0, 0x1p-10, 0x1p20,   88.0,      -88.0, 0x1p-100,
	                           -0x1p-100, 0.15625, 17.0, -20.0,   INFINITY, -INFINITY, NAN };
#define N_EDGE (int)(sizeof edge / sizeof *edge)

static uint32_t op_now;
static void record_unary(struct rein_rec *r, const rein_val *in, rein_val *out)
{
	rein_op(r, op_now, 1, in, NULL, 1, out);
}
static void record_binary(struct rein_rec *r, const rein_val *in, rein_val *out)
{
	rein_op(r, op_now, 2, in, NULL, 1, out);
}

/* What core/check_bounds.c allows, relative to the result; else what the test says. */
static double relative(uint32_t op, double otherwise)
{
	struct check_bound b = check_bound(op, NULL, CHECK_FP32);
	return b.rule == CHECK_ULP ? b.by * 0x1p-23 : otherwise;
}

static double sign_of(double x) { return (x > 0) - (x < 0); }
static double sigmoid_of(double x) { return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x)); }
static double negative_max(double a, double b) { return isnan(a) || isnan(b) ? NAN : a > b ? a : b; }
static double add_of(double a, double b) { return a + b; }
static double sub_of(double a, double b) { return a - b; }
static double mul_of(double a, double b) { return a * b; }
static double div_of(double a, double b) { return a / b; }
static double lt_of(double a, double b) { return a < b; }
static double le_of(double a, double b) { return a <= b; }
static double eq_of(double a, double b) { return a == b; }

static const struct {
	uint32_t op;
	const char *name;
	double (*f)(double);
	double tol;
} unary[] = {
	{ REIN_OP_ABS, "abs", fabs, 0 },
	{ REIN_OP_SIGN, "sign", sign_of, 0 },
	{ REIN_OP_FLOOR, "floor", floor, 0 },
	{ REIN_OP_RINT, "rint", rint, 0 },
	{ REIN_OP_EXP, "exp", exp, 0 },
	{ REIN_OP_LOG, "log", log, 0 },
	{ REIN_OP_LOG1P, "log1p", log1p, 0 },
	{ REIN_OP_SQRT, "sqrt", sqrt, 1e-7 },
	{ REIN_OP_SIN, "sin", sin, 0 },
	{ REIN_OP_COS, "cos", cos, 0 },
	{ REIN_OP_ERF, "erf", erf, 0 },
	{ REIN_OP_TANH, "tanh", tanh, 0 },
	{ REIN_OP_SIGMOID, "sigmoid", sigmoid_of, 0 },
};

Test(elementwise, unary)
{
	double want[N_EDGE];
	struct tensor x = TENSOR(REIN_REAL_T, edge, N_EDGE);
	for (size_t k = 0; k < sizeof unary / sizeof *unary; k++) {
		bool wave = unary[k].op == REIN_OP_SIN || unary[k].op == REIN_OP_COS;
		for (int i = 0; i < N_EDGE; i++)
			want[i] = unary[k].f(edge[i]);
		op_now = unary[k].op;
		expect(&(struct expected){ .what = unary[k].name,
		                           .record = record_unary,
		                           .n_in = 1,
		                           .in = &x,
		                           .n_out = 1,
		                           .want = { want },
		                           .tol32 = relative(unary[k].op, unary[k].tol),
		                           .tol64 = 1e-14,
		                           .scale = wave ? 1 : 0x1p-120 });
	}
}

static const struct {
	uint32_t op;
	const char *name;
	double (*f)(double, double);
	double tol;
} binary[] = {
	{ REIN_OP_ADD, "add", add_of, 1e-7 }, { REIN_OP_SUB, "sub", sub_of, 1e-7 },    { REIN_OP_MUL, "mul", mul_of, 1e-7 },
	{ REIN_OP_DIV, "div", div_of, 1e-7 }, { REIN_OP_MAX, "max", negative_max, 0 }, { REIN_OP_POW, "pow", pow, 0 },
	{ REIN_OP_LT, "lt", lt_of, 0 },       { REIN_OP_LE, "le", le_of, 0 },          { REIN_OP_EQ, "eq", eq_of, 0 },
};

/* What float makes of a result that double can hold. */
static double in_float(double x) { return fabs(x) > 3.4028235677973366e38 ? copysign(INFINITY, x) : x; }

Test(elementwise, binary)
{
	static double a[N_EDGE * N_EDGE], b[N_EDGE * N_EDGE], want[N_EDGE * N_EDGE];
	for (size_t k = 0; k < sizeof binary / sizeof *binary; k++) {
		int n = 0;
		for (int i = 0; i < N_EDGE; i++) {
			for (int j = 0; j < N_EDGE; j++) {
				double y = binary[k].f(edge[i], edge[j]);
				/* a result beyond float's range, or lost in its subnormals, says nothing about double */
				if (y == y && y != 0 && (in_float(y) != y || fabs(y) < 0x1p-125))
					continue;
				a[n] = edge[i];
				b[n] = edge[j];
				want[n++] = y;
			}
		}
		struct tensor in[2] = { TENSOR(REIN_REAL_T, a, n), TENSOR(REIN_REAL_T, b, n) };
		op_now = binary[k].op;
		expect(&(struct expected){ .what = binary[k].name,
		                           .record = record_binary,
		                           .n_in = 2,
		                           .in = in,
		                           .n_out = 1,
		                           .want = { want },
		                           .tol32 = relative(binary[k].op, binary[k].tol),
		                           .tol64 = 1e-14 });
	}
}

/* Every way two shapes of rank 3 and a scalar can broadcast. */
Test(elementwise, broadcasting)
{
	static double a[24], b[24], want[24];
	for (int i = 0; i < 24; i++) {
		a[i] = i + 1;
		b[i] = 100 * (i + 1);
	}
	const int64_t full[3] = { 2, 3, 4 };
	op_now = REIN_OP_SUB;
	for (int ma = 0; ma < 9; ma++) { /* bit k: axis k has size 1; 8: a scalar */
		for (int mb = 0; mb < 9; mb++) {
			if (ma != 8 && mb != 8 && (ma & mb))
				continue; /* the result would be smaller than `full` */
			struct tensor in[2] = { { REIN_REAL_T, ma == 8 ? 0 : 3, { 0 }, a },
				                    { REIN_REAL_T, mb == 8 ? 0 : 3, { 0 }, b } };
			if (ma == 8 && mb != 0)
				continue;
			if (mb == 8 && ma != 0)
				continue;
			for (int k = 0; k < 3; k++) {
				in[0].dim[k] = ma >> k & 1 ? 1 : full[k];
				in[1].dim[k] = mb >> k & 1 ? 1 : full[k];
			}
			for (int e = 0; e < 24; e++) {
				int at[3] = { e / 12, e / 4 % 3, e % 4 }, p = 0, q = 0;
				for (int k = 0; k < 3 && ma != 8; k++)
					p = p * (int)in[0].dim[k] + (in[0].dim[k] == 1 ? 0 : at[k]);
				for (int k = 0; k < 3 && mb != 8; k++)
					q = q * (int)in[1].dim[k] + (in[1].dim[k] == 1 ? 0 : at[k]);
				want[e] = a[p] - b[q];
			}
			expect(&(struct expected){
				.what = "broadcast", .record = record_binary, .n_in = 2, .in = in, .n_out = 1, .want = { want } });
		}
	}
}

/* Integers wrap; division floors. */
Test(elementwise, integers)
{
	static const double a[] = { 0, 1, -1, 7, -7, 2147483647, -2147483648.0, 2147483647, -2147483648.0, 100000, 6, -6 };
	static const double b[] = { 5, 2, 2, -3, -3, 1, -1, 2147483647, -2147483648.0, 100000, 3, 3 };
	struct tensor in[2] = { TENSOR(REIN_I32_T, a, 12), TENSOR(REIN_I32_T, b, 12) };
	const double *want[] = {
		(double[]){ 5, 3, 1, 4, -10, -2147483648.0, 2147483647, -2, 0, 200000, 9, -3 },
		(double[]){ -5, -1, -3, 10, -4, 2147483646, -2147483647, 0, 0, 0, 3, -9 },
		(double[]){ 0, 2, -2, -21, 21, 2147483647, -2147483648.0, 1, 0, 1410065408, 18, -18 },
		(double[]){ 5, 2, 2, 7, -3, 2147483647, -1, 2147483647, -2147483648.0, 100000, 6, 3 },
		(double[]){ 1, 1, 1, 0, 1, 0, 1, 0, 0, 0, 0, 1 },
		(double[]){ 1, 1, 1, 0, 1, 0, 1, 1, 1, 1, 0, 1 },
		(double[]){ 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0 },
	};
	const uint32_t op[] = { REIN_OP_ADD, REIN_OP_SUB, REIN_OP_MUL, REIN_OP_MAX, REIN_OP_LT, REIN_OP_LE, REIN_OP_EQ };
	for (int k = 0; k < 7; k++) {
		op_now = op[k];
		expect(&(struct expected){
			.what = "integers", .record = record_binary, .n_in = 2, .in = in, .n_out = 1, .want = { want[k] } });
	}
	op_now = REIN_OP_ABS;
	expect(&(struct expected){
		.what = "abs of integers",
		.record = record_unary,
		.n_in = 1,
		.in = in,
		.n_out = 1,
		.want = { (double[]){ 0, 1, 1, 7, 7, 2147483647, -2147483648.0, 2147483647, -2147483648.0, 100000, 6, 6 } } });
	op_now = REIN_OP_SIGN;
	expect(&(struct expected){ .what = "sign of integers",
	                           .record = record_unary,
	                           .n_in = 1,
	                           .in = in,
	                           .n_out = 1,
	                           .want = { (double[]){ 0, 1, -1, 1, -1, 1, -1, 1, -1, 1, 1, -1 } } });
}

static void divide_by_three(struct rein_rec *r, const rein_val *in, rein_val *out)
{
	out[0] = rein_div(r, in[0], rein_fill(r, REIN_I32_T, 3, 0, NULL));
}
Test(elementwise, floor_division)
{
	static const double a[] = { 0, 1, 2, 3, -1, -2, -3, -4, 2147483647, -2147483648.0 };
	struct tensor in = TENSOR(REIN_I32_T, a, 10);
	expect(&(struct expected){ .what = "floor division",
	                           .record = divide_by_three,
	                           .n_in = 1,
	                           .in = &in,
	                           .n_out = 1,
	                           .want = { (double[]){ 0, 0, 0, 1, -1, -1, -1, -2, 715827882, -715827883 } } });
}

static uint32_t cast_to;
static void cast(struct rein_rec *r, const rein_val *in, rein_val *out) { out[0] = rein_cast(r, in[0], cast_to); }

Test(elementwise, casts)
{
	static const double x[] = { 0,  -0.9, 0.9,  1.5,        -1.5,     255,       256, 300,
		                        -3, 3e9,  -3e9, 2147483520, INFINITY, -INFINITY, NAN };
	struct tensor in = TENSOR(REIN_REAL_T, x, 15);
	const double *want[6] = { 0 };
	double as_float[15];
	for (int i = 0; i < 15; i++)
		as_float[i] = (double)(float)x[i];
	want[REIN_I32_T] =
		(double[]){ 0, 0, 0, 1, -1, 255, 256, 300, -3, 2147483647, -2147483648.0, 2147483520, 2147483647, -2147483648.0,
		            0 };
	want[REIN_U8_T] = (double[]){ 0, 0, 0, 1, 0, 255, 255, 255, 0, 255, 0, 255, 255, 0, 0 };
	want[REIN_BOOL_T] = (double[]){ 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0 };
	want[REIN_WIDE_T] = want[REIN_REAL_T] = as_float;
	for (cast_to = REIN_REAL_T; cast_to <= REIN_BOOL_T; cast_to++)
		expect(&(struct expected){ .what = "cast from real",
		                           .record = cast,
		                           .n_in = 1,
		                           .in = &in,
		                           .n_out = 1,
		                           .want = { want[cast_to] },
		                           .tol64 = 1e-7 });

	static const double n[] = { 0, 1, -1, 255, 256, -2147483648.0, 16777217 };
	in = (struct tensor)TENSOR(REIN_I32_T, n, 7);
	want[REIN_REAL_T] = want[REIN_WIDE_T] = want[REIN_I32_T] = n;
	want[REIN_U8_T] = (double[]){ 0, 1, 0, 255, 255, 0, 255 };
	want[REIN_BOOL_T] = (double[]){ 0, 1, 1, 1, 1, 1, 1 };
	for (cast_to = REIN_REAL_T; cast_to <= REIN_BOOL_T; cast_to++)
		expect(&(struct expected){ .what = "cast from i32",
		                           .record = cast,
		                           .n_in = 1,
		                           .in = &in,
		                           .n_out = 1,
		                           .want = { want[cast_to] },
		                           .tol32 = 1e-7 });

	static const double b[] = { 0, 1, 2, 255 };
	in = (struct tensor)TENSOR(REIN_U8_T, b, 4);
	want[REIN_REAL_T] = want[REIN_WIDE_T] = want[REIN_I32_T] = want[REIN_U8_T] = b;
	want[REIN_BOOL_T] = (double[]){ 0, 1, 1, 1 };
	for (cast_to = REIN_REAL_T; cast_to <= REIN_BOOL_T; cast_to++)
		expect(&(struct expected){
			.what = "cast from u8", .record = cast, .n_in = 1, .in = &in, .n_out = 1, .want = { want[cast_to] } });
	in = (struct tensor)TENSOR(REIN_BOOL_T, b, 2);
	for (cast_to = REIN_REAL_T; cast_to <= REIN_BOOL_T; cast_to++)
		expect(&(struct expected){
			.what = "cast from bool", .record = cast, .n_in = 1, .in = &in, .n_out = 1, .want = { b } });
}

static void where(struct rein_rec *r, const rein_val *in, rein_val *out)
{
	out[0] = rein_where(r, in[0], in[1], in[2]);
}
static void logic(struct rein_rec *r, const rein_val *in, rein_val *out)
{
	out[0] = rein_and(r, in[0], in[1]);
	out[1] = rein_not(r, in[0]);
}

/* A NaN on the side that is not picked does not leak. */
Test(elementwise, where_and_logic)
{
	static const double six[] = { 1, 2, 3, 4, 5, 6 }, nine[] = { -9 };
	static const double c[] = { 1, 0, 1, 0 }, d[] = { 1, 1, 0, 0 }, a[] = { 1, NAN, 3, INFINITY },
						b[] = { NAN, 6, NAN, 8 };
	struct tensor in[3] = { TENSOR(REIN_BOOL_T, c, 4), TENSOR(REIN_REAL_T, a, 4), TENSOR(REIN_REAL_T, b, 4) };
	expect(&(struct expected){
		.what = "where", .record = where, .n_in = 3, .in = in, .n_out = 1, .want = { (double[]){ 1, 6, 3, 8 } } });
	struct tensor rows[3] = { TENSOR(REIN_BOOL_T, c, 2, 1), TENSOR(REIN_I32_T, six, 2, 3), SCALAR(REIN_I32_T, nine) };
	expect(&(struct expected){ .what = "where by rows",
	                           .record = where,
	                           .n_in = 3,
	                           .in = rows,
	                           .n_out = 1,
	                           .want = { (double[]){ 1, 2, 3, -9, -9, -9 } } });
	struct tensor l[2] = { TENSOR(REIN_BOOL_T, c, 4), TENSOR(REIN_BOOL_T, d, 4) };
	expect(&(struct expected){ .what = "logic",
	                           .record = logic,
	                           .n_in = 2,
	                           .in = l,
	                           .n_out = 2,
	                           .want = { (double[]){ 1, 0, 0, 0 }, (double[]){ 0, 1, 0, 1 } } });
}

/* clang-format off */
REIN_MAP(huber_two, (w, g), (dw, which), (lambda, delta),
	which = fabs(w) < delta;
	dw = g + lambda * (fabs(w) < delta ? w / delta : copysign(1, w));
)
/* clang-format on */
static void record_map(struct rein_rec *r, const rein_val *in, rein_val *out)
{
	rein_val par[2] = { rein_scalar(r, 0.5), in[2] };
	rein_map(r, &huber_two, in, par, out);
}
Test(elementwise, map_broadcasts_and_has_two_outputs)
{
	static double w[300], g[3] = { 10, 20, 30 }, delta[1] = { 2 }, dw[900], which[900];
	for (int i = 0; i < 300; i++)
		w[i] = (i - 150) / 16.0;
	for (int i = 0; i < 900; i++) {
		double x = w[i % 300];
		which[i] = fabs(x) < 2;
		dw[i] = g[i / 300] + 0.5 * (fabs(x) < 2 ? x / 2 : copysign(1, x));
	}
	struct tensor in[3] = { TENSOR(REIN_REAL_T, w, 1, 300), TENSOR(REIN_REAL_T, g, 3, 1), SCALAR(REIN_REAL_T, delta) };
	expect(&(struct expected){ .what = "map",
	                           .record = record_map,
	                           .n_in = 3,
	                           .in = in,
	                           .n_out = 2,
	                           .want = { dw, which },
	                           .tol32 = 1e-6,
	                           .tol64 = 1e-15 });
}

static void record_iota(struct rein_rec *r, const rein_val *in, rein_val *out)
{
	(void)in;
	for (uint32_t a = 0; a < 3; a++)
		out[a] = rein_add(r, rein_iota(r, a, 3, (int64_t[]){ 2, 3, 2 }), in[0]);
}
Test(elementwise, iota)
{
	static const double zero[1] = { 0 };
	struct tensor in = SCALAR(REIN_I32_T, zero);
	expect(&(struct expected){ .what = "iota",
	                           .record = record_iota,
	                           .n_in = 1,
	                           .in = &in,
	                           .n_out = 3,
	                           .want = { (double[]){ 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1 },
	                                     (double[]){ 0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2 },
	                                     (double[]){ 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1 } } });
}
