/* SPDX-License-Identifier: MIT
 *
 * cuda.h: inside of the cuda backend. All of it is .cu files that nvcc compiles for a GPU
 * and that tests/cuda_emulation compiles for the host, from the same text:
 *   cuda.cu      the table: probe, open, memory
 *   schedule.cu  which ops go into one kernel
 *   compile.cu   an executable: a list of launches, captured into one CUDA graph
 *   order.cu     their order, and which of them are one
 *   loop.cu      REPEAT: a conditional node of the graph, or replays by the host
 *   time.cu      what a program costs: launches, and with REIN_TIMED how long kernels take
 *   library.cu   cuBLAS and NVRTC, opened when they are first needed
 *   chain*.cu    chains of elementwise ops: NVRTC text, or one interpreting kernel
 *   <family>.cu  kernels of one family, with a header of the same name if others use it
 *
 * A kernel family is a table (struct cuda_family) listed in families.cu. Its emit() is
 * called when a program is compiled and appends launches to the executable; nothing of a
 * family runs on the host after that. The steps to add an op:
 *   1. supports(): true for the op (float32 programs only come here);
 *   2. workspace(): scratch bytes, valid while its kernel runs;
 *   3. emit(): cuda_launch(b, kernel, grid, block, shared, arguments...), also several of
 *      them, cuda_copy, cuda_fill, cuda_blas calls through cuda_call.
 * To run several ops in one kernel, match() claims them while scheduling; emit() then gets
 * all of them.
 *
 * Rules for device code, so that both builds agree:
 *   - no <<< >>>: cuda_launch; dynamic shared memory through CUDA_SHARED(type, name);
 *   - warp operations are the *_sync ones, every lane of the mask takes part; a thread that
 *     leaves a kernel early takes part in nothing any more;
 *   - compiled with -fmad=false: where a fused multiply-add is wanted, write fmaf();
 *   - no libstdc++, no static objects with constructors, no exceptions;
 *   - the order of every floating-point sum is fixed by shapes: no float atomics.
 */
#ifndef CUDA_H
#define CUDA_H

#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <nvrtc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

extern "C" {
#include "rein/backend.h"
}

/* The emulation keeps the parameter types of each kernel, the CUDA runtime has its own way. */
#ifndef CUDA_SIGNATURE
#define CUDA_SIGNATURE(kernel) ((void)0)
#endif
/* Dynamic shared memory as an array; one per kernel. */
#ifndef CUDA_SHARED
#define CUDA_SHARED(type, name)                                      \
	extern __shared__ __align__(16) unsigned char cuda_shared_mem[]; \
	type *name = reinterpret_cast<type *>(cuda_shared_mem)
#endif
/* A static thread count that most kernels use. */
#define CUDA_BLOCK 256

/* Loops in loops. */
#define CUDA_MAX_DEPTH 8

struct cuda_library;
struct cuda_allocation {
	void *at;
	uint64_t bytes;
};

struct cuda {           /* the component's struct (self) */
	int64_t device_key; /* key `device` */
	int32_t math_key;   /* key `math`: fp32, tf32, bf16 */
	int32_t loops_key;  /* key `loops`: auto, device, host */
	int32_t fuse_key;   /* key `fuse`: auto, nvrtc, interpreter, none */
	const struct rein_host *host;
	int device;           /* in use; -1: not opened */
	int sm, n_sm;         /* compute capability x10, number of multiprocessors */
	uint32_t flags;       /* REIN_NAIVE, REIN_GUARD */
	bool conditional;     /* graphs may have loops of their own */
	cudaStream_t stream;  /* everything runs on it ... */
	cudaStream_t copier;  /* ... but copies of data beside it; made with the first */
	unsigned char *arena; /* one for all executables, as large as the largest */
	int64_t arena_bytes;
	uint64_t planned; /* bytes asked for and held: states, arena, constants */
	struct cuda_allocation *held;
	int n_held, cap_held;
	struct cuda_library *library;
	cudaStream_t inner[CUDA_MAX_DEPTH]; /* to capture the bodies of loops */
	uint64_t launches;                  /* graphs launched so far */
};

/* --- executables ------------------------------------------------------------------------- */
enum { CUDA_LAUNCH, CUDA_COPY, CUDA_FILL, CUDA_CALL, CUDA_LOOP, CUDA_PIECE };
#define CUDA_MAX_ARGS 12
/* values of the key `fuse` */
enum { CUDA_FUSE_AUTO, CUDA_FUSE_NVRTC, CUDA_FUSE_INTERPRETER, CUDA_FUSE_NONE };
typedef rein_status cuda_call_fn(struct cuda *, void *data, cudaStream_t);

/* Launches that do the same to different memory can be one. What would be a launch of its own is
 * handed over as a piece, in the family's own words; order.cu decides which pieces go together,
 * none of which depends on another, and lets emit() append the launch. */
#define CUDA_MERGE 32
struct cuda_merge {
	const char *name;
	int32_t most; /* pieces of a launch, up to CUDA_MERGE */
	rein_status (*emit)(struct cuda_build *, int n, void *const *piece);
};

/* One thing to put on the stream. */
struct cuda_item {
	uint32_t kind;
	int32_t kernel;   /* of the plan, for messages */
	const void *fn;   /* LAUNCH */
	const char *name; /* of the kernel, for explain and messages */
	dim3 grid, block;
	size_t shared;
	void *arg[CUDA_MAX_ARGS];       /* LAUNCH: into data */
	void *data;                     /* host memory of the item: arguments; CALL, LOOP, PIECE: its data, freed with it */
	const struct cuda_merge *merge; /* PIECE */
	void *to;                       /* COPY, FILL */
	const void *from;
	int value; /* FILL: byte */
	size_t bytes;
	cuda_call_fn *call;
};

/* A compiled program: what to put on the stream, for an arena at `base`. */
struct cuda_loop;
struct cuda_timing;
struct cuda_segment {      /* executor without loops on the device: graphs with loops between them */
	cudaGraphExec_t graph; /* or */
	struct cuda_loop *loop;
};
struct rein_exec {
	struct cuda *cuda;
	const struct rein_host *host;
	const struct rein_program *program;
	const struct rein_plan *plan;
	void **mem;             /* per value: device address or NULL */
	void **constant;        /* per value: device memory of constants, or NULL */
	unsigned char *base;    /* arena that mem[] and items were made for */
	unsigned char *staged;  /* commits whose source another commit overwrites go through here */
	int64_t *staged_at;     /* per commit: offset in staged, -1: straight */
	int32_t *first, *instr; /* instructions of kernel k, in recorded order: instr[first[k] .. first[k + 1]) */
	int32_t *launch;        /* per kernel: the one whose launch it shares, or itself */
	struct cuda_item *item;
	int n_item, cap_item;
	void **table; /* chunks of device memory that items' tables lie in */
	int n_table, cap_table;
	unsigned char *chunk; /* the one being filled */
	size_t chunk_used, chunk_size;
	unsigned char *constants; /* what constant[] points into */
	struct cuda_segment *segment;
	int n_segment, n_launch;      /* n_launch: nodes of the graphs, those that take the time aside */
	uint64_t runs, launches;      /* so far */
	struct cuda_timing *timing;   /* NULL without REIN_TIMED */
	int depth;                    /* 0; loop bodies: how deep */
	unsigned char *shadow, *mine; /* REIN_GUARD: the arena before a kernel and after it, on the host */
};

/* compile.cu */
rein_status cuda_exec_create(struct cuda *, const struct rein_program *, const struct rein_plan *, int depth,
                             struct rein_exec **out);
void cuda_exec_destroy(struct rein_exec *); /* accepts NULL */
/* Makes the items for an arena at base; a body's inputs must be in mem[] before. */
rein_status cuda_exec_emit(struct rein_exec *, unsigned char *base);
/* Puts the items on a stream, which may be being captured. */
rein_status cuda_exec_issue(struct rein_exec *, cudaStream_t);
/* Captures into graphs what run() replays. */
rein_status cuda_exec_capture(struct rein_exec *);
rein_status cuda_exec_replay(struct rein_exec *);
rein_status cuda_exec_wait(struct rein_exec *); /* cuda.cu: until the stream is done */
/* time.cu, for programs, not for bodies of loops */
rein_status cuda_time_begin(struct rein_exec *);                        /* before capturing; sets timing */
rein_status cuda_time_mark(struct rein_exec *, int item, cudaStream_t); /* captured: item begins, the one before ends */
rein_status cuda_time_run(struct rein_exec *);                          /* replays once and waits */
double cuda_time_of(const struct rein_exec *, uint32_t kernel);
void cuda_time_end(struct rein_exec *);
void cuda_profile(const struct rein_exec *, struct rein_profile *);
/* loop.cu */
int64_t cuda_loop_workspace(const struct rein_program *, const struct rein_prog_instr *, const struct rein_plan *body);
rein_status cuda_loop_emit(struct cuda_build *, int32_t instr);
void cuda_loop_destroy(struct cuda_loop *);
rein_status cuda_loop_issue(struct cuda_loop *, cudaStream_t); /* being captured; a node of the graph */
rein_status cuda_loop_begin(struct cuda_loop *, cudaStream_t); /* what comes before the first round */
rein_status cuda_loop_capture(struct cuda_loop *);             /* the body, to be replayed */
rein_status cuda_loop_replay(struct cuda_loop *);              /* by the host, round by round */
struct rein_exec *cuda_loop_body(struct cuda_loop *);
/* schedule.cu */
rein_status cuda_schedule(struct cuda *, const struct rein_host *, const struct rein_program *, struct rein_plan *);
bool cuda_supports(const struct rein_program *, const struct rein_prog_instr *);

/* What emit() sees. */
struct cuda_build {
	struct cuda *cuda;
	const struct rein_host *host;
	const struct rein_program *p;
	const struct rein_plan *plan;
	struct rein_exec *e;
	int32_t kernel;   /* plan kernel at hand */
	void *const *mem; /* per value: device address, NULL where a value has none */
	void *work;       /* workspace of this kernel, on the device */
};

/* A family of kernels. Instructions come as numbers into program.instr, in recorded order. */
struct cuda_family {
	const char *name;
	/* One op alone. */
	bool (*supports)(const struct rein_program *, const struct rein_prog_instr *);
	/* Optional. Scratch bytes for a group as match() made it, or one op. */
	int64_t (*workspace)(const struct cuda *, const struct rein_program *, int32_t n, const int32_t *instr);
	/* Appends what computes the group. */
	rein_status (*emit)(struct cuda_build *, int32_t n, const int32_t *instr);
	/* Optional: called once per program before chains are made; may join instructions into
	 * one kernel with cuda_join(). Not called with REIN_NAIVE. */
	rein_status (*match)(struct cuda *, const struct rein_program *, struct rein_plan *);
	/* Optional: the same after chains were made. */
	rein_status (*match_late)(struct cuda *, const struct rein_program *, struct rein_plan *);
};
extern const struct cuda_family *const cuda_families[]; /* families.cu; ends with NULL */
/* The family of a group: the one of its last op that is not elementwise; a group of
 * elementwise ops alone is a chain. NULL if no family has the op. */
const struct cuda_family *cuda_family_of(const struct rein_program *, int32_t n, const int32_t *instr);
static inline bool cuda_is_elementwise(uint32_t op) { return op >= REIN_OP_ADD && op <= REIN_OP_MAP; }

/* Puts instructions into the kernel of the last of them, which is asked for with
 * cuda_may_join(): no op between them needs a value of the group. Values only used inside
 * get home NONE. Instructions in ascending order. */
bool cuda_may_join(const struct rein_program *, const struct rein_plan *, int32_t n, const int32_t *instr);
void cuda_join(const struct rein_program *, struct rein_plan *, int32_t n, const int32_t *instr);
/* The same, at the place of the first, which all but itself read nothing else of. */
void cuda_join_first(const struct rein_program *, struct rein_plan *, int32_t n, const int32_t *instr);

/* Appends an empty item; NULL where there is no memory. */
struct cuda_item *cuda_append(struct cuda_build *, uint32_t kind, const char *name);
/* order.cu: puts what was appended in order and makes pieces launches. */
rein_status cuda_order(struct cuda_build *);

/* compile.cu: appending. All return REIN_OK or an error after fail(). */
rein_status cuda_push_launch(struct cuda_build *, const void *fn, const char *name, dim3 grid, dim3 block,
                             size_t shared, unsigned n_arg, const void *const *arg, const size_t *size);
/* Takes piece, which comes from host->alloc, also where it fails. */
rein_status cuda_piece(struct cuda_build *, const struct cuda_merge *, void *piece);
rein_status cuda_copy(struct cuda_build *, void *to, const void *from, size_t bytes);
rein_status cuda_fill(struct cuda_build *, void *to, int byte, size_t bytes);
/* fn is called whenever the executable's work is put on a stream, also while that is being
 * captured: it only enqueues. data comes from host->alloc and is freed with the item. */
rein_status cuda_call(struct cuda_build *, const char *name, cuda_call_fn *fn, void *data);
/* Device memory that lives as long as the executable, filled from host memory: tables. */
void *cuda_table(struct cuda_build *, const void *host, size_t bytes);

template <class T>
struct cuda_same {
	typedef T type;
};
template <class... P>
static inline rein_status cuda_launch_named(struct cuda_build *b, const char *name, void (*kernel)(P...), dim3 grid,
                                            dim3 block, size_t shared, const typename cuda_same<P>::type &...a)
{
	const void *const arg[] = { &a... };
	const size_t size[] = { sizeof(P)... };
	CUDA_SIGNATURE(kernel);
	return cuda_push_launch(b, reinterpret_cast<const void *>(kernel), name, grid, block, shared, sizeof...(P), arg,
	                        size);
}
/* cuda_launch(b, kernel, grid, block, shared bytes, arguments...): the kernel's address and
 * copies of its arguments. A template instance is written in parentheses. */
#define cuda_launch(b, kernel, ...) cuda_launch_named(b, #kernel, kernel, __VA_ARGS__)

/* Blocks of `block` threads for n elements, capped: kernels walk with a grid stride. */
static inline unsigned cuda_blocks(int64_t n, int64_t block)
{
	int64_t g = (n + block - 1) / block;
	return (unsigned)(g < 1 ? 1 : g > 65535 * 16 ? 65535 * 16 : g);
}
/* In a kernel: for (CUDA_EACH(i, n)) visits this thread's share of 0..n-1. */
#define CUDA_EACH(i, n)                                         \
	int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; \
	i < (int64_t)(n);                                           \
	i += (int64_t)gridDim.x * blockDim.x

/* --- small helpers, as in the cpu backend ---------------------------------------------------- */
static inline int64_t cuda_size_of(const struct rein_program *p, uint32_t dtype)
{
	return dtype == REIN_REAL_T ? p->real_size : dtype == REIN_WIDE_T ? 8 : dtype == REIN_I32_T ? 4 : 1;
}
static inline int64_t cuda_bytes_of(const struct rein_program *p, int32_t v)
{
	return p->value[v].count * cuda_size_of(p, p->value[v].dtype);
}
static inline const struct rein_prog_value *cuda_in(const struct cuda_build *b, const struct rein_prog_instr *i,
                                                    uint32_t k)
{
	return &b->p->value[i->in[k]];
}
static inline const struct rein_prog_value *cuda_out(const struct cuda_build *b, const struct rein_prog_instr *i,
                                                     uint32_t k)
{
	return &b->p->value[i->out[k]];
}
/* Device memory of operand and result k; NULL for a result nobody reads. */
template <class T>
static inline const T *cuda_in_mem(const struct cuda_build *b, const struct rein_prog_instr *i, uint32_t k)
{
	return static_cast<const T *>(b->mem[i->in[k]]);
}
template <class T>
static inline T *cuda_out_mem(const struct cuda_build *b, const struct rein_prog_instr *i, uint32_t k)
{
	return static_cast<T *>(b->mem[i->out[k]]);
}
/* Row-major strides in elements; 0 where the axis has size 1, so that it broadcasts. */
static inline void cuda_strides(const struct rein_prog_value *v, int64_t *stride)
{
	int64_t s = 1;
	for (uint32_t a = v->rank; a-- > 0; s *= v->dim[a])
		stride[a] = v->dim[a] == 1 ? 0 : s;
}
/* A tensor seen as outer x n x inner around one axis. */
struct cuda_lines {
	int64_t outer, n, inner;
};
static inline struct cuda_lines cuda_lines_of(const struct rein_prog_value *v, uint32_t axis)
{
	struct cuda_lines l = { 1, 1, 1 };
	for (uint32_t a = 0; a < v->rank; a++)
		*(a < axis ? &l.outer : a == axis ? &l.n : &l.inner) *= v->dim[a];
	return l;
}
static inline uint32_t cuda_axis_of(const struct rein_attr *a)
{
	return a->axes ? (uint32_t)__builtin_ctz(a->axes) : 0;
}

/* Index arithmetic on the device: element e of a tensor of shape dim, in another's strides. */
struct cuda_shape {
	int32_t rank, pad;
	int64_t dim[REIN_MAX_RANK], stride[REIN_MAX_RANK];
};
static __device__ __forceinline__ int64_t cuda_offset(int64_t e, const struct cuda_shape &s)
{
	int64_t at = 0;
	for (int32_t a = s.rank; a-- > 0; e /= s.dim[a])
		at += e % s.dim[a] * s.stride[a];
	return at;
}

/* cuda.cu: device memory that counts as planned. NULL after fail(); not zeroed by take. */
void *cuda_take(struct cuda *, const struct rein_host *, uint64_t bytes, const char *what);
void cuda_give(struct cuda *, void *);

/* A CUDA error as fail(): "what: name: description". */
rein_status cuda_failed(const struct rein_host *, const char *what, cudaError_t);

/* --- libraries (library.cu) ------------------------------------------------------------------- */
/* cuBLAS as function pointers, opened at open(); handle bound to cuda->stream. */
struct cuda_blas {
	cublasHandle_t handle;
	void *workspace;
	size_t workspace_bytes;
	cublasStatus_t (*set_stream)(cublasHandle_t, cudaStream_t);
	cublasStatus_t (*set_workspace)(cublasHandle_t, void *, size_t);
	cublasStatus_t (*sgemm)(cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int, int, const float *,
	                        const float *, int, const float *, int, float *, int);
	cublasStatus_t (*sgemm_strided)(cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int, int, const float *,
	                                const float *, int, long long int, const float *, int, long long int, const float *,
	                                float *, int, long long int, int);
	cublasStatus_t (*gemm_ex)(cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int, int, const void *,
	                          const void *, cudaDataType, int, const void *, cudaDataType, int, const void *, void *,
	                          cudaDataType, int, cublasComputeType_t, cublasGemmAlgo_t);
};
/* NULL after fail(), which says what was looked for. Called while compiling. */
const struct cuda_blas *cuda_blas_get(struct cuda *, const struct rein_host *);
/* In a cuda_call function: work goes to this stream, with our own workspace. */
cublasStatus_t cuda_blas_stream(const struct cuda_blas *, cudaStream_t);
void cuda_library_close(struct cuda *);

#endif
