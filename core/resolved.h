/* SPDX-License-Identifier: MIT
 *
 * resolved.h: a run's config as one file without includes, variants or defaults: each key,
 * its value, and where it came from.
 */
#ifndef CORE_RESOLVED_H
#define CORE_RESOLVED_H

#include "trainer.h"

struct resolved {
	const struct config *config;
	const struct settings *settings;
	int64_t seed;
	const struct instance *backend;
	const char *device; /* "avx512, 2 threads" */
	int n_instance;
	struct instance *const *instance;
	int n_extra; /* instances that the trainer does not have: loggers, reports */
	struct instance *const *extra;
};
/* Allocated by malloc. */
char *resolved_text(const struct resolved *);
/* What differs between two such files, comments and settings that change no result aside, key by
 * key into why; true if nothing does. Order counts: it is that of layers and stages. */
bool resolved_same(const char *then, const char *now, char *why, size_t size);

#endif
