/* SPDX-License-Identifier: MIT
 *
 * nhwc.h: convolutional blocks with channels last: convolution, batch norm, relu and max pooling
 * where vectors hold channels of one place, so that nothing is lost at the ends of rows.
 *   block.c      finds the blocks of a program and what of it may be stored channels last
 *   block_run.c  a block's two kernels: forward, and backward down to the convolution's result
 *   nhwc.c       convolution and its derivatives, direct or by Winograd's F(2x2, 3x3)
 *   nhwc_isa.c   the inner loops, once per instruction set
 * An image (C,H,W) channels last is (H,W,C). Channels of results are multiples of LANES.
 */
#ifndef CPU_NHWC_H
#define CPU_NHWC_H

#include "fast.h"

#define LANES 16

/* Places of a kernel's channel vectors are `ld` floats apart. */
struct nhwc_isa {
	int vl, mr; /* floats of a vector; places (or terms) of a tile: mr x 2 vectors, 2 mr x 1 */
	/* y[p][o] = start[o] + sum over runs r and e < len of w[r len + e][o] x[r ldrun + p step + e]; w's rows are
	 * nv vectors long; start NULL: 0 */
	void (*tile)(int64_t places, int64_t nv, int64_t runs, int64_t len, int64_t ldrun, const float *w, const float *x,
	             int64_t step, const float *start, float *y, int64_t ldy);
	/* c[t][o] += sum over rows and columns of x[row ldx + col step + t] g[row ldg + col step_g + o] */
	void (*outer)(int64_t terms, int64_t nv, int64_t rows, int64_t cols, const float *x, int64_t ldx, int64_t step,
	              const float *g, int64_t ldg, int64_t step_g, float *c, int64_t ldc);
	/* Winograd, one row of tiles, LANES channels: 16 points `point` floats apart; x: rows of ldx floats of a
	 * padded image, a tile every second place; g and y: `cols` places of one or two rows, the second may be NULL */
	void (*wino_x)(int64_t tiles, const float *x, int64_t ldx, int64_t ld, float *v, int64_t point);
	void (*wino_g)(int64_t cols, const float *g0, const float *g1, int64_t ld, float *v, int64_t point);
	void (*wino_y)(int64_t cols, const float *m, int64_t point, int64_t ld, const float *start, float *y0, float *y1);
	/* sums over n places, added to sum[] */
	void (*total)(int64_t n, int64_t ld, const float *x, double *sum);
	void (*square)(int64_t n, int64_t ld, const float *x, const float *shift, double *sum, double *squares);
	/* y = (x - par[0]) par[1] + par[2], par: 3 x LANES; relu: y <= 0 becomes 0, mask 1 there */
	void (*affine)(int64_t n, int64_t ld, const float *x, const float *par, float *y);
	void (*relu)(int64_t n, int64_t ld, const float *x, const float *par, float *y, uint8_t *mask);
	/* the same and the largest of 2 x 2 places, index: which, -1 where none is above 0 */
	void (*relu_pool)(int64_t n, int64_t ld, const float *x0, const float *x1, const float *par, float *y,
	                  int32_t *index);
	/* sums of g and g (x - mean), g 0 where the mask is set (NULL: nowhere), or index points elsewhere */
	void (*product)(int64_t n, int64_t ld, const float *x, const float *g, const uint8_t *mask, const float *mean,
	                double *sum, double *prod);
	void (*product_pool)(int64_t n, int64_t ld, const float *x0, const float *x1, const float *g, const int32_t *index,
	                     const float *mean, double *sum, double *prod);
	/* y = par[1] (g - par[2] - (x - par[0]) par[3]); sum[] += y. g NULL: 0 */
	void (*norm_dx)(int64_t n, int64_t ld, const float *x, const float *g, const uint8_t *mask, const float *par,
	                float *y, double *sum);
	void (*norm_dx_pool)(int64_t n, int64_t ld, const float *x0, const float *x1, const float *g, const int32_t *index,
	                     const float *par, float *y0, float *y1, double *sum);
};
extern const struct nhwc_isa nhwc_plain, nhwc_avx2, nhwc_avx512;
const struct nhwc_isa *nhwc_isa(int isa);

/* --- nhwc.c: convolution, stride 1, no dilation ------------------------------------------------- */
#define NHWC_FORWARD 0 /* y (N,O,Ho,Wo) of x (N,C,H,W) and w (O,C,kh,kw) */
#define NHWC_DX      1 /* dx of g and w: as forward over g, with O and C exchanged and w turned round */
#define NHWC_DW      2 /* dw of x and g */
struct nhwc {
	int pass, keep;         /* keep: dw has memory; else only done() sees it */
	bool in_last, out_last; /* layout of the image read (x, or g of DX) and of the image made; g of DW is last */
	int64_t N, C, H, W, O, kh, kw, Ho, Wo, ph, pw;
	/* by nhwc_plan */
	const struct nhwc_isa *isa;
	bool wino;
	int nv;                       /* vectors of a block of results' channels */
	int64_t Hs, Ws;               /* image read with its padding, channels last */
	int64_t th, tw, rows;         /* Winograd: tiles of an image; rows of tiles (DW direct: of places) at a time */
	int64_t tasks, pieces, piece; /* DW: partial results; pieces of the result, elements in one */
	int64_t packed, own;          /* floats: weights or partial results, of a thread */
};
/* Bytes of workspace. */
int64_t nhwc_plan(struct nhwc *, int isa, int threads);
/* FORWARD, DX: prepare once, then image n of images on any thread; `out` is that image of the result, channels last. */
void nhwc_weights(const struct nhwc *, struct pool *, const float *w, void *workspace);
void nhwc_image(const struct nhwc *, const float *images, int64_t n, const float *start, float *out, void *workspace);
/* DX, DW whole; done: as in gemm.h, for dw as one row */
void nhwc_run(const struct nhwc *, struct pool *, const float *a, const float *b, float *c, void *workspace,
              gemm_done *done, void *ctx);
/* Brings n floats into the second cache. */
static inline void nhwc_fetch(const float *p, int64_t n)
{
	for (int64_t i = 0; i < n; i += 16)
		__builtin_prefetch(p + i, 0, 2);
}
/* An image (C, n) as (n, C), and back. */
void nhwc_turn(int64_t channels, int64_t n, const float *x, float *y);
void nhwc_turn_back(int64_t channels, int64_t n, const float *x, float *y);

/* --- block.c ----------------------------------------------------------------------------------- */
/* Instructions of a block, -1: none. FORWARD is CONV to POOL, BACKWARD POOL_DX to SUM. */
enum block_part {
	BLOCK_CONV,
	BLOCK_ADD,
	BLOCK_BN,
	BLOCK_LE,
	BLOCK_RELU,
	BLOCK_POOL,
	BLOCK_FORWARD_END,
	BLOCK_POOL_DX = BLOCK_FORWARD_END,
	BLOCK_RELU_DX,
	BLOCK_BN_DX,
	BLOCK_SUM,
	BLOCK_BACKWARD_END,
	BLOCK_DX = BLOCK_BACKWARD_END,
	BLOCK_DW,
	BLOCK_PARTS
};
struct block {
	int32_t at[BLOCK_PARTS];
	struct nhwc conv[3];                  /* by pass; DX and DW where there are such instructions */
	bool x_last, y_last, g_last, dx_last; /* layouts of what it reads and makes */
};
struct blocks {
	int n;
	struct block block[];
};
/* All blocks of a program, from the program alone: scheduling and compiling find the same. NULL: no
 * memory; freed by the host's free. */
struct blocks *block_find(const struct rein_host *, const struct rein_program *);
/* The block of an instruction and its part, or NULL. */
const struct block *block_of(const struct blocks *, int32_t instr, enum block_part *part);
/* Value that a block's forward kernel makes for others: pooled, after relu, or normalised. */
int32_t block_result(const struct rein_program *, const struct block *);
/* Its gradient, as the block's backward kernel reads it. */
int32_t block_gradient(const struct rein_program *, const struct block *);

/* --- block_run.c -------------------------------------------------------------------------------- */
/* Workspace of a block's forward or backward kernel. */
int64_t block_workspace(const struct cpu *, const struct block *, bool backward);
rein_status block_compile(struct rein_exec *, const struct block *, bool backward, struct kernel *out);

#endif
