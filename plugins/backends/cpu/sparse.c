/* SPDX-License-Identifier: MIT
 *
 * sparse.c: A B' where most of B is zero, as a pruned layer's weights in evaluation. Whether it
 * is can change between two runs of a program (a network is trained, pruned, trained on), so it
 * is looked at in each run: a thousand entries first, which a dense B ends after a few, then all
 * of them, which writes down those that are not zero; half a percent of the products' time.
 *
 * most() is the largest share of non-zeros for which this is done. On the machine of
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
#define PARTS   16 /* B is written down in so many parts at once, each with its share of the room */

struct sparse {
	const struct gemm *g;
	const struct sparse_isa *isa;
	const float *a, *b;
	float *c, *value, *own;
	int32_t *begin, *end, *place;
	int64_t room, own_floats; /* of a part; of a thread */
	int full[PARTS];          /* a part had more than its share */
	gemm_done *done;
	void *ctx;
};

/* One entry of so many may be other than zero. */
static int64_t most(const struct gemm *g) { return g->m < 96 ? 64 : 8; }

static int64_t up(int64_t n) { return (n + 15) / 16 * 16; }

static int64_t room_of(const struct gemm *g) { return up((g->n + PARTS - 1) / PARTS * g->k / most(g) + 1 + RUN); }

int64_t sparse_plan(const struct gemm *g, int threads)
{
	if (!g->tb || g->ta || g->batch != 1 || g->m < 8 || g->n < PARTS || g->n * g->k < 1 << 14 ||
	    g->n * g->k > INT32_MAX / 4)
		return 0;
	return 4 * (2 * up(g->n) + 2 * PARTS * room_of(g) + threads * up(g->isa->nr * (g->k + g->n)) + 64);
}

static bool looks_sparse(const struct gemm *g, const float *b)
{
	int64_t count = g->n * g->k, may = SAMPLES / most(g);
	int64_t step = count / SAMPLES | 1, nonzero = 0;

	for (int64_t i = 0; i < count && nonzero <= may; i += step)
		nonzero += b[i] != 0;
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
	struct sparse *s = arg;
	int64_t k = s->g->k, at = i * s->room, last = at + s->room - RUN;

	s->full[i] = 0;
	for (int64_t o = s->g->n * i / PARTS; o < s->g->n * (i + 1) / PARTS; o++) {
		const float *row = s->b + o * k;
		s->begin[o] = (int32_t)at;
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
				s->full[i] = 1;
				return;
			}
			at = write_run(row + x, n, x, s->place, s->value, at);
		}
		s->end[o] = (int32_t)at;
	}
}

/* Rows of C, two vectors of them at a time. */
static void run_rows(void *arg, int i)
{
	const struct sparse *s = arg;
	const struct gemm *g = s->g;
	int64_t w = g->isa->nr, r0 = i * w, rows = g->m - r0 < w ? g->m - r0 : w;
	float *at = s->own + pool_self() * s->own_floats, *c = s->c ? s->c + r0 * g->n : at + w * g->k;

	g->isa->pack_transposed(rows, g->k, s->a + r0 * g->k, g->k, at, w);
	s->isa->product(rows, g->n, s->begin, s->end, s->place, s->value, at, c, g->n);
	if (s->done)
		s->done(s->ctx, i, 0, r0, rows, 0, g->n, c, g->n);
}

bool sparse_run(const struct gemm *g, int isa, struct pool *pool, const float *a, const float *b, float *c,
                void *workspace, gemm_done *done, void *ctx)
{
	static const struct sparse_isa *const isas[] = { &sparse_plain, &sparse_avx2, &sparse_avx512 };
	struct sparse s = { .g = g, .isa = isas[isa], .a = a, .b = b, .c = g->keep ? c : NULL, .done = done, .ctx = ctx };

	if (!looks_sparse(g, b))
		return false;
	s.room = room_of(g);
	s.begin = workspace;
	s.end = s.begin + up(g->n);
	s.place = s.end + up(g->n);
	s.value = (float *)(void *)(s.place + PARTS * s.room);
	s.own = s.value + PARTS * s.room;
	s.own_floats = up(g->isa->nr * (g->k + g->n));
	pool_run(pool, PARTS, write_part, &s);
	for (int i = 0; i < PARTS; i++)
		if (s.full[i])
			return false;
	pool_run(pool, (int)((g->m + g->isa->nr - 1) / g->isa->nr), run_rows, &s);
	return true;
}
