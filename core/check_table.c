/* SPDX-License-Identifier: MIT
 *
 * check_table.c: rein check backend/NAME: the cases run, and what came of them as a table or JSON.
 */
#include "check.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

#define MOST_SHOWN 3 /* failures of one op that are told in full */

struct line {
	int cases, passed, failed, unsupported, present, decomposed;
	double worst;
};
struct failure {
	const struct check_case *c;
	int status;
	char *text;
};
struct tally {
	const struct check_target *target;
	const struct check_case *list;
	struct line op[REIN_OP_COUNT];
	bool lacks[REIN_OP_COUNT]; /* ops that some case was not supported for */
	int n_failure, cap_failure;
	struct failure *failure;
};

/* --- what came of it ------------------------------------------------------------------------------ */
static void on_report(void *ctx, int k, const struct check_report *r)
{
	struct tally *t = ctx;
	const struct check_case *c = &t->list[k];
	struct line *l = &t->op[c->op];
	l->cases++;
	l->passed += r->status == CHECK_PASSED;
	l->unsupported += r->status == CHECK_UNSUPPORTED;
	l->present += r->present;
	l->decomposed += r->decomposed;
	l->worst = fmax(l->worst, r->worst);
	if (r->status == CHECK_UNSUPPORTED)
		t->lacks[r->unsupported] = true;
	if (r->status != CHECK_FAILED && r->status != CHECK_CRASHED)
		return;
	l->failed++;
	if (t->n_failure == t->cap_failure) {
		t->cap_failure = t->cap_failure ? 2 * t->cap_failure : 32;
		struct failure *more = tool_alloc((size_t)t->cap_failure * sizeof *more);
		if (t->n_failure)
			memcpy(more, t->failure, (size_t)t->n_failure * sizeof *more);
		free(t->failure);
		t->failure = more;
	}
	t->failure[t->n_failure++] = (struct failure){ c, r->status, tool_strdup(r->text) };
}

static struct line total(const struct tally *t)
{
	struct line all = { 0 };
	for (int op = 0; op < REIN_OP_COUNT; op++) {
		all.cases += t->op[op].cases;
		all.passed += t->op[op].passed;
		all.failed += t->op[op].failed;
		all.unsupported += t->op[op].unsupported;
	}
	return all;
}

/* The command that runs one case again. */
static char *again(const struct check_target *t, const struct check_case *c, const char *seed)
{
	return tool_printf("rein check backend/%s --only %s --case %d --seed %s", t->text, check_op_name(c->op), c->number,
	                   seed);
}

/* Does the lack of an op break a promise? Coarse ops are decomposed, C functions stay on the cpu. */
static bool must_run(uint32_t op) { return op != REIN_OP_CUSTOM && op && !op_info(op)->coarse; }

static void worst_text(const struct line *l, char *out, size_t size)
{
	if (l->worst > 99 || isnan(l->worst))
		snprintf(out, size, "wrong");
	else if (l->worst > 0)
		snprintf(out, size, "%.2f", l->worst);
	else
		snprintf(out, size, "-");
}

static void print_table(const struct check_target *target, const struct tally *t)
{
	struct line all = total(t);
	printf("%-14s %6s %7s %7s %12s %7s  %s\n", "op", "cases", "passed", "failed", "unsupported", "worst", "held to");
	for (int k = 1; k <= REIN_OP_COUNT; k++) {
		uint32_t op = (uint32_t)(k % REIN_OP_COUNT); /* programs last */
		const struct line *l = &t->op[op];
		static const struct rein_attr none;
		char worst[16];
		if (!l->cases)
			continue;
		worst_text(l, worst, sizeof worst);
		const char *by = check_bound(op, &none, target->math).text;
		if (op == CHECK_PROGRAMS && target->math != CHECK_FP32)
			by = "the same bits in every run";
		printf("%-14s %6d %7d %7d %12d %7s  %s%s\n", check_op_name(op), l->cases, l->passed, l->failed, l->unsupported,
		       worst, by, l->decomposed == l->cases ? " (decomposed by the core)" : "");
	}
	printf("%-14s %6d %7d %7d %12d\n", "all", all.cases, all.passed, all.failed, all.unsupported);
}

static void print_failures(const struct check_target *target, const struct tally *t, const char *seed)
{
	int shown[REIN_OP_COUNT] = { 0 };
	for (int k = 0; k < t->n_failure; k++) {
		const struct failure *f = &t->failure[k];
		if (shown[f->c->op]++ >= MOST_SHOWN)
			continue;
		char *command = again(target, f->c, seed);
		printf("\nfailed: %s, case %d: ", check_op_name(f->c->op), f->c->number);
		for (const char *p = f->text; *p; p++)
			printf(*p == '\n' ? "\n  " : "%c", *p);
		printf("\n  again: %s\n", command);
		free(command);
	}
	for (uint32_t op = 0; op < REIN_OP_COUNT; op++)
		if (shown[op] > MOST_SHOWN)
			printf("\n%s: %d more\n", check_op_name(op), shown[op] - MOST_SHOWN);
}

/* Components that say they run on the cpu alone: those that use C functions. */
static void print_cpu_only(const struct registry *r)
{
	int n = 0;
	for (int i = 0; i < registry_count(r); i++) {
		const struct component *c = registry_at(r, i);
		if (c->c.kind != REIN_BACKEND && c->c.backends == REIN_ON_CPU)
			printf("%s%s/%s", n++ ? ", " : "; they are needed by ", kind_name(c->c.kind), c->c.name);
	}
	printf("%s\n", n ? "" : "; no plugin that was found needs them");
}

/* True if an op that every backend must run is missing. */
static bool print_unsupported(const struct registry *r, const struct tally *t)
{
	bool broken = false;
	for (uint32_t op = 1; op < REIN_OP_COUNT; op++) {
		if (!t->lacks[op])
			continue;
		broken |= must_run(op);
		if (op == REIN_OP_CUSTOM) {
			printf("\nunsupported: custom: C functions of plugins, which may stay on the cpu");
			print_cpu_only(r);
		} else {
			printf("\nunsupported: %s: every backend must run it; programs of plugins that use it cannot run here\n",
			       check_op_name(op));
		}
	}
	return broken;
}

static void print_json(const struct check_target *target, const struct tally *t, const char *device, const char *seed,
                       int level)
{
	cJSON *all = cJSON_CreateObject(), *ops = cJSON_AddArrayToObject(all, "ops"), *bad;
	cJSON_AddStringToObject(all, "backend", target->text);
	cJSON_AddStringToObject(all, "device", device);
	cJSON_AddStringToObject(all, "seed", seed);
	cJSON_AddNumberToObject(all, "level", level);
	for (uint32_t op = 0; op < REIN_OP_COUNT; op++) {
		const struct line *l = &t->op[op];
		static const struct rein_attr none;
		if (!l->cases)
			continue;
		cJSON *o = cJSON_CreateObject();
		cJSON_AddStringToObject(o, "op", check_op_name(op));
		cJSON_AddNumberToObject(o, "cases", l->cases);
		cJSON_AddNumberToObject(o, "passed", l->passed);
		cJSON_AddNumberToObject(o, "failed", l->failed);
		cJSON_AddNumberToObject(o, "unsupported", l->unsupported);
		cJSON_AddNumberToObject(o, "present", l->present);
		cJSON_AddBoolToObject(o, "must_run", must_run(op));
		cJSON_AddNumberToObject(o, "worst", isfinite(l->worst) ? l->worst : 1e300);
		cJSON_AddStringToObject(o, "held_to", check_bound(op, &none, target->math).text);
		cJSON_AddItemToArray(ops, o);
	}
	bad = cJSON_AddArrayToObject(all, "failures");
	for (int k = 0; k < t->n_failure; k++) {
		char *command = again(target, t->failure[k].c, seed);
		cJSON *o = cJSON_CreateObject();
		cJSON_AddStringToObject(o, "op", check_op_name(t->failure[k].c->op));
		cJSON_AddNumberToObject(o, "case", t->failure[k].c->number);
		cJSON_AddBoolToObject(o, "crashed", t->failure[k].status == CHECK_CRASHED);
		cJSON_AddStringToObject(o, "text", t->failure[k].text);
		cJSON_AddStringToObject(o, "again", command);
		cJSON_AddItemToArray(bad, o);
		free(command);
	}
	char *text = cJSON_Print(all);
	printf("%s\n", text ? text : "");
	cJSON_free(text);
	cJSON_Delete(all);
}

/* --- all of it ------------------------------------------------------------------------------------ */
static void *open_bench(void *ctx, struct check_report *r) { return check_open(((struct tally *)ctx)->target, r); }
static void close_bench(void *bench) { check_close(bench); }
static void run_case(void *bench, void *ctx, int k, struct check_report *r)
{
	check_run(bench, &((struct tally *)ctx)->list[k], r);
}
static int group_of(void *ctx, int k) { return (int)((struct tally *)ctx)->list[k].op; }

int check_backend(const struct check_options *o, const struct check_target *target)
{
	struct tally *t = tool_alloc(sizeof *t);
	struct check_report first = { 0 };
	struct check_case *list = NULL;
	int n = check_cases((uint64_t)o->seed_n, (int)o->level_n, o->only ? o->some : NULL, (int)o->number_n, &list);
	struct check_jobs jobs = { .n = n,
		                       .seconds = (int)o->seconds_n,
		                       .n_group = REIN_OP_COUNT,
		                       .group = group_of,
		                       .open = open_bench,
		                       .run = run_case,
		                       .close = close_bench,
		                       .on = on_report,
		                       .ctx = t };
	int code = EXIT_DONE;
	t->target = target;
	t->list = list;
	if (!n)
		fprintf(stderr, "rein check: there is no such case\n");
	if (!n || !check_children(&jobs, &first)) {
		if (n)
			fprintf(stderr, "rein check: %s\n", first.text);
		code = !n || first.status == CHECK_NO_SPEC ? EXIT_USAGE : EXIT_PLUGIN;
	} else if (o->json) {
		print_json(target, t, first.text, o->seed, (int)o->level_n);
	} else {
		printf("%s; seed %s, level %s\n\n", first.text, o->seed, o->level);
		print_table(target, t);
		print_failures(target, t, o->seed);
		if (print_unsupported(target->registry, t))
			code = EXIT_FAILED;
	}
	for (uint32_t op = 0; op < REIN_OP_COUNT; op++)
		if (code == EXIT_DONE && (t->op[op].failed || (t->lacks[op] && must_run(op))))
			code = EXIT_FAILED;
	for (int k = 0; k < t->n_failure; k++)
		free(t->failure[k].text);
	free(t->failure);
	free(t);
	free(list);
	return code;
}
