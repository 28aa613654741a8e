/* SPDX-License-Identifier: MIT
 *
 * l1: lambda sum |w|. As a penalty its gradient is lambda sign(w), 0 at 0, and weights only
 * come near zero; mode=proximal instead sets w = sign(w) max(|w| - lr lambda, 0) after each
 * step, which makes exact zeros (ISTA; under Adam this is not Adam's own metric).
 */
#include "rein/rein.h"

struct l1 {
	double lambda;
	int32_t mode;
};
enum { PENALTY, PROXIMAL };
static const char *const modes[] = { "penalty", "proximal", NULL };
static const struct rein_key l1_keys[] = {
	REIN_REAL(struct l1, lambda, NULL, 0, 1e6, REIN_KEY_KNOB, "strength of lambda sum |w|"),
	REIN_ENUM(struct l1, mode, "penalty", modes, "penalty: added to the loss; proximal: soft threshold after the step"),
	REIN_KEYS_END,
};

static rein_val l1_penalty(const void *self, struct rein_rec *r, const struct rein_step *t, const struct rein_tensor *p)
{
	const struct l1 *s = self;
	if (s->mode == PROXIMAL)
		return rein_scalar(r, 0);
	return rein_mul(r, rein_knob(r, "lambda", s->lambda), rein_sum(r, rein_abs(r, p->w)));
}

static rein_val l1_after_step(const void *self, struct rein_rec *r, const struct rein_step *t,
                              const struct rein_tensor *p)
{
	const struct l1 *s = self;
	if (s->mode == PENALTY)
		return p->w;
	return rein_soft_threshold(r, p->w, rein_mul(r, t->lr, rein_knob(r, "lambda", s->lambda)));
}

static const struct rein_regularizer_vt l1_vt = { .struct_size = sizeof l1_vt,
	                                              .penalty = l1_penalty,
	                                              .after_step = l1_after_step };
REIN_COMPONENT(l1, REIN_REGULARIZER, struct l1, l1_keys, &l1_vt, .summary = "L1 norm: lambda sum |w|",
               .reference = "Tibshirani 1996; Daubechies et al. 2004 (proximal)");
REIN_PLUGIN("l1", "1.0.0", "MIT", &l1_component)
