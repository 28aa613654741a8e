/* SPDX-License-Identifier: MIT
 *
 * carlini_wagner: the smallest change in l2, by Adam on w with x' = lo + (hi - lo) (tanh(w) + 1) / 2
 *   minimize ||x' - x||^2 + c max(0, z_y - max_other + confidence)
 * with c found per sample: times 10 while nothing is found, then bisected (formula K8). A sample
 * whose loss a tenth of the steps did not lower to .9999 of what it was rests until the next c.
 */
#include "rein/rein.h"

struct carlini_wagner {
	struct rein_reals epsilon;
	double stepsize, confidence, initial;
	int64_t steps, searches, class_;
	int32_t target, abort_early;
};
static const char *const targets[] = REIN_GOAL_CHOICES;
static const struct rein_key carlini_wagner_keys[] = {
	REIN_EPSILON(struct carlini_wagner, "", "longest change (l2) that is kept whole, one or several; empty: any"),
	REIN_INT(struct carlini_wagner, steps, "1000", 1, 100000, "Adam steps for each c"),
	REIN_INT(struct carlini_wagner, searches, "9", 1, 100, "values of c that are tried"),
	REIN_REAL(struct carlini_wagner, stepsize, "0.01", 0, 1e3, REIN_KEY_OVER_MIN, "Adam's learning rate"),
	REIN_REAL(struct carlini_wagner, confidence, "0", 0, 1e6, 0, "by how much the other logit shall win"),
	REIN_REAL(struct carlini_wagner, initial, "1e-3", 0, 1e10, REIN_KEY_OVER_MIN, "first c"),
	REIN_BOOL(struct carlini_wagner, abort_early, "yes", "rest where nothing improves"),
	REIN_ENUM(struct carlini_wagner, target, "none", targets, "class to reach; none: away from the label"),
	REIN_GOAL_ROW(struct carlini_wagner),
	REIN_KEYS_END,
};
/* Of the search over c, and of the steps with one c; (N) but for the tensors of x's shape. */
enum { LOW, HIGH, C, NEAREST, X_BEST, QUERIES, OUTER };
enum { D, M, V, BEFORE, GO, FOUND, L2_BEST, AT_BEST, COUNT, INNER };
struct search {
	const struct carlini_wagner *s;
	const struct rein_model *m;
	struct rein_goal goal;
	rein_val x, w, x_again, c, correct1, correct2, is_check;
};

/* 1 / (1 - beta^t) for the steps, and every tenth one. */
static void tables(struct search *c, struct rein_rec *r)
{
	int64_t n = c->s->steps, tenth = (n + 9) / 10;
	double *a = (double *)r->vt->scratch(r, (uint64_t)n * sizeof *a);
	double *b = (double *)r->vt->scratch(r, (uint64_t)n * sizeof *b);
	unsigned char *check = (unsigned char *)r->vt->scratch(r, (uint64_t)n);
	for (int64_t i = 0; a && b && check && i < n; i++) {
		a[i] = 1 / (1 - pow(0.9, (double)(i + 1)));
		b[i] = 1 / (1 - pow(0.999, (double)(i + 1)));
		check[i] = c->s->abort_early && i % tenth == 0;
	}
	c->correct1 = rein_const(r, REIN_REAL_T, 1, &n, a);
	c->correct2 = rein_const(r, REIN_REAL_T, 1, &n, b);
	c->is_check = rein_const(r, REIN_BOOL_T, 1, &n, check);
}

static rein_val to_box(const struct search *c, struct rein_rec *r, rein_val w)
{
	double half = (c->m->hi - c->m->lo) / 2, mid = (c->m->hi + c->m->lo) / 2;
	return rein_offset(r, rein_scale(r, rein_tanh(r, w), half), mid);
}

/* atanh of 0.999999 times x moved to -1..1: without the factor saturated pixels never move. */
static rein_val from_box(const struct search *c, struct rein_rec *r, rein_val x)
{
	double half = (c->m->hi - c->m->lo) / 2, mid = (c->m->hi + c->m->lo) / 2;
	rein_val u = rein_scale(r, rein_div(r, rein_offset(r, x, -mid), rein_scalar(r, half)), 0.999999);
	return rein_scale(r, rein_sub(r, rein_log1p(r, u), rein_log1p(r, rein_neg(r, u))), 0.5);
}

static void step(void *ctx, struct rein_rec *r, rein_val i, rein_val *v)
{
	const struct search *c = ctx;
	rein_val x = to_box(c, r, rein_add(r, c->w, v[D])), z = rein_forward(r, c->m, x, REIN_EVAL), g, go = v[GO];
	rein_val margin = rein_offset(r, rein_goal_margin(r, &c->goal, z), c->s->confidence), zero = rein_scalar(r, 0);
	rein_val far = rein_sum_rows(r, rein_square(r, rein_sub(r, x, c->x_again)));
	rein_val loss = rein_add(r, rein_mul(r, rein_max(r, zero, margin), c->c), far);
	rein_grads(r, rein_sum(r, loss), REIN_NONE, 1, &v[D], &g);
	v[M] = rein_add(r, rein_scale(r, v[M], 0.9), rein_scale(r, g, 1 - 0.9));
	v[V] = rein_add(r, rein_scale(r, v[V], 0.999), rein_scale(r, rein_square(r, g), 1 - 0.999));
	rein_val m = rein_mul(r, v[M], rein_take(r, c->correct1, i, 0));
	rein_val root = rein_offset(r, rein_sqrt(r, rein_mul(r, v[V], rein_take(r, c->correct2, i, 0))), 1e-8);
	v[D] = rein_sub(r, v[D], rein_div(r, rein_scale(r, m, c->s->stepsize), root));

	rein_val check = rein_take(r, c->is_check, i, 0);
	rein_val poor = rein_and(r, check, rein_not(r, rein_le(r, loss, rein_scale(r, v[BEFORE], 0.9999))));
	v[BEFORE] = rein_where(r, check, loss, v[BEFORE]);
	v[COUNT] = rein_add(r, v[COUNT], rein_cast(r, go, REIN_REAL_T));
	go = rein_and(r, go, rein_not(r, poor));
	rein_val there = c->s->confidence > 0 ? rein_lt(r, margin, zero) : rein_goal_reached(r, &c->goal, z);
	there = rein_and(r, go, there);
	rein_val l2 = rein_norm_rows(r, rein_sub(r, x, c->x)), best = rein_and(r, there, rein_lt(r, l2, v[L2_BEST]));
	v[FOUND] = rein_or(r, v[FOUND], there);
	v[L2_BEST] = rein_where(r, best, l2, v[L2_BEST]);
	v[AT_BEST] = rein_pick_rows(r, best, x, v[AT_BEST]);
	v[GO] = go;
}

static void try_c(void *ctx, struct rein_rec *r, rein_val i, rein_val *v)
{
	struct search *c = ctx;
	struct rein_loop loop = { sizeof loop, (uint32_t)c->s->steps, INNER, 0, GO, 0 };
	rein_val zero = rein_like(r, c->x, 0), yes = rein_eq(r, c->goal.y, c->goal.y), in[INNER];
	c->c = v[C];
	in[D] = in[M] = in[V] = zero;
	in[BEFORE] = rein_like(r, v[C], (double)INFINITY);
	in[GO] = yes;
	in[FOUND] = rein_not(r, yes);
	in[L2_BEST] = v[NEAREST];
	in[AT_BEST] = v[X_BEST];
	in[COUNT] = v[QUERIES];
	rein_repeat(r, &loop, in, step, c);
	v[NEAREST] = in[L2_BEST];
	v[X_BEST] = in[AT_BEST];
	v[QUERIES] = in[COUNT];
	v[HIGH] = rein_where(r, in[FOUND], v[C], v[HIGH]);
	v[LOW] = rein_where(r, in[FOUND], v[LOW], v[C]);
	rein_val ever = rein_isfinite(r, v[HIGH]), middle = rein_scale(r, rein_add(r, v[LOW], v[HIGH]), 0.5);
	v[C] = rein_where(r, ever, middle, rein_scale(r, v[C], 10));
}

static rein_val carlini_wagner_perturb(const void *self, struct rein_rec *r, const struct rein_model *m, rein_val x,
                                       rein_val y)
{
	const struct carlini_wagner *s = self;
	struct search c = { .s = s, .m = m, .goal = rein_goal_of(r, m, x, y, s->target, s->class_), .x = x };
	struct rein_loop loop = { sizeof loop, (uint32_t)s->searches, OUTER, 0, -1, 0 };
	rein_val v[OUTER], rows = rein_like(r, rein_cast(r, y, REIN_REAL_T), 0);
	c.w = from_box(&c, r, x);
	c.x_again = to_box(&c, r, c.w);
	tables(&c, r);
	v[LOW] = v[QUERIES] = rows;
	v[HIGH] = v[NEAREST] = rein_like(r, rows, (double)INFINITY);
	v[C] = rein_like(r, rows, s->initial);
	v[X_BEST] = x;
	rein_repeat(r, &loop, v, try_c, &c);
	rein_spent(r, v[QUERIES], v[QUERIES]);
	rein_val to = rein_project(r, m, v[X_BEST], x, rein_epsilon(r, &s->epsilon), REIN_L2);
	return rein_goal_keep(r, &c.goal, to, x);
}

static const struct rein_attack_vt carlini_wagner_vt = { .struct_size = sizeof carlini_wagner_vt,
	                                                     .perturb = carlini_wagner_perturb,
	                                                     .min_classes = 2 };
REIN_COMPONENT(carlini_wagner, REIN_ATTACK, struct carlini_wagner, carlini_wagner_keys, &carlini_wagner_vt,
               .summary = "smallest change in l2, by optimization",
               .reference = "Carlini and Wagner 2017; foolbox L2CarliniWagnerAttack");
REIN_PLUGIN("carlini_wagner", "1.0.0", "MIT", &carlini_wagner_component)
