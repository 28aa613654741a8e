/* SPDX-License-Identifier: MIT
 *
 * features.c: values of samples that are computed once and kept on the device: the outputs of frozen
 * layers, which hoist.c finds while a step or an evaluation is recorded. A program of its own
 * makes them, over the split in batches of as many samples as the step that first asked for them.
 *
 * They are made when a program that reads them is about to run, and again whenever a state that
 * they came from has been written since: by another program, by weights from a file, by pruning, by
 * samples that join the split. So nobody else has to know of them.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "samples.h"
#include "train.h"

#define LIMIT_MIB 1024 /* cache = auto, where [run] data_memory names no limit */

struct features {
	const struct portion *f;
	void *key;
	uint64_t key_size;
	int64_t rows, macs;
	uint32_t n;
	struct state **state; /* of each value: a row per sample */
	struct compiled *maker;
	const struct state **source; /* what the values depend on ... */
	uint64_t *seen;              /* ... and the versions they were made of */
	uint32_t n_source;
	bool made;
	char what[96]; /* "features.12" */
};

/* --- while a program is recorded ------------------------------------------------------------ */
/* How often the program meets a sample: once an epoch, or where an epoch is looked at. */
static int64_t times(const struct pass *p, const struct split *s)
{
	const struct trainer *t = p->t;
	const struct settings *set = t->env.settings;
	int64_t epochs = 0;

	for (int i = 0; i < t->n_stage; i++)
		epochs += stage_trains(&t->stage[i]) ? t->stage[i].epochs : 0;
	if (p->kind == PASS_TRAIN)
		return epochs;
	bool watched = s == t->train ? set->evaluate_train : !strcmp(s->name, "val");
	return watched ? epochs / (set->log_every < 1 ? 1 : set->log_every) : 0;
}

void features_look(struct pass *p, const struct portion *f)
{
	if (p->dry || p->t->env.settings->cache == CACHE_NO || times(p, f->split) < 2)
		return;
	p->keeps = f;
	recorder_keeps(p->rec);
}

bool pass_fixed(void *ctx, const struct state *s)
{
	const struct pass *p = ctx;
	const struct portion *f = p->keeps;

	if (s == f->y || s == f->slot)
		return true;
	if (s == f->x) /* augmentations on the host make other samples each epoch */
		return p->kind != PASS_TRAIN || !split_changes(f->split);
	return (s->role == STATE_PARAM || s->role == STATE_BUFFER || s->role == STATE_SLOT) && !s->moves;
}

static int64_t bytes_of(const struct trainer *t, const struct recorder_keep *k, int64_t samples)
{
	int64_t bytes = 0;

	for (uint32_t i = 0; i < k->n; i++) {
		int64_t row = dtype_size(k->value[i].dtype, t->store->real_size);
		for (uint32_t a = 1; a < k->value[i].rank; a++)
			row *= k->value[i].dim[a];
		bytes += row * samples;
	}
	return bytes;
}

static int64_t bytes_kept(const struct trainer *t, const struct features *c)
{
	int64_t bytes = 0;

	for (uint32_t i = 0; i < c->n; i++)
		bytes += (int64_t)state_bytes(t->store, c->state[i]);
	return bytes;
}

static bool fits(const struct trainer *t, const struct recorder_keep *k, int64_t samples)
{
	const struct settings *s = t->env.settings;
	int64_t limit = (s->data_memory ? s->data_memory : LIMIT_MIB) << 20, bytes = bytes_of(t, k, samples);

	for (int i = 0; i < t->n_features; i++)
		bytes += bytes_kept(t, t->features[i]);
	return s->cache == CACHE_YES || bytes <= limit;
}

/* A state for one of the values: one that was given back, or a new one. */
static struct state *state_for(struct trainer *t, const struct portion *f, const struct recorder_kept *v)
{
	int64_t dim[REIN_MAX_RANK];
	struct state *s = NULL;

	memcpy(dim, v->dim, sizeof dim);
	dim[0] = f->split->n;
	for (int i = 0; i < t->n_kept && !s; i++)
		if (!t->kept[i].used && t->kept[i].state->dtype == v->dtype && t->kept[i].state->rank == v->rank) {
			s = t->kept[i].state;
			t->kept[i].used = true;
			store_reshape(t->store, s, dim);
		}
	if (s)
		return s;
	s = counter(t, trainer_text(t, "features.%d", t->n_kept), v->dtype, v->rank, dim, STATE_DATA);
	t->kept = must(realloc(t->kept, (size_t)(t->n_kept + 1) * sizeof *t->kept));
	t->kept[t->n_kept++] = (struct kept){ s, true };
	return s;
}

/* "features.12" of "[network] features.12", each layer once. */
static void name_layers(struct features *c, const struct recorder_keep *k)
{
	for (uint32_t i = 0; i < k->n; i++) {
		const char *name = strchr(k->value[i].origin, ' ');
		size_t n = strlen(c->what);
		bool again = i && !strcmp(k->value[i].origin, k->value[i - 1].origin);
		if (!again)
			snprintf(c->what + n, sizeof c->what - n, "%s%s", n ? ", " : "", name ? name + 1 : "the input");
	}
}

static struct features *find(const struct trainer *t, const struct portion *f, const struct recorder_keep *k)
{
	for (int i = 0; i < t->n_features; i++) {
		struct features *c = t->features[i];
		if (c->f == f && c->key_size == k->key_size && !memcmp(c->key, k->key, k->key_size))
			return c;
	}
	return NULL;
}

bool pass_keep(void *ctx, struct recorder *rec, struct recorder_keep *k)
{
	struct pass *p = ctx;
	struct trainer *t = p->t;
	const struct portion *f = p->keeps;
	struct features *c = find(t, f, k);

	(void)rec;
	k->samples = f->split->n;
	if (!c && !fits(t, k, k->samples))
		return false;
	if (!c) {
		c = zalloc(1, sizeof *c);
		c->f = f;
		c->key = memcpy(zalloc(k->key_size, 1), k->key, k->key_size);
		c->key_size = k->key_size;
		c->rows = k->value[0].dim[0];
		c->macs = k->macs;
		c->n = k->n;
		c->state = zalloc(k->n, sizeof *c->state);
		for (uint32_t i = 0; i < k->n; i++)
			c->state[i] = state_for(t, f, &k->value[i]);
		name_layers(c, k);
		t->features = must(realloc(t->features, (size_t)(t->n_features + 1) * sizeof *t->features));
		t->features[t->n_features++] = c;
	}
	k->entry = counter(t, "features.entry", REIN_I32_T, 0, NULL, STATE_DATA);
	k->make = !c->maker;
	k->state = c->state;
	p->kept = c;
	return true;
}

/* What the values are made of, but for the counter and what a stream brings in and out. */
static void note_sources(struct trainer *t, struct features *c)
{
	const struct rein_program *p = &c->maker->program->p;

	c->source = zalloc(p->n_instr, sizeof *c->source);
	c->seen = zalloc(p->n_instr, sizeof *c->seen);
	for (uint32_t k = 0; k < p->n_instr; k++) {
		const struct state *s = p->instr[k].op == REIN_OP_READ ? t->store->state[p->instr[k].state] : NULL;
		if (s && strcmp(s->name, "features.entry") != 0 && s != c->f->slot && !(s == c->f->x && c->f->stream))
			c->source[c->n_source++] = s;
	}
}

bool features_maker(struct trainer *t, struct features *c, struct program *maker)
{
	if (!maker)
		return true;
	c->maker = build(t, maker);
	if (c->maker)
		note_sources(t, c);
	return c->maker;
}

/* --- while programs run ------------------------------------------------------------------------ */
static bool fresh(const struct features *c)
{
	for (uint32_t i = 0; i < c->n_source; i++)
		if (c->source[i]->version != c->seen[i])
			return false;
	return c->made;
}

/* A batch from sample `first` on, by way of the host. */
static bool make_some(struct trainer *t, const struct features *c, int64_t first, char *host)
{
	for (uint32_t i = 0; i < c->n; i++) {
		int64_t row = (int64_t)state_bytes(t->store, c->state[i]) / c->f->split->n;
		if (compiled_output(c->maker, i, host, c->rows * row) < 0 ||
		    store_set_part(t->store, c->state[i], (uint64_t)(first * row), host, (uint64_t)(c->rows * row)) < 0)
			return false;
	}
	return true;
}

/* All batches; the last begins earlier where fewer samples are left. */
static bool make_all(struct trainer *t, const struct features *c, char *host)
{
	struct portion *f = portion_find(t, c->f->split->name);
	int64_t all = f->split->n, full = all / c->rows;
	const struct tour tour = { NULL, full * c->rows, c->rows, -1, NULL };
	bool good = set_i32(t, store_find(t->store, "features.entry"), 0);

	for (int64_t k = 0; good && k < full; k++)
		good = stream_need(f, &tour, k) > 0 && compiled_run(c->maker, 1) >= 0 && make_some(t, c, k * c->rows, host);
	if (good && all > full * c->rows)
		good = stream_one(f, NULL, all - c->rows, c->rows, -1) && compiled_run(c->maker, 1) >= 0 &&
		       make_some(t, c, all - c->rows, host);
	return good;
}

static bool make(struct trainer *t, struct features *c)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < c->n; i++)
		if (state_bytes(t->store, c->state[i]) > bytes)
			bytes = state_bytes(t->store, c->state[i]);
	char *host = zalloc((size_t)(bytes / (uint64_t)c->f->split->n), (size_t)c->rows);
	c->made = make_all(t, c, host);
	free(host);
	for (uint32_t i = 0; i < c->n_source; i++)
		c->seen[i] = c->source[i]->version;
	return c->made;
}

bool features_need(struct trainer *t, const struct compiled *program)
{
	for (int i = 0; program && i < t->n_features; i++)
		if (!fresh(t->features[i]) && compiled_reads(program, t->features[i]->state[0]) && !make(t, t->features[i]))
			return false;
	return true;
}

/* --- the rest ------------------------------------------------------------------------------------ */
void features_print(const struct trainer *t, FILE *out)
{
	for (int i = 0; i < t->n_features; i++) {
		const struct features *c = t->features[i];
		fprintf(out,
		        "%s of %" PRId64 " samples of '%s': computed once, %.1f MiB, saves %" PRId64
		        " multiply-adds a sample\n",
		        c->what, c->f->split->n, c->f->split->name, (double)bytes_kept(t, c) / (1 << 20), c->macs);
	}
}

const struct compiled *features_program(const struct trainer *t, int i)
{
	return i < t->n_features ? t->features[i]->maker : NULL;
}

void features_finish(struct trainer *t)
{
	const int64_t one[REIN_MAX_RANK] = { 1, 1, 1, 1, 1, 1 };

	for (int i = 0; i < t->n_features; i++) {
		struct features *c = t->features[i];
		compiled_destroy(c->maker);
		free(c->key);
		free(c->state);
		free(c->source);
		free(c->seen);
		free(c);
	}
	free(t->features);
	t->features = NULL;
	t->n_features = 0;
	for (int i = 0; i < t->n_kept; i++) {
		store_reshape(t->store, t->kept[i].state, one);
		t->kept[i].used = false;
	}
}
