/* SPDX-License-Identifier: MIT
 *
 * relu: max(x, 0); gradient 0 at 0, as torch.relu.
 */
#include "rein/rein.h"

static rein_val relu_record(const void *self, struct rein_rec *r, const struct rein_call *c)
{
	return rein_relu(r, c->in[0]);
}

static const struct rein_layer_vt relu_vt = { .struct_size = sizeof relu_vt, .record = relu_record };
REIN_COMPONENT(relu, REIN_LAYER, struct rein_keyless, NULL, &relu_vt, .summary = "max(x, 0)",
               .reference = "torch.nn.ReLU");
REIN_PLUGIN("relu", "1.0.0", "MIT", &relu_component)
