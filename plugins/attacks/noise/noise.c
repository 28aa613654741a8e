/* SPDX-License-Identifier: MIT
 *
 * noise: draws until the model errs, at most `repeats` times: the baseline that any attack must
 * beat (formula K14)
 *   uniform      change of each pixel uniform in -epsilon..epsilon
 *   gaussian     a normal direction of length epsilon (l2)
 *   salt_pepper  a share of the pixels, rising to epsilon over the repeats, becomes lo or hi
 */
#include "rein/rein.h"

enum { UNIFORM, GAUSSIAN, SALT_PEPPER };
struct noise {
	struct rein_reals epsilon;
	int64_t repeats;
	int32_t kind;
};
static const char *const choices[] = { "uniform", "gaussian", "salt_pepper", NULL };
static const struct rein_key noise_keys[] = {
	REIN_EPSILON(struct noise, "8/255", "linf, l2 or share of pixels, one or several"),
	REIN_ENUM(struct noise, kind, "uniform", choices, "distribution"),
	REIN_INT(struct noise, repeats, "100", 1, 100000, "draws for each sample at most"),
	REIN_KEYS_END,
};
struct search {
	const struct noise *s;
	const struct rein_model *m;
	rein_val x, epsilon;
};

/* x (N,C,H,W): salt and pepper fall on all channels of a pixel alike. */
static rein_val salt_pepper(const struct search *c, struct rein_rec *r, rein_val i)
{
	int64_t dim[REIN_MAX_RANK];
	int32_t rank = rein_rank(r, c->x);
	for (int32_t k = 0; k < rank; k++)
		dim[k] = k == 1 && rank == 4 ? 1 : rein_dim(r, c->x, k);
	rein_val u = rein_random(r, "pixels", REIN_UNIFORM, REIN_PER_SAMPLE, rank < 0 ? 0u : (uint32_t)rank, dim);
	rein_val round = rein_offset(r, rein_cast(r, i, REIN_REAL_T), 1);
	rein_val p = rein_mul(r, c->epsilon, rein_scale(r, round, 1 / (double)c->s->repeats)), half = rein_scale(r, p, 0.5);
	rein_val x = rein_where(r, rein_lt(r, u, half), rein_scalar(r, c->m->lo), c->x);
	return rein_where(r, rein_and(r, rein_le(r, half, u), rein_lt(r, u, p)), rein_scalar(r, c->m->hi), x);
}

static rein_val attempt(void *ctx, struct rein_rec *r, rein_val i, rein_val *queries, rein_val *gradients)
{
	const struct search *c = ctx;
	rein_val d;
	if (c->s->kind == SALT_PEPPER)
		return salt_pepper(c, r, i);
	d = rein_random_like(r, "draw", c->s->kind == UNIFORM ? REIN_UNIFORM : REIN_NORMAL, REIN_PER_SAMPLE, c->x);
	if (c->s->kind == UNIFORM)
		d = rein_offset(r, rein_scale(r, d, 2), -1);
	else
		d = rein_unit(r, d, REIN_L2);
	return rein_box(r, c->m, rein_add(r, c->x, rein_mul(r, d, c->epsilon)));
}

static rein_val noise_perturb(const void *self, struct rein_rec *r, const struct rein_model *m, rein_val x, rein_val y)
{
	const struct noise *s = self;
	struct search c = { s, m, x, rein_epsilon(r, &s->epsilon) };
	struct rein_goal goal = { 0, y, REIN_NONE };
	return rein_restarts(r, m, &goal, x, s->repeats, attempt, &c);
}

static const struct rein_attack_vt noise_vt = { .struct_size = sizeof noise_vt, .perturb = noise_perturb };
REIN_COMPONENT(noise, REIN_ATTACK, struct noise, noise_keys, &noise_vt,
               .summary = "random noise, repeated: the baseline", .reference = "foolbox, noise attacks");
REIN_PLUGIN("noise", "1.0.0", "MIT", &noise_component)
