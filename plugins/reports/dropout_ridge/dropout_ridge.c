/* SPDX-License-Identifier: MIT
 *
 * dropout_ridge: a linear layer trained with dropout p on its inputs minimises
 *   mean (x w + b - y)^2 + p/(1-p) sum_j w_j^2 mean(x_j^2),
 * ridge regression scaled by the data (formula R16). With A the rows (x, 1):
 *   (A'A/n + diag(p/(1-p) mean(x_j^2), 0)) (w, b) = A'y/n.
 * The table sets the trained weights beside this solution. 000-3b.
 */
#include <string.h>

#include "rein/rein.h"

struct dropout_ridge {
	const char *layer;
};
static const struct rein_key dropout_ridge_keys[] = {
	REIN_STRING(struct dropout_ridge, layer, "drop", "name of the dropout layer on the inputs, whose p is used"),
	REIN_KEYS_END,
};

/* Solves the symmetric positive definite system m x = v in place by Cholesky; m is (n,n) row
 * by row. 0 if it is singular. */
static int solve(double *m, double *v, int64_t n)
{
	for (int64_t j = 0; j < n; j++) {
		for (int64_t k = 0; k < j; k++)
			m[j * n + j] -= m[j * n + k] * m[j * n + k];
		if (!(m[j * n + j] > 1e-14))
			return 0;
		m[j * n + j] = sqrt(m[j * n + j]);
		for (int64_t i = j + 1; i < n; i++) {
			for (int64_t k = 0; k < j; k++)
				m[i * n + j] -= m[i * n + k] * m[j * n + k];
			m[i * n + j] /= m[j * n + j];
		}
	}
	for (int64_t i = 0; i < n; i++) {
		for (int64_t k = 0; k < i; k++)
			v[i] -= m[i * n + k] * v[k];
		v[i] /= m[i * n + i];
	}
	for (int64_t i = n - 1; i >= 0; i--) {
		for (int64_t k = i + 1; k < n; k++)
			v[i] -= m[k * n + i] * v[k];
		v[i] /= m[i * n + i];
	}
	return 1;
}

/* out[0..d]: weights, then bias; d without one. m: scratch (d+1)^2. */
static int ridge(const struct rein_experiment *e, double p, int64_t size, double *m, double *out)
{
	int64_t d = e->n_feature;
	memset(m, 0, (size_t)(size * size) * sizeof *m);
	memset(out, 0, (size_t)size * sizeof *out);
	for (int64_t k = 0; k < e->n; k++) {
		const float *x = e->x + k * d;
		for (int64_t i = 0; i < size; i++) {
			double xi = i < d ? (double)x[i] : 1;
			out[i] += xi * (double)e->y[k * e->n_target] / (double)e->n;
			for (int64_t j = 0; j < size; j++)
				m[i * size + j] += xi * (j < d ? (double)x[j] : 1) / (double)e->n;
		}
	}
	for (int64_t i = 0; i < d; i++)
		m[i * size + i] += p / (1 - p) * m[i * size + i];
	return solve(m, out, size);
}

static void row(struct rein_table *out, const char *variant, const char *what, double p, const double *w, int64_t size,
                double far)
{
	out->text(out, variant);
	out->text(out, what);
	out->number(out, p, 4);
	for (int64_t i = 0; i < size; i++)
		out->number(out, w[i], 6);
	out->number(out, far, 6);
}

/* The trained weights of the variant that starts at run `first`, averaged over its seeds. */
static uint32_t trained(const struct rein_experiment *e, uint32_t first, int64_t size, double *w)
{
	uint32_t n = 0;
	memset(w, 0, (size_t)size * sizeof *w);
	for (uint32_t i = first; i < e->n_run; i++, n++) {
		const struct rein_report_run *run = rein_run_at(e, i);
		if (strcmp(run->variant, rein_run_at(e, first)->variant) != 0)
			break;
		for (uint32_t k = 0, at = 0; k < run->n_param; k++)
			for (int64_t j = 0; j < run->param_size[k]; j++)
				w[at++] += (double)run->param[k][j];
	}
	for (int64_t i = 0; i < size; i++)
		w[i] /= n;
	return n;
}

static rein_status rows(const struct dropout_ridge *s, const struct rein_host *host, const struct rein_experiment *e,
                        int64_t size, double *m, struct rein_table *out)
{
	double *w = m + size * size, *closed = w + size;
	char path[160];
	snprintf(path, sizeof path, "network.%s.p", s->layer);
	for (uint32_t i = 0, n; i < e->n_run; i += n) {
		const char *variant = rein_run_at(e, i)->variant;
		double p = rein_key_number(e, i, path), far = 0;
		if (p != p)
			return rein_failf(host, "variant '%s' has no key %s (layer=)", variant, path);
		n = trained(e, i, size, w);
		if (!ridge(e, p, size, m, closed))
			return rein_failf(host, "variant '%s': the normal equations are singular", variant);
		for (int64_t k = 0; k < size; k++)
			far += (w[k] - closed[k]) * (w[k] - closed[k]);
		row(out, variant, "trained", p, w, size, sqrt(far));
		row(out, variant, "closed form", p, closed, size, 0);
	}
	return REIN_OK;
}

static rein_status dropout_ridge_record(const void *self, const struct rein_host *host, const struct rein_experiment *e,
                                        struct rein_table *out)
{
	int64_t size = 0;
	rein_status how = REIN_ERROR;
	if (!e->n_run || e->n < 1 || e->n_feature < 1)
		return rein_failf(host, "no run has finished");
	for (uint32_t i = 0; i < e->n_run; i++) {
		const struct rein_report_run *run = rein_run_at(e, i);
		size = 0;
		for (uint32_t k = 0; k < run->n_param; k++)
			size += run->param_size[k];
		if (run->n_param > 2 || (size != e->n_feature && size != e->n_feature + 1) || e->n_feature > 64)
			return rein_failf(host, "needs one linear layer with one output on 64 features at most");
	}
	char(*name)[24] = host->alloc(host, (uint64_t)size * sizeof *name);
	const char **head = host->alloc(host, (uint64_t)(size + 4) * sizeof *head);
	double *m = host->alloc(host, (uint64_t)(size * size + 2 * size) * sizeof *m);
	if (name && head && m) {
		uint32_t n = 0;
		head[n++] = "variant";
		head[n++] = "solution";
		head[n++] = "p";
		for (int64_t i = 0; i < size; i++) {
			if (i < e->n_feature)
				snprintf(name[i], sizeof name[i], "w%lld", (long long)i + 1);
			head[n++] = i < e->n_feature ? name[i] : "b";
		}
		head[n++] = "distance";
		out->begin(out, "dropout_ridge: trained with dropout, and the ridge regression it stands for", n, head);
		how = rows(self, host, e, size, m, out);
		out->note(out, "closed form: minimises MSE + p/(1-p) sum_j w_j^2 mean(x_j^2), the bias left free");
	}
	host->free(host, name);
	host->free(host, head);
	host->free(host, m);
	return how;
}

static const struct rein_report_vt dropout_ridge_vt = { .struct_size = sizeof dropout_ridge_vt,
	                                                    .flags = REIN_WANTS_SAMPLES,
	                                                    .record = dropout_ridge_record };
REIN_COMPONENT(dropout_ridge, REIN_REPORT, struct dropout_ridge, dropout_ridge_keys, &dropout_ridge_vt,
               .summary = "input dropout in linear regression beside the ridge regression that it is",
               .reference = "Srivastava et al. 2014, section 9.1; Wager et al. 2013");
REIN_PLUGIN("dropout_ridge", "1.0.0", "MIT", &dropout_ridge_component)
