/* SPDX-License-Identifier: MIT
 *
 * table.c: tables as text and JSON. A new form of output is a function beside
 * tables_print and tables_json; a new kind of cell a row in cell_text and cell_json.
 */
#include "table.h"

#include "tool.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum cell_kind { CELL_TEXT, CELL_NUMBER, CELL_STAT };

struct cell {
	enum cell_kind kind;
	char *text; /* as printed */
	double number, sd;
	int n;
	double *value;
};
struct table {
	char *title, *source;
	int n_column, n_cell, cap, n_note, n_line;
	char **column;
	struct cell *cell;
	char **note, **line; /* below it; instead of the cells when printed */
};

static void collect_begin(struct rein_table *t, const char *title, uint32_t n, const char *const *column)
{
	table_begin((struct tables *)t, title, (int)n, column);
}

static void collect_text(struct rein_table *t, const char *cell) { table_text((struct tables *)t, cell); }

static void collect_number(struct rein_table *t, double cell, uint32_t digits)
{
	table_number((struct tables *)t, cell, (int)digits);
}

static void collect_note(struct rein_table *t, const char *line) { table_note((struct tables *)t, "%s", line); }

static void collect_print(struct rein_table *t, const char *line) { table_line((struct tables *)t, line); }

struct tables *tables_create(void)
{
	struct tables *s = tool_alloc(sizeof *s);
	s->collect = (struct rein_table){ .struct_size = sizeof s->collect,
		                              .begin = collect_begin,
		                              .text = collect_text,
		                              .number = collect_number,
		                              .note = collect_note,
		                              .print = collect_print };
	return s;
}

static void table_finish(struct table *t)
{
	for (int i = 0; i < t->n_column; i++)
		free(t->column[i]);
	for (int i = 0; i < t->n_cell; i++) {
		free(t->cell[i].text);
		free(t->cell[i].value);
	}
	for (int i = 0; i < t->n_note; i++)
		free(t->note[i]);
	for (int i = 0; i < t->n_line; i++)
		free(t->line[i]);
	free(t->line);
	free(t->column);
	free(t->cell);
	free(t->note);
	free(t->title);
	free(t->source);
}

void tables_destroy(struct tables *s)
{
	if (!s)
		return;
	for (int i = 0; i < s->n; i++)
		table_finish(&s->table[i]);
	free(s->table);
	free(s);
}

/* Room for one more; p grows to twice its size. */
static void *grow(void *p, int n, int *cap, size_t size)
{
	if (n < *cap)
		return p;
	*cap = *cap ? *cap * 2 : 8;
	void *q = tool_alloc((size_t)*cap * size);
	if (n)
		memcpy(q, p, (size_t)n * size);
	free(p);
	return q;
}

void table_begin(struct tables *s, const char *title, int n_column, const char *const *column)
{
	s->table = grow(s->table, s->n, &s->cap, sizeof *s->table);
	struct table *t = &s->table[s->n++];
	memset(t, 0, sizeof *t);
	t->title = tool_strdup(title ? title : "");
	t->source = tool_strdup(s->source ? s->source : "");
	t->n_column = n_column < 1 ? 1 : n_column;
	t->column = tool_alloc((size_t)t->n_column * sizeof *t->column);
	for (int i = 0; i < t->n_column; i++)
		t->column[i] = tool_strdup(i < n_column && column[i] ? column[i] : "");
}

static struct table *last_table(struct tables *s)
{
	if (!s->n)
		table_begin(s, "", 1, (const char *const[]){ "" });
	return &s->table[s->n - 1];
}

static struct cell *new_cell(struct tables *s, enum cell_kind kind)
{
	struct table *t = last_table(s);
	t->cell = grow(t->cell, t->n_cell, &t->cap, sizeof *t->cell);
	struct cell *c = &t->cell[t->n_cell++];
	memset(c, 0, sizeof *c);
	c->kind = kind;
	return c;
}

void table_text(struct tables *s, const char *text) { new_cell(s, CELL_TEXT)->text = tool_strdup(text ? text : ""); }

static char *number_text(double v, int digits)
{
	if (digits < 0 || digits > 17)
		digits = 6;
	if (isnan(v))
		return tool_strdup("-");
	if (v != 0 && digits > 0 && (fabs(v) < 0.5 * pow(10, -digits) || fabs(v) >= 1e9))
		return tool_printf("%.2e", v);
	/* no "-0.00" */
	if (v == 0 || fabs(v) < 0.5 * pow(10, -digits))
		v = 0;
	return tool_printf("%.*f", digits, v);
}

void table_number(struct tables *s, double v, int digits)
{
	struct cell *c = new_cell(s, CELL_NUMBER);
	c->number = v;
	c->text = number_text(v, digits);
}

void table_stat(struct tables *s, int n, const double *value, int digits)
{
	struct cell *c = new_cell(s, CELL_STAT);
	double sum = 0, square = 0;

	c->value = tool_alloc((size_t)n * sizeof *value);
	for (int i = 0; i < n; i++) {
		if (isnan(value[i]))
			continue;
		c->value[c->n++] = value[i];
		sum += value[i];
	}
	c->number = c->n ? sum / c->n : NAN;
	for (int i = 0; i < c->n; i++)
		square += (c->value[i] - c->number) * (c->value[i] - c->number);
	c->sd = c->n > 1 ? sqrt(square / (c->n - 1)) : NAN;
	c->text = number_text(c->number, digits);
	if (c->n > 1) {
		/* a spread too small to see beside the mean is 0.0, unless the mean itself is as small */
		bool tiny = strchr(c->text, 'e') != NULL;
		char *mean = c->text, *sd = tiny ? number_text(c->sd, digits) : tool_printf("%.*f", digits, c->sd);
		c->text = tool_printf("%s ± %s", mean, sd);
		free(mean);
		free(sd);
	}
}

static char **one_more(char **list, int n, const char *text)
{
	char **more = tool_alloc(((size_t)n + 1) * sizeof *more);
	if (n)
		memcpy(more, list, (size_t)n * sizeof *more);
	free(list);
	more[n] = tool_strdup(text);
	return more;
}

void table_line(struct tables *s, const char *line)
{
	struct table *t = last_table(s);
	t->line = one_more(t->line, t->n_line, line);
	t->n_line++;
}

void table_note(struct tables *s, const char *format, ...)
{
	struct table *t = last_table(s);
	va_list ap;
	char line[1024];

	va_start(ap, format);
	vsnprintf(line, sizeof line, format, ap);
	va_end(ap);
	t->note = one_more(t->note, t->n_note, line);
	t->n_note++;
}

/* Columns that a UTF-8 text takes: bytes that do not continue a character. */
static int text_width(const char *s)
{
	int n = 0;
	for (; *s; s++)
		n += ((unsigned char)*s & 0xC0) != 0x80;
	return n;
}

static void print_padded(FILE *out, const char *s, int width, bool right)
{
	int pad = width - text_width(s);
	for (int i = 0; right && i < pad; i++)
		fputc(' ', out);
	fputs(s, out);
	for (int i = 0; !right && i < pad; i++)
		fputc(' ', out);
}

static const char *cell_at(const struct table *t, int row, int column)
{
	int i = row * t->n_column + column;
	return i < t->n_cell && t->cell[i].text ? t->cell[i].text : "";
}

static bool is_right(const struct table *t, int rows, int column)
{
	for (int r = 0; r < rows; r++) {
		int i = r * t->n_column + column;
		if (i < t->n_cell && t->cell[i].kind != CELL_TEXT)
			return true;
	}
	return false;
}

/* One line of columns 0 and from..to-1; row -1 is the heading. */
static void print_row(const struct table *t, FILE *out, int row, int rows, int from, int to, const int *width)
{
	for (int c = 0; c < to; c++) {
		if (c && c < from)
			continue;
		const char *s = row < 0 ? t->column[c] : cell_at(t, row, c);
		bool right = is_right(t, rows, c), last = c == to - 1;
		if (c)
			fputs("  ", out);
		print_padded(out, s, last && !right ? 0 : width[c], right);
	}
	fputc('\n', out);
}

static void print_cells(const struct table *t, FILE *out, int limit)
{
	int rows = (t->n_cell + t->n_column - 1) / t->n_column;
	int *width = tool_alloc((size_t)t->n_column * sizeof *width);

	for (int c = 0; c < t->n_column; c++) {
		width[c] = text_width(t->column[c]);
		for (int r = 0; r < rows; r++) {
			int w = text_width(cell_at(t, r, c));
			width[c] = w > width[c] ? w : width[c];
		}
	}
	for (int from = 1, to; from <= t->n_column; from = to) {
		int used = width[0];
		for (to = from; to < t->n_column; to++) {
			if (to > from && used + 2 + width[to] > limit)
				break;
			used += 2 + width[to];
		}
		if (from > 1)
			fputc('\n', out);
		print_row(t, out, -1, rows, from, to, width);
		for (int i = 0; i < used && i < limit; i++)
			fputc('-', out);
		fputc('\n', out);
		for (int r = 0; r < rows; r++)
			print_row(t, out, r, rows, from, to, width);
		if (to >= t->n_column)
			break;
	}
	free(width);
}

static void print_table(const struct table *t, FILE *out, int limit)
{
	if (t->title[0])
		fprintf(out, "%s\n", t->title);
	for (int i = 0; i < t->n_line; i++)
		fprintf(out, "%s\n", t->line[i]);
	if (!t->n_line)
		print_cells(t, out, limit);
	for (int i = 0; i < t->n_note; i++)
		fprintf(out, "%s\n", t->note[i]);
}

void tables_print(const struct tables *s, FILE *out, int width)
{
	for (int i = 0; i < s->n; i++) {
		if (i)
			fputc('\n', out);
		print_table(&s->table[i], out, width);
	}
}

static cJSON *cell_json(const struct cell *c)
{
	cJSON *o;
	if (c->kind == CELL_TEXT)
		return cJSON_CreateString(c->text);
	if (c->kind == CELL_NUMBER)
		return isfinite(c->number) ? cJSON_CreateNumber(c->number) : cJSON_CreateNull();
	o = cJSON_CreateObject();
	cJSON_AddItemToObject(o, "mean", isfinite(c->number) ? cJSON_CreateNumber(c->number) : cJSON_CreateNull());
	cJSON_AddItemToObject(o, "sd", isfinite(c->sd) ? cJSON_CreateNumber(c->sd) : cJSON_CreateNull());
	cJSON_AddItemToObject(o, "values", cJSON_CreateDoubleArray(c->value, c->n));
	return o;
}

static cJSON *table_json(const struct table *t)
{
	cJSON *o = cJSON_CreateObject(), *rows = cJSON_CreateArray();

	cJSON_AddStringToObject(o, "source", t->source);
	cJSON_AddStringToObject(o, "title", t->title);
	cJSON_AddItemToObject(o, "columns", cJSON_CreateStringArray((const char *const *)t->column, t->n_column));
	for (int i = 0; i < t->n_cell; i++) {
		if (i % t->n_column == 0)
			cJSON_AddItemToArray(rows, cJSON_CreateArray());
		cJSON_AddItemToArray(cJSON_GetArrayItem(rows, i / t->n_column), cell_json(&t->cell[i]));
	}
	cJSON_AddItemToObject(o, "rows", rows);
	cJSON_AddItemToObject(o, "notes", cJSON_CreateStringArray((const char *const *)t->note, t->n_note));
	return o;
}

char *tables_json(const struct tables *s)
{
	cJSON *list = cJSON_CreateArray();
	for (int i = 0; i < s->n; i++)
		cJSON_AddItemToArray(list, table_json(&s->table[i]));
	char *text = cJSON_Print(list);
	cJSON_Delete(list);
	return text;
}
