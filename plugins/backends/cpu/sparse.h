/* SPDX-License-Identifier: MIT
 *
 * sparse.h: products and convolutions with weights that are nearly all zero: sparse.c finds the
 * others and multiplies matrices, sparse_conv.c convolves, sparse_isa.c has the inner loops of one
 * instruction set.
 */
#ifndef CPU_SPARSE_H
#define CPU_SPARSE_H

#include "conv.h"

struct sparse_isa {
	/* c (rows x n, ldc apart) = a b': at is a' (k x 2 vectors, zeros beyond rows); row o of b has
	 * entries begin[o] to end[o] of value, at places `place` along k */
	void (*product)(int64_t rows, int64_t n, const int32_t *begin, const int32_t *end, const int32_t *place,
	                const float *value, const float *at, float *c, int64_t ldc);
	/* out[q] = sum of value[e] * base[off[e] + q] over n entries; whole vectors are read and written */
	void (*runs)(int64_t n, const int32_t *off, const float *value, const float *base, int64_t places, float *out);
};
extern const struct sparse_isa sparse_plain, sparse_avx2, sparse_avx512;

const struct sparse_isa *sparse_isa(int isa);

/* The entries of rows of weights that are not zero: those of row o are begin[o] to end[o] - 1. */
#define ENTRY_PARTS 16
struct entries {
	int64_t n, k, most; /* rows of k, of which one in `most` may be other than zero */
	const float *b;
	int32_t *begin, *end, *place; /* place: along k */
	float *value;
	int full[ENTRY_PARTS]; /* a part of the rows had more than its share */
};
int64_t entries_floats(const struct entries *); /* that entries_write needs */
/* Looks at b: false if it is not sparse; then nothing else has been done. */
bool entries_write(struct entries *, struct pool *, const float *b, float *workspace);

/* Workspace of a product, 0 if its shape is none for this: b (n,k) as it is stored, one matrix. */
int64_t sparse_plan(const struct gemm *, int threads);
/* As gemm_run, if most of b is zero; false: nothing was done. Pieces are numbered in another way. */
bool sparse_run(const struct gemm *, int isa, struct pool *, const float *a, const float *b, float *c, void *workspace,
                gemm_done *done, void *ctx);

/* The same for a convolution (FORWARD), whatever its stride, padding, dilation and groups. */
int64_t sparse_conv_plan(const struct conv *, int isa, int threads);
bool sparse_conv_run(const struct conv *, int isa, struct pool *, const float *a, const float *b, float *c,
                     void *workspace, gemm_done *done, void *ctx);

#endif
