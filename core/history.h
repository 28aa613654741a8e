/* SPDX-License-Identifier: MIT
 *
 * history.h: the numbers of one run, row by row, in memory and as metrics.jsonl (one JSON
 * object per epoch or stage). Also finished.json, the last file a run writes.
 */
#ifndef CORE_HISTORY_H
#define CORE_HISTORY_H

#include "trainer.h"

/* Values are kept by column, so that long runs with many numbers stay small. */
struct history_row {
	char stage[64], type[16];
	int64_t epoch, epochs;
	int n; /* columns this row knows; later ones are NaN */
	double *value;
	int64_t end; /* byte after its line in the file */
};
struct history {
	int n, cap, n_name, cap_name;
	struct history_row *row;
	char **name;
};
void history_finish(struct history *);
struct history_row *history_add(struct history *, const char *stage, const char *type, int64_t epoch, int64_t epochs,
                                const struct metrics *);
double history_at(const struct history *, int row, const char *name); /* NaN: absent */
double history_last(const struct history *, const char *name);        /* of the last row that has it */
/* The highest (sign 1) or lowest (-1) value in train stages; its epoch. NaN: none. */
double history_best(const struct history *, const char *name, int sign, int64_t *epoch);
/* The first epoch at which the value is at least `level`, NaN if it never is. */
double history_reaches(const struct history *, const char *name, double level);

/* One line without newline, allocated by cJSON. */
char *history_line(const char *stage, const char *type, int64_t epoch, int64_t epochs, uint64_t n,
                   const struct rein_number *);
/* Reads a file; a last line that was cut off is left out. false with the reason. */
bool history_read(struct history *, const char *path, char *why, size_t size);
/* Drops all rows from number `keep` on from *h and the file. false: the file cannot be cut. */
bool history_cut(struct history *, const char *path, int keep, char *why, size_t size);

/* What tables need of a run besides its numbers. */
struct run_facts {
	int64_t parameters, train_samples, epochs, epochs_set;
	uint64_t train_data; /* the same for the same samples in the same order */
	double lr, seconds, ended;
};
char *facts_text(const struct run_facts *); /* finished.json, allocated by cJSON */
bool facts_read(struct run_facts *, const char *path);

/* A whole file with a NUL behind it; NULL with errno set. */
char *file_text(const char *path, size_t *size);

#endif
