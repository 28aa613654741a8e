/* SPDX-License-Identifier: MIT
 *
 * naive.h: shared by the reference kernels. A family (naive_<family>.c) exports one
 * function that gives the kernel of an op or NULL; naive.c asks the families in turn.
 * Families that compute with REAL are compiled twice, with `real` as float and, with
 * NAIVE_DOUBLE defined, as double.
 */
#ifndef NAIVE_H
#define NAIVE_H

#include "cpu.h"

#ifdef NAIVE_DOUBLE
typedef double real;
#define NAIVE(name) name##_f64
#else
typedef float real;
#define NAIVE(name) name##_f32
#endif

/* One op to run. mem: per value number; work: naive_workspace() bytes. */
struct call {
	const struct rein_program *p;
	const struct rein_prog_instr *i;
	void *const *mem;
	void *work;
	const struct rein_host *host;
};
typedef rein_status naive_fn(const struct call *);
typedef naive_fn *naive_family(const struct rein_program *, const struct rein_prog_instr *);

naive_family naive_view;
naive_family naive_elementwise_f32, naive_elementwise_f64, naive_draw_f32, naive_draw_f64;
naive_family naive_reduce_f32, naive_reduce_f64, naive_contract_f32, naive_contract_f64;
naive_family naive_window_f32, naive_window_f64, naive_index_f32, naive_index_f64;
naive_family naive_sort_f32, naive_sort_f64, naive_nets_f32, naive_nets_f64;

/* loop.c: REPEAT as a kernel that runs the body's executable. */
rein_status loop_compile(struct rein_exec *, int32_t instr, struct kernel *out);
int64_t loop_workspace(const struct rein_program *, const struct rein_prog_instr *, const struct rein_plan *body);

/* True if the op only renames memory: its result is operand 0 plus *offset bytes. */
bool naive_is_alias(const struct rein_program *, const struct rein_prog_instr *, int64_t *offset);

static inline const struct rein_prog_value *in_value(const struct call *c, uint32_t k)
{
	return &c->p->value[c->i->in[k]];
}
static inline const struct rein_prog_value *out_value(const struct call *c, uint32_t k)
{
	return &c->p->value[c->i->out[k]];
}
static inline const void *in_mem(const struct call *c, uint32_t k) { return c->mem[c->i->in[k]]; }
/* NULL for a result nobody reads. */
static inline void *out_mem(const struct call *c, uint32_t k) { return c->mem[c->i->out[k]]; }

static inline int64_t size_of(const struct rein_program *p, uint32_t dtype)
{
	return dtype == REIN_REAL_T ? p->real_size : dtype == REIN_WIDE_T ? 8 : dtype == REIN_I32_T ? 4 : 1;
}

/* Row-major strides in elements; 0 where the axis has size 1, so that it broadcasts. */
static inline void strides_of(const struct rein_prog_value *v, int64_t *stride)
{
	int64_t s = 1;
	for (uint32_t a = v->rank; a-- > 0; s *= v->dim[a])
		stride[a] = v->dim[a] == 1 ? 0 : s;
}

/* Sum over axes of index_a * stride_a for element e of a tensor of shape dim. */
static inline int64_t offset_of(int64_t e, uint32_t rank, const int64_t *dim, const int64_t *stride)
{
	int64_t at = 0;
	for (uint32_t a = rank; a-- > 0; e /= dim[a])
		at += e % dim[a] * stride[a];
	return at;
}

/* A tensor seen as outer x n x inner around one axis. */
struct lines {
	int64_t outer, n, inner;
};
static inline struct lines lines_of(const struct rein_prog_value *v, uint32_t axis)
{
	struct lines l = { 1, 1, 1 };
	for (uint32_t a = 0; a < v->rank; a++)
		*(a < axis ? &l.outer : a == axis ? &l.n : &l.inner) *= v->dim[a];
	return l;
}
static inline uint32_t axis_of(const struct rein_attr *a) { return a->axes ? (uint32_t)__builtin_ctz(a->axes) : 0; }

/* Operands that broadcast to the result, walked row by row: in a row, operand k advances
 * step[k] elements (0 where it is broadcast). */
#define ROW_OPERANDS 8
struct rows {
	int64_t n, len; /* rows, elements in a row */
	uint32_t rank;  /* of the row index */
	int64_t dim[REIN_MAX_RANK], stride[ROW_OPERANDS][REIN_MAX_RANK], step[ROW_OPERANDS];
};
static inline void rows_init(struct rows *w, const struct call *c, uint32_t n_op)
{
	const struct rein_prog_value *y = out_value(c, 0);
	bool flat = true;
	for (uint32_t k = 0; k < n_op; k++)
		flat &= in_value(c, k)->count == y->count || in_value(c, k)->rank == 0;
	w->rank = flat ? 0 : y->rank - 1;
	w->len = flat ? y->count : y->dim[y->rank - 1];
	w->n = y->count / w->len;
	for (uint32_t a = 0; a < w->rank; a++)
		w->dim[a] = y->dim[a];
	for (uint32_t k = 0; k < n_op; k++) {
		const struct rein_prog_value *x = in_value(c, k);
		int64_t s[REIN_MAX_RANK] = { 0 };
		if (x->rank)
			strides_of(x, s);
		for (uint32_t a = 0; a < w->rank; a++)
			w->stride[k][a] = s[a];
		w->step[k] = flat ? x->count == y->count : x->rank ? s[y->rank - 1] : 0;
	}
}
static inline int64_t row_at(const struct rows *w, int64_t row, uint32_t k)
{
	return offset_of(row, w->rank, w->dim, w->stride[k]);
}

/* NaN and infinities have a place in integers: truncated toward zero, saturated, NaN 0. */
static inline int64_t saturate(double x, int64_t lo, int64_t hi)
{
	return x != x ? 0 : x <= (double)lo ? lo : x >= (double)hi ? hi : (int64_t)x;
}

#endif
