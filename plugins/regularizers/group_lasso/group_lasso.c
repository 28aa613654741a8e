/* SPDX-License-Identifier: MIT
 *
 * group_lasso: lambda sum over groups of sqrt(size) ||w_g||: whole rows, columns or filters
 * go to zero together. mode=proximal instead sets, after each step,
 * w_g = w_g max(0, 1 - lr lambda sqrt(size) / ||w_g||).
 */
#include "rein/rein.h"

struct group_lasso {
	double lambda;
	int32_t groups, mode;
};
enum { ROWS, COLUMNS, FILTERS };
enum { PENALTY, PROXIMAL };
static const char *const group_names[] = { "rows", "columns", "filters", NULL };
static const char *const modes[] = { "penalty", "proximal", NULL };
static const struct rein_key group_lasso_keys[] = {
	REIN_REAL(struct group_lasso, lambda, NULL, 0, 1e6, REIN_KEY_KNOB, "strength"),
	REIN_ENUM(struct group_lasso, groups, "rows", group_names,
	          "rows, filters: what makes one output (a bias: each entry); columns: what one input feeds"),
	REIN_ENUM(struct group_lasso, mode, "penalty", modes,
	          "penalty: added to the loss; proximal: w_g max(0, 1 - lr lambda sqrt(size)/||w_g||) after the step"),
	REIN_KEYS_END,
};

/* Norm of each group, its axis kept and the others 1; *root: sqrt(entries of a group). */
static rein_val norms(const struct group_lasso *s, struct rein_rec *r, rein_val w, double *root)
{
	uint32_t own = s->groups == COLUMNS ? 1 : 0;
	if (rein_rank(r, w) <= (int32_t)own) {
		rein_refuse(r, "groups=columns needs weights with columns; leave biases out with on=*.weight");
		return REIN_NONE;
	}
	double size = 1;
	for (int32_t i = 0; i < rein_rank(r, w); i++)
		size *= i == (int32_t)own ? 1 : (double)rein_dim(r, w, i);
	*root = sqrt(size);
	if (rein_rank(r, w) == 1)
		return rein_abs(r, w);
	return rein_norm(r, w, ~REIN_AXIS(own), REIN_KEEP);
}

static rein_val group_lasso_penalty(const void *self, struct rein_rec *r, const struct rein_step *t,
                                    const struct rein_tensor *p)
{
	const struct group_lasso *s = self;
	double root = 0;
	if (s->mode == PROXIMAL)
		return rein_scalar(r, 0);
	rein_val sum = rein_sum(r, norms(s, r, p->w, &root));
	return rein_mul(r, rein_scale(r, sum, root), rein_knob(r, "lambda", s->lambda));
}

static rein_val group_lasso_after_step(const void *self, struct rein_rec *r, const struct rein_step *t,
                                       const struct rein_tensor *p)
{
	const struct group_lasso *s = self;
	double root = 0;
	if (s->mode == PENALTY)
		return p->w;
	rein_val norm = norms(s, r, p->w, &root);
	rein_val cut = rein_scale(r, rein_mul(r, t->lr, rein_knob(r, "lambda", s->lambda)), root);
	rein_val keep = rein_sub(r, rein_scalar(r, 1), rein_div(r, cut, norm));
	return rein_mul(r, p->w, rein_where(r, rein_le(r, norm, cut), rein_scalar(r, 0), keep));
}

static const struct rein_regularizer_vt group_lasso_vt = { .struct_size = sizeof group_lasso_vt,
	                                                       .penalty = group_lasso_penalty,
	                                                       .after_step = group_lasso_after_step };
REIN_COMPONENT(group_lasso, REIN_REGULARIZER, struct group_lasso, group_lasso_keys, &group_lasso_vt,
               .summary = "norms of rows, columns or filters: lambda sum sqrt(size) ||w_g||",
               .reference = "Yuan and Lin 2006");
REIN_PLUGIN("group_lasso", "1.0.0", "MIT", &group_lasso_component)
