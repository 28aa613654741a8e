/* SPDX-License-Identifier: MIT
 *
 * plan.c: where every value of a program lives. Time is counted in kernels. A value lives
 * from the kernel that makes it to the last one that reads it, or to the end if the core or
 * a commit reads it; values renamed into one another share their memory's lifetime. Then:
 *   1. a committed value is computed straight in its state's memory if every reader of the
 *      old version runs earlier (or in the same kernel, element by element: in_place);
 *   2. a value may take over the memory of an operand that ends in its kernel (in_place);
 *   3. what is left goes, largest first, into the smallest gap between the values that are
 *      alive at the same time (best fit, as in Pisarchyk, Lee: "Efficient memory management
 *      for deep neural net inference", 2020), kernels' workspaces included.
 */
#include <stdlib.h>
#include <string.h>

#include "program.h"

#define ALIGN      64
#define ALIGNED(n) (((n) + ALIGN - 1) & ~(int64_t)(ALIGN - 1))

/* Memory for one or more values, alive from kernel `birth` to kernel `death`. */
struct block {
	int64_t bytes, offset;
	int32_t birth, death;
	int32_t taken; /* kernel whose result took it over, -1: none */
	bool used;
};

struct layout {
	const struct rein_program *p;
	struct rein_plan *plan;
	int32_t end;                 /* time after the last kernel */
	int32_t *root;               /* per value: the value whose memory it is in, through aliases */
	int64_t *at;                 /* per value: bytes from the start of that memory */
	int32_t *last;               /* per value: time of its last reader */
	int32_t *makers;             /* per value that is a root: how many instructions write into it */
	int32_t *seen, round;        /* per value: the round of collecting that had it */
	int32_t n_operand, *operand; /* of the kernel at hand */
	int32_t *block_of;           /* per root: its block */
	struct block *block;         /* one per value, then one per kernel for workspaces */
	int32_t *first, *instr;      /* instructions by kernel: instr[first[k] .. first[k+1]) */
};

static int64_t bytes_of(const struct layout *l, int32_t v)
{
	return l->p->value[v].count * dtype_size(l->p->value[v].dtype, l->p->real_size);
}

static void find_roots(struct layout *l)
{
	for (uint32_t v = 0; v < l->p->n_value; v++) {
		int32_t r = (int32_t)v;
		for (uint32_t steps = 0; l->plan->home[r] == REIN_HOME_ALIAS && steps <= l->p->n_value; steps++) {
			l->at[v] += l->plan->base_offset[r];
			r = l->plan->base[r];
		}
		l->root[v] = r;
	}
}

static void later(int32_t *t, int32_t than)
{
	if (*t < than)
		*t = than;
}

/* Last readers, backwards: users come after what they use. An operand of something that has
 * no memory, or is a mere renaming, is read when the result is. */
static void find_last_readers(struct layout *l)
{
	const struct rein_program *p = l->p;
	for (uint32_t v = 0; v < p->n_value; v++)
		l->last[v] = -1;
	for (uint32_t c = 0; c < p->n_commit; c++)
		l->last[p->commit[c].value] = l->end;
	for (uint32_t o = 0; o < p->n_output; o++)
		l->last[p->output[o]] = l->end;
	for (uint32_t k = p->n_instr; k-- > 0;) {
		const struct rein_prog_instr *i = &p->instr[k];
		int32_t t = l->plan->kernel[k];
		for (uint32_t o = 0; o < i->n_out; o++)
			if (l->plan->kernel[k] < 0 || l->plan->home[i->out[o]] == REIN_HOME_NONE)
				later(&t, l->last[i->out[o]]);
		for (uint32_t n = 0; n < i->n_in; n++)
			later(&l->last[i->in[n]], t);
	}
}

static void find_blocks(struct layout *l)
{
	const struct rein_program *p = l->p;
	for (uint32_t v = 0; v < p->n_value; v++) {
		struct block *b = &l->block[v];
		*b = (struct block){ .bytes = bytes_of(l, (int32_t)v), .birth = l->end, .death = -1, .taken = -1 };
		l->block_of[v] = (int32_t)v;
		b->used = l->plan->home[v] == REIN_HOME_ARENA;
	}
	for (uint32_t v = 0; v < p->n_value; v++) {
		struct block *b = &l->block[l->root[v]];
		int32_t made = l->plan->kernel[p->value[v].instr];
		if (made >= 0) {
			if (made < b->birth)
				b->birth = made;
			later(&b->death, made);
			l->makers[l->root[v]]++;
		}
		later(&b->death, l->last[v]);
	}
	for (uint32_t v = 0; v < p->n_value; v++)
		l->block[v].used &= l->makers[v] > 0;
}

/* Instructions of each kernel, in recorded order. */
static void sort_instructions(struct layout *l)
{
	for (uint32_t k = 0; k < l->p->n_instr; k++)
		if (l->plan->kernel[k] >= 0)
			l->first[l->plan->kernel[k] + 1]++;
	for (uint32_t k = 0; k < l->plan->n_kernel; k++)
		l->first[k + 1] += l->first[k];
	for (uint32_t k = l->p->n_instr; k-- > 0;) { /* backwards, filling each kernel from its end */
		int32_t n = l->plan->kernel[k];
		if (n >= 0)
			l->instr[--l->first[n + 1]] = (int32_t)k;
	}
	/* first[n + 1] is now the start of kernel n; move it down by one */
	for (uint32_t k = 0; k < l->plan->n_kernel; k++)
		l->first[k] = l->first[k + 1];
	l->first[l->plan->n_kernel] = 0;
	for (uint32_t k = 0; k < l->p->n_instr; k++)
		l->first[l->plan->n_kernel] += l->plan->kernel[k] >= 0;
}

/* Values that kernel k reads from memory: what has none is replaced by what it is made of. */
static void collect(struct layout *l, const struct rein_prog_instr *i)
{
	for (uint32_t n = 0; n < i->n_in; n++) {
		int32_t v = i->in[n];
		if (l->seen[v] == l->round)
			continue;
		l->seen[v] = l->round;
		const struct rein_prog_instr *from = &l->p->instr[l->p->value[v].instr];
		if (l->plan->home[l->root[v]] == REIN_HOME_NONE)
			collect(l, from);
		else
			l->operand[l->n_operand++] = v;
	}
}
static void collect_operands(struct layout *l, int32_t k)
{
	l->n_operand = 0;
	l->round++;
	for (int32_t n = l->first[k]; n < l->first[k + 1]; n++)
		collect(l, &l->p->instr[l->instr[n]]);
}

/* True if a loop of kernel k reads the state inside its body. */
static bool body_reads(const struct rein_program *p, const struct rein_program *body, const char *name)
{
	for (uint32_t k = 0; k < body->n_instr; k++) {
		const struct rein_prog_instr *i = &body->instr[k];
		if (i->op == REIN_OP_READ && !strcmp(body->state[i->state].name, name))
			return true;
		if (i->body && body_reads(p, i->body, name))
			return true;
	}
	return false;
}

/* The last time the old version of a state is read. */
static int32_t last_read(const struct layout *l, int32_t state)
{
	int32_t t = -1;
	for (uint32_t v = 0; v < l->p->n_value; v++) {
		int32_t r = l->root[v];
		if (l->plan->home[r] == REIN_HOME_STATE && l->plan->base[r] == state &&
		    l->p->instr[l->p->value[r].instr].op == REIN_OP_READ)
			later(&t, l->last[v]);
	}
	for (uint32_t k = 0; k < l->p->n_instr; k++) {
		const struct rein_program *body = l->p->instr[k].body;
		if (body && body_reads(l->p, body, l->p->state[state].name))
			later(&t, l->plan->kernel[k] + 1); /* as if after it: never in place */
	}
	return t;
}

/* True if kernel k reads memory `root` only element by element, along `count` elements. */
static bool read_along(const struct layout *l, int64_t count,
                       bool (*in)(const struct layout *, int32_t v, int32_t what), int32_t what)
{
	for (int32_t n = 0; n < l->n_operand; n++) {
		int32_t v = l->operand[n];
		if (in(l, v, what) && (l->p->value[v].count != count || l->at[v] != 0))
			return false;
	}
	return true;
}
static bool in_state(const struct layout *l, int32_t v, int32_t state)
{
	int32_t r = l->root[v];
	return l->plan->home[r] == REIN_HOME_STATE && l->plan->base[r] == state;
}
static bool in_block(const struct layout *l, int32_t v, int32_t block)
{
	int32_t r = l->root[v];
	return l->plan->home[r] == REIN_HOME_ARENA && l->block_of[r] == block;
}

static void place_commits(struct layout *l)
{
	const struct rein_program *p = l->p;
	for (uint32_t c = 0; c < p->n_commit; c++) {
		int32_t v = p->commit[c].value, s = p->commit[c].state, r = l->root[v];
		const struct block *b = &l->block[r];
		const struct rein_prog_state *t = &p->state[s];
		l->plan->copied[c] = 1;
		if (!b->used || l->at[v] != 0 || t->dtype != p->value[v].dtype ||
		    bytes_of(l, r) != t->count * dtype_size(t->dtype, p->real_size))
			continue;
		int32_t read = last_read(l, s);
		bool along = read == b->birth && l->plan->in_place[r] && l->makers[r] == 1;
		if (along) {
			collect_operands(l, b->birth);
			along = read_along(l, p->value[r].count, in_state, s);
		}
		if (read >= b->birth && !along)
			continue;
		l->plan->home[r] = REIN_HOME_STATE;
		l->plan->base[r] = s;
		l->block[r].used = false;
		l->plan->copied[c] = 0;
	}
}

/* The operand whose memory result v of kernel k may take over, or -1. */
static int32_t takeover(struct layout *l, int32_t k, int32_t v)
{
	for (int32_t n = 0; n < l->n_operand; n++) {
		int32_t u = l->operand[n], r = l->root[u];
		if (l->plan->home[r] != REIN_HOME_ARENA || l->at[u] != 0)
			continue;
		const struct block *b = &l->block[l->block_of[r]];
		if (b->death == k && b->birth < k && b->taken != k && b->bytes == bytes_of(l, v) &&
		    read_along(l, l->p->value[v].count, in_block, l->block_of[r]))
			return l->block_of[r];
	}
	return -1;
}

static void share_in_place(struct layout *l)
{
	for (int32_t k = 0; k < (int32_t)l->plan->n_kernel; k++) {
		bool collected = false;
		for (int32_t n = l->first[k]; n < l->first[k + 1]; n++) {
			const struct rein_prog_instr *i = &l->p->instr[l->instr[n]];
			for (uint32_t o = 0; o < i->n_out; o++) {
				int32_t v = i->out[o];
				if (!l->block[v].used || !l->plan->in_place[v] || l->makers[v] != 1)
					continue;
				if (!collected)
					collect_operands(l, k);
				collected = true;
				int32_t to = takeover(l, k, v);
				if (to < 0)
					continue;
				l->block[to].death = l->block[v].death;
				l->block[to].taken = k;
				l->block[v].used = false;
				l->block_of[v] = to;
			}
		}
	}
}

static int by_size(const void *a, const void *b)
{
	const struct block *x = *(struct block *const *)a, *y = *(struct block *const *)b;
	if (x->bytes != y->bytes)
		return x->bytes < y->bytes ? 1 : -1;
	return x < y ? -1 : x > y;
}

/* Puts a block into the smallest gap that holds it among those alive with it. `placed` is
 * sorted by offset. */
static void fit(struct block *b, struct block **placed, int32_t n, int64_t guard)
{
	int64_t need = ALIGNED(b->bytes + guard), best = -1, best_gap = INT64_MAX, from = ALIGNED(guard);
	for (int32_t j = 0; j < n; j++) {
		const struct block *o = placed[j];
		if (o->death < b->birth || b->death < o->birth)
			continue;
		int64_t gap = o->offset - from;
		if (gap >= need && gap < best_gap) {
			best = from;
			best_gap = gap;
		}
		int64_t after = o->offset + ALIGNED(o->bytes + guard);
		if (after > from)
			from = after;
	}
	b->offset = best >= 0 ? best : from;
}

static int64_t place_blocks(struct layout *l, int32_t n_block, struct block **order, struct block **placed,
                            int64_t guard)
{
	int32_t n = 0, done = 0;
	int64_t total = 0;
	for (int32_t j = 0; j < n_block; j++)
		if (l->block[j].used)
			order[n++] = &l->block[j];
	if (n)
		qsort(order, (size_t)n, sizeof *order, by_size);
	for (int32_t j = 0; j < n; j++) {
		fit(order[j], placed, done, guard);
		int32_t at = done++;
		while (at > 0 && placed[at - 1]->offset > order[j]->offset) {
			placed[at] = placed[at - 1];
			at--;
		}
		placed[at] = order[j];
		int64_t end = order[j]->offset + ALIGNED(order[j]->bytes + guard);
		if (end > total)
			total = end;
	}
	return total;
}

static void lay_out(struct layout *l, struct block **order, struct block **placed, int64_t guard)
{
	struct rein_plan *plan = l->plan;
	int32_t n_value = (int32_t)l->p->n_value;
	find_roots(l);
	find_last_readers(l);
	find_blocks(l);
	sort_instructions(l);
	place_commits(l);
	share_in_place(l);
	for (uint32_t k = 0; k < plan->n_kernel; k++)
		l->block[n_value + (int32_t)k] = (struct block){
			.bytes = plan->workspace[k], .birth = (int32_t)k, .death = (int32_t)k, .used = plan->workspace[k] > 0
		};
	plan->arena_bytes = place_blocks(l, n_value + (int32_t)plan->n_kernel, order, placed, guard);
	for (int32_t v = 0; v < n_value; v++)
		plan->offset[v] =
			plan->home[l->root[v]] == REIN_HOME_ARENA ? l->block[l->block_of[l->root[v]]].offset + l->at[v] : l->at[v];
	for (uint32_t k = 0; k < plan->n_kernel; k++)
		plan->workspace_at[k] = l->block[n_value + (int32_t)k].offset;
}

rein_status plan_layout(const struct rein_program *p, struct rein_plan *plan, int64_t guard)
{
	size_t n = p->n_value + 1, n_block = n + plan->n_kernel;
	struct layout l = { .p = p, .plan = plan, .end = (int32_t)plan->n_kernel };
	struct block **order = calloc(n_block, sizeof *order), **placed = calloc(n_block, sizeof *placed);
	l.root = calloc(n, sizeof *l.root);
	l.at = calloc(n, sizeof *l.at);
	l.last = calloc(n, sizeof *l.last);
	l.makers = calloc(n, sizeof *l.makers);
	l.seen = calloc(n, sizeof *l.seen);
	l.operand = calloc(n, sizeof *l.operand);
	l.block_of = calloc(n, sizeof *l.block_of);
	l.block = calloc(n_block, sizeof *l.block);
	l.first = calloc(plan->n_kernel + 2, sizeof *l.first);
	l.instr = calloc(p->n_instr + 1, sizeof *l.instr);
	bool ok = order && placed && l.root && l.at && l.last && l.makers && l.seen && l.operand && l.block_of && l.block &&
	          l.first && l.instr;
	if (ok)
		lay_out(&l, order, placed, guard);
	void *all[] = { order,  placed,    l.root,     l.at,    l.last,  l.makers,
		            l.seen, l.operand, l.block_of, l.block, l.first, l.instr };
	for (size_t j = 0; j < sizeof all / sizeof *all; j++)
		free(all[j]);
	return ok ? REIN_OK : REIN_ERROR;
}
