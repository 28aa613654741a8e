/* SPDX-License-Identifier: MIT
 *
 * chain_many.cu: chains that follow each other and do not depend on each other share a launch,
 * each with blocks of its own: the update of every parameter of a net is one kernel. Whether they
 * depend is seen from the memory they read and write, so memory used again counts too.
 */
#include "chain.h"

struct chain_bundle {
	int n;
	int32_t kernel; /* of the plan: the last one's */
	struct chain *c[CHAIN_MANY];
};

static bool overlap(const struct cuda_build *b, int32_t v, int32_t u)
{
	const char *p = static_cast<const char *>(b->mem[v]), *q = static_cast<const char *>(b->mem[u]);
	return p < q + cuda_bytes_of(b->p, u) && q < p + cuda_bytes_of(b->p, v);
}

/* One of them writes what the other reads or writes. */
static bool depend(const struct cuda_build *b, const struct chain *x, const struct chain *y)
{
	for (int32_t o = 0; o < x->n_out; o++) {
		for (int32_t k = 0; k < y->n_in; k++)
			if (overlap(b, x->out[o].value, y->in[k].value))
				return true;
		for (int32_t k = 0; k < y->n_out; k++)
			if (overlap(b, x->out[o].value, y->out[k].value))
				return true;
	}
	for (int32_t o = 0; o < y->n_out; o++)
		for (int32_t k = 0; k < x->n_in; k++)
			if (overlap(b, y->out[o].value, x->in[k].value))
				return true;
	return false;
}

rein_status chain_flush(struct cuda_build *b)
{
	struct chain_bundle *all = b->bundle;
	if (!all)
		return REIN_OK;
	int32_t now = b->kernel;
	b->kernel = all->kernel;
	rein_status s = chain_emit(b, all->n, all->c);
	b->kernel = now;
	for (int k = 0; k < all->n; k++)
		b->host->free(b->host, all->c[k]);
	b->host->free(b->host, all);
	b->bundle = NULL;
	return s;
}

/* A plugin's kernel can be wrong, and then the message should be about it alone; what is checked
 * kernel by kernel runs kernel by kernel. */
static bool shares(const struct cuda_build *b, const struct chain *c)
{
	return !c->has_map && !(b->cuda->flags & (REIN_NAIVE | REIN_GUARD)) && b->cuda->fuse_key != CUDA_FUSE_NONE;
}

rein_status chain_add(struct cuda_build *b, struct chain *c)
{
	struct chain_bundle *all = b->bundle;
	bool apart = !shares(b, c) || (all && all->n == CHAIN_MANY);
	for (int k = 0; all && k < all->n && !apart; k++)
		apart = depend(b, all->c[k], c);
	rein_status s = apart ? chain_flush(b) : REIN_OK;
	if (s >= 0 && !b->bundle)
		b->bundle = static_cast<struct chain_bundle *>(b->host->alloc(b->host, sizeof *b->bundle));
	if (s < 0 || !b->bundle) {
		b->host->free(b->host, c);
		return REIN_ERROR;
	}
	b->bundle->kernel = b->kernel;
	b->bundle->c[b->bundle->n++] = c;
	return shares(b, c) ? REIN_OK : chain_flush(b);
}
