/* SPDX-License-Identifier: MIT
 *
 * test_trainer_alloc.c: an epoch allocates nothing for its steps: what it allocates for its
 * report is the same for 5 steps and for 180, evaluation batches included.
 */
#include "../support/alloc_count.h"

#include <criterion/criterion.h>

#include "trainer_rig.h"

static int second_epoch(const char *batch, const char *eval_batch, uint32_t threads)
{
	struct metrics m = { 0 };
	char text[1024];
	struct rig r;

	snprintf(text, sizeof text,
	         "[run]\nconfig = 1\nepochs = 3\nbatch = %s\neval_batch = %s\n[data]\n"
	         "train = blobs samples=180 classes=3 features=4\nval = blobs samples=90 classes=3 features=4\n"
	         "[network]\nfc1 = linear units=16\nact = relu\ndrop = dropout p=0.2\nout = linear units=3\n"
	         "[loss]\nce = cross_entropy\n[optimizer]\nadam = adam lr=0.01\n[schedules]\ndecay = cosine\n"
	         "[regularizers]\nlasso = l1 lambda=0.001\nmean = ema decay=0.9\n",
	         batch, eval_batch);
	cr_assert(rig_open(&r, text, threads), "%s", r.why);
	cr_assert_eq(rig_next(&r, &m), REIN_OK, "%s", r.why);
	metrics_finish(&m);
	alloc_counted = 0;
	alloc_counting = 1;
	rein_status status = trainer_next(r.t, &m, r.diag);
	alloc_counting = 0;
	cr_assert_eq(status, REIN_OK);
	int n = alloc_counted;
	metrics_finish(&m);
	rig_close(&r);
	return n;
}

Test(trainer_alloc, steps_allocate_nothing)
{
#ifdef ALLOC_SANITIZED
	cr_skip_test("allocation functions are the sanitizer's");
#endif
	int few = second_epoch("36", "90", 1);
	cr_expect_lt(few, 200, "%d for a report", few);
	cr_expect_gt(few, 0, "the report's list of numbers grows, or nothing was counted");
	cr_expect_eq(second_epoch("1", "1", 1), few);
	cr_expect_eq(second_epoch("7", "7", 2), few, "remainders, two threads");
}
