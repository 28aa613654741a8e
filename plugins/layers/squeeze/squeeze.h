/* SPDX-License-Identifier: MIT
 *
 * squeeze.h: the two squeezers of Xu et al. 2018, shared by the layer and the detector: fewer
 * bits of color, and the median of 3x3 pixels (borders repeated, as with scipy's mode=reflect).
 */
#ifndef SQUEEZE_H
#define SQUEEZE_H

#include "rein/rein.h"

/* rint(u (2^bits - 1)) / (2^bits - 1) for u in 0..1, x = lo + (hi - lo) u; a half goes to even. */
static inline rein_val squeeze_bits(struct rein_rec *r, rein_val x, int64_t bits, double lo, double hi)
{
	double levels = (double)((INT64_C(1) << bits) - 1);
	rein_val u = rein_scale(r, rein_offset(r, x, -lo), levels / (hi - lo));
	return rein_offset(r, rein_scale(r, rein_rint(r, u), (hi - lo) / levels), lo);
}

/* x shifted by one pixel along an axis, the border repeated. */
static inline rein_val squeeze_shift(struct rein_rec *r, rein_val x, uint32_t axis, int by)
{
	int64_t n = rein_dim(r, x, (int32_t)axis);
	rein_val part[2];
	if (by == 0 || n < 2)
		return x;
	part[by > 0] = rein_narrow(r, x, axis, by > 0 ? 0 : 1, n - 1);
	part[by < 0] = rein_narrow(r, x, axis, by > 0 ? 0 : n - 1, 1);
	return rein_concat(r, 2, part, axis);
}

/* x (N,C,H,W): the fifth of nine by 19 exchanges (Paeth's network in the order of Smith 1996). */
static inline rein_val squeeze_median(struct rein_rec *r, rein_val x)
{
	static const unsigned char swap[19][2] = { { 1, 2 }, { 4, 5 }, { 7, 8 }, { 0, 1 }, { 3, 4 }, { 6, 7 }, { 1, 2 },
		                                       { 4, 5 }, { 7, 8 }, { 0, 3 }, { 5, 8 }, { 4, 7 }, { 3, 6 }, { 1, 4 },
		                                       { 2, 5 }, { 4, 7 }, { 4, 2 }, { 6, 4 }, { 4, 2 } };
	rein_val v[9];
	if (rein_rank(r, x) != 4) {
		rein_refuse(r, "median needs images (N,C,H,W)");
		return x;
	}
	for (int i = 0; i < 9; i++)
		v[i] = squeeze_shift(r, squeeze_shift(r, x, 2, i / 3 - 1), 3, i % 3 - 1);
	for (int i = 0; i < 19; i++) {
		rein_val a = v[swap[i][0]], b = v[swap[i][1]], up = rein_lt(r, b, a);
		v[swap[i][0]] = rein_where(r, up, b, a);
		v[swap[i][1]] = rein_where(r, up, a, b);
	}
	return v[4];
}

#endif
