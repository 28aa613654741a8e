/* SPDX-License-Identifier: MIT
 *
 * prune.c: a prune stage, and a train stage that prunes as it goes. Each parameter that the
 * pruner's on= matches has a mask, a bool state `<parameter>.mask` kept in checkpoints. A cut counts
 * what is left, works out how many entries or slices go (PyTorch's rounding: half to even, of what
 * is left), and runs one program: scores, the smallest of them, new masks, and zeros in the weights
 * and in the optimizer's states. What is gone counts as pruned already, so masks only ever shrink.
 *
 * While training, cuts come at updates first, first + every ... last of the stage, and with x from
 * 0 to 1 on the way there the share that is gone of what there was in the beginning is
 *   linear         s_i + (s_f - s_i) x
 *   cubic          s_f + (s_i - s_f) (1 - x)^3              (Zhu and Gupta 2017)
 *   inverse_cubic  s_i + (s_f - s_i) (1 - (1 - x)^(1/3))
 * s_i initial=, s_f the pruner's amount. one_shot is a single cut at `first`, repeated takes the
 * pruner's amount of what is left every time.
 *
 * A pruner that asks for gradients (REIN_NEEDS_GRADIENT) gets those of the mean loss over some
 * batches of the training split, drawn by lot and not augmented, as a training step would compute
 * them but without what regularizers add.
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

/* --- what is pruned ------------------------------------------------------------------------- */
static struct state *declare_mask(struct trainer *t, struct stage *s, struct state *w)
{
	const struct rein_init ones = { sizeof ones, REIN_INIT_CONSTANT, 1, 0, REIN_NONE, 0 };
	const char *why = "";

	w->mask = store_declare(t->store, trainer_text(t, "%s.mask", w->name), STATE_SLOT, REIN_BOOL_T, w->rank, w->dim,
	                        &ones, &why);
	if (!w->mask)
		at_instance(t->diag, s->with, "mask of '%s': %s", w->name, why);
	return w->mask;
}

/* The bias of the layer whose weight w is, if it has one entry per row of w. */
static struct state *bias_of(struct trainer *t, const struct state *w)
{
	size_t n = strlen(w->name);

	if (n < 7 || strcmp(w->name + n - 7, ".weight") != 0)
		return NULL;
	for (int i = 0; i < t->net[0]->n_param; i++) {
		struct state *b = t->net[0]->param[i];
		if (strncmp(b->name, w->name, n - 6) == 0 && strcmp(b->name + n - 6, "bias") == 0 && b->rank == 1 &&
		    b->dim[0] == w->dim[0])
			return b;
	}
	return NULL;
}

/* What the pruner says of tensor p: a score or a mask; REIN_NONE: not mine. */
static rein_val ask(struct pass *p, const struct stage *s, const struct rein_tensor *tensor)
{
	const struct rein_pruner_vt *vt = &s->with->component->vt.pruner;

	pass_enter(p, s->with, tensor->name);
	rein_val v = vt->keep ? vt->keep(s->with->self, p->r, tensor) : vt->score(s->with->self, p->r, tensor);
	if (!REIN_IS_NONE(v) && rein_rank(p->r, v) >= 0 && rein_dtype(p->r, v) != (vt->keep ? REIN_BOOL_T : REIN_REAL_T))
		rein_refuse(p->r, vt->keep ? "keep() gave numbers; it gives bool, true where an entry stays"
		                           : "score() gave bool or whole numbers; it gives real numbers");
	pass_leave(p);
	return v;
}

/* Of the parameters that on= matches those that the pruner does not leave alone. Recorded for
 * nothing but the answers. */
static bool choose(struct trainer *t, struct stage *s)
{
	struct network *net = t->net[0];
	struct pass p;
	int n = 0, errors = diag_errors(t->diag);

	pass_begin(&p, t, PASS_EVENT, true, "prune: what");
	pass_tensors(&p, net);
	recorder_draw_keys(p.rec, REIN_NONE, p.step.step, p.step.epoch);
	for (int i = 0; i < net->n_param; i++) {
		struct rein_tensor tensor = p.tensor[i];
		if (!pattern_match(s->with->common.on, tensor.name))
			continue;
		tensor.g = tensor.w;
		tensor.mask = rein_fill(p.r, REIN_BOOL_T, 1, net->param[i]->rank, net->param[i]->dim);
		if (!REIN_IS_NONE(ask(&p, s, &tensor)))
			s->pruned[n++] = net->param[i];
	}
	s->n_pruned = n;
	pass_end(&p);
	return diag_errors(t->diag) == errors;
}

bool prune_masks(struct trainer *t, struct stage *s)
{
	const struct rein_pruner_vt *vt = &s->with->component->vt.pruner;
	struct network *net = t->net[0];
	const char *known[64] = { NULL };
	char all[512];

	s->pruned = zalloc((size_t)net->n_param + 1, sizeof *s->pruned);
	s->follow = zalloc((size_t)net->n_param + 1, sizeof *s->follow);
	s->units = zalloc((size_t)net->n_param + 1, sizeof *s->units);
	s->slope = zalloc((size_t)net->n_param + 1, sizeof *s->slope);
	if (!choose(t, s))
		return false;
	if (s->n_pruned == 0) {
		for (int i = 0; i < net->n_param && i < 63; i++)
			known[i] = net->param[i]->name;
		diag_list(all, sizeof all, known);
		at_key(t->diag, s->with, "on", "on=%s: nothing there that '%s' prunes; there are: %s", s->with->common.on,
		       s->with->component->c.name, all);
		return false;
	}
	for (int i = 0; i < s->n_pruned; i++) {
		s->follow[i] = vt->flags & REIN_PRUNE_BIAS ? bias_of(t, s->pruned[i]) : NULL;
		for (int k = 0; k < s->n_pruned; k++)
			if (s->pruned[k] == s->follow[i])
				s->follow[i] = NULL;
		if (!declare_mask(t, s, s->pruned[i]) || (s->follow[i] && !declare_mask(t, s, s->follow[i])))
			return false;
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
	rein_val *odd;   /* (1): scores that are not numbers, of units that are left */
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
	struct rein_rec *r = c->p->r;
	uint32_t axes = 0;
	rein_val v = ask(c->p, c->s, tensor);

	pass_enter(c->p, c->s->with, tensor->name);
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
	const int64_t one[1] = { 1 };
	struct rein_rec *r = c->p->r;
	rein_val none = rein_scalar(r, -(double)INFINITY);
	rein_val v = rein_where(r, c->left[i], c->score[i], none);

	c->odd[i] = rein_reshape(r, rein_sum(r, rein_not(r, rein_eq(r, v, v))), 1, one);
	return rein_reshape(r, v, 1, &c->s->units[i]);
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

/* Zeros in w and its optimizer states where the new mask says so. */
static void cut_apply(struct pass *p, struct state *w, rein_val mask)
{
	int group = optimizer_of(p->t, w->name);

	recorder_assign(p->rec, w->mask, mask, REIN_NONE);
	recorder_assign(p->rec, w, rein_where(p->r, mask, recorder_read(p->rec, w), rein_scalar(p->r, 0)), REIN_NONE);
	if (group >= 0)
		mask_slots(p, p->t->optimizer[group], w, mask);
}

/* mask: of tensor i, with its bias where that goes too: (O,..) -> (O) */
static void cut_assign(struct cut *c, int i, rein_val mask)
{
	const int64_t one[1] = { 1 };
	struct rein_rec *r = c->p->r;
	struct state *bias = c->s->follow[i];

	c->count[i] = rein_reshape(r, rein_sum(r, mask), 1, one);
	cut_apply(c->p, c->s->pruned[i], mask);
	if (!bias)
		return;
	uint32_t others = ((1u << c->s->pruned[i]->rank) - 1) & ~REIN_AXIS(0);
	rein_val row = others ? rein_amax(r, mask, others, 0) : mask;
	cut_apply(c->p, bias, rein_and(r, recorder_read(c->p->rec, bias->mask), row));
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
	int n = s->n_pruned;
	rein_val *v = rein_vals(p.r, 5 * (uint32_t)n);
	struct cut c = { &p, s, v, v + n, v + 2 * n, v + 3 * n, v + 4 * n };
	for (int i = 0; i < s->n_pruned; i++) {
		struct state *w = s->pruned[i];
		c.mask[i] = recorder_read(p.rec, w->mask);
		rein_val g = s->slope[i] ? recorder_read(p.rec, s->slope[i]) : REIN_NONE;
		struct rein_tensor tensor = { sizeof tensor, 0, w->name, recorder_read(p.rec, w), g, c.mask[i] };
		if (vt->keep)
			cut_assign(&c, i, rein_and(p.r, c.mask[i], ask(&p, s, &tensor)));
		else
			cut_score(&c, i, &tensor);
	}
	if (!vt->keep && count)
		cut_count(&c);
	else if (!vt->keep)
		cut_by_score(&c);
	if (!count) /* count and odd lie one behind the other */
		recorder_output(p.rec, rein_concat(p.r, (uint32_t)(vt->keep ? n : 2 * n), c.count, 0));
	return pass_end(&p);
}

/* --- gradients ------------------------------------------------------------------------------- */
/* One batch more: slope = slope + g / batches, from 0 with the first. */
static void add_slopes(struct pass *p, const struct stage *s, rein_val loss, rein_val batch)
{
	struct rein_rec *r = p->r;
	uint32_t n = p->step.n_tensor, m = 0;
	rein_val *w = rein_vals(r, n + 1), *g = rein_vals(r, n + 1);
	rein_val fresh = rein_eq(r, batch, rein_scalar_i(r, 0));

	for (int i = 0; w && g && i < s->n_pruned; i++)
		for (uint32_t k = 0; k < n; k++)
			if (p->net->param[k] == s->pruned[i])
				w[m++] = p->tensor[k].w;
	if (m != (uint32_t)s->n_pruned)
		return;
	rein_grads(r, loss, REIN_NONE, m, w, g);
	for (uint32_t i = 0; i < m; i++) {
		rein_val old = rein_where(r, fresh, rein_scalar(r, 0), recorder_read(p->rec, s->slope[i]));
		rein_val sum = rein_add(r, old, rein_scale(r, g[i], 1 / (double)s->batches));
		recorder_assign(p->rec, s->slope[i], sum, REIN_NONE);
	}
}

static struct program *gradient_program(struct trainer *t, struct stage *s)
{
	struct pass p;

	pass_begin(&p, t, PASS_EVENT, false, "prune: gradient");
	p.quiet = true;
	pass_tensors(&p, p.net);
	rein_val batch = recorder_read(p.rec, t->eval_entry), index = pass_index(&p, batch, t->batch, -1);
	pass_batch(&p, portion_find(t, t->train->name), rein_take(p.r, recorder_read(p.rec, s->picked), index, 0));
	rein_val z = pass_forward_once(&p, REIN_TRAIN | REIN_KEEP_STATE);
	rein_val rows = loss_rows(&p, z, target_for_loss(&p, p.batch.y, z));
	add_slopes(&p, s, rein_mean(p.r, rows), batch);
	recorder_assign(p.rec, t->eval_entry, rein_add(p.r, batch, rein_scalar_i(p.r, 1)), REIN_NONE);
	return pass_end(&p);
}

static bool gradient_prepare(struct trainer *t, struct stage *s)
{
	int64_t whole = t->train->n / t->batch, n;

	s->batches = s->batches < whole ? s->batches : whole;
	n = s->batches * t->batch;
	s->picked = counter(t, trainer_text(t, "prune.%s.samples", s->name), REIN_I32_T, 1, &n, STATE_DATA);
	for (int i = 0; i < s->n_pruned; i++) {
		const struct state *w = s->pruned[i];
		s->slope[i] = counter(t, trainer_text(t, "prune.%s.gradient.%s", s->name, w->name), REIN_REAL_T, w->rank,
		                      w->dim, STATE_DATA);
		if (!s->slope[i])
			return false;
	}
	s->gradient = s->picked ? build(t, gradient_program(t, s)) : NULL;
	return s->gradient;
}

/* Batches by lot, others for every cut. */
static bool gradient_run(struct trainer *t, const struct stage *s)
{
	int32_t *order = zalloc((size_t)t->train->n, sizeof *order);
	char stream[96];

	snprintf(stream, sizeof stream, "prune.%s", s->name);
	rng_permutation(rng_key(t->store->seed, stream), (uint64_t)t->total_step, t->train->n, order);
	bool good = store_set(t->store, s->picked, order) >= 0 && set_i32(t, t->eval_entry, 0);
	const struct tour tour = { order, s->batches * t->batch, t->batch, -1, NULL };
	for (int64_t i = 0; good && i < s->batches; i++)
		good = stream_need(portion_find(t, t->train->name), &tour, i) > 0 && compiled_run(s->gradient, 1) >= 0;
	free(order);
	return good;
}

/* --- how many ---------------------------------------------------------------------------------- */
static bool grows(const struct stage *s)
{
	return stage_trains(s) && s->when.kind != PRUNE_ONE_SHOT && s->when.kind != PRUNE_REPEATED;
}

/* Share that is gone at x of the way from first to last; s_f: at the end. */
static double share_at(const struct timetable *w, double s_f, double x)
{
	double s_i = w->initial < s_f ? w->initial : s_f;

	if (w->kind == PRUNE_CUBIC)
		return s_f + (s_i - s_f) * (1 - x) * (1 - x) * (1 - x);
	if (w->kind == PRUNE_INVERSE_CUBIC)
		return s_i + (s_f - s_i) * (1 - cbrt(1 - x));
	return s_i + (s_f - s_i) * x;
}

/* How many of `total` units shall be gone after this, when `left` are left. */
static int32_t to_cut(const struct stage *s, double x, int64_t total, int64_t left)
{
	double amount = s->with->component->vt.pruner.amount(s->with->self), gone = (double)(total - left);

	if (grows(s)) {
		double share = share_at(&s->when, amount < 1 ? amount : amount / (double)total, x);
		double all = rint(share * (double)total);
		return (int32_t)(all > (double)total ? (double)total : all > gone ? all : gone);
	}
	double cut = amount < 1 ? rint(amount * (double)left) : amount;
	return (int32_t)gone + (int32_t)(cut > (double)left ? (double)left : cut);
}

/* k: how many units of each tensor shall be gone, or k[0] of all together. */
static bool amounts(struct trainer *t, const struct stage *s, double x, const int32_t *left, int32_t *k)
{
	const struct rein_pruner_vt *vt = &s->with->component->vt.pruner;
	int32_t *kept = zalloc((size_t)s->n_pruned, sizeof *kept);
	int64_t total = 0, rest = 0;

	for (int i = 0; i < s->n_pruned; i++) {
		total += s->units[i];
		rest += left[i];
		k[i] = to_cut(s, x, s->units[i], left[i]);
		kept[i] = (int32_t)s->units[i] - k[i];
	}
	if (vt->global && vt->global(s->with->self)) {
		k[0] = to_cut(s, x, total, rest);
		for (int i = 0; i < s->n_pruned; i++) /* which tensor loses what is seen later */
			kept[i] = (int32_t)(total - k[0]);
	}
	bool good = something_kept(t, s, left, kept);
	free(kept);
	return good;
}

/* Units that so many cuts of a stage leave of `left` out of `total`; cuts that would take the last
 * one are not made: something_kept() tells of the first of them. */
static int64_t left_after(const struct stage *by, int64_t cuts, int64_t total, int64_t left)
{
	for (; cuts > 0; cuts--) {
		int64_t next = total - to_cut(by, 1, total, left);
		if (next <= 0)
			break;
		left = next;
	}
	return left;
}

/* Cuts of which each takes the amount of what is left. */
static int64_t cuts_of(const struct stage *s)
{
	const struct timetable *w = &s->when;
	bool repeated = stage_trains(s) && w->kind == PRUNE_REPEATED;
	return repeated ? (w->last - w->first + w->every - 1) / w->every + 1 : 1;
}

/* initial= beyond what the stage comes to would prune less and less. Of several tensors the one with
 * the largest share counts: where amount= is a number of units, smaller tensors lose more of theirs. */
static bool initial_possible(struct trainer *t, const struct stage *s, double amount)
{
	const struct rein_pruner_vt *vt = &s->with->component->vt.pruner;
	bool together = vt->global && vt->global(s->with->self);
	int64_t total = 0, least = INT64_MAX;

	for (int i = 0; i < s->n_pruned; i++) {
		total += s->units[i];
		least = s->units[i] < least ? s->units[i] : least;
	}
	double last = amount < 1 ? amount : amount / (double)(together ? total : least);
	if (!grows(s) || s->when.initial <= last)
		return true;
	diag_error(t->diag, &s->spec->at,
	           "[stages] %s: initial=%g is more than the share that '%s' ends with, %g; what is pruned only grows",
	           s->name, s->when.initial, s->with->spec->name, last);
	return false;
}

/* The amounts by themselves, of this stage and those before it with the same pruner: what is
 * certain to be left when it begins, and whether it leaves anything. */
static bool amount_possible(struct trainer *t, struct stage *s)
{
	const struct rein_pruner_vt *vt = &s->with->component->vt.pruner;
	double amount = vt->amount(s->with->self);
	bool each = !vt->global || !vt->global(s->with->self);
	int32_t *left, *k;

	if (!(amount >= 0) || (amount >= 1 && amount != floor(amount))) {
		at_instance(t->diag, s->with, "an amount of %g is neither a share below 1 nor a whole number", amount);
		return false;
	}
	if (!initial_possible(t, s, amount))
		return false;
	left = zalloc((size_t)s->n_pruned, sizeof *left);
	k = zalloc((size_t)s->n_pruned, sizeof *k);
	for (int i = 0; i < s->n_pruned; i++) {
		left[i] = (int32_t)s->units[i];
		for (const struct stage *by = t->stage; each && by <= s; by++)
			if (by->with == s->with)
				left[i] = (int32_t)left_after(by, cuts_of(by) - (by == s), s->units[i], left[i]);
	}
	bool good = amounts(t, s, 1, left, k);
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
	if ((vt->flags & REIN_NEEDS_GRADIENT) && !gradient_prepare(t, s))
		return false;
	s->k = counter(t, trainer_text(t, "prune.%s", s->name), REIN_I32_T, 1, &n, STATE_DATA);
	if (!vt->keep) {
		s->rest = build(t, prune_program(t, s, true));
		if (!s->rest || (!t->smaller && !amount_possible(t, s)))
			return false;
	}
	s->program = build(t, prune_program(t, s, false));
	return s->program != NULL;
}

/* --- running ----------------------------------------------------------------------------------- */
static bool prune_amounts(struct trainer *t, const struct stage *s, double x)
{
	int n = s->n_pruned;
	int32_t *left = zalloc((size_t)n, sizeof *left), *k = zalloc((size_t)n, sizeof *k);
	bool good = compiled_run(s->rest, 1) >= 0 && compiled_output(s->rest, 0, left, n * (int64_t)sizeof *left) >= 0;

	good = good && amounts(t, s, x, left, k) && store_set(t->store, s->k, k) >= 0;
	free(left);
	free(k);
	return good;
}

/* odd: per tensor, how many scores of units that are left compare with nothing. */
static bool scores_are_numbers(struct trainer *t, const struct stage *s, const int32_t *odd)
{
	for (int i = 0; i < s->n_pruned; i++)
		if (odd[i] > 0) {
			at_instance(t->diag, s->with,
			            "stage '%s': %" PRId32 " of the %" PRId64 " scores of '%s' are not numbers (NaN): there is no "
			            "telling which are smallest",
			            s->name, odd[i], s->units[i], s->pruned[i]->name);
			return false;
		}
	return true;
}

/* The cut, and whether every weight has something left. */
static bool prune_cut(struct trainer *t, const struct stage *s)
{
	int n = s->n_pruned, outputs = s->with->component->vt.pruner.keep ? n : 2 * n;
	int32_t *kept = zalloc(2 * (size_t)n, sizeof *kept), *size = zalloc((size_t)n, sizeof *size);
	bool good =
		compiled_run(s->program, 1) >= 0 && compiled_output(s->program, 0, kept, outputs * (int64_t)sizeof *kept) >= 0;

	for (int i = 0; i < n; i++)
		size[i] = (int32_t)s->pruned[i]->count;
	good = good && scores_are_numbers(t, s, kept + n);
	good = good && something_kept(t, s, size, kept);
	free(kept);
	free(size);
	return good;
}

void prune_metrics(struct trainer *t, struct metrics *out)
{
	struct network *net = t->net[0];
	int64_t total = 0, nonzero = 0;
	char name[128];

	metrics_set(out, "sparsity", 0); /* the totals come first */
	metrics_set(out, "nonzero", 0);
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
	metrics_set(out, "sparsity", total ? 1 - (double)nonzero / (double)total : 0);
	metrics_set(out, "nonzero", (double)nonzero);
}

/* x: how far a schedule has come. */
static bool prune_now(struct trainer *t, const struct stage *s, double x)
{
	return (!s->gradient || gradient_run(t, s)) && (!s->rest || prune_amounts(t, s, x)) && prune_cut(t, s);
}

bool prune_run(struct trainer *t, struct stage *s, struct metrics *out)
{
	if (!prune_now(t, s, 1))
		return false;
	prune_metrics(t, out);
	t->stage_done = true;
	return true;
}

/* --- while training -------------------------------------------------------------------------------- */
static bool is_due(const struct timetable *w, int64_t step)
{
	return step >= w->first && step <= w->last && ((step - w->first) % w->every == 0 || step == w->last);
}

int64_t prune_next(const struct stage *s, int64_t step)
{
	const struct timetable *w = &s->when;

	if (!s->with || step >= w->last)
		return INT64_MAX;
	if (step < w->first)
		return w->first;
	int64_t next = w->first + ((step - w->first) / w->every + 1) * w->every;
	return next < w->last ? next : w->last;
}

/* What is best is sought anew after a cut: an earlier copy has weights that are gone, and it would
 * stop training before the last cut has been trained on. */
static void forget_best(struct trainer *t)
{
	copies_finish(&t->best);
	for (int i = 0; i < t->n_regularizer; i++) {
		const struct instance *in = t->regularizer[i];
		if (in->mem && in->component->vt.regularizer.epoch_end)
			memset(in->mem, 0, in->component->c.mem_size);
	}
}

bool prune_due(struct trainer *t, const struct stage *s, int64_t step)
{
	const struct timetable *w = &s->when;

	if (!s->with || !is_due(w, step))
		return true;
	if (!prune_now(t, s, w->last > w->first ? (double)(step - w->first) / (double)(w->last - w->first) : 1))
		return false;
	forget_best(t);
	return true;
}

/* --- for reports ------------------------------------------------------------------------------------ */
static bool prunes(const struct stage *s, const struct state *w)
{
	for (int i = 0; i < s->n_pruned; i++)
		if (s->pruned[i] == w || s->follow[i] == w)
			return true;
	return false;
}

char *trainer_rule(struct trainer *t, int param)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	const struct instance *before[64];
	int n = 0;

	for (int i = 0; out && i < t->n_stage; i++) {
		const struct instance *with = t->stage[i].with;
		bool said = !prunes(&t->stage[i], t->net[0]->param[param]);
		for (int k = 0; k < n; k++)
			said = said || before[k] == with;
		if (said || n == 64)
			continue;
		before[n++] = with;
		fprintf(out, "%s%s", n > 1 ? "; " : "", with->spec->component);
		for (int k = 0; k < with->spec->n_arg; k++)
			if (strcmp(with->spec->arg[k].key, "on") != 0)
				fprintf(out, " %s=%s", with->spec->arg[k].key, with->spec->arg[k].value);
	}
	if (out)
		fclose(out);
	return must(text);
}
