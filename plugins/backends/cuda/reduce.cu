/* SPDX-License-Identifier: MIT
 *
 * reduce.cu: sums, maxima, argmax and cumulative sums. REAL adds up in float64. The order is
 * fixed by the shape: a thread takes elements t, t + T, .. of its part, then lanes and warps
 * are joined by a fixed tree; few results of many elements are cut into parts of at least
 * 4096, which the block that comes last joins the same way: part t, t + T, .., then the tree.
 * Sums, maxima and argmax that are ready together are one launch, and those of small tensors wait
 * for each other as long as nobody needs them: the sums for the biases of a net are one.
 */
#include "device.h"

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

/* --- one of several in a launch -------------------------------------------------------------- */
/* What is joined and how types differ. */
enum { SUM_REAL, SUM_REAL_WIDE, SUM_WIDE, SUM_I32, SUM_BOOL, MAX_REAL, MAX_I32, MAX_BOOL, ARGMAX_REAL, ARGMAX_I32, ARGMAX_U8 };
/* Who makes a result: a block, or a block a part of it; a warp; a column of threads. */
enum { BY_BLOCK, BY_WARP, BY_COLUMN };
struct reduce_piece {
	uint32_t first, blocks; /* of the launch */
	int32_t what, how;
	struct reduce_map m;
	struct cuda_lines l; /* ARGMAX */
	int64_t length;      /* elements of a part */
	uint32_t parts, across; /* blocks: across for results times parts */
	const void *x;
	void *y, *work;   /* work: results of parts, (n_out, parts) */
	uint32_t *ticket; /* one per block across */
};
#define REDUCE_MANY 8
struct reduce_list {
	struct reduce_piece piece[REDUCE_MANY];
	int32_t n;
};

/* A block a result, or a part of one. */
template <class J, class T, class R> static __device__ void reduce_rows(const struct reduce_piece &p, uint32_t block)
{
	typedef typename J::acc A;
	__shared__ A room[32];
	const uint32_t part = block % p.parts, at = block / p.parts;
	A *work = static_cast<A *>(p.work);
	for (int64_t o = at; o < p.m.n_out; o += p.across) { /* once, where there are parts */
		const T *base = static_cast<const T *>(p.x) + cuda_offset(o, p.m.kept);
		int64_t begin = part * p.length, end = begin + p.length < p.m.n ? begin + p.length : p.m.n;
		A v = J::start();
		for (int64_t r = begin + threadIdx.x; r < end; r += blockDim.x)
			v = J::join(v, J::one(base[p.m.run.rank == 1 ? r * p.m.run.stride[0] : cuda_offset(r, p.m.run)]));
		v = join_block<J>(v, room);
		if (p.parts > 1) {
			if (threadIdx.x == 0)
				work[o * p.parts + part] = v;
			if (!cuda_last_block(p.ticket + at, p.parts))
				return;
			v = J::start();
			for (uint32_t k = threadIdx.x; k < p.parts; k += blockDim.x)
				v = J::join(v, work[o * p.parts + k]);
			v = join_block<J>(v, room);
		}
		if (threadIdx.x == 0)
			static_cast<R *>(p.y)[o] = (R)v;
		__syncthreads();
	}
}

/* A warp a result, for few elements each: 8 results a block. */
template <class J, class T, class R> static __device__ void reduce_short(const struct reduce_piece &p, uint32_t block)
{
	int64_t warps = (int64_t)p.blocks * (blockDim.x >> 5);
	for (int64_t o = (int64_t)block * (blockDim.x >> 5) + (threadIdx.x >> 5); o < p.m.n_out; o += warps) {
		const T *base = static_cast<const T *>(p.x) + cuda_offset(o, p.m.kept);
		typename J::acc v = J::start();
		for (int64_t r = threadIdx.x & 31; r < p.m.n; r += 32)
			v = J::join(v, J::one(base[cuda_offset(r, p.m.run)]));
		for (int d = 16; d > 0; d >>= 1)
			v = J::join(v, __shfl_down_sync(0xffffffffu, v, d));
		if ((threadIdx.x & 31) == 0)
			static_cast<R *>(p.y)[o] = (R)v;
	}
}

/* The 8 numbers of a column, in order; rows of threads hold one each. */
template <class J> static __device__ typename J::acc join_column(typename J::acc v, typename J::acc part[8][33])
{
	const unsigned col = threadIdx.x & 31, row = threadIdx.x >> 5;
	__syncthreads();
	part[row][col] = v;
	__syncthreads();
	v = part[0][col];
	for (int k = 1; k < 8; k++)
		v = J::join(v, part[k][col]);
	return v;
}

/* Results side by side in memory (the last axis is kept): 32 columns and 8 rows of threads, so that
 * reading is coalesced; rows r, r + 8, .. of a part, then the 8 in order; parts likewise. */
template <class J, class T, class R> static __device__ void reduce_columns(const struct reduce_piece &p, uint32_t block)
{
	typedef typename J::acc A;
	__shared__ A room[8][33];
	const uint32_t part = block % p.parts, at = block / p.parts, row = threadIdx.x >> 5;
	const int64_t o = (int64_t)at * 32 + (threadIdx.x & 31);
	int64_t begin = part * p.length, end = begin + p.length < p.m.n ? begin + p.length : p.m.n;
	A v = J::start(), *work = static_cast<A *>(p.work);
	if (o < p.m.n_out) {
		const T *base = static_cast<const T *>(p.x) + cuda_offset(o, p.m.kept);
		for (int64_t r = begin + row; r < end; r += 8)
			v = J::join(v, J::one(base[p.m.run.rank == 1 ? r * p.m.run.stride[0] : cuda_offset(r, p.m.run)]));
	}
	v = join_column<J>(v, room);
	if (p.parts > 1) {
		if (row == 0 && o < p.m.n_out)
			work[o * p.parts + part] = v;
		if (!cuda_last_block(p.ticket + at, p.parts))
			return;
		v = J::start();
		for (uint32_t k = row; k < p.parts && o < p.m.n_out; k += 8)
			v = J::join(v, work[o * p.parts + k]);
		v = join_column<J>(v, room);
	}
	if (row == 0 && o < p.m.n_out)
		static_cast<R *>(p.y)[o] = (R)v;
}

template <class J, class T, class R> static __device__ void reduce_any(const struct reduce_piece &p, uint32_t block)
{
	if (p.how == BY_COLUMN)
		reduce_columns<J, T, R>(p, block);
	else if (p.how == BY_WARP)
		reduce_short<J, T, R>(p, block);
	else
		reduce_rows<J, T, R>(p, block);
}

/* --- argmax: lines of n elements `inner` apart ------------------------------------------- */
/* A warp a line; the first of ties, NaN above everything. */
template <class T> static __device__ bool before(T a, int64_t i, T b, int64_t j)
{
	if (a != a || b != b)
		return a != a && (b == b || i < j);
	return a > b || (a == b && i < j);
}
template <class T> static __device__ void argmax_lines(const struct reduce_piece &p, uint32_t block)
{
	const struct cuda_lines l = p.l;
	int64_t warps = (int64_t)p.blocks * (blockDim.x >> 5);
	for (int64_t o = (int64_t)block * (blockDim.x >> 5) + (threadIdx.x >> 5); o < l.outer * l.inner; o += warps) {
		const T *line = static_cast<const T *>(p.x) + o / l.inner * l.n * l.inner + o % l.inner;
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
			static_cast<int32_t *>(p.y)[o] = (int32_t)best;
	}
}

static __device__ void reduce_one(const struct reduce_piece &p, uint32_t block)
{
	switch (p.what) {
	case SUM_REAL: reduce_any<sum_of<float>, float, float>(p, block); break;
	case SUM_REAL_WIDE: reduce_any<sum_of<float>, float, double>(p, block); break;
	case SUM_WIDE: reduce_any<sum_of<double>, double, double>(p, block); break;
	case SUM_I32: reduce_any<sum_of<int32_t>, int32_t, uint32_t>(p, block); break;
	case SUM_BOOL: reduce_any<sum_of<uint8_t>, uint8_t, uint32_t>(p, block); break;
	case MAX_REAL: reduce_any<max_of<float>, float, float>(p, block); break;
	case MAX_I32: reduce_any<max_of<int32_t>, int32_t, int32_t>(p, block); break;
	case MAX_BOOL: reduce_any<max_of<uint8_t>, uint8_t, uint8_t>(p, block); break;
	case ARGMAX_REAL: argmax_lines<float>(p, block); break;
	case ARGMAX_I32: argmax_lines<int32_t>(p, block); break;
	default: argmax_lines<uint8_t>(p, block); break;
	}
}

/* Several, each with blocks of its own. */
__global__ void __launch_bounds__(CUDA_BLOCK) reduce_many(struct reduce_list list)
{
	int k = 0;
	while (k + 1 < list.n && blockIdx.x >= list.piece[k + 1].first)
		k++;
	reduce_one(list.piece[k], blockIdx.x - list.piece[k].first);
}
/* One, with registers for its own types only. */
template <class J, class T, class R> __global__ void __launch_bounds__(CUDA_BLOCK) reduce_alone(struct reduce_piece p)
{
	reduce_any<J, T, R>(p, blockIdx.x);
}
template <class T> __global__ void __launch_bounds__(CUDA_BLOCK) argmax_alone(struct reduce_piece p)
{
	argmax_lines<T>(p, blockIdx.x);
}

/* --- cumsum --------------------------------------------------------------------------------------- */
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

static rein_status emit_alone(struct cuda_build *b, const struct reduce_piece *p)
{
	switch (p->what) {
#define ALONE(what, J, T, R) \
	case what: return cuda_launch(b, (reduce_alone<J, T, R>), p->blocks, CUDA_BLOCK, 0, *p)
		ALONE(SUM_REAL, sum_of<float>, float, float);
		ALONE(SUM_REAL_WIDE, sum_of<float>, float, double);
		ALONE(SUM_WIDE, sum_of<double>, double, double);
		ALONE(SUM_I32, sum_of<int32_t>, int32_t, uint32_t);
		ALONE(SUM_BOOL, sum_of<uint8_t>, uint8_t, uint32_t);
		ALONE(MAX_REAL, max_of<float>, float, float);
		ALONE(MAX_I32, max_of<int32_t>, int32_t, int32_t);
		ALONE(MAX_BOOL, max_of<uint8_t>, uint8_t, uint8_t);
#undef ALONE
	case ARGMAX_REAL: return cuda_launch(b, argmax_alone<float>, p->blocks, CUDA_BLOCK, 0, *p);
	case ARGMAX_I32: return cuda_launch(b, argmax_alone<int32_t>, p->blocks, CUDA_BLOCK, 0, *p);
	default: return cuda_launch(b, argmax_alone<uint8_t>, p->blocks, CUDA_BLOCK, 0, *p);
	}
}

static rein_status emit_pieces(struct cuda_build *b, int n, void *const *piece)
{
	struct reduce_list list;
	uint32_t blocks = 0;
	if (n == 1)
		return emit_alone(b, static_cast<const struct reduce_piece *>(piece[0]));
	memset(&list, 0, sizeof list);
	for (; list.n < n; list.n++) {
		list.piece[list.n] = *static_cast<const struct reduce_piece *>(piece[list.n]);
		list.piece[list.n].first = blocks;
		blocks += list.piece[list.n].blocks;
	}
	return cuda_launch(b, reduce_many, blocks, CUDA_BLOCK, 0, list);
}
static const struct cuda_merge merge = { "reduce", REDUCE_MANY, emit_pieces };

static rein_status add_piece(struct cuda_build *b, const struct reduce_piece *p)
{
	struct reduce_piece *copy = static_cast<struct reduce_piece *>(b->host->alloc(b->host, sizeof *copy));
	if (!copy)
		return REIN_ERROR;
	*copy = *p;
	return cuda_piece(b, &merge, copy);
}

static rein_status describe_sum(struct cuda_build *b, const struct rein_prog_instr *i, int32_t what, void *work,
                                struct reduce_piece *out)
{
	const struct rein_prog_value *x = cuda_in(b, i, 0);
	struct reduce_piece p;
	memset(&p, 0, sizeof p);
	p.what = what, p.x = b->mem[i->in[0]], p.y = b->mem[i->out[0]], p.work = work;
	map_of(x, i->attr.axes, &p.m);
	bool columns = by_columns(x, &p.m);
	int64_t parts = parts_of(&p.m, columns);
	p.length = (p.m.n + parts - 1) / parts;
	p.parts = (uint32_t)((p.m.n + p.length - 1) / p.length);
	p.how = columns ? BY_COLUMN : p.parts == 1 && p.m.n <= 256 && p.m.n_out >= 8 ? BY_WARP : BY_BLOCK;
	int64_t across = columns ? (p.m.n_out + 31) / 32 : p.m.n_out < 1 << 20 ? p.m.n_out : 1 << 20;
	p.across = p.how == BY_WARP ? cuda_blocks(p.m.n_out, 8) : (uint32_t)across;
	p.blocks = p.across * p.parts;
	*out = p;
	return p.parts == 1 || (out->ticket = cuda_tickets(b, p.across)) ? REIN_OK : REIN_ERROR;
}

static int64_t work_of(const struct rein_program *p, const struct rein_prog_instr *i)
{
	struct reduce_map m;
	if (i->op != REIN_OP_SUM && i->op != REIN_OP_AMAX)
		return 0;
	map_of(&p->value[i->in[0]], i->attr.axes, &m);
	int64_t parts = parts_of(&m, by_columns(&p->value[i->in[0]], &m));
	return parts > 1 ? (m.n_out * parts * 8 + 255) / 256 * 256 : 0;
}

static int64_t workspace(const struct cuda *cuda, const struct rein_program *p, int32_t n, const int32_t *instr)
{
	int64_t bytes = 0;
	(void)cuda;
	for (int32_t m = 0; m < n; m++)
		bytes += work_of(p, &p->instr[instr[m]]);
	return bytes;
}

template <class T, class A> static rein_status emit_cumsum(struct cuda_build *b, const struct rein_prog_instr *i)
{
	struct cuda_lines l = cuda_lines_of(cuda_in(b, i, 0), cuda_axis_of(&i->attr));
	return cuda_launch(b, (cumsum_lines<T, A>), cuda_blocks(l.outer * l.inner, 8), CUDA_BLOCK, 0, l,
	                   cuda_in_mem<T>(b, i, 0), cuda_out_mem<T>(b, i, 0), (i->attr.flags & REIN_EXCLUSIVE) != 0,
	                   (i->attr.flags & REIN_REVERSE) != 0);
}

static rein_status describe(struct cuda_build *b, const struct rein_prog_instr *i, void *work, struct reduce_piece *p)
{
	uint32_t d = cuda_in(b, i, 0)->dtype, to = cuda_out(b, i, 0)->dtype;
	if (i->op == REIN_OP_SUM)
		return describe_sum(b, i,
		                    d == REIN_REAL_T   ? (to == REIN_WIDE_T ? SUM_REAL_WIDE : SUM_REAL)
		                    : d == REIN_WIDE_T ? SUM_WIDE
		                    : d == REIN_I32_T  ? SUM_I32
		                                       : SUM_BOOL,
		                    work, p);
	if (i->op == REIN_OP_AMAX)
		return describe_sum(b, i, d == REIN_REAL_T ? MAX_REAL : d == REIN_I32_T ? MAX_I32 : MAX_BOOL, work, p);
	memset(p, 0, sizeof *p);
	p->what = d == REIN_REAL_T ? ARGMAX_REAL : d == REIN_I32_T ? ARGMAX_I32 : ARGMAX_U8;
	p->x = b->mem[i->in[0]], p->y = b->mem[i->out[0]];
	p->l = cuda_lines_of(cuda_in(b, i, 0), cuda_axis_of(&i->attr));
	p->blocks = cuda_blocks(p->l.outer * p->l.inner, 8);
	return REIN_OK;
}

static rein_status emit(struct cuda_build *b, int32_t n, const int32_t *instr)
{
	const struct rein_prog_instr *i = &b->p->instr[instr[n - 1]];
	struct reduce_piece piece[REDUCE_MANY];
	void *list[REDUCE_MANY];
	char *work = static_cast<char *>(b->work);
	uint32_t d = cuda_in(b, i, 0)->dtype;
	if (i->op == REIN_OP_CUMSUM)
		return d == REIN_REAL_T ? emit_cumsum<float, double>(b, i) : d == REIN_WIDE_T ? emit_cumsum<double, double>(b, i) :
			emit_cumsum<int32_t, uint32_t>(b, i);
	for (int32_t m = 0; m < n; m++) {
		i = &b->p->instr[instr[m]];
		if (describe(b, i, work, &piece[m]) < 0)
			return REIN_ERROR;
		work += work_of(b->p, i);
		list[m] = &piece[m];
	}
	return n == 1 ? add_piece(b, piece) : emit_pieces(b, n, list);
}

/* --- those that wait for each other ---------------------------------------------------------------- */
#define WAIT_BYTES (8 << 20) /* what is summed is kept that long: no more of each */

/* Something that runs where instruction `last` does or before reads v, maybe through a renaming. */
static bool needed_until(const struct rein_program *p, const struct rein_plan *plan, int32_t v, int32_t last)
{
	uint32_t left = p->value[v].uses;
	for (int32_t k = p->value[v].instr + 1; k < (int32_t)p->n_instr && left; k++)
		for (uint32_t j = 0; j < p->instr[k].n_in; j++) {
			if (p->instr[k].in[j] != v)
				continue;
			left--;
			if (plan->kernel[k] >= 0 && plan->kernel[k] <= last)
				return true;
			for (uint32_t o = 0; o < p->instr[k].n_out && plan->kernel[k] < 0; o++)
				if (needed_until(p, plan, p->instr[k].out[o], last))
					return true;
		}
	return false;
}

static rein_status match_late(struct cuda *cuda, const struct rein_program *p, struct rein_plan *plan)
{
	int32_t list[REDUCE_MANY], n = 0;
	(void)cuda;
	for (int32_t k = 0; k < (int32_t)p->n_instr; k++) {
		const struct rein_prog_instr *i = &p->instr[k];
		if ((i->op != REIN_OP_SUM && i->op != REIN_OP_AMAX && i->op != REIN_OP_ARGMAX) || plan->kernel[k] != k ||
		    cuda_bytes_of(p, i->in[0]) > WAIT_BYTES)
			continue;
		bool fits = n < REDUCE_MANY;
		for (int32_t m = 0; m < n && fits; m++)
			fits = !needed_until(p, plan, p->instr[list[m]].out[0], k);
		if (!fits && n > 1)
			cuda_join(p, plan, n, list);
		n = fits ? n : 0;
		list[n++] = k;
	}
	if (n > 1)
		cuda_join(p, plan, n, list);
	return REIN_OK;
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

extern const struct cuda_family cuda_reduce = { "reduce", supports, workspace, emit, NULL, match_late };
