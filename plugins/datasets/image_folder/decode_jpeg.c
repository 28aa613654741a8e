/* SPDX-License-Identifier: MIT
 *
 * decode_jpeg.c: JPEG through libjpeg-turbo: grey or YCbCr, baseline or progressive. Four
 * channels (CMYK) are refused, since their colours depend on a profile. Data that end
 * too early are an error, where libjpeg alone would fill up with grey.
 */
#include "image.h"

#include <jpeglib.h>
#include <jerror.h>
#include <setjmp.h>
#include <stdbool.h>
#include <string.h>

struct failure {
	struct jpeg_error_mgr base; /* first: libjpeg hands it back */
	const struct rein_host *host;
	const struct image_file *file;
	jmp_buf back;
};

static void on_error(j_common_ptr c)
{
	struct failure *e = (struct failure *)c->err;
	char text[JMSG_LENGTH_MAX];
	e->base.format_message(c, text);
	rein_failf(e->host, "'%s': damaged JPEG: %s", e->file->path, text);
	longjmp(e->back, 1);
}

static void on_message(j_common_ptr c, int level)
{
	if (level < 0 && (c->err->msg_code == JWRN_JPEG_EOF || c->err->msg_code == JWRN_HIT_MARKER))
		on_error(c);
}

static void on_output(j_common_ptr c) { (void)c; }

static uint32_t number(const uint8_t *d, int bytes, bool little)
{
	uint32_t v = 0;
	for (int i = 0; i < bytes; i++)
		v |= (uint32_t)d[i] << 8 * (little ? i : bytes - 1 - i);
	return v;
}

/* Orientation in an APP1 segment: "Exif", 0, 0, then TIFF: "II" or "MM", 42, where the first list
 * of entries lies; their count (2); each entry tag (2), type (2), count (4), value. Exif 2.32, 4.6.
 * What is damaged or has none is upright. */
static int64_t orientation(const uint8_t *d, uint64_t n)
{
	if (n < 14 || memcmp(d, "Exif\0", 6))
		return 1;
	d += 6;
	n -= 6;
	bool little = d[0] == 'I';
	uint64_t at = number(d + 4, 4, little), entries = at + 2 <= n ? number(d + at, 2, little) : 0;
	for (at += 2; entries-- && at + 12 <= n; at += 12)
		if (number(d + at, 2, little) == 0x0112) {
			uint32_t v = number(d + at + 8, 2, little);
			return v >= 1 && v <= 8 ? v : 1;
		}
	return 1;
}

/* Walks the markers up to the frame header, which holds height, width and components:
 * FF Cn, length (2), precision (1), height (2), width (2), components (1). */
rein_status jpeg_size(const struct rein_host *h, const struct image_file *f, struct image_size *o)
{
	const uint8_t *d = f->data;
	uint64_t at = 2;
	o->turn = 1;
	for (;;) {
		uint32_t marker, length;
		while (at < f->bytes && d[at] == 0xFF && at + 1 < f->bytes && d[at + 1] == 0xFF)
			at++; /* fill bytes */
		if (at + 4 > f->bytes)
			return REIN_SKIP;
		if (d[at] != 0xFF)
			return rein_failf(h, "'%s': byte %llu: expected a JPEG marker (0xff), found 0x%02x", f->path,
			                  (unsigned long long)at, d[at]);
		marker = d[at + 1];
		length = (uint32_t)d[at + 2] << 8 | d[at + 3];
		if (marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC)
			break;
		if (marker == 0xD9 || marker == 0xDA || length < 2)
			return rein_failf(h, "'%s': byte %llu: marker 0x%02x before the size of the image", f->path,
			                  (unsigned long long)at, marker);
		if (marker == 0xE1 && at + 2 + length > f->bytes)
			return REIN_SKIP;
		if (marker == 0xE1 && o->turn == 1)
			o->turn = orientation(d + at + 4, length - 2);
		at += 2 + length;
	}
	if (at + 10 > f->bytes)
		return REIN_SKIP;
	o->height = d[at + 5] << 8 | d[at + 6];
	o->width = d[at + 7] << 8 | d[at + 8];
	o->channels = d[at + 9];
	o->eighths = 8;
	if (o->channels != 1 && o->channels != 3)
		return rein_failf(h, "'%s': a JPEG of %lld channels%s; only grey (1) and colour (3) can be read", f->path,
		                  (long long)o->channels, o->channels == 4 ? " (CMYK)" : "");
	if (!o->height || !o->width || o->height * o->width > IMAGE_PIXELS_MAX)
		return rein_failf(h, "'%s': byte %llu: %lld x %lld pixels; at most 2^28 and at least one can be read", f->path,
		                  (unsigned long long)at + 5, (long long)o->width, (long long)o->height);
	return REIN_OK;
}

void jpeg_shrink(struct image_size *s, int64_t height, int64_t width)
{
	bool side = s->turn > 4;
	for (int64_t k = 1; k < 8; k++) {
		int64_t h = (s->height * k + 7) / 8, w = (s->width * k + 7) / 8;
		if ((side ? w : h) < height || (side ? h : w) < width)
			continue;
		*s = (struct image_size){ h, w, s->channels, k, s->turn };
		return;
	}
}

/* Between setjmp and longjmp nothing local changes, so nothing is lost. */
static rein_status decode(struct jpeg_decompress_struct *c, struct failure *e, const struct image_size *size,
                          uint8_t *rgb)
{
	if (setjmp(e->back))
		return REIN_ERROR;
	jpeg_create_decompress(c);
	jpeg_mem_src(c, e->file->data, (unsigned long)e->file->bytes);
	jpeg_read_header(c, TRUE);
	if (size->eighths) {
		c->scale_num = (unsigned)size->eighths;
		c->scale_denom = 8;
	}
	c->out_color_space = size->channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
	jpeg_start_decompress(c);
	if (c->output_width != size->width || c->output_height != size->height || c->output_components != size->channels)
		return rein_failf(e->host, "'%s': the size differs from what it was when the folder was read", e->file->path);
	while (c->output_scanline < c->output_height) {
		JSAMPROW row = rgb + (int64_t)c->output_scanline * size->width * size->channels;
		jpeg_read_scanlines(c, &row, 1);
	}
	jpeg_finish_decompress(c);
	return REIN_OK;
}

rein_status jpeg_decode(const struct rein_host *h, const struct image_file *f, const struct image_size *size,
                        uint8_t *rgb)
{
	struct jpeg_decompress_struct c;
	struct failure e;
	rein_status st;
	memset(&c, 0, sizeof c);
	memset(&e, 0, sizeof e);
	c.err = jpeg_std_error(&e.base);
	e.base.error_exit = on_error;
	e.base.emit_message = on_message;
	e.base.output_message = on_output;
	e.host = h;
	e.file = f;
	st = decode(&c, &e, size, rgb);
	jpeg_destroy_decompress(&c);
	return st;
}
