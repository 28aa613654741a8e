/* SPDX-License-Identifier: MIT
 *
 * sparse_isa.c: the inner loop of sparse products, compiled once per instruction set (see
 * meson.build). Two vectors of rows of A lie side by side, so an entry of B costs two products
 * of whole vectors and no gathers. Entries of a row of B are added in two chains, every other
 * one, which hides the latency of a product; their order depends on B alone. Of convolutions up to
 * eight vectors of a plane are summed at once, entry by entry in order.
 */
#include "sparse.h"
#include "vec.h"

/* Columns o.. o+m-1 of C for the vector of rows at r0: sums turned from columns into rows. */
ALWAYS void put(vec *sum, int64_t rows, int64_t m, float *c, int64_t ldc)
{
	transpose(sum);
	for (int64_t i = 0; i < rows; i++)
		if (m == VL)
			STORE(c + i * ldc, sum[i]);
		else
			STOREM(c + i * ldc, sum[i], tail_mask(m));
}

static void product(int64_t rows, int64_t n, const int32_t *begin, const int32_t *end, const int32_t *place,
                    const float *value, const float *at, float *c, int64_t ldc)
{
	for (int64_t o = 0; o < n; o += VL) {
		vec lo[VL], hi[VL];
		int64_t m = n - o < VL ? n - o : VL;
		for (int64_t j = 0; j < VL; j++) {
			vec a0 = ZERO(), a1 = ZERO(), b0 = ZERO(), b1 = ZERO();
			int32_t e = j < m ? begin[o + j] : 0, last = j < m ? end[o + j] : 0;
			for (; e + 1 < last; e += 2) {
				const float *x = at + (int64_t)place[e] * 2 * VL, *y = at + (int64_t)place[e + 1] * 2 * VL;
				vec v = FILL(value[e]), w = FILL(value[e + 1]);
				a0 = FMA(v, LOAD(x), a0);
				a1 = FMA(v, LOAD(x + VL), a1);
				b0 = FMA(w, LOAD(y), b0);
				b1 = FMA(w, LOAD(y + VL), b1);
			}
			if (e < last) {
				const float *x = at + (int64_t)place[e] * 2 * VL;
				vec v = FILL(value[e]);
				a0 = FMA(v, LOAD(x), a0);
				a1 = FMA(v, LOAD(x + VL), a1);
			}
			lo[j] = ADD(a0, b0);
			hi[j] = ADD(a1, b1);
		}
		put(lo, rows < VL ? rows : VL, m, c + o, ldc);
		if (rows > VL)
			put(hi, rows - VL, m, c + o + VL * ldc, ldc);
	}
}

ALWAYS void run_of(int nv, int64_t n, const int32_t *off, const float *value, const float *base, float *out)
{
	vec sum[8];
	UNROLL for (int i = 0; i < 8; i++) sum[i] = ZERO();
	for (int64_t e = 0; e < n; e++) {
		const float *x = base + off[e];
		vec v = FILL(value[e]);
		UNROLL for (int i = 0; i < 8; i++) if (i < nv) sum[i] = FMA(v, LOAD(x + i * VL), sum[i]);
	}
	UNROLL for (int i = 0; i < 8; i++) if (i < nv) STORE(out + i * VL, sum[i]);
}

static void runs(int64_t n, const int32_t *off, const float *value, const float *base, int64_t places, float *out)
{
	int64_t q = 0;
	for (; q + 7 * VL < places; q += 8 * VL)
		run_of(8, n, off, value, base + q, out + q);
	for (; q + 3 * VL < places; q += 4 * VL)
		run_of(4, n, off, value, base + q, out + q);
	for (; q < places; q += VL)
		run_of(1, n, off, value, base + q, out + q);
}

const struct sparse_isa ISA(sparse) = { product, runs };
