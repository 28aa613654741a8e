/* SPDX-License-Identifier: MIT
 *
 * attack.h: adversarial examples, recorded: logits, losses and input gradients in
 * evaluation mode, parameters and statistics untouched; and what attacks share.
 *
 * Conventions that an attack stage counts on:
 *   - A key `epsilon` (REIN_EPSILON) is the size of the ball, one or several numbers; the
 *     attack reads it through rein_epsilon(), and the stage measures each.
 *   - rein_spent() says what the attack cost a sample.
 *   - Draws are per sample, no decision looks at other samples: a sample's result does not
 *     depend on the batch it is in.
 */
#ifndef REIN_ATTACK_H
#define REIN_ATTACK_H

#include <stdio.h>

#include "math.h"

struct rein_attack_vt {
	uint32_t struct_size, reserved;
	/* [control] x (N,...) in pixel space m->lo..m->hi, y (N) i32 -> x' of the same shape. The
	 * model's normalization is inside rein_forward(), not the attack's business. */
	rein_val (*perturb)(const void *self, struct rein_rec *, const struct rein_model *m, rein_val x, rein_val y);
	/* [control] Fewest classes the attack can be run on (DLR: 3); 0: any. */
	uint32_t min_classes;
	uint32_t reserved2;
};

/* --- the ball ------------------------------------------------------------------------ */
#define REIN_LINF 0
#define REIN_L2   1
#define REIN_L1   2
/* A row for `struct rein_reals epsilon`. Default "": no limit. */
#define REIN_EPSILON(S, def, help) \
	REIN_REALS(S, epsilon, def, 0, 1e6, REIN_KEY_KNOB | (sizeof(def) > 1 ? 0u : REIN_KEY_MAY_BE_EMPTY), help)
/* The size now, a scalar; infinite where there is none. */
static inline rein_val rein_epsilon(struct rein_rec *r, const struct rein_reals *e)
{
	return rein_knob(r, "epsilon", e->n > 0 ? e->v[0] : (double)INFINITY);
}
/* min(max(x, lo), hi); lo, hi scalars or of x's shape. Not made to be differentiated. */
static inline rein_val rein_clamp(struct rein_rec *r, rein_val x, rein_val lo, rein_val hi)
{
	x = rein_where(r, rein_lt(r, x, lo), lo, x);
	return rein_where(r, rein_lt(r, hi, x), hi, x);
}
static inline rein_val rein_box(struct rein_rec *r, const struct rein_model *m, rein_val x)
{
	return rein_clip(r, x, m->lo, m->hi);
}
/* Norm of each row, (N). */
static inline rein_val rein_size_rows(struct rein_rec *r, rein_val d, int32_t norm)
{
	if (norm == REIN_LINF)
		return rein_amax(r, rein_abs(r, d), ~1u, 0);
	return norm == REIN_L2 ? rein_norm_rows(r, d) : rein_sum_rows(r, rein_abs(r, d));
}
/* Each row of d scaled down to at most epsilon (Linf: clipped). L1 is scaled too: a point of
 * the ball, not the nearest. */
static inline rein_val rein_shrink(struct rein_rec *r, rein_val d, rein_val epsilon, int32_t norm)
{
	if (norm == REIN_LINF)
		return rein_clamp(r, d, rein_neg(r, epsilon), epsilon);
	rein_val size = rein_max(r, rein_size_rows(r, d, norm), rein_scalar(r, 1e-12)), one = rein_scalar(r, 1);
	rein_val part = rein_div(r, epsilon, size);
	return rein_mul(r, d, rein_along(r, rein_where(r, rein_lt(r, one, part), one, part), d, 0));
}
/* The point of ball and box that belongs to x. */
static inline rein_val rein_project(struct rein_rec *r, const struct rein_model *m, rein_val x, rein_val x0,
                                    rein_val epsilon, int32_t norm)
{
	return rein_box(r, m, rein_add(r, x0, rein_shrink(r, rein_sub(r, x, x0), epsilon, norm)));
}
/* The direction of length one (Linf: all signs) of each row; zero rows stay zero. */
static inline rein_val rein_unit(struct rein_rec *r, rein_val g, int32_t norm)
{
	if (norm == REIN_LINF)
		return rein_sign(r, g);
	return rein_div(r, g, rein_along(r, rein_max(r, rein_size_rows(r, g, norm), rein_scalar(r, 1e-12)), g, 0));
}
/* c (N) picks whole rows. */
static inline rein_val rein_pick_rows(struct rein_rec *r, rein_val c, rein_val a, rein_val b)
{
	return rein_where(r, rein_along(r, c, a, 0), a, b);
}

/* --- the goal ------------------------------------------------------------------------ */
/* What `target=` may say: away from the label, or towards a class. */
#define REIN_GOAL_AWAY  0 /* none */
#define REIN_GOAL_NEXT  1 /* label + 1 */
#define REIN_GOAL_LEAST 2 /* the class the model finds least likely */
#define REIN_GOAL_CLASS 3 /* `class=`; samples of that class are left alone */
#define REIN_GOAL_CHOICES                      \
	{                                          \
		"none", "next", "least", "class", NULL \
	}
/* A row `class=` for a field int64_t class_; -1: not given. */
#define REIN_GOAL_ROW(S)                                                               \
	{                                                                                  \
		"class", "-1", "the class of target=class, from 0; -1: none", REIN_KEY_INT, 0, \
			REIN_FIELD_(S, class_, int64_t), 0, -1, 1e9, NULL, NULL                    \
	}
struct rein_goal {
	int32_t towards; /* 0: away from y */
	rein_val y;      /* (N) the class to leave, or to reach */
	rein_val free;   /* bool (N): the sample is not in its goal already by its label; or NONE */
};
/* Refuses a class= that is not there, or not asked for. */
static inline void rein_goal_check(struct rein_rec *r, const struct rein_model *m, int32_t target, int64_t class_)
{
	char why[160] = "";
	if (target != REIN_GOAL_CLASS && class_ >= 0)
		snprintf(why, sizeof why, "class=%lld is for target=class alone", (long long)class_);
	else if (target == REIN_GOAL_CLASS && (class_ < 0 || class_ >= (int64_t)m->classes))
		snprintf(why, sizeof why, "target=class: class=%lld is no class of the model, which has 0 to %lld",
		         (long long)class_, (long long)m->classes - 1);
	if (*why)
		rein_refuse(r, why);
}
static inline struct rein_goal rein_goal_of(struct rein_rec *r, const struct rein_model *m, rein_val x, rein_val y,
                                            int32_t target, int64_t class_)
{
	struct rein_goal g = { target != REIN_GOAL_AWAY, y, REIN_NONE };
	rein_val k = rein_scalar_i(r, (int32_t)m->classes - 1), one = rein_scalar_i(r, 1), zero = rein_scalar_i(r, 0);
	if (target == REIN_GOAL_NEXT)
		g.y = rein_where(r, rein_lt(r, y, k), rein_add(r, y, one), zero);
	if (target == REIN_GOAL_LEAST)
		g.y = rein_argmax(r, rein_neg(r, rein_forward(r, m, x, REIN_EVAL)));
	if (target == REIN_GOAL_CLASS)
		g.y = rein_like(r, y, (double)class_);
	rein_goal_check(r, m, target, class_);
	if (g.towards)
		g.free = rein_not(r, rein_eq(r, g.y, y));
	return g;
}
/* Per sample (N): what the attack raises, from logits z. */
static inline rein_val rein_goal_loss(struct rein_rec *r, const struct rein_goal *g, rein_val z)
{
	rein_val rows = rein_cross_entropy(r, z, g->y);
	return g->towards ? rein_neg(r, rows) : rows;
}
/* Below 0 once the goal is reached: z_y - max other, or max other - z_target. */
static inline rein_val rein_goal_margin(struct rein_rec *r, const struct rein_goal *g, rein_val z)
{
	rein_val m = rein_margin(r, z, g->y);
	return g->towards ? rein_neg(r, m) : m;
}
/* bool (N): is the goal reached? */
static inline rein_val rein_goal_reached(struct rein_rec *r, const struct rein_goal *g, rein_val z)
{
	rein_val there = rein_eq(r, rein_argmax(r, z), g->y);
	return g->towards ? there : rein_not(r, there);
}
/* x' with the samples that are not to be attacked as they were. */
static inline rein_val rein_goal_keep(struct rein_rec *r, const struct rein_goal *g, rein_val to, rein_val x)
{
	return REIN_IS_NONE(g->free) ? to : rein_pick_rows(r, g->free, to, x);
}
/* Gradient with respect to x of the sum of what the attack raises. */
static inline rein_val rein_goal_grad(struct rein_rec *r, const struct rein_model *m, const struct rein_goal *g,
                                      rein_val x)
{
	return rein_grad(r, rein_sum(r, rein_goal_loss(r, g, rein_forward(r, m, x, REIN_EVAL))), x);
}

/* --- cost and restarts ------------------------------------------------------------------ */
/* Forward and backward passes for each sample: real (N), or scalars. */
static inline void rein_spent(struct rein_rec *r, rein_val queries, rein_val gradients)
{
	rein_metric(r, "queries", queries, REIN_MEAN);
	rein_metric(r, "gradients", gradients, REIN_MEAN);
}
/* One try, number i (a scalar) of several; adds to the passes spent (N). */
typedef rein_val rein_try(void *ctx, struct rein_rec *r, rein_val i, rein_val *queries, rein_val *gradients);
struct rein_tries_ {
	const struct rein_model *m;
	const struct rein_goal *g;
	rein_try *attempt;
	void *ctx;
};
/* carry: x', how near it is, to do, queries, gradients */
static inline void rein_tries_body_(void *ctx, struct rein_rec *r, rein_val i, rein_val *v)
{
	const struct rein_tries_ *c = (const struct rein_tries_ *)ctx;
	rein_val q = rein_like(r, v[3], 1), n = rein_like(r, v[4], 0), none = rein_scalar(r, 0), todo = v[2];
	rein_val x = c->attempt(c->ctx, r, i, &q, &n), z = rein_forward(r, c->m, x, REIN_EVAL);
	rein_val near = rein_neg(r, rein_goal_margin(r, c->g, z)), reached = rein_goal_reached(r, c->g, z);
	rein_val better = rein_and(r, todo, rein_or(r, reached, rein_lt(r, v[1], near)));
	v[0] = rein_pick_rows(r, better, x, v[0]);
	v[1] = rein_where(r, better, near, v[1]);
	v[2] = rein_not(r, reached);
	v[3] = rein_add(r, v[3], rein_where(r, todo, q, none));
	v[4] = rein_add(r, v[4], rein_where(r, todo, n, none));
}
/* Of the samples `todo` (N) the first of n tries that reaches the goal, else the one that comes
 * nearest; the others stay as they are in x. Rewrites todo: what has not reached the goal. */
static inline rein_val rein_tries(struct rein_rec *r, const struct rein_model *m, const struct rein_goal *g, rein_val x,
                                  int64_t n, rein_try *attempt, void *ctx, rein_val *todo, rein_val *queries,
                                  rein_val *gradients)
{
	struct rein_tries_ c = { m, g, attempt, ctx };
	struct rein_loop loop = { sizeof loop, (uint32_t)n, 5, 0, 2, 0 };
	rein_val v[5] = { x, rein_like(r, *queries, -(double)INFINITY), *todo, *queries, *gradients };
	rein_repeat(r, &loop, v, rein_tries_body_, &c);
	*todo = v[2];
	*queries = v[3];
	*gradients = v[4];
	return v[0];
}
/* An attack made of `restarts` tries, with its cost; one try is taken as it is. */
static inline rein_val rein_restarts(struct rein_rec *r, const struct rein_model *m, const struct rein_goal *g,
                                     rein_val x, int64_t restarts, rein_try *attempt, void *ctx)
{
	rein_val q = rein_like(r, rein_cast(r, g->y, REIN_REAL_T), 0), n = q, todo = rein_eq(r, g->y, g->y), to;
	if (restarts < 2)
		to = attempt(ctx, r, rein_scalar_i(r, 0), &q, &n);
	else
		to = rein_tries(r, m, g, x, restarts, attempt, ctx, &todo, &q, &n);
	rein_spent(r, q, n);
	return rein_goal_keep(r, g, to, x);
}
/* Passes in every sample's count: *n += k. */
static inline void rein_count(struct rein_rec *r, rein_val *n, int64_t k) { *n = rein_offset(r, *n, (double)k); }

#endif
