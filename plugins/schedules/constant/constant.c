/* SPDX-License-Identifier: MIT
 *
 * constant: factor for t < length, then 1; length=0: for ever.
 * t counts epochs, or steps with by=step, from 0 at the start of the stage.
 */
#include "rein/rein.h"

struct constant {
	int32_t by;
	double factor;
	int64_t length;
};
enum { EPOCH, STEP };
static const char *const units[] = { "epoch", "step", NULL };
static const struct rein_key constant_keys[] = {
	REIN_ENUM(struct constant, by, "epoch", units, "what t counts"),
	REIN_REAL(struct constant, factor, "1", 0, 1e6, 0, "the factor"),
	REIN_INT(struct constant, length, "0", 0, 1LL << 40, "how long, in units of t; 0: for ever"),
	REIN_KEYS_END,
};

static double constant_value(const void *self, const struct rein_time *now)
{
	const struct constant *s = self;
	double t = (double)(s->by == STEP ? now->step : now->epoch);
	return s->length == 0 || t < (double)s->length ? s->factor : 1;
}

static const struct rein_schedule_vt constant_vt = { .struct_size = sizeof constant_vt, .value = constant_value };
REIN_COMPONENT(constant, REIN_SCHEDULE, struct constant, constant_keys, &constant_vt, .summary = "a factor for a while",
               .reference = "torch.optim.lr_scheduler.ConstantLR");
REIN_PLUGIN("constant", "1.0.0", "MIT", &constant_component)
