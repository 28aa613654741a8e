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
#include "math.h"

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
	double p; /* share of samples changed where the config has no p=; 0: all. The core draws and picks */
};

/* Rows where when (N) bool stay as they are in b, the others become other's. One that has
 * classes where the other has distributions becomes distributions. For containers. */
static inline void rein_batch_where(struct rein_rec *r, const struct rein_step *t, rein_val when, struct rein_batch *b,
                                    const struct rein_batch *other)
{
	rein_val y[2] = { b->y, other->y };
	b->x = rein_where(r, rein_along(r, when, b->x, 0), b->x, other->x);
	if (y[0].id == y[1].id)
		return;
	for (int i = 0; i < 2; i++)
		if (rein_dtype(r, y[i]) == REIN_I32_T && rein_dtype(r, y[1 - i]) == REIN_REAL_T)
			y[i] = rein_cast(r, rein_one_hot(r, y[i], t->model->classes), REIN_REAL_T);
	b->y = rein_where(r, rein_along(r, when, y[0], 0), y[0], y[1]);
}

#endif
