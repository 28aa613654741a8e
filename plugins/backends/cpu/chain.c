/* SPDX-License-Identifier: MIT
 *
 * chain.c: runs chains. A chain's elements are cut into tasks by shape alone; each task's
 * reductions go to its own partial result, combined in task order, so that the number of
 * threads changes no bit.
 */
#include <math.h>
#include <string.h>

#include "strip.h"

#ifndef HAVE_AVX2
#define strip_avx2 strip_plain
#endif
#ifndef HAVE_AVX512
#define strip_avx512 strip_plain
#endif

#define FETCH_COUNT   65536  /* elements of a tensor that left the second cache since it was used */
#define PARALLEL_WORK 100000 /* elements times steps; below, threads cost more than they give */

const struct strip_isa *strip_isa(int isa)
{
	return isa == ISA_AVX512 ? &strip_avx512 : isa == ISA_AVX2 ? &strip_avx2 : &strip_plain;
}

/* --- loads that are not plain ------------------------------------------------------- */
static void move(const struct strip_isa *isa, unsigned char *to, const unsigned char *from, int64_t n, int64_t stride,
                 int size)
{
	if (stride == 1) {
		memcpy(to, from, (size_t)(n * size));
	} else if (stride == 0) {
		isa->op[size == 4 ? S_COPY_4 : S_COPY_1](n, to, from, NULL, NULL, 1);
	} else if (size == 4) {
		uint32_t *restrict d = (uint32_t *)(void *)to;
		const uint32_t *restrict s = (const uint32_t *)(const void *)from;
		if (stride == -1) { /* a mirrored row */
			for (int64_t i = 0; i < n; i++)
				d[i] = s[-i];
		} else {
			for (int64_t i = 0; i < n; i++)
				d[i] = s[i * stride];
		}
	} else {
		for (int64_t i = 0; i < n; i++)
			to[i] = from[i * stride];
	}
}

static void load_view(const struct strip_isa *isa, const struct view *v, unsigned char *to, const unsigned char *base,
                      int size, int64_t e0, int64_t n)
{
	int64_t index[REIN_MAX_RANK], at = v->start;
	int last = (int)v->rank - 1;
	for (int k = last; k >= 0; k--) {
		index[k] = e0 % v->dim[k];
		e0 /= v->dim[k];
		at += index[k] * v->stride[k];
	}
	while (n > 0) {
		int64_t run = v->dim[last] - index[last];
		if (run > n)
			run = n;
		move(isa, to, base + at * size, run, v->stride[last], size);
		to += run * size;
		n -= run;
		at -= index[last] * v->stride[last];
		index[last] = 0;
		for (int k = last - 1; k >= 0; k--) {
			at += v->stride[k];
			if (++index[k] < v->dim[k])
				break;
			at -= v->dim[k] * v->stride[k];
			index[k] = 0;
		}
	}
}

/* Rows of table (dim[0], dim[1]) picked by idx, `count` in all; outside: zeros. Rows lie anywhere:
 * the next one is asked for while this one is copied. */
static void load_rows(const struct view *v, unsigned char *to, const unsigned char *table, const int32_t *idx, int size,
                      int64_t count, int64_t e0, int64_t n)
{
	int64_t width = v->dim[1], row = e0 / width, col = e0 % width;
	for (; n > 0; row++, col = 0) {
		int64_t run = width - col < n ? width - col : n;
		if (row + 1 < count && idx[row + 1] >= 0 && idx[row + 1] < v->dim[0]) {
			const unsigned char *soon = table + ((int64_t)idx[row + 1] * width + col) * size;
			for (int64_t b = 0; b < run * size; b += 64)
				__builtin_prefetch(soon + b);
		}
		if (idx[row] >= 0 && idx[row] < v->dim[0])
			memcpy(to, table + ((int64_t)idx[row] * width + col) * size, (size_t)(run * size));
		else
			memset(to, 0, (size_t)(run * size));
		to += run * size;
		n -= run;
	}
}

static void pick(const struct view *v, void *to, const void *table, const int32_t *idx, int size, int64_t n)
{
	for (int64_t i = 0; i < n; i++) {
		bool in = idx[i] >= 0 && idx[i] < v->dim[0];
		if (size == 4)
			((uint32_t *)to)[i] = in ? ((const uint32_t *)table)[idx[i]] : 0;
		else
			((uint8_t *)to)[i] = in ? ((const uint8_t *)table)[idx[i]] : 0;
	}
}

/* Index along an axis: (e / stride) % dim. */
static void iota(const struct view *v, int32_t *to, int64_t e0, int64_t n)
{
	int64_t inner = v->stride[0], at = e0 / inner % v->dim[0], rest = inner - e0 % inner;
	while (n > 0) {
		int64_t run = inner == 1 ? v->dim[0] - at : rest;
		run = run < n ? run : n;
		for (int64_t i = 0; i < run; i++)
			to[i] = (int32_t)(inner == 1 ? at + i : at);
		to += run;
		n -= run;
		at = inner == 1 || at + 1 == v->dim[0] ? 0 : at + 1;
		rest = inner;
	}
}

static void run_map(const struct map_step *m, int64_t n, void *const *ptr)
{
	const float *in[8];
	float *out[4], par[8];
	for (uint32_t k = 0; k < m->map->n_in; k++)
		in[k] = ptr[m->in[k]];
	for (uint32_t k = 0; k < m->map->n_out; k++)
		out[k] = ptr[m->out[k]];
	for (uint32_t k = 0; k < m->map->n_par; k++)
		par[k] = *(const float *)ptr[m->par[k]];
	m->map->run_f32(n, in, out, par);
}

static void run_step(const struct chain *c, const struct step *s, int64_t e0, int64_t n, void *const *ptr)
{
	int size = c->slot[s->d].size;
	const struct view *v = &c->view[s->more];
	switch (s->kind) {
	case STEP_OP: c->isa->op[s->op](n, ptr[s->d], ptr[s->in[0]], ptr[s->in[1]], ptr[s->in[2]], s->scalars); break;
	case STEP_VIEW: load_view(c->isa, v, ptr[s->d], ptr[s->in[1]], size, e0, n); break;
	case STEP_ROWS: load_rows(v, ptr[s->d], ptr[s->in[1]], ptr[s->in[0]], size, c->count / v->dim[1], e0, n); break;
	case STEP_PICK: pick(v, ptr[s->d], ptr[s->in[1]], ptr[s->in[0]], size, n); break;
	case STEP_IOTA: iota(v, ptr[s->d], e0, n); break;
	default: run_map(&c->map[s->more], n, ptr); break;
	}
}

/* --- reductions ------------------------------------------------------------------------ */
static double larger(double a, double b) { return a != a ? a : b != b ? b : a < b ? b : a; }

static double reduce_strip(const struct chain *c, const struct reduce *r, const void *x, int64_t n)
{
	double total = 0;
	if (r->op == REIN_OP_AMAX)
		return (double)c->isa->amax(n, x);
	if (r->dtype == REIN_REAL_T)
		return r->wide ? c->isa->sum_wide(n, x) : (double)c->isa->sum(n, x);
	if (r->dtype == REIN_I32_T)
		for (int64_t i = 0; i < n; i++)
			total += (double)((const int32_t *)x)[i];
	else
		for (int64_t i = 0; i < n; i++)
			total += (double)((const uint8_t *)x)[i];
	return total;
}

static double neutral(const struct reduce *r) { return r->op == REIN_OP_SUM ? 0 : -(double)INFINITY; }
static double join(const struct reduce *r, double a, double b) { return r->op == REIN_OP_AMAX ? larger(a, b) : a + b; }

static int64_t partial_size(const struct reduce *r, int64_t cols)
{
	return r->kind == REDUCE_ROWS ? (cols * 4 + 63) / 64 * 64 : r->kind == REDUCE_ALL ? 8 : 0;
}

int64_t chain_partial_bytes(const struct reduce *r, int n, int64_t cols, int64_t tasks)
{
	int64_t bytes = 0;
	for (int k = 0; k < n; k++)
		bytes += (partial_size(&r[k], cols) * tasks + 63) / 64 * 64;
	return bytes;
}

/* Partial result of reduction k for a task. */
static void *partial_of(const struct chain *c, void *partial, int k, int64_t task)
{
	return (unsigned char *)partial + chain_partial_bytes(c->reduce, k, c->cols, c->tasks) +
	       partial_size(&c->reduce[k], c->cols) * task;
}

static void put(const struct reduce *r, int64_t at, double x)
{
	if (r->op == REIN_OP_ARGMAX || (r->op == REIN_OP_SUM && r->dtype != REIN_REAL_T))
		((int32_t *)r->out)[at] = (int32_t)(uint32_t)(int64_t)x;
	else if (r->wide)
		((double *)r->out)[at] = x;
	else
		((float *)r->out)[at] = (float)x;
}

/* Part of a row: x has n elements from column col on. state: value and index so far. */
static void reduce_cols(const struct chain *c, const struct reduce *r, double *state, const float *x, int64_t col,
                        int64_t n)
{
	if (col == 0) {
		state[0] = neutral(r);
		state[1] = 0;
	}
	if (r->op == REIN_OP_ARGMAX) {
		for (int64_t i = 0; i < n; i++)
			if ((double)x[i] > state[0] || (x[i] != x[i] && state[0] == state[0])) {
				state[0] = (double)x[i];
				state[1] = (double)(col + i);
			}
	} else if (n < 16) {
		for (int64_t i = 0; i < n; i++)
			state[0] = join(r, state[0], (double)x[i]);
	} else {
		state[0] = join(r, state[0], reduce_strip(c, r, x, n));
	}
}

/* Every reduction over a strip whose first element is e0. */
static void reduce_step(struct chain_task *t, int64_t e0, int64_t n)
{
	const struct chain *c = t->c;
	for (int k = 0; k < c->n_reduce; k++) {
		const struct reduce *r = &c->reduce[k];
		const unsigned char *x = t->ptr[r->slot[c->variant]];
		void *part = partial_of(c, t->partial, k, t->task);
		if (r->kind == REDUCE_ALL) {
			*(double *)part = join(r, *(double *)part, reduce_strip(c, r, x, n));
			continue;
		}
		int64_t col = e0 % c->cols, row = e0 / c->cols;
		for (int64_t at = 0, run; at < n; at += run, col = 0) {
			run = c->cols - col < n - at ? c->cols - col : n - at;
			const float *f = (const float *)(const void *)x + at;
			if (r->kind == REDUCE_ROWS) {
				c->isa->add_to(run, (float *)part + col, f);
			} else {
				reduce_cols(c, r, t->state[k], f, col, run);
				if (col + run == c->cols)
					put(r, row++, t->state[k][r->op == REIN_OP_ARGMAX]);
			}
		}
	}
}

/* --- running ------------------------------------------------------------------------------ */
int64_t chain_task_size(int64_t count, int64_t cols, bool by_rows)
{
	if (!cols)
		return CHAIN_TASK;
	int64_t rows = CHAIN_TASK / cols < 1 ? 1 : CHAIN_TASK / cols, all = count / cols;
	if (by_rows) { /* few partial sums, of 32 rows or more */
		rows = rows < 32 ? 32 : rows;
		rows = all / 64 + 1 > rows ? all / 64 + 1 : rows;
	}
	return rows * cols;
}

void chain_split(struct chain *c)
{
	bool by_rows = false;
	for (int k = 0; k < c->n_reduce; k++)
		by_rows |= c->reduce[k].kind == REDUCE_ROWS;
	c->task_size = chain_task_size(c->count, c->cols, by_rows);
	c->tasks = (c->count + c->task_size - 1) / c->task_size;
}

void chain_begin(struct chain *c, const struct rein_exec *e)
{
	c->variant = c->n_sure > 0;
	for (int k = 0; k < c->n_slot; k++)
		if (c->slot[k].kind == SLOT_MEM || c->slot[k].kind == SLOT_ONE)
			c->slot[k].base = e->mem[c->slot[k].value];
	for (int k = 0; k < c->n_reduce; k++)
		c->reduce[k].out = e->mem[c->reduce[k].value];
	for (int k = 0; k < c->n_sure; k++)
		if (!*c->slot[c->sure[k]].base)
			c->variant = 0;
}

void chain_fetch(const struct chain *c, int64_t e0, int64_t n)
{
	if (c->count < FETCH_COUNT)
		return;
	for (int k = 0; k < c->n_moving; k++) {
		const struct slot *s = &c->slot[c->moving[k]];
		bool again = s->kind != SLOT_MEM;
		for (int j = 0; j < k; j++)
			again |= c->slot[c->moving[j]].base == s->base;
		for (int64_t at = e0 * s->size; at < (e0 + n) * s->size && !again; at += 64)
			__builtin_prefetch(s->base + at, 0, 3);
	}
}

void chain_task_begin(struct chain_task *t, const struct chain *c, void *partial, int64_t task)
{
	t->c = c, t->partial = partial, t->task = task;
	for (int k = 0; k < c->n_reduce; k++) {
		if (c->reduce[k].kind == REDUCE_ALL)
			*(double *)partial_of(c, partial, k, task) = neutral(&c->reduce[k]);
		else if (c->reduce[k].kind == REDUCE_ROWS)
			memset(partial_of(c, partial, k, task), 0, (size_t)partial_size(&c->reduce[k], c->cols));
	}
}

void chain_task_range(struct chain_task *t, int64_t e0, int64_t n, const float *block)
{
	const struct chain *c = t->c;
	const struct step *step = c->step[c->variant];
	_Alignas(64) unsigned char reg[CHAIN_REGS][STRIP * 4];
	for (int k = 0; k < c->n_slot; k++)
		t->ptr[k] = c->slot[k].kind == SLOT_REG && c->slot[k].reg >= 0 ? reg[c->slot[k].reg] : c->slot[k].base;
	/* a strip holds whole rows where rows are short and reductions need them */
	int64_t size = c->cols && c->cols < STRIP ? STRIP / c->cols * c->cols : STRIP;
	for (int64_t at = 0; at < n; at += size) {
		int64_t m = n - at < size ? n - at : size;
		for (int k = 0; k < c->n_moving; k++) {
			const struct slot *s = &c->slot[c->moving[k]];
			t->ptr[c->moving[k]] =
				s->kind == SLOT_MEM ? s->base + (e0 + at) * s->size : (void *)(uintptr_t)(block + at);
		}
		for (int k = 0; k < c->n_step[c->variant]; k++)
			run_step(c, &step[k], e0 + at, m, t->ptr);
		if (c->n_reduce)
			reduce_step(t, e0 + at, m);
	}
}

void chain_end(const struct chain *c, void *partial)
{
	for (int k = 0; k < c->n_reduce; k++) {
		const struct reduce *r = &c->reduce[k];
		for (int64_t col = 0; col < c->cols && r->kind == REDUCE_ROWS; col++) {
			double total = 0;
			for (int64_t t = 0; t < c->tasks; t++)
				total += (double)((float *)partial_of(c, partial, k, t))[col];
			put(r, col, total);
		}
		if (r->kind == REDUCE_ALL) {
			double total = neutral(r);
			for (int64_t t = 0; t < c->tasks; t++)
				total = join(r, total, *(double *)partial_of(c, partial, k, t));
			put(r, 0, total);
		}
	}
}

struct job {
	const struct chain *c;
	void *partial;
};

static void run_task(void *arg, int i)
{
	const struct job *j = arg;
	const struct chain *c = j->c;
	int64_t e0 = i * c->task_size, n = c->count - e0 < c->task_size ? c->count - e0 : c->task_size;
	struct chain_task t;
	chain_task_begin(&t, c, j->partial, i);
	chain_task_range(&t, e0, n, NULL);
}

void chain_run(struct chain *c, const struct rein_exec *e, struct pool *pool, void *partial)
{
	chain_begin(c, e);
	struct job j = { c, partial };
	int64_t steps = c->n_step[c->variant] + c->n_reduce + 1;
	pool_run(c->count * steps < PARALLEL_WORK ? NULL : pool, (int)c->tasks, run_task, &j);
	chain_end(c, partial);
}
