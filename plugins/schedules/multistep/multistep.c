/* SPDX-License-Identifier: MIT
 *
 * multistep: gamma^(number of entries of at= that are <= t).
 * t counts epochs, or steps with by=step, from 0 at the start of the stage.
 */
#include "rein/rein.h"

struct multistep {
	int32_t by;
	double gamma;
	struct rein_ints at;
};
enum { EPOCH, STEP };
static const char *const units[] = { "epoch", "step", NULL };
static const struct rein_key multistep_keys[] = {
	REIN_ENUM(struct multistep, by, "epoch", units, "what t counts"),
	REIN_INTS(struct multistep, at, NULL, 0, 1LL << 40, 0, "when to multiply by gamma: 30,80"),
	REIN_REAL(struct multistep, gamma, "0.1", 0, 1e6, 0, "factor of each entry"),
	REIN_KEYS_END,
};

static double multistep_value(const void *self, const struct rein_time *now)
{
	const struct multistep *s = self;
	double t = (double)(s->by == STEP ? now->step : now->epoch);
	double factor = 1;
	for (int64_t i = 0; i < s->at.n; i++)
		if (t >= (double)s->at.v[i])
			factor *= s->gamma;
	return factor;
}

static const struct rein_schedule_vt multistep_vt = { .struct_size = sizeof multistep_vt, .value = multistep_value };
REIN_COMPONENT(multistep, REIN_SCHEDULE, struct multistep, multistep_keys, &multistep_vt,
               .summary = "times gamma at given times", .reference = "torch.optim.lr_scheduler.MultiStepLR");
REIN_PLUGIN("multistep", "1.0.0", "MIT", &multistep_component)
