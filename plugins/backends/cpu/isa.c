/* SPDX-License-Identifier: MIT
 *
 * isa.c: which instruction set to use, asked of the processor at run time.
 */
#include <string.h>

#include "fast.h"

static const char *const names[] = { "plain", "avx2", "avx512" };

static int available(int isa)
{
#if defined(HAVE_AVX2) || defined(HAVE_AVX512)
	__builtin_cpu_init();
#endif
#ifdef HAVE_AVX512
	if (isa == ISA_AVX512)
		return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
		       __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
#endif
#ifdef HAVE_AVX2
	if (isa == ISA_AVX2)
		return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
	return isa == ISA_PLAIN;
}

int isa_best(void)
{
	int isa = ISA_AVX512;
	while (!available(isa))
		isa--;
	return isa;
}

int isa_named(const char *name)
{
	if (!strcmp(name, "auto"))
		return isa_best();
	for (int i = 0; i <= ISA_AVX512; i++)
		if (!strcmp(name, names[i]))
			return available(i) ? i : -1;
	return -1;
}

const char *isa_name(int isa) { return isa >= 0 && isa <= ISA_AVX512 ? names[isa] : "none"; }
