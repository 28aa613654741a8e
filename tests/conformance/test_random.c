/* SPDX-License-Identifier: MIT
 *
 * Random programs, each run by reference kernels in double, reference kernels in float and
 * fast kernels. Promises held here: the fast kernels are about as accurate as the reference
 * in float; the same bits for 1 and 2 threads, for any layout of memory (guard bands) and on
 * a second run; no kernel writes outside of its values; no two live values overlap.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../support/rig.h"
#include "check.h"

#define MOST (1 << 22)

/* All outputs, then all states of the program, one after another. */
static int64_t results(struct rig *r, struct compiled *c, uint64_t seed, double *out, int64_t *at, int *n)
{
	const struct rein_program *p = &c->program->p;
	char prefix[32];
	int64_t used = 0;
	*n = 0;
	snprintf(prefix, sizeof prefix, "%llu.", (unsigned long long)seed);
	for (uint32_t i = 0; i < p->n_output; i++) {
		at[(*n)++] = used;
		used += rig_output(c, i, out + used, MOST - used);
	}
	for (int i = 0; i < r->store->n; i++) {
		struct state *s = r->store->state[i];
		if (strncmp(s->name, prefix, strlen(prefix)))
			continue;
		at[(*n)++] = used;
		cr_assert_leq(used + s->count, MOST);
		rig_get(r, s, out + used);
		used += s->count;
	}
	at[*n] = used;
	return used;
}

/* Largest error of a tensor, as a share of its largest number (at least 1). */
static double error(const double *got, const double *truth, int64_t n, double *scale)
{
	double worst = 0;
	*scale = 1;
	for (int64_t i = 0; i < n; i++)
		if (isfinite(truth[i]))
			*scale = fmax(*scale, fabs(truth[i]));
	for (int64_t i = 0; i < n; i++) {
		if (isnan(got[i]) && isnan(truth[i]))
			continue;
		double d = got[i] == truth[i] ? 0 : fabs(got[i] - truth[i]);
		worst = !(d <= worst) ? (isnan(d) ? INFINITY : d) : worst;
	}
	return worst / *scale;
}

static void compare(uint64_t seed, const double *fast, const double *naive, const double *truth, const int64_t *at,
                    int n)
{
	const struct check_bound bound = check_bound(CHECK_PROGRAMS, NULL, CHECK_FP32);
	for (int k = 0; k < n; k++) {
		double scale, e = error(fast + at[k], truth + at[k], at[k + 1] - at[k], &scale);
		double ref = error(naive + at[k], truth + at[k], at[k + 1] - at[k], &scale);
		cr_assert(ref < 2e-3, "program %d, result %d: float and double differ by %g of %g", (int)seed, k, ref, scale);
		cr_assert(e <= CHECK_OF_REF * ref + bound.by,
		          "program %d, result %d: the fast kernels are off by %g of %g, the reference by %g", (int)seed, k, e,
		          scale, ref);
	}
}

static void same_bits(uint64_t seed, const double *a, const double *b, int64_t n, const char *when)
{
	for (int64_t i = 0; i < n; i++)
		cr_assert(!memcmp(&a[i], &b[i], sizeof *a) || (isnan(a[i]) && isnan(b[i])),
		          "program %d, %s: element %lld is %.9g on one thread, %.9g on two with guards", (int)seed, when,
		          (long long)i, a[i], b[i]);
}

enum { TRUTH, NAIVE, ONE, GUARDED, PLAIN, N_WAYS };

static void programs(uint64_t from, uint64_t to, int ops)
{
	static double out[N_WAYS][MOST];
	static int64_t at[2048];
	struct rig *const rig[N_WAYS] = {
		[TRUTH] = rig_create(REIN_NAIVE, 1, 8),
		[NAIVE] = rig_create(REIN_NAIVE | REIN_GUARD, 1, 4),
		[ONE] = rig_create(0, 1, 4),
		[GUARDED] = rig_create(REIN_GUARD, 2, 4),
		[PLAIN] = rig_create_isa(0, 2, 4, "plain"),
	};
	if (getenv("REIN_TEST_BACKEND")) /* an emulated device takes its time */
		to = from + (to - from + 9) / 10;
	for (uint64_t seed = from; seed < to; seed++) {
		struct compiled *c[N_WAYS];
		int n = 0;
		int64_t used = 0;
		for (int k = 0; k < N_WAYS; k++) {
			c[k] = rig_random(rig[k], seed, ops);
			rig_run(c[k]);
			used = results(rig[k], c[k], seed, out[k], at, &n);
		}
		compare(seed, out[ONE], out[NAIVE], out[TRUTH], at, n);
		compare(seed, out[PLAIN], out[NAIVE], out[TRUTH], at, n);
		same_bits(seed, out[ONE], out[GUARDED], used, "first run");
		/* again with updated states, in memory that holds the last run; what was exact no longer
		 * is, so only bits are compared */
		for (int k = ONE; k <= GUARDED; k++) {
			rig_run(c[k]);
			results(rig[k], c[k], seed, out[k], at, &n);
		}
		same_bits(seed, out[ONE], out[GUARDED], used, "second run");
		for (int k = 0; k < N_WAYS; k++)
			compiled_destroy(c[k]);
	}
	for (int k = 0; k < N_WAYS; k++)
		rig_destroy(rig[k]);
}

Test(random, short_programs) { programs(1, 150, 4); }
Test(random, programs) { programs(10000, 10050, 16); }
Test(random, long_programs) { programs(20000, 20010, 60); }
