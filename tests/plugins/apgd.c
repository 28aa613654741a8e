/* SPDX-License-Identifier: MIT
 *
 * apgd: projected gradient steps with momentum whose size each sample halves for itself, when at
 * a checkpoint its loss rose in too few steps, or found no new best; it then goes on from the
 * best point (formula K9: Croce and Hein 2020, Linf, started at x).
 */
#include "rein/rein.h"

struct apgd {
	double epsilon;
	int64_t steps;
};
static const struct rein_key apgd_keys[] = {
	REIN_REAL(struct apgd, epsilon, "8/255", 0, 1e6, 0, "largest change of a pixel"),
	REIN_INT(struct apgd, steps, "100", 1, 1000, "steps"),
	REIN_KEYS_END,
};
/* What a round hands to the next. Losses, counts and step sizes are per sample, (N). */
enum { X, X_OLD, X_BEST, X_WRONG, GRAD, GRAD_BEST, BEST, LAST, RISES, CHECKED, STEP, HALVED, CARRIED };
struct search {
	const struct apgd *s;
	const struct rein_model *m;
	rein_val x, y, is_check, limit; /* limit: rises at most for a sample to count as stuck */
};

static rein_val project(const struct search *c, struct rein_rec *r, rein_val x)
{
	rein_val d = rein_clip(r, rein_sub(r, x, c->x), -c->s->epsilon, c->s->epsilon);
	return rein_clip(r, rein_add(r, c->x, d), c->m->lo, c->m->hi);
}

/* Loss (N), its gradient, and which samples are misclassified. */
static rein_val look(const struct search *c, struct rein_rec *r, rein_val x, rein_val *grad, rein_val *wrong)
{
	rein_val z = rein_forward(r, c->m, x, REIN_EVAL), rows = rein_cross_entropy(r, z, c->y);
	*grad = rein_grad(r, rein_sum(r, rows), x);
	*wrong = rein_not(r, rein_eq(r, rein_argmax(r, z), c->y));
	return rows;
}

static void body(void *ctx, struct rein_rec *r, rein_val i, rein_val *v)
{
	const struct search *c = ctx;
	rein_val x = v[X], a = rein_where(r, rein_lt(r, rein_scalar_i(r, 0), i), rein_scalar(r, 0.75), rein_scalar(r, 1));
	rein_val to = project(c, r, rein_add(r, x, rein_mul(r, rein_sign(r, v[GRAD]), rein_along(r, v[STEP], x, 0))));
	rein_val push = rein_lerp(r, rein_sub(r, x, v[X_OLD]), rein_sub(r, to, x), a), wrong;
	v[X_OLD] = x;
	x = project(c, r, rein_add(r, x, push));
	rein_val loss = look(c, r, x, &v[GRAD], &wrong), better = rein_gt(r, loss, v[BEST]);
	v[X_WRONG] = rein_where(r, rein_along(r, wrong, x, 0), x, v[X_WRONG]);
	v[X_BEST] = rein_where(r, rein_along(r, better, x, 0), x, v[X_BEST]);
	v[GRAD_BEST] = rein_where(r, rein_along(r, better, x, 0), v[GRAD], v[GRAD_BEST]);
	v[BEST] = rein_where(r, better, loss, v[BEST]);
	v[RISES] = rein_add(r, v[RISES], rein_cast(r, rein_gt(r, loss, v[LAST]), REIN_REAL_T));
	v[LAST] = loss;

	rein_val check = rein_take(r, c->is_check, i, 0);
	rein_val stuck = rein_le(r, v[RISES], rein_take(r, c->limit, i, 0));
	rein_val stale = rein_and(r, rein_not(r, v[HALVED]), rein_ge(r, v[CHECKED], v[BEST]));
	rein_val poor = rein_or(r, stuck, stale), halve = rein_and(r, poor, check);
	v[STEP] = rein_where(r, halve, rein_scale(r, v[STEP], 0.5), v[STEP]);
	v[X] = rein_where(r, rein_along(r, halve, x, 0), v[X_BEST], x);
	v[GRAD] = rein_where(r, rein_along(r, halve, x, 0), v[GRAD_BEST], v[GRAD]);
	v[HALVED] = rein_where(r, check, poor, v[HALVED]);
	v[CHECKED] = rein_where(r, check, v[BEST], v[CHECKED]);
	v[RISES] = rein_where(r, check, rein_scalar(r, 0), v[RISES]);
}

/* Checkpoints after 22 % of the steps, then in intervals that shrink by 3 % down to 6 %. */
static void tables(struct search *c, struct rein_rec *r)
{
	int64_t n = c->s->steps, k = n * 22 / 100 > 1 ? n * 22 / 100 : 1, since = 0;
	int64_t shrink = n * 3 / 100 > 1 ? n * 3 / 100 : 1, least = n * 6 / 100 > 1 ? n * 6 / 100 : 1;
	unsigned char check[1000] = { 0 };
	double limit[1000] = { 0 };
	for (int64_t i = 0; i < n; i++) {
		limit[i] = 0.75 * (double)k;
		if (++since == k) {
			check[i] = 1;
			since = 0;
			k = k - shrink > least ? k - shrink : least;
		}
	}
	c->is_check = rein_const(r, REIN_BOOL_T, 1, &n, check);
	c->limit = rein_const(r, REIN_REAL_T, 1, &n, limit);
}

static rein_val apgd_perturb(const void *self, struct rein_rec *r, const struct rein_model *m, rein_val x, rein_val y)
{
	struct search c = { .s = self, .m = m, .x = x, .y = y };
	struct rein_loop loop = { sizeof loop, (uint32_t)c.s->steps, CARRIED, 0, -1, 0 };
	rein_val v[CARRIED], wrong;
	tables(&c, r);
	rein_val loss = look(&c, r, x, &v[GRAD], &wrong);
	v[X] = v[X_OLD] = v[X_BEST] = v[X_WRONG] = x;
	v[GRAD_BEST] = v[GRAD];
	v[BEST] = v[CHECKED] = loss;
	v[LAST] = v[RISES] = rein_like(r, loss, 0);
	v[STEP] = rein_like(r, loss, 2 * c.s->epsilon);
	v[HALVED] = rein_like(r, wrong, 1);
	rein_repeat(r, &loop, v, body, &c);
	return v[X_WRONG];
}

static const struct rein_attack_vt apgd_vt = { .struct_size = sizeof apgd_vt, .perturb = apgd_perturb };
REIN_COMPONENT(apgd, REIN_ATTACK, struct apgd, apgd_keys, &apgd_vt, .summary = "steps that adapt their size");
REIN_PLUGIN("apgd", "1.0.0", "MIT", &apgd_component)
