/* SPDX-License-Identifier: MIT
 *
 * two_four: keeps the n largest |w| of every m neighbours along the inputs, 2 of 4 unless said:
 * the pattern that sparse matrix units compute with. Linear weights (O,I): along I; convolutions
 * (O,C,H,W): along C at each place of the kernel.
 */
#include <stdio.h>

#include "rein/rein.h"

struct two_four {
	int64_t n, m;
};
static const struct rein_key two_four_keys[] = {
	REIN_INT(struct two_four, n, "2", 1, 1 << 20, "weights that stay of each m"),
	REIN_INT(struct two_four, m, "4", 2, 1 << 20, "neighbours along the inputs that make a group"),
	REIN_KEYS_END,
};

static rein_status two_four_create(void *self, const struct rein_host *host)
{
	const struct two_four *s = self;
	if (s->n > s->m)
		return rein_failf(host, "n=%lld is more than m=%lld", (long long)s->n, (long long)s->m);
	return REIN_OK;
}

/* Moves axis 1 to the end (back: from there to 1): (O,C,H,W) -> (O,H,W,C). */
static rein_val turn(struct rein_rec *r, rein_val x, uint32_t rank, int back)
{
	int64_t axis[REIN_MAX_RANK] = { 0 };
	for (uint32_t i = 1; i < rank; i++)
		axis[i] = back ? (i == 1 ? (int64_t)rank - 1 : (int64_t)i - 1) : (i == rank - 1 ? 1 : (int64_t)i + 1);
	return rein_permute(r, x, rank, axis);
}

static rein_val two_four_keep(const void *self, struct rein_rec *r, const struct rein_tensor *p)
{
	const struct two_four *s = self;
	int32_t rank = rein_rank(r, p->w);
	char why[256];

	if (rank < 2)
		return REIN_NONE; /* no inputs to group along */
	if (rein_dim(r, p->w, 1) % s->m) {
		snprintf(why, sizeof why, "'%s' has %lld inputs, which m=%lld does not divide; leave it out with on=", p->name,
		         (long long)rein_dim(r, p->w, 1), (long long)s->m);
		rein_refuse(r, why);
		return p->mask;
	}
	rein_val a = turn(r, rein_abs(r, p->w), (uint32_t)rank, 0);
	int64_t dim[REIN_MAX_RANK], groups[2] = { 1, s->m };
	for (int32_t i = 0; i < rank; i++) {
		dim[i] = rein_dim(r, a, i);
		groups[0] *= dim[i];
	}
	groups[0] /= s->m;
	rein_val gone = rein_smallest(r, rein_reshape(r, a, 2, groups), rein_scalar_i(r, (int32_t)(s->m - s->n)));
	return turn(r, rein_reshape(r, rein_not(r, gone), (uint32_t)rank, dim), (uint32_t)rank, 1);
}

static const struct rein_pruner_vt two_four_vt = { .struct_size = sizeof two_four_vt, .keep = two_four_keep };
REIN_COMPONENT(two_four, REIN_PRUNER, struct two_four, two_four_keys, &two_four_vt, .create = two_four_create,
               .summary = "keeps the n largest |w| of every m along the inputs; leaves tensors of one axis alone",
               .reference = "Mishra et al. 2021");
REIN_PLUGIN("two_four", "1.0.0", "MIT", &two_four_component)
