/* SPDX-License-Identifier: MIT
 *
 * idx: images and labels in the IDX format of MNIST, plain or compressed with gzip.
 *
 * An IDX file is two zero bytes, one byte for the type of its elements, one for the
 * number of dimensions, each dimension as a big-endian 32-bit number, then the
 * elements, last dimension fastest. A header is believed only as far as the bytes
 * that follow bear it out. To read another element type, add it to element_size().
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "rein/rein.h"

#define IDX_U8      0x08u
#define IDX_FLOAT   0x0Du
#define FIRST_BLOCK (UINT64_C(1) << 20)

struct table {
	uint32_t type, rank;
	int64_t dim[4];
	uint8_t *data;
};

struct idx {
	const char *images, *labels, *names;
	int64_t classes;
	struct table x, y;
	int64_t n_class;
	char *name_text, **name; /* names= at its commas */
};

static const struct rein_key idx_keys[] = {
	REIN_PATH(struct idx, images, NULL, "IDX file of the samples (count, rows, columns), plain or .gz"),
	REIN_PATH(struct idx, labels, NULL, "IDX file of the labels (count), plain or .gz"),
	REIN_INT(struct idx, classes, "0", 0, 1000000,
	         "number of classes; 0: that of names=, or the highest label plus one"),
	REIN_STRING(struct idx, names, "", "names of the classes from 0, comma-separated; empty: their numbers"),
	REIN_KEYS_END,
};

static uint32_t element_size(uint32_t type) { return type == IDX_U8 ? 1 : type == IDX_FLOAT ? 4 : 0; }

/* Exactly `want` bytes, or how many there were; -1 after a broken gzip stream. */
static int64_t read_bytes(gzFile f, uint8_t *to, uint64_t want)
{
	uint64_t got = 0;
	while (got < want) {
		unsigned int part = want - got > (1u << 30) ? 1u << 30 : (unsigned int)(want - got);
		int k = gzread(f, to + got, part);
		if (k < 0)
			return -1;
		if (k == 0)
			break;
		got += (uint64_t)k;
	}
	return (int64_t)got;
}

static rein_status broken(const struct rein_host *h, const char *path, gzFile f)
{
	int code = 0;
	const char *text = gzerror(f, &code), *colon = strrchr(text, ':');
	if (code == Z_ERRNO)
		text = strerror(errno);
	else if (code == Z_BUF_ERROR)
		text = "the compressed data end too early";
	else if (colon) /* zlib puts the path in front */
		text = colon + 2;
	return rein_failf(h, "'%s': cannot be read beyond byte %lld of its contents: %s", path, (long long)gztell(f), text);
}

/* magic and dimensions; *bytes: size of the contents that they promise */
static rein_status read_header(const struct rein_host *h, const char *path, gzFile f, struct table *t, uint64_t *bytes)
{
	uint8_t b[4];
	int64_t got = read_bytes(f, b, 4);
	if (got < 0)
		return broken(h, path, f);
	if (got < 4)
		return rein_failf(h, "'%s': ends after %lld bytes, an IDX file begins with 4 bytes of magic", path,
		                  (long long)got);
	t->type = b[2];
	t->rank = b[3];
	if (b[0] || b[1])
		return rein_failf(h, "'%s': byte 0: magic 0x%02x%02x%02x%02x is not that of an IDX file (0x0000ttdd)", path,
		                  b[0], b[1], b[2], b[3]);
	if (!element_size(t->type))
		return rein_failf(h, "'%s': byte 2: elements of type 0x%02x; only 0x08 (bytes) and 0x0d (float) can be read",
		                  path, t->type);
	if (t->rank < 1 || t->rank > 4)
		return rein_failf(h, "'%s': byte 3: %u dimensions; expected 1 to 4", path, t->rank);
	*bytes = element_size(t->type);
	for (uint32_t i = 0; i < t->rank; i++) {
		if ((got = read_bytes(f, b, 4)) < 0)
			return broken(h, path, f);
		if (got < 4)
			return rein_failf(h, "'%s': ends inside the header, at byte %lld", path, (long long)(4 + 4 * i + got));
		t->dim[i] = (int64_t)((uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3]);
		if (t->dim[i] == 0)
			return rein_failf(h, "'%s': byte %u: dimension %u is 0", path, 4 + 4 * i, i);
		if (__builtin_mul_overflow(*bytes, (uint64_t)t->dim[i], bytes) || *bytes > (UINT64_C(1) << 48))
			return rein_failf(h, "'%s': byte %u: the header promises more than 2^48 bytes", path, 4 + 4 * i);
	}
	return REIN_OK;
}

/* Memory to begin with: what a file of this size is likely to hold, or what is promised. */
static uint64_t first_room(const char *path, uint64_t bytes)
{
	struct stat info;
	uint64_t room = FIRST_BLOCK;
	if (!stat(path, &info) && info.st_size > 0 && info.st_size < INT64_C(1) << 40)
		room += 8 * (uint64_t)info.st_size;
	return bytes < room ? bytes : room;
}

/* The contents. Memory grows with what is really there, so that a lying header costs nothing. */
static rein_status read_contents(const struct rein_host *h, const char *path, gzFile f, struct table *t, uint64_t bytes)
{
	uint64_t room = first_room(path, bytes), have = 0;
	uint8_t extra;
	t->data = h->alloc(h, room);
	if (!t->data)
		return REIN_ERROR;
	for (;;) {
		int64_t got = read_bytes(f, t->data + have, room - have);
		uint8_t *more;
		if (got < 0)
			return broken(h, path, f);
		have += (uint64_t)got;
		if (have == bytes)
			break;
		if (have < room)
			return rein_failf(h, "'%s': the header promises %llu bytes of contents, the file holds %llu", path,
			                  (unsigned long long)bytes, (unsigned long long)have);
		room = bytes < 2 * room ? bytes : 2 * room;
		more = h->alloc(h, room);
		if (!more)
			return REIN_ERROR;
		memcpy(more, t->data, have);
		h->free(h, t->data);
		t->data = more;
	}
	have = (uint64_t)read_bytes(f, &extra, 1);
	if (have == 1)
		return rein_failf(h, "'%s': holds more than the %llu bytes of contents that its header promises", path,
		                  (unsigned long long)bytes);
	return have == 0 ? REIN_OK : broken(h, path, f);
}

static rein_status read_table(const struct rein_host *h, const char *path, struct table *t)
{
	uint64_t bytes = 0;
	rein_status st;
	int code;
	gzFile f = gzopen(path, "rb");
	if (!f)
		return rein_failf(h, "cannot open '%s': %s", path, errno ? strerror(errno) : "out of memory");
	gzbuffer(f, 1u << 18);
	st = read_header(h, path, f, t, &bytes);
	if (st == REIN_OK)
		st = read_contents(h, path, f, t, bytes);
	code = gzclose_r(f);
	if (st == REIN_OK && code == Z_BUF_ERROR)
		return rein_failf(h, "'%s': the compressed data end too early, the check sum is missing", path);
	return st;
}

/* big-endian floats become the machine's */
static void to_native(struct table *t)
{
	int64_t n = 1;
	for (uint32_t i = 0; i < t->rank; i++)
		n *= t->dim[i];
	for (int64_t i = 0; i < n; i++) {
		uint8_t *b = t->data + 4 * i;
		uint32_t v = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
		memcpy(b, &v, 4);
	}
}

static int64_t count_names(const char *names)
{
	int64_t n = *names != 0;
	for (; *names; names++)
		n += *names == ',';
	return n;
}

static rein_status split_names(struct idx *s, const struct rein_host *h)
{
	int64_t n = count_names(s->names), k = 0;
	if (!n)
		return REIN_OK;
	if (n != s->n_class)
		return rein_failf(h, "names= has %lld names for %lld classes", (long long)n, (long long)s->n_class);
	s->name = h->alloc(h, (uint64_t)n * sizeof *s->name);
	s->name_text = h->alloc(h, strlen(s->names) + 1);
	if (!s->name || !s->name_text)
		return REIN_ERROR;
	strcpy(s->name_text, s->names);
	for (char *at = s->name_text; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
		s->name[k++] = at;
	for (char *at = s->name_text; (at = strchr(at, ',')); at++)
		*at = 0;
	for (k = 0; k < n; k++)
		if (!*s->name[k])
			return rein_failf(h, "names=: class %lld has no name", (long long)k);
	return REIN_OK;
}

static rein_status idx_create(void *self, const struct rein_host *h)
{
	struct idx *s = self;
	int64_t top = 0, classes = s->classes ? s->classes : count_names(s->names);
	if (read_table(h, s->images, &s->x) < 0 || read_table(h, s->labels, &s->y) < 0)
		return REIN_ERROR;
	if (s->x.rank < 2)
		return rein_failf(h, "'%s': 1 dimension; samples need at least 2 (count, features)", s->images);
	if (s->y.rank != 1 || s->y.type != IDX_U8)
		return rein_failf(h, "'%s': magic 0x0000%02x%02x; labels are one byte each (0x00000801)", s->labels, s->y.type,
		                  s->y.rank);
	if (s->x.dim[0] != s->y.dim[0])
		return rein_failf(h, "'%s' holds %lld samples, '%s' %lld labels", s->images, (long long)s->x.dim[0], s->labels,
		                  (long long)s->y.dim[0]);
	for (int64_t i = 0; i < s->y.dim[0]; i++) {
		if (classes && s->y.data[i] >= classes)
			return rein_failf(h, "'%s': byte %lld: label %d is outside the %lld classes", s->labels, (long long)(8 + i),
			                  s->y.data[i], (long long)classes);
		if (s->y.data[i] > top)
			top = s->y.data[i];
	}
	s->n_class = classes ? classes : top + 1;
	if (s->x.type == IDX_FLOAT)
		to_native(&s->x);
	return split_names(s, h);
}

static void idx_destroy(void *self, const struct rein_host *h)
{
	struct idx *s = self;
	h->free(h, s->x.data);
	h->free(h, s->y.data);
	h->free(h, s->name);
	h->free(h, s->name_text);
	s->x.data = s->y.data = NULL;
	s->name = NULL;
	s->name_text = NULL;
}

/* (count, D) is D features; (count, H, W) are grey images; (count, C, H, W) images */
static rein_status idx_info(void *self, struct rein_dataset_info *o)
{
	const struct idx *s = self;
	o->dtype = s->x.type == IDX_U8 ? REIN_U8_T : REIN_REAL_T;
	o->rank = s->x.rank == 2 ? 1 : 3;
	o->dim[0] = s->x.rank == 3 ? 1 : s->x.dim[1];
	for (uint32_t i = 1; i < o->rank; i++)
		o->dim[i] = s->x.dim[i + (s->x.rank == 4)];
	o->target = REIN_TARGET_CLASS;
	o->count = s->x.dim[0];
	o->classes = s->n_class;
	o->class_names = (const char *const *)s->name;
	return REIN_OK;
}

static rein_status idx_read(const void *self, const struct rein_host *h, int64_t i, void *x, void *y)
{
	const struct idx *s = self;
	size_t bytes = element_size(s->x.type);
	(void)h;
	for (uint32_t k = 1; k < s->x.rank; k++)
		bytes *= (size_t)s->x.dim[k];
	if (x)
		memcpy(x, s->x.data + (size_t)i * bytes, bytes);
	*(int32_t *)y = s->y.data[i];
	return REIN_OK;
}

static const struct rein_dataset_vt idx_vt = { .struct_size = sizeof idx_vt, .info = idx_info, .read = idx_read };

REIN_COMPONENT(idx, REIN_DATASET, struct idx, idx_keys, &idx_vt, .create = idx_create, .destroy = idx_destroy,
               .summary = "images and labels in MNIST's IDX files, plain or gzip",
               .reference = "LeCun, Cortes and Burges, the MNIST database");
REIN_PLUGIN("idx", "1.0.0", "MIT", &idx_component)
