/* SPDX-License-Identifier: MIT
 *
 * apgd: PGD with momentum and a step size that each sample adapts for itself (apgd.h), on the
 * cross-entropy, the difference of logits ratio or the margin, away from the label or towards
 * each of the most likely other classes in turn (formulas K9, K10).
 */
#include "apgd.h"

struct apgd {
	struct rein_reals epsilon;
	double rho;
	int64_t steps, restarts, targets;
	int32_t norm, loss, random_start;
};
static const char *const norms[] = { "linf", "l2", NULL };
static const char *const losses[] = { "ce", "dlr", "margin", NULL };
static const struct rein_key apgd_keys[] = {
	REIN_EPSILON(struct apgd, "8/255", "radius of the ball, one or several"),
	REIN_INT(struct apgd, steps, "100", 1, APGD_STEPS, "steps"),
	REIN_ENUM(struct apgd, norm, "linf", norms, "norm of ball and steps"),
	REIN_ENUM(struct apgd, loss, "ce", losses, "what is raised; dlr needs 3 classes, with targets 4"),
	REIN_INT(struct apgd, targets, "0", 0, 1000000,
	         "other classes to steer to, the likeliest first; 0: away from the label"),
	REIN_INT(struct apgd, restarts, "1", 1, 10000, "random starts (of each target); the best counts"),
	REIN_BOOL(struct apgd, random_start, "yes", "start somewhere in the ball; no: at the sample"),
	REIN_REAL(struct apgd, rho, "0.75", 0, 1, 0, "share of rising steps below which the step is halved"),
	REIN_KEYS_END,
};

static rein_val apgd_perturb(const void *self, struct rein_rec *r, const struct rein_model *m, rein_val x, rein_val y)
{
	const struct apgd *s = self;
	struct apgd_search c = { .m = m, .x = x, .y = y, .steps = s->steps, .norm = s->norm, .loss = s->loss };
	struct rein_goal goal = { 0, y, REIN_NONE };
	c.epsilon = rein_epsilon(r, &s->epsilon);
	c.random_start = s->random_start;
	c.rho = s->rho;
	c.targets = s->targets;
	apgd_prepare(&c, r);
	int64_t starts = s->random_start ? s->restarts : 1;
	return rein_restarts(r, m, &goal, x, starts * (c.targets ? c.targets : 1), apgd_attempt, &c);
}

static const struct rein_attack_vt apgd_vt = { .struct_size = sizeof apgd_vt,
	                                           .perturb = apgd_perturb,
	                                           .min_classes = 2 };
REIN_COMPONENT(apgd, REIN_ATTACK, struct apgd, apgd_keys, &apgd_vt,
               .summary = "auto-PGD: steps that adapt their size; losses ce, dlr, margin",
               .reference = "Croce and Hein 2020");
REIN_PLUGIN("apgd", "1.0.0", "MIT", &apgd_component)
