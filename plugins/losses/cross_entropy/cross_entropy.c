/* SPDX-License-Identifier: MIT
 *
 * cross_entropy: -sum_k q_k log softmax(z)_k, z (N,K), for class numbers or distributions p,
 * with label smoothing e (formula R17):
 *   variant = uniform   q = (1-e) p + e/K               PyTorch, timm
 *   variant = others    q = (1-e) p + e (1-p)/(K-1)     darknet: all of e goes to other classes
 */
#include "rein/rein.h"

struct cross_entropy {
	double smoothing;
	int32_t variant;
};
enum { UNIFORM, OTHERS };
static const char *const variants[] = { "uniform", "others", NULL };
static const struct rein_key cross_entropy_keys[] = {
	REIN_REAL(struct cross_entropy, smoothing, "0", 0, 1, 0,
	          "label smoothing e: share of probability taken from the label"),
	REIN_ENUM(struct cross_entropy, variant, "uniform", variants,
	          "where e goes; uniform: (1-e) p + e/K; others: (1-e) p + e (1-p)/(K-1)"),
	REIN_KEYS_END,
};

static rein_val cross_entropy_record(const void *self, struct rein_rec *r, rein_val z, rein_val y)
{
	const struct cross_entropy *s = self;
	double k = (double)rein_dim(r, z, 1), e = s->smoothing;
	if (e == 0)
		return rein_cross_entropy(r, z, y);
	if (s->variant == OTHERS && k < 2) {
		rein_refuse(r, "variant=others needs 2 classes or more");
		return REIN_NONE;
	}
	rein_val p = y;
	if (rein_dtype(r, y) == REIN_I32_T)
		p = rein_cast(r, rein_one_hot(r, y, rein_dim(r, z, 1)), REIN_REAL_T);
	/* q = a p + b */
	double b = s->variant == OTHERS ? e / (k - 1) : e / k;
	double a = s->variant == OTHERS ? 1 - e - b : 1 - e;
	return rein_cross_entropy(r, z, rein_offset(r, rein_scale(r, p, a), b));
}

static const struct rein_loss_vt cross_entropy_vt = { .struct_size = sizeof cross_entropy_vt,
	                                                  .accept = REIN_ACCEPT_CLASS | REIN_ACCEPT_SOFT,
	                                                  .record = cross_entropy_record };
REIN_COMPONENT(cross_entropy, REIN_LOSS, struct cross_entropy, cross_entropy_keys, &cross_entropy_vt,
               .summary = "cross-entropy of softmax(output) and the class or distribution",
               .reference = "torch.nn.CrossEntropyLoss; Szegedy et al. 2016 (smoothing)");
REIN_PLUGIN("cross_entropy", "1.0.0", "MIT", &cross_entropy_component)
