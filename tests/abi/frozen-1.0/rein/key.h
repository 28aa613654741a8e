/* SPDX-License-Identifier: MIT
 *
 * key.h: the keys of a spec, `name = component key=value ...`.
 *
 * A component declares a table of keys. The core parses, converts, checks the
 * range and stores each value into the component's own struct; a component
 * parses nothing. `rein inspect`, docs/config.md and the error messages are
 * made from these tables. Write rows with the macros below only: they refuse,
 * while compiling, a field whose C type disagrees with the row.
 */
#ifndef REIN_KEY_H
#define REIN_KEY_H

#include <stddef.h>
#include <stdint.h>

/* Types of a key, with the C type of the field that receives it. */
#define REIN_KEY_BOOL   1u  /* int32_t: yes/no, true/false, on/off, 1/0 */
#define REIN_KEY_INT    2u  /* int64_t */
#define REIN_KEY_REAL   3u  /* double: 0.5, 1e-3, 8/255 */
#define REIN_KEY_STRING 4u  /* const char *, owned by the core, lives as long as the instance */
#define REIN_KEY_ENUM   5u  /* int32_t: index into `choices` */
#define REIN_KEY_PATH   6u  /* const char *: made absolute, under REIN_DATA or else beside the config */
#define REIN_KEY_INTS   7u  /* struct rein_ints: comma-separated integers */
#define REIN_KEY_REALS  8u  /* struct rein_reals: comma-separated numbers */
#define REIN_KEY_REF    9u  /* const struct rein_ref *: an instance of another section */
#define REIN_KEY_REFS   10u /* struct rein_refs: comma-separated names of such instances */

/* Flags of a key. */
#define REIN_KEY_KNOB         1u  /* a [schedules] entry may change it: read it through rein_knob() */
#define REIN_KEY_OVER_MIN     2u  /* `min` itself is outside the range */
#define REIN_KEY_UNDER_MAX    4u  /* `max` itself is outside the range */
#define REIN_KEY_MAY_BE_EMPTY 8u  /* an empty value is allowed (a REF then is NULL, a list has n = 0) */
#define REIN_KEY_METRIC       16u /* STRING: the name of a metric; the core checks that the run has it */

/* Lists, owned by the core, living as long as the instance. For REIN_KEY_INTS
 * and REIN_KEY_REALS `min` and `max` bound each entry. */
struct rein_ints {
	int64_t n;
	const int64_t *v;
};
struct rein_reals {
	int64_t n;
	const double *v;
};

/* An instance of another section, made by the core, opaque to plugins: handed
 * back to the recorder (rein_perturb, rein_forward_ref). `choices[0]` of its
 * row names the kind it must have, e.g. "attack" or "network". */
struct rein_ref;

/* Several of them, owned by the core. */
struct rein_refs {
	int64_t n;
	const struct rein_ref *const *v;
};

/* One key. Array elements of a component's table lie `key_size` bytes apart. */
struct rein_key {
	const char *key;            /* as written in the INI file */
	const char *def;            /* default, as it would be written; NULL: required */
	const char *help;           /* one line: meaning, unit, formula */
	uint32_t type, flags;       /* REIN_KEY_* */
	uint32_t offset, reserved;  /* where in the component's struct */
	double min, max;            /* INT, REAL, INTS, REALS; inclusive unless flagged */
	const char *const *choices; /* ENUM: NULL-terminated names; REF, REFS: { kind, NULL } */
	const char *instead;        /* deprecated: the key to use now; else NULL */
};

/* The struct of a component without keys. */
struct rein_keyless {
	int32_t unused;
};

/* offsetof(S, f), and an error while compiling if S.f is not of type T. */
#define REIN_FIELD_(S, f, T) (uint32_t)(offsetof(S, f) + 0 * sizeof(char[_Generic(((S *)0)->f, T : 1, default : -1)]))

/* Rows: struct, field (which is also the key's name), default (NULL: required), ... */
/* clang-format off */
#define REIN_ROW_(S, f, def, help, type, flags, T, lo, hi, choices) \
	{ #f, def, help, type, flags, REIN_FIELD_(S, f, T), 0, lo, hi, choices, NULL }
#define REIN_BOOL(S, f, def, help) REIN_ROW_(S, f, def, help, REIN_KEY_BOOL, 0, int32_t, 0, 0, NULL)
#define REIN_INT(S, f, def, lo, hi, help) REIN_ROW_(S, f, def, help, REIN_KEY_INT, 0, int64_t, lo, hi, NULL)
#define REIN_REAL(S, f, def, lo, hi, flags, help) REIN_ROW_(S, f, def, help, REIN_KEY_REAL, flags, double, lo, hi, NULL)
#define REIN_STRING(S, f, def, help) REIN_ROW_(S, f, def, help, REIN_KEY_STRING, 0, const char *, 0, 0, NULL)
#define REIN_METRIC(S, f, def, help) REIN_ROW_(S, f, def, help, REIN_KEY_STRING, REIN_KEY_METRIC, const char *, 0, 0, NULL)
#define REIN_PATH(S, f, def, help) REIN_ROW_(S, f, def, help, REIN_KEY_PATH, 0, const char *, 0, 0, NULL)
#define REIN_ENUM(S, f, def, choices, help) REIN_ROW_(S, f, def, help, REIN_KEY_ENUM, 0, int32_t, 0, 0, choices)
#define REIN_INTS(S, f, def, lo, hi, flags, help) REIN_ROW_(S, f, def, help, REIN_KEY_INTS, flags, struct rein_ints, lo, hi, NULL)
#define REIN_REALS(S, f, def, lo, hi, flags, help) REIN_ROW_(S, f, def, help, REIN_KEY_REALS, flags, struct rein_reals, lo, hi, NULL)
#define REIN_REF(S, f, def, kind, flags, help) REIN_ROW_(S, f, def, help, REIN_KEY_REF, flags, const struct rein_ref *, 0, 0, kind)
#define REIN_REFS(S, f, def, kind, flags, help) REIN_ROW_(S, f, def, help, REIN_KEY_REFS, flags, struct rein_refs, 0, 0, kind)
#define REIN_KEYS_END { NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, NULL, NULL }
/* clang-format on */

#endif
