/* SPDX-License-Identifier: MIT
 *
 * probe: writes down, for the golden tests, the loss of each of the first 16 steps and the
 * gradients of the first. Last in [regularizers], it sees them as the optimizer will.
 */
#include "rein/rein.h"

static void probe_gradients(const void *self, struct rein_rec *r, const struct rein_step *t, uint32_t n, rein_val *g)
{
	int64_t steps = 16, one = 1;
	rein_var loss = rein_state(r, "loss", REIN_REAL_T, 1, &steps, NULL);
	rein_val at = rein_reshape(r, t->step, 1, &one), first = rein_eq(r, t->step, rein_scalar_i(r, 0));
	rein_val row = rein_reshape(r, t->loss, 1, &one);
	rein_assign(r, loss, rein_put(r, rein_read(r, loss), at, row, 0, steps, REIN_PUT_SET), REIN_NONE);
	for (uint32_t i = 0; i < n; i++) {
		rein_scope(r, rein_tensor_at(t, i));
		rein_assign(r, rein_state_like(r, "gradient", g[i]), g[i], first);
	}
}

static const struct rein_regularizer_vt probe_vt = { .struct_size = sizeof probe_vt, .gradients = probe_gradients };
REIN_COMPONENT(probe, REIN_REGULARIZER, struct rein_keyless, NULL, &probe_vt,
               .summary = "keeps losses and gradients of the first steps");
REIN_PLUGIN("probe", "1.0.0", "MIT", &probe_component)
