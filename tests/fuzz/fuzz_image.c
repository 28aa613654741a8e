/* SPDX-License-Identifier: MIT
 *
 * fuzz_image.c: the bytes as a PNG and as a JPEG file: what the header says is what decoding
 * fills, or decoding is refused.
 */
#include "../../plugins/datasets/image_folder/image.h"
#include "fuzz.h"

typedef rein_status sizer(const struct rein_host *, const struct image_file *, struct image_size *);
typedef rein_status decoder(const struct rein_host *, const struct image_file *, const struct image_size *, uint8_t *);

static void decode(const struct image_file *f, sizer *size_of, decoder *pixels_of)
{
	struct image_size size = { 0 };
	rein_status st;
	uint8_t *pixels;
	fuzz_said[0] = 0;
	st = size_of(&fuzz_host, f, &size);
	MUST(st >= 0 || fuzz_said[0]);
	if (st != REIN_OK)
		return;
	MUST(size.height > 0 && size.width > 0 && (size.channels == 1 || size.channels == 3));
	if (size.height * size.width > 1 << 18)
		return;
	pixels = malloc((size_t)(size.height * size.width * size.channels));
	st = pixels_of(&fuzz_host, f, &size, pixels);
	MUST(st >= 0 || fuzz_said[0]);
	free(pixels);
	if (size.eighths != 8) /* a JPEG, as draft= decodes it: a quarter, or what a few pixels need */
		return;
	jpeg_shrink(&size, (size.height + 3) / 4, (size.width + 3) / 4);
	MUST(size.height > 0 && size.width > 0 && size.eighths >= 1 && size.eighths <= 8);
	pixels = malloc((size_t)(size.height * size.width * size.channels));
	st = pixels_of(&fuzz_host, f, &size, pixels);
	MUST(st >= 0 || fuzz_said[0]);
	free(pixels);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct image_file f = { "input", data, size };
	/* the folder looks at the first bytes before it asks a decoder */
	if (size >= 8 && !memcmp(data, "\x89PNG\r\n\x1a\n", 8))
		decode(&f, png_size, png_decode);
	if (size >= 3 && !memcmp(data, "\xFF\xD8\xFF", 3))
		decode(&f, jpeg_size, jpeg_decode);
	return 0;
}
