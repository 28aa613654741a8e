/* SPDX-License-Identifier: MIT
 *
 * blame.c: names the plugin that crashes. The handler runs in the thread that crashed, on
 * a stack of its own where that is the main one, and calls nothing but write().
 */
#include "blame.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Thread_local const struct instance *now;
static const char *opening; /* plugins are opened by one thread */

static const struct {
	int number;
	const char *what;
} crashes[] = {
	{ SIGSEGV, "it touched memory that is not there" },
	{ SIGBUS, "it touched memory that is not there" },
	{ SIGFPE, "an integer division by zero, or an overflow" },
	{ SIGILL, "an instruction this machine does not have" },
	{ SIGABRT, "it called abort()" },
};
#define N_CRASH (sizeof crashes / sizeof *crashes)
static struct sigaction before[N_CRASH];

const struct instance *blame(const struct instance *who)
{
	const struct instance *was = now;
	now = who;
	return was;
}

void blame_back(const struct instance *was) { now = was; }

void blame_file(const char *path) { opening = path; }

static void say(const char *text)
{
	if (text && write(STDERR_FILENO, text, strlen(text)) < 0)
		_exit(EXIT_FAILURE);
}

static void say_line(int line)
{
	char digit[16], *p = digit + sizeof digit;
	*--p = 0;
	do
		*--p = (char)('0' + line % 10);
	while ((line /= 10) > 0 && p > digit);
	say(":");
	say(p);
}

static void say_who(const struct instance *who)
{
	const struct spec *spec = who->spec;
	if (spec && spec->at.file) {
		say(spec->at.file);
		if (spec->at.line > 0)
			say_line(spec->at.line);
		say(": [");
		say(spec->section);
		say("] ");
	}
	say(who->name);
	say(": ");
	say(kind_name(who->component->c.kind));
	say(" '");
	say(who->component->c.name);
	say("' crashed");
}

static void on_crash(int number)
{
	size_t k = 0;
	while (k + 1 < N_CRASH && crashes[k].number != number)
		k++;
	/* Whatever would have happened without us happens after this: the instruction is tried
	 * again, or abort() goes on. */
	sigaction(number, &before[k], NULL);
	if (!now && !opening)
		return;
	say("\n");
	if (now) {
		say_who(now);
		say(" (");
		say(now->component->path);
	} else {
		say("a plugin crashed while it was opened (");
		say(opening);
	}
	say("): ");
	say(crashes[k].what);
	say("\n");
}

void blame_catch(void)
{
	static char stack[64 * 1024];
	const stack_t own = { .ss_sp = stack, .ss_size = sizeof stack };
	struct sigaction act = { .sa_handler = on_crash, .sa_flags = SA_ONSTACK };

	sigaltstack(&own, NULL);
	for (size_t i = 0; i < N_CRASH; i++)
		sigaction(crashes[i].number, &act, &before[i]);
}
