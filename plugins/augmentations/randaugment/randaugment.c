/* SPDX-License-Identifier: MIT
 *
 * randaugment: num_ops= changes one after another, each uniformly one of fourteen, at magnitude
 * bin `magnitude` of `bins`; signs are drawn. Ranges over the bins: shear 0-.3, translation
 * 0-150/331 of the side, rotation 0-30 degrees, brightness, color, contrast and sharpness
 * factors 1 +- 0-.9, posterize 8-4 bits, solarize 255-0.
 */
#include "rein/rein.h"

static const char *const interpolation_choices[] = { "nearest", "bilinear", NULL };

struct randaugment {
	int64_t num_ops, magnitude, bins;
	const char *ops;
	int32_t interpolation;
	double fill;
};
static const struct rein_key randaugment_keys[] = {
	REIN_INT(struct randaugment, num_ops, "2", 1, 16, "changes one after another"),
	REIN_INT(struct randaugment, magnitude, "9", 0, REIN_POLICY_BINS - 1, "bin of the magnitude, from 0"),
	REIN_INT(struct randaugment, bins, "31", 2, REIN_POLICY_BINS, "number of bins"),
	REIN_STRING(struct randaugment, ops, "", "names chosen from, as rotate,color; empty: all fourteen"),
	REIN_ENUM(struct randaugment, interpolation, "nearest", interpolation_choices, "between pixels"),
	REIN_REAL(struct randaugment, fill, "0", -1e6, 1e6, 0, "value of what comes from outside; pixels are 0..1"),
	REIN_KEYS_END
};

static void table(const struct randaugment *s, struct rein_policy *p, double height, double width)
{
	*p = (struct rein_policy){ .bins = s->bins };
	rein_policy_row(p, REIN_DO_NOTHING, 0, 0);
	rein_policy_row(p, REIN_DO_SHEAR_X, 0, 0.3);
	rein_policy_row(p, REIN_DO_SHEAR_Y, 0, 0.3);
	rein_policy_row(p, REIN_DO_TRANSLATE_X, 0, 150.0 / 331 * width);
	rein_policy_row(p, REIN_DO_TRANSLATE_Y, 0, 150.0 / 331 * height);
	rein_policy_row(p, REIN_DO_ROTATE, 0, 30);
	for (int k = REIN_DO_BRIGHTNESS; k <= REIN_DO_SHARPNESS; k++)
		rein_policy_row(p, k, 0, 0.9);
	rein_policy_row(p, REIN_DO_POSTERIZE, 0, 0);
	for (int64_t i = 0; i < p->bins; i++) /* 8 - round(i / ((bins - 1) / 4)) */
		p->magnitude[(p->n - 1) * p->bins + i] = 8 - rint((double)i / ((double)(p->bins - 1) / 4));
	rein_policy_row(p, REIN_DO_SOLARIZE, 1, 0);
	rein_policy_row(p, REIN_DO_AUTOCONTRAST, 0, 0);
	rein_policy_row(p, REIN_DO_EQUALIZE, 0, 0);
}

static rein_status randaugment_create(void *self, const struct rein_host *h)
{
	const struct randaugment *s = self;
	struct rein_policy p;
	if (s->magnitude >= s->bins)
		return rein_failf(h, "magnitude=%lld is none of the %lld bins, which count from 0", (long long)s->magnitude,
		                  (long long)s->bins);
	table(s, &p, 1, 1);
	return rein_policy_only(&p, h, s->ops);
}

static void randaugment_record(const void *self, struct rein_rec *r, const struct rein_step *t, struct rein_batch *b)
{
	const struct randaugment *s = self;
	struct rein_policy p;
	rein_val kind, magnitude;
	(void)t;
	if (!rein_is_image(r, b->x))
		return;
	table(s, &p, (double)rein_dim(r, b->x, 2), (double)rein_dim(r, b->x, 3));
	rein_policy_only(&p, NULL, s->ops);
	for (int64_t i = 0; i < s->num_ops; i++) {
		rein_policy_draw(r, &p, b->x, rein_scalar_i(r, (int32_t)s->magnitude), &kind, &magnitude);
		b->x =
			rein_policy_apply(r, &p, b->x, kind, magnitude, s->interpolation ? REIN_BILINEAR : REIN_NEAREST, s->fill);
	}
}

static const struct rein_augmentation_vt randaugment_vt = { .struct_size = sizeof randaugment_vt,
	                                                        .record = randaugment_record };
REIN_COMPONENT(randaugment, REIN_AUGMENTATION, struct randaugment, randaugment_keys, &randaugment_vt,
               .create = randaugment_create, .summary = "a few of fourteen changes, at one magnitude",
               .reference = "Cubuk et al., RandAugment, 2020; torchvision.transforms.RandAugment");
REIN_PLUGIN("randaugment", "1.0.0", "MIT", &randaugment_component)
