/* SPDX-License-Identifier: MIT
 *
 * conv_direct.cu: convolutions whose result has few channels, where the tiles of conv.cu would
 * spend more on reading patches than on multiplying: windows of 3x3 and 5x5, stride 1 and no
 * dilation, forward and dx alike (conv.h).
 *
 * A block makes a band of rows of one image for 8 channels. The source's rows with their border go
 * to shared memory, CHUNK channels at a time, and so do the weights, channel of the result last. A
 * thread holds PX places of a row times 8 channels in registers: for each row of the window
 * it reads PX + K - 1 numbers of the source and, at the same address as the whole warp, K times 8
 * weights, for 8 PX K multiplications. 2 + 2 K reads of 16 bytes for 96 (K = 3) or 160 (K = 5) FMAs.
 */
#include "conv.h"

#define CO      8 /* channels of the result in a thread */
#define CHUNK   4 /* channels of the source in shared memory */
#define THREADS 256

struct direct {
	int bands, rows, across; /* bands of an image, rows of a band, threads along a row */
	int chunks;              /* of result channels */
	int pitch, plane;        /* floats of a row and of a channel in shared memory */
	int h0, w0;              /* source place of the tile's corner, of band 0 */
	bool flip_h, flip_w;     /* taps run backwards (dx) */
};

/* Block ((n G + group) bands + band) chunks + chunk. */
template <int K, int PX>
__global__ void __launch_bounds__(THREADS)
	conv_direct(struct gather v, struct direct d, const float *__restrict__ x, const float *__restrict__ w,
                float *__restrict__ y, struct tile_end end)
{
	CUDA_SHARED(float, mem);
	float *tile = mem, *taps = mem + CHUNK * d.plane;
	const int chunk = (int)(blockIdx.x % d.chunks), rest = (int)(blockIdx.x / d.chunks);
	const int band = rest % d.bands, ng = rest / d.bands, group = ng % v.G, n = ng / v.G;
	const int row = threadIdx.x / d.across, col = threadIdx.x % d.across * PX, u = band * d.rows + row;
	const bool mine = row < d.rows && u < v.h.places;
	const float *source = x + (size_t)ng * v.channels * v.H * v.W;
	const float *weight = w + (size_t)group * v.wgroup;
	float acc[PX][CO];
	CUDA_UNROLL
	for (int p = 0; p < PX; p++)
		CUDA_UNROLL
	for (int o = 0; o < CO; o++)
		acc[p][o] = 0;
	for (int c0 = 0; c0 < v.channels; c0 += CHUNK) {
		const int some = v.channels - c0 < CHUNK ? v.channels - c0 : CHUNK;
		__syncthreads();
		for (int e = threadIdx.x; e < some * d.plane; e += blockDim.x) {
			int c = e / d.plane, in = e - c * d.plane, r = in / d.pitch, q = in - r * d.pitch;
			int h = d.h0 + band * d.rows + r, l = d.w0 + q;
			bool inside = (unsigned)h < (unsigned)v.H && (unsigned)l < (unsigned)v.W;
			tile[e] = inside ? source[((size_t)(c0 + c) * v.H + h) * v.W + l] : 0;
		}
		for (int e = threadIdx.x; e < some * K * K * CO; e += blockDim.x) {
			int o = e % CO, t = e / CO, c = t / (K * K), i = t / K % K, j = t % K;
			int ti = d.flip_h ? K - 1 - i : i, tj = d.flip_w ? K - 1 - j : j, ch = chunk * CO + o;
			taps[e] = ch < v.cols ? weight[(size_t)ch * v.wcol + (c0 + c) * v.wch + ti * v.kw + tj] : 0;
		}
		__syncthreads();
		if (!mine)
			continue;
		for (int c = 0; c < some; c++) {
			CUDA_UNROLL
			for (int i = 0; i < K; i++) {
				const float *from = tile + c * d.plane + (row + i) * d.pitch + col;
				float s[PX + K - 1];
				CUDA_UNROLL
				for (int q = 0; q < PX + K - 1; q += 2) {
					float2 f = *reinterpret_cast<const float2 *>(from + q);
					s[q] = f.x;
					if (q + 1 < PX + K - 1)
						s[q + 1] = f.y;
				}
				CUDA_UNROLL
				for (int j = 0; j < K; j++) {
					const float4 *t = reinterpret_cast<const float4 *>(taps + ((c * K + i) * K + j) * CO);
					const float4 a = t[0], b = t[1];
					const float q[CO] = { a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w };
					CUDA_UNROLL
					for (int p = 0; p < PX; p++)
						CUDA_UNROLL
					for (int o = 0; o < CO; o++)
						acc[p][o] = fmaf(s[p + j], q[o], acc[p][o]);
				}
			}
		}
	}
	if (!mine)
		return;
	CUDA_UNROLL
	for (int o = 0; o < CO; o++) {
		const int ch = chunk * CO + o;
		if (ch >= v.cols)
			break;
		const int out = group * v.cols + ch;
		const size_t to = (((size_t)n * v.G * v.cols + out) * v.out_H + u) * v.out_W + col;
		CUDA_UNROLL
		for (int p = 0; p < PX; p++)
			if (col + p < v.w.places)
				tile_put(end, y, to + p, out, acc[p][o]);
	}
}

/* --- host ------------------------------------------------------------------------------------ */
/* Shared memory that leaves room for four blocks on a multiprocessor. */
#define SHARED_LIMIT (48 << 10)

static int pixels(const struct gather *v) { return v->w.places >= 20 ? 4 : 2; }

static bool layout(const struct gather *v, struct direct *d)
{
	int k = v->h.taps, px = pixels(v);
	d->across = (v->w.places + px - 1) / px;
	if (d->across > THREADS)
		return false;
	d->rows = THREADS / d->across < v->h.places ? THREADS / d->across : v->h.places;
	/* a row's vectors may read one pair beyond the window */
	d->pitch = (d->across * px + k + 3) / 4 * 4;
	while (d->rows > 1 && (d->rows + k - 1) * d->pitch * CHUNK * 4 > SHARED_LIMIT / 2)
		d->rows--;
	d->bands = (v->h.places + d->rows - 1) / d->rows;
	d->rows = (v->h.places + d->bands - 1) / d->bands;
	d->plane = (d->rows + k - 1) * d->pitch;
	d->chunks = (v->cols + CO - 1) / CO;
	d->flip_h = v->h.e < 0, d->flip_w = v->w.e < 0;
	d->h0 = v->h.b - (d->flip_h ? k - 1 : 0), d->w0 = v->w.b - (d->flip_w ? k - 1 : 0);
	return (CHUNK * d->plane + CHUNK * k * k * CO) * 4 <= SHARED_LIMIT;
}

bool conv_direct_gather(const struct gather *v)
{
	struct direct d;
	int k = v->h.taps;
	bool one = v->h.s == 1 && v->w.s == 1 && v->h.o == 1 && v->w.o == 1 && v->h.w == 1 && v->w.w == 1 && v->h.w0 == 0 &&
	           v->w.w0 == 0 && (v->h.e == 1 || v->h.e == -1) && v->w.e == v->h.e;
	return one && (k == 3 || k == 5) && v->w.taps == k && v->cols <= 32 && v->channels <= 64 && layout(v, &d);
}

rein_status conv_direct_launch(struct cuda_build *b, const struct gather *v, const float *x, const float *w, float *y,
                               const struct tile_end *end)
{
	struct direct d;
	layout(v, &d);
	int k = v->h.taps;
	unsigned grid = (unsigned)v->N * v->G * d.bands * d.chunks, block = (unsigned)(d.rows * d.across + 31) / 32 * 32;
	size_t shared = (size_t)(CHUNK * d.plane + CHUNK * k * k * CO) * 4;
	if (k == 3 && pixels(v) == 4)
		return cuda_launch(b, (conv_direct<3, 4>), grid, block, shared, *v, d, x, w, y, *end);
	if (k == 3)
		return cuda_launch(b, (conv_direct<3, 2>), grid, block, shared, *v, d, x, w, y, *end);
	if (pixels(v) == 4)
		return cuda_launch(b, (conv_direct<5, 4>), grid, block, shared, *v, d, x, w, y, *end);
	return cuda_launch(b, (conv_direct<5, 2>), grid, block, shared, *v, d, x, w, y, *end);
}
