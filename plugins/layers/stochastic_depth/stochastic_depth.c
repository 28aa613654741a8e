/* SPDX-License-Identifier: MIT
 *
 * stochastic_depth: in training a whole branch is left out with probability p, else divided by
 * 1 - p; for each sample by itself, by the sample's number, or for the batch at once. In
 * evaluation y = x. It is the last line of the branch, before add (formula R13: Huang et al.
 * 2016); over blocks p usually grows from 0 in equal steps.
 */
#include "rein/rein.h"

static const char *const modes[] = { "row", "batch", NULL };
struct stochastic_depth {
	double p;
	int32_t mode;
};
static const struct rein_key stochastic_depth_keys[] = {
	REIN_REAL(struct stochastic_depth, p, "0.1", 0, 1, REIN_KEY_KNOB | REIN_KEY_UNDER_MAX,
	          "share of branches left out"),
	REIN_ENUM(struct stochastic_depth, mode, "row", modes, "row: each sample by itself; batch: all at once"),
	REIN_KEYS_END,
};

static rein_val stochastic_depth_record(const void *self, struct rein_rec *r, const struct rein_call *c)
{
	const struct stochastic_depth *s = self;
	rein_val x = c->in[0], one = rein_scalar(r, 1);
	int32_t rank = rein_rank(r, x);
	int64_t dim[REIN_MAX_RANK];

	if (c->mode == REIN_EVAL || rank < 1)
		return x;
	for (int32_t i = 0; i < rank; i++)
		dim[i] = i == 0 && s->mode == 0 ? rein_dim(r, x, 0) : 1;
	rein_val kept = rein_sub(r, one, rein_knob(r, "p", s->p)); /* 1 - p */
	rein_val draw =
		rein_random(r, "mask", REIN_UNIFORM, s->mode == 0 ? REIN_PER_SAMPLE : REIN_PER_STEP, (uint32_t)rank, dim);
	return rein_mul(r, x, rein_where(r, rein_lt(r, draw, kept), rein_div(r, one, kept), rein_scalar(r, 0)));
}

static const struct rein_layer_vt stochastic_depth_vt = { .struct_size = sizeof stochastic_depth_vt,
	                                                      .record = stochastic_depth_record };
REIN_COMPONENT(
	stochastic_depth, REIN_LAYER, struct stochastic_depth, stochastic_depth_keys, &stochastic_depth_vt,
	.summary = "leaves out its branch at random while training",
	.reference = "Huang et al., Deep Networks with Stochastic Depth, 2016; torchvision.ops.stochastic_depth");
REIN_PLUGIN("stochastic_depth", "1.0.0", "MIT", &stochastic_depth_component)
