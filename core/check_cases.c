/* SPDX-License-Identifier: MIT
 *
 * check_cases.c: what every op is tried on: one row per op (or per run of ops in the order of
 * ops.h), operands and attributes. check_data.c says how operands are written. Rows with capital
 * letters are of other shapes for every seed. A new row goes behind the others of its op: the
 * number of a case is its place there.
 */
#include "check.h"

#include <stdlib.h>
#include <string.h>

#include "rng.h"
#include "tool.h"

#define OF_(level_) .level = level_, .a.struct_size = sizeof(struct rein_attr)
#define ROW(level, OP, ...)                               \
	{                                                     \
		.op = REIN_OP_##OP, OF_(level), .in = __VA_ARGS__ \
	}
#define EACH(level, OP, LAST, ...)                                                \
	{                                                                             \
		.op = REIN_OP_##OP, .last = REIN_OP_##LAST, OF_(level), .in = __VA_ARGS__ \
	}
#define HAND(level, OP, fn, ...)                                                     \
	{                                                                                \
		.op = REIN_OP_##OP, OF_(level), .record = check_hand_##fn, .in = __VA_ARGS__ \
	}
/* stride, padding, dilation; then what follows, such as groups */
#define CONV(sh, sw, ph, pw, dh, dw)         .a.step = { sh, sw }, .a.start = { ph, pw, dh, dw }
#define POOL(kh, kw, sh, sw, ph, pw, dh, dw) .a.step = { sh, sw, kh, kw }, .a.start = { ph, pw, dh, dw }

/* clang-format off */
const struct check_row check_rows[] = {
	/* --- leaves ----------------------------------------------------------------------------- */
	HAND(1, CONST, const, "r2x3 b2x3", .a.mode = REIN_REAL_T),
	HAND(1, CONST, const, "i2x3 b2x3", .a.mode = REIN_I32_T),
	HAND(1, CONST, const, "u2x3 b2x3", .a.mode = REIN_U8_T),
	HAND(1, CONST, const, "b2x3 b2x3", .a.mode = REIN_BOOL_T),
	ROW(1, IOTA, "", .a.rank = 1, .a.dim = { 7 }, .a.axes = 1),
	ROW(1, IOTA, "", .a.rank = 3, .a.dim = { 2, 3, 5 }, .a.axes = 1),
	ROW(1, IOTA, "", .a.rank = 3, .a.dim = { 2, 3, 5 }, .a.axes = 2),
	ROW(1, IOTA, "", .a.rank = 3, .a.dim = { 2, 3, 5 }, .a.axes = 4),
	ROW(3, IOTA, "", .a.rank = 2, .a.dim = { 33, 129 }, .a.axes = 2),
	HAND(1, READ, read, "r"),
	HAND(1, READ, read, "r33:e"),
	HAND(1, READ, read, "w7"),
	HAND(1, READ, read, "i3x5:e"),
	HAND(1, READ, read, "u129"),
	HAND(1, READ, read, "b3x1x7"),
	HAND(1, READ, update, "r5x7 r5x7 b i"),
	HAND(1, READ, swap, "r7 r7 r7 r3 i"),
	HAND(1, READ, transposed, "r7x7"),
	HAND(3, READ, update, "rNxM rNxM b i"),
	HAND(1, RANDOM, random, "i5:i9 i i", .a.mode = REIN_UNIFORM, .a.flags = REIN_PER_SAMPLE),
	HAND(1, RANDOM, random, "i5:i9 i i", .a.mode = REIN_UNIFORM, .a.flags = REIN_PER_STEP),
	HAND(1, RANDOM, random, "i5:i9 i i", .a.mode = REIN_UNIFORM, .a.flags = REIN_ONCE),
	HAND(1, RANDOM, random, "i5:i9 i i", .a.mode = REIN_NORMAL, .a.flags = REIN_PER_SAMPLE),
	HAND(1, RANDOM, random, "i5:i9 i i", .a.mode = REIN_NORMAL, .a.flags = REIN_PER_STEP),
	HAND(1, RANDOM, random, "i5:i9 i i", .a.mode = REIN_BITS, .a.flags = REIN_PER_SAMPLE),
	HAND(1, RANDOM, random, "i5:i9 i i", .a.mode = REIN_BITS, .a.flags = REIN_PER_STEP),
	HAND(3, RANDOM, random, "iN:e i:e i:e", .a.mode = REIN_UNIFORM, .a.flags = REIN_PER_SAMPLE),
	HAND(3, RANDOM, random, "iN:e i:e i:e", .a.mode = REIN_NORMAL, .a.flags = REIN_PER_SAMPLE),
	HAND(1, INPUT, loop, "r3x5 r3x5 i"),

	/* --- two operands -------------------------------------------------------------------------- */
	EACH(1, ADD, POW, "r23x1:e r1x23:e"), /* every pair of awkward numbers */
	EACH(1, ADD, POW, "r r"),
	EACH(1, ADD, MAX, "r33 r33"),
	EACH(1, ADD, MAX, "r3x5x7 r1x5x1"),
	EACH(1, ADD, MAX, "r1x5x7 r3x1x7"),
	EACH(1, ADD, MAX, "r r5x7:n"),
	EACH(1, ADD, MAX, "r2x1x3x1x2x3 r1x3x1x2x2x1"),
	EACH(1, ADD, DIV, "r1025:x r1025:x"),
	EACH(3, ADD, MAX, "rNxM r1xM"),
	EACH(3, ADD, MAX, "rNxM rNx1"),
	EACH(1, POW, POW, "r257:p r257:3"),
	EACH(1, POW, POW, "r5x7:p r"),
	EACH(3, POW, POW, "rNxM:p rNx1:9"),
	EACH(1, ADD, MUL, "i12x1:e i1x12:e"),
	EACH(1, ADD, MUL, "i3x5x7 i1x5x1"),
	EACH(1, ADD, MUL, "i33 i"),
	EACH(1, ADD, MUL, "w33 w33"),
	EACH(1, ADD, MUL, "w5x7 w1x7"),
	EACH(1, ADD, MUL, "w w"),
	ROW(1, MAX, "i12x1:e i1x12:e"),
	ROW(1, MAX, "i3x5x7 i"),
	HAND(1, DIV, div, "i12:e"),
	HAND(1, DIV, div, "i5x7"),
	EACH(1, LT, EQ, "r23x1:e r1x23:e"),
	EACH(1, LT, EQ, "r3x5x7:n r1x5x1:n"),
	EACH(1, LT, EQ, "r r33:t"),
	EACH(1, LT, EQ, "i12x1:e i1x12:e"),
	EACH(1, LT, EQ, "i33:t i33:t"),
	EACH(1, LT, EQ, "u129 u129"),
	EACH(1, LT, EQ, "u3x5 u1x5"),
	EACH(3, LT, EQ, "rNxM:t r1xM:t"),
	ROW(1, AND, "b129 b129"),
	ROW(1, AND, "b3x5x7 b1x5x1"),
	ROW(1, AND, "b b7"),
	ROW(3, AND, "bNxM bNx1"),

	/* --- one operand ----------------------------------------------------------------------------- */
	EACH(1, ABS, SIGMOID, "r23:e"),
	EACH(1, ABS, SIGMOID, "r"),
	EACH(1, ABS, SIGMOID, "r3x5x7"),
	EACH(1, ABS, SIGMOID, "r1025:20"),
	EACH(1, ABS, SIGMOID, "r257:x"),
	EACH(3, ABS, SIGMOID, "rNxM:p"),
	EACH(1, EXP, EXP, "r1025:104"),
	EACH(1, TANH, SIGMOID, "r1025:104"),
	EACH(1, TANH, SIGMOID, "r1025:1"),
	EACH(1, LOG, SQRT, "r1025:p"),
	EACH(1, ABS, SIGN, "i12:e"),
	EACH(1, ABS, SIGN, "i3x5x7"),
	ROW(1, NOT, "b"),
	ROW(1, NOT, "b3x43"),
	ROW(1, WHERE, "b33 r33:n r33:n"),
	ROW(1, WHERE, "b5x1 r1x7:e r"),
	ROW(1, WHERE, "b r5x7 r5x7"),
	ROW(1, WHERE, "b3x1x7 r r3x5x1"),
	ROW(1, WHERE, "b33 i33:e i"),
	ROW(1, WHERE, "b5x7 u5x7 u1x7"),
	ROW(1, WHERE, "b5x7 b5x1 b5x7"),
	ROW(1, WHERE, "b5x7 w5x7 w"),
	ROW(3, WHERE, "bNx1 rNxM rNxM"),
#define CASTS(to)                                                                                          \
	ROW(1, CAST, "r23:e", .a.mode = to), ROW(1, CAST, "r129:300", .a.mode = to), ROW(1, CAST, "i12:e", .a.mode = to), \
	ROW(1, CAST, "i3x5:300", .a.mode = to), ROW(1, CAST, "u129", .a.mode = to), ROW(1, CAST, "b33", .a.mode = to),    \
	ROW(1, CAST, "w33:x", .a.mode = to), ROW(3, CAST, "r3x1x5:x", .a.mode = to)
	CASTS(REIN_REAL_T),
	CASTS(REIN_I32_T),
	CASTS(REIN_U8_T),
	CASTS(REIN_BOOL_T),
	CASTS(REIN_WIDE_T),
	HAND(1, MAP, map, "r33 r33 r33 r:p"),
	HAND(1, MAP, map, "r1x7:1 r3x1:1 r3x7:1 r:p"),
	HAND(1, MAP, map, "r r r r:p"),
	HAND(1, MAP, map, "r23:t r23:t r23:n r:p"),
	HAND(3, MAP, map, "rNxM:1 rNx1:1 r1xM:1 r:p"),

	/* --- reductions and scans ------------------------------------------------------------------------ */
#define REDUCTIONS(OP, t)                                                                                   \
	ROW(1, OP, t "7", .a.axes = 1), ROW(1, OP, t "1", .a.axes = 1), ROW(1, OP, t, .a.axes = 0),                     \
	ROW(1, OP, t "3x5x7", .a.axes = 1), ROW(1, OP, t "3x5x7", .a.axes = 2), ROW(1, OP, t "3x5x7", .a.axes = 4),     \
	ROW(1, OP, t "3x5x7", .a.axes = 5, .a.flags = REIN_KEEP), ROW(1, OP, t "3x5x7", .a.axes = 3),                   \
	ROW(1, OP, t "3x5x7", .a.axes = 6), ROW(1, OP, t "3x5x7", .a.axes = 7), ROW(1, OP, t "2x3x2x3x2x3", .a.axes = 42), \
	ROW(1, OP, t "5x1x3", .a.axes = 2, .a.flags = REIN_KEEP), ROW(1, OP, t "3001", .a.axes = 1),                    \
	ROW(1, OP, t "3x700", .a.axes = 2), ROW(1, OP, t "700x3", .a.axes = 1), ROW(1, OP, t "4x33x65", .a.axes = 5),    \
	ROW(3, OP, t "NxP", .a.axes = 1), ROW(3, OP, t "NxP", .a.axes = 2), ROW(3, OP, t "AxNxB", .a.axes = 5),         \
	ROW(5, OP, t "70001", .a.axes = 1), ROW(5, OP, t "257x300", .a.axes = 1), ROW(5, OP, t "257x300", .a.axes = 2)
	REDUCTIONS(SUM, "r"),
	REDUCTIONS(SUM, "i"),
	REDUCTIONS(SUM, "b"),
	ROW(1, SUM, "r3x3:n", .a.axes = 2),
	ROW(1, SUM, "r12x5:e", .a.axes = 1),
	ROW(1, SUM, "i12:e", .a.axes = 1),
	ROW(1, SUM, "r3x5x7", .a.axes = 7, .a.flags = REIN_WIDE),
	ROW(1, SUM, "r3x700:x", .a.axes = 2, .a.flags = REIN_WIDE | REIN_KEEP),
	ROW(1, SUM, "r700x3", .a.axes = 1, .a.flags = REIN_WIDE),
	ROW(1, SUM, "r5001:m", .a.axes = 1, .a.flags = REIN_WIDE),
	ROW(1, SUM, "r", .a.axes = 0, .a.flags = REIN_WIDE),
	REDUCTIONS(AMAX, "r"),
	REDUCTIONS(AMAX, "i"),
	REDUCTIONS(AMAX, "b"),
	ROW(1, AMAX, "r9x7:n", .a.axes = 2),
	ROW(1, AMAX, "r9x7:n", .a.axes = 1),
	ROW(1, AMAX, "r23:e", .a.axes = 1),
	ROW(1, AMAX, "i12:e", .a.axes = 1),
#define ONE_AXIS(OP, t, f)                                                                                  \
	ROW(1, OP, t "7", .a.axes = 1, .a.flags = f), ROW(1, OP, t "1", .a.axes = 1, .a.flags = f),                       \
	ROW(1, OP, t "3x5x7", .a.axes = 1, .a.flags = f), ROW(1, OP, t "3x5x7", .a.axes = 2, .a.flags = f),               \
	ROW(1, OP, t "3x5x7", .a.axes = 4, .a.flags = f), ROW(1, OP, t "3x1", .a.axes = 2, .a.flags = f),                 \
	ROW(1, OP, t "2x2001", .a.axes = 2, .a.flags = f), ROW(1, OP, t "700x3", .a.axes = 1, .a.flags = f),              \
	ROW(3, OP, t "NxP", .a.axes = 1, .a.flags = f), ROW(3, OP, t "NxP", .a.axes = 2, .a.flags = f)
	ONE_AXIS(ARGMAX, "r", 0),
	ONE_AXIS(ARGMAX, "i", REIN_KEEP),
	ROW(1, ARGMAX, "r33x9:t", .a.axes = 2),
	ROW(1, ARGMAX, "r33x9:n", .a.axes = 2),
	ROW(1, ARGMAX, "r33x9:n", .a.axes = 1, .a.flags = REIN_KEEP),
	ROW(1, ARGMAX, "i33x9:t", .a.axes = 2),
	ROW(1, ARGMAX, "r23:e", .a.axes = 1),
	ONE_AXIS(CUMSUM, "r", 0),
	ONE_AXIS(CUMSUM, "r", REIN_EXCLUSIVE),
	ONE_AXIS(CUMSUM, "r", REIN_REVERSE),
	ONE_AXIS(CUMSUM, "i", REIN_EXCLUSIVE | REIN_REVERSE),
	ONE_AXIS(CUMSUM, "i", 0),
	REDUCTIONS(MOMENTS, "r"),
	ROW(1, MOMENTS, "r8x5x3x3:m", .a.axes = 13),
	ROW(1, MOMENTS, "r3x700:m", .a.axes = 2),
	ROW(1, MOMENTS, "r700x3:m", .a.axes = 1),

	/* --- products --------------------------------------------------------------------------------------- */
#define PRODUCTS(f, one, any, stack, stacks)                                                               \
	ROW(1, MATMUL, one, .a.flags = f), ROW(3, MATMUL, any, .a.flags = f), ROW(1, MATMUL, stack, .a.flags = f), \
	ROW(3, MATMUL, stacks, .a.flags = f)
	PRODUCTS(0, "r33x31 r31x129", "rNxP rPxQ", "r3x5x7 r3x7x3", "rAxNxP r1xPxQ"),
	PRODUCTS(REIN_TA, "r31x33 r31x129", "rPxN rPxQ", "r3x7x5 r1x7x3", "rAxPxN r1xPxQ"),
	PRODUCTS(REIN_TB, "r33x31 r129x31", "rNxP rQxP", "r1x5x7 r3x3x7", "r1xNxP rAxQxP"),
	PRODUCTS(REIN_TA | REIN_TB, "r31x33 r129x31", "rPxN rQxP", "r3x7x5 r3x3x7", "rAxPxN rAxQxP"),
	ROW(1, MATMUL, "r1x1 r1x1"),
	ROW(1, MATMUL, "r1x65 r65x1"),
	ROW(1, MATMUL, "r65x1 r1x65"),
	ROW(1, MATMUL, "r5x7:n r7x3"),
	ROW(1, MATMUL, "r7x1500 r1500x9"),
	ROW(1, MATMUL, "r128x64 r64x32"),
	ROW(1, MATMUL, "r127x33 r65x33", .a.flags = REIN_TB),
	ROW(1, MATMUL, "r129x63 r129x31", .a.flags = REIN_TA),
	ROW(3, MATMUL, "r10x130 r130x700"),
	ROW(5, MATMUL, "r300x260 r260x40"),

	/* --- windows ------------------------------------------------------------------------------------------ */
	EACH(1, CONV2D, CONV2D_DW, "r2x3x7x9 r4x3x3x3", CONV(1, 1, 1, 1, 1, 1), .a.batch = 1),
	EACH(1, CONV2D, CONV2D_DW, "r1x1x1x1 r1x1x1x1", CONV(1, 1, 0, 0, 1, 1), .a.batch = 1),
	EACH(1, CONV2D, CONV2D_DW, "r3x1x12x10 r6x1x5x5", CONV(1, 1, 2, 2, 1, 1), .a.batch = 1),
	EACH(1, CONV2D, CONV2D_DW, "r2x3x11x9 r5x3x3x2", CONV(2, 3, 1, 0, 1, 1), .a.batch = 1),
	EACH(1, CONV2D, CONV2D_DW, "r1x4x9x9 r6x4x2x3", CONV(1, 2, 2, 1, 3, 2), .a.batch = 1),
	EACH(1, CONV2D, CONV2D_DW, "r2x6x6x7 r4x3x3x3", CONV(1, 1, 1, 1, 1, 1), .a.batch = 2),
	EACH(1, CONV2D, CONV2D_DW, "r2x8x6x11 r8x1x3x3", CONV(1, 1, 1, 1, 1, 1), .a.batch = 8),
	EACH(1, CONV2D, CONV2D_DW, "r3x17x5x5 r33x17x1x1", CONV(1, 1, 0, 0, 1, 1), .a.batch = 1),
	EACH(1, CONV2D, CONV2D_DW, "r2x16x6x6 r32x16x3x3", CONV(1, 1, 1, 1, 1, 1), .a.batch = 1),
	EACH(1, CONV2D, CONV2D_DW, "r1x2x9x9 r33x2x2x2", CONV(4, 4, 1, 1, 2, 6), .a.batch = 1),
	EACH(1, CONV2D, CONV2D_DW, "r33x3x4x4 r16x3x4x4", CONV(1, 1, 0, 0, 1, 1), .a.batch = 1),
	EACH(3, CONV2D, CONV2D_DW, "rAxBxHxI rNxBx3x3", CONV(1, 1, 1, 1, 1, 1), .a.batch = 1),
	EACH(3, CONV2D, CONV2D_DW, "rAxBxHxI rCxBx3x2", CONV(2, 2, 1, 1, 1, 1), .a.batch = 1),
	EACH(3, CONV2D, CONV2D_DW, "r2x3x23x19 r40x3x7x5", CONV(2, 3, 3, 2, 1, 1), .a.batch = 1),
	EACH(3, CONV2D, CONV2D_DW, "r2x34x9x8 r66x34x3x3", CONV(1, 1, 1, 1, 1, 1), .a.batch = 1),
	EACH(5, CONV2D, CONV2D_DW, "r4x32x9x9 r32x1x3x3", CONV(2, 2, 1, 1, 1, 1), .a.batch = 32),
	EACH(5, CONV2D, CONV2D_DW, "r2x3x40x40 r20x3x11x11", CONV(4, 4, 2, 2, 1, 1), .a.batch = 1),
	EACH(5, CONV2D, CONV2D_DW, "r40x3x12x12 r5x3x5x5", CONV(1, 1, 2, 2, 1, 1), .a.batch = 1),
	EACH(1, MAX_POOL, AVG_POOL_DX, "r2x3x8x6", POOL(2, 2, 2, 2, 0, 0, 1, 1)),
	EACH(1, MAX_POOL, AVG_POOL_DX, "r2x3x7x9", POOL(3, 3, 2, 2, 1, 1, 1, 1)),
	EACH(1, MAX_POOL, AVG_POOL_DX, "r1x5x9x7", POOL(3, 2, 1, 3, 1, 0, 1, 1)),
	EACH(1, MAX_POOL, AVG_POOL_DX, "r3x1x5x5", POOL(5, 5, 5, 5, 0, 0, 1, 1)),
	EACH(1, MAX_POOL, AVG_POOL_DX, "r1x1x1x1", POOL(1, 1, 1, 1, 0, 0, 1, 1)),
	EACH(1, MAX_POOL, AVG_POOL_DX, "r2x3x7x8", POOL(4, 4, 2, 2, 2, 2, 1, 1)), /* windows that lie half outside */
	EACH(1, AVG_POOL, AVG_POOL_DX, "r2x3x7x8", POOL(4, 4, 2, 2, 2, 2, 1, 1), .a.flags = REIN_COUNT_PAD),
	EACH(1, AVG_POOL, AVG_POOL_DX, "r2x3x7x9", POOL(3, 3, 2, 2, 1, 1, 1, 1), .a.flags = REIN_COUNT_PAD),
	EACH(1, MAX_POOL, MAX_POOL_DX, "r2x3x9x11", POOL(3, 2, 1, 2, 2, 1, 2, 3)),
	EACH(1, MAX_POOL, MAX_POOL, "r2x3x7x9:t", POOL(3, 3, 2, 2, 1, 1, 1, 1)),
	EACH(1, MAX_POOL, MAX_POOL, "r2x3x7x9:n", POOL(3, 3, 1, 1, 1, 1, 1, 1)),
	EACH(1, MAX_POOL, MAX_POOL, "r2x2x5x9:n", POOL(2, 2, 2, 2, 0, 0, 1, 1)),
	EACH(3, MAX_POOL, AVG_POOL_DX, "rAxBxHxI", POOL(3, 3, 2, 2, 1, 1, 1, 1)),
	EACH(3, MAX_POOL, AVG_POOL_DX, "rAxNxHxI", POOL(2, 2, 2, 2, 0, 0, 1, 1)),
	EACH(5, MAX_POOL, AVG_POOL_DX, "r3x70x16x16", POOL(2, 2, 2, 2, 0, 0, 1, 1)),

	/* --- views and copies ------------------------------------------------------------------------------- */
#define VIEWS(t)                                                                                            \
	ROW(1, RESHAPE, t "2x3x2", .a.rank = 2, .a.dim = { 4, -1 }), ROW(1, RESHAPE, t "35", .a.rank = 6, .a.dim = { 1, 5, 1, 7, 1, 1 }), \
	ROW(1, RESHAPE, t "1x1", .a.rank = 0), ROW(1, PERMUTE, t "5x7", .a.rank = 2, .a.dim = { 1, 0 }),                \
	ROW(1, PERMUTE, t "3x5x7", .a.rank = 3, .a.dim = { 2, 0, 1 }), ROW(1, PERMUTE, t "33x65", .a.rank = 2, .a.dim = { 1, 0 }), \
	ROW(1, PERMUTE, t "2x3x4x5", .a.rank = 4, .a.dim = { 0, 2, 3, 1 }),                                           \
	ROW(3, PERMUTE, t "2x3x2x3x2x3", .a.rank = 6, .a.dim = { 5, 3, 1, 0, 4, 2 }),                                 \
	ROW(1, EXPAND, t "1x7", .a.rank = 2, .a.dim = { 5, 7 }), ROW(1, EXPAND, t "5x1x3", .a.rank = 3, .a.dim = { 5, 7, 3 }), \
	ROW(1, EXPAND, t, .a.rank = 3, .a.dim = { 2, 3, 5 }), ROW(1, EXPAND, t "7", .a.rank = 1, .a.dim = { 7 }),         \
	ROW(1, SLICE, t "7x9", .a.rank = 2, .a.dim = { 3, 4 }, .a.start = { 1, 0 }, .a.step = { 2, 2 }),                  \
	ROW(1, SLICE, t "7x9", .a.rank = 2, .a.dim = { 7, 9 }, .a.start = { 6, 8 }, .a.step = { -1, -1 }),                \
	ROW(1, SLICE, t "5x7x3", .a.rank = 3, .a.dim = { 2, 7, 3 }, .a.start = { 3, 0, 0 }, .a.step = { 1, 1, 1 }),       \
	ROW(1, SLICE, t "5x7x3", .a.rank = 3, .a.dim = { 5, 3, 1 }, .a.start = { 0, 5, 2 }, .a.step = { 1, -2, 1 }),      \
	ROW(1, UNSLICE, t "3x4", .a.rank = 2, .a.dim = { 7, 9 }, .a.start = { 1, 0 }, .a.step = { 2, 2 }),                \
	ROW(1, UNSLICE, t "5", .a.rank = 1, .a.dim = { 9 }, .a.start = { 8 }, .a.step = { -2 }),                          \
	ROW(1, UNSLICE, t "2x3x4x5", .a.rank = 4, .a.dim = { 2, 3, 7, 8 }, .a.start = { 0, 0, 2, 1 }, .a.step = { 1, 1, 1, 1 }), \
	ROW(1, CONCAT, t "3x5", .a.axes = 2), ROW(1, CONCAT, t "3x5 " t "1x5 " t "4x5", .a.axes = 1),                 \
	ROW(1, CONCAT, t "3x5x7 " t "3x1x7", .a.axes = 2), ROW(1, CONCAT, t "3x5 " t "3x1 " t "3x9 " t "3x2", .a.axes = 2), \
	ROW(3, CONCAT, t "NxP " t "NxQ", .a.axes = 2)
	VIEWS("r"),
	VIEWS("i"),
	VIEWS("u"),
	VIEWS("b"),
	VIEWS("w"),

	/* --- indices -------------------------------------------------------------------------------------------- */
#define TAKES(t)                                                                                            \
	ROW(1, TAKE, t "9 i:i9"), ROW(1, TAKE, t "9x5 i7:i9"), ROW(1, TAKE, t "9x5 i3x4:i9"), ROW(1, TAKE, t "9 i12:e"), \
	ROW(1, TAKE, t "3x9 i3x5:i9", .a.batch = 1), ROW(1, TAKE, t "3x9x2 i3x5:i9", .a.batch = 1),                   \
	ROW(1, TAKE, t "1x9x2 i3x5:i9", .a.batch = 1), ROW(1, TAKE, t "3x9x2 i1x5:i9", .a.batch = 1),                 \
	ROW(1, TAKE, t "2x3x9 i2x3x4:i9", .a.batch = 2), ROW(1, TAKE, t "9x129 i33:i9"), ROW(1, TAKE, t "3x9x2 i3:i9", .a.batch = 1)
	TAKES("r"),
	TAKES("i"),
	TAKES("u"),
	TAKES("b"),
	TAKES("w"),
#define PUTS(t, m)                                                                                          \
	ROW(1, PUT, "i12:i9 " t "12", .a.dim = { 9 }, .a.mode = m), ROW(1, PUT, t "9 i12:i9 " t "12", .a.dim = { 9 }, .a.mode = m), \
	ROW(1, PUT, "i7:i9 " t "7x5", .a.dim = { 9 }, .a.mode = m), ROW(1, PUT, t "9x5 i3x4:i9 " t "3x4x5", .a.dim = { 9 }, .a.mode = m), \
	ROW(1, PUT, "i3x7:i5 " t "3x7", .a.dim = { 5 }, .a.batch = 1, .a.mode = m),                                      \
	ROW(1, PUT, t "3x5x2 i3x7:i5 " t "3x7x2", .a.dim = { 5 }, .a.batch = 1, .a.mode = m),                            \
	ROW(1, PUT, "i2x3x4:i5 " t "2x3x4", .a.dim = { 5 }, .a.batch = 2, .a.mode = m), ROW(1, PUT, "i:i5 " t, .a.dim = { 5 }, .a.mode = m), \
	ROW(1, PUT, "i12:e " t "12", .a.dim = { 9 }, .a.mode = m), ROW(1, PUT, "i700:i3 " t "700", .a.dim = { 3 }, .a.mode = m), \
	ROW(3, PUT, "i129:i33 " t "129x33", .a.dim = { 33 }, .a.mode = m)
	PUTS("r", REIN_PUT_ADD),
	PUTS("i", REIN_PUT_ADD),
	PUTS("r", REIN_PUT_SET),
	PUTS("i", REIN_PUT_SET),
	PUTS("u", REIN_PUT_SET),
	PUTS("b", REIN_PUT_SET),
	PUTS("w", REIN_PUT_SET),
#define SORTS(f)                                                                                            \
	ROW(1, SORT, "r7", .a.flags = f), ROW(1, SORT, "r1", .a.flags = f), ROW(1, SORT, "r3x33", .a.flags = f),         \
	ROW(1, SORT, "r33x9:t", .a.flags = f), ROW(1, SORT, "r33x9:n", .a.flags = f), ROW(1, SORT, "r23:e", .a.flags = f), \
	ROW(1, SORT, "i12:e", .a.flags = f), ROW(1, SORT, "i5x17:t", .a.flags = f), ROW(1, SORT, "r2x3x5", .a.flags = f), \
	ROW(1, SORT, "r2x1500", .a.flags = f), ROW(1, SORT, "r2x1025:t", .a.flags = f), ROW(3, SORT, "rNxP:n", .a.flags = f), \
	ROW(5, SORT, "r5001:t", .a.flags = f)
	SORTS(0),
	SORTS(REIN_DESCENDING),
	ROW(1, SMALLEST, "r33 i:i33"),
	ROW(1, SMALLEST, "r7x33 i:i33"),
	ROW(1, SMALLEST, "r7x9:t i:i9"),
	ROW(1, SMALLEST, "r7x9:n i:i9"),
	ROW(1, SMALLEST, "r3x5x7:t i:i7"),
	ROW(1, SMALLEST, "r23:e i:i23"),
	ROW(1, SMALLEST, "r33:t i:e"),
	ROW(1, SMALLEST, "r3001:t i:i3000"),
	ROW(3, SMALLEST, "rNxP:t i:i33"),
	ROW(1, WARP, "r2x3x5x7 r2x4x6x2:8", .a.mode = REIN_BILINEAR),
	ROW(1, WARP, "r2x3x5x7 r2x4x6x2:8", .a.mode = REIN_NEAREST, .a.par = { -9 }),
	ROW(1, WARP, "r1x1x4x4 r1x5x5x2:t", .a.mode = REIN_BILINEAR, .a.par = { 2 }),
	ROW(1, WARP, "r1x2x4x4 r1x5x5x2:n", .a.mode = REIN_NEAREST, .a.par = { 1 }),
	ROW(1, WARP, "r1x1x1x1 r1x3x3x2:2", .a.mode = REIN_BILINEAR, .a.par = { 0.5 }),
	ROW(1, WARP, "r1x2x4x4 r1x5x5x2:n", .a.mode = REIN_BILINEAR, .a.par = { 1 }),
	ROW(3, WARP, "r2x3x16x16 r2x16x16x2:20", .a.mode = REIN_BILINEAR),

	/* --- coarse ops of networks --------------------------------------------------------------------------------- */
	ROW(1, LOG_SOFTMAX, "r7x10", .a.axes = 2),
	ROW(1, LOG_SOFTMAX, "r7x10", .a.axes = 1),
	ROW(1, LOG_SOFTMAX, "r3x5x7:20", .a.axes = 2),
	ROW(1, LOG_SOFTMAX, "r33", .a.axes = 1),
	ROW(1, LOG_SOFTMAX, "r5x1", .a.axes = 2),
	ROW(1, LOG_SOFTMAX, "r9x7:n", .a.axes = 2),
	ROW(1, LOG_SOFTMAX, "r5x1025:104", .a.axes = 2),
	ROW(3, LOG_SOFTMAX, "rNxP", .a.axes = 2),
	ROW(1, CROSS_ENTROPY, "r7x10 i7:i10"),
	ROW(1, CROSS_ENTROPY, "r12x5 i12:e"),
	ROW(1, CROSS_ENTROPY, "r7x10:104 i7:i10"),
	ROW(1, CROSS_ENTROPY, "r7x10 r7x10:p"),
	ROW(1, CROSS_ENTROPY, "r1x1 i1:i1"),
	ROW(1, CROSS_ENTROPY, "r3x1025 i3:i1025"),
	ROW(3, CROSS_ENTROPY, "rNxP iN:i9"),
	ROW(3, CROSS_ENTROPY, "rNxP rNxP:p"),
	ROW(1, BATCH_NORM, "r3x4x2x5 r1x4x1x1 r1x4x1x1", .a.axes = 13, .a.par = { 1e-5 }),
	ROW(1, BATCH_NORM, "r33x7 r1x7 r1x7", .a.axes = 1, .a.par = { 1e-5 }),
	ROW(1, BATCH_NORM, "r8x5x3x3:m r1x5x1x1 r1x5x1x1", .a.axes = 13, .a.par = { 1e-3 }),
	ROW(1, BATCH_NORM, "r5x33 r5x1 r5x1", .a.axes = 2, .a.par = { 1e-5 }),
	ROW(1, BATCH_NORM, "r1x3x1x2 r1x3x1x1 r1x3x1x1", .a.axes = 13, .a.par = { 1e-5 }),
	ROW(1, BATCH_NORM, "r2x3x33x17 r1x3x1x1 r1x3x1x1", .a.axes = 13, .a.par = { 1e-5 }),
	ROW(3, BATCH_NORM, "rAxNxHxI r1xNx1x1 r1xNx1x1", .a.axes = 13, .a.par = { 1e-5 }),
	ROW(1, BATCH_NORM_DX, "r3x4x2x5 r1x4x1x1 r1x4x1x1:1 r1x4x1x1:s r3x4x2x5", .a.axes = 13),
	ROW(1, BATCH_NORM_DX, "r33x7 r1x7 r1x7:1 r1x7:s r33x7", .a.axes = 1),
	ROW(1, BATCH_NORM_DX, "r5x33 r5x1 r5x1:1 r5x1:s r5x33", .a.axes = 2),
	ROW(1, BATCH_NORM_DX, "r2x3x33x17 r1x3x1x1 r1x3x1x1:1 r1x3x1x1:s r2x3x33x17", .a.axes = 13),
	ROW(3, BATCH_NORM_DX, "rAxNxHxI r1xNx1x1 r1xNx1x1:1 r1xNx1x1:s rAxNxHxI", .a.axes = 13),

	/* --- control ------------------------------------------------------------------------------------------------- */
	ROW(1, STOP, "r3x5:e"),
	ROW(1, STOP, "i7"),
	ROW(1, STOP, "b7"),
	HAND(1, REPEAT, loop, "r33 r33 i"),
	HAND(1, REPEAT, loop, "r3x5 r1x1 i"),
	HAND(1, REPEAT, loop, "r r i"),
	HAND(1, REPEAT, active, "r5x7 b5 i"),
	HAND(1, REPEAT, freeze, "r5x7:9 b5 i"),
	HAND(1, REPEAT, active, "r1x3 b1 i"),
	HAND(1, REPEAT, nested, "r7 r7"),
	HAND(1, REPEAT, busy, "r5x7 i5:i5 i i"),
	HAND(3, REPEAT, freeze, "rNxP bN i"),
	HAND(3, REPEAT, busy, "rNxP iN:i9 i i"),
	HAND(1, CUSTOM, custom, "r7"),
};
/* clang-format on */
const int check_n_rows = sizeof check_rows / sizeof *check_rows;

/* The op on its operands; views and constants also as operands of others. */
void check_record(const struct check_row *row, struct check_call *c)
{
	if (row->record) {
		row->record(c);
		return;
	}
	const struct op_info *o = op_info(c->op);
	c->n_out = o->n_out > 0 ? o->n_out : 1;
	rein_op(c->r, c->op, (uint32_t)c->n_in, c->in, &c->attr, (uint32_t)c->n_out, c->out);
	uint32_t t = rein_dtype(c->r, c->out[0]);
	if ((o->view || c->op == REIN_OP_IOTA) && (t == REIN_REAL_T || t == REIN_I32_T))
		c->out[c->n_out++] = rein_add(c->r, c->out[0], rein_max(c->r, c->out[0], rein_fill(c->r, t, 1, 0, NULL)));
}

const char *check_op_name(uint32_t op) { return op == CHECK_PROGRAMS ? "programs" : op_info(op)->name; }

/* --- the list of a level ------------------------------------------------------------------------- */
struct list {
	struct check_case *at;
	int n, cap, number; /* number: the only one that is wanted, or -1 */
};

static void add(struct list *l, struct check_case c)
{
	if (l->number >= 0 && c.number != l->number)
		return;
	if (l->n == l->cap) {
		struct check_case *more = tool_alloc((size_t)(l->cap ? 2 * l->cap : 256) * sizeof *more);
		if (l->n)
			memcpy(more, l->at, (size_t)l->n * sizeof *more);
		free(l->at);
		l->at = more;
		l->cap = l->cap ? 2 * l->cap : 256;
	}
	l->at[l->n++] = c;
}

static bool row_has(const struct check_row *r, uint32_t op)
{
	return r->last ? op >= r->op && op <= r->last : op == r->op;
}

/* Each row of the op, in rounds with other numbers; all rows count, whatever their level. */
static void add_op(struct list *l, uint32_t op, uint64_t seed, int level)
{
	int n = 0, rounds = l->number >= 0 ? 1000 : 1 + (level - 1) / 2;
	for (int k = 0; k < check_n_rows; k++)
		n += row_has(&check_rows[k], op);
	for (int round = 0; round < rounds && n; round++)
		for (int k = 0, i = 0; k < check_n_rows; k++) {
			const struct check_row *r = &check_rows[k];
			if (!row_has(r, op))
				continue;
			int number = round * n + i++;
			char name[48];
			snprintf(name, sizeof name, "%s.%d", check_op_name(op), number);
			if (r->level <= level || l->number >= 0)
				add(l, (struct check_case){ .op = op, .number = number, .row = r, .seed = rng_key(seed, name) });
		}
}

static void add_programs(struct list *l, uint64_t seed, int level)
{
	int n = l->number >= 0 ? l->number + 1 : 8 * level * level;
	for (int k = 0; k < n; k++) {
		int ops = k % 16 == 15 ? 60 : k % 4 == 3 ? 16 : 4;
		add(l,
		    (struct check_case){ .op = CHECK_PROGRAMS, .number = k, .seed = seed * 1000003 + (uint64_t)k, .ops = ops });
	}
}

int check_cases(uint64_t seed, int level, const bool only[REIN_OP_COUNT], int number, struct check_case **out)
{
	struct list l = { .number = number };
	for (uint32_t op = 1; op < REIN_OP_COUNT; op++)
		if (!only || only[op])
			add_op(&l, op, seed, level);
	if (!only || only[CHECK_PROGRAMS])
		add_programs(&l, seed, level);
	*out = l.at;
	return l.n;
}
