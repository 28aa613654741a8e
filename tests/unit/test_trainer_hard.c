/* SPDX-License-Identifier: MIT
 *
 * test_trainer_hard.c: strategies that reach deep into the step, with the small plugins of
 * tests/plugins: attacks inside of terms, second networks, substituted weights, averages that
 * evaluation sees, soft targets, states per sample.
 */
#include <criterion/criterion.h>
#include <math.h>

#include "checkpoint.h"
#include "trainer_rig.h"

#define RUN(epochs) "[run]\nconfig = 1\nepochs = " #epochs "\nbatch = 16\n"
#define BLOBS                                                           \
	"[data]\n"                                                          \
	"train = blobs samples=90 classes=3 features=4 seed=1 spread=0.3\n" \
	"val = blobs samples=30 classes=3 features=4 seed=1 spread=0.3\n"
#define MLP "[network]\nfc1 = linear units=16\nact = relu\nout = linear units=3\n[loss]\nce = cross_entropy\n"
#define SGD "[optimizer]\nsgd = sgd lr=0.1 momentum=0.9\n"

#define OPEN(r, text) cr_assert(rig_open(r, text, 1), "%s", (r)->why)

static void finish(struct rig *r, struct metrics *m) { cr_assert(rig_run(r, m), "%s", r->why); }

/* --- attacks ------------------------------------------------------------------------------ */
Test(trainer_hard, attack_stages_measure_and_touch_nothing)
{
	struct metrics a = { 0 }, b = { 0 };
	struct rig with, without;

	OPEN(&without, RUN(5) BLOBS MLP SGD "[stages]\nfit = train\n");
	finish(&without, &a);
	OPEN(&with, RUN(5) BLOBS MLP SGD
	     "[attacks]\nnone = pgd epsilon=0\nsmall = pgd epsilon=0.1 alpha=0.05 random_start=no\nbig = pgd epsilon=2 "
	     "alpha=0.5\n"
	     "deep = deepfool\n"
	     "[stages]\nfit = train\nr0 = attack with=none\nr1 = attack with=small\nr2 = attack with=big limit=20\n"
	     "r3 = attack with=deep\n");
	finish(&with, &b);
	cr_expect(rig_same(&with, &without));
	double clean = metrics_get(&b, "none.clean_accuracy");
	cr_expect_float_eq(clean, metrics_get(&a, "val.accuracy"), 1e-12);
	cr_expect_eq(metrics_get(&b, "none.robust_accuracy"), clean);
	cr_expect_eq(metrics_get(&b, "none.success"), 0);
	cr_expect_leq(metrics_get(&b, "small.robust_accuracy"), clean);
	cr_expect_leq(metrics_get(&b, "small.max_linf"), 0.1 + 1e-6);
	cr_expect_gt(metrics_get(&b, "small.max_linf"), 0.09);
	cr_expect_gt(metrics_get(&b, "small.adversarial_loss"), metrics_get(&a, "val.loss"));
	cr_expect_lt(metrics_get(&b, "big.robust_accuracy"), 0.5);
	cr_expect_lt(metrics_get(&b, "deep.robust_accuracy"), 0.2);
	cr_expect_gt(metrics_get(&b, "deep.mean_l2"), 0);
	metrics_finish(&a);
	metrics_finish(&b);
	rig_close(&with);
	rig_close(&without);
}

/* An attack sees pixel space: what it may change is measured before normalization. */
Test(trainer_hard, attacks_work_in_pixel_space)
{
	struct metrics m = { 0 };
	struct rig r;

	OPEN(&r, "[run]\nconfig = 1\nepochs = 20\nbatch = 16\n[data]\ntrain = shapes samples=32 size=8 classes=3\n"
	         "[transforms]\nscale = normalize mean=0.5 std=0.01\n"
	         "[network]\nflat = flatten\nout = linear units=3\n[loss]\nce = cross_entropy\n" SGD
	         "[attacks]\nsmall = pgd epsilon=8/255 alpha=4/255\n[stages]\nfit = train\nrobust = attack with=small\n");
	finish(&r, &m);
	cr_expect_leq(metrics_get(&m, "small.max_linf"), 8.0 / 255 + 1e-6);
	cr_expect_gt(metrics_get(&m, "small.max_linf"), 4.0 / 255);
	metrics_finish(&m);
	rig_close(&r);
}

Test(trainer_hard, trades_makes_the_network_robust)
{
	const char *attack =
		"[attacks]\npgd = pgd epsilon=0.3 alpha=0.1\n[stages]\nfit = train\nrobust = attack with=pgd\n";
	struct metrics a = { 0 }, b = { 0 };
	char text[2048];
	struct rig r;

	snprintf(text, sizeof text, "%s%s", RUN(20) BLOBS MLP SGD, attack);
	OPEN(&r, text);
	finish(&r, &a);
	rig_close(&r);
	snprintf(text, sizeof text, "%s[regularizers]\nt = trades attack=pgd beta=6\n%s", RUN(20) BLOBS MLP SGD, attack);
	OPEN(&r, text);
	finish(&r, &b);
	rig_close(&r);
	cr_expect_gt(metrics_get(&b, "t.penalty"), 0);
	cr_expect_lt(metrics_get(&b, "pgd.adversarial_loss"), metrics_get(&a, "pgd.adversarial_loss"));
	metrics_finish(&a);
	metrics_finish(&b);
}

Test(trainer_hard, references_to_nothing)
{
	struct rig r;

	cr_assert_not(rig_open(&r, RUN(1) BLOBS MLP SGD "[regularizers]\nt = trades attack=pdg\n", 1));
	cr_expect(strstr(r.why, "pdg"), "%s", r.why);
	rig_close(&r);
	cr_assert_not(rig_open(&r, RUN(1) BLOBS MLP SGD "[regularizers]\nd = distill teacher=old\n", 1));
	cr_expect(strstr(r.why, "old"), "%s", r.why);
	rig_close(&r);
}

/* --- second networks -------------------------------------------------------------------------- */
Test(trainer_hard, a_teacher_is_not_trained)
{
	char path[] = "/tmp/rig-model-XXXXXX", why[512];
	struct metrics m = { 0 };
	struct rig r;

	close(mkstemp(path));
	OPEN(&r, RUN(2) BLOBS MLP SGD "[network old]\nfc1 = linear units=8\nact = tanh\nout = linear units=3\n"
	                              "[regularizers]\nd = distill teacher=old alpha=0.5\n");
	float *before = rig_state(&r, "old.fc1.weight");
	cr_assert_not_null(before);
	struct state *const *list;
	cr_expect_eq(trainer_params(r.t, &list), 4);
	finish(&r, &m);
	float *after = rig_state(&r, "old.fc1.weight");
	cr_expect_arr_eq(before, after, 32 * sizeof *before);
	cr_expect_gt(metrics_get(&m, "d.penalty"), 0);
	cr_assert(trainer_save_model(r.t, path, why, sizeof why), "%s", why);
	struct st_file *f = st_open(path, why, sizeof why);
	cr_assert_not_null(f, "%s", why);
	cr_expect_not_null(st_find(f, "fc1.weight"));
	cr_expect_null(st_find(f, "old.fc1.weight"));
	st_close(f);
	unlink(path);
	free(before), free(after);
	metrics_finish(&m);
	rig_close(&r);
}

Test(trainer_hard, branches)
{
	struct metrics m = { 0 };
	struct rig r;

	OPEN(&r, RUN(5) BLOBS "[network]\na = linear units=3\nb = linear units=3 input=input\n"
	                      "both = join input=a,b\n[loss]\nce = cross_entropy\n" SGD);
	float *w = rig_state(&r, "b.weight");
	finish(&r, &m);
	float *now = rig_state(&r, "b.weight");
	cr_expect_arr_neq(w, now, 12 * sizeof *w, "both branches train");
	cr_expect_gt(metrics_get(&m, "train.accuracy"), 0.8);
	free(w), free(now);
	metrics_finish(&m);
	rig_close(&r);
	cr_assert_not(rig_open(&r,
	                       RUN(1) BLOBS "[network]\na = linear units=4\nout = linear units=3 input=a,input\n"
	                                    "[loss]\nce = cross_entropy\n" SGD,
	                       1));
	cr_expect(strstr(r.why, "input= names 2 values; layer 'linear' takes 1"), "%s", r.why);
	rig_close(&r);
	cr_assert_not(rig_open(&r,
	                       RUN(1) BLOBS "[network]\na = linear units=4\nout = join input=a,c\n"
	                                    "[loss]\nce = cross_entropy\n" SGD,
	                       1));
	cr_expect(strstr(r.why, "input 'c' is not a layer above this one"), "%s", r.why);
	rig_close(&r);
}

/* --- draws ---------------------------------------------------------------------------------------- */
Test(trainer_hard, two_forward_passes_draw_differently)
{
	static const char *const drops[] = { "0.5", "0" };
	double kl[2];

	for (int i = 0; i < 2; i++) {
		struct metrics m = { 0 };
		char text[1024];
		struct rig r;
		snprintf(text, sizeof text,
		         "%s%s[network]\nfc1 = linear units=16\ndrop = dropout p=%s\nout = linear units=3\n[loss]\n"
		         "ce = cross_entropy\n%s[regularizers]\nrd = rdrop\n",
		         RUN(1), BLOBS, drops[i], SGD);
		OPEN(&r, text);
		finish(&r, &m);
		kl[i] = metrics_get(&m, "rd.kl");
		metrics_finish(&m);
		rig_close(&r);
	}
	cr_expect_gt(kl[0], 1e-3);
	cr_expect_lt(fabs(kl[1]), 1e-6);
}

/* Draws belong to samples: with the rate at 0 nothing depends on how samples are batched. */
Test(trainer_hard, draws_do_not_depend_on_the_batch)
{
	static const char *const batches[] = { "16", "7", "all" };
	double loss[3];

	for (int i = 0; i < 3; i++) {
		struct metrics m = { 0 };
		char text[1024];
		struct rig r;
		snprintf(text, sizeof text,
		         "[run]\nconfig = 1\nepochs = 2\nbatch = %s\n%s[network]\nfc1 = linear units=16\ndrop = dropout p=0.5\n"
		         "out = linear units=3\n[loss]\nce = cross_entropy\n[optimizer]\nsgd = sgd lr=0\n",
		         batches[i], BLOBS);
		OPEN(&r, text);
		finish(&r, &m);
		loss[i] = metrics_get(&m, "train.loss");
		metrics_finish(&m);
		rig_close(&r);
	}
	cr_expect_float_eq(loss[0], loss[1], 1e-6);
	cr_expect_float_eq(loss[0], loss[2], 1e-6);
}

/* --- weights as the forward pass sees them ------------------------------------------------------------ */
Test(trainer_hard, weight_norm_starts_where_the_plain_network_does)
{
	struct metrics a = { 0 }, b = { 0 };
	struct rig plain, normed;

	OPEN(&plain, RUN(1) BLOBS MLP "[optimizer]\nsgd = sgd lr=0\n[stages]\nfit = train\n");
	finish(&plain, &a);
	OPEN(&normed,
	     RUN(1) BLOBS MLP "[optimizer]\nsgd = sgd lr=0\n[regularizers]\nwn = weight_norm\n[stages]\nfit = train\n");
	struct state *const *list;
	cr_expect_eq(trainer_params(normed.t, &list), 6, "a gain for each of two weights");
	finish(&normed, &b);
	cr_expect_float_eq(metrics_get(&a, "val.loss"), metrics_get(&b, "val.loss"), 1e-6);
	metrics_finish(&a);
	metrics_finish(&b);
	rig_close(&plain);
	rig_close(&normed);
}

Test(trainer_hard, scores_that_are_no_numbers_are_refused)
{
	struct metrics m = { 0 };
	struct rig r;

	OPEN(&r, RUN(1) BLOBS MLP "[optimizer]\nsgd = sgd lr=0\n[pruners]\nbad = odd_scores what=nan on=*.weight\n"
	                          "[stages]\ncut = prune with=bad\n");
	cr_expect_neq(rig_next(&r, &m), REIN_OK);
	cr_expect(strstr(r.why, "[pruners] bad: stage 'cut': "), "%s", r.why);
	cr_expect(strstr(r.why, "scores of 'fc1.weight' are not numbers (NaN)"), "%s", r.why);
	metrics_finish(&m);
	rig_close(&r);
}

/* --- what evaluation sees --------------------------------------------------------------------------------- */
Test(trainer_hard, evaluation_sees_the_average)
{
	struct metrics m = { 0 }, n = { 0 };
	struct rig r;
	int64_t rows;

	/* swa from epoch 1: the plain mean of the weights at the ends of 4 epochs */
	OPEN(&r, "[run]\nconfig = 1\nepochs = 4\nbatch = 16\ntrack = yes\n" BLOBS MLP SGD
	         "[regularizers]\nmean = swa start=1\n");
	finish(&r, &m);
	struct state *const *list;
	int n_param = trainer_params(r.t, &list);
	for (int i = 0; i < n_param; i++) {
		const float *path = trainer_path(r.t, i, &rows);
		float *mean = calloc((size_t)list[i]->count, sizeof *mean);
		cr_assert_eq(rows, 5);
		for (int64_t k = 0; k < list[i]->count; k++)
			for (int e = 1; e <= 4; e++)
				mean[k] += path[e * list[i]->count + k] / 4;
		cr_assert_geq(store_set(trainer_store(r.t), list[i], mean), 0);
		char name[64];
		snprintf(name, sizeof name, "mean.%s.count", list[i]->name);
		free(mean);
	}
	/* the same evaluation with the averages switched off: count 0 shows the weights themselves */
	const float zero = 0;
	for (int i = 0; i < trainer_store(r.t)->n; i++) {
		struct state *s = trainer_store(r.t)->state[i];
		if (strncmp(s->name, "mean.", 5) == 0 && s->count == 1 && strstr(s->name, ".count"))
			cr_assert_geq(store_set(trainer_store(r.t), s, &zero), 0);
	}
	cr_assert_eq(trainer_evaluate(r.t, "val", &n, r.diag), REIN_OK);
	cr_expect_float_eq(metrics_get(&n, "val.loss"), metrics_get(&m, "val.loss"), 1e-5);
	metrics_finish(&m);
	metrics_finish(&n);
	rig_close(&r);
}

/* Statistics are found anew under the average, and put back for training. */
Test(trainer_hard, refreshed_statistics)
{
	const char *net = "[network]\nbm = batch_mean\nfc1 = linear units=8\nact = relu\nout = linear units=3\n"
					  "[loss]\nce = cross_entropy\n" SGD;
	char path[] = "/tmp/rig-model-XXXXXX", why[512], text[2048];
	struct metrics m = { 0 };
	struct rig plain, swa;

	close(mkstemp(path));
	snprintf(text, sizeof text, "%s%s", RUN(3) BLOBS, net);
	OPEN(&plain, text);
	finish(&plain, &m);
	snprintf(text, sizeof text, "%s%s[regularizers]\nmean = swa\n", RUN(3) BLOBS, net);
	OPEN(&swa, text);
	finish(&swa, &m);
	cr_assert(trainer_save_model(swa.t, path, why, sizeof why), "%s", why);
	struct st_file *f = st_open(path, why, sizeof why);
	cr_assert_not_null(f, "%s", why);
	const struct st_tensor *raw = st_find(f, "bm.running_mean"), *view = st_find(f, "view.bm.running_mean");
	cr_assert(raw && view);
	cr_expect_not_null(st_find(f, "view.fc1.weight"));
	/* six batches of 16, the last of 10: each mean counts once */
	const struct split *s = data_split(trainer_data(swa.t), "train");
	for (int k = 0; k < 4; k++) {
		double all = 0;
		for (int i = 0; i < 90; i += 16) {
			int n = i + 16 < 90 ? 16 : 90 - i;
			double sum = 0;
			for (int j = i; j < i + n; j++)
				sum += (double)((const float *)s->x)[j * 4 + k];
			all += sum / n / 6;
		}
		cr_expect_float_eq(((const float *)view->data)[k], all, 1e-5);
		cr_expect_eq(((const float *)raw->data)[k], rig_at(&plain, "bm.running_mean", k));
	}
	st_close(f);
	unlink(path);
	metrics_finish(&m);
	rig_close(&plain);
	rig_close(&swa);
}

/* --- samples ----------------------------------------------------------------------------------------------------- */
Test(trainer_hard, soft_targets_train)
{
	struct metrics m = { 0 };
	struct rig r;

	OPEN(&r, RUN(10) BLOBS MLP SGD "[augmentations]\nmix = mixup\n");
	finish(&r, &m);
	cr_expect_gt(metrics_get(&m, "val.accuracy"), 0.8);
	cr_expect_gt(metrics_get(&m, "train.loss"), metrics_get(&m, "val.loss"));
	metrics_finish(&m);
	rig_close(&r);
	cr_assert_not(rig_open(&r, RUN(1) "[data]\ntrain = noisy_line\n" MLP SGD, 1));
	cr_expect(strstr(r.why, "[loss] ce") && strstr(r.why, "targets of 1 real numbers, for 3 outputs"), "%s", r.why);
	rig_close(&r);
}

Test(trainer_hard, a_sample_without_weight_does_not_train)
{
	struct metrics m = { 0 };
	struct rig r;

	OPEN(&r, RUN(30) BLOBS MLP SGD "[regularizers]\nk = known\n");
	finish(&r, &m);
	cr_expect_gt(metrics_get(&m, "k.share"), 0.9);
	unsigned char known[90];
	struct state *s = store_find(trainer_store(r.t), "k.known");
	cr_assert(s && s->count == 90);
	cr_assert_geq(store_get(trainer_store(r.t), s, known), 0);
	int n = 0;
	for (int i = 0; i < 90; i++)
		n += known[i];
	cr_expect_float_eq(n / 90.0, metrics_get(&m, "k.share"), 1e-9);
	metrics_finish(&m);
	rig_close(&r);
}

/* --- all of it at once --------------------------------------------------------------------------------------------- */
Test(trainer_hard, everything_together_resumes)
{
	const char *text =
		RUN(4) BLOBS "[network]\nfc1 = linear units=8\nact = relu\ndrop = dropout p=0.2\nout = linear units=3\n"
					 "[loss]\nce = cross_entropy\n[optimizer]\nadam = adam lr=0.01\n[schedules]\ndecay = cosine\n"
					 "[attacks]\npgd = pgd epsilon=0.1 alpha=0.1 steps=2\n"
					 "[pruners]\nsmall = magnitude amount=0.3 on=*.weight global=yes\n"
					 "[regularizers]\nt = trades attack=pgd\nsam = sam\nrd = rdrop\nsn = spectral_norm on=fc1.weight\n"
					 "dc = dropconnect p=0.1 on=out.weight\nmean = ema decay=0.9\nlasso = l1 lambda=0.001\n"
					 "[stages]\nfit = train\ncut = prune with=small\ntune = train epochs=3\nrobust = attack with=pgd\n";
	char path[] = "/tmp/rig-ckpt-XXXXXX", why[512];
	struct metrics m = { 0 };

	close(mkstemp(path));
	for (int at = 1; at <= 7; at += 2) {
		struct rig a, b;
		OPEN(&a, text);
		for (int i = 0; i < at; i++)
			cr_assert_eq(rig_next(&a, &m), REIN_OK, "%s", a.why);
		cr_assert(trainer_save(a.t, path, why, sizeof why), "%s", why);
		finish(&a, &m);
		OPEN(&b, text);
		cr_assert(trainer_load(b.t, path, why, sizeof why), "%s", why);
		finish(&b, &m);
		cr_expect(rig_same(&a, &b), "after %d pieces of work", at);
		rig_close(&a);
		rig_close(&b);
	}
	unlink(path);
	metrics_finish(&m);
}
