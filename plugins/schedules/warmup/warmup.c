/* SPDX-License-Identifier: MIT
 *
 * warmup: start + (end - start) min(t, length) / length: a ramp, then flat.
 * t counts epochs, or steps with by=step, from 0 at the start of the stage.
 */
#include "rein/rein.h"

struct warmup {
	int32_t by;
	double start, end;
	int64_t length;
};
enum { EPOCH, STEP };
static const char *const units[] = { "epoch", "step", NULL };
static const struct rein_key warmup_keys[] = {
	REIN_ENUM(struct warmup, by, "epoch", units, "what t counts"),
	REIN_REAL(struct warmup, start, "1/3", 0, 1e6, 0, "factor at t = 0"),
	REIN_REAL(struct warmup, end, "1", 0, 1e6, 0, "factor from t = length on"),
	REIN_INT(struct warmup, length, "5", 1, 1LL << 40, "length of the ramp, in units of t"),
	REIN_KEYS_END,
};

static double warmup_value(const void *self, const struct rein_time *now)
{
	const struct warmup *s = self;
	double t = (double)(s->by == STEP ? now->step : now->epoch);
	double share = t / (double)s->length;
	return s->start + (s->end - s->start) * (share < 1 ? share : 1);
}

static const struct rein_schedule_vt warmup_vt = { .struct_size = sizeof warmup_vt, .value = warmup_value };
REIN_COMPONENT(warmup, REIN_SCHEDULE, struct warmup, warmup_keys, &warmup_vt, .summary = "a linear ramp, then flat",
               .reference = "torch.optim.lr_scheduler.LinearLR; Goyal et al. 2017");
REIN_PLUGIN("warmup", "1.0.0", "MIT", &warmup_component)
