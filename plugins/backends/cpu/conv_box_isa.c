/* SPDX-License-Identifier: MIT
 *
 * conv_box_isa.c: the inner loops of conv_box.h, compiled once per instruction set (see
 * meson.build). Every element of `wide` and `lanes` is one chain of products over channels, then
 * taps, wherever it lies in a vector or tile.
 */
#include "conv_box.h"
#include "vec.h"

/* --- channels in lanes ------------------------------------------------------------------------- */
ALWAYS void wide_body(int mr, int nv, const struct box *b, const float *a, const float *w, float *t, int add)
{
	vec acc[MR][2];
	UNROLL for (int p = 0; p < MR; p++)
	{
		acc[p][0] = add && p < mr ? LOAD(t + p * nv * VL) : ZERO();
		acc[p][1] = add && p < mr && nv == 2 ? LOAD(t + p * nv * VL + VL) : ZERO();
	}
	for (int64_t c = 0; c < b->channels; c++, a += b->step, w += b->step_w)
		for (int64_t i = 0; i < b->kh; i++) {
			const int32_t *off = b->off + i * b->ld_off;
			const float *row = w + i * b->ld_w;
			for (int64_t j = 0; j < b->kw; j++, row += nv * VL) {
				const float *x = a + off[j];
				vec w0 = LOAD(row), w1 = nv == 2 ? LOAD(row + VL) : ZERO();
				UNROLL for (int p = 0; p < MR; p++) if (p < mr)
				{
					vec one = FILL(x[p]);
					acc[p][0] = FMA(one, w0, acc[p][0]);
					if (nv == 2)
						acc[p][1] = FMA(one, w1, acc[p][1]);
				}
			}
		}
	UNROLL for (int p = 0; p < MR; p++) if (p < mr)
	{
		STORE(t + p * nv * VL, acc[p][0]);
		if (nv == 2)
			STORE(t + p * nv * VL + VL, acc[p][1]);
	}
}

/* --- images in lanes --------------------------------------------------------------------------- */
ALWAYS void lanes_body(int mr, int nv, const struct box *b, const float *w, const float *x, float *c, int64_t ldc,
                       int64_t step)
{
	vec acc[MR][2];
	UNROLL for (int r = 0; r < MR; r++) acc[r][0] = acc[r][1] = ZERO();
	for (int64_t k = 0; k < b->channels; k++, x += b->step, w += b->step_w)
		for (int64_t i = 0; i < b->kh; i++) {
			const int32_t *off = b->off + i * b->ld_off;
			const float *row = w + i * b->ld_w;
			for (int64_t j = 0; j < b->kw; j++, row += mr) {
				vec x0 = LOAD(x + off[j]), x1 = nv == 2 ? LOAD(x + off[j] + VL) : ZERO();
				UNROLL for (int r = 0; r < MR; r++) if (r < mr)
				{
					vec one = FILL(row[r]);
					acc[r][0] = FMA(one, x0, acc[r][0]);
					if (nv == 2)
						acc[r][1] = FMA(one, x1, acc[r][1]);
				}
			}
		}
	UNROLL for (int r = 0; r < MR; r++) if (r < mr)
	{
		STORE(c + r * ldc, acc[r][0]);
		if (nv == 2)
			STORE(c + r * ldc + step, acc[r][1]);
	}
}

/* A function for each number of rows or places, and 1 or 2 vectors. */
#define TILE_(mr)                                                                                                  \
	static void wide_##mr(int64_t nv, const struct box *b, const float *a, const float *w, float *t, int add)      \
	{                                                                                                              \
		if (nv == 2)                                                                                               \
			wide_body(mr, 2, b, a, w, t, add);                                                                     \
		else                                                                                                       \
			wide_body(mr, 1, b, a, w, t, add);                                                                     \
	}                                                                                                              \
	static void lanes_##mr(int64_t nv, const struct box *b, const float *w, const float *x, float *c, int64_t ldc, \
	                       int64_t step)                                                                           \
	{                                                                                                              \
		if (nv == 2)                                                                                               \
			lanes_body(mr, 2, b, w, x, c, ldc, step);                                                              \
		else                                                                                                       \
			lanes_body(mr, 1, b, w, x, c, ldc, step);                                                              \
	}
#if MR > 6
#define EACH_MR(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
#elif MR > 4
#define EACH_MR(X) X(1) X(2) X(3) X(4) X(5) X(6)
#else
#define EACH_MR(X) X(1) X(2) X(3) X(4)
#endif
EACH_MR(TILE_)

static void wide(const struct box *b, int64_t px, int64_t nv, const float *source, const float *w, float *t, int add)
{
	typedef void fn(int64_t nv, const struct box *, const float *a, const float *w, float *t, int add);
#define NAME_(mr) wide_##mr,
	static fn *const all[] = { EACH_MR(NAME_) };
#undef NAME_
	all[px - 1](nv, b, source, w, t, add);
}

static void lanes(const struct box *b, int64_t rows, int64_t nv, const float *w, const float *source, float *c,
                  int64_t ldc, int64_t step)
{
	typedef void fn(int64_t nv, const struct box *, const float *w, const float *x, float *c, int64_t ldc,
	                int64_t step);
#define NAME_(mr) lanes_##mr,
	static fn *const all[] = { EACH_MR(NAME_) };
#undef NAME_
	all[rows - 1](nv, b, w, source, c, ldc, step);
}

/* --- sums over images and places ---------------------------------------------------------------- */
/* 24 accumulators of 32 registers, 10 of 16 */
#if MR > 6
#define SR 5 /* rows x 5 */
#else
#define SR 2
#endif
#define SD 5

ALWAYS void sums_body(int mr, int nd, int64_t ny, int64_t nx, const float *a, int64_t lda, int64_t row_a,
                      const float *b, const int32_t *off, int64_t row_b, float *c)
{
	vec acc[SR][8];
	UNROLL for (int r = 0; r < SR; r++) UNROLL for (int j = 0; j < 8; j++) acc[r][j] = ZERO();
	for (int64_t y = 0; y < ny; y++, a += row_a, b += row_b)
		for (int64_t e = 0; e < nx * VL; e += VL) {
			vec v[SD];
			UNROLL for (int j = 0; j < SD; j++) if (j < nd) v[j] = LOAD(b + off[j] + e);
			UNROLL for (int r = 0; r < SR; r++) if (r < mr)
			{
				vec x = LOAD(a + r * lda + e);
				UNROLL for (int j = 0; j < SD; j++) if (j < nd) acc[r][j] = FMA(x, v[j], acc[r][j]);
			}
		}
	UNROLL for (int r = 0; r < SR; r++) if (r < mr)
	{
		sum4(c + r * 8, acc[r][0], acc[r][1], acc[r][2], acc[r][3]);
		if (nd > 4)
			sum4(c + r * 8 + 4, acc[r][4], acc[r][5], acc[r][6], acc[r][7]);
	}
}

#define SUMS_(mr, nd)                                               \
	case (mr)*8 + (nd):                                             \
		sums_body(mr, nd, ny, nx, a, lda, row_a, b, off, row_b, c); \
		return;
#define SUMS_ROWS_(mr) SUMS_(mr, 1) SUMS_(mr, 2) SUMS_(mr, 3) SUMS_(mr, 4) SUMS_(mr, 5)
static void sums(int64_t rows, int64_t nd, int64_t ny, int64_t nx, const float *a, int64_t lda, int64_t row_a,
                 const float *b, const int32_t *off, int64_t row_b, float *c)
{
	switch (rows * 8 + nd) {
		SUMS_ROWS_(1)
		SUMS_ROWS_(2)
#if SR > 2
		SUMS_ROWS_(3)
		SUMS_ROWS_(4)
		SUMS_ROWS_(5)
#endif
	}
}

/* --- to and from lanes ---------------------------------------------------------------------------- */
static void gather(int64_t n_lanes, int64_t n, const float *x, int64_t ldx, float *out, const int32_t *place)
{
	for (int64_t i = 0; i < n; i += VL) {
		vec v[VL];
		int64_t m = n - i < VL ? n - i : VL;
		mask some = tail_mask(m);
		if (n_lanes == VL && m == VL) {
			UNROLL for (int l = 0; l < VL; l++) v[l] = LOAD(x + l * ldx + i);
		} else {
			UNROLL for (int l = 0; l < VL; l++) v[l] = l < n_lanes ? LOADM(x + l * ldx + i, some) : ZERO();
		}
		transpose(v);
		UNROLL for (int l = 0; l < VL; l++) if (l < m && (!place || place[i + l] >= 0))
			STORE(out + (place ? place[i + l] : i + l) * VL, v[l]);
	}
}

static void turn(int64_t n, int64_t n_lanes, const float *t, int64_t ldt, float *y, int64_t ldy, int64_t step)
{
	for (int64_t i = 0; i < n; i += VL) {
		vec v[VL];
		int64_t m = n - i < VL ? n - i : VL;
		UNROLL for (int l = 0; l < VL; l++) v[l] = l < m ? LOAD(t + (i + l) * ldt) : ZERO();
		transpose(v);
		if (step == 1 && m == VL) {
			UNROLL for (int l = 0; l < VL; l++) if (l < n_lanes) STORE(y + l * ldy + i, v[l]);
			continue;
		}
		mask some = tail_mask(m);
		for (int64_t l = 0; l < n_lanes; l++) {
			float *to = y + l * ldy + i * step, all[VL];
			if (step == 1) {
				STOREM(to, v[l], some);
				continue;
			}
			STORE(all, v[l]);
			for (int64_t k = 0; k < m; k++)
				to[k * step] = all[k];
		}
	}
}

static void average2(int64_t rows, int64_t n, const float *x, float *y)
{
	vec quarter = FILL(0.25f);
	for (int64_t r = 0; r < rows; r++, x += 4 * n * VL, y += n * VL)
		for (int64_t i = 0; i < n; i++) {
			const float *a = x + 2 * i * VL, *b = a + 2 * n * VL;
			vec s = ADD(ADD(ADD(LOAD(a), LOAD(a + VL)), LOAD(b)), LOAD(b + VL));
			s = MUL(s, quarter);
			STORE(y + i * VL, s);
		}
}

static void share2(int64_t rows, int64_t n, const float *y, float *x)
{
	vec quarter = FILL(0.25f);
	for (int64_t r = 0; r < rows; r++, x += 4 * n * VL, y += n * VL)
		for (int64_t i = 0; i < n; i++) {
			float *a = x + 2 * i * VL, *b = a + 2 * n * VL;
			vec s = MUL(LOAD(y + i * VL), quarter);
			STORE(a, s);
			STORE(a + VL, s);
			STORE(b, s);
			STORE(b + VL, s);
		}
}

const struct box_isa ISA(box) = { MR, VL, wide, lanes, SR, sums, gather, turn, average2, share2 };
