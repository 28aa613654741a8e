/* SPDX-License-Identifier: MIT
 *
 * image_folder: PNG and JPEG files; the class is the name of the folder a file lies in, at
 * any depth. The format is told by the first bytes, not by the name. Images of different
 * sizes are allowed: a `resize` transform then makes them equal. Walking is files.c's,
 * decoding decode_*.c's, planes.c makes
 * samples of what was decoded.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"

#define HEADER_BYTES 1024u
#define FILE_MAX     (INT64_C(1) << 30)

enum { CHANNELS_AUTO, CHANNELS_GREY, CHANNELS_RGB };
enum { ON_ERROR_FAIL, ON_ERROR_SKIP };
enum { EXIF_APPLY, EXIF_IGNORE };

struct image_folder {
	const char *path;
	int32_t channels, on_error, exif;
	struct rein_ints draft;
	struct files files;
	int64_t n_channel; /* of every sample: 1 or 3 */
};

static const char *const channels_choices[] = { "auto", "grey", "rgb", NULL };
static const char *const on_error_choices[] = { "fail", "skip", NULL };

static const char *const exif_choices[] = { "apply", "ignore", NULL };

static const struct rein_key image_folder_keys[] = {
	REIN_PATH(struct image_folder, path, NULL, "the folder; hidden files and other formats in it are left out"),
	REIN_ENUM(struct image_folder, channels, "auto", channels_choices, "auto: rgb, or grey where every image is"),
	REIN_INTS(struct image_folder, draft, "", 1, 65536, REIN_KEY_MAY_BE_EMPTY,
	          "height,width: JPEGs are decoded at the fewest eighths of their size that cover it, which is faster and "
	          "not quite what a full decoding and a resize give; empty: whole"),
	REIN_ENUM(
		struct image_folder, on_error, "fail", on_error_choices,
		"skip: leave out files that cannot be decoded; where the samples of a split are not kept in memory, all are "
		"decoded once for that before the run begins"),
	REIN_ENUM(
		struct image_folder, exif, "apply", exif_choices,
		"apply: a JPEG is turned upright as its EXIF orientation says; ignore: as torchvision.datasets.ImageFolder"),
	REIN_KEYS_END
};

struct format {
	const char *magic;
	size_t n_magic;
	rein_status (*size)(const struct rein_host *, const struct image_file *, struct image_size *);
	rein_status (*decode)(const struct rein_host *, const struct image_file *, const struct image_size *, uint8_t *);
};
static const struct format formats[] = {
	{ "\x89PNG\r\n\x1a\n", 8, png_size, png_decode },
	{ "\xFF\xD8\xFF", 3, jpeg_size, jpeg_decode },
};

static const struct format *find_format(const struct rein_host *h, const struct image_file *f)
{
	char begin[16] = "";
	for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
		if (f->bytes >= formats[i].n_magic && !memcmp(f->data, formats[i].magic, formats[i].n_magic))
			return &formats[i];
	for (uint64_t i = 0; i < 4 && i < f->bytes; i++)
		snprintf(begin + 3 * i, sizeof begin - 3 * i, " %02x", f->data[i]);
	rein_failf(h, f->bytes ? "'%s' is neither PNG nor JPEG: it begins with%s" : "'%s' is empty%s", f->path, begin);
	return NULL;
}

/* The file, or its first `limit` bytes, into memory that the caller frees. */
static rein_status load(const struct rein_host *h, const char *path, int64_t limit, struct image_file *f)
{
	FILE *in = fopen(path, "rb");
	int64_t size = -1;
	f->path = path;
	f->data = NULL;
	f->bytes = 0;
	if (!in)
		return rein_failf(h, "cannot open '%s': %s", path, strerror(errno));
	setvbuf(in, NULL, _IONBF, 0);
	if (limit)
		size = limit;
	else if (!fseek(in, 0, SEEK_END))
		size = ftell(in);
	rewind(in);
	if (size >= 0 && size <= FILE_MAX) {
		uint8_t *data = h->alloc(h, (uint64_t)size + 1);
		f->data = data;
		if (data)
			f->bytes = fread(data, 1, (size_t)size, in);
	} else {
		rein_failf(h, "'%s': %lld bytes; at most 2^30 can be read", path, (long long)size);
	}
	if (f->data && ferror(in)) {
		rein_failf(h, "cannot read '%s': %s", path, strerror(errno));
		h->free(h, (void *)(uintptr_t)f->data);
		f->data = NULL;
	}
	fclose(in);
	return f->data ? REIN_OK : REIN_ERROR;
}

static void unload(const struct rein_host *h, struct image_file *f) { h->free(h, (void *)(uintptr_t)f->data); }

/* Most headers lie in the first bytes; where they do not, the whole file is read. */
static rein_status measure(const struct rein_host *h, const char *path, struct image_size *size)
{
	for (int64_t limit = HEADER_BYTES;; limit = 0) {
		struct image_file f;
		const struct format *format;
		rein_status st = load(h, path, limit, &f);
		if (st < 0)
			return st;
		format = find_format(h, &f);
		st = format ? format->size(h, &f, size) : REIN_ERROR;
		unload(h, &f);
		if (st == REIN_SKIP && !limit)
			return rein_failf(h, "'%s': ends before the size of the image", path);
		if (st != REIN_SKIP)
			return st;
	}
}

/* Smaller, where draft= allows it. */
static void shrink(const struct image_folder *s, struct image_size *size)
{
	if (s->draft.n && size->eighths == 8)
		jpeg_shrink(size, s->draft.v[0], s->draft.v[s->draft.n - 1]);
}

struct measuring {
	const struct rein_host *host;
	struct image_folder *folder;
};

static void measure_one(void *ctx, int64_t i)
{
	const struct measuring *m = ctx;
	struct found *f = &m->folder->files.file[i];
	f->broken = measure(m->host, f->path, &f->size) < 0;
	if (m->folder->exif == EXIF_IGNORE)
		f->size.turn = 1;
	if (!f->broken)
		shrink(m->folder, &f->size);
}

static rein_status image_folder_create(void *self, const struct rein_host *h)
{
	struct image_folder *s = self;
	struct measuring m = { h, s };
	if (s->draft.n > 2)
		return rein_failf(h, "draft= takes one or two numbers");
	if (files_find(&s->files, h, s->path) < 0)
		return REIN_ERROR;
	h->parallel(h, s->files.n, measure_one, &m);
	s->n_channel = s->channels == CHANNELS_RGB ? 3 : 1;
	for (int64_t i = 0; i < s->files.n; i++) {
		const struct found *f = &s->files.file[i];
		if (f->broken && s->on_error == ON_ERROR_FAIL) {
			struct image_size again;
			if (measure(h, f->path, &again) < 0) /* once more here, for the sentence: fail() is per thread */
				return REIN_ERROR;
		}
		if (!f->broken && f->size.channels == 3 && s->channels == CHANNELS_AUTO)
			s->n_channel = 3;
	}
	return REIN_OK;
}

static void image_folder_destroy(void *self, const struct rein_host *h)
{
	struct image_folder *s = self;
	files_free(&s->files, h);
}

static rein_status image_folder_info(void *self, struct rein_dataset_info *o)
{
	const struct image_folder *s = self;
	const struct found *first = NULL;
	o->dtype = REIN_U8_T;
	o->rank = 3;
	o->dim[0] = s->n_channel;
	for (int64_t i = 0; i < s->files.n; i++) {
		const struct found *f = &s->files.file[i];
		if (f->broken)
			continue;
		if (!first) {
			first = f;
			o->dim[1] = upright_height(&f->size);
			o->dim[2] = upright_width(&f->size);
		}
		if (upright_height(&f->size) != upright_height(&first->size))
			o->dim[1] = -1;
		if (upright_width(&f->size) != upright_width(&first->size))
			o->dim[2] = -1;
	}
	if (!first)
		o->dim[1] = o->dim[2] = -1;
	o->target = REIN_TARGET_CLASS;
	o->count = s->files.n;
	o->classes = s->files.n_class;
	o->class_names = s->files.class_name;
	o->flags = s->on_error == ON_ERROR_SKIP ? REIN_LEAVES_OUT_LATE : 0;
	return REIN_OK;
}

static rein_status image_folder_shape(const void *self, const struct rein_host *h, int64_t i, int64_t *dim)
{
	const struct image_folder *s = self;
	const struct found *f = &s->files.file[i];
	(void)h;
	dim[0] = s->n_channel;
	dim[1] = upright_height(&f->size);
	dim[2] = upright_width(&f->size);
	return f->broken ? REIN_SKIP : REIN_OK;
}

static rein_status read_image(const struct image_folder *s, const struct rein_host *h, const struct found *f, void *x)
{
	int64_t pixels = f->size.height * f->size.width;
	uint8_t *rows = h->alloc(h, (uint64_t)(pixels * f->size.channels));
	struct image_file file;
	const struct format *format;
	rein_status st = rows ? load(h, f->path, 0, &file) : REIN_ERROR;
	if (st == REIN_OK) {
		format = find_format(h, &file);
		st = format ? format->decode(h, &file, &f->size, rows) : REIN_ERROR;
		unload(h, &file);
	}
	if (st == REIN_OK)
		st = image_planes(h, rows, &f->size, s->n_channel, x);
	h->free(h, rows);
	return st;
}

static rein_status image_folder_read(const void *self, const struct rein_host *h, int64_t i, void *x, void *y)
{
	const struct image_folder *s = self;
	const struct found *f = &s->files.file[i];
	*(int32_t *)y = f->class_index;
	if (f->broken)
		return REIN_SKIP;
	if (x && read_image(s, h, f, x) < 0)
		return s->on_error == ON_ERROR_SKIP ? REIN_SKIP : REIN_ERROR;
	return REIN_OK;
}

static void image_folder_describe(const void *self, int64_t i, char *buf, uint64_t size)
{
	const struct image_folder *s = self;
	snprintf(buf, size, "%s", s->files.file[i].path);
}

static const struct rein_dataset_vt image_folder_vt = { .struct_size = sizeof image_folder_vt,
	                                                    .info = image_folder_info,
	                                                    .read = image_folder_read,
	                                                    .shape = image_folder_shape,
	                                                    .describe = image_folder_describe };

REIN_COMPONENT(image_folder, REIN_DATASET, struct image_folder, image_folder_keys, &image_folder_vt,
               .create = image_folder_create, .destroy = image_folder_destroy,
               .summary = "PNG and JPEG files, one class for each leaf folder",
               .reference = "torchvision.datasets.ImageFolder, at any depth");
REIN_PLUGIN("image_folder", "1.0.0", "MIT", &image_folder_component)
