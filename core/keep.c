/* SPDX-License-Identifier: MIT
 *
 * keep.c: copies of states on the host (the best so far, statistics put aside), the path of
 * parameters over epochs, and the two files of a run.
 *
 * model.safetensors: parameters and buffers of [network] under PyTorch's state_dict names. Where
 * a regularizer shows evaluation other weights (EMA, SWA) those are there too, as
 * `view.<name>`: the raw ones are for going on, the viewed ones are what val.* was measured
 * with, and what trainer_load_model() gives to evaluation.
 * checkpoint.safetensors: every state but data and tables, `best/<state>` for the copy that
 * early stopping may restore, `rewind.<epoch>/<state>` for those that rewind stages go back to, `mem/<section>.<name>` for stored blocks, `path/<parameter>`, and
 * the position as metadata.
 *
 * After channels were removed both files hold the smaller tensors, and as metadata `removed` the
 * shapes that the config gives: one `name 16,1,5,5` a line. A network of those shapes takes the
 * smaller ones when it reads the file; a file of another network is refused as ever.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "rein/math.h"
#include "train.h"

/* --- copies -------------------------------------------------------------------------------- */
static bool of_main(const struct trainer *t, const struct state *s)
{
	return !s->owner || !s->owner->spec || strncmp(s->owner->spec->section, "network ", 8) != 0 || !t;
}

bool is_model_state(const struct trainer *t, const struct state *s)
{
	return (s->role == STATE_PARAM || s->role == STATE_BUFFER) && of_main(t, s);
}

bool is_kept_state(const struct trainer *t, const struct state *s)
{
	(void)t;
	return s->role == STATE_PARAM || s->role == STATE_BUFFER || s->role == STATE_SLOT;
}

bool is_rewound(const struct trainer *t, const struct state *s)
{
	if (!is_kept_state(t, s))
		return false;
	for (int i = 0; i < t->net[0]->n_param; i++)
		if (t->net[0]->param[i]->mask == s)
			return false;
	return true;
}

bool is_statistic(const struct trainer *t, const struct state *s) { return s->role == STATE_BUFFER && of_main(t, s); }

static void *fetch(struct trainer *t, const struct state *s)
{
	void *host = zalloc((size_t)state_bytes(t->store, s) + 1, 1);
	if (store_get(t->store, s, host) >= 0)
		return host;
	free(host);
	return NULL;
}

bool copies_take(struct trainer *t, struct copies *c, bool (*which)(const struct trainer *, const struct state *))
{
	*c = (struct copies){ 0 };
	c->state = zalloc((size_t)t->store->n + 1, sizeof *c->state);
	c->data = zalloc((size_t)t->store->n + 1, sizeof *c->data);
	for (int i = 0; i < t->store->n; i++) {
		struct state *s = t->store->state[i];
		if (!s->mem || !which(t, s))
			continue;
		c->state[c->n] = s;
		if (!(c->data[c->n] = fetch(t, s)))
			return false;
		c->n++;
	}
	return true;
}

bool copies_restore(struct trainer *t, const struct copies *c)
{
	for (int i = 0; i < c->n; i++)
		if (store_set(t->store, c->state[i], c->data[i]) < 0)
			return false;
	return true;
}

void copies_finish(struct copies *c)
{
	for (int i = 0; i < c->n; i++)
		free(c->data[i]);
	free(c->state);
	free(c->data);
	*c = (struct copies){ 0 };
}

/* --- the path -------------------------------------------------------------------------------- */
bool path_append(struct trainer *t)
{
	struct network *net = t->net[0];

	if (!t->path)
		t->path = zalloc((size_t)net->n_param + 1, sizeof *t->path);
	if (t->n_path == t->cap_path)
		t->cap_path = t->cap_path ? 2 * t->cap_path : 64;
	for (int i = 0; i < net->n_param; i++) {
		int64_t n = net->param[i]->count;
		t->path[i] = must(realloc(t->path[i], (size_t)(t->cap_path * n) * sizeof(float)));
		if (store_get(t->store, net->param[i], t->path[i] + t->n_path * n) < 0)
			return false;
	}
	t->n_path++;
	return true;
}

const float *trainer_path(struct trainer *t, int param, int64_t *rows)
{
	*rows = t->path ? t->n_path : 0;
	return t->path && param >= 0 && param < t->net[0]->n_param ? t->path[param] : NULL;
}

/* --- writing ----------------------------------------------------------------------------------- */
struct bundle {
	int n, cap;
	struct st_tensor *tensor;
	void **own; /* what to free with it, or NULL */
	int n_meta, cap_meta;
	char **key, **value;
};

static void bundle_add(struct bundle *b, char *name, uint32_t dtype, uint32_t rank, const int64_t *dim, int64_t bytes,
                       const void *data, bool own)
{
	if (b->n == b->cap) {
		b->cap = b->cap ? 2 * b->cap : 64;
		b->tensor = must(realloc(b->tensor, (size_t)b->cap * sizeof *b->tensor));
		b->own = must(realloc(b->own, (size_t)b->cap * sizeof *b->own));
	}
	b->tensor[b->n] = (struct st_tensor){ .name = name, .dtype = dtype, .rank = rank, .data = data, .bytes = bytes };
	for (uint32_t i = 0; i < rank; i++)
		b->tensor[b->n].dim[i] = dim[i];
	b->own[b->n++] = own ? (void *)(uintptr_t)data : NULL;
}

static void bundle_state(struct trainer *t, struct bundle *b, const char *prefix, const struct state *s,
                         const void *data, bool own)
{
	char name[512];

	snprintf(name, sizeof name, "%s%s", prefix, s->name);
	bundle_add(b, must(strdup(name)), s->dtype, s->rank, s->dim, (int64_t)state_bytes(t->store, s), data, own);
}

static bool bundle_states(struct trainer *t, struct bundle *b,
                          bool (*which)(const struct trainer *, const struct state *))
{
	for (int i = 0; i < t->store->n; i++) {
		const struct state *s = t->store->state[i];
		if (!s->mem || !which(t, s))
			continue;
		void *host = fetch(t, s);
		if (!host)
			return false;
		bundle_state(t, b, "", s, host, true);
	}
	return true;
}

/* Takes the value over. */
static void bundle_text(struct bundle *b, const char *key, char *value)
{
	if (b->n_meta == b->cap_meta) {
		b->cap_meta = b->cap_meta ? 2 * b->cap_meta : 16;
		b->key = must(realloc(b->key, (size_t)b->cap_meta * sizeof *b->key));
		b->value = must(realloc(b->value, (size_t)b->cap_meta * sizeof *b->value));
	}
	b->key[b->n_meta] = must(strdup(key));
	b->value[b->n_meta++] = value;
}

static void bundle_meta(struct bundle *b, const char *key, int64_t value)
{
	char text[32];

	snprintf(text, sizeof text, "%" PRId64, value);
	bundle_text(b, key, must(strdup(text)));
}

static void bundle_finish(struct bundle *b)
{
	for (int i = 0; i < b->n; i++) {
		free((void *)(uintptr_t)b->tensor[i].name);
		free(b->own[i]);
	}
	for (int i = 0; i < b->n_meta; i++) {
		free(b->key[i]);
		free(b->value[i]);
	}
	free(b->key);
	free(b->value);
	free(b->tensor);
	free(b->own);
}

static bool bundle_write(struct bundle *b, const char *path, char *why, size_t size)
{
	bool good = st_write(path, b->n, b->tensor, b->n_meta, (const char *const *)b->key, (const char *const *)b->value,
	                     why, size);
	bundle_finish(b);
	return good;
}

static bool in_checkpoint(const struct trainer *t, const struct state *s)
{
	(void)t;
	return s->role != STATE_DATA;
}

static struct position {
	const char *key;
	size_t offset;
} const positions[] = {
	{ "epoch", offsetof(struct trainer, at_epoch) },          { "stage_step", offsetof(struct trainer, stage_step) },
	{ "step", offsetof(struct trainer, total_step) },         { "epochs", offsetof(struct trainer, total_epoch) },
	{ "shuffles", offsetof(struct trainer, shuffles) },       { "path_rows", offsetof(struct trainer, n_path) },
	{ "step_origin", offsetof(struct trainer, step_origin) },
};

#define POSITION(t, i) (*(int64_t *)(void *)((char *)(t) + positions[i].offset))

static void no_memory_out(const struct trainer *t, char *why, size_t size)
{
	const char *reason = instance_failure(t->env.backend);
	snprintf(why, size, "backend '%s' could not hand out its memory%s%s", t->env.backend->component->c.name,
	         *reason ? ": " : "", reason);
}

/* Shapes before channels were removed, of the states that are in this file. */
static void bundle_removed(struct trainer *t, struct bundle *b,
                           bool (*which)(const struct trainer *, const struct state *))
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = t->smaller ? must(open_memstream(&text, &size)) : NULL;

	for (int i = 0; out && i < t->store->n; i++) {
		const struct state *s = t->store->state[i];
		if (!s->shrunk || !which(t, s))
			continue;
		fprintf(out, "%s ", s->name);
		for (uint32_t a = 0; a < s->rank; a++)
			fprintf(out, "%s%" PRId64, a ? "," : "", s->full[a]);
		fputc('\n', out);
	}
	if (!out)
		return;
	fclose(out);
	bundle_text(b, "removed", must(text));
}

bool trainer_save(struct trainer *t, const char *path, char *why, size_t size)
{
	struct bundle b = { 0 };
	char name[512];

	if (!bundle_states(t, &b, in_checkpoint)) {
		bundle_finish(&b);
		no_memory_out(t, why, size);
		return false;
	}
	if (t->added) {
		const struct split *s = t->train;
		int64_t dim[2] = { t->added, s->elements }, per = s->info.dtype == REIN_U8_T ? 1 : (int64_t)sizeof(float);
		bundle_add(&b, must(strdup("added/x")), s->info.dtype, 2, dim, dim[0] * dim[1] * per,
		           (const char *)s->x + ((s->streamed ? s->joined : s->n) - t->added) * s->elements * per, false);
		bundle_add(&b, must(strdup("added/y")), REIN_I32_T, 1, dim, t->added * (int64_t)sizeof(int32_t),
		           (const int32_t *)s->y + s->n - t->added, false);
	}
	for (int i = 0; i < t->best.n; i++)
		bundle_state(t, &b, "best/", t->best.state[i], t->best.data[i], false);
	for (int i = 0; i < t->n_rewound; i++) {
		const struct rewound *back = &t->rewound[i];
		snprintf(name, sizeof name, "rewind.%" PRId64, back->epoch);
		if (back->taken)
			bundle_meta(&b, name, back->step);
		snprintf(name, sizeof name, "rewind.%" PRId64 "/", back->epoch);
		for (int k = 0; k < back->copy.n; k++)
			bundle_state(t, &b, name, back->copy.state[k], back->copy.data[k], false);
	}
	for (int i = 0; i < t->n_inst; i++) {
		const struct instance *in = t->inst[i];
		int64_t bytes = in->component->c.mem_size;
		if (!in->mem)
			continue;
		snprintf(name, sizeof name, "mem/%s.%s", in->spec->section, in->spec->name);
		bundle_add(&b, must(strdup(name)), REIN_U8_T, 1, &bytes, bytes, in->mem, false);
	}
	for (int i = 0; t->path && i < t->net[0]->n_param; i++) {
		const struct state *s = t->net[0]->param[i];
		int64_t dim[2] = { t->n_path, s->count };
		snprintf(name, sizeof name, "path/%s", s->name);
		bundle_add(&b, must(strdup(name)), REIN_REAL_T, 2, dim, dim[0] * dim[1] * 4, t->path[i], false);
	}
	bundle_removed(t, &b, in_checkpoint);
	bundle_meta(&b, "checkpoint", 1);
	bundle_meta(&b, "seed", (int64_t)t->store->seed);
	bundle_meta(&b, "stage", t->at_stage);
	bundle_meta(&b, "stage_done", t->stage_done);
	bundle_meta(&b, "unread", t->unread);
	for (size_t i = 0; i < sizeof positions / sizeof *positions; i++)
		bundle_meta(&b, positions[i].key, POSITION(t, i));
	return bundle_write(&b, path, why, size);
}

/* The weights evaluation sees: a program without effects, whose outputs are the views. */
static bool bundle_views(struct trainer *t, struct bundle *b)
{
	struct network *net = t->net[0];
	struct pass p;
	bool good = true;

	pass_begin(&p, t, PASS_EVAL, false, "views");
	p.quiet = true;
	pass_tensors(&p, net);
	pass_view(&p);
	for (int i = 0; i < net->n_param; i++)
		recorder_output(p.rec, recorder_seen(p.rec, p.tensor[i].w));
	pass_unview(&p);
	struct compiled *c = build(t, pass_end(&p));
	good = c && compiled_run(c, 1) >= 0;
	for (int i = 0; good && i < net->n_param; i++) {
		int64_t bytes = (int64_t)state_bytes(t->store, net->param[i]);
		void *host = zalloc((size_t)bytes + 1, 1);
		good = compiled_output(c, (uint32_t)i, host, bytes) == bytes;
		bundle_state(t, b, "view.", net->param[i], host, true);
	}
	compiled_destroy(c);
	return good;
}

static bool bundle_view_statistics(struct trainer *t, struct bundle *b)
{
	struct copies aside = { 0 }, fresh = { 0 };
	bool good = copies_take(t, &aside, is_statistic) && run_refresh(t) && copies_take(t, &fresh, is_statistic);

	good = copies_restore(t, &aside) && good;
	for (int i = 0; good && i < fresh.n; i++) {
		bundle_state(t, b, "view.", fresh.state[i], fresh.data[i], true);
		fresh.data[i] = NULL;
	}
	copies_finish(&aside);
	copies_finish(&fresh);
	return good;
}

/* The class names by number, so that a model can be used without its data. */
static void bundle_classes(struct bundle *b, const struct rein_dataset_info *i)
{
	size_t size = 1;

	for (int64_t k = 0; i->class_names && k < i->classes; k++)
		size += strlen(i->class_names[k]) + 1;
	if (!i->class_names)
		return;
	char *text = zalloc(size, 1), *at = text;
	for (int64_t k = 0; k < i->classes; k++)
		at += sprintf(at, k ? "\n%s" : "%s", i->class_names[k]);
	bundle_text(b, "classes", text);
}

bool trainer_save_model(struct trainer *t, const char *path, char *why, size_t size)
{
	struct bundle b = { 0 };
	struct diag *told = t->diag, *quiet = diag_create();

	t->diag = quiet;
	bool good = bundle_states(t, &b, is_model_state);
	if (good && t->has_view && !t->plain)
		good = bundle_views(t, &b) && (!t->stats_full || bundle_view_statistics(t, &b));
	t->diag = told;
	diag_destroy(quiet);
	bundle_classes(&b, &t->train->info);
	bundle_text(&b, "normalization", normalization_text(t));
	bundle_removed(t, &b, is_model_state);
	if (good)
		return bundle_write(&b, path, why, size);
	bundle_finish(&b);
	no_memory_out(t, why, size);
	return false;
}

/* --- reading --------------------------------------------------------------------------------------- */
static void shape(char *buf, size_t size, uint32_t rank, const int64_t *dim)
{
	size_t at = (size_t)snprintf(buf, size, "(");
	for (uint32_t i = 0; i < rank && at < size; i++)
		at += (size_t)snprintf(buf + at, size - at, "%s%" PRId64, i ? ", " : "", dim[i]);
	if (at < size)
		snprintf(buf + at, size - at, ")");
}

static bool same_shape(const struct st_tensor *x, const struct state *s)
{
	return x->dtype == s->dtype && x->rank == s->rank && memcmp(x->dim, s->dim, s->rank * sizeof *s->dim) == 0;
}

const struct st_tensor *tensor_named(const struct st_file *f, const char *path, const char *name, const struct state *s,
                                     char *why, size_t size)
{
	char a[128], b[128];

	const struct st_tensor *x = st_find(f, name);
	if (!x) {
		snprintf(why, size, "%s: there is no tensor '%s'", path, name);
		return NULL;
	}
	if (!same_shape(x, s)) {
		shape(a, sizeof a, x->rank, x->dim);
		shape(b, sizeof b, s->rank, s->dim);
		snprintf(why, size, "%s: tensor '%s' is %s %s, the network's '%s' %s %s", path, name, dtype_name(x->dtype), a,
		         s->name, dtype_name(s->dtype), b);
		return NULL;
	}
	return x;
}

/* Tensor `prefix`state of the file, of the state's shape; NULL with the reason. */
static const struct st_tensor *tensor_for(const struct st_file *f, const char *path, const char *prefix,
                                          const struct state *s, char *why, size_t size)
{
	char name[512];

	snprintf(name, sizeof name, "%s%s", prefix, s->name);
	return tensor_named(f, path, name, s, why, size);
}

/* --- smaller shapes ------------------------------------------------------------------------------- */
/* Does a line of `removed` say that the tensor had the state's shape before? */
static bool had_shape(const char *removed, const struct state *s)
{
	char line[512];
	size_t n = (size_t)snprintf(line, sizeof line, "%s ", s->name);

	for (uint32_t a = 0; a < s->rank && n < sizeof line; a++)
		n += (size_t)snprintf(line + n, sizeof line - n, "%s%" PRId64, a ? "," : "", s->dim[a]);
	for (const char *at = removed; n < sizeof line && (at = strstr(at, line)); at++)
		if ((at == removed || at[-1] == '\n') && (at[n] == '\n' || !at[n]))
			return true;
	return false;
}

/* The tensor of a smaller network for this state, if that is what the file has for it. */
static const struct st_tensor *smaller_tensor(const struct st_file *f, const char *removed, const struct state *s)
{
	const struct st_tensor *x = st_find(f, s->name);
	bool smaller = false;

	if (!x || x->dtype != s->dtype || x->rank != s->rank || !had_shape(removed, s))
		return NULL;
	for (uint32_t a = 0; a < s->rank; a++) {
		if (x->dim[a] < 1 || x->dim[a] > s->dim[a])
			return NULL;
		smaller = smaller || x->dim[a] < s->dim[a];
	}
	return smaller ? x : NULL;
}

/* States kept for a parameter that are not in the file: like it along the axes in which they were. */
static void reshape_followers(struct trainer *t, const struct state *w, const int64_t *full)
{
	for (int i = 0; i < t->store->n; i++) {
		struct state *s = t->store->state[i];
		int64_t dim[REIN_MAX_RANK];
		bool like = s->rank == w->rank && s->rank && store_follows(t->store, s) == w;
		for (uint32_t a = 0; like && a < s->rank; a++) {
			like = s->dim[a] == full[a] || s->dim[a] == 1;
			dim[a] = s->dim[a] == 1 ? 1 : w->dim[a];
		}
		if (like)
			store_reshape(t->store, s, dim);
	}
}

/* Takes the shapes of a file whose network has lost channels, and records all again. */
static bool adopt_shapes(struct trainer *t, const struct st_file *f, const char *path,
                         bool (*which)(const struct trainer *, const struct state *), char *why, size_t size)
{
	const char *removed = st_meta(f, "removed");
	struct diag *told = t->diag;
	bool any = false;

	for (int i = 0; removed && i < t->store->n; i++) { /* all of them, or the file is another network's */
		const struct state *s = t->store->state[i];
		const struct st_tensor *x = which(t, s) ? st_find(f, s->name) : NULL;
		if (x && !same_shape(x, s) && !smaller_tensor(f, removed, s))
			return tensor_for(f, path, "", s, why, size);
	}
	for (int i = 0; removed && i < t->store->n; i++) {
		struct state *s = t->store->state[i];
		const struct st_tensor *x = s->shrunk || !which(t, s) ? NULL : smaller_tensor(f, removed, s);
		int64_t full[REIN_MAX_RANK];
		if (!x)
			continue;
		memcpy(full, s->dim, sizeof full);
		store_reshape(t->store, s, x->dim);
		if (s->role == STATE_PARAM)
			reshape_followers(t, s, full);
		any = true;
	}
	if (!any)
		return true;
	t->smaller = true;
	t->diag = diag_create();
	bool good = trainer_record_again(t);
	if (!good)
		snprintf(why, size, "%s: the shapes of its tensors, of which channels were removed, do not fit together", path);
	diag_destroy(t->diag);
	t->diag = told;
	return good;
}

static bool load_states(struct trainer *t, const struct st_file *f, const char *path, const char *prefix,
                        bool (*which)(const struct trainer *, const struct state *), char *why, size_t size)
{
	/* first whether all of it fits, then the copying: a wrong file changes nothing */
	for (int pass = 0; pass < 2; pass++)
		for (int i = 0; i < t->store->n; i++) {
			struct state *s = t->store->state[i];
			if (!s->mem || !which(t, s))
				continue;
			const struct st_tensor *x = tensor_for(f, path, prefix, s, why, size);
			if (!x)
				return false;
			if (pass == 1 && store_set(t->store, s, x->data) < 0) {
				snprintf(why, size, "backend '%s' could not take tensor '%s': %s", t->env.backend->component->c.name,
				         s->name, instance_failure(t->env.backend));
				return false;
			}
		}
	return true;
}

static bool meta_int(const struct st_file *f, const char *key, int64_t *out)
{
	for (int i = 0; i < f->n_meta; i++)
		if (strcmp(f->meta_key[i], key) == 0)
			return parse_int(f->meta_value[i], out);
	return false;
}

/* The states of a copy as they lie in the file under `prefix`. */
static bool load_copies(struct trainer *t, const struct st_file *f, const char *path, const char *prefix,
                        struct copies *c, bool (*which)(const struct trainer *, const struct state *), char *why,
                        size_t size)
{
	if (!copies_take(t, c, which)) {
		no_memory_out(t, why, size);
		return false;
	}
	for (int i = 0; i < c->n; i++) {
		const struct st_tensor *x = tensor_for(f, path, prefix, c->state[i], why, size);
		if (!x)
			return false;
		memcpy(c->data[i], x->data, (size_t)x->bytes);
	}
	return true;
}

static bool load_best(struct trainer *t, const struct st_file *f, const char *path, char *why, size_t size)
{
	copies_finish(&t->best);
	if (!st_find(f, t->net[0]->n_param ? trainer_text(t, "best/%s", t->net[0]->param[0]->name) : "best/"))
		return true;
	return load_copies(t, f, path, "best/", &t->best, is_kept_state, why, size);
}

static bool load_rewound(struct trainer *t, const struct st_file *f, const char *path, char *why, size_t size)
{
	bool good = true;

	for (int i = 0; good && i < t->n_rewound; i++) {
		struct rewound *b = &t->rewound[i];
		const char *prefix = trainer_text(t, "rewind.%" PRId64 "/", b->epoch);
		copies_finish(&b->copy);
		b->taken = meta_int(f, trainer_text(t, "rewind.%" PRId64, b->epoch), &b->step);
		good = !b->taken || load_copies(t, f, path, prefix, &b->copy, is_rewound, why, size);
	}
	return good;
}

static bool load_blocks(struct trainer *t, const struct st_file *f, const char *path, char *why, size_t size)
{
	char name[512];

	for (int i = 0; i < t->n_inst; i++) {
		const struct instance *in = t->inst[i];
		if (!in->mem)
			continue;
		snprintf(name, sizeof name, "mem/%s.%s", in->spec->section, in->spec->name);
		const struct st_tensor *x = st_find(f, name);
		if (!x || x->dtype != REIN_U8_T || x->bytes != (int64_t)in->component->c.mem_size) {
			snprintf(why, size, "%s: the stored block '%s' is missing or of another size", path, name);
			return false;
		}
		memcpy(in->mem, x->data, (size_t)x->bytes);
	}
	return true;
}

static bool load_path(struct trainer *t, const struct st_file *f, int64_t rows, const char *path, char *why,
                      size_t size)
{
	char name[512];

	if (!t->env.settings->track || rows <= 0)
		return true;
	if (!t->path)
		t->path = zalloc((size_t)t->net[0]->n_param + 1, sizeof *t->path);
	for (int i = 0; i < t->net[0]->n_param; i++) {
		int64_t n = t->net[0]->param[i]->count;
		snprintf(name, sizeof name, "path/%s", t->net[0]->param[i]->name);
		const struct st_tensor *x = st_find(f, name);
		if (!x || x->bytes != rows * n * 4) {
			snprintf(why, size, "%s: the path of '%s' is missing", path, t->net[0]->param[i]->name);
			return false;
		}
		t->path[i] = must(realloc(t->path[i], (size_t)x->bytes + 1));
		memcpy(t->path[i], x->data, (size_t)x->bytes);
	}
	t->cap_path = rows;
	return true;
}

static bool load_position(struct trainer *t, const struct st_file *f, const char *path, char *why, size_t size)
{
	int64_t stage, done, unread, seed, drawn = t->shuffles;

	if (!meta_int(f, "seed", &seed) || seed != (int64_t)t->store->seed) {
		snprintf(why, size, "%s: the checkpoint is not of a run with seed %" PRIu64, path, t->store->seed);
		return false;
	}
	if (!meta_int(f, "stage", &stage) || !meta_int(f, "stage_done", &done) || !meta_int(f, "unread", &unread) ||
	    stage < -1 || stage >= t->n_stage) {
		snprintf(why, size, "%s: the position in [stages] is missing or outside of this config", path);
		return false;
	}
	for (size_t i = 0; i < sizeof positions / sizeof *positions; i++)
		if (!meta_int(f, positions[i].key, &POSITION(t, i))) {
			snprintf(why, size, "%s: '%s' is missing", path, positions[i].key);
			return false;
		}
	t->at_stage = (int)stage;
	t->stage_done = done != 0;
	t->unread = unread != 0;
	if (!t->env.settings->shuffle)
		t->shuffles = 0; /* the order is not in the file: laid out again */
	for (int64_t i = drawn; t->store->torch && i < t->shuffles; i++) {
		torch_rng_64(t->store->torch); /* as draw_order() did */
		torch_rng_64(t->store->torch);
	}
	return true;
}

/* Samples that joined the training split before the checkpoint was written. */
static bool load_added(struct trainer *t, const struct st_file *f, const char *path, char *why, size_t size)
{
	const struct st_tensor *x = st_find(f, "added/x"), *y = st_find(f, "added/y");

	if (!x && !y)
		return true;
	if (!x || !y || x->rank != 2 || x->dtype != t->train->info.dtype || x->dim[1] != t->train->elements ||
	    y->dtype != REIN_I32_T || y->rank != 1 || y->dim[0] != x->dim[0] || t->added) {
		snprintf(why, size, "%s: the samples that were added do not fit those of 'train'", path);
		return false;
	}
	int64_t n = x->dim[0] * x->dim[1];
	float *host = zalloc((size_t)n, sizeof *host);
	for (int64_t i = 0; i < n; i++)
		host[i] = x->dtype == REIN_U8_T ? (float)((const uint8_t *)x->data)[i] / 255.0F : ((const float *)x->data)[i];
	bool good = grow_train(t, x->dim[0], host, y->data);
	free(host);
	if (!good)
		snprintf(why, size, "%s: the samples that were added could not be taken in", path);
	return good;
}

bool trainer_load(struct trainer *t, const char *path, char *why, size_t size)
{
	struct st_file *f = st_open(path, why, size);
	int64_t version = 0, rows = 0;

	if (!f)
		return false;
	bool good = meta_int(f, "checkpoint", &version) && version == 1;
	if (!good)
		snprintf(why, size, "%s: this is not a checkpoint of a run", path);
	good = good && load_added(t, f, path, why, size) && adopt_shapes(t, f, path, in_checkpoint, why, size) &&
	       load_states(t, f, path, "", in_checkpoint, why, size) && load_best(t, f, path, why, size) &&
	       load_rewound(t, f, path, why, size) && load_blocks(t, f, path, why, size) &&
	       load_position(t, f, path, why, size);
	if (good && meta_int(f, "path_rows", &rows))
		good = load_path(t, f, rows, path, why, size);
	st_close(f);
	return good;
}

bool load_weights(struct trainer *t, const char *path, bool views, char *why, size_t size)
{
	struct st_file *f = st_open(path, why, size);

	if (!f)
		return false;
	normalization_check(t, f, path);
	bool good =
		adopt_shapes(t, f, path, is_model_state, why, size) && load_states(t, f, path, "", is_model_state, why, size);
	for (int i = 0; good && views && i < t->store->n; i++) {
		struct state *s = t->store->state[i];
		char name[512];
		snprintf(name, sizeof name, "view.%s", s->name);
		if (!s->mem || !is_model_state(t, s) || !st_find(f, name))
			continue;
		const struct st_tensor *x = tensor_for(f, path, "view.", s, why, size);
		good = x && store_set(t->store, s, x->data) >= 0;
	}
	st_close(f);
	return good;
}

bool trainer_load_model(struct trainer *t, const char *path, char *why, size_t size)
{
	if (!load_weights(t, path, true, why, size))
		return false;
	/* evaluation programs made so far read averages that this file does not hold */
	if (t->has_view && !t->plain) {
		for (int i = 0; i < t->n_portion; i++) {
			compiled_destroy(t->portion[i].run_full);
			compiled_destroy(t->portion[i].run_rest);
			t->portion[i].run_full = t->portion[i].run_rest = NULL;
			t->portion[i].batch = 0;
		}
		t->plain = true;
	}
	return true;
}
