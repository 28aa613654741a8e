/* SPDX-License-Identifier: MIT
 *
 * naive_sort.c: reference kernels of sort and smallest. Merge sort of positions, which is
 * stable: ties keep the lower index first in both directions. NaN ranks above +inf: last
 * when ascending, first when descending, as in PyTorch. work: two rows of positions.
 */
#include <string.h>

#include "naive.h"

/* True if a stands before b whatever their positions. */
#define BEFORE(fn, T)                                   \
	static bool fn(const void *x, int32_t i, int32_t j) \
	{                                                   \
		T a = ((const T *)x)[i], b = ((const T *)x)[j]; \
		return a < b || (b != b && a == a);             \
	}
BEFORE(before_real, real)
BEFORE(before_i32, int32_t)
BEFORE(before_u8, uint8_t)

typedef bool before_fn(const void *, int32_t, int32_t);

static before_fn *before_of(uint32_t dtype)
{
	return dtype == REIN_REAL_T ? before_real : dtype == REIN_I32_T ? before_i32 : before_u8;
}

/* Positions of x[0..n-1] in order; returns which of the two rows holds them. */
static int32_t *order(const void *x, int32_t n, before_fn *before, bool descending, int32_t *a, int32_t *b)
{
	for (int32_t i = 0; i < n; i++)
		a[i] = i;
	for (int64_t width = 1; width < n; width *= 2) {
		for (int64_t lo = 0; lo < n; lo += 2 * width) {
			int64_t mid = lo + width < n ? lo + width : n, hi = lo + 2 * width < n ? lo + 2 * width : n;
			int64_t i = lo, j = mid;
			for (int64_t k = lo; k < hi; k++) {
				/* the right one only if it must stand before the left one */
				bool right = i >= mid || (j < hi && (descending ? before(x, a[i], a[j]) : before(x, a[j], a[i])));
				b[k] = right ? a[j++] : a[i++];
			}
		}
		int32_t *t = a;
		a = b;
		b = t;
	}
	return a;
}

static rein_status sort(const struct call *c)
{
	const struct rein_prog_value *x = in_value(c, 0);
	int64_t n = x->rank ? x->dim[x->rank - 1] : 1, size = size_of(c->p, x->dtype);
	int32_t *work = c->work;
	for (int64_t r = 0; r < x->count / n; r++) {
		const char *row = (const char *)in_mem(c, 0) + r * n * size;
		const int32_t *at =
			order(row, (int32_t)n, before_of(x->dtype), c->i->attr.flags & REIN_DESCENDING, work, work + n);
		for (int64_t j = 0; j < n; j++) {
			if (out_mem(c, 0))
				memcpy((char *)out_mem(c, 0) + (r * n + j) * size, row + at[j] * size, (size_t)size);
			if (out_mem(c, 1))
				((int32_t *)out_mem(c, 1))[r * n + j] = at[j];
		}
	}
	return REIN_OK;
}

/* true where the rank in ascending order is below k */
static rein_status smallest(const struct call *c)
{
	const struct rein_prog_value *x = in_value(c, 0);
	int64_t n = x->rank ? x->dim[x->rank - 1] : 1, size = size_of(c->p, x->dtype);
	int32_t k = *(const int32_t *)in_mem(c, 1), *work = c->work;
	for (int64_t r = 0; r < x->count / n; r++) {
		const char *row = (const char *)in_mem(c, 0) + r * n * size;
		uint8_t *y = (uint8_t *)out_mem(c, 0) + r * n;
		const int32_t *at = order(row, (int32_t)n, before_of(x->dtype), false, work, work + n);
		for (int64_t j = 0; j < n; j++)
			y[at[j]] = j < k;
	}
	return REIN_OK;
}

naive_fn *NAIVE(naive_sort)(const struct rein_program *p, const struct rein_prog_instr *i)
{
	(void)p;
	return i->op == REIN_OP_SORT ? sort : i->op == REIN_OP_SMALLEST ? smallest : NULL;
}
