/* SPDX-License-Identifier: MIT
 *
 * test_stream.c: images that do not fit into [run] data_memory are read while they are used, and
 * nothing else changes: the same weights to the bit, in any order of samples, with short last
 * batches, evaluation of both splits, and whatever else runs over a split.
 */
#include <criterion/criterion.h>
#include <math.h>

#include "trainer_rig.h"

#define DATA                                                                                             \
	"[data]\ntrain = shapes samples=230 size=48 channels=3 classes=3\nval = shapes samples=160 size=48 " \
	"channels=3 classes=3 seed=2\n"
#define TAIL                                                                                                           \
	"[augmentations]\na = hflip\nb = random_crop padding=4\n[network]\npool = avgpool size=4\nbn = batchnorm\nflat = " \
	"flatten\nout = "                                                                                                  \
	"linear units=3\n[loss]\nce = cross_entropy\n[optimizer]\nsgd = sgd lr=0.05\n"

static bool open_threads(struct rig *r, const char *run, const char *more, uint32_t threads)
{
	char text[4096];
	snprintf(text, sizeof text, "[run]\nconfig = 1\nepochs = 3\n%s" DATA TAIL "%s", run, more);
	return rig_open(r, text, threads);
}

static bool open_with(struct rig *r, const char *run, const char *more) { return open_threads(r, run, more, 2); }

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
	same_as_kept("batch = 23\neval_batch = 160\nevaluate = train,val\n");
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

/* --- whatever runs over a split --------------------------------------------------------------------- */
/* All stages of a config, streamed and kept, with the same numbers and weights in the end; windows
 * of 75 samples (or the batch). more: sections. */
static void same_story(const char *run, const char *more, uint32_t threads)
{
	struct metrics a = { 0 }, b = { 0 };
	char streamed[512];
	struct rig kept, small;

	snprintf(streamed, sizeof streamed, "data_memory = 1\n%s", run);
	cr_assert(open_with(&kept, run, more), "%s", kept.why);
	cr_assert(open_threads(&small, streamed, more, threads), "%s", small.why);
	cr_expect(data_split(trainer_data(small.t), "train")->streamed &&
	          data_split(trainer_data(small.t), "val")->streamed);
	cr_assert(rig_run(&kept, &a), "%s", kept.why);
	cr_assert(rig_run(&small, &b), "%s", small.why);
	cr_expect(rig_same(&kept, &small), "other weights:\n%s%s", run, more);
	cr_expect(a.n > 3 && b.n == a.n + 1 && metrics_get(&b, "data_wait_s") > 0);
	for (int i = 0; i < a.n; i++) {
		const char *name = a.m[i].name;
		double v = a.m[i].value, w = metrics_get(&b, name);
		if (!strcmp(name, "samples_per_s") || !strcmp(name, "forward_ms"))
			continue;
		cr_expect(v == w || (isnan(v) && isnan(w)), "%s is %.9g, streamed %.9g:\n%s%s", name, v, w, run, more);
	}
	metrics_finish(&a);
	metrics_finish(&b);
	rig_close(&kept);
	rig_close(&small);
}

Test(stream, attacks_and_certificates)
{
	const char *more =
		"[attacks]\nfgsm = fgsm epsilon=2/255,8/255\npgd = pgd epsilon=4/255 steps=3\n[stages]\nfit = train\n"
		"robust = attack with=fgsm,pgd split=val images=2\nsome = attack with=pgd split=train limit=90\n"
		"sure = certify sigma=0.25 votes=5 samples=20 limit=100\n";
	same_story("batch = 32\neval_batch = 40\n", more, 3);
	same_story("batch = 32\neval_batch = 1000\n", more, 1);
}

Test(stream, pruning_removing_and_refreshed_statistics)
{
	same_story(
		"batch = 20\neval_batch = 30\n",
		"[pruners]\ngrad = taylor amount=0.5 global=yes on=*.weight\nch = ln_structured amount=0.3 on=out.weight\n"
		"[stages]\nfit = train prune=grad schedule=cubic begin=3 end=20 frequency=4 unit=updates batches=5\n"
		"again = prune with=grad batches=4\nend = evaluate split=train\n",
		2);
	same_story("batch = 32\neval_batch = 40\nevaluate = train,val\nrng = torch\n", "", 2);
	same_story("batch = 32\neval_batch = 40\nlog_every = 2\nevaluate = train,val\n",
	           "[pruners]\nsmall = threshold value=0.05 on=out.weight\n[stages]\n"
	           "fit = train\ncut = prune with=small\nless = remove\nmore = train epochs=1\n",
	           2);
	same_story("batch = 32\neval_batch = 40\nevaluate = train,val\n", "[regularizers]\ns = swa start=1\n", 2);
	same_story("batch = 32\neval_batch = 40\n", "[regularizers]\ns = swa start=1\n", 2);
}

/* Samples that an attack makes join a split that is streamed; a checkpoint holds them. */
Test(stream, samples_join)
{
	const char *more = "[attacks]\nfgsm = fgsm epsilon=8/255\n[stages]\nfit = train epochs=1\n"
					   "bad = attack with=fgsm split=train limit=50 add=yes\nmore = train epochs=2\n"
					   "worse = attack with=fgsm split=train limit=20 add=yes\nend = train epochs=1\n";
	char path[] = "/tmp/rein-stream-XXXXXX", why[512];
	struct metrics m = { 0 };
	struct rig whole, half;

	same_story("batch = 32\neval_batch = 240\n", more, 2);
	same_story("batch = all\neval_batch = 40\nevaluate = train,val\n", more, 2);
	int fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	close(fd);
	cr_assert(open_with(&whole, "data_memory = 1\nbatch = 32\neval_batch = 40\n", more), "%s", whole.why);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(rig_next(&whole, &m), REIN_OK, "%s", whole.why);
	cr_assert(trainer_save(whole.t, path, why, sizeof why), "%s", why);
	cr_assert(open_with(&half, "data_memory = 1\nbatch = 32\neval_batch = 40\n", more), "%s", half.why);
	cr_assert(trainer_load(half.t, path, why, sizeof why), "%s", why);
	cr_expect_eq(data_split(trainer_data(half.t), "train")->n, 280);
	cr_assert(rig_run(&whole, &m) && rig_run(&half, &m), "%s%s", whole.why, half.why);
	cr_expect(rig_same(&whole, &half), "other weights after a checkpoint");
	metrics_finish(&m);
	rig_close(&whole);
	rig_close(&half);
	unlink(path);
}

Test(stream, predictions)
{
	int32_t guess[2][160];
	struct rig kept, small;

	cr_assert(open_with(&kept, "eval_batch = 40\n", ""), "%s", kept.why);
	cr_assert(open_with(&small, "data_memory = 1\neval_batch = 40\n", ""), "%s", small.why);
	cr_assert_eq(trainer_predict(kept.t, "val", guess[0], kept.diag), REIN_OK);
	cr_assert_eq(trainer_predict(small.t, "val", guess[1], small.diag), REIN_OK);
	cr_expect(!memcmp(guess[0], guess[1], sizeof guess[0]));
	rig_close(&kept);
	rig_close(&small);
}

Test(stream, bounds_narrower_than_the_bytes_are_refused)
{
	struct rig r;

	cr_expect_not(open_with(&r, "data_memory = 1\nbounds = 0.2,0.8\n", ""));
	cr_expect(strstr(r.why, "would be found too late"), "%s", r.why);
	rig_close(&r);
	cr_expect(open_with(&r, "data_memory = 1\nbounds = 0,1\n", ""), "%s", r.why);
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
