/* SPDX-License-Identifier: MIT
 *
 * linear: y = x W' + b, x (N,I), W (units,I), b (units), as torch.nn.Linear.
 */
#include "rein/rein.h"

struct linear {
	int64_t units;
	int32_t bias;
	struct rein_start start;
};
static const struct rein_key linear_keys[] = {
	REIN_INT(struct linear, units, NULL, 1, 1 << 24, "outputs"),
	REIN_BOOL(struct linear, bias, "yes", "add a bias"),
	REIN_START_KEYS(struct linear, start),
	REIN_KEYS_END,
};

static rein_val linear_record(const void *self, struct rein_rec *r, const struct rein_call *c)
{
	const struct linear *s = self;
	rein_val x = c->in[0];
	int64_t fan_in = rein_dim(r, x, -1), dim[2] = { s->units, fan_in };
	if (rein_rank(r, x) != 2) {
		if (rein_rank(r, x) >= 0)
			rein_refuse(r, "a linear layer needs one row per sample, (N,I); put a line 'flat = flatten' before it");
		return REIN_NONE;
	}
	struct rein_init wi = rein_start_weight(&s->start, (double)fan_in, (double)s->units);
	rein_val w = rein_param(r, "weight", 2, dim, &wi);
	int64_t takes = rein_dim(r, w, 1); /* less than asked for where channels were removed */
	if (fan_in > 0 && takes > 0 && takes != fan_in) {
		char why[200];
		snprintf(
			why, sizeof why,
			"%lld numbers come in, its weights take %lld: samples of training and of evaluation have different shapes "
			"(a crop in [augmentations]?)",
			(long long)fan_in, (long long)takes);
		rein_refuse(r, why);
		return REIN_NONE;
	}
	rein_val y = rein_matmul(r, x, w, REIN_TB);
	if (s->bias) {
		struct rein_init bi = rein_start_bias(&s->start, (double)fan_in);
		y = rein_add(r, y, rein_along(r, rein_param(r, "bias", 1, dim, &bi), y, 1));
	}
	return y;
}

static int64_t linear_macs(const void *self, uint32_t in_rank, const int64_t *in, uint32_t out_rank, const int64_t *out)
{
	return in[in_rank - 1] * out[out_rank - 1];
}

static const struct rein_layer_vt linear_vt = { .struct_size = sizeof linear_vt,
	                                            .record = linear_record,
	                                            .macs = linear_macs };
REIN_COMPONENT(linear, REIN_LAYER, struct linear, linear_keys, &linear_vt, .summary = "fully connected: y = x W' + b",
               .reference = "torch.nn.Linear");
REIN_PLUGIN("linear", "1.0.0", "MIT", &linear_component)
