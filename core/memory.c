/* SPDX-License-Identifier: MIT
 *
 * memory.c: what a run takes of its backend's memory: states, the arena that all programs
 * share, what each of them holds besides. `rein summary` prints it; where a state finds no
 * room, so does the message.
 */
#include "train.h"

#define MIB(n) ((double)(n) / (1 << 20))

/* Bytes of the states of one role; 0: of all. */
static uint64_t states_bytes(const struct store *s, uint32_t role)
{
	uint64_t n = 0;
	for (int i = 0; i < s->n; i++)
		n += !role || s->state[i]->role == role ? state_bytes(s, s->state[i]) : 0;
	return n;
}

bool states_allocate(struct trainer *t)
{
	const struct store *s = t->store;
	const struct state *missing = NULL;

	if (store_allocate(t->store) >= 0)
		return true;
	for (int i = 0; i < s->n && !missing; i++)
		missing = s->state[i]->mem ? NULL : s->state[i];
	struct instance *b = t->env.backend;
	const char *why = instance_failure(b);
	struct place at = b->spec->at;
	at.len = 0;
	if (missing)
		diag_error(t->diag, &at,
		           "[%s] %s: %s %s: %s; there is no room for '%s', the states of this run take %.1f MiB in all, %.1f "
		           "MiB of it data, which [run] data_memory can stream",
		           b->spec->section, b->name, b->component->c.name, b->component->plugin_version,
		           *why ? why : "out of memory", missing->name, MIB(states_bytes(s, 0)),
		           MIB(states_bytes(s, STATE_DATA)));
	else /* each has its place: it was a draw of initial values that failed */
		diag_error(t->diag, &at, "[%s] %s: %s %s: %s", b->spec->section, b->name, b->component->c.name,
		           b->component->plugin_version, *why ? why : "initial values could not be set");
	return false;
}

/* --- summary ------------------------------------------------------------------------------ */
static void line(FILE *out, const char *what, uint64_t bytes, const char *note)
{
	char size[32];
	human_bytes((double)bytes, size, sizeof size);
	fprintf(out, "%-22s %14llu  %10s%s%s\n", what, (unsigned long long)bytes, size, *note ? "  " : "", note);
}

struct programs {
	uint64_t arena, constants;
	const char *largest;
};

static void add_program(const struct compiled *c, void *ctx)
{
	struct programs *p = ctx;
	p->constants += compiled_profile(c).bytes;
	if ((uint64_t)c->plan->arena_bytes <= p->arena)
		return;
	p->arena = (uint64_t)c->plan->arena_bytes;
	p->largest = c->program->p.name;
}

static void print_arena(const struct compiled *c, void *out)
{
	char what[96];
	snprintf(what, sizeof what, "  %.80s", c->program->p.name);
	line(out, what, (uint64_t)c->plan->arena_bytes, "");
}

void trainer_print_memory(struct trainer *t, FILE *out)
{
	static const struct {
		const char *what;
		uint32_t role;
	} roles[] = { { "parameters", STATE_PARAM },
		          { "buffers", STATE_BUFFER },
		          { "optimizers, plugins", STATE_SLOT },
		          { "data, tables", STATE_DATA },
		          { "counters, metrics", STATE_COUNTER } };
	struct instance *b = t->env.backend;
	struct rein_device d = { .struct_size = sizeof d };
	struct programs all = { 0 };
	uint64_t sum;

	if (b->component->vt.backend.probe)
		b->component->vt.backend.probe(b->self, &b->host, &d);
	each_program(t, add_program, &all);
	sum = states_bytes(t->store, 0) + all.arena + all.constants;
	fprintf(out, "\nmemory on backend %s%s%s\n", b->component->c.name, *d.name ? ": " : "", d.name);
	for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
		line(out, roles[i].what, states_bytes(t->store, roles[i].role), "");
	line(out, "constants", all.constants, "of all programs, with the tables of their kernels");
	line(out, "arena", all.arena, "the largest of the programs', which take turns in it:");
	each_program(t, print_arena, out);
	if (d.memory_held > sum) {
		line(out, "libraries", d.memory_held - sum, "workspaces, and what else the backend holds");
		sum = d.memory_held;
	}
	line(out, "sum", sum, "");
	if (d.memory)
		line(out, "free besides", d.memory_free, "");
	if (d.memory)
		line(out, "the device has", d.memory, "");
}
