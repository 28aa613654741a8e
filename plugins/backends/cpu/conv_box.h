/* SPDX-License-Identifier: MIT
 *
 * conv_box.h: inner loops of convolutions that keep whole channels or images in a vector
 * (conv_box.c), once per instruction set (conv_box_isa.c).
 */
#ifndef CPU_CONV_BOX_H
#define CPU_CONV_BOX_H

#include <stdint.h>

/* Terms of a sum: channels x kh x kw taps. Floats of the source from a channel to the next
 * (step), its offset at each tap (kh rows, ld_off apart), and the same of the packed weights. */
struct box {
	int64_t channels, kh, kw;
	int64_t step, ld_off, step_w, ld_w;
	const int32_t *off;
};
struct box_isa {
	int mr, vl; /* largest tile: mr x 2 vectors */
	/* t (px x nv vectors of channels) (+)= sum over terms of source[p] times a row of weights */
	void (*wide)(const struct box *, int64_t px, int64_t nv, const float *source, const float *w, float *t, int add);
	/* c[r] (nv places `step` apart, a vector of images each) = sum over terms of w[r] times source */
	void (*lanes)(const struct box *, int64_t rows, int64_t nv, const float *w, const float *source, float *c,
	              int64_t ldc, int64_t step);
	/* c[r * 8 + j] = sum over ny rows of nx vectors, then over lanes, of a[r * lda] b[off[j]];
	 * rows <= md, nd <= 5; c has md x 8 */
	int md;
	void (*sums)(int64_t rows, int64_t nd, int64_t ny, int64_t nx, const float *a, int64_t lda, int64_t row_a,
	             const float *b, const int32_t *off, int64_t row_b, float *c);
	/* out[place[i] * vl + l] = x[l * ldx + i] for i < n and place[i] >= 0; 0 in lanes from `lanes` on;
	 * place NULL: i */
	void (*gather)(int64_t lanes, int64_t n, const float *x, int64_t ldx, float *out, const int32_t *place);
	/* y[l * ldy + i * step] = t[i * ldt + l] for i < n, l < lanes <= vl; t is readable up to vl rows
	 * and vl columns */
	void (*turn)(int64_t n, int64_t lanes, const float *t, int64_t ldt, float *y, int64_t ldy, int64_t step);
	/* 2 x 2 windows of places, a vector of images each: y (rows x n) of x (2 rows x 2 n), and x's share of y */
	void (*average2)(int64_t rows, int64_t n, const float *x, float *y);
	void (*share2)(int64_t rows, int64_t n, const float *y, float *x);
};
const struct box_isa *box_isa(int isa); /* conv_box.c */
extern const struct box_isa box_plain, box_avx2, box_avx512;

#endif
