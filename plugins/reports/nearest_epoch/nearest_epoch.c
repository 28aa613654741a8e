/* SPDX-License-Identifier: MIT
 *
 * nearest_epoch: early stopping is L2 for some alpha. For each variant with an L2 term, the epoch
 * tau at which the weights of the unregularized run (same seed) came nearest to its final ones, how
 * near, and 1/(tau lr), which should be about alpha, where the penalty is (alpha/2) sum w^2. 000-4c.
 * Needs [run] track = yes.
 */
#include <string.h>

#include "rein/rein.h"

struct nearest_epoch {
	const char *reference, *regularizer;
	int32_t bias;
};
static const struct rein_key nearest_epoch_keys[] = {
	REIN_STRING(struct nearest_epoch, reference, "plain", "variant without regularization, whose path is followed"),
	REIN_STRING(struct nearest_epoch, regularizer, "l2", "name of the L2 term in the other variants"),
	REIN_BOOL(struct nearest_epoch, bias, "no", "distances over all parameters, not only those named *.weight"),
	REIN_KEYS_END,
};

/* Biases are left out by default, as they are not penalised either. */
static int counts(const struct nearest_epoch *s, const char *param)
{
	size_t length = strlen(param);
	return s->bias || (length > 7 && strcmp(param + length - 7, ".weight") == 0);
}

static double square_distance(const struct nearest_epoch *s, const struct rein_report_run *path, int64_t epoch,
                              const struct rein_report_run *to)
{
	double sum = 0;
	for (uint32_t i = 0; i < to->n_param; i++) {
		if (!counts(s, to->param_name[i]))
			continue;
		const float *row = path->path[i] + epoch * path->param_size[i];
		for (int64_t k = 0; k < to->param_size[i]; k++)
			sum += ((double)row[k] - (double)to->param[i][k]) * ((double)row[k] - (double)to->param[i][k]);
	}
	return sum;
}

/* alpha of (alpha/2) sum w^2: 2 lambda, or lambda with half=yes; NaN: no such term. */
static double alpha_of(const struct nearest_epoch *s, const struct rein_experiment *e, uint32_t run)
{
	char half[200], lambda[200];
	snprintf(half, sizeof half, "regularizers.%s.half", s->regularizer);
	snprintf(lambda, sizeof lambda, "regularizers.%s.lambda", s->regularizer);
	return (rein_key_number(e, run, half) == 1 ? 1 : 2) * rein_key_number(e, run, lambda);
}

static int comparable(const struct rein_report_run *a, const struct rein_report_run *b)
{
	if (a->n_param != b->n_param)
		return 0;
	for (uint32_t i = 0; i < a->n_param; i++)
		if (a->param_size[i] != b->param_size[i])
			return 0;
	return 1;
}

static const struct rein_report_run *reference_of(const struct nearest_epoch *s, const struct rein_experiment *e,
                                                  int64_t seed)
{
	for (uint32_t i = 0; i < e->n_run; i++)
		if (rein_run_at(e, i)->seed == seed && strcmp(rein_run_at(e, i)->variant, s->reference) == 0)
			return rein_run_at(e, i);
	return NULL;
}

static rein_status one_run(const struct nearest_epoch *s, const struct rein_host *host, const struct rein_experiment *e,
                           uint32_t i, struct rein_table *out)
{
	const struct rein_report_run *run = rein_run_at(e, i), *path = reference_of(s, e, run->seed);
	int64_t tau = 0;
	double best = INFINITY, alpha = alpha_of(s, e, i);
	if (!path)
		return rein_failf(host, "there is no finished variant '%s' (reference=) with seed %lld", s->reference,
		                  (long long)run->seed);
	if (path == run || alpha != alpha)
		return REIN_OK;
	if (!path->path)
		return rein_failf(host, "needs the weights of every epoch: set 'track = yes' in [run]");
	if (!comparable(path, run))
		return rein_failf(host, "variants '%s' and '%s' have different parameters", s->reference, run->variant);
	for (int64_t epoch = 0; epoch <= path->epochs; epoch++) {
		double far = square_distance(s, path, epoch, run);
		if (far < best) {
			best = far;
			tau = epoch;
		}
	}
	double inverse = tau > 0 ? 1 / ((double)tau * path->lr) : NAN;
	out->text(out, run->variant);
	out->number(out, (double)run->seed, 0);
	out->number(out, alpha, 6);
	out->number(out, (double)tau, 0);
	out->number(out, sqrt(best), 6);
	out->number(out, inverse, 6);
	out->number(out, inverse / alpha, 4);
	return REIN_OK;
}

static rein_status nearest_epoch_record(const void *self, const struct rein_host *host, const struct rein_experiment *e,
                                        struct rein_table *out)
{
	static const char *const head[] = { "variant", "seed", "alpha", "tau", "distance", "1/(tau lr)", "ratio" };
	out->begin(out, "nearest_epoch: the epoch of the unregularized run nearest to each L2 solution", 7, head);
	for (uint32_t i = 0; i < e->n_run; i++)
		if (one_run(self, host, e, i, out) != REIN_OK)
			return REIN_ERROR;
	out->note(out, "alpha: of the penalty (alpha/2) sum w^2; ratio: 1/(tau lr) over alpha. tau counts epochs of one "
	               "update each (batch = all).");
	return REIN_OK;
}

static const struct rein_report_vt nearest_epoch_vt = { .struct_size = sizeof nearest_epoch_vt,
	                                                    .record = nearest_epoch_record };
REIN_COMPONENT(nearest_epoch, REIN_REPORT, struct nearest_epoch, nearest_epoch_keys, &nearest_epoch_vt,
               .summary = "early stopping against L2: the nearest epoch of the unregularized path",
               .reference = "Goodfellow et al., Deep Learning 2016, section 7.8");
REIN_PLUGIN("nearest_epoch", "1.0.0", "MIT", &nearest_epoch_component)
