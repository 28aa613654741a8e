/* SPDX-License-Identifier: MIT
 *
 * settings.c: [run]. Every setting is one row of `rows`: its key, a reader, where it goes.
 * A new one is a member of struct settings, a row, and a line in docs.
 */
#include "tool.h"
#include "trainer.h"

#include <stdlib.h>
#include <string.h>

#define MAX_SEED 10000

struct reader {
	struct settings *s;
	const struct config *config;
	const struct arg *arg;
	struct diag *diag;
	const char *key;
};

static void wrong(const struct reader *r, const char *expected)
{
	diag_error(r->diag, &r->arg->value_at, "%s: expected %s", r->key, expected);
}

static void read_int(const struct reader *r, int64_t *out, int64_t min, int64_t max, const char *expected)
{
	int64_t v;
	if (!parse_int(r->arg->value, &v) || v < min || v > max)
		wrong(r, expected);
	else
		*out = v;
}

static void read_bool(const struct reader *r, bool *out)
{
	if (!parse_bool(r->arg->value, out))
		wrong(r, "yes or no");
}

static void read_config(const struct reader *r)
{
	read_int(r, &r->s->config, 1, 1, "1, the only version of this language");
}

static void read_epochs(const struct reader *r)
{
	read_int(r, &r->s->epochs, 0, 1000000000, "a number of epochs, 0 to 1e9");
}

static void read_batch(const struct reader *r)
{
	if (!strcmp(r->arg->value, "all"))
		r->s->batch = 0;
	else
		read_int(r, &r->s->batch, 1, 1 << 24, "a number of samples from 1, or all");
}

static void read_eval_batch(const struct reader *r)
{
	read_int(r, &r->s->eval_batch, 1, 1 << 24, "a number of samples from 1");
}

static void read_data_memory(const struct reader *r)
{
	read_int(r, &r->s->data_memory, 0, 1 << 30, "whole MiB up to 1073741824, or 0 for as much as the samples need");
}

static void read_cache(const struct reader *r)
{
	static const char *const words[] = { "auto", "yes", "no" };

	for (int i = 0; i < 3; i++)
		if (!strcmp(r->arg->value, words[i])) {
			r->s->cache = i;
			return;
		}
	wrong(r, "auto, yes or no");
}

static void read_log_every(const struct reader *r)
{
	read_int(r, &r->s->log_every, 1, 1000000000, "a number of epochs from 1");
}

static void read_threads(const struct reader *r) { read_int(r, &r->s->threads, 0, 1024, "0 (all cores) to 1024"); }

static void read_seed(const struct reader *r) { read_int(r, &r->s->seed[0], 0, INT64_MAX, "an integer from 0"); }

/* 1..5 or 7 within a list; false: not that. */
static bool add_seeds(struct settings *s, const char *word)
{
	const char *dots = strstr(word, "..");
	char low[32];
	int64_t a, b;

	if (!dots) {
		if (!parse_int(word, &a) || a < 0)
			return false;
		b = a;
	} else {
		snprintf(low, sizeof low, "%.*s", (int)(dots - word), word);
		if (dots - word >= (long)sizeof low || !parse_int(low, &a) || !parse_int(dots + 2, &b) || a < 0 || b < a)
			return false;
	}
	if (b - a >= MAX_SEED - s->n_seed)
		return false;
	for (; a <= b; a++)
		s->seed[s->n_seed++] = a;
	return true;
}

static void read_seeds(const struct reader *r)
{
	char *list = tool_strdup(r->arg->value), *save = NULL;
	int64_t was = r->s->seed[0];
	bool good = true;

	r->s->n_seed = 0;
	for (char *w = strtok_r(list, ", \t", &save); w && good; w = strtok_r(NULL, ", \t", &save))
		good = add_seeds(r->s, w);
	for (int64_t i = 0; i < r->s->n_seed && good; i++)
		for (int64_t j = 0; j < i; j++)
			good &= r->s->seed[i] != r->s->seed[j];
	free(list);
	if (good && r->s->n_seed > 0)
		return;
	wrong(r, "different seeds as 1..5 or 1,2,7 (at most 10000)");
	r->s->n_seed = 1;
	r->s->seed[0] = was;
}

static void read_backend(const struct reader *r)
{
	if (r->arg->value[0])
		r->s->backend = r->arg->value;
	else
		wrong(r, "auto or the name of a backend");
}

static void read_rng(const struct reader *r)
{
	if (!strcmp(r->arg->value, "philox"))
		r->s->rng = RNG_PHILOX;
	else if (!strcmp(r->arg->value, "torch"))
		r->s->rng = RNG_TORCH;
	else
		wrong(r, "philox or torch");
}

static void read_evaluate(const struct reader *r)
{
	char *list = tool_strdup(r->arg->value), *save = NULL;
	bool good = false, train = false;

	for (char *w = strtok_r(list, ", \t", &save); w; w = strtok_r(NULL, ", \t", &save)) {
		bool is_train = !strcmp(w, "train");
		good = is_train || !strcmp(w, "val");
		if (!good)
			break;
		train |= is_train;
	}
	free(list);
	if (good)
		r->s->evaluate_train = train;
	else
		wrong(r, "val or train,val");
}

static void read_checkpoint(const struct reader *r)
{
	if (!strcmp(r->arg->value, "never"))
		r->s->checkpoint_seconds = -1;
	else if (!parse_real(r->arg->value, &r->s->checkpoint_seconds))
		wrong(r, "seconds, 0 for after every epoch, or never");
}

static void read_weights(const struct reader *r)
{
	free((void *)(uintptr_t)r->s->weights);
	r->s->weights = r->arg->value[0] ? path_of_config(r->config->path, r->arg->value) : NULL;
}

static void read_bounds(const struct reader *r)
{
	const char *comma = strchr(r->arg->value, ',');
	char low[32];
	double lo = 0, hi = 0;

	snprintf(low, sizeof low, "%.*s", comma ? (int)(comma - r->arg->value) : 0, r->arg->value);
	if (!comma || !parse_real(low, &lo) || !parse_real(comma + 1, &hi) || !(lo < hi)) {
		wrong(r, "the lowest and the highest value of an input, as 0,1");
		return;
	}
	r->s->lo = lo;
	r->s->hi = hi;
}

static void read_weights_on(const struct reader *r) { r->s->weights_on = r->arg->value[0] ? r->arg->value : NULL; }

static void read_weights_map(const struct reader *r) { r->s->weights_map = r->arg->value[0] ? r->arg->value : NULL; }

static void read_weights_averaged(const struct reader *r) { read_bool(r, &r->s->weights_averaged); }

static void read_freeze(const struct reader *r) { r->s->freeze = r->arg->value[0] ? r->arg->value : NULL; }

static void read_out(const struct reader *r)
{
	if (r->arg->value[0])
		r->s->out = r->arg->value;
	else
		wrong(r, "a folder");
}

static void read_shuffle(const struct reader *r) { read_bool(r, &r->s->shuffle); }

static void read_drop_last(const struct reader *r) { read_bool(r, &r->s->drop_last); }

static void read_track(const struct reader *r) { read_bool(r, &r->s->track); }

static const struct {
	const char *key;
	void (*read)(const struct reader *);
} rows[] = {
	{ "config", read_config },
	{ "epochs", read_epochs },
	{ "batch", read_batch },
	{ "seed", read_seed },
	{ "seeds", read_seeds },
	{ "backend", read_backend },
	{ "threads", read_threads },
	{ "rng", read_rng },
	{ "shuffle", read_shuffle },
	{ "drop_last", read_drop_last },
	{ "evaluate", read_evaluate },
	{ "log_every", read_log_every },
	{ "track", read_track },
	{ "eval_batch", read_eval_batch },
	{ "checkpoint_seconds", read_checkpoint },
	{ "data_memory", read_data_memory },
	{ "cache", read_cache },
	{ "weights", read_weights },
	{ "bounds", read_bounds },
	{ "weights_on", read_weights_on },
	{ "weights_map", read_weights_map },
	{ "weights_averaged", read_weights_averaged },
	{ "freeze", read_freeze },
	{ "out", read_out },
};
#define N_ROW ((int)(sizeof rows / sizeof rows[0]))

static bool said(const struct arg *a) { return a->at.file && !strcmp(a->at.file, "command line"); }

struct settings *settings_read_all(const struct config *c, struct diag *d)
{
	struct settings *s = tool_alloc(sizeof *s);
	const char *names[N_ROW + 1] = { NULL };
	const struct arg *one = config_setting(c, "run", "seed"), *many = config_setting(c, "run", "seeds");
	/* what is said on the command line outdoes the file */
	bool one_said = one && said(one), many_said = many && said(many), both = one && many && one_said == many_said;

	s->config = 1;
	s->epochs = 1;
	s->batch = 32;
	s->seed = tool_alloc(MAX_SEED * sizeof *s->seed);
	s->seed[0] = 1;
	s->n_seed = 1;
	s->backend = "auto";
	s->shuffle = true;
	s->log_every = 1;
	s->eval_batch = 1000;
	s->checkpoint_seconds = 60;
	s->out = "runs";
	if (both)
		diag_error(d, &many->at, "[run] has both seed and seeds; one of them is enough");
	for (int i = 0; i < N_ROW; i++) {
		struct reader r = { s, c, config_setting(c, "run", rows[i].key), d, rows[i].key };
		names[i] = rows[i].key;
		bool outdone = one && many && ((r.arg == one && many_said) || (r.arg == many && one_said));
		if (r.arg && !outdone)
			rows[i].read(&r);
	}
	config_unknown_settings(c, "run", names, d);
	if (!s->weights && (s->weights_on || s->weights_map || s->weights_averaged)) {
		const struct arg *a = config_setting(c, "run",
		                                     s->weights_on    ? "weights_on"
		                                     : s->weights_map ? "weights_map"
		                                                      : "weights_averaged");
		diag_error(d, &a->at, "there is no [run] weights file to read them from");
	}
	return s;
}

struct settings *settings_read(const struct config *c, struct diag *d)
{
	int before = diag_errors(d);
	struct settings *s = settings_read_all(c, d);
	if (diag_errors(d) == before)
		return s;
	settings_destroy(s);
	return NULL;
}

void settings_destroy(struct settings *s)
{
	if (!s)
		return;
	free((void *)(uintptr_t)s->weights);
	free(s->seed);
	free(s);
}
