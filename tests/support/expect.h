/* SPDX-License-Identifier: MIT
 *
 * expect.h: one small recording run every way there is (float and double, naive and fast,
 * guarded and not) and held to expected numbers.
 */
#ifndef TEST_EXPECT_H
#define TEST_EXPECT_H

#include "rein/rein.h"
#include "rig.h"

struct tensor {
	uint32_t dtype, rank;
	int64_t dim[REIN_MAX_RANK];
	const double *v;
};
#define TENSOR(dtype, values, ...)                                                           \
	{                                                                                        \
		dtype, sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t), { __VA_ARGS__ }, values \
	}
#define SCALAR(dtype, values)   \
	{                           \
		dtype, 0, { 0 }, values \
	}

typedef void record_fn(struct rein_rec *r, const rein_val *in, rein_val *out);

/* want[i]: elements of output i, as many as it has. Equal, or both NaN, or nearer than
 * tol32 (float) or tol64 (double) times |want| + scale. */
struct expected {
	const char *what;
	record_fn *record;
	int n_in;
	const struct tensor *in;
	int n_out;
	const double *want[4];
	double tol32, tol64, scale;
};
void expect(const struct expected *);

/* The outputs of one way, for tests that compare ways: real_size 4 or 8, flags, isa or NULL. */
int64_t outputs(const struct expected *, uint32_t real_size, uint32_t flags, bool decompose, int i, double *out,
                int64_t room);

#endif
