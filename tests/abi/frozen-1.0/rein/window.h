/* SPDX-License-Identifier: MIT
 *
 * window.h: layers that look at images (N,C,H,W) through a window: the keys kernel= or
 * size=, stride=, padding= and dilation= (one number, or height,width), and convolution and pooling
 * recorded with them. Sizes are those of PyTorch: a window of k entries d apart spans
 * d (k - 1) + 1, and (H + 2 padding - span) / stride + 1 of them fit, rounded down.
 */
#ifndef REIN_WINDOW_H
#define REIN_WINDOW_H

#include <stdio.h>

#include "math.h"

/* Height first. */
struct rein_window {
	int64_t kernel[2], stride[2], padding[2], dilation[2];
};

/* The entry of axis i (0 height, 1 width) of a key with one or two numbers; `none` if empty. */
static inline int64_t rein_pair(const struct rein_ints *list, int i, int64_t none)
{
	return list->n ? list->v[list->n > 1 ? i : 0] : none;
}
/* The keys as a window; an empty stride is the kernel, as of pools. False after refusing. */
static inline int rein_window_of(struct rein_rec *r, struct rein_window *w, const struct rein_ints *kernel,
                                 const struct rein_ints *stride, const struct rein_ints *padding,
                                 const struct rein_ints *dilation)
{
	if (kernel->n > 2 || stride->n > 2 || padding->n > 2 || (dilation && dilation->n > 2)) {
		rein_refuse(r, "a window's size, stride=, padding= and dilation= take one number, or two: height,width");
		return 0;
	}
	for (int i = 0; i < 2; i++) {
		w->kernel[i] = rein_pair(kernel, i, 1);
		w->stride[i] = rein_pair(stride, i, w->kernel[i]);
		w->padding[i] = rein_pair(padding, i, 0);
		w->dilation[i] = dilation ? rein_pair(dilation, i, 1) : 1;
	}
	return 1;
}
/* Is x an image (N,C,H,W) that the window fits into? Else refuses with the sizes. */
static inline int rein_window_fits(struct rein_rec *r, const struct rein_window *w, rein_val x)
{
	static const char *const side[2] = { "high", "wide" };
	char why[256];
	int32_t rank = rein_rank(r, x);
	if (rank != 4) {
		if (rank >= 0)
			rein_refuse(r, "needs images, (N,C,H,W); rows of numbers go through linear");
		return 0;
	}
	for (int i = 0; i < 2; i++) {
		int64_t span = w->dilation[i] * (w->kernel[i] - 1) + 1, n = rein_dim(r, x, 2 + i);
		if (span <= n + 2 * w->padding[i])
			continue;
		snprintf(
			why, sizeof why,
			"the window is %lld %s, the input (N,%lld,%lld,%lld) with padding %lld only %lld: take a smaller window or "
			"more padding=",
			(long long)span, side[i], (long long)rein_dim(r, x, 1), (long long)rein_dim(r, x, 2),
			(long long)rein_dim(r, x, 3), (long long)w->padding[i], (long long)(n + 2 * w->padding[i]));
		rein_refuse(r, why);
		return 0;
	}
	return 1;
}
static inline struct rein_attr rein_window_attr_(const struct rein_window *w, int64_t groups, uint32_t flags)
{
	struct rein_attr a = { sizeof a, 0, flags, 0, 0, (uint32_t)groups, { 0 }, { 0 }, { 0 }, { 0 }, NULL };
	for (int i = 0; i < 2; i++) {
		a.step[i] = w->stride[i];
		a.step[2 + i] = w->kernel[i];
		a.start[i] = w->padding[i];
		a.start[2 + i] = w->dilation[i];
	}
	return a;
}
/* x (N,C,H,W), weight (O,C/groups,kh,kw) -> (N,O,Ho,Wo); kernel[] is the weight's. */
static inline rein_val rein_conv2d(struct rein_rec *r, rein_val x, rein_val weight, const struct rein_window *w,
                                   int64_t groups)
{
	struct rein_attr a = rein_window_attr_(w, groups, 0);
	rein_val in[2] = { x, weight }, y;
	a.step[2] = a.step[3] = 0;
	rein_op(r, REIN_OP_CONV2D, 2, in, &a, 1, &y);
	return y;
}
/* Padding counts as -inf; ties go to the lowest index, NaN wins. */
static inline rein_val rein_max_pool(struct rein_rec *r, rein_val x, const struct rein_window *w)
{
	struct rein_attr a = rein_window_attr_(w, 0, 0);
	rein_val y[2];
	rein_op(r, REIN_OP_MAX_POOL, 1, &x, &a, 2, y);
	return y[0];
}
/* flags: REIN_COUNT_PAD. */
static inline rein_val rein_avg_pool(struct rein_rec *r, rein_val x, const struct rein_window *w, uint32_t flags)
{
	struct rein_attr a = rein_window_attr_(w, 0, flags);
	rein_val y;
	rein_op(r, REIN_OP_AVG_POOL, 1, &x, &a, 1, &y);
	return y;
}
/* x placed inside of zeros: before[i] and after[i] more entries on axes 2 and 3. */
static inline rein_val rein_zero_pad(struct rein_rec *r, rein_val x, const int64_t before[2], const int64_t after[2])
{
	struct rein_attr a = { sizeof a, 0, 0, 0, 4, 0, { 0 }, { 0 }, { 0 }, { 0 }, NULL };
	rein_val y;
	for (int i = 0; i < 4; i++) {
		a.dim[i] = rein_dim(r, x, i) + (i > 1 ? before[i - 2] + after[i - 2] : 0);
		a.start[i] = i > 1 ? before[i - 2] : 0;
		a.step[i] = 1;
	}
	rein_op(r, REIN_OP_UNSLICE, 1, &x, &a, 1, &y);
	return y;
}

#endif
