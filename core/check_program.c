/* SPDX-License-Identifier: MIT
 *
 * check_program.c: valid programs by chance. A value carries what makes comparison meaningful:
 * a bound (tanh brings large ones down) and whether it is exact, that is, the same in float
 * and double and on every kernel; only exact values meet ops that jump (comparisons, floor,
 * argmax, sort's index), since elsewhere a rounding would become a step.
 */
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rng.h"
#include "tool.h"

#define ROOM 256

struct item {
	rein_val v;
	double bound;
	bool exact, used;
};

struct gen {
	struct check_call *call;
	struct recorder *rec;
	struct rein_rec *r;
	uint64_t seed, count;
	int n, n_state;
	struct item item[ROOM];
	struct {
		struct state *s;
		bool written;
	} state[ROOM];
};

static uint32_t below(struct gen *g, uint32_t n)
{
	return (uint32_t)(rng_uniform(rng_key(g->seed, "program"), g->count++) * n);
}

static struct item *add(struct gen *g, rein_val v, double bound, bool exact)
{
	if (g->n == ROOM)
		return &g->item[ROOM - 1];
	if (bound > 8 && rein_dtype(g->r, v) == REIN_REAL_T) {
		v = rein_tanh(g->r, v);
		bound = 1;
		exact = false;
	}
	g->item[g->n] = (struct item){ v, bound, exact, false };
	return &g->item[g->n++];
}

/* A new state: reals are multiples of 1/64 in [-2, 2), integers 0..below-1. */
static struct item *fresh(struct gen *g, uint32_t dtype, uint32_t rank, const int64_t *dim, uint32_t limit)
{
	char name[48];
	int64_t n = 1;
	snprintf(name, sizeof name, "%llu.%d", (unsigned long long)g->seed, g->n_state);
	for (uint32_t i = 0; i < rank; i++)
		n *= dim[i];
	double *v = tool_alloc((size_t)n * sizeof *v);
	uint64_t key = rng_key(g->seed, name);
	for (int64_t i = 0; i < n; i++) {
		double u = rng_uniform(key, (uint64_t)i);
		v[i] = dtype == REIN_REAL_T ? floor(u * 256) / 64 - 2 : floor(u * limit);
	}
	struct state *s = check_state(g->call, name, dtype, rank, dim, v);
	free(v);
	if (g->n_state < ROOM)
		g->state[g->n_state++].s = s;
	return add(g, recorder_read(g->rec, s), dtype == REIN_REAL_T ? 2 : limit, true);
}

/* A value of the dtype (0: any) and rank (-1: any) that is exact if asked; made if there is none. */
static struct item *pick(struct gen *g, uint32_t dtype, int rank, bool exact)
{
	static const int64_t sizes[] = { 1, 2, 3, 4, 7, 16, 33 };
	for (int tries = 0; tries < 12; tries++) {
		struct item *x = &g->item[below(g, (uint32_t)g->n)];
		if ((!dtype || rein_dtype(g->r, x->v) == dtype) && (rank < 0 || rein_rank(g->r, x->v) == rank) &&
		    (x->exact || !exact))
			return x->used = true, x;
	}
	int64_t dim[4];
	if (rank < 0)
		rank = 1 + (int)below(g, 3);
	for (int i = 0; i < rank; i++)
		dim[i] = sizes[below(g, rank > 3 ? 5 : 7)];
	struct item *x = fresh(g, dtype ? dtype : REIN_REAL_T, (uint32_t)rank, dim, dtype == REIN_BOOL_T ? 2 : 8);
	return x->used = true, x;
}

/* The shape of x with some axes 1, or a scalar: broadcasts to x. */
static struct item *beside(struct gen *g, const struct item *x, bool exact)
{
	int64_t dim[REIN_MAX_RANK];
	int32_t rank = rein_rank(g->r, x->v);
	for (int tries = 0; tries < 8; tries++) {
		struct item *y = &g->item[below(g, (uint32_t)g->n)];
		bool fits = rein_dtype(g->r, y->v) == REIN_REAL_T && rein_rank(g->r, y->v) == rank && (y->exact || !exact);
		for (int32_t i = 0; i < rank && fits; i++)
			fits = rein_dim(g->r, y->v, i) == rein_dim(g->r, x->v, i) || rein_dim(g->r, y->v, i) == 1;
		if (fits)
			return y->used = true, y;
	}
	for (int32_t i = 0; i < rank; i++)
		dim[i] = below(g, 3) ? rein_dim(g->r, x->v, i) : 1;
	struct item *y = fresh(g, REIN_REAL_T, below(g, 5) ? (uint32_t)rank : 0, dim, 0);
	return y->used = true, y;
}

static double count_of(struct gen *g, rein_val v)
{
	double n = 1;
	for (int32_t i = 0; i < rein_rank(g->r, v); i++)
		n *= (double)rein_dim(g->r, v, i);
	return n;
}

/* --- one op each ---------------------------------------------------------------------------- */
static void smooth(struct gen *g)
{
	struct item x = *pick(g, REIN_REAL_T, -1, false);
	rein_val v = x.v;
	switch (below(g, 9)) {
	case 0: add(g, rein_tanh(g->r, v), 1, false); break;
	case 1: add(g, rein_sigmoid(g->r, v), 1, false); break;
	case 2: add(g, rein_sin(g->r, v), 1, false); break;
	case 3: add(g, rein_cos(g->r, v), 1, false); break;
	case 4: add(g, rein_erf(g->r, v), 1, false); break;
	case 5: add(g, rein_relu(g->r, v), x.bound, x.exact); break;
	case 6: add(g, rein_exp(g->r, rein_neg(g->r, rein_abs(g->r, v))), 1, false); break;
	case 7: add(g, rein_log1p(g->r, rein_abs(g->r, v)), x.bound, false); break;
	default: add(g, rein_sqrt(g->r, rein_offset(g->r, rein_square(g->r, v), 0.25)), x.bound + 1, false); break;
	}
}

static void jumps(struct gen *g)
{
	struct item x = *pick(g, REIN_REAL_T, -1, true);
	switch (below(g, 5)) {
	case 0: add(g, rein_floor(g->r, x.v), x.bound + 1, true); break;
	case 1: add(g, rein_rint(g->r, x.v), x.bound + 1, true); break;
	case 2: add(g, rein_sign(g->r, x.v), 1, true); break;
	case 3: add(g, rein_cast(g->r, x.v, REIN_I32_T), x.bound, true); break;
	default: add(g, rein_cast(g->r, rein_lt(g->r, x.v, beside(g, &x, true)->v), REIN_REAL_T), 1, true); break;
	}
}

static void two(struct gen *g)
{
	struct item x = *pick(g, REIN_REAL_T, -1, false), y = *beside(g, &x, false);
	switch (below(g, 6)) {
	case 0: add(g, rein_add(g->r, x.v, y.v), x.bound + y.bound, false); break;
	case 1: add(g, rein_sub(g->r, y.v, x.v), x.bound + y.bound, false); break;
	case 2: add(g, rein_mul(g->r, x.v, y.v), x.bound * y.bound, false); break;
	case 3: add(g, rein_max(g->r, x.v, y.v), fmax(x.bound, y.bound), x.exact && y.exact); break;
	case 4: add(g, rein_div(g->r, y.v, rein_offset(g->r, rein_abs(g->r, x.v), 0.5)), 2 * y.bound, false); break;
	default: {
		struct item a = *pick(g, REIN_REAL_T, rein_rank(g->r, x.v), true), b = *beside(g, &a, true);
		rein_val c = rein_le(g->r, a.v, b.v), p = beside(g, &a, false)->v;
		add(g, rein_where(g->r, c, a.v, p), 8, false);
		break;
	}
	}
}

static void reduce(struct gen *g)
{
	struct item x = *pick(g, REIN_REAL_T, -1, false);
	uint32_t axes = 1 + below(g, 15), keep = below(g, 2);
	double n = count_of(g, x.v);
	switch (below(g, 6)) {
	case 0: add(g, rein_scale(g->r, rein_sum_over(g->r, x.v, axes, keep), 1 / n), x.bound, false); break;
	case 1: add(g, rein_amax(g->r, x.v, axes, keep), x.bound, x.exact); break;
	case 2: {
		rein_val wide = rein_sum_over(g->r, x.v, axes, keep | REIN_WIDE);
		add(g, rein_scale(g->r, rein_cast(g->r, wide, REIN_REAL_T), 1 / n), x.bound, false);
		break;
	}
	case 3: {
		struct rein_attr a = { .struct_size = sizeof a, .axes = axes };
		rein_val out[2];
		rein_op(g->r, REIN_OP_MOMENTS, 1, &x.v, &a, 2, out);
		add(g, out[0], x.bound, false);
		add(g, out[1], x.bound * x.bound, false);
		break;
	}
	case 4: {
		struct rein_attr a = { .struct_size = sizeof a,
			                   .axes = REIN_AXIS(below(g, (uint32_t)fmax(1, rein_rank(g->r, x.v)))) };
		rein_val y;
		a.flags = below(g, 2) * REIN_EXCLUSIVE + below(g, 2) * REIN_REVERSE;
		if (rein_rank(g->r, x.v) == 0)
			return;
		rein_op(g->r, REIN_OP_CUMSUM, 1, &x.v, &a, 1, &y);
		add(g, rein_scale(g->r, y, 1 / n), x.bound, false);
		break;
	}
	default: {
		struct item e = *pick(g, REIN_REAL_T, -1, true);
		if (rein_rank(g->r, e.v))
			add(g, rein_argmax(g->r, e.v), 40, true);
	}
	}
}

static void product(struct gen *g)
{
	struct item a = *pick(g, REIN_REAL_T, 2, false);
	uint32_t flags = below(g, 4);
	int64_t k = rein_dim(g->r, a.v, flags & REIN_TA ? 0 : 1), n = 1 + below(g, 40);
	int64_t dim[2] = { flags & REIN_TB ? n : k, flags & REIN_TB ? k : n };
	struct item b = *fresh(g, REIN_REAL_T, 2, dim, 0);
	rein_val y = rein_scale(g->r, rein_matmul(g->r, a.v, b.v, flags), 1 / (double)k);
	if (below(g, 2)) {
		int64_t row[2] = { 1, n };
		y = rein_relu(g->r, rein_add(g->r, y, fresh(g, REIN_REAL_T, 2, row, 0)->v));
	}
	add(g, y, a.bound * b.bound + 2, false);
}

static void view(struct gen *g)
{
	struct item x = *pick(g, below(g, 4) ? REIN_REAL_T : REIN_I32_T, -1, false);
	int32_t rank = rein_rank(g->r, x.v);
	int64_t dim[REIN_MAX_RANK], flat = -1;
	struct rein_attr a = { .struct_size = sizeof a, .rank = (uint32_t)rank };
	rein_val y;
	for (int32_t i = 0; i < rank; i++)
		dim[i] = a.dim[i] = rein_dim(g->r, x.v, i);
	switch (below(g, 6)) {
	case 0: add(g, rein_reshape(g->r, x.v, 1, &flat), x.bound, x.exact); return;
	case 1:
		for (int32_t i = 0; i < rank; i++)
			dim[i] = (i + 1 + (int)below(g, 1)) % rank;
		add(g, rein_permute(g->r, x.v, (uint32_t)rank, dim), x.bound, x.exact);
		return;
	case 2:
	case 3: /* a slice, sometimes backwards, and back into place */
		for (int32_t i = 0; i < rank; i++) {
			a.start[i] = below(g, (uint32_t)dim[i]);
			a.step[i] = below(g, 3) ? 1 : -1;
			int64_t room = a.step[i] > 0 ? dim[i] - a.start[i] : a.start[i] + 1;
			a.dim[i] = 1 + below(g, (uint32_t)room);
		}
		rein_op(g->r, REIN_OP_SLICE, 1, &x.v, &a, 1, &y);
		add(g, y, x.bound, x.exact);
		if (below(g, 2) && rein_dtype(g->r, x.v) == REIN_REAL_T) {
			memcpy(a.dim, dim, sizeof dim);
			rein_op(g->r, REIN_OP_UNSLICE, 1, &y, &a, 1, &y);
			add(g, y, x.bound, x.exact);
		}
		return;
	case 4:
		if (rank)
			add(g, rein_concat(g->r, 3, (rein_val[]){ x.v, x.v, x.v }, below(g, (uint32_t)rank)), x.bound, x.exact);
		return;
	default:
		for (int32_t i = 0; i < rank; i++)
			dim[i] = dim[i] == 1 ? 1 + below(g, 4) : dim[i];
		add(g, rein_expand(g->r, x.v, (uint32_t)rank, dim), x.bound, x.exact);
	}
}

static void indexed(struct gen *g)
{
	struct item x = *pick(g, REIN_REAL_T, -1, false);
	if (rein_rank(g->r, x.v) == 0)
		return;
	int64_t n = rein_dim(g->r, x.v, 0), m[1] = { 1 + below(g, 12) };
	struct item i = *fresh(g, REIN_I32_T, 1, m, (uint32_t)n + 1); /* sometimes outside */
	rein_val rows = rein_take(g->r, x.v, i.v, 0);
	add(g, rows, x.bound, x.exact);
	if (below(g, 2)) {
		uint32_t mode = below(g, 2);
		rein_val y = rein_put(g->r, below(g, 2) ? x.v : REIN_NONE, i.v, rows, 0, n, mode);
		add(g, mode == REIN_PUT_SET ? rein_stop(g->r, y) : y, x.bound * 13, false);
	}
}

static void coarse(struct gen *g)
{
	struct item x = *pick(g, REIN_REAL_T, 2, false);
	int64_t n = rein_dim(g->r, x.v, 0), k = rein_dim(g->r, x.v, 1);
	rein_val index;
	switch (below(g, 4)) {
	case 0: add(g, rein_log_softmax(g->r, x.v, below(g, 2)), 2 * x.bound + 6, false); break;
	case 1:
		add(g, rein_cross_entropy(g->r, x.v, fresh(g, REIN_I32_T, 1, &n, (uint32_t)k + 1)->v), 2 * x.bound + 6, false);
		break;
	case 2: add(g, rein_sort(g->r, x.v, below(g, 2), NULL), x.bound, x.exact); break;
	default: {
		struct item e = *pick(g, REIN_REAL_T, 2, true);
		add(g, rein_sort(g->r, e.v, below(g, 2), &index), e.bound, true);
		add(g, index, (double)k, true);
		rein_val small = rein_smallest(g->r, e.v, rein_scalar_i(g->r, (int32_t)below(g, 9)));
		add(g, rein_cast(g->r, small, REIN_REAL_T), 1, true);
	}
	}
}

static void images(struct gen *g)
{
	int64_t d[4] = { 1 + below(g, 3), 1 + below(g, 4), 3 + below(g, 6), 3 + below(g, 6) };
	int64_t o[4] = { 1 + below(g, 5), d[1], 1 + below(g, 3), 1 + below(g, 3) };
	struct item x = *fresh(g, REIN_REAL_T, 4, d, 0), w = *fresh(g, REIN_REAL_T, 4, o, 0);
	struct rein_attr a = { .struct_size = sizeof a,
		                   .batch = 1,
		                   .step = { 1 + below(g, 2), 1 + below(g, 2), o[2], o[3] },
		                   .start = { below(g, 2), below(g, 2), 1, 1 } };
	rein_val in[2] = { x.v, w.v }, y[2];
	if (below(g, 2)) {
		rein_op(g->r, REIN_OP_CONV2D, 2, in, &a, 1, y);
		add(g, rein_scale(g->r, y[0], 0.125), 4.0 * (double)(o[1] * o[2] * o[3]) / 8, false);
	} else {
		a.start[0] = a.start[1] = 0;
		rein_op(g->r, REIN_OP_MAX_POOL, 1, in, &a, 2, y);
		add(g, y[0], 2, true);
		rein_op(g->r, REIN_OP_AVG_POOL, 1, in, &a, 1, y);
		add(g, y[0], 2, false);
	}
}

static void doubled(void *ctx, struct rein_rec *r, rein_val i, rein_val *carry)
{
	rein_val was = carry[0];
	carry[0] = rein_tanh(r, rein_add(r, carry[0], *(rein_val *)ctx));
	carry[1] = rein_add(r, carry[1], rein_mul(r, was, rein_cast(r, i, REIN_REAL_T)));
}

static void loops(struct gen *g)
{
	struct item x = *pick(g, REIN_REAL_T, -1, false), y = x;
	struct rein_loop l = { .struct_size = sizeof l, .max = 1 + below(g, 4), .n_carry = 2, .active = -1 };
	rein_val c = rein_scale(g->r, y.v, 0.5), carry[2] = { x.v, x.v };
	rein_repeat(g->r, &l, carry, doubled, &c);
	add(g, rein_stop(g->r, carry[0]), 1, false);
	add(g, rein_stop(g->r, carry[1]), x.bound + 20, false);
}

static void draws(struct gen *g)
{
	static const char *const streams[] = { "a", "b", "c" };
	int64_t dim[2] = { 1 + below(g, 9), 1 + below(g, 40) };
	uint32_t dist = below(g, 2); /* uniform, normal */
	rein_val u = rein_random(g->r, streams[below(g, 3)], dist, REIN_ONCE, 2, dim);
	add(g, u, dist == REIN_NORMAL ? 6 : 1, dist == REIN_UNIFORM);
}

static void integers(struct gen *g)
{
	struct item x = *pick(g, REIN_I32_T, -1, true), y = *pick(g, REIN_I32_T, rein_rank(g->r, x.v), true);
	bool same = true;
	for (int32_t i = 0; i < rein_rank(g->r, x.v); i++)
		same &= rein_dim(g->r, x.v, i) == rein_dim(g->r, y.v, i);
	rein_val b = same ? y.v : rein_scalar_i(g->r, (int32_t)below(g, 5) - 2);
	switch (below(g, 5)) {
	case 0: add(g, rein_add(g->r, x.v, b), 100, true); break;
	case 1: add(g, rein_mul(g->r, x.v, b), 1000, true); break;
	case 2: add(g, rein_cast(g->r, rein_lt(g->r, b, x.v), REIN_I32_T), 1, true); break;
	case 3: add(g, rein_sum_over(g->r, x.v, 1 + below(g, 3), REIN_KEEP), 1000, true); break;
	default: add(g, rein_div(g->r, x.v, rein_scalar_i(g->r, 1 + (int32_t)below(g, 4))), 100, true); break;
	}
}

/* A step: the gradient of the mean of something in some states, and an update in place. */
static void learns(struct gen *g)
{
	struct item y = *pick(g, REIN_REAL_T, -1, false);
	rein_val wrt[3], grad[3];
	int n = 0;
	struct state *s[3];
	for (int k = 0; k < g->n_state && n < 3; k++) {
		if (g->state[k].s->dtype != REIN_REAL_T || g->state[k].written || !below(g, 2))
			continue;
		g->state[k].written = true;
		s[n] = g->state[k].s;
		wrt[n++] = recorder_read(g->rec, g->state[k].s);
	}
	if (!n)
		return;
	rein_val loss = rein_scale(g->r, rein_sum(g->r, rein_square(g->r, y.v)), 1 / count_of(g, y.v));
	rein_grads(g->r, loss, REIN_NONE, (uint32_t)n, wrt, grad);
	for (int k = 0; k < n; k++) {
		rein_val small = rein_tanh(g->r, grad[k]);
		recorder_assign(g->rec, s[k], rein_sub(g->r, wrt[k], rein_scale(g->r, small, 0.125)), REIN_NONE);
		if (below(g, 2))
			add(g, recorder_read(g->rec, s[k]), 3, false);
	}
}

void check_program(struct check_call *c, uint64_t seed, int ops)
{
	static void (*const kinds[])(struct gen *) = { smooth, smooth,  jumps,  two,    two,   reduce, product, view,
		                                           view,   indexed, coarse, images, loops, draws,  integers };
	struct gen *g = tool_alloc(sizeof *g);
	g->call = c;
	g->seed = seed;
	g->rec = c->rec;
	g->r = c->r;
	fresh(g, REIN_REAL_T, 2, (int64_t[]){ 9, 21 }, 0);
	if (seed % 4 == 0) /* enough elements for many tasks */
		fresh(g, REIN_REAL_T, 2, (int64_t[]){ 150, 130 }, 0);
	for (int k = 0; k < ops; k++)
		kinds[below(g, sizeof kinds / sizeof *kinds)](g);
	learns(g);
	for (int k = 0; k < 4; k++)
		kinds[below(g, sizeof kinds / sizeof *kinds)](g);
	for (int k = 0; k < g->n; k++)
		if (!g->item[k].used || !below(g, 6))
			recorder_output(g->rec, g->item[k].v);
	free(g);
}
