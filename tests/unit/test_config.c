/* SPDX-License-Identifier: MIT
 *
 * test_config.c: what files, includes, variants and overrides come to, and numbers. What is
 * refused is in test_bad_ini.c.
 */
#include <criterion/criterion.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "component.h"

static char folder[] = "/tmp/rein-config-XXXXXX";

static void begin(void) { cr_assert(mkdtemp(folder) && !chdir(folder)); }
static void end(void)
{
	char line[200];
	snprintf(line, sizeof line, "rm -r %s", folder);
	cr_assert(!chdir("/") && !system(line));
}
TestSuite(config, .init = begin, .fini = end);

static void put(const char *name, const char *text)
{
	FILE *f = fopen(name, "w");
	cr_assert(f && fputs(text, f) >= 0 && !fclose(f));
}

/* The whole config as text: "[section] name = component key=value ..." per line. */
static char *shown(const struct config *c)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	for (int i = 0; i < c->n_section; i++) {
		for (int k = 0; k < c->section[i]->n_spec; k++) {
			const struct spec *s = c->section[i]->spec[k];
			fprintf(out, "[%s] %s = %s", s->section, s->name, s->component);
			for (int a = 0; a < s->n_arg; a++) {
				fprintf(out, " %s=", s->arg[a].key);
				spec_write_value(out, s->arg[a].value);
			}
			fputc('\n', out);
		}
	}
	fclose(out);
	return text;
}

static void expect(const char *file, const char *variant, int n, const char *const *override, const char *want)
{
	struct diag *d = diag_create();
	struct config_file *cf = config_read(file, d);
	struct config *c;
	char *is;
	cr_assert(cf);
	c = config_build(cf, variant, n, override, d);
	is = shown(c);
	cr_expect_str_eq(is, want, "expected\n%s\ngot\n%s", want, is);
	cr_expect_eq(diag_flush(d, stderr), 0);
	free(is);
	config_file_destroy(cf);
	diag_destroy(d);
}

Test(config, reads)
{
	put("a.ini", "[run]\nx = 1\n[network]\nfeatures.0 = conv2d filters=3\n");
	expect("a.ini", NULL, 0, NULL, "[run] x = 1\n[network] features.0 = conv2d filters=3\n");
	put("b.ini", "[run]\nseeds = 1, 2 ; inline\n  out = \"my runs\"\n[network]\r\n"
	             "\tfc1\t= linear\tunits=300 name=\"a b ;c \\\"d\\\" \\\\\" ; why not\r\n"
	             "[network  teacher]\nfc1 = linear units=3\n[regularizers]\n"
	             "lasso = l1 lambda=8/255 on=*.weight,fc1.bias\nempty = l2 lambda=");
	expect("b.ini", "", 0, NULL,
	       "[run] seeds = 1, 2\n[run] out = my runs\n"
	       "[network] fc1 = linear units=300 name=\"a b ;c \\\"d\\\" \\\\\"\n"
	       "[network teacher] fc1 = linear units=3\n"
	       "[regularizers] lasso = l1 lambda=8/255 on=*.weight,fc1.bias\n[regularizers] empty = l2 lambda=\n");
}

Test(config, long_lines_reach_the_config_whole)
{
	char file[4096], want[4096];
	char *f = file, *w = want;
	f += sprintf(f, "[data]\ntrain = idx");
	w += sprintf(w, "[data] train = idx");
	for (int i = 0; i < 100; i++) {
		f += sprintf(f, " key_number_%d=%d", i, i);
		w += sprintf(w, " key_number_%d=%d", i, i);
	}
	sprintf(f, "\n");
	sprintf(w, "\n");
	put("long.ini", file);
	expect("long.ini", NULL, 0, NULL, want);
}

/* The including file has the last word, in the place of the included line. */
Test(config, includes)
{
	mkdir("sub", 0777);
	put("sub/leaf.ini", "[network]\na = relu\nb = tanh\nc = relu\n[run]\nepochs = 5\n[variant v]\nrun.epochs = 7\n");
	put("sub/base.ini", "include = leaf.ini\n[run]\nseed = 3\n");
	put("main.ini",
	    "include = sub/base.ini\n[network]\nb = linear units=3\nd = relu\na =\n[variant v]\nrun.seed = 9\n");
	expect("main.ini", NULL, 0, NULL,
	       "[network] b = linear units=3\n[network] c = relu\n[network] d = relu\n[run] epochs = 5\n[run] seed = 3\n");
	expect("main.ini", "v", 0, NULL,
	       "[network] b = linear units=3\n[network] c = relu\n[network] d = relu\n[run] epochs = 7\n[run] seed = 9\n");
	cr_assert(!chdir("sub"));
	expect("../main.ini", NULL, 0, NULL,
	       "[network] b = linear units=3\n[network] c = relu\n[network] d = relu\n[run] epochs = 5\n[run] seed = 3\n");
}

/* Reading a pipe would wait for ever. */
Test(config, includes_no_pipes, .timeout = 10)
{
	struct diag *d = diag_create();
	cr_assert(!mkfifo("pipe.ini", 0666));
	put("main.ini", "include = pipe.ini\n");
	config_file_destroy(config_read("main.ini", d));
	cr_expect_eq(diag_errors(d), 1);
	diag_destroy(d);
}

Test(config, variants)
{
	struct diag *d = diag_create();
	struct config_file *cf;
	struct config *c;
	const char *const *name;
	put("v.ini", "[run]\nepochs = 5\n[network]\nfc1 = linear units=300\nfc2 = linear units=10 bias=no\n[regularizers]\n"
	             "lasso = l1 lambda=0.1\n[variant plain]\n[variant none]\nregularizers.lasso =\nrun.epochs =\n"
	             "[variant l1.half]\nregularizers.lasso.lambda = 0.05\nregularizers.ridge = l2 lambda=1 half=yes\n"
	             "network.fc2.bias =\nnetwork.fc*.init = \"xavier_uniform\"\nrun.batch = 10\n");
	expect("v.ini", "plain", 0, NULL,
	       "[run] epochs = 5\n[network] fc1 = linear units=300\n[network] fc2 = linear units=10 bias=no\n"
	       "[regularizers] lasso = l1 lambda=0.1\n");
	expect("v.ini", "none", 0, NULL, "[network] fc1 = linear units=300\n[network] fc2 = linear units=10 bias=no\n");
	expect("v.ini", "l1.half", 0, NULL,
	       "[run] epochs = 5\n[run] batch = 10\n[network] fc1 = linear units=300 init=xavier_uniform\n"
	       "[network] fc2 = linear units=10 init=xavier_uniform\n[regularizers] lasso = l1 lambda=0.05\n"
	       "[regularizers] ridge = l2 lambda=1 half=yes\n");
	cf = config_read("v.ini", d);
	cr_assert_eq(config_variants(cf, &name), 3);
	cr_expect_str_eq(name[0], "plain");
	cr_expect_str_eq(name[2], "l1.half");
	c = config_build(cf, "none", 0, NULL, d);
	cr_expect_str_eq(c->variant, "none");
	cr_expect_str_eq(c->stem, "v");
	cr_expect_eq(c->n_variant, 3);
	cr_expect_eq(diag_errors(d), 0);
	config_build(cf, "nnoe", 0, NULL, d);
	cr_expect_eq(diag_errors(d), 1);
	config_file_destroy(cf);
	diag_destroy(d);
}

Test(config, overrides)
{
	const char *const over[] = { "network.fc1.units=100",
		                         "run.epochs=1",
		                         "run.backend=cpu",
		                         "regularizers.lasso=l2 lambda=.1 on=\"fc1.*\"",
		                         "regularizers.new=sam",
		                         "regularizers.new.rho=0.05",
		                         "network.features.0.filters=4",
		                         "network teacher.t.units=2",
		                         "attacks.a=fgsm epsilon=8/255",
		                         "data.train.images=/a dir/x.gz",
		                         "search.regularizers.lasso.lambda=log 1e-6..1e-1" };
	put("o.ini", "[run]\nepochs = 5\n[data]\ntrain = idx\n[network]\nfc1 = linear units=300\nfeatures.0 = conv2d\n"
	             "[network teacher]\nt = linear\n[regularizers]\nlasso = l1 lambda=0.1\n[variant a]\nrun.epochs = 2\n"
	             "network.fc1.units = 7\n");
	expect("o.ini", "a", 11, over,
	       "[run] epochs = 1\n[run] backend = cpu\n[data] train = idx images=\"/a dir/x.gz\"\n"
	       "[network] fc1 = linear units=100\n"
	       "[network] features.0 = conv2d filters=4\n[network teacher] t = linear units=2\n"
	       "[regularizers] lasso = l2 lambda=.1 on=fc1.*\n[regularizers] new = sam rho=0.05\n"
	       "[attacks] a = fgsm epsilon=8/255\n[search] regularizers.lasso.lambda = log 1e-6..1e-1\n");
	{
		const char *const gone[] = { "network.*=", "regularizers.lasso=", "run.epochs=", "data.train=" };
		expect("o.ini", NULL, 4, gone, "[network teacher] t = linear\n");
	}
}

/* One file, many configs: an override of one is not seen in another. */
Test(config, builds_do_not_share)
{
	const char *const one[] = { "network.*.init=a" }, *const two[] = { "network.fc1.units=2" };
	put("s.ini", "[network]\nfc1 = linear units=300\n");
	struct diag *d = diag_create();
	struct config_file *cf = config_read("s.ini", d);
	struct config *a = config_build(cf, NULL, 1, one, d), *b = config_build(cf, NULL, 1, two, d);
	char *x = shown(a), *y = shown(b);
	cr_expect_str_eq(x, "[network] fc1 = linear units=300 init=a\n");
	cr_expect_str_eq(y, "[network] fc1 = linear units=2\n");
	free(x);
	free(y);
	config_file_destroy(cf);
	diag_destroy(d);
}

Test(config, settings)
{
	static const char *const known[] = { "epochs", "seed", NULL };
	struct diag *d = diag_create();
	put("s.ini", "[run]\nepochs = 5\nsead = 1\n");
	struct config_file *cf = config_read("s.ini", d);
	struct config *c = config_build(cf, NULL, 0, NULL, d);
	const struct arg *a = config_setting(c, "run", "epochs");
	char *text = NULL;
	size_t size;
	FILE *out;
	cr_assert(a);
	cr_expect_str_eq(a->value, "5");
	cr_expect_eq(a->value_at.line, 2);
	cr_expect_null(config_setting(c, "run", "seed"));
	cr_expect_null(config_setting(c, "search", "trials"));
	config_unknown_settings(c, "run", known, d);
	out = open_memstream(&text, &size);
	cr_expect_eq(diag_flush(d, out), 1);
	fclose(out);
	cr_expect_str_eq(text, "s.ini:3: [run] sead = 1\n"
	                       "               ^~~~ unknown setting 'sead'; did you mean 'seed'? known: epochs, seed\n"
	                       "1 error; nothing was run\n");
	free(text);
	config_file_destroy(cf);
	diag_destroy(d);
}

Test(config, unreadable)
{
	struct diag *d = diag_create();
	cr_expect_null(config_read("nowhere.ini", d));
	cr_expect_null(config_read(".", d));
	cr_expect_eq(diag_errors(d), 2);
	cr_assert(!system("head -c 5000000 /dev/zero > huge.ini"));
	cr_expect_null(config_read("huge.ini", d));
	cr_expect_eq(diag_errors(d), 3);
	put("empty.ini", "");
	struct config_file *cf = config_read("empty.ini", d);
	cr_assert(cf);
	cr_expect_eq(config_build(cf, NULL, 0, NULL, d)->n_section, 0);
	config_file_destroy(cf);
	diag_destroy(d);
}

/* --- numbers ------------------------------------------------------------------------ */

static void reals(void)
{
	static const struct {
		const char *text;
		double value;
	} good[] = { { "0.5", 0.5 },        { "1e-3", 1e-3 },  { "8/255", 8.0 / 255 }, { "-3", -3 },
		         { "+.5", 0.5 },        { "5.", 5 },       { "1E6", 1e6 },         { "inf", INFINITY },
		         { "-inf", -INFINITY }, { "-1/-4", 0.25 }, { "1e-320", 1e-320 } };
	static const char *const bad[] = { "",  "x", "1x",  " 1", "1 ", "0x10",  "1,5",   "nan",      "1e",  "e5",
		                               ".", "-", "1/0", "1/", "/2", "1/2/3", "1e999", "infinity", "1e+", "--1" };
	double v;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		cr_expect(parse_real(good[i].text, &v) && v == good[i].value, "%s gave %g", good[i].text, v);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		cr_expect(!parse_real(bad[i], &v), "%s was taken", bad[i]);
}

Test(numbers, reals) { reals(); }

/* The process's locale must not matter: a comma for the decimal point. Where no such locale
 * is installed one is made, if the system can. */
static bool comma_locale(void)
{
	static const char *const names[] = { "de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de_DE" };
	char dir[] = "/tmp/rein-locale-XXXXXX", line[300];
	bool found = false;
	for (size_t i = 0; i < 4 && !found; i++)
		found = setlocale(LC_ALL, names[i]) != NULL;
	if (found || !mkdtemp(dir))
		return found;
	snprintf(line, sizeof line, "localedef -c -i de_DE -f UTF-8 %s/de_DE.UTF-8 2>/dev/null >&2", dir);
	if (!system(line)) {
		setenv("LOCPATH", dir, 1);
		found = setlocale(LC_ALL, "de_DE.UTF-8") != NULL;
	}
	snprintf(line, sizeof line, "rm -r %s", dir);
	return system(line) == 0 && found;
}

Test(numbers, comma_locale)
{
	char buf[64];
	if (!comma_locale())
		cr_skip_test("no locale with a decimal comma can be had");
	snprintf(buf, sizeof buf, "%g", 0.5);
	cr_expect_str_eq(buf, "0,5");
	reals();
	cr_expect_str_eq(format_real(buf, sizeof buf, 0.1), "0.1");
	snprintf(buf, sizeof buf, "%g", 0.5);
	cr_expect_str_eq(buf, "0,5"); /* the locale itself is left alone */
}

Test(numbers, integers)
{
	static const char *const bad[] = { "", "1.0", "1e3", "0x1", " 1", "9223372036854775808", "-", "1_000" };
	int64_t v;
	cr_expect(parse_int("-9223372036854775808", &v) && v == INT64_MIN);
	cr_expect(parse_int("9223372036854775807", &v) && v == INT64_MAX);
	cr_expect(parse_int("+7", &v) && v == 7);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		cr_expect(!parse_int(bad[i], &v), "%s was taken", bad[i]);
}

Test(numbers, bools)
{
	bool v = false;
	cr_expect(parse_bool("yes", &v) && v);
	cr_expect(parse_bool("off", &v) && !v);
	cr_expect(parse_bool("1", &v) && v);
	cr_expect(parse_bool("false", &v) && !v);
	cr_expect(!parse_bool("Yes", &v) && !parse_bool("", &v) && !parse_bool("2", &v));
}

Test(numbers, text_of_reals)
{
	static const struct {
		double v;
		const char *text;
	} is[] = { { 0, "0" },          { 1e6, "1e6" },
		       { 0.1, "0.1" },      { 1e-6, "1e-6" },
		       { -2.5, "-2.5" },    { 1e100, "1e100" },
		       { INFINITY, "inf" }, { -INFINITY, "-inf" },
		       { 255, "255" },      { 1.0 / 3, "0.3333333333333333" } };
	char buf[64];
	double back;
	for (size_t i = 0; i < sizeof is / sizeof *is; i++) {
		cr_expect_str_eq(format_real(buf, sizeof buf, is[i].v), is[i].text);
		cr_expect(parse_real(buf, &back) && back == is[i].v);
	}
}

Test(numbers, patterns)
{
	cr_expect(pattern_match("*", "fc1.weight"));
	cr_expect(pattern_match("*.weight,bn*.bias", "bn1.bias"));
	cr_expect(pattern_match("a*b*c", "a-b-b-c"));
	cr_expect(pattern_match("fc1.weight", "fc1.weight"));
	cr_expect(!pattern_match("*.weight", "fc1.weights"));
	cr_expect(!pattern_match("", "x"));
	cr_expect(!pattern_match("fc1.weigh", "fc1.weight"));
	cr_expect(!pattern_match("a*b*c", "a-b-b"));
}
