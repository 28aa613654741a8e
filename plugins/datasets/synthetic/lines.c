/* SPDX-License-Identifier: MIT
 *
 * lines.c: the linear system and the noisy line, whose best model is known.
 */
#include <string.h>

#include "synthetic.h"

/* --- PyTorch's CPU stream, for rng=torch: MT19937 (Matsumoto and Nishimura 1998) ------------ */
struct twister {
	uint32_t s[624];
	uint32_t at;
};

static void twister_init(struct twister *t, uint32_t seed)
{
	t->s[0] = seed;
	for (uint32_t i = 1; i < 624; i++)
		t->s[i] = 1812433253u * (t->s[i - 1] ^ (t->s[i - 1] >> 30)) + i;
	t->at = 624;
}

static uint32_t twister_next(struct twister *t)
{
	uint32_t y;
	if (t->at == 624) {
		for (uint32_t i = 0; i < 624; i++) {
			y = (t->s[i] & 0x80000000u) | (t->s[(i + 1) % 624] & 0x7FFFFFFFu);
			t->s[i] = t->s[(i + 397) % 624] ^ (y >> 1) ^ (y & 1 ? 0x9908B0DFu : 0);
		}
		t->at = 0;
	}
	y = t->s[t->at++];
	y ^= y >> 11;
	y ^= (y << 7) & 0x9D2C5680u;
	y ^= (y << 15) & 0xEFC60000u;
	return y ^ (y >> 18);
}

/* torch.rand: the low 24 bits */
static float twister_uniform(struct twister *t) { return (float)(twister_next(t) & 0xFFFFFFu) * 0x1p-24f; }

/* --- linear system ------------------------------------------------------------------------ */
rein_status linear_system_create(void *self, const struct rein_host *h)
{
	struct linear_system *s = self;
	int64_t n = s->samples * s->features;
	struct twister t;
	s->a = h->alloc(h, (uint64_t)n * sizeof *s->a);
	s->b = h->alloc(h, (uint64_t)s->samples * sizeof *s->b);
	s->solution = h->alloc(h, (uint64_t)(s->features + 1) * sizeof *s->solution);
	if (!s->a || !s->b || !s->solution)
		return REIN_ERROR;
	twister_init(&t, (uint32_t)s->seed);
	for (int64_t i = 0; i < n; i++)
		s->a[i] = s->rng == RNG_TORCH ? twister_uniform(&t)
		                              : (float)uniform(s->seed, i / s->features, (uint64_t)(i % s->features));
	for (int64_t j = 0; j <= s->features; j++)
		s->solution[j] = s->rng == RNG_TORCH ? (double)twister_uniform(&t) : uniform(s->seed, -1, (uint64_t)j);
	/* b_i = sum_j a_ij w_j + bias + noise N(0,1) */
	for (int64_t i = 0; i < s->samples; i++) {
		double b = s->solution[s->features];
		for (int64_t j = 0; j < s->features; j++)
			b += (double)s->a[i * s->features + j] * s->solution[j];
		if (s->noise > 0)
			b += s->noise * normal(s->seed, i, (uint64_t)s->features);
		s->b[i] = (float)b;
	}
	return REIN_OK;
}

void linear_system_destroy(void *self, const struct rein_host *h)
{
	struct linear_system *s = self;
	h->free(h, s->a);
	h->free(h, s->b);
	h->free(h, s->solution);
}

static rein_status linear_system_info(void *self, struct rein_dataset_info *o)
{
	const struct linear_system *s = self;
	o->dtype = REIN_REAL_T;
	o->rank = 1;
	o->dim[0] = s->features;
	o->target = REIN_TARGET_REAL;
	o->target_dim = 1;
	o->count = s->samples;
	o->truth = s->solution;
	o->n_truth = (uint32_t)s->features + 1;
	return REIN_OK;
}

static rein_status linear_system_read(const void *self, const struct rein_host *h, int64_t i, void *x, void *y)
{
	const struct linear_system *s = self;
	(void)h;
	if (x)
		memcpy(x, s->a + i * s->features, (size_t)s->features * sizeof *s->a);
	*(float *)y = s->b[i];
	return REIN_OK;
}

const struct rein_dataset_vt linear_system_vt = { .struct_size = sizeof linear_system_vt,
	                                              .info = linear_system_info,
	                                              .read = linear_system_read };

/* --- noisy line --------------------------------------------------------------------------- */
static rein_status noisy_line_info(void *self, struct rein_dataset_info *o)
{
	struct noisy_line *s = self;
	s->truth[0] = s->slope;
	s->truth[1] = s->intercept;
	o->dtype = REIN_REAL_T;
	o->rank = 1;
	o->dim[0] = 1;
	o->target = REIN_TARGET_REAL;
	o->target_dim = 1;
	o->count = s->samples;
	o->truth = s->truth;
	o->n_truth = 2;
	return REIN_OK;
}

static rein_status noisy_line_read(const void *self, const struct rein_host *h, int64_t i, void *x, void *y)
{
	const struct noisy_line *s = self;
	double at = uniform(s->seed, i, 2);
	(void)h;
	if (s->x == X_GRID)
		at = s->samples > 1 ? (double)i / (double)(s->samples - 1) : 0;
	if (x)
		*(float *)x = (float)at;
	*(float *)y = (float)(s->slope * at + s->intercept + s->noise * normal(s->seed, i, 0));
	return REIN_OK;
}

const struct rein_dataset_vt noisy_line_vt = { .struct_size = sizeof noisy_line_vt,
	                                           .info = noisy_line_info,
	                                           .read = noisy_line_read };
