/* SPDX-License-Identifier: MIT
 *
 * synthetic.h: made-up data. A sample depends on its number and on the key `seed` alone,
 * never on the run's seed, so that splits by skip= and take= fit together and seeds of a
 * run compare on the same data. To add a set: its struct here, its slots in a file of
 * their own, its keys and its component in synthetic.c.
 */
#ifndef SYNTHETIC_H
#define SYNTHETIC_H

#include <math.h>

#include "rein/rein.h"

#define PI 3.14159265358979323846

struct linear_system {
	int64_t samples, features, seed;
	double noise;
	int32_t rng;
	float *a, *b;     /* samples x features, samples */
	double *solution; /* features weights, then the bias */
};
struct noisy_line {
	int64_t samples, seed;
	double slope, intercept, noise;
	int32_t x;
	double truth[2];
};
struct clouds { /* blobs, moons and points */
	int64_t samples, classes, features, seed;
	double spread;
};
struct shapes {
	int64_t samples, size, channels, classes, seed;
	double noise;
	const char **name;
	char *text;
};
struct random_set {
	struct rein_ints shape;
	int64_t samples, classes, targets, seed;
	int32_t target;
};

enum { RNG_REIN, RNG_TORCH };
enum { X_RANDOM, X_GRID };
enum { TARGET_CLASS, TARGET_REAL };

extern const struct rein_dataset_vt linear_system_vt, noisy_line_vt, blobs_vt, moons_vt, points_vt, shapes_vt,
	random_set_vt;
rein_status linear_system_create(void *self, const struct rein_host *);
void linear_system_destroy(void *self, const struct rein_host *);
rein_status shapes_create(void *self, const struct rein_host *);
void shapes_destroy(void *self, const struct rein_host *);
rein_status random_set_create(void *self, const struct rein_host *);

/* --- numbers by counting: the mixing function of SplitMix64 (Steele et al., OOPSLA 2014) --- */
static inline uint64_t mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}
/* 64 bits of draw j of sample i; i < 0 is for what all samples share */
static inline uint64_t bits(int64_t seed, int64_t i, uint64_t j)
{
	uint64_t step = UINT64_C(0x9E3779B97F4A7C15);
	return mix(mix(mix((uint64_t)seed + step) + (uint64_t)i * step + step) + j * step + step);
}
/* [0, 1) */
static inline double uniform(int64_t seed, int64_t i, uint64_t j) { return (double)(bits(seed, i, j) >> 11) * 0x1p-53; }
/* Box and Muller; uses draws 2j and 2j + 1 */
static inline double normal(int64_t seed, int64_t i, uint64_t j)
{
	return sqrt(-2 * log(1 - uniform(seed, i, 2 * j))) * cos(2 * PI * uniform(seed, i, 2 * j + 1));
}

#endif
