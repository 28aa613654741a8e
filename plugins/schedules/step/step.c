/* SPDX-License-Identifier: MIT
 *
 * step: gamma^floor(t / size).
 * t counts epochs, or steps with by=step, from 0 at the start of the stage.
 */
#include "rein/rein.h"

struct step {
	int32_t by;
	double gamma;
	int64_t size;
};
enum { EPOCH, STEP };
static const char *const units[] = { "epoch", "step", NULL };
static const struct rein_key step_keys[] = {
	REIN_ENUM(struct step, by, "epoch", units, "what t counts"),
	REIN_INT(struct step, size, NULL, 1, 1LL << 40, "length of a stair, in units of t"),
	REIN_REAL(struct step, gamma, "0.1", 0, 1e6, 0, "factor of each stair"),
	REIN_KEYS_END,
};

static double step_value(const void *self, const struct rein_time *now)
{
	const struct step *s = self;
	double t = (double)(s->by == STEP ? now->step : now->epoch);
	return pow(s->gamma, floor(t / (double)s->size));
}

static const struct rein_schedule_vt step_vt = { .struct_size = sizeof step_vt, .value = step_value };
REIN_COMPONENT(step, REIN_SCHEDULE, struct step, step_keys, &step_vt, .summary = "times gamma every so often",
               .reference = "torch.optim.lr_scheduler.StepLR");
REIN_PLUGIN("step", "1.0.0", "MIT", &step_component)
