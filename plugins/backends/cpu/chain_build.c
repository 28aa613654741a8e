/* SPDX-License-Identifier: MIT
 *
 * chain_build.c: from recorded ops to a chain, in four passes over single-assignment steps:
 *   emit     one step per op, loads for operands that are not read along the strip
 *   join     a product and the sum that is its only user become one step
 *   place    results that need memory are computed there, unless a later step still reads what
 *            lies there; then a copy at the end
 *   assign   registers, by last use
 * Where a choice hangs on one bool for the whole tensor (updates stop once the loss is not
 * finite), a second list of steps assumes it true and leaves the choice out.
 */
#include <string.h>

#include "strip.h"

struct build {
	struct chain *c;
	const struct rein_exec *e;
	const struct rein_program *p;
	const struct rein_plan *plan;
	int32_t head, pooled;
	bool sure, may_be_sure, full;
	struct step step[CHAIN_STEPS];
	int n_step;
	int32_t made[2 * CHAIN_REGS]; /* values of the chain ... */
	int16_t at[2 * CHAIN_REGS];   /* ... and their slots */
	int n_made;
	struct {
		int32_t value; /* -1: to the head's place */
		int16_t slot;
	} result[CHAIN_REGS]; /* those that need memory */
	int n_result;
};

static int width(const struct build *b, int32_t v)
{
	uint32_t t = b->p->value[v].dtype;
	return t == REIN_REAL_T || t == REIN_I32_T ? 4 : 1;
}

static int16_t new_slot(struct build *b, int kind, int size, int32_t value)
{
	struct chain *c = b->c;
	if (kind == SLOT_MEM || kind == SLOT_ONE)
		for (int k = 0; k < c->n_slot; k++)
			if (c->slot[k].kind == kind && c->slot[k].value == value)
				return (int16_t)k;
	if (c->n_slot == CHAIN_SLOTS) {
		b->full = true;
		return 0;
	}
	c->slot[c->n_slot] = (struct slot){ (uint8_t)kind, (uint8_t)size, -1, value, NULL };
	return (int16_t)c->n_slot++;
}

static struct step *new_step(struct build *b, int kind, int size)
{
	int16_t d = new_slot(b, SLOT_REG, size, -1);
	if (b->n_step == CHAIN_STEPS) {
		b->full = true;
		b->n_step--;
	}
	struct step *s = &b->step[b->n_step++];
	*s = (struct step){ .kind = (uint8_t)kind, .n_out = 1, .d = d, .in = { d, d, d } };
	return s;
}

static int16_t new_view(struct build *b, const struct view *v)
{
	if (b->c->n_view == 2 * CHAIN_REGS) {
		b->full = true;
		return 0;
	}
	b->c->view[b->c->n_view] = *v;
	return (int16_t)b->c->n_view++;
}

static void remember(struct build *b, int32_t value, int16_t slot)
{
	if (b->n_made == 2 * CHAIN_REGS) {
		b->full = true;
		return;
	}
	b->made[b->n_made] = value;
	b->at[b->n_made++] = slot;
}

static int find_made(const struct build *b, int32_t value)
{
	for (int k = 0; k < b->n_made; k++)
		if (b->made[k] == value)
			return b->at[k];
	return -1;
}

/* --- emit ------------------------------------------------------------------------------ */
/* Fewer, longer axes where strides allow. */
static void simplify(struct view *v)
{
	uint32_t n = 0;
	for (uint32_t k = 0; k < v->rank; k++) {
		if (v->dim[k] == 1)
			continue;
		if (n && v->stride[n - 1] == v->stride[k] * v->dim[k]) {
			v->dim[n - 1] *= v->dim[k];
			v->stride[n - 1] = v->stride[k];
			continue;
		}
		v->dim[n] = v->dim[k];
		v->stride[n++] = v->stride[k];
	}
	v->rank = n;
	if (!n) {
		v->rank = 1;
		v->dim[0] = 1;
		v->stride[0] = 0;
	}
}

/* Value `from` seen through a view op, or broadcast to y's shape (op 0). */
static struct view view_of(const struct build *b, const struct rein_prog_instr *i, int32_t from,
                           const struct rein_prog_value *y)
{
	const struct rein_prog_value *x = &b->p->value[from];
	int64_t stride[REIN_MAX_RANK] = { 0 }, s = 1;
	struct view v = { .rank = y->rank };
	for (uint32_t a = x->rank; a-- > 0; s *= x->dim[a])
		stride[a] = s;
	for (uint32_t k = 0; k < y->rank; k++) {
		v.dim[k] = y->dim[k];
		if (i && i->op == REIN_OP_PERMUTE) {
			v.stride[k] = stride[i->attr.dim[k]];
		} else if (i && i->op == REIN_OP_SLICE) {
			v.stride[k] = stride[k] * i->attr.step[k];
			v.start += stride[k] * i->attr.start[k];
		} else {
			v.stride[k] = x->count == 1 || x->dim[k] == 1 ? 0 : stride[k];
		}
	}
	simplify(&v);
	return v;
}

static int16_t load_view(struct build *b, const struct rein_prog_instr *i, int32_t from,
                         const struct rein_prog_value *y)
{
	int lanes = b->e->lanes[y - b->p->value];
	struct rein_prog_value turned = *y;
	if (lanes) { /* one number a channel, see lanes.c */
		turned.dim[0] /= lanes;
		turned.dim[3] *= lanes;
	}
	struct view v = view_of(b, i, from, &turned);
	int16_t base = new_slot(b, SLOT_ONE, width(b, from), from);
	struct step *s = new_step(b, STEP_VIEW, width(b, from));
	s->in[1] = base;
	s->more = new_view(b, &v);
	return s->d;
}

static int16_t load_iota(struct build *b, const struct rein_prog_instr *i)
{
	const struct rein_prog_value *y = &b->p->value[i->out[0]];
	uint32_t axis = i->attr.axes ? (uint32_t)__builtin_ctz(i->attr.axes) : 0;
	struct view v = { .rank = 1, .dim = { y->rank ? y->dim[axis] : 1 }, .stride = { 1 } };
	for (uint32_t a = axis + 1; a < y->rank; a++)
		v.stride[0] *= y->dim[a];
	struct step *s = new_step(b, STEP_IOTA, 4);
	s->more = new_view(b, &v);
	return s->d;
}

/* Where operand v of an op with result y is read from. */
static int16_t operand(struct build *b, int32_t v, const struct rein_prog_value *y)
{
	const struct rein_prog_value *x = &b->p->value[v];
	int32_t root = chain_root(b->p, b->plan, v);
	const struct rein_prog_instr *from = &b->p->instr[b->p->value[root].instr];
	int made = x->count == y->count ? find_made(b, root) : -1;
	if (made >= 0)
		return (int16_t)made;
	if (from->op == REIN_OP_CONST && !from->attr.data)
		return new_slot(b, SLOT_ONE, width(b, v), root);
	if (b->plan->home[root] == REIN_HOME_NONE && x->count == y->count) {
		/* a view nobody keeps: read through it, once */
		if (from->op == REIN_OP_IOTA || from->op == REIN_OP_EXPAND || from->op == REIN_OP_PERMUTE ||
		    from->op == REIN_OP_SLICE) {
			int16_t d = from->op == REIN_OP_IOTA ? load_iota(b, from)
			                                     : load_view(b, from, from->in[0], &b->p->value[from->out[0]]);
			remember(b, root, d);
			return d;
		}
	}
	if (x->count == y->count)
		return new_slot(b, SLOT_MEM, width(b, v), v);
	if (x->count == 1)
		return new_slot(b, SLOT_ONE, width(b, v), v);
	return load_view(b, NULL, v, y);
}

static void emit_map(struct build *b, const struct rein_prog_instr *i)
{
	const struct rein_map *m = i->attr.data;
	const struct rein_prog_value *y = &b->p->value[i->out[0]];
	struct map_step ms = { .map = m };
	for (uint32_t k = 0; k < m->n_in; k++) {
		ms.in[k] = operand(b, i->in[k], y);
		if (b->c->slot[ms.in[k]].kind == SLOT_ONE) /* it wants a strip */
			ms.in[k] = load_view(b, NULL, b->c->slot[ms.in[k]].value, y);
	}
	for (uint32_t k = 0; k < m->n_par; k++)
		ms.par[k] = operand(b, i->in[m->n_in + k], y);
	struct step *s = new_step(b, STEP_MAP, 4);
	s->n_in = (uint8_t)m->n_in;
	s->n_out = (uint8_t)m->n_out;
	ms.out[0] = s->d;
	for (uint32_t k = 1; k < m->n_out; k++)
		ms.out[k] = new_slot(b, SLOT_REG, 4, -1);
	for (uint32_t k = 0; k < m->n_out; k++)
		remember(b, i->out[k], ms.out[k]);
	if (b->c->n_map == 2 * CHAIN_REGS / MAP_WEIGHT) {
		b->full = true;
		return;
	}
	s->more = (int16_t)b->c->n_map;
	b->c->map[b->c->n_map++] = ms;
}

static void emit_take(struct build *b, const struct rein_prog_instr *i)
{
	const struct rein_prog_value *y = &b->p->value[i->out[0]], *x = &b->p->value[i->in[0]];
	bool single = x->count == x->dim[0];
	struct view v = { .rank = 2, .dim = { x->dim[0], x->count / x->dim[0] } };
	int16_t idx = single ? operand(b, i->in[1], y) : new_slot(b, SLOT_ONE, 4, i->in[1]);
	if (single && b->c->slot[idx].kind == SLOT_ONE) /* the same one for all */
		idx = load_view(b, NULL, b->c->slot[idx].value, y);
	int16_t table = new_slot(b, SLOT_ONE, width(b, i->in[0]), i->in[0]);
	struct step *s = new_step(b, single ? STEP_PICK : STEP_ROWS, width(b, i->in[0]));
	s->n_in = 1;
	s->in[0] = idx;
	s->in[1] = table;
	s->more = new_view(b, &v);
	remember(b, i->out[0], s->d);
}

/* The choice by one true bool is its second operand. */
static bool choice_is_sure(struct build *b, const struct rein_prog_instr *i, const int16_t *in)
{
	struct chain *c = b->c;
	if (i->op != REIN_OP_WHERE || c->slot[in[0]].kind != SLOT_ONE || c->slot[in[1]].kind == SLOT_ONE)
		return false;
	b->may_be_sure = true;
	if (!b->sure)
		return false;
	for (int k = 0; k < c->n_sure; k++)
		if (c->sure[k] == in[0])
			return true;
	if (c->n_sure == CHAIN_SURE)
		return false;
	c->sure[c->n_sure++] = in[0];
	return true;
}

static void emit_elem(struct build *b, const struct rein_prog_instr *i)
{
	const struct rein_prog_value *y = &b->p->value[i->out[0]];
	int16_t in[3] = { 0 };
	if (i->op == REIN_OP_MAP) {
		emit_map(b, i);
		return;
	}
	for (uint32_t k = 0; k < i->n_in && k < 3; k++)
		in[k] = operand(b, i->in[k], y);
	if (choice_is_sure(b, i, in)) {
		remember(b, i->out[0], in[1]);
		return;
	}
	struct step *s = new_step(b, STEP_OP, width(b, i->out[0]));
	s->op = (uint8_t)strip_op_of(b->p, i);
	s->n_in = (uint8_t)i->n_in;
	for (uint32_t k = 0; k < i->n_in && k < 3; k++) {
		s->in[k] = in[k];
		if (b->c->slot[in[k]].kind == SLOT_ONE)
			s->scalars |= (uint8_t)(1u << k);
	}
	for (uint32_t k = i->n_in; k < 3; k++)
		s->in[k] = s->in[0];
	remember(b, i->out[0], s->d);
}

static int16_t copy_of(struct build *b, int16_t from)
{
	int size = b->c->slot[from].size;
	struct step *s = new_step(b, STEP_OP, size);
	s->op = size == 4 ? S_COPY_4 : S_COPY_1;
	s->n_in = 1;
	s->in[0] = s->in[1] = s->in[2] = from;
	s->scalars = b->c->slot[from].kind == SLOT_ONE;
	return s->d;
}

static bool is_result(const struct build *b, int16_t slot)
{
	for (int k = 0; k < b->n_result; k++)
		if (b->result[k].slot == slot)
			return true;
	return false;
}

/* A result in memory has a step of its own. */
static void add_result(struct build *b, int32_t v, int32_t to)
{
	int slot = find_made(b, v);
	if (b->n_result == CHAIN_REGS) {
		b->full = true;
		return;
	}
	if (b->c->slot[slot].kind != SLOT_REG || is_result(b, (int16_t)slot))
		slot = copy_of(b, (int16_t)slot);
	b->result[b->n_result].value = to;
	b->result[b->n_result++].slot = (int16_t)slot;
}

static void emit_results(struct build *b, const struct rein_prog_instr *i)
{
	for (uint32_t o = 0; o < i->n_out; o++) {
		int32_t v = i->out[o];
		if (b->plan->home[v] != REIN_HOME_NONE)
			add_result(b, v, v);
		if (v == b->pooled)
			add_result(b, v, -1);
	}
}

static void emit_reduce(struct build *b, const struct rein_prog_instr *i)
{
	struct chain *c = b->c;
	const struct rein_prog_value *x = &b->p->value[i->in[0]];
	int64_t cols;
	int kind = chain_reduce_kind(b->p, i, &cols);
	if (c->n_reduce == CHAIN_REDUCE || (cols && c->cols && c->cols != cols)) {
		b->full = true;
		return;
	}
	c->cols = cols ? cols : c->cols;
	int16_t slot = operand(b, i->in[0], x);
	/* strips, and not of memory that this chain rewrites */
	if (c->slot[slot].kind == SLOT_ONE || (c->slot[slot].kind == SLOT_MEM && b->n_result))
		slot = copy_of(b, slot);
	struct reduce *r = &c->reduce[c->n_reduce++];
	r->kind = (uint8_t)kind;
	r->op = (uint8_t)i->op;
	r->dtype = (uint8_t)x->dtype;
	r->wide = (i->attr.flags & REIN_WIDE) && i->op == REIN_OP_SUM;
	r->slot[b->sure] = slot;
	r->value = i->out[0];
}

/* --- join ------------------------------------------------------------------------------ */
static int reads(const struct build *b, const struct step *s, int16_t slot)
{
	const struct map_step *m = s->kind == STEP_MAP ? &b->c->map[s->more] : NULL;
	int n = 0;
	for (int j = 0; j < s->n_in; j++)
		n += (m ? m->in[j] : s->in[j]) == slot;
	for (uint32_t j = 0; m && j < m->map->n_par; j++)
		n += m->par[j] == slot;
	return n;
}

static int uses_of(const struct build *b, int16_t slot)
{
	int n = is_result(b, slot);
	for (int k = 0; k < b->n_step; k++)
		n += reads(b, &b->step[k], slot);
	for (int k = 0; k < b->c->n_reduce; k++)
		n += b->c->reduce[k].slot[b->sure] == slot;
	return n;
}

/* The joined op of `first`, which gives operand k of `then`; -1 if there is none. */
static int joined(int first, int then, int k)
{
	switch (first) {
	case S_MUL_F:
		return then == S_ADD_F   ? S_MUL_ADD
		       : then == S_MUL_F ? S_MUL_MUL
		       : then != S_SUB_F ? -1
		       : k               ? S_MUL_RSUB
		                         : S_MUL_SUB;
	case S_ADD_F: return then == S_MUL_F ? S_ADD_MUL : -1;
	case S_SUB_F: return then == S_MUL_F ? S_SUB_MUL : -1;
	case S_DIV_F: return then == S_MUL_F ? S_DIV_MUL : -1;
	default: return -1;
	}
}

static void join_steps(struct build *b)
{
	for (int t = 0; t < b->n_step; t++) {
		struct step *then = &b->step[t];
		for (int k = 0; then->kind == STEP_OP && then->n_in == 2 && k < 2; k++) {
			int f = t - 1;
			while (f >= 0 && b->step[f].d != then->in[k])
				f--;
			if (f < 0 || b->step[f].kind != STEP_OP || b->step[f].n_in != 2 || uses_of(b, then->in[k]) != 1)
				continue;
			const struct step *first = &b->step[f];
			int op = joined(first->op, then->op, k);
			if (op < 0)
				continue;
			struct step s = *then;
			s.op = (uint8_t)op;
			s.n_in = 3;
			s.in[0] = first->in[0], s.in[1] = first->in[1], s.in[2] = then->in[1 - k];
			s.scalars = (uint8_t)((first->scalars & 3) | (then->scalars >> (1 - k) & 1) << 2);
			*then = s;
			memmove(&b->step[f], &b->step[f + 1], (size_t)(b->n_step - f - 1) * sizeof *then);
			b->n_step--;
			t--;
			break;
		}
	}
}

/* What only the other side of a sure choice needs. */
static void drop_dead(struct build *b)
{
	int n = b->n_step, kept = n;
	bool dead[CHAIN_STEPS] = { false };
	for (int k = n - 1; k >= 0; k--) {
		const struct step *s = &b->step[k];
		bool used = s->kind == STEP_MAP || is_result(b, s->d);
		for (int r = 0; r < b->c->n_reduce; r++)
			used |= b->c->reduce[r].slot[b->sure] == s->d;
		for (int j = k + 1; j < n && !used; j++)
			if (!dead[j])
				used = reads(b, &b->step[j], s->d);
		dead[k] = !used;
	}
	for (int k = kept = 0; k < n; k++)
		if (!dead[k])
			b->step[kept++] = b->step[k];
	b->n_step = kept;
}

/* --- place ------------------------------------------------------------------------------ */
/* Memory of a value as a pair to compare; false for what only shares with itself. */
static bool place_of(const struct build *b, int32_t v, int64_t *space, int64_t *from)
{
	int64_t at = 0;
	for (; b->plan->home[v] == REIN_HOME_ALIAS; v = b->plan->base[v])
		at += b->plan->base_offset[v];
	if (b->plan->home[v] == REIN_HOME_ARENA) {
		*space = -1;
		*from = at + b->plan->offset[v];
		return true;
	}
	*space = b->plan->base[v];
	*from = at;
	return b->plan->home[v] == REIN_HOME_STATE;
}

static bool overlap(const struct build *b, int32_t u, int32_t v)
{
	int64_t su, fu, sv, fv;
	if (u == v)
		return true;
	if (!place_of(b, u, &su, &fu) || !place_of(b, v, &sv, &fv) || su != sv)
		return false;
	return fu < fv + b->p->value[v].count * width(b, v) && fv < fu + b->p->value[u].count * width(b, u);
}

/* True if a step after `step` reads memory that v's lies in, or the head's piece if v is -1. */
static bool read_later(const struct build *b, int step, int32_t v)
{
	for (int k = step + 1; k < b->n_step; k++) {
		const struct step *s = &b->step[k];
		const struct map_step *m = s->kind == STEP_MAP ? &b->c->map[s->more] : NULL;
		for (uint32_t j = 0; j < s->n_in; j++) {
			const struct slot *x = &b->c->slot[m ? m->in[j] : s->in[j]];
			if (v < 0 ? x->kind == SLOT_BLOCK : x->kind == SLOT_MEM && overlap(b, x->value, v))
				return true;
		}
	}
	return false;
}

static void place_results(struct build *b)
{
	int n = b->n_step;
	for (int r = 0; r < b->n_result; r++) {
		int16_t slot = b->result[r].slot;
		int32_t v = b->result[r].value;
		int k = 0;
		while (k < n && b->step[k].d != slot)
			k++;
		if (k < n && b->step[k].kind != STEP_MAP && !read_later(b, k, v)) {
			b->c->slot[slot].kind = v < 0 ? SLOT_BLOCK : SLOT_MEM;
			b->c->slot[slot].value = v;
			continue;
		}
		int16_t to = v < 0 ? new_slot(b, SLOT_BLOCK, 4, v) : new_slot(b, SLOT_MEM, width(b, v), v), from = slot;
		copy_of(b, from);
		b->step[b->n_step - 1].d = to;
	}
}

/* --- assign ----------------------------------------------------------------------------- */
static int last_use(const struct build *b, int16_t slot)
{
	int last = -1;
	for (int k = 0; k < b->n_step; k++) {
		const struct step *s = &b->step[k];
		const struct map_step *m = s->kind == STEP_MAP ? &b->c->map[s->more] : NULL;
		bool here = s->d == slot || reads(b, s, slot);
		for (uint32_t j = 1; m && j < m->map->n_out; j++)
			here |= m->out[j] == slot;
		if (here)
			last = k;
	}
	for (int k = 0; k < b->c->n_reduce; k++)
		if (b->c->reduce[k].slot[b->sure] == slot)
			last = b->n_step;
	return last;
}

static void assign_one(struct build *b, int16_t slot, int step, int *busy_until)
{
	struct slot *s = &b->c->slot[slot];
	if (s->kind != SLOT_REG || s->reg >= 0)
		return;
	for (int r = 0; r < CHAIN_REGS; r++)
		if (busy_until[r] < step) {
			s->reg = (int16_t)r;
			busy_until[r] = last_use(b, slot);
			return;
		}
	b->full = true;
}

static void assign_registers(struct build *b)
{
	int busy_until[CHAIN_REGS];
	for (int r = 0; r < CHAIN_REGS; r++)
		busy_until[r] = -1;
	for (int k = 0; k < b->n_step; k++) {
		const struct step *s = &b->step[k];
		assign_one(b, s->d, k, busy_until);
		for (int j = 1; s->kind == STEP_MAP && j < s->n_out; j++)
			assign_one(b, b->c->map[s->more].out[j], k, busy_until);
	}
}

/* --- all of it -------------------------------------------------------------------------- */
static void build_steps(struct build *b, int32_t n, const int32_t *instr)
{
	b->c->n_reduce = 0;
	if (b->head >= 0)
		remember(b, b->head, new_slot(b, SLOT_BLOCK, 4, b->head));
	for (int32_t k = 0; k < n; k++) {
		const struct rein_prog_instr *i = &b->p->instr[instr[k]];
		switch (chain_kind(b->p, i)) {
		case OP_ELEM: emit_elem(b, i); break;
		case OP_TAKE: emit_take(b, i); break;
		case OP_VIEW: remember(b, i->out[0], load_view(b, i, i->in[0], &b->p->value[i->out[0]])); break;
		case OP_IOTA: remember(b, i->out[0], load_iota(b, i)); break;
		default: continue;
		}
		emit_results(b, i);
	}
	for (int32_t k = 0; k < n; k++)
		if (chain_kind(b->p, &b->p->instr[instr[k]]) == OP_REDUCE)
			emit_reduce(b, &b->p->instr[instr[k]]);
	drop_dead(b);
	join_steps(b);
	place_results(b);
	assign_registers(b);
	memcpy(b->c->step[b->sure], b->step, sizeof b->step);
	b->c->n_step[b->sure] = b->n_step;
}

bool chain_build(struct chain *c, const struct rein_exec *e, int32_t n, const int32_t *instr, int32_t head,
                 int32_t pooled)
{
	struct build b = { .c = c, .e = e, .p = e->program, .plan = e->plan, .head = head, .pooled = pooled };
	*c = (struct chain){ .isa = strip_isa(e->cpu->isa) };
	const struct rein_prog_instr *first = &b.p->instr[instr[0]];
	int32_t v = head >= 0 ? head : chain_kind(b.p, first) == OP_REDUCE ? first->in[0] : first->out[0];
	c->count = b.p->value[v].count;
	build_steps(&b, n, instr);
	if (b.may_be_sure) {
		struct build s = { .c = c, .e = e, .p = b.p, .plan = b.plan, .head = head, .pooled = pooled, .sure = true };
		build_steps(&s, n, instr);
		b.full |= s.full;
	}
	for (int k = 0; k < c->n_slot; k++)
		if (c->slot[k].kind == SLOT_MEM || c->slot[k].kind == SLOT_BLOCK)
			c->moving[c->n_moving++] = (int16_t)k;
	chain_split(c);
	return !b.full;
}
