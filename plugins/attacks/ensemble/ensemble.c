/* SPDX-License-Identifier: MIT
 *
 * ensemble: attacks one after another, each on what the earlier ones left robust (formula K17)
 *   APGD on the cross-entropy, APGD towards the runners-up, Square
 * as far as the class count and the input carry them, and says what it leaves out
 *   4 classes and more   difference of logits ratio towards min(9, classes - 1) runners-up
 *   3 classes            the ratio towards a class is not defined: away from the label, and the
 *                        margin towards each of the 2 others
 *   2 classes            the margin
 *   not images           no Square
 */
#include "../apgd/apgd.h"
#include "../square/square.h"

struct ensemble {
	struct rein_reals epsilon;
	int64_t steps, queries, restarts, targets;
	int32_t norm;
	const struct rein_host *host;
	int32_t *said; /* so that a remark is made once */
};
static const char *const norms[] = { "linf", "l2", NULL };
static const struct rein_key ensemble_keys[] = {
	REIN_EPSILON(struct ensemble, "8/255", "radius of the ball, one or several"),
	REIN_ENUM(struct ensemble, norm, "linf", norms, "norm of the ball"),
	REIN_INT(struct ensemble, steps, "100", 1, APGD_STEPS, "steps of APGD"),
	REIN_INT(struct ensemble, targets, "9", 1, 1000, "runners-up that APGD steers to"),
	REIN_INT(struct ensemble, queries, "5000", 1, 1000000, "queries of Square"),
	REIN_INT(struct ensemble, restarts, "1", 1, 1000, "random starts of each"),
	REIN_KEYS_END,
};
struct search {
	const struct ensemble *s;
	const struct rein_model *m;
	struct rein_goal goal;
	rein_val x, y, epsilon, best, todo, queries, gradients;
};

static void say(const struct ensemble *s, int what, const char *line)
{
	if (s->said && !(*s->said & what) && s->host->message)
		s->host->message(s->host, REIN_LOG_INFO, line);
	if (s->said)
		*s->said |= what;
}

static void take_in(struct search *c, struct rein_rec *r, int64_t tries, rein_try *attempt, void *ctx)
{
	rein_val left = c->todo, to;
	to = rein_tries(r, c->m, &c->goal, c->x, tries, attempt, ctx, &left, &c->queries, &c->gradients);
	rein_val won = rein_and(r, c->todo, rein_not(r, left));
	c->best = rein_pick_rows(r, won, to, c->best);
	c->todo = rein_and(r, c->todo, left);
}

static void with_apgd(struct search *c, struct rein_rec *r, int32_t loss, int64_t targets)
{
	struct apgd_search a = { .m = c->m, .x = c->x, .y = c->y, .epsilon = c->epsilon, .rho = 0.75, .random_start = 1 };
	a.steps = c->s->steps;
	a.norm = c->s->norm;
	a.loss = loss;
	a.targets = targets;
	apgd_prepare(&a, r);
	take_in(c, r, c->s->restarts * (a.targets ? a.targets : 1), apgd_attempt, &a);
}

static void with_square(struct search *c, struct rein_rec *r)
{
	struct square_search q = { .m = c->m, .x = c->x, .epsilon = c->epsilon, .goal = c->goal, .p = 0.8 };
	const char *why = "";
	q.queries = c->s->queries;
	q.norm = c->s->norm;
	if (square_prepare(&q, r, &why))
		take_in(c, r, c->s->restarts, square_attempt, &q);
	else
		say(c->s, 2, "ensemble: no Square, which needs images of 5x5 or more: APGD alone");
}

static rein_val ensemble_perturb(const void *self, struct rein_rec *r, const struct rein_model *m, rein_val x,
                                 rein_val y)
{
	const struct ensemble *s = self;
	struct search c = { s, m, { 0, y, REIN_NONE }, x, y, rein_epsilon(r, &s->epsilon), x, x, x, x };
	c.queries = rein_like(r, rein_cast(r, y, REIN_REAL_T), 1);
	c.gradients = rein_like(r, c.queries, 0);
	c.todo = rein_eq(r, rein_argmax(r, rein_forward(r, m, x, REIN_EVAL)), y);
	with_apgd(&c, r, APGD_CE, 0);
	if (m->classes > 3) {
		with_apgd(&c, r, APGD_DLR, s->targets);
	} else if (m->classes == 3) {
		say(s, 1,
		    "ensemble: 3 classes: no difference of logits ratio towards a class, which needs 4; the ratio away "
		    "from the label, and the margin towards the others");
		with_apgd(&c, r, APGD_DLR, 0);
		with_apgd(&c, r, APGD_MARGIN, 2);
	} else {
		say(s, 1, "ensemble: 2 classes: no difference of logits ratio, which needs 3; the margin");
		with_apgd(&c, r, APGD_MARGIN, 0);
	}
	with_square(&c, r);
	rein_spent(r, c.queries, c.gradients);
	return c.best;
}

static rein_status ensemble_create(void *self, const struct rein_host *host)
{
	struct ensemble *s = self;
	s->host = host;
	s->said = host->alloc(host, sizeof *s->said);
	return s->said ? REIN_OK : REIN_ERROR;
}

static void ensemble_destroy(void *self, const struct rein_host *host)
{
	struct ensemble *s = self;
	host->free(host, s->said);
	s->said = NULL;
}

static const struct rein_attack_vt ensemble_vt = { .struct_size = sizeof ensemble_vt,
	                                               .perturb = ensemble_perturb,
	                                               .min_classes = 2 };
REIN_COMPONENT(ensemble, REIN_ATTACK, struct ensemble, ensemble_keys, &ensemble_vt,
               .summary = "APGD and Square one after another on what is still robust",
               .reference = "Croce and Hein 2020 (AutoAttack, without FAB)", .create = ensemble_create,
               .destroy = ensemble_destroy);
REIN_PLUGIN("ensemble", "1.0.0", "MIT", &ensemble_component)
