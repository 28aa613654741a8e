/* SPDX-License-Identifier: MIT
 *
 * test_stream.c: images that do not fit into [run] data_memory are read while they are used, and
 * nothing else changes: the same weights to the bit, in any order of samples, with short last
 * batches, evaluation of both splits, and whatever else runs over a split.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <sys/stat.h>

#include "trainer_rig.h"

#define DATA                                                                                             \
	"[data]\ntrain = shapes samples=230 size=48 channels=3 classes=3\nval = shapes samples=160 size=48 " \
	"channels=3 classes=3 seed=2\n"
#define SMALL_NET "flat = flatten\nout = linear units=2\n[loss]\nce = cross_entropy\n[optimizer]\nsgd = sgd lr=0.05\n"
#define TAIL                                                                                                           \
	"[augmentations]\na = hflip\nb = random_crop padding=4\n[network]\nconv = conv2d filters=3 kernel=4 stride=4\nbn " \
	"= batchnorm\nflat = "                                                                                             \
	"flatten\nout = "                                                                                                  \
	"linear units=3\n[loss]\nce = cross_entropy\n[optimizer]\nsgd = sgd lr=0.05\n"

static bool open_threads(struct rig *r, const char *run, const char *more, uint32_t threads)
{
	char text[4096];
	snprintf(text, sizeof text, "[run]\nconfig = 1\nepochs = 3\ncache = no\n%s" DATA TAIL "%s", run, more);
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

/* --- files that cannot be decoded -------------------------------------------------------------------- */
static void copy_file(const char *from, const char *folder, const char *class, const char *name)
{
	char path[4400];
	snprintf(path, sizeof path, "%s/tests/fixtures/data/%s", getenv("REIN_SOURCE"), from);
	FILE *in = fopen(path, "rb");
	cr_assert(in, "%s", path);
	snprintf(path, sizeof path, "%s/%s", folder, class);
	mkdir(path, 0700);
	snprintf(path, sizeof path, "%s/%s/%s", folder, class, name);
	FILE *out = fopen(path, "wb");
	cr_assert(out, "%s", path);
	for (int c; (c = getc(in)) != EOF;)
		putc(c, out);
	fclose(in);
	fclose(out);
}

/* Images of every kind in two classes, and those that cannot be read, among them. */
static const char *const good_files[] = { "kinds/deep/grey/a.png",
	                                      "kinds/deep/grey1/a.png",
	                                      "kinds/deep/grey16/a.png",
	                                      "kinds/deep/greyalpha/a.png",
	                                      "kinds/deep/palette/a.png",
	                                      "kinds/deep/rgb/a.png",
	                                      "kinds/deep/rgb16/a.png",
	                                      "kinds/deep/rgba/a.png",
	                                      "kinds/jpeg/a.jpg",
	                                      "kinds/jpeggrey/a.jpg",
	                                      "kinds/progressive/a.jpg",
	                                      "kinds/deep/interlaced/a.png",
	                                      "exif/3/a.jpg",
	                                      "exif/6/a.jpg" };
static const char *const bad_files[] = { "cut_jpeg/c/a.jpg",   "cut_png/c/a.png",       "damaged_png/c/a.png",
	                                     "cmyk/c/a.jpg",       "not_png/c/a.png",       "empty_png/c/a.png",
	                                     "cut_header/c/a.png", "headless_jpeg/c/a.jpg", "bomb_png/c/a.png" };
#define COUNT(a) ((int)(sizeof(a) / sizeof *(a)))

static const char *make_folder(void)
{
	static char folder[32];
	char name[32];
	strcpy(folder, "/tmp/rein-folder-XXXXXX");
	cr_assert(mkdtemp(folder));
	for (int i = 0; i < COUNT(good_files); i++) {
		snprintf(name, sizeof name, "%02d.png", 2 * i);
		copy_file(good_files[i], folder, i % 2 ? "one" : "two", name);
	}
	return folder;
}

static void remove_folder(const char *folder)
{
	char command[128];
	snprintf(command, sizeof command, "rm -r %s", folder);
	cr_expect_eq(system(command), 0);
}

static bool open_folder(struct rig *r, const char *folder, const char *run, const char *keys, uint32_t threads)
{
	char text[2048];
	snprintf(
		text, sizeof text,
		"[run]\nconfig = 1\nepochs = 3\nbatch = 3\neval_batch = 4\nevaluate = train,val\n%s[data]\n"
		"train = image_folder path=%s channels=rgb %s\nval = image_folder path=%s channels=rgb skip=1 %s\n"
		"[transforms]\nsize = resize size=224,224\n[network]\nconv = conv2d filters=2 kernel=32 stride=32\n" SMALL_NET,
		run, folder, keys, folder, keys);
	return rig_open(r, text, threads);
}

/* on_error=skip leaves the same samples out whether they are kept or streamed, for any number of
 * threads; a run that was stopped goes on with them. */
Test(stream, files_that_cannot_be_decoded_are_skipped)
{
	char path[] = "/tmp/rein-stream-XXXXXX", why[512], name[32];
	const char *folder = make_folder();
	struct metrics m[4] = { { 0 } };
	struct rig kept, one, three, half;

	for (int i = 0; i < COUNT(bad_files); i++) {
		snprintf(name, sizeof name, "%02d.png", 2 * i + 1);
		copy_file(bad_files[i], folder, i % 2 ? "one" : "two", name);
	}
	cr_assert(open_folder(&kept, folder, "", "on_error=skip", 2), "%s", kept.why);
	cr_assert(open_folder(&one, folder, "data_memory = 1\n", "on_error=skip", 1), "%s", one.why);
	cr_assert(open_folder(&three, folder, "data_memory = 1\n", "on_error=skip", 3), "%s", three.why);
	cr_assert(open_folder(&half, folder, "data_memory = 1\n", "on_error=skip", 2), "%s", half.why);
	const struct split *s = data_split(trainer_data(one.t), "train"), *k = data_split(trainer_data(kept.t), "train");
	cr_assert(s->streamed && !k->streamed && s->n == COUNT(good_files) && s->skipped == COUNT(bad_files));
	cr_assert(k->n == s->n && k->skipped == s->skipped &&
	          !memcmp(k->number, s->number, sizeof(int64_t) * (size_t)s->n));
	cr_assert_eq(data_split(trainer_data(one.t), "val")->n, data_split(trainer_data(kept.t), "val")->n);
	int fd = mkstemp(path);
	cr_assert(rig_next(&one, &m[1]) == REIN_OK && trainer_save(one.t, path, why, sizeof why), "%s", one.why);
	cr_assert(trainer_load(half.t, path, why, sizeof why), "%s", why);
	cr_assert(rig_run(&kept, &m[0]) && rig_run(&one, &m[1]) && rig_run(&three, &m[2]) && rig_run(&half, &m[3]));
	cr_expect(rig_same(&kept, &one) && rig_same(&kept, &three) && rig_same(&kept, &half));
	for (int i = 1; i < 4; i++) {
		cr_expect_eq(metrics_get(&m[0], "val.loss"), metrics_get(&m[i], "val.loss"));
		cr_expect_eq(metrics_get(&m[0], "val.accuracy"), metrics_get(&m[i], "val.accuracy"));
		cr_expect_eq(metrics_get(&m[0], "train.accuracy"), metrics_get(&m[i], "train.accuracy"));
	}
	for (int i = 0; i < 4; i++)
		metrics_finish(&m[i]);
	rig_close(&kept);
	rig_close(&one);
	rig_close(&three);
	rig_close(&half);
	remove_folder(folder);
	close(fd);
	unlink(path);
}

/* By default the run ends with the name of the file, at the latest when it is read. */
Test(stream, files_that_cannot_be_decoded_stop_the_run)
{
	for (int i = 0; i < COUNT(bad_files); i++) {
		const char *folder = make_folder();
		struct metrics m = { 0 };
		struct rig r;
		copy_file(bad_files[i], folder, "two", "07.png");
		bool good = open_folder(&r, folder, "data_memory = 1\n", "", 2);
		cr_expect(!good || !rig_run(&r, &m), "%s: nothing was said", bad_files[i]);
		cr_expect(strstr(r.why, "two/07.png'"), "%s: %s", bad_files[i], r.why);
		metrics_finish(&m);
		rig_close(&r);
		remove_folder(folder);
	}
}

/* A file that goes bad while the run goes on cannot be left out any more. */
Test(stream, files_that_go_bad)
{
	const char *folder = make_folder();
	struct metrics m = { 0 };
	struct rig r;

	cr_assert(open_folder(&r, folder, "data_memory = 1\n", "on_error=skip", 2), "%s", r.why);
	copy_file("cut_png/c/a.png", folder, "two", "08.png");
	cr_expect(!rig_run(&r, &m) && strstr(r.why, "two/08.png") && strstr(r.why, "when the run began"), "%s", r.why);
	metrics_finish(&m);
	rig_close(&r);
	remove_folder(folder);
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
