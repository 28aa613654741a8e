/* SPDX-License-Identifier: MIT
 *
 * reduce.cu: sums, maxima, argmax and cumulative sums. REAL adds up in float64. The order is
 * fixed by the shape: a thread takes elements t, t + T, .. of its part, then lanes and warps
 * are joined by a fixed tree; few results of many elements are cut into parts of at least
 * 4096, whose results are joined in order by a second launch.
 */
#include <math.h>

#include "cuda.h"

/* Result o starts at the offset that kept gives; its element r lies at the one run gives. */
struct reduce_map {
	struct cuda_shape kept, run;
	int64_t n_out, n; /* results, elements each */
};

static void map_of(const struct rein_prog_value *x, uint32_t axes, struct reduce_map *m)
{
	int64_t stride[REIN_MAX_RANK] = { 0 };
	cuda_strides(x, stride);
	memset(m, 0, sizeof *m);
	m->n_out = m->n = 1;
	for (uint32_t a = 0; a < x->rank; a++) {
		bool run = axes >> a & 1;
		struct cuda_shape *s = run ? &m->run : &m->kept;
		*(run ? &m->n : &m->n_out) *= x->dim[a];
		if (s->rank && stride[a] && s->stride[s->rank - 1] == stride[a] * x->dim[a]) { /* one axis with the last */
			s->dim[s->rank - 1] *= x->dim[a];
			s->stride[s->rank - 1] = stride[a];
			continue;
		}
		s->dim[s->rank] = x->dim[a];
		s->stride[s->rank++] = stride[a];
	}
}

/* --- what is joined ---------------------------------------------------------------------- */
template <class T> struct sum_of { /* T in, its accumulator */
	typedef double acc;
	static __device__ acc start(void) { return 0; }
	static __device__ acc one(T x) { return (double)x; }
	static __device__ acc join(acc a, acc b) { return a + b; }
};
template <> struct sum_of<int32_t> {
	typedef uint32_t acc;
	static __device__ acc start(void) { return 0; }
	static __device__ acc one(int32_t x) { return (uint32_t)x; }
	static __device__ acc join(acc a, acc b) { return a + b; }
};
template <> struct sum_of<uint8_t> {
	typedef uint32_t acc;
	static __device__ acc start(void) { return 0; }
	static __device__ acc one(uint8_t x) { return x != 0; }
	static __device__ acc join(acc a, acc b) { return a + b; }
};
template <class T> struct max_of;
template <> struct max_of<float> {
	typedef float acc;
	static __device__ acc start(void) { return -INFINITY; }
	static __device__ acc one(float x) { return x; }
	static __device__ acc join(acc a, acc b) { return a != a ? a : b != b || b > a ? b : a; }
};
template <> struct max_of<int32_t> {
	typedef int32_t acc;
	static __device__ acc start(void) { return INT32_MIN; }
	static __device__ acc one(int32_t x) { return x; }
	static __device__ acc join(acc a, acc b) { return b > a ? b : a; }
};
template <> struct max_of<uint8_t> {
	typedef uint32_t acc;
	static __device__ acc start(void) { return 0; }
	static __device__ acc one(uint8_t x) { return x != 0; }
	static __device__ acc join(acc a, acc b) { return a | b; }
};

/* Lanes of a block by a tree; thread 0 has the result. `part` has one place a warp. */
template <class J> static __device__ typename J::acc join_block(typename J::acc v, typename J::acc *part)
{
	for (int d = 16; d > 0; d >>= 1)
		v = J::join(v, __shfl_down_sync(0xffffffffu, v, d));
	if ((threadIdx.x & 31) == 0)
		part[threadIdx.x >> 5] = v;
	__syncthreads();
	if (threadIdx.x < 32) {
		v = threadIdx.x < blockDim.x >> 5 ? part[threadIdx.x] : J::start();
		for (int d = 16; d > 0; d >>= 1)
			v = J::join(v, __shfl_down_sync(0xffffffffu, v, d));
	}
	return v;
}

/* A block a result, or a part of one: blockIdx.y of gridDim.y. x -> y (n_out, parts) */
template <class J, class T, class R>
__global__ void reduce_rows(struct reduce_map m, const T *x, R *y, int64_t length)
{
	__shared__ typename J::acc part[32];
	for (int64_t o = blockIdx.x; o < m.n_out; o += gridDim.x) {
		const T *base = x + cuda_offset(o, m.kept);
		int64_t first = blockIdx.y * length, end = first + length < m.n ? first + length : m.n;
		typename J::acc v = J::start();
		for (int64_t r = first + threadIdx.x; r < end; r += blockDim.x)
			v = J::join(v, J::one(base[m.run.rank == 1 ? r * m.run.stride[0] : cuda_offset(r, m.run)]));
		v = join_block<J>(v, part);
		if (threadIdx.x == 0)
			y[o * gridDim.y + blockIdx.y] = (R)v;
		__syncthreads();
	}
}

/* A warp a result, for few elements each: 8 results a block. */
template <class J, class T, class R> __global__ void reduce_short(struct reduce_map m, const T *x, R *y)
{
	int64_t warps = (int64_t)gridDim.x * (blockDim.x >> 5);
	for (int64_t o = (int64_t)blockIdx.x * (blockDim.x >> 5) + (threadIdx.x >> 5); o < m.n_out; o += warps) {
		const T *base = x + cuda_offset(o, m.kept);
		typename J::acc v = J::start();
		for (int64_t r = threadIdx.x & 31; r < m.n; r += 32)
			v = J::join(v, J::one(base[cuda_offset(r, m.run)]));
		for (int d = 16; d > 0; d >>= 1)
			v = J::join(v, __shfl_down_sync(0xffffffffu, v, d));
		if ((threadIdx.x & 31) == 0)
			y[o] = (R)v;
	}
}

/* Results side by side in memory (the last axis is kept): 32 columns and 8 rows of threads, so that
 * reading is coalesced; rows r, r + 8, .. of a part, then the 8 in order. y (n_out, parts) */
template <class J, class T, class R>
__global__ void reduce_columns(struct reduce_map m, const T *x, R *y, int64_t length)
{
	__shared__ typename J::acc part[8][33];
	int64_t o = (int64_t)blockIdx.x * 32 + threadIdx.x;
	int64_t first = blockIdx.y * length, end = first + length < m.n ? first + length : m.n;
	typename J::acc v = J::start();
	if (o < m.n_out) {
		const T *base = x + cuda_offset(o, m.kept);
		for (int64_t r = first + threadIdx.y; r < end; r += 8)
			v = J::join(v, J::one(base[m.run.rank == 1 ? r * m.run.stride[0] : cuda_offset(r, m.run)]));
	}
	part[threadIdx.y][threadIdx.x] = v;
	__syncthreads();
	if (threadIdx.y == 0 && o < m.n_out) {
		for (int k = 1; k < 8; k++)
			v = J::join(v, part[k][threadIdx.x]);
		y[o * gridDim.y + blockIdx.y] = (R)v;
	}
}

/* parts (n_out, n) -> y, each in ascending order */
template <class J, class R> __global__ void reduce_parts(const typename J::acc *parts, R *y, int64_t n_out, int64_t n)
{
	for (CUDA_EACH(o, n_out)) {
		typename J::acc v = parts[o * n];
		for (int64_t k = 1; k < n; k++)
			v = J::join(v, parts[o * n + k]);
		y[o] = (R)v;
	}
}

/* --- argmax, cumsum: lines of n elements `inner` apart ------------------------------------------- */
/* A warp a line; the first of ties, NaN above everything. */
template <class T> static __device__ bool before(T a, int64_t i, T b, int64_t j)
{
	if (a != a || b != b)
		return a != a && (b == b || i < j);
	return a > b || (a == b && i < j);
}
template <class T> __global__ void argmax_lines(struct cuda_lines l, const T *x, int32_t *y)
{
	int64_t warps = (int64_t)gridDim.x * (blockDim.x >> 5);
	for (int64_t o = (int64_t)blockIdx.x * (blockDim.x >> 5) + (threadIdx.x >> 5); o < l.outer * l.inner; o += warps) {
		const T *line = x + o / l.inner * l.n * l.inner + o % l.inner;
		int lane = threadIdx.x & 31;
		long long best = lane < l.n ? lane : 0;
		T value = line[best * l.inner];
		for (int64_t j = best + 32; j < l.n; j += 32)
			if (before(line[j * l.inner], j, value, (int64_t)best))
				best = j, value = line[j * l.inner];
		for (int d = 16; d > 0; d >>= 1) {
			T other = __shfl_down_sync(0xffffffffu, value, d);
			long long at = __shfl_down_sync(0xffffffffu, best, d);
			if (before(other, (int64_t)at, value, (int64_t)best))
				best = at, value = other;
		}
		if (lane == 0)
			y[o] = (int32_t)best;
	}
}

/* A warp a line: 32 elements at a time are summed up by shuffles, the total carried on. */
template <class T, class A>
__global__ void cumsum_lines(struct cuda_lines l, const T *x, T *y, int32_t exclusive, int32_t reverse)
{
	int64_t warps = (int64_t)gridDim.x * (blockDim.x >> 5);
	int lane = threadIdx.x & 31;
	for (int64_t o = (int64_t)blockIdx.x * (blockDim.x >> 5) + (threadIdx.x >> 5); o < l.outer * l.inner; o += warps) {
		int64_t base = o / l.inner * l.n * l.inner + o % l.inner;
		A carry = 0;
		for (int64_t first = 0; first < l.n; first += 32) {
			int64_t i = first + lane, j = base + (reverse ? l.n - 1 - i : i) * l.inner;
			A v = i < l.n ? (A)x[j] : 0, own = v;
			for (int d = 1; d < 32; d <<= 1) {
				A up = __shfl_up_sync(0xffffffffu, v, d);
				if (lane >= d)
					v += up;
			}
			A before_own = __shfl_up_sync(0xffffffffu, v, 1);
			if (lane == 0)
				before_own = 0;
			(void)own;
			if (i < l.n)
				y[j] = (T)(carry + (exclusive ? before_own : v));
			carry += __shfl_sync(0xffffffffu, v, 31);
		}
	}
}

/* --- the family ------------------------------------------------------------------------------------- */
/* Parts that a result is cut into, so that a large device has enough to do. */
static int64_t parts_of(const struct reduce_map *m, bool columns)
{
	int64_t blocks = columns ? (m->n_out + 31) / 32 : m->n_out, most = m->n / (columns ? 256 : 4096);
	int64_t want = blocks >= 256 ? 1 : 256 / (blocks ? blocks : 1);
	return most < 1 || want < 2 ? 1 : most < want ? most : want;
}
static bool by_columns(const struct rein_prog_value *x, const struct reduce_map *m)
{
	int64_t stride[REIN_MAX_RANK] = { 0 };
	cuda_strides(x, stride);
	return m->kept.rank && m->kept.stride[m->kept.rank - 1] == 1 && m->kept.dim[m->kept.rank - 1] >= 8 && m->n >= 8;
}

template <class J, class T, class R>
static rein_status reduce(struct cuda_build *b, const struct rein_prog_instr *i)
{
	const struct rein_prog_value *x = cuda_in(b, i, 0);
	struct reduce_map m;
	map_of(x, i->attr.axes, &m);
	bool columns = by_columns(x, &m);
	int64_t parts = parts_of(&m, columns), length = (m.n + parts - 1) / parts;
	const T *from = cuda_in_mem<T>(b, i, 0);
	R *to = cuda_out_mem<R>(b, i, 0);
	typename J::acc *work = static_cast<typename J::acc *>(b->work);
	parts = (m.n + length - 1) / length;
	rein_status s;
	if (columns) {
		dim3 grid((unsigned)((m.n_out + 31) / 32), (unsigned)parts), block(32, 8);
		if (parts == 1)
			return cuda_launch(b, (reduce_columns<J, T, R>), grid, block, 0, m, from, to, length);
		s = cuda_launch(b, (reduce_columns<J, T, typename J::acc>), grid, block, 0, m, from, work, length);
	} else if (parts == 1 && m.n <= 256 && m.n_out >= 8) {
		return cuda_launch(b, (reduce_short<J, T, R>), cuda_blocks(m.n_out, 8), CUDA_BLOCK, 0, m, from, to);
	} else {
		dim3 grid((unsigned)(m.n_out < 1 << 20 ? m.n_out : 1 << 20), (unsigned)parts);
		if (parts == 1)
			return cuda_launch(b, (reduce_rows<J, T, R>), grid, CUDA_BLOCK, 0, m, from, to, length);
		s = cuda_launch(b, (reduce_rows<J, T, typename J::acc>), grid, CUDA_BLOCK, 0, m, from, work, length);
	}
	return s < 0 ? s : cuda_launch(b, (reduce_parts<J, R>), cuda_blocks(m.n_out, CUDA_BLOCK), CUDA_BLOCK, 0, work, to,
	                               m.n_out, parts);
}

static int64_t workspace(const struct cuda *cuda, const struct rein_program *p, int32_t n, const int32_t *instr)
{
	const struct rein_prog_instr *i = &p->instr[instr[n - 1]];
	struct reduce_map m;
	(void)cuda;
	if (i->op != REIN_OP_SUM && i->op != REIN_OP_AMAX)
		return 0;
	map_of(&p->value[i->in[0]], i->attr.axes, &m);
	int64_t parts = parts_of(&m, by_columns(&p->value[i->in[0]], &m));
	return parts > 1 ? m.n_out * parts * 8 : 0;
}

template <class T> static rein_status emit_argmax(struct cuda_build *b, const struct rein_prog_instr *i)
{
	struct cuda_lines l = cuda_lines_of(cuda_in(b, i, 0), cuda_axis_of(&i->attr));
	return cuda_launch(b, argmax_lines<T>, cuda_blocks(l.outer * l.inner, 8), CUDA_BLOCK, 0, l, cuda_in_mem<T>(b, i, 0),
	                   cuda_out_mem<int32_t>(b, i, 0));
}
template <class T, class A> static rein_status emit_cumsum(struct cuda_build *b, const struct rein_prog_instr *i)
{
	struct cuda_lines l = cuda_lines_of(cuda_in(b, i, 0), cuda_axis_of(&i->attr));
	return cuda_launch(b, (cumsum_lines<T, A>), cuda_blocks(l.outer * l.inner, 8), CUDA_BLOCK, 0, l,
	                   cuda_in_mem<T>(b, i, 0), cuda_out_mem<T>(b, i, 0), (i->attr.flags & REIN_EXCLUSIVE) != 0,
	                   (i->attr.flags & REIN_REVERSE) != 0);
}

static rein_status emit(struct cuda_build *b, int32_t n, const int32_t *instr)
{
	const struct rein_prog_instr *i = &b->p->instr[instr[n - 1]];
	uint32_t d = cuda_in(b, i, 0)->dtype, to = cuda_out(b, i, 0)->dtype;
	switch (i->op) {
	case REIN_OP_SUM:
		if (d == REIN_REAL_T)
			return to == REIN_WIDE_T ? reduce<sum_of<float>, float, double>(b, i) :
				reduce<sum_of<float>, float, float>(b, i);
		return d == REIN_WIDE_T ? reduce<sum_of<double>, double, double>(b, i) :
			d == REIN_I32_T ? reduce<sum_of<int32_t>, int32_t, uint32_t>(b, i) :
			reduce<sum_of<uint8_t>, uint8_t, uint32_t>(b, i);
	case REIN_OP_AMAX:
		return d == REIN_REAL_T ? reduce<max_of<float>, float, float>(b, i) :
			d == REIN_I32_T ? reduce<max_of<int32_t>, int32_t, int32_t>(b, i) :
			reduce<max_of<uint8_t>, uint8_t, uint8_t>(b, i);
	case REIN_OP_ARGMAX:
		return d == REIN_REAL_T ? emit_argmax<float>(b, i) : d == REIN_I32_T ? emit_argmax<int32_t>(b, i) :
			emit_argmax<uint8_t>(b, i);
	default:
		return d == REIN_REAL_T ? emit_cumsum<float, double>(b, i) : d == REIN_WIDE_T ? emit_cumsum<double, double>(b, i) :
			emit_cumsum<int32_t, uint32_t>(b, i);
	}
}

static bool supports(const struct rein_program *p, const struct rein_prog_instr *i)
{
	uint32_t d = i->n_in ? p->value[i->in[0]].dtype : 0;
	switch (i->op) {
	case REIN_OP_SUM: return d != REIN_U8_T;
	case REIN_OP_AMAX: return d == REIN_REAL_T || d == REIN_I32_T || d == REIN_BOOL_T;
	case REIN_OP_ARGMAX: return d != REIN_WIDE_T;
	case REIN_OP_CUMSUM: return d == REIN_REAL_T || d == REIN_WIDE_T || d == REIN_I32_T;
	default: return false;
	}
}

extern const struct cuda_family cuda_reduce = { "reduce", supports, workspace, emit, NULL };
