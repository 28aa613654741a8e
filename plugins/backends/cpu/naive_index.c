/* SPDX-License-Identifier: MIT
 *
 * naive_index.c: reference kernels of take, put and warp. An index outside is never
 * followed: take gives 0, put drops, warp fills.
 */
#include <math.h>
#include <string.h>

#include "naive.h"

/* x (B..,n,T..), index (B..,m..): batch entries, rows per entry, elements of a row. */
struct index {
	int64_t batch, n, m, row;
	uint32_t rank;
	int64_t dim[REIN_MAX_RANK], x[REIN_MAX_RANK], i[REIN_MAX_RANK]; /* strides over the batch */
};

/* Strides over the first `batch` axes, in units of what lies below them. */
static int64_t batch_strides(const struct rein_prog_value *v, uint32_t batch, int64_t *stride)
{
	int64_t s = 1, below = 1;
	for (uint32_t a = batch; a < v->rank; a++)
		below *= v->dim[a];
	for (uint32_t a = batch; a-- > 0; s *= v->dim[a])
		stride[a] = v->dim[a] == 1 ? 0 : s;
	return below;
}

/* rows: the side with (B..,n,T..) for take, (B..,m..,T..) for put; y: the result */
static void index_init(struct index *d, const struct call *c, const struct rein_prog_value *rows,
                       const struct rein_prog_value *index, const struct rein_prog_value *y)
{
	*d = (struct index){ .batch = 1, .rank = c->i->attr.batch };
	for (uint32_t a = 0; a < d->rank; a++) {
		d->dim[a] = y->dim[a];
		d->batch *= y->dim[a];
	}
	int64_t below = batch_strides(rows, d->rank, d->x);
	d->m = batch_strides(index, d->rank, d->i);
	if (c->i->op == REIN_OP_TAKE) {
		d->n = rows->dim[d->rank];
		d->row = below / d->n;
	} else {
		d->n = y->dim[d->rank];
		d->row = below / d->m;
	}
}

static rein_status take(const struct call *c)
{
	const struct rein_prog_value *x = in_value(c, 0), *y = out_value(c, 0);
	struct index d;
	index_init(&d, c, x, in_value(c, 1), y);
	size_t row = (size_t)(d.row * size_of(c->p, x->dtype));
	char *to = out_mem(c, 0);
	for (int64_t b = 0; b < d.batch; b++) {
		const char *from = (const char *)in_mem(c, 0) + (size_t)(offset_of(b, d.rank, d.dim, d.x) * d.n) * row;
		const int32_t *index = (const int32_t *)in_mem(c, 1) + offset_of(b, d.rank, d.dim, d.i) * d.m;
		for (int64_t j = 0; j < d.m; j++, to += row) {
			if (index[j] < 0 || index[j] >= d.n)
				memset(to, 0, row);
			else
				memcpy(to, from + (size_t)index[j] * row, row);
		}
	}
	return REIN_OK;
}

/* Calls each source row that lands inside, in ascending position. */
#define PUT_ROWS(each)                                                                                    \
	for (int64_t b = 0; b < d.batch; b++) {                                                               \
		const int32_t *index = (const int32_t *)in_mem(c, base) + offset_of(b, d.rank, d.dim, d.i) * d.m; \
		for (int64_t j = 0; j < d.m; j++) {                                                               \
			int64_t to = (b * d.n + index[j]) * d.row;                                                    \
			int64_t from = (offset_of(b, d.rank, d.dim, d.x) * d.m + j) * d.row;                          \
			if (index[j] >= 0 && index[j] < d.n)                                                          \
				each;                                                                                     \
		}                                                                                                 \
	}

/* work, for REAL: doubles of the result's shape */
static rein_status put_add(const struct call *c)
{
	uint32_t base = c->i->n_in == 3;
	const struct rein_prog_value *y = out_value(c, 0);
	struct index d;
	index_init(&d, c, in_value(c, base + 1), in_value(c, base), y);
	if (y->dtype == REIN_I32_T) {
		uint32_t *r = out_mem(c, 0);
		const uint32_t *src = in_mem(c, base + 1);
		if (base)
			memcpy(r, in_mem(c, 0), (size_t)y->count * 4);
		else
			memset(r, 0, (size_t)y->count * 4);
		PUT_ROWS(for (int64_t k = 0; k < d.row; k++) r[to + k] += src[from + k])
		return REIN_OK;
	}
	double *acc = c->work;
	const real *src = in_mem(c, base + 1);
	for (int64_t e = 0; e < y->count; e++)
		acc[e] = base ? (double)((const real *)in_mem(c, 0))[e] : 0;
	PUT_ROWS(for (int64_t k = 0; k < d.row; k++) acc[to + k] += (double)src[from + k])
	for (int64_t e = 0; e < y->count; e++)
		((real *)out_mem(c, 0))[e] = (real)acc[e];
	return REIN_OK;
}

static rein_status put_set(const struct call *c)
{
	uint32_t base = c->i->n_in == 3;
	const struct rein_prog_value *y = out_value(c, 0);
	struct index d;
	index_init(&d, c, in_value(c, base + 1), in_value(c, base), y);
	int64_t size = size_of(c->p, y->dtype);
	char *r = out_mem(c, 0);
	const char *src = in_mem(c, base + 1);
	if (base)
		memcpy(r, in_mem(c, 0), (size_t)(y->count * size));
	else
		memset(r, 0, (size_t)(y->count * size));
	PUT_ROWS(memcpy(r + to * size, src + from * size, (size_t)(d.row * size)))
	return REIN_OK;
}

/* x (N,C,H,W) at pixel coordinates xy (N,Ho,Wo,2), x first */
static rein_status warp(const struct call *c)
{
	const struct rein_prog_value *x = in_value(c, 0), *y = out_value(c, 0);
	int64_t C = x->dim[1], H = x->dim[2], W = x->dim[3], n = y->dim[2] * y->dim[3];
	double fill = c->i->attr.par[0];
	for (int64_t p = 0; p < x->dim[0] * C; p++) {
		const real *plane = (const real *)in_mem(c, 0) + p * H * W;
		const real *xy = (const real *)in_mem(c, 1) + p / C * n * 2;
		real *r = (real *)out_mem(c, 0) + p * n;
		for (int64_t q = 0; q < n; q++) {
			double u = (double)xy[2 * q], v = (double)xy[2 * q + 1], acc = 0;
			bool nearest = c->i->attr.mode == REIN_NEAREST;
			double fu = nearest ? rint(u) : floor(u), fv = nearest ? rint(v) : floor(v);
			/* a NaN lies nowhere; casts would make it 0 */
			int64_t iu = isnan(fu) ? INT32_MIN : saturate(fu, INT32_MIN, INT32_MAX);
			int64_t iv = isnan(fv) ? INT32_MIN : saturate(fv, INT32_MIN, INT32_MAX);
			double tap[4];
			for (int t = 0; t < (nearest ? 1 : 4); t++) {
				int64_t a = iu + (t & 1), b = iv + (t >> 1);
				tap[t] = a < 0 || a >= W || b < 0 || b >= H ? fill : (double)plane[b * W + a];
			}
			if (nearest) {
				r[q] = (real)tap[0];
				continue;
			}
			double wu = u - fu, wv = v - fv;
			acc = ((1 - wu) * tap[0] + wu * tap[1]) * (1 - wv) + ((1 - wu) * tap[2] + wu * tap[3]) * wv;
			r[q] = (real)acc;
		}
	}
	return REIN_OK;
}

naive_fn *NAIVE(naive_index)(const struct rein_program *p, const struct rein_prog_instr *i)
{
	uint32_t d = i->n_out ? p->value[i->out[0]].dtype : 0;
	switch (i->op) {
	case REIN_OP_TAKE: return take;
	case REIN_OP_PUT:
		if (i->attr.mode == REIN_PUT_SET)
			return put_set;
		return d == REIN_REAL_T || d == REIN_I32_T ? put_add : NULL;
	case REIN_OP_WARP: return warp;
	default: return NULL;
	}
}
