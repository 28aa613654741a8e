/* SPDX-License-Identifier: MIT
 *
 * diag.h: places in config files and the collector of errors. Everything that can
 * be found wrong before training is added here, sorted into file order, and printed
 * at once with the line and a caret.
 */
#ifndef CORE_DIAG_H
#define CORE_DIAG_H

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

/* Where something came from. Strings are owned by the config, which outlives all places.
 * line 0: no line (command line, default). col: byte in `text`, from 0; len 0: no caret. */
struct place {
	const char *file; /* "configs/mnist.ini", or "command line" */
	int line;
	const char *text; /* the whole source line, NULL if none */
	int col, len;
	const char *section; /* printed before `text` as "[section] "; NULL: not */
};

struct diag;

struct diag *diag_create(void);
void diag_destroy(struct diag *); /* accepts NULL */

/* Adds one error. `what` may start with the section: "[network] fc1: ...". */
void diag_error(struct diag *, const struct place *at, const char *format, ...) __attribute__((format(printf, 3, 4)));
void diag_warn(struct diag *, const struct place *at, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* How many errors so far. One that is kept once counts each time: `after > before` says that a step failed. */
int diag_errors(const struct diag *);

/* Prints all of it in file order, then "2 errors; nothing was run" if there were errors;
 * forgets what was printed. Returns the number of errors. */
int diag_flush(struct diag *, FILE *out);
/* The same without the last line, for messages of a run under way. */
int diag_print(struct diag *, FILE *out);

/* The nearest of a NULL-terminated list to `word` by edit distance, or NULL if none is
 * near enough to be a likely slip. */
const char *diag_nearest(const char *word, const char *const *list);
/* "a, b, c" of a NULL-terminated list; ends in " ..." where it does not fit. */
void diag_list(char *out, size_t size, const char *const *list);

#endif
