/* SPDX-License-Identifier: MIT
 *
 * pool.c: the cpu backend's threads. pool_run() calls f(ctx, i) for i in 0..n-1 and waits.
 * Each thread owns a contiguous share of the indices (so that a layer's rows stay in one
 * core's cache from kernel to kernel) and helps the others when it is done. A worker waits
 * for the next job by spinning for about ten microseconds, then by giving its time slice
 * away, then asleep on a futex; a worker that wakes late finds its share already done and
 * delays nobody. What f computes for an index must not depend on which thread runs it.
 */
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cpu.h"
#include "fast.h"

#define SPIN_NS  20000
#define YIELD_NS 200000

/* One thread's share: generation << 32 | next index not yet taken. A taker that still has an
 * older generation in mind fails its compare-and-swap, so a job's fields can change as soon
 * as all its indices are done. */
struct share {
	_Alignas(64) _Atomic uint64_t next;
	_Atomic uint32_t end;
};

struct pool {
	int threads; /* with the caller's */
	pthread_t *thread;
	struct share *share;
	void (*_Atomic f)(void *ctx, int i);
	void *_Atomic ctx;
	_Alignas(64) _Atomic uint32_t generation;
	_Atomic uint32_t asleep;
	_Alignas(64) _Atomic uint32_t done;
	_Atomic uint32_t quit;
	_Atomic uint32_t born;
};

/* initial-exec: the block that a first access would otherwise allocate is made with the thread */
static _Thread_local int self_ __attribute__((tls_model("initial-exec")));

int pool_self(void) { return self_; }
int pool_threads(const struct pool *p) { return p ? p->threads : 1; }

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#endif
}

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Runs indices of share s while they belong to `generation`. */
static void drain(struct pool *p, struct share *s, uint32_t generation)
{
	for (;;) {
		uint64_t v = atomic_load_explicit(&s->next, memory_order_acquire);
		uint32_t i = (uint32_t)v;
		if ((uint32_t)(v >> 32) != generation || i >= atomic_load_explicit(&s->end, memory_order_relaxed))
			return;
		void (*f)(void *, int) = atomic_load_explicit(&p->f, memory_order_relaxed);
		void *ctx = atomic_load_explicit(&p->ctx, memory_order_relaxed);
		if (!atomic_compare_exchange_weak_explicit(&s->next, &v, v + 1, memory_order_acq_rel, memory_order_acquire))
			continue;
		f(ctx, (int)i);
		atomic_fetch_add_explicit(&p->done, 1, memory_order_release);
	}
}

static void work(struct pool *p, int self, uint32_t generation)
{
	for (int k = 0; k < p->threads; k++)
		drain(p, &p->share[(self + k) % p->threads], generation);
}

/* Until *word differs from old (returns 1) or the time is over (0): spins, then yields. */
static int wait_change(_Atomic uint32_t *word, uint32_t old)
{
	int64_t start = 0;
	for (int round = 0;; round++) {
		for (int i = 0; i < 64; i++) {
			if (atomic_load_explicit(word, memory_order_acquire) != old)
				return 1;
			relax();
		}
		int64_t t = now_ns();
		if (!round)
			start = t;
		if (t - start > SPIN_NS)
			sched_yield();
		if (t - start > SPIN_NS + YIELD_NS)
			return 0;
	}
}

static void *worker(void *arg)
{
	struct pool *p = arg;
	uint32_t seen = 0;
	self_ = 1 + (int)atomic_fetch_add(&p->born, 1);
	for (;;) {
		if (!wait_change(&p->generation, seen)) {
			atomic_fetch_add(&p->asleep, 1);
			while (atomic_load(&p->generation) == seen)
				syscall(SYS_futex, &p->generation, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
			atomic_fetch_sub(&p->asleep, 1);
		}
		seen = atomic_load_explicit(&p->generation, memory_order_acquire);
		if (atomic_load(&p->quit))
			return NULL;
		work(p, self_, seen);
	}
}

static void announce(struct pool *p, uint32_t generation)
{
	atomic_store(&p->generation, generation);
	if (atomic_load(&p->asleep))
		syscall(SYS_futex, &p->generation, FUTEX_WAKE_PRIVATE, p->threads, NULL, NULL, 0);
}

void pool_run(struct pool *p, int n, void (*f)(void *ctx, int i), void *ctx)
{
	if (!p || p->threads == 1 || n <= 1) {
		for (int i = 0; i < n; i++)
			f(ctx, i);
		return;
	}
	uint32_t generation = atomic_load_explicit(&p->generation, memory_order_relaxed) + 1;
	atomic_store_explicit(&p->f, f, memory_order_relaxed);
	atomic_store_explicit(&p->ctx, ctx, memory_order_relaxed);
	atomic_store_explicit(&p->done, 0, memory_order_relaxed);
	for (int t = 0; t < p->threads; t++) {
		uint64_t first = (uint64_t)n * (uint64_t)t / (uint64_t)p->threads;
		uint64_t end = (uint64_t)n * (uint64_t)(t + 1) / (uint64_t)p->threads;
		/* no one takes while end is 0: old and new generation both see an empty share */
		atomic_store_explicit(&p->share[t].end, 0, memory_order_release);
		atomic_store_explicit(&p->share[t].next, (uint64_t)generation << 32 | first, memory_order_release);
		atomic_store_explicit(&p->share[t].end, (uint32_t)end, memory_order_release);
	}
	announce(p, generation);
	work(p, 0, generation);
	for (uint32_t d; (d = atomic_load_explicit(&p->done, memory_order_acquire)) != (uint32_t)n;)
		wait_change(&p->done, d);
}

struct pool *pool_create(int threads)
{
	struct pool *p = NULL;
	if (threads < 1)
		threads = 1;
	if (posix_memalign((void **)&p, 64, sizeof *p))
		return NULL;
	*p = (struct pool){ .threads = 1 };
	p->thread = calloc((size_t)threads, sizeof *p->thread);
	if (!p->thread || posix_memalign((void **)&p->share, 64, (size_t)threads * sizeof *p->share)) {
		p->share = NULL;
		pool_destroy(p);
		return NULL;
	}
	for (int t = 0; t < threads; t++)
		p->share[t] = (struct share){ .next = 0, .end = 0 };
	/* workers read `threads` only after the first job is announced */
	int made = 1;
	while (made < threads && !pthread_create(&p->thread[made], NULL, worker, p))
		made++;
	p->threads = made;
	return p;
}

void pool_destroy(struct pool *p)
{
	if (!p)
		return;
	if (p->share) {
		atomic_store(&p->quit, 1);
		announce(p, atomic_load(&p->generation) + 1);
		for (int t = 1; t < p->threads; t++)
			pthread_join(p->thread[t], NULL);
	}
	free(p->share);
	free(p->thread);
	free(p);
}
