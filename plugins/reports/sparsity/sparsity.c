/* SPDX-License-Identifier: MIT
 *
 * sparsity: for each parameter at the end of a run its shape, how many entries are not zero, the
 * smallest and largest, and how many bytes it takes in float32
 *   dense    4 per entry
 *   csr      4 per non-zero, 4 for its column, 4 for each row's start and one more; rows are the
 *            first dimension, a vector is one row
 *   bitmap   4 per non-zero, one bit per entry
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

static void row(struct rein_table *out, const char *name, const char *shape, const struct line *l)
{
	out->text(out, name);
	out->text(out, shape);
	out->number(out, l->entries, 0);
	out->number(out, l->nonzero, 0);
	out->number(out, l->entries > 0 ? 100 * (1 - l->nonzero / l->entries) : NAN, 2);
	out->number(out, l->min, 6);
	out->number(out, l->max, 6);
	out->number(out, l->dense, 0);
	out->number(out, l->csr, 0);
	out->number(out, l->bitmap, 0);
}

static rein_status sparsity_record(const void *self, const struct rein_host *host, const struct rein_experiment *e,
                                   struct rein_table *out)
{
	static const char *const head[] = { "parameter", "shape", "entries", "non-zero", "zero %",
		                                "min",       "max",   "dense B", "csr B",    "bitmap B" };
	for (uint32_t i = 0; i < e->n_run; i++) {
		const struct rein_report_run *q = rein_run_at(e, i);
		struct line all = { .min = NAN, .max = NAN };
		char title[160], shape[96];
		snprintf(title, sizeof title, "sparsity: %s, seed %lld", q->variant[0] ? q->variant : "main",
		         (long long)q->seed);
		out->begin(out, title, sizeof head / sizeof *head, head);
		for (uint32_t k = 0; k < q->n_param; k++) {
			struct line l = line_of(q, k);
			shape_text(q, k, shape, sizeof shape);
			row(out, q->param_name[k], shape, &l);
			all.entries += l.entries;
			all.nonzero += l.nonzero;
			all.min = k && all.min < l.min ? all.min : l.min;
			all.max = k && all.max > l.max ? all.max : l.max;
			all.dense += l.dense;
			all.csr += l.csr;
			all.bitmap += l.bitmap;
		}
		row(out, "all", "", &all);
	}
	out->note(out, "Bytes of float32: dense 4 per entry; csr 8 per non-zero and 4 per row start; bitmap 4 per "
	               "non-zero and a bit per entry.");
	return REIN_OK;
}

static const struct rein_report_vt sparsity_vt = { .struct_size = sizeof sparsity_vt, .record = sparsity_record };
REIN_COMPONENT(sparsity, REIN_REPORT, struct rein_keyless, NULL, &sparsity_vt,
               .summary = "non-zeros, range and bytes of each parameter, dense and sparse");
REIN_PLUGIN("sparsity", "1.0.0", "MIT", &sparsity_component)
