/* SPDX-License-Identifier: MIT
 *
 * fuzz_safetensors.c: the bytes as a safetensors file; every tensor that is given out is read
 * to its last byte, and written again.
 */
#include "core/checkpoint.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[64], why[512] = "";
	int fd = fuzz_file(data, size, path);
	struct st_file *f = st_open(path, why, sizeof why);
	MUST(f || why[0]);
	for (int i = 0; f && i < f->n; i++) {
		const uint8_t *b = f->tensor[i].data;
		volatile uint8_t sum = 0;
		for (int64_t k = 0; k < f->tensor[i].bytes; k++)
			sum = (uint8_t)(sum + b[k]);
		MUST(st_find(f, f->tensor[i].name) == &f->tensor[i]);
	}
	if (f)
		MUST(st_write("/dev/null", f->n, f->tensor, f->n_meta, (const char *const *)f->meta_key,
		              (const char *const *)f->meta_value, why, sizeof why));
	st_close(f);
	close(fd);
	return 0;
}
