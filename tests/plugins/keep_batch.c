/* SPDX-License-Identifier: MIT
 *
 * keep_batch: a regularizer that does nothing but keep each step's images, as the network gets
 * them, in the state "x", so that a test can look at them.
 */
#include "rein/rein.h"

static void keep_batch_inputs(const void *self, struct rein_rec *r, const struct rein_step *t, struct rein_batch *b)
{
	(void)self;
	(void)t;
	rein_assign(r, rein_state_like(r, "x", b->x), b->x, REIN_NONE);
}

static const struct rein_regularizer_vt keep_batch_vt = { .struct_size = sizeof keep_batch_vt,
	                                                      .inputs = keep_batch_inputs };
REIN_COMPONENT(keep_batch, REIN_REGULARIZER, struct rein_keyless, NULL, &keep_batch_vt,
               .summary = "keeps the images of the last step");
REIN_PLUGIN("keep_batch", "1.0.0", "MIT", &keep_batch_component)
