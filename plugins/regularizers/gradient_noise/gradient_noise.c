/* SPDX-License-Identifier: MIT
 *
 * gradient_noise: g + N(0, eta / (1 + t)^gamma), t the step from 0 (formula R25).
 */
#include "rein/rein.h"

struct gradient_noise {
	double eta, gamma;
};
static const struct rein_key gradient_noise_keys[] = {
	REIN_REAL(struct gradient_noise, eta, "0.01", 0, 1e6, REIN_KEY_KNOB, "variance at the first step"),
	REIN_REAL(struct gradient_noise, gamma, "0.55", 0, 100, 0, "how fast the variance falls: eta / (1+t)^gamma"),
	REIN_KEYS_END,
};

/* Variance at a step, as a share of eta. */
static double decay(const void *self, int64_t step)
{
	return pow(1 + (double)step, -((const struct gradient_noise *)self)->gamma);
}

static rein_val gradient_noise_gradient(const void *self, struct rein_rec *r, const struct rein_step *t,
                                        const struct rein_tensor *p)
{
	const struct gradient_noise *s = self;
	rein_val sigma = rein_sqrt(r, rein_mul(r, rein_knob(r, "eta", s->eta), rein_per_step(r, decay, s)));
	return rein_add(r, p->g, rein_mul(r, rein_random_like(r, "noise", REIN_NORMAL, REIN_PER_STEP, p->g), sigma));
}

static const struct rein_regularizer_vt gradient_noise_vt = { .struct_size = sizeof gradient_noise_vt,
	                                                          .gradient = gradient_noise_gradient };
REIN_COMPONENT(gradient_noise, REIN_REGULARIZER, struct gradient_noise, gradient_noise_keys, &gradient_noise_vt,
               .summary = "N(0, eta/(1+t)^gamma) on the gradients", .reference = "Neelakantan et al. 2015");
REIN_PLUGIN("gradient_noise", "1.0.0", "MIT", &gradient_noise_component)
