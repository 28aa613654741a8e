/* SPDX-License-Identifier: MIT
 *
 * trades: beta KL(p(x) || p(x')), mean over the batch, x' found by the attack that `attack=`
 * names (the paper's: tpgd); gradients go through both sides but not through the search.
 */
#include "rein/rein.h"

struct trades {
	const struct rein_ref *attack;
	double beta;
};
static const char *const attack_kind[] = { "attack", NULL };
static const struct rein_key trades_keys[] = {
	REIN_REF(struct trades, attack, NULL, attack_kind, 0, "a line of [attacks]"),
	REIN_REAL(struct trades, beta, "6", 0, 1e6, REIN_KEY_KNOB, "strength"),
	REIN_KEYS_END,
};

static rein_val trades_term(const void *self, struct rein_rec *r, const struct rein_step *t)
{
	const struct trades *s = self;
	rein_val x = rein_stop(r, rein_perturb(r, s->attack, t->model, t->batch->x, t->batch->y));
	rein_val lp = rein_log_softmax(r, t->logits, 1);
	rein_val lq = rein_log_softmax(r, rein_forward(r, t->model, x, REIN_TRAIN), 1);
	return rein_mul(r, rein_mean(r, rein_kl(r, lp, lq)), rein_knob(r, "beta", s->beta));
}

static const struct rein_regularizer_vt trades_vt = { .struct_size = sizeof trades_vt, .term = trades_term };
REIN_COMPONENT(trades, REIN_REGULARIZER, struct trades, trades_keys, &trades_vt,
               .summary = "clean and attacked samples must agree", .reference = "Zhang et al. 2019");
REIN_PLUGIN("trades", "1.0.0", "MIT", &trades_component)
