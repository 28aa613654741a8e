/* SPDX-License-Identifier: MIT
 *
 * copy.c: a copy stage: another network becomes what the trained one is now, parameters and
 * statistics by their names:
 *
 *   keep = copy to=teacher reset=yes
 *
 * reset=yes then puts the trained network, and its optimizer, back to where they started, so that
 * the next train stage begins anew and learns from the teacher. Bias corrections and other
 * functions of the step begin anew with them.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "train.h"

struct copying {
	struct network *to;
	bool reset;
	int n;
	struct state **from, **into;
};

void copy_key(struct trainer *t, struct stage *s, const struct arg *a)
{
	if (!s->copying)
		s->copying = zalloc(1, sizeof *s->copying);
	if (strcmp(a->key, "reset") == 0) {
		if (!parse_bool(a->value, &s->copying->reset))
			diag_error(t->diag, &a->value_at, "[stages] %s: reset=%s is neither yes nor no", s->name, a->value);
		return;
	}
	const char *known[65] = { NULL };
	char all[400];
	for (int i = 1; i < t->n_net && i < 64; i++)
		known[i - 1] = t->net[i]->name;
	diag_list(all, sizeof all, known);
	s->copying->to = *a->value ? network_find(t, a->value) : NULL;
	if (!s->copying->to)
		diag_error(t->diag, &a->value_at, "[stages] %s: there is no [network %s]%s%s", s->name, a->value,
		           t->n_net > 1 ? "; there are: " : "; the config has one network", all);
}

struct copying *copy_again(const struct copying *c)
{
	struct copying *copy = c ? zalloc(1, sizeof *copy) : NULL;

	if (copy) {
		copy->to = c->to;
		copy->reset = c->reset;
	}
	return copy;
}

void copy_finish(struct stage *s)
{
	if (!s->copying)
		return;
	free(s->copying->from);
	free(s->copying->into);
	free(s->copying);
	s->copying = NULL;
}

/* What starts anew: the trained network and its optimizer. */
static bool is_initial(const struct trainer *t, const struct state *s)
{
	if (is_model_state(t, s))
		return true;
	return s->role == STATE_SLOT && s->owner && s->owner->component->c.kind == REIN_OPTIMIZER;
}

bool copy_note(struct trainer *t)
{
	for (int i = 0; i < t->n_stage; i++)
		if (t->stage[i].copying && t->stage[i].copying->reset)
			return t->initial.n || copies_take(t, &t->initial, is_initial);
	return true;
}

static bool same_shape(const struct state *a, const struct state *b)
{
	return a->dtype == b->dtype && a->rank == b->rank && memcmp(a->dim, b->dim, a->rank * sizeof *a->dim) == 0;
}

bool copy_prepare(struct trainer *t, struct stage *s)
{
	struct copying *c = s->copying;
	char name[256];

	if (!c || !c->to) {
		diag_error(t->diag, &s->spec->at, "[stages] %s: to=NAME is missing; it names a [network NAME]", s->name);
		return false;
	}
	free(c->from);
	free(c->into);
	c->from = zalloc((size_t)t->store->n + 1, sizeof *c->from);
	c->into = zalloc((size_t)t->store->n + 1, sizeof *c->into);
	c->n = 0;
	for (int i = 0; i < t->store->n; i++) {
		struct state *from = t->store->state[i];
		if (!is_model_state(t, from))
			continue;
		snprintf(name, sizeof name, "%s.%s", c->to->name, from->name);
		struct state *into = store_find(t->store, name);
		if (into && !same_shape(from, into)) {
			diag_error(t->diag, &s->spec->at, "[stages] %s: '%s' has another shape than '%s'", s->name, from->name,
			           name);
			return false;
		}
		if (!into) {
			diag_error(t->diag, &s->spec->at, "[stages] %s: [network %s] has no '%s', or nothing uses it", s->name,
			           c->to->name, from->name);
			return false;
		}
		c->from[c->n] = from;
		c->into[c->n++] = into;
	}
	return true;
}

bool copy_run(struct trainer *t, struct stage *s, struct metrics *out)
{
	struct copying *c = s->copying;
	bool good = true;

	if (c->reset && !t->initial.n) {
		diag_error(t->diag, &s->spec->at, "[stages] %s: reset=yes: channels were removed; there is no way back",
		           s->name);
		return false;
	}
	for (int i = 0; i < c->n && good; i++) {
		void *host = zalloc((size_t)state_bytes(t->store, c->from[i]) + 1, 1);
		good = store_get(t->store, c->from[i], host) >= 0 && store_set(t->store, c->into[i], host) >= 0;
		free(host);
	}
	if (good && c->reset) {
		good = copies_restore(t, &t->initial);
		t->step_origin = t->total_step;
	}
	metrics_set(out, "copied", c->n);
	t->stage_done = good;
	return good;
}
