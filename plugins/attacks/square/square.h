/* SPDX-License-Identifier: MIT
 *
 * square.h: random search with squares, one try of it (formulas K11, K12): no gradients, one
 * forward pass a query. Every sample draws its own windows, so that its result does not depend
 * on the batch. Shared by the attacks square and ensemble.
 *
 * The change is z (N,C,H,W); windows are masks made from comparisons of row and column numbers.
 */
#ifndef SQUARE_H
#define SQUARE_H

#include <string.h>

#include "rein/rein.h"

#define SQUARE_LEVELS 10

struct square_search {
	const struct rein_model *m;
	struct rein_goal goal;
	rein_val x, epsilon;
	int64_t queries, channels, height, width;
	int32_t norm, rescale;
	double p;
	rein_val side, level; /* of query i: side of the window, i32; row of `pattern`, i32 */
	rein_val pattern;     /* l2: (levels, H*W), the bump of each side in the upper left corner */
};
/* carry: x', its margin, to do, queries */
enum { SQ_X, SQ_MARGIN, SQ_TODO, SQ_SPENT, SQ_CARRIED };

/* p is halved after so many of 10000 queries. */
static inline int square_level(const struct square_search *c, int64_t i)
{
	static const int64_t after[SQUARE_LEVELS - 1] = { 10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000 };
	int level = 0;
	if (c->rescale)
		i = i * 10000 / c->queries;
	while (level < SQUARE_LEVELS - 1 && i > after[level])
		level++;
	return level;
}

static inline int64_t square_side(const struct square_search *c, int level)
{
	int64_t least = c->norm == REIN_L2 ? 3 : 1, most = c->height < c->width ? c->height : c->width;
	int64_t s = (int64_t)rint(sqrt(c->p / (double)(1 << level) * (double)(c->height * c->width)));
	s = s < least ? least : s;
	if (c->norm == REIN_L2 && s % 2 == 0)
		s++;
	while (s > most)
		s -= c->norm == REIN_L2 ? 2 : 1;
	return s;
}

/* Adds a pyramid of rows x cols to out (row stride w), of length one: squares of 1, 3, 5 ..
 * around its middle, the k-th worth 1 / k^2. */
static inline void square_pyramid(double *out, int64_t w, int64_t rows, int64_t cols, double sign)
{
	int64_t r0 = rows / 2, c0 = cols / 2, n = (rows > cols ? rows : cols) / 2 + 1;
	double sum = 0;
	for (int pass = 0; pass < 2; pass++)
		for (int64_t i = 0; i < rows; i++)
			for (int64_t j = 0; j < cols; j++) {
				int64_t di = i > r0 ? i - r0 : r0 - i, dj = j > c0 ? j - c0 : c0 - j;
				double v = 0;
				for (int64_t k = di > dj ? di : dj; k < n; k++)
					v += 1 / (double)((k + 1) * (k + 1));
				if (pass == 0)
					sum += v * v;
				else
					out[i * w + j] = sign * v / sqrt(sum);
			}
}

/* Two pyramids of opposite sign over each other, s x s, of length one together. */
static inline void square_bump(double *out, int64_t w, int64_t s)
{
	square_pyramid(out, w, s / 2, s, 1);
	square_pyramid(out + s / 2 * w, w, s - s / 2, s, -1);
	for (int64_t i = 0; i < s; i++)
		for (int64_t j = 0; j < s; j++)
			out[i * w + j] /= s > 1 ? sqrt(2.0) : 1;
}

static inline void square_tables(struct square_search *c, struct rein_rec *r)
{
	int64_t n = c->queries, hw = c->height * c->width, dim[2] = { SQUARE_LEVELS, hw };
	int32_t *side = (int32_t *)r->vt->scratch(r, (uint64_t)n * 4),
			*level = (int32_t *)r->vt->scratch(r, (uint64_t)n * 4);
	double *bump = (double *)r->vt->scratch(r, (uint64_t)(SQUARE_LEVELS * hw) * sizeof *bump);
	if (!side || !level || !bump)
		return;
	for (int64_t i = 0; i < n; i++) {
		level[i] = square_level(c, i);
		side[i] = (int32_t)square_side(c, level[i]);
	}
	memset(bump, 0, (size_t)(SQUARE_LEVELS * hw) * sizeof *bump);
	for (int k = 0; c->norm == REIN_L2 && k < SQUARE_LEVELS; k++)
		square_bump(bump + k * hw, c->width, square_side(c, k));
	c->side = rein_const(r, REIN_I32_T, 1, &n, side);
	c->level = rein_const(r, REIN_I32_T, 1, &n, level);
	c->pattern = rein_const(r, REIN_REAL_T, 2, dim, bump);
}

/* Uniform draws (N, a, b, c). */
static inline rein_val square_draw(const struct square_search *c, struct rein_rec *r, const char *stream, int64_t a,
                                   int64_t b, int64_t d)
{
	int64_t dim[4] = { rein_dim(r, c->x, 0), a, b, d };
	return rein_random(r, stream, REIN_UNIFORM, REIN_PER_SAMPLE, 4, dim);
}
static inline rein_val square_signs(struct rein_rec *r, rein_val u)
{
	return rein_where(r, rein_lt(r, u, rein_scalar(r, 0.5)), rein_scalar(r, -1), rein_scalar(r, 1));
}

/* A window of side s at a random place: its corner (N,1,1,1) twice, and the mask (N,1,H,W). */
struct square_window {
	rein_val row, col, in;
};
static inline struct square_window square_place(const struct square_search *c, struct rein_rec *r, const char *name,
                                                rein_val side)
{
	int64_t rows[4] = { 1, 1, c->height, 1 }, cols[4] = { 1, 1, 1, c->width }, n[4] = { rein_dim(r, c->x, 0), 1, 1, 1 };
	rein_val u = square_draw(c, r, name, 2, 1, 1), corner[2], inside[2];
	for (int k = 0; k < 2; k++) {
		rein_val room = rein_sub(r, rein_scalar_i(r, (int32_t)(k ? c->width : c->height)), side);
		rein_val at = rein_mul(r, rein_reshape(r, rein_narrow(r, u, 1, k, 1), 4, n), rein_cast(r, room, REIN_REAL_T));
		rein_val line = rein_iota(r, k ? 3 : 2, 4, k ? cols : rows);
		corner[k] = rein_cast(r, at, REIN_I32_T);
		inside[k] = rein_and(r, rein_le(r, corner[k], line), rein_lt(r, line, rein_add(r, corner[k], side)));
	}
	return (struct square_window){ corner[0], corner[1], rein_and(r, inside[0], inside[1]) };
}

static inline rein_val square_linf(const struct square_search *c, struct rein_rec *r, rein_val i, rein_val x)
{
	struct square_window w = square_place(c, r, "place", rein_take(r, c->side, i, 0));
	rein_val sign = square_signs(r, square_draw(c, r, "sign", c->channels, 1, 1));
	rein_val add = rein_mul(r, sign, rein_scale(r, c->epsilon, 2));
	x = rein_add(r, x, rein_where(r, w.in, add, rein_scalar(r, 0)));
	return rein_project(r, c->m, x, c->x, c->epsilon, REIN_LINF);
}

/* sqrt(sum of squares) over height and width (N,C,1,1), or over all but the batch (N,1,1,1) */
static inline rein_val square_norm(struct rein_rec *r, rein_val d, int all)
{
	return rein_norm(r, d, all ? REIN_AXIS(1) | REIN_AXIS(2) | REIN_AXIS(3) : REIN_AXIS(2) | REIN_AXIS(3), REIN_KEEP);
}
static inline rein_val square_over(struct rein_rec *r, rein_val d, rein_val norm)
{
	return rein_div(r, d, rein_offset(r, norm, 1e-12));
}

/* The bump of query i inside of the window, half of the time transposed: (N,1,H,W). */
static inline rein_val square_stamp(const struct square_search *c, struct rein_rec *r, rein_val i,
                                    const struct square_window *w)
{
	int64_t rows[4] = { 1, 1, c->height, 1 }, cols[4] = { 1, 1, 1, c->width }, flat[1] = { c->height * c->width };
	rein_val a = rein_sub(r, rein_iota(r, 2, 4, rows), w->row), b = rein_sub(r, rein_iota(r, 3, 4, cols), w->col);
	rein_val turn = rein_lt(r, square_draw(c, r, "turn", 1, 1, 1), rein_scalar(r, 0.5));
	rein_val stride = rein_scalar_i(r, (int32_t)c->width);
	rein_val straight = rein_add(r, rein_mul(r, a, stride), b), across = rein_add(r, rein_mul(r, b, stride), a);
	rein_val bump = rein_take(r, c->pattern, rein_take(r, c->level, i, 0), 0);
	rein_val at = rein_where(r, w->in, rein_where(r, turn, across, straight), rein_scalar_i(r, -1));
	return rein_take(r, rein_reshape(r, bump, 1, flat), at, 0);
}

/* Formula K12: what two windows hold goes into the first, as the old change and a new bump. */
static inline rein_val square_l2(const struct square_search *c, struct rein_rec *r, rein_val i, rein_val x)
{
	rein_val side = rein_take(r, c->side, i, 0), zero = rein_scalar(r, 0), d = rein_sub(r, x, c->x);
	struct square_window to = square_place(c, r, "place", side), from = square_place(c, r, "from", side);
	rein_val old = rein_where(r, to.in, d, zero), whole = square_norm(r, d, 1);
	rein_val held = square_norm(r, rein_where(r, rein_or(r, to.in, from.in), d, zero), 1);
	rein_val sign = square_signs(r, square_draw(c, r, "sign", c->channels, 1, 1));
	rein_val put =
		rein_add(r, rein_mul(r, square_stamp(c, r, i, &to), sign), square_over(r, old, square_norm(r, old, 0)));
	rein_val spare = rein_max(r, rein_sub(r, rein_square(r, c->epsilon), rein_square(r, whole)), zero);
	rein_val mass = rein_add(r, rein_scale(r, spare, 1 / (double)c->channels), rein_square(r, held));
	put = rein_mul(r, square_over(r, put, square_norm(r, put, 0)), rein_sqrt(r, mass));
	d = rein_where(r, to.in, put, rein_where(r, from.in, zero, d));
	d = rein_mul(r, square_over(r, d, square_norm(r, d, 1)), c->epsilon);
	return rein_box(r, c->m, rein_add(r, c->x, d));
}

/* l2: a grid of five by five bumps, each with its own sign, and its own turn. */
static inline rein_val square_tiles(const struct square_search *c, struct rein_rec *r)
{
	int64_t h = c->height, w = c->width, s = h / 5, edge = (h - s * 5) / 2, down = h / s, across = w / s, hw = h * w;
	int64_t plane[4] = { 1, 1, h, w }, tiles = down * across, at[3] = { 1, 1, hw }, n = rein_dim(r, c->x, 0);
	int64_t full[4] = { n, c->channels, h, w }, list[3] = { n, c->channels, tiles }, one[3] = { n, 1, tiles };
	int64_t turned_dim[4] = { n, 1, h, w };
	double *bump = (double *)r->vt->scratch(r, (uint64_t)(2 * hw) * sizeof *bump), *turned = bump + hw;
	double *tile = (double *)r->vt->scratch(r, (uint64_t)(s * s) * sizeof *tile);
	int32_t *index = (int32_t *)r->vt->scratch(r, (uint64_t)hw * sizeof *index);
	if (!bump || !tile || !index)
		return c->x;
	square_bump(tile, s, s);
	for (int64_t k = 0; k < hw; k++) {
		int64_t i = k / w - edge, j = k % w - edge;
		int inside = i >= 0 && j >= 0 && i / s < down && j / s < across && k / w < edge + down * s;
		index[k] = inside ? (int32_t)(i / s * across + j / s) : -1;
		bump[k] = inside ? tile[i % s * s + j % s] : 0;
		turned[k] = inside ? tile[j % s * s + i % s] : 0;
	}
	rein_val where = rein_const(r, REIN_I32_T, 3, at, index);
	rein_val sign = square_signs(r, rein_reshape(r, square_draw(c, r, "signs", c->channels, tiles, 1), 3, list));
	rein_val turn = rein_reshape(r, square_draw(c, r, "turns", 1, tiles, 1), 3, one), zero = rein_scalar(r, 0);
	where = rein_add(r, where, rein_fill(r, REIN_I32_T, 0, 3, (int64_t[]){ n, 1, hw }));
	turn = rein_reshape(r, rein_take(r, turn, where, 2), 4, turned_dim);
	rein_val all = rein_add(r, where, rein_fill(r, REIN_I32_T, 0, 3, (int64_t[]){ n, c->channels, hw }));
	sign = rein_reshape(r, rein_take(r, sign, all, 2), 4, full);
	rein_val d = rein_where(r, rein_lt(r, turn, rein_scalar(r, 0.5)), rein_const(r, REIN_REAL_T, 4, plane, bump),
	                        rein_const(r, REIN_REAL_T, 4, plane, turned));
	d = rein_mul(r, rein_add(r, d, zero), sign);
	d = rein_mul(r, square_over(r, d, square_norm(r, d, 1)), c->epsilon);
	return rein_box(r, c->m, rein_add(r, c->x, d));
}

static inline rein_val square_begin(const struct square_search *c, struct rein_rec *r)
{
	if (c->norm == REIN_L2)
		return square_tiles(c, r);
	rein_val d = rein_mul(r, square_signs(r, square_draw(c, r, "stripes", c->channels, 1, c->width)), c->epsilon);
	return rein_box(r, c->m, rein_add(r, c->x, d));
}

static inline void square_body(void *ctx, struct rein_rec *r, rein_val i, rein_val *v)
{
	const struct square_search *c = (const struct square_search *)ctx;
	rein_val x = c->norm == REIN_L2 ? square_l2(c, r, i, v[SQ_X]) : square_linf(c, r, i, v[SQ_X]);
	rein_val margin = rein_goal_margin(r, &c->goal, rein_forward(r, c->m, x, REIN_EVAL)), zero = rein_scalar(r, 0);
	rein_val good = rein_or(r, rein_lt(r, margin, v[SQ_MARGIN]), rein_le(r, margin, zero));
	good = rein_and(r, good, v[SQ_TODO]);
	v[SQ_SPENT] = rein_add(r, v[SQ_SPENT], rein_cast(r, v[SQ_TODO], REIN_REAL_T));
	v[SQ_X] = rein_pick_rows(r, good, x, v[SQ_X]);
	v[SQ_MARGIN] = rein_where(r, good, margin, v[SQ_MARGIN]);
	v[SQ_TODO] = rein_lt(r, zero, v[SQ_MARGIN]);
}

/* A rein_try. */
static inline rein_val square_attempt(void *ctx, struct rein_rec *r, rein_val i, rein_val *queries, rein_val *gradients)
{
	struct square_search *c = (struct square_search *)ctx;
	struct rein_loop loop = { sizeof loop, (uint32_t)c->queries, SQ_CARRIED, 0, SQ_TODO, 0 };
	rein_val v[SQ_CARRIED];
	v[SQ_X] = square_begin(c, r);
	v[SQ_MARGIN] = rein_goal_margin(r, &c->goal, rein_forward(r, c->m, v[SQ_X], REIN_EVAL));
	v[SQ_TODO] = rein_lt(r, rein_scalar(r, 0), v[SQ_MARGIN]);
	v[SQ_SPENT] = rein_offset(r, *queries, 1);
	rein_repeat(r, &loop, v, square_body, c);
	*queries = v[SQ_SPENT];
	return v[SQ_X];
}

/* 1 if x are images that it can be run on; else a reason. */
static inline int square_prepare(struct square_search *c, struct rein_rec *r, const char **why)
{
	if (rein_rank(r, c->x) != 4) {
		*why = "square needs images (N,C,H,W)";
		return 0;
	}
	c->channels = rein_dim(r, c->x, 1);
	c->height = rein_dim(r, c->x, 2);
	c->width = rein_dim(r, c->x, 3);
	if (c->norm == REIN_L2 && (c->height < 5 || c->width < 5)) {
		*why = "square with norm=l2 needs images of 5x5 or more";
		return 0;
	}
	square_tables(c, r);
	return 1;
}

#endif
