/* SPDX-License-Identifier: MIT
 *
 * test_stream.c: images that do not fit into [run] data_memory are read while they are used, and
 * nothing else changes: the same weights to the bit, in any order of samples, with short last
 * batches and evaluation of both splits.
 */
#include <criterion/criterion.h>

#include "trainer_rig.h"

#define DATA                                                                                             \
	"[data]\ntrain = shapes samples=230 size=48 channels=3 classes=3\nval = shapes samples=150 size=48 " \
	"channels=3 classes=3 seed=2\n"
#define TAIL                                                                                                          \
	"[augmentations]\na = hflip\nb = random_crop padding=4\n[network]\npool = avgpool size=4\nflat = flatten\nout = " \
	"linear units=3\n[loss]\nce = cross_entropy\n[optimizer]\nsgd = sgd lr=0.05\n"

static bool open_with(struct rig *r, const char *run, const char *more)
{
	char text[2048];
	snprintf(text, sizeof text, "[run]\nconfig = 1\nepochs = 3\n%s" DATA TAIL "%s", run, more);
	return rig_open(r, text, 2);
}

/* Streamed (1 MiB for 1.6 and 1 MiB of images) against kept. */
static void same_as_kept(const char *run)
{
	struct metrics a = { 0 }, b = { 0 };
	char streamed[256];
	struct rig kept, small;
	snprintf(streamed, sizeof streamed, "data_memory = 1\n%s", run);
	cr_assert(open_with(&kept, run, ""), "%s", kept.why);
	cr_assert(open_with(&small, streamed, ""), "%s", small.why);
	const struct split *s = data_split(trainer_data(small.t), "train");
	cr_expect(s->streamed && !s->x, "%s: not streamed", run);
	cr_assert(rig_run(&kept, &a), "%s", kept.why);
	cr_assert(rig_run(&small, &b), "%s", small.why);
	cr_expect(rig_same(&kept, &small), "%s: other weights", run);
	cr_expect_eq(metrics_get(&a, "val.loss"), metrics_get(&b, "val.loss"));
	cr_expect_eq(metrics_get(&a, "train.loss"), metrics_get(&b, "train.loss"));
	metrics_finish(&a);
	metrics_finish(&b);
	rig_close(&kept);
	rig_close(&small);
}

Test(stream, trains_to_the_same_bits)
{
	same_as_kept("batch = 32\neval_batch = 40\n");
	same_as_kept("batch = 23\neval_batch = 150\nevaluate = train,val\n");
	same_as_kept("batch = 64\neval_batch = 64\ndrop_last = yes\nshuffle = no\n");
	same_as_kept("batch = all\neval_batch = 7\n");
}

Test(stream, samples_can_be_shown)
{
	struct rig kept, small;
	struct shown a, b;
	cr_assert(open_with(&kept, "batch = 32\neval_batch = 40\n", ""));
	cr_assert(open_with(&small, "data_memory = 1\nbatch = 32\neval_batch = 40\n", ""));
	for (int64_t i = 0; i < 230; i += 57) {
		cr_assert(trainer_show(kept.t, "train", i, 2, &a, kept.diag) &&
		          trainer_show(small.t, "train", i, 2, &b, small.diag));
		cr_expect(!memcmp(a.after[0], b.after[0], sizeof(float) * 3 * 48 * 48) && a.label == b.label);
		shown_finish(&a);
		shown_finish(&b);
	}
	rig_close(&kept);
	rig_close(&small);
}

Test(stream, what_needs_all_samples_says_so)
{
	struct rig r;
	cr_expect_not(open_with(
		&r, "data_memory = 1\neval_batch = 40\n",
		"[attacks]\nfgsm = fgsm epsilon=0.1\n[stages]\nfit = train\nrobust = attack with=fgsm split=train\n"));
	cr_expect(strstr(r.why, "read while they are used"), "%s", r.why);
	rig_close(&r);
}

/* --- augmentations on the host ------------------------------------------------------------------- */
#define SHADE "[data]\ntrain = shapes samples=60 size=8 classes=3\nval = shapes samples=30 size=8 classes=3 seed=2\n"
#define SMALL \
	"[network]\nflat = flatten\nout = linear units=3\n[loss]\nce = cross_entropy\n[optimizer]\nsgd = sgd lr=0.1\n"

static bool shaded(struct rig *r, const char *run, const char *augmentations, uint32_t threads)
{
	char text[2048];
	snprintf(text, sizeof text, "[run]\nconfig = 1\nepochs = 3\n%s" SHADE "[augmentations]\n%s" SMALL, run,
	         augmentations);
	return rig_open(r, text, threads);
}

Test(stream, augmentations_on_the_host_belong_to_sample_and_epoch)
{
	struct metrics m = { 0 };
	struct rig a, b, plain;
	cr_assert(shaded(&a, "batch = 20\n", "s = host_shade\n", 1), "%s", a.why);
	cr_assert(shaded(&b, "batch = 20\ndata_memory = 1\n", "s = host_shade\n", 3), "%s", b.why);
	cr_assert(shaded(&plain, "batch = 20\n", "s = host_shade p=0\n", 1), "%s", plain.why);
	cr_assert(rig_run(&a, &m) && rig_run(&b, &m) && rig_run(&plain, &m), "%s%s", a.why, b.why);
	cr_expect(rig_same(&a, &b));
	cr_expect_neq(rig_at(&a, "out.weight", 5), rig_at(&plain, "out.weight", 5));
	int changed = 0, other = 0;
	for (int64_t i = 0; i < 60; i++) {
		struct shown one, two, none;
		cr_assert(trainer_show(a.t, "train", i, 1, &one, a.diag) && trainer_show(b.t, "train", i, 2, &two, b.diag));
		cr_assert(trainer_show(a.t, "train", i, 0, &none, a.diag));
		changed += memcmp(one.after[0], none.after[0], 64 * sizeof(float)) != 0;
		other += memcmp(one.after[0], two.after[0], 64 * sizeof(float)) != 0;
		shown_finish(&one);
		shown_finish(&two);
		shown_finish(&none);
	}
	cr_expect(changed > 15 && changed < 45, "%d of 60 are changed", changed);
	cr_expect_gt(other, 20, "epochs are alike");
	metrics_finish(&m);
	rig_close(&a);
	rig_close(&b);
	rig_close(&plain);
}

Test(stream, augmentations_on_the_host_come_first)
{
	struct rig r;
	cr_expect_not(shaded(&r, "", "m = hflip\ns = host_shade\n", 1));
	cr_expect(strstr(r.why, "must stand before 'm'"), "%s", r.why);
	rig_close(&r);
	cr_expect_not(shaded(&r, "", "s = host_shade on=val\n", 1));
	cr_expect(strstr(r.why, "of the training split only"), "%s", r.why);
	rig_close(&r);
}
