/* SPDX-License-Identifier: MIT
 *
 * adaptive_avgpool: means of windows chosen so that the output has the size asked for; output
 * row i of h takes input rows floor(i H / h) to ceil((i+1) H / h) - 1, columns likewise, as
 * torch.nn.AdaptiveAvgPool2d. Where h divides H and w divides W this is avgpool; else the
 * windows differ in size, and the two means are products with constant matrices.
 */
#include <stdlib.h>

#include "rein/rein.h"

struct adaptive_avgpool {
	struct rein_ints size;
};
static const struct rein_key adaptive_avgpool_keys[] = {
	REIN_INTS(struct adaptive_avgpool, size, "1", 1, 4096, 0,
	          "height and width of the output: one number, or height,width"),
	REIN_KEYS_END,
};

/* (1,n,m): row i holds 1 / (window size) at the entries of window i. */
static rein_val means(struct rein_rec *r, int64_t n, int64_t m)
{
	int64_t dim[3] = { 1, n, m };
	double *a = calloc((size_t)(n * m), sizeof *a);

	if (!a) {
		rein_refuse(r, "out of memory");
		return REIN_NONE;
	}
	for (int64_t i = 0; i < n; i++) {
		int64_t first = i * m / n, end = ((i + 1) * m + n - 1) / n;
		for (int64_t k = first; k < end; k++)
			a[i * m + k] = 1 / (double)(end - first);
	}
	rein_val v = rein_const(r, REIN_REAL_T, 3, dim, a);
	free(a);
	return v;
}

static rein_val adaptive_avgpool_record(const void *self, struct rein_rec *r, const struct rein_call *c)
{
	const struct adaptive_avgpool *s = self;
	rein_val x = c->in[0];
	struct rein_window w = { { 1, 1 }, { 1, 1 }, { 0, 0 }, { 1, 1 } };
	int64_t out[2], in[2];

	if (!rein_window_fits(r, &w, x))
		return REIN_NONE;
	if (s->size.n > 2) {
		rein_refuse(r, "size= takes one number, or two: height,width");
		return REIN_NONE;
	}
	for (int i = 0; i < 2; i++) {
		out[i] = rein_pair(&s->size, i, 1);
		in[i] = rein_dim(r, x, 2 + i);
		w.kernel[i] = w.stride[i] = in[i] / out[i];
	}
	if (in[0] % out[0] == 0 && in[1] % out[1] == 0)
		return rein_avg_pool(r, x, &w, 0);
	int64_t planes[3] = { -1, in[0], in[1] }, dim[4] = { rein_dim(r, x, 0), rein_dim(r, x, 1), out[0], out[1] };
	x = rein_matmul(r, means(r, out[0], in[0]), rein_reshape(r, x, 3, planes), 0);
	x = rein_matmul(r, x, means(r, out[1], in[1]), REIN_TB);
	return rein_reshape(r, x, 4, dim);
}

static const struct rein_layer_vt adaptive_avgpool_vt = { .struct_size = sizeof adaptive_avgpool_vt,
	                                                      .record = adaptive_avgpool_record };
REIN_COMPONENT(adaptive_avgpool, REIN_LAYER, struct adaptive_avgpool, adaptive_avgpool_keys, &adaptive_avgpool_vt,
               .summary = "means of as many windows as asked for", .reference = "torch.nn.AdaptiveAvgPool2d");
REIN_PLUGIN("adaptive_avgpool", "1.0.0", "MIT", &adaptive_avgpool_component)
