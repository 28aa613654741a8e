/* SPDX-License-Identifier: MIT
 *
 * warp.cu: images sampled at given coordinates. x (N,C,H,W), xy (N,Ho,Wo,2): column, then row, in
 * pixels; y (N,C,Ho,Wo). A thread makes one place in all channels, so that coordinates are read
 * and weighed once. Bound by memory: 8 bytes of coordinates per place, and per channel 4 out
 * and 4 to 16 in, which neighbours share in L1.
 */
#include "device.h"

struct warp {
	int C, H, W;
	uint32_t places, count; /* Ho Wo, N Ho Wo */
	struct cuda_div by_places;
	float fill;
};

/* Rounded coordinate as an integer: far outside, and NaN, is somewhere outside. */
static __device__ __forceinline__ int whole(float v)
{
	return !(v >= -1e9f) ? -1000000000 : v > 1e9f ? 1000000000 : (int)v;
}

template <bool NEAREST>
__global__ void warp_sample(struct warp v, const float *__restrict__ x, const float2 *__restrict__ xy,
                            float *__restrict__ y)
{
	for (CUDA_EACH(e, v.count)) {
		uint32_t q = (uint32_t)e, n = cuda_split(q, v.by_places);
		const float2 at = xy[e];
		const float fu = NEAREST ? rintf(at.x) : floorf(at.x), fv = NEAREST ? rintf(at.y) : floorf(at.y);
		const int u = whole(fu), w = whole(fv);
		const bool left = u >= 0 && u < v.W, right = u + 1 >= 0 && u + 1 < v.W;
		const bool top = w >= 0 && w < v.H, low = w + 1 >= 0 && w + 1 < v.H;
		const float wu = at.x - fu, wv = at.y - fv;
		for (int c = 0; c < v.C; c++) {
			const float *plane = x + ((size_t)n * v.C + c) * v.H * v.W;
			const int64_t place = (int64_t)w * v.W + u;
			float r = left && top ? plane[place] : v.fill;
			if (!NEAREST) {
				const float b = right && top ? plane[place + 1] : v.fill;
				const float d = left && low ? plane[place + v.W] : v.fill;
				const float f = right && low ? plane[place + v.W + 1] : v.fill;
				r = ((1 - wu) * r + wu * b) * (1 - wv) + ((1 - wu) * d + wu * f) * wv;
			}
			y[((size_t)n * v.C + c) * v.places + q] = r;
		}
	}
}

static bool supports(const struct rein_program *p, const struct rein_prog_instr *i)
{
	return i->op == REIN_OP_WARP && cuda_small(p, i);
}

static rein_status emit(struct cuda_build *b, int32_t n, const int32_t *instr)
{
	(void)n;
	const struct rein_prog_instr *i = &b->p->instr[instr[0]];
	const struct rein_prog_value *x = cuda_in(b, i, 0), *y = cuda_out(b, i, 0);
	struct warp v = { (int)x->dim[1],
		              (int)x->dim[2],
		              (int)x->dim[3],
		              (uint32_t)(y->dim[2] * y->dim[3]),
		              (uint32_t)(y->dim[0] * y->dim[2] * y->dim[3]),
		              cuda_div_by(y->dim[2] * y->dim[3]),
		              (float)i->attr.par[0] };
	const float *from = cuda_in_mem<float>(b, i, 0);
	const float2 *xy = cuda_in_mem<float2>(b, i, 1);
	float *to = cuda_out_mem<float>(b, i, 0);
	unsigned grid = cuda_blocks(v.count, CUDA_BLOCK);
	if (i->attr.mode == REIN_NEAREST)
		return cuda_launch(b, (warp_sample<true>), grid, CUDA_BLOCK, 0, v, from, xy, to);
	return cuda_launch(b, (warp_sample<false>), grid, CUDA_BLOCK, 0, v, from, xy, to);
}

extern const struct cuda_family cuda_warp = { "warp", supports, NULL, emit, NULL };
