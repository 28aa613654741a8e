/* SPDX-License-Identifier: MIT
 *
 * planes.c: decoded rows become a sample: planes of the channels asked for, upright.
 */
#include <stdbool.h>
#include <string.h>

#include "image.h"

int64_t upright_height(const struct image_size *s) { return s->turn > 4 ? s->width : s->height; }
int64_t upright_width(const struct image_size *s) { return s->turn > 4 ? s->height : s->width; }

/* (H,W,from) to (to,H,W); grey from colour is 0.299 R + 0.587 G + 0.114 B in 16 bits, as PIL's */
static void to_planes(const uint8_t *in, int64_t pixels, int64_t from, int64_t to, uint8_t *out)
{
	if (from == 3 && to == 3) {
		uint8_t *red = out, *green = out + pixels, *blue = out + 2 * pixels;
		for (int64_t i = 0; i < pixels; i++, in += 3) {
			red[i] = in[0];
			green[i] = in[1];
			blue[i] = in[2];
		}
	} else if (from == 1) {
		for (int64_t c = 0; c < to; c++)
			memcpy(out + c * pixels, in, (size_t)pixels);
	} else {
		for (int64_t i = 0; i < pixels; i++, in += 3)
			out[i] = (uint8_t)((in[0] * 19595u + in[1] * 38470u + in[2] * 7471u + 0x8000u) >> 16);
	}
}

/* A plane (H,W) as it is stored to the upright one: rows and columns trade places from 5 on, and
 * begin at the other end. */
static void upright(const struct image_size *s, const uint8_t *in, uint8_t *out)
{
	bool side = s->turn > 4, up = s->turn == 3 || s->turn == 4 || s->turn == 6 || s->turn == 7;
	bool left = s->turn == 2 || s->turn == 3 || s->turn == 7 || s->turn == 8;
	for (int64_t r = 0; r < upright_height(s); r++)
		for (int64_t c = 0; c < upright_width(s); c++) {
			int64_t row = side ? c : r, column = side ? r : c;
			row = up ? s->height - 1 - row : row;
			column = left ? s->width - 1 - column : column;
			*out++ = in[row * s->width + column];
		}
}

rein_status image_planes(const struct rein_host *h, const uint8_t *rows, const struct image_size *s, int64_t channels,
                         uint8_t *x)
{
	int64_t pixels = s->height * s->width;
	uint8_t *lying = s->turn > 1 ? h->alloc(h, (uint64_t)(pixels * channels)) : x;
	if (!lying)
		return REIN_ERROR;
	to_planes(rows, pixels, s->channels, channels, lying);
	for (int64_t c = 0; s->turn > 1 && c < channels; c++)
		upright(s, lying + c * pixels, x + c * pixels);
	if (lying != x)
		h->free(h, lying);
	return REIN_OK;
}
