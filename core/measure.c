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
 *                  the median of several, from stored samples to the network's output
 *   <split>.loss, <split>.accuracy   after prune and remove, of val or else train
 *
 * A new number: a line in measure_stage() and one here.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

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
	metrics_set(out, "parameters", e.all);
	metrics_set(out, "nonzero", e.nonzero);
	metrics_set(out, "sparsity", e.all > 0 ? 1 - e.nonzero / e.all : 0);
	metrics_set(out, "bytes.dense", 4 * e.all);
	metrics_set(out, "bytes.csr", e.csr);
	metrics_set(out, "bytes.bitmap", e.bitmap);
}

/* --- products --------------------------------------------------------------------------- */
/* The parameter behind an operand, through views of it, or NULL. */
static const struct state *weight_of(const struct trainer *t, const struct rein_program *p, int32_t value)
{
	const struct rein_prog_instr *i = &p->instr[p->value[value].instr];

	while (i->op == REIN_OP_RESHAPE || i->op == REIN_OP_PERMUTE)
		i = &p->instr[p->value[i->in[0]].instr];
	if (i->op != REIN_OP_READ)
		return NULL;
	const struct state *s = t->store->state[i->state];
	return s->role == STATE_PARAM ? s : NULL;
}

/* Of all rows: 0 for an op that is no product. */
static double product_macs(const struct rein_program *p, const struct rein_prog_instr *i)
{
	const struct rein_prog_value *y = &p->value[i->out[0]], *a = &p->value[i->in[0]];

	if (i->op == REIN_OP_MATMUL)
		return (double)y->count * (double)a->dim[a->rank - (i->attr.flags & REIN_TA ? 2 : 1)];
	const struct rein_prog_value *w = &p->value[i->in[1]];
	return i->op == REIN_OP_CONV2D ? (double)y->count * (double)(w->dim[1] * w->dim[2] * w->dim[3]) : 0;
}

static void measure_macs(struct trainer *t, const struct rein_program *p, int64_t rows, struct metrics *out)
{
	double all = 0, left = 0;

	for (uint32_t k = 0; k < p->n_instr; k++) {
		const struct rein_prog_instr *i = &p->instr[k];
		if (i->op != REIN_OP_MATMUL && i->op != REIN_OP_CONV2D)
			continue;
		double macs = product_macs(p, i) / (double)rows;
		const struct state *w = weight_of(t, p, i->in[1]);
		w = w ? w : weight_of(t, p, i->in[0]);
		all += macs;
		left += w ? macs * (double)nonzeros(t, w) / (double)w->count : macs;
	}
	metrics_set(out, "macs", all);
	metrics_set(out, "macs.nonzero", left);
}

/* --- time ---------------------------------------------------------------------------------- */
#define RUNS_MOST  50
#define RUNS_LEAST 5
#define SECONDS    0.25

static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* The median of several runs; the first, which touches memory for the first time, is not one. */
static bool median_ms(struct compiled *c, double *ms)
{
	double took[RUNS_MOST], total = 0;
	int n = 0;

	if (compiled_run(c, 1) < 0)
		return false;
	while (n < RUNS_MOST && (n < RUNS_LEAST || total < SECONDS)) {
		double start = now();
		if (compiled_run(c, 1) < 0)
			return false;
		took[n] = now() - start;
		total += took[n++];
	}
	qsort(took, (size_t)n, sizeof *took, by_size);
	*ms = 500 * (took[(n - 1) / 2] + took[n / 2]);
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

bool measure_stage(struct trainer *t, bool evaluate, struct metrics *out)
{
	struct compiled *c = forward_once(t, t->batch);
	double ms = 0;
	bool good = c && median_ms(c, &ms);

	if (good) {
		measure_entries(t, out);
		measure_macs(t, &c->program->p, t->batch, out);
		metrics_set(out, "forward_ms", ms);
	}
	compiled_destroy(c);
	return good && (!evaluate || run_evaluate(t, data_split(t->data, "val") ? "val" : t->train->name, out));
}
