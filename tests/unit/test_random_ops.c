/* SPDX-License-Identifier: MIT
 *
 * test_random_ops.c: ops with random numbers, operands and attributes. Most make no sense
 * and must be refused with a sentence; what is accepted must differentiate or say why not,
 * give a program that passes its check, and run. Nothing may crash (run it under ASan).
 */
#include "harness.h"

static uint64_t state = 1;
static uint32_t next(uint32_t n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 33) % n;
}

/* A tensor of any dtype; mostly of a shape already used, so that some ops fit. */
static rein_val operand(struct bench *b, int number)
{
	static int64_t dim[REIN_MAX_RANK];
	static uint32_t rank;
	char name[16];
	if (number == 0 || next(3) == 0) {
		rank = next(6) ? next(5) : next(REIN_MAX_RANK + 1);
		for (uint32_t i = 0; i < rank; i++)
			dim[i] = 1 + next(4);
	} else if (rank && next(2)) {
		dim[next(rank)] = 1 + next(4);
	}
	snprintf(name, sizeof name, "x%d", number);
	return bench_input(b, name, next(4) ? REIN_REAL_T : 1 + next(5), rank, dim, NULL);
}

static struct rein_attr attributes(void)
{
	struct rein_attr a = { .struct_size = sizeof a, .axes = next(4) ? next(16) : (uint32_t)state };
	a.flags = next(4);
	a.mode = next(6);
	a.rank = next(8);
	a.batch = next(3);
	for (int i = 0; i < 8; i++) {
		a.dim[i] = next(8) ? 1 + next(6) : (int64_t)next(100) - 50;
		a.start[i] = next(3) ? 0 : (int64_t)next(6) - 2;
		a.step[i] = next(3) ? 1 : (int64_t)next(6) - 2;
	}
	a.par[0] = (double)next(10) - 5;
	return a;
}

static void attempt(bool run, int *accepted)
{
	struct bench *b = bench_open(run ? "cpu" : NULL, 8, REIN_NAIVE | REIN_GUARD);
	struct rein_rec *r = bench_record(b);
	rein_val in[6], out[8] = { { 0 } }, g;
	uint32_t op = 1 + next(REIN_OP_COUNT), n_in = next(6), n_out = 1;
	struct rein_attr a = attributes();

	while (op == REIN_OP_MAP || op == REIN_OP_CUSTOM) /* theirs is a pointer */
		op = 1 + next(REIN_OP_COUNT);
	const struct op_info *o = op_info(op);
	if (next(8)) {
		n_in = o->n_in >= 0 ? (uint32_t)o->n_in : n_in;
		n_out = o->n_out >= 0 ? (uint32_t)o->n_out : n_out;
	}
	for (uint32_t k = 0; k < n_in; k++)
		in[k] = operand(b, (int)k);
	rein_op(r, op, n_in, in, &a, n_out, out);
	if (!recorder_failed(b->recorder)) {
		++*accepted;
		bench_output(b, out[0]);
		if (n_in && rein_dtype(r, out[0]) == REIN_REAL_T && rein_dtype(r, in[0]) == REIN_REAL_T) {
			g = rein_grad(r, rein_sum(r, rein_square(r, out[0])), in[0]);
			if (!recorder_failed(b->recorder))
				bench_output(b, rein_grad(r, rein_sum(r, rein_square(r, g)), in[0]));
		}
	}
	if (recorder_failed(b->recorder)) {
		char text[2048];
		bench_error(b, text, sizeof text);
		cr_expect_gt(strlen(text), 20, "op %s was refused without a word", o->name);
	} else if (run) {
		bench_run(b);
	} else {
		program_destroy(bench_finish(b));
	}
	bench_close(b);
}

Test(random_ops, are_refused_or_good)
{
	int accepted = 0;
	for (int i = 0; i < 8000; i++)
		attempt(false, &accepted);
	cr_log_info("%d accepted", accepted);
	cr_expect_gt(accepted, 500, "only %d of 8000 made sense", accepted);
}

Test(random_ops, run_when_accepted)
{
	int accepted = 0;
	for (int i = 0; i < 600; i++)
		attempt(true, &accepted);
	cr_log_info("%d accepted", accepted);
	cr_expect_gt(accepted, 15);
}
