/* SPDX-License-Identifier: MIT
 *
 * philox.c: Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy
 * as 1, 2, 3", SC 2011). The core has the same function; tests hold them together.
 */
#include <math.h>

#include "cpu.h"

void cpu_philox(const uint32_t counter[4], uint64_t key, uint32_t out[4])
{
	uint32_t a = counter[0], b = counter[1], c = counter[2], d = counter[3];
	uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
	for (int round = 0; round < 10; round++) {
		uint64_t p = (uint64_t)0xD2511F53u * a, q = (uint64_t)0xCD9E8D57u * c;
		a = (uint32_t)(q >> 32) ^ b ^ k0;
		b = (uint32_t)q;
		c = (uint32_t)(p >> 32) ^ d ^ k1;
		d = (uint32_t)p;
		k0 += 0x9E3779B9u;
		k1 += 0xBB67AE85u;
	}
	out[0] = a, out[1] = b, out[2] = c, out[3] = d;
}

double cpu_normal(uint32_t w0, uint32_t w1, bool sine)
{
	double u = ((double)(w0 >> 8) + 1) * 0x1p-24, v = (double)(w1 >> 8) * 0x1p-24;
	double r = sqrt(-2 * log(u)), angle = 6.283185307179586477 * v;
	return r * (sine ? sin(angle) : cos(angle));
}
