/* SPDX-License-Identifier: MIT
 *
 * measure.c: the network as it is, in numbers, where a run prunes or removes: behind the last
 * row of each stage, so that dense, masked and smaller networks can be laid side by side.
 *
 *   parameters, nonzero, nonzero.<parameter>, sparsity
 *   macs           multiply-adds of one sample's forward pass, from the recorded products
 *   macs.nonzero   those of them whose weight is not zero
 *   bytes.dense    4 per entry (float32); bytes.csr: 4 per non-zero, 4 for its column, 4 for
 *                  each row's start and one more; bytes.bitmap: 4 per non-zero, a bit per entry
 *   forward_ms     wall time of one forward pass in evaluation mode at the run's batch size:
 *                  the fastest of several, since others only ever make one slower; from stored
 *                  samples to the network's output
 *   <split>.loss, <split>.accuracy   after prune and remove, of val or else train
 *
 * A new number: a line in measure_stage() and one here.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rec.h"
#include "rein/math.h"
#include "train.h"

/* --- entries ---------------------------------------------------------------------------- */
struct entries {
	double all, nonzero, dense, csr, bitmap;
};

static int64_t nonzeros(struct trainer *t, const struct state *w)
{
	char *host = zalloc((size_t)state_bytes(t->store, w) + 1, 1);
	bool wide = t->store->real_size == 8;
	int64_t n = 0;

	if (store_get(t->store, w, host) >= 0)
		for (int64_t k = 0; k < w->count; k++)
			n += wide ? ((double *)(void *)host)[k] != 0 : ((float *)(void *)host)[k] != 0;
	free(host);
	return n;
}

static void measure_entries(struct trainer *t, struct metrics *out)
{
	struct network *net = t->net[0];
	struct entries e = { 0 };
	char name[128];

	metrics_set(out, "parameters", 0);
	metrics_set(out, "nonzero", 0);
	metrics_set(out, "sparsity", 0);
	for (int i = 0; i < net->n_param; i++) {
		const struct state *w = net->param[i];
		int64_t n = nonzeros(t, w), rows = w->rank > 1 ? w->dim[0] : 1;
		snprintf(name, sizeof name, "nonzero.%s", w->name);
		metrics_set(out, name, (double)n);
		e.all += (double)w->count;
		e.nonzero += (double)n;
		e.csr += (double)(8 * n + 4 * (rows + 1));
		e.bitmap += (double)(4 * n + (w->count + 7) / 8);
	}
	metrics_set(out, "parameters", e.all); /* known first, told first */
	metrics_set(out, "nonzero", e.nonzero);
	metrics_set(out, "sparsity", e.all > 0 ? 1 - e.nonzero / e.all : 0);
	metrics_set(out, "bytes.dense", 4 * e.all);
	metrics_set(out, "bytes.csr", e.csr);
	metrics_set(out, "bytes.bitmap", e.bitmap);
}

/* --- products --------------------------------------------------------------------------- */
/* What makes an operand, views of it left out. */
static const struct rein_prog_instr *source_of(const struct rein_program *p, int32_t value)
{
	const struct rein_prog_instr *i = &p->instr[p->value[value].instr];

	while (i->op == REIN_OP_RESHAPE || i->op == REIN_OP_PERMUTE)
		i = &p->instr[p->value[i->in[0]].instr];
	return i;
}

/* Multiply-adds of all rows. */
static double product_macs(const struct rein_program *p, const struct rein_prog_instr *i)
{
	const struct rein_prog_value *y = &p->value[i->out[0]], *a = &p->value[i->in[0]], *w = &p->value[i->in[1]];

	if (i->op == REIN_OP_MATMUL)
		return (double)y->count * (double)a->dim[a->rank - (i->attr.flags & REIN_TA ? 2 : 1)];
	return (double)y->count * (double)(w->dim[1] * w->dim[2] * w->dim[3]);
}

/* Products with constant matrices are pooling, not layers of weights: they do not count. */
static void measure_macs(struct trainer *t, const struct rein_program *p, int64_t rows, struct metrics *out)
{
	double all = 0, left = 0;

	for (uint32_t k = 0; k < p->n_instr; k++) {
		const struct rein_prog_instr *i = &p->instr[k];
		const struct state *w = NULL;
		bool constant = false;
		if (i->op != REIN_OP_MATMUL && i->op != REIN_OP_CONV2D)
			continue;
		for (int side = 0; side < 2; side++) {
			const struct rein_prog_instr *from = source_of(p, i->in[side]);
			constant = constant || from->op == REIN_OP_CONST;
			if (from->op == REIN_OP_READ && t->store->state[from->state]->role == STATE_PARAM)
				w = t->store->state[from->state];
		}
		double macs = constant ? 0 : product_macs(p, i) / (double)rows;
		all += macs;
		left += w ? macs * (double)nonzeros(t, w) / (double)w->count : macs;
	}
	metrics_set(out, "macs", all);
	metrics_set(out, "macs.nonzero", left);
}

int recorded_ops(const struct recorder *r) { return r->n_instr; }

int64_t recorded_macs(const struct recorder *r, int first)
{
	int64_t sum = 0;

	for (int k = first; k < r->n_instr; k++) {
		const struct rec_instr *i = &r->instr[k];
		const struct rec_value *y = &r->value[i->out];
		if (i->op == REIN_OP_MATMUL) {
			const struct rec_value *a = &r->value[rec_in(r, i, 0).id];
			sum += y->count * a->dim[a->rank - (i->attr.flags & REIN_TA ? 2 : 1)];
		} else if (i->op == REIN_OP_CONV2D) {
			const struct rec_value *w = &r->value[rec_in(r, i, 1).id];
			sum += y->count * w->dim[1] * w->dim[2] * w->dim[3];
		}
	}
	return sum;
}

/* --- time ---------------------------------------------------------------------------------- */
#define RUNS_MOST  50
#define RUNS_LEAST 5
#define SECONDS    0.1

static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

/* The fastest of several runs; the first, which touches memory for the first time, is not one. */
static bool fastest_ms(struct trainer *t, struct compiled *c, double *ms)
{
	double total = 0;

	if (!stream_one(portion_find(t, t->train->name), NULL, 0, t->batch, -1) || compiled_run(c, 1) < 0)
		return false;
	for (int n = 0; n < RUNS_MOST && (n < RUNS_LEAST || total < SECONDS); n++) {
		double start = now();
		if (compiled_run(c, 1) < 0)
			return false;
		double took = 1e3 * (now() - start);
		*ms = n == 0 || took < *ms ? took : *ms;
		total += took / 1e3;
	}
	return true;
}

/* The first `rows` samples of the training split, forward as evaluation does it. */
static struct compiled *forward_once(struct trainer *t, int64_t rows)
{
	struct pass p;

	pass_begin(&p, t, PASS_EVAL, false, "forward");
	p.quiet = true;
	pass_tensors(&p, p.net);
	pass_batch(&p, portion_find(t, t->train->name), pass_index(&p, REIN_NONE, rows, 0));
	bool view = t->has_view && !t->plain;
	if (view)
		pass_view(&p);
	recorder_output(p.rec, pass_forward_once(&p, REIN_EVAL));
	if (view)
		pass_unview(&p);
	return build(t, pass_end(&p));
}

float *forward_outputs(struct trainer *t, int64_t *n)
{
	struct compiled *c = forward_once(t, t->batch);
	float *out = NULL;

	if (c && stream_one(portion_find(t, t->train->name), NULL, 0, t->batch, -1) && compiled_run(c, 1) >= 0) {
		const struct rein_program *p = &c->program->p;
		*n = p->value[p->output[0]].count;
		out = zalloc((size_t)*n + 1, sizeof *out);
		if (compiled_output(c, 0, out, *n * (int64_t)sizeof *out) < 0) {
			free(out);
			out = NULL;
		}
	}
	compiled_destroy(c);
	return out;
}

bool measure_stage(struct trainer *t, bool evaluate, struct metrics *out)
{
	struct compiled *c = forward_once(t, t->batch);
	double ms = 0;
	bool good = c && fastest_ms(t, c, &ms);

	if (good) {
		measure_entries(t, out);
		measure_macs(t, &c->program->p, t->batch, out);
		metrics_set(out, "forward_ms", ms);
	}
	compiled_destroy(c);
	return good && (!evaluate || run_evaluate(t, data_split(t->data, "val") ? "val" : t->train->name, out));
}
