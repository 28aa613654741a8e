/* SPDX-License-Identifier: MIT
 *
 * record_state.c: what outlives the step. A state is read once per program; after that
 * its version is just a value: assigning makes a new one, and the last is committed when
 * the program ends. Draws are ops keyed by who draws, from which stream, in which forward
 * call, so nothing about them is a state.
 */
#include "rec.h"
#include "rng.h"

#include <string.h>

/* --- names ---------------------------------------------------------------------------------- */
static const struct rec_scope *scope_now(const struct recorder *r)
{
	return r->n_scope ? &r->scope[r->n_scope - 1] : NULL;
}

/* `<instance>.<tensor>.<name>`, leaving out what is not there. */
static const char *scoped(struct recorder *r, const char *name)
{
	const struct rec_scope *s = scope_now(r);
	const char *who = s && s->who ? s->who->name : NULL;
	if (s && s->tensor)
		return rec_text(r, "%s%s%s.%s", who ? who : "", who ? "." : "", s->tensor, name);
	return rec_text(r, "%s%s%s", who ? who : "", who ? "." : "", name);
}

static bool is_layer(const struct instance *who)
{
	return who && who->component && who->component->c.kind == REIN_LAYER;
}

/* --- reading and assigning -------------------------------------------------------------------- */
static void fit_states(struct recorder *r)
{
	while (r->read.n < r->store->n)
		ints_push(&r->read, -1);
	while (r->version.n < r->store->n)
		ints_push(&r->version, -1);
}

/* The value of a state as the program finds it: made in the program itself, never in a loop. */
static int32_t read_first(struct recorder *r, int n)
{
	const struct state *s = r->store->state[n];
	struct rec_value v = { .dtype = s->dtype, .rank = s->rank, .count = s->count };
	struct rein_attr a = { .struct_size = sizeof a };
	int saved = r->current;

	memcpy(v.dim, s->dim, sizeof v.dim);
	r->current = 0;
	int i = rec_append(r, REIN_OP_READ, 0, NULL, &a, 1, &v);
	r->current = saved;
	if (i < 0)
		return -1;
	r->instr[i].state = n;
	r->value[r->instr[i].out].state = n;
	return r->instr[i].out;
}

static rein_val read_state(struct recorder *r, int n)
{
	fit_states(r);
	if (r->version.at[n] < 0)
		r->read.at[n] = r->version.at[n] = read_first(r, n);
	if (r->version.at[n] < 0)
		return REC_POISON;
	return rec_use(r, (rein_val){ r->version.at[n] }, "read");
}

static void assign_state(struct recorder *r, int n, rein_val v, rein_val when)
{
	const struct state *s = r->store->state[n];

	if (r->current != 0) {
		rec_refuse(r, "assign: state '%s' cannot be assigned inside a loop; carry the value out", s->name);
		return;
	}
	v = rec_use(r, v, "assign");
	if (REC_IS_POISON(v) || REC_IS_POISON(when))
		return;
	const struct rec_value *x = rec_value(r, v);
	if (x->dtype != s->dtype || x->rank != s->rank || memcmp(x->dim, s->dim, x->rank * sizeof *x->dim) != 0) {
		rec_refuse(r, "assign: state '%s' is %s %s, the value is %s %s", s->name, dtype_name(s->dtype),
		           shape_text(s->rank, s->dim).s, dtype_name(x->dtype), SHAPE(x));
		return;
	}
	if (!REIN_IS_NONE(when)) {
		rein_val in[3] = { when, v, read_state(r, n) };
		rec_op(&r->rec, REIN_OP_WHERE, 3, in, NULL, 1, &v);
		if (REC_IS_POISON(v))
			return;
	}
	fit_states(r);
	r->version.at[n] = v.id;
}

rein_val rec_read(struct rein_rec *rec, rein_var s)
{
	struct recorder *r = recorder_of(rec);
	if (s.id < 0 || s.id >= r->store->n) {
		if (s.id == -1)
			rec_refuse(r, "read: the state is missing (REIN_NONE)");
		return REC_POISON;
	}
	return read_state(r, s.id);
}

void rec_assign(struct rein_rec *rec, rein_var s, rein_val v, rein_val when)
{
	struct recorder *r = recorder_of(rec);
	if (s.id < 0 || s.id >= r->store->n) {
		if (s.id == -1)
			rec_refuse(r, "assign: the state is missing (REIN_NONE)");
		return;
	}
	assign_state(r, s.id, v, when);
}

struct state *recorder_state_of(struct recorder *r, rein_val v)
{
	if (v.id < 0 || v.id >= r->n_value || r->value[v.id].state < 0)
		return NULL;
	return r->store->state[r->value[v.id].state];
}

rein_val recorder_read(struct recorder *r, struct state *s) { return read_state(r, store_index(r->store, s)); }

void recorder_assign(struct recorder *r, struct state *s, rein_val v, rein_val when)
{
	assign_state(r, store_index(r->store, s), v, when);
}

bool recorder_writes(const struct recorder *r, const struct state *s)
{
	int k = store_index(r->store, s);
	return k >= 0 && k < r->version.n && r->version.at[k] >= 0 && r->version.at[k] != r->read.at[k];
}

/* --- declaring ----------------------------------------------------------------------------------- */
static bool shape_ok(struct recorder *r, const char *what, const char *name, uint32_t rank, const int64_t *dim)
{
	if (rank > REIN_MAX_RANK) {
		rec_refuse(r, "%s '%s': rank %u, at most %d", what, name, rank, REIN_MAX_RANK);
		return false;
	}
	for (uint32_t i = 0; i < rank; i++)
		if (dim[i] < 1) {
			/* -1 comes from asking an invalid value for its shape: that is known already */
			if (!(dim[i] == -1 && r->failed))
				rec_refuse(r, "%s '%s': shape %s, every dimension must be at least 1", what, name,
				           shape_text(rank, dim).s);
			r->failed = true;
			return false;
		}
	return true;
}

/* Number of the state, or -1. *fresh: it was not there before. */
static int declare(struct recorder *r, const char *name, uint32_t role, uint32_t dtype, uint32_t rank,
                   const int64_t *dim, const struct rein_init *init, bool *fresh)
{
	const struct instance *who = recorder_who(r);
	const char *why = "";

	*fresh = !store_find(r->store, name);
	struct state *s = store_declare(r->store, name, role, dtype, rank, dim, init, &why);
	if (!s) {
		rec_refuse(r, "state '%s': %s", name, why);
		return -1;
	}
	if (!s->owner)
		s->owner = who;
	else if (who && s->owner != who && s->owner->name && strcmp(s->owner->name, who->name) == 0 &&
	         s->owner->component != who->component) {
		rec_refuse(r, "state '%s' belongs to another '%s' already: rename one of the two", name, who->name);
		return -1;
	}
	fit_states(r);
	return store_index(r->store, s);
}

static void remember_init(struct recorder *r, int n, const struct rein_init *init)
{
	if (!init || init->kind != REIN_INIT_VALUE)
		return;
	const struct state *s = r->store->state[n];
	rein_val v = rec_use(r, init->value, "initial value");
	if (REC_IS_POISON(v))
		return;
	const struct rec_value *x = rec_value(r, v);
	if (x->body != 0) {
		rec_refuse(r, "state '%s': its initial value comes from inside a loop", s->name);
		return;
	}
	if (x->dtype != s->dtype || x->rank != s->rank || memcmp(x->dim, s->dim, x->rank * sizeof *x->dim) != 0) {
		rec_refuse(r, "state '%s' is %s, its initial value %s", s->name, shape_text(s->rank, s->dim).s, SHAPE(x));
		return;
	}
	r->init = grow(r->init, r->n_init, &r->cap_init, sizeof *r->init);
	r->init[r->n_init++] = (struct rec_init){ n, v.id };
}

rein_var rec_state(struct rein_rec *rec, const char *name, uint32_t dtype, uint32_t rank, const int64_t *dim,
                   const struct rein_init *init)
{
	struct recorder *r = recorder_of(rec);
	const struct instance *who = recorder_who(r);
	const char *full = scoped(r, name);
	bool fresh;

	if (dtype < REIN_REAL_T || dtype > REIN_BOOL_T) {
		if (dtype || !r->failed)
			rec_refuse(r, "state '%s': dtype %u is not known", name, dtype);
		return (rein_var){ -2 };
	}
	if (!shape_ok(r, "state", name, rank, dim))
		return (rein_var){ -2 };
	int n = declare(r, full, is_layer(who) ? STATE_BUFFER : STATE_SLOT, dtype, rank, dim, init, &fresh);
	if (n < 0)
		return (rein_var){ -2 };
	if (fresh)
		remember_init(r, n, init);
	return (rein_var){ n };
}

rein_val rec_param(struct rein_rec *rec, const char *name, uint32_t rank, const int64_t *dim,
                   const struct rein_init *init)
{
	struct recorder *r = recorder_of(rec);
	const char *full = scoped(r, name);
	struct state *old = store_find(r->store, full);
	bool fresh;
	int n;

	if (!shape_ok(r, "parameter", name, rank, dim))
		return REC_POISON;
	/* The stored shape is the truth once channels may have been removed: what is asked for then
	 * may even be smaller (channels over groups, of which there are fewer now). */
	if (old && old->role == STATE_PARAM && old->rank == rank && old->dtype == REIN_REAL_T) {
		n = store_index(r->store, old);
		for (uint32_t i = 0; i < rank; i++)
			if (old->dim[i] > dim[i] && !old->shrunk) {
				rec_refuse(r, "parameter '%s' is %s, asked for as %s", full, shape_text(old->rank, old->dim).s,
				           shape_text(rank, dim).s);
				return REC_POISON;
			}
	} else {
		if (r->current != 0) {
			rec_refuse(r, "parameter '%s' cannot be declared inside a loop", full);
			return REC_POISON;
		}
		n = declare(r, full, STATE_PARAM, REIN_REAL_T, rank, dim, init, &fresh);
		if (n < 0)
			return REC_POISON;
		if (fresh)
			remember_init(r, n, init);
	}
	rein_val w = REIN_NONE;
	for (int i = r->n_with - 1; i >= 0 && REIN_IS_NONE(w); i--)
		for (uint32_t k = 0; k < r->with[i].n; k++)
			if (r->with[i].state[k] == n)
				w = r->with[i].as[k];
	if (REIN_IS_NONE(w))
		w = read_state(r, n);
	if (r->env.param && !REC_IS_POISON(w))
		w = r->env.param(r->env.ctx, r, r->store->state[n], w);
	return w;
}

/* --- substitution ----------------------------------------------------------------------------------- */
void rec_with(struct rein_rec *rec, uint32_t n, const rein_val *param, const rein_val *as)
{
	struct recorder *r = recorder_of(rec);
	struct rec_with w = { .state = rec_alloc(r, (n + 1) * sizeof *w.state),
		                  .as = rec_alloc(r, (n + 1) * sizeof *w.as) };

	for (uint32_t i = 0; i < n; i++) {
		const struct state *s = recorder_state_of(r, param[i]);
		if (!s && !REC_IS_POISON(param[i]))
			rec_refuse(r, "with: value %u is no parameter (pass what rein_param or the step's tensors gave)", i);
		if (!s || REC_IS_POISON(as[i]))
			continue;
		const struct rec_value *x = as[i].id >= 0 && as[i].id < r->n_value ? rec_value(r, as[i]) : NULL;
		if (!x || x->dtype != s->dtype || x->rank != s->rank || memcmp(x->dim, s->dim, x->rank * sizeof *x->dim) != 0) {
			rec_refuse(r, "with: '%s' is %s, its replacement %s", s->name, shape_text(s->rank, s->dim).s,
			           x ? SHAPE(x) : "missing");
			continue;
		}
		w.state[w.n] = store_index(r->store, s);
		w.as[w.n++] = as[i];
	}
	r->with = grow(r->with, r->n_with, &r->cap_with, sizeof *r->with);
	r->with[r->n_with++] = w;
}

void rec_without(struct rein_rec *rec)
{
	struct recorder *r = recorder_of(rec);
	if (r->n_with)
		r->n_with--;
	else
		rec_refuse(r, "without: there is no with to end");
}

void rec_set_param(struct rein_rec *rec, const struct rein_tensor *p, rein_val v)
{
	struct recorder *r = recorder_of(rec);
	struct state *s = recorder_state_of(r, p->w);
	if (!s && p->name)
		s = store_find(r->store, p->name);
	if (s)
		recorder_assign(r, s, v, REIN_NONE);
	else
		rec_refuse(r, "set_param: '%s' is no parameter", p->name ? p->name : "?");
}

/* --- draws ---------------------------------------------------------------------------------------------- */
void recorder_draw_keys(struct recorder *r, rein_val id, rein_val step, rein_val epoch)
{
	r->id = id;
	r->step = step;
	r->epoch = epoch;
	r->id_views = REIN_NONE;
}

static rein_val fill_i32(struct recorder *r, int32_t v, uint32_t rank, const int64_t *dim)
{
	struct rein_attr a = { .struct_size = sizeof a, .mode = REIN_I32_T, .rank = rank, .par = { v } };
	rein_val out;
	if (rank)
		memcpy(a.dim, dim, rank * sizeof *dim);
	rec_op(&r->rec, REIN_OP_CONST, 0, NULL, &a, 1, &out);
	return out;
}

/* Sample numbers for `rows` rows: those of the batch, or, where the batch holds several
 * views of each sample one after another, the same with the view in the top four bits. */
static rein_val sample_numbers(struct recorder *r, int64_t rows)
{
	if (REC_IS_POISON(r->id))
		return REC_POISON;
	if (REIN_IS_NONE(r->id)) {
		rec_refuse(r, "a draw per sample is not available here: there are no sample numbers");
		return REC_POISON;
	}
	int64_t n = rec_value(r, r->id)->dim[0], views = rows / n;
	if (views == 1 && rows == n)
		return r->id;
	if (rows % n || views > 16) {
		rec_refuse(r, "a draw per sample has %lld rows, the batch %lld", (long long)rows, (long long)n);
		return REC_POISON;
	}
	if (!REIN_IS_NONE(r->id_views) && r->views == views && rec_value(r, r->id_views)->body == r->current)
		return r->id_views;
	rein_val part[16];
	for (int64_t v = 0; v < views; v++) {
		rein_val in[2] = { r->id, fill_i32(r, (int32_t)((uint32_t)v << 28), 0, NULL) };
		rec_op(&r->rec, REIN_OP_ADD, 2, in, NULL, 1, &part[v]);
	}
	struct rein_attr a = { .struct_size = sizeof a, .axes = 1 };
	rec_op(&r->rec, REIN_OP_CONCAT, (uint32_t)views, part, &a, 1, &r->id_views);
	r->views = views;
	return r->id_views;
}

/* A stream drawn from again within one scope is another stream. */
static uint32_t occurrence(struct recorder *r, uint64_t key)
{
	if (!r->n_scope)
		recorder_enter(r, NULL, NULL);
	struct rec_scope *s = &r->scope[r->n_scope - 1];
	for (int i = 0; i < s->n_draw; i++)
		if (s->draw[i].key == key)
			return s->draw[i].times++;
	s->draw = grow(s->draw, s->n_draw, &s->cap_draw, sizeof *s->draw);
	s->draw[s->n_draw++] = (struct rec_draw){ key, 1 };
	return 0;
}

/* The draw as an input instead: a state that tests and `rng = torch` fill. */
static rein_val fed(struct recorder *r, const char *name, uint32_t dtype, uint32_t rank, const int64_t *dim)
{
	const char *why = "";
	if (r->current != 0 || r->unrolling) {
		rec_refuse(r, "draw '%s': a draw inside a loop cannot be fed", name);
		return REC_POISON;
	}
	struct state *s = store_declare(r->store, rec_text(r, "feed.%s", name), STATE_DATA, dtype, rank, dim, NULL, &why);
	if (!s) {
		rec_refuse(r, "draw '%s': %s", name, why);
		return REC_POISON;
	}
	return recorder_read(r, s);
}

/* Counter words: sample or step, epoch, loop index. */
static bool draw_counter(struct recorder *r, uint32_t key, uint32_t rank, const int64_t *dim, rein_val in[3])
{
	rein_val zero = fill_i32(r, 0, 0, NULL);
	in[0] = in[1] = zero;
	if (key == REIN_PER_SAMPLE) {
		if (!rank) {
			rec_refuse(r, "a draw per sample needs the batch as its first axis");
			return false;
		}
		in[0] = sample_numbers(r, dim[0]);
	} else if (key == REIN_PER_STEP) {
		if (REIN_IS_NONE(r->step)) {
			rec_refuse(r, "a draw per step is not available here: there is no step");
			return false;
		}
		in[0] = r->step;
	}
	if (key != REIN_ONCE && !REIN_IS_NONE(r->epoch))
		in[1] = r->epoch;
	in[2] = REIN_IS_NONE(r->round) ? zero : r->round;
	for (int k = 0; k < 3; k++) {
		if (REC_IS_POISON(in[k]))
			return false;
		in[k] = rec_use(r, in[k], "random");
		if (REC_IS_POISON(in[k]))
			return false;
	}
	return true;
}

rein_val rec_random(struct rein_rec *rec, const char *stream, uint32_t dist, uint32_t key, uint32_t rank,
                    const int64_t *dim)
{
	struct recorder *r = recorder_of(rec);
	rein_val in[3];

	if (!shape_ok(r, "draw", stream, rank, dim))
		return REC_POISON;
	if (dist > REIN_BITS || key > REIN_ONCE) {
		rec_refuse(r, "draw '%s': distribution %u or key %u is not known", stream, dist, key);
		return REC_POISON;
	}
	const char *name = rec_text(r, "%s.%u", scoped(r, stream), r->call);
	uint32_t again = occurrence(r, rng_key(0, name));
	if (again)
		name = rec_text(r, "%s.%u", name, again);

	uint32_t dtype = dist == REIN_BITS ? REIN_I32_T : REIN_REAL_T;
	if (r->options.feed)
		return fed(r, name, dtype, rank, dim);
	if (!draw_counter(r, key, rank, dim, in))
		return REC_POISON;

	uint64_t k = rng_key(r->store->seed, name);
	struct rein_attr a = { .struct_size = sizeof a, .flags = key, .mode = dist, .rank = rank, .data = &k };
	struct rec_value v = { .dtype = dtype, .rank = rank, .count = 1 };
	for (uint32_t i = 0; i < rank; i++) {
		a.dim[i] = v.dim[i] = dim[i];
		v.count *= dim[i];
	}
	int i = rec_append(r, REIN_OP_RANDOM, 3, in, &a, 1, &v);
	return i < 0 ? REC_POISON : (rein_val){ r->instr[i].out };
}
