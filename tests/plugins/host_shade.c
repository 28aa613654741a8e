/* SPDX-License-Identifier: MIT
 *
 * host_shade: an augmentation with any C library, on the host: every byte of an image minus a
 * number below 64, drawn for each image and epoch. p=0.5 by default.
 */
#include "rein/rein.h"

static rein_status host_shade_shape(const void *self, const struct rein_host *h, uint32_t rank, const int64_t *in,
                                    int64_t *out)
{
	(void)self;
	(void)h;
	for (uint32_t i = 0; i < rank; i++)
		out[i] = in[i];
	return REIN_OK;
}

static rein_status host_shade_sample(const void *self, const struct rein_host *h, int64_t number, int64_t epoch,
                                     const struct rein_sample *in, struct rein_sample *out)
{
	uint32_t word[4];
	int64_t n = 1;
	(void)self;
	h->random(h, (uint64_t)number, (uint64_t)epoch * 65536, word);
	for (uint32_t i = 0; i < in->rank; i++)
		n *= in->dim[i];
	for (int64_t i = 0; i < n; i++) {
		int v = ((const uint8_t *)in->data)[i] - (int)(word[0] % 64);
		((uint8_t *)out->data)[i] = (uint8_t)(v < 0 ? 0 : v);
	}
	return REIN_OK;
}

static const struct rein_augmentation_vt host_shade_vt = {
	.struct_size = sizeof host_shade_vt, .shape = host_shade_shape, .sample = host_shade_sample, .random = 1, .p = 0.5
};
REIN_COMPONENT(host_shade, REIN_AUGMENTATION, struct rein_keyless, NULL, &host_shade_vt,
               .summary = "images darker by a random amount, on the host");
REIN_PLUGIN("host_shade", "1.0.0", "MIT", &host_shade_component)
