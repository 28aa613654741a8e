/* SPDX-License-Identifier: MIT
 *
 * index.cu: take and put. An index outside is never followed: take gives 0, put drops. A
 * thread of take makes one element, or 16 bytes where rows allow it; takes that are ready
 * together are one launch, and the numbers of a batch's samples are looked up by those that
 * want them. Put with float duplicates adds in ascending position: the places of each
 * destination row are counted, laid out in order and walked, so no bit depends on the order
 * threads run in; integers add with atomics.
 */
#include "device.h"

/* x (B..,n,T..), index (B..,m..): batch entries, rows per entry, elements of a row. */
struct index_map {
	struct cuda_shape rows, index; /* over the batch, in units of what lies below it */
	int64_t batch, n, m, row;
};

/* Strides over the first `batch` axes of v with the result's sizes; returns what lies below. */
static int64_t batch_shape(const struct rein_prog_value *v, const struct rein_prog_value *y, uint32_t batch,
                           struct cuda_shape *s)
{
	int64_t stride = 1, below = 1;
	for (uint32_t a = batch; a < v->rank; a++)
		below *= v->dim[a];
	s->rank = (int32_t)batch;
	for (uint32_t a = batch; a-- > 0; stride *= v->dim[a]) {
		s->dim[a] = y->dim[a];
		s->stride[a] = v->dim[a] == 1 ? 0 : stride;
	}
	return below;
}

/* rows: the side with (B..,n,T..) for take, (B..,m..,T..) for put */
static void map_of(const struct rein_prog_instr *i, const struct rein_prog_value *rows,
                   const struct rein_prog_value *index, const struct rein_prog_value *y, struct index_map *d)
{
	uint32_t batch = i->attr.batch;
	memset(d, 0, sizeof *d);
	d->batch = 1;
	for (uint32_t a = 0; a < batch; a++)
		d->batch *= y->dim[a];
	int64_t below = batch_shape(rows, y, batch, &d->rows);
	d->m = batch_shape(index, y, batch, &d->index);
	d->n = i->op == REIN_OP_TAKE ? rows->dim[batch] : y->dim[batch];
	d->row = below / (i->op == REIN_OP_TAKE ? d->n : d->m);
}

/* Where the rows of a take come from: index[j], or start * factor + j, which is what a batch of a
 * shuffled order is; then, if there is a list, the entry of it. */
struct take_index {
	const int32_t *index, *start, *list;
	int32_t factor, n_list;
};
static __device__ __forceinline__ int32_t index_at(const struct take_index &x, int64_t j)
{
	if (x.index)
		return x.index[j];
	int32_t at = (int32_t)((x.start ? (uint32_t)*x.start * (uint32_t)x.factor : 0u) + (uint32_t)j);
	return !x.list ? at : at < 0 || at >= x.n_list ? 0 : x.list[at];
}

struct take_piece {
	uint32_t first, blocks; /* of the launch */
	int32_t size;           /* bytes of an element */
	int32_t plain;          /* no batch axes, and few enough elements for 31 bits */
	struct index_map d;
	struct cuda_div by_row; /* plain */
	struct take_index index;
	const void *x;
	void *y;
};
#define TAKE_MANY 8
struct take_list {
	struct take_piece piece[TAKE_MANY];
	int32_t n;
};

struct alignas(16) take_quad {
	uint32_t part[4];
};

template <class T> static __device__ void take_rows(const struct take_piece &p, uint32_t block)
{
	const struct index_map &d = p.d;
	const T *x = static_cast<const T *>(p.x);
	for (int64_t e = (int64_t)block * blockDim.x + threadIdx.x; e < d.batch * d.m * d.row;
	     e += (int64_t)p.blocks * blockDim.x) {
		if (p.plain) {
			uint32_t k = (uint32_t)e, j = cuda_split(k, p.by_row);
			int32_t at = index_at(p.index, j);
			static_cast<T *>(p.y)[e] = at < 0 || at >= d.n ? T() : x[at * d.row + k];
			continue;
		}
		int64_t k = e % d.row, j = e / d.row % d.m, b = e / d.row / d.m;
		int32_t at = index_at(p.index, cuda_offset(b, d.index) * d.m + j);
		static_cast<T *>(p.y)[e] = at < 0 || at >= d.n ? T() : x[(cuda_offset(b, d.rows) * d.n + at) * d.row + k];
	}
}

/* Several, each with blocks of its own. */
__global__ void __launch_bounds__(CUDA_BLOCK) take_many(struct take_list list)
{
	int k = 0;
	while (k + 1 < list.n && blockIdx.x >= list.piece[k + 1].first)
		k++;
	const struct take_piece &p = list.piece[k];
	if (p.size == 16)
		take_rows<struct take_quad>(p, blockIdx.x - p.first);
	else if (p.size == 8)
		take_rows<uint64_t>(p, blockIdx.x - p.first);
	else if (p.size == 4)
		take_rows<uint32_t>(p, blockIdx.x - p.first);
	else
		take_rows<uint8_t>(p, blockIdx.x - p.first);
}

/* --- put ------------------------------------------------------------------------------------ */
/* y has the base or zeros */
__global__ void put_add_int(struct index_map d, const int32_t *index, const uint32_t *src, uint32_t *y)
{
	for (CUDA_EACH(e, d.batch *d.m *d.row)) {
		int64_t k = e % d.row, j = e / d.row % d.m, b = e / d.row / d.m;
		int32_t at = index[cuda_offset(b, d.index) * d.m + j];
		if (at >= 0 && at < d.n)
			atomicAdd(&y[(b * d.n + at) * d.row + k], src[(cuda_offset(b, d.rows) * d.m + j) * d.row + k]);
	}
}

/* Lists of positions by destination row: count, start, then fill by one thread a batch entry's
 * row in ascending position: start[b * n + r] .. start[b * n + r + 1] of list. */
__global__ void put_count(struct index_map d, const int32_t *index, uint32_t *count)
{
	for (CUDA_EACH(e, d.batch *d.m)) {
		int64_t j = e % d.m, b = e / d.m;
		int32_t at = index[cuda_offset(b, d.index) * d.m + j];
		if (at >= 0 && at < d.n)
			atomicAdd(&count[b * d.n + at], 1u);
	}
}

/* Exclusive sums of n counts, by one block: each thread takes a run of them. */
__global__ void put_starts(const uint32_t *count, uint32_t *start, int64_t n)
{
	__shared__ uint32_t total[1024];
	int64_t run = (n + blockDim.x - 1) / blockDim.x, first = threadIdx.x * run;
	int64_t end = first + run < n ? first + run : n;
	uint32_t sum = 0;
	for (int64_t k = first; k < end; k++)
		sum += count[k];
	total[threadIdx.x] = sum;
	__syncthreads();
	for (unsigned d = 1; d < blockDim.x; d <<= 1) {
		uint32_t up = threadIdx.x >= d ? total[threadIdx.x - d] : 0;
		__syncthreads();
		total[threadIdx.x] += up;
		__syncthreads();
	}
	uint32_t at = threadIdx.x ? total[threadIdx.x - 1] : 0;
	for (int64_t k = first; k < end; k++) {
		start[k] = at;
		at += count[k];
	}
}

/* In any order; count goes back to 0. */
__global__ void put_fill(struct index_map d, const int32_t *index, const uint32_t *start, uint32_t *count,
                         uint32_t *list)
{
	for (CUDA_EACH(e, d.batch *d.m)) {
		int64_t j = e % d.m, b = e / d.m;
		int32_t at = index[cuda_offset(b, d.index) * d.m + j];
		if (at >= 0 && at < d.n)
			list[start[b * d.n + at] + atomicSub(&count[b * d.n + at], 1u) - 1] = (uint32_t)j;
	}
}

/* Ascending. A warp a list: each entry's rank is how many are smaller; lists of one need nothing.
 * `sorted` has room for all lists. */
__global__ void put_sort(const uint32_t *start, const uint32_t *list, uint32_t *sorted, int64_t rows)
{
	int64_t warps = (int64_t)gridDim.x * (blockDim.x >> 5);
	for (int64_t r = (int64_t)blockIdx.x * (blockDim.x >> 5) + (threadIdx.x >> 5); r < rows; r += warps) {
		uint32_t first = start[r], n = start[r + 1] - first;
		for (uint32_t k = threadIdx.x & 31; k < n; k += 32) {
			uint32_t own = list[first + k], rank = 0;
			for (uint32_t j = 0; j < n; j++)
				rank += list[first + j] < own;
			sorted[first + rank] = own;
		}
	}
}

/* One element of the result a thread, its sources in ascending position, in float64. */
__global__ void put_add_real(struct index_map d, const uint32_t *start, const uint32_t *list, const float *base,
                             const float *src, float *y)
{
	for (CUDA_EACH(e, d.batch *d.n *d.row)) {
		int64_t k = e % d.row, r = e / d.row, from = cuda_offset(r / d.n, d.rows) * d.m;
		uint32_t end = start[r + 1];
		double acc = base ? (double)base[e] : 0;
		for (uint32_t j = start[r]; j < end; j++)
			acc += (double)src[(from + list[j]) * d.row + k];
		y[e] = (float)acc;
	}
}

/* The highest position that goes to each row, +1; 0: none. */
__global__ void put_winner(struct index_map d, const int32_t *index, uint32_t *winner)
{
	for (CUDA_EACH(e, d.batch *d.m)) {
		int64_t j = e % d.m, b = e / d.m;
		int32_t at = index[cuda_offset(b, d.index) * d.m + j];
		if (at >= 0 && at < d.n)
			atomicMax(&winner[b * d.n + at], (uint32_t)j + 1);
	}
}
template <class T> __global__ void put_set(struct index_map d, const uint32_t *winner, const T *base, const T *src, T *y)
{
	for (CUDA_EACH(e, d.batch *d.n *d.row)) {
		int64_t k = e % d.row, r = e / d.row;
		uint32_t j = winner[r];
		y[e] = j ? src[(cuda_offset(r / d.n, d.rows) * d.m + j - 1) * d.row + k] : base ? base[e] : T(0);
	}
}

/* --- the family --------------------------------------------------------------------------------- */
static void map_of_instr(const struct rein_program *p, const struct rein_prog_instr *i, struct index_map *d)
{
	uint32_t base = i->op == REIN_OP_PUT && i->n_in == 3;
	const struct rein_prog_value *y = &p->value[i->out[0]];
	if (i->op == REIN_OP_TAKE)
		map_of(i, &p->value[i->in[0]], &p->value[i->in[1]], y, d);
	else
		map_of(i, &p->value[i->in[base + 1]], &p->value[i->in[base]], y, d);
}

#define ALIGN(n) (((n) + 63) & ~(int64_t)63)

/* put: count and start of every row (start one more), then lists twice */
static int64_t workspace(const struct cuda *cuda, const struct rein_program *p, int32_t n, const int32_t *instr)
{
	const struct rein_prog_instr *i = &p->instr[instr[n - 1]];
	struct index_map d;
	(void)cuda;
	if (i->op != REIN_OP_PUT || (i->attr.mode == REIN_PUT_ADD && p->value[i->out[0]].dtype == REIN_I32_T))
		return 0;
	map_of_instr(p, i, &d);
	int64_t rows = ALIGN(d.batch * d.n + 1) * 4;
	return i->attr.mode == REIN_PUT_SET ? rows : 2 * rows + 2 * ALIGN(d.batch * d.m) * 4;
}

static rein_status emit_add_real(struct cuda_build *b, const struct rein_prog_instr *i, const struct index_map *d)
{
	uint32_t base = i->n_in == 3;
	int64_t rows = d->batch * d->n, places = d->batch * d->m;
	const int32_t *index = cuda_in_mem<int32_t>(b, i, base);
	uint32_t *count = static_cast<uint32_t *>(b->work), *start = count + ALIGN(rows + 1);
	uint32_t *list = start + ALIGN(rows + 1), *sorted = list + ALIGN(places);
	unsigned grid = cuda_blocks(places, CUDA_BLOCK);
	/* one count more than rows, always 0: its start is how many there are in all */
	rein_status s = cuda_fill(b, count, 0, (size_t)(rows + 1) * 4);
	if (s >= 0)
		s = cuda_launch(b, put_count, grid, CUDA_BLOCK, 0, *d, index, count);
	if (s >= 0)
		s = cuda_launch(b, put_starts, 1, rows < 4096 ? CUDA_BLOCK : 1024, 0, count, start, rows + 1);
	if (s >= 0)
		s = cuda_launch(b, put_fill, grid, CUDA_BLOCK, 0, *d, index, start, count, list);
	if (s >= 0)
		s = cuda_launch(b, put_sort, cuda_blocks(rows, 8), CUDA_BLOCK, 0, start, list, sorted, rows);
	if (s >= 0)
		s = cuda_launch(b, put_add_real, cuda_blocks(rows * d->row, CUDA_BLOCK), CUDA_BLOCK, 0, *d, start, sorted,
		                base ? cuda_in_mem<float>(b, i, 0) : static_cast<const float *>(NULL),
		                cuda_in_mem<float>(b, i, base + 1), cuda_out_mem<float>(b, i, 0));
	return s;
}

static rein_status emit_add_int(struct cuda_build *b, const struct rein_prog_instr *i, const struct index_map *d)
{
	uint32_t base = i->n_in == 3;
	size_t bytes = (size_t)cuda_bytes_of(b->p, i->out[0]);
	rein_status s = base ? cuda_copy(b, b->mem[i->out[0]], b->mem[i->in[0]], bytes) : cuda_fill(b, b->mem[i->out[0]], 0, bytes);
	return s < 0 ? s : cuda_launch(b, put_add_int, cuda_blocks(d->batch * d->m * d->row, CUDA_BLOCK), CUDA_BLOCK, 0, *d,
	                               cuda_in_mem<int32_t>(b, i, base), cuda_in_mem<uint32_t>(b, i, base + 1),
	                               cuda_out_mem<uint32_t>(b, i, 0));
}

template <class T> static rein_status emit_put(struct cuda_build *b, const struct rein_prog_instr *i)
{
	struct index_map d;
	uint32_t base = i->n_in == 3;
	map_of_instr(b->p, i, &d);
	if (i->attr.mode == REIN_PUT_ADD)
		return cuda_out(b, i, 0)->dtype == REIN_I32_T ? emit_add_int(b, i, &d) : emit_add_real(b, i, &d);
	uint32_t *winner = static_cast<uint32_t *>(b->work);
	rein_status s = cuda_fill(b, winner, 0, (size_t)(d.batch * d.n) * 4);
	if (s >= 0)
		s = cuda_launch(b, put_winner, cuda_blocks(d.batch * d.m, CUDA_BLOCK), CUDA_BLOCK, 0, d,
		                cuda_in_mem<int32_t>(b, i, base), winner);
	return s < 0 ? s : cuda_launch(b, put_set<T>, cuda_blocks(d.batch * d.n * d.row, CUDA_BLOCK), CUDA_BLOCK, 0, d, winner,
	                               base ? cuda_in_mem<T>(b, i, 0) : static_cast<const T *>(NULL),
	                               cuda_in_mem<T>(b, i, base + 1), cuda_out_mem<T>(b, i, 0));
}

/* --- take ----------------------------------------------------------------------------------------- */
static rein_status emit_pieces(struct cuda_build *b, int n, void *const *piece)
{
	struct take_list list;
	uint32_t blocks = 0;
	memset(&list, 0, sizeof list);
	for (; list.n < n; list.n++) {
		list.piece[list.n] = *static_cast<const struct take_piece *>(piece[list.n]);
		list.piece[list.n].first = blocks;
		blocks += list.piece[list.n].blocks;
	}
	return cuda_launch(b, take_many, blocks, CUDA_BLOCK, 0, list);
}
static const struct cuda_merge merge = { "take", TAKE_MANY, emit_pieces };

/* start * factor + j: the parts of a vector so recorded, or false. Each is read by the next alone. */
struct run {
	int32_t iota, mul, add; /* instructions; mul -1: no factor, or no start */
	int32_t start;          /* a scalar, -1: none */
	int32_t factor;
};
static const struct rein_prog_instr *made_by(const struct rein_program *p, int32_t v) { return &p->instr[p->value[v].instr]; }

static bool is_iota(const struct rein_program *p, int32_t v)
{
	return made_by(p, v)->op == REIN_OP_IOTA && p->value[v].rank == 1 && p->value[v].uses == 1;
}

static bool is_factor(const struct rein_program *p, int32_t v, int32_t *factor)
{
	const struct rein_prog_instr *i = made_by(p, v);
	if (i->op != REIN_OP_CONST || p->value[v].count != 1)
		return false;
	*factor = i->attr.data ? *static_cast<const int32_t *>(i->attr.data) : (int32_t)i->attr.par[0];
	return true;
}

static bool find_run(const struct rein_program *p, int32_t v, struct run *r)
{
	const struct rein_prog_instr *add = made_by(p, v);
	r->mul = r->add = r->start = -1;
	r->factor = 1;
	if (is_iota(p, v)) {
		r->iota = p->value[v].instr;
		return true;
	}
	if (add->op != REIN_OP_ADD || p->value[v].uses != 1 || p->value[v].rank != 1)
		return false;
	for (int32_t k = 0; k < 2; k++) {
		int32_t start = add->in[1 - k];
		if (!is_iota(p, add->in[k]) || p->value[start].count != 1 || p->value[start].rank)
			continue;
		r->iota = p->value[add->in[k]].instr;
		r->add = p->value[v].instr;
		r->start = start;
		const struct rein_prog_instr *mul = made_by(p, start);
		if (mul->op != REIN_OP_MUL || p->value[start].uses != 1)
			return true;
		for (int32_t j = 0; j < 2; j++)
			if (is_factor(p, mul->in[j], &r->factor)) {
				r->mul = p->value[start].instr;
				r->start = mul->in[1 - j];
				return true;
			}
		return true;
	}
	return false;
}

/* Nobody but takes reads v, as an index. */
static bool only_indexes(const struct rein_program *p, int32_t v)
{
	uint32_t n = 0;
	for (uint32_t k = 0; k < p->n_instr; k++)
		if (p->instr[k].op == REIN_OP_TAKE)
			n += p->instr[k].in[1] == v && p->instr[k].in[0] != v;
	return n > 0 && n == p->value[v].uses;
}

/* The numbers of a batch's samples: list[start * factor + j]. If takes alone read them, they are looked
 * up wherever they are wanted; else they are one kernel. */
static rein_status match(struct cuda *cuda, const struct rein_program *p, struct rein_plan *plan)
{
	(void)cuda;
	for (uint32_t k = 0; k < p->n_instr; k++) {
		const struct rein_prog_instr *i = &p->instr[k];
		struct run r;
		if (i->op != REIN_OP_TAKE || i->attr.batch || p->value[i->in[0]].rank != 1 ||
		    p->value[i->out[0]].dtype != REIN_I32_T || !find_run(p, i->in[1], &r))
			continue;
		int32_t list[4], n = 0, group[] = { r.iota, r.mul, r.add, (int32_t)k };
		bool alone = true;
		for (int32_t j = 0; j < (int32_t)k; j++) /* ascending */
			if (j == r.iota || j == r.mul || j == r.add)
				list[n++] = j;
		list[n++] = (int32_t)k;
		for (int32_t j = 0; j < n; j++)
			alone = alone && plan->kernel[list[j]] == list[j];
		if (!alone)
			continue;
		cuda_join(p, plan, n, list);
		for (int32_t j = 0; j < 4 && only_indexes(p, i->out[0]); j++)
			if (group[j] >= 0) {
				plan->kernel[group[j]] = -1;
				plan->home[p->instr[group[j]].out[0]] = REIN_HOME_NONE;
			}
	}
	return REIN_OK;
}

/* Index v of a take: in memory, or a run, or entries of a list at a run. */
static void find_index(const struct cuda_build *b, int32_t v, struct take_index *x)
{
	struct run r;
	x->index = static_cast<const int32_t *>(b->mem[v]);
	if (x->index)
		return;
	const struct rein_prog_instr *i = made_by(b->p, v);
	if (i->op == REIN_OP_TAKE) {
		x->list = static_cast<const int32_t *>(b->mem[i->in[0]]);
		x->n_list = (int32_t)b->p->value[i->in[0]].count;
		v = i->in[1];
	}
	find_run(b->p, v, &r);
	x->start = r.start >= 0 ? static_cast<const int32_t *>(b->mem[r.start]) : NULL;
	x->factor = r.factor;
}

static rein_status emit_take(struct cuda_build *b, const struct rein_prog_instr *i)
{
	struct take_piece *p = static_cast<struct take_piece *>(b->host->alloc(b->host, sizeof *p));
	if (!p)
		return REIN_ERROR;
	map_of_instr(b->p, i, &p->d);
	find_index(b, i->in[1], &p->index);
	p->size = (int32_t)cuda_size_of(b->p, b->p->value[i->out[0]].dtype);
	p->x = b->mem[i->in[0]], p->y = b->mem[i->out[0]];
	p->plain = p->d.batch == 1 && p->d.m * p->d.row <= INT32_MAX;
	uintptr_t places = reinterpret_cast<uintptr_t>(p->x) | reinterpret_cast<uintptr_t>(p->y);
	if (p->plain && p->d.row * p->size % 16 == 0 && places % 16 == 0) {
		p->d.row = p->d.row * p->size / 16;
		p->size = 16;
	}
	if (p->plain)
		p->by_row = cuda_div_by(p->d.row);
	p->blocks = cuda_blocks(p->d.batch * p->d.m * p->d.row, CUDA_BLOCK);
	return cuda_piece(b, &merge, p);
}

static rein_status emit(struct cuda_build *b, int32_t n, const int32_t *instr)
{
	const struct rein_prog_instr *i = &b->p->instr[instr[n - 1]];
	int64_t size = cuda_size_of(b->p, b->p->value[i->out[0]].dtype);
	if (i->op == REIN_OP_TAKE)
		return emit_take(b, i);
	return size == 8 ? emit_put<uint64_t>(b, i) : size == 4 ? emit_put<uint32_t>(b, i) : emit_put<uint8_t>(b, i);
}

static bool supports(const struct rein_program *p, const struct rein_prog_instr *i)
{
	uint32_t d = i->n_out ? p->value[i->out[0]].dtype : 0;
	if (i->op == REIN_OP_TAKE)
		return true;
	return i->op == REIN_OP_PUT && (i->attr.mode == REIN_PUT_SET || d == REIN_REAL_T || d == REIN_I32_T);
}

extern const struct cuda_family cuda_index = { "index", supports, workspace, emit, match };
