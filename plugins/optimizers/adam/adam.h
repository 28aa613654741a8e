/* SPDX-License-Identifier: MIT
 *
 * adam.h: what adam and adamw share.
 *   m = b1 m + (1-b1) g;  v = b2 v + (1-b2) g^2
 *   w = w - lr m / (1-b1^t) / (sqrt(v) / sqrt(1-b2^t) + eps),  t = 1 at the first step
 */
#ifndef ADAM_H
#define ADAM_H

#include "rein/rein.h"

struct adam {
	double lr, beta1, beta2, eps, weight_decay;
};

/* The corrections come from the host in double: 1 - 0.999^t in float is off by 1e-5. */
static double adam_m(const void *self, int64_t step)
{
	return 1 / (1 - pow(((const struct adam *)self)->beta1, (double)step + 1));
}
static double adam_v(const void *self, int64_t step)
{
	return 1 / sqrt(1 - pow(((const struct adam *)self)->beta2, (double)step + 1));
}

/* w: the weight, g: the gradient, after whatever weight decay did to them. */
static inline rein_val adam_step(const struct adam *s, struct rein_rec *r, rein_val lr, rein_val w, rein_val g)
{
	rein_var mean = rein_state_like(r, "m", w), square = rein_state_like(r, "v", w);
	rein_val m = rein_add(r, rein_scale(r, rein_read(r, mean), s->beta1), rein_scale(r, g, 1 - s->beta1));
	rein_val v =
		rein_add(r, rein_scale(r, rein_read(r, square), s->beta2), rein_scale(r, rein_square(r, g), 1 - s->beta2));
	rein_assign(r, mean, m, REIN_NONE);
	rein_assign(r, square, v, REIN_NONE);
	rein_val root = rein_offset(r, rein_mul(r, rein_sqrt(r, v), rein_per_step(r, adam_v, s)), s->eps);
	return rein_sub(r, w, rein_mul(r, rein_div(r, m, root), rein_mul(r, lr, rein_per_step(r, adam_m, s))));
}

static double adam_lr(const void *self) { return ((const struct adam *)self)->lr; }

#define ADAM_KEYS(decay, help)                                                                                  \
	REIN_REAL(struct adam, lr, "0.001", 0, 1e6, REIN_KEY_KNOB, "learning rate"),                                \
		REIN_REAL(struct adam, beta1, "0.9", 0, 1, REIN_KEY_UNDER_MAX, "decay of the mean gradient"),           \
		REIN_REAL(struct adam, beta2, "0.999", 0, 1, REIN_KEY_UNDER_MAX, "decay of the mean squared gradient"), \
		REIN_REAL(struct adam, eps, "1e-8", 0, 1, 0, "added to the root"),                                      \
		REIN_REAL(struct adam, weight_decay, decay, 0, 1e6, REIN_KEY_KNOB, help)

#endif
