/* SPDX-License-Identifier: MIT
 *
 * rotate: turned about the middle by an angle uniform in degrees=, against the clock. Each
 * pixel is taken from where it was: R(-angle) (i,j), nearest by default.
 */
#include "rein/rein.h"

static const char *const interpolation_choices[] = { "nearest", "bilinear", NULL };

struct rotate {
	struct rein_reals degrees;
	int32_t interpolation;
	double fill;
};
static const struct rein_key rotate_keys[] = {
	REIN_REALS(struct rotate, degrees, NULL, -360, 360, 0, "the angle: from,to; one number d stands for -d,d"),
	REIN_ENUM(struct rotate, interpolation, "nearest", interpolation_choices, "between pixels"),
	REIN_REAL(struct rotate, fill, "0", -1e6, 1e6, 0, "value of what comes from outside; pixels are 0..1"),
	REIN_KEYS_END
};

static rein_status rotate_create(void *self, const struct rein_host *h)
{
	const struct rotate *s = self;
	return rein_range_check(h, "degrees", &s->degrees);
}

static void rotate_record(const void *self, struct rein_rec *r, const struct rein_step *t, struct rein_batch *b)
{
	const struct rotate *s = self;
	struct rein_range range = rein_range_of(&s->degrees, 0, -360);
	rein_val m[6], zero = rein_scalar(r, 0);
	(void)t;
	if (!rein_is_image(r, b->x))
		return;
	rein_val angle = rein_scale(r, rein_draw(r, "angle", b->x, range.lo, range.hi), 3.14159265358979323846 / 180);
	m[0] = m[4] = rein_cos(r, angle);
	m[3] = rein_sin(r, angle);
	m[1] = rein_neg(r, m[3]);
	m[2] = m[5] = zero;
	b->x = rein_affine(r, b->x, m, s->interpolation ? REIN_BILINEAR : REIN_NEAREST, s->fill);
}

static const struct rein_augmentation_vt rotate_vt = { .struct_size = sizeof rotate_vt, .record = rotate_record };
REIN_COMPONENT(rotate, REIN_AUGMENTATION, struct rotate, rotate_keys, &rotate_vt, .create = rotate_create,
               .summary = "turned about the middle by a random angle",
               .reference = "torchvision.transforms.RandomRotation");
REIN_PLUGIN("rotate", "1.0.0", "MIT", &rotate_component)
