/* SPDX-License-Identifier: MIT
 *
 * check_number.c: a component recorded alone, on operands of its kind's shapes, and held to what
 * every component promises: results of the right shape, the same bits on any number of threads,
 * in float what it is in double, derivatives that are those of the function (central differences
 * in double, away from kinks), states that stay as they are in evaluation. Kinds that can be
 * recorded alone: layers, losses, optimizers, penalties, attacks. A new one: its case in slot().
 */
#include "check_part.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rec.h"
#include "rng.h"
#include "tool.h"

#define MOST_WRT    12   /* tensors that gradients are taken by */
#define MOST_TRIED  8    /* numbers of each that are differenced */
#define STEP        1e-5 /* of central differences */
#define FLOAT_SHARE 2e-4 /* of the largest number: how far float may be from double */

/* One recording of a component and what came of it. */
struct part {
	struct part_bench *b;
	struct instance *inst;
	const struct part_shape *shape;
	struct check_call call;
	struct check_operand in[CHECK_MAX_IN];
	int n_in, n_out, n_wrt;
	struct state *wrt[MOST_WRT];
	bool overridden; /* a derivative was written by hand: it need not be the function's */
	struct compiled *c;
};

/* --- what a recording asks for ---------------------------------------------------------------------- */
static rein_val per_step(void *ctx, struct recorder *rec, const struct instance *who,
                         double (*f)(const void *, int64_t), const void *self)
{
	return rein_scalar(recorder_rec(rec), f(self, 3));
}

static void metric(void *ctx, struct recorder *rec, const struct instance *who, const char *name, rein_val v,
                   uint32_t how)
{
	(void)v; /* nothing is logged */
}

/* The model that attacks are tried on: tanh(x W) V of fixed weights. */
static rein_val forward(void *ctx, struct recorder *rec, const struct rein_model *m, rein_val x, uint32_t flags)
{
	struct rein_rec *r = recorder_rec(rec);
	int64_t n = rein_dim(r, x, 0), flat[2] = { n, -1 }, w[2] = { 0, 7 }, v[2] = { 7, m->classes };
	rein_val rows = rein_reshape(r, x, 2, flat), weight[2];
	w[0] = rein_dim(r, rows, 1);
	for (int k = 0; k < 2; k++) {
		const int64_t *dim = k ? v : w;
		int64_t count = dim[0] * dim[1];
		double *u = rec_alloc(rec, (uint64_t)(count < 1 ? 1 : count) * sizeof *u);
		for (int64_t i = 0; i < count; i++)
			u[i] = 2 * rng_uniform(rng_key(7 + (uint64_t)k, "model"), (uint64_t)i) - 1;
		weight[k] = rein_const(r, REIN_REAL_T, 2, dim, u);
	}
	return rein_matmul(r, rein_tanh(r, rein_matmul(r, rows, weight[0], 0)), weight[1], 0);
}

/* --- shapes ----------------------------------------------------------------------------------------- */
static const struct part_shape layer_shapes[] = {
	{ "r4x6:1", REIN_EVAL, 0 },      { "r4x6:1", REIN_TRAIN, 0 },     { "r4x6:1", REIN_TRAIN | REIN_KEEP_STATE, 0 },
	{ "r3x2x8x8:1", REIN_EVAL, 0 },  { "r3x2x8x8:1", REIN_TRAIN, 0 }, { "r3x2x8x8:1", REIN_TRAIN | REIN_KEEP_STATE, 0 },
	{ "r3x2x8x8:1", REIN_STATS, 0 }, { "r1x6:1", REIN_EVAL, 0 },
};
static const struct part_shape loss_shapes[] = {
	{ "r4x5", 0, REIN_ACCEPT_CLASS }, { "r4x5", 0, REIN_ACCEPT_SOFT }, { "r4x5", 0, REIN_ACCEPT_REAL },
	{ "r1x3", 0, REIN_ACCEPT_CLASS }, { "r7x1", 0, REIN_ACCEPT_REAL },
};
static const struct part_shape tensor_shapes[] = {
	{ "r5x4:1", 0, 0 },
	{ "r4x3x3x3:1", 0, 0 },
	{ "r7:1", 0, 0 },
	{ "r1x1:1", 0, 0 },
};
static const struct part_shape attack_shapes[] = { { "r4x6:p", 0, 0 }, { "r3x2x6x6:p", 0, 0 } };
static const struct part_shape odd_shapes[] = {
	{ "r:1", REIN_TRAIN, 0 },          { "r5:1", REIN_TRAIN, 0 },           { "r1x1:1", REIN_TRAIN, 0 },
	{ "r2x3x5:1", REIN_TRAIN, 0 },     { "r1x1x1x1:1", REIN_TRAIN, 0 },     { "r2x1x9x2:1", REIN_TRAIN, 0 },
	{ "r2x3x2x2x2:1", REIN_TRAIN, 0 }, { "r1x2x1x2x1x2:1", REIN_TRAIN, 0 }, { "i4x6", REIN_TRAIN, 0 },
	{ "u3x2x8x8", REIN_EVAL, 0 },
};
#define PICK(list)                               \
	if (k < (int)(sizeof list / sizeof *list)) { \
		*out = list[k];                          \
		return true;                             \
	}                                            \
	return false

bool part_records(const struct component *c)
{
	uint32_t k = c->c.kind;
	return k == REIN_LAYER || k == REIN_LOSS || k == REIN_OPTIMIZER || k == REIN_ATTACK ||
	       (k == REIN_REGULARIZER && c->vt.regularizer.penalty);
}

/* The k-th shape of a loss that it accepts targets for. */
static bool loss_shape(const struct component *c, int k, struct part_shape *out)
{
	for (size_t i = 0; i < sizeof loss_shapes / sizeof *loss_shapes; i++)
		if (c->vt.loss.accept & loss_shapes[i].accept && k-- == 0)
			return *out = loss_shapes[i], true;
	return false;
}

bool part_shape(const struct component *c, bool odd, int k, struct part_shape *out)
{
	if (odd && c->c.kind != REIN_LAYER)
		return false; /* other kinds get tensors that the core made */
	if (odd) {
		PICK(odd_shapes);
	}
	switch (c->c.kind) {
	case REIN_LAYER: PICK(layer_shapes);
	case REIN_LOSS: return loss_shape(c, k, out);
	case REIN_ATTACK: PICK(attack_shapes);
	default: PICK(tensor_shapes);
	}
}

/* --- slots ------------------------------------------------------------------------------------------- */
static rein_val operand(struct part *p, const char *text, const char *name, bool real)
{
	struct check_operand *o = &p->in[p->n_in];
	check_operands(text, 1 + (uint64_t)p->n_in, o);
	struct state *s = check_state(&p->call, name, o->dtype, o->rank, o->dim, o->v);
	if (real && o->dtype == REIN_REAL_T)
		p->wrt[p->n_wrt++] = s;
	p->n_in++;
	return recorder_read(p->call.rec, s);
}

/* A target that the loss accepts, for output (N,K). */
static rein_val target(struct part *p, rein_val z, uint32_t accept)
{
	struct rein_rec *r = p->call.r;
	char text[64];
	long long n = (long long)rein_dim(r, z, 0), k = (long long)rein_dim(r, z, 1);
	if (accept == REIN_ACCEPT_CLASS) {
		snprintf(text, sizeof text, "i%lld:i%lld", n, k > 4 ? k - 4 : 1); /* some outside */
		return operand(p, text, "target", false);
	}
	snprintf(text, sizeof text, "r%lldx%lld:p", n, k);
	rein_val t = operand(p, text, "target", false);
	if (accept == REIN_ACCEPT_SOFT)
		t = rein_div(r, t, rein_sum_over(r, t, REIN_AXIS(1), REIN_KEEP));
	return t;
}

static bool wrong_shape(struct part *p, const char *what)
{
	if (!recorder_failed(p->call.rec))
		rein_refuse(p->call.r, what);
	return false;
}

/* The slot on its operands; y is what it gives. False after errors. */
static bool slot(struct part *p, rein_val *y)
{
	const struct component *c = p->inst->component;
	struct rein_rec *r = p->call.r;
	const void *self = p->inst->self;
	rein_val x = operand(p, p->shape->in, "x", true);
	struct rein_model model = { .struct_size = sizeof model, .classes = 4, .lo = 0, .hi = 4 };
	struct rein_tensor t = { .struct_size = sizeof t, .name = "x", .w = x, .g = REIN_NONE, .mask = REIN_NONE };
	rein_val zero = rein_scalar_i(r, 0);
	struct rein_step step = { .struct_size = sizeof step,
		                      .mode = REIN_TRAIN,
		                      .n_tensor = 1,
		                      .tensor_size = sizeof t,
		                      .model = &model,
		                      .logits = REIN_NONE,
		                      .rows = REIN_NONE,
		                      .loss = REIN_NONE,
		                      .lr = rein_scalar(r, 0.125),
		                      .step = zero,
		                      .epoch = zero,
		                      .tensor = &t,
		                      .n_train = 100 };
	switch (c->c.kind) {
	case REIN_LAYER: {
		rein_val in[2] = { x, x };
		struct rein_call call = { sizeof call, p->shape->mode & 3u, c->vt.layer.inputs > 1 ? 2 : 1,
			                      p->shape->mode & REIN_KEEP_STATE, in };
		if (call.n_in > 1)
			in[1] = operand(p, p->shape->in, "x2", true);
		*y = c->vt.layer.record(self, r, &call);
		if (y->id < 0)
			return wrong_shape(p, "the layer gives no value");
		return rein_rank(r, x) < 1 || (rein_rank(r, *y) >= 1 && rein_dim(r, *y, 0) == rein_dim(r, x, 0)) ||
		       wrong_shape(p, "the result's first axis is not the batch");
	}
	case REIN_LOSS:
		*y = c->vt.loss.record(self, r, x, target(p, x, p->shape->accept));
		return (rein_rank(r, *y) == 1 && rein_dim(r, *y, 0) == rein_dim(r, x, 0)) ||
		       wrong_shape(p, "a loss gives one value per sample");
	case REIN_OPTIMIZER:
		t.g = operand(p, p->shape->in, "g", false);
		*y = c->vt.optimizer.update(self, r, &step, &t);
		break;
	case REIN_ATTACK: {
		char text[24];
		snprintf(text, sizeof text, "i%lld:1", (long long)rein_dim(r, x, 0));
		rein_val label = rein_max(r, operand(p, text, "label", false), zero);
		*y = c->vt.attack.perturb(self, r, &model, x, label);
		break;
	}
	default:
		*y = c->vt.regularizer.penalty(self, r, &step, &t);
		return rein_rank(r, *y) == 0 || REIN_IS_NONE(*y) || wrong_shape(p, "a penalty is a scalar");
	}
	bool same = rein_rank(r, *y) == rein_rank(r, x);
	for (int32_t a = 0; same && a < rein_rank(r, x); a++)
		same = rein_dim(r, *y, a) == rein_dim(r, x, a);
	return same || wrong_shape(p, "the result has another shape than what it replaces");
}

/* --- recording ------------------------------------------------------------------------------------------ */
static void keys_of_draws(struct part *p)
{
	struct rein_rec *r = p->call.r;
	struct check_operand x;
	char text[24];
	check_operands(p->shape->in, 1, &x);
	snprintf(text, sizeof text, "i%lld", (long long)(x.rank ? x.dim[0] : 1));
	free(x.v);
	rein_val id = operand(p, text, "id", false);
	recorder_draw_keys(p->call.rec, id, rein_scalar_i(r, 3), rein_scalar_i(r, 1));
}

/* s = sum of y times fixed numbers: what is differenced. */
static rein_val scalar_of(struct part *p, rein_val y)
{
	struct rein_rec *r = p->call.r;
	int64_t dim[REIN_MAX_RANK], n = 1;
	int32_t rank = rein_rank(r, y);
	for (int32_t a = 0; a < rank; a++)
		n *= dim[a] = rein_dim(r, y, a);
	double *v = rec_alloc(p->call.rec, (uint64_t)n * sizeof *v);
	for (int64_t i = 0; i < n; i++)
		v[i] = 2 * rng_uniform(rng_key(5, "seed"), (uint64_t)i) - 1;
	return rein_sum(r, rein_mul(r, y, rein_const(r, REIN_REAL_T, (uint32_t)rank, dim, v)));
}

static bool has_stop(const struct recorder *rec)
{
	for (int k = 0; k < rec->n_instr; k++)
		if (rec->instr[k].op == REIN_OP_STOP)
			return true;
	return false;
}

/* Outputs: y, s, then the gradients of s. NULL, with the reason in why, if it was refused. */
static struct program *record(struct part *p, int way, bool gradients, struct program **init, char *why, size_t size)
{
	static const struct recorder_env env = { .per_step = per_step, .forward = forward, .metric = metric };
	struct recorder_options o = { .name = p->inst->name, .real_size = way == PART_EXACT ? 8 : 4 };
	rein_val y = REIN_NONE, wrt[MOST_WRT], g[MOST_WRT];
	p->call = (struct check_call){ .store = store_create(p->b->way[way], 1, RNG_PHILOX) };
	p->call.store->real_size = o.real_size;
	p->call.rec = recorder_create(p->call.store, &env, &o);
	p->call.r = recorder_rec(p->call.rec);
	p->n_in = p->n_wrt = 0;
	keys_of_draws(p);
	recorder_enter(p->call.rec, p->inst, p->inst->component->c.kind == REIN_LAYER ? NULL : "x");
	bool good = slot(p, &y) && !REIN_IS_NONE(y);
	recorder_leave(p->call.rec);
	for (int k = 0; good && k < p->call.store->n && p->n_wrt < MOST_WRT; k++)
		if (p->call.store->state[k]->role == STATE_PARAM)
			p->wrt[p->n_wrt++] = p->call.store->state[k];
	p->overridden = has_stop(p->call.rec);
	if (good && !recorder_failed(p->call.rec)) {
		recorder_output(p->call.rec, y);
		if (gradients && p->n_wrt && rein_dtype(p->call.r, y) == REIN_REAL_T) {
			rein_val s = scalar_of(p, y);
			for (int k = 0; k < p->n_wrt; k++)
				wrt[k] = recorder_read(p->call.rec, p->wrt[k]);
			rein_grads(p->call.r, s, REIN_NONE, (uint32_t)p->n_wrt, wrt, g);
			recorder_output(p->call.rec, s);
			for (int k = 0; k < p->n_wrt; k++)
				recorder_output(p->call.rec, g[k]);
		}
	}
	*init = recorder_init_program(p->call.rec, p->b->diag);
	struct program *done = recorder_finish(p->call.rec, p->b->diag);
	check_messages(p->b->diag, why, size);
	return done;
}

static void forget(struct part *p)
{
	compiled_destroy(p->c);
	p->c = NULL;
	recorder_destroy(p->call.rec);
	store_destroy(p->call.store);
	check_operands_free(p->in, p->n_in);
}

bool part_record_only(struct part_bench *b, struct instance *inst, const struct part_shape *shape, char *why,
                      size_t size)
{
	struct part p = { .b = b, .inst = inst, .shape = shape };
	struct program *init = NULL, *done = record(&p, PART_EXACT, false, &init, why, size);
	bool good = done != NULL;
	program_destroy(init);
	program_destroy(done);
	forget(&p);
	return good;
}

/* Recorded, compiled, every state with its first value. */
static bool prepare(struct part *p, int way, bool gradients, char *why, size_t size)
{
	struct program *init = NULL, *done = record(p, way, gradients, &init, why, size);
	struct store *s = p->call.store;
	bool good = done && store_allocate(s) >= 0;
	if (init && good) {
		struct compiled *c = program_compile(init, s, p->b->way[way], 0, p->b->diag);
		good = c && compiled_run(c, 1) >= 0;
		compiled_destroy(c);
	} else {
		program_destroy(init);
	}
	if (good)
		p->c = program_compile(done, s, p->b->way[way], way == PART_EXACT ? REIN_NAIVE : 0, p->b->diag);
	else
		program_destroy(done);
	if (done && !p->c)
		check_messages(p->b->diag, why, size);
	if (done && !p->c && !why[0]) /* no memory, or a run that failed: the backend knows */
		snprintf(why, size, "backend: %s", instance_failure(p->b->way[way]));
	return p->c != NULL;
}

/* --- verdicts ----------------------------------------------------------------------------------------------- */
static void fail(struct check_report *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void fail(struct check_report *r, const char *format, ...)
{
	va_list ap;
	if (r->status != CHECK_PASSED)
		return;
	va_start(ap, format);
	vsnprintf(r->text, sizeof r->text, format, ap);
	va_end(ap);
	r->status = CHECK_FAILED;
}

/* Output k as doubles, allocated. */
static double *output(struct part *p, uint32_t k, int64_t *n)
{
	const struct rein_program *prog = &p->c->program->p;
	const struct rein_prog_value *v = &prog->value[prog->output[k]];
	unsigned char *raw = tool_alloc((size_t)v->count * 8);
	double *out = tool_alloc((size_t)v->count * sizeof *out);
	compiled_output(p->c, k, raw, v->count * 8);
	for (int64_t i = 0; i < v->count; i++)
		out[i] = check_number(v->dtype, prog->real_size, raw, i);
	free(raw);
	*n = v->count;
	return out;
}

static bool ran(struct part *p, struct check_report *r)
{
	if (compiled_run(p->c, 1) >= 0)
		return true;
	fail(r, "run: %s", instance_failure(p->c->backend));
	return false;
}

/* Floats on 1 and on 3 threads, and double. */
static void compare(struct part w[PART_N_WAY], struct check_report *r)
{
	uint32_t n_out = w[PART_ONE].c->program->p.n_output;
	bool jumps = w[PART_ONE].inst->component->c.kind == REIN_ATTACK; /* signs of gradients */
	for (uint32_t k = 0; k < n_out; k++) {
		int64_t n;
		double *exact = output(&w[PART_EXACT], k, &n), *one = output(&w[PART_ONE], k, &n), scale = 1;
		double *three = output(&w[PART_THREE], k, &n);
		for (int64_t i = 0; i < n; i++)
			scale = isfinite(exact[i]) ? fmax(scale, fabs(exact[i])) : scale;
		for (int64_t i = 0; i < n; i++) {
			const char *of = k == 0 ? "result" : k == 1 ? "sum" : "gradient";
			if (memcmp(&one[i], &three[i], sizeof *one) && !(isnan(one[i]) && isnan(three[i])))
				fail(r, "%s, element %lld: %.9g on one thread, %.9g on three", of, (long long)i, one[i], three[i]);
			bool both = (isnan(one[i]) && isnan(exact[i])) || one[i] == exact[i];
			if (!jumps && !both && !(fabs(one[i] - exact[i]) <= FLOAT_SHARE * scale))
				fail(r, "%s, element %lld: %.9g in float, %.9g in double", of, (long long)i, one[i], exact[i]);
		}
		free(exact);
		free(one);
		free(three);
	}
}

static double number_of(struct part *p, uint32_t k)
{
	int64_t n;
	double *v = output(p, k, &n), first = v[0];
	free(v);
	return first;
}

/* s with one number of a state moved. */
static double moved(struct part *p, struct state *t, double *v, int64_t i, double by, void **all)
{
	double was = v[i];
	for (int k = 0; k < p->call.store->n; k++)
		store_set(p->call.store, p->call.store->state[k], all[k]);
	v[i] = was + by;
	store_set(p->call.store, t, v);
	double s = compiled_run(p->c, 1) >= 0 ? number_of(p, 1) : (double)NAN;
	v[i] = was;
	return s;
}

/* Gradients by the program against differences; numbers beside a kink are left out. */
static void differences(struct part *p, void **all, struct check_report *r)
{
	int tried = 0, kinks = 0;
	double sum = number_of(p, 1);
	for (int k = 0; k < p->n_wrt; k++) {
		struct state *t = p->wrt[k];
		int64_t n, stride = t->count > MOST_TRIED ? t->count / MOST_TRIED : 1;
		for (int j = 0; j < p->call.store->n; j++)
			store_set(p->call.store, p->call.store->state[j], all[j]);
		if (compiled_run(p->c, 1) < 0)
			return;
		double *g = output(p, 2 + (uint32_t)k, &n), *v = tool_alloc((size_t)t->count * sizeof *v);
		memcpy(v, all[store_index(p->call.store, t)], (size_t)t->count * sizeof *v);
		for (int64_t i = 0; i < t->count && i / stride < MOST_TRIED; i += stride) {
			double wide = (moved(p, t, v, i, STEP, all) - moved(p, t, v, i, -STEP, all)) / (2 * STEP);
			double fine = (moved(p, t, v, i, STEP / 4, all) - moved(p, t, v, i, -STEP / 4, all)) / (STEP / 2);
			tried++;
			if (!(fabs(wide - fine) <= 1e-5 * (1 + fabs(fine)))) {
				kinks++;
				continue;
			}
			if (!(fabs(g[i] - fine) <= 1e-5 * (1 + fabs(fine))))
				fail(r, "derivative by %s, element %lld: %.9g, by differences %.9g", t->name, (long long)i, g[i], fine);
		}
		free(g);
		free(v);
	}
	if (tried && kinks == tried && !isfinite(sum))
		fail(r, "the result's sum is %s, not a finite number", isnan(sum) ? "nan" : "infinite");
	else if (tried && kinks == tried)
		fail(r, "derivative: none of %d numbers could be differenced", tried);
}

/* In evaluation, and where it is told to keep states, nothing may be assigned. */
static void keeps_states(const struct part *p, struct check_report *r)
{
	const struct rein_program *prog = &p->c->program->p;
	bool keep = (p->shape->mode & 3u) == REIN_EVAL || p->shape->mode & REIN_KEEP_STATE;
	if (p->inst->component->c.kind == REIN_LAYER && keep && prog->n_commit)
		fail(r, "state %s is assigned %s", prog->state[prog->commit[0].state].name,
		     p->shape->mode & REIN_KEEP_STATE ? "though REIN_KEEP_STATE is set" : "in evaluation mode");
}

void part_numbers(struct part_bench *b, struct instance *inst, const struct part_shape *shape, struct check_report *r)
{
	struct part w[PART_N_WAY];
	char why[600] = "", first[600] = "";
	uint32_t kind = inst->component->c.kind;
	bool gradients = kind == REIN_LAYER || kind == REIN_LOSS || kind == REIN_REGULARIZER, good = true;
	if (!part_record_only(b, inst, shape, first, sizeof first)) {
		r->status = first[0] ? CHECK_UNSUPPORTED : CHECK_FAILED; /* of several shapes one must do */
		snprintf(r->text, sizeof r->text, "%s", first[0] ? first : "it was refused, and nobody says why");
		return;
	}
	for (int k = 0; k < PART_N_WAY; k++) {
		w[k] = (struct part){ .b = b, .inst = inst, .shape = shape };
		bool done = good && prepare(&w[k], k, gradients, why, sizeof why);
		if (good && !done && gradients) { /* it may have no derivative */
			forget(&w[k]);
			w[k] = (struct part){ .b = b, .inst = inst, .shape = shape };
			gradients = false;
			done = prepare(&w[k], k, false, why, sizeof why);
		}
		if (good && !done)
			fail(r, "%s", why);
		good = good && done;
	}
	if (good) {
		void **all = check_keep(w[PART_EXACT].call.store);
		keeps_states(&w[PART_EXACT], r);
		good = ran(&w[PART_EXACT], r) && ran(&w[PART_ONE], r) && ran(&w[PART_THREE], r);
		if (good)
			compare(w, r);
		if (good && gradients && w[PART_EXACT].c->program->p.n_output > 1 && !w[PART_EXACT].overridden)
			differences(&w[PART_EXACT], all, r);
		for (int k = 0; k < w[PART_EXACT].call.store->n; k++)
			free(all[k]);
		free(all);
	}
	for (int k = 0; k < PART_N_WAY; k++)
		if (w[k].call.store)
			forget(&w[k]);
}
