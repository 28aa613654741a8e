/* SPDX-License-Identifier: MIT
 *
 * sparse.h: products with weights that are nearly all zero: sparse.c decides, sparse_isa.c has
 * the inner loop of one instruction set.
 */
#ifndef CPU_SPARSE_H
#define CPU_SPARSE_H

#include "fast.h"

struct sparse_isa {
	/* c (rows x n, ldc apart) = a b': at is a' (k x 2 vectors, zeros beyond rows); row o of b has
	 * entries begin[o] to end[o] of value, at places `place` along k */
	void (*product)(int64_t rows, int64_t n, const int32_t *begin, const int32_t *end, const int32_t *place,
	                const float *value, const float *at, float *c, int64_t ldc);
};
extern const struct sparse_isa sparse_plain, sparse_avx2, sparse_avx512;

/* Workspace of a product, 0 if its shape is none for this: b (n,k) as it is stored, one matrix. */
int64_t sparse_plan(const struct gemm *, int threads);
/* As gemm_run, if most of b is zero; false: nothing was done. Pieces are numbered in another way. */
bool sparse_run(const struct gemm *, int isa, struct pool *, const float *a, const float *b, float *c, void *workspace,
                gemm_done *done, void *ctx);

#endif
