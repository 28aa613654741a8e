/* SPDX-License-Identifier: MIT
 *
 * dropout: in training y = x m / (1 - p), m = 1 with probability 1 - p for each element,
 * drawn by the sample's number; in evaluation y = x. Formula R8: Srivastava et al. 2014.
 */
#include "rein/rein.h"

struct dropout {
	double p;
};
static const struct rein_key dropout_keys[] = {
	REIN_REAL(struct dropout, p, "0.5", 0, 1, REIN_KEY_KNOB | REIN_KEY_UNDER_MAX, "share of elements set to 0"),
	REIN_KEYS_END,
};

static rein_val dropout_record(const void *self, struct rein_rec *r, const struct rein_call *c)
{
	const struct dropout *s = self;
	rein_val x = c->in[0], one = rein_scalar(r, 1);
	if (c->mode == REIN_EVAL)
		return x;
	rein_val kept = rein_sub(r, one, rein_knob(r, "p", s->p)); /* 1 - p */
	rein_val keep = rein_lt(r, rein_random_like(r, "mask", REIN_UNIFORM, REIN_PER_SAMPLE, x), kept);
	return rein_where(r, keep, rein_mul(r, x, rein_div(r, one, kept)), rein_scalar(r, 0));
}

static const struct rein_layer_vt dropout_vt = { .struct_size = sizeof dropout_vt, .record = dropout_record };
REIN_COMPONENT(dropout, REIN_LAYER, struct dropout, dropout_keys, &dropout_vt,
               .summary = "sets a random share p of its input to 0 while training",
               .reference = "Srivastava et al., JMLR 15 (2014); torch.nn.Dropout");
REIN_PLUGIN("dropout", "1.0.0", "MIT", &dropout_component)
