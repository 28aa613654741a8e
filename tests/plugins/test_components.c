/* SPDX-License-Identifier: MIT
 *
 * test_components.c: components one at a time, outside of a training: those that draw, with the
 * draws fed, against their formulas; early stopping against scripted numbers. What a whole
 * training must give is tests/golden's.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "program.h"
#include "rng.h"

/* --- a bench: a recorder, its store, the cpu ------------------------------------------------ */
struct bench {
	struct diag *diag;
	struct registry *registry;
	struct host_env env;
	struct spec spec[8];
	struct arg arg[8][8];
	struct instance *made[8];
	int n_made;
	struct instance *backend;
	struct store *store;
	struct recorder *recorder;
	struct rein_rec *r;
	struct compiled *program;
	char line[256]; /* last message */
};

static void on_log(void *ctx, uint32_t level, const char *line)
{
	struct bench *b = ctx;
	snprintf(b->line, sizeof b->line, "%s", line);
}

/* make(b, REIN_LAYER, "dropout", "p", "0.3", NULL) */
static struct instance *make(struct bench *b, uint32_t kind, const char *component, ...)
{
	int i = b->n_made++, n = 0;
	va_list ap;
	va_start(ap, component);
	for (const char *key; (key = va_arg(ap, const char *)); n++)
		b->arg[i][n] = (struct arg){ .key = key, .value = va_arg(ap, const char *) };
	va_end(ap);
	b->spec[i] = (struct spec){
		.section = kind_section(kind), .name = component, .component = component, .n_arg = n, .arg = b->arg[i]
	};
	b->made[i] = instance_create(b->registry, kind, &b->spec[i], &b->env, NULL, NULL, b->diag);
	diag_flush(b->diag, stderr);
	cr_assert(b->made[i], "%s could not be made", component);
	return b->made[i];
}

static rein_val knob(void *ctx, struct recorder *rec, const struct instance *who, const char *key, double now)
{
	return rein_scalar(recorder_rec(rec), now);
}

/* Step 3 of the run. */
static rein_val per_step(void *ctx, struct recorder *rec, const struct instance *who,
                         double (*f)(const void *, int64_t), const void *self)
{
	return rein_scalar(recorder_rec(rec), f(self, 3));
}

static void begin(struct bench *b, bool feed)
{
	static const struct recorder_env env = { .knob = knob, .per_step = per_step };
	memset(b, 0, sizeof *b);
	b->diag = diag_create();
	b->registry = registry_create(0, NULL);
	b->env = (struct host_env){ .seed = 1, .config_dir = ".", .diag = b->diag, .log = on_log, .log_ctx = b };
	b->backend = make(b, REIN_BACKEND, "cpu", NULL);
	struct rein_backend_options o = { .struct_size = sizeof o, .threads = 1, .device = -1 };
	cr_assert(b->backend->component->vt.backend.open(b->backend->self, &b->backend->host, &o) >= 0);
	b->store = store_create(b->backend, 1, RNG_PHILOX);
	struct recorder_options options = { .name = "bench", .real_size = 4, .feed = feed };
	b->recorder = recorder_create(b->store, &env, &options);
	b->r = recorder_rec(b->recorder);
}

/* Compiles what was recorded; states can then be set, then run(). */
static void finish(struct bench *b)
{
	struct program *p = recorder_finish(b->recorder, b->diag);
	diag_flush(b->diag, stderr);
	cr_assert(p, "the recording was refused");
	cr_assert(store_allocate(b->store) >= 0);
	b->program = program_compile(p, b->store, b->backend, 0, b->diag);
	cr_assert(b->program, "the program was not compiled");
}

static void feed(struct bench *b, const char *name, const float *data)
{
	struct state *s = store_find(b->store, name);
	for (int i = 0; !s && i < b->store->n; i++)
		fprintf(stderr, "state %s\n", b->store->state[i]->name);
	cr_assert(s, "there is no state %s", name);
	cr_assert(store_set(b->store, s, data) >= 0);
}

static void output(struct bench *b, uint32_t i, float *out, int64_t n)
{
	cr_assert_eq(compiled_output(b->program, i, out, n * (int64_t)sizeof *out), n * (int64_t)sizeof *out);
}

static void end(struct bench *b)
{
	compiled_destroy(b->program);
	recorder_destroy(b->recorder);
	store_destroy(b->store);
	for (int i = b->n_made; i-- > 0;)
		instance_destroy(b->made[i]);
	registry_destroy(b->registry);
	diag_destroy(b->diag);
}

static rein_val input(struct bench *b, int64_t rows, int64_t cols, const float *data)
{
	int64_t dim[2] = { rows, cols };
	double wide[64];
	for (int64_t i = 0; i < rows * cols; i++)
		wide[i] = (double)data[i];
	return rein_const(b->r, REIN_REAL_T, 2, dim, wide);
}

static rein_val call_layer(struct bench *b, struct instance *layer, rein_val x, uint32_t mode)
{
	struct rein_call call = { sizeof call, mode, 1, 0, &x };
	recorder_enter(b->recorder, layer, NULL);
	rein_val y = layer->component->vt.layer.record(layer->self, b->r, &call);
	recorder_leave(b->recorder);
	return y;
}

static const float X[6] = { 1, -2, 3, 0.5f, -0.25f, 8 };

/* --- layers that draw -------------------------------------------------------------------- */
Test(components, dropout_scales_what_it_keeps)
{
	static const float u[6] = { 0.69f, 0.71f, 0, 0.999f, 0.3f, 0.7f };
	const float keep = 1 / (1 - 0.3f);
	const float want[6] = { 1 * keep, 0, 3 * keep, 0, -0.25f * keep, 0 };
	struct bench b;
	float y[6], g[6], same[6];
	begin(&b, true);
	struct instance *drop = make(&b, REIN_LAYER, "dropout", "p", "0.3", NULL);
	rein_val x = input(&b, 2, 3, X), out = call_layer(&b, drop, x, REIN_TRAIN);
	recorder_output(b.recorder, out);
	recorder_output(b.recorder, rein_grad(b.r, rein_sum(b.r, out), x));
	recorder_output(b.recorder, call_layer(&b, drop, x, REIN_EVAL));
	finish(&b);
	feed(&b, "feed.dropout.mask.0", u);
	cr_assert(compiled_run(b.program, 1) >= 0);
	output(&b, 0, y, 6);
	output(&b, 1, g, 6);
	output(&b, 2, same, 6);
	for (int i = 0; i < 6; i++) {
		cr_expect_float_eq(y[i], want[i], 1e-6f, "y[%d] = %g", i, (double)y[i]);
		cr_expect_float_eq(g[i], u[i] < 0.7f ? keep : 0, 1e-6f, "g[%d] = %g", i, (double)g[i]);
		cr_expect_eq(same[i], X[i]);
	}
	end(&b);
}

Test(components, gaussian_noise_adds_sigma_times_the_draw)
{
	static const float e[6] = { 1, -1, 0.5f, 2, 0, -3 };
	struct bench b;
	float y[6], same[6];
	begin(&b, true);
	struct instance *noise = make(&b, REIN_LAYER, "gaussian_noise", "sigma", "0.2", NULL);
	rein_val x = input(&b, 2, 3, X);
	recorder_output(b.recorder, call_layer(&b, noise, x, REIN_TRAIN));
	recorder_output(b.recorder, call_layer(&b, noise, x, REIN_EVAL));
	finish(&b);
	feed(&b, "feed.gaussian_noise.noise.0", e);
	cr_assert(compiled_run(b.program, 1) >= 0);
	output(&b, 0, y, 6);
	output(&b, 1, same, 6);
	for (int i = 0; i < 6; i++) {
		cr_expect_float_eq(y[i], X[i] + 0.2f * e[i], 1e-6f);
		cr_expect_eq(same[i], X[i]);
	}
	end(&b);
}

/* Shares and moments of the draws themselves, 40 000 of each; bounds are 5 standard errors. */
Test(components, draws_have_the_promised_distribution)
{
	enum { N = 200, D = 200 };
	int64_t dim[2] = { N, D }, n = N;
	struct bench b;
	static float y[N * D], e[N * D];
	double kept = 0, mean = 0, square = 0;
	begin(&b, false);
	struct instance *drop = make(&b, REIN_LAYER, "dropout", "p", "0.3", NULL);
	struct instance *noise = make(&b, REIN_LAYER, "gaussian_noise", "sigma", "0.5", NULL);
	recorder_draw_keys(b.recorder, rein_iota(b.r, 0, 1, &n), rein_scalar_i(b.r, 0), rein_scalar_i(b.r, 0));
	rein_val one = rein_fill(b.r, REIN_REAL_T, 1, 2, dim);
	recorder_output(b.recorder, call_layer(&b, drop, one, REIN_TRAIN));
	recorder_output(b.recorder, call_layer(&b, noise, rein_fill(b.r, REIN_REAL_T, 0, 2, dim), REIN_TRAIN));
	finish(&b);
	cr_assert(compiled_run(b.program, 1) >= 0);
	output(&b, 0, y, N * D);
	output(&b, 1, e, N * D);
	for (int i = 0; i < N * D; i++) {
		kept += y[i] != 0;
		mean += (double)e[i] / (N * D);
		square += (double)e[i] * (double)e[i] / (N * D);
	}
	cr_expect_float_eq(kept / (N * D), 0.7, 5 * sqrt(0.21 / (N * D)), "kept %g", kept / (N * D));
	cr_expect_float_eq(mean, 0, 5 * 0.5 / sqrt(N * D), "mean %g", mean);
	cr_expect_float_eq(square, 0.25, 5 * 0.25 * sqrt(2.0 / (N * D)), "variance %g", square);
	end(&b);
}

/* --- layers of images that draw ------------------------------------------------------------ */
/* A constant (N,C,H,W) of 1, 2, 3 ..., so that every place is seen. */
static rein_val image(struct bench *b, const int64_t dim[4], double *data)
{
	int64_t n = dim[0] * dim[1] * dim[2] * dim[3];
	for (int64_t i = 0; i < n; i++)
		data[i] = (double)(i + 1);
	return rein_const(b->r, REIN_REAL_T, 4, dim, data);
}

/* y and dx of a layer on image(), in training with the draws fed; in evaluation y = x. */
static void run_drawn(struct instance *(*make_it)(struct bench *), const char *stream, const float *draw,
                      const int64_t dim[4], float *y, float *g)
{
	static double data[4096];
	static float same[4096];
	struct bench b;
	int64_t n = dim[0] * dim[1] * dim[2] * dim[3];
	cr_assert_leq(n, 4096);
	begin(&b, true);
	struct instance *layer = make_it(&b);
	rein_val x = image(&b, dim, data), out = call_layer(&b, layer, x, REIN_TRAIN);
	recorder_output(b.recorder, out);
	recorder_output(b.recorder, rein_grad(b.r, rein_sum(b.r, out), x));
	recorder_output(b.recorder, call_layer(&b, layer, x, REIN_EVAL));
	finish(&b);
	feed(&b, stream, draw);
	cr_assert(compiled_run(b.program, 1) >= 0);
	output(&b, 0, y, n);
	output(&b, 1, g, n);
	output(&b, 2, same, n);
	for (int64_t i = 0; i < n; i++) {
		cr_expect_float_eq(y[i], (float)data[i] * g[i], 1e-5f * (float)data[i]);
		cr_expect_eq(same[i], (float)data[i]);
	}
	end(&b);
}

static struct instance *dropout2d(struct bench *b) { return make(b, REIN_LAYER, "dropout2d", "p", "0.3", NULL); }

Test(components, dropout2d_drops_whole_channels)
{
	static const float u[6] = { 0.69f, 0.71f, 0, 0.999f, 0.3f, 0.7f };
	static const int64_t dim[4] = { 2, 3, 2, 3 };
	float y[36], g[36];
	run_drawn(dropout2d, "feed.dropout2d.mask.0", u, dim, y, g);
	for (int i = 0; i < 36; i++)
		cr_expect_float_eq(g[i], u[i / 6] < 0.7f ? 1 / 0.7f : 0, 1e-6f, "g[%d] = %g", i, (double)g[i]);
}

static struct instance *depth_row(struct bench *b)
{
	return make(b, REIN_LAYER, "stochastic_depth", "p", "0.25", NULL);
}
static struct instance *depth_batch(struct bench *b)
{
	return make(b, REIN_LAYER, "stochastic_depth", "p", "0.25", "mode", "batch", NULL);
}

Test(components, stochastic_depth_drops_samples_or_the_batch)
{
	static const float u[3] = { 0.76f, 0.74f, 0.1f };
	static const int64_t dim[4] = { 3, 2, 1, 2 };
	float y[12], g[12];
	run_drawn(depth_row, "feed.stochastic_depth.mask.0", u, dim, y, g);
	for (int i = 0; i < 12; i++)
		cr_expect_float_eq(g[i], i < 4 ? 0 : 1 / 0.75f, 1e-6f, "g[%d] = %g", i, (double)g[i]);
	for (int k = 0; k < 2; k++) {
		run_drawn(depth_batch, "feed.stochastic_depth.mask.0", u + k, dim, y, g);
		for (int i = 0; i < 12; i++)
			cr_expect_float_eq(g[i], k == 0 ? 0 : 1 / 0.75f, 1e-6f);
	}
}

static char block_side[16];
static struct instance *dropblock(struct bench *b)
{
	return make(b, REIN_LAYER, "dropblock", "p", "0.2", "block", block_side, NULL);
}

/* Formula R12 the slow way: every corner drawn below gamma clears its square. */
static void blocks(int k, const int64_t dim[4])
{
	static float u[4096], y[4096], g[4096], keep[4096];
	int64_t n = dim[0] * dim[1], h = dim[2], w = dim[3], s = k < h ? k : h;
	s = s < w ? s : w;
	int64_t ch = h - s + 1, cw = w - s + 1, dropped = 0;
	double gamma = 0.2 * (double)(h * w) / (double)(s * s * ch * cw);
	for (int64_t i = 0; i < n * h * w; i++)
		keep[i] = 1;
	for (int64_t i = 0; i < n * ch * cw; i++) {
		u[i] = (float)((i * 7919 + 13) % 1009) / 1009;
		for (int64_t a = 0; (double)u[i] < gamma && a < s * s; a++)
			keep[(i / (ch * cw) * h + i / cw % ch + a / s) * w + i % cw + a % s] = 0;
	}
	for (int64_t i = 0; i < n * h * w; i++)
		dropped += keep[i] == 0;
	cr_assert(dropped > 0 && dropped < n * h * w, "k = %d: %d dropped", k, (int)dropped);
	snprintf(block_side, sizeof block_side, "%d", k);
	run_drawn(dropblock, "feed.dropblock.corner.0", u, dim, y, g);
	double scale = (double)(n * h * w) / (double)(n * h * w - dropped);
	for (int64_t i = 0; i < n * h * w; i++)
		cr_expect_float_eq(g[i], (float)(scale * (double)keep[i]), 1e-5f, "k = %d: g[%d] = %g", k, (int)i,
		                   (double)g[i]);
}

Test(components, dropblock_clears_whole_squares)
{
	static const int64_t wide[4] = { 3, 4, 9, 11 }, high[4] = { 2, 3, 12, 5 };
	for (int k = 1; k <= 7; k++) {
		blocks(k, wide);
		blocks(k, high); /* from 5 on the square is as wide as the image */
	}
}

/* --- batch normalization: what golden cases, which train, do not see --------------------------- */
static const float BN[8] = { 1, 10, 2, 20, 4, 40, 9, 90 }; /* (4,2): means 4 40, unbiased variances 12.6667 1266.67 */

/* Runs a program of one call twice and gives the states and the outputs. */
static void batchnorm(uint32_t mode, uint32_t flags, float mean[2], float var[2], int32_t *count, float *y)
{
	static const float mean0[2] = { 0.5f, -1 }, var0[2] = { 4, 9 };
	int64_t dim[2] = { 4, 2 };
	double data[8];
	struct bench b;
	begin(&b, false);
	struct instance *bn = make(&b, REIN_LAYER, "batchnorm", NULL);
	for (int i = 0; i < 8; i++)
		data[i] = (double)BN[i];
	rein_val x = rein_const(b.r, REIN_REAL_T, 2, dim, data);
	struct rein_call call = { sizeof call, mode, 1, flags, &x };
	recorder_enter(b.recorder, bn, NULL);
	recorder_output(b.recorder, bn->component->vt.layer.record(bn->self, b.r, &call));
	recorder_leave(b.recorder);
	finish(&b);
	feed(&b, "batchnorm.running_mean", mean0);
	feed(&b, "batchnorm.running_var", var0);
	cr_assert(compiled_run(b.program, 2) >= 0);
	output(&b, 0, y, 8);
	cr_assert(store_get(b.store, store_find(b.store, "batchnorm.running_mean"), mean) >= 0);
	cr_assert(store_get(b.store, store_find(b.store, "batchnorm.running_var"), var) >= 0);
	cr_assert(store_get(b.store, store_find(b.store, "batchnorm.num_batches_tracked"), count) >= 0);
	end(&b);
}

Test(components, batchnorm_keeps_statistics_by_its_mode)
{
	const double true_var = 38.0 / 3;
	float mean[2], var[2], y[8];
	int32_t count = -1;
	batchnorm(REIN_TRAIN, 0, mean, var, &count, y); /* twice r += 0.1 (new - r) */
	cr_expect_eq(count, 2);
	cr_expect_float_eq(mean[0], 4 + 0.81 * (0.5 - 4), 1e-5);
	cr_expect_float_eq(var[0], true_var + 0.81 * (4 - true_var), 1e-5);
	cr_expect_float_eq(var[1], 100 * true_var + 0.81 * (9 - 100 * true_var), 1e-2);
	cr_expect_float_eq(y[0], (1 - 4) / sqrt(true_var * 0.75 + 1e-5), 1e-5);
	batchnorm(REIN_STATS, 0, mean, var, &count, y); /* the mean of two batches, the past forgotten */
	cr_expect_eq(count, 2);
	cr_expect_float_eq(mean[1], 40, 1e-4);
	cr_expect_float_eq(var[0], true_var, 1e-5);
	batchnorm(REIN_TRAIN, REIN_KEEP_STATE, mean, var, &count, y);
	cr_expect(count == 0 && mean[0] == 0.5f && var[1] == 9);
	cr_expect_float_eq(y[0], (1 - 4) / sqrt(true_var * 0.75 + 1e-5), 1e-5);
	batchnorm(REIN_EVAL, 0, mean, var, &count, y);
	cr_expect(count == 0 && mean[0] == 0.5f && var[1] == 9);
	for (int i = 0; i < 8; i++)
		cr_expect_float_eq(y[i], i % 2 ? ((double)BN[i] + 1) / sqrt(9 + 1e-5) : ((double)BN[i] - 0.5) / sqrt(4 + 1e-5),
		                   1e-4);
}

/* --- regularizers that draw -------------------------------------------------------------- */
static struct rein_tensor tensor_of(rein_val w, rein_val g)
{
	return (struct rein_tensor){
		.struct_size = sizeof(struct rein_tensor), .name = "fc.weight", .w = w, .g = g, .mask = REIN_NONE
	};
}

Test(components, noise_on_weights_and_gradients)
{
	static const float e[6] = { 1, -1, 0.5f, 2, 0, -3 }, u[6] = { 0.1f, 0.9f, 0.3f, 0.5f, 0.74f, 0.76f };
	struct bench b;
	float noisy[6], eval[6], gradient[6], dropped[6];
	begin(&b, true);
	struct instance *wn = make(&b, REIN_REGULARIZER, "weight_noise", "variance", "0.04", NULL);
	struct instance *gn = make(&b, REIN_REGULARIZER, "gradient_noise", "eta", "0.3", "gamma", "0.55", NULL);
	struct instance *dc = make(&b, REIN_REGULARIZER, "dropconnect", "p", "0.25", NULL);
	struct rein_step train = { .struct_size = sizeof train, .mode = REIN_TRAIN }, evaluate = train;
	evaluate.mode = REIN_EVAL;
	rein_val x = input(&b, 2, 3, X);
	struct rein_tensor p = tensor_of(x, x);
	recorder_enter(b.recorder, wn, p.name);
	recorder_output(b.recorder, wn->component->vt.regularizer.param(wn->self, b.r, &train, &p));
	recorder_output(b.recorder, wn->component->vt.regularizer.param(wn->self, b.r, &evaluate, &p));
	recorder_leave(b.recorder);
	recorder_enter(b.recorder, gn, p.name);
	recorder_output(b.recorder, gn->component->vt.regularizer.gradient(gn->self, b.r, &train, &p));
	recorder_leave(b.recorder);
	recorder_enter(b.recorder, dc, p.name);
	recorder_output(b.recorder, dc->component->vt.regularizer.param(dc->self, b.r, &train, &p));
	recorder_leave(b.recorder);
	finish(&b);
	feed(&b, "feed.weight_noise.fc.weight.noise.0", e);
	feed(&b, "feed.gradient_noise.fc.weight.noise.0", e);
	feed(&b, "feed.dropconnect.fc.weight.mask.0", u);
	cr_assert(compiled_run(b.program, 1) >= 0);
	output(&b, 0, noisy, 6);
	output(&b, 1, eval, 6);
	output(&b, 2, gradient, 6);
	output(&b, 3, dropped, 6);
	const float sigma = (float)sqrt(0.3 / pow(1 + 3, 0.55)); /* at step 3, see per_step */
	for (int i = 0; i < 6; i++) {
		cr_expect_float_eq(noisy[i], X[i] + 0.2f * e[i], 1e-6f);
		cr_expect_eq(eval[i], X[i]);
		cr_expect_float_eq(gradient[i], X[i] + sigma * e[i], 1e-6f);
		cr_expect_float_eq(dropped[i], u[i] < 0.75f ? X[i] / 0.75f : 0, 1e-6f);
	}
	end(&b);
}

/* --- early stopping ------------------------------------------------------------------------ */
static double scripted;
static double get(const struct rein_metrics *m, const char *name) { return strcmp(name, "val.loss") ? NAN : scripted; }

/* Feeds one value per epoch; the answers as letters: k keep, s stop, r restore, . go on. */
static void play(const char *expect, int n, const double *value, int64_t epochs, const char *key, const char *v,
                 const char *key2, const char *v2)
{
	char have[64] = "";
	struct bench b;
	begin(&b, false);
	struct instance *stop = key2 ? make(&b, REIN_REGULARIZER, "early_stopping", key, v, key2, v2, "patience", "2", NULL)
	                             : make(&b, REIN_REGULARIZER, "early_stopping", key, v, "patience", "2", NULL);
	void *mem = calloc(1, stop->component->c.mem_size);
	for (int i = 0; i < n; i++) {
		struct rein_metrics m = { .struct_size = sizeof m, .epoch = i + 1, .epochs = epochs, .get = get };
		scripted = value[i];
		uint32_t a = stop->component->vt.regularizer.epoch_end(stop->self, &stop->host, &m, mem);
		strcat(have, a == REIN_GO_ON ? "." : "");
		strcat(have, a & REIN_KEEP_BEST ? "k" : "");
		strcat(have, a & REIN_STOP ? "s" : "");
		strcat(have, a & REIN_RESTORE ? "r" : "");
		if (a & REIN_STOP)
			break;
	}
	cr_expect_str_eq(have, expect, "%s=%s: '%s' instead of '%s'", key, v, have, expect);
	free(mem);
	end(&b);
}

Test(components, early_stopping_answers_by_the_script)
{
	static const double falls[] = { 3, 2, 2.5, 2.4, 2.3, 2.2, 1 }, climbs[] = { 1, 2, 1.5, 1.9, 1.8, 1.7 };
	static const double lost[] = { 3, NAN, 2, 1 }, creeps[] = { 3, 2.95, 2.9, 2.85, 2.8 }, ends[] = { 3, 2, 2.5 };
	play("kk..sr", 7, falls, 100, "rule", "beyond", NULL, NULL);   /* wait 3 > 2 */
	play("kk.sr", 7, falls, 100, "rule", "reached", NULL, NULL);   /* wait 2 >= 2 */
	play("kk...sr", 7, falls, 100, "min_epochs", "6", NULL, NULL); /* decided anew, never latched */
	play("...s", 7, falls, 100, "restore", "last", "mode", "max"); /* the first value is the best */
	play("kk..sr", 6, climbs, 100, "mode", "max", NULL, NULL);     /* epoch 2 is the best */
	play("ksr", 4, lost, 100, "stop_on_nan", "yes", NULL, NULL);
	play("k.kk", 4, lost, 100, "stop_on_nan", "no", NULL, NULL);
	play("k..sr", 5, creeps, 100, "min_delta", "0.5", NULL, NULL); /* never more than 0.5 better */
	play("kkr", 3, ends, 3, "rule", "beyond", NULL, NULL);         /* the stage ends by itself */
	play("s", 4, lost, 100, "monitor", "val.los", NULL, NULL);     /* no such metric */
}
