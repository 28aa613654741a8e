/* SPDX-License-Identifier: MIT
 *
 * invert: 1 - x; the negative of the image.
 */
#include "rein/rein.h"

static void invert_record(const void *self, struct rein_rec *r, const struct rein_step *t, struct rein_batch *b)
{
	(void)self;
	(void)t;
	b->x = rein_invert(r, b->x);
}

static const struct rein_augmentation_vt invert_vt = { .struct_size = sizeof invert_vt,
	                                                   .record = invert_record,
	                                                   .p = 0.5 };
REIN_COMPONENT(invert, REIN_AUGMENTATION, struct rein_keyless, NULL, &invert_vt,
               .summary = "1 - x, the negative; p=0.5 by default", .reference = "torchvision.transforms.RandomInvert");
REIN_PLUGIN("invert", "1.0.0", "MIT", &invert_component)
