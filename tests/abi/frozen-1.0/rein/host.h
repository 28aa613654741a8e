/* SPDX-License-Identifier: MIT
 *
 * host.h: what the core does for a plugin outside of recorded maths. The table
 * arrives in create() and may be kept until destroy() returns.
 */
#ifndef REIN_HOST_H
#define REIN_HOST_H

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include "plugin.h"

#define REIN_LOG_DEBUG 0u
#define REIN_LOG_INFO  1u
#define REIN_LOG_WARN  2u

/* One table per instance: messages carry the instance's place in the config. */
struct rein_host {
	uint32_t struct_size, reserved;
	/* [any] One finished line of text, no newline. Plugins never print themselves. */
	void (*message)(const struct rein_host *, uint32_t level, const char *line);
	/* [any] Remembers one sentence on the cause of the error about to be returned;
	 * the core adds file, line and component. Per thread; the last call counts. */
	void (*fail)(const struct rein_host *, const char *sentence);
	/* [any] Zero-filled memory, 64-byte aligned, or NULL after fail() has been called. */
	void *(*alloc)(const struct rein_host *, uint64_t bytes);
	void (*free)(const struct rein_host *, void *); /* [any] accepts NULL */
	/* [compute] Calls f(ctx, i) for i in 0..n-1 on the core's threads and waits. Results
	 * must not depend on the number of threads or the order. */
	void (*parallel)(const struct rein_host *, int64_t n, void (*f)(void *ctx, int64_t i), void *ctx);
	/* [any] Philox4x32-10 bits of the instance's own stream: four words that depend on
	 * (run seed, instance name, a, b) alone. */
	void (*random)(const struct rein_host *, uint64_t a, uint64_t b, uint32_t out[4]);
	/* [any] A later interface by name and revision ("rein.files/1"), or NULL. */
	const void *(*extension)(const struct rein_host *, const char *id);
};

/* Formats one sentence for fail() and gives back REIN_ERROR, so that a slot can
 * write `return rein_failf(host, "cannot open '%s'", path);`. */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3), unused))
#endif
static inline rein_status
rein_failf(const struct rein_host *host, const char *format, ...)
{
	char line[1024];
	va_list ap;
	va_start(ap, format);
	vsnprintf(line, sizeof line, format, ap);
	va_end(ap);
	host->fail(host, line);
	return REIN_ERROR;
}

#endif
