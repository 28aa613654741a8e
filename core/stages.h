/* SPDX-License-Identifier: MIT
 *
 * stages.h: what [stages] is made of, shared by stages.c, prune.c, remove.c, rewind.c, attacks.c and epoch.c.
 *
 * A new kind of stage: its row in the table of stages.c, and a function that runs it.
 */
#ifndef CORE_STAGES_H
#define CORE_STAGES_H

#include "program.h"

struct trainer;
struct metrics;

/* Copies of states on the host: the best so far, statistics put aside. */
struct copies {
	int n;
	struct state **state;
	void **data;
};

/* Weights, statistics and optimizer states as they were after some epochs: for rewind stages. */
struct rewound {
	int64_t epoch, step; /* of all stages; optimizer updates by then */
	bool taken;
	struct copies copy;
};

/* When a train stage prunes, in optimizer updates of the stage; how far, see prune.c. */
struct timetable {
	int64_t kind, updates; /* PRUNE_ONE_SHOT ...; what follows is 1: in updates, 0: in epochs */
	double initial;
	int64_t begin, end, frequency; /* as written; end -1, frequency 0: the default */
	int64_t first, last, every;    /* in updates */
};

/* What may happen in a stage. */
struct stage {
	const struct spec *spec; /* NULL: the default stages */
	const char *name;
	int type; /* index into the table of stages.c */
	int64_t epochs, limit;
	const char *split;
	struct instance *with;           /* pruner or attack */
	struct compiled *program, *rest; /* prune: the cut, and what counts first */
	/* prune, and train with prune= */
	int n_pruned;
	struct state **pruned, **follow; /* parameters with masks; biases that go with their rows, or NULL */
	int64_t *units;                  /* of each: entries or slices that are ranked */
	struct state *k;                 /* how many of each shall be gone */
	struct timetable when;
	int64_t batches; /* that scores' gradients are taken over */
	struct state **slope, *picked;
	struct compiled *gradient;
	/* remove */
	const char *on; /* weights whose rows may go */
	int64_t round_to;
	bool fold;
	/* rewind */
	struct rewound *back;
	/* attack */
	struct robust *robust;   /* attacks.h */
	struct certify *certify; /* certify.c */
	struct copying *copying; /* copy.c */
};

bool stages_read(struct trainer *);    /* the section, before anything is recorded */
bool stages_prepare(struct trainer *); /* their programs */
bool stages_masks(struct trainer *);   /* masks of pruning stages, once parameters are known */
void stages_finish(struct trainer *);
void stages_visit(struct trainer *, program_visit *, void *ctx); /* their programs */
bool stage_trains(const struct stage *);

enum { PRUNE_ONE_SHOT, PRUNE_LINEAR, PRUNE_CUBIC, PRUNE_INVERSE_CUBIC, PRUNE_REPEATED };
bool prune_masks(struct trainer *, struct stage *); /* declares the masks it needs */
bool prune_prepare(struct trainer *, struct stage *);
bool prune_run(struct trainer *, struct stage *, struct metrics *);
/* Of a train stage that prunes: the first update after `step` before which it is due, and the cut
 * itself where it is due now. The stage's last update has number epochs * steps - 1. */
int64_t prune_next(const struct stage *, int64_t step);
bool prune_due(struct trainer *, const struct stage *, int64_t step);
void prune_metrics(struct trainer *, struct metrics *); /* nonzero, nonzero.<parameter>, sparsity */

bool remove_prepare(struct trainer *, struct stage *);
bool remove_run(struct trainer *, struct stage *, struct metrics *);

bool rewind_prepare(struct trainer *, struct stage *);
bool rewind_run(struct trainer *, struct stage *, struct metrics *);
bool rewind_note(struct trainer *); /* before an epoch: copies that are due now */
void rewind_finish(struct trainer *);
void attack_key(struct trainer *, struct stage *, const struct arg *); /* with, images, save, detect, add */
struct robust *attack_again(const struct robust *);                    /* a copy of what was read; accepts NULL */
void certify_key(struct trainer *, struct stage *, const struct arg *);
struct certify *certify_again(const struct certify *);
bool certify_prepare(struct trainer *, struct stage *);
bool certify_run(struct trainer *, struct stage *, struct metrics *);
void certify_finish(struct stage *);
void copy_key(struct trainer *, struct stage *, const struct arg *);
struct copying *copy_again(const struct copying *);
bool copy_prepare(struct trainer *, struct stage *);
bool copy_run(struct trainer *, struct stage *, struct metrics *);
void copy_finish(struct stage *);
bool copy_note(struct trainer *); /* before training: what reset=yes goes back to */
bool attack_prepare(struct trainer *, struct stage *);
void attack_finish(struct stage *);
void attack_visit(const struct stage *, program_visit *, void *ctx);
bool attack_run(struct trainer *, struct stage *, struct metrics *);

#endif
