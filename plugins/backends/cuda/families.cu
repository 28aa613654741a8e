/* SPDX-License-Identifier: MIT
 *
 * families.cu: the list of kernel families, asked in turn. A new family: declare its table
 * and add it.
 */
#include "cuda.h"

extern const struct cuda_family cuda_chain, cuda_contract, cuda_conv, cuda_index, cuda_loss, cuda_norm, cuda_pool,
	cuda_random, cuda_reduce, cuda_sort, cuda_view, cuda_warp;

const struct cuda_family *const cuda_families[] = {
	&cuda_chain, &cuda_contract, &cuda_conv,   &cuda_index, &cuda_loss, &cuda_norm, &cuda_pool,
	&cuda_random, &cuda_reduce,  &cuda_sort,   &cuda_view,  &cuda_warp, NULL,
};

const struct cuda_family *cuda_family_of(const struct rein_program *p, int32_t n, const int32_t *instr)
{
	const struct rein_prog_instr *i = &p->instr[instr[n - 1]];
	for (int32_t k = n; k-- > 0;)
		if (!cuda_is_elementwise(p->instr[instr[k]].op) && p->instr[instr[k]].op != REIN_OP_IOTA) {
			i = &p->instr[instr[k]];
			break;
		}
	for (int f = 0; cuda_families[f]; f++)
		if (cuda_families[f]->supports(p, i))
			return cuda_families[f];
	return NULL;
}
