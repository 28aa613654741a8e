/* SPDX-License-Identifier: MIT
 *
 * cmd_summary.c: rein summary FILE | RUN_FOLDER: the layer table; --program: all recorded programs.
 * Of a run it is the network as it was saved: smaller where channels were removed.
 */
#include "experiment.h"

#include <stdlib.h>

int cmd_summary(int argc, char **argv)
{
	const char *variant = NULL, *backend = NULL;
	bool program = false;
	const struct cli_option options[] = {
		{ 0, "variant", "NAME", "of this variant (default: the first)", &variant, NULL },
		{ 0, "backend", "NAME", "planned for this backend, as [run] backend: cpu, 'cuda device=1'", &backend, NULL },
		{ 'p', "program", NULL, "print what was recorded: ops, shapes, fusions, memory", NULL, &program },
		{ 0, NULL, NULL, NULL, NULL, NULL },
	};
	struct cli c = {
		.command = "summary",
		.operands = "FILE|RUN_FOLDER [path=value ...]",
		.about = "Prints the layers of a config with output shapes, parameters, multiply-adds and bytes,\n"
				 "and the memory that a run takes on its backend; of a run folder those of the network\n"
				 "that was saved, which may be smaller.",
		.examples = "  rein summary configs/embedded/001-4-l1-l2.ini\n"
					"  rein summary configs/embedded/001-4-l1-l2.ini --program | less\n"
					"  rein summary configs/004-1-baseline.ini --backend cuda\n"
					"  rein summary runs/004-5-l1-pruning/main\n",
		.option = options,
	};
	struct session s = { 0 };
	struct experiment *e = NULL;
	char *file = NULL, *weights = NULL, why[1024];
	int code = cli_parse(&c, argc, argv);

	if (code < 0 && c.n_operand && path_is_folder(c.operand[0]))
		code = run_operand(&c, &file, &weights);
	if (code < 0)
		code = session_open(&s, &c);
	if (code < 0 && variant && !session_variant(&s, variant))
		code = EXIT_USAGE;
	if (code < 0) {
		if (!variant && s.n_variant) {
			variant = s.variant[0];
			printf("variant %s\n", variant);
		}
		if (backend)
			session_override(&s, "run.backend", backend);
		s.to_load = weights != NULL;
		e = experiment_create(&s, variant, false, true);
		code = experiment_check(e);
	}
	if (code < 0 && weights && !trainer_load_model(e->first, weights, why, sizeof why)) {
		fprintf(stderr, "rein: %s\n", why);
		code = EXIT_FAILED;
	}
	if (code < 0) {
		trainer_print_layers(e->first, stdout);
		trainer_print_kept(e->first, stdout);
		trainer_print_memory(e->first, stdout);
		if (program) {
			putchar('\n');
			trainer_print_programs(e->first, stdout);
		}
		code = EXIT_DONE;
	}
	experiment_destroy(e);
	session_close(&s);
	cli_finish(&c);
	free(file);
	free(weights);
	return code;
}
