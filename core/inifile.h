/* SPDX-License-Identifier: MIT
 *
 * inifile.h: one INI file as a list of lines `name = value` with their places. No meaning
 * yet: config.c gives it. The pool keeps every string until the config goes.
 */
#ifndef CORE_INIFILE_H
#define CORE_INIFILE_H

#include <stdbool.h>
#include <stddef.h>

#include "diag.h"

/* Memory that is given back all at once; never NULL (out of memory ends the program). */
struct pool;
struct pool *pool_create(void);
void pool_destroy(struct pool *);              /* accepts NULL */
void *pool_alloc(struct pool *, size_t bytes); /* zeroed, aligned for anything */
char *pool_copy(struct pool *, const char *text, size_t n);
char *pool_print(struct pool *, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define INI_LINE_MAX 4096 /* bytes of a line */
#define INI_NAME_MAX 49   /* bytes of a section or a name: what inih keeps */

/* Called for each `[section]` (name NULL) and each `name = value`. `at` is the place of the
 * name (of the section's name), value_at that of the value. Strings live in the pool. */
typedef void ini_line(void *ctx, const char *section, const char *name, const char *value, const struct place *at,
                      const struct place *value_at);

/* Reads the file; whatever is not well-formed goes to d and is left out. False if the file
 * could not be read, which is reported at `from` (the include line) or at the file. */
bool ini_read(const char *path, const struct place *from, struct pool *, ini_line *, void *ctx, struct diag *d);

#endif
