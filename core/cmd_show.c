/* SPDX-License-Identifier: MIT
 *
 * cmd_show.c: rein show sample N FILE | RUN_FOLDER: samples as epochs of training see them, as
 * PNG pictures; rein show batch N FILE: the first of a batch in a row, with their labels. Nothing is
 * trained: a sample's augmentations hang on its number, the epoch and the seed alone.
 */
#include "checkpoint.h"
#include "experiment.h"
#include "canvas.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

#define LIST_MAX 1024
#define GAP      2 /* pixels between the pictures of a grid */
#define WHITE    255

struct list {
	int n;
	int64_t v[LIST_MAX];
};

/* What is asked for, and what becomes of it. */
struct showing {
	struct experiment *e;
	const char *split;
	char *folder;
	struct list sample, epoch;
	bool grid;
	int64_t batch; /* its number, from 0; -1: samples are asked for */
	struct canvas *sheet;
	int rows, columns;     /* of the grid */
	int64_t height, width; /* of a cell of it */
	int written;
};

/* "3,5" or "0..7"; false: it is neither. */
static bool read_list(const char *text, struct list *out)
{
	char *copy = tool_strdup(text), *save = NULL, low[32];
	bool good = true;
	out->n = 0;
	for (char *w = strtok_r(copy, ",", &save); w && good; w = strtok_r(NULL, ",", &save)) {
		const char *dots = strstr(w, "..");
		int64_t a = 0, b = 0;
		snprintf(low, sizeof low, "%.*s", dots ? (int)(dots - w) : (int)sizeof low - 1, w);
		good = parse_int(low, &a) && (dots ? parse_int(dots + 2, &b) : (b = a, true)) && a >= 0 && b >= a;
		for (; good && a <= b && out->n < LIST_MAX; a++)
			out->v[out->n++] = a;
	}
	free(copy);
	return good && out->n > 0;
}

static bool is_picture(uint32_t rank, const int64_t *dim) { return rank == 3 && (dim[0] == 1 || dim[0] == 3); }

static bool failed(const char *why)
{
	fprintf(stderr, "rein: %s\n", why);
	return false;
}

/* One picture of its own. */
static bool write_one(struct showing *s, const char *name, const int64_t *dim, const float *x)
{
	char *path = tool_printf("%s/%s.png", s->folder, name), why[1024] = "out of memory";
	struct canvas *p = canvas_create(dim[1], dim[2], dim[0], 0);
	bool good = p != NULL;
	if (p)
		canvas_place(p, 0, 0, dim[0], dim[1], dim[2], x);
	good = good && canvas_write(p, path, why, sizeof why);
	canvas_destroy(p);
	if (good)
		printf("  %s\n", path);
	s->written += good;
	free(path);
	return good || failed(why);
}

static void print_numbers(const char *what, uint32_t rank, const int64_t *dim, const float *x)
{
	int64_t n = 1;
	for (uint32_t i = 0; i < rank; i++)
		n *= dim[i];
	printf("  %s:", what);
	for (int64_t i = 0; i < n && i < 32; i++)
		printf(" %g", (double)x[i]);
	printf(n > 32 ? " ... (%" PRId64 " numbers)\n" : "\n", n);
}

static const char *class_of(const struct rein_dataset_info *info, int64_t k, char *buf, size_t size)
{
	if (info->class_names && k >= 0 && k < info->classes)
		return info->class_names[k];
	snprintf(buf, size, "class %" PRId64, k);
	return buf;
}

/* "The image belongs to : cat", or to a mixture of classes, or its targets. */
static void print_target(const struct split *split, const struct shown *sh)
{
	char buf[32];
	const char *what = is_picture(sh->rank[0], sh->dim[0]) ? "image" : "sample";
	bool mixed = sh->n_target > 0 && split->info.target == REIN_TARGET_CLASS, first = true;
	if (!sh->n_target) {
		printf("The %s belongs to : %s\n", what, class_of(&split->info, sh->label, buf, sizeof buf));
		return;
	}
	printf(mixed ? "The %s belongs to :" : "The %s has the targets", what);
	for (int64_t k = 0; k < sh->n_target; k++) {
		double v = (double)sh->target[k];
		if (mixed && v > 0)
			printf("%s %.3f %s", first ? "" : " +", v, class_of(&split->info, k, buf, sizeof buf));
		else if (!mixed)
			printf(" %g", v);
		first = first && !(v > 0);
	}
	putchar('\n');
}

/* A cell of the grid; all have the size of the first picture. */
static void place(struct showing *s, int row, int column, const int64_t *dim, const float *x)
{
	if (!s->sheet) {
		s->height = dim[1];
		s->width = dim[2];
		s->sheet = canvas_create(s->rows * (s->height + GAP) - GAP, s->columns * (s->width + GAP) - GAP, dim[0], WHITE);
	}
	if (s->sheet)
		canvas_place(s->sheet, row * (s->height + GAP), column * (s->width + GAP), dim[0],
		             dim[1] < s->height ? dim[1] : s->height, dim[2] < s->width ? dim[2] : s->width, x);
}

/* The sample as it is in the batch, in its row. */
static bool show_in_row(struct showing *s, int i, const struct shown *sh)
{
	place(s, 0, i, sh->dim[1], sh->after[0]);
	return s->sheet || failed("out of memory");
}

/* The original (of the first epoch asked for) and what it became. */
static bool show_pictures(struct showing *s, int row, int column, const struct shown *sh)
{
	char name[160];
	int64_t sample = s->sample.v[row], epoch = s->epoch.v[column];
	bool good = true, cut = sh->dim[1][1] != sh->dim[0][1] || sh->dim[1][2] != sh->dim[0][2];
	if (s->grid && !column)
		place(s, row, 0, sh->dim[0], sh->before);
	if (s->grid && cut && !is_picture(sh->rank[1], sh->dim[1]))
		return failed("the augmented sample is no picture");
	if (s->grid) {
		place(s, row, column + 1, sh->dim[1], sh->after[0]);
		return true;
	}
	snprintf(name, sizeof name, "%s-%" PRId64, s->split, sample);
	if (!column)
		good = write_one(s, name, sh->dim[0], sh->before);
	for (int i = 0; good && i < sh->n_view; i++) {
		snprintf(name, sizeof name,
		         sh->n_view > 1 ? "%s-%" PRId64 "-epoch-%" PRId64 "-view-%d" : "%s-%" PRId64 "-epoch-%" PRId64,
		         s->split, sample, epoch, i + 1);
		good = write_one(s, name, sh->dim[1], sh->after[i]);
	}
	return good;
}

static bool show_one(struct showing *s, int row, int column)
{
	struct shown sh;
	char name[512];
	const struct split *split = data_split(trainer_data(s->e->first), s->split);
	int64_t sample = s->sample.v[row], epoch = s->epoch.v[column];
	bool good = trainer_show(s->e->first, s->split, sample, epoch, &sh, s->e->s->diag);
	if (!good) {
		diag_print(s->e->s->diag, stderr);
	} else {
		if (!s->grid || !column) {
			printf("sample %" PRId64 " of '%s', epoch %" PRId64 ", %s of the dataset: ", sample, s->split, epoch,
			       data_sample_name(split, sample, name, sizeof name));
			print_target(split, &sh);
		}
		if (is_picture(sh.rank[0], sh.dim[0]) && is_picture(sh.rank[1], sh.dim[1])) {
			good = s->batch < 0 ? show_pictures(s, row, column, &sh) : show_in_row(s, row, &sh);
		} else {
			print_numbers("as read", sh.rank[0], sh.dim[0], sh.before);
			print_numbers("as seen", sh.rank[1], sh.dim[1], sh.after[0]);
		}
	}
	shown_finish(&sh);
	return good;
}

/* The first samples of the batch; as many as there are names for, or fewer. */
static bool pick_batch(struct showing *s, int64_t count)
{
	int64_t epoch = s->epoch.v[0];

	s->sample.n = (int)trainer_batch(s->e->first, s->split, s->batch, epoch, count, s->sample.v, s->e->s->diag);
	s->epoch.n = 1; /* one batch */
	s->rows = 1;
	s->columns = s->sample.n;
	if (s->sample.n > 0)
		return true;
	diag_print(s->e->s->diag, stderr);
	return false;
}

static int show(struct showing *s, int64_t count)
{
	char why[1024];
	bool good = folder_make(s->folder, why, sizeof why) || failed(why);
	s->rows = s->sample.n;
	s->columns = s->epoch.n + 1;
	good = good && (s->batch < 0 || pick_batch(s, count));
	/* epoch by epoch, as torch's generator orders them */
	for (int k = 0; good && k < s->epoch.n; k++)
		for (int i = 0; good && i < s->sample.n; i++)
			good = show_one(s, i, k);
	if (good && s->sheet) {
		char *path = s->batch < 0 ? path_join(s->folder, "grid.png")
		                          : tool_printf("%s/%s-batch-%" PRId64 ".png", s->folder, s->split, s->batch);
		good = canvas_write(s->sheet, path, why, sizeof why) || failed(why);
		if (good)
			printf("  %s: %s\n", path,
			       s->batch < 0 ? "a row for each sample: as read, then one picture for each epoch"
			                    : "the samples above in a row, as they are in the batch");
		free(path);
	}
	canvas_destroy(s->sheet);
	return good ? EXIT_DONE : EXIT_FAILED;
}

/* The operand: a config, or a run's folder, whose config it then is. */
static int find_config(struct cli *c, char **file, char **folder)
{
	struct stat st;
	if (stat(c->operand[0], &st) || !S_ISDIR(st.st_mode))
		return -1;
	if (!file_exists(c->operand[0], FILE_RESOLVED))
		return cli_usage(c, "'%s' is not the folder of a run: it has no %s", c->operand[0], FILE_RESOLVED);
	*file = path_join(c->operand[0], FILE_RESOLVED);
	*folder = path_join(c->operand[0], "images");
	c->operand[0] = *file;
	return -1;
}

/* "sample N FILE ..." or "batch N FILE ..." to "FILE ...". */
static int read_operands(struct cli *c, struct showing *s, const char *epoch)
{
	s->batch = -1;
	if (c->n_operand < 3 || (strcmp(c->operand[0], "sample") && strcmp(c->operand[0], "batch")))
		return cli_usage(c, "expected: sample NUMBER FILE|RUN_FOLDER, or: batch NUMBER FILE|RUN_FOLDER");
	if (!strcmp(c->operand[0], "batch") && (!parse_int(c->operand[1], &s->batch) || s->batch < 0))
		return cli_usage(c, "'%s' is not a number of a batch, from 0", c->operand[1]);
	if (s->batch < 0 && !read_list(c->operand[1], &s->sample))
		return cli_usage(c, "'%s' is not a number of a sample from 0, nor a list as 0..7 or 3,5", c->operand[1]);
	if (!read_list(epoch, &s->epoch))
		return cli_usage(
			c, "--epoch %s: expected a number, or a list as 1..4; 0 is the sample without training's changes", epoch);
	if (s->batch >= 0 && (s->epoch.n > 1 || s->grid))
		return cli_usage(c, "a batch is shown of one epoch, in a row%s", s->grid ? ": --grid is for samples" : "");
	c->operand += 2;
	c->n_operand -= 2;
	return -1;
}

int cmd_show(int argc, char **argv)
{
	const char *epoch = "1", *out = NULL, *variant = NULL, *count = "8";
	struct showing show_ = { .split = "train" };
	const struct cli_option options[] = {
		{ 'e', "epoch", "LIST", "epochs, from 1, as 3 or 1..4 (default: 1); 0: as evaluation sees it", &epoch, NULL },
		{ 's', "split", "NAME", "an entry of [data] (default: train)", &show_.split, NULL },
		{ 'o', "out", "DIR", "where pictures go (default: images/ of the run's folder)", &out, NULL },
		{ 'g', "grid", NULL, "one picture: a row for each sample, a column for each epoch", NULL, &show_.grid },
		{ 0, "count", "N", "of a batch: its first N samples (default: 8)", &count, NULL },
		{ 0, "variant", "NAME", "the data and augmentations of this variant", &variant, NULL },
		{ 0, NULL, NULL, NULL, NULL, NULL },
	};
	struct cli c = {
		.command = "show",
		.operands = "sample|batch NUMBER FILE|RUN_FOLDER [path=value ...]",
		.about = "Makes samples once more as epochs of training see them, with their augmentations, and writes\n"
				 "the original and the result as PNG. Of a batch, from 0, the first samples come in a row,\n"
				 "as the network gets them, with their labels.",
		.examples = "  rein show batch 0 configs/embedded/002-1-lenet.ini\n"
					"  rein show sample 22 configs/001-10-augmentation.ini --variant flips --epoch 3\n"
					"  rein show sample 0..7 runs/001-10-augmentation/flips --epoch 1..6 --grid\n"
					"  rein show sample 5 configs/embedded/001-10-augmentation.ini run.seed=2 --out /tmp\n",
		.option = options,
	};
	struct session s = { 0 };
	char *file = NULL;
	int64_t n = 0;
	int code = cli_parse(&c, argc, argv);

	if (code < 0)
		code = read_operands(&c, &show_, epoch);
	if (code < 0)
		code = cli_whole(&c, "count", count, 1);
	if (code < 0)
		code = find_config(&c, &file, &show_.folder);
	if (code < 0)
		code = session_open(&s, &c);
	if (code < 0 && variant && !session_variant(&s, variant))
		code = EXIT_USAGE;
	if (code < 0) {
		if (!variant && s.n_variant > 0)
			variant = s.variant[0];
		s.to_load = true; /* no sample depends on weights */
		show_.e = experiment_create(&s, variant, false, true);
		code = experiment_check(show_.e);
	}
	if (code < 0 && (out || !show_.folder)) {
		const struct variant *v = &show_.e->variant[0];
		free(show_.folder);
		show_.folder = out ? tool_strdup(out) : tool_printf("%s/%s/images", v->settings->out, v->config->stem);
	}
	if (code < 0) {
		parse_int(count, &n);
		code = show(&show_, n < LIST_MAX ? n : LIST_MAX);
	}
	experiment_destroy(show_.e);
	session_close(&s);
	cli_finish(&c);
	free(file);
	free(show_.folder);
	return code;
}
