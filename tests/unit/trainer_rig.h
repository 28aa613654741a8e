/* SPDX-License-Identifier: MIT
 *
 * trainer_rig.h: a trainer from a config given as text, for tests of the trainer. What went wrong is
 * kept as text, so that messages can be tested.
 */
#ifndef TESTS_TRAINER_RIG_H
#define TESTS_TRAINER_RIG_H

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trainer.h"

struct rig {
	char path[64], why[8192];
	struct diag *diag;
	struct registry *registry;
	struct config_file *file;
	struct config *config;
	struct settings *settings;
	char backend_words[64]; /* REIN_TEST_BACKEND, "cuda fuse=interpreter"; else the cpu backend */
	struct arg backend_arg[4];
	struct spec backend_spec;
	struct instance *backend;
	struct data_cache *cache;
	struct trainer *t;
};

static inline void rig_log(void *ctx, uint32_t level, const char *line)
{
	(void)ctx;
	(void)level;
	(void)line;
}

static inline struct host_env rig_env(struct rig *r)
{
	return (struct host_env){ .seed = (uint64_t)(r->settings ? r->settings->seed[0] : 1),
		                      .config_dir = "/tmp",
		                      .diag = r->diag,
		                      .config = r->config,
		                      .log = rig_log };
}

/* Moves what was told into r->why. */
static inline void rig_told(struct rig *r)
{
	size_t used = strlen(r->why);
	FILE *f = tmpfile();
	if (!f)
		return;
	diag_flush(r->diag, f);
	rewind(f);
	used += fread(r->why + used, 1, sizeof r->why - 1 - used, f);
	r->why[used] = 0;
	fclose(f);
}

static inline void rig_backend(struct rig *r)
{
	const char *asked = getenv("REIN_TEST_BACKEND");
	char *save = NULL;

	snprintf(r->backend_words, sizeof r->backend_words, "%s", asked ? asked : "cpu");
	r->backend_spec = (struct spec){ .section = "run", .name = "backend", .arg = r->backend_arg };
	r->backend_spec.component = strtok_r(r->backend_words, " ", &save);
	for (char *word; r->backend_spec.n_arg < 4 && (word = strtok_r(NULL, " ", &save));) {
		char *value = strchr(word, '=');
		if (!value)
			abort();
		*value = 0;
		r->backend_arg[r->backend_spec.n_arg++] = (struct arg){ .key = word, .value = value + 1 };
	}
}

static inline bool rig_make(struct rig *r, uint32_t threads)
{
	struct rein_backend_options o = { .struct_size = sizeof o, .threads = threads, .device = -1 };

	r->registry = registry_create(0, NULL);
	r->file = config_read(r->path, r->diag);
	r->config = r->file ? config_build(r->file, NULL, 0, NULL, r->diag) : NULL;
	r->settings = r->config && !diag_errors(r->diag) ? settings_read(r->config, r->diag) : NULL;
	if (!r->settings)
		return false;
	struct host_env env = rig_env(r);
	rig_backend(r);
	r->backend = instance_create(r->registry, REIN_BACKEND, &r->backend_spec, &env, NULL, NULL, r->diag);
	if (!r->backend || r->backend->component->vt.backend.open(r->backend->self, &r->backend->host, &o) < 0)
		return false;
	r->cache = data_cache_create(1 << 28);
	struct trainer_env te = { r->config, r->settings, r->registry, r->backend, r->cache, rig_env(r) };
	r->t = trainer_create(&te, r->diag);
	return r->t;
}

/* false: r->why says why. rig_close in both cases. */
static inline bool rig_open(struct rig *r, const char *text, uint32_t threads)
{
	memset(r, 0, sizeof *r);
	strcpy(r->path, "/tmp/rig-XXXXXX");
	int fd = mkstemp(r->path);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		abort();
	close(fd);
	r->diag = diag_create();
	bool good = rig_make(r, threads);
	rig_told(r);
	return good;
}

static inline void rig_close(struct rig *r)
{
	trainer_destroy(r->t);
	if (r->cache)
		data_cache_destroy(r->cache);
	instance_destroy(r->backend);
	if (r->settings)
		settings_destroy(r->settings);
	if (r->file)
		config_file_destroy(r->file);
	if (r->registry)
		registry_destroy(r->registry);
	diag_destroy(r->diag);
	unlink(r->path);
}

/* One piece of work; its numbers replace those in *m. */
static inline rein_status rig_next(struct rig *r, struct metrics *m)
{
	metrics_finish(m);
	rein_status status = trainer_next(r->t, m, r->diag);
	rig_told(r);
	return status;
}

/* To the end; the last numbers of each name stay in *m. */
static inline bool rig_run(struct rig *r, struct metrics *m)
{
	rein_status status;
	do {
		struct metrics now = { 0 };
		status = rig_next(r, &now);
		for (int i = 0; i < now.n; i++)
			metrics_set(m, now.m[i].name, now.m[i].value);
		metrics_finish(&now);
	} while (status == REIN_OK);
	return status > 0;
}

static inline float *rig_state(struct rig *r, const char *name)
{
	struct state *s = store_find(trainer_store(r->t), name);
	float *data = s ? calloc((size_t)s->count, sizeof *data) : NULL;
	if (data && store_get(trainer_store(r->t), s, data) < 0)
		abort();
	return data;
}

static inline float rig_at(struct rig *r, const char *name, int64_t i)
{
	float *data = rig_state(r, name), v = data ? data[i] : -12345;
	free(data);
	return v;
}

/* Are all parameters and optimizer states of a and b the same bits? */
static inline bool rig_same(struct rig *a, struct rig *b)
{
	struct store *x = trainer_store(a->t), *y = trainer_store(b->t);
	for (int i = 0; i < x->n; i++) {
		struct state *s = x->state[i], *o = store_find(y, s->name);
		size_t bytes = (size_t)state_bytes(x, s);
		if (s->role == STATE_DATA)
			continue;
		char *p = malloc(bytes), *q = malloc(bytes);
		bool same = o && store_get(x, s, p) >= 0 && store_get(y, o, q) >= 0 && memcmp(p, q, bytes) == 0;
		if (!same)
			fprintf(stderr, "state '%s' differs\n", s->name);
		free(p);
		free(q);
		if (!same)
			return false;
	}
	return true;
}

#endif
