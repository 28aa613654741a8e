/* SPDX-License-Identifier: MIT
 *
 * onerun.c: one run from where it is to its end: epochs, numbers, checkpoints, files. Whatever
 * stops it, its work folder holds what --resume needs.
 */
#include "experiment.h"

#include "checkpoint.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

volatile int stop_requested;

struct running {
	struct experiment *e;
	struct run *r;
	struct trainer *t;
	struct runlog *log;
	double begun, saved;
	bool settled; /* resolved.ini is on disk */
	char why[1024];
};

static double seconds(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The message to the user; the files stay as they are. */
static bool broken(struct running *g)
{
	progress_clear(&g->e->progress);
	if (g->why[0])
		diag_error(g->e->s->diag, NULL, "%s", g->why);
	g->why[0] = 0;
	diag_print(g->e->s->diag, stderr);
	return false;
}

static bool write_text(struct running *g, const char *name, const char *text)
{
	char *path = path_join(g->r->folder.work, name);
	bool good = text && file_replace(path, text, strlen(text), g->why, sizeof g->why);
	free(path);
	return good;
}

/* resolved.ini, unlike all other files, is not synced when it is written: a run shall start at
 * once. It is on disk before the first file that needs it. */
static bool write_resolved(struct running *g)
{
	char *path = path_join(g->r->folder.work, FILE_RESOLVED);
	FILE *f = fopen(path, "w");
	bool good = f && fputs(g->r->resolved, f) >= 0;
	good = f && !fclose(f) && good;
	if (!good) {
		snprintf(g->why, sizeof g->why, "cannot write '%s': %s", path, strerror(errno));
		unlink(path);
	}
	free(path);
	return good;
}

static bool settle_resolved(struct running *g)
{
	if (g->settled)
		return true;
	char *path = path_join(g->r->folder.work, FILE_RESOLVED);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	g->settled = fd >= 0 && !fsync(fd);
	if (!g->settled)
		snprintf(g->why, sizeof g->why, "cannot write '%s': %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	free(path);
	return g->settled;
}

static bool save(struct running *g, const char *name, bool (*what)(struct trainer *, const char *, char *, size_t))
{
	char *path = path_join(g->r->folder.work, name);
	bool good = what(g->t, path, g->why, sizeof g->why);
	free(path);
	return good;
}

static bool checkpoint(struct running *g)
{
	if (!settle_resolved(g) || !runlog_sync(g->log, g->e->s->diag))
		return false;
	g->saved = seconds(CLOCK_MONOTONIC);
	return save(g, FILE_CHECKPOINT, trainer_save);
}

/* Rows up to the last piece of work: a checkpoint may be older than the last rows. */
static int rows_before(const struct history *h, const struct trainer *t)
{
	int keep = 0, at = trainer_stage(t);
	while (keep < h->n) {
		const struct history_row *row = &h->row[keep];
		const char *type;
		int stage = 0;
		while (stage < trainer_stages(t) && strcmp(trainer_stage_name(t, stage, &type), row->stage))
			stage++;
		if (stage > at || (stage == at && row->epoch > trainer_epoch(t)))
			break;
		keep++;
	}
	return keep;
}

/* Checkpoint and numbers as they were when it was written. */
static bool take_up(struct running *g)
{
	struct run *r = g->r;
	char *metrics = path_join(r->folder.work, FILE_METRICS);
	bool good = save(g, FILE_CHECKPOINT, trainer_load) && history_read(&r->history, metrics, g->why, sizeof g->why) &&
	            history_cut(&r->history, metrics, rows_before(&r->history, g->t), g->why, sizeof g->why);
	free(metrics);
	return good;
}

static bool begin(struct running *g)
{
	struct run *r = g->r;
	struct experiment *e = g->e;
	const struct settings *set = r->variant->settings;
	struct instance **logger = tool_alloc(64 * sizeof *logger);
	const struct section *s = config_section(r->variant->config, "loggers");
	int n = 0;

	if (r->go_on ? !take_up(g) : !run_folder_begin(&r->folder, g->why, sizeof g->why) || !write_resolved(g)) {
		free(logger);
		return false;
	}
	struct rein_run_info info = { .struct_size = sizeof info,
		                          .config = r->variant->config->path,
		                          .variant = r->variant->name,
		                          .folder = r->folder.work,
		                          .seed = r->seed,
		                          .epochs = set->epochs };
	for (int i = 0; s && i < s->n_spec && n < 64; i++) {
		struct instance *l = experiment_instance(r->variant, g->t, s->spec[i]);
		if (l)
			logger[n++] = l;
	}
	g->log = runlog_create(&e->progress, &info, n, logger, e->s->diag);
	free(logger);
	return g->log != NULL;
}

/* FNV-1a */
static uint64_t hash(uint64_t h, const void *data, size_t bytes)
{
	const unsigned char *p = data;
	for (size_t i = 0; i < bytes; i++)
		h = (h ^ p[i]) * 0x100000001b3u;
	return h;
}

/* Which samples, in which order, of which dataset. Not the targets: corrupted labels are what a
 * comparison may be about, other samples are not. */
static uint64_t split_hash(const struct split *s)
{
	const char *key, *value, *origin;
	uint64_t h = 0xcbf29ce484222325u;
	h = hash(h, s->number, (size_t)s->n * sizeof *s->number);
	h = hash(h, s->dataset->component->c.name, strlen(s->dataset->component->c.name));
	for (int i = 0; instance_key(s->dataset, i, &key, &value, &origin); i++)
		for (int k = 0; k < s->dataset->component->n_key; k++)
			if (!strcmp(s->dataset->component->key[k].key, key))
				h = hash(h, value, strlen(value));
	for (int i = 0; data_joined(s, i); i++) {
		uint64_t one = split_hash(data_joined(s, i));
		h = hash(h, &one, sizeof one);
	}
	return h;
}

static double base_rate(const struct running *g)
{
	struct instance *const *list;
	const char *key, *value, *origin;
	int n = trainer_instances(g->t, &list);
	double lr;
	for (int i = 0; i < n; i++)
		for (int k = 0; list[i]->component->c.kind == REIN_OPTIMIZER && instance_key(list[i], k, &key, &value, &origin);
		     k++)
			if (!strcmp(key, "lr") && parse_real(value, &lr))
				return lr;
	return NAN;
}

static void gather_facts(struct running *g)
{
	struct run_facts *f = &g->r->facts;
	const struct history *h = &g->r->history;
	struct state *const *param;
	const struct split *train = data_split(trainer_data(g->t), "train");
	int n = trainer_params(g->t, &param);

	memset(f, 0, sizeof *f);
	for (int i = 0; i < n; i++)
		f->parameters += param[i]->count;
	if (train) {
		f->train_samples = train->n;
		f->train_data = split_hash(train);
	}
	for (int i = 0; i < h->n; i++) {
		bool last = i + 1 == h->n || strcmp(h->row[i].stage, h->row[i + 1].stage);
		if (!strcmp(h->row[i].type, "train") && last) {
			f->epochs += h->row[i].epoch;
			f->epochs_set += h->row[i].epochs;
		}
	}
	f->lr = base_rate(g);
	f->seconds = seconds(CLOCK_MONOTONIC) - g->begun;
	f->ended = seconds(CLOCK_REALTIME);
}

/* Parameters after each epoch, one tensor (epochs + 1, size) each. */
static bool write_track(struct running *g)
{
	struct state *const *param;
	int n = trainer_params(g->t, &param), k = 0;
	struct st_tensor *list = tool_alloc(((size_t)n + 1) * sizeof *list);

	for (int i = 0; i < n; i++) {
		int64_t rows = 0;
		const float *path = trainer_path(g->t, i, &rows);
		if (path && rows > 0)
			list[k++] = (struct st_tensor){ .name = param[i]->name,
				                            .dtype = REIN_REAL_T,
				                            .rank = 2,
				                            .dim = { rows, param[i]->count },
				                            .data = path,
				                            .bytes = rows * param[i]->count * (int64_t)sizeof(float) };
	}
	char *file = path_join(g->r->folder.work, FILE_TRACK);
	bool good = !k || st_write(file, k, list, 0, NULL, NULL, g->why, sizeof g->why);
	free(file);
	free(list);
	return good;
}

/* Final values, for reports. */
static void keep_params(struct run *r, struct trainer *t, bool track)
{
	struct state *const *param;
	r->n_param = trainer_params(t, &param);
	r->param_name = tool_alloc((size_t)r->n_param * sizeof *r->param_name);
	r->param_size = tool_alloc((size_t)r->n_param * sizeof *r->param_size);
	r->param_rank = tool_alloc((size_t)r->n_param * sizeof *r->param_rank);
	r->param_dim = tool_alloc((size_t)r->n_param * sizeof *r->param_dim);
	r->param_rule = tool_alloc((size_t)r->n_param * sizeof *r->param_rule);
	r->param = tool_alloc((size_t)r->n_param * sizeof *r->param);
	r->path = track ? tool_alloc((size_t)r->n_param * sizeof *r->path) : NULL;
	for (int i = 0; i < r->n_param; i++) {
		r->param_name[i] = tool_strdup(param[i]->name);
		r->param_size[i] = param[i]->count;
		r->param_rule[i] = trainer_rule(t, i);
		r->param_rank[i] = param[i]->rank;
		memcpy(r->param_dim[i], param[i]->dim, sizeof r->param_dim[i]);
		r->param[i] = tool_alloc((size_t)param[i]->count * sizeof(float));
		store_get(trainer_store(t), param[i], r->param[i]);
		int64_t rows = 0;
		const float *path = track ? trainer_path(t, i, &rows) : NULL;
		if (!path)
			continue;
		size_t bytes = (size_t)rows * (size_t)param[i]->count * sizeof(float);
		r->path_rows = rows;
		r->path[i] = memcpy(tool_alloc(bytes), path, bytes);
	}
}

/* Classes of every split but train, or of train where it is alone. */
static bool keep_predictions(struct run *r, struct trainer *t, struct diag *d)
{
	const struct data *data = trainer_data(t);

	r->predicted = tool_alloc((size_t)data->n * sizeof *r->predicted);
	for (int i = 0; i < data->n; i++) {
		const struct split *s = data->split[i];
		if (s->info.target != REIN_TARGET_CLASS || (data->n > 1 && !strcmp(s->name, "train")))
			continue;
		int32_t *label = tool_alloc((size_t)s->n * sizeof *label), *guess = tool_alloc((size_t)s->n * sizeof *guess);
		memcpy(label, s->y, (size_t)s->n * sizeof *label);
		r->predicted[r->n_predicted++] =
			(struct predicted){ tool_strdup(s->name), { sizeof(struct rein_predictions), 0, s->n, label, guess } };
		if (trainer_predict(t, s->name, guess, d) < 0)
			return false;
	}
	return true;
}

/* Names and truth belong to the dataset, which goes with its trainer. */
static void keep_info(struct experiment *e, const struct rein_dataset_info *info)
{
	e->info = *info;
	if (info->class_names && info->classes > 0) {
		e->class_name = tool_alloc((size_t)info->classes * sizeof *e->class_name);
		e->n_class_name = info->classes;
		for (int64_t i = 0; i < info->classes; i++)
			e->class_name[i] = tool_strdup(info->class_names[i]);
		e->info.class_names = (const char *const *)e->class_name;
	}
	if (info->truth && info->n_truth) {
		e->truth = tool_alloc(info->n_truth * sizeof *e->truth);
		e->info.truth = memcpy(e->truth, info->truth, info->n_truth * sizeof *e->truth);
	}
}

/* The training split as floats, once per experiment. */
static void keep_data(struct experiment *e, struct trainer *t)
{
	const struct split *s = data_split(trainer_data(t), "train");
	if (!s || e->x || e->n_feature)
		return;
	keep_info(e, &s->info);
	if (s->streamed) {
		e->n_feature = s->elements;
		return;
	}
	e->n = s->n;
	e->n_feature = s->elements;
	e->n_target = s->info.target == REIN_TARGET_CLASS ? 1 : s->info.target_dim;
	e->x = tool_alloc((size_t)(e->n * e->n_feature) * sizeof *e->x);
	e->y = tool_alloc((size_t)(e->n * e->n_target) * sizeof *e->y);
	for (int64_t i = 0; i < e->n * e->n_feature; i++)
		e->x[i] = s->info.dtype == REIN_U8_T ? (float)((const uint8_t *)s->x)[i] / 255.0f : ((const float *)s->x)[i];
	for (int64_t i = 0; i < e->n * e->n_target; i++)
		e->y[i] = s->info.target == REIN_TARGET_CLASS ? (float)((const int32_t *)s->y)[i] : ((const float *)s->y)[i];
}

/* One piece of work, its numbers written. 1: all done, 0: go on, -1: failed, -2: cannot write. */
static int one_piece(struct running *g)
{
	struct metrics m = { 0 };
	struct diag *d = g->e->s->diag;
	const char *type = "", *name;
	rein_status st = trainer_next(g->t, &m, d);
	int result = st < 0 ? -1 : st > 0;

	if (st == REIN_OK && m.n > 0) {
		name = trainer_stage_name(g->t, trainer_stage(g->t), &type);
		struct history_row *row =
			history_add(&g->r->history, name, type, trainer_epoch(g->t), trainer_epochs(g->t), &m);
		if (!runlog_metrics(g->log, row, &m, d) || !trainer_write_files(g->t, g->r->folder.work, g->why, sizeof g->why))
			result = -2;
	}
	metrics_finish(&m);
	return result;
}

/* -1: failed, -2: cannot write, 0: stopped by a signal, 1: all stages are done */
static int pieces(struct running *g)
{
	double every = g->r->variant->settings->checkpoint_seconds;
	for (;;) {
		int result = one_piece(g);
		if (result)
			return result;
		bool due = every >= 0 && seconds(CLOCK_MONOTONIC) - g->saved >= every;
		if ((due || (stop_requested && every >= 0)) && !checkpoint(g))
			return -2;
		if (stop_requested)
			return 0;
	}
}

static bool complete(struct running *g)
{
	struct run *r = g->r;
	struct experiment *e = g->e;
	const struct settings *set = r->variant->settings;
	struct runlog *log = g->log;

	gather_facts(g);
	bool good = settle_resolved(g) && (set->checkpoint_seconds < 0 || checkpoint(g)) &&
	            save(g, FILE_MODEL, trainer_save_model) && (!set->track || write_track(g));
	g->log = NULL;
	good = runlog_destroy(log, good ? REIN_OK : REIN_ERROR, e->s->diag) && good;
	if (!good)
		return false;
	char *text = facts_text(&r->facts);
	good = write_text(g, FILE_FINISHED, text) && run_folder_commit(&r->folder, g->why, sizeof g->why);
	cJSON_free(text);
	if (good && e->wants_reports) {
		keep_params(r, g->t, set->track);
		keep_data(e, g->t);
		good = !e->wants_predictions || keep_predictions(r, g->t, e->s->diag);
	}
	return good;
}

/* What is computed once, said in the first run of each variant. */
static void say_kept(struct running *g)
{
	struct experiment *e = g->e;
	char *text = NULL;
	size_t size = 0;

	for (struct run *r = e->run; r < g->r; r++)
		if (r->variant == g->r->variant)
			return;
	FILE *f = open_memstream(&text, &size);
	if (f) {
		trainer_print_kept(g->t, f);
		fclose(f);
	}
	if (size)
		progress_say(&e->progress, "%.*s", (int)size - 1, text);
	free(text);
}

bool run_one(struct experiment *e, struct run *r, struct trainer *t)
{
	struct running g = { .e = e, .r = r, .t = t };
	int result;

	r->state = RUN_FAILED;
	g.begun = g.saved = seconds(CLOCK_MONOTONIC);
	if (!begin(&g))
		return broken(&g);
	if (!e->progress.begun)
		progress_say(&e->progress, "training on %s (%s)", r->variant->backend->name,
		             r->variant->backend->device.detail);
	e->progress.begun = true;
	say_kept(&g);
	result = pieces(&g);
	if (result > 0 && complete(&g)) {
		r->state = RUN_DONE;
		return true;
	}
	runlog_destroy(g.log, REIN_ERROR, e->s->diag);
	g.log = NULL;
	if (result == 0) {
		r->state = RUN_STOPPED;
		return true;
	}
	broken(&g);
	fprintf(stderr, "rein: what there is of this run is in '%s'\n", r->folder.work);
	/* A diverging run does not keep the others from running; a full disk does. */
	return result == -1;
}

/* --- runs that finished earlier ------------------------------------------------------ */

/* Paths of track.safetensors, if the shapes are those of the parameters. */
static void read_track(struct run *r, char *why, size_t size)
{
	char *file = path_join(r->folder.path, FILE_TRACK);
	struct st_file *f = st_open(file, why, size);

	free(file);
	r->path = f ? tool_alloc((size_t)r->n_param * sizeof *r->path) : NULL;
	for (int i = 0; f && i < r->n_param; i++) {
		const struct st_tensor *x = st_find(f, r->param_name[i]);
		if (!x || x->dtype != REIN_REAL_T || x->rank != 2 || x->dim[1] != r->param_size[i])
			continue;
		r->path_rows = x->dim[0];
		r->path[i] = memcpy(tool_alloc((size_t)x->bytes), x->data, (size_t)x->bytes);
	}
	st_close(f);
}

bool run_recall(struct experiment *e, struct run *r)
{
	struct running g = { .e = e, .r = r };
	char *metrics = path_join(r->folder.path, FILE_METRICS), *facts = path_join(r->folder.path, FILE_FINISHED),
		 *model = path_join(r->folder.path, FILE_MODEL);
	bool good = history_read(&r->history, metrics, g.why, sizeof g.why);

	if (good && !facts_read(&r->facts, facts)) {
		snprintf(g.why, sizeof g.why, "'%s' cannot be read as the end of a run", facts);
		good = false;
	}
	if (good && e->wants_reports) {
		struct trainer *t = experiment_trainer(e, r->variant, r->seed, false, true);
		good = t && trainer_load_model(t, model, g.why, sizeof g.why);
		if (good) {
			keep_params(r, t, false);
			keep_data(e, t);
			good = !e->wants_predictions || keep_predictions(r, t, e->s->diag);
			if (r->variant->settings->track)
				read_track(r, g.why, sizeof g.why);
		}
		trainer_destroy(t);
	}
	free(metrics);
	free(facts);
	free(model);
	progress_say(&e->progress, "%s: finished earlier", r->folder.path);
	return good || broken(&g);
}
