/* SPDX-License-Identifier: MIT
 *
 * loss.cu: log_softmax and cross_entropy. The largest number of a row is subtracted in float32,
 * exponentials are float32, their sum and its logarithm float64. A row of NaN or of -inf alone
 * gives NaN.
 *
 * A row whose numbers lie side by side is the work of a warp, or of a block where it is long; a
 * row across (log_softmax over an axis that is not the last) is the work of one thread, and the
 * threads of a warp read side by side. Log-softmax and cross-entropy of the same logits, as a
 * gradient wants them, are one kernel. Bound by memory: 4 bytes in and 4 out per number.
 */
#include "device.h"

/* max and log(sum exp(x - max)) of a row of n numbers, by all THREADS threads that call it */
template <int THREADS>
static __device__ __forceinline__ void log_sum(const float *x, int n, float &max, double &log_of)
{
	__shared__ float max_room[THREADS / 32];
	__shared__ double sum_room[THREADS / 32];
	const int lane = threadIdx.x % THREADS;
	float m = -INFINITY;
	for (int j = lane; j < n; j += THREADS)
		m = cuda_larger(m, x[j]);
	max = THREADS == 32 ? cuda_warp_max(m) : cuda_block_max(m, max_room);
	double s = 0;
	for (int j = lane; j < n; j += THREADS)
		s += (double)expf(x[j] - max);
	s = THREADS == 32 ? cuda_warp_sum(s) : cuda_block_sum(s, sum_room);
	log_of = log(s);
}

/* z (N,K). y (N,K) = z - max - log sum exp; cost (N) = -y at the class, or -sum p y. Each of the
 * results may be missing. THREADS 32: a warp per row, blocks of 4 rows. */
template <int THREADS>
__global__ void __launch_bounds__(THREADS == 32 ? 128 : THREADS)
	loss_rows(int N, int K, const float *__restrict__ z, const int32_t *__restrict__ label, const float *__restrict__ p,
              float *__restrict__ y, float *__restrict__ cost)
{
	__shared__ double room[THREADS / 32];
	const int lane = threadIdx.x % THREADS;
	const int row = blockIdx.x * (blockDim.x / THREADS) + threadIdx.x / THREADS;
	if (row >= N) /* a whole warp: rows are not shared */
		return;
	const float *x = z + (size_t)row * K;
	float max;
	double log_of, sum = 0;
	log_sum<THREADS>(x, K, max, log_of);
	for (int j = lane; j < K && (y || p); j += THREADS) {
		double v = (double)x[j] - (double)max - log_of;
		if (y)
			y[(size_t)row * K + j] = (float)v;
		if (p)
			sum -= (double)p[(size_t)row * K + j] * v;
	}
	if (!cost)
		return;
	if (p) {
		sum = THREADS == 32 ? cuda_warp_sum(sum) : cuda_block_sum(sum, room);
	} else {
		int32_t c = label[row];
		sum = c < 0 || c >= K ? 0 : -((double)x[c] - (double)max - log_of);
	}
	if (lane == 0)
		cost[row] = (float)sum;
}

/* x (outer,n,inner) along n, a thread per line */
__global__ void loss_lines(int64_t lines, int n, int64_t inner, const float *__restrict__ x, float *__restrict__ y)
{
	for (CUDA_EACH(l, lines)) {
		const float *from = x + (l / inner * n * inner + l % inner);
		float *to = y + (from - x), m = -INFINITY;
		double s = 0;
		for (int j = 0; j < n; j++)
			m = cuda_larger(m, from[(size_t)j * inner]);
		for (int j = 0; j < n; j++)
			s += (double)expf(from[(size_t)j * inner] - m);
		double log_of = log(s);
		for (int j = 0; j < n; j++)
			to[(size_t)j * inner] = (float)((double)from[(size_t)j * inner] - (double)m - log_of);
	}
}

/* Rows this long are the work of a block. */
#define LONG_ROW 2048

static rein_status rows(struct cuda_build *b, int64_t N, int64_t K, const float *z, const int32_t *label,
                        const float *p, float *y, float *cost)
{
	if (K >= LONG_ROW)
		return cuda_launch(b, (loss_rows<256>), (unsigned)N, 256, 0, (int)N, (int)K, z, label, p, y, cost);
	return cuda_launch(b, (loss_rows<32>), (unsigned)((N + 3) / 4), 128, 0, (int)N, (int)K, z, label, p, y, cost);
}

static bool supports(const struct rein_program *p, const struct rein_prog_instr *i)
{
	return (i->op == REIN_OP_LOG_SOFTMAX || i->op == REIN_OP_CROSS_ENTROPY) && cuda_small(p, i);
}

/* One op, or a log_softmax and a cross_entropy of the same operand. */
static rein_status emit(struct cuda_build *b, int32_t n, const int32_t *instr)
{
	const struct rein_prog_instr *soft = NULL, *cross = NULL;
	for (int32_t k = 0; k < n; k++) {
		const struct rein_prog_instr *i = &b->p->instr[instr[k]];
		*(i->op == REIN_OP_LOG_SOFTMAX ? &soft : &cross) = i;
	}
	const struct rein_prog_value *z = cuda_in(b, cross ? cross : soft, 0);
	const float *x = cuda_in_mem<float>(b, cross ? cross : soft, 0);
	float *y = soft ? cuda_out_mem<float>(b, soft, 0) : NULL;
	if (!cross) {
		struct cuda_lines l = cuda_lines_of(z, cuda_axis_of(&soft->attr));
		if (l.inner > 1)
			return cuda_launch(b, loss_lines, cuda_blocks(l.outer * l.inner, CUDA_BLOCK), CUDA_BLOCK, 0,
			                   l.outer * l.inner, (int)l.n, l.inner, x, y);
		return rows(b, l.outer, l.n, x, NULL, NULL, y, NULL);
	}
	bool hard = cuda_in(b, cross, 1)->dtype == REIN_I32_T;
	const int32_t *label = hard ? cuda_in_mem<int32_t>(b, cross, 1) : NULL;
	const float *p = hard ? NULL : cuda_in_mem<float>(b, cross, 1);
	return rows(b, z->dim[0], z->dim[1], x, label, p, y, cuda_out_mem<float>(b, cross, 0));
}

extern const struct cuda_family cuda_loss = { "loss", supports, NULL, emit, NULL };
