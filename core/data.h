/* SPDX-License-Identifier: MIT
 *
 * data.h: the splits of [data], decoded once into compact arrays. Each entry of [data] is
 * a dataset; the core orders, cuts, stratifies and corrupts it by the common keys, applies
 * the host transforms, and keeps u8 as u8.
 */
#ifndef CORE_DATA_H
#define CORE_DATA_H

#include "component.h"
#include "rng.h"

struct split {
	const char *name;              /* "train" */
	struct rein_dataset_info info; /* after host transforms: no -1 in dim */
	int64_t n;                     /* samples in this split */
	int64_t elements;              /* per sample: product of info.dim */
	void *x;                       /* n * elements of info.dtype (u8 or float); if streamed, those that joined */
	bool streamed;                 /* samples are read while they are used: stream.c */
	int64_t joined;                /* from elsewhere: the last ones; numbers from info.count on */
	void *y;                       /* n int32_t, or n * target_dim floats */
	int64_t *number;               /* n: number of each sample in its dataset */
	int64_t corrupted;             /* labels that were replaced */
	uint8_t *is_corrupted;         /* n, or NULL */
	int64_t skipped;
	struct instance *dataset;
};

struct data {
	int n;
	struct split **split;
};

/* A process-wide cache of opened datasets and decoded samples, so that variants and seeds
 * open and decode once. Outlives the data opened with it; the config files do so too. */
struct data_cache;
struct data_cache *data_cache_create(uint64_t max_bytes);
void data_cache_destroy(struct data_cache *);

/* Opens all of [data] with the host parts of [transforms] (all its instances, in order).
 * rng RNG_TORCH: `order = shuffled` is torch.randperm, as random_split draws it. Errors (missing
 * files, truncated data, a label outside the classes, an empty split, a take beyond the end)
 * name file and line or byte. NULL after errors.
 * limit: bytes of a split's u8 samples above which they are streamed; 0: none. */
struct data *data_open(const struct config *, struct registry *, const struct host_env *, int rng, int n_transform,
                       struct instance *const *transform, int n_augmentation, struct instance *const *augmentation,
                       struct data_cache *, int64_t limit, struct diag *);
void data_destroy(struct data *); /* accepts NULL */
/* Other samples for a split: takes over x, y and number, n of each; of a streamed one x has those
 * alone that joined. */
void data_replace(struct split *, void *x, void *y, int64_t *number, int64_t n);
/* The i-th entry whose samples joined it, or NULL. */
const struct split *data_joined(const struct split *, int i);
struct split *data_split(const struct data *, const char *name); /* or NULL */
/* "there is no split 'vall' in [data]; did you mean 'val'? there are: train, val". Gives back buf. */
const char *data_no_split(const struct data *, const char *name, char *buf, size_t size);
/* "sample 12 ('cat/0012.png')", as its dataset numbers it, for sample i of the split. Gives back buf. */
const char *data_sample_name(const struct split *, int64_t i, char *buf, size_t size);
/* Sample numbers that are in both splits of the same dataset (same component and keys). */
int64_t data_overlap(const struct split *, const struct split *);

#endif
