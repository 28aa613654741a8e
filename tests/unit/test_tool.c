/* SPDX-License-Identifier: MIT
 *
 * What stands around a run: [run] read, tables, histories, run folders, resolved configs.
 */
#include <criterion/criterion.h>
#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "folder.h"
#include "history.h"
#include "resolved.h"
#include "table.h"
#include "tool.h"

static char dir[64];

static void setup(void)
{
	snprintf(dir, sizeof dir, "/tmp/rein-tool-XXXXXX");
	cr_assert(mkdtemp(dir) != NULL);
}

static void teardown(void)
{
	char command[96];
	snprintf(command, sizeof command, "rm -rf %s", dir);
	cr_assert_eq(system(command), 0);
}

static void put(const char *name, const char *text)
{
	char *p = path_join(dir, name);
	FILE *f = fopen(p, "w");
	cr_assert(f != NULL);
	fputs(text, f);
	fclose(f);
	free(p);
}

static bool has(const char *name, const char *text)
{
	char *p = path_join(dir, name);
	size_t n;
	char *got = file_text(p, &n);
	bool same = got && !strcmp(got, text);
	free(got);
	free(p);
	return same;
}

/* --- [run] -------------------------------------------------------------------------- */

static struct settings *settings_of(const char *text, char *errors, size_t size)
{
	char *p, *out = NULL;
	size_t n;
	put("x.ini", text);
	p = path_join(dir, "x.ini");
	struct diag *d = diag_create();
	struct config_file *f = config_read(p, d);
	cr_assert(f != NULL);
	struct config *c = config_build(f, NULL, 0, NULL, d);
	struct settings *s = settings_read(c, d);
	FILE *mem = open_memstream(&out, &n);
	diag_print(d, mem);
	fclose(mem);
	snprintf(errors, size, "%s", out);
	free(out);
	free(p);
	diag_destroy(d);
	/* the file's strings are leaked: settings point into them */
	return s;
}

Test(settings, defaults, .init = setup, .fini = teardown)
{
	char errors[4096];
	struct settings *s = settings_of("[run]\nconfig = 1\n", errors, sizeof errors);
	cr_assert(s != NULL, "%s", errors);
	cr_assert_eq(s->epochs, 1);
	cr_assert_eq(s->n_seed, 1);
	cr_assert_eq(s->seed[0], 1);
	cr_assert_str_eq(s->backend, "auto");
	cr_assert(s->shuffle && !s->drop_last && !s->evaluate_train && !s->track);
	cr_assert_eq(s->eval_batch, 1000);
	settings_destroy(s);
}

Test(settings, all_read, .init = setup, .fini = teardown)
{
	char errors[4096];
	struct settings *s = settings_of("[run]\nseeds = 1..3,9\nepochs = 7\nbatch = all\nbackend = cpu\nthreads = 2\n"
	                                 "rng = torch\nshuffle = no\ndrop_last = yes\nevaluate = train,val\ntrack = on\n"
	                                 "log_every = 10\neval_batch = 50\ncheckpoint_seconds = never\nout = there\n",
	                                 errors, sizeof errors);
	cr_assert(s != NULL, "%s", errors);
	cr_assert_eq(s->n_seed, 4);
	cr_assert(s->seed[0] == 1 && s->seed[2] == 3 && s->seed[3] == 9);
	cr_assert(s->epochs == 7 && s->batch == 0 && s->threads == 2 && s->rng == RNG_TORCH && s->log_every == 10);
	cr_assert(!s->shuffle && s->drop_last && s->evaluate_train && s->track && s->eval_batch == 50);
	cr_assert(s->checkpoint_seconds < 0);
	cr_assert_str_eq(s->out, "there");
	settings_destroy(s);
}

Test(settings, all_errors_at_once, .init = setup, .fini = teardown)
{
	char errors[4096];
	struct settings *s = settings_of("[run]\nseed = 1.5\nepochs = many\nbatch = 0\nrng = dice\nevaluate = val,test\n"
	                                 "threads = -1\nshufle = no\n",
	                                 errors, sizeof errors);
	cr_assert(s == NULL);
	for (int line = 2; line <= 8; line++) {
		char at[64];
		snprintf(at, sizeof at, "x.ini:%d: ", line);
		cr_assert(strstr(errors, at) != NULL, "no error for line %d:\n%s", line, errors);
	}
	cr_assert(strstr(errors, "did you mean 'shuffle'") != NULL, "%s", errors);
}

/* --- tables -------------------------------------------------------------------------- */

static char *printed(const struct tables *t, int width)
{
	static char *text;
	static size_t n;
	FILE *f = open_memstream(&text, &n);
	tables_print(t, f, width);
	fclose(f);
	return text;
}

Test(tables, aligned)
{
	struct tables *t = tables_create();
	t->collect.begin(&t->collect, "title", 3, (const char *const[]){ "name", "number", "spread" });
	t->collect.text(&t->collect, "a");
	t->collect.number(&t->collect, 1.25, 2);
	table_stat(t, 3, (const double[]){ 1, 2, 3 }, 1);
	t->collect.text(&t->collect, "longer");
	t->collect.number(&t->collect, -10.5, 2);
	table_stat(t, 2, (const double[]){ NAN, 4 }, 1);
	t->collect.note(&t->collect, "note");
	char *text = printed(t, 100);
	cr_assert_str_eq(text, "title\n"
	                       "name    number     spread\n"
	                       "-------------------------\n"
	                       "a         1.25  2.0 ± 1.0\n"
	                       "longer  -10.50        4.0\n"
	                       "note\n");
	free(text);
	tables_destroy(t);
}

Test(tables, numbers)
{
	static const struct {
		double v;
		int digits;
		const char *text;
	} cases[] = {
		{ NAN, 3, "-" },         { 0, 2, "0.00" },        { -0.0, 1, "0.0" },           { 1.372e-6, 4, "1.37e-06" },
		{ 12345.6, 0, "12346" }, { 3e12, 2, "3.00e+12" }, { -0.00004, 3, "-4.00e-05" }, { INFINITY, 2, "inf" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct tables *t = tables_create();
		table_begin(t, "", 1, (const char *const[]){ "x" });
		table_number(t, cases[i].v, cases[i].digits);
		char *text = printed(t, 80), *last = strrchr(text, '-');
		char *line = strchr(strchr(text, '\n') + 1, '\n') + 1;
		cr_assert(last && !strncmp(line, cases[i].text, strlen(cases[i].text)), "%s, not %s", line, cases[i].text);
		free(text);
		tables_destroy(t);
	}
}

Test(tables, wide_ones_are_broken)
{
	struct tables *t = tables_create();
	const char *head[12] = { "v" };
	for (int i = 1; i < 12; i++)
		head[i] = "a column";
	table_begin(t, "wide", 12, head);
	table_text(t, "row");
	for (int i = 1; i < 12; i++)
		table_number(t, i, 0);
	char *text = printed(t, 60);
	int names = 0;
	for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
		cr_assert_leq(end - line, 60);
		names += !strncmp(line, "row", 3);
	}
	cr_assert_eq(names, 3); /* 5 columns fit: 5 + 5 + 1 */
	cr_assert(strstr(text, "11") != NULL);
	free(text);
	tables_destroy(t);
}

Test(tables, json)
{
	struct tables *t = tables_create();
	t->source = "me";
	table_begin(t, "a \"title\"", 2, (const char *const[]){ "x", "y" });
	table_text(t, "row");
	table_stat(t, 3, (const double[]){ 1, NAN, 3 }, 2);
	char *text = tables_json(t);
	cJSON *o = cJSON_Parse(text), *table = cJSON_GetArrayItem(o, 0);
	cr_assert(o != NULL);
	cr_assert_str_eq(cJSON_GetObjectItem(table, "title")->valuestring, "a \"title\"");
	cJSON *cell = cJSON_GetArrayItem(cJSON_GetArrayItem(cJSON_GetObjectItem(table, "rows"), 0), 1);
	cr_assert_float_eq(cJSON_GetObjectItem(cell, "mean")->valuedouble, 2, 0);
	cr_assert_float_eq(cJSON_GetObjectItem(cell, "sd")->valuedouble, sqrt(2), 1e-15);
	cr_assert_eq(cJSON_GetArraySize(cJSON_GetObjectItem(cell, "values")), 2);
	cJSON_Delete(o);
	free(text);
	tables_destroy(t);
}

/* --- histories ----------------------------------------------------------------------- */

static void add(struct history *h, FILE *f, int64_t epoch, double loss, double accuracy)
{
	struct metrics m = { 0 };
	metrics_set(&m, "val.loss", loss);
	if (!isnan(accuracy))
		metrics_set(&m, "val.accuracy", accuracy);
	struct history_row *row = history_add(h, "fit", "train", epoch, 4, &m);
	struct rein_number n[2] = { { "val.loss", loss }, { "val.accuracy", accuracy } };
	char *line = history_line(row->stage, row->type, epoch, 4, 2, n);
	fprintf(f, "%s\n", line);
	cJSON_free(line);
	metrics_finish(&m);
}

Test(history, written_and_read, .init = setup, .fini = teardown)
{
	struct history h = { 0 }, back;
	char *p = path_join(dir, "m.jsonl"), why[512];
	FILE *f = fopen(p, "w");
	int64_t epoch = 0;

	add(&h, f, 1, 0.1 + 0.2, 0.5);
	add(&h, f, 2, INFINITY, NAN);
	add(&h, f, 3, 1e-300, 0.75);
	add(&h, f, 4, 0.25, 0.75);
	fputs("{\"stage\":\"fi", f); /* cut off by a power failure */
	fclose(f);
	cr_assert(history_read(&back, p, why, sizeof why), "%s", why);
	cr_assert_eq(back.n, 4);
	cr_assert_eq(history_at(&back, 0, "val.loss"), 0.1 + 0.2, "numbers come back as they were");
	cr_assert(isnan(history_at(&back, 1, "val.loss")) && isnan(history_at(&back, 1, "val.accuracy")));
	cr_assert_eq(history_at(&back, 2, "val.loss"), 1e-300);
	cr_assert_eq(history_last(&back, "val.loss"), 0.25);
	cr_assert(isnan(history_last(&back, "no.such")));
	cr_assert_eq(history_best(&back, "val.accuracy", 1, &epoch), 0.75);
	cr_assert_eq(epoch, 3, "the first of equals");
	cr_assert_eq(history_best(&back, "val.loss", -1, &epoch), 1e-300);
	cr_assert_eq(history_reaches(&back, "val.accuracy", 0.6), 3);
	cr_assert(isnan(history_reaches(&back, "val.accuracy", 1)));

	cr_assert(history_cut(&back, p, 2, why, sizeof why));
	cr_assert_eq(back.n, 2);
	history_finish(&back);
	cr_assert(history_read(&back, p, why, sizeof why));
	cr_assert_eq(back.n, 2);
	history_finish(&back);
	put("bad.jsonl", "{\"stage\":\"fit\"}\n");
	free(p);
	p = path_join(dir, "bad.jsonl");
	cr_assert(!history_read(&back, p, why, sizeof why));
	cr_assert(strstr(why, "bad.jsonl', line 1") != NULL, "%s", why);
	history_finish(&back);
	history_finish(&h);
	free(p);
}

Test(history, facts, .init = setup, .fini = teardown)
{
	struct run_facts f = { .parameters = 397571,
		                   .train_samples = 30,
		                   .epochs = 77,
		                   .epochs_set = 150,
		                   .train_data = 0xfedcba9876543210u,
		                   .lr = 0.005,
		                   .seconds = 1.5,
		                   .ended = 1e9 },
					 g;
	char *text = facts_text(&f), *p = path_join(dir, "finished.json");
	put("finished.json", text);
	cr_assert(facts_read(&g, p));
	cr_assert(g.parameters == f.parameters && g.train_samples == 30 && g.epochs == 77 && g.epochs_set == 150);
	cr_assert_eq(g.train_data, f.train_data, "all 64 bits");
	cr_assert(g.lr == f.lr && g.ended == f.ended);
	put("finished.json", "{\"finished\": true}");
	cr_assert(!facts_read(&g, p));
	put("finished.json", "");
	cr_assert(!facts_read(&g, p));
	cJSON_free(text);
	free(p);
}

/* --- run folders --------------------------------------------------------------------- */

static void finished(const char *folder, double ended, const char *model)
{
	struct run_facts f = { .ended = ended };
	char *text = facts_text(&f), name[128], *p = path_join(dir, folder);
	mkdir(p, 0777);
	snprintf(name, sizeof name, "%s/finished.json", folder);
	put(name, text);
	snprintf(name, sizeof name, "%s/model.safetensors", folder);
	put(name, model);
	cJSON_free(text);
	free(p);
}

static struct run_folder look(void)
{
	struct run_folder f;
	char why[512] = "";
	cr_assert(run_folder_init(&f, path_join(dir, "main"), why, sizeof why), "%s", why);
	return f;
}

Test(folder, begin_and_commit, .init = setup, .fini = teardown)
{
	char why[512];
	struct run_folder f = look();
	cr_assert(!f.finished && !f.begun);
	cr_assert(run_folder_begin(&f, why, sizeof why), "%s", why);
	put("main.unfinished/metrics.jsonl", "half");
	run_folder_finish(&f);

	f = look();
	cr_assert(f.begun && !f.finished, "an interrupted run is seen");
	cr_assert(run_folder_begin(&f, why, sizeof why));
	cr_assert(!file_exists(dir, "main.unfinished/metrics.jsonl"), "and begun anew");
	finished("main.unfinished", 1, "first");
	cr_assert(run_folder_commit(&f, why, sizeof why), "%s", why);
	cr_assert(has("main/model.safetensors", "first") && !file_exists(dir, "main.unfinished"));
	run_folder_finish(&f);

	/* a second run takes the place of the first, and of nothing else */
	put("main/notes.txt", "mine");
	put("main/metrics.jsonl", "old");
	char *seeds = path_join(dir, "main/seed-1");
	mkdir(seeds, 0777);
	finished("main/seed-1", 1, "seed");
	f = look();
	cr_assert(f.finished);
	cr_assert(run_folder_begin(&f, why, sizeof why));
	finished("main.unfinished", 2, "second");
	cr_assert(has("main/model.safetensors", "first"));
	cr_assert(run_folder_commit(&f, why, sizeof why), "%s", why);
	cr_assert(has("main/model.safetensors", "second") && has("main/notes.txt", "mine"));
	cr_assert(has("main/seed-1/model.safetensors", "seed"), "other runs inside are kept");
	cr_assert(!file_exists(dir, "main/metrics.jsonl") && !file_exists(dir, "main.unfinished"));
	run_folder_finish(&f);
	free(seeds);
}

Test(folder, killed_while_names_change, .init = setup, .fini = teardown)
{
	/* complete, but not yet in its place */
	finished("main", 1, "old");
	finished("main.unfinished", 2, "new");
	struct run_folder f = look();
	cr_assert(f.finished && !f.begun && has("main/model.safetensors", "new") && !file_exists(dir, "main.unfinished"));
	run_folder_finish(&f);
	/* exchanged, the old one not yet removed */
	finished("main.unfinished", 1, "old");
	f = look();
	cr_assert(f.finished && !f.begun && has("main/model.safetensors", "new") && !file_exists(dir, "main.unfinished"));
	run_folder_finish(&f);
	/* without RENAME_EXCHANGE: the old one put aside, the new one not yet in place */
	char *a = path_join(dir, "main"), *b = path_join(dir, "main.old");
	cr_assert_eq(rename(a, b), 0);
	finished("main.unfinished", 3, "newer");
	f = look();
	cr_assert(f.finished && has("main/model.safetensors", "newer"));
	cr_assert(!file_exists(dir, "main.unfinished") && !file_exists(dir, "main.old"));
	run_folder_finish(&f);
	free(a);
	free(b);
}

/* --- resolved configs ---------------------------------------------------------------- */

Test(resolved, comments_and_free_settings_do_not_count)
{
	static const char
		a[] = "; one\n[run]\nseed = 1  ; a.ini:3\nthreads = 1  ; default\nout = x  ; default\n\n"
			  "[optimizer]\n; a.ini:9: lr\nsgd = sgd lr=0.1\n",
		b[] =
			"[run]\nseed = 1  ; b.ini:7\nthreads = 2  ; command line\ndata_memory = 1\n[optimizer]\nsgd = sgd lr=0.1\n",
		c[] = "[run]\nseed = 2  ; b.ini:7\n[optimizer]\nsgd = sgd lr=0.1\n";
	char why[512];
	cr_assert(resolved_same(a, b, why, sizeof why), "%s", why);
	cr_assert(!resolved_same(a, c, why, sizeof why));
	cr_assert_str_eq(why, "  then: seed = 1\n  now:  seed = 2\n");
	cr_assert(!resolved_same(a, "[run]\nseed = 1\n", why, sizeof why));
}

Test(resolved, only_what_differs_is_told)
{
	static const char a[] = "[run]\nseed = 1\nepochs = 2\n[network]\nfc1 = linear units=3\nact = relu\n"
							"out = linear units=2\n[stages]\nfit = train\n",
					  less[] = "[run]\nepochs = 2\n[network]\nfc1 = linear units=4\nact = relu\n"
							   "out = linear units=2\n[stages]\nfit = train\nact = evaluate\n",
					  order[] = "[run]\nseed = 1\nepochs = 2\n[network]\nact = relu\nfc1 = linear units=3\n"
								"out = linear units=2\n[stages]\nfit = train\n";
	char why[512], many[512] = "[run]\n";

	cr_assert(!resolved_same(a, less, why, sizeof why));
	cr_assert_str_eq(why, "  then: seed = 1\n  now:  (nothing)\n"
	                      "  then: fc1 = linear units=3\n  now:  fc1 = linear units=4\n"
	                      "  then: (nothing)\n  now:  act = evaluate\n");
	cr_assert(!resolved_same(a, order, why, sizeof why));
	cr_assert_str_eq(why, "  then: act = relu\n  now:  the same, further up\n");
	cr_assert(!resolved_same("", "[run]\n", why, sizeof why) && !resolved_same("[run]\n", "", why, sizeof why));
	cr_assert(resolved_same("", "", why, sizeof why));
	for (int i = 0; i < 9; i++)
		snprintf(many + strlen(many), sizeof many - strlen(many), "k%d = 1\n", i);
	cr_assert(!resolved_same(many, "[run]\n", why, sizeof why));
	cr_assert(strstr(why, "k5 = 1") && !strstr(why, "k6 = 1") && strstr(why, "  and 3 more\n"), "%s", why);
	cr_assert(!resolved_same(many, "[run]\n", why, 40)); /* little room: cut, never beyond */
	cr_assert_eq(strlen(why), 39);
}
