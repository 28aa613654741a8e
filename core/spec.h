/* SPDX-License-Identifier: MIT
 *
 * spec.h: between spec.c and config.c.
 */
#ifndef CORE_SPEC_H
#define CORE_SPEC_H

#include "config.h"
#include "inifile.h"

/* Letters, digits, '_', '-' and '.', not beginning with '.' or '-'. */
bool spec_name_ok(const char *name);

/* '*' matches any run of characters; the pattern is n bytes long. */
bool glob(const char *pattern, size_t n, const char *name);

/* Splits `text`, which lies at `at` (col of its first byte), into s->component and
 * s->arg. False after errors, all of which were reported; then s holds what could be read,
 * with component "" if that could not. */
bool spec_parse(struct pool *, const char *text, const struct place *at, struct spec *s, struct diag *);

/* One value, bare or quoted. */
bool spec_unquote(struct pool *, const char *text, const struct place *at, const char **out, struct diag *);

#endif
