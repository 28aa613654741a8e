/* SPDX-License-Identifier: MIT
 *
 * dropconnect: in training the forward pass sees w m / (1 - p), m = 1 with probability 1 - p
 * for each weight, anew in each step (formula R11: Wan et al. 2013). A regularizer and not a
 * layer, so that it works on the weights of any layer: on=fc1.*, on=conv*.weight.
 */
#include "rein/rein.h"

struct dropconnect {
	double p;
	int32_t bias;
};
static const struct rein_key dropconnect_keys[] = {
	REIN_REAL(struct dropconnect, p, "0.5", 0, 1, REIN_KEY_KNOB | REIN_KEY_UNDER_MAX, "share of weights set to 0"),
	REIN_BOOL(struct dropconnect, bias, "no", "biases and other vectors too, where on= matches them"),
	REIN_KEYS_END,
};

static rein_val dropconnect_param(const void *self, struct rein_rec *r, const struct rein_step *t,
                                  const struct rein_tensor *p)
{
	const struct dropconnect *s = self;
	if (t->mode == REIN_EVAL || (!s->bias && rein_rank(r, p->w) < 2))
		return p->w;
	rein_val one = rein_scalar(r, 1), kept = rein_sub(r, one, rein_knob(r, "p", s->p)); /* 1 - p */
	rein_val keep = rein_lt(r, rein_random_like(r, "mask", REIN_UNIFORM, REIN_PER_STEP, p->w), kept);
	return rein_where(r, keep, rein_div(r, p->w, kept), rein_scalar(r, 0));
}

static const struct rein_regularizer_vt dropconnect_vt = { .struct_size = sizeof dropconnect_vt,
	                                                       .param = dropconnect_param };
REIN_COMPONENT(dropconnect, REIN_REGULARIZER, struct dropconnect, dropconnect_keys, &dropconnect_vt,
               .summary = "drops weights of each training step", .reference = "Wan et al., DropConnect, 2013");
REIN_PLUGIN("dropconnect", "1.0.0", "MIT", &dropconnect_component)
