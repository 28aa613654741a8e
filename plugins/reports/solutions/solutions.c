/* SPDX-License-Identifier: MIT
 *
 * solutions: the final parameters of each variant side by side (mean over seeds), beside the
 * dataset's truth where it has one, and the distances between them. 000-3, 000-3a, 000-4.
 */
#include <string.h>

#include "rein/rein.h"

struct solutions {
	int64_t rows;
};
static const struct rein_key solutions_keys[] = {
	REIN_INT(struct solutions, rows, "40", 0, 100000, "parameters that are listed one by one, at most"),
	REIN_KEYS_END,
};

/* One variant's parameters in network order, averaged over its seeds. */
struct column {
	const char *name;
	double *mean;
	uint32_t first, runs; /* its runs are first .. first + runs - 1 */
};
struct table {
	uint32_t n; /* columns */
	int64_t size;
	struct column *column;
	double *value;
};

static int64_t size_of(const struct rein_report_run *run)
{
	int64_t n = 0;
	for (uint32_t i = 0; i < run->n_param; i++)
		n += run->param_size[i];
	return n;
}

static void flatten(const struct rein_report_run *run, double *out, double weight)
{
	for (uint32_t i = 0; i < run->n_param; i++)
		for (int64_t k = 0; k < run->param_size[i]; k++)
			*out++ += weight * (double)run->param[i][k];
}

static double distance(const double *a, const double *b, int64_t n)
{
	double sum = 0;
	for (int64_t i = 0; i < n; i++)
		sum += (a[i] - b[i]) * (a[i] - b[i]);
	return sqrt(sum);
}

/* Columns from runs; false if variants differ in size (they are then not comparable). */
static rein_status gather(const struct rein_host *host, const struct rein_experiment *e, struct table *t)
{
	t->size = size_of(rein_run_at(e, 0));
	t->column = host->alloc(host, (e->n_run + 1) * sizeof *t->column);
	t->value = host->alloc(host, (uint64_t)(e->n_run + 1) * (uint64_t)t->size * sizeof *t->value);
	if (!t->column || !t->value)
		return REIN_ERROR;
	for (uint32_t i = 0; i < e->n_run; i++) {
		const struct rein_report_run *run = rein_run_at(e, i);
		if (size_of(run) != t->size)
			return rein_failf(host, "variants '%s' and '%s' have %lld and %lld parameters: nothing to compare",
			                  rein_run_at(e, 0)->variant, run->variant, (long long)t->size, (long long)size_of(run));
		if (t->n == 0 || strcmp(t->column[t->n - 1].name, run->variant) != 0) {
			t->column[t->n] = (struct column){ run->variant, t->value + (int64_t)t->n * t->size, i, 0 };
			t->n++;
		}
		t->column[t->n - 1].runs++;
	}
	for (uint32_t c = 0; c < t->n; c++)
		for (uint32_t k = 0; k < t->column[c].runs; k++)
			flatten(rein_run_at(e, t->column[c].first + k), t->column[c].mean, 1.0 / t->column[c].runs);
	return REIN_OK;
}

static int has_truth(const struct rein_experiment *e, const struct table *t)
{
	return e->info && e->info->truth && (int64_t)e->info->n_truth == t->size;
}

static void list(const struct solutions *s, const struct rein_experiment *e, const struct table *t,
                 struct rein_table *out, const char **head)
{
	const struct rein_report_run *run = rein_run_at(e, 0);
	uint32_t n = 0;
	int64_t row = 0;
	char name[160];
	head[n++] = "parameter";
	if (has_truth(e, t))
		head[n++] = "truth";
	for (uint32_t c = 0; c < t->n; c++)
		head[n++] = t->column[c].name[0] ? t->column[c].name : "trained";
	out->begin(out, "solutions: final parameters", n, head);
	for (uint32_t i = 0; i < run->n_param; i++) {
		for (int64_t k = 0; k < run->param_size[i] && row < s->rows; k++, row++) {
			snprintf(name, sizeof name, "%s[%lld]", run->param_name[i], (long long)k);
			out->text(out, name);
			if (has_truth(e, t))
				out->number(out, e->info->truth[row], 6);
			for (uint32_t c = 0; c < t->n; c++)
				out->number(out, t->column[c].mean[row], 6);
		}
	}
	if (row < t->size) {
		snprintf(name, sizeof name, "%lld more parameters are not listed (rows=%lld)", (long long)(t->size - row),
		         (long long)s->rows);
		out->note(out, name);
	}
	if (e->n_run > t->n)
		out->note(out, "Each column is the mean over seeds.");
}

/* Euclidean distances. To the truth: mean over seeds of the runs' own distances. */
static rein_status distances(const struct rein_host *host, const struct rein_experiment *e, const struct table *t,
                             struct rein_table *out, const char **head)
{
	uint32_t n = 0;
	double *one = host->alloc(host, (uint64_t)t->size * sizeof *one);
	if (!one)
		return REIN_ERROR;
	head[n++] = "distance";
	if (has_truth(e, t))
		head[n++] = "to the truth";
	head[n++] = "norm";
	for (uint32_t c = 0; c < t->n && t->n > 1; c++)
		head[n++] = t->column[c].name;
	out->begin(out, "solutions: distances", n, head);
	for (uint32_t c = 0; c < t->n; c++) {
		double truth = 0, norm = 0;
		for (uint32_t k = 0; k < t->column[c].runs; k++) {
			memset(one, 0, (size_t)t->size * sizeof *one);
			norm += distance(t->column[c].mean, one, t->size) / t->column[c].runs;
			flatten(rein_run_at(e, t->column[c].first + k), one, 1);
			if (has_truth(e, t))
				truth += distance(one, e->info->truth, t->size) / t->column[c].runs;
		}
		out->text(out, t->column[c].name[0] ? t->column[c].name : "trained");
		if (has_truth(e, t))
			out->number(out, truth, 6);
		out->number(out, norm, 6);
		for (uint32_t k = 0; k < t->n && t->n > 1; k++)
			out->number(out, distance(t->column[c].mean, t->column[k].mean, t->size), 6);
	}
	host->free(host, one);
	return REIN_OK;
}

static rein_status solutions_record(const void *self, const struct rein_host *host, const struct rein_experiment *e,
                                    struct rein_table *out)
{
	struct table t = { 0 };
	rein_status how = e->n_run ? gather(host, e, &t) : rein_failf(host, "no run has finished");
	const char **head = how == REIN_OK ? host->alloc(host, (t.n + 3) * sizeof *head) : NULL;
	if (how == REIN_OK && !head)
		how = REIN_ERROR;
	if (how == REIN_OK) {
		list(self, e, &t, out, head);
		how = distances(host, e, &t, out, head);
	}
	host->free(host, head);
	host->free(host, t.column);
	host->free(host, t.value);
	return how;
}

static const struct rein_report_vt solutions_vt = { .struct_size = sizeof solutions_vt, .record = solutions_record };
REIN_COMPONENT(solutions, REIN_REPORT, struct solutions, solutions_keys, &solutions_vt,
               .summary = "final parameters of the variants side by side, and their distances");
REIN_PLUGIN("solutions", "1.0.0", "MIT", &solutions_component)
