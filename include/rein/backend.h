/* SPDX-License-Identifier: MIT
 *
 * backend.h: what runs programs. A program is a list of ops over values of fixed
 * shape, each value made once (SSA); states are read as they were when the program
 * starts, and written by commits when it ends. The core and the backend turn it
 * into something runnable in three steps:
 *   1. schedule: the backend groups ops into kernels, orders them, and says which
 *      values need memory (fused ones need none);
 *   2. the core lays out one arena from the lifetimes that follow;
 *   3. compile: the backend makes an executable; from then on only run().
 * A compiled program must be able to become one CUDA graph: run() takes no
 * arguments but states, and nothing returns to the host inside.
 */
#ifndef REIN_BACKEND_H
#define REIN_BACKEND_H

#include "host.h"
#include "kernel.h"

/* One value. Bytes per element: rein_program.real_size for REIN_REAL_T, 8 WIDE,
 * 4 I32, 1 U8 and BOOL. Layout is row-major and contiguous. */
struct rein_prog_value {
	uint32_t dtype, rank;
	int64_t dim[REIN_MAX_RANK];
	int64_t count;   /* product of dim */
	int32_t instr;   /* what makes it */
	uint32_t result; /* as its result number ... */
	uint32_t uses;   /* operand places that read it, commits and outputs included; 0: not needed */
	uint32_t reserved;
};

/* One op applied. in[] and out[] are value numbers. An output with uses == 0 need not
 * be computed. */
struct rein_prog_instr {
	uint32_t op, n_in, n_out, origin; /* origin: index into rein_program.origin */
	const int32_t *in, *out;
	struct rein_attr attr; /* attr.data: see below */
	int32_t state;         /* READ: state number; else -1 */
	uint32_t reserved;
	const void *ext;
	/* CONST: attr.data NULL (fill with par[0]) or `count` elements of the program's dtype.
	 * RANDOM: in = { id: i32 (N) sample numbers | i32 scalar step (PER_STEP), epoch, loop
	 *   index: i32 scalars }; attr.mode dist, attr.flags key kind, attr.data: uint64_t key.
	 *   Philox4x32-10 with that key and counter (element/4 within the sample, or within the
	 *   tensor; id; epoch; loop index), word element%4. For REIN_NORMAL words 0,1 and 2,3 make
	 *   pairs by Box-Muller: u = ((w0>>8)+1)*2^-24, v = (w1>>8)*2^-24,
	 *   sqrt(-2 ln u) * { cos, sin }(2 pi v). Uniform: (w>>8)*2^-24.
	 * MAP: attr.data: const struct rein_map *. CUSTOM: ext: const struct rein_custom *.
	 * REPEAT: ext: const struct rein_loop *, body: the loop's program. A round runs while any
	 *   carried `active` is true; the body's outputs are the next carried values as they are
	 *   (REIN_FREEZE and `active` falling are recorded in the body). */
	const struct rein_program *body;
};

/* At the end of the program, state := value. */
struct rein_prog_commit {
	int32_t state, value;
};

struct rein_prog_state {
	uint32_t dtype, rank;
	int64_t dim[REIN_MAX_RANK];
	int64_t count;
	const char *name;
	void *mem; /* from the backend's alloc(), fixed for the life of the executable */
};

struct rein_program {
	uint32_t struct_size, real_size; /* real_size: 4 or 8 */
	uint32_t n_value, n_instr, n_commit, n_state, n_input, n_output, n_origin, reserved;
	const struct rein_prog_value *value;
	const struct rein_prog_instr *instr; /* in recorded order: operands before users */
	const struct rein_prog_commit *commit;
	const struct rein_prog_state *state; /* those of the program, and of its loops' bodies */
	const int32_t *input;                /* loop bodies: value numbers of round, carried, captured */
	const int32_t *output;               /* loop bodies: new carried values; else values that the
	                                      * core reads after run() (tests, inits) */
	const char *const *origin;           /* where ops came from, for messages: "[network] fc1" */
	const char *name;                    /* "train", "evaluate" ... */
};

/* Where a value lives. */
#define REIN_HOME_ARENA 0u /* in the arena, at offset */
#define REIN_HOME_NONE  1u /* nowhere: inside one kernel, or computed where it is used */
#define REIN_HOME_ALIAS 2u /* the memory of value `base` plus base_offset (reshape, narrow) */
#define REIN_HOME_STATE 3u /* in the memory of state `base` (READ; commits placed by the core) */
#define REIN_HOME_CONST 4u /* in the executable (constants); the backend's business */

/* Filled by schedule(), completed by the core. Arrays are the core's, preset to: kernel
 * number = instruction number, order as recorded, every value in the arena, READ as state. */
struct rein_plan {
	uint32_t struct_size, n_kernel;
	int32_t *kernel;         /* per instr: which kernel runs it, in order of execution; -1: none
	                          * (constants, reads, views) */
	uint32_t *home;          /* per value: REIN_HOME_* */
	int32_t *base;           /* per value: see REIN_HOME_ALIAS, STATE */
	int64_t *base_offset;    /* per value, bytes */
	uint8_t *in_place;       /* per value: 1 if its kernel reads element i of each operand of the same
	                          * count before it writes element i, and reads such operands in no other
	                          * way: it may then share memory with one that ends there */
	int64_t *workspace;      /* per kernel: scratch bytes, valid during that kernel */
	int64_t *workspace_at;   /* per kernel: arena offset, by the core */
	int64_t *offset;         /* per value: arena offset (ARENA, or where an alias leads), by the core */
	uint8_t *copied;         /* per commit: 1: run() must copy value to state at the end (by the core),
	                          * as if all at once (two states may trade places); 0: it lives there */
	int64_t arena_bytes;     /* by the core */
	struct rein_plan **body; /* per instr: plan of its loop body or NULL, complete before the outer
	                          * schedule(); a body's arena must come out of the outer workspace */
};

struct rein_exec;

/* What a device is and has. */
struct rein_device {
	uint32_t struct_size, threads;
	uint64_t memory, memory_free;
	char name[128], detail[128]; /* "AMD EPYC", "avx512, 2 threads" */
	uint64_t memory_held;        /* what this backend has taken of it; 0: not counted */
};
/* What a program has cost since it was compiled. */
struct rein_profile {
	uint32_t struct_size;
	uint32_t nodes;      /* kernels, copies and fills of one run */
	uint64_t runs;       /* how often it ran */
	uint64_t launches;   /* graphs handed to the device for that; 0: the host computes */
	uint64_t bytes;      /* of memory that it holds beside states and arena: constants, tables */
	double host_seconds; /* with REIN_TIMED: of run() on the host, less waiting for the device */
};
struct rein_backend_options {
	uint32_t struct_size, threads; /* 0: one per core that the process may use */
	int32_t device;                /* number, -1: the default one */
	uint32_t flags;                /* REIN_NAIVE, REIN_GUARD */
};
#define REIN_NAIVE 1u /* reference kernels only, one op a kernel */
#define REIN_GUARD 2u /* the core pads the arena; the backend may check harder */
#define REIN_TIMED 4u /* run() takes the time of every kernel, see seconds() */

/* What a convolution gives for one sample has the same bits in a batch of any size. */
#define REIN_CONV_ALONE 1u
struct rein_backend_vt {
	uint32_t struct_size, flags;
	/* [control] Is the device there? Fills *d; REIN_UNSUPPORTED with fail() saying why not. */
	rein_status (*probe)(void *self, const struct rein_host *, struct rein_device *d);
	/* [control] Before anything but probe; once. */
	rein_status (*open)(void *self, const struct rein_host *, const struct rein_backend_options *);
	/* [control] Device memory, zeroed, 64-byte aligned; NULL after fail(). free accepts NULL. */
	void *(*alloc)(void *self, const struct rein_host *, uint64_t bytes);
	void (*free)(void *self, void *);
	/* [control] Between host and device memory; both wait. */
	rein_status (*upload)(void *self, void *device, const void *host, uint64_t bytes);
	rein_status (*download)(void *self, void *host, const void *device, uint64_t bytes);
	/* [control] 1 if the op (coarse ones: else decomposed by the core) can be run on these shapes. */
	int32_t (*supports)(void *self, const struct rein_program *, const struct rein_prog_instr *);
	/* [control] Optional: step 1 above. May change anything in *plan that is not "by the core". */
	rein_status (*schedule)(void *self, const struct rein_host *, const struct rein_program *, struct rein_plan *plan);
	/* [control] program and plan live at least as long as *out. */
	rein_status (*compile)(void *self, const struct rein_host *, const struct rein_program *,
	                       const struct rein_plan *plan, struct rein_exec **out);
	void (*destroy_exec)(void *self, struct rein_exec *); /* accepts NULL */
	/* [compute] Runs `times` times and waits. */
	rein_status (*run)(void *self, const struct rein_host *, struct rein_exec *, uint32_t times);
	/* [control] After run(): memory of output i (row-major, on the device), or NULL. */
	void *(*output)(void *self, struct rein_exec *, uint32_t i);
	/* [control] One line per kernel into buf, for `rein summary --program`: what was fused. */
	void (*explain)(void *self, struct rein_exec *, uint32_t kernel, char *buf, uint64_t size);
	/* [control] Optional: with REIN_TIMED, the shortest that a kernel took in any run(); 0: unknown. */
	double (*seconds)(void *self, struct rein_exec *, uint32_t kernel);
	/* [control] Optional, all four or none: memory of the host that the device copies from quickly
	 * (NULL after fail(); free accepts NULL), and a copy from it that goes on while run() works on
	 * other memory. There is one at a time: what was begun has arrived, and both sides may be used
	 * again, when upload_end() returns. Nothing begun: it does nothing. */
	void *(*host_alloc)(void *self, const struct rein_host *, uint64_t bytes);
	void (*host_free)(void *self, void *);
	rein_status (*upload_begin)(void *self, void *device, const void *host, uint64_t bytes);
	rein_status (*upload_end)(void *self);
	/* [control] Optional: fills *p. */
	void (*profile)(void *self, struct rein_exec *, struct rein_profile *p);
};

#endif
