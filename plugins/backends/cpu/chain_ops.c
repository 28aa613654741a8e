/* SPDX-License-Identifier: MIT
 *
 * chain_ops.c: what recorded ops are to chains: which strip function computes an op on its
 * dtypes, which operands are read along the strip, how a reduction sees its operand.
 * A new elementwise op: a row in `table` (and a function in strip_isa.c).
 */
#include "strip.h"

#define NONE (-1)

/* Columns: REAL, I32, bytes. */
static const struct {
	uint32_t op;
	int16_t fn[3];
} table[] = {
	{ REIN_OP_ADD, { S_ADD_F, S_ADD_I, NONE } },      { REIN_OP_SUB, { S_SUB_F, S_SUB_I, NONE } },
	{ REIN_OP_MUL, { S_MUL_F, S_MUL_I, NONE } },      { REIN_OP_DIV, { S_DIV_F, S_DIV_I, NONE } },
	{ REIN_OP_MAX, { S_MAX_F, S_MAX_I, NONE } },      { REIN_OP_POW, { S_POW_F, NONE, NONE } },
	{ REIN_OP_ABS, { S_ABS_F, S_ABS_I, NONE } },      { REIN_OP_SIGN, { S_SIGN_F, S_SIGN_I, NONE } },
	{ REIN_OP_FLOOR, { S_FLOOR_F, NONE, NONE } },     { REIN_OP_RINT, { S_RINT_F, NONE, NONE } },
	{ REIN_OP_EXP, { S_EXP_F, NONE, NONE } },         { REIN_OP_LOG, { S_LOG_F, NONE, NONE } },
	{ REIN_OP_LOG1P, { S_LOG1P_F, NONE, NONE } },     { REIN_OP_SQRT, { S_SQRT_F, NONE, NONE } },
	{ REIN_OP_SIN, { S_SIN_F, NONE, NONE } },         { REIN_OP_COS, { S_COS_F, NONE, NONE } },
	{ REIN_OP_ERF, { S_ERF_F, NONE, NONE } },         { REIN_OP_TANH, { S_TANH_F, NONE, NONE } },
	{ REIN_OP_SIGMOID, { S_SIGMOID_F, NONE, NONE } }, { REIN_OP_LT, { S_LT_F, S_LT_I, S_LT_B } },
	{ REIN_OP_LE, { S_LE_F, S_LE_I, S_LE_B } },       { REIN_OP_EQ, { S_EQ_F, S_EQ_I, S_EQ_B } },
	{ REIN_OP_AND, { NONE, NONE, S_AND_B } },         { REIN_OP_NOT, { NONE, NONE, S_NOT_B } },
};

/* 0 REAL, 1 I32, 2 bytes, -1 WIDE */
static int column(uint32_t dtype)
{
	return dtype == REIN_REAL_T ? 0 : dtype == REIN_I32_T ? 1 : dtype == REIN_WIDE_T ? -1 : 2;
}

static int cast_of(uint32_t from, uint32_t to)
{
	static const int16_t to_real[3] = { S_COPY_4, S_I_TO_F, S_B_TO_F }, to_i32[3] = { S_F_TO_I, S_COPY_4, S_B_TO_I },
						 to_u8[3] = { S_F_TO_U8, S_I_TO_U8, S_COPY_1 },
						 to_bool[3] = { S_F_TO_BOOL, S_I_TO_BOOL, S_B_TO_BOOL };
	int c = column(from);
	if (c < 0 || to == REIN_WIDE_T)
		return NONE;
	return to == REIN_REAL_T ? to_real[c] : to == REIN_I32_T ? to_i32[c] : to == REIN_U8_T ? to_u8[c] : to_bool[c];
}

int strip_op_of(const struct rein_program *p, const struct rein_prog_instr *i)
{
	uint32_t dtype = i->n_in ? p->value[i->in[0]].dtype : 0;
	if (i->op == REIN_OP_CAST)
		return cast_of(dtype, p->value[i->out[0]].dtype);
	if (i->op == REIN_OP_WHERE) {
		int c = column(p->value[i->out[0]].dtype);
		return c < 0 ? NONE : c == 2 ? S_WHERE_1 : S_WHERE_4;
	}
	int c = column(dtype);
	for (size_t k = 0; k < sizeof table / sizeof *table && c >= 0; k++)
		if (table[k].op == i->op)
			return table[k].fn[c];
	return NONE;
}

/* Operands are one element, or have the result's rank. */
static bool broadcasts(const struct rein_program *p, const struct rein_prog_instr *i)
{
	const struct rein_prog_value *y = &p->value[i->out[0]];
	for (uint32_t k = 0; k < i->n_in; k++) {
		const struct rein_prog_value *x = &p->value[i->in[k]];
		if (x->count != 1 && x->rank != y->rank)
			return false;
	}
	return true;
}

int chain_kind(const struct rein_program *p, const struct rein_prog_instr *i)
{
	int64_t cols;
	if (p->real_size != 4 || i->n_out == 0 || column(p->value[i->out[0]].dtype) < 0) {
		bool wide = p->real_size == 4 && i->op == REIN_OP_SUM && chain_reduce_kind(p, i, &cols) >= 0;
		return wide ? OP_REDUCE : OP_OTHER;
	}
	switch (i->op) {
	case REIN_OP_IOTA: return OP_IOTA;
	case REIN_OP_EXPAND:
	case REIN_OP_PERMUTE:
	case REIN_OP_SLICE: return OP_VIEW;
	case REIN_OP_TAKE:
		/* (n, T..) by any indices; a table of one scalar row has no fast form */
		return i->attr.batch == 0 && p->value[i->in[0]].rank > 0 ? OP_TAKE : OP_OTHER;
	case REIN_OP_SUM:
	case REIN_OP_AMAX:
	case REIN_OP_ARGMAX: return chain_reduce_kind(p, i, &cols) >= 0 ? OP_REDUCE : OP_OTHER;
	case REIN_OP_MAP: {
		const struct rein_map *m = i->attr.data;
		return m->run_f32 && broadcasts(p, i) ? OP_ELEM : OP_OTHER;
	}
	default: return strip_op_of(p, i) >= 0 && broadcasts(p, i) ? OP_ELEM : OP_OTHER;
	}
}

int chain_reduce_kind(const struct rein_program *p, const struct rein_prog_instr *i, int64_t *cols)
{
	const struct rein_prog_value *x = &p->value[i->in[0]];
	int64_t first = -1, last = -1, kept_first = -1, kept_last = -1, inner = 1;
	for (int64_t a = 0; a < x->rank; a++) {
		bool away = i->attr.axes >> a & 1;
		if (x->dim[a] == 1)
			continue;
		if (away) {
			first = first < 0 ? a : first;
			last = a;
		} else {
			kept_first = kept_first < 0 ? a : kept_first;
			kept_last = a;
		}
	}
	*cols = 0;
	bool real = x->dtype == REIN_REAL_T;
	if (i->op == REIN_OP_ARGMAX && kept_first < 0) {
		*cols = x->count;
		return real ? REDUCE_COLS : -1;
	}
	if (kept_first < 0)
		return x->dtype != REIN_WIDE_T && (i->op == REIN_OP_SUM || real) ? REDUCE_ALL : -1;
	if (!real)
		return -1;
	if (first < 0) { /* axes of size 1: rows of one element */
		*cols = 1;
		return REDUCE_COLS;
	}
	if (first > kept_last) {
		for (int64_t a = first; a < x->rank; a++)
			inner *= x->dim[a];
		*cols = inner;
		return REDUCE_COLS;
	}
	if (last < kept_first && i->op == REIN_OP_SUM && !(i->attr.flags & REIN_WIDE)) {
		for (int64_t a = kept_first; a < x->rank; a++)
			inner *= x->dim[a];
		*cols = inner;
		return REDUCE_ROWS;
	}
	return -1;
}

int32_t chain_root(const struct rein_program *p, const struct rein_plan *plan, int32_t v)
{
	while (plan->home[v] == REIN_HOME_ALIAS && plan->base_offset[v] == 0 &&
	       p->value[plan->base[v]].count == p->value[v].count && p->value[plan->base[v]].dtype == p->value[v].dtype)
		v = plan->base[v];
	return v;
}

bool chain_along(const struct rein_program *p, const struct rein_prog_instr *i, uint32_t k, int64_t count)
{
	if (p->value[i->in[k]].count != count)
		return false;
	if (i->op == REIN_OP_TAKE) /* indices of single elements only */
		return k == 1 && p->value[i->out[0]].count == p->value[i->in[1]].count;
	return i->op != REIN_OP_EXPAND && i->op != REIN_OP_PERMUTE && i->op != REIN_OP_SLICE;
}
