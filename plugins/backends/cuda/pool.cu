/* SPDX-License-Identifier: MIT
 *
 * pool.cu: max_pool, avg_pool and their derivatives. A window's tap (i, j) reads input row
 * out_row * stride - pad + i * dilation; taps outside are -inf for max, nothing for avg. Derivatives
 * gather: a thread owns an element of dx and adds up, in ascending order, the windows that
 * hold it; so nothing is zeroed first and nothing is added by an atomic. The derivative of an
 * activation behind them is done by the same thread (tail.cu).
 *
 * Bound by memory: x once, y once (and 4 bytes of index): (1 + 2 / stride^2) 4 bytes per element of
 * x; windows that overlap find their neighbours in L1.
 */
#include "tile.h"

struct pool {
	int H, W, Ho, Wo, kh, kw, sh, sw, ph, pw, dh, dw;
	uint32_t count;                           /* elements of the result */
	struct cuda_div plane, row, by_sh, by_sw; /* of the result: elements of a plane, of a row */
	bool count_pad;
};

/* x: the larger image, y: the pooled one; out: which of them is the result */
static struct pool pool_of(const struct rein_attr *a, const struct rein_prog_value *x, const struct rein_prog_value *y,
                           const struct rein_prog_value *out)
{
	struct pool v;
	v.H = (int)x->dim[2], v.W = (int)x->dim[3], v.Ho = (int)y->dim[2], v.Wo = (int)y->dim[3];
	v.sh = (int)a->step[0], v.sw = (int)a->step[1], v.kh = (int)a->step[2], v.kw = (int)a->step[3];
	v.ph = (int)a->start[0], v.pw = (int)a->start[1];
	v.dh = a->start[2] ? (int)a->start[2] : 1, v.dw = a->start[3] ? (int)a->start[3] : 1;
	v.count = (uint32_t)out->count;
	v.plane = cuda_div_by(out->dim[2] * out->dim[3]);
	v.row = cuda_div_by(out->dim[3]);
	v.by_sh = cuda_div_by(v.sh), v.by_sw = cuda_div_by(v.sw);
	v.count_pad = a->flags & REIN_COUNT_PAD;
	return v;
}

/* First and last tap of a window along one axis that lie inside 0..n-1, of k taps from `at`, d apart. */
static __device__ __forceinline__ void inside(int at, int k, int d, int n, int &lo, int &hi)
{
	lo = at < 0 ? (-at + d - 1) / d : 0;
	hi = at + (k - 1) * d >= n ? (n - 1 - at) / d : k - 1;
	if (at >= n)
		hi = -1;
}

/* y and index in plane: the first of ties, the first NaN; a window wholly in the padding is -inf, -1.
 * K: window size if it is square and known, else 0. y or index may be NULL. */
template <int K>
__global__ void pool_max(struct pool v, const float *__restrict__ x, float *__restrict__ y, int32_t *__restrict__ index)
{
	for (CUDA_EACH(q, v.count)) {
		uint32_t ow = (uint32_t)q, p = cuda_split(ow, v.plane), oh = cuda_split(ow, v.row);
		const float *plane = x + (size_t)p * v.H * v.W;
		int h0 = (int)oh * v.sh - v.ph, w0 = (int)ow * v.sw - v.pw, at = -1;
		float best = -INFINITY;
		const int kh = K ? K : v.kh, kw = K ? K : v.kw;
		CUDA_UNROLL
		for (int i = 0; i < kh; i++) {
			CUDA_UNROLL
			for (int j = 0; j < kw; j++) {
				int ih = h0 + i * v.dh, iw = w0 + j * v.dw;
				if ((unsigned)ih >= (unsigned)v.H || (unsigned)iw >= (unsigned)v.W)
					continue;
				float e = plane[ih * v.W + iw];
				if (at < 0 || (best == best && (e != e || e > best))) {
					best = e;
					at = ih * v.W + iw;
				}
			}
		}
		if (y)
			y[q] = best;
		if (index)
			index[q] = at;
	}
}

/* Windows along one axis that may hold input place `at` (padding added): output places lo..hi in
 * ascending order; with a dilation not all of them do. */
static __device__ __forceinline__ void windows(int at, int k, int d, const struct cuda_div &s, int n, int &lo, int &hi)
{
	int first = at - (k - 1) * d;
	lo = first <= 0 ? 0 : (int)cuda_quot((uint32_t)(first + (int)s.d - 1), s);
	hi = (int)cuda_quot((uint32_t)at, s);
	hi = hi < n ? hi : n - 1;
}

/* dx[e] = sum of g[q] over the windows q that chose e */
__global__ void pool_max_dx(struct pool v, const float *__restrict__ g, const int32_t *__restrict__ index,
                            float *__restrict__ dx, struct tile_end end)
{
	for (CUDA_EACH(e, v.count)) {
		uint32_t in_plane = (uint32_t)e, p = cuda_split(in_plane, v.plane), iw = in_plane, ih = cuda_split(iw, v.row);
		int h_lo, h_hi, w_lo, w_hi;
		windows((int)ih + v.ph, v.kh, v.dh, v.by_sh, v.Ho, h_lo, h_hi);
		windows((int)iw + v.pw, v.kw, v.dw, v.by_sw, v.Wo, w_lo, w_hi);
		double sum = 0;
		for (int oh = h_lo; oh <= h_hi; oh++)
			for (int ow = w_lo; ow <= w_hi; ow++) {
				size_t q = ((size_t)p * v.Ho + oh) * v.Wo + ow;
				if (index[q] == (int32_t)in_plane)
					sum += (double)g[q];
			}
		tile_put(end, dx, (size_t)e, 0, (float)sum);
	}
}

/* Number that the sum of window (oh, ow) is divided by: kh kw, or the taps inside. */
static __device__ __forceinline__ float divisor(const struct pool &v, int oh, int ow)
{
	int a, b, c, d;
	if (v.count_pad)
		return (float)(v.kh * v.kw);
	inside(oh * v.sh - v.ph, v.kh, v.dh, v.H, a, b);
	inside(ow * v.sw - v.pw, v.kw, v.dw, v.W, c, d);
	return b < a || d < c ? 1.0f : (float)((b - a + 1) * (d - c + 1));
}

__global__ void pool_avg(struct pool v, const float *__restrict__ x, float *__restrict__ y)
{
	for (CUDA_EACH(q, v.count)) {
		uint32_t ow = (uint32_t)q, p = cuda_split(ow, v.plane), oh = cuda_split(ow, v.row);
		int h0 = (int)oh * v.sh - v.ph, w0 = (int)ow * v.sw - v.pw, a, b, c, d;
		const float *plane = x + (size_t)p * v.H * v.W;
		inside(h0, v.kh, v.dh, v.H, a, b);
		inside(w0, v.kw, v.dw, v.W, c, d);
		double sum = 0;
		for (int i = a; i <= b; i++)
			for (int j = c; j <= d; j++)
				sum += (double)plane[(h0 + i * v.dh) * v.W + w0 + j * v.dw];
		y[q] = (float)sum / divisor(v, (int)oh, (int)ow);
	}
}

/* dx[e] = sum of g[q] / divisor(q) over the windows q that hold e */
__global__ void pool_avg_dx(struct pool v, const float *__restrict__ g, float *__restrict__ dx, struct tile_end end)
{
	for (CUDA_EACH(e, v.count)) {
		uint32_t iw = (uint32_t)e, p = cuda_split(iw, v.plane), ih = cuda_split(iw, v.row);
		int h = (int)ih + v.ph, w = (int)iw + v.pw, h_lo, h_hi, w_lo, w_hi;
		windows(h, v.kh, v.dh, v.by_sh, v.Ho, h_lo, h_hi);
		windows(w, v.kw, v.dw, v.by_sw, v.Wo, w_lo, w_hi);
		double sum = 0;
		for (int oh = h_lo; oh <= h_hi; oh++) {
			if (v.dh > 1 && (h - oh * v.sh) % v.dh)
				continue;
			for (int ow = w_lo; ow <= w_hi; ow++)
				if (v.dw == 1 || (w - ow * v.sw) % v.dw == 0)
					sum += (double)(g[((size_t)p * v.Ho + oh) * v.Wo + ow] / divisor(v, oh, ow));
		}
		tile_put(end, dx, (size_t)e, 0, (float)sum);
	}
}

static bool supports(const struct rein_program *p, const struct rein_prog_instr *i)
{
	switch (i->op) {
	case REIN_OP_MAX_POOL:
	case REIN_OP_MAX_POOL_DX:
	case REIN_OP_AVG_POOL:
	case REIN_OP_AVG_POOL_DX: return cuda_small(p, i);
	default: return false;
	}
}

static rein_status emit(struct cuda_build *b, int32_t n, const int32_t *instr)
{
	const struct rein_prog_instr *i = tail_head(b->p, n, instr);
	const struct rein_prog_value *in = cuda_in(b, i, 0), *out = cuda_out(b, i, 0);
	bool back = i->op == REIN_OP_MAX_POOL_DX || i->op == REIN_OP_AVG_POOL_DX;
	struct pool v = back ? pool_of(&i->attr, out, in, out) : pool_of(&i->attr, in, out, out);
	unsigned grid = cuda_blocks(out->count, CUDA_BLOCK);
	const float *x = cuda_in_mem<float>(b, i, 0);
	struct tile_end end;
	float *y = tail_of(b, n, instr, 0, &end);
	switch (i->op) {
	case REIN_OP_MAX_POOL: {
		int32_t *index = cuda_out_mem<int32_t>(b, i, 1);
		if (v.kh == 2 && v.kw == 2)
			return cuda_launch(b, (pool_max<2>), grid, CUDA_BLOCK, 0, v, x, y, index);
		if (v.kh == 3 && v.kw == 3)
			return cuda_launch(b, (pool_max<3>), grid, CUDA_BLOCK, 0, v, x, y, index);
		return cuda_launch(b, (pool_max<0>), grid, CUDA_BLOCK, 0, v, x, y, index);
	}
	case REIN_OP_MAX_POOL_DX:
		return cuda_launch(b, pool_max_dx, grid, CUDA_BLOCK, 0, v, x, cuda_in_mem<int32_t>(b, i, 1), y, end);
	case REIN_OP_AVG_POOL: return cuda_launch(b, pool_avg, grid, CUDA_BLOCK, 0, v, x, y);
	default: return cuda_launch(b, pool_avg_dx, grid, CUDA_BLOCK, 0, v, x, y, end);
	}
}

static bool has_tail(const struct rein_prog_instr *i)
{
	return i->op == REIN_OP_MAX_POOL_DX || i->op == REIN_OP_AVG_POOL_DX;
}
static rein_status match(struct cuda *cuda, const struct rein_program *p, struct rein_plan *plan)
{
	(void)cuda;
	tail_match(p, plan, has_tail, 0);
	return REIN_OK;
}

extern const struct cuda_family cuda_pool = { "pool", supports, NULL, emit, match };
