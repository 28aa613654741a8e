/* SPDX-License-Identifier: MIT
 *
 * sigmoid: 1 / (1 + exp(-x)).
 */
#include "rein/rein.h"

static rein_val sigmoid_record(const void *self, struct rein_rec *r, const struct rein_call *c)
{
	return rein_sigmoid(r, c->in[0]);
}

static const struct rein_layer_vt sigmoid_vt = { .struct_size = sizeof sigmoid_vt, .record = sigmoid_record };
REIN_COMPONENT(sigmoid, REIN_LAYER, struct rein_keyless, NULL, &sigmoid_vt, .summary = "1 / (1 + exp(-x))",
               .reference = "torch.nn.Sigmoid");
REIN_PLUGIN("sigmoid", "1.0.0", "MIT", &sigmoid_component)
