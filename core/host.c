/* SPDX-License-Identifier: MIT
 *
 * host.c: instances, that is components made from specs: their keys parsed into their
 * struct, their host table, and what went wrong in them. The keys that the core reads on
 * every spec of a kind are the tables under "common keys".
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blame.h"
#include "rng.h"
#include "schema.h"

/* A key as it came out, for resolved.ini. */
struct outcome {
	const char *key, *value, *origin;
};

/* What stands around an instance. */
struct hosted {
	struct instance i; /* first: an instance is its hosted */
	struct pool *pool;
	struct host_env env;
	uint64_t stream; /* key of host->random */
	int n_out;
	struct outcome *out;
	bool lost; /* a relative path was found nowhere, and REIN_DATA is not set */
};

/* --- common keys ------------------------------------------------------------------------- */

#define ON_ROW REIN_STRING(struct common, on, "*", "names this works on: patterns with *, comma-separated")

static const struct rein_key layer_keys[] = {
	REIN_STRING(struct common, input, "", "lines whose outputs it takes, comma-separated; empty: the line above"),
	REIN_BOOL(struct common, freeze, "no", "its parameters do not train"),
	REIN_KEYS_END,
};
static const struct rein_key on_keys[] = { ON_ROW, REIN_KEYS_END };
static const struct rein_key schedule_keys[] = {
	{ .key = "for",
	  .def = "",
	  .help = "key it changes, as optimizer.sgd.lr; empty: lr of every optimizer",
	  .type = REIN_KEY_STRING,
	  .offset = offsetof(struct common, target) },
	REIN_KEYS_END,
};
static const struct rein_key dataset_keys[] = {
	REIN_STRING(struct common, order, "file", "file, shuffled, or the name of a file with one sample number per line"),
	REIN_STRING(struct common, skip, "0", "samples left out at the start: a number, or a share as 20%"),
	REIN_STRING(struct common, take, "100%", "samples taken after those: a number, or a share as 80%"),
	REIN_BOOL(struct common, stratify, "no", "skip and take within each class"),
	REIN_REAL(struct common, corrupt, "0", 0, 1, 0, "share of labels replaced by random ones"),
	REIN_STRING(struct common, join, "", "an entry of [data] that the samples join, behind its own; empty: none"),
	REIN_INT(struct common, split_seed, "-1", -1, 9.2e18, "seed of order and corruption; -1: the run's"),
	REIN_KEYS_END,
};

static const struct rein_key augmentation_keys[] = {
	REIN_REALS(struct common, p, "", 0, 1, 0,
	           "share of samples it changes, one number, drawn for each alone; empty: its own default, 1 where it says "
	           "none"),
	REIN_STRING(struct common, on, "",
	            "splits it works on: patterns with *; empty: train in [augmentations], all in [transforms]"),
	REIN_KEYS_END,
};

static const struct rein_key detector_keys[] = {
	REIN_REAL(struct common, false_positives, "0.05", 0, 1, 0, "share of clean samples that may be flagged"),
	REIN_KEYS_END,
};

const struct rein_key *common_keys(uint32_t kind)
{
	static const struct rein_key none[] = { REIN_KEYS_END };
	switch (kind) {
	case REIN_LAYER: return layer_keys;
	case REIN_DATASET: return dataset_keys;
	case REIN_SCHEDULE: return schedule_keys;
	case REIN_DETECTOR: return detector_keys;
	case REIN_AUGMENTATION: return augmentation_keys;
	case REIN_OPTIMIZER:
	case REIN_REGULARIZER:
	case REIN_PRUNER: return on_keys;
	default: return none;
	}
}

/* --- the host table ------------------------------------------------------------------------ */

/* The last sentence given to fail() on this thread, and by whom. */
static _Thread_local struct {
	const struct rein_host *who;
	char sentence[1024];
} failed;

static const struct hosted *hosted_of(const struct rein_host *h)
{
	return (const struct hosted *)(const void *)((const char *)h - offsetof(struct instance, host));
}

static void host_message(const struct rein_host *h, uint32_t level, const char *line)
{
	const struct hosted *x = hosted_of(h);
	char full[1400];
	if (!x->env.log)
		return;
	snprintf(full, sizeof full, "[%s] %s: %s", x->i.spec->section, x->i.name, line ? line : "");
	(x->env.log)(x->env.log_ctx, level, full); /* <tgmath.h> has a macro log() */
}

static void host_fail(const struct rein_host *h, const char *sentence)
{
	failed.who = h;
	snprintf(failed.sentence, sizeof failed.sentence, "%s", sentence ? sentence : "");
}

static void *host_alloc(const struct rein_host *h, uint64_t bytes)
{
	void *p = NULL;
	/* A size near the top of the address space must not wrap. */
	if (bytes > SIZE_MAX / 2 || posix_memalign(&p, 64, bytes ? (size_t)bytes : 1)) {
		char text[80];
		snprintf(text, sizeof text, "out of memory: %llu bytes", (unsigned long long)bytes);
		host_fail(h, text);
		return NULL;
	}
	memset(p, 0, bytes ? (size_t)bytes : 1);
	return p;
}

static void host_free(const struct rein_host *h, void *p)
{
	(void)h;
	free(p);
}

struct shared_work {
	void (*f)(void *ctx, int64_t i);
	void *ctx;
	int64_t n;
	atomic_llong next;
};

static void *take_work(void *arg)
{
	struct shared_work *w = arg;
	int64_t i;
	while ((i = atomic_fetch_add(&w->next, 1)) < w->n)
		w->f(w->ctx, i);
	return NULL;
}

#define THREADS_MAX 64
static void host_parallel(const struct rein_host *h, int64_t n, void (*f)(void *ctx, int64_t i), void *ctx)
{
	struct shared_work w = { f, ctx, n, 0 };
	pthread_t thread[THREADS_MAX];
	cpu_set_t set;
	int cores = 1, made = 0;
	(void)h;
	if (!sched_getaffinity(0, sizeof set, &set))
		cores = CPU_COUNT(&set);
	while (made < cores - 1 && made < THREADS_MAX && made < n - 1) {
		/* Where no thread can be had, those there are do the work. */
		if (pthread_create(&thread[made], NULL, take_work, &w))
			break;
		made++;
	}
	take_work(&w);
	while (made > 0)
		pthread_join(thread[--made], NULL);
}

static void host_random(const struct rein_host *h, uint64_t a, uint64_t b, uint32_t out[4])
{
	uint64_t key = hosted_of(h)->stream;
	const uint32_t counter[4] = { (uint32_t)a, (uint32_t)(a >> 32), (uint32_t)b, (uint32_t)(b >> 32) };
	const uint32_t k[2] = { (uint32_t)key, (uint32_t)(key >> 32) };
	philox(counter, k, out);
}

static const void *host_extension(const struct rein_host *h, const char *id)
{
	(void)h;
	(void)id;
	return NULL; /* none yet */
}

static const struct rein_host host_table = {
	.struct_size = sizeof(struct rein_host),
	.message = host_message,
	.fail = host_fail,
	.alloc = host_alloc,
	.free = host_free,
	.parallel = host_parallel,
	.random = host_random,
	.extension = host_extension,
};

/* --- keys of a spec ---------------------------------------------------------------------- */

/* A spec's keys on their way into structs. */
struct filling {
	const struct spec *spec;
	char what[128]; /* "layer 'linear'", "stage 'prune'" */
	struct pool *pool;
	struct diag *d;
	const struct host_env *env; /* NULL: PATH and REF are not to be had */
	const struct rein_ref *(*resolve)(void *ctx, uint32_t kind, const char *name);
	void *resolve_ctx;
	bool lost; /* see struct hosted */
};

/* Rows and where they go: the component's and the common ones. */
struct target {
	const struct rein_key *row;
	char *base;
};

static const struct arg *find_arg(const struct spec *s, const char *key)
{
	for (int i = 0; i < s->n_arg; i++)
		if (!strcmp(s->arg[i].key, key))
			return &s->arg[i];
	return NULL;
}

static const struct rein_key *find_row(const struct rein_key *row, const char *key)
{
	for (; row && row->key; row++)
		if (!strcmp(row->key, key))
			return row;
	return NULL;
}

/* "known: units, bias; on every layer: input, freeze" and the nearest of them. */
static void unknown_key(struct filling *f, const struct arg *a, const struct target t[2])
{
	const char *names[512], *near;
	char own[512], common[256];
	int n = 0, split;
	for (const struct rein_key *r = t[0].row; r && r->key && n < 250; r++)
		if (!r->instead)
			names[n++] = r->key;
	names[n] = NULL;
	split = n;
	diag_list(own, sizeof own, names);
	for (const struct rein_key *r = t[1].row; r && r->key && n < 500; r++)
		names[n++] = r->key;
	names[n] = NULL;
	diag_list(common, sizeof common, names + split);
	near = diag_nearest(a->key, names);
	if (!n)
		diag_error(f->d, &a->at, "unknown key '%s' of %s, which has no keys", a->key, f->what);
	else
		diag_error(f->d, &a->at, "unknown key '%s' of %s%s%s%s known: %s%s%s", a->key, f->what,
		           near ? "; did you mean '" : ";", near ? near : "", near ? "'?" : "", own,
		           *own && *common ? ", " : "", common);
}

/* A value at fault, with a caret at it; at the key where it is empty. */
static void bad_value(struct filling *f, const struct arg *a, const char *text, int how, const char *why)
{
	struct place at = a->value_at;
	if (at.len <= 0) {
		at.col = a->at.col;
		at.len = a->at.len;
	}
	if (how == KEY_RANGE)
		diag_error(f->d, &at, "%s=%s %s", a->key, text, why);
	else if (!at.text && !strstr(why, a->key)) /* no caret shows which key it is */
		diag_error(f->d, &at, "%s: %s", a->key, why);
	else
		diag_error(f->d, &at, "%s", why);
}

/* text below `dir`, absolute where `dir` exists. */
static const char *below(struct filling *f, const char *dir, const char *text)
{
	char *base = realpath(*dir ? dir : ".", NULL);
	const char *out = pool_print(f->pool, "%s/%s", base ? base : dir, text);
	free(base);
	return out;
}

/* Where the file is: under REIN_DATA, beside the config, beside the included file that names
 * it. If it is nowhere, the first of these is where it should be. */
static const char *full_path(struct filling *f, const struct arg *a, const char *text)
{
	const char *slash = a && a->value_at.line > 0 ? strrchr(a->value_at.file, '/') : NULL, *place[3];
	int n = 0;
	if (!*text || *text == '/')
		return text;
	if (f->env->data_root && *f->env->data_root)
		place[n++] = below(f, f->env->data_root, text);
	place[n++] = below(f, f->env->config_dir ? f->env->config_dir : ".", text);
	if (slash)
		place[n++] = below(f, pool_copy(f->pool, a->value_at.file, (size_t)(slash - a->value_at.file) + 1), text);
	for (int i = 0; i < n; i++)
		if (!access(place[i], F_OK))
			return place[i];
	f->lost |= !f->env->data_root;
	return place[0];
}

static void unknown_ref(struct filling *f, const struct arg *a, const char *text, uint32_t kind)
{
	const char *section = kind_section(kind), *names[256], *near = NULL, *prefix = "network ";
	char all[512] = "none";
	struct place at = a ? a->value_at : f->spec->at;
	int n = 0;
	if (f->env && f->env->config) {
		const struct config *c = f->env->config;
		const struct section *s = config_section(c, section);
		for (int i = 0; kind == KIND_NETWORK && i < c->n_section && n < 255; i++)
			if (!strncmp(c->section[i]->name, prefix, strlen(prefix)))
				names[n++] = c->section[i]->name + strlen(prefix);
		for (int i = 0; kind != KIND_NETWORK && s && i < s->n_spec && n < 255; i++)
			names[n++] = s->spec[i]->name;
		names[n] = NULL;
		near = diag_nearest(text, names);
		if (n)
			diag_list(all, sizeof all, names);
		diag_error(f->d, &at, "no %s '%s'%s%s%s there are: %s", kind_name(kind), text, near ? "; did you mean '" : ";",
		           near ? near : "", near ? "'?" : "", all);
		return;
	}
	diag_error(f->d, &at, "no %s '%s' in [%s]", kind_name(kind), text, section);
}

static const struct rein_ref *refer(struct filling *f, const struct rein_key *row, const struct arg *a,
                                    const char *text)
{
	uint32_t kind = kind_by_name(row->choices[0]);
	const struct rein_ref *ref = f->resolve ? f->resolve(f->resolve_ctx, kind, text) : NULL;
	if (!ref)
		unknown_ref(f, a, text, kind);
	return ref;
}

/* "a,b": each name of the list. */
static bool refer_all(struct filling *f, const struct rein_key *row, const struct arg *a, const char *text,
                      struct rein_refs *out)
{
	int64_t n = *text ? 1 : 0;
	const struct rein_ref **v;
	bool good = true;
	for (const char *c = text; *c; c++)
		n += *c == ',';
	v = pool_alloc(f->pool, (size_t)(n + 1) * sizeof *v);
	for (int64_t i = 0; i < n; i++) {
		size_t len = strcspn(text, ",");
		v[i] = refer(f, row, a, pool_copy(f->pool, text, len));
		good &= v[i] != NULL;
		text += len + 1;
	}
	*out = (struct rein_refs){ n, v };
	return good;
}

/* One value into its field. False after an error; *shown is the text for resolved.ini. */
static bool put(struct filling *f, const struct rein_key *row, char *base, const struct arg *a, const char *text,
                const char **shown)
{
	struct why why;
	void *field = base + row->offset;
	int how = key_convert(row, text, field, f->pool, &why);
	*shown = text;
	if (how != KEY_GOOD) {
		bad_value(f, a, text, how, why.text);
		return false;
	}
	if (row->type == REIN_KEY_PATH && f->env)
		*shown = *(const char **)field = full_path(f, a, text);
	if (row->type == REIN_KEY_REF && *text)
		return (*(const struct rein_ref **)field = refer(f, row, a, text)) != NULL;
	if (row->type == REIN_KEY_REFS)
		return refer_all(f, row, a, text, field);
	return true;
}

static const char *origin(struct filling *f, const struct place *at)
{
	if (!at)
		return "default";
	return at->line > 0 ? pool_print(f->pool, "%s:%d", at->file, at->line)
	                    : pool_copy(f->pool, at->file ? at->file : "", strlen(at->file ? at->file : ""));
}

/* The deprecated row whose place `row` has taken and that the spec still uses, or NULL. */
static const struct arg *given_by_old_name(struct filling *f, const struct rein_key *rows, const struct rein_key *row)
{
	for (; rows->key; rows++)
		if (rows->instead && !strcmp(rows->instead, row->key) && rows->offset == row->offset)
			return find_arg(f->spec, rows->key);
	return NULL;
}

/* True if the spec has a key that is no key but nearly `key`: one message is enough. */
static bool misspelt(struct filling *f, const struct rein_key *rows, const char *key)
{
	const char *one[] = { key, NULL };
	for (int i = 0; i < f->spec->n_arg; i++)
		if (!find_row(rows, f->spec->arg[i].key) && diag_nearest(f->spec->arg[i].key, one))
			return true;
	return false;
}

/* Fills one table's fields, defaults included, and notes how each came out. */
static bool fill_rows(struct filling *f, const struct target *t, const struct rein_key *hide, struct outcome *out,
                      int *n)
{
	bool good = true;
	for (const struct rein_key *row = t->row; row && row->key; row++) {
		const struct arg *a = find_arg(f->spec, row->key);
		const char *text = a ? a->value : row->def, *shown = "";
		if (hide && find_row(hide, row->key))
			a = NULL; /* the component's own key of that name */
		if (a && row->instead) {
			if (find_arg(f->spec, row->instead)) {
				diag_error(f->d, &a->at, "'%s' is the old name of '%s'; both are given", row->key, row->instead);
				good = false;
				continue;
			}
			diag_warn(f->d, &a->at, "'%s' of %s is deprecated; use '%s'", row->key, f->what, row->instead);
		}
		if (!a && (row->instead || given_by_old_name(f, t->row, row)))
			continue;
		if (!text) {
			struct place at = f->spec->component_at;
			if (!f->spec->broken && !misspelt(f, t->row, row->key))
				diag_error(f->d, &at, "%s needs the key '%s' (%s)", f->what, row->key, row->help);
			good = false;
			continue;
		}
		if (a)
			((struct arg *)a)->used = true;
		if (!put(f, row, t->base, a, a ? a->value : row->def, &shown))
			good = false;
		else if (out)
			out[(*n)++] = (struct outcome){ row->key, shown, origin(f, a ? &a->value_at : NULL) };
	}
	return good;
}

/* Keys of the spec that neither table has. */
static bool refuse_unknown(struct filling *f, const struct target t[2])
{
	bool good = true;
	for (int i = 0; i < f->spec->n_arg; i++) {
		const struct arg *a = &f->spec->arg[i];
		bool known = find_row(t[0].row, a->key) || find_row(t[1].row, a->key);
		if (a->wild && known)
			a->wild->hits++;
		if (known)
			continue;
		/* Set by a pattern: wrong only if no spec it fell on has such a key. */
		if (a->wild && (++a->wild->misses < a->wild->specs || a->wild->hits))
			continue;
		unknown_key(f, a, t);
		good = false;
	}
	return good;
}

bool spec_keys(const struct spec *s, const char *what, const struct rein_key *keys, void *out, struct diag *d)
{
	struct filling f = { .spec = s, .d = d, .pool = pool_create() };
	struct target t[2] = { { keys, out }, { NULL, NULL } };
	bool good;
	snprintf(f.what, sizeof f.what, "%s", what);
	good = refuse_unknown(&f, t);
	good = fill_rows(&f, &t[0], NULL, NULL, NULL) && good;
	pool_destroy(f.pool);
	return good && !s->broken;
}

bool spec_given(const struct spec *s, const struct component *c, struct diag *d)
{
	struct filling f = { .spec = s, .d = d, .pool = pool_create() };
	struct instance nobody = { 0 };
	struct target t[2] = { { c->key, pool_alloc(f.pool, c->c.cfg_size + 1) },
		                   { common_keys(c->c.kind), (char *)&nobody.common } };
	const char *shown;
	bool good;
	snprintf(f.what, sizeof f.what, "%s '%s'", kind_name(c->c.kind), c->c.name);
	good = refuse_unknown(&f, t);
	for (int i = 0; i < s->n_arg; i++) {
		const struct rein_key *own = find_row(t[0].row, s->arg[i].key);
		const struct target *of = own ? &t[0] : &t[1];
		const struct rein_key *row = own ? own : find_row(t[1].row, s->arg[i].key);
		if (row && row->type != REIN_KEY_REF && row->type != REIN_KEY_REFS)
			good = put(&f, row, of->base, &s->arg[i], s->arg[i].value, &shown) && good;
	}
	pool_destroy(f.pool);
	return good && !s->broken;
}

/* --- instances ------------------------------------------------------------------------------ */

static struct hosted *make(const struct component *c, const struct spec *s, const struct host_env *env)
{
	struct hosted *h = calloc(1, sizeof *h);
	char name[256];
	if (!h)
		abort();
	h->pool = pool_create();
	h->env = *env;
	h->i.component = c;
	h->i.spec = s;
	h->i.name = s->name;
	h->i.host = host_table;
	snprintf(name, sizeof name, "%s.%s", s->section, s->name);
	h->stream = rng_key(env->seed, name);
	h->out = pool_alloc(h->pool, (size_t)(c->n_key + 16) * sizeof *h->out);
	h->i.self = host_alloc(&h->i.host, c->c.cfg_size);
	if (c->c.mem_size)
		h->i.mem = host_alloc(&h->i.host, c->c.mem_size);
	if (!h->i.self || (c->c.mem_size && !h->i.mem))
		abort();
	return h;
}

struct instance *instance_create(struct registry *r, uint32_t kind, const struct spec *s, const struct host_env *env,
                                 const struct rein_ref *(*resolve)(void *ctx, uint32_t kind, const char *name),
                                 void *resolve_ctx, struct diag *d)
{
	const struct component *c = registry_find(r, kind, s->component);
	struct filling f = { .spec = s, .d = d, .env = env, .resolve = resolve, .resolve_ctx = resolve_ctx };
	struct target t[2];
	struct hosted *h;
	bool good;
	if (!c) {
		/* An empty one could not be read, which was reported. */
		for (int k = 0; k < s->n_arg; k++)
			if (s->arg[k].wild)
				s->arg[k].wild->misses++;
		if (*s->component)
			registry_unknown(r, d, &s->component_at, s->section, s->name, kind, s->component);
		return NULL;
	}
	h = make(c, s, env);
	f.pool = h->pool;
	snprintf(f.what, sizeof f.what, "%s '%s'", kind_name(kind), c->c.name);
	t[0] = (struct target){ c->key, h->i.self };
	t[1] = (struct target){ common_keys(kind), (char *)&h->i.common };
	good = refuse_unknown(&f, t);
	good = fill_rows(&f, &t[0], NULL, h->out, &h->n_out) && good;
	good = fill_rows(&f, &t[1], c->key, h->out, &h->n_out) && good;
	if (!good || s->broken) {
		instance_destroy(&h->i);
		return NULL;
	}
	h->lost = f.lost;
	h->i.created = true;
	const struct instance *was = blame(&h->i);
	const rein_status made = c->c.create ? c->c.create(h->i.self, &h->i.host) : 0;
	blame_back(was);
	if (made < 0) {
		instance_error(&h->i, d, "it could not be made");
		instance_destroy(&h->i);
		return NULL;
	}
	return &h->i;
}

void instance_destroy(struct instance *i)
{
	struct hosted *h = (struct hosted *)i;
	if (!i)
		return;
	const struct instance *was = blame(i);
	if (i->component->c.destroy)
		i->component->c.destroy(i->self, &i->host);
	blame_back(was == i ? NULL : was);
	if (failed.who == &i->host)
		failed.who = NULL;
	free(i->self);
	free(i->mem);
	pool_destroy(h->pool);
	free(h);
}

const char *instance_failure(struct instance *i)
{
	if (failed.who != &i->host)
		return "";
	failed.who = NULL;
	return failed.sentence;
}

void instance_error(struct instance *i, struct diag *d, const char *fallback)
{
	const char *sentence = instance_failure(i);
	struct place at = i->spec->at;
	at.len = 0;
	diag_error(d, &at, "[%s] %s: %s %s: %s%s", i->spec->section, i->name, i->component->c.name,
	           i->component->plugin_version, *sentence ? sentence : fallback,
	           ((struct hosted *)i)->lost ? " (REIN_DATA, the folder of the data sets, is not set)" : "");
}

bool instance_key(const struct instance *i, int n, const char **key, const char **value, const char **origin_)
{
	const struct hosted *h = (const struct hosted *)i;
	if (n < 0 || n >= h->n_out)
		return false;
	*key = h->out[n].key;
	*value = h->out[n].value;
	*origin_ = h->out[n].origin;
	return true;
}
