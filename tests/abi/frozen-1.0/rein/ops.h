/* SPDX-License-Identifier: MIT
 *
 * ops.h: the recorder. A component does not compute, it records: every call
 * below adds ops to a program that the core differentiates, plans, compiles and
 * replays for every step. Values have a dtype and a fixed shape but no memory.
 *
 * All of it is [control], called only from inside a recording slot. An error (a
 * shape that does not fit) makes the result invalid, is reported once by the
 * core with the line of the spec, and flows through: check nothing.
 * Short names for single ops (rein_add ...) and composed maths are in math.h.
 */
#ifndef REIN_OPS_H
#define REIN_OPS_H

#include <stdint.h>

#include "plugin.h"

#define REIN_MAX_RANK 6

/* Dtypes. REAL is float32, or float64 where the core compiles a program in
 * double; WIDE is always float64 and comes from sums with REIN_WIDE alone.
 * Nothing converts by itself: rein_cast(). */
#define REIN_REAL_T 1u
#define REIN_WIDE_T 2u
#define REIN_I32_T  3u
#define REIN_U8_T   4u
#define REIN_BOOL_T 5u /* one byte, 0 or 1 */

/* A value (result of an op) and a state (a named tensor that outlives the step). */
typedef struct rein_val {
	int32_t id;
} rein_val;
typedef struct rein_var {
	int32_t id;
} rein_var;
#define REIN_NONE       ((rein_val){ -1 })
#define REIN_IS_NONE(v) ((v).id < 0)

/* Op numbers, never reused; new ones are appended. Semantics, edge cases and
 * derivatives: docs/ops.md. "C" marks coarse ops, which a backend may leave out:
 * they then expand into ops above them. */
enum {
	REIN_OP_CONST = 1, /* ()            mode dtype; rank, dim; data: bytes (REAL as double) or NULL: par[0] */
	REIN_OP_IOTA,      /* ()            i32; rank, dim; axes: the axis counted along */
	REIN_OP_READ,      /* ()            made by rein_read */
	REIN_OP_RANDOM,    /* (id, epoch, loop) made by rein_random */
	REIN_OP_INPUT,     /* ()            value number `mode` of a loop body */
	REIN_OP_ADD,
	REIN_OP_SUB,
	REIN_OP_MUL,
	REIN_OP_DIV,
	REIN_OP_MAX,
	REIN_OP_POW,
	REIN_OP_ABS,
	REIN_OP_SIGN,
	REIN_OP_FLOOR,
	REIN_OP_RINT,
	REIN_OP_EXP,
	REIN_OP_LOG,
	REIN_OP_LOG1P,
	REIN_OP_SQRT,
	REIN_OP_SIN,
	REIN_OP_COS,
	REIN_OP_ERF,
	REIN_OP_TANH,
	REIN_OP_SIGMOID,
	REIN_OP_LT,
	REIN_OP_LE,
	REIN_OP_EQ, /* -> bool */
	REIN_OP_AND,
	REIN_OP_NOT,         /* bool */
	REIN_OP_WHERE,       /* (bool, a, b)  */
	REIN_OP_CAST,        /* (x)           mode: dtype */
	REIN_OP_MAP,         /* (x.., scalars..) data: const struct rein_map * */
	REIN_OP_SUM,         /* (x)           axes; flags KEEP, WIDE; bool and i32 sum to i32 */
	REIN_OP_AMAX,        /* (x)           axes; flags KEEP */
	REIN_OP_ARGMAX,      /* (x) -> i32    axes (one); flags KEEP */
	REIN_OP_CUMSUM,      /* (x)           axes (one); flags EXCLUSIVE, REVERSE */
	REIN_OP_MOMENTS,     /* C (x) -> mean, biased variance, axes kept as 1 */
	REIN_OP_MATMUL,      /* (a, b)        (B?,M,K) (B?,K,N); flags TA, TB */
	REIN_OP_CONV2D,      /* (x, w)        window attributes, see rein_attr; batch: groups */
	REIN_OP_CONV2D_DX,   /* (g, w)        the same and dim: shape of x */
	REIN_OP_CONV2D_DW,   /* (x, g)        the same and dim: shape of w */
	REIN_OP_MAX_POOL,    /* (x) -> y, i32 index in the plane; window attributes */
	REIN_OP_MAX_POOL_DX, /* C (g, index) the same and dim: shape of x */
	REIN_OP_AVG_POOL,    /* C (x)        window attributes; flags COUNT_PAD */
	REIN_OP_AVG_POOL_DX, /* C (g)        the same and dim: shape of x */
	REIN_OP_RESHAPE,     /* (x)           rank, dim; one may be -1 */
	REIN_OP_PERMUTE,     /* (x)           dim[i]: the axis of x that becomes axis i */
	REIN_OP_EXPAND,      /* (x)           rank, dim: axes of size 1 repeated */
	REIN_OP_SLICE,       /* (x)           start, dim: count, step (may be negative) */
	REIN_OP_UNSLICE,     /* (x)           zeros of shape dim with x at start, step */
	REIN_OP_CONCAT,      /* (x..)         axes (one) */
	REIN_OP_TAKE,        /* (x (B..,n,T..), i32 (B..,m..)) -> (B..,m..,T..); batch: rank of B */
	REIN_OP_PUT,      /* ([base,] i32 (B..,m..), src (B..,m..,T..)) -> (B..,n,T..); batch; dim[0]: n; mode REIN_PUT_* */
	REIN_OP_SORT,     /* (x) -> values, i32 index; last axis, stable; flags DESCENDING */
	REIN_OP_SMALLEST, /* C (x (..,n), i32 scalar k) -> bool, exactly min(k,n) true per row */
	REIN_OP_WARP,     /* C (x (N,C,H,W), xy (N,Ho,Wo,2)); mode REIN_NEAREST/BILINEAR; par[0]: fill */
	REIN_OP_LOG_SOFTMAX,   /* C (x)      axes (one) */
	REIN_OP_CROSS_ENTROPY, /* C (z (N,K), y i32 (N) or p (N,K)) -> (N) */
	REIN_OP_BATCH_NORM,    /* C (x, gamma, beta) -> y, mean, biased variance; axes reduced; par[0]: epsilon;
	                        * gamma, beta, mean, variance have x's rank with 1 on the reduced axes */
	REIN_OP_BATCH_NORM_DX, /* C (x, gamma, mean, 1/sigma, g) -> dx, dgamma, dbeta; axes */
	REIN_OP_STOP,          /* (x [, in..])  identity; carries a rein_override rule */
	REIN_OP_REPEAT,        /* (carried.., captured..) -> carried..; made by rein_repeat */
	REIN_OP_CUSTOM,        /* (..) -> (..)  made by rein_custom */
	REIN_OP_COUNT
};

/* Attribute flags and modes. */
#define REIN_KEEP       1u /* reduced axes stay, with size 1 */
#define REIN_WIDE       2u /* accumulate in and return float64 */
#define REIN_EXCLUSIVE  4u
#define REIN_REVERSE    8u
#define REIN_TA         1u /* matmul: a is (B?,K,M) */
#define REIN_TB         2u /* matmul: b is (B?,N,K) */
#define REIN_COUNT_PAD  1u /* avg_pool: padding counts in the divisor */
#define REIN_DESCENDING 1u
#define REIN_PUT_ADD    0u /* duplicates add up, in ascending position */
#define REIN_PUT_SET    1u /* the highest position wins */
#define REIN_NEAREST    0u
#define REIN_BILINEAR   1u

/* Attributes of an op; what is not named by its row above is zero. Window ops:
 * step[0,1] stride, step[2,3] window (pools), start[0,1] padding, start[2,3]
 * dilation; each pair height first. `axes` is a bit mask, bit 0 the first axis. */
struct rein_attr {
	uint32_t struct_size, axes, flags, mode, rank, batch;
	int64_t dim[8], start[8], step[8];
	double par[8];
	const void *data; /* lives at least as long as the recording call; the core copies */
};

/* How a state or parameter starts. Random kinds draw from the run's stream for
 * its name. VALUE: a recorded value of the same shape, run once. */
#define REIN_INIT_ZEROS      0u
#define REIN_INIT_CONSTANT   1u /* a */
#define REIN_INIT_UNIFORM    2u /* [a, b) */
#define REIN_INIT_NORMAL     3u /* mean a, standard deviation b */
#define REIN_INIT_ORTHOGONAL 4u /* gain a; Saxe et al. 2014 */
#define REIN_INIT_VALUE      5u
struct rein_init {
	uint32_t struct_size, kind;
	double a, b;
	rein_val value;
	int32_t reserved;
};

/* Draws. The numbers depend on (run seed, instance, stream, number of the forward
 * call) and on the sample or step, never on batch size, order or threads. */
#define REIN_UNIFORM    0u /* real in [0,1): k * 2^-24 */
#define REIN_NORMAL     1u /* real, mean 0, variance 1 */
#define REIN_BITS       2u /* i32, all 32 bits */
#define REIN_PER_SAMPLE 0u /* first axis is the batch, keyed by the sample's number */
#define REIN_PER_STEP   1u
#define REIN_ONCE       2u

/* Forward modes and flags; mode of a layer's call. */
#define REIN_EVAL        0u
#define REIN_TRAIN       1u
#define REIN_STATS       2u  /* train forward that averages batch statistics over the pass */
#define REIN_KEEP_STATE  16u /* record no assigns: running statistics stay as they are */
#define REIN_SAME_RANDOM 32u /* the draws of the first forward call again */

/* Metrics: how a value of many steps becomes one number per epoch. */
#define REIN_MEAN  0u /* (N): over samples; scalar: over steps */
#define REIN_TOTAL 1u
#define REIN_LAST  2u
#define REIN_PEAK  3u

struct rein_rec;
struct rein_model;
struct rein_step;
struct rein_custom;
struct rein_tensor;
struct rein_batch;

/* Records the derivative of an overridden value: given out and their gradients g
 * (REIN_NONE: zero), fills gin[0..n_in-1], which come as REIN_NONE: zero. Same thread rules as
 * recording. `ctx` is as given to rein_override / in struct rein_custom. */
typedef void rein_vjp(const void *ctx, struct rein_rec *r, const rein_val *in, const rein_val *out, const rein_val *g,
                      rein_val *gin);

/* A loop: carried values keep shape and dtype. `active`: index of a carried bool,
 * (N) or scalar, that ends the loop when none is true; -1: always `max` rounds. */
#define REIN_FREEZE 1u /* rows whose new `active` is false keep the values before the round */
#define REIN_UNROLL 2u /* record the rounds one after another: gradients go through */
struct rein_loop {
	uint32_t struct_size, max, n_carry, flags;
	int32_t active, reserved;
};
typedef void rein_body(void *ctx, struct rein_rec *r, rein_val i, rein_val *carry);

/* The table behind every call; made by the core, only ever appended to. */
struct rein_rec_vt {
	uint32_t struct_size, reserved;
	void (*op)(struct rein_rec *, uint32_t op, uint32_t n_in, const rein_val *in, const struct rein_attr *,
	           uint32_t n_out, rein_val *out);
	int32_t (*rank)(struct rein_rec *, rein_val);
	int64_t (*dim)(struct rein_rec *, rein_val, int32_t axis);
	uint32_t (*dtype)(struct rein_rec *, rein_val);
	void *(*scratch)(struct rein_rec *, uint64_t bytes);
	void (*refuse)(struct rein_rec *, const char *why);
	rein_val (*param)(struct rein_rec *, const char *name, uint32_t rank, const int64_t *dim, const struct rein_init *);
	rein_var (*state)(struct rein_rec *, const char *name, uint32_t dtype, uint32_t rank, const int64_t *dim,
	                  const struct rein_init *);
	rein_val (*read)(struct rein_rec *, rein_var);
	void (*assign)(struct rein_rec *, rein_var, rein_val, rein_val when);
	void (*grads)(struct rein_rec *, rein_val y, rein_val seed, uint32_t n, const rein_val *wrt, rein_val *out);
	rein_val (*override)(struct rein_rec *, rein_val y, uint32_t n, const rein_val *in, rein_vjp *, const void *ctx);
	void (*custom)(struct rein_rec *, const struct rein_custom *, uint32_t n_in, const rein_val *in, uint32_t n_out,
	               rein_val *out);
	rein_val (*random)(struct rein_rec *, const char *stream, uint32_t dist, uint32_t key, uint32_t rank,
	                   const int64_t *dim);
	rein_val (*knob)(struct rein_rec *, const char *key, double now);
	rein_val (*per_step)(struct rein_rec *, double (*f)(const void *self, int64_t step), const void *self);
	void (*repeat)(struct rein_rec *, const struct rein_loop *, rein_val *carry, rein_body *, void *ctx);
	rein_val (*forward)(struct rein_rec *, const struct rein_model *, rein_val x, uint32_t flags);
	rein_val (*objective)(struct rein_rec *, const struct rein_step *, uint32_t flags);
	void (*with)(struct rein_rec *, uint32_t n, const rein_val *param, const rein_val *as);
	void (*without)(struct rein_rec *);
	void (*metric)(struct rein_rec *, const char *name, rein_val, uint32_t how);
	rein_val (*perturb)(struct rein_rec *, const struct rein_ref *attack, const struct rein_model *, rein_val x,
	                    rein_val y);
	rein_val (*forward_ref)(struct rein_rec *, const struct rein_ref *network, rein_val x, uint32_t flags);
	void (*scope)(struct rein_rec *, const struct rein_tensor *);
	void (*set_param)(struct rein_rec *, const struct rein_tensor *, rein_val);
	void (*augment)(struct rein_rec *, const struct rein_ref *augmentation, const struct rein_step *,
	                struct rein_batch *);
};

/* A recorder, made by the core for one recording. */
struct rein_rec {
	const struct rein_rec_vt *vt;
};

#endif
