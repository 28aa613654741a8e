/* SPDX-License-Identifier: MIT
 *
 * main.c: the command `rein`. A new command is a row of `commands`.
 */
#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "blame.h"
#include "tool.h"

static const struct {
	const char *name, *summary;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "run", "train all variants and seeds of a config and compare them", cmd_run },
	{ "validate", "check configs without training", cmd_validate },
	{ "summary", "print the layers, or the programs, of a config", cmd_summary },
	{ "inspect", "list plugins and their keys", cmd_inspect },
	{ "evaluate", "loss and accuracy of saved weights", cmd_evaluate },
	{ "attack", "what a trained model withstands", cmd_attack },
	{ "prune", "a trained model pruned, and without the channels that are left without effect", cmd_prune },
	{ "show", "a sample as an epoch sees it, as pictures", cmd_show },
	{ "check", "hold a backend to the reference, or look for faults in a plugin", cmd_check },
	{ "doctor", "what this machine has, and what is missing", cmd_doctor },
};
#define N_COMMAND ((int)(sizeof commands / sizeof commands[0]))

static void help(FILE *out)
{
	fprintf(out, "rein trains, attacks and prunes neural networks to study regularization, from INI files.\n\n"
	             "Usage: rein COMMAND [options] ...\n\nCommands:\n");
	for (int i = 0; i < N_COMMAND; i++)
		fprintf(out, "  %-10s  %s\n", commands[i].name, commands[i].summary);
	fprintf(out, "\nOptions:\n  -h, --help     this text; 'rein COMMAND --help' for one command\n"
	             "      --version  print the version\n\n"
	             "Exit codes: 0 done, 1 a run failed, 2 wrong usage or config, 3 a plugin could not be loaded.\n\n"
	             "Examples:\n  rein run configs/embedded/001-4-l1-l2.ini\n  rein inspect\n");
}

/* Output that a full disk swallowed is no success. */
static int written(int code)
{
	bool flushed = !fflush(stdout);

	if (flushed && !ferror(stdout))
		return code;
	if (flushed) { /* what failed was in the midst of it, and why is forgotten: it will fail again */
		clearerr(stdout);
		flushed = fputc('\n', stdout) != EOF && !fflush(stdout);
	}
	fprintf(stderr, "rein: cannot write to the standard output%s%s\n", flushed ? "" : ": ",
	        flushed ? "" : strerror(errno));
	return code == EXIT_DONE ? EXIT_FAILED : code;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "", *names[N_COMMAND + 1] = { NULL };

#ifdef M_MMAP_THRESHOLD /* images decoded one after another reuse memory instead of getting zeroed pages each time */
	mallopt(M_MMAP_THRESHOLD, 1 << 25);
	mallopt(M_TRIM_THRESHOLD, 1 << 28);
#endif

	blame_catch();
	if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help")) {
		help(stdout);
		return EXIT_DONE;
	}
	if (!strcmp(name, "--version")) {
		printf("rein %s (ABI %u.%u)\n", REIN_VERSION, REIN_ABI_MAJOR, REIN_ABI_MINOR);
		return EXIT_DONE;
	}
	for (int i = 0; i < N_COMMAND; i++) {
		names[i] = commands[i].name;
		if (!strcmp(name, commands[i].name))
			return written(commands[i].run(argc - 1, argv + 1));
	}
	if (!*name) {
		help(stderr);
		return EXIT_USAGE;
	}
	const char *near = diag_nearest(name, names);
	fprintf(stderr, "rein: unknown command '%s'%s%s%s; 'rein --help' lists them\n", name,
	        near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
	return EXIT_USAGE;
}
