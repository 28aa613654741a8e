/* SPDX-License-Identifier: MIT
 *
 * adversarial_training: ceil(ratio N) samples of each batch are what an attack makes of them, on
 * the weights of that moment (ratio 1: Madry et al. 2018). The attack sees the model in
 * evaluation mode and leaves its statistics alone; gradients do not go through the search.
 */
#include "rein/rein.h"

struct adversarial_training {
	const struct rein_ref *attack;
	double ratio;
};
static const char *const attack_kind[] = { "attack", NULL };
static const struct rein_key adversarial_training_keys[] = {
	REIN_REF(struct adversarial_training, attack, NULL, attack_kind, 0, "a line of [attacks]"),
	REIN_REAL(struct adversarial_training, ratio, "1", 0, 1, REIN_KEY_OVER_MIN, "share of each batch that is attacked"),
	REIN_KEYS_END,
};

static void adversarial_training_inputs(const void *self, struct rein_rec *r, const struct rein_step *t,
                                        struct rein_batch *b)
{
	const struct adversarial_training *s = self;
	int64_t n = rein_dim(r, b->x, 0), m = (int64_t)ceil(s->ratio * (double)n - 1e-9);
	if (n < 1)
		return;
	/* all rows are recorded, so that draws belong to their samples; the first m count */
	rein_val bad = rein_stop(r, rein_perturb(r, s->attack, t->model, b->x, b->y)), part[2];
	if (m < n) {
		part[0] = rein_narrow(r, bad, 0, 0, m);
		part[1] = rein_narrow(r, b->x, 0, m, n - m);
		bad = rein_concat(r, 2, part, 0);
	}
	b->x = bad;
}

static const struct rein_regularizer_vt adversarial_training_vt = { .struct_size = sizeof adversarial_training_vt,
	                                                                .inputs = adversarial_training_inputs };
REIN_COMPONENT(adversarial_training, REIN_REGULARIZER, struct adversarial_training, adversarial_training_keys,
               &adversarial_training_vt, .summary = "trains on what an attack makes of the batch",
               .reference = "Goodfellow et al. 2015; Madry et al. 2018");
REIN_PLUGIN("adversarial_training", "1.0.0", "MIT", &adversarial_training_component)
