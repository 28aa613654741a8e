/* SPDX-License-Identifier: MIT
 *
 * cmd_check.c: rein check: is a backend right, or a component? Here the command line is read;
 * check_table.c and check_part.c do what it says.
 */
#include "check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "schema.h"
#include "spec.h"
#include "tool.h"

/* --- the command -------------------------------------------------------------------------------------- */
static bool number(const char *text, int64_t low, int64_t high, int64_t *out)
{
	return parse_int(text, out) && *out >= low && *out <= high;
}

/* --only: names of ops, comma-separated. -1, or an exit code. */
static int only(const struct cli *c, struct check_options *o)
{
	const char *names[REIN_OP_COUNT + 1] = { NULL };
	for (uint32_t op = 0; op < REIN_OP_COUNT; op++)
		names[op] = check_op_name(op);
	for (const char *at = o->only; at && *at; at += strcspn(at, ","), at += *at == ',') {
		char word[64];
		uint32_t op = 0;
		snprintf(word, sizeof word, "%.*s", (int)strcspn(at, ","), at);
		while (op < REIN_OP_COUNT && strcmp(names[op], word))
			op++;
		if (op == REIN_OP_COUNT) {
			const char *near = diag_nearest(word, names);
			return cli_usage(c, "there is no op '%s'%s%s%s; docs/ops.md lists them, and there is 'programs'", word,
			                 near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
		}
		o->some[op] = true;
	}
	return -1;
}

static int read_options(const struct cli *c, struct check_options *o)
{
	if (!number(o->seed, 0, INT64_MAX / 4, &o->seed_n))
		return cli_usage(c, "--seed %s: a whole number from 0 is expected", o->seed);
	if (!number(o->level, 1, 10, &o->level_n))
		return cli_usage(c, "--level %s: a whole number in 1..10 is expected", o->level);
	if (!number(o->seconds, 1, 86400, &o->seconds_n))
		return cli_usage(c, "--timeout %s: whole seconds in 1..86400 are expected", o->seconds);
	o->number_n = -1;
	if (o->number && !number(o->number, 0, 1000000, &o->number_n))
		return cli_usage(c, "--case %s: a whole number from 0 is expected", o->number);
	if (o->number && (!o->only || strchr(o->only, ',')))
		return cli_usage(c, "--case is the number of a case of one op: --only OP says which");
	return only(c, o);
}

/* Numbers that a backend rounds operands of products to: what its key `math` says. */
static int math_of(const struct spec *spec)
{
	int math = CHECK_FP32;
	for (int k = 0; k < spec->n_arg; k++) {
		if (strcmp(spec->arg[k].key, "math"))
			continue;
		math = !strcmp(spec->arg[k].value, "tf32")   ? CHECK_TF32
		       : !strcmp(spec->arg[k].value, "bf16") ? CHECK_BF16
		                                             : CHECK_FP32;
	}
	return math;
}

/* "backend/cuda", "math=tf32" -> a spec and its component; or the path of a file. */
struct subject {
	struct spec spec;
	const struct component *c;
	char *text, *file;
};

/* A word that names no kind: what else it may be meant to be. */
static int unknown_kind(const struct cli *c, const char *what)
{
	return cli_usage(c, "'%s' cannot be checked: give KIND/NAME, such as backend/cuda or layer/linear, or FILE.so",
	                 what);
}

/* -1, or an exit code. */
static int find_subject(const struct cli *c, struct registry *r, struct pool *pool, struct subject *s)
{
	const char *what = c->operand[0], *slash = strchr(what, '/');
	const struct place at = { .file = "command line" };
	char kind_word[32];
	struct diag *d = diag_create();
	int code = -1;
	s->text = tool_strdup(s->file || !slash ? "file" : slash + 1);
	for (int k = 1; k < c->n_operand; k++) {
		char *more = tool_printf("%s %s", s->text, c->operand[k]);
		free(s->text);
		s->text = more;
	}
	snprintf(kind_word, sizeof kind_word, "%.*s", (int)strcspn(what, "/"), what);
	uint32_t kind = s->file ? 0 : kind_by_name(kind_word);
	if (!s->file && (!slash || !kind || kind == KIND_NETWORK)) {
		diag_destroy(d);
		return unknown_kind(c, what);
	}
	s->spec = (struct spec){ .section = s->file ? "file" : kind_section(kind), .name = slash ? slash + 1 : what };
	spec_parse(pool, s->text, &at, &s->spec, d);
	if (!s->file && !diag_errors(d) && !(s->c = registry_find(r, kind, s->spec.component)))
		registry_unknown(r, d, NULL, NULL, NULL, kind, s->spec.component);
	if (diag_errors(d)) {
		const char *reason, *path;
		code = EXIT_USAGE;
		for (int i = 0; s->spec.component && (path = registry_refused(r, i, &reason)); i++)
			code = strstr(path, s->spec.component) ? EXIT_PLUGIN : code;
		diag_print(d, stderr);
	}
	diag_destroy(d);
	return code;
}

static int check(struct cli *c, const struct check_options *o)
{
	const char *what = c->n_operand ? c->operand[0] : "",
			   **dir = tool_alloc((size_t)(c->n_plugin_dir + 1) * sizeof *dir);
	size_t n = strlen(what);
	bool is_file = n > 3 && !strcmp(what + n - 3, ".so");
	struct subject s = { .file = is_file ? realpath(what, NULL) : NULL };
	if (is_file && !s.file) {
		free(dir);
		return cli_usage(c, "'%s' cannot be checked: %s", what, strerror(errno));
	}
	char *folder = s.file ? tool_strdup(s.file) : NULL;
	int code, n_dir = 0;
	if (folder) { /* its folder comes first, so that nothing hides it */
		*strrchr(folder, '/') = 0;
		dir[n_dir++] = folder;
	}
	for (int k = 0; k < c->n_plugin_dir; k++)
		dir[n_dir++] = c->plugin_dir[k];
	struct registry *r = registry_create(n_dir, dir);
	struct pool *pool = pool_create();
	code = c->n_operand ? find_subject(c, r, pool, &s) : cli_usage(c, "check what?");
	if (code < 0 && s.c && s.c->c.kind == REIN_BACKEND) {
		struct check_target target = { r, &s.spec, s.text, math_of(&s.spec) };
		code = check_backend(o, &target);
	} else if (code < 0) {
		if (o->only || o->json || o->number)
			code = cli_usage(c, "--only, --case and --json are for backends");
		else
			code = check_parts(o, r, s.c, &s.spec, s.file);
	}
	free(s.text);
	free(s.file);
	free(folder);
	free(dir);
	pool_destroy(pool);
	registry_destroy(r);
	return code;
}

int cmd_check(int argc, char **argv)
{
	struct check_options o = { .seed = "1", .level = "3", .seconds = "60" };
	const struct cli_option options[] = {
		{ 'l', "level", "N", "backends: 1: seconds, 10: long (default: 3)", &o.level, NULL },
		{ 's', "seed", "N", "backends: seed of all numbers and programs (default: 1)", &o.seed, NULL },
		{ 0, "only", "OPS", "these ops only, comma-separated; 'programs': random programs", &o.only, NULL },
		{ 0, "case", "N", "this case of the op only", &o.number, NULL },
		{ 0, "timeout", "SECONDS", "what takes longer is given up (default: 60)", &o.seconds, NULL },
		{ 0, "json", NULL, "backends: print one JSON object", NULL, &o.json },
		{ 0, NULL, NULL, NULL, NULL, NULL },
	};
	struct cli c = {
		.command = "check",
		.operands = "KIND/NAME | FILE.so [key=value ...]",
		.about = "Holds a backend to the reference kernels of the cpu backend: every op on many shapes and awkward\n"
				 "numbers, then random programs. The bounds are those of docs/numerics.md; the same bits must come\n"
				 "of a second run, of other threads and of another layout of memory, and nothing may be written\n"
				 "outside of tensors. Each case that fails is printed with the command that runs it again.\n"
				 "Other components, or all of a file: made and unmade at the ends of every key's range; layers,\n"
				 "losses, optimizers, penalties and attacks recorded alone: shapes, derivatives against differences\n"
				 "in double, float against double, threads, states in evaluation.\n"
				 "All of it runs in a process of its own, so that crashes are found as well.\n"
				 "Exit code 1 if anything failed, or an op that every backend must run is not there; 3 if the\n"
				 "backend, its device or the plugin is not available.",
		.examples = "  rein check backend/cpu\n  rein check backend/cuda math=tf32 loops=host --level 5\n"
					"  rein check backend/cuda --only matmul,conv2d --seed 7\n"
					"  rein check layer/linear units=7\n  rein check ./huber.so\n",
		.option = options,
	};
	int code = cli_parse(&c, argc, argv);
	if (code < 0)
		code = read_options(&c, &o);
	if (code < 0)
		code = check(&c, &o);
	cli_finish(&c);
	return code;
}
