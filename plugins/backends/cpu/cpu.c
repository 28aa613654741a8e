/* SPDX-License-Identifier: MIT
 *
 * cpu.c: the cpu backend's table: memory, scheduling, executables and their runs. Kernels
 * are made by fuse.c (groups of ops) or naive.c (one op); this file knows none of them.
 * With REIN_NAIVE there are only naive ones. With REIN_GUARD every kernel's writes are
 * checked against the values it makes.
 */
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "naive.h"
#include "nhwc.h"
#include "fuse.h"

#define HUGE_PAGE ((uint64_t)2 << 20)

static const char *const isa_choices[] = { "auto", "plain", "avx2", "avx512", NULL };

static const struct rein_key cpu_keys[] = {
	{ "threads", "0", "threads to compute with; 0: one per core that the process may use", REIN_KEY_INT, 0,
	  REIN_FIELD_(struct cpu, threads_key, int64_t), 0, 0, 1024, NULL, NULL },
	{ "isa", "auto", "instruction set of the fast kernels; auto: the best this machine has", REIN_KEY_ENUM, 0,
	  REIN_FIELD_(struct cpu, isa_key, int32_t), 0, 0, 0, isa_choices, NULL },
	REIN_KEYS_END,
};

/* --- the device ------------------------------------------------------------------ */
static int cores(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
	return n < 1 ? 1 : n;
}

static void cpu_name(char *name, size_t size)
{
	char line[256];
	FILE *f = fopen("/proc/cpuinfo", "r");
	snprintf(name, size, "cpu");
	while (f && fgets(line, sizeof line, f)) {
		const char *colon = strchr(line, ':');
		if (strncmp(line, "model name", 10) || !colon)
			continue;
		snprintf(name, size, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
		break;
	}
	if (f)
		fclose(f);
}

static rein_status cpu_probe(void *self, const struct rein_host *host, struct rein_device *d)
{
	struct cpu *cpu = self;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	int isa = isa_named(isa_choices[cpu->isa_key]);
	int n = cpu->threads ? cpu->threads : cpu->threads_key ? (int)cpu->threads_key : cores(); /* opened: as it runs */
	if (isa < 0)
		return rein_failf(host, "this machine or build has no %s", isa_choices[cpu->isa_key]), REIN_UNSUPPORTED;
	d->threads = (uint32_t)n;
	d->memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * page;
	d->memory_free = (uint64_t)sysconf(_SC_AVPHYS_PAGES) * page;
	cpu_name(d->name, sizeof d->name);
	snprintf(d->detail, sizeof d->detail, "%s, %d thread%s", isa_name(isa), n, n == 1 ? "" : "s");
	return REIN_OK;
}

static rein_status cpu_open(void *self, const struct rein_host *host, const struct rein_backend_options *o)
{
	struct cpu *cpu = self;
	cpu->host = host;
	cpu->flags = o->flags;
	cpu->isa = isa_named(isa_choices[cpu->isa_key]);
	if (cpu->isa < 0)
		return rein_failf(host, "this machine or build has no %s", isa_choices[cpu->isa_key]);
	cpu->threads = o->threads ? (int)o->threads : cpu->threads_key ? (int)cpu->threads_key : cores();
	if (cpu->threads > 1 && !(cpu->flags & REIN_NAIVE))
		cpu->pool = pool_create(cpu->threads);
	return REIN_OK;
}

/* Bytes of memory in this machine: an allocation beyond it may succeed, but not its use. */
static uint64_t machine_memory(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
	return pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : (uint64_t)1 << 46;
}

static void *cpu_alloc(void *self, const struct rein_host *host, uint64_t bytes)
{
	uint64_t align = bytes >= 2 * HUGE_PAGE ? HUGE_PAGE : 64, size = (bytes + align - 1) & ~(align - 1);
	void *mem = size >= bytes && size < machine_memory() ? aligned_alloc(align, size ? size : align) : NULL;
	(void)self;
	if (!mem) {
		rein_failf(host, "out of memory: %.1f MiB wanted", (double)bytes / (1 << 20));
		return NULL;
	}
	if (align == HUGE_PAGE)
		madvise(mem, size, MADV_HUGEPAGE); /* only a wish */
	memset(mem, 0, size ? size : align);
	return mem;
}

static void cpu_free(void *self, void *mem)
{
	(void)self;
	free(mem);
}

static rein_status cpu_upload(void *self, void *device, const void *host, uint64_t bytes)
{
	(void)self;
	memcpy(device, host, bytes);
	return REIN_OK;
}

static rein_status cpu_download(void *self, void *host, const void *device, uint64_t bytes)
{
	(void)self;
	memcpy(host, device, bytes);
	return REIN_OK;
}

static int32_t cpu_supports(void *self, const struct rein_program *p, const struct rein_prog_instr *i)
{
	(void)self;
	return naive_supports(p, i);
}

/* --- scheduling -------------------------------------------------------------------- */
/* One op a kernel; constants, reads, inputs and renamings are no kernels. */
static void schedule_naive(const struct rein_program *p, struct rein_plan *plan)
{
	for (uint32_t k = 0; k < p->n_instr; k++) {
		const struct rein_prog_instr *i = &p->instr[k];
		int64_t offset;
		if (i->op == REIN_OP_CONST || i->op == REIN_OP_READ || i->op == REIN_OP_INPUT) {
			plan->kernel[k] = -1;
			if (i->op != REIN_OP_READ)
				plan->home[i->out[0]] = i->op == REIN_OP_CONST ? REIN_HOME_CONST : REIN_HOME_NONE;
		} else if (naive_is_alias(p, i, &offset)) {
			plan->kernel[k] = -1;
			plan->home[i->out[0]] = REIN_HOME_ALIAS;
			plan->base[i->out[0]] = i->in[0];
			plan->base_offset[i->out[0]] = offset;
		} else if (i->op == REIN_OP_REPEAT) {
			plan->workspace[plan->kernel[k]] = loop_workspace(p, i, plan->body[k]);
		} else {
			plan->workspace[plan->kernel[k]] = naive_workspace(p, (int32_t)k);
			for (uint32_t o = 0; o < i->n_out; o++) {
				plan->in_place[i->out[o]] = naive_in_place(p, (int32_t)k);
				if (p->value[i->out[o]].uses == 0 && i->n_out > 1 && i->op != REIN_OP_CUSTOM)
					plan->home[i->out[o]] = REIN_HOME_NONE;
			}
		}
	}
}

/* Kernel numbers without gaps, in the same order. */
static rein_status renumber(const struct rein_host *host, const struct rein_program *p, struct rein_plan *plan)
{
	int32_t *number = host->alloc(host, (plan->n_kernel + 1) * sizeof *number), next = 0;
	if (!number)
		return REIN_ERROR;
	for (uint32_t k = 0; k < p->n_instr; k++)
		if (plan->kernel[k] >= 0)
			number[plan->kernel[k]] = 1;
	for (uint32_t k = 0; k < plan->n_kernel; k++) {
		if (!number[k])
			continue;
		plan->workspace[next] = plan->workspace[k];
		number[k] = next++;
	}
	for (uint32_t k = 0; k < p->n_instr; k++)
		if (plan->kernel[k] >= 0)
			plan->kernel[k] = number[plan->kernel[k]];
	plan->n_kernel = (uint32_t)next;
	host->free(host, number);
	return REIN_OK;
}

static rein_status cpu_schedule(void *self, const struct rein_host *host, const struct rein_program *p,
                                struct rein_plan *plan)
{
	struct cpu *cpu = self;
	rein_status s = REIN_OK;
	schedule_naive(p, plan);
	if (!(cpu->flags & REIN_NAIVE))
		s = fuse_schedule(cpu, p, plan);
	return s < 0 ? s : renumber(host, p, plan);
}

/* --- executables --------------------------------------------------------------------- */
static int64_t bytes_of(const struct rein_program *p, int32_t v)
{
	return p->value[v].count * size_of(p, p->value[v].dtype);
}

/* The bytes of a CONST: given, or one value repeated. */
static void *constant(const struct cpu *cpu, const struct rein_program *p, const struct rein_prog_instr *i)
{
	const struct rein_prog_value *v = &p->value[i->out[0]];
	double fill = i->attr.par[0];
	void *mem = cpu->host->alloc(cpu->host, (uint64_t)bytes_of(p, i->out[0]));
	if (!mem)
		return NULL;
	if (i->attr.data) {
		memcpy(mem, i->attr.data, (size_t)bytes_of(p, i->out[0]));
		return mem;
	}
	for (int64_t j = 0; j < v->count; j++) {
		switch (v->dtype) {
		case REIN_REAL_T:
			if (p->real_size == 8)
				((double *)mem)[j] = fill;
			else
				((float *)mem)[j] = (float)fill;
			break;
		case REIN_WIDE_T: ((double *)mem)[j] = fill; break;
		case REIN_I32_T: ((int32_t *)mem)[j] = (int32_t)saturate(fill, INT32_MIN, INT32_MAX); break;
		default: ((uint8_t *)mem)[j] = (uint8_t)saturate(fill, 0, 255); break;
		}
	}
	return mem;
}

/* A value's own memory or what its alias leads to, for the arena at e->base. */
static void *resolve(const struct rein_exec *e, int32_t v)
{
	const struct rein_plan *plan = e->plan;
	switch (plan->home[v]) {
	case REIN_HOME_ARENA: return e->base + plan->offset[v];
	case REIN_HOME_STATE: return e->program->state[plan->base[v]].mem;
	case REIN_HOME_CONST: return e->constant[v];
	case REIN_HOME_ALIAS: {
		unsigned char *base = resolve(e, plan->base[v]);
		return base ? base + plan->base_offset[v] : NULL;
	}
	default: return e->program->instr[e->program->value[v].instr].op == REIN_OP_INPUT ? e->mem[v] : NULL;
	}
}

void exec_resolve(struct rein_exec *e, unsigned char *base)
{
	e->base = base;
	for (uint32_t v = 0; v < e->program->n_value; v++)
		e->mem[v] = resolve(e, (int32_t)v);
}

/* Commits that copy out of a state which another commit's copy overwrites are staged. */
static rein_status stage_commits(struct rein_exec *e)
{
	const struct rein_program *p = e->program;
	const struct rein_host *host = e->cpu->host;
	int64_t total = 0;
	e->staged_at = host->alloc(host, (p->n_commit + 1) * sizeof *e->staged_at);
	if (!e->staged_at)
		return REIN_ERROR;
	for (uint32_t k = 0; k < p->n_commit; k++) {
		int32_t v = p->commit[k].value;
		e->staged_at[k] = -1;
		while (e->plan->home[v] == REIN_HOME_ALIAS)
			v = e->plan->base[v];
		for (uint32_t j = 0; j < p->n_commit && e->plan->copied[k]; j++) {
			if (j == k || !e->plan->copied[j] || e->plan->home[v] != REIN_HOME_STATE ||
			    e->plan->base[v] != p->commit[j].state)
				continue;
			e->staged_at[k] = total;
			total += (bytes_of(p, p->commit[k].value) + 63) & ~(int64_t)63;
			break;
		}
	}
	e->staged = total ? host->alloc(host, (uint64_t)total) : NULL;
	e->held += (uint64_t)total;
	return total && !e->staged ? REIN_ERROR : REIN_OK;
}

static void run_commits(const struct rein_exec *e)
{
	const struct rein_program *p = e->program;
	for (int pass = 0; pass < 2; pass++) {
		for (uint32_t k = 0; k < p->n_commit; k++) {
			const struct rein_prog_commit *c = &p->commit[k];
			void *to = p->state[c->state].mem, *from = e->mem[c->value];
			size_t bytes = (size_t)bytes_of(p, c->value);
			bool staged = e->staged_at[k] >= 0;
			if (!e->plan->copied[k] || (!pass && !staged))
				continue;
			if (!pass)
				memcpy(e->staged + e->staged_at[k], from, bytes);
			else if (staged || from != to)
				memcpy(to, staged ? e->staged + e->staged_at[k] : from, bytes);
		}
	}
}

/* Instructions of kernel k in recorded order into list; returns how many. */
static int32_t group(const struct rein_exec *e, uint32_t k, int32_t *list)
{
	int32_t n = 0;
	for (uint32_t i = 0; i < e->program->n_instr; i++)
		if (e->plan->kernel[i] == (int32_t)k)
			list[n++] = (int32_t)i;
	return n;
}

static rein_status compile_kernels(struct rein_exec *e)
{
	const struct rein_host *host = e->cpu->host;
	int32_t *list = host->alloc(host, (e->program->n_instr + 1) * sizeof *list);
	rein_status s = list ? REIN_OK : REIN_ERROR;
	for (uint32_t k = 0; k < e->plan->n_kernel && s >= 0; k++) {
		int32_t n = group(e, k, list);
		int made = e->cpu->flags & REIN_NAIVE ? 0 : fuse_compile(e, n, list, &e->kernel[k]);
		if (made < 0)
			s = made;
		else if (!made && n == 1)
			s = naive_compile(e, list[0], &e->kernel[k]);
		else if (!made)
			s = rein_failf(host, "no kernel for the %d ops of group %u in program %s", n, k, e->program->name);
	}
	host->free(host, list);
	return s;
}

rein_status exec_create(struct cpu *cpu, const struct rein_program *p, const struct rein_plan *plan,
                        struct rein_exec **out)
{
	const struct rein_host *host = cpu->host;
	struct rein_exec *e = *out = host->alloc(host, sizeof *e);
	if (!e)
		return REIN_ERROR;
	e->cpu = cpu, e->program = p, e->plan = plan, e->n_kernel = (int)plan->n_kernel;
	e->kernel = host->alloc(host, (plan->n_kernel + 1) * sizeof *e->kernel);
	e->constant = host->alloc(host, (p->n_value + 1) * sizeof *e->constant);
	e->mem = host->alloc(host, (p->n_value + 1) * sizeof *e->mem);
	e->blocks = block_find(host, p);
	e->lanes = e->blocks ? lanes_find(cpu, p, e->blocks) : NULL;
	if (!e->blocks || !e->lanes || !e->kernel || !e->constant || !e->mem)
		return REIN_ERROR;
	for (uint32_t k = 0; k < p->n_instr; k++) {
		int32_t v = p->instr[k].op == REIN_OP_CONST ? p->instr[k].out[0] : -1;
		if (v < 0 || plan->home[v] != REIN_HOME_CONST)
			continue;
		if (!(e->constant[v] = constant(cpu, p, &p->instr[k])))
			return REIN_ERROR;
		e->held += (uint64_t)bytes_of(p, v);
	}
	if (cpu->flags & REIN_GUARD) {
		e->shadow = host->alloc(host, (uint64_t)plan->arena_bytes + 1);
		e->mine = host->alloc(host, (uint64_t)plan->arena_bytes + 1);
		if (!e->shadow || !e->mine)
			return REIN_ERROR;
	}
	rein_status s = stage_commits(e);
	return s < 0 ? s : compile_kernels(e);
}

void exec_destroy(struct rein_exec *e)
{
	if (!e)
		return;
	const struct rein_host *host = e->cpu->host;
	for (int k = 0; e->kernel && k < e->n_kernel; k++)
		if (e->kernel[k].destroy)
			e->kernel[k].destroy(&e->kernel[k]);
	for (uint32_t v = 0; e->constant && v < e->program->n_value; v++)
		host->free(host, e->constant[v]);
	void *all[] = {
		e->kernel, e->constant, e->mem, e->staged, e->staged_at, e->shadow, e->mine, e->blocks, e->lanes, e
	};
	for (size_t k = 0; k < sizeof all / sizeof *all; k++)
		host->free(host, all[k]);
}

/* Bytes of the arena that kernel k may change: its workspace and the values it makes. */
static void mark(struct rein_exec *e, uint32_t k)
{
	const struct rein_program *p = e->program;
	const struct rein_plan *plan = e->plan;
	memset(e->mine, 0, (size_t)plan->arena_bytes);
	if (plan->workspace[k])
		memset(e->mine + plan->workspace_at[k], 1, (size_t)plan->workspace[k]);
	for (uint32_t v = 0; v < p->n_value; v++) {
		const unsigned char *mem = e->mem[v];
		if (plan->kernel[p->value[v].instr] == (int32_t)k && mem >= e->base && mem < e->base + plan->arena_bytes)
			memset(e->mine + (mem - e->base), 1, (size_t)bytes_of(p, (int32_t)v));
	}
}

static rein_status run_guarded(struct rein_exec *e, uint32_t k)
{
	memcpy(e->shadow, e->base, (size_t)e->plan->arena_bytes);
	rein_status s = e->kernel[k].run(e, &e->kernel[k]);
	mark(e, k);
	for (int64_t b = 0; b < e->plan->arena_bytes && s >= 0; b++)
		if (e->shadow[b] != e->base[b] && !e->mine[b])
			s = rein_failf(e->cpu->host, "kernel %u (%s) of %s wrote byte %lld of the arena, which is not its own", k,
			               e->kernel[k].explain, e->program->name, (long long)b);
	return s;
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static rein_status run_timed(struct rein_exec *e, uint32_t k)
{
	double start = now(), took;
	rein_status s = e->kernel[k].run(e, &e->kernel[k]);
	took = now() - start;
	if (e->kernel[k].seconds == 0 || took < e->kernel[k].seconds)
		e->kernel[k].seconds = took;
	return s;
}

rein_status exec_run(struct rein_exec *e)
{
	bool timed = e->cpu->flags & REIN_TIMED;
	rein_status s = REIN_OK;
	if (e->shadow) /* what is read before it is written is NaN, or -1 */
		memset(e->base, 0xFF, (size_t)e->plan->arena_bytes);
	for (int k = 0; k < e->n_kernel && s >= 0; k++)
		s = e->shadow ? run_guarded(e, (uint32_t)k)
		    : timed   ? run_timed(e, (uint32_t)k)
		              : e->kernel[k].run(e, &e->kernel[k]);
	if (s >= 0)
		run_commits(e);
	return s;
}

/* --- the table ------------------------------------------------------------------------- */
static rein_status cpu_compile(void *self, const struct rein_host *host, const struct rein_program *p,
                               const struct rein_plan *plan, struct rein_exec **out)
{
	struct cpu *cpu = self;
	if (plan->arena_bytes > cpu->arena_bytes || !cpu->arena) {
		unsigned char *arena = cpu_alloc(cpu, host, (uint64_t)plan->arena_bytes);
		if (!arena)
			return REIN_ERROR;
		cpu_free(cpu, cpu->arena);
		cpu->arena = arena;
		cpu->arena_bytes = plan->arena_bytes;
	}
	rein_status s = exec_create(cpu, p, plan, out);
	if (s < 0) {
		exec_destroy(*out);
		*out = NULL;
	}
	return s;
}

static void cpu_destroy_exec(void *self, struct rein_exec *e)
{
	(void)self;
	exec_destroy(e);
}

static rein_status cpu_run(void *self, const struct rein_host *host, struct rein_exec *e, uint32_t times)
{
	struct cpu *cpu = self;
	rein_status s = REIN_OK;
	(void)host;
	if (e->base != cpu->arena || !e->base)
		exec_resolve(e, cpu->arena);
	double start = cpu->flags & REIN_TIMED ? now() : 0;
	for (uint32_t t = 0; t < times && s >= 0; t++)
		s = exec_run(e);
	e->runs += times;
	e->seconds += cpu->flags & REIN_TIMED ? now() - start : 0;
	return s;
}

static void *cpu_output(void *self, struct rein_exec *e, uint32_t i)
{
	(void)self;
	return i < e->program->n_output ? e->mem[e->program->output[i]] : NULL;
}

static void cpu_explain(void *self, struct rein_exec *e, uint32_t kernel, char *buf, uint64_t size)
{
	(void)self;
	snprintf(buf, size, "%s", kernel < (uint32_t)e->n_kernel ? e->kernel[kernel].explain : "");
}

static double cpu_seconds(void *self, struct rein_exec *e, uint32_t kernel)
{
	(void)self;
	return kernel < (uint32_t)e->n_kernel ? e->kernel[kernel].seconds : 0;
}

static void cpu_profile(void *self, struct rein_exec *e, struct rein_profile *p)
{
	(void)self;
	p->nodes = (uint32_t)e->n_kernel;
	p->runs = e->runs;
	p->bytes = e->held;
	p->host_seconds = e->seconds;
}

static void cpu_destroy(void *self, const struct rein_host *host)
{
	struct cpu *cpu = self;
	(void)host;
	pool_destroy(cpu->pool);
	cpu_free(cpu, cpu->arena);
	cpu->pool = NULL;
	cpu->arena = NULL;
}

static const struct rein_backend_vt cpu_vt = {
	.struct_size = sizeof cpu_vt,
	.flags = REIN_CONV_ALONE,
	.probe = cpu_probe,
	.open = cpu_open,
	.alloc = cpu_alloc,
	.free = cpu_free,
	.upload = cpu_upload,
	.download = cpu_download,
	.supports = cpu_supports,
	.schedule = cpu_schedule,
	.compile = cpu_compile,
	.destroy_exec = cpu_destroy_exec,
	.run = cpu_run,
	.output = cpu_output,
	.explain = cpu_explain,
	.seconds = cpu_seconds,
	.profile = cpu_profile,
};

REIN_COMPONENT(cpu, REIN_BACKEND, struct cpu, cpu_keys, &cpu_vt, .summary = "runs programs on the processor",
               .reference = "kernels: docs/numerics.md; random numbers: Salmon et al., SC 2011", .destroy = cpu_destroy,
               .backends = REIN_ON_CPU);
REIN_PLUGIN("cpu", "1.0.0", "MIT", &cpu_component)
