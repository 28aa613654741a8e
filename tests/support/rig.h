/* SPDX-License-Identifier: MIT
 *
 * rig.h: what a test of programs needs: a backend opened through the registry (the cpu, or
 * for float32 the one that REIN_TEST_BACKEND names, keys behind it), a store, and programs recorded,
 * compiled and run. Failures are Criterion assertions.
 */
#ifndef TEST_RIG_H
#define TEST_RIG_H

#include <stdarg.h>

#include "program.h"
#include "rng.h"

struct rig {
	struct diag *diag;
	struct registry *registry;
	struct spec *spec; /* the backend's */
	struct instance *backend;
	struct store *store;
	uint32_t flags;
	bool cpu; /* else custom ops are refused */
};

/* flags: REIN_NAIVE, REIN_GUARD; threads 0: all; real_size 4 or 8 */
struct rig *rig_create(uint32_t flags, uint32_t threads, uint32_t real_size);
struct rig *rig_create_isa(uint32_t flags, uint32_t threads, uint32_t real_size, const char *isa);
void rig_destroy(struct rig *);
/* Instruction sets of the cpu backend that this machine has, plain C first; another backend under
 * test has none of its own: n is 1. Those that are missing are named on stderr, once. */
const char *const *rig_isas(int *n);

/* A state with these values, converted to its dtype; NULL: zeros. Allocated. */
struct state *rig_state(struct rig *, const char *name, uint32_t dtype, uint32_t rank, const int64_t *dim,
                        const double *values);
/* Its values now, REAL as double. */
void rig_get(struct rig *, const struct state *, double *out);

/* A recorder over the store; finish with rig_compile(r, recorder_finish(...)). */
struct recorder *rig_record(struct rig *, const char *name, bool decompose);
/* Checks, compiles; the test fails with the errors that came up. */
struct compiled *rig_compile(struct rig *, struct program *);
void rig_run(struct compiled *);
/* Output i as doubles; returns how many. */
int64_t rig_output(struct compiled *, uint32_t i, double *out, int64_t room);
/* A program of about `ops` ops by chance (core/check_program.c), compiled; the same seed, the same
 * program in any rig. Its states are named "<seed>.*". */
struct compiled *rig_random(struct rig *, uint64_t seed, int ops);
/* Fails the test with everything in diag. */
void rig_report(struct rig *, const char *what);

/* plan_check.c: lifetimes computed again, the plain way; false with the two values that
 * share memory while both are needed. */
bool plan_check(const struct rein_program *, const struct rein_plan *, int64_t guard, char *why, size_t size);

#endif
