/* SPDX-License-Identifier: MIT
 *
 * spectral_norm: the forward pass sees W / sigma, sigma = u' W v from one power iteration a
 * training step: u = unit(W v), then v = unit(W' u), neither differentiated (formula R27, the
 * order of torch.nn.utils.parametrizations.spectral_norm).
 */
#include "rein/rein.h"

/* x / max(||x||, 1e-12) */
static rein_val unit(struct rein_rec *r, rein_val x)
{
	return rein_div(r, x, rein_max(r, rein_norm(r, x, REIN_ALL_AXES, 0), rein_scalar(r, 1e-12)));
}

static rein_val spectral_norm_param(const void *self, struct rein_rec *r, const struct rein_step *t,
                                    const struct rein_tensor *p)
{
	int64_t flat[2] = { rein_dim(r, p->w, 0), -1 };
	if (rein_rank(r, p->w) < 2)
		return p->w;
	rein_val w = rein_reshape(r, p->w, 2, flat);
	int64_t du[2] = { rein_dim(r, w, 0), 1 }, dv[2] = { rein_dim(r, w, 1), 1 };
	struct rein_init start = { sizeof start, REIN_INIT_NORMAL, 0, 1, REIN_NONE, 0 };
	rein_var su = rein_state(r, "u", REIN_REAL_T, 2, du, &start), sv = rein_state(r, "v", REIN_REAL_T, 2, dv, &start);
	rein_val u = rein_read(r, su), v = rein_read(r, sv);
	if (t->mode != REIN_EVAL) {
		u = rein_stop(r, unit(r, rein_matmul(r, w, v, 0)));
		v = rein_stop(r, unit(r, rein_matmul(r, w, u, REIN_TA)));
		rein_assign(r, su, u, REIN_NONE);
		rein_assign(r, sv, v, REIN_NONE);
	}
	return rein_div(r, p->w, rein_sum(r, rein_mul(r, u, rein_matmul(r, w, v, 0))));
}

static const struct rein_regularizer_vt spectral_norm_vt = { .struct_size = sizeof spectral_norm_vt,
	                                                         .param = spectral_norm_param };
REIN_COMPONENT(spectral_norm, REIN_REGULARIZER, struct rein_keyless, NULL, &spectral_norm_vt,
               .summary = "weights divided by their largest singular value");
REIN_PLUGIN("spectral_norm", "1.0.0", "MIT", &spectral_norm_component)
