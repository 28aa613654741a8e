/* SPDX-License-Identifier: MIT
 *
 * reports.c: the view of a finished experiment that components of kind report see.
 */
#include "experiment.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "blame.h"

/* What is behind the struct rein_experiment that a report gets. */
struct view {
	struct rein_experiment x;
	struct experiment *e;
	const struct run **run;
};

static const struct view *view_of(const struct rein_experiment *x) { return (const struct view *)(const void *)x; }

/* "regularizers.l2.lambda", "run.epochs", "network.fc1" (the component). */
static const char *view_key(const struct rein_experiment *x, uint32_t run, const char *path)
{
	const struct view *v = view_of(x);
	char section[64], name[64];
	const char *dot = strchr(path, '.'), *key = dot ? strchr(dot + 1, '.') : NULL;

	if (run >= x->n_run || !dot)
		return NULL;
	const struct config *c = v->run[run]->variant->config;
	snprintf(section, sizeof section, "%.*s", (int)(dot - path), path);
	snprintf(name, sizeof name, "%.*s", key ? (int)(key - dot - 1) : (int)strlen(dot + 1), dot + 1);
	const struct spec *s = config_spec(c, section, name);
	if (!s || !key)
		return s ? s->component : NULL;
	for (int i = 0; i < s->n_arg; i++)
		if (!strcmp(s->arg[i].key, key + 1))
			return s->arg[i].value;
	/* Not written: the default, which is the same text for every variant. */
	const struct component *comp = registry_find(v->e->s->registry, kind_of_section(section), s->component);
	for (int i = 0; comp && i < comp->n_key; i++)
		if (!strcmp(comp->key[i].key, key + 1))
			return comp->key[i].def;
	return NULL;
}

static double view_metric(const struct rein_experiment *x, uint32_t run, const char *name)
{
	return run < x->n_run ? history_last(&view_of(x)->run[run]->history, name) : NAN;
}

/* The last row of stage i, or -1. Rows of one stage lie together. */
static int stage_row(const struct history *h, uint32_t i)
{
	uint32_t stage = 0;

	for (int row = 0; row < h->n; row++) {
		if (row + 1 < h->n && !strcmp(h->row[row].stage, h->row[row + 1].stage))
			continue;
		if (stage++ == i)
			return row;
	}
	return -1;
}

static const char *view_stage(const struct rein_experiment *x, uint32_t run, uint32_t i, const char **type)
{
	const struct history *h = run < x->n_run ? &view_of(x)->run[run]->history : NULL;
	int row = h ? stage_row(h, i) : -1;

	if (row < 0)
		return NULL;
	if (type)
		*type = h->row[row].type;
	return h->row[row].stage;
}

static double view_stage_metric(const struct rein_experiment *x, uint32_t run, uint32_t i, const char *name)
{
	const struct history *h = run < x->n_run ? &view_of(x)->run[run]->history : NULL;
	int row = h ? stage_row(h, i) : -1;

	return row < 0 ? NAN : history_at(h, row, name);
}

/* --- rows ----------------------------------------------------------------------------- */
static const struct history *history_of(const struct rein_experiment *x, uint32_t run)
{
	return run < x->n_run ? &view_of(x)->run[run]->history : NULL;
}

static const char *view_row(const struct rein_experiment *x, uint32_t run, uint32_t i, const char **type,
                            int64_t *epoch)
{
	const struct history *h = history_of(x, run);

	if (!h || i >= (uint32_t)h->n)
		return NULL;
	if (type)
		*type = h->row[i].type;
	if (epoch)
		*epoch = h->row[i].epoch;
	return h->row[i].stage;
}

static double view_row_metric(const struct rein_experiment *x, uint32_t run, uint32_t i, const char *name)
{
	const struct history *h = history_of(x, run);
	return h && i < (uint32_t)h->n ? history_at(h, (int)i, name) : NAN;
}

static const char *view_metric_name(const struct rein_experiment *x, uint32_t run, uint32_t i)
{
	const struct history *h = history_of(x, run);
	return h && i < (uint32_t)h->n_name ? h->name[i] : NULL;
}

/* --- predictions ------------------------------------------------------------------------ */
static const struct rein_predictions *view_predictions(const struct rein_experiment *x, uint32_t run, const char *split)
{
	const struct run *r = run < x->n_run ? view_of(x)->run[run] : NULL;

	for (int i = 0; r && i < r->n_predicted; i++)
		if (strcmp(r->predicted[i].split, split) == 0)
			return &r->predicted[i].p;
	return NULL;
}

static const char *view_predicted(const struct rein_experiment *x, uint32_t run, uint32_t i)
{
	const struct run *r = run < x->n_run ? view_of(x)->run[run] : NULL;
	return r && i < (uint32_t)r->n_predicted ? r->predicted[i].split : NULL;
}

static struct rein_report_run report_run(const struct run *r)
{
	bool whole = r->path != NULL;
	for (int i = 0; whole && i < r->n_param; i++)
		whole = r->path[i] != NULL;
	return (struct rein_report_run){ .struct_size = sizeof(struct rein_report_run),
		                             .n_param = (uint32_t)r->n_param,
		                             .variant = r->variant->name,
		                             .seed = r->seed,
		                             /* rows of the path say how many epochs it holds */
		                             .epochs = whole ? r->path_rows - 1 : r->facts.epochs,
		                             .lr = r->facts.lr,
		                             .param_name = (const char *const *)r->param_name,
		                             .param_size = r->param_size,
		                             .param = (const float *const *)r->param,
		                             .path = whole ? (const float *const *)r->path : NULL,
		                             .param_rank = r->param_rank,
		                             .param_dim = (const int64_t(*)[REIN_MAX_RANK])r->param_dim,
		                             .param_rule = (const char *const *)r->param_rule };
}

/* --- before anything runs ---------------------------------------------------------------- */
/* A report's key `split` names an entry of [data] of which there will be predictions. */
static void check_split(const struct instance *in, const struct rein_key *key, const struct data *data, struct diag *d)
{
	const char *value = *(const char *const *)(const void *)((const char *)in->self + key->offset);
	const char **known = tool_alloc(((size_t)data->n + 1) * sizeof *known), *near;
	const struct place *at = &in->spec->at;
	bool found = false;
	char all[256];
	int n = 0;

	for (int i = 0; i < data->n; i++)
		if (data->n == 1 || strcmp(data->split[i]->name, "train"))
			known[n++] = data->split[i]->name;
	for (int i = 0; i < n; i++)
		found = found || !strcmp(known[i], value);
	for (int i = 0; i < in->spec->n_arg; i++)
		if (!strcmp(in->spec->arg[i].key, key->key))
			at = &in->spec->arg[i].value_at;
	near = diag_nearest(value, known);
	diag_list(all, sizeof all, known);
	if (!found)
		diag_error(d, at, "[reports] %s: split=%s is not classified%s%s%s there are: %s", in->spec->name, value,
		           near ? "; did you mean '" : ";", near ? near : "", near ? "'?" : "", all);
	free(known);
}

void reports_check(const struct variant *v, struct trainer *t, struct diag *d)
{
	const struct data *data = trainer_data(t);

	for (int i = 0; i < v->n_own; i++) {
		const struct instance *in = v->own[i];
		uint32_t flags = in->component->c.kind == REIN_REPORT ? in->component->vt.report.flags : 0;
		const struct split *train = data_split(data, "train");
		if (flags & REIN_WANTS_SAMPLES && train && train->streamed)
			diag_error(d, &in->spec->at,
			           "[reports] %s: report '%s' counts on the samples of 'train' in memory, and they are read while "
			           "they are used: raise [run] data_memory or leave the report out",
			           in->spec->name, in->component->c.name);
		if (!(flags & REIN_WANTS_PREDICTIONS))
			continue;
		if (data->split[0]->info.target != REIN_TARGET_CLASS) {
			diag_error(d, &in->spec->at, "[reports] %s: report '%s' is about classes, and the data has none",
			           in->spec->name, in->component->c.name);
			continue;
		}
		for (int k = 0; k < in->component->n_key; k++)
			if (in->component->key[k].type == REIN_KEY_STRING && !strcmp(in->component->key[k].key, "split"))
				check_split(in, &in->component->key[k], data, d);
	}
}

bool reports_record(struct experiment *e, struct tables *t)
{
	struct view v = { .e = e };
	struct rein_report_run *list = tool_alloc((size_t)e->n_run * sizeof *list);
	const struct section *s = config_section(e->variant[0].config, "reports");
	bool good = true;

	v.run = tool_alloc((size_t)e->n_run * sizeof *v.run);
	for (int i = 0; i < e->n_run; i++) {
		const struct run *r = &e->run[i];
		if ((r->state != RUN_DONE && r->state != RUN_EARLIER) || !r->param)
			continue;
		v.run[v.x.n_run] = r;
		list[v.x.n_run++] = report_run(r);
	}
	v.x.struct_size = sizeof v.x;
	v.x.run_size = sizeof *list;
	v.x.run = list;
	v.x.n = e->n;
	v.x.n_feature = e->n_feature;
	v.x.n_target = e->n_target;
	v.x.x = e->x;
	v.x.y = e->y;
	v.x.info = &e->info;
	v.x.key = view_key;
	v.x.metric = view_metric;
	v.x.stage = view_stage;
	v.x.stage_metric = view_stage_metric;
	v.x.row = view_row;
	v.x.row_metric = view_row_metric;
	v.x.metric_name = view_metric_name;
	v.x.predictions = view_predictions;
	v.x.predicted = view_predicted;
	for (int i = 0; s && i < s->n_spec; i++) {
		struct instance *r = experiment_instance(&e->variant[0], NULL, s->spec[i]);
		if (!r || !r->component->vt.report.record)
			continue;
		t->source = s->spec[i]->name;
		const struct instance *was = blame(r);
		const rein_status st = r->component->vt.report.record(r->self, &r->host, &v.x, &t->collect);
		blame_back(was);
		if (st < 0) {
			instance_error(r, e->s->diag, "the report failed without saying why");
			good = false;
		}
	}
	free(list);
	free(v.run);
	return good;
}
