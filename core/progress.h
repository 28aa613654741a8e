/* SPDX-License-Identifier: MIT
 *
 * progress.h: between progress.c and runlog.c: one run as the progress logger sees it.
 */
#ifndef CORE_PROGRESS_H
#define CORE_PROGRESS_H

#include "runlog.h"

struct live {
	struct progress *progress;
	const struct history_row *row; /* type and epochs of the row being shown */
	char who[128];                 /* "[3/12] l1 seed 2  " */
	double painted;                /* when, in seconds */
	char stage[64];                /* the stage now */
	int64_t first;                 /* epoch of its first row, which came at ... */
	double first_at;               /* ... this time */
	int64_t printed;               /* epoch of the last plain line */
	char pending[256];             /* the newest line that was not printed */
};
extern const struct rein_logger_vt live_vt;

#endif
