/* SPDX-License-Identifier: MIT
 *
 * test_augment.c: augmentations against torchvision. Every line of augment.ini is recorded with
 * its draws fed from augment.safetensors, and its result held to what make_augment.py got there
 * with the same parameters; a new case needs no line here. Then the draws themselves: they
 * belong to a sample's number and epoch, whatever the batch, and have the distribution asked for.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../support/rig.h"
#include "checkpoint.h"
#include "train.h"

#define CLASSES 3

struct set {
	struct rig *rig;
	struct config_file *file;
	struct config *config;
	struct st_file *want;
	struct rein_model model;
	struct rein_step step;
};

static void set_open(struct set *s, uint32_t flags, const char *ini)
{
	char path[4400], why[512] = "";
	const char *source = getenv("REIN_SOURCE");
	memset(s, 0, sizeof *s);
	cr_assert(source, "REIN_SOURCE is not set");
	s->rig = rig_create(flags, 2, 4);
	snprintf(path, sizeof path, "%s/tests/golden/%s", source, ini ? ini : "augment.ini");
	s->file = config_read(path, s->rig->diag);
	cr_assert(s->file, "cannot read '%s'", path);
	s->config = config_build(s->file, NULL, 0, NULL, s->rig->diag);
	snprintf(path, sizeof path, "%s/tests/golden/augment.safetensors", source);
	s->want = st_open(path, why, sizeof why);
	cr_assert(s->want, "%s", why);
	s->model = (struct rein_model){ .struct_size = sizeof s->model, .classes = CLASSES, .hi = 1 };
	s->step = (struct rein_step){ .struct_size = sizeof s->step, .mode = REIN_TRAIN, .model = &s->model };
}

static void set_close(struct set *s)
{
	st_close(s->want);
	config_file_destroy(s->file);
	rig_destroy(s->rig);
}

static struct instance *make(struct set *s, const struct spec *spec)
{
	struct host_env env = { .seed = 1, .diag = s->rig->diag, .config_dir = "." };
	struct instance *in = instance_create(s->rig->registry, REIN_AUGMENTATION, spec, &env, NULL, NULL, s->rig->diag);
	if (!in)
		rig_report(s->rig, spec->name);
	return in;
}

static const struct st_tensor *tensor(const struct set *s, const char *name, const char *what)
{
	char full[256];
	snprintf(full, sizeof full, "%s.%s", name, what);
	return st_find(s->want, full);
}

/* A state with a float tensor's numbers, as dtype. */
static struct state *given(struct set *s, const char *name, uint32_t dtype, const struct st_tensor *t)
{
	double *v = malloc((size_t)t->bytes / 4 * sizeof *v);
	for (int64_t i = 0; i < t->bytes / 4; i++)
		v[i] = (double)((const float *)t->data)[i];
	struct state *out = rig_state(s->rig, name, dtype, t->rank, t->dim, v);
	free(v);
	return out;
}

static void compare(struct compiled *c, uint32_t output, const struct st_tensor *want, double tolerance,
                    const char *name)
{
	int64_t n = want->bytes / 4, bad = 0;
	double *have = malloc((size_t)n * sizeof *have), worst = 0;
	cr_assert_eq(rig_output(c, output, have, n), n, "%s: another number of values", name);
	for (int64_t i = 0; i < n; i++) {
		double far = fabs(have[i] - (double)((const float *)want->data)[i]);
		bad += !(far <= tolerance);
		worst = far <= worst ? worst : far;
	}
	cr_expect_eq(bad, 0, "%s: %s: %d of %d differ, by up to %g", name, want->name, (int)bad, (int)n, worst);
	free(have);
}

/* Every fed draw has its numbers in the file. */
static void feed(struct set *s)
{
	cr_assert_geq(store_allocate(s->rig->store), 0);
	for (int i = 0; i < s->rig->store->n; i++) {
		struct state *t = s->rig->store->state[i];
		if (strncmp(t->name, "feed.", 5))
			continue;
		const struct st_tensor *v = st_find(s->want, t->name);
		cr_assert(v && v->bytes == (int64_t)state_bytes(s->rig->store, t), "no numbers, or too many, for %s", t->name);
		cr_assert_geq(store_set(s->rig->store, t, v->data), 0);
	}
}

static void run_case(uint32_t flags, int index)
{
	struct set s;
	set_open(&s, flags, NULL);
	const struct spec *spec = config_section(s.config, "augmentations")->spec[index];
	struct instance *in = make(&s, spec);
	bool grey = ((const float *)tensor(&s, spec->name, "x")->data)[0] != 0;
	struct state *x = given(&s, "x", REIN_REAL_T, st_find(s.want, grey ? "grey" : "rgb"));
	struct state *y = given(&s, "y", REIN_I32_T, st_find(s.want, "label"));
	const struct st_tensor *target = tensor(&s, spec->name, "target");
	struct recorder_options o = { .name = spec->name, .real_size = 4, .feed = true };
	struct recorder *r = recorder_create(s.rig->store, NULL, &o);
	struct rein_batch b = { sizeof b, 1, recorder_read(r, x), recorder_read(r, y), REIN_NONE };
	double tolerance = (double)((const float *)tensor(&s, spec->name, "tolerance")->data)[0];

	augment_record(r, in, &s.step, &b);
	recorder_output(r, b.x);
	if (target)
		recorder_output(r, b.y);
	struct program *program = recorder_finish(r, s.rig->diag);
	recorder_destroy(r);
	if (!program)
		rig_report(s.rig, spec->name);
	feed(&s);
	struct compiled *c = rig_compile(s.rig, program);
	rig_run(c);
	compare(c, 0, tensor(&s, spec->name, "y"), tolerance, spec->name);
	if (target)
		compare(c, 1, target, 1e-4, spec->name);
	compiled_destroy(c);
	instance_destroy(in);
	set_close(&s);
}

static void run_all(uint32_t flags)
{
	const char *only = getenv("GOLDEN_CASE");
	struct set s;
	set_open(&s, flags, NULL);
	const struct section *all = config_section(s.config, "augmentations");
	int n = all->n_spec;
	cr_expect_geq(n, 53, "only %d cases", n);
	for (int i = 0; i < n; i++)
		if (!only || strstr(all->spec[i]->name, only))
			run_case(flags, i);
	set_close(&s);
}

Test(augment, agrees_with_torchvision) { run_all(0); }
Test(augment, agrees_with_torchvision_on_the_reference_kernels) { run_all(REIN_NAIVE); }

/* --- draws -------------------------------------------------------------------------------------- */
/* The augmentation on images that are 1 everywhere but for a ramp along the width; numbers of
 * the samples first, first + step, ...; result (n,1,h,w) into out. */
static void drawn(struct set *s, const struct spec *spec, int64_t n, int64_t first, int64_t step, int32_t epoch,
                  int64_t side, double *out)
{
	static int number;
	char name[64];
	int64_t dim[4] = { n, 1, side, side };
	double *x = malloc((size_t)(n * side * side) * sizeof *x), *id = malloc((size_t)n * sizeof *id);
	struct instance *in = make(s, spec);
	struct recorder *r = rig_record(s->rig, spec->name, false);
	for (int64_t i = 0; i < n; i++) {
		id[i] = (double)(first + i * step);
		for (int64_t k = 0; k < side * side; k++)
			x[i * side * side + k] = (double)(k + 1) / (double)(side * side);
	}
	snprintf(name, sizeof name, "x%d", ++number);
	struct state *sx = rig_state(s->rig, name, REIN_REAL_T, 4, dim, x);
	snprintf(name, sizeof name, "id%d", number);
	struct state *si = rig_state(s->rig, name, REIN_I32_T, 1, dim, id);
	struct rein_rec *rec = recorder_rec(r);
	rein_val e = rein_scalar_i(rec, epoch), v = recorder_read(r, si);
	struct rein_batch b = { sizeof b, 1, recorder_read(r, sx), v, v };
	recorder_draw_keys(r, v, rein_scalar_i(rec, 0), e);
	augment_record(r, in, &s->step, &b);
	recorder_output(r, b.x);
	struct compiled *c = rig_compile(s->rig, recorder_finish(r, s->rig->diag));
	recorder_destroy(r);
	rig_run(c);
	cr_assert_eq(rig_output(c, 0, out, n * side * side), n * side * side);
	compiled_destroy(c);
	instance_destroy(in);
	free(x);
	free(id);
}

Test(augment, a_sample_is_the_same_in_any_batch_and_on_any_kernels)
{
	enum { N = 12, SIDE = 20, SIZE = SIDE * SIDE };
	static double all[N * SIZE], odd[N * SIZE], next[N * SIZE];
	struct set s, naive;
	set_open(&s, 0, "draws.ini");
	set_open(&naive, REIN_NAIVE, "draws.ini");
	const struct section *list = config_section(s.config, "augmentations");
	for (int i = 0; i < list->n_spec; i++) {
		int64_t changed = 0;
		if (!strcmp(list->spec[i]->name, "window")) /* smaller than what it was made from */
			continue;
		drawn(&s, list->spec[i], N, 100, 1, 3, SIDE, all);
		drawn(&s, list->spec[i], N / 2, 101, 2, 3, SIDE, odd);
		drawn(&s, list->spec[i], N, 100, 1, 4, SIDE, next);
		for (int64_t k = 0; k < N / 2; k++)
			cr_expect(!memcmp(odd + k * SIZE, all + (2 * k + 1) * SIZE, SIZE * sizeof *all),
			          "%s: sample %d differs in another batch", list->spec[i]->name, (int)(101 + 2 * k));
		for (int64_t k = 0; k < N; k++)
			changed += memcmp(next + k * SIZE, all + k * SIZE, SIZE * sizeof *all) != 0;
		cr_expect_gt(changed, 0, "%s: the next epoch is the same", list->spec[i]->name);
		drawn(&naive, list->spec[i], N, 100, 1, 3, SIDE, next);
		for (int64_t k = 0; k < N * SIZE; k++)
			cr_assert_float_eq(next[k], all[k], 2e-5, "%s: reference kernels differ", list->spec[i]->name);
	}
	set_close(&s);
	set_close(&naive);
}

/* Share of samples whose image is not the ramp. */
static double changed_share(struct set *s, const char *name, int64_t n, int64_t side)
{
	double *out = malloc((size_t)(n * side * side) * sizeof *out);
	int64_t changed = 0;
	drawn(s, config_spec(s->config, "augmentations", name), n, 0, 1, 0, side, out);
	for (int64_t i = 0; i < n; i++) {
		bool same = true;
		for (int64_t k = 0; k < side * side; k++)
			same &= fabs(out[i * side * side + k] - (double)(k + 1) / (double)(side * side)) < 1e-6;
		changed += !same;
	}
	free(out);
	return (double)changed / (double)n;
}

Test(augment, p_is_the_share_of_samples_changed)
{
	struct set s;
	set_open(&s, 0, "draws.ini");
	/* 4000 draws: a standard deviation of at most .008 */
	cr_expect_float_eq(changed_share(&s, "mirror", 4000, 4), 0.5, 0.03);
	cr_expect_float_eq(changed_share(&s, "rare", 4000, 4), 0.1, 0.02);
	cr_expect_float_eq(changed_share(&s, "erase", 4000, 8), 0.5, 0.03);
	set_close(&s);
}

/* One image per sample, of which a pixel's value tells what was drawn. */
static double *values(struct set *s, const char *name, int64_t n, int64_t side)
{
	double *out = malloc((size_t)(n * side * side) * sizeof *out);
	drawn(s, config_spec(s->config, "augmentations", name), n, 0, 1, 0, side, out);
	return out;
}

Test(augment, crops_begin_everywhere_equally_often)
{
	enum { N = 6000, SIDE = 6, OUT = 4, PLACES = 3 };
	int count[PLACES * PLACES] = { 0 };
	struct set s;
	set_open(&s, 0, "draws.ini");
	double *out = malloc((size_t)N * OUT * OUT * sizeof *out);
	const struct spec *spec = config_spec(s.config, "augmentations", "window");
	struct instance *in = make(&s, spec); /* 4 x 4 out of 6 x 6 */
	int64_t dim[4] = { N, 1, SIDE, SIDE }, number[1] = { N };
	double *x = malloc((size_t)N * SIDE * SIDE * sizeof *x), *id = malloc(N * sizeof *id);
	for (int64_t i = 0; i < N * SIDE * SIDE; i++)
		x[i] = (double)(i % (SIDE * SIDE));
	for (int64_t i = 0; i < N; i++)
		id[i] = (double)i;
	struct state *sx = rig_state(s.rig, "x", REIN_REAL_T, 4, dim, x);
	struct state *si = rig_state(s.rig, "id", REIN_I32_T, 1, number, id);
	struct recorder *r = rig_record(s.rig, "window", false);
	struct rein_rec *rec = recorder_rec(r);
	rein_val v = recorder_read(r, si);
	struct rein_batch b = { sizeof b, 1, recorder_read(r, sx), v, v };
	recorder_draw_keys(r, v, rein_scalar_i(rec, 0), rein_scalar_i(rec, 0));
	augment_record(r, in, &s.step, &b);
	recorder_output(r, b.x);
	struct compiled *c = rig_compile(s.rig, recorder_finish(r, s.rig->diag));
	recorder_destroy(r);
	rig_run(c);
	cr_assert_eq(rig_output(c, 0, out, N * OUT * OUT), N * OUT * OUT);
	for (int64_t i = 0; i < N; i++) {
		int64_t at = (int64_t)out[i * OUT * OUT], row = at / SIDE, column = at % SIDE;
		cr_assert(row < PLACES && column < PLACES, "the window lies outside");
		count[row * PLACES + column]++;
	}
	for (int k = 0; k < PLACES * PLACES; k++) /* 667 +- 24 */
		cr_expect(abs(count[k] - N / 9) < 110, "place %d came %d times of %d", k, count[k], N);
	compiled_destroy(c);
	instance_destroy(in);
	free(x);
	free(id);
	free(out);
	set_close(&s);
}

/* Kolmogorov-Smirnov: the largest gap between the share of values below and the wanted one. */
static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}
static double gap(double *v, int64_t n, double (*below)(double))
{
	double worst = 0;
	qsort(v, (size_t)n, sizeof *v, ascending);
	for (int64_t i = 0; i < n; i++)
		worst = fmax(worst, fabs(below(v[i]) - ((double)i + 0.5) / (double)n));
	return worst;
}
static double even(double v) { return (v - 0.5) / 1.0; } /* factor uniform in .5..1.5 */

Test(augment, factors_are_uniform_and_areas_within_their_limits)
{
	enum { N = 4000, SIDE = 8 };
	double factor[N], *out;
	struct set s;
	set_open(&s, 0, "draws.ini");
	out = values(&s, "bright", N, SIDE);
	for (int64_t i = 0; i < N; i++) /* a dark pixel is not clipped */
		factor[i] = out[i * SIDE * SIDE] * SIDE * SIDE;
	cr_expect_lt(gap(factor, N, even), 1.63 / sqrt(N), "brightness is not uniform (1 %% level)");
	free(out);
	out = values(&s, "erase_all", N, SIDE);
	for (int64_t i = 0; i < N; i++) {
		int64_t gone = 0;
		for (int64_t k = 0; k < SIDE * SIDE; k++)
			gone += out[i * SIDE * SIDE + k] == 0;
		/* .1 to .3 of 64 pixels, sides rounded by up to a half */
		cr_assert(gone >= 3 && gone <= 28, "a box of %d pixels", (int)gone);
	}
	free(out);
	set_close(&s);
}
