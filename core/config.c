/* SPDX-License-Identifier: MIT
 *
 * config.c: puts files, variants and overrides together. A file's `include` lines are read
 * first; what the including file says of the same name replaces it in its place, `name =`
 * removes it, new names are appended. A [variant] is a list of overrides by dotted path, the
 * command line another one, applied after it. A new section is one word in `sections`.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "spec.h"

#define INCLUDE_DEPTH 16

/* Known sections. PLAIN ones hold `name = text`, the others specs. */
#define PLAIN 1
#define NAMED 2 /* may be written "[network NAME]" */
static const struct {
	const char *name;
	int flags;
} sections[] = {
	{ "run", PLAIN },      { "data", 0 },    { "transforms", 0 }, { "augmentations", 0 },
	{ "network", NAMED },  { "loss", 0 },    { "optimizer", 0 },  { "schedules", 0 },
	{ "regularizers", 0 }, { "stages", 0 },  { "pruners", 0 },    { "detectors", 0 },
	{ "attacks", 0 },      { "loggers", 0 }, { "reports", 0 },    { "search", PLAIN },
};
#define N_SECTION ((int)(sizeof sections / sizeof *sections))

/* A growing array of pointers in the pool. */
struct list {
	int n, cap;
	void **v;
};

static void list_add(struct pool *pool, struct list *l, void *item)
{
	if (l->n == l->cap) {
		void **old = l->v;
		l->cap = l->cap ? 2 * l->cap : 8;
		l->v = pool_alloc(pool, (size_t)l->cap * sizeof *l->v);
		if (old)
			memcpy(l->v, old, (size_t)l->n * sizeof *old);
	}
	l->v[l->n++] = item;
}

static void list_remove(struct list *l, int i)
{
	memmove(l->v + i, l->v + i + 1, (size_t)(l->n - i - 1) * sizeof *l->v);
	l->n--;
}

/* One line of a section. A plain one has no parsed spec. */
struct line {
	const char *name, *value;
	struct place at, value_at;
	int file;
	struct spec *spec;
};

struct file_section {
	const char *name;
	struct place at;
	int file; /* the last file that had it */
	bool plain;
	struct list line; /* struct line */
};

struct config_file {
	struct pool *pool;
	const char *path, *stem;
	struct list section, variant; /* struct file_section */
	struct list name;             /* of the variants, ended by NULL */
};

/* --- reading ------------------------------------------------------------------------ */

struct reading {
	struct config_file *cf;
	struct diag *d;
	struct pool *pool;
	const struct reading *outer; /* the file whose include line is being followed */
	const char *path;
	dev_t dev;
	ino_t ino;
	int number, *files; /* of this file; how many so far */
	int depth;
	struct file_section *now;
};

static bool read_one(struct reading *, const char *path, const struct place *from);

/* "network" of "network teacher"; the index into sections[], -1: unknown. */
static int section_index(const char *name)
{
	size_t n = strcspn(name, " ");
	for (int i = 0; i < N_SECTION; i++)
		if (strlen(sections[i].name) == n && !memcmp(sections[i].name, name, n))
			return name[n] && !(sections[i].flags & NAMED) ? -1 : i;
	return -1;
}

static void unknown_section(struct diag *d, const struct place *at, const char *name, bool in_path)
{
	const char *known[N_SECTION + 2], *near;
	char all[512];
	int n = 0;
	for (; n < N_SECTION; n++)
		known[n] = sections[n].name;
	if (!in_path)
		known[n++] = "variant";
	known[n] = NULL;
	near = diag_nearest(name, known);
	diag_list(all, sizeof all, known);
	if (near)
		diag_error(d, at, "unknown section '%s'; did you mean '%s'? known: %s", name, near, all);
	else
		diag_error(d, at, "unknown section '%s'; known: %s", name, all);
}

static struct file_section *find_section(const struct list *l, const char *name)
{
	for (int i = 0; i < l->n; i++) {
		struct file_section *s = l->v[i];
		if (!strcmp(s->name, name))
			return s;
	}
	return NULL;
}

static struct line *find_line(const struct file_section *s, const char *name, int *index)
{
	for (int i = 0; i < s->line.n; i++) {
		struct line *l = s->line.v[i];
		if (!strcmp(l->name, name)) {
			if (index)
				*index = i;
			return l;
		}
	}
	return NULL;
}

static void begin_section(struct reading *r, const char *name, const struct place *at)
{
	bool variant = !strncmp(name, "variant", 7) && (name[7] == ' ' || !name[7]);
	struct list *l = variant ? &r->cf->variant : &r->cf->section;
	const char *key = variant && name[7] ? name + 8 : name;
	int index = variant ? 0 : section_index(name);
	struct file_section *s;
	r->now = NULL;
	if (variant && !name[7]) {
		diag_error(r->d, at, "a variant needs a name: [variant NAME]");
		return;
	}
	if (index < 0) {
		const char *blank = strchr(name, ' ');
		char word[INI_NAME_MAX + 1];
		snprintf(word, sizeof word, "%.*s", (int)(blank ? blank - name : (long)strlen(name)), name);
		if (blank && section_index(word) >= 0)
			diag_error(r->d, at, "section '%s' takes no name", word);
		else
			unknown_section(r->d, at, name, false);
		return;
	}
	if ((variant || strchr(name, ' ')) && !spec_name_ok(variant ? key : strchr(name, ' ') + 1)) {
		diag_error(r->d, at, "a name has letters, digits, '_', '-' and '.', and begins with none of the last two");
		return;
	}
	s = find_section(l, key);
	if (s && s->file == r->number) {
		diag_error(r->d, at, "section [%s] is already in line %d", name, s->at.line);
		return;
	}
	if (!s) {
		s = pool_alloc(r->pool, sizeof *s);
		s->name = key;
		s->plain = variant || (sections[index].flags & PLAIN);
		list_add(r->pool, l, s);
	}
	s->at = *at;
	s->file = r->number;
	r->now = s;
}

static void include(struct reading *r, const char *value, const struct place *at)
{
	const char *slash = strrchr(r->path, '/'), *path;
	if (!spec_unquote(r->pool, value, at, &path, r->d))
		return;
	if (!*path) {
		diag_error(r->d, at, "include needs the name of a file");
		return;
	}
	if (*path != '/' && slash)
		path = pool_print(r->pool, "%.*s%s", (int)(slash - r->path) + 1, r->path, path);
	read_one(r, path, at);
}

/* Adds `name = value` to the section, over a line of an included file. */
static void add_line(struct reading *r, struct line *l)
{
	struct file_section *s = r->now;
	int i;
	struct line *old = find_line(s, l->name, &i);
	if (old && old->file == r->number) {
		diag_error(r->d, &l->at, "'%s' is given twice; first in line %d", l->name, old->at.line);
		return;
	}
	if (!*l->value && find_section(&r->cf->section, s->name) == s) {
		if (old)
			list_remove(&s->line, i);
		else
			diag_error(r->d, &l->at, s->plain ? "'%s' has no value" : "'%s' has no component", l->name);
		return;
	}
	if (!s->plain) {
		l->spec = pool_alloc(r->pool, sizeof *l->spec);
		spec_parse(r->pool, l->value, &l->value_at, l->spec, r->d);
	}
	if (old)
		s->line.v[i] = l;
	else
		list_add(r->pool, &s->line, l);
}

static void on_line(void *ctx, const char *section, const char *name, const char *value, const struct place *at,
                    const struct place *value_at)
{
	struct reading *r = ctx;
	struct line *l;
	if (!name) {
		begin_section(r, section, at);
		return;
	}
	if (!section) {
		struct place all = *at;
		all.len = value_at->col + value_at->len - at->col;
		if (strcmp(name, "include"))
			diag_error(r->d, at, "before the first section only 'include = FILE' may stand");
		else
			include(r, value, *value ? value_at : &all);
		return;
	}
	if (!r->now)
		return;
	if (!strcmp(name, "include")) {
		diag_error(r->d, at, "include stands before the first section");
		return;
	}
	if (!r->now->plain && !spec_name_ok(name)) {
		diag_error(r->d, at, "a name has letters, digits, '_', '-' and '.', and begins with none of the last two");
		return;
	}
	l = pool_alloc(r->pool, sizeof *l);
	*l = (struct line){ .name = name, .value = value, .at = *at, .value_at = *value_at, .file = r->number };
	add_line(r, l);
}

static bool read_one(struct reading *outer, const char *path, const struct place *from)
{
	struct reading r = *outer;
	struct stat st;
	r.outer = from ? outer : NULL;
	r.path = path;
	r.now = NULL;
	r.depth++;
	r.number = ++*r.files;
	if (stat(path, &st) == 0) {
		r.dev = st.st_dev;
		r.ino = st.st_ino;
		for (const struct reading *o = r.outer; o; o = o->outer) {
			if (o->dev == st.st_dev && o->ino == st.st_ino) {
				diag_error(r.d, from, "'%s' includes itself%s", path, o == r.outer ? "" : " through other files");
				return true;
			}
		}
	}
	if (r.depth > INCLUDE_DEPTH) {
		diag_error(r.d, from, "more than %d files deep", INCLUDE_DEPTH);
		return true;
	}
	return ini_read(path, from, r.pool, on_line, &r, r.d);
}

struct config_file *config_read(const char *path, struct diag *d)
{
	struct config_file *cf = calloc(1, sizeof *cf);
	struct reading r = { .cf = cf, .d = d };
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	size_t n = strlen(name);
	int files = 0;
	if (!cf)
		abort();
	cf->pool = r.pool = pool_create();
	cf->path = pool_copy(cf->pool, path, strlen(path));
	cf->stem = pool_copy(cf->pool, name, n > 4 && !strcmp(name + n - 4, ".ini") ? n - 4 : n);
	r.files = &files;
	if (!read_one(&r, cf->path, NULL)) {
		config_file_destroy(cf);
		return NULL;
	}
	for (int i = 0; i < cf->variant.n; i++)
		list_add(cf->pool, &cf->name, (void *)((struct file_section *)cf->variant.v[i])->name);
	list_add(cf->pool, &cf->name, NULL);
	return cf;
}

void config_file_rename(struct config_file *cf, const char *stem)
{
	cf->stem = pool_copy(cf->pool, stem, strlen(stem));
}

void config_file_destroy(struct config_file *cf)
{
	if (!cf)
		return;
	pool_destroy(cf->pool);
	free(cf);
}

int config_variants(const struct config_file *cf, const char *const **name)
{
	*name = (const char *const *)cf->name.v;
	return cf->variant.n;
}

/* --- building ------------------------------------------------------------------------ */

/* One override being applied. */
struct change {
	struct config *c;
	struct pool *pool;
	struct diag *d;
	const char *path, *value; /* value: as written */
	struct place at, value_at;
	bool shell; /* from the command line: blanks need no quotes */
};

struct section *config_section(const struct config *c, const char *name)
{
	for (int i = 0; i < c->n_section; i++)
		if (!strcmp(c->section[i]->name, name))
			return c->section[i];
	return NULL;
}

static struct spec *find_spec(const struct section *s, const char *name, size_t n, int *index)
{
	for (int i = 0; s && i < s->n_spec; i++) {
		if (strlen(s->spec[i]->name) == n && !memcmp(s->spec[i]->name, name, n)) {
			if (index)
				*index = i;
			return s->spec[i];
		}
	}
	return NULL;
}

struct spec *config_spec(const struct config *c, const char *section, const char *name)
{
	return find_spec(config_section(c, section), name, strlen(name), NULL);
}

const struct arg *config_setting(const struct config *c, const char *section, const char *name)
{
	struct spec *s = config_spec(c, section, name);
	if (!s || !s->arg)
		return NULL;
	s->arg->used = true;
	return s->arg;
}

void config_unknown_settings(const struct config *c, const char *section, const char *const *known, struct diag *d)
{
	const struct section *s = config_section(c, section);
	char all[512];
	diag_list(all, sizeof all, known);
	for (int i = 0; s && i < s->n_spec; i++) {
		const char *near = diag_nearest(s->spec[i]->name, known);
		if (!s->spec[i]->arg || s->spec[i]->arg->used)
			continue;
		diag_error(d, &s->spec[i]->at, "unknown setting '%s'%s%s%s known: %s", s->spec[i]->name,
		           near ? "; did you mean '" : ";", near ? near : "", near ? "'?" : "", all);
	}
}

static void section_add(struct pool *pool, struct section *s, struct spec *spec)
{
	struct spec **old = s->spec;
	/* Arrays in a pool: grown when the count is a power of two. */
	if (!(s->n_spec & (s->n_spec - 1))) {
		s->spec = pool_alloc(pool, (size_t)(s->n_spec ? 2 * s->n_spec : 1) * sizeof *s->spec);
		if (old)
			memcpy(s->spec, old, (size_t)s->n_spec * sizeof *old);
	}
	s->spec[s->n_spec++] = spec;
}

static struct section *section_make(struct pool *pool, struct config *c, const char *name, const struct place *at)
{
	struct section *s = pool_alloc(pool, sizeof *s), **old = c->section;
	s->name = name;
	s->at = *at;
	c->section = pool_alloc(pool, (size_t)(c->n_section + 1) * sizeof *c->section);
	if (old)
		memcpy(c->section, old, (size_t)c->n_section * sizeof *old);
	c->section[c->n_section++] = s;
	return s;
}

/* A plain setting: component is the text, and so is arg[0]. NULL after an error. */
static struct spec *plain_spec(struct pool *pool, const char *section, const char *name, const char *value,
                               const struct place *at, const struct place *value_at, struct diag *d)
{
	struct spec *s = pool_alloc(pool, sizeof *s);
	*s = (struct spec){ .section = section, .name = name, .component = value, .at = *at, .component_at = *value_at };
	if (*value == '"' && !spec_unquote(pool, value, value_at, &s->component, d))
		return NULL;
	s->arg = pool_alloc(pool, sizeof *s->arg);
	*s->arg = (struct arg){ .key = name, .value = s->component, .at = *at, .value_at = *value_at };
	return s;
}

static void copy_section(struct config_file *cf, struct config *c, const struct file_section *from, struct diag *d)
{
	struct section *to = section_make(cf->pool, c, from->name, &from->at);
	for (int i = 0; i < from->line.n; i++) {
		const struct line *l = from->line.v[i];
		struct spec *s;
		if (from->plain) {
			s = plain_spec(cf->pool, to->name, l->name, l->value, &l->at, &l->value_at, d);
		} else {
			s = pool_alloc(cf->pool, sizeof *s);
			*s = *l->spec;
			s->section = to->name;
			s->name = l->name;
			s->at = l->at;
			s->arg = pool_alloc(cf->pool, (size_t)(s->n_arg + 1) * sizeof *s->arg);
			if (s->n_arg)
				memcpy(s->arg, l->spec->arg, (size_t)s->n_arg * sizeof *s->arg);
		}
		if (s)
			section_add(cf->pool, to, s);
	}
}

/* Part of the path as a place. */
static struct place part(const struct change *ch, size_t from, size_t n)
{
	struct place p = ch->at;
	p.col += (int)from;
	p.len = (int)n;
	return p;
}

static void forget_arg(struct arg *a)
{
	if (a->wild)
		a->wild->specs--;
}

static void remove_spec(struct section *s, int i)
{
	for (int k = 0; k < s->spec[i]->n_arg; k++)
		forget_arg(&s->spec[i]->arg[k]);
	memmove(s->spec + i, s->spec + i + 1, (size_t)(s->n_spec - i - 1) * sizeof *s->spec);
	s->n_spec--;
}

static void unknown_name(const struct change *ch, const struct section *s, const char *section, size_t from, size_t n)
{
	struct place at = part(ch, from, n);
	int count = s ? s->n_spec : 0;
	const char **known = calloc((size_t)count + 1, sizeof *known), *near;
	char all[512], name[128];
	if (!known)
		abort();
	for (int i = 0; i < count; i++)
		known[i] = s->spec[i]->name;
	snprintf(name, sizeof name, "%.*s", (int)n, ch->path + from);
	near = diag_nearest(name, known);
	diag_list(all, sizeof all, known);
	if (!count)
		diag_error(ch->d, &at, "no '%s' in [%s]; the section is empty", name, section);
	else if (near)
		diag_error(ch->d, &at, "no '%s' in [%s]; did you mean '%s'? there are: %s", name, section, near, all);
	else
		diag_error(ch->d, &at, "no '%s' in [%s]; there are: %s", name, section, all);
	free(known);
}

/* `section.name = component ...` or `section.name =`. */
static void change_spec(struct change *ch, struct section *s, const char *section, bool plain, size_t from, size_t n)
{
	int i = 0;
	struct spec *old = find_spec(s, ch->path + from, n, &i), *spec;
	struct place at = part(ch, from, n);
	const char *name = pool_copy(ch->pool, ch->path + from, n);
	if (!*ch->value) {
		if (old)
			remove_spec(s, i);
		else
			unknown_name(ch, s, section, from, n);
		return;
	}
	if (!plain && !spec_name_ok(name)) {
		diag_error(ch->d, &at, "a name has letters, digits, '_', '-' and '.', and begins with none of the last two");
		return;
	}
	if (!s)
		s = section_make(ch->pool, ch->c, section, &ch->at);
	if (plain) {
		spec = plain_spec(ch->pool, s->name, name, ch->value, &at, &ch->value_at, ch->d);
	} else {
		spec = pool_alloc(ch->pool, sizeof *spec);
		if (!spec_parse(ch->pool, ch->value, &ch->value_at, spec, ch->d))
			spec = NULL;
	}
	if (!spec)
		return;
	spec->section = s->name;
	spec->name = name;
	spec->at = at;
	if (old) {
		for (int k = 0; k < old->n_arg; k++)
			forget_arg(&old->arg[k]);
		s->spec[i] = spec;
	} else {
		section_add(ch->pool, s, spec);
	}
}

static void set_key(struct change *ch, struct spec *s, const struct arg *to, struct wild *wild)
{
	struct arg *old = s->arg;
	for (int k = 0; k < s->n_arg; k++) {
		if (strcmp(s->arg[k].key, to->key))
			continue;
		if (wild)
			wild->hits++;
		forget_arg(&s->arg[k]);
		if (to->value) {
			s->arg[k] = *to;
		} else {
			memmove(s->arg + k, s->arg + k + 1, (size_t)(s->n_arg - k - 1) * sizeof *s->arg);
			s->n_arg--;
		}
		return;
	}
	if (!to->value)
		return;
	s->arg = pool_alloc(ch->pool, (size_t)(s->n_arg + 1) * sizeof *s->arg);
	if (s->n_arg)
		memcpy(s->arg, old, (size_t)s->n_arg * sizeof *old);
	s->arg[s->n_arg] = *to;
	s->arg[s->n_arg++].wild = wild;
	if (wild)
		wild->specs++;
}

/* `section.name.key = value`; the name may be a pattern. An empty value takes the key away. */
static void change_key(struct change *ch, struct section *s, const char *section, size_t from, size_t n, size_t key)
{
	const char *name = ch->path + from;
	bool pattern = memchr(name, '*', n) != NULL;
	struct arg to = { .key = pool_copy(ch->pool, ch->path + key, strlen(ch->path + key)),
		              .at = part(ch, key, strlen(ch->path + key)),
		              .value_at = ch->value_at };
	struct wild *wild = pattern ? pool_alloc(ch->pool, sizeof *wild) : NULL;
	int found = 0;
	if (*ch->value && ch->shell && *ch->value != '"')
		to.value = ch->value;
	else if (*ch->value && !spec_unquote(ch->pool, ch->value, &ch->value_at, &to.value, ch->d))
		return;
	for (int i = 0; s && i < s->n_spec; i++) {
		if (!glob(name, n, s->spec[i]->name))
			continue;
		found++;
		set_key(ch, s->spec[i], &to, wild);
	}
	if (!found)
		unknown_name(ch, s, section, from, n);
}

static void change(struct change *ch)
{
	size_t dot = strcspn(ch->path, "."), rest = dot + 1, len = strlen(ch->path);
	const char *section = pool_copy(ch->pool, ch->path, dot), *last;
	int index = section_index(section);
	struct section *s = config_section(ch->c, section);
	struct place at = part(ch, 0, dot);
	if (index < 0) {
		unknown_section(ch->d, &at, section, true);
		return;
	}
	if (rest >= len) {
		at = part(ch, 0, len);
		diag_error(ch->d, &at, "expected a path: section.name or section.name.key");
		return;
	}
	if (sections[index].flags & PLAIN) {
		change_spec(ch, s, section, true, rest, len - rest);
		return;
	}
	last = strrchr(ch->path + rest, '.');
	if (!last || find_spec(s, ch->path + rest, len - rest, NULL)) {
		int matched = 0;
		if (!strchr(ch->path + rest, '*')) {
			change_spec(ch, s, section, false, rest, len - rest);
			return;
		}
		at = part(ch, rest, len - rest);
		if (*ch->value) {
			diag_error(ch->d, &at, "a pattern can set keys or remove entries, not make one");
			return;
		}
		for (int i = s ? s->n_spec - 1 : -1; i >= 0; i--) {
			if (glob(ch->path + rest, len - rest, s->spec[i]->name)) {
				remove_spec(s, i);
				matched++;
			}
		}
		if (!matched)
			unknown_name(ch, s, section, rest, len - rest);
		return;
	}
	if (!last[1] || last == ch->path + rest) {
		at = part(ch, 0, len);
		diag_error(ch->d, &at, "expected a path: section.name or section.name.key");
		return;
	}
	change_key(ch, s, section, rest, (size_t)(last - ch->path) - rest, (size_t)(last - ch->path) + 1);
}

static void override(struct change *ch, const char *text)
{
	const char *eq = strchr(text, '=');
	size_t n;
	text = pool_copy(ch->pool, text, strlen(text));
	ch->at = (struct place){ .file = "command line", .text = text, .len = (int)strlen(text) };
	if (!eq) {
		diag_error(ch->d, &ch->at, "expected path=value, as in network.fc1.units=100");
		return;
	}
	n = strcspn(text, "=");
	ch->path = pool_copy(ch->pool, text, n);
	ch->value = text + n + 1;
	ch->at.len = (int)n;
	ch->value_at = ch->at;
	ch->value_at.col = (int)n + 1;
	ch->value_at.len = (int)strlen(ch->value);
	ch->shell = true;
	change(ch);
}

struct config *config_build(struct config_file *cf, const char *variant, int n, const char *const *overrides,
                            struct diag *d)
{
	struct config *c = pool_alloc(cf->pool, sizeof *c);
	struct change ch = { .c = c, .pool = cf->pool, .d = d };
	const struct file_section *v = NULL;
	c->path = cf->path;
	c->stem = cf->stem;
	c->variant = variant ? pool_copy(cf->pool, variant, strlen(variant)) : "";
	c->n_variant = cf->variant.n;
	c->variant_name = (const char **)cf->name.v;
	for (int i = 0; i < cf->section.n; i++)
		copy_section(cf, c, cf->section.v[i], d);
	if (*c->variant) {
		v = find_section(&cf->variant, c->variant);
		if (!v) {
			struct place at = { .file = cf->path };
			const char *near = diag_nearest(c->variant, (const char *const *)cf->name.v);
			char all[512];
			diag_list(all, sizeof all, (const char *const *)cf->name.v);
			diag_error(d, &at, "no variant '%s'%s%s%s there are: %s", c->variant, near ? "; did you mean '" : ";",
			           near ? near : "", near ? "'?" : "", *all ? all : "none");
		}
	}
	for (int i = 0; v && i < v->line.n; i++) {
		const struct line *l = v->line.v[i];
		ch.path = l->name;
		ch.value = l->value;
		ch.at = l->at;
		ch.value_at = l->value_at;
		change(&ch);
	}
	for (int i = 0; i < n; i++)
		override(&ch, overrides[i]);
	return c;
}
