/* SPDX-License-Identifier: MIT
 *
 * view.h: ops that only move elements, whatever their dtype: where element e of the result
 * lies in the operand.
 */
#ifndef CUDA_VIEW_H
#define CUDA_VIEW_H

#include "cuda.h"

/* Element e of the result lies at start + sum of index * stride of the operand, in elements. */
struct view_map {
	struct cuda_shape shape;
	int64_t start;
};
/* PERMUTE, EXPAND, SLICE; UNSLICE the other way round (x in y). */
void view_map_of(const struct rein_program *, const struct rein_prog_instr *, struct view_map *);
/* True if the op only renames memory: its result is operand 0 plus *offset bytes. */
bool view_is_alias(const struct rein_program *, const struct rein_prog_instr *, int64_t *offset);

#endif
