/* SPDX-License-Identifier: MIT
 *
 * exponential: gamma^t.
 * t counts epochs, or steps with by=step, from 0 at the start of the stage.
 */
#include "rein/rein.h"

struct exponential {
	int32_t by;
	double gamma;
};
enum { EPOCH, STEP };
static const char *const units[] = { "epoch", "step", NULL };
static const struct rein_key exponential_keys[] = {
	REIN_ENUM(struct exponential, by, "epoch", units, "what t counts"),
	REIN_REAL(struct exponential, gamma, NULL, 0, 1e6, REIN_KEY_OVER_MIN, "factor of each epoch (step)"),
	REIN_KEYS_END,
};

static double exponential_value(const void *self, const struct rein_time *now)
{
	const struct exponential *s = self;
	double t = (double)(s->by == STEP ? now->step : now->epoch);
	return pow(s->gamma, t);
}

static const struct rein_schedule_vt exponential_vt = { .struct_size = sizeof exponential_vt,
	                                                    .value = exponential_value };
REIN_COMPONENT(exponential, REIN_SCHEDULE, struct exponential, exponential_keys, &exponential_vt,
               .summary = "times gamma every epoch", .reference = "torch.optim.lr_scheduler.ExponentialLR");
REIN_PLUGIN("exponential", "1.0.0", "MIT", &exponential_component)
