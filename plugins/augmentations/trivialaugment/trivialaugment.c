/* SPDX-License-Identifier: MIT
 *
 * trivialaugment: one of fourteen changes, its magnitude bin uniform; signs are drawn. Ranges over
 * the bins (TrivialAugmentWide): shear 0-.99, translation 0-32 pixels, rotation 0-135 degrees,
 * brightness, color, contrast and sharpness factors 1 +- 0-.99, posterize 8-2 bits, solarize 255-0.
 */
#include "rein/rein.h"

static const char *const interpolation_choices[] = { "nearest", "bilinear", NULL };

struct trivialaugment {
	int64_t bins;
	const char *ops;
	int32_t interpolation;
	double fill;
	struct rein_policy policy;
};
static const struct rein_key trivialaugment_keys[] = {
	REIN_INT(struct trivialaugment, bins, "31", 2, REIN_POLICY_BINS, "number of magnitudes"),
	REIN_STRING(struct trivialaugment, ops, "", "names chosen from, as rotate,color; empty: all fourteen"),
	REIN_ENUM(struct trivialaugment, interpolation, "nearest", interpolation_choices, "between pixels"),
	REIN_REAL(struct trivialaugment, fill, "0", -1e6, 1e6, 0, "value of what comes from outside; pixels are 0..1"),
	REIN_KEYS_END
};

static rein_status trivialaugment_create(void *self, const struct rein_host *h)
{
	struct trivialaugment *s = self;
	struct rein_policy *p = &s->policy;
	p->bins = s->bins;
	rein_policy_row(p, REIN_DO_NOTHING, 0, 0);
	rein_policy_row(p, REIN_DO_SHEAR_X, 0, 0.99);
	rein_policy_row(p, REIN_DO_SHEAR_Y, 0, 0.99);
	rein_policy_row(p, REIN_DO_TRANSLATE_X, 0, 32);
	rein_policy_row(p, REIN_DO_TRANSLATE_Y, 0, 32);
	rein_policy_row(p, REIN_DO_ROTATE, 0, 135);
	for (int k = REIN_DO_BRIGHTNESS; k <= REIN_DO_SHARPNESS; k++)
		rein_policy_row(p, k, 0, 0.99);
	rein_policy_row(p, REIN_DO_POSTERIZE, 0, 0);
	for (int64_t i = 0; i < p->bins; i++) /* 8 - round(i / ((bins - 1) / 6)) */
		p->magnitude[(p->n - 1) * p->bins + i] = 8 - rint((double)i / ((double)(p->bins - 1) / 6));
	rein_policy_row(p, REIN_DO_SOLARIZE, 1, 0);
	rein_policy_row(p, REIN_DO_AUTOCONTRAST, 0, 0);
	rein_policy_row(p, REIN_DO_EQUALIZE, 0, 0);
	return rein_policy_only(p, h, s->ops);
}

static void trivialaugment_record(const void *self, struct rein_rec *r, const struct rein_step *t, struct rein_batch *b)
{
	const struct trivialaugment *s = self;
	rein_val kind, magnitude;
	(void)t;
	if (!rein_is_image(r, b->x))
		return;
	rein_val bin = rein_draw_below(r, "bin", b->x, rein_scalar(r, (double)s->bins));
	rein_policy_draw(r, &s->policy, b->x, bin, &kind, &magnitude);
	b->x = rein_policy_apply(r, &s->policy, b->x, kind, magnitude, s->interpolation ? REIN_BILINEAR : REIN_NEAREST,
	                         s->fill);
}

static const struct rein_augmentation_vt trivialaugment_vt = { .struct_size = sizeof trivialaugment_vt,
	                                                           .record = trivialaugment_record };
REIN_COMPONENT(trivialaugment, REIN_AUGMENTATION, struct trivialaugment, trivialaugment_keys, &trivialaugment_vt,
               .create = trivialaugment_create, .summary = "one of fourteen changes, at a random magnitude",
               .reference = "Mueller and Hutter, TrivialAugment, 2021; torchvision.transforms.TrivialAugmentWide");
REIN_PLUGIN("trivialaugment", "1.0.0", "MIT", &trivialaugment_component)
