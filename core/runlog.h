/* SPDX-License-Identifier: MIT
 *
 * runlog.h: where the numbers of a run go while it runs: the file metrics.jsonl, progress on
 * the standard output, and loggers of [loggers]. All three are loggers to this code.
 */
#ifndef CORE_RUNLOG_H
#define CORE_RUNLOG_H

#include "history.h"

/* Progress of the whole experiment; one for all its runs. A live line on a terminal, about
 * twenty lines per run in a pipe, nothing if quiet. */
struct progress {
	bool quiet, live, color;
	int runs, run;        /* how many, and the number of this one from 1 */
	bool begun;           /* a run has begun to train */
	bool variants, seeds; /* more than one: named in each line */
	int shown;            /* columns of the live line */
};
void progress_init(struct progress *, bool quiet);
/* A line of its own among the live ones, on stdout; nothing if quiet. */
void progress_say(struct progress *, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Before others write to the terminal. */
void progress_clear(struct progress *);

struct runlog;
/* folder: where metrics.jsonl is appended to. NULL after errors in d. */
struct runlog *runlog_create(struct progress *, const struct rein_run_info *, int n_logger,
                             struct instance *const *logger, struct diag *d);
/* One piece of work. false after errors in d (a full disk). */
bool runlog_metrics(struct runlog *, const struct history_row *, const struct metrics *, struct diag *d);
/* Data on disk, so that a checkpoint written next is never ahead of its numbers. */
bool runlog_sync(struct runlog *, struct diag *d);
/* how: REIN_OK, or what the run ended with. false after errors in d. */
bool runlog_destroy(struct runlog *, rein_status how, struct diag *d); /* accepts NULL */

#endif
