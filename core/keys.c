/* SPDX-License-Identifier: MIT
 *
 * keys.c: turns the text of a key into the typed field its row describes, and says what is
 * wrong with a text that cannot be turned. A new type of key is a case in key_convert() and
 * a row in `types`.
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "schema.h"

static const struct {
	const char *name;
	size_t size, align;
} types[] = {
	[REIN_KEY_BOOL] = { "yes/no", sizeof(int32_t), _Alignof(int32_t) },
	[REIN_KEY_INT] = { "integer", sizeof(int64_t), _Alignof(int64_t) },
	[REIN_KEY_REAL] = { "number", sizeof(double), _Alignof(double) },
	[REIN_KEY_STRING] = { "text", sizeof(char *), _Alignof(char *) },
	[REIN_KEY_ENUM] = { "choice", sizeof(int32_t), _Alignof(int32_t) },
	[REIN_KEY_PATH] = { "file", sizeof(char *), _Alignof(char *) },
	[REIN_KEY_INTS] = { "integers", sizeof(struct rein_ints), _Alignof(struct rein_ints) },
	[REIN_KEY_REALS] = { "numbers", sizeof(struct rein_reals), _Alignof(struct rein_reals) },
	[REIN_KEY_REF] = { "name", sizeof(void *), _Alignof(void *) },
	[REIN_KEY_REFS] = { "names", sizeof(struct rein_refs), _Alignof(struct rein_refs) },
};
#define N_TYPE (sizeof types / sizeof *types)

size_t key_size(uint32_t type) { return type < N_TYPE ? types[type].size : 0; }
size_t key_align(uint32_t type) { return type < N_TYPE && types[type].align ? types[type].align : 1; }

const char *key_type_name(const struct rein_key *row)
{
	return row->type < N_TYPE && types[row->type].name ? types[row->type].name : "?";
}

bool key_may_be_empty(const struct rein_key *row)
{
	return (row->flags & REIN_KEY_MAY_BE_EMPTY) || (row->def && !*row->def);
}

const char *key_range(const struct rein_key *row, char *buf, size_t size)
{
	char lo[40], hi[40];
	bool over = row->flags & REIN_KEY_OVER_MIN, under = row->flags & REIN_KEY_UNDER_MAX;
	format_real(lo, sizeof lo, row->min);
	format_real(hi, sizeof hi, row->max);
	if (over && under)
		snprintf(buf, size, "%s..%s (without %s and %s)", lo, hi, lo, hi);
	else if (over || under)
		snprintf(buf, size, "%s..%s (without %s)", lo, hi, over ? lo : hi);
	else
		snprintf(buf, size, "%s..%s", lo, hi);
	return buf;
}

static bool in_range(const struct rein_key *row, double v)
{
	if (v < row->min || v > row->max || v != v)
		return false;
	return !(v == row->min && (row->flags & REIN_KEY_OVER_MIN)) &&
	       !(v == row->max && (row->flags & REIN_KEY_UNDER_MAX));
}

static int outside(const struct rein_key *row, struct why *why)
{
	char range[128];
	refuse(why, "is outside %s", key_range(row, range, sizeof range));
	return KEY_RANGE;
}

static int number(const struct rein_key *row, const char *text, bool whole, int64_t *i, double *v, struct why *why)
{
	if (whole) {
		if (!parse_int(text, i)) {
			refuse(why, "'%s' is not a whole number", text);
			return KEY_FORM;
		}
		*v = (double)*i;
	} else if (!parse_real(text, v)) {
		refuse(why, "'%s' is not a number", text);
		return KEY_FORM;
	}
	return in_range(row, *v) ? KEY_GOOD : outside(row, why);
}

/* "1,2,3" into n numbers from the pool. */
static int numbers(const struct rein_key *row, const char *text, void *field, struct pool *pool, struct why *why)
{
	bool whole = row->type == REIN_KEY_INTS;
	int64_t n = *text ? 1 : 0, *vi, k = 0;
	double *vr;
	for (const char *c = text; *c; c++)
		n += *c == ',';
	vi = pool_alloc(pool, (size_t)n * sizeof *vi);
	vr = pool_alloc(pool, (size_t)n * sizeof *vr);
	while (k < n) {
		size_t len = strcspn(text, ",");
		char one[128];
		int how;
		snprintf(one, sizeof one, "%.*s", (int)(len < sizeof one ? len : sizeof one - 1), text);
		how = number(row, one, whole, &vi[k], &vr[k], why);
		if (how != KEY_GOOD)
			return how;
		text += len + 1;
		k++;
	}
	if (whole)
		*(struct rein_ints *)field = (struct rein_ints){ n, vi };
	else
		*(struct rein_reals *)field = (struct rein_reals){ n, vr };
	return KEY_GOOD;
}

static int choice(const struct rein_key *row, const char *text, int32_t *out, struct why *why)
{
	const char *near;
	char all[256];
	for (int32_t i = 0; row->choices[i]; i++) {
		if (!strcmp(row->choices[i], text)) {
			*out = i;
			return KEY_GOOD;
		}
	}
	near = diag_nearest(text, row->choices);
	diag_list(all, sizeof all, row->choices);
	if (near)
		refuse(why, "'%s' is not one of %s; did you mean '%s'?", text, all, near);
	else
		refuse(why, "'%s' is not one of %s", text, all);
	return KEY_FORM;
}

int key_convert(const struct rein_key *row, const char *text, void *field, struct pool *pool, struct why *why)
{
	bool yes;
	double v;
	int64_t i;
	int how;
	if (!*text && !key_may_be_empty(row)) {
		refuse(why, "'%s' needs a value", row->key);
		return KEY_FORM;
	}
	switch (row->type) {
	case REIN_KEY_BOOL:
		if (!parse_bool(text, &yes)) {
			refuse(why, "'%s' is neither yes nor no", text);
			return KEY_FORM;
		}
		*(int32_t *)field = yes;
		return KEY_GOOD;
	case REIN_KEY_INT:
		how = number(row, text, true, &i, &v, why);
		if (how == KEY_GOOD)
			*(int64_t *)field = i;
		return how;
	case REIN_KEY_REAL:
		how = number(row, text, false, &i, &v, why);
		if (how == KEY_GOOD)
			*(double *)field = v;
		return how;
	case REIN_KEY_INTS:
	case REIN_KEY_REALS: return numbers(row, text, field, pool, why);
	case REIN_KEY_ENUM: return choice(row, text, field, why);
	case REIN_KEY_STRING:
	case REIN_KEY_PATH: *(const char **)field = text; return KEY_GOOD;
	default: return KEY_GOOD; /* REF, REFS */
	}
}

/* --- patterns ------------------------------------------------------------------------ */

#include "spec.h"

bool pattern_match(const char *patterns, const char *name)
{
	while (*patterns) {
		size_t n = strcspn(patterns, ",");
		if (n && glob(patterns, n, name))
			return true;
		patterns += n + (patterns[n] == ',');
	}
	return false;
}
