/* SPDX-License-Identifier: MIT
 *
 * squeeze: how far the model's answer moves when its input is squeezed: the largest, over the
 * squeezers, of the l1 distance between p(x) and p(squeezed x). Clean samples keep their answer,
 * adversarial ones lose it.
 */
#include "../../layers/squeeze/squeeze.h"

struct squeeze {
	struct rein_ints bits;
	int32_t median;
};
static const struct rein_key squeeze_keys[] = {
	REIN_INTS(struct squeeze, bits, "4", 1, 16, REIN_KEY_MAY_BE_EMPTY, "bits of each pixel, one or several squeezers"),
	REIN_BOOL(struct squeeze, median, "yes", "the median of 3x3 pixels, another squeezer; needs images"),
	REIN_KEYS_END,
};

static rein_val squeeze_score(const void *self, struct rein_rec *r, const struct rein_model *m, rein_val x)
{
	const struct squeeze *s = self;
	rein_val p = rein_softmax(r, rein_forward(r, m, x, REIN_EVAL), 1), most = REIN_NONE;
	for (int64_t i = 0; i < s->bits.n + (s->median ? 1 : 0); i++) {
		rein_val y = i < s->bits.n ? squeeze_bits(r, x, s->bits.v[i], m->lo, m->hi) : squeeze_median(r, x);
		rein_val q = rein_softmax(r, rein_forward(r, m, y, REIN_EVAL), 1);
		rein_val far = rein_sum_rows(r, rein_abs(r, rein_sub(r, p, q)));
		most = REIN_IS_NONE(most) ? far : rein_max(r, most, far);
	}
	return most;
}

static rein_status squeeze_create(void *self, const struct rein_host *host)
{
	const struct squeeze *s = self;
	return s->bits.n || s->median ? REIN_OK : rein_failf(host, "no squeezer: bits= is empty and median=no");
}

static const struct rein_detector_vt squeeze_vt = { .struct_size = sizeof squeeze_vt, .score = squeeze_score };
REIN_COMPONENT(squeeze, REIN_DETECTOR, struct squeeze, squeeze_keys, &squeeze_vt,
               .summary = "feature squeezing: does the answer survive fewer bits and a median?",
               .reference = "Xu et al. 2018", .create = squeeze_create);
REIN_PLUGIN("squeeze", "1.0.0", "MIT", &squeeze_component)
