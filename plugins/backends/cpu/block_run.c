/* SPDX-License-Identifier: MIT
 *
 * block_run.c: the two kernels of a convolutional block, each in two rounds over the images with
 * sums per channel between them.
 *   forward    1  a = convolution + bias; its mean and squares about the mean, image by image
 *              2  y = relu((a - mean) s + beta), s = gamma / sqrt(var + eps), and pooled
 *   backward   1  sums of g and g (a - mean), g being passed back through pooling and relu on the way
 *              2  da = gamma r (g - dbeta / n - (a - mean) r dgamma / n), and its sum for the bias
 * Sums are taken over at most 1024 places in float, joined in double image after image, so the
 * number of threads changes no bit. Which place of a pooling window was largest is stored as 0 to
 * 3, and -1 if relu let nothing through, so the backward kernel needs no mask there.
 */
#include <math.h>
#include <string.h>

#include "nhwc.h"

#define PIECE         1024
#define PARALLEL_WORK 40000

struct block_kernel {
	const struct rein_host *host;
	struct block b;
	int64_t work; /* place of the workspace in the arena */
	double eps;
};

/* Floats of the parts of a workspace. */
struct layout {
	int64_t conv, partial, par, start, own;
};

/* Places of the image that the block makes, or of its gradient. */
static int64_t result_places(const struct block *b)
{
	const struct nhwc *v = &b->conv[NHWC_FORWARD];
	return b->at[BLOCK_POOL] >= 0 ? v->Ho / 2 * (v->Wo / 2) : v->Ho * v->Wo;
}

static int64_t plan(struct block *b, const struct cpu *cpu, bool backward, struct layout *l)
{
	int threads = cpu->threads < 1 ? 1 : cpu->threads;
	struct nhwc *v = &b->conv[NHWC_FORWARD];
	l->conv = nhwc_plan(v, cpu->isa, threads);
	l->conv = backward ? 0 : (l->conv + 63) / 64 * 16;
	l->partial = (v->N + 1) * 2 * v->O * 2;
	l->par = 4 * v->O;
	l->start = v->O;
	l->own = (backward ? b->g_last : b->y_last) ? 0 : (v->O * result_places(b) + 15) / 16 * 16;
	return 4 * (l->conv + l->partial + l->par + l->start + l->own * threads) + 64;
}

int64_t block_workspace(const struct cpu *cpu, const struct block *block, bool backward)
{
	struct block b = *block;
	struct layout l;
	return plan(&b, cpu, backward, &l);
}

struct run {
	const struct block_kernel *k;
	const struct nhwc *v;
	const struct nhwc_isa *isa;
	void *conv;
	double *partial, *total;  /* image, 2, channel; 2, channel */
	float *par, *start, *own; /* par: LANES channels, 4, LANES */
	int64_t each;             /* floats of own per thread */
	const float *x, *g;
	float *a, *y, *dx;
	uint8_t *mask;
	int32_t *index;
};

static void *at(const struct rein_exec *e, const struct block *b, enum block_part part, uint32_t out)
{
	return b->at[part] < 0 ? NULL : e->mem[e->program->instr[b->at[part]].out[out]];
}
static const float *operand(const struct rein_exec *e, const struct block *b, enum block_part part, uint32_t k)
{
	return e->mem[e->program->instr[b->at[part]].in[k]];
}
/* Operand k of a part for channel c: one for all or one each. */
static float of_channel(const struct rein_exec *e, const struct block *b, enum block_part part, uint32_t k, int64_t c)
{
	int32_t v = e->program->instr[b->at[part]].in[k];
	return ((const float *)e->mem[v])[e->program->value[v].count == 1 ? 0 : c];
}

static void begin(struct run *r, struct rein_exec *e, struct block_kernel *k, bool backward)
{
	struct layout l;
	plan(&k->b, e->cpu, backward, &l);
	float *work = (float *)(void *)(e->base + k->work);
	*r = (struct run){ .k = k, .v = &k->b.conv[NHWC_FORWARD], .conv = work, .each = l.own };
	r->isa = r->v->isa;
	r->partial = (double *)(void *)(work + l.conv);
	r->total = r->partial + r->v->N * 2 * r->v->O;
	r->par = work + l.conv + l.partial;
	r->start = r->par + l.par;
	r->own = r->start + l.start;
}

static struct pool *pool_for(const struct rein_exec *e, const struct nhwc *v)
{
	return v->N * v->O * v->Ho * v->Wo < PARALLEL_WORK ? NULL : e->cpu->pool;
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* Fetches two rows, from place `from` on, of a in the image after `image`: reading every second row
 * beside another, and results of a quarter of the size, is more than the processor foresees. */
static void ahead(const struct run *r, int image, int64_t from)
{
	const struct nhwc *v = r->v;
	if (image + 1 < v->N)
		nhwc_fetch(r->a + ((image + 1) * v->Ho * v->Wo + from) * v->O, 2 * v->Wo * v->O);
}

/* --- forward ---------------------------------------------------------------------------------------- */
/* Mean and squares about it so far, and those of n more elements. */
struct moments {
	double n, mean, squares;
};
static void join(struct moments *m, double n, double mean, double squares)
{
	double away = mean - m->mean;
	m->squares += squares + away * away * m->n * n / (m->n + n);
	m->n += n;
	m->mean += away * n / m->n;
}

static void measure(const struct run *r, const float *a, double *out)
{
	int64_t O = r->v->O, places = r->v->Ho * r->v->Wo;
	for (int64_t c = 0; c < O; c += LANES) {
		struct moments m[LANES] = { { 0 } };
		for (int64_t from = 0; from < places; from += PIECE) {
			int64_t n = places - from < PIECE ? places - from : PIECE;
			double sum[LANES] = { 0 }, squares[LANES] = { 0 }, rest[LANES] = { 0 };
			float mean[LANES];
			r->isa->total(n, O, a + from * O + c, sum);
			for (int l = 0; l < LANES; l++)
				mean[l] = (float)(sum[l] / (double)n);
			r->isa->square(n, O, a + from * O + c, mean, rest, squares);
			for (int l = 0; l < LANES; l++) {
				double off = rest[l] / (double)n;
				join(&m[l], (double)n, (double)mean[l] + off, squares[l] - rest[l] * off);
			}
		}
		for (int l = 0; l < LANES; l++) {
			out[c + l] = m[l].mean;
			out[O + c + l] = m[l].squares;
		}
	}
}

/* Images are of one size: after n of them the next has the weight 1 / (n + 1). */
static void join_images(const struct run *r)
{
	int64_t O = r->v->O;
	double *mean = r->total, *squares = r->total + O;
	memset(r->total, 0, (size_t)(2 * O) * sizeof *r->total);
	for (int64_t n = 0; n < r->v->N; n++) {
		const double *of = r->partial + n * 2 * O;
		double share = 1 / (double)(n + 1), weight = (double)(r->v->Ho * r->v->Wo) * (double)n * share;
		for (int64_t c = 0; c < O; c++) {
			double away = of[c] - mean[c];
			mean[c] += away * share;
			squares[c] += of[O + c] + away * away * weight;
		}
	}
}

static void forward_first(void *arg, int n)
{
	const struct run *r = arg;
	const struct nhwc *v = r->v;
	float *a = r->a + n * v->O * v->Ho * v->Wo;
	nhwc_image(v, r->x, n, r->start, a, r->conv);
	measure(r, a, r->partial + n * 2 * v->O);
}

static void forward_second(void *arg, int n)
{
	const struct run *r = arg;
	const struct nhwc *v = r->v;
	const struct block *b = &r->k->b;
	int64_t O = v->O, size = O * result_places(b), Wo = v->Wo / 2, places = v->Ho * v->Wo;
	const float *a = r->a + n * O * places;
	float *y = b->y_last ? r->y + n * size : r->own + pool_self() * r->each;
	for (int64_t row = 0; row < v->Ho / 2 && b->at[BLOCK_POOL] >= 0; row++) {
		int64_t at = 2 * row * v->Wo, to = row * Wo * O;
		ahead(r, n, at);
		for (int64_t c = 0; c < O; c += LANES)
			r->isa->relu_pool(Wo, O, a + at * O + c, a + (at + v->Wo) * O + c, r->par + 4 * c, y + to + c,
			                  r->index ? r->index + n * size + to + c : NULL);
	}
	for (int64_t at = 0; at < places && b->at[BLOCK_POOL] < 0; at += PIECE) {
		int64_t some = least(PIECE, places - at);
		for (int64_t c = 0; c < O; c += LANES) {
			int64_t e = at * O + c;
			if (b->at[BLOCK_RELU] >= 0)
				r->isa->relu(some, O, a + e, r->par + 4 * c, y + e, r->mask ? r->mask + n * size + e : NULL);
			else
				r->isa->affine(some, O, a + e, r->par + 4 * c, y + e);
		}
	}
	if (!b->y_last)
		nhwc_turn_back(O, result_places(b), y, r->y + n * size);
}

static rein_status run_forward(struct rein_exec *e, struct kernel *kernel)
{
	struct block_kernel *k = kernel->data;
	const struct block *b = &k->b;
	struct run r;
	begin(&r, e, k, false);
	const struct nhwc *v = r.v;
	float *mean = at(e, b, BLOCK_BN, 1), *var = at(e, b, BLOCK_BN, 2);
	double count = (double)v->N * (double)(v->Ho * v->Wo);
	const struct rein_prog_instr *add = b->at[BLOCK_ADD] < 0 ? NULL : &e->program->instr[b->at[BLOCK_ADD]];
	uint32_t bias = add && add->in[0] == e->program->instr[b->at[BLOCK_CONV]].out[0];
	r.x = operand(e, b, BLOCK_CONV, 0);
	r.a = e->mem[e->program->instr[b->at[BLOCK_BN]].in[0]];
	r.y = e->mem[block_result(e->program, b)];
	r.mask = b->at[BLOCK_POOL] >= 0 ? NULL : at(e, b, BLOCK_LE, 0);
	r.index = at(e, b, BLOCK_POOL, 1);
	for (int64_t c = 0; c < v->O; c++)
		r.start[c] = add ? of_channel(e, b, BLOCK_ADD, bias, c) : 0;
	nhwc_weights(v, pool_for(e, v), operand(e, b, BLOCK_CONV, 1), r.conv);
	pool_run(pool_for(e, v), (int)v->N, forward_first, &r);
	join_images(&r);
	for (int64_t c = 0; c < v->O; c++) {
		double about = r.total[c], squares = r.total[v->O + c];
		double spread = squares > 0 || squares != squares ? squares / count : 0;
		double scale = (double)of_channel(e, b, BLOCK_BN, 1, c) / sqrt(spread + k->eps);
		float *par = r.par + c / LANES * LANES * 4 + c % LANES;
		par[0] = (float)about;
		par[LANES] = (float)scale;
		/* the mean rounded once in a - mean is made good in the shift */
		par[2 * LANES] = (float)((double)of_channel(e, b, BLOCK_BN, 2, c) + ((double)(float)about - about) * scale);
		if (mean)
			mean[c] = (float)about;
		if (var)
			var[c] = (float)spread;
	}
	if (r.y)
		pool_run(pool_for(e, v), (int)v->N, forward_second, &r);
	return REIN_OK;
}

/* --- backward ------------------------------------------------------------------------------------------ */
/* The image of gradients, channels last. */
static const float *gradient(const struct run *r, int n)
{
	int64_t places = result_places(&r->k->b), size = r->v->O * places;
	if (r->k->b.g_last)
		return r->g + n * size;
	float *own = r->own + pool_self() * r->each;
	nhwc_turn(r->v->O, places, r->g + n * size, own);
	return own;
}

static void backward_first(void *arg, int n)
{
	const struct run *r = arg;
	const struct nhwc *v = r->v;
	int64_t O = v->O, places = v->Ho * v->Wo, Wo = v->Wo / 2, size = O * result_places(&r->k->b);
	const float *a = r->a + n * O * places, *g = gradient(r, n);
	double *out = r->partial + n * 2 * O;
	memset(out, 0, (size_t)(2 * O) * sizeof *out);
	for (int64_t row = 0; row < v->Ho / 2 && r->index; row++) {
		int64_t at = 2 * row * v->Wo, from = row * Wo * O;
		ahead(r, n, at);
		for (int64_t c = 0; c < O; c += LANES)
			r->isa->product_pool(Wo, O, a + at * O + c, a + (at + v->Wo) * O + c, g + from + c,
			                     r->index + n * size + from + c, r->par + 4 * c, out + c, out + O + c);
	}
	for (int64_t at = 0; at < places && !r->index; at += PIECE) {
		int64_t some = least(PIECE, places - at);
		for (int64_t c = 0; c < O; c += LANES) {
			int64_t e = at * O + c;
			r->isa->product(some, O, a + e, g + e, r->mask ? r->mask + n * size + e : NULL, r->par + 4 * c, out + c,
			                out + O + c);
		}
	}
}

/* Rows and columns that no window of 2 x 2 takes have no gradient. */
static void pooled_dx(const struct run *r, const float *a, const float *g, const int32_t *index, const float *par,
                      float *dx, double *sum)
{
	const struct nhwc *v = r->v;
	int64_t O = v->O, Wo = v->Wo / 2, line = v->Wo * O;
	for (int64_t row = 0; row < v->Ho / 2; row++) {
		const float *from = a + 2 * row * line;
		float *to = dx + 2 * row * line;
		r->isa->norm_dx_pool(Wo, O, from, from + line, g + row * Wo * O, index + row * Wo * O, par, to, to + line, sum);
		for (int64_t i = 0; i < 2 && v->Wo % 2; i++)
			r->isa->norm_dx(1, O, from + i * line + 2 * Wo * O, NULL, NULL, par, to + i * line + 2 * Wo * O, sum);
	}
	if (v->Ho % 2)
		r->isa->norm_dx(v->Wo, O, a + (v->Ho - 1) * line, NULL, NULL, par, dx + (v->Ho - 1) * line, sum);
}

static void backward_second(void *arg, int n)
{
	const struct run *r = arg;
	const struct nhwc *v = r->v;
	int64_t O = v->O, places = v->Ho * v->Wo, size = O * result_places(&r->k->b);
	const float *a = r->a + n * O * places, *g = gradient(r, n);
	float *dx = r->dx + n * O * places;
	double *sum = r->partial + n * 2 * O;
	memset(sum, 0, (size_t)O * sizeof *sum);
	for (int64_t c = 0; c < O && r->index; c += LANES)
		pooled_dx(r, a + c, g + c, r->index + n * size + c, r->par + 4 * c, dx + c, sum + c);
	for (int64_t at = 0; at < places && !r->index; at += PIECE) {
		int64_t some = least(PIECE, places - at);
		for (int64_t c = 0; c < O; c += LANES) {
			int64_t e = at * O + c;
			r->isa->norm_dx(some, O, a + e, g + e, r->mask ? r->mask + n * size + e : NULL, r->par + 4 * c, dx + e,
			                sum + c);
		}
	}
}

/* The first n sums of all images. */
static void add_images(const struct run *r, int64_t n)
{
	double *restrict total = r->total;
	const double *restrict partial = r->partial;
	int64_t images = r->v->N, step = 2 * r->v->O;
	memset(total, 0, (size_t)n * sizeof *total);
	for (int64_t i = 0; i < images; i++, partial += step)
		for (int64_t k = 0; k < n; k++)
			total[k] += partial[k];
}

static rein_status run_backward(struct rein_exec *e, struct kernel *kernel)
{
	struct block_kernel *k = kernel->data;
	const struct block *b = &k->b;
	struct run r;
	begin(&r, e, k, true);
	const struct nhwc *v = r.v;
	float *dgamma = at(e, b, BLOCK_BN_DX, 1), *dbeta = at(e, b, BLOCK_BN_DX, 2), *bias = at(e, b, BLOCK_SUM, 0);
	double count = (double)v->N * (double)(v->Ho * v->Wo);
	r.a = e->mem[e->program->instr[b->at[BLOCK_BN_DX]].in[0]];
	r.g = e->mem[block_gradient(e->program, b)];
	r.dx = at(e, b, BLOCK_BN_DX, 0);
	r.mask = b->at[BLOCK_POOL] >= 0 ? NULL : at(e, b, BLOCK_LE, 0);
	r.index = at(e, b, BLOCK_POOL, 1);
	for (int64_t c = 0; c < v->O; c++)
		r.par[c / LANES * LANES * 4 + c % LANES] = of_channel(e, b, BLOCK_BN_DX, 2, c);
	pool_run(pool_for(e, v), (int)v->N, backward_first, &r);
	add_images(&r, 2 * v->O);
	for (int64_t c = 0; c < v->O; c++) {
		float *par = r.par + c / LANES * LANES * 4 + c % LANES, over = of_channel(e, b, BLOCK_BN_DX, 3, c);
		double sum = r.total[c], product = r.total[v->O + c];
		par[LANES] = of_channel(e, b, BLOCK_BN_DX, 1, c) * over;
		par[2 * LANES] = (float)(sum / count);
		par[3 * LANES] = (float)((double)over * (double)over * product / count);
		if (dgamma)
			dgamma[c] = (float)(product * (double)over);
		if (dbeta)
			dbeta[c] = (float)sum;
	}
	if (!r.dx)
		return REIN_OK;
	pool_run(pool_for(e, v), (int)v->N, backward_second, &r);
	add_images(&r, v->O);
	for (int64_t c = 0; c < v->O && bias; c++)
		bias[c] = (float)r.total[c];
	return REIN_OK;
}

/* --- compile -------------------------------------------------------------------------------------------- */
static void destroy(struct kernel *kernel)
{
	struct block_kernel *k = kernel->data;
	k->host->free(k->host, k);
}

rein_status block_compile(struct rein_exec *e, const struct block *b, bool backward, struct kernel *out)
{
	const struct rein_host *host = e->cpu->host;
	struct block_kernel *k = host->alloc(host, sizeof *k);
	struct layout l;
	if (!k)
		return REIN_ERROR;
	int32_t part = b->at[backward ? BLOCK_BN_DX : BLOCK_BN];
	*k = (struct block_kernel){ host, *b, e->plan->workspace_at[e->plan->kernel[part]],
		                        e->program->instr[b->at[BLOCK_BN]].attr.par[0] };
	plan(&k->b, e->cpu, backward, &l);
	*out =
		(struct kernel){ .run = backward ? run_backward : run_forward, .destroy = destroy, .data = k, .first = part };
	return REIN_OK;
}
