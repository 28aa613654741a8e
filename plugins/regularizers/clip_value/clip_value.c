/* SPDX-License-Identifier: MIT
 *
 * clip_value: every entry of every gradient cut to -max .. max, as
 * torch.nn.utils.clip_grad_value_.
 */
#include "rein/rein.h"

struct clip_value {
	double max;
};
static const struct rein_key clip_value_keys[] = {
	REIN_REAL(struct clip_value, max, "1", 0, 1e6, 0, "largest absolute value of a gradient's entry"),
	REIN_KEYS_END,
};

static rein_val clip_value_gradient(const void *self, struct rein_rec *r, const struct rein_step *t,
                                    const struct rein_tensor *p)
{
	const struct clip_value *s = self;
	return rein_clip(r, p->g, -s->max, s->max);
}

static const struct rein_regularizer_vt clip_value_vt = { .struct_size = sizeof clip_value_vt,
	                                                      .gradient = clip_value_gradient };
REIN_COMPONENT(clip_value, REIN_REGULARIZER, struct clip_value, clip_value_keys, &clip_value_vt,
               .summary = "cuts gradients entry by entry", .reference = "torch.nn.utils.clip_grad_value_");
REIN_PLUGIN("clip_value", "1.0.0", "MIT", &clip_value_component)
