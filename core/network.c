/* SPDX-License-Identifier: MIT
 *
 * network.c: the layers of [network] and of each [network NAME]: their wiring, their forward
 * pass as recorded ops, and the layer table of `rein summary`.
 *
 * A layer reads the output of the line above, or what `input=a,b` names: earlier layers, or
 * `input` for the network's own input. The last line is the network's output.
 *
 * Normalization is part of the model: transforms that declare themselves per-channel affine
 * (rein_augmentation_vt.affine) are recorded at the front of every forward pass and nowhere
 * else. Whoever calls rein_forward(), the training step included, hands over pixel space
 * (stored bytes as 0..1), so attacks and augmentations need to know nothing of it.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "rein/math.h"
#include "train.h"

static int layer_find(const struct network *net, int before, const char *name, size_t len)
{
	for (int i = before - 1; i >= 0; i--) {
		const char *s = net->layer[i].inst->spec->name;
		if (strlen(s) == len && memcmp(s, name, len) == 0)
			return i;
	}
	return len == 5 && memcmp(name, "input", 5) == 0 ? -1 : -2;
}

/* `input=a,b` of layer i; without it the line above. */
static void layer_wire(struct trainer *t, struct network *net, int i)
{
	struct layer *l = &net->layer[i];
	const char *s = l->inst->common.input;

	if (!s || !*s) {
		l->in = zalloc(1, sizeof *l->in);
		l->in[l->n_in++] = i - 1;
		return;
	}
	l->in = zalloc(strlen(s), sizeof *l->in);
	while (*s) {
		size_t len = strcspn(s, ",");
		int from = layer_find(net, i, s, len);
		if (from == -2)
			at_key(t->diag, l->inst, "input", "input '%.*s' is not a layer above this one", (int)len, s);
		else
			l->in[l->n_in++] = from;
		s += len;
		s += *s == ',';
	}
	uint32_t most = l->inst->component->vt.layer.inputs;
	if ((uint32_t)l->n_in > (most ? most : 1))
		at_key(t->diag, l->inst, "input", "input= names %d values; layer '%s' takes %u", l->n_in,
		       l->inst->component->c.name, most ? most : 1);
}

struct network *network_create(struct trainer *t, const struct section *section, const char *name)
{
	struct network *net = zalloc(1, sizeof *net);

	net->name = name;
	net->section = section;
	net->layer = zalloc((size_t)section->n_spec + 1, sizeof *net->layer);
	for (int i = 0; i < t->n_inst; i++)
		if (strcmp(t->inst[i]->spec->section, section->name) == 0)
			net->layer[net->n++].inst = t->inst[i];
	for (int i = 0; i < net->n; i++)
		layer_wire(t, net, i);
	net->model.struct_size = sizeof net->model;
	net->model.impl = net;
	return net;
}

void network_destroy(struct network *net)
{
	if (!net)
		return;
	for (int i = 0; i < net->n; i++)
		free(net->layer[i].in);
	free(net->layer);
	free(net->param);
	free(net);
}

struct network *network_find(struct trainer *t, const char *name)
{
	for (int i = 0; i < t->n_net; i++)
		if (strcmp(t->net[i]->name, name) == 0)
			return t->net[i];
	return NULL;
}

/* x (N,C,..), n numbers -> rank of x with n along the channels, or a scalar. */
static rein_val channel_const(struct rein_rec *r, rein_val x, int64_t n, const double *v)
{
	int64_t dim[REIN_MAX_RANK] = { 1, 1, 1, 1, 1, 1 };
	int32_t rank = rein_rank(r, x);

	if (n == 1)
		return rein_scalar(r, v[0]);
	dim[1] = n;
	return rein_const(r, REIN_REAL_T, rank < 0 ? 0u : (uint32_t)rank, dim, v);
}

static rein_val normalize(struct pass *p, rein_val x)
{
	for (int i = 0; i < p->t->n_transform; i++) {
		const struct instance *in = p->t->transform[i];
		const struct rein_augmentation_vt *vt = &in->component->vt.augmentation;
		const double *mean, *std;
		int64_t n;
		if (!vt->affine)
			continue;
		pass_enter(p, in, NULL);
		if (vt->affine(in->self, &n, &mean, &std) < 0) {
			rein_refuse(p->r, instance_failure((struct instance *)in));
		} else if (n != 1 && n != rein_dim(p->r, x, 1)) {
			char why[160];
			snprintf(why, sizeof why, "%" PRId64 " means and deviations for %" PRId64 " channels", n,
			         rein_dim(p->r, x, 1));
			rein_refuse(p->r, why);
		} else {
			x = rein_sub(p->r, x, channel_const(p->r, x, n, mean));
			x = rein_div(p->r, x, channel_const(p->r, x, n, std));
		}
		pass_leave(p);
	}
	return x;
}

/* Activation slots of the regularizers that `on=` gives this layer. */
static void layer_activation(struct pass *p, const struct layer *l, rein_val out)
{
	for (int i = 0; i < p->t->n_regularizer; i++) {
		const struct instance *reg = p->t->regularizer[i];
		const struct rein_regularizer_vt *vt = &reg->component->vt.regularizer;
		if (!vt->activation || !pattern_match(reg->common.on, l->inst->spec->name))
			continue;
		pass_enter(p, reg, NULL);
		rein_val v = vt->activation(reg->self, p->r, p->now, out);
		pass_leave(p);
		if (!REIN_IS_NONE(v))
			p->activation[i] = REIN_IS_NONE(p->activation[i]) ? v : rein_add(p->r, p->activation[i], v);
	}
}

static void layer_note(struct pass *p, struct layer *l, rein_val out, int first)
{
	int32_t rank = rein_rank(p->r, out);

	if (!p->dry || rank < 0)
		return;
	l->rank = (uint32_t)rank;
	l->macs = recorded_macs(p->rec, first) / (rank ? rein_dim(p->r, out, 0) : 1);
	for (int32_t i = 0; i < rank; i++)
		l->dim[i] = rein_dim(p->r, out, i);
}

rein_val network_forward(struct pass *p, struct network *net, rein_val x, uint32_t flags)
{
	rein_val *out = rein_vals(p->r, (uint32_t)net->n + 1), *in;
	uint32_t mode = flags & 3u, keep = flags & REIN_KEEP_STATE, outer = p->mode;
	bool main_net = net == p->net;

	if (!out)
		return REIN_NONE;
	if (p->depth >= 16) {
		rein_refuse(p->r, "networks and attacks refer to each other in a circle");
		return REIN_NONE;
	}
	p->depth++;
	p->mode = mode;
	x = normalize(p, x);
	for (int i = 0; i < net->n; i++) {
		struct layer *l = &net->layer[i];
		if (!(in = rein_vals(p->r, (uint32_t)l->n_in)))
			return REIN_NONE;
		struct rein_call call = { sizeof call, mode, (uint32_t)l->n_in, keep, in };
		for (int k = 0; k < l->n_in; k++)
			in[k] = l->in[k] < 0 ? x : out[l->in[k]];
		int first = recorded_ops(p->rec);
		pass_enter(p, l->inst, NULL);
		out[i] = l->inst->component->vt.layer.record(l->inst->self, p->r, &call);
		pass_leave(p);
		layer_note(p, l, out[i], first);
		if (main_net && p->collect)
			layer_activation(p, l, out[i]);
		if (main_net && p->diagnose && p->call == 1)
			pass_probe(p, "the output of", l->inst, NULL, out[i]);
	}
	p->mode = outer;
	p->depth--;
	return net->n ? out[net->n - 1] : x;
}

/* --- the layer table ------------------------------------------------------------------- */
/* [512, 6, 28, 28]: a batch of training */
static void shape_text(char *buf, size_t size, int64_t batch, const struct layer *l)
{
	size_t at = (size_t)snprintf(buf, size, "[%" PRId64, batch);
	for (uint32_t i = 1; i < l->rank && at < size; i++)
		at += (size_t)snprintf(buf + at, size - at, ", %" PRId64, l->dim[i]);
	if (at < size)
		snprintf(buf + at, size - at, "]");
}

static int64_t layer_params(const struct trainer *t, const struct layer *l, int64_t *frozen)
{
	int64_t n = 0;
	for (int i = 0; i < t->store->n; i++) {
		const struct state *s = t->store->state[i];
		if (s->owner != l->inst || s->role != STATE_PARAM)
			continue;
		n += s->count;
		if (s->frozen)
			*frozen += s->count;
	}
	return n;
}

static int64_t layer_macs(const struct trainer *t, const struct network *net, const struct layer *l)
{
	const struct rein_layer_vt *vt = &l->inst->component->vt.layer;
	const struct rein_dataset_info *info = &t->train->info;
	int from = l->n_in ? l->in[0] : -1;

	if (!vt->macs || l->rank == 0)
		return 0;
	if (l->macs) /* the shapes may have become smaller than the keys say */
		return l->macs;
	if (from < 0)
		return vt->macs(l->inst->self, info->rank, info->dim, l->rank - 1, l->dim + 1);
	return vt->macs(l->inst->self, net->layer[from].rank - 1, net->layer[from].dim + 1, l->rank - 1, l->dim + 1);
}

static void net_print(struct trainer *t, const struct network *net, FILE *out)
{
	int64_t params = 0, frozen = 0, macs = 0, bytes = 0;
	int w_name = 5, w_type = 4;

	for (int i = 0; i < net->n; i++) {
		int a = (int)strlen(net->layer[i].inst->spec->name), b = (int)strlen(net->layer[i].inst->component->c.name);
		w_name = a > w_name ? a : w_name;
		w_type = b > w_type ? b : w_type;
	}
	fprintf(out, "[%s]\n%-*s  %-*s  %-20s %12s %14s %12s\n", net->section->name, w_name, "layer", w_type, "type",
	        "output", "parameters", "MACs", "bytes");
	for (int i = 0; i < net->n; i++) {
		const struct layer *l = &net->layer[i];
		char shape[160];
		int64_t p = layer_params(t, l, &frozen), m = layer_macs(t, net, l), b = t->store->real_size;
		for (uint32_t k = 1; k < l->rank; k++)
			b *= l->dim[k];
		shape_text(shape, sizeof shape, t->batch, l);
		fprintf(out, "%-*s  %-*s  %-20s %12" PRId64 " %14" PRId64 " %12" PRId64 "\n", w_name, l->inst->spec->name,
		        w_type, l->inst->component->c.name, shape, p, m, b);
		params += p;
		macs += m;
		bytes += b;
	}
	fprintf(out, "%-*s  %-*s  %-20s %12" PRId64 " %14" PRId64 " %12" PRId64 "\n", w_name, "total", w_type, "", "",
	        params, macs, bytes);
	if (frozen)
		fprintf(out, "%" PRId64 " parameters are frozen\n", frozen);
	fprintf(out,
	        "output: shape for a batch; MACs and bytes of outputs are for one sample; parameters take %" PRId64
	        " bytes\n",
	        params * (int64_t)t->store->real_size);
}

void network_print(struct trainer *t, FILE *out)
{
	for (int i = 0; i < t->n_net; i++)
		net_print(t, t->net[i], out);
}
