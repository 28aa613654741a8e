/* SPDX-License-Identifier: MIT
 *
 * remove.c: a remove stage: channels and neurons that no output depends on go, and the network
 * is recorded anew in its smaller shape; training may go on.
 *
 * What goes (remove_graph.c, remove_facts.c): a channel that is always 0, one that nobody reads,
 * and (fold=yes) one that is always the same number, which the biases of those that read it
 * take over. With it go its entries in every tensor that is tied to it: weights, biases, batch
 * norm, masks, the optimizer's states, averages. The network's inputs and outputs stay, and one
 * channel at least of every layer. round_to=8: counts of channels are rounded up to a multiple.
 *
 * The outputs in evaluation mode are those from before (`output_difference` is the largest
 * change over a batch): a removed channel that was a number only by its running statistics may
 * have had an effect in training mode.
 */
#include "remove.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rein/math.h"

/* Which entries of a state stay, per axis; NULL: all of them. */
struct keep {
	int64_t n[REIN_MAX_RANK];
	int64_t *at[REIN_MAX_RANK];
};

static void keep_finish(struct keep *k)
{
	for (int a = 0; a < REIN_MAX_RANK; a++)
		free(k->at[a]);
	*k = (struct keep){ 0 };
}

/* --- what goes ------------------------------------------------------------------------------- */
static const struct lane_value *read_value(const struct lane_graph *g, int state)
{
	int v = g->state_value[state];
	return v < 0 || !g->value[v].users ? NULL : &g->value[v];
}

/* Entries of an axis that stay. */
static int64_t count_stays(const struct lane_graph *g, const struct lane_value *v, uint32_t axis)
{
	int64_t n = 0;

	for (int64_t i = 0; i < v->dim[axis]; i++)
		n += g->stays[lane_at(g, v, axis, i)];
	return n;
}

/* Rows of weights that on= does not name stay. */
static void pin_unnamed(const struct lane_graph *g, const char *on, uint8_t *pinned)
{
	for (int i = 0; i < g->t->store->n; i++) {
		const struct state *s = g->t->store->state[i];
		const struct lane_value *v = read_value(g, i);
		if (!v || s->role != STATE_PARAM || s->rank < 2 || pattern_match(on, s->name))
			continue;
		for (int64_t k = 0; k < v->dim[0]; k++)
			pinned[lane_at(g, v, 0, k)] = 1;
	}
}

/* Lanes of an axis that must stay after all, lowest first. True if there were any. */
static bool pin_more(const struct lane_graph *g, const struct lane_value *v, uint32_t axis, int64_t least,
                     uint8_t *pinned)
{
	int64_t missing = least - count_stays(g, v, axis);
	bool more = missing > 0;

	for (int64_t i = 0; i < v->dim[axis] && missing > 0; i++) {
		int32_t lane = lane_at(g, v, axis, i);
		missing -= !g->stays[lane];
		pinned[lane] = 1;
	}
	return more;
}

/* At least one entry along every axis; rows of weights a multiple of round_to. */
static bool pin_counts(const struct lane_graph *g, int64_t round_to, uint8_t *pinned)
{
	bool more = false;

	for (int i = 0; i < g->t->store->n; i++) {
		const struct state *s = g->t->store->state[i];
		const struct lane_value *v = read_value(g, i);
		if (!v || s->role != STATE_PARAM)
			continue;
		for (uint32_t a = 0; a < v->rank; a++) {
			int64_t n = count_stays(g, v, a), least = n > 1 ? n : 1;
			if (n == v->dim[a])
				continue;
			if (a == 0 && s->rank > 1)
				least = (least + round_to - 1) / round_to * round_to;
			more = pin_more(g, v, a, least < v->dim[a] ? least : v->dim[a], pinned) || more;
		}
	}
	return more;
}

/* Settles `stays`; how many entries along all axes of parameters go. */
static int64_t decide(struct lane_graph *g, const struct stage *s)
{
	uint8_t *pinned = zalloc((size_t)g->n_lane, 1);
	int64_t gone = 0;

	pin_unnamed(g, s->on, pinned);
	do
		lane_decide(g, pinned, s->fold);
	while (pin_counts(g, s->round_to, pinned));
	free(pinned);
	for (int i = 0; i < g->t->store->n; i++) {
		const struct lane_value *v = read_value(g, i);
		for (uint32_t a = 0; v && a < v->rank; a++)
			gone += v->dim[a] - count_stays(g, v, a);
	}
	return gone;
}

/* --- biases ------------------------------------------------------------------------------------ */
/* What the columns that go have given to row o: sum of their number times their weights. */
static double given(const struct lane_graph *g, const struct lane_site *s, int64_t o)
{
	const struct lane_value *x = &g->value[s->x];
	double sum = 0;

	for (int64_t i = 0; i < s->cols; i++) {
		if (g->stays[lane_at(g, x, (uint32_t)s->x_axis, i)] || !x->fact || x->axis != s->x_axis)
			continue;
		double v = (double)x->fact[i];
		const float *w = g->value[s->w].host + o * s->step_o + i * s->step_i;
		for (int64_t k = 0; k < s->area && v != 0 && isfinite(v); k++)
			sum += v * (double)w[k];
	}
	return sum;
}

/* A bias that was pruned away and takes something over lives again: its mask must not undo it. */
static bool unmask(struct trainer *t, struct state *b, const float *bias)
{
	struct state *m = b->mask;

	if (!m)
		return true;
	uint8_t *mask = zalloc((size_t)m->count, 1);
	bool good = store_get(t->store, m, mask) >= 0;
	for (int64_t i = 0; i < b->count; i++)
		mask[i] |= bias[i] != 0;
	good = good && store_set(t->store, m, mask) >= 0;
	free(mask);
	return good;
}

static bool fold_biases(struct lane_graph *g)
{
	struct store *store = g->t->store;
	bool good = true;

	for (int k = 0; k < g->n_site && good; k++) {
		const struct lane_site *s = &g->site[k];
		if (s->bias < 0)
			continue;
		struct state *b = store->state[s->bias];
		float *bias = zalloc((size_t)b->count, sizeof *bias);
		bool any = false;
		good = store_get(store, b, bias) >= 0;
		for (int64_t o = 0; o < s->rows; o++) {
			double more = given(g, s, o);
			any = any || more != 0;
			bias[o] = (float)((double)bias[o] + more);
		}
		if (any)
			good = good && store_set(store, b, bias) >= 0 && unmask(g->t, b, bias);
		free(bias);
	}
	return good;
}

/* --- cutting ------------------------------------------------------------------------------------ */
/* True if anything of the state goes. */
static bool keep_of(const struct lane_graph *g, int state, struct keep *k)
{
	const struct lane_value *v = read_value(g, state);
	bool some = false;

	*k = (struct keep){ 0 };
	for (uint32_t a = 0; v && a < v->rank; a++) {
		k->n[a] = count_stays(g, v, a);
		if (k->n[a] == v->dim[a])
			continue;
		some = true;
		k->at[a] = zalloc((size_t)k->n[a], sizeof **k->at);
		for (int64_t i = 0, n = 0; i < v->dim[a]; i++)
			if (g->stays[lane_at(g, v, a, i)])
				k->at[a][n++] = i;
	}
	return some;
}

/* Entries that stay, in order, from `from` to `to` (which may be the same). */
static void gather(const struct keep *k, uint32_t rank, const int64_t *dim, size_t size, const char *from, char *to)
{
	int64_t at[REIN_MAX_RANK] = { 0 }, count = 1;

	for (uint32_t a = 0; a < rank; a++)
		count *= k->at[a] ? k->n[a] : dim[a];
	for (int64_t n = 0; n < count; n++) {
		int64_t place = 0;
		for (uint32_t a = 0; a < rank; a++)
			place = place * dim[a] + (k->at[a] ? k->at[a][at[a]] : at[a]);
		memmove(to + (size_t)n * size, from + (size_t)place * size, size);
		for (uint32_t a = rank; a-- > 0;) {
			if (++at[a] < (k->at[a] ? k->n[a] : dim[a]))
				break;
			at[a] = 0;
		}
	}
}

/* Copies of it on the host are cut as it is. */
static void cut_copies(struct copies *c, const struct state *s, const struct keep *k, size_t size)
{
	for (int i = 0; i < c->n; i++)
		if (c->state[i] == s)
			gather(k, s->rank, s->dim, size, c->data[i], c->data[i]);
}

static bool cut_state(struct trainer *t, struct state *s, const struct keep *k)
{
	size_t size = dtype_size(s->dtype, t->store->real_size);
	int64_t dim[REIN_MAX_RANK];
	char *host = zalloc((size_t)s->count + 1, size);
	bool good = store_get(t->store, s, host) >= 0;

	gather(k, s->rank, s->dim, size, host, host);
	for (int i = 0; i < t->n_rewound; i++)
		cut_copies(&t->rewound[i].copy, s, k, size);
	for (uint32_t a = 0; a < s->rank; a++)
		dim[a] = k->at[a] ? k->n[a] : s->dim[a];
	store_reshape(t->store, s, dim);
	s->ready = true; /* no initial values */
	good = good && store_allocate(t->store) >= 0 && store_set(t->store, s, host) >= 0;
	free(host);
	return good;
}

/* Rows of the path so far, each with the parameter's entries. */
static void cut_path(struct trainer *t, const struct state *s, const struct keep *k)
{
	struct network *net = t->net[0];
	int64_t left = 1;

	for (uint32_t a = 0; a < s->rank; a++)
		left *= k->at[a] ? k->n[a] : s->dim[a];
	for (int i = 0; t->path && i < net->n_param; i++)
		for (int64_t row = 0; net->param[i] == s && row < t->n_path; row++)
			gather(k, s->rank, s->dim, sizeof(float), (char *)(t->path[i] + row * s->count),
			       (char *)(t->path[i] + row * left));
}

/* States kept for a parameter under its name (masks, momentum, averages) are cut along the axes
 * in which they are like it. */
static bool cut_followers(struct lane_graph *g, const struct state *w, const int64_t *dim, const struct keep *k)
{
	struct trainer *t = g->t;

	for (int i = 0; i < t->store->n; i++) {
		struct state *s = t->store->state[i];
		struct keep own = *k;
		bool like = !read_value(g, i) && s->rank == w->rank && store_follows(t->store, s) == w;
		for (uint32_t a = 0; like && a < s->rank; a++) {
			like = s->dim[a] == dim[a] || s->dim[a] == 1;
			own.at[a] = s->dim[a] == dim[a] ? k->at[a] : NULL;
		}
		if (like && !cut_state(t, s, &own))
			return false;
	}
	return true;
}

static bool cut_all(struct lane_graph *g)
{
	struct trainer *t = g->t;
	bool good = true;

	copies_finish(&t->best);
	copies_finish(&t->initial);
	for (int i = 0; i < t->store->n && good; i++) {
		struct state *s = t->store->state[i];
		int64_t dim[REIN_MAX_RANK];
		struct keep k;
		if (keep_of(g, i, &k)) {
			memcpy(dim, s->dim, sizeof dim);
			cut_path(t, s, &k);
			good = cut_state(t, s, &k) && (s->role != STATE_PARAM || cut_followers(g, s, dim, &k));
		}
		keep_finish(&k);
	}
	return good;
}

/* --- the stage ------------------------------------------------------------------------------------ */
static const struct place *place_of_on(const struct stage *s)
{
	for (int i = 0; i < s->spec->n_arg; i++)
		if (strcmp(s->spec->arg[i].key, "on") == 0)
			return &s->spec->arg[i].value_at;
	return &s->spec->at;
}

static bool matches_weight(const struct trainer *t, const char *patterns)
{
	for (int i = 0; i < t->net[0]->n_param; i++)
		if (t->net[0]->param[i]->rank > 1 && pattern_match(patterns, t->net[0]->param[i]->name))
			return true;
	return false;
}

bool remove_prepare(struct trainer *t, struct stage *s)
{
	for (int i = 0; i < t->n_regularizer; i++)
		if (t->stats_full && t->regularizer[i]->component->vt.regularizer.view) {
			at_instance(t->diag, t->regularizer[i],
			            "evaluation averages its statistics anew, so stage '%s' cannot tell what its channels will be",
			            s->name);
			return false;
		}
	if (!matches_weight(t, s->on)) {
		diag_error(t->diag, place_of_on(s), "[stages] %s: on=%s matches no weight; there are: %s", s->name, s->on,
		           weight_list(t));
		return false;
	}
	for (const char *on = s->on; *on;) { /* a name that is not there is a mistyped one */
		size_t n = strcspn(on, ",");
		const char *one = trainer_text(t, "%.*s", (int)n, on);
		if (*one && !strchr(one, '*') && !matches_weight(t, one)) {
			diag_error(t->diag, place_of_on(s),
			           "[stages] %s: on=%s: '%s' matches no weight of two or more axes; there are: %s", s->name, s->on,
			           one, weight_list(t));
			return false;
		}
		on += n + (on[n] == ',');
	}
	return true;
}

/* A warning among the lines of a run. */
static void tell(struct trainer *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void tell(struct trainer *t, const char *format, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(line, sizeof line, format, ap);
	va_end(ap);
	if (t->env.host.log)
		(t->env.host.log)(t->env.host.log_ctx, REIN_LOG_WARN, line);
}

/* units.<layer's weight>: rows before and after, for tables. */
static void count_units(struct trainer *t, struct metrics *out)
{
	char name[128];

	for (int i = 0; i < t->net[0]->n_param; i++) {
		const struct state *w = t->net[0]->param[i];
		if (w->rank < 2 || !w->shrunk)
			continue;
		snprintf(name, sizeof name, "units.%s", w->name);
		metrics_set(out, name, (double)w->dim[0]);
	}
}

static double largest_difference(const float *a, const float *b, int64_t n)
{
	double most = 0;

	for (int64_t i = 0; i < n; i++) {
		double d = fabs((double)a[i] - (double)b[i]);
		most = d > most || isnan(d) ? d : most;
	}
	return most;
}

/* Cut and recorded again; *difference: of the outputs, over a batch. */
static bool shrink(struct trainer *t, struct lane_graph *g, double *difference)
{
	int64_t n = 0, m = 0;
	float *before = forward_outputs(t, &n), *after = NULL;
	bool good = before && fold_biases(g) && cut_all(g);

	t->smaller = true;
	good = good && trainer_record_again(t);

	if (good)
		after = forward_outputs(t, &m);
	good = good && after && n == m;
	*difference = good ? largest_difference(before, after, n) : NAN;
	free(before);
	free(after);
	return good;
}

static double parameters(struct trainer *t)
{
	double n = 0;

	for (int i = 0; i < t->net[0]->n_param; i++)
		n += (double)t->net[0]->param[i]->count;
	return n;
}

bool remove_run(struct trainer *t, struct stage *s, struct metrics *out)
{
	struct lane_graph *g = lane_graph_create(t);
	double before = parameters(t), difference = 0;
	bool good = g && lane_facts(g);

	if (good && decide(g, s) > 0)
		good = shrink(t, g, &difference);
	else if (good)
		tell(t,
		     "stage '%s' removes nothing: every channel and neuron has an effect on the outputs; single weights that "
		     "are zero take no place away, whole rows do (a pruner with dim=0, or a higher share)",
		     s->name);
	lane_graph_destroy(g);
	if (!good)
		return false;
	metrics_set(out, "parameters.before", before);
	metrics_set(out, "parameters", parameters(t));
	metrics_set(out, "output_difference", difference);
	count_units(t, out);
	t->stage_done = true;
	return true;
}
