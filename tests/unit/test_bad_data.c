/* SPDX-License-Identifier: MIT
 *
 * test_bad_data.c: opening the data of every tests/fixtures/data/cases/NAME.ini gives exactly
 * the messages of NAME.txt, in which paths are those below the fixtures. A new message is a
 * new pair of files (and its data in make.py); REIN_WRITE=1 writes what is printed now, to be
 * read before it is committed.
 */
#include "data_helper.h"

#include <dirent.h>

static char *read_text(const char *path)
{
	FILE *f = fopen(path, "rb");
	char *text = calloc(1, 65536);
	size_t n = f ? fread(text, 1, 65535, f) : 0;
	text[n] = 0;
	if (f)
		fclose(f);
	return text;
}

static int only_ini(const struct dirent *e)
{
	const char *dot = strrchr(e->d_name, '.');
	return dot && !strcmp(dot, ".ini");
}

Test(bad_data, every_case)
{
	struct dirent **entry;
	char dir[4200], path[4400];
	int n, wrong = 0;
	snprintf(dir, sizeof dir, "%s/cases", fixture_dir());
	cr_assert(chdir(dir) == 0);
	n = scandir(".", &entry, only_ini, alphasort);
	cr_assert(n > 50, "only %d cases", n);
	for (int i = 0; i < n; i++) {
		struct opened_data o = open_file(entry[i]->d_name, fixture_dir(), 1, RNG_PHILOX, NULL);
		char *want;
		snprintf(path, sizeof path, "%.*s.txt", (int)strlen(entry[i]->d_name) - 4, entry[i]->d_name);
		if (getenv("REIN_WRITE")) {
			FILE *f = fopen(path, "wb");
			fputs(o.said, f);
			fclose(f);
		}
		want = read_text(path);
		if (o.data || !*o.said || strcmp(want, o.said)) {
			fprintf(stderr, "%s: expected\n%s-- found%s\n%s\n", entry[i]->d_name, want, o.data ? " data and" : "",
			        o.said);
			wrong++;
		}
		free(want);
		free(entry[i]);
		close_data(&o);
	}
	free(entry);
	cr_assert(wrong == 0, "%d of %d cases", wrong, n);
}
