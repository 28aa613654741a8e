/* SPDX-License-Identifier: MIT
 *
 * distribution: how the values of parameters are spread: smallest, largest, the share with
 * |w| < threshold; and for some of them how many values lie nearest to each of `steps` equally
 * spaced ones from the smallest to the largest, step (max - min)/(steps - 1). Course 004.
 */
#include <stdio.h>

#include "rein/rein.h"

struct distribution {
	double threshold;
	int64_t steps;
	const char *parameter;
};
static const struct rein_key distribution_keys[] = {
	REIN_REAL(struct distribution, threshold, "0.01", 0, 1e9, 0, "the share of |w| below this is given"),
	REIN_INT(struct distribution, steps, "256", 2, 65536, "values to count at"),
	REIN_STRING(struct distribution, parameter, "", "parameters whose counts are listed, comma-separated; empty: none"),
	REIN_KEYS_END,
};

static void range_of(const struct rein_report_run *q, uint32_t i, double *min, double *max)
{
	*min = *max = q->param_size[i] ? (double)q->param[i][0] : NAN;
	for (int64_t k = 1; k < q->param_size[i]; k++) {
		double w = (double)q->param[i][k];
		*min = w < *min ? w : *min;
		*max = w > *max ? w : *max;
	}
}

static double share_below(const struct rein_report_run *q, uint32_t i, float threshold)
{
	int64_t below = 0;
	for (int64_t k = 0; k < q->param_size[i]; k++)
		below += fabsf(q->param[i][k]) < threshold;
	return (double)below / (double)q->param_size[i];
}

static const char *title_of(const struct rein_report_run *q, const char *what, char *out, size_t size)
{
	snprintf(out, size, "distribution%s%s: %s, seed %lld", *what ? " of " : "", what,
	         q->variant[0] ? q->variant : "main", (long long)q->seed);
	return out;
}

/* Eight counts in a line behind the value of the first. */
#define PER_LINE 8
static void print_some(const struct distribution *s, int64_t first, double value, const int64_t *count,
                       struct rein_table *out)
{
	char text[256];
	int n = snprintf(text, sizeof text, "%11.6f ", value);
	for (int64_t k = first; k < first + PER_LINE && k < s->steps; k++)
		n += snprintf(text + n, sizeof text - (size_t)n, " %8lld", (long long)count[k]);
	out->print(out, text);
}

static rein_status counts(const struct distribution *s, const struct rein_host *host, const struct rein_report_run *q,
                          uint32_t i, struct rein_table *out)
{
	static const char *const head[] = { "value", "count" };
	int64_t *count = host->alloc(host, (size_t)s->steps * sizeof *count);
	double min, max;
	char title[200];

	if (!count)
		return REIN_ERROR;
	memset(count, 0, (size_t)s->steps * sizeof *count);
	range_of(q, i, &min, &max);
	double step = (max - min) / (double)(s->steps - 1);
	for (int64_t k = 0; k < q->param_size[i]; k++) { /* halfway: the lower one */
		double at = step > 0 ? ceil(((double)q->param[i][k] - min) / step - 0.5) : 0;
		if (at >= 0 && at < (double)s->steps)
			count[(int64_t)at]++;
	}
	out->begin(out, title_of(q, q->param_name[i], title, sizeof title), 2, head);
	for (int64_t k = 0; k < s->steps; k++) {
		out->number(out, min + step * (double)k, 6);
		out->number(out, (double)count[k], 0);
		if (k % PER_LINE == 0)
			print_some(s, k, min + step * (double)k, count, out);
	}
	host->free(host, count);
	return REIN_OK;
}

/* Counts of the parameters that are asked for, by name. */
static rein_status listed(const struct distribution *s, const struct rein_host *host, const struct rein_report_run *q,
                          struct rein_table *out)
{
	for (const char *p = s->parameter; *p;) {
		size_t n = strcspn(p, ",");
		uint32_t i = 0;
		while (i < q->n_param && (strlen(q->param_name[i]) != n || strncmp(q->param_name[i], p, n) != 0))
			i++;
		if (i == q->n_param)
			return rein_failf(host, "there is no parameter '%.*s'; its names are in the table", (int)n, p);
		if (counts(s, host, q, i, out) < 0)
			return REIN_ERROR;
		p += n + (p[n] == ',');
	}
	return REIN_OK;
}

static rein_status one_run(const struct distribution *s, const struct rein_host *host, const struct rein_report_run *q,
                           struct rein_table *out)
{
	char title[200], below[64];
	const char *const head[] = { "parameter", "values", "min", "max", below };

	snprintf(below, sizeof below, "|w| < %g", s->threshold);
	out->begin(out, title_of(q, "", title, sizeof title), 5, head);
	for (uint32_t i = 0; i < q->n_param; i++) {
		double min, max;
		range_of(q, i, &min, &max);
		out->text(out, q->param_name[i]);
		out->number(out, (double)q->param_size[i], 0);
		out->number(out, min, 6);
		out->number(out, max, 6);
		out->number(out, share_below(q, i, (float)s->threshold), 4);
	}
	return listed(s, host, q, out);
}

static rein_status distribution_record(const void *self, const struct rein_host *host, const struct rein_experiment *e,
                                       struct rein_table *out)
{
	for (uint32_t i = 0; i < e->n_run; i++)
		if (one_run(self, host, rein_run_at(e, i), out) < 0)
			return REIN_ERROR;
	return REIN_OK;
}

static const struct rein_report_vt distribution_vt = { .struct_size = sizeof distribution_vt,
	                                                   .record = distribution_record };
REIN_COMPONENT(distribution, REIN_REPORT, struct distribution, distribution_keys, &distribution_vt,
               .summary = "range of each parameter, share below a threshold, counts over equal steps");
REIN_PLUGIN("distribution", "1.0.0", "MIT", &distribution_component)
