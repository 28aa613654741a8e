/* SPDX-License-Identifier: MIT
 *
 * huber: lambda sum h(w), h = w^2 / (2 delta) near 0 and |w| - delta/2 beyond delta, as a kernel
 * in C with its derivative beside it.
 */
#include "rein/rein.h"

struct huber {
	double lambda, delta;
};
static const struct rein_key huber_keys[] = {
	REIN_REAL(struct huber, lambda, NULL, 0, 1e6, REIN_KEY_KNOB, "strength"),
	REIN_REAL(struct huber, delta, "0.1", 0, 1e6, REIN_KEY_OVER_MIN, "where the square ends"),
	REIN_KEYS_END,
};

/* clang-format off */
REIN_MAP(slope, (w, g), (dw), (delta),
	dw = g * (fabs(w) < delta ? w / delta : copysign(1, w));
)
/* clang-format on */
static void slope_of(const void *ctx, struct rein_rec *r, const rein_val *in, const rein_val *out, const rein_val *g,
                     rein_val *gin)
{
	rein_val wg[2] = { in[0], g[0] };
	rein_map(r, &slope, wg, in + 1, gin); /* the parameter's gradient stays NONE */
}
/* clang-format off */
REIN_MAP_VJP(bowl, slope_of, (w), (h), (delta),
	real a = fabs(w);
	h = a < delta ? a * a / (2 * delta) : a - delta / 2;
)
/* clang-format on */

static rein_val huber_penalty(const void *self, struct rein_rec *r, const struct rein_step *t,
                              const struct rein_tensor *p)
{
	const struct huber *s = self;
	rein_val delta = rein_scalar(r, s->delta), h;
	rein_map(r, &bowl, &p->w, &delta, &h);
	return rein_mul(r, rein_knob(r, "lambda", s->lambda), rein_sum(r, h));
}

static const struct rein_regularizer_vt huber_vt = { .struct_size = sizeof huber_vt, .penalty = huber_penalty };
REIN_COMPONENT(huber, REIN_REGULARIZER, struct huber, huber_keys, &huber_vt, .summary = "lambda sum huber(w)");
REIN_PLUGIN("huber", "1.0.0", "MIT", &huber_component)
