/* SPDX-License-Identifier: MIT
 *
 * avgpool: the mean of each window, x (N,C,H,W), as torch.nn.AvgPool2d.
 */
#include "rein/rein.h"

struct avgpool {
	struct rein_ints size, stride, padding;
	int32_t count_include_pad;
};
static const struct rein_key avgpool_keys[] = {
	REIN_INTS(struct avgpool, size, NULL, 1, 4096, 0, "size of the window: one number, or height,width"),
	REIN_INTS(struct avgpool, stride, "", 1, 4096, REIN_KEY_MAY_BE_EMPTY, "step of the window; empty: the size"),
	REIN_INTS(struct avgpool, padding, "0", 0, 4096, 0, "zeros added on each side; at most half the window"),
	REIN_BOOL(struct avgpool, count_include_pad, "yes",
	          "divide by the whole window at borders too, as if zeros lay there"),
	REIN_KEYS_END,
};

static rein_val avgpool_record(const void *self, struct rein_rec *r, const struct rein_call *c)
{
	const struct avgpool *s = self;
	struct rein_window w;

	if (!rein_window_of(r, &w, &s->size, &s->stride, &s->padding, NULL) || !rein_window_fits(r, &w, c->in[0]))
		return REIN_NONE;
	return rein_avg_pool(r, c->in[0], &w, s->count_include_pad ? REIN_COUNT_PAD : 0);
}

static const struct rein_layer_vt avgpool_vt = { .struct_size = sizeof avgpool_vt, .record = avgpool_record };
REIN_COMPONENT(avgpool, REIN_LAYER, struct avgpool, avgpool_keys, &avgpool_vt, .summary = "the mean of each window",
               .reference = "torch.nn.AvgPool2d");
REIN_PLUGIN("avgpool", "1.0.0", "MIT", &avgpool_component)
