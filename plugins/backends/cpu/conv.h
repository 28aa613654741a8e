/* SPDX-License-Identifier: MIT
 *
 * conv.h: convolutions and their derivatives, pooling, batch norm: images (N,C,H,W), float32.
 * conv.c, window.c and norm.c decide, conv_isa.c has the inner loops, once per instruction set.
 */
#ifndef CPU_CONV_H
#define CPU_CONV_H

#include "conv_box.h"
#include "fast.h"

struct conv_isa {
	int mr, vl; /* largest tile: mr rows x 2 vectors of vl */
	int md;     /* largest block of dot products: md x 4 */
	/* C (rows x nv vectors) (+)= A B: A is packed (k x rows), row kk of B lies at b + off[kk] */
	void (*taps)(int64_t rows, int64_t nv, int64_t k, const float *a, const float *b, const int32_t *off, float *c,
	             int64_t ldc, int add);
	/* c[i * ldc + j] (+)= sum over n images and q elements (whole vectors) of a[i * lda] b[off[j]] */
	void (*dots)(int64_t rows, int64_t nd, int64_t n, int64_t q, const float *a, int64_t lda, int64_t step_a,
	             const float *b, const int32_t *off, int64_t step_b, float *c, int64_t ldc, int add);
	/* y = x where x > y or x is the first NaN, index = base + tap there */
	void (*max_tap)(int64_t n, const float *x, float *y, int32_t *index, const int32_t *base, int32_t tap);
	/* count rows of n: y[r * ldy + i] = x[r * ldx + i * step], and y[r * ldy + i * step] = x[r * ldx + i] */
	void (*rows)(int64_t count, int64_t n, const float *x, int64_t ldx, int64_t step, float *y, int64_t ldy);
	void (*apart)(int64_t count, int64_t n, const float *x, int64_t ldx, float *y, int64_t ldy, int64_t step);
	/* 2 x 2 windows, 2 apart: y (rows x n, dense) of x (2 rows, ldx apart), and x's share of y */
	void (*average2)(int64_t rows, int64_t n, const float *x, int64_t ldx, float *y);
	void (*share2)(int64_t rows, int64_t n, const float *y, float *x, int64_t ldx);
	void (*larger)(int64_t n, const float *x, float *y); /* y = x where x > y or x is NaN */
	void (*add)(int64_t n, const float *x, float *y);
	void (*divide)(int64_t n, const float *x, const float *by, float *y);
	double (*total)(int64_t n, const float *x);
	/* sums of (x - shift) and its square, of g and g (x - mean) */
	void (*square)(int64_t n, const float *x, float shift, double sum[2]);
	void (*product)(int64_t n, const float *x, const float *g, float mean, double sum[2]);
	void (*affine)(int64_t n, const float *x, float mean, float scale, float shift, float *y); /* (x-mean)scale+shift */
	/* y = scale (g - a - (x - mean) b) */
	void (*norm_dx)(int64_t n, const float *x, const float *g, float mean, float scale, float a, float b, float *y);
};
extern const struct conv_isa conv_plain, conv_avx2, conv_avx512;
const struct conv_isa *conv_isa(int isa);

/* --- source: planes with their padding, split by stride ------------------------------------- */
/* Plane c becomes nh x nw slots of H x W: slot (p, q), place (t, u) holds x[t sh + p - ph][u sw + q - pw],
 * or `fill` outside of x. So whatever the stride, the taps of a window read whole rows: the tap at
 * slot (p, q), place (t, u) of output (i, j) is slot's element (i + t) W + j + u. */
struct source {
	int64_t planes, in_h, in_w;
	int64_t sh, sw, ph, pw, nh, nw, H, W;
	float fill;
};
/* Floats of `planes` planes and what vectors may read beyond (zeroed by source_fill). */
#define SOURCE_SLACK 64
static inline int64_t source_plane(const struct source *s) { return s->nh * s->nw * s->H * s->W; }
void source_fill(const struct source *s, const struct conv_isa *, const float *x, float *out);

/* --- conv.c ----------------------------------------------------------------------------------- */
#define CONV_FORWARD 0
#define CONV_DX      1
#define CONV_DW      2
/* Ways, see conv.c and conv_box.c; ANY: whichever is fastest. DW has no WIDE. */
#define CONV_ANY   0
#define CONV_TAPS  1
#define CONV_WIDE  2
#define CONV_LANES 3
/* y (N,O,Ho,Wo) of x (N,C,H,W) and w (O,C/G,kh,kw), or dx of g and w, or dw of x and g */
struct conv {
	bool lanes_a, lanes_b, lanes_c; /* operands and result that have images in lanes (lanes.c) */
	int pass, way, keep;            /* keep: the result has memory; else only done() sees it */
	int64_t N, C, H, W, O, kh, kw, Ho, Wo, G, Cg, Og;
	int64_t sh, sw, ph, pw, dh, dw;
	/* by conv_plan */
	const struct conv_isa *isa;
	struct source src;
	int64_t m, k, rows, blocks; /* rows of a group's result, its terms, rows of a block */
	int64_t plane, ldc;         /* result elements of a plane; of a row while it is computed */
	int64_t tasks, images;      /* DW: partial results, images at a time */
	int64_t table, packed, own; /* floats: offsets, packed weights or partial results, of a thread */
	int64_t result_rows, result_cols, pieces, piece; /* piece: elements of dw finished at a time */
	const struct box_isa *box;
	int64_t width, chunks; /* WIDE: padded channels of a group, runs over its terms */
};
/* The convolution of an instruction, or false. */
bool conv_of(const struct rein_program *, const struct rein_prog_instr *, struct conv *);
/* Images side by side on an instruction set; and true if this one can be computed so. */
int conv_lanes(int isa);
bool conv_fits_lanes(const struct conv *, int isa);
/* Fixes everything by shape (`threads` only sizes the workspace); returns workspace bytes. Way
 * ANY becomes one of the others. */
int64_t conv_plan(struct conv *, int isa, int threads);
/* done: as in gemm.h, with matrix n of a batch being image n as (channels, places), or dw one row. */
void conv_run(const struct conv *, struct pool *, const float *a, const float *b, float *c, void *workspace,
              gemm_done *done, void *ctx);

/* --- norm.c ------------------------------------------------------------------------------------ */
/* Batch norm, its derivative, or a sum, for each channel of x seen as (n, channels, inner): all
 * of a channel is one task, so that what is read twice is still in cache. */
struct norm {
	uint32_t op;      /* BATCH_NORM, BATCH_NORM_DX, SUM */
	int keep, gather; /* gather: inner is short, a channel is copied together first */
	int32_t in[5], out[3];
	int64_t step[5]; /* of operands 1..: 0 where one number is for all channels */
	int64_t n, channels, inner;
	double eps;
	const struct conv_isa *isa;
	int64_t own; /* floats of a thread */
};
bool norm_of(const struct rein_program *, const struct rein_prog_instr *, struct norm *);
int64_t norm_plan(struct norm *, int isa, int threads);
/* done: pieces of one row of result 0, (n channels) x inner, as (channels, inner) of matrix n;
 * only if !gather */
void norm_run(const struct norm *, struct pool *, void *const *mem, void *workspace, gemm_done *done, void *ctx);

/* --- window.c: pooling ------------------------------------------------------------------------- */
struct window {
	uint32_t op, flags;
	int keep;              /* derivatives: dx has memory; else only done() sees it */
	bool pairs;            /* 2 x 2, 2 apart, nothing added around */
	int lanes_x, lanes_y;  /* images side by side in operand and result (lanes.c), or 0: pairs only */
	int32_t in[2], out[2]; /* values */
	struct source src;
	const struct box_isa *box;
	int64_t planes, channels, H, W, Ho, Wo, kh, kw, dh, dw;
	int64_t slice, pieces;          /* side by side: rows of y whose dx is finished at a time; calls of done */
	int64_t size, runs, per, tasks; /* elements of a plane's windows, planes (side by side: one), those of a task */
	const struct conv_isa *isa;
	int64_t own; /* floats of a thread */
};
bool window_of(const struct rein_program *, const struct rein_prog_instr *, struct window *);
int64_t window_plan(struct window *, int isa, int threads);
/* done: planes of a derivative, as in gemm.h, matrix n being image n as (channels, places) */
void window_run(const struct window *, struct pool *, void *const *mem, void *workspace, gemm_done *done, void *ctx);
/* One plane of a pooling whose operand has no memory: x is plane `plane` of it. Begin once a run. */
void window_begin(const struct window *, void *const *mem, void *workspace);
void window_plane(const struct window *, void *const *mem, void *workspace, int64_t plane, const float *x);

#endif
