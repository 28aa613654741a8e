/* SPDX-License-Identifier: MIT
 *
 * slimming: the sparse training of network slimming: lambda sum |gamma| over the scales of batch
 * normalization, whose gradient is lambda sign(gamma), 0 at 0. It is l1 on these parameters alone:
 * vectors called `.weight` among those that on= matches. For the pruner of the same name.
 */
#include "rein/rein.h"

struct slimming {
	double lambda;
};
static const struct rein_key slimming_keys[] = {
	REIN_REAL(struct slimming, lambda, "1e-4", 0, 1e6, REIN_KEY_KNOB, "strength of lambda sum |gamma|"),
	REIN_KEYS_END,
};

/* gamma (C) */
static rein_val slimming_penalty(const void *self, struct rein_rec *r, const struct rein_step *t,
                                 const struct rein_tensor *p)
{
	const struct slimming *s = self;
	size_t n = strlen(p->name);
	if (rein_rank(r, p->w) != 1 || n < 7 || strcmp(p->name + n - 7, ".weight") != 0)
		return REIN_NONE;
	return rein_mul(r, rein_knob(r, "lambda", s->lambda), rein_sum(r, rein_abs(r, p->w)));
}

static const struct rein_regularizer_vt slimming_vt = { .struct_size = sizeof slimming_vt,
	                                                    .penalty = slimming_penalty };
REIN_COMPONENT(slimming, REIN_REGULARIZER, struct slimming, slimming_keys, &slimming_vt,
               .summary = "L1 norm of the scales of batch normalization", .reference = "Liu et al. 2017");
REIN_PLUGIN("slimming", "1.0.0", "MIT", &slimming_component)
