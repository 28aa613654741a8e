/* SPDX-License-Identifier: MIT
 *
 * check_run.c: one case, run in every way: by the reference in double (exact), in float, and in
 * double on absolute values (what errors of sums are measured by); by the backend as it is, and
 * once more opened with REIN_GUARD, on other threads and with gaps between all tensors. There
 * memory is filled with ones first, so that what is read before it is written is NaN, and gaps
 * that change are found, whatever the backend does about guards itself.
 */
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rng.h"
#include "tool.h"

#define PAD      256 /* bytes around each state */
#define PAD_BYTE 0xFF

enum { EXACT, REF, PLAIN, GUARDED, N_WAY };
#define MAGNITUDE N_WAY /* EXACT on absolute values */

struct check_bench {
	struct instance *way[N_WAY];
	const struct check_target *target;
	struct diag *diag;
	struct spec reference;
};

/* What a run left: all outputs, then all states. */
struct result {
	double *v;
	int64_t *at; /* n + 1 of them */
	uint32_t *dtype;
	int n, n_output;
};

static void result_free(struct result *r)
{
	free(r->v);
	free(r->at);
	free(r->dtype);
	memset(r, 0, sizeof *r);
}

static const struct rein_backend_vt *vt(const struct instance *b) { return &b->component->vt.backend; }

void check_messages(struct diag *d, char *out, size_t size)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);
	if (!f)
		return;
	diag_print(d, f);
	fclose(f);
	while (n && text[n - 1] == '\n')
		text[--n] = 0;
	snprintf(out, size, "%s", text);
	free(text);
}

/* --- opening ------------------------------------------------------------------------------------- */
static struct instance *create(struct check_bench *b, const struct spec *spec)
{
	struct host_env env = { .seed = 1, .config_dir = ".", .diag = b->diag };
	return instance_create(b->target->registry, REIN_BACKEND, spec, &env, NULL, NULL, b->diag);
}

static void refuse(struct check_report *, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void refuse(struct check_report *r, int status, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	vsnprintf(r->text, sizeof r->text, format, ap);
	va_end(ap);
	r->status = status;
}

static void open_way(struct check_bench *b, int way, struct check_report *r)
{
	static const uint32_t flags[N_WAY] = { REIN_NAIVE, REIN_NAIVE, 0, REIN_GUARD };
	const struct spec *spec = way < PLAIN ? &b->reference : b->target->spec;
	/* other threads behind the gaps: neither may change a bit */
	struct rein_backend_options o = {
		.struct_size = sizeof o, .threads = way == GUARDED ? 3 : 1, .device = -1, .flags = flags[way]
	};
	struct rein_device d = { .struct_size = sizeof d };
	struct instance *i = b->way[way] = create(b, spec);
	if (!i) {
		check_messages(b->diag, r->text, sizeof r->text);
		r->status = CHECK_NO_SPEC;
	} else if (vt(i)->probe && vt(i)->probe(i->self, &i->host, &d) < 0) {
		refuse(r, CHECK_NO_DEVICE, "%s is not available: %s", spec->component, instance_failure(i));
	} else if (vt(i)->open(i->self, &i->host, &o) < 0) {
		refuse(r, CHECK_NO_DEVICE, "%s cannot be opened: %s", spec->component, instance_failure(i));
	} else if (way == PLAIN) {
		snprintf(r->text, sizeof r->text, "%s %s: %s%s%s", spec->component, i->component->plugin_version, d.name,
		         d.detail[0] ? ", " : "", d.detail);
	}
}

struct check_bench *check_open(const struct check_target *t, struct check_report *r)
{
	struct check_bench *b = tool_alloc(sizeof *b);
	b->target = t;
	b->diag = diag_create();
	b->reference = (struct spec){ .section = "run", .name = "reference", .component = CHECK_REFERENCE };
	r->status = CHECK_READY;
	for (int k = 0; k < N_WAY && r->status == CHECK_READY; k++) /* what is checked goes first */
		open_way(b, (PLAIN + k) % N_WAY, r);
	if (r->status == CHECK_READY)
		return b;
	check_close(b);
	return NULL;
}

void check_close(struct check_bench *b)
{
	if (!b)
		return;
	for (int k = 0; k < N_WAY; k++)
		instance_destroy(b->way[k]);
	diag_destroy(b->diag);
	free(b);
}

/* --- states ---------------------------------------------------------------------------------------- */
double check_number(uint32_t dtype, uint32_t real_size, const void *mem, int64_t i)
{
	const unsigned char *p = mem;
	float f;
	double d;
	int32_t n;
	switch (dtype_size(dtype, real_size)) {
	case 1: return p[i];
	case 8: memcpy(&d, p + 8 * i, 8); return d;
	default:
		memcpy(&f, p + 4 * i, 4);
		memcpy(&n, p + 4 * i, 4);
		return dtype == REIN_I32_T ? n : (double)f;
	}
}

/* The state's layout from doubles. */
static void pack(const struct store *s, const struct state *t, const double *v, unsigned char *out)
{
	uint32_t size = dtype_size(t->dtype, s->real_size);
	for (int64_t i = 0; i < t->count; i++) {
		float f = (float)v[i];
		int32_t n = t->dtype == REIN_I32_T ? (int32_t)v[i] : 0;
		if (size == 1)
			out[i] = (unsigned char)v[i];
		else
			memcpy(out + size * i, size == 8 ? (void *)&v[i] : t->dtype == REIN_I32_T ? (void *)&n : (void *)&f, size);
	}
}

struct state *check_state(struct check_call *c, const char *name, uint32_t dtype, uint32_t rank, const int64_t *dim,
                          const double *v)
{
	const char *why = "";
	struct store *s = c->store;
	struct instance *b = s->backend;
	struct state *t = store_declare(s, name, STATE_DATA, dtype, rank, dim, NULL, &why);
	if (!t) {
		fprintf(stderr, "rein: %s\n", why);
		exit(EXIT_FAILED);
	}
	size_t bytes = (size_t)state_bytes(s, t), pad = (size_t)c->pad;
	unsigned char *mem = vt(b)->alloc(b->self, &b->host, bytes + 2 * pad), *host = tool_alloc(bytes + 2 * pad);
	if (mem) {
		memset(host, PAD_BYTE, bytes + 2 * pad);
		pack(s, t, v, host + pad);
		if (vt(b)->upload(b->self, mem, host, bytes + 2 * pad) < 0)
			snprintf(c->why, sizeof c->why, "upload: %s", instance_failure(b));
		t->mem = mem + pad;
		t->ready = true;
	} else {
		snprintf(c->why, sizeof c->why, "alloc: %s", instance_failure(b));
	}
	free(host);
	return t;
}

static void forget(struct store *s, int64_t pad)
{
	for (int k = 0; k < s->n && pad; k++) {
		if (s->state[k]->mem)
			vt(s->backend)->free(s->backend->self, (unsigned char *)s->state[k]->mem - pad);
		s->state[k]->mem = NULL;
	}
	store_destroy(s);
}

/* --- guards ------------------------------------------------------------------------------------------ */
static int64_t bytes_of(const struct rein_program *p, int32_t v)
{
	return p->value[v].count * dtype_size(p->value[v].dtype, p->real_size);
}

/* The start of the arena, found by an output that lies in it; NULL: none does. */
static unsigned char *arena_of(const struct compiled *c)
{
	const struct rein_program *p = &c->program->p;
	for (uint32_t k = 0; k < p->n_output; k++) {
		int32_t v = p->output[k], root = v;
		while (c->plan->home[root] == REIN_HOME_ALIAS)
			root = c->plan->base[root];
		unsigned char *mem = vt(c->backend)->output(c->backend->self, c->exec, k);
		if (mem && c->plan->home[root] == REIN_HOME_ARENA)
			return mem - c->plan->offset[v];
	}
	return NULL;
}

static void fill_arena(const struct compiled *c)
{
	unsigned char *at = arena_of(c), *host;
	if (!at)
		return;
	host = tool_alloc((size_t)c->plan->arena_bytes);
	memset(host, PAD_BYTE, (size_t)c->plan->arena_bytes);
	vt(c->backend)->upload(c->backend->self, at, host, (uint64_t)c->plan->arena_bytes);
	free(host);
}

static struct bytes_text {
	char s[32];
} bytes_text(int64_t n)
{
	struct bytes_text t;
	snprintf(t.s, sizeof t.s, "%lld byte%s", (long long)n, n == 1 ? "" : "s");
	return t;
}

/* The value whose memory ends last before byte `at` of the arena, for a message. */
static void beside(const struct compiled *c, int64_t at, char *out, size_t size)
{
	const struct rein_program *p = &c->program->p;
	int64_t best = -1;
	snprintf(out, size, "%s into the arena", bytes_text(at).s);
	for (uint32_t v = 0; v < p->n_value; v++) {
		if (c->plan->home[v] != REIN_HOME_ARENA || c->plan->kernel[p->value[v].instr] < 0)
			continue;
		int64_t from = c->plan->offset[v], end = from + bytes_of(p, (int32_t)v);
		const char *name = op_info(p->instr[p->value[v].instr].op)->name;
		if (at >= end && end > best) {
			best = end;
			snprintf(out, size, "%s behind the result of %s", bytes_text(at - end + 1).s, name);
		} else if (best < 0 && at < from && at >= from - PAD) {
			snprintf(out, size, "%s before the result of %s", bytes_text(from - at).s, name);
		}
	}
}

/* Bytes of the arena that belong to no value and no workspace are as they were. */
static bool arena_held(const struct compiled *c, char *why, size_t size)
{
	const struct rein_program *p = &c->program->p;
	const struct rein_plan *l = c->plan;
	unsigned char *at = arena_of(c), *now = tool_alloc((size_t)l->arena_bytes + 1);
	bool good = true;
	if (at && vt(c->backend)->download(c->backend->self, now, at, (uint64_t)l->arena_bytes) >= 0) {
		for (uint32_t v = 0; v < p->n_value; v++)
			if (l->home[v] == REIN_HOME_ARENA)
				memset(now + l->offset[v], PAD_BYTE, (size_t)bytes_of(p, (int32_t)v));
		for (uint32_t k = 0; k < l->n_kernel; k++)
			if (l->workspace[k])
				memset(now + l->workspace_at[k], PAD_BYTE, (size_t)l->workspace[k]);
		for (int64_t b = 0; b < l->arena_bytes && good; b++) {
			if (now[b] == PAD_BYTE)
				continue;
			char where[160];
			beside(c, b, where, sizeof where);
			snprintf(why, size, "guard band: written outside of all tensors, %s", where);
			good = false;
		}
	}
	free(now);
	return good;
}

static bool states_held(const struct store *s, int64_t pad, char *why, size_t size)
{
	for (int k = 0; k < s->n && pad; k++) {
		const struct state *t = s->state[k];
		int64_t bytes = (int64_t)state_bytes(s, t);
		unsigned char *now = tool_alloc((size_t)(bytes + 2 * pad));
		vt(s->backend)->download(s->backend->self, now, (unsigned char *)t->mem - pad, (uint64_t)(bytes + 2 * pad));
		memset(now + pad, PAD_BYTE, (size_t)bytes);
		int64_t b = 0;
		while (b < bytes + 2 * pad && now[b] == PAD_BYTE)
			b++;
		free(now);
		if (b == bytes + 2 * pad)
			continue;
		int64_t off = b < pad ? pad - b : b - pad - bytes + 1;
		snprintf(why, size, "guard band: written outside of all tensors, %s %s state %s", bytes_text(off).s,
		         b < pad ? "before" : "behind", t->name);
		return false;
	}
	return true;
}

/* --- one way ------------------------------------------------------------------------------------------- */
struct job {
	const struct check_case *c;
	struct check_operand in[CHECK_MAX_IN];
	struct rein_attr attr;
	int n_in;
	struct check_report *report;
};

/* False, with the reason in the report. */
static bool fail(struct job *j, int status, const char *what, const char *why)
{
	if (j->report->status == CHECK_PASSED) {
		j->report->status = status;
		snprintf(j->report->text, sizeof j->report->text, "%s%s%s", what, *why ? ": " : "", why);
	}
	return false;
}

static struct program *record(struct check_bench *b, struct job *j, struct check_call *c)
{
	static const struct recorder_env env;
	struct recorder_options o = { .name = check_op_name(j->c->op), .real_size = c->store->real_size };
	struct program *p = NULL;
	c->rec = recorder_create(c->store, &env, &o);
	c->r = recorder_rec(c->rec);
	for (int k = 0; k < j->n_in; k++) {
		char name[16];
		struct check_operand *in = &j->in[k];
		double *v = tool_alloc((size_t)in->count * sizeof *v);
		for (int64_t i = 0; i < in->count; i++)
			v[i] = c->magnitude && in->dtype == REIN_REAL_T ? fabs(in->v[i]) : in->v[i];
		snprintf(name, sizeof name, "in%d", k);
		c->state[k] = check_state(c, name, in->dtype, in->rank, in->dim, v);
		c->in[k] = recorder_read(c->rec, c->state[k]);
		free(v);
	}
	if (j->c->op == CHECK_PROGRAMS)
		check_program(c, j->c->seed, j->c->ops);
	else
		check_record(j->c->row, c);
	for (int k = 0; k < c->n_out; k++)
		recorder_output(c->rec, c->out[k]);
	if (!c->why[0])
		p = recorder_finish(c->rec, b->diag);
	if (!p && !c->why[0])
		check_messages(b->diag, c->why, sizeof c->why);
	recorder_destroy(c->rec);
	return p;
}

/* The first op that the backend does not run, or 0. */
static uint32_t unsupported(const struct instance *b, const struct rein_program *p)
{
	for (uint32_t k = 0; k < p->n_instr; k++) {
		uint32_t inside = p->instr[k].body ? unsupported(b, p->instr[k].body) : 0;
		if (vt(b)->supports && !vt(b)->supports(b->self, p, &p->instr[k]))
			return p->instr[k].op;
		if (inside)
			return inside;
	}
	return 0;
}

static bool has_op(const struct rein_program *p, uint32_t op)
{
	for (uint32_t k = 0; k < p->n_instr; k++)
		if (p->instr[k].op == op || (p->instr[k].body && has_op(p->instr[k].body, op)))
			return true;
	return false;
}

/* Everything that came of it. */
static void collect(struct compiled *c, struct store *s, struct result *r)
{
	const struct rein_program *p = &c->program->p;
	int64_t total = 0;
	unsigned char *raw;
	r->n_output = (int)p->n_output;
	r->n = r->n_output + s->n;
	r->at = tool_alloc((size_t)(r->n + 1) * sizeof *r->at);
	r->dtype = tool_alloc((size_t)(r->n + 1) * sizeof *r->dtype);
	for (int k = 0; k < r->n; k++) {
		const struct rein_prog_value *v = k < r->n_output ? &p->value[p->output[k]] : NULL;
		r->dtype[k] = v ? v->dtype : s->state[k - r->n_output]->dtype;
		total += v ? v->count : s->state[k - r->n_output]->count;
		r->at[k + 1] = total;
	}
	r->v = tool_alloc((size_t)(total + 1) * sizeof *r->v);
	raw = tool_alloc((size_t)(total + 1) * 8);
	for (int k = 0; k < r->n; k++) {
		int64_t n = r->at[k + 1] - r->at[k];
		if (k < r->n_output)
			compiled_output(c, (uint32_t)k, raw, n * 8);
		else
			store_get(s, s->state[k - r->n_output], raw);
		for (int64_t i = 0; i < n; i++)
			r->v[r->at[k] + i] = check_number(r->dtype[k], p->real_size, raw, i);
	}
	free(raw);
}

/* The same bits, or NaN both. */
static bool same(struct job *j, const struct result *a, const struct result *b, const char *what)
{
	for (int k = 0; k < a->n; k++)
		for (int64_t i = a->at[k]; i < a->at[k + 1]; i++) {
			if (!memcmp(&a->v[i], &b->v[i], sizeof *a->v) || (isnan(a->v[i]) && isnan(b->v[i])))
				continue;
			char why[200];
			snprintf(why, sizeof why, "%s %d, element %lld is %.9g, then %.9g", k < a->n_output ? "output" : "state",
			         k < a->n_output ? k : k - a->n_output, (long long)(i - a->at[k]), a->v[i], b->v[i]);
			return fail(j, CHECK_FAILED, what, why);
		}
	return true;
}

void **check_keep(struct store *s)
{
	void **at = tool_alloc((size_t)(s->n + 1) * sizeof *at);
	for (int k = 0; k < s->n; k++) {
		at[k] = tool_alloc((size_t)state_bytes(s, s->state[k]));
		store_get(s, s->state[k], at[k]);
	}
	return at;
}
static void restore(struct store *s, void **at)
{
	for (int k = 0; k < s->n; k++) {
		store_set(s, s->state[k], at[k]);
		free(at[k]);
	}
	free(at);
}

static bool run_compiled(struct job *j, struct compiled *c, struct check_call *call, int way, struct result *out)
{
	struct result again = { 0 };
	void **was = way >= PLAIN ? check_keep(call->store) : NULL;
	bool good = compiled_run(c, 1) >= 0;
	char why[400] = "";
	if (!good) {
		fail(j, CHECK_FAILED, "run", instance_failure(c->backend));
	} else {
		collect(c, call->store, out);
		if (way == GUARDED)
			fill_arena(c);
	}
	if (was)
		restore(call->store, was);
	if (!good || way < PLAIN)
		return good;
	good = compiled_run(c, 1) >= 0;
	if (!good)
		return fail(j, CHECK_FAILED, "second run", instance_failure(c->backend));
	collect(c, call->store, &again);
	if (way == GUARDED && (!arena_held(c, why, sizeof why) || !states_held(call->store, call->pad, why, sizeof why)))
		good = fail(j, CHECK_FAILED, why, "");
	good = good && same(j, out, &again, "other bits in a second run");
	result_free(&again);
	return good;
}

static bool run_way(struct check_bench *b, struct job *j, int way, struct result *out)
{
	struct instance *i = b->way[way == MAGNITUDE ? EXACT : way];
	struct check_call call = { .op = j->c->op, .attr = j->attr, .n_in = j->n_in, .seed = j->c->seed, .pad = PAD };
	call.store = store_create(i, 1, RNG_PHILOX);
	call.store->real_size = way == EXACT || way == MAGNITUDE ? 8 : 4;
	call.magnitude = way == MAGNITUDE;
	struct program *p = record(b, j, &call);
	bool good = p != NULL;
	uint32_t lacks = p && way >= PLAIN && way != MAGNITUDE ? unsupported(i, &p->p) : 0;
	if (!p) {
		fail(j, CHECK_FAILED, "it could not be recorded", call.why);
	} else if (lacks) {
		j->report->unsupported = lacks;
		good = fail(j, CHECK_UNSUPPORTED, op_info(lacks)->name, "");
		program_destroy(p);
	} else {
		if (way == PLAIN && j->c->op != CHECK_PROGRAMS) {
			j->report->present = has_op(&p->p, j->c->op);
			j->report->decomposed = op_info(j->c->op)->coarse && !j->report->present;
		}
		struct compiled *c = program_compile(p, call.store, i,
		                                     way == GUARDED ? REIN_GUARD
		                                     : way < PLAIN  ? REIN_NAIVE
		                                                    : 0,
		                                     b->diag);
		if (c) {
			good = run_compiled(j, c, &call, way == MAGNITUDE ? EXACT : way, out);
		} else {
			char why[1000];
			check_messages(b->diag, why, sizeof why);
			good = fail(j, CHECK_FAILED, "compile", why);
		}
		compiled_destroy(c);
	}
	forget(call.store, PAD);
	return good;
}

/* --- the verdict ------------------------------------------------------------------------------------------ */
static void wrong(struct job *j, const struct result *got, const struct result *want, int k, struct check_judged v)
{
	char why[400];
	int64_t i = got->at[k] + v.at, n = got->at[k + 1] - got->at[k];
	bool out = k < got->n_output;
	int used =
		snprintf(why, sizeof why, "%s %d, element %lld of %lld is %.9g instead of %.9g", out ? "output" : "state",
	             out ? k : k - got->n_output, (long long)v.at, (long long)n, got->v[i], want->v[i]);
	if (v.allowed > 0)
		snprintf(why + used, sizeof why - (size_t)used, ", off by %.3g where %.3g is allowed",
		         fabs(got->v[i] - want->v[i]), v.allowed);
	fail(j, CHECK_FAILED, why, "");
}

static void judge(struct check_bench *b, struct job *j, const struct result r[N_WAY + 1])
{
	struct check_bound whole = check_bound(j->c->op, &j->attr, b->target->math), exact = { CHECK_SAME, 0, false, "" };
	const struct result *got = &r[PLAIN];
	/* rounded operands go through kinks and come out on the other side: no number is right */
	if (j->c->op == CHECK_PROGRAMS && b->target->math != CHECK_FP32)
		return;
	for (int k = 0; k < got->n; k++) {
		int64_t n = got->at[k + 1] - got->at[k];
		/* states that a single op only reads stay as they are */
		const struct check_bound *by = k < got->n_output || j->c->op == CHECK_PROGRAMS ? &whole : &exact;
		double terms = j->n_in ? check_terms(j->c->op, &j->attr, j->n_in, j->in, n) : 1;
		struct check_bound wider = *by;
		if (by->rule == CHECK_NEAR && terms > 500 && j->c->op != REIN_OP_RANDOM)
			wider.by *= 2;
		const double *m = r[MAGNITUDE].v && by->rule == CHECK_TERMS ? r[MAGNITUDE].v + got->at[k] : NULL;
		struct check_judged v = check_judge(&wider, got->dtype[k], terms, n, got->v + got->at[k],
		                                    r[EXACT].v + got->at[k], r[REF].v + got->at[k], m);
		if (v.worst > j->report->worst)
			j->report->worst = v.worst;
		if (v.worst > 1)
			wrong(j, got, by->rule == CHECK_SAME ? &r[REF] : &r[EXACT], k, v);
	}
}

/* "real (33,31), i32 (7); flags 1" */
static void describe(const struct job *j, char *out, size_t size)
{
	size_t used = 0;
	out[0] = 0;
	for (int k = 0; k < j->n_in && used < size; k++) {
		const struct check_operand *o = &j->in[k];
		used += (size_t)snprintf(out + used, size - used, "%s%s (", k ? ", " : "", dtype_name(o->dtype));
		for (uint32_t a = 0; a < o->rank && used < size; a++)
			used += (size_t)snprintf(out + used, size - used, "%s%lld", a ? "," : "", (long long)o->dim[a]);
		if (used < size)
			used += (size_t)snprintf(out + used, size - used, ")");
	}
	const struct {
		const char *name;
		uint32_t v;
	} words[] = {
		{ "axes", j->attr.axes }, { "flags", j->attr.flags }, { "mode", j->attr.mode }, { "batch", j->attr.batch }
	};
	for (size_t k = 0; k < 4 && used < size; k++)
		if (words[k].v)
			used += (size_t)snprintf(out + used, size - used, "; %s %u", words[k].name, words[k].v);
	const struct {
		const char *name;
		const int64_t *v;
	} lists[] = { { "dim", j->attr.dim }, { "start", j->attr.start }, { "step", j->attr.step } };
	for (size_t k = 0; k < 3; k++) {
		int n = 8;
		while (n && !lists[k].v[n - 1])
			n--;
		for (int a = 0; a < n && used < size; a++)
			used += (size_t)snprintf(out + used, size - used, "%s%lld",
			                         a        ? ","
			                         : k == 0 ? "; dim "
			                         : k == 1 ? "; start "
			                                  : "; step ",
			                         (long long)lists[k].v[a]);
	}
	if (j->c->op == CHECK_PROGRAMS)
		snprintf(out, size, "about %d ops", j->c->ops);
}

void check_run(struct check_bench *b, const struct check_case *c, struct check_report *r)
{
	struct job j = { .c = c, .report = r };
	struct result out[N_WAY + 1] = { 0 };
	if (c->row) {
		j.attr = c->row->a;
		j.n_in = check_operands(c->row->in, c->seed, j.in);
		j.n_in = check_adapt(c->op, &j.attr, c->seed, j.in, j.n_in);
	}
	r->status = CHECK_PASSED;
	bool good = run_way(b, &j, PLAIN, &out[PLAIN]) && run_way(b, &j, GUARDED, &out[GUARDED]) &&
	            same(&j, &out[PLAIN], &out[GUARDED], "other bits with gaps between tensors") &&
	            run_way(b, &j, EXACT, &out[EXACT]) && run_way(b, &j, REF, &out[REF]);
	if (good && check_bound(c->op, &j.attr, CHECK_FP32).rule == CHECK_TERMS)
		good = run_way(b, &j, MAGNITUDE, &out[MAGNITUDE]);
	if (good)
		judge(b, &j, out);
	if (r->status == CHECK_FAILED) {
		char shapes[400], why[1200];
		describe(&j, shapes, sizeof shapes);
		snprintf(why, sizeof why, "%.1199s", r->text);
		snprintf(r->text, sizeof r->text, "%s\n%s", shapes, why);
	}
	for (int k = 0; k <= N_WAY; k++)
		result_free(&out[k]);
	check_operands_free(j.in, j.n_in);
}
