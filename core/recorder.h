/* SPDX-License-Identifier: MIT
 *
 * recorder.h: the core's side of ops.h. record.c builds the list of ops, ops.c holds
 * the op table (shapes, dtypes), grad.c the derivative rules, expand.c the decomposition
 * of coarse ops, clean.c what happens between recording and planning.
 */
#ifndef CORE_RECORDER_H
#define CORE_RECORDER_H

#include "store.h"

struct recorder;
struct program;

/* Values that a program would compute of each sample again in every run, and that can be computed
 * once instead and kept. Rows stand first; `key` is equal where the same is computed, of however
 * many rows. The last four are the answer: a state per value with `samples` rows, a counter, and
 * whether the program that computes a batch of them is wanted. */
struct recorder_keep {
	uint32_t n;
	const struct recorder_kept {
		uint32_t dtype, rank;
		int64_t dim[REIN_MAX_RANK];
		const char *origin; /* "[network] conv5" */
	} * value;
	const void *key;
	uint64_t key_size;
	int64_t macs; /* multiply-adds that each sample saves */
	struct state **state, *entry;
	int64_t samples;
	bool make;
};

/* What the recorder asks of the code around it. Members may be NULL: then the call is
 * refused with "not available here", a knob is a constant and a parameter its value. `who` is the instance recording, or NULL. */
struct recorder_env {
	void *ctx;
	rein_val (*forward)(void *ctx, struct recorder *, const struct rein_model *, rein_val x, uint32_t flags);
	rein_val (*objective)(void *ctx, struct recorder *, const struct rein_step *, uint32_t flags);
	/* What the forward pass sees for a parameter: `w` is its value (already substituted by
	 * rein_with); regularizers' param slots are applied here. */
	rein_val (*param)(void *ctx, struct recorder *, struct state *, rein_val w);
	rein_val (*knob)(void *ctx, struct recorder *, const struct instance *who, const char *key, double now);
	rein_val (*per_step)(void *ctx, struct recorder *, const struct instance *who, double (*f)(const void *, int64_t),
	                     const void *self);
	void (*metric)(void *ctx, struct recorder *, const struct instance *who, const char *name, rein_val, uint32_t how);
	rein_val (*perturb)(void *ctx, struct recorder *, const struct rein_ref *, const struct rein_model *, rein_val x,
	                    rein_val y);
	rein_val (*forward_ref)(void *ctx, struct recorder *, const struct rein_ref *, rein_val x, uint32_t flags);
	void (*augment)(void *ctx, struct recorder *, const struct rein_ref *, const struct rein_step *,
	                struct rein_batch *);
	/* Does a state that the program only reads stay as it is between its runs? */
	bool (*fixed)(void *ctx, const struct state *);
	/* False: they are to be computed in each run. */
	bool (*keep)(void *ctx, struct recorder *, struct recorder_keep *);
};

struct recorder_options {
	const char *name;   /* of the program */
	uint32_t real_size; /* 4, or 8 for double programs */
	bool feed;          /* every draw becomes a STATE_DATA state "feed.<instance>.<stream>.<call>" */
	bool decompose;     /* expand all coarse ops, whatever the backend supports */
};

struct recorder *recorder_create(struct store *, const struct recorder_env *, const struct recorder_options *);
void recorder_destroy(struct recorder *); /* accepts NULL; a finished program lives on */
struct rein_rec *recorder_rec(struct recorder *);
struct recorder *recorder_of(struct rein_rec *);

/* Who records from here on: for messages, names of states and streams. `tensor` scopes
 * states to a parameter ("fc1.weight") or is NULL. They nest. */
void recorder_enter(struct recorder *, const struct instance *who, const char *tensor);
void recorder_leave(struct recorder *);
const struct instance *recorder_who(const struct recorder *);

/* Keys of draws from here on: sample numbers (N) i32, step and epoch i32 scalars; REIN_NONE:
 * such draws are refused. */
void recorder_draw_keys(struct recorder *, rein_val id, rein_val step, rein_val epoch);
/* Number of the current forward call: part of each draw's identity. */
void recorder_call(struct recorder *, uint32_t number);

/* The state behind a value that rein_read or rein_param made, or NULL. */
struct state *recorder_state_of(struct recorder *, rein_val);
rein_val recorder_read(struct recorder *, struct state *);
void recorder_assign(struct recorder *, struct state *, rein_val, rein_val when);
/* A value the core reads after run(); numbered from 0 in order of these calls. What was read
 * from a state and not changed shows the state as it is after the run. */
int recorder_output(struct recorder *, rein_val);

/* What a parameter's value (as read) is replaced by under rein_with(), or itself. */
rein_val recorder_seen(struct recorder *, rein_val param);
/* Everything assigned so far, to any state but `except` (or NULL), happens only where ok (a
 * bool scalar) is true. */
void recorder_guard(struct recorder *, rein_val ok, const struct state *except);
/* Leaves nothing of the recording but the initial values recorded with REIN_INIT_VALUE, as
 * assignments; false if there are none. */
bool recorder_inits(struct recorder *);

/* True once anything was refused. */
bool recorder_failed(const struct recorder *);

/* Reports what was refused, with the specs' places, and gives NULL; else cleans up (coarse
 * ops the backend lacks expanded, constants folded, common subexpressions joined, dead values
 * dropped) and gives the program. The recorder is then only good for destroy. */
struct program *recorder_finish(struct recorder *, struct diag *);

/* Looks for what can be kept of each sample, whose numbers recorder_draw_keys() gave. */
void recorder_keeps(struct recorder *);
/* After recorder_finish: the program whose outputs are the values that are kept, of the samples
 * from entry * rows on, the last of them where fewer are left; it counts `entry` up. NULL: none is
 * wanted. The caller owns it. */
struct program *recorder_maker(struct recorder *);

/* Does the recording write the state? */
bool recorder_writes(const struct recorder *, const struct state *);

/* States whose first value was recorded (REIN_INIT_VALUE) get it from this program: run it
 * once after the other initial values are set, then mark them ready. NULL if there are none
 * (or, with errors in d, if that failed). Call it before recorder_finish. */
struct program *recorder_init_program(struct recorder *, struct diag *);

/* The op table, for the recorder, tests and `summary --program`. */
struct op_info {
	const char *name;
	int8_t n_in, n_out; /* -1: any */
	bool coarse, view, elementwise;
};
const struct op_info *op_info(uint32_t op);

#endif
