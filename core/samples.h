/* SPDX-License-Identifier: MIT
 *
 * samples.h: between data.c, select.c and samples.c: which samples a split has, and where
 * their decoded bytes come from.
 */
#ifndef CORE_SAMPLES_H
#define CORE_SAMPLES_H

#include "data.h"

/* A dataset with the host transforms behind it. */
struct source {
	struct instance *dataset;
	struct rein_dataset_info info;     /* dim: after the transforms; -1 where still open */
	int64_t in_dim[REIN_MAX_RANK];     /* as the dataset gives them */
	int n_transform, n_fixed;          /* the first n_fixed are transforms, the others augmentations */
	struct instance *const *transform; /* those with `sample` alone, in order */
	char *identity;                    /* component, keys (paths resolved): equal for the same samples */
	char *transformed;                 /* identity and transforms: equal for the same bytes */
	int n_joined;                      /* entries whose samples joined: numbered from `first` on */
	struct joined {
		int64_t first;
		const struct split *from;
	} * joined;
};

/* Decoded samples of a source, kept by the cache: row i is sample i. state: 0 not decoded,
 * 1 there, 2 left out by the dataset. */
struct rows {
	char *key;
	int64_t count, elements;
	size_t x_size, y_size; /* bytes of a row */
	uint8_t *x, *y, *state;
	uint64_t used; /* bytes of decoded rows */
	struct rows *next;
};

/* Opened datasets by the text of their spec, decoded samples by what they are. */
struct opened {
	char *key;
	struct instance *instance;
	struct opened *next;
};
struct said {
	struct said *next;
	char key[];
};
/* Samples of a dataset that were decoded and not kept: their states, as in struct rows. */
struct looked {
	char *key;
	uint8_t *state;
	struct looked *next;
};
struct data_cache {
	uint64_t max_bytes, used;
	struct rows *rows;
	struct opened *opened;
	struct said *said; /* notices that were given */
	struct looked *looked;
};

/* One error at a key of the spec (or at its name, key NULL). Gives false. */
bool data_error(struct diag *, const struct spec *, const char *key, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* The samples of a split by number, in order: *out from malloc, *n > 0. order, stratify,
 * skip and take of the dataset's common keys. False after errors. */
bool select_samples(const struct source *, const struct host_env *, int rng, struct diag *, int64_t **out, int64_t *n);
uint64_t split_seed(const struct source *, const struct host_env *);

/* Decodes samples pick[0..n-1] of the source into s->x and s->y (dims of s->info must be
 * final), dropping those the dataset leaves out: s->n, s->number, s->skipped. Rows come from
 * the cache where they are there, and stay in it while it has room; *shared: s->x points into
 * the cache. False after errors. */
bool decode_samples(const struct source *, struct data_cache *, int64_t *pick, int64_t n, struct split *s, bool *shared,
                    struct diag *);
/* Of a split that is read while it is used: targets only; s->x stays NULL. A dataset that leaves out
 * late decodes every sample once for it, and the cache remembers what came of it. */
bool decode_targets(const struct source *, struct data_cache *, int64_t *pick, int64_t n, struct split *s,
                    struct diag *);
const struct source *split_source(const struct split *);
struct source *split_source_of(struct split *);
/* Samples of entries with join= join those they name. False after errors. */
bool data_join(struct data *, struct diag *);
/* Reads samples of such a split into rows at x. set: which, by their places in it, with the
 * augmentations of a training epoch (< 0: none). read: on any thread, with helpers of its own; stop
 * makes it end early, from another thread. What went wrong is told by window_good(), on the thread
 * that may tell. */
struct window;
struct window *window_create(const struct split *, uint8_t *x);
void window_destroy(struct window *);
void window_set(struct window *, int64_t n, const int64_t *sample, int64_t epoch);
void window_read(struct window *);
void window_stop(struct window *);
bool window_good(struct window *, struct diag *);
/* Do samples of the split change from epoch to epoch, on the host? */
bool split_changes(const struct split *);
/* Dims that the dataset leaves open are settled by the picked samples themselves. */
bool settle_dims(const struct source *, const int64_t *pick, int64_t n, struct rein_dataset_info *, struct diag *);
/* Name of a sample for messages: "sample 12 ('cat/0012.png')". */
const char *sample_name(const struct source *, int64_t i, char *buf, size_t size);

/* Share of samples that an augmentation changes. */
double augment_share(const struct instance *);

#endif
