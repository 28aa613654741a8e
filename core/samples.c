/* SPDX-License-Identifier: MIT
 *
 * samples.c: decodes samples with all cores and keeps what it decoded. The cache reserves
 * address space for a whole dataset; memory is used only for rows that are decoded. A split
 * that is a whole dataset in its own order points into the cache and copies nothing.
 */
#include "samples.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "blame.h"

#define THREADS_MAX 64
#define CHUNK       8         /* samples a thread takes at a time */
#define SMALL       (1 << 18) /* elements below which one thread does it all */
#define BYTES_MAX   (1LL << 46)

const char *sample_name(const struct source *s, int64_t i, char *buf, size_t size)
{
	const struct rein_dataset_vt *vt = &s->dataset->component->vt.dataset;
	char name[480] = "";
	int64_t added = i - s->info.count;
	for (int k = 0; k < s->n_joined; k++) { /* as the entry that it came from calls it */
		const struct split *from = s->joined[k].from;
		int64_t at = i - s->joined[k].first;
		added -= from->n;
		if (at < 0 || at >= from->n)
			continue;
		sample_name(split_source(from), from->number[at], name, sizeof name);
		snprintf(buf, size, "%s of '%s'", name, from->name);
		return buf;
	}
	if (i >= s->info.count) {
		snprintf(buf, size, "sample %lld of those that were added", (long long)added);
		return buf;
	}
	if (vt->describe)
		vt->describe(s->dataset->self, i, name, sizeof name);
	snprintf(buf, size, *name ? "sample %lld ('%s')" : "sample %lld%s", (long long)i, name);
	return buf;
}

static size_t element_size(uint32_t dtype) { return dtype == REIN_U8_T ? 1 : sizeof(float); }

static int64_t product(uint32_t rank, const int64_t *dim)
{
	int64_t n = 1;
	for (uint32_t i = 0; i < rank; i++)
		n *= dim[i];
	return n;
}

/* --- the cache ---------------------------------------------------------------------------- */
struct data_cache *data_cache_create(uint64_t max_bytes)
{
	struct data_cache *c = calloc(1, sizeof *c);
	if (c)
		c->max_bytes = max_bytes;
	return c;
}

static void rows_destroy(struct rows *r)
{
	if (!r)
		return;
	if (r->x)
		munmap(r->x, (size_t)r->count * r->x_size);
	free(r->y);
	free(r->state);
	free(r->key);
	free(r);
}

void data_cache_destroy(struct data_cache *c)
{
	if (!c)
		return;
	while (c->rows) {
		struct rows *next = c->rows->next;
		rows_destroy(c->rows);
		c->rows = next;
	}
	while (c->opened) {
		struct opened *next = c->opened->next;
		instance_destroy(c->opened->instance);
		free(c->opened->key);
		free(c->opened);
		c->opened = next;
	}
	while (c->said) {
		struct said *next = c->said->next;
		free(c->said);
		c->said = next;
	}
	while (c->looked) {
		struct looked *next = c->looked->next;
		free(c->looked->key);
		free(c->looked->state);
		free(c->looked);
		c->looked = next;
	}
	free(c);
}

/* What is known of the source's samples, made if need be; NULL: no memory, or no cache. */
static uint8_t *looked_at(struct data_cache *c, const struct source *s)
{
	struct looked *l;
	for (l = c ? c->looked : NULL; l; l = l->next)
		if (!strcmp(l->key, s->identity))
			return l->state;
	l = c ? calloc(1, sizeof *l) : NULL;
	if (!l)
		return NULL;
	l->key = strdup(s->identity);
	l->state = calloc((size_t)s->info.count, 1);
	if (!l->key || !l->state) {
		free(l->key);
		free(l->state);
		free(l);
		return NULL;
	}
	l->next = c->looked;
	c->looked = l;
	return l->state;
}

static struct rows *rows_create(const struct source *s, const struct split *to)
{
	struct rows *r = calloc(1, sizeof *r);
	void *x;
	int64_t bytes;
	if (!r)
		return NULL;
	r->count = s->info.count;
	r->elements = to->elements;
	r->x_size = (size_t)to->elements * element_size(to->info.dtype);
	r->y_size = to->info.target == REIN_TARGET_CLASS ? sizeof(int32_t) : (size_t)to->info.target_dim * sizeof(float);
	r->key = strdup(s->transformed);
	r->y = malloc((size_t)r->count * r->y_size);
	r->state = calloc((size_t)r->count, 1);
	if (__builtin_mul_overflow(r->count, (int64_t)r->x_size, &bytes) || bytes > BYTES_MAX)
		x = MAP_FAILED;
	else
		x = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (x != MAP_FAILED) {
		r->x = x;
		madvise(x, (size_t)bytes, MADV_HUGEPAGE); /* a hint: faults in small pages cost as much as decoding */
	}
	if (r->key && r->y && r->state && r->x)
		return r;
	rows_destroy(r);
	return NULL;
}

/* The rows of a source, made if there is room for `n` more; NULL: do without. */
static struct rows *find_rows(struct data_cache *c, const struct source *s, const struct split *to, int64_t n)
{
	struct rows *r;
	uint64_t bytes = (uint64_t)n * (uint64_t)to->elements * element_size(to->info.dtype);
	if (!c || c->used + bytes > c->max_bytes)
		return NULL;
	for (r = c->rows; r; r = r->next)
		if (!strcmp(r->key, s->transformed) && r->count == s->info.count && r->elements == to->elements)
			return r;
	r = rows_create(s, to);
	if (r) {
		r->next = c->rows;
		c->rows = r;
	}
	return r;
}

/* --- one sample --------------------------------------------------------------------------- */
struct job {
	const struct source *s;
	const struct split *to;
	const int64_t *pick; /* which samples ... */
	int64_t n;
	struct rows *rows; /* ... into these rows by number, or, if NULL, ... */
	uint8_t *x, *y;    /* ... into these by position */
	uint8_t *state;    /* by position, without rows */
	uint8_t *known;    /* of a look at targets: states by number, of samples decoded for it; or NULL */
	size_t x_size, y_size;
	atomic_llong next, failed; /* failed: lowest position that failed so far, n: none */
	atomic_bool stopped;       /* nobody wants it any more */
	pthread_mutex_t lock;
	char sentence[1024]; /* of that failure */
	struct instance *culprit;
	int64_t epoch; /* of training, for augmentations; < 0: without them */
};

/* Remembers the failure at the lowest position, so that every run names the same one. */
static void fail_at(struct job *j, int64_t at, struct instance *who, const char *fallback)
{
	const char *said = instance_failure(who);
	char name[512];
	pthread_mutex_lock(&j->lock);
	if (at < atomic_load(&j->failed)) {
		atomic_store(&j->failed, at);
		j->culprit = who;
		snprintf(j->sentence, sizeof j->sentence, "%s", *said ? said : fallback);
		if (who != j->s->dataset || !*said)
			snprintf(j->sentence, sizeof j->sentence, "%s: %s", sample_name(j->s, j->pick[at], name, sizeof name),
			         *said ? said : fallback);
	}
	pthread_mutex_unlock(&j->lock);
}

static rein_status shape_of(const struct source *s, int64_t i, int64_t *dim)
{
	const struct rein_dataset_vt *vt = &s->dataset->component->vt.dataset;
	bool open = false;
	memcpy(dim, s->in_dim, sizeof s->in_dim);
	for (uint32_t k = 0; k < s->info.rank; k++)
		open |= dim[k] < 0;
	if (!open)
		return REIN_OK;
	return vt->shape(s->dataset->self, &s->dataset->host, i, dim);
}

double augment_share(const struct instance *in)
{
	double own = in->component->vt.augmentation.p;
	return in->common.p.n ? in->common.p.v[0] : own > 0 ? own : 1;
}

/* Does this sample stay as it is, in this epoch? Drawn for each alone where p= is below 1. */
static bool left_out(const struct instance *in, int64_t number, int64_t epoch)
{
	double p = augment_share(in);
	uint32_t word[4] = { 0 };
	if (p < 1)
		in->host.random(&in->host, (uint64_t)number, (uint64_t)epoch * 65536 + 65535, word);
	return p < 1 && (double)(word[0] >> 8) * 0x1p-24 >= p;
}

/* Transforms and, in an epoch of training, augmentations: how many of the list. */
static int n_host(const struct job *j) { return j->epoch < 0 ? j->s->n_fixed : j->s->n_transform; }

/* One of them: a becomes what it makes of it; its data are freed. */
static bool run_transform(struct job *j, int64_t at, struct instance *tr, struct rein_sample *a)
{
	const struct rein_augmentation_vt *vt = &tr->component->vt.augmentation;
	struct rein_sample b = *a;
	const struct instance *was = blame(tr);
	rein_status st = vt->shape(tr->self, &tr->host, a->rank, a->dim, b.dim);
	b.data = st >= 0 ? malloc((size_t)product(b.rank, b.dim) * element_size(b.dtype) + 1) : NULL;
	if (st >= 0)
		st = b.data ? vt->sample(tr->self, &tr->host, j->pick[at], j->epoch < 0 ? 0 : j->epoch, a, &b) : REIN_ERROR;
	blame_back(was);
	if (st < 0) {
		fail_at(j, at, tr, "failed");
		free(b.data);
		return false;
	}
	free(a->data);
	*a = b;
	return true;
}

/* The host's part in turn, from number `first` on: from a, whose data are freed, into `last`. */
static bool run_transforms(struct job *j, int64_t at, int first, struct rein_sample a, void *last)
{
	struct instance *tr = NULL;
	bool good = true;
	for (int t = first; good && t < n_host(j); t++) {
		if (t >= j->s->n_fixed && left_out(j->s->transform[t], j->pick[at], j->epoch))
			continue;
		tr = j->s->transform[t];
		good = run_transform(j, at, tr, &a);
	}
	if (good && memcmp(a.dim, j->to->info.dim, a.rank * sizeof *a.dim)) {
		fail_at(j, at, tr ? tr : j->s->dataset, "gives a shape that differs from the other samples'");
		good = false;
	}
	if (good)
		memcpy(last, a.data, (size_t)product(a.rank, a.dim) * element_size(a.dtype));
	free(a.data);
	return good;
}

/* The target alone; or all of it, to learn whether it can be had, and what was decoded is dropped. */
static void decode_target(struct job *j, int64_t at)
{
	const struct source *s = j->s;
	int64_t i = j->pick[at], dim[REIN_MAX_RANK];
	bool look = j->known && !j->known[i];
	rein_status st = look ? shape_of(s, i, dim) : REIN_OK;
	void *x =
		look && st == REIN_OK ? malloc((size_t)product(s->info.rank, dim) * element_size(s->info.dtype) + 1) : NULL;
	if (look && st == REIN_OK && !x)
		st = REIN_ERROR;
	const struct instance *was = blame(s->dataset);
	if (st == REIN_OK && j->known && j->known[i] == 2)
		st = REIN_SKIP;
	if (st == REIN_OK)
		st = s->dataset->component->vt.dataset.read(s->dataset->self, &s->dataset->host, i, x,
		                                            j->y + (size_t)at * j->y_size);
	blame_back(was);
	free(x);
	if (look && st >= 0)
		j->known[i] = st == REIN_SKIP ? 2 : 1;
	if (st < 0)
		fail_at(j, at, s->dataset, "cannot be read");
	else
		j->state[at] = st == REIN_SKIP ? 2 : 1;
}

/* One that joined the split: it lies in memory, transformed; augmentations are still to come. */
static void take_joined(struct job *j, int64_t at)
{
	const struct split *to = j->to;
	struct rein_sample in = { .struct_size = sizeof in, .dtype = to->info.dtype, .rank = to->info.rank };
	memcpy(in.dim, to->info.dim, sizeof in.dim);
	in.data = malloc(j->x_size + 1);
	if (!in.data) {
		fail_at(j, at, j->s->dataset, "out of memory");
		return;
	}
	memcpy(in.data, (const uint8_t *)to->x + (size_t)(j->pick[at] - j->s->info.count) * j->x_size, j->x_size);
	if (run_transforms(j, at, j->s->n_fixed, in, j->x + (size_t)at * j->x_size))
		j->state[at] = 1;
}

static void decode_one(struct job *j, int64_t at)
{
	const struct source *s = j->s;
	if (j->pick[at] >= s->info.count) {
		take_joined(j, at);
		return;
	}
	const struct rein_dataset_vt *vt = &s->dataset->component->vt.dataset;
	int64_t i = j->pick[at], row = j->rows ? i : at;
	uint8_t *x = j->x + (size_t)row * j->x_size, *y = j->y + (size_t)row * j->y_size;
	struct rein_sample in = { .struct_size = sizeof in, .dtype = s->info.dtype, .rank = s->info.rank };
	rein_status st = shape_of(s, i, in.dim);
	in.data = x;
	if (st == REIN_OK && s->n_transform) {
		in.data = malloc((size_t)product(in.rank, in.dim) * element_size(in.dtype) + 1);
		if (!in.data)
			st = REIN_ERROR;
	} else if (st == REIN_OK && memcmp(in.dim, j->to->info.dim, in.rank * sizeof *in.dim)) {
		st = REIN_ERROR;
	}
	const struct instance *was = blame(s->dataset);
	if (st == REIN_OK)
		st = vt->read(s->dataset->self, &s->dataset->host, i, in.data, y);
	blame_back(was);
	if (st < 0)
		fail_at(j, at, s->dataset, "cannot be read");
	if (st == REIN_OK && s->n_transform)
		st = run_transforms(j, at, 0, in, x) ? REIN_OK : REIN_ERROR;
	else if (in.data != x)
		free(in.data);
	if (st >= 0)
		j->state[row] = st == REIN_SKIP ? 2 : 1;
}

static void *work(void *ctx)
{
	struct job *j = ctx;
	for (;;) {
		int64_t from = atomic_fetch_add(&j->next, CHUNK), to = from + CHUNK < j->n ? from + CHUNK : j->n;
		if (from >= j->n || atomic_load(&j->stopped))
			return NULL;
		for (int64_t at = from; at < to && at < atomic_load(&j->failed) && !atomic_load(&j->stopped); at++)
			j->x ? decode_one(j, at) : decode_target(j, at);
	}
}

static int thread_count(const struct job *j)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
	int64_t most = (j->n + CHUNK - 1) / CHUNK;
	if (j->n * j->to->elements < SMALL)
		return 1;
	n = n > THREADS_MAX ? THREADS_MAX : n;
	return most < n ? (int)most : n;
}

/* All of the job's samples. */
static void do_job(struct job *j)
{
	pthread_t thread[THREADS_MAX];
	int n = thread_count(j), started = 0;
	atomic_init(&j->next, 0);
	atomic_init(&j->failed, j->n);
	pthread_mutex_init(&j->lock, NULL);
	while (started < n - 1 && !pthread_create(&thread[started], NULL, work, j))
		started++;
	work(j);
	while (started)
		pthread_join(thread[--started], NULL);
	pthread_mutex_destroy(&j->lock);
}

/* The failure of the lowest position is reported. */
static bool job_good(struct job *j, struct diag *d)
{
	if (atomic_load(&j->failed) == j->n)
		return true;
	j->culprit->host.fail(&j->culprit->host, j->sentence); /* said on another thread */
	instance_error(j->culprit, d, "cannot be read");
	return false;
}

static bool run_job(struct job *j, struct diag *d)
{
	do_job(j);
	return job_good(j, d);
}

/* --- a split ------------------------------------------------------------------------------ */
bool settle_dims(const struct source *s, const int64_t *pick, int64_t n, struct rein_dataset_info *info, struct diag *d)
{
	char name[512], first_name[512], a[64], b[64];
	int64_t first = -1, dim[REIN_MAX_RANK], next[REIN_MAX_RANK];
	bool open = false;
	for (uint32_t k = 0; k < info->rank; k++)
		open |= info->dim[k] < 0;
	for (int64_t i = 0; open && i < n; i++) {
		rein_status st = shape_of(s, pick[i], dim);
		for (int t = 0; t < s->n_transform && st == REIN_OK; t++) {
			struct instance *tr = s->transform[t];
			st = tr->component->vt.augmentation.shape(tr->self, &tr->host, info->rank, dim, next);
			memcpy(dim, next, sizeof dim);
			if (st < 0)
				return instance_error(tr, d, "its shape is not known"), false;
		}
		if (st < 0)
			return instance_error(s->dataset, d, "its shape is not known"), false;
		if (st == REIN_SKIP)
			continue;
		if (first < 0) {
			first = i;
			memcpy(info->dim, dim, info->rank * sizeof *dim);
		}
		if (memcmp(info->dim, dim, info->rank * sizeof *dim)) {
			snprintf(a, sizeof a, "%lldx%lld", (long long)info->dim[info->rank - 2],
			         (long long)info->dim[info->rank - 1]);
			snprintf(b, sizeof b, "%lldx%lld", (long long)dim[info->rank - 2], (long long)dim[info->rank - 1]);
			return data_error(d, s->dataset->spec, NULL,
			                  "samples differ in size: %s is %s, %s is %s; a transform can make them equal "
			                  "([transforms] size = resize size=H,W)",
			                  sample_name(s, pick[first], first_name, sizeof first_name), a,
			                  sample_name(s, pick[i], name, sizeof name), b);
		}
	}
	if (open && first < 0)
		return data_error(d, s->dataset->spec, NULL, "no sample of the split can be read");
	return true;
}

/* The rows of the split's samples are all there: gather them, or point at them. */
static bool take_rows(const struct rows *r, struct split *s, bool *shared)
{
	bool whole = s->n == r->count;
	for (int64_t k = 0; whole && k < s->n; k++)
		whole = s->number[k] == k;
	*shared = whole;
	s->x = whole ? r->x : malloc((size_t)s->n * r->x_size);
	s->y = malloc((size_t)s->n * r->y_size);
	if (!s->x || !s->y)
		return false;
	for (int64_t k = 0; k < s->n; k++) {
		if (!whole)
			memcpy((uint8_t *)s->x + (size_t)k * r->x_size, r->x + (size_t)s->number[k] * r->x_size, r->x_size);
		memcpy((uint8_t *)s->y + (size_t)k * r->y_size, r->y + (size_t)s->number[k] * r->y_size, r->y_size);
	}
	return true;
}

/* Samples the dataset left out go from the list (and, without rows, from the arrays). */
static void drop_skipped(struct job *j, struct split *s)
{
	int64_t kept = 0;
	for (int64_t k = 0; k < s->n; k++) {
		if (j->state[j->rows ? s->number[k] : k] == 2)
			continue;
		if (!j->rows && kept < k) {
			memmove(j->x + (size_t)kept * j->x_size, j->x + (size_t)k * j->x_size, j->x_size);
			memmove(j->y + (size_t)kept * j->y_size, j->y + (size_t)k * j->y_size, j->y_size);
		}
		s->number[kept++] = s->number[k];
	}
	s->skipped = s->n - kept;
	s->n = kept;
}

static bool decode_cached(struct job *j, struct data_cache *c, struct split *s, bool *shared, struct diag *d)
{
	struct rows *r = j->rows;
	int64_t *missing = malloc(((size_t)s->n + 1) * sizeof *missing);
	bool good;
	if (!missing)
		return data_error(d, j->s->dataset->spec, NULL, "out of memory");
	j->x = r->x;
	j->y = r->y;
	j->state = r->state;
	j->pick = missing;
	for (int64_t k = j->n = 0; k < s->n; k++)
		if (!r->state[s->number[k]])
			missing[j->n++] = s->number[k];
	good = run_job(j, d);
	free(missing);
	r->used += (uint64_t)j->n * r->x_size;
	c->used += (uint64_t)j->n * r->x_size;
	if (!good)
		return false;
	drop_skipped(j, s);
	return take_rows(r, s, shared) || data_error(d, j->s->dataset->spec, NULL, "out of memory");
}

static bool decode_alone(struct job *j, struct split *s, struct diag *d)
{
	bool good;
	s->x = j->x = malloc((size_t)s->n * j->x_size + 1);
	s->y = j->y = malloc((size_t)s->n * j->y_size + 1);
	j->state = calloc((size_t)s->n + 1, 1);
	j->pick = s->number;
	j->n = s->n;
	good = s->x && s->y && j->state;
	if (!good)
		data_error(d, j->s->dataset->spec, NULL, "out of memory: %lld samples of %lld bytes", (long long)s->n,
		           (long long)j->x_size);
	good = good && run_job(j, d);
	if (good)
		drop_skipped(j, s);
	free(j->state);
	return good;
}

bool decode_samples(const struct source *src, struct data_cache *c, int64_t *pick, int64_t n, struct split *s,
                    bool *shared, struct diag *d)
{
	struct job j = { .s = src, .to = s, .epoch = -1 };
	int64_t bytes;
	s->number = pick;
	s->n = n;
	j.x_size = (size_t)s->elements * element_size(s->info.dtype);
	j.y_size = s->info.target == REIN_TARGET_CLASS ? sizeof(int32_t) : (size_t)s->info.target_dim * sizeof(float);
	if (__builtin_mul_overflow(n, (int64_t)(j.x_size + j.y_size), &bytes) || bytes > BYTES_MAX)
		return data_error(d, src->dataset->spec, NULL, "%lld samples of %lld bytes are more than memory can hold",
		                  (long long)n, (long long)j.x_size);
	j.rows = find_rows(c, src, s, n);
	if (j.rows ? !decode_cached(&j, c, s, shared, d) : !decode_alone(&j, s, d))
		return false;
	return s->n > 0 || data_error(d, src->dataset->spec, NULL, "all %lld samples of the split were left out",
	                              (long long)s->skipped);
}

/* --- streams ------------------------------------------------------------------------------- */
bool decode_targets(const struct source *src, struct data_cache *c, int64_t *pick, int64_t n, struct split *s,
                    struct diag *d)
{
	struct job j = { .s = src, .to = s, .pick = pick, .n = n };
	uint8_t *own = NULL;
	if (src->info.flags & REIN_LEAVES_OUT_LATE) {
		j.known = looked_at(c, src);
		if (!j.known)
			j.known = own = calloc((size_t)src->info.count, 1);
		if (!j.known)
			return data_error(d, src->dataset->spec, NULL, "out of memory");
	}
	bool good;
	s->number = pick;
	s->n = n;
	j.y_size = src->info.target == REIN_TARGET_CLASS ? sizeof(int32_t) : (size_t)src->info.target_dim * sizeof(float);
	s->y = j.y = malloc((size_t)n * j.y_size + 1);
	j.state = calloc((size_t)n + 1, 1);
	good = s->y && j.state ? run_job(&j, d) : data_error(d, src->dataset->spec, NULL, "out of memory");
	if (good) {
		int64_t kept = 0;
		for (int64_t k = 0; k < n; k++) {
			if (j.state[k] == 2)
				continue;
			memmove(j.y + (size_t)kept * j.y_size, j.y + (size_t)k * j.y_size, j.y_size);
			s->number[kept++] = s->number[k];
		}
		s->skipped = n - kept;
		s->n = kept;
		good = kept > 0 || data_error(d, src->dataset->spec, NULL, "all %lld samples of the split were left out",
		                              (long long)s->skipped);
	}
	free(own);
	free(j.state);
	return good;
}

struct window {
	struct job job;
	int64_t *pick, room;
	uint8_t *y;
};

struct window *window_create(const struct split *s, uint8_t *x)
{
	struct window *w = calloc(1, sizeof *w);
	if (!w)
		abort();
	w->job.s = split_source(s);
	w->job.to = s;
	w->job.x = x;
	w->job.x_size = (size_t)s->elements;
	w->job.y_size = s->info.target == REIN_TARGET_CLASS ? sizeof(int32_t) : (size_t)s->info.target_dim * sizeof(float);
	return w;
}

void window_destroy(struct window *w)
{
	free(w->pick);
	free(w->y);
	free(w->job.state);
	free(w);
}

void window_set(struct window *w, int64_t n, const int64_t *sample, int64_t epoch)
{
	if (n > w->room) {
		w->pick = realloc(w->pick, (size_t)n * sizeof *w->pick);
		w->y = realloc(w->y, (size_t)n * w->job.y_size);
		w->job.state = realloc(w->job.state, (size_t)n);
		if (!w->pick || !w->y || !w->job.state)
			abort(); /* bookkeeping: nothing sensible is left to do */
		w->room = n;
	}
	for (int64_t i = 0; i < n; i++)
		w->pick[i] = w->job.to->number[sample[i]];
	memset(w->job.state, 0, (size_t)n);
	w->job.pick = w->pick;
	w->job.y = w->y;
	w->job.n = n;
	w->job.epoch = epoch;
	atomic_store(&w->job.stopped, false);
}

void window_read(struct window *w) { do_job(&w->job); }

void window_stop(struct window *w) { atomic_store(&w->job.stopped, true); }

bool window_good(struct window *w, struct diag *d)
{
	char name[512];
	if (!job_good(&w->job, d))
		return false;
	for (int64_t i = 0; i < w->job.n; i++)
		if (w->job.state[i] == 2)
			return data_error(
				d, w->job.s->dataset->spec, NULL,
				"%s is left out by its dataset only now, too late: samples are read while they are used ([run] "
				"data_memory)%s",
				sample_name(w->job.s, w->pick[i], name, sizeof name),
				w->job.s->info.flags & REIN_LEAVES_OUT_LATE ? "; it could be decoded when the run began" : "");
	return true;
}
