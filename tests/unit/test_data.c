/* SPDX-License-Identifier: MIT
 *
 * test_data.c: order, shares, strata, corruption, the cache, and splits against each other.
 */
#include "data_helper.h"

static int label(const struct split *s, int64_t i) { return ((const int32_t *)s->y)[i]; }

static bool has(const struct split *s, int64_t number)
{
	for (int64_t i = 0; i < s->n; i++)
		if (s->number[i] == number)
			return true;
	return false;
}

Test(data, file_order)
{
	struct opened_data o = open_text("[data]\ntrain = points skip=10 take=5\n", 1, RNG_PHILOX, NULL);
	const struct split *t = must(&o, "train");
	cr_assert(t->n == 5);
	for (int i = 0; i < 5; i++)
		cr_assert(t->number[i] == 10 + i && label(t, i) == i % 2);
	close_data(&o);
	o = open_text("[data]\ntrain = points order=order.txt take=75%\n", 1, RNG_PHILOX, NULL);
	t = must(&o, "train");
	cr_assert(t->n == 3 && t->number[0] == 1 && t->number[1] == 0 && t->number[2] == 3);
	close_data(&o);
}

/* Pieces of one order never overlap, and together they are the whole. */
Test(data, shuffled_pieces)
{
	struct opened_data o = open_text("[data]\n"
	                                 "train = points samples=1000 order=shuffled take=30\n"
	                                 "val = points samples=1000 order=shuffled skip=30 take=100\n"
	                                 "rest = points samples=1000 order=shuffled skip=130\n",
	                                 3, RNG_PHILOX, NULL);
	const struct split *t = must(&o, "train"), *v = must(&o, "val"), *r = must(&o, "rest");
	cr_assert(t->n == 30 && v->n == 100 && r->n == 870);
	cr_assert(data_overlap(t, v) == 0 && data_overlap(t, r) == 0 && data_overlap(v, r) == 0);
	for (int64_t i = 0; i < 1000; i++)
		cr_assert(has(t, i) + has(v, i) + has(r, i) == 1);
	cr_assert(t->number[0] != 0 || t->number[1] != 1 || t->number[2] != 2);
	close_data(&o);
}

Test(data, split_seed)
{
	const char *text = "[data]\ntrain = points order=shuffled\nval = points order=shuffled split_seed=7\n";
	struct opened_data a = open_text(text, 1, RNG_PHILOX, NULL), b = open_text(text, 2, RNG_PHILOX, NULL);
	cr_assert(memcmp(must(&a, "train")->number, must(&b, "train")->number, 100 * sizeof(int64_t)));
	cr_assert(!memcmp(must(&a, "val")->number, must(&b, "val")->number, 100 * sizeof(int64_t)));
	cr_assert(data_overlap(must(&a, "train"), must(&a, "val")) == 100);
	close_data(&a);
	close_data(&b);
}

/* An entry's samples behind those of another, by the labels and numbers that both keep. */
Test(data, entries_join)
{
	struct opened_data o = open_text("[data]\n"
	                                 "train = blobs samples=30 features=4 classes=3 take=10\n"
	                                 "more = blobs samples=20 features=4 classes=3 seed=5 skip=2 take=6 join=train\n"
	                                 "last = blobs samples=9 features=4 classes=2 corrupt=1 join=train\n"
	                                 "val = blobs samples=8 features=4 classes=3 seed=2\n",
	                                 3, RNG_PHILOX, NULL);
	const struct split *t = must(&o, "train"), *more = must(&o, "more"), *last = must(&o, "last");
	char name[256];
	cr_assert(t->n == 25 && more->n == 6 && last->n == 9 && must(&o, "val")->n == 8);
	cr_expect(!memcmp((const float *)t->x + 40, more->x, 24 * sizeof(float)));
	cr_expect(!memcmp((const float *)t->x + 64, last->x, 36 * sizeof(float)));
	cr_expect(!memcmp((const int32_t *)t->y + 10, more->y, 6 * sizeof(int32_t)));
	cr_expect(!memcmp((const int32_t *)t->y + 16, last->y, 9 * sizeof(int32_t)));
	cr_expect(t->corrupted == last->corrupted && t->is_corrupted[16] && !t->is_corrupted[9]);
	for (int64_t i = 0; i < t->n; i++)
		for (int64_t j = 0; j < i; j++)
			cr_expect_neq(t->number[i], t->number[j]);
	cr_expect(strstr(data_sample_name(t, 12, name, sizeof name), "sample 4") && strstr(name, "of 'more'"), "%s", name);
	cr_expect(data_joined(t, 0) == more && data_joined(t, 1) == last && !data_joined(t, 2));
	close_data(&o);
}

Test(data, overlap)
{
	struct opened_data o = open_text("[data]\ntrain = points take=30\nval = points skip=20 take=30\n"
	                                 "other = points skip=20 take=30 seed=2\n",
	                                 1, RNG_PHILOX, NULL);
	cr_assert(data_overlap(must(&o, "train"), must(&o, "val")) == 10);
	cr_assert(data_overlap(must(&o, "train"), must(&o, "other")) == 0);
	close_data(&o);
}

/* Shares meet without gap or overlap, also where they are no whole number of samples. */
Test(data, shares)
{
	struct opened_data o =
		open_text("[data]\ntrain = points samples=37 take=70%\nval = points samples=37 skip=70% take=20%\n"
	              "test = points samples=37 skip=90% take=10%\n",
	              1, RNG_PHILOX, NULL);
	cr_assert(must(&o, "train")->n == 25 && must(&o, "val")->n == 8 && must(&o, "test")->n == 4);
	cr_assert(must(&o, "val")->number[0] == 25 && must(&o, "test")->number[0] == 33);
	close_data(&o);
	o = open_text("[data]\ntrain = points samples=10 take=70%\nval = points samples=10 skip=70%\n", 1, RNG_PHILOX,
	              NULL);
	cr_assert(must(&o, "train")->n == 7 && must(&o, "val")->n == 3);
	close_data(&o);
}

/* torch.manual_seed(1); torch.randperm(10) */
Test(data, torch_order)
{
	static const int want[] = { 5, 6, 1, 2, 0, 8, 9, 3, 7, 4 };
	struct opened_data o = open_text("[data]\ntrain = points samples=10 order=shuffled\n", 1, RNG_TORCH, NULL);
	for (int i = 0; i < 10; i++)
		cr_assert(must(&o, "train")->number[i] == want[i], "%d: %d", i, (int)must(&o, "train")->number[i]);
	close_data(&o);
}

/* Every piece has each class in its share, though the classes stand in blocks. */
Test(data, stratify)
{
	struct opened_data o =
		open_text("[data]\ntrain = random shape=1 classes=3 samples=900 order=shuffled stratify=yes take=90\n"
	              "val = random shape=1 classes=3 samples=900 order=shuffled stratify=yes skip=90 take=10%\n"
	              "all = random shape=1 classes=3 samples=900\n",
	              1, RNG_PHILOX, NULL);
	const struct split *t = must(&o, "train"), *v = must(&o, "val"), *a = must(&o, "all");
	int in_train[3] = { 0 }, in_val[3] = { 0 }, in_all[3] = { 0 };
	for (int64_t i = 0; i < 90; i++)
		in_train[label(t, i)]++;
	for (int64_t i = 0; i < 90; i++)
		in_val[label(v, i)]++;
	for (int64_t i = 0; i < 900; i++)
		in_all[label(a, i)]++;
	for (int k = 0; k < 3; k++) {
		cr_assert(abs(in_train[k] - in_all[k] / 10) <= 1, "class %d: %d of %d", k, in_train[k], in_all[k]);
		cr_assert(abs(in_val[k] - in_all[k] / 10) <= 1);
	}
	cr_assert(data_overlap(t, v) == 0);
	close_data(&o);
}

/* A sample's corruption hangs on its number and the split seed alone. */
Test(data, corrupt)
{
	struct opened_data o = open_text("[data]\ntrain = blobs samples=6000 corrupt=0.5\n"
	                                 "piece = blobs samples=6000 corrupt=0.5 skip=100 take=200\n"
	                                 "clean = blobs samples=6000\nall = blobs samples=6000 corrupt=1\n",
	                                 1, RNG_PHILOX, NULL);
	const struct split *t = must(&o, "train"), *p = must(&o, "piece"), *c = must(&o, "clean"), *all = must(&o, "all");
	int64_t marked = 0, changed = 0, per_class[3] = { 0 };
	cr_assert(c->corrupted == 0 && !c->is_corrupted && all->corrupted == 6000);
	for (int64_t i = 0; i < 6000; i++) {
		marked += t->is_corrupted[i];
		changed += label(t, i) != label(c, i);
		cr_assert(t->is_corrupted[i] || label(t, i) == label(c, i));
		per_class[label(all, i)]++;
	}
	for (int64_t i = 0; i < 200; i++)
		cr_assert(label(p, i) == label(t, 100 + i) && p->is_corrupted[i] == t->is_corrupted[100 + i]);
	cr_assert(marked == t->corrupted && llabs(marked - 3000) < 200, "%d", (int)marked);
	cr_assert(llabs(changed - 2000) < 200, "%d: two of three random labels are wrong ones", (int)changed);
	for (int k = 0; k < 3; k++)
		cr_assert(llabs(per_class[k] - 2000) < 200);
	close_data(&o);
}

/* Labels go by name: a split with fewer classes takes the numbers of 'train'. */
Test(data, classes_by_name)
{
	struct opened_data o = open_text(
		"[data]\nval = image_folder path=val_classes\ntrain = image_folder path=train_classes\n", 1, RNG_PHILOX, NULL);
	const struct split *v = must(&o, "val");
	cr_assert(v->info.classes == 3 && v->n == 2 && label(v, 0) == 1 && label(v, 1) == 2);
	cr_assert(!strcmp(v->info.class_names[2], "wolf"));
	close_data(&o);
}

/* With a cache: the same numbers as without; a whole dataset lies in the cache and is not
 * copied; labels, which splits change, are their own. */
Test(data, cache)
{
	const char *whole = "[data]\ntrain = image_folder path=kinds channels=rgb corrupt=1\n";
	const char *some = "[data]\ntrain = image_folder path=kinds channels=rgb order=shuffled take=4\n"
					   "[transforms]\nsize = resize size=7\n";
	struct data_cache *c = data_cache_create(1 << 20), *tiny = data_cache_create(100);
	struct opened_data a = open_text(whole, 1, RNG_PHILOX, c), b = open_text(whole, 2, RNG_PHILOX, c);
	struct opened_data d = open_text(whole, 1, RNG_PHILOX, NULL), t = open_text(whole, 1, RNG_PHILOX, tiny);
	struct opened_data with[7];
	size_t bytes = (size_t)must(&a, "train")->n * (size_t)must(&a, "train")->elements;
	cr_assert(must(&a, "train")->x == must(&b, "train")->x && must(&a, "train")->y != must(&b, "train")->y);
	cr_assert(must(&a, "train")->dataset == must(&b, "train")->dataset);
	cr_assert(!memcmp(must(&a, "train")->x, must(&d, "train")->x, bytes));
	cr_assert(!memcmp(must(&a, "train")->x, must(&t, "train")->x, bytes));
	cr_assert(!memcmp(must(&a, "train")->y, must(&d, "train")->y, (size_t)must(&a, "train")->n * 4));
	close_data(&d);
	data_destroy(t.data);
	t.data = NULL;
	for (int i = 0; i < 5; i++) {
		struct opened_data without = open_text(some, (uint64_t)i, RNG_PHILOX, NULL);
		const struct split *x, *y = must(&without, "train");
		with[i] = open_text(some, (uint64_t)i, RNG_PHILOX, c);
		x = must(&with[i], "train");
		cr_assert(x->n == 4 && x->elements == 147 && !memcmp(x->x, y->x, 4 * 147) && !memcmp(x->y, y->y, 16));
		close_data(&without);
	}
	with[5] = a;
	with[6] = b;
	for (int i = 0; i < 7; i++) { /* data go before the cache, the cache before the configs */
		data_destroy(with[i].data);
		with[i].data = NULL;
	}
	data_cache_destroy(c);
	data_cache_destroy(tiny);
	for (int i = 0; i < 7; i++)
		close_data(&with[i]);
	close_data(&t);
}

/* Many samples, decoded by several threads: the same as one by one. */
Test(data, threads)
{
	struct opened_data o =
		open_text("[data]\ntrain = shapes samples=3000\npiece = shapes samples=3000 skip=2990\n", 1, RNG_PHILOX, NULL);
	const struct split *t = must(&o, "train"), *p = must(&o, "piece");
	cr_assert(!memcmp((const uint8_t *)t->x + 2990 * 784, p->x, 10 * 784));
	close_data(&o);
}

static int said;
static char last_said[512];

static void on_log(void *ctx, uint32_t level, const char *line)
{
	cr_assert(ctx == &said && level == REIN_LOG_WARN);
	snprintf(last_said, sizeof last_said, "%s", line);
	said++;
}

/* What overlaps or was left out is said, once for a cache. */
Test(data, notices)
{
	const char *text = "[data]\ntrain = points take=30\nval = points skip=20 take=30\n";
	char path[] = "/tmp/rein-data-XXXXXX.ini";
	int fd = mkstemps(path, 4);
	struct diag *d = diag_create();
	struct registry *r = registry_create(0, NULL);
	struct data_cache *cache = data_cache_create(1 << 20);
	struct host_env env = { .seed = 1, .config_dir = fixture_dir(), .log = on_log, .log_ctx = &said };
	struct config_file *f;
	struct config *c;
	cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
	f = config_read(path, d);
	unlink(path);
	c = config_build(f, NULL, 0, NULL, d);
	for (int i = 0; i < 3; i++) {
		struct data *data = data_open(c, r, &env, RNG_PHILOX, 0, NULL, 0, NULL, cache, 0, d);
		cr_assert(data);
		data_destroy(data);
		cr_assert(said == 1 && !strcmp(last_said, "[data] val: 10 of its 30 samples are also in 'train'"), "%s",
		          last_said);
	}
	data_cache_destroy(cache);
	config_file_destroy(f);
	registry_destroy(r);
	diag_destroy(d);
}
