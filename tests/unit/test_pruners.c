/* SPDX-License-Identifier: MIT
 *
 * test_pruners.c: the law of pruning under configs drawn by lot, schedules, rewinding and going on
 * from a checkpoint, what random draws, what is refused. That the masks are PyTorch's is tested in
 * tests/golden.
 */
#include <criterion/criterion.h>
#include <math.h>

#include "trainer_rig.h"

#define BLOBS "[data]\ntrain = blobs samples=60 classes=3 features=8 seed=1\n"
#define MLP                                                                             \
	"[network]\nfc1 = linear units=12\nact = relu\nfc2 = linear units=8\nact2 = tanh\n" \
	"out = linear units=3\n[loss]\nce = cross_entropy\n"
#define SGD "[optimizer]\nsgd = sgd lr=0.1\n"

static uint8_t *mask_of(struct rig *r, const char *param, int64_t *count)
{
	char name[128];
	snprintf(name, sizeof name, "%s.mask", param);
	struct state *s = store_find(trainer_store(r->t), name);
	uint8_t *mask = s ? malloc((size_t)s->count) : NULL;
	if (mask && store_get(trainer_store(r->t), s, mask) < 0)
		abort();
	*count = s ? s->count : 0;
	return mask;
}

static float *whole(struct rig *r, const char *name, int64_t *n)
{
	struct state *s = store_find(trainer_store(r->t), name);
	*n = s->count;
	return rig_state(r, name);
}

static int64_t nonzeros(const float *w, int64_t n)
{
	int64_t sum = 0;
	for (int64_t i = 0; i < n; i++)
		sum += w[i] != 0;
	return sum;
}

/* --- the law ------------------------------------------------------------------------------ */
static uint32_t lot_state;
static uint32_t lot(uint32_t n)
{
	lot_state = lot_state * 1664525u + 1013904223u;
	return (lot_state >> 8) % n;
}
static double lot_real(double lo, double hi) { return lo + (hi - lo) * lot(1000) / 1000; }

static int draw_optimizer(char *text, size_t size)
{
	switch (lot(4)) {
	case 0:
		return snprintf(text, size, "sgd lr=%g momentum=%g weight_decay=%g", lot_real(0.01, 0.3), lot_real(0, 0.95),
		                lot_real(0, 0.1));
	case 1:
		return snprintf(text, size, "sgd lr=%g momentum=%g nesterov=yes weight_decay=%g", lot_real(0.01, 0.3),
		                lot_real(0.1, 0.95), lot_real(0, 0.1));
	case 2: return snprintf(text, size, "adam lr=%g weight_decay=%g", lot_real(0.001, 0.05), lot_real(0, 0.1));
	default: return snprintf(text, size, "adamw lr=%g weight_decay=%g", lot_real(0.001, 0.05), lot_real(0, 0.3));
	}
}

static int draw_pruner(char *text, size_t size)
{
	switch (lot(8)) {
	case 6: return snprintf(text, size, "taylor amount=%g global=yes on=*.weight", lot_real(0.05, 0.4));
	case 7:
		return snprintf(text, size, "taylor amount=%g structured=yes dim=%u on=fc*.weight", lot_real(0.1, 0.5), lot(2));
	case 0: return snprintf(text, size, "threshold value=%g", lot_real(0.01, 0.1));
	case 1: return snprintf(text, size, "magnitude amount=%g on=*.weight", lot_real(0.05, 0.7));
	case 2: return snprintf(text, size, "magnitude amount=%g global=yes", lot_real(0.05, 0.4));
	case 3: return snprintf(text, size, "random amount=%u on=fc*", 1 + lot(3));
	case 4:
		return snprintf(text, size, "ln_structured amount=%g dim=%u n=%g on=fc*.weight", lot_real(0.1, 0.5), lot(2),
		                lot(2) ? 1.0 : 2.0);
	default: return snprintf(text, size, "two_four n=%u on=*.weight", 1 + lot(3));
	}
}

/* A train stage that prunes with a: a schedule that suits it. */
static int draw_schedule(char *text, size_t size, const char *pruner)
{
	static const char *const growing[] = { "linear", "cubic", "inverse_cubic" };
	bool mask = !strncmp(pruner, "threshold", 9) || !strncmp(pruner, "two_four", 8);
	uint32_t epochs = 2 + lot(2), begin = lot(epochs);

	if (lot(3) == 0)
		return snprintf(text, size, "train epochs=%u prune=a schedule=one_shot begin=%u", epochs, begin);
	if (mask || lot(4) == 0)
		return snprintf(text, size,
		                "train epochs=%u prune=a schedule=repeated begin=%u end=%u unit=updates frequency=3", epochs,
		                lot(3), 3 + lot(4));
	if (lot(2))
		return snprintf(text, size, "train epochs=%u prune=a schedule=%s initial=0.02 begin=%u end=%u batches=2",
		                epochs, growing[lot(3)], begin, epochs);
	return snprintf(text, size, "train epochs=%u prune=a schedule=%s unit=updates begin=1 end=%u frequency=2", epochs,
	                growing[lot(3)], 2 + lot(5));
}

static void draw_config(char *text, size_t size)
{
	static const char *const extra[] = { "",
		                                 "[regularizers]\npull = l2 lambda=0.01\n",
		                                 "[regularizers]\nnoise = weight_noise variance=0.002\n",
		                                 "[regularizers]\nclip = clip_norm max=0.5\nmean = ema decay=0.9\n",
		                                 "[regularizers]\nsharp = sam rho=0.05\n",
		                                 "[regularizers]\nstop = early_stopping monitor=train.loss patience=1\n" };
	char optimizer[160], first[160], second[160], grow[200];
	draw_optimizer(optimizer, sizeof optimizer);
	draw_pruner(first, sizeof first);
	draw_pruner(second, sizeof second);
	draw_schedule(grow, sizeof grow, first);
	snprintf(text, size,
	         "[run]\nconfig = 1\nseed = %u\nbatch = 16\n%s[optimizer]\no = %s\n%s"
	         "[pruners]\na = %s\nb = %s\n"
	         "[stages]\ns0 = train epochs=%u\ns1 = prune with=a\ns2 = train epochs=2\n"
	         "s3 = prune with=b\ns4 = %s\ns5 = %s\ns6 = %s\n%s",
	         1 + lot(1000), BLOBS MLP, optimizer, extra[lot(6)], first, second, 1 + lot(2),
	         lot(2) ? "train epochs=1" : "rewind epoch=0", lot(2) ? "prune with=a" : "rewind epoch=1",
	         lot(2) ? "train epochs=1" : grow, lot(3) ? "" : "s7 = repeat from=s5 times=1\n");
}

struct seen {
	int64_t nonzero; /* -1: not pruned yet */
	uint8_t *mask;
};

/* One parameter after a piece of work: its mask has not grown, nothing outside of it is alive. */
static void obeys(struct rig *r, const struct state *w, struct seen *seen, const char *text)
{
	int64_t count;
	uint8_t *mask = mask_of(r, w->name, &count);
	if (!mask)
		return;
	float *v = rig_state(r, w->name);
	int64_t alive = nonzeros(v, w->count), revived = 0, regrown = 0, masked = 0;
	for (int64_t i = 0; i < count; i++) {
		masked += !mask[i];
		revived += !mask[i] && v[i] != 0;
		regrown += seen->mask && mask[i] && !seen->mask[i];
	}
	cr_expect(revived == 0 && regrown == 0, "%s: %d revived, mask grew by %d in\n%s", w->name, (int)revived,
	          (int)regrown, text);
	if (masked > 0) {
		cr_expect(seen->nonzero < 0 || alive <= seen->nonzero, "%s: %d non-zeros after %d in\n%s", w->name, (int)alive,
		          (int)seen->nonzero, text);
		seen->nonzero = alive;
	}
	free(seen->mask);
	seen->mask = mask;
	free(v);
}

/* Momentum and Adam's moments of what is masked are zero too. */
static void states_obey(struct rig *r, const struct state *w, const char *text)
{
	static const char *const slots[] = { "momentum", "m", "v" };
	int64_t count;
	uint8_t *mask = mask_of(r, w->name, &count);
	for (size_t k = 0; mask && k < sizeof slots / sizeof *slots; k++) {
		char name[160];
		int64_t alive = 0;
		snprintf(name, sizeof name, "o.%s.%s", w->name, slots[k]);
		float *v = rig_state(r, name);
		for (int64_t i = 0; v && i < count; i++)
			alive += !mask[i] && v[i] != 0;
		cr_expect(alive == 0, "%s: %d masked entries in\n%s", name, (int)alive, text);
		free(v);
	}
	free(mask);
}

Test(pruners, non_zeros_never_grow)
{
	int pieces = 0;
	for (uint32_t i = 0; i < 60; i++) {
		struct rig r;
		struct metrics m = { 0 };
		struct state *const *param;
		struct seen seen[6];
		char text[2048];
		rein_status status;
		lot_state = 77 + i;
		draw_config(text, sizeof text);
		cr_assert(rig_open(&r, text, 1), "%s in\n%s", r.why, text);
		int n = trainer_params(r.t, &param);
		cr_assert_eq(n, 6);
		for (int k = 0; k < n; k++)
			seen[k] = (struct seen){ -1, NULL };
		while ((status = rig_next(&r, &m)) == REIN_OK) {
			pieces++;
			for (int k = 0; k < n; k++) {
				obeys(&r, param[k], &seen[k], text);
				states_obey(&r, param[k], text);
			}
		}
		/* a combination may empty a weight: that is refused, anything else runs to its end */
		cr_expect(status > 0 || strstr(r.why, "would remove the whole of"), "%s in\n%s", r.why, text);
		for (int k = 0; k < n; k++)
			free(seen[k].mask);
		metrics_finish(&m);
		rig_close(&r);
	}
	cr_expect(pieces > 60 * 6, "only %d pieces of work: most configs were refused", pieces);
}

/* --- schedules ---------------------------------------------------------------------------- */
/* 216 weights in 3 tensors, 4 updates an epoch. */
#define GROW(pruner, stage)                                                                       \
	"[run]\nconfig = 1\nbatch = 16\n" BLOBS MLP SGD "[pruners]\nsmall = " pruner " on=*.weight\n" \
	"[stages]\nfit = " stage "\nend = evaluate split=train\n"

/* Non-zeros of all weights after each epoch; 23 biases stay. */
static void counts_are(const char *text, int n, const int *expected)
{
	struct rig r;
	struct metrics m = { 0 };
	cr_assert(rig_open(&r, text, 1), "%s", r.why);
	for (int i = 0; i < n; i++) {
		cr_assert_eq(rig_next(&r, &m), REIN_OK, "%s", r.why);
		cr_expect_eq(metrics_get(&m, "nonzero") - 23, expected[i], "epoch %d: %g, not %d, in\n%s", i + 1,
		             metrics_get(&m, "nonzero") - 23, expected[i], text);
	}
	metrics_finish(&m);
	rig_close(&r);
}

/* s_f + (s_i - s_f) (1 - x)^3 of 216 by hand, rounded half to even. */
Test(pruners, schedules_follow_their_formulas)
{
	/* s_i 0, s_f .8: cuts before epochs 1 to 5, x = 0, 1/4 .. 1: shares 0, .4625, .7, .7875, .8 */
	counts_are(GROW("magnitude amount=0.8 global=yes", "train epochs=5 prune=small"), 5,
	           (const int[]){ 216, 216 - 100, 216 - 151, 216 - 170, 216 - 173 });
	/* .05 + .75 x with x = 0, 1/2, 1 */
	counts_are(GROW("magnitude amount=0.8 global=yes",
	                "train epochs=4 prune=small schedule=linear initial=0.05 begin=1 end=3"),
	           4, (const int[]){ 216, 216 - 11, 216 - 92, 216 - 173 });
	/* .8 (1 - cbrt(1 - x)): 0, .16503, .8 */
	counts_are(
		GROW("magnitude amount=0.8 global=yes", "train epochs=3 prune=small schedule=inverse_cubic begin=0 end=2"), 3,
		(const int[]){ 216, 216 - 36, 216 - 173 });
	/* every second epoch and at the end, which here is after the last update */
	counts_are(
		GROW("magnitude amount=108 global=yes", "train epochs=5 prune=small schedule=linear begin=0 end=5 frequency=2"),
		5, (const int[]){ 216, 216, 216 - 43, 216 - 43, 216 - 108 });
	/* updates 2, 5, 8, 9: x = 0, 3/7, 6/7, 1 of .5; epochs end before updates 4, 8, 12 */
	counts_are(GROW("magnitude amount=0.5 global=yes",
	                "train epochs=3 prune=small schedule=linear unit=updates begin=2 end=9 frequency=3"),
	           3, (const int[]){ 216, 216 - 46, 216 - 108 });
	/* half of what is left, three times; and once */
	counts_are(GROW("magnitude amount=0.5 global=yes", "train epochs=3 prune=small schedule=repeated end=2"), 3,
	           (const int[]){ 108, 54, 27 });
	counts_are(GROW("magnitude amount=0.5 global=yes", "train epochs=3 prune=small schedule=one_shot begin=1"), 3,
	           (const int[]){ 216, 108, 108 });
}

/* The best weights of a stage are sought after its last cut: denser ones of before are not brought back. */
Test(pruners, the_best_weights_are_those_of_the_last_masks)
{
	struct rig r;
	struct metrics m = { 0 };
	double loss[6];
	cr_assert(
		rig_open(&r,
	             "[run]\nconfig = 1\nbatch = 16\n" BLOBS MLP SGD
	             "[regularizers]\nstop = early_stopping monitor=train.loss patience=100 restore=best\n"
	             "[pruners]\nsmall = magnitude amount=0.7 on=*.weight\n"
	             "[stages]\nfit = train epochs=6 prune=small schedule=one_shot begin=5\nend = evaluate split=train\n",
	             1),
		"%s", r.why);
	for (int i = 0; i < 6; i++) {
		cr_assert_eq(rig_next(&r, &m), REIN_OK, "%s", r.why);
		loss[i] = metrics_get(&m, "train.loss");
	}
	cr_expect(loss[5] > loss[4], "the cut did not hurt (%g, then %g): the best was the last anyway", loss[4], loss[5]);
	int64_t n;
	float *w = whole(&r, "fc1.weight", &n);
	uint8_t *mask = mask_of(&r, "fc1.weight", &n);
	int64_t kept = 0;
	for (int64_t i = 0; i < n; i++)
		kept += mask[i];
	cr_expect_eq(kept, 96 - 67);
	cr_expect_eq(nonzeros(w, n), 96 - 67);
	free(w);
	free(mask);
	metrics_finish(&m);
	rig_close(&r);
}

/* --- rewinding ---------------------------------------------------------------------------- */
#define TICKET(optimizer, stages)                                                                \
	"[run]\nconfig = 1\nbatch = 16\nshuffle = no\n" BLOBS MLP "[optimizer]\no = " optimizer "\n" \
	"[pruners]\nnone = magnitude amount=0 on=*.weight\nsmall = magnitude amount=0.4 on=*.weight\n[stages]\n" stages

/* With nothing masked, training again from epoch k is the first training again, bit for bit, in
 * the moments of Adam and its bias corrections too. */
Test(pruners, rewinding_is_as_if_the_later_epochs_had_not_been)
{
	static const char *const optimizers[] = { "adam lr=0.01", "sgd lr=0.1 momentum=0.9" };
	for (int k = 0; k < 4; k++) {
		struct rig r;
		struct metrics m = { 0 };
		char text[1024];
		int64_t n;
		snprintf(
			text, sizeof text,
			TICKET("%s",
		           "fit = train epochs=3\ncut = prune with=none\nback = rewind epoch=%d\nagain = train epochs=%d\n"),
			optimizers[k % 2], k / 2, 3 - k / 2);
		cr_assert(rig_open(&r, text, 1), "%s", r.why);
		for (int i = 0; i < 3; i++)
			cr_assert_eq(rig_next(&r, &m), REIN_OK, "%s", r.why);
		float *first = whole(&r, "fc1.weight", &n);
		cr_assert(rig_run(&r, &m), "%s", r.why);
		float *second = whole(&r, "fc1.weight", &n);
		cr_expect_arr_eq(first, second, (size_t)n * sizeof *first, "rewind to epoch %d with %s", k / 2,
		                 optimizers[k % 2]);
		free(first);
		free(second);
		metrics_finish(&m);
		rig_close(&r);
	}
}

/* Survivors have the weights they had after epoch k, the others are zero, and train no more. */
Test(pruners, tickets_have_the_weights_of_then_and_the_masks_of_now)
{
	for (int k = 0; k < 2; k++) {
		struct rig r;
		struct metrics m = { 0 };
		char text[1024];
		int64_t n, count;
		snprintf(text, sizeof text,
		         TICKET("adam lr=0.01", "fit = train epochs=3\ncut = prune with=small\nback = rewind epoch=%d\n"
		                                "tune = train epochs=1\nmore = repeat from=cut times=2\n"),
		         k);
		cr_assert(rig_open(&r, text, 1), "%s", r.why);
		if (k)
			cr_assert_eq(rig_next(&r, &m), REIN_OK, "%s", r.why);
		float *then = whole(&r, "fc2.weight", &n);
		const char *type = NULL, *name;
		int rewinds = 0;
		while (rig_next(&r, &m) == REIN_OK) {
			name = trainer_stage_name(r.t, trainer_stage(r.t), &type);
			if (strcmp(type, "rewind") != 0)
				continue;
			uint8_t *mask = mask_of(&r, "fc2.weight", &count);
			float *now = whole(&r, "fc2.weight", &n);
			int wrong = 0, kept = 0;
			for (int64_t i = 0; i < n; i++) {
				wrong += now[i] != (mask[i] ? then[i] : 0);
				kept += mask[i];
			}
			cr_expect(wrong == 0, "%s: %d weights are not those of epoch %d", name, wrong, k);
			cr_expect_eq(kept, rewinds == 0 ? 58 : rewinds == 1 ? 35 : 21, "%s keeps %d of 96", name, kept);
			rewinds++;
			free(mask);
			free(now);
		}
		cr_expect_eq(rewinds, 3);
		cr_expect_str_eq(trainer_stage_name(r.t, trainer_stages(r.t) - 1, NULL), "tune.3");
		free(then);
		metrics_finish(&m);
		rig_close(&r);
	}
}

/* --- going on from a checkpoint ------------------------------------------------------------- */
/* Saved after any piece of work and loaded into a new trainer, the rest is the same bits. */
static void goes_on_the_same(const char *text)
{
	char path[] = "/tmp/pruners-XXXXXX", why[512];
	struct metrics m = { 0 };
	struct rig all;
	int fd = mkstemp(path), pieces = 0;

	cr_assert(fd >= 0);
	close(fd);
	cr_assert(rig_open(&all, text, 1), "%s", all.why);
	while (rig_next(&all, &m) == REIN_OK)
		pieces++;
	for (int stop = 1; stop < pieces; stop++) {
		struct rig a, b;
		cr_assert(rig_open(&a, text, 1) && rig_open(&b, text, 1));
		for (int i = 0; i < stop; i++)
			cr_assert_eq(rig_next(&a, &m), REIN_OK, "%s", a.why);
		cr_assert(trainer_save(a.t, path, why, sizeof why), "%s", why);
		cr_assert(trainer_load(b.t, path, why, sizeof why), "%s", why);
		cr_assert(rig_run(&b, &m), "%s", b.why);
		cr_expect(rig_same(&all, &b), "stopped after piece %d of %d of\n%s", stop, pieces, text);
		rig_close(&a);
		rig_close(&b);
	}
	metrics_finish(&m);
	rig_close(&all);
	unlink(path);
}

Test(pruners, a_run_stopped_anywhere_goes_on_to_the_same_bits)
{
	goes_on_the_same(
		"[run]\nconfig = 1\nbatch = 16\n" BLOBS MLP "[optimizer]\no = adam lr=0.01\n"
		"[pruners]\nsmall = taylor amount=0.6 on=*.weight\n[regularizers]\nmean = ema decay=0.9\n"
		"[stages]\nfit = train epochs=4 prune=small schedule=cubic unit=updates begin=2 end=13 frequency=3 "
		"batches=2\nmore = train epochs=1\n");
	goes_on_the_same(TICKET("adam lr=0.01", "fit = train epochs=2\ncut = prune with=small\nback = rewind epoch=1\n"
	                                        "tune = train epochs=2\nmore = repeat from=cut times=1\n"));
}

/* --- slimming ------------------------------------------------------------------------------- */
Test(pruners, slimming_takes_shifts_with_scales_and_nothing_else)
{
	struct rig r;
	struct metrics m = { 0 };
	int64_t n;
	cr_assert(rig_open(&r,
	                   "[run]\nconfig = 1\nbatch = 16\n" BLOBS
	                   "[network]\nfc1 = linear units=12\nbn1 = batchnorm\nact = relu\nfc2 = linear units=8\nbn2 = "
	                   "batchnorm\nout = linear units=3\n[loss]\nce = cross_entropy\n" SGD
	                   "[pruners]\nslim = slimming amount=6\n[stages]\nfit = train epochs=2\ncut = prune with=slim\n"
	                   "tune = train epochs=2\n",
	                   1),
	          "%s", r.why);
	cr_assert(rig_run(&r, &m), "%s", r.why);
	uint8_t *a = mask_of(&r, "bn1.weight", &n), *b = mask_of(&r, "bn1.bias", &n);
	uint8_t *c = mask_of(&r, "bn2.weight", &n), *d = mask_of(&r, "bn2.bias", &n);
	int gone = 0;
	for (int i = 0; i < 12; i++)
		gone += !a[i];
	for (int i = 0; i < 8; i++)
		gone += !c[i];
	cr_expect_eq(gone, 6);
	cr_expect_arr_eq(a, b, 12);
	cr_expect_arr_eq(c, d, 8);
	cr_expect_null(mask_of(&r, "fc1.weight", &n));
	float *shift = rig_state(&r, "bn1.bias");
	for (int i = 0; i < 12; i++)
		cr_expect((shift[i] == 0) == !a[i], "shift %d is %g where the mask says %d", i, (double)shift[i], a[i]);
	free(a), free(b), free(c), free(d), free(shift);
	metrics_finish(&m);
	rig_close(&r);
}

/* --- random ------------------------------------------------------------------------------- */
#define RANDOM(seed, amount)                                                                                       \
	"[run]\nconfig = 1\nseed = " seed "\n" BLOBS MLP SGD "[pruners]\nlot = random amount=" amount " on=*.weight\n" \
	"[stages]\ncut = prune with=lot\nagain = prune with=lot\n"

Test(pruners, random_takes_its_share_and_another_for_another_seed)
{
	static const char *const text[] = { RANDOM("1", "0.5"), RANDOM("1", "0.5"), RANDOM("2", "0.5") };
	uint8_t *mask[3];
	int64_t n = 0, row[12] = { 0 };
	for (int i = 0; i < 3; i++) {
		struct rig r;
		struct metrics m = { 0 };
		cr_assert(rig_open(&r, text[i], 1), "%s", r.why);
		cr_assert_eq(rig_next(&r, &m), REIN_OK, "%s", r.why);
		cr_expect_eq(metrics_get(&m, "nonzero.fc1.weight"), 48);
		cr_expect_eq(metrics_get(&m, "nonzero.out.weight"), 12);
		mask[i] = mask_of(&r, "fc1.weight", &n);
		cr_assert_eq(n, 96);
		cr_assert_eq(rig_next(&r, &m), REIN_OK, "%s", r.why);
		cr_expect_eq(metrics_get(&m, "nonzero.fc1.weight"), 24, "half of what was left");
		metrics_finish(&m);
		rig_close(&r);
	}
	cr_expect_arr_eq(mask[0], mask[1], 96);
	cr_expect_arr_neq(mask[0], mask[2], 96);
	for (int i = 0; i < 96; i++)
		row[i / 8] += mask[0][i];
	int even = 0;
	for (int i = 0; i < 12; i++)
		even += row[i] == 4;
	cr_expect(even < 12, "a lot does not fall evenly on all rows");
	for (int i = 0; i < 3; i++)
		free(mask[i]);
}

Test(pruners, random_draws_from_all_together)
{
	struct rig r;
	struct metrics m = { 0 };
	cr_assert(rig_open(&r,
	                   "[run]\nconfig = 1\n" BLOBS MLP SGD "[pruners]\nlot = random amount=50 global=yes on=*.weight\n"
	                   "[stages]\ncut = prune with=lot\n",
	                   1),
	          "%s", r.why);
	cr_assert_eq(rig_next(&r, &m), REIN_OK, "%s", r.why);
	double left = metrics_get(&m, "nonzero.fc1.weight") + metrics_get(&m, "nonzero.fc2.weight") +
	              metrics_get(&m, "nonzero.out.weight");
	cr_expect_eq(left, 96 + 96 + 24 - 50);
	metrics_finish(&m);
	rig_close(&r);
}

/* --- refused ------------------------------------------------------------------------------ */
Test(pruners, what_cannot_be_is_refused_before_anything_runs)
{
	static const struct {
		const char *spec, *expected;
	} cases[] = {
		{ "magnitude on=conv*", "on=conv* matches no parameter; there are: fc1.weight, fc1.bias, fc2.weight" },
		{ "threshold on=conv*", "on=conv* matches no parameter; there are: fc1.weight, fc1.bias, fc2.weight" },
		{ "magnitude amount=0.99 on=*.weight",
		  "stage 'cut' would remove the whole of 'out.weight'; there are, with what each has left: fc1.weight (96), "
		  "fc2.weight (96), out.weight (24)" },
		{ "magnitude amount=96 on=fc2.*", "would remove the whole of 'fc2.weight'" },
		{ "random amount=24 on=out.weight", "would remove the whole of 'out.weight'" },
		{ "magnitude amount=216 global=yes on=*.weight", "would remove the whole of 'fc1.weight'" },
		{ "ln_structured amount=12 on=fc1.weight", "would remove the whole of 'fc1.weight'" },
		{ "ln_structured amount=0.9 on=out.weight", "would remove the whole of 'out.weight'" },
		{ "magnitude amount=1.5", "an amount of 1.5 is neither a share below 1 nor a whole number" },
		{ "magnitude amount=-0.1", "amount=-0.1 is outside" },
		{ "ln_structured on=*.bias", "on=*.bias: nothing there that 'ln_structured' prunes; there are: fc1.weight" },
		{ "magnitude on=fc1.weight,fc9.weight,out.*",
		  "on=fc1.weight,fc9.weight,out.*: there is no parameter 'fc9.weight'; there are: fc1.weight, fc1.bias" },
		{ "ln_structured amount=1 dim=2 on=*.weight", "dim=2: 'fc1.weight' has 2 axes" },
		{ "two_four on=*.weight m=5", "'fc1.weight' has 8 inputs, which m=5 does not divide" },
		{ "two_four on=fc1.bias", "on=fc1.bias: nothing there that 'two_four' prunes" },
		{ "two_four n=5", "n=5 is more than m=4" },
		{ "slimming on=fc*",
		  "on=fc*: nothing there that 'slimming' prunes; there are: fc1.weight, fc1.bias, fc2.weight" },
		{ "taylor on=conv*", "on=conv* matches no parameter; there are: fc1.weight, fc1.bias, fc2.weight" },
		{ "taylor amount=0.99 on=*.weight", "would remove the whole of 'out.weight'" },
		{ "taylor structured=yes on=out.bias", "on=out.bias: nothing there that 'taylor' prunes" },
		{ "taylor amount=12 structured=yes on=fc1.weight", "would remove the whole of 'fc1.weight'" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct rig r;
		char text[1024];
		snprintf(text, sizeof text, "[run]\nconfig = 1\n%s[pruners]\nsmall = %s\n[stages]\ncut = prune with=small\n",
		         BLOBS MLP SGD, cases[i].spec);
		cr_expect_not(rig_open(&r, text, 1), "%s", cases[i].spec);
		cr_expect(strstr(r.why, cases[i].expected), "%s: %s", cases[i].spec, r.why);
		cr_expect_null(strstr(r.why, "operand is missing"), "%s: one error is enough: %s", cases[i].spec, r.why);
		rig_close(&r);
	}
}

Test(pruners, stages_that_cannot_be_are_refused)
{
	static const struct {
		const char *stage, *expected;
	} cases[] = {
		{ "fit = train prune=big", "there is no 'big' in [pruners]; there are: small, edge, all, some" },
		{ "fit = train schedule=cubic", "schedule= is about pruning: prune=NAME, an entry of [pruners], is missing" },
		{ "fit = train prune=small schedule=cubik", "did you mean 'cubic'?" },
		{ "fit = train prune=small schedule=sigmoid", "it takes: one_shot, linear, cubic, inverse_cubic, repeated" },
		{ "fit = train prune=small unit=steps", "it takes: epochs, updates" },
		{ "fit = train prune=small initial=1.5", "initial=1.5 is no share from 0 to below 1" },
		{ "fit = train epochs=3 prune=small schedule=linear initial=0.9",
		  "fit: initial=0.9 is more than the share that 'small' ends with" },
		{ "fit = train prune=small frequency=0", "frequency=0 is not a whole number of at least 1" },
		{ "fit = train epochs=3 prune=small begin=2 end=1", "from update 8 to 4 of 12" },
		{ "fit = train epochs=3 prune=small end=4", "to 16 of 12 (3 epochs of 4 updates)" },
		{ "fit = train prune=small schedule=one_shot end=1", "one_shot prunes once" },
		{ "fit = train prune=small schedule=repeated initial=0.1", "initial= is for schedules that grow" },
		{ "fit = train epochs=3 prune=edge schedule=cubic",
		  "no amount that could grow; schedule= is one_shot or repeated" },
		{ "fit = train epochs=3 prune=all", "stage 'fit' would remove the whole of 'out.weight'" },
		{ "a = prune with=some\nb = prune with=some", "stage 'b' would remove the whole of 'out.weight'" },
		{ "fit = train epochs=3 prune=some schedule=repeated", "stage 'fit' would remove the whole of 'out.weight'" },
		{ "a = prune with=some\nfit = train epochs=2 prune=some schedule=one_shot", "stage 'fit' would remove" },
		{ "back = rewind", "the stages above it train for 0 epochs" },
		{ "fit = train epochs=2\nback = rewind epoch=2", "the stages above it train for 2 epochs" },
		{ "more = repeat from=fit times=2", "from=fit names no stage above it" },
		{ "fit = train\nmore = repeat from=fit", "times=N is missing" },
		{ "fit = train\nmore = repeat times=2", "from=STAGE is missing" },
		{ "fit = train\nmore = repeat from=fit times=20000", "more than 10000 stages" },
		{ "fit = train\nmore = repeat from=fit times=1\nfit.2 = train", "a repeat stage has made one of that name" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct rig r;
		char text[1024];
		snprintf(text, sizeof text,
		         "[run]\nconfig = 1\nbatch = 16\n%s[pruners]\nsmall = magnitude on=*.weight\nedge = threshold\n"
		         "all = magnitude amount=0.99 on=out.weight\nsome = random amount=13 on=out.weight\n[stages]\n%s\n",
		         BLOBS MLP SGD, cases[i].stage);
		cr_expect_not(rig_open(&r, text, 1), "%s", cases[i].stage);
		cr_expect(strstr(r.why, cases[i].expected), "%s: %s", cases[i].stage, r.why);
		rig_close(&r);
	}
}

/* What depends on the weights is known when the masks are. */
Test(pruners, a_weight_that_would_go_altogether_stops_the_run)
{
	static const char *const spec[] = { "threshold value=100", "magnitude amount=215 global=yes on=*.weight" };
	for (size_t i = 0; i < sizeof spec / sizeof *spec; i++) {
		struct rig r;
		struct metrics m = { 0 };
		char text[1024];
		snprintf(text, sizeof text, "[run]\nconfig = 1\n%s[pruners]\nsmall = %s\n[stages]\ncut = prune with=small\n",
		         BLOBS MLP SGD, spec[i]);
		cr_assert(rig_open(&r, text, 1), "%s", r.why);
		cr_expect(rig_next(&r, &m) < 0);
		cr_expect(strstr(r.why, "stage 'cut' would remove the whole of '"), "%s: %s", spec[i], r.why);
		metrics_finish(&m);
		rig_close(&r);
	}
}

/* Course 004: biases may all go, and what a share leaves of them rounds as it does. */
Test(pruners, biases_may_go_altogether)
{
	struct rig r;
	struct metrics m = { 0 };
	cr_assert(rig_open(&r,
	                   "[run]\nconfig = 1\n" BLOBS MLP SGD
	                   "[pruners]\nsmall = magnitude amount=8 on=*.bias\n[stages]\ncut = prune with=small\n",
	                   1),
	          "%s", r.why);
	cr_assert_eq(rig_next(&r, &m), REIN_OK, "%s", r.why);
	cr_expect_eq(metrics_get(&m, "nonzero.fc1.bias"), 4);
	cr_expect_eq(metrics_get(&m, "nonzero.fc2.bias"), 0);
	cr_expect_eq(metrics_get(&m, "nonzero.out.bias"), 0);
	metrics_finish(&m);
	rig_close(&r);
}
