/* SPDX-License-Identifier: MIT
 *
 * conv_tensor.cu: convolutions forward and dx with more than 32 channels in the result on tensor cores
 * (`math` tf32 or bf16), the same gathering product as conv.cu. Numbers go from global to shared memory by
 * cp.async, which takes no registers and fills with zeros beyond the image's edge, STAGES - 1 chunks of k
 * ahead of the one that is multiplied.
 *
 * A warp makes 64 places times 64, 48 or 32 channels. Per 8 of k and 64 x 64 numbers it reads 4 KB of
 * shared memory, 32 passes of 128 bytes, for 32 mma of about a clock each: shared memory and tensor
 * cores are busy alike. a is (BK, places), b (channels, BK), both padded so that neither writing nor reading
 * them has bank conflicts. Where a row of the weight is contiguous along k, it comes by 16 bytes.
 */
#include "conv.h"

#define STAGES  4
#define BM      128
#define BK      16
#define THREADS 128 /* one per place; 2 x 2 warps */
#define PITCH_A (BM + 8)
#define PITCH_B (BK + 4)

struct tensor {
	uint32_t rows; /* places of all images */
	int K, chunks, tiles_m, tiles_n;
	struct cuda_div by_plane, by_row, by_taps, by_tap_row;
};

#ifdef CUDA_EMULATION
static __device__ __forceinline__ void copy_ahead(float *to, const float *from, int numbers, bool real)
{
	for (int k = 0; k < numbers; k++)
		to[k] = real ? from[k] : 0;
}
static __device__ __forceinline__ void copy_commit() {}
template <int N>
static __device__ __forceinline__ void copy_wait()
{
}
#else
/* 1 or 4 numbers, zeros unless real; `from` is not read then. */
static __device__ __forceinline__ void copy_ahead(float *to, const float *from, int numbers, bool real)
{
	const uint32_t at = (uint32_t)__cvta_generic_to_shared(to);
	if (numbers == 4)
		asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from), "r"(real ? 16 : 0)
		             : "memory");
	else
		asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(at), "l"(from), "r"(real ? 4 : 0) : "memory");
}
static __device__ __forceinline__ void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/* Until all but the last N groups have come. */
template <int N>
static __device__ __forceinline__ void copy_wait()
{
	asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}
#endif

/* What a tap of chunk k is: its offset in the source, its row and column there, its place in a weight's row. */
static __device__ __forceinline__ int4 tap_at(const struct gather &v, const struct tensor &p, int k)
{
	if (k >= p.K)
		return make_int4(0, 1 << 30, 0, -1);
	uint32_t tap = (uint32_t)k;
	const int ch = (int)cuda_split(tap, p.by_taps), i = (int)cuda_split(tap, p.by_tap_row), j = (int)tap;
	const int y = i * v.h.e, x = j * v.w.e;
	return make_int4(ch * v.H * v.W + y * v.W + x, y, x, ch * v.wch + (v.h.w0 + i * v.h.w) * v.kw + v.w.w0 + j * v.w.w);
}

/* Block (group tiles_m + tile of rows) tiles_n + tile of columns. QUAD: weights by 16 bytes. */
template <int BN, bool QUAD>
__global__ void __launch_bounds__(THREADS, 2)
	conv_tensor(struct gather v, struct tensor p, const float *__restrict__ x, const float *__restrict__ w,
                float *__restrict__ y, struct tile_end end)
{
	const int MI = 4, NI = BN / 2 / 8;
	__shared__ int4 table[2][BK];
	CUDA_SHARED(float, mem);
	float *const a_mem = mem, *const b_mem = mem + STAGES * BK * PITCH_A;
	const int tile_n = (int)(blockIdx.x % p.tiles_n), rest = (int)(blockIdx.x / p.tiles_n);
	const int group = rest / p.tiles_m, n0 = tile_n * BN;
	const uint32_t m0 = (uint32_t)(rest % p.tiles_m) * BM;
	const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
	const int wm = warp % 2 * (BM / 2), wn = warp / 2 * (BN / 2);
	const float *const weight = w + (size_t)group * v.wgroup;

	const bool real = m0 + threadIdx.x < p.rows; /* the place this thread fetches for */
	uint32_t q = real ? m0 + threadIdx.x : 0, n = cuda_split(q, p.by_plane), i = cuda_split(q, p.by_row);
	const int h = (int)i * v.h.s + v.h.b, u = (int)q * v.w.s + v.w.b;
	const float *const source = x + ((int64_t)n * v.G + group) * v.channels * v.H * v.W;
	const int at = h * v.W + u;

	auto fetch = [&](int chunk) {
		float *a = a_mem + chunk % STAGES * (BK * PITCH_A) + threadIdx.x, *b = b_mem + chunk % STAGES * (BN * PITCH_B);
		const int4 *tap = table[chunk & 1];
		CUDA_UNROLL
		for (int k = 0; k < BK; k++) {
			const int4 s = tap[k];
			const bool in = real && (unsigned)(h + s.y) < (unsigned)v.H && (unsigned)(u + s.z) < (unsigned)v.W;
			copy_ahead(a + k * PITCH_A, in ? source + (at + s.x) : x, 1, in);
		}
		CUDA_UNROLL
		for (int r = 0; r < BN * BK / THREADS / (QUAD ? 4 : 1); r++) {
			const int e = threadIdx.x + r * THREADS, col = e / (QUAD ? BK / 4 : BK);
			const int k = e % (QUAD ? BK / 4 : BK) * (QUAD ? 4 : 1), s = QUAD ? chunk * BK + k : tap[k].w;
			const bool in = n0 + col < v.cols && (QUAD ? s < p.K : s >= 0);
			copy_ahead(b + col * PITCH_B + k, in ? weight + (size_t)(n0 + col) * v.wcol + s : w, QUAD ? 4 : 1, in);
		}
	};
	auto prepare = [&](int chunk) {
		if (threadIdx.x < BK)
			table[chunk & 1][threadIdx.x] = tap_at(v, p, chunk * BK + (int)threadIdx.x);
	};

	float acc[MI][NI][4];
	CUDA_UNROLL
	for (int e = 0; e < MI * NI * 4; e++)
		acc[e / (NI * 4)][e / 4 % NI][e % 4] = 0;
	prepare(0);
	__syncthreads();
	for (int s = 0; s < STAGES - 1; s++) {
		fetch(s); /* all zeros beyond the last */
		copy_commit();
		prepare(s + 1);
		__syncthreads();
	}
	for (int chunk = 0; chunk < p.chunks; chunk++) {
		copy_wait<STAGES - 2>();
		__syncthreads(); /* all have come, and everybody is done with the chunk before */
		if (chunk + STAGES - 1 < p.chunks)
			fetch(chunk + STAGES - 1);
		copy_commit();
		prepare(chunk + STAGES);
		const float *a = a_mem + chunk % STAGES * (BK * PITCH_A) + wm, *b = b_mem + chunk % STAGES * (BN * PITCH_B);
		CUDA_UNROLL
		for (int k = 0; k < BK; k += 8) {
			uint32_t pa[MI][4], pb[NI][2];
			CUDA_UNROLL
			for (int e = 0; e < MI * 4; e++)
				pa[e / 4][e % 4] = to_tf32(a[(k + t + e % 4 / 2 * 4) * PITCH_A + e / 4 * 16 + g + e % 2 * 8]);
			CUDA_UNROLL
			for (int e = 0; e < NI * 2; e++)
				pb[e / 2][e % 2] = to_tf32(b[(wn + e / 2 * 8 + g) * PITCH_B + k + t + e % 2 * 4]);
			CUDA_UNROLL
			for (int e = 0; e < MI * NI; e++)
				mma_tf32(acc[e / NI][e % NI], pa[e / NI], pb[e % NI]);
		}
	}

	CUDA_UNROLL
	for (int r = 0; r < MI * 2; r++) {
		uint32_t place = m0 + wm + r / 2 * 16 + g + r % 2 * 8;
		if (place >= p.rows)
			continue;
		const uint32_t image = cuda_split(place, p.by_plane), row = cuda_split(place, p.by_row);
		const size_t plane = (size_t)v.out_H * v.out_W;
		const size_t to = (row * v.h.o + v.h.a) * v.out_W + place * v.w.o + v.w.a;
		CUDA_UNROLL
		for (int j = 0; j < NI * 2; j++) {
			const int col = n0 + wn + j / 2 * 8 + 2 * t + j % 2, ch = group * v.cols + col;
			if (col < v.cols)
				tile_put(end, y, ((size_t)image * v.G * v.cols + ch) * plane + to, ch,
				         acc[r / 2][j / 2][r % 2 * 2 + j % 2]);
		}
	}
}

/* --- host ------------------------------------------------------------------------------------------ */
static int ceil_div(int64_t a, int64_t b) { return (int)((a + b - 1) / b); }

/* Rows of the weight are taps in order, and every one begins at 16 bytes. */
static bool by_quads(const struct gather *v, int K, const float *w)
{
	int taps = v->h.taps * v->w.taps;
	return K % 4 == 0 && v->wcol == K && v->wch == taps && v->kw == v->w.taps && !v->h.w0 && !v->w.w0 && v->h.w == 1 &&
	       v->w.w == 1 && (reinterpret_cast<uintptr_t>(w) & 15) == 0;
}

template <int BN>
static rein_status emit(struct cuda_build *b, const struct gather *v, const float *x, const float *w, float *y,
                        const struct tile_end *end)
{
	struct tensor p;
	const int64_t plane = (int64_t)v->h.places * v->w.places, taps = (int64_t)v->h.taps * v->w.taps;
	p.rows = (uint32_t)(v->N * plane);
	p.K = (int)(v->channels * taps);
	p.chunks = ceil_div(p.K, BK);
	p.tiles_m = ceil_div(p.rows, BM), p.tiles_n = ceil_div(v->cols, BN);
	p.by_plane = cuda_div_by(plane);
	p.by_row = cuda_div_by(v->w.places);
	p.by_taps = cuda_div_by(taps ? taps : 1);
	p.by_tap_row = cuda_div_by(v->w.taps ? v->w.taps : 1);
	const unsigned grid = (unsigned)((int64_t)v->G * p.tiles_m * p.tiles_n);
	const size_t shared = STAGES * (BK * PITCH_A + BN * PITCH_B) * sizeof(float);
	if (by_quads(v, p.K, w))
		return cuda_launch(b, (conv_tensor<BN, true>), grid, THREADS, shared, *v, p, x, w, y, *end);
	return cuda_launch(b, (conv_tensor<BN, false>), grid, THREADS, shared, *v, p, x, w, y, *end);
}

/* The tile that leaves least unused; the larger of two. The order along k is the same in all. */
rein_status conv_tensor_launch(struct cuda_build *b, const struct gather *v, const float *x, const float *w, float *y,
                               const struct tile_end *end)
{
	const int by128 = ceil_div(v->cols, 128) * 128, by96 = ceil_div(v->cols, 96) * 96,
			  by64 = ceil_div(v->cols, 64) * 64;
	if (by128 <= by96 && by128 <= by64)
		return emit<128>(b, v, x, w, y, end);
	return by96 <= by64 ? emit<96>(b, v, x, w, y, end) : emit<64>(b, v, x, w, y, end);
}
