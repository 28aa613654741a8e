/* SPDX-License-Identifier: MIT
 *
 * equalize: each channel's histogram of bytes made even (see rein_equalize in color.h).
 */
#include "rein/rein.h"

static void equalize_record(const void *self, struct rein_rec *r, const struct rein_step *t, struct rein_batch *b)
{
	(void)self;
	(void)t;
	if (rein_is_image(r, b->x))
		b->x = rein_equalize(r, b->x);
}

static const struct rein_augmentation_vt equalize_vt = { .struct_size = sizeof equalize_vt,
	                                                     .record = equalize_record,
	                                                     .p = 0.5 };
REIN_COMPONENT(equalize, REIN_AUGMENTATION, struct rein_keyless, NULL, &equalize_vt,
               .summary = "each channel's histogram made even; p=0.5 by default",
               .reference = "torchvision.transforms.RandomEqualize");
REIN_PLUGIN("equalize", "1.0.0", "MIT", &equalize_component)
