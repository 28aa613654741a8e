/* SPDX-License-Identifier: MIT
 *
 * batchnorm: y = (x - mean) / sqrt(var + eps) * weight + bias per channel, x (N,C), (N,C,L) or
 * (N,C,H,W), as torch.nn.BatchNorm1d and 2d, with their names in checkpoints.
 *   training     mean and biased variance of the batch; running_mean and running_var move
 *                towards the mean and the unbiased variance: r += momentum (new - r)
 *   evaluation   running_mean and running_var
 *   statistics   as training, but the running values become means over the pass so far
 *                (PyTorch's momentum=None): r += (new - r) / (batches so far + 1)
 * Training is one coarse op, evaluation x * scale + shift, both easy to take together with what
 * follows.
 */
#include "rein/rein.h"

struct batchnorm {
	double momentum, eps;
	int32_t affine;
};
static const struct rein_key batchnorm_keys[] = {
	REIN_REAL(struct batchnorm, momentum, "0.1", 0, 1, 0, "share of the new batch in the running statistics"),
	REIN_REAL(struct batchnorm, eps, "1e-5", 0, 1, REIN_KEY_OVER_MIN, "added to the variance"),
	REIN_BOOL(struct batchnorm, affine, "yes", "learn a weight and a bias per channel"),
	REIN_KEYS_END,
};

struct norm {
	rein_val x, weight, bias; /* weight, bias (C) */
	rein_var mean, var, count;
	uint32_t axes;
	double n; /* values per channel */
};

/* weight and bias along the channels; without affine 1 and 0. False after refusing. */
static int norm_init(const struct batchnorm *s, struct rein_rec *r, struct norm *d, rein_val x)
{
	const struct rein_init one = { sizeof one, REIN_INIT_CONSTANT, 1, 0, REIN_NONE, 0 };
	int32_t rank = rein_rank(r, x);
	int64_t channels = rank >= 2 ? rein_dim(r, x, 1) : 0;

	if (rank < 2 || rank > 4) {
		if (rank >= 0)
			rein_refuse(r, "batchnorm needs (N,C), (N,C,L) or (N,C,H,W)");
		return 0;
	}
	d->x = x;
	d->axes = ((1u << rank) - 1) & ~REIN_AXIS(1);
	d->n = rein_count_over_(r, x, d->axes);
	d->weight = s->affine ? rein_param(r, "weight", 1, &channels, &one) : rein_fill(r, REIN_REAL_T, 1, 1, &channels);
	d->bias = s->affine ? rein_param(r, "bias", 1, &channels, NULL) : rein_fill(r, REIN_REAL_T, 0, 1, &channels);
	d->mean = rein_state(r, "running_mean", REIN_REAL_T, 1, &channels, NULL);
	d->var = rein_state(r, "running_var", REIN_REAL_T, 1, &channels, &one);
	d->count = rein_state(r, "num_batches_tracked", REIN_I32_T, 0, NULL, NULL);
	return 1;
}

static rein_val evaluate(const struct batchnorm *s, struct rein_rec *r, const struct norm *d)
{
	rein_val sigma = rein_sqrt(r, rein_offset(r, rein_read(r, d->var), s->eps));
	rein_val scale = rein_div(r, d->weight, sigma);
	rein_val shift = rein_sub(r, d->bias, rein_mul(r, rein_read(r, d->mean), scale));
	return rein_add(r, rein_mul(r, d->x, rein_along(r, scale, d->x, 1)), rein_along(r, shift, d->x, 1));
}

/* r += share (new - r) */
static void move(struct rein_rec *r, rein_var state, rein_val now, rein_val share)
{
	int64_t channels = rein_dim(r, now, 1);
	rein_val v = rein_reshape(r, rein_stop(r, now), 1, &channels);
	rein_assign(r, state, rein_lerp(r, rein_read(r, state), v, share), REIN_NONE);
}

static rein_val batchnorm_record(const void *self, struct rein_rec *r, const struct rein_call *c)
{
	const struct batchnorm *s = self;
	struct norm d;

	if (!norm_init(s, r, &d, c->in[0]))
		return REIN_NONE;
	if (c->mode == REIN_EVAL)
		return evaluate(s, r, &d);
	if (d.n < 2) {
		rein_refuse(r, "training needs more than one value per channel, and a batch of one row has one: choose a "
		               "batch= that leaves no single row at the end");
		return REIN_NONE;
	}
	struct rein_attr a = { sizeof a, d.axes, 0, 0, 0, 0, { 0 }, { 0 }, { 0 }, { s->eps }, NULL };
	rein_val in[3] = { d.x, rein_along(r, d.weight, d.x, 1), rein_along(r, d.bias, d.x, 1) }, out[3];
	rein_op(r, REIN_OP_BATCH_NORM, 3, in, &a, 3, out);
	if (!(c->flags & REIN_KEEP_STATE)) {
		rein_val n = rein_read(r, d.count), more = rein_add(r, n, rein_scalar_i(r, 1));
		rein_val share = c->mode == REIN_STATS ? rein_div(r, rein_scalar(r, 1), rein_cast(r, more, REIN_REAL_T))
		                                       : rein_scalar(r, s->momentum);
		move(r, d.mean, out[1], share);
		move(r, d.var, rein_scale(r, out[2], d.n / (d.n - 1)), share);
		rein_assign(r, d.count, more, REIN_NONE);
	}
	return out[0];
}

static const struct rein_layer_vt batchnorm_vt = { .struct_size = sizeof batchnorm_vt, .record = batchnorm_record };
REIN_COMPONENT(batchnorm, REIN_LAYER, struct batchnorm, batchnorm_keys, &batchnorm_vt,
               .summary = "normalizes each channel by the batch's mean and variance",
               .reference = "Ioffe and Szegedy 2015; torch.nn.BatchNorm1d, BatchNorm2d");
REIN_PLUGIN("batchnorm", "1.0.0", "MIT", &batchnorm_component)
