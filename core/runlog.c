/* SPDX-License-Identifier: MIT
 *
 * runlog.c: metrics.jsonl, and handing each row to every logger. The core's own two loggers,
 * `jsonl` here and `progress` in progress.c, fill the same table as plugins do.
 */
#include "runlog.h"

#include "folder.h"
#include "progress.h"
#include "tool.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* fail() for the core's own loggers: plugins' hosts belong to their instances. */
struct own_host {
	struct rein_host h;
	char why[512];
};

static void own_fail(const struct rein_host *h, const char *sentence)
{
	struct own_host *o = (struct own_host *)(uintptr_t)h;
	snprintf(o->why, sizeof o->why, "%s", sentence);
}

struct sink {
	const struct rein_logger_vt *vt;
	void *self;
	const struct rein_host *host;
	struct instance *instance; /* NULL: the core's own */
};

struct jsonl {
	char *path;
	int fd;
	const struct history_row *row; /* type and epochs of the row being written */
};

struct runlog {
	struct own_host host;
	struct jsonl jsonl;
	struct live live;
	int n, cap;
	struct sink *sink;
	struct rein_number *number;
	int cap_number;
};

static rein_status jsonl_begin(void *self, const struct rein_host *h, const struct rein_run_info *info)
{
	struct jsonl *j = self;
	j->path = path_join(info->folder, FILE_METRICS);
	j->fd = open(j->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
	if (j->fd < 0)
		return rein_failf(h, "cannot open '%s': %s", j->path, strerror(errno));
	return REIN_OK;
}

/* A line is in the file whole or not at all. */
static rein_status jsonl_metrics(void *self, const struct rein_host *h, const char *stage, int64_t epoch, uint64_t n,
                                 const struct rein_number *number)
{
	struct jsonl *j = self;
	struct stat st;
	char *json = history_line(stage, j->row->type, epoch, j->row->epochs, n, number);
	size_t size = json ? strlen(json) : 0, done = 0;

	if (!json)
		return rein_failf(h, "out of memory for a line of '%s'", j->path);
	json[size++] = '\n';
	while (done < size) {
		ssize_t k = write(j->fd, json + done, size - done);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0) {
			int e = k ? errno : ENOSPC;
			if (done && !fstat(j->fd, &st) && ftruncate(j->fd, st.st_size - (off_t)done))
				e = errno;
			cJSON_free(json);
			return rein_failf(h, "cannot write '%s': %s", j->path, strerror(e));
		}
		done += (size_t)k;
	}
	cJSON_free(json);
	return REIN_OK;
}

static rein_status jsonl_end(void *self, const struct rein_host *h, rein_status how)
{
	struct jsonl *j = self;
	int e = 0;
	if (j->fd >= 0 && (fsync(j->fd) || close(j->fd)))
		e = errno;
	j->fd = -1;
	return e ? rein_failf(h, "cannot write '%s': %s", j->path, strerror(e)) : REIN_OK;
}

static const struct rein_logger_vt jsonl_vt = {
	.struct_size = sizeof jsonl_vt, .run_begin = jsonl_begin, .metrics = jsonl_metrics, .run_end = jsonl_end
};

static bool check(struct runlog *l, const struct sink *s, rein_status st, struct diag *d)
{
	if (st >= 0)
		return true;
	if (s->instance)
		instance_error(s->instance, d, "the logger failed without saying why");
	else
		diag_error(d, NULL, "%s", l->host.why);
	return false;
}

static void add_sink(struct runlog *l, const struct rein_logger_vt *vt, void *self, const struct rein_host *h,
                     struct instance *i)
{
	l->sink[l->n++] = (struct sink){ vt, self, h, i };
}

struct runlog *runlog_create(struct progress *p, const struct rein_run_info *info, int n_logger,
                             struct instance *const *logger, struct diag *d)
{
	struct runlog *l = tool_alloc(sizeof *l);
	bool good = true;

	l->host.h.struct_size = sizeof l->host.h;
	l->host.h.fail = own_fail;
	l->jsonl.fd = -1;
	l->live.progress = p;
	l->sink = tool_alloc(((size_t)n_logger + 2) * sizeof *l->sink);
	add_sink(l, &jsonl_vt, &l->jsonl, &l->host.h, NULL);
	add_sink(l, &live_vt, &l->live, &l->host.h, NULL);
	for (int i = 0; i < n_logger; i++)
		add_sink(l, &logger[i]->component->vt.logger, logger[i]->self, &logger[i]->host, logger[i]);
	for (int i = 0; i < l->n && good; i++) {
		struct sink *s = &l->sink[i];
		if (s->vt->run_begin)
			good = check(l, s, s->vt->run_begin(s->self, s->host, info), d);
	}
	if (good)
		return l;
	runlog_destroy(l, REIN_ERROR, d);
	return NULL;
}

bool runlog_metrics(struct runlog *l, const struct history_row *row, const struct metrics *m, struct diag *d)
{
	bool good = true;

	if (m->n > l->cap_number) {
		free(l->number);
		l->cap_number = m->n;
		l->number = tool_alloc((size_t)m->n * sizeof *l->number);
	}
	for (int i = 0; i < m->n; i++)
		l->number[i] = (struct rein_number){ m->m[i].name, m->m[i].value };
	l->jsonl.row = l->live.row = row;
	for (int i = 0; i < l->n; i++) {
		struct sink *s = &l->sink[i];
		if (s->vt->metrics)
			good &= check(l, s, s->vt->metrics(s->self, s->host, row->stage, row->epoch, (uint64_t)m->n, l->number), d);
	}
	return good;
}

bool runlog_sync(struct runlog *l, struct diag *d)
{
	if (!fdatasync(l->jsonl.fd))
		return true;
	diag_error(d, NULL, "cannot write '%s': %s", l->jsonl.path, strerror(errno));
	return false;
}

bool runlog_destroy(struct runlog *l, rein_status how, struct diag *d)
{
	bool good = true;
	if (!l)
		return true;
	for (int i = 0; i < l->n; i++) {
		struct sink *s = &l->sink[i];
		if (s->vt->run_end)
			good &= check(l, s, s->vt->run_end(s->self, s->host, how), d);
	}
	free(l->jsonl.path);
	free(l->number);
	free(l->sink);
	free(l);
	return good;
}
