/* SPDX-License-Identifier: MIT
 *
 * experiment.c: variants x seeds of a config: read, checked, placed into folders, run one
 * after the other with one cache of data and one opened backend, and put into tables.
 */
#include "experiment.h"

#include "checkpoint.h"
#include "resolved.h"
#include "robustness.h"
#include "spec.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define TABLE_WIDTH 100

/* --- backends ----------------------------------------------------------------------- */

static void on_log(void *ctx, uint32_t level, const char *line)
{
	struct experiment *e = ctx;
	if (level == REIN_LOG_DEBUG || (level == REIN_LOG_INFO && e && e->progress.quiet))
		return;
	if (e)
		progress_clear(&e->progress);
	fprintf(stderr, "%s%s\n", level == REIN_LOG_WARN ? "warning: " : "", line);
}

static struct host_env make_env(const struct config *c, int64_t seed, struct diag *d, void *ctx)
{
	const char *root = getenv("REIN_DATA"), *slash = strrchr(c->path, '/');
	static char dir[4096];
	snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - c->path) : 1, slash ? c->path : ".");
	return (struct host_env){ .seed = (uint64_t)seed,
		                      .data_root = root && *root ? root : NULL,
		                      .config_dir = dir[0] ? dir : "/",
		                      .diag = d,
		                      .config = c,
		                      .log = on_log,
		                      .log_ctx = ctx };
}

void backend_close(struct open_backend *b)
{
	if (!b)
		return;
	instance_destroy(b->instance);
	pool_destroy(b->keys);
	free(b);
}

/* Probed, not yet opened; NULL with the reason. text: a name, and keys behind it (whose errors
 * go to the session). */
static struct open_backend *probe(struct session *s, const struct config *c, const char *text, const struct place *at,
                                  char *why, size_t size)
{
	struct open_backend *b = tool_alloc(sizeof *b);
	struct diag *quiet = diag_create(), *d = strchr(text, '=') ? s->diag : quiet;
	struct host_env env = make_env(c, 0, d, NULL);

	snprintf(b->name, sizeof b->name, "%.*s", (int)strcspn(text, " \t"), text);
	b->spec = (struct spec){ .section = "run", .name = "backend", .component = b->name };
	if (at)
		b->spec.at = *at;
	if (d == s->diag && at) {
		b->keys = pool_create();
		spec_parse(b->keys, text, at, &b->spec, d);
		b->spec.component = b->name;
	}
	b->device.struct_size = sizeof b->device;
	b->instance = instance_create(s->registry, REIN_BACKEND, &b->spec, &env, NULL, NULL, d);
	rein_status st = REIN_ERROR;
	snprintf(why, size, "%s", d == quiet ? "it could not be created" : ""); /* else the diag knows */
	if (b->instance) {
		const struct rein_backend_vt *vt = &b->instance->component->vt.backend;
		st = vt->probe ? vt->probe(b->instance->self, &b->instance->host, &b->device) : REIN_OK;
		if (st < 0)
			snprintf(why, size, "%s", instance_failure(b->instance));
	}
	diag_destroy(quiet);
	if (st >= 0)
		return b;
	backend_close(b);
	return NULL;
}

static bool open_probed(struct session *s, struct open_backend *b, const struct settings *set)
{
	struct rein_backend_options o = { .struct_size = sizeof o, .threads = (uint32_t)set->threads, .device = -1 };
	const struct rein_backend_vt *vt = &b->instance->component->vt.backend;
	o.flags = s->timed ? REIN_TIMED : 0;
	b->threads = set->threads;
	if (vt->open && vt->open(b->instance->self, &b->instance->host, &o) < 0)
		return false;
	if (vt->probe) /* once more: threads are known now */
		vt->probe(b->instance->self, &b->instance->host, &b->device);
	return true;
}

/* The first that is there and can be opened; the cpu last, because it always is. */
static struct open_backend *open_first(struct session *s, const struct config *c, const struct settings *set,
                                       char *why_not, size_t size)
{
	char why[512];
	struct open_backend *b;

	for (int i = 0; i < registry_count(s->registry); i++) {
		const struct component *x = registry_at(s->registry, i);
		if (x->c.kind != REIN_BACKEND || !strcmp(x->c.name, "cpu"))
			continue;
		b = probe(s, c, x->c.name, NULL, why, sizeof why);
		if (b && open_probed(s, b, set))
			return b;
		if (b)
			snprintf(why, sizeof why, "%s", instance_failure(b->instance));
		backend_close(b);
		if (why_not) {
			size_t used = strlen(why_not);
			snprintf(why_not + used, size - used, "%s%s: %s", used ? "; " : "", x->c.name, why);
		}
	}
	b = probe(s, c, "cpu", NULL, why, sizeof why);
	if (b && open_probed(s, b, set))
		return b;
	diag_error(s->diag, NULL, "no backend can be used; cpu: %s", b ? instance_failure(b->instance) : why);
	backend_close(b);
	return NULL;
}

struct open_backend *backend_open(struct session *s, const struct config *c, const struct settings *set, char *why_not,
                                  size_t size)
{
	const struct spec *spec = config_spec(c, "run", "backend");
	const struct place *at = spec ? &spec->at : NULL;
	struct open_backend *b;
	char why[512], name[64];

	snprintf(name, sizeof name, "%.*s", (int)strcspn(set->backend, " \t"), set->backend);
	if (why_not)
		why_not[0] = 0;
	if (!strcmp(set->backend, "auto")) {
		if (registry_find(s->registry, REIN_BACKEND, "cpu"))
			return open_first(s, c, set, why_not, size);
		registry_unknown(s->registry, s->diag, at, "run", "backend", REIN_BACKEND, "cpu");
		return NULL;
	}
	if (!strcmp(name, "auto")) {
		diag_error(s->diag, at, "auto takes no keys: name the backend that they are for");
		return NULL;
	}
	if (!registry_find(s->registry, REIN_BACKEND, name)) {
		registry_unknown(s->registry, s->diag, at, "run", "backend", REIN_BACKEND, name);
		return NULL;
	}
	b = probe(s, c, set->backend, at, why, sizeof why);
	if (!b && why[0])
		diag_error(s->diag, at, "backend %s cannot be used: %s", name, why);
	if (!b || open_probed(s, b, set))
		return b;
	diag_error(s->diag, at, "backend %s cannot be opened: %s", b->name, instance_failure(b->instance));
	backend_close(b);
	return NULL;
}

/* One opened backend for all variants that ask for the same. */
static struct open_backend *share_backend(struct experiment *e, struct variant *v)
{
	char why_not[1024];
	for (struct variant *o = e->variant; o < v; o++)
		if (o->backend && !strcmp(o->settings->backend, v->settings->backend) &&
		    o->settings->threads == v->settings->threads)
			return o->backend;
	struct open_backend *b = backend_open(e->s, v->config, v->settings, why_not, sizeof why_not);
	if (!b)
		return NULL;
	if (why_not[0])
		progress_say(&e->progress, "using %s (%s)", b->name, why_not);
	e->backend[e->n_backend++] = b;
	return b;
}

/* --- planning ----------------------------------------------------------------------- */

struct experiment *experiment_create(struct session *s, const char *only, bool resume, bool quiet)
{
	struct experiment *e = tool_alloc(sizeof *e);
	int n = only || !s->n_variant ? 1 : s->n_variant;

	e->s = s;
	e->only = only;
	e->resume = resume;
	e->lock = -1;
	progress_init(&e->progress, quiet);
	e->n_variant = n;
	e->variant = tool_alloc((size_t)n * sizeof *e->variant);
	e->backend = tool_alloc((size_t)n * sizeof *e->backend);
	for (int i = 0; i < n; i++)
		e->variant[i].name = only ? only : s->n_variant ? s->variant[i] : "";
	/* Half the memory at most for decoded samples. */
	e->cache = data_cache_create((uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 2);
	return e;
}

static void run_finish(struct run *r)
{
	run_folder_finish(&r->folder);
	history_finish(&r->history);
	free(r->resolved);
	for (int i = 0; i < r->n_param; i++) {
		free(r->param_name[i]);
		free(r->param_rule[i]);
		free(r->param[i]);
		if (r->path)
			free(r->path[i]);
	}
	for (int i = 0; i < r->n_predicted; i++) {
		free(r->predicted[i].split);
		free((void *)(uintptr_t)r->predicted[i].p.label);
		free((void *)(uintptr_t)r->predicted[i].p.guess);
	}
	free(r->predicted);
	free(r->param_rule);
	free(r->param_name);
	free(r->param_size);
	free(r->param_rank);
	free(r->param_dim);
	free(r->param);
	free(r->path);
}

void experiment_destroy(struct experiment *e)
{
	if (!e)
		return;
	trainer_destroy(e->first);
	for (int i = 0; i < e->n_run; i++)
		run_finish(&e->run[i]);
	for (int i = 0; i < e->n_variant; i++) {
		for (int k = 0; k < e->variant[i].n_own; k++)
			instance_destroy(e->variant[i].own[k]);
		free(e->variant[i].own);
		settings_destroy(e->variant[i].settings);
	}
	data_cache_destroy(e->cache);
	for (int i = 0; i < e->n_backend; i++)
		backend_close(e->backend[i]);
	if (e->lock >= 0)
		close(e->lock);
	for (int64_t i = 0; i < e->n_class_name; i++)
		free(e->class_name[i]);
	free(e->class_name);
	free(e->truth);
	free(e->x);
	free(e->y);
	free(e->run);
	free(e->variant);
	free(e->backend);
	free(e->folder);
	free(e);
}

struct trainer *experiment_trainer(struct experiment *e, const struct variant *v, int64_t seed, bool check,
                                   bool to_load)
{
	struct trainer_env env = { .config = v->config,
		                       .settings = v->settings,
		                       .registry = e->s->registry,
		                       .backend = v->backend->instance,
		                       .cache = e->cache,
		                       .host = make_env(v->config, seed, e->s->diag, e),
		                       .check = check,
		                       .to_load = to_load || e->s->to_load };
	return trainer_create(&env, e->s->diag);
}

struct instance *experiment_instance(const struct variant *v, struct trainer *t, const struct spec *s)
{
	struct instance *const *list;
	int n = t ? trainer_instances(t, &list) : 0;
	for (int i = 0; i < n; i++)
		if (list[i]->spec == s)
			return list[i];
	for (int i = 0; i < v->n_own; i++)
		if (v->own[i]->spec == s)
			return v->own[i];
	return NULL;
}

/* Reports, which outlive the trainers, and loggers where the trainer has none. */
static void make_own(struct experiment *e, struct variant *v, struct trainer *t)
{
	static const char *const names[] = { "loggers", "reports" };
	static const uint32_t kinds[] = { REIN_LOGGER, REIN_REPORT };
	struct host_env env = make_env(v->config, v->settings->seed[0], e->s->diag, e);

	for (int k = 0; k < 2; k++) {
		const struct section *s = config_section(v->config, names[k]);
		for (int i = 0; s && i < s->n_spec; i++) {
			if (experiment_instance(v, kinds[k] == REIN_LOGGER ? t : NULL, s->spec[i]))
				continue;
			struct instance *made = instance_create(e->s->registry, kinds[k], s->spec[i], &env, NULL, NULL, e->s->diag);
			if (!made)
				continue;
			struct instance **more = tool_alloc(((size_t)v->n_own + 1) * sizeof *more);
			if (v->n_own)
				memcpy(more, v->own, (size_t)v->n_own * sizeof *more);
			free(v->own);
			v->own = more;
			v->own[v->n_own++] = made;
			e->wants_predictions |= k == 1 && (made->component->vt.report.flags & REIN_WANTS_PREDICTIONS);
		}
		e->wants_reports |= k == 1 && s && s->n_spec > 0;
	}
}

static void add_runs(struct experiment *e, struct variant *v, struct trainer *t)
{
	struct resolved r = { .config = v->config,
		                  .settings = v->settings,
		                  .backend = v->backend->instance,
		                  .device = v->backend->device.detail,
		                  .n_extra = v->n_own,
		                  .extra = v->own };

	r.n_instance = trainer_instances(t, &r.instance);
	for (int64_t i = 0; i < v->settings->n_seed; i++) {
		struct run *run = &e->run[e->n_run++];
		run->variant = v;
		run->seed = r.seed = v->settings->seed[i];
		run->resolved = resolved_text(&r);
	}
}

/* What stands between reading and running of one variant. The errors are in the session. */
static void check_variant(struct experiment *e, struct variant *v)
{
	struct diag *d = e->s->diag;

	v->config = config_build(e->s->file, v->name[0] ? v->name : NULL, e->s->n_override, e->s->override, d);
	if (!v->config)
		return;
	const struct section *search = config_section(v->config, "search");
	if (search && v == e->variant)
		diag_error(d, &search->at, "this version of rein cannot search yet; say the points as [variant] sections");
	v->settings = settings_read_all(v->config, d);
	v->backend = share_backend(e, v);
	/* whether a run starts or goes on is known later: see trainer_for */
	struct trainer *t = v->backend ? experiment_trainer(e, v, v->settings->seed[0], v != e->variant, e->resume) : NULL;
	make_own(e, v, t);
	if (t)
		reports_check(v, t, d);
	if (t && !diag_errors(d)) {
		struct run *more = tool_alloc((size_t)(e->n_run + v->settings->n_seed) * sizeof *more);
		if (e->n_run)
			memcpy(more, e->run, (size_t)e->n_run * sizeof *more);
		free(e->run);
		e->run = more;
		add_runs(e, v, t);
	}
	if (v == e->variant)
		e->first = t;
	else
		trainer_destroy(t);
}

int experiment_check(struct experiment *e)
{
	const struct config *bad = NULL;
	for (int i = 0; i < e->n_variant; i++) {
		int before = diag_errors(e->s->diag);
		check_variant(e, &e->variant[i]);
		if (!bad && diag_errors(e->s->diag) > before)
			bad = e->variant[i].config;
	}
	return session_errors(e->s, bad);
}

/* --- folders ------------------------------------------------------------------------ */

static int complain(const char *why, int code)
{
	fprintf(stderr, "rein: %s\n", why);
	return code;
}

static char *run_path(const struct experiment *e, const struct run *r)
{
	char *v = path_join(e->folder, r->variant->name[0] ? r->variant->name : "main");
	if (r->variant->settings->n_seed < 2)
		return v;
	char *p = tool_printf("%s/seed-%lld", v, (long long)r->seed);
	free(v);
	return p;
}

/* Nothing is run twice at the same time into the same folder. */
static bool lock_folder(struct experiment *e, char *why, size_t size)
{
	const char *out = e->variant[0].settings->out;
	e->folder = path_join(out, e->variant[0].config->stem);
	if (!folder_make(e->folder, why, size))
		return false;
	e->lock = open(e->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (e->lock >= 0 && flock(e->lock, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK) {
		snprintf(why, size, "another rein is running in '%s'", e->folder);
		return false;
	}
	if (!access(e->folder, W_OK))
		return true;
	snprintf(why, size, "cannot write into '%s': %s", e->folder, strerror(errno));
	return false;
}

/* --resume: is what lies in `folder` this run? An exit code, or -1. */
static int same_run(const char *folder, const struct run *r)
{
	char *path = path_join(folder, FILE_RESOLVED), diff[8192];
	size_t n;
	char *then = file_text(path, &n);
	int code = -1;

	if (!then) {
		fprintf(stderr, "rein: cannot resume: cannot read '%s': %s\n", path, strerror(errno));
		code = EXIT_FAILED;
	} else if (!resolved_same(then, r->resolved, diff, sizeof diff)) {
		fprintf(stderr, "rein: cannot resume '%s': it was made from another config\n%s", folder, diff);
		fprintf(stderr, "run without --resume to start it over, or with another --out\n");
		code = EXIT_USAGE;
	}
	free(then);
	free(path);
	return code;
}

static int look_resume(struct experiment *e, struct run *r)
{
	int code;
	if (r->folder.begun && file_exists(r->folder.work, FILE_CHECKPOINT)) {
		code = same_run(r->folder.work, r);
		r->go_on = code < 0;
		return code;
	}
	if (r->folder.begun || !r->folder.finished)
		return -1;
	code = same_run(r->folder.path, r);
	if (code < 0)
		r->state = RUN_EARLIER;
	return code;
}

static int place_runs(struct experiment *e)
{
	char why[1024];
	if (!lock_folder(e, why, sizeof why))
		return complain(why, EXIT_FAILED);
	for (int i = 0; i < e->n_run; i++) {
		struct run *r = &e->run[i];
		if (!run_folder_init(&r->folder, run_path(e, r), why, sizeof why))
			return complain(why, EXIT_FAILED);
		int code = e->resume ? look_resume(e, r) : -1;
		if (code >= 0)
			return code;
		if (r->folder.begun && !r->go_on)
			progress_say(&e->progress, "%s is begun anew%s", r->folder.work,
			             e->resume ? ": it has no checkpoint" : "; --resume would have gone on with it");
	}
	return -1;
}

/* --- running ------------------------------------------------------------------------ */

/* Everything of the experiment in one place: beside its variants, or inside the one that was
 * asked for. */
static bool write_tables(struct experiment *e, const struct tables *t, char *why, size_t size)
{
	char *folder = e->only ? path_join(e->folder, e->only) : tool_strdup(e->folder);
	char *txt = path_join(folder, "tables.txt"), *json = path_join(folder, "tables.json"), *data = NULL;
	char *text = tables_json(t);
	size_t n;
	FILE *f = open_memstream(&data, &n);
	bool good = f && text && folder_make(folder, why, size);

	if (f) {
		tables_print(t, f, TABLE_WIDTH);
		good &= !fclose(f);
	}
	good = good && file_replace(txt, data, n, why, size) && file_replace(json, text, strlen(text), why, size);
	free(data);
	free(text);
	free(txt);
	free(json);
	free(folder);
	return good;
}

static bool finish_tables(struct experiment *e)
{
	char why[1024] = "";
	struct tables *t = tables_create();
	bool good = true;

	compare_record(e, t);
	robust_record(e, t);
	if (e->wants_reports)
		good = reports_record(e, t);
	if (!e->progress.quiet)
		fputc('\n', stdout);
	tables_print(t, stdout, TABLE_WIDTH);
	fflush(stdout);
	if (!good)
		diag_print(e->s->diag, stderr);
	if (!write_tables(e, t, why, sizeof why))
		good = complain(why, false);
	tables_destroy(t);
	return good;
}

static int closing_words(const struct experiment *e)
{
	int failed = 0, stopped = 0, done = 0;
	for (int i = 0; i < e->n_run; i++) {
		failed += e->run[i].state == RUN_FAILED;
		stopped += e->run[i].state == RUN_STOPPED || e->run[i].state == RUN_TODO;
		done += e->run[i].state == RUN_DONE || e->run[i].state == RUN_EARLIER;
	}
	if (failed && e->n_run > 1)
		fprintf(stderr, "rein: %d of %d runs failed\n", failed, e->n_run);
	if (stopped && stop_requested)
		fprintf(stderr, "rein: stopped with %d of %d runs finished; to go on:\n  %s\n", done, e->n_run, e->again);
	return failed || stopped ? EXIT_FAILED : EXIT_DONE;
}

/* The one from the check, if it was made for this run; one that was made to go on with a
 * checkpoint has not read the weights from which a run starts. */
static struct trainer *trainer_for(struct experiment *e, const struct run *r)
{
	struct trainer *t = e->first;
	const struct settings *s = r->variant->settings;

	if (!t || r->variant != e->variant || r->seed != s->seed[0])
		return experiment_trainer(e, r->variant, r->seed, false, r->go_on);
	e->first = NULL;
	if (!s->weights || r->go_on == e->resume)
		return t;
	trainer_destroy(t);
	return experiment_trainer(e, r->variant, r->seed, false, r->go_on);
}

int experiment_run(struct experiment *e)
{
	int code = place_runs(e), done = 0;
	bool good = true;

	if (code >= 0)
		return code;
	e->progress.runs = e->n_run;
	e->progress.variants = e->n_variant > 1;
	e->progress.seeds = e->n_run > e->n_variant;
	for (int i = 0; i < e->n_run && good && !stop_requested; i++) {
		struct run *r = &e->run[i];
		e->progress.run = i + 1;
		if (r->state == RUN_EARLIER) {
			good = run_recall(e, r);
			continue;
		}
		struct trainer *t = trainer_for(e, r);
		if (!t) {
			r->state = RUN_FAILED;
			diag_print(e->s->diag, stderr);
			continue;
		}
		good = run_one(e, r, t);
		if (e->s->timed)
			trainer_print_times(t, stdout);
		trainer_destroy(t);
	}
	for (int i = 0; i < e->n_run; i++)
		done += e->run[i].state == RUN_DONE || e->run[i].state == RUN_EARLIER;
	if (done && !stop_requested && !finish_tables(e))
		good = false;
	code = closing_words(e);
	return good ? code : EXIT_FAILED;
}
