/* SPDX-License-Identifier: MIT
 *
 * Memory plans: what is reused, what is shared in place, where aliases and placed pieces
 * lie, when a commit may be computed in its state. plan_check (support/) holds each plan
 * here, and every random program of the conformance tests, to its meaning.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "../support/rig.h"
#include "rein/rein.h"

static const int64_t thousand[1] = { 1000 };
#define BYTES 4096 /* 1000 floats, rounded up to 64 */

static rein_val input(struct rig *r, struct recorder *rec, const char *name)
{
	return recorder_read(rec, rig_state(r, name, REIN_REAL_T, 1, thousand, NULL));
}
static struct compiled *done(struct rig *r, struct recorder *rec)
{
	struct compiled *c = rig_compile(r, recorder_finish(rec, r->diag));
	recorder_destroy(rec);
	return c;
}

/* Ten ops in a row need one piece of memory: each takes over its operand's. */
Test(plan, a_chain_runs_in_place)
{
	struct rig *r = rig_create(REIN_NAIVE, 1, 4);
	struct recorder *rec = rig_record(r, "chain", false);
	struct rein_rec *q = recorder_rec(rec);
	rein_val x = input(r, rec, "x");
	for (int k = 0; k < 10; k++)
		x = k % 2 ? rein_exp(q, x) : rein_tanh(q, x);
	recorder_output(rec, x);
	struct compiled *c = done(r, rec);
	cr_assert_eq(c->plan->n_kernel, 10);
	cr_assert_eq(c->plan->arena_bytes, BYTES - 64);
	compiled_destroy(c);
	rig_destroy(r);
}

/* Ops that cannot run in place alternate between two pieces. */
Test(plan, dead_memory_is_reused)
{
	struct rig *r = rig_create(REIN_NAIVE, 1, 4);
	struct recorder *rec = rig_record(r, "cumsum", false);
	struct rein_rec *q = recorder_rec(rec);
	rein_val x = input(r, rec, "x");
	for (int k = 0; k < 9; k++) {
		struct rein_attr a = { .struct_size = sizeof a, .axes = 1 };
		rein_op(q, REIN_OP_CUMSUM, 1, &x, &a, 1, &x);
	}
	recorder_output(rec, x);
	struct compiled *c = done(r, rec);
	cr_assert_eq(c->plan->arena_bytes, 2 * (BYTES - 64));
	compiled_destroy(c);
	rig_destroy(r);
}

/* Values that are all needed at the end share nothing. */
Test(plan, outputs_live_to_the_end)
{
	struct rig *r = rig_create(REIN_NAIVE, 1, 4);
	struct recorder *rec = rig_record(r, "outputs", false);
	struct rein_rec *q = recorder_rec(rec);
	rein_val x = input(r, rec, "x"), y[4] = { rein_exp(q, x), rein_tanh(q, x), rein_sin(q, x), rein_cos(q, x) };
	for (int k = 0; k < 4; k++)
		recorder_output(rec, y[k]);
	struct compiled *c = done(r, rec);
	cr_assert_eq(c->plan->arena_bytes, 4 * (BYTES - 64));
	compiled_destroy(c);
	rig_destroy(r);
}

/* A reshape and a piece of rows are the memory of what they rename; neither is a kernel. */
Test(plan, views_cost_nothing)
{
	struct rig *r = rig_create(REIN_NAIVE, 1, 4);
	struct recorder *rec = rig_record(r, "views", false);
	struct rein_rec *q = recorder_rec(rec);
	rein_val x = rein_exp(q, input(r, rec, "x")), m = rein_reshape(q, x, 2, (int64_t[]){ 100, 10 });
	recorder_output(rec, rein_narrow(q, m, 0, 20, 30));
	struct compiled *c = done(r, rec);
	const struct rein_program *p = &c->program->p;
	cr_assert_eq(c->plan->n_kernel, 1);
	cr_assert_eq(c->plan->home[p->output[0]], REIN_HOME_ALIAS);
	cr_assert_eq(c->plan->offset[p->output[0]] - c->plan->offset[p->instr[1].out[0]], 20 * 10 * 4);
	cr_assert_eq(c->plan->arena_bytes, BYTES - 64);
	compiled_destroy(c);
	rig_destroy(r);
}

Test(plan, guards_surround_every_value)
{
	struct rig *r = rig_create(REIN_NAIVE | REIN_GUARD, 1, 4);
	struct recorder *rec = rig_record(r, "guards", false);
	struct rein_rec *q = recorder_rec(rec);
	rein_val x = input(r, rec, "x"), y = rein_exp(q, x), z = rein_sin(q, x);
	recorder_output(rec, y);
	recorder_output(rec, z);
	struct compiled *c = done(r, rec);
	const struct rein_program *p = &c->program->p;
	int64_t a = c->plan->offset[p->output[0]], b = c->plan->offset[p->output[1]];
	cr_assert_geq(a < b ? b - a - 4000 : a - b - 4000, 128);
	cr_assert_geq(a < b ? a : b, 128);
	cr_assert_geq(c->plan->arena_bytes, (a > b ? a : b) + 4000 + 128);
	compiled_destroy(c);
	rig_destroy(r);
}

/* Whether w := f(w) is computed in w depends on who reads the old w, and when. */
static uint8_t copied(rein_val (*f)(struct rein_rec *, struct recorder *, rein_val w))
{
	struct rig *r = rig_create(REIN_NAIVE, 1, 4);
	struct recorder *rec = rig_record(r, "commit", false);
	rein_val w = input(r, rec, "w");
	recorder_assign(rec, store_find(r->store, "w"), f(recorder_rec(rec), rec, w), REIN_NONE);
	struct compiled *c = done(r, rec);
	uint8_t copy = c->plan->copied[0];
	compiled_destroy(c);
	rig_destroy(r);
	return copy;
}
static rein_val elementwise(struct rein_rec *q, struct recorder *rec, rein_val w)
{
	(void)rec;
	return rein_sub(q, w, rein_exp(q, w));
}
static rein_val read_after(struct rein_rec *q, struct recorder *rec, rein_val w)
{
	rein_val y = rein_exp(q, w);
	recorder_output(rec, rein_sum(q, rein_mul(q, y, w)));
	return y;
}
static rein_val an_output(struct rein_rec *q, struct recorder *rec, rein_val w)
{
	recorder_output(rec, w);
	return rein_exp(q, w);
}
static rein_val backwards(struct rein_rec *q, struct recorder *rec, rein_val w)
{
	struct rein_attr a = { .struct_size = sizeof a, .rank = 1, .dim = { 1000 }, .start = { 999 }, .step = { -1 } };
	rein_val y;
	(void)rec;
	rein_op(q, REIN_OP_SLICE, 1, &w, &a, 1, &y);
	return y;
}
static rein_val reshaped(struct rein_rec *q, struct recorder *rec, rein_val w)
{
	rein_val m = rein_reshape(q, w, 2, (int64_t[]){ 10, 100 });
	(void)rec;
	return rein_reshape(q, rein_exp(q, m), 1, (int64_t[]){ 1000 });
}
Test(plan, commits_in_place)
{
	cr_assert_eq(copied(elementwise), 0);
	cr_assert_eq(copied(reshaped), 0, "a renaming on the way changes nothing");
	cr_assert_eq(copied(read_after), 1);
	cr_assert_eq(copied(an_output), 1);
	cr_assert_eq(copied(backwards), 1, "not element by element");
}

/* What a backend may ask for: an operand that lives inside of the result it is joined into,
 * and a value computed where it is used. */
Test(plan, pieces_placed_into_their_whole)
{
	struct rig *r = rig_create(REIN_NAIVE, 1, 4);
	struct recorder *rec = rig_record(r, "concat", false);
	struct rein_rec *q = recorder_rec(rec);
	char why[256];
	rein_val x = input(r, rec, "x"), part[2] = { rein_exp(q, x), rein_sin(q, x) };
	rein_val far = rein_tanh(q, rein_cos(q, x));
	recorder_output(rec, rein_sum(q, far));
	recorder_output(rec, rein_concat(q, 2, part, 0));
	struct program *program = recorder_finish(rec, r->diag);
	recorder_destroy(rec);
	const struct rein_program *p = &program->p;
	struct rein_plan *l = plan_create(p);
	int32_t whole = p->output[1], hidden = -1, reader = -1;
	const struct rein_prog_instr *join = &p->instr[p->value[whole].instr];
	for (int k = 0; k < 2; k++) {
		l->home[join->in[k]] = REIN_HOME_ALIAS;
		l->base[join->in[k]] = whole;
		l->base_offset[join->in[k]] = 4000 * k;
	}
	for (uint32_t k = 0; k < p->n_instr; k++) {
		if (p->instr[k].op == REIN_OP_COS)
			hidden = p->instr[k].out[0];
		if (p->instr[k].op == REIN_OP_TANH)
			reader = (int32_t)k;
	}
	l->kernel[p->value[hidden].instr] = -1;
	l->home[hidden] = REIN_HOME_NONE;
	cr_assert_geq(plan_layout(p, l, 0), 0);
	cr_assert(plan_check(p, l, 0, why, sizeof why), "%s", why);
	cr_assert_eq(l->offset[join->in[1]] - l->offset[join->in[0]], 4000);
	cr_assert_eq(l->offset[join->in[0]], l->offset[whole]);
	cr_assert_geq(l->kernel[reader], 0);
	plan_destroy(p, l);
	program_destroy(program);
	rig_destroy(r);
}

/* The checker itself: moving a value onto one that is alive is noticed. */
Test(plan, the_checker_checks)
{
	struct rig *r = rig_create(REIN_NAIVE, 1, 4);
	struct recorder *rec = rig_record(r, "bad", false);
	struct rein_rec *q = recorder_rec(rec);
	char why[256];
	rein_val x = input(r, rec, "x"), y = rein_exp(q, x), z = rein_sin(q, x);
	recorder_output(rec, rein_add(q, y, z));
	struct compiled *c = done(r, rec);
	const struct rein_program *p = &c->program->p;
	cr_assert(plan_check(p, c->plan, 0, why, sizeof why));
	c->plan->offset[p->instr[2].out[0]] = c->plan->offset[p->instr[1].out[0]];
	cr_assert_not(plan_check(p, c->plan, 0, why, sizeof why));
	c->plan->offset[p->instr[2].out[0]] = c->plan->arena_bytes;
	cr_assert_not(plan_check(p, c->plan, 0, why, sizeof why));
	compiled_destroy(c);
	rig_destroy(r);
}

/* What a reader sees of it. */
Test(plan, print)
{
	struct rig *r = rig_create(REIN_NAIVE, 1, 4);
	struct recorder *rec = rig_record(r, "shown", false);
	struct rein_rec *q = recorder_rec(rec);
	char *text = NULL;
	size_t size = 0;
	rein_val w = input(r, rec, "fc.weight");
	recorder_assign(rec, store_find(r->store, "fc.weight"), rein_exp(q, w), REIN_NONE);
	recorder_output(rec, rein_sum(q, rein_sin(q, w)));
	struct compiled *c = done(r, rec);
	FILE *f = open_memstream(&text, &size);
	compiled_print(c, f);
	fclose(f);
	static const char *const lines[] = { "program shown: 4 ops in 3 kernels",
		                                 "read  fc.weight",
		                                 "real 1000",
		                                 "in fc.weight",
		                                 "exp %0",
		                                 "sum %",
		                                 "over 0",
		                                 "fc.weight := %1" };
	for (size_t k = 0; k < sizeof lines / sizeof *lines; k++)
		cr_assert(strstr(text, lines[k]) != NULL, "no '%s' in:\n%s", lines[k], text);
	free(text);
	compiled_destroy(c);
	rig_destroy(r);
}
