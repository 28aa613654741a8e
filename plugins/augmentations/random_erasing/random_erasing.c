/* SPDX-License-Identifier: MIT
 *
 * random_erasing: a box of random area and shape is replaced by value= or by noise. Area is
 * uniform in scale= (shares of the image), the logarithm of height / width uniform between
 * those of ratio=; the first of ten tries with height and width less than the image's, else
 * nothing happens.
 */
#include "rein/rein.h"

#define TRIES 10

enum { WITH_CONSTANT, WITH_NOISE };
static const char *const with_choices[] = { "constant", "noise", NULL };

struct random_erasing {
	struct rein_reals scale, ratio;
	int32_t with;
	double value;
};
static const struct rein_key random_erasing_keys[] = {
	REIN_REALS(struct random_erasing, scale, "0.02,0.33", 1e-6, 1, 0,
	           "area of the box: from,to, as shares of the image"),
	REIN_REALS(struct random_erasing, ratio, "0.3,3.3", 1e-3, 1e3, 0, "height / width: from,to"),
	REIN_ENUM(struct random_erasing, with, "constant", with_choices,
	          "what the box holds: value=, or N(0,1) in each pixel"),
	REIN_REAL(struct random_erasing, value, "0", -1e6, 1e6, 0, "of a constant box; pixels are 0..1"), REIN_KEYS_END
};

static rein_status random_erasing_create(void *self, const struct rein_host *h)
{
	const struct random_erasing *s = self;
	if (s->scale.n != 2 || s->ratio.n != 2)
		return rein_failf(h, "scale= and ratio= take two numbers: from,to");
	return rein_range_check(h, "scale", &s->scale) < 0 ? REIN_ERROR : rein_range_check(h, "ratio", &s->ratio);
}

/* Height and width of the box, (N) each, and whether there is one. */
static rein_val sizes(const struct random_erasing *s, struct rein_rec *r, rein_val x, rein_val size[2])
{
	double side[2] = { (double)rein_dim(r, x, 2), (double)rein_dim(r, x, 3) };
	int64_t n = rein_dim(r, x, 0), tries[2] = { n, TRIES }, row[2] = { n, 1 };
	double from = log(s->ratio.v[0]), to = log(s->ratio.v[1]), area = side[0] * side[1];
	rein_val u = rein_random(r, "area", REIN_UNIFORM, REIN_PER_SAMPLE, 2, tries), tried[2];
	rein_val v = rein_random(r, "shape", REIN_UNIFORM, REIN_PER_SAMPLE, 2, tries);
	u = rein_scale(r, rein_offset(r, rein_scale(r, u, s->scale.v[1] - s->scale.v[0]), s->scale.v[0]), area);
	v = rein_exp(r, rein_offset(r, rein_scale(r, v, to - from), from));
	tried[0] = rein_rint(r, rein_sqrt(r, rein_mul(r, u, v)));
	tried[1] = rein_rint(r, rein_sqrt(r, rein_div(r, u, v)));
	rein_val good =
		rein_and(r, rein_lt(r, tried[0], rein_scalar(r, side[0])), rein_lt(r, tried[1], rein_scalar(r, side[1])));
	rein_val pick = rein_reshape(r, rein_argmax(r, rein_cast(r, good, REIN_REAL_T)), 2, row);
	for (int k = 0; k < 2; k++)
		size[k] = rein_reshape(r, rein_take(r, tried[k], pick, 1), 1, &n);
	return rein_amax(r, good, REIN_AXIS(1), 0);
}

static void random_erasing_record(const void *self, struct rein_rec *r, const struct rein_step *t, struct rein_batch *b)
{
	const struct random_erasing *s = self;
	rein_val size[2], first[2], x = b->x;
	(void)t;
	if (!rein_is_image(r, x))
		return;
	rein_val there = sizes(s, r, x, size);
	for (int k = 0; k < 2; k++) {
		rein_val room = rein_sub(r, rein_scalar(r, (double)rein_dim(r, x, 2 + k)), size[k]);
		rein_val at = rein_draw_below(r, k ? "left" : "top", x, rein_offset(r, room, 1));
		first[k] = rein_cast(r, at, REIN_REAL_T);
	}
	rein_val box =
		rein_inside(r, x, first[0], first[1], rein_add(r, first[0], size[0]), rein_add(r, first[1], size[1]));
	rein_val with = rein_scalar(r, s->value);
	if (s->with == WITH_NOISE)
		with = rein_random_like(r, "noise", REIN_NORMAL, REIN_PER_SAMPLE, x);
	b->x = rein_where(r, rein_and(r, box, rein_per_image(r, there)), with, x);
}

static const struct rein_augmentation_vt random_erasing_vt = { .struct_size = sizeof random_erasing_vt,
	                                                           .record = random_erasing_record,
	                                                           .p = 0.5 };
REIN_COMPONENT(
	random_erasing, REIN_AUGMENTATION, struct random_erasing, random_erasing_keys, &random_erasing_vt,
	.create = random_erasing_create, .summary = "a random box is erased; p=0.5 by default",
	.reference = "Zhong et al., Random Erasing Data Augmentation, 2020; torchvision.transforms.RandomErasing");
REIN_PLUGIN("random_erasing", "1.0.0", "MIT", &random_erasing_component)
