/* SPDX-License-Identifier: MIT
 *
 * test_grad.c: derivatives of every op against central finite differences in double, on
 * the naive cpu backend, over random shapes and broadcasts, away from kinks; for smooth
 * ops the derivative of the derivative too. Coarse ops are also run expanded, and both
 * must agree, forward and twice backward. A new op: a row in `kases`.
 *
 * For a case f the program computes s = sum(seed f(x)), its gradients g, and with weights v
 * s2 = sum over operands of <v, g>, and the gradients of s2; s and s2 are differenced.
 */
#include "harness.h"

#define MAX_IN 5
#define STEP   1e-5

struct tens { /* an operand: shape, and the range it is drawn from */
	uint32_t dtype, rank;
	int64_t dim[REIN_MAX_RANK];
	double lo, hi;
};

struct kase {
	const char *name;
	int n_in, order; /* order 2: smooth enough to be differentiated twice */
	void (*shapes)(struct tens *, int trial);
	rein_val (*f)(struct rein_rec *, const rein_val *, int trial);
};

/* --- random numbers ----------------------------------------------------------------------- */
static uint64_t seed_now = 1;
static double draw(double lo, double hi)
{
	seed_now += 7;
	return lo + (hi - lo) * rng_uniform(rng_key(seed_now, "grad"), seed_now);
}
static int64_t pick(int64_t lo, int64_t hi) { return lo + (int64_t)draw(0, (double)(hi - lo + 1)); }

/* --- shapes ----------------------------------------------------------------------------------- */
static void real_in(struct tens *t, uint32_t rank, const int64_t *dim, double lo, double hi)
{
	*t = (struct tens){ REIN_REAL_T, rank, { 0 }, lo, hi };
	memcpy(t->dim, dim, rank * sizeof *dim);
}
#define R(t, lo, hi, ...) real_in(t, sizeof((int64_t[]){ __VA_ARGS__ }) / 8, (int64_t[]){ __VA_ARGS__ }, lo, hi)

static void any_shape(struct tens *t, double lo, double hi)
{
	*t = (struct tens){ REIN_REAL_T, (uint32_t)pick(0, 4), { 0 }, lo, hi };
	for (uint32_t i = 0; i < t->rank; i++)
		t->dim[i] = pick(1, 3);
}

/* b broadcasts with a: a scalar, or some axes 1 on either side. */
static void partner(struct tens *a, struct tens *b, double lo, double hi)
{
	*b = *a;
	b->lo = lo;
	b->hi = hi;
	if (draw(0, 1) < 0.25)
		b->rank = 0;
	for (uint32_t i = 0; i < b->rank; i++)
		if (draw(0, 1) < 0.3)
			b->dim[i] = 1;
		else if (draw(0, 1) < 0.3)
			a->dim[i] = 1;
}

static void one(struct tens *t, int trial) { any_shape(t, -1.5, 1.5); }
static void one_positive(struct tens *t, int trial) { any_shape(t, 0.2, 2); }
static void two(struct tens *t, int trial)
{
	any_shape(&t[0], -1.5, 1.5);
	partner(&t[0], &t[1], -1.5, 1.5);
}
static void two_positive(struct tens *t, int trial)
{
	any_shape(&t[0], 0.3, 2);
	partner(&t[0], &t[1], 0.3, 2);
}
static void three(struct tens *t, int trial)
{
	two(t, trial);
	partner(&t[0], &t[2], -1, 1);
	if (t[2].rank && t[1].rank)
		memcpy(t[2].dim, t[0].dim, sizeof t[2].dim);
}
static void matrix(struct tens *t, int trial) { R(t, -1.5, 1.5, pick(1, 4), pick(2, 5)); }
static void box(struct tens *t, int trial) { R(t, -1.5, 1.5, pick(1, 3), pick(2, 3), pick(1, 3)); }

/* --- elementwise ------------------------------------------------------------------------------------ */
#define UNARY(name) \
	static rein_val f_##name(struct rein_rec *r, const rein_val *x, int trial) { return rein_##name(r, x[0]); }
#define BINARY(name) \
	static rein_val f_##name(struct rein_rec *r, const rein_val *x, int trial) { return rein_##name(r, x[0], x[1]); }
UNARY(abs)
UNARY(sign)
UNARY(floor)
UNARY(rint)
UNARY(exp)
UNARY(log)
UNARY(log1p)
UNARY(sqrt)
UNARY(sin)
UNARY(cos)
UNARY(erf)
UNARY(tanh)
UNARY(sigmoid)
UNARY(relu)
UNARY(softplus)
UNARY(square)
BINARY(add)
BINARY(sub)
BINARY(mul)
BINARY(div)
BINARY(max)
BINARY(min)
BINARY(pow)
static rein_val f_where(struct rein_rec *r, const rein_val *x, int trial)
{
	return rein_where(r, rein_lt(r, x[0], x[1]), rein_mul(r, x[1], x[2]), rein_exp(r, x[2]));
}
static rein_val f_wide(struct rein_rec *r, const rein_val *x, int trial)
{
	rein_val s = rein_sum_over(r, rein_square(r, x[0]), REIN_ALL_AXES, REIN_WIDE);
	return rein_cast(r, rein_mul(r, s, rein_cast(r, rein_mean(r, x[0]), REIN_WIDE_T)), REIN_REAL_T);
}
static rein_val f_clip(struct rein_rec *r, const rein_val *x, int trial) { return rein_clip(r, x[0], -0.5, 0.7); }

static void cube_vjp(const void *ctx, struct rein_rec *r, const rein_val *in, const rein_val *out, const rein_val *g,
                     rein_val *gin)
{
	const rein_val a = in[0], b = in[1], k = in[2]; /* y = k a^3 b, z = a + b */
	rein_val one = REIN_IS_NONE(g[0]) ? rein_scalar(r, 0) : g[0], two_ = REIN_IS_NONE(g[1]) ? rein_scalar(r, 0) : g[1];
	rein_val a2 = rein_square(r, a), y = rein_mul(r, rein_mul(r, a2, a), b);
	gin[0] = rein_add(r, rein_mul(r, one, rein_scale(r, rein_mul(r, rein_mul(r, k, a2), b), 3)), two_);
	gin[1] = rein_add(r, rein_mul(r, one, rein_mul(r, k, rein_mul(r, a2, a))), two_);
	gin[2] = rein_mul(r, one, y);
}
REIN_MAP_VJP(cube, cube_vjp, (a, b), (y, z), (k), y = k * a * a * a * b; z = a + b;)
static void map_shapes(struct tens *t, int trial)
{
	two(t, trial);
	R(&t[2], 0.5, 1.5, 1);
	t[2].rank = 0;
}
static rein_val f_map(struct rein_rec *r, const rein_val *x, int trial)
{
	rein_val out[2];
	rein_map(r, &cube, x, &x[2], out);
	return rein_add(r, out[0], rein_square(r, out[1]));
}

/* --- reductions, scans ---------------------------------------------------------------------------- */
static rein_val f_sum(struct rein_rec *r, const rein_val *x, int trial)
{
	return rein_square(r, rein_sum_over(r, x[0], (uint32_t)trial % 8, trial & 8 ? REIN_KEEP : 0));
}
static rein_val f_amax(struct rein_rec *r, const rein_val *x, int trial)
{
	return rein_square(r, rein_amax(r, x[0], 1 + (uint32_t)trial % 7, trial & 1 ? REIN_KEEP : 0));
}
static rein_val f_cumsum(struct rein_rec *r, const rein_val *x, int trial)
{
	static const uint32_t flags[] = { 0, REIN_EXCLUSIVE, REIN_REVERSE, REIN_EXCLUSIVE | REIN_REVERSE };
	return rein_square(r, rein_attr1_(r, REIN_OP_CUMSUM, x[0], REIN_AXIS((uint32_t)trial % 3), flags[trial % 4], 0));
}
static rein_val f_moments(struct rein_rec *r, const rein_val *x, int trial)
{
	struct rein_attr a = { .struct_size = sizeof a, .axes = 1 + (uint32_t)trial % 7 };
	rein_val out[2];
	rein_op(r, REIN_OP_MOMENTS, 1, x, &a, 2, out);
	return rein_mul(r, rein_exp(r, out[0]), out[1]);
}

/* --- contraction ------------------------------------------------------------------------------------ */
static void matmul_shapes(struct tens *t, int trial)
{
	int64_t m = pick(1, 3), k = pick(1, 4), n = pick(1, 3), b = pick(2, 3);
	bool ta = trial & 1, tb = trial & 2;
	if (trial & 4) {
		R(&t[0], -1, 1, trial & 8 ? 1 : b, ta ? k : m, ta ? m : k);
		R(&t[1], -1, 1, trial & 16 ? 1 : b, tb ? n : k, tb ? k : n);
	} else {
		R(&t[0], -1, 1, ta ? k : m, ta ? m : k);
		R(&t[1], -1, 1, tb ? n : k, tb ? k : n);
	}
}
static rein_val f_matmul(struct rein_rec *r, const rein_val *x, int trial)
{
	return rein_matmul(r, x[0], x[1], (trial & 1 ? REIN_TA : 0) | (trial & 2 ? REIN_TB : 0));
}

/* Stride, padding, dilation and groups of trial n. */
static struct rein_attr conv_attr(int trial)
{
	return (struct rein_attr){ .struct_size = sizeof(struct rein_attr),
		                       .batch = trial & 4 ? 2 : 1,
		                       .step = { 1 + (trial & 1), 1 + (trial >> 1 & 1) },
		                       .start = { trial & 1, trial >> 1 & 1, 1 + (trial == 3), 1 } };
}
static void conv_shapes(struct tens *t, int trial)
{
	int64_t groups = trial & 4 ? 2 : 1;
	R(&t[0], -1, 1, 2, 2 * groups, 5, 4);
	R(&t[1], -1, 1, 2 * groups, 2, 2, 3);
}
static rein_val conv(struct rein_rec *r, uint32_t op, rein_val a, rein_val b, int trial, uint32_t rank,
                     const int64_t *dim)
{
	struct rein_attr at = conv_attr(trial);
	rein_val in[2] = { a, b }, y;
	at.rank = rank;
	for (uint32_t i = 0; i < rank; i++)
		at.dim[i] = dim[i];
	rein_op(r, op, 2, in, &at, 1, &y);
	return y;
}
static rein_val f_conv(struct rein_rec *r, const rein_val *x, int trial)
{
	return conv(r, REIN_OP_CONV2D, x[0], x[1], trial, 0, NULL);
}
/* conv2d_dx and conv2d_dw as functions of both operands, by way of y = conv(x, w). */
static rein_val f_conv_dx(struct rein_rec *r, const rein_val *x, int trial)
{
	rein_val y = f_conv(r, x, trial);
	return conv(r, REIN_OP_CONV2D_DX, y, x[1], trial, 4,
	            (int64_t[]){ rein_dim(r, x[0], 0), rein_dim(r, x[0], 1), 5, 4 });
}
static rein_val f_conv_dw(struct rein_rec *r, const rein_val *x, int trial)
{
	rein_val y = f_conv(r, x, trial);
	return conv(r, REIN_OP_CONV2D_DW, x[0], y, trial, 4, (int64_t[]){ rein_dim(r, x[1], 0), 2, 2, 3 });
}

/* --- windows ------------------------------------------------------------------------------------------ */
static void image(struct tens *t, int trial) { R(t, -1, 1, 2, 2, 5, 4); }
static struct rein_attr pool_attr(int trial)
{
	return (struct rein_attr){ .struct_size = sizeof(struct rein_attr),
		                       .flags = trial & 4 ? REIN_COUNT_PAD : 0,
		                       .step = { 1 + (trial & 1), 2, 3, 2 },
		                       .start = { trial & 1, trial >> 1 & 1 } };
}
static rein_val f_max_pool(struct rein_rec *r, const rein_val *x, int trial)
{
	struct rein_attr a = pool_attr(trial);
	rein_val y[2];
	a.flags = 0;
	if (trial == 2)
		a.start[2] = 2; /* dilation */
	rein_op(r, REIN_OP_MAX_POOL, 1, x, &a, 2, y);
	return rein_square(r, y[0]);
}
static rein_val f_avg_pool(struct rein_rec *r, const rein_val *x, int trial)
{
	struct rein_attr a = pool_attr(trial);
	rein_val y;
	rein_op(r, REIN_OP_AVG_POOL, 1, x, &a, 1, &y);
	return rein_square(r, y);
}

/* --- views ---------------------------------------------------------------------------------------------- */
static rein_val f_reshape(struct rein_rec *r, const rein_val *x, int trial)
{
	return rein_square(r, rein_reshape(r, x[0], 2, (int64_t[]){ -1, rein_dim(r, x[0], 1) }));
}
static rein_val f_permute(struct rein_rec *r, const rein_val *x, int trial)
{
	static const int64_t order[4][3] = { { 2, 0, 1 }, { 1, 2, 0 }, { 0, 2, 1 }, { 2, 1, 0 } };
	return rein_square(r, rein_permute(r, x[0], 3, order[trial % 4]));
}
static void expand_shapes(struct tens *t, int trial) { R(t, -1, 1, trial & 1 ? 1 : 3, 1, trial & 2 ? 1 : 2); }
static rein_val f_expand(struct rein_rec *r, const rein_val *x, int trial)
{
	return rein_square(r, rein_expand(r, x[0], 3, (int64_t[]){ 3, 4, 2 }));
}
static struct rein_attr slice_attr(int trial)
{
	return (struct rein_attr){ .struct_size = sizeof(struct rein_attr),
		                       .rank = 4,
		                       .dim = { 2, 1, trial & 1 ? 3 : 2, 2 },
		                       .start = { 0, 1, trial & 1 ? 4 : 1, trial & 2 ? 3 : 0 },
		                       .step = { 1, 1, trial & 1 ? -2 : 3, trial & 2 ? -1 : 1 } };
}
static rein_val f_slice(struct rein_rec *r, const rein_val *x, int trial)
{
	struct rein_attr a = slice_attr(trial);
	rein_val y;
	rein_op(r, REIN_OP_SLICE, 1, x, &a, 1, &y);
	return rein_square(r, y);
}
static void unslice_shapes(struct tens *t, int trial) { R(t, -1, 1, 2, 1, trial & 1 ? 3 : 2, 2); }
static rein_val f_unslice(struct rein_rec *r, const rein_val *x, int trial)
{
	struct rein_attr a = slice_attr(trial);
	rein_val y;
	memcpy(a.dim, (int64_t[]){ 2, 2, 5, 4 }, 4 * sizeof *a.dim);
	rein_op(r, REIN_OP_UNSLICE, 1, x, &a, 1, &y);
	return rein_exp(r, y);
}
static void concat_shapes(struct tens *t, int trial)
{
	R(&t[0], -1, 1, 2, 3);
	R(&t[1], -1, 1, 2, 1);
	R(&t[2], -1, 1, 2, 2);
}
static rein_val f_concat(struct rein_rec *r, const rein_val *x, int trial)
{
	rein_val v[4] = { x[0], x[1], x[0], x[2] };
	return rein_square(r, rein_concat(r, 4, v, 1));
}

/* --- indices ---------------------------------------------------------------------------------------------- */
static void take_shapes(struct tens *t, int trial) { R(&t[0], -1, 1, trial & 1 ? 1 : 2, 3, 2); }
/* duplicates, and two outside; the batch shared by index or x */
static rein_val f_take(struct rein_rec *r, const rein_val *x, int trial)
{
	static const int32_t index[] = { 2, 0, 2, -1, 1, 1, 3, 0 };
	rein_val i = rein_const(r, REIN_I32_T, 2, (int64_t[]){ trial & 2 ? 1 : 2, 4 }, index);
	return rein_square(r, rein_take(r, x[0], i, 1));
}
static void put_shapes(struct tens *t, int trial)
{
	R(&t[0], -1, 1, 2, 4, 2);
	R(&t[1], -1, 1, 2, 3, 2);
}
static rein_val f_put(struct rein_rec *r, const rein_val *x, int trial)
{
	static const int32_t index[] = { 2, 0, 2, -1, 1, 1, 3, 0 };
	rein_val i = rein_const(r, REIN_I32_T, 2, (int64_t[]){ 2, 4 }, index);
	rein_val base = trial & 1 ? x[1] : REIN_NONE;
	return rein_square(r, rein_put(r, base, i, x[0], 1, 3, REIN_PUT_ADD));
}
static rein_val f_sort(struct rein_rec *r, const rein_val *x, int trial)
{
	rein_val y = rein_sort(r, x[0], trial & 1 ? REIN_DESCENDING : 0, NULL);
	return rein_mul(r, rein_square(r, y),
	                rein_cast(r, rein_iota(r, 1, 2, (int64_t[]){ 1, rein_dim(r, x[0], 1) }), REIN_REAL_T));
}
static rein_val f_smallest(struct rein_rec *r, const rein_val *x, int trial)
{
	return rein_where(r, rein_smallest(r, x[0], rein_scalar_i(r, trial)), rein_square(r, x[0]), x[0]);
}

/* --- image, coarse nets --------------------------------------------------------------------------------------- */
static void warp_shapes(struct tens *t, int trial)
{
	R(&t[0], -1, 1, 2, 2, 3, 4);
	R(&t[1], -0.7, 3.3, 2, 3, 2, 2);
}
static rein_val f_warp(struct rein_rec *r, const rein_val *x, int trial)
{
	struct rein_attr a = { .struct_size = sizeof a, .mode = trial & 1 ? REIN_NEAREST : REIN_BILINEAR, .par = { 0.25 } };
	rein_val y;
	rein_op(r, REIN_OP_WARP, 2, x, &a, 1, &y);
	return rein_square(r, y);
}
static rein_val f_log_softmax(struct rein_rec *r, const rein_val *x, int trial)
{
	return rein_log_softmax(r, x[0], (uint32_t)trial % 3);
}
static void logits(struct tens *t, int trial)
{
	R(&t[0], -2, 2, 4, 5);
	R(&t[1], 0, 1, 4, 5);
}
static rein_val f_ce_class(struct rein_rec *r, const rein_val *x, int trial)
{
	static const int32_t y[] = { 3, 0, 7, 4 }; /* one is outside */
	return rein_square(r, rein_cross_entropy(r, x[0], rein_const(r, REIN_I32_T, 1, (int64_t[]){ 4 }, y)));
}
static rein_val f_ce_soft(struct rein_rec *r, const rein_val *x, int trial)
{
	return rein_cross_entropy(r, x[0], x[1]);
}
static void norm_shapes(struct tens *t, int trial)
{
	R(&t[0], -1, 1, 3, 2, 2, 3);
	R(&t[1], 0.5, 1.5, 1, 2, 1, 1);
	R(&t[2], -1, 1, 1, 2, 1, 1);
}
static rein_val f_batch_norm(struct rein_rec *r, const rein_val *x, int trial)
{
	struct rein_attr a = { .struct_size = sizeof a, .axes = 1 | 4 | 8, .par = { 1e-2 } };
	rein_val y[3];
	rein_op(r, REIN_OP_BATCH_NORM, 3, x, &a, 3, y);
	return trial ? rein_mul(r, y[0], rein_exp(r, rein_sub(r, y[1], y[2]))) : rein_square(r, y[0]);
}
static void norm_dx_shapes(struct tens *t, int trial)
{
	R(&t[0], -1, 1, 4, 3);
	R(&t[1], 0.5, 1.5, 1, 3);
	R(&t[2], -1, 1, 1, 3);
	R(&t[3], 0.5, 1.5, 1, 3);
	R(&t[4], -1, 1, 4, 3);
}
static rein_val f_batch_norm_dx(struct rein_rec *r, const rein_val *x, int trial)
{
	struct rein_attr a = { .struct_size = sizeof a, .axes = 1 };
	rein_val y[3];
	rein_op(r, REIN_OP_BATCH_NORM_DX, 5, x, &a, 3, y);
	return rein_mul(r, y[0], rein_add(r, y[1], rein_square(r, y[2])));
}

/* --- together ------------------------------------------------------------------------------------------------ */
static rein_val f_norm(struct rein_rec *r, const rein_val *x, int trial) { return rein_norm_rows(r, x[0]); }
static void unrolled_body(void *ctx, struct rein_rec *r, rein_val i, rein_val *c)
{
	c[0] = rein_tanh(r, rein_mul(r, c[0], *(rein_val *)ctx));
}
static rein_val f_unrolled(struct rein_rec *r, const rein_val *x, int trial)
{
	struct rein_loop l = { sizeof l, 3, 1, REIN_UNROLL, -1, 0 };
	rein_val c = rein_add(r, x[0], x[1]), w = x[1];
	rein_repeat(r, &l, &c, unrolled_body, &w);
	return c;
}
static void net_shapes(struct tens *t, int trial)
{
	R(&t[0], -1, 1, 3, 2, 6, 6);
	R(&t[1], -1, 1, 3, 2, 3, 3);
	R(&t[2], 0.5, 1.5, 1, 3, 1, 1);
	R(&t[3], -1, 1, 1, 3, 1, 1);
	R(&t[4], -1, 1, 4, 12);
}
/* convolution, batch norm, relu, max pool, linear, log-softmax: a loss and its input's gradient */
static rein_val f_net(struct rein_rec *r, const rein_val *x, int trial)
{
	static const int32_t y[] = { 3, 0, 1 };
	struct rein_attr c = { .struct_size = sizeof c, .step = { 1, 1 } },
					 p = { .struct_size = sizeof p, .step = { 2, 2, 2, 2 } };
	struct rein_attr n = { .struct_size = sizeof n, .axes = 1 | 4 | 8, .par = { 1e-3 } };
	rein_val in[2] = { x[0], x[1] }, norm[3] = { REIN_NONE, x[2], x[3] }, out[3], g;
	rein_op(r, REIN_OP_CONV2D, 2, in, &c, 1, &norm[0]);
	rein_op(r, REIN_OP_BATCH_NORM, 3, norm, &n, 3, out);
	rein_val h = rein_relu(r, out[0]);
	rein_op(r, REIN_OP_MAX_POOL, 1, &h, &p, 2, out);
	h = rein_matmul(r, rein_reshape(r, out[0], 2, (int64_t[]){ 3, -1 }), x[4], REIN_TB);
	rein_val l = rein_mean(r, rein_cross_entropy(r, h, rein_const(r, REIN_I32_T, 1, (int64_t[]){ 3 }, y)));
	rein_grads(r, l, REIN_NONE, 1, &x[0], &g);
	return rein_add(r, l, rein_scale(r, rein_sqrt(r, rein_sum(r, rein_square(r, g))), 0.7));
}

/* --- the check ------------------------------------------------------------------------------------------------- */
static const struct kase kases[] = {
	{ "add", 2, 2, two, f_add },
	{ "sub", 2, 2, two, f_sub },
	{ "mul", 2, 2, two, f_mul },
	{ "div", 2, 2, two_positive, f_div },
	{ "max", 2, 2, two, f_max },
	{ "min", 2, 1, two, f_min },
	{ "pow", 2, 2, two_positive, f_pow },
	{ "abs", 1, 1, one, f_abs },
	{ "sign", 1, 1, one, f_sign },
	{ "floor", 1, 1, one, f_floor },
	{ "rint", 1, 1, one, f_rint },
	{ "exp", 1, 2, one, f_exp },
	{ "log", 1, 2, one_positive, f_log },
	{ "log1p", 1, 2, one_positive, f_log1p },
	{ "sqrt", 1, 2, one_positive, f_sqrt },
	{ "sin", 1, 2, one, f_sin },
	{ "cos", 1, 2, one, f_cos },
	{ "erf", 1, 2, one, f_erf },
	{ "tanh", 1, 2, one, f_tanh },
	{ "sigmoid", 1, 2, one, f_sigmoid },
	{ "relu", 1, 1, one, f_relu },
	{ "clip", 1, 1, one, f_clip },
	{ "softplus", 1, 2, one, f_softplus },
	{ "square", 1, 2, one, f_square },
	{ "where", 3, 2, three, f_where },
	{ "wide", 1, 2, matrix, f_wide },
	{ "map", 3, 2, map_shapes, f_map },
	{ "sum", 1, 2, box, f_sum },
	{ "amax", 1, 2, box, f_amax },
	{ "cumsum", 1, 2, box, f_cumsum },
	{ "moments", 1, 2, box, f_moments },
	{ "matmul", 2, 2, matmul_shapes, f_matmul },
	{ "conv2d", 2, 2, conv_shapes, f_conv },
	{ "conv2d_dx", 2, 2, conv_shapes, f_conv_dx },
	{ "conv2d_dw", 2, 2, conv_shapes, f_conv_dw },
	{ "max_pool", 1, 2, image, f_max_pool },
	{ "avg_pool", 1, 2, image, f_avg_pool },
	{ "reshape", 1, 2, box, f_reshape },
	{ "permute", 1, 2, box, f_permute },
	{ "expand", 1, 2, expand_shapes, f_expand },
	{ "slice", 1, 2, image, f_slice },
	{ "unslice", 1, 2, unslice_shapes, f_unslice },
	{ "concat", 3, 2, concat_shapes, f_concat },
	{ "take", 1, 2, take_shapes, f_take },
	{ "put", 2, 2, put_shapes, f_put },
	{ "sort", 1, 2, matrix, f_sort },
	{ "smallest", 1, 2, matrix, f_smallest },
	{ "warp", 2, 2, warp_shapes, f_warp },
	{ "log_softmax", 1, 2, box, f_log_softmax },
	{ "cross_entropy of classes", 1, 2, logits, f_ce_class },
	{ "cross_entropy of probabilities", 2, 2, logits, f_ce_soft },
	{ "batch_norm", 3, 2, norm_shapes, f_batch_norm },
	{ "batch_norm_dx", 5, 2, norm_dx_shapes, f_batch_norm_dx },
	{ "norm", 1, 2, matrix, f_norm },
	{ "unrolled loop", 2, 2, two, f_unrolled },
	{ "a network", 5, 1, net_shapes, f_net },
};

struct result {
	int64_t count[MAX_IN];
	double *x[MAX_IN], *g[MAX_IN], *g2[MAX_IN]; /* operands, first and second gradients */
	double s, s2;
};

static int64_t count_of(const struct tens *t)
{
	int64_t n = 1;
	for (uint32_t i = 0; i < t->rank; i++)
		n *= t->dim[i];
	return n;
}

/* sum(v weights), the weights drawn anew but the same for a trial */
static rein_val weighted(struct rein_rec *r, rein_val v)
{
	int64_t n = 1, dim[REIN_MAX_RANK];
	for (int32_t i = 0; i < rein_rank(r, v); i++)
		n *= dim[i] = rein_dim(r, v, i);
	double *w = malloc((size_t)n * sizeof *w);
	for (int64_t i = 0; i < n; i++)
		w[i] = draw(0.5, 1.5) * (draw(0, 1) < 0.5 ? -1 : 1);
	rein_val s = rein_sum(r, rein_mul(r, v, rein_const(r, REIN_REAL_T, (uint32_t)rein_rank(r, v), dim, w)));
	free(w);
	return s;
}

/* Records and runs the case; outputs: s, s2, gradients, second gradients. */
static struct bench *start(const struct kase *k, const struct tens *t, int trial, bool decompose, struct result *o)
{
	struct bench *b = bench_open("cpu", 8, REIN_NAIVE);
	rein_val x[MAX_IN], g[MAX_IN], g2[MAX_IN], s, s2;

	b->options.decompose = decompose;
	struct rein_rec *r = bench_record(b);
	for (int i = 0; i < k->n_in; i++) {
		char name[24];
		snprintf(name, sizeof name, "x%d", i);
		x[i] = bench_input(b, name, t[i].dtype, t[i].rank, t[i].dim, o->x[i]);
	}
	s = weighted(r, k->f(r, x, trial));
	rein_grads(r, s, REIN_NONE, (uint32_t)k->n_in, x, g);
	s2 = rein_scalar(r, 0);
	for (int i = 0; i < k->n_in; i++)
		s2 = rein_add(r, s2, weighted(r, g[i]));
	bench_output(b, s);
	bench_output(b, s2);
	for (int i = 0; i < k->n_in; i++)
		bench_output(b, g[i]);
	if (k->order == 2) {
		rein_grads(r, s2, REIN_NONE, (uint32_t)k->n_in, x, g2);
		for (int i = 0; i < k->n_in; i++)
			bench_output(b, g2[i]);
	}
	bench_run(b);
	bench_get(b, 0, &o->s, 1);
	bench_get(b, 1, &o->s2, 1);
	for (int i = 0; i < k->n_in; i++) {
		bench_get(b, (uint32_t)(2 + i), o->g[i], o->count[i]);
		if (k->order == 2)
			bench_get(b, (uint32_t)(2 + k->n_in + i), o->g2[i], o->count[i]);
	}
	return b;
}

static void expect_near(const struct kase *k, int trial, const char *what, int in, int64_t at, double got, double want,
                        double tolerance)
{
	cr_expect(fabs(got - want) <= tolerance * (1 + fabs(want)),
	          "%s, trial %d: %s of operand %d at %lld is %.12g, not %.12g", k->name, trial, what, in, (long long)at,
	          got, want);
}

static void difference(struct bench *b, const struct kase *k, int trial, const struct result *o)
{
	for (int i = 0; i < k->n_in; i++) {
		char name[24];
		snprintf(name, sizeof name, "x%d", i);
		struct state *s = store_find(b->store, name);
		for (int64_t e = 0; e < o->count[i]; e++) {
			double keep = o->x[i][e], at[2][2];
			for (int side = 0; side < 2; side++) {
				o->x[i][e] = keep + (side ? STEP : -STEP);
				bench_set(b, s, o->x[i]);
				cr_assert_geq(compiled_run(b->compiled, 1), 0);
				bench_get(b, 0, &at[side][0], 1);
				bench_get(b, 1, &at[side][1], 1);
			}
			o->x[i][e] = keep;
			expect_near(k, trial, "the gradient", i, e, o->g[i][e], (at[1][0] - at[0][0]) / (2 * STEP), 1e-6);
			if (k->order == 2)
				expect_near(k, trial, "the second gradient", i, e, o->g2[i][e], (at[1][1] - at[0][1]) / (2 * STEP),
				            1e-5);
		}
		bench_set(b, s, o->x[i]);
	}
}

static void check(const struct kase *k, int trial)
{
	struct tens t[MAX_IN];
	struct result fine = { 0 }, coarse = { 0 };

	seed_now = 1000u * (uint64_t)(k - kases) + 100u * (uint64_t)trial + 1;
	k->shapes(t, trial);
	for (int i = 0; i < k->n_in; i++) {
		int64_t n = fine.count[i] = coarse.count[i] = count_of(&t[i]);
		fine.x[i] = coarse.x[i] = malloc((size_t)n * sizeof(double));
		for (int64_t e = 0; e < n; e++)
			fine.x[i][e] = draw(t[i].lo, t[i].hi);
		fine.g[i] = calloc((size_t)n, sizeof(double));
		fine.g2[i] = calloc((size_t)n, sizeof(double));
		coarse.g[i] = calloc((size_t)n, sizeof(double));
		coarse.g2[i] = calloc((size_t)n, sizeof(double));
	}
	uint64_t again = seed_now;
	struct bench *a = start(k, t, trial, true, &fine);
	seed_now = again;
	struct bench *b = start(k, t, trial, false, &coarse);
	difference(b, k, trial, &coarse);
	expect_near(k, trial, "the value, expanded,", 0, 0, fine.s, coarse.s, 1e-12);
	for (int i = 0; i < k->n_in; i++) {
		for (int64_t e = 0; e < fine.count[i]; e++) {
			expect_near(k, trial, "the expanded gradient", i, e, fine.g[i][e], coarse.g[i][e], 1e-11);
			expect_near(k, trial, "the expanded second gradient", i, e, fine.g2[i][e], coarse.g2[i][e], 1e-11);
		}
		free(fine.x[i]);
		free(fine.g[i]);
		free(fine.g2[i]);
		free(coarse.g[i]);
		free(coarse.g2[i]);
	}
	bench_close(a);
	bench_close(b);
}

static void check_range(size_t from, size_t to)
{
	for (size_t i = from; i < to && i < sizeof kases / sizeof *kases; i++)
		for (int trial = 0; trial < (kases[i].shapes == net_shapes      ? 1
		                             : kases[i].shapes == matmul_shapes ? 20
		                                                                : 5);
		     trial++)
			check(&kases[i], trial);
}

Test(grad, elementwise) { check_range(0, 27); }
Test(grad, reductions_and_contractions) { check_range(27, 35); }
Test(grad, windows_views_indices) { check_range(35, 48); }
Test(grad, coarse_and_together) { check_range(48, 1000); }

/* --- conventions at kinks --------------------------------------------------------------------------------------- */
static double at(rein_val (*f)(struct rein_rec *, const rein_val *, int), int n_in, double a, double c, int order)
{
	struct bench *b = bench_open("cpu", 8, REIN_NAIVE);
	struct rein_rec *r = bench_record(b);
	double out;
	rein_val x[2] = { bench_input(b, "a", REIN_REAL_T, 0, NULL, &a), bench_input(b, "c", REIN_REAL_T, 0, NULL, &c) };
	rein_val g = rein_grad(r, f(r, x, 0), x[0]);
	if (order == 2)
		g = rein_grad(r, g, x[0]);
	bench_output(b, g);
	bench_run(b);
	bench_get(b, 0, &out, 1);
	bench_close(b);
	return out;
}
static rein_val f_size(struct rein_rec *r, const rein_val *x, int trial) { return rein_sqrt(r, rein_square(r, x[0])); }

Test(grad, conventions_at_kinks)
{
	cr_expect_eq(at(f_relu, 1, 0, 0, 1), 0);
	cr_expect_eq(at(f_abs, 1, 0, 0, 1), 0);
	cr_expect_eq(at(f_clip, 1, 0.7, 0, 1), 1, "the gradient passes at the bound");
	cr_expect_eq(at(f_clip, 1, 0.8, 0, 1), 0);
	cr_expect_eq(at(f_max, 2, 1, 1, 1), 0.5, "ties share");
	cr_expect_eq(at(f_sqrt, 1, 0, 0, 1), 0);
	cr_expect_eq(at(f_size, 1, 0, 0, 2), 0, "twice at 0, without NaN");
	cr_expect_eq(at(f_pow, 2, 0, 2, 1), 0);
	cr_expect_eq(at(f_pow, 2, 0, 2, 2), 2);
	cr_expect_eq(at(f_pow, 2, 0, 0, 1), 0);
}

Test(grad, not_reached_is_zeros_and_stop_stops)
{
	struct bench *b = bench_open("cpu", 8, REIN_NAIVE);
	struct rein_rec *r = bench_record(b);
	int64_t dim[1] = { 2 };
	double out[2];
	rein_val x = bench_input(b, "x", REIN_REAL_T, 1, dim, (double[]){ 1, 2 }),
			 y = bench_input(b, "y", REIN_REAL_T, 1, dim, NULL);
	rein_val s = rein_sum(r, rein_mul(r, rein_stop(r, rein_square(r, x)), x)), wrt[2] = { x, y }, g[2];
	rein_grads(r, s, REIN_NONE, 2, wrt, g);
	bench_output(b, g[0]);
	bench_output(b, g[1]);
	bench_run(b);
	bench_get(b, 0, out, 2);
	cr_expect_eq(out[1], 4, "x^2 is held fixed");
	bench_get(b, 1, out, 2);
	cr_expect_eq(out[1], 0);
	bench_close(b);
}
