/* SPDX-License-Identifier: MIT
 *
 * record_run.c: what only a trainer asks of a recording: what a parameter reads as under
 * rein_with(), a condition over everything that was assigned, and the recorded initial values
 * as a program of their own.
 */
#include <string.h>

#include "rec.h"

rein_val recorder_seen(struct recorder *r, rein_val param)
{
	const struct state *s = recorder_state_of(r, param);
	int n = s ? store_index(r->store, s) : -1;

	for (int i = r->n_with - 1; n >= 0 && i >= 0; i--)
		for (uint32_t k = 0; k < r->with[i].n; k++)
			if (r->with[i].state[k] == n)
				return r->with[i].as[k];
	return param;
}

/* State n as the program finds it, whatever was assigned since. */
static int32_t found(struct recorder *r, int n)
{
	const struct state *s = r->store->state[n];
	struct rec_value v = { .dtype = s->dtype, .rank = s->rank, .count = s->count };
	struct rein_attr a = { .struct_size = sizeof a };

	if (r->read.at[n] >= 0)
		return r->read.at[n];
	memcpy(v.dim, s->dim, sizeof v.dim);
	int i = rec_append(r, REIN_OP_READ, 0, NULL, &a, 1, &v);
	if (i < 0)
		return -1;
	r->instr[i].state = n;
	r->value[r->instr[i].out].state = n;
	return r->read.at[n] = r->instr[i].out;
}

void recorder_guard(struct recorder *r, rein_val ok, const struct state *except)
{
	for (int n = 0; n < r->version.n; n++) {
		int32_t now = r->version.at[n];
		if (now < 0 || now == r->read.at[n] || r->store->state[n] == except)
			continue;
		int32_t before = found(r, n);
		rein_val in[3] = { ok, { now }, { before } }, v;
		if (before < 0)
			return;
		rec_op(&r->rec, REIN_OP_WHERE, 3, in, NULL, 1, &v);
		if (!REC_IS_POISON(v))
			r->version.at[n] = v.id;
	}
}

bool recorder_inits(struct recorder *r)
{
	for (int n = 0; n < r->version.n; n++)
		r->version.at[n] = r->read.at[n];
	r->output.n = 0;
	for (int i = 0; i < r->n_init; i++)
		r->version.at[r->init[i].state] = r->init[i].value;
	return r->n_init > 0;
}
