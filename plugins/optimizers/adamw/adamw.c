/* SPDX-License-Identifier: MIT
 *
 * adamw: Adam with decoupled weight decay: first w = (1 - lr weight_decay) w, then Adam on the
 * plain gradient, as torch.optim.AdamW; ../adam/adam.h has the formula.
 */
#include "../adam/adam.h"

static const struct rein_key adamw_keys[] = {
	ADAM_KEYS("0.01", "shrinks every weight by the factor 1 - lr weight_decay in each step"),
	REIN_KEYS_END,
};

static rein_val adamw_update(const void *self, struct rein_rec *r, const struct rein_step *t,
                             const struct rein_tensor *p)
{
	const struct adam *s = self;
	rein_val w = p->w;
	if (s->weight_decay != 0) {
		rein_val shrink = rein_mul(r, t->lr, rein_knob(r, "weight_decay", s->weight_decay));
		w = rein_mul(r, w, rein_sub(r, rein_scalar(r, 1), shrink));
	}
	return adam_step(s, r, t->lr, w, p->g);
}

static const struct rein_optimizer_vt adamw_vt = { .struct_size = sizeof adamw_vt,
	                                               .update = adamw_update,
	                                               .lr = adam_lr };
REIN_COMPONENT(adamw, REIN_OPTIMIZER, struct adam, adamw_keys, &adamw_vt,
               .summary = "Adam, with weight decay apart from the gradient",
               .reference = "Loshchilov and Hutter 2019; torch.optim.AdamW");
REIN_PLUGIN("adamw", "1.0.0", "MIT", &adamw_component)
