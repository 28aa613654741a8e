/* SPDX-License-Identifier: MIT
 *
 * files.h: the images below a folder, sorted by class and path, and their class names.
 */
#ifndef FILES_H
#define FILES_H

#include "image.h"

struct found {
	const char *path, *class_name; /* class_name: the folder the file lies in */
	int32_t class_index, broken;   /* broken: the header could not be read */
	struct image_size size;
};
struct pool; /* strings of all paths, freed at once */
struct files {
	struct found *file;
	int64_t n, room;
	const char **class_name; /* sorted */
	int64_t n_class;
	struct pool *pool;
};

/* Every .png, .jpg, .jpeg (any case) at any depth; names that begin with a dot are left out. */
rein_status files_find(struct files *, const struct rein_host *, const char *path);
void files_free(struct files *, const struct rein_host *);

#endif
