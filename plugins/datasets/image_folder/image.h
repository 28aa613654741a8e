/* SPDX-License-Identifier: MIT
 *
 * image.h: what the folder asks of a decoder. To add a format, write these two
 * functions for it and a row in image_folder.c's `formats`.
 */
#ifndef IMAGE_H
#define IMAGE_H

#include "rein/rein.h"

#define IMAGE_PIXELS_MAX (INT64_C(1) << 28)

/* A file in memory, with its name for messages. */
struct image_file {
	const char *path;
	const uint8_t *data;
	uint64_t bytes;
};
struct image_size {
	int64_t height, width, channels; /* as decoded; channels: 1 grey, 3 colour */
	int64_t eighths;                 /* JPEG: decoded at this many eighths of its size; else 0 */
	int64_t turn;                    /* EXIF's orientation: 1 upright, 2 .. 8; 5 and more lie on a side */
};

/* From the header alone; data may be only the beginning of the file. REIN_SKIP (with no
 * message): the header is longer than what is there. */
rein_status png_size(const struct rein_host *, const struct image_file *, struct image_size *);
rein_status jpeg_size(const struct rein_host *, const struct image_file *, struct image_size *);
/* Rows of channels (H,W,channels), 8 bits, of exactly the size given, channels 1 or 3 as the
 * file has them. */
rein_status png_decode(const struct rein_host *, const struct image_file *, const struct image_size *, uint8_t *rgb);
/* Sides of the sample; rows as decoded become its planes (channels,H,W), upright. */
int64_t upright_height(const struct image_size *);
int64_t upright_width(const struct image_size *);
rein_status image_planes(const struct rein_host *, const uint8_t *rows, const struct image_size *, int64_t channels,
                         uint8_t *x);
/* The fewest eighths at which both sides of a JPEG still cover height and width, sizes set to
 * what libjpeg then gives. */
void jpeg_shrink(struct image_size *, int64_t height, int64_t width);
rein_status jpeg_decode(const struct rein_host *, const struct image_file *, const struct image_size *, uint8_t *rgb);

#endif
