/* SPDX-License-Identifier: MIT
 *
 * gaussian_noise: x + sigma e, e ~ N(0,1) for each number, clipped to 0..1; sigma is drawn for
 * each sample where it is a range.
 */
#include "rein/rein.h"

struct gaussian_noise {
	struct rein_reals sigma;
	int32_t clip;
};
static const struct rein_key gaussian_noise_keys[] = {
	REIN_REALS(struct gaussian_noise, sigma, "0.1", 0, 1e6, 0,
	           "standard deviation: a number, or from,to; pixels are 0..1"),
	REIN_BOOL(struct gaussian_noise, clip, "yes", "the result is held to 0..1"), REIN_KEYS_END
};

static rein_status gaussian_noise_create(void *self, const struct rein_host *h)
{
	const struct gaussian_noise *s = self;
	return rein_range_check(h, "sigma", &s->sigma);
}

static void gaussian_noise_record(const void *self, struct rein_rec *r, const struct rein_step *t, struct rein_batch *b)
{
	const struct gaussian_noise *s = self;
	(void)t;
	rein_val sigma = rein_draw(r, "sigma", b->x, s->sigma.v[0], s->sigma.v[s->sigma.n - 1]);
	rein_val e = rein_random_like(r, "noise", REIN_NORMAL, REIN_PER_SAMPLE, b->x);
	rein_val y = rein_add(r, b->x, rein_mul(r, e, rein_along(r, sigma, b->x, 0)));
	b->x = s->clip ? rein_clip(r, y, 0, 1) : y;
}

static const struct rein_augmentation_vt gaussian_noise_vt = { .struct_size = sizeof gaussian_noise_vt,
	                                                           .record = gaussian_noise_record };
REIN_COMPONENT(gaussian_noise, REIN_AUGMENTATION, struct gaussian_noise, gaussian_noise_keys, &gaussian_noise_vt,
               .create = gaussian_noise_create, .summary = "adds N(0, sigma^2) to every pixel",
               .reference = "torchvision.transforms.v2.GaussianNoise; albumentations.GaussNoise");
REIN_PLUGIN("gaussian_noise", "1.0.0", "MIT", &gaussian_noise_component)
