/* SPDX-License-Identifier: MIT
 *
 * l1: lambda * sum |w|, sub-gradient (sign(0) = 0). Formula: Tibshirani 1996.
 */
#include "rein/rein.h"
struct l1 {
	double lambda;
};
static const struct rein_key l1_keys[] = { REIN_REAL(struct l1, lambda, NULL, 0, 1e6, REIN_KEY_KNOB, "strength"),
	                                       REIN_KEYS_END };
static rein_val l1_penalty(const void *self, struct rein_rec *r, const struct rein_step *t, const struct rein_tensor *p)
{
	const struct l1 *s = self;
	(void)t;
	return rein_mul(r, rein_knob(r, "lambda", s->lambda), rein_sum(r, rein_abs(r, p->w)));
}
static const struct rein_regularizer_vt l1_vt = { .struct_size = sizeof l1_vt, .penalty = l1_penalty };
REIN_COMPONENT(l1, REIN_REGULARIZER, struct l1, l1_keys, &l1_vt, .summary = "sum of |w|");
REIN_PLUGIN("l1", "1.0.0", "MIT", &l1_component)
