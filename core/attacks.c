/* SPDX-License-Identifier: MIT
 *
 * attacks.c: attack stages: a split, or the first `limit` samples of it, under one or several
 * attacks, each at every size that its key `epsilon` lists:
 *
 *   robust = attack with=fgsm,pgd split=test limit=1000 images=8 save=yes detect=squeeze
 *
 * First the clean samples are looked at; then each attack gets those that the model has right,
 * packed into batches of [run] eval_batch (all of them where the set is saved); then everything
 * it found is looked at again in batches of another size, as it is and rounded to 8 bits. The
 * size is a state, so that one program serves all. Parameters are those that evaluation sees.
 *
 * Programs leave one row of numbers per sample in a state; robustness.c makes the statement of
 * them. A new number per sample: a column in the enum and a line where the columns are made.
 */
#include "attacks.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rein/math.h"

/* Columns of `numbers` after the clean pass and after an attack; detectors' scores follow. */
enum { CLEAN_RIGHT, CLEAN_LOSS, CLEAN_ZERO, CLEAN_RANDOM, CLEAN_COLUMNS };
enum { BAD_RIGHT, BAD_LOSS, BAD_L2, BAD_LINF, BAD_QUERIES, BAD_GRADIENTS, BAD_OUTSIDE, BAD_COLUMNS };
#define MAX_COLUMN (BAD_COLUMNS + MAX_LIST)
#define MAX_LIST   16

/* --- keys ------------------------------------------------------------------------------- */
static struct instance *find_named(int n, struct instance *const *list, const char *name, size_t len)
{
	for (int i = 0; i < n; i++)
		if (strlen(list[i]->spec->name) == len && memcmp(list[i]->spec->name, name, len) == 0)
			return list[i];
	return NULL;
}

/* Names after `key=`, from a section; all that is wrong is said. */
static int read_names(struct trainer *t, struct stage *s, const struct arg *a, int n, struct instance *const *list,
                      uint32_t kind, struct instance **out)
{
	const char *known[65] = { NULL }, *at = a->value;
	char all[400], word[64];
	int found = 0, twice = 0;

	for (int i = 0; i < n && i < 64; i++)
		known[i] = list[i]->spec->name;
	diag_list(all, sizeof all, known);
	while (*at) {
		size_t len = strcspn(at, ",");
		struct instance *in = find_named(n, list, at, len);
		snprintf(word, sizeof word, "%.*s", (int)len, at);
		for (int i = 0; i < found && in; i++)
			twice += out[i] == in;
		const char *near = in ? NULL : diag_nearest(word, known);
		if (!in)
			diag_error(t->diag, &a->value_at, "[stages] %s: there is no '%s' in [%s]%s%s%s%s%s", s->spec->name, word,
			           kind_section(kind), near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "",
			           near ? " there are: "
			           : n  ? "; there are: "
			                : ", which is empty",
			           n ? all : "");
		else if (twice)
			diag_error(t->diag, &a->value_at, "[stages] %s: '%s' is there twice", s->spec->name, word);
		else if (found == MAX_LIST)
			diag_error(t->diag, &a->value_at, "[stages] %s: more than %d names", s->spec->name, MAX_LIST);
		else
			out[found++] = in;
		at += len;
		at += *at == ',';
	}
	return found;
}

static void read_with(struct trainer *t, struct stage *s, const struct arg *a)
{
	struct instance *list[MAX_LIST];
	struct robust *q = s->robust;

	q->n_attack = read_names(t, s, a, t->n_attack, t->attack, REIN_ATTACK, list);
	q->attack = zalloc((size_t)q->n_attack, sizeof *q->attack);
	for (int i = 0; i < q->n_attack; i++)
		q->attack[i].who = list[i];
	s->with = q->n_attack ? list[0] : NULL;
}

void attack_key(struct trainer *t, struct stage *s, const struct arg *a)
{
	if (!s->robust)
		s->robust = zalloc(1, sizeof *s->robust);
	if (strcmp(a->key, "with") == 0) {
		read_with(t, s, a);
	} else if (strcmp(a->key, "detect") == 0) {
		struct instance *list[MAX_LIST];
		int n = read_names(t, s, a, t->n_detector, t->detector, REIN_DETECTOR, list);
		s->robust->detector = zalloc((size_t)n, sizeof *s->robust->detector);
		s->robust->n_detector = n;
		for (int i = 0; i < n; i++)
			s->robust->detector[i] = list[i];
	} else if (strcmp(a->key, "save") == 0 || strcmp(a->key, "add") == 0) {
		bool *out = a->key[0] == 's' ? &s->robust->save : &s->robust->add;
		if (!parse_bool(a->value, out))
			diag_error(t->diag, &a->value_at, "[stages] %s: %s=%s is neither yes nor no", s->spec->name, a->key,
			           a->value);
	} else {
		if (!parse_int(a->value, &s->robust->images) || s->robust->images < 0)
			diag_error(t->diag, &a->value_at, "[stages] %s: images=%s is not a number of images", s->spec->name,
			           a->value);
	}
}

struct robust *attack_again(const struct robust *q)
{
	struct robust *copy = q ? zalloc(1, sizeof *copy) : NULL;

	if (!q)
		return NULL;
	copy->n_attack = q->n_attack;
	copy->attack = zalloc((size_t)q->n_attack, sizeof *copy->attack);
	for (int i = 0; i < q->n_attack; i++)
		copy->attack[i].who = q->attack[i].who;
	copy->n_detector = q->n_detector;
	copy->detector = zalloc((size_t)q->n_detector, sizeof *copy->detector);
	for (int i = 0; i < q->n_detector; i++)
		copy->detector[i] = q->detector[i];
	copy->images = q->images;
	copy->save = q->save;
	copy->add = q->add;
	return copy;
}

/* The sizes that the attack's key `epsilon` lists, with the words of the config. */
static void read_sizes(struct trainer *t, struct attacked *a)
{
	const char *key, *value = "", *origin, *text = "";

	for (int i = 0; instance_key(a->who, i, &key, &value, &origin); i++)
		if (strcmp(key, "epsilon") == 0)
			text = value;
	a->n_size = 1;
	for (const char *c = text; *c; c++)
		a->n_size += *c == ',';
	a->size = zalloc((size_t)a->n_size, sizeof *a->size);
	a->text = zalloc((size_t)a->n_size, sizeof *a->text);
	for (int i = 0; i < a->n_size; i++) {
		size_t len = strcspn(text, ",");
		a->text[i] = trainer_text(t, "%.*s", (int)len, text);
		if (!len || !parse_real(a->text[i], &a->size[i]))
			a->size[i] = (double)INFINITY;
		for (int k = 0; k < i && len; k++)
			if (a->size[k] == a->size[i])
				at_key(t->diag, a->who, "epsilon", "size %s is there twice", a->text[i]);
		text += len;
		text += *text == ',';
	}
}

/* --- programs ------------------------------------------------------------------------------ */
struct columns {
	struct pass *p;
	int64_t rows;
	uint32_t n;
	rein_val v[MAX_COLUMN];
};

/* One more column of numbers: bool, i32 or real, (N) or a scalar for all. */
static void column(struct columns *c, rein_val v)
{
	int64_t dim[2] = { c->rows, 1 };

	if (rein_dtype(c->p->r, v) != REIN_REAL_T)
		v = rein_cast(c->p->r, v, REIN_REAL_T);
	if (rein_rank(c->p->r, v) == 0)
		v = rein_add(c->p->r, rein_fill(c->p->r, REIN_REAL_T, 0, 2, dim), v);
	c->v[c->n++] = rein_reshape(c->p->r, v, 2, dim);
}

static void columns_end(struct columns *c, struct state *to, int64_t width)
{
	int64_t dim[2] = { c->rows, 1 };

	while (c->n < width)
		c->v[c->n++] = rein_fill(c->p->r, REIN_REAL_T, 0, 2, dim);
	recorder_assign(c->p->rec, to, rein_concat(c->p->r, c->n, c->v, 1), REIN_NONE);
}

static int64_t width_of(const struct robust *q) { return BAD_COLUMNS + q->n_detector; /* the clean ones are fewer */ }

/* What each detector says of x. */
static void score_columns(struct columns *c, const struct robust *q, rein_val x)
{
	struct pass *p = c->p;

	for (int i = 0; i < q->n_detector; i++) {
		const struct instance *d = q->detector[i];
		pass_enter(p, d, NULL);
		rein_val v = d->component->vt.detector.score(d->self, p->r, &p->net->model, x);
		pass_leave(p);
		column(c, v);
	}
}

/* A pass over the samples whose numbers `id` holds; *view: pass_unview() is due. */
static void begin(struct pass *p, struct trainer *t, const struct stage *s, const char *name, rein_val *id, bool *view)
{
	pass_begin(p, t, PASS_EVAL, false, name);
	p->quiet = true;
	pass_tensors(p, p->net);
	if (id)
		*id = recorder_read(p->rec, s->robust->id);
	*view = t->has_view && !t->plain;
	if (*view)
		pass_view(p);
}

/* Clean: right, loss, whether the input gradient is all zero, whether a second look differs. */
static struct program *clean_program(struct trainer *t, struct stage *s)
{
	struct robust *q = s->robust;
	struct columns c = { .rows = q->batch };
	struct pass p;
	rein_val id;
	bool view;

	begin(&p, t, s, "attack: clean samples", &id, &view);
	c.p = &p;
	pass_batch(&p, portion_find(t, s->split), id);
	rein_val x = p.batch.x, z = pass_forward_once(&p, REIN_EVAL), twice = pass_forward_once(&p, REIN_EVAL);
	rein_val g = rein_grad(p.r, rein_sum(p.r, rein_cross_entropy(p.r, z, p.batch.y)), x);
	column(&c, correct_of(&p, z, p.batch.y));
	column(&c, loss_rows(&p, z, target_for_loss(&p, p.batch.y, z)));
	column(&c, rein_eq(p.r, rein_amax(p.r, rein_abs(p.r, g), ~1u, 0), rein_scalar(p.r, 0)));
	column(&c, rein_not(p.r, rein_eq(p.r, rein_amax(p.r, rein_abs(p.r, rein_sub(p.r, z, twice)), ~1u, 0),
	                                 rein_scalar(p.r, 0))));
	score_columns(&c, q, x);
	if (view)
		pass_unview(&p);
	columns_end(&c, q->numbers, width_of(q));
	return pass_end(&p);
}

/* bool (N): does anything lie outside of the box? */
static rein_val outside(struct pass *p, rein_val x)
{
	const struct rein_model *m = &p->net->model;
	rein_val low = rein_lt(p->r, x, rein_scalar(p->r, m->lo)), high = rein_lt(p->r, rein_scalar(p->r, m->hi), x);
	rein_val odd = rein_not(p->r, rein_isfinite(p->r, x));

	return rein_amax(p->r, rein_or(p->r, odd, rein_or(p->r, low, high)), ~1u, 0);
}

static struct program *attack_program(struct trainer *t, struct stage *s, struct attacked *a)
{
	const struct rein_ref ref = { REIN_ATTACK, a->who->spec->name, a->who, NULL };
	struct robust *q = s->robust;
	struct columns c = { .rows = q->batch };
	struct pass p;
	char name[64];
	rein_val id;
	bool view;

	snprintf(name, sizeof name, "attack %.40s", a->who->spec->name);
	begin(&p, t, s, name, &id, &view);
	c.p = &p;
	p.attacker = a->who;
	p.epsilon = q->epsilon;
	pass_batch(&p, portion_find(t, s->split), id);
	rein_val x = p.batch.x, bad = rein_perturb(p.r, &ref, &p.net->model, x, p.batch.y);
	p.batch.x = bad;
	rein_val z = pass_forward_once(&p, REIN_EVAL), d = rein_sub(p.r, bad, x), none = rein_scalar(p.r, 0);
	column(&c, correct_of(&p, z, p.batch.y));
	column(&c, loss_rows(&p, z, target_for_loss(&p, p.batch.y, z)));
	column(&c, rein_norm_rows(p.r, d));
	column(&c, rein_amax(p.r, rein_abs(p.r, d), ~1u, 0));
	column(&c, REIN_IS_NONE(p.queries) ? none : p.queries);
	column(&c, REIN_IS_NONE(p.gradients) ? none : p.gradients);
	column(&c, outside(&p, bad));
	score_columns(&c, q, bad);
	if (view)
		pass_unview(&p);
	columns_end(&c, q->numbers, width_of(q));
	recorder_assign(p.rec, q->x, bad, REIN_NONE);
	if (q->x0)
		recorder_assign(p.rec, q->x0, x, REIN_NONE);
	return pass_end(&p);
}

/* The rows `at` .. of what the attack left, as they are and rounded to 8 bits. */
static struct program *check_program(struct trainer *t, struct stage *s)
{
	struct robust *q = s->robust;
	struct columns c = { .rows = q->second };
	struct pass p;
	rein_val all;
	bool view;

	begin(&p, t, s, "attack: check", &all, &view);
	c.p = &p;
	const struct rein_model *m = &p.net->model;
	rein_val last = rein_scalar_i(p.r, (int32_t)(q->batch - 1)), at = rein_iota(p.r, 0, 1, &q->second);
	at = rein_add(p.r, at, recorder_read(p.rec, q->at));
	at = rein_where(p.r, rein_lt(p.r, last, at), last, at);
	rein_val id = rein_take(p.r, all, at, 0), bad = rein_take(p.r, recorder_read(p.rec, q->x), at, 0);
	recorder_draw_keys(p.rec, id, p.draw_step, p.draw_epoch);
	p.batch.y = rein_take(p.r, recorder_read(p.rec, portion_find(t, s->split)->y), id, 0);
	p.batch.id = id;
	p.batch.x = bad;
	column(&c, correct_of(&p, pass_forward_once(&p, REIN_EVAL), p.batch.y));
	rein_val level = rein_scale(p.r, rein_offset(p.r, bad, -m->lo), 255 / (m->hi - m->lo));
	p.batch.x = rein_offset(p.r, rein_scale(p.r, rein_rint(p.r, level), (m->hi - m->lo) / 255), m->lo);
	column(&c, correct_of(&p, pass_forward_once(&p, REIN_EVAL), p.batch.y));
	if (view)
		pass_unview(&p);
	columns_end(&c, q->checks, 2);
	return pass_end(&p);
}

static void declare(struct trainer *t, struct stage *s)
{
	const struct split *split = portion_find(t, s->split)->split;
	struct robust *q = s->robust;
	int64_t image[REIN_MAX_RANK] = { q->batch }, numbers[2] = { q->batch, width_of(q) }, checks[2] = { q->second, 2 };
	uint32_t rank = split->info.rank + 1;

	for (uint32_t i = 0; i < split->info.rank; i++)
		image[i + 1] = split->info.dim[i];
#define STATE(what) trainer_text(t, "attack.%s." what, s->name)
	q->id = counter(t, STATE("id"), REIN_I32_T, 1, &q->batch, STATE_DATA);
	q->epsilon = counter(t, STATE("epsilon"), REIN_REAL_T, 0, NULL, STATE_DATA);
	q->at = counter(t, STATE("at"), REIN_I32_T, 0, NULL, STATE_DATA);
	q->x = counter(t, STATE("x"), REIN_REAL_T, rank, image, STATE_DATA);
	if (q->images)
		q->x0 = counter(t, STATE("x0"), REIN_REAL_T, rank, image, STATE_DATA);
	q->numbers = counter(t, STATE("numbers"), REIN_REAL_T, 2, numbers, STATE_DATA);
	q->checks = counter(t, STATE("checks"), REIN_REAL_T, 2, checks, STATE_DATA);
#undef STATE
}

/* What must hold before anything is recorded. */
static bool can_attack(struct trainer *t, const struct stage *s)
{
	const struct network *net = t->net[0];
	const struct layer *last = net->n ? &net->layer[net->n - 1] : NULL;
	const struct split *split = portion_find(t, s->split)->split;

	if (t->train->info.target != REIN_TARGET_CLASS) {
		at_instance(t->diag, s->with, "an attack stage needs data with classes");
		return false;
	}
	if (last && (last->rank != 2 || last->dim[1] != (int64_t)net->model.classes)) {
		at_instance(t->diag, s->with,
		            "an attack needs a network with one output per class; the last layer, '%s', gives %" PRId64
		            " numbers for %u classes",
		            last->inst->spec->name, last->rank == 2 ? last->dim[1] : 0, net->model.classes);
		return false;
	}
	if (s->robust->images && split->info.rank != 3) {
		at_instance(t->diag, s->with, "images=: the samples of '%s' are no images", s->split);
		return false;
	}
	if (s->robust->add && strcmp(s->split, t->train->name) != 0) {
		at_instance(t->diag, s->with, "add=yes: samples of '%s' cannot join the training split; say split=%s", s->split,
		            t->train->name);
		return false;
	}
	if (s->robust->save && net->model.classes > 256) {
		at_instance(t->diag, s->with, "save=yes writes labels as bytes: at most 256 classes, the model has %u",
		            net->model.classes);
		return false;
	}
	return true;
}

bool attack_prepare(struct trainer *t, struct stage *s)
{
	struct robust *q = s->robust;
	int64_t n = portion_find(t, s->split)->split->n, batch = t->env.settings->eval_batch;
	bool good = can_attack(t, s);

	if (!good)
		return false;
	if (!q->id) { /* once: a split that grows later is attacked as it was */
		q->n = s->limit > 0 && s->limit < n ? s->limit : n;
		q->batch = batch <= 0 || batch > q->n ? q->n : batch;
		q->second = q->batch > 1 ? (q->batch + 1) / 2 : 2;
		declare(t, s);
	}
	compiled_destroy(q->clean);
	compiled_destroy(q->check);
	q->clean = build(t, clean_program(t, s));
	q->check = build(t, check_program(t, s));
	for (int i = 0; i < q->n_attack; i++) {
		if (!q->attack[i].n_size)
			read_sizes(t, &q->attack[i]);
		compiled_destroy(q->attack[i].program);
		q->attack[i].program = build(t, attack_program(t, s, &q->attack[i]));
		good = good && q->attack[i].program;
	}
	return good && q->clean && q->check;
}

void attack_finish(struct stage *s)
{
	struct robust *q = s->robust;

	if (!q)
		return;
	robust_forget(q);
	files_forget(q);
	compiled_destroy(q->clean);
	compiled_destroy(q->check);
	for (int i = 0; i < q->n_attack; i++) {
		compiled_destroy(q->attack[i].program);
		free(q->attack[i].size);
		free(q->attack[i].text);
	}
	free(q->attack);
	free(q->detector);
	free(q);
}

void attack_visit(const struct stage *s, program_visit *visit, void *ctx)
{
	const struct robust *q = s->robust;

	if (!q)
		return;
	visit(q->clean, ctx);
	for (int i = 0; i < q->n_attack; i++)
		visit(q->attack[i].program, ctx);
	visit(q->check, ctx);
}

/* --- running ---------------------------------------------------------------------------------- */
/* A REAL state as floats, whatever the store computes in. */
static bool get_floats(struct trainer *t, const struct state *s, float *out)
{
	if (t->store->real_size == 4)
		return store_get(t->store, s, out) >= 0;
	double *wide = zalloc((size_t)s->count, sizeof *wide);
	bool good = store_get(t->store, s, wide) >= 0;
	for (int64_t i = 0; i < s->count; i++)
		out[i] = (float)wide[i];
	free(wide);
	return good;
}

static bool set_real(struct trainer *t, struct state *s, double value)
{
	float narrow = (float)value;
	return store_set(t->store, s, t->store->real_size == 4 ? (void *)&narrow : (void *)&value) >= 0;
}

/* One batch of a stage: `used` samples, the last of them repeated to the end. */
struct chunk {
	int64_t used;
	const int32_t *id;
	float *numbers, *checks, *x, *x0;
};

static bool load_chunk(struct trainer *t, const struct stage *s, struct chunk *c, const int32_t *list, int64_t n,
                       int64_t from)
{
	const struct robust *q = s->robust;
	const struct tour tour = { list, n, q->batch, -1, NULL };
	int32_t *id = zalloc((size_t)q->batch, sizeof *id);

	c->used = n - from < q->batch ? n - from : q->batch;
	c->id = list + from;
	for (int64_t i = 0; i < q->batch; i++)
		id[i] = list[from + (i < c->used ? i : c->used - 1)];
	bool good =
		stream_need(portion_find(t, s->split), &tour, from / q->batch) > 0 && store_set(t->store, q->id, id) >= 0;
	free(id);
	return good;
}

static float *floats(const struct robust *q) { return zalloc((size_t)q->n, sizeof(float)); }

static float **scores(const struct robust *q)
{
	float **v = zalloc((size_t)q->n_detector, sizeof *v);

	for (int i = 0; i < q->n_detector; i++)
		v[i] = floats(q);
	return v;
}

static bool look_at_clean(struct trainer *t, struct stage *s, struct chunk *c)
{
	struct robust *q = s->robust;
	int64_t w = width_of(q);
	int32_t *all = zalloc((size_t)q->n, sizeof *all);
	bool good = true;

	q->right = floats(q);
	q->loss = floats(q);
	q->zero = floats(q);
	q->random = floats(q);
	q->score = scores(q);
	for (int64_t i = 0; i < q->n; i++)
		all[i] = (int32_t)i;
	for (int64_t from = 0; good && from < q->n; from += q->batch) {
		good = load_chunk(t, s, c, all, q->n, from) && compiled_run(q->clean, 1) >= 0 &&
		       get_floats(t, q->numbers, c->numbers);
		for (int64_t i = 0; good && i < c->used; i++) {
			const float *v = c->numbers + i * w;
			q->right[from + i] = v[CLEAN_RIGHT];
			q->loss[from + i] = v[CLEAN_LOSS];
			q->zero[from + i] = v[CLEAN_ZERO];
			q->random[from + i] = v[CLEAN_RANDOM];
			for (int k = 0; k < q->n_detector; k++)
				q->score[k][from + i] = v[CLEAN_COLUMNS + k];
		}
	}
	free(all);
	return good;
}

/* In batches of another size, each row at another place of its batch. */
static bool check_chunk(struct trainer *t, const struct robust *q, struct outcome *o, struct chunk *c)
{
	for (int64_t from = 0; from < c->used; from += q->second) {
		if (!set_i32(t, q->at, (int32_t)from) || compiled_run(q->check, 1) < 0 || !get_floats(t, q->checks, c->checks))
			return false;
		for (int64_t i = 0; i < q->second && from + i < c->used; i++) {
			o->again[c->id[from + i]] = c->checks[2 * i];
			o->eight[c->id[from + i]] = c->checks[2 * i + 1];
		}
	}
	return true;
}

static bool take_chunk(struct trainer *t, struct stage *s, struct outcome *o, const struct chunk *c)
{
	struct robust *q = s->robust;
	int64_t w = width_of(q);
	char name[256];

	for (int64_t i = 0; i < c->used; i++) {
		const float *v = c->numbers + i * w;
		int32_t k = c->id[i];
		o->right[k] = v[BAD_RIGHT] * q->right[k];
		o->loss[k] = v[BAD_LOSS];
		o->l2[k] = v[BAD_L2];
		o->linf[k] = v[BAD_LINF];
		o->queries[k] = v[BAD_QUERIES];
		o->gradients[k] = v[BAD_GRADIENTS];
		for (int j = 0; j < q->n_detector; j++)
			o->score[j][k] = v[BAD_COLUMNS + j];
		if (v[BAD_OUTSIDE] != 0) {
			snprintf(name, sizeof name, "sample %d of '%s'", (int)k, s->split);
			at_instance(t->diag, o->attack->who, "its result for %s lies outside of %g..%g, or is no number", name,
			            t->net[0]->model.lo, t->net[0]->model.hi);
			return false;
		}
	}
	return true;
}

static struct outcome *new_outcome(struct robust *q, const struct attacked *a, int size)
{
	struct outcome *o = &q->outcome[q->n_outcome++];

	*o = (struct outcome){ .attack = a, .size = size };
	o->right = floats(q);
	o->loss = floats(q);
	o->l2 = floats(q);
	o->linf = floats(q);
	o->queries = floats(q);
	o->gradients = floats(q);
	o->again = floats(q);
	o->eight = floats(q);
	o->score = scores(q);
	memcpy(o->loss, q->loss, (size_t)q->n * sizeof *o->loss); /* of those that are wrong anyway */
	return o;
}

static bool run_attack(struct trainer *t, struct stage *s, const struct attacked *a, int size, struct chunk *c,
                       const int32_t *list, int64_t n)
{
	struct robust *q = s->robust;
	struct outcome *o = new_outcome(q, a, size);
	struct set *set = q->save || q->add ? set_new(t, s, o, n) : NULL;

	if (!set_real(t, q->epsilon, a->size[size]))
		return false;
	for (int64_t from = 0; from < n; from += q->batch) {
		if (!load_chunk(t, s, c, list, n, from) || compiled_run(a->program, 1) < 0 ||
		    !get_floats(t, q->numbers, c->numbers) || !take_chunk(t, s, o, c) || !check_chunk(t, q, o, c))
			return false;
		if ((set || q->images) && !get_floats(t, q->x, c->x))
			return false;
		if (q->images && !get_floats(t, q->x0, c->x0))
			return false;
		if (set)
			set_add(t, s, set, from, c->used, c->id, c->x);
		for (int64_t i = 0; q->images && i < c->used; i++)
			if (q->right[c->id[i]] != 0 && o->right[c->id[i]] == 0)
				picture_add(t, s, o, c->id[i], c->x0 + i * (q->x->count / q->batch),
				            c->x + i * (q->x->count / q->batch));
	}
	return true;
}

static bool run_all(struct trainer *t, struct stage *s, struct chunk *c)
{
	struct robust *q = s->robust;
	int32_t *list = zalloc((size_t)q->n, sizeof *list);
	int64_t n = 0;
	int outcomes = 0;
	bool good = look_at_clean(t, s, c);

	for (int64_t i = 0; good && i < q->n; i++)
		if (q->right[i] != 0 || q->save || q->add)
			list[n++] = (int32_t)i;
	for (int i = 0; i < q->n_attack; i++)
		outcomes += q->attack[i].n_size;
	q->outcome = zalloc((size_t)outcomes, sizeof *q->outcome);
	for (int i = 0; good && i < q->n_attack; i++)
		for (int k = 0; good && k < q->attack[i].n_size; k++)
			good = run_attack(t, s, &q->attack[i], k, c, list, n);
	free(list);
	return good;
}

/* What was made joins the training split: all sets at once. */
static bool add_sets(struct trainer *t, struct stage *s, struct metrics *out)
{
	struct robust *q = s->robust;
	int64_t n = 0, at = 0, per = t->train->elements;
	char name[96];

	for (int i = 0; i < q->n_set; i++)
		n += q->set[i].n;
	float *x = zalloc((size_t)(n * per), sizeof *x);
	int32_t *y = zalloc((size_t)n, sizeof *y);
	for (int i = 0; i < q->n_set; at += q->set[i++].n) {
		memcpy(x + at * per, q->set[i].x, (size_t)(q->set[i].n * per) * sizeof *x);
		memcpy(y + at, q->set[i].y, (size_t)q->set[i].n * sizeof *y);
	}
	bool good = grow_train(t, n, x, y);
	free(x);
	free(y);
	snprintf(name, sizeof name, "%.80s.added", s->name);
	metrics_set(out, name, (double)n);
	return good;
}

bool attack_run(struct trainer *t, struct stage *s, struct metrics *out)
{
	struct robust *q = s->robust;
	struct copies aside = { 0 };
	bool refresh = t->stats_full && !t->plain, good = true;
	struct chunk c = { 0 };

	robust_forget(q);
	files_forget(q);
	c.numbers = zalloc((size_t)q->numbers->count, sizeof *c.numbers);
	c.checks = zalloc((size_t)q->checks->count, sizeof *c.checks);
	c.x = zalloc((size_t)q->x->count, sizeof *c.x);
	c.x0 = zalloc(q->x0 ? (size_t)q->x0->count : 1, sizeof *c.x0);
	if (refresh)
		good = copies_take(t, &aside, is_statistic) && run_refresh(t);
	good = good && run_all(t, s, &c);
	if (refresh)
		good = copies_restore(t, &aside) && good;
	copies_finish(&aside);
	free(c.numbers);
	free(c.checks);
	free(c.x);
	free(c.x0);
	if (good)
		robust_numbers(s, out);
	t->stage_done = good;
	return good && (!q->add || add_sets(t, s, out));
}
