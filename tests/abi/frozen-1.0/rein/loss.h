/* SPDX-License-Identifier: MIT
 *
 * loss.h: one value per sample; the core takes the weighted mean over the batch.
 */
#ifndef REIN_LOSS_H
#define REIN_LOSS_H

#include "math.h"

/* Targets a loss accepts. */
#define REIN_ACCEPT_CLASS 1u /* i32 (N) */
#define REIN_ACCEPT_SOFT  2u /* real (N,K), rows are distributions */
#define REIN_ACCEPT_REAL  4u /* real (N,D) */

struct rein_loss_vt {
	uint32_t struct_size, accept; /* REIN_ACCEPT_* */
	/* [control] output of the network (N,...), target -> (N). */
	rein_val (*record)(const void *self, struct rein_rec *, rein_val output, rein_val target);
};

#endif
