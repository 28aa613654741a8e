/* SPDX-License-Identifier: MIT
 *
 * max_norm: after each step, every row (filter) w_j of a weight with ||w_j|| > max becomes
 * w_j max / (||w_j|| + 1e-7), as torch.renorm(w, 2, 0, max). Biases are left alone.
 */
#include "rein/rein.h"

struct max_norm {
	double max;
};
static const struct rein_key max_norm_keys[] = {
	REIN_REAL(struct max_norm, max, "3", 0, 1e6, REIN_KEY_KNOB, "largest norm of the weights into one unit"),
	REIN_KEYS_END,
};

static rein_val max_norm_after_step(const void *self, struct rein_rec *r, const struct rein_step *t,
                                    const struct rein_tensor *p)
{
	const struct max_norm *s = self;
	if (rein_rank(r, p->w) < 2)
		return p->w;
	rein_val max = rein_knob(r, "max", s->max);
	rein_val norm = rein_norm(r, p->w, ~REIN_AXIS(0), REIN_KEEP);
	rein_val scale = rein_div(r, max, rein_offset(r, norm, 1e-7));
	return rein_mul(r, p->w, rein_where(r, rein_lt(r, max, norm), scale, rein_scalar(r, 1)));
}

static const struct rein_regularizer_vt max_norm_vt = { .struct_size = sizeof max_norm_vt,
	                                                    .after_step = max_norm_after_step };
REIN_COMPONENT(max_norm, REIN_REGULARIZER, struct max_norm, max_norm_keys, &max_norm_vt,
               .summary = "keeps the weights into each unit within a ball",
               .reference = "Srebro and Shraibman 2005; torch.renorm");
REIN_PLUGIN("max_norm", "1.0.0", "MIT", &max_norm_component)
