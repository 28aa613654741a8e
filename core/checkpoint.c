/* SPDX-License-Identifier: MIT
 *
 * checkpoint.c: reads and writes safetensors. cJSON reads the header; everything it claims
 * is held against the file. Tensors of types that rein does not compute in are converted:
 * F16 and BF16 to float, I64 to int32 where every value fits. To read another type, add a
 * row to `types` (and a case to convert()).
 */
#include "checkpoint.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files.h"

#define HEADER_MAX (INT64_C(100) << 20) /* as in Hugging Face's reader */
#define ALIGNMENT  64

enum { CONVERT_NO, CONVERT_F16, CONVERT_BF16, CONVERT_I64 };

static const struct type {
	const char *name;
	uint32_t dtype, size; /* size in the file */
	int convert;
} types[] = {
	{ "F32", REIN_REAL_T, 4, CONVERT_NO },    { "F64", REIN_WIDE_T, 8, CONVERT_NO },
	{ "I32", REIN_I32_T, 4, CONVERT_NO },     { "U8", REIN_U8_T, 1, CONVERT_NO },
	{ "BOOL", REIN_BOOL_T, 1, CONVERT_NO },   { "F16", REIN_REAL_T, 2, CONVERT_F16 },
	{ "BF16", REIN_REAL_T, 2, CONVERT_BF16 }, { "I64", REIN_I32_T, 8, CONVERT_I64 },
};
#define N_TYPE ((int)(sizeof types / sizeof *types))

/* A tensor while it is being read. */
struct claim {
	struct st_tensor t;
	const struct type *type;
	int64_t from, to; /* bytes within the data */
};

struct reading {
	const char *path;
	const uint8_t *map;
	int64_t size, data; /* of the file; where the tensors' bytes begin */
	struct st_file *file;
	struct claim *claim; /* n of the file, in header order, later by place */
	char *why;
	size_t why_size;
};

static bool refuse(struct reading *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool refuse(struct reading *r, const char *format, ...)
{
	char text[512];
	va_list ap;
	va_start(ap, format);
	vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	snprintf(r->why, r->why_size, "'%s': %s", r->path, text);
	return false;
}

/* A JSON number that is a whole number from 0 to 2^53. */
static bool whole(const cJSON *j, int64_t *out)
{
	if (!cJSON_IsNumber(j) || !(j->valuedouble >= 0) || j->valuedouble > 0x1p53)
		return false;
	*out = (int64_t)j->valuedouble;
	return (double)*out == j->valuedouble;
}

static bool read_shape(struct reading *r, const cJSON *shape, struct claim *c)
{
	int64_t n = 1;
	const cJSON *j;
	if (!cJSON_IsArray(shape))
		return refuse(r, "tensor '%s' has no shape", c->t.name);
	if (cJSON_GetArraySize(shape) > 8)
		return refuse(r, "tensor '%s' has %d dimensions; at most 8 can be read", c->t.name, cJSON_GetArraySize(shape));
	cJSON_ArrayForEach(j, shape)
	{
		int64_t d;
		if (!whole(j, &d) || __builtin_mul_overflow(n, d, &n))
			return refuse(r, "tensor '%s': dimension %u is no size", c->t.name, c->t.rank);
		c->t.dim[c->t.rank++] = d;
	}
	if (__builtin_mul_overflow(n, (int64_t)c->type->size, &n))
		return refuse(r, "tensor '%s' has more bytes than can be counted", c->t.name);
	if (n != c->to - c->from)
		return refuse(r, "tensor '%s': its shape needs %lld bytes, data_offsets give it %lld", c->t.name, (long long)n,
		              (long long)(c->to - c->from));
	return true;
}

static bool read_claim(struct reading *r, const cJSON *entry, struct claim *c)
{
	const cJSON *dtype = cJSON_GetObjectItemCaseSensitive(entry, "dtype");
	const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(entry, "data_offsets");
	int64_t room = r->size - r->data;
	c->t.name = entry->string;
	if (!cJSON_IsObject(entry) || !cJSON_IsString(dtype))
		return refuse(r, "tensor '%s' has no dtype", c->t.name);
	for (int i = 0; i < N_TYPE && !c->type; i++)
		if (!strcmp(types[i].name, dtype->valuestring))
			c->type = &types[i];
	if (!c->type)
		return refuse(r, "tensor '%s' is of dtype '%.32s'; F64, F32, F16, BF16, I64, I32, U8 and BOOL can be read",
		              c->t.name, dtype->valuestring);
	if (cJSON_GetArraySize(offsets) != 2 || !whole(cJSON_GetArrayItem(offsets, 0), &c->from) ||
	    !whole(cJSON_GetArrayItem(offsets, 1), &c->to))
		return refuse(r, "tensor '%s' has no data_offsets [begin, end]", c->t.name);
	if (c->from > c->to || c->to > room)
		return refuse(r, "tensor '%s': data_offsets %lld to %lld; the file has %lld bytes of data", c->t.name,
		              (long long)c->from, (long long)c->to, (long long)room);
	return read_shape(r, cJSON_GetObjectItemCaseSensitive(entry, "shape"), c);
}

static bool read_meta(struct reading *r, const cJSON *meta)
{
	struct st_file *f = r->file;
	const cJSON *j;
	int n = cJSON_GetArraySize(meta);
	if (!cJSON_IsObject(meta))
		return refuse(r, "__metadata__ is not an object");
	f->meta_key = calloc((size_t)n + 1, sizeof *f->meta_key);
	f->meta_value = calloc((size_t)n + 1, sizeof *f->meta_value);
	if (!f->meta_key || !f->meta_value)
		return refuse(r, "out of memory");
	cJSON_ArrayForEach(j, meta)
	{
		if (!cJSON_IsString(j))
			return refuse(r, "__metadata__ '%.64s' is not a string", j->string);
		f->meta_key[f->n_meta] = strdup(j->string);
		f->meta_value[f->n_meta] = strdup(j->valuestring);
		if (!f->meta_key[f->n_meta++] || !f->meta_value[f->n_meta - 1])
			return refuse(r, "out of memory");
	}
	return true;
}

static int by_place(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;
	if (x->from != y->from)
		return x->from < y->from ? -1 : 1;
	return x->to < y->to ? -1 : x->to > y->to;
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(const struct claim *const *)a)->t.name, (*(const struct claim *const *)b)->t.name);
}

/* No name twice; the tensors fill the data without gap or overlap. */
static bool check_claims(struct reading *r)
{
	int n = r->file->n;
	int64_t end = 0;
	const struct claim **sorted = malloc(((size_t)n + 1) * sizeof(void *));
	bool good = true;
	if (!sorted)
		return refuse(r, "out of memory");
	for (int i = 0; i < n; i++)
		sorted[i] = &r->claim[i];
	qsort(sorted, (size_t)n, sizeof *sorted, by_name);
	for (int i = 1; good && i < n; i++)
		if (!strcmp(sorted[i]->t.name, sorted[i - 1]->t.name))
			good = refuse(r, "tensor '%s' is there twice", sorted[i]->t.name);
	free(sorted);
	if (!good)
		return false;
	qsort(r->claim, (size_t)n, sizeof *r->claim, by_place);
	for (int i = 0; i < n; i++) {
		if (r->claim[i].from != end)
			return refuse(r, "tensor '%s' begins at byte %lld of the data, %s byte %lld", r->claim[i].t.name,
			              (long long)r->claim[i].from,
			              r->claim[i].from < end ? "inside the one that ends at" : "after a gap from", (long long)end);
		end = r->claim[i].to;
	}
	if (end != r->size - r->data)
		return refuse(r, "the tensors end at byte %lld of the data, the file at byte %lld", (long long)end,
		              (long long)(r->size - r->data));
	return true;
}

/* Bytes of an element in memory, 0 for a dtype that no file holds. */
static uint32_t memory_size(uint32_t dtype)
{
	for (int i = 0; i < N_TYPE; i++)
		if (types[i].dtype == dtype && types[i].convert == CONVERT_NO)
			return types[i].size;
	return 0;
}

static float half_to_float(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = (h >> 10) & 31u, fraction = h & 1023u, bits;
	float f;
	if (exponent == 0) { /* fraction * 2^-24 */
		f = (float)fraction * 0x1p-24f;
		return sign ? -f : f;
	}
	bits = sign | (exponent == 31 ? 255u << 23 : (exponent + 112) << 23) | fraction << 13;
	memcpy(&f, &bits, 4);
	return f;
}

static bool convert(struct reading *r, const struct claim *c, const uint8_t *from, void *to)
{
	int64_t n = (c->to - c->from) / c->type->size;
	for (int64_t i = 0; i < n; i++) {
		uint16_t h;
		uint32_t bits;
		int64_t k;
		if (c->type->convert == CONVERT_I64) {
			memcpy(&k, from + 8 * i, 8);
			if (k < INT32_MIN || k > INT32_MAX)
				return refuse(r, "tensor '%s': entry %lld is %lld, beyond 32 bits", c->t.name, (long long)i,
				              (long long)k);
			((int32_t *)to)[i] = (int32_t)k;
			continue;
		}
		memcpy(&h, from + 2 * i, 2);
		bits = (uint32_t)h << 16;
		if (c->type->convert == CONVERT_F16)
			((float *)to)[i] = half_to_float(h);
		else
			memcpy((float *)to + i, &bits, 4);
	}
	return true;
}

static int64_t bytes_in_memory(const struct claim *c)
{
	int64_t n = (c->to - c->from) / c->type->size;
	return n * memory_size(c->type->dtype);
}

/* Tensors into the file's struct, each aligned. Files written well need no copy. */
static bool place_tensors(struct reading *r)
{
	struct st_file *f = r->file;
	int64_t room = 0;
	bool copy = false;
	uint8_t *block = NULL;
	f->tensor = calloc((size_t)f->n + 1, sizeof *f->tensor);
	if (!f->tensor)
		return refuse(r, "out of memory");
	for (int i = 0; i < f->n; i++) {
		const struct claim *c = &r->claim[i];
		copy |= c->type->convert != CONVERT_NO || (r->data + c->from) % c->type->size;
		room += (bytes_in_memory(c) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	}
	if (copy) {
		block = aligned_alloc(ALIGNMENT, (size_t)room + ALIGNMENT);
		if (!block)
			return refuse(r, "out of memory for %lld bytes", (long long)room);
		f->map = block;
		f->size = 0; /* not mapped: freed by free() */
	}
	for (int i = 0; i < f->n; i++) {
		const struct claim *c = &r->claim[i];
		const uint8_t *from = r->map + r->data + c->from;
		f->tensor[i] = c->t;
		f->tensor[i].dtype = c->type->dtype;
		f->tensor[i].bytes = bytes_in_memory(c);
		f->tensor[i].data = copy ? block : from;
		f->tensor[i].name = strdup(c->t.name);
		if (!f->tensor[i].name)
			return refuse(r, "out of memory");
		for (int64_t k = c->from; c->type->dtype == REIN_BOOL_T && k < c->to; k++)
			if (r->map[r->data + k] > 1)
				return refuse(r, "tensor '%s': byte %lld is %d; a BOOL is 0 or 1", c->t.name, (long long)(k - c->from),
				              r->map[r->data + k]);
		if (!copy)
			continue;
		if (c->type->convert == CONVERT_NO)
			memcpy(block, from, (size_t)f->tensor[i].bytes);
		else if (!convert(r, c, from, block))
			return false;
		block += (f->tensor[i].bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	}
	return true;
}

static bool read_header(struct reading *r, const cJSON *header)
{
	const cJSON *j;
	bool seen_meta = false;
	if (!cJSON_IsObject(header))
		return refuse(r, "byte 8: the header is not a JSON object");
	r->claim = calloc((size_t)cJSON_GetArraySize(header) + 1, sizeof *r->claim);
	if (!r->claim)
		return refuse(r, "out of memory");
	cJSON_ArrayForEach(j, header)
	{
		if (!strcmp(j->string, "__metadata__")) {
			if (seen_meta)
				return refuse(r, "__metadata__ is there twice");
			seen_meta = true;
			if (!read_meta(r, j))
				return false;
		} else if (!read_claim(r, j, &r->claim[r->file->n++])) {
			return false;
		}
	}
	return check_claims(r) && place_tensors(r);
}

/* The whole file is mapped at r->map. */
static bool read_file(struct reading *r)
{
	uint64_t length = 0;
	const char *end = NULL;
	cJSON *header;
	bool good;
	if (r->size < 8)
		return refuse(r, "%lld bytes; a safetensors file begins with 8 bytes of header length", (long long)r->size);
	for (int i = 0; i < 8; i++)
		length |= (uint64_t)r->map[i] << (8 * i);
	if (length > (uint64_t)HEADER_MAX || (int64_t)length > r->size - 8)
		return refuse(r, "byte 0: a header of %llu bytes in a file of %lld", (unsigned long long)length,
		              (long long)r->size);
	r->data = 8 + (int64_t)length;
	if (!length || r->map[8] != '{')
		return refuse(r, "byte 8: the header does not begin with '{'");
	header = cJSON_ParseWithLengthOpts((const char *)r->map + 8, length, &end, false);
	if (!header)
		return refuse(r, "byte %lld: the header is not JSON", end ? (long long)(end - (const char *)r->map) : 8LL);
	good = true;
	for (const char *p = end; good && p < (const char *)r->map + r->data; p++)
		if (*p != ' ' && *p)
			good = refuse(r, "byte %lld: text after the end of the header", (long long)(p - (const char *)r->map));
	good = good && read_header(r, header);
	cJSON_Delete(header);
	return good;
}

struct st_file *st_open(const char *path, char *why, size_t size)
{
	struct reading r = { .path = path, .why = why, .why_size = size };
	struct stat info;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	void *map = MAP_FAILED;
	bool good;
	if (fd < 0 || fstat(fd, &info)) {
		snprintf(why, size, "cannot open '%s': %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	r.size = info.st_size;
	if (S_ISREG(info.st_mode) && r.size > 0)
		map = mmap(NULL, (size_t)r.size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (map == MAP_FAILED) {
		refuse(&r, S_ISDIR(info.st_mode) ? "is a folder" : r.size ? "cannot be mapped" : "is empty");
		return NULL;
	}
	r.map = map;
	r.file = calloc(1, sizeof *r.file);
	good = r.file ? read_file(&r) : refuse(&r, "out of memory");
	if (good && !r.file->map) { /* tensors lie in the map itself */
		r.file->map = map;
		r.file->size = r.size;
	} else {
		munmap(map, (size_t)r.size);
	}
	free(r.claim);
	if (good)
		return r.file;
	st_close(r.file);
	return NULL;
}

void st_close(struct st_file *f)
{
	if (!f)
		return;
	for (int i = 0; f->tensor && i < f->n; i++)
		free((char *)(uintptr_t)f->tensor[i].name);
	for (int i = 0; i < f->n_meta; i++) {
		free(f->meta_key[i]);
		free(f->meta_value[i]);
	}
	free(f->tensor);
	free(f->meta_key);
	free(f->meta_value);
	if (f->size)
		munmap(f->map, (size_t)f->size);
	else
		free(f->map);
	free(f);
}

const char *st_meta(const struct st_file *f, const char *key)
{
	for (int i = 0; i < f->n_meta; i++)
		if (strcmp(f->meta_key[i], key) == 0)
			return f->meta_value[i];
	return NULL;
}

const struct st_tensor *st_find(const struct st_file *f, const char *name)
{
	for (int i = 0; i < f->n; i++)
		if (!strcmp(f->tensor[i].name, name))
			return &f->tensor[i];
	return NULL;
}

/* --- writing ------------------------------------------------------------------------------ */
static const char *type_name(uint32_t dtype)
{
	for (int i = 0; i < N_TYPE; i++)
		if (types[i].dtype == dtype && types[i].convert == CONVERT_NO)
			return types[i].name;
	return NULL;
}

static bool add_entry(cJSON *header, const struct st_tensor *t, int64_t at)
{
	cJSON *e = cJSON_AddObjectToObject(header, t->name), *shape, *offsets;
	bool good = e && cJSON_AddStringToObject(e, "dtype", type_name(t->dtype));
	shape = good ? cJSON_AddArrayToObject(e, "shape") : NULL;
	for (uint32_t i = 0; shape && i < t->rank; i++)
		good = good && cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)t->dim[i]));
	offsets = shape ? cJSON_AddArrayToObject(e, "data_offsets") : NULL;
	return good && offsets && cJSON_AddItemToArray(offsets, cJSON_CreateNumber((double)at)) &&
	       cJSON_AddItemToArray(offsets, cJSON_CreateNumber((double)(at + t->bytes)));
}

/* Larger elements first, else as given: then every tensor is aligned and the file has no gap. */
static void write_order(int n, const struct st_tensor *t, int *order)
{
	static const uint32_t sizes[] = { 8, 4, 1 };
	int k = 0;
	for (int s = 0; s < 3; s++)
		for (int i = 0; i < n; i++)
			if (memory_size(t[i].dtype) == sizes[s])
				order[k++] = i;
}

static char *make_header(int n, const struct st_tensor *t, const int *order, int n_meta, const char *const *meta_key,
                         const char *const *meta_value)
{
	cJSON *header = cJSON_CreateObject(), *meta;
	bool good = header;
	int64_t at = 0;
	char *text = NULL;
	if (good && n_meta) {
		meta = cJSON_AddObjectToObject(header, "__metadata__");
		for (int i = 0; meta && i < n_meta; i++)
			good = good && cJSON_AddStringToObject(meta, meta_key[i], meta_value[i]);
		good = good && meta;
	}
	for (int i = 0; good && i < n; i++) {
		good = add_entry(header, &t[order[i]], at);
		at += t[order[i]].bytes;
	}
	if (good)
		text = cJSON_PrintUnformatted(header);
	cJSON_Delete(header);
	return text;
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* What the caller can get wrong: it would make a file that no one can read. */
static bool check_tensors(const char *path, int n, const struct st_tensor *t, char *why, size_t size)
{
	const char **name = malloc(((size_t)n + 1) * sizeof *name);
	bool good = name;
	if (!name)
		snprintf(why, size, "'%s': out of memory", path);
	for (int i = 0; good && i < n; i++) {
		int64_t bytes = memory_size(t[i].dtype);
		for (uint32_t k = 0; k < t[i].rank; k++)
			bytes *= t[i].dim[k];
		name[i] = t[i].name;
		good = type_name(t[i].dtype) && bytes == t[i].bytes && strcmp(t[i].name, "__metadata__");
		if (!good)
			snprintf(why, size, "'%s': tensor '%s' of dtype %u has %lld bytes, its shape %lld", path, t[i].name,
			         t[i].dtype, (long long)t[i].bytes, (long long)bytes);
	}
	if (good)
		qsort(name, (size_t)n, sizeof *name, by_text);
	for (int i = 1; good && i < n; i++)
		if (!strcmp(name[i], name[i - 1])) {
			good = false;
			snprintf(why, size, "'%s': tensor '%s' would be there twice", path, name[i]);
		}
	free(name);
	return good;
}

bool st_write(const char *path, int n, const struct st_tensor *t, int n_meta, const char *const *meta_key,
              const char *const *meta_value, char *why, size_t size)
{
	int *order = malloc(((size_t)n + 1) * sizeof *order);
	struct file_writer w;
	uint8_t length[8];
	char *text = NULL;
	size_t used, padded;
	bool good = order && check_tensors(path, n, t, why, size);
	if (good) {
		write_order(n, t, order);
		text = make_header(n, t, order, n_meta, meta_key, meta_value);
	}
	if (good && !text)
		snprintf(why, size, "'%s': out of memory", path);
	if (text && file_begin(&w, path, why, size)) {
		used = strlen(text);
		padded = (used + 7) / 8 * 8; /* the data begin at a multiple of 8 */
		for (int i = 0; i < 8; i++)
			length[i] = (uint8_t)((uint64_t)padded >> (8 * i));
		file_add(&w, length, 8);
		file_add(&w, text, used);
		file_add(&w, "        ", padded - used);
		for (int i = 0; i < n; i++)
			file_add(&w, t[order[i]].data, (size_t)t[order[i]].bytes);
		good = file_end(&w, why, size);
	} else {
		good = false;
	}
	cJSON_free(text);
	free(order);
	return good;
}
