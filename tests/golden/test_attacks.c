/* SPDX-License-Identifier: MIT
 *
 * test_attacks.c: what attacks find, held to what foolbox and torchattacks find on the same
 * networks (attacks/<name>.ini and .txt, made by make_attacks.py), and the laws that every attack
 * obeys: size 0 changes nothing, results stay in ball and box, nothing of the model is touched,
 * and the batch that a sample is in does not matter. The attacks' single steps are held to the
 * libraries by test_golden.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attacks.h"
#include "certify.h"
#include "lab.h"

/* --- figures ------------------------------------------------------------------------------ */
static int is_config(const struct dirent *d)
{
	size_t n = strlen(d->d_name);
	return n > 4 && !strcmp(d->d_name + n - 4, ".ini");
}

static void last_row(struct lab *l, struct metrics *m)
{
	for (;;) {
		struct metrics one = { 0 };
		int status = lab_next(l, &one);
		if (status == 0) {
			metrics_finish(m);
			*m = one;
			continue;
		}
		metrics_finish(&one);
		cr_expect(status > 0);
		return;
	}
}

#define FIGURES 8

/* Adds the metrics of one run. */
static void add_run(const char *path, const char *variant, int n, char (*name)[96], double *sum)
{
	struct metrics m = { 0 };
	struct lab l;
	bool good = lab_open(&l, path, variant, 0);

	cr_expect(good, "%s", l.messages);
	if (good)
		last_row(&l, &m);
	for (int i = 0; i < n; i++)
		sum[i] += metrics_get(&m, name[i]);
	metrics_finish(&m);
	lab_close(&l);
}

/* Each metric, mean over the seeds that the case asks for. */
static void figure(const char *folder, const char *file)
{
	char path[4700], name[FIGURES][96], variant[16];
	double want[FIGURES], tolerance[FIGURES], sum[FIGURES] = { 0 };
	int seeds = 1, n = 0;

	snprintf(path, sizeof path, "%s/%.*s.txt", folder, (int)strlen(file) - 4, file);
	FILE *f = fopen(path, "r");
	cr_assert(f, "%s", path);
	cr_assert(fscanf(f, "seeds %d 0", &seeds) == 1, "%s", path);
	while (n < FIGURES && fscanf(f, "%95s %lf %lf", name[n], &want[n], &tolerance[n]) == 3)
		n++;
	fclose(f);
	snprintf(path, sizeof path, "%s/%s", folder, file);
	for (int k = 1; k <= seeds; k++) {
		snprintf(variant, sizeof variant, "seed%d", k);
		add_run(path, seeds > 1 ? variant : NULL, n, name, sum);
	}
	for (int i = 0; i < n; i++)
		cr_expect(fabs(sum[i] / seeds - want[i]) <= tolerance[i] + 1e-9, "%s: %s is %g, the library finds %g +- %g",
		          file, name[i], sum[i] / seeds, want[i], tolerance[i]);
}

Test(attacks, figures_agree_with_the_libraries)
{
	struct dirent **list;
	char folder[4200];
	const char *source = getenv("REIN_SOURCE"), *only = getenv("ATTACK_CASE");

	cr_assert(source, "REIN_SOURCE is not set");
	snprintf(folder, sizeof folder, "%s/tests/golden/attacks", source);
	int n = scandir(folder, &list, is_config, alphasort);
	cr_assert(n >= 20, "only %d cases in %s", n, folder);
	for (int i = 0; i < n; i++) {
		if (!only || strstr(list[i]->d_name, only))
			figure(folder, list[i]->d_name);
		free(list[i]);
	}
	free(list);
}

/* --- laws ------------------------------------------------------------------------------------ */
/* Attacks with a size %s and the norm that it is the size of (-1: none). Attacks that have no line
 * here are found in the registry and held as `name epsilon=%s`, so a new one is held too; one that
 * has no size needs a line, without %s, and what makes it do nothing. */
struct law {
	const char *line, *nothing;
	int norm;
};
static const struct law lines[] = {
	{ "fgsm epsilon=%s", NULL, REIN_LINF },
	{ "fgsm epsilon=%s norm=l2", NULL, REIN_L2 },
	{ "ffgsm epsilon=%s restarts=2", NULL, REIN_LINF },
	{ "ffgsm epsilon=%s start=sign", NULL, REIN_LINF },
	{ "pgd epsilon=%s steps=4", NULL, REIN_LINF },
	{ "pgd epsilon=%s steps=4 norm=l2 restarts=2", NULL, REIN_L2 },
	{ "pgd epsilon=%s steps=4 target=class class=3", NULL, REIN_LINF },
	{ "mifgsm epsilon=%s steps=4", NULL, REIN_LINF },
	{ "tpgd epsilon=%s steps=4", NULL, REIN_LINF },
	{ "deepfool epsilon=%s", NULL, REIN_L2 },
	{ "carlini_wagner epsilon=%s steps=30 searches=2 initial=1", NULL, REIN_L2 },
	{ "apgd epsilon=%s steps=10", NULL, REIN_LINF },
	{ "apgd epsilon=%s steps=10 norm=l2 loss=dlr", NULL, REIN_L2 },
	{ "apgd epsilon=%s steps=5 loss=dlr targets=3", NULL, REIN_LINF },
	{ "apgd epsilon=%s steps=5 loss=margin restarts=2", NULL, REIN_LINF },
	{ "square epsilon=%s queries=30", NULL, REIN_LINF },
	{ "square epsilon=%s queries=30 norm=l2", NULL, REIN_L2 },
	{ "noise epsilon=%s repeats=5", NULL, REIN_LINF },
	{ "noise epsilon=%s repeats=5 kind=gaussian", NULL, REIN_L2 },
	{ "noise epsilon=%s repeats=5 kind=salt_pepper", NULL, -1 },
	{ "ensemble epsilon=%s steps=5 targets=2 queries=20", NULL, REIN_LINF },
	{ "ensemble epsilon=%s steps=5 targets=2 queries=20 norm=l2", NULL, REIN_L2 },
	{ "spatial rotation=20 translation=1", "spatial rotation=0 translation=0", -1 },
};
#define N_LINE  ((int)(sizeof lines / sizeof *lines))
#define MAX_LAW 100
static struct law laws[MAX_LAW];
static int n_law;

static bool has_line(const char *name)
{
	size_t n = strlen(name);

	for (int i = 0; i < N_LINE; i++)
		if (!strncmp(lines[i].line, name, n) && lines[i].line[n] == ' ')
			return true;
	return false;
}

/* The lines, and every other attack there is. */
static void find_laws(void)
{
	struct registry *r = registry_create(0, NULL);
	static char text[MAX_LAW][80];
	int attacks = 0;

	memcpy(laws, lines, sizeof lines);
	n_law = N_LINE;
	for (int i = 0; i < registry_count(r); i++) {
		const struct component *c = registry_at(r, i);
		if (c->c.kind != REIN_ATTACK)
			continue;
		attacks++;
		if (has_line(c->c.name))
			continue;
		cr_assert(n_law < MAX_LAW);
		snprintf(text[n_law], sizeof *text, "%s epsilon=%%s", c->c.name);
		laws[n_law] = (struct law){ text[n_law], NULL, REIN_LINF };
		n_law++;
	}
	cr_assert(attacks >= 12, "only %d attacks were found", attacks);
	registry_destroy(r);
}

static const char *const head =
	"[run]\nconfig = 1\nepochs = 1\nbatch = 40\nshuffle = no\neval_batch = %d\n"
	"weights = %s/tests/golden/data/attack_conv.safetensors\n"
	"[data]\ntrain = idx images=%s/tests/golden/data/digits-images.idx labels=%s/tests/golden/data/digits-labels.idx\n"
	"[network]\nconv1 = conv2d filters=8 kernel=3 padding=1\nbn1 = batchnorm\nact1 = relu\npool1 = maxpool size=2\n"
	"drop = dropout p=0.3\nflat = flatten\nout = linear units=10\n[loss]\nce = cross_entropy\n[optimizer]\nsgd = sgd "
	"lr=0.1\n"
	"[attacks]\na = %s\n[stages]\n%s\n";

/* A lab on a config with one attack and these stages. */
static void open_law(struct lab *l, int eval_batch, const char *attack, const char *stages)
{
	char path[] = "/tmp/attack-XXXXXX";
	const char *source = getenv("REIN_SOURCE");
	FILE *f = fdopen(mkstemp(path), "w");

	cr_assert(f && source);
	fprintf(f, head, eval_batch, source, source, source, attack, stages);
	fclose(f);
	bool good = lab_open(l, path, NULL, 0);
	unlink(path);
	cr_assert(good, "%s: %s", attack, l->messages);
}

static const char *with_size(int law, const char *size)
{
	static char line[200];
	const char *at = strstr(laws[law].line, "%s");

	if (!at)
		return laws[law].line;
	snprintf(line, sizeof line, "%.*s%s%s", (int)(at - laws[law].line), laws[law].line, size, at + 2);
	return line;
}

static const struct outcome *outcome_of(const struct lab *l, int stage)
{
	const struct trainer *t = l->trainer;
	return &t->stage[stage].robust->outcome[0];
}

/* An attack without a size, told to do nothing and not. */
static void law_without_size(const struct law *law)
{
	for (int k = 0; k < 2; k++) {
		struct metrics m = { 0 };
		struct lab l;
		open_law(&l, 64, k ? law->line : law->nothing, "r = attack with=a split=train limit=70 save=yes");
		last_row(&l, &m);
		double clean = metrics_get(&m, "r.clean_accuracy"), robust = metrics_get(&m, "a.robust_accuracy");
		cr_expect(k ? robust < clean : robust == clean, "%s: %g of %g", k ? law->line : law->nothing, robust, clean);
		for (int64_t s = 0; s < 70 && !k; s++)
			cr_expect_leq(outcome_of(&l, 0)->linf[s], 1e-6F, "%s", law->nothing);
		metrics_finish(&m);
		lab_close(&l);
	}
}

Test(attacks, size_zero_changes_nothing_and_results_stay_in_the_ball)
{
	find_laws();
	for (int i = 0; i < n_law; i++) {
		if (laws[i].nothing) {
			law_without_size(&laws[i]);
			continue;
		}
		struct metrics m = { 0 };
		struct lab l;
		open_law(&l, 64, with_size(i, "0,0.07"), "r = attack with=a split=train limit=70 save=yes");
		last_row(&l, &m); /* a result outside of the box would have failed */
		double clean = metrics_get(&m, "r.clean_accuracy");
		cr_expect(clean > 0.8, "%g", clean);
		cr_expect_eq(metrics_get(&m, "a@0.robust_accuracy"), clean, "%s", laws[i].line);
		cr_expect_leq(metrics_get(&m, "a@0.07.robust_accuracy"), clean);
		const struct outcome *o = outcome_of(&l, 0);
		for (int64_t k = 0; k < 70; k++) {
			cr_expect(o[0].linf[k] <= 1e-6F, "%s: %g with size 0", laws[i].line, (double)o[0].linf[k]);
			double size = (double)(laws[i].norm == REIN_L2 ? o[1].l2[k] : o[1].linf[k]);
			cr_expect(laws[i].norm < 0 || size <= 0.07 * (1 + 1e-5) + 1e-6, "%s: %g", laws[i].line, size);
		}
		metrics_finish(&m);
		lab_close(&l);
	}
}

/* Every parameter and statistic, the optimizer's and the counters, one after another. */
static float *everything(const struct lab *l, int64_t *n)
{
	struct store *store = trainer_store(l->trainer);
	float *all = NULL;

	*n = 0;
	for (int i = 0; i < store->n; i++) {
		const struct state *s = store->state[i];
		if (s->role == STATE_DATA || s->dtype != REIN_REAL_T)
			continue;
		all = realloc(all, (size_t)(*n + s->count) * sizeof *all);
		cr_assert(all && store_get(store, s, all + *n) >= 0);
		*n += s->count;
	}
	return all;
}

Test(attacks, nothing_of_the_model_is_touched)
{
	struct metrics m = { 0 };
	struct lab plain;
	int64_t n, k;

	find_laws();
	open_law(&plain, 64, "fgsm", "one = train\ntwo = train");
	last_row(&plain, &m);
	float *want = everything(&plain, &n);
	for (int i = 0; i < n_law; i++) {
		struct lab l;
		open_law(&l, 64, with_size(i, "0.1"), "one = train\nr = attack with=a split=train limit=20\ntwo = train");
		last_row(&l, &m);
		float *have = everything(&l, &k);
		cr_assert_eq(n, k);
		cr_expect_arr_eq(have, want, (size_t)n * sizeof *have, "%s", laws[i].line);
		free(have);
		lab_close(&l);
	}
	free(want);
	metrics_finish(&m);
	lab_close(&plain);
}

Test(attacks, the_batch_does_not_matter)
{
	find_laws();
	for (int i = 0; i < n_law; i++) {
		struct metrics m = { 0 };
		struct lab a, b;
		int differ = 0;
		open_law(&a, 64, with_size(i, "0.07"), "r = attack with=a split=train limit=60");
		open_law(&b, 17, with_size(i, "0.07"), "r = attack with=a split=train limit=60");
		last_row(&a, &m);
		last_row(&b, &m);
		const struct outcome *x = outcome_of(&a, 0), *y = outcome_of(&b, 0);
		for (int64_t k = 0; k < 60; k++)
			differ += x->right[k] != y->right[k] || !(fabsf(x->l2[k] - y->l2[k]) <= 1e-4F * (1 + x->l2[k]));
		cr_expect_eq(differ, 0, "%s: %d of 60 samples differ", laws[i].line, differ);
		metrics_finish(&m);
		lab_close(&a);
		lab_close(&b);
	}
}

/* --- what cannot be ---------------------------------------------------------------------------- */
static void refused(const char *attack, const char *classes, const char *data, const char *net, const char *why)
{
	char path[] = "/tmp/attack-XXXXXX";
	FILE *f = fdopen(mkstemp(path), "w");
	struct lab l;

	cr_assert(f);
	fprintf(f,
	        "[run]\nconfig = 1\nepochs = 1\n[data]\ntrain = %s\n[network]\n%s\n[loss]\nce = %s\n[optimizer]\nsgd = sgd "
	        "lr=0.1\n[attacks]\na = %s\n[stages]\nfit = train\nr = attack with=a\n",
	        data, net, classes, attack);
	fclose(f);
	cr_expect_not(lab_open(&l, path, NULL, 0), "%s was not refused", attack);
	cr_expect(strstr(l.messages, why), "%s: %s", attack, l.messages);
	unlink(path);
	lab_close(&l);
}

Test(attacks, what_a_model_cannot_carry_is_said_before_it_starts)
{
	const char *two = "moons samples=50", *three = "shapes classes=3 size=8 samples=30";
	const char *flat2 = "out = linear units=2", *flat3 = "flat = flatten\nout = linear units=3";

	refused("apgd loss=dlr", "cross_entropy", two, flat2, "loss=dlr needs 3 classes, the model has 2");
	refused("apgd loss=dlr targets=2", "cross_entropy", three, flat3, "needs 4 classes");
	refused("square", "cross_entropy", two, flat2, "square needs images");
	refused("spatial", "cross_entropy", two, flat2, "spatial needs images");
	refused("square norm=l2", "cross_entropy", "shapes classes=3 size=4 samples=30", flat3, "5x5");
	refused("fgsm", "bce", two, "out = linear units=1", "one output per class");
	refused("fgsm target=class class=7", "cross_entropy", two, flat2,
	        "class=7 is no class of the model, which has 0 to 1");
	refused("pgd target=class", "cross_entropy", two, flat2, "class=-1 is no class");
	refused("pgd class=1", "cross_entropy", two, flat2, "class=1 is for target=class alone");
	refused("fgsm epsilon=0.1,0.2,0.1", "cross_entropy", two, flat2, "size 0.1 is there twice");
	refused("fgsm epsilon=-1", "cross_entropy", two, flat2, "epsilon");
}

/* --- certificates -------------------------------------------------------------------------------- */
/* Expected: scipy.stats.beta.ppf(alpha, k, n - k + 1) and norm.ppf(p). */
Test(certify, bounds)
{
	static const struct {
		int64_t k, n;
		double alpha, want;
	} b[] = { { 1000, 1000, 0.001, 0.9931160484209338 },
		      { 990, 1000, 0.001, 0.9760361871553114 },
		      { 501, 1000, 0.001, 0.4517643768755041 },
		      { 1, 10, 0.05, 0.005116196891823743 },
		      { 99, 100, 0.001, 0.9113731112960424 } };
	static const double q[][2] = { { 0.5, 0 }, { 0.75, 0.6744897501960817 }, { 0.999, 3.090232306167813 } };

	for (size_t i = 0; i < sizeof b / sizeof *b; i++)
		cr_expect_float_eq(certify_bound(b[i].k, b[i].n, b[i].alpha), b[i].want, 1e-9, "%d of %d", (int)b[i].k,
		                   (int)b[i].n);
	cr_expect_eq(certify_bound(0, 10, 0.05), 0);
	for (size_t i = 0; i < sizeof q / sizeof *q; i++)
		cr_expect_float_eq(certify_quantile(q[i][0]), q[i][1], 1e-9);
}

/* Shares that must hold of any model. */
Test(certify, a_stage_counts_votes)
{
	struct metrics m = { 0 };
	struct lab l;

	open_law(&l, 64, "fgsm", "s = certify sigma=0.25 votes=20 samples=200 split=train limit=70");
	last_row(&l, &m);
	double right = metrics_get(&m, "s.accuracy"), abstains = metrics_get(&m, "s.abstains");
	cr_expect(right > 0.3 && right <= 1 && abstains >= 0 && right + abstains <= 1, "%g %g", right, abstains);
	/* 200 of 200: the largest radius that can be shown */
	double most = 0.25 * certify_quantile(certify_bound(200, 200, 0.001));
	cr_expect(metrics_get(&m, "s.radius") > 0.1 && metrics_get(&m, "s.radius") <= most + 1e-9);
	cr_expect_geq(right, metrics_get(&m, "s.certified@0.125"));
	cr_expect_geq(metrics_get(&m, "s.certified@0.125"), metrics_get(&m, "s.certified@0.25"));
	cr_expect_eq(metrics_get(&m, "s.certified@0.75"), 0); /* beyond it */
	metrics_finish(&m);
	lab_close(&l);
}
