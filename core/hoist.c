/* SPDX-License-Identifier: MIT
 *
 * hoist.c: what a program computes of each sample again and again, though nothing in it changes:
 * the features of frozen layers. It looks for them in a cleaned recording, op by op: a value is
 * *of the row* if row i of it depends on sample i alone, on constants and on states that stay as
 * they are, and on no draw that changes. Which of them to keep is a smallest cut: an op left in
 * the step costs its time, a value that crosses costs the bytes that are read of it instead.
 *
 * Ops are known by name in row_wise(): one that is not there is never taken out.
 */
#include "rec.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { RUN, FIXED, ROW }; /* changes; the same in every run; a function of the sample */

struct hoist {
	struct recorder *r;
	const struct ints *instr; /* of the body, in order */
	const uint8_t *live;
	const struct commit_list *commit;
	uint8_t *class; /* per instruction */
	int32_t id;     /* value: numbers of the samples */
	int64_t rows;
};

static const struct rec_value *value_of(const struct hoist *h, const struct rec_instr *i, uint32_t k)
{
	return &h->r->value[rec_in(h->r, i, k).id];
}

static uint8_t class_of(const struct hoist *h, const struct rec_value *v) { return h->class[v->instr]; }

/* --- which values ----------------------------------------------------------------------- */
static bool is_row(const struct hoist *h, const struct rec_instr *i, uint32_t k)
{
	return class_of(h, value_of(h, i, k)) == ROW;
}

static bool is_fixed(const struct hoist *h, const struct rec_instr *i, uint32_t k)
{
	return class_of(h, value_of(h, i, k)) == FIXED;
}

/* The same in every row: broadcast along the first axis, or one number all over. */
static bool same_in_rows(const struct hoist *h, const struct rec_instr *i, uint32_t k)
{
	const struct rec_value *v = value_of(h, i, k);
	const struct rec_instr *made = &h->r->instr[v->instr];

	return is_fixed(h, i, k) && (v->rank == 0 || v->dim[0] == 1 || (made->op == REIN_OP_CONST && !made->attr.data));
}

/* Each operand of the row, or the same in every row. */
static bool all_along(const struct hoist *h, const struct rec_instr *i)
{
	for (uint32_t k = 0; k < i->n_in; k++)
		if (!is_row(h, i, k) && !same_in_rows(h, i, k))
			return false;
	return true;
}

static bool matmul_by_row(const struct hoist *h, const struct rec_instr *i)
{
	if (value_of(h, i, 0)->rank == 2)
		return is_row(h, i, 0) && is_fixed(h, i, 1) && !(i->attr.flags & REIN_TA);
	return all_along(h, i);
}

static bool take_by_row(const struct hoist *h, const struct rec_instr *i)
{
	if (i->attr.batch)
		return all_along(h, i);
	return is_fixed(h, i, 0) && is_row(h, i, 1);
}

/* With an operand of the row and none that changes: is the result of the row too? */
static bool row_wise(const struct hoist *h, const struct rec_instr *i)
{
	const struct rein_attr *a = &i->attr;

	if (op_info(i->op)->elementwise)
		return i->op != REIN_OP_IOTA && all_along(h, i);
	switch (i->op) {
	case REIN_OP_RANDOM: return is_row(h, i, 0) && is_fixed(h, i, 1) && is_fixed(h, i, 2);
	case REIN_OP_SUM:
	case REIN_OP_AMAX:
	case REIN_OP_ARGMAX:
	case REIN_OP_CUMSUM:
	case REIN_OP_MOMENTS:
	case REIN_OP_LOG_SOFTMAX: return !(a->axes & 1);
	case REIN_OP_CONCAT: return !(a->axes & 1) && all_along(h, i);
	case REIN_OP_MATMUL: return matmul_by_row(h, i);
	case REIN_OP_CONV2D:
	case REIN_OP_CONV2D_DX: return is_row(h, i, 0) && is_fixed(h, i, 1);
	case REIN_OP_MAX_POOL:
	case REIN_OP_AVG_POOL:
	case REIN_OP_AVG_POOL_DX:
	case REIN_OP_RESHAPE: return true;
	case REIN_OP_MAX_POOL_DX:
	case REIN_OP_WARP:
	case REIN_OP_CROSS_ENTROPY: return is_row(h, i, 0) && is_row(h, i, 1);
	case REIN_OP_PERMUTE: return a->dim[0] == 0;
	case REIN_OP_EXPAND: return value_of(h, i, 0)->rank == h->r->value[i->out].rank;
	case REIN_OP_SLICE:
	case REIN_OP_UNSLICE: return a->start[0] == 0 && (a->step[0] == 1 || a->step[0] == 0);
	case REIN_OP_TAKE: return take_by_row(h, i);
	case REIN_OP_PUT: return a->batch && all_along(h, i);
	case REIN_OP_SORT: return value_of(h, i, 0)->rank > 1;
	case REIN_OP_SMALLEST: return value_of(h, i, 0)->rank > 1 && is_row(h, i, 0) && is_fixed(h, i, 1);
	default: return false;
	}
}

static bool is_written(const struct hoist *h, int32_t state)
{
	for (int k = 0; k < h->commit->n; k++)
		if (h->commit->at[k].state == state)
			return true;
	return false;
}

static uint8_t classify(const struct hoist *h, const struct rec_instr *i)
{
	const struct recorder *r = h->r;
	bool row = false;

	if (i->op == REIN_OP_READ)
		return !is_written(h, i->state) && r->env.fixed(r->env.ctx, r->store->state[i->state]) ? FIXED : RUN;
	if (i->op == REIN_OP_REPEAT || i->op == REIN_OP_CUSTOM)
		return RUN;
	for (uint32_t k = 0; k < i->n_in; k++) {
		uint8_t c = class_of(h, value_of(h, i, k));
		if (c == RUN)
			return RUN;
		row = row || c == ROW;
	}
	if (!row)
		return FIXED;
	if (!row_wise(h, i))
		return RUN;
	for (uint32_t k = 0; k < i->n_out; k++) {
		const struct rec_value *y = &r->value[i->out + (int32_t)k];
		if (y->rank == 0 || y->dim[0] != h->rows)
			return RUN;
	}
	return ROW;
}

/* --- the cut ------------------------------------------------------------------------------- */
#define NO_LIMIT (INT64_MAX / 4)

/* A network of flows. Edge e and its reverse e ^ 1 lie side by side. */
struct flows {
	int n, n_edge, cap_edge;
	struct edge {
		int to, next;
		int64_t left;
	} * edge;
	int *first, *from; /* per node: its edges; the edge a search came by */
};

static void flow_edge(struct flows *f, int a, int b, int64_t capacity)
{
	const int ends[2] = { a, b };

	for (int k = 0; k < 2; k++) {
		f->edge = grow(f->edge, f->n_edge, &f->cap_edge, sizeof *f->edge);
		f->edge[f->n_edge] = (struct edge){ ends[1 - k], f->first[ends[k]], k ? 0 : capacity };
		f->first[ends[k]] = f->n_edge++;
	}
}

/* Nodes reached from `start` along edges that have something left (back: against them); what
 * each was reached by, -1 for the others. Stops at `goal`. */
static bool flow_search(struct flows *f, int start, int goal, bool back, int *queue)
{
	int n = 1;

	memset(f->from, 0xff, (size_t)f->n * sizeof *f->from);
	queue[0] = start;
	f->from[start] = -2;
	for (int at = 0; at < n; at++)
		for (int e = f->first[queue[at]]; e >= 0; e = f->edge[e].next) {
			int to = f->edge[e].to;
			if (f->from[to] != -1 || f->edge[back ? e ^ 1 : e].left <= 0)
				continue;
			f->from[to] = e;
			if (to == goal)
				return true;
			queue[n++] = to;
		}
	return false;
}

/* Edmonds and Karp 1972: along shortest ways until there is none. Then marks in from (not -1) what
 * still reaches the sink. */
static void flow_cut(struct flows *f, int source, int sink)
{
	int *queue = malloc((size_t)f->n * sizeof *queue);

	if (!queue)
		abort();
	while (flow_search(f, source, sink, false, queue)) {
		int64_t most = NO_LIMIT;
		for (int v = sink; v != source; v = f->edge[f->from[v] ^ 1].to)
			most = f->edge[f->from[v]].left < most ? f->edge[f->from[v]].left : most;
		for (int v = sink; v != source; v = f->edge[f->from[v] ^ 1].to) {
			f->edge[f->from[v]].left -= most;
			f->edge[f->from[v] ^ 1].left += most;
		}
	}
	flow_search(f, sink, -1, true, queue);
	free(queue);
}

/* --- what is kept --------------------------------------------------------------------------- */
/* Multiply-adds of a product. */
static int64_t macs_of(const struct hoist *h, const struct rec_instr *i)
{
	const struct rec_value *y = &h->r->value[i->out];

	if (i->op == REIN_OP_MATMUL)
		return y->count * value_of(h, i, 0)->dim[value_of(h, i, 0)->rank - 1];
	if (i->op != REIN_OP_CONV2D && i->op != REIN_OP_CONV2D_DX)
		return 0;
	const struct rec_value *w = value_of(h, i, 1);
	return (i->op == REIN_OP_CONV2D ? y->count : value_of(h, i, 0)->count) * w->dim[1] * w->dim[2] * w->dim[3];
}

/* Time, in bytes that could be moved in it. A core does about eight multiply-adds while it moves a
 * byte, a GPU too; elementwise ops ride along with their neighbours. */
static int64_t cost_of(const struct hoist *h, const struct rec_instr *i)
{
	const struct op_info *o = op_info(i->op);

	if (o->elementwise || o->view || i->op == REIN_OP_RANDOM || (i->op == REIN_OP_TAKE && !i->attr.batch))
		return 0;
	int64_t macs = macs_of(h, i);
	return macs ? macs / 8 : i->n_in ? value_of(h, i, 0)->count : 0;
}

/* Of a value in place of computing it: read where it is kept, written for the batch. */
static int64_t bytes_of(const struct hoist *h, const struct rec_value *v)
{
	return 2 * v->count * dtype_size(v->dtype, h->r->options.real_size);
}

static bool is_candidate(const struct hoist *h, int n)
{
	return h->live[n] && h->class[n] == ROW && h->r->instr[n].out != h->id;
}

/* Nodes: 0 the side of what is left out of the step, 1 the side of the step, 2 + an instruction, and
 * behind those 2 + n_instr + a value. The step's ops pull their operands to its side; what is made
 * once may be made there of anything, also of what the step makes again. */
static void build_flows(const struct hoist *h, const struct ints *root, struct flows *f)
{
	const struct recorder *r = h->r;
	int value_at = 2 + r->n_instr;

	f->n = value_at + r->n_value;
	f->first = malloc((size_t)f->n * sizeof *f->first);
	f->from = malloc((size_t)f->n * sizeof *f->from);
	if (!f->first || !f->from)
		abort();
	memset(f->first, 0xff, (size_t)f->n * sizeof *f->first);
	for (int p = 0; p < h->instr->n; p++) {
		int n = h->instr->at[p];
		const struct rec_instr *i = &r->instr[n];
		if (!h->live[n])
			continue;
		if (is_candidate(h, n)) {
			flow_edge(f, 0, 2 + n, cost_of(h, i));
			for (uint32_t k = 0; k < i->n_out; k++)
				flow_edge(f, 2 + n, value_at + i->out + (int32_t)k, bytes_of(h, &r->value[i->out + (int32_t)k]));
		}
		for (uint32_t k = 0; k < i->n_in; k++) {
			int32_t v = rec_in(r, i, k).id;
			if (!is_candidate(h, r->value[v].instr))
				continue;
			flow_edge(f, value_at + v, is_candidate(h, n) ? 2 + n : 1, NO_LIMIT);
		}
	}
	for (int k = 0; k < root->n; k++)
		if (is_candidate(h, r->value[root->at[k]].instr))
			flow_edge(f, value_at + root->at[k], 1, NO_LIMIT);
}

/* A cheap op at the border stays in the step if its layer has others there: what is kept is then the
 * output of a layer, which other programs keep too, rather than half of dropout. */
static void whole_layers(const struct hoist *h, struct flows *f)
{
	const struct recorder *r = h->r;
	uint8_t *runs = rec_alloc(h->r, (uint64_t)r->n_origin + 1);
	int value_at = 2 + r->n_instr;

	for (int p = 0; p < h->instr->n; p++)
		if (h->live[h->instr->at[p]] && !h->class[h->instr->at[p]])
			runs[r->instr[h->instr->at[p]].origin] = 1;
	for (int p = h->instr->n - 1; p >= 0; p--) {
		int n = h->instr->at[p], rows = 0;
		const struct rec_instr *i = &r->instr[n];
		int32_t from = -1;
		if (!is_candidate(h, n) || f->from[2 + n] != -1 || cost_of(h, i) || i->n_out != 1 || !runs[i->origin] ||
		    f->from[value_at + i->out] == -1)
			continue;
		for (uint32_t k = 0; k < i->n_in; k++)
			if (is_row(h, i, k) && rec_in(r, i, k).id != from) {
				from = rec_in(r, i, k).id;
				rows++;
			}
		if (rows != 1 || !is_candidate(h, r->value[from].instr) ||
		    bytes_of(h, &r->value[from]) > bytes_of(h, &r->value[i->out]))
			continue;
		f->from[2 + n] = f->from[value_at + from] = 0; /* on the side of the step */
	}
}

/* Values on the once-side whose users are not. False where they save too little: they have to be
 * computed and kept too. */
static bool choose(const struct hoist *h, const struct ints *root, struct hoisted *out)
{
	const struct recorder *r = h->r;
	struct flows f = { 0 };
	int64_t saved = 0, bytes = 0;
	int value_at = 2 + r->n_instr;

	build_flows(h, root, &f);
	flow_cut(&f, 0, 1);
	whole_layers(h, &f);
	out->value = rec_alloc(h->r, (uint64_t)(h->instr->n + 1) * REC_MAX_OUT * sizeof *out->value);
	for (int p = 0; p < h->instr->n; p++) {
		int n = h->instr->at[p];
		const struct rec_instr *i = &r->instr[n];
		if (!is_candidate(h, n) || f.from[2 + n] != -1)
			continue;
		saved += cost_of(h, i);
		out->macs += macs_of(h, i);
		for (uint32_t k = 0; k < i->n_out; k++)
			if (f.from[value_at + i->out + (int32_t)k] != -1) {
				out->value[out->n++] = i->out + (int32_t)k;
				bytes += bytes_of(h, &r->value[i->out + (int32_t)k]);
			}
	}
	out->macs /= h->rows;
	free(f.edge);
	free(f.first);
	free(f.from);
	return out->n > 0 && saved >= 2 * bytes;
}

/* --- what makes them -------------------------------------------------------------------------- */
static void mark_made(const struct hoist *h, struct hoisted *out)
{
	const struct recorder *r = h->r;

	out->made = rec_alloc(h->r, (uint64_t)r->n_instr + 1);
	for (int k = 0; k < out->n; k++)
		out->made[r->value[out->value[k]].instr] = 1;
	for (int p = h->instr->n - 1; p >= 0; p--) {
		int n = h->instr->at[p];
		for (uint32_t k = 0; out->made[n] && k < r->instr[n].n_in; k++) {
			int32_t v = rec_in(r, &r->instr[n], k).id;
			if (v != h->id)
				out->made[r->value[v].instr] = 1;
		}
	}
}

struct key {
	char *at;
	size_t n, cap;
};

static void key_add(struct key *k, const void *p, size_t n)
{
	if (k->n + n > k->cap) {
		k->cap = 2 * (k->n + n);
		k->at = realloc(k->at, k->cap);
		if (!k->at)
			abort();
	}
	memcpy(k->at + k->n, p, n);
	k->n += n;
}

/* Attributes that hold the number of rows. */
static bool counts_rows(uint32_t op)
{
	return op == REIN_OP_RESHAPE || op == REIN_OP_EXPAND || op == REIN_OP_SLICE || op == REIN_OP_UNSLICE ||
	       op == REIN_OP_RANDOM || op == REIN_OP_MAX_POOL_DX || op == REIN_OP_AVG_POOL_DX || op == REIN_OP_CONV2D_DX;
}

static void key_instr(const struct hoist *h, struct key *key, const int32_t *number, const struct rec_instr *i)
{
	const struct recorder *r = h->r;
	struct rein_attr a = i->attr;
	bool row = h->class[i - r->instr] == ROW;
	int32_t head[4] = { (int32_t)i->op, (int32_t)i->n_in, (int32_t)i->n_out, i->state };

	if (row && counts_rows(i->op))
		a.dim[0] = 0;
	key_add(key, head, sizeof head);
	for (uint32_t k = 0; k < i->n_in; k++)
		key_add(key, &number[rec_in(r, i, k).id], sizeof *number);
	key_add(key, &a.axes, offsetof(struct rein_attr, data) - offsetof(struct rein_attr, axes));
	if (i->op == REIN_OP_MAP)
		key_add(key, &a.data, sizeof a.data);
	else if (i->data_bytes)
		key_add(key, a.data, i->data_bytes);
	for (uint32_t k = 0; k < i->n_out; k++) {
		struct rec_value v = r->value[i->out + (int32_t)k];
		v.dim[0] = row ? 0 : v.dim[0];
		key_add(key, &v.dtype, sizeof v.dtype);
		key_add(key, &v.rank, sizeof v.rank);
		key_add(key, v.dim, v.rank * sizeof *v.dim);
	}
}

/* Has its result for a row the same bits among any number of rows? A kernel may be chosen by shape. */
static bool alone(const struct hoist *h, uint32_t op)
{
	const struct instance *b = h->r->store->backend;

	switch (op) {
	case REIN_OP_CONV2D:
	case REIN_OP_CONV2D_DX: return b && b->component && b->component->vt.backend.flags & REIN_CONV_ALONE;
	case REIN_OP_CONST:
	case REIN_OP_READ:
	case REIN_OP_RANDOM:
	case REIN_OP_TAKE:
	case REIN_OP_CONCAT:
	case REIN_OP_UNSLICE:
	case REIN_OP_MAX_POOL:
	case REIN_OP_AVG_POOL: return true;
	default: return op_info(op)->elementwise || op_info(op)->view;
	}
}

/* The same for programs that keep the same values, whatever their number of rows where that cannot
 * change a bit: another program may then read what one has kept. */
static void make_key(const struct hoist *h, struct hoisted *out)
{
	const struct recorder *r = h->r;
	struct key key = { 0 };
	bool any = true;
	int32_t *number = rec_alloc(h->r, (uint64_t)r->n_value * sizeof *number), n_value = 0;

	number[h->id] = n_value++;
	for (int p = 0; p < h->instr->n; p++) {
		int n = h->instr->at[p];
		if (!out->made[n])
			continue;
		any = any && (h->class[n] == FIXED || alone(h, r->instr[n].op));
		key_instr(h, &key, number, &r->instr[n]);
		for (uint32_t k = 0; k < r->instr[n].n_out; k++)
			number[r->instr[n].out + (int32_t)k] = n_value++;
	}
	key_add(&key, any ? &(int64_t){ 0 } : &h->rows, sizeof h->rows);
	for (int k = 0; k < out->n; k++)
		key_add(&key, &number[out->value[k]], sizeof *number);
	out->key = memcpy(rec_alloc(h->r, key.n), key.at, key.n);
	out->key_size = key.n;
	free(key.at);
}

bool hoist_find(struct recorder *r, int body, const uint8_t *live, const struct ints *root,
                const struct commit_list *commit, int32_t id, struct hoisted *out)
{
	struct hoist h = { .r = r,
		               .instr = &r->body[body]->instr,
		               .live = live,
		               .commit = commit,
		               .class = rec_alloc(r, (uint64_t)r->n_instr + 1),
		               .id = id,
		               .rows = r->value[id].dim[0] };

	*out = (struct hoisted){ 0 };
	for (int p = 0; p < h.instr->n; p++) {
		int n = h.instr->at[p];
		if (live[n])
			h.class[n] = r->instr[n].out == id ? ROW : classify(&h, &r->instr[n]);
	}
	if (!choose(&h, root, out))
		return false;
	mark_made(&h, out);
	make_key(&h, out);
	return true;
}
