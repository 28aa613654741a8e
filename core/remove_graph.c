/* SPDX-License-Identifier: MIT
 *
 * remove_graph.c: what a channel is tied to, read off the recorded ops of the forward pass in
 * evaluation mode. Each axis of each value has a lane per entry; ops that act entry by entry
 * make the lanes of their operands one, products make the lanes of what they sum over one (a
 * site), reshapes carry them over (H W consecutive columns behind flatten). An axis of which an
 * op needs all entries, or of which this file knows nothing, is fixed: its lanes become lane 0.
 *
 * A new op: a case in tie_node(); without one its operands are fixed, which is never wrong.
 */
#include <stdlib.h>
#include <string.h>

#include "rec.h"
#include "rein/math.h"
#include "remove.h"

/* --- memory and lanes ---------------------------------------------------------------------- */
void *lane_alloc(struct lane_graph *g, size_t n, size_t size)
{
	if (g->n_block == g->cap_block) {
		g->cap_block = g->cap_block ? 2 * g->cap_block : 256;
		g->block = must(realloc(g->block, (size_t)g->cap_block * sizeof *g->block));
	}
	return g->block[g->n_block++] = zalloc(n, size);
}

static int32_t lane_new(struct lane_graph *g)
{
	if (g->n_lane == g->cap_lane) {
		g->cap_lane = g->cap_lane ? 2 * g->cap_lane : 4096;
		g->parent = must(realloc(g->parent, (size_t)g->cap_lane * sizeof *g->parent));
	}
	g->parent[g->n_lane] = g->n_lane;
	return g->n_lane++;
}

int32_t lane_root(const struct lane_graph *g, int32_t lane)
{
	while (g->parent[lane] != lane) {
		g->parent[lane] = g->parent[g->parent[lane]];
		lane = g->parent[lane];
	}
	return lane;
}

/* The smaller root wins, so that lane 0 takes all it meets. */
static void tie(struct lane_graph *g, int32_t a, int32_t b)
{
	a = lane_root(g, a);
	b = lane_root(g, b);
	if (a < b)
		g->parent[b] = a;
	else
		g->parent[a] = b;
}

void lane_fix(struct lane_graph *g, int32_t lane) { tie(g, 0, lane); }

int32_t lane_at(const struct lane_graph *g, const struct lane_value *v, uint32_t axis, int64_t i)
{
	return v->lane[axis] ? lane_root(g, v->lane[axis][i]) : 0;
}

static void fix_axis(struct lane_graph *g, struct lane_value *v, uint32_t axis)
{
	for (int64_t i = 0; v->lane[axis] && i < v->dim[axis]; i++)
		lane_fix(g, v->lane[axis][i]);
	v->lane[axis] = NULL;
}

static void fix_value(struct lane_graph *g, struct lane_value *v)
{
	for (uint32_t a = 0; a < v->rank; a++)
		fix_axis(g, v, a);
}

/* New lanes along every axis with more than one entry. */
static void fresh_axis(struct lane_graph *g, struct lane_value *v, uint32_t axis)
{
	if (v->dim[axis] < 2)
		return;
	v->lane[axis] = lane_alloc(g, (size_t)v->dim[axis], sizeof **v->lane);
	for (int64_t i = 0; i < v->dim[axis]; i++)
		v->lane[axis][i] = lane_new(g);
}

static void fresh_value(struct lane_graph *g, struct lane_value *v)
{
	for (uint32_t a = 0; a < v->rank; a++)
		fresh_axis(g, v, a);
}

/* Entry by entry: axis a of x and axis b of y, of one length. */
static void tie_axes(struct lane_graph *g, struct lane_value *x, uint32_t a, struct lane_value *y, uint32_t b)
{
	if (!x->lane[a] || !y->lane[b]) {
		fix_axis(g, x, a);
		fix_axis(g, y, b);
		return;
	}
	for (int64_t i = 0; i < x->dim[a]; i++)
		tie(g, x->lane[a][i], y->lane[b][i]);
}

/* --- ops that act entry by entry -------------------------------------------------------------- */
static struct lane_value *in_of(struct lane_graph *g, const struct lane_node *n, int k) { return &g->value[n->in[k]]; }
static struct lane_value *out_of(struct lane_graph *g, const struct lane_node *n, int k)
{
	return &g->value[n->out + k];
}

/* Operands have the result's rank, with its size or 1 along each axis, or rank 0. */
static void tie_elementwise(struct lane_graph *g, const struct lane_node *n)
{
	for (int o = 0; o < n->n_out; o++) {
		struct lane_value *y = out_of(g, n, o);
		for (uint32_t a = 0; a < y->rank; a++) {
			struct lane_value *first = NULL;
			for (int k = 0; k < n->n_in; k++) {
				struct lane_value *x = in_of(g, n, k);
				if (x->rank != y->rank || x->dim[a] != y->dim[a] || y->dim[a] < 2)
					continue;
				if (first)
					tie_axes(g, first, a, x, a);
				else
					first = x;
			}
			y->lane[a] = first ? first->lane[a] : NULL;
		}
	}
}

/* Axes of `reduced` need all their entries, the others go on as they are. */
static void tie_reduced(struct lane_graph *g, const struct lane_node *n, uint32_t reduced, bool keep)
{
	struct lane_value *x = in_of(g, n, 0);

	for (uint32_t a = 0; a < x->rank; a++)
		if (reduced & REIN_AXIS(a))
			fix_axis(g, x, a);
	for (int o = 0; o < n->n_out; o++) {
		struct lane_value *y = out_of(g, n, o);
		uint32_t to = 0;
		for (uint32_t a = 0; a < x->rank && to < y->rank; a++) {
			if (!(reduced & REIN_AXIS(a)))
				y->lane[to++] = x->lane[a];
			else if (keep)
				to++;
		}
	}
}

/* x, gamma, beta -> y, mean, variance; gamma ... have size 1 along the axes reduced. */
static void tie_batch_norm(struct lane_graph *g, const struct lane_node *n)
{
	struct lane_value *x = in_of(g, n, 0);

	for (uint32_t a = 0; a < x->rank; a++) {
		if (n->attr.axes & REIN_AXIS(a)) {
			fix_axis(g, x, a);
			continue;
		}
		for (int k = 1; k < 3; k++)
			tie_axes(g, x, a, in_of(g, n, k), a);
		for (int o = 0; o < 3; o++)
			out_of(g, n, o)->lane[a] = x->lane[a];
	}
}

/* --- products ------------------------------------------------------------------------------------ */
static struct lane_site *add_site(struct lane_graph *g, struct lane_site s)
{
	if (g->n_site == g->cap_site) {
		g->cap_site = g->cap_site ? 2 * g->cap_site : 16;
		g->site = must(realloc(g->site, (size_t)g->cap_site * sizeof *g->site));
	}
	s.bias = -1;
	g->site[g->n_site] = s;
	return &g->site[g->n_site++];
}

/* (B?,M,K) (B?,K,N) -> (B?,M,N). Lanes of K where the samples are on the left and one weight
 * is on the right. */
static void tie_matmul(struct lane_graph *g, const struct lane_node *n)
{
	struct lane_value *a = in_of(g, n, 0), *b = in_of(g, n, 1), *y = out_of(g, n, 0);
	uint32_t o = a->rank - 2, ta = n->attr.flags & REIN_TA ? 1 : 0, tb = n->attr.flags & REIN_TB ? 1 : 0;
	uint32_t am = o + ta, ak = o + !ta, bk = o + tb, bn = o + !tb;

	y->lane[o] = a->lane[am];
	y->lane[o + 1] = b->lane[bn];
	if (o) {
		struct lane_value *big = a->dim[0] >= b->dim[0] ? a : b;
		if (a->dim[0] == b->dim[0] && a->dim[0] > 1)
			tie_axes(g, a, 0, b, 0);
		y->lane[0] = big->lane[0];
	}
	if (!a->data || b->data || ta || (o && b->dim[0] != 1)) {
		fix_axis(g, a, ak);
		fix_axis(g, b, bk);
		return;
	}
	tie_axes(g, a, ak, b, bk);
	int64_t rows = b->dim[bn], cols = b->dim[bk];
	add_site(g, (struct lane_site){ n->in[0], n->in[1], n->out, (int)ak, (int)o + 1, rows, cols, 1, tb ? cols : 1,
	                                tb ? 1 : rows, false, NULL, -1 });
}

/* A group of channels sees no other: what it reads and what it makes go together or not at all. */
static void tie_groups(struct lane_graph *g, struct lane_value *x, struct lane_value *w, int64_t groups)
{
	int64_t cols = x->dim[1] / groups, rows = w->dim[0] / groups;

	if (!x->lane[1] || !w->lane[0]) {
		fix_axis(g, x, 1);
		fix_axis(g, w, 0);
		return;
	}
	for (int64_t k = 0; k < groups; k++) {
		for (int64_t i = 0; i < cols; i++)
			tie(g, x->lane[1][k * cols], x->lane[1][k * cols + i]);
		for (int64_t i = 0; i < rows; i++)
			tie(g, x->lane[1][k * cols], w->lane[0][k * rows + i]);
	}
}

/* x (N,C,H,W), w (O,C/groups,kh,kw) -> y (N,O,..) */
static void tie_conv(struct lane_graph *g, const struct lane_node *n)
{
	struct lane_value *x = in_of(g, n, 0), *w = in_of(g, n, 1), *y = out_of(g, n, 0);
	int64_t groups = n->attr.batch > 1 ? n->attr.batch : 1;

	for (uint32_t a = 2; a < 4; a++) {
		fix_axis(g, x, a);
		fix_axis(g, w, a);
	}
	if (w->data || !x->data) {
		fix_value(g, x);
		fix_value(g, w);
		return;
	}
	y->lane[0] = x->lane[0];
	if (groups > 1) {
		fix_axis(g, w, 1);
		tie_groups(g, x, w, groups);
	} else if (x->dim[1] > 1) {
		tie_axes(g, x, 1, w, 1);
	}
	y->lane[1] = w->lane[0];
	int64_t area = w->dim[2] * w->dim[3];
	if (groups == 1)
		add_site(g, (struct lane_site){ n->in[0], n->in[1], n->out, 1, 1, w->dim[0], w->dim[1], area, w->dim[1] * area,
		                                area, n->attr.start[0] || n->attr.start[1], NULL, -1 });
}

static void tie_pool(struct lane_graph *g, const struct lane_node *n)
{
	struct lane_value *x = in_of(g, n, 0);

	fix_axis(g, x, 2);
	fix_axis(g, x, 3);
	for (int o = 0; o < n->n_out; o++)
		for (uint32_t a = 0; a < 2; a++)
			out_of(g, n, o)->lane[a] = x->lane[a];
}

/* --- shapes ---------------------------------------------------------------------------------------- */
/* Axes [a, a_end) of x and [b, b_end) of y hold the same entries in the same order. */
struct block {
	uint32_t a, a_end, b, b_end;
	int64_t count;
};

/* Place along axis k (of axes k.. of a block) of entry e of the block. */
static int64_t along(const int64_t *dim, uint32_t k, uint32_t end, int64_t e)
{
	for (uint32_t i = end - 1; i > k; i--)
		e /= dim[i];
	return e % dim[k];
}

/* Lanes of the one axis of x that has any, per entry of the block; the others are fixed. */
static int32_t *block_lanes(struct lane_graph *g, struct lane_value *x, const struct block *b)
{
	uint32_t with = b->a_end;

	for (uint32_t a = b->a; a < b->a_end; a++) {
		bool any = false;
		for (int64_t i = 0; i < x->dim[a] && !any; i++)
			any = lane_at(g, x, a, i) != 0;
		if (!any)
			continue;
		if (with == b->a_end)
			with = a;
		else
			fix_axis(g, x, a);
	}
	if (with == b->a_end)
		return NULL;
	int32_t *lane = zalloc((size_t)b->count, sizeof *lane);
	for (int64_t e = 0; e < b->count; e++)
		lane[e] = x->lane[with][along(x->dim, with, b->a_end, e)];
	return lane;
}

/* Does the lane of an entry depend on its place along axis k of y alone? */
static bool block_fits(const struct lane_graph *g, const struct lane_value *y, uint32_t k, const struct block *b,
                       const int32_t *lane, int32_t *to)
{
	for (int64_t e = 0; e < b->count; e++) {
		int64_t i = along(y->dim, k, b->b_end, e);
		if (to[i] < 0)
			to[i] = lane[e];
		if (lane_root(g, to[i]) != lane_root(g, lane[e]))
			return false;
	}
	return true;
}

static void tie_block(struct lane_graph *g, struct lane_value *x, struct lane_value *y, const struct block *b)
{
	int32_t *lane = block_lanes(g, x, b);
	bool done = false;

	for (uint32_t k = b->b; lane && k < b->b_end && !done; k++) {
		if (y->dim[k] < 2)
			continue;
		int32_t *to = lane_alloc(g, (size_t)y->dim[k], sizeof *to);
		memset(to, -1, (size_t)y->dim[k] * sizeof *to);
		done = block_fits(g, y, k, b, lane, to);
		if (done)
			y->lane[k] = to;
	}
	for (uint32_t a = b->a; lane && !done && a < b->a_end; a++)
		fix_axis(g, x, a);
	free(lane);
}

/* The next block of a reshape; false at the end. */
static bool next_block(const struct lane_value *x, const struct lane_value *y, struct block *b)
{
	int64_t m = 1, n = 1;

	b->a = b->a_end;
	b->b = b->b_end;
	if (b->a == x->rank && b->b == y->rank)
		return false;
	do {
		if (b->a_end < x->rank && (m <= n || b->b_end == y->rank))
			m *= x->dim[b->a_end++];
		else
			n *= y->dim[b->b_end++];
	} while (m != n);
	b->count = m;
	return true;
}

static void tie_reshape(struct lane_graph *g, const struct lane_node *n)
{
	struct lane_value *x = in_of(g, n, 0), *y = out_of(g, n, 0);
	struct block b = { 0 };

	while (next_block(x, y, &b))
		if (b.count > 1)
			tie_block(g, x, y, &b);
}

static void tie_concat(struct lane_graph *g, const struct lane_node *n)
{
	struct lane_value *y = out_of(g, n, 0);
	int64_t at = 0;

	for (uint32_t a = 0; a < y->rank; a++) {
		if (n->attr.axes & REIN_AXIS(a)) {
			y->lane[a] = lane_alloc(g, (size_t)y->dim[a], sizeof **y->lane);
			for (int k = 0; k < n->n_in; k++)
				for (int64_t i = 0; i < in_of(g, n, k)->dim[a]; i++)
					y->lane[a][at++] = lane_at(g, in_of(g, n, k), a, i);
			continue;
		}
		for (int k = 1; k < n->n_in && y->dim[a] > 1; k++)
			tie_axes(g, in_of(g, n, 0), a, in_of(g, n, k), a);
		y->lane[a] = in_of(g, n, 0)->lane[a];
	}
}

/* Slices and zeros around: axes that stay whole go on, others are fixed. */
static void tie_window(struct lane_graph *g, const struct lane_node *n)
{
	struct lane_value *x = in_of(g, n, 0), *y = out_of(g, n, 0);

	for (uint32_t a = 0; a < x->rank; a++) {
		if (x->dim[a] != y->dim[a] || n->attr.step[a] != 1)
			fix_axis(g, x, a);
		y->lane[a] = x->lane[a];
	}
}

static void tie_expand(struct lane_graph *g, const struct lane_node *n)
{
	struct lane_value *x = in_of(g, n, 0), *y = out_of(g, n, 0);

	for (uint32_t a = 0; a < y->rank; a++)
		if (x->rank == y->rank && x->dim[a] == y->dim[a])
			y->lane[a] = x->lane[a];
		else
			fresh_axis(g, y, a);
}

/* --- the graph ----------------------------------------------------------------------------------------- */
static void tie_read(struct lane_graph *g, struct lane_value *y)
{
	uint32_t role = g->t->store->state[y->state]->role;

	if (role == STATE_PARAM || role == STATE_BUFFER || role == STATE_SLOT)
		fresh_value(g, y);
}

static void tie_node(struct lane_graph *g, const struct lane_node *n)
{
	struct lane_value *y = out_of(g, n, 0);

	if (op_info(n->op)->elementwise && n->op != REIN_OP_IOTA) {
		tie_elementwise(g, n);
		return;
	}
	switch (n->op) {
	case REIN_OP_READ: tie_read(g, y); return;
	case REIN_OP_CONST:
		if (!n->attr.data) /* one number: of any length */
			fresh_value(g, y);
		return;
	case REIN_OP_IOTA: return;
	case REIN_OP_STOP: memcpy(y->lane, in_of(g, n, 0)->lane, sizeof y->lane); return;
	case REIN_OP_MATMUL: tie_matmul(g, n); return;
	case REIN_OP_CONV2D: tie_conv(g, n); return;
	case REIN_OP_MAX_POOL:
	case REIN_OP_AVG_POOL: tie_pool(g, n); return;
	case REIN_OP_SUM:
	case REIN_OP_AMAX: tie_reduced(g, n, n->attr.axes, n->attr.flags & REIN_KEEP); return;
	case REIN_OP_MOMENTS: tie_reduced(g, n, n->attr.axes, true); return;
	case REIN_OP_BATCH_NORM: tie_batch_norm(g, n); return;
	case REIN_OP_RESHAPE: tie_reshape(g, n); return;
	case REIN_OP_CONCAT: tie_concat(g, n); return;
	case REIN_OP_SLICE:
	case REIN_OP_UNSLICE: tie_window(g, n); return;
	case REIN_OP_EXPAND: tie_expand(g, n); return;
	case REIN_OP_LOG_SOFTMAX:
		for (uint32_t a = 0; a < y->rank; a++)
			if (n->attr.axes & REIN_AXIS(a))
				fix_axis(g, in_of(g, n, 0), a);
		memcpy(y->lane, in_of(g, n, 0)->lane, sizeof y->lane);
		return;
	case REIN_OP_PERMUTE:
		for (uint32_t a = 0; a < y->rank; a++)
			y->lane[a] = in_of(g, n, 0)->lane[n->attr.dim[a]];
		return;
	}
	for (int k = 0; k < n->n_in; k++)
		fix_value(g, in_of(g, n, k));
}

/* Body 0 of a recording; operands first. */
static void copy_recording(struct lane_graph *g, const struct recorder *r)
{
	g->n_value = r->n_value;
	g->value = zalloc((size_t)r->n_value, sizeof *g->value);
	g->node = zalloc((size_t)r->n_instr, sizeof *g->node);
	for (int i = 0; i < r->n_value; i++) {
		const struct rec_value *v = &r->value[i];
		g->value[i] = (struct lane_value){
			.dtype = v->dtype, .rank = v->rank, .count = v->count, .state = -1, .user = -1, .output = -1, .axis = -1
		};
		memcpy(g->value[i].dim, v->dim, sizeof v->dim);
	}
	for (int i = 0; i < r->n_instr; i++) {
		const struct rec_instr *s = &r->instr[i];
		if (s->body != 0)
			continue;
		struct lane_node *n = &g->node[g->n_node++];
		*n = (struct lane_node){ s->op,  (int)s->n_in, (int)s->n_out, lane_alloc(g, s->n_in, sizeof *n->in),
			                     s->out, s->attr };
		bool data = s->op == REIN_OP_READ ? g->t->store->state[s->state]->role == STATE_DATA
		                                  : s->op == REIN_OP_RANDOM || s->op == REIN_OP_CUSTOM;
		for (int k = 0; k < n->n_in; k++) {
			n->in[k] = r->operand.at[s->in + k];
			data = data || g->value[n->in[k]].data;
			g->value[n->in[k]].users++;
			g->value[n->in[k]].user = g->n_node - 1;
		}
		for (int k = 0; k < n->n_out; k++) {
			g->value[n->out + k].data = data;
			g->value[n->out + k].state = s->op == REIN_OP_READ ? s->state : -1;
		}
		if (s->op == REIN_OP_CONST && s->attr.data) { /* REAL is given in double */
			struct lane_value *v = &g->value[n->out];
			v->host = lane_alloc(g, (size_t)v->count, sizeof *v->host);
			for (int64_t k = 0; k < v->count; k++)
				v->host[k] = v->dtype == REIN_REAL_T  ? (float)((const double *)s->attr.data)[k]
				             : v->dtype == REIN_I32_T ? (float)((const int32_t *)s->attr.data)[k]
				                                      : (float)((const uint8_t *)s->attr.data)[k];
		}
	}
}

/* Values without samples that ops with samples take: their numbers come from the program. */
static void ask_for_hosts(struct lane_graph *g, struct recorder *r)
{
	for (int i = 0; i < g->n_node; i++) {
		const struct lane_node *n = &g->node[i];
		for (int k = 0; k < n->n_in && n->n_out && g->value[n->out].data; k++) {
			struct lane_value *v = in_of(g, n, k);
			if (!v->data && !v->host && v->output < 0)
				v->output = recorder_output(r, (rein_val){ n->in[k] });
		}
	}
}

static void *fetch_output(struct lane_graph *g, struct compiled *c, const struct lane_value *v)
{
	int64_t bytes = v->count * dtype_size(v->dtype, g->t->store->real_size);
	char *raw = zalloc((size_t)bytes + 1, 1);
	float *host = NULL;

	if (compiled_output(c, (uint32_t)v->output, raw, bytes) == bytes) {
		host = lane_alloc(g, (size_t)v->count, sizeof *host);
		for (int64_t i = 0; i < v->count; i++)
			switch (dtype_size(v->dtype, g->t->store->real_size)) {
			case 8: host[i] = (float)((double *)(void *)raw)[i]; break;
			case 4:
				host[i] = v->dtype == REIN_REAL_T ? ((float *)(void *)raw)[i] : (float)((int32_t *)(void *)raw)[i];
				break;
			default: host[i] = (float)((uint8_t *)raw)[i];
			}
	}
	free(raw);
	return host;
}

static bool fetch_hosts(struct lane_graph *g, struct program *p)
{
	struct compiled *c = build(g->t, p);
	bool good = c && compiled_run(c, 1) >= 0;

	for (int i = 0; good && i < g->n_value; i++)
		if (g->value[i].output >= 0)
			good = (g->value[i].host = fetch_output(g, c, &g->value[i])) != NULL;
	compiled_destroy(c);
	return good;
}

/* Forward under views too, where evaluation sees averages: both networks must stay the same.
 * z gets the outputs; pairs of raw and viewed parameters are noted. */
static int record_forwards(struct lane_graph *g, struct pass *p, rein_val z[2])
{
	z[0] = pass_forward_once(p, REIN_EVAL);
	if (!g->t->has_view || g->t->plain)
		return 1;
	pass_view(p);
	z[1] = pass_forward_once(p, REIN_EVAL);
	g->pair = zalloc(2 * p->step.n_tensor, sizeof *g->pair);
	for (uint32_t k = 0; k < p->step.n_tensor; k++) {
		rein_val seen = recorder_seen(p->rec, p->tensor[k].w);
		if (seen.id == p->tensor[k].w.id)
			continue;
		g->pair[2 * g->n_pair] = p->tensor[k].w.id;
		g->pair[2 * g->n_pair++ + 1] = seen.id;
	}
	pass_unview(p);
	return 2;
}

struct lane_graph *lane_graph_create(struct trainer *t)
{
	struct lane_graph *g = zalloc(1, sizeof *g);
	struct pass p;
	rein_val z[2];

	g->t = t;
	lane_new(g); /* lane 0 */
	pass_begin(&p, t, PASS_EVAL, false, "remove");
	p.quiet = true;
	pass_tensors(&p, p.net);
	pass_batch(&p, portion_find(t, t->train->name), pass_index(&p, REIN_NONE, 1, 0));
	int n = record_forwards(g, &p, z);
	bool good = !recorder_failed(p.rec);
	if (good) {
		copy_recording(g, p.rec);
		ask_for_hosts(g, p.rec);
	}
	struct program *program = pass_end(&p);
	if (!good || !program || !fetch_hosts(g, program)) {
		lane_graph_destroy(g);
		return NULL;
	}
	g->state_value = lane_alloc(g, (size_t)t->store->n, sizeof *g->state_value);
	memset(g->state_value, -1, (size_t)t->store->n * sizeof *g->state_value);
	for (int i = 0; i < g->n_node; i++) {
		tie_node(g, &g->node[i]);
		if (g->node[i].op == REIN_OP_READ)
			g->state_value[g->value[g->node[i].out].state] = g->node[i].out;
	}
	for (int i = 0; i < g->n_pair; i++)
		for (uint32_t a = 0; a < g->value[g->pair[2 * i]].rank; a++)
			tie_axes(g, &g->value[g->pair[2 * i]], a, &g->value[g->pair[2 * i + 1]], a);
	for (int i = 0; i < n; i++)
		fix_value(g, &g->value[z[i].id]);
	return g;
}

void lane_graph_destroy(struct lane_graph *g)
{
	if (!g)
		return;
	for (int i = 0; i < g->n_block; i++)
		free(g->block[i]);
	free(g->block);
	free(g->value);
	free(g->node);
	free(g->site);
	free(g->parent);
	free(g->pair);
	free(g->stays);
	free(g);
}
