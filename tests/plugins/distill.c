/* SPDX-License-Identifier: MIT
 *
 * distill: alpha T^2 KL(softmax(z_teacher / T) || softmax(z / T)), mean over the batch, added to
 * the loss; the teacher is a [network NAME] (formula R26: Hinton et al. 2015).
 */
#include "rein/rein.h"

struct distill {
	const struct rein_ref *teacher;
	double alpha, temperature;
};
static const char *const network_kind[] = { "network", NULL };
static const struct rein_key distill_keys[] = {
	REIN_REF(struct distill, teacher, NULL, network_kind, 0, "a [network NAME]"),
	REIN_REAL(struct distill, alpha, "1", 0, 1e6, REIN_KEY_KNOB, "strength"),
	REIN_REAL(struct distill, temperature, "4", 0, 1e6, REIN_KEY_OVER_MIN, "T"),
	REIN_KEYS_END,
};

static rein_val distill_term(const void *self, struct rein_rec *r, const struct rein_step *t)
{
	const struct distill *s = self;
	rein_val z = rein_stop(r, rein_forward_ref(r, s->teacher, t->batch->x, REIN_EVAL));
	rein_val lp = rein_log_softmax(r, rein_scale(r, z, 1 / s->temperature), 1);
	rein_val lq = rein_log_softmax(r, rein_scale(r, t->logits, 1 / s->temperature), 1);
	rein_val kl = rein_scale(r, rein_mean(r, rein_kl(r, lp, lq)), s->temperature * s->temperature);
	return rein_mul(r, kl, rein_knob(r, "alpha", s->alpha));
}

static const struct rein_regularizer_vt distill_vt = { .struct_size = sizeof distill_vt, .term = distill_term };
REIN_COMPONENT(distill, REIN_REGULARIZER, struct distill, distill_keys, &distill_vt,
               .summary = "learns a teacher's soft answers");
REIN_PLUGIN("distill", "1.0.0", "MIT", &distill_component)
