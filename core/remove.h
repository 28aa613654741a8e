/* SPDX-License-Identifier: MIT
 *
 * remove.h: between remove.c (the stage: what goes, and the smaller network), remove_graph.c
 * (what is tied to what, read off the recorded ops) and remove_facts.c (what is known of values
 * without their samples, and what nobody needs).
 *
 * A *lane* is what goes or stays together: a channel of one layer with its row of weights, its
 * bias, its entries in batch norm, the columns of every layer that reads it, and all channels
 * that an addition ties to it. Lane 0 is what can never go.
 */
#ifndef CORE_REMOVE_H
#define CORE_REMOVE_H

#include "train.h"

struct lane_value {
	uint32_t dtype, rank;
	int64_t dim[REIN_MAX_RANK], count;
	bool data;                    /* depends on samples */
	int state;                    /* it is read from, or -1 */
	int users, user;              /* how many nodes read it, and the last of them */
	int32_t *lane[REIN_MAX_RANK]; /* of each entry along an axis; NULL: all 0 */
	float *host;                  /* what it holds, if it depends on no sample and was asked for */
	int output;                   /* of the program that says so, or -1 */
	int axis;                     /* samples: the axis of `fact` */
	float *fact;                  /* per entry along it: the one value it has for any sample; NaN: none known */
};
struct lane_node {
	uint32_t op;
	int n_in, n_out, *in, out; /* value numbers; results follow one another */
	struct rein_attr attr;
};

/* A product over lanes: y(.., o, ..) = sum over i of x(.., i, ..) * weight(o, i, ..). */
struct lane_site {
	int x, w, y, x_axis, y_axis;
	int64_t rows, cols, area; /* of the weight: o, i, and entries for each pair */
	int64_t step_o, step_i;   /* in the weight's memory */
	bool border;              /* zeros are added around x */
	uint8_t *reads;           /* (rows, cols): the weight is not zero */
	int bias;                 /* state that is added to y right behind, or -1 */
};

struct lane_graph {
	struct trainer *t;
	int n_value, n_node, n_site, cap_site;
	struct lane_value *value;
	struct lane_node *node;
	struct lane_site *site;
	int n_lane, cap_lane;
	int32_t *parent;   /* union-find over lanes */
	int n_pair, *pair; /* values of equal shape that stand for each other: raw and averaged weights */
	int *state_value;  /* per state: value read from it, or -1 */
	uint8_t *stays;    /* per lane, by its root */
	int n_block, cap_block;
	void **block;
};

/* Records the forward pass as evaluation does it, and ties lanes. NULL after errors in t->diag. */
struct lane_graph *lane_graph_create(struct trainer *);
void lane_graph_destroy(struct lane_graph *); /* accepts NULL */
void *lane_alloc(struct lane_graph *, size_t n, size_t size);
int32_t lane_root(const struct lane_graph *, int32_t lane);
/* Lane of entry i along an axis. */
int32_t lane_at(const struct lane_graph *, const struct lane_value *, uint32_t axis, int64_t i);
void lane_fix(struct lane_graph *, int32_t lane); /* it never goes */

/* Fills host and fact of all values, and finishes the sites. */
bool lane_facts(struct lane_graph *);
/* Is column i of the site nothing, or (with fold) the same for every sample, so that a bias can
 * take its part? */
bool lane_covered(const struct lane_graph *, const struct lane_site *, int64_t i, bool fold);
/* Sets `stays` of every lane that something which stays needs; the rest can go. Lanes of
 * `pinned` (by root, may be NULL) stay in any case. */
void lane_decide(struct lane_graph *, const uint8_t *pinned, bool fold);

#endif
