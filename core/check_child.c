/* SPDX-License-Identifier: MIT
 *
 * check_child.c: cases run in a child process, so that one that crashes or hangs takes nothing
 * with it: the parent names it, and a new child goes on behind it. Backends are opened and
 * components made in the child alone. Reports come through a pipe, each smaller than PIPE_BUF and so in one piece.
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

#define MOST_CRASHES 3 /* of one group, then its other cases are left out */

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

static _Noreturn void work(const struct check_jobs *j, int from, const bool *left_out, int to)
{
	struct check_report r = { .number = -1, .status = CHECK_READY };
	void *opened = j->open(j->ctx, &r);
	say(to, &r);
	for (int k = from; k < j->n && opened; k++) {
		if (left_out[j->group(j->ctx, k)])
			continue;
		r = (struct check_report){ .number = k, .status = CHECK_BEGIN };
		say(to, &r);
		r.status = CHECK_PASSED;
		j->run(opened, j->ctx, k, &r);
		say(to, &r);
	}
	if (opened)
		j->close(opened);
	_exit(EXIT_DONE);
}

static struct child start(const struct check_jobs *j, int from, const bool *left_out)
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
		work(j, from, left_out, end[1]);
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

/* How a child came to its end, as text; false if it was not as it should. */
static bool ended(const struct child *c, bool killed, int seconds, char *out, size_t size)
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
	return !killed && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_DONE;
}

/* One child, from case *at on; *at is then the case that it died in, or j->n. */
static bool one_child(const struct check_jobs *j, int *at, const bool *left_out, char *how, size_t size,
                      struct check_report *first)
{
	struct child child = start(j, *at, left_out);
	struct check_report r;
	bool open = false, under_way = false;
	int got;
	while ((got = next(&child, j->seconds, &r)) == 1) {
		if (r.number < 0) {
			*first = r;
			open = r.status == CHECK_READY;
			continue;
		}
		under_way = r.status == CHECK_BEGIN;
		*at = r.number + !under_way;
		if (!under_way)
			j->on(j->ctx, r.number, &r);
	}
	bool good = ended(&child, got < 0, j->seconds, how, size);
	if (open && !under_way && got == 0) { /* what is left belongs to groups that are left out */
		if (!good) {
			r = (struct check_report){ .number = *at > 0 ? *at - 1 : 0, .status = CHECK_CRASHED };
			snprintf(r.text, sizeof r.text, "it %.200s while it was closed", how);
			j->on(j->ctx, r.number, &r);
		}
		*at = j->n;
	}
	if (!open && first->status == CHECK_READY) {
		first->status = CHECK_NO_DEVICE;
		snprintf(first->text, sizeof first->text, "it %.200s while it was opened", how);
	}
	return open;
}

bool check_children(const struct check_jobs *j, struct check_report *first)
{
	bool *left_out = tool_alloc((size_t)j->n_group * sizeof *left_out), open = true;
	int *crashes = tool_alloc((size_t)j->n_group * sizeof *crashes);
	*first = (struct check_report){ .status = CHECK_READY };
	for (int at = 0; at < j->n && open; at++) {
		char how[256];
		struct check_report r = { .status = CHECK_CRASHED };
		open = one_child(j, &at, left_out, how, sizeof how, first);
		if (!open || at == j->n)
			break;
		int group = j->group(j->ctx, at);
		left_out[group] = ++crashes[group] >= MOST_CRASHES;
		r.number = at;
		snprintf(r.text, sizeof r.text, "%s%s", how, left_out[group] ? "; other cases of it are left out" : "");
		j->on(j->ctx, at, &r);
	}
	free(left_out);
	free(crashes);
	return open;
}
