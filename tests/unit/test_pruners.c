/* SPDX-License-Identifier: MIT
 *
 * test_pruners.c: the law of pruning under configs drawn by lot, what random draws, what is
 * refused. That the masks are PyTorch's is tested in tests/golden.
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
	switch (lot(6)) {
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

static void draw_config(char *text, size_t size)
{
	static const char *const extra[] = { "", "[regularizers]\npull = l2 lambda=0.01\n",
		                                 "[regularizers]\nnoise = weight_noise variance=0.002\n",
		                                 "[regularizers]\nclip = clip_norm max=0.5\nmean = ema decay=0.9\n",
		                                 "[regularizers]\nsharp = sam rho=0.05\n" };
	char optimizer[160], first[160], second[160];
	draw_optimizer(optimizer, sizeof optimizer);
	draw_pruner(first, sizeof first);
	draw_pruner(second, sizeof second);
	snprintf(text, size,
	         "[run]\nconfig = 1\nseed = %u\nbatch = 16\n%s[optimizer]\no = %s\n%s"
	         "[pruners]\na = %s\nb = %s\n"
	         "[stages]\ns0 = train epochs=1\ns1 = prune with=a\ns2 = train epochs=2\n"
	         "s3 = prune with=b\ns4 = train epochs=1\ns5 = prune with=a\ns6 = train epochs=1\n",
	         1 + lot(1000), BLOBS MLP, optimizer, extra[lot(5)], first, second);
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
		{ "ln_structured amount=1", "'fc1.bias' has no slices" },
		{ "ln_structured amount=1 dim=2 on=*.weight", "dim=2: 'fc1.weight' has 2 axes" },
		{ "two_four on=*.weight m=5", "'fc1.weight' has 8 inputs, which m=5 does not divide" },
		{ "two_four", "'fc1.bias' has no inputs to group along" },
		{ "two_four n=5", "n=5 is more than m=4" },
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
