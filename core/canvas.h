/* SPDX-License-Identifier: MIT
 *
 * canvas.h: 8-bit pictures put together from images of numbers and written as PNG.
 */
#ifndef CORE_CANVAS_H
#define CORE_CANVAS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct canvas {
	int64_t height, width, channels; /* channels: 1 grey, 3 colour */
	uint8_t *pixel;                  /* (height, width, channels) */
};
/* All of one grey, `background`. channels 1 or 3. NULL when memory is out. */
struct canvas *canvas_create(int64_t height, int64_t width, int64_t channels, uint8_t background);
void canvas_destroy(struct canvas *); /* accepts NULL */
/* x (channels, height, width), 0..1, NaN 0; its upper left corner at top, left. Grey in a colour
 * picture is repeated. What lies outside of the picture is left out. */
void canvas_place(struct canvas *, int64_t top, int64_t left, int64_t channels, int64_t height, int64_t width,
                  const float *x);
/* Writes to a temporary name, syncs, renames. false with the reason. */
bool canvas_write(const struct canvas *, const char *path, char *why, size_t size);

#endif
