/* SPDX-License-Identifier: MIT
 *
 * Matrix products against three loops; convolution, pooling and batch norm with their
 * derivatives against PyTorch (fixtures.h).
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../support/expect.h"
#include "fixtures.h"

static uint32_t op_now;
static int n_out_now;
static struct rein_attr attr_now;
static int n_in_now;
static void record(struct rein_rec *r, const rein_val *in, rein_val *out)
{
	rein_val o[4];
	rein_op(r, op_now, (uint32_t)n_in_now, in, &attr_now, (uint32_t)n_out_now, o);
	memcpy(out, o, (size_t)n_out_now * sizeof *o);
}

static void run(const char *what, uint32_t op, const struct rein_attr *a, int n_in, const struct tensor *in, int n_out,
                const double *w0, const double *w1, const double *w2)
{
	op_now = op;
	attr_now = *a;
	n_in_now = n_in;
	n_out_now = n_out;
	expect(&(struct expected){ .what = what,
	                           .record = record,
	                           .n_in = n_in,
	                           .in = in,
	                           .n_out = n_out,
	                           .want = { w0, w1, w2 },
	                           .tol32 = 2e-6,
	                           .tol64 = 1e-13,
	                           .scale = 4 });
}

/* Every transposition and batch against the definition. */
Test(windows, matmul)
{
	static double a[2 * 5 * 7], b[2 * 7 * 3], y[2 * 5 * 3];
	for (int i = 0; i < 70; i++)
		a[i] = (i * 13 % 31) / 16.0 - 1;
	for (int i = 0; i < 42; i++)
		b[i] = (i * 11 % 29) / 16.0 - 1;
	for (uint32_t flags = 0; flags < 4; flags++) {
		for (int batch = 0; batch < 4; batch++) { /* bit 0: a has two, bit 1: b has two */
			bool ta = flags & REIN_TA, tb = flags & REIN_TB;
			int na = batch & 1 ? 2 : 1, nb = batch & 2 ? 2 : 1, n = na > nb ? na : nb;
			for (int s = 0; s < n; s++)
				for (int i = 0; i < 5; i++)
					for (int j = 0; j < 3; j++) {
						double sum = 0;
						for (int k = 0; k < 7; k++)
							sum += a[(na == 2) * s * 35 + (ta ? k * 5 + i : i * 7 + k)] *
							       b[(nb == 2) * s * 21 + (tb ? j * 7 + k : k * 3 + j)];
						y[(s * 5 + i) * 3 + j] = sum;
					}
			struct tensor in[2] = { { REIN_REAL_T, 3, { na, ta ? 7 : 5, ta ? 5 : 7 }, a },
				                    { REIN_REAL_T, 3, { nb, tb ? 3 : 7, tb ? 7 : 3 }, b } };
			struct rein_attr at = { .struct_size = sizeof at, .flags = flags };
			run("matmul of rank 3", REIN_OP_MATMUL, &at, 2, in, 1, y, NULL, NULL);
			if (batch)
				continue;
			for (int k = 0; k < 2; k++) {
				in[k].rank = 2;
				memmove(in[k].dim, in[k].dim + 1, 2 * sizeof *in[k].dim);
			}
			run("matmul", REIN_OP_MATMUL, &at, 2, in, 1, y, NULL, NULL);
		}
	}
}

struct conv_case {
	const char *name;
	const int64_t *s;
	const double *x, *w, *y, *g, *dx, *dw;
};
#define CONV(name)                                                                                      \
	{                                                                                                   \
#name, conv_##name##_shape, conv_##name##_x, conv_##name##_w, conv_##name##_y, conv_##name##_g, \
			conv_##name##_dx, conv_##name##_dw                                                          \
	}

Test(windows, convolution)
{
	static const struct conv_case cases[] = { CONV(plain), CONV(strided), CONV(dilated), CONV(depthwise) };
	for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
		const struct conv_case *c = &cases[k];
		const int64_t *s = c->s; /* N C H W O kh kw sh sw ph pw dh dw G Ho Wo */
		struct rein_attr a = { .struct_size = sizeof a,
			                   .batch = (uint32_t)s[13],
			                   .step = { s[7], s[8] },
			                   .start = { s[9], s[10], s[11], s[12] } };
		struct tensor x = TENSOR(REIN_REAL_T, c->x, s[0], s[1], s[2], s[3]);
		struct tensor w = TENSOR(REIN_REAL_T, c->w, s[4], s[1] / s[13], s[5], s[6]);
		struct tensor g = TENSOR(REIN_REAL_T, c->g, s[0], s[4], s[14], s[15]);
		run(c->name, REIN_OP_CONV2D, &a, 2, (struct tensor[]){ x, w }, 1, c->y, NULL, NULL);
		a.rank = 4;
		memcpy(a.dim, x.dim, 4 * sizeof *a.dim);
		run(c->name, REIN_OP_CONV2D_DX, &a, 2, (struct tensor[]){ g, w }, 1, c->dx, NULL, NULL);
		memcpy(a.dim, w.dim, 4 * sizeof *a.dim);
		run(c->name, REIN_OP_CONV2D_DW, &a, 2, (struct tensor[]){ x, g }, 1, c->dw, NULL, NULL);
	}
}

struct pool_case {
	const char *name;
	const int64_t *s;
	const double *x, *y, *i, *g, *dx;
	const double *avg[2][3]; /* y, g, dx without and with padding counted; or NULL */
};
#define POOL(name) \
#name, max_##name##_shape, max_##name##_x, max_##name##_y, max_##name##_i, max_##name##_g, max_##name##_dx
#define AVG(name)                                                                                                      \
	{                                                                                                                  \
		{ avg_##name##0_y, avg_##name##0_g, avg_##name##0_dx }, { avg_##name##1_y, avg_##name##1_g, avg_##name##1_dx } \
	}

Test(windows, pooling)
{
	static const struct pool_case cases[] = { { POOL(plain), AVG(plain) },
		                                      { POOL(overlap), AVG(overlap) },
		                                      { POOL(uneven), { { NULL } } } };
	for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
		const struct pool_case *c = &cases[k];
		const int64_t *s = c->s; /* N C H W kh kw sh sw ph pw dh dw Ho Wo */
		struct rein_attr a = { .struct_size = sizeof a,
			                   .step = { s[6], s[7], s[4], s[5] },
			                   .start = { s[8], s[9], s[10], s[11] } };
		struct tensor x = TENSOR(REIN_REAL_T, c->x, s[0], s[1], s[2], s[3]);
		struct tensor g = TENSOR(REIN_REAL_T, c->g, s[0], s[1], s[12], s[13]);
		struct tensor i = TENSOR(REIN_I32_T, c->i, s[0], s[1], s[12], s[13]);
		struct rein_attr back = a;
		back.rank = 4;
		memcpy(back.dim, x.dim, 4 * sizeof *a.dim);
		run(c->name, REIN_OP_MAX_POOL, &a, 1, &x, 2, c->y, c->i, NULL);
		run(c->name, REIN_OP_MAX_POOL_DX, &back, 2, (struct tensor[]){ g, i }, 1, c->dx, NULL, NULL);
		for (uint32_t pad = 0; pad < 2 && c->avg[0][0]; pad++) {
			a.flags = back.flags = pad ? REIN_COUNT_PAD : 0;
			g.v = c->avg[pad][1];
			run(c->name, REIN_OP_AVG_POOL, &a, 1, &x, 1, c->avg[pad][0], NULL, NULL);
			run(c->name, REIN_OP_AVG_POOL_DX, &back, 1, &g, 1, c->avg[pad][2], NULL, NULL);
		}
	}
}

/* The first of ties and the first NaN; a NaN wins over +inf. */
Test(windows, max_pool_edges)
{
	static const double v[] = { 2, 2, 1, INFINITY, 2, 2, NAN, NAN };
	struct tensor x = TENSOR(REIN_REAL_T, v, 1, 1, 2, 4);
	struct rein_attr a = { .struct_size = sizeof a, .step = { 2, 2, 2, 2 }, .start = { 0, 0, 1, 1 } };
	run("ties and NaN", REIN_OP_MAX_POOL, &a, 1, &x, 2, (double[]){ 2, NAN }, (double[]){ 0, 6 }, NULL);
}

Test(windows, batch_norm)
{
	struct tensor x = TENSOR(REIN_REAL_T, bn_x, 3, 4, 2, 5), g = TENSOR(REIN_REAL_T, bn_g, 3, 4, 2, 5);
	struct tensor gamma = TENSOR(REIN_REAL_T, bn_gamma, 1, 4, 1, 1), beta = TENSOR(REIN_REAL_T, bn_beta, 1, 4, 1, 1);
	struct tensor mean = TENSOR(REIN_REAL_T, bn_mean, 1, 4, 1, 1), inv = TENSOR(REIN_REAL_T, bn_inv, 1, 4, 1, 1);
	struct rein_attr a = { .struct_size = sizeof a, .axes = 1 | 4 | 8, .par = { 1e-5 } };
	run("batch norm", REIN_OP_BATCH_NORM, &a, 3, (struct tensor[]){ x, gamma, beta }, 3, bn_y, bn_mean, bn_var);
	run("its derivative", REIN_OP_BATCH_NORM_DX, &a, 5, (struct tensor[]){ x, gamma, mean, inv, g }, 3, bn_dx,
	    bn_dgamma, bn_dbeta);
}
