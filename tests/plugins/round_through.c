/* SPDX-License-Identifier: MIT
 *
 * round_through: a layer y = rint(x * levels) / levels whose gradient passes as if it were not
 * there (straight-through estimator: Bengio et al. 2013): an op with a derivative of its own.
 */
#include "rein/rein.h"

struct round_through {
	double levels;
};
static const struct rein_key round_through_keys[] = {
	REIN_REAL(struct round_through, levels, "8", 0, 1e6, REIN_KEY_OVER_MIN, "steps per unit"),
	REIN_KEYS_END,
};

static void through(const void *ctx, struct rein_rec *r, const rein_val *in, const rein_val *out, const rein_val *g,
                    rein_val *gin)
{
	gin[0] = g[0];
}

static rein_val round_through_record(const void *self, struct rein_rec *r, const struct rein_call *c)
{
	const struct round_through *s = self;
	rein_val y = rein_scale(r, rein_rint(r, rein_scale(r, c->in[0], s->levels)), 1 / s->levels);
	return rein_override(r, y, 1, c->in, through, s);
}

static const struct rein_layer_vt round_through_vt = { .struct_size = sizeof round_through_vt,
	                                                   .record = round_through_record };
REIN_COMPONENT(round_through, REIN_LAYER, struct round_through, round_through_keys, &round_through_vt,
               .summary = "rounds forward, passes gradients on");
REIN_PLUGIN("round_through", "1.0.0", "MIT", &round_through_component)
