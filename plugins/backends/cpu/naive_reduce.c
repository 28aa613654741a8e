/* SPDX-License-Identifier: MIT
 *
 * naive_reduce.c: reference kernels of sums, maxima and scans. REAL is accumulated in
 * double, in row-major order of the operand, so that the result is the nearest REAL to
 * the sum but for one rounding.
 */
#include <math.h>
#include <string.h>

#include "naive.h"

/* Result element o starts at offset_of(o, kept), then n runs of `len` elements `step` apart. */
struct reduce {
	int64_t n_out, n, len, step;
	uint32_t kept, runs;
	int64_t kept_dim[REIN_MAX_RANK], kept_stride[REIN_MAX_RANK];
	int64_t run_dim[REIN_MAX_RANK], run_stride[REIN_MAX_RANK];
};

static void reduce_init(struct reduce *d, const struct rein_prog_value *x, uint32_t axes)
{
	int64_t stride[REIN_MAX_RANK] = { 0 };
	strides_of(x, stride);
	*d = (struct reduce){ .n_out = 1, .n = 1, .len = 1 };
	for (uint32_t a = 0; a < x->rank; a++) {
		if (axes >> a & 1) {
			d->run_dim[d->runs] = x->dim[a];
			d->run_stride[d->runs++] = stride[a];
			d->n *= x->dim[a];
		} else {
			d->kept_dim[d->kept] = x->dim[a];
			d->kept_stride[d->kept++] = stride[a];
			d->n_out *= x->dim[a];
		}
	}
	if (d->runs) {
		d->runs--;
		d->len = d->run_dim[d->runs];
		d->step = d->run_stride[d->runs];
		d->n /= d->len;
	}
}

/* Runs `each` with x bound to every element that result o is made of, in order. */
#define REDUCE(fn, T, R, A, start, each, end)                                                          \
	static rein_status fn(const struct call *c)                                                        \
	{                                                                                                  \
		struct reduce d;                                                                               \
		reduce_init(&d, in_value(c, 0), c->i->attr.axes);                                              \
		for (int64_t o = 0; o < d.n_out; o++) {                                                        \
			const T *base = (const T *)in_mem(c, 0) + offset_of(o, d.kept, d.kept_dim, d.kept_stride); \
			A acc = start;                                                                             \
			for (int64_t r = 0; r < d.n; r++) {                                                        \
				const T *run = base + offset_of(r, d.runs, d.run_dim, d.run_stride);                   \
				for (int64_t j = 0; j < d.len; j++) {                                                  \
					const T x = run[j * d.step];                                                       \
					each;                                                                              \
				}                                                                                      \
			}                                                                                          \
			((R *)out_mem(c, 0))[o] = (R)(end);                                                        \
		}                                                                                              \
		return REIN_OK;                                                                                \
	}
#define LARGER acc = acc != acc ? acc : x != x || x > acc ? x : acc
REDUCE(sum_real, real, real, double, 0, acc += (double)x, acc)
REDUCE(sum_real_wide, real, double, double, 0, acc += (double)x, acc)
REDUCE(sum_wide, double, double, double, 0, acc += x, acc)
REDUCE(sum_i32, int32_t, uint32_t, uint32_t, 0, acc += (uint32_t)x, acc)
REDUCE(sum_bool, uint8_t, uint32_t, uint32_t, 0, acc += x != 0, acc)
REDUCE(amax_real, real, real, real, -(real)INFINITY, LARGER, acc)
REDUCE(amax_i32, int32_t, int32_t, int32_t, INT32_MIN, acc = x > acc ? x : acc, acc)
REDUCE(amax_bool, uint8_t, uint8_t, uint8_t, 0, acc |= x != 0, acc)

/* mean = sum x / n, then variance = sum (x - mean)^2 / n: two passes, never E[x^2] - E[x]^2 */
static rein_status moments(const struct call *c)
{
	struct reduce d;
	reduce_init(&d, in_value(c, 0), c->i->attr.axes);
	double n = (double)(d.n * d.len);
	for (int64_t o = 0; o < d.n_out; o++) {
		const real *base = (const real *)in_mem(c, 0) + offset_of(o, d.kept, d.kept_dim, d.kept_stride);
		double mean = 0, var = 0;
		for (int pass = 0; pass < 2; pass++) {
			for (int64_t r = 0; r < d.n; r++) {
				const real *run = base + offset_of(r, d.runs, d.run_dim, d.run_stride);
				for (int64_t j = 0; j < d.len; j++) {
					double x = (double)run[j * d.step];
					if (pass)
						var += (x - mean) * (x - mean);
					else
						mean += x;
				}
			}
			if (!pass)
				mean /= n;
		}
		if (out_mem(c, 0))
			((real *)out_mem(c, 0))[o] = (real)mean;
		if (out_mem(c, 1))
			((real *)out_mem(c, 1))[o] = (real)(var / n);
	}
	return REIN_OK;
}

/* The first of ties; the first NaN ranks above +inf. */
#define ARGMAX(fn, T)                                                         \
	static rein_status fn(const struct call *c)                               \
	{                                                                         \
		struct lines l = lines_of(in_value(c, 0), axis_of(&c->i->attr));      \
		for (int64_t o = 0; o < l.outer; o++) {                               \
			for (int64_t k = 0; k < l.inner; k++) {                           \
				const T *x = (const T *)in_mem(c, 0) + o * l.n * l.inner + k; \
				int64_t best = 0;                                             \
				for (int64_t j = 1; j < l.n; j++) {                           \
					T a = x[j * l.inner], b = x[best * l.inner];              \
					if (b == b && (a != a || a > b))                          \
						best = j;                                             \
				}                                                             \
				((int32_t *)out_mem(c, 0))[o * l.inner + k] = (int32_t)best;  \
			}                                                                 \
		}                                                                     \
		return REIN_OK;                                                       \
	}
ARGMAX(argmax_real, real)
ARGMAX(argmax_i32, int32_t)
ARGMAX(argmax_u8, uint8_t)

#define CUMSUM(fn, T, A)                                                                       \
	static rein_status fn(const struct call *c)                                                \
	{                                                                                          \
		struct lines l = lines_of(in_value(c, 0), axis_of(&c->i->attr));                       \
		bool exclusive = c->i->attr.flags & REIN_EXCLUSIVE;                                    \
		for (int64_t o = 0; o < l.outer; o++) {                                                \
			for (int64_t k = 0; k < l.inner; k++) {                                            \
				const T *x = (const T *)in_mem(c, 0) + o * l.n * l.inner + k;                  \
				T *y = (T *)out_mem(c, 0) + o * l.n * l.inner + k;                             \
				A acc = 0;                                                                     \
				for (int64_t i = 0; i < l.n; i++) {                                            \
					int64_t j = (c->i->attr.flags & REIN_REVERSE ? l.n - 1 - i : i) * l.inner; \
					A before = acc;                                                            \
					acc += (A)x[j];                                                            \
					y[j] = (T)(exclusive ? before : acc);                                      \
				}                                                                              \
			}                                                                                  \
		}                                                                                      \
		return REIN_OK;                                                                        \
	}
CUMSUM(cumsum_real, real, double)
CUMSUM(cumsum_wide, double, double)
CUMSUM(cumsum_i32, uint32_t, uint32_t)

naive_fn *NAIVE(naive_reduce)(const struct rein_program *p, const struct rein_prog_instr *i)
{
	uint32_t d = i->n_in ? p->value[i->in[0]].dtype : 0;
	switch (i->op) {
	case REIN_OP_SUM:
		if (d == REIN_REAL_T)
			return p->value[i->out[0]].dtype == REIN_WIDE_T ? sum_real_wide : sum_real;
		return d == REIN_WIDE_T ? sum_wide : d == REIN_I32_T ? sum_i32 : d == REIN_BOOL_T ? sum_bool : NULL;
	case REIN_OP_AMAX:
		return d == REIN_REAL_T ? amax_real : d == REIN_I32_T ? amax_i32 : d == REIN_BOOL_T ? amax_bool : NULL;
	case REIN_OP_ARGMAX:
		return d == REIN_REAL_T ? argmax_real : d == REIN_I32_T ? argmax_i32 : d == REIN_WIDE_T ? NULL : argmax_u8;
	case REIN_OP_CUMSUM:
		return d == REIN_REAL_T ? cumsum_real : d == REIN_WIDE_T ? cumsum_wide : d == REIN_I32_T ? cumsum_i32 : NULL;
	case REIN_OP_MOMENTS: return moments;
	default: return NULL;
	}
}
