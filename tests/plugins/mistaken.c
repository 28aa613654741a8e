/* SPDX-License-Identifier: MIT
 *
 * mistaken: what authors of plugins get wrong; tests/plugins/refused/ has what rein says.
 */
#include "rein/rein.h"

struct mistaken {
	double lambda;
	int32_t what;
};

enum { VECTOR, INTEGER, KNOB };
static const char *const whats[] = { "vector", "integer", "knob", NULL };
static const struct rein_key mistaken_keys[] = {
	REIN_REAL(struct mistaken, lambda, "1", 0, 1e6, REIN_KEY_KNOB, "strength"),
	REIN_ENUM(struct mistaken, what, NULL, whats, "the mistake"),
	REIN_KEYS_END,
};

static rein_val mistaken_penalty(const void *self, struct rein_rec *r, const struct rein_step *t,
                                 const struct rein_tensor *p)
{
	const struct mistaken *s = self;

	switch (s->what) {
	case VECTOR: return rein_abs(r, p->w);
	case INTEGER: return rein_cast(r, rein_sum(r, p->w), REIN_I32_T);
	}
	return rein_mul(r, rein_knob(r, "lamda", s->lambda), rein_sum(r, p->w));
}

static const struct rein_regularizer_vt mistaken_vt = { .struct_size = sizeof mistaken_vt,
	                                                    .penalty = mistaken_penalty };
REIN_COMPONENT(mistaken, REIN_REGULARIZER, struct mistaken, mistaken_keys, &mistaken_vt, .summary = "mistakes");
REIN_PLUGIN("mistaken", "1.0.0", "MIT", &mistaken_component)
