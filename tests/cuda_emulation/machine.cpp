/* SPDX-License-Identifier: MIT
 *
 * machine.cpp: the emulated GPU. A block's threads are fibers of one thread of the host: a
 * fiber runs kernel threads one after the other until one of them has to wait at a barrier
 * or in a warp exchange; then another fiber goes on. So a kernel without barriers costs a
 * loop, and one with them runs as on a GPU, deadlocks included, which are reported.
 * EMULATION_ORDER=reverse starts threads and blocks from the last: results must not differ.
 */
#include <map>
#include <mutex>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <vector>

#include "machine.h"

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef WITH_ASAN
#include <sanitizer/common_interface_defs.h>
#define STACK ((size_t)256 << 10)
#else
#define STACK ((size_t)64 << 10)
#endif

thread_local uint3 threadIdx, blockIdx;
thread_local dim3 blockDim, gridDim;

void emulation_abort(const char *format, ...)
{
	va_list ap;
	fputs("cuda emulation: ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	abort();
}

/* --- switching stacks -------------------------------------------------------------------- */
#if defined(__x86_64__)
/* Saves the callee-saved registers on the old stack, takes those of the new one. */
extern "C" void emulation_switch(void **save, void *load);
asm(".text\n"
	".globl emulation_switch\n"
	".hidden emulation_switch\n"
	".type emulation_switch,@function\n"
	"emulation_switch:\n"
	"	push %rbp\n	push %rbx\n	push %r12\n	push %r13\n	push %r14\n	push %r15\n"
	"	mov %rsp, (%rdi)\n"
	"	mov %rsi, %rsp\n"
	"	pop %r15\n	pop %r14\n	pop %r13\n	pop %r12\n	pop %rbx\n	pop %rbp\n"
	"	ret\n"
	".size emulation_switch,.-emulation_switch\n");
struct context {
	void *sp;
};
static void context_make(struct context *c, void *stack, void (*entry)(void))
{
	void **top = (void **)((char *)stack + STACK);
	*--top = NULL;            /* alignment, and a return address that ends a backtrace */
	*--top = (void *)entry;   /* where `ret` goes */
	for (int i = 0; i < 6; i++)
		*--top = NULL;
	c->sp = top;
}
static void context_switch(struct context *from, struct context *to) { emulation_switch(&from->sp, to->sp); }
#else
#include <ucontext.h>
struct context {
	ucontext_t u;
};
static void context_make(struct context *c, void *stack, void (*entry)(void))
{
	getcontext(&c->u);
	c->u.uc_stack.ss_sp = stack;
	c->u.uc_stack.ss_size = STACK;
	c->u.uc_link = NULL;
	makecontext(&c->u, entry, 0);
}
static void context_switch(struct context *from, struct context *to) { swapcontext(&from->u, &to->u); }
#endif

/* --- a block ---------------------------------------------------------------------------- */
enum { IDLE, RUNNING, AT_BARRIER, IN_WARP };

struct fiber {
	struct context at;
	void *stack, *fake;
	int state;
	unsigned thread; /* number in the block */
	uint64_t barrier; /* AT_BARRIER: the generation it waits for */
	int slot;         /* IN_WARP: which exchange */
	uint64_t turn;
};

/* Exchanges of a warp, apart for each mask in use. */
#define MASKS 8
struct exchange {
	unsigned mask;
	uint64_t turn[32];
	unsigned char value[2][32][EMULATION_LANE];
};
struct warp {
	int n;
	struct exchange of[MASKS];
};

typedef void call_fn(const void *fn, void **args);

struct block { /* one per thread of the host */
	const void *fn;
	call_fn *call;
	void **args;
	unsigned n, next, alive, waiting; /* threads: all, started, not ended, at the barrier */
	uint64_t generation;
	int count[2]; /* __syncthreads_count, by parity of the generation */
	int result[2];
	bool reverse;
	std::vector<struct fiber *> fiber;
	std::vector<struct warp> warp;
	std::vector<unsigned char> shared;
	struct fiber *now;
	struct context host;
	void *host_fake;
	const void *host_stack;
	size_t host_stack_size;
	~block()
	{
		for (struct fiber *f : fiber) {
			munmap(f->stack, STACK);
			delete f;
		}
	}
};
static thread_local struct block *block_now;
/* not inlined: after a switch the address of a thread's variable must be asked for again */
static __attribute__((noinline)) struct block *here(void) { return block_now; }

static void to_host(struct block *b, struct fiber *f)
{
#ifdef WITH_ASAN
	__sanitizer_start_switch_fiber(&f->fake, b->host_stack, b->host_stack_size);
#endif
	context_switch(&f->at, &b->host);
#ifdef WITH_ASAN
	__sanitizer_finish_switch_fiber(f->fake, &b->host_stack, &b->host_stack_size);
#endif
}

static void to_fiber(struct block *b, struct fiber *f)
{
	b->now = f;
#ifdef WITH_ASAN
	__sanitizer_start_switch_fiber(&b->host_fake, f->stack, STACK);
#endif
	context_switch(&b->host, &f->at);
#ifdef WITH_ASAN
	__sanitizer_finish_switch_fiber(b->host_fake, NULL, NULL);
#endif
}

static void set_thread(const struct block *b, unsigned t)
{
	unsigned at = b->reverse ? b->n - 1 - t : t;
	threadIdx = { at % blockDim.x, at / blockDim.x % blockDim.y, at / blockDim.x / blockDim.y };
}
static unsigned number(void) { return threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z); }

static void release(struct block *b)
{
	if (b->waiting == 0 || b->waiting < b->alive)
		return;
	b->result[b->generation & 1] = b->count[b->generation & 1];
	b->generation++;
	b->count[b->generation & 1] = 0;
	b->waiting = 0;
}

static void fiber_main(void)
{
	struct block *b = here();
	struct fiber *f = b->now;
#ifdef WITH_ASAN
	__sanitizer_finish_switch_fiber(NULL, &b->host_stack, &b->host_stack_size);
#endif
	for (;;) {
		while (b->next < b->n) {
			f->thread = b->next++;
			set_thread(b, f->thread);
			b->call(b->fn, b->args);
			b->alive--;
			release(b);
		}
		f->state = IDLE;
		to_host(b, f);
	}
}

static struct fiber *idle_fiber(struct block *b)
{
	for (struct fiber *f : b->fiber)
		if (f->state == IDLE)
			return f;
	struct fiber *f = new fiber();
	f->stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (f->stack == MAP_FAILED)
		emulation_abort("no memory for the stacks of %zu threads", b->fiber.size());
	context_make(&f->at, f->stack, fiber_main);
	b->fiber.push_back(f);
	return f;
}

static bool may_go(const struct block *b, const struct fiber *f)
{
	if (f->state == AT_BARRIER)
		return b->generation > f->barrier;
	if (f->state != IN_WARP)
		return false;
	unsigned at = b->reverse ? b->n - 1 - f->thread : f->thread;
	const struct exchange *x = &b->warp[at / 32].of[f->slot];
	for (int l = 0; l < 32; l++)
		if ((x->mask >> l & 1) && x->turn[l] < f->turn)
			return false;
	return true;
}

static void wait_for(struct block *b, int state)
{
	struct fiber *f = b->now;
	f->state = state;
	to_host(b, f);
	f->state = RUNNING;
	set_thread(b, f->thread);
}

static void run_block(struct block *b)
{
	b->next = 0, b->alive = b->n, b->waiting = 0, b->generation = 0, b->count[0] = 0;
	for (struct warp &w : b->warp)
		w.n = 0;
	if (!b->shared.empty())
		memset(b->shared.data(), 0xFF, b->shared.size());
	while (b->next < b->n) {
		struct fiber *f = idle_fiber(b);
		f->state = RUNNING;
		to_fiber(b, f);
	}
	while (b->alive) {
		bool went = false;
		for (size_t k = 0; k < b->fiber.size(); k++) {
			struct fiber *f = b->fiber[b->reverse ? b->fiber.size() - 1 - k : k];
			if (f->state == IDLE || !may_go(b, f))
				continue;
			went = true;
			to_fiber(b, f);
		}
		if (!went)
			emulation_abort("block %u,%u,%u: %u of %u threads wait at a barrier or in a warp operation that the others "
			                "never reach",
			                blockIdx.x, blockIdx.y, blockIdx.z, b->alive, b->n);
	}
}

/* --- what device code calls ------------------------------------------------------------------ */
void emulation_barrier(int predicate, int *count)
{
	struct block *b = here();
	uint64_t g = b->generation;
	b->count[g & 1] += predicate != 0;
	b->waiting++;
	release(b);
	if (b->generation == g) {
		b->now->barrier = g;
		wait_for(b, AT_BARRIER);
	}
	if (count)
		*count = b->result[g & 1];
}

int emulation_lane(void) { return (int)(number() & 31); }

const unsigned char *emulation_exchange(unsigned mask, const void *in, size_t size)
{
	struct block *b = here();
	unsigned me = number(), lane = me & 31;
	struct warp *w = &b->warp[me / 32];
	int s = 0;
	if (!(mask >> lane & 1))
		emulation_abort("thread %u calls a warp operation whose mask %08x leaves it out", me, mask);
	if (b->n - me / 32 * 32 < 32) /* lanes that do not exist */
		mask &= (1u << (b->n & 31)) - 1;
	while (s < w->n && w->of[s].mask != mask)
		s++;
	if (s == MASKS)
		emulation_abort("more than %d different masks in one warp", MASKS);
	if (s == w->n) {
		w->of[w->n++] = exchange();
		w->of[s].mask = mask;
	}
	struct exchange *x = &w->of[s];
	uint64_t turn = ++x->turn[lane];
	memcpy(x->value[turn & 1][lane], in, size);
	b->now->slot = s;
	b->now->turn = turn;
	b->now->state = IN_WARP;
	if (!may_go(b, b->now))
		wait_for(b, IN_WARP);
	b->now->state = RUNNING;
	return x->value[turn & 1][0];
}

void *emulation_shared(void) { return here()->shared.data(); }

/* --- a grid --------------------------------------------------------------------------------------- */
struct signature {
	call_fn *call;
	std::vector<size_t> size;
};
static std::mutex signature_lock;
static std::map<const void *, struct signature> &signatures(void)
{
	static std::map<const void *, struct signature> m;
	return m;
}
void emulation_signature(const void *fn, call_fn *call, unsigned n, const size_t *size)
{
	std::lock_guard<std::mutex> hold(signature_lock);
	signatures()[fn] = { call, std::vector<size_t>(size, size + n) };
}
static call_fn *call_of(const void *fn)
{
	std::lock_guard<std::mutex> hold(signature_lock);
	auto at = signatures().find(fn);
	return at == signatures().end() ? NULL : at->second.call;
}
const std::vector<size_t> *machine_parameters(const void *fn)
{
	std::lock_guard<std::mutex> hold(signature_lock);
	auto at = signatures().find(fn);
	return at == signatures().end() ? NULL : &at->second.size;
}

struct grid {
	const void *fn;
	call_fn *call;
	void **args;
	dim3 grid, block;
	size_t shared, n;
};

static void run_blocks(struct grid *g)
{
	static thread_local struct block b;
	const char *order = getenv("EMULATION_ORDER");
	block_now = &b;
	b.fn = g->fn, b.call = g->call, b.args = g->args;
	b.n = g->block.x * g->block.y * g->block.z;
	b.reverse = order && !strcmp(order, "reverse");
	b.warp.resize((b.n + 31) / 32);
	b.shared.resize(g->shared);
	blockDim = g->block;
	gridDim = g->grid;
	for (size_t at = 0; at < g->n; at++) {
		size_t k = b.reverse ? g->n - 1 - at : at;
		blockIdx = { (unsigned)(k % g->grid.x), (unsigned)(k / g->grid.x % g->grid.y),
			         (unsigned)(k / g->grid.x / g->grid.y) };
		run_block(&b);
	}
}

void machine_run(const void *fn, dim3 grid, dim3 block, void **args, size_t shared)
{
	struct grid g = { fn, call_of(fn), args, grid, block, shared, (size_t)grid.x * grid.y * grid.z };
	run_blocks(&g);
}
