/* SPDX-License-Identifier: MIT
 *
 * check_part.c: rein check KIND/NAME and rein check FILE.so: what can be said of a component
 * without a config. Its file shows one symbol; every key has a help text; it is made and unmade
 * at both ends of every key's range, and refuses with a message what it does not take; and, where
 * its kind can be recorded alone, check_number.c looks at the numbers.
 */
#include "check_part.h"

#include <elf.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "schema.h"
#include "tool.h"

enum { SYMBOLS, KEYS, MAKE, RANGE, BEYOND, VALUES, ODD, NUMBERS, N_WHAT };
static const char *const what_text[N_WHAT] = {
	[SYMBOLS] = "one symbol",   [KEYS] = "help texts",          [MAKE] = "made and unmade",
	[RANGE] = "ends of ranges", [BEYOND] = "outside of ranges", [VALUES] = "values over time",
	[ODD] = "odd shapes",       [NUMBERS] = "numbers",
};

struct part_case {
	int what;
	const struct component *c;
	const char *key;
	char value[64];
	struct part_shape shape;
};
struct line {
	int cases, passed, failed, refused;
};
struct all {
	struct registry *registry;
	const struct spec *given;
	const struct check_options *options;
	int n, cap, n_failure;
	struct part_case *at;
	struct line line[N_WHAT];
	char refusal[600]; /* of numbers, the last */
	const char *needs; /* a key that must be given, and cannot be guessed */
};

/* --- the list ------------------------------------------------------------------------------------ */
static struct part_case *add(struct all *a, int what, const struct component *c)
{
	if (a->n == a->cap) {
		struct part_case *more = tool_alloc((size_t)(a->cap = 2 * a->cap + 64) * sizeof *more);
		if (a->n)
			memcpy(more, a->at, (size_t)a->n * sizeof *more);
		free(a->at);
		a->at = more;
	}
	a->at[a->n] = (struct part_case){ .what = what, .c = c };
	return &a->at[a->n++];
}

static void add_value(struct all *a, const struct component *c, int what, const struct rein_key *k, const char *value)
{
	struct part_case *p = add(a, what, c);
	p->key = k->key;
	snprintf(p->value, sizeof p->value, "%s", value);
}

static void add_number(struct all *a, const struct component *c, int what, const struct rein_key *k, double v)
{
	char text[40];
	if (k->type == REIN_KEY_INT || k->type == REIN_KEY_INTS)
		snprintf(text, sizeof text, "%.0f", v);
	else
		format_real(text, sizeof text, v);
	add_value(a, c, what, k, text);
}

static void add_ends(struct all *a, const struct component *c, const struct rein_key *k)
{
	bool whole = k->type == REIN_KEY_INT || k->type == REIN_KEY_INTS;
	switch (k->type) {
	case REIN_KEY_BOOL:
		add_value(a, c, RANGE, k, "yes");
		add_value(a, c, RANGE, k, "no");
		return;
	case REIN_KEY_ENUM:
		for (int i = 0; k->choices[i]; i++)
			add_value(a, c, RANGE, k, k->choices[i]);
		add_value(a, c, BEYOND, k, "no_such_choice");
		return;
	case REIN_KEY_INT:
	case REIN_KEY_REAL:
	case REIN_KEY_INTS:
	case REIN_KEY_REALS: break;
	default: return; /* texts, files, names of others */
	}
	double low = k->min, high = k->max, step = whole ? 1 : 0;
	if (k->flags & REIN_KEY_OVER_MIN)
		low = whole ? low + 1 : nextafter(low, (double)INFINITY);
	if (k->flags & REIN_KEY_UNDER_MAX)
		high = whole ? high - 1 : nextafter(high, -(double)INFINITY);
	if (fabs(k->min) < 9e15) {
		add_number(a, c, RANGE, k, low);
		add_number(a, c, BEYOND, k, whole ? k->min - step : nextafter(k->min, -(double)INFINITY));
	}
	if (fabs(k->max) < 9e15) {
		add_number(a, c, RANGE, k, high);
		add_number(a, c, BEYOND, k, whole ? k->max + step : nextafter(k->max, (double)INFINITY));
	}
}

/* A value for a key that must be given; false: it cannot be guessed. */
static bool guess(const struct rein_key *k, char *out, size_t size)
{
	bool whole = k->type == REIN_KEY_INT || k->type == REIN_KEY_INTS;
	if (k->type == REIN_KEY_ENUM)
		snprintf(out, size, "%s", k->choices[0]);
	else if (whole || k->type == REIN_KEY_REAL || k->type == REIN_KEY_REALS)
		format_real(out, size, fmin(fmax(whole ? 3 : 0.5, k->min), k->max));
	else if (k->type == REIN_KEY_BOOL)
		snprintf(out, size, "yes");
	else
		return false;
	return true;
}

static bool is_given(const struct spec *s, const char *key)
{
	for (int k = 0; k < s->n_arg; k++)
		if (!strcmp(s->arg[k].key, key))
			return true;
	return false;
}

static void add_component(struct all *a, const struct component *c)
{
	char text[64];
	struct part_shape s;
	add(a, SYMBOLS, c);
	add(a, KEYS, c);
	a->needs = NULL;
	for (int k = 0; k < c->n_key; k++)
		if (!c->key[k].def && !c->key[k].instead && !is_given(a->given, c->key[k].key) &&
		    !guess(&c->key[k], text, sizeof text))
			a->needs = c->key[k].key;
	if (a->needs || c->c.kind == REIN_BACKEND)
		return;
	add(a, MAKE, c);
	for (int k = 0; k < c->n_key; k++)
		if (!c->key[k].instead)
			add_ends(a, c, &c->key[k]);
	if (c->c.kind == REIN_SCHEDULE)
		add(a, VALUES, c);
	if (!part_records(c))
		return;
	for (int k = 0; part_shape(c, true, k, &s); k++)
		add(a, ODD, c)->shape = s;
	for (int k = 0; part_shape(c, false, k, &s); k++)
		add(a, NUMBERS, c)->shape = s;
}

/* --- the file -------------------------------------------------------------------------------------------- */
/* Symbols that the dynamic linker would give to others, but for the entry. */
static void check_file(const struct component *c, struct check_report *r)
{
	FILE *f = fopen(c->path, "rb");
	Elf64_Ehdr head;
	bool good = f && fread(&head, sizeof head, 1, f) == 1 && !memcmp(head.e_ident, ELFMAG, SELFMAG) &&
	            head.e_ident[EI_CLASS] == ELFCLASS64;
	for (int s = 0; good && s < head.e_shnum; s++) {
		Elf64_Shdr table, names;
		fseek(f, (long)(head.e_shoff + (uint64_t)s * head.e_shentsize), SEEK_SET);
		if (fread(&table, sizeof table, 1, f) != 1 || table.sh_type != SHT_DYNSYM || !table.sh_entsize)
			continue;
		fseek(f, (long)(head.e_shoff + (uint64_t)table.sh_link * head.e_shentsize), SEEK_SET);
		if (fread(&names, sizeof names, 1, f) != 1)
			break;
		for (uint64_t k = 0; k < table.sh_size / table.sh_entsize; k++) {
			Elf64_Sym sym;
			char name[128] = "";
			fseek(f, (long)(table.sh_offset + k * table.sh_entsize), SEEK_SET);
			if (fread(&sym, sizeof sym, 1, f) != 1 || sym.st_shndx == SHN_UNDEF ||
			    ELF64_ST_BIND(sym.st_info) == STB_LOCAL)
				continue;
			fseek(f, (long)(names.sh_offset + sym.st_name), SEEK_SET);
			if (!fgets(name, sizeof name, f) || !strcmp(name, "rein_plugin_entry"))
				continue;
			r->status = CHECK_FAILED;
			snprintf(r->text, sizeof r->text, "%s exports '%s'; compile with -fvisibility=hidden", c->path, name);
		}
	}
	if (f)
		fclose(f);
}

static void check_keys(const struct component *c, struct check_report *r)
{
	for (int k = 0; k < c->n_key; k++) {
		if (c->key[k].help && *c->key[k].help)
			continue;
		r->status = CHECK_FAILED;
		snprintf(r->text, sizeof r->text, "key '%s' has no help text", c->key[k].key);
	}
}

/* --- making ------------------------------------------------------------------------------------------------ */
/* The keys given, guesses for those that must be, and one that is tried; instance or NULL. */
static struct instance *make(struct all *a, struct part_bench *b, const struct part_case *p, struct spec *spec)
{
	const struct component *c = p->c;
	struct arg *arg = tool_alloc((size_t)(a->given->n_arg + c->n_key + 1) * sizeof *arg);
	char(*guessed)[64] = tool_alloc((size_t)(c->n_key + 1) * sizeof *guessed);
	struct host_env env = { .seed = 1, .config_dir = ".", .diag = b->diag };
	int n = 0;
	*spec = (struct spec){ .section = kind_section(c->c.kind), .name = c->c.name, .component = c->c.name, .arg = arg };
	if (p->key)
		arg[n++] = (struct arg){ .key = p->key, .value = p->value };
	for (int k = 0; k < a->given->n_arg; k++)
		if (!p->key || strcmp(p->key, a->given->arg[k].key))
			arg[n++] = a->given->arg[k];
	spec->n_arg = n;
	for (int k = 0; k < c->n_key; k++)
		if (!c->key[k].def && !c->key[k].instead && !is_given(spec, c->key[k].key) &&
		    guess(&c->key[k], guessed[k], sizeof guessed[k])) {
			arg[n++] = (struct arg){ .key = c->key[k].key, .value = guessed[k] };
			spec->n_arg = n;
		}
	struct instance *i = instance_create(a->registry, c->c.kind, spec, &env, NULL, NULL, b->diag);
	free(guessed); /* keys are converted; texts are never guessed */
	return i;
}

static void unmake(struct instance *i, struct spec *spec)
{
	instance_destroy(i);
	free(spec->arg);
}

static void fail(struct check_report *r, const char *what, const char *why)
{
	r->status = CHECK_FAILED;
	snprintf(r->text, sizeof r->text, "%s%s%s", what, *why ? ": " : "", why);
}

static void check_make(struct all *a, struct part_bench *b, const struct part_case *p, struct check_report *r)
{
	for (int again = 0; again < 2 && r->status == CHECK_PASSED; again++) {
		struct spec spec;
		char why[600];
		struct instance *i = make(a, b, p, &spec);
		check_messages(b->diag, why, sizeof why);
		if (!i)
			fail(r, "it cannot be made as it is by default", why);
		unmake(i, &spec);
	}
}

/* Made, or refused with a message; then recorded, or refused with a message. */
static void check_range(struct all *a, struct part_bench *b, const struct part_case *p, struct check_report *r)
{
	struct spec spec;
	char why[600];
	struct part_shape shape;
	struct instance *i = make(a, b, p, &spec);
	check_messages(b->diag, why, sizeof why);
	if (!i && !why[0])
		fail(r, "it was refused, and nobody says why", "");
	for (int k = 0; i && r->status == CHECK_PASSED && part_records(p->c) && part_shape(p->c, false, k, &shape); k++)
		if (!part_record_only(b, i, &shape, why, sizeof why) && !why[0])
			fail(r, "recording was refused, and nobody says why", "");
	unmake(i, &spec);
}

static void check_beyond(struct all *a, struct part_bench *b, const struct part_case *p, struct check_report *r)
{
	struct spec spec;
	char why[600];
	struct instance *i = make(a, b, p, &spec);
	check_messages(b->diag, why, sizeof why);
	if (i)
		fail(r, "it was made all the same", "");
	else if (!strstr(why, p->key) && !strstr(why, p->value))
		fail(r, "the message does not name the key", why);
	unmake(i, &spec);
}

/* A schedule's factor is a number at any time, and the same one whenever it is asked for. */
static void check_values(struct all *a, struct part_bench *b, const struct part_case *p, struct check_report *r)
{
	struct spec spec;
	char why[600];
	struct instance *i = make(a, b, p, &spec);
	check_messages(b->diag, why, sizeof why);
	if (!i)
		fail(r, "it cannot be made", why);
	for (int64_t step = 0; i && step < 400; step++) {
		struct rein_time t = {
			.struct_size = sizeof t, .step = step, .epoch = step / 10, .steps_per_epoch = 10, .epochs = 40
		};
		double once = p->c->vt.schedule.value(i->self, &t), other;
		struct rein_time far = t;
		far.step += 1000;
		p->c->vt.schedule.value(i->self, &far);
		other = p->c->vt.schedule.value(i->self, &t);
		snprintf(why, sizeof why, "%.17g at step %lld, then %.17g", once, (long long)step, other);
		if (!isfinite(once) || memcmp(&once, &other, sizeof once))
			fail(r, "the factor is not finite, or not the same every time", why);
	}
	unmake(i, &spec);
}

static void check_recorded(struct all *a, struct part_bench *b, const struct part_case *p, struct check_report *r)
{
	struct spec spec;
	char why[600];
	struct instance *i = make(a, b, p, &spec);
	check_messages(b->diag, why, sizeof why);
	if (!i)
		fail(r, "it cannot be made", why);
	else if (p->what == NUMBERS)
		part_numbers(b, i, &p->shape, r);
	else if (!part_record_only(b, i, &p->shape, why, sizeof why) && !why[0])
		fail(r, "it was refused, and nobody says why", "");
	unmake(i, &spec);
}

/* --- in the child ------------------------------------------------------------------------------------------- */
static void close_bench(void *opened)
{
	struct part_bench *b = opened;
	for (int k = 0; k < PART_N_WAY; k++)
		instance_destroy(b->way[k]);
	diag_destroy(b->diag);
	free(b);
}

static void *open_bench(void *ctx, struct check_report *r)
{
	static const uint32_t threads[PART_N_WAY] = { 1, 1, 3 };
	struct all *a = ctx;
	struct part_bench *b = tool_alloc(sizeof *b);
	b->registry = a->registry;
	b->diag = diag_create();
	b->spec = (struct spec){ .section = "run", .name = "backend", .component = CHECK_REFERENCE };
	for (int k = 0; k < PART_N_WAY; k++) {
		struct host_env env = { .seed = 1, .config_dir = ".", .diag = b->diag };
		struct rein_backend_options o = { .struct_size = sizeof o, .threads = threads[k], .device = -1 };
		o.flags = k == PART_EXACT ? REIN_NAIVE : 0;
		b->way[k] = instance_create(a->registry, REIN_BACKEND, &b->spec, &env, NULL, NULL, b->diag);
		if (b->way[k] && b->way[k]->component->vt.backend.open(b->way[k]->self, &b->way[k]->host, &o) >= 0)
			continue;
		if (b->way[k])
			instance_error(b->way[k], b->diag, "it cannot be opened");
		else
			registry_unknown(a->registry, b->diag, NULL, NULL, NULL, REIN_BACKEND, CHECK_REFERENCE);
		r->status = CHECK_NO_DEVICE;
		check_messages(b->diag, r->text, sizeof r->text);
		close_bench(b);
		return NULL;
	}
	return b;
}

static void run_case(void *opened, void *ctx, int k, struct check_report *r)
{
	struct all *a = ctx;
	const struct part_case *p = &a->at[k];
	switch (p->what) {
	case SYMBOLS: check_file(p->c, r); break;
	case KEYS: check_keys(p->c, r); break;
	case MAKE: check_make(a, opened, p, r); break;
	case RANGE: check_range(a, opened, p, r); break;
	case BEYOND: check_beyond(a, opened, p, r); break;
	case VALUES: check_values(a, opened, p, r); break;
	default: check_recorded(a, opened, p, r); break;
	}
}

static int group_of(void *ctx, int k) { return ((struct all *)ctx)->at[k].what; }

/* --- what came of it ------------------------------------------------------------------------------------------ */
/* ", on real (4,6), training" */
static void print_shape(const struct part_case *p)
{
	static const char *const modes[] = { "evaluation", "training", "statistics", "?" };
	struct check_operand x;
	uint32_t kind = p->c->c.kind, accept = p->shape.accept;
	check_operands(p->shape.in, 1, &x);
	printf(", on %s (", dtype_name(x.dtype));
	for (uint32_t a = 0; a < x.rank; a++)
		printf("%s%lld", a ? "," : "", (long long)x.dim[a]);
	printf(")");
	free(x.v);
	if (kind == REIN_LAYER)
		printf(", %s%s", modes[p->shape.mode & 3u], p->shape.mode & REIN_KEEP_STATE ? ", states kept" : "");
	if (kind == REIN_LOSS)
		printf(", %s", accept == REIN_ACCEPT_CLASS  ? "classes"
		               : accept == REIN_ACCEPT_SOFT ? "distributions"
		                                            : "real targets");
}

static void on_report(void *ctx, int k, const struct check_report *r)
{
	struct all *a = ctx;
	const struct part_case *p = &a->at[k];
	struct line *l = &a->line[p->what];
	l->cases++;
	l->passed += r->status == CHECK_PASSED;
	l->refused += r->status == CHECK_UNSUPPORTED;
	if (r->status == CHECK_UNSUPPORTED)
		snprintf(a->refusal, sizeof a->refusal, "%.599s", r->text);
	if (r->status == CHECK_PASSED || r->status == CHECK_UNSUPPORTED)
		return;
	l->failed++;
	a->n_failure++;
	printf("failed: %s/%s, %s", kind_name(p->c->c.kind), p->c->c.name, what_text[p->what]);
	if (p->key)
		printf(", %s=%s", p->key, p->value);
	if (p->shape.in)
		print_shape(p);
	printf(":\n  %s\n", r->text);
}

static void print_lines(struct all *a, const struct component *c)
{
	printf("%s/%s (%s %s)\n", kind_name(c->c.kind), c->c.name, c->plugin, c->plugin_version);
	for (int w = 0; w < N_WHAT; w++) {
		const struct line *l = &a->line[w];
		if (!l->cases)
			continue;
		printf("  %-20s %4d cases, %d passed, %d failed", what_text[w], l->cases, l->passed, l->failed);
		printf(l->refused ? ", %d refused with a message\n" : "\n", l->refused);
	}
	if (a->needs)
		printf("  not made: key '%s' must be given; where it names another instance, only a config can\n", a->needs);
	else if (c->c.kind == REIN_BACKEND)
		printf("  'rein check backend/%s' holds it to the reference\n", c->c.name);
	else if (!part_records(c) && c->c.kind != REIN_SCHEDULE)
		puts("  not recorded: it does its work in a config; run its example");
}

static int check_component(const struct check_options *o, struct registry *r, const struct component *c,
                           const struct spec *given)
{
	struct diag *d = diag_create();
	bool good = spec_given(given, c, d); /* else every case would say the same */
	if (!good)
		diag_print(d, stderr);
	diag_destroy(d);
	if (!good)
		return EXIT_USAGE;
	struct all *a = tool_alloc(sizeof *a);
	struct check_report first;
	int code = EXIT_DONE;
	a->registry = r;
	a->given = given;
	a->options = o;
	add_component(a, c);
	struct check_jobs jobs = { .n = a->n,
		                       .seconds = (int)o->seconds_n,
		                       .n_group = N_WHAT,
		                       .group = group_of,
		                       .open = open_bench,
		                       .run = run_case,
		                       .close = close_bench,
		                       .on = on_report,
		                       .ctx = a };
	if (!check_children(&jobs, &first)) {
		fprintf(stderr, "rein check: %s\n", first.text);
		code = EXIT_PLUGIN;
	} else {
		struct line *n = &a->line[NUMBERS];
		if (n->cases && n->refused == n->cases) {
			printf("failed: %s/%s, no input that was tried is taken:\n  %s\n", kind_name(c->c.kind), c->c.name,
			       a->refusal);
			n->failed++;
			a->n_failure++;
		}
		print_lines(a, c);
		code = a->n_failure ? EXIT_FAILED : EXIT_DONE;
	}
	free(a->at);
	free(a);
	return code;
}

int check_parts(const struct check_options *o, struct registry *r, const struct component *c, const struct spec *given,
                const char *file)
{
	int code = EXIT_DONE, n = 0;
	for (int k = 0; k < registry_count(r); k++) {
		const struct component *x = registry_at(r, k);
		if (c ? x != c : strcmp(x->path, file) != 0)
			continue;
		int one = check_component(o, r, x, given);
		code = one > code ? one : code;
		n++;
	}
	if (n)
		return code;
	const char *reason, *path;
	for (int k = 0; (path = registry_refused(r, k, &reason)); k++)
		if (!strcmp(path, file)) {
			fprintf(stderr, "rein check: %s is refused: %s\n", path, reason);
			return EXIT_PLUGIN;
		}
	fprintf(stderr, "rein check: %s holds no component that is used\n", file);
	return EXIT_PLUGIN;
}
