/* SPDX-License-Identifier: MIT
 *
 * clean.c: from a recording to a program. What is needed for the commits and outputs is
 * recorded again into a fresh body, op by op: coarse ops the backend lacks expanded, ops
 * folded or simplified (fold.c), equal ones joined; what is needed of that is packed
 * (pack.c). A loop's body is treated alike, as a world of its own: nothing inside is
 * joined with anything outside. Draws are equal only if key and counters are. Where hoist.c finds
 * values that can be kept per sample, all is recorded a third time, with these read in place.
 */
#include "program.h"
#include "rec.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "rein/math.h"

struct cleaner {
	int32_t *map; /* old value -> new value, -1 */
	uint8_t *live;
	bool init;      /* the program of initial values: states read as what they start with */
	bool final;     /* the last look before packing: a loop's operands are all kept */
	int32_t *table; /* instructions by hash, -1 */
	int cap, n;
	const uint8_t *kept; /* instructions whose results are read, or NULL ... */
	const int32_t *from; /* per value: from this state, or -1 ... */
	int32_t id;          /* at these sample numbers */
};

/* --- what is needed ------------------------------------------------------------------------ */
static void live_value(struct recorder *r, int32_t v, uint8_t *live) { live[r->value[v].instr] = 1; }

static void live_body(struct recorder *r, int b, uint8_t *live, const struct cleaner *c)
{
	const struct ints *list = &r->body[b]->instr;

	for (int p = list->n - 1; p >= 0; p--) {
		int n = list->at[p];
		const struct rec_instr *i = &r->instr[n];
		if (!live[n] || (c && c->kept && c->kept[n]))
			continue;
		uint32_t n_in = i->n_in;
		if (i->op == REIN_OP_STOP)
			n_in = 1; /* an overriding rule's operands were for its gradient */
		if (i->op == REIN_OP_READ && c && c->init)
			for (int k = 0; k < r->n_init; k++)
				if (r->init[k].state == i->state)
					live_value(r, r->init[k].value, live);
		if (i->op == REIN_OP_REPEAT) {
			struct rec_body *inner = r->body[i->loop];
			for (int k = 0; k < inner->output.n; k++)
				live_value(r, inner->output.at[k], live);
			live_body(r, i->loop, live, c);
			if (!c || !c->final)
				n_in = inner->loop.n_carry;
			for (int k = 0; k < inner->captured.n && n_in < i->n_in; k++)
				if (live[r->value[inner->input.at[1 + (int)n_in + k]].instr])
					live_value(r, inner->captured.at[k], live);
		}
		for (uint32_t k = 0; k < n_in; k++)
			live_value(r, r->operand.at[i->in + (int32_t)k], live);
	}
}

void clean_live(struct recorder *r, int b, const struct ints *root, uint8_t *live)
{
	for (int k = 0; k < root->n; k++)
		live_value(r, root->at[k], live);
	live_body(r, b, live, r->cleaner);
}

/* --- equal ops ----------------------------------------------------------------------------------- */
static bool joins(uint32_t op)
{
	return op != REIN_OP_REPEAT && op != REIN_OP_CUSTOM && op != REIN_OP_READ && op != REIN_OP_INPUT;
}

static bool commutes(uint32_t op)
{
	return op == REIN_OP_ADD || op == REIN_OP_MUL || op == REIN_OP_AND || op == REIN_OP_EQ;
}

static uint64_t mix(uint64_t h, uint64_t v)
{
	h ^= v;
	h *= 0x9E3779B97F4A7C15u;
	return h ^ h >> 29;
}

static uint64_t hash_bytes(uint64_t h, const void *p, uint64_t n)
{
	uint64_t w;
	const char *c = p;
	for (; n >= 8; n -= 8, c += 8) {
		memcpy(&w, c, 8);
		h = mix(h, w);
	}
	w = 0;
	if (n)
		memcpy(&w, c, n);
	return mix(h, w);
}

#define ATTR_BYTES (offsetof(struct rein_attr, data) - offsetof(struct rein_attr, axes))

static uint64_t bytes_of(uint32_t op, const struct rein_attr *a, const struct rec_value *like)
{
	if (op == REIN_OP_RANDOM)
		return 8;
	return op == REIN_OP_CONST && a->data ? (uint64_t)like->count * dtype_size(like->dtype, 8) : 0;
}

static uint64_t hash_op(const struct recorder *r, uint32_t op, uint32_t n_in, const rein_val *in,
                        const struct rein_attr *a, const struct rec_value *like)
{
	uint64_t h = mix(op, (uint64_t)r->current), n = bytes_of(op, a, like);
	if (commutes(op) && in[0].id > in[1].id)
		h = mix(mix(h, (uint64_t)in[1].id), (uint64_t)in[0].id);
	else
		for (uint32_t k = 0; k < n_in; k++)
			h = mix(h, (uint64_t)in[k].id);
	h = hash_bytes(h, &a->axes, ATTR_BYTES);
	return n ? hash_bytes(h, a->data, n) : mix(h, op == REIN_OP_MAP ? (uint64_t)(uintptr_t)a->data : 0);
}

static bool same_op(const struct recorder *r, const struct rec_instr *i, uint32_t op, uint32_t n_in, const rein_val *in,
                    const struct rein_attr *a, const struct rec_value *like)
{
	const int32_t *b = r->operand.at + i->in;
	bool same = true, swapped;

	if (i->op != op || i->body != r->current || i->n_in != n_in || memcmp(&i->attr.axes, &a->axes, ATTR_BYTES) != 0)
		return false;
	for (uint32_t k = 0; k < n_in; k++)
		same &= b[k] == in[k].id;
	swapped = commutes(op) && b[0] == in[1].id && b[1] == in[0].id;
	if (!same && !swapped)
		return false;
	if (op == REIN_OP_MAP)
		return i->attr.data == a->data;
	uint64_t n = bytes_of(op, a, like);
	return n == i->data_bytes && (!n || memcmp(i->attr.data, a->data, n) == 0);
}

static void table_grow(struct recorder *r, struct cleaner *c)
{
	int32_t *old = c->table;
	int old_cap = c->cap;

	c->cap = old_cap ? old_cap * 2 : 1024;
	c->table = malloc((size_t)c->cap * sizeof *c->table);
	if (!c->table)
		abort();
	memset(c->table, 0xff, (size_t)c->cap * sizeof *c->table);
	for (int k = 0; k < old_cap; k++) {
		if (old[k] < 0)
			continue;
		const struct rec_instr *i = &r->instr[old[k]];
		int saved = r->current;
		r->current = i->body;
		uint64_t h = hash_op(r, i->op, i->n_in, (const rein_val *)(r->operand.at + i->in), &i->attr, &r->value[i->out]);
		r->current = saved;
		while (c->table[h & (uint64_t)(c->cap - 1)] >= 0)
			h++;
		c->table[h & (uint64_t)(c->cap - 1)] = old[k];
	}
	free(old);
}

static int append_once(struct recorder *r, uint32_t op, uint32_t n_in, const rein_val *in, const struct rein_attr *a,
                       uint32_t n_out, const struct rec_value *like)
{
	struct cleaner *c = r->cleaner;

	if (!joins(op))
		return rec_append(r, op, n_in, in, a, n_out, like);
	if (2 * (c->n + 1) > c->cap)
		table_grow(r, c);
	uint64_t h = hash_op(r, op, n_in, in, a, like);
	for (;; h++) {
		int32_t n = c->table[h & (uint64_t)(c->cap - 1)];
		if (n < 0)
			break;
		if (same_op(r, &r->instr[n], op, n_in, in, a, like))
			return n;
	}
	int n = rec_append(r, op, n_in, in, a, n_out, like);
	if (n >= 0) {
		c->table[h & (uint64_t)(c->cap - 1)] = n;
		c->n++;
	}
	return n;
}

/* --- one op in its simplest form ------------------------------------------------------------------ */
/* Asks the backend about one coarse op, shown as a program of its own. */
static bool supported(struct recorder *r, uint32_t op, uint32_t n_in, const rein_val *in, const struct rein_attr *a,
                      uint32_t n_out, const struct rec_value *like)
{
	const struct instance *b = r->store ? r->store->backend : NULL;
	struct rein_prog_value value[16];
	int32_t id[16];

	if (r->options.decompose)
		return false;
	if (!b || !b->component || !b->component->vt.backend.supports || n_in + n_out > 16)
		return false;
	for (uint32_t k = 0; k < n_in + n_out; k++) {
		const struct rec_value *v = k < n_in ? &r->value[in[k].id] : &like[k - n_in];
		value[k] =
			(struct rein_prog_value){ .dtype = v->dtype, .rank = v->rank, .count = v->count, .instr = 0, .uses = 1 };
		memcpy(value[k].dim, v->dim, sizeof v->dim);
		id[k] = (int32_t)k;
	}
	struct rein_prog_instr i = {
		.op = op, .n_in = n_in, .n_out = n_out, .in = id, .out = id + n_in, .attr = *a, .state = -1
	};
	const struct rein_program p = { .struct_size = sizeof p,
		                            .real_size = r->options.real_size,
		                            .n_value = n_in + n_out,
		                            .n_instr = 1,
		                            .value = value,
		                            .instr = &i,
		                            .name = r->name };
	return b->component->vt.backend.supports(b->self, &p, &i) != 0;
}

void clean_op(struct recorder *r, uint32_t op, uint32_t n_in, rein_val *in, struct rein_attr *a, uint32_t n_out,
              const struct rec_value *like, rein_val *out)
{
	for (uint32_t k = 0; k < n_out; k++)
		out[k] = REC_POISON;
	if (op == REIN_OP_STOP) {
		out[0] = in[0];
		return;
	}
	if (op_info(op)->coarse && !supported(r, op, n_in, in, a, n_out, like)) {
		rec_expand(r, op, n_in, in, a, n_out, out);
		return;
	}
	rein_val v = fold(r, op, n_in, in, a, like);
	if (!REIN_IS_NONE(v)) {
		out[0] = v;
		return;
	}
	int n = append_once(r, op, n_in, in, a, n_out, like);
	for (uint32_t k = 0; n >= 0 && k < n_out; k++)
		out[k] = (rein_val){ r->instr[n].out + (int32_t)k };
}

/* --- recording again -------------------------------------------------------------------------------- */
static void rewrite(struct recorder *r, int old);

static int32_t new_input(struct recorder *r, int32_t like)
{
	struct rec_body *b = r->body[r->current];
	struct rein_attr a = { .struct_size = sizeof a, .mode = (uint32_t)b->input.n };
	struct rec_value v = r->value[like];
	int n = rec_append(r, REIN_OP_INPUT, 0, NULL, &a, 1, &v);
	if (n < 0)
		return -1;
	ints_push(&b->input, r->instr[n].out);
	return r->instr[n].out;
}

static void capture_again(struct recorder *r, int old, int k)
{
	struct cleaner *c = r->cleaner;
	int32_t inner = r->body[old]->input.at[1 + (int)r->body[old]->loop.n_carry + k];
	rein_val outer = { c->map[r->body[old]->captured.at[k]] }, v;
	double fill;

	if (!c->live[r->value[inner].instr])
		return;
	if (fold_uniform(r, outer, &fill)) {
		struct rein_attr a = r->instr[r->value[outer.id].instr].attr;
		struct rec_value like = r->value[outer.id];
		clean_op(r, REIN_OP_CONST, 0, NULL, &a, 1, &like, &v);
		c->map[inner] = v.id;
		return;
	}
	c->map[inner] = new_input(r, inner);
	ints_push(&r->body[r->current]->captured, outer.id);
}

static void rewrite_loop(struct recorder *r, const struct rec_instr *i)
{
	struct cleaner *c = r->cleaner;
	int outer = r->current, old = i->loop, b = rec_body_create(r, outer);
	uint32_t n = r->body[old]->loop.n_carry;

	r->current = b;
	r->body[b]->loop = r->body[old]->loop;
	for (uint32_t k = 0; k <= n; k++)
		c->map[r->body[old]->input.at[k]] = new_input(r, r->body[old]->input.at[k]);
	for (int k = 0; k < r->body[old]->captured.n; k++)
		capture_again(r, old, k);
	rewrite(r, old);
	for (int k = 0; k < r->body[old]->output.n; k++)
		ints_push(&r->body[b]->output, c->map[r->body[old]->output.at[k]]);
	r->current = outer;

	uint32_t n_in = n + (uint32_t)r->body[b]->captured.n;
	rein_val *in = rec_alloc(r, (n_in + 1) * sizeof *in);
	struct rec_value *like = rec_alloc(r, (n + 1) * sizeof *like);
	for (uint32_t k = 0; k < n_in; k++)
		in[k].id = k < n ? c->map[r->operand.at[i->in + (int32_t)k]] : r->body[b]->captured.at[k - n];
	for (uint32_t k = 0; k < n; k++)
		like[k] = r->value[i->out + (int32_t)k];
	struct rein_attr a = i->attr;
	int at = rec_append(r, REIN_OP_REPEAT, n_in, in, &a, n, like);
	if (at < 0)
		return;
	r->instr[at].loop = b;
	for (uint32_t k = 0; k < n; k++)
		c->map[i->out + (int32_t)k] = r->instr[at].out + (int32_t)k;
}

static rein_val append_read(struct recorder *r, int32_t state)
{
	const struct state *s = r->store->state[state];
	const struct rein_attr a = { .struct_size = sizeof a };
	struct rec_value v = { .dtype = s->dtype, .rank = s->rank, .count = s->count };

	memcpy(v.dim, s->dim, sizeof v.dim);
	int n = rec_append(r, REIN_OP_READ, 0, NULL, &a, 1, &v);
	if (n < 0)
		return REC_POISON;
	r->instr[n].state = state;
	return (rein_val){ r->instr[n].out };
}

static void rewrite_kept(struct recorder *r, const struct rec_instr *i)
{
	struct cleaner *c = r->cleaner;

	for (int32_t v = i->out; v < i->out + (int32_t)i->n_out; v++)
		if (c->from[v] >= 0)
			c->map[v] = rein_take(&r->rec, append_read(r, c->from[v]), (rein_val){ c->map[c->id] }, 0).id;
}

static void rewrite_read(struct recorder *r, const struct rec_instr *i)
{
	struct cleaner *c = r->cleaner;

	for (int k = 0; k < r->n_init && c->init; k++)
		if (r->init[k].state == i->state) {
			c->map[i->out] = c->map[r->init[k].value];
			return;
		}
	c->map[i->out] = append_read(r, i->state).id;
}

static void rewrite_op(struct recorder *r, const struct rec_instr *i)
{
	struct cleaner *c = r->cleaner;
	rein_val local[16], *in = local, out[REC_MAX_OUT];
	struct rec_value like[REC_MAX_OUT];
	struct rein_attr a = i->attr;

	if (i->n_in > 16)
		in = rec_alloc(r, i->n_in * sizeof *in);
	for (uint32_t k = 0; k < (i->op == REIN_OP_STOP ? 1 : i->n_in); k++)
		in[k].id = c->map[r->operand.at[i->in + (int32_t)k]];
	for (uint32_t k = 0; k < i->n_out; k++)
		like[k] = r->value[i->out + (int32_t)k];
	clean_op(r, i->op, i->n_in, in, &a, i->n_out, like, out);
	for (uint32_t k = 0; k < i->n_out; k++)
		c->map[i->out + (int32_t)k] = out[k].id;
	if (i->op == REIN_OP_CUSTOM && out[0].id >= 0)
		r->instr[r->value[out[0].id].instr].ext = i->ext;
}

/* The needed ops of body `old`, again, into the current body. */
static void rewrite(struct recorder *r, int old)
{
	struct cleaner *c = r->cleaner;

	for (int p = 0; p < r->body[old]->instr.n && !r->failed; p++) {
		int n = r->body[old]->instr.at[p];
		struct rec_instr i = r->instr[n];
		if (!c->live[n] || i.op == REIN_OP_INPUT)
			continue;
		r->origin_override = (int)i.origin;
		if (c->kept && c->kept[n])
			rewrite_kept(r, &i);
		else if (i.op == REIN_OP_REPEAT)
			rewrite_loop(r, &i);
		else if (i.op == REIN_OP_READ)
			rewrite_read(r, &i);
		else
			rewrite_op(r, &i);
	}
}

/* --- the whole ------------------------------------------------------------------------------------------ */
static void commits(struct recorder *r, bool init, struct commit_list *l)
{
	int n = init ? r->n_init : r->version.n;
	l->at = rec_alloc(r, (uint64_t)(n + 1) * sizeof *l->at);
	for (int k = 0; k < n; k++)
		if (init)
			l->at[l->n++] = (struct rein_prog_commit){ r->init[k].state, r->init[k].value };
		else if (r->version.at[k] >= 0 && r->version.at[k] != r->read.at[k])
			l->at[l->n++] = (struct rein_prog_commit){ k, r->version.at[k] };
}

static void roots(const struct commit_list *l, const struct ints *output, struct ints *root)
{
	root->n = 0;
	for (int k = 0; k < l->n; k++)
		ints_push(root, l->at[k].value);
	for (int k = 0; k < output->n; k++)
		ints_push(root, output->at[k]);
}

static void cleaner_init(struct cleaner *c, const struct recorder *r)
{
	c->map = malloc(((size_t)r->n_value + 1) * sizeof *c->map);
	c->live = calloc((size_t)r->n_instr + 1, 1);
	if (!c->map || !c->live)
		abort();
	memset(c->map, 0xff, ((size_t)r->n_value + 1) * sizeof *c->map);
}

static void cleaner_finish(struct cleaner *c)
{
	free(c->map);
	free(c->live);
	free(c->table);
}

/* Lists of what body `old` gives, in values of the body it was recorded into again. */
static void map_ends(const struct recorder *r, const struct cleaner *c, struct commit_list *list, struct ints *output)
{
	int n = 0;

	for (int k = 0; k < list->n; k++) {
		int32_t v = c->map[list->at[k].value], made = r->value[v].instr;
		if (r->instr[made].op == REIN_OP_READ && r->instr[made].state == list->at[k].state)
			continue; /* unchanged after all */
		list->at[n++] = (struct rein_prog_commit){ list->at[k].state, v };
	}
	list->n = n;
	for (int k = 0; k < output->n; k++)
		output->at[k] = c->map[output->at[k]];
}

/* What the current body needs for these, per instruction; to be freed. */
static uint8_t *needed(struct recorder *r, const struct commit_list *list, const struct ints *output, struct ints *root)
{
	uint8_t *live = calloc((size_t)r->n_instr + 1, 1);

	if (!live)
		abort();
	roots(list, output, root);
	r->cleaner->final = true;
	clean_live(r, r->current, root, live);
	return live;
}

static struct program *pack_current(struct recorder *r, const struct commit_list *list, const struct ints *output)
{
	struct ints root = { 0 };
	uint8_t *live = needed(r, list, output, &root);
	struct program *p = pack(r, r->current, list, output, live);

	free(live);
	free(root.at);
	return p;
}

/* --- what is kept per sample ------------------------------------------------------------------------ */
/* A batch of what is kept: the samples from entry * rows on. */
static struct program *record_maker(struct recorder *r, int body, const struct hoisted *h,
                                    const struct recorder_keep *k, int32_t id)
{
	struct cleaner c = { 0 }, *outer = r->cleaner;
	struct rein_rec *rec = &r->rec;
	struct ints output = { 0 };
	int64_t rows = r->value[id].dim[0];
	const char *name = r->name;

	cleaner_init(&c, r);
	memcpy(c.live, h->made, (size_t)r->n_instr);
	r->cleaner = &c;
	r->current = rec_body_create(r, -1);
	rein_val entry = append_read(r, store_index(r->store, k->entry));
	rein_val first = rein_mul(rec, entry, rein_scalar_i(rec, (int32_t)rows));
	rein_val last = rein_scalar_i(rec, (int32_t)(k->samples - rows));
	first = rein_where(rec, rein_le(rec, last, first), last, first);
	c.map[id] = rein_add(rec, first, rein_iota(rec, 0, 1, &rows)).id;
	rewrite(r, body);
	r->origin_override = -1;
	rein_val next = rein_add(rec, entry, rein_scalar_i(rec, 1));
	struct rein_prog_commit one = { store_index(r->store, k->entry), next.id };
	const struct commit_list list = { 1, &one };
	for (int i = 0; i < h->n; i++)
		ints_push(&output, c.map[h->value[i]]);
	r->name = "what is kept of each sample";
	struct program *p = r->failed ? NULL : pack_current(r, &list, &output);
	r->name = name;
	r->cleaner = outer;
	cleaner_finish(&c);
	free(output.at);
	return p;
}

/* The body once more, with what is kept read instead of made. */
static void read_kept(struct recorder *r, int body, const struct hoisted *h, const struct recorder_keep *k, int32_t id,
                      struct commit_list *list, struct ints *output)
{
	struct cleaner c = { .id = id }, *outer = r->cleaner;
	uint8_t *kept = rec_alloc(r, (uint64_t)r->n_instr + 1);
	int32_t *from = rec_alloc(r, ((uint64_t)r->n_value + 1) * sizeof *from);
	struct ints root = { 0 };

	memset(from, 0xff, (size_t)r->n_value * sizeof *from);
	for (int i = 0; i < h->n; i++) {
		kept[r->value[h->value[i]].instr] = 1;
		from[h->value[i]] = store_index(r->store, k->state[i]);
	}
	cleaner_init(&c, r);
	c.kept = kept;
	c.from = from;
	r->cleaner = &c;
	roots(list, output, &root);
	ints_push(&root, id);
	clean_live(r, body, &root, c.live);
	r->current = rec_body_create(r, -1);
	rewrite(r, body);
	r->origin_override = -1;
	if (!r->failed)
		map_ends(r, &c, list, output);
	r->cleaner = outer;
	cleaner_finish(&c);
	free(root.at);
}

static bool ask_to_keep(struct recorder *r, const struct hoisted *h, struct recorder_keep *k)
{
	struct recorder_kept *v = rec_alloc(r, (uint64_t)h->n * sizeof *v);

	for (int i = 0; i < h->n; i++) {
		const struct rec_value *x = &r->value[h->value[i]];
		v[i] = (struct recorder_kept){ .dtype = x->dtype, .rank = x->rank };
		memcpy(v[i].dim, x->dim, sizeof v[i].dim);
		v[i].origin = r->origin[r->instr[x->instr].origin];
	}
	*k = (struct recorder_keep){
		.n = (uint32_t)h->n, .value = v, .key = h->key, .key_size = h->key_size, .macs = h->macs
	};
	return r->env.keep(r->env.ctx, r, k);
}

static void keep(struct recorder *r, struct commit_list *list, struct ints *output)
{
	int body = r->current;
	int32_t id = r->id.id < 0 ? -1 : r->cleaner->map[r->id.id];
	struct ints root = { 0 };
	struct recorder_keep k;
	struct hoisted h;

	if (id < 0)
		return;
	uint8_t *live = needed(r, list, output, &root);
	if (hoist_find(r, body, live, &root, list, id, &h) && ask_to_keep(r, &h, &k)) {
		if (k.make)
			r->maker = record_maker(r, body, &h, &k, id);
		read_kept(r, body, &h, &k, id, list, output);
	}
	free(live);
	free(root.at);
}

static struct program *clean(struct recorder *r, bool init)
{
	struct cleaner c = { .init = init };
	struct commit_list list = { 0 };
	struct ints root = { 0 }, output = { 0 };
	struct program *p = NULL;

	commits(r, init, &list);
	for (int k = 0; k < r->output.n && !init; k++)
		ints_push(&output, r->output.at[k]);
	roots(&list, &output, &root);
	cleaner_init(&c, r);
	r->cleaner = &c;
	clean_live(r, 0, &root, c.live);
	r->current = rec_body_create(r, -1);
	rewrite(r, 0);
	r->origin_override = -1;
	if (!r->failed) {
		map_ends(r, &c, &list, &output);
		if (r->keeps && !init)
			keep(r, &list, &output);
	}
	if (!r->failed)
		p = pack_current(r, &list, &output);
	r->cleaner = NULL;
	r->current = 0;
	cleaner_finish(&c);
	free(root.at);
	free(output.at);
	return p;
}

/* --- messages ----------------------------------------------------------------------------------------------- */
static void report(struct recorder *r, struct diag *d)
{
	static const struct place nowhere = { 0 };

	for (int k = 0; k < r->n_error; k++) {
		const struct instance *who = r->error[k].who;
		const struct spec *s = who ? who->spec : NULL;
		struct place at = s ? s->at : nowhere;
		at.len = 0; /* the sentence names the spec: no caret */
		if (s && who->component)
			diag_error(d, &at, "[%s] %s: %s %s: %s", s->section, s->name, who->component->c.name,
			           who->component->plugin_version ? who->component->plugin_version : "", r->error[k].text);
		else if (who && who->name)
			diag_error(d, &nowhere, "%s: %s", who->name, r->error[k].text);
		else
			diag_error(d, &nowhere, "program '%s': %s", r->name, r->error[k].text);
	}
	if (!r->n_error)
		diag_error(d, &nowhere, "program '%s': an invalid value was used", r->name);
	r->n_error = 0;
}

static struct program *finish(struct recorder *r, struct diag *d, bool init)
{
	struct program *p = r->failed ? NULL : clean(r, init);
	if (!p)
		report(r, d);
	return p;
}

struct program *recorder_finish(struct recorder *r, struct diag *d) { return finish(r, d, false); }

struct program *recorder_init_program(struct recorder *r, struct diag *d)
{
	return r->n_init && !r->failed ? finish(r, d, true) : NULL;
}
