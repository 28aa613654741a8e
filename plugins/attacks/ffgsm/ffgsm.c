/* SPDX-License-Identifier: MIT
 *
 * ffgsm: one step from a random start, back into the ball of epsilon (formula K2)
 *   start=uniform  x0 = clip(x + U(-epsilon, epsilon)), a step of alpha (fast FGSM)
 *   start=sign     x0 = clip(x + alpha sign(N)), a step of epsilon - alpha (R+FGSM)
 */
#include "rein/rein.h"

struct ffgsm {
	struct rein_reals epsilon;
	double alpha;
	int32_t start, target;
	int64_t class_, restarts;
};
static const char *const starts[] = { "uniform", "sign", NULL };
static const char *const targets[] = REIN_GOAL_CHOICES;
static const struct rein_key ffgsm_keys[] = {
	REIN_EPSILON(struct ffgsm, "8/255", "largest change of a pixel, one or several"),
	REIN_REAL(struct ffgsm, alpha, "0", 0, 1e6, 0, "step; 0: 1.25 epsilon, or epsilon / 2 with start=sign"),
	REIN_ENUM(struct ffgsm, start, "uniform", starts, "where it starts"),
	REIN_INT(struct ffgsm, restarts, "1", 1, 10000, "random starts; the best counts"),
	REIN_ENUM(struct ffgsm, target, "none", targets, "class to reach; none: away from the label"),
	REIN_GOAL_ROW(struct ffgsm),
	REIN_KEYS_END,
};
struct search {
	const struct ffgsm *s;
	const struct rein_model *m;
	struct rein_goal goal;
	rein_val x, epsilon;
};

static rein_val attempt(void *ctx, struct rein_rec *r, rein_val i, rein_val *queries, rein_val *gradients)
{
	const struct search *c = ctx;
	rein_val alpha =
		c->s->alpha > 0 ? rein_scalar(r, c->s->alpha) : rein_scale(r, c->epsilon, c->s->start ? 0.5 : 1.25);
	rein_val u = rein_random_like(r, "start", c->s->start ? REIN_NORMAL : REIN_UNIFORM, REIN_PER_SAMPLE, c->x), d;
	if (c->s->start)
		d = rein_mul(r, rein_sign(r, u), alpha);
	else
		d = rein_mul(r, rein_offset(r, rein_scale(r, u, 2), -1), c->epsilon);
	rein_val at = rein_box(r, c->m, rein_add(r, c->x, d));
	rein_val g = rein_goal_grad(r, c->m, &c->goal, at), step = c->s->start ? rein_sub(r, c->epsilon, alpha) : alpha;
	rein_count(r, queries, 1);
	rein_count(r, gradients, 1);
	at = rein_add(r, at, rein_mul(r, rein_sign(r, g), step));
	return rein_project(r, c->m, at, c->x, c->epsilon, REIN_LINF);
}

static rein_val ffgsm_perturb(const void *self, struct rein_rec *r, const struct rein_model *m, rein_val x, rein_val y)
{
	const struct ffgsm *s = self;
	struct search c = { s, m, rein_goal_of(r, m, x, y, s->target, s->class_), x, rein_epsilon(r, &s->epsilon) };
	return rein_restarts(r, m, &c.goal, x, s->restarts, attempt, &c);
}

static const struct rein_attack_vt ffgsm_vt = { .struct_size = sizeof ffgsm_vt,
	                                            .perturb = ffgsm_perturb,
	                                            .min_classes = 2 };
REIN_COMPONENT(ffgsm, REIN_ATTACK, struct ffgsm, ffgsm_keys, &ffgsm_vt,
               .summary = "fast FGSM: one step from a random start",
               .reference = "Wong et al. 2020; Tramer et al. 2018 (R+FGSM)");
REIN_PLUGIN("ffgsm", "1.0.0", "MIT", &ffgsm_component)
