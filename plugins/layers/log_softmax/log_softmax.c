/* SPDX-License-Identifier: MIT
 *
 * log_softmax: x - log sum exp(x) along one axis, computed without overflow.
 */
#include "rein/rein.h"

struct log_softmax {
	int64_t axis;
};
static const struct rein_key log_softmax_keys[] = {
	REIN_INT(struct log_softmax, axis, "1", 1, REIN_MAX_RANK - 1, "axis that sums to 1; 0 is the batch"),
	REIN_KEYS_END,
};

static rein_val log_softmax_record(const void *self, struct rein_rec *r, const struct rein_call *c)
{
	const struct log_softmax *s = self;
	if (s->axis >= rein_rank(r, c->in[0])) {
		rein_refuse(r, "axis= is beyond the input's last axis");
		return REIN_NONE;
	}
	return rein_log_softmax(r, c->in[0], (uint32_t)s->axis);
}

static const struct rein_layer_vt log_softmax_vt = { .struct_size = sizeof log_softmax_vt,
	                                                 .record = log_softmax_record };
REIN_COMPONENT(log_softmax, REIN_LAYER, struct log_softmax, log_softmax_keys, &log_softmax_vt,
               .summary = "x - log sum exp(x)", .reference = "torch.nn.LogSoftmax");
REIN_PLUGIN("log_softmax", "1.0.0", "MIT", &log_softmax_component)
