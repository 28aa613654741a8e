/* SPDX-License-Identifier: MIT
 *
 * square: random search with squares of falling size, by queries alone (square.h; formulas K11,
 * K12). It sees no gradients, so that it also finds what a masked gradient hides.
 */
#include "square.h"

struct square {
	struct rein_reals epsilon;
	double p;
	int64_t queries, restarts, class_;
	int32_t norm, rescale, target;
};
static const char *const norms[] = { "linf", "l2", NULL };
static const char *const targets[] = REIN_GOAL_CHOICES;
static const struct rein_key square_keys[] = {
	REIN_EPSILON(struct square, "8/255", "radius of the ball, one or several"),
	REIN_INT(struct square, queries, "5000", 1, 1000000, "forward passes at most, of each start"),
	REIN_ENUM(struct square, norm, "linf", norms, "norm of the ball"),
	REIN_REAL(struct square, p, "0.8", 0, 1, REIN_KEY_OVER_MIN, "share of the image that the first squares cover"),
	REIN_BOOL(struct square, rescale, "no", "fit the falling sizes to `queries`; no: to 10000"),
	REIN_INT(struct square, restarts, "1", 1, 10000, "random starts; the best counts"),
	REIN_ENUM(struct square, target, "none", targets, "class to reach; none: away from the label"),
	REIN_GOAL_ROW(struct square),
	REIN_KEYS_END,
};

static rein_val square_perturb(const void *self, struct rein_rec *r, const struct rein_model *m, rein_val x, rein_val y)
{
	const struct square *s = self;
	struct square_search c = { .m = m, .x = x, .queries = s->queries, .norm = s->norm, .p = s->p };
	const char *why = NULL;
	c.rescale = s->rescale;
	c.epsilon = rein_epsilon(r, &s->epsilon);
	if (!square_prepare(&c, r, &why)) {
		rein_refuse(r, why);
		return x;
	}
	c.goal = rein_goal_of(r, m, x, y, s->target, s->class_);
	return rein_restarts(r, m, &c.goal, x, s->restarts, square_attempt, &c);
}

static const struct rein_attack_vt square_vt = { .struct_size = sizeof square_vt,
	                                             .perturb = square_perturb,
	                                             .min_classes = 2 };
REIN_COMPONENT(square, REIN_ATTACK, struct square, square_keys, &square_vt,
               .summary = "black box: random search with squares", .reference = "Andriushchenko et al. 2020");
REIN_PLUGIN("square", "1.0.0", "MIT", &square_component)
