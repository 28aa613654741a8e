/* SPDX-License-Identifier: MIT
 *
 * view.cu: kernels that only move elements: permute, expand, slice, unslice, concat, and
 * copies of what usually is a renaming. One thread an element; results are written in
 * order, operands are read where view.h says.
 */
#include "view.h"

static void plain_strides(const struct rein_prog_value *v, int64_t *stride)
{
	int64_t s = 1;
	for (uint32_t a = v->rank; a-- > 0; s *= v->dim[a])
		stride[a] = s;
}

void view_map_of(const struct rein_program *p, const struct rein_prog_instr *i, struct view_map *m)
{
	const struct rein_prog_value *x = &p->value[i->in[0]], *y = &p->value[i->out[0]];
	const struct rein_attr *a = &i->attr;
	int64_t stride[REIN_MAX_RANK] = { 0 };
	memset(m, 0, sizeof *m);
	if (i->op == REIN_OP_UNSLICE) {
		const struct rein_prog_value *swap = x;
		x = y;
		y = swap;
	}
	plain_strides(x, stride);
	m->shape.rank = (int32_t)y->rank;
	for (uint32_t k = 0; k < y->rank; k++) {
		m->shape.dim[k] = y->dim[k];
		switch (i->op) {
		case REIN_OP_PERMUTE: m->shape.stride[k] = stride[a->dim[k]]; break;
		case REIN_OP_EXPAND: m->shape.stride[k] = x->rank == 0 || x->dim[k] == 1 ? 0 : stride[k]; break;
		default: /* y's element lies at start + index * step of x */
			m->shape.stride[k] = stride[k] * a->step[k];
			m->start += stride[k] * a->start[k];
			break;
		}
	}
}

bool view_is_alias(const struct rein_program *p, const struct rein_prog_instr *i, int64_t *offset)
{
	*offset = 0;
	if (i->op == REIN_OP_RESHAPE || i->op == REIN_OP_STOP)
		return true;
	if (i->op != REIN_OP_SLICE && i->op != REIN_OP_EXPAND && i->op != REIN_OP_PERMUTE)
		return false;
	/* A renaming if elements keep their order and stand next to each other. */
	struct view_map m;
	int64_t next = 1;
	view_map_of(p, i, &m);
	for (int32_t k = m.shape.rank; k-- > 0; next *= m.shape.dim[k])
		if (m.shape.dim[k] != 1 && m.shape.stride[k] != next)
			return false;
	*offset = m.start * cuda_size_of(p, p->value[i->out[0]].dtype);
	return true;
}

template <class T> __global__ void view_gather(struct view_map m, const T *x, T *y, int64_t n)
{
	for (CUDA_EACH(e, n))
		y[e] = x[m.start + cuda_offset(e, m.shape)];
}

/* y, cleared before, gets x at its places, which are all different */
template <class T> __global__ void view_scatter(struct view_map m, const T *x, T *y, int64_t n)
{
	for (CUDA_EACH(e, n))
		y[m.start + cuda_offset(e, m.shape)] = x[e];
}

/* x is (outer, n, inner), y is (outer, ny, inner): x goes to rows at.. of y */
template <class T> __global__ void view_place(const T *x, T *y, int64_t run, int64_t stride, int64_t at, int64_t count)
{
	for (CUDA_EACH(e, count))
		y[e / run * stride + at + e % run] = x[e];
}

template <class T>
static rein_status place_one(struct cuda_build *b, const struct rein_prog_instr *i, uint32_t k, int64_t at)
{
	struct cuda_lines x = cuda_lines_of(cuda_in(b, i, k), cuda_axis_of(&i->attr));
	struct cuda_lines y = cuda_lines_of(cuda_out(b, i, 0), cuda_axis_of(&i->attr));
	int64_t n = cuda_in(b, i, k)->count;
	return cuda_launch(b, view_place<T>, cuda_blocks(n, CUDA_BLOCK), CUDA_BLOCK, 0, cuda_in_mem<T>(b, i, k),
	                   cuda_out_mem<T>(b, i, 0), x.n * x.inner, y.n * y.inner, at * y.inner, n);
}

template <class T> static rein_status emit_typed(struct cuda_build *b, const struct rein_prog_instr *i)
{
	const struct rein_prog_value *x = cuda_in(b, i, 0), *y = cuda_out(b, i, 0);
	struct view_map m;
	rein_status s;
	switch (i->op) {
	case REIN_OP_RESHAPE:
	case REIN_OP_STOP:
		return cuda_copy(b, b->mem[i->out[0]], b->mem[i->in[0]], (size_t)cuda_bytes_of(b->p, i->out[0]));
	case REIN_OP_CONCAT: {
		int64_t at = 0;
		s = REIN_OK;
		for (uint32_t k = 0; k < i->n_in && s >= 0; k++) {
			s = place_one<T>(b, i, k, at);
			at += cuda_in(b, i, k)->dim[cuda_axis_of(&i->attr)];
		}
		return s;
	}
	case REIN_OP_UNSLICE:
		view_map_of(b->p, i, &m);
		s = cuda_fill(b, b->mem[i->out[0]], 0, (size_t)cuda_bytes_of(b->p, i->out[0]));
		return s < 0 ? s : cuda_launch(b, view_scatter<T>, cuda_blocks(x->count, CUDA_BLOCK), CUDA_BLOCK, 0, m,
		                               cuda_in_mem<T>(b, i, 0), cuda_out_mem<T>(b, i, 0), x->count);
	default:
		view_map_of(b->p, i, &m);
		return cuda_launch(b, view_gather<T>, cuda_blocks(y->count, CUDA_BLOCK), CUDA_BLOCK, 0, m,
		                   cuda_in_mem<T>(b, i, 0), cuda_out_mem<T>(b, i, 0), y->count);
	}
}

static rein_status emit(struct cuda_build *b, int32_t n, const int32_t *instr)
{
	const struct rein_prog_instr *i = &b->p->instr[instr[n - 1]];
	int64_t size = cuda_size_of(b->p, b->p->value[i->out[0]].dtype);
	return size == 8 ? emit_typed<uint64_t>(b, i) : size == 4 ? emit_typed<uint32_t>(b, i) : emit_typed<uint8_t>(b, i);
}

static bool supports(const struct rein_program *p, const struct rein_prog_instr *i)
{
	(void)p;
	return i->op >= REIN_OP_RESHAPE && i->op <= REIN_OP_CONCAT ? true : i->op == REIN_OP_STOP;
}

extern const struct cuda_family cuda_view = { "view", supports, NULL, emit, NULL };
