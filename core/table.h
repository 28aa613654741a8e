/* SPDX-License-Identifier: MIT
 *
 * table.h: tables of results: collected through struct rein_table (report.h) or directly,
 * printed as aligned text no wider than asked, written as JSON.
 */
#ifndef CORE_TABLE_H
#define CORE_TABLE_H

#include "rein/report.h"

struct tables {
	struct rein_table collect; /* for reports; its functions fill this struct */
	int n, cap;
	struct table *table;
	const char *source; /* who fills from here on: in JSON ("compare", a report's name) */
};
struct tables *tables_create(void);
void tables_destroy(struct tables *); /* accepts NULL */

void table_begin(struct tables *, const char *title, int n_column, const char *const *column);
void table_text(struct tables *, const char *cell);
/* digits after the point; numbers too small for them are printed as 1.3e-06; NaN as "-" */
void table_number(struct tables *, double cell, int digits);
/* mean ± standard deviation (n - 1) of those of n values that are not NaN */
void table_stat(struct tables *, int n, const double *value, int digits);
/* As which the table is printed, instead of its cells. */
void table_line(struct tables *, const char *line);
void table_note(struct tables *, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Tables wider than `width` are broken into several with the first column repeated. */
void tables_print(const struct tables *, FILE *, int width);
char *tables_json(const struct tables *); /* allocated by malloc */

#endif
