/* SPDX-License-Identifier: MIT
 *
 * threshold: prunes what lies strictly between -value and value: |w| = value stays.
 */
#include "rein/rein.h"

struct threshold {
	double value;
};
static const struct rein_key threshold_keys[] = {
	REIN_REAL(struct threshold, value, "0.01", 0, 1e9, 0, "weights with |w| < value go"),
	REIN_KEYS_END,
};

static rein_val threshold_keep(const void *self, struct rein_rec *r, const struct rein_tensor *p)
{
	const struct threshold *s = self;
	return rein_not(r, rein_lt(r, rein_abs(r, p->w), rein_scalar(r, s->value)));
}

static const struct rein_pruner_vt threshold_vt = { .struct_size = sizeof threshold_vt, .keep = threshold_keep };
REIN_COMPONENT(threshold, REIN_PRUNER, struct threshold, threshold_keys, &threshold_vt,
               .summary = "prunes weights with |w| < value");
REIN_PLUGIN("threshold", "1.0.0", "MIT", &threshold_component)
