/* SPDX-License-Identifier: MIT
 *
 * cmd_validate.c: rein validate FILE...: everything that `run` would check before training.
 */
#include "experiment.h"

#include <stdlib.h>
#include <string.h>

/* An exit code. */
static int validate(const struct cli *c, char *const *operand, int n, const char *variant)
{
	struct session s = { 0 };
	struct cli one = *c;
	struct experiment *e = NULL;

	one.operand = (char **)(uintptr_t)operand;
	one.n_operand = n;
	int code = session_open(&s, &one);
	if (code < 0 && variant && !session_variant(&s, variant))
		code = EXIT_USAGE;
	if (code < 0) {
		e = experiment_create(&s, variant, false, true);
		code = experiment_check(e);
	}
	if (code < 0) {
		printf("%s: good", s.path);
		if (e->n_variant > 1)
			printf(", %d variants", e->n_variant);
		if (e->n_run > e->n_variant)
			printf(", %d runs", e->n_run);
		putchar('\n');
		code = EXIT_DONE;
	}
	experiment_destroy(e);
	session_close(&s);
	return code;
}

int cmd_validate(int argc, char **argv)
{
	const char *variant = NULL;
	const struct cli_option options[] = {
		{ 0, "variant", "NAME", "check only this variant", &variant, NULL },
		{ 0, NULL, NULL, NULL, NULL, NULL },
	};
	struct cli c = {
		.command = "validate",
		.operands = "FILE... [path=value ...]",
		.about = "Checks configs as `rein run` does before it trains: words, numbers, plugins, data\n"
				 "files, shapes. Prints every error with its line. Exit code 0 if there are none.",
		.examples = "  rein validate configs/embedded/001-4-l1-l2.ini\n"
					"  rein validate configs/*.ini\n"
					"  rein validate configs/embedded/001-4-l1-l2.ini network.fc1.units=0\n",
		.option = options,
	};
	int code = cli_parse(&c, argc, argv), worst = EXIT_DONE;

	if (code < 0 && !c.n_operand)
		code = cli_usage(&c, "which config file?");
	if (code < 0) {
		/* Files first, then the overrides for all of them. */
		int files = 0;
		char **list = tool_alloc((size_t)c.n_operand * sizeof *list);
		while (files < c.n_operand && (!files || !strchr(c.operand[files], '=')))
			files++;
		memcpy(list + 1, c.operand + files, (size_t)(c.n_operand - files) * sizeof *list);
		for (int i = 0; i < files; i++) {
			list[0] = c.operand[i];
			int one = validate(&c, list, 1 + c.n_operand - files, variant);
			worst = one > worst ? one : worst;
		}
		free(list);
		code = worst;
	}
	cli_finish(&c);
	return code;
}
