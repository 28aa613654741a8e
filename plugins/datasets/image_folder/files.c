/* SPDX-License-Identifier: MIT
 *
 * files.c: walks a folder. The order is that of torchvision's ImageFolder where class
 * folders lie side by side: classes by name, files by path, bytes compared.
 */
#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define DEPTH_MAX  32
#define POOL_BYTES 65536u

struct pool {
	struct pool *next;
	uint64_t used, room;
	char text[];
};

/* a "/" b (or a alone), kept until files_free() */
static const char *keep(struct files *s, const struct rein_host *h, const char *a, const char *b)
{
	uint64_t na = strlen(a), nb = b ? strlen(b) + 1 : 0, need = na + nb + 1;
	char *to;
	if (!s->pool || s->pool->room - s->pool->used < need) {
		uint64_t room = need > POOL_BYTES ? need : POOL_BYTES;
		struct pool *p = h->alloc(h, sizeof *p + room);
		if (!p)
			return NULL;
		p->room = room;
		p->next = s->pool;
		s->pool = p;
	}
	to = s->pool->text + s->pool->used;
	s->pool->used += need;
	memcpy(to, a, na);
	if (b) {
		to[na] = '/';
		memcpy(to + na + 1, b, nb - 1);
	}
	return to;
}

void files_free(struct files *s, const struct rein_host *h)
{
	while (s->pool) {
		struct pool *next = s->pool->next;
		h->free(h, s->pool);
		s->pool = next;
	}
	h->free(h, s->file);
	h->free(h, s->class_name);
	s->file = NULL;
	s->class_name = NULL;
}

static rein_status add(struct files *s, const struct rein_host *h, const char *path, const char *class_name)
{
	if (s->n == s->room) {
		int64_t room = s->room ? 2 * s->room : 256;
		struct found *more = h->alloc(h, (uint64_t)room * sizeof *more);
		if (!more)
			return REIN_ERROR;
		if (s->n)
			memcpy(more, s->file, (size_t)s->n * sizeof *more);
		h->free(h, s->file);
		s->file = more;
		s->room = room;
	}
	s->file[s->n].path = path;
	s->file[s->n++].class_name = class_name;
	return REIN_OK;
}

static int is_image(const char *name)
{
	const char *dot = strrchr(name, '.');
	return dot && (!strcasecmp(dot, ".png") || !strcasecmp(dot, ".jpg") || !strcasecmp(dot, ".jpeg"));
}

static rein_status walk(struct files *s, const struct rein_host *h, const char *path, const char *name, int depth)
{
	const char *class_name = keep(s, h, name, NULL);
	rein_status st = class_name ? REIN_OK : REIN_ERROR;
	const struct dirent *e;
	DIR *d = opendir(path);
	if (!d)
		return rein_failf(h, "cannot open folder '%s': %s", path, strerror(errno));
	while (st == REIN_OK && (errno = 0, e = readdir(d))) {
		const char *full;
		struct stat info;
		if (e->d_name[0] == '.')
			continue;
		full = keep(s, h, path, e->d_name);
		if (!full)
			st = REIN_ERROR;
		else if (e->d_type == DT_REG)
			st = is_image(e->d_name) ? add(s, h, full, class_name) : REIN_OK;
		else if (stat(full, &info))
			st = rein_failf(h, "'%s': %s", full, strerror(errno));
		else if (S_ISDIR(info.st_mode) && depth == DEPTH_MAX)
			st = rein_failf(h, "'%s': folders more than %d deep (a link that leads back?)", full, DEPTH_MAX);
		else if (S_ISDIR(info.st_mode))
			st = walk(s, h, full, e->d_name, depth + 1);
		else if (S_ISREG(info.st_mode) && is_image(e->d_name))
			st = add(s, h, full, class_name);
	}
	if (st == REIN_OK && errno)
		st = rein_failf(h, "cannot read folder '%s': %s", path, strerror(errno));
	closedir(d);
	return st;
}

static int by_class_and_path(const void *a, const void *b)
{
	const struct found *x = a, *y = b;
	int c = strcmp(x->class_name, y->class_name);
	return c ? c : strcmp(x->path, y->path);
}

rein_status files_find(struct files *s, const struct rein_host *h, const char *path)
{
	size_t n = strlen(path);
	char root[4096];
	const char *slash;
	while (n > 1 && path[n - 1] == '/')
		n--;
	if (n >= sizeof root)
		return rein_failf(h, "path of %zu bytes is too long", n);
	memcpy(root, path, n);
	root[n] = 0;
	slash = strrchr(root, '/');
	if (walk(s, h, root, slash && slash[1] ? slash + 1 : root, 0) < 0)
		return REIN_ERROR;
	if (!s->n)
		return rein_failf(h, "'%s' holds no PNG or JPEG files, at any depth", path);
	qsort(s->file, (size_t)s->n, sizeof *s->file, by_class_and_path);
	s->class_name = h->alloc(h, (uint64_t)s->n * sizeof *s->class_name);
	if (!s->class_name)
		return REIN_ERROR;
	for (int64_t i = 0; i < s->n; i++) {
		if (!i || strcmp(s->file[i].class_name, s->class_name[s->n_class - 1]))
			s->class_name[s->n_class++] = s->file[i].class_name;
		s->file[i].class_index = (int32_t)(s->n_class - 1);
	}
	return REIN_OK;
}
