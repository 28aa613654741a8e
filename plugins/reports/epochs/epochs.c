/* SPDX-License-Identifier: MIT
 *
 * epochs: numbers of metrics.jsonl, one row per epoch and per stage of another kind: losses as
 * course 004 prints them (sum= gives the sum over an epoch's batches of a metric that is their
 * mean), gradient norms per layer, sparsity under a schedule.
 */
#include <stdio.h>

#include "rein/rein.h"

struct epochs {
	const char *metrics, *sum;
	int64_t digits;
};
static const struct rein_key epochs_keys[] = {
	REIN_STRING(struct epochs, metrics, "train.loss,train.accuracy,val.loss,val.accuracy",
	            "columns: names or patterns with *, comma-separated"),
	REIN_STRING(struct epochs, sum, "", "a metric that is a mean over batches, to give as their sum; empty: none"),
	REIN_INT(struct epochs, digits, "4", 0, 17, "digits after the point"),
	REIN_KEYS_END,
};

/* Does text match the n bytes of a pattern, where * is any run of characters? */
static int matches(const char *pattern, size_t n, const char *text)
{
	for (; n && *pattern != '*'; n--, pattern++, text++)
		if (*text != *pattern)
			return 0;
	if (!n)
		return !*text;
	for (;; text++) {
		if (matches(pattern + 1, n - 1, text))
			return 1;
		if (!*text)
			return 0;
	}
}

/* The names that the k-th pattern matches come before those of the next one. */
static uint32_t columns_of(const struct epochs *s, const struct rein_experiment *e, uint32_t run, const char **name)
{
	uint32_t n = 0;
	const char *metric;
	for (const char *p = s->metrics; *p;) {
		size_t length = strcspn(p, ",");
		for (uint32_t i = 0; (metric = e->metric_name(e, run, i)); i++) {
			int twice = 0;
			for (uint32_t k = 0; k < n; k++)
				twice |= name && name[k] == metric;
			if (twice || !matches(p, length, metric))
				continue;
			if (name)
				name[n] = metric;
			n++;
		}
		p += length + (p[length] == ',');
	}
	return n;
}

/* Batches of an epoch where all are as large, so that their mean is that of the samples; else NaN. */
static double batches(const struct rein_experiment *e, uint32_t run)
{
	double batch = rein_key_number(e, run, "run.batch"), n = (double)e->n;
	if (!(batch >= 1 && batch < n)) /* "all" is no number: 0 */
		return 1;
	return fmod(n, batch) == 0 ? n / batch : NAN;
}

static void rows(const struct epochs *s, const struct rein_experiment *e, uint32_t run, uint32_t n,
                 const char *const *name, struct rein_table *out)
{
	const char *stage, *type;
	char label[128]; /* stages' names are shorter than 64 */
	int64_t epoch;
	for (uint32_t i = 0; (stage = e->row(e, run, i, &type, &epoch)); i++) {
		int length = snprintf(label, sizeof label, "%s", stage);
		if (!strcmp(type, "train"))
			snprintf(label + length, sizeof label - (size_t)length, " %lld", (long long)epoch);
		out->text(out, label);
		if (s->sum[0])
			out->number(out, e->row_metric(e, run, i, s->sum) * batches(e, run), (uint32_t)s->digits);
		for (uint32_t k = 0; k < n; k++)
			out->number(out, e->row_metric(e, run, i, name[k]), (uint32_t)s->digits);
	}
}

static rein_status one_run(const struct epochs *s, const struct rein_host *host, const struct rein_experiment *e,
                           uint32_t run, struct rein_table *out)
{
	const struct rein_report_run *q = rein_run_at(e, run);
	uint32_t all = 0, fixed = s->sum[0] ? 2 : 1;
	char title[200], sum[128];
	while (e->metric_name(e, run, all))
		all++;
	const char **head = host->alloc(host, (all + 4) * sizeof *head);
	if (!head)
		return REIN_ERROR;
	uint32_t n = columns_of(s, e, run, head + fixed);
	if (!n) {
		host->free(host, head);
		return rein_failf(host, "metrics=%s matches nothing that this run has measured, as %s", s->metrics,
		                  all ? e->metric_name(e, run, 0) : "it has measured nothing");
	}
	snprintf(sum, sizeof sum, "sum of %s", s->sum);
	head[0] = "epoch";
	if (s->sum[0])
		head[1] = sum;
	snprintf(title, sizeof title, "epochs: %s, seed %lld", q->variant[0] ? q->variant : "main", (long long)q->seed);
	out->begin(out, title, n + fixed, head);
	rows(s, e, run, n, head + fixed, out);
	if (s->sum[0] && batches(e, run) != batches(e, run))
		out->note(out, "The last batch of an epoch is shorter: the sum over batches is not known from the mean.");
	host->free(host, head);
	return REIN_OK;
}

static rein_status epochs_record(const void *self, const struct rein_host *host, const struct rein_experiment *e,
                                 struct rein_table *out)
{
	for (uint32_t i = 0; i < e->n_run; i++)
		if (one_run(self, host, e, i, out) < 0)
			return REIN_ERROR;
	return REIN_OK;
}

static const struct rein_report_vt epochs_vt = { .struct_size = sizeof epochs_vt, .record = epochs_record };
REIN_COMPONENT(epochs, REIN_REPORT, struct epochs, epochs_keys, &epochs_vt,
               .summary = "chosen numbers of every epoch and stage");
REIN_PLUGIN("epochs", "1.0.0", "MIT", &epochs_component)
