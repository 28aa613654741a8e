/* SPDX-License-Identifier: MIT
 *
 * tally: a logger that counts what it is told and leaves the counts in tally.txt of the run's
 * folder. fail= makes one of its slots fail.
 */
#include <string.h>

#include "rein/rein.h"

static const char *const slots[] = { "none", "begin", "metrics", "end", NULL };

struct tally {
	int32_t fail;
	char folder[512];
	int64_t rows, epochs, numbers;
};
static const struct rein_key tally_keys[] = {
	REIN_ENUM(struct tally, fail, "none", slots, "the slot that fails"),
	REIN_KEYS_END,
};

static rein_status tally_begin(void *self, const struct rein_host *host, const struct rein_run_info *info)
{
	struct tally *s = self;
	snprintf(s->folder, sizeof s->folder, "%s", info->folder);
	s->rows = s->epochs = s->numbers = 0;
	return s->fail == 1 ? rein_failf(host, "no room to tally '%s' seed %lld", info->variant, (long long)info->seed)
	                    : REIN_OK;
}

static rein_status tally_metrics(void *self, const struct rein_host *host, const char *stage, int64_t epoch, uint64_t n,
                                 const struct rein_number *m)
{
	struct tally *s = self;
	s->rows++;
	s->epochs = epoch > s->epochs ? epoch : s->epochs;
	s->numbers += (int64_t)n;
	for (uint64_t i = 0; i < n; i++)
		if (!m[i].name[0])
			return rein_failf(host, "a number without a name in stage %s", stage);
	return s->fail == 2 && s->rows == 3 ? rein_failf(host, "lost count in stage %s", stage) : REIN_OK;
}

static rein_status tally_end(void *self, const struct rein_host *host, rein_status how)
{
	struct tally *s = self;
	char path[600];
	FILE *f;
	if (s->fail == 3)
		return rein_failf(host, "the tally is lost");
	snprintf(path, sizeof path, "%s/tally.txt", s->folder);
	f = fopen(path, "w");
	if (!f)
		return rein_failf(host, "cannot open '%s'", path);
	fprintf(f, "%lld %lld %lld %d\n", (long long)s->rows, (long long)s->epochs, (long long)s->numbers, (int)how);
	return fclose(f) ? rein_failf(host, "cannot write '%s'", path) : REIN_OK;
}

static const struct rein_logger_vt tally_vt = {
	.struct_size = sizeof tally_vt, .run_begin = tally_begin, .metrics = tally_metrics, .run_end = tally_end
};
REIN_COMPONENT(tally, REIN_LOGGER, struct tally, tally_keys, &tally_vt, .summary = "counts rows and numbers");
REIN_PLUGIN("tally", "1.0.0", "MIT", &tally_component)
