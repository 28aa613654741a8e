/* SPDX-License-Identifier: MIT
 *
 * join: the sum of all its inputs, which have one shape: a layer where branches meet.
 */
#include "rein/rein.h"

static rein_val join_record(const void *self, struct rein_rec *r, const struct rein_call *c)
{
	rein_val sum = c->in[0];
	for (uint32_t i = 1; i < c->n_in; i++)
		sum = rein_add(r, sum, c->in[i]);
	return sum;
}

static const struct rein_layer_vt join_vt = { .struct_size = sizeof join_vt, .inputs = 16, .record = join_record };
REIN_COMPONENT(join, REIN_LAYER, struct rein_keyless, NULL, &join_vt, .summary = "sum of its inputs");
REIN_PLUGIN("join", "1.0.0", "MIT", &join_component)
