/* SPDX-License-Identifier: MIT
 *
 * fgsm: one step of length epsilon up the gradient of the loss (formula K1)
 *   linf  x' = clip(x + epsilon sign(g))       l2, l1  x' = clip(x + epsilon g / ||g||)
 */
#include "rein/rein.h"

struct fgsm {
	struct rein_reals epsilon;
	int32_t norm, target;
	int64_t class_;
};
static const char *const norms[] = { "linf", "l2", "l1", NULL };
static const char *const targets[] = REIN_GOAL_CHOICES;
static const struct rein_key fgsm_keys[] = {
	REIN_EPSILON(struct fgsm, "8/255", "length of the step, one or several"),
	REIN_ENUM(struct fgsm, norm, "linf", norms, "norm of the step"),
	REIN_ENUM(struct fgsm, target, "none", targets, "class to reach; none: away from the label"),
	REIN_GOAL_ROW(struct fgsm),
	REIN_KEYS_END,
};

static rein_val fgsm_perturb(const void *self, struct rein_rec *r, const struct rein_model *m, rein_val x, rein_val y)
{
	const struct fgsm *s = self;
	struct rein_goal goal = rein_goal_of(r, m, x, y, s->target, s->class_);
	rein_val step = rein_unit(r, rein_goal_grad(r, m, &goal, x), s->norm);
	rein_val to = rein_box(r, m, rein_add(r, x, rein_mul(r, step, rein_epsilon(r, &s->epsilon))));
	rein_spent(r, rein_scalar(r, 1), rein_scalar(r, 1));
	return rein_goal_keep(r, &goal, to, x);
}

static const struct rein_attack_vt fgsm_vt = { .struct_size = sizeof fgsm_vt,
	                                           .perturb = fgsm_perturb,
	                                           .min_classes = 2 };
REIN_COMPONENT(fgsm, REIN_ATTACK, struct fgsm, fgsm_keys, &fgsm_vt,
               .summary = "fast gradient sign method: one step up the loss", .reference = "Goodfellow et al. 2015");
REIN_PLUGIN("fgsm", "1.0.0", "MIT", &fgsm_component)
