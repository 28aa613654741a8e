/* SPDX-License-Identifier: MIT
 *
 * epoch.c: running what was recorded: an epoch of steps, events, evaluation under views with
 * refreshed statistics, and what the regularizers answer at the end of an epoch. Between the
 * uploads at its start and the one download at its end an epoch is nothing but run().
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "blame.h"
#include "train.h"

static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

static bool failed(struct trainer *t, const char *what)
{
	const char *why = instance_failure(t->env.backend);

	diag_error(t->diag, NULL, "backend '%s': %s failed%s%s", t->env.backend->component->c.name, what, *why ? ": " : "",
	           why);
	return false;
}

static bool run(struct trainer *t, struct compiled *c, int64_t times, const char *what)
{
	while (times > 0) {
		uint32_t n = times > INT32_MAX ? INT32_MAX : (uint32_t)times;
		if (compiled_run(c, n) < 0)
			return failed(t, what);
		times -= n;
	}
	return true;
}

/* Runs steps from .. to - 1 of a tour; the samples of streamed splits come window by window. */
static bool run_over(struct trainer *t, struct compiled *c, struct portion *f, const struct tour *tour, int64_t from,
                     int64_t to, const char *what)
{
	if (!features_need(t, c))
		return failed(t, what);
	bool streams = c && f->stream && compiled_reads(c, f->x);
	while (from < to) {
		int64_t n = streams ? stream_need(f, tour, from) : to - from;
		n = n > to - from ? to - from : n;
		if (n <= 0 || !run(t, c, n, what))
			return false;
		from += n;
	}
	return true;
}

/* Of the training split in an epoch: drop_last leaves some out. */
static int64_t samples_used(const struct trainer *t)
{
	return t->steps * t->batch - (t->rest ? t->batch - t->rest : 0);
}

bool run_event(struct trainer *t, uint32_t what) { return !t->event[what] || run(t, t->event[what], 1, "an event"); }

/* --- order of samples ---------------------------------------------------------------------- */
/* rng = torch: as DataLoader(shuffle=True): two draws of 64 bits from the run's generator (the
 * workers' base seed, then the sampler's seed), and randperm of a fresh generator. */
static void order_of(const struct trainer *t, struct torch_rng *torch, int64_t shuffles, int32_t *order)
{
	int64_t n = t->train->n;

	if (!t->env.settings->shuffle) {
		for (int64_t i = 0; i < n; i++)
			order[i] = (int32_t)i;
	} else if (torch) {
		torch_rng_64(torch);
		struct torch_rng *fresh = torch_rng_create(torch_rng_64(torch) & 0xffffffffu);
		torch_rng_permutation(fresh, n, order);
		torch_rng_destroy(fresh);
	} else {
		rng_permutation(rng_key(t->store->seed, "shuffle"), (uint64_t)shuffles, n, order);
	}
}

static bool draw_order(struct trainer *t)
{
	if (!t->env.settings->shuffle && t->shuffles)
		return true; /* it lies there already */
	order_of(t, t->store->torch, t->shuffles, t->order_host);
	t->shuffles++;
	return store_set(t->store, t->order, t->order_host) >= 0;
}

/* What training uses after this epoch, for who reads ahead: the generator stays where it is. */
static void look_ahead(struct trainer *t, const struct stage *s)
{
	struct torch_rng *torch = NULL;

	t->next.n = 0;
	if (!portion_find(t, t->train->name)->stream || t->at_epoch + 1 >= s->epochs)
		return;
	torch = t->store->torch ? must(torch_rng_copy(t->store->torch)) : NULL;
	order_of(t, torch, t->shuffles, t->order_next);
	torch_rng_destroy(torch);
	t->next = (struct tour){ t->order_next, samples_used(t), t->batch, t->total_epoch + 1, NULL };
}

bool epoch_order(struct trainer *t, int64_t epoch)
{
	if (t->store->torch && t->shuffles > epoch) {
		diag_error(t->diag, NULL,
		           "with rng = torch epochs are ordered one after another: ask for them in rising order");
		return false;
	}
	if (t->shuffles == epoch)
		return true; /* it lies there already */
	if (!t->store->torch)
		t->shuffles = epoch - 1;
	while (t->shuffles < epoch) {
		int64_t before = t->shuffles;
		if (!draw_order(t))
			return false;
		if (t->shuffles == before) /* without shuffling they are all the same */
			break;
	}
	return true;
}

/* --- evaluation ------------------------------------------------------------------------------ */
bool reset_evaluation(struct trainer *t)
{
	struct state *all[] = { t->eval_entry, t->eval_loss, t->eval_correct };
	const double zero = 0; /* and zero of every narrower type */

	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if (store_set(t->store, all[i], &zero) < 0)
			return false;
	return true;
}

/* Statistics to where they start, for a fresh average. */
static bool reset_statistics(struct trainer *t)
{
	bool good = true;

	for (int i = 0; good && i < t->store->n; i++) {
		struct state *s = t->store->state[i];
		if (!is_statistic(t, s))
			continue;
		bool real = s->dtype == REIN_REAL_T;
		double value = s->init.kind == REIN_INIT_CONSTANT ? s->init.a : 0;
		char *host = zalloc((size_t)s->count, 8);
		for (int64_t k = 0; k < s->count; k++)
			if (real && t->store->real_size == 4)
				((float *)(void *)host)[k] = (float)value;
			else if (real || s->dtype == REIN_WIDE_T)
				((double *)(void *)host)[k] = value;
			else if (s->dtype == REIN_I32_T)
				((int32_t *)(void *)host)[k] = (int32_t)value;
			else
				host[k] = (char)(value != 0);
		good = store_set(t->store, s, host) >= 0;
		free(host);
	}
	return good;
}

bool run_refresh(struct trainer *t)
{
	struct portion *f = portion_find(t, t->train->name);
	const struct tour tour = { NULL, t->train->n, t->batch, -1, t->env.settings->evaluate_train ? NULL : &t->next };
	int64_t full = t->train->n / t->batch;

	return reset_statistics(t) && set_i32(t, t->eval_entry, 0) &&
	       run_over(t, t->stats_full, f, &tour, 0, full, "the pass for statistics") &&
	       (!t->stats_rest || run_over(t, t->stats_rest, f, &tour, full, full + 1, "the pass for statistics"));
}

bool statistics_begin(struct trainer *t, struct copies *aside)
{
	*aside = (struct copies){ 0 };
	return !t->stats_full || t->plain || (copies_take(t, aside, is_statistic) && run_refresh(t));
}

bool statistics_end(struct trainer *t, struct copies *aside)
{
	bool good = copies_restore(t, aside);
	copies_finish(aside);
	return good;
}

/* again: it will be evaluated once more after the next epoch of training. */
static bool evaluate(struct trainer *t, const char *split, bool again, struct metrics *out)
{
	struct portion *f = portion_find(t, split);
	struct tour tour = { .epoch = -1 };
	struct copies aside;
	char name[96];
	double loss = 0;

	if (!f) {
		diag_error(t->diag, NULL, "there is no split '%s' in [data]", split);
		return false;
	}
	if (!portion_programs(t, f))
		return false;
	tour.n = f->split->n;
	tour.batch = f->batch;
	if (again)
		tour.then = f->split == t->train ? &t->next : &tour;
	bool good = statistics_begin(t, &aside) && reset_evaluation(t) &&
	            run_over(t, f->run_full, f, &tour, 0, f->full, "evaluation") &&
	            (!f->run_rest || run_over(t, f->run_rest, f, &tour, f->full, f->full + 1, "evaluation"));
	if (!statistics_end(t, &aside) || !good || store_get(t->store, t->eval_loss, &loss) < 0)
		return false;
	snprintf(name, sizeof name, "%s.loss", split);
	metrics_set(out, name, loss / (double)f->split->n);
	if (t->has_correct) {
		snprintf(name, sizeof name, "%s.accuracy", split);
		metrics_set(out, name, (double)get_i32(t, t->eval_correct) / (double)f->split->n);
	}
	return true;
}

bool run_evaluate(struct trainer *t, const char *split, struct metrics *out) { return evaluate(t, split, false, out); }

/* --- the numbers of an epoch -------------------------------------------------------------------- */
static void move(struct metrics *to, const struct metrics *from, const char *name)
{
	double v = metrics_get(from, name);
	if (!isnan(v))
		metrics_set(to, name, v);
}

static void learning_rates(struct trainer *t, const struct stage *s, struct metrics *out)
{
	int64_t step = t->total_step - t->stage_step - 1, epoch = t->at_epoch - 1;
	char name[96];

	for (int i = 0; i < t->n_optimizer; i++) {
		const struct instance *opt = t->optimizer[i];
		const struct rein_optimizer_vt *vt = &opt->component->vt.optimizer;
		if (!vt->lr)
			continue;
		double lr =
			scalar_value(t, opt, "lr", vt->lr(opt->self), step < 0 ? 0 : step, epoch < 0 ? 0 : epoch, s->epochs);
		if (i == 0)
			metrics_set(out, "lr", lr);
		snprintf(name, sizeof name, "lr.%s", opt->name);
		if (t->n_optimizer > 1)
			metrics_set(out, name, lr);
	}
}

/* Meters, norms and evaluations, in the order people read them. */
static bool epoch_numbers(struct trainer *t, const struct stage *s, struct metrics *out)
{
	struct metrics all = { 0 };
	bool bad, good = meters_read(t, &all, &bad) || failed(t, "the report");

	move(out, &all, "train.loss");
	move(out, &all, "train.accuracy");
	if (good && t->env.settings->evaluate_train)
		good = evaluate(t, t->train->name, !t->stage_done, out);
	if (good && data_split(t->data, "val"))
		good = evaluate(t, "val", !t->stage_done, out);
	learning_rates(t, s, out);
	for (int i = 0; i < all.n; i++)
		if (isnan(metrics_get(out, all.m[i].name)))
			metrics_set(out, all.m[i].name, all.m[i].value);
	metrics_finish(&all);
	return good;
}

/* --- what regularizers answer --------------------------------------------------------------------- */
static double answer_get(const struct rein_metrics *m, const char *name) { return metrics_get(m->impl, name); }

static bool ask_regularizers(struct trainer *t, const struct stage *s, const struct metrics *out)
{
	const struct rein_metrics m = { sizeof m, 0, t->at_epoch, s->epochs, answer_get, out };
	uint32_t answer = 0;

	for (int i = 0; i < t->n_regularizer; i++) {
		const struct instance *reg = t->regularizer[i];
		if (!reg->component->vt.regularizer.epoch_end)
			continue;
		const struct instance *was = blame(reg);
		answer |= reg->component->vt.regularizer.epoch_end(reg->self, &reg->host, &m, reg->mem);
		blame_back(was);
	}
	if (answer & REIN_KEEP_BEST) {
		copies_finish(&t->best);
		if (!copies_take(t, &t->best, is_kept_state))
			return failed(t, "a copy of the best weights");
	}
	if ((answer & REIN_RESTORE) && t->best.n && !copies_restore(t, &t->best))
		return failed(t, "restoring the best weights");
	if (answer & REIN_STOP)
		t->stage_done = true;
	return true;
}

/* --- an epoch ------------------------------------------------------------------------------------------ */
static bool begin_stage(struct trainer *t)
{
	t->stage_step = t->total_step;
	copies_finish(&t->best);
	for (int i = 0; i < t->n_inst; i++)
		if (t->inst[i]->mem)
			memset(t->inst[i]->mem, 0, t->inst[i]->component->c.mem_size);
	return run_event(t, REIN_STAGE_BEGIN);
}

/* Steps at .. to - 1 of the epoch, of whose steps the last is another program. */
static bool some_steps(struct trainer *t, const struct tour *tour, int64_t at, int64_t to, bool log)
{
	struct compiled *last = t->step_quiet && !log ? t->step_quiet : t->step_last;
	struct portion *f = portion_find(t, t->train->name);
	bool end = to == t->steps;

	return run_over(t, t->step_full, f, tour, at, to - end, "a training step") &&
	       (!end || run_over(t, last, f, tour, to - 1, to, "a training step"));
}

/* The epoch's steps, with the cuts of a stage that prunes between them. */
static bool run_steps(struct trainer *t, const struct stage *s, bool log)
{
	bool stored = log && (t->env.settings->evaluate_train || (t->stats_full && !t->plain));
	int64_t n = t->train->n, eval = t->env.settings->eval_batch;
	const struct tour as_stored = { NULL, n, t->stats_full ? t->batch : eval < n ? eval : n, -1, NULL };
	const struct tour tour = { t->order_host, samples_used(t), t->batch, t->total_epoch,
		                       stored ? &as_stored : &t->next };
	int64_t before = t->at_epoch * t->steps, to;

	for (int64_t at = 0; at < t->steps; at = to) {
		int64_t next = prune_next(s, before + at);
		to = next < before + t->steps ? next - before : t->steps;
		if (!prune_due(t, s, before + at) || !some_steps(t, &tour, at, to, log))
			return false;
	}
	return t->at_epoch + 1 < s->epochs || prune_due(t, s, before + t->steps);
}

static bool is_bad(struct trainer *t)
{
	unsigned char bad = 0;
	return store_get(t->store, t->bad, &bad) >= 0 && bad;
}

static bool run_one(struct trainer *t, const struct stage *s, bool log, double *seconds)
{
	bool good = rewind_note(t) && draw_order(t);

	look_ahead(t, s);
	good = good && scalars_upload(t, t->at_epoch, s->epochs) && set_i32(t, t->entry, 0) &&
	       set_i32(t, t->epoch, (int32_t)t->total_epoch) && run_event(t, REIN_EPOCH_BEGIN) &&
	       features_need(t, t->step_full) && features_need(t, t->step_last);
	double start = now();

	good = good && run_steps(t, s, log);
	*seconds = now() - start;
	if (!good)
		return false;
	if (is_bad(t)) {
		step_diagnose(t, get_i32(t, t->entry));
		return false;
	}
	t->total_step += t->steps;
	t->total_epoch++;
	t->at_epoch++;
	return run_event(t, REIN_EPOCH_END);
}

bool run_epoch(struct trainer *t, const struct stage *s, struct metrics *out)
{
	int64_t every = t->env.settings->log_every < 1 ? 1 : t->env.settings->log_every;
	bool log = s->epochs == 0 || (t->at_epoch + 1) % every == 0 || t->at_epoch + 1 >= s->epochs;
	double seconds = 0;

	if (t->at_epoch == 0 && !begin_stage(t))
		return false;
	if (log && t->unread) { /* meters hold epochs that nobody asked for */
		bool bad;
		if (!meters_read(t, NULL, &bad))
			return failed(t, "the report");
	}
	if (s->epochs > 0 && !run_one(t, s, log, &seconds))
		return false;
	t->stage_done = t->at_epoch >= s->epochs;
	t->unread = !log;
	if (log && !epoch_numbers(t, s, out))
		return false;
	if (log && s->with)
		prune_metrics(t, out);
	t->seconds += seconds;
	t->samples += s->epochs > 0 ? samples_used(t) : 0;
	if (log && t->seconds > 0) {
		metrics_set(out, "samples_per_s", (double)t->samples / t->seconds);
		t->seconds = 0;
		t->samples = 0;
	}
	if (t->env.settings->track && s->epochs > 0 && !path_append(t))
		return false;
	if (log && s->epochs > 0 && !ask_regularizers(t, s, out))
		return false;
	return !t->stage_done || run_event(t, REIN_STAGE_END);
}
