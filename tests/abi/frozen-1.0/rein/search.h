/* SPDX-License-Identifier: MIT
 *
 * search.h: hyperparameter search strategies over the typed space of [search].
 */
#ifndef REIN_SEARCH_H
#define REIN_SEARCH_H

#include "host.h"

#define REIN_DIM_REAL   0u
#define REIN_DIM_LOG    1u /* real, uniform in the logarithm */
#define REIN_DIM_INT    2u
#define REIN_DIM_CHOICE 3u /* index 0..n-1 */

struct rein_search_dim {
	uint32_t struct_size, type;
	const char *path; /* "regularizers.lasso.lambda" */
	double min, max;
	int64_t n; /* CHOICE: how many; grids: points asked for */
};
struct rein_search_vt {
	uint32_t struct_size, reserved;
	/* [control] The next point, one number per dimension; > 0: nothing left to try. */
	rein_status (*propose)(void *self, const struct rein_host *, uint32_t n, const struct rein_search_dim *,
	                       double *point);
	/* [control] What a point scored; larger is better. */
	rein_status (*observe)(void *self, const struct rein_host *, uint32_t n, const double *point, double score);
};

#endif
