/* SPDX-License-Identifier: MIT
 *
 * salt_pepper: with u uniform for each pixel, the same for all channels: black where u <
 * amount / 2, white where u >= 1 - amount / 2.
 */
#include "rein/rein.h"

struct salt_pepper {
	struct rein_reals amount;
};
static const struct rein_key salt_pepper_keys[] = { REIN_REALS(struct salt_pepper, amount, "0.05", 0, 1, 0,
	                                                           "share of pixels replaced: a number, or from,to"),
	                                                REIN_KEYS_END };

static rein_status salt_pepper_create(void *self, const struct rein_host *h)
{
	const struct salt_pepper *s = self;
	return rein_range_check(h, "amount", &s->amount);
}

static void salt_pepper_record(const void *self, struct rein_rec *r, const struct rein_step *t, struct rein_batch *b)
{
	const struct salt_pepper *s = self;
	(void)t;
	if (!rein_is_image(r, b->x))
		return;
	int64_t plane[4] = { rein_dim(r, b->x, 0), 1, rein_dim(r, b->x, 2), rein_dim(r, b->x, 3) };
	rein_val one = rein_scalar(r, 1), u = rein_random(r, "pixel", REIN_UNIFORM, REIN_PER_SAMPLE, 4, plane);
	rein_val amount = rein_draw(r, "amount", b->x, s->amount.v[0], s->amount.v[s->amount.n - 1]);
	rein_val half = rein_per_image(r, rein_scale(r, amount, 0.5));
	rein_val y = rein_where(r, rein_le(r, rein_sub(r, one, half), u), one, b->x);
	b->x = rein_where(r, rein_lt(r, u, half), rein_scalar(r, 0), y);
}

static const struct rein_augmentation_vt salt_pepper_vt = { .struct_size = sizeof salt_pepper_vt,
	                                                        .record = salt_pepper_record };
REIN_COMPONENT(salt_pepper, REIN_AUGMENTATION, struct salt_pepper, salt_pepper_keys, &salt_pepper_vt,
               .create = salt_pepper_create, .summary = "single pixels become black or white",
               .reference = "foolbox SaltAndPepperNoiseAttack");
REIN_PLUGIN("salt_pepper", "1.0.0", "MIT", &salt_pepper_component)
