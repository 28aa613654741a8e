/* SPDX-License-Identifier: MIT
 *
 * splits: the batch becomes n views of each sample, one after another: the sample as it is, and n - 1
 * times what the augmentation that `of=` names makes of it, each with draws of its own. What
 * stands behind it changes every view; the regularizer jsd compares them.
 */
#include "rein/rein.h"

struct splits {
	const struct rein_ref *of;
	int64_t n;
};
static const char *const kind[] = { "augmentation", NULL };
static const struct rein_key splits_keys[] = {
	REIN_REF(struct splits, of, NULL, kind, 0, "the augmentation that makes the other views"),
	REIN_INT(struct splits, n, "3", 2, 16, "views of each sample, the clean one among them"),
	REIN_KEYS_END,
};

/* v (N,...) -> (nN,...): n times the same */
static rein_val times(struct rein_rec *r, rein_val v, int64_t n)
{
	rein_val part[16];
	for (int64_t i = 0; i < n; i++)
		part[i] = v;
	return rein_concat(r, (uint32_t)n, part, 0);
}

static void splits_record(const void *self, struct rein_rec *r, const struct rein_step *t, struct rein_batch *b)
{
	const struct splits *s = self;
	struct rein_batch other = *b;

	if (b->views > 1) {
		rein_refuse(r, "the batch holds several views of each sample already");
		return;
	}
	other.x = times(r, b->x, s->n - 1); /* at once: each row draws as the view that it is */
	other.y = times(r, b->y, s->n - 1);
	other.id = times(r, b->id, s->n - 1);
	rein_augment(r, s->of, t, &other);
	b->x = rein_concat(r, 2, (rein_val[]){ b->x, other.x }, 0);
	b->y = rein_concat(r, 2, (rein_val[]){ b->y, other.y }, 0);
	b->id = rein_concat(r, 2, (rein_val[]){ b->id, other.id }, 0);
	b->views = (uint32_t)s->n;
}

static const struct rein_augmentation_vt splits_vt = { .struct_size = sizeof splits_vt, .record = splits_record };
REIN_COMPONENT(splits, REIN_AUGMENTATION, struct splits, splits_keys, &splits_vt,
               .summary = "several views of each sample, the first as it is",
               .reference = "Hendrycks et al., AugMix, 2020; timm, AugMixDataset");
REIN_PLUGIN("splits", "1.0.0", "MIT", &splits_component)
