/* SPDX-License-Identifier: MIT
 *
 * stages.c: [stages]: what a run does, one after another. The types are the core's own:
 *
 *   fit    = train epochs=10        epochs: default [run] epochs
 *   thin   = train epochs=10 prune=small schedule=cubic    with: an entry of [pruners]
 *   check  = evaluate split=test    split: default val, else train
 *   cut    = prune with=small       with: an entry of [pruners]
 *   back   = rewind epoch=0         weights of then, masks of now
 *   more   = repeat from=cut times=3
 *   less   = remove on=conv* round_to=8 fold=no    channels without effect
 *   keep   = copy to=teacher reset=yes
 *   smooth = certify sigma=0.25 samples=1000 limit=100
 *   robust = attack with=fgsm,pgd split=val limit=1000 images=8 save=yes
 *
 * Without the section: train, evaluate. A new type is a row of `types` with its functions, and
 * rows of `keys` for keys that no other has. `repeat` is no stage of its own: the stages from
 * `from` to the line above are there that many times more, as cut.2, cut.3 ...
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "train.h"

#define STAGES_MAX 10000

static bool train_prepare(struct trainer *t, struct stage *s) { return !s->with || prune_prepare(t, s); }

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

#define NEEDS_WITH 1u /* with=NAME has to be there */
#define TRAINS     2u
#define CHANGES    4u /* the network: evaluated behind it */

static const struct type {
	const char *name;
	const char *keys[10];
	uint32_t with; /* kind of the instance that with= or prune= names */
	uint32_t flags;
	bool (*prepare)(struct trainer *, struct stage *);
	bool (*run)(struct trainer *, struct stage *, struct metrics *);
} types[] = {
	{ "train",
	  { "epochs", "prune", "schedule", "initial", "begin", "end", "frequency", "unit", "batches", NULL },
	  REIN_PRUNER,
	  TRAINS,
	  train_prepare,
	  train_run },
	{ "evaluate", { "split", NULL }, 0, 0, evaluate_prepare, evaluate_run },
	{ "prune", { "with", "batches", NULL }, REIN_PRUNER, NEEDS_WITH | CHANGES, prune_prepare, prune_run },
	{ "remove", { "on", "round_to", "fold", NULL }, 0, CHANGES, remove_prepare, remove_run },
	{ "rewind", { "epoch", NULL }, 0, 0, rewind_prepare, rewind_run },
	{ "repeat", { "from", "times", NULL }, 0, 0, NULL, NULL },
	{ "attack",
	  { "with", "split", "limit", "images", "save", "detect", "add", NULL },
	  REIN_ATTACK,
	  NEEDS_WITH,
	  attack_prepare,
	  attack_run },
	{ "certify", { "sigma", "votes", "samples", "alpha", "split", "limit", NULL }, 0, 0, certify_prepare, certify_run },
	{ "copy", { "to", "reset", NULL }, 0, 0, copy_prepare, copy_run },
};
#define N_TYPE ((int)(sizeof types / sizeof *types))

bool stage_trains(const struct stage *s) { return types[s->type].flags & TRAINS; }

/* --- reading ---------------------------------------------------------------------------- */
static int type_find(struct trainer *t, const struct spec *spec)
{
	const char *known[N_TYPE + 1] = { NULL };
	char all[256];

	for (int i = 0; i < N_TYPE; i++) {
		if (strcmp(types[i].name, spec->component) == 0)
			return i;
		known[i] = types[i].name;
	}
	const char *near = diag_nearest(spec->component, known);
	diag_list(all, sizeof all, known);
	diag_error(t->diag, &spec->component_at, "[stages] %s: unknown stage '%s'%s%s%s; there are: %s", spec->name,
	           spec->component, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "", all);
	return -1;
}

/* What a stage says of itself while it is read. */
struct reading {
	struct trainer *t;
	struct stage *s;
	const struct type *type;
	struct arg *arg, *grows; /* grows: the first key that only prune= gives a meaning */
	int from;                /* repeat */
	bool broken_above;       /* stages above it could not be read: what it says of them may still be right */
	int64_t times, epoch;    /* repeat, rewind */
};

static void stage_with(struct reading *r)
{
	struct trainer *t = r->t;
	uint32_t kind = r->type->with;
	int n = t->n_pruner;
	struct instance **list = t->pruner;
	char all[256];
	const char **known;

	if (kind == REIN_ATTACK) {
		attack_key(t, r->s, r->arg);
		return;
	}
	known = zalloc((size_t)n + 1, sizeof *known);
	for (int i = 0; i < n; i++) {
		known[i] = list[i]->spec->name;
		if (strcmp(list[i]->spec->name, r->arg->value) == 0)
			r->s->with = list[i];
	}
	diag_list(all, sizeof all, known);
	if (!r->s->with)
		diag_error(t->diag, &r->arg->value_at, "[stages] %s: there is no '%s' in [%s]%s%s", r->s->name, r->arg->value,
		           kind_section(kind), n ? "; there are: " : "", all);
	free(known);
}

static void stage_split(struct reading *r)
{
	char text[512];

	r->s->split = r->arg->value;
	if (!data_split(r->t->data, r->arg->value))
		diag_error(r->t->diag, &r->arg->value_at, "[stages] %s: %s", r->s->name,
		           data_no_split(r->t->data, r->arg->value, text, sizeof text));
}

static void stage_from(struct reading *r)
{
	const char *known[64] = { NULL };
	char all[256];

	for (int i = 0; i < r->t->n_stage; i++) {
		if (strcmp(r->t->stage[i].name, r->arg->value) == 0)
			r->from = i;
		if (i < 63)
			known[i] = r->t->stage[i].name;
	}
	diag_list(all, sizeof all, known);
	if (r->from < 0 && !r->broken_above)
		diag_error(r->t->diag, &r->arg->value_at, "[stages] %s: from=%s names no stage above it; there are: %s",
		           r->s->name, r->arg->value, all);
}

static void stage_choice(struct reading *r, const char *const *choices, int64_t *out)
{
	char all[256];

	for (int i = 0; choices[i]; i++)
		if (strcmp(choices[i], r->arg->value) == 0) {
			*out = i;
			return;
		}
	const char *near = diag_nearest(r->arg->value, choices);
	diag_list(all, sizeof all, choices);
	diag_error(r->t->diag, &r->arg->value_at, "[stages] %s: %s=%s%s%s%s; it takes: %s", r->s->name, r->arg->key,
	           r->arg->value, near ? ": did you mean '" : "", near ? near : "", near ? "'?" : "", all);
}

static const char *const schedules[] = { "one_shot", "linear", "cubic", "inverse_cubic", "repeated", NULL };

static void stage_schedule(struct reading *r) { stage_choice(r, schedules, &r->s->when.kind); }

static void stage_unit(struct reading *r)
{
	static const char *const units[] = { "epochs", "updates", NULL };
	stage_choice(r, units, &r->s->when.updates);
}

static void stage_initial(struct reading *r)
{
	double *out = &r->s->when.initial;
	if (!parse_real(r->arg->value, out) || !(*out >= 0 && *out < 1))
		diag_error(r->t->diag, &r->arg->value_at, "[stages] %s: initial=%s is no share from 0 to below 1", r->s->name,
		           r->arg->value);
}

static void stage_int(struct reading *r, int64_t *out, int64_t min)
{
	if (!parse_int(r->arg->value, out) || *out < min || *out > INT32_MAX)
		diag_error(r->t->diag, &r->arg->value_at, "[stages] %s: %s=%s is not a whole number of at least %d", r->s->name,
		           r->arg->key, r->arg->value, (int)min);
}

static void stage_on(struct reading *r) { r->s->on = r->arg->value; }

static void stage_fold(struct reading *r)
{
	if (!parse_bool(r->arg->value, &r->s->fold))
		diag_error(r->t->diag, &r->arg->value_at, "[stages] %s: fold=%s is neither yes nor no", r->s->name,
		           r->arg->value);
}

static void stage_round_to(struct reading *r) { stage_int(r, &r->s->round_to, 1); }
static void stage_epochs(struct reading *r) { stage_int(r, &r->s->epochs, 0); }
static void stage_limit(struct reading *r) { stage_int(r, &r->s->limit, 1); }
static void stage_begin(struct reading *r) { stage_int(r, &r->s->when.begin, 0); }
static void stage_end(struct reading *r) { stage_int(r, &r->s->when.end, 0); }
static void stage_frequency(struct reading *r) { stage_int(r, &r->s->when.frequency, 1); }
static void stage_batches(struct reading *r) { stage_int(r, &r->s->batches, 1); }
static void stage_epoch(struct reading *r) { stage_int(r, &r->epoch, 0); }
static void stage_times(struct reading *r) { stage_int(r, &r->times, 1); }

static void stage_attack(struct reading *r) { attack_key(r->t, r->s, r->arg); }
static void stage_certify(struct reading *r) { certify_key(r->t, r->s, r->arg); }
static void stage_copy(struct reading *r) { copy_key(r->t, r->s, r->arg); }

static const struct {
	const char *key;
	void (*read)(struct reading *);
	bool grows;
} keys[] = {
	{ "with", stage_with, false },
	{ "prune", stage_with, false },
	{ "split", stage_split, false },
	{ "epochs", stage_epochs, false },
	{ "limit", stage_limit, false },
	{ "schedule", stage_schedule, true },
	{ "initial", stage_initial, true },
	{ "begin", stage_begin, true },
	{ "end", stage_end, true },
	{ "frequency", stage_frequency, true },
	{ "unit", stage_unit, true },
	{ "batches", stage_batches, true },
	{ "on", stage_on, false },
	{ "fold", stage_fold, false },
	{ "round_to", stage_round_to, false },
	{ "epoch", stage_epoch, false },
	{ "from", stage_from, false },
	{ "times", stage_times, false },
	{ "images", stage_attack, false },
	{ "save", stage_attack, false },
	{ "detect", stage_attack, false },
	{ "add", stage_attack, false },
	{ "sigma", stage_certify, false },
	{ "votes", stage_certify, false },
	{ "samples", stage_certify, false },
	{ "alpha", stage_certify, false },
	{ "to", stage_copy, false },
	{ "reset", stage_copy, false },
};

static void stage_key(struct reading *r)
{
	const struct type *type = r->type;
	int known = 0;
	char all[256];

	r->arg->used = true;
	while (type->keys[known] && strcmp(type->keys[known], r->arg->key) != 0)
		known++;
	if (!type->keys[known]) {
		const char *near = diag_nearest(r->arg->key, type->keys);
		diag_list(all, sizeof all, type->keys);
		diag_error(r->t->diag, &r->arg->at, "[stages] %s: unknown key '%s' of stage '%s'%s%s%s known: %s", r->s->name,
		           r->arg->key, type->name, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : ";", all);
		return;
	}
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		if (strcmp(keys[i].key, r->arg->key) == 0) {
			if (keys[i].grows && !r->grows)
				r->grows = r->arg;
			keys[i].read(r);
		}
}

/* --- what stages say of each other -------------------------------------------------------- */
/* Epochs of training that the stages so far come to. */
static int64_t epochs_before(const struct trainer *t)
{
	int64_t n = 0;

	for (int i = 0; i < t->n_stage; i++)
		n += stage_trains(&t->stage[i]) ? t->stage[i].epochs : 0;
	return n;
}

/* The copy that a rewind stage goes back to, one for all that go to the same epoch. */
static void stage_rewinds(struct reading *r)
{
	struct trainer *t = r->t;
	int i = 0;

	if (r->broken_above)
		return;
	if (r->epoch >= epochs_before(t)) {
		diag_error(t->diag, &r->s->spec->at,
		           "[stages] %s: epoch=%" PRId64 ": the stages above it train for %" PRId64
		           " epochs, and it goes back to one before their end",
		           r->s->name, r->epoch, epochs_before(t));
		return;
	}
	while (i < t->n_rewound && t->rewound[i].epoch != r->epoch)
		i++;
	if (i == t->n_rewound)
		t->rewound[t->n_rewound++] = (struct rewound){ .epoch = r->epoch };
	r->s->back = &t->rewound[i];
}

static struct stage *stage_add(struct trainer *t, const struct stage *s)
{
	if (t->n_stage == t->cap_stage) {
		t->cap_stage = t->cap_stage ? 2 * t->cap_stage : 16;
		t->stage = must(realloc(t->stage, (size_t)t->cap_stage * sizeof *t->stage));
	}
	t->stage[t->n_stage] = *s;
	return &t->stage[t->n_stage++];
}

static void stage_repeats(struct reading *r)
{
	struct trainer *t = r->t;
	int from = r->from, to = t->n_stage;

	if (r->broken_above)
		return;
	if (from < 0 || r->times < 1) {
		diag_error(t->diag, &r->s->spec->at, "[stages] %s: %s is missing", r->s->name,
		           from < 0 ? "from=STAGE" : "times=N");
		return;
	}
	if (r->times > STAGES_MAX / (to - from)) {
		diag_error(t->diag, &r->s->spec->at, "[stages] %s: more than %d stages", r->s->name, STAGES_MAX);
		return;
	}
	for (int64_t k = 2; k <= r->times + 1; k++)
		for (int i = from; i < to; i++) {
			struct stage copy = t->stage[i];
			copy.name = trainer_text(t, "%s.%" PRId64, copy.name, k);
			copy.robust = attack_again(copy.robust);
			copy.certify = certify_again(copy.certify);
			copy.copying = copy_again(copy.copying);
			stage_add(t, &copy);
		}
}

/* begin, end and frequency in updates; defaults: from the start to one epoch before the end, which
 * is left to train what remains, once an epoch. A pruner that gives masks has no amount to grow. */
static void stage_timetable(struct reading *r)
{
	struct timetable *w = &r->s->when;
	const struct rein_pruner_vt *vt = &r->s->with->component->vt.pruner;
	int64_t unit = w->updates ? 1 : r->t->steps, all = r->s->epochs * r->t->steps;
	const char *wrong = NULL;

	if (w->kind < 0)
		w->kind = vt->keep ? PRUNE_REPEATED : PRUNE_CUBIC;
	bool grows = w->kind != PRUNE_ONE_SHOT && w->kind != PRUNE_REPEATED;
	if (grows && vt->keep)
		wrong = "this pruner has no amount that could grow; schedule= is one_shot or repeated";
	else if (!grows && w->initial > 0)
		wrong = "initial= is for schedules that grow: linear, cubic, inverse_cubic";
	else if (w->kind == PRUNE_ONE_SHOT && (w->end >= 0 || w->frequency))
		wrong = "one_shot prunes once, at begin=: end= and frequency= have no meaning";
	w->first = w->begin * unit;
	w->last = w->end >= 0 ? w->end * unit : all - r->t->steps;
	w->every = w->frequency ? w->frequency * unit : r->t->steps;
	if (w->kind == PRUNE_ONE_SHOT || (w->end < 0 && w->last < w->first))
		w->last = w->first;
	if (wrong)
		diag_error(r->t->diag, &r->s->spec->at, "[stages] %s: %s", r->s->name, wrong);
	else if (w->last > all || w->last < w->first)
		diag_error(r->t->diag, &r->s->spec->at,
		           "[stages] %s: to prune from update %" PRId64 " to %" PRId64 " of %" PRId64 " (%" PRId64
		           " epochs of %" PRId64 " updates) cannot be",
		           r->s->name, w->first, w->last, all, r->s->epochs, r->t->steps);
}

static void stage_read(struct trainer *t, const struct spec *spec, bool broken_above)
{
	int type = type_find(t, spec), errors = diag_errors(t->diag);

	if (type < 0)
		return;
	struct stage s = { .spec = spec,
		               .name = spec->name,
		               .type = type,
		               .epochs = t->env.settings->epochs,
		               .batches = 10,
		               .on = "*",
		               .round_to = 1,
		               .fold = true,
		               .when = { .kind = -1, .end = -1 },
		               .split = data_split(t->data, "val") ? "val" : t->train->name };
	struct reading r = { .t = t, .s = &s, .type = &types[type], .from = -1, .broken_above = broken_above };
	for (int i = 0; i < spec->n_arg; i++) {
		r.arg = &spec->arg[i];
		stage_key(&r);
	}
	for (int i = 0; i < t->n_stage; i++)
		if (strcmp(t->stage[i].name, s.name) == 0)
			diag_error(t->diag, &spec->at, "[stages] %s: a repeat stage has made one of that name", s.name);
	if (diag_errors(t->diag) > errors) {
		attack_finish(&s);
		certify_finish(&s);
		copy_finish(&s);
		return;
	}
	if ((r.type->flags & NEEDS_WITH) && !s.with)
		diag_error(t->diag, &spec->at, "[stages] %s: with=NAME is missing; it names an entry of [%s]", s.name,
		           kind_section(r.type->with));
	else if (stage_trains(&s) && r.grows && !s.with)
		diag_error(t->diag, &r.grows->at,
		           "[stages] %s: %s= is about pruning: prune=NAME, an entry of [pruners], is missing", s.name,
		           r.grows->key);
	else if (strcmp(r.type->name, "repeat") == 0)
		stage_repeats(&r);
	else {
		if (stage_trains(&s) && s.with)
			stage_timetable(&r);
		if (r.type->run == rewind_run)
			stage_rewinds(&r);
		stage_add(t, &s);
	}
}

bool stages_read(struct trainer *t)
{
	const struct section *section = config_section(t->env.config, "stages");
	int errors = diag_errors(t->diag), n = section ? section->n_spec : 0;

	t->rewound = zalloc((size_t)n + 1, sizeof *t->rewound);
	for (int i = 0; i < n; i++)
		stage_read(t, section->spec[i], diag_errors(t->diag) > errors);
	if (n == 0) {
		const char *split = data_split(t->data, "val") ? "val" : t->train->name;
		stage_add(t, &(struct stage){ .name = "train", .type = 0, .epochs = t->env.settings->epochs });
		stage_add(t, &(struct stage){ .name = "evaluate", .type = 1, .split = split });
	}
	return diag_errors(t->diag) == errors;
}

/* Masks act in training only where a later stage trains: other runs need not pay for them. */
bool stages_masks(struct trainer *t)
{
	bool pruned = false;

	for (int i = 0; i < t->n_stage; i++) {
		if (types[t->stage[i].type].with == REIN_PRUNER && t->stage[i].with) {
			if (!prune_masks(t, &t->stage[i]))
				return false;
			pruned = t->prunes = true;
		}
		t->prunes = t->prunes || types[t->stage[i].type].run == remove_run;
		if (stage_trains(&t->stage[i]) && pruned)
			t->masks = true;
	}
	return true;
}

bool stages_prepare(struct trainer *t)
{
	int errors = diag_errors(t->diag);

	for (int i = t->at_stage < 0 ? 0 : t->at_stage; i < t->n_stage; i++) /* those behind have had their time */
		if (types[t->stage[i].type].prepare)
			types[t->stage[i].type].prepare(t, &t->stage[i]);
	return diag_errors(t->diag) == errors;
}

void stages_finish(struct trainer *t)
{
	for (int i = 0; i < t->n_stage; i++) {
		free(t->stage[i].pruned);
		free(t->stage[i].follow);
		free(t->stage[i].units);
		free(t->stage[i].slope);
		attack_finish(&t->stage[i]);
		certify_finish(&t->stage[i]);
		copy_finish(&t->stage[i]);
	}
	free(t->stage);
}

void stages_visit(struct trainer *t, program_visit *visit, void *ctx)
{
	for (int i = 0; i < t->n_stage; i++) {
		const struct compiled *list[] = { t->stage[i].gradient, t->stage[i].rest, t->stage[i].program };
		for (size_t k = 0; k < sizeof list / sizeof *list; k++)
			if (list[k])
				visit(list[k], ctx);
		attack_visit(&t->stage[i], visit, ctx);
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
	return t->at_stage >= 0 && stage_trains(&t->stage[t->at_stage]) ? t->stage[t->at_stage].epochs : 0;
}

/* Sizes and times behind the last row of each stage, where they change within the run. */
static bool stage_measured(struct trainer *t, const struct stage *s, struct metrics *out)
{
	return !t->prunes || !t->stage_done || measure_stage(t, types[s->type].flags & CHANGES, out);
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
	if (types[s->type].run(t, s, out) && stage_measured(t, s, out)) {
		if (out->n && any_streams(t)) {
			metrics_set(out, "data_wait_s", t->data_wait);
			t->data_wait = 0;
		}
		return REIN_OK;
	}
	if (diag_errors(d) == errors) {
		const char *why = instance_failure(t->env.backend);
		diag_error(d, NULL, "stage '%s' failed on backend '%s'%s%s", s->name, t->env.backend->component->c.name,
		           *why ? ": " : "", why);
	}
	return REIN_ERROR;
}
