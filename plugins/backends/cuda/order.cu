/* SPDX-License-Identifier: MIT
 *
 * order.cu: the order of launches, and which of them are one. Families append what each kernel of
 * the plan needs, in the plan's order; from the memory that every kernel reads and writes follows
 * which of them wait for which, memory used again included. Then launches are taken
 * one by one, among those that wait for nothing first the one that most others wait for in a row
 * (list scheduling by critical path), and a piece takes along every other piece of its kind that is
 * ready. So the updates of all parameters are one launch, and so are sums that nobody is in a
 * hurry for. A kernel gives the same bits wherever it stands, so none of this changes a result.
 */
#include <stdlib.h>

#include "cuda.h"

struct range {
	uintptr_t from, to;
};
/* One thing that was appended, with what it reads and writes: range[first..] of all. */
struct draft {
	struct cuda_item item;
	int32_t first, n_read, n_write;
	int32_t first_dep, n_dep; /* those that come before it */
	int32_t waits, height;    /* for how many still; the longest way from here to the end */
	bool done;
};
struct order {
	struct cuda_build *b;
	struct draft *draft;
	int32_t n;
	struct range *range;
	int32_t n_range, cap_range;
	int32_t *dep, n_dep, cap_dep;
	int32_t *seen, round;        /* per value: the round of collecting that had it */
	uintptr_t *bound;            /* where ranges begin and end, ascending */
	int32_t n_bound, *writer;    /* per piece of memory between two of them: who wrote it last, */
	int32_t *reader;             /* and who read it since: a list in link, -1: nobody */
	int32_t *link, *who, n_link; /* */
	int32_t *met, *after, *first_after;
};

template <class T>
static bool grow(struct order *o, T **list, int32_t n, int32_t *cap)
{
	if (n < *cap)
		return true;
	int32_t more = *cap ? 2 * *cap : 256;
	T *copy = static_cast<T *>(o->b->host->alloc(o->b->host, (uint64_t)more * sizeof(T)));
	if (!copy)
		return false;
	if (n)
		memcpy(static_cast<void *>(copy), *list, (size_t)n * sizeof(T));
	o->b->host->free(o->b->host, *list);
	*list = copy;
	*cap = more;
	return true;
}
template <class T>
static T *room(struct order *o, int64_t n)
{
	return static_cast<T *>(o->b->host->alloc(o->b->host, (uint64_t)(n + 1) * sizeof(T)));
}

/* --- what is read and written ----------------------------------------------------------------- */
static bool add_range(struct order *o, const void *at, int64_t bytes)
{
	if (!at || bytes <= 0)
		return true;
	if (!grow(o, &o->range, o->n_range, &o->cap_range))
		return false;
	uintptr_t from = reinterpret_cast<uintptr_t>(at);
	o->range[o->n_range++] = range{ from, from + (uintptr_t)bytes };
	return true;
}

/* Memory that value v is read from: its own, or what it is made of where it has none. */
static bool add_reads(struct order *o, int32_t v)
{
	const struct rein_program *p = o->b->p;
	const struct rein_prog_instr *i = &p->instr[p->value[v].instr];
	bool good = true;
	if (o->seen[v] == o->round)
		return true;
	o->seen[v] = o->round;
	if (o->b->mem[v])
		return add_range(o, o->b->mem[v], cuda_bytes_of(p, v));
	for (uint32_t k = 0; k < i->n_in && good; k++)
		good = add_reads(o, i->in[k]);
	return good;
}

/* A kernel of the plan: operands of its ops, then results and workspace. */
static bool kernel_ranges(struct order *o, struct draft *d)
{
	const struct rein_program *p = o->b->p;
	const struct rein_plan *plan = o->b->plan;
	int32_t k = d->item.kernel;
	bool good = true;
	o->round++;
	d->first = o->n_range;
	for (int32_t j = o->b->e->first[k]; j < o->b->e->first[k + 1]; j++) {
		const struct rein_prog_instr *i = &p->instr[o->b->e->instr[j]];
		for (uint32_t a = 0; a < i->n_in && good; a++)
			good = add_reads(o, i->in[a]);
	}
	d->n_read = o->n_range - d->first;
	for (int32_t j = o->b->e->first[k]; j < o->b->e->first[k + 1]; j++) {
		const struct rein_prog_instr *i = &p->instr[o->b->e->instr[j]];
		for (uint32_t r = 0; r < i->n_out && good; r++)
			good = add_range(o, o->b->mem[i->out[r]], cuda_bytes_of(p, i->out[r]));
	}
	if (plan->workspace[k])
		good = good && add_range(o, o->b->e->base + plan->workspace_at[k], plan->workspace[k]);
	if (d->item.kind == CUDA_CALL) /* a library has one workspace for all */
		good = good && add_range(o, o->b->cuda, 1);
	d->n_write = o->n_range - d->first - d->n_read;
	return good;
}

static bool find_ranges(struct order *o)
{
	bool good = true;
	for (int32_t n = 0; n < o->n && good; n++) {
		struct draft *d = &o->draft[n];
		if (d->item.kernel >= 0) {
			good = kernel_ranges(o, d);
			continue;
		}
		d->first = o->n_range; /* a commit */
		good = add_range(o, d->item.from, (int64_t)d->item.bytes);
		d->n_read = o->n_range - d->first;
		good = good && add_range(o, d->item.to, (int64_t)d->item.bytes);
		d->n_write = o->n_range - d->first - d->n_read;
	}
	return good;
}

/* --- who waits for whom ------------------------------------------------------------------------ */
static int ascending(const void *a, const void *b)
{
	uintptr_t x = *static_cast<const uintptr_t *>(a), y = *static_cast<const uintptr_t *>(b);
	return x < y ? -1 : x > y;
}

static int32_t place_of(const struct order *o, uintptr_t at)
{
	int32_t lo = 0, hi = o->n_bound;
	while (lo < hi) {
		int32_t mid = (lo + hi) / 2;
		if (o->bound[mid] < at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool find_bounds(struct order *o)
{
	int64_t links = 0;
	o->bound = room<uintptr_t>(o, 2 * (int64_t)o->n_range);
	o->writer = room<int32_t>(o, 2 * (int64_t)o->n_range);
	o->reader = room<int32_t>(o, 2 * (int64_t)o->n_range);
	if (!o->bound || !o->writer || !o->reader)
		return false;
	for (int32_t k = 0; k < o->n_range; k++)
		o->bound[2 * k] = o->range[k].from, o->bound[2 * k + 1] = o->range[k].to;
	if (o->n_range)
		qsort(o->bound, 2 * (size_t)o->n_range, sizeof *o->bound, ascending);
	for (int32_t k = 0; k < 2 * o->n_range; k++)
		if (!o->n_bound || o->bound[k] != o->bound[o->n_bound - 1])
			o->bound[o->n_bound++] = o->bound[k];
	for (int32_t k = 0; k < o->n_bound; k++)
		o->writer[k] = o->reader[k] = -1;
	for (int32_t k = 0; k < o->n_range; k++)
		links += place_of(o, o->range[k].to) - place_of(o, o->range[k].from);
	o->link = room<int32_t>(o, links);
	o->who = room<int32_t>(o, links);
	return o->link && o->who;
}

static bool add_dep(struct order *o, int32_t n, int32_t on)
{
	if (on < 0 || on == n || o->met[on] == n)
		return true;
	o->met[on] = n;
	if (!grow(o, &o->dep, o->n_dep, &o->cap_dep))
		return false;
	o->dep[o->n_dep++] = on;
	o->draft[n].n_dep++;
	return true;
}

static bool meet(struct order *o, int32_t n, const struct range *r, bool writes)
{
	bool good = true;
	for (int32_t at = place_of(o, r->from); at < o->n_bound && o->bound[at] < r->to && good; at++) {
		good = add_dep(o, n, o->writer[at]);
		if (!writes) {
			o->who[o->n_link] = n;
			o->link[o->n_link] = o->reader[at];
			o->reader[at] = o->n_link++;
			continue;
		}
		for (int32_t l = o->reader[at]; l >= 0 && good; l = o->link[l])
			good = add_dep(o, n, o->who[l]);
		o->reader[at] = -1;
		o->writer[at] = n;
	}
	return good;
}

/* A loop's body reads what it likes: everything before comes before it, everything after, after. */
static bool find_deps(struct order *o)
{
	int32_t loop = -1;
	bool good = true;
	for (int32_t n = 0; n < o->n; n++)
		o->met[n] = -1;
	for (int32_t n = 0; n < o->n && good; n++) {
		struct draft *d = &o->draft[n];
		d->first_dep = o->n_dep;
		good = add_dep(o, n, loop);
		for (int32_t k = 0; k < d->n_read && good; k++)
			good = meet(o, n, &o->range[d->first + k], false);
		for (int32_t k = 0; k < d->n_write && good; k++)
			good = meet(o, n, &o->range[d->first + d->n_read + k], true);
		if (d->item.kind != CUDA_LOOP)
			continue;
		for (int32_t k = loop + 1; k < n && good; k++)
			good = add_dep(o, n, k);
		loop = n;
	}
	return good;
}

/* Turned round: who waits for n is after[first_after[n] .. first_after[n + 1]). */
static bool find_waiting(struct order *o)
{
	o->first_after = room<int32_t>(o, o->n + 1);
	o->after = room<int32_t>(o, o->n_dep);
	if (!o->first_after || !o->after)
		return false;
	for (int32_t k = 0; k < o->n_dep; k++)
		o->first_after[o->dep[k] + 1]++;
	for (int32_t n = 0; n < o->n; n++)
		o->first_after[n + 1] += o->first_after[n];
	for (int32_t n = 0; n < o->n; n++)
		o->met[n] = o->first_after[n];
	for (int32_t n = 0; n < o->n; n++) {
		struct draft *d = &o->draft[n];
		d->waits = d->n_dep;
		for (int32_t k = 0; k < d->n_dep; k++)
			o->after[o->met[o->dep[d->first_dep + k]]++] = n;
	}
	for (int32_t n = o->n; n-- > 0;)
		for (int32_t k = o->first_after[n]; k < o->first_after[n + 1]; k++)
			if (o->draft[n].height <= o->draft[o->after[k]].height)
				o->draft[n].height = o->draft[o->after[k]].height + 1;
	return true;
}

/* --- taking them one by one ----------------------------------------------------------------------- */
static void finished(struct order *o, int32_t n)
{
	o->draft[n].done = true;
	for (int32_t k = o->first_after ? o->first_after[n] : 0; o->first_after && k < o->first_after[n + 1]; k++)
		o->draft[o->after[k]].waits--;
}

static rein_status emit_pieces(struct order *o, int32_t n_piece, const int32_t *piece)
{
	struct cuda_build *b = o->b;
	const struct cuda_merge *merge = o->draft[piece[0]].item.merge;
	void *data[CUDA_MERGE];
	b->kernel = -1;
	for (int32_t k = 0; k < n_piece; k++) {
		data[k] = o->draft[piece[k]].item.data;
		if (o->draft[piece[k]].item.kernel > b->kernel)
			b->kernel = o->draft[piece[k]].item.kernel;
	}
	for (int32_t k = 0; k < n_piece; k++)
		if (o->draft[piece[k]].item.kernel >= 0)
			b->e->launch[o->draft[piece[k]].item.kernel] = b->kernel;
	rein_status s = merge->emit(b, n_piece, data);
	for (int32_t k = 0; k < n_piece; k++) {
		b->host->free(b->host, data[k]);
		o->draft[piece[k]].item.data = NULL;
	}
	return s;
}

static rein_status emit_draft(struct order *o, int32_t n, bool together)
{
	struct draft *d = &o->draft[n];
	int32_t piece[CUDA_MERGE], n_piece = 1;
	piece[0] = n;
	if (d->item.kind != CUDA_PIECE) {
		struct cuda_item *i = cuda_append(o->b, d->item.kind, d->item.name);
		if (!i)
			return REIN_ERROR;
		*i = d->item;
		d->item.data = NULL;
		finished(o, n);
		return REIN_OK;
	}
	for (int32_t k = 0; k < o->n && together && n_piece < d->item.merge->most; k++) {
		const struct draft *other = &o->draft[k];
		if (k != n && !other->done && !other->waits && other->item.kind == CUDA_PIECE &&
		    other->item.merge == d->item.merge)
			piece[n_piece++] = k;
	}
	rein_status s = emit_pieces(o, n_piece, piece);
	for (int32_t k = 0; k < n_piece; k++)
		finished(o, piece[k]);
	return s;
}

static rein_status take_in_turn(struct order *o)
{
	rein_status s = REIN_OK;
	for (;;) {
		int32_t best = -1;
		for (int32_t n = 0; n < o->n; n++)
			if (!o->draft[n].done && !o->draft[n].waits && (best < 0 || o->draft[n].height > o->draft[best].height))
				best = n;
		if (best < 0 || s < 0)
			return s;
		s = emit_draft(o, best, true);
	}
}

/* What is checked kernel by kernel runs kernel by kernel. */
static bool as_planned(const struct cuda *cuda)
{
	return (cuda->flags & (REIN_NAIVE | REIN_GUARD)) || cuda->fuse_key == CUDA_FUSE_NONE;
}

static rein_status order(struct order *o)
{
	rein_status s = REIN_OK;
	if (as_planned(o->b->cuda)) {
		for (int32_t n = 0; n < o->n && s >= 0; n++)
			s = emit_draft(o, n, false);
		return s;
	}
	o->seen = room<int32_t>(o, o->b->p->n_value);
	o->met = room<int32_t>(o, o->n);
	if (!o->seen || !o->met || !find_ranges(o) || !find_bounds(o) || !find_deps(o) || !find_waiting(o))
		return REIN_ERROR;
	return take_in_turn(o);
}

rein_status cuda_order(struct cuda_build *b)
{
	struct rein_exec *e = b->e;
	struct order o;
	memset(&o, 0, sizeof o);
	o.b = b;
	o.draft = room<struct draft>(&o, e->n_item);
	if (!o.draft)
		return REIN_ERROR;
	for (; o.n < e->n_item; o.n++)
		o.draft[o.n].item = e->item[o.n];
	e->n_item = 0;
	rein_status s = order(&o);
	for (int32_t n = 0; n < o.n; n++) {
		if (o.draft[n].item.kind == CUDA_LOOP)
			cuda_loop_destroy(static_cast<struct cuda_loop *>(o.draft[n].item.data));
		else
			b->host->free(b->host, o.draft[n].item.data);
	}
	void *all[] = { o.draft,  o.range, o.dep, o.seen, o.bound, o.writer,
		            o.reader, o.link,  o.who, o.met,  o.after, o.first_after };
	for (size_t k = 0; k < sizeof all / sizeof *all; k++)
		b->host->free(b->host, all[k]);
	return s;
}
