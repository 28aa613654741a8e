/* SPDX-License-Identifier: MIT
 *
 * test_record.c: recording itself: shapes and their messages, versions of states,
 * substitution, draws, loops, and what cleaning does.
 */
#include "harness.h"

#include <time.h>

static int count_ops(const struct rein_program *p, uint32_t op)
{
	int n = 0;
	for (uint32_t i = 0; i < p->n_instr; i++) {
		n += p->instr[i].op == op;
		if (p->instr[i].body)
			n += count_ops(p->instr[i].body, op);
	}
	return n;
}

/* --- messages -------------------------------------------------------------------------------- */
struct mistake {
	const char *expect;
	void (*make)(struct rein_rec *, struct bench *);
};

static rein_val zeros(struct rein_rec *r, uint32_t rank, const int64_t *dim)
{
	return rein_fill(r, REIN_REAL_T, 0, rank, dim);
}
#define T(...) zeros(r, sizeof((int64_t[]){ __VA_ARGS__ }) / 8, (int64_t[]){ __VA_ARGS__ })

static void bad_matmul(struct rein_rec *r, struct bench *b) { rein_matmul(r, T(100, 3072), T(128, 3072), 0); }
static void bad_batch(struct rein_rec *r, struct bench *b) { rein_matmul(r, T(2, 3, 4), T(3, 4, 5), 0); }
static void bad_rank(struct rein_rec *r, struct bench *b) { rein_mul(r, T(8, 10), T(10)); }
static void bad_axis(struct rein_rec *r, struct bench *b) { rein_add(r, T(8, 10), T(8, 12)); }
static void bad_mix(struct rein_rec *r, struct bench *b) { rein_add(r, T(8), rein_scalar_i(r, 1)); }
static void bad_where(struct rein_rec *r, struct bench *b) { rein_where(r, T(8), T(8), T(8)); }
static void bad_reshape(struct rein_rec *r, struct bench *b) { rein_reshape(r, T(8, 3), 2, (int64_t[]){ 5, -1 }); }
static void bad_narrow(struct rein_rec *r, struct bench *b) { rein_narrow(r, T(8, 3), 1, 2, 2); }
static void bad_none(struct rein_rec *r, struct bench *b) { rein_exp(r, REIN_NONE); }
static void bad_grad(struct rein_rec *r, struct bench *b) { rein_grad(r, T(8), T(8)); }
static void bad_ce(struct rein_rec *r, struct bench *b) { rein_cross_entropy(r, T(8, 10), T(8, 9)); }
static void bad_concat(struct rein_rec *r, struct bench *b) { rein_concat(r, 2, (rein_val[]){ T(2, 3), T(2, 4) }, 0); }
static void bad_divisor(struct rein_rec *r, struct bench *b)
{
	rein_div(r, rein_scalar_i(r, 7), rein_iota(r, 0, 1, (int64_t[]){ 3 }));
}
static void bad_refuse(struct rein_rec *r, struct bench *b) { rein_refuse(r, "DLR needs 3 classes"); }
static void bad_forward(struct rein_rec *r, struct bench *b) { rein_forward(r, NULL, T(1), 0); }
static void bad_conv(struct rein_rec *r, struct bench *b)
{
	struct rein_attr a = { .struct_size = sizeof a, .step = { 1, 1 } };
	rein_val in[2] = { T(1, 3, 8, 8), T(4, 2, 3, 3) }, y;
	rein_op(r, REIN_OP_CONV2D, 2, in, &a, 1, &y);
}
static void bad_assign(struct rein_rec *r, struct bench *b)
{
	rein_assign(r, rein_state(r, "s", REIN_REAL_T, 1, (int64_t[]){ 3 }, NULL), T(4), REIN_NONE);
}
static void bad_through_put(struct rein_rec *r, struct bench *b)
{
	rein_val x = T(3), i = rein_iota(r, 0, 1, (int64_t[]){ 3 });
	rein_grad(r, rein_sum(r, rein_put(r, REIN_NONE, i, rein_exp(r, x), 0, 3, REIN_PUT_SET)), x);
}
static void halve(void *ctx, struct rein_rec *r, rein_val i, rein_val *c) { c[0] = rein_scale(r, c[0], 0.5); }
static void bad_through_loop(struct rein_rec *r, struct bench *b)
{
	struct rein_loop l = { sizeof l, 3, 1, 0, -1, 0 };
	rein_val x = T(3), c = rein_exp(r, x);
	rein_repeat(r, &l, &c, halve, NULL);
	rein_grad(r, rein_sum(r, c), x);
}
static void grow_body(void *ctx, struct rein_rec *r, rein_val i, rein_val *c)
{
	c[0] = rein_concat(r, 2, (rein_val[]){ c[0], c[0] }, 0);
}
static void bad_carry(struct rein_rec *r, struct bench *b)
{
	struct rein_loop l = { sizeof l, 3, 1, 0, -1, 0 };
	rein_val x = T(3);
	rein_repeat(r, &l, &x, grow_body, NULL);
}
static rein_val leaked;
static void leak(void *ctx, struct rein_rec *r, rein_val i, rein_val *c) { leaked = rein_exp(r, c[0]); }
static void bad_leak(struct rein_rec *r, struct bench *b)
{
	struct rein_loop l = { sizeof l, 3, 1, 0, -1, 0 };
	rein_val x = T(3);
	rein_repeat(r, &l, &x, leak, NULL);
	rein_exp(r, leaked);
}
static void assigns(void *ctx, struct rein_rec *r, rein_val i, rein_val *c)
{
	rein_assign(r, *(rein_var *)ctx, c[0], REIN_NONE);
}
static void bad_inside(struct rein_rec *r, struct bench *b)
{
	struct rein_loop l = { sizeof l, 3, 1, 0, -1, 0 };
	rein_var s = rein_state(r, "s", REIN_REAL_T, 1, (int64_t[]){ 3 }, NULL);
	rein_val x = T(3);
	rein_repeat(r, &l, &x, assigns, &s);
}

static const struct mistake mistakes[] = {
	{ "matmul: (100,3072) and (128,3072) do not fit; did you mean REIN_TB?", bad_matmul },
	{ "matmul: (2,3,4) and (3,4,5) do not fit: batches of 2 and 3", bad_batch },
	{ "mul: (8,10) and (10) do not fit: ranks must be equal", bad_rank },
	{ "add: (8,10) and (8,12) do not fit: axis 1 has 10 and 12", bad_axis },
	{ "add: real (8) and i32 () do not mix; rein_cast()", bad_mix },
	{ "where: the condition is real (8), it must be bool", bad_where },
	{ "reshape: (8,3) has 24 elements, (5,-1) cannot hold them", bad_reshape },
	{ "slice: axis 1 of (8,3): 2 from 2 by 1 is outside", bad_narrow },
	{ "exp: an operand is missing", bad_none },
	{ "gradient: y is (8); without a seed of that shape it must be a scalar", bad_grad },
	{ "cross_entropy: logits (8,10) need classes i32 (8) or probabilities real (8,10), got real (8,9)", bad_ce },
	{ "concat: real (2,3) and real (2,4) do not fit along axis 0", bad_concat },
	{ "div: i32 is divided by a positive constant only", bad_divisor },
	{ "DLR needs 3 classes", bad_refuse },
	{ "the network is not available here", bad_forward },
	{ "conv2d: x (1,3,8,8) and w (4,2,3,3) do not fit with 1 group", bad_conv },
	{ "assign: state 's' is real (3), the value is real (4)", bad_assign },
	{ "the gradient of 'sum' goes through 'put' with REIN_PUT_SET", bad_through_put },
	{ "the gradient of 'sum' goes through 'repeat', which has none; REIN_UNROLL", bad_through_loop },
	{ "repeat: carried value 0 is real (3) before a round and real (6) after it", bad_carry },
	{ "exp: an operand was made inside a loop that is over", bad_leak },
	{ "assign: state 's' cannot be assigned inside a loop", bad_inside },
};

Test(record, mistakes_are_named_with_their_shapes)
{
	for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
		struct bench *b = bench_open(NULL, 4, 0);
		struct rein_rec *r = bench_record(b);
		char text[2048];
		mistakes[i].make(r, b);
		bench_error(b, text, sizeof text);
		cr_expect(strstr(text, mistakes[i].expect), "expected \"%s\", got \"%s\"", mistakes[i].expect, text);
		bench_close(b);
	}
}

Test(record, one_mistake_gives_one_message)
{
	struct bench *b = bench_open(NULL, 4, 0);
	struct rein_rec *r = bench_record(b);
	char text[2048];
	rein_val bad = rein_add(r, T(2), T(3));
	cr_expect_eq(rein_rank(r, bad), -1);
	rein_val y = rein_sum(r, rein_exp(r, rein_mul(r, bad, T(4, 4))));
	rein_grad(r, y, bad);
	rein_assign(r, rein_state_like(r, "m", bad), bad, REIN_NONE);
	cr_expect(recorder_failed(b->recorder));
	bench_error(b, text, sizeof text);
	cr_expect(strstr(text, "add: (2) and (3)"));
	cr_expect_null(strstr(text, "mul"), "%s", text);
	bench_close(b);
}

/* --- states ------------------------------------------------------------------------------------ */
Test(record, reads_see_the_last_assign)
{
	struct bench *b = bench_open("cpu", 8, REIN_NAIVE);
	struct rein_rec *r = bench_record(b);
	double out[2];
	rein_val x = bench_input(b, "x", REIN_REAL_T, 1, (int64_t[]){ 2 }, (double[]){ 1, 2 });
	rein_val yes = bench_input(b, "yes", REIN_BOOL_T, 0, NULL, (double[]){ 1 });
	rein_val no = rein_not(r, yes);
	rein_var s = rein_state(r, "s", REIN_REAL_T, 1, (int64_t[]){ 2 }, NULL);
	rein_val before = rein_read(r, s);
	rein_assign(r, s, rein_add(r, before, x), REIN_NONE);
	rein_val mid = rein_read(r, s);
	rein_assign(r, s, rein_scale(r, mid, 10), yes);
	rein_assign(r, s, rein_scale(r, rein_read(r, s), 100), no);
	bench_output(b, rein_exp(r, before));
	bench_output(b, mid);
	bench_run(b);
	bench_get(b, 0, out, 2);
	cr_expect_eq(out[1], 1);
	bench_get(b, 1, out, 2);
	cr_expect_eq(out[1], 2);
	bench_state(b, "s", out);
	cr_expect_eq(out[0], 10);
	cr_expect_eq(out[1], 20);
	cr_expect_eq(b->compiled->program->p.n_commit, 1);
	bench_close(b);
}

Test(record, unchanged_states_are_not_committed)
{
	struct bench *b = bench_open(NULL, 8, 0);
	struct rein_rec *r = bench_record(b);
	rein_var s = rein_state(r, "s", REIN_REAL_T, 1, (int64_t[]){ 2 }, NULL);
	rein_assign(r, s, rein_scale(r, rein_read(r, s), 1), REIN_NONE);
	rein_assign(r, s, rein_exp(r, rein_read(r, s)), rein_fill(r, REIN_BOOL_T, 0, 0, NULL));
	struct program *p = bench_finish(b);
	cr_expect_eq(p->p.n_commit, 0);
	cr_expect_eq(p->p.n_instr, 0);
	program_destroy(p);
	bench_close(b);
}

static const struct instance *layer(const char *name)
{
	static struct component c = { .c = { .kind = REIN_LAYER, .name = "layer" } };
	struct instance *i = calloc(1, sizeof *i);
	i->component = &c;
	i->name = name;
	return i;
}

Test(record, parameters_are_named_and_substituted)
{
	struct bench *b = bench_open("cpu", 8, REIN_NAIVE);
	struct rein_rec *r = bench_record(b);
	const struct instance *fc = layer("fc1");
	struct rein_init two = { sizeof two, REIN_INIT_CONSTANT, 2, 0, REIN_NONE, 0 };
	double out[2];
	recorder_enter(b->recorder, fc, NULL);
	rein_val w = rein_param(r, "weight", 1, (int64_t[]){ 2 }, &two);
	recorder_leave(b->recorder);
	rein_val e = rein_scale(r, w, 3), deeper = rein_scale(r, w, 5);
	rein_with(r, 1, &w, &e);
	recorder_enter(b->recorder, fc, NULL);
	rein_val seen = rein_param(r, "weight", 1, (int64_t[]){ 2 }, &two);
	rein_with(r, 1, &w, &deeper);
	rein_val nested = rein_param(r, "weight", 1, (int64_t[]){ 2 }, &two);
	rein_without(r);
	recorder_leave(b->recorder);
	rein_without(r);
	cr_expect_eq(seen.id, e.id);
	/* d(sum seen^2)/de = 2 e, with respect to what stands in */
	bench_output(b, rein_grad(r, rein_sum(r, rein_square(r, seen)), e));
	bench_output(b, nested);
	bench_run(b);
	bench_get(b, 0, out, 2);
	cr_expect_eq(out[0], 12);
	bench_get(b, 1, out, 2);
	cr_expect_eq(out[0], 10);
	cr_expect_eq(store_find(b->store, "fc1.weight")->role, STATE_PARAM);
	bench_close(b);
	free((void *)fc);
}

Test(record, initial_values_can_be_recorded)
{
	struct bench *b = bench_open("cpu", 8, REIN_NAIVE);
	struct rein_rec *r = bench_record(b);
	struct rein_init two = { sizeof two, REIN_INIT_CONSTANT, 2, 0, REIN_NONE, 0 };
	double out[2];
	rein_val w = rein_param(r, "w", 1, (int64_t[]){ 2 }, &two);
	struct rein_init first = { sizeof first, REIN_INIT_VALUE, 0, 0, rein_scale(r, w, 3), 0 };
	rein_val g = rein_param(r, "g", 1, (int64_t[]){ 2 }, &first);
	struct rein_init second = { sizeof second, REIN_INIT_VALUE, 0, 0, rein_scale(r, g, 5), 0 };
	rein_var h = rein_state(r, "h", REIN_REAL_T, 1, (int64_t[]){ 2 }, &second);
	bench_output(b, rein_add(r, g, rein_read(r, h)));
	struct program *p = recorder_init_program(b->recorder, b->diag);
	cr_assert(p);
	cr_expect_eq(p->p.n_commit, 2);
	cr_assert_geq(store_allocate(b->store), 0);
	struct compiled *c = program_compile(p, b->store, b->backend, 0, b->diag);
	cr_assert(c);
	cr_assert_geq(compiled_run(c, 1), 0);
	compiled_destroy(c);
	store_find(b->store, "g")->ready = store_find(b->store, "h")->ready = true;
	bench_run(b);
	bench_get(b, 0, out, 2);
	cr_expect_eq(out[1], 36);
	bench_close(b);
}

/* The hook sees the value that stands in, and gradients reach what is behind it. */
static rein_val doubled(void *ctx, struct recorder *r, struct state *s, rein_val w)
{
	return rein_scale(recorder_rec(r), w, 2);
}

Test(record, gradients_go_through_parameter_hooks)
{
	struct bench *b = bench_open("cpu", 8, REIN_NAIVE);
	struct rein_init three = { sizeof three, REIN_INIT_CONSTANT, 3, 0, REIN_NONE, 0 };
	double out[2];
	b->env.param = doubled;
	struct rein_rec *r = bench_record(b);
	rein_val seen = rein_param(r, "w", 1, (int64_t[]){ 2 }, &three);
	rein_val raw = recorder_read(b->recorder, store_find(b->store, "w")), e = rein_offset(r, raw, 1);
	bench_output(b, rein_grad(r, rein_sum(r, rein_square(r, seen)), raw)); /* d(2w)^2 = 8 w */
	rein_with(r, 1, &raw, &e);
	rein_val moved = rein_param(r, "w", 1, (int64_t[]){ 2 }, &three);
	rein_without(r);
	bench_output(b, rein_grad(r, rein_sum(r, rein_square(r, moved)), e)); /* 8 (w + 1) */
	bench_run(b);
	bench_get(b, 0, out, 2);
	cr_expect_eq(out[0], 24);
	bench_get(b, 1, out, 2);
	cr_expect_eq(out[0], 32);
	bench_close(b);
}

Test(record, states_are_named_after_who_asks)
{
	struct bench *b = bench_open(NULL, 8, 0);
	struct rein_rec *r = bench_record(b);
	static struct component c = { .c = { .kind = REIN_OPTIMIZER, .name = "adam" } };
	struct instance adam = { .component = &c, .name = "opt" };
	const struct instance *bn = layer("bn1");
	struct rein_tensor t = { .struct_size = sizeof t, .name = "fc2.weight" };
	recorder_enter(b->recorder, &adam, "fc1.weight");
	rein_var m = rein_state(r, "m", REIN_REAL_T, 0, NULL, NULL);
	cr_expect_eq(rein_state(r, "m", REIN_REAL_T, 0, NULL, NULL).id, m.id, "asked for again: the same");
	rein_scope(r, &t);
	rein_state(r, "m", REIN_REAL_T, 0, NULL, NULL);
	rein_scope(r, NULL);
	rein_state(r, "step", REIN_I32_T, 0, NULL, NULL);
	recorder_leave(b->recorder);
	recorder_enter(b->recorder, bn, NULL);
	rein_state(r, "mean", REIN_REAL_T, 0, NULL, NULL);
	recorder_leave(b->recorder);
	cr_expect_eq(store_find(b->store, "opt.fc1.weight.m")->role, STATE_SLOT);
	cr_expect(store_find(b->store, "opt.fc2.weight.m"));
	cr_expect(store_find(b->store, "opt.step"));
	cr_expect_eq(store_find(b->store, "bn1.mean")->role, STATE_BUFFER);
	bench_close(b);
	free((void *)bn);
}

/* Each view of a sample draws its own numbers; the first as without views. */
Test(record, views_draw_apart)
{
	struct bench *b = bench_open("cpu", 4, REIN_NAIVE);
	struct rein_rec *r = bench_record(b);
	const struct instance *d = layer("drop");
	double all[6], one[2];
	int64_t rows[1] = { 6 }, n[1] = { 2 };
	rein_val id = bench_input(b, "id", REIN_I32_T, 1, n, (double[]){ 7, 3 });
	recorder_draw_keys(b->recorder, id, REIN_NONE, REIN_NONE);
	for (int k = 0; k < 2; k++) {
		recorder_enter(b->recorder, d, NULL);
		bench_output(b, rein_random(r, "m", REIN_UNIFORM, REIN_PER_SAMPLE, 1, k ? n : rows));
		recorder_leave(b->recorder);
	}
	bench_run(b);
	bench_get(b, 0, all, 6);
	bench_get(b, 1, one, 2);
	cr_expect_eq(memcmp(all, one, sizeof one), 0);
	for (int i = 0; i < 6; i++)
		for (int j = 0; j < i; j++)
			cr_expect_neq(all[i], all[j]);
	bench_close(b);
	free((void *)d);
}

/* --- draws --------------------------------------------------------------------------------------- */
Test(record, draws_are_what_their_identity_says)
{
	struct bench *b = bench_open("cpu", 4, REIN_NAIVE);
	struct rein_rec *r = bench_record(b);
	const struct instance *d = layer("drop");
	int64_t dim[2] = { 4, 3 }, flip[2] = { 2, 3 };
	double all[12], again[12], other[12], part[6];
	rein_val id = bench_input(b, "id", REIN_I32_T, 1, dim, (double[]){ 7, 3, 9, 1 });
	rein_val step = bench_input(b, "step", REIN_I32_T, 0, NULL, (double[]){ 5 });
	recorder_draw_keys(b->recorder, id, step, step);
	recorder_enter(b->recorder, d, NULL);
	bench_output(b, rein_random(r, "mask", REIN_UNIFORM, REIN_PER_SAMPLE, 2, dim));
	bench_output(b, rein_random(r, "mask", REIN_UNIFORM, REIN_PER_SAMPLE, 2, dim)); /* a second stream */
	recorder_leave(b->recorder);
	recorder_enter(b->recorder, d, NULL); /* SAME_RANDOM: the same call number */
	bench_output(b, rein_random(r, "mask", REIN_UNIFORM, REIN_PER_SAMPLE, 2, dim));
	recorder_leave(b->recorder);
	recorder_call(b->recorder, 1);
	recorder_enter(b->recorder, d, NULL);
	bench_output(b, rein_random(r, "mask", REIN_UNIFORM, REIN_PER_SAMPLE, 2, dim));
	recorder_leave(b->recorder);
	recorder_call(b->recorder, 0);
	rein_val half = bench_input(b, "half", REIN_I32_T, 1, flip, (double[]){ 9, 1 });
	recorder_draw_keys(b->recorder, half, step, step);
	recorder_enter(b->recorder, d, NULL);
	bench_output(b, rein_random(r, "mask", REIN_UNIFORM, REIN_PER_SAMPLE, 2, flip));
	recorder_leave(b->recorder);
	bench_run(b);
	cr_expect_eq(count_ops(&b->compiled->program->p, REIN_OP_RANDOM), 4, "the repeated draw is one op");
	bench_get(b, 0, all, 12);
	bench_get(b, 1, other, 12);
	cr_expect_neq(memcmp(all, other, sizeof all), 0);
	bench_get(b, 2, again, 12);
	cr_expect_eq(memcmp(all, again, sizeof all), 0);
	bench_get(b, 3, other, 12);
	cr_expect_neq(memcmp(all, other, sizeof all), 0);
	bench_get(b, 4, part, 6); /* samples 9 and 1, in another batch */
	cr_expect_eq(memcmp(all + 6, part, sizeof part), 0);
	bench_close(b);
	free((void *)d);
}

Test(record, draws_can_be_fed)
{
	struct bench *b = bench_open("cpu", 4, REIN_NAIVE);
	int64_t dim[1] = { 4 };
	double out[4];
	b->options.feed = true;
	struct rein_rec *r = bench_record(b);
	const struct instance *d = layer("drop");
	recorder_enter(b->recorder, d, NULL);
	bench_output(b, rein_random(r, "mask", REIN_UNIFORM, REIN_PER_STEP, 1, dim));
	recorder_leave(b->recorder);
	struct state *s = store_find(b->store, "feed.drop.mask.0");
	cr_assert(s);
	cr_assert_geq(store_allocate(b->store), 0);
	bench_set(b, s, (double[]){ 1, 2, 3, 4 });
	s->ready = true;
	bench_run(b);
	bench_get(b, 0, out, 4);
	cr_expect_eq(out[2], 3);
	bench_close(b);
	free((void *)d);
}

/* --- cleaning ---------------------------------------------------------------------------------------- */
Test(record, equal_ops_are_joined_and_dead_ones_dropped)
{
	struct bench *b = bench_open(NULL, 4, 0);
	struct rein_rec *r = bench_record(b);
	rein_val x = bench_input(b, "x", REIN_REAL_T, 2, (int64_t[]){ 4, 3 }, NULL);
	rein_val y = bench_input(b, "y", REIN_REAL_T, 2, (int64_t[]){ 4, 3 }, NULL);
	rein_val a = rein_exp(r, rein_add(r, x, y)), c = rein_exp(r, rein_add(r, y, x));
	rein_log(r, a); /* dead */
	bench_output(b, rein_mul(r, a, c));
	struct program *p = bench_finish(b);
	cr_expect_eq(count_ops(&p->p, REIN_OP_EXP), 1);
	cr_expect_eq(count_ops(&p->p, REIN_OP_ADD), 1);
	cr_expect_eq(count_ops(&p->p, REIN_OP_LOG), 0);
	cr_expect_eq(p->p.n_instr, 5);
	program_destroy(p);
	bench_close(b);
}

Test(record, exact_identities_only)
{
	struct bench *b = bench_open(NULL, 4, 0);
	struct rein_rec *r = bench_record(b);
	int64_t dim[2] = { 4, 3 }, flat[1] = { 12 };
	rein_val x = bench_input(b, "x", REIN_REAL_T, 2, dim, NULL);
	rein_val v = rein_mul(r, x, rein_like(r, x, 1)); /* = x */
	v = rein_sub(r, v, rein_scalar(r, 0));           /* = x */
	v = rein_reshape(r, rein_reshape(r, v, 1, flat), 2, dim);
	v = rein_stop(r, rein_neg(r, rein_neg(r, v)));
	v = rein_where(r, rein_fill(r, REIN_BOOL_T, 1, 0, NULL), v, rein_scalar(r, 7));
	v = rein_expand(r, rein_permute(r, v, 2, (int64_t[]){ 0, 1 }), 2, dim);
	bench_output(b, v);                                                /* x itself */
	bench_output(b, rein_add(r, x, rein_scalar(r, 0)));                /* -0 + 0 is 0: stays */
	bench_output(b, rein_mul(r, x, rein_scalar(r, 0)));                /* NaN * 0 is NaN: stays */
	bench_output(b, rein_exp(r, rein_scale(r, rein_scalar(r, 2), 3))); /* a constant */
	struct program *p = bench_finish(b);
	cr_expect_eq(p->p.instr[p->p.value[p->p.output[0]].instr].op, REIN_OP_READ);
	cr_expect_eq(p->p.instr[p->p.value[p->p.output[1]].instr].op, REIN_OP_ADD);
	cr_expect_eq(p->p.instr[p->p.value[p->p.output[2]].instr].op, REIN_OP_MUL);
	cr_expect_eq(p->p.instr[p->p.value[p->p.output[3]].instr].op, REIN_OP_CONST);
	cr_expect_float_eq(p->p.instr[p->p.value[p->p.output[3]].instr].attr.par[0], exp(6), 1e-10);
	program_destroy(p);
	bench_close(b);
}

Test(record, coarse_ops_expand_where_no_backend_has_them)
{
	for (int decompose = 0; decompose < 2; decompose++) {
		struct bench *b = bench_open("cpu", 4, REIN_NAIVE);
		b->options.decompose = decompose;
		struct rein_rec *r = bench_record(b);
		rein_val z = bench_input(b, "z", REIN_REAL_T, 2, (int64_t[]){ 4, 3 }, NULL);
		rein_val y = bench_input(b, "y", REIN_I32_T, 1, (int64_t[]){ 4 }, NULL);
		bench_output(b, rein_cross_entropy(r, z, y));
		struct program *p = bench_finish(b);
		for (uint32_t i = 0; i < p->p.n_instr && decompose; i++)
			cr_expect_not(op_info(p->p.instr[i].op)->coarse, "%s", op_info(p->p.instr[i].op)->name);
		program_destroy(p);
		bench_close(b);
	}
}

/* --- loops --------------------------------------------------------------------------------------------- */
/* carry: x (N), rounds (N) i32, active (N): x halves until below the captured limit */
static void until(void *ctx, struct rein_rec *r, rein_val i, rein_val *c)
{
	rein_val limit = *(rein_val *)ctx;
	c[0] = rein_scale(r, c[0], 0.5);
	c[1] = rein_add(r, c[1], rein_scalar_i(r, 1));
	c[2] = rein_lt(r, limit, c[0]);
}

Test(record, loops_end_freeze_and_unroll_alike)
{
	double x[3], n[3], want_x[3] = { 2, 1.5, 4 }, want_n[3] = { 3, 0, 1 };
	for (int unrolled = 0; unrolled < 2; unrolled++) {
		struct bench *b = bench_open("cpu", 8, REIN_NAIVE);
		struct rein_rec *r = bench_record(b);
		int64_t dim[1] = { 3 };
		rein_val c[3] = { bench_input(b, "x", REIN_REAL_T, 1, dim, (double[]){ 16, 3, 8 }),
			              rein_fill(r, REIN_I32_T, 0, 1, dim), rein_fill(r, REIN_BOOL_T, 1, 1, dim) };
		rein_val limit = bench_input(b, "limit", REIN_REAL_T, 1, dim, (double[]){ 1.5, 4, 3 });
		struct rein_loop l = { sizeof l, 9, 3, REIN_FREEZE | (unrolled ? REIN_UNROLL : 0), 2, 0 };
		/* a row stops before the round that would take it below: it keeps the values from before */
		rein_repeat(r, &l, c, until, &limit);
		for (int k = 0; k < 2; k++)
			bench_output(b, c[k]);
		bench_run(b);
		cr_expect_eq(count_ops(&b->compiled->program->p, REIN_OP_REPEAT), !unrolled);
		bench_get(b, 0, x, 3);
		bench_get(b, 1, n, 3);
		want_x[1] = 3;
		for (int k = 0; k < 3; k++) {
			cr_expect_eq(x[k], want_x[k], "x[%d] = %g, unrolled %d", k, x[k], unrolled);
			cr_expect_eq(n[k], want_n[k], "n[%d] = %g, unrolled %d", k, n[k], unrolled);
		}
		bench_close(b);
	}
}

/* Nested: acc += outer * 10 + inner, with a draw whose number depends on both. */
struct nest {
	rein_val outer, scale;
};
static void inner_body(void *ctx, struct rein_rec *r, rein_val i, rein_val *c)
{
	struct nest *n = ctx;
	rein_val v = rein_add(r, rein_mul(r, n->outer, rein_scalar_i(r, 10)), i);
	c[0] = rein_add(r, c[0], rein_mul(r, rein_cast(r, v, REIN_REAL_T), n->scale));
	c[1] = rein_add(r, c[1], rein_random(r, "u", REIN_UNIFORM, REIN_ONCE, 1, (int64_t[]){ 2 }));
}
static void outer_body(void *ctx, struct rein_rec *r, rein_val i, rein_val *c)
{
	struct nest *n = ctx;
	struct rein_loop l = { sizeof l, 3, 2, n->outer.id == -7 ? REIN_UNROLL : 0, -1, 0 };
	struct nest m = { i, n->scale };
	rein_repeat(r, &l, c, inner_body, &m);
}

Test(record, loops_nest_and_draw_by_their_index)
{
	double a[3][2], u[3][2];
	for (int how = 0; how < 3; how++) { /* loops; the inner unrolled; both */
		struct bench *b = bench_open("cpu", 8, REIN_NAIVE);
		struct rein_rec *r = bench_record(b);
		int64_t dim[1] = { 2 };
		struct nest n = { { how ? -7 : -8 }, bench_input(b, "scale", REIN_REAL_T, 1, dim, (double[]){ 1, 2 }) };
		rein_val c[2] = { rein_fill(r, REIN_REAL_T, 0, 1, dim), rein_fill(r, REIN_REAL_T, 0, 1, dim) };
		struct rein_loop l = { sizeof l, 4, 2, how == 2 ? REIN_UNROLL : 0, -1, 0 };
		rein_repeat(r, &l, c, outer_body, &n);
		bench_output(b, c[0]);
		bench_output(b, c[1]);
		bench_run(b);
		bench_get(b, 0, a[how], 2);
		bench_get(b, 1, u[how], 2);
		bench_close(b);
		cr_expect_eq(a[how][1], 2 * (3 * (0 + 10 + 20 + 30) + 4 * (0 + 1 + 2)));
		cr_expect_eq(memcmp(u[how], u[0], sizeof u[0]), 0);
		cr_expect_gt(u[how][0], 0.5);
	}
}

Test(record, dead_loops_and_unused_captures_go)
{
	struct bench *b = bench_open(NULL, 8, 0);
	struct rein_rec *r = bench_record(b);
	int64_t dim[1] = { 3 };
	rein_val x = bench_input(b, "x", REIN_REAL_T, 1, dim, NULL), limit = bench_input(b, "l", REIN_REAL_T, 1, dim, NULL);
	rein_val c[3] = { x, rein_fill(r, REIN_I32_T, 0, 1, dim), rein_fill(r, REIN_BOOL_T, 1, 1, dim) };
	struct rein_loop l = { sizeof l, 9, 3, 0, 2, 0 };
	rein_repeat(r, &l, c, until, &limit);
	bench_output(b, x);
	struct program *p = bench_finish(b);
	cr_expect_eq(p->p.n_instr, 1);
	program_destroy(p);
	bench_close(b);
}

/* Gradient descent on (w x - 1)^2 with respect to the carried x, w a parameter just assigned. */
static void descend(void *ctx, struct rein_rec *r, rein_val i, rein_val *c)
{
	rein_val w = rein_read(r, *(rein_var *)ctx);
	rein_val l = rein_sum(r, rein_square(r, rein_offset(r, rein_mul(r, w, c[0]), -1)));
	c[0] = rein_sub(r, c[0], rein_scale(r, rein_grad(r, l, c[0]), 0.1));
}

Test(record, loops_differentiate_inside_and_read_what_was_assigned)
{
	struct bench *b = bench_open("cpu", 8, REIN_NAIVE);
	struct rein_rec *r = bench_record(b);
	int64_t dim[1] = { 2 };
	double out[2];
	rein_var s = rein_state(r, "w", REIN_REAL_T, 1, dim, NULL);
	rein_assign(r, s, bench_input(b, "to", REIN_REAL_T, 1, dim, (double[]){ 2, 1 }), REIN_NONE);
	rein_val x = rein_fill(r, REIN_REAL_T, 0, 1, dim);
	struct rein_loop l = { sizeof l, 200, 1, 0, -1, 0 };
	rein_repeat(r, &l, &x, descend, &s);
	bench_output(b, x);
	bench_run(b);
	bench_get(b, 0, out, 2);
	cr_expect_float_eq(out[0], 0.5, 1e-12);
	cr_expect_float_eq(out[1], 1, 1e-12);
	bench_close(b);
}

/* y inside depends on x outside through z = exp(x) too: a path the inner gradient cannot see. */
static void hidden_path(void *ctx, struct rein_rec *r, rein_val i, rein_val *c)
{
	rein_val *v = ctx;
	rein_val y = rein_sum(r, rein_mul(r, rein_mul(r, v[0], v[1]), c[0]));
	c[0] = rein_grad(r, y, v[0]);
}

Test(record, gradients_do_not_lose_paths_around_a_loop)
{
	struct bench *b = bench_open(NULL, 8, 0);
	struct rein_rec *r = bench_record(b);
	char text[2048];
	rein_val v[2] = { bench_input(b, "x", REIN_REAL_T, 1, (int64_t[]){ 2 }, NULL) }, c = rein_like(r, v[0], 1);
	v[1] = rein_exp(r, v[0]);
	struct rein_loop l = { sizeof l, 2, 1, 0, -1, 0 };
	rein_repeat(r, &l, &c, hidden_path, v);
	bench_error(b, text, sizeof text);
	cr_expect(strstr(text, "outside of the loop are used inside; carry it in"), "%s", text);
	bench_close(b);
}

/* --- override, custom ------------------------------------------------------------------------------------ */
static void through(const void *ctx, struct rein_rec *r, const rein_val *in, const rein_val *out, const rein_val *g,
                    rein_val *gin)
{
	gin[0] = g[0];
}
static rein_status triple(const void *ctx, const struct rein_tensor_view *in, struct rein_tensor_view *out)
{
	for (int64_t i = 0; i < in[0].dim[0]; i++)
		((double *)out[0].data)[i] = 3 * ((const double *)in[0].data)[i];
	return REIN_OK;
}
static void triple_vjp(const void *ctx, struct rein_rec *r, const rein_val *in, const rein_val *out, const rein_val *g,
                       rein_val *gin)
{
	gin[0] = rein_scale(r, g[0], 3);
}

Test(record, ops_may_bring_their_derivative)
{
	struct bench *b = bench_open("cpu", 8, REIN_NAIVE);
	struct rein_rec *r = bench_record(b);
	int64_t dim[1] = { 2 };
	double out[2];
	rein_val x = bench_input(b, "x", REIN_REAL_T, 1, dim, (double[]){ 1.2, 2.7 }), y;
	rein_val q = rein_override(r, rein_rint(r, x), 1, &x, through, NULL);
	bench_output(b, rein_grad(r, rein_sum(r, rein_square(r, q)), x));
	struct rein_custom c = { .struct_size = sizeof c, .n_out = 1, .name = "triple", .run = triple, .vjp = triple_vjp };
	c.out[0].dtype = REIN_REAL_T;
	c.out[0].rank = 1;
	c.out[0].dim[0] = 2;
	rein_custom_op(r, &c, 1, &x, 1, &y);
	bench_output(b, rein_grad(r, rein_sum(r, rein_square(r, y)), x));
	bench_run(b);
	bench_get(b, 0, out, 2);
	cr_expect_eq(out[0], 2);
	cr_expect_eq(out[1], 6);
	bench_get(b, 1, out, 2);
	cr_expect_float_eq(out[0], 2 * 9 * 1.2, 1e-12);
	bench_close(b);
}

/* --- speed ----------------------------------------------------------------------------------------------------- */
/* A training step of a deep perceptron: some 1500 ops recorded, differentiated, cleaned. */
Test(record, a_step_is_recorded_quickly)
{
	struct bench *b = bench_open(NULL, 4, 0);
	double best = 1e9;
	for (int again = 0; again < 5; again++) {
		struct timespec t0, t1;
		clock_gettime(CLOCK_MONOTONIC, &t0);
		struct rein_rec *r = bench_record(b);
		rein_val x = bench_input(b, "x", REIN_REAL_T, 2, (int64_t[]){ 64, 32 }, NULL), w[32], g[32];
		rein_val y = bench_input(b, "y", REIN_I32_T, 1, (int64_t[]){ 64 }, NULL);
		for (int k = 0; k < 32; k++) {
			char name[16];
			snprintf(name, sizeof name, "w%d", k);
			w[k] = rein_param(r, name, 2, (int64_t[]){ 32, 32 }, NULL);
			x = rein_relu(r, rein_matmul(r, x, w[k], REIN_TB));
		}
		rein_grads(r, rein_mean(r, rein_cross_entropy(r, x, y)), REIN_NONE, 32, w, g);
		for (int k = 0; k < 32; k++) {
			char name[16];
			snprintf(name, sizeof name, "m%d", k);
			rein_var m = rein_state_like(r, name, w[k]);
			rein_val mk = rein_lerp(r, rein_read(r, m), g[k], rein_scalar(r, 0.1));
			rein_assign(r, m, mk, REIN_NONE);
			snprintf(name, sizeof name, "w%d", k);
			recorder_assign(b->recorder, store_find(b->store, name), rein_sub(r, w[k], rein_scale(r, mk, 0.01)),
			                REIN_NONE);
		}
		struct program *p = bench_finish(b);
		clock_gettime(CLOCK_MONOTONIC, &t1);
		double ms = (double)(t1.tv_sec - t0.tv_sec) * 1e3 + (double)(t1.tv_nsec - t0.tv_nsec) * 1e-6;
		best = ms < best ? ms : best;
		cr_expect_gt(p->p.n_instr, 300);
		program_destroy(p);
	}
	cr_log_info("recorded in %.2f ms", best);
	cr_expect_lt(best, 20, "%.2f ms", best);
	bench_close(b);
}
