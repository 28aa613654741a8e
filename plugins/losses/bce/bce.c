/* SPDX-License-Identifier: MIT
 *
 * bce: binary cross-entropy of logits z (N,D) and targets y in 0..1, mean over D:
 * log(1 + e^z) - z y. Classes 0 and 1 go with one output, (N,1).
 */
#include "rein/rein.h"

static rein_val bce_record(const void *self, struct rein_rec *r, rein_val z, rein_val y)
{
	if (rein_dtype(r, y) == REIN_I32_T) {
		int64_t dim[2] = { rein_dim(r, y, 0), 1 };
		if (rein_rank(r, z) != 2 || rein_dim(r, z, 1) != 1) {
			rein_refuse(r, "bce on classes 0 and 1 needs one output (units=1); for more classes use cross_entropy");
			return REIN_NONE;
		}
		y = rein_reshape(r, rein_cast(r, y, REIN_REAL_T), 2, dim);
	}
	if (rein_dim(r, z, 1) != rein_dim(r, y, 1)) {
		rein_refuse(r, "bce needs as many outputs (units= of the last layer) as there are targets");
		return REIN_NONE;
	}
	return rein_mean_rows(r, rein_sub(r, rein_softplus(r, z), rein_mul(r, z, y)));
}

static const struct rein_loss_vt bce_vt = { .struct_size = sizeof bce_vt,
	                                        .accept = REIN_ACCEPT_CLASS | REIN_ACCEPT_REAL,
	                                        .record = bce_record };
REIN_COMPONENT(bce, REIN_LOSS, struct rein_keyless, NULL, &bce_vt, .summary = "binary cross-entropy of logits",
               .reference = "torch.nn.BCEWithLogitsLoss");
REIN_PLUGIN("bce", "1.0.0", "MIT", &bce_component)
