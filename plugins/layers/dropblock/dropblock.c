/* SPDX-License-Identifier: MIT
 *
 * dropblock: in training squares of k x k are set to 0 (formula R12: Ghiasi et al. 2018). Each
 * place where a whole square fits starts one with probability
 *   gamma = p H W / (k^2 (H - k + 1) (W - k + 1)),
 * in each channel of each sample, drawn by the sample's number; what is kept is multiplied by
 * numel / (1e-6 + kept), counted over the batch. In evaluation y = x. As
 * torchvision.ops.drop_block2d for odd k; even k work too. k is at most H and W.
 */
#include "rein/rein.h"

struct dropblock {
	double p;
	int64_t block;
};
static const struct rein_key dropblock_keys[] = {
	REIN_REAL(struct dropblock, p, "0.1", 0, 1, REIN_KEY_KNOB | REIN_KEY_UNDER_MAX, "share set to 0, about"),
	REIN_INT(struct dropblock, block, "7", 1, 4096, "side of a square"),
	REIN_KEYS_END,
};

static rein_val dropblock_record(const void *self, struct rein_rec *r, const struct rein_call *c)
{
	const struct dropblock *s = self;
	rein_val x = c->in[0], one = rein_scalar(r, 1);
	int64_t k = s->block, pad[2], dim[4];

	if (rein_rank(r, x) != 4) {
		if (rein_rank(r, x) >= 0)
			rein_refuse(r, "dropblock drops squares of images, (N,C,H,W); for rows of numbers use dropout");
		return REIN_NONE;
	}
	if (c->mode == REIN_EVAL)
		return x;
	for (int i = 0; i < 4; i++)
		dim[i] = rein_dim(r, x, i);
	double area = (double)(dim[2] * dim[3]);
	for (int i = 2; i < 4; i++)
		k = k < dim[i] ? k : dim[i];
	dim[2] -= k - 1; /* corners: where a square may start */
	dim[3] -= k - 1;
	pad[0] = pad[1] = k - 1;
	struct rein_window w = { { k, k }, { 1, 1 }, { 0, 0 }, { 1, 1 } };
	rein_val gamma = rein_scale(r, rein_knob(r, "p", s->p), area / (double)(k * k) / (double)(dim[2] * dim[3]));
	rein_val corner = rein_lt(r, rein_random(r, "corner", REIN_UNIFORM, REIN_PER_SAMPLE, 4, dim), gamma);
	/* a place is dropped if a corner lies in the k x k places up to it */
	rein_val seen = rein_zero_pad(r, rein_cast(r, corner, REIN_REAL_T), pad, pad);
	rein_val kept = rein_sub(r, one, rein_max_pool(r, seen, &w));
	rein_val all = rein_scalar(r, rein_count_over_(r, x, REIN_ALL_AXES));
	rein_val scale = rein_div(r, all, rein_offset(r, rein_sum(r, kept), 1e-6));
	return rein_mul(r, x, rein_mul(r, kept, scale));
}

static const struct rein_layer_vt dropblock_vt = { .struct_size = sizeof dropblock_vt, .record = dropblock_record };
REIN_COMPONENT(dropblock, REIN_LAYER, struct dropblock, dropblock_keys, &dropblock_vt,
               .summary = "sets random squares of its input to 0 while training",
               .reference = "Ghiasi et al., DropBlock, 2018; torchvision.ops.drop_block2d");
REIN_PLUGIN("dropblock", "1.0.0", "MIT", &dropblock_component)
