/* SPDX-License-Identifier: MIT
 *
 * data.c: opens [data]: makes the datasets, has their samples chosen (select.c) and decoded
 * (samples.c), corrupts labels, and holds the splits against each other.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "blame.h"
#include "samples.h"

/* A split with what its owner must know. */
struct owned_split {
	struct split s; /* first: a split is its owned_split */
	struct source source;
	bool shared;                 /* s.x lies in the cache */
	bool own_source;             /* the dataset instance is this split's, not the cache's */
	struct instance **transform; /* streamed: source.transform */
};

static struct owned_split *owned(const struct split *s) { return (struct owned_split *)(uintptr_t)s; }

/* Works on single samples on the host, and nowhere else. */
static bool host_only(const struct instance *in)
{
	const struct rein_augmentation_vt *vt = &in->component->vt.augmentation;
	return vt->sample && !vt->record;
}

/* What opening needs at every turn. */
struct opening {
	struct registry *registry;
	const struct host_env *env;
	int rng;
	int n_transform;
	struct instance **transform; /* those with sample() */
	int n_augmentation;
	struct instance *const *augmentation; /* all of them */
	struct data_cache *cache;
	int64_t limit; /* bytes of a split's samples, above which they are streamed; 0: none */
	struct diag *d;
};

bool data_error(struct diag *d, const struct spec *spec, const char *key, const char *format, ...)
{
	char text[1200];
	const struct place *at = &spec->at;
	va_list ap;
	va_start(ap, format);
	vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	for (int i = 0; key && i < spec->n_arg; i++)
		if (!strcmp(spec->arg[i].key, key))
			at = &spec->arg[i].at;
	if (at->text && at->len > 0) /* the line and a caret are printed */
		diag_error(d, at, "%s", text);
	else
		diag_error(d, at, "[%s] %s: %s", spec->section, spec->name, text);
	return false;
}

/* Text that grows. */
static char *append(char *text, const char *more)
{
	size_t a = text ? strlen(text) : 0, b = strlen(more);
	char *out = realloc(text, a + b + 1);
	if (!out) {
		free(text);
		return NULL;
	}
	memcpy(out + a, more, b + 1);
	return out;
}

static char *append_pair(char *text, const char *key, const char *value)
{
	const char *part[] = { "\n", key, "=", value };
	for (int i = 0; text && i < 4; i++)
		text = append(text, part[i]);
	return text;
}

/* Component, version and keys as they came out (paths are whole there), without the core's. */
static char *identity_of(const struct instance *inst, char *text)
{
	const char *key, *value, *origin;
	const struct rein_key *common = common_keys(inst->component->c.kind);
	text = append_pair(text ? text : append(NULL, ""), inst->component->c.name, inst->component->plugin_version);
	for (int i = 0; text && instance_key(inst, i, &key, &value, &origin); i++) {
		bool own = true;
		for (const struct rein_key *k = common; k->key; k++)
			own &= strcmp(k->key, key) != 0;
		if (own)
			text = append_pair(text, key, value);
	}
	return text;
}

/* --- opening a dataset ---------------------------------------------------------------------- */
/* The dataset of a spec; from the cache if one with the same text was opened before. */
static struct instance *open_dataset(const struct opening *o, const struct spec *spec, bool *own)
{
	struct instance *inst;
	struct opened *e;
	char *key = append_pair(append(NULL, ""), spec->name, spec->component);
	for (int i = 0; key && i < spec->n_arg; i++)
		key = append_pair(key, spec->arg[i].key, spec->arg[i].value);
	for (e = o->cache && key ? o->cache->opened : NULL; e; e = e->next)
		if (!strcmp(e->key, key)) {
			free(key);
			*own = false;
			return e->instance;
		}
	inst = instance_create(o->registry, REIN_DATASET, spec, o->env, NULL, NULL, o->d);
	*own = true;
	e = inst && o->cache && key ? calloc(1, sizeof *e) : NULL;
	if (!e) {
		free(key);
		return inst;
	}
	*own = false;
	e->key = key;
	e->instance = inst;
	e->next = o->cache->opened;
	o->cache->opened = e;
	return inst;
}

/* A dataset's word on itself is checked before anything is counted on it. */
static bool check_info(const struct instance *ds, const struct rein_dataset_info *i, struct diag *d)
{
	const struct spec *spec = ds->spec;
	double elements = 1;
	if (i->dtype != REIN_U8_T && i->dtype != REIN_REAL_T)
		return data_error(d, spec, NULL, "the dataset gives samples of dtype %u; u8 or real is expected", i->dtype);
	if (i->rank < 1 || i->rank > 3)
		return data_error(d, spec, NULL, "the dataset gives samples of rank %u; 1 to 3 is expected", i->rank);
	for (uint32_t k = 0; k < i->rank; k++) {
		if (i->dim[k] == 0 || i->dim[k] < -1 || (i->dim[k] < 0 && !ds->component->vt.dataset.shape))
			return data_error(d, spec, NULL, "the dataset gives samples with %lld as dimension %u",
			                  (long long)i->dim[k], k);
		elements *= i->dim[k] < 0 ? 1 : (double)i->dim[k];
	}
	if (elements > 0x1p40)
		return data_error(d, spec, NULL, "samples of %.3g numbers are too large", elements);
	if (i->count < 1)
		return data_error(d, spec, NULL, "the dataset has no samples");
	if (i->target == REIN_TARGET_CLASS && (i->classes < 1 || i->classes > INT32_MAX))
		return data_error(d, spec, NULL, "the dataset gives %lld as its number of classes", (long long)i->classes);
	if (i->target == REIN_TARGET_REAL && (i->target_dim < 1 || i->target_dim > INT32_MAX))
		return data_error(d, spec, NULL, "the dataset gives %lld as the size of its targets", (long long)i->target_dim);
	return i->target <= REIN_TARGET_REAL ||
	       data_error(d, spec, NULL, "the dataset gives targets of kind %u, which is not known", i->target);
}

/* Those of the host's that work on this split: a list of its own, which lives as long as it. */
static bool choose_transforms(const struct opening *o, struct owned_split *w)
{
	struct source *s = &w->source;
	bool train = !strcmp(w->s.name, "train");
	w->transform = calloc((size_t)(o->n_transform + o->n_augmentation) + 1, sizeof *w->transform);
	s->transform = w->transform;
	for (int i = 0; w->transform && i < o->n_transform; i++)
		if (!*o->transform[i]->common.on || pattern_match(o->transform[i]->common.on, w->s.name))
			w->transform[s->n_transform++] = o->transform[i];
	s->n_fixed = s->n_transform;
	for (int i = 0; w->transform && train && i < o->n_augmentation; i++)
		if (host_only(o->augmentation[i]))
			w->transform[s->n_transform++] = o->augmentation[i];
	return w->transform || data_error(o->d, s->dataset->spec, NULL, "out of memory");
}

/* info and identity of the dataset, and dims behind the host transforms */
static bool make_source(const struct opening *o, struct owned_split *w)
{
	struct source *s = &w->source;
	struct instance *ds = s->dataset;
	s->info.struct_size = sizeof s->info;
	const struct instance *was = blame(ds);
	const rein_status st = ds->component->vt.dataset.info(ds->self, &s->info);
	blame_back(was);
	if (st < 0) {
		instance_error(ds, o->d, "the dataset does not describe itself");
		return false;
	}
	if (!check_info(ds, &s->info, o->d))
		return false;
	memcpy(s->in_dim, s->info.dim, sizeof s->in_dim);
	if (!choose_transforms(o, w))
		return false;
	s->identity = identity_of(ds, NULL);
	s->transformed = s->identity ? strdup(s->identity) : NULL;
	for (int t = 0; t < s->n_transform; t++) {
		struct instance *tr = s->transform[t];
		int64_t out[REIN_MAX_RANK] = { 0 };
		if (tr->component->vt.augmentation.shape(tr->self, &tr->host, s->info.rank, s->info.dim, out) < 0) {
			instance_error(tr, o->d, "does not fit the samples");
			return false;
		}
		if (t >= s->n_fixed && memcmp(s->info.dim, out, s->info.rank * sizeof *out) != 0)
			return data_error(o->d, tr->spec, NULL,
			                  "'%s' gives the samples another shape while they train, and evaluation would see the "
			                  "old one: put it in [transforms]",
			                  tr->component->c.name);
		memcpy(s->info.dim, out, s->info.rank * sizeof *out);
		s->transformed = s->transformed ? identity_of(tr, s->transformed) : NULL;
	}
	return (s->identity && s->transformed) || data_error(o->d, ds->spec, NULL, "out of memory");
}

/* --- values ----------------------------------------------------------------------------------- */
static bool all_finite(const struct source *src, const struct split *s, const float *v, int64_t per, const char *what,
                       struct diag *d)
{
	char name[512];
	for (int64_t i = 0; i < s->n * per; i++)
		if (!isfinite(v[i]))
			return data_error(d, s->dataset->spec, NULL, "%s: %s %lld is %g",
			                  sample_name(src, s->number[i / per], name, sizeof name), what, (long long)(i % per),
			                  (double)v[i]);
	return true;
}

static bool check_values(const struct source *src, const struct split *s, struct diag *d)
{
	char name[512];
	if (s->info.dtype == REIN_REAL_T && !all_finite(src, s, s->x, s->elements, "number", d))
		return false;
	if (s->info.target == REIN_TARGET_REAL)
		return all_finite(src, s, s->y, s->info.target_dim, "target", d);
	for (int64_t i = 0; i < s->n; i++) {
		int32_t y = ((const int32_t *)s->y)[i];
		if (y < 0 || y >= s->info.classes)
			return data_error(d, s->dataset->spec, NULL, "%s: label %d is outside the %lld classes",
			                  sample_name(src, s->number[i], name, sizeof name), y, (long long)s->info.classes);
	}
	return true;
}

/* With probability corrupt= a label becomes a uniformly random one, the true one included
 * (Zhang et al., "Understanding deep learning requires rethinking generalization", 2017).
 * The draw hangs on the split seed and the sample's number alone. */
static bool corrupt_labels(const struct opening *o, const struct source *src, struct split *s)
{
	double share = s->dataset->common.corrupt;
	uint64_t key = rng_key(split_seed(src, o->env), "data.corrupt");
	if (share <= 0)
		return true;
	if (s->info.target != REIN_TARGET_CLASS)
		return data_error(o->d, s->dataset->spec, "corrupt", "corrupt=%g needs classes; the targets are numbers",
		                  share);
	s->is_corrupted = calloc((size_t)s->n, 1);
	if (!s->is_corrupted)
		return data_error(o->d, s->dataset->spec, NULL, "out of memory");
	for (int64_t i = 0; i < s->n; i++) {
		uint64_t at = 2 * (uint64_t)s->number[i];
		if (rng_uniform(key, at) >= share)
			continue;
		((int32_t *)s->y)[i] = (int32_t)(rng_uniform(key, at + 1) * (double)s->info.classes);
		s->is_corrupted[i] = 1;
		s->corrupted++;
	}
	return true;
}

const struct source *split_source(const struct split *s) { return &owned(s)->source; }

struct source *split_source_of(struct split *s) { return &owned(s)->source; }

bool split_changes(const struct split *s)
{
	const struct source *src = split_source(s);
	return src->n_transform > src->n_fixed;
}

static bool fill_split(const struct opening *o, const struct spec *spec, struct owned_split *w)
{
	struct split *s = &w->s;
	struct source *src = &w->source;
	int64_t *pick = NULL, n = 0;
	s->name = spec->name;
	s->dataset = src->dataset = open_dataset(o, spec, &w->own_source);
	if (!s->dataset || !make_source(o, w))
		return false;
	s->info = src->info;
	if (!select_samples(src, o->env, o->rng, o->d, &pick, &n) || !settle_dims(src, pick, n, &s->info, o->d)) {
		free(pick);
		return false;
	}
	s->elements = 1;
	for (uint32_t k = 0; k < s->info.rank; k++)
		s->elements *= s->info.dim[k];
	s->streamed = s->info.dtype == REIN_U8_T && o->limit > 0 && n * s->elements > o->limit;
	if (split_changes(s)) { /* every epoch has samples of its own */
		s->streamed = s->info.dtype == REIN_U8_T;
		if (!s->streamed)
			return data_error(o->d, src->transform[src->n_fixed]->spec, NULL,
			                  "augmentations on the host work on stored bytes; the samples of '%s' are numbers",
			                  s->name);
	}
	if (s->streamed)
		return decode_targets(src, o->cache, pick, n, s, o->d) && check_values(src, s, o->d) &&
		       corrupt_labels(o, src, s);
	return decode_samples(src, o->cache, pick, n, s, &w->shared, o->d) && check_values(src, s, o->d) &&
	       corrupt_labels(o, src, s);
}

/* --- splits against each other ------------------------------------------------------------------ */
static int64_t find_name(const struct rein_dataset_info *i, const char *name)
{
	for (int64_t k = 0; k < i->classes; k++)
		if (!strcmp(i->class_names[k], name))
			return k;
	return -1;
}

/* Class names of `s` that are some of the reference's: labels become the reference's
 * numbers. A name it lacks is an error. */
static bool align_classes(struct split *s, const struct split *ref, struct diag *d)
{
	int32_t *map = malloc((size_t)s->info.classes * sizeof *map);
	bool good = map;
	for (int64_t k = 0; good && k < s->info.classes; k++) {
		map[k] = (int32_t)find_name(&ref->info, s->info.class_names[k]);
		good = map[k] >= 0;
		if (!good)
			data_error(d, s->dataset->spec, NULL, "class '%s' is not among the %lld of '%s' ('%s'%s)",
			           s->info.class_names[k], (long long)ref->info.classes, ref->name, ref->info.class_names[0],
			           ref->info.classes > 1 ? ", ..." : "");
	}
	for (int64_t i = 0; good && i < s->n; i++)
		((int32_t *)s->y)[i] = map[((int32_t *)s->y)[i]];
	free(map);
	return good;
}

/* One network takes them all: samples of one shape, the same classes under the same numbers. */
static bool fit(struct split *s, const struct split *ref, struct diag *d)
{
	const struct spec *spec = s->dataset->spec;
	bool same = s->info.rank == ref->info.rank;
	if (!same || memcmp(s->info.dim, ref->info.dim, s->info.rank * sizeof *s->info.dim)) {
		char a[96] = "", b[96] = "";
		for (uint32_t k = 0; k < s->info.rank; k++)
			snprintf(a + strlen(a), sizeof a - strlen(a), k ? "x%lld" : "%lld", (long long)s->info.dim[k]);
		for (uint32_t k = 0; k < ref->info.rank; k++)
			snprintf(b + strlen(b), sizeof b - strlen(b), k ? "x%lld" : "%lld", (long long)ref->info.dim[k]);
		return data_error(d, spec, NULL, "samples are %s, those of '%s' %s", a, ref->name, b);
	}
	if (s->info.target != ref->info.target)
		return data_error(d, spec, NULL, "targets are %s, those of '%s' %s",
		                  s->info.target == REIN_TARGET_CLASS ? "classes" : "numbers", ref->name,
		                  ref->info.target == REIN_TARGET_CLASS ? "classes" : "numbers");
	if (s->info.target == REIN_TARGET_REAL)
		return s->info.target_dim == ref->info.target_dim ||
		       data_error(d, spec, NULL, "targets have %lld numbers, those of '%s' %lld", (long long)s->info.target_dim,
		                  ref->name, (long long)ref->info.target_dim);
	if (s->info.class_names && ref->info.class_names) {
		if (!align_classes(s, ref, d))
			return false;
	} else if (s->info.classes > ref->info.classes) {
		return data_error(d, spec, NULL, "%lld classes, '%s' has %lld", (long long)s->info.classes, ref->name,
		                  (long long)ref->info.classes);
	}
	s->info.classes = ref->info.classes;
	s->info.class_names = ref->info.class_names;
	return true;
}

static bool fit_all(struct data *data, struct diag *d)
{
	struct split *ref = data_split(data, "train");
	bool good = true;
	if (!ref && data->n)
		ref = data->split[0];
	for (int i = 0; i < data->n; i++)
		if (data->split[i] != ref)
			good &= fit(data->split[i], ref, d);
	return good;
}

/* --- what a user should know though it is no error ---------------------------------------------- */
/* Once for a cache and split, so that variants and seeds do not repeat it. */
static void notice(const struct opening *o, const char *what, const char *split, const char *text)
{
	char key[256];
	struct said *s;
	snprintf(key, sizeof key, "%s of %s", what, split);
	for (s = o->cache ? o->cache->said : NULL; s; s = s->next)
		if (!strcmp(s->key, key))
			return;
	if (o->env->log)
		(o->env->log)(o->env->log_ctx, REIN_LOG_WARN, text); /* <tgmath.h> has a macro log() */
	s = o->cache ? calloc(1, sizeof *s + strlen(key) + 1) : NULL;
	if (!s)
		return;
	memcpy(s->key, key, strlen(key) + 1);
	s->next = o->cache->said;
	o->cache->said = s;
}

static void notices(const struct opening *o, const struct data *data)
{
	const struct split *train = data_split(data, "train");
	static const char *const usual[] = { "train", "val", "test", NULL };
	char text[512];
	for (int i = 0; i < data->n; i++) {
		const char *near = diag_nearest(data->split[i]->name, usual);
		if (near && strcmp(near, data->split[i]->name) != 0 && !data_split(data, near)) {
			snprintf(text, sizeof text,
			         "[data] %s: a split of its own, which nothing uses by itself; did you mean '%s'?",
			         data->split[i]->name, near);
			notice(o, "name", data->split[i]->name, text);
		}

		const struct split *s = data->split[i];
		int64_t common = train && s != train ? data_overlap(train, s) : 0;
		if (s->skipped) {
			snprintf(text, sizeof text, "[data] %s: %lld of %lld samples cannot be read and are left out", s->name,
			         (long long)s->skipped, (long long)(s->skipped + s->n));
			notice(o, "skipped", s->name, text);
		}
		if (common) {
			snprintf(text, sizeof text, "[data] %s: %lld of its %lld samples are also in 'train'", s->name,
			         (long long)common, (long long)s->n);
			notice(o, "overlap", s->name, text);
		}
	}
}

/* --- public ---------------------------------------------------------------------------------- */
/* Host transforms must come first, and may not draw: what they make is kept. */
static bool take_transforms(struct opening *o, int n, struct instance *const *transform)
{
	bool good = true, recorded = false;
	o->transform = calloc((size_t)n + 1, sizeof *o->transform);
	for (int i = 0; o->transform && i < n; i++) {
		const struct rein_augmentation_vt *vt = &transform[i]->component->vt.augmentation;
		if (!vt->sample || vt->record) {
			recorded |= !vt->sample;
			if (!vt->sample)
				continue;
		}
		if (recorded)
			good = data_error(o->d, transform[i]->spec, NULL,
			                  "'%s' works on the host and must stand before the transforms that run on the device",
			                  transform[i]->component->c.name);
		else if (vt->random)
			good = data_error(o->d, transform[i]->spec, NULL,
			                  "'%s' draws random numbers; its place is [augmentations], not [transforms]",
			                  transform[i]->component->c.name);
		o->transform[o->n_transform++] = transform[i];
	}
	return good && o->transform;
}

static void split_destroy(struct split *s)
{
	struct owned_split *w = owned(s);
	if (!w->shared)
		free(s->x);
	free(s->y);
	free(s->number);
	free(s->is_corrupted);
	free(w->transform);
	free(w->source.identity);
	free(w->source.joined);
	free(w->source.transformed);
	if (w->own_source)
		instance_destroy(s->dataset);
	free(w);
}

struct data *data_open(const struct config *config, struct registry *registry, const struct host_env *env, int rng,
                       int n_transform, struct instance *const *transform, int n_augmentation,
                       struct instance *const *augmentation, struct data_cache *cache, int64_t limit, struct diag *d)
{
	struct opening o = { .registry = registry,
		                 .env = env,
		                 .rng = rng,
		                 .n_augmentation = n_augmentation,
		                 .augmentation = augmentation,
		                 .cache = cache,
		                 .limit = limit,
		                 .d = d };
	const struct section *section = config_section(config, "data");
	struct data *data = calloc(1, sizeof *data);
	bool good = take_transforms(&o, n_transform, transform);
	if (data && section)
		data->split = calloc((size_t)section->n_spec + 1, sizeof *data->split);
	for (int i = 0; section && data && data->split && i < section->n_spec; i++) {
		struct owned_split *w = calloc(1, sizeof *w);
		if (!w)
			break;
		data->split[data->n++] = &w->s;
		good &= fill_split(&o, section->spec[i], w);
	}
	good = good && data && data->n > 0 && fit_all(data, d) && data_join(data, d);
	if (good)
		notices(&o, data);
	free(o.transform);
	if (good)
		return data;
	if (!section || !section->n_spec) {
		struct place nowhere = { .file = config->path };
		diag_error(d, section ? &section->at : &nowhere,
		           "[data] names no dataset, as in `train = idx images=... labels=...`");
	}
	data_destroy(data);
	return NULL;
}

void data_destroy(struct data *data)
{
	if (!data)
		return;
	for (int i = 0; i < data->n; i++)
		split_destroy(data->split[i]);
	free(data->split);
	free(data);
}

void data_replace(struct split *s, void *x, void *y, int64_t *number, int64_t n)
{
	struct owned_split *w = owned(s);

	if (!w->shared)
		free(s->x);
	free(s->y);
	free(s->number);
	free(s->is_corrupted);
	w->shared = false;
	s->x = x;
	s->y = y;
	s->number = number;
	s->is_corrupted = NULL;
	s->n = n;
}

struct split *data_split(const struct data *data, const char *name)
{
	for (int i = 0; i < data->n; i++)
		if (!strcmp(data->split[i]->name, name))
			return data->split[i];
	return NULL;
}

const char *data_no_split(const struct data *data, const char *name, char *buf, size_t size)
{
	const char **list = calloc((size_t)data->n + 1, sizeof *list), *near;
	char all[256] = "";
	for (int i = 0; list && i < data->n; i++)
		list[i] = data->split[i]->name;
	if (list)
		diag_list(all, sizeof all, list);
	near = list ? diag_nearest(name, list) : NULL;
	snprintf(buf, size, "there is no split '%s' in [data]%s%s%s there are: %s", name, near ? "; did you mean '" : "",
	         near ? near : "", near ? "'?" : ";", all);
	free(list);
	return buf;
}

const char *data_sample_name(const struct split *s, int64_t i, char *buf, size_t size)
{
	return sample_name(&owned(s)->source, s->number[i], buf, size);
}

static int by_number(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return x < y ? -1 : x > y;
}

int64_t data_overlap(const struct split *a, const struct split *b)
{
	int64_t *sorted, common = 0;
	if (strcmp(owned(a)->source.identity, owned(b)->source.identity))
		return 0;
	sorted = malloc((size_t)a->n * sizeof *sorted);
	if (!sorted)
		return 0;
	memcpy(sorted, a->number, (size_t)a->n * sizeof *sorted);
	qsort(sorted, (size_t)a->n, sizeof *sorted, by_number);
	for (int64_t i = 0; i < b->n; i++)
		common += bsearch(&b->number[i], sorted, (size_t)a->n, sizeof *sorted, by_number) != NULL;
	free(sorted);
	return common;
}
