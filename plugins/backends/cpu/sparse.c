/* SPDX-License-Identifier: MIT
 *
 * sparse.c: weights of which most are zero, as a pruned layer's in evaluation, and A B' with them.
 * Whether they are can change between two runs of a program (a network is trained, pruned, trained
 * on), so it is looked at in each run: a thousand entries first, which dense weights end after a
 * few, then all of them, which writes down those that are not zero.
 *
 * `most` is the largest share of non-zeros for which this is done. On the machine of
 * docs/benchmarks.md, one thread, 100 rows by 300 x 1568 weights: 4.1 times as fast as the dense
 * product with .2 % of them, 2.9 with 1 %, 1.3 with 5 %, 1.1 with 12 %; 1000 rows 7.3 to 2.7
 * times; but 32 rows by 4096 x 4096 2.7 times with .2 %, 1.4 with 1 % and slower from 2 %, since
 * looking at the weights takes its time whatever the rows. A product with a zero weight is left
 * out: 0 times infinity is 0 here.
 *
 * The same bits for any number of threads: an element is a sum in an order that B alone decides.
 */
#include "sparse.h"

#include <string.h>

#ifndef HAVE_AVX2
#define sparse_avx2 sparse_plain
#endif
#ifndef HAVE_AVX512
#define sparse_avx512 sparse_plain
#endif

#define SAMPLES 1024
#define RUN     16 /* entries looked at together */

const struct sparse_isa *sparse_isa(int isa)
{
	static const struct sparse_isa *const isas[] = { &sparse_plain, &sparse_avx2, &sparse_avx512 };
	return isas[isa];
}

static int64_t up(int64_t n) { return (n + 15) / 16 * 16; }

/* --- entries ------------------------------------------------------------------------------ */
/* Rows are written down in parts at once, each with its share of the room. */
static int64_t room_of(const struct entries *t)
{
	return up((t->n + ENTRY_PARTS - 1) / ENTRY_PARTS * t->k / t->most + 1 + RUN);
}

int64_t entries_floats(const struct entries *t) { return 2 * up(t->n) + 2 * ENTRY_PARTS * room_of(t); }

static bool looks_sparse(const struct entries *t)
{
	int64_t count = t->n * t->k, may = (count < SAMPLES ? count : SAMPLES) / t->most;
	int64_t step = count / SAMPLES | 1, nonzero = 0;

	for (int64_t i = 0; i < count && nonzero <= may; i += step)
		nonzero += t->b[i] != 0;
	return nonzero <= may;
}

/* Entries of x[0..n-1] that are not zero, from `at` on: all are written, those only count. */
static int64_t write_run(const float *x, int64_t n, int64_t first, int32_t *place, float *value, int64_t at)
{
	for (int64_t i = 0; i < n; i++) {
		place[at] = (int32_t)(first + i);
		value[at] = x[i];
		at += x[i] != 0;
	}
	return at;
}

/* Rows of part i: runs of zeros are passed over at once. */
static void write_part(void *arg, int i)
{
	struct entries *t = arg;
	int64_t k = t->k, at = i * room_of(t), last = at + room_of(t) - RUN;

	t->full[i] = 0;
	for (int64_t o = t->n * i / ENTRY_PARTS; o < t->n * (i + 1) / ENTRY_PARTS; o++) {
		const float *row = t->b + o * k;
		t->begin[o] = (int32_t)at;
		for (int64_t x = 0; x < k; x += RUN) {
			uint32_t bits[RUN], any = 0;
			int64_t n = k - x < RUN ? k - x : RUN;
			if (n == RUN) {
				memcpy(bits, row + x, sizeof bits);
				for (int y = 0; y < RUN; y++)
					any |= bits[y];
				if (!any)
					continue;
			}
			if (at > last) {
				t->full[i] = 1;
				return;
			}
			at = write_run(row + x, n, x, t->place, t->value, at);
		}
		t->end[o] = (int32_t)at;
	}
}

bool entries_write(struct entries *t, struct pool *pool, const float *b, float *workspace)
{
	t->b = b;
	if (!looks_sparse(t))
		return false;
	t->begin = (int32_t *)(void *)workspace;
	t->end = t->begin + up(t->n);
	t->place = t->end + up(t->n);
	t->value = (float *)(void *)(t->place + ENTRY_PARTS * room_of(t));
	pool_run(pool, ENTRY_PARTS, write_part, t);
	for (int i = 0; i < ENTRY_PARTS; i++)
		if (t->full[i])
			return false;
	return true;
}

/* --- matrices -------------------------------------------------------------------------------- */
struct sparse {
	struct entries entries;
	const struct gemm *g;
	const struct sparse_isa *isa;
	const float *a;
	float *c, *own;
	int64_t own_floats; /* of a thread */
	gemm_done *done;
	void *ctx;
};

static struct entries entries_of(const struct gemm *g)
{
	return (struct entries){ .n = g->n, .k = g->k, .most = g->m < 96 ? 64 : 8 };
}

int64_t sparse_plan(const struct gemm *g, int threads)
{
	struct entries t = entries_of(g);

	if (!g->tb || g->ta || g->batch != 1 || g->m < 8 || g->n < ENTRY_PARTS || g->n * g->k < 1 << 14 ||
	    g->n * g->k > INT32_MAX / 4)
		return 0;
	return 4 * (entries_floats(&t) + threads * up(g->isa->nr * (g->k + g->n)) + 64);
}

/* Rows of C, two vectors of them at a time. */
static void run_rows(void *arg, int i)
{
	const struct sparse *s = arg;
	const struct entries *t = &s->entries;
	const struct gemm *g = s->g;
	int64_t w = g->isa->nr, r0 = i * w, rows = g->m - r0 < w ? g->m - r0 : w;
	float *at = s->own + pool_self() * s->own_floats, *c = s->c ? s->c + r0 * g->n : at + w * g->k;

	g->isa->pack_transposed(rows, g->k, s->a + r0 * g->k, g->k, at, w);
	s->isa->product(rows, g->n, t->begin, t->end, t->place, t->value, at, c, g->n);
	if (s->done)
		s->done(s->ctx, i, 0, r0, rows, 0, g->n, c, g->n);
}

bool sparse_run(const struct gemm *g, int isa, struct pool *pool, const float *a, const float *b, float *c,
                void *workspace, gemm_done *done, void *ctx)
{
	struct sparse s = { entries_of(g), g, sparse_isa(isa), a, g->keep ? c : NULL, .done = done, .ctx = ctx };

	if (!entries_write(&s.entries, pool, b, workspace))
		return false;
	s.own = (float *)workspace + entries_floats(&s.entries);
	s.own_floats = up(g->isa->nr * (g->k + g->n));
	pool_run(pool, (int)((g->m + g->isa->nr - 1) / g->isa->nr), run_rows, &s);
	return true;
}
