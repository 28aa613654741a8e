/* SPDX-License-Identifier: MIT
 *
 * The fast kernels of convolutional nets held to their reference: convolutions, pooling and
 * batch norm of random shapes, with elementwise ops behind them, and training steps of small
 * nets; on every instruction set, and the same bits from one thread and from three.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../support/rig.h"
#include "recorder.h"
#include "rein/rein.h"

static uint32_t seed_;
static int64_t pick(int64_t lo, int64_t hi)
{
	seed_ = seed_ * 1664525u + 1013904223u;
	return lo + (int64_t)(seed_ >> 8) % (hi - lo + 1);
}

static struct state *floats(struct rig *g, const char *name, uint32_t rank, const int64_t *dim, double scale)
{
	int64_t n = 1;
	for (uint32_t k = 0; k < rank; k++)
		n *= dim[k];
	double *v = malloc((size_t)n * sizeof *v);
	for (int64_t i = 0; i < n; i++) /* float exactly, so that double sees the same; some are equal */
		v[i] = (double)(float)((double)pick(-60, 60) / 60 * scale);
	struct state *s = rig_state(g, name, REIN_REAL_T, rank, dim, v);
	free(v);
	return s;
}

/* --- single ops --------------------------------------------------------------------------- */
struct shape {
	int64_t N, C, H, W, O, kh, kw, sh, sw, ph, pw, dh, dw, G, Ho, Wo;
	bool chain;
};

static struct shape random_shape(uint32_t seed)
{
	struct shape s;
	seed_ = seed * 7919 + 1;
	do {
		s.G = pick(0, 3) ? 1 : pick(1, 4);
		s.N = pick(1, 5), s.C = s.G * pick(1, 9), s.O = s.G * pick(1, 20);
		s.H = pick(1, 20), s.W = pick(1, 37);
		s.kh = pick(1, 5), s.kw = pick(1, 5), s.sh = pick(1, 3), s.sw = pick(1, 3);
		s.dh = pick(0, 2) ? 1 : pick(1, 3), s.dw = pick(0, 2) ? 1 : pick(1, 3);
		s.ph = pick(0, s.kh / 2), s.pw = pick(0, s.kw / 2);
		s.Ho = (s.H + 2 * s.ph - (s.kh - 1) * s.dh - 1) / s.sh + 1;
		s.Wo = (s.W + 2 * s.pw - (s.kw - 1) * s.dw - 1) / s.sw + 1;
	} while (s.H + 2 * s.ph < (s.kh - 1) * s.dh + 1 || s.W + 2 * s.pw < (s.kw - 1) * s.dw + 1);
	s.chain = pick(0, 1);
	return s;
}

static rein_val one(struct rein_rec *r, uint32_t op, uint32_t n, const rein_val *in, const struct rein_attr *a)
{
	rein_val out[3];
	rein_op(r, op, n, in, a, op == REIN_OP_MAX_POOL ? 2 : 1, out);
	return out[0];
}

/* y = op(...), seen as it is or through relu(y + channel's number) */
static void output(struct recorder *rec, const struct shape *s, rein_val y, rein_val bias)
{
	struct rein_rec *r = recorder_rec(rec);
	if (s->chain) {
		y = rein_add(r, y, rein_along(r, bias, y, 1));
		y = rein_sigmoid(r, rein_mul(r, rein_relu(r, y), y));
	}
	recorder_output(rec, y);
}

/* All ops on a shape; the outputs one after the other. */
static int64_t all_ops(const struct shape *s, uint32_t real_size, uint32_t flags, uint32_t threads, const char *isa,
                       double *out)
{
	struct rig *g = rig_create_isa(flags, threads, real_size, isa);
	int64_t xd[4] = { s->N, s->C, s->H, s->W }, wd[4] = { s->O, s->C / s->G, s->kh, s->kw };
	int64_t gd[4] = { s->N, s->O, s->Ho, s->Wo }, pd[4] = { s->N, s->C, s->Ho, s->Wo }, cd[4] = { 1, s->C, 1, 1 };
	seed_ = 5;
	struct state *st[] = { floats(g, "x", 4, xd, 1),       floats(g, "w", 4, wd, 1),
		                   floats(g, "g", 4, gd, 1),       floats(g, "p", 4, pd, 1),
		                   floats(g, "bo", 1, &s->O, 0.2), floats(g, "bc", 1, &s->C, 0.2),
		                   floats(g, "gamma", 4, cd, 1.5), floats(g, "beta", 4, cd, 0.5),
		                   floats(g, "g2", 4, xd, 1) };
	struct recorder *rec = rig_record(g, "ops", false);
	struct rein_rec *r = recorder_rec(rec);
	rein_val v[9], both[3], m[3];
	for (int k = 0; k < 9; k++)
		v[k] = recorder_read(rec, st[k]);
	rein_val x = v[0], w = v[1], grad = v[2], pooled = v[3];
	struct rein_attr a = { .struct_size = sizeof a, .batch = (uint32_t)s->G, .step = { s->sh, s->sw } };
	memcpy(a.start, (int64_t[]){ s->ph, s->pw, s->dh, s->dw }, 4 * sizeof *a.start);
	output(rec, s, one(r, REIN_OP_CONV2D, 2, (rein_val[]){ x, w }, &a), v[4]);
	a.rank = 4;
	memcpy(a.dim, xd, sizeof xd);
	output(rec, s, one(r, REIN_OP_CONV2D_DX, 2, (rein_val[]){ grad, w }, &a), v[5]);
	memcpy(a.dim, wd, sizeof wd);
	rein_val dw = one(r, REIN_OP_CONV2D_DW, 2, (rein_val[]){ x, grad }, &a);
	recorder_output(rec, s->chain ? rein_sub(r, w, rein_scale(r, dw, 0.5)) : dw);
	recorder_output(rec, rein_sum_over(r, x, REIN_AXIS(0) | REIN_AXIS(2) | REIN_AXIS(3), 0));

	a = (struct rein_attr){ .struct_size = sizeof a, .step = { s->sh, s->sw, s->kh, s->kw } };
	memcpy(a.start, (int64_t[]){ s->ph, s->pw, s->dh, s->dw }, 4 * sizeof *a.start);
	rein_op(r, REIN_OP_MAX_POOL, 1, &x, &a, 2, m);
	output(rec, s, m[0], v[5]);
	recorder_output(rec, m[1]);
	bool flat = s->dh == 1 && s->dw == 1; /* averages have no dilation */
	for (uint32_t pad = 0; pad < 2 && flat; pad++) {
		a.flags = pad ? REIN_COUNT_PAD : 0;
		output(rec, s, one(r, REIN_OP_AVG_POOL, 1, &x, &a), v[5]);
	}
	a.rank = 4;
	memcpy(a.dim, xd, sizeof xd);
	if (flat)
		output(rec, s, one(r, REIN_OP_AVG_POOL_DX, 1, &pooled, &a), v[5]);
	both[0] = pooled, both[1] = m[1];
	output(rec, s, one(r, REIN_OP_MAX_POOL_DX, 2, both, &a), v[5]);

	/* a batch of one number has variance 0, whose derivative is all rounding */
	struct rein_attr n = { .struct_size = sizeof n, .axes = 1 | 4 | 8, .par = { 0.1 } };
	rein_op(r, REIN_OP_BATCH_NORM, 3, (rein_val[]){ x, v[6], v[7] }, &n, 3, m);
	output(rec, s, m[0], v[5]);
	recorder_output(rec, m[1]);
	recorder_output(rec, m[2]);
	rein_val inv = rein_div(r, rein_scalar(r, 1), rein_sqrt(r, rein_offset(r, m[2], 0.1)));
	rein_val in[5] = { x, v[6], m[1], inv, v[8] };
	rein_op(r, REIN_OP_BATCH_NORM_DX, 5, in, &n, 3, m);
	output(rec, s, m[0], v[5]);
	recorder_output(rec, m[1]);
	recorder_output(rec, m[2]);

	struct compiled *c = rig_compile(g, recorder_finish(rec, g->diag));
	recorder_destroy(rec);
	for (int again = 0; again < 2; again++)
		rig_run(c);
	int64_t at = 0;
	for (uint32_t o = 0; o < c->program->p.n_output; o++)
		at += rig_output(c, o, out + at, 1 << 16);
	compiled_destroy(c);
	rig_destroy(g);
	return at;
}

Test(nets, random_shapes)
{
	static double want[1 << 19], got[1 << 19], three[1 << 19];
	int n_isa;
	const char *const *isas = rig_isas(&n_isa);
	for (uint32_t seed = 0; seed < 60; seed++) {
		struct shape s = random_shape(seed);
		int64_t n = all_ops(&s, 8, REIN_NAIVE, 1, NULL, want);
		for (int i = 0; i < n_isa; i++) {
			if (i != (int)seed % n_isa && i != n_isa - 1)
				continue;
			cr_assert_eq(all_ops(&s, 4, seed % 2 ? REIN_GUARD : 0, 1, isas[i], got), n);
			for (int64_t k = 0; k < n; k++)
				cr_assert(fabs(got[k] - want[k]) <= 1e-5 * (fabs(want[k]) + 1),
				          "shape %u on %s: number %lld of %lld is %.9g, not %.9g", seed, isas[i], (long long)k,
				          (long long)n, got[k], want[k]);
			all_ops(&s, 4, 0, 3, isas[i], three);
			cr_assert_eq(memcmp(got, three, (size_t)n * sizeof *got), 0, "shape %u on %s: threads change bits", seed,
			             isas[i]);
		}
	}
}

/* --- pooling behind a convolution --------------------------------------------------------------- */
/* pool(f(conv(x) + bias)) and its gradient in x; what else reads f's result hangs on `how`. */
static int64_t pooled(const struct shape *s, uint32_t how, uint32_t real_size, uint32_t flags, uint32_t threads,
                      const char *isa, double *out)
{
	struct rig *g = rig_create_isa(flags, threads, real_size, isa);
	int64_t xd[4] = { s->N, s->C, s->H, s->W }, wd[4] = { s->O, s->C / s->G, s->kh, s->kw };
	seed_ = 11;
	struct state *st[] = { floats(g, "x", 4, xd, 1), floats(g, "w", 4, wd, 1), floats(g, "b", 1, &s->O, 0.2) };
	struct recorder *rec = rig_record(g, "pooled", false);
	struct rein_rec *r = recorder_rec(rec);
	rein_val x = recorder_read(rec, st[0]), w = recorder_read(rec, st[1]), b = recorder_read(rec, st[2]);
	struct rein_attr a = { .struct_size = sizeof a, .batch = (uint32_t)s->G, .step = { s->sh, s->sw } };
	memcpy(a.start, (int64_t[]){ s->ph, s->pw, s->dh, s->dw }, 4 * sizeof *a.start);
	rein_val y = one(r, REIN_OP_CONV2D, 2, (rein_val[]){ x, w }, &a);
	if (how & 1)
		y = rein_add(r, y, rein_along(r, b, y, 1));
	if (how & 2)
		y = rein_sigmoid(r, y);
	int64_t kh = s->Ho < 2 ? 1 : s->Ho < 3 || how & 4 ? 2 : 3, kw = s->Wo < 2 ? 1 : s->Wo < 3 || how & 4 ? 2 : 3;
	struct rein_attr p = { .struct_size = sizeof p, .step = { 2, 2, kh, kw }, .start = { how >> 3 & kh / 2, 0, 1, 1 } };
	rein_val m[2];
	rein_op(r, how & 16 ? REIN_OP_MAX_POOL : REIN_OP_AVG_POOL, 1, &y, &p, how & 16 ? 2 : 1, m);
	recorder_output(rec, m[0]);
	if (how & 32)
		recorder_output(rec, y);
	if (how & 64)
		recorder_output(rec, rein_mul(r, y, y));
	if (!(how & 16)) /* where two numbers are all but equal, the larger one is a matter of rounding */
		recorder_output(rec, rein_grad(r, rein_sum(r, rein_mul(r, m[0], m[0])), x));
	struct compiled *c = rig_compile(g, recorder_finish(rec, g->diag));
	recorder_destroy(rec);
	for (int again = 0; again < 2; again++)
		rig_run(c);
	int64_t at = 0;
	for (uint32_t o = 0; o < c->program->p.n_output; o++)
		at += rig_output(c, o, out + at, 1 << 16);
	compiled_destroy(c);
	rig_destroy(g);
	return at;
}

Test(nets, pooling_behind_convolutions)
{
	static double want[1 << 18], got[1 << 18], three[1 << 18];
	int n_isa;
	const char *const *isas = rig_isas(&n_isa);
	for (uint32_t seed = 0; seed < 128; seed++) {
		struct shape s = random_shape(seed / 2 + 1000);
		if (seed % 16 == 7)
			s = (struct shape){ 33, 1, 12, 10, 6, 5, 5, 1, 1, 2, 2, 1, 1, 1, 12, 10, false };
		int64_t n = pooled(&s, seed, 8, REIN_NAIVE, 1, NULL, want);
		cr_assert_eq(pooled(&s, seed, 4, seed % 3 ? 0 : REIN_GUARD, 1, isas[seed % (uint32_t)n_isa], got), n);
		for (int64_t k = 0; k < n; k++)
			cr_assert(fabs(got[k] - want[k]) <= 1e-5 * (fabs(want[k]) + 1),
			          "net %u on %s: number %lld of %lld is %.9g, not %.9g", seed, isas[seed % (uint32_t)n_isa],
			          (long long)k, (long long)n, got[k], want[k]);
		pooled(&s, seed, 4, 0, 3, isas[seed % (uint32_t)n_isa], three);
		cr_assert_eq(memcmp(got, three, (size_t)n * sizeof *got), 0, "net %u: threads change bits", seed);
	}
}

/* --- runs of ops that keep images in lanes ----------------------------------------------------- */
/* Two convolutions with activations and pooling, and the gradients of everything; how: 1 two
 * activations, 2 padding, 4 a result in between is read, 8 relu. */
static int64_t two_convolutions(int64_t n, uint32_t how, uint32_t real_size, uint32_t flags, uint32_t threads,
                                const char *isa, double *out)
{
	struct rig *g = rig_create_isa(flags, threads, real_size, isa);
	int64_t c = how & 8 ? 3 : 1, o = how & 1 ? 6 : 5, q = 7, pad = how & 2 ? 2 : 1;
	seed_ = 3;
	struct state *st[] = { floats(g, "x", 4, (int64_t[]){ n, c, 8, 12 }, 1),
		                   floats(g, "w1", 4, (int64_t[]){ o, c, 2 * pad + 1, 3 }, 0.7), floats(g, "b1", 1, &o, 0.2),
		                   floats(g, "w2", 4, (int64_t[]){ q, o, 3, 3 }, 0.5), floats(g, "b2", 1, &q, 0.2) };
	struct recorder *rec = rig_record(g, "two", false);
	struct rein_rec *r = recorder_rec(rec);
	rein_val v[5], d[5], m, y, z;
	for (int k = 0; k < 5; k++)
		v[k] = recorder_read(rec, st[k]);
	struct rein_attr a = { .struct_size = sizeof a, .batch = 1, .step = { 1, 1 }, .start = { pad, 1, 1, 1 } };
	struct rein_attr p = { .struct_size = sizeof p, .step = { 2, 2, 2, 2 }, .start = { 0, 0, 1, 1 } };
	y = one(r, REIN_OP_CONV2D, 2, (rein_val[]){ v[0], v[1] }, &a);
	y = rein_add(r, y, rein_along(r, v[2], y, 1));
	y = how & 8 ? rein_relu(r, rein_offset(r, y, 0.0123)) : rein_sigmoid(r, y);
	y = how & 1 ? rein_tanh(r, y) : y;
	rein_op(r, REIN_OP_AVG_POOL, 1, &y, &p, 1, &m);
	memcpy(a.start, (int64_t[]){ how & 2, how & 2, 1, 1 }, 4 * sizeof *a.start);
	z = one(r, REIN_OP_CONV2D, 2, (rein_val[]){ m, v[3] }, &a);
	z = rein_sigmoid(r, rein_add(r, z, rein_along(r, v[4], z, 1)));
	rein_op(r, REIN_OP_AVG_POOL, 1, &z, &p, 1, &m);
	recorder_output(rec, m);
	if (how & 4)
		recorder_output(rec, y);
	rein_grads(r, rein_sum(r, rein_mul(r, m, m)), REIN_NONE, 5, v, d);
	for (int k = 0; k < 5; k++)
		recorder_output(rec, d[k]);
	struct compiled *done = rig_compile(g, recorder_finish(rec, g->diag));
	recorder_destroy(rec);
	for (int again = 0; again < 2; again++)
		rig_run(done);
	int64_t at = 0;
	for (uint32_t k = 0; k < done->program->p.n_output; k++)
		at += rig_output(done, k, out + at, 1 << 16);
	compiled_destroy(done);
	rig_destroy(g);
	return at;
}

Test(nets, images_in_lanes)
{
	static double want[1 << 18], got[1 << 18], three[1 << 18];
	static const int64_t batches[] = { 64, 80, 33 };
	int n_isa;
	const char *const *isas = rig_isas(&n_isa);
	for (uint32_t how = 0; how < 48; how++) {
		int64_t batch = batches[how / 16], n = two_convolutions(batch, how % 16, 8, REIN_NAIVE, 1, NULL, want);
		const char *isa = isas[(how + how / 3) % (uint32_t)n_isa];
		cr_assert_eq(two_convolutions(batch, how % 16, 4, how % 5 ? 0 : REIN_GUARD, 1, isa, got), n);
		double largest = 0;
		for (int64_t k = 0; k < n; k++)
			largest = fmax(largest, fabs(want[k]));
		for (int64_t k = 0; k < n; k++)
			cr_assert(fabs(got[k] - want[k]) <= 1e-5 * (fabs(want[k]) + 1) + 1e-6 * largest,
			          "net %u on %s: number %lld of %lld is %.9g, not %.9g", how, isa, (long long)k, (long long)n,
			          got[k], want[k]);
		two_convolutions(batch, how % 16, 4, 0, 3, isa, three);
		cr_assert_eq(memcmp(got, three, (size_t)n * sizeof *got), 0, "net %u: threads change bits", how);
	}
}

/* Shapes at which work is cut: many images, more terms than a block, images of one number. */
Test(nets, large_shapes)
{
	static double want[1 << 19], got[1 << 19], three[1 << 19];
	static const struct shape shapes[] = {
		{ 40, 3, 12, 12, 5, 5, 5, 1, 1, 2, 2, 1, 1, 1, 12, 12, true },
		{ 3, 70, 6, 7, 17, 3, 3, 1, 1, 1, 1, 1, 1, 1, 6, 7, false },
		{ 2, 3, 40, 40, 20, 11, 11, 4, 4, 2, 2, 1, 1, 1, 9, 9, true },
		{ 300, 7, 1, 1, 9, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, true },
		{ 4, 32, 9, 9, 32, 3, 3, 2, 2, 1, 1, 1, 1, 32, 5, 5, true },
	};
	for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
		int64_t n = all_ops(&shapes[k], 8, REIN_NAIVE, 1, NULL, want);
		all_ops(&shapes[k], 4, 0, 1, NULL, got);
		all_ops(&shapes[k], 4, 0, 3, NULL, three);
		for (int64_t e = 0; e < n; e++)
			cr_assert(fabs(got[e] - want[e]) <= 2e-5 * (fabs(want[e]) + 1), "shape %zu: number %lld is %.9g, not %.9g",
			          k, (long long)e, got[e], want[e]);
		cr_assert_eq(memcmp(got, three, (size_t)n * sizeof *got), 0, "shape %zu: threads change bits", k);
	}
}
