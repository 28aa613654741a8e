/* SPDX-License-Identifier: MIT
 *
 * print.c: a compiled program for a reader: every op with its operands, shape, kernel and
 * memory, in recorded order; then the kernels with what was fused; then where the states'
 * new values come from. Shown by `rein summary --program`.
 */
#include <string.h>

#include "program.h"

static void shape(const struct rein_prog_value *v, char *out, size_t size)
{
	size_t at = (size_t)snprintf(out, size, "%s", dtype_name(v->dtype));
	for (uint32_t a = 0; a < v->rank && at < size; a++)
		at += (size_t)snprintf(out + at, size - at, "%s%lld", a ? "x" : " ", (long long)v->dim[a]);
}

void human_bytes(double n, char *out, size_t size)
{
	if (n >= 1 << 30)
		snprintf(out, size, "%.1f GiB", n / (1 << 30));
	else if (n >= 1 << 20)
		snprintf(out, size, "%.1f MiB", n / (1 << 20));
	else if (n >= 1 << 10)
		snprintf(out, size, "%.1f KiB", n / (1 << 10));
	else
		snprintf(out, size, "%.0f B", n);
}

/* "in fc1.weight", "at 4096", "same as %3 + 64", "-" */
static void home(const struct rein_program *p, const struct rein_plan *l, int32_t v, char *out, size_t size)
{
	switch (l->home[v]) {
	case REIN_HOME_ARENA: snprintf(out, size, "at %lld", (long long)l->offset[v]); break;
	case REIN_HOME_STATE: snprintf(out, size, "in %s", p->state[l->base[v]].name); break;
	case REIN_HOME_CONST: snprintf(out, size, "constant"); break;
	case REIN_HOME_ALIAS:
		if (l->base_offset[v])
			snprintf(out, size, "is %%%d + %lld B", l->base[v], (long long)l->base_offset[v]);
		else
			snprintf(out, size, "is %%%d", l->base[v]);
		break;
	default: snprintf(out, size, "-"); break;
	}
}

/* What else an op needs to be understood. */
static void attributes(const struct rein_program *p, const struct rein_prog_instr *i, char *out, size_t size)
{
	static const char *const dist[] = { "uniform", "normal", "bits" };
	const struct rein_attr *a = &i->attr;
	*out = 0;
	switch (i->op) {
	case REIN_OP_CONST:
		if (!a->data)
			snprintf(out, size, "= %g", a->par[0]);
		break;
	case REIN_OP_READ: snprintf(out, size, "%s", p->state[i->state].name); break;
	case REIN_OP_RANDOM: snprintf(out, size, "%s", a->mode < 3 ? dist[a->mode] : "?"); break;
	case REIN_OP_MAP: snprintf(out, size, "%s", ((const struct rein_map *)a->data)->name); break;
	case REIN_OP_CUSTOM: snprintf(out, size, "%s", ((const struct rein_custom *)i->ext)->name); break;
	case REIN_OP_REPEAT: snprintf(out, size, "at most %u rounds", ((const struct rein_loop *)i->ext)->max); break;
	case REIN_OP_MATMUL:
		snprintf(out, size, "%s%s", a->flags & REIN_TA ? "a transposed" : "",
		         a->flags & REIN_TB ? a->flags & REIN_TA ? ", b transposed" : "b transposed" : "");
		break;
	case REIN_OP_SUM:
	case REIN_OP_AMAX:
	case REIN_OP_ARGMAX:
	case REIN_OP_CUMSUM:
	case REIN_OP_CONCAT:
	case REIN_OP_LOG_SOFTMAX: {
		size_t at = (size_t)snprintf(out, size, "over");
		for (uint32_t k = 0; k < p->value[i->in[0]].rank && at < size; k++)
			if (a->axes >> k & 1)
				at += (size_t)snprintf(out + at, size - at, " %u", k);
		break;
	}
	default: break;
	}
}

static void print_ops(const struct rein_program *p, const struct rein_plan *l, int depth, FILE *out)
{
	char line[160], note[80], where[80], what[64];
	const char *place = "";
	for (uint32_t k = 0; k < p->n_instr; k++) {
		const struct rein_prog_instr *i = &p->instr[k];
		if (p->n_origin && strcmp(place, p->origin[i->origin])) {
			place = p->origin[i->origin];
			fprintf(out, "%*s%s\n", 2 * depth, "", place);
		}
		size_t at = (size_t)snprintf(line, sizeof line, "%s", op_info(i->op)->name);
		for (uint32_t n = 0; n < i->n_in && at < sizeof line; n++)
			at += (size_t)snprintf(line + at, sizeof line - at, " %%%d", i->in[n]);
		attributes(p, i, note, sizeof note);
		if (*note && at < sizeof line)
			snprintf(line + at, sizeof line - at, "  %s", note);
		for (uint32_t n = 0; n < i->n_out; n++) {
			char kernel[16] = "";
			shape(&p->value[i->out[n]], what, sizeof what);
			home(p, l, i->out[n], where, sizeof where);
			if (l->kernel[k] >= 0)
				snprintf(kernel, sizeof kernel, "k%d", l->kernel[k]);
			fprintf(out, "%*s  %%%-5d %-22s %-5s %-24s %s\n", 2 * depth, "", i->out[n], what, kernel, where,
			        n ? "" : line);
		}
		if (i->body)
			print_ops(i->body, l->body[k], depth + 2, out);
	}
}

void compiled_print(const struct compiled *c, FILE *out)
{
	const struct rein_program *p = &c->program->p;
	const struct rein_plan *l = c->plan;
	const struct rein_backend_vt *vt = &c->backend->component->vt.backend;
	char size[32], line[256];
	human_bytes((double)l->arena_bytes, size, sizeof size);
	fprintf(out, "program %s: %u ops in %u kernels, arena %s\n\n", p->name, p->n_instr, l->n_kernel, size);
	fprintf(out, "  memory: at = place in the arena, in = a state's own, is = another value's, - = none, the value\n"
	             "  only passes through its kernel; values without a kernel cost nothing\n\n");
	fprintf(out, "  %-6s %-22s %-5s %-24s %s\n", "value", "shape", "kern", "memory", "op");
	print_ops(p, l, 0, out);
	fprintf(out, "\n  kernels, in order of the plan\n");
	for (uint32_t k = 0; k < l->n_kernel; k++) {
		uint32_t n = 0;
		const char *name = "";
		for (uint32_t i = 0; i < p->n_instr; i++) {
			if (l->kernel[i] != (int32_t)k)
				continue;
			name = op_info(p->instr[i].op)->name;
			n++;
		}
		snprintf(line, sizeof line, "-");
		if (vt->explain)
			vt->explain(c->backend->self, c->exec, k, line, sizeof line);
		bool named = n != 1 || !strncmp(line, name, strlen(name));
		fprintf(out, "  k%-5u %3u op%s  %s%s%s", k, n, n == 1 ? " " : "s", named ? "" : name, named ? "" : ": ", line);
		if (l->workspace[k]) {
			human_bytes((double)l->workspace[k], size, sizeof size);
			fprintf(out, "  (workspace %s)", size);
		}
		fprintf(out, "\n");
	}
	if (p->n_commit)
		fprintf(out, "\n  at the end\n");
	for (uint32_t k = 0; k < p->n_commit; k++)
		fprintf(out, "  %s := %%%d%s\n", p->state[p->commit[k].state].name, p->commit[k].value,
		        l->copied[k] ? "  (copied: the old value is read later)" : "  (computed in place)");
}

struct rein_profile compiled_profile(const struct compiled *c)
{
	const struct rein_backend_vt *vt = &c->backend->component->vt.backend;
	struct rein_profile p = { .struct_size = sizeof p };
	if (vt->profile)
		vt->profile(c->backend->self, c->exec, &p);
	return p;
}

/* "program train: 60 runs of 27 kernels, each 1 graph launch and 6.1 us of the host" */
static void print_profile(const struct compiled *c, FILE *out)
{
	struct rein_profile p = compiled_profile(c);
	double runs = (double)p.runs, launches = (double)p.launches / runs;
	fprintf(out, "\nprogram %s", c->program->p.name);
	if (!p.runs) /* the backend does not count */
		return;
	fprintf(out, ": %.0f run%s of %u kernel%s, each ", runs, p.runs == 1 ? "" : "s", p.nodes, p.nodes == 1 ? "" : "s");
	if (p.launches)
		fprintf(out, "%.4g graph launch%s and ", launches, p.launches == p.runs ? "" : "es");
	fprintf(out, "%.1f us of the host", 1e6 * p.host_seconds / runs);
}

/* Kernels of half a percent of the program and more; programs that never ran are left out. */
void compiled_print_times(const struct compiled *c, FILE *out)
{
	const struct rein_backend_vt *vt = &c->backend->component->vt.backend;
	double total = 0;
	for (uint32_t k = 0; vt->seconds && k < c->plan->n_kernel; k++)
		total += vt->seconds(c->backend->self, c->exec, k);
	if (total <= 0)
		return;
	print_profile(c, out);
	fprintf(out, "\n  %.1f us, the sum of each kernel's best\n", 1e6 * total);
	for (uint32_t k = 0; k < c->plan->n_kernel; k++) {
		char line[256] = "-";
		double took = vt->seconds(c->backend->self, c->exec, k);
		if (took < 5e-3 * total)
			continue;
		if (vt->explain)
			vt->explain(c->backend->self, c->exec, k, line, sizeof line);
		fprintf(out, "  k%-5u %9.1f us %5.1f %%  %s\n", k, 1e6 * took, 100 * took / total, line);
	}
}
