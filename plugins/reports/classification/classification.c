/* SPDX-License-Identifier: MIT
 *
 * classification: precision, recall and F1 of every class of a split, and their averages, as the
 * final network classifies it. Printed as scikit-learn's classification_report prints it, with
 * zero where a ratio has no denominator.
 *   precision  tp / predicted     recall  tp / support     f1  2 tp / (support + predicted)
 *   macro avg  mean over classes    weighted avg  mean weighted by support
 * Means are summed in NumPy's order, so that the last digit is the same too.
 */
#include <stdio.h>

#include "rein/rein.h"

struct classification {
	const char *split;
	int64_t digits;
};
static const struct rein_key classification_keys[] = {
	REIN_STRING(struct classification, split, "val", "the entry of [data] that is classified"),
	REIN_INT(struct classification, digits, "2", 0, 17, "digits after the point"),
	REIN_KEYS_END,
};

#define AVERAGE "weighted avg" /* the longest heading of the last lines */

/* Per class; all three ratios in one block of 3 n. */
struct scores {
	int64_t n, total, *support, *predicted, *right;
	double *precision, *recall, *f1;
};

static double ratio(double a, double b) { return b > 0 ? a / b : 0; }

/* numpy.add.reduce: eight running sums up to 128 values, halves beyond. */
static double sum_of(const double *x, int64_t n)
{
	double r[8], sum = 0;
	int64_t i = 0;
	if (n > 128) {
		int64_t half = n / 2 - n / 2 % 8;
		return sum_of(x, half) + sum_of(x + half, n - half);
	}
	if (n >= 8) {
		memcpy(r, x, sizeof r);
		for (i = 8; i + 8 <= n; i += 8)
			for (int k = 0; k < 8; k++)
				r[k] += x[i + k];
		sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
	}
	for (; i < n; i++)
		sum += x[i];
	return sum;
}

static double macro(const struct scores *s, const double *x) { return sum_of(x, s->n) / (double)s->n; }

/* scratch: n numbers */
static double weighted(const struct scores *s, const double *x, double *scratch)
{
	for (int64_t i = 0; i < s->n; i++)
		scratch[i] = x[i] * (double)s->support[i];
	return sum_of(scratch, s->n) / (double)s->total;
}

/* Columns that a UTF-8 text takes. */
static int width_of(const char *s)
{
	int n = 0;
	for (; *s; s++)
		n += ((unsigned char)*s & 0xC0) != 0x80;
	return n;
}

static const char *class_name(const struct rein_experiment *e, int64_t i, char *buf, size_t size)
{
	if (e->info->class_names)
		return e->info->class_names[i];
	snprintf(buf, size, "%lld", (long long)i);
	return buf;
}

/* scikit-learn's counts are whole, but when nothing at all is right: then they have a point. */
static const char *count_text(const struct scores *s, int64_t n, char buf[32])
{
	int64_t right = 0;
	for (int64_t i = 0; i < s->n; i++)
		right += s->right[i];
	snprintf(buf, 32, right ? "%lld" : "%lld.0", (long long)n);
	return buf;
}

static void line(const struct scores *s, struct rein_table *out, const char *name, int width, const double x[3],
                 int64_t support, int digits)
{
	char text[512], count[32];
	snprintf(text, sizeof text, "%*s%s  %9.*f %9.*f %9.*f %9s", width - width_of(name), "", name, digits, x[0], digits,
	         x[1], digits, x[2], count_text(s, support, count));
	out->print(out, text);
	out->text(out, name);
	for (int i = 0; i < 3; i++)
		out->number(out, x[i], (uint32_t)digits);
	out->number(out, (double)support, 0);
}

static void accuracy(struct rein_table *out, int width, const struct scores *s, int digits)
{
	int64_t right = 0;
	char text[512], count[32];
	for (int64_t i = 0; i < s->n; i++)
		right += s->right[i];
	double a = (double)right / (double)s->total;
	snprintf(text, sizeof text, "%*s  %9s %9s %9.*f %9s", width, "accuracy", "", "", digits, a,
	         count_text(s, s->total, count));
	out->print(out, text);
	out->text(out, "accuracy");
	out->number(out, NAN, 0);
	out->number(out, NAN, 0);
	out->number(out, a, (uint32_t)digits);
	out->number(out, (double)s->total, 0);
}

static void print(const struct classification *c, const struct rein_experiment *e, const struct scores *s,
                  double *scratch, struct rein_table *out)
{
	int width = (int)sizeof AVERAGE - 1, digits = (int)c->digits;
	char name[32], text[512];
	for (int64_t i = 0; i < s->n; i++) {
		int w = width_of(class_name(e, i, name, sizeof name));
		width = w > width ? w : width;
	}
	width = digits > width ? digits : width;
	snprintf(text, sizeof text, "%*s  %9s %9s %9s %9s", width, "", "precision", "recall", "f1-score", "support");
	out->print(out, text);
	out->print(out, "");
	for (int64_t i = 0; i < s->n; i++)
		line(s, out, class_name(e, i, name, sizeof name), width, (double[]){ s->precision[i], s->recall[i], s->f1[i] },
		     s->support[i], digits);
	out->print(out, "");
	accuracy(out, width, s, digits);
	line(s, out, "macro avg", width, (double[]){ macro(s, s->precision), macro(s, s->recall), macro(s, s->f1) },
	     s->total, digits);
	line(s, out, AVERAGE, width,
	     (double[]){ weighted(s, s->precision, scratch), weighted(s, s->recall, scratch), weighted(s, s->f1, scratch) },
	     s->total, digits);
}

static void score(struct scores *s, const struct rein_predictions *p)
{
	s->total = p->n;
	for (int64_t i = 0; i < p->n; i++) {
		s->support[p->label[i]]++;
		s->predicted[p->guess[i]]++;
		s->right[p->label[i]] += p->label[i] == p->guess[i];
	}
	for (int64_t i = 0; i < s->n; i++) {
		s->precision[i] = ratio((double)s->right[i], (double)s->predicted[i]);
		s->recall[i] = ratio((double)s->right[i], (double)s->support[i]);
		s->f1[i] = ratio(2 * (double)s->right[i], (double)(s->support[i] + s->predicted[i]));
	}
}

static rein_status one_run(const struct classification *c, const struct rein_host *host,
                           const struct rein_experiment *e, uint32_t run, struct rein_table *out)
{
	static const char *const head[] = { "class", "precision", "recall", "f1-score", "support" };
	const struct rein_report_run *q = rein_run_at(e, run);
	const struct rein_predictions *p = e->predictions(e, run, c->split);
	struct scores s = { .n = e->info->classes };
	uint64_t n = (uint64_t)s.n;
	char title[200];

	if (!p)
		return rein_failf(host, "split=%s: there are predictions for '%s'%s", c->split,
		                  e->predicted(e, run, 0) ? e->predicted(e, run, 0) : "no split, for want of classes",
		                  e->predicted(e, run, 0) && e->predicted(e, run, 1) ? " and other splits" : "");
	int64_t *counts = host->alloc(host, 3 * n * sizeof *counts);
	double *ratios = host->alloc(host, 4 * n * sizeof *ratios);
	if (!counts || !ratios) {
		host->free(host, counts);
		host->free(host, ratios);
		return REIN_ERROR;
	}
	s.support = counts, s.predicted = counts + n, s.right = counts + 2 * n;
	s.precision = ratios, s.recall = ratios + n, s.f1 = ratios + 2 * n;
	score(&s, p);
	snprintf(title, sizeof title, "classification of %s: %s, seed %lld", c->split, q->variant[0] ? q->variant : "main",
	         (long long)q->seed);
	out->begin(out, title, 5, head);
	print(c, e, &s, ratios + 3 * n, out);
	host->free(host, counts);
	host->free(host, ratios);
	return REIN_OK;
}

static rein_status classification_record(const void *self, const struct rein_host *host,
                                         const struct rein_experiment *e, struct rein_table *out)
{
	for (uint32_t i = 0; i < e->n_run; i++)
		if (one_run(self, host, e, i, out) < 0)
			return REIN_ERROR;
	return REIN_OK;
}

static const struct rein_report_vt classification_vt = { .struct_size = sizeof classification_vt,
	                                                     .flags = REIN_WANTS_PREDICTIONS,
	                                                     .record = classification_record };
REIN_COMPONENT(classification, REIN_REPORT, struct classification, classification_keys, &classification_vt,
               .summary = "precision, recall and F1 of every class, and their averages",
               .reference = "sklearn.metrics.classification_report");
REIN_PLUGIN("classification", "1.0.0", "MIT", &classification_component)
