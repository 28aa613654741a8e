/* SPDX-License-Identifier: MIT
 *
 * augmix: (1 - m) x + m sum_i w_i chain_i(x), m ~ Beta(1,1), w ~ Dirichlet(1,...) over width=
 * chains of one to three changes each, drawn from thirteen at magnitude bins below severity= of
 * ten. The magnitudes are those of torchvision's AugMix.
 */
#include "rein/rein.h"

#define BINS      10
#define DEPTH_MAX 8
#define WIDTH_MAX 8

static const char *const interpolation_choices[] = { "nearest", "bilinear", NULL };

struct augmix {
	int64_t severity, width, depth;
	const char *ops;
	int32_t interpolation;
	double fill;
};
static const struct rein_key augmix_keys[] = {
	REIN_INT(struct augmix, severity, "3", 1, BINS, "magnitudes are drawn from the first so many of ten"),
	REIN_INT(struct augmix, width, "3", 1, WIDTH_MAX, "chains that are mixed"),
	REIN_INT(struct augmix, depth, "0", 0, DEPTH_MAX, "changes in a chain; 0: 1 to 3, drawn for each"),
	REIN_STRING(struct augmix, ops, "", "names chosen from, as rotate,color; empty: all thirteen"),
	REIN_ENUM(struct augmix, interpolation, "bilinear", interpolation_choices, "between pixels"),
	REIN_REAL(struct augmix, fill, "0", -1e6, 1e6, 0, "value of what comes from outside; pixels are 0..1"),
	REIN_KEYS_END
};

static void table(struct rein_policy *p, double height, double width)
{
	*p = (struct rein_policy){ .bins = BINS };
	rein_policy_row(p, REIN_DO_SHEAR_X, 0, 0.3);
	rein_policy_row(p, REIN_DO_SHEAR_Y, 0, 0.3);
	rein_policy_row(p, REIN_DO_TRANSLATE_X, 0, width / 3);
	rein_policy_row(p, REIN_DO_TRANSLATE_Y, 0, height / 3);
	rein_policy_row(p, REIN_DO_ROTATE, 0, 30);
	rein_policy_row(p, REIN_DO_POSTERIZE, 0, 0);
	for (int64_t i = 0; i < BINS; i++) /* 4 - round(i / (9/4)) */
		p->magnitude[(p->n - 1) * BINS + i] = 4 - rint((double)i / ((BINS - 1) / 4.0));
	rein_policy_row(p, REIN_DO_SOLARIZE, 1, 0);
	rein_policy_row(p, REIN_DO_AUTOCONTRAST, 0, 0);
	rein_policy_row(p, REIN_DO_EQUALIZE, 0, 0);
	for (int k = REIN_DO_BRIGHTNESS; k <= REIN_DO_SHARPNESS; k++)
		rein_policy_row(p, k, 0, 0.9);
}

static rein_status augmix_create(void *self, const struct rein_host *h)
{
	const struct augmix *s = self;
	struct rein_policy p;
	table(&p, 1, 1);
	return rein_policy_only(&p, h, s->ops);
}

static rein_val chain(const struct augmix *s, struct rein_rec *r, const struct rein_policy *p, rein_val x)
{
	rein_val left = rein_draw_below(r, "depth", x, rein_scalar(r, 3)), kind, magnitude; /* changes after the first */
	int64_t most = s->depth ? s->depth : 3;
	for (int64_t i = 0; i < most; i++) {
		rein_val bin = rein_draw_below(r, "bin", x, rein_scalar(r, (double)s->severity));
		rein_policy_draw(r, p, x, bin, &kind, &magnitude);
		if (!s->depth)
			kind =
				rein_where(r, rein_lt(r, left, rein_scalar_i(r, (int32_t)i)), rein_scalar_i(r, REIN_DO_NOTHING), kind);
		x = rein_policy_apply(r, p, x, kind, magnitude, s->interpolation ? REIN_BILINEAR : REIN_NEAREST, s->fill);
	}
	return x;
}

static void augmix_record(const void *self, struct rein_rec *r, const struct rein_step *t, struct rein_batch *b)
{
	const struct augmix *s = self;
	struct rein_policy p;
	rein_val x = b->x, sum = REIN_NONE, one = rein_scalar(r, 1);
	(void)t;
	if (!rein_is_image(r, x))
		return;
	int64_t n = rein_dim(r, x, 0), drawn[2] = { n, s->width };
	table(&p, (double)rein_dim(r, x, 2), (double)rein_dim(r, x, 3));
	rein_policy_only(&p, NULL, s->ops);
	rein_val m = rein_draw(r, "mix", x, 0, 1);
	/* Dirichlet(1,...): exponential draws over their sum; 1 - u is never 0 */
	rein_val e = rein_random(r, "weight", REIN_UNIFORM, REIN_PER_SAMPLE, 2, drawn);
	e = rein_offset(r, rein_neg(r, rein_log(r, rein_sub(r, one, e))), 1e-12);
	rein_val w = rein_div(r, e, rein_sum_over(r, e, REIN_AXIS(1), REIN_KEEP));
	for (int64_t i = 0; i < s->width; i++) {
		rein_val share = rein_reshape(r, rein_narrow(r, w, 1, i, 1), 1, &n);
		rein_val part = rein_mul(r, chain(s, r, &p, x), rein_per_image(r, share));
		sum = i ? rein_add(r, sum, part) : part;
	}
	b->x = rein_lerp(r, x, sum, rein_per_image(r, m));
}

static const struct rein_augmentation_vt augmix_vt = { .struct_size = sizeof augmix_vt, .record = augmix_record };
REIN_COMPONENT(augmix, REIN_AUGMENTATION, struct augmix, augmix_keys, &augmix_vt, .create = augmix_create,
               .summary = "chains of changes, mixed with each other and the original",
               .reference = "Hendrycks et al., AugMix, 2020; torchvision.transforms.AugMix");
REIN_PLUGIN("augmix", "1.0.0", "MIT", &augmix_component)
