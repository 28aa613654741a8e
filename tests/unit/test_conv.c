/* SPDX-License-Identifier: MIT
 *
 * Convolutions and their derivatives, every way and instruction set by itself, held to sums in
 * double over odd shapes; and the same bits whatever the number of threads and whether the
 * result has memory or only the callback sees it.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "conv.h"

struct shape {
	int64_t N, C, H, W, O, kh, kw, sh, sw, ph, pw, dh, dw, G;
};
static const struct shape shapes[] = {
	{ 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1 },      { 5, 3, 13, 9, 6, 5, 3, 1, 1, 2, 1, 1, 1, 1 },
	{ 16, 6, 14, 14, 16, 5, 5, 1, 1, 0, 0, 1, 1, 1 },  { 33, 1, 11, 17, 6, 5, 5, 1, 1, 2, 2, 1, 1, 1 },
	{ 5, 16, 7, 30, 17, 3, 3, 1, 1, 1, 1, 1, 1, 1 },   { 2, 33, 6, 5, 33, 3, 3, 1, 1, 1, 1, 1, 1, 1 },
	{ 3, 3, 35, 35, 20, 11, 11, 4, 4, 2, 2, 1, 1, 1 }, { 17, 4, 9, 12, 6, 3, 4, 2, 3, 1, 2, 1, 1, 2 },
	{ 5, 6, 10, 8, 9, 3, 3, 1, 1, 2, 2, 2, 2, 3 },     { 16, 8, 6, 7, 8, 3, 3, 2, 2, 1, 1, 1, 1, 8 },
	{ 33, 3, 5, 8, 4, 1, 1, 2, 3, 0, 0, 1, 1, 1 },     { 5, 2, 8, 15, 3, 2, 5, 3, 1, 0, 3, 2, 1, 1 },
	{ 1, 300, 3, 4, 40, 3, 3, 1, 1, 1, 1, 1, 1, 1 },   { 5, 17, 1, 1, 6, 3, 3, 1, 1, 1, 1, 1, 1, 1 },
	{ 2, 34, 4, 29, 66, 1, 7, 1, 1, 0, 3, 1, 1, 2 },   { 16, 3, 4, 4, 5, 6, 6, 1, 1, 3, 3, 1, 1, 1 },
};

static struct conv conv_for(const struct shape *s, int pass)
{
	struct conv v = { .pass = pass, .keep = 1, .N = s->N, .C = s->C, .H = s->H, .W = s->W, .O = s->O, .G = s->G };
	v.kh = s->kh, v.kw = s->kw, v.sh = s->sh, v.sw = s->sw, v.ph = s->ph, v.pw = s->pw, v.dh = s->dh, v.dw = s->dw;
	v.Cg = s->C / s->G, v.Og = s->O / s->G;
	v.Ho = (s->H + 2 * s->ph - (s->kh - 1) * s->dh - 1) / s->sh + 1;
	v.Wo = (s->W + 2 * s->pw - (s->kw - 1) * s->dw - 1) / s->sw + 1;
	v.result_rows = pass == CONV_DW ? 1 : pass == CONV_DX ? v.C : v.O;
	v.result_cols = pass == CONV_DW ? v.O * v.Cg * v.kh * v.kw : pass == CONV_DX ? v.H * v.W : v.Ho * v.Wo;
	return v;
}

static int64_t count_x(const struct conv *v) { return v->N * v->C * v->H * v->W; }
static int64_t count_y(const struct conv *v) { return v->N * v->O * v->Ho * v->Wo; }
static int64_t count_w(const struct conv *v) { return v->O * v->Cg * v->kh * v->kw; }

/* All products x w y': added to the place in the result that the pass leaves out; size: of |.| */
static void reference(const struct conv *v, const float *a, const float *b, double *sum, double *size)
{
	const float *x = a, *w = b, *g = v->pass == CONV_DX ? a : b;
	for (int64_t n = 0; n < v->N; n++)
		for (int64_t o = 0; o < v->O; o++)
			for (int64_t t = 0; t < v->Ho * v->Wo; t++)
				for (int64_t k = 0; k < v->Cg * v->kh * v->kw; k++) {
					int64_t c = o / v->Og * v->Cg + k / (v->kh * v->kw), i = k / v->kw % v->kh, j = k % v->kw;
					int64_t y = t / v->Wo * v->sh + i * v->dh - v->ph, u = t % v->Wo * v->sw + j * v->dw - v->pw;
					if (y < 0 || y >= v->H || u < 0 || u >= v->W)
						continue;
					int64_t at_x = ((n * v->C + c) * v->H + y) * v->W + u, at_w = o * v->Cg * v->kh * v->kw + k;
					int64_t at_y = (n * v->O + o) * v->Ho * v->Wo + t;
					double p = v->pass == CONV_FORWARD ? (double)x[at_x] * (double)w[at_w]
					           : v->pass == CONV_DX    ? (double)g[at_y] * (double)w[at_w]
					                                   : (double)x[at_x] * (double)g[at_y];
					int64_t at = v->pass == CONV_FORWARD ? at_y : v->pass == CONV_DX ? at_x : at_w;
					sum[at] += p;
					size[at] += fabs(p);
				}
}

static float *floats(int64_t n)
{
	float *p = malloc((size_t)n * sizeof *p);
	for (int64_t i = 0; i < n; i++)
		p[i] = (float)rand() / (float)RAND_MAX - 0.5f;
	return p;
}

struct seen {
	float *c;
	int64_t rows, cols, pieces;
};
static void note(void *ctx, int64_t piece, int64_t batch, int64_t r0, int64_t rows, int64_t c0, int64_t cols,
                 float *block, int64_t ld)
{
	struct seen *s = ctx;
	cr_assert(piece >= 0 && piece < s->pieces);
	for (int64_t i = 0; i < rows; i++)
		for (int64_t j = 0; j < cols; j++)
			s->c[(batch * s->rows + r0 + i) * s->cols + c0 + j] += block[i * ld + j];
}

static void run(struct conv v, int isa, int threads, const float *a, const float *b, float *c, int64_t count)
{
	struct pool *pool = pool_create(threads);
	int64_t bytes = conv_plan(&v, isa, threads);
	char *work = malloc((size_t)bytes + 64);
	memset(work, 0xff, (size_t)bytes);
	memset(work + bytes, 0x5a, 64);
	struct seen s = { c, v.result_rows, v.result_cols, v.pieces };
	memset(c, v.keep ? 0xff : 0, (size_t)count * sizeof *c);
	conv_run(&v, pool, a, b, v.keep ? c : NULL, work, v.keep ? NULL : note, &s);
	for (int i = 0; i < 64; i++)
		cr_assert_eq(work[bytes + i], 0x5a, "the workspace is longer than planned");
	free(work);
	pool_destroy(pool);
}

static void check(size_t which, int pass, int isa, int way)
{
	struct conv v = conv_for(&shapes[which], pass);
	v.way = way;
	int64_t count = pass == CONV_DW ? count_w(&v) : pass == CONV_DX ? count_x(&v) : count_y(&v);
	float *a = floats(pass == CONV_DX ? count_y(&v) : count_x(&v));
	float *b = floats(pass == CONV_DW ? count_y(&v) : count_w(&v));
	float *c = malloc((size_t)count * sizeof *c), *other = malloc((size_t)count * sizeof *c);
	double *sum = calloc((size_t)count * 2, sizeof *sum), *size = sum + count;
	double terms = (double)(pass == CONV_FORWARD ? v.Cg : pass == CONV_DX ? v.Og : v.N);
	terms *= (double)(pass == CONV_DW ? v.Ho * v.Wo : v.kh * v.kw);
	reference(&v, a, b, sum, size);
	run(v, isa, 1, a, b, c, count);
	for (int64_t i = 0; i < count; i++)
		cr_assert_leq(fabs(sum[i] - (double)c[i]), size[i] * 1.2e-7 * (1 + sqrt(terms)),
		              "%s shape %zu pass %d way %d element %ld: %g, not %g", isa_name(isa), which, pass, way, (long)i,
		              (double)c[i], sum[i]);
	run(v, isa, 3, a, b, other, count);
	cr_assert_eq(memcmp(c, other, (size_t)count * sizeof *c), 0, "%s shape %zu pass %d way %d: threads change bits",
	             isa_name(isa), which, pass, way);
	v.keep = 0;
	run(v, isa, 2, a, b, other, count);
	for (int64_t i = 0; i < count; i++) /* 0 + -0 is 0 */
		cr_assert(c[i] == other[i], "%s shape %zu pass %d way %d: pieces differ", isa_name(isa), which, pass, way);
	free(a), free(b), free(c), free(other), free(sum);
}

Test(conv, every_way_isa_and_shape)
{
	for (int isa = 0; isa <= isa_best(); isa++)
		for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++)
			for (int pass = CONV_FORWARD; pass <= CONV_DW; pass++)
				for (int way = CONV_ANY; way <= CONV_LANES; way++)
					if (pass != CONV_DW || way != CONV_WIDE)
						check(k, pass, isa, way);
}

/* What shapes are for: few channels to images in lanes, many to channels, few of both to places. */
Test(conv, the_way_is_chosen_by_shape)
{
	static const struct {
		struct shape shape;
		int pass, way;
	} known[] = {
		{ { 64, 192, 27, 27, 384, 3, 3, 1, 1, 1, 1, 1, 1, 1 }, CONV_FORWARD, CONV_WIDE },
		{ { 512, 6, 14, 14, 16, 5, 5, 1, 1, 0, 0, 1, 1, 1 }, CONV_DX, CONV_LANES },
		{ { 512, 6, 14, 14, 16, 5, 5, 1, 1, 0, 0, 1, 1, 1 }, CONV_DW, CONV_LANES },
		{ { 1, 6, 14, 14, 3, 5, 5, 1, 1, 0, 0, 1, 1, 1 }, CONV_FORWARD, CONV_TAPS },
	};
	for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
		struct conv v = conv_for(&known[k].shape, known[k].pass);
		conv_plan(&v, isa_best(), 1);
		cr_expect_eq(v.way, known[k].way, "shape %zu: way %d", k, v.way);
	}
}
