/* SPDX-License-Identifier: MIT
 *
 * files.h: a file written piece by piece under a temporary name, then renamed. Whole files
 * in one call: file_replace() of checkpoint.h.
 */
#ifndef CORE_FILES_H
#define CORE_FILES_H

#include <stdbool.h>
#include <stddef.h>

struct file_writer {
	const char *path; /* the caller's, until file_end() */
	char *temporary;  /* in the same folder; NULL for devices and pipes */
	int fd, error;    /* error: errno of the first failure */
};

/* false with the reason in why: then there is nothing to end. */
bool file_begin(struct file_writer *, const char *path, char *why, size_t size);
bool file_add(struct file_writer *, const void *data, size_t bytes); /* false: file_end() says why */
/* Syncs and renames; after any failure the file of before is still there and the temporary
 * one is gone. */
bool file_end(struct file_writer *, char *why, size_t size);

#endif
