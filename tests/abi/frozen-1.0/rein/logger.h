/* SPDX-License-Identifier: MIT
 *
 * logger.h: where a run's numbers and pictures go. Files are opened by the core
 * (under the run folder, temporary name then rename); a logger writes through it.
 */
#ifndef REIN_LOGGER_H
#define REIN_LOGGER_H

#include "host.h"

struct rein_run_info {
	uint32_t struct_size, reserved;
	const char *config, *variant, *folder; /* folder: the run's */
	int64_t seed, epochs;
};
struct rein_number {
	const char *name; /* "val.accuracy" */
	double value;
};
struct rein_logger_vt {
	uint32_t struct_size, reserved;
	/* All [control]; all optional. */
	rein_status (*run_begin)(void *self, const struct rein_host *, const struct rein_run_info *);
	rein_status (*metrics)(void *self, const struct rein_host *, const char *stage, int64_t epoch, uint64_t n,
	                       const struct rein_number *);
	/* (C,H,W) floats in 0..1, C 1 or 3 */
	rein_status (*image)(void *self, const struct rein_host *, const char *name, int64_t c, int64_t h, int64_t w,
	                     const float *);
	/* n bins of equal width over lo..hi */
	rein_status (*histogram)(void *self, const struct rein_host *, const char *name, int64_t epoch, double lo,
	                         double hi, uint64_t n, const uint64_t *);
	rein_status (*run_end)(void *self, const struct rein_host *, rein_status how);
};

#endif
