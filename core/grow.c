/* SPDX-License-Identifier: MIT
 *
 * grow.c: samples that join the training split while a run goes on: an attack stage with
 * add=yes gives those it made, with the labels of the samples they were made of. From then on an
 * epoch is longer; programs are recorded again. Checkpoints hold what was added.
 */
#include <stdlib.h>
#include <string.h>

#include "train.h"

/* A table or an order that follows the number of samples. */
static bool resize(struct trainer *t, struct state *s, int64_t n, uint32_t axis)
{
	int64_t dim[REIN_MAX_RANK];

	if (!s)
		return true;
	memcpy(dim, s->dim, sizeof dim);
	dim[axis] = n;
	store_reshape(t->store, s, dim);
	s->ready = true;
	return store_allocate(t->store) >= 0;
}

/* n samples in pixel space, as the split stores them: bytes, or floats. */
static bool append(struct split *s, int64_t n, const float *x, const int32_t *y)
{
	size_t size = s->info.dtype == REIN_U8_T ? 1 : sizeof(float);
	size_t old = (size_t)((s->streamed ? s->joined : s->n) * s->elements);
	uint8_t *more = malloc((old + (size_t)(n * s->elements)) * size);
	int32_t *labels = malloc((size_t)(s->n + n) * sizeof *labels);
	int64_t *number = malloc((size_t)(s->n + n) * sizeof *number);

	if (!more || !labels || !number) {
		free(more);
		free(labels);
		free(number);
		return false;
	}
	if (old)
		memcpy(more, s->x, old * size);
	memcpy(labels, s->y, (size_t)s->n * sizeof *labels);
	memcpy(number, s->number, (size_t)s->n * sizeof *number);
	for (int64_t i = 0; i < n * s->elements; i++)
		if (size == 1)
			more[old + (size_t)i] = (uint8_t)(255 * x[i] + 0.5F);
		else
			memcpy(more + (old + (size_t)i) * size, &x[i], sizeof *x);
	for (int64_t i = 0; i < n; i++) {
		labels[s->n + i] = y[i];
		number[s->n + i] = s->info.count + s->joined + i;
	}
	s->joined += n;
	data_replace(s, more, labels, number, s->n + n);
	return true;
}

/* Where the samples lie: all of them, or windows of another stream. */
static bool move_samples(struct trainer *t, struct portion *f)
{
	if (!f->stream)
		return resize(t, f->x, t->train->n, 0) && store_set(t->store, f->x, t->train->x) >= 0;
	stream_destroy(f->stream);
	f->stream = stream_create(t, f);
	return resize(t, f->x, stream_rows(f->stream), 0) && resize(t, f->slot, t->train->n, 0);
}

bool grow_train(struct trainer *t, int64_t n, const float *x, const int32_t *y)
{
	struct portion *f = portion_find(t, t->train->name);
	int64_t all = t->train->n + n;

	if (all > INT32_MAX || !append(t->train, n, x, y)) {
		diag_error(t->diag, NULL, "no memory for %lld more training samples", (long long)n);
		return false;
	}
	t->added += n;
	t->rest = t->env.settings->drop_last ? 0 : all % t->batch;
	t->steps = all / t->batch + (t->rest > 0);
	t->order_host = must(realloc(t->order_host, (size_t)all * sizeof *t->order_host));
	t->order_next = must(realloc(t->order_next, (size_t)all * sizeof *t->order_next));
	t->next.n = 0;
	t->table_host = must(realloc(t->table_host, (size_t)(t->n_scalar + 1) * (size_t)t->steps * sizeof *t->table_host));
	t->shuffles += t->shuffles == 0; /* an order that is not shuffled is written once more */
	bool good = move_samples(t, f) && resize(t, f->y, all, 0) && resize(t, t->order, all, 0) &&
	            resize(t, t->table, t->steps, 1);
	for (int64_t i = 0; i < all; i++)
		t->order_host[i] = (int32_t)i;
	return good && store_set(t->store, f->y, t->train->y) >= 0 && store_set(t->store, t->order, t->order_host) >= 0 &&
	       trainer_record_again(t);
}
