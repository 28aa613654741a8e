/* SPDX-License-Identifier: MIT
 *
 * cpu.h: inside of the cpu backend. cpu.c is the table; naive*.c are the reference
 * kernels, one op at a time, obviously right; loop.c runs REPEAT; fuse.c groups ops into fast kernels
 * (gemm.c, strip.c ...), each held to its naive twin by the tests; pool.c are the threads.
 */
#ifndef CPU_H
#define CPU_H

#include <stdbool.h>

#include "rein/backend.h"

#define ISA_PLAIN  0
#define ISA_AVX2   1
#define ISA_AVX512 2

struct pool;

struct cpu {             /* the component's struct (self) */
	int64_t threads_key; /* key `threads`, 0: all */
	int32_t isa_key;     /* key `isa`: auto, plain, avx2, avx512 */
	const struct rein_host *host;
	struct pool *pool;
	int threads, isa;
	uint32_t flags;       /* REIN_NAIVE, REIN_GUARD */
	unsigned char *arena; /* one arena for all executables, as large as the largest */
	int64_t arena_bytes;
};

/* One step of an executable. run must not allocate. */
struct kernel {
	rein_status (*run)(struct rein_exec *, struct kernel *);
	void (*destroy)(struct kernel *); /* frees data; may be NULL */
	void *data;
	int32_t first;  /* first instruction of the group, for messages */
	double seconds; /* with REIN_TIMED: shortest run, 0 before the first */
	char explain[120];
};

struct rein_exec {
	struct cpu *cpu;
	const struct rein_program *program;
	const struct rein_plan *plan;
	int n_kernel;
	struct kernel *kernel;
	void **constant;       /* per value: memory of constants, else NULL */
	void **mem;            /* per value: where it lives now (resolved when the arena moves), or NULL */
	unsigned char *base;   /* arena the mem[] were resolved for; loop bodies: the outer workspace */
	unsigned char *staged; /* commits whose source another commit overwrites go through here */
	int64_t *staged_at;    /* per commit: offset in staged, -1: straight */
	uint64_t held;         /* bytes of constants and staged */
	uint64_t runs;
	double seconds;               /* with REIN_TIMED: of all runs */
	struct blocks *blocks;        /* nhwc.h: what runs with channels last */
	uint8_t *lanes;               /* fuse.h: what has images side by side */
	unsigned char *shadow, *mine; /* REIN_GUARD: the arena before a kernel, bytes it may write */
};

/* cpu.c: executables, for loops that hold one. Resolving sets mem[] for an arena; inputs of a
 * loop body must have been set before. A run executes the kernels, then the commits. */
rein_status exec_create(struct cpu *, const struct rein_program *, const struct rein_plan *, struct rein_exec **out);
void exec_destroy(struct rein_exec *); /* accepts NULL */
void exec_resolve(struct rein_exec *, unsigned char *base);
rein_status exec_run(struct rein_exec *);

/* naive.c: any single op. */
rein_status naive_compile(struct rein_exec *, int32_t instr, struct kernel *out);
int64_t naive_workspace(const struct rein_program *, int32_t instr);
bool naive_supports(const struct rein_program *, const struct rein_prog_instr *);
/* Reads element i of its operands, then writes element i. */
bool naive_in_place(const struct rein_program *, int32_t instr);

/* fuse.c: groups for the fast kernels; leaves what it does not know one op a kernel. */
rein_status fuse_schedule(struct cpu *, const struct rein_program *, struct rein_plan *);
/* 1: made, 0: not a group it knows (naive_compile then), < 0 error. `instr`: the group's n
 * instructions in recorded order. */
int fuse_compile(struct rein_exec *, int32_t n, const int32_t *instr, struct kernel *out);

/* isa.c: an instruction set by name ("auto": the best here), -1 if this machine or build lacks it. */
int isa_named(const char *name);
const char *isa_name(int isa);

/* pool.c: f(ctx, i) for i in 0..n-1; the split into n never depends on the thread count. */
struct pool *pool_create(int threads);
void pool_destroy(struct pool *);
void pool_run(struct pool *, int n, void (*f)(void *ctx, int i), void *ctx);

/* philox.c: four words for a counter and a key. */
void cpu_philox(const uint32_t counter[4], uint64_t key, uint32_t out[4]);
/* Box-Muller on two words: u in (0,1], v in [0,1); even elements the cosine, odd the sine. */
double cpu_normal(uint32_t w0, uint32_t w1, bool sine);

#endif
