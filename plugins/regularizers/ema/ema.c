/* SPDX-License-Identifier: MIT
 *
 * ema: evaluation sees e, the running mean of the weights: e = w after the first step, then
 * e = d e + (1-d) w after each. warmup=yes: d rises as 1 - (1+t)^(-2/3) until it is `decay`.
 */
#include "rein/rein.h"

struct ema {
	double decay;
	int32_t warmup;
};
static const struct rein_key ema_keys[] = {
	REIN_REAL(struct ema, decay, "0.999", 0, 1, REIN_KEY_UNDER_MAX, "share d of the mean that each step keeps"),
	REIN_BOOL(struct ema, warmup, "no", "d = min(decay, 1 - (1+t)^(-2/3)), t the step from 0"),
	REIN_KEYS_END,
};

/* d at a step; 0 at the first, which copies. */
static double share(const void *self, int64_t step)
{
	const struct ema *s = self;
	double d = s->warmup ? 1 - pow(1 + (double)step, -2.0 / 3) : s->decay;
	return step == 0 ? 0 : d < s->decay ? d : s->decay;
}

static void ema_after(const void *self, struct rein_rec *r, const struct rein_step *t, const struct rein_tensor *p)
{
	rein_var mean = rein_state_like(r, "mean", p->w), seen = rein_state(r, "seen", REIN_BOOL_T, 0, NULL, NULL);
	rein_val d = rein_where(r, rein_read(r, seen), rein_per_step(r, share, self), rein_scalar(r, 0));
	rein_val old = rein_mul(r, rein_read(r, mean), d);
	rein_assign(r, mean, rein_add(r, old, rein_mul(r, p->w, rein_sub(r, rein_scalar(r, 1), d))), REIN_NONE);
	rein_assign(r, seen, rein_fill(r, REIN_BOOL_T, 1, 0, NULL), REIN_NONE);
}

/* Before the first step there is no mean yet. */
static rein_val ema_view(const void *self, struct rein_rec *r, const struct rein_step *t, const struct rein_tensor *p)
{
	rein_var mean = rein_state_like(r, "mean", p->w), seen = rein_state(r, "seen", REIN_BOOL_T, 0, NULL, NULL);
	return rein_where(r, rein_read(r, seen), rein_read(r, mean), p->w);
}

static const struct rein_regularizer_vt ema_vt = { .struct_size = sizeof ema_vt, .after = ema_after, .view = ema_view };
REIN_COMPONENT(ema, REIN_REGULARIZER, struct ema, ema_keys, &ema_vt,
               .summary = "evaluates an exponential moving average of the weights",
               .reference = "Polyak and Juditsky 1992; torch.optim.swa_utils, timm ModelEmaV3");
REIN_PLUGIN("ema", "1.0.0", "MIT", &ema_component)
