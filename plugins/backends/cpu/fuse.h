/* SPDX-License-Identifier: MIT
 *
 * fuse.h: between fuse.c, which decides what runs together, and fuse_run.c, which makes kernels
 * of it. A group is a chain (strip.h), a head (a matrix product, convolution ...), or a head
 * finished by a chain.
 */
#ifndef CPU_FUSE_H
#define CPU_FUSE_H

#include "conv.h"
#include "nhwc.h"
#include "strip.h"

/* What a group can begin with: an op with a kernel of its own, whose result a chain may finish
 * piece by piece. */
#define HEAD_GEMM   0
#define HEAD_CONV   1
#define HEAD_NORM   2
#define HEAD_WINDOW 3
#define HEAD_NHWC   4
struct head {
	int kind;
	bool alone;          /* takes no chain */
	bool sparse;         /* a product whose weights may be nearly all zero: sparse.h */
	int64_t m, n, tasks; /* result: matrices of m x n, seen by the chain in so many pieces */
	union {
		struct gemm gemm;
		struct conv conv;
		struct nhwc nhwc;
		struct norm norm;
		struct window window;
	};
};
/* lanes: of lanes_find() */
bool head_of(const struct rein_program *, const struct blocks *, const uint8_t *lanes, int32_t instr, struct head *);
/* Shapes and workspace of a group of n instructions (recorded order); false if it is no fast
 * group. *at: its head's place in the list or -1. tail: a pooling of what the chain makes of a
 * convolution, plane by plane while it is in cache; op 0 if there is none. */
bool fuse_measure(const struct cpu *, const struct rein_program *, const struct rein_plan *, const struct blocks *,
                  const uint8_t *lanes, int32_t n, const int32_t *instr, struct head *, struct window *tail,
                  int32_t *at, int64_t *partial_bytes, int64_t *workspace);

/* lanes.c: per value, how many images lie side by side in memory, or 0 for row-major; NULL if out
 * of memory. */
uint8_t *lanes_find(const struct cpu *, const struct rein_program *, const struct blocks *);

/* rows.c: log-softmax and cross-entropy, alone or the two of one tensor. */
bool rows_op(const struct rein_program *, const struct rein_prog_instr *);
int rows_compile(struct rein_exec *, int32_t n, const int32_t *instr, struct kernel *out);

/* gather.c: one op that moves pixels. */
int gather_compile(struct rein_exec *, int32_t n, const int32_t *instr, struct kernel *out);

#endif
