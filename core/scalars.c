/* SPDX-License-Identifier: MIT
 *
 * scalars.c: numbers that change with the step: keys that [schedules] names (knobs) and
 * rein_per_step() functions. Each is a row of the state `table` (n, steps per epoch). The
 * rows are worked out in double on the host and uploaded before an epoch begins; a step
 * takes entry `entry`. So nothing is uploaded within an epoch, and no power is ever taken
 * in float32. A knob that nothing schedules is a constant of the program.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "rein/math.h"
#include "train.h"

/* `for=` holds patterns over section.name.key; without it a schedule drives the learning
 * rate of every optimizer. */
bool scheduled(const struct trainer *t, const struct instance *schedule, const struct instance *who, const char *key)
{
	const char *target = schedule->common.target;
	char path[256];

	(void)t;
	if (!who)
		return false;
	if (!target || !*target)
		return who->component->c.kind == REIN_OPTIMIZER && strcmp(key, "lr") == 0;
	snprintf(path, sizeof path, "%s.%s.%s", who->spec->section, who->spec->name, key);
	return pattern_match(target, path);
}

double scalar_value(struct trainer *t, const struct instance *who, const char *key, double now, int64_t step,
                    int64_t epoch, int64_t epochs)
{
	const struct rein_time time = { sizeof time, 0, step, epoch, t->steps, epochs };

	for (int i = 0; i < t->n_schedule; i++)
		if (scheduled(t, t->schedule[i], who, key))
			now *= t->schedule[i]->component->vt.schedule.value(t->schedule[i]->self, &time);
	return now;
}

static bool same_scalar(const struct scalar *a, const struct scalar *b)
{
	if (a->key || b->key)
		return a->who == b->who && a->key && b->key && strcmp(a->key, b->key) == 0;
	return a->f == b->f && a->self == b->self;
}

/* Row of the table as a value of this step. The first look only counts rows. */
static rein_val scalar_row(struct pass *p, const struct scalar *s, double example)
{
	struct trainer *t = p->t;
	int i = 0;

	while (i < t->n_scalar && !same_scalar(&t->scalar[i], s))
		i++;
	if (i == t->n_scalar) {
		if (!p->dry) {
			rein_refuse(p->r, "a scalar appears in this program that the first recording did not have");
			return REIN_NONE;
		}
		if (t->n_scalar == t->cap_scalar) {
			t->cap_scalar = t->cap_scalar ? 2 * t->cap_scalar : 16;
			t->scalar = must(realloc(t->scalar, (size_t)t->cap_scalar * sizeof *t->scalar));
		}
		t->scalar[t->n_scalar] = *s;
		if (s->key)
			t->scalar[t->n_scalar].key = trainer_text(t, "%s", s->key);
		t->n_scalar++;
	}
	if (p->dry)
		return rein_scalar(p->r, example);
	/* row i of (n, steps), then column `entry` */
	int64_t row[1] = { t->steps }, one[1] = { 1 };
	rein_val line = rein_reshape(p->r, rein_narrow(p->r, recorder_read(p->rec, t->table), 0, i, 1), 1, row);
	rein_val v = rein_take(p->r, line, rein_reshape(p->r, p->entry, 1, one), 0);
	return rein_reshape(p->r, v, 0, NULL);
}

rein_val scalar_knob(struct pass *p, const struct instance *who, const char *key, double now)
{
	const struct scalar s = { who, key, now, NULL, NULL };

	for (int i = 0; i < p->t->n_schedule; i++)
		if (scheduled(p->t, p->t->schedule[i], who, key))
			return scalar_row(p, &s, now);
	return rein_scalar(p->r, now);
}

rein_val scalar_per_step(struct pass *p, const struct instance *who, double (*f)(const void *, int64_t),
                         const void *self)
{
	const struct scalar s = { who, NULL, 0, f, self };

	return scalar_row(p, &s, f(self, 0));
}

bool scalars_upload(struct trainer *t, int64_t stage_epoch, int64_t epochs)
{
	int64_t first = t->total_step - t->stage_step; /* of the stage */
	float *out = t->table_host;

	if (!t->n_scalar)
		return true;
	for (int i = 0; i < t->n_scalar; i++) {
		const struct scalar *s = &t->scalar[i];
		for (int64_t e = 0; e < t->steps; e++)
			*out++ = (float)(s->key ? scalar_value(t, s->who, s->key, s->now, first + e, stage_epoch, epochs)
			                        : s->f(s->self, t->total_step - t->step_origin + e));
	}
	return store_set(t->store, t->table, t->table_host) >= 0;
}
