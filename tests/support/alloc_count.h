/* SPDX-License-Identifier: MIT
 *
 * alloc_count.h: counts every call of an allocation function in this process, plugins and
 * threads included, while alloc_counting is set. For one source file of a test program. Under
 * a sanitizer, which brings its own functions, ALLOC_SANITIZED is defined and nothing counts.
 */
#ifndef TESTS_ALLOC_COUNT_H
#define TESTS_ALLOC_COUNT_H

#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "rein/plugin.h"

static _Atomic int alloc_counting, alloc_counted;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ALLOC_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define ALLOC_SANITIZED 1
#endif
#endif

#ifndef ALLOC_SANITIZED
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void __libc_free(void *);

static void alloc_seen(void)
{
	if (alloc_counting)
		alloc_counted++;
}
REIN_EXPORT void *malloc(size_t n) { return alloc_seen(), __libc_malloc(n); }
REIN_EXPORT void *calloc(size_t n, size_t m) { return alloc_seen(), __libc_calloc(n, m); }
REIN_EXPORT void *realloc(void *p, size_t n) { return alloc_seen(), __libc_realloc(p, n); }
REIN_EXPORT void *memalign(size_t a, size_t n) { return alloc_seen(), __libc_memalign(a, n); }
REIN_EXPORT void *aligned_alloc(size_t a, size_t n) { return alloc_seen(), __libc_memalign(a, n); }
REIN_EXPORT int posix_memalign(void **p, size_t a, size_t n)
{
	alloc_seen();
	*p = __libc_memalign(a, n);
	return *p ? 0 : ENOMEM;
}
REIN_EXPORT void free(void *p)
{
	if (p)
		alloc_seen();
	__libc_free(p);
}
#endif

#endif
