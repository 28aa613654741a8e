/* SPDX-License-Identifier: MIT
 *
 * test_fold.c: nothing that cleaning does can be seen in the numbers. Random programs of
 * ops that are exact in double are recorded twice: with their constants as constants, so
 * that folding and identities have their way, and with the same numbers as states, so that
 * they have not. Zeros of both signs, infinities and NaN are among them.
 */
#include "harness.h"

#define N_OPS 40

static uint64_t state;
static uint32_t next(uint32_t n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 33) % n;
}

static const double numbers[] = { 0, -0.0, 1, -1, 2, 0.5, 3, 0, -0.0, 1, -1, NAN, INFINITY };
#define N_NUMBERS (sizeof numbers / sizeof *numbers)

static const int64_t shapes[][3] = { { 2, 3, 4 }, { 1, 3, 4 }, { 2, 3, 1 }, { 1, 1, 1 }, { 2, 1, 4 } };

/* A tensor of one number: a constant, or (hidden) a state that holds it. */
static rein_val uniform(struct bench *b, struct rein_rec *r, int number, bool hidden)
{
	double v = numbers[next(N_NUMBERS)], data[24];
	const int64_t *dim = shapes[next(5)];
	uint32_t rank = next(2) ? 3 : 0, dtype = next(3) ? REIN_REAL_T : REIN_BOOL_T;
	char name[16];
	if (dtype == REIN_BOOL_T)
		v = v > 0;
	if (!hidden)
		return rein_fill(r, dtype, v, rank, dim);
	for (int i = 0; i < 24; i++)
		data[i] = v;
	snprintf(name, sizeof name, "c%d", number);
	return bench_input(b, name, dtype, rank, dim, data);
}

static rein_val varied(struct bench *b, int number)
{
	double data[24];
	char name[16];
	for (int i = 0; i < 24; i++)
		data[i] = next(2) ? numbers[next(N_NUMBERS)] : (double)next(17) / 4 - 2;
	snprintf(name, sizeof name, "v%d", number);
	return bench_input(b, name, REIN_REAL_T, 3, shapes[next(5)], data);
}

static rein_val view(struct rein_rec *r, rein_val x)
{
	static const int64_t order[4][3] = { { 0, 1, 2 }, { 2, 0, 1 }, { 1, 2, 0 }, { 0, 2, 1 } };
	int64_t flat = 1, dim[3];
	for (int32_t i = 0; i < rein_rank(r, x); i++)
		flat *= dim[i] = rein_dim(r, x, i);
	switch (next(6)) {
	case 0: return rein_reshape(r, rein_reshape(r, x, 1, &flat), (uint32_t)rein_rank(r, x), dim);
	case 1: /* there and back, not always */
		x = rein_rank(r, x) == 3 ? rein_permute(r, x, 3, order[next(4)]) : x;
		return rein_rank(r, x) == 3 ? rein_permute(r, x, 3, order[next(4)]) : x;
	case 2:
		return rein_rank(r, x) == 3 && rein_dim(r, x, 0) == 1 ? rein_expand(r, x, 3, (int64_t[]){ 2, dim[1], dim[2] })
		                                                      : x;
	case 3: return rein_rank(r, x) == 0 ? rein_expand(r, x, 3, shapes[next(5)]) : x;
	case 4: return rein_rank(r, x) == 3 ? rein_narrow(r, x, 1, 0, dim[1] > 1 ? dim[1] - next(2) : 1) : x;
	default: return rein_rank(r, x) == 3 ? rein_concat(r, 1, &x, 1) : x;
	}
}

/* One more value from those there are; shapes that do not fit give a scalar of one of them. */
static rein_val grow_by_one(struct rein_rec *r, const rein_val *v, int n)
{
	static rein_val (*const two[])(struct rein_rec *, rein_val, rein_val) = { rein_add, rein_sub, rein_mul, rein_mul,
		                                                                      rein_div, rein_max, rein_add };
	static rein_val (*const compare[])(struct rein_rec *, rein_val, rein_val) = { rein_lt, rein_le, rein_eq };
	static rein_val (*const one[])(struct rein_rec *, rein_val) = { rein_abs, rein_sign, rein_floor, rein_rint,
		                                                            rein_neg };
	rein_val a = v[next((uint32_t)n)], b = v[next((uint32_t)n)], c = v[next((uint32_t)n)];
	bool ra = rein_dtype(r, a) == REIN_REAL_T, rb = rein_dtype(r, b) == REIN_REAL_T,
		 rc = rein_dtype(r, c) == REIN_REAL_T;
	bool fit = rein_rank(r, a) == 0 || rein_rank(r, b) == 0;
	for (int i = 0; !fit && i < 3; i++) {
		int64_t p = rein_dim(r, a, i), q = rein_dim(r, b, i);
		if (p != q && p != 1 && q != 1)
			break;
		fit = i == 2;
	}
	switch (next(8)) {
	case 0: return view(r, a);
	case 1: return ra ? one[next(5)](r, a) : rein_not(r, a);
	case 2: return ra && rb && fit ? compare[next(3)](r, a, b) : rein_cast(r, a, REIN_REAL_T);
	case 3: return !ra && !rb && fit ? rein_and(r, a, b) : a;
	case 4: /* where over one shape */
		return !rc && rein_rank(r, c) == 0 && ra == rb && fit ? rein_where(r, c, a, b) : a;
	case 5: return ra ? rein_amax(r, a, next(8), REIN_KEEP) : rein_cast(r, a, REIN_REAL_T);
	default: return ra && rb && fit ? two[next(7)](r, a, b) : a;
	}
}

/* Records program number `seed` and gives its outputs, all in one row. */
static int outputs(uint64_t seed, bool hidden, double *out, uint32_t *n_instr)
{
	struct bench *b = bench_open("cpu", 8, REIN_NAIVE);
	struct rein_rec *r = bench_record(b);
	rein_val v[8 + N_OPS];
	int n = 0, at = 0;

	state = seed;
	for (; n < 8; n++)
		v[n] = n < 5 ? uniform(b, r, n, hidden) : varied(b, n);
	for (; n < 8 + N_OPS; n++)
		v[n] = grow_by_one(r, v, n);
	for (int k = 8; k < n; k++)
		bench_output(b, v[k]);
	bench_run(b);
	*n_instr = b->compiled->program->p.n_instr;
	for (int k = 0; k < N_OPS; k++) {
		const struct rein_program *p = &b->compiled->program->p;
		int64_t count = p->value[p->output[k]].count;
		bench_get(b, (uint32_t)k, out + at, count);
		at += (int)count;
	}
	bench_close(b);
	return at;
}

Test(fold, cannot_be_seen)
{
	static double a[N_OPS * 24], b[N_OPS * 24];
	uint32_t folded = 0, plain = 0;
	for (uint64_t seed = 1; seed <= 150; seed++) {
		uint32_t n_a, n_b;
		int n = outputs(seed, false, a, &n_a), m = outputs(seed, true, b, &n_b);
		cr_assert_eq(n, m);
		for (int i = 0; i < n; i++)
			cr_expect((a[i] == b[i] && signbit(a[i]) == signbit(b[i])) || (isnan(a[i]) && isnan(b[i])),
			          "program %d: number %d is %g folded, %g not", (int)seed, i, a[i], b[i]);
		folded += n_a;
		plain += n_b;
	}
	cr_expect_lt(folded, plain, "nothing was folded");
}
