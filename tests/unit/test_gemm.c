/* SPDX-License-Identifier: MIT
 *
 * Matrix products of every instruction set this machine has, held to sums in double, over
 * shapes that reach each way through B and every tile edge; and the same bits whatever the
 * number of threads and whether C has memory or only the callback sees it.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fast.h"

static const struct {
	int64_t batch, m, n, k;
	int ta, tb, share_a, share_b;
} shapes[] = {
	{ 1, 1, 1, 1, 0, 0, 0, 0 },      { 1, 10, 500, 300, 0, 1, 0, 0 },  { 1, 10, 300, 500, 0, 0, 0, 0 },
	{ 1, 50, 37, 10, 1, 0, 0, 0 },   { 1, 100, 33, 1536, 0, 1, 0, 0 }, { 1, 40, 600, 7, 1, 0, 0, 0 },
	{ 1, 29, 31, 256, 0, 0, 0, 0 },  { 1, 200, 65, 40, 0, 1, 0, 0 },   { 1, 33, 17, 65, 1, 1, 0, 0 },
	{ 3, 15, 47, 19, 0, 0, 0, 0 },   { 3, 15, 40, 35, 0, 1, 1, 0 },    { 4, 20, 9, 35, 1, 0, 0, 1 },
	{ 2, 200, 300, 64, 0, 0, 0, 1 }, { 1, 3, 5, 2, 0, 1, 0, 0 },       { 1, 120, 256, 120, 0, 0, 0, 0 },
	{ 2, 64, 16, 300, 1, 1, 0, 0 },  { 1, 20, 300, 7100, 0, 1, 0, 0 },
};

static float *floats(int64_t n)
{
	float *p = malloc((size_t)n * sizeof *p);
	for (int64_t i = 0; i < n; i++)
		p[i] = (float)rand() / (float)RAND_MAX - 0.5f;
	return p;
}

struct seen {
	float *c;
	int64_t m, n;
};
static void note(void *ctx, int64_t piece, int64_t batch, int64_t r0, int64_t rows, int64_t c0, int64_t cols,
                 float *block, int64_t ld)
{
	struct seen *s = ctx;
	cr_assert_geq(piece, 0);
	for (int64_t i = 0; i < rows; i++)
		for (int64_t j = 0; j < cols; j++)
			s->c[(batch * s->m + r0 + i) * s->n + c0 + j] += block[i * ld + j];
}

static void run(struct gemm g, int isa, int threads, const float *a, const float *b, float *c)
{
	struct pool *pool = pool_create(threads);
	int64_t bytes = gemm_plan(&g, isa, threads), count = g.batch * g.m * g.n;
	char *work = malloc((size_t)bytes + 64);
	memset(work + bytes, 0x5a, 64);
	struct seen s = { c, g.m, g.n };
	memset(c, g.keep ? 0xff : 0, (size_t)count * sizeof *c);
	gemm_run(&g, pool, a, b, g.keep ? c : NULL, work, g.keep ? NULL : note, &s);
	for (int i = 0; i < 64; i++)
		cr_assert_eq(work[bytes + i], 0x5a, "the workspace is longer than planned");
	free(work);
	pool_destroy(pool);
}

static void check(size_t which, int isa)
{
	struct gemm g = { .batch = shapes[which].batch,
		              .m = shapes[which].m,
		              .n = shapes[which].n,
		              .k = shapes[which].k,
		              .ta = shapes[which].ta,
		              .tb = shapes[which].tb,
		              .keep = 1 };
	g.step_a = shapes[which].share_a ? 0 : g.m * g.k;
	g.step_b = shapes[which].share_b ? 0 : g.k * g.n;
	int64_t count = g.batch * g.m * g.n;
	float *a = floats(g.batch * g.m * g.k), *b = floats(g.batch * g.k * g.n);
	float *c = floats(count), *other = floats(count);
	run(g, isa, 1, a, b, c);
	for (int64_t i = 0; i < count; i++) {
		int64_t batch = i / (g.m * g.n), m = i / g.n % g.m, n = i % g.n;
		double sum = 0, size = 0;
		for (int64_t k = 0; k < g.k; k++) {
			double p = (double)a[batch * g.step_a + (g.ta ? k * g.m + m : m * g.k + k)] *
			           (double)b[batch * g.step_b + (g.tb ? n * g.k + k : k * g.n + n)];
			sum += p;
			size += fabs(p);
		}
		/* a chain of k roundings: k eps/2 sum|p| at the very worst, a small share of it in fact */
		cr_assert_leq(fabs(sum - (double)c[i]), size * 1.2e-7 * (1 + sqrt((double)g.k)),
		              "%s shape %zu element %ld: %g, not %g", isa_name(isa), which, (long)i, (double)c[i], sum);
	}
	run(g, isa, 3, a, b, other);
	cr_assert_eq(memcmp(c, other, (size_t)count * sizeof *c), 0, "%s shape %zu: threads change bits", isa_name(isa),
	             which);
	g.keep = 0;
	run(g, isa, 2, a, b, other);
	cr_assert_eq(memcmp(c, other, (size_t)count * sizeof *c), 0, "%s shape %zu: pieces differ", isa_name(isa), which);
	free(a), free(b), free(c), free(other);
}

Test(gemm, every_isa_and_shape)
{
	static const char *const names[] = { "plain", "avx2", "avx512" };
	srand(7);
	for (int i = 0; i < 3; i++)
		for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
			if (isa_named(names[i]) >= 0)
				check(s, isa_named(names[i]));
}

Test(gemm, isa_by_name)
{
	cr_assert_eq(isa_named("auto"), isa_best());
	cr_assert_eq(isa_named("plain"), ISA_PLAIN);
	cr_assert_eq(isa_named("sse9"), -1);
}

struct counts {
	unsigned char seen[10000];
};
static void count(void *ctx, int i) { ((struct counts *)ctx)->seen[i]++; }

Test(pool, every_index_once)
{
	static const int sizes[] = { 0, 1, 2, 3, 7, 1000, 10000 };
	for (int threads = 1; threads <= 5; threads++) {
		struct pool *pool = pool_create(threads);
		cr_assert_eq(pool_threads(pool), threads);
		for (int round = 0; round < 200; round++) {
			static struct counts c;
			int n = sizes[round % 7];
			memset(&c, 0, sizeof c);
			pool_run(pool, n, count, &c);
			for (int i = 0; i < n; i++)
				cr_assert_eq(c.seen[i], 1, "index %d of %d ran %d times", i, n, c.seen[i]);
		}
		pool_destroy(pool);
	}
	pool_destroy(NULL);
}
