/* SPDX-License-Identifier: MIT
 *
 * elastic_net: l1 sum |w| + l2 sum w^2; mode=proximal instead sets, after each step,
 * w = soft(w, lr l1) / (1 + 2 lr l2) with soft(w, a) = sign(w) max(|w| - a, 0).
 */
#include "rein/rein.h"

struct elastic_net {
	double l1, l2;
	int32_t mode;
};
enum { PENALTY, PROXIMAL };
static const char *const modes[] = { "penalty", "proximal", NULL };
static const struct rein_key elastic_net_keys[] = {
	REIN_REAL(struct elastic_net, l1, NULL, 0, 1e6, REIN_KEY_KNOB, "strength of l1 sum |w|"),
	REIN_REAL(struct elastic_net, l2, NULL, 0, 1e6, REIN_KEY_KNOB, "strength of l2 sum w^2"),
	REIN_ENUM(struct elastic_net, mode, "penalty", modes,
	          "penalty: added to the loss; proximal: soft(w, lr l1) / (1 + 2 lr l2) after the step"),
	REIN_KEYS_END,
};

static rein_val elastic_net_penalty(const void *self, struct rein_rec *r, const struct rein_step *t,
                                    const struct rein_tensor *p)
{
	const struct elastic_net *s = self;
	if (s->mode == PROXIMAL)
		return rein_scalar(r, 0);
	rein_val l1 = rein_mul(r, rein_knob(r, "l1", s->l1), rein_sum(r, rein_abs(r, p->w)));
	return rein_add(r, l1, rein_mul(r, rein_knob(r, "l2", s->l2), rein_sum(r, rein_square(r, p->w))));
}

static rein_val elastic_net_after_step(const void *self, struct rein_rec *r, const struct rein_step *t,
                                       const struct rein_tensor *p)
{
	const struct elastic_net *s = self;
	if (s->mode == PENALTY)
		return p->w;
	rein_val w = rein_soft_threshold(r, p->w, rein_mul(r, t->lr, rein_knob(r, "l1", s->l1)));
	rein_val shrink = rein_scale(r, rein_mul(r, t->lr, rein_knob(r, "l2", s->l2)), 2);
	return rein_div(r, w, rein_offset(r, shrink, 1));
}

static const struct rein_regularizer_vt elastic_net_vt = { .struct_size = sizeof elastic_net_vt,
	                                                       .penalty = elastic_net_penalty,
	                                                       .after_step = elastic_net_after_step };
REIN_COMPONENT(elastic_net, REIN_REGULARIZER, struct elastic_net, elastic_net_keys, &elastic_net_vt,
               .summary = "L1 and L2 together: l1 sum |w| + l2 sum w^2", .reference = "Zou and Hastie 2005");
REIN_PLUGIN("elastic_net", "1.0.0", "MIT", &elastic_net_component)
