/* SPDX-License-Identifier: MIT
 *
 * ops.c: the op table and the shape rules of elementwise ops, leaves and reductions;
 * those of contractions, windows, views and indices are in ops_shape.c. A rule fills
 * dtype and shape of each result, completes the attributes (a missing -1, zero for "not
 * given"), or says in one sentence, with the shapes, what does not fit.
 *
 * A new op: a row in `table`, a rule, and the places named in rec.h.
 */
#include "rec.h"

#include <string.h>

typedef bool infer_fn(struct infer *);

/* --- helpers ------------------------------------------------------------------------------ */
struct shape_text shape_text(uint32_t rank, const int64_t *dim)
{
	struct shape_text t;
	size_t at = 0;
	at += (size_t)snprintf(t.s, sizeof t.s, "(");
	for (uint32_t i = 0; i < rank && i < 8 && at + 2 < sizeof t.s; i++)
		at += (size_t)snprintf(t.s + at, sizeof t.s - at, "%s%lld", i ? "," : "", (long long)dim[i]);
	if (at + 2 > sizeof t.s)
		at = sizeof t.s - 2;
	snprintf(t.s + at, sizeof t.s - at, ")");
	return t;
}

bool infer_bad(struct infer *c, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	vsnprintf(c->why, sizeof c->why, format, ap);
	va_end(ap);
	return false;
}

bool infer_shape(struct infer *c, uint32_t result, uint32_t dtype, uint32_t rank, const int64_t *dim)
{
	struct rec_value *v = &c->out[result];

	if (rank > REIN_MAX_RANK)
		return infer_bad(c, "rank %u, at most %d", rank, REIN_MAX_RANK);
	memset(v, 0, sizeof *v);
	v->dtype = dtype;
	v->rank = rank;
	v->count = 1;
	for (uint32_t i = 0; i < rank; i++) {
		if (dim[i] < 1)
			return infer_bad(c, "the result would be %s, every dimension must be at least 1", shape_text(rank, dim).s);
		if (dim[i] > INT32_MAX || v->count > INT64_MAX / 16 / dim[i])
			return infer_bad(c, "the result would be %s, which is too large", shape_text(rank, dim).s);
		v->dim[i] = dim[i];
		v->count *= dim[i];
	}
	if (v->count > (int64_t)1 << 40)
		return infer_bad(c, "the result would be %s, which is too large", shape_text(rank, dim).s);
	return true;
}

static bool like(struct infer *c, uint32_t result, uint32_t dtype, const struct rec_value *v)
{
	return infer_shape(c, result, dtype, v->rank, v->dim);
}

bool infer_join(struct infer *c, const struct rec_value *a, const struct rec_value *b, uint32_t *rank, int64_t *dim)
{
	const struct rec_value *big = a->rank >= b->rank ? a : b;

	*rank = big->rank;
	memcpy(dim, big->dim, sizeof big->dim);
	if (a->rank == 0 || b->rank == 0)
		return true;
	if (a->rank != b->rank)
		return infer_bad(c,
		                 "%s and %s do not fit: ranks must be equal or one side a scalar; rein_along() lays a "
		                 "vector along an axis",
		                 SHAPE(a), SHAPE(b));
	for (uint32_t i = 0; i < a->rank; i++) {
		if (a->dim[i] != b->dim[i] && a->dim[i] != 1 && b->dim[i] != 1)
			return infer_bad(c, "%s and %s do not fit: axis %u has %lld and %lld", SHAPE(a), SHAPE(b), i,
			                 (long long)a->dim[i], (long long)b->dim[i]);
		dim[i] = a->dim[i] > b->dim[i] ? a->dim[i] : b->dim[i];
	}
	return true;
}

int infer_axis(const struct infer *c)
{
	uint32_t m = c->attr->axes;
	int axis = 0;
	if (c->in[0]->rank < 32)
		m &= (1u << c->in[0]->rank) - 1;
	if (!m || (m & (m - 1)))
		return -1;
	while (!(m >> axis & 1))
		axis++;
	c->attr->axes = m;
	return axis;
}

#define IS_REAL (1u << REIN_REAL_T)
#define IS_WIDE (1u << REIN_WIDE_T)
#define IS_I32  (1u << REIN_I32_T)
#define IS_U8   (1u << REIN_U8_T)
#define IS_BOOL (1u << REIN_BOOL_T)
#define IS_ANY  (IS_REAL | IS_WIDE | IS_I32 | IS_U8 | IS_BOOL)

static bool takes(struct infer *c, const struct rec_value *v, uint32_t allowed)
{
	if (allowed >> v->dtype & 1)
		return true;
	return infer_bad(c, "does not take %s %s; rein_cast() it", dtype_name(v->dtype), SHAPE(v));
}

/* --- elementwise --------------------------------------------------------------------------- */
static uint32_t binary_dtypes(uint32_t op)
{
	switch (op) {
	case REIN_OP_ADD:
	case REIN_OP_SUB:
	case REIN_OP_MUL: return IS_REAL | IS_WIDE | IS_I32;
	case REIN_OP_DIV:
	case REIN_OP_MAX: return IS_REAL | IS_I32;
	case REIN_OP_POW: return IS_REAL;
	case REIN_OP_AND: return IS_BOOL;
	default: return IS_REAL | IS_I32 | IS_U8; /* comparisons */
	}
}

static bool binary(struct infer *c)
{
	const struct rec_value *a = c->in[0], *b = c->in[1];
	bool compares = c->op == REIN_OP_LT || c->op == REIN_OP_LE || c->op == REIN_OP_EQ;
	uint32_t rank;
	int64_t dim[REIN_MAX_RANK];

	if (a->dtype != b->dtype)
		return infer_bad(c, "%s %s and %s %s do not mix; rein_cast() one of them", dtype_name(a->dtype), SHAPE(a),
		                 dtype_name(b->dtype), SHAPE(b));
	return takes(c, a, binary_dtypes(c->op)) && infer_join(c, a, b, &rank, dim) &&
	       infer_shape(c, 0, compares ? REIN_BOOL_T : a->dtype, rank, dim);
}

static bool unary(struct infer *c)
{
	uint32_t allowed = c->op == REIN_OP_NOT                            ? IS_BOOL
	                   : c->op == REIN_OP_ABS || c->op == REIN_OP_SIGN ? IS_REAL | IS_I32
	                                                                   : IS_REAL;
	return takes(c, c->in[0], allowed) && like(c, 0, c->in[0]->dtype, c->in[0]);
}

static bool where(struct infer *c)
{
	const struct rec_value *p = c->in[0], *a = c->in[1], *b = c->in[2];
	struct rec_value ab = { 0 };
	uint32_t rank;
	int64_t dim[REIN_MAX_RANK];

	if (p->dtype != REIN_BOOL_T)
		return infer_bad(c, "the condition is %s %s, it must be bool", dtype_name(p->dtype), SHAPE(p));
	if (a->dtype != b->dtype)
		return infer_bad(c, "the choices are %s %s and %s %s; rein_cast() one of them", dtype_name(a->dtype), SHAPE(a),
		                 dtype_name(b->dtype), SHAPE(b));
	if (!infer_join(c, a, b, &ab.rank, ab.dim))
		return false;
	return infer_join(c, p, &ab, &rank, dim) && infer_shape(c, 0, a->dtype, rank, dim);
}

static bool cast(struct infer *c)
{
	if (c->attr->mode < REIN_REAL_T || c->attr->mode > REIN_BOOL_T)
		return infer_bad(c, "dtype %u is not known", c->attr->mode);
	return like(c, 0, c->attr->mode, c->in[0]);
}

static bool map(struct infer *c)
{
	const struct rein_map *m = c->attr->data;
	struct rec_value all = { 0 };

	if (!m)
		return infer_bad(c, "no kernel is given");
	if (m->n_in < 1 || m->n_in > 8 || m->n_out < 1 || m->n_out > 4 || m->n_par > 8 || c->n_in != m->n_in + m->n_par)
		return infer_bad(c, "%s: 1 to 8 inputs, 1 to 4 outputs and at most 8 parameters", m->name);
	for (uint32_t k = 0; k < c->n_in; k++) {
		const struct rec_value *v = c->in[k];
		if (v->dtype != REIN_REAL_T)
			return infer_bad(c, "%s: operand %u is %s %s, it must be real; rein_cast() it", m->name, k,
			                 dtype_name(v->dtype), SHAPE(v));
		if (k >= m->n_in && v->rank)
			return infer_bad(c, "%s: parameter %u is %s, it must be a scalar", m->name, k - m->n_in, SHAPE(v));
		struct rec_value next = all;
		if (k < m->n_in && !infer_join(c, &all, v, &next.rank, next.dim))
			return false;
		all = next;
	}
	for (uint32_t k = 0; k < m->n_out; k++)
		if (!like(c, k, REIN_REAL_T, &all))
			return false;
	return true;
}

static bool stop(struct infer *c) { return like(c, 0, c->in[0]->dtype, c->in[0]); }

/* --- leaves ---------------------------------------------------------------------------------- */
static bool constant(struct infer *c)
{
	struct rein_attr *a = c->attr;

	if (a->mode < REIN_REAL_T || a->mode > REIN_BOOL_T) {
		return infer_bad(c, "dtype %u is not known", a->mode);
	}
	if (!infer_shape(c, 0, a->mode, a->rank, a->dim))
		return false;
	if (a->data && (uint64_t)c->out[0].count * dtype_size(a->mode, 8) > REC_MAX_CONST)
		return infer_bad(c, "%s is too large, a constant holds at most %u MiB; make it a state",
		                 shape_text(a->rank, a->dim).s, REC_MAX_CONST >> 20);
	return true;
}

static bool iota(struct infer *c)
{
	struct rein_attr *a = c->attr;
	uint32_t m = a->rank < 32 ? a->axes & ((1u << a->rank) - 1) : 0;

	if (!m || (m & (m - 1)))
		return infer_bad(c, "needs exactly one axis of %s", shape_text(a->rank > 6 ? 6 : a->rank, a->dim).s);
	a->axes = m;
	return infer_shape(c, 0, REIN_I32_T, a->rank, a->dim);
}

/* --- reductions, scans ------------------------------------------------------------------------ */
/* Shape with the axes of attr.axes gone, or 1 with keep. */
static bool reduced(struct infer *c, uint32_t result, uint32_t dtype, bool keep)
{
	const struct rec_value *x = c->in[0];
	int64_t dim[REIN_MAX_RANK];
	uint32_t rank = 0;

	c->attr->axes &= (1u << x->rank) - 1;
	for (uint32_t i = 0; i < x->rank; i++) {
		bool gone = c->attr->axes >> i & 1;
		if (!gone || keep)
			dim[rank++] = gone ? 1 : x->dim[i];
	}
	return infer_shape(c, result, dtype, rank, dim);
}

static bool sum(struct infer *c)
{
	uint32_t t = c->in[0]->dtype;
	bool wide = c->attr->flags & REIN_WIDE;

	if (!takes(c, c->in[0], IS_REAL | IS_I32 | IS_BOOL))
		return false;
	if (wide && t != REIN_REAL_T)
		return infer_bad(c, "REIN_WIDE is for real values, this is %s %s", dtype_name(t), SHAPE(c->in[0]));
	return reduced(c, 0, wide ? REIN_WIDE_T : t == REIN_BOOL_T ? REIN_I32_T : t, c->attr->flags & REIN_KEEP);
}

static bool amax(struct infer *c)
{
	return takes(c, c->in[0], IS_REAL | IS_I32 | IS_BOOL) && reduced(c, 0, c->in[0]->dtype, c->attr->flags & REIN_KEEP);
}

static bool one_axis(struct infer *c, const char *what)
{
	if (infer_axis(c) >= 0)
		return true;
	return infer_bad(c, "%s exactly one axis of %s", what, SHAPE(c->in[0]));
}

static bool argmax(struct infer *c)
{
	return takes(c, c->in[0], IS_REAL | IS_I32) && one_axis(c, "goes over") &&
	       reduced(c, 0, REIN_I32_T, c->attr->flags & REIN_KEEP);
}

static bool cumsum(struct infer *c)
{
	return takes(c, c->in[0], IS_REAL | IS_I32) && one_axis(c, "goes along") && like(c, 0, c->in[0]->dtype, c->in[0]);
}

static bool moments(struct infer *c)
{
	return takes(c, c->in[0], IS_REAL) && reduced(c, 0, REIN_REAL_T, true) && reduced(c, 1, REIN_REAL_T, true);
}

static bool log_softmax(struct infer *c)
{
	return takes(c, c->in[0], IS_REAL) && one_axis(c, "goes over") && like(c, 0, REIN_REAL_T, c->in[0]);
}

/* --- the table --------------------------------------------------------------------------------- */
#define N (-1)
static const struct {
	struct op_info info;
	infer_fn *infer;
} table[REIN_OP_COUNT] = {
	[0] = { { "?", 0, 0, false, false, false }, NULL },
	/*                         name, operands, results, coarse, view, elementwise */
	[REIN_OP_CONST] = { { "const", 0, 1, false, false, false }, constant },
	[REIN_OP_IOTA] = { { "iota", 0, 1, false, false, true }, iota },
	[REIN_OP_READ] = { { "read", 0, 1, false, false, false }, NULL },
	[REIN_OP_RANDOM] = { { "random", 3, 1, false, false, false }, NULL },
	[REIN_OP_INPUT] = { { "input", 0, 1, false, false, false }, NULL },
	[REIN_OP_ADD] = { { "add", 2, 1, false, false, true }, binary },
	[REIN_OP_SUB] = { { "sub", 2, 1, false, false, true }, binary },
	[REIN_OP_MUL] = { { "mul", 2, 1, false, false, true }, binary },
	[REIN_OP_DIV] = { { "div", 2, 1, false, false, true }, binary },
	[REIN_OP_MAX] = { { "max", 2, 1, false, false, true }, binary },
	[REIN_OP_POW] = { { "pow", 2, 1, false, false, true }, binary },
	[REIN_OP_ABS] = { { "abs", 1, 1, false, false, true }, unary },
	[REIN_OP_SIGN] = { { "sign", 1, 1, false, false, true }, unary },
	[REIN_OP_FLOOR] = { { "floor", 1, 1, false, false, true }, unary },
	[REIN_OP_RINT] = { { "rint", 1, 1, false, false, true }, unary },
	[REIN_OP_EXP] = { { "exp", 1, 1, false, false, true }, unary },
	[REIN_OP_LOG] = { { "log", 1, 1, false, false, true }, unary },
	[REIN_OP_LOG1P] = { { "log1p", 1, 1, false, false, true }, unary },
	[REIN_OP_SQRT] = { { "sqrt", 1, 1, false, false, true }, unary },
	[REIN_OP_SIN] = { { "sin", 1, 1, false, false, true }, unary },
	[REIN_OP_COS] = { { "cos", 1, 1, false, false, true }, unary },
	[REIN_OP_ERF] = { { "erf", 1, 1, false, false, true }, unary },
	[REIN_OP_TANH] = { { "tanh", 1, 1, false, false, true }, unary },
	[REIN_OP_SIGMOID] = { { "sigmoid", 1, 1, false, false, true }, unary },
	[REIN_OP_LT] = { { "lt", 2, 1, false, false, true }, binary },
	[REIN_OP_LE] = { { "le", 2, 1, false, false, true }, binary },
	[REIN_OP_EQ] = { { "eq", 2, 1, false, false, true }, binary },
	[REIN_OP_AND] = { { "and", 2, 1, false, false, true }, binary },
	[REIN_OP_NOT] = { { "not", 1, 1, false, false, true }, unary },
	[REIN_OP_WHERE] = { { "where", 3, 1, false, false, true }, where },
	[REIN_OP_CAST] = { { "cast", 1, 1, false, false, true }, cast },
	[REIN_OP_MAP] = { { "map", N, N, false, false, true }, map },
	[REIN_OP_SUM] = { { "sum", 1, 1, false, false, false }, sum },
	[REIN_OP_AMAX] = { { "amax", 1, 1, false, false, false }, amax },
	[REIN_OP_ARGMAX] = { { "argmax", 1, 1, false, false, false }, argmax },
	[REIN_OP_CUMSUM] = { { "cumsum", 1, 1, false, false, false }, cumsum },
	[REIN_OP_MOMENTS] = { { "moments", 1, 2, true, false, false }, moments },
	[REIN_OP_MATMUL] = { { "matmul", 2, 1, false, false, false }, infer_matmul },
	[REIN_OP_CONV2D] = { { "conv2d", 2, 1, false, false, false }, infer_conv },
	[REIN_OP_CONV2D_DX] = { { "conv2d_dx", 2, 1, false, false, false }, infer_conv_dx },
	[REIN_OP_CONV2D_DW] = { { "conv2d_dw", 2, 1, false, false, false }, infer_conv_dw },
	[REIN_OP_MAX_POOL] = { { "max_pool", 1, 2, false, false, false }, infer_pool },
	[REIN_OP_MAX_POOL_DX] = { { "max_pool_dx", 2, 1, true, false, false }, infer_pool_dx },
	[REIN_OP_AVG_POOL] = { { "avg_pool", 1, 1, true, false, false }, infer_pool },
	[REIN_OP_AVG_POOL_DX] = { { "avg_pool_dx", 1, 1, true, false, false }, infer_pool_dx },
	[REIN_OP_RESHAPE] = { { "reshape", 1, 1, false, true, false }, infer_reshape },
	[REIN_OP_PERMUTE] = { { "permute", 1, 1, false, true, false }, infer_permute },
	[REIN_OP_EXPAND] = { { "expand", 1, 1, false, true, false }, infer_expand },
	[REIN_OP_SLICE] = { { "slice", 1, 1, false, true, false }, infer_slice },
	[REIN_OP_UNSLICE] = { { "unslice", 1, 1, false, false, false }, infer_unslice },
	[REIN_OP_CONCAT] = { { "concat", N, 1, false, false, false }, infer_concat },
	[REIN_OP_TAKE] = { { "take", 2, 1, false, false, false }, infer_take },
	[REIN_OP_PUT] = { { "put", N, 1, false, false, false }, infer_put },
	[REIN_OP_SORT] = { { "sort", 1, 2, false, false, false }, infer_sort },
	[REIN_OP_SMALLEST] = { { "smallest", 2, 1, true, false, false }, infer_smallest },
	[REIN_OP_WARP] = { { "warp", 2, 1, true, false, false }, infer_warp },
	[REIN_OP_LOG_SOFTMAX] = { { "log_softmax", 1, 1, true, false, false }, log_softmax },
	[REIN_OP_CROSS_ENTROPY] = { { "cross_entropy", 2, 1, true, false, false }, infer_cross_entropy },
	[REIN_OP_BATCH_NORM] = { { "batch_norm", 3, 3, true, false, false }, infer_batch_norm },
	[REIN_OP_BATCH_NORM_DX] = { { "batch_norm_dx", 5, 3, true, false, false }, infer_batch_norm_dx },
	[REIN_OP_STOP] = { { "stop", N, 1, false, true, false }, stop },
	[REIN_OP_REPEAT] = { { "repeat", N, N, false, false, false }, NULL },
	[REIN_OP_CUSTOM] = { { "custom", N, N, false, false, false }, NULL },
};

const struct op_info *op_info(uint32_t op) { return &table[op < REIN_OP_COUNT ? op : 0].info; }

bool op_infer(struct infer *c)
{
	if (!table[c->op].infer)
		return infer_bad(c, "has no shape rule");
	if (table[c->op].info.n_in < 0 && c->n_in < 1)
		return infer_bad(c, "needs at least one operand");
	return table[c->op].infer(c);
}
