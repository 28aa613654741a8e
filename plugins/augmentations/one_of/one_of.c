/* SPDX-License-Identifier: MIT
 *
 * one_of: each sample gets one of the augmentations of= names, by its number, epoch and
 * weights=. Those named do not act on their own; each keeps its p=.
 */
#include "rein/rein.h"

struct one_of {
	struct rein_refs of;
	struct rein_reals weights;
};
static const char *const kind[] = { "augmentation", NULL };
static const struct rein_key one_of_keys[] = { REIN_REFS(struct one_of, of, NULL, kind, 0,
	                                                     "names of augmentations chosen from"),
	                                           REIN_REALS(struct one_of, weights, "", 0, 1e6, REIN_KEY_MAY_BE_EMPTY,
	                                                      "how often each is chosen; empty: equally often"),
	                                           REIN_KEYS_END };

static rein_status one_of_create(void *self, const struct rein_host *h)
{
	const struct one_of *s = self;
	double sum = 0;
	for (int64_t i = 0; i < s->weights.n; i++)
		sum += s->weights.v[i];
	if (s->weights.n && (s->weights.n != s->of.n || !(sum > 0)))
		return rein_failf(h, "weights= has %lld numbers for %lld augmentations; one each is expected, not all 0",
		                  (long long)s->weights.n, (long long)s->of.n);
	return REIN_OK;
}

static void one_of_record(const void *self, struct rein_rec *r, const struct rein_step *t, struct rein_batch *b)
{
	const struct one_of *s = self;
	rein_val u = rein_draw(r, "choice", b->x, 0, 1);
	struct rein_batch from = *b;
	double total = 0, below = 0;
	for (int64_t i = 0; i < s->of.n; i++)
		total += s->weights.n ? s->weights.v[i] : 1;
	for (int64_t i = 0; i < s->of.n; i++) {
		struct rein_batch one = from;
		rein_augment(r, s->of.v[i], t, &one);
		if (!i)
			*b = one;
		else /* earlier ones keep what lies below */
			rein_batch_where(r, t, rein_lt(r, u, rein_scalar(r, below / total)), b, &one);
		below += s->weights.n ? s->weights.v[i] : 1;
	}
}

static const struct rein_augmentation_vt one_of_vt = { .struct_size = sizeof one_of_vt, .record = one_of_record };
REIN_COMPONENT(one_of, REIN_AUGMENTATION, struct one_of, one_of_keys, &one_of_vt, .create = one_of_create,
               .summary = "each sample gets one of several augmentations",
               .reference = "torchvision.transforms.RandomChoice, for each sample alone");
REIN_PLUGIN("one_of", "1.0.0", "MIT", &one_of_component)
