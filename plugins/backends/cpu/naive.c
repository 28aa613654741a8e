/* SPDX-License-Identifier: MIT
 *
 * naive.c: any single op as a kernel: the reference kernel is found in the families, its
 * workspace is stated here. The planner gives the memory; a run allocates nothing.
 * A new family: declare it in naive.h and add it to the lists below and to meson.build.
 */
#include "naive.h"

static naive_family *const family_f32[] = { naive_view,       naive_elementwise_f32, naive_draw_f32,
	                                        naive_reduce_f32, naive_contract_f32,    naive_window_f32,
	                                        naive_index_f32,  naive_sort_f32,        naive_nets_f32 };
static naive_family *const family_f64[] = { naive_view,       naive_elementwise_f64, naive_draw_f64,
	                                        naive_reduce_f64, naive_contract_f64,    naive_window_f64,
	                                        naive_index_f64,  naive_sort_f64,        naive_nets_f64 };

/* CUSTOM: tensors described for the plugin's function, which reports its own failure. */
static rein_status custom(const struct call *c)
{
	const struct rein_custom *f = c->i->ext;
	struct rein_tensor_view *view = c->work;
	for (uint32_t k = 0; k < c->i->n_in + c->i->n_out; k++) {
		bool in = k < c->i->n_in;
		int32_t id = in ? c->i->in[k] : c->i->out[k - c->i->n_in];
		const struct rein_prog_value *v = &c->p->value[id];
		view[k] = (struct rein_tensor_view){ .data = c->mem[id], .dtype = v->dtype, .rank = v->rank };
		view[k].bytes = (uint64_t)(v->count * size_of(c->p, v->dtype));
		for (uint32_t a = 0; a < v->rank; a++)
			view[k].dim[a] = v->dim[a];
	}
	return f->run(f->ctx, view, view + c->i->n_in);
}

static naive_fn *find(const struct rein_program *p, const struct rein_prog_instr *i)
{
	if (i->op == REIN_OP_CUSTOM)
		return custom;
	for (size_t k = 0; k < sizeof family_f32 / sizeof *family_f32; k++) {
		naive_fn *fn = p->real_size == 8 ? family_f64[k](p, i) : family_f32[k](p, i);
		if (fn)
			return fn;
	}
	return NULL;
}

bool naive_supports(const struct rein_program *p, const struct rein_prog_instr *i)
{
	switch (i->op) {
	case REIN_OP_CONST:
	case REIN_OP_READ:
	case REIN_OP_INPUT:
	case REIN_OP_REPEAT: return true;
	default: return find(p, i) != NULL;
	}
}

int64_t naive_workspace(const struct rein_program *p, int32_t instr)
{
	const struct rein_prog_instr *i = &p->instr[instr];
	const struct rein_prog_value *y = i->n_out ? &p->value[i->out[0]] : NULL;
	switch (i->op) {
	case REIN_OP_MATMUL: return y->dim[y->rank - 1] * 8;
	case REIN_OP_MAX_POOL_DX:
	case REIN_OP_AVG_POOL_DX: return y->count * 8;
	case REIN_OP_PUT: return i->attr.mode == REIN_PUT_ADD && y->dtype == REIN_REAL_T ? y->count * 8 : 0;
	case REIN_OP_SORT:
	case REIN_OP_SMALLEST: return y->rank ? y->dim[y->rank - 1] * 8 : 8;
	case REIN_OP_CUSTOM: return (int64_t)((i->n_in + i->n_out) * sizeof(struct rein_tensor_view));
	default: return 0;
	}
}

bool naive_in_place(const struct rein_program *p, int32_t instr)
{
	const struct rein_prog_instr *i = &p->instr[instr];
	return i->op >= REIN_OP_ADD && i->op <= REIN_OP_CAST;
}

struct naive {
	naive_fn *fn;
	const struct rein_prog_instr *i;
	const struct rein_host *host;
	int64_t work;
};

static rein_status run(struct rein_exec *e, struct kernel *k)
{
	const struct naive *n = k->data;
	struct call c = { e->program, n->i, e->mem, e->base + n->work, n->host };
	return n->fn(&c);
}

static void destroy(struct kernel *k)
{
	struct naive *n = k->data;
	n->host->free(n->host, n);
}

rein_status naive_compile(struct rein_exec *e, int32_t instr, struct kernel *out)
{
	const struct rein_program *p = e->program;
	const struct rein_prog_instr *i = &p->instr[instr];
	const struct rein_host *host = e->cpu->host;
	if (i->op == REIN_OP_REPEAT)
		return loop_compile(e, instr, out);
	naive_fn *fn = find(p, i);
	if (!fn)
		return rein_failf(host, "op %u on dtype %u is not known to the cpu backend (%s)", i->op,
		                  i->n_in ? p->value[i->in[0]].dtype : 0, p->n_origin ? p->origin[i->origin] : p->name);
	struct naive *n = host->alloc(host, sizeof *n);
	if (!n)
		return REIN_ERROR;
	*n = (struct naive){ fn, i, host, e->plan->workspace_at[e->plan->kernel[instr]] };
	*out = (struct kernel){ .run = run, .destroy = destroy, .data = n, .first = instr, .explain = "reference loop" };
	return REIN_OK;
}
