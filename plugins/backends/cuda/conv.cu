/* SPDX-License-Identifier: MIT
 *
 * conv.cu: convolutions of any stride, padding, dilation and groups, and their derivatives, as
 * products whose operands are read through the window while they go to shared memory (implicit
 * GEMM, no patches in memory; Chetlur et al. 2014). Tiles of tile.h, float32 or, with `math` tf32 or
 * bf16, tensor cores with TF32 operands.
 *
 *   forward, dx   rows: places of all images (N U V), columns: channels of the result, k: channels
 *                 of the source times taps (conv.h)
 *   dw            rows: output channels, columns: (input channel, tap), k: places of all images; cut
 *                 along k, parts added in ascending order
 *
 * Bound: 2 N Ho Wo O C/G kh kw operations a pass over 67 TFLOP/s in float32; 4 (x + w + y) bytes. Reads of
 * the source hit L1 and L2 (each number is in kh kw patches). Where the columns are few, as in
 * the first layers of small nets, conv_direct.cu takes over.
 */
#include "conv.h"

/* --- forward and dx -------------------------------------------------------------------------- */
struct places { /* of the result, as rows of a product */
	uint32_t rows;
	struct cuda_div by_plane, by_row, by_taps, by_tap_row;
	int K, tiles_m, tiles_n;
};

template <class C>
struct load_gather {
	static const bool A_ALONG_K = false, B_ALONG_K = true;
	const float *x, *w; /* of this group */
	const struct gather &v;
	const struct places &p;
	int4 (*table)[C::BK]; /* [2]: offset of the tap in the source, its row and column, in the weight */
	int n0, h, u;         /* column of the tile; the thread's place in the source */
	bool real;
	int64_t at;
	__device__ __forceinline__ load_gather(const struct gather &v_, const struct places &p_) : v(v_), p(p_) {}

	__device__ __forceinline__ void place(uint32_t row)
	{
		real = row < p.rows;
		uint32_t q = real ? row : 0, n = cuda_split(q, p.by_plane), i = cuda_split(q, p.by_row);
		h = (int)i * v.h.s + v.h.b;
		u = (int)q * v.w.s + v.w.b;
		at = (int64_t)n * v.G * v.channels * v.H * v.W + (int64_t)h * v.W + u;
	}
	__device__ __forceinline__ void prepare(int k, int buffer)
	{
		if (threadIdx.x >= C::BK)
			return;
		uint32_t tap = (uint32_t)k + threadIdx.x;
		int4 t = make_int4(0, 1 << 30, 0, -1);
		if (tap < (uint32_t)p.K) {
			int ch = (int)cuda_split(tap, p.by_taps), i = (int)cuda_split(tap, p.by_tap_row), j = (int)tap;
			t.y = i * v.h.e;
			t.z = j * v.w.e;
			t.x = ch * v.H * v.W + t.y * v.W + t.z;
			t.w = ch * v.wch + (v.h.w0 + i * v.h.w) * v.kw + v.w.w0 + j * v.w.w;
		}
		table[buffer][threadIdx.x] = t;
	}
	__device__ __forceinline__ float a(int, int, int i, int buffer) const
	{
		const int4 t = table[buffer][i];
		bool in = real && (unsigned)(h + t.y) < (unsigned)v.H && (unsigned)(u + t.z) < (unsigned)v.W;
		return in ? x[at + t.x] : 0;
	}
	__device__ __forceinline__ float b(int col, int, int i, int buffer) const
	{
		const int t = table[buffer][i].w;
		return t >= 0 && n0 + col < v.cols ? w[(size_t)(n0 + col) * v.wcol + t] : 0;
	}
};

/* Block (group tiles_m + tile of rows) tiles_n + tile of columns. */
template <class C>
__global__ void __launch_bounds__(C::THREADS, 1)
	conv_gather(struct gather v, struct places p, const float *__restrict__ x, const float *__restrict__ w,
                float *__restrict__ y, struct tile_end end)
{
	__shared__ int4 table[2][C::BK];
	__shared__ struct tile_room<C> room;
	const int tile_n = (int)(blockIdx.x % p.tiles_n), rest = (int)(blockIdx.x / p.tiles_n);
	const int group = rest / p.tiles_m;
	const uint32_t m0 = (uint32_t)(rest % p.tiles_m) * C::BM;
	load_gather<C> load(v, p);
	load.x = x + (size_t)group * v.channels * v.H * v.W;
	load.w = w + (size_t)group * v.wgroup;
	load.table = table;
	load.n0 = tile_n * C::BN;
	load.place(m0 + threadIdx.x % C::BM);
	C c;
	tile_product(c, load, room, 0, p.K);
	auto write = [&](int row, int col, float &e) {
		uint32_t q = m0 + row;
		if (q >= p.rows || load.n0 + col >= v.cols)
			return;
		uint32_t n = cuda_split(q, p.by_plane), i = cuda_split(q, p.by_row);
		int ch = group * v.cols + load.n0 + col;
		size_t to = ((size_t)n * v.G * v.cols + ch) * v.out_H + i * v.h.o + v.h.a;
		tile_put(end, y, to * v.out_W + q * v.w.o + v.w.a, ch, e);
	};
	c.each(write);
}

/* --- dw ---------------------------------------------------------------------------------------- */
struct weights { /* columns (c,i,j) of the product, and how the places are cut */
	int cols, tiles_m, tiles_n, splits;
	uint32_t K, k_len; /* N Ho Wo */
	struct cuda_div by_plane, by_row, by_taps, by_tap_row;
};

template <class C>
struct load_dw {
	static const bool A_ALONG_K = true, B_ALONG_K = true;
	const float *x, *g; /* of this group */
	const struct conv &v;
	const struct weights &p;
	int4 (*table)[C::BK]; /* [2]: place in g, in x; row and column in x of a window's first tap */
	const int4 *col;      /* [BN]: offset of a column's channel and tap in x, its row and column */
	int m0, k1;
	__device__ __forceinline__ load_dw(const struct conv &v_, const struct weights &p_) : v(v_), p(p_) {}

	__device__ __forceinline__ void prepare(int k, int buffer)
	{
		if (threadIdx.x >= C::BK)
			return;
		uint32_t q = (uint32_t)k + threadIdx.x;
		int4 t = make_int4(-1, 0, 1 << 30, 0);
		if (q < (uint32_t)k1) {
			int n = (int)cuda_split(q, p.by_plane);
			t.x = n * v.O * v.Ho * v.Wo + (int)q;
			int i = (int)cuda_split(q, p.by_row);
			t.z = i * v.sh - v.ph;
			t.w = (int)q * v.sw - v.pw;
			t.y = n * v.C * v.H * v.W + t.z * v.W + t.w;
		}
		table[buffer][threadIdx.x] = t;
	}
	__device__ __forceinline__ float a(int row, int, int i, int buffer) const
	{
		const int t = table[buffer][i].x;
		return t >= 0 && m0 + row < v.Og ? g[(size_t)(m0 + row) * v.Ho * v.Wo + t] : 0;
	}
	__device__ __forceinline__ float b(int c, int, int i, int buffer) const
	{
		const int4 t = table[buffer][i], s = col[c];
		bool in = (unsigned)(t.z + s.y) < (unsigned)v.H && (unsigned)(t.w + s.z) < (unsigned)v.W;
		return in ? x[(int64_t)t.y + s.x] : 0;
	}
};

/* Block ((group tiles_m + tile of rows) tiles_n + tile of columns) splits + split. */
template <class C>
__global__ void __launch_bounds__(C::THREADS, 1)
	conv_weights(struct conv v, struct weights p, const float *__restrict__ x, const float *__restrict__ g,
                 float *__restrict__ dw, float *part, uint32_t *ticket)
{
	__shared__ int4 table[2][C::BK], col[C::BN];
	__shared__ struct tile_room<C> room;
	const int split = (int)(blockIdx.x % p.splits), tile = (int)(blockIdx.x / p.splits);
	const int n0 = tile % p.tiles_n * C::BN, rest = tile / p.tiles_n, group = rest / p.tiles_m;
	const int m0 = rest % p.tiles_m * C::BM;
	const uint32_t k0 = split * p.k_len, k1 = p.K - k0 < p.k_len ? p.K : k0 + p.k_len;
	for (int c = threadIdx.x; c < C::BN; c += C::THREADS) {
		uint32_t tap = (uint32_t)(n0 + c);
		int4 t = make_int4(0, 1 << 29, 0, 0);
		if ((int)tap < p.cols) {
			int ch = (int)cuda_split(tap, p.by_taps), i = (int)cuda_split(tap, p.by_tap_row);
			t.y = i * v.dh;
			t.z = (int)tap * v.dw;
			t.x = ch * v.H * v.W + t.y * v.W + t.z;
		}
		col[c] = t;
	}
	load_dw<C> load(v, p);
	load.x = x + (size_t)group * v.Cg * v.H * v.W;
	load.g = g + (size_t)group * v.Og * v.Ho * v.Wo;
	load.table = table, load.col = col;
	load.m0 = m0, load.k1 = (int)k1;
	C c;
	tile_product(c, load, room, (int)k0, (int)k1);
	if (!tile_gather(c, part, ticket, tile, split, p.splits))
		return;
	auto write = [&](int row, int n, float &e) {
		if (m0 + row < v.Og && n0 + n < p.cols)
			dw[(size_t)(group * v.Og + m0 + row) * p.cols + n0 + n] = e;
	};
	c.each(write);
}

/* --- host ---------------------------------------------------------------------------------------- */
typedef tile_ffma<128, 64, 8, 8, 8> tile_wide;    /* 128 threads */
typedef tile_ffma<64, 64, 16, 4, 8> tile_square;  /* 128 threads */
typedef tile_ffma<128, 32, 16, 8, 4> tile_narrow; /* 128 threads */
typedef tile_ffma<128, 16, 16, 4, 4> tile_thin;   /* 128 threads */
typedef tile_tf32<128, 32, 16, 4, 1> tile_tensor_narrow;
/* dw: few rows, many columns */
typedef tile_ffma<16, 64, 16, 4, 4> tile_dw_thin;  /* 64 threads */
typedef tile_ffma<32, 64, 16, 4, 8> tile_dw;       /* 64 threads */
typedef tile_ffma<64, 64, 16, 8, 4> tile_dw_large; /* 128 threads */
typedef tile_tf32<64, 64, 16, 2, 2> tile_dw_tensor;

#define WANTED     512 /* blocks of dw: a constant, so that a shape gives the same bits everywhere */
#define DW_MIN_K   256 /* places of a split */
#define MAX_SPLITS 256

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

static struct weights weights_of(const struct conv *v, int bm, int bn)
{
	struct weights p;
	p.cols = v->Cg * v->kh * v->kw;
	p.tiles_m = (int)ceil_div(v->Og, bm), p.tiles_n = (int)ceil_div(p.cols, bn);
	p.K = (uint32_t)((int64_t)v->N * v->Ho * v->Wo);
	int64_t splits = WANTED / ((int64_t)v->G * p.tiles_m * p.tiles_n), most = p.K / DW_MIN_K;
	splits = splits > most ? most : splits;
	splits = splits > MAX_SPLITS ? MAX_SPLITS : splits < 1 ? 1 : splits;
	p.k_len = (uint32_t)(ceil_div(ceil_div(p.K, splits), 16) * 16);
	p.splits = (int)ceil_div(p.K, p.k_len);
	p.by_plane = cuda_div_by((int64_t)v->Ho * v->Wo);
	p.by_row = cuda_div_by(v->Wo);
	p.by_taps = cuda_div_by((int64_t)v->kh * v->kw);
	p.by_tap_row = cuda_div_by(v->kw);
	return p;
}

enum { DW_THIN, DW_MIDDLE, DW_LARGE, DW_TENSOR };
static int dw_tile(const struct conv *v, bool tensor, int *bm)
{
	int how = tensor && v->Og > 16 ? DW_TENSOR : v->Og <= 16 ? DW_THIN : v->Og <= 32 ? DW_MIDDLE : DW_LARGE;
	*bm = how == DW_THIN ? 16 : how == DW_MIDDLE ? 32 : 64;
	return how;
}

template <class C>
static rein_status emit_dw(struct cuda_build *b, const struct conv *v, const float *x, const float *g, float *dw)
{
	struct weights p = weights_of(v, C::BM, C::BN);
	int64_t tiles = (int64_t)v->G * p.tiles_m * p.tiles_n;
	uint32_t *ticket = p.splits > 1 ? cuda_tickets(b, tiles) : NULL;
	if (p.splits > 1 && !ticket)
		return REIN_ERROR;
	return cuda_launch(b, (conv_weights<C>), (unsigned)(tiles * p.splits), C::THREADS, 0, *v, p, x, g, dw,
	                   static_cast<float *>(b->work), ticket);
}

template <class C>
static rein_status emit_tile(struct cuda_build *b, const struct gather *v, const float *x, const float *w, float *y,
                             const struct tile_end *end)
{
	struct places p;
	int64_t plane = (int64_t)v->h.places * v->w.places, taps = (int64_t)v->h.taps * v->w.taps;
	p.rows = (uint32_t)(v->N * plane);
	p.by_plane = cuda_div_by(plane);
	p.by_row = cuda_div_by(v->w.places);
	p.by_taps = cuda_div_by(taps ? taps : 1);
	p.by_tap_row = cuda_div_by(v->w.taps ? v->w.taps : 1);
	p.K = (int)(v->channels * taps);
	p.tiles_m = (int)ceil_div(p.rows, C::BM), p.tiles_n = (int)ceil_div(v->cols, C::BN);
	return cuda_launch(b, (conv_gather<C>), (unsigned)((int64_t)v->G * p.tiles_m * p.tiles_n), C::THREADS, 0, *v, p, x,
	                   w, y, *end);
}

static rein_status emit_gather(struct cuda_build *b, const struct gather *v, const float *x, const float *w, float *y,
                               const struct tile_end *end)
{
	if (v->h.places <= 0 || v->w.places <= 0)
		return REIN_OK;
	if (conv_direct_gather(v))
		return conv_direct_launch(b, v, x, w, y, end);
	bool tensor = b->cuda->math_key != CUDA_FP32;
	int64_t blocks = ceil_div((int64_t)v->N * v->h.places * v->w.places, 128) * ceil_div(v->cols, 64) * v->G;
	if (tensor && v->cols > 32)
		return conv_tensor_launch(b, v, x, w, y, end);
	if (tensor && v->cols > 16)
		return emit_tile<tile_tensor_narrow>(b, v, x, w, y, end);
	if (v->cols <= 16)
		return emit_tile<tile_thin>(b, v, x, w, y, end);
	if (v->cols <= 32)
		return emit_tile<tile_narrow>(b, v, x, w, y, end);
	return blocks < 256 ? emit_tile<tile_square>(b, v, x, w, y, end) : emit_tile<tile_wide>(b, v, x, w, y, end);
}

static bool supports(const struct rein_program *p, const struct rein_prog_instr *i)
{
	return (i->op == REIN_OP_CONV2D || i->op == REIN_OP_CONV2D_DX || i->op == REIN_OP_CONV2D_DW) && cuda_small(p, i);
}

static int64_t workspace(const struct cuda *cuda, const struct rein_program *p, int32_t n, const int32_t *instr)
{
	int bm;
	const struct rein_prog_instr *i = tail_head(p, n, instr);
	if (i->op != REIN_OP_CONV2D_DW)
		return 0;
	struct conv v = conv_of(p, i);
	dw_tile(&v, cuda->math_key != CUDA_FP32, &bm);
	struct weights w = weights_of(&v, bm, 64);
	return w.splits == 1 ? 0 : (int64_t)v.G * w.tiles_m * w.tiles_n * w.splits * bm * 64 * 4;
}

static rein_status emit(struct cuda_build *b, int32_t n, const int32_t *instr)
{
	int bm;
	const struct rein_prog_instr *i = tail_head(b->p, n, instr);
	struct conv v = conv_of(b->p, i);
	const float *p = cuda_in_mem<float>(b, i, 0), *q = cuda_in_mem<float>(b, i, 1);
	struct tile_end end;
	float *y = tail_of(b, n, instr, 3, &end);
	bool back = i->op == REIN_OP_CONV2D_DX;
	if (i->op == REIN_OP_CONV2D_DW) {
		switch (dw_tile(&v, b->cuda->math_key != CUDA_FP32, &bm)) {
		case DW_THIN: return emit_dw<tile_dw_thin>(b, &v, p, q, y);
		case DW_MIDDLE: return emit_dw<tile_dw>(b, &v, p, q, y);
		case DW_LARGE: return emit_dw<tile_dw_large>(b, &v, p, q, y);
		default: return emit_dw<tile_dw_tensor>(b, &v, p, q, y);
		}
	}
	rein_status s = REIN_OK;
	for (int ph = 0; ph < (back ? v.sh : 1) && s >= 0; ph++)
		for (int pw = 0; pw < (back ? v.sw : 1) && s >= 0; pw++) {
			struct gather g = gather_of(&v, back, ph, pw);
			s = emit_gather(b, &g, p, q, y, &end);
		}
	return s;
}

static bool has_tail(const struct rein_prog_instr *i) { return i->op == REIN_OP_CONV2D || i->op == REIN_OP_CONV2D_DX; }

static rein_status match(struct cuda *cuda, const struct rein_program *p, struct rein_plan *plan)
{
	(void)cuda;
	tail_match(p, plan, has_tail, 3);
	return REIN_OK;
}

extern const struct cuda_family cuda_conv = { "conv", supports, workspace, emit, match };
