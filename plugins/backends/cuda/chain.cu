/* SPDX-License-Identifier: MIT
 *
 * chain.cu: groups of elementwise ops. An op joins the groups that make its operands if all
 * of it has one shape and nobody else needs a value of them earlier. Views that only chains
 * read (expand, permute, slice) are not made at all: their element is read where it is.
 */
#include "chain.h"
#include "view.h"

static bool supports(const struct rein_program *p, const struct rein_prog_instr *i)
{
	uint32_t d = i->n_in ? p->value[i->in[0]].dtype : REIN_REAL_T;
	bool byte = d == REIN_U8_T || d == REIN_BOOL_T;
	switch (i->op) {
	case REIN_OP_IOTA:
	case REIN_OP_WHERE:
	case REIN_OP_CAST:
	case REIN_OP_LT:
	case REIN_OP_LE:
	case REIN_OP_EQ: return true;
	case REIN_OP_ADD:
	case REIN_OP_SUB:
	case REIN_OP_MUL:
	case REIN_OP_DIV:
	case REIN_OP_MAX: return !byte;
	case REIN_OP_ABS:
	case REIN_OP_SIGN: return d == REIN_REAL_T || d == REIN_I32_T;
	case REIN_OP_SQRT: return d == REIN_REAL_T || d == REIN_WIDE_T;
	case REIN_OP_POW:
	case REIN_OP_FLOOR:
	case REIN_OP_RINT:
	case REIN_OP_EXP:
	case REIN_OP_LOG:
	case REIN_OP_LOG1P:
	case REIN_OP_SIN:
	case REIN_OP_COS:
	case REIN_OP_ERF:
	case REIN_OP_TANH:
	case REIN_OP_SIGMOID:
	case REIN_OP_MAP: return d == REIN_REAL_T;
	case REIN_OP_AND:
	case REIN_OP_NOT: return byte;
	default: return false;
	}
}

static bool is_chain_op(uint32_t op) { return cuda_is_elementwise(op) || op == REIN_OP_IOTA; }
/* A view that a chain can read through. */
static bool is_view(uint32_t op) { return op == REIN_OP_EXPAND || op == REIN_OP_PERMUTE || op == REIN_OP_SLICE; }

/* --- describing a group -------------------------------------------------------------------- */
struct describing {
	const struct rein_program *p;
	const struct rein_plan *plan;
	int32_t n;
	const int32_t *instr;
	struct chain *c;
	int32_t of[4 * CHAIN_OPS + CHAIN_INS], slot[4 * CHAIN_OPS + CHAIN_INS], n_of; /* value -> slot */
};

static int32_t slot_of(const struct describing *d, int32_t v)
{
	for (int32_t k = 0; k < d->n_of; k++)
		if (d->of[k] == v)
			return d->slot[k];
	return -1;
}
static int32_t new_slot(struct describing *d, int32_t v, uint32_t dtype)
{
	if (d->c->n_slot >= CHAIN_INS + 4 * CHAIN_OPS)
		return -1;
	d->c->dtype[d->c->n_slot] = (uint8_t)dtype;
	if (v >= 0) {
		d->of[d->n_of] = v;
		d->slot[d->n_of++] = d->c->n_slot;
	}
	return d->c->n_slot++;
}

/* Through renamings that keep every element's number. */
static int32_t same_elements(const struct rein_program *p, int32_t v)
{
	for (;;) {
		const struct rein_prog_instr *i = &p->instr[p->value[v].instr];
		if (i->op != REIN_OP_RESHAPE && i->op != REIN_OP_STOP)
			return v;
		v = i->in[0];
	}
}

/* Where operand v has what element e of a chain of shape y needs, through a view that is not made. */
static void find_input(const struct describing *d, int32_t v, const struct rein_prog_value *y, struct chain_input *in)
{
	const struct rein_program *p = d->p;
	const struct rein_prog_instr *i = &p->instr[p->value[v].instr];
	int64_t flat = 1, stride[REIN_MAX_RANK] = { 0 };
	memset(in, 0, sizeof *in);
	in->dtype = p->value[v].dtype;
	if (p->value[v].rank)
		cuda_strides(&p->value[v], stride);
	if (d->plan->home[v] == REIN_HOME_NONE && is_view(i->op)) {
		struct view_map m;
		view_map_of(p, i, &m);
		for (uint32_t a = 0; a < p->value[v].rank; a++)
			stride[a] = p->value[v].dim[a] == 1 ? 0 : m.shape.stride[a];
		in->start = m.start;
		v = i->in[0];
	}
	in->value = v;
	bool is_flat = in->start == 0 && p->value[v].count == y->count, scalar = in->start == 0;
	for (uint32_t a = y->rank; a-- > 0; flat *= y->dim[a]) {
		is_flat = is_flat && (y->dim[a] == 1 || stride[a] == flat);
		scalar = scalar && (y->dim[a] == 1 || stride[a] == 0);
	}
	in->kind = scalar ? CHAIN_SCALAR : is_flat ? CHAIN_FLAT : CHAIN_STRIDED;
	if (in->kind == CHAIN_STRIDED)
		memcpy(in->stride, stride, sizeof stride);
}

static int32_t constant_slot(struct describing *d, int32_t v, double number)
{
	struct chain *c = d->c;
	int32_t s = slot_of(d, v);
	if (s >= 0)
		return s;
	if (c->n_step == CHAIN_OPS)
		return -1;
	struct chain_step *t = &c->step[c->n_step++];
	memset(t, 0, sizeof *t);
	t->op = REIN_OP_CONST;
	t->to = d->p->value[v].dtype;
	t->number = number;
	t->n_out = 1;
	return t->out[0] = new_slot(d, v, t->to);
}

static double one_number(const struct rein_program *p, const struct rein_prog_instr *i)
{
	const void *data = i->attr.data;
	switch (data ? p->value[i->out[0]].dtype : 0) {
	case 0: return i->attr.par[0];
	case REIN_REAL_T: return (double)*static_cast<const float *>(data);
	case REIN_WIDE_T: return *static_cast<const double *>(data);
	case REIN_I32_T: return *static_cast<const int32_t *>(data);
	default: return *static_cast<const uint8_t *>(data);
	}
}

/* A constant that is one number, under any renaming and expanding; else -1. */
static int32_t as_constant(const struct rein_program *p, int32_t v)
{
	for (;;) {
		const struct rein_prog_instr *i = &p->instr[p->value[v].instr];
		if (i->op == REIN_OP_CONST)
			return !i->attr.data || p->value[v].count == 1 ? p->value[v].instr : -1;
		if (i->op != REIN_OP_RESHAPE && i->op != REIN_OP_STOP && !is_view(i->op))
			return -1;
		v = i->in[0];
	}
}

static int32_t operand_slot(struct describing *d, int32_t v, const struct rein_prog_value *y)
{
	struct chain *c = d->c;
	int32_t k = as_constant(d->p, v), from = same_elements(d->p, v), s;
	if (k >= 0)
		return constant_slot(d, d->p->instr[k].out[0], one_number(d->p, &d->p->instr[k]));
	s = d->p->value[v].count == y->count ? slot_of(d, from) : -1;
	if (s >= 0)
		return s;
	struct chain_input in;
	find_input(d, v, y, &in);
	for (int32_t j = 0; j < c->n_in; j++)
		if (!memcmp(&c->in[j], &in, sizeof in))
			return j;
	if (c->n_in == CHAIN_INS)
		return -1;
	if (in.kind == CHAIN_STRIDED && d->p->value[in.value].count == y->count)
		c->in_place = false;
	c->in[c->n_in] = in;
	return c->n_in++;
}

static bool describe_step(struct describing *d, const struct rein_prog_instr *i, const int32_t *in)
{
	struct chain *c = d->c;
	if (c->n_step == CHAIN_OPS || i->n_in > CHAIN_ARGS)
		return false;
	struct chain_step *t = &c->step[c->n_step++];
	memset(t, 0, sizeof *t);
	t->op = i->op;
	t->n_in = i->n_in;
	t->n_out = i->n_out;
	t->dtype = i->n_in ? d->p->value[i->in[i->op == REIN_OP_WHERE]].dtype : REIN_I32_T;
	t->to = d->p->value[i->out[0]].dtype;
	for (uint32_t k = 0; k < i->n_in; k++)
		t->in[k] = in[k];
	for (uint32_t k = 0; k < i->n_out; k++)
		if ((t->out[k] = new_slot(d, i->out[k], d->p->value[i->out[k]].dtype)) < 0)
			return false;
	if (i->op == REIN_OP_IOTA) {
		struct cuda_lines l = cuda_lines_of(&d->p->value[i->out[0]], cuda_axis_of(&i->attr));
		t->n = l.n;
		t->inner = l.inner;
	}
	if (i->op == REIN_OP_MAP) {
		t->map = static_cast<const struct rein_map *>(i->attr.data);
		t->origin = d->p->n_origin ? d->p->origin[i->origin] : d->p->name;
		c->has_map = true;
	}
	return true;
}

static bool describe_outputs(struct describing *d)
{
	struct chain *c = d->c;
	for (int32_t m = 0; m < d->n; m++) {
		const struct rein_prog_instr *i = &d->p->instr[d->instr[m]];
		for (uint32_t o = 0; o < i->n_out; o++) {
			int32_t v = i->out[o];
			if (d->plan->home[v] == REIN_HOME_NONE || d->p->value[v].uses == 0)
				continue;
			if (c->n_out == CHAIN_OUTS)
				return false;
			c->out[c->n_out].value = v;
			c->out[c->n_out].dtype = d->p->value[v].dtype;
			c->out[c->n_out++].slot = slot_of(d, v);
		}
	}
	return true;
}

bool chain_describe(const struct rein_program *p, const struct rein_plan *plan, int32_t n, const int32_t *instr,
                    struct chain *c)
{
	const struct rein_prog_value *y = &p->value[p->instr[instr[n - 1]].out[0]];
	struct describing d;
	memset(c, 0, sizeof *c);
	d.p = p, d.plan = plan, d.n = n, d.instr = instr, d.c = c, d.n_of = 0;
	c->count = y->count;
	c->rank = (int32_t)y->rank;
	c->in_place = true;
	memcpy(c->dim, y->dim, sizeof c->dim);
	c->n_slot = CHAIN_INS; /* the first are kept for inputs */
	for (int32_t m = 0; m < n; m++) {
		const struct rein_prog_instr *i = &p->instr[instr[m]];
		const struct rein_prog_value *own = &p->value[i->out[0]];
		int32_t in[CHAIN_ARGS] = { 0 };
		if (i->n_in > CHAIN_ARGS)
			return false;
		for (uint32_t k = 0; k < i->n_in; k++)
			if ((in[k] = operand_slot(&d, i->in[k], own)) < 0)
				return false;
		/* strides are over the operand's own result; the chain has one shape but for renamings */
		if (own->rank != y->rank || memcmp(own->dim, y->dim, y->rank * sizeof *y->dim))
			for (uint32_t k = 0; k < i->n_in; k++)
				if (in[k] < CHAIN_INS && c->in[in[k]].kind == CHAIN_STRIDED)
					return false;
		if (!describe_step(&d, i, in))
			return false;
	}
	for (int32_t k = 0; k < c->n_in; k++)
		c->dtype[k] = (uint8_t)c->in[k].dtype;
	return describe_outputs(&d);
}

/* --- grouping ------------------------------------------------------------------------------------- */
struct users { /* who reads a value, as instructions: list[first[v] .. first[v + 1]) */
	int32_t *first, *list;
};
struct grouping {
	const struct rein_host *host;
	const struct rein_program *p;
	struct rein_plan *plan;
	struct users u;
	uint8_t *member;      /* per instr: in the group at hand */
	uint8_t *chained;     /* per instr: an op that chains may have */
	int32_t *next, *head; /* groups as lists: head by kernel number, next by instr */
	struct chain *c;      /* scratch */
};

static bool find_users(struct grouping *g)
{
	const struct rein_program *p = g->p;
	int32_t total = 0;
	for (uint32_t k = 0; k < p->n_instr; k++)
		total += (int32_t)p->instr[k].n_in;
	g->u.first = static_cast<int32_t *>(g->host->alloc(g->host, (p->n_value + 2) * sizeof(int32_t)));
	g->u.list = static_cast<int32_t *>(g->host->alloc(g->host, ((uint64_t)total + 1) * sizeof(int32_t)));
	if (!g->u.first || !g->u.list)
		return false;
	for (uint32_t k = 0; k < p->n_instr; k++)
		for (uint32_t j = 0; j < p->instr[k].n_in; j++)
			g->u.first[p->instr[k].in[j] + 1]++;
	for (uint32_t v = 0; v < p->n_value; v++)
		g->u.first[v + 1] += g->u.first[v];
	int32_t *at = static_cast<int32_t *>(g->host->alloc(g->host, (p->n_value + 1) * sizeof(int32_t)));
	if (!at)
		return false;
	memcpy(at, g->u.first, p->n_value * sizeof *at);
	for (uint32_t k = 0; k < p->n_instr; k++)
		for (uint32_t j = 0; j < p->instr[k].n_in; j++)
			g->u.list[at[p->instr[k].in[j]]++] = (int32_t)k;
	g->host->free(g->host, at);
	return true;
}

/* A view is not made if chains alone read it, and never by its place in a renaming. */
static void inline_views(struct grouping *g)
{
	const struct rein_program *p = g->p;
	for (uint32_t k = p->n_instr; k-- > 0;) {
		const struct rein_prog_instr *i = &p->instr[k];
		if (!is_view(i->op) || g->plan->kernel[k] != (int32_t)k)
			continue;
		int32_t v = i->out[0], n = g->u.first[v + 1] - g->u.first[v];
		bool good = n > 0 && (uint32_t)n == p->value[v].uses;
		for (int32_t j = g->u.first[v]; j < g->u.first[v + 1] && good; j++) {
			const struct rein_prog_instr *user = &p->instr[g->u.list[j]];
			good = g->chained[g->u.list[j]] && !(user->op == REIN_OP_MAP);
		}
		/* read through one view only: strides of several may not compose */
		const struct rein_prog_instr *below = &p->instr[p->value[i->in[0]].instr];
		if (!good || (is_view(below->op) && g->plan->home[i->in[0]] == REIN_HOME_NONE))
			continue;
		if (i->op != REIN_OP_EXPAND && p->value[v].count > 4096 && n > 1)
			continue; /* reading against the grain more than once costs more than a copy */
		g->plan->kernel[k] = -1;
		g->plan->home[v] = REIN_HOME_NONE;
	}
}

/* True if a reader of v outside of the group runs before the group would, at `last`. */
static bool needed_before(const struct grouping *g, int32_t v, int32_t last)
{
	for (int32_t j = g->u.first[v]; j < g->u.first[v + 1]; j++) {
		int32_t k = g->u.list[j];
		const struct rein_prog_instr *i = &g->p->instr[k];
		if (g->member[k])
			continue;
		if (g->plan->kernel[k] >= 0) {
			if (g->plan->kernel[k] < last)
				return true;
			continue;
		}
		if (is_view(i->op) || i->op == REIN_OP_SLICE) {
			/* other elements: a member that reads them must find them in memory */
			for (int32_t u = g->u.first[i->out[0]]; u < g->u.first[i->out[0] + 1]; u++)
				if (g->member[g->u.list[u]])
					return true;
		}
		for (uint32_t o = 0; o < i->n_out; o++)
			if (needed_before(g, i->out[o], last))
				return true;
	}
	return false;
}

/* All readers of v are in the group and can have it from a register. */
static bool all_inside(const struct grouping *g, int32_t v)
{
	uint32_t n = 0;
	for (int32_t j = g->u.first[v]; j < g->u.first[v + 1]; j++, n++) {
		int32_t k = g->u.list[j];
		const struct rein_prog_instr *i = &g->p->instr[k];
		if (g->member[k])
			continue;
		if (g->plan->kernel[k] >= 0 || (i->op != REIN_OP_RESHAPE && i->op != REIN_OP_STOP) || !all_inside(g, i->out[0]))
			return false;
	}
	return n > 0 && n == g->p->value[v].uses;
}

static int32_t members_of(struct grouping *g, int32_t *list, int32_t room)
{
	int32_t n = 0;
	for (uint32_t k = 0; k < g->p->n_instr; k++) {
		if (!g->member[k])
			continue;
		if (n == room)
			return -1;
		list[n++] = (int32_t)k;
	}
	return n;
}

static void add_group(struct grouping *g, int32_t kernel)
{
	for (int32_t k = g->head[kernel]; k >= 0; k = g->next[k])
		g->member[k] = 1;
}

/* Joins what is marked into kernel `last`, if that is allowed and fits; else unmarks nothing. */
static bool try_join(struct grouping *g, int32_t last)
{
	int32_t list[CHAIN_OPS], n = members_of(g, list, CHAIN_OPS);
	if (n < 2)
		return false;
	for (int32_t m = 0; m < n; m++)
		for (uint32_t o = 0; o < g->p->instr[list[m]].n_out; o++)
			if (needed_before(g, g->p->instr[list[m]].out[o], last))
				return false;
	uint32_t home[4 * CHAIN_OPS];
	int32_t n_home = 0;
	for (int32_t m = 0; m < n; m++)
		for (uint32_t o = 0; o < g->p->instr[list[m]].n_out; o++) {
			int32_t v = g->p->instr[list[m]].out[o];
			home[n_home++] = g->plan->home[v];
			g->plan->home[v] = all_inside(g, v) || g->p->value[v].uses == 0 ? REIN_HOME_NONE : REIN_HOME_ARENA;
		}
	bool good = chain_describe(g->p, g->plan, n, list, g->c);
	n_home = 0;
	for (int32_t m = 0; m < n; m++)
		for (uint32_t o = 0; o < g->p->instr[list[m]].n_out; o++, n_home++)
			if (!good)
				g->plan->home[g->p->instr[list[m]].out[o]] = home[n_home];
	if (!good)
		return false;
	g->head[last] = -1;
	for (int32_t m = n; m-- > 0;) {
		g->plan->kernel[list[m]] = last;
		g->next[list[m]] = g->head[last];
		g->head[last] = list[m];
	}
	return true;
}

static void unmark(struct grouping *g)
{
	memset(g->member, 0, g->p->n_instr);
}

/* Kernel of the chain that makes operand v with the elements of a chain of `count`, or -1. */
static int32_t maker(const struct grouping *g, int32_t v, int64_t count)
{
	v = same_elements(g->p, v);
	int32_t k = g->p->value[v].instr;
	return g->p->value[v].count == count && g->chained[k] ? g->plan->kernel[k] : -1;
}

static void join_with_operands(struct grouping *g, int32_t k)
{
	const struct rein_prog_instr *i = &g->p->instr[k];
	int64_t count = g->p->value[i->out[0]].count;
	int32_t from[CHAIN_ARGS];
	uint32_t n = i->n_in < CHAIN_ARGS ? i->n_in : CHAIN_ARGS;
	bool any = false;
	unmark(g);
	g->member[k] = 1;
	for (uint32_t j = 0; j < n; j++) {
		from[j] = maker(g, i->in[j], count);
		if (from[j] >= 0)
			add_group(g, from[j]), any = true;
	}
	if (!any || try_join(g, k))
		return;
	for (uint32_t j = 0; j < n; j++) { /* not all of them: one */
		if (from[j] < 0)
			continue;
		unmark(g);
		g->member[k] = 1;
		add_group(g, from[j]);
		if (try_join(g, k))
			return;
	}
}

static void set_in_place(struct grouping *g)
{
	for (uint32_t k = 0; k < g->p->n_instr; k++) {
		if (!g->chained[k] || g->plan->kernel[k] != (int32_t)k)
			continue;
		unmark(g);
		add_group(g, (int32_t)k);
		int32_t list[CHAIN_OPS], n = members_of(g, list, CHAIN_OPS);
		bool good = n > 0 && chain_describe(g->p, g->plan, n, list, g->c) && g->c->in_place;
		for (int32_t m = 0; m < n; m++)
			for (uint32_t o = 0; o < g->p->instr[list[m]].n_out; o++)
				g->plan->in_place[g->p->instr[list[m]].out[o]] = good;
	}
}

rein_status chain_schedule(struct cuda *cuda, const struct rein_host *host, const struct rein_program *p,
                           struct rein_plan *plan)
{
	struct grouping g;
	rein_status s = REIN_OK;
	memset(&g, 0, sizeof g);
	g.host = host, g.p = p, g.plan = plan;
	g.member = static_cast<uint8_t *>(host->alloc(host, p->n_instr + 1));
	g.chained = static_cast<uint8_t *>(host->alloc(host, p->n_instr + 1));
	g.next = static_cast<int32_t *>(host->alloc(host, (p->n_instr + 1) * sizeof *g.next));
	g.head = static_cast<int32_t *>(host->alloc(host, (p->n_instr + 1) * sizeof *g.head));
	g.c = static_cast<struct chain *>(host->alloc(host, sizeof *g.c));
	if (!g.member || !g.chained || !g.next || !g.head || !g.c || !find_users(&g))
		s = REIN_ERROR;
	for (uint32_t k = 0; k < p->n_instr && s >= 0; k++) {
		uint32_t shared = 0; /* claimed by a family's own pattern */
		for (uint32_t j = 0; j < p->n_instr && is_chain_op(p->instr[k].op); j++)
			shared += plan->kernel[j] == plan->kernel[k];
		g.chained[k] = is_chain_op(p->instr[k].op) && plan->kernel[k] == (int32_t)k && shared == 1;
		g.head[k] = (int32_t)k;
		g.next[k] = -1;
	}
	if (s >= 0 && cuda->fuse_key != CUDA_FUSE_NONE) {
		inline_views(&g);
		for (uint32_t k = 0; k < p->n_instr; k++) /* a plugin's kernel stays alone where only it needs NVRTC */
			if (p->instr[k].op == REIN_OP_MAP && cuda->fuse_key == CUDA_FUSE_INTERPRETER)
				g.chained[k] = 0;
		for (uint32_t k = 0; k < p->n_instr; k++)
			if (g.chained[k])
				join_with_operands(&g, (int32_t)k);
		set_in_place(&g);
	}
	void *all[] = { g.member, g.chained, g.next, g.head, g.c, g.u.first, g.u.list };
	for (size_t k = 0; k < sizeof all / sizeof *all; k++)
		host->free(host, all[k]);
	return s;
}

/* --- the family ------------------------------------------------------------------------------------- */
static rein_status emit(struct cuda_build *b, int32_t n, const int32_t *instr)
{
	struct chain *c = static_cast<struct chain *>(b->host->alloc(b->host, sizeof *c));
	rein_status s = c ? REIN_OK : REIN_ERROR;
	if (c && !chain_describe(b->p, b->plan, n, instr, c))
		s = rein_failf(b->host, "a chain of %d ops in program %s is too large", n, b->p->name);
	if (s >= 0 && !c->has_map)
		return cuda_piece(b, &chain_merge, c);
	if (s >= 0) /* a plugin's kernel can be wrong, and then the message should be about it alone */
		s = chain_emit(b, 1, &c);
	b->host->free(b->host, c);
	return s;
}

extern const struct cuda_family cuda_chain = { "chain", supports, NULL, emit, NULL };
