/* SPDX-License-Identifier: MIT
 *
 * loop.c: REPEAT as one kernel. The results' memory holds the carried values between
 * rounds; the body has its own executable, whose arena lies in this kernel's workspace.
 *
 *   carry = start
 *   for i < max, while any(carry.active): carry = body(i, carry, captured)
 *
 * What REIN_FREEZE and `active` do to the carried values is recorded in the body.
 */
#include <string.h>

#include "naive.h"

#define ALIGN(n) (((n) + 63) & ~(int64_t)63)

struct loop {
	const struct rein_host *host;
	const struct rein_prog_instr *i;
	const struct rein_loop *l;
	struct rein_exec *body;
	int64_t work; /* of this kernel: round number, body's arena, staging */
};

static int64_t value_bytes(const struct rein_program *p, int32_t v)
{
	return p->value[v].count * size_of(p, p->value[v].dtype);
}

/* Workspace: 64 bytes for the round number, the body's arena, room for every carried value. */
int64_t loop_workspace(const struct rein_program *p, const struct rein_prog_instr *i, const struct rein_plan *body)
{
	int64_t bytes = 64 + ALIGN(body->arena_bytes);
	for (uint32_t k = 0; k < i->n_out; k++)
		bytes += ALIGN(value_bytes(p, i->out[k]));
	return bytes;
}

static bool any(const uint8_t *active, int64_t n)
{
	for (int64_t j = 0; j < n; j++)
		if (active[j])
			return true;
	return false;
}

/* Where the body left new value k: staged if it is (part of) a carried value itself, since
 * those are about to be overwritten. */
static const unsigned char *result(const struct call *c, const struct loop *l, uint32_t k, unsigned char *stage)
{
	unsigned char *from = l->body->mem[l->body->program->output[k]];
	for (uint32_t j = 0; j < c->i->n_out && from != out_mem(c, k); j++) {
		unsigned char *carry = out_mem(c, j);
		int64_t bytes = value_bytes(c->p, c->i->out[j]);
		if (from >= carry && from < carry + bytes) {
			memcpy(stage, from, (size_t)value_bytes(c->p, c->i->out[k]));
			return stage;
		}
	}
	return from;
}

static rein_status run_loop(const struct call *c, const struct loop *l)
{
	struct rein_exec *b = l->body;
	unsigned char *work = c->work, *stage = work + 64 + ALIGN(b->plan->arena_bytes);
	int32_t *round = (int32_t *)work;
	uint32_t n = c->i->n_out;
	b->mem[b->program->input[0]] = round;
	for (uint32_t k = 0; k < c->i->n_in; k++)
		b->mem[b->program->input[k + 1]] = k < n ? out_mem(c, k) : c->mem[c->i->in[k]];
	for (uint32_t k = 0; k < n; k++)
		if (out_mem(c, k) != in_mem(c, k))
			memcpy(out_mem(c, k), in_mem(c, k), (size_t)value_bytes(c->p, c->i->out[k]));
	exec_resolve(b, work + 64);

	uint8_t *active = l->l->active >= 0 ? out_mem(c, (uint32_t)l->l->active) : NULL;
	int64_t rows = active ? out_value(c, (uint32_t)l->l->active)->count : 0;
	for (uint32_t r = 0; r < l->l->max && (!active || any(active, rows)); r++) {
		const unsigned char *from[n + 1];
		unsigned char *at = stage;
		*round = (int32_t)r;
		rein_status s = exec_run(b);
		if (s < 0)
			return s;
		for (uint32_t k = 0; k < n; k++) {
			from[k] = result(c, l, k, at);
			at += ALIGN(value_bytes(c->p, c->i->out[k]));
		}
		for (uint32_t k = 0; k < n; k++)
			if (from[k] != out_mem(c, k)) /* else it did not change */
				memcpy(out_mem(c, k), from[k], (size_t)value_bytes(c->p, c->i->out[k]));
	}
	return REIN_OK;
}

static rein_status run(struct rein_exec *e, struct kernel *k)
{
	const struct loop *l = k->data;
	struct call c = { e->program, l->i, e->mem, e->base + l->work, l->host };
	return run_loop(&c, l);
}

static void destroy(struct kernel *k)
{
	struct loop *l = k->data;
	exec_destroy(l->body);
	l->host->free(l->host, l);
}

rein_status loop_compile(struct rein_exec *e, int32_t instr, struct kernel *out)
{
	const struct rein_host *host = e->cpu->host;
	const struct rein_prog_instr *i = &e->program->instr[instr];
	struct loop *l = host->alloc(host, sizeof *l);
	if (!l)
		return REIN_ERROR;
	*l = (struct loop){ host, i, i->ext, NULL, e->plan->workspace_at[e->plan->kernel[instr]] };
	*out = (struct kernel){ .run = run, .destroy = destroy, .data = l, .first = instr, .explain = "loop" };
	return exec_create(e->cpu, i->body, e->plan->body[instr], &l->body);
}
