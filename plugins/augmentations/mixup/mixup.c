/* SPDX-License-Identifier: MIT
 *
 * mixup: x = l x + (1-l) x[j], the same for the targets as distributions; l ~ Beta(alpha,alpha)
 * for each batch or sample, j the partner in the batch (formula R22).
 */
#include "rein/rein.h"

struct mixup {
	double alpha;
	int32_t pair, per;
	struct rein_beta beta;
};
static const struct rein_key mixup_keys[] = {
	REIN_REAL(struct mixup, alpha, "1", 0.05, 64, 0, "of Beta(alpha,alpha), from which the share is drawn"),
	REIN_ENUM(struct mixup, pair, "roll", rein_pair_names,
	          "partner: the sample before, first with last, or a permutation"),
	REIN_ENUM(struct mixup, per, "batch", rein_per_names, "one share for the whole batch, or one for each sample"),
	REIN_KEYS_END
};

static rein_status mixup_create(void *self, const struct rein_host *h)
{
	struct mixup *s = self;
	(void)h;
	rein_beta_init(&s->beta, s->alpha);
	return REIN_OK;
}

static void mixup_record(const void *self, struct rein_rec *r, const struct rein_step *t, struct rein_batch *b)
{
	const struct mixup *s = self;
	rein_val j = rein_partner(r, b->x, s->pair), share = rein_share(r, &s->beta, b->x, s->per);
	b->y = rein_mix_targets(r, t, b->y, j, share);
	b->x = rein_mix_rows(r, b->x, rein_take(r, b->x, j, 0), share);
}

static const struct rein_augmentation_vt mixup_vt = { .struct_size = sizeof mixup_vt, .record = mixup_record };
REIN_COMPONENT(
	mixup, REIN_AUGMENTATION, struct mixup, mixup_keys, &mixup_vt, .create = mixup_create,
	.summary = "pairs of samples and their targets are mixed",
	.reference = "Zhang et al., mixup: Beyond Empirical Risk Minimization, 2018; torchvision.transforms.v2.MixUp");
REIN_PLUGIN("mixup", "1.0.0", "MIT", &mixup_component)
