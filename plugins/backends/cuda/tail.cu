/* SPDX-License-Identifier: MIT
 *
 * tail.cu: elementwise ops that a product's kernel does before it writes its numbers (tile_put):
 * a bias per column and an activation behind it in the forward pass, the activation's derivative
 * behind it in the backward pass. Each saves a launch and a pass over the result. Another tail: a
 * value of TILE_*, a case in tile_put, a pattern below and its operands in tail_of.
 */
#include "tile.h"

struct tail {
	int32_t n, list[4]; /* the product and its tail, in recorded order */
	int32_t value;      /* the result so far */
};

/* The only op that reads v, or NULL; its number in *k. */
static const struct rein_prog_instr *only_user(const struct rein_program *p, int32_t v, int32_t *k)
{
	if (p->value[v].uses != 1)
		return NULL;
	for (*k = p->value[v].instr + 1; *k < (int32_t)p->n_instr; ++*k)
		for (uint32_t j = 0; j < p->instr[*k].n_in; j++)
			if (p->instr[*k].in[j] == v)
				return &p->instr[*k];
	return NULL;
}

static bool alone(const struct rein_plan *plan, int32_t k) { return plan->kernel[k] == k; }

static bool add_op(struct tail *t, const struct rein_program *p, const struct rein_plan *plan, int32_t k)
{
	if (!alone(plan, k) || p->instr[k].n_out != 1)
		return false;
	t->list[t->n++] = k;
	t->value = p->instr[k].out[0];
	return true;
}

/* One number, known to be 0. */
static bool is_zero(const struct rein_program *p, int32_t v)
{
	const struct rein_prog_instr *i = &p->instr[p->value[v].instr];
	if (i->op != REIN_OP_CONST || p->value[v].count != 1 || p->value[v].dtype != REIN_REAL_T)
		return false;
	return i->attr.data ? *static_cast<const float *>(i->attr.data) == 0 : i->attr.par[0] == 0;
}

/* A vector along `axis` from the end of y, and 1 elsewhere. */
static bool is_bias(const struct rein_prog_value *b, const struct rein_prog_value *y, uint32_t axis)
{
	return b->rank == y->rank && b->dtype == REIN_REAL_T && b->dim[b->rank - axis] == y->dim[y->rank - axis] &&
	       b->count == y->dim[y->rank - axis];
}

static int32_t other_of(const struct rein_prog_instr *i, int32_t v) { return i->in[0] == v ? i->in[1] : i->in[0]; }

static void match_bias(struct tail *t, const struct rein_program *p, const struct rein_plan *plan, uint32_t axis)
{
	int32_t k;
	const struct rein_prog_instr *i = only_user(p, t->value, &k);
	if (i && i->op == REIN_OP_ADD && i->in[0] != i->in[1] &&
	    is_bias(&p->value[other_of(i, t->value)], &p->value[t->value], axis))
		add_op(t, p, plan, k);
}

/* relu is where(le(x, 0), 0, x): the two ops, which alone read x. */
static bool match_relu(struct tail *t, const struct rein_program *p, const struct rein_plan *plan)
{
	int32_t x = t->value, le = -1, where = -1;
	if (p->value[x].uses != 2)
		return false;
	for (int32_t k = p->value[x].instr + 1; k < (int32_t)p->n_instr; k++) {
		const struct rein_prog_instr *i = &p->instr[k];
		if (i->op == REIN_OP_LE && i->in[0] == x && is_zero(p, i->in[1]))
			le = k;
		if (i->op == REIN_OP_WHERE && i->in[2] == x && le >= 0 && i->in[0] == p->instr[le].out[0] &&
		    is_zero(p, i->in[1]))
			where = k;
	}
	if (where < 0 || !alone(plan, le) || !alone(plan, where))
		return false;
	return add_op(t, p, plan, le) && add_op(t, p, plan, where);
}

/* Factor or mask of the result's shape, there in memory before the product is run. */
static void match_act(struct tail *t, const struct rein_program *p, const struct rein_plan *plan)
{
	int32_t k, v = t->value;
	if (match_relu(t, p, plan))
		return;
	const struct rein_prog_instr *i = only_user(p, v, &k);
	if (!i)
		return;
	if (i->op == REIN_OP_SIGMOID || i->op == REIN_OP_TANH) {
		add_op(t, p, plan, k);
	} else if (i->op == REIN_OP_MUL && t->n == 1 && i->in[0] != i->in[1]) {
		const struct rein_prog_value *o = &p->value[other_of(i, v)];
		if (o->count == p->value[v].count && o->rank == p->value[v].rank)
			add_op(t, p, plan, k);
	} else if (i->op == REIN_OP_WHERE && t->n == 1 && i->in[2] == v && is_zero(p, i->in[1])) {
		if (p->value[i->in[0]].count == p->value[v].count)
			add_op(t, p, plan, k);
	}
}

void tail_match(const struct rein_program *p, struct rein_plan *plan, bool (*is)(const struct rein_prog_instr *),
                uint32_t axis)
{
	for (int32_t k = 0; k < (int32_t)p->n_instr; k++) {
		const struct rein_prog_instr *i = &p->instr[k];
		if (!is(i) || !alone(plan, k))
			continue;
		struct tail t = { 1, { k, 0, 0, 0 }, i->out[0] };
		match_bias(&t, p, plan, axis);
		match_act(&t, p, plan);
		while (t.n > 1 && !cuda_may_join(p, plan, t.n, t.list)) /* relu's two ops go together */
			t.n -= p->instr[t.list[t.n - 1]].op == REIN_OP_WHERE && p->instr[t.list[t.n - 2]].op == REIN_OP_LE ? 2 : 1;
		if (t.n == 1)
			continue;
		cuda_join(p, plan, t.n, t.list);
		for (int32_t m = 0; m < t.n; m++) /* a product reads its operands more than once */
			plan->in_place[p->instr[t.list[m]].out[0]] = 0;
	}
}

float *tail_of(const struct cuda_build *b, int32_t n, const int32_t *instr, struct tile_end *end)
{
	const struct rein_prog_instr *i = &b->p->instr[instr[0]];
	int32_t v = i->out[0];
	memset(end, 0, sizeof *end);
	for (int32_t m = 1; m < n; m++) {
		i = &b->p->instr[instr[m]];
		switch (i->op) {
		case REIN_OP_ADD: end->bias = static_cast<const float *>(b->mem[other_of(i, v)]); break;
		case REIN_OP_SIGMOID: end->act = TILE_SIGMOID; break;
		case REIN_OP_TANH: end->act = TILE_TANH; break;
		case REIN_OP_LE: end->mask = static_cast<uint8_t *>(b->mem[i->out[0]]); continue;
		case REIN_OP_MUL:
			end->act = TILE_TIMES;
			end->times = static_cast<const float *>(b->mem[other_of(i, v)]);
			break;
		case REIN_OP_WHERE:
			end->act = b->p->instr[instr[m - 1]].op == REIN_OP_LE ? TILE_RELU : TILE_GATE;
			end->gate = end->act == TILE_GATE ? static_cast<const uint8_t *>(b->mem[i->in[0]]) : NULL;
			break;
		default: break;
		}
		v = i->out[0];
	}
	return static_cast<float *>(b->mem[v]);
}
