/* SPDX-License-Identifier: MIT
 *
 * cosine: min + (1 - min) (1 + cos(pi t / length)) / 2, the closed form, which rises again after
 * length.
 * t counts epochs, or steps with by=step, from 0 at the start of the stage.
 */
#include "rein/rein.h"

struct cosine {
	int32_t by;
	double min;
	int64_t length;
};
enum { EPOCH, STEP };
static const char *const units[] = { "epoch", "step", NULL };
static const struct rein_key cosine_keys[] = {
	REIN_ENUM(struct cosine, by, "epoch", units, "what t counts"),
	REIN_REAL(struct cosine, min, "0", 0, 1, 0, "factor at t = length"),
	REIN_INT(struct cosine, length, "0", 0, 1LL << 40, "half a period, in units of t; 0: the whole stage"),
	REIN_KEYS_END,
};

static double cosine_value(const void *self, const struct rein_time *now)
{
	const struct cosine *s = self;
	double t = (double)(s->by == STEP ? now->step : now->epoch);
	double length = (double)s->length;
	if (s->length == 0)
		length = (double)(s->by == STEP ? now->epochs * now->steps_per_epoch : now->epochs);
	return s->min + (1 - s->min) * (1 + cos(3.14159265358979323846 * t / length)) / 2;
}

static const struct rein_schedule_vt cosine_vt = { .struct_size = sizeof cosine_vt, .value = cosine_value };
REIN_COMPONENT(cosine, REIN_SCHEDULE, struct cosine, cosine_keys, &cosine_vt,
               .summary = "half a cosine from 1 down to min",
               .reference = "Loshchilov and Hutter 2017; torch.optim.lr_scheduler.CosineAnnealingLR");
REIN_PLUGIN("cosine", "1.0.0", "MIT", &cosine_component)
