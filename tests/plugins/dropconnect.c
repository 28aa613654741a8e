/* SPDX-License-Identifier: MIT
 *
 * dropconnect: in training the forward pass sees w m / (1 - p), m = 1 with probability 1 - p
 * for each weight, anew in each step (formula R11: Wan et al. 2013).
 */
#include "rein/rein.h"

struct dropconnect {
	double p;
};
static const struct rein_key dropconnect_keys[] = {
	REIN_REAL(struct dropconnect, p, "0.5", 0, 1, REIN_KEY_UNDER_MAX, "share of weights set to 0"),
	REIN_KEYS_END,
};

static rein_val dropconnect_param(const void *self, struct rein_rec *r, const struct rein_step *t,
                                  const struct rein_tensor *p)
{
	const struct dropconnect *s = self;
	return t->mode == REIN_EVAL ? p->w : rein_dropout(r, p->w, s->p, "mask", REIN_PER_STEP);
}

static const struct rein_regularizer_vt dropconnect_vt = { .struct_size = sizeof dropconnect_vt,
	                                                       .param = dropconnect_param };
REIN_COMPONENT(dropconnect, REIN_REGULARIZER, struct dropconnect, dropconnect_keys, &dropconnect_vt,
               .summary = "drops weights of each training step");
REIN_PLUGIN("dropconnect", "1.0.0", "MIT", &dropconnect_component)
