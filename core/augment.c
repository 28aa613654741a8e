/* SPDX-License-Identifier: MIT
 *
 * augment.c: augmentations and transforms in a recording: the key p= of each, those that a
 * container applies, and which of them a batch of a split meets.
 */
#include <stdlib.h>
#include <string.h>

#include "rein/image.h"
#include "samples.h"
#include "train.h"

static bool same_shape(struct rein_rec *r, rein_val a, rein_val b)
{
	bool same = rein_rank(r, a) == rein_rank(r, b);
	for (int32_t i = 0; same && i < rein_rank(r, a); i++)
		same = rein_dim(r, a, i) == rein_dim(r, b, i);
	return same;
}

void augment_record(struct recorder *rec, const struct instance *in, const struct rein_step *t, struct rein_batch *b)
{
	const struct rein_augmentation_vt *vt = &in->component->vt.augmentation;
	struct rein_rec *r = recorder_rec(rec);
	struct rein_batch before = *b;
	double p = augment_share(in);

	if (p <= 0)
		return;
	recorder_enter(rec, in, NULL);
	if (vt->record)
		vt->record(in->self, r, t, b);
	else
		rein_refuse(r, "works on single samples on the host; only recorded augmentations can be contained in others");
	if (p < 1 && !recorder_failed(rec) && !same_shape(r, before.x, b->x)) {
		rein_refuse(r, "with p= below 1 the shape of the samples must stay; this changes it");
	} else if (p < 1) {
		rein_val u = rein_draw(r, "p", before.x, 0, 1);
		rein_batch_where(r, t, rein_le(r, rein_scalar(r, p), u), &before, b);
		b->x = before.x;
		b->y = before.y;
	}
	if (vt->views > 1)
		b->views *= vt->views;
	recorder_leave(rec);
}

void pass_augment(void *ctx, struct recorder *rec, const struct rein_ref *ref, const struct rein_step *t,
                  struct rein_batch *b)
{
	struct pass *p = ctx;

	if (!ref || !ref->augmentation) {
		rein_refuse(p->r, "no augmentation is named");
		return;
	}
	augment_record(rec, ref->augmentation, t, b);
}

/* A container applies it: it does not act on its own. */
static bool contained(const struct trainer *t, const struct instance *in)
{
	for (int i = 0; i < t->n_ref; i++)
		if (t->ref[i]->augmentation == in)
			return true;
	return false;
}

/* Augmentations act on the training split while it trains; on= says other splits. */
static bool acts(const struct pass *p, const struct instance *in, const struct split *s, bool augmentation)
{
	const char *on = in->common.on;
	bool training = s == p->t->train;

	if (contained(p->t, in) || !in->component->vt.augmentation.record || in->component->vt.augmentation.affine)
		return false;
	if (augmentation && training && p->kind != PASS_TRAIN)
		return false;
	return *on ? pattern_match(on, s->name) : !augmentation || training;
}

void pass_augmentations(struct pass *p, const struct split *s)
{
	const struct trainer *t = p->t;

	for (int i = 0; i < t->n_transform; i++)
		if (acts(p, t->transform[i], s, false))
			augment_record(p->rec, t->transform[i], &p->step, &p->batch);
	for (int i = 0; i < t->n_augmentation; i++)
		if (acts(p, t->augmentation[i], s, true))
			augment_record(p->rec, t->augmentation[i], &p->step, &p->batch);
}

/* --- checks ------------------------------------------------------------------------------------ */
static void check_on(struct trainer *t, const struct instance *in)
{
	const struct section *data = config_section(t->env.config, "data");
	const char *names[64];
	char all[512];
	int n = 0;

	for (int i = 0; data && i < data->n_spec && n < 63; i++) {
		if (pattern_match(in->common.on, data->spec[i]->name))
			return;
		names[n++] = data->spec[i]->name;
	}
	names[n] = NULL;
	diag_list(all, sizeof all, names);
	at_key(t->diag, in, "on", "on=%s matches no split; there are: %s", in->common.on, all);
}

/* Does it contain itself, through keys that name augmentations? */
static bool in_circle(const struct instance *in, const struct instance *inside, int depth)
{
	for (int i = 0; i < in->component->n_key; i++) {
		const struct rein_key *key = &in->component->key[i];
		const char *field = (const char *)in->self + key->offset;
		const struct rein_refs one = { 1, (const struct rein_ref *const *)(const void *)field };
		const struct rein_refs *refs = key->type == REIN_KEY_REFS ? (const void *)field : &one;
		for (int64_t k = 0; (key->type == REIN_KEY_REFS || key->type == REIN_KEY_REF) && k < refs->n; k++) {
			const struct instance *named = refs->v[k] ? refs->v[k]->augmentation : NULL;
			if (named && (named == inside || (depth < 16 && in_circle(named, inside, depth + 1))))
				return true;
		}
	}
	return false;
}

static void check_one(struct trainer *t, const struct instance *in)
{
	const struct rein_augmentation_vt *vt = &in->component->vt.augmentation;

	if (in_circle(in, in, 0))
		at_instance(t->diag, in, "augmentations contain each other in a circle");

	if (*in->common.on)
		check_on(t, in);
	if (in->common.p.n > 1)
		at_key(t->diag, in, "p", "p takes one number, the share of samples that it changes");
	if (vt->affine && (*in->common.on || in->common.p.n))
		at_instance(t->diag, in, "'%s' is part of the model, for every sample of every split: p= and on= mean nothing",
		            in->component->c.name);
	if (!vt->record && in->common.p.n && strcmp(in->spec->section, "transforms") == 0)
		at_key(t->diag, in, "p", "'%s' works on single samples on the host and has no p= in [transforms]",
		       in->component->c.name);
}

void augment_check(struct trainer *t)
{
	const struct instance *recorded = NULL;

	for (int i = 0; i < t->n_transform; i++) {
		const struct rein_augmentation_vt *vt = &t->transform[i]->component->vt.augmentation;
		check_one(t, t->transform[i]);
		if (vt->sample && recorded)
			at_instance(t->diag, t->transform[i],
			            "%s works on single samples on the host and must stand before '%s', which works on batches",
			            t->transform[i]->component->c.name, recorded->spec->name);
		if (vt->record && !vt->sample)
			recorded = t->transform[i];
	}
	for (int i = 0; i < t->n_augmentation; i++) {
		const struct rein_augmentation_vt *vt = &t->augmentation[i]->component->vt.augmentation;
		check_one(t, t->augmentation[i]);
		if (!vt->record && recorded)
			at_instance(t->diag, t->augmentation[i],
			            "%s works on single samples on the host and must stand before '%s', which works on batches",
			            t->augmentation[i]->component->c.name, recorded->spec->name);
		if (!vt->record && *t->augmentation[i]->common.on && strcmp(t->augmentation[i]->common.on, "train") != 0)
			at_key(t->diag, t->augmentation[i], "on",
			       "'%s' works on single samples on the host, of the training split only",
			       t->augmentation[i]->component->c.name);
		if (vt->record)
			recorded = t->augmentation[i];
	}
}
