/* SPDX-License-Identifier: MIT
 *
 * tile.h: C = A B for one tile of C by one block, whatever A and B are made of. A loader says
 * which number stands at (row, k) of A and at (k, col) of B: a matrix, its transpose, an image seen
 * through a window (contract.cu, conv.cu). Numbers go from global memory to registers while the
 * tile before is multiplied, then to one of two shared buffers, k first: a (BK x BM), b (BK x BN).
 *
 * Two ways to multiply: tile_ffma, float32, each thread TM x TN numbers; tile_tf32, tensor cores
 * (mma.sync m16n8k8, operands rounded to 10 bits, sums in float32). Both take k in ascending order.
 * A tile of 128 x 64 reads 4 (128 + 64) bytes of shared memory per 2 * 128 * 64 operations of a k.
 */
#ifndef CUDA_TILE_H
#define CUDA_TILE_H

#include "device.h"

/* A block's threads: BM / TM along rows, BN / TN along columns. A thread's rows come in fours,
 * BM / (TM / 4) apart, its columns too: so reads of shared memory are float4 without conflicts. */
template <int BM_, int BN_, int BK_, int TM, int TN>
struct tile_ffma {
	static const int BM = BM_, BN = BN_, BK = BK_, PAD = 4, THREADS = (BM / TM) * (BN / TN);
	static const int GM = TM / 4, GN = TN / 4;
	float acc[TM][TN];

	__device__ __forceinline__ void clear()
	{
		CUDA_UNROLL
		for (int i = 0; i < TM; i++)
			CUDA_UNROLL
		for (int j = 0; j < TN; j++)
			acc[i][j] = 0;
	}
	__device__ __forceinline__ void multiply(const float *a, const float *b)
	{
		const int tx = threadIdx.x % (BM / TM), ty = threadIdx.x / (BM / TM);
		CUDA_UNROLL
		for (int k = 0; k < BK; k++) {
			float p[TM], q[TN];
			CUDA_UNROLL
			for (int g = 0; g < GM; g++) {
				float4 v = *reinterpret_cast<const float4 *>(a + k * (BM + PAD) + g * (BM / GM) + tx * 4);
				p[4 * g] = v.x, p[4 * g + 1] = v.y, p[4 * g + 2] = v.z, p[4 * g + 3] = v.w;
			}
			CUDA_UNROLL
			for (int g = 0; g < GN; g++) {
				float4 v = *reinterpret_cast<const float4 *>(b + k * (BN + PAD) + g * (BN / GN) + ty * 4);
				q[4 * g] = v.x, q[4 * g + 1] = v.y, q[4 * g + 2] = v.z, q[4 * g + 3] = v.w;
			}
			CUDA_UNROLL
			for (int i = 0; i < TM; i++)
				CUDA_UNROLL
			for (int j = 0; j < TN; j++)
				acc[i][j] = fmaf(p[i], q[j], acc[i][j]);
		}
	}
	/* f(row, column, number &) for each of the thread's numbers */
	template <class F>
	__device__ __forceinline__ void each(const F &f)
	{
		const int tx = threadIdx.x % (BM / TM), ty = threadIdx.x / (BM / TM);
		CUDA_UNROLL
		for (int j = 0; j < TN; j++)
			CUDA_UNROLL
		for (int i = 0; i < TM; i++)
			f(i / 4 * (BM / GM) + tx * 4 + i % 4, j / 4 * (BN / GN) + ty * 4 + j % 4, acc[i][j]);
	}
};

/* A number rounded to TF32 (10 bits of mantissa, to nearest, ties away from zero), as float bits. */
static __device__ __forceinline__ uint32_t to_tf32(float x)
{
#ifdef CUDA_EMULATION
	uint32_t bits = __float_as_uint(x);
	return (bits & 0x7f800000u) == 0x7f800000u ? bits : (bits + 0x1000u) & 0xffffe000u;
#else
	uint32_t r;
	asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(x));
	return r;
#endif
}

/* d (16x8) += a (16x8) b (8x8), each spread over a warp: lane 4g + t holds a (g,t) (g+8,t) (g,t+4)
 * (g+8,t+4), b (t,g) (t+4,g), d (g,2t) (g,2t+1) (g+8,2t) (g+8,2t+1). */
static __device__ __forceinline__ void mma_tf32(float d[4], const uint32_t a[4], const uint32_t b[2])
{
#ifdef CUDA_EMULATION
	uint32_t p[32][4], q[32][4];
	memcpy(p, emulation_exchange(CUDA_LANES, a, 16), sizeof p);
	memcpy(q, emulation_exchange(CUDA_LANES, b, 8), sizeof q);
	const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
	for (int k = 0; k < 8; k++)
		for (int e = 0; e < 4; e++)
			d[e] = fmaf(__uint_as_float(p[g * 4 + k % 4][k / 4 * 2 + e / 2]),
			            __uint_as_float(q[(2 * t + e % 2) * 4 + k % 4][k / 4]), d[e]);
#else
	asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
	             "{%0,%1,%2,%3};"
	             : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
	             : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

/* WM x WN warps, each with its (BM / WM) x (BN / WN) of the tile. */
template <int BM_, int BN_, int BK_, int WM, int WN>
struct tile_tf32 {
	static const int BM = BM_, BN = BN_, BK = BK_, PAD = 8, THREADS = WM * WN * 32;
	static const int MI = BM / WM / 16, NI = BN / WN / 8;
	float acc[MI][NI][4];

	__device__ __forceinline__ void clear()
	{
		CUDA_UNROLL
		for (int i = 0; i < MI; i++)
			CUDA_UNROLL
		for (int j = 0; j < NI; j++)
			CUDA_UNROLL
		for (int e = 0; e < 4; e++)
			acc[i][j][e] = 0;
	}
	__device__ __forceinline__ void multiply(const float *a, const float *b)
	{
		const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
		const int m0 = warp % WM * (BM / WM), n0 = warp / WM * (BN / WN);
		CUDA_UNROLL
		for (int k = 0; k < BK; k += 8) {
			uint32_t p[MI][4], q[NI][2];
			CUDA_UNROLL
			for (int i = 0; i < MI; i++)
				CUDA_UNROLL
			for (int e = 0; e < 4; e++)
				p[i][e] = to_tf32(a[(k + t + e / 2 * 4) * (BM + PAD) + m0 + i * 16 + g + e % 2 * 8]);
			CUDA_UNROLL
			for (int j = 0; j < NI; j++)
				CUDA_UNROLL
			for (int e = 0; e < 2; e++)
				q[j][e] = to_tf32(b[(k + t + e * 4) * (BN + PAD) + n0 + j * 8 + g]);
			CUDA_UNROLL
			for (int i = 0; i < MI; i++)
				CUDA_UNROLL
			for (int j = 0; j < NI; j++)
				mma_tf32(acc[i][j], p[i], q[j]);
		}
	}
	template <class F>
	__device__ __forceinline__ void each(const F &f)
	{
		const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
		const int m0 = warp % WM * (BM / WM), n0 = warp / WM * (BN / WN);
		CUDA_UNROLL
		for (int j = 0; j < NI; j++)
			CUDA_UNROLL
		for (int i = 0; i < MI; i++)
			CUDA_UNROLL
		for (int e = 0; e < 4; e++)
			f(m0 + i * 16 + g + e / 2 * 8, n0 + j * 8 + 2 * t + e % 2, acc[i][j][e]);
	}
};

/* Shared memory of a tile: of the kernel, so that one with several loaders has it once. */
template <class C>
struct alignas(16) tile_room {
	float a[2][C::BK * (C::BM + C::PAD)], b[2][C::BK * (C::BN + C::PAD)];
};

/* Multiplies k0..k1-1 into c. A loader has
 *   A_ALONG_K, B_ALONG_K   whether neighbouring threads load along k or across it
 *   prepare(k, buffer)     fills table `buffer` for k..k+BK-1, before fetches of that chunk
 *   a(row, k, i, buffer)   A at row (of the tile) and k, i = k within the chunk; 0 beyond its edges
 *   b(col, k, i, buffer)   likewise
 * and k1 is known to it. The tables of the two buffers are in turn: chunk by chunk. */
template <class C, class L>
__device__ __forceinline__ void tile_product(C &c, L &load, struct tile_room<C> &room, int k0, int k1)
{
	const int LA = C::BM + C::PAD, LB = C::BN + C::PAD, T = C::THREADS, BK = C::BK;
	const int NA = C::BM * BK / T, NB = C::BN * BK / T;
	float(*a)[BK * LA] = room.a, (*b)[BK * LB] = room.b;
	float ra[NA], rb[NB];
#define TILE_A_ROW(r) (L::A_ALONG_K ? threadIdx.x / BK + (r) * (T / BK) : (threadIdx.x + (r)*T) % C::BM)
#define TILE_A_K(r)   (L::A_ALONG_K ? threadIdx.x % BK : (threadIdx.x + (r)*T) / C::BM)
#define TILE_B_COL(r) (L::B_ALONG_K ? threadIdx.x / BK + (r) * (T / BK) : (threadIdx.x + (r)*T) % C::BN)
#define TILE_B_K(r)   (L::B_ALONG_K ? threadIdx.x % BK : (threadIdx.x + (r)*T) / C::BN)
#define TILE_FETCH(k, buffer)                                                 \
	CUDA_UNROLL for (int r = 0; r < NA; r++) ra[r] =                          \
		load.a(TILE_A_ROW(r), (k) + (int)TILE_A_K(r), TILE_A_K(r), (buffer)); \
	CUDA_UNROLL for (int r = 0; r < NB; r++) rb[r] =                          \
		load.b(TILE_B_COL(r), (k) + (int)TILE_B_K(r), TILE_B_K(r), (buffer))
#define TILE_STORE(buffer)                                                                        \
	CUDA_UNROLL for (int r = 0; r < NA; r++) a[buffer][TILE_A_K(r) * LA + TILE_A_ROW(r)] = ra[r]; \
	CUDA_UNROLL for (int r = 0; r < NB; r++) b[buffer][TILE_B_K(r) * LB + TILE_B_COL(r)] = rb[r]
	c.clear();
	if (k0 >= k1)
		return;
	load.prepare(k0, 0);
	load.prepare(k0 + BK, 1);
	__syncthreads();
	TILE_FETCH(k0, 0);
	TILE_STORE(0);
	__syncthreads();
	int s = 0;
	for (int k = k0; k < k1; k += BK, s ^= 1) {
		const bool more = k + BK < k1;
		if (more) {
			TILE_FETCH(k + BK, s ^ 1);
		}
		c.multiply(a[s], b[s]);
		if (more) {
			TILE_STORE(s ^ 1);
			load.prepare(k + 2 * BK, s);
		}
		__syncthreads();
	}
#undef TILE_A_ROW
#undef TILE_A_K
#undef TILE_B_COL
#undef TILE_B_K
#undef TILE_FETCH
#undef TILE_STORE
}

/* --- sums cut along k ------------------------------------------------------------------------ */
/* Tile `tile` of `splits` partial results, each at part[(tile splits + split) BM BN]: all but the last
 * block leave theirs there and get false; the last gets the sum in c, in float64, splits ascending. */
template <class C>
__device__ __forceinline__ bool tile_gather(C &c, float *part, uint32_t *ticket, int64_t tile, int split, int splits)
{
	if (splits == 1)
		return true;
	float *mine = part + (tile * splits + split) * (C::BM * C::BN), *all = part + tile * splits * (C::BM * C::BN);
	/* thread by thread, so that a warp writes side by side */
	int e = threadIdx.x;
	auto leave = [&](int, int, float &v) { mine[e] = v, e += C::THREADS; };
	c.each(leave);
	if (!cuda_last_block(ticket + tile, (uint32_t)splits))
		return false;
	e = threadIdx.x;
	auto take = [&](int, int, float &v) {
		double sum = 0;
		for (int s = 0; s < splits; s++)
			sum += (double)all[(int64_t)s * (C::BM * C::BN) + e];
		v = (float)sum;
		e += C::THREADS;
	};
	c.each(take);
	return true;
}

/* --- what happens to a finished number ------------------------------------------------------- */
enum {
	TILE_PLAIN,
	TILE_RELU,
	TILE_LEAKY,
	TILE_SIGMOID,
	TILE_TANH,
	TILE_TIMES,
	TILE_GATE,
	TILE_LEAKY_GATE,
	TILE_DSIGMOID
};
struct tile_end {
	const float *bias; /* per column, or NULL */
	int32_t act;
	float slope;         /* LEAKY, LEAKY_GATE */
	uint8_t *mask;       /* RELU, LEAKY: 1 where the result was not above 0, or NULL */
	const float *times;  /* TIMES: the result is multiplied by y, element by element; DSIGMOID: by y (1 - y) */
	const uint8_t *gate; /* GATE: the result is 0 where this is 1; LEAKY_GATE: times slope */
};
/* What becomes of number v at place `at`. */
static __device__ __forceinline__ float tile_act(const struct tile_end &f, size_t at, float v)
{
	switch (f.act) {
	case TILE_RELU:
		if (f.mask)
			f.mask[at] = v <= 0;
		v = v <= 0 ? 0 : v; /* NaN stays */
		break;
	case TILE_LEAKY:
		if (f.mask)
			f.mask[at] = v <= 0;
		v = v <= 0 ? v * f.slope : v;
		break;
	case TILE_SIGMOID: {
		float e = expf(-fabsf(v)), p = 1 / (1 + e);
		v = v < 0 ? e * p : p;
		break;
	}
	case TILE_TANH: v = tanhf(v); break;
	case TILE_TIMES: v *= f.times[at]; break;
	case TILE_GATE: v = f.gate[at] ? 0 : v; break;
	case TILE_LEAKY_GATE: v = (f.gate[at] ? 0 : v) + (f.gate[at] ? v : 0) * f.slope; break;
	case TILE_DSIGMOID: {
		float y = f.times[at];
		v *= y * (1 - y);
		break;
	}
	default: break;
	}
	return v;
}
/* Writes number v of column `col` to y[at]. */
static __device__ __forceinline__ void tile_put(const struct tile_end &f, float *y, size_t at, int col, float v)
{
	y[at] = tile_act(f, at, f.bias ? v + f.bias[col] : v);
}

/* --- tail.cu: elementwise ops that the kernel of the op before them does ------------------------------ */
/* Joins to the ops for which `is` holds, the heads, a bias per entry of result axis `axis` from the end
 * (0: none) and an activation, or the derivative of one. */
void tail_match(const struct rein_program *, struct rein_plan *, bool (*is)(const struct rein_prog_instr *),
                uint32_t axis);
/* Joins activations to heads whose other results may be wanted before: the kernel stays where the head is. */
void tail_match_early(const struct rein_program *, struct rein_plan *, bool (*is)(const struct rein_prog_instr *));
/* The op of a group so made that its tail is behind. */
const struct rein_prog_instr *tail_head(const struct rein_program *, int32_t n, const int32_t *instr);
/* What the tail comes to, and the result's memory. */
float *tail_of(const struct cuda_build *, int32_t n, const int32_t *instr, uint32_t axis, struct tile_end *);

#endif
