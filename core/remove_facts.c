/* SPDX-License-Identifier: MIT
 *
 * remove_facts.c: which lanes can go without any output changing. First, forwards: which entries
 * along the channels have the same value for every sample and at every place (a filter of zeros
 * with a bias gives its bias; behind batch norm, relu and pooling still one number). Then,
 * backwards from what must stay: a product keeps the columns whose weight is not zero in a row
 * that stays, unless what they read is always 0, or always one number that a bias can take.
 *
 * A new op: a case in fact_node(); without one nothing is known of its result, which is never
 * wrong.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rec.h"
#include "rein/math.h"
#include "remove.h"

/* --- elementwise ------------------------------------------------------------------------- */
/* What an operand is at place i of the result's channels: NaN if that is not one number. */
static float operand_at(const struct lane_value *x, const struct lane_value *y, int64_t i)
{
	if (x->data) {
		bool fits = x->fact && x->rank == y->rank && x->axis == y->axis;
		return !fits ? NAN : x->fact[x->dim[x->axis] == 1 ? 0 : i];
	}
	if (!x->host)
		return NAN;
	if (x->count == 1)
		return x->host[0];
	return x->rank == y->rank && x->count == x->dim[y->axis] && x->count > 1 ? x->host[i] : NAN;
}

static float fact_of(uint32_t op, float a, float b, float c)
{
	switch (op) {
	case REIN_OP_ADD: return a + b;
	case REIN_OP_SUB: return a - b;
	case REIN_OP_MUL: return a == 0 || b == 0 ? 0 : a * b; /* whatever finite the other is */
	case REIN_OP_DIV: return a / b;
	case REIN_OP_MAX: return isnan(a) || isnan(b) ? NAN : a > b ? a : b;
	case REIN_OP_POW: return powf(a, b);
	case REIN_OP_ABS: return fabsf(a);
	case REIN_OP_SIGN: return isnan(a) ? NAN : (float)((a > 0) - (a < 0));
	case REIN_OP_FLOOR: return floorf(a);
	case REIN_OP_RINT: return rintf(a);
	case REIN_OP_EXP: return expf(a);
	case REIN_OP_LOG: return logf(a);
	case REIN_OP_LOG1P: return log1pf(a);
	case REIN_OP_SQRT: return sqrtf(a);
	case REIN_OP_SIN: return sinf(a);
	case REIN_OP_COS: return cosf(a);
	case REIN_OP_ERF: return erff(a);
	case REIN_OP_TANH: return tanhf(a);
	case REIN_OP_SIGMOID: return 1 / (1 + expf(-a));
	case REIN_OP_LT: return isnan(a) || isnan(b) ? NAN : a < b;
	case REIN_OP_LE: return isnan(a) || isnan(b) ? NAN : a <= b;
	case REIN_OP_EQ: return isnan(a) || isnan(b) ? NAN : a == b;
	case REIN_OP_AND: return a == 0 || b == 0 ? 0 : isnan(a) || isnan(b) ? NAN : 1;
	case REIN_OP_NOT: return isnan(a) ? NAN : a == 0;
	case REIN_OP_WHERE: return !isnan(a) ? (a != 0 ? b : c) : b == c ? b : NAN;
	default: return NAN;
	}
}

static void fact_elementwise(struct lane_graph *g, const struct lane_node *n)
{
	struct lane_value *y = &g->value[n->out];

	if (n->n_in < 1 || n->n_in > 3)
		return;
	for (int k = 0; k < n->n_in; k++) /* channels may have moved */
		if (g->value[n->in[k]].data && g->value[n->in[k]].fact && g->value[n->in[k]].rank == y->rank)
			y->axis = g->value[n->in[k]].axis;
	for (int64_t i = 0; i < y->dim[y->axis]; i++) {
		float v[3] = { NAN, NAN, NAN };
		for (int k = 0; k < n->n_in; k++)
			v[k] = operand_at(&g->value[n->in[k]], y, i);
		y->fact[i] = n->op == REIN_OP_CAST && n->attr.mode == REIN_REAL_T ? v[0] : fact_of(n->op, v[0], v[1], v[2]);
	}
}

/* --- products -------------------------------------------------------------------------------- */
static float weight_sum(const struct lane_graph *g, const struct lane_site *s, int64_t o, int64_t i)
{
	const float *w = g->value[s->w].host + o * s->step_o + i * s->step_i;
	double sum = 0;

	for (int64_t k = 0; k < s->area; k++)
		sum += (double)w[k];
	return (float)sum;
}

static float site_fact(const struct lane_graph *g, const struct lane_site *s, int64_t i)
{
	const struct lane_value *x = &g->value[s->x];
	return x->fact && x->axis == s->x_axis ? x->fact[i] : NAN;
}

/* sum over columns, where each is a known number or not read */
static void fact_product(struct lane_graph *g, const struct lane_site *s)
{
	struct lane_value *y = &g->value[s->y];

	if (y->axis != s->y_axis)
		return;
	for (int64_t o = 0; o < s->rows; o++) {
		double sum = 0;
		for (int64_t i = 0; i < s->cols && !isnan(sum); i++) {
			float x = site_fact(g, s, i);
			if (!s->reads[o * s->cols + i] || x == 0)
				continue;
			sum += s->border ? (double)NAN : (double)x * (double)weight_sum(g, s, o, i);
		}
		y->fact[o] = (float)sum;
	}
}

/* Convolution in groups: each row reads the channels of its group. */
static void fact_groups(struct lane_graph *g, const struct lane_node *n)
{
	const struct lane_value *x = &g->value[n->in[0]], *w = &g->value[n->in[1]];
	struct lane_value *y = &g->value[n->out];
	int64_t cols = w->dim[1], area = w->dim[2] * w->dim[3], rows = w->dim[0] / (int64_t)n->attr.batch;

	if (!w->host || !x->fact || x->axis != 1 || y->axis != 1)
		return;
	for (int64_t o = 0; o < w->dim[0]; o++) {
		double sum = 0;
		for (int64_t e = 0; e < cols * area; e++) {
			float wt = w->host[o * cols * area + e], v = x->fact[o / rows * cols + e / area];
			if (wt == 0 || v == 0)
				continue;
			sum += n->attr.start[0] || n->attr.start[1] ? (double)NAN : (double)wt * (double)v;
		}
		y->fact[o] = (float)sum;
	}
}

static uint8_t *site_reads(struct lane_graph *g, const struct lane_site *s)
{
	uint8_t *reads = lane_alloc(g, (size_t)(s->rows * s->cols), 1);
	const float *w = g->value[s->w].host;

	for (int64_t o = 0; o < s->rows; o++)
		for (int64_t i = 0; i < s->cols; i++)
			for (int64_t k = 0; k < s->area && !reads[o * s->cols + i]; k++)
				reads[o * s->cols + i] = w[o * s->step_o + i * s->step_i + k] != 0;
	return reads;
}

/* The parameter behind a value, if reshapes are all that lies between, and nothing else reads it. */
static int parameter_behind(const struct lane_graph *g, int v)
{
	while (g->value[v].users == 1 && g->value[v].state < 0) {
		int node = 0;
		while (g->node[node].out != v)
			node++;
		if (g->node[node].op != REIN_OP_RESHAPE)
			return -1;
		v = g->node[node].in[0];
	}
	const struct lane_value *b = &g->value[v];
	if (b->users != 1 || b->state < 0 || g->t->store->state[b->state]->role != STATE_PARAM)
		return -1;
	return b->state;
}

/* y + b as the only use of the product y, b one parameter along the rows: it can take what
 * columns that go have given. */
static int site_bias(const struct lane_graph *g, const struct lane_site *s)
{
	const struct lane_value *y = &g->value[s->y];

	if (y->users != 1 || s->border || g->n_pair)
		return -1;
	const struct lane_node *n = &g->node[y->user];
	if (n->op != REIN_OP_ADD)
		return -1;
	int state = parameter_behind(g, n->in[n->in[0] == s->y ? 1 : 0]);
	if (state < 0)
		return -1;
	const struct state *b = g->t->store->state[state];
	return b->rank == 1 && b->count == s->rows ? state : -1;
}

/* --- shapes -------------------------------------------------------------------------------------- */
/* Entries behind axis `axis`: how far apart its own lie. */
static int64_t stride_of(const struct lane_value *v, int axis)
{
	int64_t n = 1;

	for (uint32_t a = (uint32_t)axis + 1; a < v->rank; a++)
		n *= v->dim[a];
	return n;
}

/* Entries keep their order: y's facts, if they lie along `axis`; how many are known. */
static int64_t facts_along(const struct lane_value *x, struct lane_value *y, int axis)
{
	int64_t from = stride_of(x, x->axis), to = stride_of(y, axis), known = 0;
	uint8_t *seen = zalloc((size_t)y->dim[axis], 1);

	y->axis = axis;
	for (int64_t e = 0; e < y->count; e++) {
		int64_t i = e / to % y->dim[axis];
		float v = x->fact[e / from % x->dim[x->axis]];
		y->fact[i] = !seen[i] || y->fact[i] == v ? v : NAN;
		seen[i] = 1;
	}
	for (int64_t i = 0; i < y->dim[axis]; i++)
		known += !isnan(y->fact[i]);
	free(seen);
	return known;
}

/* Along the axis that keeps most of them. */
static void fact_reshape(struct lane_graph *g, const struct lane_node *n)
{
	const struct lane_value *x = &g->value[n->in[0]];
	struct lane_value *y = &g->value[n->out];
	int best = y->axis;
	int64_t most = facts_along(x, y, best);

	for (int a = 0; a < (int)y->rank; a++) {
		int64_t known = facts_along(x, y, a);
		if (known <= most)
			continue;
		most = known;
		best = a;
	}
	facts_along(x, y, best);
}

/* Products for each plane by itself: where a plane is 0, so is what comes of it. */
static void fact_planes(struct lane_graph *g, const struct lane_node *n)
{
	struct lane_value *y = &g->value[n->out];

	for (int k = 0; k < 2; k++) {
		const struct lane_value *x = &g->value[n->in[k]];
		if (!x->data || !x->fact || x->rank != 3 || x->axis != 0 || x->dim[0] != y->dim[0])
			continue;
		y->axis = 0;
		for (int64_t i = 0; i < y->dim[0]; i++)
			y->fact[i] = x->fact[i] == 0 ? 0 : NAN;
	}
}

static void fact_concat(struct lane_graph *g, const struct lane_node *n)
{
	struct lane_value *y = &g->value[n->out];
	bool joined = n->attr.axes & REIN_AXIS(y->axis);
	int64_t at = 0;

	for (int k = 0; k < n->n_in; k++) {
		const struct lane_value *x = &g->value[n->in[k]];
		bool fits = x->data && x->fact && x->axis == y->axis;
		for (int64_t i = 0; i < x->dim[y->axis]; i++) {
			float v = fits ? x->fact[i] : NAN, *to = &y->fact[joined ? at++ : i];
			*to = joined || k == 0 || *to == v ? v : NAN;
		}
	}
}

/* Places that are added hold 0, so only 0 stays one number. */
static void fact_unslice(struct lane_graph *g, const struct lane_node *n)
{
	const struct lane_value *x = &g->value[n->in[0]];
	struct lane_value *y = &g->value[n->out];

	if (x->dim[x->axis] != y->dim[x->axis])
		return;
	y->axis = x->axis;
	for (int64_t i = 0; i < y->dim[y->axis]; i++)
		y->fact[i] = x->count == y->count || x->fact[i] == 0 ? x->fact[i] : NAN;
}

/* Means over windows, with or without the zeros around. */
static void fact_avg_pool(struct lane_graph *g, const struct lane_node *n)
{
	const struct lane_value *x = &g->value[n->in[0]];
	struct lane_value *y = &g->value[n->out];
	bool mixed = (n->attr.flags & REIN_COUNT_PAD) && (n->attr.start[0] || n->attr.start[1]);

	for (int64_t i = 0; i < y->dim[1]; i++)
		y->fact[i] = mixed && x->fact[i] != 0 ? NAN : x->fact[i];
}

static void fact_reduced(struct lane_graph *g, const struct lane_node *n)
{
	const struct lane_value *x = &g->value[n->in[0]];
	struct lane_value *y = &g->value[n->out];
	double count = n->op == REIN_OP_SUM ? (double)x->count / (double)y->count : 1;
	uint32_t axis = 0;

	if (n->attr.axes & REIN_AXIS(x->axis))
		return;
	for (uint32_t a = 0; a < (uint32_t)x->axis; a++)
		axis += !(n->attr.axes & REIN_AXIS(a)) || (n->attr.flags & REIN_KEEP);
	y->axis = (int)axis;
	for (int64_t i = 0; i < y->dim[axis]; i++)
		y->fact[i] = (float)(count * (double)x->fact[i]);
}

/* --- forwards ----------------------------------------------------------------------------------------- */
/* Room for a fact along any axis; channels lie along axis 1 unless an op says otherwise. */
static void fact_init(struct lane_graph *g, struct lane_value *v)
{
	int64_t most = 1;

	for (uint32_t a = 0; a < v->rank; a++)
		most = v->dim[a] > most ? v->dim[a] : most;
	v->axis = v->rank > 1 ? 1 : 0;
	v->fact = lane_alloc(g, (size_t)most, sizeof *v->fact);
	for (int64_t i = 0; i < most; i++)
		v->fact[i] = NAN;
}

static void fact_node(struct lane_graph *g, const struct lane_node *n)
{
	const struct lane_value *x = n->n_in ? &g->value[n->in[0]] : NULL;
	struct lane_value *y = &g->value[n->out];

	if (y->rank < 1)
		return;
	if (op_info(n->op)->elementwise && n->n_out == 1) {
		fact_elementwise(g, n);
		return;
	}
	if (n->op == REIN_OP_MATMUL)
		fact_planes(g, n);
	if (!x || !x->data || !x->fact || x->rank < 1)
		return;
	switch (n->op) {
	case REIN_OP_STOP:
	case REIN_OP_MAX_POOL: /* padding counts as -inf: never the largest */
		y->axis = x->axis;
		memcpy(y->fact, x->fact, (size_t)y->dim[y->axis] * sizeof *y->fact);
		return;
	case REIN_OP_AVG_POOL: fact_avg_pool(g, n); return;
	case REIN_OP_CONV2D:
		if (n->attr.batch > 1)
			fact_groups(g, n);
		return;
	case REIN_OP_RESHAPE: fact_reshape(g, n); return;
	case REIN_OP_CONCAT: fact_concat(g, n); return;
	case REIN_OP_UNSLICE: fact_unslice(g, n); return;
	case REIN_OP_SUM:
	case REIN_OP_AMAX: fact_reduced(g, n); return;
	case REIN_OP_SLICE:
		y->axis = x->axis;
		for (int64_t i = 0; i < y->dim[y->axis]; i++)
			y->fact[i] = x->fact[n->attr.start[y->axis] + i * n->attr.step[y->axis]];
		return;
	case REIN_OP_PERMUTE:
		for (uint32_t a = 0; a < y->rank; a++)
			if (n->attr.dim[a] == x->axis)
				y->axis = (int)a;
		memcpy(y->fact, x->fact, (size_t)y->dim[y->axis] * sizeof *y->fact);
		return;
	}
}

bool lane_facts(struct lane_graph *g)
{
	int site = 0;

	for (int i = 0; i < g->n_node; i++) {
		const struct lane_node *n = &g->node[i];
		for (int k = 0; k < n->n_out; k++)
			if (g->value[n->out + k].data)
				fact_init(g, &g->value[n->out + k]);
		if (!n->n_out || !g->value[n->out].data || n->op == REIN_OP_READ || n->op == REIN_OP_TAKE)
			continue;
		fact_node(g, n);
		if (site == g->n_site || g->site[site].y != n->out)
			continue;
		struct lane_site *s = &g->site[site++];
		if (!g->value[s->w].host)
			return false;
		s->reads = site_reads(g, s);
		s->bias = site_bias(g, s);
		fact_product(g, s);
	}
	return site == g->n_site;
}

/* --- backwards ------------------------------------------------------------------------------------------- */
bool lane_covered(const struct lane_graph *g, const struct lane_site *s, int64_t i, bool fold)
{
	float x = site_fact(g, s, i);
	return x == 0 || (fold && s->bias >= 0 && isfinite(x));
}

/* True if a lane was added. */
static bool need(struct lane_graph *g, const struct lane_site *s, int64_t o, bool fold)
{
	const struct lane_value *x = &g->value[s->x];
	bool more = false;

	for (int64_t i = 0; i < s->cols; i++) {
		int32_t lane = lane_at(g, x, (uint32_t)s->x_axis, i);
		if (g->stays[lane] || !s->reads[o * s->cols + i] || lane_covered(g, s, i, fold))
			continue;
		g->stays[lane] = 1;
		more = true;
	}
	return more;
}

void lane_decide(struct lane_graph *g, const uint8_t *pinned, bool fold)
{
	bool more = true;

	free(g->stays);
	g->stays = zalloc((size_t)g->n_lane, 1);
	for (int32_t l = 0; l < g->n_lane; l++)
		g->stays[l] = l == 0 || (pinned && pinned[l]);
	while (more) {
		more = false;
		for (int k = g->n_site - 1; k >= 0; k--) {
			const struct lane_site *s = &g->site[k];
			for (int64_t o = 0; o < s->rows; o++)
				if (g->stays[lane_at(g, &g->value[s->y], (uint32_t)s->y_axis, o)])
					more = need(g, s, o, fold) || more;
		}
	}
}
