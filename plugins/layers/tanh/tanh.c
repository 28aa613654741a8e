/* SPDX-License-Identifier: MIT
 *
 * tanh: tanh(x).
 */
#include "rein/rein.h"

static rein_val tanh_record(const void *self, struct rein_rec *r, const struct rein_call *c)
{
	return rein_tanh(r, c->in[0]);
}

static const struct rein_layer_vt tanh_vt = { .struct_size = sizeof tanh_vt, .record = tanh_record };
REIN_COMPONENT(tanh, REIN_LAYER, struct rein_keyless, NULL, &tanh_vt, .summary = "tanh(x)",
               .reference = "torch.nn.Tanh");
REIN_PLUGIN("tanh", "1.0.0", "MIT", &tanh_component)
