/* SPDX-License-Identifier: MIT
 *
 * cmd_attack.c: rein attack RUN_FOLDER | FILE: the robustness statement of a trained model, with
 * the attacks of its config. The stages before are not run: the weights are the run's.
 */
#include "experiment.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "robustness.h"

/* [attacks] of the config, comma-separated; NULL: there are none. */
static char *all_attacks(struct session *s, const char *variant)
{
	struct config *c = config_build(s->file, variant, s->n_override, s->override, s->diag);
	const struct section *a = c ? config_section(c, "attacks") : NULL;
	char *list = NULL;

	for (int i = 0; a && i < a->n_spec; i++) {
		char *more = list ? tool_printf("%s,%s", list, a->spec[i]->name) : tool_strdup(a->spec[i]->name);
		free(list);
		list = more;
	}
	return list;
}

/* The stages of the config make way for the one that attacks. */
static void only_attack(struct session *s, const char *variant, const char *with, const char *split, const char *rest)
{
	session_no_stages(s, variant);
	char *line = tool_printf("attack with=%s%s%s%s", with, split ? " split=" : "", split ? split : "", rest);
	session_override(s, "stages.attack", line);
	free(line);
}

static int attack(struct experiment *e, const char *weights, const char *out)
{
	struct history h = { 0 };
	struct metrics m = { 0 };
	struct tables *t = tables_create();
	char why[1024];
	int code = EXIT_DONE;

	if (!trainer_load_model(e->first, weights, why, sizeof why)) {
		fprintf(stderr, "rein: %s\n", why);
		code = EXIT_FAILED;
	} else if (trainer_next(e->first, &m, e->s->diag) < 0) {
		diag_print(e->s->diag, stderr);
		code = EXIT_FAILED;
	} else {
		history_add(&h, "attack", "attack", 0, 0, &m);
		robust_statement(&h, t);
		tables_print(t, stdout, 100);
		if (out && !trainer_write_files(e->first, out, why, sizeof why)) {
			fprintf(stderr, "rein: %s\n", why);
			code = EXIT_FAILED;
		}
	}
	history_finish(&h);
	metrics_finish(&m);
	tables_destroy(t);
	return code;
}

int cmd_attack(int argc, char **argv)
{
	const char *given = NULL, *split = NULL, *variant = NULL, *with = NULL, *limit = NULL, *out = NULL, *images = NULL;
	bool save = false;
	const struct cli_option options[] = {
		{ 0, "with", "NAMES", "attacks of [attacks], comma-separated (default: all)", &with, NULL },
		{ 's', "split", "NAME", "an entry of [data] (default: val)", &split, NULL },
		{ 0, "limit", "N", "only the first N samples", &limit, NULL },
		{ 'w', "weights", "FILE", "a .safetensors file (default: the run's own)", &given, NULL },
		{ 0, "variant", "NAME", "the network and data of this variant", &variant, NULL },
		{ 'o', "out", "DIR", "write images here, under images/", &out, NULL },
		{ 0, "images", "N", "of each attack at each size, with --out (default: 8)", &images, NULL },
		{ 0, "save", NULL, "with --out: write the adversarial sets as IDX files, under adversarial/", NULL, &save },
		{ 0, NULL, NULL, NULL, NULL, NULL },
	};
	struct cli c = {
		.command = "attack",
		.operands = "RUN_FOLDER|FILE [path=value ...]",
		.about = "Attacks a trained model and prints what it withstands: accuracy without and under each\n"
				 "attack and in the worst case, how large the changes were, what they cost, and signs of\n"
				 "masked gradients. Attacks are those of the config; path=value may add some.",
		.examples = "  rein attack runs/001-15-attacks/plain\n"
					"  rein attack runs/first/main attacks.pgd='pgd epsilon=2/255,4/255,8/255' --limit 1000\n"
					"  rein attack configs/embedded/001-15-attacks.ini --variant plain --out pictures\n",
		.option = options,
	};
	struct session s = { 0 };
	struct experiment *e = NULL;
	char *file = NULL, *weights = NULL, *list = NULL, *rest = NULL;
	int code = cli_parse(&c, argc, argv);

	if (code < 0 && !c.n_operand)
		code = cli_usage(&c, "which run folder or config file?");
	if (code < 0 && !out && (images || save))
		code = cli_usage(&c, "%s needs --out DIR, where the files go", save ? "--save" : "--images");
	if (code < 0)
		code = cli_whole(&c, "limit", limit, 1);
	if (code < 0)
		code = cli_whole(&c, "images", images, 0);
	weights = given ? tool_strdup(given) : NULL;
	if (code < 0 && path_is_folder(c.operand[0]))
		code = run_operand(&c, &file, &weights);
	if (code < 0)
		code = session_open(&s, &c);
	if (code < 0 && variant && !session_variant(&s, variant))
		code = EXIT_USAGE;
	if (code < 0 && !variant && s.n_variant > 0)
		variant = s.variant[0];
	if (code < 0 && with)
		code = session_names(&s, &c, variant, "with", with, "attacks", true);
	if (code < 0 && split)
		code = session_names(&s, &c, variant, "split", split, "data", false);
	if (code < 0 && !weights)
		code = run_of_config(&s, variant, &weights);
	if (code < 0) {
		list = with ? tool_strdup(with) : all_attacks(&s, variant);
		if (!list)
			code = cli_usage(&c, "the config has no [attacks]; add one as attacks.pgd='pgd epsilon=8/255'");
	}
	if (code < 0) {
		images = images ? images : "8";
		rest = tool_printf("%s%s%s%s%s", limit ? " limit=" : "", limit ? limit : "", out ? " images=" : "",
		                   out ? images : "", save ? " save=yes" : "");
		only_attack(&s, variant, list, split, rest);
		s.to_load = true;
		e = experiment_create(&s, variant, false, true);
		code = experiment_check(e);
	}
	if (code < 0)
		code = attack(e, weights, out);
	experiment_destroy(e);
	session_close(&s);
	cli_finish(&c);
	free(file);
	free(weights);
	free(list);
	free(rest);
	return code;
}
