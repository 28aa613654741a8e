/* SPDX-License-Identifier: MIT
 *
 * leaky_relu: x for x > 0, else slope x; gradient `slope` at 0, as torch.nn.LeakyReLU.
 */
#include "rein/rein.h"

struct leaky_relu {
	double slope;
};
static const struct rein_key leaky_relu_keys[] = {
	REIN_REAL(struct leaky_relu, slope, "0.01", 0, 1, 0, "factor for x <= 0"),
	REIN_KEYS_END,
};

static rein_val leaky_relu_record(const void *self, struct rein_rec *r, const struct rein_call *c)
{
	const struct leaky_relu *s = self;
	return rein_leaky_relu(r, c->in[0], s->slope);
}

static const struct rein_layer_vt leaky_relu_vt = { .struct_size = sizeof leaky_relu_vt, .record = leaky_relu_record };
REIN_COMPONENT(leaky_relu, REIN_LAYER, struct leaky_relu, leaky_relu_keys, &leaky_relu_vt,
               .summary = "x for x > 0, else slope x", .reference = "torch.nn.LeakyReLU");
REIN_PLUGIN("leaky_relu", "1.0.0", "MIT", &leaky_relu_component)
