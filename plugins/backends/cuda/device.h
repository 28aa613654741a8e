/* SPDX-License-Identifier: MIT
 *
 * device.h: what kernels of several families share: sums over a warp and a block in a fixed
 * order, division by a number that is known when the program is compiled, and the ticket by
 * which the last block of many finishes what the others began.
 *
 * A ticket makes two launches one: every block leaves a partial result in workspace and draws
 * a number; the block that draws the last one adds up all the partial results, always in
 * ascending order, whichever block it is. So no bit depends on the order in which blocks run,
 * and no float is ever added by an atomic.
 */
#ifndef CUDA_DEVICE_H
#define CUDA_DEVICE_H

#include <math.h>

#include "cuda.h"

#define CUDA_LANES 0xffffffffu

/* In front of a loop with constant bounds. */
#ifdef CUDA_EMULATION
#define CUDA_UNROLL
#else
#define CUDA_UNROLL _Pragma("unroll")
#endif

/* Values of the key `math`. */
enum { CUDA_FP32, CUDA_TF32, CUDA_BF16 };

/* n / d and n % d for 0 <= n < 2^31 by a multiplication (Granlund and Montgomery 1994). */
struct cuda_div {
	uint32_t d, mul, shift;
};
static inline struct cuda_div cuda_div_by(int64_t d)
{
	struct cuda_div v = { (uint32_t)d, 0, 0 };
	while (((uint64_t)1 << v.shift) < v.d)
		v.shift++;
	v.mul = (uint32_t)((((uint64_t)1 << 32) * (((uint64_t)1 << v.shift) - v.d)) / v.d + 1);
	return v;
}
static __device__ __forceinline__ uint32_t cuda_quot(uint32_t n, const struct cuda_div &v)
{
	return ((uint32_t)((uint64_t)n * v.mul >> 32) + n) >> v.shift;
}
/* n becomes the remainder; the quotient is returned. */
static __device__ __forceinline__ uint32_t cuda_split(uint32_t &n, const struct cuda_div &v)
{
	uint32_t q = cuda_quot(n, v);
	n -= q * v.d;
	return q;
}

/* The larger; NaN of either side wins. */
static __device__ __forceinline__ float cuda_larger(float a, float b) { return a != a || b <= a ? a : b; }

/* Sum and maximum over a warp, in every lane. */
template <class T>
static __device__ __forceinline__ T cuda_warp_sum(T v)
{
	for (int d = 16; d; d >>= 1)
		v += __shfl_xor_sync(CUDA_LANES, v, d);
	return v;
}
static __device__ __forceinline__ float cuda_warp_max(float v)
{
	for (int d = 16; d; d >>= 1)
		v = cuda_larger(v, __shfl_xor_sync(CUDA_LANES, v, d));
	return v;
}
/* Sum over a block of whole warps, in every thread; room: one T per warp of shared memory. */
template <class T>
static __device__ __forceinline__ T cuda_block_sum(T v, T *room)
{
	v = cuda_warp_sum(v);
	__syncthreads();
	if (threadIdx.x % 32 == 0)
		room[threadIdx.x / 32] = v;
	__syncthreads();
	T all = 0;
	for (unsigned w = 0; w < blockDim.x / 32; w++)
		all += room[w];
	return all;
}
static __device__ __forceinline__ float cuda_block_max(float v, float *room)
{
	v = cuda_warp_max(v);
	__syncthreads();
	if (threadIdx.x % 32 == 0)
		room[threadIdx.x / 32] = v;
	__syncthreads();
	float all = room[0];
	for (unsigned w = 1; w < blockDim.x / 32; w++)
		all = cuda_larger(all, room[w]);
	return all;
}

/* True in all threads of the block that comes last of n, which sees everything that the others
 * wrote; the ticket is 0 again afterwards. Called by all threads of the block. */
static __device__ __forceinline__ bool cuda_last_block(uint32_t *ticket, uint32_t n)
{
	__shared__ uint32_t drawn;
	__threadfence();
	__syncthreads();
	if (threadIdx.x == 0) {
		drawn = atomicAdd(ticket, 1u);
		if (drawn == n - 1)
			*ticket = 0;
	}
	__syncthreads();
	bool last = drawn == n - 1;
	if (last)
		__threadfence();
	return last;
}
/* n tickets at 0 that live as long as the executable; NULL after fail(). */
static inline uint32_t *cuda_tickets(struct cuda_build *b, int64_t n)
{
	size_t bytes = (size_t)n * sizeof(uint32_t);
	void *zero = b->host->alloc(b->host, bytes);
	if (!zero)
		return NULL;
	memset(zero, 0, bytes);
	void *tickets = cuda_table(b, zero, bytes);
	b->host->free(b->host, zero);
	return static_cast<uint32_t *>(tickets);
}

/* Every count fits the 31 bits that index arithmetic on the device is done in. */
static inline bool cuda_small(const struct rein_program *p, const struct rein_prog_instr *i)
{
	for (uint32_t k = 0; k < i->n_in; k++)
		if (p->value[i->in[k]].count > INT32_MAX)
			return false;
	for (uint32_t k = 0; k < i->n_out; k++)
		if (p->value[i->out[k]].count > INT32_MAX)
			return false;
	return true;
}

#endif
