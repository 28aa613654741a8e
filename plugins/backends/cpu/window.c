/* SPDX-License-Identifier: MIT
 *
 * window.c: pooling and its derivatives. As in convolution, a plane is split by stride (struct
 * source), so that a tap of all windows of a plane is one run of memory; windows lie W apart and
 * what lies between the rows' ends is dropped.
 */
#include <math.h>
#include <string.h>

#include "conv_box.h"
#include "conv.h"

#define TASK_PLANES   16384 /* elements */
#define PARALLEL_WORK 40000
#define SLICE         4096 /* elements of dx side by side that are finished at a time */

struct job {
	const struct window *v;
	const void *a, *b;
	void *y0, *y1;
	float *table, *own;
	gemm_done *done;
	void *ctx;
};

static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t div_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t round_up(int64_t a, int64_t b) { return div_up(a, b) * b; }

bool window_of(const struct rein_program *p, const struct rein_prog_instr *i, struct window *v)
{
	bool dx = i->op == REIN_OP_MAX_POOL_DX || i->op == REIN_OP_AVG_POOL_DX;
	if (p->real_size != 4 || (!dx && i->op != REIN_OP_MAX_POOL && i->op != REIN_OP_AVG_POOL))
		return false;
	const struct rein_attr *a = &i->attr;
	const struct rein_prog_value *x = &p->value[dx ? i->out[0] : i->in[0]], *y = &p->value[dx ? i->in[0] : i->out[0]];
	if (x->rank != 4 || x->count >= (int64_t)1 << 31)
		return false;
	*v = (struct window){ .op = i->op, .flags = a->flags, .keep = 1, .channels = x->dim[1] };
	v->in[0] = i->in[0], v->in[1] = i->n_in > 1 ? i->in[1] : -1;
	v->out[0] = i->out[0], v->out[1] = i->n_out > 1 ? i->out[1] : -1;
	v->planes = x->dim[0] * x->dim[1], v->H = x->dim[2], v->W = x->dim[3], v->Ho = y->dim[2], v->Wo = y->dim[3];
	v->kh = a->step[2], v->kw = a->step[3];
	v->dh = a->start[2] ? a->start[2] : 1, v->dw = a->start[3] ? a->start[3] : 1;
	struct source *s = &v->src;
	s->planes = 1, s->in_h = v->H, s->in_w = v->W;
	s->sh = a->step[0], s->sw = a->step[1], s->ph = a->start[0], s->pw = a->start[1];
	int64_t reach_h = (v->kh - 1) * v->dh, reach_w = (v->kw - 1) * v->dw;
	s->nh = min(s->sh, reach_h + 1), s->nw = min(s->sw, reach_w + 1);
	s->H = v->Ho + reach_h / s->sh, s->W = v->Wo + reach_w / s->sw;
	s->fill = i->op == REIN_OP_MAX_POOL ? -INFINITY : 0;
	v->size = round_up((v->Ho - 1) * s->W + v->Wo, 16);
	v->pairs = v->kh == 2 && v->kw == 2 && s->sh == 2 && s->sw == 2 && !s->ph && !s->pw && v->dh == 1 && v->dw == 1;
	return true;
}

int64_t window_plan(struct window *v, int isa, int threads)
{
	v->isa = conv_isa(isa);
	v->box = box_isa(isa);
	int64_t side = v->lanes_x || v->lanes_y ? v->box->vl : 1;
	v->runs = v->planes / side;
	v->per = max(TASK_PLANES / (v->H * v->W * side), 1);
	v->tasks = div_up(v->runs, v->per);
	v->slice = v->Ho;
	v->pieces = v->runs;
	if (side > 1) { /* a small plane to turn, and a slice of dx */
		v->slice = min(max(SLICE / (2 * v->W * side), 1), v->Ho);
		v->pieces = v->runs * div_up(v->Ho, v->slice);
		v->own = round_up((v->Ho * v->Wo + (v->keep ? 0 : 2 * v->slice * v->W)) * side, 16);
		return 4 * (v->size + v->own * threads) + 64;
	}
	v->own = round_up(source_plane(&v->src) + SOURCE_SLACK + 2 * v->size, 16) + (v->keep ? 0 : v->H * v->W);
	v->own = round_up(v->own, 16);
	return 4 * (v->size + v->own * threads) + 64;
}

/* Where tap (i, j) of all windows begins in the source. */
static int64_t tap_at(const struct window *v, int64_t i, int64_t j)
{
	const struct source *s = &v->src;
	int64_t y = i * v->dh, x = j * v->dw;
	return ((y % s->sh * s->nw + x % s->sw) * s->H + y / s->sh) * s->W + x / s->sw;
}

/* Taps of windows at `out` of an axis that lie inside. */
static int64_t inside(int64_t out, int64_t k, int64_t s, int64_t p, int64_t d, int64_t in)
{
	int64_t n = 0;
	for (int64_t i = 0; i < k; i++)
		n += out * s - p + i * d >= 0 && out * s - p + i * d < in;
	return n;
}

/* Per window: place of its first tap (without padding) for max, divisor for avg. */
static void fill_table(const struct job *j)
{
	const struct window *v = j->v;
	const struct source *s = &v->src;
	for (int64_t q = 0; q < v->size; q++) {
		int64_t t = q / s->W, u = q % s->W;
		if (v->op == REIN_OP_MAX_POOL) {
			((int32_t *)j->table)[q] = (int32_t)(t * s->sh * v->W + u * s->sw);
		} else if (v->flags & REIN_COUNT_PAD) {
			j->table[q] = (float)(v->kh * v->kw);
		} else {
			int64_t n = inside(t, v->kh, s->sh, s->ph, v->dh, v->H) * inside(u, v->kw, s->sw, s->pw, v->dw, v->W);
			j->table[q] = n ? (float)n : 1;
		}
	}
}

/* First tap inside of a window without a larger one than -inf. */
static int32_t first_inside(const struct window *v, int64_t t, int64_t u)
{
	const struct source *s = &v->src;
	for (int64_t k = 0; k < v->kh * v->kw; k++) {
		int64_t y = t * s->sh - s->ph + k / v->kw * v->dh, x = u * s->sw - s->pw + k % v->kw * v->dw;
		if (y >= 0 && y < v->H && x >= 0 && x < v->W)
			return (int32_t)(y * v->W + x);
	}
	return -1;
}

/* Largest numbers alone, without their places. */
static void max_only(const struct job *j, int64_t plane, const float *x, float *source)
{
	const struct window *v = j->v;
	const struct source *s = &v->src;
	float *y = source + source_plane(s) + SOURCE_SLACK;
	source_fill(s, v->isa, x, source);
	for (int64_t q = 0; q < v->size; q++)
		y[q] = -INFINITY;
	for (int64_t i = 0; i < v->kh; i++)
		for (int64_t l = 0; l < v->kw; l++)
			v->isa->larger(v->size, source + tap_at(v, i, l), y);
	v->isa->rows(v->Ho, v->Wo, y, s->W, 1, (float *)j->y0 + plane * v->Ho * v->Wo, v->Wo);
}

static void max_pool(const struct job *j, int64_t plane, const float *x, float *source)
{
	const struct window *v = j->v;
	const struct source *s = &v->src;
	if (!j->y1) {
		max_only(j, plane, x, source);
		return;
	}
	float *y = source + source_plane(s) + SOURCE_SLACK;
	int32_t *index = (int32_t *)(y + v->size);
	source_fill(s, v->isa, x, source);
	for (int64_t q = 0; q < v->size; q++) {
		y[q] = -INFINITY;
		index[q] = -1;
	}
	for (int64_t i = 0; i < v->kh; i++)
		for (int64_t l = 0; l < v->kw; l++)
			v->isa->max_tap(v->size, source + tap_at(v, i, l), y, index, (const int32_t *)j->table,
			                (int32_t)((i * v->dh - s->ph) * v->W + l * v->dw - s->pw));
	if (j->y0)
		v->isa->rows(v->Ho, v->Wo, y, s->W, 1, (float *)j->y0 + plane * v->Ho * v->Wo, v->Wo);
	for (int64_t t = 0; t < v->Ho; t++) {
		int32_t *to = (int32_t *)j->y1 + (plane * v->Ho + t) * v->Wo, low = 0;
		for (int64_t u = 0; u < v->Wo; u++) {
			to[u] = index[t * s->W + u];
			low |= to[u];
		}
		for (int64_t u = 0; u < v->Wo && low < 0; u++)
			to[u] = to[u] < 0 ? first_inside(v, t, u) : to[u];
	}
}

static void max_pool_dx(const struct job *j, int64_t plane, float *dx)
{
	const struct window *v = j->v;
	int64_t size = v->H * v->W, n = v->Ho * v->Wo;
	const float *g = (const float *)j->a + plane * n;
	const int32_t *index = (const int32_t *)j->b + plane * n;
	memset(dx, 0, (size_t)size * sizeof *dx);
	for (int64_t q = 0; q < n; q++)
		if (index[q] >= 0 && index[q] < size)
			dx[index[q]] += g[q];
}

static void avg_pool(const struct job *j, int64_t plane, const float *x, float *source)
{
	const struct window *v = j->v;
	const struct source *s = &v->src;
	float *y = source + source_plane(s) + SOURCE_SLACK;
	if (v->pairs) {
		v->isa->average2(v->Ho, v->Wo, x, v->W, (float *)j->y0 + plane * v->Ho * v->Wo);
		return;
	}
	source_fill(s, v->isa, x, source);
	memset(y, 0, (size_t)v->size * sizeof *y);
	for (int64_t i = 0; i < v->kh; i++)
		for (int64_t l = 0; l < v->kw; l++)
			v->isa->add(v->size, source + tap_at(v, i, l), y);
	v->isa->divide(v->size, y, j->table, y);
	v->isa->rows(v->Ho, v->Wo, y, s->W, 1, (float *)j->y0 + plane * v->Ho * v->Wo, v->Wo);
}

/* Shares are added to the slots where the taps read; then the slots become rows again. */
static void avg_pool_dx(const struct job *j, int64_t plane, float *dx, float *source)
{
	const struct window *v = j->v;
	const struct source *s = &v->src;
	if (v->pairs) {
		if (v->H % 2 || v->W % 2)
			memset(dx, 0, (size_t)(v->H * v->W) * sizeof *dx);
		v->isa->share2(v->Ho, v->Wo, (const float *)j->a + plane * v->Ho * v->Wo, dx, v->W);
		return;
	}
	float *share = source + source_plane(s) + SOURCE_SLACK;
	memset(source, 0, (size_t)(source_plane(s) + SOURCE_SLACK + v->size) * sizeof *source);
	for (int64_t t = 0; t < v->Ho; t++)
		v->isa->divide(v->Wo, (const float *)j->a + (plane * v->Ho + t) * v->Wo, j->table + t * s->W, share + t * s->W);
	for (int64_t i = 0; i < v->kh; i++)
		for (int64_t l = 0; l < v->kw; l++)
			v->isa->add(v->size, share, source + tap_at(v, i, l));
	if (s->nh < s->sh || s->nw < s->sw || s->H * s->sh - s->ph < v->H || s->W * s->sw - s->pw < v->W)
		memset(dx, 0, (size_t)(v->H * v->W) * sizeof *dx);
	for (int64_t p = 0; p < s->nh; p++)
		for (int64_t q = 0; q < s->nw; q++) {
			int64_t t = p < s->ph ? div_up(s->ph - p, s->sh) : 0, u = q < s->pw ? div_up(s->pw - q, s->sw) : 0;
			int64_t y = t * s->sh + p - s->ph, x = u * s->sw + q - s->pw;
			int64_t rows = min(s->H - t, div_up(v->H - y, s->sh)), cols = min(s->W - u, div_up(v->W - x, s->sw));
			if (rows > 0 && cols > 0)
				v->isa->apart(rows, cols, source + ((p * s->nw + q) * s->H + t) * s->W + u, s->W, dx + y * v->W + x,
				              s->sh * v->W, s->sw);
		}
}

/* Planes of vl images, numbered by group and channel: to lanes or to each image's plane. */
static void lanes_pool(const struct job *j, int64_t plane, const float *x, float *own)
{
	const struct window *v = j->v;
	int64_t n = v->Ho * v->Wo, vl = v->box->vl, image = plane / v->channels * vl * v->channels + plane % v->channels;
	float *y = v->lanes_y ? (float *)j->y0 + plane * n * vl : own;
	v->box->average2(v->Ho, v->Wo, x, y);
	if (!v->lanes_y)
		v->box->turn(n, vl, y, vl, (float *)j->y0 + image * n, v->channels * n, 1);
}

static void lanes_dx(const struct job *j, int64_t plane, float *own)
{
	const struct window *v = j->v;
	int64_t n = v->Ho * v->Wo, vl = v->box->vl, image = plane / v->channels * vl * v->channels + plane % v->channels;
	int64_t row = 2 * v->W * vl, slices = div_up(v->Ho, v->slice);
	const float *g = (const float *)j->a + plane * n * vl;
	if (!v->lanes_x) {
		v->box->gather(vl, n, (const float *)j->a + image * n, v->channels * n, own, NULL);
		g = own;
	}
	for (int64_t s = 0, t = 0; t < v->Ho; s++, t += v->slice) {
		int64_t rows = min(v->slice, v->Ho - t);
		float *dx = v->keep ? (float *)j->y0 + plane * v->Ho * row + t * row : own + n * vl;
		v->box->share2(rows, v->Wo, g + t * v->Wo * vl, dx);
		if (j->done)
			j->done(j->ctx, plane * slices + s, plane / v->channels, plane % v->channels, 1, t * row, rows * row, dx,
			        rows * row);
	}
}

static void pool_plane(const struct job *j, int64_t plane, const float *x)
{
	float *own = j->own + pool_self() * j->v->own;
	if (j->v->lanes_x) {
		lanes_pool(j, plane, x, own);
		return;
	}
	if (j->v->op == REIN_OP_MAX_POOL)
		max_pool(j, plane, x, own);
	else
		avg_pool(j, plane, x, own);
}

static void dx_plane(const struct job *j, int64_t plane)
{
	const struct window *v = j->v;
	int64_t size = v->H * v->W;
	float *own = j->own + pool_self() * v->own, *dx = v->keep ? (float *)j->y0 + plane * size : own + v->own - size;
	if (v->lanes_y) {
		lanes_dx(j, plane, own);
		return;
	}
	if (v->op == REIN_OP_MAX_POOL_DX)
		max_pool_dx(j, plane, dx);
	else
		avg_pool_dx(j, plane, dx, own);
	if (j->done)
		j->done(j->ctx, plane, plane / v->channels, plane % v->channels, 1, 0, size, dx, size);
}

static void run_task(void *arg, int task)
{
	const struct job *j = arg;
	const struct window *v = j->v;
	for (int64_t plane = task * v->per; plane < min((task + 1) * v->per, v->runs); plane++)
		if (v->op == REIN_OP_MAX_POOL || v->op == REIN_OP_AVG_POOL)
			pool_plane(j, plane, (const float *)j->a + plane * v->H * v->W * (v->lanes_x ? v->lanes_x : 1));
		else
			dx_plane(j, plane);
}

static struct job job_of(const struct window *v, void *const *mem, void *workspace)
{
	return (struct job){ .v = v,
		                 .a = mem[v->in[0]],
		                 .b = v->in[1] < 0 ? NULL : mem[v->in[1]],
		                 .y0 = mem[v->out[0]],
		                 .y1 = v->out[1] < 0 ? NULL : mem[v->out[1]],
		                 .table = workspace,
		                 .own = (float *)workspace + v->size };
}

void window_run(const struct window *v, struct pool *pool, void *const *mem, void *workspace, gemm_done *done,
                void *ctx)
{
	struct job j = job_of(v, mem, workspace);
	j.done = done;
	j.ctx = ctx;
	if (v->op != REIN_OP_MAX_POOL_DX)
		fill_table(&j);
	pool_run(v->planes * v->H * v->W < PARALLEL_WORK ? NULL : pool, (int)v->tasks, run_task, &j);
}

void window_begin(const struct window *v, void *const *mem, void *workspace)
{
	struct job j = job_of(v, mem, workspace);
	fill_table(&j);
}

void window_plane(const struct window *v, void *const *mem, void *workspace, int64_t plane, const float *x)
{
	struct job j = job_of(v, mem, workspace);
	pool_plane(&j, plane, x);
}
