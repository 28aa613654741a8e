/* SPDX-License-Identifier: MIT
 *
 * select.c: which samples a split has: order=, stratify=, skip=, take=. Splits of one
 * dataset cut the same order, so that `take=30` and `skip=30 take=100` never overlap.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blame.h"
#include "samples.h"

uint64_t split_seed(const struct source *s, const struct host_env *env)
{
	int64_t seed = s->dataset->common.split_seed;
	return seed < 0 ? env->seed : (uint64_t)seed;
}

/* Of two files the one that is there: under REIN_DATA, else beside the config. */
static FILE *open_order(const struct host_env *env, const char *name, char *path, size_t size)
{
	const char *dir[] = { env->data_root, env->config_dir };
	if (name[0] == '/') {
		snprintf(path, size, "%s", name);
		return fopen(path, "r");
	}
	for (int i = 0; i < 2; i++) {
		FILE *f;
		if (!dir[i])
			continue;
		snprintf(path, size, "%s/%s", dir[i], name);
		f = fopen(path, "r");
		if (f)
			return f;
	}
	return NULL;
}

/* One sample number per line; empty lines and those that begin with # are passed over. */
static bool read_order(const struct source *s, struct diag *d, FILE *f, const char *path, int64_t *order, int64_t *n)
{
	const struct spec *spec = s->dataset->spec;
	uint8_t *seen = calloc((size_t)s->info.count, 1);
	char line[128];
	bool good = seen != NULL;
	*n = 0;
	for (int64_t at = 1; good && fgets(line, sizeof line, f); at++) {
		int64_t i;
		line[strcspn(line, "\r\n")] = 0;
		if (!line[0] || line[0] == '#')
			continue;
		if (!parse_int(line, &i))
			good = data_error(d, spec, "order", "%s:%lld: '%s' is not a sample number", path, (long long)at, line);
		else if (i < 0 || i >= s->info.count)
			good = data_error(d, spec, "order", "%s:%lld: sample %lld; the dataset has %lld, from 0", path,
			                  (long long)at, (long long)i, (long long)s->info.count);
		else if (seen[i])
			good =
				data_error(d, spec, "order", "%s:%lld: sample %lld is there twice", path, (long long)at, (long long)i);
		if (good) {
			seen[i] = 1;
			order[(*n)++] = i;
		}
	}
	free(seen);
	return good;
}

/* order= into *order, *n of them */
static bool make_order(const struct source *s, const struct host_env *env, int rng, struct diag *d, int64_t *order,
                       int64_t *n)
{
	const char *how = s->dataset->common.order;
	uint64_t seed = split_seed(s, env);
	char path[4096];
	FILE *f;
	bool good;
	*n = s->info.count;
	for (int64_t i = 0; i < *n; i++)
		order[i] = i;
	if (!strcmp(how, "file"))
		return true;
	if (!strcmp(how, "shuffled")) {
		int32_t *p = malloc((size_t)*n * sizeof *p);
		struct torch_rng *t = rng == RNG_TORCH ? torch_rng_create(seed) : NULL;
		if (!p || *n > INT32_MAX || (rng == RNG_TORCH && !t)) {
			free(p);
			torch_rng_destroy(t);
			return data_error(d, s->dataset->spec, "order", "%lld samples are too many to shuffle", (long long)*n);
		}
		/* The key has no part of the dataset in it but its size: however its path is
		 * written, one dataset has one order. */
		if (t)
			torch_rng_permutation(t, *n, p);
		else
			rng_permutation(rng_key(seed, "data.order"), 0, *n, p);
		for (int64_t i = 0; i < *n; i++)
			order[i] = p[i];
		free(p);
		torch_rng_destroy(t);
		return true;
	}
	f = open_order(env, how, path, sizeof path);
	if (!f)
		return data_error(d, s->dataset->spec, "order", "order=%s is neither 'file', 'shuffled' nor a file: %s", how,
		                  strerror(errno));
	good = read_order(s, d, f, path, order, n);
	fclose(f);
	return good;
}

struct place_in_class {
	double at; /* (j + 1/2) / size for the j-th sample of its class */
	int32_t class_index;
	int64_t number, rank;
};

static int by_place(const void *a, const void *b)
{
	const struct place_in_class *x = a, *y = b;
	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return x->class_index < y->class_index ? -1 : x->class_index > y->class_index;
}

/* The order is kept within each class; the classes are dealt out evenly, so that every piece
 * that skip and take cut has each class in its share of the whole, up to one sample. */
static bool deal_out(const struct source *s, struct diag *d, int64_t *order, int64_t *n)
{
	struct instance *ds = s->dataset;
	struct place_in_class *p = malloc((size_t)*n * sizeof *p);
	int64_t *size = calloc((size_t)s->info.classes + 1, sizeof *size), kept = 0;
	bool good = p && size;
	if (!good)
		data_error(d, ds->spec, NULL, "out of memory");
	for (int64_t i = 0; good && i < *n; i++) {
		int32_t y = 0;
		const struct instance *was = blame(ds);
		rein_status st = ds->component->vt.dataset.read(ds->self, &ds->host, order[i], NULL, &y);
		blame_back(was);
		char name[512];
		if (st == REIN_SKIP)
			continue;
		if (st < 0) {
			instance_error(ds, d, "a label cannot be read");
			good = false;
		} else if (y < 0 || y >= s->info.classes) {
			good = data_error(d, ds->spec, NULL, "%s: label %d is outside the %lld classes",
			                  sample_name(s, order[i], name, sizeof name), y, (long long)s->info.classes);
		} else {
			p[kept++] = (struct place_in_class){ 0, y, order[i], size[y]++ };
		}
	}
	if (good) {
		for (int64_t i = 0; i < kept; i++)
			p[i].at = ((double)p[i].rank + 0.5) / (double)size[p[i].class_index];
		qsort(p, (size_t)kept, sizeof *p, by_place);
		for (int64_t i = 0; i < kept; i++)
			order[i] = p[i].number;
		*n = kept;
	}
	free(p);
	free(size);
	return good;
}

/* "30" or "20%": *share says which, *value is the number or 0..1. */
static bool parse_amount(const char *text, bool *share, double *value)
{
	char number[64];
	size_t n = strlen(text);
	int64_t whole;
	*share = n && text[n - 1] == '%';
	if (!*share) {
		bool good = parse_int(text, &whole) && whole >= 0;
		*value = good ? (double)whole : 0;
		return good;
	}
	if (n > sizeof number)
		return false;
	memcpy(number, text, n - 1);
	number[n - 1] = 0;
	if (!parse_real(number, value) || !(*value >= 0 && *value <= 100))
		return false;
	*value /= 100;
	return true;
}

/* The whole number below, but 0.7 * 10 is 7. */
static int64_t below(double x) { return (int64_t)floor(x + 1e-9); }

/* skip= and take= cut [from, to) out of n. Shares meet without gap: skip=80% begins where
 * take=80% ends. */
static bool cut(const struct source *s, struct diag *d, int64_t n, int64_t *from, int64_t *to)
{
	const struct common *c = &s->dataset->common;
	const struct spec *spec = s->dataset->spec;
	bool skip_share, take_share;
	double skip, take, begin, end;
	if (!parse_amount(c->skip, &skip_share, &skip))
		return data_error(d, spec, "skip", "skip=%s is neither a number of samples nor a share as 20%%", c->skip);
	if (!parse_amount(c->take, &take_share, &take))
		return data_error(d, spec, "take", "take=%s is neither a number of samples nor a share as 20%%", c->take);
	begin = skip_share ? skip * (double)n : skip;
	if (begin >= (double)n)
		return data_error(d, spec, "skip", "skip=%s leaves nothing of %lld samples", c->skip, (long long)n);
	end = take_share ? begin + take * (double)n : (double)below(begin) + take;
	if (take_share && take >= 1)
		end = (double)n; /* all the rest */
	*from = below(begin);
	if (end > (double)n + 1e-6)
		return data_error(d, spec, "take", "take=%s is more than the %lld samples left after skip=%s (of %lld)",
		                  c->take, (long long)(n - *from), c->skip, (long long)n);
	*to = below(end);
	if (*to <= *from)
		return data_error(d, spec, "take", "take=%s leaves the split empty (of %lld samples)", c->take, (long long)n);
	return true;
}

bool select_samples(const struct source *s, const struct host_env *env, int rng, struct diag *d, int64_t **out,
                    int64_t *n)
{
	const struct common *c = &s->dataset->common;
	int64_t from = 0, to = 0;
	*out = malloc(((size_t)s->info.count + 1) * sizeof **out);
	if (!*out)
		return data_error(d, s->dataset->spec, NULL, "out of memory for %lld sample numbers", (long long)s->info.count);
	if (c->stratify && s->info.target != REIN_TARGET_CLASS)
		return data_error(d, s->dataset->spec, "stratify", "stratify=yes needs classes; the targets are numbers");
	if (!make_order(s, env, rng, d, *out, n))
		return false;
	if (*n && c->stratify && !deal_out(s, d, *out, n))
		return false;
	if (!*n)
		return data_error(d, s->dataset->spec, "order", "order=%s leaves no samples", c->order);
	if (!cut(s, d, *n, &from, &to))
		return false;
	*n = to - from;
	memmove(*out, *out + from, (size_t)*n * sizeof **out);
	return true;
}
