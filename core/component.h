/* SPDX-License-Identifier: MIT
 *
 * component.h: plugins found and opened (loader.c), their components by kind and
 * name, and instances: a component with its keys parsed into its struct (schema.c)
 * and a host table (host.c).
 */
#ifndef CORE_COMPONENT_H
#define CORE_COMPONENT_H

#include "config.h"
#include "rein/rein.h"

/* One component as the core holds it: its tables copied once into the newest structs,
 * zero-filled, so that later code tests only for NULL. */
struct component {
	struct rein_component c; /* c.vt points to `vt` below */
	union {
		struct rein_backend_vt backend;
		struct rein_dataset_vt dataset;
		struct rein_layer_vt layer;
		struct rein_loss_vt loss;
		struct rein_optimizer_vt optimizer;
		struct rein_schedule_vt schedule;
		struct rein_regularizer_vt regularizer;
		struct rein_augmentation_vt augmentation;
		struct rein_attack_vt attack;
		struct rein_pruner_vt pruner;
		struct rein_search_vt search;
		struct rein_logger_vt logger;
		struct rein_report_vt report;
		struct rein_detector_vt detector;
	} vt;
	int n_key;
	const struct rein_key *key; /* n_key rows, copied */
	int n_mem;
	const struct rein_key *mem;
	const char *plugin, *plugin_version, *path; /* the .so it came from */
};

struct registry;

/* Opens plugins from the search path: `dirs` (from --plugin-dir), REIN_PLUGIN_PATH, the
 * installed directory, the build tree's when run from there. Files or folders others can
 * write are refused. What was refused, and why, is kept for messages. Never closed. */
struct registry *registry_create(int n_dir, const char *const *dirs);
void registry_destroy(struct registry *);

/* NULL if there is none; the caller reports it with registry_unknown(). */
const struct component *registry_find(struct registry *, uint32_t kind, const char *name);
/* "unknown layer 'lienar'; did you mean 'linear'? known: ..." and, where a plugin of that
 * name was refused, the reason. */
void registry_unknown(struct registry *, struct diag *, const struct place *, const char *section, const char *spec,
                      uint32_t kind, const char *name);
int registry_count(const struct registry *);
const struct component *registry_at(const struct registry *, int i); /* sorted by kind, name */
/* Refused files: path and reason; i from 0, NULL at the end. */
const char *registry_refused(const struct registry *, int i, const char **reason);
/* Components that an earlier one of the same kind and name hides; *by is the file of that
 * one. i from 0, NULL at the end. */
const struct component *registry_hidden(const struct registry *, int i, const char **by);
/* Folders that were looked at, in order; i from 0, NULL at the end. */
const char *registry_folder(const struct registry *, int i);

#define KIND_NETWORK 0x100u /* what a REF key of "network" asks its resolver for */

const char *kind_name(uint32_t kind);          /* "regularizer" */
const char *kind_section(uint32_t kind);       /* "regularizers": the INI section of the kind */
uint32_t kind_of_section(const char *section); /* 0: none */

/* Keys that the core itself reads on every spec of a kind (`on=`, `input=`, `for=`, ...),
 * as a table ending in REIN_KEYS_END whose offsets are into struct common. */
struct common {
	const char *on;          /* optimizer, regularizer, pruner: patterns, comma-separated; "*".
	                          * augmentation: splits; "": training, of transforms all */
	struct rein_reals p;     /* augmentation: share of samples it changes; none: its own default */
	const char *input;       /* layer: names of inputs, "" for the line above */
	int32_t freeze;          /* layer: parameters do not train */
	const char *target;      /* schedule: `for=` */
	const char *order;       /* dataset: file | shuffled | FILE with one number per line */
	const char *skip, *take; /* dataset: count, or share as 20% */
	int32_t stratify;        /* dataset */
	double corrupt;          /* dataset: share of labels replaced by random ones, 0..1 */
	int64_t split_seed;      /* dataset: -1: the run's seed */
	const char *join;        /* dataset: the entry that its samples join, or "" */
	double false_positives;  /* detector: share of clean samples that may be flagged */
	struct rein_reals reserved;
};
const struct rein_key *common_keys(uint32_t kind);

/* A component made from a spec. */
struct instance {
	const struct component *component;
	const struct spec *spec;
	const char *name; /* the spec's */
	void *self;       /* the component's struct, keys filled */
	struct common common;
	struct rein_host host; /* the instance's table (struct hosted in host.c wraps it) */
	void *mem;             /* stored block or NULL */
	bool created;          /* create() succeeded or absent */
	struct rein_ref *unused;
};

/* What hosts and keys need to know of the run. */
struct host_env {
	uint64_t seed;
	const char *data_root;  /* REIN_DATA or NULL */
	const char *config_dir; /* folder of the config, for relative paths */
	struct diag *diag;
	void (*log)(void *ctx, uint32_t level, const char *line);
	void *log_ctx;
	const struct config *config; /* optional: lets messages say which names there are */
};

/* Parses the spec's keys (unknown, missing, out of range, deprecated: all reported to d with
 * the place) and, if that went well, calls create(). NULL after errors. REF keys are resolved
 * by `resolve` (kind, name -> ref), reported if NULL. */
struct instance *instance_create(struct registry *, uint32_t kind, const struct spec *, const struct host_env *,
                                 const struct rein_ref *(*resolve)(void *ctx, uint32_t kind, const char *name),
                                 void *resolve_ctx, struct diag *d);
void instance_destroy(struct instance *); /* accepts NULL */

/* The sentence of the instance's last fail() on this thread, "" if none; clears it. */
const char *instance_failure(struct instance *);
/* "[network] fc1: linear 1.0.0: <sentence>" to d, at the spec's place. */
void instance_error(struct instance *, struct diag *d, const char *fallback);

/* Key of an instance as text with its origin ("configs/a.ini:14", "default", "command
 * line") for resolved.ini: i from 0, false at the end. Includes the common keys. */
bool instance_key(const struct instance *, int i, const char **key, const char **value, const char **origin);

/* Fills `out`, zeroed before, from a spec's keys by a table that no component owns (a stage:
 * what = "stage 'prune'"). Rows as in key.h but for PATH, INTS, REALS and REF. Reports as
 * instance_create does; false after errors. Strings live as long as the config. */
bool spec_keys(const struct spec *, const char *what, const struct rein_key *keys, void *out, struct diag *);

/* Whether the keys that a spec gives are the component's and have good values; nothing is made, names of
 * others are not looked up, and keys that must be given may be missing. */
bool spec_given(const struct spec *, const struct component *, struct diag *);

/* Glob patterns, comma-separated: "*.weight,bn*.bias". '*' matches any run of characters. */
bool pattern_match(const char *patterns, const char *name);

#endif
