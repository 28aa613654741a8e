/* SPDX-License-Identifier: MIT
 *
 * schedule.cu: which ops become one kernel. Constants, reads and renamings are none; each
 * family may claim patterns of its own (match), then elementwise ops are grouped into
 * chains (chain.cu); what is left is one op a kernel.
 */
#include "chain.h"
#include "view.h"

bool cuda_supports(const struct rein_program *p, const struct rein_prog_instr *i)
{
	switch (i->op) {
	case REIN_OP_CONST:
	case REIN_OP_READ:
	case REIN_OP_INPUT:
	case REIN_OP_REPEAT: return p->real_size == 4;
	case REIN_OP_CUSTOM: return false;
	}
	for (int f = 0; p->real_size == 4 && cuda_families[f]; f++)
		if (cuda_families[f]->supports(p, i))
			return true;
	return false;
}

/* --- joining ------------------------------------------------------------------------------------- */
static bool has(int32_t n, const int32_t *list, int32_t k)
{
	for (int32_t j = 0; j < n; j++)
		if (list[j] == k)
			return true;
	return false;
}

static bool reads(const struct rein_prog_instr *i, int32_t v)
{
	for (uint32_t k = 0; k < i->n_in; k++)
		if (i->in[k] == v)
			return true;
	return false;
}

/* The group runs where its last op stands: nobody before that may need its values, not even
 * through a renaming or a kernel that was moved behind. */
bool cuda_may_join(const struct rein_program *p, const struct rein_plan *plan, int32_t n, const int32_t *instr)
{
	int32_t last = instr[n - 1];
	for (int32_t m = 0; m < n; m++)
		for (uint32_t o = 0; o < p->instr[instr[m]].n_out; o++)
			for (int32_t k = instr[m] + 1; k < last; k++)
				if (reads(&p->instr[k], p->instr[instr[m]].out[o]) && !has(n, instr, k) &&
				    (plan->kernel[k] < 0 || plan->kernel[k] < last))
					return false;
	return true;
}

static void join_at(const struct rein_program *p, struct rein_plan *plan, int32_t n, const int32_t *instr,
                    int32_t kernel)
{
	for (int32_t m = 0; m < n; m++)
		plan->kernel[instr[m]] = kernel;
	for (int32_t m = 0; m < n; m++)
		for (uint32_t o = 0; o < p->instr[instr[m]].n_out; o++) {
			int32_t v = p->instr[instr[m]].out[o];
			uint32_t inside = 0;
			for (int32_t j = 0; j < n; j++)
				for (uint32_t k = 0; k < p->instr[instr[j]].n_in; k++)
					inside += p->instr[instr[j]].in[k] == v;
			if (inside == p->value[v].uses)
				plan->home[v] = REIN_HOME_NONE;
		}
}
void cuda_join(const struct rein_program *p, struct rein_plan *plan, int32_t n, const int32_t *instr)
{
	join_at(p, plan, n, instr, instr[n - 1]);
}
void cuda_join_first(const struct rein_program *p, struct rein_plan *plan, int32_t n, const int32_t *instr)
{
	join_at(p, plan, n, instr, instr[0]);
}

/* --- one op a kernel -------------------------------------------------------------------------------- */
static void schedule_single(const struct rein_program *p, struct rein_plan *plan)
{
	for (uint32_t k = 0; k < p->n_instr; k++) {
		const struct rein_prog_instr *i = &p->instr[k];
		int64_t offset;
		if (i->op == REIN_OP_CONST || i->op == REIN_OP_READ || i->op == REIN_OP_INPUT) {
			plan->kernel[k] = -1;
			if (i->op != REIN_OP_READ)
				plan->home[i->out[0]] = i->op == REIN_OP_CONST ? REIN_HOME_CONST : REIN_HOME_NONE;
		} else if (view_is_alias(p, i, &offset)) {
			plan->kernel[k] = -1;
			plan->home[i->out[0]] = REIN_HOME_ALIAS;
			plan->base[i->out[0]] = i->in[0];
			plan->base_offset[i->out[0]] = offset;
		} else {
			for (uint32_t o = 0; o < i->n_out; o++) {
				plan->in_place[i->out[o]] = cuda_is_elementwise(i->op);
				if (p->value[i->out[o]].uses == 0 && i->n_out > 1 && i->op != REIN_OP_REPEAT)
					plan->home[i->out[o]] = REIN_HOME_NONE;
			}
		}
	}
}

/* Scratch of each kernel, by its first free number of instructions; then kernel numbers without
 * gaps, in the same order. */
static rein_status finish(struct cuda *cuda, const struct rein_host *host, const struct rein_program *p,
                          struct rein_plan *plan)
{
	int32_t *number = static_cast<int32_t *>(host->alloc(host, (plan->n_kernel + 1) * sizeof *number));
	int32_t *list = static_cast<int32_t *>(host->alloc(host, (p->n_instr + 1) * sizeof *list)), next = 0;
	if (!number || !list)
		return REIN_ERROR;
	for (uint32_t k = 0; k < p->n_instr; k++)
		if (plan->kernel[k] >= 0)
			number[plan->kernel[k]] = 1;
	for (uint32_t k = 0; k < plan->n_kernel; k++) {
		int32_t n = 0;
		if (!number[k])
			continue;
		for (uint32_t j = 0; j < p->n_instr; j++)
			if (plan->kernel[j] == (int32_t)k)
				list[n++] = (int32_t)j;
		const struct cuda_family *f = n ? cuda_family_of(p, n, list) : NULL;
		int64_t bytes = f && f->workspace ? f->workspace(cuda, p, n, list) : 0;
		if (n && p->instr[list[n - 1]].op == REIN_OP_REPEAT)
			bytes = cuda_loop_workspace(p, &p->instr[list[0]], plan->body[list[0]]);
		number[k] = next;
		plan->workspace[next++] = bytes;
	}
	for (uint32_t k = 0; k < p->n_instr; k++)
		if (plan->kernel[k] >= 0)
			plan->kernel[k] = number[plan->kernel[k]];
	plan->n_kernel = (uint32_t)next;
	host->free(host, number);
	host->free(host, list);
	return REIN_OK;
}

rein_status cuda_schedule(struct cuda *cuda, const struct rein_host *host, const struct rein_program *p,
                          struct rein_plan *plan)
{
	rein_status s = REIN_OK;
	if (p->real_size != 4)
		return rein_failf(host, "the cuda backend computes in float32; program %s is in double", p->name);
	schedule_single(p, plan);
	for (int f = 0; !(cuda->flags & REIN_NAIVE) && cuda_families[f] && s >= 0; f++)
		if (cuda_families[f]->match)
			s = cuda_families[f]->match(cuda, p, plan);
	if (s >= 0 && !(cuda->flags & REIN_NAIVE))
		s = chain_schedule(cuda, host, p, plan);
	for (int f = 0; !(cuda->flags & REIN_NAIVE) && cuda_families[f] && s >= 0; f++)
		if (cuda_families[f]->match_late)
			s = cuda_families[f]->match_late(cuda, p, plan);
	return s < 0 ? s : finish(cuda, host, p, plan);
}
