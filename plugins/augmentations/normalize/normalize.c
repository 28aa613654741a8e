/* SPDX-License-Identifier: MIT
 *
 * normalize: (x - mean) / std, per channel or with one value for all. The core keeps mean
 * and std with the model, so that attacks work on pixels.
 */
#include "rein/rein.h"

struct normalize {
	struct rein_reals mean, std; /* of equal length after create() */
	double *repeated;            /* the shorter of the two, repeated */
};

static const struct rein_key normalize_keys[] = {
	REIN_REALS(struct normalize, mean, NULL, -1e30, 1e30, 0, "subtracted: one number, or one per channel"),
	REIN_REALS(struct normalize, std, NULL, 0, 1e30, REIN_KEY_OVER_MIN, "divided by: one number, or one per channel"),
	REIN_KEYS_END
};

static rein_status normalize_create(void *self, const struct rein_host *h)
{
	struct normalize *s = self;
	struct rein_reals *one = s->mean.n < s->std.n ? &s->mean : &s->std;
	int64_t n = s->mean.n < s->std.n ? s->std.n : s->mean.n;
	if (one->n == n)
		return REIN_OK;
	if (one->n != 1)
		return rein_failf(h, "mean= has %lld numbers, std= has %lld", (long long)s->mean.n, (long long)s->std.n);
	s->repeated = h->alloc(h, (uint64_t)n * sizeof *s->repeated);
	if (!s->repeated)
		return REIN_ERROR;
	for (int64_t i = 0; i < n; i++)
		s->repeated[i] = one->v[0];
	one->v = s->repeated;
	one->n = n;
	return REIN_OK;
}

static void normalize_destroy(void *self, const struct rein_host *h)
{
	struct normalize *s = self;
	h->free(h, s->repeated);
}

/* The numbers as (1,C,1,1) for x (N,C,H,W), (1,C) for (N,C), or a scalar. */
static rein_val per_channel(struct rein_rec *r, rein_val x, const struct rein_reals *v)
{
	int64_t dim[REIN_MAX_RANK] = { 1, v->n, 1, 1, 1, 1 };
	int32_t rank = rein_rank(r, x);
	if (v->n == 1)
		return rein_scalar(r, v->v[0]);
	if (rank >= 2 && rein_dim(r, x, 1) != v->n)
		rein_refuse(r, "mean= and std= have another number of entries than the data have channels");
	return rein_const(r, REIN_REAL_T, rank < 2 ? 2u : (uint32_t)rank, dim, v->v);
}

static void normalize_record(const void *self, struct rein_rec *r, const struct rein_step *t, struct rein_batch *b)
{
	const struct normalize *s = self;
	(void)t;
	b->x = rein_div(r, rein_sub(r, b->x, per_channel(r, b->x, &s->mean)), per_channel(r, b->x, &s->std));
}

static rein_status normalize_affine(const void *self, int64_t *n, const double **mean, const double **std)
{
	const struct normalize *s = self;
	*n = s->mean.n;
	*mean = s->mean.v;
	*std = s->std.v;
	return REIN_OK;
}

static const struct rein_augmentation_vt normalize_vt = { .struct_size = sizeof normalize_vt,
	                                                      .record = normalize_record,
	                                                      .affine = normalize_affine };

REIN_COMPONENT(normalize, REIN_AUGMENTATION, struct normalize, normalize_keys, &normalize_vt,
               .create = normalize_create, .destroy = normalize_destroy, .summary = "(x - mean) / std",
               .reference = "torchvision.transforms.Normalize");
REIN_PLUGIN("normalize", "1.0.0", "MIT", &normalize_component)
