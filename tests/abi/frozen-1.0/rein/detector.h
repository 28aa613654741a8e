/* SPDX-License-Identifier: MIT
 *
 * detector.h: tells attacked samples from clean ones, as a line of [detectors]. An attack stage
 * finds the threshold on half of its clean samples, such that the share `false_positives` (a key
 * of every detector) of them lies above it, counts false positives on the other half, and how
 * many adversarial samples are found.
 */
#ifndef REIN_DETECTOR_H
#define REIN_DETECTOR_H

#include "math.h"

struct rein_detector_vt {
	uint32_t struct_size, reserved;
	/* [control] x (N,...) in pixel space m->lo..m->hi -> (N): the higher, the likelier attacked.
	 * Draws are per sample, as in attacks. */
	rein_val (*score)(const void *self, struct rein_rec *, const struct rein_model *m, rein_val x);
};

#endif
