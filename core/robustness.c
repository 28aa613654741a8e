/* SPDX-License-Identifier: MIT
 *
 * robustness.c: what an attack stage found, as numbers of its row in metrics.jsonl and as the
 * robustness statement at the end of an experiment and of rein attack.
 *
 * <attack> is the name in [attacks], with several sizes followed by @ and the size as written.
 *   <attack>.epsilon, .clean_accuracy, .robust_accuracy
 *   <attack>.success          share of the initially correct that are wrong under it
 *   <attack>.adversarial_loss mean loss of the attacked samples
 *   <attack>.mean_l2 .median_l2 .max_l2 .mean_linf .median_linf .max_linf   over successes
 *   <attack>.queries .gradients  forward and backward passes, mean over the attacked samples
 *   <attack>.other_batch .eight_bits  share of successes that are still wrong in batches of
 *                             another size, and after rounding to 8 bits
 *   <stage>.clean_accuracy, .worst_accuracy (right under every attack at every size), with
 *   several sizes <stage>@<size>.worst_accuracy
 *   <stage>.<detector>.threshold, .false_positives (on half of the clean samples; the threshold is
 *   from the other half), <attack>.<detector>  share of successes that it finds
 *   <stage>.zero_gradients, .random  share of the correct whose input gradient is all zero, and
 *                             of all whose logits differ when asked twice
 * Warnings are drawn from these numbers alone, so that they come again with --resume.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attacks.h"
#include "robustness.h"

void robust_forget(struct robust *q)
{
	for (int i = 0; i < q->n_outcome; i++) {
		struct outcome *o = &q->outcome[i];
		float *all[] = { o->right, o->loss, o->l2, o->linf, o->queries, o->gradients, o->again, o->eight };
		for (size_t k = 0; k < sizeof all / sizeof *all; k++)
			free(all[k]);
		for (int k = 0; o->score && k < q->n_detector; k++)
			free(o->score[k]);
		free(o->score);
	}
	for (int k = 0; q->score && k < q->n_detector; k++)
		free(q->score[k]);
	float *all[] = { q->right, q->loss, q->zero, q->random };
	for (size_t k = 0; k < sizeof all / sizeof *all; k++)
		free(all[k]);
	free(q->score);
	free(q->outcome);
	q->right = q->loss = q->zero = q->random = NULL;
	q->score = NULL;
	q->outcome = NULL;
	q->n_outcome = 0;
}

/* --- numbers ---------------------------------------------------------------------------- */
static void put(struct metrics *out, const char *label, const char *what, double value)
{
	char name[96];

	snprintf(name, sizeof name, "%.72s.%.20s", label, what);
	if (!isnan(value))
		metrics_set(out, name, value);
}

void robust_label(const struct outcome *o, char *out, size_t size)
{
	const char *text = o->attack->text[o->size];
	bool many = o->attack->n_size > 1 && *text;
	snprintf(out, size, "%.40s%s%.24s", o->attack->who->spec->name, many ? "@" : "", many ? text : "");
}

static int by_value(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;
	return (x > y) - (x < y);
}

/* Mean, median and largest of the m values whose sample was won. */
static void put_sizes(struct metrics *out, const char *label, const char *norm, const struct robust *q,
                      const struct outcome *o, const float *v)
{
	float *won = zalloc((size_t)q->n, sizeof *won);
	int64_t m = 0;
	double sum = 0;
	char what[32];

	for (int64_t i = 0; i < q->n; i++)
		if (q->right[i] != 0 && o->right[i] == 0) {
			won[m++] = v[i];
			sum += (double)v[i];
		}
	qsort(won, (size_t)m, sizeof *won, by_value);
	if (m) {
		snprintf(what, sizeof what, "mean_%s", norm);
		put(out, label, what, sum / (double)m);
		snprintf(what, sizeof what, "median_%s", norm);
		put(out, label, what, ((double)won[(m - 1) / 2] + (double)won[m / 2]) / 2);
		snprintf(what, sizeof what, "max_%s", norm);
		put(out, label, what, (double)won[m - 1]);
	}
	free(won);
}

static void put_outcome(struct metrics *out, const struct robust *q, const struct outcome *o)
{
	double right = 0, still = 0, loss = 0, queries = 0, gradients = 0, again = 0, eight = 0, n = (double)q->n;
	char label[80];

	robust_label(o, label, sizeof label);
	for (int64_t i = 0; i < q->n; i++) {
		bool won = q->right[i] != 0 && o->right[i] == 0;
		right += (double)q->right[i];
		still += (double)o->right[i];
		loss += (double)o->loss[i];
		queries += q->right[i] != 0 ? (double)o->queries[i] : 0;
		gradients += q->right[i] != 0 ? (double)o->gradients[i] : 0;
		again += won && o->again[i] == 0;
		eight += won && o->eight[i] == 0;
	}
	double epsilon = o->attack->size[o->size], won = right - still;
	put(out, label, "epsilon", isfinite(epsilon) ? epsilon : (double)NAN);
	put(out, label, "clean_accuracy", right / n);
	put(out, label, "robust_accuracy", still / n);
	put(out, label, "success", right > 0 ? won / right : (double)NAN);
	put(out, label, "adversarial_loss", loss / n);
	put_sizes(out, label, "l2", q, o, o->l2);
	put_sizes(out, label, "linf", q, o, o->linf);
	put(out, label, "queries", right > 0 ? queries / right : (double)NAN);
	put(out, label, "gradients", right > 0 ? gradients / right : (double)NAN);
	put(out, label, "other_batch", won > 0 ? again / won : (double)NAN);
	put(out, label, "eight_bits", won > 0 ? eight / won : (double)NAN);
}

/* The score that a share `flagged` of the samples 0, 2, 4 .. has above it. */
static double threshold(const struct robust *q, const float *score, double flagged)
{
	int64_t m = (q->n + 1) / 2, above = (int64_t)floor(flagged * (double)m);
	float *v = zalloc((size_t)m, sizeof *v);

	for (int64_t i = 0; i < m; i++)
		v[i] = score[2 * i];
	qsort(v, (size_t)m, sizeof *v, by_value);
	double at = above < m ? (double)v[m - 1 - above] : -HUGE_VAL;
	free(v);
	return at;
}

static void put_detector(struct metrics *out, const struct stage *s, int d)
{
	const struct robust *q = s->robust;
	const struct instance *who = q->detector[d];
	double at = threshold(q, q->score[d], who->common.false_positives), wrong = 0, found, won;
	char label[96];

	for (int64_t i = 1; i < q->n; i += 2)
		wrong += (double)q->score[d][i] > at;
	snprintf(label, sizeof label, "%.36s.%.36s", s->name, who->spec->name);
	put(out, label, "threshold", at);
	put(out, label, "false_positives", q->n > 1 ? wrong / (double)(q->n / 2) : (double)NAN);
	for (int k = 0; k < q->n_outcome; k++) {
		const struct outcome *o = &q->outcome[k];
		found = won = 0;
		for (int64_t i = 0; i < q->n; i++)
			if (q->right[i] != 0 && o->right[i] == 0) {
				won++;
				found += (double)o->score[d][i] > at;
			}
		robust_label(o, label, sizeof label);
		put(out, label, who->spec->name, won > 0 ? found / won : (double)NAN);
	}
}

/* Share of samples that are right under every outcome whose size is written so; NULL: all. */
static double worst(const struct robust *q, const char *text, int *outcomes)
{
	int64_t right = 0;

	*outcomes = 0;
	for (int k = 0; k < q->n_outcome; k++)
		*outcomes += !text || strcmp(text, q->outcome[k].attack->text[q->outcome[k].size]) == 0;
	for (int64_t i = 0; i < q->n; i++) {
		bool good = q->right[i] != 0;
		for (int k = 0; k < q->n_outcome && good; k++)
			if (!text || strcmp(text, q->outcome[k].attack->text[q->outcome[k].size]) == 0)
				good = q->outcome[k].right[i] != 0;
		right += good;
	}
	return (double)right / (double)q->n;
}

void robust_numbers(const struct stage *s, struct metrics *out)
{
	const struct robust *q = s->robust;
	double right = 0, zero = 0, random = 0, n = (double)q->n;
	char label[96];
	int many;

	for (int64_t i = 0; i < q->n; i++) {
		right += (double)q->right[i];
		zero += q->right[i] != 0 && q->zero[i] != 0;
		random += q->random[i] != 0;
	}
	put(out, s->name, "clean_accuracy", right / n);
	put(out, s->name, "worst_accuracy", worst(q, NULL, &many));
	put(out, s->name, "zero_gradients", right > 0 ? zero / right : (double)NAN);
	put(out, s->name, "random", random / n);
	for (int k = 0; k < q->n_outcome; k++) {
		const struct outcome *o = &q->outcome[k];
		put_outcome(out, q, o);
		double share = worst(q, o->attack->text[o->size], &many);
		snprintf(label, sizeof label, "%.40s@%.24s", s->name, o->attack->text[o->size]);
		if (many > 1 && many < q->n_outcome)
			put(out, label, "worst_accuracy", share);
	}
	for (int d = 0; d < q->n_detector; d++)
		put_detector(out, s, d);
}

/* --- the statement ---------------------------------------------------------------------- */
#define MANY_SEED 64

/* A stage of one variant over its seeds. */
struct source {
	const char *variant, *stage;
	char title[120]; /* what tells it from the others: variant, stage */
	int n;
	const struct history *h[MANY_SEED];
	int row[MANY_SEED];
};

static int values(const struct source *s, const char *label, const char *what, double scale, double *out)
{
	char name[256];

	snprintf(name, sizeof name, "%.120s.%.120s", label, what);
	for (int i = 0; i < s->n; i++)
		out[i] = scale * history_at(s->h[i], s->row[i], name);
	return s->n;
}

static double mean_of(const struct source *s, const char *label, const char *what)
{
	double v[MANY_SEED], sum = 0;
	int n = values(s, label, what, 1, v), there = 0;

	for (int i = 0; i < n; i++)
		if (!isnan(v[i])) {
			sum += v[i];
			there++;
		}
	return there ? sum / there : (double)NAN;
}

static void cell(struct tables *t, const struct source *s, const char *label, const char *what, double scale,
                 int digits)
{
	double v[MANY_SEED];
	int n = values(s, label, what, scale, v);

	table_stat(t, n, v, digits);
}

/* Label number i of a source: what stands before .robust_accuracy; false at the end. */
static bool label_at(const struct source *s, int i, char *out, size_t size)
{
	static const char suffix[] = ".robust_accuracy";
	const struct history *h = s->h[0];

	for (int k = 0; k < h->n_name; k++) {
		size_t len = strlen(h->name[k]);
		if (len < sizeof suffix || strcmp(h->name[k] + len - (sizeof suffix - 1), suffix) != 0 ||
		    isnan(history_at(h, s->row[0], h->name[k])) || i-- > 0)
			continue;
		snprintf(out, size, "%.*s", (int)(len - (sizeof suffix - 1)), h->name[k]);
		return true;
	}
	return false;
}

static void row_name(struct tables *t, const struct source *s, const char *label)
{
	char text[240];

	snprintf(text, sizeof text, "%s%s%s", s->title, *s->title ? " " : "", label);
	table_text(t, text);
}

/* Variants where there are several, stages where a variant has several. */
static void give_titles(struct source *list, int n, bool variants)
{
	bool stages = false;

	for (int i = 0; i < n; i++)
		for (int k = 0; k < i; k++)
			stages = stages || strcmp(list[i].variant, list[k].variant) == 0;
	for (int i = 0; i < n; i++)
		snprintf(list[i].title, sizeof list[i].title, "%.50s%s%.50s", variants ? list[i].variant : "",
		         variants && stages ? " " : "", stages ? list[i].stage : "");
}

static void accuracy_table(struct tables *t, const struct source *list, int n)
{
	static const char *const head[] = { "attack",  "epsilon",   "clean %",       "robust %", "success %",
		                                "queries", "gradients", "other batch %", "8 bits %" };
	char label[96];

	table_begin(t, "robustness", sizeof head / sizeof *head, head);
	for (int i = 0; i < n; i++) {
		const struct source *s = &list[i];
		int k = 0;
		for (; label_at(s, k, label, sizeof label); k++) {
			row_name(t, s, label);
			table_number(t, mean_of(s, label, "epsilon"), 4);
			cell(t, s, label, "clean_accuracy", 100, 2);
			cell(t, s, label, "robust_accuracy", 100, 2);
			cell(t, s, label, "success", 100, 2);
			cell(t, s, label, "queries", 1, 1);
			cell(t, s, label, "gradients", 1, 1);
			cell(t, s, label, "other_batch", 100, 1);
			cell(t, s, label, "eight_bits", 100, 1);
		}
		if (k < 2)
			continue;
		row_name(t, s, "worst case");
		table_text(t, "");
		cell(t, s, s->stage, "clean_accuracy", 100, 2);
		cell(t, s, s->stage, "worst_accuracy", 100, 2);
		for (int blank = 0; blank < 5; blank++)
			table_text(t, "");
	}
	table_note(t, "success: of the samples that are right without attack; other batch, 8 bits: successes that remain "
	              "so there");
}

static void size_table(struct tables *t, const struct source *list, int n)
{
	static const char *const head[] = { "attack",    "mean L2",     "median L2", "max L2",
		                                "mean Linf", "median Linf", "max Linf",  "loss" };
	static const char *const what[] = { "mean_l2",     "median_l2", "max_l2",          "mean_linf",
		                                "median_linf", "max_linf",  "adversarial_loss" };
	char label[96];

	table_begin(t, "changes that succeeded", sizeof head / sizeof *head, head);
	for (int i = 0; i < n; i++)
		for (int k = 0; label_at(&list[i], k, label, sizeof label); k++) {
			row_name(t, &list[i], label);
			for (size_t c = 0; c < sizeof what / sizeof *what; c++)
				cell(t, &list[i], label, what[c], 1, 4);
		}
}

/* All variants side by side: a row each, a column for each attack and size. */
static void combined_table(struct tables *t, const struct source *list, int n)
{
	const char *head[24] = { "run", "clean" };
	char name[20][96];
	int columns = 2, labels = 0;

	for (int i = 0; i < n; i++) {
		char label[96];
		for (int k = 0; label_at(&list[i], k, label, sizeof label); k++) {
			int j = 0;
			while (j < labels && strcmp(name[j], label) != 0)
				j++;
			if (j == labels && labels < 20) {
				snprintf(name[labels], sizeof *name, "%s", label);
				head[columns++] = name[labels++];
			}
		}
	}
	head[columns++] = "worst case";
	table_begin(t, "accuracy % under attack", columns, head);
	for (int i = 0; i < n; i++) {
		table_text(t, list[i].title);
		cell(t, &list[i], list[i].stage, "clean_accuracy", 100, 2);
		for (int k = 0; k < labels; k++)
			cell(t, &list[i], name[k], "robust_accuracy", 100, 2);
		cell(t, &list[i], list[i].stage, "worst_accuracy", 100, 2);
	}
}

/* Detector number i of a source: between the stage's name and .false_positives. */
static bool detector_at(const struct source *s, int i, char *out, size_t size)
{
	static const char suffix[] = ".false_positives";
	const struct history *h = s->h[0];
	size_t stage = strlen(s->stage);

	for (int k = 0; k < h->n_name; k++) {
		const char *name = h->name[k];
		size_t len = strlen(name);
		if (len < stage + sizeof suffix || strncmp(name, s->stage, stage) != 0 || name[stage] != '.' ||
		    strcmp(name + len - (sizeof suffix - 1), suffix) != 0 || isnan(history_at(h, s->row[0], name)) || i-- > 0)
			continue;
		snprintf(out, size, "%.*s", (int)(len - stage - sizeof suffix), name + stage + 1);
		return true;
	}
	return false;
}

static void detector_table(struct tables *t, const struct source *list, int n)
{
	static const char *const head[] = { "detector", "attack", "threshold", "false positives %", "found %" };
	char name[96], label[96], full[200];
	bool begun = false;

	for (int i = 0; i < n; i++)
		for (int d = 0; detector_at(&list[i], d, name, sizeof name); d++)
			for (int k = 0; label_at(&list[i], k, label, sizeof label); k++) {
				if (!begun)
					table_begin(t, "detection", sizeof head / sizeof *head, head);
				begun = true;
				row_name(t, &list[i], name);
				table_text(t, label);
				snprintf(full, sizeof full, "%s.%s", list[i].stage, name);
				cell(t, &list[i], full, "threshold", 1, 4);
				cell(t, &list[i], full, "false_positives", 100, 1);
				cell(t, &list[i], label, name, 100, 1);
			}
	if (begun)
		table_note(t, "threshold: from half of the clean samples; false positives: of the other half; found: of the "
		              "samples that fool the model");
}

/* --- warnings ------------------------------------------------------------------------------ */
static bool same_size(double a, double b) { return (isnan(a) && isnan(b)) || fabs(a - b) <= 1e-9 * fabs(b); }

/* Two attacks of a stage against each other. */
static void warn_pair(struct tables *t, const struct source *s, const char *who, const char *a, const char *b)
{
	double ga = mean_of(s, a, "gradients"), gb = mean_of(s, b, "gradients"), ra = mean_of(s, a, "robust_accuracy");
	double rb = mean_of(s, b, "robust_accuracy"), clean = mean_of(s, s->stage, "clean_accuracy");

	if (!same_size(mean_of(s, a, "epsilon"), mean_of(s, b, "epsilon")))
		return;
	/* a black box that goes no further than the white box */
	if (ga == 0 && gb > 0 && ra < rb - 0.01 && mean_of(s, a, "mean_linf") <= 1.01 * mean_of(s, b, "max_linf"))
		table_note(t,
		           "warning: %s%s, which sees no gradients, finds more than %s (%.1f against %.1f %% robust): the "
		           "gradients are masked",
		           who, a, b, 100 * ra, 100 * rb);
	if (ga > 0 && ga <= 1 && gb > 1 && ra >= 0.5 * clean && rb <= 0.5 * ra)
		table_note(t,
		           "warning: %s%.1f %% robust to the single step of %s, %.1f %% to %s: catastrophic overfitting to "
		           "single-step attacks",
		           who, 100 * ra, a, 100 * rb, b);
}

static void warnings(struct tables *t, const struct source *s)
{
	double zero = mean_of(s, s->stage, "zero_gradients"), random = mean_of(s, s->stage, "random");
	char who[130], a[96], b[96];

	snprintf(who, sizeof who, "%s%s", s->title, *s->title ? ": " : "");
	if (zero > 0.01)
		table_note(t,
		           "warning: %sthe input gradient of %.1f %% of the correct samples is zero: gradients are masked, "
		           "white-box figures say little",
		           who, 100 * zero);
	if (random > 0)
		table_note(t,
		           "warning: %sthe model answers %.1f %% of the samples differently when asked twice: randomness "
		           "hides from attacks that do not average over it",
		           who, 100 * random);
	for (int i = 0; label_at(s, i, a, sizeof a); i++)
		for (int k = 0; label_at(s, k, b, sizeof b); k++)
			if (i != k)
				warn_pair(t, s, who, a, b);
}

static void statement(struct tables *t, struct source *list, int n, bool variants)
{
	if (!n)
		return;
	give_titles(list, n, variants);
	accuracy_table(t, list, n);
	for (int i = 0; i < n; i++)
		warnings(t, &list[i]);
	size_table(t, list, n);
	detector_table(t, list, n);
	if (n > 1)
		combined_table(t, list, n);
}

void robust_statement(const struct history *h, struct tables *t)
{
	struct source list[64];
	int n = 0;

	for (int i = 0; i < h->n && n < 64; i++)
		if (strcmp(h->row[i].type, "attack") == 0)
			list[n++] = (struct source){ .variant = "", .stage = h->row[i].stage, .n = 1, .h = { h }, .row = { i } };
	statement(t, list, n, false);
}

/* Certify stages: a row each, the radii that the first has. */
static void certificate(struct tables *t, struct source *list, int n, bool variants)
{
	const char *head[16] = { "run", "right", "abstains", "mean radius" };
	char radius[12][40], at[96];
	const struct history *h = n ? list[0].h[0] : NULL;
	int columns = 4, radii = 0;

	if (!n)
		return;
	give_titles(list, n, variants);
	snprintf(at, sizeof at, "%.60s.certified@", list[0].stage);
	for (int k = 0; k < h->n_name && radii < 12; k++)
		if (strncmp(h->name[k], at, strlen(at)) == 0 && !isnan(history_at(h, list[0].row[0], h->name[k]))) {
			snprintf(radius[radii], sizeof *radius, "certified@%.20s", h->name[k] + strlen(at));
			head[columns++] = radius[radii++];
		}
	table_begin(t, "certified accuracy %", columns, head);
	for (int i = 0; i < n; i++) {
		table_text(t, *list[i].title ? list[i].title : list[i].stage);
		cell(t, &list[i], list[i].stage, "accuracy", 100, 2);
		cell(t, &list[i], list[i].stage, "abstains", 100, 2);
		cell(t, &list[i], list[i].stage, "radius", 1, 4);
		for (int k = 0; k < radii; k++)
			cell(t, &list[i], list[i].stage, radius[k], 100, 2);
	}
	table_note(t, "of the smoothed network; certified@r: right, and no change of length r in l2 can alter the answer");
}

/* The row of a stage in another seed's history. */
static int row_of(const struct history *h, const char *stage, const char *type)
{
	for (int i = 0; i < h->n; i++)
		if (strcmp(h->row[i].stage, stage) == 0 && strcmp(h->row[i].type, type) == 0)
			return i;
	return -1;
}

static void record(const struct experiment *e, struct tables *t, const char *type,
                   void (*tell)(struct tables *, struct source *, int n, bool variants))
{
	struct source *list = tool_alloc(256 * sizeof *list);
	int n = 0, variants = 0;
	const struct variant *last = NULL;

	for (int i = 0; i < e->n_run; i++) {
		const struct run *r = &e->run[i];
		if (r->state != RUN_DONE && r->state != RUN_EARLIER)
			continue;
		for (int k = 0; k < r->history.n; k++) {
			const char *stage = r->history.row[k].stage;
			int at = row_of(&r->history, stage, type), j = 0;
			if (at != k)
				continue;
			while (j < n && (strcmp(list[j].variant, r->variant->name) != 0 || strcmp(list[j].stage, stage) != 0))
				j++;
			if (j == 256 || (j < n && list[j].n == MANY_SEED))
				continue;
			if (j == n)
				list[n++] = (struct source){ .variant = r->variant->name, .stage = stage };
			list[j].h[list[j].n] = &r->history;
			list[j].row[list[j].n++] = k;
			variants += r->variant != last;
			last = r->variant;
		}
	}
	tell(t, list, n, variants > 1);
	free(list);
}

void robust_record(const struct experiment *e, struct tables *t)
{
	record(e, t, "attack", statement);
	record(e, t, "certify", certificate);
}
