/* SPDX-License-Identifier: MIT
 *
 * decode_png.c: PNG through libpng. Palettes and fewer than 8 bits are expanded, 16 bits
 * scaled to 8, transparency is dropped (as PIL's convert does), gamma is left alone.
 */
#include "image.h"

#include <png.h>
#include <setjmp.h>
#include <string.h>

struct reader {
	const struct rein_host *host;
	const struct image_file *file;
	uint64_t at;
};

static uint32_t big32(const uint8_t *b)
{
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* signature (8), length (4), "IHDR", width, height, depth, colour type */
rein_status png_size(const struct rein_host *h, const struct image_file *f, struct image_size *o)
{
	uint32_t width, height;
	if (f->bytes < 26)
		return rein_failf(h, "'%s': ends after %llu bytes, inside the PNG header", f->path,
		                  (unsigned long long)f->bytes);
	if (memcmp(f->data + 12, "IHDR", 4))
		return rein_failf(h, "'%s': byte 12: a PNG file begins with IHDR", f->path);
	width = big32(f->data + 16);
	height = big32(f->data + 20);
	if (!width || !height || (uint64_t)width * height > (uint64_t)IMAGE_PIXELS_MAX)
		return rein_failf(h, "'%s': byte 16: %u x %u pixels; at most 2^28 and at least one can be read", f->path, width,
		                  height);
	o->width = width;
	o->height = height;
	o->turn = 1;
	o->channels = f->data[25] & (PNG_COLOR_MASK_COLOR | PNG_COLOR_MASK_PALETTE) ? 3 : 1;
	return REIN_OK;
}

static void on_error(png_structp png, png_const_charp text)
{
	struct reader *r = png_get_error_ptr(png);
	rein_failf(r->host, "'%s': damaged PNG near byte %llu: %s", r->file->path, (unsigned long long)r->at, text);
	longjmp(png_jmpbuf(png), 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
	(void)png;
	(void)text;
}

static void on_read(png_structp png, png_bytep to, size_t n)
{
	struct reader *r = png_get_io_ptr(png);
	if (n > r->file->bytes - r->at) {
		r->at = r->file->bytes;
		png_error(png, "the file ends too early");
	}
	memcpy(to, r->file->data + r->at, n);
	r->at += n;
}

static void convert_to_8_bit(png_structp png, png_infop info)
{
	int type = png_get_color_type(png, info);
	if (png_get_bit_depth(png, info) == 16)
		png_set_scale_16(png);
	if (type == PNG_COLOR_TYPE_PALETTE)
		png_set_palette_to_rgb(png);
	if (type == PNG_COLOR_TYPE_GRAY && png_get_bit_depth(png, info) < 8)
		png_set_expand_gray_1_2_4_to_8(png);
	if (type & PNG_COLOR_MASK_ALPHA || png_get_valid(png, info, PNG_INFO_tRNS))
		png_set_strip_alpha(png);
}

/* Everything between setjmp and longjmp lives in this frame's arguments, so nothing is lost. */
static rein_status decode(png_structp png, png_infop info, struct reader *r, const struct image_size *size,
                          uint8_t *rgb)
{
	int passes;
	if (setjmp(png_jmpbuf(png)))
		return REIN_ERROR;
	png_set_read_fn(png, r, on_read);
	png_read_info(png, info);
	convert_to_8_bit(png, info);
	passes = png_set_interlace_handling(png);
	png_read_update_info(png, info);
	if (png_get_image_width(png, info) != size->width || png_get_image_height(png, info) != size->height ||
	    png_get_rowbytes(png, info) != (size_t)(size->width * size->channels))
		png_error(png, "the size differs from what it was when the folder was read");
	while (passes--)
		for (int64_t y = 0; y < size->height; y++)
			png_read_row(png, rgb + y * size->width * size->channels, NULL);
	png_read_end(png, NULL);
	return REIN_OK;
}

rein_status png_decode(const struct rein_host *h, const struct image_file *f, const struct image_size *size,
                       uint8_t *rgb)
{
	struct reader r = { h, f, 0 };
	png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, on_error, on_warning);
	png_infop info = png ? png_create_info_struct(png) : NULL;
	rein_status st = info ? decode(png, info, &r, size, rgb) : rein_failf(h, "'%s': out of memory", f->path);
	png_destroy_read_struct(&png, &info, NULL);
	return st;
}
