/* SPDX-License-Identifier: MIT
 *
 * prune.c: a prune stage. Each parameter that the pruner's on= matches has a mask, a bool
 * state `<parameter>.mask` kept in checkpoints. The stage counts what is left, works out how
 * many entries or slices go (PyTorch's rounding: half to even, of what is left), and runs one
 * program: scores, the smallest of them, new masks, and zeros in the weights and in the
 * optimizer's states. What is gone counts as pruned already, so masks only ever shrink.
 *
 * A stage that would leave nothing of a weight is an error: said while reading the config where
 * the amount alone tells, else when the new masks are known. Biases may go altogether.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rein/math.h"
#include "train.h"

/* --- refusing ------------------------------------------------------------------------------- */
static bool may_vanish(const struct state *w)
{
	size_t n = strlen(w->name);
	return n >= 5 && strcmp(w->name + n - 5, ".bias") == 0;
}

/* Names the first weight with nothing kept, and what there is: entries or slices `left` of each. */
static bool something_kept(struct trainer *t, const struct stage *s, const int32_t *left, const int32_t *kept)
{
	char list[512];
	size_t n = 0;
	int gone = 0;

	while (gone < s->n_pruned && (kept[gone] > 0 || left[gone] == 0 || may_vanish(s->pruned[gone])))
		gone++;
	if (gone == s->n_pruned)
		return true;
	for (int i = 0; i < s->n_pruned && n + 1 < sizeof list; i++)
		n += (size_t)snprintf(list + n, sizeof list - n, "%s%s (%" PRId32 ")", i ? ", " : "", s->pruned[i]->name,
		                      left[i]);
	at_instance(t->diag, s->with, "stage '%s' would remove the whole of '%s'; there are, with what each has left: %s%s",
	            s->name, s->pruned[gone]->name, list, n < sizeof list ? "" : " ...");
	return false;
}

bool prune_masks(struct trainer *t, struct stage *s)
{
	const struct rein_init ones = { sizeof ones, REIN_INIT_CONSTANT, 1, 0, REIN_NONE, 0 };
	struct network *net = t->net[0];
	const char *why = "";

	s->pruned = zalloc((size_t)net->n_param + 1, sizeof *s->pruned);
	s->units = zalloc((size_t)net->n_param + 1, sizeof *s->units);
	for (int i = 0; i < net->n_param; i++) {
		struct state *w = net->param[i];
		if (!pattern_match(s->with->common.on, w->name))
			continue;
		w->mask = store_declare(t->store, trainer_text(t, "%s.mask", w->name), STATE_SLOT, REIN_BOOL_T, w->rank, w->dim,
		                        &ones, &why);
		if (!w->mask) {
			at_instance(t->diag, s->with, "mask of '%s': %s", w->name, why);
			return false;
		}
		s->pruned[s->n_pruned++] = w;
	}
	return true;
}

/* --- recording ------------------------------------------------------------------------------ */
struct cut {
	struct pass *p;
	struct stage *s;
	rein_val *mask;  /* before */
	rein_val *score; /* as the pruner gave them: shape of w, or one axis kept */
	rein_val *left;  /* bool, shape of the score: units that have something left */
	rein_val *count; /* (1): entries of the new mask */
};

static int64_t count_of(struct pass *p, rein_val v)
{
	int64_t n = 1;
	for (int32_t i = 0; i < rein_rank(p->r, v); i++)
		n *= rein_dim(p->r, v, i);
	return n;
}

/* Score of tensor i, and which of its units are left: mask (O,..) -> any over the axes that
 * the score has with size 1. */
static void cut_score(struct cut *c, int i, const struct rein_tensor *tensor)
{
	const struct rein_pruner_vt *vt = &c->s->with->component->vt.pruner;
	struct rein_rec *r = c->p->r;
	uint32_t axes = 0;

	pass_enter(c->p, c->s->with, tensor->name);
	rein_val v = vt->score(c->s->with->self, r, tensor);
	if (rein_rank(r, v) >= 0 && rein_rank(r, v) != rein_rank(r, tensor->w))
		rein_refuse(r, "a score has the rank of its weight");
	for (int32_t a = 0; a < rein_rank(r, v); a++) {
		if (rein_dim(r, v, a) == rein_dim(r, tensor->w, a))
			continue;
		if (rein_dim(r, v, a) != 1)
			rein_refuse(r, "a score has the shape of its weight, or 1 along some axes");
		axes |= REIN_AXIS(a);
	}
	c->score[i] = v;
	c->left[i] = axes ? rein_amax(r, c->mask[i], axes, REIN_KEEP) : c->mask[i];
	c->s->units[i] = count_of(c->p, v);
	pass_leave(c->p);
}

/* Units of tensor i in a row, those that are gone below all others. */
static rein_val cut_flat(struct cut *c, int i)
{
	struct rein_rec *r = c->p->r;
	rein_val none = rein_scalar(r, -(double)INFINITY);

	return rein_reshape(r, rein_where(r, c->left[i], c->score[i], none), 1, &c->s->units[i]);
}

/* gone (units) -> the new mask of tensor i */
static rein_val cut_mask(struct cut *c, int i, rein_val gone)
{
	struct rein_rec *r = c->p->r;
	int64_t dim[REIN_MAX_RANK];
	int32_t rank = rein_rank(r, c->score[i]);

	for (int32_t a = 0; a < rank; a++)
		dim[a] = rein_dim(r, c->score[i], a);
	rein_val keep = rein_reshape(r, rein_not(r, gone), rank < 0 ? 0u : (uint32_t)rank, dim);
	return rein_and(r, c->mask[i], keep);
}

static void cut_assign(struct cut *c, int i, rein_val mask)
{
	const int64_t one[1] = { 1 };
	struct pass *p = c->p;
	struct state *w = c->s->pruned[i];
	int group = optimizer_of(p->t, w->name);

	c->count[i] = rein_reshape(p->r, rein_sum(p->r, mask), 1, one);
	recorder_assign(p->rec, w->mask, mask, REIN_NONE);
	recorder_assign(p->rec, w, rein_where(p->r, mask, recorder_read(p->rec, w), rein_scalar(p->r, 0)), REIN_NONE);
	if (group >= 0)
		mask_slots(p, p->t->optimizer[group], w, mask);
}

static rein_val entry_of(struct pass *p, rein_val v, int64_t i)
{
	return rein_reshape(p->r, rein_narrow(p->r, v, 0, i, 1), 0, NULL);
}

static void cut_by_score(struct cut *c)
{
	const struct rein_pruner_vt *vt = &c->s->with->component->vt.pruner;
	struct rein_rec *r = c->p->r;
	int n = c->s->n_pruned;
	rein_val k = recorder_read(c->p->rec, c->s->k);

	if (!vt->global || !vt->global(c->s->with->self)) {
		for (int i = 0; i < n; i++)
			cut_assign(c, i, cut_mask(c, i, rein_smallest(r, cut_flat(c, i), entry_of(c->p, k, i))));
		return;
	}
	rein_val *flat = rein_vals(r, (uint32_t)n);
	for (int i = 0; flat && i < n; i++)
		flat[i] = cut_flat(c, i);
	if (!flat)
		return;
	rein_val gone = rein_smallest(r, rein_concat(r, (uint32_t)n, flat, 0), entry_of(c->p, k, 0));
	int64_t at = 0;
	for (int i = 0; i < n; i++) {
		cut_assign(c, i, cut_mask(c, i, rein_narrow(r, gone, 0, at, c->s->units[i])));
		at += c->s->units[i];
	}
}

/* Units left per tensor, for the host. */
static void cut_count(struct cut *c)
{
	const int64_t one[1] = { 1 };
	rein_val *v = rein_vals(c->p->r, (uint32_t)c->s->n_pruned);

	for (int i = 0; v && i < c->s->n_pruned; i++)
		v[i] = rein_reshape(c->p->r, rein_sum(c->p->r, c->left[i]), 1, one);
	if (v)
		recorder_output(c->p->rec, rein_concat(c->p->r, (uint32_t)c->s->n_pruned, v, 0));
}

static struct program *prune_program(struct trainer *t, struct stage *s, bool count)
{
	const struct rein_pruner_vt *vt = &s->with->component->vt.pruner;
	struct pass p;

	pass_begin(&p, t, PASS_EVENT, false, count ? "prune: count" : "prune");
	pass_tensors(&p, p.net);
	recorder_draw_keys(p.rec, REIN_NONE, p.step.step, p.step.epoch);
	rein_val *v = rein_vals(p.r, 4 * (uint32_t)s->n_pruned);
	struct cut c = { &p, s, v, v + s->n_pruned, v + 2 * s->n_pruned, v + 3 * s->n_pruned };
	for (int i = 0; i < s->n_pruned; i++) {
		struct state *w = s->pruned[i];
		c.mask[i] = recorder_read(p.rec, w->mask);
		struct rein_tensor tensor = { sizeof tensor, 0, w->name, recorder_read(p.rec, w), REIN_NONE, c.mask[i] };
		if (vt->score && !vt->keep) {
			cut_score(&c, i, &tensor);
			continue;
		}
		pass_enter(&p, s->with, w->name);
		rein_val keep = vt->keep(s->with->self, p.r, &tensor);
		pass_leave(&p);
		cut_assign(&c, i, rein_and(p.r, c.mask[i], keep));
	}
	if (vt->score && !vt->keep) {
		if (count)
			cut_count(&c);
		else
			cut_by_score(&c);
	}
	if (!count)
		recorder_output(p.rec, rein_concat(p.r, (uint32_t)s->n_pruned, c.count, 0));
	return pass_end(&p);
}

/* How many of `total` units shall be gone after this, when `left` are left. */
static int32_t to_cut(double amount, int64_t total, int64_t left)
{
	double cut = amount < 1 ? rint(amount * (double)left) : amount;
	return (int32_t)(total - left) + (int32_t)(cut > (double)left ? (double)left : cut);
}

/* k: how many units of each tensor shall be gone, or k[0] of all together. */
static bool amounts(struct trainer *t, struct stage *s, const int32_t *left, int32_t *k)
{
	const struct rein_pruner_vt *vt = &s->with->component->vt.pruner;
	double amount = vt->amount(s->with->self);
	int32_t *kept = zalloc((size_t)s->n_pruned, sizeof *kept);
	int64_t total = 0, rest = 0;

	for (int i = 0; i < s->n_pruned; i++) {
		total += s->units[i];
		rest += left[i];
		k[i] = to_cut(amount, s->units[i], left[i]);
		kept[i] = (int32_t)s->units[i] - k[i];
	}
	if (vt->global && vt->global(s->with->self)) {
		k[0] = to_cut(amount, total, rest);
		for (int i = 0; i < s->n_pruned; i++) /* which tensor loses what is seen later */
			kept[i] = (int32_t)(total - k[0]);
	}
	bool good = something_kept(t, s, left, kept);
	free(kept);
	return good;
}

/* The amount by itself, on tensors of which nothing is gone. */
static bool amount_possible(struct trainer *t, struct stage *s)
{
	double amount = s->with->component->vt.pruner.amount(s->with->self);
	int32_t *left, *k;

	if (!(amount >= 0) || (amount >= 1 && amount != floor(amount))) {
		at_instance(t->diag, s->with, "an amount of %g is neither a share below 1 nor a whole number", amount);
		return false;
	}
	left = zalloc((size_t)s->n_pruned, sizeof *left);
	k = zalloc((size_t)s->n_pruned, sizeof *k);
	for (int i = 0; i < s->n_pruned; i++)
		left[i] = (int32_t)s->units[i];
	bool good = amounts(t, s, left, k);
	free(left);
	free(k);
	return good;
}

bool prune_prepare(struct trainer *t, struct stage *s)
{
	const struct rein_pruner_vt *vt = &s->with->component->vt.pruner;
	int64_t n = s->n_pruned;

	if (!vt->keep && (!vt->score || !vt->amount)) {
		at_instance(t->diag, s->with, "pruner '%s' offers neither keep() nor score() with amount()",
		            s->with->component->c.name);
		return false;
	}
	s->k = counter(t, trainer_text(t, "prune.%s", s->name), REIN_I32_T, 1, &n, STATE_DATA);
	if (!vt->keep) {
		s->rest = build(t, prune_program(t, s, true));
		if (!s->rest || !amount_possible(t, s))
			return false;
	}
	s->program = build(t, prune_program(t, s, false));
	return s->program != NULL;
}

/* --- running ----------------------------------------------------------------------------------- */
static bool prune_amounts(struct trainer *t, struct stage *s)
{
	int n = s->n_pruned;
	int32_t *left = zalloc((size_t)n, sizeof *left), *k = zalloc((size_t)n, sizeof *k);
	bool good = compiled_run(s->rest, 1) >= 0 && compiled_output(s->rest, 0, left, n * (int64_t)sizeof *left) >= 0;

	good = good && amounts(t, s, left, k) && store_set(t->store, s->k, k) >= 0;
	free(left);
	free(k);
	return good;
}

/* The cut, and whether every weight has something left. */
static bool prune_cut(struct trainer *t, struct stage *s)
{
	int n = s->n_pruned;
	int32_t *kept = zalloc((size_t)n, sizeof *kept), *size = zalloc((size_t)n, sizeof *size);
	bool good =
		compiled_run(s->program, 1) >= 0 && compiled_output(s->program, 0, kept, n * (int64_t)sizeof *kept) >= 0;

	for (int i = 0; i < n; i++)
		size[i] = (int32_t)s->pruned[i]->count;
	good = good && something_kept(t, s, size, kept);
	free(kept);
	free(size);
	return good;
}

static void prune_metrics(struct trainer *t, struct metrics *out)
{
	struct network *net = t->net[0];
	int64_t total = 0, nonzero = 0;
	char name[128];

	for (int i = 0; i < net->n_param; i++) {
		const struct state *w = net->param[i];
		float *host = zalloc((size_t)w->count, sizeof *host);
		int64_t n = 0;
		if (store_get(t->store, w, host) >= 0)
			for (int64_t k = 0; k < w->count; k++)
				n += host[k] != 0;
		free(host);
		snprintf(name, sizeof name, "nonzero.%s", w->name);
		metrics_set(out, name, (double)n);
		total += w->count;
		nonzero += n;
	}
	metrics_set(out, "nonzero", (double)nonzero);
	metrics_set(out, "sparsity", total ? 1 - (double)nonzero / (double)total : 0);
}

bool prune_run(struct trainer *t, struct stage *s, struct metrics *out)
{
	if (s->rest && !prune_amounts(t, s))
		return false;
	if (!prune_cut(t, s))
		return false;
	prune_metrics(t, out);
	t->stage_done = true;
	return true;
}
