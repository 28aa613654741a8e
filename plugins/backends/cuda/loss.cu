/* SPDX-License-Identifier: MIT
 *
 * loss.cu: log_softmax and cross_entropy. The largest number of a row is subtracted in float32,
 * exponentials are float32, their sum and its logarithm float64. A row of NaN or of -inf alone
 * gives NaN.
 *
 * A row whose numbers lie side by side is the work of a warp, or of a block where it is long; a
 * row across (log_softmax over an axis that is not the last) is the work of one thread, and the
 * threads of a warp read side by side. Those of short rows that are ready together are one launch,
 * and the derivative of a cross-entropy of labels, (softmax - one hot) g as the core records it, is made
 * where its log-softmax is. Bound by memory: 4 bytes in and 4 out per number.
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

/* z (N,K). y (N,K) = z - max - log sum exp; cost (N) = -y at the class, or -sum p y;
 * dz (N,K) = (exp(y) - one hot) g, g (N) or one number, 0 for a label outside. Each of the results
 * may be missing. */
struct loss_piece {
	uint32_t first, blocks; /* of the launch */
	int32_t N, K, g_step;
	const float *z, *p, *g;
	const int32_t *label;
	float *y, *cost, *dz;
};
#define LOSS_MANY 8
struct loss_list {
	struct loss_piece piece[LOSS_MANY];
	int32_t n;
};

/* THREADS 32: a warp per row, blocks of 4 rows. */
template <int THREADS>
static __device__ __forceinline__ void loss_row(const struct loss_piece &a, uint32_t block)
{
	__shared__ double room[THREADS / 32];
	const int lane = threadIdx.x % THREADS, K = a.K;
	const int row = (int)(block * (blockDim.x / THREADS) + threadIdx.x / THREADS);
	if (row >= a.N) /* a whole warp: rows are not shared */
		return;
	const size_t at = (size_t)row * K;
	const float *x = a.z + at;
	const int32_t c = a.label ? a.label[row] : -1;
	const bool inside = c >= 0 && c < K;
	const float g = a.dz && inside ? a.g[row * a.g_step] : 0;
	float max;
	double log_of, sum = 0;
	log_sum<THREADS>(x, K, max, log_of);
	for (int j = lane; j < K && (a.y || a.p || a.dz); j += THREADS) {
		double v = (double)x[j] - (double)max - log_of;
		if (a.y)
			a.y[at + j] = (float)v;
		if (a.p)
			sum -= (double)a.p[at + j] * v;
		if (a.dz) {
			float e = expf((float)v);
			a.dz[at + j] = (j == c ? e - 1 : e) * g;
		}
	}
	if (!a.cost)
		return;
	if (a.p)
		sum = THREADS == 32 ? cuda_warp_sum(sum) : cuda_block_sum(sum, room);
	else
		sum = inside ? -((double)x[c] - (double)max - log_of) : 0;
	if (lane == 0)
		a.cost[row] = (float)sum;
}

__global__ void __launch_bounds__(128) loss_rows(struct loss_list list)
{
	int k = 0;
	while (k + 1 < list.n && blockIdx.x >= list.piece[k + 1].first)
		k++;
	loss_row<32>(list.piece[k], blockIdx.x - list.piece[k].first);
}
__global__ void __launch_bounds__(256) loss_long(struct loss_piece piece) { loss_row<256>(piece, blockIdx.x); }

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

static rein_status emit_pieces(struct cuda_build *b, int n, void *const *piece)
{
	struct loss_list list;
	uint32_t blocks = 0;
	memset(&list, 0, sizeof list);
	for (; list.n < n; list.n++) {
		list.piece[list.n] = *static_cast<const struct loss_piece *>(piece[list.n]);
		list.piece[list.n].first = blocks;
		blocks += list.piece[list.n].blocks;
	}
	return cuda_launch(b, loss_rows, blocks, 128, 0, list);
}
static const struct cuda_merge merge = { "loss_rows", LOSS_MANY, emit_pieces };

static rein_status rows(struct cuda_build *b, const struct loss_piece *p)
{
	if (p->K >= LONG_ROW)
		return cuda_launch(b, loss_long, (unsigned)p->N, 256, 0, *p);
	struct loss_piece *copy = static_cast<struct loss_piece *>(b->host->alloc(b->host, sizeof *copy));
	if (!copy)
		return REIN_ERROR;
	*copy = *p;
	copy->blocks = (uint32_t)((p->N + 3) / 4);
	return cuda_piece(b, &merge, copy);
}

/* --- the derivative ------------------------------------------------------------------------------ */
/* mul(where(eq(iota, label), exp(y) - 1, exp(y)), where(0 <= label < K, g, 0)) with y = log_softmax(z), as
 * the derivative of cross_entropy by z is recorded: instructions in ascending order, and what is read. */
#define DZ_OPS 11
struct dz {
	int32_t n, list[DZ_OPS];
	int32_t label, g;
};

static int32_t renamed(const struct rein_program *p, int32_t v)
{
	while (p->instr[p->value[v].instr].op == REIN_OP_RESHAPE)
		v = p->instr[p->value[v].instr].in[0];
	return v;
}
/* The op that makes v, through renamings, if it is `op`; it goes into the list. */
static const struct rein_prog_instr *takes(const struct rein_program *p, struct dz *d, int32_t v, uint32_t op)
{
	int32_t k = p->value[renamed(p, v)].instr;
	if (p->instr[k].op != op || d->n == DZ_OPS)
		return NULL;
	for (int32_t j = 0; j < d->n; j++)
		if (d->list[j] == k)
			return &p->instr[k];
	int32_t at = d->n++;
	for (; at > 0 && d->list[at - 1] > k; at--)
		d->list[at] = d->list[at - 1];
	d->list[at] = k;
	return &p->instr[k];
}
static bool is_number(const struct rein_program *p, int32_t v, double x)
{
	const struct rein_prog_instr *i = &p->instr[p->value[renamed(p, v)].instr];
	if (i->op != REIN_OP_CONST || p->value[i->out[0]].count != 1)
		return false;
	if (!i->attr.data)
		return i->attr.par[0] == x;
	return p->value[i->out[0]].dtype == REIN_I32_T    ? *static_cast<const int32_t *>(i->attr.data) == x
	       : p->value[i->out[0]].dtype == REIN_REAL_T ? *static_cast<const float *>(i->attr.data) == x
	                                                  : false;
}

/* where(label inside, g, 0) */
static bool find_factor(const struct rein_program *p, struct dz *d, int32_t v, int64_t K)
{
	const struct rein_prog_instr *where = takes(p, d, v, REIN_OP_WHERE);
	const struct rein_prog_instr *both = where ? takes(p, d, where->in[0], REIN_OP_AND) : NULL;
	const struct rein_prog_instr *le = both ? takes(p, d, both->in[0], REIN_OP_LE) : NULL;
	const struct rein_prog_instr *lt = both ? takes(p, d, both->in[1], REIN_OP_LT) : NULL;
	if (!le || !lt || !is_number(p, le->in[0], 0) || !is_number(p, lt->in[1], (double)K) ||
	    renamed(p, le->in[1]) != renamed(p, lt->in[0]) || !is_number(p, where->in[2], 0))
		return false;
	d->label = renamed(p, lt->in[0]);
	d->g = where->in[1];
	return true;
}

static bool find_dz(const struct rein_program *p, int32_t k, struct dz *d)
{
	const struct rein_prog_instr *mul = &p->instr[k];
	const struct rein_prog_value *out = &p->value[mul->out[0]];
	memset(d, 0, sizeof *d);
	d->n = 1, d->list[0] = k;
	if (out->rank != 2 || out->dtype != REIN_REAL_T)
		return false;
	const struct rein_prog_instr *where = takes(p, d, mul->in[0], REIN_OP_WHERE);
	const struct rein_prog_instr *hot = where ? takes(p, d, where->in[0], REIN_OP_EQ) : NULL;
	const struct rein_prog_instr *less = where ? takes(p, d, where->in[1], REIN_OP_ADD) : NULL;
	const struct rein_prog_instr *e = where ? takes(p, d, where->in[2], REIN_OP_EXP) : NULL;
	const struct rein_prog_instr *soft = e ? takes(p, d, e->in[0], REIN_OP_LOG_SOFTMAX) : NULL;
	const struct rein_prog_instr *iota = hot ? takes(p, d, hot->in[0], REIN_OP_IOTA) : NULL;
	if (!less || !soft || !iota || less->in[0] != where->in[2] || !is_number(p, less->in[1], -1) ||
	    cuda_axis_of(&soft->attr) != 1 || cuda_axis_of(&iota->attr) != 1 || p->value[iota->out[0]].rank != 2 ||
	    !find_factor(p, d, mul->in[1], out->dim[1]))
		return false;
	return renamed(p, hot->in[1]) == d->label && p->value[d->label].count == out->dim[0] &&
	       p->value[mul->in[1]].count == out->dim[0] && d->n == DZ_OPS;
}

/* Values of the group that something outside of it reads. */
static bool is_closed(const struct rein_program *p, const struct dz *d)
{
	for (int32_t m = 0; m + 1 < d->n; m++) {
		int32_t v = p->instr[d->list[m]].out[0];
		uint32_t inside = 0;
		for (int32_t j = 0; j < d->n; j++)
			for (uint32_t a = 0; a < p->instr[d->list[j]].n_in; a++)
				inside += renamed(p, p->instr[d->list[j]].in[a]) == v;
		/* a renaming in between is a reader of its own, and has one itself */
		if (inside < p->value[v].uses)
			return false;
		for (uint32_t k = 0; k < p->n_instr; k++)
			if (p->instr[k].op == REIN_OP_RESHAPE && renamed(p, p->instr[k].out[0]) == v &&
			    p->value[p->instr[k].out[0]].uses > 1)
				return false;
	}
	return true;
}

static rein_status match(struct cuda *cuda, const struct rein_program *p, struct rein_plan *plan)
{
	(void)cuda;
	for (int32_t k = 0; k < (int32_t)p->n_instr; k++) {
		struct dz d;
		if (p->instr[k].op != REIN_OP_MUL || !find_dz(p, k, &d) || !is_closed(p, &d))
			continue;
		bool alone = p->value[p->instr[k].out[0]].dim[1] < LONG_ROW;
		for (int32_t m = 0; m < d.n; m++)
			alone = alone && plan->kernel[d.list[m]] == d.list[m];
		if (!alone)
			continue;
		cuda_join(p, plan, d.n, d.list);
		for (int32_t m = 0; m < d.n; m++) { /* also those read through a renaming */
			plan->home[p->instr[d.list[m]].out[0]] = m + 1 < d.n ? REIN_HOME_NONE : REIN_HOME_ARENA;
			plan->in_place[p->instr[d.list[m]].out[0]] = 0;
		}
	}
	return REIN_OK;
}

static bool supports(const struct rein_program *p, const struct rein_prog_instr *i)
{
	return (i->op == REIN_OP_LOG_SOFTMAX || i->op == REIN_OP_CROSS_ENTROPY) && cuda_small(p, i);
}

/* One op, or a log_softmax with the derivative behind it. */
static rein_status emit(struct cuda_build *b, int32_t n, const int32_t *instr)
{
	const struct rein_prog_instr *i = &b->p->instr[instr[0]];
	for (int32_t m = 1; m < n && i->op != REIN_OP_LOG_SOFTMAX; m++)
		i = &b->p->instr[instr[m]];
	const struct rein_prog_value *z = cuda_in(b, i, 0);
	struct loss_piece a;
	memset(&a, 0, sizeof a);
	a.z = cuda_in_mem<float>(b, i, 0);
	if (i->op == REIN_OP_CROSS_ENTROPY) {
		a.N = (int32_t)z->dim[0], a.K = (int32_t)z->dim[1];
		if (cuda_in(b, i, 1)->dtype == REIN_I32_T)
			a.label = cuda_in_mem<int32_t>(b, i, 1);
		else
			a.p = cuda_in_mem<float>(b, i, 1);
		a.cost = cuda_out_mem<float>(b, i, 0);
		return rows(b, &a);
	}
	struct cuda_lines l = cuda_lines_of(z, cuda_axis_of(&i->attr));
	struct dz d;
	a.N = (int32_t)l.outer, a.K = (int32_t)l.n;
	a.y = cuda_out_mem<float>(b, i, 0);
	if (n > 1 && find_dz(b->p, instr[n - 1], &d)) {
		a.label = static_cast<const int32_t *>(b->mem[d.label]);
		a.g = static_cast<const float *>(b->mem[d.g]);
		a.g_step = b->p->value[d.g].count > 1;
		a.dz = cuda_out_mem<float>(b, &b->p->instr[instr[n - 1]], 0);
	}
	if (l.inner > 1)
		return cuda_launch(b, loss_lines, cuda_blocks(l.outer * l.inner, CUDA_BLOCK), CUDA_BLOCK, 0, l.outer * l.inner,
		                   (int)l.n, l.inner, a.z, a.y);
	return rows(b, &a);
}

extern const struct cuda_family cuda_loss = { "loss", supports, NULL, emit, match };
