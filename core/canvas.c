/* SPDX-License-Identifier: MIT
 *
 * canvas.c: see canvas.h. PNG is libpng's.
 */
#include "canvas.h"

#include <math.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint.h"

struct canvas *canvas_create(int64_t height, int64_t width, int64_t channels, uint8_t background)
{
	struct canvas *p = calloc(1, sizeof *p);
	int64_t bytes = height * width * channels;
	if (!p)
		return NULL;
	*p = (struct canvas){ height, width, channels, malloc((size_t)bytes + 1) };
	if (p->pixel) {
		memset(p->pixel, background, (size_t)bytes);
		return p;
	}
	free(p);
	return NULL;
}

void canvas_destroy(struct canvas *p)
{
	if (p)
		free(p->pixel);
	free(p);
}

static uint8_t byte_of(float v)
{
	if (!(v > 0))
		return 0;
	return v >= 1 ? 255 : (uint8_t)lrintf(255 * v);
}

void canvas_place(struct canvas *p, int64_t top, int64_t left, int64_t channels, int64_t height, int64_t width,
                  const float *x)
{
	for (int64_t i = 0; i < height; i++)
		for (int64_t j = 0; j < width; j++) {
			int64_t row = top + i, column = left + j;
			if (row < 0 || row >= p->height || column < 0 || column >= p->width)
				continue;
			for (int64_t c = 0; c < p->channels; c++) {
				int64_t from = c < channels ? c : 0;
				p->pixel[(row * p->width + column) * p->channels + c] = byte_of(x[(from * height + i) * width + j]);
			}
		}
}

bool canvas_write(const struct canvas *p, const char *path, char *why, size_t size)
{
	png_image image = { .version = PNG_IMAGE_VERSION,
		                .width = (png_uint_32)p->width,
		                .height = (png_uint_32)p->height,
		                .format = p->channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY };
	png_alloc_size_t bytes = 0;
	void *file = NULL;
	bool good = png_image_write_to_memory(&image, NULL, &bytes, 0, p->pixel, 0, NULL);
	if (good)
		good = (file = malloc(bytes)) && png_image_write_to_memory(&image, file, &bytes, 0, p->pixel, 0, NULL);
	if (!good)
		snprintf(why, size, "cannot make '%s': %s", path, image.message[0] ? image.message : "out of memory");
	good = good && file_replace(path, file, bytes, why, size);
	png_image_free(&image);
	free(file);
	return good;
}
