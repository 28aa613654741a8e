/* SPDX-License-Identifier: MIT
 *
 * cmd_inspect.c: rein inspect: the components there are, and the keys of one, all from
 * the tables of the plugins. `--markdown` prints the lower part of docs/config.md.
 */
#include <stdlib.h>
#include <string.h>

#include "schema.h"
#include "tool.h"

/* Where the specs of a kind stand. */
static void print_sections(FILE *out, uint32_t kind)
{
	if (kind == REIN_BACKEND)
		fprintf(out, "[run] backend = NAME");
	else if (kind == REIN_SEARCH)
		fprintf(out, "[search] strategy = NAME");
	else if (kind == REIN_AUGMENTATION)
		fprintf(out, "[augmentations], [transforms]");
	else
		fprintf(out, "[%s]", kind_section(kind));
}

static const char *plural(uint32_t kind)
{
	static char name[32];
	const char *one = kind_name(kind);
	size_t n = strlen(one);
	snprintf(name, sizeof name, "%s%s", one, !strcmp(one, "loss") || one[n - 1] == 'h' ? "es" : "s");
	return name;
}

/* What a key takes: "0..1e6", "torch | zeros", "an attack". */
static const char *takes(const struct rein_key *k, char *buf, size_t size, const char *bar)
{
	bool whole = k->type == REIN_KEY_INT || k->type == REIN_KEY_INTS;
	size_t used = 0;
	buf[0] = 0;
	switch (k->type) {
	case REIN_KEY_BOOL: snprintf(buf, size, "yes, no"); break;
	case REIN_KEY_STRING: snprintf(buf, size, k->flags & REIN_KEY_METRIC ? "a metric" : "text"); break;
	case REIN_KEY_PATH: snprintf(buf, size, "a file"); break;
	case REIN_KEY_REF: snprintf(buf, size, "a name in [%s]", kind_section(kind_by_name(k->choices[0]))); break;
	case REIN_KEY_REFS: snprintf(buf, size, "names in [%s]", kind_section(kind_by_name(k->choices[0]))); break;
	case REIN_KEY_ENUM:
		for (int i = 0; k->choices[i] && used < size; i++)
			used += (size_t)snprintf(buf + used, size - used, "%s%s", i ? bar : "", k->choices[i]);
		break;
	default:
		used =
			(size_t)snprintf(buf, size, "%s", k->type == REIN_KEY_INTS || k->type == REIN_KEY_REALS ? "list of " : "");
		if (k->min <= -1e15 && k->max >= 1e15)
			snprintf(buf + used, size - used, whole ? "any whole number" : "any number");
		else if (whole && k->max >= 1e15)
			snprintf(buf + used, size - used, "whole, from %.0f", k->min);
		else
			key_range(k, buf + used, size - used);
		if (whole && k->max < 1e15)
			snprintf(buf + strlen(buf), size - strlen(buf), ", whole");
	}
	return buf;
}

static const char *default_of(const struct rein_key *k)
{
	if (k->instead)
		return "deprecated";
	return !k->def ? "required" : *k->def ? k->def : "empty";
}

static const char *notes(const struct rein_key *k, char *buf, size_t size)
{
	if (k->instead)
		snprintf(buf, size, "; use %s", k->instead);
	else
		snprintf(buf, size, "%s", k->flags & REIN_KEY_KNOB ? "; [schedules] may change it" : "");
	return buf;
}

#define TAKES 26
static void print_keys(const struct rein_key *k)
{
	char range[256], more[64];
	for (; k->key; k++) {
		takes(k, range, sizeof range, " | ");
		printf("  %-14s %-10s %-*s", k->key, default_of(k), TAKES, range);
		if (strlen(range) > TAKES)
			printf("\n  %-*s", 14 + 1 + 10 + 1 + TAKES, "");
		printf(" %s%s\n", k->help, notes(k, more, sizeof more));
	}
}

static void print_backends(uint32_t backends)
{
	if (backends == REIN_ON_ALL)
		printf("every backend\n");
	else
		printf("%s%s%s\n", backends & REIN_ON_CPU ? "cpu" : "", backends == (REIN_ON_CPU | REIN_ON_CUDA) ? ", " : "",
		       backends & REIN_ON_CUDA ? "cuda" : "");
}

static void print_component(const struct component *c)
{
	const struct rein_key *common = common_keys(c->c.kind);
	printf("%s %s: %s\n", kind_name(c->c.kind), c->c.name, c->c.summary);
	if (c->c.reference && *c->c.reference)
		printf("  reference  %s\n", c->c.reference);
	printf("  section    ");
	print_sections(stdout, c->c.kind);
	printf("\n  runs on    ");
	print_backends(c->c.backends);
	printf("  plugin     %s %s\n  file       %s\n", c->plugin, c->plugin_version, c->path);
	if (c->n_key || common->key)
		printf("\n  %-14s %-10s %-*s %s\n", "key", "default", TAKES, "takes", "meaning");
	print_keys(c->key);
	if (common->key)
		printf("  on every %s:\n", kind_name(c->c.kind));
	print_keys(common);
}

static void print_list(const struct registry *r, uint32_t only)
{
	uint32_t kind = 0;
	for (int i = 0; i < registry_count(r); i++) {
		const struct component *c = registry_at(r, i);
		if (only && c->c.kind != only)
			continue;
		if (c->c.kind != kind) {
			printf("%s%s, ", kind ? "\n" : "", plural(c->c.kind));
			print_sections(stdout, c->c.kind);
			printf("\n");
			kind = c->c.kind;
		}
		printf("  %-16s %s\n", c->c.name, c->c.summary);
	}
}

static void print_trouble(const struct registry *r)
{
	const char *path, *reason, *by;
	const struct component *c;
	for (int i = 0; (path = registry_refused(r, i, &reason)); i++)
		printf("%srefused %s: %s\n", i ? "" : "\n", path, reason);
	for (int i = 0; (c = registry_hidden(r, i, &by)); i++)
		printf("%swarning: %s %s of %s is not used: that of %s was found first\n", i ? "" : "\n", kind_name(c->c.kind),
		       c->c.name, c->path, by);
}

/* --- docs/config.md ------------------------------------------------------------------- */

/* A cell: '|' and '<' would end it or begin a tag, '*' and '_' would slant it. */
static void cell(const char *text)
{
	for (; *text; text++) {
		if (strchr("|<*_", *text))
			putchar('\\');
		putchar(*text);
	}
}

static void markdown_keys(const struct rein_key *k)
{
	char range[256], more[64];
	if (!k->key)
		return;
	printf("\n| key | default | takes | meaning |\n|---|---|---|---|\n");
	for (; k->key; k++) {
		printf("| `%s` | ", k->key);
		if (k->def && *k->def && !k->instead)
			printf("`%s`", k->def);
		else
			cell(default_of(k));
		printf(" | ");
		cell(takes(k, range, sizeof range, ", "));
		printf(" | ");
		cell(k->help);
		cell(notes(k, more, sizeof more));
		printf(" |\n");
	}
}

static void markdown(const struct registry *r)
{
	uint32_t kind = 0;
	for (int i = 0; i < registry_count(r); i++) {
		const struct component *c = registry_at(r, i);
		if (c->c.kind != kind) {
			kind = c->c.kind;
			printf("%s## %c%s: ", i ? "\n" : "", plural(kind)[0] - 'a' + 'A', plural(kind) + 1);
			print_sections(stdout, kind);
			putchar('\n');
			if (common_keys(kind)->key)
				printf("\nKeys that every %s has:\n", kind_name(kind));
			markdown_keys(common_keys(kind));
		}
		printf("\n### %s\n\n", c->c.name);
		cell(c->c.summary);
		if (c->c.reference && *c->c.reference) {
			printf(". *From:* ");
			cell(c->c.reference);
		}
		putchar('\n');
		markdown_keys(c->key);
	}
}

/* --- the command ------------------------------------------------------------------------ */

/* "layer", "layers", "network" -> the kind; 0: none. */
static uint32_t kind_of_word(const char *word)
{
	uint32_t kind = kind_of_section(word);
	for (uint32_t k = REIN_BACKEND; !kind && k <= REIN_DETECTOR; k++)
		if (!strcmp(word, kind_name(k)) || !strcmp(word, plural(k)))
			kind = k;
	return kind;
}

/* All components of that name and kind (0: any). Gives how many. */
static int print_named(const struct registry *r, uint32_t kind, const char *name)
{
	int n = 0;
	for (int i = 0; i < registry_count(r); i++) {
		const struct component *c = registry_at(r, i);
		if ((kind && c->c.kind != kind) || strcmp(c->c.name, name))
			continue;
		if (n++)
			putchar('\n');
		print_component(c);
	}
	return n;
}

static int unknown_word(const struct registry *r, const char *word)
{
	const char **names = tool_alloc(((size_t)registry_count(r) + 16) * sizeof *names), *near;
	int n = 0;
	for (uint32_t k = REIN_BACKEND; k <= REIN_DETECTOR; k++)
		names[n++] = kind_name(k);
	for (int i = 0; i < registry_count(r); i++)
		names[n++] = registry_at(r, i)->c.name;
	names[n] = NULL;
	near = diag_nearest(word, names);
	fprintf(stderr, "rein inspect: no kind and no component is called '%s'%s%s%s 'rein inspect' lists them\n", word,
	        near ? "; did you mean '" : ";", near ? near : "", near ? "'?" : "");
	free(names);
	return EXIT_USAGE;
}

static int inspect(struct registry *r, const char *word)
{
	const char *slash = strchr(word, '/'), *name = slash ? slash + 1 : word;
	char *kind_word = tool_strdup(word);
	uint32_t kind;
	struct diag *d;
	const char *path, *reason;
	bool refused = false;
	kind_word[slash ? (size_t)(slash - word) : strlen(word)] = 0;
	kind = kind_of_word(kind_word);
	free(kind_word);
	if (!slash && kind) {
		print_list(r, kind);
		return EXIT_DONE;
	}
	if ((!slash || kind) && print_named(r, kind, name))
		return EXIT_DONE;
	if (!kind)
		return unknown_word(r, slash ? word : name);
	for (int i = 0; (path = registry_refused(r, i, &reason)); i++)
		refused = refused || strstr(path, name);
	d = diag_create();
	registry_unknown(r, d, NULL, NULL, NULL, kind, name);
	diag_print(d, stderr);
	diag_destroy(d);
	return refused ? EXIT_PLUGIN : EXIT_USAGE;
}

int cmd_inspect(int argc, char **argv)
{
	bool md = false;
	const struct cli_option options[] = {
		{ 0, "markdown", NULL, "print the keys of all components as Markdown (docs/config.md)", NULL, &md },
		{ 0, NULL, NULL, NULL, NULL, NULL }
	};
	struct cli c = { .command = "inspect",
		             .operands = "[KIND | KIND/NAME | NAME]",
		             .about = "Lists the components that were found, or tells all about one: its keys with their "
		                      "ranges, defaults\nand meaning, where the maths comes from, and the file it is in.",
		             .examples = "  rein inspect\n  rein inspect regularizer\n  rein inspect layer/linear\n",
		             .option = options };
	int code = cli_parse(&c, argc, argv);
	struct registry *r;
	if (code < 0 && c.n_operand > 1)
		code = cli_usage(&c, "one name is expected, not %d", c.n_operand);
	if (code >= 0) {
		cli_finish(&c);
		return code;
	}
	r = registry_create(c.n_plugin_dir, c.plugin_dir);
	code = EXIT_DONE;
	if (md) {
		markdown(r);
	} else if (c.n_operand) {
		code = inspect(r, c.operand[0]);
	} else {
		print_list(r, 0);
		print_trouble(r);
	}
	registry_destroy(r);
	cli_finish(&c);
	return code;
}
