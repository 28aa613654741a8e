/* SPDX-License-Identifier: MIT
 *
 * progress.c: the logger that shows a run on the standard output: on a terminal one line that
 * is painted over, in a pipe about twenty lines per run, evenly chosen, always the last.
 */
#include "progress.h"

#include "rein/logger.h"
#include "tool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define PLAIN_LINES   20 /* per run; of experiments with many runs: */
#define MANY_RUNS     4
#define MANY_LINES    5
#define PAINT_SECONDS 0.1

static double now_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void progress_init(struct progress *p, bool quiet)
{
	const char *term = getenv("TERM"), *none = getenv("NO_COLOR");
	bool tty = isatty(STDOUT_FILENO) && (!term || strcmp(term, "dumb"));
	memset(p, 0, sizeof *p);
	p->quiet = quiet;
	p->live = tty && !quiet;
	p->color = p->live && !(none && *none);
	p->runs = 1;
}

void progress_clear(struct progress *p)
{
	if (p->shown)
		fputs("\r\033[K", stdout);
	p->shown = 0;
	fflush(stdout);
}

void progress_say(struct progress *p, const char *format, ...)
{
	va_list ap;
	if (p->quiet)
		return;
	progress_clear(p);
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	fputc('\n', stdout);
	fflush(stdout);
}

static int terminal_width(void)
{
	struct winsize w;
	return !ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) && w.ws_col > 20 ? w.ws_col : 80;
}

/* --- one row as a line -------------------------------------------------------------- */

static double find(uint64_t n, const struct rein_number *m, const char *name)
{
	for (uint64_t i = 0; i < n; i++)
		if (!strcmp(m[i].name, name))
			return m[i].value;
	return NAN;
}

static void append(char *line, size_t size, const char *format, ...)
{
	size_t used = strlen(line);
	va_list ap;
	va_start(ap, format);
	vsnprintf(line + used, size - used, format, ap);
	va_end(ap);
}

/* "  train 0.4312 83.3%" */
static void append_split(char *line, size_t size, uint64_t n, const struct rein_number *m, const char *split)
{
	char name[96];
	snprintf(name, sizeof name, "%s.loss", split);
	double loss = find(n, m, name);
	snprintf(name, sizeof name, "%s.accuracy", split);
	double accuracy = find(n, m, name);
	if (isnan(loss) && isnan(accuracy))
		return;
	append(line, size, "  %s", split);
	if (!isnan(loss))
		append(line, size, loss != 0 && (fabs(loss) < 1e-3 || fabs(loss) >= 1e4) ? " %.2e" : " %.4f", loss);
	if (!isnan(accuracy))
		append(line, size, " %.1f%%", 100 * accuracy);
}

/* Every number of a stage that is not training, splits first. */
static void append_all(char *line, size_t size, uint64_t n, const struct rein_number *m)
{
	int shown = 0;
	for (uint64_t i = 0; i < n && shown < 6; i++) {
		const char *dot = strrchr(m[i].name, '.');
		char split[96];
		if (!strncmp(m[i].name, "norm.", 5) || !strncmp(m[i].name, "gradient_norm.", 14) ||
		    !strcmp(m[i].name, "data_wait_s"))
			continue;
		shown++;
		if (dot && !strcmp(dot, ".loss")) {
			snprintf(split, sizeof split, "%.*s", (int)(dot - m[i].name), m[i].name);
			append_split(line, size, n, m, split);
		} else if (dot && !strcmp(dot, ".accuracy")) {
			snprintf(split, sizeof split, "%.*s.loss", (int)(dot - m[i].name), m[i].name);
			if (isnan(find(n, m, split)))
				append(line, size, "  %s %.1f%%", m[i].name, 100 * m[i].value);
		} else {
			append(line, size, "  %s %.6g", m[i].name, m[i].value);
		}
	}
}

static void append_speed(char *line, size_t size, double per_s)
{
	if (isnan(per_s) || per_s <= 0)
		return;
	if (per_s >= 1e6)
		append(line, size, "  %.1fM samples/s", per_s / 1e6);
	else if (per_s >= 1e4)
		append(line, size, "  %.0fk samples/s", per_s / 1e3);
	else
		append(line, size, "  %.0f samples/s", per_s);
}

static void append_eta(char *line, size_t size, double s)
{
	if (s >= 3600)
		append(line, size, "  ETA %.0fh%02.0fm", floor(s / 3600), floor(fmod(s, 3600) / 60));
	else if (s >= 60)
		append(line, size, "  ETA %.0fm%02.0fs", floor(s / 60), floor(fmod(s, 60)));
	else
		append(line, size, "  ETA %.0fs", ceil(s));
}

/* --- the logger --------------------------------------------------------------------- */

/* Cuts at the terminal's edge; all of it is ASCII but for names. */
static void paint(struct live *l, const char *line)
{
	struct progress *p = l->progress;
	int width = terminal_width() - 1;
	fputs("\r\033[K", stdout);
	if (p->color)
		fputs("\033[36m", stdout);
	int who = printf("%.*s", width, l->who);
	if (p->color)
		fputs("\033[0m", stdout);
	printf("%.*s", who < width ? width - who : 0, line);
	fflush(stdout);
	p->shown = 1;
	l->painted = now_seconds();
}

static rein_status live_begin(void *self, const struct rein_host *h, const struct rein_run_info *info)
{
	struct live *l = self;
	const struct progress *p = l->progress;

	l->who[0] = 0;
	if (p->runs > 1)
		append(l->who, sizeof l->who, "[%d/%d]", p->run, p->runs);
	if (p->variants)
		append(l->who, sizeof l->who, " %s", info->variant);
	if (p->seeds)
		append(l->who, sizeof l->who, " seed %lld", (long long)info->seed);
	if (l->who[0])
		append(l->who, sizeof l->who, "  ");
	if (p->live)
		paint(l, "starting");
	return REIN_OK;
}

/* A line that stays. */
static void live_line(struct live *l, const char *line)
{
	if (!line[0])
		return;
	paint(l, line);
	fputc('\n', stdout);
	l->progress->shown = 0;
}

static bool plain_turn(struct live *l, int64_t epoch, int64_t epochs)
{
	int lines = l->progress->runs > MANY_RUNS ? MANY_LINES : PLAIN_LINES;
	if (epoch == epochs || epochs <= lines)
		return true;
	/* A row may stand for several epochs: has a border been passed since the last line? */
	return epoch * lines / epochs > l->printed * lines / epochs;
}

static void show_plain(struct live *l, const char *line)
{
	printf("%s%s\n", l->who, line);
	fflush(stdout);
	l->pending[0] = 0;
}

/* A new stage: its clock starts when its first row arrives, which may be long after epoch 1. */
static void begin_stage(struct live *l, const char *stage, int64_t epoch)
{
	if (!strcmp(l->stage, stage))
		return;
	if (l->pending[0] && !l->progress->live)
		show_plain(l, l->pending);
	snprintf(l->stage, sizeof l->stage, "%s", stage);
	l->first = epoch;
	l->first_at = now_seconds();
	l->printed = epoch - 1;
}

static rein_status live_metrics(void *self, const struct rein_host *h, const char *stage, int64_t epoch, uint64_t n,
                                const struct rein_number *m)
{
	struct live *l = self;
	struct progress *p = l->progress;
	bool train = !strcmp(l->row->type, "train");
	char line[256] = "";
	double t = now_seconds();

	if (p->quiet)
		return REIN_OK;
	begin_stage(l, stage, epoch);
	if (!train) {
		append(line, sizeof line, "%s:", stage);
		append_all(line, sizeof line, n, m);
		if (p->live) {
			live_line(l, l->pending);
			live_line(l, line);
		} else {
			show_plain(l, line);
		}
		l->pending[0] = 0;
		return REIN_OK;
	}
	int digits = snprintf(NULL, 0, "%lld", (long long)l->row->epochs);
	append(line, sizeof line, "epoch %*lld/%lld", digits, (long long)epoch, (long long)l->row->epochs);
	append_split(line, sizeof line, n, m, "train");
	append_split(line, sizeof line, n, m, "val");
	append_speed(line, sizeof line, find(n, m, "samples_per_s"));
	if (epoch > l->first && epoch < l->row->epochs)
		append_eta(line, sizeof line,
		           (t - l->first_at) / (double)(epoch - l->first) * (double)(l->row->epochs - epoch));
	snprintf(l->pending, sizeof l->pending, "%s", line);
	if (p->live) {
		if (epoch == l->row->epochs || t - l->painted >= PAINT_SECONDS)
			paint(l, line);
	} else if (plain_turn(l, epoch, l->row->epochs)) {
		l->printed = epoch;
		show_plain(l, line);
	}
	return REIN_OK;
}

static rein_status live_end(void *self, const struct rein_host *h, rein_status how)
{
	struct live *l = self;
	if (l->pending[0] && !l->progress->quiet) {
		if (l->progress->live)
			paint(l, l->pending);
		else
			show_plain(l, l->pending);
	}
	if (l->progress->shown)
		fputc('\n', stdout);
	l->progress->shown = 0;
	fflush(stdout);
	return REIN_OK;
}

const struct rein_logger_vt live_vt = {
	.struct_size = sizeof live_vt, .run_begin = live_begin, .metrics = live_metrics, .run_end = live_end
};
