/* SPDX-License-Identifier: MIT
 *
 * expect.c: see expect.h. Backends are opened once per process and way.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"

static struct rig *way(uint32_t real_size, uint32_t flags)
{
	static struct rig *kept[8];
	struct rig **r = &kept[(flags & 3) + (real_size == 8 ? 4 : 0)];
	if (!*r)
		*r = rig_create(flags, 2, real_size);
	return *r;
}

/* The input as a constant: then the recorder folds what it can. */
static rein_val constant(struct rein_rec *r, const struct tensor *t)
{
	int64_t n = 1;
	for (uint32_t a = 0; a < t->rank; a++)
		n *= t->dim[a];
	int32_t *whole = malloc((size_t)n * sizeof *whole);
	uint8_t *byte = malloc((size_t)n);
	for (int64_t i = 0; i < n; i++) {
		whole[i] = t->dtype == REIN_I32_T ? (int32_t)t->v[i] : 0;
		byte[i] = t->dtype == REIN_U8_T || t->dtype == REIN_BOOL_T ? (uint8_t)t->v[i] : 0;
	}
	const void *data = t->dtype == REIN_REAL_T  ? (const void *)t->v
	                   : t->dtype == REIN_I32_T ? (void *)whole
	                                            : (void *)byte;
	rein_val v = rein_const(r, t->dtype, t->rank, t->dim, data);
	free(whole);
	free(byte);
	return v;
}

/* Inputs are states, so that nothing is folded while recording, unless `fold`. */
static struct compiled *compile(struct rig *r, const struct expected *e, bool decompose, bool fold)
{
	static int number;
	rein_val in[8], out[4];
	struct state *t[8];
	char name[64];
	for (int k = 0; k < e->n_in; k++) {
		snprintf(name, sizeof name, "in%d.%d", number, k);
		t[k] = rig_state(r, name, e->in[k].dtype, e->in[k].rank, e->in[k].dim, e->in[k].v);
	}
	number++;
	struct recorder *rec = rig_record(r, e->what, decompose);
	for (int k = 0; k < e->n_in; k++)
		in[k] = fold ? constant(recorder_rec(rec), &e->in[k]) : recorder_read(rec, t[k]);
	e->record(recorder_rec(rec), in, out);
	for (int k = 0; k < e->n_out; k++)
		recorder_output(rec, out[k]);
	struct compiled *c = rig_compile(r, recorder_finish(rec, r->diag));
	recorder_destroy(rec);
	return c;
}

int64_t outputs(const struct expected *e, uint32_t real_size, uint32_t flags, bool decompose, int i, double *out,
                int64_t room)
{
	struct compiled *c = compile(way(real_size, flags), e, decompose, false);
	rig_run(c);
	int64_t n = rig_output(c, (uint32_t)i, out, room);
	compiled_destroy(c);
	return n;
}

static void compare(const struct expected *e, int k, const double *got, int64_t n, double tol, const char *how)
{
	for (int64_t i = 0; i < n; i++) {
		double want = e->want[k][i];
		bool same =
			got[i] == want || (isnan(got[i]) && isnan(want)) || fabs(got[i] - want) <= tol * (fabs(want) + e->scale);
		cr_assert(same, "%s, %s: output %d, element %lld is %.17g, expected %.17g", e->what, how, k, (long long)i,
		          got[i], want);
	}
}

void expect(const struct expected *e)
{
	static const struct {
		uint32_t size, flags;
		bool decompose, fold;
		const char *how;
	} ways[] = {
		{ 4, REIN_NAIVE | REIN_GUARD, false, false, "float, naive, guarded" },
		{ 8, REIN_NAIVE | REIN_GUARD, false, false, "double, naive, guarded" },
		{ 4, REIN_NAIVE, false, false, "float, naive" },
		{ 4, REIN_GUARD, false, false, "float, fast, guarded" },
		{ 4, 0, false, false, "float, fast" },
		{ 8, 0, true, false, "double, decomposed" },
		{ 4, 0, true, false, "float, decomposed" },
		{ 4, 0, false, true, "float, of constants" },
		{ 8, 0, false, true, "double, of constants" },
	};
	for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
		struct compiled *c = compile(way(ways[w].size, ways[w].flags), e, ways[w].decompose, ways[w].fold);
		for (int again = 0; again < 2; again++) /* a second run meets what the first one left in memory */
			rig_run(c);
		for (int k = 0; k < e->n_out; k++) {
			static double got[1 << 16];
			int64_t n = rig_output(c, (uint32_t)k, got, 1 << 16);
			compare(e, k, got, n, ways[w].size == 8 ? e->tol64 : e->tol32, ways[w].how);
		}
		compiled_destroy(c);
	}
}
