/* SPDX-License-Identifier: MIT
 *
 * grad_rules.c: which ops have a derivative, and the rules of elementwise ops, reductions
 * and ops that bring their own. In comments g is the gradient of the result y, to(.) the
 * sum over broadcast axes. Rules prefer y over x (so that x need not stay alive) and put
 * safe values inside the branches of where, since 0 * inf would leak into a second
 * derivative.
 */
#include "rec.h"
#include "rein/kernel.h"
#include "rein/math.h"

#include <string.h>

uint32_t grad_kind(const struct recorder *r, const struct rec_instr *i)
{
	switch (i->op) {
	case REIN_OP_CONST:
	case REIN_OP_IOTA:
	case REIN_OP_READ:
	case REIN_OP_RANDOM:
	case REIN_OP_INPUT:
	case REIN_OP_SIGN:
	case REIN_OP_FLOOR:
	case REIN_OP_RINT:
	case REIN_OP_LT:
	case REIN_OP_LE:
	case REIN_OP_EQ:
	case REIN_OP_AND:
	case REIN_OP_NOT:
	case REIN_OP_ARGMAX:
	case REIN_OP_SMALLEST: return GRAD_ZERO;
	case REIN_OP_STOP: return i->rule ? GRAD_RULE : GRAD_ZERO;
	case REIN_OP_REPEAT: return GRAD_REFUSE;
	case REIN_OP_MAP: return ((const struct rein_map *)i->attr.data)->vjp ? GRAD_RULE : GRAD_REFUSE;
	case REIN_OP_CUSTOM: return ((const struct rein_custom *)i->ext)->vjp ? GRAD_RULE : GRAD_REFUSE;
	case REIN_OP_PUT: return i->attr.mode == REIN_PUT_SET ? GRAD_REFUSE : GRAD_RULE;
	default: return GRAD_RULE; /* results that are no reals are never marked */
	}
}

bool grad_reaches(const struct rec_instr *i, uint32_t operand)
{
	if (i->op == REIN_OP_STOP)
		return i->rule && operand > 0;
	if (i->op == REIN_OP_WARP && operand == 1)
		return i->attr.mode == REIN_BILINEAR;
	return true;
}

rein_val grad_to(struct recorder *r, rein_val g, rein_val like)
{
	if (REIN_IS_NONE(g))
		return g;
	/* copies: the array moves as ops are added */
	struct rec_value a = *rec_value(r, g), b = *rec_value(r, like);
	struct rein_rec *rec = &r->rec;
	uint32_t axes = 0, flags = b.rank ? REIN_KEEP : 0;

	if (a.rank == b.rank && !memcmp(a.dim, b.dim, a.rank * sizeof *a.dim))
		return g;
	if (a.rank == 0)
		return rein_expand(rec, g, b.rank, b.dim);
	for (uint32_t i = 0; i < a.rank; i++)
		if (!b.rank || (b.dim[i] == 1 && a.dim[i] > 1))
			axes |= REIN_AXIS(i);
	if (a.dtype == REIN_WIDE_T)
		return rein_sum_over(rec, rein_cast(rec, g, REIN_REAL_T), axes, flags | REIN_WIDE);
	return rein_sum_over(rec, g, axes, flags);
}

/* gin[k] = to(v) */
static void give(struct grad *c, uint32_t k, rein_val v) { c->gin[k] = grad_to(c->r, v, c->in[k]); }

/* --- elementwise -------------------------------------------------------------------------------- */
static void arithmetic(struct grad *c)
{
	rein_val g = c->g[0], a = c->in[0], b = c->in[1];

	switch (c->i->op) {
	case REIN_OP_ADD:
		for (uint32_t k = 0; k < 2; k++)
			if (c->need[k])
				give(c, k, g);
		return;
	case REIN_OP_SUB:
		if (c->need[0])
			give(c, 0, g);
		if (c->need[1]) {
			rein_val t = grad_to(c->r, g, b); /* negate what is left of it */
			rein_val m = rein_fill(c->rec, rein_dtype(c->rec, t), -1, 0, NULL);
			c->gin[1] = rein_mul(c->rec, t, m);
		}
		return;
	case REIN_OP_MUL:
		if (a.id == b.id && c->need[0]) { /* x * x: (2 g) x, since g is often a scalar repeated */
			rein_val two = rein_fill(c->rec, rein_dtype(c->rec, g), 2, 0, NULL);
			c->gin[0] = rein_mul(c->rec, rein_mul(c->rec, g, two), a);
			return;
		}
		if (c->need[0])
			give(c, 0, rein_mul(c->rec, g, b));
		if (c->need[1])
			give(c, 1, rein_mul(c->rec, g, a));
		return;
	default: { /* DIV: t = g / b; to(t), -to(t y) */
		rein_val t = rein_div(c->rec, g, b);
		if (c->need[0])
			give(c, 0, t);
		if (c->need[1])
			c->gin[1] = rein_neg(c->rec, grad_to(c->r, rein_mul(c->rec, t, c->out[0]), b));
	}
	}
}

/* where(b < a, g, where(a == b, g/2, 0)) and mirrored */
static void maximum(struct grad *c)
{
	struct rein_rec *r = c->rec;
	rein_val half = rein_where(r, rein_eq(r, c->in[0], c->in[1]), rein_scale(r, c->g[0], 0.5), rein_scalar(r, 0));
	for (uint32_t k = 0; k < 2; k++)
		if (c->need[k])
			give(c, k, rein_where(r, rein_lt(r, c->in[1 - k], c->in[k]), c->g[0], half));
}

/* a: where(b == 0, 0, g b a^(b-1)); b: where(a == 0, 0, g y log a) */
static void power(struct grad *c)
{
	struct rein_rec *r = c->rec;
	rein_val zero = rein_scalar(r, 0), one = rein_scalar(r, 1), a = c->in[0], b = c->in[1], g = c->g[0];

	if (c->need[0]) {
		rein_val none = rein_eq(r, b, zero), safe = rein_where(r, none, one, b);
		rein_val d = rein_mul(r, safe, rein_pow(r, a, rein_sub(r, safe, one)));
		give(c, 0, rein_where(r, none, zero, rein_mul(r, g, d)));
	}
	if (c->need[1]) {
		rein_val none = rein_eq(r, a, zero), safe = rein_where(r, none, one, a);
		give(c, 1, rein_where(r, none, zero, rein_mul(r, rein_mul(r, g, c->out[0]), rein_log(r, safe))));
	}
}

static void function(struct grad *c)
{
	struct rein_rec *r = c->rec;
	rein_val g = c->g[0], x = c->in[0], y = c->out[0];
	rein_val one = rein_scalar(r, 1), zero = rein_scalar(r, 0), none;

	switch (c->i->op) {
	case REIN_OP_ABS: c->gin[0] = rein_mul(r, g, rein_sign(r, x)); return;
	case REIN_OP_EXP: c->gin[0] = rein_mul(r, g, y); return;
	case REIN_OP_LOG: c->gin[0] = rein_div(r, g, x); return;
	case REIN_OP_LOG1P: c->gin[0] = rein_div(r, g, rein_add(r, one, x)); return;
	case REIN_OP_SQRT: /* 0 at 0 */
		none = rein_eq(r, y, zero);
		c->gin[0] = rein_where(r, none, zero, rein_div(r, g, rein_scale(r, rein_where(r, none, one, y), 2)));
		return;
	case REIN_OP_SIN: c->gin[0] = rein_mul(r, g, rein_cos(r, x)); return;
	case REIN_OP_COS: c->gin[0] = rein_neg(r, rein_mul(r, g, rein_sin(r, x))); return;
	case REIN_OP_ERF: /* 2/sqrt(pi) exp(-x^2) */
		c->gin[0] = rein_mul(r, g, rein_scale(r, rein_exp(r, rein_neg(r, rein_square(r, x))), 1.1283791670955126));
		return;
	case REIN_OP_TANH: c->gin[0] = rein_mul(r, g, rein_sub(r, one, rein_square(r, y))); return;
	default: /* SIGMOID */ c->gin[0] = rein_mul(r, g, rein_mul(r, y, rein_sub(r, one, y))); return;
	}
}

static void where(struct grad *c)
{
	rein_val zero = rein_fill(c->rec, rein_dtype(c->rec, c->g[0]), 0, 0, NULL);
	if (c->need[1])
		give(c, 1, rein_where(c->rec, c->in[0], c->g[0], zero));
	if (c->need[2])
		give(c, 2, rein_where(c->rec, c->in[0], zero, c->g[0]));
}

/* --- reductions ------------------------------------------------------------------------------------ */
/* v, which lost the op's axes, with size 1 on them again. */
static rein_val kept(struct grad *c, rein_val v)
{
	struct rec_value x = *rec_value(c->r, c->in[0]);
	for (uint32_t i = 0; i < x.rank; i++)
		if (c->i->attr.axes >> i & 1)
			x.dim[i] = 1;
	return rein_reshape(c->rec, v, x.rank, x.dim);
}

static void sum(struct grad *c)
{
	struct rec_value x = *rec_value(c->r, c->in[0]);
	rein_val g = c->g[0];
	if (rein_dtype(c->rec, g) != x.dtype)
		g = rein_cast(c->rec, g, x.dtype);
	c->gin[0] = rein_expand(c->rec, kept(c, g), x.rank, x.dim);
}

/* The largest share the gradient evenly: e = (x == y), e g / sum e. */
static void amax(struct grad *c)
{
	struct rein_rec *r = c->rec;
	rein_val e = rein_cast(r, rein_eq(r, c->in[0], kept(c, c->out[0])), REIN_REAL_T);
	rein_val n = rein_sum_over(r, e, c->i->attr.axes, REIN_KEEP);
	c->gin[0] = rein_mul(r, e, rein_div(r, kept(c, c->g[0]), n));
}

static void cumsum(struct grad *c)
{
	struct rein_attr a = c->i->attr;
	a.flags ^= REIN_REVERSE;
	rein_op(c->rec, REIN_OP_CUMSUM, 1, &c->g[0], &a, 1, &c->gin[0]);
}

/* g_mean / n + g_var 2 (x - mean) / n */
static void moments(struct grad *c)
{
	struct rein_rec *r = c->rec;
	struct rec_value x = *rec_value(c->r, c->in[0]);
	double n = rein_count_over_(r, c->in[0], c->i->attr.axes);
	rein_val t = REIN_NONE;

	if (!REIN_IS_NONE(c->g[1]))
		t = rein_mul(r, rein_sub(r, c->in[0], c->out[0]), rein_scale(r, c->g[1], 2 / n));
	if (!REIN_IS_NONE(c->g[0])) {
		rein_val m = rein_expand(r, rein_scale(r, c->g[0], 1 / n), x.rank, x.dim);
		t = REIN_IS_NONE(t) ? m : rein_add(r, m, t);
	}
	c->gin[0] = t;
}

/* --- ops that bring their own ------------------------------------------------------------------------ */
static void own(struct grad *c)
{
	const struct rein_map *m = c->i->attr.data;
	const struct rein_custom *f = c->i->ext;
	const char *name = c->i->op == REIN_OP_MAP ? m->name : c->i->op == REIN_OP_CUSTOM ? f->name : "override";
	uint32_t skip = c->i->op == REIN_OP_STOP; /* operand 0 of a STOP is y itself */
	rein_val *gin = c->gin + skip;

	if (c->i->op == REIN_OP_MAP)
		m->vjp(m, c->rec, c->in, c->out, c->g, gin);
	else if (c->i->op == REIN_OP_CUSTOM)
		f->vjp(f->ctx, c->rec, c->in, c->out, c->g, gin);
	else
		c->i->rule(c->i->rule_ctx, c->rec, c->in + 1, c->out, c->g, gin);
	for (uint32_t k = skip; k < c->i->n_in; k++) {
		if (!c->need[k] || REIN_IS_NONE(c->gin[k]))
			continue;
		c->gin[k] = rec_use(c->r, c->gin[k], name);
		if (REC_IS_POISON(c->gin[k]))
			return;
		struct rec_value x = *rec_value(c->r, c->in[k]), v = *rec_value(c->r, c->gin[k]), joined = { 0 };
		struct infer fit = { 0 };
		bool ok = v.dtype == x.dtype && infer_join(&fit, &x, &v, &joined.rank, joined.dim) &&
		          (v.rank == 0 || (joined.rank == v.rank && !memcmp(joined.dim, v.dim, v.rank * sizeof *v.dim)));
		if (!ok) {
			rec_refuse(c->r, "the derivative of '%s' gave %s %s for operand %u of shape %s", name, dtype_name(v.dtype),
			           SHAPE(&v), k - skip, SHAPE(&x));
			c->gin[k] = REC_POISON;
			return;
		}
		give(c, k, c->gin[k]);
	}
}

void grad_rule(struct grad *c)
{
	switch (c->i->op) {
	case REIN_OP_ADD:
	case REIN_OP_SUB:
	case REIN_OP_MUL:
	case REIN_OP_DIV: arithmetic(c); return;
	case REIN_OP_MAX: maximum(c); return;
	case REIN_OP_POW: power(c); return;
	case REIN_OP_WHERE: where(c); return;
	case REIN_OP_CAST: {
		uint32_t t = rein_dtype(c->rec, c->in[0]);
		c->gin[0] = rein_dtype(c->rec, c->g[0]) == t ? c->g[0] : rein_cast(c->rec, c->g[0], t);
		return;
	}
	case REIN_OP_MAP:
	case REIN_OP_CUSTOM:
	case REIN_OP_STOP: own(c); return;
	case REIN_OP_SUM: sum(c); return;
	case REIN_OP_AMAX: amax(c); return;
	case REIN_OP_CUMSUM: cumsum(c); return;
	case REIN_OP_MOMENTS: moments(c); return;
	case REIN_OP_MATMUL: grad_matmul(c); return;
	case REIN_OP_CONV2D: grad_conv(c); return;
	case REIN_OP_CONV2D_DX: grad_conv_dx(c); return;
	case REIN_OP_CONV2D_DW: grad_conv_dw(c); return;
	case REIN_OP_MAX_POOL: grad_max_pool(c); return;
	case REIN_OP_MAX_POOL_DX: grad_max_pool_dx(c); return;
	case REIN_OP_AVG_POOL:
	case REIN_OP_AVG_POOL_DX: grad_avg_pool(c); return;
	case REIN_OP_RESHAPE: grad_reshape(c); return;
	case REIN_OP_PERMUTE: grad_permute(c); return;
	case REIN_OP_EXPAND: grad_expand(c); return;
	case REIN_OP_SLICE: grad_slice(c); return;
	case REIN_OP_UNSLICE: grad_unslice(c); return;
	case REIN_OP_CONCAT: grad_concat(c); return;
	case REIN_OP_TAKE: grad_take(c); return;
	case REIN_OP_PUT: grad_put(c); return;
	case REIN_OP_SORT: grad_sort(c); return;
	case REIN_OP_LOG_SOFTMAX: grad_log_softmax(c); return;
	case REIN_OP_CROSS_ENTROPY: grad_cross_entropy(c); return;
	case REIN_OP_BATCH_NORM: grad_batch_norm(c); return;
	case REIN_OP_BATCH_NORM_DX:
	case REIN_OP_WARP: grad_by_expansion(c); return;
	default: function(c); return;
	}
}
