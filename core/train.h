/* SPDX-License-Identifier: MIT
 *
 * train.h: inside of the trainer, shared by network.c, pass.c, step.c, programs.c, scalars.c,
 * metrics.c, epoch.c, trainer.c, stages.c, prune.c, rewind.c, attacks.c and keep.c. A *pass* is the
 * recording of one program; a network knows how to record its layers into it.
 * What [stages] is made of stands in stages.h.
 */
#ifndef CORE_TRAIN_H
#define CORE_TRAIN_H

#include "checkpoint.h"
#include "stages.h"
#include "trainer.h"

/* What a key of type REF points to. Filled when all instances exist. */
struct rein_ref {
	uint32_t kind; /* REIN_ATTACK, REIN_AUGMENTATION, or REIN_LAYER for a network */
	const char *name;
	struct instance *attack, *augmentation;
	struct network *network;
};

struct layer {
	struct instance *inst;
	int n_in, *in; /* layers it reads; -1: the network's input */
	uint32_t rank; /* of its output, batch first; known after the first recording */
	int64_t dim[REIN_MAX_RANK];
	int64_t macs; /* of one sample: products as recorded */
};

struct network {
	const char *name; /* "" for [network] */
	const struct section *section;
	int n;
	struct layer *layer;
	struct rein_model model; /* impl points back here */
	int n_param, cap_param;  /* trainable ones, in network order */
	struct state **param;
};

/* A scalar that changes with the step: a row of the state `table` (n_scalar, steps per epoch). */
struct scalar {
	const struct instance *who;
	const char *key;                    /* knobs; NULL: per_step */
	double now;                         /* knobs: value of the key */
	double (*f)(const void *, int64_t); /* per_step */
	const void *self;
};

/* One metric that programs accumulate on the device until the host asks. */
struct meter {
	char name[96];
	uint32_t how;        /* REIN_MEAN ... */
	bool set;            /* shown even in an epoch without steps */
	struct state *value; /* WIDE, or REAL for PEAK */
	struct state *count; /* I32; MEAN only */
};

/* A split's states and programs. */
struct portion {
	struct split *split;
	struct state *x, *y;
	struct state *slot;        /* streamed: the row of x that holds each sample, or -1 */
	struct stream *stream;     /* streamed, else NULL */
	int64_t batch, full, rest; /* evaluation: full batches of `batch`, then one of `rest` */
	struct compiled *run_full, *run_rest;
};

/* In which order a split's samples are used. */
struct tour {
	const int32_t *order;    /* places in the split; NULL: as stored */
	int64_t n, batch;        /* of them; of a step, the last may have fewer */
	int64_t epoch;           /* of training, for augmentations on the host; -1: without them */
	const struct tour *then; /* what probably comes behind it, or NULL */
};

struct trainer {
	struct trainer_env env;
	struct diag *diag; /* while creating or in a call; not owned */
	struct store *store;
	struct data *data;
	struct split *train;

	int n_inst, cap_inst;
	struct instance **inst; /* all, in config order */
	int n_ref, cap_ref;
	struct rein_ref **ref;
	int n_net;
	struct network **net; /* net[0]: [network] */

	/* by kind, in config order; pointers into inst */
	int n_optimizer, n_schedule, n_regularizer, n_transform, n_augmentation, n_attack, n_pruner, n_detector;
	struct instance **optimizer, **schedule, **regularizer, **transform, **augmentation, **attack, **pruner, **detector;
	struct instance *loss;

	int64_t batch, steps, rest;    /* steps per epoch; rest: samples in a shorter last one, or 0 */
	bool has_view, refresh, masks; /* masks: pruned weights train on */
	bool looked;                   /* the parameters are known */
	bool smaller;                  /* channels were removed: shapes are not those of the config */
	bool prunes;                   /* a stage prunes or removes: stages end with sizes and times */

	int n_scalar, cap_scalar;
	struct scalar *scalar;
	int n_meter, cap_meter;
	struct meter *meter;
	struct state *order, *step, *entry, *epoch, *bad, *table; /* order: the permutation */
	struct state *eval_entry, *eval_loss, *eval_correct;
	bool has_correct;

	int n_portion;
	struct portion *portion;
	int n_features, n_kept;
	struct features **features; /* values of samples that are computed once: features.c */
	struct kept {
		struct state *state;
		bool used;
	} * kept;                                            /* their states, also those given back */
	struct compiled *step_full, *step_last, *step_quiet; /* last: the epoch's last step, with gradient norms */
	struct compiled *stats_full, *stats_rest;            /* REIN_REFRESH_STATS: a pass over the training split */
	struct compiled *event[4];
	struct compiled *report;
	int64_t n_report;
	double *report_host;
	float *table_host;
	int32_t *order_host, *order_next;
	struct tour next; /* over the training split in the epoch to come; n = 0: not known */

	int n_stage, cap_stage;
	struct stage *stage;
	/* position: what checkpoints hold */
	int at_stage;        /* stage of the last piece of work, -1 at the start */
	int64_t at_epoch;    /* epochs done in it */
	bool stage_done;     /* it is complete */
	int64_t stage_step;  /* optimizer updates before this stage */
	int64_t total_step;  /* optimizer updates so far */
	int64_t total_epoch; /* epochs so far, all stages */
	int64_t step_origin; /* what rein_per_step() functions count from: rewind stages turn it back */
	int64_t shuffles;    /* permutations drawn */
	bool plain;          /* weights came from model.safetensors: evaluation uses them as they are */

	bool unread;                 /* meters hold epochs that were not asked for */
	double data_wait;            /* seconds that steps waited for samples, since the last report ... */
	double data_wait_all;        /* ... and altogether */
	double seconds;              /* in steps since the last report ... */
	int64_t samples;             /* ... and how many samples those took */
	int64_t added;               /* samples that joined the training split while the run went on */
	struct copies best, initial; /* initial: for copy stages with reset=yes */
	int n_rewound;
	struct rewound *rewound;
	int64_t n_path, cap_path; /* track: rows so far */
	float **path;
	struct instance **all; /* with the datasets: trainer_instances() */
	int n_init;            /* programs of recorded initial values */
	struct program **init;
	int n_text, cap_text;
	char **text; /* made-up names: see trainer_text */
};

/* --- trainer.c ------------------------------------------------------------------------------ */
/* A formatted string that lives as long as the trainer. */
char *trainer_text(struct trainer *, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Aborts with a message when memory is out: the core has nothing to fall back on. */
void *must(void *);
void *zalloc(size_t n, size_t size);
/* "[section] name: ..." at the instance's place. */
void at_instance(struct diag *, const struct instance *, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The same with a caret below the value of a key, where the spec has it. */
void at_key(struct diag *, const struct instance *, const char *key, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
struct state *counter(struct trainer *, const char *name, uint32_t dtype, uint32_t rank, const int64_t *dim,
                      uint32_t role);
/* States have other shapes: everything is recorded once more. */
bool trainer_record_again(struct trainer *);
/* Names of the parameters, for messages. */
const char *weight_list(struct trainer *);
bool set_i32(struct trainer *, struct state *, int32_t value);
int32_t get_i32(struct trainer *, const struct state *);
/* NULL program: NULL. Takes the program over. */
struct compiled *build(struct trainer *, struct program *);

/* Every program there is now. */
void each_program(struct trainer *, program_visit *, void *ctx);
/* memory.c: memory for the states that have none; false after an error that says what all of them take. */
bool states_allocate(struct trainer *);

/* The group a parameter belongs to: the optimizer whose on= names it, else the one without on=, or -1. */
int optimizer_of(const struct trainer *, const char *name);

/* --- setup.c: instances of every section, references, the training split ----------------------- */
bool setup_instances(struct trainer *);
bool setup_schedules(struct trainer *); /* targets of [schedules] exist and are knobs */

/* --- network.c ----------------------------------------------------------------------------------- */
struct pass;
struct network *network_create(struct trainer *, const struct section *, const char *name);
void network_destroy(struct network *);
struct network *network_find(struct trainer *, const char *name);
/* Records all layers on x in pixel space: normalization first. */
rein_val network_forward(struct pass *, struct network *, rein_val x, uint32_t flags);
void network_print(struct trainer *, FILE *);

/* --- pass.c: what the recorder asks while a program is recorded --------------------------------- */
#define PASS_TRAIN 0
#define PASS_EVAL  1
#define PASS_EVENT 2

struct pass {
	struct trainer *t;
	struct recorder *rec;
	struct rein_rec *r;
	int kind;
	bool dry;                    /* the first look: finds parameters, scalars and metrics; nothing of it runs */
	bool quiet;                  /* metrics are not recorded */
	bool diagnose;               /* count what is not finite in every layer */
	const struct portion *keeps; /* whose samples' values may be kept, or NULL */
	struct features *kept;       /* those that are, or NULL */
	uint32_t call, call_now;     /* forward calls so far; number of the current one */
	bool in_param;               /* a `param` slot is being recorded */
	bool foreign;                /* a network other than the one in training */
	uint32_t mode;               /* of the forward call being recorded */
	int depth;                   /* networks and attacks inside each other */
	struct network *net;
	struct rein_step step;
	const struct rein_step *now; /* &step, or that of the objective recorded once more */
	struct rein_batch batch;
	rein_val raw;                   /* x as it was read, in 0..1 */
	rein_val draw_step, draw_epoch; /* keys of draws: 0 in evaluation, so that it repeats */
	struct rein_tensor *tensor;
	rein_val entry;       /* column of the table */
	bool collect;         /* activation slots act in the forward call being recorded */
	rein_val *activation; /* per regularizer: sum so far, or NONE */
	rein_val *penalty;    /* per regularizer: all it added to the objective, or NONE */
	rein_val weight;      /* per sample, or NONE */
	rein_val target;      /* as the loss takes it */
	rein_val objective;
	/* attack stages: whose `epsilon` is the state, and what it said it cost */
	const struct instance *attacker;
	struct state *epsilon;
	rein_val queries, gradients;
	int n_probe, cap_probe;
	struct probe {
		const char *what; /* "the output of" ... */
		const struct instance *who;
		const char *name;
		int64_t count;
	} * probe;
	char name[64];
};

void pass_begin(struct pass *, struct trainer *, int kind, bool dry, const char *name);
/* The program, or NULL after errors (told to t->diag) and for a dry pass. Frees what the
 * pass holds. */
struct program *pass_end(struct pass *);
/* A batch's place in its split: `rows` numbers from entry * rows, or from `first` if >= 0. */
rein_val pass_index(struct pass *, rein_val entry, int64_t rows, int64_t first);
/* Reads parameters, counters and masks into step and tensor. */
void pass_tensors(struct pass *, struct network *);
void pass_enter(struct pass *, const struct instance *, const char *tensor);
void pass_leave(struct pass *);
/* One forward pass, number 1. */
rein_val pass_forward_once(struct pass *, uint32_t flags);
/* Batch of a split by sample numbers id, transforms applied; x is in pixel space. */
void pass_batch(struct pass *, const struct portion *, rein_val id);
/* Notes a value whose elements that are not finite are counted (diagnose only). */
void pass_probe(struct pass *, const char *what, const struct instance *who, const char *name, rein_val v);

/* --- stream.c ------------------------------------------------------------------------------------ */
struct stream *stream_create(struct trainer *, struct portion *);
void stream_destroy(struct stream *);       /* accepts NULL */
int64_t stream_rows(const struct stream *); /* that the state of its samples has */
/* The samples of step `step` of a tour are there when it returns, and what comes behind is being
 * read. Gives how many steps have theirs there, this one included; 0 after errors. A split that is
 * not streamed has all. */
int64_t stream_need(struct portion *, const struct tour *, int64_t step);
/* The same for one step of n samples, from place `first` of an order (NULL: as stored). */
bool stream_one(struct portion *, const int32_t *order, int64_t first, int64_t n, int64_t epoch);

bool any_streams(const struct trainer *);

/* --- features.c: values of samples that are computed once ------------------------------------------ */
/* The program being recorded may keep values of this split's samples, where that can be worth it. */
void features_look(struct pass *, const struct portion *);
/* What the recorder asks. */
bool pass_fixed(void *ctx, const struct state *);
bool pass_keep(void *ctx, struct recorder *, struct recorder_keep *);
/* Takes over the program that makes them, or NULL where it is there. */
bool features_maker(struct trainer *, struct features *, struct program *);
/* What a program is about to read is there, and is what it would be if it were computed now. */
bool features_need(struct trainer *, const struct compiled *);
const struct compiled *features_program(const struct trainer *, int i); /* NULL: there are fewer */
void features_print(const struct trainer *, FILE *);
void features_finish(struct trainer *);

/* --- augment.c ------------------------------------------------------------------------------------ */
/* It and its p= on a batch. */
void augment_record(struct recorder *, const struct instance *, const struct rein_step *, struct rein_batch *);
/* What the recorder asks when one contains others. */
void pass_augment(void *ctx, struct recorder *, const struct rein_ref *, const struct rein_step *, struct rein_batch *);
/* Recorded transforms that are no part of the model, then augmentations, on a batch of the split. */
void pass_augmentations(struct pass *, const struct split *);
void augment_check(struct trainer *);

/* --- scalars.c ------------------------------------------------------------------------------------ */
rein_val scalar_knob(struct pass *, const struct instance *who, const char *key, double now);
rein_val scalar_per_step(struct pass *, const struct instance *who, double (*f)(const void *, int64_t),
                         const void *self);
/* Rows of the table for the epoch that begins at this stage step and epoch. */
bool scalars_upload(struct trainer *, int64_t stage_epoch, int64_t epochs);
/* Value of a knob at a step of the stage, in double. */
double scalar_value(struct trainer *, const struct instance *who, const char *key, double now, int64_t step,
                    int64_t epoch, int64_t epochs);
bool scheduled(const struct trainer *, const struct instance *schedule, const struct instance *who, const char *key);

/* --- metrics.c ------------------------------------------------------------------------------------ */
void meter_record(struct pass *, const char *name, rein_val, uint32_t how);
/* The program that reads and clears all meters and takes parameter norms. */
struct program *meters_program(struct trainer *);
/* Keys flagged REIN_KEY_METRIC name metrics of this run; said to t->diag where not. */
bool metrics_exist(struct trainer *);
/* Runs it; true unless the backend failed. *bad: the loss was not finite. */
bool meters_read(struct trainer *, struct metrics *, bool *bad);

/* --- step.c --------------------------------------------------------------------------------------- */
rein_val step_objective(struct pass *, struct rein_step *, uint32_t flags);
/* rows, first: as pass_index. norms: with gradient norms. */
struct program *step_program(struct trainer *, int64_t rows, int64_t first, bool norms, bool dry);
/* Masked entries of the optimizer's states for this tensor become zero. */
void mask_slots(struct pass *, const struct instance *opt, const struct state *w, rein_val mask);
/* The loss by itself, (N) or a scalar, of what the network said. */
rein_val loss_rows(struct pass *, rein_val logits, rein_val target);
/* Everything once, to learn of parameters, scalars and metrics. */
bool look_at_everything(struct trainer *);
/* The batch of step `entry` once more, naming what is not finite first. */
void step_diagnose(struct trainer *, int64_t entry);

/* --- programs.c: evaluation, statistics, events ---------------------------------------------------- */
struct portion *portion_find(struct trainer *, const char *split);
bool portion_programs(struct trainer *, struct portion *); /* evaluation; made once */
rein_val target_for_loss(struct pass *, rein_val y, rein_val logits);
rein_val guess_of(struct pass *, rein_val logits);               /* (N,K) or (N,1) -> i32 (N) */
rein_val correct_of(struct pass *, rein_val logits, rein_val y); /* i32 (N), or NONE */
struct program *evaluate_program(struct trainer *, const struct portion *, int64_t rows, int64_t first, bool dry);
struct program *stats_program(struct trainer *, int64_t rows, int64_t first);
struct program *event_program(struct trainer *, uint32_t what, bool dry);
void pass_view(struct pass *);   /* parameters read as evaluation sees them ... */
void pass_unview(struct pass *); /* ... until here */
void pass_masks(struct pass *);  /* masks once more over parameters an event changed */

/* --- epoch.c: running what was recorded ------------------------------------------------------------- */
bool run_epoch(struct trainer *, const struct stage *, struct metrics *);
/* The order of samples in an epoch, from 1, into order_host and the state. */
bool epoch_order(struct trainer *, int64_t epoch);
bool run_event(struct trainer *, uint32_t what);
bool run_evaluate(struct trainer *, const char *split, struct metrics *);
bool reset_evaluation(struct trainer *);
bool run_refresh(struct trainer *); /* statistics averaged anew over the training split */
/* Statistics as evaluation sees them, until given back. */
bool statistics_begin(struct trainer *, struct copies *aside);
bool statistics_end(struct trainer *, struct copies *aside);

/* --- measure.c ------------------------------------------------------------------------------------ */
/* Sizes, multiply-adds and time of the network as it is; evaluate: loss and accuracy too. */
bool measure_stage(struct trainer *, bool evaluate, struct metrics *);
/* Ops recorded so far, and multiply-adds of the products among those from number `first` on. */
int recorded_ops(const struct recorder *);
int64_t recorded_macs(const struct recorder *, int first);
/* The network's n outputs for one batch, as evaluation gives them; NULL: the backend failed. */
float *forward_outputs(struct trainer *, int64_t *n);

/* --- grow.c ------------------------------------------------------------------------------------------- */
/* n samples in pixel space with their labels join the training split; programs are made anew. */
bool grow_train(struct trainer *, int64_t n, const float *x, const int32_t *y);

/* --- keep.c: copies and files ----------------------------------------------------------------------- */
bool copies_take(struct trainer *, struct copies *, bool (*which)(const struct trainer *, const struct state *));
bool copies_restore(struct trainer *, const struct copies *);
void copies_finish(struct copies *);
bool is_model_state(const struct trainer *, const struct state *);
bool is_kept_state(const struct trainer *, const struct state *); /* parameters, buffers, slots */
bool is_statistic(const struct trainer *, const struct state *);  /* layers' own, not parameters */
bool is_rewound(const struct trainer *, const struct state *);    /* kept states but masks */
bool path_append(struct trainer *);
/* Parameters and buffers by name; views: those that evaluation saw, where the file has them. */
bool load_weights(struct trainer *, const char *path, bool views, char *why, size_t size);
/* Tensor `name` of the file, of the state's shape; NULL with the reason. */
const struct st_tensor *tensor_named(const struct st_file *, const char *path, const char *name, const struct state *,
                                     char *why, size_t size);
/* transfer.c. What inputs are normalized with, as text that is allocated; a file whose network learned
 * from others: said. */
char *normalization_text(const struct trainer *);
void normalization_check(struct trainer *, const struct st_file *, const char *path);
/* What [run] weights, weights_on and weights_map ask for. */
bool transfer_weights(struct trainer *, char *why, size_t size);

#endif
