/* SPDX-License-Identifier: MIT
 *
 * stream.c: a split whose samples do not fit into the memory given ([run] data_memory). The state that
 * elsewhere holds all of them holds windows of them, and another state says in which of its rows
 * each sample lies. While programs run over one window, reader threads decode the next into
 * memory of the host; then it is brought to the device in one piece.
 *
 * Who runs programs over such a split says in which order it uses samples (a tour) and asks before
 * it runs: stream_need(). A tour may say what comes behind it, so that the first window of the next
 * epoch is read while the last of this one is in use. That is a hint: a wrong one costs time.
 *
 * A backend that copies while it runs (upload_begin) gets two windows on the device and two in
 * memory that it copies from quickly: one is used, the next is on its way, the one behind is read.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "samples.h"
#include "train.h"

/* Some samples of the split, in order. */
struct load {
	int64_t *id, n;
	int64_t epoch; /* of training, for augmentations on the host; -1: without them */
};

/* Memory of the host that a window is decoded into. */
struct buffer {
	struct load holds;
	uint8_t *host; /* made when it is first used */
	struct window *reading;
	bool pending; /* being filled by `thread` */
	atomic_bool done;
	pthread_t thread;
};

struct stream {
	struct trainer *t;
	struct portion *f;
	int64_t rows; /* of a window */
	int n;        /* buffers, and windows on the device */
	struct buffer buffer[2];
	struct load place[2];  /* what lies on the device; place i begins at row i * rows */
	int here;              /* whose rows `slot` names, or -1 */
	int coming;            /* the place that is being copied to, or -1 ... */
	struct buffer *source; /* ... and from where */
	struct load ask[3];    /* the window that is needed, and the two behind it */
	int32_t *slot;         /* per sample of the split: its row on the device, or -1 */
};

/* --- making ------------------------------------------------------------------------------------ */
static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

/* Of a window: half of the memory given is the host's, the other half the device's. But a batch of
 * whatever runs over the split fits. */
static int64_t rows_of(const struct trainer *t, const struct split *s, int windows)
{
	int64_t rows = (t->env.settings->data_memory << 20) / (2 * windows) / s->elements;
	int64_t eval = t->env.settings->eval_batch;

	rows = rows < t->batch && s == t->train ? t->batch : rows;
	rows = rows < eval ? eval : rows;
	return rows > s->n ? s->n : rows;
}

struct stream *stream_create(struct trainer *t, struct portion *f)
{
	struct stream *s = zalloc(1, sizeof *s);
	int64_t rows;

	s->t = t;
	s->f = f;
	s->n = store_copies_aside(t->store) ? 2 : 1;
	s->rows = rows = rows_of(t, f->split, s->n);
	s->here = s->coming = -1;
	for (int i = 0; i < s->n; i++)
		s->place[i].id = zalloc((size_t)rows, sizeof(int64_t));
	for (int i = 0; i < s->n; i++)
		s->buffer[i].holds.id = zalloc((size_t)rows, sizeof(int64_t));
	for (int i = 0; i < 3; i++)
		s->ask[i].id = zalloc((size_t)rows, sizeof(int64_t));
	s->slot = zalloc((size_t)f->split->n, sizeof *s->slot);
	return s;
}

static void join(struct buffer *b)
{
	if (b->pending)
		pthread_join(b->thread, NULL);
	b->pending = false;
}

/* What it reads is not needed. */
static void stop(struct buffer *b)
{
	if (b->pending)
		window_stop(b->reading);
	join(b);
	b->holds.n = 0;
}

/* What is being copied has arrived. */
static bool land(struct stream *s)
{
	bool good = s->coming < 0 || store_set_end(s->t->store) >= 0;

	s->coming = -1;
	s->source = NULL;
	return good;
}

void stream_destroy(struct stream *s)
{
	if (!s)
		return;
	for (int i = 0; i < s->n; i++)
		stop(&s->buffer[i]);
	land(s);
	for (int i = 0; i < s->n; i++) {
		if (s->buffer[i].reading)
			window_destroy(s->buffer[i].reading);
		store_host_free(s->t->store, s->buffer[i].host);
		free(s->buffer[i].holds.id);
		free(s->place[i].id);
	}
	for (int i = 0; i < 3; i++)
		free(s->ask[i].id);
	free(s->slot);
	free(s);
}

int64_t stream_rows(const struct stream *s) { return s->n * s->rows; }

/* --- which samples ------------------------------------------------------------------------------- */
static bool same(const struct load *a, const struct load *b)
{
	return a->n == b->n && a->epoch == b->epoch && !memcmp(a->id, b->id, (size_t)a->n * sizeof *a->id);
}

static void assign(struct load *to, const struct load *from)
{
	to->n = from->n;
	to->epoch = from->epoch;
	memcpy(to->id, from->id, (size_t)from->n * sizeof *from->id);
}

/* Window w of a tour and those behind it; none: n = 0. */
static void window_of(const struct stream *s, const struct tour *tour, int64_t w, struct load *out)
{
	int64_t per = 1;

	out->n = 0;
	for (; tour && tour->n > 0; tour = tour->then) {
		per = s->rows / tour->batch * tour->batch;
		if (w * per < tour->n)
			break;
		w -= (tour->n + per - 1) / per;
	}
	if (!tour || tour->n <= 0)
		return;
	int64_t first = w * per;
	out->n = tour->n - first < per ? tour->n - first : per;
	out->epoch = split_changes(s->f->split) ? tour->epoch : -1;
	for (int64_t i = 0; i < out->n; i++)
		out->id[i] = tour->order ? tour->order[first + i] : first + i;
}

static int place_of(const struct stream *s, const struct load *l)
{
	for (int i = 0; i < s->n; i++)
		if (same(&s->place[i], l))
			return i;
	return -1;
}

static struct buffer *buffer_of(struct stream *s, const struct load *l)
{
	for (int i = 0; i < s->n; i++)
		if (same(&s->buffer[i].holds, l))
			return &s->buffer[i];
	return NULL;
}

/* --- reading --------------------------------------------------------------------------------------- */
static void *read_window(void *arg)
{
	struct buffer *b = arg;

	window_read(b->reading);
	atomic_store(&b->done, true);
	return NULL;
}

/* Begins to read, on another thread. */
static bool begin(struct stream *s, struct buffer *b, const struct load *l)
{
	for (int i = 0; i < s->n; i++)
		if (s->buffer[i].pending)
			stop(&s->buffer[i]);
	if (!b->host) {
		b->host = store_host_alloc(s->t->store, (uint64_t)(s->rows * s->f->split->elements));
		if (!b->host) {
			diag_error(s->t->diag, NULL, "no memory for a window of '%s' ([run] data_memory)", s->f->split->name);
			return false;
		}
		b->reading = window_create(s->f->split, b->host);
	}
	assign(&b->holds, l);
	window_set(b->reading, l->n, l->id, l->epoch);
	atomic_store(&b->done, false);
	b->pending = !pthread_create(&b->thread, NULL, read_window, b);
	if (!b->pending)
		read_window(b);
	return true;
}

/* What was asked for is in a buffer, whole. */
static struct buffer *read_now(struct stream *s, const struct load *l)
{
	struct buffer *b = buffer_of(s, l);

	if (!b) {
		b = &s->buffer[s->source == &s->buffer[0] && s->n > 1];
		if (!begin(s, b, l))
			return NULL;
	}
	join(b);
	if (window_good(b->reading, s->t->diag))
		return b;
	b->holds.n = 0;
	return NULL;
}

/* --- on the device ----------------------------------------------------------------------------------- */
static bool failed(struct stream *s)
{
	const char *why = instance_failure(s->t->env.backend);

	diag_error(s->t->diag, NULL, "samples of '%s' could not be brought to backend '%s'%s%s", s->f->split->name,
	           s->t->env.backend->component->c.name, *why ? ": " : "", why);
	return false;
}

/* Row 0 of a place, counted in bytes. */
static uint64_t begins(const struct stream *s, int place)
{
	return (uint64_t)(place * s->rows * s->f->split->elements);
}

/* A window that was read leaves for a place on the device. */
static bool leave(struct stream *s, struct buffer *b, int place)
{
	uint64_t bytes = (uint64_t)(b->holds.n * s->f->split->elements);

	if (!land(s))
		return failed(s);
	assign(&s->place[place], &b->holds);
	if (s->n == 1) {
		b->holds.n = 0;
		return store_set_part(s->t->store, s->f->x, begins(s, place), b->host, bytes) >= 0 || failed(s);
	}
	s->coming = place;
	s->source = b;
	return store_set_begin(s->t->store, s->f->x, begins(s, place), b->host, bytes) >= 0 || failed(s);
}

/* The rows of a place are those that programs find. */
static bool look_at(struct stream *s, int place)
{
	const struct load *l = &s->place[place];

	memset(s->slot, 0xff, (size_t)s->f->split->n * sizeof *s->slot);
	for (int64_t i = 0; i < l->n; i++)
		s->slot[l->id[i]] = (int32_t)(place * s->rows + i);
	s->here = place;
	return store_set(s->t->store, s->f->slot, s->slot) >= 0 || failed(s);
}

static bool be_there(struct stream *s, const struct load *l)
{
	int place = place_of(s, l);

	if (place >= 0 && place == s->here && place != s->coming)
		return true;
	if (place < 0) {
		struct buffer *b = read_now(s, l);
		place = s->n > 1 && s->here == 0;
		if (!b || !leave(s, b, place))
			return false;
	}
	return (land(s) || failed(s)) && look_at(s, place);
}

/* What comes behind leaves, or is read, while programs run. */
static bool ahead(struct stream *s)
{
	const struct load *next = &s->ask[1];
	struct buffer *b = next->n ? buffer_of(s, next) : NULL;

	if (s->n > 1 && b && place_of(s, next) < 0 && (!b->pending || atomic_load(&b->done))) {
		join(b);
		if (!window_good(b->reading, s->t->diag) || !leave(s, b, 1 - s->here))
			return false;
	}
	for (int k = 1; k <= s->n; k++) {
		const struct load *l = &s->ask[k];
		if (!l->n || place_of(s, l) >= 0)
			continue;
		b = buffer_of(s, l);
		if (b && b->pending)
			break; /* one at a time */
		if (b)
			continue;
		for (int i = 0; i < s->n && !b; i++)
			if (&s->buffer[i] != s->source && (k == 1 || !same(&s->buffer[i].holds, next)))
				b = &s->buffer[i];
		if (b)
			return begin(s, b, l);
	}
	return true;
}

int64_t stream_need(struct portion *f, const struct tour *tour, int64_t step)
{
	int64_t steps = (tour->n + tour->batch - 1) / tour->batch;
	struct stream *s = f->stream;

	if (!s)
		return steps - step;
	int64_t per = s->rows / tour->batch, w = step / per, end = (w + 1) * per;
	double start = now();
	for (int i = 0; i < 3; i++)
		window_of(s, tour, w + i, &s->ask[i]);
	bool good = be_there(s, &s->ask[0]);
	s->t->data_wait += now() - start;
	s->t->data_wait_all += now() - start;
	return good && ahead(s) ? (end < steps ? end : steps) - step : 0;
}

bool stream_one(struct portion *f, const int32_t *order, int64_t first, int64_t n, int64_t epoch)
{
	int32_t *some = zalloc((size_t)n, sizeof *some);
	const struct tour tour = { some, n, n, epoch, NULL };

	for (int64_t i = 0; i < n; i++)
		some[i] = order ? order[first + i] : (int32_t)(first + i);
	bool good = stream_need(f, &tour, 0) > 0;
	free(some);
	return good;
}

bool any_streams(const struct trainer *t)
{
	bool any = false;

	for (int i = 0; i < t->n_portion; i++)
		any = any || t->portion[i].stream;
	return any;
}
