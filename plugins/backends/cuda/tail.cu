/* SPDX-License-Identifier: MIT
 *
 * tail.cu: elementwise ops that a kernel does before it writes its numbers (tile_put): behind a
 * product a bias per column and an activation in the forward pass, the activation's derivative in
 * the backward pass; that also behind the derivative of pooling. Each saves a launch and a pass over
 * the result. Another tail: a value of TILE_*, a case in tile_put, a pattern below and its operands
 * in tail_of. A pattern computes what the ops would, in their order: the bits are the same.
 */
#include "tile.h"

#define TAIL_OPS 8
struct tail {
	const struct rein_program *p;
	const struct rein_plan *plan; /* joining: ops that are kernels of their own; else: */
	const int32_t *only;          /* ops of a group */
	int32_t n_only;
	int32_t n, list[TAIL_OPS];            /* the head and its tail, ascending */
	int32_t value;                        /* the result so far */
	int32_t act, bias, mask, times, gate; /* values, -1: none */
	float slope;
};

static bool may_have(const struct tail *t, int32_t k)
{
	if (t->plan)
		return t->plan->kernel[k] == k;
	for (int32_t j = 0; j < t->n_only; j++)
		if (t->only[j] == k)
			return true;
	return false;
}

/* All of n ops or none; the last one's result is the tail's. */
static bool add_ops(struct tail *t, int32_t n, const int32_t *op)
{
	for (int32_t j = 0; j < n; j++)
		if (t->n + n > TAIL_OPS || !may_have(t, op[j]) || t->p->instr[op[j]].n_out != 1)
			return false;
	for (int32_t j = 0; j < n; j++) {
		int32_t at = t->n++;
		for (; at > 0 && t->list[at - 1] > op[j]; at--)
			t->list[at] = t->list[at - 1];
		t->list[at] = op[j];
	}
	t->value = t->p->instr[op[n - 1]].out[0];
	return true;
}

/* The next instruction after k that reads v, or -1. */
static int32_t reader_after(const struct rein_program *p, int32_t v, int32_t k)
{
	while (++k < (int32_t)p->n_instr)
		for (uint32_t j = 0; j < p->instr[k].n_in; j++)
			if (p->instr[k].in[j] == v)
				return k;
	return -1;
}
/* The only op that reads v, or -1. */
static int32_t only_reader(const struct rein_program *p, int32_t v)
{
	return p->value[v].uses == 1 ? reader_after(p, v, p->value[v].instr) : -1;
}

/* v is one real number that is known. */
static bool number_of(const struct rein_program *p, int32_t v, float *x)
{
	const struct rein_prog_instr *i = &p->instr[p->value[v].instr];
	if (i->op != REIN_OP_CONST || p->value[v].count != 1 || p->value[v].dtype != REIN_REAL_T)
		return false;
	*x = i->attr.data ? *static_cast<const float *>(i->attr.data) : (float)i->attr.par[0];
	return true;
}
static bool is_number(const struct rein_program *p, int32_t v, float x)
{
	float y;
	return number_of(p, v, &y) && y == x;
}

/* A vector along `axis` from the end of y, and 1 elsewhere. */
static bool is_bias(const struct rein_prog_value *b, const struct rein_prog_value *y, uint32_t axis)
{
	return b->rank == y->rank && b->dtype == REIN_REAL_T && b->dim[b->rank - axis] == y->dim[y->rank - axis] &&
	       b->count == y->dim[y->rank - axis];
}
static bool same_shape(const struct rein_prog_value *a, const struct rein_prog_value *b)
{
	return a->rank == b->rank && a->count == b->count;
}

static int32_t other_of(const struct rein_prog_instr *i, int32_t v) { return i->in[0] == v ? i->in[1] : i->in[0]; }

static void match_bias(struct tail *t, uint32_t axis)
{
	int32_t v = t->value, k = axis ? only_reader(t->p, v) : -1;
	const struct rein_prog_instr *i = k < 0 ? NULL : &t->p->instr[k];
	if (i && i->op == REIN_OP_ADD && i->in[0] != i->in[1] &&
	    is_bias(&t->p->value[other_of(i, v)], &t->p->value[v], axis) && add_ops(t, 1, &k))
		t->bias = other_of(i, v);
}

/* relu is where(le(x, 0), 0, x): the two ops, which alone read x. leaky relu is where(le(x, 0),
 * mul(x, slope), x), three. */
static bool match_relu(struct tail *t)
{
	const struct rein_program *p = t->p;
	int32_t x = t->value, le = -1, mul = -1, where = -1;
	uint32_t uses = p->value[x].uses;
	for (int32_t k = reader_after(p, x, p->value[x].instr); k >= 0 && uses <= 3; k = reader_after(p, x, k)) {
		const struct rein_prog_instr *i = &p->instr[k];
		if (i->op == REIN_OP_LE && i->in[0] == x && is_number(p, i->in[1], 0))
			le = k;
		else if (i->op == REIN_OP_MUL && i->in[0] == x && number_of(p, i->in[1], &t->slope))
			mul = k;
		else if (i->op == REIN_OP_WHERE && i->in[2] == x)
			where = k;
	}
	if (le < 0 || where < 0 || p->instr[where].in[0] != p->instr[le].out[0])
		return false;
	int32_t op[] = { le, where, where }, low = p->instr[where].in[1];
	if (uses == 2 && is_number(p, low, 0))
		t->act = TILE_RELU;
	else if (uses == 3 && mul >= 0 && low == p->instr[mul].out[0] && p->value[low].uses == 1)
		t->act = TILE_LEAKY, op[1] = mul;
	else
		return false;
	t->mask = p->instr[le].out[0];
	if (add_ops(t, t->act == TILE_RELU ? 2 : 3, op))
		return true;
	t->act = TILE_PLAIN;
	return false;
}

/* The derivative of sigmoid: mul(v, mul(y, sub(1, y))). */
static bool match_sigmoid(struct tail *t, int32_t k)
{
	const struct rein_program *p = t->p;
	int32_t by = other_of(&p->instr[k], t->value), factor = p->value[by].instr;
	const struct rein_prog_instr *i = &p->instr[factor];
	if (i->op != REIN_OP_MUL || p->value[by].uses != 1)
		return false;
	for (uint32_t j = 0; j < 2; j++) {
		int32_t less = p->value[i->in[j]].instr, y = i->in[1 - j], op[] = { less, factor, k };
		if (p->instr[less].op != REIN_OP_SUB || p->value[i->in[j]].uses != 1 || p->instr[less].in[1] != y ||
		    !is_number(p, p->instr[less].in[0], 1) || !same_shape(&p->value[y], &p->value[t->value]) ||
		    !add_ops(t, 3, op))
			continue;
		t->act = TILE_DSIGMOID;
		t->times = y;
		return true;
	}
	return false;
}

/* The derivative of leaky relu: add(where(mask, 0, v), mul(where(mask, v, 0), slope)). */
static bool match_leaky(struct tail *t)
{
	const struct rein_program *p = t->p;
	int32_t v = t->value, low = -1, high = -1;
	for (int32_t k = reader_after(p, v, p->value[v].instr); k >= 0; k = reader_after(p, v, k)) {
		const struct rein_prog_instr *i = &p->instr[k];
		if (i->op == REIN_OP_WHERE && i->in[1] == v && is_number(p, i->in[2], 0))
			low = k;
		if (i->op == REIN_OP_WHERE && i->in[2] == v && is_number(p, i->in[1], 0))
			high = k;
	}
	if (p->value[v].uses != 2 || low < 0 || high < 0 || p->instr[low].in[0] != p->instr[high].in[0])
		return false;
	int32_t mul = only_reader(p, p->instr[low].out[0]), add = only_reader(p, p->instr[high].out[0]);
	if (mul < 0 || p->instr[mul].op != REIN_OP_MUL ||
	    !number_of(p, other_of(&p->instr[mul], p->instr[low].out[0]), &t->slope))
		return false;
	int32_t op[] = { low, high, mul, add }, gate = p->instr[low].in[0];
	if (add < 0 || p->instr[add].op != REIN_OP_ADD || add != only_reader(p, p->instr[mul].out[0]) ||
	    !same_shape(&p->value[gate], &p->value[v]) || !add_ops(t, 4, op))
		return false;
	t->act = TILE_LEAKY_GATE;
	t->gate = gate;
	return true;
}

/* Factor or mask of the result's shape, there in memory before the kernel is run. */
static void match_act(struct tail *t)
{
	const struct rein_program *p = t->p;
	int32_t v = t->value, k = only_reader(p, v);
	bool derivative = t->n == 1; /* nothing is added before it */
	if (match_relu(t) || (derivative && match_leaky(t)) || k < 0)
		return;
	const struct rein_prog_instr *i = &p->instr[k];
	if (i->op == REIN_OP_SIGMOID || i->op == REIN_OP_TANH) {
		if (add_ops(t, 1, &k))
			t->act = i->op == REIN_OP_SIGMOID ? TILE_SIGMOID : TILE_TANH;
	} else if (i->op == REIN_OP_MUL && derivative && i->in[0] != i->in[1]) {
		int32_t by = other_of(i, v);
		if (match_sigmoid(t, k) || !same_shape(&p->value[by], &p->value[v]) || !add_ops(t, 1, &k))
			return;
		t->act = TILE_TIMES;
		t->times = by;
	} else if (i->op == REIN_OP_WHERE && derivative && i->in[2] == v && is_number(p, i->in[1], 0) &&
	           same_shape(&p->value[i->in[0]], &p->value[v]) && add_ops(t, 1, &k)) {
		t->act = TILE_GATE;
		t->gate = i->in[0];
	}
}

static void begin(struct tail *t, const struct rein_program *p, int32_t head)
{
	t->p = p;
	t->n = 1, t->list[0] = head;
	t->value = p->instr[head].out[0];
	t->act = TILE_PLAIN;
	t->bias = t->mask = t->times = t->gate = -1;
}

void tail_match(const struct rein_program *p, struct rein_plan *plan, bool (*is)(const struct rein_prog_instr *),
                uint32_t axis)
{
	for (int32_t k = 0; k < (int32_t)p->n_instr; k++) {
		struct tail t, bias;
		memset(&t, 0, sizeof t);
		t.plan = plan;
		if (!is(&p->instr[k]) || plan->kernel[k] != k)
			continue;
		begin(&t, p, k);
		match_bias(&t, axis);
		bias = t;
		match_act(&t);
		if (t.n > bias.n && !cuda_may_join(p, plan, t.n, t.list))
			t = bias;
		if (t.n == 1 || !cuda_may_join(p, plan, t.n, t.list))
			continue;
		cuda_join(p, plan, t.n, t.list);
		for (int32_t m = 0; m < t.n; m++) /* operands are read more than once */
			plan->in_place[p->instr[t.list[m]].out[0]] = 0;
	}
}

void tail_match_early(const struct rein_program *p, struct rein_plan *plan, bool (*is)(const struct rein_prog_instr *))
{
	for (int32_t k = 0; k < (int32_t)p->n_instr; k++) {
		struct tail t;
		memset(&t, 0, sizeof t);
		t.plan = plan;
		if (!is(&p->instr[k]) || plan->kernel[k] != k)
			continue;
		begin(&t, p, k);
		match_act(&t);
		if (t.n == 1 || t.times >= 0 || t.gate >= 0)
			continue;
		cuda_join_first(p, plan, t.n, t.list);
		for (int32_t m = 0; m < t.n; m++)
			plan->in_place[p->instr[t.list[m]].out[0]] = 0;
	}
}

const struct rein_prog_instr *tail_head(const struct rein_program *p, int32_t n, const int32_t *instr)
{
	for (int32_t m = 0; m < n; m++)
		if (!cuda_is_elementwise(p->instr[instr[m]].op))
			return &p->instr[instr[m]];
	return &p->instr[instr[0]];
}

float *tail_of(const struct cuda_build *b, int32_t n, const int32_t *instr, uint32_t axis, struct tile_end *end)
{
	struct tail t;
	memset(&t, 0, sizeof t);
	memset(end, 0, sizeof *end);
	t.only = instr, t.n_only = n;
	begin(&t, b->p, (int32_t)(tail_head(b->p, n, instr) - b->p->instr));
	if (n > 1) {
		match_bias(&t, axis);
		match_act(&t);
	}
	end->act = t.act;
	end->slope = t.slope;
	end->bias = t.bias < 0 ? NULL : static_cast<const float *>(b->mem[t.bias]);
	end->mask = t.mask < 0 ? NULL : static_cast<uint8_t *>(b->mem[t.mask]);
	end->times = t.times < 0 ? NULL : static_cast<const float *>(b->mem[t.times]);
	end->gate = t.gate < 0 ? NULL : static_cast<const uint8_t *>(b->mem[t.gate]);
	return static_cast<float *>(b->mem[t.value]);
}
