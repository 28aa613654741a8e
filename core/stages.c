/* SPDX-License-Identifier: MIT
 *
 * stages.c: [stages]: what a run does, one after another. The types are the core's own:
 *
 *   fit    = train epochs=10        epochs: default [run] epochs
 *   check  = evaluate split=test    split: default val, else train
 *   cut    = prune with=small       with: an entry of [pruners]
 *   robust = attack with=fgsm split=val limit=1000
 *
 * Without the section: train, evaluate. A new type is a row of `types` with its functions.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "train.h"

static bool train_run(struct trainer *t, struct stage *s, struct metrics *out) { return run_epoch(t, s, out); }

static bool evaluate_prepare(struct trainer *t, struct stage *s)
{
	return portion_programs(t, portion_find(t, s->split));
}

static bool evaluate_run(struct trainer *t, struct stage *s, struct metrics *out)
{
	t->stage_done = true;
	return run_evaluate(t, s->split, out);
}

static const struct type {
	const char *name;
	const char *keys[5];
	uint32_t with; /* kind of the instance that with= names */
	bool (*prepare)(struct trainer *, struct stage *);
	bool (*run)(struct trainer *, struct stage *, struct metrics *);
} types[] = {
	{ "train", { "epochs", NULL }, 0, NULL, train_run },
	{ "evaluate", { "split", NULL }, 0, evaluate_prepare, evaluate_run },
	{ "prune", { "with", NULL }, REIN_PRUNER, prune_prepare, prune_run },
	{ "attack", { "with", "split", "limit", NULL }, REIN_ATTACK, attack_prepare, attack_run },
};
#define N_TYPE ((int)(sizeof types / sizeof *types))

/* --- reading ---------------------------------------------------------------------------- */
static int type_find(struct trainer *t, const struct spec *spec)
{
	const char *known[N_TYPE + 1] = { NULL };

	for (int i = 0; i < N_TYPE; i++) {
		if (strcmp(types[i].name, spec->component) == 0)
			return i;
		known[i] = types[i].name;
	}
	const char *near = diag_nearest(spec->component, known);
	diag_error(t->diag, &spec->component_at,
	           "[stages] %s: unknown stage '%s'%s%s%s; there are: train, evaluate, prune, attack", spec->name,
	           spec->component, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
	return -1;
}

static void stage_with(struct trainer *t, struct stage *s, const struct arg *a, uint32_t kind)
{
	int n = kind == REIN_PRUNER ? t->n_pruner : t->n_attack;
	struct instance **list = kind == REIN_PRUNER ? t->pruner : t->attack;

	for (int i = 0; i < n; i++)
		if (strcmp(list[i]->spec->name, a->value) == 0)
			s->with = list[i];
	if (!s->with)
		diag_error(t->diag, &a->value_at, "[stages] %s: there is no '%s' in [%s]", s->spec->name, a->value,
		           kind_section(kind));
}

static void stage_key(struct trainer *t, struct stage *s, struct arg *a, const struct type *type)
{
	int64_t *number = strcmp(a->key, "epochs") == 0 ? &s->epochs : &s->limit;
	int known = 0;

	a->used = true;
	while (type->keys[known] && strcmp(type->keys[known], a->key) != 0)
		known++;
	if (!type->keys[known]) {
		const char *near = diag_nearest(a->key, type->keys);
		char all[64];
		diag_list(all, sizeof all, type->keys);
		diag_error(t->diag, &a->at, "[stages] %s: unknown key '%s' of stage '%s'%s%s%s known: %s", s->spec->name,
		           a->key, type->name, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : ";", all);
	} else if (strcmp(a->key, "with") == 0) {
		stage_with(t, s, a, type->with);
	} else if (strcmp(a->key, "split") == 0) {
		s->split = a->value;
		char text[512];
		if (!data_split(t->data, a->value))
			diag_error(t->diag, &a->value_at, "[stages] %s: %s", s->spec->name,
			           data_no_split(t->data, a->value, text, sizeof text));
	} else if (!parse_int(a->value, number) || *number < (number == &s->limit)) {
		diag_error(t->diag, &a->value_at, "[stages] %s: %s=%s is not a whole number of at least %d", s->spec->name,
		           a->key, a->value, number == &s->limit);
	}
}

static void stage_read(struct trainer *t, const struct spec *spec)
{
	int type = type_find(t, spec);
	int errors = diag_errors(t->diag);

	if (type < 0)
		return;
	struct stage *s = &t->stage[t->n_stage++];
	*s = (struct stage){ .spec = spec,
		                 .name = spec->name,
		                 .type = type,
		                 .epochs = t->env.settings->epochs,
		                 .split = data_split(t->data, "val") ? "val" : t->train->name };
	for (int i = 0; i < spec->n_arg; i++)
		stage_key(t, s, &spec->arg[i], &types[type]);
	if (types[type].with && !s->with && diag_errors(t->diag) == errors)
		diag_error(t->diag, &spec->at, "[stages] %s: with=NAME is missing; it names an entry of [%s]", spec->name,
		           kind_section(types[type].with));
}

bool stages_read(struct trainer *t)
{
	const struct section *section = config_section(t->env.config, "stages");
	int errors = diag_errors(t->diag), n = section ? section->n_spec : 0;

	t->stage = zalloc((size_t)n + 2, sizeof *t->stage);
	for (int i = 0; i < n; i++)
		stage_read(t, section->spec[i]);
	if (n == 0) {
		const char *split = data_split(t->data, "val") ? "val" : t->train->name;
		t->stage[t->n_stage++] = (struct stage){ .name = "train", .type = 0, .epochs = t->env.settings->epochs };
		t->stage[t->n_stage++] = (struct stage){ .name = "evaluate", .type = 1, .split = split };
	}
	return diag_errors(t->diag) == errors;
}

/* Masks act in training only where a later stage trains: other runs need not pay for them. */
bool stages_masks(struct trainer *t)
{
	bool pruned = false;

	for (int i = 0; i < t->n_stage; i++) {
		if (types[t->stage[i].type].with == REIN_PRUNER) {
			if (!prune_masks(t, &t->stage[i]))
				return false;
			pruned = t->prunes = true;
		}
		if (t->stage[i].type == 0 && pruned)
			t->masks = true;
	}
	return true;
}

bool stages_prepare(struct trainer *t)
{
	int errors = diag_errors(t->diag);

	for (int i = 0; i < t->n_stage; i++)
		if (types[t->stage[i].type].prepare)
			types[t->stage[i].type].prepare(t, &t->stage[i]);
	return diag_errors(t->diag) == errors;
}

void stages_finish(struct trainer *t)
{
	for (int i = 0; i < t->n_stage; i++) {
		compiled_destroy(t->stage[i].program);
		compiled_destroy(t->stage[i].rest);
		free(t->stage[i].pruned);
		free(t->stage[i].units);
	}
	free(t->stage);
}

void stages_print(struct trainer *t, FILE *out)
{
	for (int i = 0; i < t->n_stage; i++) {
		if (t->stage[i].program)
			compiled_print(t->stage[i].program, out);
		if (t->stage[i].rest)
			compiled_print(t->stage[i].rest, out);
	}
}

/* --- walking ------------------------------------------------------------------------------ */
int trainer_stages(const struct trainer *t) { return t->n_stage; }

const char *trainer_stage_name(const struct trainer *t, int i, const char **type)
{
	if (i < 0 || i >= t->n_stage)
		return NULL;
	if (type)
		*type = types[t->stage[i].type].name;
	return t->stage[i].name;
}

int64_t trainer_epochs(const struct trainer *t)
{
	return t->at_stage >= 0 && t->stage[t->at_stage].type == 0 ? t->stage[t->at_stage].epochs : 0;
}

/* Sizes and times behind the last row of each stage, where they change within the run. */
static bool stage_measured(struct trainer *t, const struct stage *s, struct metrics *out)
{
	bool changed = types[s->type].with == REIN_PRUNER;

	return !t->prunes || !t->stage_done || measure_stage(t, changed, out);
}

rein_status trainer_next(struct trainer *t, struct metrics *out, struct diag *d)
{
	int errors = diag_errors(d);

	t->diag = d;
	if (t->stage_done) {
		if (t->at_stage + 1 >= t->n_stage)
			return 1;
		t->at_stage++;
		t->at_epoch = 0;
		t->stage_done = false;
	}
	struct stage *s = &t->stage[t->at_stage];
	if (types[s->type].run(t, s, out) && stage_measured(t, s, out))
		return REIN_OK;
	if (diag_errors(d) == errors)
		diag_error(d, NULL, "stage '%s' failed on backend '%s'", s->name, t->env.backend->name);
	return REIN_ERROR;
}
