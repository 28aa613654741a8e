/* SPDX-License-Identifier: MIT
 *
 * test_schema.c: specs into typed structs, and what an instance's host does. Components are
 * those of tests/fixtures/plugins/good.c; bad values are in test_bad_ini.c.
 */
#include <criterion/criterion.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "component.h"
#include "rng.h"

/* As in good.c. */
struct everything {
	int32_t flag, mode;
	int64_t n;
	double x, strict;
	const char *text, *file;
	struct rein_ints ns;
	struct rein_reals xs;
	const struct rein_ref *attack;
	int64_t created;
};

static struct registry *r;
static struct diag *d;
static struct config_file *cf;
static char path[] = "/tmp/rein-schema-XXXXXX";
static char said[2000];

static void begin(void)
{
	const char *const dir = getenv("REIN_FIXTURES");
	int fd = mkstemp(path);
	cr_assert(fd >= 0);
	close(fd);
	r = registry_create(1, &dir);
	d = diag_create();
}

static void end(void)
{
	config_file_destroy(cf);
	diag_destroy(d);
	registry_destroy(r);
	unlink(path);
}
TestSuite(schema, .init = begin, .fini = end);

static void note(void *ctx, uint32_t level, const char *line)
{
	(void)ctx;
	snprintf(said + strlen(said), sizeof said - strlen(said), "%u %s\n", level, line);
}

static const struct rein_ref *resolve(void *ctx, uint32_t kind, const char *name)
{
	return kind == REIN_ATTACK && !strcmp(name, "pgd") ? ctx : NULL;
}

static int mark; /* what the one reference points to */

static struct instance *make(const char *section, const char *line, const char *data_root)
{
	struct host_env env = { .seed = 7, .data_root = data_root, .config_dir = "/", .log = note };
	FILE *f = fopen(path, "w");
	struct config *c;
	cr_assert(f && fprintf(f, "[%s]\n%s\n", section, line) > 0 && !fclose(f));
	config_file_destroy(cf);
	cf = config_read(path, d);
	cr_assert(cf);
	c = config_build(cf, NULL, 0, NULL, d);
	return instance_create(r, kind_of_section(section), config_section(c, section)->spec[0], &env, resolve, &mark, d);
}

Test(schema, every_type)
{
	struct instance *i = make("regularizers",
	                          "r = everything x=8/255 flag=yes mode=slow n=7 strict=1e-3 text=\"a b\" file=/x/y "
	                          "ns=1,2,3 xs=0.5 attack=pgd on=*.weight",
	                          NULL);
	const struct everything *e;
	cr_assert(i);
	e = i->self;
	cr_expect(e->x == 8.0 / 255 && e->flag == 1 && e->mode == 0 && e->n == 7 && e->strict == 1e-3);
	cr_expect_str_eq(e->text, "a b");
	cr_expect_str_eq(e->file, "/x/y");
	cr_expect(e->ns.n == 3 && e->ns.v[0] == 1 && e->ns.v[2] == 3);
	cr_expect(e->xs.n == 1 && e->xs.v[0] == 0.5);
	cr_expect_eq((const void *)e->attack, &mark);
	cr_expect_eq(e->created, 1);
	cr_expect_str_eq(i->common.on, "*.weight");
	cr_expect_str_eq(i->name, "r");
	cr_expect_str_eq(said, "1 [regularizers] r: made\n");
	cr_expect_eq((uintptr_t)i->self % 64, 0);
	cr_expect_eq(((double *)i->mem)[0], 0);
	instance_destroy(i);
	cr_expect_eq(diag_errors(d), 0);
}

Test(schema, defaults)
{
	struct instance *i = make("regularizers", "r = everything x=2", NULL);
	const struct everything *e;
	cr_assert(i);
	e = i->self;
	cr_expect(e->x == 2 && !e->flag && e->mode == 1 && e->n == 3 && e->strict == 0.5);
	cr_expect_str_eq(e->text, "");
	cr_expect_str_eq(e->file, "");
	cr_expect(e->ns.n == 2 && e->xs.n == 0 && !e->attack);
	cr_expect_str_eq(i->common.on, "*");
	instance_destroy(i);
	instance_destroy(NULL);
}

/* The old name fills the new one's field, and the new one's default does not undo it. */
Test(schema, deprecated_name)
{
	struct instance *i = make("regularizers", "r = everything weight=3", NULL);
	cr_assert(i);
	cr_expect_eq(((const struct everything *)i->self)->x, 3);
	cr_expect_eq(diag_errors(d), 0);
	instance_destroy(i);
}

Test(schema, range_ends)
{
	static const struct {
		const char *line;
		bool good;
	} is[] = { { "r = everything x=0", true },           { "r = everything x=1e6", true },
		       { "r = everything x=1000000.1", false },  { "r = everything x=inf", false },
		       { "r = everything x=1 n=1", true },       { "r = everything x=1 n=7", true },
		       { "r = everything x=1 n=0", false },      { "r = everything x=1 n=10", false },
		       { "r = everything x=1 strict=1", false }, { "r = everything x=1 strict=0.999999", true } };
	for (size_t k = 0; k < sizeof is / sizeof *is; k++) {
		struct instance *i = make("regularizers", is[k].line, NULL);
		cr_expect_eq(i != NULL, is[k].good, "%s", is[k].line);
		instance_destroy(i);
	}
}

/* The config's folder is / here, the file that is read lies in /tmp. */
Test(schema, paths)
{
	char root[] = "/tmp/rein-data-XXXXXX", want[PATH_MAX], line[200];
	struct instance *i;
	cr_assert(mkdtemp(root));
	i = make("regularizers", "r = everything x=1 file=sub/none", NULL);
	cr_expect_str_eq(((struct everything *)i->self)->file, "//sub/none");
	instance_destroy(i);
	/* under REIN_DATA, even where it does not exist yet */
	i = make("regularizers", "r = everything x=1 file=no/such", root);
	snprintf(want, sizeof want, "%s/no/such", root);
	cr_expect_str_eq(((struct everything *)i->self)->file, want);
	instance_destroy(i);
	/* but what is not there and lies beside the config is taken from there */
	i = make("regularizers", "r = everything x=1 file=tmp", root);
	cr_expect_str_eq(((struct everything *)i->self)->file, "//tmp");
	instance_destroy(i);
	/* or beside the file that names it */
	snprintf(line, sizeof line, "r = everything x=1 file=%s", path + strlen("/tmp/"));
	i = make("regularizers", line, root);
	cr_expect_str_eq(((struct everything *)i->self)->file, path);
	instance_destroy(i);
	rmdir(root);
}

/* resolved.ini: each key with its text and where it came from. */
Test(schema, keys_with_origin)
{
	struct instance *i = make("regularizers", "r = everything x=8/255 on=a,b file=q", NULL);
	const char *key, *value, *origin;
	char seen[1000] = "", want[1000];
	cr_assert(i);
	for (int k = 0; instance_key(i, k, &key, &value, &origin); k++)
		snprintf(seen + strlen(seen), sizeof seen - strlen(seen), "%s=%s@%s;", key, value, origin);
	snprintf(want, sizeof want,
	         "x=8/255@%s:2;flag=no@default;mode=fast@default;n=3@default;strict=0.5@default;text=@default;"
	         "file=//q@%s:2;ns=1,2@default;xs=@default;attack=@default;on=a,b@%s:2;",
	         path, path, path);
	cr_expect_str_eq(seen, want, "%s", seen);
	instance_destroy(i);
}

Test(schema, common_keys_of_kinds)
{
	struct instance *i = make("network", "a = same input=b,c freeze=yes", NULL);
	cr_assert(i);
	cr_expect_str_eq(i->common.input, "b,c");
	cr_expect_eq(i->common.freeze, 1);
	instance_destroy(i);
	i = make("attacks", "a = nothing", NULL);
	cr_assert(i);
	instance_destroy(i);
	cr_expect_null(make("attacks", "a = nothing on=*", NULL));
	cr_expect_eq(diag_errors(d), 1);
	for (uint32_t k = REIN_BACKEND; k <= REIN_DETECTOR; k++)
		for (const struct rein_key *row = common_keys(k); row->key; row++)
			cr_expect(row->help && row->def, "%s has help and a default", row->key);
}

struct stage {
	int64_t epochs;
	const char *with;
};

Test(schema, keys_of_no_component)
{
	static const struct rein_key keys[] = { REIN_INT(struct stage, epochs, "5", 1, 1e6, "epochs"),
		                                    REIN_STRING(struct stage, with, "", "what"), REIN_KEYS_END };
	struct spec s = { .section = "stages", .name = "fit", .component = "train" };
	struct arg a[] = { { .key = "epochs", .value = "7" }, { .key = "wiht", .value = "x" } };
	struct stage out = { 0 };
	s.arg = a;
	s.n_arg = 1;
	cr_expect(spec_keys(&s, "stage 'train'", keys, &out, d));
	cr_expect_eq(out.epochs, 7);
	cr_expect_str_eq(out.with, "");
	cr_expect(a[0].used);
	s.n_arg = 2;
	cr_expect(!spec_keys(&s, "stage 'train'", keys, &out, d));
	cr_expect_eq(diag_errors(d), 1);
}

/* --- the host ------------------------------------------------------------------------ */

struct work {
	const struct rein_host *host;
	atomic_int count[1000];
};

static void count(void *ctx, int64_t i) { ((struct work *)ctx)->count[i]++; }

Test(schema, host_parallel_does_each_once)
{
	static struct work w;
	struct instance *i = make("attacks", "a = nothing", NULL);
	i->host.parallel(&i->host, 1000, count, &w);
	i->host.parallel(&i->host, 0, count, &w);
	i->host.parallel(&i->host, 1, count, &w);
	for (int k = 0; k < 1000; k++)
		cr_expect_eq(w.count[k], k ? 1 : 2);
	instance_destroy(i);
}

Test(schema, host_memory)
{
	struct instance *i = make("attacks", "a = nothing", NULL);
	unsigned char *p = i->host.alloc(&i->host, 1000);
	cr_assert(p);
	cr_expect_eq((uintptr_t)p % 64, 0);
	for (int k = 0; k < 1000; k++)
		cr_expect_eq(p[k], 0);
	i->host.free(&i->host, p);
	i->host.free(&i->host, NULL);
	p = i->host.alloc(&i->host, 0);
	cr_expect(p);
	i->host.free(&i->host, p);
	cr_expect_null(i->host.alloc(&i->host, UINT64_MAX));
	cr_expect_str_eq(instance_failure(i), "out of memory: 18446744073709551615 bytes");
	cr_expect_str_eq(instance_failure(i), ""); /* told once */
	cr_expect_null(i->host.extension(&i->host, "rein.nothing/1"));
	instance_destroy(i);
}

static void *fail_elsewhere(void *ctx)
{
	struct work *w = ctx;
	w->host->fail(w->host, "on another thread");
	return NULL;
}

Test(schema, host_failures_are_per_thread_and_instance)
{
	static struct work w;
	struct instance *i = make("attacks", "a = nothing", NULL);
	pthread_t t;
	rein_failf(&i->host, "first %d", 1);
	w.host = &i->host;
	pthread_create(&t, NULL, fail_elsewhere, &w);
	pthread_join(t, NULL);
	cr_expect_str_eq(instance_failure(i), "first 1");
	i->host.fail(&i->host, NULL);
	cr_expect_str_eq(instance_failure(i), "");
	instance_error(i, d, "no sentence");
	cr_expect_eq(diag_errors(d), 1);
	instance_destroy(i);
}

/* Draws depend on seed, name, a and b alone. */
Test(schema, host_random)
{
	struct instance *i = make("attacks", "a = nothing", NULL);
	uint64_t key = rng_key(7, "attacks.a");
	const uint32_t counter[4] = { 5, 1, 6, 0 }, k[2] = { (uint32_t)key, (uint32_t)(key >> 32) };
	uint32_t want[4], is[4], other[4];
	philox(counter, k, want);
	i->host.random(&i->host, 0x100000005u, 6, is);
	cr_expect_arr_eq(is, want, sizeof is);
	instance_destroy(i);
	i = make("attacks", "b = nothing", NULL);
	i->host.random(&i->host, 0x100000005u, 6, other);
	cr_expect_arr_neq(other, want, sizeof is);
	instance_destroy(i);
}
