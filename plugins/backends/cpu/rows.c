/* SPDX-License-Identifier: MIT
 *
 * rows.c: log-softmax over the last axis and cross-entropy, row by row, with the strips' exp.
 * The two of one logits tensor (the loss and its derivative) are one kernel and share the work.
 *   x = z - max z;  s = log sum exp x;  log_softmax = x - s;  cross_entropy = s - x[y], or
 *   -sum p (x - s). Sums and logarithms are in double, as few as they are.
 */
#include <math.h>
#include <stdio.h>

#include "fuse.h"

#define ROWS_TASK     2048 /* elements */
#define PARALLEL_WORK 2000

struct rows {
	const struct rein_host *host;
	const struct strip_isa *isa;
	int32_t z, y, log_softmax, cost; /* values; -1: not wanted */
	bool hard;                       /* y are classes */
	int64_t n, k, per;               /* rows, their length, rows of a task */
	const float *z_mem, *p_mem;
	const int32_t *y_mem;
	float *log_mem, *cost_mem;
};

bool rows_op(const struct rein_program *p, const struct rein_prog_instr *i)
{
	if (p->real_size != 4)
		return false;
	if (i->op == REIN_OP_CROSS_ENTROPY)
		return p->value[i->in[0]].rank == 2;
	const struct rein_prog_value *z = &p->value[i->in[0]];
	return i->op == REIN_OP_LOG_SOFTMAX && z->rank > 0 && i->attr.axes == 1u << (z->rank - 1);
}

static float max_of(const struct strip_isa *isa, const float *z, int64_t k)
{
	if (k >= 32)
		return isa->amax(k, z);
	float m = z[0];
	for (int64_t j = 1; j < k; j++)
		m = m != m ? m : z[j] != z[j] ? z[j] : m < z[j] ? z[j] : m;
	return m;
}

static double sum_of(const struct strip_isa *isa, const float *x, int64_t k)
{
	if (k >= 32)
		return isa->sum_wide(k, x);
	double s = 0;
	for (int64_t j = 0; j < k; j++)
		s += (double)x[j];
	return s;
}

/* The results of a row from its maximum and s. */
static void finish_row(const struct rows *r, int64_t row, float max, double s)
{
	const float *z = r->z_mem + row * r->k;
	for (int64_t j = 0; r->log_mem && j < r->k; j++)
		r->log_mem[row * r->k + j] = (z[j] - max) - (float)s;
	if (r->cost_mem && r->hard) {
		int32_t y = r->y_mem[row];
		r->cost_mem[row] = y < 0 || y >= r->k ? 0 : (float)(s - ((double)z[y] - (double)max));
	} else if (r->cost_mem) {
		double cost = 0;
		for (int64_t j = 0; j < r->k; j++)
			cost -= (double)r->p_mem[row * r->k + j] * ((double)z[j] - (double)max - s);
		r->cost_mem[row] = (float)cost;
	}
}

/* Rows that fit a strip together. */
static void short_rows(const struct rows *r, int64_t first, int64_t n)
{
	float x[STRIP], max[STRIP];
	x[0] = 0;
	for (int64_t i = 0; i < n; i++) {
		const float *z = r->z_mem + (first + i) * r->k;
		max[i] = max_of(r->isa, z, r->k);
		for (int64_t j = 0; j < r->k; j++)
			x[i * r->k + j] = z[j] - max[i];
	}
	r->isa->op[S_EXP_F](n * r->k, x, x, NULL, NULL, 0);
	for (int64_t i = 0; i < n; i++)
		finish_row(r, first + i, max[i], log(sum_of(r->isa, x + i * r->k, r->k)));
}

static void long_row(const struct rows *r, int64_t row)
{
	const float *z = r->z_mem + row * r->k;
	float x[STRIP] = { 0 }, max = max_of(r->isa, z, r->k);
	double s = 0;
	for (int64_t at = 0; at < r->k; at += STRIP) {
		int64_t n = r->k - at < STRIP ? r->k - at : STRIP;
		for (int64_t j = 0; j < n; j++)
			x[j] = z[at + j] - max;
		r->isa->op[S_EXP_F](n, x, x, NULL, NULL, 0);
		s += sum_of(r->isa, x, n);
	}
	finish_row(r, row, max, log(s));
}

static void run_task(void *arg, int task)
{
	const struct rows *r = arg;
	int64_t row = task * r->per, end = row + r->per < r->n ? row + r->per : r->n;
	int64_t together = STRIP / r->k;
	while (row < end) {
		int64_t n = end - row < together ? end - row : together;
		if (together)
			short_rows(r, row, n);
		else
			long_row(r, row);
		row += together ? n : 1;
	}
}

static rein_status run(struct rein_exec *e, struct kernel *k)
{
	struct rows *r = k->data;
	r->z_mem = e->mem[r->z];
	r->log_mem = r->log_softmax < 0 ? NULL : e->mem[r->log_softmax];
	r->cost_mem = r->cost < 0 ? NULL : e->mem[r->cost];
	r->y_mem = r->y < 0 || !r->hard ? NULL : e->mem[r->y];
	r->p_mem = r->y < 0 || r->hard ? NULL : e->mem[r->y];
	pool_run(r->n * r->k < PARALLEL_WORK ? NULL : e->cpu->pool, (int)((r->n + r->per - 1) / r->per), run_task, r);
	return REIN_OK;
}

static void destroy(struct kernel *k)
{
	struct rows *r = k->data;
	r->host->free(r->host, r);
}

int rows_compile(struct rein_exec *e, int32_t n, const int32_t *instr, struct kernel *out)
{
	const struct rein_program *p = e->program;
	const struct rein_host *host = e->cpu->host;
	for (int32_t k = 0; k < n; k++)
		if (!rows_op(p, &p->instr[instr[k]]))
			return 0;
	struct rows *r = host->alloc(host, sizeof *r);
	if (!r)
		return REIN_ERROR;
	*r = (struct rows){ .host = host, .isa = strip_isa(e->cpu->isa), .y = -1, .log_softmax = -1, .cost = -1 };
	for (int32_t k = 0; k < n; k++) {
		const struct rein_prog_instr *i = &p->instr[instr[k]];
		const struct rein_prog_value *z = &p->value[i->in[0]];
		r->z = i->in[0];
		r->k = z->dim[z->rank - 1];
		r->n = z->count / r->k;
		if (i->op == REIN_OP_LOG_SOFTMAX) {
			r->log_softmax = i->out[0];
		} else {
			r->cost = i->out[0];
			r->y = i->in[1];
			r->hard = p->value[r->y].dtype == REIN_I32_T;
		}
	}
	r->per = ROWS_TASK / r->k < 1 ? 1 : ROWS_TASK / r->k;
	*out = (struct kernel){ .run = run, .destroy = destroy, .data = r, .first = instr[0] };
	snprintf(out->explain, sizeof out->explain, "%s%s%s", r->cost >= 0 ? "cross_entropy" : "", n > 1 ? "+" : "",
	         r->log_softmax >= 0 ? "log_softmax" : "");
	return 1;
}
