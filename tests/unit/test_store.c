/* SPDX-License-Identifier: MIT
 *
 * States: declared once, refused when asked for in another shape, initial values that
 * depend on seed and name alone (or follow PyTorch's stream), host and device copies.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "../support/rig.h"

static struct state *declare(struct rig *r, const char *name, int64_t a, int64_t b, uint32_t kind, double x, double y)
{
	struct rein_init init = { .struct_size = sizeof init, .kind = kind, .a = x, .b = y };
	const char *why = NULL;
	struct state *t = store_declare(r->store, name, STATE_PARAM, REIN_REAL_T, 2, (int64_t[]){ a, b }, &init, &why);
	cr_assert(t != NULL, "%s", why);
	return t;
}

Test(store, declares_once)
{
	struct rig *r = rig_create(0, 1, 4);
	const char *why = NULL;
	struct state *a = declare(r, "fc1.weight", 3, 4, REIN_INIT_ZEROS, 0, 0);
	cr_assert_eq(a, declare(r, "fc1.weight", 3, 4, REIN_INIT_ZEROS, 0, 0));
	cr_assert_eq(a, store_find(r->store, "fc1.weight"));
	cr_assert_null(store_find(r->store, "fc1"));
	cr_assert_eq(store_index(r->store, a), 0);
	cr_assert_null(store_declare(r->store, "fc1.weight", STATE_PARAM, REIN_REAL_T, 2, (int64_t[]){ 4, 3 }, NULL, &why));
	cr_assert_str_eq(why, "state 'fc1.weight' is real (4,3) here but real (3,4) where it was first asked for");
	cr_assert_null(store_declare(r->store, "fc1.weight", STATE_PARAM, REIN_I32_T, 2, (int64_t[]){ 3, 4 }, NULL, &why));
	cr_assert_null(store_declare(r->store, "x", STATE_PARAM, REIN_REAL_T, 1, (int64_t[]){ 0 }, NULL, &why));
	cr_assert_str_eq(why, "state 'x' cannot have the shape real (0)");
	cr_assert_null(store_declare(r->store, "x", STATE_PARAM, REIN_REAL_T, 3,
	                             (int64_t[]){ (int64_t)1 << 40, (int64_t)1 << 40, (int64_t)1 << 40 }, NULL, &why));
	cr_assert_null(store_declare(r->store, "x", STATE_PARAM, 9, 0, NULL, NULL, &why));
	cr_assert_eq(r->store->n, 1);
	rig_destroy(r);
	store_destroy(NULL);
}

static void values(struct rig *r, uint64_t seed, int rng, const char *before, double *out)
{
	store_destroy(r->store);
	r->store = store_create(r->backend, seed, rng);
	if (before)
		declare(r, before, 7, 3, REIN_INIT_UNIFORM, 0, 1);
	struct state *t = declare(r, "w", 40, 50, REIN_INIT_NORMAL, 2, 3);
	cr_assert_geq(store_allocate(r->store), 0);
	cr_assert_eq((uintptr_t)t->mem % 64, 0);
	rig_get(r, t, out);
}

Test(store, random_values_depend_on_seed_and_name_alone)
{
	static double a[2000], b[2000];
	struct rig *r = rig_create(0, 1, 4);
	double mean = 0, var = 0;
	values(r, 1, RNG_PHILOX, NULL, a);
	for (int i = 0; i < 2000; i++)
		mean += a[i] / 2000;
	for (int i = 0; i < 2000; i++)
		var += (a[i] - mean) * (a[i] - mean) / 2000;
	cr_assert_float_eq(mean, 2, 0.25);
	cr_assert_float_eq(sqrt(var), 3, 0.2);
	values(r, 1, RNG_PHILOX, "other", b);
	cr_assert_arr_eq(a, b, sizeof a, "another state before it changes nothing");
	values(r, 2, RNG_PHILOX, NULL, b);
	cr_assert_arr_neq(a, b, sizeof a);
	/* PyTorch's stream is one sequence */
	values(r, 1, RNG_TORCH, NULL, a);
	values(r, 1, RNG_TORCH, "other", b);
	cr_assert_arr_neq(a, b, sizeof a);
	rig_destroy(r);
}

/* torch.manual_seed(2021); nn.Linear(20, 20) */
Test(store, torch_order)
{
	static double w[400], b[20];
	struct rig *r = rig_create(0, 1, 4);
	double bound = 1 / sqrt(20), l1 = 0;
	store_destroy(r->store);
	r->store = store_create(r->backend, 2021, RNG_TORCH);
	struct state *weight = declare(r, "fc.weight", 20, 20, REIN_INIT_UNIFORM, -bound, bound);
	struct state *bias = declare(r, "fc.bias", 1, 20, REIN_INIT_UNIFORM, -bound, bound);
	cr_assert_geq(store_allocate(r->store), 0);
	rig_get(r, weight, w);
	rig_get(r, bias, b);
	for (int i = 0; i < 400; i++)
		l1 += fabs(w[i]);
	for (int i = 0; i < 20; i++)
		l1 += fabs(b[i]);
	cr_assert_float_eq(l1, 48.44513626396656, 2e-6);
	rig_destroy(r);
}

static void is_orthogonal(struct rig *r, int64_t rows, int64_t cols)
{
	static double w[4096];
	char name[32];
	snprintf(name, sizeof name, "o%dx%d", (int)rows, (int)cols);
	struct state *t = declare(r, name, rows, cols, REIN_INIT_ORTHOGONAL, 2, 0);
	cr_assert_geq(store_allocate(r->store), 0);
	rig_get(r, t, w);
	bool wide = rows < cols;
	int64_t n = wide ? rows : cols, len = wide ? cols : rows;
	for (int64_t i = 0; i < n; i++) {
		for (int64_t j = 0; j < n; j++) {
			double dot = 0;
			for (int64_t k = 0; k < len; k++)
				dot += (wide ? w[i * cols + k] * w[j * cols + k] : w[k * cols + i] * w[k * cols + j]);
			cr_assert_float_eq(dot, i == j ? 4 : 0, 1e-5, "%d x %d: %g", (int)rows, (int)cols, dot);
		}
	}
}

Test(store, initial_kinds)
{
	static double v[64];
	for (uint32_t size = 4; size <= 8; size += 4) {
		struct rig *r = rig_create(0, 1, size);
		rig_get(
			r, (declare(r, "c", 8, 8, REIN_INIT_CONSTANT, 0.1, 0), store_allocate(r->store), store_find(r->store, "c")),
			v);
		for (int i = 0; i < 64; i++)
			cr_assert_eq(v[i], size == 4 ? (double)0.1f : 0.1);
		is_orthogonal(r, 12, 5);
		is_orthogonal(r, 5, 12);
		is_orthogonal(r, 7, 7);
		struct rein_init three = { .struct_size = sizeof three, .kind = REIN_INIT_CONSTANT, .a = 3 };
		const char *why;
		struct state *n = store_declare(r->store, "n", STATE_COUNTER, REIN_I32_T, 0, NULL, &three, &why);
		struct state *b = store_declare(r->store, "b", STATE_SLOT, REIN_BOOL_T, 1, (int64_t[]){ 5 }, &three, &why);
		struct state *x = store_declare(r->store, "x", STATE_COUNTER, REIN_WIDE_T, 0, NULL, &three, &why);
		struct rein_init value = { .struct_size = sizeof value, .kind = REIN_INIT_VALUE };
		struct state *later = store_declare(r->store, "later", STATE_PARAM, REIN_REAL_T, 0, NULL, &value, &why);
		cr_assert_geq(store_allocate(r->store), 0);
		rig_get(r, n, v);
		rig_get(r, b, v + 1);
		rig_get(r, x, v + 6);
		for (int i = 0; i < 7; i++)
			cr_assert_eq(v[i], i >= 1 && i < 6 ? 1 : 3);
		cr_assert(n->ready && !later->ready && later->mem);
		rig_destroy(r);
	}
}

Test(store, values_are_not_drawn_again)
{
	double v[4] = { 1, 2, 3, 4 }, w[4];
	struct rig *r = rig_create(0, 1, 4);
	struct state *t = rig_state(r, "w", REIN_REAL_T, 1, (int64_t[]){ 4 }, v);
	declare(r, "more", 2, 2, REIN_INIT_UNIFORM, 0, 1);
	cr_assert_geq(store_allocate(r->store), 0);
	rig_get(r, t, w);
	cr_assert_arr_eq(v, w, sizeof v);
	rig_destroy(r);
}
