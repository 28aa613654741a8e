/* SPDX-License-Identifier: MIT
 *
 * test_datasets.c: what the shipped datasets and host transforms give for good files. Wanted
 * pixels were made by PIL (tests/fixtures/data/make.py).
 */
#include <sys/stat.h>

#include "data_helper.h"

#include <time.h>

static const float *reals(const struct split *s, int64_t i) { return (const float *)s->x + i * s->elements; }
static const uint8_t *bytes(const struct split *s, int64_t i) { return (const uint8_t *)s->x + i * s->elements; }
static int label(const struct split *s, int64_t i) { return ((const int32_t *)s->y)[i]; }

/* A file of the fixtures, in memory that the next call reuses. */
static const uint8_t *fixture(const char *name, size_t bytes_wanted)
{
	static uint8_t data[65536];
	char path[4400];
	FILE *f;
	snprintf(path, sizeof path, "%s/%s", fixture_dir(), name);
	f = fopen(path, "rb");
	cr_assert(f, "%s", path);
	cr_assert(fread(data, 1, sizeof data, f) == bytes_wanted, "%s is not of %zu bytes", path, bytes_wanted);
	fclose(f);
	return data;
}

Test(datasets, idx)
{
	struct opened_data o = open_text("[data]\n"
	                                 "train = idx images=idx/images labels=idx/labels\n"
	                                 "val = idx images=idx/images.gz labels=idx/labels.gz\n",
	                                 1, RNG_PHILOX, NULL);
	const struct split *t = must(&o, "train"), *v = must(&o, "val");
	const uint8_t *want = fixture("idx/images", 16 + 72) + 16;
	cr_assert(t->n == 6 && t->elements == 12 && t->info.rank == 3 && t->info.dim[0] == 1 && t->info.dim[1] == 3 &&
	          t->info.dim[2] == 4 && t->info.dtype == REIN_U8_T && t->info.classes == 3);
	cr_assert(!memcmp(t->x, want, 72) && !memcmp(v->x, want, 72));
	for (int i = 0; i < 6; i++)
		cr_assert(label(t, i) == i % 3 && label(v, i) == i % 3 && t->number[i] == i);
	close_data(&o);
}

Test(datasets, idx_floats)
{
	struct opened_data o =
		open_text("[data]\ntrain = idx images=idx/floats labels=idx/labels classes=5\n", 1, RNG_PHILOX, NULL);
	const struct split *t = must(&o, "train");
	cr_assert(t->info.rank == 1 && t->elements == 2 && t->info.dtype == REIN_REAL_T && t->info.classes == 5);
	for (int i = 0; i < 12; i++)
		cr_assert(reals(t, 0)[i] == (float)i / 4);
	close_data(&o);
}

Test(datasets, idx_names)
{
	struct opened_data o = open_text("[data]\n"
	                                 "train = idx images=idx/images labels=idx/labels names=\"a,b c,d\"\n"
	                                 "val = idx images=idx/images labels=idx/labels classes=3\n",
	                                 1, RNG_PHILOX, NULL);
	const struct split *t = must(&o, "train");
	cr_assert(t->info.classes == 3 && !strcmp(t->info.class_names[0], "a") && !strcmp(t->info.class_names[1], "b c") &&
	          !strcmp(t->info.class_names[2], "d"));
	cr_assert(!strcmp(must(&o, "val")->info.class_names[1], "b c"), "the names of train hold for all splits");
	close_data(&o);
}

Test(datasets, csv)
{
	struct opened_data o = open_text("[data]\ntrain = csv file=csv/good.csv\n", 1, RNG_PHILOX, NULL);
	const float want[] = { 0.5f, -1, 1e-3f, 2.5f, 3, 4 };
	const struct split *t = must(&o, "train");
	cr_assert(t->n == 3 && t->elements == 2 && t->info.classes == 2 && !t->info.class_names);
	cr_assert(!memcmp(t->x, want, sizeof want) && label(t, 0) == 0 && label(t, 1) == 1 && label(t, 2) == 1);
	close_data(&o);
}

/* byte order mark, quotes, \r\n, an empty line, no newline at the end, names as labels */
Test(datasets, csv_names)
{
	struct opened_data o = open_text("[data]\ntrain = csv file=csv/header.csv label=2\n", 1, RNG_PHILOX, NULL);
	const float want[] = { 1.5f, 2, 2.5f, 3, 3.5f, 4 };
	const struct split *t = must(&o, "train");
	cr_assert(t->n == 3 && t->info.classes == 2 && !strcmp(t->info.class_names[0], "cat") &&
	          !strcmp(t->info.class_names[1], "dog, small"));
	cr_assert(!memcmp(t->x, want, sizeof want) && label(t, 0) == 0 && label(t, 1) == 1 && label(t, 2) == 0);
	close_data(&o);
}

Test(datasets, csv_real)
{
	struct opened_data o = open_text(
		"[data]\ntrain = csv file=csv/real.csv separator=semicolon target=real label=y2,y1\n", 1, RNG_PHILOX, NULL);
	const float x[] = { 1, 2, 3, 4 }, y[] = { 20, 10, 40, 30 };
	const struct split *t = must(&o, "train");
	cr_assert(t->n == 2 && t->info.target_dim == 2 && !memcmp(t->x, x, sizeof x) && !memcmp(t->y, y, sizeof y));
	close_data(&o);
}

/* Every kind of PNG and JPEG, in leaf folders at two depths, becomes the pixels PIL gives. */
Test(datasets, image_kinds)
{
	struct opened_data o = open_text("[data]\ntrain = image_folder path=kinds channels=rgb\n", 1, RNG_PHILOX, NULL);
	const struct split *t = must(&o, "train");
	cr_assert(t->n == 12 && t->info.classes == 12 && t->info.dim[0] == 3 && t->info.dim[1] == 6 && t->info.dim[2] == 5);
	for (int64_t i = 0; i < t->n; i++) {
		const char *name = t->info.class_names[label(t, i)];
		int most = !strcmp(name, "progressive") || !strncmp(name, "jpeg", 4) ? 1 : 0; /* another libjpeg */
		const uint8_t *want;
		char path[128];
		snprintf(path, sizeof path, "want/%s.want", name);
		want = fixture(path, 90);
		for (int k = 0; k < 90; k++)
			cr_assert(abs(want[k] - bytes(t, i)[k]) <= most, "%s: byte %d is %d, PIL's %d", name, k, bytes(t, i)[k],
			          want[k]);
	}
	close_data(&o);
}

/* JPEGs that EXIF says to turn are turned, as by PIL's exif_transpose; or left as they lie. */
Test(datasets, image_exif)
{
	struct opened_data o = open_text("[data]\ntrain = image_folder path=exif\n", 1, RNG_PHILOX, NULL);
	const struct split *t = must(&o, "train");
	cr_assert(t->n == 8 && t->info.dim[1] == 6 && t->info.dim[2] == 5);
	for (int64_t i = 0; i < 8; i++) {
		const uint8_t *want;
		char path[128];
		snprintf(path, sizeof path, "want/exif%s.want", t->info.class_names[label(t, i)]);
		want = fixture(path, 90);
		for (int k = 0; k < 90; k++)
			cr_assert(abs(want[k] - bytes(t, i)[k]) <= 1, "%s: byte %d is %d, PIL's %d", path, k, bytes(t, i)[k],
			          want[k]);
	}
	close_data(&o);
	o = open_text("[data]\ntrain = image_folder path=exif exif=ignore take=4\n", 1, RNG_PHILOX, NULL);
	t = must(&o, "train");
	cr_expect(memcmp(bytes(t, 0), bytes(t, 1), 90) == 0 && t->info.dim[1] == 6);
	close_data(&o);
	o = open_text("[data]\ntrain = image_folder path=exif exif=ignore\n", 1, RNG_PHILOX, NULL);
	cr_expect(!o.data && strstr(o.said, "samples differ in size"), "%s", o.said);
	close_data(&o);
}

/* Wherever a file ends too early, it is refused by name. */
Test(datasets, image_cut_anywhere)
{
	static const char *const files[] = { "kinds/deep/rgb/a.png", "kinds/deep/interlaced/a.png", "kinds/jpeg/a.jpg",
		                                 "kinds/progressive/a.jpg", "exif/6/a.jpg" };
	char dir[] = "/tmp/rein-cut-XXXXXX", text[256], path[64], from[4400];
	cr_assert(mkdtemp(dir));
	snprintf(text, sizeof text, "%s/c", dir);
	mkdir(text, 0700);
	for (int i = 0; i < 5; i++) {
		static uint8_t data[1 << 16];
		snprintf(from, sizeof from, "%s/%s", fixture_dir(), files[i]);
		FILE *f = fopen(from, "rb");
		cr_assert(f, "%s", from);
		long n = (long)fread(data, 1, sizeof data, f);
		fclose(f);
		snprintf(path, sizeof path, "%s/c/a.png", dir);
		snprintf(text, sizeof text, "[data]\ntrain = image_folder path=%s\n", dir);
		for (long cut = 0; cut < n; cut += cut < 40 || cut > n - 8 ? 1 : n / 40 + 1) {
			f = fopen(path, "wb");
			cr_assert(f && fwrite(data, 1, (size_t)cut, f) == (size_t)cut);
			fclose(f);
			struct opened_data o = open_text(text, 1, RNG_PHILOX, NULL);
			cr_expect(!o.data && strstr(o.said, "c/a.png'"), "%s cut to %ld of %ld bytes: %s", files[i], cut, n,
			          o.said);
			close_data(&o);
		}
	}
	unlink(path);
	snprintf(text, sizeof text, "%s/c", dir);
	rmdir(text);
	rmdir(dir);
}

Test(datasets, image_grey)
{
	struct opened_data o = open_text("[data]\ntrain = image_folder path=greys\n", 1, RNG_PHILOX, NULL);
	cr_assert(must(&o, "train")->info.dim[0] == 1 && must(&o, "train")->elements == 30);
	for (int k = 0; k < 30; k++)
		cr_assert(bytes(must(&o, "train"), 0)[k] == 255 - bytes(must(&o, "train"), 1)[k]);
	close_data(&o);
	o = open_text("[data]\ntrain = image_folder path=only_rgb channels=grey\n", 1, RNG_PHILOX, NULL);
	cr_assert(!memcmp(bytes(must(&o, "train"), 0), fixture("want/luma.want", 30), 30));
	close_data(&o);
}

Test(datasets, image_order)
{
	static const char *const want[] = { "a/x/10.png", "b/x/2.png", "c/x/9.png", "a/y/1.png" };
	struct opened_data o = open_text("[data]\ntrain = image_folder path=order skip=1\n", 1, RNG_PHILOX, NULL);
	const struct split *t = must(&o, "train");
	cr_assert(t->n == 4 && t->info.classes == 3 && !strcmp(t->info.class_names[0], "Z"));
	for (int i = 0; i < 4; i++) {
		char path[4400];
		t->dataset->component->vt.dataset.describe(t->dataset->self, t->number[i], path, sizeof path);
		cr_assert(strlen(path) > 10 && !strcmp(path + strlen(path) - strlen(want[i]), want[i]), "%d: %s", i, path);
	}
	close_data(&o);
}

Test(datasets, image_skip_broken)
{
	struct opened_data o =
		open_text("[data]\ntrain = image_folder path=mixed_bad on_error=skip\n", 1, RNG_PHILOX, NULL);
	const struct split *t = must(&o, "train");
	cr_assert(t->n == 2 && t->skipped == 2 && t->number[0] == 0 && t->number[1] == 3 && label(t, 1) == 1);
	cr_assert(!memcmp(bytes(t, 0), bytes(t, 1), (size_t)t->elements));
	close_data(&o);
}

/* most: Pillow 13 takes columns first for some sizes, and so rounds otherwise */
static void check_resize(int h, int w, const char *keys, int most)
{
	char text[256], path[128];
	struct opened_data o;
	const struct split *t;
	const uint8_t *want;
	size_t n = (size_t)(3 * h * w);
	snprintf(text, sizeof text,
	         "[data]\ntrain = image_folder path=resize/in\n[transforms]\nsize = resize size=%d,%d %s\n", h, w, keys);
	o = open_text(text, 1, RNG_PHILOX, NULL);
	t = must(&o, "train");
	snprintf(path, sizeof path, "resize/%dx%d.%s", h, w, *keys ? "plain" : "want");
	want = fixture(path, n);
	cr_assert(t->elements == (int64_t)n && t->info.dim[1] == h && t->info.dim[2] == w);
	for (size_t k = 0; k < n; k++)
		cr_assert(abs(want[k] - bytes(t, 0)[k]) <= most, "%dx%d %s: byte %zu is %d, not %d", h, w, keys, k,
		          bytes(t, 0)[k], want[k]);
	close_data(&o);
}

Test(datasets, resize)
{
	static const int size[][3] = { { 12, 12, 0 }, { 37, 29, 0 }, { 8, 60, 1 }, { 80, 70, 0 },
		                           { 1, 1, 0 },   { 37, 10, 0 }, { 5, 29, 0 }, { 224, 3, 1 } };
	for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
		check_resize(size[i][0], size[i][1], "", size[i][2]);
		check_resize(size[i][0], size[i][1], "antialias=no", 1); /* two roundings against one */
	}
}

/* Images of two sizes become one; two transforms in a row. */
Test(datasets, resize_chain)
{
	struct opened_data o = open_text("[data]\ntrain = image_folder path=two_sizes\n"
	                                 "[transforms]\na = resize size=9,4\nb = resize size=8\n",
	                                 1, RNG_PHILOX, NULL);
	const struct split *t = must(&o, "train");
	cr_assert(t->n == 2 && t->info.dim[1] == 8 && t->info.dim[2] == 8);
	close_data(&o);
}

/* b = A w + bias, w the exported truth; a sample does not hang on the number of rows. */
Test(datasets, linear_system)
{
	struct opened_data o = open_text("[data]\ntrain = linear_system samples=20\nval = linear_system samples=7 seed=1\n"
	                                 "other = linear_system seed=2\n",
	                                 5, RNG_PHILOX, NULL);
	const struct split *t = must(&o, "train"), *v = must(&o, "val");
	cr_assert(t->n == 20 && t->info.n_truth == 4 && t->info.target == REIN_TARGET_REAL);
	for (int i = 0; i < 20; i++) {
		double b = t->info.truth[3];
		for (int j = 0; j < 3; j++)
			b += (double)reals(t, i)[j] * t->info.truth[j];
		cr_assert(fabs(b - (double)((float *)t->y)[i]) < 1e-6);
	}
	cr_assert(!memcmp(t->x, v->x, 7 * 3 * sizeof(float)) && !memcmp(t->y, v->y, 7 * sizeof(float)));
	cr_assert(memcmp(t->x, must(&o, "other")->x, 10 * sizeof(float)));
	close_data(&o);
}

/* torch.manual_seed(0); torch.rand(10, 3); torch.rand(4, 1) */
Test(datasets, linear_system_torch)
{
	struct opened_data o = open_text("[data]\ntrain = linear_system rng=torch seed=0\n", 1, RNG_PHILOX, NULL);
	const struct split *t = must(&o, "train");
	cr_assert(fabs(t->info.truth[0] - 0.3051) < 1e-4 && fabs(t->info.truth[1] - 0.9320) < 1e-4 &&
	          fabs(t->info.truth[2] - 0.1759) < 1e-4 && fabs(t->info.truth[3] - 0.2698) < 1e-4);
	cr_assert(fabsf(reals(t, 0)[0] - 0.4963f) < 1e-4f && fabsf(reals(t, 0)[1] - 0.7682f) < 1e-4f);
	close_data(&o);
}

Test(datasets, noisy_line)
{
	struct opened_data o = open_text(
		"[data]\ntrain = noisy_line samples=4000\nval = noisy_line samples=40 x=grid noise=0\n", 1, RNG_PHILOX, NULL);
	const struct split *t = must(&o, "train"), *v = must(&o, "val");
	double mean = 0, square = 0;
	for (int i = 0; i < 40; i++) {
		cr_assert(fabs((double)reals(v, i)[0] - i / 39.0) < 1e-6);
		cr_assert(fabs((double)(((float *)v->y)[i] - 2 * reals(v, i)[0])) < 1e-6);
	}
	for (int i = 0; i < 4000; i++) {
		double e = (double)(((float *)t->y)[i] - 2 * reals(t, i)[0]);
		mean += e / 4000;
		square += e * e / 4000;
	}
	cr_assert(fabs(mean) < 0.15 && fabs(sqrt(square) - 2) < 0.1, "mean %g, deviation %g", mean, sqrt(square));
	cr_assert(v->info.truth[0] == 2 && v->info.truth[1] == 0);
	close_data(&o);
}

/* The means and covariances of the course's 100 points, here of many. */
Test(datasets, points)
{
	struct opened_data o = open_text("[data]\ntrain = points samples=20000\n", 1, RNG_PHILOX, NULL);
	const struct split *t = must(&o, "train");
	double sum[2][2] = { 0 }, cov[2] = { 0 };
	for (int64_t i = 0; i < t->n; i++)
		for (int k = 0; k < 2; k++)
			sum[label(t, i)][k] += (double)reals(t, i)[k] / 10000;
	for (int64_t i = 0; i < t->n; i++)
		cov[label(t, i)] +=
			((double)reals(t, i)[0] - sum[label(t, i)][0]) * ((double)reals(t, i)[1] - sum[label(t, i)][1]) / 10000;
	cr_assert(fabs(sum[0][0] - 0.686) < 0.005 && fabs(sum[1][1] - 0.340) < 0.005);
	cr_assert(fabs(cov[0] - 0.00206) < 5e-4 && fabs(cov[1] - 0.00158) < 8e-4);
	close_data(&o);
}

/* Shapes: balanced, named, of the asked size; the same for every seed of the run, and the
 * classes differ more than the noise: the nearest class mean finds most of them. */
Test(datasets, shapes)
{
	const char *text = "[data]\ntrain = shapes samples=600\n";
	struct opened_data o = open_text(text, 1, RNG_PHILOX, NULL), p = open_text(text, 2, RNG_PHILOX, NULL);
	const struct split *t = must(&o, "train");
	static double mean[10][784];
	int hits = 0;
	cr_assert(t->info.classes == 10 && t->elements == 784 && !strcmp(t->info.class_names[0], "disc"));
	cr_assert(!memcmp(t->x, must(&p, "train")->x, 600 * 784));
	for (int i = 0; i < 500; i++)
		for (int k = 0; k < 784; k++)
			mean[label(t, i)][k] += bytes(t, i)[k] / 50.0;
	for (int i = 500; i < 600; i++) {
		double best = INFINITY;
		int at = -1;
		for (int c = 0; c < 10; c++) {
			double d = 0;
			for (int k = 0; k < 784; k++)
				d += (bytes(t, i)[k] - mean[c][k]) * (bytes(t, i)[k] - mean[c][k]);
			at = d < best ? c : at;
			best = d < best ? d : best;
		}
		hits += at == label(t, i);
	}
	cr_assert(hits > 40, "%d of 100", hits);
	close_data(&o);
	close_data(&p);
	o = open_text("[data]\ntrain = shapes samples=162 classes=81 size=24 channels=3 noise=0\n", 1, RNG_PHILOX, NULL);
	t = must(&o, "train");
	cr_assert(t->info.classes == 81 && t->elements == 3 * 24 * 24 && !strcmp(t->info.class_names[80], "disc-8"));
	close_data(&o);
}

Test(datasets, others)
{
	struct opened_data o = open_text("[data]\ntrain = blobs samples=90\n", 1, RNG_PHILOX, NULL);
	cr_assert(must(&o, "train")->n == 90 && must(&o, "train")->info.classes == 3);
	close_data(&o);
	o = open_text("[data]\ntrain = moons samples=10 spread=0\n", 1, RNG_PHILOX, NULL);
	for (int i = 0; i < 10; i += 2)
		cr_assert(fabsf(hypotf(reals(must(&o, "train"), i)[0], reals(must(&o, "train"), i)[1]) - 1) < 1e-5f);
	close_data(&o);
	o = open_text("[data]\ntrain = random shape=3,4,5 samples=8 target=real targets=2\n", 1, RNG_PHILOX, NULL);
	cr_assert(must(&o, "train")->elements == 60 && must(&o, "train")->info.target_dim == 2);
	close_data(&o);
}

/* --- real data, skipped where REIN_DATA is not set ----------------------------------------------- */
static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static struct opened_data open_real(const char *text)
{
	char path[] = "/tmp/rein-data-XXXXXX.ini";
	struct opened_data o;
	int fd;
	if (!getenv("REIN_DATA"))
		cr_skip("REIN_DATA is not set");
	fd = mkstemps(path, 4);
	cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
	o = open_file(path, getenv("REIN_DATA"), 1, RNG_PHILOX, NULL);
	unlink(path);
	return o;
}

Test(datasets, real_mnist)
{
	double start = now();
	struct opened_data o = open_real(
		"[data]\ntrain = idx images=mnist/train-images-idx3-ubyte.gz labels=mnist/train-labels-idx1-ubyte.gz\n"
		"val = idx images=mnist/t10k-images-idx3-ubyte.gz labels=mnist/t10k-labels-idx1-ubyte.gz\n");
	const struct split *t = must(&o, "train"), *v = must(&o, "val");
	fprintf(stderr, "MNIST ready in %.3f s\n", now() - start);
	cr_assert(t->n == 60000 && v->n == 10000 && t->elements == 784 && label(t, 0) == 5 && label(v, 0) == 7);
	close_data(&o);
}

Test(datasets, real_folders)
{
	struct opened_data o = open_real("[data]\ntrain = image_folder path=grocery/train take=5\n"
	                                 "val = image_folder path=grocery/val\n"
	                                 "[transforms]\nsize = resize size=64\n");
	const struct split *v = must(&o, "val");
	cr_assert(v->n == 296 && v->info.classes == 81 && !strcmp(v->info.class_names[0], "Alpro-Blueberry-Soyghurt"), "%s",
	          v->info.class_names[0]);
	close_data(&o);
	o = open_real("[data]\ntrain = csv file=admissions/data.csv\n");
	cr_assert(must(&o, "train")->n == 100 && label(must(&o, "train"), 0) == 1);
	close_data(&o);
}
