/* SPDX-License-Identifier: MIT
 *
 * known: a sample that was once classified correctly weighs nothing from the next step on: a
 * state with one entry per training sample.
 */
#include "rein/rein.h"

static rein_val known_weight(const void *self, struct rein_rec *r, const struct rein_step *t)
{
	const struct rein_batch *b = t->batch;
	rein_var known = rein_state(r, "known", REIN_BOOL_T, 1, &t->n_train, NULL);
	rein_val all = rein_read(r, known), before = rein_take(r, all, b->id, 0);
	rein_val now = rein_or(r, before, rein_eq(r, rein_argmax(r, t->logits), b->y));
	rein_assign(r, known, rein_put(r, all, b->id, now, 0, t->n_train, REIN_PUT_SET), REIN_NONE);
	rein_metric(r, "share", rein_cast(r, now, REIN_REAL_T), REIN_MEAN);
	return rein_cast(r, rein_not(r, before), REIN_REAL_T);
}

static const struct rein_regularizer_vt known_vt = { .struct_size = sizeof known_vt, .weight = known_weight };
REIN_COMPONENT(known, REIN_REGULARIZER, struct rein_keyless, NULL, &known_vt,
               .summary = "learns no sample twice that it knows");
REIN_PLUGIN("known", "1.0.0", "MIT", &known_component)
