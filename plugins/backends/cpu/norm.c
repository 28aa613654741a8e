/* SPDX-License-Identifier: MIT
 *
 * norm.c: batch norm and sums over all but one axis, channel by channel.
 *   mean and variance  from pieces of at most 1024 elements: each piece's mean, then its squares
 *                      about that mean, joined in double; never a difference of squares
 *   y = (x - mean) s + beta,  s = gamma / sqrt(var + eps)
 *   dx = gamma r (g - dbeta / n - (x - mean) r dgamma / n),
 *   dbeta = sum g, dgamma = r sum g (x - mean)
 */
#include <math.h>
#include <string.h>

#include "conv.h"

#define PIECE         1024
#define GATHER        16 /* shorter rows are copied together */
#define PARALLEL_WORK 20000

/* x as (n, channels, inner), n and inner reduced; axes of size 1 do not matter. */
static bool channels_of(const struct rein_prog_value *x, uint32_t axes, struct norm *v)
{
	v->n = v->channels = v->inner = 1;
	for (uint32_t a = 0; a < x->rank; a++) {
		if (x->dim[a] > 1 && !(axes >> a & 1)) {
			if (v->inner > 1)
				return false;
			v->channels *= x->dim[a];
		} else if (axes >> a & 1) {
			*(v->channels > 1 ? &v->inner : &v->n) *= x->dim[a];
		}
	}
	return true;
}

bool norm_of(const struct rein_program *p, const struct rein_prog_instr *i, struct norm *v)
{
	bool sum = i->op == REIN_OP_SUM;
	if (p->real_size != 4 || (i->op != REIN_OP_BATCH_NORM && i->op != REIN_OP_BATCH_NORM_DX && !sum))
		return false;
	const struct rein_prog_value *x = &p->value[i->in[0]];
	*v = (struct norm){ .op = i->op, .eps = i->attr.par[0], .keep = 1 };
	if (sum && (x->dtype != REIN_REAL_T || p->value[i->out[0]].dtype != REIN_REAL_T))
		return false;
	if (!channels_of(x, i->attr.axes, v) || (sum && v->inner < GATHER))
		return false;
	for (uint32_t k = 0; k < i->n_in; k++) {
		v->in[k] = i->in[k];
		v->step[k] = p->value[i->in[k]].count != 1;
	}
	for (uint32_t k = 0; k < 3; k++)
		v->out[k] = k < i->n_out ? i->out[k] : -1;
	v->gather = v->inner < GATHER;
	return true;
}

int64_t norm_plan(struct norm *v, int isa, int threads)
{
	v->isa = conv_isa(isa);
	v->own = v->gather ? 3 * v->n * v->inner : v->keep ? 0 : v->inner;
	v->own = (v->own + 15) / 16 * 16;
	return 4 * v->own * threads + 64;
}

struct job {
	const struct norm *v;
	void *const *mem;
	float *own;
	gemm_done *done;
	void *ctx;
};

/* A channel: `rows` rows of `len`, `step` apart. */
struct channel {
	const struct conv_isa *isa;
	const float *x, *g;
	int64_t rows, len, step;
};

static void moments(const struct channel *c, double *mean, double *var)
{
	double count = 0, about = 0, squares = 0, total = 0, sum[2];
	for (int64_t r = 0; r < c->rows; r++)
		for (int64_t at = 0; at < c->len; at += PIECE) {
			int64_t n = c->len - at < PIECE ? c->len - at : PIECE;
			const float *x = c->x + r * c->step + at;
			double all = c->isa->total(n, x);
			float m = (float)(all / (double)n);
			total += all;
			c->isa->square(n, x, m, sum);
			double rest = sum[0] / (double)n, exact = (double)m + rest, away = exact - about;
			squares += sum[1] - sum[0] * rest + away * away * count * (double)n / (count + (double)n);
			count += (double)n;
			about += away * (double)n / count;
		}
	*mean = total / count;
	*var = squares > 0 || squares != squares ? squares / count : 0;
}

static void sums(const struct channel *c, float mean, double out[2])
{
	double sum[2];
	out[0] = out[1] = 0;
	for (int64_t r = 0; r < c->rows; r++)
		for (int64_t at = 0; at < c->len; at += PIECE) {
			int64_t n = c->len - at < PIECE ? c->len - at : PIECE;
			if (c->x) {
				c->isa->product(n, c->x + r * c->step + at, c->g + r * c->step + at, mean, sum);
				out[1] += sum[1];
			} else {
				sum[0] = c->isa->total(n, c->g + r * c->step + at);
			}
			out[0] += sum[0];
		}
}

/* What makes the rows of result 0: y = (x - mean) scale + a, or scale (g - a - (x - mean) b). */
struct apply {
	float mean, scale, a, b;
};

static float operand(const struct job *j, int k, int64_t ch)
{
	return ((const float *)j->mem[j->v->in[k]])[ch * j->v->step[k]];
}
static void put(const struct job *j, int k, int64_t ch, double x)
{
	float *to = j->v->out[k] < 0 ? NULL : j->mem[j->v->out[k]];
	if (to)
		to[ch] = (float)x;
}

static struct apply measure(const struct job *j, const struct channel *c, int64_t ch)
{
	double n = (double)j->v->n * (double)j->v->inner, mean, var, sum[2];
	if (j->v->op == REIN_OP_BATCH_NORM) {
		moments(c, &mean, &var);
		put(j, 1, ch, mean);
		put(j, 2, ch, var);
		double scale = (double)operand(j, 1, ch) / sqrt(var + j->v->eps);
		/* mean rounded once in x - mean is made good in the shift */
		return (struct apply){ (float)mean, (float)scale,
			                   (float)((double)operand(j, 2, ch) + ((double)(float)mean - mean) * scale), 0 };
	}
	float m = operand(j, 2, ch), r = operand(j, 3, ch);
	sums(c, m, sum);
	put(j, 1, ch, sum[1] * (double)r);
	put(j, 2, ch, sum[0]);
	return (struct apply){ m, operand(j, 1, ch) * r, (float)(sum[0] / n), (float)((double)r * (double)r * sum[1] / n) };
}

static void apply_row(const struct job *j, const struct apply *p, int64_t n, const float *x, const float *g, float *y)
{
	if (j->v->op == REIN_OP_BATCH_NORM)
		j->v->isa->affine(n, x, p->mean, p->scale, p->a, y);
	else
		j->v->isa->norm_dx(n, x, g, p->mean, p->scale, p->a, p->b, y);
}

/* Rows short: the channel is copied together, and apart again. */
static void run_gathered(const struct job *j, int64_t ch)
{
	const struct norm *v = j->v;
	int64_t all = v->n * v->inner;
	float *x = j->own + pool_self() * v->own, *g = x + all, *y = g + all;
	const float *from = j->mem[v->in[0]], *grad = v->op == REIN_OP_BATCH_NORM_DX ? j->mem[v->in[4]] : NULL;
	float *to = j->mem[v->out[0]];
	for (int64_t e = 0; e < all; e++) {
		int64_t at = (e / v->inner * v->channels + ch) * v->inner + e % v->inner;
		x[e] = from[at];
		if (grad)
			g[e] = grad[at];
	}
	struct channel c = { v->isa, x, g, 1, all, all };
	struct apply p = measure(j, &c, ch);
	if (!to)
		return;
	apply_row(j, &p, all, x, g, y);
	for (int64_t e = 0; e < all; e++)
		to[(e / v->inner * v->channels + ch) * v->inner + e % v->inner] = y[e];
}

static void run_channel(void *arg, int ch)
{
	const struct job *j = arg;
	const struct norm *v = j->v;
	int64_t step = v->channels * v->inner;
	if (v->gather) {
		run_gathered(j, ch);
		return;
	}
	const float *x = (const float *)j->mem[v->in[0]] + ch * v->inner;
	const float *g = v->op == REIN_OP_BATCH_NORM_DX ? (const float *)j->mem[v->in[4]] + ch * v->inner : NULL;
	struct channel c = { v->isa, x, g, v->n, v->inner, step };
	if (v->op == REIN_OP_SUM) {
		double sum[2];
		c.x = NULL, c.g = x;
		sums(&c, 0, sum);
		put(j, 0, ch, sum[0]);
		return;
	}
	struct apply p = measure(j, &c, ch);
	float *y = v->keep ? j->mem[v->out[0]] : j->own + pool_self() * v->own;
	for (int64_t r = 0; r < v->n && y; r++) {
		float *to = v->keep ? y + r * step + ch * v->inner : y;
		apply_row(j, &p, v->inner, x + r * step, g ? g + r * step : NULL, to);
		if (j->done)
			j->done(j->ctx, r * v->channels + ch, r, ch, 1, 0, v->inner, to, v->inner);
	}
}

void norm_run(const struct norm *v, struct pool *pool, void *const *mem, void *workspace, gemm_done *done, void *ctx)
{
	struct job j = { v, mem, workspace, done, ctx };
	pool_run(v->n * v->channels * v->inner < PARALLEL_WORK ? NULL : pool, (int)v->channels, run_channel, &j);
}
