/* SPDX-License-Identifier: MIT
 *
 * table.h: the text of a CSV file, row by row. Fields may be quoted ("a ""b"", c");
 * lines end in \n or \r\n; empty lines are passed over.
 */
#ifndef CSV_TABLE_H
#define CSV_TABLE_H

#include <stdbool.h>

#include "rein/rein.h"

struct text {
	const char *path;
	char *data; /* the file, then a NUL */
	uint64_t bytes;
	int64_t lines; /* upper bound on the rows */
	uint64_t at;   /* where the next row begins */
	int64_t line;  /* of the row just read, from 1 */
	int64_t next_line;
	char separator;
	char **field; /* of the row just read, trimmed, ending in NUL, in place */
	int64_t n_field, room;
};

/* The file into memory. */
rein_status text_open(struct text *, const struct rein_host *, const char *path, char separator);
void text_close(struct text *, const struct rein_host *);
/* 1: a row was read (its fields stay valid until text_close); 0: none left; < 0 error. */
rein_status text_row(struct text *, const struct rein_host *);
/* A decimal number, whole field (infinite if too large); false for anything else (hexadecimal,
 * nan, inf, empty). */
bool text_number(const char *field, double *out);

#endif
