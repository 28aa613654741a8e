/* SPDX-License-Identifier: MIT
 *
 * plan_check.c: holds a memory plan to its meaning. The program is walked kernel by kernel
 * with the question that matters: when a kernel writes bytes, does any value that is read
 * later (or in this kernel, other than element by element) lie in them?
 */
#include <stdlib.h>
#include <string.h>

#include "rig.h"

static int64_t bytes_of(const struct rein_program *p, int32_t v)
{
	return p->value[v].count * dtype_size(p->value[v].dtype, p->real_size);
}

/* Where a value lies; space: -1 the arena, a state's number, -2 nowhere. */
struct span {
	int64_t space, from, to;
};
static struct span span_of(const struct rein_program *p, const struct rein_plan *l, int32_t v)
{
	int64_t at = 0, bytes = bytes_of(p, v);
	while (l->home[v] == REIN_HOME_ALIAS) {
		at += l->base_offset[v];
		v = l->base[v];
	}
	if (l->home[v] == REIN_HOME_ARENA)
		at += l->offset[v];
	struct span r = { l->home[v] == REIN_HOME_ARENA ? -1 : l->home[v] == REIN_HOME_STATE ? l->base[v] : -2, at, 0 };
	r.to = r.from + bytes;
	return r;
}

static bool overlap(struct span a, struct span b)
{
	return a.space == b.space && a.space != -2 && a.from < b.to && b.from < a.to;
}

/* The kernel that fills v's memory; a renaming is filled with what it renames. */
static int32_t made_in(const struct rein_program *p, const struct rein_plan *l, int32_t v)
{
	while (l->home[v] == REIN_HOME_ALIAS)
		v = l->base[v];
	return l->kernel[p->value[v].instr];
}

/* Does v, or anything that v's bytes stand for without memory of its own, get read by
 * instruction k in kernel time? Result: the last kernel that needs v's bytes. */
static void need(const struct rein_program *p, const struct rein_plan *l, int32_t v, int32_t t, int32_t *last)
{
	if (last[v] >= t)
		return;
	last[v] = t;
	const struct rein_prog_instr *i = &p->instr[p->value[v].instr];
	/* a renaming or a value without memory: what it is made of is needed as long */
	if (l->kernel[p->value[v].instr] < 0 || l->home[v] == REIN_HOME_NONE)
		for (uint32_t n = 0; n < i->n_in; n++)
			need(p, l, i->in[n], t, last);
	if (l->home[v] == REIN_HOME_ALIAS)
		need(p, l, l->base[v], t, last);
}

static bool clash(char *why, size_t size, const char *what, int32_t a, int32_t b, int32_t k)
{
	snprintf(why, size, "%s: %%%d is overwritten by %%%d in kernel %d", what, a, b, k);
	return false;
}

/* v is written in kernel k: nobody else may need those bytes from then on. */
static bool check_write(const struct rein_program *p, const struct rein_plan *l, const int32_t *last, int32_t v,
                        int32_t k, char *why, size_t size)
{
	struct span at = span_of(p, l, v);
	for (uint32_t u = 0; u < p->n_value; u++) {
		struct span o = span_of(p, l, (int32_t)u);
		int32_t made = made_in(p, l, (int32_t)u);
		if ((int32_t)u == v || !overlap(at, o) || last[u] < k || made > k)
			continue; /* not needed any more, or made later: then it is the one that is checked */
		/* the same bytes under two names */
		int32_t a = (int32_t)u, b = v;
		while (l->home[a] == REIN_HOME_ALIAS)
			a = l->base[a];
		while (l->home[b] == REIN_HOME_ALIAS)
			b = l->base[b];
		if (a == b)
			continue;
		bool in_place = last[u] == k && made < k && l->in_place[v] && p->value[u].count == p->value[v].count &&
		                o.from == at.from && o.to == at.to;
		if (!in_place)
			return clash(why, size, p->name, (int32_t)u, v, k);
	}
	for (uint32_t c = 0; c < p->n_commit; c++)
		if (l->copied[c] == 0 && p->commit[c].state == at.space && span_of(p, l, p->commit[c].value).space != at.space)
			return clash(why, size, "commit is not in its state", p->commit[c].value, v, k);
	return true;
}

bool plan_check(const struct rein_program *p, const struct rein_plan *l, int64_t guard, char *why, size_t size)
{
	int32_t end = (int32_t)l->n_kernel, *last = malloc((p->n_value + 1) * sizeof *last);
	bool good = true;
	for (uint32_t v = 0; v < p->n_value; v++)
		last[v] = -1;
	for (uint32_t c = 0; c < p->n_commit; c++)
		need(p, l, p->commit[c].value, end, last);
	for (uint32_t o = 0; o < p->n_output; o++)
		need(p, l, p->output[o], end, last);
	for (uint32_t k = 0; k < p->n_instr; k++)
		for (uint32_t n = 0; n < p->instr[k].n_in && l->kernel[k] >= 0; n++)
			need(p, l, p->instr[k].in[n], l->kernel[k], last);
	for (uint32_t v = 0; v < p->n_value && good; v++) {
		int32_t k = l->kernel[p->value[v].instr];
		struct span at = span_of(p, l, (int32_t)v);
		if (k >= 0 && at.space != -2)
			good = check_write(p, l, last, (int32_t)v, k, why, size);
		if (good && at.space == -1 && (at.from < guard || at.to + guard > l->arena_bytes)) {
			snprintf(why, size, "%s: %%%u lies outside of the arena or its guards", p->name, v);
			good = false;
		}
	}
	/* a workspace is its kernel's alone */
	for (uint32_t k = 0; k < l->n_kernel && good; k++) {
		struct span w = { -1, l->workspace_at[k], l->workspace_at[k] + l->workspace[k] };
		for (uint32_t v = 0; v < p->n_value && good && l->workspace[k]; v++)
			if (overlap(w, span_of(p, l, (int32_t)v)) && made_in(p, l, (int32_t)v) <= (int32_t)k &&
			    last[v] >= (int32_t)k)
				good = clash(why, size, "workspace", (int32_t)v, -1, (int32_t)k);
	}
	for (uint32_t k = 0; k < p->n_instr && good; k++)
		if (p->instr[k].body)
			good = plan_check(p->instr[k].body, l->body[k], guard, why, size);
	free(last);
	return good;
}
