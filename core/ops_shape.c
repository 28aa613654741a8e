/* SPDX-License-Identifier: MIT
 *
 * ops_shape.c: shape rules of contractions, windows, views, indices and coarse ops.
 * See ops.c for what a rule does.
 */
#include "rec.h"

#include <string.h>

static bool real(struct infer *c, uint32_t k)
{
	const struct rec_value *v = c->in[k];
	if (v->dtype == REIN_REAL_T)
		return true;
	return infer_bad(c, "operand %u is %s %s, it must be real; rein_cast() it", k, dtype_name(v->dtype), SHAPE(v));
}

static bool i32(struct infer *c, uint32_t k)
{
	const struct rec_value *v = c->in[k];
	if (v->dtype == REIN_I32_T)
		return true;
	return infer_bad(c, "operand %u is %s %s, it must be i32; rein_cast() it", k, dtype_name(v->dtype), SHAPE(v));
}

static bool rank_is(struct infer *c, uint32_t k, uint32_t rank)
{
	const struct rec_value *v = c->in[k];
	if (v->rank == rank)
		return true;
	return infer_bad(c, "operand %u is %s, it must have rank %u", k, SHAPE(v), rank);
}

/* --- contraction ------------------------------------------------------------------------------ */
bool infer_matmul(struct infer *c)
{
	const struct rec_value *a = c->in[0], *b = c->in[1];
	bool ta = c->attr->flags & REIN_TA, tb = c->attr->flags & REIN_TB;

	if (!real(c, 0) || !real(c, 1))
		return false;
	if (a->rank != b->rank || a->rank < 2 || a->rank > 3)
		return infer_bad(c, "%s and %s do not fit: both must have rank 2, or both rank 3", SHAPE(a), SHAPE(b));
	uint32_t o = a->rank - 2;
	int64_t m = a->dim[o + ta], ka = a->dim[o + !ta], kb = b->dim[o + tb], n = b->dim[o + !tb];
	if (ka != kb) {
		bool other_b = ka == n, other_a = m == kb;
		return infer_bad(c, "%s%s and %s%s do not fit%s%s%s", SHAPE(a), ta ? " transposed" : "", SHAPE(b),
		                 tb ? " transposed" : "", other_b || other_a ? "; did you mean " : "",
		                 other_b   ? (tb ? "no REIN_TB" : "REIN_TB")
		                 : other_a ? (ta ? "no REIN_TA" : "REIN_TA")
		                           : "",
		                 other_b || other_a ? "?" : "");
	}
	int64_t dim[3] = { 1, m, n };
	if (o) {
		if (a->dim[0] != b->dim[0] && a->dim[0] != 1 && b->dim[0] != 1)
			return infer_bad(c, "%s and %s do not fit: batches of %lld and %lld", SHAPE(a), SHAPE(b),
			                 (long long)a->dim[0], (long long)b->dim[0]);
		dim[0] = a->dim[0] > b->dim[0] ? a->dim[0] : b->dim[0];
	}
	return infer_shape(c, 0, REIN_REAL_T, a->rank, o ? dim : dim + 1);
}

/* --- windows ------------------------------------------------------------------------------------ */
/* Completes stride, dilation and groups, and refuses what makes no sense. */
static bool window(struct infer *c, const int64_t k[2])
{
	struct rein_attr *a = c->attr;

	if (!a->batch)
		a->batch = 1;
	for (int i = 0; i < 2; i++) {
		if (!a->start[2 + i])
			a->start[2 + i] = 1;
		if (a->step[i] < 1 || a->start[2 + i] < 1 || a->start[i] < 0 || k[i] < 1)
			return infer_bad(
				c, "stride %lld, window %lld and dilation %lld must be at least 1, padding %lld at least 0",
				(long long)a->step[i], (long long)k[i], (long long)a->start[2 + i], (long long)a->start[i]);
	}
	return true;
}

static int64_t window_out(const struct rein_attr *a, int i, int64_t n, int64_t k)
{
	int64_t room = n + 2 * a->start[i] - a->start[2 + i] * (k - 1) - 1;
	return room < 0 ? 0 : room / a->step[i] + 1;
}

/* x (N,C,H,W), w (O,C/G,kh,kw) -> shape of y (N,O,Ho,Wo) */
static bool conv_shape(struct infer *c, const int64_t *x, const int64_t *w, int64_t y[4])
{
	struct rein_attr *a = c->attr;

	if (!window(c, w + 2))
		return false;
	if (x[1] != w[1] * a->batch || w[0] % a->batch)
		return infer_bad(c, "x %s and w %s do not fit with %u group%s", shape_text(4, x).s, shape_text(4, w).s,
		                 a->batch, a->batch == 1 ? "" : "s");
	y[0] = x[0];
	y[1] = w[0];
	for (int i = 0; i < 2; i++) {
		y[2 + i] = window_out(a, i, x[2 + i], w[2 + i]);
		if (y[2 + i] < 1)
			return infer_bad(c, "the window %s does not fit into x %s padded by %lld", shape_text(4, w).s,
			                 shape_text(4, x).s, (long long)a->start[i]);
	}
	return true;
}

bool infer_conv(struct infer *c)
{
	int64_t y[4];
	return real(c, 0) && real(c, 1) && rank_is(c, 0, 4) && rank_is(c, 1, 4) &&
	       conv_shape(c, c->in[0]->dim, c->in[1]->dim, y) && infer_shape(c, 0, REIN_REAL_T, 4, y);
}

bool infer_conv_dx(struct infer *c)
{
	int64_t y[4];
	const struct rec_value *g = c->in[0];
	if (!real(c, 0) || !real(c, 1) || !rank_is(c, 0, 4) || !rank_is(c, 1, 4) ||
	    !conv_shape(c, c->attr->dim, c->in[1]->dim, y))
		return false;
	if (memcmp(y, g->dim, sizeof y) != 0)
		return infer_bad(c, "g is %s, x %s and w %s give %s", SHAPE(g), shape_text(4, c->attr->dim).s, SHAPE(c->in[1]),
		                 shape_text(4, y).s);
	c->attr->rank = 4;
	return infer_shape(c, 0, REIN_REAL_T, 4, c->attr->dim);
}

bool infer_conv_dw(struct infer *c)
{
	int64_t y[4];
	const struct rec_value *g = c->in[1];
	if (!real(c, 0) || !real(c, 1) || !rank_is(c, 0, 4) || !rank_is(c, 1, 4) ||
	    !conv_shape(c, c->in[0]->dim, c->attr->dim, y))
		return false;
	if (memcmp(y, g->dim, sizeof y) != 0)
		return infer_bad(c, "g is %s, x %s and w %s give %s", SHAPE(g), SHAPE(c->in[0]), shape_text(4, c->attr->dim).s,
		                 shape_text(4, y).s);
	c->attr->rank = 4;
	return infer_shape(c, 0, REIN_REAL_T, 4, c->attr->dim);
}

/* Shape of a pooled x (N,C,H,W); windows are attr.step[2,3]. */
static bool pool_shape(struct infer *c, const int64_t *x, int64_t y[4])
{
	struct rein_attr *a = c->attr;
	bool avg = c->op == REIN_OP_AVG_POOL || c->op == REIN_OP_AVG_POOL_DX;

	if (!window(c, a->step + 2))
		return false;
	y[0] = x[0];
	y[1] = x[1];
	for (int i = 0; i < 2; i++) {
		int64_t k = a->step[2 + i], span = a->start[2 + i] * (k - 1) + 1;
		if (avg && a->start[2 + i] != 1)
			return infer_bad(c, "averages have no dilation");
		if (2 * a->start[i] > span)
			return infer_bad(c, "padding %lld is more than half the window %lld", (long long)a->start[i],
			                 (long long)span);
		y[2 + i] = window_out(a, i, x[2 + i], k);
		if (y[2 + i] < 1)
			return infer_bad(c, "a window of %lld does not fit into x %s padded by %lld", (long long)span,
			                 shape_text(4, x).s, (long long)a->start[i]);
	}
	return true;
}

bool infer_pool(struct infer *c)
{
	int64_t y[4];
	if (!real(c, 0) || !rank_is(c, 0, 4) || !pool_shape(c, c->in[0]->dim, y))
		return false;
	if (c->n_out == 2 && !infer_shape(c, 1, REIN_I32_T, 4, y))
		return false;
	return infer_shape(c, 0, REIN_REAL_T, 4, y);
}

bool infer_pool_dx(struct infer *c)
{
	int64_t y[4];
	const struct rec_value *g = c->in[0];
	if (!real(c, 0) || !rank_is(c, 0, 4) || !pool_shape(c, c->attr->dim, y))
		return false;
	if (memcmp(y, g->dim, sizeof y) != 0)
		return infer_bad(c, "g is %s, x %s gives %s", SHAPE(g), shape_text(4, c->attr->dim).s, shape_text(4, y).s);
	if (c->n_in == 2 && (!i32(c, 1) || !rank_is(c, 1, 4)))
		return false;
	if (c->n_in == 2 && memcmp(y, c->in[1]->dim, sizeof y) != 0)
		return infer_bad(c, "g is %s, the index %s", SHAPE(g), SHAPE(c->in[1]));
	c->attr->rank = 4;
	return infer_shape(c, 0, REIN_REAL_T, 4, c->attr->dim);
}

/* --- views --------------------------------------------------------------------------------------- */
bool infer_reshape(struct infer *c)
{
	const struct rec_value *x = c->in[0];
	struct rein_attr *a = c->attr;
	int64_t n = 1;
	int open = -1;

	if (a->rank > REIN_MAX_RANK)
		return infer_bad(c, "rank %u, at most %d", a->rank, REIN_MAX_RANK);
	for (uint32_t i = 0; i < a->rank; i++) {
		if (a->dim[i] == -1 && open < 0)
			open = (int)i;
		else if (a->dim[i] < 1 || n > (int64_t)1 << 40 || a->dim[i] > INT32_MAX)
			return infer_bad(c, "%s to %s: dimensions are at least 1, and one may be -1", SHAPE(x),
			                 shape_text(a->rank, a->dim).s);
		else
			n *= a->dim[i];
	}
	if (open >= 0 ? x->count % n != 0 : n != x->count)
		return infer_bad(c, "%s has %lld elements, %s cannot hold them", SHAPE(x), (long long)x->count,
		                 shape_text(a->rank, a->dim).s);
	if (open >= 0)
		a->dim[open] = x->count / n;
	return infer_shape(c, 0, x->dtype, a->rank, a->dim);
}

bool infer_permute(struct infer *c)
{
	const struct rec_value *x = c->in[0];
	struct rein_attr *a = c->attr;
	int64_t dim[REIN_MAX_RANK];
	uint32_t seen = 0;

	for (uint32_t i = 0; i < a->rank && a->rank == x->rank; i++)
		if (a->dim[i] >= 0 && a->dim[i] < (int64_t)x->rank) {
			seen |= 1u << a->dim[i];
			dim[i] = x->dim[a->dim[i]];
		}
	if (a->rank != x->rank || seen != (1u << x->rank) - 1)
		return infer_bad(c, "%s is no order of the axes of %s", shape_text(a->rank > 6 ? 6 : a->rank, a->dim).s,
		                 SHAPE(x));
	return infer_shape(c, 0, x->dtype, x->rank, dim);
}

bool infer_expand(struct infer *c)
{
	const struct rec_value *x = c->in[0];
	struct rein_attr *a = c->attr;
	bool ok = a->rank == x->rank || x->rank == 0;

	for (uint32_t i = 0; ok && i < x->rank; i++)
		ok = x->dim[i] == a->dim[i] || x->dim[i] == 1;
	if (!ok || a->rank > REIN_MAX_RANK)
		return infer_bad(c, "%s cannot become %s: only axes of size 1 are repeated", SHAPE(x),
		                 shape_text(a->rank > 6 ? 6 : a->rank, a->dim).s);
	return infer_shape(c, 0, x->dtype, a->rank, a->dim);
}

/* Does a slice of count n at start, step lie inside 0..size-1 ? */
static bool inside(int64_t size, int64_t start, int64_t n, int64_t step)
{
	int64_t last;
	if (!step || n < 1 || start < 0 || start >= size || n > size || step > size || step < -size)
		return n == 1 && step != 0 && start >= 0 && start < size;
	last = start + (n - 1) * step;
	return last >= 0 && last < size;
}

bool infer_slice(struct infer *c)
{
	const struct rec_value *x = c->in[0];
	struct rein_attr *a = c->attr;

	if (a->rank != x->rank)
		return infer_bad(c, "%u axes given for %s", a->rank, SHAPE(x));
	for (uint32_t i = 0; i < x->rank; i++)
		if (!inside(x->dim[i], a->start[i], a->dim[i], a->step[i]))
			return infer_bad(c, "axis %u of %s: %lld from %lld by %lld is outside", i, SHAPE(x), (long long)a->dim[i],
			                 (long long)a->start[i], (long long)a->step[i]);
	return infer_shape(c, 0, x->dtype, x->rank, a->dim);
}

bool infer_unslice(struct infer *c)
{
	const struct rec_value *x = c->in[0];
	struct rein_attr *a = c->attr;

	if (a->rank != x->rank)
		return infer_bad(c, "%s into a shape of %u axes", SHAPE(x), a->rank);
	for (uint32_t i = 0; i < x->rank; i++)
		if (!inside(a->dim[i], a->start[i], x->dim[i], a->step[i]))
			return infer_bad(c, "axis %u of %s: from %lld by %lld is outside of %s", i, SHAPE(x),
			                 (long long)a->start[i], (long long)a->step[i], shape_text(a->rank, a->dim).s);
	return infer_shape(c, 0, x->dtype, x->rank, a->dim);
}

bool infer_concat(struct infer *c)
{
	const struct rec_value *x = c->in[0];
	int axis = infer_axis(c);
	int64_t dim[REIN_MAX_RANK];

	if (axis < 0)
		return infer_bad(c, "goes along exactly one axis of %s", SHAPE(x));
	memcpy(dim, x->dim, sizeof dim);
	for (uint32_t k = 1; k < c->n_in; k++) {
		const struct rec_value *v = c->in[k];
		bool ok = v->rank == x->rank && v->dtype == x->dtype;
		for (int i = 0; ok && i < (int)x->rank; i++)
			ok = i == axis || v->dim[i] == x->dim[i];
		if (!ok)
			return infer_bad(c, "%s %s and %s %s do not fit along axis %d", dtype_name(x->dtype), SHAPE(x),
			                 dtype_name(v->dtype), SHAPE(v), axis);
		dim[axis] += v->dim[axis];
	}
	return infer_shape(c, 0, x->dtype, x->rank, dim);
}

/* --- indices ---------------------------------------------------------------------------------------- */
/* x (B..,n,T..), idx (B..,m..) -> (B..,m..,T..); batch dimensions equal or 1 */
bool infer_take(struct infer *c)
{
	const struct rec_value *x = c->in[0], *i = c->in[1];
	uint32_t b = c->attr->batch, rank = 0;
	int64_t dim[2 * REIN_MAX_RANK];

	if (!i32(c, 1))
		return false;
	if (b >= x->rank || b > i->rank)
		return infer_bad(c, "x %s and index %s do not have %u batch axes and one to take from", SHAPE(x), SHAPE(i), b);
	for (; rank < b; rank++) {
		int64_t p = x->dim[rank], q = i->dim[rank];
		if (p != q && p != 1 && q != 1)
			return infer_bad(c, "x %s and index %s do not fit: batch axis %u has %lld and %lld", SHAPE(x), SHAPE(i),
			                 rank, (long long)p, (long long)q);
		dim[rank] = p > q ? p : q;
	}
	for (uint32_t k = b; k < i->rank; k++)
		dim[rank++] = i->dim[k];
	for (uint32_t k = b + 1; k < x->rank; k++)
		dim[rank++] = x->dim[k];
	return infer_shape(c, 0, x->dtype, rank, dim);
}

/* [base,] idx (B..,m..), src (B..,m..,T..) -> (B..,n,T..) */
bool infer_put(struct infer *c)
{
	struct rein_attr *a = c->attr;
	bool has = c->n_in == 3;
	const struct rec_value *base = has ? c->in[0] : NULL;
	uint32_t b = a->batch, rank = 0;
	int64_t dim[REIN_MAX_RANK + 1];

	if (c->n_in < 2 || c->n_in > 3)
		return infer_bad(c, "takes [base,] index and source");
	const struct rec_value *i = c->in[c->n_in - 2], *s = c->in[c->n_in - 1];
	if (!i32(c, c->n_in - 2))
		return false;
	if (a->mode == REIN_PUT_ADD && s->dtype != REIN_REAL_T && s->dtype != REIN_I32_T)
		return infer_bad(c, "adding takes real or i32, not %s %s", dtype_name(s->dtype), SHAPE(s));
	if (b > i->rank || s->rank < i->rank || memcmp(i->dim, s->dim, i->rank * sizeof *i->dim) != 0)
		return infer_bad(c,
		                 "index %s and source %s do not fit: the source begins with the index's shape (%u batch axes)",
		                 SHAPE(i), SHAPE(s), b);
	for (; rank < b; rank++)
		dim[rank] = i->dim[rank];
	if (!a->dim[0] && base && base->rank > b)
		a->dim[0] = base->dim[b];
	dim[rank++] = a->dim[0];
	for (uint32_t k = i->rank; k < s->rank; k++)
		dim[rank++] = s->dim[k];
	if (!infer_shape(c, 0, s->dtype, rank, dim))
		return false;
	if (base && (base->dtype != s->dtype || base->rank != rank || memcmp(base->dim, dim, rank * sizeof *dim) != 0))
		return infer_bad(c, "base is %s %s, the result %s %s", dtype_name(base->dtype), SHAPE(base),
		                 dtype_name(s->dtype), shape_text(rank, dim).s);
	return true;
}

bool infer_sort(struct infer *c)
{
	const struct rec_value *x = c->in[0];
	if ((x->dtype != REIN_REAL_T && x->dtype != REIN_I32_T) || !x->rank)
		return infer_bad(c, "takes real or i32 of rank 1 or more, not %s %s", dtype_name(x->dtype), SHAPE(x));
	return infer_shape(c, 0, x->dtype, x->rank, x->dim) && infer_shape(c, 1, REIN_I32_T, x->rank, x->dim);
}

bool infer_smallest(struct infer *c)
{
	const struct rec_value *x = c->in[0], *k = c->in[1];
	if (!real(c, 0) || !i32(c, 1))
		return false;
	if (!x->rank || k->rank)
		return infer_bad(c, "takes rows and a scalar count, got %s and %s", SHAPE(x), SHAPE(k));
	return infer_shape(c, 0, REIN_BOOL_T, x->rank, x->dim);
}

/* x (N,C,H,W), xy (N,Ho,Wo,2) -> (N,C,Ho,Wo) */
bool infer_warp(struct infer *c)
{
	const struct rec_value *x = c->in[0], *xy = c->in[1];
	if (!real(c, 0) || !real(c, 1) || !rank_is(c, 0, 4) || !rank_is(c, 1, 4))
		return false;
	if (xy->dim[0] != x->dim[0] || xy->dim[3] != 2)
		return infer_bad(c, "x %s needs coordinates (%lld,Ho,Wo,2), got %s", SHAPE(x), (long long)x->dim[0], SHAPE(xy));
	if (c->attr->mode > REIN_BILINEAR)
		return infer_bad(c, "mode %u is not known", c->attr->mode);
	return infer_shape(c, 0, REIN_REAL_T, 4, (int64_t[]){ x->dim[0], x->dim[1], xy->dim[1], xy->dim[2] });
}

/* --- coarse nets --------------------------------------------------------------------------------------- */
bool infer_cross_entropy(struct infer *c)
{
	const struct rec_value *z = c->in[0], *y = c->in[1];
	if (!real(c, 0) || !rank_is(c, 0, 2))
		return false;
	bool hard = y->dtype == REIN_I32_T && y->rank == 1 && y->dim[0] == z->dim[0];
	bool soft = y->dtype == REIN_REAL_T && y->rank == 2 && y->dim[0] == z->dim[0] && y->dim[1] == z->dim[1];
	if (!hard && !soft)
		return infer_bad(c, "logits %s need classes i32 (%lld) or probabilities real %s, got %s %s", SHAPE(z),
		                 (long long)z->dim[0], SHAPE(z), dtype_name(y->dtype), SHAPE(y));
	return infer_shape(c, 0, REIN_REAL_T, 1, z->dim);
}

/* Operand k must have x's rank, 1 on the reduced axes, x's size elsewhere. */
static bool per_channel(struct infer *c, uint32_t k, const char *name)
{
	const struct rec_value *x = c->in[0], *v = c->in[k];
	bool ok = v->dtype == REIN_REAL_T && v->rank == x->rank;
	for (uint32_t i = 0; ok && i < x->rank; i++)
		ok = v->dim[i] == ((c->attr->axes >> i & 1) ? 1 : x->dim[i]);
	return ok ||
	       infer_bad(c, "%s is %s; for x %s it has x's rank and 1 on each reduced axis", name, SHAPE(v), SHAPE(x));
}

static bool norm_axes(struct infer *c)
{
	c->attr->axes &= (1u << c->in[0]->rank) - 1;
	return c->attr->axes || infer_bad(c, "no axes to reduce in %s", SHAPE(c->in[0]));
}

bool infer_batch_norm(struct infer *c)
{
	const struct rec_value *x = c->in[0];
	return real(c, 0) && norm_axes(c) && per_channel(c, 1, "gamma") && per_channel(c, 2, "beta") &&
	       infer_shape(c, 0, REIN_REAL_T, x->rank, x->dim) && infer_shape(c, 1, REIN_REAL_T, x->rank, c->in[1]->dim) &&
	       infer_shape(c, 2, REIN_REAL_T, x->rank, c->in[1]->dim);
}

bool infer_batch_norm_dx(struct infer *c)
{
	const struct rec_value *x = c->in[0], *g = c->in[4];
	if (!real(c, 0) || !real(c, 4) || !norm_axes(c) || !per_channel(c, 1, "gamma") || !per_channel(c, 2, "mean") ||
	    !per_channel(c, 3, "1/sigma"))
		return false;
	if (g->rank != x->rank || memcmp(g->dim, x->dim, x->rank * sizeof *x->dim) != 0)
		return infer_bad(c, "x is %s, g %s", SHAPE(x), SHAPE(g));
	return infer_shape(c, 0, REIN_REAL_T, x->rank, x->dim) && infer_shape(c, 1, REIN_REAL_T, x->rank, c->in[1]->dim) &&
	       infer_shape(c, 2, REIN_REAL_T, x->rank, c->in[1]->dim);
}
