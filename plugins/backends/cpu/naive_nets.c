/* SPDX-License-Identifier: MIT
 *
 * naive_nets.c: reference kernels of log-softmax, cross-entropy and batch norm.
 */
#include <math.h>

#include "naive.h"

/* max and log of the sum of exp(x - max) of a line; a NaN or a line of -inf gives NaN */
static double log_sum(const real *x, int64_t n, int64_t step, double *max)
{
	double m = -INFINITY, s = 0;
	for (int64_t j = 0; j < n; j++) {
		double v = (double)x[j * step];
		m = m != m || v <= m ? m : v;
	}
	for (int64_t j = 0; j < n; j++)
		s += exp((double)x[j * step] - m);
	*max = m;
	return log(s);
}

static rein_status log_softmax(const struct call *c)
{
	struct lines l = lines_of(in_value(c, 0), axis_of(&c->i->attr));
	for (int64_t o = 0; o < l.outer; o++)
		for (int64_t k = 0; k < l.inner; k++) {
			const real *x = (const real *)in_mem(c, 0) + o * l.n * l.inner + k;
			real *y = (real *)out_mem(c, 0) + o * l.n * l.inner + k;
			double max, sum = log_sum(x, l.n, l.inner, &max);
			for (int64_t j = 0; j < l.n; j++)
				y[j * l.inner] = (real)((double)x[j * l.inner] - max - sum);
		}
	return REIN_OK;
}

/* -log_softmax(z)[y], or -sum p log_softmax(z); a label outside 0..K-1 costs 0 */
static rein_status cross_entropy(const struct call *c)
{
	const struct rein_prog_value *z = in_value(c, 0);
	bool hard = in_value(c, 1)->dtype == REIN_I32_T;
	int64_t K = z->dim[1];
	for (int64_t n = 0; n < z->dim[0]; n++) {
		const real *x = (const real *)in_mem(c, 0) + n * K;
		double max, sum = log_sum(x, K, 1, &max), cost = 0;
		if (hard) {
			int32_t y = ((const int32_t *)in_mem(c, 1))[n];
			cost = y < 0 || y >= K ? 0 : -((double)x[y] - max - sum);
		} else {
			for (int64_t j = 0; j < K; j++)
				cost -= (double)((const real *)in_mem(c, 1))[n * K + j] * ((double)x[j] - max - sum);
		}
		((real *)out_mem(c, 0))[n] = (real)cost;
	}
	return REIN_OK;
}

/* Channel ch of a batch norm: the elements whose index on the axes not reduced is ch. */
struct norm {
	int64_t channels, n; /* n elements in a channel */
	uint32_t kept, reduced;
	int64_t kept_dim[REIN_MAX_RANK], kept_stride[REIN_MAX_RANK], dim[REIN_MAX_RANK], stride[REIN_MAX_RANK];
};
static void norm_init(struct norm *d, const struct rein_prog_value *x, uint32_t axes)
{
	int64_t stride[REIN_MAX_RANK] = { 0 };
	strides_of(x, stride);
	*d = (struct norm){ .channels = 1, .n = 1 };
	for (uint32_t a = 0; a < x->rank; a++) {
		if (axes >> a & 1) {
			d->dim[d->reduced] = x->dim[a];
			d->stride[d->reduced++] = stride[a];
			d->n *= x->dim[a];
		} else {
			d->kept_dim[d->kept] = x->dim[a];
			d->kept_stride[d->kept++] = stride[a];
			d->channels *= x->dim[a];
		}
	}
}
static int64_t norm_at(const struct norm *d, int64_t ch, int64_t e)
{
	return offset_of(ch, d->kept, d->kept_dim, d->kept_stride) + offset_of(e, d->reduced, d->dim, d->stride);
}
static int64_t scalar_or(const struct rein_prog_value *v, int64_t ch) { return v->count == 1 ? 0 : ch; }

/* y = (x - mean) / sqrt(var + eps) * gamma + beta, var biased */
static rein_status batch_norm(const struct call *c)
{
	struct norm d;
	norm_init(&d, in_value(c, 0), c->i->attr.axes);
	const real *x = in_mem(c, 0);
	for (int64_t ch = 0; ch < d.channels; ch++) {
		double mean = 0, var = 0;
		double gamma = (double)((const real *)in_mem(c, 1))[scalar_or(in_value(c, 1), ch)];
		double beta = (double)((const real *)in_mem(c, 2))[scalar_or(in_value(c, 2), ch)];
		for (int64_t e = 0; e < d.n; e++)
			mean += (double)x[norm_at(&d, ch, e)];
		mean /= (double)d.n;
		for (int64_t e = 0; e < d.n; e++)
			var += ((double)x[norm_at(&d, ch, e)] - mean) * ((double)x[norm_at(&d, ch, e)] - mean);
		var /= (double)d.n;
		for (int64_t e = 0; e < d.n && out_mem(c, 0); e++) {
			double v = ((double)x[norm_at(&d, ch, e)] - mean) / sqrt(var + c->i->attr.par[0]);
			((real *)out_mem(c, 0))[norm_at(&d, ch, e)] = (real)(v * gamma + beta);
		}
		if (out_mem(c, 1))
			((real *)out_mem(c, 1))[ch] = (real)mean;
		if (out_mem(c, 2))
			((real *)out_mem(c, 2))[ch] = (real)var;
	}
	return REIN_OK;
}

/* xh = (x - mean) r; dbeta = sum g; dgamma = sum g xh;
 * dx = gamma r (g - dbeta / n - xh dgamma / n) */
static rein_status batch_norm_dx(const struct call *c)
{
	struct norm d;
	norm_init(&d, in_value(c, 0), c->i->attr.axes);
	const real *x = in_mem(c, 0), *g = in_mem(c, 4);
	for (int64_t ch = 0; ch < d.channels; ch++) {
		double par[3], dbeta = 0, dgamma = 0, n = (double)d.n;
		for (uint32_t k = 0; k < 3; k++) /* gamma, mean, r */
			par[k] = (double)((const real *)in_mem(c, k + 1))[scalar_or(in_value(c, k + 1), ch)];
		for (int64_t e = 0; e < d.n; e++) {
			int64_t at = norm_at(&d, ch, e);
			dbeta += (double)g[at];
			dgamma += (double)g[at] * ((double)x[at] - par[1]) * par[2];
		}
		for (int64_t e = 0; e < d.n && out_mem(c, 0); e++) {
			int64_t at = norm_at(&d, ch, e);
			double xh = ((double)x[at] - par[1]) * par[2];
			((real *)out_mem(c, 0))[at] = (real)(par[0] * par[2] * ((double)g[at] - dbeta / n - xh * dgamma / n));
		}
		if (out_mem(c, 1))
			((real *)out_mem(c, 1))[ch] = (real)dgamma;
		if (out_mem(c, 2))
			((real *)out_mem(c, 2))[ch] = (real)dbeta;
	}
	return REIN_OK;
}

naive_fn *NAIVE(naive_nets)(const struct rein_program *p, const struct rein_prog_instr *i)
{
	(void)p;
	switch (i->op) {
	case REIN_OP_LOG_SOFTMAX: return log_softmax;
	case REIN_OP_CROSS_ENTROPY: return cross_entropy;
	case REIN_OP_BATCH_NORM: return batch_norm;
	case REIN_OP_BATCH_NORM_DX: return batch_norm_dx;
	default: return NULL;
	}
}
