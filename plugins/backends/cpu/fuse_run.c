/* SPDX-License-Identifier: MIT
 *
 * fuse_run.c: kernels of fused groups.
 */
#include <stdio.h>
#include <string.h>

#include "fuse.h"
#include "sparse.h"

struct fused {
	const struct rein_host *host;
	bool has_head, has_chain;
	struct head head;
	int32_t a, b, c; /* values */
	int64_t work, partial;
	struct window tail; /* pools what the chain leaves in the head's planes; op 0: none */
	int64_t tail_work;
	void *tail_at; /* its workspace, of the run at hand */
	void *const *mem;
	struct chain chain;
};

static bool product_of(const struct rein_program *p, const struct rein_prog_instr *i, struct gemm *g)
{
	if (i->op != REIN_OP_MATMUL || p->real_size != 4)
		return false;
	const struct rein_prog_value *a = &p->value[i->in[0]], *b = &p->value[i->in[1]], *c = &p->value[i->out[0]];
	if (c->dtype != REIN_REAL_T || c->rank < 2 || c->rank > 3 || a->rank != c->rank || b->rank != c->rank)
		return false;
	*g = (struct gemm){ .m = c->dim[c->rank - 2], .n = c->dim[c->rank - 1], .batch = c->rank == 3 ? c->dim[0] : 1 };
	g->ta = (i->attr.flags & REIN_TA) != 0;
	g->tb = (i->attr.flags & REIN_TB) != 0;
	g->k = a->dim[a->rank - (g->ta ? 2 : 1)];
	g->step_a = a->count == g->m * g->k ? 0 : g->m * g->k;
	g->step_b = b->count == g->n * g->k ? 0 : g->n * g->k;
	return true;
}

/* Weights of a program that trains nothing: they may be pruned. */
static bool may_be_pruned(const struct rein_program *p, int32_t value)
{
	const struct rein_prog_instr *i = &p->instr[p->value[value].instr];

	if (i->op != REIN_OP_READ)
		return false;
	for (uint32_t k = 0; k < p->n_commit; k++)
		if (p->state[p->commit[k].state].rank > 1)
			return false;
	return true;
}

/* Operands or results with images in lanes. */
static void head_lanes(const struct rein_prog_instr *i, const uint8_t *lanes, struct head *h)
{
	int in = lanes[i->in[0]], out = lanes[i->out[0]];
	if (h->kind == HEAD_CONV) {
		h->conv.lanes_a = in != 0;
		h->conv.lanes_b = h->conv.pass == CONV_DW && lanes[i->in[1]];
		h->conv.lanes_c = out != 0;
		h->n *= out ? out : 1;
	} else if (h->kind == HEAD_NORM && in) {
		h->norm.n /= in;
		h->norm.inner *= in;
	} else if (h->kind == HEAD_WINDOW) {
		h->window.lanes_x = in;
		h->window.lanes_y = out;
		h->n *= out ? out : 1;
	}
}

bool head_of(const struct rein_program *p, const struct blocks *blocks, const uint8_t *lanes, int32_t instr,
             struct head *h)
{
	const struct rein_prog_instr *i = &p->instr[instr];
	enum block_part part;
	*h = (struct head){ .kind = HEAD_GEMM };
	if (chain_kind(p, i) != OP_OTHER)
		return false;
	const struct block *b = block_of(blocks, instr, &part);
	if (b) { /* dx is its own kernel, dw's result may be finished by a chain */
		h->kind = HEAD_NHWC;
		h->alone = part != BLOCK_DW;
		h->nhwc = b->conv[part == BLOCK_DX ? NHWC_DX : part == BLOCK_DW ? NHWC_DW : NHWC_FORWARD];
		h->m = 1, h->n = p->value[i->out[0]].count;
		return true;
	}
	if (product_of(p, i, &h->gemm)) {
		h->m = h->gemm.m, h->n = h->gemm.n;
		h->sparse = may_be_pruned(p, i->in[1]);
	} else if (conv_of(p, i, &h->conv)) {
		h->kind = HEAD_CONV;
		h->m = h->conv.result_rows, h->n = h->conv.result_cols;
		h->sparse = may_be_pruned(p, i->in[1]);
	} else if (norm_of(p, i, &h->norm)) {
		h->kind = HEAD_NORM;
		h->alone = h->norm.gather || i->op == REIN_OP_SUM;
		h->m = h->norm.channels, h->n = h->norm.inner;
	} else if (window_of(p, i, &h->window)) {
		h->kind = HEAD_WINDOW;
		h->alone = i->op == REIN_OP_MAX_POOL || i->op == REIN_OP_AVG_POOL;
		h->m = h->window.channels, h->n = h->window.H * h->window.W;
	} else {
		return false;
	}
	head_lanes(i, lanes, h);
	return true;
}

/* Workspace of a head whose result has memory if `keep`. */
static int64_t head_plan(struct head *h, const struct cpu *cpu, int keep)
{
	int threads = cpu->threads < 1 ? 1 : cpu->threads;
	int64_t bytes, other;
	switch (h->kind) {
	case HEAD_GEMM:
		h->gemm.keep = keep;
		bytes = gemm_plan(&h->gemm, cpu->isa, threads);
		h->tasks = h->gemm.batch * h->gemm.row_pieces * h->gemm.col_pieces;
		other = h->sparse ? sparse_plan(&h->gemm, threads) : 0;
		h->sparse = other > 0;
		return other > bytes ? other : bytes;
	case HEAD_CONV:
		h->conv.keep = keep;
		bytes = conv_plan(&h->conv, cpu->isa, threads);
		h->tasks = h->conv.pieces;
		other = h->sparse ? sparse_conv_plan(&h->conv, cpu->isa, threads) : 0;
		h->sparse = other > 0;
		return other > bytes ? other : bytes;
	case HEAD_NORM:
		h->norm.keep = keep;
		h->tasks = h->norm.n * h->norm.channels;
		return norm_plan(&h->norm, cpu->isa, threads);
	case HEAD_NHWC:
		h->nhwc.keep = keep;
		bytes = nhwc_plan(&h->nhwc, cpu->isa, threads);
		h->tasks = h->nhwc.pieces;
		return bytes;
	default:
		h->window.keep = keep;
		bytes = window_plan(&h->window, cpu->isa, threads);
		h->tasks = h->window.pieces;
		return bytes;
	}
}

bool fuse_measure(const struct cpu *cpu, const struct rein_program *p, const struct rein_plan *plan,
                  const struct blocks *blocks, const uint8_t *lanes, int32_t n, const int32_t *instr, struct head *h,
                  struct window *tail, int32_t *at, int64_t *partial_bytes, int64_t *workspace)
{
	struct reduce reduce[CHAIN_REDUCE];
	int n_reduce = 0;
	int64_t cols = 0, count = 0, tasks;
	bool by_rows = false;
	enum block_part part;
	const struct block *block = block_of(blocks, instr[0], &part);
	*at = -1;
	tail->op = 0;
	*workspace = *partial_bytes = 0;
	if (block && part < BLOCK_BACKWARD_END) {
		*workspace = block_workspace(cpu, block, part >= BLOCK_FORWARD_END);
		return true;
	}
	for (int32_t k = 0; k < n; k++) {
		const struct rein_prog_instr *i = &p->instr[instr[k]];
		int kind = chain_kind(p, i);
		if (*at < 0 && head_of(p, blocks, lanes, instr[k], h)) {
			*at = k;
		} else if (*at >= 0 && !tail->op && window_of(p, i, tail)) {
			tail->lanes_x = lanes[i->in[0]];
			tail->lanes_y = lanes[i->out[0]];
		} else if (kind == OP_REDUCE && n_reduce < CHAIN_REDUCE) {
			int64_t c;
			reduce[n_reduce].kind = (uint8_t)chain_reduce_kind(p, i, &c);
			by_rows |= reduce[n_reduce++].kind == REDUCE_ROWS;
			cols = c ? c : cols;
			count = p->value[i->in[0]].count;
		} else if (kind == OP_OTHER || kind == OP_REDUCE) {
			return false;
		} else {
			count = p->value[i->out[0]].count;
		}
	}
	if (*at >= 0) {
		*workspace = (head_plan(h, cpu, plan->home[p->instr[instr[*at]].out[0]] != REIN_HOME_NONE) + 63) / 64 * 64;
		tasks = h->tasks;
	} else {
		int64_t size = chain_task_size(count, cols, by_rows);
		tasks = (count + size - 1) / size;
	}
	if (tail->op)
		*workspace += (window_plan(tail, cpu->isa, cpu->threads < 1 ? 1 : cpu->threads) + 63) / 64 * 64;
	*partial_bytes = chain_partial_bytes(reduce, n_reduce, cols, tasks);
	*workspace += *partial_bytes;
	return true;
}

static void finish_piece(void *ctx, int64_t piece, int64_t batch, int64_t r0, int64_t rows, int64_t c0, int64_t cols,
                         float *block, int64_t ld)
{
	struct fused *f = ctx;
	const struct head *h = &f->head;
	struct chain_task t;
	int64_t at = (batch * h->m + r0) * h->n + c0;
	if (f->has_chain)
		chain_task_begin(&t, &f->chain, f->chain.partial, piece);
	if (f->has_chain && (rows == 1 || (cols == h->n && ld == cols)))
		chain_task_range(&t, at, rows * cols, block);
	else
		for (int64_t i = 0; f->has_chain && i < rows; i++) {
			if (i + 1 < rows) /* rows lie too far apart for the processor to foresee the next one */
				chain_fetch(&f->chain, at + (i + 1) * h->n, cols);
			chain_task_range(&t, at + i * h->n, cols, block + i * ld);
		}
	for (int64_t i = 0; f->tail.op && i < rows; i++)
		window_plane(&f->tail, f->mem, f->tail_at, batch * h->m + r0 + i, block + i * ld);
}

static void run_head(struct fused *f, struct rein_exec *e, void *work, gemm_done *done)
{
	const struct head *h = &f->head;
	const float *a = e->mem[f->a], *b = f->b < 0 ? NULL : e->mem[f->b];
	switch (h->kind) {
	case HEAD_GEMM:
		if (!h->sparse || !sparse_run(&h->gemm, e->cpu->isa, e->cpu->pool, a, b, e->mem[f->c], work, done, f))
			gemm_run(&h->gemm, e->cpu->pool, a, b, h->gemm.keep ? e->mem[f->c] : NULL, work, done, f);
		break;
	case HEAD_CONV:
		if (!h->sparse || !sparse_conv_run(&h->conv, e->cpu->isa, e->cpu->pool, a, b, e->mem[f->c], work, done, f))
			conv_run(&h->conv, e->cpu->pool, a, b, h->conv.keep ? e->mem[f->c] : NULL, work, done, f);
		break;
	case HEAD_NORM: norm_run(&h->norm, e->cpu->pool, e->mem, work, done, f); break;
	case HEAD_NHWC: nhwc_run(&h->nhwc, e->cpu->pool, a, b, h->nhwc.keep ? e->mem[f->c] : NULL, work, done, f); break;
	default: window_run(&h->window, e->cpu->pool, e->mem, work, done, f); break;
	}
}

static rein_status run(struct rein_exec *e, struct kernel *k)
{
	struct fused *f = k->data;
	unsigned char *work = e->base + f->work;
	f->chain.partial = work + f->partial;
	if (!f->has_head) {
		chain_run(&f->chain, e, e->cpu->pool, f->chain.partial);
		return REIN_OK;
	}
	if (f->has_chain)
		chain_begin(&f->chain, e);
	if (f->tail.op) {
		f->mem = e->mem;
		f->tail_at = work + f->tail_work;
		window_begin(&f->tail, f->mem, f->tail_at);
	}
	run_head(f, e, work, f->has_chain || f->tail.op ? finish_piece : NULL);
	if (f->has_chain)
		chain_end(&f->chain, f->chain.partial);
	return REIN_OK;
}

static void destroy(struct kernel *k)
{
	struct fused *f = k->data;
	f->host->free(f->host, f);
}

/* --- explain ----------------------------------------------------------------------------- */
static const char *op_name(uint32_t op)
{
	static const char *const names[REIN_OP_COUNT] = {
		[REIN_OP_IOTA] = "iota",
		[REIN_OP_ADD] = "add",
		[REIN_OP_SUB] = "sub",
		[REIN_OP_MUL] = "mul",
		[REIN_OP_DIV] = "div",
		[REIN_OP_MAX] = "max",
		[REIN_OP_POW] = "pow",
		[REIN_OP_ABS] = "abs",
		[REIN_OP_SIGN] = "sign",
		[REIN_OP_FLOOR] = "floor",
		[REIN_OP_RINT] = "rint",
		[REIN_OP_EXP] = "exp",
		[REIN_OP_LOG] = "log",
		[REIN_OP_LOG1P] = "log1p",
		[REIN_OP_SQRT] = "sqrt",
		[REIN_OP_SIN] = "sin",
		[REIN_OP_COS] = "cos",
		[REIN_OP_ERF] = "erf",
		[REIN_OP_TANH] = "tanh",
		[REIN_OP_LT] = "lt",
		[REIN_OP_LE] = "le",
		[REIN_OP_EQ] = "eq",
		[REIN_OP_AND] = "and",
		[REIN_OP_NOT] = "not",
		[REIN_OP_WHERE] = "where",
		[REIN_OP_CAST] = "cast",
		[REIN_OP_MAP] = "map",
		[REIN_OP_SUM] = "sum",
		[REIN_OP_AMAX] = "amax",
		[REIN_OP_ARGMAX] = "argmax",
		[REIN_OP_MATMUL] = "matmul",
		[REIN_OP_TAKE] = "take",
		[REIN_OP_SLICE] = "slice",
		[REIN_OP_EXPAND] = "expand",
		[REIN_OP_PERMUTE] = "permute",
		[REIN_OP_SIGMOID] = "sigmoid",
		[REIN_OP_CONV2D] = "conv2d",
		[REIN_OP_CONV2D_DX] = "conv2d_dx",
		[REIN_OP_CONV2D_DW] = "conv2d_dw",
		[REIN_OP_MAX_POOL] = "max_pool",
		[REIN_OP_MAX_POOL_DX] = "max_pool_dx",
		[REIN_OP_AVG_POOL] = "avg_pool",
		[REIN_OP_AVG_POOL_DX] = "avg_pool_dx",
		[REIN_OP_BATCH_NORM] = "batch_norm",
		[REIN_OP_BATCH_NORM_DX] = "batch_norm_dx",
	};
	return op < REIN_OP_COUNT && names[op] ? names[op] : "op";
}

/* "matmul+add+where+le" */
static void describe(const struct rein_program *p, int32_t n, const int32_t *instr, char *out, size_t size)
{
	size_t at = 0;
	out[0] = 0;
	for (int32_t k = 0; k < n && at + 16 < size; k++)
		at += (size_t)snprintf(out + at, size - at, "%s%s", k ? "+" : "",
		                       at + 24 < size ? op_name(p->instr[instr[k]].op) : "..");
}

int fuse_compile(struct rein_exec *e, int32_t n, const int32_t *instr, struct kernel *out)
{
	const struct rein_program *p = e->program;
	const struct rein_host *host = e->cpu->host;
	struct head h;
	struct window tail;
	int32_t head;
	int64_t partial, workspace;
	int made = rows_compile(e, n, instr, out);
	made = made ? made : draw_compile(e, n, instr, out);
	made = made ? made : gather_compile(e, n, instr, out);
	if (made)
		return made;
	enum block_part part;
	const struct block *block = block_of(e->blocks, instr[0], &part);
	if (block && part < BLOCK_BACKWARD_END) {
		rein_status s = block_compile(e, block, part >= BLOCK_FORWARD_END, out);
		describe(p, n, instr, out->explain, sizeof out->explain);
		return s < 0 ? s : 1;
	}
	if (n < 1 ||
	    !fuse_measure(e->cpu, p, e->plan, e->blocks, e->lanes, n, instr, &h, &tail, &head, &partial, &workspace))
		return 0;
	struct fused *f = host->alloc(host, sizeof *f);
	if (!f)
		return REIN_ERROR;
	int32_t at = e->plan->kernel[instr[0]];
	f->host = host;
	f->work = e->plan->workspace_at[at];
	f->partial = workspace - partial;
	f->has_head = head >= 0;
	f->has_chain = n > (head >= 0) + (tail.op != 0);
	f->tail = tail;
	if (tail.op)
		f->tail_work =
			f->partial - (window_plan(&tail, e->cpu->isa, e->cpu->threads < 1 ? 1 : e->cpu->threads) + 63) / 64 * 64;
	if (f->has_head) {
		const struct rein_prog_instr *i = &p->instr[instr[head]];
		f->head = h;
		f->a = i->in[0], f->b = i->n_in > 1 ? i->in[1] : -1, f->c = i->out[0];
	}
	*out = (struct kernel){ .run = run, .destroy = destroy, .data = f, .first = instr[0] };
	describe(p, n, instr, out->explain, sizeof out->explain);
	int32_t pooled = tail.op ? chain_root(p, e->plan, tail.in[0]) : -1;
	if (f->has_chain && !chain_build(&f->chain, e, n, instr, f->has_head ? f->c : -1, pooled))
		return rein_failf(host, "a group of %d ops is too large (%s)", n, out->explain);
	if (f->has_head)
		f->chain.tasks = h.tasks;
	if (f->has_chain && f->chain.n_reduce)
		f->head.sparse = false; /* its pieces are others than the chain counts on */
	if (f->has_head && f->head.sparse)
		snprintf(out->explain + strlen(out->explain), sizeof out->explain - strlen(out->explain),
		         " (sparse if b nearly is)");
	return 1;
}
