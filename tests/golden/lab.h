/* SPDX-License-Identifier: MIT
 *
 * lab.h: one config trained inside of a test: what the tool does, without files.
 */
#ifndef TESTS_LAB_H
#define TESTS_LAB_H

#include "checkpoint.h"
#include "trainer.h"

struct lab {
	struct diag *diag;
	struct registry *registry;
	struct config_file *file;
	struct config *config;
	struct settings *settings;
	struct spec *backend_spec;
	struct instance *backend;
	struct data_cache *cache;
	struct trainer *trainer;
	char dir[4096];
	char messages[4096]; /* what lab_open had to say */
	uint32_t flags;
};

/* Reads the config and makes the trainer of a variant (NULL: none) on the backend that
 * REIN_TEST_BACKEND names (unset: the cpu), flags REIN_NAIVE or 0. false: it could not; messages say why. lab_close in both cases. */
bool lab_open(struct lab *, const char *path, const char *variant, uint32_t flags);
void lab_close(struct lab *);
/* All stages to their end; numbers of the last piece of work into *last (may be NULL). */
bool lab_run(struct lab *, struct metrics *last);
/* One piece of work: > 0 done, 0 more, < 0 error (messages to stderr). */
int lab_next(struct lab *, struct metrics *);

/* A REAL state of the run by name: count elements, or NULL. Freed by the caller. */
float *lab_state(struct lab *, const char *name, int64_t *count);
/* The mask of a parameter, 1 where a weight stays: count bytes, or NULL. Freed by the caller. */
uint8_t *lab_mask(struct lab *, const char *param, int64_t *count);
/* Sets a REAL state. */
bool lab_set(struct lab *, const char *name, const float *data, int64_t count);

/* How many of n elements are not |a - b| <= atol + rtol |b|; *worst: the largest excess. */
int64_t lab_differ(const float *a, const float *b, int64_t n, double rtol, double atol, double *worst);

#endif
