/* SPDX-License-Identifier: MIT
 *
 * batch_mean: a layer with running statistics, the part of batch normalization that is hard for
 * a host: x - mean per feature. Training takes the batch's mean m and remembers
 * running = 0.9 running + 0.1 m; evaluation takes running; a pass in STATS mode averages the
 * means of its batches: running += (m - running) / (n + 1), n batches so far.
 */
#include "rein/rein.h"

static rein_val batch_mean_record(const void *self, struct rein_rec *r, const struct rein_call *c)
{
	rein_val x = c->in[0], one = rein_scalar(r, 1);
	int64_t features[1] = { rein_dim(r, x, 1) };
	rein_var running = rein_state(r, "running_mean", REIN_REAL_T, 1, features, NULL);
	rein_var count = rein_state(r, "num_batches_tracked", REIN_I32_T, 0, NULL, NULL);
	rein_val old = rein_read(r, running), mean = old;
	if (c->mode != REIN_EVAL)
		mean = rein_mean_over(r, x, REIN_AXIS(0), 0);
	if (c->mode != REIN_EVAL && !(c->flags & REIN_KEEP_STATE)) {
		rein_val n = rein_read(r, count), share = rein_scalar(r, 0.1);
		if (c->mode == REIN_STATS)
			share = rein_div(r, one, rein_add(r, rein_cast(r, n, REIN_REAL_T), one));
		rein_assign(r, running, rein_lerp(r, old, rein_stop(r, mean), share), REIN_NONE);
		rein_assign(r, count, rein_add(r, n, rein_scalar_i(r, 1)), REIN_NONE);
	}
	return rein_sub(r, x, rein_along(r, mean, x, 1));
}

static const struct rein_layer_vt batch_mean_vt = { .struct_size = sizeof batch_mean_vt, .record = batch_mean_record };
REIN_COMPONENT(batch_mean, REIN_LAYER, struct rein_keyless, NULL, &batch_mean_vt,
               .summary = "takes the batch's mean away, with running statistics");
REIN_PLUGIN("batch_mean", "1.0.0", "MIT", &batch_mean_component)
