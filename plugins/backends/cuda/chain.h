/* SPDX-License-Identifier: MIT
 *
 * chain.h: chains of elementwise ops as one kernel. chain.cu groups ops while scheduling and
 * describes a group as a list of steps over registers; chain_run.cu runs the description:
 * as text through NVRTC (chain_text.cu), or by one interpreting kernel. Both use the same
 * functions, chain_math.h. A new elementwise op: a function there, a row in chain.cu's
 * table, a case in the interpreter.
 */
#ifndef CUDA_CHAIN_H
#define CUDA_CHAIN_H

#include "cuda.h"

#define CHAIN_INS  24
#define CHAIN_OPS  96
#define CHAIN_OUTS 12
#define CHAIN_REGS 64
#define CHAIN_ARGS 16

enum { CHAIN_FLAT, CHAIN_SCALAR, CHAIN_STRIDED };

struct chain_input {
	int32_t value; /* whose memory is read */
	uint32_t dtype, kind;
	int64_t start, stride[REIN_MAX_RANK]; /* STRIDED: over dim[] of the chain */
};
struct chain_step {
	uint32_t op, dtype, to; /* dtype of operand 0 (WHERE: of the choices), and of the result */
	uint32_t n_in, n_out;
	int32_t in[CHAIN_ARGS], out[4]; /* slots */
	double number;                  /* CONST */
	int64_t n, inner;               /* IOTA: index = element / inner % n */
	const struct rein_map *map;
	const char *origin; /* map: the spec whose kernel it is */
};
struct chain_output {
	int32_t value, slot;
	uint32_t dtype;
};
/* Slots are numbered as they are made: inputs first. */
struct chain {
	int64_t count, dim[REIN_MAX_RANK];
	int32_t rank, n_in, n_step, n_out, n_slot;
	uint8_t dtype[CHAIN_INS + 4 * CHAIN_OPS]; /* per slot */
	struct chain_input in[CHAIN_INS];
	struct chain_step step[CHAIN_OPS];
	struct chain_output out[CHAIN_OUTS];
	bool has_map, in_place;
};

/* Groups ops and makes views that only chains read part of them. */
rein_status chain_schedule(struct cuda *, const struct rein_host *, const struct rein_program *, struct rein_plan *);
/* Describes a group; false if it is too large for one chain. */
bool chain_describe(const struct rein_program *, const struct rein_plan *, int32_t n, const int32_t *instr,
                    struct chain *out);

/* chain_text.cu: the CUDA C++ of n chains side by side into buf; returns the length it needs (as
 * snprintf). body[k]: which of the text's functions chain k is; equal ones are written once. */
size_t chain_text(int n, const struct chain *const *, int *body, char *buf, size_t size);
/* chain_run.cu: appends one launch for n chains that do not depend on each other. */
rein_status chain_emit(struct cuda_build *, int n, const struct chain *const *);
extern const struct cuda_merge chain_merge; /* pieces are struct chain */

/* compiled.cu: the kernel `rein_chain` of a text, from memory, from disk, or from NVRTC. The text
 * says in its first line what it is. NULL with *why, the compiler's message included. */
const void *compiled_get(struct cuda *, const struct rein_host *, const char *text, char *why, size_t size);

#endif
