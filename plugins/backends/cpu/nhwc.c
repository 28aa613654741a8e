/* SPDX-License-Identifier: MIT
 *
 * nhwc.c: convolution and its derivatives over images with channels last; stride 1, no dilation,
 * one group.
 *   direct    y[p, o] = start[o] + sum_k w[k, o] x[p + k]: a tile of places and one or two vectors of
 *             results' channels; DX is the same over g with w turned round; DW sums rows of places
 *   Winograd  3 x 3: results in tiles of 2 x 2, 16 products for 36
 *             (Lavin and Gray 2016):
 *             Y = A' [sum_c (G w G') . (B' x B)] A,  dw = G' [sum (A g A') . (B' x B)] G
 * Every element is one chain in a fixed order whatever the thread; DW sums some images in a task,
 * and tasks in ascending order in double.
 */
#include <string.h>

#include "nhwc.h"

#ifndef HAVE_AVX2
#define nhwc_avx2 nhwc_plain
#endif
#ifndef HAVE_AVX512
#define nhwc_avx512 nhwc_plain
#endif

#define POINTS        16
#define DW_TASKS      16        /* partial results, if they are small */
#define DW_PARTIAL    (4 << 20) /* floats of all partial results */
#define DW_PIECE      2048      /* elements of dw finished at a time, about */
#define ROWS_FLOATS   8192      /* of g while one block of terms after the other is added up */
#define TILES_FLOATS  (1 << 15) /* of the points of x or g */
#define PARALLEL_WORK 250000.0  /* products; below, threads cost more than they give */

const struct nhwc_isa *nhwc_isa(int isa)
{
	return isa == ISA_AVX512 ? &nhwc_avx512 : isa == ISA_AVX2 ? &nhwc_avx2 : &nhwc_plain;
}

static int64_t div_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t round_up(int64_t a, int64_t b) { return div_up(a, b) * b; }
static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }

/* --- plan --------------------------------------------------------------------------------------- */
/* What a pass reads and makes: image in -> image out, both without padding. */
struct pass {
	int64_t in_c, in_h, in_w, out_c, out_h, out_w, ph, pw;
};
static struct pass pass_of(const struct nhwc *v)
{
	if (v->pass == NHWC_DX)
		return (struct pass){ v->O, v->Ho, v->Wo, v->C, v->H, v->W, v->kh - 1 - v->ph, v->kw - 1 - v->pw };
	return (struct pass){ v->C, v->H, v->W, v->O, v->Ho, v->Wo, v->ph, v->pw };
}

static int64_t plan_dw(struct nhwc *v, int threads)
{
	int64_t terms = (v->wino ? POINTS : v->kh * v->kw) * v->C, count = terms * v->O, taps = v->kh * v->kw, own;
	v->tasks = min(v->N, max(min(DW_TASKS, DW_PARTIAL / count), 4));
	v->packed = round_up(count, 16) * v->tasks;
	v->piece = max(DW_PIECE / taps, 1) * taps;
	v->pieces = div_up(v->O * v->C * taps, v->piece);
	if (v->wino) {
		v->rows = min(max(TILES_FLOATS / (POINTS * v->tw * max(v->C, v->O)), 1), v->th);
		own = POINTS * v->rows * v->tw * (v->C + v->O);
	} else {
		v->rows = min(max(ROWS_FLOATS / (v->Wo * v->O), 1), v->Ho);
		own = 0;
	}
	v->own = round_up(max(own + v->Hs * v->Ws * v->C, v->piece), 16) + 64;
	return 4 * (v->packed + 2 * v->packed / v->tasks + v->own * threads) + 64;
}

int64_t nhwc_plan(struct nhwc *v, int isa, int threads)
{
	struct pass p = pass_of(v);
	v->isa = nhwc_isa(isa);
	v->nv = p.out_c / v->isa->vl % 2 ? 1 : 2;
	v->wino = v->kh == 3 && v->kw == 3 && p.in_c % LANES == 0;
	v->th = div_up(p.out_h, 2), v->tw = div_up(p.out_w, 2);
	v->Hs = v->wino ? 2 * v->th + 2 : p.out_h + v->kh - 1;
	v->Ws = v->wino ? 2 * v->tw + 2 : p.out_w + v->kw - 1;
	if (v->pass == NHWC_DW)
		return plan_dw(v, threads);
	int64_t per = 2 * v->isa->mr / v->nv; /* tiles for one call */
	v->rows = v->wino ? min(max(per / v->tw, 1), v->th) : 1;
	v->packed = round_up((v->wino ? POINTS : v->kh * v->kw) * p.in_c * p.out_c, 16);
	v->own = v->Hs * v->Ws * p.in_c + (v->wino ? POINTS * v->rows * v->tw * (p.in_c + p.out_c) : 0);
	v->own = round_up(v->own + (v->out_last ? 0 : p.out_c * p.out_h * p.out_w), 16) + 64;
	return 4 * (v->packed + v->own * threads) + 64;
}

/* --- images --------------------------------------------------------------------------------------- */
void nhwc_turn(int64_t channels, int64_t n, const float *x, float *y)
{
	for (int64_t at = 0; at < n; at += LANES)
		for (int64_t c = 0; c < channels; c++)
			for (int64_t i = at; i < min(at + LANES, n); i++)
				y[i * channels + c] = x[c * n + i];
}

void nhwc_turn_back(int64_t channels, int64_t n, const float *x, float *y)
{
	for (int64_t c = 0; c < channels; c += LANES)
		for (int64_t i = 0; i < n; i++)
			for (int64_t l = c; l < min(c + LANES, channels); l++)
				y[l * n + i] = x[i * channels + l];
}

/* An image with its padding, channels last, Hs x Ws. Rows and columns beyond what in has are cut. */
static void fill(const struct nhwc *v, const float *in, float *out)
{
	struct pass p = pass_of(v);
	int64_t c = p.in_c, line = v->Ws * c, w = min(p.in_w, v->Ws - p.pw);
	for (int64_t y = 0; y < v->Hs; y++, out += line) {
		int64_t row = y - p.ph;
		if (row < 0 || row >= p.in_h) {
			memset(out, 0, (size_t)line * sizeof *out);
			continue;
		}
		memset(out, 0, (size_t)(p.pw * c) * sizeof *out);
		memset(out + (p.pw + w) * c, 0, (size_t)(line - (p.pw + w) * c) * sizeof *out);
		if (v->in_last || c == 1)
			memcpy(out + p.pw * c, in + row * p.in_w * c, (size_t)(w * c) * sizeof *out);
		else
			for (int64_t k = 0; k < c; k++)
				for (int64_t x = 0; x < w; x++)
					out[(p.pw + x) * c + k] = in[(k * p.in_h + row) * p.in_w + x];
	}
}

/* --- weights -------------------------------------------------------------------------------------- */
/* w of result channel o, term channel c, tap (i, j) of a pass. */
static float weight(const struct nhwc *v, const float *w, int64_t o, int64_t c, int64_t i, int64_t j)
{
	if (v->pass == NHWC_DX)
		return w[((c * v->C + o) * v->kh + v->kh - 1 - i) * v->kw + v->kw - 1 - j];
	return w[((o * v->C + c) * v->kh + i) * v->kw + j];
}

/* G w G', G = [1 0 0; 1/2 1/2 1/2; 1/2 -1/2 1/2; 0 0 1] */
static void wino_w(float w[3][3], float *out, int64_t point)
{
	float r[4][3];
	for (int j = 0; j < 3; j++) {
		float sum = w[0][j] + w[2][j];
		r[0][j] = w[0][j], r[1][j] = (sum + w[1][j]) * 0.5f, r[2][j] = (sum - w[1][j]) * 0.5f, r[3][j] = w[2][j];
	}
	for (int i = 0; i < 4; i++) {
		float sum = r[i][0] + r[i][2];
		out[(4 * i) * point] = r[i][0];
		out[(4 * i + 1) * point] = (sum + r[i][1]) * 0.5f;
		out[(4 * i + 2) * point] = (sum - r[i][1]) * 0.5f;
		out[(4 * i + 3) * point] = r[i][2];
	}
}

struct job {
	const struct nhwc *v;
	const float *a, *b;
	float *c, *packed, *own;
	double *total; /* DW: the partial results' sum */
	void *workspace;
	gemm_done *done;
	void *ctx;
};

/* Result channels [block][term][nv vectors], for each point if Winograd. */
static void pack_task(void *arg, int block)
{
	const struct job *job = arg;
	const struct nhwc *v = job->v;
	struct pass p = pass_of(v);
	int64_t width = v->nv * v->isa->vl, terms = v->wino ? p.in_c : v->kh * v->kw * p.in_c;
	float *out = job->packed + block * terms * width;
	for (int64_t c = 0; c < p.in_c; c++)
		for (int64_t l = 0; l < width; l++) {
			int64_t o = block * width + l;
			if (v->wino) {
				float w[3][3];
				for (int t = 0; t < 9; t++)
					w[t / 3][t % 3] = weight(v, job->a, o, c, t / 3, t % 3);
				wino_w(w, out + c * width + l, p.in_c * p.out_c);
				continue;
			}
			for (int64_t t = 0; t < v->kh * v->kw; t++)
				out[(t * p.in_c + c) * width + l] = weight(v, job->a, o, c, t / v->kw, t % v->kw);
		}
}

void nhwc_weights(const struct nhwc *v, struct pool *pool, const float *w, void *workspace)
{
	struct job j = { .v = v, .a = w, .packed = workspace };
	struct pass p = pass_of(v);
	pool_run(p.in_c * p.out_c < 4096 ? NULL : pool, (int)(p.out_c / (v->nv * v->isa->vl)), pack_task, &j);
}

/* --- ahead ------------------------------------------------------------------------------------------ */
/* What the next image reads comes into the second cache while this one computes: slice i of n. */
struct ahead {
	const float *from;
	int64_t count; /* floats */
};
static struct ahead ahead_of(const float *images, int64_t n, int64_t of, int64_t size)
{
	return (struct ahead){ n + 1 < of ? images + (n + 1) * size : images, n + 1 < of ? size : 0 };
}
static void fetch(const struct ahead *a, int64_t i, int64_t n)
{
	nhwc_fetch(a->from + a->count * i / n, a->count * (i + 1) / n - a->count * i / n);
}

/* --- forward and dx ---------------------------------------------------------------------------------- */
/* n places (or tiles) `step` apart, in tiles as large as the registers allow. */
static void tiles(const struct nhwc *v, int64_t n, int64_t runs, int64_t len, int64_t ldrun, const float *w,
                  const float *x, int64_t step, const float *start, float *y, int64_t ldy)
{
	int64_t most = v->isa->mr * 2 / v->nv, count = div_up(n, most), at = 0;
	for (int64_t i = 0; i < count; i++) {
		int64_t to = n * (i + 1) / count;
		v->isa->tile(to - at, v->nv, runs, len, ldrun, w, x + at * step, step, start, y + at * ldy, ldy);
		at = to;
	}
}

static void direct_image(const struct nhwc *v, const struct pass *p, const float *source, const float *packed,
                         const float *start, const struct ahead *next, float *out)
{
	int64_t width = v->nv * v->isa->vl, c = p->in_c, terms = v->kh * v->kw * c;
	for (int64_t y = 0; y < p->out_h; y++) {
		fetch(next, y, p->out_h);
		for (int64_t o = 0; o < p->out_c; o += width) {
			const float *w = packed + o * terms, *x = source + y * v->Ws * c, *s = start ? start + o : NULL;
			float *to = out + y * p->out_w * p->out_c + o;
			tiles(v, p->out_w, v->kh, v->kw * c, v->Ws * c, w, x, c, s, to, p->out_c);
		}
	}
}

static void wino_image(const struct nhwc *v, const struct pass *p, const float *source, const float *packed,
                       const float *start, const struct ahead *next, float *points, float *out)
{
	int64_t width = v->nv * v->isa->vl, c = p->in_c, ld = p->out_w * p->out_c;
	for (int64_t row = 0; row < v->th; row += v->rows) {
		int64_t rows = min(v->rows, v->th - row), n = rows * v->tw;
		float *products = points + POINTS * n * c;
		struct ahead made = { out + 2 * row * ld, min(2 * rows, p->out_h - 2 * row) * ld };
		for (int64_t r = 0; r < rows; r++)
			for (int64_t l = 0; l < c; l += LANES)
				v->isa->wino_x(v->tw, source + 2 * (row + r) * v->Ws * c + l, v->Ws * c, c, points + r * v->tw * c + l,
				               n * c);
		for (int64_t t = 0; t < POINTS; t++) {
			fetch(next, row / v->rows * POINTS + t, div_up(v->th, v->rows) * POINTS);
			fetch(&made, t, POINTS);
			for (int64_t o = 0; o < p->out_c; o += width)
				tiles(v, n, 1, c, 0, packed + (t * p->out_c + o) * c, points + t * n * c, c, NULL,
				      products + t * n * p->out_c + o, p->out_c);
		}
		for (int64_t r = 0; r < rows; r++)
			for (int64_t l = 0; l < p->out_c; l += LANES) {
				float *y = out + 2 * (row + r) * ld + l;
				v->isa->wino_y(p->out_w, products + r * v->tw * p->out_c + l, n * p->out_c, p->out_c,
				               start ? start + l : NULL, y, 2 * (row + r) + 1 < p->out_h ? y + ld : NULL);
			}
	}
}

void nhwc_image(const struct nhwc *v, const float *images, int64_t n, const float *start, float *out, void *workspace)
{
	struct pass p = pass_of(v);
	int64_t size = p.in_c * p.in_h * p.in_w;
	struct ahead next = ahead_of(images, n, v->N, size);
	float *packed = workspace, *source = packed + v->packed + pool_self() * v->own;
	fill(v, images + n * size, source);
	if (v->wino)
		wino_image(v, &p, source, packed, start, &next, source + v->Hs * v->Ws * p.in_c, out);
	else
		direct_image(v, &p, source, packed, start, &next, out);
}

static void image_task(void *arg, int image)
{
	const struct job *j = arg;
	const struct nhwc *v = j->v;
	struct pass p = pass_of(v);
	int64_t size = p.out_c * p.out_h * p.out_w;
	float *turned = j->own + (pool_self() + 1) * v->own - size, *to = j->c + image * size;
	nhwc_image(v, j->a, image, NULL, v->out_last ? to : turned, j->workspace);
	if (!v->out_last)
		nhwc_turn_back(p.out_c, p.out_h * p.out_w, turned, to);
}

/* --- dw ------------------------------------------------------------------------------------------------ */
/* Adds n terms that lie side by side in blocks for the registers. */
static void outers(const struct nhwc *v, int64_t n, int64_t rows, int64_t cols, const float *x, int64_t ldx,
                   int64_t step, const float *g, int64_t ldg, int64_t step_g, float *c, int64_t ldc)
{
	int64_t most = v->isa->mr * 2 / v->nv, count = div_up(n, most), width = v->nv * v->isa->vl, at = 0;
	for (int64_t i = 0; i < count; i++) {
		int64_t to = n * (i + 1) / count;
		for (int64_t o = 0; o < v->O; o += width)
			v->isa->outer(to - at, v->nv, rows, cols, x + at, ldx, step, g + o, ldg, step_g, c + at * ldc + o, ldc);
		at = to;
	}
}

/* sum[i, j, c, o] += over the image's places */
static void direct_dw(const struct nhwc *v, const float *source, const float *g, const struct ahead next[2], float *sum)
{
	int64_t line = v->Ws * v->C, ldg = v->Wo * v->O;
	for (int64_t y = 0; y < v->Ho; y += v->rows)
		for (int64_t i = 0; i < v->kh; i++) {
			for (int k = 0; k < 2; k++)
				fetch(&next[k], y / v->rows * v->kh + i, div_up(v->Ho, v->rows) * v->kh);
			outers(v, v->kw * v->C, min(v->rows, v->Ho - y), v->Wo, source + (y + i) * line, line, v->C, g + y * ldg,
			       ldg, v->O, sum + i * v->kw * v->C * v->O, v->O);
		}
}

/* sum[point, c, o] */
static void wino_dw(const struct nhwc *v, const float *source, const float *g, const struct ahead next[2],
                    float *points, float *sum)
{
	int64_t ldg = v->Wo * v->O;
	for (int64_t row = 0; row < v->th; row += v->rows) {
		int64_t rows = min(v->rows, v->th - row), n = rows * v->tw;
		float *grads = points + POINTS * n * v->C;
		for (int64_t r = 0; r < rows; r++) {
			const float *x = source + 2 * (row + r) * v->Ws * v->C, *y = g + 2 * (row + r) * ldg;
			for (int64_t l = 0; l < v->C; l += LANES)
				v->isa->wino_x(v->tw, x + l, v->Ws * v->C, v->C, points + r * v->tw * v->C + l, n * v->C);
			for (int64_t l = 0; l < v->O; l += LANES)
				v->isa->wino_g(v->Wo, y + l, 2 * (row + r) + 1 < v->Ho ? y + ldg + l : NULL, v->O,
				               grads + r * v->tw * v->O + l, n * v->O);
		}
		for (int64_t t = 0; t < POINTS; t++) {
			for (int k = 0; k < 2; k++)
				fetch(&next[k], row / v->rows * POINTS + t, div_up(v->th, v->rows) * POINTS);
			outers(v, v->C, 1, n, points + t * n * v->C, 0, v->C, grads + t * n * v->O, 0, v->O, sum + t * v->C * v->O,
			       v->O);
		}
	}
}

static void dw_task(void *arg, int task)
{
	const struct job *j = arg;
	const struct nhwc *v = j->v;
	int64_t from = v->N * task / v->tasks, to = v->N * (task + 1) / v->tasks, count = v->packed / v->tasks;
	float *source = j->own + pool_self() * v->own, *sum = j->packed + task * count;
	memset(sum, 0, (size_t)count * sizeof *sum);
	for (int64_t n = from; n < to; n++) {
		int64_t size_x = v->C * v->H * v->W, size_g = v->O * v->Ho * v->Wo;
		const float *g = j->b + n * size_g;
		struct ahead next[2] = { ahead_of(j->a, n, v->N, size_x), ahead_of(j->b, n, v->N, size_g) };
		fill(v, j->a + n * size_x, source);
		if (v->wino)
			wino_dw(v, source, g, next, source + v->Hs * v->Ws * v->C, sum);
		else
			direct_dw(v, source, g, next, sum);
	}
}

/* Tap t of G' m G. */
static double wino_tap(const double *m, int64_t t)
{
	static const double G[4][3] = { { 1, 0, 0 }, { 0.5, 0.5, 0.5 }, { 0.5, -0.5, 0.5 }, { 0, 0, 1 } };
	double sum = 0;
	for (int a = 0; a < 4; a++)
		for (int b = 0; b < 4; b++)
			sum += G[a][t / 3] * G[b][t % 3] * m[4 * a + b];
	return sum;
}

static void dw_total(void *arg, int piece)
{
	const struct job *j = arg;
	const struct nhwc *v = j->v;
	int64_t count = v->packed / v->tasks, from = (int64_t)piece * DW_PIECE, n = min(DW_PIECE, count - from);
	double *sum = j->total + from;
	memset(sum, 0, (size_t)n * sizeof *sum);
	for (int64_t k = 0; k < v->tasks; k++)
		for (int64_t i = 0; i < n; i++)
			sum[i] += (double)j->packed[k * count + from + i];
}

/* A piece of dw, whole planes of taps: (o, c) by (o, c). */
static void dw_finish(void *arg, int piece)
{
	const struct job *j = arg;
	const struct nhwc *v = j->v;
	int64_t taps = v->kh * v->kw, step = v->C * v->O;
	int64_t at = piece * v->piece, n = min(v->piece, v->O * v->C * taps - at);
	float *out = v->keep ? j->c + at : j->own + pool_self() * v->own;
	for (int64_t i = 0; i < n; i += taps) {
		const double *sum = j->total + (at + i) / taps % v->C * v->O + (at + i) / taps / v->C;
		double m[POINTS];
		for (int64_t t = 0; t < POINTS && v->wino; t++)
			m[t] = sum[t * step];
		for (int64_t t = 0; t < taps; t++)
			out[i + t] = (float)(v->wino ? wino_tap(m, t) : sum[t * step]);
	}
	if (j->done)
		j->done(j->ctx, piece, 0, 0, 1, at, n, out, n);
}

/* --- run ------------------------------------------------------------------------------------------------ */
void nhwc_run(const struct nhwc *v, struct pool *pool, const float *a, const float *b, float *c, void *workspace,
              gemm_done *done, void *ctx)
{
	float *packed = workspace;
	int64_t count = v->pass == NHWC_DW ? v->packed / v->tasks : 0;
	struct job j = { v, a, b, c, packed, packed + v->packed + 2 * count, NULL, workspace, done, ctx };
	j.total = (double *)(void *)(packed + v->packed);
	if ((double)v->N * (double)(v->O * v->Ho * v->Wo) * (double)(v->C * v->kh * v->kw) < PARALLEL_WORK)
		pool = NULL;
	if (v->pass == NHWC_DW) {
		pool_run(pool, (int)v->tasks, dw_task, &j);
		pool_run(pool, (int)div_up(count, DW_PIECE), dw_total, &j);
		pool_run(pool, (int)v->pieces, dw_finish, &j);
		return;
	}
	nhwc_weights(v, pool, b, workspace);
	pool_run(pool, (int)v->N, image_task, &j);
}
