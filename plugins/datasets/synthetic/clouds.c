/* SPDX-License-Identifier: MIT
 *
 * clouds.c: points in space with a class: blobs, moons, points; and the random set.
 * Sample i is of class i mod classes, so that every run of samples is balanced.
 */
#include "synthetic.h"

static rein_status cloud_info(struct rein_dataset_info *o, int64_t samples, int64_t features, int64_t classes)
{
	o->dtype = REIN_REAL_T;
	o->rank = 1;
	o->dim[0] = features;
	o->target = REIN_TARGET_CLASS;
	o->classes = classes;
	o->count = samples;
	return REIN_OK;
}

/* --- blobs -------------------------------------------------------------------------------- */
static rein_status blobs_info(void *self, struct rein_dataset_info *o)
{
	const struct clouds *s = self;
	return cloud_info(o, s->samples, s->features, s->classes);
}

static rein_status blobs_read(const void *self, const struct rein_host *h, int64_t i, void *x, void *y)
{
	const struct clouds *s = self;
	int64_t k = i % s->classes;
	(void)h;
	for (int64_t j = 0; x && j < s->features; j++) {
		double centre = 2 * uniform(s->seed, -1 - k, (uint64_t)j) - 1;
		((float *)x)[j] = (float)(centre + s->spread * normal(s->seed, i, (uint64_t)j));
	}
	*(int32_t *)y = (int32_t)k;
	return REIN_OK;
}

const struct rein_dataset_vt blobs_vt = { .struct_size = sizeof blobs_vt, .info = blobs_info, .read = blobs_read };

/* --- moons: (cos t, sin t) and (1 - cos t, 1/2 - sin t), t in 0..pi ------------------------- */
static rein_status pair_info(void *self, struct rein_dataset_info *o)
{
	const struct clouds *s = self;
	return cloud_info(o, s->samples, 2, 2);
}

static rein_status moons_read(const void *self, const struct rein_host *h, int64_t i, void *x, void *y)
{
	const struct clouds *s = self;
	double t = PI * uniform(s->seed, i, 4), u = cos(t), v = sin(t);
	float *out = x;
	(void)h;
	if (out) {
		out[0] = (float)((i % 2 ? 1 - u : u) + s->spread * normal(s->seed, i, 0));
		out[1] = (float)((i % 2 ? 0.5 - v : v) + s->spread * normal(s->seed, i, 1));
	}
	*(int32_t *)y = (int32_t)(i % 2);
	return REIN_OK;
}

const struct rein_dataset_vt moons_vt = { .struct_size = sizeof moons_vt, .info = pair_info, .read = moons_read };

/* --- points: x = mean + L z, with L L' the covariance of the class -------------------------- */
static const struct {
	double mean[2], var[2], cov;
} grades[2] = {
	{ { 0.68608, 0.69901 }, { 0.01414, 0.01857 }, 0.00206 }, /* turned down */
	{ { 0.35510, 0.34031 }, { 0.02488, 0.02670 }, 0.00158 }, /* admitted */
};

static rein_status points_read(const void *self, const struct rein_host *h, int64_t i, void *x, void *y)
{
	const struct clouds *s = self;
	int32_t k = (int32_t)(i % 2);
	double a = sqrt(grades[k].var[0]), b = grades[k].cov / a, c = sqrt(grades[k].var[1] - b * b);
	double z0 = normal(s->seed, i, 0), z1 = normal(s->seed, i, 1);
	float *out = x;
	(void)h;
	if (out) {
		out[0] = (float)(grades[k].mean[0] + a * z0);
		out[1] = (float)(grades[k].mean[1] + b * z0 + c * z1);
	}
	*(int32_t *)y = k;
	return REIN_OK;
}

const struct rein_dataset_vt points_vt = { .struct_size = sizeof points_vt, .info = pair_info, .read = points_read };

/* --- random ------------------------------------------------------------------------------- */
rein_status random_set_create(void *self, const struct rein_host *h)
{
	const struct random_set *s = self;
	double n = 1;
	if (s->shape.n != 1 && s->shape.n != 3)
		return rein_failf(h, "shape= has %lld numbers; a sample is D or C,H,W", (long long)s->shape.n);
	for (int64_t i = 0; i < s->shape.n; i++)
		n *= (double)s->shape.v[i];
	return n <= 0x1p31 ? REIN_OK : rein_failf(h, "shape= asks for %.3g numbers per sample; at most 2^31", n);
}

static rein_status random_set_info(void *self, struct rein_dataset_info *o)
{
	const struct random_set *s = self;
	o->dtype = REIN_REAL_T;
	o->rank = (uint32_t)s->shape.n;
	for (int64_t i = 0; i < s->shape.n; i++)
		o->dim[i] = s->shape.v[i];
	o->count = s->samples;
	o->target = s->target == TARGET_CLASS ? REIN_TARGET_CLASS : REIN_TARGET_REAL;
	o->classes = s->target == TARGET_CLASS ? s->classes : 0;
	o->target_dim = s->target == TARGET_CLASS ? 0 : s->targets;
	return REIN_OK;
}

/* Sample i draws its target from stream 2i + 1, its numbers from stream 2i. */
static rein_status random_set_read(const void *self, const struct rein_host *h, int64_t i, void *x, void *y)
{
	const struct random_set *s = self;
	int64_t n = 1;
	(void)h;
	for (int64_t k = 0; k < s->shape.n; k++)
		n *= s->shape.v[k];
	for (int64_t j = 0; x && j < n; j++)
		((float *)x)[j] = (float)normal(s->seed, 2 * i, (uint64_t)j);
	if (s->target == TARGET_CLASS)
		*(int32_t *)y = (int32_t)(bits(s->seed, 2 * i + 1, 0) % (uint64_t)s->classes);
	for (int64_t j = 0; s->target == TARGET_REAL && j < s->targets; j++)
		((float *)y)[j] = (float)normal(s->seed, 2 * i + 1, (uint64_t)j);
	return REIN_OK;
}

const struct rein_dataset_vt random_set_vt = { .struct_size = sizeof random_set_vt,
	                                           .info = random_set_info,
	                                           .read = random_set_read };
