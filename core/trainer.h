/* SPDX-License-Identifier: MIT
 *
 * trainer.h: one run of one variant with one seed. network.c records the layers, step.c
 * the training step, the evaluation and the event programs, trainer.c owns states and
 * programs and runs epochs, stages.c walks [stages]. Experiments (variants x seeds, run
 * folders, logs, tables) are experiment.c's.
 */
#ifndef CORE_TRAINER_H
#define CORE_TRAINER_H

#include "data.h"
#include "program.h"

enum { CACHE_AUTO, CACHE_YES, CACHE_NO }; /* values of samples that never change: kept? */

/* [run], read by settings.c: every key has a default, unknown ones are errors. */
struct settings {
	int64_t config;            /* version of the language: 1 */
	int64_t epochs, batch;     /* batch 0: the whole training split */
	int64_t n_seed, *seed;     /* seed = 1, or seeds = 1..5 or 1,2,7 */
	const char *backend;       /* auto | cpu | cuda | any component name */
	int64_t threads;           /* 0: all */
	int rng;                   /* RNG_* */
	bool shuffle;              /* training order anew each epoch; default yes */
	bool drop_last;            /* leave a short last batch out; default no */
	bool evaluate_train;       /* evaluate = train,val: metrics of train come from an evaluation
	                            * after the epoch, not from the running mean of the steps */
	int64_t log_every;         /* epochs between evaluations and log lines; the last always; default 1 */
	bool track;                /* keep all parameters after each epoch, for reports */
	int64_t eval_batch;        /* default 1000 */
	int cache;                 /* CACHE_* */
	int64_t data_memory;       /* MiB for the samples of a split; larger ones are streamed; 0: no limit */
	double checkpoint_seconds; /* at most this often; 0: after every epoch; < 0: never */
	const char *weights;       /* safetensors to start from, or NULL */
	double lo, hi;             /* bounds of inputs, for attacks; equal: not given */
	const char *weights_on;    /* patterns of the parameters that are read from it; NULL: all */
	const char *weights_map;   /* ours=theirs,...: layers that the file calls otherwise; or NULL */
	bool weights_averaged;     /* where the file holds averages (EMA), start from these */
	const char *freeze;        /* patterns of parameters that do not train, or NULL */
	const char *out;           /* folder for runs; default "runs" */
};
/* NULL after errors. */
struct settings *settings_read(const struct config *, struct diag *);
void settings_destroy(struct settings *);

/* Numbers of an epoch or stage, by name, in order of first appearance. */
struct metric {
	char name[96];
	double value;
};
struct metrics {
	int n, cap;
	struct metric *m;
};
void metrics_set(struct metrics *, const char *name, double value);
double metrics_get(const struct metrics *, const char *name); /* NaN if absent */
void metrics_finish(struct metrics *);

struct trainer;
struct trainer_env {
	const struct config *config;
	const struct settings *settings;
	struct registry *registry;
	struct instance *backend; /* opened */
	struct data_cache *cache;
	struct host_env host; /* seed is this run's */
	bool check;           /* only to find errors: initial values are not drawn, which takes longest */
	bool to_load;         /* a model or a checkpoint is loaded next: [run] weights stay unopened */
};

/* Makes every instance, opens the data, records and compiles every program: whatever can be
 * wrong is found here, all of it reported to d. NULL after errors. [control] */
struct trainer *trainer_create(const struct trainer_env *, struct diag *d);
void trainer_destroy(struct trainer *); /* accepts NULL */

/* [stages]: number, and how each is called ("fit = train" -> name fit, type train). */
int trainer_stages(const struct trainer *);
const char *trainer_stage_name(const struct trainer *, int i, const char **type);

/* The next piece of work: one epoch of a train stage (steps, evaluation, epoch_end of the
 * regularizers), or a whole stage of another type. > 0 when all stages are done. out gets
 * `train.loss`, `train.accuracy`, `val.loss`, `val.accuracy`, `<regularizer>.penalty`, `lr`,
 * `norm`, `norm.<param>`, `gradient_norm`, `gradient_norm.<param>` (of the epoch's last step),
 * `samples_per_s`, and what plugins add with rein_metric. A loss that is not finite: error,
 * with the layer where it first appeared named; weights are those before that step. */
rein_status trainer_next(struct trainer *, struct metrics *out, struct diag *d);
/* Images and adversarial sets of the stages done since the last call, below `folder`. */
bool trainer_write_files(struct trainer *, const char *folder, char *why, size_t size);
int trainer_stage(const struct trainer *);      /* of the last piece of work */
int64_t trainer_epoch(const struct trainer *);  /* from 1 */
int64_t trainer_epochs(const struct trainer *); /* of that stage */

/* Loss and accuracy on a split, into out as `<split>.loss` ... */
rein_status trainer_evaluate(struct trainer *, const char *split, struct metrics *out, struct diag *);

/* The class that the network gives to each sample of a split, in stored order, into guess. Data
 * with classes only. */
rein_status trainer_predict(struct trainer *, const char *split, int32_t *guess, struct diag *);
/* A sample as evaluation (epoch 0, or another split than train) or training epoch `epoch`, from
 * 1, sees it: read, and with transforms and augmentations, one per view. Epochs that torch's
 * generator orders must be asked for in rising order. Errors are told to d. */
#define SHOW_VIEWS 16
struct shown {
	uint32_t rank[2]; /* before, after */
	int64_t dim[2][REIN_MAX_RANK];
	float *before, *after[SHOW_VIEWS];
	int n_view;
	int32_t label; /* class number, where n_target is 0 */
	float *target; /* n_target numbers: a distribution, or real targets */
	int64_t n_target;
};
bool trainer_show(struct trainer *, const char *split, int64_t sample, int64_t epoch, struct shown *, struct diag *d);
void shown_finish(struct shown *);
/* Numbers of the first `count` samples, or fewer, of batch number `batch` of an epoch; epoch 0, or
 * another split than that of training: as evaluation takes them. How many; 0 after errors in d. */
int64_t trainer_batch(struct trainer *, const char *split, int64_t batch, int64_t epoch, int64_t count, int64_t *sample,
                      struct diag *d);

/* Everything needed to go on, and back: states, stored blocks, best copies, position. */
bool trainer_save(struct trainer *, const char *path, char *why, size_t size); /* checkpoint */
bool trainer_load(struct trainer *, const char *path, char *why, size_t size);
bool trainer_save_model(struct trainer *, const char *path, char *why, size_t size); /* model.safetensors */
bool trainer_load_model(struct trainer *, const char *path, char *why, size_t size);

/* For reports, summaries and tests. */
struct store *trainer_store(struct trainer *);
struct data *trainer_data(struct trainer *);
int trainer_params(struct trainer *, struct state *const **list); /* trainable, network order */
/* What prunes parameter i: "threshold value=0.01", or "". Allocated. */
char *trainer_rule(struct trainer *, int param);
void trainer_print_layers(struct trainer *, FILE *);   /* output shapes, parameters, MACs, bytes */
void trainer_print_kept(struct trainer *, FILE *);     /* values of samples that are computed once, a line each */
void trainer_print_programs(struct trainer *, FILE *); /* ops, fusions, arena offsets */
void trainer_print_memory(struct trainer *, FILE *);   /* states, arena, constants beside what the device has */
void trainer_print_times(struct trainer *, FILE *);    /* of kernels, of what has run so far */
/* All instances, in config order: for resolved.ini. */
int trainer_instances(struct trainer *, struct instance *const **list);
/* With track: parameter i after each epoch, rows of its size, row 0 the initial values. */
const float *trainer_path(struct trainer *, int param, int64_t *rows);

#endif
