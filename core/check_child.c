/* SPDX-License-Identifier: MIT
 *
 * check_child.c: cases run in a child process, so that one that crashes or hangs takes nothing
 * with it: the parent names it, and a new child goes on behind it. The backend is opened in the
 * child alone. Reports come through a pipe, each smaller than PIPE_BUF and so in one piece.
 */
#include "check.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tool.h"

_Static_assert(sizeof(struct check_report) <= PIPE_BUF, "a report is written in one piece");

#define MOST_CRASHES 3 /* of one op, then its other cases are left out */

struct child {
	pid_t pid;
	int from; /* end of the pipe to read */
};

static void say(int to, const struct check_report *r)
{
	ssize_t n;
	do
		n = write(to, r, sizeof *r);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof *r)
		_exit(EXIT_FAILED);
}

static _Noreturn void work(const struct check_target *t, int from, int n, const struct check_case *c,
                           const bool *left_out, int to)
{
	struct check_report r = { .number = -1 };
	struct check_bench *b = check_open(t, &r);
	say(to, &r);
	for (int k = from; k < n && b; k++) {
		if (left_out[c[k].op])
			continue;
		r = (struct check_report){ .number = k, .status = CHECK_BEGIN };
		say(to, &r);
		check_run(b, &c[k], &r);
		say(to, &r);
	}
	check_close(b);
	_exit(EXIT_DONE);
}

static struct child start(const struct check_target *t, int from, int n, const struct check_case *c,
                          const bool *left_out)
{
	int end[2];
	fflush(stdout);
	fflush(stderr);
	if (pipe(end) < 0) {
		perror("rein: pipe");
		exit(EXIT_FAILED);
	}
	struct child child = { fork(), end[0] };
	if (child.pid < 0) {
		perror("rein: fork");
		exit(EXIT_FAILED);
	}
	if (child.pid == 0) {
		close(end[0]);
		work(t, from, n, c, left_out, end[1]);
	}
	close(end[1]);
	return child;
}

/* 1: a report, 0: the child is gone, -1: it took too long. */
static int next(const struct child *c, int seconds, struct check_report *r)
{
	struct pollfd p = { .fd = c->from, .events = POLLIN };
	int n = poll(&p, 1, seconds * 1000);
	while (n < 0 && errno == EINTR)
		n = poll(&p, 1, seconds * 1000);
	if (n == 0)
		return -1;
	return read(c->from, r, sizeof *r) == (ssize_t)sizeof *r;
}

/* How a child came to its end, as text. */
static void ended(const struct child *c, bool killed, int seconds, char *out, size_t size)
{
	int status = 0;
	close(c->from);
	if (killed)
		kill(c->pid, SIGKILL);
	while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (killed)
		snprintf(out, size, "took longer than %d seconds", seconds);
	else if (WIFSIGNALED(status))
		snprintf(out, size, "crashed: %s", strsignal(WTERMSIG(status)));
	else
		snprintf(out, size, "ended the process with exit code %d", WEXITSTATUS(status));
}

bool check_children(const struct check_target *t, int n, const struct check_case *c, int seconds,
                    void (*on)(void *ctx, const struct check_case *, const struct check_report *), void *ctx,
                    struct check_report *first)
{
	bool left_out[REIN_OP_COUNT] = { false };
	int crashes[REIN_OP_COUNT] = { 0 };
	int at = 0; /* the case that is next or under way */
	first->status = CHECK_CRASHED;
	while (at < n) {
		struct child child = start(t, at, n, c, left_out);
		struct check_report r = { .number = -1 };
		bool open = false, under_way = false;
		char how[sizeof r.text];
		int got;
		while ((got = next(&child, seconds, &r)) == 1) {
			if (r.number < 0 && at == 0)
				*first = r;
			if (r.number < 0 && !(open = r.status == CHECK_READY)) {
				ended(&child, false, seconds, how, sizeof how);
				return false;
			}
			under_way = r.status == CHECK_BEGIN;
			if (r.number >= 0)
				at = r.number + !under_way;
			if (r.number >= 0 && !under_way)
				on(ctx, &c[r.number], &r);
		}
		ended(&child, got < 0, seconds, how, sizeof how);
		if (!under_way && got == 0 && open) /* all that were left are done */
			break;
		if (!open) {
			first->status = CHECK_NO_DEVICE;
			snprintf(first->text, sizeof first->text, "%s %.200s while it was opened", t->text, how);
			return false;
		}
		r = (struct check_report){ .number = at, .status = CHECK_CRASHED };
		left_out[c[at].op] = ++crashes[c[at].op] >= MOST_CRASHES;
		snprintf(r.text, sizeof r.text, "%.200s%s", how,
		         left_out[c[at].op] ? "; other cases of this op are left out" : "");
		on(ctx, &c[at], &r);
		at++;
	}
	return true;
}
