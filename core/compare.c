/* SPDX-License-Identifier: MIT
 *
 * compare.c: the table at the end of an experiment: one row per variant, mean ± standard
 * deviation over its seeds. A new column is a row in `columns`, or for numbers of any split a
 * line in split_columns; columns without a number in any run are left out.
 */
#include "experiment.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct column {
	char title[80];
	int digits; /* after the point, or AUTO */
	bool percent;
	double (*of)(const struct run *, const struct column *);
	char metric[96];
};
#define MAX_COLUMN 40
#define AUTO       (-1)

static double of_last(const struct run *r, const struct column *c) { return history_last(&r->history, c->metric); }

static double of_highest(const struct run *r, const struct column *c)
{
	int64_t epoch = 0;
	return history_best(&r->history, c->metric, 1, &epoch);
}

static double of_lowest(const struct run *r, const struct column *c)
{
	int64_t epoch = 0;
	return history_best(&r->history, c->metric, -1, &epoch);
}

static double of_highest_epoch(const struct run *r, const struct column *c)
{
	int64_t epoch = 0;
	return isnan(history_best(&r->history, c->metric, 1, &epoch)) ? NAN : (double)epoch;
}

static double of_lowest_epoch(const struct run *r, const struct column *c)
{
	int64_t epoch = 0;
	return isnan(history_best(&r->history, c->metric, -1, &epoch)) ? NAN : (double)epoch;
}

/* validation loss - training loss, both of the last row that has them */
static double of_gap(const struct run *r, const struct column *c)
{
	return history_last(&r->history, "val.loss") - history_last(&r->history, "train.loss");
}

static double of_memorized(const struct run *r, const struct column *c)
{
	return history_reaches(&r->history, "train.accuracy", 1);
}

/* Epochs done, where a run stopped before its time. */
static double of_epochs(const struct run *r, const struct column *c) { return (double)r->facts.epochs; }

static double of_speed(const struct run *r, const struct column *c)
{
	double sum = 0;
	int n = 0;
	for (int i = 0; i < r->history.n; i++) {
		double v = history_at(&r->history, i, "samples_per_s");
		if (isnan(v) || v <= 0)
			continue;
		sum += 1 / v;
		n++;
	}
	return n ? n / sum : NAN;
}

static bool counts(const struct run *r) { return r->state == RUN_DONE || r->state == RUN_EARLIER; }

static bool any_has(const struct experiment *e, const struct column *c)
{
	for (int i = 0; i < e->n_run; i++)
		if (counts(&e->run[i]) && !isnan(c->of(&e->run[i], c)))
			return true;
	return false;
}

/* Four significant digits or so of the largest value: 0.0123, 1.234, 12.34. */
static int digits_for(const struct experiment *e, const struct column *c)
{
	double most = 0;
	for (int i = 0; i < e->n_run; i++) {
		double v = counts(&e->run[i]) ? fabs(c->of(&e->run[i], c)) : 0;
		if (isfinite(v) && v > most)
			most = v;
	}
	return most >= 1000 ? 1 : most >= 10 ? 2 : most >= 1 ? 3 : 4;
}

static void add(const struct experiment *e, struct column *list, int *n, const char *title, int digits, bool percent,
                double (*of)(const struct run *, const struct column *), const char *metric)
{
	if (*n == MAX_COLUMN)
		return;
	struct column *c = &list[*n];
	snprintf(c->title, sizeof c->title, "%s", title);
	snprintf(c->metric, sizeof c->metric, "%s", metric);
	c->percent = percent;
	c->of = of;
	c->digits = digits == AUTO ? digits_for(e, c) : digits;
	*n += any_has(e, c);
}

/* Losses and accuracies of splits and attacks other than train and val, and penalties. */
static void split_columns(const struct experiment *e, struct column *list, int *n)
{
	for (int i = 0; i < e->n_run; i++) {
		const struct history *h = &e->run[i].history;
		for (int k = 0; k < h->n_name; k++) {
			const char *name = h->name[k], *dot = strrchr(name, '.');
			bool loss = dot && !strcmp(dot, ".loss"), accuracy = dot && !strcmp(dot, ".accuracy"), known = false;
			bool penalty = dot && !strcmp(dot, ".penalty");
			char title[80];
			if ((!loss && !accuracy && !penalty) || !strncmp(name, "train.", 6) || !strncmp(name, "val.", 4))
				continue;
			for (int j = 0; j < *n; j++)
				known |= !strcmp(list[j].metric, name);
			if (known)
				continue;
			snprintf(title, sizeof title, "%.*s %s", (int)(dot - name), name, accuracy ? "%" : dot + 1);
			add(e, list, n, title, accuracy ? 1 : AUTO, accuracy, of_last, name);
		}
	}
}

static bool stops_early(const struct experiment *e)
{
	for (int i = 0; i < e->n_run; i++)
		if (counts(&e->run[i]) && e->run[i].facts.epochs < e->run[i].facts.epochs_set)
			return true;
	return false;
}

static int columns(const struct experiment *e, struct column *list)
{
	int n = 0;
	struct column acc = { .of = of_last, .metric = "val.accuracy" };

	add(e, list, &n, "val %", 1, true, of_last, "val.accuracy");
	add(e, list, &n, "best %", 1, true, of_highest, "val.accuracy");
	add(e, list, &n, "at epoch", 0, false, of_highest_epoch, "val.accuracy");
	add(e, list, &n, "train %", 1, true, of_last, "train.accuracy");
	add(e, list, &n, "100% at", 0, false, of_memorized, "");
	add(e, list, &n, "train loss", AUTO, false, of_last, "train.loss");
	add(e, list, &n, "val loss", AUTO, false, of_last, "val.loss");
	if (!any_has(e, &acc)) {
		add(e, list, &n, "best loss", AUTO, false, of_lowest, "val.loss");
		add(e, list, &n, "at epoch", 0, false, of_lowest_epoch, "val.loss");
	}
	add(e, list, &n, "gap", AUTO, false, of_gap, "");
	add(e, list, &n, "norm", AUTO, false, of_last, "norm");
	split_columns(e, list, &n);
	if (stops_early(e))
		add(e, list, &n, "epochs", 0, false, of_epochs, "");
	add(e, list, &n, "samples/s", 0, false, of_speed, "");
	return n;
}

/* Comparisons that compare more than what they are meant to. */
static void unfair(const struct experiment *e, struct tables *t)
{
	const struct run *a = NULL;
	const char *data = NULL, *epochs = NULL, *parameters = NULL;
	int64_t samples = 0, n_epoch = 0, n_parameter = 0;

	for (int i = 0; i < e->n_run; i++) {
		const struct run *r = &e->run[i];
		if (!counts(r))
			continue;
		if (!a)
			a = r;
		if (r->seed == a->seed && (r->facts.train_data != a->facts.train_data)) {
			data = r->variant->name;
			samples = r->facts.train_samples;
		}
		if (r->facts.epochs_set != a->facts.epochs_set) {
			epochs = r->variant->name;
			n_epoch = r->facts.epochs_set;
		}
		if (r->facts.parameters != a->facts.parameters) {
			parameters = r->variant->name;
			n_parameter = r->facts.parameters;
		}
	}
	if (data)
		table_note(t, "warning: %s (%lld samples) and %s (%lld) do not train on the same data", a->variant->name,
		           (long long)a->facts.train_samples, data, (long long)samples);
	if (epochs)
		table_note(t, "warning: %s trains for %lld epochs, %s for %lld", a->variant->name,
		           (long long)a->facts.epochs_set, epochs, (long long)n_epoch);
	if (parameters)
		table_note(t, "warning: %s has %lld parameters, %s has %lld", a->variant->name, (long long)a->facts.parameters,
		           parameters, (long long)n_parameter);
}

static void notes(const struct experiment *e, struct tables *t, const struct column *list, int n)
{
	bool memorized = false, best = false, gap = false;
	for (int i = 0; i < n; i++) {
		memorized |= list[i].of == of_memorized;
		best |= list[i].of == of_highest;
		gap |= list[i].of == of_gap;
	}
	if (memorized)
		table_note(
			t,
			"%%: accuracy; 100%% at: first epoch with a training accuracy of 100 %%, mean of the seeds that reach it");
	if (best)
		table_note(t, "best: the highest of all epochs, chosen by looking: optimistic as an estimate");
	if (gap)
		table_note(t, "gap: val loss - train loss");
	unfair(e, t);
	for (int i = 0; i < e->n_run; i++)
		if (!counts(&e->run[i]))
			table_note(t, "%s%sseed %lld did not finish and is left out", e->run[i].variant->name,
			           e->run[i].variant->name[0] ? " " : "", (long long)e->run[i].seed);
}

static double mean_of(int n, const double *v)
{
	double sum = 0;
	for (int i = 0; i < n; i++)
		sum += v[i];
	return n ? sum / n : NAN;
}

static int seeds_of(const struct experiment *e, const struct variant *v)
{
	int n = 0;
	for (int i = 0; i < e->n_run; i++)
		n += e->run[i].variant == v && counts(&e->run[i]);
	return n;
}

void compare_record(const struct experiment *e, struct tables *t)
{
	struct column list[MAX_COLUMN];
	const char *title[MAX_COLUMN + 1];
	int n = columns(e, list), most = 0;
	char head[256];
	double *v = tool_alloc((size_t)e->n_run * sizeof *v);

	title[0] = e->n_variant > 1 || e->variant[0].name[0] ? "variant" : "run";
	for (int i = 0; i < n; i++)
		title[i + 1] = list[i].title;
	for (int i = 0; i < e->n_variant; i++)
		most = seeds_of(e, &e->variant[i]) > most ? seeds_of(e, &e->variant[i]) : most;
	snprintf(head, sizeof head, "%s", e->variant[0].config->stem);
	if (most > 1)
		snprintf(head, sizeof head, "%s: mean ± standard deviation over %d seeds", e->variant[0].config->stem, most);
	t->source = "compare";
	table_begin(t, head, n + 1, title);
	for (int i = 0; i < e->n_variant; i++) {
		if (!seeds_of(e, &e->variant[i]))
			continue;
		table_text(t, e->variant[i].name[0] ? e->variant[i].name : "main");
		for (int c = 0; c < n; c++) {
			int k = 0;
			for (int r = 0; r < e->n_run; r++)
				if (e->run[r].variant == &e->variant[i] && counts(&e->run[r]))
					v[k++] = list[c].of(&e->run[r], &list[c]) * (list[c].percent ? 100 : 1);
			if (list[c].of == of_speed)
				table_number(t, mean_of(k, v), 0);
			else
				table_stat(t, k, v, list[c].digits);
		}
	}
	notes(e, t, list, n);
	free(v);
}
