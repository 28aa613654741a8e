/* SPDX-License-Identifier: MIT
 *
 * certify.c: a certify stage: the network smoothed by Gaussian noise (Cohen et al. 2019)
 *
 *   smooth = certify sigma=0.25 votes=100 samples=1000 alpha=0.001 split=val limit=200
 *
 * For each sample `votes` noisy copies elect a class, `samples` others are counted for it; the
 * one-sided lower bound p of Clopper and Pearson at level alpha gives the radius sigma
 * Phi^-1(p) in l2 within which the smoothed answer cannot change, or it abstains (p < 1/2).
 *
 *   <stage>.accuracy          right, with a radius above 0
 *   <stage>.abstains          share without an answer
 *   <stage>.radius            mean radius of the right ones
 *   <stage>.certified@<r>     right with a radius of at least r = 0.5, 1, 1.5, 2, 3 sigma
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "certify.h"
#include "rein/math.h"
#include "train.h"

struct certify {
	double sigma, alpha;
	int64_t votes, samples, n, batch;
	struct state *id, *counts; /* counts (batch, 2 classes): votes, then those that count */
	struct compiled *program;
};

static const struct certify defaults = { .sigma = 0.25, .alpha = 0.001, .votes = 100, .samples = 1000 };

/* --- keys ---------------------------------------------------------------------------------- */
void certify_key(struct trainer *t, struct stage *s, const struct arg *a)
{
	if (!s->certify) {
		s->certify = zalloc(1, sizeof *s->certify);
		*s->certify = defaults;
	}
	struct certify *c = s->certify;
	bool count = strcmp(a->key, "votes") == 0 || strcmp(a->key, "samples") == 0, good;
	if (count) {
		int64_t *v = a->key[0] == 'v' ? &c->votes : &c->samples;
		good = parse_int(a->value, v) && *v >= 1 && *v <= 10000000;
	} else {
		double *v = a->key[0] == 's' ? &c->sigma : &c->alpha;
		good = parse_real(a->value, v) && *v > 0 && (v == &c->sigma || *v < 0.5);
	}
	if (!good)
		diag_error(t->diag, &a->value_at, "[stages] %s: %s=%s is no %s", s->name, a->key, a->value,
		           count              ? "number of noisy copies"
		           : a->key[0] == 's' ? "deviation above 0"
		                              : "probability above 0 and below 1/2");
}

struct certify *certify_again(const struct certify *c)
{
	struct certify *copy = c ? zalloc(1, sizeof *copy) : NULL;

	if (copy)
		*copy = (struct certify){ .sigma = c->sigma, .alpha = c->alpha, .votes = c->votes, .samples = c->samples };
	return copy;
}

void certify_finish(struct stage *s)
{
	if (s->certify)
		compiled_destroy(s->certify->program);
	free(s->certify);
	s->certify = NULL;
}

/* --- the program --------------------------------------------------------------------------- */
struct counting {
	struct pass *p;
	const char *stream;
	double sigma;
	rein_val x;
};

/* carry: how often each class was the answer, (N,K) */
static void count_body(void *ctx, struct rein_rec *r, rein_val i, rein_val *carry)
{
	const struct counting *c = ctx;
	rein_val noise = rein_random_like(r, c->stream, REIN_NORMAL, REIN_PER_SAMPLE, c->x);
	rein_val x = rein_add(r, c->x, rein_scale(r, noise, c->sigma));
	rein_val z = rein_forward(r, &c->p->net->model, x, REIN_EVAL);
	rein_val hot = rein_one_hot(r, rein_argmax(r, z), rein_dim(r, carry[0], 1));

	carry[0] = rein_add(r, carry[0], rein_cast(r, hot, REIN_REAL_T));
}

static struct program *certify_program(struct trainer *t, struct stage *s)
{
	struct certify *c = s->certify;
	int64_t classes = (int64_t)t->net[0]->model.classes, dim[2] = { c->batch, classes };
	struct pass p;
	rein_val part[2];

	pass_begin(&p, t, PASS_EVAL, false, "certify");
	p.quiet = true;
	pass_tensors(&p, p.net);
	pass_batch(&p, portion_find(t, s->split), recorder_read(p.rec, c->id));
	bool view = t->has_view && !t->plain;
	if (view)
		pass_view(&p);
	for (int k = 0; k < 2; k++) {
		struct counting q = { &p, k ? "certify.samples" : "certify.votes", c->sigma, p.batch.x };
		struct rein_loop loop = { sizeof loop, (uint32_t)(k ? c->samples : c->votes), 1, 0, -1, 0 };
		part[k] = rein_fill(p.r, REIN_REAL_T, 0, 2, dim);
		rein_repeat(p.r, &loop, &part[k], count_body, &q);
	}
	if (view)
		pass_unview(&p);
	recorder_assign(p.rec, c->counts, rein_concat(p.r, 2, part, 1), REIN_NONE);
	return pass_end(&p);
}

bool certify_prepare(struct trainer *t, struct stage *s)
{
	int64_t n = portion_find(t, s->split)->split->n, batch = t->env.settings->eval_batch;
	const struct network *net = t->net[0];
	const struct layer *last = net->n ? &net->layer[net->n - 1] : NULL;

	if (t->train->info.target != REIN_TARGET_CLASS || !last || last->rank != 2 ||
	    last->dim[1] != (int64_t)net->model.classes) {
		diag_error(t->diag, &s->spec->at,
		           "[stages] %s: certify needs data with classes, and a network with one output per class", s->name);
		return false;
	}
	if (!s->certify) {
		s->certify = zalloc(1, sizeof *s->certify);
		*s->certify = defaults;
	}
	struct certify *c = s->certify;
	c->n = s->limit > 0 && s->limit < n ? s->limit : n;
	c->batch = batch <= 0 || batch > c->n ? c->n : batch;
	int64_t dim[2] = { c->batch, 2 * (int64_t)net->model.classes };
	if (!c->id) {
		c->id = counter(t, trainer_text(t, "certify.%s.id", s->name), REIN_I32_T, 1, &c->batch, STATE_DATA);
		c->counts = counter(t, trainer_text(t, "certify.%s.counts", s->name), REIN_REAL_T, 2, dim, STATE_DATA);
	}
	compiled_destroy(c->program);
	c->program = build(t, certify_program(t, s));
	return c->program != NULL;
}

/* --- the bound ------------------------------------------------------------------------------- */
/* Continued fraction of the incomplete beta function (modified Lentz). */
static double beta_fraction(double a, double b, double x)
{
	double c = 1, d = 1 - (a + b) * x / (a + 1), h;

	d = fabs(d) < 1e-300 ? 1e-300 : d;
	h = d = 1 / d;
	for (int m = 1; m < 10000; m++) {
		double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
		double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)), step = 1;
		for (int k = 0; k < 2; k++) {
			d = 1 + (k ? odd : even) * d;
			c = 1 + (k ? odd : even) / c;
			d = 1 / (fabs(d) < 1e-300 ? 1e-300 : d);
			c = fabs(c) < 1e-300 ? 1e-300 : c;
			step *= k ? d * c : 1;
			h *= d * c;
		}
		if (fabs(step - 1) < 1e-15)
			break;
	}
	return h;
}

/* Regularized incomplete beta function I_x(a, b). */
static double beta_share(double a, double b, double x)
{
	if (x <= 0 || x >= 1)
		return x > 0;
	double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
	if (x < (a + 1) / (a + b + 2))
		return front * beta_fraction(a, b, x) / a;
	return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

double certify_bound(int64_t k, int64_t n, double alpha)
{
	double low = 0, high = 1;

	if (k == 0)
		return 0;
	for (int i = 0; i < 200; i++) {
		double mid = (low + high) / 2;
		*(beta_share((double)k, (double)(n - k + 1), mid) < alpha ? &low : &high) = mid;
	}
	return low;
}

double certify_quantile(double p)
{
	double low = -40, high = 40;

	for (int i = 0; i < 200; i++) {
		double mid = (low + high) / 2;
		*(0.5 * erfc(-mid / sqrt(2.0)) < p ? &low : &high) = mid;
	}
	return (low + high) / 2;
}

/* --- running ---------------------------------------------------------------------------------- */
static const double radii[] = { 0.5, 1, 1.5, 2, 3 };
#define N_RADIUS ((int)(sizeof radii / sizeof *radii))

struct found {
	double right, abstains, radius, certified[N_RADIUS];
};

static void judge(const struct certify *c, const float *votes, int64_t classes, int32_t label, struct found *f)
{
	int64_t best = 0;

	for (int64_t k = 1; k < classes; k++)
		if (votes[k] > votes[best])
			best = k;
	double p = certify_bound((int64_t)votes[classes + best], c->samples, c->alpha);
	if (p < 0.5) {
		f->abstains++;
		return;
	}
	if (best != label)
		return;
	double radius = c->sigma * certify_quantile(p);
	f->right++;
	f->radius += radius;
	for (int i = 0; i < N_RADIUS; i++)
		f->certified[i] += radius >= radii[i] * c->sigma;
}

static bool count(struct trainer *t, struct stage *s, struct found *f)
{
	struct certify *c = s->certify;
	const int32_t *label = portion_find(t, s->split)->split->y;
	int64_t classes = (int64_t)t->net[0]->model.classes;
	const struct tour tour = { NULL, c->n, c->batch, -1, NULL };
	int32_t *id = zalloc((size_t)c->batch, sizeof *id);
	bool wide = t->store->real_size == 8, good = true;
	char *host = zalloc((size_t)c->counts->count, 8);
	float *votes = zalloc((size_t)c->counts->count, sizeof *votes);

	for (int64_t from = 0; good && from < c->n; from += c->batch) {
		for (int64_t i = 0; i < c->batch; i++)
			id[i] = (int32_t)(from + i < c->n ? from + i : c->n - 1);
		good = stream_need(portion_find(t, s->split), &tour, from / c->batch) > 0 &&
		       store_set(t->store, c->id, id) >= 0 && compiled_run(c->program, 1) >= 0 &&
		       store_get(t->store, c->counts, host) >= 0;
		for (int64_t i = 0; i < c->counts->count; i++)
			votes[i] = wide ? (float)((double *)(void *)host)[i] : ((float *)(void *)host)[i];
		for (int64_t i = 0; good && i < c->batch && from + i < c->n; i++)
			judge(c, votes + i * 2 * classes, classes, label[from + i], f);
	}
	free(id);
	free(host);
	free(votes);
	return good;
}

bool certify_run(struct trainer *t, struct stage *s, struct metrics *out)
{
	struct certify *c = s->certify;
	struct found f = { 0 };
	double n = (double)c->n;
	char name[96];

	if (!count(t, s, &f))
		return false;
	snprintf(name, sizeof name, "%.60s.accuracy", s->name);
	metrics_set(out, name, f.right / n);
	snprintf(name, sizeof name, "%.60s.abstains", s->name);
	metrics_set(out, name, f.abstains / n);
	snprintf(name, sizeof name, "%.60s.radius", s->name);
	if (f.right > 0)
		metrics_set(out, name, f.radius / f.right);
	for (int i = 0; i < N_RADIUS; i++) {
		snprintf(name, sizeof name, "%.60s.certified@%.4g", s->name, radii[i] * c->sigma);
		metrics_set(out, name, f.certified[i] / n);
	}
	t->stage_done = true;
	return true;
}
