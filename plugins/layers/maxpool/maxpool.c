/* SPDX-License-Identifier: MIT
 *
 * maxpool: the largest value of each window, x (N,C,H,W), as torch.nn.MaxPool2d. Padding counts
 * as -inf; of equal values the first takes the gradient.
 */
#include "rein/rein.h"

struct maxpool {
	struct rein_ints size, stride, padding, dilation;
};
static const struct rein_key maxpool_keys[] = {
	REIN_INTS(struct maxpool, size, NULL, 1, 4096, 0, "size of the window: one number, or height,width"),
	REIN_INTS(struct maxpool, stride, "", 1, 4096, REIN_KEY_MAY_BE_EMPTY, "step of the window; empty: the size"),
	REIN_INTS(struct maxpool, padding, "0", 0, 4096, 0, "entries added on each side; at most half the window"),
	REIN_INTS(struct maxpool, dilation, "1", 1, 4096, 0, "distance between the window's entries"),
	REIN_KEYS_END,
};

static rein_val maxpool_record(const void *self, struct rein_rec *r, const struct rein_call *c)
{
	const struct maxpool *s = self;
	struct rein_window w;

	if (!rein_window_of(r, &w, &s->size, &s->stride, &s->padding, &s->dilation) || !rein_window_fits(r, &w, c->in[0]))
		return REIN_NONE;
	return rein_max_pool(r, c->in[0], &w);
}

static const struct rein_layer_vt maxpool_vt = { .struct_size = sizeof maxpool_vt, .record = maxpool_record };
REIN_COMPONENT(maxpool, REIN_LAYER, struct maxpool, maxpool_keys, &maxpool_vt,
               .summary = "the largest value of each window", .reference = "torch.nn.MaxPool2d");
REIN_PLUGIN("maxpool", "1.0.0", "MIT", &maxpool_component)
