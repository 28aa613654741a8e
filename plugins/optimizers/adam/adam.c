/* SPDX-License-Identifier: MIT
 *
 * adam: Adam with coupled weight decay, g + weight_decay w, as torch.optim.Adam; adam.h has
 * the formula.
 */
#include "adam.h"

static const struct rein_key adam_keys[] = {
	ADAM_KEYS("0", "adds weight_decay w to the gradient, before the moments: the penalty (weight_decay/2) sum w^2"),
	REIN_KEYS_END,
};

static rein_val adam_update(const void *self, struct rein_rec *r, const struct rein_step *t,
                            const struct rein_tensor *p)
{
	const struct adam *s = self;
	rein_val g = p->g;
	if (s->weight_decay != 0)
		g = rein_add(r, g, rein_mul(r, p->w, rein_knob(r, "weight_decay", s->weight_decay)));
	return adam_step(s, r, t->lr, p->w, g);
}

static const struct rein_optimizer_vt adam_vt = { .struct_size = sizeof adam_vt, .update = adam_update, .lr = adam_lr };
REIN_COMPONENT(adam, REIN_OPTIMIZER, struct adam, adam_keys, &adam_vt,
               .summary = "Adam, with weight decay as part of the gradient",
               .reference = "Kingma and Ba 2015; torch.optim.Adam");
REIN_PLUGIN("adam", "1.0.0", "MIT", &adam_component)
