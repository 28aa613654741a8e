/* SPDX-License-Identifier: MIT
 *
 * concat: layers one behind the other along one axis, the channels unless said otherwise, as
 * torch.cat: input=a,b.
 */
#include <stdio.h>

#include "rein/rein.h"

struct concat {
	int64_t axis;
};
static const struct rein_key concat_keys[] = {
	REIN_INT(struct concat, axis, "1", 1, REIN_MAX_RANK - 1,
	         "axis along which they lie; 0 is the batch, 1 the channels"),
	REIN_KEYS_END,
};

/* All axes but one must be alike. */
static int fits(const struct concat *s, struct rein_rec *r, const struct rein_call *c, uint32_t k)
{
	int32_t rank = rein_rank(r, c->in[0]), other = rein_rank(r, c->in[k]);
	char why[256];

	if (rank < 0 || other < 0)
		return 0;
	if (rank != other || s->axis >= rank) {
		snprintf(why, sizeof why, "the inputs of concat have %d and %d axes, axis=%lld needs more of both and as many",
		         (int)rank, (int)other, (long long)s->axis);
		rein_refuse(r, why);
		return 0;
	}
	for (int32_t i = 1; i < rank; i++) {
		long long a = (long long)rein_dim(r, c->in[0], i), b = (long long)rein_dim(r, c->in[k], i);
		if (i == s->axis || a == b)
			continue;
		snprintf(
			why, sizeof why,
			"the inputs of concat differ in axis %d: the first has %lld, input %u has %lld; only axis=%lld may differ",
			(int)i, a, k + 1, b, (long long)s->axis);
		rein_refuse(r, why);
		return 0;
	}
	return 1;
}

static rein_val concat_record(const void *self, struct rein_rec *r, const struct rein_call *c)
{
	const struct concat *s = self;

	if (c->n_in < 2) {
		rein_refuse(r, "concat takes two or more layers: input=a,b");
		return REIN_NONE;
	}
	for (uint32_t k = 0; k < c->n_in; k++)
		if (!fits(s, r, c, k))
			return REIN_NONE;
	return rein_concat(r, c->n_in, c->in, (uint32_t)s->axis);
}

static const struct rein_layer_vt concat_vt = { .struct_size = sizeof concat_vt,
	                                            .inputs = 64,
	                                            .record = concat_record };
REIN_COMPONENT(concat, REIN_LAYER, struct concat, concat_keys, &concat_vt,
               .summary = "several layers behind one another: input=a,b", .reference = "torch.cat");
REIN_PLUGIN("concat", "1.0.0", "MIT", &concat_component)
