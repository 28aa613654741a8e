/* SPDX-License-Identifier: MIT
 *
 * fuse.c: decides which ops of a program run together, in which order, and which values then
 * need no memory. In recorded order each elementwise op joins the groups that make its
 * operands, if all see the same elements in the same order and nothing outside of the union
 * stands between its members; a reduction joins the group of its operand. Kernels are then
 * ordered so that old versions of a state are read before the kernel that makes the new one,
 * which lets the core put it in the same place. What no group takes runs one op a kernel,
 * naively. More fusion: teach chain_ops.c the op; new kinds of kernels: fuse_run.c.
 */
#include <string.h>

#include "fuse.h"

#define OP_TAIL 6 /* besides strip.h's: pools what its group's chain makes of a convolution */

struct group {
	int64_t count, cols;
	int32_t first, last; /* members: list through next[] in joined order; -1: none left */
	int32_t head;        /* its instruction or -1 */
	int weight, reduces;
	bool fast, block; /* block: all of it, nothing joins (nhwc.h) */
};

/* `group` must run after `after`. */
struct edge {
	int32_t group, after;
};

struct fuse {
	struct cpu *cpu;
	const struct rein_program *p;
	struct rein_plan *plan;
	struct blocks *blocks;
	uint8_t *lanes;
	int32_t n;                             /* instructions */
	int32_t *group_of, *next, *list;       /* per instruction; group_of -1: runs in no kernel */
	int32_t *seen, *stack, round, n_stack; /* per group */
	uint8_t *kind, *hidden, *kept;         /* kind per instruction; per value: a view that is read
	                                        * through; its memory is needed */
	struct group *group;
	struct edge *edge;
	int32_t n_edge, edge_cap;
};

/* --- dependencies ---------------------------------------------------------------------- */
/* The value that must have been computed for v to be readable, or -1; *plain: it has the same
 * elements as v. */
static int32_t source(const struct fuse *f, int32_t v, bool *plain)
{
	*plain = true;
	for (;;) {
		int32_t r = chain_root(f->p, f->plan, v);
		const struct rein_prog_instr *i = &f->p->instr[f->p->value[r].instr];
		if (f->plan->home[r] == REIN_HOME_ALIAS) {
			*plain = false;
			v = f->plan->base[r];
		} else if (f->hidden[r]) {
			*plain = false;
			if (i->op == REIN_OP_IOTA)
				return -1;
			v = i->in[0];
		} else {
			return f->group_of[f->p->value[r].instr] < 0 ? -1 : r;
		}
	}
}

/* True if instruction m can take operand k, made as `v` in its own group, from a register. */
static bool in_register(const struct fuse *f, int32_t m, uint32_t k, int32_t v, bool plain)
{
	int32_t maker = f->p->value[v].instr;
	const struct group *g = &f->group[f->group_of[m]];
	if (!plain || !g->fast || f->kind[maker] == OP_REDUCE)
		return false;
	if (f->kind[maker] == OP_OTHER && v != f->p->instr[maker].out[0]) /* what a head has besides its result */
		return false;
	if (f->kind[m] == OP_TAIL)
		return f->p->value[v].count == g->count;
	if (f->kind[m] != OP_ELEM && f->kind[m] != OP_REDUCE && f->kind[m] != OP_TAKE)
		return false;
	return chain_along(f->p, &f->p->instr[m], k, f->p->value[v].count);
}

static void visit(struct fuse *f, int32_t g)
{
	if (f->seen[g] == f->round)
		return;
	f->seen[g] = f->round;
	f->stack[f->n_stack++] = g;
}

/* Visits what group g waits for; false if that is group a or b (unless `inside`, where members
 * of a and b may pass each other registers). */
static bool visit_sources(struct fuse *f, int32_t g, int32_t a, int32_t b, bool inside)
{
	bool plain;
	for (int32_t m = f->group[g].first; m >= 0; m = f->next[m]) {
		const struct rein_prog_instr *i = &f->p->instr[m];
		for (uint32_t k = 0; k < i->n_in; k++) {
			int32_t v = source(f, i->in[k], &plain);
			if (v < 0)
				continue;
			int32_t from = f->group_of[f->p->value[v].instr];
			if (from == a || from == b) {
				if (!inside || (from != g && !in_register(f, m, k, v, plain)))
					return false;
			} else {
				visit(f, from);
			}
		}
	}
	for (int32_t k = 0; k < f->n_edge; k++) {
		if (f->edge[k].group != g)
			continue;
		if (f->edge[k].after == a || f->edge[k].after == b)
			return false;
		visit(f, f->edge[k].after);
	}
	return true;
}

/* True if no way from one group to the other leads outside of both. */
static bool no_way_round(struct fuse *f, int32_t a, int32_t b)
{
	f->round++;
	f->n_stack = 0;
	if (!visit_sources(f, a, a, b, true) || !visit_sources(f, b, a, b, true))
		return false;
	while (f->n_stack)
		if (!visit_sources(f, f->stack[--f->n_stack], a, b, false))
			return false;
	return true;
}

/* True if groups a and b can be one. */
static bool joinable(struct fuse *f, int32_t a, int32_t b)
{
	const struct group *x = &f->group[a], *y = &f->group[b];
	if (!x->fast || !y->fast || x->count != y->count || x->weight + y->weight > CHAIN_WEIGHT ||
	    (x->head >= 0 && y->head >= 0) || x->reduces + y->reduces > CHAIN_REDUCE)
		return false;
	if ((x->cols && y->cols && x->cols != y->cols) || ((x->head >= 0 || y->head >= 0) && (x->cols || y->cols)))
		return false;
	return no_way_round(f, a, b);
}

/* --- groups ----------------------------------------------------------------------------- */
static void join(struct fuse *f, int32_t into, int32_t from)
{
	struct group *x = &f->group[into], *y = &f->group[from];
	for (int32_t m = y->first; m >= 0; m = f->next[m])
		f->group_of[m] = into;
	f->next[x->last] = y->first;
	x->last = y->last;
	x->weight += y->weight;
	x->reduces += y->reduces;
	x->cols = x->cols ? x->cols : y->cols;
	x->head = x->head >= 0 ? x->head : y->head;
	y->first = -1;
}

/* Log-softmax and cross-entropy of the same tensor are one kernel. */
static void pair_rows(struct fuse *f)
{
	const struct rein_program *p = f->p;
	for (int32_t k = 0; k < f->n; k++) {
		const struct rein_prog_instr *i = &p->instr[k];
		if (i->op != REIN_OP_CROSS_ENTROPY || !rows_op(p, i) || f->group_of[k] != k)
			continue;
		for (int32_t m = 0; m < f->n; m++) {
			const struct rein_prog_instr *j = &p->instr[m];
			if (j->op != REIN_OP_LOG_SOFTMAX || !rows_op(p, j) || f->group_of[m] != m || f->next[m] >= 0 ||
			    j->in[0] != i->in[0] || !no_way_round(f, k, m))
				continue;
			join(f, k, m);
			break;
		}
	}
}

/* The first instruction of the block kernel that k is part of, or -1. */
static int32_t block_leader(const struct fuse *f, int32_t k)
{
	enum block_part part;
	const struct block *b = block_of(f->blocks, k, &part);
	if (!b || part >= BLOCK_BACKWARD_END)
		return -1;
	int m = part < BLOCK_FORWARD_END ? BLOCK_CONV : BLOCK_POOL_DX;
	while (b->at[m] < 0)
		m++;
	return b->at[m];
}

/* A view is read through by its users, without memory, if all of them are elementwise. */
static void find_hidden(struct fuse *f)
{
	const struct rein_program *p = f->p;
	for (int32_t k = 0; k < f->n; k++)
		if ((f->kind[k] == OP_VIEW || f->kind[k] == OP_IOTA) && f->plan->kernel[k] >= 0)
			f->hidden[p->instr[k].out[0]] = 1;
	for (int32_t k = 0; k < f->n; k++) {
		const struct rein_prog_instr *i = &p->instr[k];
		bool renames = i->n_out == 1 && f->plan->kernel[k] < 0 && f->plan->home[i->out[0]] == REIN_HOME_ALIAS;
		bool along = f->kind[k] == OP_ELEM || f->kind[k] == OP_REDUCE;
		for (uint32_t n = 0; n < i->n_in; n++) {
			int32_t r = chain_root(p, f->plan, i->in[n]), y = i->n_out ? i->out[0] : -1;
			int64_t count = f->kind[k] == OP_REDUCE ? p->value[i->in[0]].count : y >= 0 ? p->value[y].count : 0;
			if (renames && chain_root(p, f->plan, y) == r)
				continue;
			if (!along || p->value[r].count != count)
				f->hidden[r] = 0;
		}
	}
	for (int32_t k = 0; k < f->n; k++)
		for (uint32_t n = 0; block_leader(f, k) >= 0 && n < p->instr[k].n_in; n++)
			f->hidden[chain_root(p, f->plan, p->instr[k].in[n])] = 0;
	for (uint32_t k = 0; k < p->n_commit; k++)
		f->hidden[chain_root(p, f->plan, p->commit[k].value)] = 0;
	for (uint32_t k = 0; k < p->n_output; k++)
		f->hidden[chain_root(p, f->plan, p->output[k])] = 0;
}

/* Ops and the loads they may need. */
static int weight_of(const struct fuse *f, const struct rein_prog_instr *i)
{
	int w = i->op == REIN_OP_MAP ? 2 * MAP_WEIGHT : 1;
	for (uint32_t k = 0; k < i->n_in && i->op != REIN_OP_MATMUL; k++) {
		int32_t r = chain_root(f->p, f->plan, i->in[k]);
		const struct rein_prog_value *x = &f->p->value[r];
		w += f->hidden[r] || (x->count != 1 && x->count != f->p->value[i->out[0]].count && i->op != REIN_OP_TAKE);
	}
	return w;
}

static void make_groups(struct fuse *f)
{
	const struct rein_program *p = f->p;
	for (int32_t k = 0; k < f->n; k++) {
		const struct rein_prog_instr *i = &p->instr[k];
		struct group *g = &f->group[k];
		struct head head;
		int64_t cols = 0;
		*g = (struct group){ .first = k, .last = k, .head = -1 };
		f->next[k] = -1;
		f->group_of[k] = k;
		if (f->plan->kernel[k] < 0 || (i->n_out && f->hidden[i->out[0]])) {
			f->group_of[k] = -1;
			g->first = -1;
			continue;
		}
		int32_t leader = block_leader(f, k);
		if (leader >= 0 && leader != k) {
			struct group *into = &f->group[leader];
			f->group_of[k] = leader;
			f->next[into->last] = k;
			into->last = k;
			g->first = -1;
			continue;
		}
		g->block = leader >= 0;
		if (g->block || head_of(p, f->blocks, f->lanes, k, &head)) {
			g->fast = true;
			g->head = k;
			g->weight = g->block || head.alone ? CHAIN_WEIGHT : 0;
		} else if (f->kind[k] != OP_OTHER) {
			g->fast = true;
			g->weight = weight_of(f, i);
		}
		if (f->kind[k] == OP_REDUCE) {
			chain_reduce_kind(p, i, &cols);
			g->reduces = 1;
			g->cols = cols;
		}
		if (i->n_out)
			g->count = p->value[f->kind[k] == OP_REDUCE ? i->in[0] : i->out[0]].count;
	}
}

/* Each op to the groups of its operands, the latest first. */
static void grow_groups(struct fuse *f)
{
	bool plain;
	for (int32_t k = 0; k < f->n; k++) {
		const struct rein_prog_instr *i = &f->p->instr[k];
		if (f->group_of[k] < 0 || (f->kind[k] != OP_ELEM && f->kind[k] != OP_REDUCE && f->kind[k] != OP_TAKE))
			continue;
		for (;;) {
			int32_t best = -1;
			for (uint32_t n = 0; n < i->n_in; n++) {
				int32_t v = source(f, i->in[n], &plain);
				int32_t g = v < 0 ? -1 : f->group_of[f->p->value[v].instr];
				if (g > best && g != f->group_of[k] && in_register(f, k, n, v, plain) && joinable(f, g, f->group_of[k]))
					best = g;
			}
			if (best < 0)
				break;
			join(f, best, f->group_of[k]);
		}
	}
}

/* True if only group g and instruction k read what g's head makes. */
static bool head_is_hidden(const struct fuse *f, int32_t g, int32_t k)
{
	const struct rein_program *p = f->p;
	int32_t v = p->instr[f->group[g].head].out[0];
	uint32_t seen = p->instr[k].in[0] == v;
	for (int32_t m = f->group[g].first; m >= 0; m = f->next[m])
		for (uint32_t n = 0; n < p->instr[m].n_in; n++)
			seen += p->instr[m].in[n] == v;
	return seen == p->value[v].uses;
}

/* Pooling of what a convolution's group makes joins it: the planes are in cache, and often need no
 * memory. */
static void add_tails(struct fuse *f)
{
	struct head head;
	bool plain;
	for (int32_t k = 0; k < f->n; k++) {
		const struct rein_prog_instr *i = &f->p->instr[k];
		if ((i->op != REIN_OP_MAX_POOL && i->op != REIN_OP_AVG_POOL) || f->group_of[k] != k || f->group[k].head != k)
			continue;
		int32_t v = source(f, i->in[0], &plain), g = v < 0 ? -1 : f->group_of[f->p->value[v].instr];
		if (g < 0 || !plain || f->group[g].head < 0 || f->group[g].reduces || f->group[g].cols ||
		    !head_of(f->p, f->blocks, f->lanes, f->group[g].head, &head) || head.kind != HEAD_CONV ||
		    head.conv.pass != CONV_FORWARD || f->p->value[v].count != f->group[g].count || !head_is_hidden(f, g, k))
			continue;
		int64_t count = f->group[k].count;
		f->group[k].count = f->group[g].count; /* what in_register() asks for */
		f->kind[k] = OP_TAIL;
		if (no_way_round(f, g, k)) {
			join(f, g, k);
		} else {
			f->group[k].count = count;
			f->kind[k] = OP_OTHER;
		}
	}
}

/* --- order ------------------------------------------------------------------------------- */
static bool waits_for(struct fuse *f, int32_t g, int32_t other)
{
	f->round++;
	f->n_stack = 0;
	if (!visit_sources(f, g, other, -1, false))
		return true;
	while (f->n_stack)
		if (!visit_sources(f, f->stack[--f->n_stack], other, -1, false))
			return true;
	return false;
}

/* Readers of a state's old version before the group that makes the new one. */
static void add_edges(struct fuse *f)
{
	const struct rein_program *p = f->p;
	bool plain;
	for (uint32_t c = 0; c < p->n_commit; c++) {
		int32_t v = source(f, p->commit[c].value, &plain);
		if (v < 0)
			continue;
		int32_t writer = f->group_of[p->value[v].instr];
		for (int32_t k = 0; k < f->n; k++) {
			const struct rein_prog_instr *i = &p->instr[k];
			for (uint32_t n = 0; n < i->n_in; n++) {
				int32_t u = i->in[n], g = f->group_of[k];
				while (u >= 0 && (f->plan->home[u] == REIN_HOME_ALIAS || f->hidden[u]))
					u = f->hidden[u] ? (p->instr[p->value[u].instr].n_in ? p->instr[p->value[u].instr].in[0] : -1)
					                 : f->plan->base[u];
				if (u < 0 || g < 0 || g == writer || p->instr[p->value[u].instr].op != REIN_OP_READ ||
				    p->instr[p->value[u].instr].state != p->commit[c].state || f->n_edge == f->edge_cap ||
				    waits_for(f, g, writer))
					continue;
				f->edge[f->n_edge++] = (struct edge){ writer, g };
			}
		}
	}
}

/* All that group g waits for has its number. */
static bool ready(const struct fuse *f, int32_t g, const int32_t *number)
{
	bool plain;
	for (int32_t m = f->group[g].first; m >= 0; m = f->next[m]) {
		const struct rein_prog_instr *i = &f->p->instr[m];
		for (uint32_t k = 0; k < i->n_in; k++) {
			int32_t v = source(f, i->in[k], &plain);
			int32_t from = v < 0 ? -1 : f->group_of[f->p->value[v].instr];
			if (from >= 0 && from != g && number[from] < 0)
				return false;
		}
	}
	for (int32_t k = 0; k < f->n_edge; k++)
		if (f->edge[k].group == g && number[f->edge[k].after] < 0)
			return false;
	return true;
}

/* Numbers groups: always the one recorded first among those that can run. */
static int32_t order(struct fuse *f, int32_t *number)
{
	int32_t made = 0, from = 0;
	for (int32_t g = 0; g < f->n; g++)
		number[g] = -1;
	for (;;) {
		int32_t g = from;
		while (g < f->n && (f->group[g].first < 0 || number[g] >= 0 || !ready(f, g, number)))
			g++;
		if (g >= f->n)
			return made;
		number[g] = made++;
		while (from < f->n && (f->group[from].first < 0 || number[from] >= 0))
			from++;
	}
}

/* --- the plan ---------------------------------------------------------------------------- */
/* Instruction m reads v without memory: within its block's kernel, except for what the two rounds
 * of that kernel share; or as the mask that is stored with the places of a pooling. */
static bool inside_block(const struct fuse *f, int32_t m, int32_t v)
{
	enum block_part part;
	const struct block *b = block_of(f->blocks, m, &part);
	if (!b || part >= BLOCK_BACKWARD_END)
		return false;
	if (v == f->p->instr[b->at[BLOCK_BN]].in[0] || (part == BLOCK_SUM && v == f->p->instr[m].in[0]))
		return false;
	return f->group_of[f->p->value[v].instr] == f->group_of[m] ||
	       (part == BLOCK_RELU_DX && b->at[BLOCK_POOL] >= 0 && f->p->value[v].instr == b->at[BLOCK_LE]);
}

static void find_kept(struct fuse *f)
{
	const struct rein_program *p = f->p;
	bool plain;
	int32_t v;
	for (int32_t m = 0; m < f->n; m++) {
		const struct rein_prog_instr *i = &p->instr[m];
		for (uint32_t k = 0; k < i->n_in && f->group_of[m] >= 0; k++) {
			v = source(f, i->in[k], &plain);
			if (v >= 0 && !inside_block(f, m, v) &&
			    (f->group_of[p->value[v].instr] != f->group_of[m] || !in_register(f, m, k, v, plain)))
				f->kept[v] = 1;
		}
	}
	for (uint32_t k = 0; k < p->n_commit; k++)
		if ((v = source(f, p->commit[k].value, &plain)) >= 0)
			f->kept[v] = 1;
	for (uint32_t k = 0; k < p->n_output; k++)
		if ((v = source(f, p->output[k], &plain)) >= 0)
			f->kept[v] = 1;
}

/* Every operand from outside that is as long as the results is read along them. */
static bool reads_along(const struct fuse *f, int32_t g)
{
	for (int32_t m = f->group[g].first; m >= 0; m = f->next[m]) {
		const struct rein_prog_instr *i = &f->p->instr[m];
		for (uint32_t k = 0; k < i->n_in; k++) {
			int32_t v = i->in[k];
			int32_t r = chain_root(f->p, f->plan, v);
			if (f->hidden[r] && f->p->instr[f->p->value[r].instr].n_in)
				v = f->p->instr[f->p->value[r].instr].in[0];
			else if (m != f->group[g].head && f->kind[m] != OP_VIEW && chain_along(f->p, i, k, f->group[g].count))
				continue;
			if (f->p->value[v].count == f->group[g].count)
				return false;
		}
	}
	return true;
}

static int32_t members(const struct fuse *f, int32_t g, int32_t *list)
{
	int32_t n = 0;
	for (int32_t m = 0; m < f->n; m++)
		if (f->group_of[m] == g)
			list[n++] = m;
	return n;
}

static void write_plan(struct fuse *f, const int32_t *number, int32_t n_kernel, int64_t *old_workspace)
{
	struct rein_plan *plan = f->plan;
	memcpy(old_workspace, plan->workspace, (size_t)f->n * sizeof *old_workspace);
	for (int32_t k = 0; k < f->n; k++) {
		const struct rein_prog_instr *i = &f->p->instr[k];
		if (plan->kernel[k] < 0)
			continue;
		if (f->group_of[k] < 0) { /* hidden */
			plan->kernel[k] = -1;
			plan->home[i->out[0]] = REIN_HOME_NONE;
			continue;
		}
		const struct group *g = &f->group[f->group_of[k]];
		for (uint32_t o = 0; o < i->n_out && g->fast; o++) {
			int32_t v = i->out[o];
			if ((f->kind[k] != OP_REDUCE || g->block) && !f->kept[v])
				plan->home[v] = REIN_HOME_NONE;
			plan->in_place[v] = f->kind[k] != OP_REDUCE && f->kind[k] != OP_TAIL && k != g->head && !g->block &&
			                    reads_along(f, f->group_of[k]);
		}
	}
	for (int32_t g = 0; g < f->n; g++) {
		struct head head;
		struct window tail;
		int32_t at;
		int64_t partial, bytes;
		if (f->group[g].first < 0)
			continue;
		if (f->group[g].fast) {
			int32_t n = members(f, g, f->list);
			if (fuse_measure(f->cpu, f->p, plan, f->blocks, f->lanes, n, f->list, &head, &tail, &at, &partial, &bytes))
				plan->workspace[number[g]] = bytes;
		} else {
			plan->workspace[number[g]] = old_workspace[plan->kernel[f->group[g].first]];
		}
	}
	for (int32_t k = 0; k < f->n; k++)
		if (plan->kernel[k] >= 0)
			plan->kernel[k] = number[f->group_of[k]];
	plan->n_kernel = (uint32_t)n_kernel;
}

static rein_status schedule(struct fuse *f, int32_t *number, int64_t *old_workspace)
{
	for (int32_t k = 0; k < f->n; k++)
		f->kind[k] = (uint8_t)chain_kind(f->p, &f->p->instr[k]);
	find_hidden(f);
	make_groups(f);
	grow_groups(f);
	add_tails(f);
	pair_rows(f);
	add_edges(f);
	int32_t n_kernel = order(f, number);
	find_kept(f);
	write_plan(f, number, n_kernel, old_workspace);
	return REIN_OK;
}

rein_status fuse_schedule(struct cpu *cpu, const struct rein_program *p, struct rein_plan *plan)
{
	const struct rein_host *host = cpu->host;
	struct fuse f = { .cpu = cpu, .p = p, .plan = plan, .n = (int32_t)p->n_instr, .edge_cap = (int32_t)p->n_instr * 4 };
	size_t n = p->n_instr + 1, values = p->n_value + 1;
	if (p->real_size != 4)
		return REIN_OK;
	int32_t *numbers = host->alloc(host, n * 6 * sizeof *numbers);
	uint8_t *bytes = host->alloc(host, n + 2 * values);
	int64_t *old_workspace = host->alloc(host, n * sizeof *old_workspace);
	f.group = host->alloc(host, n * sizeof *f.group);
	f.edge = host->alloc(host, n * 4 * sizeof *f.edge);
	f.blocks = block_find(host, p);
	f.lanes = f.blocks ? lanes_find(cpu, p, f.blocks) : NULL;
	rein_status s = REIN_ERROR;
	if (numbers && bytes && old_workspace && f.group && f.edge && f.lanes) {
		f.group_of = numbers, f.next = numbers + n, f.list = numbers + 2 * n;
		f.seen = numbers + 3 * n, f.stack = numbers + 4 * n;
		f.kind = bytes, f.hidden = bytes + n, f.kept = bytes + n + values;
		s = schedule(&f, numbers + 5 * n, old_workspace);
	}
	void *all[] = { numbers, bytes, old_workspace, f.group, f.edge, f.blocks, f.lanes };
	for (size_t k = 0; k < sizeof all / sizeof *all; k++)
		host->free(host, all[k]);
	return s;
}
