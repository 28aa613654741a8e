/* SPDX-License-Identifier: MIT
 *
 * confusion: how often samples of each class (rows) are taken for each class (columns) by the final
 * network, as counts and as shares of the row. The counts are scikit-learn's confusion_matrix, the
 * shares those with normalize='true'; 0 in the row of a class without samples.
 */
#include <stdio.h>

#include "rein/rein.h"

struct confusion {
	const char *split;
	int64_t digits;
};
static const struct rein_key confusion_keys[] = {
	REIN_STRING(struct confusion, split, "val", "the entry of [data] that is classified"),
	REIN_INT(struct confusion, digits, "3", 0, 17, "digits of the shares after the point"),
	REIN_KEYS_END,
};

/* head: the class names behind a first column; names: where those without a name are written. */
static rein_status heading(const struct rein_host *host, const struct rein_experiment *e, const char ***head,
                           char (**names)[24])
{
	int64_t n = e->info->classes;
	*head = host->alloc(host, ((uint64_t)n + 1) * sizeof **head);
	*names = host->alloc(host, (uint64_t)n * sizeof **names);
	if (!*head || !*names)
		return REIN_ERROR;
	(*head)[0] = "is \\ taken for";
	for (int64_t i = 0; i < n; i++) {
		snprintf((*names)[i], sizeof **names, "%lld", (long long)i);
		(*head)[i + 1] = e->info->class_names ? e->info->class_names[i] : (*names)[i];
	}
	return REIN_OK;
}

/* count (n, n) */
static void matrix(const struct confusion *c, const struct rein_report_run *q, int64_t n, const int64_t *count,
                   const char *const *head, int shares, struct rein_table *out)
{
	char title[200];
	snprintf(title, sizeof title, "confusion of %s, %s: %s, seed %lld", c->split,
	         shares ? "shares of each class" : "counts", q->variant[0] ? q->variant : "main", (long long)q->seed);
	out->begin(out, title, (uint32_t)n + 1, head);
	for (int64_t i = 0; i < n; i++) {
		int64_t row = 0;
		out->text(out, head[i + 1]);
		for (int64_t k = 0; k < n; k++)
			row += count[i * n + k];
		for (int64_t k = 0; k < n; k++)
			if (shares)
				out->number(out, row ? (double)count[i * n + k] / (double)row : 0, (uint32_t)c->digits);
			else
				out->number(out, (double)count[i * n + k], 0);
	}
}

static rein_status one_run(const struct confusion *c, const struct rein_host *host, const struct rein_experiment *e,
                           uint32_t run, const char *const *head, int64_t *count, struct rein_table *out)
{
	const struct rein_predictions *p = e->predictions(e, run, c->split);
	int64_t n = e->info->classes;
	if (!p)
		return rein_failf(host, "split=%s: there are predictions for '%s'%s", c->split,
		                  e->predicted(e, run, 0) ? e->predicted(e, run, 0) : "no split, for want of classes",
		                  e->predicted(e, run, 0) && e->predicted(e, run, 1) ? " and other splits" : "");
	memset(count, 0, (size_t)(n * n) * sizeof *count);
	for (int64_t i = 0; i < p->n; i++)
		count[p->label[i] * n + p->guess[i]]++;
	matrix(c, rein_run_at(e, run), n, count, head, 0, out);
	matrix(c, rein_run_at(e, run), n, count, head, 1, out);
	return REIN_OK;
}

static rein_status confusion_record(const void *self, const struct rein_host *host, const struct rein_experiment *e,
                                    struct rein_table *out)
{
	const char **head = NULL;
	char(*names)[24] = NULL;
	int64_t n = e->info->classes, *count = host->alloc(host, (uint64_t)(n * n + 1) * sizeof *count);
	rein_status how = count ? heading(host, e, &head, &names) : REIN_ERROR;

	for (uint32_t i = 0; how == REIN_OK && i < e->n_run; i++)
		how = one_run(self, host, e, i, head, count, out);
	host->free(host, count);
	host->free(host, head);
	host->free(host, names);
	return how;
}

static const struct rein_report_vt confusion_vt = { .struct_size = sizeof confusion_vt,
	                                                .flags = REIN_WANTS_PREDICTIONS,
	                                                .record = confusion_record };
REIN_COMPONENT(confusion, REIN_REPORT, struct confusion, confusion_keys, &confusion_vt,
               .summary = "which classes are taken for which, in counts and shares",
               .reference = "sklearn.metrics.confusion_matrix");
REIN_PLUGIN("confusion", "1.0.0", "MIT", &confusion_component)
