/* SPDX-License-Identifier: MIT
 *
 * huber: lambda * sum h(w), h(w) = w^2 / 2 below delta, delta (|w| - delta / 2) above.
 * A third-party regularizer: compiled from the installed headers alone.
 */
#include <rein/rein.h>

struct huber {
	double lambda, delta;
};

static const struct rein_key huber_keys[] = {
	REIN_REAL(struct huber, lambda, "0.001", 0, 1e6, REIN_KEY_KNOB, "strength"),
	REIN_REAL(struct huber, delta, "0.1", 0, 1e6, REIN_KEY_OVER_MIN, "where the square becomes a line"),
	REIN_KEYS_END,
};

static rein_val huber_penalty(const void *self, struct rein_rec *r, const struct rein_step *t,
                              const struct rein_tensor *p)
{
	const struct huber *s = self;
	rein_val a = rein_abs(r, p->w), d = rein_scalar(r, s->delta);
	rein_val square = rein_scale(r, rein_square(r, p->w), 0.5);
	rein_val line = rein_mul(r, d, rein_offset(r, a, -0.5 * s->delta));
	return rein_mul(r, rein_knob(r, "lambda", s->lambda), rein_sum(r, rein_where(r, rein_lt(r, a, d), square, line)));
}

static const struct rein_regularizer_vt huber_vt = { .struct_size = sizeof huber_vt, .penalty = huber_penalty };

REIN_COMPONENT(huber, REIN_REGULARIZER, struct huber, huber_keys, &huber_vt,
               .summary = "square near zero, absolute value beyond", .reference = "Huber 1964");
REIN_PLUGIN("huber", "1.0.0", "MIT", &huber_component)
