/* SPDX-License-Identifier: MIT
 *
 * conv.c: convolutions as matrix products without an image matrix. A plane is copied once with
 * its padding, split by stride (struct source), rows W apart; then term k = (channel, tap) of all
 * places of a plane is one run of memory at offset off[k], and
 *   y[o, q] = sum_k w[o, k] source[off[k] + q],   q = row W + column,
 * is computed in tiles of rows x 2 vectors; what lies between the rows' ends is dropped.
 *   FORWARD  as above
 *   DX       the same over g: dx's places whose row is r modulo the stride (a "part") are read
 *            by the taps with i dh = r modulo the stride
 *   DW       dw[o, k] = sum_q g[o, q] source[off[k] + q], with g's rows W apart, zeros between;
 *            each task sums its images, then tasks are added in order, in double
 * Every element is one chain of products in ascending k, whatever the block or thread.
 */
#include <string.h>

#include "conv_part.h"

#ifndef HAVE_AVX2
#define conv_avx2 conv_plain
#endif
#ifndef HAVE_AVX512
#define conv_avx512 conv_plain
#endif

#define K_BLOCK       256       /* terms whose weights and rows stay in the first cache */
#define DW_IMAGES     (1 << 15) /* floats of the images of a thread, second cache */
#define DW_PARTIAL    (4 << 20) /* floats of all partial results */
#define DW_PIECE      2048      /* elements of dw finished at a time */
#define PARALLEL_WORK 250000.0  /* products; below, threads cost more than they give */

const struct conv_isa *conv_isa(int isa)
{
	return isa == ISA_AVX512 ? &conv_avx512 : isa == ISA_AVX2 ? &conv_avx2 : &conv_plain;
}

bool conv_of(const struct rein_program *p, const struct rein_prog_instr *i, struct conv *v)
{
	if (i->op != REIN_OP_CONV2D && i->op != REIN_OP_CONV2D_DX && i->op != REIN_OP_CONV2D_DW)
		return false;
	const struct rein_attr *a = &i->attr;
	const struct rein_prog_value *in0 = &p->value[i->in[0]], *in1 = &p->value[i->in[1]], *out = &p->value[i->out[0]];
	bool dx = i->op == REIN_OP_CONV2D_DX, dw = i->op == REIN_OP_CONV2D_DW;
	const struct rein_prog_value *x = dx ? out : in0, *w = dw ? out : in1, *y = dx ? in0 : dw ? in1 : out;
	if (p->real_size != 4 || x->rank != 4 || w->rank != 4)
		return false;
	*v = (struct conv){ .pass = dx ? CONV_DX : dw ? CONV_DW : CONV_FORWARD };
	v->N = x->dim[0], v->C = x->dim[1], v->H = x->dim[2], v->W = x->dim[3];
	v->O = w->dim[0], v->kh = w->dim[2], v->kw = w->dim[3], v->Ho = y->dim[2], v->Wo = y->dim[3];
	v->G = a->batch ? a->batch : 1, v->Cg = v->C / v->G, v->Og = v->O / v->G;
	v->sh = a->step[0], v->sw = a->step[1], v->ph = a->start[0], v->pw = a->start[1];
	v->dh = a->start[2] ? a->start[2] : 1, v->dw = a->start[3] ? a->start[3] : 1;
	v->result_rows = dw ? 1 : out->dim[1];
	v->result_cols = dw ? out->count : out->dim[2] * out->dim[3];
	/* offsets are 32 bits */
	return x->count < (int64_t)1 << 30 && y->count < (int64_t)1 << 30 && v->sh < 64 && v->sw < 64;
}

/* --- plan --------------------------------------------------------------------------------------- */
static void plan_source(struct conv *v)
{
	struct axis h = rows_of(v), w = cols_of(v);
	struct source *s = &v->src;
	if (v->pass == CONV_DX) {
		*s = (struct source){ v->O, v->Ho, v->Wo, 1, 1, 0, 0, 1, 1, 0, 0, 0 };
		dx_source(&h, &s->ph, &s->H);
		dx_source(&w, &s->pw, &s->W);
	} else {
		*s = (struct source){ v->C, v->H, v->W, v->sh, v->sw, v->ph, v->pw, 1, 1, 0, 0, 0 };
		forward_source(&h, &s->nh, &s->H);
		forward_source(&w, &s->nw, &s->W);
	}
}

static int64_t plan_dw(struct conv *v, int threads)
{
	int64_t count = v->O * v->k;
	v->rows = div_up(v->Og, div_up(v->Og, v->isa->md));
	v->blocks = div_up(v->Og, v->rows);
	v->ldc = round_up((v->Ho - 1) * v->src.W + v->Wo, v->isa->vl);
	int64_t image = v->C * source_plane(&v->src) + v->O * v->ldc;
	v->images = min(max(DW_IMAGES / image, 1), v->N);
	v->tasks = min(div_up(v->N, v->images), max(DW_PARTIAL / count, 4));
	v->images = min(v->images, div_up(v->N, v->tasks));
	v->packed = round_up(count, 16) * v->tasks;
	v->own = round_up(max(image * v->images + SOURCE_SLACK, DW_PIECE), 16);
	v->pieces = div_up(count, DW_PIECE);
	return 4 * (v->table + v->packed + v->own * threads) + 64;
}

static void plan_shape(struct conv *v, int isa)
{
	v->isa = conv_isa(isa);
	plan_source(v);
	v->m = v->pass == CONV_DX ? v->Cg : v->Og;
	v->k = (v->pass == CONV_DX ? v->Og : v->Cg) * v->kh * v->kw;
}

bool conv_fits_lanes(const struct conv *u, int isa)
{
	struct conv v = *u;
	plan_shape(&v, isa);
	return box_fits_lanes(&v);
}

int64_t conv_plan(struct conv *v, int isa, int threads)
{
	plan_shape(v, isa);
	v->table = round_up(v->k, 16);
	v->piece = DW_PIECE;
	if (v->way == CONV_ANY)
		v->way = v->lanes_a || v->lanes_b || v->lanes_c ? CONV_LANES : box_way(v);
	if (v->way != CONV_TAPS)
		return box_plan(v, threads);
	if (v->pass == CONV_DW)
		return plan_dw(v, threads);
	v->blocks = div_up(v->m, v->isa->mr);
	v->rows = div_up(v->m, v->blocks);
	v->blocks = div_up(v->m, v->rows);
	v->plane = v->result_cols;
	v->ldc = 0;
	int64_t at = 0;
	for (int64_t i = 0; i < parts_of(v); i++) {
		struct part p = part_at(v, i, &at);
		v->ldc = max(v->ldc, p.th * v->src.W);
	}
	v->ldc = round_up(v->ldc, 2 * v->isa->vl);
	v->packed = round_up(v->G * v->m * v->k, 16);
	v->own = round_up(v->src.planes * source_plane(&v->src) + SOURCE_SLACK + v->rows * v->ldc +
	                      (v->keep ? 0 : v->rows * v->plane),
	                  16);
	v->pieces = v->N * v->G * v->blocks;
	return 4 * (v->table + v->packed + v->own * threads) + 64;
}

/* --- run ---------------------------------------------------------------------------------------- */
/* Along one axis: places from..to of slot p are inside, the first at *at. */
static void within(int64_t length, int64_t in, int64_t step, int64_t shift, int64_t *from, int64_t *to, int64_t *at)
{
	*from = shift < 0 ? min(div_up(-shift, step), length) : 0;
	*to = in > shift ? min(div_up(in - shift, step), length) : 0;
	*at = *from * step + shift;
}

void source_fill(const struct source *s, const struct conv_isa *isa, const float *x, float *out)
{
	int64_t size = s->H * s->W, count = s->planes * s->nh * s->nw * size, t0, t1, u0, u1, row, col;
	if (s->fill == 0)
		memset(out, 0, (size_t)(count + SOURCE_SLACK) * sizeof *out);
	else
		for (int64_t i = 0; i < count + SOURCE_SLACK; i++)
			out[i] = s->fill;
	for (int64_t p = 0; p < s->nh; p++)
		for (int64_t q = 0; q < s->nw; q++) {
			within(s->H, s->in_h, s->sh, p - s->ph, &t0, &t1, &row);
			within(s->W, s->in_w, s->sw, q - s->pw, &u0, &u1, &col);
			if (t1 <= t0 || u1 <= u0)
				continue;
			float *to = out + (p * s->nw + q) * size + t0 * s->W + u0;
			const float *from = x + row * s->in_w + col;
			for (int64_t c = 0; c < s->planes; c++, to += source_plane(s), from += s->in_h * s->in_w)
				isa->rows(t1 - t0, u1 - u0, from, s->sh * s->in_w, s->sw, to, s->W);
		}
}

/* Offsets of the terms of a group, relative to its first plane: (channel, tap). */
static void fill_table(const struct conv *v, int32_t *table)
{
	struct axis h = rows_of(v), w = cols_of(v);
	const struct source *s = &v->src;
	int64_t at = 0, parts = parts_of(v), size = s->H * s->W;
	for (int64_t n = 0; n < parts; n++) {
		struct part p = part_at(v, n, &at);
		int32_t *out = table + p.table;
		for (int64_t k = 0; k < (v->pass == CONV_DX ? v->Og : v->Cg); k++)
			for (int64_t i = 0; i < v->kh; i++)
				for (int64_t j = 0; j < v->kw; j++) {
					int64_t y = i * v->dh, x = j * v->dw;
					if (v->pass != CONV_DX)
						*out++ = (int32_t)(((k * s->nh + y % v->sh) * s->nw + x % v->sw) * size + y / v->sh * s->W +
						                   x / v->sw);
					else if (part_has(&h, p.r, i) && part_has(&w, p.c, j))
						*out++ = (int32_t)(k * size + (part_shift(&h, p.r, i) + s->ph) * s->W + part_shift(&w, p.c, j) +
						                   s->pw);
				}
	}
}

/* Weights of part p, block `block` of group g: (terms x rows). */
static float *pack_of(const struct conv *v, const struct part *p, float *packed, int64_t g, int64_t block,
                      int64_t terms)
{
	return packed + (g * v->k + p->table) * v->m + block * v->rows * terms;
}

static void pack_block(const struct conv *v, const struct part *p, const float *w, int64_t g, int64_t block, float *out)
{
	struct axis h = rows_of(v), l = cols_of(v);
	bool dx = v->pass == CONV_DX;
	int64_t r0 = block * v->rows, rows = min(v->rows, v->m - r0), taps = v->kh * v->kw;
	for (int64_t k = 0; k < (dx ? v->Og : v->Cg); k++)
		for (int64_t t = 0; t < taps; t++) {
			if (dx && !(part_has(&h, p->r, t / v->kw) && part_has(&l, p->c, t % v->kw)))
				continue;
			const float *from =
				dx ? w + ((g * v->Og + k) * v->Cg + r0) * taps + t : w + ((g * v->Og + r0) * v->Cg + k) * taps + t;
			for (int64_t m = 0; m < rows; m++)
				*out++ = from[m * (dx ? taps : v->Cg * taps)];
		}
}

static void pack_task(void *arg, int i)
{
	const struct conv_job *j = arg;
	const struct conv *v = j->v;
	int64_t at = 0, parts = parts_of(v), channels = v->pass == CONV_DX ? v->Og : v->Cg;
	for (int64_t n = 0; n < parts; n++) {
		struct part p = part_at(v, n, &at);
		pack_block(v, &p, j->b, i / v->blocks, i % v->blocks,
		           pack_of(v, &p, j->packed, i / v->blocks, i % v->blocks, p.taps * channels));
	}
}

/* A block of a part from tile rows W apart to its places in the result's planes. */
static void place(const struct conv *v, const struct part *p, int64_t rows, const float *tile, float *out)
{
	int64_t sh = v->pass == CONV_DX ? v->sh : 1, sw = v->pass == CONV_DX ? v->sw : 1;
	int64_t width = v->pass == CONV_DX ? v->W : v->Wo;
	for (int64_t m = 0; m < rows; m++)
		v->isa->apart(p->th, p->tw, tile + m * v->ldc, v->src.W, out + m * v->plane + p->y0 * width + p->x0, sh * width,
		              sw);
}

static void run_part(const struct conv_job *j, const struct part *p, const float *source, int64_t g, int64_t block,
                     float *tile, float *out)
{
	const struct conv *v = j->v;
	int64_t rows = min(v->rows, v->m - block * v->rows), step = 2 * v->isa->vl;
	int64_t channels = v->pass == CONV_DX ? v->Og : v->Cg, terms = p->taps * channels;
	int64_t places = (p->th - 1) * v->src.W + p->tw;
	const float *weights = pack_of(v, p, j->packed, g, block, terms);
	const float *base = source + g * channels * source_plane(&v->src);
	for (int64_t k = 0; k < terms; k += K_BLOCK)
		for (int64_t q = 0; q < places; q += step)
			v->isa->taps(rows, places - q > v->isa->vl ? 2 : 1, min(K_BLOCK, terms - k), weights + k * rows, base + q,
			             j->table + p->table + k, tile + q, v->ldc, k > 0);
	if (!terms)
		memset(tile, 0, (size_t)(rows * v->ldc) * sizeof *tile);
	place(v, p, rows, tile, out);
}

/* One image of FORWARD or DX. */
static void run_image(void *arg, int image)
{
	const struct conv_job *j = arg;
	const struct conv *v = j->v;
	float *source = j->own + pool_self() * v->own;
	float *tile = source + v->src.planes * source_plane(&v->src) + SOURCE_SLACK, *block = tile + v->rows * v->ldc;
	source_fill(&v->src, v->isa, j->a + image * v->src.planes * v->src.in_h * v->src.in_w, source);
	for (int64_t i = 0; i < v->G * v->blocks; i++) {
		int64_t g = i / v->blocks, r0 = g * v->m + i % v->blocks * v->rows;
		int64_t rows = min(v->rows, v->m - i % v->blocks * v->rows), at = 0;
		float *out = v->keep ? j->c + (image * v->result_rows + r0) * v->plane : block;
		for (int64_t n = 0; n < parts_of(v); n++) {
			struct part p = part_at(v, n, &at);
			if (p.th > 0 && p.tw > 0)
				run_part(j, &p, source, g, i % v->blocks, tile, out);
		}
		if (j->done)
			j->done(j->ctx, image * v->G * v->blocks + i, image, r0, rows, 0, v->plane, out, v->plane);
	}
}

/* --- dw ------------------------------------------------------------------------------------------ */
/* g's planes with rows W apart, zeros between. */
static void spread(const struct conv *v, const float *g, float *out)
{
	memset(out, 0, (size_t)(v->O * v->ldc) * sizeof *out);
	for (int64_t o = 0; o < v->O; o++)
		v->isa->rows(v->Ho, v->Wo, g + o * v->Ho * v->Wo, v->Wo, 1, out + o * v->ldc, v->src.W);
}

static void dw_images(const struct conv_job *j, int64_t n, const float *source, const float *g, float *out, int add)
{
	const struct conv *v = j->v;
	int64_t step_a = v->O * v->ldc, plane = source_plane(&v->src), step_b = v->C * plane;
	for (int64_t i = 0; i < v->G * v->blocks; i++) {
		int64_t group = i / v->blocks, o = i % v->blocks * v->rows, rows = min(v->rows, v->Og - o);
		o += group * v->Og;
		for (int64_t k = 0; k < v->k; k += 4)
			v->isa->dots(rows, min(4, v->k - k), n, v->ldc, g + o * v->ldc, v->ldc, step_a,
			             source + group * v->Cg * plane, j->table + k, step_b, out + o * v->k + k, v->k, add);
	}
}

static void dw_task(void *arg, int task)
{
	const struct conv_job *j = arg;
	const struct conv *v = j->v;
	int64_t from = v->N * task / v->tasks, to = v->N * (task + 1) / v->tasks;
	int64_t one = v->C * source_plane(&v->src);
	float *source = j->own + pool_self() * v->own, *g = source + one * v->images + SOURCE_SLACK;
	float *out = j->packed + round_up(v->O * v->k, 16) * task;
	for (int64_t at = from; at < to; at += v->images) {
		int64_t n = min(v->images, to - at);
		for (int64_t i = 0; i < n; i++) { /* each clears the slack behind it, the next one's begin */
			source_fill(&v->src, v->isa, j->a + (at + i) * v->C * v->H * v->W, source + i * one);
			spread(v, j->b + (at + i) * v->O * v->Ho * v->Wo, g + i * v->O * v->ldc);
		}
		dw_images(j, n, source, g, out, at > from);
	}
}

void conv_dw_finish(void *arg, int piece)
{
	const struct conv_job *j = arg;
	const struct conv *v = j->v;
	double sum[DW_PIECE];
	int64_t count = v->O * v->k, at = (int64_t)piece * DW_PIECE, n = min(DW_PIECE, count - at);
	float *out = v->keep ? j->c + at : j->own + pool_self() * v->own;
	for (int64_t i = 0; i < n; i++)
		sum[i] = 0;
	for (int64_t t = 0; t < v->tasks; t++) {
		const float *part = j->packed + round_up(count, 16) * t + at;
		for (int64_t i = 0; i < n; i++)
			sum[i] += (double)part[i];
	}
	for (int64_t i = 0; i < n; i++)
		out[i] = (float)sum[i];
	if (j->done)
		j->done(j->ctx, piece, 0, 0, 1, at, n, out, n);
}

void conv_run(const struct conv *v, struct pool *pool, const float *a, const float *b, float *c, void *workspace,
              gemm_done *done, void *ctx)
{
	float *work = workspace;
	struct conv_job j = { v, a, b, c, work + v->table, work + v->table + v->packed, workspace, done, ctx };
	if ((double)v->N * (double)v->O * (double)(v->Ho * v->Wo) * (double)(v->Cg * v->kh * v->kw) < PARALLEL_WORK)
		pool = NULL;
	if (v->way != CONV_TAPS) {
		box_run(&j, pool);
		return;
	}
	fill_table(v, j.table);
	if (v->pass == CONV_DW) {
		pool_run(pool, (int)v->tasks, dw_task, &j);
		pool_run(pool, (int)v->pieces, conv_dw_finish, &j);
		return;
	}
	pool_run(pool, (int)(v->G * v->blocks), pack_task, &j);
	pool_run(pool, (int)v->N, run_image, &j);
}
