/* SPDX-License-Identifier: MIT
 *
 * layer.h: a line of [network].
 */
#ifndef REIN_LAYER_H
#define REIN_LAYER_H

#include "math.h"

struct rein_call {
	uint32_t struct_size, mode; /* REIN_TRAIN, REIN_EVAL or REIN_STATS */
	uint32_t n_in, flags;       /* flags: REIN_KEEP_STATE */
	const rein_val *in;         /* n_in inputs: one, or those of `input=a,b` */
};

struct rein_layer_vt {
	uint32_t struct_size;
	uint32_t inputs; /* how many values it takes at most (`input=a,b`); 0: one */
	/* [control] Records the layer and gives back its output. Parameters and states are
	 * declared while recording (rein_param, rein_state); sizes are taken from values, never
	 * from keys, since channels may have been removed. Called once per program and mode. */
	rein_val (*record)(const void *self, struct rein_rec *, const struct rein_call *);
	/* [control] Optional: multiply-accumulates for one sample, given input and output shapes
	 * without the batch axis; NULL: none. */
	int64_t (*macs)(const void *self, uint32_t in_rank, const int64_t *in, uint32_t out_rank, const int64_t *out);
};

#endif
