/* SPDX-License-Identifier: MIT
 *
 * rein.h: everything a plugin may use.
 */
#ifndef REIN_H
#define REIN_H

#include "attack.h"
#include "augmentation.h"
#include "backend.h"
#include "color.h"
#include "dataset.h"
#include "detector.h"
#include "image.h"
#include "init.h"
#include "kernel.h"
#include "layer.h"
#include "logger.h"
#include "loss.h"
#include "mix.h"
#include "optimizer.h"
#include "policy.h"
#include "pruner.h"
#include "regularizer.h"
#include "report.h"
#include "schedule.h"
#include "search.h"
#include "window.h"

#endif
