/* SPDX-License-Identifier: MIT
 *
 * pack.c: a cleaned recording as a struct rein_program in one block of memory: values
 * numbered densely per body, constants in the program's dtype, strings and loop bodies
 * included, so that nothing points back into the recorder. The block is measured first.
 */
#include "program.h"
#include "rec.h"

#include <stdlib.h>
#include <string.h>

struct packer {
	struct recorder *r;
	const uint8_t *live;
	char *base;
	uint64_t used, size;
	int32_t *number; /* value -> its number in its program */
	int n_state;
	const struct rein_prog_state *state;
	const char *const *origin;
};

static uint64_t padded(uint64_t n) { return (n + 15) & ~(uint64_t)15; }

static void *take(struct packer *p, uint64_t bytes)
{
	void *at = p->base + p->used;
	p->used += padded(bytes);
	return at;
}

static const char *take_text(struct packer *p, const char *s)
{
	uint64_t n = strlen(s) + 1;
	return memcpy(take(p, n), s, n);
}

/* --- measuring -------------------------------------------------------------------------------- */
static uint64_t measure_instr(const struct rec_instr *i)
{
	uint64_t n = padded(i->data_bytes) + padded(i->n_in * 4) + padded(i->n_out * 4);
	if (i->op == REIN_OP_CUSTOM)
		n += padded(sizeof(struct rein_custom)) + padded(strlen(((const struct rein_custom *)i->ext)->name) + 1);
	if (i->op == REIN_OP_REPEAT)
		n += padded(sizeof(struct rein_loop)) + padded(sizeof(struct rein_program));
	return n;
}

static uint64_t measure_body(const struct packer *p, int b)
{
	const struct recorder *r = p->r;
	const struct rec_body *body = r->body[b];
	uint64_t n = 0, n_instr = 0, n_value = 0;

	for (int k = 0; k < body->instr.n; k++) {
		const struct rec_instr *i = &r->instr[body->instr.at[k]];
		if (!p->live[body->instr.at[k]] && i->op != REIN_OP_INPUT)
			continue;
		n += measure_instr(i);
		n_instr++;
		n_value += i->n_out;
		if (i->op == REIN_OP_REPEAT)
			n += measure_body(p, i->loop);
	}
	n += padded(n_instr * sizeof(struct rein_prog_instr)) + padded(n_value * sizeof(struct rein_prog_value));
	return n + padded((uint64_t)body->input.n * 4) + padded((uint64_t)body->output.n * 4);
}

/* --- filling -------------------------------------------------------------------------------------- */
static const void *pack_data(struct packer *p, const struct rec_instr *i)
{
	if (i->op == REIN_OP_MAP)
		return i->attr.data;
	if (!i->data_bytes)
		return NULL;
	void *to = take(p, i->data_bytes);
	if (i->op == REIN_OP_CONST && i->attr.mode == REIN_REAL_T && p->r->options.real_size == 4) {
		const double *from = i->attr.data;
		float *f = to;
		for (int64_t k = 0; k < p->r->value[i->out].count; k++)
			f[k] = (float)from[k];
	} else {
		memcpy(to, i->attr.data, i->data_bytes);
	}
	return to;
}

static const void *pack_custom(struct packer *p, const struct rein_custom *c)
{
	struct rein_custom *own = take(p, sizeof *own);
	*own = *c;
	own->name = take_text(p, c->name);
	return own;
}

static void pack_body(struct packer *p, int b, struct rein_program *out, const char *name);

static void pack_instr(struct packer *p, const struct rec_instr *i, int at, struct rein_prog_instr *to,
                       struct rein_prog_value *value, uint32_t *n_value)
{
	int32_t *in = take(p, i->n_in * 4), *out = take(p, i->n_out * 4);

	*to = (struct rein_prog_instr){ .op = i->op,
		                            .n_in = i->n_in,
		                            .n_out = i->n_out,
		                            .origin = i->origin,
		                            .in = in,
		                            .out = out,
		                            .attr = i->attr,
		                            .state = i->state };
	to->attr.data = pack_data(p, i);
	for (uint32_t k = 0; k < i->n_in; k++) {
		in[k] = p->number[p->r->operand.at[i->in + (int32_t)k]];
		value[in[k]].uses++;
	}
	for (uint32_t k = 0; k < i->n_out; k++) {
		const struct rec_value *v = &p->r->value[i->out + (int32_t)k];
		struct rein_prog_value *w = &value[*n_value];
		*w =
			(struct rein_prog_value){ .dtype = v->dtype, .rank = v->rank, .count = v->count, .instr = at, .result = k };
		memcpy(w->dim, v->dim, sizeof w->dim);
		p->number[i->out + (int32_t)k] = out[k] = (int32_t)(*n_value)++;
	}
	if (i->op == REIN_OP_CUSTOM)
		to->ext = pack_custom(p, i->ext);
	if (i->op == REIN_OP_REPEAT) {
		struct rein_loop *l = take(p, sizeof *l);
		struct rein_program *body = take(p, sizeof *body);
		*l = p->r->body[i->loop]->loop;
		to->ext = l;
		to->body = body;
		pack_body(p, i->loop, body, "loop");
	}
}

static const int32_t *pack_list(struct packer *p, const struct ints *l, struct rein_prog_value *value, bool used)
{
	int32_t *to = take(p, (uint64_t)l->n * 4);
	for (int k = 0; k < l->n; k++) {
		to[k] = p->number[l->at[k]];
		value[to[k]].uses += used;
	}
	return to;
}

static void pack_body(struct packer *p, int b, struct rein_program *out, const char *name)
{
	const struct rec_body *body = p->r->body[b];
	uint32_t n_instr = 0, n_value = 0, at = 0;

	for (int k = 0; k < body->instr.n; k++) {
		const struct rec_instr *i = &p->r->instr[body->instr.at[k]];
		if (p->live[body->instr.at[k]] || i->op == REIN_OP_INPUT) {
			n_instr++;
			n_value += i->n_out;
		}
	}
	struct rein_prog_instr *instr = take(p, n_instr * sizeof *instr);
	struct rein_prog_value *value = take(p, n_value * sizeof *value);
	n_value = 0;
	for (int k = 0; k < body->instr.n; k++) {
		const struct rec_instr *i = &p->r->instr[body->instr.at[k]];
		if (p->live[body->instr.at[k]] || i->op == REIN_OP_INPUT) {
			pack_instr(p, i, (int)at, &instr[at], value, &n_value);
			at++;
		}
	}
	*out = (struct rein_program){ .struct_size = sizeof *out,
		                          .real_size = p->r->options.real_size,
		                          .n_value = n_value,
		                          .n_instr = n_instr,
		                          .n_state = (uint32_t)p->n_state,
		                          .n_input = (uint32_t)body->input.n,
		                          .n_output = (uint32_t)body->output.n,
		                          .n_origin = (uint32_t)p->r->n_origin,
		                          .value = value,
		                          .instr = instr,
		                          .state = p->state,
		                          .origin = p->origin,
		                          .name = take_text(p, name) };
	out->input = pack_list(p, &body->input, value, false);
	out->output = pack_list(p, &body->output, value, true);
}

static uint64_t measure_tables(const struct recorder *r, const struct commit_list *c, const struct ints *output)
{
	uint64_t n = padded((uint64_t)r->n_origin * sizeof(char *)) + padded(strlen(r->name) + 1);
	n += padded((uint64_t)r->n_origin * sizeof *r->origin_at);
	n += padded((uint64_t)c->n * sizeof *c->at) + padded((uint64_t)output->n * 4);
	for (int k = 0; k < r->n_origin; k++)
		n += padded(strlen(r->origin[k]) + 1);
	for (int k = 0; r->store && k < r->store->n; k++)
		n += padded(strlen(r->store->state[k]->name) + 1);
	return n + padded((uint64_t)(r->store ? r->store->n : 0) * sizeof(struct rein_prog_state));
}

static void pack_tables(struct packer *p)
{
	const struct recorder *r = p->r;
	const char **origin = take(p, (uint64_t)r->n_origin * sizeof *origin);
	for (int k = 0; k < r->n_origin; k++)
		origin[k] = take_text(p, r->origin[k]);
	p->origin = origin;
	p->n_state = r->store ? r->store->n : 0;
	struct rein_prog_state *state = take(p, (uint64_t)p->n_state * sizeof *state);
	for (int k = 0; k < p->n_state; k++) {
		const struct state *s = r->store->state[k];
		state[k] = (struct rein_prog_state){ s->dtype, s->rank, { 0 }, s->count, take_text(p, s->name), s->mem };
		memcpy(state[k].dim, s->dim, sizeof s->dim);
	}
	p->state = state;
}

/* Texts of bodies ("loop") are few; a little is left for each. */
static uint64_t n_bodies(const struct recorder *r) { return (uint64_t)r->n_body * 32; }

struct program *pack(struct recorder *r, int b, const struct commit_list *commit, const struct ints *output,
                     const uint8_t *live)
{
	struct packer p = { .r = r, .live = live };
	struct program *out = calloc(1, sizeof *out);

	p.size = measure_tables(r, commit, output) + measure_body(&p, b) + n_bodies(r) + 64;
	p.base = calloc(1, p.size);
	p.number = malloc(((size_t)r->n_value + 1) * sizeof *p.number);
	if (!out || !p.base || !p.number)
		abort();
	memset(p.number, 0xff, ((size_t)r->n_value + 1) * sizeof *p.number);
	pack_tables(&p);
	pack_body(&p, b, &out->p, r->name);

	struct rein_prog_value *value = (struct rein_prog_value *)(void *)(uintptr_t)out->p.value;
	struct rein_prog_commit *c = take(&p, (uint64_t)commit->n * sizeof *c);
	for (int k = 0; k < commit->n; k++) {
		c[k] = (struct rein_prog_commit){ commit->at[k].state, p.number[commit->at[k].value] };
		value[c[k].value].uses++;
	}
	out->p.commit = c;
	out->p.n_commit = (uint32_t)commit->n;
	out->p.output = pack_list(&p, output, value, true);
	out->p.n_output = (uint32_t)output->n;
	struct place *at = take(&p, (uint64_t)r->n_origin * sizeof *at);
	out->origin_at = memcpy(at, r->origin_at, (size_t)r->n_origin * sizeof *at);
	out->pool = p.base;
	free(p.number);
	if (p.used > p.size)
		abort(); /* measured wrong: memory is damaged already */
	return out;
}
