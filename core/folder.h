/* SPDX-License-Identifier: MIT
 *
 * folder.h: the folder of one run. While it runs it is called <name>.unfinished; when all
 * its files are complete it takes the place of <name> in one step, so that a run that
 * fails never costs an earlier one that was finished.
 */
#ifndef CORE_FOLDER_H
#define CORE_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

#define FILE_RESOLVED   "resolved.ini"
#define FILE_METRICS    "metrics.jsonl"
#define FILE_MODEL      "model.safetensors"
#define FILE_CHECKPOINT "checkpoint.safetensors"
#define FILE_TRACK      "track.safetensors"
#define FILE_FINISHED   "finished.json" /* written last */

struct run_folder {
	char *path, *work; /* runs/x/main, runs/x/main.unfinished */
	bool finished;     /* path holds a finished run */
	bool begun;        /* work holds one that was begun */
};
/* Looks at what is there, and completes a change of names that was interrupted. Takes `path`
 * over. false with the reason. */
bool run_folder_init(struct run_folder *, char *path, char *why, size_t size);
void run_folder_finish(struct run_folder *);
/* An empty work folder: what an earlier unfinished run left is removed. */
bool run_folder_begin(struct run_folder *, char *why, size_t size);
/* Work becomes path; of a finished run that was there, files that this one does not have and
 * that are not a run's own are kept. */
bool run_folder_commit(struct run_folder *, char *why, size_t size);

bool file_exists(const char *folder, const char *name);

#endif
