/* SPDX-License-Identifier: MIT
 *
 * fuzz.h: what the fuzz targets share: input bytes as a file, a host that gives little memory
 * and insists on sentences, and a component's struct filled with its defaults.
 *
 * A target is one fuzz_<name>.c with libFuzzer's LLVMFuzzerTestOneInput(). With clang and
 * `meson setup -Dfuzz=true` it becomes a libFuzzer program; without, driver.c changes the
 * seeds for a second, the same way each time, as one of the tests.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rein/rein.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_MEMORY (UINT64_C(256) << 20)

/* What must hold; a breach ends the program as a crash would. */
#define MUST(x)                                                                   \
	do {                                                                          \
		if (!(x)) {                                                               \
			fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #x); \
			abort();                                                              \
		}                                                                         \
	} while (0)

/* The bytes as a file that opens under `path` until fuzz_close(). */
static inline int fuzz_file(const uint8_t *data, size_t size, char path[64])
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	MUST(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, 64, "/proc/self/fd/%d", fd);
	return fd;
}

static char fuzz_said[1024];
static long fuzz_allocations = -1; /* how many more succeed; -1: all */

static inline void fuzz_fail(const struct rein_host *h, const char *sentence)
{
	(void)h;
	snprintf(fuzz_said, sizeof fuzz_said, "%s", sentence);
}
static inline void *fuzz_alloc(const struct rein_host *h, uint64_t bytes)
{
	void *p = bytes <= FUZZ_MEMORY && fuzz_allocations != 0 ? calloc(1, bytes ? bytes : 1) : NULL;
	fuzz_allocations -= fuzz_allocations > 0;
	if (!p)
		fuzz_fail(h, "out of memory");
	return p;
}
static inline void fuzz_free(const struct rein_host *h, void *p)
{
	(void)h;
	free(p);
}
static inline void fuzz_parallel(const struct rein_host *h, int64_t n, void (*f)(void *, int64_t), void *ctx)
{
	(void)h;
	for (int64_t i = 0; i < n; i++)
		f(ctx, i);
}
static inline void fuzz_message(const struct rein_host *h, uint32_t level, const char *line)
{
	(void)h;
	(void)level;
	(void)line;
}
static const struct rein_host fuzz_host = { .struct_size = sizeof fuzz_host,
	                                        .message = fuzz_message,
	                                        .fail = fuzz_fail,
	                                        .alloc = fuzz_alloc,
	                                        .free = fuzz_free,
	                                        .parallel = fuzz_parallel };

static inline void fuzz_default(void *field, const struct rein_key *k)
{
	switch (k->type) {
	case REIN_KEY_INT: *(int64_t *)field = strtoll(k->def, NULL, 10); break;
	case REIN_KEY_REAL: *(double *)field = strtod(k->def, NULL); break;
	case REIN_KEY_STRING:
	case REIN_KEY_PATH: *(const char **)field = k->def; break;
	case REIN_KEY_ENUM:
		for (int32_t i = 0; k->choices[i]; i++)
			if (!strcmp(k->choices[i], k->def))
				*(int32_t *)field = i;
		break;
	case REIN_KEY_INTS:
		if (!*k->def) /* an empty list, as the zeros say */
			break;
		abort();
	default: abort();
	}
}

/* A component's struct with its defaults. */
static inline void *fuzz_self(const struct rein_component *c)
{
	char *self = calloc(1, c->cfg_size);
	for (const struct rein_key *k = c->keys; k->key; k++)
		if (k->def)
			fuzz_default(self + k->offset, k);
	return self;
}
static inline void *fuzz_field(void *self, const struct rein_component *c, const char *key)
{
	for (const struct rein_key *k = c->keys; k->key; k++)
		if (!strcmp(k->key, key))
			return (char *)self + k->offset;
	abort();
}

/* Creates, reads every sample (of a sensible size), destroys. Errors must come with a sentence. */
static inline void fuzz_dataset(const struct rein_component *c, void *self)
{
	const struct rein_dataset_vt *vt = c->vt;
	struct rein_dataset_info info = { .struct_size = sizeof info };
	int64_t elements = 1;
	fuzz_said[0] = 0;
	if (c->create && c->create(self, &fuzz_host) < 0) {
		MUST(fuzz_said[0]);
	} else if (vt->info(self, &info) >= 0) {
		MUST(info.count > 0 && info.rank >= 1 && info.rank <= 3);
		for (uint32_t i = 0; i < info.rank; i++)
			elements *= info.dim[i];
		for (int64_t i = 0; elements < 1 << 20 && i < info.count && i < 1000; i++) {
			size_t target = info.target == REIN_TARGET_CLASS ? 1 : (size_t)info.target_dim;
			uint8_t *x = malloc((size_t)elements * (info.dtype == REIN_U8_T ? 1 : 4)), *y = malloc(target * 4);
			rein_status st = vt->read(self, &fuzz_host, i, x, y);
			MUST(st == REIN_OK || fuzz_said[0]);
			MUST(st < 0 || info.target != REIN_TARGET_CLASS ||
			     (*(int32_t *)(void *)y >= 0 && *(int32_t *)(void *)y < info.classes));
			free(x);
			free(y);
		}
	}
	if (c->destroy)
		c->destroy(self, &fuzz_host);
	free(self);
}

#endif
