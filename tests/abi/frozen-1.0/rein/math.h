/* SPDX-License-Identifier: MIT
 *
 * math.h: short names for single ops, and what is composed of them. Composed
 * helpers are no ops: backends never see them. Reduced-axes arguments are bit
 * masks (REIN_AXIS(0) | REIN_AXIS(1)); broadcasting needs equal rank or rank 0.
 */
#ifndef REIN_MATH_H
#define REIN_MATH_H

#include <math.h>

#include "record.h"

#define REIN_AXIS(i)  (1u << (i))
#define REIN_ALL_AXES 0xFFFFFFFFu

/* --- single ops ---------------------------------------------------------------- */
#define REIN_UNARY_(name, OP)                                   \
	static inline rein_val name(struct rein_rec *r, rein_val x) \
	{                                                           \
		rein_val y;                                             \
		rein_op(r, OP, 1, &x, NULL, 1, &y);                     \
		return y;                                               \
	}
#define REIN_BINARY_(name, OP)                                              \
	static inline rein_val name(struct rein_rec *r, rein_val a, rein_val b) \
	{                                                                       \
		rein_val in[2] = { a, b }, y;                                       \
		rein_op(r, OP, 2, in, NULL, 1, &y);                                 \
		return y;                                                           \
	}
REIN_UNARY_(rein_abs, REIN_OP_ABS)
REIN_UNARY_(rein_sign, REIN_OP_SIGN)
REIN_UNARY_(rein_floor, REIN_OP_FLOOR)
REIN_UNARY_(rein_rint, REIN_OP_RINT)
REIN_UNARY_(rein_exp, REIN_OP_EXP)
REIN_UNARY_(rein_log, REIN_OP_LOG)
REIN_UNARY_(rein_log1p, REIN_OP_LOG1P)
REIN_UNARY_(rein_sqrt, REIN_OP_SQRT)
REIN_UNARY_(rein_sin, REIN_OP_SIN)
REIN_UNARY_(rein_cos, REIN_OP_COS)
REIN_UNARY_(rein_erf, REIN_OP_ERF)
REIN_UNARY_(rein_tanh, REIN_OP_TANH)
REIN_UNARY_(rein_sigmoid, REIN_OP_SIGMOID)
REIN_UNARY_(rein_not, REIN_OP_NOT)
REIN_BINARY_(rein_add, REIN_OP_ADD)
REIN_BINARY_(rein_sub, REIN_OP_SUB)
REIN_BINARY_(rein_mul, REIN_OP_MUL)
REIN_BINARY_(rein_div, REIN_OP_DIV)
REIN_BINARY_(rein_max, REIN_OP_MAX)
REIN_BINARY_(rein_pow, REIN_OP_POW)
REIN_BINARY_(rein_lt, REIN_OP_LT)
REIN_BINARY_(rein_le, REIN_OP_LE)
REIN_BINARY_(rein_eq, REIN_OP_EQ)
REIN_BINARY_(rein_and, REIN_OP_AND)

/* c ? a : b, never blending: a NaN of the other side does not leak. */
static inline rein_val rein_where(struct rein_rec *r, rein_val c, rein_val a, rein_val b)
{
	rein_val in[3] = { c, a, b }, y;
	rein_op(r, REIN_OP_WHERE, 3, in, NULL, 1, &y);
	return y;
}
static inline rein_val rein_attr1_(struct rein_rec *r, uint32_t op, rein_val x, uint32_t axes, uint32_t flags,
                                   uint32_t mode)
{
	struct rein_attr a = { sizeof a, axes, flags, mode, 0, 0, { 0 }, { 0 }, { 0 }, { 0 }, NULL };
	rein_val y;
	rein_op(r, op, 1, &x, &a, 1, &y);
	return y;
}
/* To dtype; real to integer truncates toward zero and saturates, NaN gives 0. */
static inline rein_val rein_cast(struct rein_rec *r, rein_val x, uint32_t dtype)
{
	return rein_attr1_(r, REIN_OP_CAST, x, 0, 0, dtype);
}
/* Over the axes; flags REIN_KEEP, REIN_WIDE. */
static inline rein_val rein_sum_over(struct rein_rec *r, rein_val x, uint32_t axes, uint32_t flags)
{
	return rein_attr1_(r, REIN_OP_SUM, x, axes, flags, 0);
}
static inline rein_val rein_sum(struct rein_rec *r, rein_val x)
{
	return rein_attr1_(r, REIN_OP_SUM, x, REIN_ALL_AXES, 0, 0);
}
static inline rein_val rein_amax(struct rein_rec *r, rein_val x, uint32_t axes, uint32_t flags)
{
	return rein_attr1_(r, REIN_OP_AMAX, x, axes, flags, 0);
}
/* The last axis away: index of the largest, the first of ties. */
static inline rein_val rein_argmax(struct rein_rec *r, rein_val x)
{
	int32_t rank = rein_rank(r, x); /* less than 1: of what was refused already, or a scalar, which is now */
	return rein_attr1_(r, REIN_OP_ARGMAX, x, rank > 0 ? REIN_AXIS((uint32_t)(rank - 1)) : 0, 0, 0);
}
static inline rein_val rein_log_softmax(struct rein_rec *r, rein_val x, uint32_t axis)
{
	return rein_attr1_(r, REIN_OP_LOG_SOFTMAX, x, REIN_AXIS(axis), 0, 0);
}
/* z (N,K), y i32 (N) or real (N,K) -> (N) */
REIN_BINARY_(rein_cross_entropy, REIN_OP_CROSS_ENTROPY)
/* a (B?,M,K) b (B?,K,N); flags REIN_TA, REIN_TB */
static inline rein_val rein_matmul(struct rein_rec *r, rein_val a, rein_val b, uint32_t flags)
{
	struct rein_attr at = { sizeof at, 0, flags, 0, 0, 0, { 0 }, { 0 }, { 0 }, { 0 }, NULL };
	rein_val in[2] = { a, b }, y;
	rein_op(r, REIN_OP_MATMUL, 2, in, &at, 1, &y);
	return y;
}
static inline rein_val rein_shape_(struct rein_rec *r, uint32_t op, rein_val x, uint32_t rank, const int64_t *dim)
{
	struct rein_attr a = { sizeof a, 0, 0, 0, rank, 0, { 0 }, { 0 }, { 0 }, { 0 }, NULL };
	rein_val y;
	for (uint32_t i = 0; i < rank; i++)
		a.dim[i] = dim[i];
	rein_op(r, op, 1, &x, &a, 1, &y);
	return y;
}
static inline rein_val rein_reshape(struct rein_rec *r, rein_val x, uint32_t rank, const int64_t *dim)
{
	return rein_shape_(r, REIN_OP_RESHAPE, x, rank, dim);
}
static inline rein_val rein_permute(struct rein_rec *r, rein_val x, uint32_t rank, const int64_t *axis)
{
	return rein_shape_(r, REIN_OP_PERMUTE, x, rank, axis);
}
static inline rein_val rein_expand(struct rein_rec *r, rein_val x, uint32_t rank, const int64_t *dim)
{
	return rein_shape_(r, REIN_OP_EXPAND, x, rank, dim);
}
/* count entries along one axis from start; the others whole. */
static inline rein_val rein_narrow(struct rein_rec *r, rein_val x, uint32_t axis, int64_t start, int64_t count)
{
	struct rein_attr a = { sizeof a, 0, 0, 0, (uint32_t)rein_rank(r, x), 0, { 0 }, { 0 }, { 0 }, { 0 }, NULL };
	rein_val y;
	for (uint32_t i = 0; i < a.rank && i < REIN_MAX_RANK; i++) {
		a.dim[i] = i == axis ? count : rein_dim(r, x, (int32_t)i);
		a.start[i] = i == axis ? start : 0;
		a.step[i] = 1;
	}
	rein_op(r, REIN_OP_SLICE, 1, &x, &a, 1, &y);
	return y;
}
static inline rein_val rein_concat(struct rein_rec *r, uint32_t n, const rein_val *x, uint32_t axis)
{
	struct rein_attr a = { sizeof a, REIN_AXIS(axis), 0, 0, 0, 0, { 0 }, { 0 }, { 0 }, { 0 }, NULL };
	rein_val y;
	rein_op(r, REIN_OP_CONCAT, n, x, &a, 1, &y);
	return y;
}
/* Index along one axis, i32. */
static inline rein_val rein_iota(struct rein_rec *r, uint32_t axis, uint32_t rank, const int64_t *dim)
{
	struct rein_attr a = { sizeof a, REIN_AXIS(axis), 0, 0, rank, 0, { 0 }, { 0 }, { 0 }, { 0 }, NULL };
	rein_val y;
	for (uint32_t i = 0; i < rank; i++)
		a.dim[i] = dim[i];
	rein_op(r, REIN_OP_IOTA, 0, NULL, &a, 1, &y);
	return y;
}
/* x (B..,n,T..), i (B..,m..), batch = rank of B; outside 0..n-1 gives 0. */
static inline rein_val rein_take(struct rein_rec *r, rein_val x, rein_val i, uint32_t batch)
{
	struct rein_attr a = { sizeof a, 0, 0, 0, 0, batch, { 0 }, { 0 }, { 0 }, { 0 }, NULL };
	rein_val in[2] = { x, i }, y;
	rein_op(r, REIN_OP_TAKE, 2, in, &a, 1, &y);
	return y;
}
/* base REIN_NONE: zeros with n rows. mode REIN_PUT_ADD or REIN_PUT_SET. */
static inline rein_val rein_put(struct rein_rec *r, rein_val base, rein_val i, rein_val src, uint32_t batch, int64_t n,
                                uint32_t mode)
{
	struct rein_attr a = { sizeof a, 0, 0, mode, 0, batch, { n }, { 0 }, { 0 }, { 0 }, NULL };
	rein_val in[3] = { base, i, src }, y;
	int has = !REIN_IS_NONE(base);
	rein_op(r, REIN_OP_PUT, has ? 3 : 2, has ? in : in + 1, &a, 1, &y);
	return y;
}
/* Last axis, stable; index may be NULL. */
static inline rein_val rein_sort(struct rein_rec *r, rein_val x, uint32_t flags, rein_val *index)
{
	struct rein_attr a = { sizeof a, 0, flags, 0, 0, 0, { 0 }, { 0 }, { 0 }, { 0 }, NULL };
	rein_val y[2];
	rein_op(r, REIN_OP_SORT, 1, &x, &a, 2, y);
	if (index)
		*index = y[1];
	return y[0];
}
/* x (..,n), k i32 scalar -> bool, the min(k,n) smallest of each row. */
REIN_BINARY_(rein_smallest, REIN_OP_SMALLEST)

#include "compose.h"

#endif
