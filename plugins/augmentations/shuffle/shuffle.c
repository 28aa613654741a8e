/* SPDX-License-Identifier: MIT
 *
 * shuffle: all augmentations that of= names, in an order drawn for each sample. Those named do
 * not act on their own; each keeps its p=. In each place every one is recorded and one of
 * them picked, so k of them cost k^2.
 */
#include "rein/rein.h"

struct shuffle {
	struct rein_refs of;
};
static const char *const kind[] = { "augmentation", NULL };
static const struct rein_key shuffle_keys[] = { REIN_REFS(struct shuffle, of, NULL, kind, 0, "names of augmentations"),
	                                            REIN_KEYS_END };

static rein_status shuffle_create(void *self, const struct rein_host *h)
{
	const struct shuffle *s = self;
	if (s->of.n > 8)
		return rein_failf(h, "of= names %lld augmentations; at most 8 are possible", (long long)s->of.n);
	return REIN_OK;
}

static void shuffle_record(const void *self, struct rein_rec *r, const struct rein_step *t, struct rein_batch *b)
{
	const struct shuffle *s = self;
	int64_t n = rein_dim(r, b->x, 0), drawn[2] = { n, s->of.n };
	rein_val order;
	rein_sort(r, rein_random(r, "order", REIN_UNIFORM, REIN_PER_SAMPLE, 2, drawn), 0, &order);
	for (int64_t place = 0; place < s->of.n; place++) {
		rein_val who = rein_reshape(r, rein_narrow(r, order, 1, place, 1), 1, &n);
		struct rein_batch from = *b;
		for (int64_t i = 0; i < s->of.n; i++) {
			struct rein_batch one = from;
			rein_augment(r, s->of.v[i], t, &one);
			if (!i)
				*b = one;
			else
				rein_batch_where(r, t, rein_not(r, rein_eq(r, who, rein_scalar_i(r, (int32_t)i))), b, &one);
		}
	}
}

static const struct rein_augmentation_vt shuffle_vt = { .struct_size = sizeof shuffle_vt, .record = shuffle_record };
REIN_COMPONENT(shuffle, REIN_AUGMENTATION, struct shuffle, shuffle_keys, &shuffle_vt, .create = shuffle_create,
               .summary = "several augmentations, in a random order for each sample",
               .reference = "torchvision.transforms.RandomOrder, for each sample alone");
REIN_PLUGIN("shuffle", "1.0.0", "MIT", &shuffle_component)
