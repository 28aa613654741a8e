/* SPDX-License-Identifier: MIT
 *
 * Matrix products and convolutions of shapes around the borders of tiles, within the share of the
 * sum of their terms' magnitudes that operands rounded to TF32 may cost (core/check_bounds.c), so
 * that a backend that multiplies on tensor cores is held too; other tests hold float32 closer.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "../support/rig.h"
#include "check.h"
#include "rein/rein.h"

#define ROOM (1 << 18)

static uint32_t seed_;
static double draw(void)
{
	seed_ = seed_ * 1664525u + 1013904223u;
	return (double)(float)((double)(int32_t)(seed_ >> 8) / (1 << 23) - 1);
}

struct operand {
	uint32_t rank;
	int64_t dim[4];
};

/* The op on the same numbers, or with `magnitude` on their absolute values. */
static int64_t result(uint32_t real_size, uint32_t flags, bool magnitude, uint32_t op, const struct rein_attr *a,
                      const struct operand in[2], double *out)
{
	struct rig *g = rig_create(flags, 1, real_size);
	struct state *st[2];
	static const char *const name[] = { "a", "b" };
	static double v[ROOM];
	seed_ = 9;
	for (int k = 0; k < 2; k++) {
		int64_t n = 1;
		for (uint32_t d = 0; d < in[k].rank; d++)
			n *= in[k].dim[d];
		for (int64_t i = 0; i < n; i++) {
			v[i] = draw();
			v[i] = magnitude ? fabs(v[i]) : v[i];
		}
		st[k] = rig_state(g, name[k], REIN_REAL_T, in[k].rank, in[k].dim, v);
	}
	struct recorder *rec = rig_record(g, "tensor", false);
	rein_val x[2] = { recorder_read(rec, st[0]), recorder_read(rec, st[1]) }, y;
	rein_op(recorder_rec(rec), op, 2, x, a, 1, &y);
	recorder_output(rec, y);
	struct compiled *c = rig_compile(g, recorder_finish(rec, g->diag));
	recorder_destroy(rec);
	rig_run(c);
	rig_run(c); /* parts are counted up to the same end again */
	int64_t n = rig_output(c, 0, out, ROOM);
	compiled_destroy(c);
	rig_destroy(g);
	return n;
}

static void hold(const char *what, uint32_t op, const struct rein_attr *a, struct operand p, struct operand q)
{
	static double want[ROOM], size[ROOM], got[ROOM];
	const double share = check_bound(op, a, CHECK_TF32).by;
	struct operand in[2] = { p, q };
	int64_t n = result(8, REIN_NAIVE, false, op, a, in, want);
	result(8, REIN_NAIVE, true, op, a, in, size);
	cr_assert_eq(result(4, 0, false, op, a, in, got), n);
	for (int64_t k = 0; k < n; k++)
		cr_assert(fabs(got[k] - want[k]) <= share * size[k] + 1e-30, "%s: number %lld of %lld is %.9g, not %.9g", what,
		          (long long)k, (long long)n, got[k], want[k]);
}

Test(tensor, products)
{
	static const int64_t shape[][3] = { { 1, 1, 1 },      { 127, 33, 65 },  { 128, 64, 32 }, { 129, 63, 31 },
		                                { 10, 130, 700 }, { 33, 31, 1500 }, { 300, 260, 40 } };
	for (size_t k = 0; k < sizeof shape / sizeof *shape; k++)
		for (uint32_t flags = 0; flags < 4; flags++) {
			int64_t M = shape[k][0], N = shape[k][1], K = shape[k][2];
			struct rein_attr a = { .struct_size = sizeof a, .flags = flags };
			struct operand p = { 2, { flags & REIN_TA ? K : M, flags & REIN_TA ? M : K } };
			struct operand q = { 2, { flags & REIN_TB ? N : K, flags & REIN_TB ? K : N } };
			hold("a product", REIN_OP_MATMUL, &a, p, q);
		}
}

Test(tensor, convolutions)
{
	/* N C H W O kh kw sh sw ph pw dh dw G */
	static const int64_t shape[][14] = {
		{ 2, 3, 23, 19, 40, 7, 5, 2, 3, 3, 1, 1, 1, 1 }, { 2, 34, 9, 8, 66, 3, 3, 1, 1, 1, 1, 1, 1, 1 },
		{ 1, 40, 7, 9, 36, 3, 2, 2, 1, 2, 0, 2, 3, 2 },  { 3, 6, 14, 14, 16, 5, 5, 1, 1, 0, 0, 1, 1, 1 },
		{ 2, 5, 28, 21, 9, 3, 3, 1, 1, 1, 1, 1, 1, 1 },  { 3, 1, 1, 1, 70, 1, 1, 1, 1, 0, 0, 1, 1, 1 },
		{ 2, 8, 6, 11, 8, 3, 3, 1, 1, 1, 1, 1, 1, 8 },   { 1, 2, 9, 9, 33, 2, 2, 4, 4, 1, 1, 2, 6, 1 },
		{ 2, 8, 7, 9, 120, 3, 3, 1, 1, 1, 1, 1, 1, 1 },  { 1, 3, 12, 11, 128, 5, 5, 2, 2, 2, 2, 1, 1, 1 },
		{ 2, 12, 9, 8, 130, 3, 3, 1, 1, 1, 1, 1, 1, 1 }, { 2, 8, 6, 7, 96, 3, 3, 1, 1, 1, 1, 1, 1, 2 },
		{ 1, 16, 6, 6, 256, 1, 1, 1, 1, 0, 0, 1, 1, 2 },
	};
	for (size_t k = 0; k < sizeof shape / sizeof *shape; k++) {
		const int64_t *s = shape[k];
		int64_t Ho = (s[2] + 2 * s[9] - (s[5] - 1) * s[11] - 1) / s[7] + 1;
		int64_t Wo = (s[3] + 2 * s[10] - (s[6] - 1) * s[12] - 1) / s[8] + 1;
		struct operand x = { 4, { s[0], s[1], s[2], s[3] } }, w = { 4, { s[4], s[1] / s[13], s[5], s[6] } };
		struct operand g = { 4, { s[0], s[4], Ho, Wo } };
		struct rein_attr a = { .struct_size = sizeof a,
			                   .batch = (uint32_t)s[13],
			                   .step = { s[7], s[8] },
			                   .start = { s[9], s[10], s[11], s[12] } };
		hold("a convolution", REIN_OP_CONV2D, &a, x, w);
		a.rank = 4;
		for (int d = 0; d < 4; d++)
			a.dim[d] = x.dim[d];
		hold("its derivative in x", REIN_OP_CONV2D_DX, &a, g, w);
		for (int d = 0; d < 4; d++)
			a.dim[d] = w.dim[d];
		hold("its derivative in w", REIN_OP_CONV2D_DW, &a, x, g);
	}
}
