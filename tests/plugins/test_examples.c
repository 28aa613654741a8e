/* SPDX-License-Identifier: MIT
 *
 * test_examples.c: every example beside a plugin, and every config here, trains, in all its
 * variants; each folder of plugins/ has an example; those in refused/ are refused with the words
 * of their first line. A new one needs no line here.
 */
#include <criterion/criterion.h>
#include <glob.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lab.h"

/* Loss on the training split as evaluation sees it. */
static double loss_now(struct lab *l)
{
	struct metrics m = { 0 };
	double loss = trainer_evaluate(l->trainer, "train", &m, l->diag) >= 0 ? metrics_get(&m, "train.loss") : NAN;
	metrics_finish(&m);
	return loss;
}

/* Its layer `outside` is a C function, which other backends refuse. */
static const char cpu_only[] = "/tests/plugins/together.ini";

static void train(const char *path, const char *variant)
{
	struct lab l;
	bool good = lab_open(&l, path, variant, 0);
	if (getenv("REIN_TEST_BACKEND") && strstr(path, cpu_only)) {
		cr_expect(!good && strstr(l.messages, "cannot run op 'custom', a function in C"), "%s: %s", path, l.messages);
		lab_close(&l);
		return;
	}
	cr_expect(good, "%s: variant '%s' was refused: %s", path, variant ? variant : "", l.messages);
	if (good) {
		double before = loss_now(&l);
		cr_expect(lab_run(&l, NULL), "%s: variant '%s' failed", path, variant ? variant : "");
		double after = loss_now(&l);
		cr_expect(after < before, "%s: variant '%s': the loss went from %g to %g", path, variant ? variant : "", before,
		          after);
	}
	lab_close(&l);
}

static void train_variants(const char *path)
{
	struct diag *d = diag_create();
	struct config_file *file = config_read(path, d);
	const char *const *name;
	int n = file ? config_variants(file, &name) : 0;
	cr_expect(file, "%s cannot be read", path);
	if (!n)
		train(path, NULL);
	for (int i = 0; i < n; i++)
		train(path, name[i]);
	if (file)
		config_file_destroy(file);
	diag_destroy(d);
}

static int for_all(const char *pattern, void (*f)(const char *path))
{
	char path[4096];
	glob_t found = { 0 };
	snprintf(path, sizeof path, "%s/%s", getenv("REIN_SOURCE"), pattern);
	cr_assert_eq(glob(path, 0, NULL, &found), 0, "nothing matches %s", path);
	for (size_t i = 0; i < found.gl_pathc; i++)
		f(found.gl_pathv[i]);
	int n = (int)found.gl_pathc;
	globfree(&found);
	return n;
}

static int train_all(const char *pattern) { return for_all(pattern, train_variants); }

/* The first line of the file says what the messages must hold. */
static void refuse(const char *path)
{
	char line[512] = "";
	struct lab l;
	FILE *f = fopen(path, "r");
	cr_assert(f && fgets(line, sizeof line, f) && !strncmp(line, "; expect: ", 10), "%s", path);
	fclose(f);
	line[strcspn(line, "\n")] = 0;
	cr_expect_not(lab_open(&l, path, NULL, 0), "%s was not refused", path);
	cr_expect(strstr(l.messages, line + 10), "%s: '%s' is not in:\n%s", path, line + 10, l.messages);
	lab_close(&l);
}

Test(examples, layers_and_losses_train)
{
	cr_expect_geq(train_all("plugins/layers/*/*.ini") + train_all("plugins/losses/*/*.ini"), 24);
}
Test(examples, optimizers_and_schedules_train)
{
	cr_expect_geq(train_all("plugins/optimizers/*/*.ini") + train_all("plugins/schedules/*/*.ini"), 9);
}
Test(examples, regularizers_train) { cr_expect_geq(train_all("plugins/regularizers/*/*.ini"), 13); }
Test(examples, augmentations_train) { cr_expect_geq(train_all("plugins/augmentations/*/*.ini"), 27); }
Test(examples, reports_train) { cr_expect_geq(train_all("plugins/reports/*/*.ini"), 4); }
Test(examples, attacks_and_detectors_run)
{
	cr_expect_geq(train_all("plugins/attacks/*/*.ini") + train_all("plugins/detectors/*/*.ini"), 13);
}
Test(examples, pruners_run) { cr_expect_geq(train_all("plugins/pruners/*/*.ini"), 7); }
Test(examples, hard_cases_train) { cr_expect_geq(train_all("tests/plugins/*.ini"), 2); }

Test(examples, mistakes_are_refused_with_the_reason)
{
	cr_expect_geq(for_all("tests/plugins/refused/*.ini", refuse), 27);
}

/* "= name", and a blank or the end of the line behind it, somewhere in the file. */
static bool uses(const char *path, const char *name)
{
	char line[512], words[128];
	FILE *f = fopen(path, "r");
	bool found = false;
	snprintf(words, sizeof words, "= %s", name);
	while (f && !found && fgets(line, sizeof line, f)) {
		const char *at = line[0] == ';' ? NULL : strstr(line, words);
		found = at && strchr(" \r\n", at[strlen(words)]);
	}
	if (f)
		fclose(f);
	return found;
}

Test(examples, every_plugin_has_one)
{
	static const char *const kinds[] = { "layers",       "losses",        "optimizers", "schedules",
		                                 "regularizers", "augmentations", "attacks",    "pruners",
		                                 "detectors",    "reports",       NULL };
	char path[4096];
	for (int k = 0; kinds[k]; k++) {
		glob_t found = { 0 };
		snprintf(path, sizeof path, "%s/plugins/%s/*", getenv("REIN_SOURCE"), kinds[k]);
		cr_assert_eq(glob(path, 0, NULL, &found), 0);
		for (size_t i = 0; i < found.gl_pathc; i++) {
			const char *folder = found.gl_pathv[i], *name = strrchr(folder, '/') + 1;
			snprintf(path, sizeof path, "%s/%s.ini", folder, name);
			cr_expect(uses(path, name), "%s is missing, or does not use '%s'", path, name);
		}
		globfree(&found);
	}
}
