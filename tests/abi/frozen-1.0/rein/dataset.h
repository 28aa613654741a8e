/* SPDX-License-Identifier: MIT
 *
 * dataset.h: samples by number. Order, split, shuffling, label corruption and
 * caching belong to the core: its keys order= skip= take= stratify= corrupt= work
 * for every dataset.
 */
#ifndef REIN_DATASET_H
#define REIN_DATASET_H

#include "host.h"
#include "ops.h"

#define REIN_TARGET_CLASS 0u /* y: one int32_t, 0..classes-1 */
#define REIN_TARGET_REAL  1u /* y: target_dim floats */

/* Flag of info: read() may find only while it decodes x that it leaves a sample out. Where samples are
 * not kept, the core then has all of them decoded once before anything runs. */
#define REIN_LEAVES_OUT_LATE 1u

/* Filled by info(). Strings stay valid until destroy(). */
struct rein_dataset_info {
	uint32_t struct_size;
	uint32_t dtype;                 /* of x: REIN_U8_T (0..255 stands for 0..1) or REIN_REAL_T (float) */
	uint32_t rank;                  /* of one sample, 1 to 3; images are (C,H,W) */
	uint32_t target;                /* REIN_TARGET_* */
	int64_t dim[REIN_MAX_RANK];     /* -1: differs between samples, a `sample` transform must fix it */
	int64_t count;                  /* samples */
	int64_t classes, target_dim;    /* CLASS: number of classes; REAL: floats per target */
	const char *const *class_names; /* `classes` names, or NULL */
	const double *truth;            /* n_truth numbers a perfect model would find (a linear */
	uint32_t n_truth, flags;        /* system's weights, then its bias), or NULL; REIN_LEAVES_OUT_LATE */
};

struct rein_dataset_vt {
	uint32_t struct_size, reserved;
	/* [control] After create(). */
	rein_status (*info)(void *self, struct rein_dataset_info *);
	/* [worker] Sample i: x gets the product of info's dims (of dim, where that differs)
	 * elements, y one int32_t or target_dim floats. x may be NULL: only the target is wanted
	 * (the core stratifies). REIN_SKIP: leave the sample out. What a sample is depends on
	 * the keys and files alone, not on host->random: the core keeps decoded samples across
	 * seeds and variants. */
	rein_status (*read)(const void *self, const struct rein_host *, int64_t i, void *x, void *y);
	/* [worker] Where info has -1 in dim: the shape of sample i, cheaply, or REIN_SKIP. Else NULL. */
	rein_status (*shape)(const void *self, const struct rein_host *, int64_t i, int64_t *dim);
	/* [worker] Optional: a name for sample i in messages (a file name), into buf. */
	void (*describe)(const void *self, int64_t i, char *buf, uint64_t size);
};

#endif
