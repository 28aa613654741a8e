/* SPDX-License-Identifier: MIT
 *
 * memory.cpp: emulated device memory: one region of the address space that the host may
 * touch only between memory_open() and memory_close(), that is inside of kernels and
 * copies: a host that follows a device pointer crashes here as it would with a GPU. Every
 * allocation lies between guard bands with a pattern; under AddressSanitizer these are
 * poisoned as well, so that a kernel is caught in the act.
 */
#include <map>
#include <mutex>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "machine.h"

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)   ((void)0)
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)0)
#endif

#define REGION ((size_t)4 << 30)
#define HUGE   ((size_t)2 << 20)
#define BAND   256
#define ROUND(n) (((n) + 255) & ~(size_t)255)
#define PATTERN 0xA5

static struct {
	std::recursive_mutex lock;
	unsigned char *base;
	size_t top;  /* touched so far */
	size_t used; /* bytes of allocations */
	int open;
	bool dirty; /* something ran since the bands were looked at */
	std::map<unsigned char *, size_t> live; /* start of data -> bytes */
} region;

static size_t limit(void)
{
	const char *s = getenv("EMULATION_MEMORY");
	size_t n = s ? strtoull(s, NULL, 0) : (size_t)1 << 30;
	return n < REGION / 2 ? n : REGION / 2;
}

static void start(void)
{
	if (region.base)
		return;
	void *p = mmap(NULL, REGION + HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		emulation_abort("the address space has no room for the device memory");
	/* large pages are opened and closed faster */
	region.base = (unsigned char *)(((uintptr_t)p + HUGE - 1) & ~(uintptr_t)(HUGE - 1));
	madvise(region.base, REGION, MADV_HUGEPAGE);
}

static size_t pages(size_t n)
{
	return (n + HUGE - 1) / HUGE * HUGE;
}
static void protect(int how)
{
	if (region.top && mprotect(region.base, pages(region.top), how))
		emulation_abort("the device memory could not be %s", how == PROT_NONE ? "closed" : "opened");
}

void memory_open(void)
{
	std::lock_guard<std::recursive_mutex> hold(region.lock);
	region.dirty = true;
	if (region.open++ == 0)
		protect(PROT_READ | PROT_WRITE);
}
void memory_close(void)
{
	std::lock_guard<std::recursive_mutex> hold(region.lock);
	if (--region.open == 0)
		protect(PROT_NONE);
}

static void band(unsigned char *at)
{
	ASAN_UNPOISON_MEMORY_REGION(at, BAND); /* neighbours share one */
	memset(at, PATTERN, BAND);
	ASAN_POISON_MEMORY_REGION(at, BAND);
}

/* First gap between allocations: they are few. */
static unsigned char *gap(size_t need)
{
	unsigned char *at = region.base + BAND;
	for (auto &a : region.live) {
		if (a.first - at >= (ptrdiff_t)(need + BAND))
			return at;
		at = a.first + ROUND(a.second) + BAND;
	}
	return at;
}

void *memory_take(size_t bytes)
{
	std::lock_guard<std::recursive_mutex> hold(region.lock);
	size_t need = ROUND(bytes ? bytes : 1);
	start();
	if (need < bytes || need > limit() || region.used + need > limit())
		return NULL;
	unsigned char *at = gap(need);
	if (at + need + BAND > region.base + REGION)
		return NULL;
	size_t top = (size_t)(at + need + BAND - region.base);
	if (top > region.top)
		region.top = top;
	region.open = region.open > 0 ? region.open : 0;
	protect(PROT_READ | PROT_WRITE);
	ASAN_UNPOISON_MEMORY_REGION(at, need);
	memset(at, 0xFF, need); /* what is read before it is written is NaN */
	band(at - BAND);
	/* the band begins right behind the last byte asked for */
	memset(at + bytes, PATTERN, need - bytes);
	ASAN_POISON_MEMORY_REGION(at + bytes, need - bytes);
	band(at + need);
	region.live[at] = bytes;
	region.used += need;
	if (!region.open)
		protect(PROT_NONE);
	return at;
}

bool memory_give(void *p)
{
	std::lock_guard<std::recursive_mutex> hold(region.lock);
	auto at = region.live.find((unsigned char *)p);
	if (at == region.live.end())
		return false;
	memory_check("free");
	memory_open();
	region.dirty = false;
	ASAN_POISON_MEMORY_REGION(p, ROUND(at->second ? at->second : 1));
	memory_close();
	region.used -= ROUND(at->second ? at->second : 1);
	region.live.erase(at);
	return true;
}

bool memory_has(const void *p, size_t bytes)
{
	std::lock_guard<std::recursive_mutex> hold(region.lock);
	const unsigned char *b = (const unsigned char *)p;
	auto at = region.live.upper_bound((unsigned char *)(uintptr_t)b);
	if (at == region.live.begin())
		return false;
	--at;
	return b >= at->first && b + bytes <= at->first + at->second;
}

static bool intact(const unsigned char *p, size_t n)
{
	for (size_t k = 0; k < n; k++)
		if (p[k] != PATTERN)
			return false;
	return true;
}

__attribute__((no_sanitize_address)) void memory_check(const char *after)
{
	std::lock_guard<std::recursive_mutex> hold(region.lock);
	if (!region.dirty)
		return;
	memory_open();
#ifndef WITH_ASAN /* which has seen it already */
	for (auto &a : region.live) {
		size_t need = ROUND(a.second ? a.second : 1);
		if (!intact(a.first - BAND, BAND))
			emulation_abort("something was written in front of an allocation of %zu bytes (%s)", a.second, after);
		if (!intact(a.first + a.second, need - a.second + BAND))
			emulation_abort("something was written behind an allocation of %zu bytes (%s)", a.second, after);
	}
#else
	(void)after;
	(void)intact;
#endif
	memory_close();
	region.dirty = false;
}

size_t memory_used(void) { return region.used; }
