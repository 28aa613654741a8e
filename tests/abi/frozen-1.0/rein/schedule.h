/* SPDX-License-Identifier: MIT
 *
 * schedule.h: a factor over time for any key marked as a knob: `lr`, `lambda` ...
 * `[schedules] decay = cosine for=optimizer.sgd.lr`. Several multiply.
 */
#ifndef REIN_SCHEDULE_H
#define REIN_SCHEDULE_H

#include "host.h"

struct rein_time {
	uint32_t struct_size, reserved;
	int64_t step, epoch;             /* both from 0; step counts updates over the whole stage */
	int64_t steps_per_epoch, epochs; /* of the stage */
};

struct rein_schedule_vt {
	uint32_t struct_size, reserved;
	/* [any] The factor at t, pure: no state, same answer every time. */
	double (*value)(const void *self, const struct rein_time *t);
};

#endif
