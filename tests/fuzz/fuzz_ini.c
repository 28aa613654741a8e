/* SPDX-License-Identifier: MIT
 *
 * fuzz_ini.c: the bytes as a config: read, every variant built, messages printed.
 */
#include "core/config.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const change[] = { "run.seed=2", "network.*.units=3", "data.train=" };
	struct diag *d = diag_create();
	const char *const *variant;
	char path[64], *text = NULL;
	size_t length = 0;
	int fd = fuzz_file(data, size, path);
	FILE *out = open_memstream(&text, &length);
	struct config_file *f = config_read(path, d);
	int n = f ? config_variants(f, &variant) : 0, errors;
	for (int i = -1; f && i < n && i < 8; i++) {
		config_build(f, i < 0 ? NULL : variant[i], 0, NULL, d);
		config_build(f, i < 0 ? NULL : variant[i], 3, change, d);
	}
	errors = diag_flush(d, out);
	fclose(out);
	MUST((f || errors) && (!errors || length > 0));
	free(text);
	diag_destroy(d);
	config_file_destroy(f);
	close(fd);
	return 0;
}
