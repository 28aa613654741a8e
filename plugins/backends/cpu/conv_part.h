/* SPDX-License-Identifier: MIT
 *
 * conv_part.h: inside of convolution, for conv.c and conv_box.c: which places of an axis a tap
 * reaches, and the parts of dx, one for each residue of a place modulo the stride.
 */
#ifndef CPU_CONV_PART_H
#define CPU_CONV_PART_H

#include "conv.h"

static inline int64_t div_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t round_up(int64_t a, int64_t b) { return div_up(a, b) * b; }
static inline int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }

/* --- along one axis ----------------------------------------------------------------------------- */
/* Part r of dx: places first + t stride, t < n, of the axis; tap i reads row t + shift(i) of g, for
 * the taps with (i d - r) divisible by the stride. FORWARD has one part, r = 0. */
struct axis {
	int64_t in, out, k, s, p, d;
};
static inline struct axis rows_of(const struct conv *v)
{
	return (struct axis){ v->H, v->Ho, v->kh, v->sh, v->ph, v->dh };
}
static inline struct axis cols_of(const struct conv *v)
{
	return (struct axis){ v->W, v->Wo, v->kw, v->sw, v->pw, v->dw };
}

static inline int64_t part_first(const struct axis *a, int64_t r) { return r >= a->p ? 0 : div_up(a->p - r, a->s); }
static inline int64_t part_count(const struct axis *a, int64_t r)
{
	int64_t last = a->in - 1 + a->p - r;
	return last < 0 ? 0 : max(last / a->s - part_first(a, r) + 1, 0);
}
static inline bool part_has(const struct axis *a, int64_t r, int64_t i) { return (i * a->d - r) % a->s == 0; }
static inline int64_t part_shift(const struct axis *a, int64_t r, int64_t i)
{
	return part_first(a, r) + (r - i * a->d) / a->s;
}

/* Padding before g, and its length with padding on both sides, for all parts of dx. */
static inline void dx_source(const struct axis *a, int64_t *before, int64_t *length)
{
	int64_t low = 0, high = a->out, longest = 1;
	for (int64_t r = 0; r < a->s; r++)
		for (int64_t i = 0; i < a->k; i++)
			if (part_count(a, r) && part_has(a, r, i)) {
				low = min(low, part_shift(a, r, i));
				high = max(high, part_shift(a, r, i) + part_count(a, r));
				longest = max(longest, part_count(a, r));
			}
	*before = -low;
	*length = max(high - low, longest);
}

static inline void forward_source(const struct axis *a, int64_t *slots, int64_t *length)
{
	int64_t reach = (a->k - 1) * a->d;
	*slots = min(a->s, reach + 1);
	*length = a->out + reach / a->s;
}

/* One part: its grid in the result and where its terms' offsets and weights are. */
struct part {
	int64_t r, c, th, tw, y0, x0;
	int64_t taps, table; /* taps of a channel, terms of the parts before */
};

static inline int64_t parts_of(const struct conv *v) { return v->pass == CONV_DX ? v->sh * v->sw : 1; }

static inline int64_t taps_of(const struct axis *a, int64_t r)
{
	int64_t n = 0;
	for (int64_t i = 0; i < a->k; i++)
		n += part_has(a, r, i);
	return n;
}

/* Parts in order; *at runs through the table. */
static inline struct part part_at(const struct conv *v, int64_t index, int64_t *at)
{
	if (v->pass != CONV_DX)
		return (struct part){ .th = v->Ho, .tw = v->Wo, .taps = v->kh * v->kw };
	struct axis h = rows_of(v), w = cols_of(v);
	struct part p = { .r = index / v->sw, .c = index % v->sw, .table = *at };
	p.th = part_count(&h, p.r), p.tw = part_count(&w, p.c);
	p.y0 = part_first(&h, p.r) * v->sh + p.r - v->ph;
	p.x0 = part_first(&w, p.c) * v->sw + p.c - v->pw;
	p.taps = taps_of(&h, p.r) * taps_of(&w, p.c);
	*at += p.taps * v->Og;
	return p;
}

/* One run. */
struct conv_job {
	const struct conv *v;
	const float *a, *b;
	float *c, *packed, *own;
	int32_t *table;
	gemm_done *done;
	void *ctx;
};

/* --- conv_box.c ---------------------------------------------------------------------------------- */
/* The way that takes the fewest vector products. */
int box_way(const struct conv *);
bool box_fits_lanes(const struct conv *);
int64_t box_plan(struct conv *, int threads); /* CONV_WIDE, CONV_LANES */
void box_run(const struct conv_job *, struct pool *);

/* --- conv.c --------------------------------------------------------------------------------------- */
void conv_dw_finish(void *job, int piece);

#endif
