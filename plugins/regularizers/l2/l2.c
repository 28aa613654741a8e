/* SPDX-License-Identifier: MIT
 *
 * l2: lambda sum w^2, gradient 2 lambda w; with half=yes (lambda/2) sum w^2, gradient lambda w,
 * which is what PyTorch's weight_decay=lambda adds.
 */
#include "rein/rein.h"

struct l2 {
	double lambda;
	int32_t half;
};
static const struct rein_key l2_keys[] = {
	REIN_REAL(struct l2, lambda, NULL, 0, 1e6, REIN_KEY_KNOB, "strength of lambda sum w^2"),
	REIN_BOOL(struct l2, half, "no", "(lambda/2) sum w^2: the convention of weight_decay"),
	REIN_KEYS_END,
};

static rein_val l2_penalty(const void *self, struct rein_rec *r, const struct rein_step *t, const struct rein_tensor *p)
{
	const struct l2 *s = self;
	rein_val sum = rein_mul(r, rein_knob(r, "lambda", s->lambda), rein_sum(r, rein_square(r, p->w)));
	return s->half ? rein_scale(r, sum, 0.5) : sum;
}

static const struct rein_regularizer_vt l2_vt = { .struct_size = sizeof l2_vt, .penalty = l2_penalty };
REIN_COMPONENT(l2, REIN_REGULARIZER, struct l2, l2_keys, &l2_vt, .summary = "squared L2 norm: lambda sum w^2",
               .reference = "Hoerl and Kennard 1970 (ridge regression)");
REIN_PLUGIN("l2", "1.0.0", "MIT", &l2_component)
