/* SPDX-License-Identifier: MIT
 *
 * autocontrast: each channel stretched to 0..1: (x - min) / (max - min).
 */
#include "rein/rein.h"

static void autocontrast_record(const void *self, struct rein_rec *r, const struct rein_step *t, struct rein_batch *b)
{
	(void)self;
	(void)t;
	if (rein_is_image(r, b->x))
		b->x = rein_autocontrast(r, b->x);
}

static const struct rein_augmentation_vt autocontrast_vt = { .struct_size = sizeof autocontrast_vt,
	                                                         .record = autocontrast_record,
	                                                         .p = 0.5 };
REIN_COMPONENT(autocontrast, REIN_AUGMENTATION, struct rein_keyless, NULL, &autocontrast_vt,
               .summary = "each channel stretched to 0..1; p=0.5 by default",
               .reference = "torchvision.transforms.RandomAutocontrast");
REIN_PLUGIN("autocontrast", "1.0.0", "MIT", &autocontrast_component)
