/* SPDX-License-Identifier: MIT
 *
 * early_stopping: ends the stage when a metric has not improved for a while. An epoch improves
 * if the metric beats the best so far by more than min_delta; wait counts evaluations since. The
 * decision is made anew after every epoch and kept in the checkpoint.
 */
#include <string.h>

#include "rein/rein.h"

struct early_stopping {
	const char *monitor;
	int32_t mode, rule, restore, stop_on_nan;
	double min_delta;
	int64_t patience, min_epochs;
};
enum { AUTO, MIN, MAX };
enum { BEYOND, REACHED };
enum { LAST, BEST };
static const char *const modes[] = { "auto", "min", "max", NULL };
static const char *const rules[] = { "beyond", "reached", NULL };
static const char *const restores[] = { "last", "best", NULL };
static const struct rein_key early_stopping_keys[] = {
	REIN_METRIC(struct early_stopping, monitor, "val.loss", "metric that is watched, e.g. val.loss, val.accuracy"),
	REIN_ENUM(struct early_stopping, mode, "auto", modes, "which is better; auto: max for accuracy, else min"),
	REIN_REAL(struct early_stopping, min_delta, "0", 0, 1e6, 0, "an improvement must be larger than this"),
	REIN_INT(struct early_stopping, patience, "20", 0, 1LL << 40, "evaluations without improvement that are allowed"),
	REIN_ENUM(struct early_stopping, rule, "beyond", rules,
	          "beyond: stop when wait > patience; reached: when wait >= patience (Lightning, Keras)"),
	REIN_ENUM(struct early_stopping, restore, "best", restores, "the weights that the stage ends with"),
	REIN_INT(struct early_stopping, min_epochs, "0", 0, 1LL << 40, "never stop before this epoch"),
	REIN_BOOL(struct early_stopping, stop_on_nan, "yes", "stop at once when the metric is not a number"),
	REIN_KEYS_END,
};

/* Zero at the start of training. */
struct memory {
	double best;
	int64_t best_epoch, wait;
};
static const struct rein_key memory_rows[] = {
	REIN_REAL(struct memory, best, "0", -HUGE_VAL, HUGE_VAL, 0, "best value so far"),
	REIN_INT(struct memory, best_epoch, "0", 0, 1LL << 40, "its epoch, 0: none"),
	REIN_INT(struct memory, wait, "0", 0, 1LL << 40, "evaluations since"),
	REIN_KEYS_END,
};

static int improves(const struct early_stopping *s, const struct memory *m, double value)
{
	int max = s->mode == MAX || (s->mode == AUTO && strstr(s->monitor, "accuracy"));
	if (value != value)
		return 0;
	return m->best_epoch == 0 || (max ? value > m->best + s->min_delta : value < m->best - s->min_delta);
}

static uint32_t early_stopping_epoch_end(const void *self, const struct rein_host *host,
                                         const struct rein_metrics *metrics, void *mem)
{
	const struct early_stopping *s = self;
	struct memory *m = mem;
	double value = metrics->get(metrics, s->monitor);
	uint32_t answer = REIN_GO_ON, back = s->restore == BEST ? REIN_RESTORE : 0;
	char line[256];
	if (improves(s, m, value)) {
		*m = (struct memory){ value, metrics->epoch, 0 };
		answer |= s->restore == BEST ? REIN_KEEP_BEST : 0;
	} else {
		m->wait++;
	}
	int lost = value != value && s->stop_on_nan;
	int tired = s->rule == BEYOND ? m->wait > s->patience : m->wait >= s->patience && m->wait > 0;
	if (lost || (tired && metrics->epoch >= s->min_epochs)) {
		if (lost)
			snprintf(line, sizeof line, "epoch %lld: %s is not a number: stopped", (long long)metrics->epoch,
			         s->monitor);
		else
			snprintf(line, sizeof line, "stopped after epoch %lld: best %s %.6g was in epoch %lld",
			         (long long)metrics->epoch, s->monitor, m->best, (long long)m->best_epoch);
		host->message(host, lost ? REIN_LOG_WARN : REIN_LOG_INFO, line);
		return answer | REIN_STOP | (m->best_epoch ? back : 0);
	}
	/* A stage that ends by itself ends with the best weights, too. */
	if (metrics->epoch == metrics->epochs && m->wait > 0 && m->best_epoch)
		answer |= back;
	return answer;
}

static const struct rein_regularizer_vt early_stopping_vt = { .struct_size = sizeof early_stopping_vt,
	                                                          .epoch_end = early_stopping_epoch_end };
REIN_COMPONENT(early_stopping, REIN_REGULARIZER, struct early_stopping, early_stopping_keys, &early_stopping_vt,
               .mem_size = sizeof(struct memory), .mem = memory_rows,
               .summary = "stops when a metric no longer improves",
               .reference = "Prechelt 1998; Morgan and Bourlard 1990");
REIN_PLUGIN("early_stopping", "1.0.0", "MIT", &early_stopping_component)
