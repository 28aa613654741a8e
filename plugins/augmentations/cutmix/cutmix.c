/* SPDX-License-Identifier: MIT
 *
 * cutmix: a box of the image comes from a partner in the batch. l ~ Beta(alpha,alpha), half
 * sides floor(sqrt(1-l) H / 2) and floor(sqrt(1-l) W / 2), the middle uniform over the image, cut
 * off at its edge; targets mix by the share that is really kept, 1 - area / (H W) (formula R23).
 */
#include "rein/rein.h"

struct cutmix {
	double alpha;
	int32_t pair, per;
	struct rein_beta beta;
};
static const struct rein_key cutmix_keys[] = {
	REIN_REAL(struct cutmix, alpha, "1", 0.05, 64, 0, "of Beta(alpha,alpha), from which the share is drawn"),
	REIN_ENUM(struct cutmix, pair, "roll", rein_pair_names,
	          "partner: the sample before, first with last, or a permutation"),
	REIN_ENUM(struct cutmix, per, "batch", rein_per_names, "one box for the whole batch, or one for each sample"),
	REIN_KEYS_END
};

static rein_status cutmix_create(void *self, const struct rein_host *h)
{
	struct cutmix *s = self;
	(void)h;
	rein_beta_init(&s->beta, s->alpha);
	return REIN_OK;
}

/* u (N) uniform, the same in all rows with per=batch */
static rein_val place(const struct cutmix *s, struct rein_rec *r, const char *stream, rein_val x)
{
	int64_t n = rein_dim(r, x, 0), one = 1;
	if (s->per)
		return rein_random(r, stream, REIN_UNIFORM, REIN_PER_SAMPLE, 1, &n);
	return rein_expand(r, rein_random(r, stream, REIN_UNIFORM, REIN_PER_STEP, 1, &one), 1, &n);
}

static void cutmix_record(const void *self, struct rein_rec *r, const struct rein_step *t, struct rein_batch *b)
{
	const struct cutmix *s = self;
	rein_val from[2], to[2], x = b->x, zero = rein_scalar(r, 0);
	if (!rein_is_image(r, x))
		return;
	rein_val j = rein_partner(r, x, s->pair), l = rein_share(r, &s->beta, x, s->per);
	rein_val side = rein_sqrt(r, rein_sub(r, rein_scalar(r, 1), l));
	for (int k = 0; k < 2; k++) {
		rein_val n = rein_scalar(r, (double)rein_dim(r, x, 2 + k));
		rein_val middle = rein_floor(r, rein_mul(r, place(s, r, k ? "column" : "row", x), n));
		rein_val half = rein_floor(r, rein_mul(r, rein_scale(r, side, 0.5), n));
		from[k] = rein_max(r, rein_sub(r, middle, half), zero);
		to[k] = rein_min(r, rein_add(r, middle, half), n);
	}
	rein_val area = rein_mul(r, rein_sub(r, to[0], from[0]), rein_sub(r, to[1], from[1]));
	double whole = (double)(rein_dim(r, x, 2) * rein_dim(r, x, 3));
	rein_val kept = rein_sub(r, rein_scalar(r, 1), rein_scale(r, area, 1 / whole));
	b->y = rein_mix_targets(r, t, b->y, j, kept);
	b->x = rein_where(r, rein_inside(r, x, from[0], from[1], to[0], to[1]), rein_take(r, x, j, 0), x);
}

static const struct rein_augmentation_vt cutmix_vt = { .struct_size = sizeof cutmix_vt, .record = cutmix_record };
REIN_COMPONENT(cutmix, REIN_AUGMENTATION, struct cutmix, cutmix_keys, &cutmix_vt, .create = cutmix_create,
               .summary = "a box of the image comes from another one, targets mixed by its area",
               .reference = "Yun et al., CutMix, 2019; torchvision.transforms.v2.CutMix");
REIN_PLUGIN("cutmix", "1.0.0", "MIT", &cutmix_component)
