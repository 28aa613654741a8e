/* SPDX-License-Identifier: MIT
 *
 * record_loop.c: loops, whose body is recorded once into a body of its own, and ops that
 * bring their own derivative. What a body uses from outside is captured: it becomes an
 * operand of the REPEAT, behind the carried values.
 *
 * A round runs while any `active` is true at its start; the new `active` is and(old, new),
 * so that it can only fall. REIN_FREEZE keeps, of every carried value whose first axis is
 * the batch (of every one, with a scalar `active`), the rows whose new `active` is false.
 */
#include "rec.h"

#include <string.h>

struct loop_rec {
	struct recorder *r;
	struct rein_loop l;
	rein_body *body;
	void *ctx;
	rein_val *carry, *was; /* n_carry each: of the round */
};

static rein_val op2(struct recorder *r, uint32_t op, rein_val a, rein_val b)
{
	rein_val in[2] = { a, b }, out;
	rec_op(&r->rec, op, 2, in, NULL, 1, &out);
	return out;
}

static rein_val pick(struct recorder *r, rein_val c, rein_val a, rein_val b)
{
	rein_val in[3] = { c, a, b }, out;
	rec_op(&r->rec, REIN_OP_WHERE, 3, in, NULL, 1, &out);
	return out;
}

static rein_val int_scalar(struct recorder *r, int64_t v)
{
	struct rein_attr a = { .struct_size = sizeof a, .mode = REIN_I32_T, .par = { (double)v } };
	rein_val out;
	rec_op(&r->rec, REIN_OP_CONST, 0, NULL, &a, 1, &out);
	return out;
}

/* (N) bool along the first axis of a tensor of rank `rank`. */
static rein_val along_rows(struct recorder *r, rein_val mask, uint32_t rank)
{
	struct rein_attr a = { .struct_size = sizeof a, .rank = rank };
	rein_val out;
	if (rec_value(r, mask)->rank == rank)
		return mask;
	a.dim[0] = rec_value(r, mask)->dim[0];
	for (uint32_t i = 1; i < rank; i++)
		a.dim[i] = 1;
	rec_op(&r->rec, REIN_OP_RESHAPE, 1, &mask, &a, 1, &out);
	return out;
}

static bool loop_ok(struct recorder *r, struct rein_loop *l, rein_val *carry)
{
	for (uint32_t k = 0; k < l->n_carry; k++) {
		carry[k] = rec_use(r, carry[k], "repeat");
		if (REC_IS_POISON(carry[k]))
			return false;
	}
	if (l->active < 0)
		return true;
	if ((uint32_t)l->active >= l->n_carry) {
		rec_refuse(r, "repeat: active is %d, but %u values are carried", l->active, l->n_carry);
		return false;
	}
	const struct rec_value *a = rec_value(r, carry[l->active]);
	if (a->dtype != REIN_BOOL_T || a->rank > 1) {
		rec_refuse(r, "repeat: active must be a bool scalar or (N), it is %s %s", dtype_name(a->dtype), SHAPE(a));
		return false;
	}
	return true;
}

/* Is carried value k kept row by row? */
static bool frozen(struct loop_rec *c, uint32_t k)
{
	if (!(c->l.flags & REIN_FREEZE) || c->l.active < 0)
		return false;
	const struct rec_value *a = rec_value(c->r, c->was[c->l.active]), *v = rec_value(c->r, c->was[k]);
	return a->rank == 0 || (v->rank > 0 && v->dim[0] == a->dim[0]);
}

/* Records one round from was[] to carry[]; false after errors. */
static bool one_round(struct loop_rec *c, rein_val i)
{
	struct recorder *r = c->r;
	uint32_t n = c->l.n_carry;

	memcpy(c->carry, c->was, n * sizeof *c->carry);
	c->body(c->ctx, &r->rec, i, c->carry);
	for (uint32_t k = 0; k < n; k++) {
		c->carry[k] = rec_use(r, c->carry[k], "repeat");
		if (REC_IS_POISON(c->carry[k]))
			return false;
		const struct rec_value *a = rec_value(r, c->was[k]), *b = rec_value(r, c->carry[k]);
		if (a->dtype != b->dtype || a->rank != b->rank || memcmp(a->dim, b->dim, a->rank * sizeof *a->dim) != 0) {
			rec_refuse(r, "repeat: carried value %u is %s %s before a round and %s %s after it", k,
			           dtype_name(a->dtype), SHAPE(a), dtype_name(b->dtype), SHAPE(b));
			return false;
		}
	}
	if (c->l.active < 0)
		return true;
	uint32_t at = (uint32_t)c->l.active;
	rein_val go = c->carry[at] = op2(r, REIN_OP_AND, c->was[at], c->carry[at]);
	for (uint32_t k = 0; k < n; k++)
		if (k != at && frozen(c, k)) {
			rein_val m = rec_value(r, go)->rank ? along_rows(r, go, rec_value(r, c->was[k])->rank) : go;
			c->carry[k] = pick(r, m, c->carry[k], c->was[k]);
		}
	return true;
}

/* REIN_UNROLL: the rounds one after another; one that would not run changes nothing. */
static bool unroll(struct loop_rec *c, rein_val outer_round)
{
	struct recorder *r = c->r;
	struct rec_scope *s = r->n_scope ? &r->scope[r->n_scope - 1] : NULL;
	int n_draw = s ? s->n_draw : 0;
	struct rec_draw *draw = rec_alloc(r, (uint64_t)(n_draw + 1) * sizeof *draw);

	if (n_draw)
		memcpy(draw, s->draw, (size_t)n_draw * sizeof *draw);
	for (uint32_t i = 0; i < c->l.max; i++) {
		rein_val n = int_scalar(r, i), any = REIN_NONE;
		s = r->n_scope ? &r->scope[r->n_scope - 1] : NULL;
		if (s) { /* each round draws from the streams as the recorded body would */
			s->n_draw = n_draw;
			if (n_draw)
				memcpy(s->draw, draw, (size_t)n_draw * sizeof *draw);
		}
		r->round = REIN_IS_NONE(outer_round)
		               ? n
		               : op2(r, REIN_OP_ADD, op2(r, REIN_OP_MUL, outer_round, int_scalar(r, c->l.max)), n);
		if (c->l.active >= 0) {
			struct rein_attr a = { .struct_size = sizeof a, .axes = 1 };
			any = c->was[c->l.active];
			if (rec_value(r, any)->rank)
				rec_op(&r->rec, REIN_OP_AMAX, 1, &any, &a, 1, &any);
		}
		if (!one_round(c, n))
			return false;
		for (uint32_t k = 0; k < c->l.n_carry && c->l.active >= 0; k++)
			if ((int32_t)k != c->l.active && !frozen(c, k))
				c->carry[k] = pick(r, any, c->carry[k], c->was[k]);
		memcpy(c->was, c->carry, c->l.n_carry * sizeof *c->was);
	}
	return true;
}

static int32_t body_input(struct recorder *r, const struct rec_value *like)
{
	struct rec_body *b = r->body[r->current];
	struct rein_attr a = { .struct_size = sizeof a, .mode = (uint32_t)b->input.n };
	struct rec_value v = *like;
	int n = rec_append(r, REIN_OP_INPUT, 0, NULL, &a, 1, &v);
	if (n < 0)
		return -2;
	ints_push(&b->input, r->instr[n].out);
	return r->instr[n].out;
}

/* The body on its own, then the REPEAT over it; out[] gets the values after the loop. */
static bool record_body(struct loop_rec *c, rein_val outer_round, rein_val *out)
{
	struct recorder *r = c->r;
	const struct rec_value round = { .dtype = REIN_I32_T, .count = 1 };
	uint32_t n = c->l.n_carry;
	int outer = r->current, b = rec_body_create(r, outer);

	r->current = b;
	r->body[b]->loop = c->l;
	rein_val i = { body_input(r, &round) };
	for (uint32_t k = 0; k < n; k++)
		c->was[k].id = body_input(r, rec_value(r, out[k]));
	r->round = REIN_IS_NONE(outer_round)
	               ? i
	               : op2(r, REIN_OP_ADD, op2(r, REIN_OP_MUL, outer_round, int_scalar(r, c->l.max)), i);
	bool ok = one_round(c, i);
	for (uint32_t k = 0; ok && k < n; k++)
		ints_push(&r->body[b]->output, c->carry[k].id);
	r->current = outer;
	if (!ok)
		return false;

	uint32_t n_in = n + (uint32_t)r->body[b]->captured.n;
	rein_val *in = rec_alloc(r, (n_in + 1) * sizeof *in);
	struct rec_value *like = rec_alloc(r, (n + 1) * sizeof *like);
	for (uint32_t k = 0; k < n; k++) {
		in[k] = out[k];
		like[k] = *rec_value(r, out[k]);
	}
	for (uint32_t k = n; k < n_in; k++)
		in[k].id = r->body[b]->captured.at[k - n];
	struct rein_attr a = { .struct_size = sizeof a };
	int at = rec_append(r, REIN_OP_REPEAT, n_in, in, &a, n, like);
	if (at < 0)
		return false;
	r->instr[at].loop = b;
	for (uint32_t k = 0; k < n; k++)
		out[k].id = r->instr[at].out + (int32_t)k;
	return true;
}

void rec_repeat(struct rein_rec *rec, const struct rein_loop *loop, rein_val *carry, rein_body *body, void *ctx)
{
	struct recorder *r = recorder_of(rec);
	struct loop_rec c = { .r = r, .body = body, .ctx = ctx };
	rein_val saved = r->round;
	bool unrolling = r->unrolling, ok;

	memcpy(&c.l, loop, loop->struct_size < sizeof c.l ? loop->struct_size : sizeof c.l);
	c.l.struct_size = sizeof c.l;
	c.carry = rec_alloc(r, (c.l.n_carry + 1) * sizeof *c.carry);
	c.was = rec_alloc(r, (c.l.n_carry + 1) * sizeof *c.was);
	ok = loop_ok(r, &c.l, carry);
	if (ok && c.l.max == 0)
		return;
	if (ok && (c.l.flags & REIN_UNROLL)) {
		memcpy(c.was, carry, c.l.n_carry * sizeof *carry);
		r->unrolling = true;
		ok = unroll(&c, saved);
		memcpy(carry, c.was, c.l.n_carry * sizeof *carry);
	} else if (ok) {
		ok = record_body(&c, saved, carry);
	}
	r->unrolling = unrolling;
	r->round = saved;
	for (uint32_t k = 0; !ok && k < c.l.n_carry; k++)
		carry[k] = REC_POISON;
}

/* --- ops with their own derivative ------------------------------------------------------ */
rein_val rec_override(struct rein_rec *rec, rein_val y, uint32_t n, const rein_val *in, rein_vjp *rule, const void *ctx)
{
	struct recorder *r = recorder_of(rec);
	rein_val *v = rec_alloc(r, (n + 1) * sizeof *v);
	struct rein_attr a = { .struct_size = sizeof a };

	v[0] = rec_use(r, y, "override");
	for (uint32_t k = 0; k < n; k++)
		v[k + 1] = rec_use(r, in[k], "override");
	for (uint32_t k = 0; k <= n; k++)
		if (REC_IS_POISON(v[k]))
			return REC_POISON;
	struct rec_value like = *rec_value(r, v[0]);
	int at = rec_append(r, REIN_OP_STOP, n + 1, v, &a, 1, &like);
	if (at < 0)
		return REC_POISON;
	r->instr[at].rule = rule;
	r->instr[at].rule_ctx = ctx;
	return (rein_val){ r->instr[at].out };
}

void rec_custom(struct rein_rec *rec, const struct rein_custom *custom, uint32_t n_in, const rein_val *in,
                uint32_t n_out, rein_val *out)
{
	struct recorder *r = recorder_of(rec);
	rein_val *v = rec_alloc(r, (n_in + 1) * sizeof *v);
	struct rein_custom *own = rec_alloc(r, sizeof *own);
	struct rec_value res[4];
	struct rein_attr a = { .struct_size = sizeof a };

	memcpy(own, custom, custom->struct_size < sizeof *own ? custom->struct_size : sizeof *own);
	own->struct_size = sizeof *own;
	own->name = rec_text(r, "%s", own->name ? own->name : "custom");
	for (uint32_t k = 0; k < n_in; k++)
		v[k] = in[k]; /* in may be out */
	for (uint32_t k = 0; k < n_out; k++)
		out[k] = REC_POISON;
	if (own->n_out != n_out || n_out > 4 || !own->run) {
		rec_refuse(r, "custom %s: has %u results (1 to 4, with a function), %u asked for", own->name, own->n_out,
		           n_out);
		return;
	}
	struct infer c = { .op = REIN_OP_CUSTOM, .n_in = n_in, .n_out = n_out, .attr = &a, .out = res };
	for (uint32_t k = 0; k < n_out; k++)
		if (!infer_shape(&c, k, own->out[k].dtype, own->out[k].rank, own->out[k].dim)) {
			rec_refuse(r, "custom %s: %s", own->name, c.why);
			return;
		}
	for (uint32_t k = 0; k < n_in; k++) {
		v[k] = rec_use(r, v[k], own->name);
		if (REC_IS_POISON(v[k]))
			return;
	}
	int at = rec_append(r, REIN_OP_CUSTOM, n_in, v, &a, n_out, res);
	if (at < 0)
		return;
	r->instr[at].ext = own;
	for (uint32_t k = 0; k < n_out; k++)
		out[k] = (rein_val){ r->instr[at].out + (int32_t)k };
}
