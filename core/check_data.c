/* SPDX-License-Identifier: MIT
 *
 * check_data.c: operands of checks from short texts, and their numbers from a seed. Numbers are
 * exact in float, so that runs in float and in double begin with the same ones.
 *
 * How an operand is filled (behind ':'):
 *   nothing  real in [-2,2); i32 in -100..100; u8 in 0..255; bool
 *   7        real in [-7,7), i32 in -7..7
 *   e        awkward numbers, one after another: zeros, halves, limits, infinities, NaN; i32 limits
 *   p        positive: [0.25,4)
 *   s        around one: [0.75,1.25)
 *   m        far from zero: 100 + [-2,2)
 *   x        of any magnitude from 2^-40 to 2^40
 *   t        few different ones, so that there are ties
 *   n        the same with NaN and infinities
 *   i9       indices of 9 entries: -2..10, so that some lie outside
 */
#include "check.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rng.h"
#include "tool.h"

static const double edges[] = { 0.0,       -0.0,    1.0,  -1.0,    0.5,      -0.5,      1.5,   2.5,
	                            -2.5,      3.0,     -7.0, 0x1p-10, 0x1p20,   88.0,      -88.0, 0x1p-100,
	                            -0x1p-100, 0.15625, 17.0, -20.0,   INFINITY, -INFINITY, NAN };
static const double edges_i[] = { 0, 1, -1, 7, -7, 2147483647, -2147483648.0, 100000, -99999, 46341, 3, 2 };
#define N_EDGE   ((int64_t)(sizeof edges / sizeof *edges))
#define N_EDGE_I ((int64_t)(sizeof edges_i / sizeof *edges_i))

/* --- sizes ------------------------------------------------------------------------------------- */
/* A..G small, H..M of images, N..Z with the borders of vectors and tiles. */
static int64_t size_of_letter(char letter, uint64_t seed)
{
	static const int64_t small[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 }, image[] = { 4, 5, 6, 7, 8, 11, 13, 16 },
						 large[] = { 1, 2, 3, 7, 15, 16, 17, 31, 32, 33, 63, 65, 100, 129 };
	double u = rng_uniform(rng_key(seed, "size"), (uint64_t)letter);
	if (letter <= 'G')
		return small[(size_t)(u * 9)];
	return letter <= 'M' ? image[(size_t)(u * 8)] : large[(size_t)(u * 14)];
}

/* --- numbers ----------------------------------------------------------------------------------- */
struct filler {
	uint64_t key;
	char how;
	double by;
};

static double real_number(const struct filler *f, uint64_t i)
{
	double u = rng_uniform(f->key, i), v = rng_uniform(f->key, i + ((uint64_t)1 << 40));
	switch (f->how) {
	case 'e': return edges[i % (uint64_t)N_EDGE];
	case 'p': return 0.25 + 3.75 * u;
	case 's': return 0.75 + 0.5 * u;
	case 'm': return 100 + 4 * u - 2;
	case 'x': return ldexp(v < 0.5 ? 1 + u : -1 - u, (int)(v * 1e6) % 81 - 40);
	case 't': return floor(u * 7) / 2 - 1.5;
	case 'n':
		if (v < 0.1)
			return NAN;
		return v < 0.15 ? (u < 0.5 ? (double)INFINITY : -(double)INFINITY) : v < 0.2 ? -0.0 : floor(u * 7) / 2 - 1.5;
	case '#': return f->by * (2 * u - 1);
	default: return 4 * u - 2;
	}
}

static double whole_number(const struct filler *f, uint64_t i)
{
	double u = rng_uniform(f->key, i);
	switch (f->how) {
	case 'e': return edges_i[i % (uint64_t)N_EDGE_I];
	case 't':
	case 'n': return floor(u * 7) - 3;
	case 'i': return floor(u * (f->by + 4)) - 2;
	case '#': return floor(u * (2 * f->by + 1)) - f->by;
	default: return floor(u * 201) - 100;
	}
}

static void fill(struct check_operand *o, const struct filler *f)
{
	for (int64_t i = 0; i < o->count; i++) {
		double v;
		switch (o->dtype) {
		case REIN_REAL_T: v = (double)(float)real_number(f, (uint64_t)i); break;
		case REIN_WIDE_T: v = real_number(f, (uint64_t)i); break;
		case REIN_I32_T: v = whole_number(f, (uint64_t)i); break;
		case REIN_U8_T: v = floor(rng_uniform(f->key, (uint64_t)i) * 256); break;
		default: v = rng_uniform(f->key, (uint64_t)i) < 0.5; break;
		}
		o->v[i] = v;
	}
}

static void make(struct check_operand *o)
{
	o->count = 1;
	for (uint32_t a = 0; a < o->rank; a++)
		o->count *= o->dim[a];
	o->v = tool_alloc((size_t)o->count * sizeof *o->v);
}

/* --- texts --------------------------------------------------------------------------------------- */
static uint32_t dtype_of(char letter)
{
	switch (letter) {
	case 'w': return REIN_WIDE_T;
	case 'i': return REIN_I32_T;
	case 'u': return REIN_U8_T;
	case 'b': return REIN_BOOL_T;
	default: return REIN_REAL_T;
	}
}

/* A size: a number or a letter. */
static int64_t size_at(const char **t, uint64_t seed)
{
	if (isupper((unsigned char)**t))
		return size_of_letter(*(*t)++, seed);
	char *end;
	int64_t n = strtol(*t, &end, 10);
	*t = end;
	return n;
}

int check_operands(const char *text, uint64_t seed, struct check_operand *in)
{
	int n = 0;
	for (const char *t = text; *t && n < CHECK_MAX_IN; n++) {
		struct check_operand *o = &in[n];
		char name[16];
		snprintf(name, sizeof name, "operand %d", n);
		struct filler f = { .key = rng_key(seed, name) };
		memset(o, 0, sizeof *o);
		o->dtype = dtype_of(*t++);
		while (*t && *t != ' ' && *t != ':') {
			o->dim[o->rank++] = size_at(&t, seed);
			t += *t == 'x';
		}
		if (*t == ':') {
			f.how = *++t;
			if (isdigit((unsigned char)f.how)) {
				f.how = '#';
				f.by = (double)size_at(&t, seed);
			} else if (*++t && *t != ' ') {
				f.by = (double)size_at(&t, seed);
			}
		}
		make(o);
		fill(o, &f);
		while (*t == ' ')
			t++;
	}
	return n;
}

void check_operands_free(struct check_operand *in, int n)
{
	for (int k = 0; k < n; k++)
		free(in[k].v);
}

/* --- derivatives of windows ---------------------------------------------------------------------- */
static int64_t window_out(const struct rein_attr *a, int i, int64_t n, int64_t k)
{
	int64_t dilation = a->start[2 + i] ? a->start[2 + i] : 1;
	return (n + 2 * a->start[i] - dilation * (k - 1) - 1) / a->step[i] + 1;
}

static struct check_operand gradient(uint64_t seed, const int64_t dim[4])
{
	struct check_operand g = { .dtype = REIN_REAL_T, .rank = 4 };
	struct filler f = { .key = rng_key(seed, "gradient") };
	memcpy(g.dim, dim, 4 * sizeof *dim);
	make(&g);
	fill(&g, &f);
	return g;
}

/* A place inside the plane for each window, by chance among those the window covers. */
static struct check_operand places(const struct rein_attr *a, uint64_t seed, const int64_t x[4], const int64_t y[4])
{
	struct check_operand o = { .dtype = REIN_I32_T, .rank = 4 };
	uint64_t key = rng_key(seed, "place"), count = 0;
	memcpy(o.dim, y, 4 * sizeof *y);
	make(&o);
	for (int64_t i = 0; i < o.count; i++) {
		int64_t at[2], from[2] = { i / y[3] % y[2], i % y[3] };
		for (int d = 0; d < 2; d++)
			do {
				int64_t tap = (int64_t)(rng_uniform(key, count++) * (double)a->step[2 + d]);
				at[d] = from[d] * a->step[d] - a->start[d] + tap * (a->start[2 + d] ? a->start[2 + d] : 1);
			} while (at[d] < 0 || at[d] >= x[2 + d]);
		o.v[i] = (double)(at[0] * x[3] + at[1]);
	}
	return o;
}

int check_adapt(uint32_t op, struct rein_attr *a, uint64_t seed, struct check_operand *in, int n)
{
	bool conv = op == REIN_OP_CONV2D_DX || op == REIN_OP_CONV2D_DW;
	bool pool = op == REIN_OP_MAX_POOL_DX || op == REIN_OP_AVG_POOL_DX;
	if (!conv && !pool)
		return n;
	const struct check_operand *like = &in[op == REIN_OP_CONV2D_DW];
	const int64_t *x = in[0].dim, *k = conv ? in[1].dim + 2 : a->step + 2;
	int64_t y[4] = { x[0], conv ? in[1].dim[0] : x[1], window_out(a, 0, x[2], k[0]), window_out(a, 1, x[3], k[1]) };
	struct check_operand g = gradient(seed, y);
	a->rank = 4;
	memcpy(a->dim, like->dim, 4 * sizeof *a->dim);
	if (op == REIN_OP_MAX_POOL_DX)
		in[n++] = places(a, seed, x, y);
	int to = op == REIN_OP_CONV2D_DW; /* g takes the place of what is asked for */
	free(in[to].v);
	in[to] = g;
	return n;
}

double check_terms(uint32_t op, const struct rein_attr *a, int n, const struct check_operand *in, int64_t n_out)
{
	double first = (double)in[0].count;
	switch (op) {
	case REIN_OP_MATMUL: return (double)in[0].dim[in[0].rank - (a->flags & REIN_TA ? 2 : 1)];
	case REIN_OP_CONV2D: return (double)in[1].count / (double)in[1].dim[0];
	case REIN_OP_CONV2D_DX: return (double)in[1].count / (double)in[1].dim[1];
	case REIN_OP_CONV2D_DW: return (double)in[1].count / (double)in[1].dim[1];
	case REIN_OP_MAX_POOL_DX:
	case REIN_OP_AVG_POOL:
	case REIN_OP_AVG_POOL_DX: return (double)(a->step[2] * a->step[3]);
	case REIN_OP_PUT: return (double)in[n - 2].count + 1;
	case REIN_OP_BATCH_NORM:
	case REIN_OP_BATCH_NORM_DX: return first / (double)in[1].count;
	default: return n_out && first > (double)n_out ? first / (double)n_out : first;
	}
}
