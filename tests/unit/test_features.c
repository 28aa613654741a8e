/* SPDX-License-Identifier: MIT
 *
 * test_features.c: what frozen layers give for a sample is computed once ([run] cache), and nothing
 * else changes: the same weights and numbers to the bit, with short last batches, streamed
 * samples, weights that come later, samples that join, and after a resume.
 */
#include <criterion/criterion.h>

#include "trainer_rig.h"

#define DATA                                                                                                       \
	"[data]\ntrain = shapes samples=230 size=16 channels=3 classes=3\nval = shapes samples=70 size=16 channels=3 " \
	"classes=3 seed=2\n"
#define CONV                                                                                                       \
	"[network]\nc1 = conv2d filters=8 kernel=3 padding=1 freeze=yes\na1 = relu\np1 = maxpool size=4\nc2 = conv2d " \
	"filters=6 kernel=3 freeze=yes\na2 = relu\nflat = flatten\ndrop = dropout p=0.5\nout = linear units=3\n"
#define LINEAR                                                                                                    \
	"[network]\nflat = flatten\nf1 = linear units=40 freeze=yes\na1 = sigmoid\nf2 = linear units=20 freeze=yes\n" \
	"a2 = tanh\ndrop = dropout p=0.5\nout = linear units=3\n"
#define TAIL "[loss]\nce = cross_entropy\n[optimizer]\nadam = adam lr=0.01\n"

static bool open_as(struct rig *r, const char *cache, const char *run, const char *rest)
{
	char text[4096];
	snprintf(text, sizeof text, "[run]\nconfig = 1\ncache = %s\n%s" DATA TAIL "%s", cache, run, rest);
	return rig_open(r, text, 2);
}

/* What the run keeps, as it says so; "" for nothing. */
static const char *kept(struct rig *r)
{
	static char text[1024];
	FILE *f = fmemopen(text, sizeof text, "w");
	text[0] = 0;
	trainer_print_kept(r->t, f);
	fclose(f);
	return text;
}

static void same_numbers(const struct metrics *a, const struct metrics *b)
{
	cr_expect_eq(a->n, b->n);
	for (int i = 0; i < a->n && i < b->n; i++)
		if (!strstr(a->m[i].name, "per_s") && !strstr(a->m[i].name, "wait_s"))
			cr_expect(a->m[i].value == b->m[i].value || (a->m[i].value != a->m[i].value), "%s: %.17g and %.17g",
			          a->m[i].name, a->m[i].value, b->m[i].value);
}

/* Keeping against computing; `what` is in the list of what is kept. */
static void same(const char *run, const char *rest, const char *what)
{
	struct metrics a = { 0 }, b = { 0 };
	struct rig plain, quick;
	cr_assert(open_as(&plain, "no", run, rest), "%s", plain.why);
	cr_assert(open_as(&quick, "auto", run, rest), "%s", quick.why);
	cr_expect_str_empty(kept(&plain));
	cr_expect(what ? strstr(kept(&quick), what) != NULL : !*kept(&quick), "%s%s: keeps '%s', not %s", run, rest,
	          kept(&quick), what ? what : "nothing");
	cr_assert(rig_run(&plain, &a), "%s", plain.why);
	cr_assert(rig_run(&quick, &b), "%s", quick.why);
	cr_expect(rig_same(&plain, &quick), "%s%s: other weights", run, rest);
	same_numbers(&a, &b);
	metrics_finish(&a);
	metrics_finish(&b);
	rig_close(&plain);
	rig_close(&quick);
}

Test(features, of_convolutions_have_the_same_bits)
{
	same("epochs = 3\nbatch = 32\neval_batch = 40\n", CONV, "flat of 230 samples of 'train'");
	same("epochs = 3\nbatch = 23\neval_batch = 33\nevaluate = train,val\n", CONV, "flat of 70 samples of 'val'");
	same("epochs = 2\nbatch = all\nshuffle = no\n", CONV, "flat of 230");
	same("epochs = 4\nbatch = 64\ndrop_last = yes\nlog_every = 2\n", CONV, "flat of 230");
}

Test(features, of_products_have_the_same_bits)
{
	same("epochs = 3\nbatch = 32\neval_batch = 40\n", LINEAR, "a2 of 230 samples of 'train'");
	same("epochs = 2\nbatch = 15\neval_batch = 70\nevaluate = train,val\n", LINEAR, "a2 of 70 samples of 'val'");
	same("epochs = 2\nbatch = 229\n", LINEAR, "a2 of 230 samples of 'train'");
}

Test(features, of_streamed_samples)
{
	const char *big =
		"[data]\ntrain = shapes samples=230 size=48 channels=3 classes=3\nval = shapes samples=150 size=48 "
		"channels=3 classes=3 seed=2\n";
	struct metrics a = { 0 }, b = { 0 };
	struct rig plain, quick;
	char text[2][2048];
	for (int i = 0; i < 2; i++)
		snprintf(
			text[i], sizeof text[i],
			"[run]\nconfig = 1\nepochs = 3\nbatch = 20\neval_batch = 40\ndata_memory = 1\ncache = %s\n%s" CONV TAIL,
			i ? "yes" : "no", big);
	cr_assert(rig_open(&plain, text[0], 2), "%s", plain.why);
	cr_assert(rig_open(&quick, text[1], 2), "%s", quick.why);
	cr_expect(data_split(trainer_data(quick.t), "train")->streamed);
	cr_expect(strstr(kept(&quick), "230 samples of 'train'") && strstr(kept(&quick), "150 samples of 'val'"));
	cr_assert(rig_run(&plain, &a) && rig_run(&quick, &b), "%s%s", plain.why, quick.why);
	cr_expect(rig_same(&plain, &quick));
	same_numbers(&a, &b);
	metrics_finish(&a);
	metrics_finish(&b);
	rig_close(&plain);
	rig_close(&quick);
}

Test(features, of_a_teacher_that_changes)
{
	const char *teacher = "[network]\nflat = flatten\nfc = linear units=40\nact = relu\nout = linear units=3\n"
						  "[network teacher]\nflat = flatten\nfc = linear units=40\nact = relu\nout = linear units=3\n"
						  "[regularizers]\nd = distill teacher=teacher\n"
						  "[stages]\nfit = train\nkeep = copy to=teacher reset=yes\nagain = train\n";
	same("epochs = 2\nbatch = 50\n", teacher, "of 230 samples of 'train'");
}

Test(features, follow_samples_that_join)
{
	same("epochs = 2\nbatch = 50\n",
	     CONV "[attacks]\nfgsm = fgsm epsilon=0.1\n[stages]\nfit = train\nmore = attack with=fgsm split=train limit=30 "
	          "add=yes\nagain = train\ncheck = evaluate\n",
	     "flat of 230 samples of 'train'");
}

Test(features, are_left_where_they_change_or_do_not_pay)
{
	same("epochs = 2\nbatch = 50\n", CONV "[augmentations]\nflip = hflip\n", "flat of 70 samples of 'val'");
	same("epochs = 1\nbatch = 50\n", CONV, NULL); /* each sample once */
	same("epochs = 2\nbatch = 50\n", "[network]\nflat = flatten\nout = linear units=3\n", NULL);
	same("epochs = 2\nbatch = 50\n",
	     "[network]\nc = conv2d filters=4 kernel=3 freeze=yes\nbn = batchnorm freeze=yes\nflat = flatten\nout = linear "
	     "units=3\n",
	     NULL); /* batch norm of a batch: all that is left is larger than the image */
	struct rig r;
	cr_assert(open_as(&r, "auto", "epochs = 2\nbatch = 50\n", CONV "[augmentations]\nflip = hflip\n"), "%s", r.why);
	cr_expect_not(strstr(kept(&r), "'train'"), "%s", kept(&r));
	rig_close(&r);
}

Test(features, come_again_after_a_resume_and_with_other_weights)
{
	struct metrics m = { 0 };
	struct rig whole, half, rest;
	const char *run = "epochs = 4\nbatch = 40\n";
	char why[512], path[] = "/tmp/features-XXXXXX", model[] = "/tmp/features-XXXXXX";
	close(mkstemp(path));
	close(mkstemp(model));
	cr_assert(open_as(&whole, "auto", run, CONV) && open_as(&half, "auto", run, CONV));
	cr_assert(open_as(&rest, "no", run, CONV));
	for (int i = 0; i < 2; i++)
		cr_assert_eq(rig_next(&half, &m), REIN_OK, "%s", half.why);
	cr_assert(trainer_save(half.t, path, why, sizeof why) && trainer_load(rest.t, path, why, sizeof why), "%s", why);
	cr_assert(rig_run(&whole, &m) && rig_run(&rest, &m) && rig_run(&half, &m));
	cr_expect(rig_same(&whole, &rest));
	cr_expect(rig_same(&whole, &half));
	rig_close(&half);
	/* other frozen weights: what was kept is of the old ones */
	struct metrics a = { 0 }, b = { 0 };
	struct rig other;
	cr_assert(open_as(&other, "no", "seed = 7\nepochs = 2\n", CONV));
	cr_assert(trainer_save_model(other.t, model, why, sizeof why), "%s", why);
	cr_assert(trainer_load_model(whole.t, model, why, sizeof why) &&
	          trainer_load_model(rest.t, model, why, sizeof why));
	cr_assert(trainer_evaluate(whole.t, "val", &a, whole.diag) >= 0 &&
	          trainer_evaluate(rest.t, "val", &b, rest.diag) >= 0);
	cr_expect(metrics_get(&a, "val.loss") == metrics_get(&b, "val.loss"));
	metrics_finish(&a);
	metrics_finish(&b);
	metrics_finish(&m);
	rig_close(&whole);
	rig_close(&rest);
	rig_close(&other);
	unlink(path);
	unlink(model);
}
