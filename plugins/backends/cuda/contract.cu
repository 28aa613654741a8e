/* SPDX-License-Identifier: MIT
 *
 * contract.cu: matrix products, y (batch,M,N) = a (batch or 1,M,K) b (batch or 1,K,N), each of a and b
 * also transposed in memory. What is done with `math` fp32, tf32 and bf16:
 *
 *   own kernels   products up to OWN_WORK operations, and batches: tiles of tile.h (float32, or
 *                 tensor cores with tf32). Few tiles are cut along k as well, so that a product of
 *                 (100,3072) by (3072,128) is the work of a hundred blocks and not of eight; the last
 *                 block of a tile adds the parts up. One launch, no library to load.
 *   cuBLAS        larger ones: fp32 pedantic, tf32, or bf16 (operands rounded, sums in float32).
 *
 * Bound: 2 M N K operations over 67 TFLOP/s (H200, float32 FMA), 4 (MK + KN + MN) bytes over 4.8 TB/s; what
 * training of small nets multiplies is below both: 5 us of launch and latency.
 */
#include "tile.h"

struct product {
	int M, N, K, batch;
	int64_t a_step, b_step; /* elements from one matrix of a batch to the next, 0: shared */
	int tiles_m, tiles_n, splits, k_len;
};

/* Loads a (M,K), or with TA (K,M), and b (K,N), or with TB (N,K). */
template <bool TA, bool TB>
struct load_matrices {
	static const bool A_ALONG_K = !TA, B_ALONG_K = TB;
	const float *a_mem, *b_mem;
	int M, N, K, m0, n0, k1;
	__device__ __forceinline__ void prepare(int, int) {}
	__device__ __forceinline__ float a(int row, int k, int, int) const
	{
		if (m0 + row >= M || k >= k1)
			return 0;
		return TA ? a_mem[(size_t)k * M + m0 + row] : a_mem[(size_t)(m0 + row) * K + k];
	}
	__device__ __forceinline__ float b(int col, int k, int, int) const
	{
		if (n0 + col >= N || k >= k1)
			return 0;
		return TB ? b_mem[(size_t)(n0 + col) * K + k] : b_mem[(size_t)k * N + n0 + col];
	}
};

/* One of the products of a launch. part: (tiles, splits, BM, BN). */
struct product_piece {
	uint32_t first, blocks;
	int32_t how; /* which tiles */
	bool ta, tb;
	struct product v;
	const float *a, *b;
	float *y, *part;
	uint32_t *ticket;
	struct tile_end end;
};
#define PRODUCT_MANY 4
struct product_list {
	struct product_piece piece[PRODUCT_MANY];
	int32_t n;
};

/* Block ((batch tiles_m + tile m) tiles_n + tile n) splits + split of a product. */
template <class C, bool TA, bool TB>
static __device__ __forceinline__ void product_block(const struct product_piece &p, uint32_t block,
                                                     struct tile_room<C> &room)
{
	const struct product &v = p.v;
	const int split = (int)(block % v.splits);
	int64_t tile = block / v.splits;
	const int64_t one = tile / ((int64_t)v.tiles_m * v.tiles_n);
	const int at = (int)(tile % ((int64_t)v.tiles_m * v.tiles_n));
	const int k0 = split * v.k_len, k1 = k0 + v.k_len < v.K ? k0 + v.k_len : v.K;
	load_matrices<TA, TB> load;
	load.a_mem = p.a + one * v.a_step, load.b_mem = p.b + one * v.b_step;
	load.M = v.M, load.N = v.N, load.K = v.K, load.k1 = k1;
	load.m0 = at / v.tiles_n * C::BM, load.n0 = at % v.tiles_n * C::BN;
	C c;
	tile_product(c, load, room, k0, k1);
	if (!tile_gather(c, p.part, p.ticket, tile, split, v.splits))
		return;
	const size_t to = (size_t)one * v.M * v.N;
	auto write = [&](int row, int col, float &x) {
		if (load.m0 + row < v.M && load.n0 + col < v.N)
			tile_put(p.end, p.y, to + (size_t)(load.m0 + row) * v.N + load.n0 + col, load.n0 + col, x);
	};
	c.each(write);
}

template <class C, bool TA, bool TB>
__global__ void __launch_bounds__(C::THREADS, 1) matmul_tile(struct product_piece p)
{
	__shared__ struct tile_room<C> room;
	product_block<C, TA, TB>(p, blockIdx.x, room);
}

/* Several products, each with blocks of its own: the derivatives in a layer's weights and in its input. */
template <class C>
__global__ void __launch_bounds__(C::THREADS, 384 / C::THREADS) matmul_many(struct product_list list)
{
	__shared__ struct tile_room<C> room;
	int k = 0;
	while (k + 1 < list.n && blockIdx.x >= list.piece[k + 1].first)
		k++;
	const struct product_piece &p = list.piece[k];
	const uint32_t block = blockIdx.x - p.first;
	if (p.ta && p.tb)
		product_block<C, true, true>(p, block, room);
	else if (p.ta)
		product_block<C, true, false>(p, block, room);
	else if (p.tb)
		product_block<C, false, true>(p, block, room);
	else
		product_block<C, false, false>(p, block, room);
}

/* --- host ------------------------------------------------------------------------------------ */
typedef tile_ffma<128, 128, 8, 8, 8> tile_large; /* 256 threads */
typedef tile_ffma<64, 64, 16, 8, 4> tile_middle; /* 128 threads */
typedef tile_ffma<32, 32, 32, 4, 4> tile_small;  /* 64 threads */
typedef tile_tf32<128, 64, 16, 4, 2> tile_tensor;
typedef tile_tf32<32, 32, 32, 2, 1> tile_tensor_small;
enum { LARGE, MIDDLE, SMALL, TENSOR, TENSOR_SMALL };

/* Products of at most this many operations, about 8 us at full speed, run in own kernels. */
#define OWN_WORK (INT64_C(1) << 29)
/* Blocks wanted of one product: a constant, so that a shape gives the same bits everywhere. */
#define WANTED     256
#define MAX_SPLITS 32
#define MIN_K      64 /* of a split */

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

static struct product product_of(const struct rein_program *p, const struct rein_prog_instr *i)
{
	const struct rein_prog_value *a = &p->value[i->in[0]], *b = &p->value[i->in[1]], *y = &p->value[i->out[0]];
	struct product v;
	memset(&v, 0, sizeof v);
	v.M = (int)y->dim[y->rank - 2], v.N = (int)y->dim[y->rank - 1];
	v.K = (int)a->dim[a->rank - (i->attr.flags & REIN_TA ? 2 : 1)];
	v.batch = (int)(y->count / ((int64_t)v.M * v.N));
	v.a_step = a->count == (int64_t)v.M * v.K ? 0 : (int64_t)v.M * v.K;
	v.b_step = b->count == (int64_t)v.K * v.N ? 0 : (int64_t)v.K * v.N;
	return v;
}

/* Which tiles, and how k is cut: by shape alone. */
static int choose(struct product *v, bool tensor, int *bm, int *bn)
{
	int64_t middle = ceil_div(v->M, 64) * ceil_div(v->N, 64) * v->batch;
	int64_t large = ceil_div(v->M, 128) * ceil_div(v->N, 128) * v->batch;
	int64_t half = ceil_div(v->M, 128) * ceil_div(v->N, 64) * v->batch;
	int how = tensor                 ? (half >= WANTED / 2 ? TENSOR : TENSOR_SMALL)
	          : large >= WANTED      ? LARGE
	          : middle >= WANTED / 2 ? MIDDLE
	                                 : SMALL;
	*bm = how == LARGE || how == TENSOR ? 128 : how == MIDDLE ? 64 : 32;
	*bn = how == LARGE ? 128 : how == MIDDLE || how == TENSOR ? 64 : 32;
	v->tiles_m = (int)ceil_div(v->M, *bm), v->tiles_n = (int)ceil_div(v->N, *bn);
	int64_t tiles = (int64_t)v->tiles_m * v->tiles_n * v->batch, splits = WANTED / tiles;
	int64_t most = v->K / MIN_K;
	splits = splits > most ? most : splits;
	splits = splits > MAX_SPLITS ? MAX_SPLITS : splits < 1 ? 1 : splits;
	v->k_len = (int)(ceil_div(ceil_div(v->K, splits), 32) * 32);
	v->splits = (int)ceil_div(v->K, v->k_len);
	return how;
}

static int64_t work_of(const struct product *v) { return 2 * (int64_t)v->M * v->N * v->K * v->batch; }

/* Own kernels: small, or what cuBLAS is not asked for. */
static bool is_own(const struct cuda *cuda, const struct product *v)
{
	return work_of(v) <= OWN_WORK || (v->batch > 1 && cuda->math_key != CUDA_FP32);
}

static bool supports(const struct rein_program *p, const struct rein_prog_instr *i)
{
	return i->op == REIN_OP_MATMUL && cuda_small(p, i);
}

static int64_t workspace(const struct cuda *cuda, const struct rein_program *p, int32_t n, const int32_t *instr)
{
	int bm, bn;
	struct product v = product_of(p, tail_head(p, n, instr));
	if (!is_own(cuda, &v))
		return 0;
	choose(&v, cuda->math_key != CUDA_FP32, &bm, &bn);
	return v.splits == 1 ? 0 : (int64_t)v.tiles_m * v.tiles_n * v.batch * v.splits * bm * bn * 4;
}

/* --- cuBLAS ---------------------------------------------------------------------------------- */
struct blas_call {
	struct product v;
	bool ta, tb;
	const struct cuda_blas *blas;
	const float *a, *b;
	float *y;
};

/* Row-major y = a b is, column-major, y' = b' a'. */
static rein_status blas_run(struct cuda *cuda, void *data, cudaStream_t stream)
{
	const struct blas_call *c = static_cast<const struct blas_call *>(data);
	const struct product *v = &c->v;
	const float one = 1, zero = 0;
	cublasOperation_t ta = c->ta ? CUBLAS_OP_T : CUBLAS_OP_N, tb = c->tb ? CUBLAS_OP_T : CUBLAS_OP_N;
	int lda = c->ta ? v->M : v->K, ldb = c->tb ? v->K : v->N;
	cublasStatus_t s = cuda_blas_stream(c->blas, stream);
	if (s == CUBLAS_STATUS_SUCCESS) {
		if (v->batch > 1)
			s = c->blas->sgemm_strided(c->blas->handle, tb, ta, v->N, v->M, v->K, &one, c->b, ldb, v->b_step, c->a, lda,
			                           v->a_step, &zero, c->y, v->N, (long long)v->M * v->N, v->batch);
		else
			s = c->blas->gemm_ex(c->blas->handle, tb, ta, v->N, v->M, v->K, &one, c->b, CUDA_R_32F, ldb, c->a,
			                     CUDA_R_32F, lda, &zero, c->y, CUDA_R_32F, v->N,
			                     cuda->math_key == CUDA_TF32   ? CUBLAS_COMPUTE_32F_FAST_TF32
			                     : cuda->math_key == CUDA_BF16 ? CUBLAS_COMPUTE_32F_FAST_16BF
			                                                   : CUBLAS_COMPUTE_32F_PEDANTIC,
			                     CUBLAS_GEMM_DEFAULT);
	}
	if (s != CUBLAS_STATUS_SUCCESS)
		return rein_failf(cuda->host, "cuBLAS: a product of (%d,%d) by (%d,%d): status %d", v->M, v->K, v->K, v->N,
		                  (int)s);
	return REIN_OK;
}

/* What tile_put does, behind cuBLAS. */
__global__ void matmul_end(int64_t count, struct cuda_div by_row, float *y, struct tile_end end)
{
	for (CUDA_EACH(e, count)) {
		uint32_t col = (uint32_t)e;
		cuda_split(col, by_row);
		tile_put(end, y, (size_t)e, (int)col, y[e]);
	}
}

static rein_status emit_blas(struct cuda_build *b, const struct product *v, bool ta, bool tb, const float *p,
                             const float *q, float *y, const struct tile_end *end)
{
	const struct cuda_blas *blas = cuda_blas_get(b->cuda, b->host);
	struct blas_call *c = blas ? static_cast<struct blas_call *>(b->host->alloc(b->host, sizeof *c)) : NULL;
	if (!c)
		return REIN_ERROR;
	*c = blas_call{ *v, ta, tb, blas, p, q, y };
	rein_status s = cuda_call(b, "cublas", blas_run, c);
	int64_t count = (int64_t)v->batch * v->M * v->N;
	if (s < 0 || (!end->bias && end->act == TILE_PLAIN))
		return s;
	return cuda_launch(b, matmul_end, cuda_blocks(count, CUDA_BLOCK), CUDA_BLOCK, 0, count, cuda_div_by(v->N), y, *end);
}

template <class C>
static rein_status emit_one(struct cuda_build *b, const struct product_piece *p)
{
	if (p->ta && p->tb)
		return cuda_launch(b, (matmul_tile<C, true, true>), p->blocks, C::THREADS, 0, *p);
	if (p->ta)
		return cuda_launch(b, (matmul_tile<C, true, false>), p->blocks, C::THREADS, 0, *p);
	if (p->tb)
		return cuda_launch(b, (matmul_tile<C, false, true>), p->blocks, C::THREADS, 0, *p);
	return cuda_launch(b, (matmul_tile<C, false, false>), p->blocks, C::THREADS, 0, *p);
}

/* --- several ----------------------------------------------------------------------------------- */
template <class C>
static rein_status emit_pieces(struct cuda_build *b, int n, void *const *piece)
{
	struct product_list list;
	uint32_t blocks = 0;
	if (n == 1)
		return emit_one<C>(b, static_cast<const struct product_piece *>(piece[0]));
	memset(&list, 0, sizeof list);
	for (; list.n < n; list.n++) {
		list.piece[list.n] = *static_cast<const struct product_piece *>(piece[list.n]);
		list.piece[list.n].first = blocks;
		blocks += list.piece[list.n].blocks;
	}
	return cuda_launch(b, matmul_many<C>, blocks, C::THREADS, 0, list);
}
/* Those that fill the device alone stay alone. */
template <class C>
static rein_status emit_alone(struct cuda_build *b, int, void *const *piece)
{
	return emit_one<C>(b, static_cast<const struct product_piece *>(piece[0]));
}
static const struct cuda_merge merges[] = {
	{ "matmul", 1, emit_alone<tile_large> },
	{ "matmul", PRODUCT_MANY, emit_pieces<tile_middle> },
	{ "matmul", PRODUCT_MANY, emit_pieces<tile_small> },
	{ "matmul", 1, emit_alone<tile_tensor> },
	{ "matmul", PRODUCT_MANY, emit_pieces<tile_tensor_small> },
};

static rein_status emit(struct cuda_build *b, int32_t n, const int32_t *instr)
{
	const struct rein_prog_instr *i = tail_head(b->p, n, instr);
	struct product_piece p;
	int bm, bn;
	memset(&p, 0, sizeof p);
	p.v = product_of(b->p, i);
	p.ta = i->attr.flags & REIN_TA, p.tb = i->attr.flags & REIN_TB;
	p.a = cuda_in_mem<float>(b, i, 0), p.b = cuda_in_mem<float>(b, i, 1);
	p.y = tail_of(b, n, instr, 1, &p.end);
	if (!is_own(b->cuda, &p.v))
		return emit_blas(b, &p.v, p.ta, p.tb, p.a, p.b, p.y, &p.end);
	p.how = choose(&p.v, b->cuda->math_key != CUDA_FP32, &bm, &bn);
	int64_t tiles = (int64_t)p.v.tiles_m * p.v.tiles_n * p.v.batch;
	p.blocks = (uint32_t)(tiles * p.v.splits);
	p.part = static_cast<float *>(b->work);
	if (p.v.splits > 1 && !(p.ticket = cuda_tickets(b, tiles)))
		return REIN_ERROR;
	struct product_piece *copy = static_cast<struct product_piece *>(b->host->alloc(b->host, sizeof *copy));
	if (!copy)
		return REIN_ERROR;
	*copy = p;
	return cuda_piece(b, &merges[p.how], copy);
}

static bool has_tail(const struct rein_prog_instr *i) { return i->op == REIN_OP_MATMUL; }

static rein_status match(struct cuda *cuda, const struct rein_program *p, struct rein_plan *plan)
{
	(void)cuda;
	tail_match(p, plan, has_tail, 1);
	return REIN_OK;
}

extern const struct cuda_family cuda_contract = { "contract", supports, workspace, emit, match };
