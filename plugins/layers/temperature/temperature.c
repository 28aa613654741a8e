/* SPDX-License-Identifier: MIT
 *
 * temperature: z / t while training, z otherwise: at the end of a network that learns soft
 * answers at temperature t and is used at 1, as defensive distillation does.
 */
#include "rein/rein.h"

struct temperature {
	double t;
};
static const struct rein_key temperature_keys[] = {
	REIN_REAL(struct temperature, t, "20", 0, 1e6, REIN_KEY_OVER_MIN, "temperature of training"),
	REIN_KEYS_END,
};

static rein_val temperature_record(const void *self, struct rein_rec *r, const struct rein_call *c)
{
	const struct temperature *s = self;
	return c->mode == REIN_TRAIN ? rein_scale(r, c->in[0], 1 / s->t) : c->in[0];
}

static const struct rein_layer_vt temperature_vt = { .struct_size = sizeof temperature_vt,
	                                                 .record = temperature_record };
REIN_COMPONENT(temperature, REIN_LAYER, struct temperature, temperature_keys, &temperature_vt,
               .summary = "logits divided by a temperature while training",
               .reference = "Hinton et al. 2015; Papernot et al. 2016");
REIN_PLUGIN("temperature", "1.0.0", "MIT", &temperature_component)
