/* SPDX-License-Identifier: MIT
 *
 * sparse_conv.c: convolutions with weights that are nearly all zero: as conv.c convolves, a weight
 * is one number times one run of the source's memory, and only those that are not zero are taken.
 * One image is one task, its planes are finished one by one.
 *
 * Done where at most a quarter of the weights is not zero. On the machine of docs/benchmarks.md, one
 * thread, against the dense ways: 16 to 32 channels of 14 x 14, 3 x 3 windows, 6.3 times as fast with
 * 2 % of the weights, 4.3 with 7 %, 1.8 with 24 %; 64 to 192 of 27 x 27, 5 x 5, 13 times, 5.0 and 1.7.
 */
#include <string.h>

#include "conv_part.h"
#include "sparse.h"

struct sparse_conv {
	struct entries entries;
	struct conv v; /* planned as CONV_TAPS: its source */
	const struct sparse_isa *isa;
	const float *a;
	float *c, *own;
	int64_t own_floats, tile;
	gemm_done *done;
	void *ctx;
};

static void sparse_conv_init(struct sparse_conv *s, const struct conv *v, int isa)
{
	s->v = *v;
	s->v.way = CONV_TAPS;
	conv_plan(&s->v, isa, 1);
	s->isa = sparse_isa(isa);
	s->entries = (struct entries){ .n = v->O, .k = v->Cg * v->kh * v->kw, .most = 4 };
	s->tile = round_up(v->Ho * s->v.src.W, 16) + SOURCE_SLACK;
	s->own_floats =
		round_up(v->C * source_plane(&s->v.src) + SOURCE_SLACK + s->tile + (v->keep ? 0 : v->Ho * v->Wo), 16);
}

int64_t sparse_conv_plan(const struct conv *v, int isa, int threads)
{
	struct sparse_conv s;

	if (v->pass != CONV_FORWARD || v->lanes_a || v->lanes_c || v->O < ENTRY_PARTS / 2 ||
	    v->O * v->Cg * v->kh * v->kw < 256)
		return 0;
	sparse_conv_init(&s, v, isa);
	return 4 * (entries_floats(&s.entries) + threads * s.own_floats + 64);
}

/* Places along the terms (channel, tap) of a group become offsets from its first plane. */
static void offsets(struct sparse_conv *s)
{
	const struct conv *v = &s->v;
	const struct source *src = &v->src;
	struct entries *t = &s->entries;

	for (int64_t o = 0; o < t->n; o++)
		for (int32_t e = t->begin[o]; e < t->end[o]; e++) {
			int64_t term = t->place[e], tap = term % (v->kh * v->kw), c = term / (v->kh * v->kw);
			int64_t y = tap / v->kw * v->dh, x = tap % v->kw * v->dw;
			t->place[e] = (int32_t)(((c * src->nh + y % v->sh) * src->nw + x % v->sw) * src->H * src->W +
			                        y / v->sh * src->W + x / v->sw);
		}
}

static void run_image(void *arg, int image)
{
	const struct sparse_conv *s = arg;
	const struct conv *v = &s->v;
	const struct entries *t = &s->entries;
	float *source = s->own + pool_self() * s->own_floats;
	float *tile = source + v->C * source_plane(&v->src) + SOURCE_SLACK, *block = tile + s->tile;
	int64_t plane = v->Ho * v->Wo, places = (v->Ho - 1) * v->src.W + v->Wo;

	source_fill(&v->src, v->isa, s->a + image * v->C * v->H * v->W, source);
	for (int64_t o = 0; o < v->O; o++) {
		const float *base = source + o / v->Og * v->Cg * source_plane(&v->src);
		float *out = s->c ? s->c + (image * v->O + o) * plane : block;
		s->isa->runs(t->end[o] - t->begin[o], t->place + t->begin[o], t->value + t->begin[o], base, places, tile);
		v->isa->apart(v->Ho, v->Wo, tile, v->src.W, out, v->Wo, 1);
		if (s->done)
			s->done(s->ctx, image * v->O + o, image, o, 1, 0, plane, out, plane);
	}
}

bool sparse_conv_run(const struct conv *v, int isa, struct pool *pool, const float *a, const float *b, float *c,
                     void *workspace, gemm_done *done, void *ctx)
{
	struct sparse_conv s = { .a = a, .c = v->keep ? c : NULL, .done = done, .ctx = ctx };

	sparse_conv_init(&s, v, isa);
	if (!entries_write(&s.entries, pool, b, workspace))
		return false;
	offsets(&s);
	s.own = (float *)workspace + entries_floats(&s.entries);
	pool_run(pool, (int)v->N, run_image, &s);
	return true;
}
