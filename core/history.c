/* SPDX-License-Identifier: MIT
 *
 * history.c: numbers of a run in memory, and to and from its JSON files.
 */
#include "history.h"

#include "rein/logger.h"
#include "tool.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int find_name(const struct history *h, const char *name)
{
	for (int i = 0; i < h->n_name; i++)
		if (!strcmp(h->name[i], name))
			return i;
	return -1;
}

static int make_name(struct history *h, const char *name)
{
	int i = find_name(h, name);
	if (i >= 0)
		return i;
	if (h->n_name == h->cap_name) {
		h->cap_name = h->cap_name ? 2 * h->cap_name : 32;
		char **more = tool_alloc((size_t)h->cap_name * sizeof *more);
		if (h->n_name)
			memcpy(more, h->name, (size_t)h->n_name * sizeof *more);
		free(h->name);
		h->name = more;
	}
	h->name[h->n_name] = tool_strdup(name);
	return h->n_name++;
}

void history_finish(struct history *h)
{
	for (int i = 0; i < h->n; i++)
		free(h->row[i].value);
	for (int i = 0; i < h->n_name; i++)
		free(h->name[i]);
	free(h->row);
	free(h->name);
	memset(h, 0, sizeof *h);
}

struct history_row *history_add(struct history *h, const char *stage, const char *type, int64_t epoch, int64_t epochs,
                                const struct metrics *m)
{
	if (h->n == h->cap) {
		h->cap = h->cap ? 2 * h->cap : 64;
		struct history_row *more = tool_alloc((size_t)h->cap * sizeof *more);
		if (h->n)
			memcpy(more, h->row, (size_t)h->n * sizeof *more);
		free(h->row);
		h->row = more;
	}
	struct history_row *r = &h->row[h->n++];
	memset(r, 0, sizeof *r);
	snprintf(r->stage, sizeof r->stage, "%s", stage);
	snprintf(r->type, sizeof r->type, "%s", type);
	r->epoch = epoch;
	r->epochs = epochs;
	for (int i = 0; i < m->n; i++)
		make_name(h, m->m[i].name);
	r->n = h->n_name;
	r->value = tool_alloc((size_t)r->n * sizeof *r->value);
	for (int i = 0; i < r->n; i++)
		r->value[i] = NAN;
	for (int i = 0; i < m->n; i++)
		r->value[find_name(h, m->m[i].name)] = m->m[i].value;
	return r;
}

double history_at(const struct history *h, int row, const char *name)
{
	int i = find_name(h, name);
	return i >= 0 && i < h->row[row].n ? h->row[row].value[i] : NAN;
}

double history_last(const struct history *h, const char *name)
{
	for (int i = h->n - 1; i >= 0; i--) {
		double v = history_at(h, i, name);
		if (!isnan(v))
			return v;
	}
	return NAN;
}

double history_best(const struct history *h, const char *name, int sign, int64_t *epoch)
{
	double best = NAN;
	for (int i = 0; i < h->n; i++) {
		double v = history_at(h, i, name);
		if (isnan(v) || strcmp(h->row[i].type, "train") || (!isnan(best) && sign * v <= sign * best))
			continue;
		best = v;
		*epoch = h->row[i].epoch;
	}
	return best;
}

double history_reaches(const struct history *h, const char *name, double level)
{
	for (int i = 0; i < h->n; i++)
		if (!strcmp(h->row[i].type, "train") && history_at(h, i, name) >= level)
			return (double)h->row[i].epoch;
	return NAN;
}

/* cJSON takes a text that reads back as nearly the same number; here it is the same. */
static void add_number(cJSON *o, const char *key, double v)
{
	char text[40];
	if (!isfinite(v)) {
		cJSON_AddNullToObject(o, key);
		return;
	}
	snprintf(text, sizeof text, "%.15g", v);
	if (strtod(text, NULL) != v)
		snprintf(text, sizeof text, "%.17g", v);
	cJSON_AddRawToObject(o, key, text);
}

char *history_line(const char *stage, const char *type, int64_t epoch, int64_t epochs, uint64_t n,
                   const struct rein_number *number)
{
	cJSON *o = cJSON_CreateObject();
	cJSON_AddStringToObject(o, "stage", stage);
	cJSON_AddStringToObject(o, "type", type);
	cJSON_AddNumberToObject(o, "epoch", (double)epoch);
	cJSON_AddNumberToObject(o, "epochs", (double)epochs);
	for (uint64_t i = 0; i < n; i++)
		add_number(o, number[i].name, number[i].value);
	char *line = cJSON_PrintUnformatted(o);
	cJSON_Delete(o);
	return line;
}

char *file_text(const char *path, size_t *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		errno = EINVAL;
		close(fd);
		return NULL;
	}
	char *text = tool_alloc((size_t)st.st_size + 1);
	size_t n = 0;
	ssize_t got;
	while (n < (size_t)st.st_size && (got = read(fd, text + n, (size_t)st.st_size - n)) > 0)
		n += (size_t)got;
	close(fd);
	text[n] = 0;
	*size = n;
	return text;
}

/* One object of metrics.jsonl. */
static bool add_object(struct history *h, const cJSON *o, int64_t end)
{
	const cJSON *stage = cJSON_GetObjectItemCaseSensitive(o, "stage"),
				*type = cJSON_GetObjectItemCaseSensitive(o, "type"),
				*epoch = cJSON_GetObjectItemCaseSensitive(o, "epoch"),
				*epochs = cJSON_GetObjectItemCaseSensitive(o, "epochs"), *i;
	struct metrics m = { 0 };

	if (!cJSON_IsString(stage) || !cJSON_IsString(type) || !cJSON_IsNumber(epoch) || !cJSON_IsNumber(epochs))
		return false;
	cJSON_ArrayForEach(i, o)
	{
		if (i == epoch || i == epochs || i == stage || i == type)
			continue;
		metrics_set(&m, i->string, cJSON_IsNumber(i) ? i->valuedouble : NAN);
	}
	history_add(h, stage->valuestring, type->valuestring, (int64_t)epoch->valuedouble, (int64_t)epochs->valuedouble, &m)
		->end = end;
	metrics_finish(&m);
	return true;
}

bool history_read(struct history *h, const char *path, char *why, size_t size)
{
	size_t n;
	char *text = file_text(path, &n), *line, *end;
	bool good = true;

	memset(h, 0, sizeof *h);
	if (!text) {
		snprintf(why, size, "cannot read '%s': %s", path, strerror(errno));
		return false;
	}
	for (line = text; (end = strchr(line, '\n')); line = end + 1) {
		cJSON *o = cJSON_ParseWithLength(line, (size_t)(end - line));
		if (!o || !add_object(h, o, end + 1 - text)) {
			snprintf(why, size, "'%s', line %d: not a line of metrics", path, h->n + 1);
			good = false;
		}
		cJSON_Delete(o);
		if (!good)
			break;
	}
	free(text);
	return good;
}

bool history_cut(struct history *h, const char *path, int keep, char *why, size_t size)
{
	if (truncate(path, keep ? h->row[keep - 1].end : 0)) {
		snprintf(why, size, "cannot cut '%s': %s", path, strerror(errno));
		return false;
	}
	for (int i = keep; i < h->n; i++)
		free(h->row[i].value);
	h->n = keep;
	return true;
}

char *facts_text(const struct run_facts *f)
{
	cJSON *o = cJSON_CreateObject();
	char hash[32];
	snprintf(hash, sizeof hash, "%016llx", (unsigned long long)f->train_data);
	cJSON_AddTrueToObject(o, "finished");
	add_number(o, "ended", f->ended);
	add_number(o, "seconds", f->seconds);
	cJSON_AddNumberToObject(o, "epochs", (double)f->epochs);
	cJSON_AddNumberToObject(o, "epochs_set", (double)f->epochs_set);
	cJSON_AddNumberToObject(o, "parameters", (double)f->parameters);
	cJSON_AddNumberToObject(o, "train_samples", (double)f->train_samples);
	cJSON_AddStringToObject(o, "train_data", hash);
	add_number(o, "lr", f->lr);
	char *text = cJSON_Print(o);
	cJSON_Delete(o);
	return text;
}

static double number_of(const cJSON *o, const char *key)
{
	const cJSON *i = cJSON_GetObjectItemCaseSensitive(o, key);
	return cJSON_IsNumber(i) ? i->valuedouble : NAN;
}

bool facts_read(struct run_facts *f, const char *path)
{
	size_t n;
	char *text = file_text(path, &n);
	cJSON *o = text ? cJSON_ParseWithLength(text, n) : NULL;
	const cJSON *hash = cJSON_GetObjectItemCaseSensitive(o, "train_data");
	bool good = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, "finished")) && cJSON_IsString(hash);

	memset(f, 0, sizeof *f);
	if (good) {
		double epochs = number_of(o, "epochs"), set = number_of(o, "epochs_set"), p = number_of(o, "parameters"),
			   samples = number_of(o, "train_samples");
		f->ended = number_of(o, "ended");
		f->seconds = number_of(o, "seconds");
		f->lr = number_of(o, "lr");
		f->train_data = strtoull(hash->valuestring, NULL, 16);
		good = !isnan(epochs) && !isnan(set) && !isnan(p) && !isnan(samples) && !isnan(f->ended);
		f->epochs = good ? (int64_t)epochs : 0;
		f->epochs_set = good ? (int64_t)set : 0;
		f->parameters = good ? (int64_t)p : 0;
		f->train_samples = good ? (int64_t)samples : 0;
	}
	cJSON_Delete(o);
	free(text);
	return good;
}
