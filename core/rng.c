/* SPDX-License-Identifier: MIT
 *
 * rng.c: the two sources of random numbers. Philox4x32-10 is stateless: a stream is a key,
 * a number in it a counter. The other follows PyTorch's CPU generator bit for bit, so that
 * `rng = torch` starts from the same weights as a script with torch.manual_seed().
 */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "rng.h"

/* --- Philox: Salmon, Moraes, Dror, Shaw, SC 2011 ------------------------------------ */
void philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
	uint32_t c[4] = { counter[0], counter[1], counter[2], counter[3] }, k[2] = { key[0], key[1] };
	for (int round = 0; round < 10; round++) {
		uint64_t p = (uint64_t)0xD2511F53u * c[0], q = (uint64_t)0xCD9E8D57u * c[2];
		c[0] = (uint32_t)(q >> 32) ^ c[1] ^ k[0];
		c[1] = (uint32_t)q;
		c[2] = (uint32_t)(p >> 32) ^ c[3] ^ k[1];
		c[3] = (uint32_t)p;
		k[0] += 0x9E3779B9u; /* golden ratio, sqrt(3) - 1: Weyl sequences */
		k[1] += 0xBB67AE85u;
	}
	for (int i = 0; i < 4; i++)
		out[i] = c[i];
}

/* splitmix64's finaliser: every bit of x reaches every bit of the result */
static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
	x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
	return x ^ (x >> 31);
}

uint64_t rng_key(uint64_t seed, const char *name)
{
	uint64_t h = 0xCBF29CE484222325u; /* FNV-1a */
	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 0x100000001B3u;
	return mix(h ^ mix(seed + 0x9E3779B97F4A7C15u));
}

static void words(uint64_t key, uint64_t block, uint32_t epoch, uint32_t w[4])
{
	const uint32_t counter[4] = { (uint32_t)block, (uint32_t)(block >> 32), epoch, 0 };
	const uint32_t k[2] = { (uint32_t)key, (uint32_t)(key >> 32) };
	philox(counter, k, w);
}

double rng_uniform(uint64_t key, uint64_t i)
{
	uint32_t w[4];
	words(key, i / 4, 0, w);
	return (double)(w[i % 4] >> 8) * 0x1p-24;
}

/* Box-Muller: words 0, 1 make numbers 0 (cosine) and 1 (sine), words 2, 3 the other two. */
double rng_normal(uint64_t key, uint64_t i)
{
	uint32_t w[4];
	words(key, i / 4, 0, w);
	double u = ((double)(w[i & 2] >> 8) + 1) * 0x1p-24, v = (double)(w[(i & 2) | 1] >> 8) * 0x1p-24;
	double r = sqrt(-2 * log(u)), angle = 6.283185307179586477 * v;
	return r * (i & 1 ? sin(angle) : cos(angle));
}

void rng_uniforms(uint64_t key, double a, double b, int64_t n, double *out)
{
	uint32_t w[4];
	for (int64_t i = 0; i < n; i++) {
		if (i % 4 == 0)
			words(key, (uint64_t)i / 4, 0, w);
		out[i] = a + (b - a) * ((double)(w[i % 4] >> 8) * 0x1p-24);
	}
}

void rng_normals(uint64_t key, double a, double b, int64_t n, double *out)
{
	uint32_t w[4];
	double r = 0, angle = 0;
	for (int64_t i = 0; i < n; i++) {
		if (i % 4 == 0)
			words(key, (uint64_t)i / 4, 0, w);
		if (i % 2 == 0) {
			r = sqrt(-2 * log(((double)(w[i & 2] >> 8) + 1) * 0x1p-24));
			angle = 6.283185307179586477 * ((double)(w[(i & 2) | 1] >> 8) * 0x1p-24);
		}
		out[i] = a + b * (r * (i & 1 ? sin(angle) : cos(angle)));
	}
}

void rng_permutation(uint64_t key, uint64_t epoch, int64_t n, int32_t *out)
{
	uint32_t w[4] = { 0 };
	for (int64_t i = 0; i < n; i++)
		out[i] = (int32_t)i;
	for (int64_t i = 0; i < n - 1; i++) {
		if (i % 4 == 0)
			words(key, (uint64_t)i / 4, (uint32_t)epoch, w);
		/* a word scaled to 0..n-i-1: uneven by less than (n-i) / 2^32 */
		int64_t j = i + (int64_t)(((uint64_t)w[i % 4] * (uint64_t)(n - i)) >> 32);
		int32_t t = out[i];
		out[i] = out[j];
		out[j] = t;
	}
}

/* --- PyTorch: MT19937 (Matsumoto, Nishimura 1998) and ATen's distributions ----------- */
struct torch_rng {
	uint32_t state[624];
	int at;
	bool cached; /* a normal number is left over: the generator keeps it across calls */
	double normal;
};

struct torch_rng *torch_rng_create(uint64_t seed)
{
	struct torch_rng *t = calloc(1, sizeof *t);
	if (!t)
		return NULL;
	t->state[0] = (uint32_t)seed;
	for (uint32_t i = 1; i < 624; i++)
		t->state[i] = 1812433253u * (t->state[i - 1] ^ (t->state[i - 1] >> 30)) + i;
	t->at = 624;
	return t;
}

struct torch_rng *torch_rng_copy(const struct torch_rng *r)
{
	struct torch_rng *copy = malloc(sizeof *copy);
	if (copy)
		*copy = *r;
	return copy;
}

void torch_rng_destroy(struct torch_rng *t) { free(t); }

static void twist(uint32_t *s)
{
	for (int i = 0; i < 624; i++) {
		uint32_t y = (s[i] & 0x80000000u) | (s[(i + 1) % 624] & 0x7FFFFFFFu);
		s[i] = s[(i + 397) % 624] ^ (y >> 1) ^ (y & 1 ? 0x9908B0DFu : 0);
	}
}

uint32_t torch_rng_32(struct torch_rng *t)
{
	if (t->at == 624) {
		twist(t->state);
		t->at = 0;
	}
	uint32_t y = t->state[t->at++];
	y ^= y >> 11;
	y ^= (y << 7) & 0x9D2C5680u;
	y ^= (y << 15) & 0xEFC60000u;
	return y ^ (y >> 18);
}

uint64_t torch_rng_64(struct torch_rng *t)
{
	uint64_t high = torch_rng_32(t);
	return high << 32 | torch_rng_32(t);
}

/* float: the low 24 bits, scaled; all in float as ATen does */
void torch_rng_uniform(struct torch_rng *t, double a, double b, int64_t n, float *out)
{
	float from = (float)a, to = (float)b;
	for (int64_t i = 0; i < n; i++)
		out[i] = fmaf((float)(torch_rng_32(t) & 0xFFFFFF) * 0x1p-24f, to - from, from);
}

/* The double behind small tensors: 53 bits of 64. */
static double uniform53(struct torch_rng *t) { return (double)(torch_rng_64(t) & ((UINT64_C(1) << 53) - 1)) * 0x1p-53; }

static double normal_one(struct torch_rng *t)
{
	if (t->cached) {
		t->cached = false;
		return t->normal;
	}
	double u1 = uniform53(t), u2 = uniform53(t);
	double r = sqrt(-2 * log1p(-u2)), angle = 2 * 3.14159265358979323846 * u1;
	t->normal = r * sin(angle);
	t->cached = true;
	return r * cos(angle);
}

/* 16 uniform numbers to normal ones: 8 radii from the first half, 8 angles from the second */
static void normal_16(float *d, float mean, float std)
{
	for (int j = 0; j < 8; j++) {
		float u1 = 1 - d[j], u2 = d[j + 8];
		float r = sqrtf(-2 * logf(u1)), angle = 6.28318530717958647692f * u2;
		d[j] = fmaf(r * cosf(angle), std, mean);
		d[j + 8] = fmaf(r * sinf(angle), std, mean);
	}
}

void torch_rng_normal(struct torch_rng *t, double mean, double std, int64_t n, float *out)
{
	if (n < 16) {
		for (int64_t i = 0; i < n; i++)
			out[i] = (float)(normal_one(t) * std + mean);
		return;
	}
	torch_rng_uniform(t, 0, 1, n, out);
	for (int64_t i = 0; i + 16 <= n; i += 16)
		normal_16(out + i, (float)mean, (float)std);
	if (n % 16) { /* the last 16 again, from fresh numbers */
		torch_rng_uniform(t, 0, 1, 16, out + n - 16);
		normal_16(out + n - 16, (float)mean, (float)std);
	}
}

void torch_rng_permutation(struct torch_rng *t, int64_t n, int32_t *out)
{
	for (int64_t i = 0; i < n; i++)
		out[i] = (int32_t)i;
	for (int64_t i = 0; i < n - 1; i++) {
		int64_t j = i + (int64_t)(torch_rng_32(t) % (uint32_t)(n - i));
		int32_t x = out[i];
		out[i] = out[j];
		out[j] = x;
	}
}
