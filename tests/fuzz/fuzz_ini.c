/* SPDX-License-Identifier: MIT
 *
 * fuzz_ini.c: the bytes as a config: read, every variant built, messages printed.
 */
#include "core/config.h"
#include "fuzz.h"

static char dir[32], path[64];

static void clean_up(void)
{
	unlink(path);
	rmdir(dir);
}

/* The bytes as a file in a folder of its own: `include = 1` beside /proc/self/fd/3 would read
 * the standard output, and wait. */
static void write_input(const uint8_t *data, size_t size)
{
	FILE *f;
	if (!path[0]) {
		/* in memory where that can be had: many more rounds */
		snprintf(dir, sizeof dir, "%s/rein-fuzz-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
		MUST(mkdtemp(dir));
		snprintf(path, sizeof path, "%s/input.ini", dir);
		atexit(clean_up);
	}
	f = fopen(path, "wb");
	MUST(f && fwrite(data, 1, size, f) == size && !fclose(f));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const change[] = { "run.seed=2", "network.*.units=3", "data.train=" };
	struct diag *d = diag_create();
	const char *const *variant;
	char *text = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&text, &length);
	struct config_file *f;
	int n, errors;
	write_input(data, size);
	f = config_read(path, d);
	n = f ? config_variants(f, &variant) : 0;
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
	return 0;
}
