/* SPDX-License-Identifier: MIT
 *
 * optimizer.h: from gradient to new weight, one tensor at a time. The core assigns
 * the result, applies masks, and merges equal updates of many tensors.
 */
#ifndef REIN_OPTIMIZER_H
#define REIN_OPTIMIZER_H

#include "math.h"

struct rein_optimizer_vt {
	uint32_t struct_size, reserved;
	/* [control] p->w, p->g -> the new weight. t->lr is this step's learning rate (key `lr`
	 * times its schedule). States (rein_state) are per tensor. */
	rein_val (*update)(const void *self, struct rein_rec *, const struct rein_step *t, const struct rein_tensor *p);
	/* [control] The value of the key `lr` at the start; its schedule multiplies it. */
	double (*lr)(const void *self);
};

#endif
