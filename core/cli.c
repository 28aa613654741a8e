/* SPDX-License-Identifier: MIT
 *
 * cli.c: command lines. getopt_long does the parsing; this file turns a table of options
 * into its form, prints help from the same table, and suggests the nearest option.
 */
#include "tool.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define MAX_OPTION  24
#define OPT_HELP    1000
#define OPT_PLUGINS 1001
#define HELP_COLUMN 24

static int count_options(const struct cli *c)
{
	int n = 0;
	while (c->option && c->option[n].name)
		n++;
	return n;
}

static void print_option(char letter, const char *name, const char *arg, const char *help)
{
	char left[64], sh[8] = "    ";
	if (letter)
		snprintf(sh, sizeof sh, "-%c, ", letter);
	snprintf(left, sizeof left, "  %s--%s%s%s", sh, name, arg ? " " : "", arg ? arg : "");
	printf("%-*s  %s\n", HELP_COLUMN + 4, left, help);
}

static void print_help(const struct cli *c)
{
	printf("Usage: rein %s [options] %s\n\n%s\n\nOptions:\n", c->command, c->operands, c->about);
	for (int i = 0; i < count_options(c); i++)
		print_option(c->option[i].letter, c->option[i].name, c->option[i].arg, c->option[i].help);
	print_option(0, "plugin-dir", "DIR", "look for plugins here first (may be repeated)");
	print_option('h', "help", NULL, "this text");
	printf("\nExamples:\n%s", c->examples);
}

int cli_usage(const struct cli *c, const char *format, ...)
{
	va_list ap;
	fprintf(stderr, "rein %s: ", c->command);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fprintf(stderr, "\nusage: rein %s [options] %s\n'rein %s --help' says more\n", c->command, c->operands, c->command);
	return EXIT_USAGE;
}

/* What getopt_long did not know. */
static int bad_option(const struct cli *c, const char *word, const struct option *known)
{
	const char *names[MAX_OPTION + 3];
	char bare[64];
	int n = 0;
	if (strncmp(word, "--", 2))
		return cli_usage(c, "unknown option '%s'", word);
	snprintf(bare, sizeof bare, "%.*s", (int)strcspn(word + 2, "="), word + 2);
	for (; known[n].name; n++)
		names[n] = known[n].name;
	names[n] = NULL;
	const char *near = diag_nearest(bare, names);
	if (near && !strcmp(near, bare))
		return cli_usage(c, "option '--%s' takes no value: '%s'", bare, word);
	if (near)
		return cli_usage(c, "unknown option '--%s'; did you mean '--%s'?", bare, near);
	return cli_usage(c, "unknown option '--%s'", bare);
}

static int take(struct cli *c, int code, int n)
{
	if (code == OPT_PLUGINS) {
		c->plugin_dir[c->n_plugin_dir++] = optarg;
		return 0;
	}
	for (int i = 0; i < n; i++) {
		const struct cli_option *o = &c->option[i];
		if (code != i + 1)
			continue;
		if (o->arg)
			*o->value = optarg;
		else
			*o->flag = true;
		return 0;
	}
	return -1;
}

int cli_parse(struct cli *c, int argc, char **argv)
{
	struct option known[MAX_OPTION + 3] = { { 0 } };
	char letters[3 * MAX_OPTION + 4] = ":h";
	int n = count_options(c), code;

	for (int i = 0; i < n; i++) {
		known[i] =
			(struct option){ c->option[i].name, c->option[i].arg ? required_argument : no_argument, NULL, i + 1 };
		if (c->option[i].letter)
			snprintf(letters + strlen(letters), 4, "%c%s", c->option[i].letter, c->option[i].arg ? ":" : "");
	}
	known[n] = (struct option){ "plugin-dir", required_argument, NULL, OPT_PLUGINS };
	known[n + 1] = (struct option){ "help", no_argument, NULL, OPT_HELP };
	c->plugin_dir = tool_alloc((size_t)argc * sizeof *c->plugin_dir);
	c->n_plugin_dir = 0;
	opterr = 0;
	optind = 0;
	while ((code = getopt_long(argc, argv, letters, known, NULL)) != -1) {
		if (code == 'h' || code == OPT_HELP) {
			print_help(c);
			return EXIT_DONE;
		}
		if (code == ':')
			return cli_usage(c, "option '%s' needs a value", argv[optind - 1]);
		if (code == '?') {
			/* A long option is the last word read; a short one may stand in a group. */
			char one[3] = { '-', (char)optopt, 0 };
			bool is_short = optopt > 0 && optopt < 128 && optind > 0 && strncmp(argv[optind - 1], "--", 2);
			return bad_option(c, is_short ? one : argv[optind - 1], known);
		}
		for (int i = 0; i < n; i++)
			if (c->option[i].letter == code && code < 128 && code > n)
				code = i + 1;
		if (take(c, code, n))
			return cli_usage(c, "unknown option");
	}
	c->n_operand = argc - optind;
	c->operand = argv + optind;
	return -1;
}

int cli_whole(const struct cli *c, const char *option, const char *text, int64_t min)
{
	int64_t n;

	if (!text || (parse_int(text, &n) && n >= min && n <= INT32_MAX))
		return -1;
	return cli_usage(c, "--%s %s: expected a whole number of at least %d", option, text, (int)min);
}

void cli_finish(struct cli *c)
{
	free(c->plugin_dir);
	c->plugin_dir = NULL;
}
