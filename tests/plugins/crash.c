/* SPDX-License-Identifier: MIT
 *
 * crash: a regularizer that dies where it is told to: whose bug it was must be said.
 */
#include <signal.h>
#include <stdlib.h>
#include "rein/rein.h"

struct crash {
	int32_t at, how;
};
static const char *const places[] = { "create", "record", "epoch", NULL };
static const char *const ways[] = { "abort", "deep", "null", NULL };
static const struct rein_key crash_keys[] = {
	REIN_ENUM(struct crash, at, NULL, places, "when"),
	REIN_ENUM(struct crash, how, "null", ways, "null: writes to address 0; deep: calls itself until the stack ends"),
	REIN_KEYS_END,
};

static int deeper(volatile int *n)
{
	volatile int more[1024];
	more[0] = *n + 1;
	return more[0] < 0 ? 0 : deeper(more) + more[1];
}

/* A sanitizer would say what is wrong before the processor does. */
__attribute__((no_sanitize("undefined"))) static void now(const struct crash *s, int place)
{
	volatile int *volatile nowhere = NULL;
	int zero = 0;
	if (s->at != place)
		return;
	if (s->how == 0)
		abort();
	*nowhere = s->how == 1 ? deeper(&zero) : 1;
}

static rein_status crash_create(void *self, const struct rein_host *host)
{
	now(self, 0);
	return REIN_OK;
}

static rein_val crash_penalty(const void *self, struct rein_rec *r, const struct rein_step *t,
                              const struct rein_tensor *p)
{
	now(self, 1);
	return rein_sum(r, p->w);
}

static uint32_t crash_epoch_end(const void *self, const struct rein_host *host, const struct rein_metrics *m, void *mem)
{
	now(self, 2);
	return 0;
}

static const struct rein_regularizer_vt crash_vt = { .struct_size = sizeof crash_vt,
	                                                 .penalty = crash_penalty,
	                                                 .epoch_end = crash_epoch_end };
REIN_COMPONENT(crash, REIN_REGULARIZER, struct crash, crash_keys, &crash_vt, .summary = "dies", .create = crash_create);
REIN_PLUGIN("crash", "1.0.0", "MIT", &crash_component)
