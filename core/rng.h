/* SPDX-License-Identifier: MIT
 *
 * rng.h: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
 * SC 2011) and, for `rng = torch`, PyTorch's CPU stream (MT19937).
 */
#ifndef CORE_RNG_H
#define CORE_RNG_H

#include <stdint.h>

#define RNG_PHILOX 0
#define RNG_TORCH  1

void philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);
/* FNV-1a of the name, mixed with the seed: the key of a stream. */
uint64_t rng_key(uint64_t seed, const char *name);
/* Uniform [0,1) k * 2^-24 and normal numbers of a stream; element i. Same bits as RANDOM. */
double rng_uniform(uint64_t key, uint64_t i);
double rng_normal(uint64_t key, uint64_t i);
/* a + (b - a) u and a + b z for elements 0..n-1, with the same bits as one by one. */
void rng_uniforms(uint64_t key, double a, double b, int64_t n, double *out);
void rng_normals(uint64_t key, double a, double b, int64_t n, double *out);
/* A permutation of 0..n-1 (Fisher-Yates over the stream `key`, epoch). */
void rng_permutation(uint64_t key, uint64_t epoch, int64_t n, int32_t *out);

/* PyTorch's CPU generator; formulas are those of ATen's distributions. */
struct torch_rng;
struct torch_rng *torch_rng_create(uint64_t seed);
struct torch_rng *torch_rng_copy(const struct torch_rng *); /* where it is; NULL: no memory */
void torch_rng_destroy(struct torch_rng *);
uint32_t torch_rng_32(struct torch_rng *);
uint64_t torch_rng_64(struct torch_rng *);
void torch_rng_uniform(struct torch_rng *, double a, double b, int64_t n, float *out);
void torch_rng_normal(struct torch_rng *, double mean, double std, int64_t n, float *out);
void torch_rng_permutation(struct torch_rng *, int64_t n, int32_t *out); /* randperm */

#endif
