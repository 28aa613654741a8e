/* SPDX-License-Identifier: MIT
 *
 * mse: mean over the D outputs of (z - y)^2, z and y (N,D).
 */
#include "rein/rein.h"

static rein_val mse_record(const void *self, struct rein_rec *r, rein_val z, rein_val y)
{
	/* Subtracting would repeat a single output over all targets. */
	if (rein_dim(r, z, 1) != rein_dim(r, y, 1)) {
		rein_refuse(r, "mse needs as many outputs (units= of the last layer) as there are targets");
		return REIN_NONE;
	}
	return rein_mean_rows(r, rein_square(r, rein_sub(r, z, y)));
}

static const struct rein_loss_vt mse_vt = { .struct_size = sizeof mse_vt,
	                                        .accept = REIN_ACCEPT_REAL,
	                                        .record = mse_record };
REIN_COMPONENT(mse, REIN_LOSS, struct rein_keyless, NULL, &mse_vt, .summary = "mean squared error",
               .reference = "torch.nn.MSELoss");
REIN_PLUGIN("mse", "1.0.0", "MIT", &mse_component)
