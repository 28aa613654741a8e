/* SPDX-License-Identifier: MIT
 *
 * defensive_distillation: the targets are a teacher's answers softmax(z_teacher / T) instead of
 * labels. Teacher and student have the same layers, end in a layer `temperature` of the same T,
 * and the student is used at T = 1:
 *   fit = train   keep = copy to=teacher   back = rewind epoch=0   again = train
 * after=1 (the default) leaves the labels to the first train stage.
 */
#include "rein/rein.h"

struct defensive_distillation {
	const struct rein_ref *teacher;
	double temperature;
	int64_t after;
};
static const char *const network_kind[] = { "network", NULL };
static const struct rein_key defensive_distillation_keys[] = {
	REIN_REF(struct defensive_distillation, teacher, NULL, network_kind, 0, "a [network NAME]"),
	REIN_REAL(struct defensive_distillation, temperature, "20", 0, 1e6, REIN_KEY_OVER_MIN, "T"),
	REIN_INT(struct defensive_distillation, after, "1", 0, 1000, "train stages before it begins"),
	REIN_KEYS_END,
};

static rein_var stages(struct rein_rec *r) { return rein_state(r, "stages", REIN_I32_T, 0, NULL, NULL); }

static rein_val defensive_distillation_target(const void *self, struct rein_rec *r, const struct rein_step *t,
                                              rein_val y)
{
	const struct defensive_distillation *s = self;
	rein_val z = rein_stop(r, rein_forward_ref(r, s->teacher, t->batch->x, REIN_EVAL));
	rein_val soft = rein_softmax(r, rein_scale(r, z, 1 / s->temperature), 1);
	if (rein_dtype(r, y) == REIN_I32_T)
		y = rein_cast(r, rein_one_hot(r, y, rein_dim(r, z, 1)), REIN_REAL_T);
	rein_val begun = rein_lt(r, rein_scalar_i(r, (int32_t)s->after), rein_read(r, stages(r)));
	return rein_where(r, begun, soft, y);
}

/* Counts train stages. */
static void defensive_distillation_event(const void *self, struct rein_rec *r, const struct rein_step *t, uint32_t what)
{
	if (what == REIN_STAGE_BEGIN)
		rein_assign(r, stages(r), rein_add(r, rein_read(r, stages(r)), rein_scalar_i(r, 1)), REIN_NONE);
}

static const struct rein_regularizer_vt defensive_distillation_vt = { .struct_size = sizeof defensive_distillation_vt,
	                                                                  .target = defensive_distillation_target,
	                                                                  .event = defensive_distillation_event };
REIN_COMPONENT(defensive_distillation, REIN_REGULARIZER, struct defensive_distillation, defensive_distillation_keys,
               &defensive_distillation_vt, .summary = "learns a teacher's soft answers at high temperature",
               .reference = "Papernot et al. 2016");
REIN_PLUGIN("defensive_distillation", "1.0.0", "MIT", &defensive_distillation_component)
