/* SPDX-License-Identifier: MIT
 *
 * random_program.h: valid programs by chance. The same seed records the same program in any
 * rig, so that ways of running it can be compared.
 */
#ifndef TEST_RANDOM_PROGRAM_H
#define TEST_RANDOM_PROGRAM_H

#include "rein/rein.h"
#include "rig.h"

/* Records about `ops` ops over fresh states named "<seed>.*"; every loose end is an output.
 * Returns the compiled program; its states are those whose names begin with the seed. */
struct compiled *random_program(struct rig *, uint64_t seed, int ops);

#endif
