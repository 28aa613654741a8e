/* SPDX-License-Identifier: MIT
 *
 * store.c: the states of a run and their initial values. Random initial values come from
 * the stream named like the state (Philox), so adding a layer changes no other layer's
 * weights; with `rng = torch` from PyTorch's stream, in the order of declaration.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rng.h"
#include "store.h"

uint32_t dtype_size(uint32_t dtype, uint32_t real_size)
{
	switch (dtype) {
	case REIN_REAL_T: return real_size;
	case REIN_WIDE_T: return 8;
	case REIN_I32_T: return 4;
	default: return 1;
	}
}

const char *dtype_name(uint32_t dtype)
{
	static const char *const name[] = { "none", "real", "wide", "i32", "u8", "bool" };
	return dtype < sizeof name / sizeof *name ? name[dtype] : "?";
}

uint64_t state_bytes(const struct store *s, const struct state *t)
{
	return (uint64_t)t->count * dtype_size(t->dtype, s->real_size);
}

static const struct rein_backend_vt *vt(const struct store *s) { return &s->backend->component->vt.backend; }

struct store *store_create(struct instance *backend, uint64_t seed, int rng)
{
	struct store *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	s->backend = backend;
	s->real_size = sizeof(float);
	s->seed = seed;
	s->rng = rng;
	if (rng == RNG_TORCH && !(s->torch = torch_rng_create(seed))) {
		free(s);
		return NULL;
	}
	return s;
}

void store_destroy(struct store *s)
{
	if (!s)
		return;
	for (int i = 0; i < s->n; i++) {
		if (s->state[i]->mem)
			vt(s)->free(s->backend->self, s->state[i]->mem);
		free(s->state[i]->name);
		free(s->state[i]);
	}
	torch_rng_destroy(s->torch);
	free(s->state);
	free(s);
}

struct state *store_find(const struct store *s, const char *name)
{
	for (int i = 0; i < s->n; i++)
		if (!strcmp(s->state[i]->name, name))
			return s->state[i];
	return NULL;
}

int store_index(const struct store *s, const struct state *t)
{
	for (int i = 0; i < s->n; i++)
		if (s->state[i] == t)
			return i;
	return -1;
}

/* "real (128,10)" */
static void describe(char *out, size_t size, uint32_t dtype, uint32_t rank, const int64_t *dim)
{
	int at = snprintf(out, size, "%s (", dtype_name(dtype));
	for (uint32_t i = 0; i < rank && (size_t)at < size; i++)
		at += snprintf(out + at, size - (size_t)at, "%s%lld", i ? "," : "", (long long)dim[i]);
	if ((size_t)at < size)
		snprintf(out + at, size - (size_t)at, ")");
}

static struct state *refuse(struct store *s, const char **why, const char *text)
{
	if (text != s->why)
		snprintf(s->why, sizeof s->why, "%s", text);
	if (why)
		*why = s->why;
	return NULL;
}

static struct state *append(struct store *s, const char *name)
{
	if (s->n == s->cap) {
		int cap = s->cap ? 2 * s->cap : 32;
		struct state **more = realloc(s->state, (size_t)cap * sizeof *more);
		if (!more)
			return NULL;
		s->state = more;
		s->cap = cap;
	}
	struct state *t = calloc(1, sizeof *t);
	if (!t || !(t->name = strdup(name))) {
		free(t);
		return NULL;
	}
	t->draw = (uint64_t)s->n;
	return s->state[s->n++] = t;
}

struct state *store_declare(struct store *s, const char *name, uint32_t role, uint32_t dtype, uint32_t rank,
                            const int64_t *dim, const struct rein_init *init, const char **why)
{
	struct state *t = store_find(s, name);
	char is[128], was[128];
	if (dtype < REIN_REAL_T || dtype > REIN_BOOL_T || rank > REIN_MAX_RANK)
		return refuse(s, why, "a state has a dtype of ops.h and at most 6 dimensions");
	describe(is, sizeof is, dtype, rank, dim);
	if (t) {
		if (t->dtype == dtype && t->rank == rank && (!rank || !memcmp(t->dim, dim, rank * sizeof *dim)))
			return t;
		describe(was, sizeof was, t->dtype, t->rank, t->dim);
		snprintf(s->why, sizeof s->why, "state '%.80s' is %s here but %s where it was first asked for", name, is, was);
		return refuse(s, why, s->why);
	}
	int64_t count = 1;
	for (uint32_t i = 0; i < rank; i++) {
		if (dim[i] < 1 || dim[i] > ((int64_t)1 << 40) / count) {
			snprintf(s->why, sizeof s->why, "state '%.80s' cannot have the shape %s", name, is);
			return refuse(s, why, s->why);
		}
		count *= dim[i];
	}
	t = append(s, name);
	if (!t)
		return refuse(s, why, "out of memory");
	t->role = role;
	t->dtype = dtype;
	t->rank = rank;
	t->count = count;
	for (uint32_t i = 0; i < rank; i++)
		t->dim[i] = dim[i];
	t->init = init ? *init : (struct rein_init){ .struct_size = sizeof t->init, .kind = REIN_INIT_ZEROS };
	return t;
}

/* --- other shapes ------------------------------------------------------------------- */
void store_reshape(struct store *s, struct state *t, const int64_t *dim)
{
	if (!t->shrunk)
		memcpy(t->full, t->dim, sizeof t->full);
	t->shrunk = true;
	t->count = 1;
	for (uint32_t i = 0; i < t->rank; i++) {
		t->dim[i] = dim[i];
		t->count *= dim[i];
	}
	if (t->mem)
		vt(s)->free(s->backend->self, t->mem);
	t->mem = NULL;
	t->ready = false;
	t->version++;
}

/* Is `part` in `name`, with dots or an end on both sides? */
static bool named(const char *name, const char *part)
{
	size_t n = strlen(part);

	for (const char *at = name; (at = strstr(at, part)); at++)
		if ((at == name || at[-1] == '.') && (at[n] == '.' || !at[n]))
			return true;
	return false;
}

struct state *store_follows(const struct store *s, const struct state *t)
{
	struct state *best = NULL;

	for (int i = 0; i < s->n; i++) {
		struct state *w = s->state[i];
		if (w->role != STATE_PARAM || w == t || t->role == STATE_PARAM || !named(t->name, w->name))
			continue;
		if (!best || strlen(w->name) > strlen(best->name))
			best = w;
	}
	return best;
}

/* --- initial values ----------------------------------------------------------------- */
static void draw_uniform(struct store *s, const struct state *t, double a, double b, double *out)
{
	rng_uniforms(rng_key(s->seed, t->name), a, b, t->count, out);
}

static void draw_normal(struct store *s, const struct state *t, double mean, double std, double *out)
{
	rng_normals(rng_key(s->seed, t->name), mean, std, t->count, out);
}

/* PyTorch's stream draws floats, in place at the end of `out`. */
static void draw_torch(struct store *s, const struct state *t, bool normal, double a, double b, double *out)
{
	float *f = (float *)(out + t->count) - t->count;
	if (normal)
		torch_rng_normal(s->torch, a, b, t->count, f);
	else
		torch_rng_uniform(s->torch, a, b, t->count, f);
	for (int64_t i = 0; i < t->count; i++) {
		float x;
		memcpy(&x, f + i, sizeof x);
		out[i] = (double)x;
	}
}

static void draw(struct store *s, const struct state *t, bool normal, double a, double b, double *out)
{
	if (s->rng == RNG_TORCH)
		draw_torch(s, t, normal, a, b, out);
	else if (normal)
		draw_normal(s, t, a, b, out);
	else
		draw_uniform(s, t, a, b, out);
}

/* m normal numbers made orthonormal along the shorter side (rows x cols, row-major): the Q of
 * QR with R's diagonal positive, which is what Gram-Schmidt gives (here twice, for accuracy).
 * Saxe, McClelland, Ganguli: "Exact solutions to the nonlinear dynamics ...", ICLR 2014. */
static void orthogonalise(double *m, int64_t rows, int64_t cols, double gain)
{
	int64_t n = rows < cols ? rows : cols, len = rows < cols ? cols : rows;
	/* vector j starts at m + j * vec, its elements lie `step` apart */
	int64_t vec = rows < cols ? cols : 1, step = rows < cols ? 1 : cols;
	for (int64_t j = 0; j < n; j++) {
		double *v = m + j * vec, norm = 0;
		for (int64_t again = 0; again < 2; again++) {
			for (int64_t k = 0; k < j; k++) {
				const double *u = m + k * vec;
				double dot = 0;
				for (int64_t i = 0; i < len; i++)
					dot += u[i * step] * v[i * step];
				for (int64_t i = 0; i < len; i++)
					v[i * step] -= dot * u[i * step];
			}
		}
		for (int64_t i = 0; i < len; i++)
			norm += v[i * step] * v[i * step];
		norm = sqrt(norm);
		for (int64_t i = 0; i < len; i++)
			v[i * step] = norm > 0 ? v[i * step] / norm : 0;
	}
	for (int64_t i = 0; i < rows * cols; i++)
		m[i] *= gain;
}

static void initial_values(struct store *s, const struct state *t, double *out)
{
	switch (t->init.kind) {
	case REIN_INIT_CONSTANT:
		for (int64_t i = 0; i < t->count; i++)
			out[i] = t->init.a;
		break;
	case REIN_INIT_UNIFORM: draw(s, t, false, t->init.a, t->init.b, out); break;
	case REIN_INIT_NORMAL: draw(s, t, true, t->init.a, t->init.b, out); break;
	case REIN_INIT_ORTHOGONAL: {
		int64_t rows = t->rank ? t->dim[0] : 1;
		draw(s, t, true, 0, 1, out);
		orthogonalise(out, rows, t->count / rows, t->init.a);
		break;
	}
	default: break;
	}
}

/* double to the state's dtype, in place: no element grows. */
static void convert(const struct store *s, const struct state *t, double *v)
{
	unsigned char *to = (unsigned char *)v;
	for (int64_t i = 0; i < t->count; i++) {
		double x = v[i];
		float f = (float)x;
		int32_t n = x != x ? 0 : x <= INT32_MIN ? INT32_MIN : x >= INT32_MAX ? INT32_MAX : (int32_t)x;
		uint8_t b = (uint8_t)(n < 0 ? 0 : n > 255 ? 255 : n);
		switch (t->dtype) {
		case REIN_REAL_T:
			memcpy(to + i * s->real_size, s->real_size == 4 ? (void *)&f : (void *)&x, s->real_size);
			break;
		case REIN_WIDE_T: break;
		case REIN_I32_T: memcpy(to + i * 4, &n, 4); break;
		case REIN_U8_T: to[i] = b; break;
		default: to[i] = x < 0 || x > 0; break;
		}
	}
}

static rein_status initialise(struct store *s, struct state *t)
{
	double *v = calloc((size_t)t->count, sizeof *v);
	if (!v) {
		s->backend->host.fail(&s->backend->host, "out of memory for initial values");
		return REIN_ERROR;
	}
	initial_values(s, t, v);
	convert(s, t, v);
	rein_status r = store_set(s, t, v);
	free(v);
	return r;
}

rein_status store_allocate(struct store *s)
{
	for (int i = 0; i < s->n; i++) {
		struct state *t = s->state[i];
		if (!t->mem && !(t->mem = vt(s)->alloc(s->backend->self, &s->backend->host, state_bytes(s, t))))
			return REIN_ERROR;
		if (t->ready || t->init.kind == REIN_INIT_VALUE)
			continue;
		if (t->init.kind == REIN_INIT_ZEROS || s->blank) /* alloc gave zeros */
			t->ready = true;
		else if (initialise(s, t) < 0)
			return REIN_ERROR;
	}
	return REIN_OK;
}

rein_status store_set(struct store *s, struct state *t, const void *host)
{
	rein_status r = vt(s)->upload(s->backend->self, t->mem, host, state_bytes(s, t));
	if (r >= 0)
		t->ready = true;
	t->version++;
	return r;
}

rein_status store_get(struct store *s, const struct state *t, void *host)
{
	return vt(s)->download(s->backend->self, host, t->mem, state_bytes(s, t));
}

/* --- copies beside programs ------------------------------------------------------------ */
static void *at_byte(const struct state *t, uint64_t at) { return (char *)t->mem + at; }

rein_status store_set_part(struct store *s, struct state *t, uint64_t at, const void *host, uint64_t bytes)
{
	t->version++;
	return vt(s)->upload(s->backend->self, at_byte(t, at), host, bytes);
}

bool store_copies_aside(const struct store *s)
{
	const struct rein_backend_vt *b = vt(s);
	return b->host_alloc && b->host_free && b->upload_begin && b->upload_end;
}

void *store_host_alloc(struct store *s, uint64_t bytes)
{
	return store_copies_aside(s) ? vt(s)->host_alloc(s->backend->self, &s->backend->host, bytes) : malloc(bytes + 1);
}

void store_host_free(struct store *s, void *p)
{
	if (store_copies_aside(s))
		vt(s)->host_free(s->backend->self, p);
	else
		free(p);
}

rein_status store_set_begin(struct store *s, struct state *t, uint64_t at, const void *host, uint64_t bytes)
{
	t->version++;
	return vt(s)->upload_begin(s->backend->self, at_byte(t, at), host, bytes);
}

rein_status store_set_end(struct store *s) { return vt(s)->upload_end(s->backend->self); }
