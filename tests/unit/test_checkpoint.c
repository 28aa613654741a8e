/* SPDX-License-Identifier: MIT
 *
 * test_checkpoint.c: safetensors written here come back, one written by PyTorch is read, every
 * lie of tests/fixtures/data/st/bad (made by make.py) is refused with its own words, and a
 * write that fails leaves the old file and no other.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checkpoint.h"

static char dir[] = "/tmp/rein-checkpoint-XXXXXX";
static char why[512];

static void begin(void)
{
	cr_assert(mkdtemp(dir));
	cr_assert(chdir(dir) == 0);
}

/* The folder must hold nothing but what is named here. */
static void end(int n, const char *const *names)
{
	struct dirent *e;
	DIR *d = opendir(dir);
	while ((e = readdir(d))) {
		bool known = !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..");
		for (int i = 0; i < n; i++)
			known |= !strcmp(e->d_name, names[i]);
		cr_assert(known, "'%s' was left behind", e->d_name);
	}
	closedir(d);
	for (int i = 0; i < n; i++)
		cr_assert(!unlink(names[i]), "'%s' is not there", names[i]);
	cr_assert(!chdir("/") && !rmdir(dir));
}

static const char *fixture(const char *name)
{
	static char path[4096];
	snprintf(path, sizeof path, "%s/tests/fixtures/data/st/%s", getenv("REIN_SOURCE"), name);
	return path;
}

static const float weight[6] = { 0, -0.0f, 1e-40f, INFINITY, 3.5f, -7 };
static const uint8_t bytes[3] = { 1, 2, 255 };
static const double wide[1] = { 1.0 / 3 };
static const int32_t count = -5;
static const uint8_t yes[2] = { 1, 0 };
static const struct st_tensor some[] = {
	{ "mask", REIN_BOOL_T, 1, { 2 }, yes, 2 },
	{ "fc1.weight", REIN_REAL_T, 2, { 2, 3 }, weight, 24 },
	{ "x \"quoted\" \xC3\xA9", REIN_U8_T, 1, { 3 }, bytes, 3 },
	{ "count", REIN_I32_T, 0, { 0 }, &count, 4 },
	{ "wide", REIN_WIDE_T, 1, { 1 }, wide, 8 },
	{ "none", REIN_REAL_T, 2, { 0, 4 }, weight, 0 },
};
#define N_SOME ((int)(sizeof some / sizeof *some))

Test(checkpoint, round_trip)
{
	const char *key[] = { "format", "rein" }, *value[] = { "pt", "0.1 \"x\"\n" }, *names[] = { "a.safetensors" };
	struct st_file *f;
	begin();
	cr_assert(st_write("a.safetensors", N_SOME, some, 2, key, value, why, sizeof why), "%s", why);
	f = st_open("a.safetensors", why, sizeof why);
	cr_assert(f, "%s", why);
	cr_assert(f->n == N_SOME && f->n_meta == 2 && !strcmp(f->meta_value[1], value[1]));
	for (int i = 0; i < N_SOME; i++) {
		const struct st_tensor *t = st_find(f, some[i].name);
		cr_assert(t && t->dtype == some[i].dtype && t->rank == some[i].rank && t->bytes == some[i].bytes, "%s",
		          some[i].name);
		cr_assert(!memcmp(t->dim, some[i].dim, sizeof t->dim) && !memcmp(t->data, some[i].data, (size_t)t->bytes));
		cr_assert((uintptr_t)t->data % (t->dtype == REIN_WIDE_T ? 8 : t->dtype == REIN_REAL_T ? 4 : 1) == 0);
	}
	cr_assert(!st_find(f, "fc2.weight"));
	st_close(f);
	st_close(NULL);
	end(1, names);
}

/* What is written twice is the same bytes. */
Test(checkpoint, same_bytes)
{
	const char *names[] = { "a", "b" };
	char a[1024], b[1024];
	size_t n;
	FILE *f;
	begin();
	cr_assert(st_write("a", N_SOME, some, 0, NULL, NULL, why, sizeof why));
	cr_assert(st_write("b", N_SOME, some, 0, NULL, NULL, why, sizeof why));
	f = fopen("a", "rb");
	n = fread(a, 1, sizeof a, f);
	fclose(f);
	f = fopen("b", "rb");
	cr_assert(fread(b, 1, sizeof b, f) == n && n > 300 && !memcmp(a, b, n));
	fclose(f);
	end(2, names);
}

/* Saved by safetensors.torch: half, bfloat16 and int64 are converted. */
Test(checkpoint, from_torch)
{
	struct st_file *f = st_open(fixture("torch.safetensors"), why, sizeof why);
	const struct st_tensor *t;
	const float half[] = { 1, -2.5f, 65504, 5.9604645e-08f }, brain[] = { 1, -3 };
	cr_assert(f, "%s", why);
	t = st_find(f, "fc1.weight");
	cr_assert(t && t->rank == 2 && t->dim[0] == 2 && t->dim[1] == 3);
	for (int i = 0; i < 6; i++)
		cr_assert(((const float *)t->data)[i] == (float)i);
	t = st_find(f, "half");
	cr_assert(t && t->dtype == REIN_REAL_T && t->bytes == 16 && !memcmp(t->data, half, 16));
	t = st_find(f, "brain");
	cr_assert(t && t->bytes == 8 && !memcmp(t->data, brain, 8));
	t = st_find(f, "count");
	cr_assert(t && t->dtype == REIN_I32_T && t->rank == 0 && *(const int32_t *)t->data == 1234567);
	t = st_find(f, "mask");
	cr_assert(t && t->dtype == REIN_BOOL_T && !memcmp(t->data, "\1\0\1", 3));
	t = st_find(f, "wide");
	cr_assert(t && t->dtype == REIN_WIDE_T && *(const double *)t->data == 1.0 / 3);
	for (int i = 0; i < f->n_meta; i++)
		cr_assert(!strcmp(f->meta_key[i], "rein") ? !strcmp(f->meta_value[i], "yes") : !strcmp(f->meta_value[i], "pt"));
	cr_assert(f->n_meta == 2);
	st_close(f);
	f = st_open(fixture("unaligned.safetensors"), why, sizeof why);
	cr_assert(f && *(const float *)f->tensor[0].data == 1 && (uintptr_t)f->tensor[0].data % 4 == 0, "%s", why);
	st_close(f);
}

Test(checkpoint, lies)
{
	static const char *const lies[][2] = {
		{ "short", "3 bytes; a safetensors file begins with 8 bytes of header length" },
		{ "empty", "is empty" },
		{ "long_header", "byte 0: a header of 1000000000000000 bytes in a file of 10" },
		{ "no_brace", "byte 8: the header does not begin with '{'" },
		{ "not_json", "byte 14: the header is not JSON" },
		{ "after_header", "byte 11: text after the end of the header" },
		{ "dtype", "tensor 'a' is of dtype 'Q4'; F64, F32, F16, BF16, I64, I32, U8 and BOOL can be read" },
		{ "no_dtype", "tensor 'a' has no dtype" },
		{ "no_shape", "tensor 'a' has no shape" },
		{ "no_offsets", "tensor 'a' has no data_offsets [begin, end]" },
		{ "negative", "tensor 'a': dimension 0 is no size" },
		{ "fraction", "tensor 'a' has no data_offsets [begin, end]" },
		{ "overflow", "tensor 'a': dimension 1 is no size" },
		{ "shape", "tensor 'a': its shape needs 12 bytes, data_offsets give it 4" },
		{ "beyond", "tensor 'a': data_offsets 0 to 8; the file has 4 bytes of data" },
		{ "backwards", "tensor 'a': data_offsets 4 to 0; the file has 4 bytes of data" },
		{ "overlap", "tensor 'b' begins at byte 4 of the data, inside the one that ends at byte 8" },
		{ "gap", "tensor 'b' begins at byte 8 of the data, after a gap from byte 4" },
		{ "rest", "the tensors end at byte 4 of the data, the file at byte 8" },
		{ "twice", "tensor 'a' is there twice" },
		{ "rank", "tensor 'a' has 9 dimensions; at most 8 can be read" },
		{ "metadata", "__metadata__ 'a' is not a string" },
		{ "bool", "tensor 'a': byte 1 is 2; a BOOL is 0 or 1" },
		{ "i64", "tensor 'a': entry 0 is 1099511627776, beyond 32 bits" },
	};
	int files = 0;
	struct dirent *e;
	DIR *d = opendir(fixture("bad"));
	cr_assert(d);
	while ((e = readdir(d)))
		files += e->d_name[0] != '.';
	closedir(d);
	cr_assert(files == (int)(sizeof lies / sizeof *lies), "%d files", files);
	for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
		char name[64], want[4600];
		snprintf(name, sizeof name, "bad/%s.safetensors", lies[i][0]);
		snprintf(want, sizeof want, "'%s': %s", fixture(name), lies[i][1]);
		cr_assert(!st_open(fixture(name), why, sizeof why), "%s is taken", name);
		cr_expect(!strcmp(why, want), "%s\nexpected: %s\nfound:    %s", name, want, why);
	}
	cr_assert(!st_open("/nowhere/a", why, sizeof why));
	cr_assert(!strcmp(why, "cannot open '/nowhere/a': No such file or directory"), "%s", why);
	cr_assert(!st_open("/tmp", why, sizeof why));
	cr_assert(!strcmp(why, "'/tmp': is a folder"), "%s", why);
}

Test(checkpoint, writing_refused)
{
	struct st_tensor bad = some[1];
	const struct st_tensor twice[] = { some[1], some[1] };
	begin();
	bad.bytes = 20;
	cr_assert(!st_write("a", 1, &bad, 0, NULL, NULL, why, sizeof why) && strstr(why, "has 20 bytes, its shape 24"),
	          "%s", why);
	cr_assert(!st_write("a", 2, twice, 0, NULL, NULL, why, sizeof why) && strstr(why, "twice"), "%s", why);
	end(0, NULL);
}

/* A full disk: no half file, the old one stays. */
Test(checkpoint, full_disk)
{
	const char *names[] = { "a" };
	struct rlimit old, limit;
	static float big[1 << 16];
	struct st_tensor t = { "big", REIN_REAL_T, 1, { 1 << 16 }, big, sizeof big };
	struct st_file *f;
	begin();
	cr_assert(st_write("a", N_SOME, some, 0, NULL, NULL, why, sizeof why));
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	limit = old;
	limit.rlim_cur = 10000;
	cr_assert(!setrlimit(RLIMIT_FSIZE, &limit));
	cr_assert(!st_write("a", 1, &t, 0, NULL, NULL, why, sizeof why));
	setrlimit(RLIMIT_FSIZE, &old);
	cr_assert(!strcmp(why, "cannot write 'a': File too large"), "%s", why);
	f = st_open("a", why, sizeof why);
	cr_assert(f && f->n == N_SOME, "%s", why);
	st_close(f);
	cr_assert(!file_replace("/dev/full", "x", 1, why, sizeof why));
	cr_assert(!strcmp(why, "cannot write '/dev/full': No space left on device"), "%s", why);
	end(1, names);
}

Test(checkpoint, unwritable)
{
	struct stat s;
	begin();
	cr_assert(!file_replace("no/such/folder/a", "x", 1, why, sizeof why));
	cr_assert(!strcmp(why, "cannot write 'no/such/folder/a': No such file or directory"), "%s", why);
	cr_assert(!mkdir("taken", 0777));
	cr_assert(!file_replace("taken", "x", 1, why, sizeof why));
	cr_assert(!strcmp(why, "cannot write 'taken': Is a directory"), "%s", why);
	cr_assert(!rmdir("taken"));
	/* a device is written, not replaced by a file */
	cr_assert(file_replace("/dev/null", "x", 1, why, sizeof why), "%s", why);
	cr_assert(!stat("/dev/null", &s) && S_ISCHR(s.st_mode));
	if (geteuid()) { /* root may write anywhere */
		cr_assert(!mkdir("locked", 0555));
		cr_assert(!file_replace("locked/a", "x", 1, why, sizeof why));
		cr_assert(!strcmp(why, "cannot write 'locked/a': Permission denied"), "%s", why);
		cr_assert(!folder_make("locked/b/c", why, sizeof why));
		cr_assert(!strcmp(why, "cannot make folder 'locked/b': Permission denied"), "%s", why);
		rmdir("locked");
	}
	end(0, NULL);
}

Test(checkpoint, folders)
{
	const char *names[] = { "file" };
	struct stat s;
	begin();
	cr_assert(folder_make("a/b//c/", why, sizeof why), "%s", why);
	cr_assert(folder_make("a/b/c", why, sizeof why), "%s", why);
	cr_assert(!stat("a/b/c", &s) && S_ISDIR(s.st_mode));
	cr_assert(file_replace("file", "old", 3, why, sizeof why) && file_replace("file", "new one", 7, why, sizeof why));
	cr_assert(!stat("file", &s) && s.st_size == 7);
	cr_assert(!folder_make("file/x", why, sizeof why));
	cr_assert(!strcmp(why, "cannot make folder 'file/x': Not a directory"), "%s", why);
	cr_assert(!folder_make("file", why, sizeof why));
	cr_assert(!strcmp(why, "cannot make folder 'file': Not a directory"), "%s", why);
	cr_assert(!rmdir("a/b/c") && !rmdir("a/b") && !rmdir("a"));
	end(1, names);
}
