/* SPDX-License-Identifier: MIT
 *
 * check_part.h: between check_part.c, which says what of a component is checked, and
 * check_number.c, which records one and runs it.
 */
#ifndef CORE_CHECK_PART_H
#define CORE_CHECK_PART_H

#include "check.h"

/* What components are recorded on: the reference in double, fast kernels on 1 and on 3 threads. */
enum { PART_EXACT, PART_ONE, PART_THREE, PART_N_WAY };
struct part_bench {
	struct registry *registry;
	struct diag *diag;
	struct spec spec;
	struct instance *way[PART_N_WAY];
};

/* What a component is recorded on, and how. */
struct part_shape {
	const char *in;  /* its input, or parameter, as check_data.c has it */
	uint32_t mode;   /* layers: forward mode and flags */
	uint32_t accept; /* losses: what kind of target */
};

/* Is there a slot of the component that can be recorded alone? */
bool part_records(const struct component *);
/* Shapes, k from 0, that the numbers are checked on; false at the end. `odd`: those that it may
 * refuse, with a message. */
bool part_shape(const struct component *, bool odd, int k, struct part_shape *out);
/* Records only. True: it was recorded; else the reason is in why, "": there is none. */
bool part_record_only(struct part_bench *, struct instance *, const struct part_shape *, char *why, size_t size);
/* Shapes, threads, accuracy, derivatives. */
void part_numbers(struct part_bench *, struct instance *, const struct part_shape *, struct check_report *);

#endif
