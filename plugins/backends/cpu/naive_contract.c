/* SPDX-License-Identifier: MIT
 *
 * naive_contract.c: reference kernels of matrix products and convolutions, as the sums
 * that define them, accumulated in double (a product of two floats is exact there).
 */
#include "naive.h"

/* y[b] = op(a[b]) op(b[b]), (B?,M,K) (B?,K,N); work: N doubles */
static rein_status matmul(const struct call *c)
{
	const struct rein_prog_value *a = in_value(c, 0), *b = in_value(c, 1), *y = out_value(c, 0);
	bool ta = c->i->attr.flags & REIN_TA, tb = c->i->attr.flags & REIN_TB;
	int64_t M = y->dim[y->rank - 2], N = y->dim[y->rank - 1], K = a->dim[a->rank - (ta ? 2 : 1)];
	int64_t batch = y->count / (M * N);
	int64_t a_batch = a->count == M * K ? 0 : M * K, b_batch = b->count == K * N ? 0 : K * N;
	double *acc = c->work;
	for (int64_t s = 0; s < batch; s++) {
		const real *p = (const real *)in_mem(c, 0) + s * a_batch, *q = (const real *)in_mem(c, 1) + s * b_batch;
		real *r = (real *)out_mem(c, 0) + s * M * N;
		for (int64_t m = 0; m < M; m++) {
			for (int64_t n = 0; n < N; n++)
				acc[n] = 0;
			for (int64_t k = 0; k < K; k++) {
				double x = (double)p[ta ? k * M + m : m * K + k];
				if (tb)
					for (int64_t n = 0; n < N; n++)
						acc[n] += x * (double)q[n * K + k];
				else
					for (int64_t n = 0; n < N; n++)
						acc[n] += x * (double)q[k * N + n];
			}
			for (int64_t n = 0; n < N; n++)
				r[m * N + n] = (real)acc[n];
		}
	}
	return REIN_OK;
}

/* Sizes of y (N,O,Ho,Wo) = conv2d(x (N,C,H,W), w (O,C/G,kh,kw)); x row = out row * stride
 * - pad + tap * dilation. */
struct conv {
	int64_t N, C, H, W, O, kh, kw, Ho, Wo, G, Cg, Og;
	int64_t sh, sw, ph, pw, dh, dw;
};
static void conv_init(struct conv *v, const struct rein_attr *a, const struct rein_prog_value *x,
                      const struct rein_prog_value *w, const struct rein_prog_value *y)
{
	v->N = x->dim[0], v->C = x->dim[1], v->H = x->dim[2], v->W = x->dim[3];
	v->O = w->dim[0], v->kh = w->dim[2], v->kw = w->dim[3], v->Ho = y->dim[2], v->Wo = y->dim[3];
	v->G = a->batch ? a->batch : 1, v->Cg = v->C / v->G, v->Og = v->O / v->G;
	v->sh = a->step[0], v->sw = a->step[1], v->ph = a->start[0], v->pw = a->start[1];
	v->dh = a->start[2] ? a->start[2] : 1, v->dw = a->start[3] ? a->start[3] : 1;
}

static rein_status conv2d(const struct call *c)
{
	struct conv v;
	conv_init(&v, &c->i->attr, in_value(c, 0), in_value(c, 1), out_value(c, 0));
	const real *x = in_mem(c, 0), *w = in_mem(c, 1);
	real *y = out_mem(c, 0);
	for (int64_t n = 0; n < v.N; n++)
		for (int64_t o = 0; o < v.O; o++)
			for (int64_t oh = 0; oh < v.Ho; oh++)
				for (int64_t ow = 0; ow < v.Wo; ow++) {
					double acc = 0;
					for (int64_t k = 0; k < v.Cg; k++)
						for (int64_t i = 0; i < v.kh; i++)
							for (int64_t j = 0; j < v.kw; j++) {
								int64_t ih = oh * v.sh - v.ph + i * v.dh, iw = ow * v.sw - v.pw + j * v.dw;
								if (ih < 0 || ih >= v.H || iw < 0 || iw >= v.W)
									continue;
								int64_t ch = o / v.Og * v.Cg + k;
								acc += (double)x[((n * v.C + ch) * v.H + ih) * v.W + iw] *
								       (double)w[((o * v.Cg + k) * v.kh + i) * v.kw + j];
							}
					*y++ = (real)acc;
				}
	return REIN_OK;
}

/* dx[n,c,ih,iw] = sum of g[n,o,oh,ow] w[o,c,i,j] over the taps that read x there */
static rein_status conv2d_dx(const struct call *c)
{
	struct conv v;
	conv_init(&v, &c->i->attr, out_value(c, 0), in_value(c, 1), in_value(c, 0));
	const real *g = in_mem(c, 0), *w = in_mem(c, 1);
	real *dx = out_mem(c, 0);
	for (int64_t n = 0; n < v.N; n++)
		for (int64_t ch = 0; ch < v.C; ch++)
			for (int64_t ih = 0; ih < v.H; ih++)
				for (int64_t iw = 0; iw < v.W; iw++) {
					double acc = 0;
					for (int64_t i = 0; i < v.kh; i++)
						for (int64_t j = 0; j < v.kw; j++) {
							int64_t h = ih + v.ph - i * v.dh, l = iw + v.pw - j * v.dw;
							if (h < 0 || l < 0 || h % v.sh || l % v.sw || h / v.sh >= v.Ho || l / v.sw >= v.Wo)
								continue;
							int64_t group = ch / v.Cg, k = ch % v.Cg;
							for (int64_t o = group * v.Og; o < (group + 1) * v.Og; o++)
								acc += (double)g[((n * v.O + o) * v.Ho + h / v.sh) * v.Wo + l / v.sw] *
								       (double)w[((o * v.Cg + k) * v.kh + i) * v.kw + j];
						}
					*dx++ = (real)acc;
				}
	return REIN_OK;
}

/* dw[o,k,i,j] = sum over n, oh, ow of g[n,o,oh,ow] x[n,c,ih,iw] */
static rein_status conv2d_dw(const struct call *c)
{
	struct conv v;
	conv_init(&v, &c->i->attr, in_value(c, 0), out_value(c, 0), in_value(c, 1));
	const real *x = in_mem(c, 0), *g = in_mem(c, 1);
	real *dw = out_mem(c, 0);
	for (int64_t o = 0; o < v.O; o++)
		for (int64_t k = 0; k < v.Cg; k++)
			for (int64_t i = 0; i < v.kh; i++)
				for (int64_t j = 0; j < v.kw; j++) {
					int64_t ch = o / v.Og * v.Cg + k;
					double acc = 0;
					for (int64_t n = 0; n < v.N; n++)
						for (int64_t oh = 0; oh < v.Ho; oh++)
							for (int64_t ow = 0; ow < v.Wo; ow++) {
								int64_t ih = oh * v.sh - v.ph + i * v.dh, iw = ow * v.sw - v.pw + j * v.dw;
								if (ih < 0 || ih >= v.H || iw < 0 || iw >= v.W)
									continue;
								acc += (double)x[((n * v.C + ch) * v.H + ih) * v.W + iw] *
								       (double)g[((n * v.O + o) * v.Ho + oh) * v.Wo + ow];
							}
					*dw++ = (real)acc;
				}
	return REIN_OK;
}

naive_fn *NAIVE(naive_contract)(const struct rein_program *p, const struct rein_prog_instr *i)
{
	(void)p;
	switch (i->op) {
	case REIN_OP_MATMUL: return matmul;
	case REIN_OP_CONV2D: return conv2d;
	case REIN_OP_CONV2D_DX: return conv2d_dx;
	case REIN_OP_CONV2D_DW: return conv2d_dw;
	default: return NULL;
	}
}
