/* SPDX-License-Identifier: MIT
 *
 * dropout2d: in training y = x m / (1 - p), m = 1 with probability 1 - p for each channel of
 * each sample, drawn by the sample's number; in evaluation y = x.
 */
#include "rein/rein.h"

struct dropout2d {
	double p;
};
static const struct rein_key dropout2d_keys[] = {
	REIN_REAL(struct dropout2d, p, "0.5", 0, 1, REIN_KEY_KNOB | REIN_KEY_UNDER_MAX, "share of channels set to 0"),
	REIN_KEYS_END,
};

static rein_val dropout2d_record(const void *self, struct rein_rec *r, const struct rein_call *c)
{
	const struct dropout2d *s = self;
	rein_val x = c->in[0], one = rein_scalar(r, 1);
	int32_t rank = rein_rank(r, x);
	int64_t dim[4] = { 1, 1, 1, 1 };

	if (rank != 3 && rank != 4) {
		if (rank >= 0)
			rein_refuse(r, "dropout2d drops whole channels of images, (N,C,H,W); for rows of numbers use dropout");
		return REIN_NONE;
	}
	if (c->mode == REIN_EVAL)
		return x;
	dim[0] = rein_dim(r, x, 0);
	dim[1] = rein_dim(r, x, 1);
	rein_val kept = rein_sub(r, one, rein_knob(r, "p", s->p)); /* 1 - p */
	rein_val draw = rein_random(r, "mask", REIN_UNIFORM, REIN_PER_SAMPLE, (uint32_t)rank, dim);
	rein_val scale = rein_where(r, rein_lt(r, draw, kept), rein_div(r, one, kept), rein_scalar(r, 0));
	return rein_mul(r, x, scale);
}

static const struct rein_layer_vt dropout2d_vt = { .struct_size = sizeof dropout2d_vt, .record = dropout2d_record };
REIN_COMPONENT(dropout2d, REIN_LAYER, struct dropout2d, dropout2d_keys, &dropout2d_vt,
               .summary = "sets a random share p of the channels to 0 while training",
               .reference = "Tompson et al. 2015; torch.nn.Dropout2d");
REIN_PLUGIN("dropout2d", "1.0.0", "MIT", &dropout2d_component)
