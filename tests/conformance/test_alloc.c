/* SPDX-License-Identifier: MIT
 *
 * A run allocates nothing: every allocation function of this process, plugins and threads
 * included, is counted while compiled programs run.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "../support/rig.h"

static _Atomic int counting, counted;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

#ifndef SANITIZED /* sanitizers bring their own */
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void __libc_free(void *);

static void count(void)
{
	if (counting)
		counted++;
}
REIN_EXPORT void *malloc(size_t n) { return count(), __libc_malloc(n); }
REIN_EXPORT void *calloc(size_t n, size_t m) { return count(), __libc_calloc(n, m); }
REIN_EXPORT void *realloc(void *p, size_t n) { return count(), __libc_realloc(p, n); }
REIN_EXPORT void *memalign(size_t a, size_t n) { return count(), __libc_memalign(a, n); }
REIN_EXPORT void *aligned_alloc(size_t a, size_t n) { return count(), __libc_memalign(a, n); }
REIN_EXPORT int posix_memalign(void **p, size_t a, size_t n)
{
	count();
	*p = __libc_memalign(a, n);
	return *p ? 0 : ENOMEM;
}
REIN_EXPORT void free(void *p)
{
	if (p)
		count();
	__libc_free(p);
}
#endif

static int allocations(uint32_t flags, uint32_t threads, uint64_t seed)
{
	struct rig *r = rig_create(flags, threads, 4);
	struct compiled *c = rig_random(r, seed, 40);
	counted = 0;
	counting = 1;
	rein_status s = compiled_run(c, 3);
	counting = 0;
	cr_assert_geq(s, 0);
	compiled_destroy(c);
	rig_destroy(r);
	return counted;
}

Test(alloc, the_count_counts)
{
#ifdef SANITIZED
	cr_skip_test("allocation functions are the sanitizer's");
#endif
	counted = 0;
	counting = 1;
	void *volatile p = malloc(10);
	free(p);
	counting = 0;
	cr_assert_eq(counted, 2);
	struct rig *r = rig_create(0, 1, 4);
	counting = 1; /* the plugin's calls come here too */
	void *mem = r->backend->component->vt.backend.alloc(r->backend->self, &r->backend->host, 100);
	counting = 0;
	cr_assert_gt(counted, 2);
	r->backend->component->vt.backend.free(r->backend->self, mem);
	rig_destroy(r);
}

Test(alloc, none_while_programs_run)
{
	for (uint64_t seed = 500; seed < 505; seed++) {
		cr_assert_eq(allocations(REIN_NAIVE, 1, seed), 0, "reference kernels, program %d", (int)seed);
		cr_assert_eq(allocations(0, 1, seed), 0, "one thread, program %d", (int)seed);
		cr_assert_eq(allocations(0, 2, seed), 0, "two threads, program %d", (int)seed);
	}
}
