/* SPDX-License-Identifier: MIT
 *
 * store.h: the states of a run: parameters, buffers, optimizer and plugin states,
 * data, tables, counters. Named, typed, shaped; memory comes from the backend.
 */
#ifndef CORE_STORE_H
#define CORE_STORE_H

#include "component.h"

#define STATE_PARAM   1u /* a trainable parameter: model.safetensors */
#define STATE_BUFFER  2u /* belongs to the model, not trained: running mean; model.safetensors */
#define STATE_SLOT    3u /* optimizer or plugin state: checkpoint only */
#define STATE_DATA    4u /* data and tables the core uploads: in no file */
#define STATE_COUNTER 5u /* counters, metrics: checkpoint */

struct state {
	char *name; /* "fc1.weight", "adam.fc1.weight.m" */
	uint32_t role, dtype, rank;
	int64_t dim[REIN_MAX_RANK];
	int64_t count;
	struct rein_init init; /* init.value is not used; see init_program */
	uint64_t draw;         /* order in which it was declared */
	bool frozen;           /* a parameter that does not train */
	bool ready;            /* memory holds its initial or loaded value */
	bool shrunk;           /* entries were removed: it had `full` of them along its axes */
	int64_t full[REIN_MAX_RANK];
	bool moves;       /* training or an event writes it */
	uint64_t version; /* counts its writes, those of the host and those of programs run */
	void *mem;        /* device memory or NULL until store_allocate */
	void *mask;       /* struct state * of its pruning mask, or NULL */
	const struct instance *owner;
};

struct store {
	int n, cap;
	struct state **state; /* index = state number in programs */
	struct instance *backend;
	uint32_t real_size;
	uint64_t seed;
	int rng;                 /* RNG_PHILOX or RNG_TORCH */
	bool blank;              /* initial values stay zero: nothing of it will run */
	struct torch_rng *torch; /* with RNG_TORCH: the stream for initial values */
	char why[512];           /* of the last refused declaration */
};

struct store *store_create(struct instance *backend, uint64_t seed, int rng);
void store_destroy(struct store *); /* frees device memory too; accepts NULL */

/* Finds by name, or declares. A shape or dtype that differs from the first declaration
 * gives NULL and the reason in *why (static or store-owned). */
struct state *store_declare(struct store *, const char *name, uint32_t role, uint32_t dtype, uint32_t rank,
                            const int64_t *dim, const struct rein_init *, const char **why);
struct state *store_find(const struct store *, const char *name);
int store_index(const struct store *, const struct state *);

/* The state gets other sizes along its axes, and no memory: store_allocate gives it new one. */
void store_reshape(struct store *, struct state *, const int64_t *dim);
/* The parameter that a state is kept for, as its name says (`adam.fc1.weight.m`, `fc1.weight.mask`),
 * or NULL. */
struct state *store_follows(const struct store *, const struct state *);

/* Memory for every state that has none, then initial values for those not ready (VALUE
 * inits are left to the caller, which runs their program and sets ready). */
rein_status store_allocate(struct store *);
/* Host <-> device. Host REAL data is float in a 4-byte store and double in an 8-byte one. */
rein_status store_set(struct store *, struct state *, const void *host);
/* `bytes` of a state from byte `at` on. begin: while programs run, where store_copies_aside(), from
 * store_host_alloc()'s memory; one at a time, until store_set_end() has waited for it. */
rein_status store_set_part(struct store *, struct state *, uint64_t at, const void *host, uint64_t bytes);
bool store_copies_aside(const struct store *);
void *store_host_alloc(struct store *, uint64_t bytes); /* NULL after fail() */
void store_host_free(struct store *, void *);           /* accepts NULL */
rein_status store_set_begin(struct store *, struct state *, uint64_t at, const void *host, uint64_t bytes);
rein_status store_set_end(struct store *);
rein_status store_get(struct store *, const struct state *, void *host);
uint64_t state_bytes(const struct store *, const struct state *);
uint32_t dtype_size(uint32_t dtype, uint32_t real_size);
const char *dtype_name(uint32_t dtype);

#endif
