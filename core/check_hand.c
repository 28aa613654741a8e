/* SPDX-License-Identifier: MIT
 *
 * check_hand.c: cases that are more than one op on its operands: states that are written, draws,
 * kernels of plugins, loops. Their ops are of those that give the same bits everywhere.
 */
#include "check.h"

#include <float.h>
#include <string.h>

static void give(struct check_call *c, rein_val v) { c->out[c->n_out++] = v; }

/* --- constants and states ------------------------------------------------------------------------ */
/* attr.mode: the dtype; as an operand, whole and as one number, and as a result. */
void check_hand_const(struct check_call *c)
{
	static const double real[6] = { 1, -2.5, 0x1p-20, -0.0, 3, 1e10 };
	static const int32_t whole[6] = { 1, -2, 2147483647, 0, 3, 100000 };
	static const uint8_t byte[6] = { 1, 0, 1, 1, 0, 1 };
	uint32_t t = c->attr.mode;
	const void *data = t == REIN_REAL_T ? (const void *)real : t == REIN_I32_T ? (const void *)whole : byte;
	int64_t dim[2] = { 2, 3 };
	rein_val v = rein_const(c->r, t, 2, dim, data), one = rein_fill(c->r, t, 1, 2, dim);
	give(c, v);
	give(c, rein_where(c->r, c->in[1], v, c->in[0]));
	give(c, rein_where(c->r, c->in[1], c->in[0], one));
	if (t == REIN_REAL_T || t == REIN_I32_T)
		give(c, rein_sub(c->r, rein_fill(c->r, t, 7, 0, NULL), c->in[0]));
}

void check_hand_read(struct check_call *c) { give(c, c->in[0]); }

static void assign(struct check_call *c, int k, rein_val v) { recorder_assign(c->rec, c->state[k], v, REIN_NONE); }

/* w := w - g / 2, and again; the first version is read late; when: only where it is said. */
void check_hand_update(struct check_call *c)
{
	rein_val w = c->in[0], step = rein_scale(c->r, c->in[1], 0.5), w1 = rein_sub(c->r, w, step);
	assign(c, 0, w1);
	assign(c, 0, rein_sub(c->r, recorder_read(c->rec, c->state[0]), step));
	give(c, rein_mul(c->r, w1, w));
	recorder_assign(c->rec, c->state[1], rein_scale(c->r, c->in[1], 2), c->in[2]);
	assign(c, 3, rein_add(c->r, c->in[3], rein_scalar_i(c->r, 1)));
}

/* Two states trade places, a third gets the old first one, and part of it goes to a fourth. */
void check_hand_swap(struct check_call *c)
{
	assign(c, 0, c->in[1]);
	assign(c, 1, c->in[0]);
	assign(c, 2, c->in[0]);
	assign(c, 3, rein_narrow(c->r, c->in[0], 0, 1, rein_dim(c->r, c->in[3], 0)));
	assign(c, 4, rein_add(c->r, c->in[4], rein_scalar_i(c->r, 1)));
}

/* A permuted read cannot be overwritten element by element. */
void check_hand_transposed(struct check_call *c)
{
	rein_val t = rein_permute(c->r, c->in[0], 2, (int64_t[]){ 1, 0 });
	assign(c, 0, rein_add(c->r, rein_scale(c->r, c->in[0], 8), t));
	give(c, rein_add(c->r, t, t));
}

/* --- draws ------------------------------------------------------------------------------------------ */
/* attr.mode: distribution, attr.flags: by what it is keyed; id, step, epoch are the operands. */
void check_hand_random(struct check_call *c)
{
	int64_t n = rein_dim(c->r, c->in[0], 0);
	int64_t shapes[3][3] = { { n, 1, 1 }, { n, 5, 3 }, { n, 129, 2 } };
	recorder_draw_keys(c->rec, c->in[0], c->in[1], c->in[2]);
	for (int k = 0; k < 3; k++)
		give(c, rein_random(c->r, "draw", c->attr.mode, c->attr.flags, 3, shapes[k]));
}

/* --- kernels of plugins ------------------------------------------------------------------------------- */
/* clang-format off */
REIN_MAP(check_huber, (w, g), (dw, which), (lambda, delta),
	which = fabs(w) < delta;
	dw = g + lambda * (fabs(w) < delta ? w / delta : copysign(1, w));
)
REIN_MAP(check_soft, (x), (y), (),
	y = x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
)
REIN_MAP(check_poly, (a, b, c), (y), (k),
	real s = 0;
	for (int i = 0; i < 3; i++)
		s = s * a + b;
	if (fabs(s) <= FLT_MAX)
		s = fmin(fmax(s, -k), k);
	y = s + sqrt(fabs(c)) * tanh(b);
)
/* clang-format on */
void check_hand_map(struct check_call *c)
{
	rein_val par[2] = { rein_scalar(c->r, 0.5), c->in[3] }, two[2];
	rein_map(c->r, &check_huber, c->in, par, two);
	give(c, two[0]);
	give(c, two[1]);
	rein_map(c->r, &check_soft, c->in, NULL, two);
	give(c, two[0]);
	rein_map(c->r, &check_poly, c->in, c->in + 3, two);
	give(c, rein_add(c->r, two[0], c->in[1]));
}

/* Integers are divided by positive constants. */
void check_hand_div(struct check_call *c)
{
	static const int32_t by[] = { 1, 2, 3, 7, 64, 2147483647 };
	for (size_t k = 0; k < sizeof by / sizeof *by; k++)
		give(c, rein_div(c->r, c->in[0], rein_scalar_i(c->r, by[k])));
}

static rein_status reverse(const void *ctx, const struct rein_tensor_view *in, struct rein_tensor_view *out)
{
	uint64_t size = in[0].bytes / (uint64_t)in[0].dim[0];
	for (int64_t i = 0; i < in[0].dim[0]; i++)
		memcpy((char *)out[0].data + (uint64_t)i * size,
		       (const char *)in[0].data + (uint64_t)(in[0].dim[0] - 1 - i) * size, size);
	return REIN_OK;
}
void check_hand_custom(struct check_call *c)
{
	struct rein_custom f = { .struct_size = sizeof f, .n_out = 1, .name = "reverse", .run = reverse };
	f.out[0].dtype = REIN_REAL_T;
	f.out[0].rank = 1;
	f.out[0].dim[0] = rein_dim(c->r, c->in[0], 0);
	rein_val x = rein_offset(c->r, c->in[0], 1), y;
	rein_custom_op(c->r, &f, 1, &x, 1, &y);
	give(c, rein_offset(c->r, y, 0.5));
}

/* --- loops ------------------------------------------------------------------------------------------ */
static void halve(void *ctx, struct rein_rec *r, rein_val i, rein_val *carry)
{
	rein_val x = carry[0];
	carry[0] = rein_add(r, rein_scale(r, x, 0.5), *(rein_val *)ctx);
	carry[1] = rein_add(r, carry[1], rein_mul(r, i, i));
	carry[2] = x;
}
/* As many rounds as it says: a captured value, the round's number, the value before. */
void check_hand_loop(struct check_call *c)
{
	for (uint32_t max = 1; max <= 4; max += 3) {
		struct rein_loop l = { .struct_size = sizeof l, .max = max, .n_carry = 3, .active = -1 };
		rein_val carry[3] = { c->in[0], c->in[2], c->in[0] };
		rein_repeat(c->r, &l, carry, halve, &c->in[1]);
		for (int k = 0; k < 3; k++)
			give(c, carry[k]);
	}
}

/* carry: x, active (N), rounds */
static void grow_rows(void *ctx, struct rein_rec *r, rein_val i, rein_val *carry)
{
	(void)ctx;
	(void)i;
	carry[0] = rein_scale(r, carry[0], 2);
	carry[1] = rein_lt(r, rein_amax(r, rein_abs(r, carry[0]), ~1u, 0), rein_scalar(r, 100));
	carry[2] = rein_add(r, carry[2], rein_scalar_i(r, 1));
}
static void rows(struct check_call *c, uint32_t flags)
{
	for (uint32_t max = 3; max <= 40; max += 37) {
		struct rein_loop l = { .struct_size = sizeof l, .max = max, .n_carry = 3, .active = 1, .flags = flags };
		rein_val carry[3] = { c->in[0], c->in[1], c->in[2] };
		rein_repeat(c->r, &l, carry, grow_rows, NULL);
		for (int k = 0; k < 3; k++)
			give(c, carry[k]);
	}
}
void check_hand_active(struct check_call *c) { rows(c, 0); }
void check_hand_freeze(struct check_call *c) { rows(c, REIN_FREEZE); }

static void inner(void *ctx, struct rein_rec *r, rein_val i, rein_val *carry)
{
	(void)i;
	carry[0] = rein_add(r, carry[0], *(rein_val *)ctx);
}
static void outer(void *ctx, struct rein_rec *r, rein_val i, rein_val *carry)
{
	struct rein_loop l = { .struct_size = sizeof l, .max = 3, .n_carry = 1, .active = -1 };
	rein_val a = carry[0], b = carry[1], c[1] = { carry[2] };
	(void)i;
	rein_repeat(r, &l, c, inner, ctx);
	carry[0] = b;
	carry[1] = a;
	carry[2] = c[0];
}
/* Carried values trade places around a loop in the loop; a state is written with the end. */
void check_hand_nested(struct check_call *c)
{
	struct rein_loop l = { .struct_size = sizeof l, .max = 5, .n_carry = 3, .active = -1 };
	rein_val carry[3] = { c->in[0], c->in[1], c->in[0] };
	rein_repeat(c->r, &l, carry, outer, &c->in[1]);
	give(c, carry[0]);
	give(c, carry[2]);
	assign(c, 0, carry[1]);
}

/* Ops of several families in a body, draws among them; all exact. */
static void busy(void *ctx, struct rein_rec *r, rein_val i, rein_val *carry)
{
	rein_val *in = ctx, x = carry[0], index;
	int64_t dim[2] = { rein_dim(r, x, 0), rein_dim(r, x, 1) };
	rein_val u = rein_random(r, "inside", REIN_UNIFORM, REIN_PER_STEP, 2, dim);
	rein_val top = rein_amax(r, x, REIN_AXIS(1), REIN_KEEP), s = rein_sort(r, x, 0, &index);
	rein_val half = rein_lt(r, u, rein_scalar(r, 0.5));
	carry[0] = rein_where(r, half, rein_sub(r, s, top), rein_take(r, x, in[1], 0));
	carry[1] = rein_add(r, carry[1], rein_sum(r, rein_cast(r, half, REIN_I32_T)));
	carry[1] = rein_add(r, carry[1], rein_mul(r, i, rein_sum(r, index)));
}
void check_hand_busy(struct check_call *c)
{
	struct rein_loop l = { .struct_size = sizeof l, .max = 3, .n_carry = 2, .active = -1 };
	rein_val carry[2] = { c->in[0], c->in[2] };
	recorder_draw_keys(c->rec, REIN_NONE, c->in[2], c->in[3]);
	rein_repeat(c->r, &l, carry, busy, c->in);
	give(c, carry[0]);
	give(c, carry[1]);
}
