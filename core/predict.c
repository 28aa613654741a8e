/* SPDX-License-Identifier: MIT
 *
 * predict.c: what the network says of every sample of a split, for reports. As evaluation sees it:
 * views of the weights, refreshed statistics. The programs are made for one call.
 */
#include <stdlib.h>

#include "rein/math.h"
#include "train.h"

static struct compiled *predict_program(struct trainer *t, const struct portion *f, int64_t rows, int64_t first)
{
	bool view = t->has_view && !t->plain;
	struct pass p;

	pass_begin(&p, t, PASS_EVAL, false, "predict");
	p.quiet = true;
	pass_tensors(&p, p.net);
	pass_batch(&p, f, pass_index(&p, recorder_read(p.rec, t->eval_entry), rows, first));
	if (view)
		pass_view(&p);
	rein_val z = pass_forward_once(&p, REIN_EVAL);
	if (view)
		pass_unview(&p);
	recorder_output(p.rec, guess_of(&p, z));
	recorder_assign(p.rec, t->eval_entry, rein_add(p.r, recorder_read(p.rec, t->eval_entry), rein_scalar_i(p.r, 1)),
	                REIN_NONE);
	return build(t, pass_end(&p));
}

static bool predict_run(struct compiled *c, int32_t *guess, int64_t rows)
{
	int64_t bytes = rows * (int64_t)sizeof *guess;
	return compiled_run(c, 1) >= 0 && compiled_output(c, 0, guess, bytes) == bytes;
}

rein_status trainer_predict(struct trainer *t, const char *split, int32_t *guess, struct diag *d)
{
	struct portion *f = portion_find(t, split);
	struct copies aside;
	int64_t n = f->split->n, batch = t->env.settings->eval_batch, at = 0;

	t->diag = d;
	batch = batch <= 0 || batch > n ? n : batch;
	struct compiled *full = predict_program(t, f, batch, -1);
	struct compiled *rest = n % batch ? predict_program(t, f, n % batch, n - n % batch) : NULL;
	bool good = full && (rest || n % batch == 0);
	if (good) {
		const struct tour tour = { NULL, n, batch, -1, NULL };
		good = statistics_begin(t, &aside) && set_i32(t, t->eval_entry, 0);
		for (; good && at + batch <= n; at += batch)
			good = stream_need(f, &tour, at / batch) > 0 && predict_run(full, guess + at, batch);
		good = good && (!rest || (stream_need(f, &tour, at / batch) > 0 && predict_run(rest, guess + at, n - at)));
		good = statistics_end(t, &aside) && good;
	}
	compiled_destroy(full);
	compiled_destroy(rest);
	if (!good)
		diag_error(d, NULL, "the predictions for '%s' could not be made on backend '%s'", split,
		           t->env.backend->component->c.name);
	return good ? REIN_OK : REIN_ERROR;
}
