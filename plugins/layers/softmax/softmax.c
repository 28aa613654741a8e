/* SPDX-License-Identifier: MIT
 *
 * softmax: exp(x) / sum exp(x) along one axis, computed without overflow.
 */
#include "rein/rein.h"

struct softmax {
	int64_t axis;
};
static const struct rein_key softmax_keys[] = {
	REIN_INT(struct softmax, axis, "1", 1, REIN_MAX_RANK - 1, "axis that sums to 1; 0 is the batch"),
	REIN_KEYS_END,
};

static rein_val softmax_record(const void *self, struct rein_rec *r, const struct rein_call *c)
{
	const struct softmax *s = self;
	if (s->axis >= rein_rank(r, c->in[0])) {
		rein_refuse(r, "axis= is beyond the input's last axis");
		return REIN_NONE;
	}
	return rein_softmax(r, c->in[0], (uint32_t)s->axis);
}

static const struct rein_layer_vt softmax_vt = { .struct_size = sizeof softmax_vt, .record = softmax_record };
REIN_COMPONENT(softmax, REIN_LAYER, struct softmax, softmax_keys, &softmax_vt, .summary = "exp(x) / sum exp(x)",
               .reference = "torch.nn.Softmax");
REIN_PLUGIN("softmax", "1.0.0", "MIT", &softmax_component)
