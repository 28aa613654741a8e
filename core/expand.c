/* SPDX-License-Identifier: MIT
 *
 * expand.c: what each coarse op is made of. This is the reference a kernel is held to,
 * what a backend without that kernel runs, and what is differentiated where a rule asks
 * for the decomposition. A new coarse op: its case here.
 */
#include "rec.h"
#include "rein/math.h"

#include <math.h>
#include <string.h>

struct expand {
	struct recorder *r;
	struct rein_rec *rec;
	uint32_t op;
	const rein_val *in;
	const struct rein_attr *a;
	rein_val *out;
};

/* mean = sum x / n, variance = sum (x - mean)^2 / n */
static void moments(struct expand *e)
{
	struct rein_rec *r = e->rec;
	e->out[0] = rein_mean_over(r, e->in[0], e->a->axes, REIN_KEEP);
	e->out[1] = rein_mean_over(r, rein_square(r, rein_sub(r, e->in[0], e->out[0])), e->a->axes, REIN_KEEP);
}

static void max_pool_dx(struct expand *e)
{
	struct rec_value g = *rec_value(e->r, e->in[0]);
	const int64_t *x = e->a->dim;
	int64_t rows[3] = { g.dim[0], g.dim[1], g.dim[2] * g.dim[3] };
	rein_val src = rein_reshape(e->rec, e->in[0], 3, rows), i = rein_reshape(e->rec, e->in[1], 3, rows);
	rein_val y = rein_put(e->rec, REIN_NONE, i, src, 2, x[2] * x[3], REIN_PUT_ADD);
	e->out[0] = rein_reshape(e->rec, y, 4, x);
}

/* How many places of each window are divided by, as a constant (1,1,Ho,Wo) or a scalar. */
static rein_val pool_divisor(struct expand *e, const int64_t *x, const int64_t *y)
{
	const struct rein_attr *a = e->a;
	int64_t dim[4] = { 1, 1, y[2], y[3] };
	if ((a->flags & REIN_COUNT_PAD) || (!a->start[0] && !a->start[1]))
		return rein_scalar(e->rec, (double)(a->step[2] * a->step[3]));
	double *n = rec_alloc(e->r, (uint64_t)(y[2] * y[3]) * sizeof *n);
	for (int64_t i = 0; i < y[2]; i++)
		for (int64_t j = 0; j < y[3]; j++) {
			int64_t top = i * a->step[0] - a->start[0], left = j * a->step[1] - a->start[1];
			int64_t bottom = top + a->step[2], right = left + a->step[3];
			top = top < 0 ? 0 : top;
			left = left < 0 ? 0 : left;
			bottom = bottom > x[2] ? x[2] : bottom;
			right = right > x[3] ? x[3] : right;
			n[i * y[3] + j] = (double)((bottom - top) * (right - left));
		}
	return rein_const(e->rec, REIN_REAL_T, 4, dim, n);
}

/* Every plane alone: (N C,1,H,W) with a window of ones, divided by the places counted. */
static void avg_pool(struct expand *e)
{
	bool dx = e->op == REIN_OP_AVG_POOL_DX;
	struct rec_value v = *rec_value(e->r, e->in[0]);
	struct rein_attr a = { .struct_size = sizeof a, .batch = 1 };
	int64_t y[4], x[4], k[4] = { 1, 1, e->a->step[2], e->a->step[3] };
	rein_val ones = rein_fill(e->rec, REIN_REAL_T, 1, 4, k), in[2], out;

	memcpy(dx ? y : x, v.dim, sizeof x);
	memcpy(a.step, e->a->step, 2 * sizeof *a.step);
	memcpy(a.start, e->a->start, sizeof a.start);
	if (dx)
		memcpy(x, e->a->dim, sizeof x);
	int64_t xs[4] = { x[0] * x[1], 1, x[2], x[3] };
	if (!dx) {
		in[0] = rein_reshape(e->rec, e->in[0], 4, xs);
		in[1] = ones;
		rein_op(e->rec, REIN_OP_CONV2D, 2, in, &a, 1, &out);
		y[0] = x[0];
		y[1] = x[1];
		y[2] = rein_dim(e->rec, out, 2);
		y[3] = rein_dim(e->rec, out, 3);
		if (y[2] < 1)
			return;
		e->out[0] = rein_div(e->rec, rein_reshape(e->rec, out, 4, y), pool_divisor(e, x, y));
		return;
	}
	int64_t ys[4] = { y[0] * y[1], 1, y[2], y[3] };
	in[0] = rein_reshape(e->rec, rein_div(e->rec, e->in[0], pool_divisor(e, x, y)), 4, ys);
	in[1] = ones;
	a.rank = 4;
	memcpy(a.dim, xs, sizeof xs);
	rein_op(e->rec, REIN_OP_CONV2D_DX, 2, in, &a, 1, &out);
	e->out[0] = rein_reshape(e->rec, out, 4, x);
}

/* Place in the sorted row < k, put back where it came from. */
static void smallest(struct expand *e)
{
	struct rein_rec *r = e->rec;
	struct rec_value x = *rec_value(e->r, e->in[0]);
	rein_val index, first;

	rein_sort(r, e->in[0], 0, &index);
	first = rein_lt(r, rein_iota(r, x.rank - 1, x.rank, x.dim), e->in[1]);
	e->out[0] = rein_put(r, REIN_NONE, index, first, x.rank - 1, x.dim[x.rank - 1], REIN_PUT_SET);
}

/* --- warp ------------------------------------------------------------------------------------- */
struct taps {
	rein_val rows;      /* (N,H W,C) */
	rein_val fill;      /* scalar */
	int64_t n, h, w, m; /* m: places per image */
};

/* 0 <= v <= n - 1, on real coordinates */
static rein_val within(struct rein_rec *r, rein_val v, int64_t n)
{
	return rein_and(r, rein_le(r, rein_scalar(r, 0), v), rein_le(r, v, rein_scalar(r, (double)(n - 1))));
}

/* The pixels at whole coordinates px, py (N,m) -> (N,m,C); outside: fill. */
static rein_val tap(struct rein_rec *r, const struct taps *t, rein_val px, rein_val py)
{
	rein_val in = rein_and(r, within(r, px, t->w), within(r, py, t->h));
	rein_val row = rein_mul(r, rein_cast(r, py, REIN_I32_T), rein_scalar_i(r, (int32_t)t->w));
	rein_val at = rein_where(r, in, rein_add(r, row, rein_cast(r, px, REIN_I32_T)), rein_scalar_i(r, -1));
	int64_t col[3] = { t->n, t->m, 1 };
	return rein_where(r, rein_reshape(r, in, 3, col), rein_take(r, t->rows, at, 1), t->fill);
}

static void warp(struct expand *e)
{
	struct rein_rec *r = e->rec;
	struct rec_value x = *rec_value(e->r, e->in[0]), xy = *rec_value(e->r, e->in[1]);
	struct taps t = { .n = x.dim[0], .h = x.dim[2], .w = x.dim[3], .m = xy.dim[1] * xy.dim[2] };
	int64_t rows[3] = { t.n, t.h * t.w, x.dim[1] }, flat[2] = { t.n, t.m }, col[3] = { t.n, t.m, 1 };
	int64_t image[4] = { t.n, xy.dim[1], xy.dim[2], x.dim[1] };
	rein_val y, px, py;

	t.fill = rein_scalar(r, e->a->par[0]);
	t.rows = rein_reshape(r, rein_permute(r, e->in[0], 4, (int64_t[]){ 0, 2, 3, 1 }), 3, rows);
	px = rein_reshape(r, rein_narrow(r, e->in[1], 3, 0, 1), 2, flat);
	py = rein_reshape(r, rein_narrow(r, e->in[1], 3, 1, 1), 2, flat);
	if (e->a->mode == REIN_NEAREST) {
		y = tap(r, &t, rein_rint(r, px), rein_rint(r, py));
	} else {
		rein_val x0 = rein_floor(r, px), y0 = rein_floor(r, py), one = rein_scalar(r, 1);
		rein_val x1 = rein_add(r, x0, one), y1 = rein_add(r, y0, one);
		rein_val fx = rein_reshape(r, rein_sub(r, px, x0), 3, col), fy = rein_reshape(r, rein_sub(r, py, y0), 3, col);
		rein_val gx = rein_sub(r, one, fx), gy = rein_sub(r, one, fy);
		rein_val top = rein_add(r, rein_mul(r, tap(r, &t, x0, y0), gx), rein_mul(r, tap(r, &t, x1, y0), fx));
		rein_val low = rein_add(r, rein_mul(r, tap(r, &t, x0, y1), gx), rein_mul(r, tap(r, &t, x1, y1), fx));
		y = rein_add(r, rein_mul(r, top, gy), rein_mul(r, low, fy));
	}
	e->out[0] = rein_permute(r, rein_reshape(r, y, 4, image), 4, (int64_t[]){ 0, 3, 1, 2 });
}

/* --- coarse nets --------------------------------------------------------------------------------- */
/* s - log sum exp(s), s = x - max */
static void log_softmax(struct expand *e)
{
	struct rein_rec *r = e->rec;
	rein_val m = rein_amax(r, e->in[0], e->a->axes, REIN_KEEP);
	rein_val s = rein_sub(r, e->in[0], rein_stop(r, m));
	e->out[0] = rein_sub(r, s, rein_log(r, rein_sum_over(r, rein_exp(r, s), e->a->axes, REIN_KEEP)));
}

static void cross_entropy(struct expand *e)
{
	struct rein_rec *r = e->rec;
	rein_val ls = rein_log_softmax(r, e->in[0], 1), y = e->in[1], zero = rein_scalar(r, 0);
	int64_t n = rein_dim(r, y, 0), col[2] = { n, 1 };

	if (rein_dtype(r, y) == REIN_I32_T) /* a label outside takes 0 */
		e->out[0] = rein_sub(r, zero, rein_reshape(r, rein_take(r, ls, rein_reshape(r, y, 2, col), 1), 1, &n));
	else
		e->out[0] = rein_sub(r, zero, rein_sum_over(r, rein_mul(r, y, ls), REIN_AXIS(1), 0));
}

static void batch_norm(struct expand *e)
{
	struct rein_rec *r = e->rec;
	struct rein_attr a = { .struct_size = sizeof a, .axes = e->a->axes };
	rein_op(r, REIN_OP_MOMENTS, 1, e->in, &a, 2, e->out + 1);
	rein_val sigma = rein_sqrt(r, rein_offset(r, e->out[2], e->a->par[0]));
	rein_val xh = rein_mul(r, rein_sub(r, e->in[0], e->out[1]), rein_div(r, rein_scalar(r, 1), sigma));
	e->out[0] = rein_add(r, rein_mul(r, xh, e->in[1]), e->in[2]);
}

/* xh = (x - mean) / sigma; dbeta = sum g, dgamma = sum g xh,
 * dx = gamma / sigma (g - (dbeta + xh dgamma) / n) */
static void batch_norm_dx(struct expand *e)
{
	struct rein_rec *r = e->rec;
	rein_val x = e->in[0], gamma = e->in[1], rs = e->in[3], g = e->in[4];
	double n = rein_count_over_(r, x, e->a->axes);
	rein_val xh = rein_mul(r, rein_sub(r, x, e->in[2]), rs);
	rein_val db = rein_sum_over(r, g, e->a->axes, REIN_KEEP);
	rein_val dg = rein_sum_over(r, rein_mul(r, g, xh), e->a->axes, REIN_KEEP);
	rein_val both = rein_div(r, rein_add(r, db, rein_mul(r, xh, dg)), rein_scalar(r, n));
	e->out[0] = rein_mul(r, rein_mul(r, gamma, rs), rein_sub(r, g, both));
	e->out[1] = dg;
	e->out[2] = db;
}

void rec_expand(struct recorder *r, uint32_t op, uint32_t n_in, const rein_val *in, const struct rein_attr *a,
                uint32_t n_out, rein_val *out)
{
	struct expand e = { r, &r->rec, op, in, a, out };

	for (uint32_t k = 0; k < n_out; k++)
		out[k] = REC_POISON;
	switch (op) {
	case REIN_OP_MOMENTS: moments(&e); return;
	case REIN_OP_MAX_POOL_DX: max_pool_dx(&e); return;
	case REIN_OP_AVG_POOL:
	case REIN_OP_AVG_POOL_DX: avg_pool(&e); return;
	case REIN_OP_SMALLEST: smallest(&e); return;
	case REIN_OP_WARP: warp(&e); return;
	case REIN_OP_LOG_SOFTMAX: log_softmax(&e); return;
	case REIN_OP_CROSS_ENTROPY: cross_entropy(&e); return;
	case REIN_OP_BATCH_NORM: batch_norm(&e); return;
	case REIN_OP_BATCH_NORM_DX: batch_norm_dx(&e); return;
	default: rec_refuse(r, "%s has no decomposition", op_info(op)->name); return;
	}
}
