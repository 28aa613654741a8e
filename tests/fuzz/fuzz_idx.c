/* SPDX-License-Identifier: MIT
 *
 * fuzz_idx.c: the bytes as the images beside good labels, then as the labels of good images.
 */
#include "fuzz.h"

static const uint8_t good_images[] = { 0, 0, 8, 2, 0, 0, 0, 6, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6 };
static const uint8_t good_labels[] = { 0, 0, 8, 1, 0, 0, 0, 6, 0, 1, 2, 0, 1, 2 };

static void open_both(const uint8_t *x, size_t nx, const uint8_t *y, size_t ny)
{
	const struct rein_component *c = rein_plugin_entry()->components[0];
	void *self = fuzz_self(c);
	char images[64], labels[64];
	int fx = fuzz_file(x, nx, images), fy = fuzz_file(y, ny, labels);
	*(const char **)fuzz_field(self, c, "images") = images;
	*(const char **)fuzz_field(self, c, "labels") = labels;
	fuzz_dataset(c, self);
	close(fx);
	close(fy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	open_both(data, size, good_labels, sizeof good_labels);
	open_both(good_images, sizeof good_images, data, size);
	fuzz_allocations = (long)(size % 8); /* memory ends early */
	open_both(data, size, good_labels, sizeof good_labels);
	fuzz_allocations = -1;
	return 0;
}
