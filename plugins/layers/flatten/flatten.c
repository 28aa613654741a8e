/* SPDX-License-Identifier: MIT
 *
 * flatten: (N, ...) -> (N, product of the rest), row-major as torch.nn.Flatten.
 */
#include "rein/rein.h"

static rein_val flatten_record(const void *self, struct rein_rec *r, const struct rein_call *c)
{
	int64_t dim[2] = { rein_dim(r, c->in[0], 0), -1 };
	return rein_reshape(r, c->in[0], 2, dim);
}

static const struct rein_layer_vt flatten_vt = { .struct_size = sizeof flatten_vt, .record = flatten_record };
REIN_COMPONENT(flatten, REIN_LAYER, struct rein_keyless, NULL, &flatten_vt, .summary = "one row per sample",
               .reference = "torch.nn.Flatten");
REIN_PLUGIN("flatten", "1.0.0", "MIT", &flatten_component)
