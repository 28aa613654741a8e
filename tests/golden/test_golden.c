/* SPDX-License-Identifier: MIT
 *
 * test_golden.c: every config in cases/ is trained and held to what PyTorch computed for it, to
 * 1e-5 relative and 1e-6 absolute: the loss of each step, the gradients of the first, the final
 * parameters and averages; the masks of pruners bit for bit. make_fixtures.py, make_layers.py and
 * make_prune.py make the cases; a new one needs no line here.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "lab.h"

#define RTOL 1e-5
#define ATOL 1e-6

static char folder[4096];

static int is_config(const struct dirent *d)
{
	size_t n = strlen(d->d_name);
	return n > 4 && !strcmp(d->d_name + n - 4, ".ini");
}

/* The state that holds what a tensor of the fixture expects. */
static void state_name(const char *expected, char *out, size_t size)
{
	if (!strncmp(expected, "grad.", 5))
		snprintf(out, size, "probe.%s.gradient", expected + 5);
	else if (!strncmp(expected, "final.", 6))
		snprintf(out, size, "%s", expected + 6);
	else if (!strncmp(expected, "state.", 6))
		snprintf(out, size, "%s", expected + 6);
	else
		snprintf(out, size, "probe.%s", expected);
}

/* mask.<param>: 1 where a weight stays; count.<param>: how many stay. */
static void compare_mask(struct lab *l, const char *name, const struct st_tensor *want)
{
	bool whole = !strncmp(want->name, "mask.", 5);
	const char *param = strchr(want->name, '.') + 1;
	int64_t count = 0, n = want->bytes / (int64_t)sizeof(float), differ = 0, kept = 0;
	uint8_t *have = lab_mask(l, param, &count);
	cr_expect(have && (!whole || count == n), "%s: %s has no mask of %d elements", name, param, (int)n);
	for (int64_t i = 0; have && i < count; i++) {
		kept += have[i];
		differ += whole && i < n && have[i] != (((const float *)want->data)[i] == 1.0F);
	}
	if (whole)
		cr_expect(differ == 0, "%s: %s: %d of %d differ", name, want->name, (int)differ, (int)n);
	else if (have)
		cr_expect_eq(kept, (int64_t)((const float *)want->data)[0], "%s: %s: %d", name, want->name, (int)kept);
	free(have);
}

static void compare(struct lab *l, const char *name, const struct st_tensor *want)
{
	char state[256];
	int64_t count = 0, n = want->bytes / (int64_t)sizeof(float);
	double worst;
	state_name(want->name, state, sizeof state);
	float *have = lab_state(l, state, &count);
	cr_expect(have && count >= n, "%s: there is no state %s of %d elements", name, state, (int)n);
	if (have && count >= n) {
		int64_t bad = lab_differ(have, want->data, n, RTOL, ATOL, &worst);
		cr_expect(bad == 0, "%s: %s: %d of %d elements differ, by up to %g beyond the tolerance", name, want->name,
		          (int)bad, (int)n, worst);
	}
	free(have);
}

/* Their ops are C functions, which other backends refuse. */
static const char *const cpu_only[] = { "layer_outside" };

static bool is_refused(const char *name, bool good, const char *messages)
{
	bool listed = false;
	for (size_t i = 0; getenv("REIN_TEST_BACKEND") && i < sizeof cpu_only / sizeof *cpu_only; i++)
		listed |= !strcmp(name, cpu_only[i]);
	if (listed)
		cr_expect(!good && strstr(messages, "cannot run op 'custom', a function in C"), "%s: %s", name, messages);
	return listed;
}

static void run_case(const char *file, uint32_t flags)
{
	char path[4400], name[256], why[512] = "";
	struct lab l;
	snprintf(name, sizeof name, "%.*s", (int)strlen(file) - 4, file);
	snprintf(path, sizeof path, "%s/%s.safetensors", folder, name);
	struct st_file *want = st_open(path, why, sizeof why);
	cr_assert(want, "%s", why);
	snprintf(path, sizeof path, "%s/%s", folder, file);
	bool good = lab_open(&l, path, NULL, flags);
	if (is_refused(name, good, l.messages)) {
		lab_close(&l);
		st_close(want);
		return;
	}
	cr_expect(good, "%s: refused: %s", name, l.messages);
	for (int i = 0; good && i < want->n; i++) {
		const struct st_tensor *t = &want->tensor[i];
		if (!strncmp(t->name, "set.", 4))
			cr_expect(lab_set(&l, t->name + 4, t->data, t->bytes / 4), "%s: no state %s", name, t->name + 4);
	}
	good = good && lab_run(&l, NULL);
	cr_expect(good, "%s: did not train", name);
	for (int i = 0; good && i < want->n; i++) {
		const struct st_tensor *t = &want->tensor[i];
		if (!strncmp(t->name, "mask.", 5) || !strncmp(t->name, "count.", 6))
			compare_mask(&l, name, t);
		else if (strncmp(t->name, "set.", 4))
			compare(&l, name, t);
	}
	lab_close(&l);
	st_close(want);
}

static void run_all(uint32_t flags)
{
	struct dirent **list;
	const char *source = getenv("REIN_SOURCE"), *only = getenv("GOLDEN_CASE");
	cr_assert(source, "REIN_SOURCE is not set");
	snprintf(folder, sizeof folder, "%s/tests/golden/cases", source);
	int n = scandir(folder, &list, is_config, alphasort);
	cr_assert(n >= 110, "only %d cases in %s", n, folder);
	for (int i = 0; i < n; i++) {
		if (!only || strstr(list[i]->d_name, only))
			run_case(list[i]->d_name, flags);
		free(list[i]);
	}
	free(list);
}

Test(golden, every_case_agrees_with_pytorch) { run_all(0); }

Test(golden, every_case_agrees_on_the_reference_kernels) { run_all(REIN_NAIVE); }
