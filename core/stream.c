/* SPDX-License-Identifier: MIT
 *
 * stream.c: a split whose samples do not fit into the memory given ([run] data_memory). The state that
 * elsewhere holds all of them holds a window of them, and another state says in which of its rows
 * each sample lies. While programs run over one window, reader threads decode the next into
 * memory of the host; then it is brought to the device in one piece.
 *
 * Who runs programs over such a split asks for the samples first: stream_need().
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "samples.h"
#include "train.h"

struct stream {
	int64_t rows, row_bytes;
	int64_t *want, n_want; /* sample numbers being read, or read, into `host` */
	int64_t *there, n_there;
	int64_t want_epoch, there_epoch; /* of training, for augmentations on the host; -1: without them */
	uint8_t *host;
	int32_t *slot; /* per sample of the split: its row on the device, or -1 */
	struct window *reading;
	bool pending; /* `host` is being filled by `thread` */
	pthread_t thread;
	struct trainer *t;
	struct portion *f;
};

struct stream *stream_create(struct trainer *t, struct portion *f, int64_t rows)
{
	struct stream *s = zalloc(1, sizeof *s);

	s->t = t;
	s->f = f;
	s->rows = rows;
	s->row_bytes = f->split->elements;
	s->want = zalloc((size_t)rows, sizeof *s->want);
	s->there = zalloc((size_t)rows, sizeof *s->there);
	s->host = zalloc((size_t)rows, (size_t)s->row_bytes);
	s->slot = zalloc((size_t)f->split->n, sizeof *s->slot);
	s->reading = window_create(f->split, s->host);
	return s;
}

static void *read_window(void *arg)
{
	struct stream *s = arg;

	window_read(s->reading, s->n_want, s->want, s->want_epoch);
	return NULL;
}

static void join(struct stream *s)
{
	if (s->pending)
		pthread_join(s->thread, NULL);
	s->pending = false;
}

void stream_destroy(struct stream *s)
{
	if (!s)
		return;
	join(s);
	window_destroy(s->reading);
	void *all[] = { s->want, s->there, s->host, s->slot };
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		free(all[i]);
	free(s);
}

static bool same(const int64_t *a, int64_t na, const int64_t *b, int64_t nb)
{
	return na == nb && !memcmp(a, b, (size_t)na * sizeof *a);
}

/* Sample numbers of places first .. first + n - 1 of an order (NULL: as they are stored). */
static int64_t *numbers(const int32_t *order, int64_t first, int64_t n)
{
	int64_t *v = zalloc((size_t)n + 1, sizeof *v);

	for (int64_t i = 0; i < n; i++)
		v[i] = order ? order[first + i] : first + i;
	return v;
}

/* Takes v over as what is read next, on another thread. */
static void begin(struct stream *s, const int64_t *v, int64_t n, int64_t epoch)
{
	s->want_epoch = epoch;
	memcpy(s->want, v, (size_t)n * sizeof *v);
	s->n_want = n;
	s->pending = n > 0 && !pthread_create(&s->thread, NULL, read_window, s);
	if (n > 0 && !s->pending)
		read_window(s);
}

/* What `host` holds comes to the device. */
static bool bring(struct stream *s)
{
	struct trainer *t = s->t;

	join(s);
	if (!window_good(s->reading, t->diag))
		return false;
	memset(s->slot, 0xff, (size_t)s->f->split->n * sizeof *s->slot);
	for (int64_t i = 0; i < s->n_want; i++)
		s->slot[s->want[i]] = (int32_t)i;
	memcpy(s->there, s->want, (size_t)s->n_want * sizeof *s->want);
	s->n_there = s->n_want;
	s->there_epoch = s->want_epoch;
	return store_set(t->store, s->f->x, s->host) >= 0 && store_set(t->store, s->f->slot, s->slot) >= 0;
}

int64_t stream_rows(const struct stream *s) { return s->rows; }

bool stream_need(struct portion *f, const int32_t *order, int64_t first, int64_t n, int64_t next, int64_t epoch)
{
	struct stream *s = f->stream;
	bool good = true;

	if (!s || n <= 0)
		return true;
	int64_t *v = numbers(order, first, n);
	if (epoch != s->there_epoch || !same(v, n, s->there, s->n_there)) {
		if (epoch != s->want_epoch || !same(v, n, s->want, s->n_want)) {
			join(s);
			begin(s, v, n, epoch);
		}
		good = bring(s);
	}
	free(v);
	next = next > s->rows ? s->rows : next;
	if (good && next > 0 && !s->pending) {
		v = numbers(order, first + n, next);
		if (epoch != s->want_epoch || !same(v, next, s->want, s->n_want))
			begin(s, v, next, epoch);
		free(v);
	}
	return good;
}
