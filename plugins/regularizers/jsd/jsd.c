/* SPDX-License-Identifier: MIT
 *
 * jsd: views of a sample must agree: alpha times the Jensen-Shannon divergence of the distributions
 * p_1 .. p_n that the network gives them, 1/n sum_i KL(p_i || m), m = mean p_i, mean over the
 * samples. The loss itself is taken of the first view, the clean one. Views are made by an
 * augmentation: splits.
 */
#include "rein/rein.h"

struct jsd {
	double alpha;
};
static const struct rein_key jsd_keys[] = {
	REIN_REAL(struct jsd, alpha, "12", 0, 1e6, REIN_KEY_KNOB, "strength"),
	REIN_KEYS_END,
};

/* 1 for the rows of the first view, 0 for the others */
static rein_val jsd_weight(const void *self, struct rein_rec *r, const struct rein_step *t)
{
	int64_t rows = rein_dim(r, t->logits, 0);
	(void)self;
	if (t->batch->views < 2) {
		rein_refuse(r, "the batch holds one view of each sample; [augmentations] splits makes several");
		return REIN_NONE;
	}
	rein_val first = rein_scalar_i(r, (int32_t)(rows / t->batch->views));
	return rein_cast(r, rein_lt(r, rein_iota(r, 0, 1, &rows), first), REIN_REAL_T);
}

static rein_val jsd_term(const void *self, struct rein_rec *r, const struct rein_step *t)
{
	const struct jsd *s = self;
	int64_t n = t->batch->views, rows = rein_dim(r, t->logits, 0) / n;
	rein_val lp[16], mean = REIN_NONE, sum = REIN_NONE;

	if (n < 2 || n > 16)
		return REIN_NONE; /* told in jsd_weight */
	for (int64_t i = 0; i < n; i++) {
		lp[i] = rein_log_softmax(r, rein_narrow(r, t->logits, 0, i * rows, rows), 1);
		mean = i ? rein_add(r, mean, rein_exp(r, lp[i])) : rein_exp(r, lp[i]);
	}
	mean = rein_log(r, rein_clip(r, rein_scale(r, mean, 1.0 / (double)n), 1e-7, 1));
	for (int64_t i = 0; i < n; i++) {
		rein_val kl = rein_mean(r, rein_kl(r, lp[i], mean));
		sum = i ? rein_add(r, sum, kl) : kl;
	}
	return rein_mul(r, rein_scale(r, sum, 1.0 / (double)n), rein_knob(r, "alpha", s->alpha));
}

static const struct rein_regularizer_vt jsd_vt = { .struct_size = sizeof jsd_vt,
	                                               .term = jsd_term,
	                                               .weight = jsd_weight };
REIN_COMPONENT(jsd, REIN_REGULARIZER, struct jsd, jsd_keys, &jsd_vt, .summary = "views of a sample must agree",
               .reference = "Hendrycks et al., AugMix, 2020; timm, JsdCrossEntropy");
REIN_PLUGIN("jsd", "1.0.0", "MIT", &jsd_component)
