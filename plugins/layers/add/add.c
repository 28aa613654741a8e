/* SPDX-License-Identifier: MIT
 *
 * add: the sum of layers of one shape, as at the end of a residual block: input=branch,skip.
 */
#include <stdio.h>
#include <string.h>

#include "rein/rein.h"

/* "(N,16,7,7)" */
static void shape_of(struct rein_rec *r, rein_val v, char *buf, size_t size)
{
	size_t at = (size_t)snprintf(buf, size, "(N");
	for (int32_t i = 1; i < rein_rank(r, v) && at < size; i++)
		at += (size_t)snprintf(buf + at, size - at, ",%lld", (long long)rein_dim(r, v, i));
	if (at < size)
		snprintf(buf + at, size - at, ")");
}

static rein_val add_record(const void *self, struct rein_rec *r, const struct rein_call *c)
{
	char a[64], b[64], why[400];

	if (c->n_in < 2) {
		rein_refuse(r, "add takes two or more layers: input=a,b");
		return REIN_NONE;
	}
	rein_val y = c->in[0];
	shape_of(r, y, a, sizeof a);
	for (uint32_t i = 1; i < c->n_in; i++) {
		if (rein_rank(r, c->in[i]) < 0)
			return REIN_NONE;
		shape_of(r, c->in[i], b, sizeof b);
		if (rein_rank(r, c->in[0]) >= 0 && strcmp(a, b) != 0) {
			snprintf(why, sizeof why,
			         "the inputs of add have different shapes: the first is %s, input %u is %s; a conv2d with kernel=1 "
			         "changes the channels, its stride= the size",
			         a, i + 1, b);
			rein_refuse(r, why);
			return REIN_NONE;
		}
		y = rein_add(r, y, c->in[i]);
	}
	return y;
}

static const struct rein_layer_vt add_vt = { .struct_size = sizeof add_vt, .inputs = 64, .record = add_record };
REIN_COMPONENT(add, REIN_LAYER, struct rein_keyless, NULL, &add_vt, .summary = "the sum of several layers: input=a,b",
               .reference = "He et al., Deep Residual Learning, 2015");
REIN_PLUGIN("add", "1.0.0", "MIT", &add_component)
