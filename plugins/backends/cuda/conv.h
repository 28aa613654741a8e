/* SPDX-License-Identifier: MIT
 *
 * conv.h: shapes of convolutions, shared by the kernels for any of them (conv.cu) and those for
 * few channels (conv_direct.cu) or for tensor cores (conv_tensor.cu).
 *
 * Forward and the derivative in x are one computation, a gathering convolution: place (u,v) of a
 * column (output channel of the forward pass, input channel of dx) sums over k-channels and taps
 *   source[n, ch, u su + bu + ti eu, v sv + bv + tj ev] * weight[col wcol + ch wch + ti wi + tj wj + w0]
 * and lands in the result at row u ou + au, column v ov + av. Forward: su = stride, bu = -padding,
 * eu = dilation, every tap, result rows as they come. dx: the result's rows are split by their
 * phase modulo the stride; in a phase the taps that hit any row of g are an arithmetic
 * progression, and g's rows are consecutive: su = 1, eu < 0. So no product with a zero is made
 * because of a stride.
 */
#ifndef CUDA_CONV_H
#define CUDA_CONV_H

#include "tile.h"

/* conv2d's own: y (N,O,Ho,Wo) = x (N,C,H,W) * w (O,C/G,kh,kw) */
struct conv {
	int N, C, H, W, O, kh, kw, Ho, Wo, G, Cg, Og, sh, sw, ph, pw, dh, dw;
};
static inline struct conv conv_of(const struct rein_program *p, const struct rein_prog_instr *i)
{
	const struct rein_prog_value *a = &p->value[i->in[0]], *b = &p->value[i->in[1]], *r = &p->value[i->out[0]];
	const struct rein_prog_value *x = i->op == REIN_OP_CONV2D_DX ? r : a, *w = i->op == REIN_OP_CONV2D_DW ? r : b;
	const struct rein_prog_value *y = i->op == REIN_OP_CONV2D ? r : i->op == REIN_OP_CONV2D_DX ? a : b;
	struct conv v;
	v.N = (int)x->dim[0], v.C = (int)x->dim[1], v.H = (int)x->dim[2], v.W = (int)x->dim[3];
	v.O = (int)w->dim[0], v.kh = (int)w->dim[2], v.kw = (int)w->dim[3], v.Ho = (int)y->dim[2], v.Wo = (int)y->dim[3];
	v.G = i->attr.batch ? (int)i->attr.batch : 1, v.Cg = v.C / v.G, v.Og = v.O / v.G;
	v.sh = (int)i->attr.step[0], v.sw = (int)i->attr.step[1], v.ph = (int)i->attr.start[0],
	v.pw = (int)i->attr.start[1];
	v.dh = i->attr.start[2] ? (int)i->attr.start[2] : 1, v.dw = i->attr.start[3] ? (int)i->attr.start[3] : 1;
	return v;
}

struct gather_axis {
	int s, b, e;      /* source = u s + b + t e */
	int taps, places; /* t < taps, u < places */
	int o, a;         /* result = u o + a */
	int w, w0;        /* tap t is the weight's tap w0 + t w */
};
struct gather {
	int G, channels, cols;    /* per group: k-channels, columns */
	int H, W, out_H, out_W;   /* planes of the source and of the result */
	int N, wcol, wch, wgroup; /* strides of the weight; of a group */
	int kw;                   /* the weight's row */
	struct gather_axis h, w;
};

static inline int conv_gcd(int a, int b)
{
	while (b) {
		int t = a % b;
		a = b, b = t;
	}
	return a;
}
/* Axis of the forward pass. */
static inline struct gather_axis forward_axis(int stride, int pad, int dil, int k, int out)
{
	struct gather_axis v = { stride, -pad, dil, k, out, 1, 0, 1, 0 };
	return v;
}
/* Phase a of dx: places a + stride u of n. Tap i hits g's row (a + stride u + pad - i dil) / stride where
 * that is whole. */
static inline struct gather_axis back_axis(int phase, int stride, int pad, int dil, int k, int n)
{
	struct gather_axis v = { 1, 0, 0, 0, (n - phase + stride - 1) / stride, stride, phase, 0, 0 };
	int i0 = 0;
	while (i0 < k && i0 < stride && (phase + pad - i0 * dil) % stride)
		i0++;
	if (i0 >= k || (phase + pad - i0 * dil) % stride)
		return v; /* no tap */
	v.w = stride / conv_gcd(stride, dil);
	v.w0 = i0;
	v.taps = (k - i0 + v.w - 1) / v.w;
	v.b = (phase + pad - i0 * dil) / stride;
	v.e = -(v.w * dil / stride);
	return v;
}
static inline struct gather gather_of(const struct conv *v, bool back, int phase_h, int phase_w)
{
	struct gather g;
	int taps = v->kh * v->kw;
	g.G = v->G, g.N = v->N, g.kw = v->kw;
	g.wgroup = v->Og * v->Cg * taps;
	if (!back) {
		g.channels = v->Cg, g.cols = v->Og;
		g.H = v->H, g.W = v->W, g.out_H = v->Ho, g.out_W = v->Wo;
		g.wcol = v->Cg * taps, g.wch = taps;
		g.h = forward_axis(v->sh, v->ph, v->dh, v->kh, v->Ho);
		g.w = forward_axis(v->sw, v->pw, v->dw, v->kw, v->Wo);
	} else {
		g.channels = v->Og, g.cols = v->Cg;
		g.H = v->Ho, g.W = v->Wo, g.out_H = v->H, g.out_W = v->W;
		g.wcol = taps, g.wch = v->Cg * taps;
		g.h = back_axis(phase_h, v->sh, v->ph, v->dh, v->kh, v->H);
		g.w = back_axis(phase_w, v->sw, v->pw, v->dw, v->kw, v->W);
	}
	return g;
}

/* conv_direct.cu: kernels for few channels; whether they apply, and the launch. */
bool conv_direct_gather(const struct gather *);
rein_status conv_direct_launch(struct cuda_build *, const struct gather *, const float *x, const float *w, float *y,
                               const struct tile_end *);
/* conv_tensor.cu: on tensor cores, for more than 32 channels. */
rein_status conv_tensor_launch(struct cuda_build *, const struct gather *, const float *x, const float *w, float *y,
                               const struct tile_end *);

#endif
