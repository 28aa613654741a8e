/* SPDX-License-Identifier: MIT
 *
 * sort.cu: sort and smallest, over the last axis. A number becomes 32 bits that compare as
 * unsigned integers do (NaN above +inf, -0 as 0, complemented when descending); with its position
 * below, in 64 bits, no two are equal, so any sorting network is stable and the same everywhere.
 *
 * sort: tiles are sorted in shared memory (bitonic network), then pairs of sorted runs are merged
 * until one is left: every element finds its place by a binary search in the other run. A row that
 * fits a tile is one launch; else log2(n / 2048) more, each 16 bytes per element and log2(run)
 * reads that mostly hit L2.
 *
 * smallest: a row that fits a tile is sorted; else the k-th smallest is found by radix selection,
 * 8 bits a pass (four passes over x, 4 bytes per element each), ties are counted block by
 * block, and a last pass writes the mask. Counting is the only thing done by atomics, on integers.
 */
#include "device.h"

#define SORT_REAL 0
#define SORT_I32  1
#define SORT_U8   2

static __device__ __forceinline__ uint32_t key_of(const void *x, int type, int64_t at)
{
	if (type == SORT_I32)
		return (uint32_t) static_cast<const int32_t *>(x)[at] ^ 0x80000000u;
	if (type == SORT_U8)
		return static_cast<const uint8_t *>(x)[at];
	float v = static_cast<const float *>(x)[at];
	uint32_t bits = __float_as_uint(v);
	if (v != v)
		return 0xffffffffu;
	return v == 0 ? 0x80000000u : bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

struct sort {
	const void *x;
	int type, flip; /* flip: all ones when descending */
	uint32_t n;     /* elements of a row */
	void *values;   /* what is asked for; NULL: not */
	int32_t *index;
	uint8_t *mask; /* smallest: rank < *k */
	const int32_t *k;
	uint64_t *run; /* rows of a tile or more: sorted runs go here; NULL: the last step */
};

/* Element number `rank` of a row in order. */
static __device__ __forceinline__ void put(const struct sort &s, int64_t row, uint32_t rank, uint64_t e)
{
	const int64_t base = row * s.n;
	const uint32_t from = (uint32_t)e;
	if (s.run) {
		s.run[base + rank] = e;
		return;
	}
	if (s.mask)
		s.mask[base + from] = (int32_t)rank < *s.k;
	if (s.index)
		s.index[base + rank] = (int32_t)from;
	if (!s.values)
		return;
	if (s.type == SORT_U8)
		static_cast<uint8_t *>(s.values)[base + rank] = static_cast<const uint8_t *>(s.x)[base + from];
	else
		static_cast<uint32_t *>(s.values)[base + rank] = static_cast<const uint32_t *>(s.x)[base + from];
}

/* Block: a tile of a row; TILE / 2 threads. */
template <int TILE>
__global__ void __launch_bounds__(TILE / 2) sort_tile(struct sort s, uint32_t tiles)
{
	__shared__ uint64_t e[TILE];
	const int64_t row = blockIdx.x / tiles;
	const uint32_t first = blockIdx.x % tiles * TILE;
	for (uint32_t j = threadIdx.x; j < TILE; j += TILE / 2) {
		uint32_t at = first + j; /* what is beyond the row comes last: no position is above it */
		uint32_t key = at < s.n ? key_of(s.x, s.type, row * s.n + at) ^ (uint32_t)s.flip : 0xffffffffu;
		e[j] = (uint64_t)key << 32 | at;
	}
	for (uint32_t size = 2; size <= TILE; size *= 2)
		for (uint32_t step = size / 2; step; step /= 2) {
			__syncthreads();
			uint32_t a = 2 * threadIdx.x - (threadIdx.x & (step - 1)), b = a + step;
			bool up = !(a & size);
			uint64_t lo = e[a], hi = e[b];
			if ((lo > hi) == up) {
				e[a] = hi;
				e[b] = lo;
			}
		}
	__syncthreads();
	for (uint32_t j = threadIdx.x; j < TILE; j += TILE / 2)
		if (first + j < s.n)
			put(s, row, first + j, e[j]);
}

/* Runs of `width` become runs of twice as many. */
__global__ void sort_merge(struct sort s, int64_t rows, const uint64_t *__restrict__ from, uint32_t width)
{
	for (CUDA_EACH(t, rows * s.n)) {
		const int64_t row = t / s.n;
		const uint64_t *e = from + row * s.n;
		const uint32_t at = (uint32_t)(t - row * s.n), run = at / width, lo = run / 2 * 2 * width;
		const uint64_t mine = e[at];
		uint32_t a = (run ^ 1u) * width, b = a + width; /* the other run */
		a = a < s.n ? a : s.n;
		b = b < s.n ? b : s.n;
		const uint32_t begin = a;
		while (a < b) {
			uint32_t mid = (a + b) / 2;
			if (e[mid] < mine)
				a = mid + 1;
			else
				b = mid;
		}
		put(s, row, lo + at % width + (a - begin), mine);
	}
}

/* --- smallest of long rows ----------------------------------------------------------------- */
#define PIECE 8192 /* elements of a row that a block counts */

struct select {      /* of one row */
	uint32_t prefix; /* leading digits of the k-th smallest, as far as known */
	int32_t left;    /* how many of those that begin so are among the k */
	uint32_t ticket, pad;
	uint32_t count[256];
};

/* Block: a row. */
__global__ void select_begin(struct select *all)
{
	struct select *r = all + blockIdx.x;
	r->count[threadIdx.x] = 0;
	if (threadIdx.x == 0)
		r->ticket = 0;
}

/* Counts digit `pass` of those that begin as the k-th smallest does; a row's last block finds its
 * digit. Block: row pieces + piece. */
__global__ void __launch_bounds__(256) select_digit(struct sort s, uint32_t pieces, int pass, struct select *all)
{
	__shared__ uint32_t count[256];
	const int64_t row = blockIdx.x / pieces;
	const uint32_t first = blockIdx.x % pieces * PIECE;
	struct select *r = all + row;
	const int shift = 24 - 8 * pass;
	const uint32_t prefix = pass ? r->prefix : 0;
	count[threadIdx.x] = 0;
	__syncthreads();
	for (uint32_t j = threadIdx.x; j < PIECE && first + j < s.n; j += 256) {
		uint32_t key = key_of(s.x, s.type, row * s.n + first + j);
		if (pass == 0 || key >> (shift + 8) == prefix)
			atomicAdd(&count[key >> shift & 255], 1u);
	}
	__syncthreads();
	if (count[threadIdx.x])
		atomicAdd(&r->count[threadIdx.x], count[threadIdx.x]);
	if (!cuda_last_block(&r->ticket, pieces))
		return;
	count[threadIdx.x] = *static_cast<volatile uint32_t *>(&r->count[threadIdx.x]);
	r->count[threadIdx.x] = 0;
	__syncthreads();
	if (threadIdx.x)
		return;
	int32_t left = pass ? r->left : *s.k;
	if (pass == 0 && left > (int32_t)s.n)
		left = (int32_t)s.n;
	uint32_t digit = 0;
	while (left > 0 && digit < 255 && (int64_t)count[digit] < left)
		left -= (int32_t)count[digit++];
	r->prefix = prefix << 8 | digit;
	r->left = left;
}

/* equal[block]: how many of a piece equal the k-th; the row's last block makes them the number
 * in pieces before. */
__global__ void __launch_bounds__(256)
	select_ties(struct sort s, uint32_t pieces, struct select *all, uint32_t *__restrict__ equal)
{
	__shared__ int room[8];
	const int64_t row = blockIdx.x / pieces;
	const uint32_t first = blockIdx.x % pieces * PIECE;
	struct select *r = all + row;
	int ties = 0;
	for (uint32_t j = threadIdx.x; j < PIECE && first + j < s.n; j += 256)
		ties += key_of(s.x, s.type, row * s.n + first + j) == r->prefix;
	ties = cuda_block_sum(ties, room);
	if (threadIdx.x == 0)
		*static_cast<volatile uint32_t *>(&equal[blockIdx.x]) = (uint32_t)ties;
	if (!cuda_last_block(&r->ticket, pieces) || threadIdx.x)
		return;
	uint32_t before = 0;
	for (uint32_t k = 0; k < pieces; k++) {
		volatile uint32_t *e = &equal[row * pieces + k];
		uint32_t here = *e;
		*e = before;
		before += here;
	}
}

__global__ void __launch_bounds__(256)
	select_mask(struct sort s, uint32_t pieces, const struct select *all, const uint32_t *__restrict__ equal)
{
	__shared__ uint32_t in_warp[8];
	const int64_t row = blockIdx.x / pieces;
	const uint32_t first = blockIdx.x % pieces * PIECE;
	const struct select *r = all + row;
	const bool none = r->left <= 0;
	uint32_t before = equal[blockIdx.x];
	for (uint32_t j = threadIdx.x; j < PIECE; j += 256) {
		const uint32_t at = first + j, lane = threadIdx.x % 32;
		const uint32_t key = at < s.n ? key_of(s.x, s.type, row * s.n + at) : 0;
		const bool tie = at < s.n && key == r->prefix;
		const uint32_t ties = __ballot_sync(CUDA_LANES, tie);
		__syncthreads();
		if (lane == 0)
			in_warp[threadIdx.x / 32] = (uint32_t)__popc(ties);
		__syncthreads();
		uint32_t rank = before + (uint32_t)__popc(ties & ((1u << lane) - 1));
		for (uint32_t w = 0; w < 8; w++) {
			rank += w < threadIdx.x / 32 ? in_warp[w] : 0;
			before += in_warp[w];
		}
		if (at < s.n)
			s.mask[row * s.n + at] = !none && (key < r->prefix || (tie && rank < (uint32_t)r->left));
	}
}

/* --- host ------------------------------------------------------------------------------------ */
#define TILE 2048

static int type_of(uint32_t dtype)
{
	return dtype == REIN_REAL_T ? SORT_REAL : dtype == REIN_I32_T ? SORT_I32 : SORT_U8;
}
static int64_t row_length(const struct rein_prog_value *x) { return x->rank ? x->dim[x->rank - 1] : 1; }
static int64_t align16(int64_t bytes) { return (bytes + 15) / 16 * 16; }

static bool supports(const struct rein_program *p, const struct rein_prog_instr *i)
{
	if (i->op != REIN_OP_SORT && i->op != REIN_OP_SMALLEST)
		return false;
	return p->value[i->in[0]].dtype != REIN_WIDE_T && cuda_small(p, i);
}

static int64_t workspace(const struct cuda *cuda, const struct rein_program *p, int32_t n, const int32_t *instr)
{
	(void)cuda;
	(void)n;
	const struct rein_prog_instr *i = &p->instr[instr[0]];
	const struct rein_prog_value *x = &p->value[i->in[0]];
	int64_t len = row_length(x), rows = x->count / len;
	if (len <= TILE)
		return 0;
	if (i->op == REIN_OP_SORT)
		return 2 * align16(x->count * 8);
	return align16(rows * (int64_t)sizeof(struct select)) + rows * ((len + PIECE - 1) / PIECE) * 4;
}

static rein_status tiles(struct cuda_build *b, const struct sort *s, int64_t rows)
{
	if (s->n <= 64)
		return cuda_launch(b, (sort_tile<64>), (unsigned)rows, 32, 0, *s, 1u);
	if (s->n <= 512)
		return cuda_launch(b, (sort_tile<512>), (unsigned)rows, 256, 0, *s, 1u);
	unsigned n = (s->n + TILE - 1) / TILE;
	return cuda_launch(b, (sort_tile<TILE>), (unsigned)rows * n, TILE / 2, 0, *s, n);
}

static rein_status merge_all(struct cuda_build *b, struct sort *s, int64_t rows)
{
	uint64_t *run[2] = { static_cast<uint64_t *>(b->work), NULL };
	run[1] = run[0] + align16(rows * s->n * 8) / 8;
	s->run = run[0];
	rein_status status = tiles(b, s, rows);
	for (uint32_t width = TILE, side = 1; status >= 0 && width < s->n; width *= 2, side ^= 1) {
		s->run = 2 * (uint64_t)width < s->n ? run[side] : NULL;
		status = cuda_launch(b, sort_merge, cuda_blocks(rows * s->n, CUDA_BLOCK), CUDA_BLOCK, 0, *s, rows,
		                     run[side ^ 1], width);
	}
	return status;
}

static rein_status select(struct cuda_build *b, const struct sort *s, int64_t rows)
{
	struct select *state = static_cast<struct select *>(b->work);
	uint32_t *equal =
		reinterpret_cast<uint32_t *>(static_cast<char *>(b->work) + align16(rows * (int64_t)sizeof(struct select)));
	uint32_t pieces = (s->n + PIECE - 1) / PIECE;
	unsigned grid = (unsigned)rows * pieces;
	rein_status status = cuda_launch(b, select_begin, (unsigned)rows, 256, 0, state);
	for (int pass = 0; status >= 0 && pass < 4; pass++)
		status = cuda_launch(b, select_digit, grid, 256, 0, *s, pieces, pass, state);
	if (status >= 0)
		status = cuda_launch(b, select_ties, grid, 256, 0, *s, pieces, state, equal);
	return status < 0 ? status : cuda_launch(b, select_mask, grid, 256, 0, *s, pieces, state, equal);
}

static rein_status emit(struct cuda_build *b, int32_t n, const int32_t *instr)
{
	(void)n;
	const struct rein_prog_instr *i = &b->p->instr[instr[0]];
	const struct rein_prog_value *x = cuda_in(b, i, 0);
	int64_t len = row_length(x), rows = x->count / len;
	bool full = i->op == REIN_OP_SORT;
	struct sort s;
	memset(&s, 0, sizeof s);
	s.x = cuda_in_mem<void>(b, i, 0);
	s.type = type_of(x->dtype);
	s.n = (uint32_t)len;
	if (full) {
		s.flip = i->attr.flags & REIN_DESCENDING ? -1 : 0;
		s.values = cuda_out_mem<void>(b, i, 0);
		s.index = cuda_out_mem<int32_t>(b, i, 1);
	} else {
		s.mask = cuda_out_mem<uint8_t>(b, i, 0);
		s.k = cuda_in_mem<int32_t>(b, i, 1);
	}
	if (len <= TILE)
		return tiles(b, &s, rows);
	return full ? merge_all(b, &s, rows) : select(b, &s, rows);
}

extern const struct cuda_family cuda_sort = { "sort", supports, workspace, emit, NULL };
