/* SPDX-License-Identifier: MIT
 *
 * ini.c: reads an INI file through inih, behind a line reader of our own. inih 55 bends
 * several things without a word: an indented line becomes a second value of the key above,
 * long lines and section names are cut, a line without '=' only shows in the return value,
 * 'name: value' parses, sections without keys are invisible. So the reader handed to
 * ini_parse_stream() looks at each line first, reports what is wrong with it, and passes on
 * only what inih reads rightly. inih's line buffer has a fixed size that differs between
 * builds: of a longer line it sees the beginning, and the value is taken from the line here.
 */
#include "inifile.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (4u << 20)

struct block {
	struct block *next;
	size_t used, size;
	_Alignas(16) char data[];
};

struct pool {
	struct block *first;
};

struct pool *pool_create(void)
{
	struct pool *p = calloc(1, sizeof *p);
	if (!p)
		abort();
	return p;
}

void pool_destroy(struct pool *p)
{
	if (!p)
		return;
	while (p->first) {
		struct block *next = p->first->next;
		free(p->first);
		p->first = next;
	}
	free(p);
}

void *pool_alloc(struct pool *p, size_t bytes)
{
	size_t need = (bytes + 15) & ~(size_t)15;
	struct block *b = p->first;
	void *out;
	if (!b || b->size - b->used < need) {
		size_t size = need > 16384 ? need : 16384;
		b = calloc(1, sizeof *b + size);
		if (!b)
			abort();
		b->size = size;
		b->next = p->first;
		p->first = b;
	}
	out = b->data + b->used;
	b->used += need;
	return out;
}

char *pool_copy(struct pool *p, const char *text, size_t n)
{
	char *out = pool_alloc(p, n + 1);
	if (n)
		memcpy(out, text, n);
	return out;
}

char *pool_print(struct pool *p, const char *format, ...)
{
	va_list ap;
	char *line, *out;
	int n;
	va_start(ap, format);
	n = vasprintf(&line, format, ap);
	va_end(ap);
	if (n < 0)
		abort();
	out = pool_copy(p, line, (size_t)n);
	free(line);
	return out;
}

/* What the reader knows of the line inih is looking at. */
struct reader {
	struct pool *pool;
	struct diag *d;
	ini_line *line_fn;
	void *ctx;
	const char *path, *at, *end; /* the file's bytes still to read */
	int number;                  /* of the line, from 1 */
	const char *text;            /* the line, in the pool */
	const char *section;         /* NULL before the first one, and inside a refused one */
	bool refused;                /* the section was refused: its lines are passed over */
	int name, name_len, value, value_len;
};

static struct place spot(const struct reader *r, int col, int len)
{
	return (struct place){ .file = r->path, .line = r->number, .text = r->text, .col = col, .len = len };
}

/* Takes one line off the file into the pool, without its end. False at the end of the file. */
static bool take_line(struct reader *r)
{
	const char *nl;
	size_t n;
	if (r->at >= r->end)
		return false;
	nl = memchr(r->at, '\n', (size_t)(r->end - r->at));
	n = (size_t)((nl ? nl : r->end) - r->at);
	r->number++;
	r->text = pool_copy(r->pool, r->at, n);
	r->at = nl ? nl + 1 : r->end;
	if (n && r->text[n - 1] == '\r')
		((char *)r->text)[--n] = 0;
	if (n > INI_LINE_MAX) {
		struct place at = { .file = r->path, .line = r->number };
		diag_error(r->d, &at, "the line is %zu bytes long; at most %d are read", n, INI_LINE_MAX);
		r->text = "";
		return true;
	}
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)r->text[i];
		if ((c < 32 && c != '\t') || c == 127) {
			struct place at = { .file = r->path, .line = r->number };
			diag_error(r->d, &at, "byte 0x%02X in column %zu; a config is plain text", c, i + 1);
			r->text = "";
			break;
		}
	}
	return true;
}

/* End of the part before a comment: ';' at the start or after a blank, not inside quotes. */
static int before_comment(const char *text, int from)
{
	bool quoted = false;
	int i = from;
	for (; text[i]; i++) {
		if (quoted && text[i] == '\\' && text[i + 1])
			i++;
		else if (text[i] == '"')
			quoted = !quoted;
		else if (!quoted && text[i] == ';' && (i == from || text[i - 1] == ' ' || text[i - 1] == '\t'))
			break;
	}
	while (i > from && (text[i - 1] == ' ' || text[i - 1] == '\t'))
		i--;
	return i;
}

/* "[ variant   wide ]" becomes "variant wide". False after an error. */
static bool section_line(struct reader *r, int col)
{
	const char *t = r->text;
	int close = col + 1, end = before_comment(t, col);
	char name[INI_NAME_MAX + 2];
	int n = 0, first, last;
	struct place at = spot(r, col, end - col);
	r->section = NULL;
	r->refused = true;
	while (close < end && t[close] != ']')
		close++;
	if (close >= end) {
		diag_error(r->d, &at, "expected ']' at the end of the section's name");
		return false;
	}
	if (close != end - 1) {
		at = spot(r, close + 1, end - close - 1);
		diag_error(r->d, &at, "unexpected text after the section's name");
		return false;
	}
	for (first = col + 1; isspace((unsigned char)t[first]);)
		first++;
	for (last = close; last > first && isspace((unsigned char)t[last - 1]);)
		last--;
	for (int i = first; i < last && n <= INI_NAME_MAX; i++)
		if (!isspace((unsigned char)t[i]))
			name[n++] = t[i];
		else if (!isspace((unsigned char)t[i - 1]))
			name[n++] = ' ';
	at = spot(r, col, end - col);
	if (!n) {
		diag_error(r->d, &at, "the section has no name");
		return false;
	}
	if (n > INI_NAME_MAX) {
		diag_error(r->d, &at, "the section's name is longer than %d bytes", INI_NAME_MAX);
		return false;
	}
	r->section = pool_copy(r->pool, name, (size_t)n);
	r->refused = false;
	r->name = first;
	r->name_len = last - first;
	return true;
}

/* Finds name and value of the line. False after an error. */
static bool pair_line(struct reader *r, int col)
{
	const char *t = r->text;
	int end = before_comment(t, col), eq = col, last;
	struct place at;
	while (eq < end && t[eq] != '=' && t[eq] != ':')
		eq++;
	at = spot(r, col, end - col);
	if (eq >= end) {
		diag_error(r->d, &at, "expected 'name = value'");
		return false;
	}
	if (t[eq] == ':') {
		at = spot(r, eq, 1);
		diag_error(r->d, &at, "expected '=' between name and value, not ':'");
		return false;
	}
	for (last = eq; last > col && isspace((unsigned char)t[last - 1]);)
		last--;
	if (last == col) {
		diag_error(r->d, &at, "expected a name before '='");
		return false;
	}
	if (last - col > INI_NAME_MAX) {
		at = spot(r, col, last - col);
		diag_error(r->d, &at, "the name is %d bytes long; at most %d are read", last - col, INI_NAME_MAX);
		return false;
	}
	r->name = col;
	r->name_len = last - col;
	for (r->value = eq + 1; r->value < end && isspace((unsigned char)t[r->value]);)
		r->value++;
	r->value_len = end - r->value;
	return true;
}

/* The fgets() that inih calls: the next line it may see. */
static char *next_line(char *out, int size, void *ctx)
{
	struct reader *r = ctx;
	while (take_line(r)) {
		int col = 0;
		while (r->text[col] == ' ' || r->text[col] == '\t')
			col++;
		if (!r->text[col] || r->text[col] == ';' || r->text[col] == '#')
			continue;
		if (r->text[col] == '[') {
			struct place at;
			if (!section_line(r, col))
				continue;
			at = spot(r, r->name, r->name_len);
			r->line_fn(r->ctx, r->section, NULL, NULL, &at, NULL);
			snprintf(out, (size_t)size, "[%s]\n", r->section);
			return out;
		}
		if (r->refused || !pair_line(r, col))
			continue;
		snprintf(out, (size_t)size, "%.*s = %.*s", r->name_len, r->text + r->name, r->value_len, r->text + r->value);
		return out;
	}
	return NULL;
}

/* inih's handler. The name is inih's; the value is the whole one of the line. */
static int pair(void *ctx, const char *section, const char *name, const char *value)
{
	struct reader *r = ctx;
	struct place at = spot(r, r->name, r->name_len), value_at = spot(r, r->value, r->value_len);
	(void)value;
	if (strcmp(section, r->section ? r->section : "") || strlen(name) != (size_t)r->name_len ||
	    memcmp(name, r->text + r->name, (size_t)r->name_len)) {
		diag_error(r->d, &at, "the line cannot be read as 'name = value'");
		return 1;
	}
	at.section = value_at.section = r->section;
	r->line_fn(r->ctx, r->section, pool_copy(r->pool, name, strlen(name)),
	           pool_copy(r->pool, r->text + r->value, (size_t)r->value_len), &at, &value_at);
	return 1;
}

/* The file's bytes, at most FILE_MAX + 1 of them. */
static char *all_of(FILE *f, size_t *size)
{
	size_t cap = 16384;
	char *data = malloc(cap);
	*size = 0;
	while (data) {
		size_t n = fread(data + *size, 1, cap - *size, f);
		*size += n;
		if (*size < cap || cap > FILE_MAX)
			return data;
		cap *= 2;
		data = realloc(data, cap);
	}
	abort();
}

/* Included files must be plain ones: a pipe or a device would wait for ever. The config
 * itself may be what the user likes. */
static FILE *open_file(const char *path, bool included)
{
	struct stat st;
	int fd;
	if (!included)
		return fopen(path, "rb");
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
		return NULL;
	}
	return fdopen(fd, "rb");
}

/* The whole file, or NULL after an error. */
static char *slurp(const char *path, const struct place *from, size_t *size, struct diag *d)
{
	struct place self = { .file = path };
	const struct place *at = from ? from : &self;
	FILE *f = open_file(path, from != NULL);
	char *data = f ? all_of(f, size) : NULL;
	const char *q = from ? "'" : "";
	if (!f || ferror(f))
		diag_error(d, at, "cannot read %s%s%s: %s", q, from ? path : "the file", q,
		           errno == EINVAL ? "it is not a regular file" : strerror(errno));
	else if (*size > FILE_MAX)
		diag_error(d, at, "'%s' is larger than %u bytes; that is no config", path, FILE_MAX);
	else {
		fclose(f);
		return data;
	}
	if (f)
		fclose(f);
	free(data);
	return NULL;
}

bool ini_read(const char *path, const struct place *from, struct pool *pool, ini_line *line_fn, void *ctx,
              struct diag *d)
{
	struct reader r = { .pool = pool, .d = d, .line_fn = line_fn, .ctx = ctx, .path = path };
	size_t size;
	char *data = slurp(path, from, &size, d);
	int bad;
	if (!data)
		return false;
	r.at = data;
	r.end = data + size;
	if (size >= 3 && !memcmp(data, "\xEF\xBB\xBF", 3))
		r.at += 3;
	bad = ini_parse_stream(next_line, &r, pair, &r);
	if (bad > 0 && !diag_errors(d)) {
		struct place at = { .file = path };
		diag_error(d, &at, "inih cannot read the file");
	}
	free(data);
	return true;
}
