/* SPDX-License-Identifier: MIT
 *
 * tpgd: steps up the divergence from the model's own clean answer, sum_k p_k(x) (log p_k(x) -
 * log p_k(x')), started at x + sigma N (formula K6). It needs no labels: the inner search of
 * TRADES.
 */
#include "rein/rein.h"

struct tpgd {
	struct rein_reals epsilon;
	double alpha, sigma;
	int64_t steps;
};
static const struct rein_key tpgd_keys[] = {
	REIN_EPSILON(struct tpgd, "8/255", "largest change of a pixel, one or several"),
	REIN_REAL(struct tpgd, alpha, "0", 0, 1e6, 0, "change of a pixel in a step; 0: 2.5 epsilon / steps"),
	REIN_INT(struct tpgd, steps, "10", 1, 100000, "steps"),
	REIN_REAL(struct tpgd, sigma, "0.001", 0, 1e6, REIN_KEY_OVER_MIN, "deviation of the noise that it starts with"),
	REIN_KEYS_END,
};
struct search {
	const struct tpgd *s;
	const struct rein_model *m;
	rein_val x, lp, epsilon, alpha;
};

static void body(void *ctx, struct rein_rec *r, rein_val i, rein_val *carry)
{
	const struct search *c = ctx;
	rein_val lq = rein_log_softmax(r, rein_forward(r, c->m, carry[0], REIN_EVAL), 1);
	rein_val g = rein_grad(r, rein_sum(r, rein_kl(r, c->lp, lq)), carry[0]);
	rein_val at = rein_add(r, carry[0], rein_mul(r, rein_sign(r, g), c->alpha));
	carry[0] = rein_project(r, c->m, at, c->x, c->epsilon, REIN_LINF);
}

static rein_val tpgd_perturb(const void *self, struct rein_rec *r, const struct rein_model *m, rein_val x, rein_val y)
{
	const struct tpgd *s = self;
	struct search c = { s, m, x, rein_log_softmax(r, rein_forward(r, m, x, REIN_EVAL), 1), x, x };
	struct rein_loop loop = { sizeof loop, (uint32_t)s->steps, 1, 0, -1, 0 };
	rein_val n = rein_scalar(r, (double)s->steps);
	c.epsilon = rein_epsilon(r, &s->epsilon);
	c.alpha = s->alpha > 0 ? rein_scalar(r, s->alpha) : rein_scale(r, c.epsilon, 2.5 / (double)s->steps);
	rein_val at = rein_scale(r, rein_random_like(r, "start", REIN_NORMAL, REIN_PER_SAMPLE, x), s->sigma);
	at = rein_project(r, m, rein_add(r, x, at), x, c.epsilon, REIN_LINF);
	rein_repeat(r, &loop, &at, body, &c);
	rein_spent(r, rein_offset(r, n, 1), n);
	return at;
}

static const struct rein_attack_vt tpgd_vt = { .struct_size = sizeof tpgd_vt,
	                                           .perturb = tpgd_perturb,
	                                           .min_classes = 2 };
REIN_COMPONENT(tpgd, REIN_ATTACK, struct tpgd, tpgd_keys, &tpgd_vt,
               .summary = "PGD on the divergence from the clean answer", .reference = "Zhang et al. 2019 (TRADES)");
REIN_PLUGIN("tpgd", "1.0.0", "MIT", &tpgd_component)
