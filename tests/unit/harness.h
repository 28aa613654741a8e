/* SPDX-License-Identifier: MIT
 *
 * harness.h: record something, run it, look at the numbers. Everything is double on this
 * side, whatever the dtype. Use:
 *
 *   struct bench *b = bench_open("cpu", 8, REIN_NAIVE);
 *   struct rein_rec *r = bench_record(b);
 *   rein_val x = bench_input(b, "x", REIN_REAL_T, 2, (int64_t[]){ 2, 3 }, data);
 *   bench_output(b, rein_exp(r, x));
 *   bench_run(b);                       // finish, compile, run; fails the test after errors
 *   bench_get(b, 0, out, 6);
 *   bench_close(b);
 *
 * After bench_run another bench_record starts a new program over the same states.
 */
#ifndef HARNESS_H
#define HARNESS_H

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "program.h"
#include "rng.h"
#include "rein/rein.h"

struct bench {
	struct diag *diag;
	struct registry *registry;
	struct spec spec;
	struct instance *backend;
	struct store *store;
	struct recorder *recorder;
	struct compiled *compiled;
	struct recorder_options options;
	struct recorder_env env;
	uint32_t flags; /* REIN_GUARD for program_compile */
	struct {
		struct state *state;
		double *data;
	} input[64];
	int n_input;
};

static inline void bench_log(void *ctx, uint32_t level, const char *line)
{
	(void)ctx;
	(void)level;
	(void)line;
}

/* flags: REIN_NAIVE, REIN_GUARD. backend NULL: no backend, for recording only. */
static inline struct bench *bench_open(const char *backend, uint32_t real_size, uint32_t flags)
{
	struct bench *b = calloc(1, sizeof *b);
	struct host_env env = { .seed = 1, .config_dir = ".", .log = bench_log };
	struct rein_backend_options o = { .struct_size = sizeof o, .threads = 1, .device = -1, .flags = flags };

	b->diag = env.diag = diag_create();
	b->options = (struct recorder_options){ .name = "test", .real_size = real_size };
	b->flags = flags & REIN_GUARD;
	if (backend) {
		b->registry = registry_create(0, NULL);
		b->spec = (struct spec){ .section = "run", .name = "backend", .component = backend };
		b->backend = instance_create(b->registry, REIN_BACKEND, &b->spec, &env, NULL, NULL, b->diag);
		diag_flush(b->diag, stderr);
		cr_assert(b->backend, "backend %s cannot be made", backend);
		cr_assert_geq(b->backend->component->vt.backend.open(b->backend->self, &b->backend->host, &o), 0);
	}
	b->store = store_create(b->backend, 1, RNG_PHILOX);
	b->store->real_size = real_size;
	return b;
}

static inline void bench_close(struct bench *b)
{
	compiled_destroy(b->compiled);
	recorder_destroy(b->recorder);
	for (int i = 0; i < b->n_input; i++)
		free(b->input[i].data);
	store_destroy(b->store);
	instance_destroy(b->backend);
	if (b->registry)
		registry_destroy(b->registry);
	diag_destroy(b->diag);
	free(b);
}

static inline struct rein_rec *bench_record(struct bench *b)
{
	recorder_destroy(b->recorder);
	b->recorder = recorder_create(b->store, &b->env, &b->options);
	return recorder_rec(b->recorder);
}

/* A state filled with data (NULL: zeros) before the program runs, and its value. */
static inline rein_val bench_input(struct bench *b, const char *name, uint32_t dtype, uint32_t rank, const int64_t *dim,
                                   const double *data)
{
	const char *why = "";
	struct state *s = store_declare(b->store, name, STATE_DATA, dtype, rank, dim, NULL, &why);
	cr_assert(s, "%s", why);
	if (data) {
		cr_assert_lt(b->n_input, 64);
		b->input[b->n_input].state = s;
		b->input[b->n_input].data = malloc((size_t)s->count * sizeof *data);
		memcpy(b->input[b->n_input++].data, data, (size_t)s->count * sizeof *data);
	}
	return recorder_read(b->recorder, s);
}

static inline int bench_output(struct bench *b, rein_val v) { return recorder_output(b->recorder, v); }

/* double[n] to a dtype's bytes, and back. */
static inline void bench_pack(void *to, const double *from, int64_t n, uint32_t dtype, uint32_t real_size)
{
	for (int64_t i = 0; i < n; i++)
		if (dtype == REIN_WIDE_T || (dtype == REIN_REAL_T && real_size == 8))
			((double *)to)[i] = from[i];
		else if (dtype == REIN_REAL_T)
			((float *)to)[i] = (float)from[i];
		else if (dtype == REIN_I32_T)
			((int32_t *)to)[i] = (int32_t)from[i];
		else
			((uint8_t *)to)[i] = (uint8_t)from[i];
}

static inline void bench_unpack(double *to, const void *from, int64_t n, uint32_t dtype, uint32_t real_size)
{
	for (int64_t i = 0; i < n; i++)
		if (dtype == REIN_WIDE_T || (dtype == REIN_REAL_T && real_size == 8))
			to[i] = ((const double *)from)[i];
		else if (dtype == REIN_REAL_T)
			to[i] = (double)((const float *)from)[i];
		else if (dtype == REIN_I32_T)
			to[i] = ((const int32_t *)from)[i];
		else
			to[i] = ((const uint8_t *)from)[i];
}

static inline void bench_set(struct bench *b, struct state *s, const double *data)
{
	void *raw = malloc((size_t)s->count * 8);
	bench_pack(raw, data, s->count, s->dtype, b->store->real_size);
	cr_assert_geq(store_set(b->store, s, raw), 0);
	free(raw);
}

/* Value of a state after a run. */
static inline void bench_state(struct bench *b, const char *name, double *out)
{
	struct state *s = store_find(b->store, name);
	cr_assert(s, "no state %s", name);
	void *raw = malloc((size_t)s->count * 8);
	cr_assert_geq(store_get(b->store, s, raw), 0);
	bench_unpack(out, raw, s->count, s->dtype, b->store->real_size);
	free(raw);
}

/* Finishes and checks the recording; the program belongs to the caller. */
static inline struct program *bench_finish(struct bench *b)
{
	char why[512] = "";
	struct program *p = recorder_finish(b->recorder, b->diag);
	diag_flush(b->diag, stderr);
	cr_assert(p, "recording failed");
	cr_assert(program_check(&p->p, why, sizeof why), "%s", why);
	return p;
}

static inline void bench_run(struct bench *b)
{
	struct program *p = bench_finish(b);
	cr_assert_geq(store_allocate(b->store), 0);
	for (int i = 0; i < b->n_input; i++) {
		bench_set(b, b->input[i].state, b->input[i].data);
		free(b->input[i].data);
	}
	b->n_input = 0;
	compiled_destroy(b->compiled);
	b->compiled = program_compile(p, b->store, b->backend, b->flags, b->diag);
	diag_flush(b->diag, stderr);
	cr_assert(b->compiled, "the program cannot be compiled");
	cr_assert_geq(compiled_run(b->compiled, 1), 0);
}

static inline void bench_get(struct bench *b, uint32_t i, double *out, int64_t n)
{
	const struct rein_program *p = &b->compiled->program->p;
	cr_assert_lt(i, p->n_output);
	const struct rein_prog_value *v = &p->value[p->output[i]];
	cr_assert_eq(v->count, n, "output %u has %lld elements", i, (long long)v->count);
	void *raw = malloc((size_t)n * 8);
	cr_assert_geq(compiled_output(b->compiled, i, raw, n * 8), 0);
	bench_unpack(out, raw, n, v->dtype, p->real_size);
	free(raw);
}

/* What recorder_finish has to say, as text; the recording must have failed. */
static inline void bench_error(struct bench *b, char *text, size_t size)
{
	FILE *f = tmpfile();
	struct program *p = recorder_finish(b->recorder, b->diag);
	cr_assert_null(p, "an error was expected");
	diag_flush(b->diag, f);
	rewind(f);
	text[fread(text, 1, size - 1, f)] = 0;
	fclose(f);
}

#endif
