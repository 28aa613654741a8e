/* SPDX-License-Identifier: MIT
 *
 * cmd_doctor.c: rein doctor: what this machine has, and what is missing. Each check is a
 * function that prints lines; the exit code is 1 if one of them found what stops `run`.
 */
#include "experiment.h"

#include "checkpoint.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <glob.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static void row(const char *what, const char *format, ...)
{
	va_list ap;
	printf("%-12s", what);
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	putchar('\n');
}

static void machine(void)
{
	struct utsname u;
	cpu_set_t set;
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	row("rein", "%s, ABI %u.%u, built with %s", REIN_VERSION, REIN_ABI_MAJOR, REIN_ABI_MINOR,
#ifdef __clang__
	    "clang " __clang_version__
#else
	    "gcc " __VERSION__
#endif
	);
	row("libraries", "cJSON %s", cJSON_Version());
	if (!uname(&u))
		row("system", "%s %s, %s", u.sysname, u.release, u.machine);
#if defined(__x86_64__)
	static const char *const names[] = { "no ", "" };
	__builtin_cpu_init();
	row("cpu", "%savx2, %sfma, %savx512f", names[!!__builtin_cpu_supports("avx2")],
	    names[!!__builtin_cpu_supports("fma")], names[!!__builtin_cpu_supports("avx512f")]);
#endif
	CPU_ZERO(&set);
	if (!sched_getaffinity(0, sizeof set, &set))
		row("threads", "%d of %ld cores may be used", CPU_COUNT(&set), cores);
	row("memory", "%.1f GiB", (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / (1 << 30));
}

static void plugins(struct registry *r)
{
	const char *path, *reason, *by;
	const struct component *c;

	for (int i = 0; (path = registry_folder(r, i)); i++)
		row(i ? "" : "plugins", "%s", path);
	row("", "%d components", registry_count(r));
	for (int i = 0; (path = registry_refused(r, i, &reason)); i++)
		row("refused", "%s: %s", path, reason);
	for (int i = 0; (c = registry_hidden(r, i, &by)); i++)
		row("hidden", "%s/%s of %s: %s was found first", kind_name(c->c.kind), c->c.name, c->path, by);
}

/* true if one can be used */
static bool backends(struct registry *r)
{
	bool any = false;
	for (int i = 0; i < registry_count(r); i++) {
		const struct component *c = registry_at(r, i);
		struct spec spec = { .section = "run", .name = "backend", .component = c->c.name };
		struct rein_device device = { .struct_size = sizeof device };
		struct diag *d = diag_create();
		struct host_env env = { .config_dir = ".", .diag = d };
		if (c->c.kind == REIN_BACKEND) {
			struct instance *b = instance_create(r, REIN_BACKEND, &spec, &env, NULL, NULL, d);
			rein_status st = b && c->vt.backend.probe ? c->vt.backend.probe(b->self, &b->host, &device) : REIN_ERROR;
			if (st >= 0)
				row("backend", "%s %s: %s, %s", c->c.name, c->plugin_version, device.name, device.detail);
			else
				row("backend", "%s %s: not available: %s", c->c.name, c->plugin_version,
				    b ? instance_failure(b) : "it could not be created");
			any |= st >= 0;
			instance_destroy(b);
		}
		diag_destroy(d);
	}
	if (!any)
		row("backend", "none can be used");
	return any;
}

static bool run_folder(const char *out)
{
	char why[512], *probe = path_join(out, ".doctor");
	bool existed = !access(out, F_OK), good = folder_make(out, why, sizeof why);

	good = good && file_replace(probe, "x", 1, why, sizeof why);
	if (good) {
		unlink(probe);
		row("runs", "'%s' can be written", out);
	} else {
		row("runs", "%s", why);
	}
	if (!existed)
		rmdir(out);
	free(probe);
	return good;
}

/* --- data --------------------------------------------------------------------------- */

struct seen {
	int n;
	char *path[512];
	bool there[512];
	int configs[512], last[512];
};

static void see(struct seen *s, char *path, int config)
{
	int i = 0;
	while (i < s->n && strcmp(s->path[i], path))
		i++;
	if (i < s->n) {
		free(path);
	} else if (s->n < 512) {
		s->there[i] = !access(path, R_OK);
		s->last[i] = -1;
		s->path[s->n++] = path;
	} else {
		free(path);
		return;
	}
	s->configs[i] += s->last[i] != config;
	s->last[i] = config;
}

/* Keys of type PATH of [data], as written or by default. */
static void data_of(struct registry *r, const struct config *c, struct seen *s, int number)
{
	const struct section *data = config_section(c, "data");
	for (int i = 0; data && i < data->n_spec; i++) {
		const struct spec *spec = data->spec[i];
		const struct component *comp = registry_find(r, REIN_DATASET, spec->component);
		for (int k = 0; comp && k < comp->n_key; k++)
			for (int a = 0; comp->key[k].type == REIN_KEY_PATH && a < spec->n_arg; a++)
				if (!strcmp(spec->arg[a].key, comp->key[k].key) && spec->arg[a].value[0])
					see(s, path_of_config(c->path, spec->arg[a].value), number);
	}
}

static void data_of_file(struct registry *r, const char *path, struct seen *s, int number)
{
	struct diag *d = diag_create();
	struct config_file *f = config_read(path, d);
	const char *const *variant = NULL;
	int n = f ? config_variants(f, &variant) : 0;

	for (int i = 0; f && (i < n || (!n && i == 0)); i++) {
		struct config *c = config_build(f, n ? variant[i] : NULL, 0, NULL, d);
		if (c)
			data_of(r, c, s, number);
	}
	if (diag_errors(d))
		row("config", "%s has errors; 'rein validate' shows them", path);
	config_file_destroy(f);
	diag_destroy(d);
}

static void data(struct registry *r, const struct cli *c)
{
	const char *root = getenv("REIN_DATA");
	struct seen *s = tool_alloc(sizeof *s);
	glob_t g = { 0 };
	int missing = 0;

	if (root && *root)
		row("REIN_DATA", "%s%s", root, access(root, R_OK) ? " (cannot be read)" : "");
	else
		row("REIN_DATA", "not set: data is looked for beside each config");
	if (!c->n_operand)
		glob("configs/*.ini", 0, NULL, &g);
	for (int i = 0; i < c->n_operand; i++)
		data_of_file(r, c->operand[i], s, i);
	for (size_t i = 0; i < g.gl_pathc; i++)
		data_of_file(r, g.gl_pathv[i], s, (int)i);
	for (int i = 0; i < s->n; i++) {
		row("data", "%s %s (%d config%s)", s->there[i] ? "there:  " : "missing:", s->path[i], s->configs[i],
		    s->configs[i] == 1 ? "" : "s");
		missing += !s->there[i];
		free(s->path[i]);
	}
	if (missing)
		row("", "set REIN_DATA to the folder that has them; datasets/README.md says where to get them");
	globfree(&g);
	free(s);
}

int cmd_doctor(int argc, char **argv)
{
	const char *out = "runs";
	const struct cli_option options[] = {
		{ 0, "out", "DIR", "the folder that runs shall be written to (default: runs)", &out, NULL },
		{ 0, NULL, NULL, NULL, NULL, NULL },
	};
	struct cli c = {
		.command = "doctor",
		.operands = "[FILE...]",
		.about = "Prints versions, processor, plugins that were found and refused, backends with the reason\n"
				 "where one is not available, and the data that the given configs (or configs/*.ini) use.\n"
				 "Exit code 1 if nothing could be run here.",
		.examples = "  rein doctor\n"
					"  REIN_DATA=~/datasets rein doctor configs/001-4-l1-l2.ini\n",
		.option = options,
	};
	int code = cli_parse(&c, argc, argv);

	if (code < 0) {
		struct registry *r = registry_create(c.n_plugin_dir, c.plugin_dir);
		machine();
		plugins(r);
		bool good = backends(r);
		good &= run_folder(out);
		data(r, &c);
		registry_destroy(r);
		code = good ? EXIT_DONE : EXIT_FAILED;
	}
	cli_finish(&c);
	return code;
}
