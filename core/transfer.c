/* SPDX-License-Identifier: MIT
 *
 * transfer.c: some weights of another network's file for a new run: those that [run] weights_on
 * names, looked for in the file under the names that weights_map gives them. The others keep
 * the values they start from.
 *
 * Normalization is part of a model: its file says, as metadata `normalization`, what the network's inputs
 * were normalized with, and a config that reads the weights and does otherwise is told so.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "train.h"

/* "ours=theirs,...": the longest `ours` that begins the name and ends at a '.' of it gives way to
 * `theirs`; none: the name itself. *used: the entry, counted from 0, or -1. */
static const char *renamed(const char *map, const char *name, char *buf, size_t size, int *used)
{
	size_t longest = 0;
	int number = 0;

	*used = -1;
	snprintf(buf, size, "%s", name);
	for (const char *at = map ? map : ""; *at; number++) {
		size_t len = strcspn(at, ","), ours = strcspn(at, "=,");
		bool fits = ours < len && ours > longest && !strncmp(name, at, ours) && (name[ours] == '.' || !name[ours]);
		if (fits) {
			longest = ours;
			*used = number;
			snprintf(buf, size, "%.*s%s", (int)(len - ours - 1), at + ours + 1, name + ours);
		}
		at += len + (at[len] == ',');
	}
	return buf;
}

/* Entry number k of a comma-separated list. */
static const char *entry(const char *list, int k, char *buf, size_t size)
{
	while (k-- > 0)
		list += strcspn(list, ",") + 1;
	snprintf(buf, size, "%.*s", (int)strcspn(list, ","), list);
	return buf;
}

static int entries(const char *list)
{
	int n = list && *list ? 1 : 0;

	for (; list && *list; list++)
		n += *list == ',';
	return n;
}

/* Every pattern and every name of the map has something to do. */
static bool all_used(struct trainer *t, const char *on, const char *map, char *why, size_t size)
{
	char buf[512], one[512];

	for (int k = 0; k < entries(on); k++) {
		bool found = false;
		for (int i = 0; i < t->store->n && !found; i++)
			found = is_model_state(t, t->store->state[i]) &&
			        pattern_match(entry(on, k, one, sizeof one), t->store->state[i]->name);
		if (!found)
			return snprintf(why, size, "weights_on: '%s' matches no parameter of the network",
			                entry(on, k, one, sizeof one)),
			       false;
	}
	for (int k = 0; k < entries(map); k++) {
		bool found = false;
		for (int i = 0, used; i < t->store->n && !found; i++) {
			const struct state *s = t->store->state[i];
			found = is_model_state(t, s) && (!on || pattern_match(on, s->name)) &&
			        (renamed(map, s->name, buf, sizeof buf, &used), used == k);
		}
		if (!found)
			return snprintf(why, size, "weights_map: '%s': expected ours=theirs, ours a layer whose weights are read",
			                entry(map, k, one, sizeof one)),
			       false;
	}
	return true;
}

/* --- normalization ------------------------------------------------------------------------- */
static void numbers(FILE *f, const char *key, int64_t n, const double *v)
{
	bool same = true; /* 0.5,0.5,0.5 is what 0.5 is */
	for (int64_t i = 1; i < n; i++)
		same = same && v[i] == v[0];
	for (int64_t i = 0; i < (same && n > 1 ? 1 : n); i++)
		fprintf(f, "%s%.9g", i ? "," : key, v[i]);
}

/* "mean=0.5 std=0.25", of several one after another; "" for none. Allocated. */
char *normalization_text(const struct trainer *t)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = must(open_memstream(&text, &size));

	for (int i = 0; i < t->n_transform; i++) {
		const struct rein_augmentation_vt *vt = &t->transform[i]->component->vt.augmentation;
		const double *mean, *std;
		int64_t n;
		if (!vt->affine || vt->affine(t->transform[i]->self, &n, &mean, &std) < 0)
			continue;
		fputs(ftell(f) ? " " : "", f);
		numbers(f, "mean=", n, mean);
		numbers(f, " std=", n, std);
	}
	fclose(f);
	return must(text);
}

void normalization_check(struct trainer *t, const struct st_file *f, const char *path)
{
	const char *theirs = st_meta(f, "normalization");
	const struct arg *a = config_setting(t->env.config, "run", "weights");
	char *ours = normalization_text(t);

	if (theirs && strcmp(theirs, ours) != 0) {
		const char *text =
			trainer_text(t,
		                 "%s: its network learned from inputs %s%s; here they are %s%s. [transforms] normalize is "
		                 "part of a model",
		                 path, *theirs ? "normalized with " : "as they are", theirs,
		                 *ours ? "normalized with " : "taken as they are", ours);
		if (a && !t->env.to_load)
			diag_warn(t->diag, &a->value_at, "%s", text);
		else if (t->env.host.log)
			(t->env.host.log)(t->env.host.log_ctx, REIN_LOG_WARN, text);
	}
	free(ours);
}

bool transfer_weights(struct trainer *t, char *why, size_t size)
{
	const struct settings *set = t->env.settings;
	const char *on = set->weights_on, *map = set->weights_map;
	struct st_file *f;
	bool good = true;

	if (!on && !map)
		return load_weights(t, set->weights, set->weights_averaged, why, size);
	if (!all_used(t, on, map, why, size) || !(f = st_open(set->weights, why, size)))
		return false;
	normalization_check(t, f, set->weights);
	/* first whether all of it fits, then the copying */
	for (int pass = 0; pass < 2; pass++)
		for (int i = 0; good && i < t->store->n; i++) {
			struct state *s = t->store->state[i];
			char name[512], viewed[520];
			int used;
			if (!s->mem || !is_model_state(t, s) || (on && !pattern_match(on, s->name)))
				continue;
			snprintf(viewed, sizeof viewed, "view.%s", renamed(map, s->name, name, sizeof name, &used));
			const struct st_tensor *x = tensor_named(
				f, set->weights, set->weights_averaged && st_find(f, viewed) ? viewed : name, s, why, size);
			good = x && (pass == 0 || store_set(t->store, s, x->data) >= 0);
		}
	st_close(f);
	return good;
}
