/* SPDX-License-Identifier: MIT
 *
 * spatial: rotations and translations on a grid, until the model errs (formula K15). Bilinear;
 * what comes from outside is lo. A target pixel at (column u, row v) from the centre reads
 *   column  u cos a - v sin a + dx,   row  u sin a + v cos a + dy
 */
#include "rein/rein.h"

struct spatial {
	double rotation, translation;
	int64_t rotations, translations;
};
static const struct rein_key spatial_keys[] = {
	REIN_REAL(struct spatial, rotation, "30", 0, 180, 0, "largest angle, degrees"),
	REIN_REAL(struct spatial, translation, "3", 0, 1e6, 0, "largest shift, pixels"),
	REIN_INT(struct spatial, rotations, "5", 1, 1000, "angles of the grid"),
	REIN_INT(struct spatial, translations, "5", 1, 1000, "shifts of the grid in each direction"),
	REIN_KEYS_END,
};
struct search {
	const struct spatial *s;
	const struct rein_model *m;
	rein_val x, cos_, sin_, dx, dy; /* by try */
};

static rein_val warp(struct rein_rec *r, rein_val x, rein_val xy, double fill)
{
	struct rein_attr a = { .struct_size = sizeof a, .mode = REIN_BILINEAR, .par = { fill } };
	rein_val in[2] = { x, xy }, y;
	rein_op(r, REIN_OP_WARP, 2, in, &a, 1, &y);
	return y;
}

/* Coordinates from the centre along an axis of (1,H,W,1). */
static rein_val from_centre(struct rein_rec *r, uint32_t axis, int64_t h, int64_t w)
{
	int64_t dim[4] = { 1, h, w, 1 };
	double centre = (double)((axis == 1 ? h : w) - 1) / 2;
	return rein_offset(r, rein_cast(r, rein_iota(r, axis, 4, dim), REIN_REAL_T), -centre);
}

static rein_val attempt(void *ctx, struct rein_rec *r, rein_val i, rein_val *queries, rein_val *gradients)
{
	const struct search *c = ctx;
	int64_t n = rein_dim(r, c->x, 0), h = rein_dim(r, c->x, 2), w = rein_dim(r, c->x, 3), all[4] = { n, h, w, 2 };
	rein_val u = from_centre(r, 2, h, w), v = from_centre(r, 1, h, w), xy[2];
	rein_val co = rein_take(r, c->cos_, i, 0), si = rein_take(r, c->sin_, i, 0);
	rein_val col = rein_sub(r, rein_mul(r, u, co), rein_mul(r, v, si));
	rein_val row = rein_add(r, rein_mul(r, u, si), rein_mul(r, v, co));
	xy[0] = rein_offset(r, rein_add(r, col, rein_take(r, c->dx, i, 0)), (double)(w - 1) / 2);
	xy[1] = rein_offset(r, rein_add(r, row, rein_take(r, c->dy, i, 0)), (double)(h - 1) / 2);
	return rein_box(r, c->m, warp(r, c->x, rein_expand(r, rein_concat(r, 2, xy, 3), 4, all), c->m->lo));
}

static double grid(int64_t i, int64_t n, double most)
{
	return n > 1 ? most * (2 * (double)i / (double)(n - 1) - 1) : 0;
}

static void tables(struct search *c, struct rein_rec *r)
{
	const struct spatial *s = c->s;
	int64_t t = s->translations, n = s->rotations * t * t;
	double *v = (double *)r->vt->scratch(r, (uint64_t)(4 * n) * sizeof *v);
	if (!v)
		return;
	for (int64_t i = 0; i < n; i++) {
		double a = grid(i / (t * t), s->rotations, s->rotation) * acos(-1.0) / 180;
		v[i] = cos(a);
		v[n + i] = sin(a);
		v[2 * n + i] = grid(i / t % t, t, s->translation);
		v[3 * n + i] = grid(i % t, t, s->translation);
	}
	c->cos_ = rein_const(r, REIN_REAL_T, 1, &n, v);
	c->sin_ = rein_const(r, REIN_REAL_T, 1, &n, v + n);
	c->dx = rein_const(r, REIN_REAL_T, 1, &n, v + 2 * n);
	c->dy = rein_const(r, REIN_REAL_T, 1, &n, v + 3 * n);
}

static rein_val spatial_perturb(const void *self, struct rein_rec *r, const struct rein_model *m, rein_val x,
                                rein_val y)
{
	const struct spatial *s = self;
	struct search c = { .s = s, .m = m, .x = x };
	struct rein_goal goal = { 0, y, REIN_NONE };
	if (rein_rank(r, x) != 4) {
		rein_refuse(r, "spatial needs images (N,C,H,W)");
		return x;
	}
	if (s->rotations * s->translations * s->translations > 1000000) {
		rein_refuse(r, "the grid has more than 1000000 points");
		return x;
	}
	tables(&c, r);
	return rein_restarts(r, m, &goal, x, s->rotations * s->translations * s->translations, attempt, &c);
}

static const struct rein_attack_vt spatial_vt = { .struct_size = sizeof spatial_vt, .perturb = spatial_perturb };
REIN_COMPONENT(spatial, REIN_ATTACK, struct spatial, spatial_keys, &spatial_vt,
               .summary = "rotations and translations on a grid", .reference = "Engstrom et al. 2019");
REIN_PLUGIN("spatial", "1.0.0", "MIT", &spatial_component)
