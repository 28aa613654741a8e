/* SPDX-License-Identifier: MIT
 *
 * certify.h: the statistics of certify stages, for tests.
 */
#ifndef CORE_CERTIFY_H
#define CORE_CERTIFY_H

#include <stdint.h>

/* The p with P(at least k of n | p) = alpha: Clopper and Pearson's one-sided lower bound. */
double certify_bound(int64_t k, int64_t n, double alpha);
/* Phi^-1(p) of the standard normal distribution. */
double certify_quantile(double p);

#endif
