/* SPDX-License-Identifier: MIT
 *
 * attack_probe: writes down, for the golden tests, what an attack makes of the first batch.
 */
#include "rein/rein.h"

struct attack_probe {
	const struct rein_ref *attack;
};
static const char *const attack_kind[] = { "attack", NULL };
static const struct rein_key attack_probe_keys[] = {
	REIN_REF(struct attack_probe, attack, NULL, attack_kind, 0, "a line of [attacks]"),
	REIN_KEYS_END,
};

/* Before the forward pass, so that running statistics are still those of the file. */
static void attack_probe_inputs(const void *self, struct rein_rec *r, const struct rein_step *t, struct rein_batch *b)
{
	const struct attack_probe *s = self;
	rein_val x = rein_perturb(r, s->attack, t->model, b->x, b->y);
	rein_assign(r, rein_state_like(r, "x", x), x, rein_eq(r, t->step, rein_scalar_i(r, 0)));
}

static const struct rein_regularizer_vt attack_probe_vt = { .struct_size = sizeof attack_probe_vt,
	                                                        .inputs = attack_probe_inputs };
REIN_COMPONENT(attack_probe, REIN_REGULARIZER, struct attack_probe, attack_probe_keys, &attack_probe_vt,
               .summary = "keeps the adversarial samples of the first step");
REIN_PLUGIN("attack_probe", "1.0.0", "MIT", &attack_probe_component)
