/* SPDX-License-Identifier: MIT
 *
 * cmd_summary.c: rein summary FILE: the layer table; --program: all recorded programs.
 */
#include "experiment.h"

#include <stdlib.h>

int cmd_summary(int argc, char **argv)
{
	const char *variant = NULL;
	bool program = false;
	const struct cli_option options[] = {
		{ 0, "variant", "NAME", "of this variant (default: the first)", &variant, NULL },
		{ 'p', "program", NULL, "print what was recorded: ops, shapes, fusions, memory", NULL, &program },
		{ 0, NULL, NULL, NULL, NULL, NULL },
	};
	struct cli c = {
		.command = "summary",
		.operands = "FILE [path=value ...]",
		.about = "Prints the layers of a config with output shapes, parameters, multiply-adds and bytes.",
		.examples = "  rein summary configs/embedded/001-4-l1-l2.ini\n"
					"  rein summary configs/embedded/001-4-l1-l2.ini --program | less\n",
		.option = options,
	};
	struct session s = { 0 };
	struct experiment *e = NULL;
	int code = cli_parse(&c, argc, argv);

	if (code < 0)
		code = session_open(&s, &c);
	if (code < 0 && variant && !session_variant(&s, variant))
		code = EXIT_USAGE;
	if (code < 0) {
		if (!variant && s.n_variant) {
			variant = s.variant[0];
			printf("variant %s\n", variant);
		}
		e = experiment_create(&s, variant, false, true);
		code = experiment_check(e);
	}
	if (code < 0) {
		trainer_print_layers(e->first, stdout);
		if (program) {
			putchar('\n');
			trainer_print_programs(e->first, stdout);
		}
		code = EXIT_DONE;
	}
	experiment_destroy(e);
	session_close(&s);
	cli_finish(&c);
	return code;
}
