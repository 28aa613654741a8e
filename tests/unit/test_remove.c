/* SPDX-License-Identifier: MIT
 *
 * test_remove.c: remove stages: what goes and what stays through chains, flatten, additions,
 * concat, batch norm and groups; that outputs stay the same, over networks drawn by lot too; and
 * that the smaller network trains on, is saved and is read again.
 */
#include <criterion/criterion.h>
#include <math.h>

#include "train.h"
#include "trainer_rig.h"

#define ROWS   "[data]\ntrain = blobs samples=60 classes=3 features=8 seed=1\n"
#define IMAGES "[data]\ntrain = random samples=24 shape=3,9,8 classes=3 seed=2\n"
#define REST   "[loss]\nce = cross_entropy\n[optimizer]\nsgd = sgd lr=0.05 momentum=0.9\n"
#define RUN    "[run]\nconfig = 1\nbatch = 12\n"

/* --- tools ---------------------------------------------------------------------------------- */
static void open_text(struct rig *r, const char *text)
{
	if (!rig_open(r, text, 1))
		cr_assert_fail("%s\nof\n%s", r->why, text);
}

/* Entries lo..hi-1 along an axis of a parameter or statistic become v. */
static void fill(struct rig *r, const char *name, uint32_t axis, int64_t lo, int64_t hi, float v)
{
	struct state *s = store_find(trainer_store(r->t), name);
	float *w = rig_state(r, name);
	int64_t inner = 1;

	cr_assert(s && w, "there is no %s", name);
	for (uint32_t a = axis + 1; a < s->rank; a++)
		inner *= s->dim[a];
	for (int64_t i = 0; i < s->count; i++) {
		int64_t k = i / inner % s->dim[axis];
		if (k >= lo && k < hi)
			w[i] = v;
	}
	cr_assert(store_set(trainer_store(r->t), s, w) >= 0);
	free(w);
}

static int64_t size_of(struct rig *r, const char *name, uint32_t axis)
{
	const struct state *s = store_find(trainer_store(r->t), name);
	return s && axis < s->rank ? s->dim[axis] : -1;
}

/* The next stage, which removes: the largest change of an output. alive: outputs were not the same
 * for all samples. */
static double remove_now(struct rig *r, struct metrics *m, bool *alive, const char *text)
{
	int64_t n = 0, k = 0;
	r->t->diag = r->diag;
	float *a = forward_outputs(r->t, &n);
	rein_status status = rig_next(r, m);
	cr_assert(status == REIN_OK, "%s\nin\n%s", r->why, text);
	float *b = forward_outputs(r->t, &k);
	cr_assert(a && b && n == k);
	double most = 0;
	*alive = false;
	for (int64_t i = 0; i < n; i++) {
		double d = fabs((double)a[i] - (double)b[i]);
		most = !(d <= most) ? d : most;
		*alive = *alive || (i >= 3 && a[i] != a[i % 3]); /* 3 outputs that know the sample */
	}
	free(a);
	free(b);
	return most;
}

static void same_outputs(struct rig *r, const char *text)
{
	struct metrics m = { 0 };
	bool alive;
	double difference = remove_now(r, &m, &alive, text);
	cr_expect(difference <= 1e-5, "outputs differ by %g in\n%s", difference, text);
	cr_expect(metrics_get(&m, "output_difference") <= 1e-5);
	metrics_finish(&m);
}

/* --- what goes -------------------------------------------------------------------------------- */
Test(remove, chain_of_linear_layers)
{
	static const char text[] = RUN ROWS "[network]\nfc1 = linear units=12\nact = relu\nfc2 = linear units=10\n"
										"act2 = tanh\nout = linear units=3\n" REST "[stages]\nless = remove\n";
	struct rig r;
	open_text(&r, text);
	fill(&r, "fc1.weight", 0, 2, 7, 0);
	fill(&r, "fc1.bias", 0, 2, 7, 0);
	fill(&r, "out.weight", 1, 0, 4, 0); /* nobody reads these of fc2 */
	same_outputs(&r, text);
	cr_expect_eq(size_of(&r, "fc1.weight", 0), 7);
	cr_expect_eq(size_of(&r, "fc1.weight", 1), 8, "inputs stay");
	cr_expect_eq(size_of(&r, "fc1.bias", 0), 7);
	cr_expect_eq(size_of(&r, "fc2.weight", 0), 6);
	cr_expect_eq(size_of(&r, "fc2.weight", 1), 7);
	cr_expect_eq(size_of(&r, "out.weight", 0), 3, "outputs stay");
	cr_expect_eq(size_of(&r, "out.weight", 1), 6);
	rig_close(&r);
}

Test(remove, a_neuron_nobody_reads_frees_those_only_it_reads)
{
	static const char text[] = RUN ROWS "[network]\nfc1 = linear units=6\nact = relu\nfc2 = linear units=5\n"
										"act2 = relu\nout = linear units=3\n" REST "[stages]\nless = remove\n";
	struct rig r;
	open_text(&r, text);
	fill(&r, "fc2.weight", 1, 0, 3, 0); /* fc1's 0..2 are read ... */
	float *w = rig_state(&r, "fc2.weight");
	w[0] = w[1] = w[2] = 1; /* ... by fc2's row 0 alone, which ... */
	store_set(trainer_store(r.t), store_find(trainer_store(r.t), "fc2.weight"), w);
	free(w);
	fill(&r, "out.weight", 1, 0, 1, 0); /* ... nobody reads */
	same_outputs(&r, text);
	cr_expect_eq(size_of(&r, "fc2.weight", 0), 4);
	cr_expect_eq(size_of(&r, "fc1.weight", 0), 3);
	rig_close(&r);
}

Test(remove, numbers_go_into_the_next_bias)
{
	static const char net[] = "[network]\nfc1 = linear units=6\nact = sigmoid\nout = linear units=3\n" REST;
	char text[1024];
	for (int fold = 0; fold < 2; fold++) {
		struct rig r;
		snprintf(text, sizeof text, RUN ROWS "%s[stages]\nless = remove fold=%s\n", net, fold ? "yes" : "no");
		open_text(&r, text);
		fill(&r, "fc1.weight", 0, 1, 4, 0); /* sigmoid(bias) for every sample */
		same_outputs(&r, text);
		cr_expect_eq(size_of(&r, "fc1.weight", 0), fold ? 3 : 6);
		rig_close(&r);
	}
}

Test(remove, convolution_batch_norm_pooling_flatten)
{
	static const char text[] =
		RUN IMAGES "[network]\nc1 = conv2d filters=6 kernel=3 padding=1\nb1 = batchnorm\na1 = relu\n"
				   "p1 = maxpool size=2\nc2 = conv2d filters=5 kernel=3 bias=no\nb2 = batchnorm\na2 = relu\n"
				   "flat = flatten\nout = linear units=3\n" REST "[stages]\nfit = train epochs=1\nless = remove\n";
	struct rig r;
	struct metrics m = { 0 };
	open_text(&r, text);
	cr_assert(rig_next(&r, &m) == REIN_OK, "%s", r.why);
	fill(&r, "c1.weight", 0, 0, 2, 0);
	fill(&r, "b1.weight", 0, 0, 2, 0); /* (x - mean) 0 + 0 */
	fill(&r, "b1.bias", 0, 0, 2, 0);
	fill(&r, "b1.weight", 0, 2, 3, 0); /* a number below 0: relu makes it 0 */
	fill(&r, "b1.bias", 0, 2, 3, -1);
	fill(&r, "b1.weight", 0, 3, 4, 0); /* a number above 0, which c2 sees without padding, but has no bias for */
	fill(&r, "b1.bias", 0, 3, 4, 1);
	fill(&r, "b2.weight", 0, 4, 5, 0); /* a number that out's bias takes */
	fill(&r, "b2.bias", 0, 4, 5, 0.5f);
	same_outputs(&r, text);
	cr_expect_eq(size_of(&r, "c1.weight", 0), 3);
	cr_expect_eq(size_of(&r, "c1.bias", 0), 3);
	cr_expect_eq(size_of(&r, "b1.running_mean", 0), 3);
	cr_expect_eq(size_of(&r, "b1.running_var", 0), 3);
	cr_expect_eq(size_of(&r, "c2.weight", 0), 4);
	cr_expect_eq(size_of(&r, "c2.weight", 1), 3);
	cr_expect_eq(size_of(&r, "out.weight", 1), 4 * 2 * 2, "2 x 2 columns for each channel");
	cr_expect_eq(size_of(&r, "sgd.c1.weight.momentum", 0), 3, "momentum follows");
	metrics_finish(&m);
	rig_close(&r);
}

Test(remove, a_number_under_padding_stays)
{
	static const char net[] = "[network]\nc1 = conv2d filters=4 kernel=3\na1 = sigmoid\n"
							  "c2 = conv2d filters=5 kernel=3 padding=%d\nflat = flatten\nout = linear units=3\n" REST
							  "[stages]\nless = remove\n";
	for (int padding = 0; padding < 2; padding++) {
		char text[1024] = RUN IMAGES;
		struct rig r;
		snprintf(text + strlen(text), sizeof text - strlen(text), net, padding);
		open_text(&r, text);
		fill(&r, "c1.weight", 0, 0, 2, 0);
		same_outputs(&r, text);
		cr_expect_eq(size_of(&r, "c1.weight", 0), padding ? 4 : 2);
		rig_close(&r);
	}
}

Test(remove, an_addition_ties_its_branches)
{
	static const char text[] = RUN IMAGES "[network]\nc1 = conv2d filters=6 kernel=3 padding=1\na1 = relu\n"
										  "c2 = conv2d filters=6 kernel=3 padding=1\nsum = add input=c2,a1\na2 = relu\n"
										  "pool = adaptive_avgpool size=1\nflat = flatten\nout = linear units=3\n" REST
										  "[stages]\nless = remove\n";
	struct rig r;
	open_text(&r, text);
	fill(&r, "c1.weight", 0, 0, 3, 0);
	fill(&r, "c1.bias", 0, 0, 3, 0);
	fill(&r, "c2.weight", 0, 0, 2, 0); /* 0 and 1 are 0 in both branches, 2 in one */
	fill(&r, "c2.bias", 0, 0, 2, 0);
	same_outputs(&r, text);
	cr_expect_eq(size_of(&r, "c1.weight", 0), 4);
	cr_expect_eq(size_of(&r, "c2.weight", 0), 4);
	cr_expect_eq(size_of(&r, "c2.weight", 1), 4);
	cr_expect_eq(size_of(&r, "out.weight", 1), 4);
	rig_close(&r);
}

Test(remove, concat_keeps_what_lies_behind_one_another_apart)
{
	static const char text[] = RUN IMAGES
		"[network]\nc1 = conv2d filters=4 kernel=3 padding=1 input=input\n"
		"c2 = conv2d filters=5 kernel=5 padding=2 input=input\nboth = concat input=c1,c2\na = relu\n"
		"c3 = conv2d filters=4 kernel=3\nflat = flatten\nout = linear units=3\n" REST "[stages]\nless = remove\n";
	struct rig r;
	open_text(&r, text);
	fill(&r, "c1.weight", 0, 3, 4, 0);
	fill(&r, "c1.bias", 0, 3, 4, -1); /* relu makes it 0 */
	fill(&r, "c3.weight", 1, 4, 6, 0);
	same_outputs(&r, text);
	cr_expect_eq(size_of(&r, "c1.weight", 0), 3);
	cr_expect_eq(size_of(&r, "c2.weight", 0), 3);
	cr_expect_eq(size_of(&r, "c3.weight", 1), 6);
	rig_close(&r);
}

Test(remove, groups_go_whole)
{
	static const char text[] =
		RUN IMAGES "[network]\nc1 = conv2d filters=8 kernel=3 padding=1\na1 = relu\n"
				   "deep = conv2d filters=16 kernel=3 groups=8\nb = batchnorm\na2 = relu\n"
				   "two = conv2d filters=4 kernel=1 groups=4\na3 = relu\nflat = flatten\nout = linear units=3\n" REST
				   "[stages]\nless = remove\nfit = train epochs=1\n";
	struct rig r;
	struct metrics m = { 0 };
	open_text(&r, text);
	fill(&r, "out.weight", 1, 0, 7 * 6, 0); /* group 0 of `two`: 4 channels of deep, 2 of c1 */
	fill(&r, "deep.weight", 0, 6, 8, 0);    /* channel 3 of c1, but group 1 of `two` stays whole */
	same_outputs(&r, text);
	cr_expect_eq(size_of(&r, "two.weight", 0), 3);
	cr_expect_eq(size_of(&r, "two.weight", 1), 4);
	cr_expect_eq(size_of(&r, "deep.weight", 0), 12);
	cr_expect_eq(size_of(&r, "c1.weight", 0), 6);
	cr_expect(rig_next(&r, &m) == REIN_OK, "%s", r.why);
	metrics_finish(&m);
	rig_close(&r);
}

Test(remove, uneven_means_keep_planes_apart)
{
	static const char text[] = RUN IMAGES
		"[network]\nc1 = conv2d filters=5 kernel=3\na1 = relu\n"
		"pool = adaptive_avgpool size=4,5\nflat = flatten\nout = linear units=3\n" REST "[stages]\nless = remove\n";
	struct rig r;
	open_text(&r, text);
	fill(&r, "c1.weight", 0, 1, 3, 0);
	fill(&r, "c1.bias", 0, 1, 3, 0);
	same_outputs(&r, text);
	cr_expect_eq(size_of(&r, "c1.weight", 0), 3);
	cr_expect_eq(size_of(&r, "out.weight", 1), 3 * 20);
	rig_close(&r);
}

Test(remove, one_channel_is_left)
{
	static const char text[] =
		RUN ROWS "[network]\nfc1 = linear units=6\nact = relu\nout = linear units=3\n" REST "[stages]\nless = remove\n";
	struct rig r;
	open_text(&r, text);
	fill(&r, "fc1.weight", 0, 0, 6, 0);
	fill(&r, "fc1.bias", 0, 0, 6, 0);
	same_outputs(&r, text);
	cr_expect_eq(size_of(&r, "fc1.weight", 0), 1);
	cr_expect_eq(size_of(&r, "out.weight", 1), 1);
	rig_close(&r);
}

Test(remove, counts_are_rounded_and_on_chooses)
{
	static const char net[] = "[network]\nfc1 = linear units=12\nact = relu\nfc2 = linear units=12\nact2 = relu\n"
							  "out = linear units=3\n" REST "[stages]\nless = remove %s\n";
	static const struct {
		const char *keys;
		int64_t fc1, fc2;
	} cases[] = { { "round_to=4", 8, 8 }, { "round_to=8", 8, 8 }, { "round_to=16", 12, 12 }, { "on=fc1.*", 7, 12 } };
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char text[1024] = RUN ROWS;
		struct rig r;
		snprintf(text + strlen(text), sizeof text - strlen(text), net, cases[i].keys);
		open_text(&r, text);
		for (int k = 1; k < 3; k++) {
			fill(&r, k == 1 ? "fc1.weight" : "fc2.weight", 0, 0, 5, 0);
			fill(&r, k == 1 ? "fc1.bias" : "fc2.bias", 0, 0, 5, 0);
		}
		same_outputs(&r, text);
		cr_expect_eq(size_of(&r, "fc1.weight", 0), cases[i].fc1, "%s", cases[i].keys);
		cr_expect_eq(size_of(&r, "fc2.weight", 0), cases[i].fc2, "%s", cases[i].keys);
		rig_close(&r);
	}
}

/* --- what is said ------------------------------------------------------------------------------ */
static char told[1024];
static void remember(void *ctx, uint32_t level, const char *line)
{
	(void)ctx;
	(void)level;
	snprintf(told, sizeof told, "%s", line);
}

Test(remove, nothing_to_remove_is_said)
{
	static const char text[] =
		RUN ROWS "[network]\nfc1 = linear units=6\nact = relu\nout = linear units=3\n" REST "[stages]\nless = remove\n";
	struct rig r;
	struct metrics m = { 0 };
	open_text(&r, text);
	r.t->env.host.log = remember;
	cr_assert(rig_next(&r, &m) == REIN_OK);
	cr_expect(strstr(told, "stage 'less' removes nothing"), "%s", told);
	cr_expect_eq(metrics_get(&m, "parameters"), metrics_get(&m, "parameters.before"));
	metrics_finish(&m);
	rig_close(&r);
}

Test(remove, a_pattern_that_matches_nothing_lists_what_there_is)
{
	struct rig r;
	cr_expect(!rig_open(&r,
	                    RUN ROWS "[network]\nfc1 = linear units=6\nout = linear units=3\n" REST
	                             "[stages]\nless = remove on=conv*\n",
	                    1));
	cr_expect(strstr(r.why, "less: on=conv* matches no weight; there are: fc1.weight, fc1.bias, out.weight, out.bias"),
	          "%s", r.why);
	rig_close(&r);
	cr_expect(!rig_open(&r,
	                    RUN ROWS "[network]\nfc1 = linear units=6\nout = linear units=3\n" REST
	                             "[stages]\nless = remove on=fc1.weight,fc9.weight\n",
	                    1));
	cr_expect(strstr(r.why, "'fc9.weight' matches no weight of two or more axes; there are: fc1.weight"), "%s", r.why);
	rig_close(&r);
}

/* --- going on ----------------------------------------------------------------------------------- */
#define PRUNED                                                                                      \
	RUN ROWS "[network]\nfc1 = linear units=12\nact = relu\nfc2 = linear units=10\nact2 = relu\n"   \
			 "out = linear units=3\n[loss]\nce = cross_entropy\n[optimizer]\nadam = adam lr=0.01\n" \
			 "[pruners]\nrows = ln_structured amount=0.5 on=fc*.weight dim=0\nall = threshold value=10 on=fc*.bias\n"

Test(remove, training_goes_on_as_with_masks)
{
	static const char *const middle[] = { "", "less = remove\n" };
	double loss[2];
	for (int i = 0; i < 2; i++) {
		char text[2048];
		struct rig r;
		struct metrics m = { 0 };
		snprintf(text, sizeof text,
		         "%s[stages]\nfit = train epochs=2\ncut = prune with=rows\ncut2 = prune with=all\n%s"
		         "more = train epochs=3\n",
		         PRUNED, middle[i]);
		open_text(&r, text);
		cr_assert(rig_run(&r, &m), "%s", r.why);
		loss[i] = metrics_get(&m, "train.loss");
		cr_expect_eq(size_of(&r, "fc1.weight", 0), i ? 6 : 12);
		cr_expect_eq(size_of(&r, "adam.fc2.weight.m", 0), i ? 5 : 10);
		cr_expect_eq(size_of(&r, "adam.fc2.weight.m", 1), i ? 6 : 12);
		cr_expect_eq(size_of(&r, "fc2.weight.mask", 1), i ? 6 : 12);
		cr_expect_eq(size_of(&r, "fc2.bias.mask", 0), i ? 5 : 10);
		metrics_finish(&m);
		rig_close(&r);
	}
	cr_expect(fabs(loss[0] - loss[1]) < 1e-5, "%g with masks, %g without the channels", loss[0], loss[1]);
}

#define STAGES                                                                                      \
	"[stages]\nfit = train epochs=1\ncut = prune with=rows\nless = remove\nmore = train epochs=2\n" \
	"again = prune with=rows\nless2 = remove\nlast = train epochs=1\n"

Test(remove, a_smaller_run_is_saved_and_resumed)
{
	static const char text[] = PRUNED STAGES;
	char file[] = "/tmp/remove-XXXXXX", why[512] = "";
	struct rig a, b;
	struct metrics m = { 0 };
	close(mkstemp(file));
	open_text(&a, text);
	for (int i = 0; i < 4; i++)
		cr_assert(rig_next(&a, &m) == REIN_OK, "%s", a.why);
	cr_assert(trainer_save(a.t, file, why, sizeof why), "%s", why);
	open_text(&b, text);
	cr_assert(trainer_load(b.t, file, why, sizeof why), "%s", why);
	cr_expect(rig_run(&a, &m) && rig_run(&b, &m), "%s%s", a.why, b.why);
	cr_expect_eq(size_of(&a, "fc1.weight", 0), 3);
	cr_expect(rig_same(&a, &b), "resumed, the run ends in other bits");
	rig_close(&b);
	cr_assert(trainer_save_model(a.t, file, why, sizeof why), "%s", why);
	open_text(&b, text);
	cr_assert(trainer_load_model(b.t, file, why, sizeof why), "%s", why);
	struct metrics x = { 0 }, y = { 0 };
	cr_expect(trainer_evaluate(a.t, "train", &x, a.diag) >= 0 && trainer_evaluate(b.t, "train", &y, b.diag) >= 0);
	cr_expect_eq(metrics_get(&x, "train.loss"), metrics_get(&y, "train.loss"));
	rig_close(&b);
	unlink(file);
	metrics_finish(&x);
	metrics_finish(&y);
	metrics_finish(&m);
	rig_close(&a);
}

Test(remove, a_file_of_another_network_is_refused)
{
	char file[] = "/tmp/remove-XXXXXX", why[512] = "";
	struct rig a, b;
	struct metrics m = { 0 };
	close(mkstemp(file));
	open_text(&a, PRUNED STAGES);
	cr_assert(rig_run(&a, &m), "%s", a.why);
	cr_assert(trainer_save_model(a.t, file, why, sizeof why), "%s", why);
	open_text(&b, RUN ROWS "[network]\nfc1 = linear units=13\nact = relu\nfc2 = linear units=10\nact2 = relu\n"
	                       "out = linear units=3\n" REST);
	cr_expect(!trainer_load_model(b.t, file, why, sizeof why));
	cr_expect(strstr(why, "tensor 'fc1.weight' is real (3, 8), the network's 'fc1.weight' real (13, 8)"), "%s", why);
	unlink(file);
	metrics_finish(&m);
	rig_close(&a);
	rig_close(&b);
}

Test(remove, averages_that_evaluation_sees_are_cut_too)
{
	static const char text[] = PRUNED "[regularizers]\nmean = ema decay=0.9\n"
									  "[stages]\ncut = prune with=rows\ncut2 = prune with=all\nfit = train epochs=2\n"
									  "less = remove\nmore = train epochs=1\n";
	struct rig r;
	struct metrics m = { 0 };
	open_text(&r, text);
	for (int i = 0; i < 4; i++)
		cr_assert(rig_next(&r, &m) == REIN_OK, "%s", r.why);
	same_outputs(&r, text);
	cr_expect_eq(size_of(&r, "mean.fc1.weight.mean", 0), 6);
	cr_expect_eq(size_of(&r, "fc1.weight", 0), 6);
	cr_expect(rig_next(&r, &m) == REIN_OK, "%s", r.why);
	metrics_finish(&m);
	rig_close(&r);
}

/* Weights of which one in fifty is left: the backend may leave the zeros out, of a whole batch and of
 * the rows at its end. */
Test(remove, products_with_few_weights)
{
	static const char text[] =
		"[run]\nconfig = 1\nbatch = 130\n[data]\ntrain = blobs samples=230 classes=3 features=128 seed=1\n"
		"[network]\nfc1 = linear units=256\nact = relu\nout = linear units=3\n" REST "[stages]\nend = evaluate\n";
	struct rig r;
	struct metrics m = { 0 };
	open_text(&r, text);
	float *w = rig_state(&r, "fc1.weight");
	for (int i = 0; i < 256 * 128; i++)
		w[i] = i % 51 ? 0 : w[i];
	store_set(trainer_store(r.t), store_find(trainer_store(r.t), "fc1.weight"), w);
	float *b = rig_state(&r, "fc1.bias"), *v = rig_state(&r, "out.weight"), *c = rig_state(&r, "out.bias");
	const struct split *s = data_split(trainer_data(r.t), "train");
	double loss = 0;
	for (int64_t n = 0; n < s->n; n++) {
		double z[3] = { (double)c[0], (double)c[1], (double)c[2] }, sum = 0;
		for (int o = 0; o < 256; o++) {
			double h = (double)b[o];
			for (int k = 0; k < 128; k++)
				h += (double)w[o * 128 + k] * (double)((const float *)s->x)[n * 128 + k];
			for (int k = 0; h > 0 && k < 3; k++)
				z[k] += h * (double)v[k * 256 + o];
		}
		for (int k = 0; k < 3; k++)
			sum += exp(z[k]);
		loss += log(sum) - z[((const int32_t *)s->y)[n]];
	}
	cr_assert(rig_next(&r, &m) == REIN_OK, "%s", r.why);
	cr_expect(fabs(metrics_get(&m, "train.loss") - loss / (double)s->n) < 1e-6, "%.9g, not %.9g",
	          metrics_get(&m, "train.loss"), loss / (double)s->n);
	free(w);
	free(b);
	free(v);
	free(c);
	metrics_finish(&m);
	rig_close(&r);
}

/* --- networks drawn by lot ------------------------------------------------------------------------- */
static uint32_t lot_state;
static uint32_t lot(uint32_t n)
{
	lot_state = lot_state * 1664525u + 1013904223u;
	return (lot_state >> 8) % n;
}

struct drawn {
	char text[4096];
	int n;         /* layers so far */
	char last[16]; /* the last line that has an output */
	int channels, side;
};

static void line(struct drawn *d, const char *format, ...)
{
	size_t at = strlen(d->text);
	va_list ap;

	at += (size_t)snprintf(d->text + at, sizeof d->text - at, "l%d = ", d->n + 1);
	va_start(ap, format);
	at += (size_t)vsnprintf(d->text + at, sizeof d->text - at, format, ap);
	va_end(ap);
	snprintf(d->text + at, sizeof d->text - at, "\n");
	snprintf(d->last, sizeof d->last, "l%d", ++d->n); /* the words above may name the one before */
}

static void draw_act(struct drawn *d)
{
	static const char *const acts[] = { "relu", "relu", "tanh", "sigmoid", "leaky_relu", "dropout p=0.3" };
	line(d, "%s", acts[lot(6)]);
}

/* conv, batch norm, pooling, a residual block, branches, groups */
static void draw_block(struct drawn *d)
{
	char from[16];

	snprintf(from, sizeof from, "%s", d->last);
	switch (lot(6)) {
	case 0:
		d->channels = 2 + (int)lot(6);
		line(d, "conv2d filters=%d kernel=3 padding=1 bias=%s", d->channels, lot(2) ? "yes" : "no");
		draw_act(d);
		break;
	case 1:
		d->channels = 2 + (int)lot(6);
		line(d, "conv2d filters=%d kernel=%d same=yes", d->channels, 1 + 2 * (int)lot(2));
		line(d, "batchnorm");
		draw_act(d);
		break;
	case 2:
		if (d->side < 4)
			break;
		line(d, lot(2) ? "maxpool size=2" : "avgpool size=2");
		d->side /= 2;
		break;
	case 3: /* residual: the branch goes through one more layer */
		line(d, "conv2d filters=%d kernel=3 padding=1", d->channels);
		line(d, "batchnorm");
		line(d, "stochastic_depth p=0.1");
		line(d, "add input=%s,%s", d->last, from);
		draw_act(d);
		break;
	case 4: {
		char other[16];
		line(d, "conv2d filters=%d kernel=1", 2 + (int)lot(3));
		snprintf(other, sizeof other, "%s", d->last);
		line(d, "conv2d filters=%d kernel=3 padding=1 input=%s", 2, from);
		line(d, "concat input=%s,%s,%s", from, other, d->last);
		d->channels = 0; /* read off below */
		break;
	}
	default:
		line(d, "conv2d filters=4 kernel=1");
		line(d, "conv2d filters=%d kernel=3 padding=1 groups=%d", 4 * (1 + (int)lot(2)), 1 << lot(3));
		draw_act(d);
		d->channels = 0;
	}
	if (!d->channels) { /* a residual block needs to know */
		d->channels = 3 + (int)lot(4);
		line(d, "conv2d filters=%d kernel=1", d->channels);
		draw_act(d);
	}
}

static void draw_network(struct drawn *d)
{
	memset(d, 0, sizeof *d);
	d->side = 8;
	snprintf(d->text, sizeof d->text, "%s%s[network]\n", RUN, IMAGES);
	d->channels = 4 + (int)lot(4);
	line(d, "conv2d filters=%d kernel=3 padding=1", d->channels);
	draw_act(d);
	for (uint32_t n = 2 + lot(4); n > 0; n--)
		draw_block(d);
	if (lot(2))
		line(d, "adaptive_avgpool size=%d", 1 + (int)lot(2));
	line(d, "flatten");
	line(d, "linear units=%d", 4 + (int)lot(8));
	draw_act(d);
	line(d, "linear units=3");
	size_t at = strlen(d->text);
	snprintf(d->text + at, sizeof d->text - at,
	         "%s[stages]\nfit = train epochs=1\nless = remove%s\nmore = train epochs=1\n", REST,
	         lot(4)   ? ""
	         : lot(2) ? " round_to=2"
	                  : " fold=no");
}

/* Rows and columns of every tensor become zero by lot, or (vectors) a number below 0. */
static void draw_zeros(struct rig *r)
{
	struct state *const *param;
	int n = trainer_params(r->t, &param);
	uint32_t percent = 5 + lot(40);

	for (int i = 0; i < n; i++) {
		bool shift = param[i]->rank == 1 && !lot(4);
		for (uint32_t a = 0; a < (param[i]->rank > 1 ? 2 : 1); a++)
			for (int64_t k = 0; k < param[i]->dim[a]; k++)
				if (lot(100) < percent)
					fill(r, param[i]->name, a, k, k + 1, shift ? -2 : 0);
	}
}

Test(remove, networks_drawn_by_lot)
{
	int smaller = 0, alive = 0, tried = 0;
	for (uint32_t i = 0; i < 60; i++) {
		struct drawn d;
		struct rig r;
		struct metrics m = { 0 };
		lot_state = 77 * i + 5;
		draw_network(&d);
		open_text(&r, d.text);
		cr_assert(rig_next(&r, &m) == REIN_OK, "%s\nin\n%s", r.why, d.text);
		draw_zeros(&r);
		bool knows;
		double difference = remove_now(&r, &m, &knows, d.text);
		alive += knows;
		cr_expect(difference <= 1e-5, "outputs differ by %g in\n%s", difference, d.text);
		smaller += metrics_get(&m, "parameters") < metrics_get(&m, "parameters.before");
		cr_expect(rig_next(&r, &m) == REIN_OK, "%s\nin\n%s", r.why, d.text);
		tried++;
		metrics_finish(&m);
		rig_close(&r);
	}
	cr_expect(smaller > tried / 2 && alive > tried / 3, "of %d networks %d became smaller, %d saw their samples", tried,
	          smaller, alive);
}
