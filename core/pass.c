/* SPDX-License-Identifier: MIT
 *
 * pass.c: one program being recorded: what the recorder asks of the trainer (forward passes,
 * objectives, parameters, knobs, metrics, attacks), and the parts every program has: counters,
 * parameters and their masks, a batch taken from a split.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "rein/math.h"
#include "train.h"

/* --- what the recorder asks ------------------------------------------------------------ */

/* Each call has a number, which is part of the identity of its draws: two forward passes of
 * one step drop different units unless the second asks for the first one's draws. Draws
 * outside of networks keep the number of the objective they belong to. */
static rein_val pass_forward(void *ctx, struct recorder *rec, const struct rein_model *m, rein_val x, uint32_t flags)
{
	struct pass *p = ctx;
	uint32_t outer = p->call_now, number = flags & REIN_SAME_RANDOM ? 1 : ++p->call;

	(void)rec;
	p->call_now = number;
	recorder_call(p->rec, number);
	rein_val z = network_forward(p, (struct network *)m->impl, x, flags);
	p->call_now = outer;
	recorder_call(p->rec, outer);
	return z;
}

static rein_val pass_objective(void *ctx, struct recorder *rec, const struct rein_step *t, uint32_t flags)
{
	struct pass *p = ctx;
	struct rein_step again = *t;
	bool quiet = p->quiet;

	(void)rec;
	if (p->kind != PASS_TRAIN) {
		rein_refuse(p->r, "there is no objective outside of a training step");
		return REIN_NONE;
	}
	p->quiet = true; /* its metrics were recorded the first time */
	rein_val v = step_objective(p, &again, flags);
	p->quiet = quiet;
	return v;
}

static void param_found(struct pass *p, struct state *s)
{
	struct network *net = p->net;

	if (!p->dry)
		return;
	if (s->owner && s->owner->component->c.kind == REIN_LAYER && s->owner->common.freeze)
		s->frozen = true;
	if (!p->foreign && p->t->env.settings->freeze && pattern_match(p->t->env.settings->freeze, s->name))
		s->frozen = true;
	if (p->foreign)
		s->frozen = true; /* another network's parameters: trained nowhere, or by a stage of its own */
	for (int i = 0; i < net->n_param; i++)
		if (net->param[i] == s)
			return;
	if (s->frozen)
		return;
	if (net->n_param == net->cap_param) {
		net->cap_param = net->cap_param ? 2 * net->cap_param : 32;
		net->param = must(realloc(net->param, (size_t)net->cap_param * sizeof *net->param));
	}
	net->param[net->n_param++] = s;
}

/* A parameter as the forward pass shall see it: `param` slots in config order. A slot that
 * asks for parameters of its own (a gain) gets them as they are. */
static rein_val pass_param(void *ctx, struct recorder *rec, struct state *s, rein_val w)
{
	struct pass *p = ctx;
	struct rein_step step = *p->now;
	struct rein_tensor tensor = { sizeof tensor, 0, s->name, w, REIN_NONE, REIN_NONE };

	(void)rec;
	param_found(p, s);
	if (p->in_param || p->foreign)
		return w;
	p->in_param = true;
	step.mode = p->mode;
	for (int i = 0; i < p->t->n_regularizer; i++) {
		const struct instance *reg = p->t->regularizer[i];
		const struct rein_regularizer_vt *vt = &reg->component->vt.regularizer;
		if (!vt->param || !pattern_match(reg->common.on, s->name))
			continue;
		pass_enter(p, reg, s->name);
		rein_val v = vt->param(reg->self, p->r, &step, &tensor);
		pass_leave(p);
		if (!REIN_IS_NONE(v))
			tensor.w = v;
	}
	p->in_param = false;
	return tensor.w;
}

static rein_val pass_knob(void *ctx, struct recorder *rec, const struct instance *who, const char *key, double now)
{
	struct pass *p = ctx;
	char why[120];
	bool known = false;

	(void)rec;
	for (int i = 0; who && key && i < who->component->n_key; i++)
		known = known || strcmp(who->component->key[i].key, key) == 0;
	if (who && !known) {
		snprintf(why, sizeof why, "rein_knob: there is no key '%s'", key ? key : "");
		rein_refuse(p->r, why);
		return REIN_NONE;
	}
	if (who && who == p->attacker && strcmp(key, "epsilon") == 0)
		return recorder_read(p->rec, p->epsilon);
	return scalar_knob(p, who, key, now);
}

static rein_val pass_per_step(void *ctx, struct recorder *rec, const struct instance *who,
                              double (*f)(const void *, int64_t), const void *self)
{
	(void)rec;
	return scalar_per_step(ctx, who, f, self);
}

static void pass_metric(void *ctx, struct recorder *rec, const struct instance *who, const char *name, rein_val v,
                        uint32_t how)
{
	struct pass *p = ctx;
	char full[96];

	(void)rec;
	if (who && who->component->c.kind == REIN_ATTACK) { /* what it cost is a matter of attack stages */
		if (who == p->attacker && strcmp(name, "queries") == 0)
			p->queries = v;
		if (who == p->attacker && strcmp(name, "gradients") == 0)
			p->gradients = v;
		return;
	}
	snprintf(full, sizeof full, "%s%s%s", who ? who->name : "", who ? "." : "", name);
	meter_record(p, full, v, how);
}

static rein_val pass_perturb(void *ctx, struct recorder *rec, const struct rein_ref *ref, const struct rein_model *m,
                             rein_val x, rein_val y)
{
	struct pass *p = ctx;
	const struct instance *a = ref ? ref->attack : NULL;

	(void)rec;
	if (!a) {
		rein_refuse(p->r, "no attack is named");
		return REIN_NONE;
	}
	const struct rein_attack_vt *vt = &a->component->vt.attack;
	if (p->depth >= 16) {
		rein_refuse(p->r, "attacks refer to each other in a circle");
		return REIN_NONE;
	}
	if (vt->min_classes > m->classes) {
		char why[160];
		snprintf(why, sizeof why, "attack '%s' needs %u classes, the model has %u", a->name, vt->min_classes,
		         m->classes);
		rein_refuse(p->r, why);
		return REIN_NONE;
	}
	if (rein_dtype(p->r, y) == REIN_REAL_T && rein_rank(p->r, y) == 2)
		y = rein_argmax(p->r, y);
	p->depth++;
	pass_enter(p, a, NULL);
	rein_val v = vt->perturb(a->self, p->r, m, x, y);
	pass_leave(p);
	p->depth--;
	return v;
}

static rein_val pass_forward_ref(void *ctx, struct recorder *rec, const struct rein_ref *ref, rein_val x,
                                 uint32_t flags)
{
	struct pass *p = ctx;
	bool foreign = p->foreign;

	if (!ref || !ref->network) {
		rein_refuse(p->r, "no network is named");
		return REIN_NONE;
	}
	p->foreign = ref->network != p->net;
	rein_val z = pass_forward(ctx, rec, &ref->network->model, x, flags);
	p->foreign = foreign;
	return z;
}

rein_val pass_forward_once(struct pass *p, uint32_t flags)
{
	return pass_forward(p, p->rec, &p->net->model, p->batch.x, flags);
}

/* --- begin and end --------------------------------------------------------------------- */
void pass_enter(struct pass *p, const struct instance *who, const char *tensor) { recorder_enter(p->rec, who, tensor); }

void pass_leave(struct pass *p) { recorder_leave(p->rec); }

void pass_begin(struct pass *p, struct trainer *t, int kind, bool dry, const char *name)
{
	const struct recorder_env env = {
		p,           pass_forward, pass_objective,   pass_param,   pass_knob,  pass_per_step,
		pass_metric, pass_perturb, pass_forward_ref, pass_augment, pass_fixed, pass_keep
	};
	struct recorder_options options = { p->name, t->store->real_size, false, false };

	memset(p, 0, sizeof *p);
	snprintf(p->name, sizeof p->name, "%s", name);
	p->t = t;
	p->kind = kind;
	p->dry = dry;
	p->now = &p->step;
	p->net = t->net[0];
	p->rec = recorder_create(t->store, &env, &options);
	p->r = recorder_rec(p->rec);
	p->mode = kind == PASS_TRAIN ? REIN_TRAIN : REIN_EVAL;
	p->weight = p->target = p->objective = p->queries = p->gradients = REIN_NONE;
	p->activation = zalloc((size_t)t->n_regularizer + 1, sizeof *p->activation);
	p->penalty = zalloc((size_t)t->n_regularizer + 1, sizeof *p->penalty);
	for (int i = 0; i <= t->n_regularizer; i++)
		p->activation[i] = p->penalty[i] = REIN_NONE;
	p->batch = (struct rein_batch){ sizeof p->batch, 1, REIN_NONE, REIN_NONE, REIN_NONE };
	p->step = (struct rein_step){ .struct_size = sizeof p->step,
		                          .mode = p->mode,
		                          .tensor_size = sizeof *p->tensor,
		                          .model = &p->net->model,
		                          .batch = &p->batch,
		                          .logits = REIN_NONE,
		                          .rows = REIN_NONE,
		                          .loss = REIN_NONE,
		                          .lr = REIN_NONE,
		                          .n_train = t->train->n };
	p->step.step = recorder_read(p->rec, t->step);
	p->step.epoch = recorder_read(p->rec, t->epoch);
	p->entry = recorder_read(p->rec, t->entry);
	p->draw_step = p->step.step;
	p->draw_epoch = p->step.epoch;
	if (kind != PASS_TRAIN) { /* at borders entry may be one behind the last column */
		rein_val last = rein_scalar_i(p->r, (int32_t)(t->steps - 1));
		p->entry = rein_where(p->r, rein_le(p->r, last, p->entry), last, p->entry);
	}
	if (kind == PASS_EVAL)
		p->draw_step = p->draw_epoch = rein_scalar_i(p->r, 0);
}

/* States declared while looking may start from recorded values. */
static void keep_inits(struct pass *p)
{
	struct trainer *t = p->t;
	struct program *program = recorder_finish(p->rec, t->diag);

	if (!program)
		return;
	t->init = must(realloc(t->init, (size_t)(t->n_init + 1) * sizeof program));
	t->init[t->n_init++] = program;
}

struct program *pass_end(struct pass *p)
{
	struct program *program = NULL;

	if (p->kind != PASS_EVAL)
		for (int i = 0; i < p->t->store->n; i++)
			p->t->store->state[i]->moves |= recorder_writes(p->rec, p->t->store->state[i]);
	if (!p->dry || recorder_failed(p->rec))
		program = recorder_finish(p->rec, p->t->diag);
	else if (recorder_inits(p->rec))
		keep_inits(p);
	if (program && p->kept && !features_maker(p->t, p->kept, recorder_maker(p->rec))) {
		program_destroy(program);
		program = NULL;
	}
	recorder_destroy(p->rec);
	free(p->activation);
	free(p->penalty);
	free(p->tensor);
	free(p->probe);
	p->rec = NULL;
	return program;
}

void pass_tensors(struct pass *p, struct network *net)
{
	p->net = net;
	p->step.model = &net->model;
	p->tensor = zalloc((size_t)net->n_param + 1, sizeof *p->tensor);
	for (int i = 0; i < net->n_param; i++) {
		struct state *s = net->param[i];
		p->tensor[i] = (struct rein_tensor){ .struct_size = sizeof *p->tensor,
			                                 .name = s->name,
			                                 .w = recorder_read(p->rec, s),
			                                 .g = REIN_NONE,
			                                 .mask = REIN_NONE };
		if (s->mask && p->t->masks)
			p->tensor[i].mask = recorder_read(p->rec, s->mask);
	}
	p->step.n_tensor = (uint32_t)net->n_param;
	p->step.tensor = p->tensor;
}

/* --- batches ------------------------------------------------------------------------------ */
rein_val pass_index(struct pass *p, rein_val entry, int64_t rows, int64_t first)
{
	rein_val i = rein_iota(p->r, 0, 1, &rows);

	if (first >= 0)
		return first ? rein_add(p->r, i, rein_scalar_i(p->r, (int32_t)first)) : i;
	return rein_add(p->r, rein_mul(p->r, entry, rein_scalar_i(p->r, (int32_t)rows)), i);
}

void pass_batch(struct pass *p, const struct portion *f, rein_val id)
{
	rein_val x = recorder_read(p->rec, f->x);

	recorder_draw_keys(p->rec, id, p->draw_step, p->draw_epoch);
	x = rein_take(p->r, x, f->stream ? rein_take(p->r, recorder_read(p->rec, f->slot), id, 0) : id, 0);
	if (f->x->dtype == REIN_U8_T) /* as torchvision's ToTensor: a division, not a product */
		x = rein_div(p->r, rein_cast(p->r, x, REIN_REAL_T), rein_scalar(p->r, 255));
	p->batch.x = p->raw = x;
	p->batch.y = rein_take(p->r, recorder_read(p->rec, f->y), id, 0);
	p->batch.id = id;
	/* Several views of a sample are told apart in their draws by numbers behind those of the split. */
	pass_augmentations(p, f->split);
	if (p->diagnose)
		pass_probe(p, "the input", NULL, NULL, p->batch.x);
}

void pass_probe(struct pass *p, const char *what, const struct instance *who, const char *name, rein_val v)
{
	int64_t count = 1;

	if (rein_dtype(p->r, v) != REIN_REAL_T)
		return;
	for (int32_t i = 0; i < rein_rank(p->r, v); i++)
		count *= rein_dim(p->r, v, i);
	if (p->n_probe == p->cap_probe) {
		p->cap_probe = p->cap_probe ? 2 * p->cap_probe : 32;
		p->probe = must(realloc(p->probe, (size_t)p->cap_probe * sizeof *p->probe));
	}
	p->probe[p->n_probe++] = (struct probe){ what, who, name, count };
	recorder_output(p->rec, rein_sum(p->r, rein_not(p->r, rein_isfinite(p->r, v))));
}
