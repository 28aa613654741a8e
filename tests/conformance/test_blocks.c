/* SPDX-License-Identifier: MIT
 *
 * Stacks of convolution, batch norm, relu and max pooling with their derivatives, as the fast
 * kernels take them together (channels last, plugins/backends/cpu/block.c): against the reference
 * in double, by the rule of docs/numerics.md for whole programs; the same bits for 1 and 3 threads.
 * Each case says how many forward and backward kernels it must become, so that no case passes by
 * not being one.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../support/rig.h"
#include "rein/rein.h"

#define LAYERS 3
#define ROOM   400000

struct layer {
	int64_t filters, kh, kw, ph, pw;
	bool bias, relu, pool;
};
struct stack {
	const char *name;
	int64_t n, c, h, w;
	int layers;
	struct layer layer[LAYERS];
	bool grad_x; /* the input's gradient is wanted too */
	int see;     /* 1: the first convolution's result is read by others as well; 2: where its relu is 0; 3: its block's
	          * result is added to the last one's */
	int forward, backward; /* kernels of whole blocks; backward only those with relu or bias can be told */
};
/* clang-format off */
static const struct stack stacks[] = {
	{ "mnist", 3, 1, 28, 28, 3, { { 16, 5, 5, 2, 2, 1, 1, 0 }, { 16, 3, 3, 1, 1, 1, 1, 1 }, { 32, 3, 3, 1, 1, 1, 1, 1 } },
	  false, 0, 3, 3 },
	{ "odd sizes", 5, 3, 13, 9, 2, { { 48, 3, 3, 1, 1, 1, 1, 1 }, { 16, 3, 3, 0, 0, 1, 1, 1 } }, false, 0, 2, 2 },
	{ "wide channels", 2, 16, 7, 5, 2, { { 80, 3, 3, 1, 1, 1, 1, 0 }, { 64, 3, 3, 1, 1, 1, 1, 0 } }, true, 0, 2, 2 },
	{ "kernels of other shapes", 4, 2, 11, 14, 3,
	  { { 16, 2, 5, 1, 2, 1, 1, 1 }, { 32, 1, 1, 0, 0, 1, 1, 0 }, { 16, 4, 2, 3, 0, 1, 1, 1 } }, false, 0, 3, 3 },
	{ "no bias, no relu", 3, 16, 6, 10, 2, { { 32, 3, 3, 1, 1, 0, 0, 0 }, { 16, 3, 3, 1, 1, 0, 1, 0 } }, true, 0, 2, 1 },
	{ "images of more than 1024 places", 2, 1, 37, 41, 2, { { 16, 3, 3, 1, 1, 1, 1, 0 }, { 16, 3, 3, 1, 1, 1, 1, 1 } },
	  false, 0, 2, 2 },
	{ "one image", 1, 4, 9, 9, 1, { { 16, 3, 3, 1, 1, 1, 1, 1 } }, false, 0, 1, 1 },
	{ "one place wide", 6, 16, 5, 1, 1, { { 16, 3, 3, 1, 1, 1, 1, 0 } }, true, 0, 1, 1 },
	{ "gradient of an odd input", 3, 3, 8, 8, 2, { { 16, 3, 3, 1, 1, 1, 1, 1 }, { 32, 3, 3, 1, 1, 1, 1, 0 } }, true, 0, 1, 1 },
	{ "other channels", 3, 3, 8, 10, 2, { { 20, 3, 3, 1, 1, 1, 1, 1 }, { 32, 3, 3, 1, 1, 1, 1, 0 } }, false, 0, 0, 0 },
	{ "seen between", 3, 1, 10, 8, 2, { { 16, 3, 3, 1, 1, 1, 1, 1 }, { 16, 3, 3, 1, 1, 1, 1, 0 } }, false, 1, 1, 1 },
	{ "residual", 3, 16, 9, 8, 2, { { 32, 3, 3, 1, 1, 1, 1, 1 }, { 32, 3, 3, 1, 1, 1, 0, 0 } }, true, 3, 2, 2 },
	{ "the mask is seen", 3, 1, 10, 8, 2, { { 16, 3, 3, 1, 1, 1, 1, 0 }, { 16, 3, 3, 1, 1, 1, 1, 0 } }, false, 2, 1, 1 },
};
/* clang-format on */

static double noise(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return (double)(*seed >> 8) / (1 << 24) - 0.5;
}

static rein_val state(struct rig *g, struct recorder *rec, const char *what, int layer, uint32_t rank,
                      const int64_t *dim, double scale, double middle)
{
	char name[32];
	int64_t n = 1;
	uint32_t seed = 7u * (uint32_t)layer + (uint32_t)what[0];
	for (uint32_t k = 0; k < rank; k++)
		n *= dim[k];
	double *v = malloc((size_t)n * sizeof *v);
	for (int64_t i = 0; i < n; i++)
		v[i] = (double)(float)(middle + scale * noise(&seed));
	snprintf(name, sizeof name, "%s%d", what, layer);
	struct state *s = rig_state(g, name, REIN_REAL_T, rank, dim, v);
	free(v);
	return recorder_read(rec, s);
}

static rein_val layer(struct rig *g, struct recorder *rec, const struct stack *s, int k, rein_val x, rein_val *p,
                      uint32_t *n, rein_val *seen)
{
	struct rein_rec *r = recorder_rec(rec);
	const struct layer *l = &s->layer[k];
	int64_t o = l->filters, c = rein_dim(r, x, 1), w[4] = { o, c, l->kh, l->kw };
	struct rein_attr a = { .struct_size = sizeof a, .batch = 1, .step = { 1, 1 }, .start = { l->ph, l->pw, 1, 1 } };
	struct rein_attr norm = { .struct_size = sizeof norm, .axes = 0xD, .par = { 1e-5 } };
	struct rein_attr pool = { .struct_size = sizeof pool, .step = { 2, 2, 2, 2 }, .start = { 0, 0, 1, 1 } };
	rein_val in[3], out[3];
	in[0] = x;
	in[1] = p[(*n)++] = state(g, rec, "w", k, 4, w, 2 / sqrt((double)(c * l->kh * l->kw)), 0);
	rein_op(r, REIN_OP_CONV2D, 2, in, &a, 1, &x);
	if (l->bias)
		x = rein_add(r, x, rein_along(r, p[(*n)++] = state(g, rec, "b", k, 1, &o, 1, 0), x, 1));
	if (s->see == 1 && k == 0)
		*seen = rein_sum(r, rein_square(r, x));
	in[0] = x;
	in[1] = rein_along(r, p[(*n)++] = state(g, rec, "gamma", k, 1, &o, 1, 1), x, 1);
	in[2] = rein_along(r, p[(*n)++] = state(g, rec, "eta", k, 1, &o, 0.5, 0.1), x, 1);
	rein_op(r, REIN_OP_BATCH_NORM, 3, in, &norm, 3, out);
	recorder_output(rec, out[1]);
	recorder_output(rec, out[2]);
	x = l->relu ? rein_relu(r, out[0]) : out[0];
	if (s->see == 2 && k == 0)
		*seen = rein_sum(r, rein_cast(r, rein_le(r, out[0], rein_scalar(r, 0)), REIN_REAL_T));
	if (!l->pool)
		return x;
	rein_op(r, REIN_OP_MAX_POOL, 1, &x, &pool, 2, out);
	return out[0];
}

static struct compiled *record(struct rig *g, const struct stack *s)
{
	struct recorder *rec = rig_record(g, s->name, false);
	struct rein_rec *r = recorder_rec(rec);
	int64_t dim[4] = { s->n, s->c, s->h, s->w };
	rein_val p[4 * LAYERS + 1], grad[4 * LAYERS + 1], seen = REIN_NONE, first = REIN_NONE,
													  x = state(g, rec, "x", 9, 4, dim, 2, 0);
	uint32_t n = 0;
	if (s->grad_x)
		p[n++] = x;
	for (int k = 0; k < s->layers; k++) {
		x = layer(g, rec, s, k, x, p, &n, &seen);
		first = k ? first : x;
	}
	if (s->see == 3)
		x = rein_relu(r, rein_add(r, x, first));
	for (int a = 0; a < 4; a++)
		dim[a] = rein_dim(r, x, a);
	rein_val loss = rein_sum(r, rein_mul(r, x, state(g, rec, "target", 9, 4, dim, 1, 0)));
	rein_grads(r, loss, REIN_NONE, n, p, grad);
	recorder_output(rec, x);
	if (!REIN_IS_NONE(seen))
		recorder_output(rec, seen);
	for (uint32_t k = 0; k < n; k++)
		recorder_output(rec, grad[k]);
	struct compiled *c = rig_compile(g, recorder_finish(rec, g->diag));
	recorder_destroy(rec);
	return c;
}

static void count(const struct compiled *c, int *forward, int *backward)
{
	*forward = *backward = 0;
	for (uint32_t k = 0; k < c->plan->n_kernel; k++) {
		char line[128];
		c->backend->component->vt.backend.explain(c->backend->self, c->exec, k, line, sizeof line);
		*forward += !strncmp(line, "conv2d+", 7) && strstr(line, "batch_norm");
		*backward += strstr(line, "where+batch_norm_dx") || strstr(line, "batch_norm_dx+sum");
	}
}

static void check(const struct stack *s, const char *isa, double *const out[], struct compiled *const c[])
{
	const struct rein_program *p = &c[0]->program->p;
	for (uint32_t k = 0; k < p->n_output; k++) {
		int64_t n = 0;
		for (int way = 0; way < 4; way++)
			n = rig_output(c[way], k, out[way], ROOM);
		double scale = 1, ref = 0;
		for (int64_t i = 0; i < n; i++) {
			scale = fmax(scale, fabs(out[0][i]));
			ref = fmax(ref, fabs(out[1][i] - out[0][i]));
		}
		for (int64_t i = 0; i < n; i++) {
			double off = fabs(out[2][i] - out[0][i]);
			cr_assert(off <= 16 * ref + 4e-6 * scale,
			          "%s, %s, output %u, element %ld is %.9g, not %.9g (of %g; reference %g off)", s->name, isa, k,
			          (long)i, out[2][i], out[0][i], scale, ref);
			cr_assert(!memcmp(&out[2][i], &out[3][i], sizeof **out), "%s, %s: threads change bits", s->name, isa);
		}
	}
}

Test(blocks, stacks)
{
	int n_isa;
	const char *const *isas = rig_isas(&n_isa);
	double *out[4];
	for (int k = 0; k < 4; k++)
		out[k] = malloc(ROOM * sizeof **out);
	for (size_t k = 0; k < sizeof stacks / sizeof *stacks; k++)
		for (int i = 0; i < n_isa; i++) {
			struct rig *rig[4] = { rig_create(REIN_NAIVE, 1, 8), rig_create(REIN_NAIVE, 1, 4),
				                   rig_create_isa(REIN_GUARD, 1, 4, isas[i]), rig_create_isa(0, 3, 4, isas[i]) };
			struct compiled *c[4];
			int forward, backward;
			for (int way = 0; way < 4; way++) {
				c[way] = record(rig[way], &stacks[k]);
				for (int again = 0; again < 2; again++)
					rig_run(c[way]);
			}
			count(c[3], &forward, &backward);
			cr_expect_eq(forward, stacks[k].forward, "%s: %d forward blocks", stacks[k].name, forward);
			cr_expect_eq(backward, stacks[k].backward, "%s: %d backward blocks", stacks[k].name, backward);
			check(&stacks[k], isas[i], out, c);
			for (int way = 0; way < 4; way++) {
				compiled_destroy(c[way]);
				rig_destroy(rig[way]);
			}
		}
	for (int k = 0; k < 4; k++)
		free(out[k]);
}
