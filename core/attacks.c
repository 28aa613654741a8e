/* SPDX-License-Identifier: MIT
 *
 * attacks.c: an attack stage: a split, or the first `limit` samples of it, attacked in batches
 * of [run] eval_batch. Gives `<attack>.clean_accuracy`, `<attack>.robust_accuracy`,
 * `<attack>.loss` (of the attacked samples), `<attack>.mean_l2` and `<attack>.max_linf` of the
 * perturbation in pixel space. Parameters are those that evaluation sees.
 */
#include <math.h>

#include "rein/math.h"
#include "train.h"

static void add_to(struct pass *p, struct state *s, rein_val v)
{
	recorder_assign(p->rec, s, rein_add(p->r, recorder_read(p->rec, s), v), REIN_NONE);
}

static struct program *attack_program(struct trainer *t, struct stage *s, int64_t rows, int64_t first)
{
	const struct portion *f = portion_find(t, s->split);
	const struct rein_ref ref = { REIN_ATTACK, s->with->spec->name, s->with, NULL };
	struct pass p;
	char name[64];

	snprintf(name, sizeof name, "attack %.40s", s->with->spec->name);
	pass_begin(&p, t, PASS_EVAL, false, name);
	p.quiet = true;
	pass_tensors(&p, p.net);
	pass_batch(&p, f, pass_index(&p, recorder_read(p.rec, t->eval_entry), rows, first));
	bool view = t->has_view && !t->plain;
	if (view)
		pass_view(&p);
	rein_val y = p.batch.y, x = p.batch.x, clean = pass_forward_once(&p, REIN_EVAL);
	rein_val bad = rein_perturb(p.r, &ref, &p.net->model, x, y);
	p.batch.x = bad;
	rein_val z = pass_forward_once(&p, REIN_EVAL);
	if (view)
		pass_unview(&p);
	pass_enter(&p, t->loss, NULL);
	rein_val loss = t->loss->component->vt.loss.record(t->loss->self, p.r, z, target_for_loss(&p, y, z));
	pass_leave(&p);
	add_to(&p, t->eval_loss, rein_sum_over(p.r, loss, REIN_ALL_AXES, REIN_WIDE));
	rein_val right = correct_of(&p, clean, y); /* robust: right before and after */
	add_to(&p, t->eval_correct, rein_sum(p.r, right));
	add_to(&p, t->eval_robust, rein_sum(p.r, rein_mul(p.r, right, correct_of(&p, z, y))));
	rein_val delta = rein_sub(p.r, bad, x);
	add_to(&p, t->eval_l2, rein_sum_over(p.r, rein_norm_rows(p.r, delta), REIN_ALL_AXES, REIN_WIDE));
	rein_val far = rein_amax(p.r, rein_abs(p.r, delta), REIN_ALL_AXES, 0);
	recorder_assign(p.rec, t->eval_linf, rein_max(p.r, recorder_read(p.rec, t->eval_linf), far), REIN_NONE);
	add_to(&p, t->eval_entry, rein_scalar_i(p.r, 1));
	return pass_end(&p);
}

bool attack_prepare(struct trainer *t, struct stage *s)
{
	int64_t n = portion_find(t, s->split)->split->n, batch = t->env.settings->eval_batch;

	if (t->train->info.target != REIN_TARGET_CLASS) {
		at_instance(t->diag, s->with, "an attack stage needs data with classes");
		return false;
	}
	s->samples = s->limit > 0 && s->limit < n ? s->limit : n;
	batch = batch <= 0 || batch > s->samples ? s->samples : batch;
	s->full = s->samples / batch;
	int64_t rest = s->samples % batch;
	s->program = build(t, attack_program(t, s, batch, s->full > 1 ? -1 : 0));
	if (rest)
		s->rest = build(t, attack_program(t, s, rest, s->samples - rest));
	return s->program && (!rest || s->rest);
}

static void put(struct metrics *out, const struct stage *s, const char *what, double value)
{
	char name[96];

	snprintf(name, sizeof name, "%s.%s", s->with->spec->name, what);
	metrics_set(out, name, value);
}

bool attack_run(struct trainer *t, struct stage *s, struct metrics *out)
{
	double loss, l2, n = (double)s->samples;
	float linf;

	if (!reset_evaluation(t))
		return false;
	for (int64_t i = 0; i < s->full; i++)
		if (compiled_run(s->program, 1) < 0)
			return false;
	if (s->rest && compiled_run(s->rest, 1) < 0)
		return false;
	if (store_get(t->store, t->eval_loss, &loss) < 0 || store_get(t->store, t->eval_l2, &l2) < 0 ||
	    store_get(t->store, t->eval_linf, &linf) < 0)
		return false;
	put(out, s, "clean_accuracy", (double)get_i32(t, t->eval_correct) / n);
	put(out, s, "robust_accuracy", (double)get_i32(t, t->eval_robust) / n);
	put(out, s, "loss", loss / n);
	put(out, s, "mean_l2", l2 / n);
	put(out, s, "max_linf", (double)linf);
	t->stage_done = true;
	return true;
}
