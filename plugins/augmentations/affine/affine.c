/* SPDX-License-Identifier: MIT
 *
 * affine: turned, shifted, scaled and sheared about the middle, each by a random amount:
 * angle in degrees= (with the clock), shift in +-translate= of the side (rounded to whole pixels), scale= as a
 * factor, shear= in degrees along x and y. Nearest by default.
 */
#include "rein/rein.h"

static const char *const interpolation_choices[] = { "nearest", "bilinear", NULL };

struct affine {
	struct rein_reals degrees, translate, scale, shear;
	int32_t interpolation;
	double fill;
};
static const struct rein_key affine_keys[] = {
	REIN_REALS(struct affine, degrees, "0", -360, 360, 0, "the angle: from,to; one number d stands for -d,d"),
	REIN_REALS(struct affine, translate, "0", 0, 1, 0, "largest shift, as shares of width,height; one number for both"),
	REIN_REALS(struct affine, scale, "1,1", 1e-3, 1e3, 0, "factor: from,to; 2 is twice as large"),
	REIN_REALS(struct affine, shear, "0", -89, 89, 0,
	           "degrees: a: -a,a along x; from,to along x; from,to along x and from,to along y"),
	REIN_ENUM(struct affine, interpolation, "nearest", interpolation_choices, "between pixels"),
	REIN_REAL(struct affine, fill, "0", -1e6, 1e6, 0, "value of what comes from outside; pixels are 0..1"),
	REIN_KEYS_END
};

static rein_status affine_create(void *self, const struct rein_host *h)
{
	const struct affine *s = self;
	struct rein_reals y = { 2, s->shear.v + 2 }, x = { s->shear.n > 2 ? 2 : s->shear.n, s->shear.v };
	if (rein_range_check(h, "degrees", &s->degrees) < 0 || rein_range_check(h, "shear", &x) < 0)
		return REIN_ERROR;
	if (s->translate.n > 2 || s->scale.n != 2 || (s->shear.n > 2 && s->shear.n != 4))
		return rein_failf(h, "translate= takes one or two numbers, scale= two, shear= one, two or four");
	if (s->shear.n == 4 && rein_range_check(h, "shear", &y) < 0)
		return REIN_ERROR;
	return rein_range_check(h, "scale", &s->scale);
}

static void affine_record(const void *self, struct rein_rec *r, const struct rein_step *t, struct rein_batch *b)
{
	const struct affine *s = self;
	struct rein_range turn = rein_range_of(&s->degrees, 0, -360), shear[2] = { { 0, 0 }, { 0, 0 } };
	struct rein_reals part = { s->shear.n > 2 ? 2 : s->shear.n, s->shear.v };
	rein_val shift[2], m[6], slant[2];
	(void)t;
	if (!rein_is_image(r, b->x))
		return;
	shear[0] = rein_range_of(&part, 0, -89);
	if (s->shear.n == 4)
		shear[1] = (struct rein_range){ s->shear.v[2], s->shear.v[3] };
	for (int k = 0; k < 2; k++) {
		double most = s->translate.v[s->translate.n > 1 ? k : 0] * (double)rein_dim(r, b->x, k ? 2 : 3);
		shift[k] = rein_rint(r, rein_draw(r, k ? "shift_y" : "shift_x", b->x, -most, most));
		slant[k] = rein_draw(r, k ? "shear_y" : "shear_x", b->x, shear[k].lo, shear[k].hi);
	}
	rein_val angle = rein_draw(r, "angle", b->x, turn.lo, turn.hi);
	rein_val scale = rein_draw(r, "scale", b->x, s->scale.v[0], s->scale.v[1]);
	rein_affine_matrix(r, angle, shift[0], shift[1], scale, slant[0], slant[1], m);
	b->x = rein_affine(r, b->x, m, s->interpolation ? REIN_BILINEAR : REIN_NEAREST, s->fill);
}

static const struct rein_augmentation_vt affine_vt = { .struct_size = sizeof affine_vt, .record = affine_record };
REIN_COMPONENT(affine, REIN_AUGMENTATION, struct affine, affine_keys, &affine_vt, .create = affine_create,
               .summary = "turned, shifted, scaled and sheared by random amounts",
               .reference = "torchvision.transforms.RandomAffine");
REIN_PLUGIN("affine", "1.0.0", "MIT", &affine_component)
