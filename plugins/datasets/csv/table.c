/* SPDX-License-Identifier: MIT
 *
 * table.c: reads a CSV file into memory and splits it into rows and fields, in place.
 */
#include "table.h"

#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BLOCK 65536u

/* Whole file, growing with what is there, so that pipes and lying sizes do no harm. */
static rein_status slurp(struct text *t, const struct rein_host *h, FILE *f)
{
	uint64_t room = FIRST_BLOCK;
	t->data = h->alloc(h, room + 1);
	while (t->data) {
		char *more;
		t->bytes += fread(t->data + t->bytes, 1, room - t->bytes, f);
		if (ferror(f))
			return rein_failf(h, "cannot read '%s' after byte %llu: %s", t->path, (unsigned long long)t->bytes,
			                  strerror(errno));
		if (t->bytes < room)
			return REIN_OK;
		room *= 2;
		more = h->alloc(h, room + 1);
		if (more)
			memcpy(more, t->data, t->bytes);
		h->free(h, t->data);
		t->data = more;
	}
	return REIN_ERROR;
}

rein_status text_open(struct text *t, const struct rein_host *h, const char *path, char separator)
{
	FILE *f = fopen(path, "rb");
	rein_status st;
	const char *nul;
	t->path = path;
	t->separator = separator;
	t->next_line = 1;
	if (!f)
		return rein_failf(h, "cannot open '%s': %s", path, strerror(errno));
	st = slurp(t, h, f);
	fclose(f);
	if (st < 0)
		return st;
	t->data[t->bytes] = 0;
	nul = memchr(t->data, 0, t->bytes);
	if (nul)
		return rein_failf(h, "'%s': byte %lld is NUL; a CSV file is text", path, (long long)(nul - t->data));
	if (t->bytes >= 3 && !memcmp(t->data, "\xEF\xBB\xBF", 3))
		t->at = 3; /* byte order mark */
	t->lines = 1;
	t->room = 64;
	for (uint64_t i = 0; i < t->bytes; i++)
		t->lines += t->data[i] == '\n';
	t->field = h->alloc(h, (uint64_t)t->room * sizeof *t->field);
	return t->field ? REIN_OK : REIN_ERROR;
}

void text_close(struct text *t, const struct rein_host *h)
{
	h->free(h, t->data);
	h->free(h, t->field);
	t->data = NULL;
	t->field = NULL;
}

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

/* One quoted field from *at, which is behind the opening quote; ends in NUL in place. */
static rein_status quoted(struct text *t, const struct rein_host *h, char **start)
{
	char *from = t->data + t->at, *to = from;
	*start = from;
	for (;; from++) {
		if (!*from)
			return rein_failf(h, "'%s': line %lld: the quote that opens column %lld is not closed", t->path,
			                  (long long)t->line, (long long)t->n_field + 1);
		if (*from == '"') {
			if (from[1] != '"')
				break;
			from++;
		}
		t->next_line += *from == '\n';
		*to++ = *from;
	}
	for (from++; is_blank(*from) && *from != t->separator; from++)
		;
	t->at = (uint64_t)(from - t->data);
	*to = 0;
	if (*from && *from != '\n' && *from != t->separator)
		return rein_failf(h, "'%s': line %lld: column %lld goes on after its closing quote", t->path,
		                  (long long)t->line, (long long)t->n_field + 1);
	return REIN_OK;
}

static void plain(struct text *t, char **start, char *end_char)
{
	char *from = t->data + t->at, *end;
	for (end = from; *end && *end != '\n' && *end != t->separator; end++)
		;
	t->at = (uint64_t)(end - t->data);
	*end_char = *end;
	while (end > from && is_blank(end[-1]))
		end--;
	*end = 0;
	*start = from;
}

static rein_status more_room(struct text *t, const struct rein_host *h)
{
	char **more = h->alloc(h, 2 * (uint64_t)t->room * sizeof *more);
	if (!more)
		return REIN_ERROR;
	memcpy(more, t->field, (size_t)t->room * sizeof *more);
	h->free(h, t->field);
	t->field = more;
	t->room *= 2;
	return REIN_OK;
}

rein_status text_row(struct text *t, const struct rein_host *h)
{
	while (t->data[t->at] == '\n' || (t->data[t->at] == '\r' && t->data[t->at + 1] == '\n')) {
		t->next_line += t->data[t->at] == '\n';
		t->at++;
	}
	if (t->at >= t->bytes)
		return 0;
	t->line = t->next_line;
	for (t->n_field = 0;;) {
		char *start, stop;
		if (t->n_field == t->room && more_room(t, h) < 0)
			return REIN_ERROR;
		while (is_blank(t->data[t->at]) && t->data[t->at] != t->separator)
			t->at++;
		if (t->data[t->at] == '"') {
			t->at++;
			if (quoted(t, h, &start) < 0)
				return REIN_ERROR;
			stop = t->data[t->at];
		} else {
			plain(t, &start, &stop);
		}
		t->field[t->n_field++] = start;
		t->at += stop != 0;
		if (stop != t->separator) {
			t->next_line += stop == '\n';
			return 1;
		}
	}
}

bool text_number(const char *field, double *out)
{
	static const char allowed[] = "0123456789+-.eE";
	char *end;
	locale_t c, before;
	if (!*field || field[strspn(field, allowed)])
		return false;
	c = newlocale(LC_NUMERIC_MASK, "C", NULL);
	before = c ? uselocale(c) : NULL;
	*out = strtod(field, &end);
	if (c) {
		uselocale(before);
		freelocale(c);
	}
	return !*end;
}
