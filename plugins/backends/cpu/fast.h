/* SPDX-License-Identifier: MIT
 *
 * fast.h: inside of the fast half of the cpu backend: matrix products (gemm.c), elementwise
 * programs run strip by strip (strip.c), the pool's extras. Everything here is float32,
 * row-major, and gives the same bits for any number of threads.
 */
#ifndef CPU_FAST_H
#define CPU_FAST_H

#include "cpu.h"

/* pool.c: number of the calling thread within its pool (0: the caller of pool_run). */
int pool_self(void);
int pool_threads(const struct pool *);

/* isa.c: the best instruction set this machine and build have; by name ("auto", "avx512",
 * "avx2", "plain"), -1 if unknown or not available here. */
int isa_best(void);
int isa_named(const char *name);
const char *isa_name(int isa);

/* --- gemm_isa.c: inner loops of one instruction set ------------------------------- */
struct gemm_isa {
	int mr, nr; /* largest tile */
	int md, nd; /* largest block of dot products */
	/* c (rows x n) = a b: see gemm_isa.c */
	void (*tile)(int64_t rows, int64_t n, int64_t k, const float *a, int64_t sam, int64_t sak, const float *b,
	             int64_t ldb, float *c, int64_t ldc);
	void (*dots)(int64_t rows, int64_t nd, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb,
	             float *c, int64_t ldc, int add);
	void (*pack_transposed)(int64_t n, int64_t k, const float *b, int64_t ldb, float *out, int64_t w);
};
extern const struct gemm_isa gemm_plain, gemm_avx2, gemm_avx512;

/* --- draw_isa.c: Philox4x32-10 --------------------------------------------------------- */
struct draw_isa {
	/* out[0..n): words of counters (first, c[0], c[1], c[2]), (first + 1, ...) ... */
	void (*bits)(int64_t n, uint32_t first, const uint32_t c[3], uint64_t key, uint32_t *out);
	void (*uniform)(int64_t n, const uint32_t *words, float *out); /* (w >> 8) 2^-24 */
};
extern const struct draw_isa draw_plain, draw_avx2, draw_avx512;
/* draw.c: 1 made, 0 not a draw it knows, < 0 error */
int draw_compile(struct rein_exec *, int32_t n, const int32_t *instr, struct kernel *out);

/* --- gemm.c ------------------------------------------------------------------------ */
/* A finished piece of C, numbered from 0 over all matrices: rows r0.., columns c0.. of matrix `batch`; element (i, j) of the
 * piece is block[i * ld + j]. Called once per piece, on any thread, while it is in cache. */
typedef void gemm_done(void *ctx, int64_t piece, int64_t batch, int64_t r0, int64_t rows, int64_t c0, int64_t cols,
                       float *block, int64_t ld);

/* C (batch, m, n) = A (batch or 1, m, k) B (batch or 1, k, n). */
struct gemm {
	int64_t m, n, k, batch;
	int64_t step_a, step_b; /* elements from one matrix of a batch to the next, 0: shared */
	int ta, tb;             /* a is (k, m); b is (n, k) */
	int keep;               /* 1: C has memory; 0: only done() sees it */
	/* by gemm_plan */
	const struct gemm_isa *isa;
	int how, deep;      /* DIRECT, PACKED, DOTS; deep: see DEEP */
	int64_t rows, cols; /* of a piece */
	int64_t row_pieces, col_pieces;
	int64_t pack_b, pack_a, scratch; /* floats: packed B per matrix, packed A per thread, piece per thread */
};
/* Chooses kernel and pieces from the shapes alone (`threads` only sizes the workspace).
 * Returns workspace bytes. */
int64_t gemm_plan(struct gemm *, int isa, int threads);
/* c may be NULL if !keep; done may be NULL if keep. */
void gemm_run(const struct gemm *, struct pool *, const float *a, const float *b, float *c, void *workspace,
              gemm_done *done, void *ctx);

#endif
