/* SPDX-License-Identifier: MIT
 *
 * setup.c: from sections to instances: every spec of the sections that a run is made of,
 * references between them, the model's facts that come from the data, and the checks that
 * need no recording.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train.h"

/* --- references -------------------------------------------------------------------------- */
/* Asked while keys are read, so the target may not exist yet: bound when all do. */
static const struct rein_ref *resolve(void *ctx, uint32_t kind, const char *name)
{
	struct trainer *t = ctx;
	char section[160];

	if (kind != REIN_ATTACK && kind != REIN_AUGMENTATION)
		kind = REIN_LAYER;
	for (int i = 0; i < t->n_ref; i++)
		if (t->ref[i]->kind == kind && strcmp(t->ref[i]->name, name) == 0)
			return t->ref[i];
	snprintf(section, sizeof section, "network %s", name);
	if (kind == REIN_LAYER && !config_section(t->env.config, section))
		return NULL;
	if (kind == REIN_ATTACK && !config_spec(t->env.config, "attacks", name))
		return NULL;
	if (kind == REIN_AUGMENTATION && !config_spec(t->env.config, "augmentations", name) &&
	    !config_spec(t->env.config, "transforms", name))
		return NULL;
	if (t->n_ref == t->cap_ref) {
		t->cap_ref = t->cap_ref ? 2 * t->cap_ref : 8;
		t->ref = must(realloc(t->ref, (size_t)t->cap_ref * sizeof *t->ref));
	}
	struct rein_ref *ref = zalloc(1, sizeof *ref);
	ref->kind = kind;
	ref->name = trainer_text(t, "%s", name);
	return t->ref[t->n_ref++] = ref;
}

static void bind(struct trainer *t)
{
	for (int i = 0; i < t->n_ref; i++) {
		for (int k = 0; k < t->n_attack; k++)
			if (t->ref[i]->kind == REIN_ATTACK && strcmp(t->attack[k]->spec->name, t->ref[i]->name) == 0)
				t->ref[i]->attack = t->attack[k];
		for (int k = 0; t->ref[i]->kind == REIN_AUGMENTATION && k < t->n_augmentation + t->n_transform; k++) {
			struct instance *a = k < t->n_augmentation ? t->augmentation[k] : t->transform[k - t->n_augmentation];
			if (!t->ref[i]->augmentation && strcmp(a->spec->name, t->ref[i]->name) == 0)
				t->ref[i]->augmentation = a;
		}
		if (t->ref[i]->kind == REIN_LAYER)
			t->ref[i]->network = network_find(t, t->ref[i]->name);
	}
}

/* --- instances ------------------------------------------------------------------------------ */
/* Kind of the specs of a section that a trainer makes; 0: others make them, or nobody. */
static uint32_t section_kind(const char *name)
{
	uint32_t kind = strncmp(name, "network ", 8) == 0 ? REIN_LAYER : kind_of_section(name);

	switch (kind) {
	case REIN_LAYER:
	case REIN_LOSS:
	case REIN_OPTIMIZER:
	case REIN_SCHEDULE:
	case REIN_REGULARIZER:
	case REIN_AUGMENTATION:
	case REIN_ATTACK:
	case REIN_PRUNER:
	case REIN_DETECTOR:
	case REIN_LOGGER:
	case REIN_REPORT: return kind;
	}
	return 0;
}

static void sort_in(struct trainer *t, struct instance *in)
{
	const char *section = in->spec->section;
	struct {
		const char *section;
		int *n;
		struct instance ***list;
	} at[] = {
		{ "optimizer", &t->n_optimizer, &t->optimizer },
		{ "schedules", &t->n_schedule, &t->schedule },
		{ "regularizers", &t->n_regularizer, &t->regularizer },
		{ "transforms", &t->n_transform, &t->transform },
		{ "augmentations", &t->n_augmentation, &t->augmentation },
		{ "attacks", &t->n_attack, &t->attack },
		{ "pruners", &t->n_pruner, &t->pruner },
		{ "detectors", &t->n_detector, &t->detector },
	};

	for (size_t i = 0; i < sizeof at / sizeof *at; i++)
		if (strcmp(section, at[i].section) == 0) {
			*at[i].list = must(realloc(*at[i].list, (size_t)(*at[i].n + 1) * sizeof in));
			(*at[i].list)[(*at[i].n)++] = in;
		}
	if (strcmp(section, "loss") == 0) {
		if (t->loss)
			at_instance(t->diag, in, "a run has one loss; '%s' is there already", t->loss->spec->name);
		t->loss = in;
	}
	if (strncmp(section, "network ", 8) == 0) /* names weights apart from the network in training */
		in->name = trainer_text(t, "%s.%s", section + 8, in->spec->name);
}

static void make_section(struct trainer *t, const struct section *s, uint32_t kind)
{
	for (int i = 0; i < s->n_spec; i++) {
		struct instance *in = instance_create(t->env.registry, kind, s->spec[i], &t->env.host, resolve, t, t->diag);
		if (!in)
			continue;
		if (t->n_inst == t->cap_inst) {
			t->cap_inst = t->cap_inst ? 2 * t->cap_inst : 32;
			t->inst = must(realloc(t->inst, (size_t)t->cap_inst * sizeof *t->inst));
		}
		t->inst[t->n_inst++] = in;
		sort_in(t, in);
	}
}

/* What cannot be missing. Errors have the place of the section where there is one. */
static void check_sections(struct trainer *t)
{
	const struct config *c = t->env.config;
	const char *const need[] = { "network", "loss", "optimizer", "data" };

	for (size_t i = 0; i < sizeof need / sizeof *need; i++) {
		const struct section *s = config_section(c, need[i]);
		if (!s || s->n_spec == 0)
			diag_error(t->diag, s ? &s->at : NULL, "%s: [%s] is %s", c->path, need[i], s ? "empty" : "missing");
	}
}

bool setup_instances(struct trainer *t)
{
	int errors = diag_errors(t->diag);
	const struct config *c = t->env.config;

	check_sections(t);
	for (int i = 0; i < c->n_section; i++) {
		uint32_t kind = section_kind(c->section[i]->name);
		if (kind)
			make_section(t, c->section[i], kind);
	}
	if (diag_errors(t->diag) > errors)
		return false;
	t->net = zalloc((size_t)c->n_section + 1, sizeof *t->net);
	t->net[t->n_net++] = network_create(t, config_section(c, "network"), "");
	for (int i = 0; i < c->n_section; i++)
		if (strncmp(c->section[i]->name, "network ", 8) == 0)
			t->net[t->n_net++] = network_create(t, c->section[i], c->section[i]->name + 8);
	bind(t);
	augment_check(t);
	for (int i = 0; i < t->n_regularizer; i++) {
		const struct rein_regularizer_vt *vt = &t->regularizer[i]->component->vt.regularizer;
		t->has_view = t->has_view || vt->view;
		t->refresh = t->refresh || (vt->view && (vt->flags & REIN_REFRESH_STATS));
	}
	return diag_errors(t->diag) == errors;
}

/* --- schedules --------------------------------------------------------------------------------- */
static const struct rein_key *key_find(const struct instance *in, const char *key)
{
	for (int i = 0; i < in->component->n_key; i++)
		if (strcmp(in->component->key[i].key, key) == 0)
			return &in->component->key[i];
	return NULL;
}

/* A pattern of `for=` must reach at least one key, and only knobs. */
static void check_target(struct trainer *t, const struct instance *schedule)
{
	const char *target = schedule->common.target;
	bool reached = false;
	char path[256];

	for (int i = 0; i < t->n_inst; i++)
		for (int k = 0; k < t->inst[i]->component->n_key; k++) {
			const struct rein_key *key = &t->inst[i]->component->key[k];
			snprintf(path, sizeof path, "%s.%s.%s", t->inst[i]->spec->section, t->inst[i]->spec->name, key->key);
			if (!pattern_match(target, path))
				continue;
			reached = true;
			if (!(key->flags & REIN_KEY_KNOB) && !strchr(target, '*'))
				at_key(t->diag, schedule, "for", "for=%s: key '%s' of %s '%s' does not change over time", target,
				       key->key, kind_name(t->inst[i]->component->c.kind), t->inst[i]->component->c.name);
		}
	if (!reached)
		at_key(t->diag, schedule, "for", "for=%s names no key; write section.name.key, as in for=optimizer.%s.lr",
		       target, t->n_optimizer ? t->optimizer[0]->spec->name : "sgd");
}

bool setup_schedules(struct trainer *t)
{
	int errors = diag_errors(t->diag);

	for (int i = 0; i < t->n_schedule; i++) {
		const struct instance *s = t->schedule[i];
		if (s->common.target && *s->common.target) {
			check_target(t, s);
			continue;
		}
		for (int k = 0; k < t->n_optimizer; k++) {
			const struct rein_key *lr = key_find(t->optimizer[k], "lr");
			if (!lr || !(lr->flags & REIN_KEY_KNOB))
				at_instance(t->diag, s, "optimizer '%s' has no learning rate that changes; name a key with for=",
				            t->optimizer[k]->spec->name);
		}
	}
	return diag_errors(t->diag) == errors;
}
