/* SPDX-License-Identifier: MIT
 *
 * conv_box.c: convolutions whose vectors are full whatever the size of the image. The source is
 * that of conv.c; a row of places is computed by the box of taps that reach inside of it, so that
 * padding costs nothing above and below, and little at the sides.
 *   WIDE   vectors are channels of the result: places of a row against packed weights, then
 *          turned into planes. FORWARD and DX with at least a vector of channels.
 *   LANES  vectors are images, which are turned place by place into lanes and the result back:
 *          for few channels. FORWARD and DX; DW sums over the places of each group of images.
 */
#include <string.h>

#include "conv_box.h"
#include "conv_part.h"

#ifndef HAVE_AVX2
#define box_avx2 box_plain
#endif
#ifndef HAVE_AVX512
#define box_avx512 box_plain
#endif

#define MAX_TILE    (14 * 32) /* floats of the largest tile: 14 x 2 vectors of 16 */
#define CHUNK       (1 << 16) /* floats of packed weights of a run over terms, second cache */
#define LANES_OWN   (3 << 17) /* floats of a thread: about the second cache */
#define LANES_GROUP 4         /* groups of images that make lanes worth while */
#define PARTIAL     (4 << 20) /* floats of all partial results of DW */
#define SUMS        5         /* terms that are summed together */

const struct box_isa *box_isa(int isa)
{
	return isa == ISA_AVX512 ? &box_avx512 : isa == ISA_AVX2 ? &box_avx2 : &box_plain;
}

static int64_t groups_of(const struct conv *v) { return div_up(v->N, v->box->vl); }
static int64_t channels_of(const struct conv *v) { return v->pass == CONV_DX ? v->Og : v->Cg; }
/* Places of a row that are computed together. */
static int64_t tile_of(const struct conv *v) { return v->way == CONV_WIDE ? v->box->mr : 2; }
static int64_t lanes_width(const struct conv *v) { return v->pass == CONV_DX ? v->W : v->Wo; }
static int64_t lanes_height(const struct conv *v) { return v->pass == CONV_DX ? v->H : v->Ho; }

/* --- which way ------------------------------------------------------------------------------------ */
/* Vector products of an image, or loads where those take longer; moving planes counted in. */
static double tile_cost(double rows, double vectors, double loads)
{
	double products = rows * vectors, reads = loads * vectors + rows / 2;
	return products > reads ? products : reads;
}

static double taps_cost(const struct conv *v)
{
	double terms = (double)v->k / (double)parts_of(v), cost = 0;
	int64_t at = 0, blocks = div_up(v->m, v->isa->mr), rows = div_up(v->m, blocks), vl = v->isa->vl;
	for (int64_t i = 0; i < parts_of(v); i++) {
		struct part p = part_at(v, i, &at);
		int64_t places = max((p.th - 1) * v->src.W + p.tw, 0);
		cost += (double)(v->G * blocks) * terms * (double)div_up(places, vl) / 2 * tile_cost((double)rows, 2, 2) +
		        0.15 * (double)(v->G * v->m * places);
	}
	return cost;
}

static double wide_cost(const struct conv *v)
{
	double terms = (double)v->k / (double)parts_of(v), cost = 0;
	int64_t at = 0, vl = v->box->vl, mr = v->box->mr;
	for (int64_t i = 0; i < parts_of(v); i++) {
		struct part p = part_at(v, i, &at);
		if (p.tw < 1)
			continue;
		double px = (double)p.tw / (double)div_up(p.tw, mr), tiles = (double)(p.th * div_up(p.tw, mr));
		double pairs = (double)(v->m / (2 * vl)), rest = (double)div_up(v->m % (2 * vl), vl);
		cost += (double)v->G * terms * tiles *
		            (pairs * tile_cost(px, 2, 1) + rest * tile_cost(px, rest > 0 ? rest : 1, 1)) +
		        0.4 * (double)(v->G * v->m * p.th * p.tw);
	}
	return cost;
}

static double lanes_share(const struct conv *v) { return (double)(groups_of(v) * v->box->vl) / (double)v->N; }

static double lanes_cost(const struct conv *v)
{
	int64_t plane = lanes_width(v) * lanes_height(v), blocks = div_up(v->m, v->box->mr);
	double terms = (double)v->k / (double)parts_of(v), rows = (double)v->m / (double)blocks;
	/* of dx, the taps beyond the borders are left out */
	double skip = v->pass == CONV_DX ? (double)(v->Ho * v->sh * v->Wo * v->sw) / (double)plane : 1;
	double products = (double)(v->G * blocks * plane) / 2 * terms * tile_cost(rows, 2, 1) * (skip < 1 ? skip : 1);
	double moved = (double)(v->src.planes * v->src.in_h * v->src.in_w + v->G * v->m * plane);
	return (products / (double)v->box->vl + 0.5 * moved) * lanes_share(v);
}

static int64_t lanes_own(const struct conv *v)
{
	int64_t plane = lanes_width(v) * lanes_height(v), source = v->src.planes * source_plane(&v->src);
	if (v->pass == CONV_DW)
		return (source + v->O * v->Ho * v->Wo) * v->box->vl;
	return (source + (div_up(v->m, div_up(v->m, v->box->mr)) + 1) * plane) * v->box->vl;
}

int conv_lanes(int isa) { return box_isa(isa)->vl; }

/* The instruction set of conv_isa.c's loops, here. */
static const struct box_isa *same_isa(const struct conv *v)
{
	return box_isa(v->isa == conv_isa(ISA_AVX512) ? ISA_AVX512 : v->isa == conv_isa(ISA_AVX2) ? ISA_AVX2 : ISA_PLAIN);
}

bool box_fits_lanes(const struct conv *u)
{
	struct conv v = *u;
	v.box = same_isa(u);
	return groups_of(&v) >= LANES_GROUP && lanes_own(&v) <= LANES_OWN;
}

int box_way(const struct conv *u)
{
	struct conv v = *u;
	bool lanes = box_fits_lanes(u);
	v.box = same_isa(u);
	if (v.pass == CONV_DW) {
		double all = (double)(v.O * v.k), vl = (double)v.box->vl;
		double flat = all * (double)round_up((v.Ho - 1) * v.src.W + v.Wo, v.box->vl) / vl * 1.1 +
		              0.15 * (double)(v.C * source_plane(&v.src) + v.O * v.Ho * v.src.W);
		double turned = all * (double)(v.Ho * v.Wo) / vl + 0.5 * (double)(v.C * v.H * v.W + v.O * v.Ho * v.Wo);
		return lanes && turned * lanes_share(&v) < flat ? CONV_LANES : CONV_TAPS;
	}
	double taps = taps_cost(&v), wide = wide_cost(&v);
	if (lanes && lanes_cost(&v) < taps && lanes_cost(&v) < wide)
		return CONV_LANES;
	return wide < taps ? CONV_WIDE : CONV_TAPS;
}

/* --- plan ------------------------------------------------------------------------------------------ */
/* Table: offsets of the taps of each part, then for each row and each tile of a row the taps that
 * reach inside (from, to), then LANES: where the places of a plane go; DW: where a term goes. */
static int64_t reach_at(const struct conv *v) { return v->kh * v->kw; }
static int64_t place_at(const struct conv *v) { return reach_at(v) + 2 * (lanes_height(v) + lanes_width(v)); }
static int64_t term_at(const struct conv *v) { return place_at(v) + max(v->src.in_h * v->src.in_w, v->H * v->W); }

int64_t box_plan(struct conv *v, int threads)
{
	int64_t vl, plane = lanes_width(v) * lanes_height(v), source = v->src.planes * source_plane(&v->src);
	v->box = same_isa(v);
	vl = v->box->vl;
	v->plane = v->result_cols;
	if (v->pass == CONV_DW) {
		v->table = round_up(term_at(v) + v->Ho * v->Wo + 2 * v->k, 16);
		v->blocks = div_up(v->Og, v->box->md);
		v->tasks = min(groups_of(v), max(PARTIAL / (v->O * v->k), 4));
		v->packed = round_up(v->O * v->k, 16) * v->tasks;
		v->own = round_up(max((source + v->O * v->Ho * v->Wo) * vl, v->piece), 16);
		v->pieces = div_up(v->O * v->k, v->piece);
	} else if (v->way == CONV_LANES) {
		v->table = round_up(term_at(v), 16);
		v->blocks = div_up(v->m, v->box->mr);
		v->rows = div_up(v->m, v->blocks);
		v->blocks = div_up(v->m, v->rows);
		v->width = v->m;
		v->tasks = groups_of(v);
		v->packed = round_up(v->G * v->m * v->k, 16);
		v->own = round_up((source + (v->rows + 1) * plane) * vl, 16);
		v->pieces = v->lanes_c ? groups_of(v) * v->G * v->blocks : v->N * v->G * v->m;
	} else {
		v->table = round_up(place_at(v), 16);
		v->rows = min(2 * vl, round_up(v->m, vl));
		v->blocks = div_up(v->m, v->rows);
		v->width = round_up(v->m, vl);
		v->chunks = min(div_up(v->rows * v->k / parts_of(v), CHUNK), channels_of(v));
		v->packed = round_up(v->G * v->width * v->k, 16);
		v->ldc = v->chunks > 1 ? max(plane * v->rows, MAX_TILE) : MAX_TILE;
		v->own =
			round_up(source + SOURCE_SLACK, 16) + round_up(v->ldc, 16) + (v->keep ? 0 : round_up(v->rows * plane, 16));
		v->pieces = v->N * v->G * v->blocks;
	}
	return 4 * (v->table + v->packed + v->own * threads) + 64;
}

/* --- tables ------------------------------------------------------------------------------------------ */
/* The taps of part r, in its own numbers, that reach inside from any of n places from t on. */
static void reach(const struct conv *v, const struct axis *a, int64_t r, int64_t t, int64_t n, int32_t *out)
{
	bool dx = v->pass == CONV_DX, any = false;
	int32_t at = 0;
	out[0] = out[1] = 0;
	for (int64_t i = 0; i < a->k; i++) {
		if (dx && !part_has(a, r, i))
			continue;
		int64_t first = dx ? t + part_shift(a, r, i) : t * a->s + i * a->d - a->p;
		bool in = false;
		for (int64_t j = 0; j < n && !in; j++)
			in = first + (dx ? j : j * a->s) >= 0 && first + (dx ? j : j * a->s) < (dx ? a->out : a->in);
		if (in && !any)
			out[0] = at;
		if (in)
			out[1] = at + 1;
		any |= in;
		at++;
	}
}

/* Offset of tap (i, j) of part p in the source. */
static int64_t tap_offset(const struct conv *v, const struct part *p, int64_t i, int64_t j)
{
	const struct source *s = &v->src;
	struct axis h = rows_of(v), w = cols_of(v);
	int64_t y = i * v->dh, x = j * v->dw;
	if (v->pass == CONV_DX)
		return (part_shift(&h, p->r, i) + s->ph) * s->W + part_shift(&w, p->c, j) + s->pw;
	return ((y % v->sh * s->nw + x % v->sw) * s->H + y / v->sh) * s->W + x / v->sw;
}

/* Places, among all parts', before those of residue r. */
static int64_t places_before(const struct axis *a, bool dx, int64_t r)
{
	int64_t n = 0;
	for (int64_t i = 0; dx && i < r; i++)
		n += part_count(a, i);
	return n;
}

static void fill_reach(const struct conv *v, const struct part *p, int32_t *table)
{
	struct axis h = rows_of(v), w = cols_of(v);
	bool dx = v->pass == CONV_DX;
	int32_t *rows = table + reach_at(v) + 2 * places_before(&h, dx, p->r);
	int32_t *cols = table + reach_at(v) + 2 * (lanes_height(v) + places_before(&w, dx, p->c));
	int64_t tiles = div_up(p->tw, tile_of(v));
	for (int64_t t = 0; t < p->th; t++)
		reach(v, &h, p->r, t, 1, rows + 2 * t);
	for (int64_t t = 0; t < tiles; t++)
		reach(v, &w, p->c, p->tw * t / tiles, p->tw * (t + 1) / tiles - p->tw * t / tiles, cols + 2 * t);
}

static void fill_tables(const struct conv *v, int32_t *table)
{
	const struct source *s = &v->src;
	struct axis h = rows_of(v), w = cols_of(v);
	int64_t at = 0, scale = v->way == CONV_LANES ? v->box->vl : 1;
	int32_t *out = table;
	for (int64_t n = 0; n < parts_of(v); n++) {
		struct part p = part_at(v, n, &at);
		for (int64_t i = 0; i < v->kh; i++)
			for (int64_t j = 0; j < v->kw; j++)
				if (v->pass != CONV_DX || (part_has(&h, p.r, i) && part_has(&w, p.c, j)))
					*out++ = (int32_t)(tap_offset(v, &p, i, j) * scale);
		if (v->pass != CONV_DW && p.th > 0 && p.tw > 0)
			fill_reach(v, &p, table);
	}
	for (int64_t e = 0; v->way == CONV_LANES && e < s->in_h * s->in_w; e++) {
		int64_t y = e / s->in_w + s->ph, x = e % s->in_w + s->pw, slot = y % s->sh * s->nw + x % s->sw;
		bool read = y % s->sh < s->nh && x % s->sw < s->nw && y / s->sh < s->H && x / s->sw < s->W;
		table[place_at(v) + e] = read ? (int32_t)((slot * s->H + y / s->sh) * s->W + x / s->sw) : -1;
	}
	if (v->pass != CONV_DW)
		return;
	out = table + term_at(v);
	for (int64_t e = 0; e < v->Ho * v->Wo; e++)
		*out++ = (int32_t)e;
	for (int64_t i = 0; i < v->kh; i++) /* terms of a row of taps: offset in the source, place in dw */
		for (int64_t c = 0; c < v->Cg; c++)
			for (int64_t j = 0; j < v->kw; j++) {
				*out++ = (int32_t)(c * source_plane(s) * scale) + table[i * v->kw + j];
				*out++ = (int32_t)((c * v->kh + i) * v->kw + j);
			}
}

/* --- weights -------------------------------------------------------------------------------------------- */
/* Rows and padded rows of a block. */
static int64_t rows_in(const struct conv *v, int64_t block) { return min(v->rows, v->m - block * v->rows); }
static int64_t width_in(const struct conv *v, int64_t block) { return min(v->rows, v->width - block * v->rows); }

/* Packed weights of a block: (channels x taps of the part x width). */
static float *weights_of(const struct conv *v, const struct part *p, float *packed, int64_t g, int64_t block)
{
	return packed + (g * v->k + p->table) * v->width + block * v->rows * p->taps * channels_of(v);
}

static void pack(void *arg, int index)
{
	const struct conv_job *j = arg;
	const struct conv *v = j->v;
	struct axis h = rows_of(v), l = cols_of(v);
	int64_t at = 0, g = index / v->blocks, block = index % v->blocks, r0 = block * v->rows, taps = v->kh * v->kw;
	int64_t rows = rows_in(v, block), width = width_in(v, block);
	bool dx = v->pass == CONV_DX;
	for (int64_t n = 0; n < parts_of(v); n++) {
		struct part p = part_at(v, n, &at);
		float *out = weights_of(v, &p, j->packed, g, block);
		for (int64_t k = 0; k < channels_of(v); k++)
			for (int64_t t = 0; t < taps; t++) {
				if (dx && !(part_has(&h, p.r, t / v->kw) && part_has(&l, p.c, t % v->kw)))
					continue;
				const float *from =
					j->b + (dx ? ((g * v->Og + k) * v->Cg + r0) * taps + t : ((g * v->Og + r0) * v->Cg + k) * taps + t);
				int64_t step = dx ? taps : v->Cg * taps;
				for (int64_t m = 0; m < rows; m++)
					out[m] = from[m * step];
				for (int64_t m = rows; m < width; m++)
					out[m] = 0;
				out += width;
			}
	}
}

/* --- FORWARD and DX --------------------------------------------------------------------------------------- */
/* A part of a block of channels: what all of its tiles share. */
struct area {
	struct part p;
	int64_t tiles, width, taps_w; /* of a row; floats of a term's weights; taps in a row of the part */
	const int32_t *rows, *cols;
	const float *weights, *source;
	struct box box;
};

static struct area area_of(const struct conv_job *j, int64_t index, int64_t *at, int64_t g, int64_t block,
                           const float *source)
{
	const struct conv *v = j->v;
	bool dx = v->pass == CONV_DX;
	struct axis h = rows_of(v), w = cols_of(v);
	int64_t scale = v->way == CONV_LANES ? v->box->vl : 1, channels = channels_of(v);
	struct area a = { .p = part_at(v, index, at) };
	a.tiles = div_up(a.p.tw, tile_of(v));
	a.width = v->way == CONV_LANES ? rows_in(v, block) : width_in(v, block);
	a.taps_w = dx ? taps_of(&w, a.p.c) : v->kw;
	a.rows = j->table + reach_at(v) + 2 * places_before(&h, dx, a.p.r);
	a.cols = j->table + reach_at(v) + 2 * (lanes_height(v) + places_before(&w, dx, a.p.c));
	a.weights = weights_of(v, &a.p, j->packed, g, block);
	a.source = source + g * channels * source_plane(&v->src) * scale;
	a.box = (struct box){ .channels = channels,
		                  .step = source_plane(&v->src) * scale,
		                  .ld_off = a.taps_w,
		                  .step_w = a.p.taps * a.width,
		                  .ld_w = a.taps_w * a.width,
		                  .off = j->table + a.p.table / max(channels, 1) };
	return a;
}

/* The box of taps for tile x of row t; moves the weights to its first. */
static struct box box_of(const struct area *a, int64_t t, int64_t x, const float **weights)
{
	struct box b = a->box;
	int64_t i = a->rows[2 * t], j = a->cols[2 * x];
	b.kh = a->rows[2 * t + 1] - i;
	b.kw = a->cols[2 * x + 1] - j;
	b.off += i * b.ld_off + j;
	*weights += i * b.ld_w + j * a->width;
	return b;
}

static void wide_part(const struct conv *v, const struct area *a, int64_t rows, float *tile, float *out)
{
	int64_t sh = v->pass == CONV_DX ? v->sh : 1, sw = v->pass == CONV_DX ? v->sw : 1, vl = v->box->vl;
	const struct part *p = &a->p;
	for (int64_t chunk = 0; chunk < v->chunks; chunk++) {
		int64_t from = a->box.channels * chunk / v->chunks, to = a->box.channels * (chunk + 1) / v->chunks;
		for (int64_t t = 0; t < p->th; t++)
			for (int64_t x = 0; x < a->tiles; x++) {
				int64_t u = p->tw * x / a->tiles, px = p->tw * (x + 1) / a->tiles - u;
				const float *w = a->weights + from * a->box.step_w;
				float *c = v->chunks > 1 ? tile + (t * p->tw + u) * a->width : tile;
				struct box b = box_of(a, t, x, &w);
				b.channels = to - from;
				v->box->wide(&b, px, a->width / vl, a->source + from * b.step + t * v->src.W + u, w, c, chunk > 0);
				float *y = out + (p->y0 + t * sh) * lanes_width(v) + p->x0 + u * sw;
				for (int64_t r = 0; r < rows && chunk + 1 == v->chunks; r += vl)
					v->box->turn(px, min(vl, rows - r), c + r, a->width, y + r * v->plane, v->plane, sw);
			}
	}
}

static void wide_image(void *arg, int image)
{
	const struct conv_job *j = arg;
	const struct conv *v = j->v;
	float *source = j->own + pool_self() * v->own;
	float *tile = source + round_up(v->src.planes * source_plane(&v->src) + SOURCE_SLACK, 16);
	float *block = tile + round_up(v->ldc, 16);
	source_fill(&v->src, v->isa, j->a + image * v->src.planes * v->src.in_h * v->src.in_w, source);
	for (int64_t i = 0; i < v->G * v->blocks; i++) {
		int64_t g = i / v->blocks, r0 = g * v->m + i % v->blocks * v->rows, rows = rows_in(v, i % v->blocks), at = 0;
		float *out = v->keep ? j->c + (image * v->result_rows + r0) * v->plane : block;
		for (int64_t n = 0; n < parts_of(v); n++) {
			struct area a = area_of(j, n, &at, g, i % v->blocks, source);
			if (a.p.th > 0 && a.p.tw > 0)
				wide_part(v, &a, rows, tile, out);
		}
		if (j->done)
			j->done(j->ctx, image * v->G * v->blocks + i, image, r0, rows, 0, v->plane, out, v->plane);
	}
}

static void lanes_part(const struct conv *v, const struct area *a, int64_t rows, float *tile)
{
	int64_t sh = v->pass == CONV_DX ? v->sh : 1, sw = v->pass == CONV_DX ? v->sw : 1, vl = v->box->vl;
	const struct part *p = &a->p;
	for (int64_t t = 0; t < p->th; t++)
		for (int64_t x = 0; x < a->tiles; x++) {
			int64_t u = p->tw * x / a->tiles, n = p->tw * (x + 1) / a->tiles - u;
			const float *w = a->weights;
			struct box b = box_of(a, t, x, &w);
			v->box->lanes(&b, rows, n, w, a->source + (t * v->src.W + u) * vl,
			              tile + ((p->y0 + t * sh) * lanes_width(v) + p->x0 + u * sw) * vl, v->plane * vl, sw * vl);
		}
}

/* A group of images into lanes. */
static void gather(const struct conv *v, int64_t planes, int64_t places, const float *x, int64_t group, float *out,
                   int64_t plane, const int32_t *place)
{
	int64_t vl = v->box->vl, n0 = group * vl, lanes = min(vl, v->N - n0);
	for (int64_t c = 0; c < planes; c++)
		v->box->gather(lanes, places, x + (n0 * planes + c) * places, planes * places, out + c * plane * vl, place);
}

/* Planes that are in lanes already, to their places. */
static void spread(const struct conv *v, const float *x, float *out, const int32_t *place)
{
	const struct source *s = &v->src;
	int64_t vl = v->box->vl;
	for (int64_t c = 0; c < s->planes; c++, out += source_plane(s) * vl)
		for (int64_t row = 0; row < s->in_h; row++, x += s->in_w * vl)
			if (s->sw == 1 && place[row * s->in_w] >= 0)
				v->isa->rows(1, s->in_w * vl, x, 0, 1, out + place[row * s->in_w] * vl, 0);
			else
				for (int64_t e = 0; e < s->in_w; e++)
					if (place[row * s->in_w + e] >= 0)
						v->isa->rows(1, vl, x + e * vl, 0, 1, out + place[row * s->in_w + e] * vl, 0);
}

/* A group's source: where it lies, or at `own`. */
static const float *group_source(const struct conv_job *j, int64_t group, float *own)
{
	const struct conv *v = j->v;
	const struct source *s = &v->src;
	const int32_t *place = j->table + place_at(v);
	bool same = s->nh * s->nw == 1 && s->H == s->in_h && s->W == s->in_w && s->ph == 0 && s->pw == 0;
	const float *x = j->a + group * s->planes * s->in_h * s->in_w * v->box->vl;
	if (v->lanes_a && same)
		return x;
	if (!same)
		memset(own, 0, (size_t)(s->planes * source_plane(s) * v->box->vl) * sizeof *own);
	if (v->lanes_a)
		spread(v, x, own, place);
	else
		gather(v, s->planes, s->in_h * s->in_w, j->a, group, own, source_plane(s), place);
	return own;
}

static void lanes_group(void *arg, int group)
{
	const struct conv_job *j = arg;
	const struct conv *v = j->v;
	int64_t vl = v->box->vl, n0 = group * vl, lanes = min(vl, v->N - n0);
	float *own = j->own + pool_self() * v->own, *tile = own + v->src.planes * source_plane(&v->src) * vl;
	float *flat = tile + v->rows * v->plane * vl;
	const float *source = group_source(j, group, own);
	for (int64_t i = 0; i < v->G * v->blocks; i++) {
		int64_t g = i / v->blocks, r0 = g * v->m + i % v->blocks * v->rows, rows = rows_in(v, i % v->blocks), at = 0;
		if (v->lanes_c && v->keep)
			tile = j->c + (group * v->result_rows + r0) * v->plane * vl;
		for (int64_t n = 0; n < parts_of(v); n++) {
			struct area a = area_of(j, n, &at, g, i % v->blocks, source);
			if (a.p.th > 0 && a.p.tw > 0)
				lanes_part(v, &a, rows, tile);
		}
		if (v->lanes_c && j->done)
			j->done(j->ctx, group * v->G * v->blocks + i, group, r0, rows, 0, v->plane * vl, tile, v->plane * vl);
		for (int64_t r = 0; r < rows && !v->lanes_c; r++) {
			float *out = v->keep ? j->c + (n0 * v->result_rows + r0 + r) * v->plane : flat;
			int64_t step = v->keep ? v->result_rows * v->plane : v->plane;
			v->box->turn(v->plane, lanes, tile + r * v->plane * vl, vl, out, step, 1);
			for (int64_t n = 0; j->done && n < lanes; n++)
				j->done(j->ctx, (n0 + n) * v->result_rows + r0 + r, n0 + n, r0 + r, 1, 0, v->plane, out + n * step,
				        v->plane);
		}
	}
}

/* --- DW ---------------------------------------------------------------------------------------------------- */
/* All terms of a row of taps for a block of rows of dw. */
static void sum_row(const struct conv_job *j, int64_t o, int64_t rows, int64_t i, const float *source, const float *g,
                    float *out, bool add)
{
	const struct conv *v = j->v;
	struct axis h = rows_of(v);
	int64_t vl = v->box->vl, y = i * v->dh - v->ph, wo = v->Wo * vl, terms = v->Cg * v->kw;
	int64_t from = y < 0 ? min(div_up(-y, h.s), v->Ho) : 0, to = y < v->H ? min(div_up(v->H - y, h.s), v->Ho) : 0;
	const int32_t *term = j->table + term_at(v) + v->Ho * v->Wo + 2 * i * terms;
	for (int64_t k = 0, n; k < terms; k += n) {
		int64_t left = div_up(terms - k, SUMS);
		int32_t off[SUMS];
		float c[8 * 8];
		n = div_up(terms - k, left);
		for (int64_t l = 0; l < n; l++)
			off[l] = term[2 * (k + l)];
		v->box->sums(rows, n, max(to - from, 0), v->Wo, g + (o * v->Ho + from) * wo, v->Ho * wo, wo,
		             source + from * v->src.W * vl, off, v->src.W * vl, c);
		for (int64_t r = 0; r < rows; r++)
			for (int64_t l = 0; l < n; l++) {
				float *to_dw = out + (o + r) * v->k + term[2 * (k + l) + 1];
				*to_dw = add ? *to_dw + c[r * 8 + l] : c[r * 8 + l];
			}
	}
}

static void dw_groups(void *arg, int task)
{
	const struct conv_job *j = arg;
	const struct conv *v = j->v;
	int64_t from = groups_of(v) * task / v->tasks, to = groups_of(v) * (task + 1) / v->tasks, vl = v->box->vl;
	float *own = j->own + pool_self() * v->own, *own_g = own + v->src.planes * source_plane(&v->src) * vl;
	float *out = j->packed + round_up(v->O * v->k, 16) * task;
	for (int64_t group = from; group < to; group++) {
		const float *source = group_source(j, group, own);
		const float *g = v->lanes_b ? j->b + group * v->O * v->Ho * v->Wo * vl : own_g;
		if (!v->lanes_b)
			gather(v, v->O, v->Ho * v->Wo, j->b, group, own_g, v->Ho * v->Wo, j->table + term_at(v));
		for (int64_t n = 0; n < v->G * v->blocks; n++) {
			int64_t block = n % v->blocks, o = v->Og * block / v->blocks, rows = v->Og * (block + 1) / v->blocks - o;
			const float *x = source + n / v->blocks * v->Cg * source_plane(&v->src) * vl;
			for (int64_t i = 0; i < v->kh; i++)
				sum_row(j, n / v->blocks * v->Og + o, rows, i, x, g, out, group > from);
		}
	}
}

void box_run(const struct conv_job *job, struct pool *pool)
{
	struct conv_job j = *job;
	const struct conv *v = j.v;
	fill_tables(v, j.table);
	if (v->pass == CONV_DW) {
		pool_run(pool, (int)v->tasks, dw_groups, &j);
		pool_run(pool, (int)v->pieces, conv_dw_finish, &j);
		return;
	}
	pool_run(pool, (int)(v->G * v->blocks), pack, &j);
	if (v->way == CONV_WIDE)
		pool_run(pool, (int)v->N, wide_image, &j);
	else
		pool_run(pool, (int)v->tasks, lanes_group, &j);
}
