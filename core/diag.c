/* SPDX-License-Identifier: MIT
 *
 * diag.c: collects errors and warnings with their places and prints them in file order,
 * each either with the source line and a caret (where the place has a column) or on one
 * line. The same error found twice (a config built once per variant) is kept once.
 */
#include "diag.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct entry {
	struct place at;
	bool warning;
	char *message;
	int file, number; /* order of the file's first mention, order of arrival */
};

#define KEPT 500 /* entries with their text; of those after them only the number is kept */

struct diag {
	int n, cap, errors, more;
	int found; /* errors, the same one counted each time */
	struct entry *entry;
};

struct diag *diag_create(void)
{
	struct diag *d = calloc(1, sizeof *d);
	if (!d)
		abort();
	return d;
}

static void drop(struct entry *e)
{
	free((char *)e->at.file);
	free((char *)e->at.text);
	free((char *)e->at.section);
	free(e->message);
}

static void forget(struct diag *d)
{
	for (int i = 0; i < d->n; i++)
		drop(&d->entry[i]);
	d->n = d->errors = d->more = d->found = 0;
}

void diag_destroy(struct diag *d)
{
	if (!d)
		return;
	forget(d);
	free(d->entry);
	free(d);
}

static bool same_text(const char *a, const char *b) { return a == b || (a && b && !strcmp(a, b)); }

static bool same_place(const struct place *a, const struct place *b)
{
	return same_text(a->file, b->file) && a->line == b->line && a->col == b->col && same_text(a->text, b->text);
}

/* Files print in the order in which they were first mentioned; places without a line
 * (the command line, no place at all) come after them. */
static int file_number(const struct diag *d, const struct place *at)
{
	int next = 0;
	if (at->line <= 0)
		return at->file ? 1 << 20 : 1 << 21;
	for (int i = 0; i < d->n; i++) {
		if (d->entry[i].at.line > 0 && same_text(d->entry[i].at.file, at->file))
			return d->entry[i].file;
		if (d->entry[i].at.line > 0 && d->entry[i].file >= next)
			next = d->entry[i].file + 1;
	}
	return next;
}

/* Entries own their strings, so that a diag may outlive the config. */
static char *copy(const char *text)
{
	char *out = text ? strdup(text) : NULL;
	if (text && !out)
		abort();
	return out;
}

static void add(struct diag *d, const struct place *at, bool warning, const char *format, va_list ap)
{
	struct entry e = { .warning = warning, .number = d->n };
	d->found += !warning;
	if (at)
		e.at = *at;
	e.file = file_number(d, &e.at);
	if (vasprintf(&e.message, format, ap) < 0)
		abort();
	for (int i = 0; i < d->n; i++) {
		const struct entry *o = &d->entry[i];
		if (o->warning == warning && same_place(&o->at, &e.at) && !strcmp(o->message, e.message)) {
			free(e.message);
			return;
		}
	}
	if (d->n == KEPT) {
		free(e.message);
		d->errors += !warning;
		d->more++;
		return;
	}
	if (d->n == d->cap) {
		d->cap = d->cap ? 2 * d->cap : 16;
		d->entry = realloc(d->entry, (size_t)d->cap * sizeof *d->entry);
		if (!d->entry)
			abort();
	}
	e.at.file = copy(e.at.file);
	e.at.text = copy(e.at.text);
	e.at.section = copy(e.at.section);
	d->entry[d->n++] = e;
	d->errors += !warning;
}

void diag_error(struct diag *d, const struct place *at, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	add(d, at, false, format, ap);
	va_end(ap);
}

void diag_warn(struct diag *d, const struct place *at, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	add(d, at, true, format, ap);
	va_end(ap);
}

int diag_errors(const struct diag *d) { return d->found; }

static int in_file_order(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	if (x->file != y->file)
		return x->file < y->file ? -1 : 1;
	if (x->at.line != y->at.line)
		return x->at.line < y->at.line ? -1 : 1;
	if (x->at.line > 0 && x->at.col != y->at.col)
		return x->at.col < y->at.col ? -1 : 1;
	return x->number < y->number ? -1 : 1;
}

/* Blanks as wide as the first n bytes of `text` print: tabs stay tabs, and the
 * continuation bytes of UTF-8 characters take no room. */
static void blanks(FILE *out, const char *text, int n)
{
	for (int i = 0; i < n && text[i]; i++)
		if (((unsigned char)text[i] & 0xC0) != 0x80)
			fputc(text[i] == '\t' ? '\t' : ' ', out);
}

static void print(const struct entry *e, FILE *out)
{
	const struct place *at = &e->at;
	const char *warning = e->warning ? "warning: " : "";
	char head[512] = "";
	int indent = 0;
	if (at->file && at->line > 0)
		snprintf(head, sizeof head, "%s:%d: ", at->file, at->line);
	else if (at->file)
		snprintf(head, sizeof head, "%s: ", at->file);
	if (!at->text || at->len <= 0) {
		fprintf(out, "%s%s%s\n", head, warning, e->message);
		return;
	}
	if (at->section) {
		size_t used = strlen(head);
		snprintf(head + used, sizeof head - used, "[%s] ", at->section);
	}
	while (at->text[indent] == ' ' || at->text[indent] == '\t')
		indent++;
	if (indent > at->col)
		indent = at->col;
	fprintf(out, "%s%s\n", head, at->text + indent);
	blanks(out, head, (int)strlen(head));
	blanks(out, at->text + indent, at->col - indent);
	fputc('^', out);
	for (int i = 1; i < at->len; i++)
		if (((unsigned char)at->text[at->col + i] & 0xC0) != 0x80)
			fputc('~', out);
	fprintf(out, " %s%s\n", warning, e->message);
}

int diag_print(struct diag *d, FILE *out)
{
	int errors = d->errors;
	if (d->n)
		qsort(d->entry, (size_t)d->n, sizeof *d->entry, in_file_order);
	for (int i = 0; i < d->n; i++)
		print(&d->entry[i], out);
	if (d->more)
		fprintf(out, "... and %d more\n", d->more);
	forget(d);
	return errors;
}

int diag_flush(struct diag *d, FILE *out)
{
	int errors = diag_print(d, out);
	if (errors)
		fprintf(out, "%d error%s; nothing was run\n", errors, errors == 1 ? "" : "s");
	return errors;
}

/* Damerau-Levenshtein distance (optimal string alignment) of a and b, both under 64 bytes;
 * ReLU is as near to relu as can be. */
static int distance(const char *a, const char *b)
{
	int na = (int)strlen(a), nb = (int)strlen(b), row[3][65];
	for (int j = 0; j <= nb; j++)
		row[0][j] = j;
	for (int i = 1; i <= na; i++) {
		int *now = row[i % 3], *last = row[(i + 2) % 3], *before = row[(i + 1) % 3];
		now[0] = i;
		for (int j = 1; j <= nb; j++) {
			int d = last[j - 1] + (tolower((unsigned char)a[i - 1]) != tolower((unsigned char)b[j - 1]));
			if (last[j] + 1 < d)
				d = last[j] + 1;
			if (now[j - 1] + 1 < d)
				d = now[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < d)
				d = before[j - 2] + 1;
			now[j] = d;
		}
	}
	return row[na % 3][nb];
}

const char *diag_nearest(const char *word, const char *const *list)
{
	const char *best = NULL;
	size_t n = strlen(word);
	/* One slip in up to three letters, two in up to eight, three in longer words. */
	int limit = n <= 3 ? 1 : n <= 8 ? 2 : 3, found = limit + 1;
	if (n >= 64)
		return NULL;
	for (; *list; list++) {
		int d;
		if (strlen(*list) >= 64)
			continue;
		d = distance(word, *list);
		if (d < found && d < (int)strlen(*list)) {
			found = d;
			best = *list;
		}
	}
	return best;
}

void diag_list(char *out, size_t size, const char *const *list)
{
	size_t used = 0;
	out[0] = 0;
	for (int i = 0; list[i]; i++) {
		size_t left = size - used;
		int n = snprintf(out + used, left, "%s%s", i ? ", " : "", list[i]);
		if (n < 0 || (size_t)n >= left) {
			snprintf(out + (size > 5 ? size - 5 : 0), size > 5 ? 5 : size, " ...");
			return;
		}
		used += (size_t)n;
	}
}
