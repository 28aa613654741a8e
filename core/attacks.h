/* SPDX-License-Identifier: MIT
 *
 * attacks.h: between attacks.c, which records and runs attack stages, robustness.c, which makes
 * numbers and tables of what they found, and pictures.c, which writes files.
 */
#ifndef CORE_ATTACKS_H
#define CORE_ATTACKS_H

#include "train.h"

/* One attack of a stage, at each of its sizes. */
struct attacked {
	struct instance *who;
	struct compiled *program;
	int n_size;
	double *size;      /* infinite: no limit */
	const char **text; /* as written: "8/255"; "" */
};

/* What one attack at one size did; arrays by sample of the stage. */
struct outcome {
	const struct attacked *attack;
	int size;
	float *right, *loss, *l2, *linf, *queries, *gradients; /* right: still, or 0 where it was wrong before */
	float *again, *eight;                                  /* right in another batch; after 8 bits */
	float **score;                                         /* by detector */
};

/* Images of a stage that are not written yet. x is (C,H,W). */
struct picture {
	char name[128];
	int64_t c, h, w;
	float *x, *bad;
};
/* An adversarial set that is not written yet: n samples as floats, with labels. */
struct set {
	char name[128];
	int64_t n;
	float *x;
	int32_t *y;
};

struct robust {
	int n_attack, n_detector;
	struct attacked *attack;
	struct instance **detector;
	int64_t n, batch, second; /* samples; rows of the programs; rows of the check */
	int64_t images;           /* of each attack at each size */
	bool save, add;           /* the adversarial set becomes a dataset; joins the training split */
	struct state *id, *x, *x0, *epsilon, *at, *numbers, *checks;
	struct compiled *clean, *check;
	/* of the last run */
	float *right, *loss, *zero, *random, **score; /* clean; by sample */
	int n_outcome;
	struct outcome *outcome;
	int n_picture, n_set;
	struct picture *picture;
	struct set *set;
};

/* Numbers of a stage that has run, into out. */
void robust_numbers(const struct stage *, struct metrics *out);
void robust_forget(struct robust *);                               /* what the last run found */
void robust_label(const struct outcome *, char *out, size_t size); /* "pgd", "pgd@8/255" */

/* pictures.c. x0, x: one sample each, (C,H,W) in pixel space. */
void picture_add(struct trainer *, const struct stage *, const struct outcome *, int32_t sample, const float *x0,
                 const float *x);
struct set *set_new(struct trainer *, const struct stage *, const struct outcome *, int64_t n);
void set_add(struct trainer *, const struct stage *, struct set *, int64_t from, int64_t n, const int32_t *id,
             const float *x);
void files_forget(struct robust *); /* what waits to be written */

#endif
