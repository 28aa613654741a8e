/* SPDX-License-Identifier: MIT
 *
 * hflip: images with left and right exchanged; half of them unless p= says otherwise.
 */
#include "rein/rein.h"

static void hflip_record(const void *self, struct rein_rec *r, const struct rein_step *t, struct rein_batch *b)
{
	(void)self;
	(void)t;
	if (rein_is_image(r, b->x))
		b->x = rein_flip(r, b->x, 3);
}

static const struct rein_augmentation_vt hflip_vt = { .struct_size = sizeof hflip_vt,
	                                                  .record = hflip_record,
	                                                  .p = 0.5 };
REIN_COMPONENT(hflip, REIN_AUGMENTATION, struct rein_keyless, NULL, &hflip_vt,
               .summary = "images with left and right exchanged; p=0.5 by default",
               .reference = "torchvision.transforms.RandomHorizontalFlip");
REIN_PLUGIN("hflip", "1.0.0", "MIT", &hflip_component)
