/* SPDX-License-Identifier: MIT
 *
 * config.h: a config file as read: sections of specs, `include`, variants and
 * overrides, before any plugin is asked. ini.c reads lines, spec.c splits specs,
 * config.c puts files, variants and overrides together. Nothing here knows a
 * component by name.
 */
#ifndef CORE_CONFIG_H
#define CORE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "diag.h"

/* key=value of a spec, or the value of a plain setting. */
struct arg {
	const char *key, *value;
	struct place at;       /* caret at the key */
	struct place value_at; /* caret at the value */
	bool used;
	struct wild *wild; /* set by a path with '*': specs whose component lacks the key skip it */
};

/* A `network.*.init=x` override: an error once no spec it fell on knows the key. */
struct wild {
	int specs, hits, misses;
};

/* One line: `name = component key=value ...`. In [run], [search] and [variant] sections
 * the value is plain text: component is that text and n_arg is 0 (arg[0] is the setting). */
struct spec {
	const char *section, *name, *component;
	struct place at; /* of the name */
	struct place component_at;
	int n_arg;
	struct arg *arg;
	bool broken; /* a part of it could not be read, which was reported */
};

struct section {
	const char *name; /* "network"; "network teacher" for `[network teacher]` */
	struct place at;
	int n_spec;
	struct spec **spec; /* in order */
};

/* A config with one variant's and the command line's overrides applied. */
struct config {
	const char *path;    /* as given */
	const char *stem;    /* file name without folder and ".ini": names the run folder */
	const char *variant; /* "" when the file has no variants */
	int n_section;
	struct section **section;
	int n_variant; /* names declared in the file, in order; the same in each config */
	const char **variant_name;
};

/* Reads FILE with its includes. Syntax errors go to *d; NULL only if nothing could be read.
 * Owned by the caller. All strings live in the file's pool, which config_destroy frees. */
struct config_file;
struct config_file *config_read(const char *path, struct diag *d);
/* What names the folder of its runs, instead of the file's own name. */
void config_file_rename(struct config_file *, const char *stem);
void config_file_destroy(struct config_file *);

/* The names of its [variant NAME] sections in order (n may be 0). */
int config_variants(const struct config_file *, const char *const **name);

/* A config for one variant (NULL or "": none), then overrides `path=value` in order
 * ("network.fc1.units=100", "regularizers.lasso=" removes, "network.*.init=xavier_uniform"
 * sets every spec of the section that has the key or any component; unknown paths are
 * errors with a suggestion). Lives as long as the file. */
struct config *config_build(struct config_file *, const char *variant, int n, const char *const *override,
                            struct diag *d);

struct section *config_section(const struct config *, const char *name); /* or NULL */
struct spec *config_spec(const struct config *, const char *section, const char *name);

/* A plain setting of a section ("run", "seeds"), or NULL. Marks it used. */
const struct arg *config_setting(const struct config *, const char *section, const char *name);

/* Reports settings of a plain section that nobody asked for; `known` ends in NULL. */
void config_unknown_settings(const struct config *, const char *section, const char *const *known, struct diag *);

/* Number parsing, C locale, whole token: 1e-3, 8/255, 0x not allowed. */
bool parse_real(const char *text, double *out);
bool parse_int(const char *text, int64_t *out);
bool parse_bool(const char *text, bool *out); /* yes/no, true/false, on/off, 1/0 */
/* The shortest text that reads back as v, C locale: "0.1", "1e6", "inf". Gives back buf. */
const char *format_real(char *buf, size_t size, double v);
/* A value as it must stand in a file: quoted where it has blanks, quotes or ';'. */
void spec_write_value(FILE *, const char *value);

#endif
