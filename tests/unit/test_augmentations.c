/* SPDX-License-Identifier: MIT
 *
 * test_augmentations.c: augmentations in a run: which splits they act on (on=), how often (p=),
 * containers, and what is refused. Results of single ones against torchvision: tests/golden.
 */
#include <criterion/criterion.h>
#include <math.h>

#include "trainer_rig.h"

#define HEAD                                                                                                   \
	"[run]\nconfig = 1\nepochs = 3\nbatch = 20\n[data]\ntrain = shapes samples=60 size=8 classes=3\n"          \
	"val = shapes samples=60 size=8 classes=3\n[network]\nflat = flatten\nout = linear units=3\n[loss]\nce = " \
	"cross_entropy\n[optimizer]\nsgd = sgd lr=0.1\n"

/* Loss of the training steps and on val after three epochs with these lines. */
static void losses(const char *lines, double *train, double *val)
{
	char text[2048];
	struct metrics m = { 0 };
	struct rig r;
	snprintf(text, sizeof text, "%s%s", HEAD, lines);
	cr_assert(rig_open(&r, text, 2), "%s: %s", lines, r.why);
	cr_assert(rig_run(&r, &m), "%s", r.why);
	*train = metrics_get(&m, "train.loss");
	*val = metrics_get(&m, "val.loss");
	metrics_finish(&m);
	rig_close(&r);
}

static void refused(const char *lines, const char *why)
{
	char text[2048];
	struct rig r;
	snprintf(text, sizeof text, "%s%s", HEAD, lines);
	cr_expect_not(rig_open(&r, text, 1), "%s: was taken", lines);
	cr_expect(strstr(r.why, why), "%s: %s", lines, r.why);
	rig_close(&r);
}

Test(augmentations, act_on_the_splits_asked_for)
{
	double plain[2], train[2], val[2], both[2], every[2], transform[2];
	losses("", &plain[0], &plain[1]);
	losses("[augmentations]\na = invert p=1\n", &train[0], &train[1]);
	losses("[augmentations]\na = invert p=1 on=val\n", &val[0], &val[1]);
	losses("[augmentations]\na = invert p=1 on=tr*,val\n", &both[0], &both[1]);
	losses("[augmentations]\na = invert p=1 on=*\n", &every[0], &every[1]);
	losses("[transforms]\na = invert p=1\n", &transform[0], &transform[1]);
	cr_expect_eq(val[0], plain[0], "on=val changed the training");
	cr_expect_neq(val[1], plain[1]);
	cr_expect_neq(train[0], plain[0]);
	cr_expect_eq(both[0], train[0]);
	cr_expect_neq(both[1], train[1]);
	cr_expect(every[0] == both[0] && every[1] == both[1]);
	cr_expect(transform[0] == both[0] && transform[1] == both[1]);
}

Test(augmentations, p_of_nothing_and_of_everything)
{
	double plain[2], none[2], all[2], certain[2];
	losses("", &plain[0], &plain[1]);
	losses("[augmentations]\na = invert p=0\n", &none[0], &none[1]);
	losses("[augmentations]\na = solarize threshold=0 p=1\n", &all[0], &all[1]);
	losses("[augmentations]\na = invert p=1\n", &certain[0], &certain[1]);
	cr_expect(none[0] == plain[0] && none[1] == plain[1]);
	cr_expect(all[0] == certain[0] && all[1] == certain[1]);
}

/* The training data read without augmentation, while training they are changed. */
Test(augmentations, the_training_split_is_evaluated_as_it_is)
{
	struct metrics a = { 0 }, b = { 0 };
	struct rig plain, augmented;
	cr_assert(rig_open(&plain, HEAD "[stages]\nfit = train epochs=0\n", 1), "%s", plain.why);
	cr_assert(rig_open(&augmented, HEAD "[augmentations]\na = invert p=1\n[stages]\nfit = train epochs=0\n", 1));
	cr_assert(trainer_evaluate(plain.t, "train", &a, plain.diag) >= 0);
	cr_assert(trainer_evaluate(augmented.t, "train", &b, augmented.diag) >= 0);
	cr_expect_eq(metrics_get(&a, "train.loss"), metrics_get(&b, "train.loss"));
	metrics_finish(&a);
	metrics_finish(&b);
	rig_close(&plain);
	rig_close(&augmented);
}

Test(augmentations, containers_apply_what_they_name_and_nothing_else_does)
{
	double alone[2], one[2], shuffled[2], nested[2], half[2], twice[2], plain[2];
	losses("", &plain[0], &plain[1]);
	losses("[augmentations]\na = invert p=1\n", &alone[0], &alone[1]);
	losses("[augmentations]\na = invert p=1\nc = one_of of=a\n", &one[0], &one[1]);
	losses("[augmentations]\na = invert p=1\nc = shuffle of=a\n", &shuffled[0], &shuffled[1]);
	losses("[augmentations]\na = invert p=1\nc = one_of of=a\nd = shuffle of=c\n", &nested[0], &nested[1]);
	cr_expect_eq(one[0], alone[0]);
	cr_expect_eq(shuffled[0], alone[0]);
	cr_expect_eq(nested[0], alone[0]);
	/* a choice between a change and none is neither */
	losses("[augmentations]\na = invert p=1\nb = invert p=0\nc = one_of of=a,b\n", &half[0], &half[1]);
	cr_expect(half[0] != alone[0] && half[0] != plain[0]);
	losses("[augmentations]\na = invert p=1\nb = invert p=0\nc = one_of of=a,b weights=1,0\n", &half[0], &half[1]);
	cr_expect_eq(half[0], alone[0]);
	/* two negatives, in whatever order */
	losses("[augmentations]\na = invert p=1\nb = solarize threshold=0 p=1\nc = shuffle of=a,b\n", &twice[0], &twice[1]);
	cr_expect_float_eq(twice[0], plain[0], 1e-5);
}

Test(augmentations, soft_targets_and_classes_are_chosen_between)
{
	double mixed[2], plain[2];
	losses("", &plain[0], &plain[1]);
	losses("[augmentations]\na = mixup\nb = hflip\nc = one_of of=a,b\n", &mixed[0], &mixed[1]);
	cr_expect_neq(mixed[0], plain[0]);
	losses("[augmentations]\na = mixup p=0.5\nb = cutmix p=0.3 per=sample\n", &mixed[0], &mixed[1]);
	cr_expect_neq(mixed[0], plain[0]);
}

/* The same bits whatever the number of threads, and in another batch size the same losses. */
Test(augmentations, hang_on_no_thread)
{
	const char *text = HEAD "[augmentations]\na = randaugment\nb = random_crop padding=1\nc = gaussian_noise\n";
	struct metrics m = { 0 };
	struct rig one, three;
	cr_assert(rig_open(&one, text, 1), "%s", one.why);
	cr_assert(rig_open(&three, text, 3));
	cr_assert(rig_run(&one, &m) && rig_run(&three, &m));
	cr_expect(rig_same(&one, &three));
	metrics_finish(&m);
	rig_close(&one);
	rig_close(&three);
}

Test(augmentations, what_cannot_be_is_said)
{
	refused("[augmentations]\na = invert p=-0.5\n", "p=-0.5 is outside 0..1");
	refused("[augmentations]\na = invert p=-1\n", "p=-1 is outside 0..1");
	refused("[augmentations]\na = invert p=0.5,0.5\n", "p takes one number");
	refused("[augmentations]\na = invert on=vall\n", "on=vall matches no split; there are: train, val");
	refused("[augmentations]\na = resize size=8\nb = one_of of=a\n", "works on single samples on the host");
	refused("[augmentations]\na = random_crop size=4 p=0.5\nb = invert\n",
	        "with p= below 1 the shape of the samples must stay");
	refused("[augmentations]\na = random_crop size=9\n", "a window of 9 does not fit into 8 pixels with padding 0");
	refused("[augmentations]\na = one_of of=b\nb = one_of of=a\n", "contain each other in a circle");
	refused("[augmentations]\na = one_of of=nobody\nb = invert\n", "no augmentation 'nobody'");
	refused("[augmentations]\na = one_of of=b weights=1,2\nb = invert\n", "weights= has 2 numbers for 1 augmentations");
	refused("[augmentations]\na = randaugment ops=turn\n", "there is no 'turn'");
	refused("[augmentations]\na = rotate degrees=20,10\n", "the smaller number comes first");
	refused("[transforms]\na = normalize mean=0.5 std=0.5 p=0.5\n", "is part of the model");
	refused("[augmentations]\na = blur kernel=4\n", "odd");
	refused("[augmentations]\na = resize size=5\n", "put it in [transforms]");
	refused("[augmentations]\na = random_crop size=6\n", "a crop in [augmentations]?");
}

/* --- remaking samples ------------------------------------------------------------------------- */
/* After `epochs` epochs keep_batch holds the last step's images; each of them, and no other, is
 * what trainer_show makes of some sample in that epoch. */
static void shown_as_trained(const char *lines, const char *run)
{
	enum { N = 60, BATCH = 20, SIZE = 64 };
	struct metrics m = { 0 };
	struct rig trained, fresh;
	char text[2048];
	int found = 0, taken[BATCH] = { 0 };

	snprintf(text, sizeof text, "%s%s[regularizers]\nkeep = keep_batch\n%s", HEAD, lines, run);
	cr_assert(rig_open(&trained, text, 2), "%s", trained.why);
	cr_assert(rig_run(&trained, &m), "%s", trained.why);
	cr_assert(rig_open(&fresh, text, 1));
	float *x = rig_state(&trained, "keep.x");
	cr_assert(x);
	for (int64_t i = 0; i < N; i++) {
		struct shown s;
		cr_assert(trainer_show(fresh.t, "train", i, 3, &s, fresh.diag), "%s", lines);
		cr_assert(s.rank[1] == 3 && s.n_view == 1 && s.label == i % 3);
		for (int k = 0; k < BATCH; k++)
			if (!taken[k] && !memcmp(x + (size_t)k * SIZE, s.after[0], SIZE * sizeof *x)) {
				taken[k] = 1;
				found++;
				break;
			}
		shown_finish(&s);
	}
	cr_expect_eq(found, BATCH, "%s: %d of the last %d images were found", lines, found, BATCH);
	free(x);
	metrics_finish(&m);
	rig_close(&trained);
	rig_close(&fresh);
}

Test(augmentations, any_sample_of_any_epoch_can_be_made_again)
{
	shown_as_trained("[augmentations]\na = randaugment\nb = gaussian_noise\nc = hflip\n", "");
	shown_as_trained("[augmentations]\na = rotate degrees=30\n",
	                 "[stages]\none = train epochs=1\ntwo = train epochs=2\n");
}

/* The partner in a mixture is the batch's of that epoch. */
Test(augmentations, mixtures_can_be_made_again)
{
	const char *text = HEAD "[augmentations]\na = mixup pair=shuffle per=sample\n";
	struct shown s, again;
	struct rig r;
	cr_assert(rig_open(&r, text, 1), "%s", r.why);
	cr_assert(trainer_show(r.t, "train", 7, 2, &s, r.diag));
	cr_expect_eq(s.n_target, 3);
	cr_expect_float_eq(s.target[0] + s.target[1] + s.target[2], 1, 1e-6);
	cr_assert(trainer_show(r.t, "train", 8, 5, &again, r.diag));
	shown_finish(&again);
	cr_assert(trainer_show(r.t, "train", 7, 2, &again, r.diag));
	cr_expect(!memcmp(s.after[0], again.after[0], 64 * sizeof(float)));
	cr_expect_not(trainer_show(r.t, "train", 60, 1, &again, r.diag));
	shown_finish(&s);
	rig_close(&r);
}
