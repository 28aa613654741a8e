/* SPDX-License-Identifier: MIT
 *
 * report.h: tables over a finished experiment: all variants and seeds of a config.
 * Printed and written to the run folder by the core. All [control].
 */
#ifndef REIN_REPORT_H
#define REIN_REPORT_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dataset.h"

/* One finished run. Arrays belong to the core. */
struct rein_report_run {
	uint32_t struct_size, n_param;
	const char *variant;
	int64_t seed, epochs;          /* epochs done */
	double lr;                     /* base learning rate of the first optimizer */
	const char *const *param_name; /* n_param, "fc.weight" ... in network order */
	const int64_t *param_size;     /* elements of each */
	const float *const *param;     /* final values of each, row by row */
	/* With [run] track = yes: values after each epoch; path[i] holds epochs+1 rows of
	 * param_size[i], row 0 the initial values. Else NULL. */
	const float *const *path;
	/* Shapes: param_rank[i] dimensions of param i in param_dim[i]. */
	const uint32_t *param_rank;
	const int64_t (*param_dim)[REIN_MAX_RANK];
	/* What pruned each: "threshold value=0.01", or "" */
	const char *const *param_rule;
};
/* What the final network says of a split, sample by sample in stored order: classes from 0. */
struct rein_predictions {
	uint32_t struct_size, reserved;
	int64_t n;
	const int32_t *label, *guess;
};
struct rein_experiment {
	uint32_t struct_size, n_run, run_size, reserved;
	const struct rein_report_run *run; /* n_run, run_size bytes apart; variants in config order, then seeds */
	/* Training split as the first run saw it: n rows of n_feature floats, targets of n_target. */
	int64_t n, n_feature, n_target;
	const float *x, *y;
	const struct rein_dataset_info *info;
	/* A key of a run's config by path ("regularizers.l2.lambda"): its text, defaults included, or NULL. */
	const char *(*key)(const struct rein_experiment *, uint32_t run, const char *path);
	/* A metric by name at the last epoch ("val.accuracy"); NaN if there is none. */
	double (*metric)(const struct rein_experiment *, uint32_t run, const char *name);
	/* Stages of [stages] in the order they ran: name of stage i and its type ("train", "prune"
	 * ...), NULL past the last; and a metric of its last row, NaN if it has none. Where a run
	 * prunes or removes, every stage ends with the network's sizes and times: parameters,
	 * nonzero, nonzero.<parameter>, sparsity, macs and macs.nonzero (one sample), bytes.dense,
	 * bytes.csr, bytes.bitmap, forward_ms (one batch, evaluation mode). */
	const char *(*stage)(const struct rein_experiment *, uint32_t run, uint32_t i, const char **type);
	double (*stage_metric)(const struct rein_experiment *, uint32_t run, uint32_t i, const char *name);
	/* Row i of metrics.jsonl: name and type of its stage and the epoch within it, NULL past the
	 * last; a number of it, NaN if it has none; and the names that the numbers of a run have, in
	 * the order in which they came up, NULL past the last. */
	const char *(*row)(const struct rein_experiment *, uint32_t run, uint32_t i, const char **type, int64_t *epoch);
	double (*row_metric)(const struct rein_experiment *, uint32_t run, uint32_t i, const char *name);
	const char *(*metric_name)(const struct rein_experiment *, uint32_t run, uint32_t i);
	/* With REIN_WANTS_PREDICTIONS, on data with classes: of `split`, NULL where there are none;
	 * and the splits that have some, NULL past the last: all but train, or train where it is alone. */
	const struct rein_predictions *(*predictions)(const struct rein_experiment *, uint32_t run, const char *split);
	const char *(*predicted)(const struct rein_experiment *, uint32_t run, uint32_t i);
};
static inline const struct rein_report_run *rein_run_at(const struct rein_experiment *e, uint32_t i)
{
	return (const struct rein_report_run *)(const void *)((const char *)e->run + (size_t)i * e->run_size);
}
/* A key as a number: 0.1, 8/255; yes is 1 and no 0; NaN if there is no such key. */
static inline double rein_key_number(const struct rein_experiment *e, uint32_t run, const char *path)
{
	const char *text = e->key(e, run, path);
	char *end = NULL;
	double v = text ? strtod(text, &end) : NAN;
	if (text && end == text)
		return !strcmp(text, "yes") || !strcmp(text, "true") || !strcmp(text, "on") ? 1 : 0;
	return text && *end == '/' ? v / strtod(end + 1, NULL) : v;
}
/* Collects rows; begin() once per table, then cells row by row. */
struct rein_table {
	uint32_t struct_size, reserved;
	void (*begin)(struct rein_table *, const char *title, uint32_t n_column, const char *const *column);
	void (*text)(struct rein_table *, const char *cell);
	void (*number)(struct rein_table *, double cell, uint32_t digits); /* NaN prints as "-" */
	void (*note)(struct rein_table *, const char *line);               /* a line below the table */
	/* A line of text (no newline) as which the table is printed, instead of its cells; what is
	 * written as JSON are the cells. */
	void (*print)(struct rein_table *, const char *line);
};

#define REIN_WANTS_PREDICTIONS 1u /* flags of a report */
#define REIN_WANTS_SAMPLES     2u /* x and y; without it n may be 0: samples that are not kept in memory */

struct rein_report_vt {
	uint32_t struct_size, flags;
	rein_status (*record)(const void *self, const struct rein_host *, const struct rein_experiment *,
	                      struct rein_table *);
};

#endif
