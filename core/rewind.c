/* SPDX-License-Identifier: MIT
 *
 * rewind.c: a rewind stage, for lottery tickets (Frankle and Carbin 2019): everything that training
 * changes (parameters, running statistics, states of optimizers and regularizers) is again as it
 * was after `epoch` epochs of training in all; only the masks of pruners stay, and what they hide
 * is zero. Bias corrections and other functions of the step count on from there too. The order of
 * samples and what is drawn go on: a second training is another one.
 *
 * The copy is made when training gets to that epoch, is the same for every stage that goes back
 * to it, and lies in checkpoints (keep.c) as `rewind.<epoch>/<state>`.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "rein/math.h"
#include "train.h"

bool rewind_note(struct trainer *t)
{
	for (int i = 0; i < t->n_rewound; i++) {
		struct rewound *b = &t->rewound[i];
		if (b->taken || b->epoch != t->total_epoch)
			continue;
		if (!copies_take(t, &b->copy, is_rewound))
			return false;
		b->step = t->total_step - t->step_origin;
		b->taken = true;
	}
	return true;
}

void rewind_finish(struct trainer *t)
{
	for (int i = 0; i < t->n_rewound; i++)
		copies_finish(&t->rewound[i].copy);
	free(t->rewound);
}

/* Masks over what came back. NULL where nothing is masked. */
static struct program *masks_program(struct trainer *t)
{
	struct pass p;
	bool any = false;

	for (int i = 0; i < t->net[0]->n_param; i++)
		any = any || t->net[0]->param[i]->mask;
	if (!any)
		return NULL;
	pass_begin(&p, t, PASS_EVENT, false, "rewind");
	for (int i = 0; i < p.net->n_param; i++) {
		struct state *w = p.net->param[i];
		int group = optimizer_of(t, w->name);
		if (!w->mask)
			continue;
		rein_val mask = recorder_read(p.rec, w->mask);
		recorder_assign(p.rec, w, rein_where(p.r, mask, recorder_read(p.rec, w), rein_scalar(p.r, 0)), REIN_NONE);
		if (group >= 0)
			mask_slots(&p, t->optimizer[group], w, mask);
	}
	return pass_end(&p);
}

bool rewind_prepare(struct trainer *t, struct stage *s)
{
	struct program *p = masks_program(t);

	s->program = build(t, p);
	return !p || s->program;
}

bool rewind_run(struct trainer *t, struct stage *s, struct metrics *out)
{
	if (!s->back->taken) {
		diag_error(t->diag, &s->spec->at,
		           "[stages] %s: epoch=%" PRId64 " was never reached: training stopped after %" PRId64 " epochs",
		           s->name, s->back->epoch, t->total_epoch);
		return false;
	}
	if (!copies_restore(t, &s->back->copy) || (s->program && compiled_run(s->program, 1) < 0))
		return false;
	t->step_origin = t->total_step - s->back->step;
	prune_metrics(t, out);
	t->stage_done = true;
	return true;
}
