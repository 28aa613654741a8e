/* SPDX-License-Identifier: MIT
 *
 * Reductions and scans over every set of axes, against loops over single elements, and
 * their edges: NaN, ties, infinities, wide sums.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../support/expect.h"

static uint32_t op_now, axes_now, flags_now;
static void record(struct rein_rec *r, const rein_val *in, rein_val *out)
{
	struct rein_attr a = { .struct_size = sizeof a, .axes = axes_now, .flags = flags_now };
	rein_op(r, op_now, 1, in, &a, op_now == REIN_OP_MOMENTS ? 2 : 1, out);
}

static const int64_t dim[4] = { 2, 3, 1, 4 };
#define COUNT 24
static double x[COUNT];

/* Result element that element e of x goes to when the axes are gone. */
static int place(int e, uint32_t axes)
{
	int at[4] = { e / 12, e / 4 % 3, 0, e % 4 }, to = 0;
	for (int a = 0; a < 4; a++)
		if (!(axes >> a & 1))
			to = to * (int)dim[a] + at[a];
	return to;
}

static void fill(bool whole)
{
	for (int i = 0; i < COUNT; i++)
		x[i] = whole ? (i * 7 % 11) - 5 : (i * 7 % 11) / 8.0 - 0.5;
}

static void all_axes(uint32_t op, uint32_t dtype, const char *what)
{
	double want[COUNT], second[COUNT], n[COUNT];
	for (axes_now = 0; axes_now < 16; axes_now++) {
		for (flags_now = 0; flags_now <= REIN_KEEP; flags_now++) {
			if (op == REIN_OP_MOMENTS && flags_now)
				continue;
			for (int i = 0; i < COUNT; i++) {
				want[i] = op == REIN_OP_AMAX ? -INFINITY : 0;
				second[i] = n[i] = 0;
			}
			for (int e = 0; e < COUNT; e++) {
				double *w = &want[place(e, axes_now)];
				*w = op == REIN_OP_AMAX ? fmax(*w, x[e]) : *w + (dtype == REIN_BOOL_T ? x[e] != 0 : x[e]);
				n[place(e, axes_now)]++;
			}
			for (int e = 0; e < COUNT && op == REIN_OP_MOMENTS; e++) {
				int to = place(e, axes_now);
				second[to] += (x[e] - want[to] / n[to]) * (x[e] - want[to] / n[to]) / n[to];
			}
			for (int i = 0; i < COUNT && op == REIN_OP_MOMENTS; i++)
				want[i] /= n[i] ? n[i] : 1;
			op_now = op;
			struct tensor in = { dtype, 4, { 2, 3, 1, 4 }, x };
			expect(&(struct expected){ .what = what,
			                           .record = record,
			                           .n_in = 1,
			                           .in = &in,
			                           .n_out = op == REIN_OP_MOMENTS ? 2 : 1,
			                           .want = { want, second },
			                           .tol32 = 1e-6,
			                           .tol64 = 1e-14,
			                           .scale = 1 });
		}
	}
}

Test(reduce, sum_real) { fill(false), all_axes(REIN_OP_SUM, REIN_REAL_T, "sum"); }
Test(reduce, sum_i32) { fill(true), all_axes(REIN_OP_SUM, REIN_I32_T, "sum of i32"); }
Test(reduce, sum_bool)
{
	for (int i = 0; i < COUNT; i++)
		x[i] = i % 3 == 0;
	all_axes(REIN_OP_SUM, REIN_BOOL_T, "sum of bool");
}
Test(reduce, amax_real) { fill(false), all_axes(REIN_OP_AMAX, REIN_REAL_T, "amax"); }
Test(reduce, amax_i32) { fill(true), all_axes(REIN_OP_AMAX, REIN_I32_T, "amax of i32"); }
Test(reduce, moments) { fill(false), all_axes(REIN_OP_MOMENTS, REIN_REAL_T, "moments"); }

/* A float sum of 30000 numbers keeps float's precision, a wide one keeps double's. */
Test(reduce, long_sums)
{
	static double v[30000];
	double sum = 0, square = 0;
	for (int i = 0; i < 30000; i++) {
		v[i] = 1 + (i * 37 % 101) / 128.0;
		sum += v[i];
		square += v[i] / 1024;
	}
	struct tensor in = TENSOR(REIN_REAL_T, v, 30000);
	op_now = REIN_OP_SUM, axes_now = REIN_ALL_AXES, flags_now = 0;
	expect(&(struct expected){ .what = "long sum",
	                           .record = record,
	                           .n_in = 1,
	                           .in = &in,
	                           .n_out = 1,
	                           .want = { &sum },
	                           .tol32 = 2e-6,
	                           .tol64 = 1e-13 });
	flags_now = REIN_WIDE;
	expect(&(struct expected){ .what = "wide sum",
	                           .record = record,
	                           .n_in = 1,
	                           .in = &in,
	                           .n_out = 1,
	                           .want = { &sum },
	                           .tol32 = 1e-13,
	                           .tol64 = 1e-13 });
	cr_assert(square > 0);
}

Test(reduce, special_numbers)
{
	static const double v[] = { 1, NAN, 3, -INFINITY, -INFINITY, -INFINITY, 2, INFINITY, 0 };
	struct tensor in = TENSOR(REIN_REAL_T, v, 3, 3);
	op_now = REIN_OP_AMAX, axes_now = 2, flags_now = 0;
	expect(&(struct expected){ .what = "amax",
	                           .record = record,
	                           .n_in = 1,
	                           .in = &in,
	                           .n_out = 1,
	                           .want = { (double[]){ NAN, -INFINITY, INFINITY } } });
	op_now = REIN_OP_SUM;
	expect(&(struct expected){ .what = "sum",
	                           .record = record,
	                           .n_in = 1,
	                           .in = &in,
	                           .n_out = 1,
	                           .want = { (double[]){ NAN, -INFINITY, INFINITY } } });
	struct tensor b = TENSOR(REIN_BOOL_T, ((const double[]){ 0, 0, 0, 1, 0, 0 }), 2, 3);
	op_now = REIN_OP_AMAX;
	expect(&(struct expected){
		.what = "any", .record = record, .n_in = 1, .in = &b, .n_out = 1, .want = { (double[]){ 0, 1 } } });
}

/* The first of ties; NaN ranks above +inf. */
Test(reduce, argmax)
{
	static const double v[] = { 1,         3,         3,         2,         NAN, INFINITY, NAN, 0,
		                        -INFINITY, -INFINITY, -INFINITY, -INFINITY, -4,  -3,       -2,  -5 };
	struct tensor in = TENSOR(REIN_REAL_T, v, 4, 4),
				  n = TENSOR(REIN_I32_T, ((const double[]){ -5, 7, 7, 1, 0, 9 }), 3, 2);
	op_now = REIN_OP_ARGMAX, axes_now = 2, flags_now = 0;
	expect(&(struct expected){
		.what = "argmax", .record = record, .n_in = 1, .in = &in, .n_out = 1, .want = { (double[]){ 1, 0, 0, 2 } } });
	axes_now = 1, flags_now = REIN_KEEP;
	expect(&(struct expected){ .what = "argmax down",
	                           .record = record,
	                           .n_in = 1,
	                           .in = &in,
	                           .n_out = 1,
	                           .want = { (double[]){ 1, 1, 1, 0 } } });
	expect(&(struct expected){
		.what = "argmax of i32", .record = record, .n_in = 1, .in = &n, .n_out = 1, .want = { (double[]){ 1, 2 } } });
}

Test(reduce, cumsum)
{
	static const double v[] = { 1, 2, 3, 4, 5, 6 };
	const struct {
		uint32_t axes, flags;
		double want[6];
	} c[] = { { 2, 0, { 1, 3, 6, 4, 9, 15 } },
		      { 2, REIN_EXCLUSIVE, { 0, 1, 3, 0, 4, 9 } },
		      { 2, REIN_REVERSE, { 6, 5, 3, 15, 11, 6 } },
		      { 2, REIN_EXCLUSIVE | REIN_REVERSE, { 5, 3, 0, 11, 6, 0 } },
		      { 1, 0, { 1, 2, 3, 5, 7, 9 } },
		      { 1, REIN_REVERSE, { 5, 7, 9, 4, 5, 6 } } };
	for (size_t k = 0; k < sizeof c / sizeof *c; k++) {
		op_now = REIN_OP_CUMSUM, axes_now = c[k].axes, flags_now = c[k].flags;
		for (uint32_t dtype = REIN_REAL_T; dtype <= REIN_I32_T; dtype += 2) {
			struct tensor in = TENSOR(dtype, v, 2, 3);
			expect(&(struct expected){
				.what = "cumsum", .record = record, .n_in = 1, .in = &in, .n_out = 1, .want = { c[k].want } });
		}
	}
}
