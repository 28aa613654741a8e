/* SPDX-License-Identifier: MIT
 *
 * naive_draw.c: reference kernel of RANDOM. Element e of a sample's (or of the whole)
 * tensor is word e%4 of Philox4x32-10 at counter (e/4, sample or step, epoch, loop index).
 */
#include "naive.h"

static rein_status draw(const struct call *c)
{
	const struct rein_attr *a = &c->i->attr;
	const struct rein_prog_value *v = out_value(c, 0);
	const int32_t *arg[3] = { NULL, NULL, NULL };
	for (uint32_t k = 0; k < c->i->n_in && k < 3; k++)
		arg[k] = in_mem(c, k);
	bool per_sample = a->flags == REIN_PER_SAMPLE && v->rank > 0;
	int64_t rows = per_sample ? v->dim[0] : 1, len = v->count / rows;
	uint64_t key = *(const uint64_t *)a->data;
	for (int64_t r = 0; r < rows; r++) {
		for (int64_t e = 0; e < len; e += 4) {
			uint32_t counter[4] = { (uint32_t)(e / 4), 0, 0, 0 }, w[4];
			counter[1] = arg[0] ? (uint32_t)arg[0][per_sample ? r : 0] : 0;
			counter[2] = arg[1] ? (uint32_t)arg[1][0] : 0;
			counter[3] = arg[2] ? (uint32_t)arg[2][0] : 0;
			cpu_philox(counter, key, w);
			for (int64_t j = 0; j < 4 && e + j < len; j++) {
				int64_t at = r * len + e + j;
				if (a->mode == REIN_BITS)
					((uint32_t *)out_mem(c, 0))[at] = w[j];
				else if (a->mode == REIN_NORMAL)
					((real *)out_mem(c, 0))[at] = (real)cpu_normal(w[j & 2], w[j | 1], j & 1);
				else
					((real *)out_mem(c, 0))[at] = (real)((double)(w[j] >> 8) * 0x1p-24);
			}
		}
	}
	return REIN_OK;
}

naive_fn *NAIVE(naive_draw)(const struct rein_program *p, const struct rein_prog_instr *i)
{
	(void)p;
	return i->op == REIN_OP_RANDOM ? draw : NULL;
}
