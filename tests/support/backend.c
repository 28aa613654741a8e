/* SPDX-License-Identifier: MIT
 *
 * backend.c: see backend.h.
 */
#include "backend.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define KEYS 4

struct spec *backend_spec_create(const char *text)
{
	size_t size = strlen(text ? text : "cpu") + 1;
	struct spec *spec = calloc(1, sizeof *spec + KEYS * sizeof(struct arg) + size);
	struct arg *arg = (struct arg *)(spec + 1);
	char *copy = memcpy(arg + KEYS, text ? text : "cpu", size);

	*spec = (struct spec){ .section = "run", .name = "backend", .component = copy, .arg = arg };
	for (char *at = strchr(copy, ' '); at; at = strchr(at, ' ')) {
		char *equals = strchr(at, '=');
		cr_assert(equals && spec->n_arg < KEYS, "REIN_TEST_BACKEND: '%s'", text);
		*at++ = 0;
		*equals = 0;
		arg[spec->n_arg++] = (struct arg){ .key = at, .value = equals + 1 };
		at = equals + 1;
	}
	return spec;
}
