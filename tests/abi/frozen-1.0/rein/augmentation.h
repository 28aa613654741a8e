/* SPDX-License-Identifier: MIT
 *
 * augmentation.h: changes to samples, for [augmentations] (training only) and
 * [transforms] (every split). A component offers one of two ways. Recorded ones
 * run on the device, a whole batch at a time, with draws keyed per sample. Host
 * ones (`sample`) run in reader threads with any C library, once per sample where
 * nothing random is asked, and must stand before recorded ones.
 */
#ifndef REIN_AUGMENTATION_H
#define REIN_AUGMENTATION_H

#include "host.h"
#include "record.h"

/* One sample on the host. Images are (C,H,W). */
struct rein_sample {
	uint32_t struct_size, dtype, rank, reserved; /* REIN_U8_T or REIN_REAL_T (float) */
	int64_t dim[REIN_MAX_RANK];
	void *data;
};

struct rein_augmentation_vt {
	uint32_t struct_size;
	uint32_t views; /* copies of each sample that record() leaves in the batch; 0 or 1: one */
	/* [control] Rewrites batch->x (N,...), batch->y, batch->id. x is real, in the units the
	 * earlier transforms left (0..1 for stored bytes). t->mode says TRAIN or EVAL. */
	void (*record)(const void *self, struct rein_rec *, const struct rein_step *t, struct rein_batch *);
	/* [worker] Shape of the result of sample() for an input of shape in (-1: varies). */
	rein_status (*shape)(const void *self, const struct rein_host *, uint32_t rank, const int64_t *in, int64_t *out);
	/* [worker] in -> out; out has its shape, dtype and memory already. Draws come from
	 * host->random(host, sample number, epoch * 65536 + draw, ...). */
	rein_status (*sample)(const void *self, const struct rein_host *, int64_t number, int64_t epoch,
	                      const struct rein_sample *in, struct rein_sample *out);
	uint32_t random; /* 1: sample() draws, so results must not be cached */
	uint32_t reserved;
	/* [control] Optional, deterministic per-channel affine transforms only: x' = (x - mean) / std.
	 * The core keeps it with the model, so that attacks work in pixel space. n entries each. */
	rein_status (*affine)(const void *self, int64_t *n, const double **mean, const double **std);
};

#endif
