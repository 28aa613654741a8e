/* SPDX-License-Identifier: MIT
 *
 * grad_shape.c: derivative rules of contractions, windows, views, indices and coarse ops.
 * See grad_rules.c for the words used.
 */
#include "rec.h"
#include "rein/math.h"

#include <string.h>

/* --- contraction --------------------------------------------------------------------------- */
/* y = op(a) op(b): each operand's gradient is again one product, transposed by flags:
 *           y = a b      aT b       a bT      aT bT
 *   da =    g bT         b gT       g b       bT gT
 *   db =    aT g         a g        gT a      gT aT   */
void grad_matmul(struct grad *c)
{
	uint32_t f = c->i->attr.flags & (REIN_TA | REIN_TB);
	rein_val g = c->g[0], a = c->in[0], b = c->in[1], t;

	if (c->need[0]) {
		t = f == 0         ? rein_matmul(c->rec, g, b, REIN_TB)
		    : f == REIN_TA ? rein_matmul(c->rec, b, g, REIN_TB)
		    : f == REIN_TB ? rein_matmul(c->rec, g, b, 0)
		                   : rein_matmul(c->rec, b, g, REIN_TA | REIN_TB);
		c->gin[0] = grad_to(c->r, t, a);
	}
	if (c->need[1]) {
		t = f == 0         ? rein_matmul(c->rec, a, g, REIN_TA)
		    : f == REIN_TA ? rein_matmul(c->rec, a, g, 0)
		    : f == REIN_TB ? rein_matmul(c->rec, g, a, REIN_TA)
		                   : rein_matmul(c->rec, g, a, REIN_TA | REIN_TB);
		c->gin[1] = grad_to(c->r, t, b);
	}
}

/* The op with the same window attributes; `like`: the value whose shape goes into dim. */
static rein_val same_window(struct grad *c, uint32_t op, rein_val x, rein_val y, const rein_val *like)
{
	struct rein_attr a = c->i->attr;
	rein_val in[2] = { x, y }, out;
	uint32_t n = REIN_IS_NONE(y) ? 1 : 2;

	memset(a.dim, 0, sizeof a.dim);
	a.rank = 0;
	if (like) {
		a.rank = rec_value(c->r, *like)->rank;
		memcpy(a.dim, rec_value(c->r, *like)->dim, a.rank * sizeof *a.dim);
	}
	rein_op(c->rec, op, n, in, &a, 1, &out);
	return out;
}

void grad_conv(struct grad *c)
{
	if (c->need[0])
		c->gin[0] = same_window(c, REIN_OP_CONV2D_DX, c->g[0], c->in[1], &c->in[0]);
	if (c->need[1])
		c->gin[1] = same_window(c, REIN_OP_CONV2D_DW, c->in[0], c->g[0], &c->in[1]);
}

void grad_conv_dx(struct grad *c)
{
	if (c->need[0])
		c->gin[0] = same_window(c, REIN_OP_CONV2D, c->g[0], c->in[1], NULL);
	if (c->need[1])
		c->gin[1] = same_window(c, REIN_OP_CONV2D_DW, c->g[0], c->in[0], &c->in[1]);
}

void grad_conv_dw(struct grad *c)
{
	if (c->need[0])
		c->gin[0] = same_window(c, REIN_OP_CONV2D_DX, c->in[1], c->g[0], &c->in[0]);
	if (c->need[1])
		c->gin[1] = same_window(c, REIN_OP_CONV2D, c->in[0], c->g[0], NULL);
}

/* --- windows ----------------------------------------------------------------------------------- */
void grad_max_pool(struct grad *c) { c->gin[0] = same_window(c, REIN_OP_MAX_POOL_DX, c->g[0], c->out[1], &c->in[0]); }

/* take(h, index) within each plane */
void grad_max_pool_dx(struct grad *c)
{
	struct rec_value g = *rec_value(c->r, c->in[0]), x = *rec_value(c->r, c->out[0]);
	int64_t plane[3] = { x.dim[0], x.dim[1], x.dim[2] * x.dim[3] },
			small[3] = { g.dim[0], g.dim[1], g.dim[2] * g.dim[3] };
	rein_val h = rein_reshape(c->rec, c->g[0], 3, plane), i = rein_reshape(c->rec, c->in[1], 3, small);
	c->gin[0] = rein_reshape(c->rec, rein_take(c->rec, h, i, 2), 4, g.dim);
}

void grad_avg_pool(struct grad *c)
{
	if (c->i->op == REIN_OP_AVG_POOL)
		c->gin[0] = same_window(c, REIN_OP_AVG_POOL_DX, c->g[0], REIN_NONE, &c->in[0]);
	else
		c->gin[0] = same_window(c, REIN_OP_AVG_POOL, c->g[0], REIN_NONE, NULL);
}

/* --- views --------------------------------------------------------------------------------------- */
void grad_reshape(struct grad *c)
{
	struct rec_value x = *rec_value(c->r, c->in[0]);
	c->gin[0] = rein_reshape(c->rec, c->g[0], x.rank, x.dim);
}

void grad_permute(struct grad *c)
{
	int64_t back[REIN_MAX_RANK];
	for (uint32_t i = 0; i < c->i->attr.rank; i++)
		back[c->i->attr.dim[i]] = i;
	c->gin[0] = rein_permute(c->rec, c->g[0], c->i->attr.rank, back);
}

void grad_expand(struct grad *c) { c->gin[0] = grad_to(c->r, c->g[0], c->in[0]); }

static void other_slice(struct grad *c, uint32_t op)
{
	struct rein_attr a = c->i->attr;
	memcpy(a.dim, rec_value(c->r, c->in[0])->dim, a.rank * sizeof *a.dim);
	rein_op(c->rec, op, 1, &c->g[0], &a, 1, &c->gin[0]);
}

void grad_slice(struct grad *c) { other_slice(c, REIN_OP_UNSLICE); }
void grad_unslice(struct grad *c) { other_slice(c, REIN_OP_SLICE); }

void grad_concat(struct grad *c)
{
	uint32_t axis = 0;
	int64_t at = 0;
	while (!(c->i->attr.axes >> axis & 1))
		axis++;
	for (uint32_t k = 0; k < c->i->n_in; k++) {
		int64_t n = rein_dim(c->rec, c->in[k], (int32_t)axis);
		if (c->need[k])
			c->gin[k] = rein_narrow(c->rec, c->g[0], axis, at, n);
		at += n;
	}
}

/* --- indices --------------------------------------------------------------------------------------- */
/* put(g, idx, n); an index shared by a batch is repeated for it first, an x shared is summed */
void grad_take(struct grad *c)
{
	uint32_t b = c->i->attr.batch;
	struct rec_value x = *rec_value(c->r, c->in[0]), i = *rec_value(c->r, c->in[1]), g = *rec_value(c->r, c->g[0]);
	rein_val idx = c->in[1];

	if (memcmp(i.dim, g.dim, b * sizeof *i.dim) != 0) {
		memcpy(i.dim, g.dim, b * sizeof *i.dim);
		idx = rein_expand(c->rec, idx, i.rank, i.dim);
	}
	c->gin[0] = grad_to(c->r, rein_put(c->rec, REIN_NONE, idx, c->g[0], b, x.dim[b], REIN_PUT_ADD), c->in[0]);
}

void grad_put(struct grad *c)
{
	uint32_t n = c->i->n_in;
	if (n == 3 && c->need[0])
		c->gin[0] = c->g[0];
	if (c->need[n - 1])
		c->gin[n - 1] = rein_take(c->rec, c->g[0], c->in[n - 2], c->i->attr.batch);
}

void grad_sort(struct grad *c)
{
	struct rec_value x = *rec_value(c->r, c->in[0]);
	c->gin[0] = rein_put(c->rec, REIN_NONE, c->out[1], c->g[0], x.rank - 1, x.dim[x.rank - 1], REIN_PUT_ADD);
}

/* --- coarse nets ----------------------------------------------------------------------------------------- */
/* g - exp(y) sum g */
void grad_log_softmax(struct grad *c)
{
	rein_val s = rein_sum_over(c->rec, c->g[0], c->i->attr.axes, REIN_KEEP);
	c->gin[0] = rein_sub(c->rec, c->g[0], rein_mul(c->rec, rein_exp(c->rec, c->out[0]), s));
}

/* Classes y: (softmax - one_hot) g, 0 for a row whose label is outside.
 * Probabilities p: (softmax sum p - p) g; for p: -log_softmax g. */
void grad_cross_entropy(struct grad *c)
{
	struct rein_rec *r = c->rec;
	rein_val z = c->in[0], y = c->in[1], zero = rein_scalar(r, 0);
	int64_t n = rein_dim(r, z, 0), k = rein_dim(r, z, 1), col[2] = { n, 1 };
	rein_val ls = rein_log_softmax(r, z, 1), g = rein_reshape(r, c->g[0], 2, col);

	if (rein_dtype(r, y) == REIN_I32_T) {
		rein_val inside = rein_and(r, rein_le(r, rein_scalar_i(r, 0), y), rein_lt(r, y, rein_scalar_i(r, (int32_t)k)));
		rein_val sm = rein_exp(r, ls), hot = rein_one_hot(r, y, k);
		g = rein_reshape(r, rein_where(r, inside, c->g[0], zero), 2, col);
		c->gin[0] = rein_mul(r, rein_where(r, hot, rein_offset(r, sm, -1), sm), g);
		return;
	}
	if (c->need[0]) {
		rein_val total = rein_sum_over(r, y, REIN_AXIS(1), REIN_KEEP);
		c->gin[0] = rein_mul(r, rein_sub(r, rein_mul(r, rein_exp(r, ls), total), y), g);
	}
	if (c->need[1])
		c->gin[1] = rein_mul(r, ls, rein_neg(r, g));
}

/* y through batch_norm_dx; mean and variance as moments: g_m / n + g_v 2 (x - mean) / n */
void grad_batch_norm(struct grad *c)
{
	struct rein_rec *r = c->rec;
	struct rec_value x = *rec_value(c->r, c->in[0]);
	double n = rein_count_over_(r, c->in[0], c->i->attr.axes);

	if (!REIN_IS_NONE(c->g[0])) {
		rein_val sigma = rein_sqrt(r, rein_offset(r, c->out[2], c->i->attr.par[0]));
		rein_val in[5] = { c->in[0], c->in[1], c->out[1], rein_div(r, rein_scalar(r, 1), sigma), c->g[0] }, out[3];
		struct rein_attr a = { .struct_size = sizeof a, .axes = c->i->attr.axes };
		rein_op(r, REIN_OP_BATCH_NORM_DX, 5, in, &a, 3, out);
		memcpy(c->gin, out, sizeof out);
	}
	if (!c->need[0])
		return;
	if (!REIN_IS_NONE(c->g[1])) {
		rein_val m = rein_expand(r, rein_scale(r, c->g[1], 1 / n), x.rank, x.dim);
		c->gin[0] = REIN_IS_NONE(c->gin[0]) ? m : rein_add(r, c->gin[0], m);
	}
	if (!REIN_IS_NONE(c->g[2])) {
		rein_val v = rein_mul(r, rein_sub(r, c->in[0], c->out[1]), rein_scale(r, c->g[2], 2 / n));
		c->gin[0] = REIN_IS_NONE(c->gin[0]) ? v : rein_add(r, c->gin[0], v);
	}
}

static void pass(const void *ctx, struct rein_rec *r, const rein_val *in, const rein_val *out, const rein_val *g,
                 rein_val *gin)
{
	gin[0] = g[0];
}

/* The decomposition is recorded and differentiated instead; on identities of the operands,
 * so that operands which depend on each other are not counted twice, while derivatives of
 * this derivative still find their way to them. */
void grad_by_expansion(struct grad *c)
{
	rein_val in[8], out[REC_MAX_OUT], wrt[8], g[8];
	uint32_t n = 0, at[8];

	for (uint32_t k = 0; k < c->i->n_in; k++) {
		in[k] = rein_override(c->rec, c->in[k], 1, &c->in[k], pass, NULL);
		if (c->need[k]) {
			wrt[n] = in[k];
			at[n++] = k;
		}
	}
	struct rein_attr a = c->i->attr;
	rec_expand(c->r, c->i->op, c->i->n_in, in, &a, c->i->n_out, out);
	if (c->r->failed)
		return;
	grads_core(c->r, c->i->n_out, out, c->g, n, wrt, g);
	for (uint32_t k = 0; k < n; k++)
		c->gin[at[k]] = g[k];
}
