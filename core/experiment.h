/* SPDX-License-Identifier: MIT
 *
 * experiment.h: all variants and seeds of one config, run in one process. experiment.c plans,
 * checks and opens; onerun.c does one run; compare.c makes the table; reports.c asks plugins.
 */
#ifndef CORE_EXPERIMENT_H
#define CORE_EXPERIMENT_H

#include "folder.h"
#include "history.h"
#include "runlog.h"
#include "table.h"
#include "tool.h"
#include "trainer.h"

struct open_backend {
	struct instance *instance;
	struct spec spec;  /* what the instance was made from */
	struct pool *keys; /* memory of its keys, or NULL */
	char name[64];
	int64_t threads;
	struct rein_device device;
};

struct variant {
	const char *name; /* "" in a config without variants */
	struct config *config;
	struct settings *settings;
	struct open_backend *backend;
	int n_own; /* loggers and reports, where the trainer makes none */
	struct instance **own;
};

enum run_state {
	RUN_TODO,
	RUN_EARLIER, /* finished by an earlier call: --resume */
	RUN_DONE,
	RUN_FAILED,
	RUN_STOPPED,
};

/* What the final network says of a split. */
struct predicted {
	char *split;
	struct rein_predictions p;
};

struct run {
	struct variant *variant;
	int64_t seed;
	struct run_folder folder;
	enum run_state state;
	bool go_on;     /* from a checkpoint */
	char *resolved; /* text of resolved.ini */
	struct history history;
	struct run_facts facts;
	/* for reports only */
	int n_param;
	char **param_name;
	int64_t *param_size, path_rows;
	uint32_t *param_rank;
	int64_t (*param_dim)[REIN_MAX_RANK];
	char **param_rule;
	float **param, **path;
	int n_predicted;
	struct predicted *predicted;
};

struct experiment {
	struct session *s;
	const char *only;  /* one variant, or NULL */
	const char *again; /* the command line that resumes this experiment */
	bool resume;
	struct progress progress;
	struct data_cache *cache;
	int n_backend, n_variant, n_run;
	struct open_backend **backend;
	struct variant *variant;
	struct run *run;
	struct trainer *first; /* made while checking, used by the first run */
	char *folder;          /* runs/<stem> */
	int lock;
	bool wants_reports, wants_predictions;
	/* training split as the first run saw it, for reports */
	struct rein_dataset_info info;
	char **class_name;
	int64_t n_class_name;
	double *truth;
	float *x, *y;
	int64_t n, n_feature, n_target;
};

struct experiment *experiment_create(struct session *, const char *only, bool resume, bool quiet);
void experiment_destroy(struct experiment *); /* accepts NULL */
/* Reads settings, opens backends, makes a trainer of every variant: all that can be found
 * wrong is. An exit code after messages, or -1. */
int experiment_check(struct experiment *);
/* Runs everything. An exit code. */
int experiment_run(struct experiment *);

/* experiment.c */
/* check: only to find errors; the trainer cannot be run. to_load: as in struct trainer_env. */
struct trainer *experiment_trainer(struct experiment *, const struct variant *, int64_t seed, bool check, bool to_load);
/* The instance made from a spec, among the trainer's or the variant's own; NULL. */
struct instance *experiment_instance(const struct variant *, struct trainer *, const struct spec *);
/* Opens a backend for settings; NULL after errors. `why_not` (may be NULL) gets what `auto`
 * passed over. */
struct open_backend *backend_open(struct session *, const struct config *, const struct settings *, char *why_not,
                                  size_t size);
void backend_close(struct open_backend *); /* accepts NULL */

/* onerun.c: one run, from where it is to its end. false: stop the experiment. */
bool run_one(struct experiment *, struct run *, struct trainer *);
/* Numbers, parameters and paths of a run that finished earlier. */
bool run_recall(struct experiment *, struct run *);
/* Ctrl-C: how often it came. */
extern volatile int stop_requested;

/* compare.c, reports.c: tables over runs that are RUN_DONE or RUN_EARLIER */
void compare_record(const struct experiment *, struct tables *);
bool reports_record(struct experiment *, struct tables *); /* false after errors in the session */
/* Reports that classify: the data has classes, and the split they name is there. */
void reports_check(const struct variant *, struct trainer *, struct diag *);

#endif
