/* SPDX-License-Identifier: MIT
 *
 * blur: a Gaussian filter of kernel= pixels, exp(-i^2 / 2 sigma^2) normalised, along rows and
 * then columns; sigma is drawn for each image; the image is mirrored at its edge.
 */
#include "rein/rein.h"

struct blur {
	struct rein_ints kernel;
	struct rein_reals sigma;
};
static const struct rein_key blur_keys[] = {
	REIN_INTS(struct blur, kernel, "3", 1, 101, 0, "height,width of the filter, odd; one number stands for both"),
	REIN_REALS(struct blur, sigma, "0.1,2", 1e-3, 1e3, 0, "standard deviation in pixels: a number, or from,to"),
	REIN_KEYS_END
};

static rein_status blur_create(void *self, const struct rein_host *h)
{
	const struct blur *s = self;
	if (s->kernel.n > 2 || s->kernel.v[0] % 2 == 0 || s->kernel.v[s->kernel.n - 1] % 2 == 0)
		return rein_failf(h, "kernel= takes one or two odd numbers");
	return rein_range_check(h, "sigma", &s->sigma);
}

/* The axis (2 or 3) longer by `half` at both ends: -1 is 1, n is n - 2. */
static rein_val mirrored(struct rein_rec *r, rein_val x, uint32_t axis, int64_t half)
{
	int64_t n = rein_dim(r, x, (int32_t)axis), m = n + 2 * half, shape[4] = { 1, 1, 1, m };
	int32_t *at = (int32_t *)(void *)rein_vals(r, (uint32_t)m);
	if (!at)
		return x;
	for (int64_t i = 0; i < m; i++) {
		int64_t k = i - half < 0 ? half - i : i - half;
		at[i] = (int32_t)(k >= n ? 2 * (n - 1) - k : k);
	}
	return rein_take(r, x, rein_const(r, REIN_I32_T, axis + 1, shape + 3 - axis, at), axis);
}

/* sum over k of w(k) x(i + k), w (N) each, along an axis */
static rein_val filter(struct rein_rec *r, rein_val x, uint32_t axis, int64_t size, rein_val sigma)
{
	int64_t half = size / 2, n = rein_dim(r, x, (int32_t)axis);
	rein_val long_x = mirrored(r, x, axis, half), sum = REIN_NONE, total = rein_scalar(r, 1);
	rein_val *w = rein_vals(r, (uint32_t)(half + 1));
	if (!w || size == 1)
		return x;
	for (int64_t k = 1; k <= half; k++) {
		rein_val z = rein_div(r, rein_scalar(r, (double)k), sigma);
		w[k] = rein_exp(r, rein_scale(r, rein_square(r, z), -0.5));
		total = rein_add(r, total, rein_scale(r, w[k], 2));
	}
	w[0] = rein_like(r, sigma, 1);
	for (int64_t k = 0; k < size; k++) {
		rein_val weight = rein_per_image(r, rein_div(r, w[k < half ? half - k : k - half], total));
		rein_val part = rein_mul(r, rein_narrow(r, long_x, axis, k, n), weight);
		sum = k ? rein_add(r, sum, part) : part;
	}
	return sum;
}

static void blur_record(const void *self, struct rein_rec *r, const struct rein_step *t, struct rein_batch *b)
{
	const struct blur *s = self;
	int64_t size[2] = { s->kernel.v[0], s->kernel.v[s->kernel.n - 1] };
	(void)t;
	if (!rein_is_image(r, b->x))
		return;
	if (size[0] / 2 >= rein_dim(r, b->x, 2) || size[1] / 2 >= rein_dim(r, b->x, 3)) {
		rein_refuse(r, "kernel= is too large: half of it must be less than the image's side");
		return;
	}
	rein_val sigma = rein_draw(r, "sigma", b->x, s->sigma.v[0], s->sigma.v[s->sigma.n - 1]);
	b->x = filter(r, filter(r, b->x, 3, size[1], sigma), 2, size[0], sigma);
}

static const struct rein_augmentation_vt blur_vt = { .struct_size = sizeof blur_vt, .record = blur_record };
REIN_COMPONENT(blur, REIN_AUGMENTATION, struct blur, blur_keys, &blur_vt, .create = blur_create,
               .summary = "Gaussian filter with a random width", .reference = "torchvision.transforms.GaussianBlur");
REIN_PLUGIN("blur", "1.0.0", "MIT", &blur_component)
