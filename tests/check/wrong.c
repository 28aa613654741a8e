/* SPDX-License-Identifier: MIT
 *
 * wrong: the cpu backend with faults put into it, one per op, that rein check must find and name:
 *   tanh       a number off by a ten-thousandth
 *   floor      a byte behind its result is written
 *   rint       a byte before a state is written
 *   abs        another bit in every second run
 *   sign       other bits where tensors have gaps between them
 *   sqrt       run() fails
 *   cos        crashes
 *   sin        never ends
 *   erf        unsupported
 *   warp       unsupported, which the core makes up for
 */
#define rein_plugin_entry right_plugin_entry
#include "cpu.c"
#undef rein_plugin_entry

#include <signal.h>

static int runs; /* a plugin must have none; this one is wrong anyway */

static int32_t wrong_supports(void *self, const struct rein_program *p, const struct rein_prog_instr *i)
{
	return i->op != REIN_OP_ERF && i->op != REIN_OP_WARP && cpu_supports(self, p, i);
}

static rein_status fault(struct cpu *cpu, const struct rein_exec *e, const struct rein_prog_instr *i)
{
	unsigned char *y = e->mem[i->out[0]];
	int64_t bytes = bytes_of(e->program, i->out[0]);
	bool number = e->program->value[i->out[0]].dtype == REIN_REAL_T;
	switch (i->op) {
	case REIN_OP_TANH: *(float *)y *= 1.0001f; break;
	case REIN_OP_FLOOR: y[cpu->flags & REIN_GUARD ? bytes : 0] = cpu->flags & REIN_GUARD ? 7 : y[0]; break;
	case REIN_OP_RINT: ((unsigned char *)e->program->state[0].mem)[-1] = 7; break;
	case REIN_OP_ABS: y[bytes - 2] ^= number && ++runs % 2; break;
	case REIN_OP_SIGN: y[bytes - 2] ^= number && cpu->flags & REIN_GUARD ? 1 : 0; break;
	case REIN_OP_SQRT: return rein_failf(cpu->host, "the square root is out of order");
	case REIN_OP_COS: raise(SIGSEGV); break;
	case REIN_OP_SIN:
		for (;;)
			pause();
	}
	return REIN_OK;
}

static rein_status wrong_run(void *self, const struct rein_host *host, struct rein_exec *e, uint32_t times)
{
	struct cpu *cpu = self;
	const struct rein_program *p = e->program;
	rein_status s = cpu_run(self, host, e, times);
	/* the ops' own cases are small; in others values may not be in memory */
	for (uint32_t k = 0; k < p->n_instr && s >= 0 && p->n_instr <= 3 && !(cpu->flags & REIN_NAIVE); k++)
		if (p->instr[k].n_out && e->mem[p->instr[k].out[0]])
			s = fault(cpu, e, &p->instr[k]);
	return s;
}

static const struct rein_backend_vt wrong_vt = {
	.struct_size = sizeof wrong_vt,
	.probe = cpu_probe,
	.open = cpu_open,
	.alloc = cpu_alloc,
	.free = cpu_free,
	.upload = cpu_upload,
	.download = cpu_download,
	.supports = wrong_supports,
	.schedule = cpu_schedule,
	.compile = cpu_compile,
	.destroy_exec = cpu_destroy_exec,
	.run = wrong_run,
	.output = cpu_output,
	.explain = cpu_explain,
};

/* No device at all. */
static rein_status absent_probe(void *self, const struct rein_host *host, struct rein_device *d)
{
	return rein_failf(host, "the device was left at home"), REIN_UNSUPPORTED;
}
static const struct rein_backend_vt absent_vt = {
	.struct_size = sizeof absent_vt,
	.probe = absent_probe,
	.open = cpu_open,
	.alloc = cpu_alloc,
	.free = cpu_free,
	.upload = cpu_upload,
	.download = cpu_download,
	.supports = cpu_supports,
	.compile = cpu_compile,
	.destroy_exec = cpu_destroy_exec,
	.run = cpu_run,
	.output = cpu_output,
	.explain = cpu_explain,
};

REIN_COMPONENT(wrong, REIN_BACKEND, struct cpu, cpu_keys, &wrong_vt, .summary = "wrong in ten ways",
               .destroy = cpu_destroy, .backends = REIN_ON_CPU);
REIN_COMPONENT(absent, REIN_BACKEND, struct cpu, cpu_keys, &absent_vt, .summary = "has no device",
               .destroy = cpu_destroy, .backends = REIN_ON_CPU);

REIN_EXPORT const struct rein_plugin *rein_plugin_entry(void);
REIN_PLUGIN("wrong", "1.0.0", "MIT", &wrong_component, &absent_component)
