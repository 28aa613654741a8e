/* SPDX-License-Identifier: MIT
 *
 * strip.h: elementwise programs run strip by strip. A chain is a list of small vector
 * functions over strips of 512 elements: intermediate results live in registers of 2 KiB in
 * the first-level cache, only inputs and results touch memory. strip_isa.c has the functions
 * (once per instruction set), chain_build.c makes a chain of recorded ops, chain.c runs it,
 * by itself or on the pieces of a matrix product while they are in cache.
 */
#ifndef CPU_STRIP_H
#define CPU_STRIP_H

#include <stdbool.h>

#include "fast.h"

#define STRIP 512

/* Functions of a strip: name, operands, bytes per element of result and operands (all operands
 * of WHERE but the first are as wide as the result). Letters: f float, i int32, b byte. */
/* clang-format off */
#define STRIP_LIST(X) \
	X(ADD_F, 2) X(SUB_F, 2) X(MUL_F, 2) X(DIV_F, 2) X(MAX_F, 2) X(POW_F, 2) X(LT_F, 2) X(LE_F, 2) \
	X(EQ_F, 2) X(ADD_I, 2) X(SUB_I, 2) X(MUL_I, 2) X(DIV_I, 2) X(MAX_I, 2) X(LT_I, 2) X(LE_I, 2) X(EQ_I, 2) \
	X(LT_B, 2) X(LE_B, 2) X(EQ_B, 2) X(AND_B, 2) X(NOT_B, 1) X(ABS_F, 1) X(SIGN_F, 1) X(FLOOR_F, 1) \
	X(RINT_F, 1) X(EXP_F, 1) X(LOG_F, 1) X(LOG1P_F, 1) X(SQRT_F, 1) X(SIN_F, 1) X(COS_F, 1) X(ERF_F, 1) \
	X(TANH_F, 1) X(SIGMOID_F, 1) X(ABS_I, 1) X(SIGN_I, 1) X(F_TO_I, 1) X(F_TO_U8, 1) X(F_TO_BOOL, 1) \
	X(I_TO_F, 1) X(I_TO_U8, 1) X(I_TO_BOOL, 1) X(B_TO_F, 1) X(B_TO_I, 1) X(B_TO_BOOL, 1) X(COPY_4, 1) \
	X(COPY_1, 1) X(WHERE_4, 3) X(WHERE_1, 3) X(MUL_ADD, 3) X(MUL_SUB, 3) X(MUL_RSUB, 3) X(MUL_MUL, 3) \
	X(ADD_MUL, 3) X(SUB_MUL, 3) X(DIV_MUL, 3)
/* clang-format on */

enum strip_op {
#define STRIP_ENUM(name, n) S_##name,
	STRIP_LIST(STRIP_ENUM) S_COUNT
#undef STRIP_ENUM
};

/* d[0..n) of a, b, c; bit k of `scalars`: operand k is one element. d may be an operand of the
 * same width, element for element. MUL_ADD ab+c, MUL_SUB ab-c, MUL_RSUB c-ab, the rest (a.b).c;
 * each product and sum is rounded. */
typedef void strip_fn(int64_t n, void *d, const void *a, const void *b, const void *c, unsigned scalars);

struct strip_isa {
	strip_fn *op[S_COUNT];
	/* 16 lanes in a fixed order, then a fixed tree; the same on every instruction set. */
	float (*sum)(int64_t n, const float *);
	double (*sum_wide)(int64_t n, const float *);
	float (*amax)(int64_t n, const float *); /* NaN wins; n > 0 */
	void (*add_to)(int64_t n, float *sum, const float *);
};
extern const struct strip_isa strip_plain, strip_avx2, strip_avx512;
const struct strip_isa *strip_isa(int isa);

/* --- chains ------------------------------------------------------------------------------ */
/* Where an operand or result of a step is. A chain computes elements e0..e0+n of its results
 * (flat, row-major), n <= STRIP. */
#define SLOT_REG   0 /* a register of the running thread */
#define SLOT_MEM   1 /* elements e0.. of a value in memory */
#define SLOT_ONE   2 /* the single element of a value in memory */
#define SLOT_BLOCK 3 /* the piece of a matrix product or convolution being finished */
struct slot {
	uint8_t kind, size; /* size: bytes per element */
	int16_t reg;
	int32_t value; /* MEM, ONE */
	unsigned char *base;
};

/* An operand read with strides (broadcast, permuted, sliced): element e of the strip is at
 * start + sum index_k * stride[k] over the row-major index of e in dim. */
struct view {
	uint32_t rank;
	int64_t dim[REIN_MAX_RANK], stride[REIN_MAX_RANK], start;
};

#define STEP_OP   0
#define STEP_VIEW 1 /* d = view of b's memory */
#define STEP_ROWS 2 /* d = rows of table b picked by index a (memory) */
#define STEP_PICK 3 /* d = elements of table b picked by index a (strip) */
#define STEP_IOTA 4
#define STEP_MAP  5
struct step {
	uint8_t kind, n_in, n_out, op;
	uint8_t scalars;
	int16_t d, in[3]; /* slots */
	int16_t more;     /* VIEW, ROWS, PICK, IOTA: into view[]; MAP: into map[] */
};
struct map_step {
	const struct rein_map *map;
	int16_t in[8], out[4], par[8];
};

#define REDUCE_ALL  0
#define REDUCE_ROWS 1 /* away goes the first axis of (R,C): sums only */
#define REDUCE_COLS 2 /* away goes the last axis of (R,C) */
struct reduce {
	uint8_t kind, op; /* op: REIN_OP_SUM, AMAX, ARGMAX */
	uint8_t dtype, wide;
	int16_t slot[2]; /* by variant */
	int32_t value;   /* result */
	void *out;
};

#define CHAIN_WEIGHT 32 /* recorded ops and loads in one chain */
#define CHAIN_REGS   64 /* each may need a register, and a second one for its result */
#define MAP_WEIGHT   8  /* a plugin's kernel counts as this many ops */
#define CHAIN_SLOTS  400
#define CHAIN_STEPS  96
#define CHAIN_REDUCE 8
#define CHAIN_SURE   8
#define CHAIN_TASK   8192 /* elements */
struct chain {
	const struct strip_isa *isa;
	int64_t count, cols; /* cols: length of a row where a reduction needs rows, else 0 */
	int64_t task_size, tasks;
	int n_slot, n_step[2], n_view, n_map, n_reduce, n_sure, n_moving;
	struct slot slot[CHAIN_SLOTS];
	int16_t moving[CHAIN_SLOTS]; /* MEM and BLOCK slots: another address for each strip */
	/* [1]: assuming every condition in sure[] true (the loss is finite), which drops the choice */
	struct step step[2][CHAIN_STEPS];
	int16_t sure[CHAIN_SURE];
	struct view view[2 * CHAIN_REGS];
	struct map_step map[2 * CHAIN_REGS / MAP_WEIGHT];
	struct reduce reduce[CHAIN_REDUCE];
	int variant;
	void *partial; /* of the run at hand */
};

/* Fixes tasks from shapes alone. chain_partial_bytes: of the reductions' partial results. */
void chain_split(struct chain *);
int64_t chain_task_size(int64_t count, int64_t cols, bool by_rows);
int64_t chain_partial_bytes(const struct reduce *, int n, int64_t cols, int64_t tasks);
/* The whole chain by itself. */
void chain_run(struct chain *, const struct rein_exec *, struct pool *, void *partial);

/* In pieces: begin once per run (addresses, variant), then each task on any thread in ranges of
 * elements that are whole rows if cols is set, then end. */
struct chain_task {
	const struct chain *c;
	void *partial;
	int64_t task;
	double state[CHAIN_REDUCE][2];
	void *ptr[CHAIN_SLOTS];
};
void chain_begin(struct chain *, const struct rein_exec *);
/* Between begin and end: fetches what elements e0..e0+n will read and write, if that is much. */
void chain_fetch(const struct chain *, int64_t e0, int64_t n);
void chain_task_begin(struct chain_task *, const struct chain *, void *partial, int64_t task);
/* block: element e0 of the matrix product, or NULL */
void chain_task_range(struct chain_task *, int64_t e0, int64_t n, const float *block);
void chain_end(const struct chain *, void *partial);

/* --- chain_build.c ------------------------------------------------------------------------ */
/* What an instruction is to a chain. */
#define OP_OTHER  0
#define OP_ELEM   1 /* element e of the result from elements e of the operands */
#define OP_VIEW   2 /* permute, expand, slice */
#define OP_IOTA   3
#define OP_TAKE   4 /* rows or elements of a table */
#define OP_REDUCE 5
int chain_kind(const struct rein_program *, const struct rein_prog_instr *);
/* How a sum, amax or argmax reduces its operand seen as (R,C); -1: not here. */
int chain_reduce_kind(const struct rein_program *, const struct rein_prog_instr *, int64_t *cols);
/* The value whose memory and elements v renames (reshape), v itself otherwise. */
int32_t chain_root(const struct rein_program *, const struct rein_plan *, int32_t v);
/* Operand k read element by element along `count` elements, whatever else is in the chain. */
bool chain_along(const struct rein_program *, const struct rein_prog_instr *, uint32_t k, int64_t count);
/* Makes the chain of these instructions (recorded order); head: value of the matrix product they
 * finish, or -1; pooled: value to leave in the head's place, or -1. False if a limit is exceeded, which the scheduler's own limits rule out. */
bool chain_build(struct chain *, const struct rein_exec *, int32_t n, const int32_t *instr, int32_t head,
                 int32_t pooled);
/* S_* of an op on these dtypes, -1 if strips have none. */
int strip_op_of(const struct rein_program *, const struct rein_prog_instr *);

#endif
