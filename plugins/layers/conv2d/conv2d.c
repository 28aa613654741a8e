/* SPDX-License-Identifier: MIT
 *
 * conv2d: y[n,o] = b[o] + sum over c in o's group of w[o,c] * x[n,c], a cross-correlation, x
 * (N,C,H,W), w (filters,C/groups,kh,kw), b (filters), as torch.nn.Conv2d. The bias is an add
 * along the channels right behind the convolution, so that backends can take both as one.
 *
 * After channels were removed there may be fewer groups than groups= says, each as wide as it
 * was: the weight knows how wide.
 */
#include "rein/rein.h"

struct conv2d {
	int64_t filters, groups;
	struct rein_ints kernel, stride, padding, dilation;
	int32_t same, bias;
	struct rein_start start;
};
static const struct rein_key conv2d_keys[] = {
	REIN_INT(struct conv2d, filters, NULL, 1, 1 << 20, "output channels"),
	REIN_INTS(struct conv2d, kernel, NULL, 1, 4096, 0, "size of the window: one number, or height,width"),
	REIN_INTS(struct conv2d, stride, "1", 1, 4096, 0, "step of the window"),
	REIN_INTS(struct conv2d, padding, "0", 0, 4096, 0, "zeros added on each side"),
	REIN_BOOL(struct conv2d, same, "no", "as many zeros as keep height and width, instead of padding="),
	REIN_INTS(struct conv2d, dilation, "1", 1, 4096, 0, "distance between the window's entries"),
	REIN_INT(struct conv2d, groups, "1", 1, 1 << 20, "groups of channels that do not see each other; must divide both"),
	REIN_BOOL(struct conv2d, bias, "yes", "add a bias"),
	REIN_START_KEYS(struct conv2d, start),
	REIN_KEYS_END,
};

/* padding="same": d (k - 1) zeros in all, the odd one behind the image, as PyTorch. */
static rein_val same_padding(struct rein_rec *r, struct rein_window *w, rein_val x)
{
	int64_t before[2] = { 0, 0 }, after[2] = { 0, 0 };

	for (int i = 0; i < 2; i++) {
		int64_t all = w->dilation[i] * (w->kernel[i] - 1);
		if (w->stride[i] != 1 || w->padding[i]) {
			rein_refuse(r, "same=yes chooses the padding for stride=1; with another stride=, or with padding=, "
			               "leave it out");
			return REIN_NONE;
		}
		w->padding[i] = all / 2;
		after[i] = all % 2;
	}
	return after[0] || after[1] ? rein_zero_pad(r, x, before, after) : x;
}

/* How many groups a weight makes of the channels, 0 after refusing. A weight of all its filters is
 * one of which nothing was removed. */
static int64_t groups_of(const struct conv2d *s, struct rein_rec *r, rein_val weight, int64_t channels)
{
	int64_t whole = rein_dim(r, weight, 0) == s->filters, width = rein_dim(r, weight, 1);
	char why[160];

	if (whole ? channels % s->groups == 0 && s->filters % s->groups == 0 : width > 0 && channels % width == 0)
		return whole ? s->groups : channels / width;
	snprintf(why, sizeof why, "groups=%lld must divide the %lld channels of the input and filters=%lld",
	         (long long)s->groups, (long long)channels, (long long)s->filters);
	rein_refuse(r, why);
	return 0;
}

static rein_val conv2d_record(const void *self, struct rein_rec *r, const struct rein_call *c)
{
	const struct conv2d *s = self;
	struct rein_window w;
	rein_val x = c->in[0];

	if (!rein_window_of(r, &w, &s->kernel, &s->stride, &s->padding, &s->dilation))
		return REIN_NONE;
	if (s->same && rein_rank(r, x) == 4)
		x = same_padding(r, &w, x);
	if (!rein_window_fits(r, &w, x))
		return REIN_NONE;
	int64_t channels = rein_dim(r, x, 1), width = channels < s->groups ? 1 : channels / s->groups;
	int64_t dim[4] = { s->filters, width, w.kernel[0], w.kernel[1] };
	double area = (double)(dim[2] * dim[3]), fan_in = (double)dim[1] * area;
	/* fan_out as torch.nn.init: the weight's first axis times the area, whatever the groups */
	struct rein_init wi = rein_start_weight(&s->start, fan_in, (double)dim[0] * area);
	rein_val weight = rein_param(r, "weight", 4, dim, &wi);
	int64_t groups = groups_of(s, r, weight, channels);
	if (!groups)
		return REIN_NONE;
	rein_val y = rein_conv2d(r, x, weight, &w, groups);
	if (s->bias) {
		struct rein_init bi = rein_start_bias(&s->start, fan_in);
		y = rein_add(r, y, rein_along(r, rein_param(r, "bias", 1, dim, &bi), y, 1));
	}
	return y;
}

static int64_t conv2d_macs(const void *self, uint32_t in_rank, const int64_t *in, uint32_t out_rank, const int64_t *out)
{
	const struct conv2d *s = self;
	return out[0] * out[1] * out[2] * (in[0] / s->groups) * rein_pair(&s->kernel, 0, 1) * rein_pair(&s->kernel, 1, 1);
}

static const struct rein_layer_vt conv2d_vt = { .struct_size = sizeof conv2d_vt,
	                                            .record = conv2d_record,
	                                            .macs = conv2d_macs };
REIN_COMPONENT(conv2d, REIN_LAYER, struct conv2d, conv2d_keys, &conv2d_vt,
               .summary = "convolution of images with learned windows", .reference = "torch.nn.Conv2d");
REIN_PLUGIN("conv2d", "1.0.0", "MIT", &conv2d_component)
