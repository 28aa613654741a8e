/* SPDX-License-Identifier: MIT
 *
 * fuzz_csv.c: the bytes as a CSV file, with classes and with two real targets.
 */
#include "fuzz.h"

static void open_as(const uint8_t *data, size_t size, int32_t target, const char *label)
{
	const struct rein_component *c = rein_plugin_entry()->components[0];
	void *self = fuzz_self(c);
	char path[64];
	int fd = fuzz_file(data, size, path);
	*(const char **)fuzz_field(self, c, "file") = path;
	*(const char **)fuzz_field(self, c, "label") = label;
	*(int32_t *)fuzz_field(self, c, "target") = target;
	fuzz_dataset(c, self);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	open_as(data, size, 0, "last");
	open_as(data, size, 1, "last,1");
	fuzz_allocations = (long)(size % 16); /* memory ends early */
	open_as(data, size, (int32_t)(size / 16 % 2), "last");
	fuzz_allocations = -1;
	return 0;
}
