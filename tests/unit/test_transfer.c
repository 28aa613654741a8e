/* SPDX-License-Identifier: MIT
 *
 * test_transfer.c: weights of another run's file: which of them, under which names, and what is
 * said of those that do not fit; parameters that do not train.
 */
#include <criterion/criterion.h>

#include "checkpoint.h"
#include "trainer_rig.h"

#define DATA \
	"[data]\ntrain = blobs samples=60 features=4 classes=3\nval = blobs samples=30 features=4 classes=3 seed=2\n"
#define TAIL    "[loss]\nce = cross_entropy\n[optimizer]\nsgd = sgd lr=0.1\n"
#define BODY    "[network]\nbody = linear units=5\nact = relu\nhead = linear units=3\n"
#define RENAMED "[network]\ntrunk = linear units=5\nact = relu\ntop = linear units=4\n"

static char file[] = "/tmp/transfer-XXXXXX";

/* A network trained for an epoch, into `file`; its first weight of the body. */
static float trained(void)
{
	struct metrics m = { 0 };
	char why[512];
	struct rig r;
	int fd = mkstemp(file);
	cr_assert(fd >= 0);
	close(fd);
	cr_assert(rig_open(&r, "[run]\nconfig = 1\n" DATA BODY TAIL, 1), "%s", r.why);
	cr_assert(rig_run(&r, &m));
	cr_assert(trainer_save_model(r.t, file, why, sizeof why), "%s", why);
	float w = rig_at(&r, "body.weight", 0);
	metrics_finish(&m);
	rig_close(&r);
	return w;
}

static bool with(struct rig *r, const char *run, const char *network)
{
	char text[2048];
	snprintf(text, sizeof text, "[run]\nconfig = 1\nepochs = 2\nweights = %s\n%s" DATA "%s" TAIL, file, run, network);
	return rig_open(r, text, 1);
}

static void refused(const char *run, const char *network, const char *why)
{
	struct rig r;
	cr_expect_not(with(&r, run, network), "%s was taken", run);
	cr_expect(strstr(r.why, why), "%s: %s", run, r.why);
	rig_close(&r);
}

Test(transfer, some_weights_under_other_names)
{
	float w = trained();
	struct rig r, fresh;
	cr_assert(with(&r, "weights_on = trunk.*\nweights_map = trunk=body\n", RENAMED), "%s", r.why);
	cr_assert(rig_open(&fresh, "[run]\nconfig = 1\n" DATA RENAMED TAIL, 1), "%s", fresh.why);
	cr_expect_eq(rig_at(&r, "trunk.weight", 0), w);
	cr_expect_neq(rig_at(&fresh, "trunk.weight", 0), w);
	cr_expect_eq(rig_at(&r, "top.weight", 0), rig_at(&fresh, "top.weight", 0), "the head is not as it starts");
	rig_close(&r);
	rig_close(&fresh);
	unlink(file);
}

/* The file says what its network's inputs were normalized with. */
Test(transfer, another_normalization_is_told)
{
	static const struct {
		const char *transforms, *told;
	} here[] = {
		{ "[transforms]\nscale = normalize mean=0.5 std=0.25\n", NULL },
		{ "[transforms]\nscale = normalize mean=0.5,0.5,0.5,0.5 std=0.25\n", NULL }, /* one for each feature */
		{ "[transforms]\nscale = normalize mean=0.5 std=0.5\n",
		  "normalized with mean=0.5 std=0.25; here they are normalized with mean=0.5 std=0.5" },
		{ "", "normalized with mean=0.5 std=0.25; here they are taken as they are" },
	};
	char text[2048], why[512];
	struct rig r;
	close(mkstemp(file));
	snprintf(text, sizeof text, "[run]\nconfig = 1\n" DATA BODY TAIL "%s", here[0].transforms);
	cr_assert(rig_open(&r, text, 1), "%s", r.why);
	cr_assert(trainer_save_model(r.t, file, why, sizeof why), "%s", why);
	rig_close(&r);
	for (size_t i = 0; i < 2 * (sizeof here / sizeof *here); i++) {
		const char *told = here[i / 2].told, *some = i % 2 ? "weights_on = body.*\n" : "";
		snprintf(text, sizeof text, "[run]\nconfig = 1\nweights = %s\n%s" DATA BODY TAIL "%s", file, some,
		         here[i / 2].transforms);
		cr_assert(rig_open(&r, text, 1), "%s", r.why);
		cr_expect(told ? strstr(r.why, told) != NULL : !*r.why, "%s", r.why);
		rig_close(&r);
	}
	unlink(file);
}

Test(transfer, what_does_not_fit_is_named)
{
	trained();
	refused("", RENAMED, "there is no tensor 'trunk.weight'");
	refused("weights_map = trunk=body,top=head\n", RENAMED,
	        "tensor 'head.weight' is real (3, 5), the network's 'top.weight' real (4, 5)");
	refused("weights_on = trunk.*,tail.*\n", RENAMED, "'tail.*' matches no parameter");
	refused("weights_map = stem=body\n", RENAMED, "weights_map: 'stem=body'");
	refused("weights_on = trunk.*\nweights_map = top=head\n", RENAMED, "weights_map: 'top=head'");
	refused("freeze = trunk\n", "[network]\nbody = linear units=5\nact = relu\nhead = linear units=3\n",
	        "freeze: 'trunk' matches no parameter");
	unlink(file);
}

Test(transfer, frozen_parameters_stay)
{
	struct metrics m = { 0 };
	float w = trained();
	struct rig r;
	cr_assert(with(&r, "freeze = body.*\n", BODY), "%s", r.why);
	float head = rig_at(&r, "head.bias", 0);
	cr_assert(rig_run(&r, &m), "%s", r.why);
	cr_expect_eq(rig_at(&r, "body.weight", 0), w);
	cr_expect_neq(rig_at(&r, "head.bias", 0), head);
	metrics_finish(&m);
	rig_close(&r);
	unlink(file);
}
