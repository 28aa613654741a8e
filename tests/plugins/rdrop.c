/* SPDX-License-Identifier: MIT
 *
 * rdrop: alpha (KL(p||q) + KL(q||p)) / 2 of two forward passes with different dropout masks,
 * mean over the batch (Liang et al. 2021).
 */
#include "rein/rein.h"

struct rdrop {
	double alpha;
};
static const struct rein_key rdrop_keys[] = {
	REIN_REAL(struct rdrop, alpha, "1", 0, 1e6, REIN_KEY_KNOB, "strength"),
	REIN_KEYS_END,
};

static rein_val rdrop_term(const void *self, struct rein_rec *r, const struct rein_step *t)
{
	const struct rdrop *s = self;
	rein_val lp = rein_log_softmax(r, t->logits, 1);
	rein_val lq = rein_log_softmax(r, rein_forward(r, t->model, t->batch->x, REIN_TRAIN | REIN_KEEP_STATE), 1);
	rein_val both = rein_add(r, rein_mean(r, rein_kl(r, lp, lq)), rein_mean(r, rein_kl(r, lq, lp)));
	rein_metric(r, "kl", both, REIN_MEAN);
	return rein_mul(r, rein_scale(r, both, 0.5), rein_knob(r, "alpha", s->alpha));
}

static const struct rein_regularizer_vt rdrop_vt = { .struct_size = sizeof rdrop_vt, .term = rdrop_term };
REIN_COMPONENT(rdrop, REIN_REGULARIZER, struct rdrop, rdrop_keys, &rdrop_vt, .summary = "two dropout masks must agree");
REIN_PLUGIN("rdrop", "1.0.0", "MIT", &rdrop_component)
