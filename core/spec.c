/* SPDX-License-Identifier: MIT
 *
 * spec.c: splits `component key=value key="a value"` into its parts, with columns for
 * carets, and turns text into numbers (C locale whatever the process's locale is, the
 * whole token) and back.
 */
#include "spec.h"

#include <ctype.h>
#include <errno.h>
#include <float.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool blank(char c) { return c == ' ' || c == '\t'; }

bool spec_name_ok(const char *name)
{
	if (!*name || *name == '.' || *name == '-')
		return false;
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && *name != '_' && *name != '-' && *name != '.')
			return false;
	return true;
}

bool glob(const char *pattern, size_t n, const char *name)
{
	size_t i = 0, star = n;
	const char *back = NULL;
	/* On a mismatch the last '*' takes one more character: linear in practice. */
	while (*name) {
		if (i < n && pattern[i] == '*') {
			star = i++;
			back = name;
		} else if (i < n && pattern[i] == *name) {
			i++;
			name++;
		} else if (back) {
			i = star + 1;
			name = ++back;
		} else {
			return false;
		}
	}
	while (i < n && pattern[i] == '*')
		i++;
	return i == n;
}

static bool key_char(char c) { return isalnum((unsigned char)c) || c == '_'; }

/* One value from *i on: bare up to a blank, or quoted. False after an error. */
static bool take_value(struct pool *pool, const char *t, int *i, struct place *at, const char **out, struct diag *d)
{
	int from = *i, n = 0, base = at->col;
	char *v;
	if (t[*i] != '"') {
		while (t[*i] && !blank(t[*i]) && t[*i] != '"')
			++*i;
		at->col = base + from;
		at->len = *i - from;
		if (t[*i] == '"') {
			at->col = base + *i;
			at->len = 1;
			diag_error(d, at, "a quoted value begins with its quote: key=\"...\"");
			return false;
		}
		*out = pool_copy(pool, t + from, (size_t)(*i - from));
		return true;
	}
	v = pool_alloc(pool, strlen(t + from) + 1);
	for (++*i; t[*i] && t[*i] != '"'; ++*i) {
		if (t[*i] == '\\' && (t[*i + 1] == '"' || t[*i + 1] == '\\'))
			++*i;
		v[n++] = t[*i];
	}
	at->col = base + from;
	at->len = *i - from + (t[*i] == '"');
	if (t[*i] != '"') {
		diag_error(d, at, "the closing '\"' is missing");
		return false;
	}
	++*i;
	if (t[*i] && !blank(t[*i])) {
		at->col = base + *i;
		at->len = 1;
		diag_error(d, at, "expected a blank after the closing '\"'");
		return false;
	}
	*out = v;
	return true;
}

static void skip_blanks(const char *t, int *i)
{
	while (blank(t[*i]))
		++*i;
}

static void skip_word(const char *t, int *i)
{
	while (t[*i] && !blank(t[*i]))
		++*i;
}

/* `x = 1`, `x =1` and `x= 1` are one mistake, said once: true, past all of it. */
static bool apart(const char *t, int from, int *i)
{
	int at = from;
	while (key_char(t[at]))
		at++;
	skip_blanks(t, &at);
	if (t[at] != '=')
		return false;
	at++;
	if (!t[at] || blank(t[at])) {
		skip_blanks(t, &at);
		if (!t[at] || memchr(t + at, '=', strcspn(t + at, " \t")))
			return false; /* an empty value */
	}
	skip_word(t, &at);
	*i = at;
	return true;
}

/* One `key=value` from *i on. False after an error. */
static bool take_arg(struct pool *pool, const char *t, int *i, const struct place *at, struct arg *a, struct diag *d)
{
	int from = *i;
	struct place p = *at;
	bool tight;
	while (key_char(t[*i]))
		++*i;
	tight = *i > from && t[*i] == '=' && t[*i + 1] && !blank(t[*i + 1]);
	p.col += from;
	p.len = *i - from ? *i - from : 1;
	if (!tight && apart(t, from, i)) {
		diag_error(d, &p, "expected key=value without blanks around '='");
		return false;
	}
	if (*i == from || t[*i] != '=') {
		skip_word(t, i);
		p.len = *i - from;
		diag_error(d, &p, "expected key=value");
		return false;
	}
	a->key = pool_copy(pool, t + from, (size_t)p.len);
	a->at = p;
	++*i;
	a->value_at = *at;
	return take_value(pool, t, i, &a->value_at, &a->value, d);
}

bool spec_parse(struct pool *pool, const char *text, const struct place *at, struct spec *s, struct diag *d)
{
	int i = 0, cap = 0;
	struct place p = *at;
	bool good = true;
	while (key_char(text[i]) || text[i] == '-')
		i++;
	p.len = i;
	s->component = "";
	s->broken = true;
	if (!i || (text[i] && !blank(text[i]))) {
		while (text[i] && !blank(text[i]))
			i++;
		p.len = i;
		if (memchr(text, '=', (size_t)i))
			diag_error(d, &p, "expected a component before the first key=value");
		else
			diag_error(d, &p, "'%.*s' is not a component's name", i, text);
		return false;
	}
	s->component = pool_copy(pool, text, (size_t)i);
	s->component_at = p;
	s->n_arg = 0;
	s->arg = NULL;
	for (;;) {
		struct arg a = { 0 };
		bool twice = false;
		skip_blanks(text, &i);
		if (!text[i]) {
			s->broken = !good;
			return good;
		}
		if (!take_arg(pool, text, &i, at, &a, d)) {
			good = false;
			skip_word(text, &i);
			continue;
		}
		for (int k = 0; k < s->n_arg; k++)
			twice = twice || !strcmp(s->arg[k].key, a.key);
		if (twice) {
			diag_error(d, &a.at, "key '%s' is given twice", a.key);
			good = false;
			continue;
		}
		if (s->n_arg == cap) {
			struct arg *old = s->arg;
			cap = cap ? 2 * cap : 4;
			s->arg = pool_alloc(pool, (size_t)cap * sizeof *s->arg);
			if (old)
				memcpy(s->arg, old, (size_t)s->n_arg * sizeof *old);
		}
		s->arg[s->n_arg++] = a;
	}
}

bool spec_unquote(struct pool *pool, const char *text, const struct place *at, const char **out, struct diag *d)
{
	struct place p = *at;
	int i = 0;
	if (!take_value(pool, text, &i, &p, out, d))
		return false;
	while (blank(text[i]))
		i++;
	if (text[i]) {
		p.col = at->col + i;
		p.len = (int)strlen(text + i);
		diag_error(d, &p, "expected one value; write \"...\" around a value with blanks");
		return false;
	}
	return true;
}

/* --- numbers --------------------------------------------------------------------- */

/* The C locale, for strtod and printf: made once, never freed. */
static locale_t c_locale(void)
{
	static locale_t loc;
	locale_t now = __atomic_load_n(&loc, __ATOMIC_ACQUIRE);
	if (!now) {
		locale_t made = newlocale(LC_ALL_MASK, "C", NULL);
		if (__atomic_compare_exchange_n(&loc, &now, made, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			return made;
		freelocale(made);
	}
	return now;
}

/* Decimal floats only: no hexadecimal, no "nan", no blanks. */
static bool decimal(const char *t, size_t n)
{
	size_t i = 0, digits = 0;
	if (i < n && (t[i] == '+' || t[i] == '-'))
		i++;
	while (i < n && isdigit((unsigned char)t[i]))
		i++, digits++;
	if (i < n && t[i] == '.')
		i++;
	while (i < n && isdigit((unsigned char)t[i]))
		i++, digits++;
	if (!digits)
		return false;
	if (i < n && (t[i] == 'e' || t[i] == 'E')) {
		i++;
		if (i < n && (t[i] == '+' || t[i] == '-'))
			i++;
		if (i == n || !isdigit((unsigned char)t[i]))
			return false;
		while (i < n && isdigit((unsigned char)t[i]))
			i++;
	}
	return i == n;
}

static bool one_real(const char *t, size_t n, double *out)
{
	char buf[128];
	if (n >= sizeof buf)
		return false;
	memcpy(buf, t, n);
	buf[n] = 0;
	if (!strcmp(buf, "inf") || !strcmp(buf, "+inf") || !strcmp(buf, "-inf")) {
		*out = buf[0] == '-' ? -INFINITY : INFINITY;
		return true;
	}
	if (!decimal(buf, n))
		return false;
	*out = strtod_l(buf, NULL, c_locale());
	return isfinite(*out);
}

bool parse_real(const char *text, double *out)
{
	const char *slash = strchr(text, '/');
	double a, b;
	if (!slash)
		return one_real(text, strlen(text), out);
	if (!one_real(text, (size_t)(slash - text), &a) || !one_real(slash + 1, strlen(slash + 1), &b) || b == 0 ||
	    isinf(a) || isinf(b) || !isfinite(a / b))
		return false;
	*out = a / b;
	return true;
}

bool parse_int(const char *text, int64_t *out)
{
	const char *t = text + (*text == '+' || *text == '-');
	char *end;
	long long v;
	if (!*t)
		return false;
	for (const char *c = t; *c; c++)
		if (!isdigit((unsigned char)*c))
			return false;
	errno = 0;
	v = strtoll(text, &end, 10);
	if (errno || *end)
		return false;
	*out = v;
	return true;
}

bool parse_bool(const char *text, bool *out)
{
	static const char *const yes[] = { "yes", "true", "on", "1" }, *const no[] = { "no", "false", "off", "0" };
	for (int i = 0; i < 4; i++) {
		if (!strcmp(text, yes[i]) || !strcmp(text, no[i])) {
			*out = !strcmp(text, yes[i]);
			return true;
		}
	}
	return false;
}

const char *format_real(char *buf, size_t size, double v)
{
	locale_t old = uselocale(c_locale());
	char *e;
	if (v >= DBL_MAX || v <= -DBL_MAX)
		snprintf(buf, size, v < 0 ? "-inf" : "inf");
	else
		for (int digits = 6; digits <= 17; digits++) {
			snprintf(buf, size, "%.*g", digits, v);
			if (strtod_l(buf, NULL, c_locale()) == v)
				break;
		}
	uselocale(old);
	/* 1e+06 is 1e6, 1e-06 is 1e-6 */
	e = strchr(buf, 'e');
	if (e) {
		char *from = e + 1, *to = e + 1;
		if (*from == '+')
			from++;
		else if (*from == '-')
			*to++ = *from++;
		while (*from == '0' && from[1])
			from++;
		memmove(to, from, strlen(from) + 1);
	}
	return buf;
}

void spec_write_value(FILE *out, const char *value)
{
	bool quote = false;
	for (const char *c = value; *c; c++)
		quote = quote || blank(*c) || *c == '"' || *c == ';';
	if (!quote) {
		fputs(value, out);
		return;
	}
	fputc('"', out);
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			fputc('\\', out);
		fputc(*value, out);
	}
	fputc('"', out);
}
