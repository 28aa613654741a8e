/* SPDX-License-Identifier: MIT
 *
 * attack.h: adversarial examples, recorded: logits, losses and input gradients in
 * evaluation mode, parameters and statistics untouched.
 */
#ifndef REIN_ATTACK_H
#define REIN_ATTACK_H

#include "math.h"

struct rein_attack_vt {
	uint32_t struct_size, reserved;
	/* [control] x (N,...) in pixel space m->lo..m->hi, y (N) i32 -> x' of the same shape. The
	 * model's normalization is inside rein_forward(), not the attack's business. */
	rein_val (*perturb)(const void *self, struct rein_rec *, const struct rein_model *m, rein_val x, rein_val y);
	/* [control] Fewest classes the attack can be run on (DLR: 3); 0: any. */
	uint32_t min_classes;
	uint32_t reserved2;
};

#endif
