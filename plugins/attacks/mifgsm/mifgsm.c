/* SPDX-License-Identifier: MIT
 *
 * mifgsm: steps along the sign of an accumulated gradient (formula K5)
 *   v = momentum v + g / mean|g|,  x = project(x + alpha sign(v))
 */
#include "rein/rein.h"

struct mifgsm {
	struct rein_reals epsilon;
	double alpha, momentum;
	int64_t steps, class_;
	int32_t target;
};
static const char *const targets[] = REIN_GOAL_CHOICES;
static const struct rein_key mifgsm_keys[] = {
	REIN_EPSILON(struct mifgsm, "8/255", "largest change of a pixel, one or several"),
	REIN_REAL(struct mifgsm, alpha, "0", 0, 1e6, 0, "change of a pixel in a step; 0: 2.5 epsilon / steps"),
	REIN_REAL(struct mifgsm, momentum, "1", 0, 1e3, 0, "share of the gradients so far"),
	REIN_INT(struct mifgsm, steps, "10", 1, 100000, "steps"),
	REIN_ENUM(struct mifgsm, target, "none", targets, "class to reach; none: away from the label"),
	REIN_GOAL_ROW(struct mifgsm),
	REIN_KEYS_END,
};
struct search {
	const struct mifgsm *s;
	const struct rein_model *m;
	struct rein_goal goal;
	rein_val x, epsilon, alpha;
};

/* carry: x', accumulated gradient */
static void body(void *ctx, struct rein_rec *r, rein_val i, rein_val *carry)
{
	const struct search *c = ctx;
	rein_val g = rein_goal_grad(r, c->m, &c->goal, carry[0]);
	rein_val mean = rein_max(r, rein_mean_rows(r, rein_abs(r, g)), rein_scalar(r, 1e-30));
	carry[1] = rein_add(r, rein_div(r, g, rein_along(r, mean, g, 0)), rein_scale(r, carry[1], c->s->momentum));
	rein_val at = rein_add(r, carry[0], rein_mul(r, rein_sign(r, carry[1]), c->alpha));
	carry[0] = rein_project(r, c->m, at, c->x, c->epsilon, REIN_LINF);
}

static rein_val mifgsm_perturb(const void *self, struct rein_rec *r, const struct rein_model *m, rein_val x, rein_val y)
{
	const struct mifgsm *s = self;
	struct search c = { s, m, rein_goal_of(r, m, x, y, s->target, s->class_), x, rein_epsilon(r, &s->epsilon), x };
	struct rein_loop loop = { sizeof loop, (uint32_t)s->steps, 2, 0, -1, 0 };
	rein_val carry[2] = { x, rein_like(r, x, 0) }, n = rein_scalar(r, (double)s->steps);
	c.alpha = s->alpha > 0 ? rein_scalar(r, s->alpha) : rein_scale(r, c.epsilon, 2.5 / (double)s->steps);
	rein_repeat(r, &loop, carry, body, &c);
	rein_spent(r, n, n);
	return rein_goal_keep(r, &c.goal, carry[0], x);
}

static const struct rein_attack_vt mifgsm_vt = { .struct_size = sizeof mifgsm_vt,
	                                             .perturb = mifgsm_perturb,
	                                             .min_classes = 2 };
REIN_COMPONENT(mifgsm, REIN_ATTACK, struct mifgsm, mifgsm_keys, &mifgsm_vt,
               .summary = "FGSM steps with momentum: samples that transfer", .reference = "Dong et al. 2018");
REIN_PLUGIN("mifgsm", "1.0.0", "MIT", &mifgsm_component)
