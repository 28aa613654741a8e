/* SPDX-License-Identifier: MIT
 *
 * deepfool: a step to the nearest linearised class border, until each sample is misclassified
 * (formula K7, the form of foolbox's L2DeepFoolAttack: the overshoot is on the whole change).
 */
#include "rein/rein.h"

struct deepfool {
	struct rein_reals epsilon;
	int64_t steps, candidates;
	double overshoot;
};
static const struct rein_key deepfool_keys[] = {
	REIN_EPSILON(struct deepfool, "", "longest change (l2) that is kept whole, one or several; empty: any"),
	REIN_INT(struct deepfool, steps, "50", 1, 10000, "steps at most"),
	REIN_INT(struct deepfool, candidates, "10", 2, 100000, "classes considered: those with the largest logits"),
	REIN_REAL(struct deepfool, overshoot, "0.02", 0, 100, 0, "share added to the whole perturbation"),
	REIN_KEYS_END,
};
struct search {
	const struct deepfool *s;
	const struct rein_model *m;
	rein_val x, y, order; /* order (N,K): classes by falling logit at the start */
	int64_t classes, candidates;
};

/* Rows (N) as a factor of x (N,...). */
static rein_val per_row(struct rein_rec *r, rein_val rows, rein_val x) { return rein_along(r, rows, x, 0); }

/* carry: x', sum of steps, active (N), rounds (N) */
static void body(void *ctx, struct rein_rec *r, rein_val i, rein_val *carry)
{
	const struct search *c = ctx;
	int64_t n = rein_dim(r, c->y, 0), grid[2] = { n, c->classes };
	rein_val z = rein_forward(r, c->m, carry[0], REIN_EVAL);
	rein_val near = REIN_NONE, step = REIN_NONE, own = rein_cast(r, rein_one_hot(r, c->y, c->classes), REIN_REAL_T);
	for (int64_t k = 1; k < c->candidates; k++) {
		rein_val other = rein_eq(r, rein_iota(r, 1, 2, grid), rein_narrow(r, c->order, 1, k, 1));
		rein_val seed = rein_sub(r, rein_cast(r, other, REIN_REAL_T), own), w;
		rein_grads(r, z, seed, 1, &carry[0], &w); /* gradient of z_k - z_y for each sample */
		rein_val gap = rein_abs(r, rein_sum_rows(r, rein_mul(r, seed, z)));
		rein_val norm = rein_offset(r, rein_norm_rows(r, w), 1e-8), d = rein_div(r, gap, norm);
		rein_val push = rein_mul(r, w, per_row(r, rein_div(r, rein_offset(r, d, 1e-4), norm), w));
		rein_val better = REIN_IS_NONE(near) ? REIN_NONE : rein_lt(r, d, near);
		step = REIN_IS_NONE(near) ? push : rein_where(r, per_row(r, better, w), push, step);
		near = REIN_IS_NONE(near) ? d : rein_where(r, better, d, near);
	}
	carry[1] = rein_add(r, carry[1], step);
	rein_val moved = rein_add(r, c->x, rein_scale(r, carry[1], 1 + c->s->overshoot));
	carry[0] = rein_clip(r, moved, c->m->lo, c->m->hi);
	carry[2] = rein_eq(r, rein_argmax(r, z), c->y);
	rein_count(r, &carry[3], 1);
}

static rein_val deepfool_perturb(const void *self, struct rein_rec *r, const struct rein_model *m, rein_val x,
                                 rein_val y)
{
	struct search c = { .s = self, .m = m, .x = x, .y = y };
	rein_val z = rein_forward(r, m, x, REIN_EVAL);
	int64_t n = rein_dim(r, y, 0);
	c.classes = rein_dim(r, z, 1);
	c.candidates = c.s->candidates < c.classes ? c.s->candidates : c.classes;
	rein_sort(r, z, REIN_DESCENDING, &c.order);
	rein_val none = rein_like(r, rein_cast(r, y, REIN_REAL_T), 0);
	rein_val carry[4] = { x, rein_like(r, x, 0), rein_fill(r, REIN_BOOL_T, 1, 1, &n), none };
	struct rein_loop loop = { sizeof loop, (uint32_t)c.s->steps, 4, REIN_FREEZE, 2, 0 };
	rein_repeat(r, &loop, carry, body, &c);
	/* a round that finds its sample misclassified makes no step; it costs a forward pass */
	rein_spent(r, rein_offset(r, carry[3], 2), rein_scale(r, carry[3], (double)(c.candidates - 1)));
	return rein_project(r, m, carry[0], x, rein_epsilon(r, &c.s->epsilon), REIN_L2);
}

static const struct rein_attack_vt deepfool_vt = { .struct_size = sizeof deepfool_vt,
	                                               .perturb = deepfool_perturb,
	                                               .min_classes = 2 };
REIN_COMPONENT(deepfool, REIN_ATTACK, struct deepfool, deepfool_keys, &deepfool_vt,
               .summary = "smallest change: steps to the nearest class border",
               .reference = "Moosavi-Dezfooli et al. 2016; foolbox L2DeepFoolAttack");
REIN_PLUGIN("deepfool", "1.0.0", "MIT", &deepfool_component)
