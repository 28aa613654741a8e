/* SPDX-License-Identifier: MIT
 *
 * squeeze: what reaches the layers below has fewer bits or is smoothed by a median, and with it
 * small adversarial changes go (squeeze.h). It belongs at the front of the network. Rounding has
 * the gradient 0, which masks it from attacks; through=yes lets it pass, as an attack that knows
 * of the defence would (BPDA).
 */
#include "squeeze.h"

struct squeeze {
	int64_t bits;
	int32_t median, through;
	double lo, hi;
};
static const struct rein_key squeeze_keys[] = {
	REIN_INT(struct squeeze, bits, "4", 0, 16, "bits of each pixel that are left; 0: all"),
	REIN_BOOL(struct squeeze, median, "no", "the median of 3x3 pixels, before the bits"),
	REIN_BOOL(struct squeeze, through, "no", "gradients pass the rounding"),
	REIN_REAL(struct squeeze, lo, "0", -1e6, 1e6, 0, "darkest value of a pixel, as it comes in"),
	REIN_REAL(struct squeeze, hi, "1", -1e6, 1e6, 0, "lightest"),
	REIN_KEYS_END,
};

static void pass_through(const void *ctx, struct rein_rec *r, const rein_val *in, const rein_val *out,
                         const rein_val *g, rein_val *gin)
{
	gin[0] = g[0];
}

static rein_val squeeze_record(const void *self, struct rein_rec *r, const struct rein_call *c)
{
	const struct squeeze *s = self;
	rein_val x = s->median ? squeeze_median(r, c->in[0]) : c->in[0];
	if (!s->bits)
		return x;
	rein_val y = squeeze_bits(r, x, s->bits, s->lo, s->hi);
	return s->through ? rein_override(r, y, 1, &x, pass_through, s) : y;
}

static rein_status squeeze_create(void *self, const struct rein_host *host)
{
	const struct squeeze *s = self;
	return s->lo < s->hi ? REIN_OK : rein_failf(host, "lo=%g is not below hi=%g", s->lo, s->hi);
}

static const struct rein_layer_vt squeeze_vt = { .struct_size = sizeof squeeze_vt, .record = squeeze_record };
REIN_COMPONENT(squeeze, REIN_LAYER, struct squeeze, squeeze_keys, &squeeze_vt,
               .summary = "feature squeezing: fewer bits, median of 3x3", .reference = "Xu et al. 2018",
               .create = squeeze_create);
REIN_PLUGIN("squeeze", "1.0.0", "MIT", &squeeze_component)
