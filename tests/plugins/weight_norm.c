/* SPDX-License-Identifier: MIT
 *
 * weight_norm: the forward pass sees gain w / ||w||, norms per row, with a trained gain that
 * starts at ||w||: the function does not change at first (Salimans and Kingma 2016).
 */
#include "rein/rein.h"

static rein_val weight_norm_param(const void *self, struct rein_rec *r, const struct rein_step *t,
                                  const struct rein_tensor *p)
{
	if (rein_rank(r, p->w) < 2)
		return p->w;
	rein_val norm = rein_norm(r, p->w, ~REIN_AXIS(0), REIN_KEEP);
	int64_t dim[REIN_MAX_RANK];
	for (int32_t i = 0; i < rein_rank(r, norm); i++)
		dim[i] = rein_dim(r, norm, i);
	struct rein_init start = { sizeof start, REIN_INIT_VALUE, 0, 0, norm, 0 };
	rein_val gain = rein_param(r, "gain", (uint32_t)rein_rank(r, norm), dim, &start);
	return rein_mul(r, gain, rein_div(r, p->w, norm));
}

static const struct rein_regularizer_vt weight_norm_vt = { .struct_size = sizeof weight_norm_vt,
	                                                       .param = weight_norm_param };
REIN_COMPONENT(weight_norm, REIN_REGULARIZER, struct rein_keyless, NULL, &weight_norm_vt,
               .summary = "length and direction of weights trained apart");
REIN_PLUGIN("weight_norm", "1.0.0", "MIT", &weight_norm_component)
