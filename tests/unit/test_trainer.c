/* SPDX-License-Identifier: MIT
 *
 * test_trainer.c: whole small runs, and the laws they must keep.
 */
#include <criterion/criterion.h>
#include <math.h>

#include "trainer_rig.h"

#define BLOBS                                                \
	"[data]\n"                                               \
	"train = blobs samples=90 classes=3 features=4 seed=1\n" \
	"val = blobs samples=30 classes=3 features=4 seed=1\n"
#define MLP "[network]\nfc1 = linear units=16\nact = relu\nout = linear units=3\n[loss]\nce = cross_entropy\n"
#define SGD "[optimizer]\nsgd = sgd lr=0.1 momentum=0.9\n"

#define OPEN(r, text, threads) cr_assert(rig_open(r, text, threads), "%s", (r)->why)

Test(trainer, learns_blobs)
{
	struct rig r;
	struct metrics m = { 0 };

	OPEN(&r, "[run]\nconfig = 1\nepochs = 20\nbatch = 16\n" BLOBS MLP SGD, 1);
	cr_assert(rig_run(&r, &m), "%s", r.why);
	cr_expect_gt(metrics_get(&m, "train.accuracy"), 0.95);
	cr_expect_gt(metrics_get(&m, "val.accuracy"), 0.95);
	cr_expect_lt(metrics_get(&m, "train.loss"), 0.2);
	cr_expect_float_eq(metrics_get(&m, "lr"), 0.1, 1e-15);
	cr_expect_gt(metrics_get(&m, "gradient_norm"), 0);
	double total = 0, part;
	const char *const names[] = { "fc1.weight", "fc1.bias", "out.weight", "out.bias" };
	for (int i = 0; i < 4; i++) {
		char name[64];
		snprintf(name, sizeof name, "norm.%s", names[i]);
		part = metrics_get(&m, name);
		total += part * part;
	}
	cr_expect_float_eq(metrics_get(&m, "norm"), sqrt(total), 1e-9);
	metrics_finish(&m);
	rig_close(&r);
}

Test(trainer, same_bits_twice_and_on_two_threads)
{
	const char *text = "[run]\nconfig = 1\nepochs = 4\nbatch = 16\n" BLOBS
					   "[network]\nfc1 = linear units=64\nact = relu\ndrop = dropout p=0.3\nout = linear units=3\n"
					   "[loss]\nce = cross_entropy\n" SGD "[regularizers]\nlasso = l1 lambda=0.001\n";
	struct rig r[3];
	struct metrics m = { 0 };

	for (int i = 0; i < 3; i++) {
		OPEN(&r[i], text, i == 2 ? 2 : 1);
		cr_assert(rig_run(&r[i], &m), "%s", r[i].why);
	}
	cr_expect(rig_same(&r[0], &r[1]), "two runs");
	cr_expect(rig_same(&r[0], &r[2]), "one and two threads");
	for (int i = 0; i < 3; i++)
		rig_close(&r[i]);
	metrics_finish(&m);
}

/* y = w x + b on one feature: every number can be worked out by hand. */
#define LINE(rows) "[data]\ntrain = noisy_line samples=" #rows " noise=0.5 seed=3\n"
#define ONE        "[network]\nfc = linear units=1 init=constant init_value=0.5 bias_init=zeros\n[loss]\nmse = mse\n"

/* Plain gradient descent in double, in the given order, batch by batch. */
static void descend(const float *x, const float *y, int n, int batch, int epochs, double lr, double *w, double *b)
{
	for (int e = 0; e < epochs; e++)
		for (int i = 0; i < n; i += batch) {
			int m = i + batch < n ? batch : n - i;
			double gw = 0, gb = 0;
			for (int k = i; k < i + m; k++) {
				double d = 2 * (*w * (double)x[k] + *b - (double)y[k]) / m;
				gw += d * (double)x[k];
				gb += d;
			}
			*w -= lr * gw;
			*b -= lr * gb;
		}
}

Test(trainer, remainders)
{
	static const struct {
		const char *batch;
		int n;
	} cases[] = { { "4", 4 }, { "5", 5 }, { "9", 9 }, { "10", 10 }, { "64", 10 }, { "all", 10 }, { "1", 1 } };

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct rig r;
		struct metrics m = { 0 };
		char text[1024];
		double w = 0.5, b = 0;
		snprintf(text, sizeof text, "[run]\nconfig = 1\nepochs = 3\nshuffle = no\nbatch = %s\n%s%s", cases[i].batch,
		         LINE(10) ONE, "[optimizer]\nsgd = sgd lr=0.1\n");
		OPEN(&r, text, 1);
		cr_assert(rig_run(&r, &m), "%s", r.why);
		const struct split *s = data_split(trainer_data(r.t), "train");
		descend(s->x, s->y, 10, cases[i].n, 3, 0.1, &w, &b);
		cr_expect_float_eq(rig_at(&r, "fc.weight", 0), w, 1e-5, "batch %s", cases[i].batch);
		cr_expect_float_eq(rig_at(&r, "fc.bias", 0), b, 1e-5, "batch %s", cases[i].batch);
		metrics_finish(&m);
		rig_close(&r);
	}
}

Test(trainer, loss_is_the_mean_over_samples)
{
	struct rig r;
	struct metrics m = { 0 };
	double sum = 0;

	OPEN(&r, "[run]\nconfig = 1\nepochs = 1\nbatch = 3\n" LINE(10) ONE "[optimizer]\nsgd = sgd lr=0\n", 1);
	cr_assert_eq(rig_next(&r, &m), REIN_OK);
	const struct split *s = data_split(trainer_data(r.t), "train");
	for (int i = 0; i < 10; i++) {
		double d = 0.5 * (double)((float *)s->x)[i] - (double)((float *)s->y)[i];
		sum += d * d;
	}
	cr_expect_float_eq(metrics_get(&m, "train.loss"), sum / 10, 1e-6);
	metrics_finish(&m);
	rig_close(&r);
}

Test(trainer, drop_last_leaves_the_rest_out)
{
	struct rig r;
	struct metrics m = { 0 };
	double w = 0.5, b = 0;

	OPEN(&r,
	     "[run]\nconfig = 1\nepochs = 1\nshuffle = no\ndrop_last = yes\nbatch = 4\n" LINE(10) ONE
	     "[optimizer]\nsgd = sgd lr=0.1\n",
	     1);
	cr_assert(rig_run(&r, &m), "%s", r.why);
	const struct split *s = data_split(trainer_data(r.t), "train");
	descend(s->x, s->y, 8, 4, 1, 0.1, &w, &b);
	cr_expect_float_eq(rig_at(&r, "fc.weight", 0), w, 1e-5);
	metrics_finish(&m);
	rig_close(&r);
}

Test(trainer, groups_and_frozen_layers)
{
	struct rig r;
	struct metrics m = { 0 };

	OPEN(&r,
	     "[run]\nconfig = 1\nepochs = 1\nbatch = all\n" BLOBS
	     "[network]\nfc1 = linear units=4 freeze=yes\nact = tanh\nmid = linear units=4\nout = linear units=3\n"
	     "[loss]\nce = cross_entropy\n"
	     "[optimizer]\nslow = sgd lr=0 on=mid.*\nfast = sgd lr=0.5\n",
	     1);
	float *fc1 = rig_state(&r, "fc1.weight"), *mid = rig_state(&r, "mid.weight"), *out = rig_state(&r, "out.weight");
	struct state *const *list;
	cr_expect_eq(trainer_params(r.t, &list), 4);
	cr_assert(rig_run(&r, &m), "%s", r.why);
	float *a = rig_state(&r, "fc1.weight"), *b = rig_state(&r, "mid.weight"), *c = rig_state(&r, "out.weight");
	cr_expect_arr_eq(fc1, a, 16 * sizeof(float));
	cr_expect_arr_eq(mid, b, 16 * sizeof(float));
	cr_expect_arr_neq(out, c, 12 * sizeof(float));
	cr_expect_float_eq(metrics_get(&m, "lr.fast"), 0.5, 1e-15);
	free(fc1), free(mid), free(out), free(a), free(b), free(c);
	metrics_finish(&m);
	rig_close(&r);
}

/* What on= names of the optimizer trains, and what is left; in any order of the lines. */
Test(trainer, a_parameter_has_one_optimizer)
{
	static const struct {
		const char *optimizers, *why;
	} bad[] = {
		{ "a = sgd lr=0.1\nb = adam\n", "'a' has no on= either" },
		{ "a = sgd lr=0.1 on=fc1.*\nb = adam on=*.weight\nc = adam\n",
		  "on=*.weight: 'a' trains fc1.weight already; a parameter has one optimizer" },
		{ "a = sgd lr=0.1 on=*\nb = adam\n", "there is no parameter left for it" },
		{ "a = sgd lr=0.1 on=fc9.*\nb = adam\n", "on=fc9.* matches no parameter" },
	};
	struct rig r, turned;
	struct metrics m = { 0 };
	char text[1024];

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		snprintf(text, sizeof text, "[run]\nconfig = 1\n" BLOBS MLP "[optimizer]\n%s", bad[i].optimizers);
		cr_expect_not(rig_open(&r, text, 1), "%s", bad[i].optimizers);
		cr_expect(strstr(r.why, bad[i].why), "%s", r.why);
		rig_close(&r);
	}
	OPEN(&r, "[run]\nconfig = 1\n" BLOBS MLP "[optimizer]\nhead = sgd lr=0.5 on=out.*\nbody = sgd lr=0.01\n", 1);
	OPEN(&turned, "[run]\nconfig = 1\n" BLOBS MLP "[optimizer]\nbody = sgd lr=0.01\nhead = sgd lr=0.5 on=out.*\n", 1);
	cr_assert(rig_run(&r, &m) && rig_run(&turned, &m));
	cr_expect_eq(rig_at(&r, "out.weight", 3), rig_at(&turned, "out.weight", 3));
	cr_expect_eq(rig_at(&r, "fc1.weight", 3), rig_at(&turned, "fc1.weight", 3));
	metrics_finish(&m);
	rig_close(&r);
	rig_close(&turned);
}

Test(trainer, untrained_parameters_are_named)
{
	struct rig r;

	cr_assert_not(rig_open(&r, "[run]\nconfig = 1\n" BLOBS MLP "[optimizer]\nsgd = sgd lr=0.1 on=fc1.*\n", 1));
	cr_expect(strstr(r.why, "no optimizer trains these parameters: out.weight, out.bias"), "%s", r.why);
	rig_close(&r);
	cr_assert_not(rig_open(
		&r, "[run]\nconfig = 1\n" BLOBS MLP "[optimizer]\na = sgd lr=0.1 on=fc1.*\nb = sgd lr=0.1 on=uot.*\n", 1));
	cr_expect(strstr(r.why, "on=uot.* matches no parameter"), "%s", r.why);
	cr_expect_not(strstr(r.why, "no optimizer trains"), "that follows from it: %s", r.why);
	rig_close(&r);
}

Test(trainer, patterns_that_match_nothing)
{
	struct rig r;

	cr_assert_not(
		rig_open(&r, "[run]\nconfig = 1\n" BLOBS MLP SGD "[regularizers]\nlasso = l1 lambda=0.1 on=conv*.weight\n", 1));
	cr_expect(strstr(r.why, "on=conv*.weight matches no parameter"), "%s", r.why);
	rig_close(&r);
	cr_assert_not(rig_open(
		&r, "[run]\nconfig = 1\n" BLOBS MLP SGD "[regularizers]\nlasso = l1 lambda=0.1 on=fc1.weight,fc9.weight\n", 1));
	cr_expect(strstr(r.why, "there is no parameter 'fc9.weight'; there are: fc1.weight"), "%s", r.why);
	rig_close(&r);
}

Test(trainer, shapes_that_do_not_fit_name_the_layer)
{
	struct rig r;

	cr_assert_not(rig_open(&r, "[run]\nconfig = 1\n[data]\ntrain = shapes samples=20 size=8 classes=3\n" MLP SGD, 1));
	cr_expect(strstr(r.why, "[network] fc1"), "%s", r.why);
	rig_close(&r);
	cr_assert_not(rig_open(
		&r, "[run]\nconfig = 1\n" BLOBS "[network]\nout = linear units=2\n[loss]\nce = cross_entropy\n" SGD, 1));
	cr_expect(strstr(r.why, "2 outputs for 3 classes"), "%s", r.why);
	rig_close(&r);
}

/* --- schedules ------------------------------------------------------------------------------ */
Test(trainer, schedules_are_exact)
{
	struct rig r;
	struct metrics m = { 0 };
	double w = 0.5, b = 0;

	/* step: lr 0.2, halved after every 2 epochs */
	OPEN(&r,
	     "[run]\nconfig = 1\nepochs = 5\nshuffle = no\nbatch = 5\n" LINE(10) ONE
	     "[optimizer]\nsgd = sgd lr=0.2\n"
	     "[schedules]\ndecay = step by=epoch size=2 gamma=0.5\n",
	     1);
	const struct split *s = data_split(trainer_data(r.t), "train");
	for (int e = 0; e < 5; e++) {
		cr_assert_eq(rig_next(&r, &m), REIN_OK, "%s", r.why);
		double lr = 0.2 * pow(0.5, e / 2);
		descend(s->x, s->y, 10, 5, 1, lr, &w, &b);
		cr_expect_float_eq(metrics_get(&m, "lr"), lr, 1e-15);
		cr_expect_float_eq(rig_at(&r, "fc.weight", 0), w, 1e-5);
	}
	metrics_finish(&m);
	rig_close(&r);
}

Test(trainer, schedules_with_a_bad_target)
{
	struct rig r;

	cr_assert_not(rig_open(
		&r, "[run]\nconfig = 1\n" BLOBS MLP SGD "[schedules]\ndecay = step size=2 for=optimizer.adam.lr\n", 1));
	cr_expect(strstr(r.why, "for=optimizer.adam.lr names no key"), "%s", r.why);
	rig_close(&r);
	cr_assert_not(rig_open(
		&r, "[run]\nconfig = 1\n" BLOBS MLP SGD "[schedules]\ndecay = step size=2 for=optimizer.sgd.nesterov\n", 1));
	cr_expect(strstr(r.why, "'nesterov'"), "%s", r.why);
	rig_close(&r);
}

/* --- early stopping ---------------------------------------------------------------------------- */
Test(trainer, early_stopping_ends_with_the_best_weights)
{
	struct rig r;
	struct metrics m = { 0 };
	double best = HUGE_VAL;
	float weight = 0, last = 0;
	int epochs = 0;

	/* a rate so large that the loss soon grows */
	OPEN(&r,
	     "[run]\nconfig = 1\nepochs = 50\nbatch = all\n[data]\ntrain = noisy_line samples=10 seed=3\n"
	     "val = noisy_line samples=10 seed=4\n" ONE "[optimizer]\nsgd = sgd lr=0.4 momentum=0.9\n"
	     "[regularizers]\nstop = early_stopping monitor=val.loss patience=3\n[stages]\nfit = train\n",
	     1);
	while (rig_next(&r, &m) == REIN_OK) {
		last = rig_at(&r, "fc.weight", 0);
		if (metrics_get(&m, "val.loss") < best) {
			best = metrics_get(&m, "val.loss");
			weight = last;
		}
		epochs++;
	}
	cr_expect_lt(epochs, 50, "it did not stop");
	cr_expect_eq(rig_at(&r, "fc.weight", 0), weight);
	cr_assert_eq(trainer_evaluate(r.t, "val", &m, r.diag), REIN_OK);
	cr_expect_float_eq(metrics_get(&m, "val.loss"), best, 1e-12);
	metrics_finish(&m);
	rig_close(&r);
}

/* --- going on --------------------------------------------------------------------------------------- */
Test(trainer, resumed_is_never_interrupted)
{
	const char *text = "[run]\nconfig = 1\nepochs = 6\nbatch = 16\ntrack = yes\n" BLOBS
					   "[network]\nfc1 = linear units=8\nact = relu\ndrop = dropout p=0.2\nout = linear units=3\n"
					   "[loss]\nce = cross_entropy\n[optimizer]\nadam = adam lr=0.01\n"
					   "[schedules]\ndecay = cosine\n[regularizers]\nmean = ema decay=0.9\n"
					   "stop = early_stopping monitor=val.loss patience=2\n";
	char path[] = "/tmp/rig-ckpt-XXXXXX", why[512];
	struct metrics m = { 0 };
	struct rig a, b;

	close(mkstemp(path));
	OPEN(&a, text, 1);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(rig_next(&a, &m), REIN_OK, "%s", a.why);
	cr_assert(trainer_save(a.t, path, why, sizeof why), "%s", why);
	cr_assert(rig_run(&a, &m), "%s", a.why);
	OPEN(&b, text, 1);
	cr_assert(trainer_load(b.t, path, why, sizeof why), "%s", why);
	cr_expect_eq(trainer_stage(b.t), 0);
	cr_expect_eq(trainer_epoch(b.t), 3);
	cr_assert(rig_run(&b, &m), "%s", b.why);
	cr_expect(rig_same(&a, &b));
	int64_t rows_a, rows_b;
	const float *p = trainer_path(a.t, 0, &rows_a), *q = trainer_path(b.t, 0, &rows_b);
	cr_expect_eq(rows_a, rows_b);
	cr_expect_arr_eq(p, q, (size_t)rows_a * 32 * sizeof *p);
	unlink(path);
	metrics_finish(&m);
	rig_close(&a);
	rig_close(&b);
}

Test(trainer, model_files_are_read_back)
{
	const char *text =
		"[run]\nconfig = 1\nepochs = 3\nbatch = 16\n" BLOBS MLP SGD "[regularizers]\nmean = ema decay=0.9\n";
	char path[] = "/tmp/rig-model-XXXXXX", why[512];
	struct metrics m = { 0 }, again = { 0 };
	struct rig a, b;

	close(mkstemp(path));
	OPEN(&a, text, 1);
	cr_assert(rig_run(&a, &m), "%s", a.why);
	cr_assert(trainer_save_model(a.t, path, why, sizeof why), "%s", why);
	OPEN(&b, text, 1);
	cr_assert(trainer_load_model(b.t, path, why, sizeof why), "%s", why);
	cr_assert_eq(trainer_evaluate(b.t, "val", &again, b.diag), REIN_OK);
	cr_expect_eq(metrics_get(&m, "val.loss"), metrics_get(&again, "val.loss"), "evaluated under the average");
	rig_close(&b);
	/* another shape: the tensor and both shapes are named, nothing is changed */
	OPEN(&b,
	     "[run]\nconfig = 1\n" BLOBS
	     "[network]\nfc1 = linear units=8\nact = relu\nout = linear units=3\n[loss]\nce = cross_entropy\n" SGD,
	     1);
	cr_assert_not(trainer_load_model(b.t, path, why, sizeof why));
	cr_expect(strstr(why, "'fc1.weight'") && strstr(why, "(16, 4)") && strstr(why, "(8, 4)"), "%s", why);
	unlink(path);
	metrics_finish(&m);
	metrics_finish(&again);
	rig_close(&a);
	rig_close(&b);
}

/* --- what is not finite ------------------------------------------------------------------------------------ */
Test(trainer, a_loss_that_is_not_finite_names_the_layer)
{
	struct rig r;
	struct metrics m = { 0 };

	/* batches of 5 of 10: the error grows a million times with each step */
	OPEN(&r,
	     "[run]\nconfig = 1\nepochs = 20\nbatch = 5\n" LINE(
			 10) "[network]\nfc = linear units=3\nact = tanh\nout = linear units=1\n[loss]\nmse = mse\n"
	             "[optimizer]\nsgd = sgd lr=1e6\n",
	     1);
	rein_status status = REIN_OK;
	while (status == REIN_OK)
		status = rig_next(&r, &m);
	cr_assert_lt(status, 0);
	cr_expect(strstr(r.why, "the loss is not finite"), "%s", r.why);
	cr_expect(strstr(r.why, "epoch ") && strstr(r.why, "step "), "%s", r.why);
	cr_expect(strstr(r.why, "[network] out") || strstr(r.why, "[loss] mse"), "%s", r.why);
	cr_expect(isfinite(rig_at(&r, "out.weight", 0)), "weights are those before the step");
	metrics_finish(&m);
	rig_close(&r);
}

/* --- pruning --------------------------------------------------------------------------------------------------- */
Test(trainer, masked_weights_never_come_back)
{
	static const char *const optimizers[] = { "sgd lr=0.05 momentum=0.9 weight_decay=0.01",
		                                      "sgd lr=0.05 momentum=0.9 nesterov=yes", "adam lr=0.01 weight_decay=0.1",
		                                      "adamw lr=0.01" };

	for (size_t i = 0; i < sizeof optimizers / sizeof *optimizers; i++) {
		struct rig r;
		struct metrics m = { 0 };
		char text[1024];
		snprintf(text, sizeof text,
		         "[run]\nconfig = 1\nepochs = 2\nbatch = 16\n%s[optimizer]\no = %s\n"
		         "[pruners]\nsmall = magnitude amount=0.5 on=*.weight\n"
		         "[stages]\nfit = train\ncut = prune with=small\ntune = train epochs=3\n"
		         "again = prune with=small\nmore = train epochs=2\n",
		         BLOBS MLP, optimizers[i]);
		OPEN(&r, text, 1);
		for (int k = 0; k < 3; k++)
			cr_assert_eq(rig_next(&r, &m), REIN_OK, "%s", r.why);
		cr_expect_eq(metrics_get(&m, "nonzero.fc1.weight"), 32);
		cr_expect_eq(metrics_get(&m, "nonzero.out.weight"), 24);
		for (int k = 0; k < 4; k++)
			cr_assert_eq(rig_next(&r, &m), REIN_OK, "%s", r.why);
		cr_expect_eq(metrics_get(&m, "nonzero.fc1.weight"), 16, "half of what was left");
		cr_assert(rig_run(&r, &m), "%s", r.why);
		float *w = rig_state(&r, "fc1.weight");
		int nonzero = 0;
		for (int k = 0; k < 64; k++)
			nonzero += w[k] != 0;
		cr_expect_eq(nonzero, 16, "%s", optimizers[i]);
		free(w);
		metrics_finish(&m);
		rig_close(&r);
	}
}

/* --- stages --------------------------------------------------------------------------------------------------------- */
Test(trainer, stages_that_are_wrong)
{
	static const struct {
		const char *stage, *expected;
	} cases[] = {
		{ "fit = tran", "did you mean 'train'" },  { "fit = train epoch=3", "did you mean 'epochs'" },
		{ "fit = train epochs=x", "epochs=x" },    { "cut = prune with=small", "there is no 'small' in [pruners]" },
		{ "cut = prune", "with=NAME is missing" }, { "end = evaluate split=test", "there is no split 'test'" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct rig r;
		char text[1024];
		snprintf(text, sizeof text, "[run]\nconfig = 1\n%s[stages]\n%s\n", BLOBS MLP SGD, cases[i].stage);
		cr_assert_not(rig_open(&r, text, 1));
		cr_expect(strstr(r.why, cases[i].expected), "%s: %s", cases[i].stage, r.why);
		rig_close(&r);
	}
}

Test(trainer, no_epochs_gives_the_initial_norms)
{
	struct rig r;
	struct metrics m = { 0 };

	OPEN(&r,
	     "[run]\nconfig = 1\nepochs = 0\nrng = torch\nseed = 2021\n"
	     "[data]\ntrain = random shape=20 samples=4 classes=20\n[network]\nfc = linear units=20\n"
	     "[loss]\nce = cross_entropy\n" SGD,
	     1);
	cr_assert_eq(rig_next(&r, &m), REIN_OK, "%s", r.why);
	/* torch.manual_seed(2021); nn.Linear(20, 20): sum p^2 = 7.3283753 */
	double norm = metrics_get(&m, "norm");
	cr_expect_float_eq(norm * norm, 7.3283753, 1e-5);
	metrics_finish(&m);
	rig_close(&r);
}

/* Initial values and the order of samples as PyTorch 2 gives them after manual_seed(7):
 * nn.Linear(3, 1), then three epochs of DataLoader(range(10), shuffle=True). */
Test(trainer, torch_streams)
{
	static const float weight[3] = { 0.04032507538795471f, -0.3477921187877655f, 0.18384182453155518f };
	static const int32_t order[3][10] = { { 1, 3, 5, 2, 8, 9, 6, 7, 4, 0 },
		                                  { 9, 2, 7, 1, 6, 0, 3, 5, 4, 8 },
		                                  { 5, 7, 2, 9, 1, 6, 8, 0, 3, 4 } };
	const char *text = "[run]\nconfig = 1\nepochs = 3\nrng = torch\nseed = 7\nbatch = 4\n"
					   "[data]\ntrain = random shape=3 samples=10 target=real\n"
					   "[network]\nfc = linear units=1\n[loss]\nmse = mse\n[optimizer]\nsgd = sgd lr=0.1\n";
	char path[] = "/tmp/rig-ckpt-XXXXXX", why[512];
	struct metrics m = { 0 };
	int32_t got[10];
	struct rig r;

	close(mkstemp(path));
	OPEN(&r, text, 1);
	for (int i = 0; i < 3; i++)
		cr_expect_eq(rig_at(&r, "fc.weight", i), weight[i]);
	for (int e = 0; e < 3; e++) {
		if (e == 2) { /* the generator goes on where it was */
			rig_close(&r);
			OPEN(&r, text, 1);
			cr_assert(trainer_load(r.t, path, why, sizeof why), "%s", why);
		}
		cr_assert_eq(rig_next(&r, &m), REIN_OK, "%s", r.why);
		cr_assert_geq(store_get(trainer_store(r.t), store_find(trainer_store(r.t), "order"), got), 0);
		cr_expect_arr_eq(got, order[e], sizeof got, "epoch %d", e + 1);
		cr_assert(trainer_save(r.t, path, why, sizeof why), "%s", why);
	}
	unlink(path);
	metrics_finish(&m);
	rig_close(&r);
}

/* Looking less often changes no bit, and the last numbers are of the last epoch alone. */
Test(trainer, log_every_changes_nothing)
{
	static const char *const every[] = { "1", "4" };
	struct metrics m[2] = { { 0 }, { 0 } };
	struct rig r[2];

	for (int i = 0; i < 2; i++) {
		char text[1024];
		snprintf(text, sizeof text, "[run]\nconfig = 1\nepochs = 6\nbatch = 32\nlog_every = %s\n%s", every[i],
		         BLOBS MLP SGD "[regularizers]\nlasso = l1 lambda=0.001\n[stages]\nfit = train\n");
		OPEN(&r[i], text, 1);
		cr_assert(rig_run(&r[i], &m[i]), "%s", r[i].why);
	}
	cr_expect(rig_same(&r[0], &r[1]));
	cr_expect_eq(m[0].n, m[1].n);
	for (int i = 0; i < m[0].n; i++)
		if (strcmp(m[0].m[i].name, "samples_per_s") != 0)
			cr_expect_eq(m[0].m[i].value, metrics_get(&m[1], m[0].m[i].name), "%s", m[0].m[i].name);
	for (int i = 0; i < 2; i++) {
		metrics_finish(&m[i]);
		rig_close(&r[i]);
	}
}
