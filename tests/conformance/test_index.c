/* SPDX-License-Identifier: MIT
 *
 * Views, take and put, sort, warp, log-softmax and cross-entropy: small cases written out,
 * and PyTorch's answers (fixtures.h).
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../support/expect.h"
#include "fixtures.h"

static uint32_t op_now;
static int n_out_now, n_in_now;
static struct rein_attr attr_now;
static void record(struct rein_rec *r, const rein_val *in, rein_val *out)
{
	rein_op(r, op_now, (uint32_t)n_in_now, in, &attr_now, (uint32_t)n_out_now, out);
}
static void run(const char *what, uint32_t op, struct rein_attr a, int n_in, const struct tensor *in, int n_out,
                const double *w0, const double *w1)
{
	a.struct_size = sizeof a;
	op_now = op;
	attr_now = a;
	n_in_now = n_in;
	n_out_now = n_out;
	expect(&(struct expected){ .what = what,
	                           .record = record,
	                           .n_in = n_in,
	                           .in = in,
	                           .n_out = n_out,
	                           .want = { w0, w1 },
	                           .tol32 = 2e-6,
	                           .tol64 = 1e-13,
	                           .scale = 1 });
}
#define ATTR(...) ((struct rein_attr){ __VA_ARGS__ })

static const double count[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23 };

Test(index, views)
{
	static const uint32_t dtypes[] = { REIN_REAL_T, REIN_I32_T, REIN_U8_T };
	for (int k = 0; k < 3; k++) {
		struct tensor x = TENSOR(dtypes[k], count, 2, 3, 2), row = TENSOR(dtypes[k], count, 1, 3),
					  line = TENSOR(dtypes[k], count, 6);
		run("reshape", REIN_OP_RESHAPE, ATTR(.rank = 2, .dim = { 4, -1 }), 1, &x, 1, count, NULL);
		run("permute", REIN_OP_PERMUTE, ATTR(.rank = 3, .dim = { 2, 0, 1 }), 1, &x, 1,
		    (double[]){ 0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11 }, NULL);
		run("expand", REIN_OP_EXPAND, ATTR(.rank = 2, .dim = { 2, 3 }), 1, &row, 1, (double[]){ 0, 1, 2, 0, 1, 2 },
		    NULL);
		run("a slice", REIN_OP_SLICE, ATTR(.rank = 3, .dim = { 1, 2, 2 }, .start = { 1, 0, 1 }, .step = { 1, 2, -1 }),
		    1, &x, 1, (double[]){ 7, 6, 11, 10 }, NULL);
		run("a narrow one", REIN_OP_SLICE,
		    ATTR(.rank = 3, .dim = { 1, 3, 2 }, .start = { 1, 0, 0 }, .step = { 1, 1, 1 }), 1, &x, 1, count + 6, NULL);
		run("unslice", REIN_OP_UNSLICE, ATTR(.rank = 1, .dim = { 8 }, .start = { 6 }, .step = { -1 }), 1, &line, 1,
		    (double[]){ 0, 5, 4, 3, 2, 1, 0, 0 }, NULL);
		run("padding", REIN_OP_UNSLICE, ATTR(.rank = 2, .dim = { 3, 5 }, .start = { 1, 1 }, .step = { 1, 1 }), 1, &row,
		    1, (double[]){ 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0 }, NULL);
		struct tensor parts[3] = { TENSOR(dtypes[k], count, 2, 1, 2), TENSOR(dtypes[k], count + 10, 2, 2, 2),
			                       TENSOR(dtypes[k], count + 4, 2, 1, 2) };
		run("concat", REIN_OP_CONCAT, ATTR(.axes = 2), 3, parts, 1,
		    (double[]){ 0, 1, 10, 11, 12, 13, 4, 5, 2, 3, 14, 15, 16, 17, 6, 7 }, NULL);
	}
}

/* An index outside gives 0 and is never followed. */
Test(index, take)
{
	static const double at[] = { 2, 0, -1, 3, 2, 2147483647.0 }, by[] = { 1, 0, 0, 2 };
	struct tensor x = TENSOR(REIN_REAL_T, count, 3, 2), i = TENSOR(REIN_I32_T, at, 2, 3);
	run("rows", REIN_OP_TAKE, ATTR(0), 2, (struct tensor[]){ x, i }, 1,
	    (double[]){ 4, 5, 0, 1, 0, 0, 0, 0, 4, 5, 0, 0 }, NULL);
	x.dtype = REIN_U8_T;
	run("rows of bytes", REIN_OP_TAKE, ATTR(0), 2, (struct tensor[]){ x, i }, 1,
	    (double[]){ 4, 5, 0, 1, 0, 0, 0, 0, 4, 5, 0, 0 }, NULL);
	struct tensor b = TENSOR(REIN_I32_T, count, 2, 3), j = TENSOR(REIN_I32_T, by, 2, 2),
				  one = TENSOR(REIN_I32_T, count, 1, 3);
	run("batched", REIN_OP_TAKE, ATTR(.batch = 1), 2, (struct tensor[]){ b, j }, 1, (double[]){ 1, 0, 3, 5 }, NULL);
	run("one table", REIN_OP_TAKE, ATTR(.batch = 1), 2, (struct tensor[]){ one, j }, 1, (double[]){ 1, 0, 0, 2 }, NULL);
	struct tensor ji = TENSOR(REIN_I32_T, by, 1, 2);
	run("one index", REIN_OP_TAKE, ATTR(.batch = 1), 2, (struct tensor[]){ b, ji }, 1, (double[]){ 1, 0, 4, 3 }, NULL);
	struct tensor s = SCALAR(REIN_I32_T, by), v = TENSOR(REIN_REAL_T, count + 5, 4);
	run("entry by scalar", REIN_OP_TAKE, ATTR(0), 2, (struct tensor[]){ v, s }, 1, (double[]){ 6 }, NULL);
}

/* Ascending position: sums in that order, the last one set stays; outside is dropped. */
Test(index, put)
{
	static const double at[] = { 1, 3, 1, -1, 4, 1 }, src[] = { 1, 2, 4, 8, 16, 32 };
	struct tensor i = TENSOR(REIN_I32_T, at, 6), s = TENSOR(REIN_REAL_T, src, 6),
				  base = TENSOR(REIN_REAL_T, count + 10, 4);
	struct rein_attr add = { .mode = REIN_PUT_ADD, .dim = { 4 } }, set = { .mode = REIN_PUT_SET, .dim = { 4 } };
	for (uint32_t dtype = REIN_REAL_T; dtype <= REIN_I32_T; dtype += 2) {
		s.dtype = base.dtype = dtype;
		run("add", REIN_OP_PUT, add, 2, (struct tensor[]){ i, s }, 1, (double[]){ 0, 37, 0, 2 }, NULL);
		run("add to base", REIN_OP_PUT, add, 3, (struct tensor[]){ base, i, s }, 1, (double[]){ 10, 48, 12, 15 }, NULL);
		run("set", REIN_OP_PUT, set, 2, (struct tensor[]){ i, s }, 1, (double[]){ 0, 32, 0, 2 }, NULL);
		run("set in base", REIN_OP_PUT, set, 3, (struct tensor[]){ base, i, s }, 1, (double[]){ 10, 32, 12, 2 }, NULL);
	}
	struct tensor bi = TENSOR(REIN_I32_T, ((const double[]){ 0, 2, 2, 1 }), 2, 2),
				  bs = TENSOR(REIN_REAL_T, count, 2, 2, 2);
	struct rein_attr rows = { .mode = REIN_PUT_ADD, .dim = { 3 }, .batch = 1 };
	run("batched rows", REIN_OP_PUT, rows, 2, (struct tensor[]){ bi, bs }, 1,
	    (double[]){ 0, 1, 0, 0, 2, 3, 0, 0, 6, 7, 4, 5 }, NULL);
	struct tensor flags = TENSOR(REIN_BOOL_T, ((const double[]){ 1, 0, 1 }), 3),
				  old = TENSOR(REIN_BOOL_T, ((const double[]){ 0, 1, 1, 0 }), 4);
	struct tensor which = TENSOR(REIN_I32_T, ((const double[]){ 0, 1, 3 }), 3);
	run("set of bools", REIN_OP_PUT, set, 3, (struct tensor[]){ old, which, flags }, 1, (double[]){ 1, 0, 1, 1 }, NULL);
}

static void sorted(struct rein_rec *r, const rein_val *in, rein_val *out)
{
	out[0] = rein_sort(r, in[0], attr_now.flags, &out[1]);
	/* fixtures write NaN as 99, infinities as 77 */
	rein_val nan = rein_not(r, rein_eq(r, out[0], out[0]));
	out[0] = rein_where(r, nan, rein_scalar(r, 99), rein_clip(r, out[0], -77, 77));
}
Test(index, sort)
{
	static const double v[] = { 3, -0.0, 0, 3, -1, INFINITY, 2, -INFINITY, 3, 1, NAN, 5, 1, NAN, -2, 5, INFINITY, 0 };
	struct tensor x = TENSOR(REIN_REAL_T, v, 2, 9);
	struct expected e = {
		.what = "sort", .record = sorted, .n_in = 1, .in = &x, .n_out = 2, .want = { sort_up_v, sort_up_i }
	};
	attr_now.flags = 0;
	expect(&e);
	attr_now.flags = REIN_DESCENDING;
	e.want[0] = sort_down_v, e.want[1] = sort_down_i;
	expect(&e);
	struct tensor n = TENSOR(REIN_I32_T, ((const double[]){ 5, -2, 5, 0, 2147483647, -2147483648.0, 0 }), 7);
	run("integers", REIN_OP_SORT, ATTR(0), 1, &n, 2, (double[]){ -2147483648.0, -2, 0, 0, 5, 5, 2147483647 },
	    (double[]){ 5, 1, 3, 6, 0, 2, 4 });
}

Test(index, smallest)
{
	static const double v[] = { 3, 1, 2, 1, 1, NAN, NAN, -INFINITY, INFINITY, NAN };
	struct tensor x = TENSOR(REIN_REAL_T, v, 2, 5);
	static const double k[] = { 2, 0, -3, 5, 9, 4 };
	const double *want[] = { (double[]){ 0, 1, 0, 1, 0, 0, 0, 1, 1, 0 }, (double[]){ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 },
		                     (double[]){ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }, (double[]){ 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 },
		                     (double[]){ 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 }, (double[]){ 0, 1, 1, 1, 1, 1, 1, 1, 1, 0 } };
	for (int i = 0; i < 6; i++)
		run("smallest", REIN_OP_SMALLEST, ATTR(0), 2, (struct tensor[]){ x, SCALAR(REIN_I32_T, k + i) }, 1, want[i],
		    NULL);
}

Test(index, warp)
{
	struct tensor x = TENSOR(REIN_REAL_T, warp_x, 2, 2, 4, 5), xy = TENSOR(REIN_REAL_T, warp_xy, 2, 3, 6, 2);
	run("bilinear", REIN_OP_WARP, ATTR(.mode = REIN_BILINEAR), 2, (struct tensor[]){ x, xy }, 1, warp_bilinear, NULL);
	/* rint(0.5) = 0, rint(1.5) = 2; outside, and beyond every integer, gives the fill */
	static const double v[] = { 1, 2, 3, 4, 5, 6 };
	static const double p[] = { 0.5, 0, 1.5, 0.5, 2.4, 1.4, -0.5, 0, -0.6, 0, 2, 1.6, 1e30, 0, 0, -INFINITY };
	struct tensor small = TENSOR(REIN_REAL_T, v, 1, 1, 2, 3), at = TENSOR(REIN_REAL_T, p, 1, 1, 8, 2);
	run("nearest", REIN_OP_WARP, ATTR(.mode = REIN_NEAREST, .par = { -9 }), 2, (struct tensor[]){ small, at }, 1,
	    (double[]){ 1, 3, 6, 1, -9, -9, -9, -9 }, NULL);
	static const double q[] = { -0.5, 0, 2.5, 0.5, -1, 0, 5, 5 };
	struct tensor border = TENSOR(REIN_REAL_T, q, 1, 1, 4, 2);
	run("fill blends in", REIN_OP_WARP, ATTR(.mode = REIN_BILINEAR, .par = { 10 }), 2,
	    (struct tensor[]){ small, border }, 1, (double[]){ 5.5, 7.25, 10, 10 }, NULL);
}

Test(index, log_softmax_and_cross_entropy)
{
	static const double label[] = { 4, 0, 2, 2 }, bad[] = { 5, -1, 2147483647, -2147483648.0 };
	struct tensor z = TENSOR(REIN_REAL_T, ce_z, 4, 5), p = TENSOR(REIN_REAL_T, ce_p, 4, 5),
				  y = TENSOR(REIN_I32_T, label, 4);
	run("log softmax", REIN_OP_LOG_SOFTMAX, ATTR(.axes = 2), 1, &z, 1, ce_ls, NULL);
	run("down", REIN_OP_LOG_SOFTMAX, ATTR(.axes = 1), 1, &z, 1, ce_ls0, NULL);
	run("classes", REIN_OP_CROSS_ENTROPY, ATTR(0), 2, (struct tensor[]){ z, y }, 1, ce_hard, NULL);
	run("shares", REIN_OP_CROSS_ENTROPY, ATTR(0), 2, (struct tensor[]){ z, p }, 1, ce_soft, NULL);
	y.v = bad;
	run("labels outside", REIN_OP_CROSS_ENTROPY, ATTR(0), 2, (struct tensor[]){ z, y }, 1, (double[]){ 0, 0, 0, 0 },
	    NULL);
	/* large numbers do not overflow; a row of -inf is NaN, one -inf is not */
	static const double v[] = { 1000, 1000, -INFINITY, -INFINITY, -INFINITY, 0 };
	struct tensor row = TENSOR(REIN_REAL_T, v, 3, 2);
	run("edges", REIN_OP_LOG_SOFTMAX, ATTR(.axes = 2), 1, &row, 1, (double[]){ -M_LN2, -M_LN2, NAN, NAN, -INFINITY, 0 },
	    NULL);
}
