/* SPDX-License-Identifier: MIT
 *
 * weight_noise: in training the forward pass sees w + e, e ~ N(0, variance) anew in each step;
 * the gradient found there updates w itself. In linear regression it leaves the solution where
 * it is (formula R14).
 */
#include "rein/rein.h"

struct weight_noise {
	double variance;
};
static const struct rein_key weight_noise_keys[] = {
	REIN_REAL(struct weight_noise, variance, "1e-4", 0, 1e6, REIN_KEY_KNOB, "variance of the noise, sigma^2"),
	REIN_KEYS_END,
};

static rein_val weight_noise_param(const void *self, struct rein_rec *r, const struct rein_step *t,
                                   const struct rein_tensor *p)
{
	const struct weight_noise *s = self;
	if (t->mode == REIN_EVAL)
		return p->w;
	rein_val e = rein_random_like(r, "noise", REIN_NORMAL, REIN_PER_STEP, p->w);
	return rein_add(r, p->w, rein_mul(r, e, rein_sqrt(r, rein_knob(r, "variance", s->variance))));
}

static const struct rein_regularizer_vt weight_noise_vt = { .struct_size = sizeof weight_noise_vt,
	                                                        .param = weight_noise_param };
REIN_COMPONENT(weight_noise, REIN_REGULARIZER, struct weight_noise, weight_noise_keys, &weight_noise_vt,
               .summary = "N(0, variance) on the weights of each training step",
               .reference = "Graves 2011; Murray and Edwards 1994");
REIN_PLUGIN("weight_noise", "1.0.0", "MIT", &weight_noise_component)
