/* SPDX-License-Identifier: MIT
 *
 * test_no_memory.c: the shipped datasets where the host's memory ends after 0, 1, 2 ...
 * allocations: each says so, and gives back what it had (which the sanitized build sees).
 */
#include <criterion/criterion.h>

#include "../fuzz/fuzz.h"
#include "component.h"

static void run_out(const char *name, int n, const char *const (*text)[2])
{
	struct registry *r = registry_create(0, NULL);
	const struct component *c = registry_find(r, REIN_DATASET, name);
	long limit = 0;
	bool enough = false;
	cr_assert(c, "no dataset '%s'", name);
	while (!enough && limit < 10000) {
		void *self = fuzz_self(&c->c);
		struct rein_ints three = { 3, (const int64_t[]){ 1, 2, 3 } };
		if (!strcmp(name, "random"))
			*(struct rein_ints *)fuzz_field(self, &c->c, "shape") = three;
		for (int i = 0; i < n; i++)
			*(const char **)fuzz_field(self, &c->c, text[i][0]) = text[i][1];
		fuzz_allocations = limit++;
		fuzz_dataset(&c->c, self);
		enough = fuzz_allocations > 0; /* some was left */
	}
	cr_assert(enough, "'%s' is never content", name);
	fuzz_allocations = -1;
	registry_destroy(r);
}

static const char *fixture(const char *name)
{
	static char path[4][4096];
	static int k;
	snprintf(path[++k % 4], sizeof path[0], "%s/tests/fixtures/data/%s", getenv("REIN_SOURCE"), name);
	return path[k % 4];
}

Test(no_memory, datasets)
{
	static const char *const made[] = { "linear_system", "noisy_line", "blobs", "moons", "points", "shapes", "random" };
	const char *const idx[][2] = { { "images", fixture("idx/images.gz") }, { "labels", fixture("idx/labels") } };
	const char *const csv[][2] = { { "file", fixture("csv/header.csv") }, { "label", "2" } };
	const char *const folder[][2] = { { "path", fixture("kinds") } };
	run_out("idx", 2, idx);
	run_out("csv", 2, csv);
	run_out("image_folder", 1, folder);
	for (size_t i = 0; i < sizeof made / sizeof *made; i++)
		run_out(made[i], 0, NULL);
}
