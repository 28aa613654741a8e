/* SPDX-License-Identifier: MIT
 *
 * gemm.c: matrix products in pieces. C is cut into pieces of up to 14 rows and 512 columns;
 * each is computed into cache by the kernels of gemm_isa.c and handed to done() while it is
 * hot: the place for bias, activation and optimizer updates. Three ways through B:
 *   DIRECT  rows of B as they lie in memory (few rows of C, or no cache conflicts)
 *   PACKED  panels of 2 vectors are copied (transposed for tb) before the product
 *   DOTS    A B' by dot products along k: W as stored, nothing is copied
 * The way depends on shapes alone, and the order of summation of an element on the way
 * alone, so neither threads nor pieces change a bit.
 */
#include "fast.h"

#define DIRECT 0
#define PACKED 1
#define DOTS   2

#define PIECE_COLS    512
#define DOTS_K        1024 /* dot products are cut into chunks of at most this, */
#define DEEP_K        1024 /* and where B is far larger than the caches, of this: rows of A stay in the first, */
#define DEEP_COLS     32   /* this many of B in the second cache, and B is read once */
#define DEEP          (1 << 21)
#define PARALLEL_WORK 250000 /* products; below, threads cost more than they give */

#ifndef HAVE_AVX2
#define gemm_avx2 gemm_plain
#endif
#ifndef HAVE_AVX512
#define gemm_avx512 gemm_plain
#endif

static int64_t div_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* Rows of `stride` bytes that all land in the same few sets of a 32 KiB, 8-way cache. */
static int conflicts(int64_t stride) { return stride % 1024 == 0; }

static int choose_way(const struct gemm *g)
{
	int64_t tiles = div_up(g->m, g->isa->mr);
	if (g->tb && !g->ta && g->k >= 32 && (g->m <= 2 * g->isa->mr || (g->k >= 512 && g->m < 256)))
		return DOTS;
	if (g->tb)
		return PACKED;
	return tiles <= 2 || (tiles <= 12 && !conflicts(g->n * 4)) ? DIRECT : PACKED;
}

/* Number of column pieces: at most PIECE_COLS wide; where there are few rows, enough pieces
 * for several threads, if they come out even. */
static int64_t choose_cols(const struct gemm *g)
{
	int64_t unit = g->how == DOTS ? 4 : g->isa->nr, panels = div_up(g->n, unit);
	int64_t pieces = div_up(g->n, PIECE_COLS);
	static const int try[] = { 4, 8, 6, 2 };
	if (g->row_pieces == 1 && pieces < 4)
		for (int i = 0; i < 4; i++) {
			int64_t width = div_up(panels, try[i]), made = div_up(panels, width);
			if (made >= pieces && panels >= try[i] && div_up(made, 2) * width * 20 <= panels * 11) {
				pieces = try[i];
				break;
			}
		}
	return div_up(panels, pieces) * unit;
}

int64_t gemm_plan(struct gemm *g, int isa, int threads)
{
	static const struct gemm_isa *const isas[] = { &gemm_plain, &gemm_avx2, &gemm_avx512 };
	g->isa = isas[isa];
	g->how = choose_way(g);
	g->deep = g->how == DOTS && g->n * g->k > DEEP && g->m > g->isa->md;
	int64_t block = g->deep ? g->m : g->how == DOTS ? 2 * g->isa->md : g->isa->mr;
	g->row_pieces = div_up(g->m, block);
	if (g->row_pieces > 1 && g->row_pieces % 2)
		g->row_pieces++;
	g->rows = div_up(g->m, g->row_pieces);
	g->cols = g->deep ? DEEP_COLS : choose_cols(g);
	g->col_pieces = div_up(g->n, g->cols);
	g->pack_b = g->how == PACKED ? div_up(g->n, g->isa->nr) * g->isa->nr * g->k : 0;
	g->pack_a = g->how != DOTS && !g->ta && conflicts(g->k * 4) && g->n >= 2 * g->isa->nr ? g->rows * g->k : 0;
	g->scratch = g->keep ? 0 : g->rows * g->cols;
	int64_t packs = g->pack_b * (g->step_b ? g->batch : 1);
	return 4 * (packs + threads * (div_up(g->pack_a + g->scratch, 16) * 16) + 64);
}

struct job {
	const struct gemm *g;
	const float *a, *b;
	float *c, *packed, *own;
	gemm_done *done;
	void *ctx;
};

/* Panel i of all matrices: (k x nr), zeros beyond n. */
static void pack_panel(void *arg, int i)
{
	const struct job *j = arg;
	const struct gemm *g = j->g;
	int64_t nr = g->isa->nr, panels = div_up(g->n, nr), p = i % panels, batch = i / panels;
	int64_t c0 = p * nr, w = g->n - c0 < nr ? g->n - c0 : nr;
	const float *b = j->b + batch * g->step_b;
	float *out = j->packed + batch * g->pack_b + p * nr * g->k;
	if (g->tb) {
		g->isa->pack_transposed(w, g->k, b + c0 * g->k, g->k, out, nr);
		return;
	}
	for (int64_t k = 0; k < g->k; k++) {
		for (int64_t x = 0; x < w; x++)
			out[k * nr + x] = b[k * g->n + c0 + x];
		for (int64_t x = w; x < nr; x++)
			out[k * nr + x] = 0;
	}
}

static int64_t chunk_of(const struct gemm *g)
{
	int64_t chunks = div_up(g->k, DOTS_K);
	return div_up(div_up(g->k, chunks), 16) * 16;
}

static void dots_piece(const struct gemm *g, const float *a, const float *b, int64_t rows, int64_t cols, float *c,
                       int64_t ldc)
{
	int64_t size = chunk_of(g);
	for (int64_t k = 0; k < g->k; k += size) {
		int64_t kn = g->k - k < size ? g->k - k : size;
		for (int64_t n = 0; n < cols; n += g->isa->nd) {
			int64_t nd = cols - n < g->isa->nd ? cols - n : g->isa->nd;
			int64_t blocks = div_up(rows, g->isa->md);
			for (int64_t m = 0, i = 0; i < blocks; i++) {
				int64_t md = rows * (i + 1) / blocks - m;
				g->isa->dots(md, nd, kn, a + m * g->k + k, g->k, b + n * g->k + k, g->k, c + m * ldc + n, ldc, k > 0);
				m += md;
			}
		}
	}
}

/* All rows of A against a few of B; the next chunk of B is asked for while this one is used last. */
static void deep_piece(const struct gemm *g, const float *a, const float *b, int64_t cols, float *c, int64_t ldc)
{
	int64_t blocks = div_up(g->m, g->isa->md), size = chunk_of(g);
	for (int64_t k = 0; k < g->k; k += size) {
		int64_t kn = g->k - k < size ? g->k - k : size, ahead = g->k - k - kn < size ? g->k - k - kn : size;
		for (int64_t i = 0; i < blocks; i++) {
			int64_t m = g->m * i / blocks, md = g->m * (i + 1) / blocks - m;
			for (int64_t n = 0; n < cols; n += g->isa->nd) {
				int64_t nd = cols - n < g->isa->nd ? cols - n : g->isa->nd;
				for (int64_t j = 0; j < nd && i + 1 == blocks; j++)
					for (int64_t e = 0; e < ahead; e += 16)
						__builtin_prefetch(b + (n + j) * g->k + k + kn + e, 0, 2);
				g->isa->dots(md, nd, kn, a + m * g->k + k, g->k, b + n * g->k + k, g->k, c + m * ldc + n, ldc, k > 0);
			}
		}
	}
}

static void run_piece(void *arg, int i)
{
	const struct job *j = arg;
	const struct gemm *g = j->g;
	int64_t pieces = g->row_pieces * g->col_pieces, batch = i / pieces, col = i % pieces / g->row_pieces;
	int64_t row = i % g->row_pieces, nr = g->isa->nr;
	int64_t r0 = g->m * row / g->row_pieces, rows = g->m * (row + 1) / g->row_pieces - r0;
	int64_t c0 = col * g->cols, cols = g->n - c0 < g->cols ? g->n - c0 : g->cols;
	const float *a = j->a + batch * g->step_a + (g->ta ? r0 : r0 * g->k), *b = j->b + batch * g->step_b;
	int64_t sam = g->ta ? 1 : g->k, sak = g->ta ? g->m : 1, ldc = g->keep ? g->n : cols;
	float *own = j->own + pool_self() * (div_up(g->pack_a + g->scratch, 16) * 16);
	float *c = g->keep ? j->c + (batch * g->m + r0) * g->n + c0 : own + g->pack_a;
	if (g->pack_a) {
		for (int64_t m = 0; m < rows; m++)
			for (int64_t k = 0; k < g->k; k++)
				own[k * rows + m] = a[m * g->k + k];
		a = own;
		sam = 1;
		sak = rows;
	}
	if (g->deep)
		deep_piece(g, a, b + c0 * g->k, cols, c, ldc);
	else if (g->how == DOTS)
		dots_piece(g, a, b + c0 * g->k, rows, cols, c, ldc);
	else
		for (int64_t n = 0; n < cols; n += nr) {
			const float *panel =
				g->how == DIRECT ? b + c0 + n : j->packed + (g->step_b ? batch : 0) * g->pack_b + (c0 + n) * g->k;
			g->isa->tile(rows, cols - n < nr ? cols - n : nr, g->k, a, sam, sak, panel, g->how == DIRECT ? g->n : nr,
			             c + n, ldc);
		}
	if (j->done)
		j->done(j->ctx, i, batch, r0, rows, c0, cols, c, ldc);
}

void gemm_run(const struct gemm *g, struct pool *pool, const float *a, const float *b, float *c, void *workspace,
              gemm_done *done, void *ctx)
{
	int64_t matrices = g->step_b ? g->batch : 1;
	struct job j = { g, a, b, c, workspace, (float *)workspace + g->pack_b * matrices, done, ctx };
	if ((double)g->m * (double)g->n * (double)g->k * (double)g->batch < PARALLEL_WORK)
		pool = NULL;
	if (g->how == PACKED)
		pool_run(pool, (int)(div_up(g->n, g->isa->nr) * matrices), pack_panel, &j);
	pool_run(pool, (int)(g->batch * g->row_pieces * g->col_pieces), run_piece, &j);
}
