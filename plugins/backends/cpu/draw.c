/* SPDX-License-Identifier: MIT
 *
 * draw.c: RANDOM by vectors and threads, with the words and numbers of its reference
 * (naive_draw.c) bit for bit. A task draws some rows, or a piece of a long one.
 */
#include <stdio.h>

#include "fast.h"

#ifndef HAVE_AVX2
#define draw_avx2 draw_plain
#endif
#ifndef HAVE_AVX512
#define draw_avx512 draw_plain
#endif

#define TASK          8192 /* elements */
#define WORDS         512  /* at a time */
#define PARALLEL_WORK 16384

struct draw {
	const struct rein_host *host;
	const struct rein_prog_instr *i;
	const struct draw_isa *isa;
	bool per_sample;
	int64_t rows, len, rows_per, pieces; /* rows of a task, pieces of a row */
	const int32_t *arg[3];
	void *out;
};

static void convert(const struct draw *d, int64_t n, const uint32_t *w, int64_t at)
{
	if (d->i->attr.mode == REIN_NORMAL)
		for (int64_t j = 0; j < n; j++)
			((float *)d->out)[at + j] = (float)cpu_normal(w[j & ~1], w[j | 1], j & 1);
	else
		d->isa->uniform(n, w, (float *)d->out + at);
}

static void draw_range(const struct draw *d, int64_t row, int64_t from, int64_t to)
{
	uint64_t key = *(const uint64_t *)d->i->attr.data;
	uint32_t c[3], w[WORDS];
	for (int k = 0; k < 3; k++)
		c[k] = d->arg[k] ? (uint32_t)d->arg[k][k == 0 && d->per_sample ? row : 0] : 0;
	for (int64_t e = from; e < to; e += WORDS) { /* `from` is a multiple of four */
		int64_t n = to - e < WORDS ? to - e : WORDS, at = row * d->len + e;
		if (d->i->attr.mode == REIN_BITS) {
			d->isa->bits(n, (uint32_t)(e / 4), c, key, (uint32_t *)d->out + at);
			continue;
		}
		d->isa->bits((n + 3) / 4 * 4, (uint32_t)(e / 4), c, key, w);
		convert(d, n, w, at);
	}
}

static void run_task(void *arg, int task)
{
	const struct draw *d = arg;
	int64_t row = task / d->pieces * d->rows_per, end = row + d->rows_per < d->rows ? row + d->rows_per : d->rows;
	int64_t from = task % d->pieces * TASK, to = d->pieces > 1 && from + TASK < d->len ? from + TASK : d->len;
	for (; row < end; row++)
		draw_range(d, row, from, to);
}

static rein_status run(struct rein_exec *e, struct kernel *k)
{
	struct draw *d = k->data;
	for (uint32_t n = 0; n < d->i->n_in && n < 3; n++)
		d->arg[n] = e->mem[d->i->in[n]];
	d->out = e->mem[d->i->out[0]];
	pool_run(d->rows * d->len < PARALLEL_WORK ? NULL : e->cpu->pool,
	         (int)((d->rows + d->rows_per - 1) / d->rows_per * d->pieces), run_task, d);
	return REIN_OK;
}

static void destroy(struct kernel *k)
{
	struct draw *d = k->data;
	d->host->free(d->host, d);
}

int draw_compile(struct rein_exec *e, int32_t n, const int32_t *instr, struct kernel *out)
{
	static const struct draw_isa *const isas[] = { &draw_plain, &draw_avx2, &draw_avx512 };
	const struct rein_program *p = e->program;
	const struct rein_host *host = e->cpu->host;
	const struct rein_prog_instr *i = &p->instr[instr[0]];
	if (n != 1 || i->op != REIN_OP_RANDOM || p->real_size != 4)
		return 0;
	struct draw *d = host->alloc(host, sizeof *d);
	if (!d)
		return REIN_ERROR;
	const struct rein_prog_value *v = &p->value[i->out[0]];
	*d = (struct draw){ .host = host, .i = i, .isa = isas[e->cpu->isa] };
	d->per_sample = i->attr.flags == REIN_PER_SAMPLE && v->rank > 0;
	d->rows = d->per_sample ? v->dim[0] : 1;
	d->len = v->count / (d->rows > 0 ? d->rows : 1);
	d->pieces = d->len > TASK ? (d->len + TASK - 1) / TASK : 1;
	d->rows_per = d->len > 0 && d->len < TASK ? TASK / d->len : 1;
	*out = (struct kernel){ .run = run, .destroy = destroy, .data = d, .first = instr[0], .explain = "random" };
	return 1;
}
