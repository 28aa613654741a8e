/* SPDX-License-Identifier: MIT
 *
 * csv: rows of numbers, one or several columns of which are the target.
 *
 * target=class: labels that are all whole numbers from 0 stand for themselves; any
 * others are names, sorted, and a class is the number of its name. target=real: one
 * or several columns. How text is split into fields is table.c's.
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"

enum { HEADER_AUTO, HEADER_YES, HEADER_NO };
enum { TARGET_CLASS, TARGET_REAL };

struct csv {
	const char *file, *label;
	int32_t header, separator, target;
	int64_t classes;
	struct text text;
	int64_t rows, columns, targets;
	int64_t *target_column; /* `targets` of them, in the order asked for */
	uint8_t *is_target;     /* `columns` */
	char **column_name;     /* `columns`, or NULL without a header */
	float *x;               /* rows x (columns - targets) */
	float *y;               /* target=real: rows x targets */
	const char **word;      /* target=class: the label of each row as written */
	int64_t *line;          /* target=class: the line of each row */
	int32_t *index;         /* target=class: class of each row */
	const char **name;      /* sorted class names, or NULL where labels are numbers */
	int64_t n_class;
};

static const char *const header_choices[] = { "auto", "yes", "no", NULL };
static const char *const separator_choices[] = { "comma", "semicolon", "tab", "space", NULL };
static const char *const target_choices[] = { "class", "real", NULL };

static const struct rein_key csv_keys[] = {
	REIN_PATH(struct csv, file, NULL, "the file"),
	REIN_STRING(struct csv, label, "last", "target column: its name, its number from 1, or 'last'; a list for real"),
	REIN_ENUM(struct csv, header, "auto", header_choices, "first row holds names; auto: it has a feature not a number"),
	REIN_ENUM(struct csv, separator, "comma", separator_choices, "what separates columns"),
	REIN_ENUM(struct csv, target, "class", target_choices, "class: a label; real: numbers"),
	REIN_INT(struct csv, classes, "0", 0, 1000000, "number of classes; 0: as many as there are"),
	REIN_KEYS_END
};

/* Column of one entry of label=, or -1. Names first, then numbers. */
static int64_t find_column(const struct csv *s, const char *word, size_t n)
{
	char *end;
	long long k;
	for (int64_t c = 0; s->column_name && c < s->columns; c++)
		if (strlen(s->column_name[c]) == n && !memcmp(s->column_name[c], word, n))
			return c;
	if (n == 4 && !memcmp(word, "last", 4))
		return s->columns - 1;
	k = strtoll(word, &end, 10);
	return end == word + n && k >= 1 && k <= s->columns ? k - 1 : -1;
}

/* label= into target_column and is_target */
static rein_status find_targets(struct csv *s, const struct rein_host *h)
{
	const char *p = s->label;
	s->target_column = h->alloc(h, (uint64_t)s->columns * sizeof *s->target_column);
	s->is_target = h->alloc(h, (uint64_t)s->columns);
	if (!s->target_column || !s->is_target)
		return REIN_ERROR;
	for (s->targets = 0;; p++) {
		size_t n = strcspn(p, ",");
		int64_t c = find_column(s, p, n);
		if (c < 0)
			return rein_failf(h, "'%s': no column '%.*s' among the %lld%s", s->file, (int)n, p, (long long)s->columns,
			                  s->column_name ? "" : " (the file has no header, so only numbers and 'last' are known)");
		if (s->is_target[c])
			return rein_failf(h, "label=%s names column %lld twice", s->label, (long long)c + 1);
		s->is_target[c] = 1;
		s->target_column[s->targets++] = c;
		p += n;
		if (!*p)
			break;
	}
	if (s->target == TARGET_CLASS && s->targets != 1)
		return rein_failf(h, "label=%s names %lld columns; target=class has one", s->label, (long long)s->targets);
	if (s->targets == s->columns)
		return rein_failf(h, "'%s': every column (%lld) is a target, no feature is left", s->file,
		                  (long long)s->columns);
	return REIN_OK;
}

/* Whether the first row, now in text.field, holds names. With auto, a column that is no
 * number and that label= does not rule out says so; label= by name does too. */
static bool first_is_header(const struct csv *s)
{
	double v;
	int64_t words = 0, last_word = -1;
	if (s->header != HEADER_AUTO)
		return s->header == HEADER_YES;
	for (int64_t c = 0; c < s->text.n_field; c++) {
		if (!text_number(s->text.field[c], &v)) {
			words++;
			last_word = c;
		}
		if (!strcmp(s->text.field[c], s->label) && !text_number(s->label, &v))
			return true;
	}
	/* one word alone may be a class label in its column */
	if (words == 1 && s->target == TARGET_CLASS)
		return last_word != (strcmp(s->label, "last") ? strtoll(s->label, NULL, 10) - 1 : s->columns - 1);
	return words > 0;
}

static rein_status bad_number(const struct csv *s, const struct rein_host *h, int64_t c)
{
	const char *word = s->text.field[c], *name = s->column_name ? s->column_name[c] : NULL;
	char column[128];
	double v;
	snprintf(column, sizeof column, name ? "column %lld ('%.80s')" : "column %lld", (long long)c + 1, name);
	if (!*word)
		return rein_failf(h, "'%s': line %lld, %s: the value is missing", s->file, (long long)s->text.line, column);
	return rein_failf(h, "'%s': line %lld, %s: '%s' is %s", s->file, (long long)s->text.line, column, word,
	                  text_number(word, &v) ? "too large" : "not a number");
}

/* One row of fields into row `s->rows` of the tables. */
static rein_status take_row(struct csv *s, const struct rein_host *h)
{
	float *x = s->x + s->rows * (s->columns - s->targets);
	if (s->text.n_field != s->columns)
		return rein_failf(h, "'%s': line %lld has %lld column%s, the first row has %lld", s->file,
		                  (long long)s->text.line, (long long)s->text.n_field, s->text.n_field == 1 ? "" : "s",
		                  (long long)s->columns);
	for (int64_t c = 0; c < s->columns; c++) {
		double v;
		if (s->is_target[c])
			continue;
		if (!text_number(s->text.field[c], &v) || fabs(v) > FLT_MAX)
			return bad_number(s, h, c);
		*x++ = (float)v;
	}
	for (int64_t k = 0; k < s->targets; k++) {
		int64_t c = s->target_column[k];
		double v;
		if (s->target == TARGET_CLASS) {
			s->word[s->rows] = s->text.field[c];
			s->line[s->rows] = s->text.line;
			if (!*s->text.field[c])
				return bad_number(s, h, c);
		} else if (!text_number(s->text.field[c], &v) || fabs(v) > FLT_MAX) {
			return bad_number(s, h, c);
		} else {
			s->y[s->rows * s->targets + k] = (float)v;
		}
	}
	s->rows++;
	return REIN_OK;
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* Labels that are whole numbers from 0 are classes as they stand. */
static bool number_classes(struct csv *s)
{
	s->n_class = 0;
	for (int64_t i = 0; i < s->rows; i++) {
		double v;
		if (!text_number(s->word[i], &v) || v < 0 || v >= 1e6 || floor(v) != v)
			return false;
		s->index[i] = (int32_t)v;
		if (s->index[i] >= s->n_class)
			s->n_class = s->index[i] + 1;
	}
	return true;
}

static rein_status name_classes(struct csv *s, const struct rein_host *h)
{
	s->name = h->alloc(h, (uint64_t)s->rows * sizeof *s->name);
	if (!s->name)
		return REIN_ERROR;
	memcpy(s->name, s->word, (size_t)s->rows * sizeof *s->name);
	qsort(s->name, (size_t)s->rows, sizeof *s->name, by_text);
	s->n_class = 0;
	for (int64_t i = 0; i < s->rows; i++)
		if (i == 0 || strcmp(s->name[i], s->name[s->n_class - 1]))
			s->name[s->n_class++] = s->name[i];
	for (int64_t i = 0; i < s->rows; i++) {
		const char **at = bsearch(&s->word[i], s->name, (size_t)s->n_class, sizeof *s->name, by_text);
		s->index[i] = (int32_t)(at - s->name);
	}
	return REIN_OK;
}

static rein_status make_classes(struct csv *s, const struct rein_host *h)
{
	s->index = h->alloc(h, (uint64_t)s->rows * sizeof *s->index);
	if (!s->index)
		return REIN_ERROR;
	if (!number_classes(s)) {
		if (name_classes(s, h) < 0)
			return REIN_ERROR;
		if (s->classes && s->n_class != s->classes)
			return rein_failf(h, "'%s': %lld different labels, classes=%lld", s->file, (long long)s->n_class,
			                  (long long)s->classes);
		return REIN_OK;
	}
	for (int64_t i = 0; s->classes && i < s->rows; i++)
		if (s->index[i] >= s->classes)
			return rein_failf(h, "'%s': line %lld: label %d is outside the %lld classes", s->file,
			                  (long long)s->line[i], s->index[i], (long long)s->classes);
	if (s->classes)
		s->n_class = s->classes;
	return REIN_OK;
}

static rein_status make_tables(struct csv *s, const struct rein_host *h)
{
	uint64_t rows = (uint64_t)s->text.lines;
	s->x = h->alloc(h, rows * (uint64_t)(s->columns - s->targets) * sizeof *s->x);
	if (s->target == TARGET_CLASS) {
		s->word = h->alloc(h, rows * sizeof *s->word);
		s->line = h->alloc(h, rows * sizeof *s->line);
		return s->x && s->word && s->line ? REIN_OK : REIN_ERROR;
	}
	s->y = h->alloc(h, rows * (uint64_t)s->targets * sizeof *s->y);
	return s->x && s->y ? REIN_OK : REIN_ERROR;
}

static rein_status csv_create(void *self, const struct rein_host *h)
{
	struct csv *s = self;
	rein_status st = text_open(&s->text, h, s->file, ",;\t "[s->separator]);
	bool header;
	if (st < 0 || (st = text_row(&s->text, h)) < 0)
		return st;
	if (st == 0)
		return rein_failf(h, "'%s' holds no rows", s->file);
	s->columns = s->text.n_field;
	header = first_is_header(s);
	if (header) {
		s->column_name = h->alloc(h, (uint64_t)s->columns * sizeof *s->column_name);
		if (!s->column_name)
			return REIN_ERROR;
		memcpy(s->column_name, s->text.field, (size_t)s->columns * sizeof *s->column_name);
	}
	if (find_targets(s, h) < 0 || make_tables(s, h) < 0)
		return REIN_ERROR;
	if (!header && take_row(s, h) < 0)
		return REIN_ERROR;
	while ((st = text_row(&s->text, h)) > 0)
		if (take_row(s, h) < 0)
			return REIN_ERROR;
	if (st < 0)
		return st;
	if (!s->rows)
		return rein_failf(h, "'%s' holds a header and no rows", s->file);
	return s->target == TARGET_CLASS ? make_classes(s, h) : REIN_OK;
}

static void csv_destroy(void *self, const struct rein_host *h)
{
	struct csv *s = self;
	text_close(&s->text, h);
	h->free(h, s->target_column);
	h->free(h, s->is_target);
	h->free(h, s->column_name);
	h->free(h, s->x);
	h->free(h, s->y);
	h->free(h, s->word);
	h->free(h, s->line);
	h->free(h, s->index);
	h->free(h, s->name);
}

static rein_status csv_info(void *self, struct rein_dataset_info *o)
{
	const struct csv *s = self;
	o->dtype = REIN_REAL_T;
	o->rank = 1;
	o->dim[0] = s->columns - s->targets;
	o->count = s->rows;
	o->target = s->target == TARGET_CLASS ? REIN_TARGET_CLASS : REIN_TARGET_REAL;
	o->classes = s->target == TARGET_CLASS ? s->n_class : 0;
	o->target_dim = s->target == TARGET_CLASS ? 0 : s->targets;
	o->class_names = s->name;
	return REIN_OK;
}

static rein_status csv_read(const void *self, const struct rein_host *h, int64_t i, void *x, void *y)
{
	const struct csv *s = self;
	size_t features = (size_t)(s->columns - s->targets);
	(void)h;
	if (x)
		memcpy(x, s->x + (size_t)i * features, features * sizeof *s->x);
	if (s->target == TARGET_CLASS)
		*(int32_t *)y = s->index[i];
	else
		memcpy(y, s->y + i * s->targets, (size_t)s->targets * sizeof *s->y);
	return REIN_OK;
}

static const struct rein_dataset_vt csv_vt = { .struct_size = sizeof csv_vt, .info = csv_info, .read = csv_read };

REIN_COMPONENT(csv, REIN_DATASET, struct csv, csv_keys, &csv_vt, .create = csv_create, .destroy = csv_destroy,
               .summary = "rows of numbers from a CSV file", .reference = "RFC 4180");
REIN_PLUGIN("csv", "1.0.0", "MIT", &csv_component)
