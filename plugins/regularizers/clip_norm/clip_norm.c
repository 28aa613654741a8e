/* SPDX-License-Identifier: MIT
 *
 * clip_norm: all gradients times min(1, max / (||g|| + 1e-6)), the norm over all tensors
 * together, as torch.nn.utils.clip_grad_norm_.
 */
#include "rein/rein.h"

struct clip_norm {
	double max;
};
static const struct rein_key clip_norm_keys[] = {
	REIN_REAL(struct clip_norm, max, "1", 0, 1e6, REIN_KEY_KNOB, "largest norm of all gradients together"),
	REIN_KEYS_END,
};

static void clip_norm_gradients(const void *self, struct rein_rec *r, const struct rein_step *t, uint32_t n,
                                rein_val *g)
{
	const struct clip_norm *s = self;
	rein_val *square = rein_vals(r, n);
	if (!square)
		return;
	for (uint32_t i = 0; i < n; i++)
		square[i] = rein_square(r, g[i]);
	rein_val norm = rein_sqrt(r, rein_sum_all(r, n, square));
	rein_val scale = rein_div(r, rein_knob(r, "max", s->max), rein_offset(r, norm, 1e-6));
	scale = rein_min(r, scale, rein_scalar(r, 1));
	for (uint32_t i = 0; i < n; i++)
		g[i] = rein_mul(r, g[i], scale);
	rein_metric(r, "norm", norm, REIN_MEAN);
}

static const struct rein_regularizer_vt clip_norm_vt = { .struct_size = sizeof clip_norm_vt,
	                                                     .gradients = clip_norm_gradients };
REIN_COMPONENT(clip_norm, REIN_REGULARIZER, struct clip_norm, clip_norm_keys, &clip_norm_vt,
               .summary = "scales gradients down to a largest norm", .reference = "Pascanu et al. 2013");
REIN_PLUGIN("clip_norm", "1.0.0", "MIT", &clip_norm_component)
