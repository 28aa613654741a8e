/* SPDX-License-Identifier: MIT
 *
 * test_loader.c: which folders are searched, which files are refused and why, and that
 * the first of two components wins. The reason expected of a fixture is the first line of
 * its source.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "component.h"

static char folder[] = "/tmp/rein-loader-XXXXXX";

static void begin(void)
{
	cr_assert(mkdtemp(folder));
	unsetenv("REIN_PLUGIN_PATH");
}
static void end(void)
{
	char line[200];
	snprintf(line, sizeof line, "rm -r %s", folder);
	cr_assert(!chdir("/") && !system(line));
}
TestSuite(loader, .init = begin, .fini = end);

static const char *fixtures(void) { return getenv("REIN_FIXTURES"); }

static void copy(const char *name, const char *to)
{
	char line[2000];
	snprintf(line, sizeof line, "mkdir -p %s/%s && chmod 755 %s/%s && cp %s/%s.so %s/%s", folder, to, folder, to,
	         fixtures(), name, folder, to);
	cr_assert(!system(line));
}

static const char *in(const char *sub)
{
	static char path[4][300];
	static int n;
	char *p = path[n++ % 4];
	snprintf(p, sizeof path[0], "%s/%s", folder, sub);
	return p;
}

static const char *reason_of(const struct registry *r, const char *name)
{
	const char *path, *reason;
	for (int i = 0; (path = registry_refused(r, i, &reason)); i++) {
		const char *slash = strrchr(path, '/');
		if (!strncmp(slash + 1, name, strlen(name)) && !strcmp(slash + 1 + strlen(name), ".so"))
			return reason;
	}
	return NULL;
}

/* "a … c" against the whole text. */
static bool fits(const char *want, const char *is)
{
	const char *dots = strstr(want, "\xE2\x80\xA6");
	size_t head = dots ? (size_t)(dots - want) : strlen(want), tail = dots ? strlen(dots + 3) : 0, n = strlen(is);
	if (!dots)
		return !strcmp(want, is);
	return n >= head + tail && !memcmp(want, is, head) && !strcmp(is + n - tail, dots + 3);
}

/* Every fixture is refused for the reason its source states, or not at all. */
Test(loader, reasons)
{
	const char *const dir = fixtures();
	struct registry *r = registry_create(1, &dir);
	char source[512];
	struct dirent **file;
	int n, checked = 0;
	snprintf(source, sizeof source, "%s/tests/fixtures/plugins", getenv("REIN_SOURCE"));
	n = scandir(source, &file, NULL, alphasort);
	cr_assert(n > 0);
	for (int i = 0; i < n; i++) {
		const char *mark = "/* refused: ", *name = file[i]->d_name, *reason;
		size_t len = strlen(name);
		char path[1024], line[512] = "", *close;
		FILE *f;
		if (len < 3 || strcmp(name + len - 2, ".c")) {
			free(file[i]);
			continue;
		}
		snprintf(path, sizeof path, "%s/%s", source, name);
		f = fopen(path, "r");
		cr_assert(f && fgets(line, sizeof line, f));
		fclose(f);
		snprintf(path, sizeof path, "%.*s", (int)len - 2, name);
		reason = reason_of(r, path);
		close = strstr(line, " */");
		if (!strncmp(line, mark, strlen(mark)) && close) {
			*close = 0;
			cr_expect(reason && fits(line + strlen(mark), reason), "%s: expected '%s', got '%s'", name,
			          line + strlen(mark), reason ? reason : "(not refused)");
		} else {
			cr_expect_null(reason, "%s was refused: %s", name, reason);
		}
		checked++;
		free(file[i]);
	}
	free(file);
	cr_expect(checked > 40, "%d fixtures", checked);
	registry_destroy(r);
}

Test(loader, copies_tables)
{
	const char *const dir = fixtures();
	struct registry *r = registry_create(1, &dir);
	const struct component *c = registry_find(r, REIN_REGULARIZER, "everything");
	cr_assert(c);
	cr_expect_str_eq(c->plugin, "good");
	cr_expect_str_eq(c->plugin_version, "1.2.3");
	cr_expect_eq(c->n_key, 11);
	cr_expect_eq(c->n_mem, 2);
	cr_expect_str_eq(c->key[3].key, "mode");
	cr_expect_eq((const void *)c->c.vt, (const void *)&c->vt);
	cr_expect(c->vt.regularizer.penalty && !c->vt.regularizer.term);
	cr_expect_null(registry_find(r, REIN_LAYER, "everything"));
	cr_expect_null(registry_find(r, REIN_REGULARIZER, "odd"));
	for (int i = 1; i < registry_count(r); i++) {
		const struct component *a = registry_at(r, i - 1), *b = registry_at(r, i);
		cr_expect(a->c.kind < b->c.kind || (a->c.kind == b->c.kind && strcmp(a->c.name, b->c.name) < 0));
	}
	cr_expect_null(registry_at(r, registry_count(r)));
	registry_destroy(r);
	registry_destroy(NULL);
}

/* Those given, then REIN_PLUGIN_PATH, then the build tree; the first component wins. */
Test(loader, search_path)
{
	const char *by, *dirs[2];
	struct registry *r;
	copy("good", "a");
	copy("good", "b");
	copy("good", "c");
	dirs[0] = in("b");
	dirs[1] = in("c");
	setenv("REIN_PLUGIN_PATH", in("a"), 1);
	r = registry_create(2, dirs);
	cr_expect_str_eq(registry_find(r, REIN_LAYER, "same")->path, in("b/good.so"));
	cr_expect_str_eq(registry_hidden(r, 0, &by)->path, in("c/good.so"));
	cr_expect_str_eq(by, in("b/good.so"));
	cr_expect_str_eq(registry_hidden(r, 5, &by)->path, in("a/good.so"));
	cr_expect_null(registry_hidden(r, 6, &by));
	cr_expect_str_eq(registry_folder(r, 0), in("b"));
	cr_expect_str_eq(registry_folder(r, 2), in("a"));
	cr_expect(strstr(registry_folder(r, 3), "/plugins"), "the build tree's");
	cr_expect_null(registry_folder(r, 4));
	registry_destroy(r);
}

/* Empty entries would be the current folder, and a folder named twice is read once. */
Test(loader, never_the_current_folder)
{
	char path[1000];
	struct registry *r;
	const char *by;
	copy("good", "here");
	copy("good", "there");
	cr_assert(!chdir(in("here")));
	snprintf(path, sizeof path, ":%s::%s/:", in("there"), in("there"));
	setenv("REIN_PLUGIN_PATH", path, 1);
	r = registry_create(0, NULL);
	cr_expect_str_eq(registry_find(r, REIN_LAYER, "same")->path, in("there/good.so"));
	cr_expect_null(registry_hidden(r, 0, &by));
	registry_destroy(r);
}

Test(loader, others_may_not_write)
{
	const char *dirs[2], *reason, *path;
	struct registry *r;
	copy("good", "file");
	copy("good", "folder");
	cr_assert(!chmod(in("file/good.so"), 0666) && !chmod(in("folder"), 0777));
	dirs[0] = in("file");
	dirs[1] = in("folder");
	r = registry_create(2, dirs);
	cr_expect_null(registry_find(r, REIN_LAYER, "same"));
	path = registry_refused(r, 0, &reason);
	cr_expect_str_eq(path, in("file/good.so"));
	cr_expect_str_eq(reason, "everyone may write to it (mode 0666); chmod o-w it");
	path = registry_refused(r, 1, &reason);
	cr_expect_str_eq(path, in("folder"));
	cr_expect_str_eq(reason, "everyone may write to this folder; chmod o-w it");
	registry_destroy(r);
}

static void shell(const char *format)
{
	char line[2000];
	snprintf(line, sizeof line, "cd %s/x && %s", folder, format);
	cr_assert(!system(line));
}

/* Damaged files, and what is no plugin, are refused and harm nothing. */
Test(loader, broken_files)
{
	const char *dirs[2], *reason;
	struct registry *r;
	copy("good", "x");
	shell("echo hello > text.so; : > empty.so; mkdir folder.so; mkfifo pipe.so; ln -s nowhere dangling.so;"
	      "for n in 100 1000 5000 9000; do head -c $n good.so > cut$n.so; done; cp good.so other.txt; rm good.so");
	dirs[0] = in("x");
	dirs[1] = in("missing");
	r = registry_create(2, dirs);
	cr_expect_null(registry_find(r, REIN_LAYER, "same"));
	cr_expect_str_eq(reason_of(r, "text"), "it is no shared object");
	cr_expect_str_eq(reason_of(r, "empty"), "it is no shared object");
	cr_expect_str_eq(reason_of(r, "folder"), "it is not a regular file");
	cr_expect_str_eq(reason_of(r, "pipe"), "it is not a regular file");
	cr_expect_str_eq(reason_of(r, "dangling"), "cannot open it: No such file or directory");
	cr_expect(strstr(reason_of(r, "cut1000"), "it is truncated: "), "%s", reason_of(r, "cut1000"));
	cr_expect(strstr(reason_of(r, "cut9000"), "bytes are promised, 9000 are there"), "%s", reason_of(r, "cut9000"));
	for (int i = 0; registry_refused(r, i, &reason); i++)
		if (!strcmp(registry_refused(r, i, &reason), in("missing")))
			dirs[1] = reason;
	cr_expect_str_eq(dirs[1], "No such file or directory");
	registry_destroy(r);
}
