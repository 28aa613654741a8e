/* SPDX-License-Identifier: MIT
 *
 * pgd: steps of alpha up the loss, each brought back into the ball of epsilon and into the box
 * (formulas K3, K4)
 *   linf  sign of the gradient, starts uniform in the cube; without a random start this is BIM
 *   l2    gradient of length one, starts uniform in the ball
 */
#include "rein/rein.h"

struct pgd {
	struct rein_reals epsilon;
	double alpha;
	int64_t steps, restarts, class_;
	int32_t norm, random_start, target;
};
static const char *const norms[] = { "linf", "l2", NULL };
static const char *const targets[] = REIN_GOAL_CHOICES;
static const struct rein_key pgd_keys[] = {
	REIN_EPSILON(struct pgd, "8/255", "radius of the ball, one or several"),
	REIN_REAL(struct pgd, alpha, "0", 0, 1e6, 0, "length of a step; 0: 2.5 epsilon / steps"),
	REIN_INT(struct pgd, steps, "10", 1, 100000, "steps"),
	REIN_ENUM(struct pgd, norm, "linf", norms, "norm of ball and steps"),
	REIN_BOOL(struct pgd, random_start, "yes", "start somewhere in the ball; no: at the sample (BIM)"),
	REIN_INT(struct pgd, restarts, "1", 1, 10000, "random starts; the best counts"),
	REIN_ENUM(struct pgd, target, "none", targets, "class to reach; none: away from the label"),
	REIN_GOAL_ROW(struct pgd),
	REIN_KEYS_END,
};
struct search {
	const struct pgd *s;
	const struct rein_model *m;
	struct rein_goal goal;
	rein_val x, epsilon, alpha;
};

static void body(void *ctx, struct rein_rec *r, rein_val i, rein_val *carry)
{
	const struct search *c = ctx;
	rein_val step = rein_unit(r, rein_goal_grad(r, c->m, &c->goal, carry[0]), c->s->norm);
	rein_val at = rein_add(r, carry[0], rein_mul(r, step, c->alpha));
	carry[0] = rein_project(r, c->m, at, c->x, c->epsilon, c->s->norm);
}

/* x is (N,...), n numbers a sample. In the ball of l2: a random direction, radius u^(1/n). */
static rein_val start(const struct search *c, struct rein_rec *r)
{
	rein_val d, x = c->x;
	double n = 1;
	if (c->s->norm == REIN_LINF) {
		d = rein_offset(r, rein_scale(r, rein_random_like(r, "start", REIN_UNIFORM, REIN_PER_SAMPLE, x), 2), -1);
	} else {
		for (int32_t k = 1; k < rein_rank(r, x); k++)
			n *= (double)rein_dim(r, x, k);
		int64_t rows = rein_dim(r, x, 0);
		rein_val u = rein_random(r, "radius", REIN_UNIFORM, REIN_PER_SAMPLE, 1, &rows);
		d = rein_unit(r, rein_random_like(r, "start", REIN_NORMAL, REIN_PER_SAMPLE, x), REIN_L2);
		d = rein_mul(r, d, rein_along(r, rein_pow(r, u, rein_scalar(r, 1 / n)), x, 0));
	}
	return rein_box(r, c->m, rein_add(r, x, rein_mul(r, d, c->epsilon)));
}

static rein_val attempt(void *ctx, struct rein_rec *r, rein_val i, rein_val *queries, rein_val *gradients)
{
	struct search *c = ctx;
	struct rein_loop loop = { sizeof loop, (uint32_t)c->s->steps, 1, 0, -1, 0 };
	rein_val x = c->s->random_start ? start(c, r) : c->x;
	rein_repeat(r, &loop, &x, body, c);
	rein_count(r, queries, c->s->steps);
	rein_count(r, gradients, c->s->steps);
	return x;
}

static rein_val pgd_perturb(const void *self, struct rein_rec *r, const struct rein_model *m, rein_val x, rein_val y)
{
	const struct pgd *s = self;
	struct search c = { s, m, rein_goal_of(r, m, x, y, s->target, s->class_), x, rein_epsilon(r, &s->epsilon), x };
	c.alpha = s->alpha > 0 ? rein_scalar(r, s->alpha) : rein_scale(r, c.epsilon, 2.5 / (double)s->steps);
	return rein_restarts(r, m, &c.goal, x, s->random_start ? s->restarts : 1, attempt, &c);
}

static const struct rein_attack_vt pgd_vt = { .struct_size = sizeof pgd_vt, .perturb = pgd_perturb, .min_classes = 2 };
REIN_COMPONENT(pgd, REIN_ATTACK, struct pgd, pgd_keys, &pgd_vt,
               .summary = "projected gradient descent in linf or l2; BIM",
               .reference = "Madry et al. 2018; Kurakin et al. 2017 (BIM)");
REIN_PLUGIN("pgd", "1.0.0", "MIT", &pgd_component)
