/* SPDX-License-Identifier: MIT
 *
 * nll: -sum_k p_k l_k for log-probabilities l (N,K), the output of a log_softmax layer, and
 * class numbers or distributions p. log_softmax and nll are cross_entropy in two pieces.
 */
#include "rein/rein.h"

static rein_val nll_record(const void *self, struct rein_rec *r, rein_val l, rein_val y)
{
	rein_val own = rein_dtype(r, y) == REIN_I32_T
	                   ? rein_where(r, rein_one_hot(r, y, rein_dim(r, l, 1)), l, rein_scalar(r, 0))
	                   : rein_mul(r, y, l);
	return rein_neg(r, rein_sum_rows(r, own));
}

static const struct rein_loss_vt nll_vt = { .struct_size = sizeof nll_vt,
	                                        .accept = REIN_ACCEPT_CLASS | REIN_ACCEPT_SOFT,
	                                        .record = nll_record };
REIN_COMPONENT(nll, REIN_LOSS, struct rein_keyless, NULL, &nll_vt,
               .summary = "negative log-likelihood of log-probabilities", .reference = "torch.nn.NLLLoss");
REIN_PLUGIN("nll", "1.0.0", "MIT", &nll_component)
