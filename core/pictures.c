/* SPDX-License-Identifier: MIT
 *
 * pictures.c: files of an attack stage: successes as PNG (the original, the adversarial image,
 * the difference), and adversarial sets as IDX files, which the dataset idx reads. They are kept
 * until the stage is over and written by trainer_write_files().
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attacks.h"
#include "canvas.h"
#include "files.h"

/* --- PNG ---------------------------------------------------------------------------------- */
/* v (C,H,W) in 0..1, C 1 or 3. */
static bool write_png(const char *path, int64_t c, int64_t h, int64_t w, const float *v, char *why, size_t size)
{
	struct canvas *p = must(canvas_create(h, w, c, 0));

	canvas_place(p, 0, 0, c, h, w, v);
	bool good = canvas_write(p, path, why, size);
	canvas_destroy(p);
	return good;
}

void picture_add(struct trainer *t, const struct stage *s, const struct outcome *o, int32_t sample, const float *x0,
                 const float *x)
{
	const struct rein_dataset_info *info = &portion_find(t, s->split)->split->info;
	const struct rein_model *m = &t->net[0]->model;
	struct robust *q = s->robust;
	int64_t n = info->dim[0] * info->dim[1] * info->dim[2], have = 0;
	char label[80];

	robust_label(o, label, sizeof label);
	for (char *c = label; *c; c++)
		*c = *c == '/' ? '_' : *c;
	for (int i = 0; i < q->n_picture; i++)
		have += strncmp(q->picture[i].name, label, strlen(label)) == 0 && q->picture[i].name[strlen(label)] == '-';
	if (have >= q->images || (info->dim[0] != 1 && info->dim[0] != 3))
		return;
	q->picture = must(realloc(q->picture, (size_t)(q->n_picture + 1) * sizeof *q->picture));
	struct picture *p = &q->picture[q->n_picture++];
	*p = (struct picture){ .c = info->dim[0], .h = info->dim[1], .w = info->dim[2] };
	snprintf(p->name, sizeof p->name, "%s-%d", label, (int)sample);
	p->x = zalloc((size_t)n, sizeof *p->x);
	p->bad = zalloc((size_t)n, sizeof *p->bad);
	for (int64_t i = 0; i < n; i++) {
		p->x[i] = (float)(((double)x0[i] - m->lo) / (m->hi - m->lo));
		p->bad[i] = (float)(((double)x[i] - m->lo) / (m->hi - m->lo));
	}
}

/* The difference as light and dark around grey, the largest change as black or white. */
static void scaled(const struct picture *p, float *out)
{
	int64_t n = p->c * p->h * p->w;
	float most = 0;

	for (int64_t i = 0; i < n; i++) {
		out[i] = p->bad[i] - p->x[i];
		most = fabsf(out[i]) > most ? fabsf(out[i]) : most;
	}
	for (int64_t i = 0; i < n; i++)
		out[i] = 0.5f + (most > 0 ? 0.5f * out[i] / most : 0);
}

static bool write_picture(const struct picture *p, const char *folder, char *why, size_t size)
{
	static const char *const what[] = { "original", "adversarial", "difference" };
	float *difference = zalloc((size_t)(p->c * p->h * p->w), sizeof *difference);
	const float *v[] = { p->x, p->bad, difference };
	char path[4400];
	bool good = true;

	scaled(p, difference);
	for (int i = 0; i < 3 && good; i++) {
		snprintf(path, sizeof path, "%s/%s-%s.png", folder, p->name, what[i]);
		good = write_png(path, p->c, p->h, p->w, v[i], why, size);
	}
	free(difference);
	return good;
}

/* --- adversarial sets ---------------------------------------------------------------------- */
struct set *set_new(struct trainer *t, const struct stage *s, const struct outcome *o, int64_t n)
{
	const struct split *split = portion_find(t, s->split)->split;
	struct robust *q = s->robust;

	q->set = must(realloc(q->set, (size_t)(q->n_set + 1) * sizeof *q->set));
	struct set *a = &q->set[q->n_set++];
	*a = (struct set){ .n = n };
	robust_label(o, a->name, sizeof a->name);
	for (char *c = a->name; *c; c++)
		*c = *c == '/' ? '_' : *c;
	a->x = zalloc((size_t)(n * split->elements), sizeof *a->x);
	a->y = zalloc((size_t)n, sizeof *a->y);
	return a;
}

void set_add(struct trainer *t, const struct stage *s, struct set *a, int64_t from, int64_t n, const int32_t *id,
             const float *x)
{
	const struct split *split = portion_find(t, s->split)->split;

	memcpy(a->x + from * split->elements, x, (size_t)(n * split->elements) * sizeof *x);
	for (int64_t i = 0; i < n; i++)
		a->y[from + i] = ((const int32_t *)split->y)[id[i]];
}

static void big_endian(uint8_t *out, uint32_t v)
{
	for (int k = 0; k < 4; k++)
		out[k] = (uint8_t)(v >> (24 - 8 * k));
}

static bool idx_begin(struct file_writer *f, const char *path, uint8_t type, uint32_t rank, const int64_t *dim,
                      char *why, size_t size)
{
	uint8_t head[32] = { 0, 0, type, (uint8_t)rank };

	for (uint32_t i = 0; i < rank; i++)
		big_endian(head + 4 + 4 * i, (uint32_t)dim[i]);
	return file_begin(f, path, why, size) && file_add(f, head, 4 + 4 * rank);
}

/* Bytes where the data were bytes, else floats. A grey image has no axis for its channel. */
static bool write_samples(struct trainer *t, const struct split *split, const struct set *a, const char *path,
                          char *why, size_t size)
{
	bool bytes = split->info.dtype == REIN_U8_T, grey = split->info.rank == 3 && split->info.dim[0] == 1;
	int64_t dim[5] = { a->n }, n = a->n * split->elements;
	uint32_t rank = 1;
	struct file_writer f;

	(void)t;
	for (uint32_t i = grey ? 1 : 0; i < split->info.rank; i++)
		dim[rank++] = split->info.dim[i];
	if (!idx_begin(&f, path, bytes ? 0x08 : 0x0D, rank, dim, why, size))
		return false;
	for (int64_t i = 0; i < n; i++) {
		uint8_t v[4];
		uint32_t word;
		memcpy(&word, &a->x[i], sizeof word);
		big_endian(v, word);
		if (bytes)
			v[0] = (uint8_t)lrintf(255 * a->x[i]);
		if (!file_add(&f, v, bytes ? 1 : 4))
			break;
	}
	return file_end(&f, why, size);
}

static bool write_labels(const struct set *a, const char *path, char *why, size_t size)
{
	struct file_writer f;

	if (!idx_begin(&f, path, 0x08, 1, &a->n, why, size))
		return false;
	for (int64_t i = 0; i < a->n; i++) {
		uint8_t v = (uint8_t)a->y[i];
		if (!file_add(&f, &v, 1))
			break;
	}
	return file_end(&f, why, size);
}

static bool write_set(struct trainer *t, const struct stage *s, const struct set *a, const char *folder, char *why,
                      size_t size)
{
	char path[4400];

	snprintf(path, sizeof path, "%s/%s-images.idx", folder, a->name);
	if (!write_samples(t, portion_find(t, s->split)->split, a, path, why, size))
		return false;
	snprintf(path, sizeof path, "%s/%s-labels.idx", folder, a->name);
	return write_labels(a, path, why, size);
}

/* --- all that waits -------------------------------------------------------------------------- */
void files_forget(struct robust *q)
{
	for (int i = 0; i < q->n_picture; i++) {
		free(q->picture[i].x);
		free(q->picture[i].bad);
	}
	for (int i = 0; i < q->n_set; i++) {
		free(q->set[i].x);
		free(q->set[i].y);
	}
	free(q->picture);
	free(q->set);
	q->picture = NULL;
	q->set = NULL;
	q->n_picture = q->n_set = 0;
}

bool trainer_write_files(struct trainer *t, const char *folder, char *why, size_t size)
{
	bool good = true;
	char path[4200];

	for (int i = 0; i < t->n_stage && good; i++) {
		struct robust *q = t->stage[i].robust;
		if (!q || (!q->n_picture && !q->n_set))
			continue;
		snprintf(path, sizeof path, "%s/images/%s", folder, t->stage[i].name);
		good = !q->n_picture || folder_make(path, why, size);
		for (int k = 0; k < q->n_picture && good; k++)
			good = write_picture(&q->picture[k], path, why, size);
		snprintf(path, sizeof path, "%s/adversarial/%s", folder, t->stage[i].name);
		good = good && (!q->n_set || !q->save || folder_make(path, why, size));
		for (int k = 0; q->save && k < q->n_set && good; k++)
			good = write_set(t, &t->stage[i], &q->set[k], path, why, size);
		files_forget(q);
	}
	return good;
}
