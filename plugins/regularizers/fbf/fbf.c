/* SPDX-License-Identifier: MIT
 *
 * fbf: "fast is better than free": adversarial training with one step from a random start
 *   d = U(-epsilon, epsilon),  d = clip(d + alpha sign(g(x + d)), -epsilon, epsilon)
 * and training on x + d, both kept in the box. alpha 1.25 epsilon; a longer one, or many epochs,
 * may end in catastrophic overfitting: robust to this step and to no other.
 */
#include "rein/rein.h"

struct fbf {
	double epsilon, alpha;
};
static const struct rein_key fbf_keys[] = {
	REIN_REAL(struct fbf, epsilon, "8/255", 0, 1e6, REIN_KEY_KNOB, "largest change of a pixel"),
	REIN_REAL(struct fbf, alpha, "1.25", 0, 1e3, 0, "step, as a multiple of epsilon"),
	REIN_KEYS_END,
};

static void fbf_inputs(const void *self, struct rein_rec *r, const struct rein_step *t, struct rein_batch *b)
{
	const struct fbf *s = self;
	const struct rein_goal away = { 0, b->y, REIN_NONE };
	rein_val epsilon = rein_knob(r, "epsilon", s->epsilon), u;
	if (rein_dtype(r, b->y) != REIN_I32_T) {
		rein_refuse(r, "fbf needs class numbers as targets");
		return;
	}
	u = rein_random_like(r, "start", REIN_UNIFORM, REIN_PER_SAMPLE, b->x);
	u = rein_mul(r, rein_offset(r, rein_scale(r, u, 2), -1), epsilon);
	rein_val at = rein_box(r, t->model, rein_add(r, b->x, u)), g = rein_goal_grad(r, t->model, &away, at);
	at = rein_add(r, at, rein_mul(r, rein_sign(r, g), rein_scale(r, epsilon, s->alpha)));
	b->x = rein_stop(r, rein_project(r, t->model, at, b->x, epsilon, REIN_LINF));
}

static const struct rein_regularizer_vt fbf_vt = { .struct_size = sizeof fbf_vt, .inputs = fbf_inputs };
REIN_COMPONENT(fbf, REIN_REGULARIZER, struct fbf, fbf_keys, &fbf_vt,
               .summary = "adversarial training with one step from a random start", .reference = "Wong et al. 2020");
REIN_PLUGIN("fbf", "1.0.0", "MIT", &fbf_component)
