/* SPDX-License-Identifier: MIT
 *
 * distill: alpha T^2 KL(softmax(z_teacher / T) || softmax(z / T)), mean over the batch, beside
 * hard times the loss; the teacher is a [network NAME]. With hard = 1 - alpha this is formula R26.
 * after=1 leaves the first train stage alone: there the network may learn what a stage
 * `keep = copy to=NAME` then makes the teacher.
 */
#include "rein/rein.h"

struct distill {
	const struct rein_ref *teacher;
	double alpha, temperature, hard;
	int64_t after;
};
static const char *const network_kind[] = { "network", NULL };
static const struct rein_key distill_keys[] = {
	REIN_REF(struct distill, teacher, NULL, network_kind, 0, "a [network NAME]"),
	REIN_REAL(struct distill, alpha, "1", 0, 1e6, REIN_KEY_KNOB, "strength"),
	REIN_REAL(struct distill, temperature, "4", 0, 1e6, REIN_KEY_OVER_MIN, "T"),
	REIN_REAL(struct distill, hard, "1", 0, 1e6, 0, "weight of the loss on the labels"),
	REIN_INT(struct distill, after, "0", 0, 1000, "train stages before it begins"),
	REIN_KEYS_END,
};

static rein_val distill_term(const void *self, struct rein_rec *r, const struct rein_step *t)
{
	const struct distill *s = self;
	rein_val z = rein_stop(r, rein_forward_ref(r, s->teacher, t->batch->x, REIN_EVAL));
	rein_val lp = rein_log_softmax(r, rein_scale(r, z, 1 / s->temperature), 1);
	rein_val lq = rein_log_softmax(r, rein_scale(r, t->logits, 1 / s->temperature), 1);
	rein_val kl = rein_scale(r, rein_mean(r, rein_kl(r, lp, lq)), s->temperature * s->temperature);
	rein_val all = rein_mul(r, kl, rein_knob(r, "alpha", s->alpha));
	if (s->hard != 1)
		all = rein_add(r, all, rein_scale(r, t->loss, s->hard - 1));
	if (!s->after)
		return all;
	rein_val stages = rein_read(r, rein_state(r, "stages", REIN_I32_T, 0, NULL, NULL));
	rein_val begun = rein_lt(r, rein_scalar_i(r, (int32_t)s->after), stages);
	return rein_where(r, begun, all, rein_scalar(r, 0));
}

/* Counts train stages. */
static void distill_event(const void *self, struct rein_rec *r, const struct rein_step *t, uint32_t what)
{
	const struct distill *s = self;
	if (what != REIN_STAGE_BEGIN || !s->after)
		return;
	rein_var stages = rein_state(r, "stages", REIN_I32_T, 0, NULL, NULL);
	rein_assign(r, stages, rein_add(r, rein_read(r, stages), rein_scalar_i(r, 1)), REIN_NONE);
}

static const struct rein_regularizer_vt distill_vt = { .struct_size = sizeof distill_vt,
	                                                   .term = distill_term,
	                                                   .event = distill_event };
REIN_COMPONENT(distill, REIN_REGULARIZER, struct distill, distill_keys, &distill_vt,
               .summary = "learns a teacher's soft answers",
               .reference = "Hinton et al. 2015; timm LogitDistillationTask");
REIN_PLUGIN("distill", "1.0.0", "MIT", &distill_component)
