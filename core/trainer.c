/* SPDX-License-Identifier: MIT
 *
 * trainer.c: a run from its config to its first step: instances, data, states, programs, in
 * the order in which they can be checked; and the small services of the trainer's other files.
 *
 * Everything is recorded twice: a first look finds which parameters, scheduled scalars and
 * metrics there are, so that their states can be declared; then the real programs are made.
 */
#include "trainer.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rein/math.h"
#include "train.h"

/* --- small services ------------------------------------------------------------------------ */
void *must(void *p)
{
	if (!p) {
		fputs("rein: out of memory\n", stderr);
		exit(1);
	}
	return p;
}

void *zalloc(size_t n, size_t size) { return must(calloc(n ? n : 1, size)); }

char *trainer_text(struct trainer *t, const char *format, ...)
{
	char buf[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(buf, sizeof buf, format, ap);
	va_end(ap);
	if (t->n_text == t->cap_text) {
		t->cap_text = t->cap_text ? 2 * t->cap_text : 64;
		t->text = must(realloc(t->text, (size_t)t->cap_text * sizeof *t->text));
	}
	return t->text[t->n_text++] = must(strdup(buf));
}

void at_instance(struct diag *d, const struct instance *in, const char *format, ...)
{
	struct place at = in->spec->at;
	char buf[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(buf, sizeof buf, format, ap);
	va_end(ap);
	at.len = 0; /* the sentence names the spec: no caret */
	diag_error(d, &at, "[%s] %s: %s", in->spec->section, in->spec->name, buf);
}

void at_key(struct diag *d, const struct instance *in, const char *key, const char *format, ...)
{
	const struct spec *s = in->spec;
	char buf[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(buf, sizeof buf, format, ap);
	va_end(ap);
	for (int i = 0; i < s->n_arg; i++)
		if (strcmp(s->arg[i].key, key) == 0) {
			diag_error(d, &s->arg[i].value_at, "%s", buf);
			return;
		}
	at_instance(d, in, "%s", buf);
}

struct state *counter(struct trainer *t, const char *name, uint32_t dtype, uint32_t rank, const int64_t *dim,
                      uint32_t role)
{
	const char *why = "";
	struct state *s = store_declare(t->store, name, role, dtype, rank, dim, NULL, &why);
	if (!s)
		diag_error(t->diag, NULL, "state '%s': %s", name, why);
	return s;
}

bool set_i32(struct trainer *t, struct state *s, int32_t value) { return store_set(t->store, s, &value) >= 0; }

int32_t get_i32(struct trainer *t, const struct state *s)
{
	int32_t value = 0;
	return store_get(t->store, s, &value) < 0 ? 0 : value;
}

struct compiled *build(struct trainer *t, struct program *p)
{
	if (!p)
		return NULL;
	if (!states_allocate(t)) {
		program_destroy(p);
		return NULL;
	}
	return program_compile(p, t->store, t->env.backend, 0, t->diag);
}

/* --- data ------------------------------------------------------------------------------------- */
static bool open_data(struct trainer *t)
{
	t->data =
		data_open(t->env.config, t->env.registry, &t->env.host, t->env.settings->rng, t->n_transform, t->transform,
	              t->n_augmentation, t->augmentation, t->env.cache, t->env.settings->data_memory << 20, t->diag);
	if (!t->data)
		return false;
	t->train = data_split(t->data, "train");
	if (!t->train) {
		const struct section *s = config_section(t->env.config, "data");
		diag_error(t->diag, s ? &s->at : NULL, "[data]: there is no entry 'train'");
		return false;
	}
	return true;
}

/* Every split as the network sees the training split. */
static bool check_splits(struct trainer *t)
{
	const struct rein_dataset_info *a = &t->train->info;
	int errors = diag_errors(t->diag);

	for (int i = 0; i < t->data->n; i++) {
		const struct split *s = t->data->split[i];
		const struct rein_dataset_info *b = &s->info;
		bool same = a->rank == b->rank && memcmp(a->dim, b->dim, a->rank * sizeof *a->dim) == 0;
		if (!same)
			at_instance(t->diag, s->dataset, "its samples have another shape than those of 'train'");
		else if (a->target != b->target ||
		         (a->target == REIN_TARGET_CLASS ? a->classes != b->classes : a->target_dim != b->target_dim))
			at_instance(t->diag, s->dataset,
			            "%" PRId64 " %s, but 'train' has %" PRId64 " %s: the two splits do not belong together",
			            b->target == REIN_TARGET_CLASS ? b->classes : b->target_dim,
			            b->target == REIN_TARGET_CLASS ? "classes" : "target columns",
			            a->target == REIN_TARGET_CLASS ? a->classes : a->target_dim,
			            a->target == REIN_TARGET_CLASS ? "classes" : "target columns");
		if (s->n > INT32_MAX)
			at_instance(t->diag, s->dataset, "%" PRId64 " samples; at most %d can be numbered", s->n, INT32_MAX);
	}
	return diag_errors(t->diag) == errors;
}

/* Everything within lo..hi? What is not is said, sample and value. */
static bool in_bounds(struct trainer *t, const struct split *s, double lo, double hi)
{
	if (s->streamed && (lo > 0 || hi < 1)) {
		at_instance(t->diag, s->dataset,
		            "its bytes stand for 0..1, and they are read while they are used: whether all lie within "
		            "the bounds %g..%g of [run] would be found too late",
		            lo, hi);
		return false;
	}
	if (s->streamed)
		return true;
	for (int64_t i = 0; i < s->n * s->elements; i++) {
		double v = s->info.dtype == REIN_U8_T ? ((const uint8_t *)s->x)[i] / 255.0 : (double)((const float *)s->x)[i];
		if (v >= lo && v <= hi)
			continue;
		char name[512];
		at_instance(t->diag, s->dataset, "%s: number %" PRId64 " is %g, outside of the bounds %g..%g of [run]",
		            data_sample_name(s, i / s->elements, name, sizeof name), i % s->elements, v, lo, hi);
		return false;
	}
	return true;
}

/* The range of what is stored as floats, of all splits together. */
static void range_of(const struct trainer *t, double *lo, double *hi)
{
	*lo = HUGE_VAL;
	*hi = -HUGE_VAL;
	for (int i = 0; i < t->data->n; i++) { /* what is streamed are bytes */
		const struct split *s = t->data->split[i];
		const float *x = s->x;
		for (int64_t k = 0; s->info.dtype != REIN_U8_T && k < s->n * s->elements; k++) {
			*lo = (double)x[k] < *lo ? (double)x[k] : *lo;
			*hi = (double)x[k] > *hi ? (double)x[k] : *hi;
		}
	}
}

/* Pixel space: [run] bounds, else 0..1 for stored bytes, else the range of the data. */
static bool model_facts(struct trainer *t)
{
	const struct split *s = t->train;
	const struct settings *set = t->env.settings;
	double lo = set->lo, hi = set->hi;
	int errors = diag_errors(t->diag);

	if (lo < hi) {
		for (int i = 0; i < t->data->n; i++)
			in_bounds(t, t->data->split[i], lo, hi);
	} else if (s->info.dtype == REIN_U8_T) {
		lo = 0;
		hi = 1;
	} else {
		range_of(t, &lo, &hi);
	}
	for (int i = 0; i < t->n_net; i++) {
		t->net[i]->model.classes = s->info.target == REIN_TARGET_CLASS ? (uint32_t)s->info.classes : 0;
		t->net[i]->model.lo = lo;
		t->net[i]->model.hi = hi;
	}
	return diag_errors(t->diag) == errors;
}

/* --- states -------------------------------------------------------------------------------------- */
static void declare_portion(struct trainer *t, struct portion *f, struct split *s)
{
	int64_t dim[REIN_MAX_RANK] = { s->n };

	f->split = s;
	if (s->streamed) {
		f->slot = counter(t, trainer_text(t, "data.%s.slot", s->name), REIN_I32_T, 1, dim, STATE_DATA);
		f->stream = stream_create(t, f);
		dim[0] = stream_rows(f->stream);
	}
	for (uint32_t i = 0; i < s->info.rank; i++)
		dim[i + 1] = s->info.dim[i];
	f->x = counter(t, trainer_text(t, "data.%s.x", s->name), s->info.dtype == REIN_U8_T ? REIN_U8_T : REIN_REAL_T,
	               s->info.rank + 1, dim, STATE_DATA);
	dim[0] = s->n;
	dim[1] = s->info.target_dim;
	bool classes = s->info.target == REIN_TARGET_CLASS;
	f->y = counter(t, trainer_text(t, "data.%s.y", s->name), classes ? REIN_I32_T : REIN_REAL_T, classes ? 1 : 2, dim,
	               STATE_DATA);
}

static void declare_states(struct trainer *t)
{
	const struct settings *s = t->env.settings;
	int64_t n = t->train->n;

	t->batch = s->batch <= 0 || s->batch > n ? n : s->batch;
	t->rest = s->drop_last ? 0 : n % t->batch;
	t->steps = n / t->batch + (t->rest > 0);
	t->portion = zalloc((size_t)t->data->n, sizeof *t->portion);
	for (int i = 0; i < t->data->n; i++)
		declare_portion(t, &t->portion[t->n_portion++], t->data->split[i]);
	t->order = counter(t, "order", REIN_I32_T, 1, &n, STATE_DATA);
	t->step = counter(t, "step", REIN_I32_T, 0, NULL, STATE_COUNTER);
	t->entry = counter(t, "entry", REIN_I32_T, 0, NULL, STATE_COUNTER);
	t->epoch = counter(t, "epoch", REIN_I32_T, 0, NULL, STATE_COUNTER);
	t->bad = counter(t, "bad", REIN_BOOL_T, 0, NULL, STATE_COUNTER);
	t->eval_entry = counter(t, "evaluate.entry", REIN_I32_T, 0, NULL, STATE_DATA);
	t->eval_loss = counter(t, "evaluate.loss", REIN_WIDE_T, 0, NULL, STATE_DATA);
	t->eval_correct = counter(t, "evaluate.correct", REIN_I32_T, 0, NULL, STATE_DATA);
	t->order_host = zalloc((size_t)n, sizeof *t->order_host);
	t->order_next = zalloc((size_t)n, sizeof *t->order_next);
}

static bool upload_data(struct trainer *t)
{
	for (int i = 0; i < t->n_portion; i++) {
		struct portion *f = &t->portion[i];
		if ((!f->stream && store_set(t->store, f->x, f->split->x) < 0) || store_set(t->store, f->y, f->split->y) < 0) {
			diag_error(t->diag, NULL, "the data of '%s' could not be brought to backend '%s'", f->split->name,
			           t->env.backend->component->c.name);
			return false;
		}
	}
	return true;
}

/* --- checks that need the parameters ----------------------------------------------------------------- */
/* Does the config say on=? */
static bool is_named(const struct instance *in)
{
	for (int i = 0; i < in->spec->n_arg; i++)
		if (strcmp(in->spec->arg[i].key, "on") == 0)
			return true;
	return false;
}

int optimizer_of(const struct trainer *t, const char *name)
{
	int rest = -1;

	for (int i = 0; i < t->n_optimizer; i++) {
		if (!is_named(t->optimizer[i]))
			rest = rest < 0 ? i : rest;
		else if (pattern_match(t->optimizer[i]->common.on, name))
			return i;
	}
	return rest;
}

/* Names of the parameters for a message: "conv1.weight, conv1.bias, ...". */
static const char *param_list(struct trainer *t, bool unmatched_only)
{
	struct network *net = t->net[0];
	char buf[900] = "";
	size_t at = 0;
	int shown = 0;

	for (int i = 0; i < net->n_param && at < sizeof buf - 80; i++)
		if (!unmatched_only || optimizer_of(t, net->param[i]->name) < 0) {
			at += (size_t)snprintf(buf + at, sizeof buf - at, "%s%s", at ? ", " : "", net->param[i]->name);
			if (++shown == 16 && i + 1 < net->n_param) {
				at += (size_t)snprintf(buf + at, sizeof buf - at, ", ...");
				break;
			}
		}
	return trainer_text(t, "%s", buf);
}

static const char *layer_list(struct trainer *t)
{
	const struct network *net = t->net[0];
	const char **name = zalloc((size_t)net->n + 1, sizeof *name);
	char all[900];

	for (int i = 0; i < net->n; i++)
		name[i] = net->layer[i].inst->spec->name;
	diag_list(all, sizeof all, name);
	free(name);
	return trainer_text(t, "%s", all);
}

const char *weight_list(struct trainer *t) { return param_list(t, false); }

static bool reaches(const struct trainer *t, const char *patterns)
{
	for (int i = 0; i < t->net[0]->n_param; i++)
		if (pattern_match(patterns, t->net[0]->param[i]->name))
			return true;
	return false;
}

static bool reaches_layer(const struct trainer *t, const char *patterns)
{
	for (int i = 0; i < t->net[0]->n; i++)
		if (pattern_match(patterns, t->net[0]->layer[i].inst->spec->name))
			return true;
	return false;
}

/* Each pattern of [run] freeze names parameters of the network. */
static void check_freeze(struct trainer *t)
{
	const char *at = t->env.settings->freeze;
	const struct arg *a = config_setting(t->env.config, "run", "freeze");

	while (at && *at) {
		size_t n = strcspn(at, ",");
		bool found = false;
		const char *one = trainer_text(t, "%.*s", (int)n, at);
		for (int i = 0; i < t->store->n && !found; i++)
			found = t->store->state[i]->role == STATE_PARAM && pattern_match(one, t->store->state[i]->name);
		if (!found)
			diag_error(t->diag, a ? &a->value_at : NULL, "freeze: '%s' matches no parameter; there are: %s", one,
			           param_list(t, false));
		at += n + (at[n] == ',');
	}
}

/* Each pattern of an on= that reaches something must reach something itself: a name that is not
 * there is a mistyped one; a pattern with * may be meant for another variant of the network. */
static void check_each(struct trainer *t, const struct instance *in,
                       bool (*reached)(const struct trainer *, const char *), const char *what, const char *list)
{
	const struct place *at = &in->spec->at;

	for (int i = 0; i < in->spec->n_arg; i++)
		if (strcmp(in->spec->arg[i].key, "on") == 0)
			at = &in->spec->arg[i].value_at;
	for (const char *on = in->common.on; *on;) {
		size_t n = strcspn(on, ",");
		const char *one = trainer_text(t, "%.*s", (int)n, on);
		if (*one && !reached(t, one) && strchr(one, '*'))
			diag_warn(t->diag, at, "on=%s: '%s' matches no %s; there are: %s", in->common.on, one, what, list);
		else if (*one && !reached(t, one))
			diag_error(t->diag, at, "on=%s: there is no %s '%s'; there are: %s", in->common.on, what, one, list);
		on += n + (on[n] == ',');
	}
}

static void check_parameters(struct trainer *t, const struct instance *in)
{
	if (reaches(t, in->common.on))
		check_each(t, in, reaches, "parameter", param_list(t, false));
	else
		at_key(t->diag, in, "on", "on=%s matches no parameter; there are: %s", in->common.on, param_list(t, false));
}

static bool reaches_either(const struct trainer *t, const char *patterns)
{
	return reaches(t, patterns) || reaches_layer(t, patterns);
}

static void check_regularizer(struct trainer *t, const struct instance *reg)
{
	const struct rein_regularizer_vt *vt = &reg->component->vt.regularizer;
	bool tensors = vt->param || vt->penalty || vt->gradient || vt->after_step || vt->after || vt->view;

	if (!tensors && !vt->activation)
		return;
	bool (*reached)(const struct trainer *, const char *) = !vt->activation ? reaches
	                                                        : tensors       ? reaches_either
	                                                                        : reaches_layer;
	if (reached(t, reg->common.on))
		check_each(t, reg, reached, tensors ? "parameter" : "layer", tensors ? param_list(t, false) : layer_list(t));
	else
		at_key(t->diag, reg, "on", "on=%s matches no %s; there are: %s", reg->common.on,
		       tensors ? "parameter" : "layer", tensors ? param_list(t, false) : layer_list(t));
}

/* One optimizer for each parameter; without on= it has those that no other names. */
static void check_optimizer(struct trainer *t, const struct instance *in, const struct instance *rest)
{
	const struct network *net = t->net[0];
	char which[400] = "";
	const char *other = NULL;
	bool any = false;

	if (is_named(in))
		check_parameters(t, in);
	else if (rest != in)
		at_instance(t->diag, in,
		            "'%s' has no on= either, and trains all that is left: name what each of the two trains",
		            rest->spec->name);
	for (int i = 0; i < net->n_param; i++) {
		const char *name = net->param[i]->name;
		size_t at = strlen(which);
		int mine = optimizer_of(t, name);
		any = any || (mine >= 0 && t->optimizer[mine] == in);
		if (!is_named(in) || mine < 0 || t->optimizer[mine] == in || !pattern_match(in->common.on, name))
			continue;
		other = t->optimizer[mine]->spec->name;
		if (at < sizeof which - 100)
			snprintf(which + at, sizeof which - at, "%s%.80s", at ? ", " : "", name);
	}
	if (other)
		at_key(t->diag, in, "on", "on=%s: '%s' trains %s already; a parameter has one optimizer", in->common.on, other,
		       which);
	else if (!any && rest == in)
		at_instance(t->diag, in, "there is no parameter left for it: the others' on= name them all");
}

static bool check_patterns(struct trainer *t)
{
	int errors = diag_errors(t->diag);
	const char *lost = param_list(t, true);
	const struct instance *rest = NULL;

	check_freeze(t);
	if (t->net[0]->n_param == 0) {
		diag_error(t->diag, &t->net[0]->section->at, "[network]: it has no parameters that train");
		return false;
	}
	for (int i = t->n_optimizer - 1; i >= 0; i--)
		rest = is_named(t->optimizer[i]) ? rest : t->optimizer[i];
	for (int i = 0; i < t->n_optimizer; i++)
		check_optimizer(t, t->optimizer[i], rest);
	if (*lost && diag_errors(t->diag) == errors) /* else an on= is wrong, which says more */
		at_instance(t->diag, t->optimizer[t->n_optimizer - 1],
		            "no optimizer trains these parameters: %s; widen an on= or freeze their layers", lost);
	for (int i = 0; i < t->n_regularizer; i++)
		check_regularizer(t, t->regularizer[i]);
	for (int i = 0; i < t->n_pruner; i++)
		check_parameters(t, t->pruner[i]);
	return diag_errors(t->diag) == errors;
}

/* The last layer against the targets. */
static bool check_output(struct trainer *t)
{
	const struct network *net = t->net[0];
	const struct layer *l = &net->layer[net->n - 1];
	const struct rein_dataset_info *info = &t->train->info;

	if (l->rank != 2) {
		if (info->target == REIN_TARGET_CLASS) {
			at_instance(t->diag, l->inst, "the network's output has rank %u; a row of numbers per sample is needed",
			            l->rank);
			return false;
		}
		return true;
	}
	if (info->target == REIN_TARGET_CLASS && l->dim[1] < info->classes && !(l->dim[1] == 1 && info->classes == 2)) {
		at_instance(t->diag, l->inst, "%" PRId64 " outputs for %" PRId64 " classes", l->dim[1], info->classes);
		return false;
	}
	return true;
}

/* --- programs ---------------------------------------------------------------------------------------------- */
static bool declare_table(struct trainer *t)
{
	int64_t dim[2] = { t->n_scalar, t->steps };

	if (!t->n_scalar)
		return true;
	t->table_host = zalloc((size_t)(dim[0] * dim[1]), sizeof *t->table_host);
	t->table = counter(t, "table", REIN_REAL_T, 2, dim, STATE_DATA);
	return t->table;
}

static bool make_statistics(struct trainer *t)
{
	bool any = false;

	for (int i = 0; t->refresh && i < t->store->n; i++)
		any = any || is_statistic(t, t->store->state[i]);
	if (!any)
		return true;
	int64_t n = t->train->n, rest = n % t->batch;
	t->stats_full = build(t, stats_program(t, t->batch, n / t->batch > 1 ? -1 : 0));
	if (rest)
		t->stats_rest = build(t, stats_program(t, rest, n - rest));
	return t->stats_full && (!rest || t->stats_rest);
}

static bool make_programs(struct trainer *t)
{
	int errors = diag_errors(t->diag);
	int64_t n = t->train->n;

	if (t->steps > 1)
		t->step_full = build(t, step_program(t, t->batch, -1, false, false));
	if (t->rest)
		t->step_last = build(t, step_program(t, t->rest, n - t->rest, true, false));
	else
		t->step_last = build(t, step_program(t, t->batch, t->steps == 1 ? 0 : -1, true, false));
	if (t->env.settings->log_every > 1) { /* epochs nobody looks at pay for no gradient norms */
		int64_t rows = t->rest ? t->rest : t->batch, first = t->rest ? n - t->rest : t->steps == 1 ? 0 : -1;
		t->step_quiet = build(t, step_program(t, rows, first, false, false));
	}
	if (diag_errors(t->diag) > errors)
		return false;
	for (uint32_t what = REIN_EPOCH_BEGIN; what <= REIN_STAGE_END; what++)
		t->event[what] = build(t, event_program(t, what, false));
	t->report = build(t, meters_program(t));
	t->report_host = zalloc((size_t)t->n_report, sizeof *t->report_host);
	if (data_split(t->data, "val"))
		portion_programs(t, portion_find(t, "val"));
	if (t->env.settings->evaluate_train)
		portion_programs(t, portion_find(t, "train"));
	make_statistics(t);
	return diag_errors(t->diag) == errors && t->step_last && t->report && stages_prepare(t);
}

/* Initial values that are recorded (of one parameter from another's). */
static bool run_inits(struct trainer *t)
{
	for (int i = 0; i < t->n_init; i++) {
		struct compiled *c = build(t, t->init[i]);
		t->init[i] = NULL;
		if (!c || compiled_run(c, 1) < 0) {
			compiled_destroy(c);
			diag_error(t->diag, NULL, "initial values could not be computed");
			return false;
		}
		compiled_destroy(c);
	}
	t->n_init = 0;
	for (int i = 0; i < t->store->n; i++)
		t->store->state[i]->ready = true;
	return true;
}

static bool start_values(struct trainer *t)
{
	char why[512];

	if (!states_allocate(t) || !run_inits(t) || !upload_data(t))
		return false;
	if (t->env.settings->weights && !t->env.to_load && !transfer_weights(t, why, sizeof why)) {
		const struct arg *a = config_setting(t->env.config, "run", "weights");
		diag_error(t->diag, a ? &a->value_at : NULL, "[run] weights: %s", why);
		return false;
	}
	return copy_note(t) && (!t->env.settings->track || path_append(t));
}

static bool prepare(struct trainer *t)
{
	if (!setup_instances(t) || !setup_schedules(t))
		return false;
	t->store = store_create(t->env.backend, t->env.host.seed, t->env.settings->rng);
	t->store->blank = t->env.check;
	if (!open_data(t) || !check_splits(t))
		return false;
	if (!model_facts(t))
		return false;
	declare_states(t);
	if (!stages_read(t) || !look_at_everything(t) || !check_output(t) || !check_patterns(t) || !metrics_exist(t))
		return false;
	return stages_masks(t) && declare_table(t) && make_programs(t) && start_values(t);
}

struct trainer *trainer_create(const struct trainer_env *env, struct diag *d)
{
	struct trainer *t = zalloc(1, sizeof *t);

	t->env = *env;
	t->diag = d;
	t->at_stage = -1;
	t->stage_done = true;
	if (prepare(t))
		return t;
	/* The same error of an earlier variant is kept once, and says enough. */
	if (!diag_errors(d))
		diag_error(d, NULL, "the run could not be prepared");
	trainer_destroy(t);
	return NULL;
}

static void drop(struct compiled **c)
{
	compiled_destroy(*c);
	*c = NULL;
}

static void programs_finish(struct trainer *t)
{
	struct compiled **programs[] = { &t->step_full, &t->step_last, &t->step_quiet, &t->stats_full, &t->stats_rest,
		                             &t->event[0],  &t->event[1],  &t->event[2],   &t->event[3],   &t->report };

	for (size_t i = 0; i < sizeof programs / sizeof *programs; i++)
		drop(programs[i]);
	for (int i = 0; i < t->n_portion; i++) {
		drop(&t->portion[i].run_full);
		drop(&t->portion[i].run_rest);
		t->portion[i].batch = 0;
	}
	for (int i = 0; i < t->n_stage; i++) {
		drop(&t->stage[i].program);
		drop(&t->stage[i].rest);
		drop(&t->stage[i].gradient);
	}
	features_finish(t);
	free(t->report_host);
	t->report_host = NULL;
}

bool trainer_record_again(struct trainer *t)
{
	programs_finish(t);
	return look_at_everything(t) && make_programs(t) && run_inits(t);
}

void trainer_destroy(struct trainer *t)
{
	if (!t)
		return;
	programs_finish(t);
	for (int i = 0; i < t->n_init; i++)
		program_destroy(t->init[i]);
	stages_finish(t);
	rewind_finish(t);
	copies_finish(&t->best);
	copies_finish(&t->initial);
	for (int i = 0; t->path && i < t->net[0]->n_param; i++)
		free(t->path[i]);
	free(t->path);
	for (int i = 0; i < t->n_portion; i++)
		stream_destroy(t->portion[i].stream);
	for (int i = 0; i < t->n_net; i++)
		network_destroy(t->net[i]);
	store_destroy(t->store);
	data_destroy(t->data);
	for (int i = 0; i < t->n_inst; i++)
		instance_destroy(t->inst[i]);
	for (int i = 0; i < t->n_ref; i++)
		free(t->ref[i]);
	for (int i = 0; i < t->n_text; i++)
		free(t->text[i]);
	void *blocks[] = { t->inst,      t->all,    t->ref,    t->net,   t->optimizer,  t->schedule,   t->regularizer,
		               t->transform, t->attack, t->scalar, t->meter, t->portion,    t->table_host, t->pruner,
		               t->detector,  t->kept,   t->text,   t->init,  t->order_host, t->order_next, t->augmentation };
	for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
		free(blocks[i]);
	free(t);
}

/* --- for everyone else ------------------------------------------------------------------------------------- */
struct store *trainer_store(struct trainer *t) { return t->store; }
struct data *trainer_data(struct trainer *t) { return t->data; }
int trainer_stage(const struct trainer *t) { return t->at_stage; }
int64_t trainer_epoch(const struct trainer *t) { return t->at_epoch; }
void trainer_print_layers(struct trainer *t, FILE *out) { network_print(t, out); }
void trainer_print_kept(struct trainer *t, FILE *out) { features_print(t, out); }

int trainer_params(struct trainer *t, struct state *const **list)
{
	*list = t->net[0]->param;
	return t->net[0]->n_param;
}

/* Those of training and of watching it, which may not be there, and those of stages. */
void each_program(struct trainer *t, program_visit *visit, void *ctx)
{
	const struct compiled *list[] = { t->step_full, t->step_last, t->step_quiet, t->event[0],   t->event[1],
		                              t->event[2],  t->event[3],  t->report,     t->stats_full, t->stats_rest };

	for (size_t i = 0; i < sizeof list / sizeof *list; i++)
		if (list[i])
			visit(list[i], ctx);
	for (int i = 0; i < t->n_portion; i++) {
		if (t->portion[i].run_full)
			visit(t->portion[i].run_full, ctx);
		if (t->portion[i].run_rest)
			visit(t->portion[i].run_rest, ctx);
	}
	for (int i = 0; features_program(t, i); i++)
		visit(features_program(t, i), ctx);
	stages_visit(t, visit, ctx);
}

static void print_program(const struct compiled *c, void *out) { compiled_print(c, out); }
static void print_times(const struct compiled *c, void *out) { compiled_print_times(c, out); }
void trainer_print_programs(struct trainer *t, FILE *out) { each_program(t, print_program, out); }

void trainer_print_times(struct trainer *t, FILE *out)
{
	each_program(t, print_times, out);
	if (any_streams(t))
		fprintf(out, "\nwaiting for samples to be read: %.3f s\n", t->data_wait_all);
}

/* In the order of the file, the datasets of [data] among them. */
int trainer_instances(struct trainer *t, struct instance *const **list)
{
	const struct config *c = t->env.config;
	int n = 0;

	if (!t->all)
		t->all = zalloc((size_t)(t->n_inst + t->data->n), sizeof *t->all);
	for (int i = 0; i < c->n_section; i++)
		for (int k = 0; k < c->section[i]->n_spec; k++) {
			const struct spec *spec = c->section[i]->spec[k];
			for (int j = 0; j < t->n_inst; j++)
				if (t->inst[j]->spec == spec)
					t->all[n++] = t->inst[j];
			for (int j = 0; j < t->data->n; j++)
				if (t->data->split[j]->dataset->spec == spec)
					t->all[n++] = t->data->split[j]->dataset;
		}
	*list = t->all;
	return n;
}

rein_status trainer_evaluate(struct trainer *t, const char *split, struct metrics *out, struct diag *d)
{
	t->diag = d;
	return run_evaluate(t, split, out) ? REIN_OK : REIN_ERROR;
}
