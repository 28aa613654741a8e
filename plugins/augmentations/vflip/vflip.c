/* SPDX-License-Identifier: MIT
 *
 * vflip: images with top and bottom exchanged; half of them unless p= says otherwise.
 */
#include "rein/rein.h"

static void vflip_record(const void *self, struct rein_rec *r, const struct rein_step *t, struct rein_batch *b)
{
	(void)self;
	(void)t;
	if (rein_is_image(r, b->x))
		b->x = rein_flip(r, b->x, 2);
}

static const struct rein_augmentation_vt vflip_vt = { .struct_size = sizeof vflip_vt,
	                                                  .record = vflip_record,
	                                                  .p = 0.5 };
REIN_COMPONENT(vflip, REIN_AUGMENTATION, struct rein_keyless, NULL, &vflip_vt,
               .summary = "images with top and bottom exchanged; p=0.5 by default",
               .reference = "torchvision.transforms.RandomVerticalFlip");
REIN_PLUGIN("vflip", "1.0.0", "MIT", &vflip_component)
