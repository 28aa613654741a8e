/* SPDX-License-Identifier: MIT
 *
 * host_only: after each step w -> w - scale f(w), whose kernel calls a function that only the
 * host has: it runs on the cpu, and a backend that compiles kernels at run time passes the message
 * of its compiler on.
 */
#include "rein/rein.h"

static long int only_on_the_host(long int x) { return x / 2; }

/* clang-format off */
REIN_MAP(odd, (w), (h), (scale),
	h = w - scale * only_on_the_host((long int)w);
)
/* clang-format on */

static rein_val host_only_after_step(const void *self, struct rein_rec *r, const struct rein_step *t,
                                     const struct rein_tensor *p)
{
	rein_val scale = rein_scalar(r, 1e-3), h;
	rein_map(r, &odd, &p->w, &scale, &h);
	return h;
}

static const struct rein_regularizer_vt host_only_vt = { .struct_size = sizeof host_only_vt,
	                                                     .after_step = host_only_after_step };
REIN_COMPONENT(host_only, REIN_REGULARIZER, struct rein_keyless, NULL, &host_only_vt,
               .summary = "a kernel that needs a function of the host");
REIN_PLUGIN("host_only", "1.0.0", "MIT", &host_only_component)
