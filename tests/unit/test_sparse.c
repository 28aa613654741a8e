/* SPDX-License-Identifier: MIT
 *
 * Products and convolutions with weights that are nearly all zero, on every instruction set this machine has, held
 * to sums in double: at the edges of blocks, with rows that are empty or full, with and without
 * memory for the result; the same bits for any number of threads; and not at all where too many
 * are not zero.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sparse.h"

static const struct {
	int64_t m, n, k;
	int per_mille; /* of entries that are not zero */
} shapes[] = {
	{ 8, 16, 1024, 5 }, { 100, 300, 1568, 2 }, { 33, 17, 1000, 5 }, { 64, 128, 129, 0 },
	{ 31, 65, 255, 6 }, { 100, 1000, 17, 60 }, { 97, 40, 513, 10 }, { 200, 64, 300, 80 },
};

static float *weights(int64_t n, int64_t k, int per_mille, bool row)
{
	float *b = calloc((size_t)(n * k), sizeof *b);
	for (int64_t i = 0; i < n * k; i++)
		if (rand() % 1000 < per_mille)
			b[i] = (float)rand() / (float)RAND_MAX - 0.5f;
	if (row)
		for (int64_t i = 0; i < k / 16; i++) /* a row with many, beside rows with none */
			b[(n / 2) * k + i] = 0.25f;
	return b;
}

struct seen {
	float *c;
	int64_t n;
	int pieces;
};
static void note(void *ctx, int64_t piece, int64_t batch, int64_t r0, int64_t rows, int64_t c0, int64_t cols,
                 float *block, int64_t ld)
{
	struct seen *s = ctx;
	cr_assert(piece >= 0 && batch == 0);
	for (int64_t i = 0; i < rows; i++)
		for (int64_t j = 0; j < cols; j++)
			s->c[(r0 + i) * s->n + c0 + j] += block[i * ld + j];
}

/* Matrix `batch` is an image of so many channels; n: places of a plane. */
static int64_t channels;
static void note_plane(void *ctx, int64_t piece, int64_t batch, int64_t r0, int64_t rows, int64_t c0, int64_t cols,
                       float *block, int64_t ld)
{
	struct seen *s = ctx;
	cr_assert(piece >= 0 && ld >= cols);
	for (int64_t i = 0; i < rows; i++)
		for (int64_t j = 0; j < cols; j++)
			s->c[(batch * channels + r0 + i) * s->n + c0 + j] += block[i * ld + j];
}

static bool run(struct gemm g, int isa, int threads, const float *a, const float *b, float *c)
{
	struct pool *pool = pool_create(threads);
	gemm_plan(&g, isa, threads);
	int64_t bytes = sparse_plan(&g, threads);
	cr_assert(bytes > 0);
	char *work = malloc((size_t)bytes + 64);
	memset(work + bytes, 0x5a, 64);
	struct seen s = { c, g.n, 0 };
	memset(c, g.keep ? 0xff : 0, (size_t)(g.m * g.n) * sizeof *c);
	bool done = sparse_run(&g, isa, pool, a, b, c, work, g.keep ? NULL : note, &s);
	for (int i = 0; i < 64; i++)
		cr_assert_eq(work[bytes + i], 0x5a, "the workspace is longer than planned");
	free(work);
	pool_destroy(pool);
	return done;
}

static void check(size_t which, int isa)
{
	struct gemm g = {
		.batch = 1, .m = shapes[which].m, .n = shapes[which].n, .k = shapes[which].k, .tb = 1, .keep = 1
	};
	float *a = malloc((size_t)(g.m * g.k) * sizeof *a), *b = weights(g.n, g.k, shapes[which].per_mille, g.m >= 96);
	float *c = malloc((size_t)(g.m * g.n) * sizeof *c), *other = malloc((size_t)(g.m * g.n) * sizeof *c);
	for (int64_t i = 0; i < g.m * g.k; i++)
		a[i] = (float)rand() / (float)RAND_MAX - 0.5f;
	cr_assert(run(g, isa, 1, a, b, c), "shape %zu was not taken", which);
	for (int64_t i = 0; i < g.m * g.n; i++) {
		double sum = 0, size = 0;
		for (int64_t k = 0; k < g.k; k++) {
			double p = (double)a[i / g.n * g.k + k] * (double)b[i % g.n * g.k + k];
			sum += p;
			size += fabs(p);
		}
		cr_assert(fabs(sum - (double)c[i]) <= 1e-6 * size, "shape %zu, %s: element %lld is %g, not %g", which,
		          isa_name(isa), (long long)i, (double)c[i], sum);
	}
	g.keep = 0;
	for (int threads = 1; threads < 4; threads++) {
		cr_assert(run(g, isa, threads, a, b, other));
		cr_assert(!memcmp(c, other, (size_t)(g.m * g.n) * sizeof *c), "shape %zu, %s: other bits on %d threads", which,
		          isa_name(isa), threads);
	}
	free(a);
	free(b);
	free(c);
	free(other);
}

Test(sparse, equals_sums_in_double)
{
	for (int isa = ISA_PLAIN; isa <= isa_best(); isa++)
		for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
			check(i, isa);
}

Test(sparse, what_is_not_sparse_is_left_alone)
{
	struct gemm g = { .batch = 1, .m = 128, .n = 64, .k = 512, .tb = 1, .keep = 1 };
	float *a = calloc((size_t)(g.m * g.k), sizeof *a), *c = malloc((size_t)(g.m * g.n) * sizeof *c);
	float *b = weights(g.n, g.k, 500, false), *rows = calloc((size_t)(g.n * g.k), sizeof *rows);
	cr_expect(!run(g, isa_best(), 2, a, b, c), "half of it");
	for (int64_t i = 0; i < 7 * g.k; i++) /* few in all, but more than the first part may have */
		rows[i] = 1;
	cr_expect(!run(g, isa_best(), 2, a, rows, c), "seven whole rows");
	struct gemm few = { .batch = 1, .m = 4, .n = 64, .k = 512, .tb = 1 },
				plain = { .batch = 1, .m = 32, .n = 64, .k = 512 };
	cr_expect_eq(sparse_plan(&few, 1), 0, "looking at the weights would cost as much as the product");
	cr_expect_eq(sparse_plan(&plain, 1), 0, "weights stored the other way");
	free(a);
	free(b);
	free(c);
	free(rows);
}

/* --- convolutions ------------------------------------------------------------------------------ */
static const struct conv images[] = {
	{ .N = 3,
	  .C = 5,
	  .H = 9,
	  .W = 13,
	  .O = 11,
	  .kh = 3,
	  .kw = 3,
	  .G = 1,
	  .sh = 1,
	  .sw = 1,
	  .ph = 1,
	  .pw = 1,
	  .dh = 1,
	  .dw = 1 },
	{ .N = 2,
	  .C = 16,
	  .H = 28,
	  .W = 28,
	  .O = 16,
	  .kh = 5,
	  .kw = 5,
	  .G = 1,
	  .sh = 1,
	  .sw = 1,
	  .ph = 2,
	  .pw = 2,
	  .dh = 1,
	  .dw = 1 },
	{ .N = 2,
	  .C = 16,
	  .H = 12,
	  .W = 7,
	  .O = 12,
	  .kh = 3,
	  .kw = 2,
	  .G = 4,
	  .sh = 2,
	  .sw = 1,
	  .ph = 1,
	  .pw = 0,
	  .dh = 1,
	  .dw = 2 },
	{ .N = 4,
	  .C = 32,
	  .H = 6,
	  .W = 6,
	  .O = 8,
	  .kh = 1,
	  .kw = 1,
	  .G = 1,
	  .sh = 2,
	  .sw = 3,
	  .ph = 0,
	  .pw = 0,
	  .dh = 1,
	  .dw = 1 },
	{ .N = 1,
	  .C = 12,
	  .H = 17,
	  .W = 15,
	  .O = 12,
	  .kh = 3,
	  .kw = 3,
	  .G = 3,
	  .sh = 1,
	  .sw = 1,
	  .ph = 4,
	  .pw = 3,
	  .dh = 3,
	  .dw = 2 },
};

static int64_t places(int64_t in, int64_t k, int64_t s, int64_t p, int64_t d)
{
	return (in + 2 * p - d * (k - 1) - 1) / s + 1;
}

static double convolved(const struct conv *v, const float *x, const float *w, int64_t i, double *size)
{
	int64_t n = i / (v->O * v->Ho * v->Wo), o = i / (v->Ho * v->Wo) % v->O, y = i / v->Wo % v->Ho, z = i % v->Wo;
	double sum = 0;
	for (int64_t c = 0; c < v->Cg; c++)
		for (int64_t a = 0; a < v->kh; a++)
			for (int64_t b = 0; b < v->kw; b++) {
				int64_t r = y * v->sh - v->ph + a * v->dh, q = z * v->sw - v->pw + b * v->dw;
				if (r < 0 || r >= v->H || q < 0 || q >= v->W)
					continue;
				double p = (double)x[((n * v->C + o / v->Og * v->Cg + c) * v->H + r) * v->W + q] *
				           (double)w[((o * v->Cg + c) * v->kh + a) * v->kw + b];
				sum += p;
				*size += fabs(p);
			}
	return sum;
}

static bool convolve(const struct conv *v, int isa, int threads, const float *x, const float *w, float *y)
{
	struct pool *pool = pool_create(threads);
	int64_t bytes = sparse_conv_plan(v, isa, threads), count = v->N * v->O * v->Ho * v->Wo;
	cr_assert(bytes > 0);
	char *work = malloc((size_t)bytes + 64);
	memset(work + bytes, 0x5a, 64);
	struct seen s = { y, v->Ho * v->Wo, 0 };
	channels = v->O;
	memset(y, v->keep ? 0xff : 0, (size_t)count * sizeof *y);
	bool done = sparse_conv_run(v, isa, pool, x, w, y, work, v->keep ? NULL : note_plane, &s);
	for (int i = 0; i < 64; i++)
		cr_assert_eq(work[bytes + i], 0x5a, "the workspace is longer than planned");
	free(work);
	pool_destroy(pool);
	return done;
}

static void check_images(size_t which, int isa)
{
	struct conv v = images[which];
	v.Cg = v.C / v.G, v.Og = v.O / v.G, v.keep = 1;
	v.Ho = places(v.H, v.kh, v.sh, v.ph, v.dh), v.Wo = places(v.W, v.kw, v.sw, v.pw, v.dw);
	v.result_rows = v.O, v.result_cols = v.Ho * v.Wo;
	int64_t count = v.N * v.O * v.Ho * v.Wo, n_x = v.N * v.C * v.H * v.W;
	float *x = malloc((size_t)n_x * sizeof *x), *w = weights(v.O, v.Cg * v.kh * v.kw, 120, false);
	float *y = malloc((size_t)count * sizeof *y), *other = malloc((size_t)count * sizeof *y);
	for (int64_t i = 0; i < n_x; i++)
		x[i] = (float)rand() / (float)RAND_MAX - 0.5f;
	cr_assert(convolve(&v, isa, 1, x, w, y), "images %zu were not taken", which);
	for (int64_t i = 0; i < count; i++) {
		double size = 0, sum = convolved(&v, x, w, i, &size);
		cr_assert(fabs(sum - (double)y[i]) <= 1e-6 * size, "images %zu, %s: element %lld is %g, not %g", which,
		          isa_name(isa), (long long)i, (double)y[i], sum);
	}
	v.keep = 0;
	for (int threads = 1; threads < 4; threads++) {
		cr_assert(convolve(&v, isa, threads, x, w, other));
		cr_assert(!memcmp(y, other, (size_t)count * sizeof *y), "images %zu, %s: other bits on %d threads", which,
		          isa_name(isa), threads);
	}
	free(x);
	free(w);
	free(y);
	free(other);
}

Test(sparse, convolutions_equal_sums_in_double)
{
	for (int isa = ISA_PLAIN; isa <= isa_best(); isa++)
		for (size_t i = 0; i < sizeof images / sizeof *images; i++)
			check_images(i, isa);
}
