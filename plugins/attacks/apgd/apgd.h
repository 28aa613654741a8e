/* SPDX-License-Identifier: MIT
 *
 * apgd.h: auto-PGD, one try of it: projected gradient steps with momentum whose size each sample
 * halves for itself, when at a checkpoint its loss rose in too few steps or found no new best; it
 * then goes on from the best point (formula K9). Shared by the attacks apgd and ensemble.
 */
#ifndef APGD_H
#define APGD_H

#include "rein/rein.h"

#define APGD_CE     0
#define APGD_DLR    1
#define APGD_MARGIN 2
#define APGD_STEPS  10000

struct apgd_search {
	const struct rein_model *m;
	rein_val x, y, epsilon;
	int64_t steps;
	int32_t norm, loss, random_start;
	double rho;
	int64_t targets;          /* 0: away from y; else the runners-up to steer to */
	rein_val order, towards;  /* order (N,K): classes by falling logit; towards (N) */
	rein_val is_check, limit; /* by step; limit: rises at most for a sample to be stuck */
};

/* What a round hands to the next. Losses, counts and step sizes are per sample, (N). */
enum { X, X_OLD, X_BEST, X_WRONG, GRAD, GRAD_BEST, BEST, LAST, RISES, CHECKED, STEP, HALVED, WRONG, CARRIED };

static inline rein_val apgd_pick(struct rein_rec *r, rein_val z, rein_val y)
{
	rein_val hot = rein_one_hot(r, y, rein_dim(r, z, 1));
	return rein_sum_over(r, rein_where(r, hot, z, rein_scalar(r, 0)), REIN_AXIS(1), 0);
}

/* Formula K10. Sorted logits z(1) >= z(2) >= ..
 *   away      -(z_y - max_other) / (z(1) - z(3))
 *   towards   -(z_y - z_t) / (z(1) - (z(3) + z(4)) / 2) */
static inline rein_val apgd_dlr(const struct apgd_search *c, struct rein_rec *r, rein_val z)
{
	int64_t rows[1] = { rein_dim(r, z, 0) };
	rein_val s = rein_sort(r, z, REIN_DESCENDING, NULL);
	rein_val top[4];
	for (int64_t k = 0; k < (c->targets ? 4 : 3); k++)
		top[k] = rein_reshape(r, rein_narrow(r, s, 1, k, 1), 1, rows);
	rein_val low = c->targets ? rein_scale(r, rein_add(r, top[2], top[3]), 0.5) : top[2];
	rein_val up =
		c->targets ? rein_sub(r, apgd_pick(r, z, c->y), apgd_pick(r, z, c->towards)) : rein_margin(r, z, c->y);
	return rein_neg(r, rein_div(r, up, rein_offset(r, rein_sub(r, top[0], low), 1e-12)));
}

static inline rein_val apgd_rows(const struct apgd_search *c, struct rein_rec *r, rein_val z)
{
	if (c->loss == APGD_DLR)
		return apgd_dlr(c, r, z);
	if (c->loss == APGD_CE && !c->targets)
		return rein_cross_entropy(r, z, c->y);
	if (c->loss == APGD_CE)
		return rein_neg(r, rein_cross_entropy(r, z, c->towards));
	return c->targets ? rein_sub(r, apgd_pick(r, z, c->towards), apgd_pick(r, z, c->y))
	                  : rein_neg(r, rein_margin(r, z, c->y));
}

/* Loss (N), its gradient, and which samples are misclassified. */
static inline rein_val apgd_look(const struct apgd_search *c, struct rein_rec *r, rein_val x, rein_val *grad,
                                 rein_val *wrong)
{
	rein_val z = rein_forward(r, c->m, x, REIN_EVAL), rows = apgd_rows(c, r, z);
	*grad = rein_grad(r, rein_sum(r, rows), x);
	*wrong = rein_not(r, rein_eq(r, rein_argmax(r, z), c->y));
	return rows;
}

static inline rein_val apgd_move(const struct apgd_search *c, struct rein_rec *r, rein_val i, rein_val *v)
{
	rein_val first = rein_le(r, i, rein_scalar_i(r, 0)), x = v[X];
	rein_val a = rein_where(r, first, rein_scalar(r, 1), rein_scalar(r, 0.75));
	rein_val step = rein_mul(r, rein_unit(r, v[GRAD], c->norm), rein_along(r, v[STEP], x, 0));
	rein_val to = rein_project(r, c->m, rein_add(r, x, step), c->x, c->epsilon, c->norm);
	rein_val push = rein_lerp(r, rein_sub(r, x, v[X_OLD]), rein_sub(r, to, x), a);
	v[X_OLD] = x;
	return rein_project(r, c->m, rein_add(r, x, push), c->x, c->epsilon, c->norm);
}

static inline void apgd_body(void *ctx, struct rein_rec *r, rein_val i, rein_val *v)
{
	const struct apgd_search *c = (const struct apgd_search *)ctx;
	rein_val x = apgd_move(c, r, i, v), wrong;
	rein_val loss = apgd_look(c, r, x, &v[GRAD], &wrong), better = rein_gt(r, loss, v[BEST]);
	v[WRONG] = rein_or(r, v[WRONG], wrong);
	v[X_WRONG] = rein_pick_rows(r, wrong, x, v[X_WRONG]);
	v[X_BEST] = rein_pick_rows(r, better, x, v[X_BEST]);
	v[GRAD_BEST] = rein_pick_rows(r, better, v[GRAD], v[GRAD_BEST]);
	v[BEST] = rein_where(r, better, loss, v[BEST]);
	v[RISES] = rein_add(r, v[RISES], rein_cast(r, rein_gt(r, loss, v[LAST]), REIN_REAL_T));
	v[LAST] = loss;

	rein_val check = rein_take(r, c->is_check, i, 0);
	rein_val stuck = rein_le(r, v[RISES], rein_take(r, c->limit, i, 0));
	rein_val stale = rein_and(r, rein_not(r, v[HALVED]), rein_ge(r, v[CHECKED], v[BEST]));
	rein_val poor = rein_or(r, stuck, stale), halve = rein_and(r, poor, check);
	v[STEP] = rein_where(r, halve, rein_scale(r, v[STEP], 0.5), v[STEP]);
	v[X] = rein_pick_rows(r, halve, v[X_BEST], x);
	v[GRAD] = rein_pick_rows(r, halve, v[GRAD_BEST], v[GRAD]);
	v[HALVED] = rein_where(r, check, poor, v[HALVED]);
	v[CHECKED] = rein_where(r, check, v[BEST], v[CHECKED]);
	v[RISES] = rein_where(r, check, rein_scalar(r, 0), v[RISES]);
}

/* Checkpoints after 22 % of the steps, then in intervals that shrink by 3 % down to 6 %. */
static inline void apgd_tables(struct apgd_search *c, struct rein_rec *r)
{
	int64_t n = c->steps, k = n * 22 / 100 > 1 ? n * 22 / 100 : 1, since = 0;
	int64_t shrink = n * 3 / 100 > 1 ? n * 3 / 100 : 1, least = n * 6 / 100 > 1 ? n * 6 / 100 : 1;
	unsigned char check[APGD_STEPS] = { 0 };
	double limit[APGD_STEPS] = { 0 };
	for (int64_t i = 0; i < n; i++) {
		limit[i] = c->rho * (double)k;
		if (++since == k) {
			check[i] = 1;
			since = 0;
			k = k - shrink > least ? k - shrink : least;
		}
	}
	c->is_check = rein_const(r, REIN_BOOL_T, 1, &n, check);
	c->limit = rein_const(r, REIN_REAL_T, 1, &n, limit);
}

/* x + epsilon t / ||t||, t uniform in -1..1 (linf) or normal (l2). */
static inline rein_val apgd_start(const struct apgd_search *c, struct rein_rec *r)
{
	rein_val t, size;
	if (!c->random_start)
		return c->x;
	t = rein_random_like(r, "start", c->norm == REIN_LINF ? REIN_UNIFORM : REIN_NORMAL, REIN_PER_SAMPLE, c->x);
	if (c->norm == REIN_LINF)
		t = rein_offset(r, rein_scale(r, t, 2), -1);
	size = rein_max(r, rein_size_rows(r, t, c->norm), rein_scalar(r, 1e-12));
	t = rein_mul(r, rein_div(r, t, rein_along(r, size, t, 0)), c->epsilon);
	return rein_box(r, c->m, rein_add(r, c->x, t));
}

/* A rein_try. With targets the try i steers to runner-up i modulo their number. The last
 * misclassified point, or else the best. */
static inline rein_val apgd_attempt(void *ctx, struct rein_rec *r, rein_val i, rein_val *queries, rein_val *gradients)
{
	struct apgd_search *c = (struct apgd_search *)ctx;
	struct rein_loop loop = { sizeof loop, (uint32_t)c->steps, CARRIED, 0, -1, 0 };
	rein_val v[CARRIED], wrong;
	if (c->targets) {
		rein_val k = rein_scalar_i(r, (int32_t)c->targets);
		rein_val which = rein_add(r, rein_sub(r, i, rein_mul(r, rein_div(r, i, k), k)), rein_scalar_i(r, 1));
		int64_t col[2] = { rein_dim(r, c->y, 0), 1 };
		rein_val at = rein_add(r, rein_fill(r, REIN_I32_T, 0, 2, col), which);
		c->towards = rein_reshape(r, rein_take(r, c->order, at, 1), 1, col);
	}
	rein_val x = apgd_start(c, r), loss = apgd_look(c, r, x, &v[GRAD], &wrong);
	v[X] = v[X_OLD] = v[X_BEST] = v[X_WRONG] = x;
	v[GRAD_BEST] = v[GRAD];
	v[BEST] = v[CHECKED] = loss;
	v[LAST] = rein_like(r, loss, 0);
	v[RISES] = v[LAST];
	v[STEP] = rein_add(r, v[LAST], rein_scale(r, c->epsilon, 2));
	v[HALVED] = rein_eq(r, c->y, c->y);
	v[WRONG] = wrong;
	rein_repeat(r, &loop, v, apgd_body, c);
	rein_count(r, queries, c->steps + 1);
	rein_count(r, gradients, c->steps + 1);
	return rein_pick_rows(r, v[WRONG], v[X_WRONG], v[X_BEST]);
}

/* Tables and classes; refuses a loss that the class count cannot carry. */
static inline void apgd_prepare(struct apgd_search *c, struct rein_rec *r)
{
	int64_t classes = (int64_t)c->m->classes;
	if (c->loss == APGD_DLR && classes < (c->targets ? 4 : 3)) {
		char why[128];
		snprintf(why, sizeof why, "loss=dlr%s classes, the model has %lld; use loss=margin or loss=ce",
		         c->targets ? " towards a class needs 4" : " needs 3", (long long)classes);
		rein_refuse(r, why);
		return;
	}
	c->targets = c->targets < classes ? c->targets : classes - 1;
	if (c->targets)
		rein_sort(r, rein_forward(r, c->m, c->x, REIN_EVAL), REIN_DESCENDING, &c->order);
	apgd_tables(c, r);
}

#endif
