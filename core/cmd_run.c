/* SPDX-License-Identifier: MIT
 *
 * cmd_run.c: rein run FILE [path=value ...].
 */
#include "experiment.h"

#include <ctype.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void on_signal(int number)
{
	static const char first[] = "\nstopping after this epoch; once more stops at once\n",
					  second[] = "\nstopped; --resume goes on from the last checkpoint\n";
	const char *text = stop_requested ? second : first;
	size_t n = stop_requested ? sizeof second : sizeof first;
	if (write(STDERR_FILENO, text, n - 1) < 0 || stop_requested)
		_exit(EXIT_FAILED);
	stop_requested = 1;
}

/* A full disk and a closed pipe become things that can be said. */
static void ignore_signals(void)
{
	struct sigaction none = { .sa_handler = SIG_IGN };
	sigaction(SIGPIPE, &none, NULL);
	sigaction(SIGXFSZ, &none, NULL);
}

/* So does Ctrl-C, from the moment there is something to keep: before, it just ends rein. */
static void catch_signals(void)
{
	struct sigaction stop = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGTERM, &stop, NULL);
}

static void quote(FILE *out, const char *s)
{
	bool plain = *s != 0;
	for (const char *c = s; *c; c++)
		plain &= isalnum((unsigned char)*c) || strchr("_-./=,:+@%", *c) != NULL;
	if (plain) {
		fputs(s, out);
		return;
	}
	fputc('\'', out);
	for (; *s; s++)
		fputs(*s == '\'' ? "'\\''" : (char[]){ *s, 0 }, out);
	fputc('\'', out);
}

/* The command line that goes on with this experiment. */
static char *again(int argc, char *const *argv, bool resume)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		return tool_strdup("rein run --resume");
	fputs("rein run", out);
	for (int i = 1; i < argc; i++) {
		fputc(' ', out);
		quote(out, argv[i]);
	}
	fputs(resume ? "" : " --resume", out);
	fclose(out);
	return text;
}

int cmd_run(int argc, char **argv)
{
	const char *out = NULL, *variant = NULL, *threads = NULL;
	bool resume = false, quiet = false, timed = false;
	const struct cli_option options[] = {
		{ 0, "variant", "NAME", "run only this variant", &variant, NULL },
		{ 0, "out", "DIR", "where run folders go (default: [run] out, or runs)", &out, NULL },
		{ 0, "resume", NULL, "skip what is finished, go on with what was interrupted", NULL, &resume },
		{ 't', "threads", "N", "threads to use; results do not depend on it", &threads, NULL },
		{ 0, "time", NULL, "print how long each kernel took at best; adds clock calls to every step", NULL, &timed },
		{ 'q', "quiet", NULL, "print only the final tables, warnings and errors", NULL, &quiet },
		{ 0, NULL, NULL, NULL, NULL, NULL },
	};
	struct cli c = {
		.command = "run",
		.operands = "FILE [path=value ...]",
		.about = "Trains every variant of a config over all its seeds and compares them in a table.\n"
				 "Each run leaves a folder runs/<config>/<variant>[/seed-<k>] with resolved.ini,\n"
				 "metrics.jsonl, model.safetensors and checkpoint.safetensors; the tables are in\n"
				 "runs/<config>/tables.txt and tables.json. An earlier run there is replaced when\n"
				 "the new one is complete.",
		.examples = "  rein run configs/embedded/001-4-l1-l2.ini\n"
					"  rein run configs/embedded/001-4-l1-l2.ini run.epochs=1 network.fc1.units=100\n"
					"  rein run configs/embedded/001-4-l1-l2.ini --variant l1 regularizers.l1=    (removes it)\n"
					"  rein run configs/embedded/001-4-l1-l2.ini --variant l1 --resume\n",
		.option = options,
	};
	struct session s = { 0 };
	struct experiment *e = NULL;
	char **kept = tool_alloc(((size_t)argc + 1) * sizeof *kept), *line = NULL;

	memcpy(kept, argv, (size_t)argc * sizeof *kept); /* getopt puts options first */
	int code = cli_parse(&c, argc, argv);
	if (code < 0)
		code = session_open(&s, &c);
	if (code < 0 && variant && !session_variant(&s, variant))
		code = EXIT_USAGE;
	if (code < 0) {
		if (out)
			session_override(&s, "run.out", out);
		if (threads)
			session_override(&s, "run.threads", threads);
		s.timed = timed;
		ignore_signals();
		line = again(argc, kept, resume);
		e = experiment_create(&s, variant, resume, quiet);
		e->again = line;
		code = experiment_check(e);
	}
	if (code < 0) {
		catch_signals();
		code = experiment_run(e);
	}
	experiment_destroy(e);
	session_close(&s);
	cli_finish(&c);
	free(kept);
	free(line);
	return code;
}
