/* SPDX-License-Identifier: MIT
 *
 * pgd: x' = x + alpha sign(gradient of the loss), kept within epsilon of the start and within
 * the box, a number of times (formula K3: Madry et al. 2018, no random start).
 */
#include "rein/rein.h"

struct pgd {
	double epsilon, alpha;
	int64_t steps;
};
static const struct rein_key pgd_keys[] = {
	REIN_REAL(struct pgd, epsilon, "8/255", 0, 1e6, 0, "largest change of a pixel"),
	REIN_REAL(struct pgd, alpha, "2/255", 0, 1e6, 0, "change of a pixel in a step"),
	REIN_INT(struct pgd, steps, "10", 1, 10000, "steps"),
	REIN_KEYS_END,
};
struct search {
	const struct pgd *s;
	const struct rein_model *m;
	rein_val x, y;
};

static void body(void *ctx, struct rein_rec *r, rein_val i, rein_val *carry)
{
	const struct search *c = ctx;
	rein_val rows = rein_cross_entropy(r, rein_forward(r, c->m, carry[0], REIN_EVAL), c->y);
	rein_val g = rein_grad(r, rein_sum(r, rows), carry[0]);
	rein_val far = rein_add(r, carry[0], rein_scale(r, rein_sign(r, g), c->s->alpha));
	rein_val change = rein_clip(r, rein_sub(r, far, c->x), -c->s->epsilon, c->s->epsilon);
	carry[0] = rein_clip(r, rein_add(r, c->x, change), c->m->lo, c->m->hi);
}

static rein_val pgd_perturb(const void *self, struct rein_rec *r, const struct rein_model *m, rein_val x, rein_val y)
{
	struct search c = { self, m, x, y };
	struct rein_loop loop = { sizeof loop, (uint32_t)c.s->steps, 1, 0, -1, 0 };
	rein_repeat(r, &loop, &x, body, &c);
	return x;
}

static const struct rein_attack_vt pgd_vt = { .struct_size = sizeof pgd_vt, .perturb = pgd_perturb };
REIN_COMPONENT(pgd, REIN_ATTACK, struct pgd, pgd_keys, &pgd_vt, .summary = "projected gradient steps");
REIN_PLUGIN("pgd", "1.0.0", "MIT", &pgd_component)
