/* SPDX-License-Identifier: MIT
 *
 * faulty: components with one fault each, which `rein check` must find and name: see parts.py.
 */
#include <stdlib.h>

#include "rein/rein.h"

REIN_EXPORT int helper(void);
int helper(void) { return 1; } /* a second symbol */

/* --- a derivative that is not the function's ------------------------------------------------ */
static void twice_vjp(const void *ctx, struct rein_rec *r, const rein_val *in, const rein_val *out, const rein_val *g,
                      rein_val *gin)
{
	gin[0] = rein_scale(r, g[0], 3);
}
REIN_MAP_VJP(twice, twice_vjp, (x), (y), (), y = 2 * x;)
static rein_val slope_record(const void *self, struct rein_rec *r, const struct rein_call *c)
{
	rein_val y;
	rein_map(r, &twice, c->in, NULL, &y);
	return y;
}
static const struct rein_layer_vt slope_vt = { .struct_size = sizeof slope_vt, .record = slope_record };
REIN_COMPONENT(slope, REIN_LAYER, struct rein_keyless, NULL, &slope_vt, .summary = "has a wrong derivative");

/* --- a state that is written in evaluation ------------------------------------------------------ */
static rein_val count_record(const void *self, struct rein_rec *r, const struct rein_call *c)
{
	rein_var n = rein_state(r, "n", REIN_I32_T, 0, NULL, NULL);
	rein_assign(r, n, rein_add(r, rein_read(r, n), rein_scalar_i(r, 1)), REIN_NONE);
	return rein_scale(r, c->in[0], 2);
}
static const struct rein_layer_vt count_vt = { .struct_size = sizeof count_vt, .record = count_record };
REIN_COMPONENT(count, REIN_LAYER, struct rein_keyless, NULL, &count_vt, .summary = "counts evaluations");

/* --- the batch gets lost, a shape that crashes ----------------------------------------------------- */
static rein_val lose_record(const void *self, struct rein_rec *r, const struct rein_call *c)
{
	if (rein_rank(r, c->in[0]) == 3)
		abort();
	return rein_reshape(r, c->in[0], 1, (int64_t[]){ -1 });
}
static const struct rein_layer_vt lose_vt = { .struct_size = sizeof lose_vt, .record = lose_record };
REIN_COMPONENT(lose, REIN_LAYER, struct rein_keyless, NULL, &lose_vt, .summary = "loses the batch");

static rein_val sum_record(const void *self, struct rein_rec *r, const struct rein_call *c)
{
	return rein_sum(r, c->in[0]);
}
static const struct rein_layer_vt sum_vt = { .struct_size = sizeof sum_vt, .record = sum_record };
REIN_COMPONENT(sum, REIN_LAYER, struct rein_keyless, NULL, &sum_vt, .summary = "one number for a batch");

/* --- no value; a weight that no memory holds -------------------------------------------------------- */
static rein_val nothing_record(const void *self, struct rein_rec *r, const struct rein_call *c) { return REIN_NONE; }
static const struct rein_layer_vt nothing_vt = { .struct_size = sizeof nothing_vt, .record = nothing_record };
REIN_COMPONENT(nothing, REIN_LAYER, struct rein_keyless, NULL, &nothing_vt, .summary = "gives nothing");
static rein_val huge_record(const void *self, struct rein_rec *r, const struct rein_call *c)
{
	const struct rein_init zeros = { .struct_size = sizeof zeros, .kind = REIN_INIT_CONSTANT };
	const int64_t n = 1000000000000;
	rein_param(r, "weight", 1, &n, &zeros);
	return rein_scale(r, c->in[0], 1);
}
static const struct rein_layer_vt huge_vt = { .struct_size = sizeof huge_vt, .record = huge_record };
REIN_COMPONENT(huge, REIN_LAYER, struct rein_keyless, NULL, &huge_vt, .summary = "wants more memory than there is");

/* --- a penalty that is no number ------------------------------------------------------------------- */
static rein_val root_penalty(const void *self, struct rein_rec *r, const struct rein_step *t,
                             const struct rein_tensor *p)
{
	return rein_sum(r, rein_sqrt(r, rein_offset(r, rein_neg(r, rein_square(r, p->w)), -1)));
}
static const struct rein_regularizer_vt root_vt = { .struct_size = sizeof root_vt, .penalty = root_penalty };
REIN_COMPONENT(root, REIN_REGULARIZER, struct rein_keyless, NULL, &root_vt, .summary = "roots below zero");

/* --- an end of a range that crashes, a key without help ------------------------------------------------ */
struct edge {
	int64_t n;
};
static const struct rein_key edge_keys[] = { REIN_INT(struct edge, n, "1", 0, 9, ""), REIN_KEYS_END };
static rein_status edge_create(void *self, const struct rein_host *host)
{
	if (((struct edge *)self)->n == 9)
		abort();
	return REIN_OK;
}
/* ... and no scalar */
static rein_val edge_penalty(const void *self, struct rein_rec *r, const struct rein_step *t,
                             const struct rein_tensor *p)
{
	return rein_abs(r, p->w);
}
static const struct rein_regularizer_vt edge_vt = { .struct_size = sizeof edge_vt, .penalty = edge_penalty };
REIN_COMPONENT(edge, REIN_REGULARIZER, struct edge, edge_keys, &edge_vt, .summary = "dies at the end of its range",
               .create = edge_create);

/* --- a schedule with a memory ------------------------------------------------------------------------------ */
static double restless_value(const void *self, const struct rein_time *t)
{
	static int asked;
	return asked++;
}
static const struct rein_schedule_vt restless_vt = { .struct_size = sizeof restless_vt, .value = restless_value };
REIN_COMPONENT(restless, REIN_SCHEDULE, struct rein_keyless, NULL, &restless_vt, .summary = "never says the same");

/* --- no sum per sample; an attack that leaves nothing of the shape ------------------------------------------ */
static rein_val total_record(const void *self, struct rein_rec *r, rein_val output, rein_val target)
{
	return rein_sum(r, rein_square(r, output));
}
static const struct rein_loss_vt total_vt = { .struct_size = sizeof total_vt,
	                                          .accept = REIN_ACCEPT_CLASS,
	                                          .record = total_record };
REIN_COMPONENT(total, REIN_LOSS, struct rein_keyless, NULL, &total_vt, .summary = "adds up the batch");
static rein_val flatten_perturb(const void *self, struct rein_rec *r, const struct rein_model *m, rein_val x,
                                rein_val y)
{
	return rein_reshape(r, x, 1, (int64_t[]){ -1 });
}
static const struct rein_attack_vt flatten_vt = { .struct_size = sizeof flatten_vt, .perturb = flatten_perturb };
REIN_COMPONENT(flatten_all, REIN_ATTACK, struct rein_keyless, NULL, &flatten_vt, .summary = "loses the shape");

/* --- and one that is right, but for a derivative of its own ------------------------------------------------------ */
static void through(const void *ctx, struct rein_rec *r, const rein_val *in, const rein_val *out, const rein_val *g,
                    rein_val *gin)
{
	gin[0] = g[0];
}
static rein_val steps_record(const void *self, struct rein_rec *r, const struct rein_call *c)
{
	return rein_override(r, rein_rint(r, c->in[0]), 1, c->in, through, NULL);
}
static const struct rein_layer_vt steps_vt = { .struct_size = sizeof steps_vt, .record = steps_record };
REIN_COMPONENT(steps, REIN_LAYER, struct rein_keyless, NULL, &steps_vt, .summary = "rounds, straight through");

REIN_PLUGIN("faulty", "1.0.0", "MIT", &slope_component, &count_component, &lose_component, &edge_component,
            &restless_component, &total_component, &sum_component, &nothing_component, &huge_component, &root_component,
            &flatten_all_component, &steps_component)
