/* SPDX-License-Identifier: MIT
 *
 * record.c: the recorder itself: memory, scopes, errors, appending ops, and the table
 * that plugins call. States and draws are in record_state.c, loops in record_loop.c.
 *
 * An error is remembered once per instance; its result is a poisoned value, and ops that
 * use one keep quiet, so that one mistake gives one message.
 */
#include "program.h"
#include "rec.h"

#include <stdlib.h>
#include <string.h>

#include "blame.h"

/* --- memory ---------------------------------------------------------------------------- */
struct chunk {
	struct chunk *next;
	uint64_t used, size;
	uint64_t data[];
};

void *rec_alloc(struct recorder *r, uint64_t bytes)
{
	uint64_t need = (bytes + 15) & ~(uint64_t)15;
	struct chunk *c = r->chunks;

	if (!c || c->size - c->used < need) {
		uint64_t size = need > 65536 ? need : 65536;
		c = calloc(1, sizeof *c + size);
		if (!c)
			return NULL;
		c->size = size;
		c->next = r->chunks;
		r->chunks = c;
	}
	c->used += need;
	return (char *)c->data + (c->used - need);
}

const char *rec_text(struct recorder *r, const char *format, ...)
{
	char buf[1024];
	va_list ap;
	va_start(ap, format);
	int n = vsnprintf(buf, sizeof buf, format, ap);
	va_end(ap);
	if (n >= (int)sizeof buf)
		n = (int)sizeof buf - 1;
	char *s = rec_alloc(r, (uint64_t)n + 1);
	if (!s)
		return "out of memory";
	memcpy(s, buf, (size_t)n);
	return s;
}

void *grow(void *at, int n, int *cap, size_t size)
{
	if (n < *cap)
		return at;
	int want = *cap ? *cap * 2 : 16;
	void *p = realloc(at, (size_t)want * size);
	if (!p)
		abort(); /* a few megabytes of bookkeeping: nothing sensible is left to do */
	*cap = want;
	return p;
}

void ints_push(struct ints *l, int32_t v)
{
	l->at = grow(l->at, l->n, &l->cap, sizeof *l->at);
	l->at[l->n++] = v;
}

static uint32_t pair_hash(int32_t a, int32_t b)
{
	uint64_t h = ((uint64_t)(uint32_t)a << 32 | (uint32_t)b) * 0x9E3779B97F4A7C15u;
	return (uint32_t)(h >> 32);
}

int32_t pairs_get(const struct pairs *p, int32_t a, int32_t b)
{
	if (!p->cap)
		return -1;
	for (uint32_t i = pair_hash(a, b);; i++) {
		const struct pair *e = &p->at[i & (uint32_t)(p->cap - 1)];
		if (e->a < 0)
			return -1;
		if (e->a == a && e->b == b)
			return e->to;
	}
}

static void pairs_insert(struct pairs *p, int32_t a, int32_t b, int32_t to)
{
	uint32_t i = pair_hash(a, b);
	while (p->at[i & (uint32_t)(p->cap - 1)].a >= 0)
		i++;
	p->at[i & (uint32_t)(p->cap - 1)] = (struct pair){ a, b, to };
	p->n++;
}

void pairs_put(struct pairs *p, int32_t a, int32_t b, int32_t to)
{
	if (p->n * 2 >= p->cap) {
		struct pairs old = *p;
		p->cap = old.cap ? old.cap * 2 : 64;
		p->n = 0;
		p->at = malloc((size_t)p->cap * sizeof *p->at);
		if (!p->at)
			abort();
		for (int i = 0; i < p->cap; i++)
			p->at[i].a = -1;
		for (int i = 0; i < old.cap; i++)
			if (old.at[i].a >= 0)
				pairs_insert(p, old.at[i].a, old.at[i].b, old.at[i].to);
		free(old.at);
	}
	pairs_insert(p, a, b, to);
}

/* --- errors ------------------------------------------------------------------------------ */
void rec_refuse(struct recorder *r, const char *format, ...)
{
	const struct instance *who = recorder_who(r);
	char buf[900];
	va_list ap;

	r->failed = true;
	for (int i = 0; i < r->n_error; i++)
		if (r->error[i].who == who)
			return;
	va_start(ap, format);
	vsnprintf(buf, sizeof buf, format, ap);
	va_end(ap);
	r->error = grow(r->error, r->n_error, &r->cap_error, sizeof *r->error);
	r->error[r->n_error++] = (struct rec_error){ who, rec_text(r, "%s", buf) };
}

bool recorder_failed(const struct recorder *r) { return r->failed; }

/* --- appending ----------------------------------------------------------------------------- */
int rec_body_create(struct recorder *r, int parent)
{
	struct rec_body *b = calloc(1, sizeof *b);
	if (!b)
		abort();
	b->parent = parent;
	r->body = grow(r->body, r->n_body, &r->cap_body, sizeof *r->body);
	r->body[r->n_body] = b;
	return r->n_body++;
}

static uint64_t data_bytes(uint32_t op, const struct rein_attr *a, const struct rec_value *out)
{
	if (op == REIN_OP_RANDOM)
		return sizeof(uint64_t);
	if (op != REIN_OP_CONST || !a->data)
		return 0;
	return (uint64_t)out->count * dtype_size(out->dtype, 8);
}

int rec_append(struct recorder *r, uint32_t op, uint32_t n_in, const rein_val *in, const struct rein_attr *a,
               uint32_t n_out, const struct rec_value *out)
{
	struct rec_instr i = { .op = op,
		                   .n_in = n_in,
		                   .n_out = n_out,
		                   .in = r->operand.n,
		                   .out = r->n_value,
		                   .body = r->current,
		                   .state = -1,
		                   .loop = -1,
		                   .attr = *a };

	if (r->n_instr >= REC_MAX_INSTR) {
		rec_refuse(r, "the program has more than %d ops; is a loop unrolled?", REC_MAX_INSTR);
		return -1;
	}
	i.origin = r->origin_override >= 0 ? (uint32_t)r->origin_override
	           : r->n_scope            ? r->scope[r->n_scope - 1].origin
	                                   : 0;
	i.data_bytes = data_bytes(op, a, out);
	if (i.data_bytes) {
		void *copy = rec_alloc(r, i.data_bytes);
		if (!copy) {
			rec_refuse(r, "out of memory");
			return -1;
		}
		memcpy(copy, a->data, i.data_bytes);
		i.attr.data = copy;
	} else if (op != REIN_OP_MAP) {
		i.attr.data = NULL;
	}
	for (uint32_t k = 0; k < n_in; k++)
		ints_push(&r->operand, in[k].id);
	for (uint32_t k = 0; k < n_out; k++) {
		struct rec_value v = out[k];
		v.instr = r->n_instr;
		v.result = k;
		v.state = -1;
		v.body = r->current;
		r->value = grow(r->value, r->n_value, &r->cap_value, sizeof *r->value);
		r->value[r->n_value++] = v;
	}
	r->instr = grow(r->instr, r->n_instr, &r->cap_instr, sizeof *r->instr);
	r->instr[r->n_instr] = i;
	ints_push(&r->body[r->current]->instr, r->n_instr);
	return r->n_instr++;
}

/* Inner value for an outer one in `body`: a constant again, else an input of the loop. */
static int32_t capture(struct recorder *r, int body, int32_t v)
{
	if (r->value[v].body == body)
		return v;
	if (body == 0)
		return -1;
	int32_t inner = pairs_get(&r->captures, body, v);
	if (inner >= 0)
		return inner;
	int32_t outer = capture(r, r->body[body]->parent, v);
	if (outer < 0)
		return -1;

	int saved = r->current, n;
	struct rec_value like = r->value[outer];
	double fill;
	r->current = body;
	if (fold_uniform(r, (rein_val){ outer }, &fill)) {
		struct rein_attr a = r->instr[like.instr].attr;
		n = rec_append(r, REIN_OP_CONST, 0, NULL, &a, 1, &like);
	} else {
		struct rein_attr a = { .struct_size = sizeof a, .mode = (uint32_t)r->body[body]->input.n };
		n = rec_append(r, REIN_OP_INPUT, 0, NULL, &a, 1, &like);
		if (n >= 0) {
			ints_push(&r->body[body]->captured, outer);
			ints_push(&r->body[body]->input, r->instr[n].out);
		}
	}
	r->current = saved;
	if (n < 0)
		return -1;
	inner = r->instr[n].out;
	r->value[inner].state = r->value[outer].state;
	pairs_put(&r->captures, body, v, inner);
	return inner;
}

rein_val rec_use(struct recorder *r, rein_val v, const char *what)
{
	if (REC_IS_POISON(v)) {
		r->failed = true;
		return REC_POISON;
	}
	if (REIN_IS_NONE(v) && r->failed) /* what could not be made: said already */
		return REC_POISON;
	if (REIN_IS_NONE(v)) {
		if (!r->failed) /* else it is what an earlier refusal left, which is told already */
			rec_refuse(r, "%s: an operand is missing (REIN_NONE)", what);
		return REC_POISON;
	}
	if (v.id >= r->n_value) {
		rec_refuse(r, "%s: an operand does not belong to this recording", what);
		return REC_POISON;
	}
	int32_t inner = capture(r, r->current, v.id);
	if (inner < 0) {
		rec_refuse(r, "%s: an operand was made inside a loop that is over; carry it out", what);
		return REC_POISON;
	}
	return (rein_val){ inner };
}

/* Operand and result counts against the table. */
static bool counts_fit(struct recorder *r, uint32_t op, uint32_t n_in, const struct rein_attr *a, uint32_t n_out)
{
	const struct op_info *o = op_info(op);
	const struct rein_map *m = a->data;

	if (op == REIN_OP_MAP && m && n_out != m->n_out) {
		rec_refuse(r, "map %s: has %u results, %u asked for", m->name, m->n_out, n_out);
		return false;
	}
	if (o->n_in >= 0 && n_in != (uint32_t)o->n_in) {
		rec_refuse(r, "%s: takes %d operands, got %u", o->name, o->n_in, n_in);
		return false;
	}
	if ((o->n_out >= 0 && n_out != (uint32_t)o->n_out) || n_out > REC_MAX_OUT) {
		rec_refuse(r, "%s: has %d results, %u asked for", o->name, o->n_out, n_out);
		return false;
	}
	return true;
}

/* Whole numbers are divided by positive constants only: nothing can go wrong then. */
static bool divisor_ok(struct recorder *r, rein_val v)
{
	const struct rec_instr *i = &r->instr[r->value[v.id].instr];
	const int32_t *data = i->attr.data;
	bool ok = i->op == REIN_OP_CONST && (data || i->attr.par[0] > 0);

	for (int64_t k = 0; ok && data && k < r->value[v.id].count; k++)
		ok = data[k] > 0;
	if (!ok)
		rec_refuse(r, "div: i32 is divided by a positive constant only");
	return ok;
}

static bool made_elsewhere(uint32_t op)
{
	return op == REIN_OP_READ || op == REIN_OP_RANDOM || op == REIN_OP_INPUT || op == REIN_OP_REPEAT ||
	       op == REIN_OP_CUSTOM;
}

void rec_op(struct rein_rec *rec, uint32_t op, uint32_t n_in, const rein_val *in, const struct rein_attr *attr,
            uint32_t n_out, rein_val *out)
{
	struct recorder *r = recorder_of(rec);
	struct rein_attr a = { 0 };
	rein_val local[16], *v = local;
	const struct rec_value *local_in[16], **vin = local_in;
	struct rec_value res[REC_MAX_OUT];

	if (n_in > 16) {
		v = rec_alloc(r, n_in * sizeof *v);
		vin = rec_alloc(r, n_in * sizeof *vin);
	}
	for (uint32_t k = 0; k < n_in; k++)
		v[k] = in[k]; /* in may be out */
	for (uint32_t k = 0; k < n_out; k++)
		out[k] = REC_POISON;
	if (op == 0 || op >= REIN_OP_COUNT || made_elsewhere(op)) {
		rec_refuse(r, "op %u (%s) cannot be recorded by number", op, op_info(op)->name);
		return;
	}
	if (attr)
		memcpy(&a, attr, attr->struct_size < sizeof a ? attr->struct_size : sizeof a);
	a.struct_size = sizeof a;
	if (!counts_fit(r, op, n_in, &a, n_out))
		return;
	for (uint32_t k = 0; k < n_in; k++) {
		v[k] = rec_use(r, v[k], op_info(op)->name);
		if (REC_IS_POISON(v[k]))
			return;
	}
	for (uint32_t k = 0; k < n_in; k++)
		vin[k] = &r->value[v[k].id];
	struct infer c = { op, n_in, n_out, vin, &a, res, "" };
	if (!op_infer(&c)) {
		rec_refuse(r, "%s: %s", op_info(op)->name, c.why);
		return;
	}
	if (op == REIN_OP_DIV && res[0].dtype == REIN_I32_T && !divisor_ok(r, v[1]))
		return;
	if (r->cleaner) {
		clean_op(r, op, n_in, v, &a, n_out, res, out);
		return;
	}
	int n = rec_append(r, op, n_in, v, &a, n_out, res);
	for (uint32_t k = 0; n >= 0 && k < n_out; k++)
		out[k] = (rein_val){ r->instr[n].out + (int32_t)k };
}

/* --- scopes ---------------------------------------------------------------------------------- */
static const char *who_name(struct recorder *r, const struct instance *who)
{
	if (!who)
		return "";
	if (who->spec)
		return rec_text(r, "[%s] %s", who->spec->section, who->name ? who->name : "");
	return rec_text(r, "%s", who->name ? who->name : "");
}

static int new_origin(struct recorder *r, const char *name, const struct place *at)
{
	if (r->n_origin == r->cap_origin) {
		r->origin = grow(r->origin, r->n_origin, &r->cap_origin, sizeof *r->origin);
		r->origin_at = realloc(r->origin_at, (size_t)r->cap_origin * sizeof *r->origin_at);
		if (!r->origin_at)
			abort();
	}
	r->origin[r->n_origin] = name;
	r->origin_at[r->n_origin] = at ? *at : (struct place){ 0 };
	return r->n_origin++;
}

void recorder_enter(struct recorder *r, const struct instance *who, const char *tensor)
{
	struct rec_scope s = { .who = who, .tensor = tensor ? rec_text(r, "%s", tensor) : NULL };
	int k = 0;

	/* The same instance enters again and again: its name is looked for from the newest. */
	const char *name = who_name(r, who);
	for (k = r->n_origin - 1; k >= 0 && strcmp(r->origin[k], name) != 0; k--)
		;
	if (k < 0) {
		k = new_origin(r, name, who && who->spec ? &who->spec->at : NULL);
	}
	s.origin = (uint32_t)k;
	r->scope = grow(r->scope, r->n_scope, &r->cap_scope, sizeof *r->scope);
	r->scope[r->n_scope++] = s;
	blame(who);
}

void recorder_leave(struct recorder *r)
{
	if (r->n_scope)
		free(r->scope[--r->n_scope].draw);
	blame(recorder_who(r));
}

const struct instance *recorder_who(const struct recorder *r)
{
	return r->n_scope ? r->scope[r->n_scope - 1].who : NULL;
}

static void vt_scope(struct rein_rec *rec, const struct rein_tensor *p)
{
	struct recorder *r = recorder_of(rec);
	if (!r->n_scope)
		recorder_enter(r, NULL, NULL);
	r->scope[r->n_scope - 1].tensor = p && p->name ? rec_text(r, "%s", p->name) : NULL;
}

void recorder_call(struct recorder *r, uint32_t number) { r->call = number; }

/* --- the table -------------------------------------------------------------------------------- */
static int32_t vt_rank(struct rein_rec *rec, rein_val v)
{
	struct recorder *r = recorder_of(rec);
	return v.id < 0 || v.id >= r->n_value ? -1 : (int32_t)r->value[v.id].rank;
}

static int64_t vt_dim(struct rein_rec *rec, rein_val v, int32_t axis)
{
	struct recorder *r = recorder_of(rec);
	int32_t rank = vt_rank(rec, v);
	if (axis < 0)
		axis += rank;
	return axis < 0 || axis >= rank ? -1 : r->value[v.id].dim[axis];
}

static uint32_t vt_dtype(struct rein_rec *rec, rein_val v)
{
	struct recorder *r = recorder_of(rec);
	return v.id < 0 || v.id >= r->n_value ? 0 : r->value[v.id].dtype;
}

static void *vt_scratch(struct rein_rec *rec, uint64_t bytes) { return rec_alloc(recorder_of(rec), bytes); }
static void vt_refuse(struct rein_rec *rec, const char *why) { rec_refuse(recorder_of(rec), "%s", why); }

static rein_val unavailable(struct recorder *r, const char *what)
{
	rec_refuse(r, "%s is not available here", what);
	return REC_POISON;
}

static rein_val vt_knob(struct rein_rec *rec, const char *key, double now)
{
	struct recorder *r = recorder_of(rec);
	if (r->env.knob)
		return r->env.knob(r->env.ctx, r, recorder_who(r), key, now);
	struct rein_attr a = { .struct_size = sizeof a, .mode = REIN_REAL_T, .par = { now } };
	rein_val v;
	rec_op(rec, REIN_OP_CONST, 0, NULL, &a, 1, &v);
	return v;
}

static rein_val vt_per_step(struct rein_rec *rec, double (*f)(const void *, int64_t), const void *self)
{
	struct recorder *r = recorder_of(rec);
	if (!r->env.per_step)
		return unavailable(r, "a value per step");
	return r->env.per_step(r->env.ctx, r, recorder_who(r), f, self);
}

static rein_val vt_forward(struct rein_rec *rec, const struct rein_model *m, rein_val x, uint32_t flags)
{
	struct recorder *r = recorder_of(rec);
	return r->env.forward ? r->env.forward(r->env.ctx, r, m, x, flags) : unavailable(r, "the network");
}

static rein_val vt_objective(struct rein_rec *rec, const struct rein_step *t, uint32_t flags)
{
	struct recorder *r = recorder_of(rec);
	return r->env.objective ? r->env.objective(r->env.ctx, r, t, flags) : unavailable(r, "the objective");
}

static void vt_metric(struct rein_rec *rec, const char *name, rein_val v, uint32_t how)
{
	struct recorder *r = recorder_of(rec);
	if (r->env.metric)
		r->env.metric(r->env.ctx, r, recorder_who(r), name, v, how);
	else
		unavailable(r, "a metric");
}

static rein_val vt_perturb(struct rein_rec *rec, const struct rein_ref *attack, const struct rein_model *m, rein_val x,
                           rein_val y)
{
	struct recorder *r = recorder_of(rec);
	return r->env.perturb ? r->env.perturb(r->env.ctx, r, attack, m, x, y) : unavailable(r, "an attack");
}

static rein_val vt_forward_ref(struct rein_rec *rec, const struct rein_ref *network, rein_val x, uint32_t flags)
{
	struct recorder *r = recorder_of(rec);
	return r->env.forward_ref ? r->env.forward_ref(r->env.ctx, r, network, x, flags)
	                          : unavailable(r, "another network");
}

static void vt_augment(struct rein_rec *rec, const struct rein_ref *augmentation, const struct rein_step *t,
                       struct rein_batch *b)
{
	struct recorder *r = recorder_of(rec);
	if (r->env.augment)
		r->env.augment(r->env.ctx, r, augmentation, t, b);
	else
		unavailable(r, "an augmentation");
}

static const struct rein_rec_vt rec_vt = {
	.struct_size = sizeof rec_vt,
	.op = rec_op,
	.rank = vt_rank,
	.dim = vt_dim,
	.dtype = vt_dtype,
	.scratch = vt_scratch,
	.refuse = vt_refuse,
	.param = rec_param,
	.state = rec_state,
	.read = rec_read,
	.assign = rec_assign,
	.grads = rec_grads,
	.override = rec_override,
	.custom = rec_custom,
	.random = rec_random,
	.knob = vt_knob,
	.per_step = vt_per_step,
	.repeat = rec_repeat,
	.forward = vt_forward,
	.objective = vt_objective,
	.with = rec_with,
	.without = rec_without,
	.metric = vt_metric,
	.perturb = vt_perturb,
	.forward_ref = vt_forward_ref,
	.scope = vt_scope,
	.set_param = rec_set_param,
	.augment = vt_augment,
};

/* --- life --------------------------------------------------------------------------------------- */
struct recorder *recorder_create(struct store *store, const struct recorder_env *env,
                                 const struct recorder_options *options)
{
	struct recorder *r = calloc(1, sizeof *r);
	if (!r)
		abort();
	r->rec.vt = &rec_vt;
	r->store = store;
	if (env)
		r->env = *env;
	r->options = *options;
	r->name = rec_text(r, "%s", options->name ? options->name : "program");
	if (!r->options.real_size)
		r->options.real_size = store ? store->real_size : 4;
	r->id = r->step = r->epoch = r->round = r->id_views = REIN_NONE;
	r->origin_override = -1;
	new_origin(r, "", NULL);
	rec_body_create(r, -1);
	return r;
}

static void body_destroy(struct rec_body *b)
{
	free(b->instr.at);
	free(b->captured.at);
	free(b->input.at);
	free(b->output.at);
	free(b);
}

void recorder_destroy(struct recorder *r)
{
	if (!r)
		return;
	while (r->n_scope)
		recorder_leave(r);
	for (int i = 0; i < r->n_body; i++)
		body_destroy(r->body[i]);
	free(r->body);
	free(r->value);
	free(r->instr);
	free(r->operand.at);
	free(r->captures.at);
	free(r->scope);
	free(r->origin);
	free(r->origin_at);
	free(r->read.at);
	free(r->version.at);
	free(r->with);
	free(r->init);
	free(r->output.at);
	free(r->error);
	program_destroy(r->maker);
	while (r->chunks) {
		struct chunk *next = r->chunks->next;
		free(r->chunks);
		r->chunks = next;
	}
	free(r);
}

void recorder_keeps(struct recorder *r) { r->keeps = true; }

struct program *recorder_maker(struct recorder *r)
{
	struct program *p = r->maker;
	r->maker = NULL;
	return p;
}

struct rein_rec *recorder_rec(struct recorder *r) { return &r->rec; }
struct recorder *recorder_of(struct rein_rec *rec) { return (struct recorder *)rec; }

int recorder_output(struct recorder *r, rein_val v)
{
	v = rec_use(r, v, "an output");
	if (REC_IS_POISON(v))
		return -1;
	if (r->current != 0) {
		rec_refuse(r, "an output cannot come from inside a loop");
		return -1;
	}
	ints_push(&r->output, v.id);
	return r->output.n - 1;
}
