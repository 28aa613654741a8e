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

/* Inputs are states, so that nothing is folded while recording. */
static struct compiled *compile(struct rig *r, const struct expected *e, bool decompose)
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
		in[k] = recorder_read(rec, t[k]);
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
	struct compiled *c = compile(way(real_size, flags), e, decompose);
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
		bool decompose;
		const char *how;
	} ways[] = {
		{ 4, REIN_NAIVE | REIN_GUARD, false, "float, naive, guarded" },
		{ 8, REIN_NAIVE | REIN_GUARD, false, "double, naive, guarded" },
		{ 4, REIN_NAIVE, false, "float, naive" },
		{ 4, REIN_GUARD, false, "float, fast, guarded" },
		{ 4, 0, false, "float, fast" },
		{ 8, 0, true, "double, decomposed" },
		{ 4, 0, true, "float, decomposed" },
	};
	for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
		struct compiled *c = compile(way(ways[w].size, ways[w].flags), e, ways[w].decompose);
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
