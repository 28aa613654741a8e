/* SPDX-License-Identifier: MIT
 *
 * test_bad_ini.c: every tests/fixtures/ini/NAME.ini gives exactly the messages of NAME.txt,
 * where "…" stands for any text within a line. A new message of the config language is a new
 * pair of files; REIN_WRITE=1 writes what is printed now, to be read before it is committed.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "component.h"

/* Every [attacks] entry is one thing to refer to. */
static const struct rein_ref *resolve(void *ctx, uint32_t kind, const char *name)
{
	return kind == REIN_ATTACK ? (const struct rein_ref *)config_spec(ctx, "attacks", name) : NULL;
}

static void make_all(struct registry *r, struct config *c, struct diag *d)
{
	struct host_env env = { .seed = 1, .config_dir = ".", .config = c };
	for (int i = 0; i < c->n_section; i++) {
		uint32_t kind = kind_of_section(c->section[i]->name);
		for (int k = 0; kind && k < c->section[i]->n_spec; k++)
			instance_destroy(instance_create(r, kind, c->section[i]->spec[k], &env, resolve, c, d));
	}
}

/* All that rein says of a file, allocated. */
static char *messages(struct registry *r, const char *name)
{
	struct diag *d = diag_create();
	struct config_file *cf = config_read(name, d);
	const char *const *variant;
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	int n = cf ? config_variants(cf, &variant) : 0;
	for (int i = 0; cf && i <= n; i++)
		make_all(r, config_build(cf, i ? variant[i - 1] : NULL, 0, NULL, d), d);
	diag_flush(d, out);
	diag_destroy(d);
	config_file_destroy(cf);
	fclose(out);
	return text;
}

static char *read_text(const char *path)
{
	FILE *f = fopen(path, "rb");
	char *text = calloc(1, 65536);
	if (!f) {
		free(text);
		return NULL;
	}
	if (!fread(text, 1, 65535, f))
		text[0] = 0;
	fclose(f);
	return text;
}

/* The line `is` (n bytes) against `want`, in which "…" matches anything. */
static bool same_line(const char *want, size_t nw, const char *is, size_t n)
{
	const char *gap = "\xE2\x80\xA6", *dots = memmem(want, nw, gap, 3);
	size_t head = dots ? (size_t)(dots - want) : nw;
	if (!dots)
		return nw == n && !memcmp(want, is, n);
	if (n < head || memcmp(want, is, head))
		return false;
	for (size_t i = head; i <= n; i++)
		if (same_line(dots + 3, nw - head - 3, is + i, n - i))
			return true;
	return false;
}

static bool same_text(const char *want, const char *is)
{
	while (*want && *is) {
		size_t nw = strcspn(want, "\n"), n = strcspn(is, "\n");
		if (!same_line(want, nw, is, n))
			return false;
		want += nw + (want[nw] == '\n');
		is += n + (is[n] == '\n');
	}
	return !*want && !*is;
}

static int ini_file(const struct dirent *e)
{
	size_t n = strlen(e->d_name);
	return n > 4 && !strcmp(e->d_name + n - 4, ".ini");
}

Test(bad_ini, all)
{
	const char *const dir = getenv("REIN_FIXTURES"), *write = getenv("REIN_WRITE");
	struct registry *r = registry_create(1, &dir);
	struct dirent **file;
	char path[512];
	int n, wrong = 0;
	snprintf(path, sizeof path, "%s/tests/fixtures/ini", getenv("REIN_SOURCE"));
	cr_assert(!chdir(path));
	n = scandir(".", &file, ini_file, alphasort);
	cr_assert(n > 50, "%d fixtures", n);
	for (int i = 0; i < n; i++) {
		char *is = messages(r, file[i]->d_name), *want, name[300];
		snprintf(name, sizeof name, "%.*s.txt", (int)strlen(file[i]->d_name) - 4, file[i]->d_name);
		if (write) {
			FILE *f = fopen(name, "w");
			cr_assert(f && fputs(is, f) >= 0);
			fclose(f);
		}
		want = read_text(name);
		if (!want || !same_text(want, is)) {
			wrong++;
			cr_log_error("%s: expected\n%sbut got\n%s", file[i]->d_name, want ? want : "(no file)\n", is);
		}
		free(want);
		free(is);
		free(file[i]);
	}
	free(file);
	registry_destroy(r);
	cr_assert_eq(wrong, 0, "%d of %d files give other messages", wrong, n);
}

/* The comparison itself must be able to fail. */
Test(bad_ini, comparison)
{
	cr_assert(same_text("a \xE2\x80\xA6 c\nd\n", "a b b c\nd\n"));
	cr_assert(!same_text("a \xE2\x80\xA6 c\nd\n", "a b b c\ne\n"));
	cr_assert(!same_text("a\n", "a\nb\n"));
	cr_assert(!same_text("a\nb\n", "a\n"));
	cr_assert(!same_text("ab\xE2\x80\xA6\n", "ac\n"));
}
