/* SPDX-License-Identifier: MIT
 *
 * gather.c: take with batch axes and warp, spread over the threads: what augmentations of images
 * are made of. Same results as naive_index.c's, to the bit: nothing is computed in another
 * order. A further op that only moves pixels is a function here and a case in gather_compile().
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "fast.h"
#include "fuse.h"

#define PIXELS   512  /* of the result, whose places are worked out together */
#define PARALLEL 8192 /* numbers below which one thread does it all */

struct gather {
	const struct rein_host *host;
	int32_t x, index, y; /* values: where from, index or coordinates, result */
	int tasks;
	int64_t work; /* numbers of the result */
	void (*run)(void *ctx, int task);
	const void *x_mem, *index_mem;
	void *y_mem;
	/* take: batch entries of n rows of `bytes`, m of which are taken */
	int64_t batch, n, m, per;
	size_t bytes;
	uint32_t rank;
	int64_t dim[REIN_MAX_RANK], x_step[REIN_MAX_RANK], index_step[REIN_MAX_RANK];
	/* warp: images of c planes h x w, `pixels` places each */
	int64_t c, h, w, pixels;
	bool nearest;
	float fill;
};

/* --- take ----------------------------------------------------------------------------------- */
/* Strides over the first `rank` axes, in units of what lies below them; gives that many. */
static int64_t steps_of(const struct rein_prog_value *v, uint32_t rank, int64_t *step)
{
	int64_t s = 1, below = 1;
	for (uint32_t a = rank; a < v->rank; a++)
		below *= v->dim[a];
	for (uint32_t a = rank; a-- > 0; s *= v->dim[a])
		step[a] = v->dim[a] == 1 ? 0 : s;
	return below;
}

static int64_t offset(const struct gather *g, int64_t b, const int64_t *step)
{
	int64_t at = 0;
	for (uint32_t a = g->rank; a-- > 0; b /= g->dim[a])
		at += b % g->dim[a] * step[a];
	return at;
}

static void take_entry(const struct gather *g, int64_t b)
{
	const char *from = (const char *)g->x_mem + (size_t)(offset(g, b, g->x_step) * g->n) * g->bytes;
	const int32_t *index = (const int32_t *)g->index_mem + offset(g, b, g->index_step) * g->m;
	char *to = (char *)g->y_mem + (size_t)(b * g->m) * g->bytes;
	if (g->bytes == sizeof(uint32_t)) {
		const uint32_t *words = (const uint32_t *)(const void *)from;
		uint32_t *out = (uint32_t *)(void *)to;
		for (int64_t j = 0; j < g->m; j++)
			out[j] = index[j] >= 0 && index[j] < g->n ? words[index[j]] : 0;
		return;
	}
	for (int64_t j = 0; j < g->m; j++, to += g->bytes) {
		if (index[j] < 0 || index[j] >= g->n)
			memset(to, 0, g->bytes);
		else
			memcpy(to, from + (size_t)index[j] * g->bytes, g->bytes);
	}
}

static void take_task(void *ctx, int task)
{
	const struct gather *g = ctx;
	int64_t end = (task + 1) * g->per < g->batch ? (task + 1) * g->per : g->batch;
	for (int64_t b = task * g->per; b < end; b++)
		take_entry(g, b);
}

static size_t size_of_dtype(uint32_t dtype)
{
	return dtype == REIN_WIDE_T ? 8 : dtype == REIN_U8_T || dtype == REIN_BOOL_T ? 1 : 4;
}

static bool take_of(const struct rein_program *p, const struct rein_prog_instr *i, struct gather *g)
{
	const struct rein_prog_value *x = &p->value[i->in[0]], *index = &p->value[i->in[1]], *y = &p->value[i->out[0]];
	if (i->attr.batch == 0)
		return false;
	g->batch = 1;
	g->rank = i->attr.batch;
	for (uint32_t a = 0; a < g->rank; a++) {
		g->dim[a] = y->dim[a];
		g->batch *= y->dim[a];
	}
	int64_t below = steps_of(x, g->rank, g->x_step);
	g->m = steps_of(index, g->rank, g->index_step);
	g->n = x->dim[g->rank];
	g->bytes = (size_t)(below / g->n) * size_of_dtype(x->dtype);
	g->work = y->count;
	g->per = (g->batch + 255) / 256;
	g->tasks = (int)((g->batch + g->per - 1) / g->per);
	g->run = take_task;
	return true;
}

/* --- warp ------------------------------------------------------------------------------------ */
/* Nearest pixels: at[q] is the place in a plane, or -1. Adding and taking away 1.5 2^23 rounds
 * halves to even. */
static void nearest_places(const struct gather *g, const float *xy, int64_t n, int32_t *at)
{
	const float round = 12582912.0F, w = (float)g->w, h = (float)g->h;
	const int32_t columns = (int32_t)g->w, rows = (int32_t)g->h;
	for (int64_t q = 0; q < n; q++) {
		float u = xy[2 * q], v = xy[2 * q + 1];
		int near = (u > -1) & (u < w) & (v > -1) & (v < h); /* not for NaN */
		int32_t iu = (int32_t)((near ? u : 0) + round - round), iv = (int32_t)((near ? v : 0) + round - round);
		at[q] = (near & (iu >= 0) & (iu < columns) & (iv >= 0) & (iv < rows)) ? iv * columns + iu : -1;
	}
}

static void nearest_image(const struct gather *g, const float *x, const float *xy, float *y)
{
	int32_t at[PIXELS];
	for (int64_t first = 0; first < g->pixels; first += PIXELS) {
		int64_t n = g->pixels - first < PIXELS ? g->pixels - first : PIXELS;
		nearest_places(g, xy + 2 * first, n, at);
		for (int64_t c = 0; c < g->c; c++) {
			const float *plane = x + c * g->h * g->w;
			float *to = y + c * g->pixels + first;
			for (int64_t q = 0; q < n; q++)
				to[q] = at[q] < 0 ? g->fill : plane[at[q]];
		}
	}
}

/* Lower tap and its neighbour's weight along an axis of n; what is not near the image lies outside. */
static void corner(float v, int64_t n, int64_t *low, double *weight)
{
	double f = floor((double)v);
	*low = f >= -1 && f <= (double)n ? (int64_t)f : -2;
	*weight = (double)v - f;
}

static void bilinear_image(const struct gather *g, const float *x, const float *xy, float *y)
{
	const double fill = (double)g->fill;
	for (int64_t q = 0; q < g->pixels; q++) {
		int64_t iu, iv;
		double wu, wv;
		corner(xy[2 * q], g->w, &iu, &wu);
		corner(xy[2 * q + 1], g->h, &iv, &wv);
		bool left = iu >= 0 && iu < g->w, right = iu >= -1 && iu + 1 < g->w;
		bool top = iv >= 0 && iv < g->h, low = iv >= -1 && iv + 1 < g->h;
		int64_t at = iv * g->w + iu;
		for (int64_t c = 0; c < g->c; c++) {
			const float *plane = x + c * g->h * g->w;
			double a = left && top ? (double)plane[at] : fill, b = right && top ? (double)plane[at + 1] : fill;
			double d = left && low ? (double)plane[at + g->w] : fill;
			double e = right && low ? (double)plane[at + g->w + 1] : fill;
			y[c * g->pixels + q] = (float)(((1 - wu) * a + wu * b) * (1 - wv) + ((1 - wu) * d + wu * e) * wv);
		}
	}
}

static void warp_task(void *ctx, int image)
{
	const struct gather *g = ctx;
	const float *x = (const float *)g->x_mem + image * g->c * g->h * g->w;
	const float *xy = (const float *)g->index_mem + image * g->pixels * 2;
	float *y = (float *)g->y_mem + image * g->c * g->pixels;
	if (g->nearest)
		nearest_image(g, x, xy, y);
	else
		bilinear_image(g, x, xy, y);
}

static bool warp_of(const struct rein_program *p, const struct rein_prog_instr *i, struct gather *g)
{
	const struct rein_prog_value *x = &p->value[i->in[0]], *y = &p->value[i->out[0]];
	g->c = x->dim[1];
	g->h = x->dim[2];
	g->w = x->dim[3];
	g->pixels = y->dim[2] * y->dim[3];
	g->nearest = i->attr.mode == REIN_NEAREST;
	g->fill = (float)i->attr.par[0];
	g->work = y->count;
	g->tasks = (int)x->dim[0];
	g->run = warp_task;
	/* places fit into 32 bits; a fill that float rounds is the reference's business */
	return g->h < 1 << 15 && g->w < 1 << 15 && (g->nearest || (double)g->fill == i->attr.par[0]);
}

/* --- kernels ------------------------------------------------------------------------------------ */
static rein_status run(struct rein_exec *e, struct kernel *k)
{
	struct gather *g = k->data;
	g->x_mem = e->mem[g->x];
	g->index_mem = e->mem[g->index];
	g->y_mem = e->mem[g->y];
	pool_run(g->work < PARALLEL ? NULL : e->cpu->pool, g->tasks, g->run, g);
	return REIN_OK;
}

static void destroy(struct kernel *k)
{
	struct gather *g = k->data;
	g->host->free(g->host, g);
}

int gather_compile(struct rein_exec *e, int32_t n, const int32_t *instr, struct kernel *out)
{
	const struct rein_program *p = e->program;
	const struct rein_prog_instr *i = &p->instr[instr[0]];
	const struct rein_host *host = e->cpu->host;
	struct gather g = { .host = host };
	if (n != 1 || p->real_size != 4 || (i->op != REIN_OP_TAKE && i->op != REIN_OP_WARP))
		return 0;
	g.x = i->in[0];
	g.index = i->in[1];
	g.y = i->out[0];
	if (i->op == REIN_OP_TAKE ? !take_of(p, i, &g) : !warp_of(p, i, &g))
		return 0;
	*out = (struct kernel){ .run = run, .destroy = destroy, .data = host->alloc(host, sizeof g), .first = instr[0] };
	if (!out->data)
		return REIN_ERROR;
	memcpy(out->data, &g, sizeof g);
	snprintf(out->explain, sizeof out->explain, i->op == REIN_OP_TAKE ? "take, entries over threads" : "warp");
	return 1;
}
