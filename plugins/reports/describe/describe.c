/* SPDX-License-Identifier: MIT
 *
 * describe: the training data beside what the network made of it: class balance, and for each
 * feature its variance, its covariance with the label (both with n - 1) and the weight that the
 * first layer of each variant gives it. 000-4b.
 */
#include <string.h>

#include "rein/rein.h"

struct describe {
	int64_t rows;
};
static const struct rein_key describe_keys[] = {
	REIN_INT(struct describe, rows, "40", 1, 100000, "features that are listed, at most"),
	REIN_KEYS_END,
};

static double mean_of(const float *x, int64_t n, int64_t stride)
{
	double sum = 0;
	for (int64_t i = 0; i < n; i++)
		sum += (double)x[i * stride];
	return sum / (double)n;
}

/* Sample covariance, divided by n - 1; NaN for a single sample. */
static double covariance(const float *a, int64_t a_stride, const float *b, int64_t b_stride, int64_t n)
{
	double ma = mean_of(a, n, a_stride), mb = mean_of(b, n, b_stride), sum = 0;
	for (int64_t i = 0; i < n; i++)
		sum += ((double)a[i * a_stride] - ma) * ((double)b[i * b_stride] - mb);
	return sum / (double)(n - 1);
}

static void balance(const struct rein_experiment *e, struct rein_table *out)
{
	static const char *const head[] = { "class", "samples", "share" };
	char name[32];
	if (e->info->target != REIN_TARGET_CLASS)
		return;
	out->begin(out, "describe: classes of the training split", 3, head);
	for (int64_t c = 0; c < e->info->classes; c++) {
		int64_t count = 0;
		for (int64_t i = 0; i < e->n; i++)
			count += (int64_t)e->y[i * e->n_target] == c;
		snprintf(name, sizeof name, "%lld", (long long)c);
		out->text(out, e->info->class_names ? e->info->class_names[c] : name);
		out->number(out, (double)count, 0);
		out->number(out, (double)count / (double)e->n, 4);
	}
}

/* What the first weight tensor makes of feature j: the weight, or for several units the norm
 * of the column. NaN where the first layer does not see the features directly. */
static double weight_of(const struct rein_experiment *e, uint32_t run, int64_t j)
{
	const struct rein_report_run *q = rein_run_at(e, run);
	for (uint32_t i = 0; i < q->n_param; i++) {
		size_t length = strlen(q->param_name[i]);
		if (length < 7 || strcmp(q->param_name[i] + length - 7, ".weight") != 0)
			continue;
		int64_t units = q->param_size[i] / e->n_feature;
		double sum = 0;
		if (units < 1 || units * e->n_feature != q->param_size[i])
			return NAN;
		if (units == 1)
			return (double)q->param[i][j];
		for (int64_t u = 0; u < units; u++)
			sum += (double)q->param[i][u * e->n_feature + j] * (double)q->param[i][u * e->n_feature + j];
		return sqrt(sum);
	}
	return NAN;
}

/* Mean over the seeds of the variant that starts at run `first`. */
static double weight_mean(const struct rein_experiment *e, uint32_t first, int64_t j)
{
	double sum = 0;
	uint32_t n = 0;
	for (uint32_t i = first; i < e->n_run; i++)
		if (strcmp(rein_run_at(e, i)->variant, rein_run_at(e, first)->variant) == 0) {
			sum += weight_of(e, i, j);
			n++;
		}
	return sum / n;
}

static int starts_variant(const struct rein_experiment *e, uint32_t i)
{
	return i == 0 || strcmp(rein_run_at(e, i)->variant, rein_run_at(e, i - 1)->variant) != 0;
}

static rein_status features(const struct describe *s, const struct rein_host *host, const struct rein_experiment *e,
                            struct rein_table *out)
{
	const char **head = host->alloc(host, (e->n_run + 4) * sizeof *head);
	uint32_t n = 0;
	char name[80];
	if (!head)
		return REIN_ERROR;
	head[n++] = "feature";
	head[n++] = "mean";
	head[n++] = "variance";
	head[n++] = "covariance with y";
	for (uint32_t i = 0; i < e->n_run; i++)
		if (starts_variant(e, i))
			head[n++] = rein_run_at(e, i)->variant[0] ? rein_run_at(e, i)->variant : "weight";
	out->begin(out, "describe: features and first-layer weights", n, head);
	for (int64_t j = 0; j < e->n_feature && j < s->rows; j++) {
		const float *x = e->x + j;
		snprintf(name, sizeof name, "x%lld", (long long)j + 1);
		out->text(out, name);
		out->number(out, mean_of(x, e->n, e->n_feature), 6);
		out->number(out, covariance(x, e->n_feature, x, e->n_feature, e->n), 6);
		out->number(out, covariance(x, e->n_feature, e->y, e->n_target, e->n), 6);
		for (uint32_t i = 0; i < e->n_run; i++)
			if (starts_variant(e, i))
				out->number(out, weight_mean(e, i, j), 6);
	}
	if (e->n_feature > s->rows) {
		snprintf(name, sizeof name, "%lld more features are not listed (rows=%lld)",
		         (long long)(e->n_feature - s->rows), (long long)s->rows);
		out->note(out, name);
	}
	out->note(out, "Variance and covariance divide by n - 1. Columns of variants: the first layer's weight for the "
	               "feature; with several units, the norm of its weights.");
	if (e->n_target > 1 || (e->info->target == REIN_TARGET_CLASS && e->info->classes > 2))
		out->note(out, "y is the number of the class, or the first target.");
	host->free(host, head);
	return REIN_OK;
}

static rein_status describe_record(const void *self, const struct rein_host *host, const struct rein_experiment *e,
                                   struct rein_table *out)
{
	if (e->n < 2 || e->n_feature < 1 || !e->info)
		return rein_failf(host, "needs a training split of 2 samples or more");
	balance(e, out);
	return features(self, host, e, out);
}

static const struct rein_report_vt describe_vt = { .struct_size = sizeof describe_vt,
	                                               .flags = REIN_WANTS_SAMPLES,
	                                               .record = describe_record };
REIN_COMPONENT(describe, REIN_REPORT, struct describe, describe_keys, &describe_vt,
               .summary = "variances, covariances and classes of the data beside the first layer's weights");
REIN_PLUGIN("describe", "1.0.0", "MIT", &describe_component)
