/* SPDX-License-Identifier: MIT
 *
 * backend.h: the backend that a test runs on: REIN_TEST_BACKEND, as one writes behind
 * `[run] backend =`, so that the same tests hold every backend; unset: the cpu.
 */
#ifndef TEST_BACKEND_H
#define TEST_BACKEND_H

#include "component.h"

/* A spec of that text ("cuda loops=host"); NULL text: the cpu. Freed with free(). */
struct spec *backend_spec_create(const char *text);

#endif
