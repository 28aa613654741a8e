/* SPDX-License-Identifier: MIT
 *
 * swa: evaluation sees the mean of the weights at the ends of epochs, from epoch `start` on:
 * a = a + (w - a) / (n + 1); batch statistics are found anew for it (formula R20: Izmailov
 * et al. 2018).
 */
#include "rein/rein.h"

struct swa {
	int64_t start;
};
static const struct rein_key swa_keys[] = {
	REIN_INT(struct swa, start, "1", 1, 1 << 30, "first epoch whose weights count, from 1"),
	REIN_KEYS_END,
};

static rein_var mean_of(struct rein_rec *r, rein_val w) { return rein_state_like(r, "mean", w); }
static rein_var count_of(struct rein_rec *r) { return rein_state(r, "count", REIN_REAL_T, 0, NULL, NULL); }

static void swa_event(const void *self, struct rein_rec *r, const struct rein_step *t, uint32_t what)
{
	const struct swa *s = self;
	if (what != REIN_EPOCH_END)
		return;
	rein_val late = rein_ge(r, t->epoch, rein_scalar_i(r, (int32_t)s->start - 1));
	for (uint32_t i = 0; i < t->n_tensor; i++) {
		const struct rein_tensor *p = rein_tensor_at(t, i);
		rein_scope(r, p);
		rein_var mean = mean_of(r, p->w), count = count_of(r);
		rein_val a = rein_read(r, mean), n = rein_offset(r, rein_read(r, count), 1);
		rein_assign(r, mean, rein_add(r, a, rein_div(r, rein_sub(r, p->w, a), n)), late);
		rein_assign(r, count, n, late);
	}
}

static rein_val swa_view(const void *self, struct rein_rec *r, const struct rein_step *t, const struct rein_tensor *p)
{
	rein_val any = rein_lt(r, rein_scalar(r, 0), rein_read(r, count_of(r)));
	return rein_where(r, any, rein_read(r, mean_of(r, p->w)), p->w);
}

static const struct rein_regularizer_vt swa_vt = {
	.struct_size = sizeof swa_vt, .flags = REIN_REFRESH_STATS, .event = swa_event, .view = swa_view
};
REIN_COMPONENT(swa, REIN_REGULARIZER, struct swa, swa_keys, &swa_vt, .summary = "evaluates the mean of late weights");
REIN_PLUGIN("swa", "1.0.0", "MIT", &swa_component)
