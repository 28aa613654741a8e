/* SPDX-License-Identifier: MIT
 *
 * norm.cu: moments, batch_norm and batch_norm_dx. A tensor is seen as (outer, channels, inner),
 * where a channel is all elements of one index in the middle: (N, C, H W) for batch norm of
 * images, (N, C, 1) of rows, (1, N, C) for the moments of rows. Axes that do not fall into this
 * form go through a table of strides, one block per channel.
 *
 * Statistics are read off in one pass: a thread sums x - x0 and its square in float64, x0 being
 * the first of its own elements. With x0 in the set the squared distances are at least 1/n of
 * the squares that were summed, so the difference below loses no more than n 2^-53; unlike
 * E[x^2] - E[x]^2 it does not depend on how far the mean is from 0. Threads, warps and blocks are
 * joined as (count, mean, squared distances) in a fixed tree (Chan, Golub and LeVeque 1983).
 * Channels are cut into pieces by shape; the block that finishes a channel last joins its pieces.
 *
 * Bound by memory: batch_norm reads x once for the statistics and once, mostly from L2, to apply them;
 * batch_norm_dx the same with x and g. A channel that fits one block's registers is read once and
 * never again (one launch, 8 or 12 bytes per element).
 */
#include "tile.h"

struct norm {
	int64_t outer, channels, inner, n; /* n = outer inner, elements of a channel */
	int64_t len;                       /* elements in a piece of a channel */
	int32_t pieces, quads;             /* quads: read by four; */
	struct cuda_div by_inner, by_channels, by_pieces;
	double eps;
	double inv_n;
	int32_t gamma, beta, mean, inv; /* 0 if one number is for all channels, else 1 */
	bool from_var;                  /* inv has variances: 1 / sqrt(inv + var_eps) is meant */
	float var_eps;
};

/* Count, mean and summed squared distances from it. */
struct stats {
	double n, mean, m2;
};
static __device__ __forceinline__ stats join(const stats &a, const stats &b)
{
	stats c;
	c.n = a.n + b.n;
	if (c.n == 0)
		return a;
	double d = b.mean - a.mean, w = b.n / c.n;
	c.mean = a.mean + d * w;
	c.m2 = a.m2 + b.m2 + d * d * a.n * w;
	return c;
}
struct pair { /* sums of g and of g (x - mean) */
	double g, gx;
};
static __device__ __forceinline__ pair join(const pair &a, const pair &b)
{
	pair c = { a.g + b.g, a.gx + b.gx };
	return c;
}
static __device__ __forceinline__ stats down(const stats &a, int d)
{
	stats b = { __shfl_down_sync(CUDA_LANES, a.n, d), __shfl_down_sync(CUDA_LANES, a.mean, d),
		        __shfl_down_sync(CUDA_LANES, a.m2, d) };
	return b;
}
static __device__ __forceinline__ pair down(const pair &a, int d)
{
	pair b = { __shfl_down_sync(CUDA_LANES, a.g, d), __shfl_down_sync(CUDA_LANES, a.gx, d) };
	return b;
}
/* All of a block's joined, in thread 0. */
template <class S>
static __device__ __forceinline__ S block_join(S s, S *room)
{
	for (int d = 16; d; d >>= 1) {
		S other = down(s, d);
		s = join(s, other);
	}
	__syncthreads();
	if (threadIdx.x % 32 == 0)
		room[threadIdx.x / 32] = s;
	__syncthreads();
	if (threadIdx.x == 0)
		for (unsigned w = 1; w < blockDim.x / 32; w++)
			s = join(s, room[w]);
	return s;
}

/* Where a channel's results go: mean and variance, or dgamma and dbeta; and what phase two
 * needs: result = a[0] x + a[1], or a[0] g + a[1] x + a[2], in the channel's four floats. */
struct results {
	float *first, *second; /* each may be NULL */
	float4 *apply;         /* NULL: statistics only */
	const float *gamma, *beta, *mean, *inv;
};

/* What a thread gathers, element by element. */
struct gather_stats {
	typedef stats result;
	double x0, s1, s2;
	int n;
	__device__ __forceinline__ void begin(const struct norm &, const struct results &, int64_t) {}
	__device__ __forceinline__ void add(float x, float)
	{
		if (n++ == 0)
			x0 = (double)x;
		double d = (double)x - x0;
		s1 += d;
		s2 = fma(d, d, s2);
	}
	__device__ __forceinline__ stats end() const
	{
		stats s = { (double)n, 0, 0 };
		if (n) {
			s.mean = x0 + s1 / n;
			double m2 = s2 - s1 * s1 / n;
			s.m2 = m2 < 0 ? 0 : m2; /* NaN stays */
		}
		return s;
	}
};
struct gather_pair {
	typedef pair result;
	double mean;
	pair s;
	__device__ __forceinline__ void begin(const struct norm &v, const struct results &r, int64_t c)
	{
		mean = (double)r.mean[c * v.mean];
	}
	__device__ __forceinline__ void add(float x, float g)
	{
		s.g += (double)g;
		s.gx = fma((double)g, (double)x - mean, s.gx);
	}
	__device__ __forceinline__ pair end() const { return s; }
};

static __device__ __forceinline__ void finish(const struct norm &v, const results &r, int64_t c, const stats &s)
{
	double var = s.m2 * v.inv_n;
	if (r.first)
		r.first[c] = (float)s.mean;
	if (r.second)
		r.second[c] = (float)var;
	if (r.apply) {
		double scale = (double)r.gamma[c * v.gamma] / sqrt(var + v.eps);
		/* the mean rounded in x - mean is made good in the shift */
		float m = (float)s.mean;
		double shift = (double)r.beta[c * v.beta] + ((double)m - s.mean) * scale;
		r.apply[c] = make_float4(m, (float)scale, (float)shift, 0);
	}
}
/* dx = gamma r (g - dbeta / n - (x - mean) r^2 sum(g (x - mean)) / n) */
static __device__ __forceinline__ void finish(const struct norm &v, const results &r, int64_t c, const pair &s)
{
	float at = r.inv[c * v.inv];
	double inv = (double)(v.from_var ? 1.0f / sqrtf(at + v.var_eps) : at), scale = (double)r.gamma[c * v.gamma] * inv;
	if (r.first)
		r.first[c] = (float)(s.gx * inv);
	if (r.second)
		r.second[c] = (float)s.g;
	if (r.apply)
		r.apply[c] =
			make_float4(r.mean[c * v.mean], (float)scale, (float)(s.g * v.inv_n), (float)(s.gx * inv * inv * v.inv_n));
}

/* Element e of channel c: its place in the tensor. */
static __device__ __forceinline__ size_t place(const struct norm &v, int64_t c, uint32_t e)
{
	uint32_t in_row = e, row = cuda_split(in_row, v.by_inner);
	return (size_t)((row * v.channels + c) * v.inner) + in_row;
}

/* What a channel's last block does: joins the pieces in ascending order. */
template <class G, class S>
static __device__ __forceinline__ void join_pieces(const struct norm &v, const results &r, int64_t c, const S *partial,
                                                   S *room)
{
	S s = G().end(); /* of nothing */
	for (int k = threadIdx.x; k < v.pieces; k += blockDim.x)
		s = join(s, partial[c * v.pieces + k]);
	s = block_join(s, room);
	if (threadIdx.x == 0)
		finish(v, r, c, s);
}
template <class G>
static __device__ __forceinline__ G gatherer(const struct norm &v, const results &r, int64_t c)
{
	G g = G();
	g.begin(v, r, c);
	return g;
}

/* Phase one, lanes along inner: block channel pieces + piece. */
template <class G>
__global__ void __launch_bounds__(256)
	norm_wide(struct norm v, const float *__restrict__ x, const float *__restrict__ g, typename G::result *partial,
              uint32_t *ticket, struct results r)
{
	typedef typename G::result S;
	__shared__ S room[8];
	uint32_t piece = blockIdx.x;
	const int64_t c = cuda_split(piece, v.by_pieces);
	const uint32_t e0 = piece * (uint32_t)v.len;
	const uint32_t e1 = e0 + v.len <= v.n ? e0 + (uint32_t)v.len : (uint32_t)v.n;
	G all = gatherer<G>(v, r, c);
	if (v.quads) {
		for (uint32_t e = e0 + threadIdx.x * 4; e < e1; e += blockDim.x * 4) {
			size_t at = place(v, c, e);
			float4 a = *reinterpret_cast<const float4 *>(x + at), b = a;
			if (g)
				b = *reinterpret_cast<const float4 *>(g + at);
			all.add(a.x, b.x);
			all.add(a.y, b.y);
			all.add(a.z, b.z);
			all.add(a.w, b.w);
		}
	} else {
		for (uint32_t e = e0 + threadIdx.x; e < e1; e += blockDim.x) {
			size_t at = place(v, c, e);
			all.add(x[at], g ? g[at] : 0);
		}
	}
	S s = block_join(all.end(), room);
	if (v.pieces == 1) {
		if (threadIdx.x == 0)
			finish(v, r, c, s);
		return;
	}
	if (threadIdx.x == 0)
		partial[c * v.pieces + piece] = s;
	if (cuda_last_block(ticket + c, (uint32_t)v.pieces))
		join_pieces<G>(v, r, c, partial, room);
}

/* Phase one, inner = 1: block (32 channels) pieces + piece, lanes along channels, 8 rows at a time. */
template <class G>
__global__ void __launch_bounds__(256)
	norm_tall(struct norm v, const float *__restrict__ x, const float *__restrict__ g, typename G::result *partial,
              uint32_t *ticket, struct results r)
{
	typedef typename G::result S;
	__shared__ S room[8][32];
	const int lane = threadIdx.x % 32, strip = threadIdx.x / 32;
	uint32_t piece = blockIdx.x;
	const uint32_t group = cuda_split(piece, v.by_pieces);
	const int64_t c = (int64_t)group * 32 + lane, r0 = piece * v.len;
	const int64_t r1 = r0 + v.len <= v.outer ? r0 + v.len : v.outer;
	const bool mine = c < v.channels;
	G all = gatherer<G>(v, r, mine ? c : 0);
	for (int64_t row = r0 + strip; row < r1 && mine; row += 8)
		all.add(x[row * v.channels + c], g ? g[row * v.channels + c] : 0);
	room[strip][lane] = all.end();
	__syncthreads();
	S s = room[0][lane];
	for (int k = 1; k < 8; k++)
		s = join(s, room[k][lane]);
	if (v.pieces > 1) {
		if (strip == 0 && mine)
			partial[c * v.pieces + piece] = s;
		if (!cuda_last_block(ticket + group, (uint32_t)v.pieces))
			return;
		s = G().end();
		for (int k = strip; k < v.pieces && mine; k += 8)
			s = join(s, partial[c * v.pieces + k]);
		room[strip][lane] = s;
		__syncthreads();
		s = room[0][lane];
		for (int k = 1; k < 8; k++)
			s = join(s, room[k][lane]);
	}
	if (strip == 0 && mine)
		finish(v, r, c, s);
}

/* y of one element */
template <bool DX>
static __device__ __forceinline__ float applied(const float4 &a, float x, float g)
{
	return DX ? a.y * (g - a.z - (x - a.x) * a.w) : fmaf(x - a.x, a.y, a.z);
}

/* Phase two: y = (x - mean) scale + shift, or dx = scale (g - b - (x - mean) a); a thread makes
 * W elements, 4 of them at a time if inner is a multiple of 4. */
template <bool DX, int W>
__global__ void norm_apply(struct norm v, const float *__restrict__ x, const float *__restrict__ g,
                           const float4 *__restrict__ apply, float *__restrict__ y, struct tile_end end)
{
	for (CUDA_EACH(e, v.channels * v.n / W)) {
		uint32_t row = cuda_quot((uint32_t)(e * W), v.by_inner);
		cuda_split(row, v.by_channels);
		const float4 a = apply[row];
		if (W == 4) {
			float4 p = reinterpret_cast<const float4 *>(x)[e], q = p;
			if (DX)
				q = reinterpret_cast<const float4 *>(g)[e];
			const float r[4] = { applied<DX>(a, p.x, q.x), applied<DX>(a, p.y, q.y), applied<DX>(a, p.z, q.z),
				                 applied<DX>(a, p.w, q.w) };
			const size_t at = (size_t)e * 4;
			reinterpret_cast<float4 *>(y)[e] = make_float4(tile_act(end, at, r[0]), tile_act(end, at + 1, r[1]),
			                                               tile_act(end, at + 2, r[2]), tile_act(end, at + 3, r[3]));
		} else {
			tile_put(end, y, (size_t)e, 0, applied<DX>(a, x[e], DX ? g[e] : 0));
		}
	}
}

/* Both phases for a channel of at most R blockDim.x elements, kept in registers: block per channel. */
template <class G, bool DX, int R>
__global__ void __launch_bounds__(512)
	norm_once(struct norm v, const float *__restrict__ x, const float *__restrict__ g, struct results r, float4 *apply,
              float *__restrict__ y, struct tile_end end)
{
	typedef typename G::result S;
	__shared__ S room[16];
	__shared__ float4 how;
	const int64_t c = blockIdx.x;
	const uint32_t count = (uint32_t)v.n;
	float a[R], b[R];
	G all = gatherer<G>(v, r, c);
	CUDA_UNROLL
	for (int k = 0; k < R; k++) {
		uint32_t e = threadIdx.x + k * blockDim.x;
		a[k] = b[k] = 0;
		if (e < count) {
			size_t at = place(v, c, e);
			a[k] = x[at];
			if (DX)
				b[k] = g[at];
		}
	}
	CUDA_UNROLL
	for (int k = 0; k < R; k++)
		if (threadIdx.x + k * blockDim.x < count)
			all.add(a[k], b[k]);
	r.apply = apply;
	S s = block_join(all.end(), room);
	if (threadIdx.x == 0) {
		finish(v, r, c, s);
		how = apply[c];
	}
	__syncthreads();
	CUDA_UNROLL
	for (int k = 0; k < R; k++) {
		uint32_t e = threadIdx.x + k * blockDim.x;
		if (e < count)
			tile_put(end, y, place(v, c, e), 0, applied<DX>(how, a[k], b[k]));
	}
}

/* --- host -------------------------------------------------------------------------------- */
/* Blocks that phase one is cut into, about: enough for any device's multiprocessors, few enough
 * that joining is cheap. A constant, so that the same shape gives the same bits everywhere. */
#define NORM_BLOCKS 512
#define NORM_PIECE  1024 /* elements a piece has at least */
#define NORM_ONCE   8192 /* elements of a channel that registers of one block hold */

/* x as (outer, channels, inner) for statistics over `axes`. */
static bool norm_of(const struct rein_prog_value *x, uint32_t axes, struct norm *v)
{
	memset(v, 0, sizeof *v);
	v->outer = v->channels = v->inner = 1;
	int at = 0; /* 0 reduced in front, 1 kept, 2 reduced behind */
	for (uint32_t a = 0; a < x->rank; a++) {
		if (x->dim[a] == 1)
			continue;
		bool reduced = axes >> a & 1;
		if (!reduced && at == 2)
			return false;
		at = !reduced ? 1 : at == 1 ? 2 : at;
		*(at == 0 ? &v->outer : at == 1 ? &v->channels : &v->inner) *= x->dim[a];
	}
	v->n = v->outer * v->inner;
	v->inv_n = 1.0 / (double)v->n;
	if (v->channels == 1) { /* all in one piece of memory, however it is cut */
		v->inner = v->n % 4 ? 1 : 4;
		v->outer = v->n / v->inner;
	}
	v->by_inner = cuda_div_by(v->inner);
	v->by_channels = cuda_div_by(v->channels);
	return true;
}
/* (N, C): lanes are channels. */
static bool tall(const struct norm *v) { return v->inner == 1 && v->channels > 1; }

/* Pieces of a channel, all by shape. */
static void cut(struct norm *v, bool aligned)
{
	int64_t groups = tall(v) ? (v->channels + 31) / 32 : v->channels;
	int64_t least = tall(v) ? 64 : NORM_PIECE, most = (v->n + least - 1) / least;
	int64_t want = (NORM_BLOCKS + groups - 1) / groups;
	int64_t pieces = want < most ? want : most;
	v->len = ((v->n + pieces - 1) / pieces + 3) / 4 * 4;
	v->pieces = (int32_t)((v->n + v->len - 1) / v->len);
	v->by_pieces = cuda_div_by(v->pieces);
	v->quads = aligned && v->inner % 4 == 0;
}

/* Workspace: partial results, then four floats per channel. */
static int64_t partial_bytes(const struct norm *v) { return v->channels * v->pieces * (int64_t)sizeof(struct stats); }

static bool once(const struct norm *v)
{
	return !tall(v) && v->n <= NORM_ONCE && (v->n <= NORM_PIECE || v->channels >= 32);
}

template <class G, bool DX>
static rein_status launch(struct cuda_build *b, const struct norm *v, const float *x, const float *g, struct results r,
                          float *y, const struct tile_end *end)
{
	typedef typename G::result S;
	S *partial = static_cast<S *>(b->work);
	float4 *apply = reinterpret_cast<float4 *>(static_cast<char *>(b->work) + (partial_bytes(v) + 15) / 16 * 16);
	if (y && once(v)) {
		unsigned block = v->n <= 256 ? 64 : v->n <= 2048 ? 256 : 512;
		if (v->n <= 4 * block)
			return cuda_launch(b, (norm_once<G, DX, 4>), (unsigned)v->channels, block, 0, *v, x, g, r, apply, y, *end);
		if (v->n <= 8 * block)
			return cuda_launch(b, (norm_once<G, DX, 8>), (unsigned)v->channels, block, 0, *v, x, g, r, apply, y, *end);
		return cuda_launch(b, (norm_once<G, DX, 16>), (unsigned)v->channels, block, 0, *v, x, g, r, apply, y, *end);
	}
	int64_t groups = tall(v) ? (v->channels + 31) / 32 : v->channels;
	uint32_t *ticket = v->pieces > 1 ? cuda_tickets(b, groups) : NULL;
	if (v->pieces > 1 && !ticket)
		return REIN_ERROR;
	r.apply = y ? apply : NULL;
	unsigned grid = (unsigned)(groups * v->pieces);
	rein_status s = tall(v) ? cuda_launch(b, (norm_tall<G>), grid, 256, 0, *v, x, g, partial, ticket, r)
	                        : cuda_launch(b, (norm_wide<G>), grid, 256, 0, *v, x, g, partial, ticket, r);
	if (s < 0 || !y)
		return s;
	int64_t count = v->channels * v->n;
	if (v->quads)
		return cuda_launch(b, (norm_apply<DX, 4>), cuda_blocks(count / 4, 256), 256, 0, *v, x, g, apply, y, *end);
	return cuda_launch(b, (norm_apply<DX, 1>), cuda_blocks(count, 256), 256, 0, *v, x, g, apply, y, *end);
}

static bool supports(const struct rein_program *p, const struct rein_prog_instr *i)
{
	struct norm v;
	return (i->op == REIN_OP_MOMENTS || i->op == REIN_OP_BATCH_NORM || i->op == REIN_OP_BATCH_NORM_DX) &&
	       cuda_small(p, i) && norm_of(&p->value[i->in[0]], i->attr.axes, &v);
}

static int64_t workspace(const struct cuda *cuda, const struct rein_program *p, int32_t n, const int32_t *instr)
{
	(void)cuda;
	struct norm v;
	const struct rein_prog_instr *i = tail_head(p, n, instr);
	norm_of(&p->value[i->in[0]], i->attr.axes, &v);
	cut(&v, false);
	return (partial_bytes(&v) + 15) / 16 * 16 + v.channels * (int64_t)sizeof(float4);
}

/* 1 / sqrt(var + eps) that batch_norm_dx is given and nobody else reads: div, sqrt, add. */
struct inverse {
	int32_t op[3], var;
	float eps;
};
static bool number_of(const struct rein_program *p, int32_t v, float *x)
{
	const struct rein_prog_instr *i = &p->instr[p->value[v].instr];
	if (i->op != REIN_OP_CONST || p->value[v].count != 1 || p->value[v].dtype != REIN_REAL_T)
		return false;
	*x = i->attr.data ? *static_cast<const float *>(i->attr.data) : (float)i->attr.par[0];
	return true;
}
static bool find_inverse(const struct rein_program *p, const struct rein_prog_instr *dx, struct inverse *d)
{
	static const uint32_t want[] = { REIN_OP_DIV, REIN_OP_SQRT, REIN_OP_ADD };
	int32_t v = dx->op == REIN_OP_BATCH_NORM_DX ? dx->in[3] : -1;
	float one = 0;
	for (int k = 0; k < 3 && v >= 0; k++) {
		const struct rein_prog_instr *i = &p->instr[p->value[v].instr];
		if (i->op != want[k] || p->value[v].uses != 1)
			return false;
		d->op[k] = p->value[v].instr;
		if (k == 0 && (!number_of(p, i->in[0], &one) || one != 1))
			return false;
		if (k == 2 && !number_of(p, i->in[1], &d->eps))
			return false;
		v = i->in[k == 0];
	}
	d->var = v;
	return v >= 0 && p->value[v].count == p->value[dx->in[3]].count;
}

static bool has_tail(const struct rein_prog_instr *i) { return i->op == REIN_OP_BATCH_NORM; }

static rein_status match(struct cuda *cuda, const struct rein_program *p, struct rein_plan *plan)
{
	(void)cuda;
	tail_match_early(p, plan, has_tail);
	for (int32_t k = 0; k < (int32_t)p->n_instr; k++) {
		struct inverse d;
		if (!find_inverse(p, &p->instr[k], &d))
			continue;
		int32_t list[] = { d.op[2], d.op[1], d.op[0], k };
		bool alone = true;
		for (int m = 0; m < 4; m++)
			alone = alone && plan->kernel[list[m]] == list[m];
		if (alone && cuda_may_join(p, plan, 4, list))
			cuda_join(p, plan, 4, list);
	}
	return REIN_OK;
}

static bool by_four(const void *p) { return ((uintptr_t)p & 15) == 0; }

static rein_status emit(struct cuda_build *b, int32_t n, const int32_t *instr)
{
	const struct rein_prog_instr *i = tail_head(b->p, n, instr);
	const struct rein_prog_value *x = cuda_in(b, i, 0);
	bool dx = i->op == REIN_OP_BATCH_NORM_DX, alone = i->op == REIN_OP_MOMENTS;
	const float *from = cuda_in_mem<float>(b, i, 0), *g = dx ? cuda_in_mem<float>(b, i, 4) : NULL;
	struct tile_end end;
	float *y = tail_of(b, n, instr, 0, &end);
	struct norm v;
	norm_of(x, i->attr.axes, &v);
	cut(&v, by_four(from) && by_four(g) && (alone || by_four(y)));
	v.eps = i->attr.par[0];
	struct results r = {
		cuda_out_mem<float>(b, i, alone ? 0 : 1), cuda_out_mem<float>(b, i, alone ? 1 : 2), NULL, NULL, NULL, NULL, NULL
	};
	if (alone)
		return launch<gather_stats, false>(b, &v, from, NULL, r, NULL, &end);
	r.gamma = cuda_in_mem<float>(b, i, 1);
	v.gamma = cuda_in(b, i, 1)->count > 1;
	if (!dx) {
		r.beta = cuda_in_mem<float>(b, i, 2);
		v.beta = cuda_in(b, i, 2)->count > 1;
		return launch<gather_stats, false>(b, &v, from, NULL, r, y, &end);
	}
	r.mean = cuda_in_mem<float>(b, i, 2);
	struct inverse d;
	v.from_var = n > 1 && find_inverse(b->p, i, &d);
	v.var_eps = v.from_var ? d.eps : 0;
	r.inv = v.from_var ? static_cast<const float *>(b->mem[d.var]) : cuda_in_mem<float>(b, i, 3);
	v.mean = cuda_in(b, i, 2)->count > 1;
	v.inv = cuda_in(b, i, 3)->count > 1;
	return launch<gather_pair, true>(b, &v, from, g, r, y, &end);
}

extern const struct cuda_family cuda_norm = { "norm", supports, workspace, emit, match };
