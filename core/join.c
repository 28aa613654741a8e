/* SPDX-License-Identifier: MIT
 *
 * join.c: entries of [data] whose samples join those of another, as adversarial sets that an attack
 * stage saved join the training split: `more = idx images=... labels=... join=train`. They come
 * behind its own, after order=, take= and corrupt= of each; the entry stays a split of its own too.
 */
#include <stdlib.h>
#include <string.h>

#include "samples.h"

struct columns {
	uint8_t *x, *y, *corrupted;
	int64_t *number;
};

static void columns_free(struct columns *c)
{
	free(c->x);
	free(c->y);
	free(c->corrupted);
	free(c->number);
}

/* a's rows, then b's; NULL where there is no memory. */
static void *rows_of(const void *a, const void *b, size_t row, int64_t na, int64_t nb)
{
	uint8_t *out = malloc((size_t)(na + nb) * row);

	if (!out)
		return NULL;
	if (na)
		memcpy(out, a, (size_t)na * row);
	memcpy(out + (size_t)na * row, b, (size_t)nb * row);
	return out;
}

/* Which labels were replaced; NULL: none of either. */
static uint8_t *corrupted_of(const struct split *to, const struct split *from)
{
	uint8_t *out = calloc((size_t)(to->n + from->n), 1);

	if (out && to->is_corrupted)
		memcpy(out, to->is_corrupted, (size_t)to->n);
	if (out && from->is_corrupted)
		memcpy(out + to->n, from->is_corrupted, (size_t)from->n);
	return out;
}

/* Numbers behind those of the dataset: sample_name() tells whose they are. */
static bool note(struct source *to, const struct split *from, int64_t first)
{
	struct joined *all = realloc(to->joined, (size_t)(to->n_joined + 1) * sizeof *all);

	if (!all)
		return false;
	to->joined = all;
	all[to->n_joined++] = (struct joined){ first, from };
	return true;
}

static bool append(struct split *to, const struct split *from, struct source *source, struct diag *d)
{
	size_t x = (size_t)to->elements * (to->info.dtype == REIN_U8_T ? 1 : sizeof(float));
	size_t y = to->info.target == REIN_TARGET_CLASS ? sizeof(int32_t) : (size_t)to->info.target_dim * sizeof(float);
	int64_t first = source->info.count + to->joined, corrupted = to->corrupted + from->corrupted;
	int64_t here = to->streamed ? to->joined : to->n; /* in memory */
	struct columns c = { rows_of(to->x, from->x, x, here, from->n), rows_of(to->y, from->y, y, to->n, from->n),
		                 corrupted_of(to, from),
		                 rows_of(to->number, from->number, sizeof *to->number, to->n, from->n) };

	if (!c.x || !c.y || !c.corrupted || !c.number || !note(source, from, first)) {
		columns_free(&c);
		return data_error(d, from->dataset->spec, NULL, "out of memory");
	}
	for (int64_t i = 0; i < from->n; i++)
		c.number[to->n + i] = first + i;
	to->joined += from->n;
	data_replace(to, c.x, c.y, c.number, to->n + from->n);
	if (corrupted)
		to->is_corrupted = c.corrupted;
	else
		free(c.corrupted);
	to->corrupted = corrupted;
	return true;
}

static bool check(const struct data *data, const struct split *to, const struct split *from, struct diag *d)
{
	const struct spec *spec = from->dataset->spec;
	const char *name = from->dataset->common.join;
	char text[512];

	if (!to)
		return data_error(d, spec, "join", "join=%s: %s", name, data_no_split(data, name, text, sizeof text));
	if (to == from || *to->dataset->common.join)
		return data_error(d, spec, "join", "join=%s: %s", name,
		                  to == from ? "it cannot join itself" : "that entry joins another one itself");
	if (from->streamed)
		return data_error(
			d, spec, "join",
			"join=%s: its samples do not fit into [run] data_memory, and those of an entry that joins must", name);
	if (to->info.dtype != from->info.dtype)
		return data_error(d, spec, "join", "join=%s: its samples are %s, those of '%s' %s", name,
		                  from->info.dtype == REIN_U8_T ? "bytes" : "numbers", name,
		                  to->info.dtype == REIN_U8_T ? "bytes" : "numbers");
	return true;
}

const struct split *data_joined(const struct split *s, int i)
{
	return i < split_source(s)->n_joined ? split_source(s)->joined[i].from : NULL;
}

bool data_join(struct data *data, struct diag *d)
{
	bool good = true;

	for (int i = 0; i < data->n; i++) {
		struct split *from = data->split[i], *to = NULL;
		if (!*from->dataset->common.join)
			continue;
		to = data_split(data, from->dataset->common.join);
		good = check(data, to, from, d) && append(to, from, split_source_of(to), d) && good;
	}
	return good;
}
