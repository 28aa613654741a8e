/* SPDX-License-Identifier: MIT
 *
 * show.c: one sample as a step of training sees it. The batch that holds the sample in that
 * epoch is taken and augmented once more, by the very ops of the step, with the same numbers:
 * so mixtures with other samples of the batch come out the same too.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "train.h"

struct view {
	struct compiled *c;
	int64_t rows, row; /* of the batch; that of the sample */
	uint32_t rank[2];
	int64_t dim[2][REIN_MAX_RANK]; /* before, after; rows first */
	int64_t columns;               /* of the target; 0: class numbers */
};

static void note_shape(struct pass *p, struct view *v, int k, rein_val x)
{
	int32_t rank = rein_rank(p->r, x);

	v->rank[k] = rank < 0 ? 0 : (uint32_t)rank;
	for (int32_t i = 0; i < rank; i++)
		v->dim[k][i] = rein_dim(p->r, x, i);
}

/* Outputs: the batch as it was read, as it became, its targets. */
static bool record_batch(struct trainer *t, const struct portion *f, int kind, int64_t first, struct view *v)
{
	struct pass p;

	pass_begin(&p, t, kind, false, "show");
	p.quiet = true;
	pass_tensors(&p, p.net);
	rein_val at = pass_index(&p, kind == PASS_TRAIN ? p.entry : REIN_NONE, v->rows, first);
	if (kind == PASS_TRAIN)
		at = rein_take(p.r, recorder_read(p.rec, t->order), at, 0);
	pass_batch(&p, f, at);
	note_shape(&p, v, 0, p.raw);
	note_shape(&p, v, 1, p.batch.x);
	v->columns = rein_rank(p.r, p.batch.y) == 2 ? rein_dim(p.r, p.batch.y, 1) : 0;
	recorder_output(p.rec, p.raw);
	recorder_output(p.rec, p.batch.x);
	recorder_output(p.rec, p.batch.y);
	v->c = build(t, pass_end(&p));
	return v->c;
}

static int64_t place_of(const int32_t *order, int64_t n, int64_t sample)
{
	for (int64_t i = 0; i < n; i++)
		if (order[i] == sample)
			return i;
	return -1;
}

/* Sets counters and order as they are when the epoch begins, and the step of the sample. */
static bool go_to_step(struct trainer *t, int64_t sample, int64_t epoch, struct view *v, int64_t *first)
{
	if (!epoch_order(t, epoch))
		return false;
	int64_t at = place_of(t->order_host, t->train->n, sample), entry = at / t->batch;
	if (at < 0 || entry >= t->steps) {
		diag_error(t->diag, NULL, "epoch %" PRId64 " leaves sample %" PRId64 " out: its last batch is not full", epoch,
		           sample);
		return false;
	}
	bool last = t->rest && entry == t->steps - 1;
	v->rows = last ? t->rest : t->batch;
	v->row = last ? at - (t->train->n - t->rest) : at % t->batch;
	*first = last ? t->train->n - t->rest : -1;
	return set_i32(t, t->entry, (int32_t)entry) && set_i32(t, t->epoch, (int32_t)(epoch - 1)) &&
	       set_i32(t, t->step, (int32_t)((epoch - 1) * t->steps + entry));
}

/* Row of output k, floats, allocated; n of them. */
static float *row_of(struct trainer *t, const struct view *v, uint32_t k, int64_t row, int64_t rows, int64_t n)
{
	float *all = must(malloc((size_t)(rows * n + 1) * sizeof *all)), *one = must(malloc((size_t)(n + 1) * sizeof *one));

	if (compiled_output(v->c, k, all, rows * n * (int64_t)sizeof *all) < 0) {
		diag_error(t->diag, NULL, "the sample could not be read back");
		free(all);
		free(one);
		return NULL;
	}
	memcpy(one, all + row * n, (size_t)n * sizeof *one);
	free(all);
	return one;
}

static int64_t elements(const struct view *v, int k)
{
	int64_t n = 1;

	for (uint32_t i = 1; i < v->rank[k]; i++)
		n *= v->dim[k][i];
	return n;
}

static bool fill(struct trainer *t, const struct view *v, struct shown *out)
{
	int64_t rows = v->dim[1][0], views = rows / v->rows;

	for (int k = 0; k < 2; k++) {
		out->rank[k] = v->rank[k] - 1;
		memcpy(out->dim[k], v->dim[k] + 1, out->rank[k] * sizeof *out->dim[k]);
	}
	out->n_view = views > SHOW_VIEWS ? SHOW_VIEWS : (int)views;
	out->before = row_of(t, v, 0, v->row, v->rows, elements(v, 0));
	for (int i = 0; i < out->n_view; i++)
		out->after[i] = row_of(t, v, 1, i * v->rows + v->row, rows, elements(v, 1));
	out->n_target = v->columns;
	if (v->columns) {
		out->target = row_of(t, v, 2, v->row, rows, v->columns);
	} else {
		float *label = row_of(t, v, 2, v->row, rows, 1); /* bits of an int32_t */
		if (label)
			memcpy(&out->label, label, sizeof out->label);
		free(label);
	}
	return out->before && out->after[0];
}

bool trainer_show(struct trainer *t, const char *split, int64_t sample, int64_t epoch, struct shown *out,
                  struct diag *d)
{
	struct portion *f = portion_find(t, split);
	struct view v = { .rows = 1 };
	int64_t first = sample;
	int kind = f && f->split == t->train && epoch > 0 ? PASS_TRAIN : PASS_EVAL;
	bool good = true;

	memset(out, 0, sizeof *out);
	t->diag = d;
	if (!f || sample < 0 || sample >= f->split->n) {
		diag_error(d, NULL,
		           f ? "sample %" PRId64 " of '%s': there are %" PRId64 ", counted from 0"
		             : "sample %" PRId64 ": there is no split '%s'",
		           sample, split, f ? f->split->n : 0);
		return false;
	}
	if (kind == PASS_TRAIN)
		good = go_to_step(t, sample, epoch, &v, &first);
	int64_t from = kind == PASS_TRAIN ? v.row : 0;
	from = kind == PASS_TRAIN ? place_of(t->order_host, t->train->n, sample) - from : sample;
	good =
		good &&
		stream_one(f, kind == PASS_TRAIN ? t->order_host : NULL, from, v.rows, kind == PASS_TRAIN ? epoch - 1 : -1) &&
		record_batch(t, f, kind, first, &v) && compiled_run(v.c, 1) >= 0 && fill(t, &v, out);
	compiled_destroy(v.c);
	return good;
}

int64_t trainer_batch(struct trainer *t, const char *split, int64_t batch, int64_t epoch, int64_t count,
                      int64_t *sample, struct diag *d)
{
	struct portion *f = portion_find(t, split);
	bool training = f && f->split == t->train && epoch > 0;
	int64_t size = training ? t->batch : t->env.settings->eval_batch, n = f ? f->split->n : 0;

	t->diag = d;
	if (size <= 0 || size > n)
		size = n;
	int64_t batches = training ? t->steps : n ? (n + size - 1) / size : 0;
	if (!f || batch >= batches) {
		diag_error(d, NULL,
		           f ? "batch %" PRId64 " of '%s': there are %" PRId64 ", counted from 0"
		             : "batch %" PRId64 ": there is no split '%s'",
		           batch, split, batches);
		return 0;
	}
	if (training && !epoch_order(t, epoch))
		return 0;
	int64_t left = n - batch * size;
	count = count < size ? count : size;
	count = count < left ? count : left;
	for (int64_t i = 0; i < count; i++)
		sample[i] = training ? t->order_host[batch * size + i] : batch * size + i;
	return count;
}

void shown_finish(struct shown *s)
{
	free(s->before);
	for (int i = 0; i < s->n_view; i++)
		free(s->after[i]);
	free(s->target);
	memset(s, 0, sizeof *s);
}
