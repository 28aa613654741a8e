/* SPDX-License-Identifier: MIT
 *
 * fuse.h: between fuse.c, which decides what runs together, and fuse_run.c, which makes kernels
 * of it. A group is a chain (strip.h), a matrix product, or a product finished by a chain.
 */
#ifndef CPU_FUSE_H
#define CPU_FUSE_H

#include "strip.h"

/* The fast product for a MATMUL, or false. */
bool fuse_product(const struct rein_program *, const struct rein_prog_instr *, struct gemm *);
/* Shapes and workspace of a group of n instructions (recorded order); false if it is no fast
 * group. *head: its product's place in the list or -1. */
bool fuse_measure(const struct cpu *, const struct rein_program *, const struct rein_plan *, int32_t n,
                  const int32_t *instr, struct gemm *, int32_t *head, int64_t *partial_bytes, int64_t *workspace);

/* rows.c: log-softmax and cross-entropy, alone or the two of one tensor. */
bool rows_op(const struct rein_program *, const struct rein_prog_instr *);
int rows_compile(struct rein_exec *, int32_t n, const int32_t *instr, struct kernel *out);

#endif
