/* SPDX-License-Identifier: MIT
 *
 * What happens between ops: commits and their order, reads of the old version, swaps, loops
 * with early exit, draws, customs, outputs after several runs. Each program runs naive and
 * fast, guarded and not.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../support/rig.h"
#include "rein/rein.h"

static const uint32_t ways[] = { REIN_NAIVE | REIN_GUARD, REIN_NAIVE, REIN_GUARD, 0 };
#define N_WAYS 4

static rein_val state_read(struct recorder *rec, struct rig *r, const char *name)
{
	struct state *t = store_find(r->store, name);
	cr_assert(t != NULL);
	return recorder_read(rec, t);
}
static void assign(struct recorder *rec, struct rig *r, const char *name, rein_val v)
{
	recorder_assign(rec, store_find(r->store, name), v, REIN_NONE);
}
static struct compiled *done(struct rig *r, struct recorder *rec)
{
	struct compiled *c = rig_compile(r, recorder_finish(rec, r->diag));
	recorder_destroy(rec);
	return c;
}
static void holds(struct rig *r, const char *name, int n, const double *want)
{
	double v[64];
	rig_get(r, store_find(r->store, name), v);
	for (int i = 0; i < n; i++)
		cr_assert_float_eq(v[i], want[i], 1e-5, "%s[%d] is %g, expected %g", name, i, v[i], want[i]);
}

/* w := w - 0.5 g is computed in w itself; the old w is not needed any more. */
Test(states, update_in_place)
{
	for (int k = 0; k < N_WAYS; k++) {
		struct rig *r = rig_create(ways[k], 2, 4);
		rig_state(r, "w", REIN_REAL_T, 1, (int64_t[]){ 4 }, (double[]){ 1, 2, 3, 4 });
		rig_state(r, "g", REIN_REAL_T, 1, (int64_t[]){ 4 }, (double[]){ 2, 2, 4, 4 });
		struct recorder *rec = rig_record(r, "update", false);
		struct rein_rec *q = recorder_rec(rec);
		assign(rec, r, "w", rein_sub(q, state_read(rec, r, "w"), rein_scale(q, state_read(rec, r, "g"), 0.5)));
		struct compiled *c = done(r, rec);
		cr_assert_eq(c->plan->copied[0], 0);
		cr_assert_geq(compiled_run(c, 3), 0);
		holds(r, "w", 4, (double[]){ -2, -1, -3, -2 });
		compiled_destroy(c);
		rig_destroy(r);
	}
}

/* The old version is an output, so it must survive: the commit is a copy at the end. */
Test(states, old_version_is_kept_for_its_readers)
{
	for (int k = 0; k < N_WAYS; k++) {
		struct rig *r = rig_create(ways[k], 2, 4);
		double out[4];
		rig_state(r, "w", REIN_REAL_T, 1, (int64_t[]){ 4 }, (double[]){ 1, 2, 3, 4 });
		struct recorder *rec = rig_record(r, "late", false);
		struct rein_rec *q = recorder_rec(rec);
		rein_val w = state_read(rec, r, "w"), two = rein_scale(q, w, 2);
		assign(rec, r, "w", two);
		recorder_output(rec, rein_sum(q, rein_mul(q, two, w))); /* reads old and new */
		struct compiled *c = done(r, rec);
		rig_run(c);
		rig_output(c, 0, out, 4);
		cr_assert_float_eq(out[0], 60, 1e-4);
		holds(r, "w", 4, (double[]){ 2, 4, 6, 8 });
		compiled_destroy(c);
		rig_destroy(r);
	}
}

/* A permuted read cannot be overwritten element by element. */
Test(states, transposed_update)
{
	for (int k = 0; k < N_WAYS; k++) {
		struct rig *r = rig_create(ways[k], 2, 4);
		rig_state(r, "w", REIN_REAL_T, 2, (int64_t[]){ 3, 3 }, (double[]){ 1, 2, 3, 4, 5, 6, 7, 8, 9 });
		struct recorder *rec = rig_record(r, "transpose", false);
		struct rein_rec *q = recorder_rec(rec);
		rein_val w = state_read(rec, r, "w"), t = rein_permute(q, w, 2, (int64_t[]){ 1, 0 });
		assign(rec, r, "w", rein_add(q, rein_scale(q, w, 10), t));
		struct compiled *c = done(r, rec);
		rig_run(c);
		holds(r, "w", 9, (double[]){ 11, 24, 37, 42, 55, 68, 73, 86, 99 });
		compiled_destroy(c);
		rig_destroy(r);
	}
}

/* Two states trade places; a third gets the old first one. */
Test(states, swap)
{
	for (int k = 0; k < N_WAYS; k++) {
		struct rig *r = rig_create(ways[k], 2, 4);
		rig_state(r, "a", REIN_REAL_T, 1, (int64_t[]){ 2 }, (double[]){ 1, 2 });
		rig_state(r, "b", REIN_REAL_T, 1, (int64_t[]){ 2 }, (double[]){ 3, 4 });
		rig_state(r, "c", REIN_REAL_T, 1, (int64_t[]){ 2 }, (double[]){ 5, 6 });
		struct recorder *rec = rig_record(r, "swap", false);
		rein_val a = state_read(rec, r, "a"), b = state_read(rec, r, "b");
		assign(rec, r, "a", b);
		assign(rec, r, "b", a);
		assign(rec, r, "c", a);
		struct compiled *c = done(r, rec);
		rig_run(c);
		holds(r, "a", 2, (double[]){ 3, 4 });
		holds(r, "b", 2, (double[]){ 1, 2 });
		holds(r, "c", 2, (double[]){ 1, 2 });
		rig_run(c);
		holds(r, "a", 2, (double[]){ 1, 2 });
		holds(r, "c", 2, (double[]){ 3, 4 });
		compiled_destroy(c);
		rig_destroy(r);
	}
}

/* One value for two states, and a slice of one. */
Test(states, one_value_twice)
{
	for (int k = 0; k < N_WAYS; k++) {
		struct rig *r = rig_create(ways[k], 2, 4);
		rig_state(r, "x", REIN_REAL_T, 1, (int64_t[]){ 4 }, (double[]){ 1, 2, 3, 4 });
		rig_state(r, "y", REIN_REAL_T, 1, (int64_t[]){ 4 }, NULL);
		rig_state(r, "z", REIN_REAL_T, 1, (int64_t[]){ 2 }, NULL);
		struct recorder *rec = rig_record(r, "twice", false);
		struct rein_rec *q = recorder_rec(rec);
		rein_val v = rein_offset(q, state_read(rec, r, "x"), 1);
		assign(rec, r, "x", v);
		assign(rec, r, "y", v);
		assign(rec, r, "z", rein_narrow(q, v, 0, 2, 2));
		struct compiled *c = done(r, rec);
		cr_assert_geq(compiled_run(c, 2), 0);
		holds(r, "x", 4, (double[]){ 3, 4, 5, 6 });
		holds(r, "y", 4, (double[]){ 3, 4, 5, 6 });
		holds(r, "z", 2, (double[]){ 5, 6 });
		compiled_destroy(c);
		rig_destroy(r);
	}
}

/* --- loops: x doubles until it passes 100 (per row), counting rounds ------------------- */
static void body(void *ctx, struct rein_rec *r, rein_val i, rein_val *carry)
{
	rein_val x = rein_scale(r, carry[0], 2);
	(void)ctx;
	carry[3] = rein_add(r, carry[3], i);
	carry[1] = rein_lt(r, x, rein_scalar(r, 100));
	carry[0] = x;
	carry[2] = rein_add(r, carry[2], rein_scalar_i(r, 1));
}

static void loop(uint32_t flags, uint32_t max, const double *want_x, double rounds, double sum)
{
	for (int k = 0; k < N_WAYS; k++) {
		for (int unroll = 0; unroll < 2; unroll++) {
			struct rig *r = rig_create(ways[k], 2, 4);
			double out[4];
			rig_state(r, "x", REIN_REAL_T, 1, (int64_t[]){ 3 }, (double[]){ 1, 30, 90 });
			rig_state(r, "go", REIN_BOOL_T, 1, (int64_t[]){ 3 }, (double[]){ 1, 1, 1 });
			rig_state(r, "n", REIN_I32_T, 0, NULL, NULL);
			struct recorder *rec = rig_record(r, "loop", false);
			struct rein_rec *q = recorder_rec(rec);
			rein_val n = state_read(rec, r, "n"),
					 carry[4] = { state_read(rec, r, "x"), state_read(rec, r, "go"), n, n };
			struct rein_loop l = { .struct_size = sizeof l,
				                   .max = max,
				                   .n_carry = 4,
				                   .active = 1,
				                   .flags = flags | (unroll ? REIN_UNROLL : 0) };
			rein_repeat(q, &l, carry, body, NULL);
			for (int o = 0; o < 4; o++)
				recorder_output(rec, carry[o]);
			struct compiled *c = done(r, rec);
			for (int again = 0; again < 2; again++) {
				rig_run(c);
				rig_output(c, 0, out, 4);
				for (int o = 0; o < 3; o++)
					cr_assert_float_eq(out[o], want_x[o], 1e-3, "row %d: %g, expected %g", o, out[o], want_x[o]);
				rig_output(c, 2, out, 4);
				cr_assert_eq(out[0], rounds, "%g rounds", out[0]);
				rig_output(c, 3, out, 4);
				cr_assert_eq(out[0], sum, "rounds sum to %g", out[0]);
			}
			compiled_destroy(c);
			rig_destroy(r);
		}
	}
}
/* 1 needs seven doublings to pass 100, the others go on without freezing */
Test(states, loop_ends_when_none_is_active) { loop(0, 50, (double[]){ 128, 3840, 11520 }, 7, 21); }
/* frozen rows keep the value before the round in which they fell */
Test(states, loop_freezes_rows) { loop(REIN_FREEZE, 50, (double[]){ 64, 60, 90 }, 7, 21); }
Test(states, loop_ends_at_max) { loop(0, 3, (double[]){ 8, 240, 720 }, 3, 3); }

/* Carried values that trade places, a captured one, and a loop inside a loop. */
static void inner(void *ctx, struct rein_rec *r, rein_val i, rein_val *carry)
{
	(void)i;
	carry[0] = rein_add(r, carry[0], *(rein_val *)ctx);
}
struct outer_ctx {
	rein_val step;
};
static void outer(void *ctx, struct rein_rec *r, rein_val i, rein_val *carry)
{
	struct outer_ctx *o = ctx;
	struct rein_loop l = { .struct_size = sizeof l, .max = 3, .n_carry = 1, .active = -1 };
	rein_val a = carry[0], b = carry[1], c[1] = { carry[2] };
	(void)i;
	rein_repeat(r, &l, c, inner, &o->step);
	carry[0] = b;
	carry[1] = a;
	carry[2] = c[0];
}
Test(states, loops_nest_and_carried_values_trade_places)
{
	for (int k = 0; k < N_WAYS; k++) {
		struct rig *r = rig_create(ways[k], 2, 4);
		double out[2];
		rig_state(r, "a", REIN_REAL_T, 1, (int64_t[]){ 2 }, (double[]){ 1, 2 });
		rig_state(r, "b", REIN_REAL_T, 1, (int64_t[]){ 2 }, (double[]){ 3, 4 });
		rig_state(r, "step", REIN_REAL_T, 1, (int64_t[]){ 2 }, (double[]){ 1, 10 });
		struct recorder *rec = rig_record(r, "nest", false);
		rein_val a = state_read(rec, r, "a"), carry[3] = { a, state_read(rec, r, "b"), a };
		struct outer_ctx ctx = { state_read(rec, r, "step") };
		struct rein_loop l = { .struct_size = sizeof l, .max = 5, .n_carry = 3, .active = -1 };
		rein_repeat(recorder_rec(rec), &l, carry, outer, &ctx);
		for (int o = 0; o < 3; o++)
			recorder_output(rec, carry[o]);
		assign(rec, r, "a", carry[1]);
		struct compiled *c = done(r, rec);
		rig_run(c);
		rig_output(c, 0, out, 2);
		cr_assert(out[0] == 3 && out[1] == 4);
		rig_output(c, 2, out, 2);
		cr_assert(out[0] == 16 && out[1] == 152, "%g %g", out[0], out[1]);
		holds(r, "a", 2, (double[]){ 1, 2 });
		compiled_destroy(c);
		rig_destroy(r);
	}
}

/* --- draws: the counter is (element / 4, sample or step, epoch, loop) -------------------- */
Test(states, draws)
{
	for (int k = 0; k < N_WAYS; k++) {
		struct rig *r = rig_create(ways[k], 2, 4);
		double u[15], v[15], w[7], n[7];
		rig_state(r, "id", REIN_I32_T, 1, (int64_t[]){ 3 }, (double[]){ 7, 100, 7 });
		rig_state(r, "step", REIN_I32_T, 0, NULL, (double[]){ 5 });
		rig_state(r, "epoch", REIN_I32_T, 0, NULL, (double[]){ 2 });
		struct recorder *rec = rig_record(r, "draws", false);
		struct rein_rec *q = recorder_rec(rec);
		recorder_draw_keys(rec, state_read(rec, r, "id"), state_read(rec, r, "step"), state_read(rec, r, "epoch"));
		recorder_output(rec, rein_random(q, "a", REIN_UNIFORM, REIN_PER_SAMPLE, 2, (int64_t[]){ 3, 5 }));
		recorder_output(rec, rein_random(q, "b", REIN_UNIFORM, REIN_PER_SAMPLE, 2, (int64_t[]){ 3, 5 }));
		recorder_output(rec, rein_random(q, "c", REIN_BITS, REIN_PER_STEP, 1, (int64_t[]){ 7 }));
		recorder_output(rec, rein_random(q, "d", REIN_NORMAL, REIN_ONCE, 1, (int64_t[]){ 7 }));
		struct compiled *c = done(r, rec);
		rig_run(c);
		rig_output(c, 0, u, 15);
		cr_assert_arr_eq(u, u + 10, 5 * sizeof *u, "the same sample draws the same");
		cr_assert_arr_neq(u, u + 5, 5 * sizeof *u);
		rig_output(c, 1, v, 15);
		cr_assert_arr_neq(u, v, sizeof u, "another stream");
		for (int i = 0; i < 15; i++)
			cr_assert(u[i] >= 0 && u[i] < 1);
		/* the key is in the program: bits and normal numbers follow from it by the core's Philox */
		const struct rein_program *p = &c->program->p;
		rig_output(c, 2, w, 7);
		rig_output(c, 3, n, 7);
		for (uint32_t i = 0; i < p->n_instr; i++) {
			if (p->instr[i].op != REIN_OP_RANDOM || p->instr[i].attr.mode == REIN_UNIFORM)
				continue;
			uint64_t key = *(const uint64_t *)p->instr[i].attr.data;
			for (uint32_t e = 0; e < 7; e++) {
				const uint32_t counter[4] = { e / 4, 5, 2, 0 }, half[2] = { (uint32_t)key, (uint32_t)(key >> 32) };
				uint32_t bits[4];
				philox(counter, half, bits);
				if (p->instr[i].attr.mode == REIN_BITS)
					cr_assert_eq((int32_t)bits[e % 4], (int32_t)w[e]);
				else
					cr_assert_float_eq(n[e], rng_normal(key, e), 1e-6);
			}
		}
		compiled_destroy(c);
		rig_destroy(r);
	}
}

/* Rows of all lengths, drawn by the reference and by vectors of every instruction set. */
static void draw_all(struct rig *r, double *out)
{
	static const int64_t dims[][2] = { { 1, 1 }, { 3, 5 }, { 40, 513 }, { 2, 9003 }, { 7, 4096 } };
	int64_t at = 0;
	double id[40];
	for (int i = 0; i < 40; i++)
		id[i] = i * 37 % 11;
	rig_state(r, "step", REIN_I32_T, 0, NULL, (double[]){ 5 });
	rig_state(r, "epoch", REIN_I32_T, 0, NULL, (double[]){ 2 });
	for (int k = 0; k < 5; k++) {
		char name[8];
		snprintf(name, sizeof name, "id%d", k);
		rig_state(r, name, REIN_I32_T, 1, dims[k], id);
		struct recorder *rec = rig_record(r, "draws", false);
		recorder_draw_keys(rec, state_read(rec, r, name), state_read(rec, r, "step"), state_read(rec, r, "epoch"));
		for (uint32_t mode = REIN_UNIFORM; mode <= REIN_BITS; mode++)
			for (uint32_t key = REIN_PER_SAMPLE; key <= REIN_PER_STEP; key++) {
				snprintf(name, sizeof name, "%u-%u", mode, key);
				recorder_output(rec, rein_random(recorder_rec(rec), name, mode, key, 2, dims[k]));
			}
		struct compiled *c = done(r, rec);
		rig_run(c);
		for (uint32_t o = 0; o < c->program->p.n_output; o++)
			at += rig_output(c, o, out + at, 1 << 16);
		compiled_destroy(c);
	}
}
Test(states, draws_are_the_same_by_vectors)
{
	static double want[1 << 20], got[1 << 20];
	int n_isa;
	const char *const *isas = rig_isas(&n_isa);
	struct rig *r = rig_create(REIN_NAIVE, 1, 4);
	draw_all(r, want);
	rig_destroy(r);
	for (int k = 0; k < n_isa; k++) {
		r = rig_create_isa(0, 3, 4, isas[k]);
		draw_all(r, got);
		cr_assert_arr_eq(got, want, sizeof got, "%s", isas[k]);
		rig_destroy(r);
	}
}

/* --- a C function of a plugin -------------------------------------------------------------- */
static rein_status reverse(const void *ctx, const struct rein_tensor_view *in, struct rein_tensor_view *out)
{
	cr_assert_eq(in[0].bytes, 12);
	cr_assert_eq(out[0].dim[0], 3);
	for (int i = 0; i < 3; i++)
		((float *)out[0].data)[i] = ((const float *)in[0].data)[2 - i] * *(const float *)ctx;
	return *(const float *)ctx > 100 ? REIN_ERROR : REIN_OK;
}
Test(states, custom)
{
	if (getenv("REIN_TEST_BACKEND"))
		cr_skip_test("custom ops are C functions, for the cpu");
	for (int k = 0; k < N_WAYS; k++) {
		for (int fails = 0; fails < 2; fails++) {
			struct rig *r = rig_create(ways[k], 2, 4);
			float factor = fails ? 1000 : 2;
			double out[3];
			struct rein_custom f = { .struct_size = sizeof f,
				                     .n_out = 1,
				                     .name = "reverse",
				                     .ctx = &factor,
				                     .run = reverse,
				                     .out = { { REIN_REAL_T, 1, { 3 } } } };
			rig_state(r, "x", REIN_REAL_T, 1, (int64_t[]){ 3 }, (double[]){ 1, 2, 3 });
			struct recorder *rec = rig_record(r, "custom", false);
			struct rein_rec *q = recorder_rec(rec);
			rein_val y, x = rein_offset(q, state_read(rec, r, "x"), 1);
			rein_custom_op(q, &f, 1, &x, 1, &y);
			recorder_output(rec, rein_offset(q, y, 0.5));
			struct compiled *c = done(r, rec);
			if (fails) {
				cr_assert_lt(compiled_run(c, 1), 0);
			} else {
				rig_run(c);
				rig_output(c, 0, out, 3);
				cr_assert(out[0] == 8.5 && out[1] == 6.5 && out[2] == 4.5);
			}
			compiled_destroy(c);
			rig_destroy(r);
		}
	}
}

/* Guard bands: a kernel that writes past its result is named. */
static rein_status overrun(const void *ctx, const struct rein_tensor_view *in, struct rein_tensor_view *out)
{
	(void)ctx, (void)in;
	memset(out[0].data, 0, out[0].bytes + 4);
	return REIN_OK;
}
Test(states, guard_bands_catch_an_overrun)
{
	if (getenv("REIN_TEST_BACKEND"))
		cr_skip_test("custom ops are C functions, for the cpu");
	for (int k = 0; k < N_WAYS; k++) {
		struct rig *r = rig_create(ways[k] | REIN_GUARD, 2, 4);
		struct rein_custom f = { .struct_size = sizeof f,
			                     .n_out = 1,
			                     .name = "overrun",
			                     .run = overrun,
			                     .out = { { REIN_REAL_T, 1, { 16 } } } };
		rig_state(r, "x", REIN_REAL_T, 1, (int64_t[]){ 3 }, NULL);
		struct recorder *rec = rig_record(r, "overrun", false);
		rein_val y, x = state_read(rec, r, "x");
		rein_custom_op(recorder_rec(rec), &f, 1, &x, 1, &y);
		recorder_output(rec, y);
		struct compiled *c = done(r, rec);
		cr_assert_lt(compiled_run(c, 1), 0);
		const char *why = instance_failure(r->backend);
		cr_assert(strstr(why, "of overrun wrote byte") != NULL, "%s", why);
		compiled_destroy(c);
		rig_destroy(r);
	}
}
