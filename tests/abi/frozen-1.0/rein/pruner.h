/* SPDX-License-Identifier: MIT
 *
 * pruner.h: which weights go. Masks, schedules, local or global scope and physical
 * removal belong to the core; a pruner scores, or gives a threshold.
 */
#ifndef REIN_PRUNER_H
#define REIN_PRUNER_H

#include "math.h"

/* Flags of a pruner. */
#define REIN_NEEDS_GRADIENT 1u /* p->g is the gradient of the loss, taken before each cut; else NONE */
#define REIN_PRUNE_BIAS     2u /* `x.bias` loses the entries whose rows `x.weight` has lost */

struct rein_pruner_vt {
	uint32_t struct_size, flags;
	/* [control] A score per weight, same shape as p->w, or per slice of axis `dim` with that
	 * axis kept and the others 1 (structured); the smallest scores are pruned. REIN_NONE: this
	 * tensor is nothing for this pruner. */
	rein_val (*score)(const void *self, struct rein_rec *, const struct rein_tensor *p);
	/* [control] Either: the bool mask of weights to keep, shape of p->w, instead of a score. */
	rein_val (*keep)(const void *self, struct rein_rec *, const struct rein_tensor *p);
	/* [control] Share (0..1) or, if >= 1 and whole, number to prune; used with score. A schedule
	 * that grows ends with this much of all there was. */
	double (*amount)(const void *self);
	/* [control] 1: rank over all tensors of `on=` together; 0: each by itself. */
	uint32_t (*global)(const void *self);
};

#endif
