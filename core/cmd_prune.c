/* SPDX-License-Identifier: MIT
 *
 * cmd_prune.c: rein prune RUN_FOLDER | FILE: pruners on a trained model, without training, then
 * the channels that are left without effect removed. It is a run of its own whose stages are
 * evaluate, prune (one for each pruner), remove, evaluate, and whose weights are the model's, so
 * it leaves a folder as every run does. The model itself stays as it is.
 */
#include "experiment.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAMES_MAX 64

/* Is this entry of [pruners] one that was typed behind the command, as pruners.small='...'? */
static bool was_typed(const struct session *s, const char *name)
{
	size_t n = strlen(name);

	for (int i = 0; i < s->n_override; i++) {
		const char *at = s->override[i];
		if (!strncmp(at, "pruners.", 8) && !strncmp(at + 8, name, n) && at[8 + n] == '=')
			return true;
	}
	return false;
}

/* Names of a comma-separated list, or of what the config prunes with, in order: the pruners that
 * were typed behind the command, else those its prune stages name, else all of [pruners]. How many;
 * the names live as long as the session. */
static int pruners_of(struct session *s, const char *variant, char *with, const char **name)
{
	struct config *c = config_build(s->file, variant, s->n_override, s->override, s->diag);
	const struct section *stages = c ? config_section(c, "stages") : NULL,
						 *all = c ? config_section(c, "pruners") : NULL;
	int n = 0;

	for (char *at = with, *word; at && (word = strsep(&at, ",")) && n < NAMES_MAX;)
		if (*word)
			name[n++] = word;
	for (int i = 0; !with && all && i < all->n_spec && n < NAMES_MAX; i++)
		if (was_typed(s, all->spec[i]->name))
			name[n++] = all->spec[i]->name;
	bool typed = n > 0;
	for (int i = 0; !with && !typed && stages && i < stages->n_spec; i++)
		for (int k = 0; k < stages->spec[i]->n_arg && n < NAMES_MAX; k++)
			if (!strcmp(stages->spec[i]->component, "prune") && !strcmp(stages->spec[i]->arg[k].key, "with"))
				name[n++] = stages->spec[i]->arg[k].value;
	bool none = !with && !n;
	for (int i = 0; none && all && i < all->n_spec && i < NAMES_MAX; i++)
		name[n++] = all->spec[i]->name;
	return n;
}

static void set_stages(struct session *s, const char *variant, int n, const char *const *name, const char *split,
                       bool keep)
{
	char *check = tool_printf("evaluate%s%s", split ? " split=" : "", split ? split : "");

	session_no_stages(s, variant);
	session_override(s, "stages.before", check);
	for (int i = 0; i < n; i++) {
		char *path = n > 1 ? tool_printf("stages.pruned-%d", i + 1) : tool_strdup("stages.pruned");
		char *line = tool_printf("prune with=%s", name[i]);
		session_override(s, path, line);
		free(path);
		free(line);
	}
	if (!keep)
		session_override(s, "stages.smaller", "remove");
	session_override(s, "stages.after", check);
	free(check);
}

/* runs/x/main -> runs/x/main-pruned/; configs/x.ini -> <out>/x-pruned/ */
static void set_folder(struct session *s, const char *folder, const char *out)
{
	const char *slash, *dot;
	char *path = tool_strdup(folder ? folder : s->path);

	for (size_t n = strlen(path); n > 1 && path[n - 1] == '/'; n--)
		path[n - 1] = 0;
	slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	dot = folder ? NULL : strrchr(name, '.');
	char *stem = tool_printf("%.*s-pruned", (int)(dot ? dot - name : (long)strlen(name)), name);
	config_file_rename(s->file, stem);
	if (folder && !out) {
		char *parent = slash ? tool_printf("%.*s", (int)(slash > path ? slash - path : 1), path) : tool_strdup(".");
		session_override(s, "run.out", parent);
		free(parent);
	}
	if (out)
		session_override(s, "run.out", out);
	free(stem);
	free(path);
}

/* One seed: nothing is drawn that weights do not replace. */
static void set_run(struct session *s, const char *variant, const char *weights)
{
	struct config *c = config_build(s->file, variant, s->n_override, s->override, s->diag);
	char *real = realpath(weights, NULL);
	static const char *const part[] = { "weights_on", "weights_map" };

	session_override(s, "run.weights", real ? real : weights);
	session_override(s, "run.weights_averaged", "yes"); /* what evaluation saw is what is pruned */
	/* all of them under their own names, however those came into being */
	for (int i = 0; i < 2; i++)
		if (c && config_setting(c, "run", part[i])) {
			char *path = tool_printf("run.%s", part[i]);
			session_override(s, path, "");
			free(path);
		}
	session_override(s, "run.checkpoint_seconds", "-1");
	if (c && config_setting(c, "run", "seeds")) {
		session_override(s, "run.seeds", "");
		session_override(s, "run.seed", "1");
	}
	free(real);
}

/* --- the table ------------------------------------------------------------------------------ */
static double accuracy_at(const struct history *h, int row, const char *what)
{
	for (int i = 0; i < h->n_name; i++) {
		const char *dot = strrchr(h->name[i], '.');
		if (dot && !strcmp(dot, what) && !isnan(history_at(h, row, h->name[i])))
			return history_at(h, row, h->name[i]);
	}
	return NAN;
}

static void print_rows(const struct experiment *e)
{
	static const char *const column[] = { "stage", "parameters", "non-zero", "zero %", "MACs",      "dense B",
		                                  "csr B", "bitmap B",   "loss",     "acc %",  "ms a batch" };
	static const struct {
		const char *metric;
		double times;
		int digits;
	} cell[] = { { "parameters", 1, 0 },  { "nonzero", 1, 0 },   { "sparsity", 100, 2 },   { "macs", 1, 0 },
		         { "bytes.dense", 1, 0 }, { "bytes.csr", 1, 0 }, { "bytes.bitmap", 1, 0 }, { ".loss", 1, 4 },
		         { ".accuracy", 100, 2 }, { "forward_ms", 1, 3 } };
	const struct history *h = &e->run[0].history;
	struct tables *t = tables_create();

	table_begin(t, "pruned", sizeof column / sizeof *column, column);
	for (int row = 0; row < h->n; row++) {
		table_text(t, h->row[row].stage);
		for (size_t i = 0; i < sizeof cell / sizeof *cell; i++) {
			const char *m = cell[i].metric;
			table_number(t, cell[i].times * (*m == '.' ? accuracy_at(h, row, m) : history_at(h, row, m)),
			             cell[i].digits);
		}
	}
	if (!isnan(history_last(h, "output_difference")))
		table_note(t, "Outputs changed by at most %g when channels were removed.",
		           history_last(h, "output_difference"));
	table_note(t, "The smaller model is in %s.", e->run[0].folder.path);
	fputc('\n', stdout);
	tables_print(t, stdout, 132);
	tables_destroy(t);
}

int cmd_prune(int argc, char **argv)
{
	const char *given = NULL, *split = NULL, *variant = NULL, *with = NULL, *out = NULL, *name[NAMES_MAX];
	bool keep = false;
	const struct cli_option options[] = {
		{ 0, "with", "NAMES", "entries of [pruners], comma-separated (default: those given here, else the stages')",
		  &with, NULL },
		{ 0, "keep-channels", NULL, "only zeros: leave channels without effect where they are", NULL, &keep },
		{ 's', "split", "NAME", "evaluated before and after: an entry of [data] (default: val)", &split, NULL },
		{ 'w', "weights", "FILE", "a .safetensors file (default: the run's own)", &given, NULL },
		{ 0, "variant", "NAME", "the network and data of this variant", &variant, NULL },
		{ 'o', "out", "DIR", "where the new run folder goes (default: beside the run)", &out, NULL },
		{ 0, NULL, NULL, NULL, NULL, NULL },
	};
	struct cli c = {
		.command = "prune",
		.operands = "RUN_FOLDER|FILE [path=value ...]",
		.about = "Prunes a trained model without training it, removes the channels that are left without\n"
				 "effect, and prints sizes, accuracy and time before and after. The smaller model is\n"
				 "left in a run folder of its own, runs/x/main-pruned/main for runs/x/main.",
		.examples = "  rein prune runs/004-4-l1/main pruners.small='threshold value=0.01'\n"
					"  rein prune runs/first/main --with rows,small\n"
					"  rein prune configs/004-3-pruning.ini --with small --keep-channels\n",
		.option = options,
	};
	struct session s = { 0 };
	struct experiment *e = NULL;
	char *file = NULL, *weights = NULL, *folder = NULL, *list = NULL;
	int code = cli_parse(&c, argc, argv), n = 0;

	if (code < 0 && !c.n_operand)
		code = cli_usage(&c, "which run folder or config file?");
	weights = given ? tool_strdup(given) : NULL;
	list = with ? tool_strdup(with) : NULL;
	if (code < 0 && path_is_folder(c.operand[0])) {
		folder = tool_strdup(c.operand[0]);
		code = run_operand(&c, &file, &weights);
	}
	if (code < 0)
		code = session_open(&s, &c);
	if (code < 0 && variant && !session_variant(&s, variant))
		code = EXIT_USAGE;
	if (code < 0 && !variant && s.n_variant > 0)
		variant = s.variant[0];
	if (code < 0 && with)
		code = session_names(&s, &c, variant, "with", with, "pruners", true);
	if (code < 0 && split)
		code = session_names(&s, &c, variant, "split", split, "data", false);
	if (code < 0 && !weights)
		code = run_of_config(&s, variant, &weights);
	if (code < 0 && !(n = pruners_of(&s, variant, list, name)))
		code = cli_usage(&c, "the config has no [pruners]; add one as pruners.small='threshold value=0.01'");
	if (code < 0) {
		set_stages(&s, variant, n, name, split, keep);
		set_folder(&s, folder, out);
		set_run(&s, variant, weights);
		e = experiment_create(&s, variant, false, true);
		code = experiment_check(e);
	}
	if (code < 0)
		code = experiment_run(e);
	if (code == EXIT_DONE && e)
		print_rows(e);
	experiment_destroy(e);
	session_close(&s);
	cli_finish(&c);
	free(file);
	free(weights);
	free(folder);
	free(list);
	return code;
}
