/* SPDX-License-Identifier: MIT
 *
 * test_frozen.c: the plugin of ABI 1.0 loads, with all its components and their keys.
 * That it trains is frozen_run's business. argv[1]: its folder, argv[2]: frozen.ini.
 */
#include <stdio.h>
#include <string.h>

#include "component.h"

static int wrong;
#define CHECK(x)                                                    \
	do {                                                            \
		if (!(x)) {                                                 \
			printf("%s:%d: %s is false\n", __FILE__, __LINE__, #x); \
			wrong = 1;                                              \
		}                                                           \
	} while (0)

int main(int argc, char **argv)
{
	const char *const dir = argc > 2 ? argv[1] : NULL;
	struct registry *r = registry_create(dir != NULL, &dir);
	struct diag *d = diag_create();
	struct config_file *cf = config_read(argc > 2 ? argv[2] : "", d);
	struct config *c = cf ? config_build(cf, NULL, 0, NULL, d) : NULL;
	struct host_env env = { .seed = 1, .config_dir = "." };
	int made = 0;
	for (int i = 0; c && i < c->n_section; i++) {
		uint32_t kind = kind_of_section(c->section[i]->name);
		for (int k = 0; kind && k < c->section[i]->n_spec; k++) {
			struct instance *x = instance_create(r, kind, c->section[i]->spec[k], &env, NULL, NULL, d);
			CHECK(x && !strcmp(x->component->plugin, "frozen"));
			made += x != NULL;
			instance_destroy(x);
		}
	}
	CHECK(diag_flush(d, stdout) == 0);
	CHECK(made == 7);
	diag_destroy(d);
	config_file_destroy(cf);
	registry_destroy(r);
	return wrong;
}
