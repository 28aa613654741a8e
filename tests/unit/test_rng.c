/* SPDX-License-Identifier: MIT
 *
 * Random streams: Philox against the published test vectors, PyTorch's stream against
 * numbers that tests/golden/make_rng.py printed, and the shape of the distributions.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rng.h"

/* kat_vectors of Random123 1.14, philox4x32 10 */
Test(rng, philox_known_answers)
{
	static const struct {
		uint32_t counter[4], key[2], out[4];
	} kat[] = {
		{ { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
		{ { ~0u, ~0u, ~0u, ~0u }, { ~0u, ~0u }, { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
		{ { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
		  { 0xa4093822, 0x299f31d0 },
		  { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
	};
	for (size_t i = 0; i < sizeof kat / sizeof *kat; i++) {
		uint32_t out[4];
		philox(kat[i].counter, kat[i].key, out);
		cr_assert_arr_eq(out, kat[i].out, sizeof out, "vector %zu", i);
	}
}

Test(rng, streams_differ_by_seed_and_name)
{
	uint64_t a = rng_key(1, "fc1.weight");
	cr_assert_neq(a, rng_key(2, "fc1.weight"));
	cr_assert_neq(a, rng_key(1, "fc2.weight"));
	cr_assert_neq(a, rng_key(1, "fc1.weighu"));
	cr_assert_eq(a, rng_key(1, "fc1.weight"));
	int same = 0;
	for (uint64_t i = 0; i < 1000; i++)
		same += rng_uniform(a, i) == rng_uniform(rng_key(1, "fc2.weight"), i);
	cr_assert_lt(same, 3);
}

/* Mean and variance within five standard errors of what they should be. */
static void moments(double (*f)(uint64_t, uint64_t), double mean, double var, double fourth)
{
	uint64_t n = 200000, key = rng_key(3, "moments");
	double s = 0, q = 0;
	for (uint64_t i = 0; i < n; i++) {
		double d = f(key, i) - mean;
		s += d;
		q += d * d;
	}
	cr_assert_lt(fabs(s / (double)n), 5 * sqrt(var / (double)n));
	cr_assert_lt(fabs(q / (double)n - var), 5 * sqrt((fourth - var * var) / (double)n));
}
Test(rng, distributions)
{
	moments(rng_uniform, 0.5, 1.0 / 12, 1.0 / 80);
	moments(rng_normal, 0, 1, 3);
	for (uint64_t i = 0; i < 100000; i++) {
		double u = rng_uniform(99, i);
		cr_assert(u >= 0 && u < 1 && u * 0x1p24 == floor(u * 0x1p24));
	}
}

static void is_permutation(const int32_t *p, int64_t n)
{
	unsigned char *seen = calloc((size_t)n, 1);
	for (int64_t i = 0; i < n; i++) {
		cr_assert(p[i] >= 0 && p[i] < n && !seen[p[i]]);
		seen[p[i]] = 1;
	}
	free(seen);
}

Test(rng, permutations)
{
	int32_t a[1000], b[1000];
	int64_t sizes[] = { 1, 2, 3, 4, 5, 999, 1000 };
	for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
		rng_permutation(rng_key(1, "order"), 3, sizes[k], a);
		is_permutation(a, sizes[k]);
	}
	rng_permutation(rng_key(1, "order"), 4, 1000, b);
	cr_assert_arr_neq(a, b, sizeof a, "another epoch, another order");
	rng_permutation(rng_key(1, "order"), 3, 1000, b);
	cr_assert_arr_eq(a, b, sizeof a);
	/* every number is first about equally often: chi-square with 9 degrees of freedom */
	int count[10] = { 0 };
	for (uint64_t e = 0; e < 10000; e++) {
		rng_permutation(7, e, 10, a);
		count[a[0]]++;
	}
	double chi = 0;
	for (int i = 0; i < 10; i++)
		chi += (count[i] - 1000.0) * (count[i] - 1000.0) / 1000.0;
	cr_assert_lt(chi, 27.9, "0.1 %% level");
}

/* std::mt19937: the 10000th number of the default seed is fixed by the C++ standard. */
Test(rng, mersenne_twister)
{
	struct torch_rng *t = torch_rng_create(5489);
	uint32_t x = 0;
	for (int i = 0; i < 10000; i++)
		x = torch_rng_32(t);
	cr_assert_eq(x, 4123659995u);
	torch_rng_destroy(t);
	torch_rng_destroy(NULL);
}

static void same_bits(const float *x, const uint32_t *bits, int n)
{
	for (int i = 0; i < n; i++) {
		uint32_t b;
		memcpy(&b, x + i, 4);
		cr_assert_eq(b, bits[i], "number %d is %a (%08x), PyTorch has %08x", i, (double)x[i], b, bits[i]);
	}
}

/* torch.manual_seed(2021); nn.Linear(20, 20): the sums that course 001 prints */
Test(rng, torch_linear)
{
	struct torch_rng *t = torch_rng_create(2021);
	float p[420];
	double bound = 1 / sqrt(20), l1 = 0, l2 = 0;
	torch_rng_uniform(t, -bound, bound, 400, p);
	torch_rng_uniform(t, -bound, bound, 20, p + 400);
	for (int i = 0; i < 420; i++) {
		l1 += fabs((double)p[i]);
		l2 += (double)p[i] * (double)p[i];
	}
	cr_assert_float_eq(l1, 48.44513626396656, 2e-6);
	cr_assert_float_eq(l2, 7.3283753, 1e-6);
	same_bits(p,
	          (const uint32_t[]){ 0xbe293d3e, 0x3bc42d6a, 0x3dde280e, 0x3dc5bb36, 0x3d0116c4, 0xbe194971, 0xbe50aea4,
	                              0x3e53ecaf },
	          8);
	torch_rng_destroy(t);
}

/* Fewer than 16 numbers: doubles in pairs, and the left-over one is kept for the next call. */
Test(rng, torch_normal_small)
{
	struct torch_rng *t = torch_rng_create(7);
	float x[6];
	torch_rng_normal(t, 0, 1, 5, x);
	same_bits(x, (const uint32_t[]){ 0xbe165174, 0x3f49408e, 0x3f7262e7, 0xbf8ea2d3, 0x3fd86bd0 }, 5);
	torch_rng_normal(t, 1, 2, 6, x);
	same_bits(x, (const uint32_t[]){ 0xbf4a26e1, 0x3e93d708, 0x405dbed1, 0x3fa35f49, 0xc0175248, 0x3fd1535e }, 6);
	torch_rng_destroy(t);
}

/* From 16 on PyTorch uses vector log, sin and cos: equal but for an ulp or two. */
Test(rng, torch_normal_large)
{
	static const uint32_t bits[37] = { 0xbf51f456, 0x3eca902b, 0x3f661ede, 0xbfb1b738, 0xbe2b0101, 0x3e91ff2d,
		                               0xbf241e93, 0xbf64c69a, 0x3f6d31ec, 0xbf091754, 0xbf9471b7, 0xbeeb99b8,
		                               0x3f3562d1, 0x3f81a1f8, 0x3e6bed28, 0x3f8b8a88, 0xbfca94c1, 0xbea62d99,
		                               0x3ff6933b, 0xbea8f74c, 0x3e4b352e, 0xbf297027, 0xbf54156f, 0xbf1b0ddd,
		                               0xbe0aaff8, 0x3f3f4324, 0x3f1c9ff5, 0x3fef1388, 0x4020be1a, 0xbe801162,
		                               0x3f00497f, 0x3e852377, 0xbfd189ea, 0x3e217f3b, 0x3eca9e8e, 0xbfaf1218,
		                               0xbdce4dcb };
	struct torch_rng *t = torch_rng_create(7);
	float x[37];
	torch_rng_normal(t, 0, 1, 37, x);
	for (int i = 0; i < 37; i++) {
		uint32_t b;
		memcpy(&b, x + i, 4);
		cr_assert(b - bits[i] + 2 <= 4, "number %d: %08x, PyTorch has %08x", i, b, bits[i]);
	}
	torch_rng_destroy(t);
}

Test(rng, torch_permutation)
{
	static const int32_t want[20] = { 15, 17, 9, 12, 7, 1, 19, 3, 4, 11, 18, 8, 2, 14, 16, 0, 10, 13, 6, 5 };
	struct torch_rng *t = torch_rng_create(7);
	int32_t p[20];
	torch_rng_permutation(t, 20, p);
	cr_assert_arr_eq(p, want, sizeof p);
	torch_rng_destroy(t);
}

/* Many at once are the same numbers, also where a block of four or a pair is cut. */
Test(rng, many_at_once)
{
	double out[11];
	uint64_t key = rng_key(7, "many");
	for (int64_t n = 0; n <= 11; n++) {
		rng_uniforms(key, -0.5, 2, n, out);
		for (int64_t i = 0; i < n; i++)
			cr_assert_eq(out[i], -0.5 + 2.5 * rng_uniform(key, (uint64_t)i));
		rng_normals(key, 1, 0.25, n, out);
		for (int64_t i = 0; i < n; i++)
			cr_assert_eq(out[i], 1 + 0.25 * rng_normal(key, (uint64_t)i));
	}
}
