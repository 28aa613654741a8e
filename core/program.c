/* SPDX-License-Identifier: MIT
 *
 * program.c: a recorded program made runnable: the backend schedules it, plan.c lays out
 * the memory (loop bodies first, since their arenas lie in the outer workspace), the
 * backend compiles; from then on compiled_run() is one call.
 */
#include <stdlib.h>
#include <string.h>

#include "program.h"

/* --- programs and their checks ------------------------------------------------------- */
void program_destroy(struct program *p)
{
	if (!p)
		return;
	free(p->pool);
	free(p);
}

static bool bad(char *why, size_t size, const struct rein_program *p, uint32_t k, const char *what)
{
	const struct op_info *o = k < p->n_instr ? op_info(p->instr[k].op) : NULL;
	snprintf(why, size, "program %s, op %u (%s): %s", p->name ? p->name : "?", k, o ? o->name : "?", what);
	return false;
}

static bool check_value(const struct rein_prog_value *v, const struct rein_program *p)
{
	int64_t count = 1;
	if (v->dtype < REIN_REAL_T || v->dtype > REIN_BOOL_T || v->rank > REIN_MAX_RANK)
		return false;
	for (uint32_t a = 0; a < v->rank; a++) {
		if (v->dim[a] < 1)
			return false;
		count *= v->dim[a];
	}
	return count == v->count && v->instr >= 0 && (uint32_t)v->instr < p->n_instr;
}

static bool same_shape(const struct rein_prog_value *a, uint32_t dtype, uint32_t rank, const int64_t *dim)
{
	return a->dtype == dtype && a->rank == rank && !memcmp(a->dim, dim, rank * sizeof *dim);
}

/* Equal ranks or rank 0, equal sizes or 1. */
static bool broadcasts(const struct rein_prog_value *x, const struct rein_prog_value *y)
{
	if (x->rank == 0)
		return true;
	if (x->rank != y->rank)
		return false;
	for (uint32_t a = 0; a < x->rank; a++)
		if (x->dim[a] != y->dim[a] && x->dim[a] != 1)
			return false;
	return true;
}

/* A loop: its body takes the round, then the operands, and gives the results. */
static bool check_loop(const struct rein_program *p, const struct rein_prog_instr *i, char *why, size_t size)
{
	const struct rein_program *b = i->body;
	const struct rein_loop *l = i->ext;
	if (!b || !l || b->n_input != i->n_in + 1 || b->n_output != i->n_out || l->active >= (int32_t)i->n_out)
		return bad(why, size, p, (uint32_t)(i - p->instr), "the body's inputs and outputs do not fit the loop");
	if (!program_check(b, why, size))
		return false;
	for (uint32_t n = 0; n < i->n_in; n++) {
		const struct rein_prog_value *x = &p->value[i->in[n]];
		if (!same_shape(&b->value[b->input[n + 1]], x->dtype, x->rank, x->dim))
			return bad(why, size, p, (uint32_t)(i - p->instr), "an operand and the body's input differ in shape");
	}
	for (uint32_t n = 0; n < i->n_out; n++) {
		const struct rein_prog_value *y = &p->value[i->out[n]], *x = &p->value[i->in[n]];
		if (!same_shape(&b->value[b->output[n]], y->dtype, y->rank, y->dim) ||
		    !same_shape(x, y->dtype, y->rank, y->dim))
			return bad(why, size, p, (uint32_t)(i - p->instr), "a carried value changes its shape");
	}
	return true;
}

static bool check_instr(const struct rein_program *p, uint32_t k, uint8_t *made, char *why, size_t size)
{
	const struct rein_prog_instr *i = &p->instr[k];
	const struct op_info *o = i->op > 0 && i->op < REIN_OP_COUNT ? op_info(i->op) : NULL;
	if (!o)
		return bad(why, size, p, k, "no such op");
	if ((o->n_in >= 0 && i->n_in != (uint32_t)o->n_in) || (o->n_out >= 0 && i->n_out != (uint32_t)o->n_out))
		return bad(why, size, p, k, "wrong number of operands or results");
	for (uint32_t n = 0; n < i->n_in; n++)
		if (i->in[n] < 0 || (uint32_t)i->in[n] >= p->n_value || !made[i->in[n]])
			return bad(why, size, p, k, "an operand is not made before");
	for (uint32_t n = 0; n < i->n_out; n++) {
		if (i->out[n] < 0 || (uint32_t)i->out[n] >= p->n_value || made[i->out[n]])
			return bad(why, size, p, k, "a result is made twice");
		const struct rein_prog_value *y = &p->value[i->out[n]];
		made[i->out[n]] = 1;
		if (!check_value(y, p) || y->instr != (int32_t)k || y->result != n)
			return bad(why, size, p, k, "a result's description is wrong");
		for (uint32_t m = 0; o->elementwise && i->op != REIN_OP_RANDOM && m < i->n_in; m++)
			if (!broadcasts(&p->value[i->in[m]], y))
				return bad(why, size, p, k, "an operand does not broadcast to the result");
	}
	if (i->op == REIN_OP_READ) {
		if (i->state < 0 || (uint32_t)i->state >= p->n_state)
			return bad(why, size, p, k, "no such state");
		const struct rein_prog_state *t = &p->state[i->state];
		if (!same_shape(&p->value[i->out[0]], t->dtype, t->rank, t->dim))
			return bad(why, size, p, k, "a state is read in another shape");
	}
	return i->op != REIN_OP_REPEAT || check_loop(p, i, why, size);
}

static bool check_ends(const struct rein_program *p, const uint8_t *made, uint32_t *uses, char *why, size_t size)
{
	for (uint32_t k = 0; k < p->n_instr; k++)
		for (uint32_t n = 0; n < p->instr[k].n_in; n++)
			uses[p->instr[k].in[n]]++;
	for (uint32_t k = 0; k < p->n_commit; k++) {
		const struct rein_prog_commit *c = &p->commit[k];
		if (c->state < 0 || (uint32_t)c->state >= p->n_state || c->value < 0 || (uint32_t)c->value >= p->n_value ||
		    !made[c->value])
			return bad(why, size, p, p->n_instr, "a commit names a state or value that is not there");
		const struct rein_prog_state *t = &p->state[c->state];
		uses[c->value]++;
		if (!same_shape(&p->value[c->value], t->dtype, t->rank, t->dim))
			return bad(why, size, p, (uint32_t)p->value[c->value].instr, "a commit changes the shape of its state");
		for (uint32_t j = 0; j < k; j++)
			if (p->commit[j].state == c->state)
				return bad(why, size, p, (uint32_t)p->value[c->value].instr, "a state is written twice");
	}
	for (uint32_t k = 0; k < p->n_output; k++) {
		if (p->output[k] < 0 || (uint32_t)p->output[k] >= p->n_value || !made[p->output[k]])
			return bad(why, size, p, p->n_instr, "an output is not made");
		uses[p->output[k]]++;
	}
	for (uint32_t v = 0; v < p->n_value; v++)
		if (made[v] && uses[v] != p->value[v].uses)
			return bad(why, size, p, (uint32_t)p->value[v].instr, "a result's uses are miscounted");
	return true;
}

bool program_check(const struct rein_program *p, char *why, size_t size)
{
	uint8_t *made = calloc(p->n_value + 1, 1);
	uint32_t *uses = calloc(p->n_value + 1, sizeof *uses);
	bool good = made && uses;
	if (!good)
		snprintf(why, size, "out of memory");
	for (uint32_t k = 0; k < p->n_instr && good; k++)
		good = check_instr(p, k, made, why, size);
	good = good && check_ends(p, made, uses, why, size);
	free(made);
	free(uses);
	return good;
}

/* --- plans ------------------------------------------------------------------------------ */
struct rein_plan *plan_create(const struct rein_program *p)
{
	size_t n = p->n_value + 1, m = p->n_instr + 1;
	struct rein_plan *l = calloc(1, sizeof *l);
	if (!l)
		return NULL;
	l->struct_size = sizeof *l;
	l->n_kernel = p->n_instr;
	l->kernel = calloc(m, sizeof *l->kernel);
	l->home = calloc(n, sizeof *l->home);
	l->base = calloc(n, sizeof *l->base);
	l->base_offset = calloc(n, sizeof *l->base_offset);
	l->in_place = calloc(n, sizeof *l->in_place);
	l->workspace = calloc(m, sizeof *l->workspace);
	l->workspace_at = calloc(m, sizeof *l->workspace_at);
	l->offset = calloc(n, sizeof *l->offset);
	l->copied = calloc(p->n_commit + 1, sizeof *l->copied);
	l->body = calloc(m, sizeof *l->body);
	if (!l->kernel || !l->home || !l->base || !l->base_offset || !l->in_place || !l->workspace || !l->workspace_at ||
	    !l->offset || !l->copied || !l->body) {
		plan_destroy(p, l);
		return NULL;
	}
	for (uint32_t k = 0; k < p->n_instr; k++) {
		l->kernel[k] = (int32_t)k;
		if (p->instr[k].op != REIN_OP_READ)
			continue;
		l->home[p->instr[k].out[0]] = REIN_HOME_STATE;
		l->base[p->instr[k].out[0]] = p->instr[k].state;
	}
	return l;
}

void plan_destroy(const struct rein_program *p, struct rein_plan *l)
{
	if (!l)
		return;
	for (uint32_t k = 0; l->body && k < p->n_instr; k++)
		if (l->body[k])
			plan_destroy(p->instr[k].body, l->body[k]);
	void *all[] = { l->kernel, l->home, l->base, l->base_offset, l->in_place, l->workspace, l->workspace_at, l->offset,
		            l->copied, l->body, l };
	for (size_t k = 0; k < sizeof all / sizeof *all; k++)
		free(all[k]);
}

/* --- compiling and running --------------------------------------------------------------- */
static const struct rein_backend_vt *vt(const struct instance *b) { return &b->component->vt.backend; }

/* Guard bytes between values with REIN_GUARD: two cache lines. */
#define GUARD_BYTES 128

static struct rein_plan *make_plan(struct instance *b, const struct rein_program *p, int64_t guard)
{
	struct rein_plan *l = plan_create(p);
	bool good = l != NULL;
	for (uint32_t k = 0; good && k < p->n_instr; k++)
		if (p->instr[k].body)
			good = (l->body[k] = make_plan(b, p->instr[k].body, guard)) != NULL;
	if (good && vt(b)->schedule)
		good = vt(b)->schedule(b->self, &b->host, p, l) >= 0;
	if (!good || plan_layout(p, l, guard) < 0) {
		plan_destroy(p, l);
		return NULL;
	}
	return l;
}

/* The program learns where its states live; their number is their place in the store. */
static bool bind_states(const struct rein_program *p, const struct store *s, struct diag *d)
{
	struct rein_prog_state *state = (struct rein_prog_state *)(uintptr_t)p->state; /* the program is ours */
	for (uint32_t k = 0; k < p->n_state; k++) {
		if (k >= (uint32_t)s->n || strcmp(s->state[k]->name, state[k].name) || !s->state[k]->mem) {
			diag_error(d, NULL, "program %s: state '%s' has no memory", p->name, state[k].name);
			return false;
		}
		state[k].mem = s->state[k]->mem;
	}
	for (uint32_t k = 0; k < p->n_instr; k++)
		if (p->instr[k].body && p->instr[k].body->state != p->state && !bind_states(p->instr[k].body, s, d))
			return false;
	return true;
}

/* Where memory goes is said with the reason why a large program could not be compiled: the layer
 * whose value takes most. */
#define LARGE_BYTES (1 << 30)

static void not_compiled(const struct compiled *c, struct diag *d)
{
	const struct rein_program *p = &c->program->p;
	int64_t most = 0;
	uint32_t who = 0;
	char text[1600]; /* the message of a compiler of kernels among it */

	for (uint32_t v = 0; c->plan && c->plan->arena_bytes >= LARGE_BYTES && v < p->n_value; v++) {
		int64_t bytes = p->value[v].count * dtype_size(p->value[v].dtype, p->real_size);
		if (c->plan->home[v] == REIN_HOME_ARENA && bytes > most) {
			most = bytes;
			who = p->instr[p->value[v].instr].origin;
		}
	}
	const char *why = instance_failure(c->backend), *origin = most && who < p->n_origin ? p->origin[who] : "";
	if (!*why)
		why = "the program could not be compiled";
	if (*origin)
		snprintf(text, sizeof text, "%.1024s (program '%s': the largest value, %.1f MiB, is of %.200s)", why, p->name,
		         (double)most / (1 << 20), origin);
	else
		snprintf(text, sizeof text, "%s", why);
	instance_error(c->backend, d, text);
}

static void refuse_op(const struct rein_program *p, const struct rein_prog_instr *i, const struct place *spec,
                      const struct instance *b, struct diag *d)
{
	const struct op_info *o = op_info(i->op);
	const char *origin = p->origin[i->origin];
	struct place at = *spec;
	at.len = 0;
	const char *why = i->op == REIN_OP_CUSTOM ? ", a function in C"
	                  : p->real_size == 4     ? " on these shapes"
	                                          : " in float64";
	diag_error(d, at.file ? &at : NULL, "%s%sbackend %s cannot run op '%s'%s", origin, *origin ? ": " : "",
	           b->component->c.name, o ? o->name : "?", why);
}

/* What the backend cannot run, each op once per spec that needs it, at the spec's line. */
static bool check_ops(const struct program *program, const struct rein_program *p, struct instance *b, struct diag *d)
{
	bool good = true;
	for (uint32_t k = 0; k < p->n_instr; k++) {
		const struct rein_prog_instr *i = &p->instr[k];
		const struct place *at = &program->origin_at[i->origin];
		bool said = false;
		if (i->body && !check_ops(program, i->body, b, d))
			good = false;
		if (vt(b)->supports(b->self, p, i))
			continue;
		for (uint32_t j = 0; j < k && !said; j++)
			said = p->instr[j].op == i->op && p->instr[j].origin == i->origin &&
			       !vt(b)->supports(b->self, p, &p->instr[j]);
		good = false;
		if (!said)
			refuse_op(p, i, at, b, d);
	}
	return good;
}

struct compiled *program_compile(struct program *program, struct store *store, struct instance *backend, uint32_t flags,
                                 struct diag *d)
{
	struct compiled *c = calloc(1, sizeof *c);
	if (!c) {
		program_destroy(program);
		diag_error(d, NULL, "out of memory");
		return NULL;
	}
	*c = (struct compiled){ .program = program, .backend = backend, .store = store };
	const struct rein_program *p = &program->p;
	if (bind_states(p, store, d) && check_ops(program, p, backend, d)) {
		c->plan = make_plan(backend, p, flags & REIN_GUARD ? GUARD_BYTES : 0);
		if (c->plan && vt(backend)->compile(backend->self, &backend->host, p, c->plan, &c->exec) >= 0)
			return c;
		not_compiled(c, d);
	}
	compiled_destroy(c);
	return NULL;
}

void compiled_destroy(struct compiled *c)
{
	if (!c)
		return;
	if (c->exec)
		vt(c->backend)->destroy_exec(c->backend->self, c->exec);
	plan_destroy(&c->program->p, c->plan);
	program_destroy(c->program);
	free(c);
}

rein_status compiled_run(struct compiled *c, uint32_t times)
{
	for (uint32_t k = 0; k < c->program->p.n_commit; k++)
		c->store->state[c->program->p.commit[k].state]->version++;
	return vt(c->backend)->run(c->backend->self, &c->backend->host, c->exec, times);
}

bool compiled_reads(const struct compiled *c, const struct state *s)
{
	const struct rein_program *p = &c->program->p;

	for (uint32_t k = 0; k < p->n_instr; k++)
		if (p->instr[k].op == REIN_OP_READ && c->store->state[p->instr[k].state] == s)
			return true;
	return false;
}

int64_t compiled_output(struct compiled *c, uint32_t i, void *host, int64_t size)
{
	const struct rein_program *p = &c->program->p;
	if (i >= p->n_output)
		return -1;
	const struct rein_prog_value *v = &p->value[p->output[i]];
	int64_t bytes = v->count * dtype_size(v->dtype, p->real_size);
	const void *mem = vt(c->backend)->output(c->backend->self, c->exec, i);
	if (!mem || bytes > size || vt(c->backend)->download(c->backend->self, host, mem, (uint64_t)bytes) < 0)
		return -1;
	return bytes;
}
