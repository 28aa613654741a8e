/* SPDX-License-Identifier: MIT
 *
 * sparsity: what pruning has done to a network. For each parameter at the end of a run its shape,
 * how many entries are not zero now and were not before the first cut, the smallest and largest,
 * how many bytes it takes in float32, and which pruners reached it:
 *   dense    4 per entry
 *   csr      4 per non-zero, 4 for its column, 4 for each row's start and one more; rows are the
 *            first dimension, a vector is one row
 *   bitmap   4 per non-zero, one bit per entry
 * And the network after each stage of a run that prunes: what is left, its bytes, multiply-adds of
 * one sample (all of them, and those whose weight is not zero), the measured time of one batch,
 * accuracy: before, after, and after fine-tuning, dense, masked, and with channels removed.
 */
#include <stdio.h>

#include "rein/rein.h"

static void shape_text(const struct rein_report_run *q, uint32_t i, char *out, size_t size)
{
	size_t n = 0;
	out[0] = 0;
	for (uint32_t k = 0; k < q->param_rank[i] && n < size; k++)
		n += (size_t)snprintf(out + n, size - n, "%s%lld", k ? "x" : "", (long long)q->param_dim[i][k]);
}

/* entries, non-zeros, min, max, bytes dense, csr, bitmap */
struct line {
	double entries, nonzero, min, max, dense, csr, bitmap;
};

static struct line line_of(const struct rein_report_run *q, uint32_t i)
{
	const float *w = q->param[i];
	int64_t n = q->param_size[i], rows = q->param_rank[i] > 1 ? q->param_dim[i][0] : 1;
	struct line l = { .entries = (double)n, .min = NAN, .max = NAN };
	for (int64_t k = 0; k < n; k++) {
		l.nonzero += w[k] != 0;
		l.min = k && l.min < (double)w[k] ? l.min : (double)w[k];
		l.max = k && l.max > (double)w[k] ? l.max : (double)w[k];
	}
	l.dense = 4 * l.entries;
	l.csr = 8 * l.nonzero + 4 * (double)(rows + 1);
	l.bitmap = 4 * l.nonzero + (double)((n + 7) / 8);
	return l;
}

static void row(struct rein_table *out, const char *name, const char *shape, double before, const struct line *l,
                const char *rule)
{
	out->text(out, name);
	out->text(out, shape);
	out->number(out, l->entries, 0);
	out->number(out, before, 0);
	out->number(out, l->nonzero, 0);
	out->number(out, l->entries > 0 ? 100 * (1 - l->nonzero / l->entries) : NAN, 2);
	out->number(out, l->min, 6);
	out->number(out, l->max, 6);
	out->number(out, l->dense, 0);
	out->number(out, l->csr, 0);
	out->number(out, l->bitmap, 0);
	out->text(out, rule);
}

static void add(struct line *all, const struct line *l)
{
	all->min = all->entries > 0 && all->min < l->min ? all->min : l->min;
	all->max = all->entries > 0 && all->max > l->max ? all->max : l->max;
	all->entries += l->entries;
	all->nonzero += l->nonzero;
	all->dense += l->dense;
	all->csr += l->csr;
	all->bitmap += l->bitmap;
}

/* Non-zeros of parameter k ahead of the first prune stage; all entries where that is the first of all
 * stages, or where it is pruned while it trains; NaN where nothing prunes it. */
static double before_cut(const struct rein_experiment *e, uint32_t run, uint32_t k)
{
	const struct rein_report_run *q = rein_run_at(e, run);
	const char *type, *stage;
	char metric[160];
	double before = (double)q->param_size[k];
	snprintf(metric, sizeof metric, "nonzero.%s", q->param_name[k]);
	for (uint32_t i = 0; (stage = e->stage(e, run, i, &type)); i++) {
		if (!strcmp(type, "prune"))
			return before;
		before = e->stage_metric(e, run, i, metric);
	}
	return q->param_rule[k][0] ? (double)q->param_size[k] : NAN;
}

static void parameters(const struct rein_experiment *e, uint32_t run, const char *who, struct rein_table *out)
{
	static const char *const head[] = { "parameter", "shape", "entries", "before", "non-zero", "zero %",
		                                "min",       "max",   "dense B", "csr B",  "bitmap B", "rule" };
	const struct rein_report_run *q = rein_run_at(e, run);
	struct line all = { .min = NAN, .max = NAN };
	double all_before = 0;
	char title[200], shape[96];
	snprintf(title, sizeof title, "sparsity: %s", who);
	out->begin(out, title, sizeof head / sizeof *head, head);
	for (uint32_t k = 0; k < q->n_param; k++) {
		struct line l = line_of(q, k);
		double before = before_cut(e, run, k);
		shape_text(q, k, shape, sizeof shape);
		row(out, q->param_name[k], shape, before, &l, q->param_rule[k]);
		add(&all, &l);
		all_before += before;
	}
	row(out, "all", "", all_before, &all, "");
}

static void stages(const struct rein_experiment *e, uint32_t run, const char *who, struct rein_table *out)
{
	static const char *const head[] = {
		"stage",    "parameters", "non-zero",      "zero %",       "dense B",  "csr B",
		"bitmap B", "MACs",       "MACs non-zero", "ms per batch", "val loss", "val %"
	};
	static const char *const metric[] = { "parameters", "nonzero",      "sparsity",    "bytes.dense",
		                                  "bytes.csr",  "bytes.bitmap", "macs",        "macs.nonzero",
		                                  "forward_ms", "val.loss",     "val.accuracy" };
	static const double scale[] = { 1, 1, 100, 1, 1, 1, 1, 1, 1, 1, 100 };
	static const uint32_t digits[] = { 0, 0, 2, 0, 0, 0, 0, 0, 3, 4, 2 };
	const char *stage;
	char title[200];
	double known = 0;
	for (uint32_t i = 0; e->stage(e, run, i, NULL); i++)
		known += e->stage_metric(e, run, i, "parameters") > 0;
	if (!(known > 0)) /* nothing in this run changes its size */
		return;
	snprintf(title, sizeof title, "sparsity, stage by stage: %s", who);
	out->begin(out, title, sizeof head / sizeof *head, head);
	for (uint32_t i = 0; (stage = e->stage(e, run, i, NULL)); i++) {
		out->text(out, stage);
		for (size_t k = 0; k < sizeof metric / sizeof *metric; k++)
			out->number(out, scale[k] * e->stage_metric(e, run, i, metric[k]), digits[k]);
	}
	out->note(out,
	          "MACs: multiply-adds of one sample's forward pass. ms per batch: one forward pass in evaluation mode, "
	          "the fastest of several.");
}

static rein_status sparsity_record(const void *self, const struct rein_host *host, const struct rein_experiment *e,
                                   struct rein_table *out)
{
	char who[160];
	for (uint32_t i = 0; i < e->n_run; i++) {
		const struct rein_report_run *q = rein_run_at(e, i);
		snprintf(who, sizeof who, "%s, seed %lld", q->variant[0] ? q->variant : "main", (long long)q->seed);
		parameters(e, i, who, out);
		out->note(out, "Bytes of float32: dense 4 per entry; csr 8 per non-zero and 4 per row start; bitmap 4 per "
		               "non-zero and a bit per entry.");
		stages(e, i, who, out);
	}
	return REIN_OK;
}

static const struct rein_report_vt sparsity_vt = { .struct_size = sizeof sparsity_vt, .record = sparsity_record };
REIN_COMPONENT(
	sparsity, REIN_REPORT, struct rein_keyless, NULL, &sparsity_vt,
	.summary = "what pruning left: per parameter, and after each stage bytes, multiply-adds, time, accuracy");
REIN_PLUGIN("sparsity", "1.0.0", "MIT", &sparsity_component)
