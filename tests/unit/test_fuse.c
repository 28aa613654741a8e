/* SPDX-License-Identifier: MIT
 *
 * Fused programs held to the naive backend: training steps of small nets, and random
 * programs; every instruction set, one thread and several (whose bits must be equal).
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../support/rig.h"
#include "recorder.h"
#include "rein/rein.h"

struct net {
	const char *name;
	int layers;
	int64_t size[5], batch, samples;
	int act;  /* 0 relu, 1 leaky, 2 sigmoid, 3 tanh */
	int adam; /* else momentum */
	int classes, bytes;
};
static const struct net nets[] = {
	{ "classes", 3, { 40, 33, 20, 5 }, 30, 90, 0, 0, 5, 1 },
	{ "sigmoid", 3, { 20, 16, 12, 10 }, 64, 128, 2, 0, 10, 0 },
	{ "regression", 3, { 1, 60, 70, 1 }, 10, 20, 1, 1, 0, 0 },
	{ "wide", 2, { 700, 30, 1 }, 17, 34, 3, 1, 0, 1 },
};

static double noise(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return (double)(*seed >> 8) / (1 << 24) - 0.5;
}

static void add_state(struct rig *g, const char *name, uint32_t dtype, uint32_t rank, const int64_t *dim, double scale,
                      int below)
{
	int64_t n = 1;
	uint32_t seed = 1;
	for (const char *c = name; *c; c++)
		seed = seed * 31 + (uint32_t)*c;
	for (uint32_t k = 0; k < rank; k++)
		n *= dim[k];
	double *v = malloc((size_t)n * sizeof *v);
	for (int64_t i = 0; i < n; i++) {
		double x = noise(&seed);
		if (dtype == REIN_I32_T)
			v[i] = floor((x + 0.5) * below);
		else if (dtype == REIN_U8_T)
			v[i] = floor((x + 0.5) * 255);
		else
			v[i] = x * scale;
	}
	rig_state(g, name, dtype, rank, dim, v);
	free(v);
}

static void net_states(struct rig *g, const struct net *n)
{
	int64_t dim[2] = { n->samples, n->size[0] }, one[1] = { n->samples };
	add_state(g, "x", n->bytes ? REIN_U8_T : REIN_REAL_T, 2, dim, 2, 0);
	dim[1] = n->size[n->layers];
	if (n->classes)
		add_state(g, "y", REIN_I32_T, 1, one, 0, n->classes);
	else
		add_state(g, "y", REIN_REAL_T, 2, dim, 2, 0);
	add_state(g, "order", REIN_I32_T, 1, one, 0, (int)n->samples);
	rig_state(g, "step", REIN_I32_T, 0, NULL, NULL);
	rig_state(g, "total", REIN_WIDE_T, 0, NULL, (double[]){ 0 });
	for (int l = 0; l < n->layers; l++) {
		char name[32];
		int64_t w[2] = { n->size[l + 1], n->size[l] }, b[1] = { n->size[l + 1] };
		snprintf(name, sizeof name, "w%d", l);
		add_state(g, name, REIN_REAL_T, 2, w, 2 / sqrt((double)n->size[l]), 0);
		for (int k = 0; k < 2; k++) {
			snprintf(name, sizeof name, "w%d.%d", l, k);
			add_state(g, name, REIN_REAL_T, 2, w, 0, 0);
			snprintf(name, sizeof name, "b%d.%d", l, k);
			add_state(g, name, REIN_REAL_T, 1, b, 0, 0);
		}
		snprintf(name, sizeof name, "b%d", l);
		add_state(g, name, REIN_REAL_T, 1, b, 0.1, 0);
	}
}

static struct state *state(struct rig *g, const char *name, int l, int k)
{
	char full[32];
	snprintf(full, sizeof full, k >= 0 ? "%s%d.%d" : l >= 0 ? "%s%d" : "%s", name, l, k);
	struct state *s = store_find(g->store, full);
	cr_assert(s != NULL, "%s", full);
	return s;
}

static rein_val activate(struct rein_rec *r, int act, rein_val x)
{
	return act == 0   ? rein_relu(r, x)
	       : act == 1 ? rein_leaky_relu(r, x, 0.01)
	       : act == 2 ? rein_sigmoid(r, x)
	                  : rein_tanh(r, x);
}

static void update(struct rig *g, struct recorder *rec, const struct net *n, const char *name, int l, rein_val w,
                   rein_val grad, rein_val ok)
{
	struct rein_rec *r = recorder_rec(rec);
	struct state *s0 = state(g, name, l, 0), *s1 = state(g, name, l, 1);
	rein_val m = recorder_read(rec, s0), v = recorder_read(rec, s1), lr = rein_scalar(r, 0.01);
	if (n->adam) {
		m = rein_add(r, rein_scale(r, m, 0.9), rein_scale(r, grad, 0.1));
		v = rein_add(r, rein_scale(r, v, 0.999), rein_scale(r, rein_square(r, grad), 0.001));
		rein_val root = rein_offset(r, rein_scale(r, rein_sqrt(r, v), 1.5), 1e-8);
		recorder_assign(rec, s1, v, ok);
		recorder_assign(rec, state(g, name, l, -1), rein_sub(r, w, rein_mul(r, rein_div(r, m, root), lr)), ok);
	} else {
		m = rein_add(r, rein_scale(r, m, 0.9), rein_add(r, grad, rein_scale(r, w, 1e-3)));
		recorder_assign(rec, state(g, name, l, -1), rein_sub(r, w, rein_mul(r, m, lr)), ok);
	}
	recorder_assign(rec, s0, m, ok);
}

static struct compiled *net_step(struct rig *g, const struct net *n)
{
	struct recorder_env env = { 0 };
	struct recorder_options opt = { .name = n->name, .real_size = 4 };
	struct recorder *rec = recorder_create(g->store, &env, &opt);
	struct rein_rec *r = recorder_rec(rec);
	rein_val step = recorder_read(rec, state(g, "step", -1, -1)), w[5], b[5], p[10], grad[10];
	rein_val at = rein_add(r, rein_mul(r, step, rein_scalar_i(r, (int32_t)n->batch)), rein_iota(r, 0, 1, &n->batch));
	rein_val id = rein_take(r, recorder_read(rec, state(g, "order", -1, -1)), at, 0);
	rein_val x = rein_take(r, recorder_read(rec, state(g, "x", -1, -1)), id, 0);
	rein_val y = rein_take(r, recorder_read(rec, state(g, "y", -1, -1)), id, 0);
	if (n->bytes)
		x = rein_scale(r, rein_offset(r, rein_cast(r, x, REIN_REAL_T), -127), 1 / 127.0);
	for (int l = 0; l < n->layers; l++) {
		p[2 * l] = w[l] = recorder_read(rec, state(g, "w", l, -1));
		p[2 * l + 1] = b[l] = recorder_read(rec, state(g, "b", l, -1));
		x = rein_matmul(r, x, w[l], REIN_TB);
		x = rein_add(r, x, rein_along(r, b[l], x, 1));
		if (l + 1 < n->layers)
			x = activate(r, n->act, x);
	}
	rein_val rows = n->classes ? rein_cross_entropy(r, x, y) : rein_mean_rows(r, rein_square(r, rein_sub(r, x, y)));
	rein_val loss = rein_mean(r, rows);
	rein_grads(r, loss, REIN_NONE, 2 * (uint32_t)n->layers, p, grad);
	rein_val ok = rein_isfinite(r, loss),
			 total = state(g, "total", -1, -1) ? recorder_read(rec, state(g, "total", -1, -1)) : REIN_NONE;
	for (int l = 0; l < n->layers; l++) {
		update(g, rec, n, "w", l, w[l], grad[2 * l], ok);
		update(g, rec, n, "b", l, b[l], grad[2 * l + 1], ok);
	}
	recorder_assign(rec, state(g, "total", -1, -1),
	                rein_add(r, total, rein_sum_over(r, rows, REIN_ALL_AXES, REIN_WIDE)), REIN_NONE);
	recorder_assign(rec, state(g, "step", -1, -1), rein_add(r, step, rein_scalar_i(r, 1)), ok);
	recorder_output(rec, loss);
	recorder_output(rec, rein_sum(r, rein_square(r, grad[0])));
	if (n->classes)
		recorder_output(rec, rein_sum(r, rein_eq(r, rein_argmax(r, x), y)));
	struct program *program = recorder_finish(rec, g->diag);
	struct compiled *c = rig_compile(g, program);
	recorder_destroy(rec);
	return c;
}

/* Final weights, and the outputs of the last step, after `steps` steps. */
static double *train(const struct net *n, uint32_t flags, uint32_t threads, const char *isa, int64_t *count)
{
	struct rig *g = rig_create_isa(flags, threads, 4, isa);
	net_states(g, n);
	struct compiled *c = net_step(g, n);
	if (getenv("SHOW"))
		compiled_print(c, stdout);
	for (int s = 0; s < (int)(n->samples / n->batch); s++)
		rig_run(c);
	double *out = calloc(200000, sizeof *out);
	int64_t at = 0;
	for (uint32_t o = 0; o < c->program->p.n_output; o++)
		at += rig_output(c, o, out + at, 1);
	for (int i = 0; i < g->store->n; i++) {
		const struct state *s = g->store->state[i];
		if (s->dtype == REIN_U8_T || s->name[0] == 'x' || s->name[0] == 'y')
			continue;
		cr_assert_lt(at + s->count, 200000);
		rig_get(g, s, out + at);
		at += s->count;
	}
	*count = at;
	compiled_destroy(c);
	rig_destroy(g);
	return out;
}

Test(fuse, training_steps)
{
	int n_isa;
	const char *const *isas = rig_isas(&n_isa);
	for (size_t k = 0; k < sizeof nets / sizeof *nets; k++) {
		int64_t n, m;
		double *want = train(&nets[k], REIN_NAIVE, 1, NULL, &n);
		for (int i = 0; i < n_isa; i++) {
			double *one = train(&nets[k], REIN_GUARD, 1, isas[i], &m);
			cr_assert_eq(n, m);
			for (int64_t j = 0; j < n; j++)
				cr_assert_leq(fabs(one[j] - want[j]), 2e-5 * fabs(want[j]) + 2e-6,
				              "%s %s: number %ld is %.9g, not %.9g", nets[k].name, isas[i], (long)j, one[j], want[j]);
			double *three = train(&nets[k], 0, 3, isas[i], &m);
			cr_assert_eq(memcmp(one, three, (size_t)n * sizeof *one), 0, "%s %s: threads change bits", nets[k].name,
			             isas[i]);
			free(one);
			free(three);
		}
		free(want);
	}
}
