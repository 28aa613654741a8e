/* SPDX-License-Identifier: MIT
 *
 * sam: the gradient at w + e instead of at w, where e is the step of length rho that raises
 * the loss most: e = rho g / ||g||, the norm over all tensors; adaptive (ASAM):
 * e = rho w^2 g / || |w| g ||. Running statistics see the first pass only.
 */
#include "rein/rein.h"

struct sam {
	double rho;
	int32_t adaptive;
};
static const struct rein_key sam_keys[] = {
	REIN_REAL(struct sam, rho, "0.05", 0, 1e6, REIN_KEY_KNOB, "length of the step uphill"),
	REIN_BOOL(struct sam, adaptive, "no", "ASAM: measure the step relative to the size of each weight"),
	REIN_KEYS_END,
};

static void sam_gradients(const void *self, struct rein_rec *r, const struct rein_step *t, uint32_t n, rein_val *g)
{
	const struct sam *s = self;
	rein_val *w = rein_vals(r, n), *uphill = rein_vals(r, n), *square = rein_vals(r, n);
	if (!w || !uphill || !square)
		return;
	for (uint32_t i = 0; i < n; i++) {
		w[i] = rein_tensor_at(t, i)->w;
		rein_val size = s->adaptive ? rein_mul(r, rein_abs(r, w[i]), g[i]) : g[i];
		square[i] = rein_square(r, size);
	}
	rein_val norm = rein_offset(r, rein_sqrt(r, rein_sum_all(r, n, square)), 1e-12);
	rein_val scale = rein_div(r, rein_knob(r, "rho", s->rho), norm);
	for (uint32_t i = 0; i < n; i++) {
		rein_val d = s->adaptive ? rein_mul(r, rein_square(r, w[i]), g[i]) : g[i];
		uphill[i] = rein_add(r, w[i], rein_mul(r, d, scale));
	}
	rein_with(r, n, w, uphill);
	rein_grads(r, rein_objective(r, t, REIN_TRAIN | REIN_KEEP_STATE), REIN_NONE, n, uphill, g);
	rein_without(r);
}

static const struct rein_regularizer_vt sam_vt = { .struct_size = sizeof sam_vt, .gradients = sam_gradients };
REIN_COMPONENT(sam, REIN_REGULARIZER, struct sam, sam_keys, &sam_vt,
               .summary = "sharpness-aware minimization: gradients from a step uphill",
               .reference = "Foret et al. 2021; Kwon et al. 2021 (adaptive)");
REIN_PLUGIN("sam", "1.0.0", "MIT", &sam_component)
