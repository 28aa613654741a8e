/* SPDX-License-Identifier: MIT
 *
 * naive_view.c: reference kernels that only move elements, whatever their dtype:
 * permute, expand, slice, unslice, concat, and copies of what usually is an alias.
 */
#include <string.h>

#include "naive.h"

/* Copies element e of `dim` between the offset its stride gives and position e. */
struct strided {
	uint32_t rank;
	int64_t dim[REIN_MAX_RANK], stride[REIN_MAX_RANK], start;
};

/* A copy loop per element size; memcpy with a constant size is one move. */
#define MOVE(size)                                                                                                  \
	for (int64_t e = 0; e < n; e++) {                                                                               \
		int64_t at = s->start + offset_of(e, s->rank, s->dim, s->stride);                                           \
		memcpy((char *)to + (scatter ? at : e) * (size), (const char *)from + (scatter ? e : at) * (size), (size)); \
	}
static void move(const struct strided *s, int64_t size, int64_t n, bool scatter, void *to, const void *from)
{
	if (size == 8) {
		MOVE(8)
	} else if (size == 4) {
		MOVE(4)
	} else {
		MOVE(1)
	}
}

static void plain_strides(const struct rein_prog_value *v, int64_t *stride)
{
	int64_t s = 1;
	for (uint32_t a = v->rank; a-- > 0; s *= v->dim[a])
		stride[a] = s;
}

static void strided_of(const struct call *c, const struct rein_prog_value *x, const struct rein_prog_value *y,
                       struct strided *s)
{
	const struct rein_attr *a = &c->i->attr;
	int64_t stride[REIN_MAX_RANK] = { 0 };
	*s = (struct strided){ .rank = y->rank };
	plain_strides(x, stride);
	for (uint32_t k = 0; k < y->rank; k++) {
		s->dim[k] = y->dim[k];
		switch (c->i->op) {
		case REIN_OP_PERMUTE: s->stride[k] = stride[a->dim[k]]; break;
		case REIN_OP_EXPAND: s->stride[k] = x->rank == 0 || x->dim[k] == 1 ? 0 : stride[k]; break;
		default: /* slice: y's element lies at start + index * step of x */
			s->stride[k] = stride[k] * a->step[k];
			s->start += stride[k] * a->start[k];
			break;
		}
	}
}

static rein_status gather(const struct call *c)
{
	const struct rein_prog_value *y = out_value(c, 0);
	struct strided s;
	strided_of(c, in_value(c, 0), y, &s);
	move(&s, size_of(c->p, y->dtype), y->count, false, out_mem(c, 0), in_mem(c, 0));
	return REIN_OK;
}

static rein_status unslice(const struct call *c)
{
	const struct rein_prog_value *x = in_value(c, 0), *y = out_value(c, 0);
	int64_t size = size_of(c->p, y->dtype);
	struct strided s;
	strided_of(c, y, x, &s);
	memset(out_mem(c, 0), 0, (size_t)(y->count * size));
	move(&s, size, x->count, true, out_mem(c, 0), in_mem(c, 0));
	return REIN_OK;
}

static rein_status concat(const struct call *c)
{
	uint32_t axis = axis_of(&c->i->attr);
	int64_t size = size_of(c->p, out_value(c, 0)->dtype);
	struct lines y = lines_of(out_value(c, 0), axis);
	int64_t at = 0;
	for (uint32_t k = 0; k < c->i->n_in; k++) {
		struct lines x = lines_of(in_value(c, k), axis);
		int64_t run = x.n * x.inner * size;
		for (int64_t o = 0; o < x.outer; o++)
			memcpy((char *)out_mem(c, 0) + (o * y.n + at) * y.inner * size, (const char *)in_mem(c, k) + o * run,
			       (size_t)run);
		at += x.n;
	}
	return REIN_OK;
}

static rein_status copy(const struct call *c)
{
	const struct rein_prog_value *y = out_value(c, 0);
	memcpy(out_mem(c, 0), in_mem(c, 0), (size_t)(y->count * size_of(c->p, y->dtype)));
	return REIN_OK;
}

bool naive_is_alias(const struct rein_program *p, const struct rein_prog_instr *i, int64_t *offset)
{
	*offset = 0;
	if (i->op == REIN_OP_RESHAPE || i->op == REIN_OP_STOP)
		return true;
	if (i->op != REIN_OP_SLICE && i->op != REIN_OP_EXPAND && i->op != REIN_OP_PERMUTE)
		return false;
	/* A renaming if elements keep their order and stand next to each other. */
	const struct rein_prog_value *x = &p->value[i->in[0]], *y = &p->value[i->out[0]];
	struct call c = { .p = p, .i = i };
	struct strided s;
	int64_t next = 1;
	strided_of(&c, x, y, &s);
	for (uint32_t k = y->rank; k-- > 0; next *= y->dim[k])
		if (y->dim[k] != 1 && s.stride[k] != next)
			return false;
	*offset = s.start * size_of(p, y->dtype);
	return true;
}

naive_fn *naive_view(const struct rein_program *p, const struct rein_prog_instr *i)
{
	(void)p;
	switch (i->op) {
	case REIN_OP_RESHAPE:
	case REIN_OP_STOP: return copy;
	case REIN_OP_PERMUTE:
	case REIN_OP_EXPAND:
	case REIN_OP_SLICE: return gather;
	case REIN_OP_UNSLICE: return unslice;
	case REIN_OP_CONCAT: return concat;
	default: return NULL;
	}
}
