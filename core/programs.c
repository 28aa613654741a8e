/* SPDX-License-Identifier: MIT
 *
 * programs.c: the programs beside the training step: evaluation of a split, the pass that
 * refreshes batch statistics, events at the borders of epochs and stages, and the first look
 * at everything.
 *
 * Evaluation sees parameters through the regularizers' `view` slots (EMA, SWA) where there
 * are any; a masked weight stays zero there too.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "rein/math.h"
#include "train.h"

struct portion *portion_find(struct trainer *t, const char *split)
{
	for (int i = 0; i < t->n_portion; i++)
		if (strcmp(t->portion[i].split->name, split) == 0)
			return &t->portion[i];
	return NULL;
}

/* --- targets -------------------------------------------------------------------------------- */
static rein_val one_hot_real(struct pass *p, rein_val y, int64_t classes)
{
	return rein_cast(p->r, rein_one_hot(p->r, y, classes), REIN_REAL_T);
}

static void target_refused(struct pass *p, uint32_t accept, int64_t columns, int64_t outputs)
{
	const char *from =
		p->t->train->info.target == REIN_TARGET_REAL ? "the data has" : "an augmentation or regularizer makes";
	char why[200];

	snprintf(why, sizeof why,
	         "this loss takes class numbers%s; %s targets of %" PRId64 " real numbers, for %" PRId64 " outputs",
	         accept & REIN_ACCEPT_SOFT ? " or a distribution over the outputs" : "", from, columns, outputs);
	pass_enter(p, p->t->loss, NULL);
	rein_refuse(p->r, why);
	pass_leave(p);
}

/* y as the loss takes it: class numbers where it can, else distributions, else a number per
 * output (one output and two classes: 0 or 1). */
rein_val target_for_loss(struct pass *p, rein_val y, rein_val logits)
{
	uint32_t accept = p->t->loss->component->vt.loss.accept;
	int32_t rank = rein_rank(p->r, y);
	int64_t outputs = rein_rank(p->r, logits) == 2 ? rein_dim(p->r, logits, 1) : 0;
	int64_t column[2] = { rein_dim(p->r, y, 0), 1 };

	if (rein_dtype(p->r, y) == REIN_I32_T) {
		if (accept & REIN_ACCEPT_CLASS)
			return y;
		if (outputs == 1)
			return rein_cast(p->r, rein_reshape(p->r, y, 2, column), REIN_REAL_T);
		return outputs > 0 ? one_hot_real(p, y, outputs) : y;
	}
	if (!(accept & REIN_ACCEPT_REAL) &&
	    (!(accept & REIN_ACCEPT_SOFT) || rank != 2 || outputs < 2 || rein_dim(p->r, y, 1) != outputs))
		target_refused(p, accept, rank == 2 ? rein_dim(p->r, y, 1) : 1, outputs);
	return y;
}

rein_val guess_of(struct pass *p, rein_val logits)
{
	struct rein_rec *r = p->r;
	int64_t flat[1] = { rein_dim(r, logits, 0) };

	if (rein_dim(r, logits, 1) != 1)
		return rein_argmax(r, logits);
	return rein_cast(r, rein_lt(r, rein_scalar(r, 0), rein_reshape(r, logits, 1, flat)), REIN_I32_T);
}

/* 1 where the prediction is right; y class numbers, or distributions whose largest counts. */
rein_val correct_of(struct pass *p, rein_val logits, rein_val y)
{
	struct rein_rec *r = p->r;
	int64_t flat[1] = { rein_dim(r, logits, 0) };

	if (p->t->train->info.target != REIN_TARGET_CLASS || rein_rank(r, logits) != 2)
		return REIN_NONE;
	if (rein_dtype(r, y) == REIN_REAL_T) {
		if (rein_rank(r, y) != 2 || rein_dim(r, y, 1) != rein_dim(r, logits, 1))
			return REIN_NONE;
		y = rein_argmax(r, y);
	}
	if (rein_dim(r, y, 0) != flat[0])
		return REIN_NONE;
	return rein_cast(r, rein_eq(r, guess_of(p, logits), y), REIN_I32_T);
}

/* --- views and masks --------------------------------------------------------------------------- */
void pass_view(struct pass *p)
{
	uint32_t n = p->step.n_tensor, m = 0;
	rein_val *w = rein_vals(p->r, n + 1), *as = rein_vals(p->r, n + 1);

	for (uint32_t k = 0; w && as && k < n; k++) {
		struct rein_tensor tensor = p->tensor[k];
		bool seen = false;
		for (int i = 0; i < p->t->n_regularizer; i++) {
			const struct instance *reg = p->t->regularizer[i];
			const struct rein_regularizer_vt *vt = &reg->component->vt.regularizer;
			if (!vt->view || !pattern_match(reg->common.on, tensor.name))
				continue;
			pass_enter(p, reg, tensor.name);
			rein_val v = vt->view(reg->self, p->r, &p->step, &tensor);
			pass_leave(p);
			if (!REIN_IS_NONE(v)) {
				tensor.w = v;
				seen = true;
			}
		}
		if (!seen)
			continue;
		if (!REIN_IS_NONE(tensor.mask))
			tensor.w = rein_where(p->r, tensor.mask, tensor.w, rein_scalar(p->r, 0));
		w[m] = p->tensor[k].w;
		as[m++] = tensor.w;
	}
	rein_with(p->r, m, w, as);
}

void pass_unview(struct pass *p) { rein_without(p->r); }

void pass_masks(struct pass *p)
{
	for (uint32_t k = 0; k < p->step.n_tensor; k++) {
		if (REIN_IS_NONE(p->tensor[k].mask))
			continue;
		rein_val w = recorder_read(p->rec, p->net->param[k]);
		if (w.id != p->tensor[k].w.id) /* the event changed it */
			recorder_assign(p->rec, p->net->param[k], rein_where(p->r, p->tensor[k].mask, w, rein_scalar(p->r, 0)),
			                REIN_NONE);
	}
}

/* --- evaluation ---------------------------------------------------------------------------------- */
static void accumulate(struct pass *p, struct state *s, rein_val v)
{
	recorder_assign(p->rec, s, rein_add(p->r, recorder_read(p->rec, s), v), REIN_NONE);
}

struct program *evaluate_program(struct trainer *t, const struct portion *f, int64_t rows, int64_t first, bool dry)
{
	struct pass p;
	char name[64];

	snprintf(name, sizeof name, "evaluate %.40s", f->split->name);
	pass_begin(&p, t, PASS_EVAL, dry, name);
	p.quiet = true;
	features_look(&p, f);
	pass_tensors(&p, p.net);
	pass_batch(&p, f, pass_index(&p, recorder_read(p.rec, t->eval_entry), rows, first));
	bool view = t->has_view && !t->plain;
	if (view)
		pass_view(&p);
	rein_val z = pass_forward_once(&p, REIN_EVAL);
	if (view)
		pass_unview(&p);
	rein_val target = target_for_loss(&p, p.batch.y, z), correct = correct_of(&p, z, p.batch.y);
	pass_enter(&p, t->loss, NULL);
	rein_val loss = t->loss->component->vt.loss.record(t->loss->self, p.r, z, target);
	pass_leave(&p);
	accumulate(&p, t->eval_loss, rein_sum_over(p.r, loss, REIN_ALL_AXES, REIN_WIDE));
	if (!REIN_IS_NONE(correct)) {
		t->has_correct = true;
		accumulate(&p, t->eval_correct, rein_sum(p.r, correct));
	}
	accumulate(&p, t->eval_entry, rein_scalar_i(p.r, 1));
	return pass_end(&p);
}

bool portion_programs(struct trainer *t, struct portion *f)
{
	int errors = diag_errors(t->diag);

	if (f->batch)
		return true;
	int64_t batch = t->env.settings->eval_batch;
	batch = batch <= 0 || batch > f->split->n ? f->split->n : batch;
	f->full = f->split->n / batch;
	f->rest = f->split->n % batch;
	f->run_full = build(t, evaluate_program(t, f, batch, f->full > 1 ? -1 : 0, false));
	if (f->rest)
		f->run_rest = build(t, evaluate_program(t, f, f->rest, f->split->n - f->rest, false));
	if (!f->run_full || (f->rest && !f->run_rest)) {
		if (diag_errors(t->diag) == errors)
			diag_error(t->diag, NULL, "the evaluation of '%s' could not be prepared", f->split->name);
		return false;
	}
	f->batch = batch;
	return true;
}

/* --- refreshed statistics ----------------------------------------------------------------------------- */
/* The training split as evaluation would feed it, in the mode that averages statistics. */
struct program *stats_program(struct trainer *t, int64_t rows, int64_t first)
{
	struct pass p;

	pass_begin(&p, t, PASS_EVAL, false, "statistics");
	p.quiet = true;
	pass_tensors(&p, p.net);
	pass_batch(&p, portion_find(t, t->train->name), pass_index(&p, recorder_read(p.rec, t->eval_entry), rows, first));
	pass_view(&p);
	pass_forward_once(&p, REIN_STATS);
	pass_unview(&p);
	accumulate(&p, t->eval_entry, rein_scalar_i(p.r, 1));
	return pass_end(&p);
}

/* --- events ---------------------------------------------------------------------------------------------- */
static const char *const event_names[] = { "epoch begin", "epoch end", "stage begin", "stage end" };

struct program *event_program(struct trainer *t, uint32_t what, bool dry)
{
	struct pass p;
	bool any = false;

	for (int i = 0; i < t->n_regularizer; i++)
		any = any || t->regularizer[i]->component->vt.regularizer.event;
	if (!any)
		return NULL;
	pass_begin(&p, t, PASS_EVENT, dry, event_names[what]);
	pass_tensors(&p, p.net);
	recorder_draw_keys(p.rec, REIN_NONE, p.step.step, p.step.epoch);
	p.step.batch = NULL;
	if (t->n_optimizer) {
		const struct instance *opt = t->optimizer[0];
		const struct rein_optimizer_vt *vt = &opt->component->vt.optimizer;
		p.step.lr = vt->lr ? scalar_knob(&p, opt, "lr", vt->lr(opt->self)) : REIN_NONE;
	}
	for (int i = 0; i < t->n_regularizer; i++) {
		const struct instance *reg = t->regularizer[i];
		if (!reg->component->vt.regularizer.event)
			continue;
		pass_enter(&p, reg, NULL);
		reg->component->vt.regularizer.event(reg->self, p.r, &p.step, what);
		pass_leave(&p);
	}
	pass_masks(&p);
	struct program *program = pass_end(&p);
	if (program && program->p.n_commit == 0) {
		program_destroy(program);
		return NULL;
	}
	return program;
}

/* --- the first look ------------------------------------------------------------------------------------------ */
bool look_at_everything(struct trainer *t)
{
	int errors = diag_errors(t->diag);

	step_program(t, t->batch, -1, true, true);
	if (diag_errors(t->diag) > errors)
		return false;
	t->looked = true;
	step_program(t, t->batch, -1, true, true);
	if (diag_errors(t->diag) > errors)
		return false;
	for (uint32_t what = REIN_EPOCH_BEGIN; what <= REIN_STAGE_END; what++)
		event_program(t, what, true);
	evaluate_program(t, portion_find(t, t->train->name), 1, 0, true);
	return diag_errors(t->diag) == errors;
}
