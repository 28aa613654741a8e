/* SPDX-License-Identifier: MIT
 *
 * step.c: one training step as a program. The order is fixed: batch and augmentations, `inputs`,
 * `target`, forward, loss with `weight`, `term`, `penalty`; gradients; `gradient` per tensor;
 * `gradients` over all; optimizer; `after_step`; masks on the weight and on the optimizer's
 * states; assigns; `after`; counters.
 *
 * Once the objective is not finite a flag on the device holds every state where it is, the
 * counter of steps included: later steps of the epoch change nothing, the host finds the flag
 * when it reads the metrics, and the very same batch can be looked at again.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "rein/math.h"
#include "train.h"

static rein_val join(struct pass *p, rein_val a, rein_val b)
{
	if (REIN_IS_NONE(b))
		return a;
	return REIN_IS_NONE(a) ? b : rein_add(p->r, a, b);
}

/* What a slot adds to the objective, in the regularizer's own words where it cannot be added. */
static rein_val addend(struct pass *p, rein_val v, const char *slot)
{
	char why[120];

	if (rein_rank(p->r, v) <= 0 && (rein_rank(p->r, v) < 0 || rein_dtype(p->r, v) == REIN_REAL_T))
		return v;
	snprintf(why, sizeof why, "slot '%s' must give one real number; rein_sum() and rein_cast() make one", slot);
	rein_refuse(p->r, why);
	return REIN_NONE;
}

static const struct rein_regularizer_vt *reg_vt(const struct pass *p, int i)
{
	return &p->t->regularizer[i]->component->vt.regularizer;
}

static bool reg_on(const struct pass *p, int i, const char *name)
{
	return pattern_match(p->t->regularizer[i]->common.on, name);
}

/* --- the objective ------------------------------------------------------------------------ */
/* rows (N) -> sum(weight rows) / sum(weight), 0 when no row has weight */
static rein_val weighted_mean(struct pass *p, rein_val rows)
{
	struct rein_rec *r = p->r;
	rein_val zero = rein_scalar(r, 0), one = rein_scalar(r, 1);

	if (REIN_IS_NONE(p->weight))
		return rein_mean(r, rows);
	rein_val total = rein_sum(r, p->weight), none = rein_eq(r, total, zero);
	rein_val mean = rein_div(r, rein_sum(r, rein_mul(r, p->weight, rows)), rein_where(r, none, one, total));
	return rein_where(r, none, zero, mean);
}

static void sample_weights(struct pass *p)
{
	for (int i = 0; i < p->t->n_regularizer; i++) {
		if (!reg_vt(p, i)->weight)
			continue;
		pass_enter(p, p->t->regularizer[i], NULL);
		rein_val w = reg_vt(p, i)->weight(p->t->regularizer[i]->self, p->r, p->now);
		pass_leave(p);
		if (!REIN_IS_NONE(w))
			p->weight = REIN_IS_NONE(p->weight) ? w : rein_mul(p->r, p->weight, w);
	}
}

/* Term, activations and penalties of one regularizer. */
static rein_val added_by(struct pass *p, int i)
{
	const struct instance *reg = p->t->regularizer[i];
	rein_val sum = p->activation[i];

	if (reg_vt(p, i)->term) {
		pass_enter(p, reg, NULL);
		sum = join(p, sum, addend(p, reg_vt(p, i)->term(reg->self, p->r, p->now), "term"));
		pass_leave(p);
	}
	for (uint32_t k = 0; reg_vt(p, i)->penalty && k < p->step.n_tensor; k++) {
		struct rein_tensor tensor = p->tensor[k];
		if (!reg_on(p, i, tensor.name))
			continue;
		tensor.w = recorder_seen(p->rec, tensor.w);
		pass_enter(p, reg, tensor.name);
		sum = join(p, sum, addend(p, reg_vt(p, i)->penalty(reg->self, p->r, p->now, &tensor), "penalty"));
		pass_leave(p);
	}
	return sum;
}

rein_val loss_rows(struct pass *p, rein_val logits, rein_val target)
{
	const struct instance *loss = p->t->loss;

	pass_enter(p, loss, NULL);
	rein_val rows = loss->component->vt.loss.record(loss->self, p->r, logits, target);
	if (rein_rank(p->r, rows) > 1 ||
	    (rein_rank(p->r, rows) == 1 && rein_dim(p->r, rows, 0) != rein_dim(p->r, logits, 0)))
		rein_refuse(p->r, "a loss gives one value per sample");
	pass_leave(p);
	return rows;
}

rein_val step_objective(struct pass *p, struct rein_step *t, uint32_t flags)
{
	const struct rein_step *outer = p->now;
	struct network *net = (struct network *)t->model->impl;
	uint32_t call = p->call_now;
	bool again = outer != t;

	p->now = t;
	p->call_now = flags & REIN_SAME_RANDOM ? 1 : ++p->call;
	recorder_call(p->rec, p->call_now);
	for (int i = 0; i < p->t->n_regularizer; i++)
		p->activation[i] = REIN_NONE;
	p->collect = true;
	t->logits = network_forward(p, net, t->batch->x, flags);
	p->collect = false;
	rein_val target = target_for_loss(p, t->batch->y, t->logits);
	t->rows = loss_rows(p, t->logits, target);
	if (p->diagnose)
		pass_probe(p, "the loss", p->t->loss, NULL, t->rows);
	if (!again)
		sample_weights(p);
	t->loss = weighted_mean(p, t->rows);
	rein_val sum = t->loss;
	for (int i = 0; i < p->t->n_regularizer; i++) {
		rein_val added = added_by(p, i);
		if (!again)
			p->penalty[i] = added;
		if (p->diagnose && !REIN_IS_NONE(added))
			pass_probe(p, "what it adds to the loss:", p->t->regularizer[i], NULL, added);
		sum = join(p, sum, added);
	}
	p->now = outer;
	p->call_now = call;
	recorder_call(p->rec, call);
	return sum;
}

/* --- slots around it ------------------------------------------------------------------------ */
static void slots_before(struct pass *p)
{
	for (int i = 0; i < p->t->n_regularizer; i++) {
		const struct instance *reg = p->t->regularizer[i];
		if (!reg_vt(p, i)->inputs)
			continue;
		pass_enter(p, reg, NULL);
		reg_vt(p, i)->inputs(reg->self, p->r, &p->step, &p->batch);
		pass_leave(p);
	}
	for (int i = 0; i < p->t->n_regularizer; i++) {
		const struct instance *reg = p->t->regularizer[i];
		if (!reg_vt(p, i)->target)
			continue;
		pass_enter(p, reg, NULL);
		rein_val y = reg_vt(p, i)->target(reg->self, p->r, &p->step, p->batch.y);
		pass_leave(p);
		if (!REIN_IS_NONE(y))
			p->batch.y = y;
	}
}

static void slots_gradient(struct pass *p, rein_val *g)
{
	for (uint32_t k = 0; k < p->step.n_tensor; k++)
		for (int i = 0; i < p->t->n_regularizer; i++) {
			const struct instance *reg = p->t->regularizer[i];
			if (!reg_vt(p, i)->gradient || !reg_on(p, i, p->tensor[k].name))
				continue;
			p->tensor[k].g = g[k];
			pass_enter(p, reg, p->tensor[k].name);
			rein_val v = reg_vt(p, i)->gradient(reg->self, p->r, &p->step, &p->tensor[k]);
			pass_leave(p);
			if (!REIN_IS_NONE(v))
				g[k] = v;
		}
	for (int i = 0; i < p->t->n_regularizer; i++) {
		const struct instance *reg = p->t->regularizer[i];
		if (!reg_vt(p, i)->gradients)
			continue;
		for (uint32_t k = 0; k < p->step.n_tensor; k++)
			p->tensor[k].g = g[k];
		pass_enter(p, reg, NULL);
		reg_vt(p, i)->gradients(reg->self, p->r, &p->step, p->step.n_tensor, g);
		pass_leave(p);
	}
	for (uint32_t k = 0; k < p->step.n_tensor; k++)
		p->tensor[k].g = g[k];
}

/* Masked entries of the optimizer's states for this tensor stay zero, so that momentum
 * cannot revive a weight. */
void mask_slots(struct pass *p, const struct instance *opt, const struct state *w, rein_val mask)
{
	char prefix[256];
	int len = snprintf(prefix, sizeof prefix, "%s.%s.", opt->name, w->name);

	for (int i = 0; i < p->t->store->n; i++) {
		struct state *s = p->t->store->state[i];
		if (s->role != STATE_SLOT || s->dtype != REIN_REAL_T || s->rank != w->rank ||
		    strncmp(s->name, prefix, (size_t)len) != 0 || memcmp(s->dim, w->dim, w->rank * sizeof *w->dim) != 0)
			continue;
		rein_val v = rein_where(p->r, mask, recorder_read(p->rec, s), rein_scalar(p->r, 0));
		recorder_assign(p->rec, s, v, REIN_NONE);
	}
}

static void update_tensor(struct pass *p, uint32_t k, const rein_val *lr)
{
	struct rein_tensor tensor = p->tensor[k];
	struct state *w = p->net->param[k];
	int group = optimizer_of(p->t, tensor.name);

	if (group < 0)
		return; /* told when everything is set up */
	const struct instance *opt = p->t->optimizer[group];
	p->step.lr = lr[group];
	pass_enter(p, opt, tensor.name);
	rein_val v = opt->component->vt.optimizer.update(opt->self, p->r, &p->step, &tensor);
	pass_leave(p);
	for (int i = 0; i < p->t->n_regularizer; i++) {
		const struct instance *reg = p->t->regularizer[i];
		if (!reg_vt(p, i)->after_step || !reg_on(p, i, tensor.name))
			continue;
		tensor.w = v;
		pass_enter(p, reg, tensor.name);
		rein_val changed = reg_vt(p, i)->after_step(reg->self, p->r, &p->step, &tensor);
		pass_leave(p);
		if (!REIN_IS_NONE(changed))
			v = changed;
	}
	if (!REIN_IS_NONE(tensor.mask)) {
		v = rein_where(p->r, tensor.mask, v, rein_scalar(p->r, 0));
		mask_slots(p, opt, w, tensor.mask);
	}
	recorder_assign(p->rec, w, v, REIN_NONE);
	tensor.w = v;
	for (int i = 0; i < p->t->n_regularizer; i++) {
		const struct instance *reg = p->t->regularizer[i];
		if (!reg_vt(p, i)->after || !reg_on(p, i, tensor.name))
			continue;
		pass_enter(p, reg, tensor.name);
		reg_vt(p, i)->after(reg->self, p->r, &p->step, &tensor);
		pass_leave(p);
	}
}

/* --- metrics of a step ------------------------------------------------------------------------ */
static void step_metrics(struct pass *p)
{
	char name[96];
	bool added = false;

	meter_record(p, "train.loss", p->step.rows, REIN_MEAN);
	rein_val correct = correct_of(p, p->step.logits, p->batch.y);
	if (!REIN_IS_NONE(correct))
		meter_record(p, "train.accuracy", correct, REIN_MEAN);
	for (int i = 0; i < p->t->n_regularizer; i++) {
		if (REIN_IS_NONE(p->penalty[i]))
			continue;
		snprintf(name, sizeof name, "%s.penalty", p->t->regularizer[i]->name);
		meter_record(p, name, p->penalty[i], REIN_MEAN);
		added = true;
	}
	if (added)
		meter_record(p, "train.objective", p->objective, REIN_MEAN);
}

/* Squares of the norms; the host takes roots. */
static void gradient_metrics(struct pass *p, const rein_val *g)
{
	uint32_t n = p->step.n_tensor;
	rein_val *square = rein_vals(p->r, n + 1), total = REIN_NONE;
	char name[96];

	for (uint32_t k = 0; square && k < n; k++) {
		square[k] = rein_sum_over(p->r, rein_square(p->r, g[k]), REIN_ALL_AXES, REIN_WIDE);
		total = join(p, total, square[k]);
	}
	if (!square || !n)
		return;
	meter_record(p, "gradient_norm", total, REIN_LAST);
	for (uint32_t k = 0; k < n; k++) {
		snprintf(name, sizeof name, "gradient_norm.%s", p->tensor[k].name);
		meter_record(p, name, square[k], REIN_LAST);
	}
}

/* --- the step ------------------------------------------------------------------------------------ */
static void count_up(struct pass *p, struct state *s)
{
	rein_val v = rein_add(p->r, recorder_read(p->rec, s), rein_scalar_i(p->r, 1));
	recorder_assign(p->rec, s, v, REIN_NONE);
}

static void step_update(struct pass *p, bool norms)
{
	struct rein_rec *r = p->r;
	uint32_t n = p->step.n_tensor;
	rein_val *w = rein_vals(r, n + 1), *g = rein_vals(r, n + 1);
	rein_val *lr = rein_vals(r, (uint32_t)p->t->n_optimizer + 1);

	if (!w || !g || !lr)
		return;
	for (int i = 0; i < p->t->n_optimizer; i++) {
		const struct instance *opt = p->t->optimizer[i];
		const struct rein_optimizer_vt *vt = &opt->component->vt.optimizer;
		lr[i] = vt->lr ? scalar_knob(p, opt, "lr", vt->lr(opt->self)) : REIN_NONE;
	}
	p->step.lr = lr[0];
	for (uint32_t k = 0; k < n; k++)
		w[k] = p->tensor[k].w;
	rein_grads(r, p->objective, REIN_NONE, n, w, g);
	if (norms)
		gradient_metrics(p, g);
	slots_gradient(p, g);
	for (uint32_t k = 0; k < n; k++)
		update_tensor(p, k, lr);
	step_metrics(p);
	count_up(p, p->t->step);
	count_up(p, p->t->entry);
	/* from here on: everything only while the objective was finite in this and all steps before */
	rein_val bad = rein_or(r, recorder_read(p->rec, p->t->bad), rein_not(r, rein_isfinite(r, p->objective)));
	recorder_assign(p->rec, p->t->bad, bad, REIN_NONE);
	recorder_guard(p->rec, rein_not(r, bad), p->t->bad);
}

static void step_record(struct pass *p, int64_t rows, int64_t first, bool norms)
{
	struct trainer *t = p->t;
	rein_val index = pass_index(p, p->entry, rows, first);

	pass_tensors(p, p->net);
	if (p->diagnose)
		for (uint32_t k = 0; k < p->step.n_tensor; k++)
			pass_probe(p, "the parameter", p->net->param[k]->owner, p->tensor[k].name, p->tensor[k].w);
	pass_batch(p, portion_find(t, t->train->name), rein_take(p->r, recorder_read(p->rec, t->order), index, 0));
	if (p->dry && !t->looked) { /* parameters first: slots ask for them */
		pass_forward_once(p, REIN_TRAIN);
		return;
	}
	slots_before(p);
	p->objective = step_objective(p, &p->step, REIN_TRAIN);
	if (!p->diagnose)
		step_update(p, norms);
}

struct program *step_program(struct trainer *t, int64_t rows, int64_t first, bool norms, bool dry)
{
	struct pass p;

	pass_begin(&p, t, PASS_TRAIN, dry, norms ? "train, last step" : "train");
	features_look(&p, portion_find(t, t->train->name));
	step_record(&p, rows, first, norms);
	return pass_end(&p);
}

/* --- what was not finite ------------------------------------------------------------------------- */
static void diagnose_tell(struct trainer *t, const struct probe *b, int64_t entry, int32_t bad)
{
	const struct instance *who = b->who;
	char where[160] = "";

	if (who)
		snprintf(where, sizeof where, " [%s] %s", who->spec->section, who->spec->name);
	diag_error(t->diag, who ? &who->spec->at : NULL,
	           "epoch %" PRId64 ", step %" PRId64 ": the loss is not finite. It begins in %s%s%s%s: %" PRId32
	           " of %" PRId64 " values are not finite numbers. Weights are those before that step",
	           t->at_epoch + 1, entry + 1, b->what, where, b->name ? " " : "", b->name ? b->name : "", bad, b->count);
}

void step_diagnose(struct trainer *t, int64_t entry)
{
	bool last = t->rest && entry == t->steps - 1;
	int32_t bad = 0;
	struct pass p;
	int n;

	pass_begin(&p, t, PASS_TRAIN, false, "diagnose");
	p.diagnose = p.quiet = true;
	step_record(&p, last ? t->rest : t->batch, last ? t->train->n - t->rest : -1, false);
	recorder_guard(p.rec, rein_fill(p.r, REIN_BOOL_T, 0, 0, NULL), NULL);
	struct probe *probe = p.probe;
	n = p.n_probe;
	p.probe = NULL;
	struct compiled *c = build(t, pass_end(&p));
	int64_t at = last ? t->train->n - t->rest : entry * t->batch;
	if (c &&
	    stream_one(portion_find(t, t->train->name), t->order_host, at, last ? t->rest : t->batch, t->total_epoch) &&
	    compiled_run(c, 1) >= 0)
		for (int i = 0; i < n && !bad; i++)
			if (compiled_output(c, (uint32_t)i, &bad, sizeof bad) >= 0 && bad)
				diagnose_tell(t, &probe[i], entry, bad);
	if (!bad)
		diag_error(t->diag, NULL,
		           "epoch %" PRId64 ", step %" PRId64 ": the loss is not finite. Weights are those before that step",
		           t->at_epoch + 1, entry + 1);
	compiled_destroy(c);
	free(probe);
}
