/* SPDX-License-Identifier: MIT
 *
 * resolved.c: writes resolved.ini and compares two of them. A new setting of [run] is a row
 * in settings_list.
 */
#include "resolved.h"

#include "tool.h"

#include <stdlib.h>
#include <string.h>

/* --- [run] -------------------------------------------------------------------------- */

struct setting_text {
	const char *key;
	char value[64];
	const char *text; /* instead of value, if long */
};
#define MAX_SETTING 32

static void say(struct setting_text *s, int *n, const char *key, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	s[*n].key = key;
	s[*n].text = NULL;
	vsnprintf(s[*n].value, sizeof s[*n].value, format, ap);
	va_end(ap);
	++*n;
}

static int settings_list(const struct settings *s, int64_t seed, struct setting_text *out)
{
	int n = 0;
	say(out, &n, "config", "%lld", (long long)s->config);
	say(out, &n, "seed", "%lld", (long long)seed);
	say(out, &n, "epochs", "%lld", (long long)s->epochs);
	if (s->batch)
		say(out, &n, "batch", "%lld", (long long)s->batch);
	else
		say(out, &n, "batch", "all");
	say(out, &n, "rng", "%s", s->rng == RNG_TORCH ? "torch" : "philox");
	say(out, &n, "shuffle", "%s", s->shuffle ? "yes" : "no");
	say(out, &n, "drop_last", "%s", s->drop_last ? "yes" : "no");
	say(out, &n, "evaluate", "%s", s->evaluate_train ? "train,val" : "val");
	say(out, &n, "log_every", "%lld", (long long)s->log_every);
	say(out, &n, "track", "%s", s->track ? "yes" : "no");
	say(out, &n, "eval_batch", "%lld", (long long)s->eval_batch);
	if (s->data_memory)
		say(out, &n, "data_memory", "%lld", (long long)s->data_memory);
	if (s->lo < s->hi) {
		char lo[40], hi[40];
		format_real(lo, sizeof lo, s->lo);
		format_real(hi, sizeof hi, s->hi);
		say(out, &n, "bounds", "%.30s,%.30s", lo, hi);
	}
	if (s->weights) {
		say(out, &n, "weights", "%s", "");
		out[n - 1].text = s->weights;
	}
	if (s->weights_averaged)
		say(out, &n, "weights_averaged", "yes");
	const struct {
		const char *key, *text;
	} of_weights[] = { { "weights_on", s->weights_on }, { "weights_map", s->weights_map }, { "freeze", s->freeze } };
	for (size_t i = 0; i < sizeof of_weights / sizeof *of_weights; i++)
		if (of_weights[i].text) {
			say(out, &n, of_weights[i].key, "%s", "");
			out[n - 1].text = of_weights[i].text;
		}
	/* What follows changes no result: see is_free. */
	say(out, &n, "threads", "%lld", (long long)s->threads);
	say(out, &n, "cache", "%s", s->cache == CACHE_YES ? "yes" : s->cache == CACHE_NO ? "no" : "auto");
	if (s->checkpoint_seconds < 0) {
		say(out, &n, "checkpoint_seconds", "never");
	} else {
		say(out, &n, "checkpoint_seconds", "%s", "");
		format_real(out[n - 1].value, sizeof out[n - 1].value, s->checkpoint_seconds);
	}
	say(out, &n, "out", "%s", "");
	out[n - 1].text = s->out;
	return n;
}

static bool is_free(const char *line)
{
	static const char *const keys[] = { "threads ", "data_memory ", "cache ", "checkpoint_seconds ", "out " };
	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
		if (!strncmp(line, keys[i], strlen(keys[i])))
			return true;
	return false;
}

static void origin_of(FILE *out, const struct place *at)
{
	if (at->file && at->line > 0)
		fprintf(out, "%s:%d", at->file, at->line);
	else
		fputs(at->file ? at->file : "default", out);
}

static void write_run(FILE *out, const struct resolved *r)
{
	struct setting_text s[MAX_SETTING];
	int n = settings_list(r->settings, r->seed, s);

	fputs("\n[run]\n", out);
	for (int i = 0; i < n; i++) {
		const struct spec *spec = config_spec(r->config, "run", s[i].key), *seeds = NULL;
		if (!strcmp(s[i].key, "seed"))
			seeds = config_spec(r->config, "run", "seeds");
		if (seeds && (!spec || (seeds->at.file && !strcmp(seeds->at.file, "command line"))))
			spec = seeds;
		fprintf(out, "%s = ", s[i].key);
		fputs(s[i].text ? s[i].text : s[i].value, out);
		fputs("  ; ", out);
		if (spec)
			origin_of(out, &spec->at);
		else
			fputs("default", out);
		fputc('\n', out);
	}
	/* Not the setting, which may be auto, but what it came to. */
	if (r->backend)
		fprintf(out, "backend = %s  ; [run] backend = %s\n", r->backend->component->c.name, r->settings->backend);
}

/* --- specs -------------------------------------------------------------------------- */

static const struct instance *find_instance(const struct resolved *r, const struct spec *s)
{
	for (int i = 0; i < r->n_instance; i++)
		if (r->instance[i]->spec == s)
			return r->instance[i];
	for (int i = 0; i < r->n_extra; i++)
		if (r->extra[i]->spec == s)
			return r->extra[i];
	return NULL;
}

/* Paths are written as they were found, so that the file works from any folder. */
static char *portable(const struct resolved *r, const struct instance *inst, const char *key, const char *value)
{
	const struct component *c = inst->component;
	if (!*value)
		return tool_strdup(value);
	for (int i = 0; i < c->n_key; i++) {
		if (strcmp(c->key[i].key, key) || c->key[i].type != REIN_KEY_PATH)
			continue;
		const char *path = *(const char *const *)((const char *)inst->self + c->key[i].offset);
		return tool_strdup(path ? path : value);
	}
	if (c->c.kind == REIN_DATASET && !strcmp(key, "order") && strcmp(value, "file") && strcmp(value, "shuffled"))
		return path_of_config(r->config->path, value);
	return tool_strdup(value);
}

static void write_instance(FILE *out, const struct resolved *r, const struct instance *inst)
{
	const char *key, *value, *origin, *last = NULL;

	fprintf(out, "; %s %s", inst->component->plugin, inst->component->plugin_version);
	for (int i = 0; instance_key(inst, i, &key, &value, &origin); i++) {
		if (!last || strcmp(last, origin))
			fprintf(out, "; %s:", origin);
		fprintf(out, " %s", key);
		last = origin;
	}
	fprintf(out, "\n%s = %s", inst->spec->name, inst->spec->component);
	for (int i = 0; instance_key(inst, i, &key, &value, &origin); i++) {
		if (!*value && !strcmp(origin, "default"))
			continue;
		char *v = portable(r, inst, key, value);
		fprintf(out, " %s=", key);
		spec_write_value(out, v);
		free(v);
	}
	fputc('\n', out);
}

/* Specs that are the core's own (stages), and plain settings (search). */
static void write_spec(FILE *out, const struct spec *s)
{
	fputs("; ", out);
	origin_of(out, &s->at);
	fprintf(out, "\n%s = %s", s->name, s->component);
	for (int i = 0; i < s->n_arg; i++) {
		fprintf(out, " %s=", s->arg[i].key);
		spec_write_value(out, s->arg[i].value);
	}
	fputc('\n', out);
}

char *resolved_text(const struct resolved *r)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	fprintf(out, "; %s", r->config->path);
	if (r->config->variant && r->config->variant[0])
		fprintf(out, ", variant %s", r->config->variant);
	fprintf(out, ", seed %lld: every key, its value and where it came from.\n", (long long)r->seed);
	fprintf(out, "; rein %s, ABI %u.%u", REIN_VERSION, REIN_ABI_MAJOR, REIN_ABI_MINOR);
	if (r->backend)
		fprintf(out, ", backend %s %s (%s)", r->backend->component->c.name, r->backend->component->plugin_version,
		        r->device ? r->device : "");
	fputs("\n; Running this file repeats the run, bit for bit on the same backend.\n", out);
	write_run(out, r);
	for (int i = 0; i < r->config->n_section; i++) {
		const struct section *s = r->config->section[i];
		if (!strcmp(s->name, "run") || !s->n_spec)
			continue;
		fprintf(out, "\n[%s]\n", s->name);
		for (int j = 0; j < s->n_spec; j++) {
			const struct instance *inst = find_instance(r, s->spec[j]);
			if (inst)
				write_instance(out, r, inst);
			else
				write_spec(out, s->spec[j]);
		}
	}
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}

/* --- comparing ---------------------------------------------------------------------- */

/* A line that counts, without its comment. */
struct said {
	const char *text, *section;
	size_t name; /* how long the key before " = " is; of a "[section]" all of it */
	bool met;    /* the other file has it too */
};

struct said_list {
	int n;
	struct said *line;
	char *copy;
};

static struct said_list list_of(const char *text)
{
	struct said_list l = { .copy = tool_strdup(text) };
	const char *section = "";
	size_t n = 1;

	for (const char *at = text; *at; at++)
		n += *at == '\n';
	l.line = tool_alloc(n * sizeof *l.line);
	for (char *rest = l.copy, *line; (line = strsep(&rest, "\n"));) {
		char *comment = strstr(line, "  ; ");
		if (comment)
			*comment = 0;
		if (!line[0] || line[0] == ';' || is_free(line))
			continue;
		const char *equals = line[0] == '[' ? NULL : strstr(line, " = ");
		section = line[0] == '[' ? line : section;
		l.line[l.n++] = (struct said){ line, section, equals ? (size_t)(equals - line) : strlen(line), false };
	}
	return l;
}

static void list_finish(struct said_list *l)
{
	free(l->line);
	free(l->copy);
}

/* Where l has the key of s; looked for from `from` on, where it mostly is. */
static int find_said(const struct said_list *l, const struct said *s, int from)
{
	for (int k = 0; k < l->n; k++) {
		int i = (from + k) % l->n;
		const struct said *x = &l->line[i];
		if (x->name == s->name && !strncmp(x->text, s->text, s->name) && !strcmp(x->section, s->section))
			return i;
	}
	return -1;
}

#define SHOWN 6

static void differs(int *n, char *why, size_t size, const char *then, const char *now)
{
	size_t used = strlen(why);
	if (++*n <= SHOWN)
		snprintf(why + used, size - used, "  then: %s\n  now:  %s\n", then, now);
}

bool resolved_same(const char *then, const char *now, char *why, size_t size)
{
	struct said_list a = list_of(then), b = list_of(now);
	int n = 0, last = -1;

	why[0] = 0;
	for (int i = 0; i < a.n; i++) {
		struct said *x = &a.line[i];
		int at = find_said(&b, x, last + 1);
		if (at < 0) {
			differs(&n, why, size, x->text, "(nothing)");
			continue;
		}
		b.line[at].met = true;
		if (strcmp(x->text, b.line[at].text))
			differs(&n, why, size, x->text, b.line[at].text);
		else if (at < last)
			differs(&n, why, size, x->text, "the same, further up");
		last = at > last ? at : last;
	}
	for (int i = 0; i < b.n; i++)
		if (!b.line[i].met)
			differs(&n, why, size, "(nothing)", b.line[i].text);
	if (n > SHOWN && strlen(why) < size)
		snprintf(why + strlen(why), size - strlen(why), "  and %d more\n", n - SHOWN);
	list_finish(&a);
	list_finish(&b);
	return n == 0;
}
