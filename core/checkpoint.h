/* SPDX-License-Identifier: MIT
 *
 * checkpoint.h: safetensors files, read and written. model.safetensors has parameters and
 * buffers under PyTorch's state_dict names; checkpoint.safetensors everything that is needed
 * to go on. Nothing executable is ever read.
 * Format: 8 bytes little-endian header length, JSON header, tensors' bytes.
 */
#ifndef CORE_CHECKPOINT_H
#define CORE_CHECKPOINT_H

#include "store.h"

struct st_tensor {
	const char *name;
	uint32_t dtype; /* REIN_REAL_T: F32, WIDE: F64, I32, U8, BOOL */
	uint32_t rank;
	int64_t dim[8];
	const void *data;
	int64_t bytes;
};
struct st_file {
	int n;
	struct st_tensor *tensor; /* in file order */
	int n_meta;
	char **meta_key, **meta_value; /* __metadata__ */
	void *map;
	int64_t size;
};

/* Every lie of a header (lengths, offsets, overlaps, unknown dtypes, duplicates) is an error
 * that names file and byte or tensor. NULL with the reason in why. */
struct st_file *st_open(const char *path, char *why, size_t size);
void st_close(struct st_file *); /* accepts NULL */
const struct st_tensor *st_find(const struct st_file *, const char *name);
const char *st_meta(const struct st_file *, const char *key); /* or NULL */
/* Writes to a temporary name in the same folder, syncs, renames. false with the reason. */
bool st_write(const char *path, int n, const struct st_tensor *, int n_meta, const char *const *meta_key,
              const char *const *meta_value, char *why, size_t size);

/* Any whole file, atomically: temporary name, fsync, rename. */
bool file_replace(const char *path, const void *data, size_t bytes, char *why, size_t size);
bool folder_make(const char *path, char *why, size_t size); /* mkdir -p */

#endif
