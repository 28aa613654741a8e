/* SPDX-License-Identifier: MIT
 *
 * The vector functions of strips, on every instruction set: accuracy against libm in double,
 * special values, and the promise that an element's bits depend on its operands alone: not on
 * where the strip ends, nor on whether an operand is one element or many.
 */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "strip.h"

static const char *const names[] = {
#define STRIP_NAME(name, n) #name,
	STRIP_LIST(STRIP_NAME)
#undef STRIP_NAME
};
static const int operands[] = {
#define STRIP_OPERANDS(name, n) n,
	STRIP_LIST(STRIP_OPERANDS)
#undef STRIP_OPERANDS
};
static const char *const isas[] = { "plain", "avx2", "avx512" };

static uint32_t next(uint32_t *seed) { return *seed = *seed * 1664525u + 1013904223u; }

/* Special values, all magnitudes, then numbers about 1. */
static void fill(float *x, int n, uint32_t seed)
{
	static const float special[] = {
		0.0f,    -0.0f,  1.0f,    -1.0f, INFINITY, -INFINITY, NAN,    FLT_MAX,   -FLT_MAX,
		FLT_MIN, 1e-40f, -1e-44f, 88.7f, -87.4f,   -103.9f,   89.1f,  0.624999f, 0.625f,
		2.5f,    -2.5f,  0.5f,    1.5f,  3e9f,     -3e9f,     255.7f, -0.3f,     8388609.0f
	};
	int s = (int)(sizeof special / sizeof *special);
	for (int i = 0; i < n; i++) {
		uint32_t u = next(&seed);
		if (i < s)
			x[i] = special[(i + (int)(seed % 3)) % s];
		else if (i % 2)
			memcpy(&x[i], &u, sizeof u);
		else
			x[i] = (float)(int32_t)u * 0x1p-29f;
	}
}

static double ulps(float got, double want)
{
	float w = (float)want;
	if (isnan(want) || isinf(w) || isinf(got))
		return isnan(want) ? (isnan(got) ? 0 : 1e9) : got == w ? 0 : 1e9;
	float step = nextafterf(fabsf(w), INFINITY) - fabsf(w);
	return fabs((double)got - want) / (double)step;
}

static double sigmoid(double x) { return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x)); }
static double sign(double x) { return (x > 0) - (x < 0); }

static const struct {
	int op;
	double (*f)(double);
	double ulps;
} unary[] = {
	{ S_EXP_F, exp, 1.1 },   { S_LOG_F, log, 1.1 },     { S_TANH_F, tanh, 1.6 }, { S_SIGMOID_F, sigmoid, 2.6 },
	{ S_SQRT_F, sqrt, 0.5 }, { S_FLOOR_F, floor, 0 },   { S_RINT_F, rint, 0 },   { S_ABS_F, fabs, 0 },
	{ S_SIGN_F, sign, 0 },   { S_LOG1P_F, log1p, 1.1 }, { S_SIN_F, sin, 1.1 },   { S_COS_F, cos, 1.1 },
	{ S_ERF_F, erf, 1.1 },
};

Test(strip, accuracy)
{
	float x[STRIP], y[STRIP];
	for (int i = 0; i < 3; i++) {
		if (isa_named(isas[i]) < 0)
			continue;
		const struct strip_isa *isa = strip_isa(isa_named(isas[i]));
		for (size_t k = 0; k < sizeof unary / sizeof *unary; k++)
			for (uint32_t seed = 1; seed <= 40; seed++) {
				fill(x, STRIP, seed);
				isa->op[unary[k].op](STRIP, y, x, x, x, 0);
				for (int j = 0; j < STRIP; j++)
					cr_assert_leq(ulps(y[j], unary[k].f((double)x[j])), unary[k].ulps, "%s %s(%.9g) = %.9g, not %.9g",
					              isas[i], names[unary[k].op], (double)x[j], (double)y[j], unary[k].f((double)x[j]));
			}
	}
}

/* Bytes per element: of the result, of operand k. */
static int size_of_result(int op)
{
	const char *n = names[op];
	bool compares = !strncmp(n, "LT", 2) || !strncmp(n, "LE", 2) || !strncmp(n, "EQ", 2);
	if (compares || strstr(n, "_B") == n + strlen(n) - 2 || strstr(n, "TO_U8") || strstr(n, "TO_BOOL"))
		return 1;
	return op == S_COPY_1 || op == S_WHERE_1 ? 1 : 4;
}

Test(strip, bits_depend_on_operands_alone)
{
	float in[3][STRIP], one[3][STRIP], full[STRIP], part[STRIP];
	for (int k = 0; k < 3; k++)
		fill(in[k], STRIP, 77 + (uint32_t)k);
	for (int i = 0; i < 3; i++) {
		if (isa_named(isas[i]) < 0)
			continue;
		const struct strip_isa *isa = strip_isa(isa_named(isas[i]));
		for (int op = 0; op < S_COUNT; op++) {
			size_t size = (size_t)size_of_result(op);
			isa->op[op](STRIP, full, in[0], in[1], in[2], 0);
			for (int n = 1; n < 70; n++) {
				memset(part, 0x5a, sizeof part);
				isa->op[op](n, part, in[0], in[1], in[2], 0);
				cr_assert_eq(memcmp(part, full, (size_t)n * size), 0, "%s %s: a strip of %d differs", isas[i],
				             names[op], n);
				for (size_t b = (size_t)n * size; b < (size_t)n * size + 64; b++)
					cr_assert_eq(((unsigned char *)part)[b], 0x5a, "%s %s writes beyond %d", isas[i], names[op], n);
			}
			/* operand k: one element, or that element everywhere */
			for (unsigned s = 1; s < 1u << operands[op]; s++)
				for (int at = 0; at < 24; at += 5) {
					const void *single[3] = { in[0], in[1], in[2] }, *repeated[3] = { in[0], in[1], in[2] };
					for (int k = 0; k < 3; k++) {
						bool byte = op == S_WHERE_4 && k == 0;
						for (int j = 0; j < STRIP; j++)
							if (byte)
								((uint8_t *)one[k])[j] = (uint8_t)(at % 2);
							else
								one[k][j] = in[k][at];
						if (size == 1 && (op == S_WHERE_1 || op == S_COPY_1 || strstr(names[op], "_B") ||
						                  !strncmp(names[op], "B_", 2)))
							memset(one[k], at % 2 ? 3 : 0, sizeof one[k]);
						else if (op == S_B_TO_F || op == S_B_TO_I)
							memset(one[k], at, sizeof one[k]);
						if (s >> k & 1)
							single[k] = repeated[k] = one[k];
					}
					isa->op[op](STRIP, full, repeated[0], repeated[1], repeated[2], 0);
					isa->op[op](STRIP, part, single[0], single[1], single[2], s);
					cr_assert_eq(memcmp(part, full, STRIP * size), 0, "%s %s: scalars %u differ", isas[i], names[op],
					             s);
					isa->op[op](STRIP, full, in[0], in[1], in[2], 0);
				}
		}
	}
}

Test(strip, sums_are_the_same_everywhere)
{
	float x[STRIP];
	uint32_t seed = 5;
	for (int i = 0; i < STRIP; i++)
		x[i] = (float)(int32_t)next(&seed) * 0x1p-31f;
	const struct strip_isa *plain = strip_isa(ISA_PLAIN);
	for (int n = 1; n <= STRIP; n += n < 70 ? 1 : 37) {
		double sum = 0, largest = -2;
		for (int i = 0; i < n; i++) {
			sum += (double)x[i];
			largest = fmax(largest, (double)x[i]);
		}
		cr_assert_float_eq((double)plain->sum(n, x), sum, 1e-5);
		cr_assert_float_eq(plain->sum_wide(n, x), sum, 1e-12);
		cr_assert_eq((double)plain->amax(n, x), largest);
		for (int i = 1; i < 3; i++) {
			if (isa_named(isas[i]) < 0)
				continue;
			const struct strip_isa *isa = strip_isa(isa_named(isas[i]));
			cr_assert_eq(isa->sum(n, x), plain->sum(n, x), "%s: sum of %d", isas[i], n);
			cr_assert_eq(isa->sum_wide(n, x), plain->sum_wide(n, x));
			cr_assert_eq(isa->amax(n, x), plain->amax(n, x));
		}
	}
	x[3] = NAN;
	cr_assert(isnan(plain->amax(40, x)) && isnan(strip_isa(isa_best())->amax(40, x)), "NaN wins");
}
