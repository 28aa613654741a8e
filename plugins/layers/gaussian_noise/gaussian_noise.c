/* SPDX-License-Identifier: MIT
 *
 * gaussian_noise: in training y = x + sigma e, e ~ N(0,1) for each element, drawn by the
 * sample's number; in evaluation y = x. In linear regression this is ridge regression with
 * sigma^2 sum w^2 (formula R15: Bishop 1995).
 */
#include "rein/rein.h"

struct gaussian_noise {
	double sigma;
};
static const struct rein_key gaussian_noise_keys[] = {
	REIN_REAL(struct gaussian_noise, sigma, "0.1", 0, 1e6, REIN_KEY_KNOB, "standard deviation, in units of the input"),
	REIN_KEYS_END,
};

static rein_val gaussian_noise_record(const void *self, struct rein_rec *r, const struct rein_call *c)
{
	const struct gaussian_noise *s = self;
	rein_val x = c->in[0];
	if (c->mode == REIN_EVAL)
		return x;
	rein_val e = rein_random_like(r, "noise", REIN_NORMAL, REIN_PER_SAMPLE, x);
	return rein_add(r, x, rein_mul(r, e, rein_knob(r, "sigma", s->sigma)));
}

static const struct rein_layer_vt gaussian_noise_vt = { .struct_size = sizeof gaussian_noise_vt,
	                                                    .record = gaussian_noise_record };
REIN_COMPONENT(gaussian_noise, REIN_LAYER, struct gaussian_noise, gaussian_noise_keys, &gaussian_noise_vt,
               .summary = "adds N(0, sigma^2) while training",
               .reference = "Bishop, Training with Noise is Equivalent to Tikhonov Regularization, 1995");
REIN_PLUGIN("gaussian_noise", "1.0.0", "MIT", &gaussian_noise_component)
