/* SPDX-License-Identifier: MIT
 *
 * lab.c: see lab.h.
 */
#include "lab.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../support/backend.h"

static void on_log(void *ctx, uint32_t level, const char *line) {}

static struct host_env env_of(struct lab *l)
{
	return (struct host_env){ .seed = (uint64_t)(l->settings && l->settings->n_seed ? l->settings->seed[0] : 1),
		                      .config_dir = l->dir,
		                      .diag = l->diag,
		                      .config = l->config,
		                      .log = on_log };
}

static bool open_backend(struct lab *l)
{
	struct host_env env = env_of(l);
	struct rein_backend_options o = { .struct_size = sizeof o, .threads = 1, .device = -1, .flags = l->flags };
	l->backend_spec = backend_spec_create(getenv("REIN_TEST_BACKEND"));
	l->backend = instance_create(l->registry, REIN_BACKEND, l->backend_spec, &env, NULL, NULL, l->diag);
	return l->backend && l->backend->component->vt.backend.open(l->backend->self, &l->backend->host, &o) >= 0;
}

static bool build(struct lab *l, const char *path, const char *variant)
{
	l->registry = registry_create(0, NULL);
	l->file = config_read(path, l->diag);
	l->config = l->file ? config_build(l->file, variant, 0, NULL, l->diag) : NULL;
	l->settings = l->config && !diag_errors(l->diag) ? settings_read(l->config, l->diag) : NULL;
	if (!l->settings || !open_backend(l))
		return false;
	l->cache = data_cache_create(1 << 28);
	struct trainer_env env = { .config = l->config,
		                       .settings = l->settings,
		                       .registry = l->registry,
		                       .backend = l->backend,
		                       .cache = l->cache,
		                       .host = env_of(l) };
	l->trainer = trainer_create(&env, l->diag);
	return l->trainer != NULL;
}

bool lab_open(struct lab *l, const char *path, const char *variant, uint32_t flags)
{
	const char *slash = strrchr(path, '/');
	memset(l, 0, sizeof *l);
	l->flags = flags;
	l->diag = diag_create();
	snprintf(l->dir, sizeof l->dir, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
	bool good = build(l, path, variant);
	FILE *f = fmemopen(l->messages, sizeof l->messages, "w");
	diag_flush(l->diag, f);
	fclose(f);
	return good;
}

void lab_close(struct lab *l)
{
	trainer_destroy(l->trainer);
	if (l->cache)
		data_cache_destroy(l->cache);
	instance_destroy(l->backend);
	free(l->backend_spec);
	if (l->settings)
		settings_destroy(l->settings);
	if (l->file)
		config_file_destroy(l->file);
	if (l->registry)
		registry_destroy(l->registry);
	diag_destroy(l->diag);
}

int lab_next(struct lab *l, struct metrics *out)
{
	rein_status status = trainer_next(l->trainer, out, l->diag);
	diag_flush(l->diag, stderr);
	return status;
}

bool lab_run(struct lab *l, struct metrics *last)
{
	for (;;) {
		struct metrics m = { 0 };
		int status = lab_next(l, &m);
		if (status == 0 && last) {
			struct metrics old = *last;
			*last = m;
			m = old;
		}
		metrics_finish(&m);
		if (status != 0)
			return status > 0;
	}
}

float *lab_state(struct lab *l, const char *name, int64_t *count)
{
	struct store *store = trainer_store(l->trainer);
	struct state *state = store_find(store, name);
	if (!state || state->dtype != REIN_REAL_T || store->real_size != 4)
		return NULL;
	float *data = malloc((size_t)state->count * sizeof *data);
	*count = state->count;
	if (store_get(store, state, data) < 0) {
		free(data);
		return NULL;
	}
	return data;
}

uint8_t *lab_mask(struct lab *l, const char *param, int64_t *count)
{
	struct store *store = trainer_store(l->trainer);
	char name[256];
	snprintf(name, sizeof name, "%s.mask", param);
	struct state *state = store_find(store, name);
	uint8_t *data = state && state->dtype == REIN_BOOL_T ? malloc((size_t)state->count) : NULL;
	if (data && store_get(store, state, data) < 0) {
		free(data);
		return NULL;
	}
	*count = data ? state->count : 0;
	return data;
}

bool lab_set(struct lab *l, const char *name, const float *data, int64_t count)
{
	struct store *store = trainer_store(l->trainer);
	struct state *state = store_find(store, name);
	return state && state->dtype == REIN_REAL_T && state->count == count && store_set(store, state, data) >= 0;
}

int64_t lab_differ(const float *a, const float *b, int64_t n, double rtol, double atol, double *worst)
{
	int64_t bad = 0;
	*worst = 0;
	for (int64_t i = 0; i < n; i++) {
		double far = fabs((double)a[i] - (double)b[i]) - atol - rtol * fabs((double)b[i]);
		bad += !(far <= 0);
		if (!(far <= *worst))
			*worst = far;
	}
	return bad;
}
