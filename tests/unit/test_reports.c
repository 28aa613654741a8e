/* SPDX-License-Identifier: MIT
 *
 * test_reports.c: reports held to others: classification and confusion to scikit-learn's text and
 * numbers (tests/golden/make_classified.py), predictions to the accuracy of an evaluation, counts of
 * a distribution to counting by hand.
 */
#include <criterion/criterion.h>
#include <glob.h>
#include <math.h>

#include "table.h"
#include "trainer_rig.h"

/* --- a report on its own ------------------------------------------------------------------ */
/* An experiment of one run that is nothing but its predictions and parameters. */
struct fake {
	struct rein_experiment x;
	struct rein_report_run run;
	struct rein_dataset_info info;
	struct rein_predictions p;
};

static const struct rein_predictions *fake_predictions(const struct rein_experiment *x, uint32_t run, const char *split)
{
	return strcmp(split, "val") ? NULL : &((const struct fake *)(const void *)x)->p;
}
static const char *fake_predicted(const struct rein_experiment *x, uint32_t run, uint32_t i)
{
	return i ? NULL : "val";
}

static void fake_init(struct fake *f)
{
	memset(f, 0, sizeof *f);
	f->run = (struct rein_report_run){ .struct_size = sizeof f->run, .variant = "", .seed = 1 };
	f->info = (struct rein_dataset_info){ .struct_size = sizeof f->info, .target = REIN_TARGET_CLASS };
	f->x = (struct rein_experiment){ .struct_size = sizeof f->x,
		                             .n_run = 1,
		                             .run_size = sizeof f->run,
		                             .run = &f->run,
		                             .info = &f->info,
		                             .predictions = fake_predictions,
		                             .predicted = fake_predicted };
}

/* Runs `spec` on f into *t; what went wrong into why. */
static bool report(const char *spec, const struct fake *f, struct tables *t, char *why, size_t size)
{
	struct rig r = { 0 };
	struct host_env env;

	strcpy(r.path, "/tmp/report-XXXXXX");
	int fd = mkstemp(r.path);
	cr_assert(fd >= 0 && dprintf(fd, "[run]\nconfig = 1\n[reports]\nr = %s\n", spec) > 0);
	close(fd);
	r.diag = diag_create();
	r.registry = registry_create(0, NULL);
	r.file = config_read(r.path, r.diag);
	r.config = config_build(r.file, NULL, 0, NULL, r.diag);
	env = rig_env(&r);
	struct instance *in =
		instance_create(r.registry, REIN_REPORT, config_spec(r.config, "reports", "r"), &env, NULL, NULL, r.diag);
	bool good = in && in->component->vt.report.record(in->self, &in->host, &f->x, &t->collect) >= 0;
	snprintf(why, size, "%s", good || !in ? "" : instance_failure(in));
	instance_destroy(in);
	rig_close(&r);
	return good;
}

static char *printed(const struct tables *t)
{
	char *text = calloc(1, 1 << 20);
	FILE *out = fmemopen(text, (1 << 20) - 1, "w");
	tables_print(t, out, 100000);
	fclose(out);
	return text;
}

/* --- against scikit-learn ------------------------------------------------------------------- */
struct fixture {
	char *text, *at; /* what is left of it */
	int digits, classes;
	char *name[400];
	int64_t n;
	int32_t *label, *guess;
};

static char *next_line(struct fixture *x)
{
	char *line = x->at, *end = strchr(line, '\n');
	cr_assert(end);
	*end = 0;
	x->at = end + 1;
	return line;
}

static int32_t *numbers(char *line, int64_t *n)
{
	int32_t *list = malloc((strlen(line) / 2 + 1) * sizeof *list);
	*n = 0;
	for (char *end = line; *line; line = end) {
		list[(*n)++] = (int32_t)strtol(line, &end, 10);
		end += *end == ' ';
	}
	return list;
}

static void fixture_read(struct fixture *x, const char *path)
{
	FILE *f = fopen(path, "r");
	int64_t n;
	cr_assert(f);
	memset(x, 0, sizeof *x);
	x->text = x->at = calloc(1, 1 << 20);
	cr_assert(fread(x->text, 1, (1 << 20) - 1, f) > 0);
	fclose(f);
	x->digits = atoi(next_line(x));
	char *names = next_line(x);
	x->label = numbers(next_line(x), &x->n);
	x->guess = numbers(next_line(x), &n);
	cr_assert_eq(n, x->n);
	for (char *save = NULL, *w = strtok_r(names, "\t", &save); w; w = strtok_r(NULL, "\t", &save))
		x->name[x->classes++] = w;
	if (!strcmp(x->name[0], "-")) { /* lines up to the empty one before the averages */
		const char *row = strstr(x->at, "\n\n") + 2;
		for (x->classes = 0; *row != '\n'; row = strchr(row, '\n') + 1)
			x->classes++;
		x->name[0] = NULL;
	}
}

static void fixture_free(struct fixture *x)
{
	free(x->text);
	free(x->label);
	free(x->guess);
}

static void fixture_fake(struct fake *f, const struct fixture *x)
{
	fake_init(f);
	f->info.classes = x->classes;
	f->info.class_names = x->name[0] ? (const char *const *)x->name : NULL;
	f->p = (struct rein_predictions){ sizeof f->p, 0, x->n, x->label, x->guess };
}

/* All but the title, which is rein's own. */
static void classification_is(struct fixture *x, const char *path)
{
	struct tables *t = tables_create();
	struct fake f;
	char spec[64], why[256];

	fixture_fake(&f, x);
	snprintf(spec, sizeof spec, "classification digits=%d", x->digits);
	cr_assert(report(spec, &f, t, why, sizeof why), "%s: %s", path, why);
	char *text = printed(t), *expected = x->at, *counts = strstr(x->at, "counts\n");
	cr_assert(counts);
	char *mine = strchr(text, '\n') + 1;
	cr_expect(strlen(mine) == (size_t)(counts - expected) && !strncmp(mine, expected, strlen(mine)),
	          "%s: rein says\n%s\nand scikit-learn\n%.*s", path, mine, (int)(counts - expected), expected);
	x->at = counts + strlen("counts\n");
	free(text);
	tables_destroy(t);
}

/* Rows of two tables, counts and shares, as numbers. */
static void confusion_is(struct fixture *x, const char *path)
{
	struct tables *t = tables_create();
	struct fake f;
	char why[256];

	fixture_fake(&f, x);
	cr_assert(report("confusion digits=17", &f, t, why, sizeof why), "%s: %s", path, why);
	char *text = printed(t), *row = text;
	for (int shares = 0; shares < 2; shares++) {
		row = strstr(row, "----\n") + 5;
		for (int i = 0; i < x->classes; i++) {
			char *want = next_line(x);
			row += x->name[0] ? strlen(x->name[i]) : strspn(row, "0123456789");
			for (int k = 0; k < x->classes; k++) {
				double mine = strtod(row, &row), other = strtod(want, &want);
				cr_expect(fabs(mine - other) < 1e-15, "%s: row %d, column %d: %.17g, not %.17g", path, i, k, mine,
				          other);
			}
			row = strchr(row, '\n') + 1;
		}
		if (!shares)
			cr_assert_str_eq(next_line(x), "shares");
	}
	free(text);
	tables_destroy(t);
}

Test(reports, what_scikit_learn_says_digit_for_digit)
{
	char pattern[512];
	glob_t found;
	const char *source = getenv("REIN_SOURCE");
	snprintf(pattern, sizeof pattern, "%s/tests/golden/data/classified/*.txt", source ? source : ".");
	cr_assert_eq(glob(pattern, 0, NULL, &found), 0, "no fixtures at %s", pattern);
	cr_expect_geq((int)found.gl_pathc, 54);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		struct fixture x;
		fixture_read(&x, found.gl_pathv[i]);
		classification_is(&x, found.gl_pathv[i]);
		if (x.classes <= 20)
			confusion_is(&x, found.gl_pathv[i]);
		fixture_free(&x);
	}
	globfree(&found);
}

Test(reports, a_split_without_predictions_is_said)
{
	static const char *const spec[] = { "classification split=test", "confusion split=test" };
	for (int i = 0; i < 2; i++) {
		struct tables *t = tables_create();
		struct fake f;
		char why[256];
		fake_init(&f);
		f.info.classes = 2;
		cr_expect_not(report(spec[i], &f, t, why, sizeof why));
		cr_expect_str_eq(why, "split=test: there are predictions for 'val'");
		tables_destroy(t);
	}
}

/* --- predictions are the network's ------------------------------------------------------------- */
/* As many right as evaluation counts, with views and refreshed statistics, and a last batch that is
 * shorter; with one output for two classes too. */
Test(reports, predictions_agree_with_evaluation)
{
	static const char *const text[] = {
		"[run]\nconfig = 1\nepochs = 4\nbatch = 16\neval_batch = 17\n"
		"[data]\ntrain = blobs samples=110 classes=3 features=8 spread=0.6 order=shuffled take=60\n"
		"val = blobs samples=110 classes=3 features=8 spread=0.6 order=shuffled skip=60\n"
		"[network]\nfc1 = linear units=12\nbn = batchnorm\nact = relu\nout = linear units=3\n[loss]\nce = "
		"cross_entropy\n"
		"[optimizer]\nsgd = sgd lr=0.1\n[regularizers]\nmean = swa start=2\n",
		"[run]\nconfig = 1\nepochs = 3\nbatch = 16\neval_batch = 100\n"
		"[data]\ntrain = moons samples=60\nval = moons samples=40 seed=2\n"
		"[network]\nfc1 = linear units=12\nact = relu\nout = linear units=1\n[loss]\nbce = bce\n"
		"[optimizer]\nsgd = sgd lr=0.1\n[regularizers]\nmean = ema decay=0.5\n",
	};
	for (int i = 0; i < 2; i++) {
		struct rig r;
		struct metrics m = { 0 };
		cr_assert(rig_open(&r, text[i], 1), "%s", r.why);
		cr_assert(rig_run(&r, &m), "%s", r.why);
		const struct split *s = data_split(trainer_data(r.t), "val");
		int32_t guess[64];
		int64_t right = 0;
		cr_assert_eq(trainer_predict(r.t, "val", guess, r.diag), REIN_OK);
		for (int64_t k = 0; k < s->n; k++)
			right += guess[k] == ((const int32_t *)s->y)[k];
		cr_expect_eq((double)right / (double)s->n, metrics_get(&m, "val.accuracy"));
		cr_expect(right > s->n / 2 && right < s->n, "%d of %d right tests nothing", (int)right, (int)s->n);
		metrics_finish(&m);
		rig_close(&r);
	}
}

/* --- distribution ---------------------------------------------------------------------------------- */
Test(reports, distribution_counts_at_the_nearest_step)
{
	/* steps at -1, -.5, 0, .5, 1: halfway goes down */
	static const float w[] = { -1, -0.76f, -0.75f, -0.74f, 0.2f, 0.25f, 0.26f, 0.8f, 1, 0 };
	static const char *const name[] = { "fc.weight" };
	const int64_t size[] = { 10 };
	const float *const param[] = { w };
	struct tables *t = tables_create();
	struct fake f;
	char why[256];

	fake_init(&f);
	f.run.n_param = 1;
	f.run.param_name = name;
	f.run.param_size = size;
	f.run.param = param;
	cr_assert(report("distribution steps=5 threshold=0.25 parameter=fc.weight", &f, t, why, sizeof why), "%s", why);
	char *text = printed(t);
	cr_expect(strstr(text, "fc.weight      10  -1.000000  1.000000      0.2000"), "%s", text);
	cr_expect(strstr(text, "  -1.000000         3        1        3        1        2\n"), "%s", text);
	free(text);
	tables_destroy(t);
	t = tables_create();
	cr_expect_not(report("distribution parameter=fc.weight,fc.bias", &f, t, why, sizeof why));
	cr_expect_str_eq(why, "there is no parameter 'fc.bias'; its names are in the table");
	tables_destroy(t);
}
