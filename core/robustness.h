/* SPDX-License-Identifier: MIT
 *
 * robustness.h: the robustness statement of attack stages as tables.
 */
#ifndef CORE_ROBUSTNESS_H
#define CORE_ROBUSTNESS_H

#include "experiment.h"

/* Of the attack stages of one history; of all runs of an experiment. Nothing without any. */
void robust_statement(const struct history *, struct tables *);
void robust_record(const struct experiment *, struct tables *);

#endif
