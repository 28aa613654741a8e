/* SPDX-License-Identifier: MIT
 *
 * data_helper.h: opens the [data] of a config text, with the fixtures as the folder of its
 * files, for the tests of data.
 */
#ifndef DATA_HELPER_H
#define DATA_HELPER_H

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data.h"

struct opened_data {
	struct diag *diag;
	struct registry *registry;
	struct config_file *file;
	struct instance *transform[8];
	int n_transform;
	struct data *data;
	char *said; /* messages; "" where all went well */
};

static inline const char *fixture_dir(void)
{
	static char dir[4096];
	snprintf(dir, sizeof dir, "%s/tests/fixtures/data", getenv("REIN_SOURCE"));
	return dir;
}

/* Paths in messages without the folder of the fixtures. */
static inline void shorten(char *text, const char *dir)
{
	size_t n = strlen(dir);
	for (char *at = text; (at = strstr(at, dir));)
		memmove(at, at + n + (at[n] == '/'), strlen(at + n + (at[n] == '/')) + 1);
}

static inline struct opened_data open_file(const char *path, const char *dir, uint64_t seed, int rng,
                                           struct data_cache *cache)
{
	struct opened_data o = { .diag = diag_create(), .registry = registry_create(0, NULL) };
	struct host_env env = { .seed = seed, .config_dir = dir };
	size_t size = 0;
	FILE *out = open_memstream(&o.said, &size);
	struct config *c;
	const struct section *s;
	bool good = true;
	o.file = config_read(path, o.diag);
	c = o.file ? config_build(o.file, NULL, 0, NULL, o.diag) : NULL;
	s = c ? config_section(c, "transforms") : NULL;
	for (int i = 0; s && i < s->n_spec && i < 8; i++) {
		o.transform[i] = instance_create(o.registry, REIN_AUGMENTATION, s->spec[i], &env, NULL, NULL, o.diag);
		good &= o.transform[i] != NULL;
		o.n_transform++;
	}
	if (c && good && !diag_errors(o.diag))
		o.data = data_open(c, o.registry, &env, rng, o.n_transform, o.transform, 0, NULL, cache, 0, o.diag);
	diag_flush(o.diag, out);
	fclose(out);
	shorten(o.said, dir);
	return o;
}

static inline void close_data(struct opened_data *o)
{
	data_destroy(o->data);
	for (int i = 0; i < o->n_transform; i++)
		instance_destroy(o->transform[i]);
	config_file_destroy(o->file);
	registry_destroy(o->registry);
	diag_destroy(o->diag);
	free(o->said);
}

/* The same of a config given as text. Fails the test if that cannot be written. */
static inline struct opened_data open_text(const char *text, uint64_t seed, int rng, struct data_cache *cache)
{
	char path[] = "/tmp/rein-data-XXXXXX.ini";
	int fd = mkstemps(path, 4);
	struct opened_data o;
	cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
	o = open_file(path, fixture_dir(), seed, rng, cache);
	unlink(path);
	return o;
}

/* One split, which must be there. */
static inline struct split *must(const struct opened_data *o, const char *name)
{
	struct split *s = o->data ? data_split(o->data, name) : NULL;
	cr_assert(s, "no split '%s': %s", name, o->said);
	return s;
}

#endif
