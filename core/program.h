/* SPDX-License-Identifier: MIT
 *
 * program.h: from recorded program to something that runs: plan.c lays out the arena,
 * program.c calls the backend's schedule and compile, print.c shows it to a reader.
 */
#ifndef CORE_PROGRAM_H
#define CORE_PROGRAM_H

#include "recorder.h"

/* Owns everything p points to, in one block from malloc: pool. */
struct program {
	struct rein_program p;
	const struct place *origin_at; /* per origin: where its spec stands; file NULL: nowhere */
	void *pool;
};
void program_destroy(struct program *); /* accepts NULL */

/* Checks SSA order, shapes and operand counts; false with the reason in why. For tests and
 * debug builds. */
bool program_check(const struct rein_program *, char *why, size_t size);

/* A plan with the presets of backend.h, bodies' plans not made; NULL when memory is out. */
struct rein_plan *plan_create(const struct rein_program *);
void plan_destroy(const struct rein_program *, struct rein_plan *); /* bodies' plans too; accepts NULL */
/* Lays out the arena for a plan whose backend part is filled: lifetimes, reuse, in-place,
 * commits placed straight into states where every reader of the old version runs earlier.
 * guard: bytes kept free around every value (tests), 0 normally. */
rein_status plan_layout(const struct rein_program *, struct rein_plan *, int64_t guard);

struct compiled {
	struct program *program;
	struct rein_plan *plan;
	struct rein_exec *exec;
	struct instance *backend;
	struct store *store;
};
/* Takes the program over. All states must have memory (store_allocate). NULL after errors
 * in d. flags: REIN_GUARD. */
struct compiled *program_compile(struct program *, struct store *, struct instance *backend, uint32_t flags,
                                 struct diag *d);
void compiled_destroy(struct compiled *); /* accepts NULL */
rein_status compiled_run(struct compiled *, uint32_t times);
bool compiled_reads(const struct compiled *, const struct state *);
/* Output i as host memory of its dtype; returns bytes written or -1. */
int64_t compiled_output(struct compiled *, uint32_t i, void *host, int64_t size);
/* The ops with shapes, kernels, homes and arena offsets, for a reader. */
void compiled_print(const struct compiled *, FILE *out);
void human_bytes(double n, char *out, size_t size); /* "1.5 MiB" */
typedef void program_visit(const struct compiled *, void *ctx);
struct rein_profile compiled_profile(const struct compiled *); /* zeros where the backend counts nothing */
void compiled_print_times(const struct compiled *, FILE *out); /* of kernels, if the backend took them */

#endif
