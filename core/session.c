/* SPDX-License-Identifier: MIT
 *
 * session.c: what every command begins with: plugins found, one config file read, overrides
 * kept, and how messages become exit codes.
 */
#include "tool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

#include "folder.h"

static _Noreturn void no_memory(size_t bytes)
{
	fprintf(stderr, "rein: out of memory (%zu bytes)\n", bytes);
	exit(EXIT_FAILED);
}

void *tool_alloc(size_t bytes)
{
	void *p = calloc(1, bytes ? bytes : 1);
	if (!p)
		no_memory(bytes);
	return p;
}

char *tool_strdup(const char *s)
{
	size_t n = strlen(s) + 1;
	return memcpy(tool_alloc(n), s, n);
}

char *tool_printf(const char *format, ...)
{
	va_list ap;
	char *s;
	va_start(ap, format);
	int n = vasprintf(&s, format, ap);
	va_end(ap);
	if (n < 0)
		no_memory(strlen(format));
	return s;
}

char *path_join(const char *folder, const char *name)
{
	size_t n = strlen(folder);
	return tool_printf("%s%s%s", folder, n && folder[n - 1] == '/' ? "" : "/", name);
}

char *path_of_config(const char *config_path, const char *path)
{
	const char *root = getenv("REIN_DATA"), *slash = strrchr(config_path, '/');
	char *found, *beside, *real;

	if (path[0] == '/')
		return tool_strdup(path);
	beside = slash ? tool_printf("%.*s/%s", (int)(slash - config_path), config_path, path) : tool_strdup(path);
	found = root && *root ? path_join(root, path) : tool_strdup(beside);
	if (access(found, F_OK) && !access(beside, F_OK)) {
		free(found);
		found = beside;
	} else {
		free(beside);
	}
	real = realpath(found, NULL);
	if (!real && found[0] != '/') {
		char *cwd = getcwd(NULL, 0);
		real = cwd ? path_join(cwd, found) : NULL;
		free(cwd);
	}
	if (!real)
		return found;
	free(found);
	return real;
}

bool path_is_folder(const char *path)
{
	struct stat st;
	return !stat(path, &st) && S_ISDIR(st.st_mode);
}

int run_operand(struct cli *c, char **file, char **weights)
{
	const char *folder = c->operand[0];

	if (!file_exists(folder, FILE_RESOLVED))
		return cli_usage(c, "'%s' is not the folder of a run: it has no %s", folder, FILE_RESOLVED);
	if (!*weights && !file_exists(folder, FILE_MODEL))
		return cli_usage(c, "'%s' has no %s: the run is not finished", folder, FILE_MODEL);
	*file = path_join(folder, FILE_RESOLVED);
	if (!*weights)
		*weights = path_join(folder, FILE_MODEL);
	c->operand[0] = *file;
	return -1;
}

int run_of_config(const struct session *s, const char *variant, char **weights)
{
	const char *slash = strrchr(s->path, '/'), *name = slash ? slash + 1 : s->path, *dot = strrchr(name, '.');
	char *folder =
		tool_printf("runs/%.*s/%s", (int)(dot ? dot - name : (long)strlen(name)), name, variant ? variant : "main");

	*weights = path_join(folder, FILE_MODEL);
	if (access(*weights, R_OK)) {
		fprintf(stderr, "rein: there is no '%s': run the config first, or say --weights FILE\n", *weights);
		free(folder);
		return EXIT_USAGE;
	}
	free(folder);
	return -1;
}

int session_open(struct session *s, const struct cli *c)
{
	memset(s, 0, sizeof *s);
	if (c->n_operand < 1)
		return cli_usage(c, "which config file?");
	s->path = c->operand[0];
	s->override = tool_alloc((size_t)c->n_operand * sizeof *s->override);
	for (int i = 1; i < c->n_operand; i++) {
		if (!strchr(c->operand[i], '='))
			return cli_usage(c, "'%s' is not an override; they look like run.epochs=1", c->operand[i]);
		s->override[s->n_override++] = tool_strdup(c->operand[i]);
	}
	s->diag = diag_create();
	s->registry = registry_create(c->n_plugin_dir, c->plugin_dir);
	s->file = config_read(s->path, s->diag);
	if (!s->file || diag_errors(s->diag))
		return session_errors(s, NULL) >= 0 ? EXIT_USAGE : EXIT_FAILED;
	s->n_variant = config_variants(s->file, &s->variant);
	return -1;
}

void session_override(struct session *s, const char *path, const char *value)
{
	const char **more = tool_alloc(((size_t)s->n_override + 1) * sizeof *more);
	memcpy(more, s->override, (size_t)s->n_override * sizeof *more);
	free(s->override);
	s->override = more;
	s->override[s->n_override++] = tool_printf("%s=%s", path, value);
}

void session_no_stages(struct session *s, const char *variant)
{
	struct config *c = config_build(s->file, variant, s->n_override, s->override, s->diag);
	const struct section *stages = c ? config_section(c, "stages") : NULL;

	for (int i = 0; stages && i < stages->n_spec; i++) {
		char *path = tool_printf("stages.%s", stages->spec[i]->name);
		session_override(s, path, "");
		free(path);
	}
}

int session_names(struct session *s, const struct cli *cl, const char *variant, const char *option, const char *list,
                  const char *section, bool many)
{
	struct config *c = config_build(s->file, variant, s->n_override, s->override, s->diag);
	const struct section *sec = c ? config_section(c, section) : NULL;
	int n = sec ? sec->n_spec : 0, code = -1;
	const char **known = tool_alloc(((size_t)n + 1) * sizeof *known), *near;
	char *copy = tool_strdup(list), *at = copy, *word, all[400];
	bool *taken = tool_alloc((size_t)n + 1);

	for (int i = 0; i < n; i++)
		known[i] = sec->spec[i]->name;
	diag_list(all, sizeof all, known);
	while (code < 0 && (word = strsep(&at, many ? "," : ""))) {
		int i = 0;
		while (i < n && strcmp(known[i], word))
			i++;
		near = i < n ? NULL : diag_nearest(word, known);
		if (i == n)
			code = cli_usage(cl, "--%s %s: there is no '%s' in [%s]%s%s%s; %s%s", option, list, word, section,
			                 near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "",
			                 n ? "there are: " : "it is empty", all);
		else if (taken[i])
			code = cli_usage(cl, "--%s %s: '%s' is there twice", option, list, word);
		else
			taken[i] = true;
	}
	free(known);
	free(taken);
	free(copy);
	return code;
}

void session_close(struct session *s)
{
	config_file_destroy(s->file);
	registry_destroy(s->registry);
	diag_destroy(s->diag);
	for (int i = 0; i < s->n_override; i++)
		free((void *)(uintptr_t)s->override[i]);
	free(s->override);
	memset(s, 0, sizeof *s);
}

bool session_variant(struct session *s, const char *name)
{
	const char **list = tool_alloc(((size_t)s->n_variant + 1) * sizeof *list);
	bool found = false;

	for (int i = 0; i < s->n_variant; i++) {
		list[i] = s->variant[i];
		found |= !strcmp(list[i], name);
	}
	if (!found && !s->n_variant) {
		fprintf(stderr, "rein: %s has no variants\n", s->path);
	} else if (!found) {
		const char *near = diag_nearest(name, list);
		fprintf(stderr, "rein: %s has no variant '%s'%s%s%s; it has:", s->path, name, near ? "; did you mean '" : "",
		        near ? near : "", near ? "'?" : "");
		for (int i = 0; i < s->n_variant; i++)
			fprintf(stderr, " %s", list[i]);
		fputc('\n', stderr);
	}
	free(list);
	return found;
}

/* Would the component have come from a file that was refused? Plugins are named
 * <kinds>.<name>.so or <name>.so. */
static bool was_refused(struct registry *r, uint32_t kind, const char *name)
{
	const char *reason, *path;
	for (int i = 0; (path = registry_refused(r, i, &reason)); i++) {
		const char *file = strrchr(path, '/');
		char a[256], b[256];
		file = file ? file + 1 : path;
		snprintf(a, sizeof a, "%s.so", name);
		snprintf(b, sizeof b, "%s.%s.so", kind_section(kind), name);
		size_t n = strlen(file), m = strlen(a);
		if (!strcmp(file, a) || !strcmp(file, b) || (n > m && file[n - m - 1] == '.' && !strcmp(file + n - m, a)))
			return true;
	}
	return false;
}

int session_errors(struct session *s, const struct config *c)
{
	bool refused = false;
	for (int i = 0; c && i < c->n_section; i++) {
		const struct section *sec = c->section[i];
		char base[64];
		snprintf(base, sizeof base, "%.*s", (int)strcspn(sec->name, " "), sec->name);
		uint32_t kind = kind_of_section(base);
		for (int j = 0; kind && j < sec->n_spec; j++)
			refused |= !registry_find(s->registry, kind, sec->spec[j]->component) &&
			           was_refused(s->registry, kind, sec->spec[j]->component);
	}
	if (!diag_flush(s->diag, stderr))
		return -1;
	return refused ? EXIT_PLUGIN : EXIT_USAGE;
}
