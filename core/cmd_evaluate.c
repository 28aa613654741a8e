/* SPDX-License-Identifier: MIT
 *
 * cmd_evaluate.c: rein evaluate RUN_FOLDER | FILE --weights F: loss and accuracy of a model.
 */
#include "experiment.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int evaluate(struct experiment *e, const char *weights, const char *split)
{
	struct metrics m = { 0 };
	struct tables *t = tables_create();
	char why[1024], name[128];
	int code = EXIT_DONE;

	if (!trainer_load_model(e->first, weights, why, sizeof why)) {
		fprintf(stderr, "rein: %s\n", why);
		code = EXIT_FAILED;
	} else if (trainer_evaluate(e->first, split, &m, e->s->diag) < 0) {
		diag_print(e->s->diag, stderr);
		code = EXIT_FAILED;
	} else {
		const char *const column[] = { "split", "samples", "loss", "accuracy %" };
		const struct split *s = data_split(trainer_data(e->first), split);
		snprintf(name, sizeof name, "%s.accuracy", split);
		double accuracy = metrics_get(&m, name);
		table_begin(t, weights, accuracy == accuracy ? 4 : 3, column);
		table_text(t, split);
		table_number(t, s ? (double)s->n : 0, 0);
		snprintf(name, sizeof name, "%s.loss", split);
		table_number(t, metrics_get(&m, name), 6);
		if (accuracy == accuracy)
			table_number(t, 100 * accuracy, 2);
		tables_print(t, stdout, 100);
	}
	metrics_finish(&m);
	tables_destroy(t);
	return code;
}

int cmd_evaluate(int argc, char **argv)
{
	const char *given = NULL, *split = "val", *variant = NULL;
	const struct cli_option options[] = {
		{ 'w', "weights", "FILE", "a .safetensors file (default: the run's own)", &given, NULL },
		{ 's', "split", "NAME", "an entry of [data] (default: val)", &split, NULL },
		{ 0, "variant", "NAME", "the network and data of this variant", &variant, NULL },
		{ 0, NULL, NULL, NULL, NULL, NULL },
	};
	struct cli c = {
		.command = "evaluate",
		.operands = "RUN_FOLDER|FILE [path=value ...]",
		.about = "Prints loss and accuracy of saved weights on a split.",
		.examples = "  rein evaluate runs/first/main\n"
					"  rein evaluate runs/first/main --split train\n"
					"  rein evaluate configs/embedded/001-4-l1-l2.ini --weights other.safetensors\n",
		.option = options,
	};
	struct session s = { 0 };
	struct experiment *e = NULL;
	char *file = NULL, *weights = NULL;
	int code = cli_parse(&c, argc, argv);

	if (code < 0 && !c.n_operand)
		code = cli_usage(&c, "which run folder or config file?");
	weights = given ? tool_strdup(given) : NULL;
	if (code < 0 && path_is_folder(c.operand[0]))
		code = run_operand(&c, &file, &weights);
	else if (code < 0 && !weights)
		code = access(c.operand[0], F_OK) ? cli_usage(&c, "there is no folder or file '%s'", c.operand[0])
		                                  : cli_usage(&c, "a config file needs --weights");
	if (code < 0)
		code = session_open(&s, &c);
	if (code < 0 && variant && !session_variant(&s, variant))
		code = EXIT_USAGE;
	if (code < 0) {
		if (!variant && s.n_variant > 0)
			variant = s.variant[0];
		s.to_load = true;
		e = experiment_create(&s, variant, false, true);
		code = experiment_check(e);
	}
	if (code < 0)
		code = evaluate(e, weights, split);
	experiment_destroy(e);
	session_close(&s);
	cli_finish(&c);
	free(file);
	free(weights);
	return code;
}
