/* SPDX-License-Identifier: MIT
 *
 * jacobian: lambda || d loss / d x ||^2 over the batch: a gradient inside the objective, which is
 * differentiated again (formula R28: Drucker and Le Cun 1992).
 */
#include "rein/rein.h"

struct jacobian {
	double lambda;
};
static const struct rein_key jacobian_keys[] = {
	REIN_REAL(struct jacobian, lambda, "1", 0, 1e6, REIN_KEY_KNOB, "strength"),
	REIN_KEYS_END,
};

static rein_val jacobian_term(const void *self, struct rein_rec *r, const struct rein_step *t)
{
	const struct jacobian *s = self;
	rein_val g = rein_grad(r, t->loss, t->batch->x);
	return rein_mul(r, rein_knob(r, "lambda", s->lambda), rein_sum(r, rein_square(r, g)));
}

static const struct rein_regularizer_vt jacobian_vt = { .struct_size = sizeof jacobian_vt, .term = jacobian_term };
REIN_COMPONENT(jacobian, REIN_REGULARIZER, struct jacobian, jacobian_keys, &jacobian_vt,
               .summary = "penalises the gradient of the loss in the input");
REIN_PLUGIN("jacobian", "1.0.0", "MIT", &jacobian_component)
