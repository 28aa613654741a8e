/* SPDX-License-Identifier: MIT
 *
 * metrics.c: the list of numbers of an epoch, and the meters behind it: states that programs
 * add to on the device, step after step, in float64 or exact integers. One small program per
 * epoch reads them all into one vector, clears them, and takes the Frobenius norm of every
 * parameter, so that an epoch costs one download.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rein/math.h"
#include "train.h"

void metrics_set(struct metrics *m, const char *name, double value)
{
	for (int i = 0; i < m->n; i++)
		if (strcmp(m->m[i].name, name) == 0) {
			m->m[i].value = value;
			return;
		}
	if (m->n == m->cap) {
		m->cap = m->cap ? 2 * m->cap : 32;
		m->m = must(realloc(m->m, (size_t)m->cap * sizeof *m->m));
	}
	snprintf(m->m[m->n].name, sizeof m->m[m->n].name, "%s", name);
	m->m[m->n++].value = value;
}

double metrics_get(const struct metrics *m, const char *name)
{
	for (int i = 0; i < m->n; i++)
		if (strcmp(m->m[i].name, name) == 0)
			return m->m[i].value;
	return (double)NAN;
}

void metrics_finish(struct metrics *m)
{
	free(m->m);
	*m = (struct metrics){ 0 };
}

/* --- meters ---------------------------------------------------------------------------- */
static struct meter *meter_find(struct pass *p, const char *name, uint32_t how)
{
	struct trainer *t = p->t;

	for (int i = 0; i < t->n_meter; i++)
		if (strcmp(t->meter[i].name, name) == 0)
			return &t->meter[i];
	if (!p->dry) {
		rein_refuse(p->r, "a metric appears in this program that the first recording did not have");
		return NULL;
	}
	if (t->n_meter == t->cap_meter) {
		t->cap_meter = t->cap_meter ? 2 * t->cap_meter : 32;
		t->meter = must(realloc(t->meter, (size_t)t->cap_meter * sizeof *t->meter));
	}
	struct meter *m = &t->meter[t->n_meter++];
	*m = (struct meter){ .how = how };
	snprintf(m->name, sizeof m->name, "%s", name);
	const struct rein_init lowest = { sizeof lowest, REIN_INIT_CONSTANT, -HUGE_VAL, 0, REIN_NONE, 0 };
	const char *why;
	m->value =
		store_declare(t->store, trainer_text(t, "metric.%s", name), STATE_COUNTER,
	                  how == REIN_PEAK ? REIN_REAL_T : REIN_WIDE_T, 0, NULL, how == REIN_PEAK ? &lowest : NULL, &why);
	if (how == REIN_MEAN)
		m->count = store_declare(t->store, trainer_text(t, "metric.%s.count", name), STATE_COUNTER, REIN_I32_T, 0, NULL,
		                         NULL, &why);
	return m;
}

/* A scalar, or (N) with REIN_MEAN: the mean over samples; real, float64 or i32. */
void meter_record(struct pass *p, const char *name, rein_val v, uint32_t how)
{
	struct rein_rec *r = p->r;
	int64_t n = 1;

	if (p->quiet || p->diagnose)
		return;
	if (how > REIN_PEAK || rein_rank(r, v) > 1 || (rein_rank(r, v) == 1 && how != REIN_MEAN)) {
		if (rein_rank(r, v) >= 0)
			rein_refuse(r, "a metric is a scalar, or one number per sample with REIN_MEAN");
		return;
	}
	struct meter *m = meter_find(p, name, how);
	if (!m)
		return;
	if (rein_rank(r, v) == 1)
		n = rein_dim(r, v, 0);
	rein_val old = recorder_read(p->rec, m->value);
	if (how == REIN_PEAK) {
		recorder_assign(p->rec, m->value, rein_max(r, old, rein_cast(r, v, REIN_REAL_T)), REIN_NONE);
		return;
	}
	if (rein_dtype(r, v) == REIN_REAL_T)
		v = rein_sum_over(r, v, REIN_ALL_AXES, REIN_WIDE);
	else if (rein_rank(r, v) == 1)
		v = rein_sum(r, v);
	if (rein_dtype(r, v) != REIN_WIDE_T)
		v = rein_cast(r, v, REIN_WIDE_T);
	recorder_assign(p->rec, m->value, how == REIN_LAST ? v : rein_add(r, old, v), REIN_NONE);
	if (m->count)
		recorder_assign(p->rec, m->count, rein_add(r, recorder_read(p->rec, m->count), rein_scalar_i(r, (int32_t)n)),
		                REIN_NONE);
}

/* --- the report program ------------------------------------------------------------------ */
static rein_val wide1(struct pass *p, rein_val v)
{
	const int64_t one[1] = { 1 };

	if (rein_dtype(p->r, v) != REIN_WIDE_T)
		v = rein_cast(p->r, v, REIN_WIDE_T);
	return rein_reshape(p->r, v, 1, one);
}

static void reset(struct pass *p, struct state *s, double value)
{
	recorder_assign(p->rec, s, rein_fill(p->r, s->dtype, value, 0, NULL), REIN_NONE);
}

/* Output: bad flag, entry, value and count of every meter, sum of squares of every parameter. */
struct program *meters_program(struct trainer *t)
{
	struct network *net = t->net[0];
	struct pass p;
	int n = 0;

	pass_begin(&p, t, PASS_EVENT, false, "report");
	rein_val *v = rein_vals(p.r, (uint32_t)(2 + 2 * t->n_meter + net->n_param));
	v[n++] = wide1(&p, rein_cast(p.r, recorder_read(p.rec, t->bad), REIN_I32_T));
	v[n++] = wide1(&p, recorder_read(p.rec, t->entry));
	for (int i = 0; i < t->n_meter; i++) {
		const struct meter *m = &t->meter[i];
		v[n++] = wide1(&p, recorder_read(p.rec, m->value));
		reset(&p, m->value, m->how == REIN_PEAK ? -HUGE_VAL : 0);
		if (m->count) {
			v[n++] = wide1(&p, recorder_read(p.rec, m->count));
			reset(&p, m->count, 0);
		}
	}
	for (int i = 0; i < net->n_param; i++) {
		rein_val w = recorder_read(p.rec, net->param[i]);
		v[n++] = wide1(&p, rein_sum_over(p.r, rein_square(p.r, w), REIN_ALL_AXES, REIN_WIDE));
	}
	recorder_output(p.rec, rein_concat(p.r, (uint32_t)n, v, 0));
	t->n_report = n;
	return pass_end(&p);
}

static void gradient_norms(struct metrics *out, const char *name, double value)
{
	/* meters hold squares; names are gradient_norm and gradient_norm.<param> */
	metrics_set(out, name, sqrt(value));
}

bool meters_read(struct trainer *t, struct metrics *out, bool *bad)
{
	const double *v = t->report_host;
	struct network *net = t->net[0];
	double total = 0;
	char name[128];

	if (compiled_run(t->report, 1) < 0 ||
	    compiled_output(t->report, 0, t->report_host, t->n_report * (int64_t)sizeof *v) < 0)
		return false;
	*bad = v[0] != 0;
	v += 2;
	for (int i = 0; i < t->n_meter; i++) {
		const struct meter *m = &t->meter[i];
		double value = *v++, count = m->count ? *v++ : 1;
		if (!out || (m->count && count == 0) || (m->how == REIN_PEAK && value == -HUGE_VAL))
			continue;
		if (strncmp(m->name, "gradient_norm", 13) == 0)
			gradient_norms(out, m->name, value);
		else
			metrics_set(out, m->name, value / count);
	}
	for (int i = 0; out && i < net->n_param; i++)
		total += v[i];
	if (out)
		metrics_set(out, "norm", sqrt(total));
	for (int i = 0; out && i < net->n_param; i++) {
		snprintf(name, sizeof name, "norm.%s", net->param[i]->name);
		metrics_set(out, name, sqrt(v[i]));
	}
	return true;
}

/* --- keys that name a metric --------------------------------------------------------------- */
/* Every name that an epoch's numbers can have, NULL at the end. */
static const char **known_names(struct trainer *t)
{
	struct network *net = t->net[0];
	const char **name = zalloc((size_t)t->n_meter + (size_t)net->n_param + 8, sizeof *name);
	int n = 0;

	for (int i = 0; i < t->n_meter; i++)
		name[n++] = t->meter[i].name;
	if (data_split(t->data, "val")) {
		name[n++] = "val.loss";
		if (t->train->info.target == REIN_TARGET_CLASS)
			name[n++] = "val.accuracy";
	}
	name[n++] = "lr";
	name[n++] = "norm";
	for (int i = 0; i < net->n_param; i++)
		name[n++] = trainer_text(t, "norm.%s", net->param[i]->name);
	return name;
}

static bool is_listed(const char *const *name, const char *word)
{
	for (; *name; name++)
		if (!strcmp(*name, word))
			return true;
	return false;
}

bool metrics_exist(struct trainer *t)
{
	const char **name = known_names(t), *near;
	bool good = true;
	char list[512];

	for (int i = 0; i < t->n_regularizer; i++) {
		const struct instance *in = t->regularizer[i];
		for (int k = 0; k < in->component->n_key; k++) {
			const struct rein_key *row = &in->component->key[k];
			const char *word = row->type == REIN_KEY_STRING && (row->flags & REIN_KEY_METRIC)
			                       ? *(const char *const *)(const void *)((const char *)in->self + row->offset)
			                       : NULL;
			if (!word || is_listed(name, word))
				continue;
			const struct place *at = &in->spec->at;
			for (int a = 0; a < in->spec->n_arg; a++)
				if (!strcmp(in->spec->arg[a].key, row->key))
					at = &in->spec->arg[a].value_at;
			near = diag_nearest(word, name);
			diag_list(list, sizeof list, name);
			diag_error(t->diag, at, "[%s] %s: %s=%s: this run has no such metric%s%s%s known: %s", in->spec->section,
			           in->spec->name, row->key, word, near ? "; did you mean '" : ";", near ? near : "",
			           near ? "'?" : "", list);
			good = false;
		}
	}
	free(name);
	return good;
}
