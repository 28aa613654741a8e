/* SPDX-License-Identifier: MIT
 *
 * block.c: finds convolution + bias + batch norm [+ relu [+ max pooling 2 x 2]] and, if the program
 * trains, the derivative from the result's gradient down to the convolution's result:
 *   forward   conv2d add batch_norm [le where] [max_pool]
 *   backward  [max_pool_dx] [where] batch_norm_dx [sum for the bias]
 * with conv2d_dw and conv2d_dx behind it. Every value inside may be read by these ops alone; then
 * nobody sees how the backend stores it. What goes from block to block stays channels last.
 * No way leads out of a part and back: what lies between its ops is read inside, and all that
 * batch_norm and batch_norm_dx read was recorded before them.
 */
#include <string.h>

#include "nhwc.h"

static const struct rein_prog_instr *maker(const struct rein_program *p, int32_t v)
{
	return &p->instr[p->value[v].instr];
}

/* Instructions that read v, each once; -1 if there are more than `most`, or v leaves the program. */
static int readers(const struct rein_program *p, int32_t v, int32_t *list, int most)
{
	uint32_t places = 0;
	int n = 0;
	for (uint32_t k = 0; k < p->n_instr && places < p->value[v].uses; k++) {
		bool here = false;
		for (uint32_t i = 0; i < p->instr[k].n_in; i++)
			if (p->instr[k].in[i] == v) {
				places++;
				here = true;
			}
		if (here && n == most)
			return -1;
		if (here)
			list[n++] = (int32_t)k;
	}
	return places == p->value[v].uses ? n : -1;
}

/* The only reader of v, or -1. */
static int32_t only_reader(const struct rein_program *p, int32_t v)
{
	int32_t k;
	return readers(p, v, &k, 1) == 1 ? k : -1;
}

static bool is_zero(const struct rein_program *p, int32_t v)
{
	const struct rein_prog_instr *i = maker(p, v);
	return i->op == REIN_OP_CONST && !i->attr.data && i->attr.par[0] == 0;
}

/* One number per channel of (N,O,H,W), or one for all. */
static bool per_channel(const struct rein_program *p, int32_t v, int64_t channels)
{
	const struct rein_prog_value *x = &p->value[v];
	return x->dtype == REIN_REAL_T &&
	       (x->count == 1 || (x->count == channels && x->rank == 4 && x->dim[1] == channels));
}

/* All axes of (N,O,H,W) but the channels'; those of size 1 do not matter. */
static bool but_channels(const struct rein_program *p, int32_t v, uint32_t axes)
{
	const struct rein_prog_value *x = &p->value[v];
	for (uint32_t a = 0; a < 4 && x->rank == 4; a++)
		if (a == 1 ? axes >> a & 1 : x->dim[a] > 1 && !(axes >> a & 1))
			return false;
	return x->rank == 4;
}

/* --- convolutions -------------------------------------------------------------------------------- */
/* x, w and y of a convolution or its derivative. */
static bool conv_of_(const struct rein_program *p, const struct rein_prog_instr *i, struct nhwc *v)
{
	bool dx = i->op == REIN_OP_CONV2D_DX, dw = i->op == REIN_OP_CONV2D_DW;
	const struct rein_attr *a = &i->attr;
	if (p->real_size != 4 || i->n_in != 2)
		return false;
	const struct rein_prog_value *x = &p->value[dx ? i->out[0] : i->in[0]];
	const struct rein_prog_value *w = &p->value[dw ? i->out[0] : i->in[1]];
	const struct rein_prog_value *y = &p->value[dx ? i->in[0] : dw ? i->in[1] : i->out[0]];
	if (x->rank != 4 || w->rank != 4 || y->rank != 4 || a->batch > 1 || a->step[0] != 1 || a->step[1] != 1 ||
	    a->start[2] > 1 || a->start[3] > 1)
		return false;
	*v = (struct nhwc){ .pass = dx   ? NHWC_DX
		                        : dw ? NHWC_DW
		                             : NHWC_FORWARD,
		                .N = x->dim[0],
		                .C = x->dim[1],
		                .H = x->dim[2],
		                .W = x->dim[3],
		                .O = w->dim[0],
		                .kh = w->dim[2],
		                .kw = w->dim[3],
		                .Ho = y->dim[2],
		                .Wo = y->dim[3],
		                .ph = a->start[0],
		                .pw = a->start[1] };
	return v->O % LANES == 0 && v->ph < v->kh && v->pw < v->kw && w->dim[1] == v->C && (!dx || v->C % LANES == 0) &&
	       x->count < (int64_t)1 << 30 && y->count < (int64_t)1 << 30;
}

/* --- forward ---------------------------------------------------------------------------------------- */
static bool find_conv(const struct rein_program *p, struct block *b)
{
	int32_t v = p->instr[b->at[BLOCK_BN]].in[0];
	const struct rein_prog_instr *i = maker(p, v);
	if (i->op == REIN_OP_ADD) {
		int k = maker(p, i->in[0])->op == REIN_OP_CONV2D ? 0 : 1;
		b->at[BLOCK_ADD] = p->value[v].instr;
		if (!per_channel(p, i->in[1 - k], p->value[v].dim[1]) || only_reader(p, i->in[k]) != b->at[BLOCK_ADD])
			return false;
		v = i->in[k];
		i = maker(p, v);
	}
	b->at[BLOCK_CONV] = p->value[v].instr;
	return i->op == REIN_OP_CONV2D && conv_of_(p, i, &b->conv[NHWC_FORWARD]);
}

/* where(le(y, 0), 0, y) as the two only readers of y */
static void find_relu(const struct rein_program *p, struct block *b)
{
	int32_t y = p->instr[b->at[BLOCK_BN]].out[0], list[2];
	if (readers(p, y, list, 2) != 2)
		return;
	const struct rein_prog_instr *le = &p->instr[list[0]], *where = &p->instr[list[1]];
	if (le->op != REIN_OP_LE || where->op != REIN_OP_WHERE || le->in[0] != y || !is_zero(p, le->in[1]) ||
	    where->in[0] != le->out[0] || !is_zero(p, where->in[1]) || where->in[2] != y || le->in[1] == y)
		return;
	b->at[BLOCK_LE] = list[0];
	b->at[BLOCK_RELU] = list[1];
}

static void find_pool(const struct rein_program *p, struct block *b)
{
	if (b->at[BLOCK_RELU] < 0)
		return;
	int32_t k = only_reader(p, p->instr[b->at[BLOCK_RELU]].out[0]);
	if (k < 0 || p->instr[k].op != REIN_OP_MAX_POOL)
		return;
	const struct rein_attr *a = &p->instr[k].attr;
	for (int i = 0; i < 2; i++)
		if (a->step[i] != 2 || a->step[i + 2] != 2 || a->start[i] || a->start[i + 2] > 1)
			return;
	b->at[BLOCK_POOL] = k;
}

int32_t block_result(const struct rein_program *p, const struct block *b)
{
	int32_t last = b->at[BLOCK_POOL] >= 0   ? b->at[BLOCK_POOL]
	               : b->at[BLOCK_RELU] >= 0 ? b->at[BLOCK_RELU]
	                                        : b->at[BLOCK_BN];
	return p->instr[last].out[0];
}

/* --- backward ----------------------------------------------------------------------------------------- */
/* From batch_norm_dx up to where the gradient comes in; false if the way is not the forward one back. */
static bool find_gradient(const struct rein_program *p, struct block *b)
{
	int32_t v = p->instr[b->at[BLOCK_BN_DX]].in[4], k = b->at[BLOCK_BN_DX];
	if (b->at[BLOCK_RELU] >= 0) {
		const struct rein_prog_instr *i = maker(p, v);
		if (i->op != REIN_OP_WHERE || i->in[0] != p->instr[b->at[BLOCK_LE]].out[0] || !is_zero(p, i->in[1]) ||
		    only_reader(p, v) != k || p->value[i->in[2]].count != p->value[v].count)
			return false;
		b->at[BLOCK_RELU_DX] = k = p->value[v].instr;
		v = i->in[2];
	}
	if (b->at[BLOCK_POOL] >= 0) {
		const struct rein_prog_instr *i = maker(p, v), *pool = &p->instr[b->at[BLOCK_POOL]];
		if (i->op != REIN_OP_MAX_POOL_DX || i->in[1] != pool->out[1] || only_reader(p, v) != k ||
		    only_reader(p, pool->out[1]) != p->value[v].instr)
			return false;
		b->at[BLOCK_POOL_DX] = p->value[v].instr;
		v = i->in[0];
	}
	return p->value[v].rank == 4 && p->value[v].count == p->value[block_result(p, b)].count;
}

/* Who reads the gradient of the convolution's result: its bias, dw and dx. */
static bool find_uses(const struct rein_program *p, struct block *b)
{
	int32_t v = p->instr[b->at[BLOCK_BN_DX]].out[0], list[3];
	int n = readers(p, v, list, 3);
	const struct rein_prog_instr *conv = &p->instr[b->at[BLOCK_CONV]];
	for (int k = 0; k < n; k++) {
		const struct rein_prog_instr *i = &p->instr[list[k]];
		struct nhwc c;
		enum block_part part = i->op == REIN_OP_SUM ? BLOCK_SUM : i->op == REIN_OP_CONV2D_DW ? BLOCK_DW : BLOCK_DX;
		if (b->at[part] >= 0)
			return false;
		b->at[part] = list[k];
		if (part == BLOCK_SUM) {
			if (!but_channels(p, v, i->attr.axes) || (i->attr.flags & REIN_WIDE))
				return false;
			continue;
		}
		if (part == BLOCK_DX && i->op != REIN_OP_CONV2D_DX)
			return false;
		bool dx = part == BLOCK_DX;
		if (!conv_of_(p, i, &c) || i->in[dx ? 0 : 1] != v || (!dx && i->in[0] != conv->in[0]) ||
		    c.kh != b->conv[0].kh || c.kw != b->conv[0].kw || c.ph != b->conv[0].ph || c.pw != b->conv[0].pw)
			return false;
		b->conv[c.pass] = c;
	}
	return n >= 0;
}

/* Reader k is one of a few; -1 stands for none. */
static bool among(int32_t k, int32_t a, int32_t b) { return k == a || k == b; }

static bool match(const struct rein_program *p, int32_t bn, struct block *b)
{
	const struct rein_prog_instr *i = &p->instr[bn];
	int32_t list[4];
	memset(b, 0, sizeof *b);
	for (int k = 0; k < BLOCK_PARTS; k++)
		b->at[k] = -1;
	b->at[BLOCK_BN] = bn;
	if (!but_channels(p, i->in[0], i->attr.axes) || !find_conv(p, b) || !per_channel(p, i->in[1], b->conv[0].O) ||
	    !per_channel(p, i->in[2], b->conv[0].O))
		return false;
	find_relu(p, b);
	find_pool(p, b);
	int n = readers(p, i->in[0], list, 2);
	for (int k = 0; k < n; k++) {
		if (list[k] == bn)
			continue;
		const struct rein_prog_instr *d = &p->instr[list[k]];
		if (d->op != REIN_OP_BATCH_NORM_DX || d->in[0] != i->in[0] || d->attr.axes != i->attr.axes ||
		    !per_channel(p, d->in[1], b->conv[0].O) || !per_channel(p, d->in[2], b->conv[0].O) ||
		    !per_channel(p, d->in[3], b->conv[0].O) || d->in[4] == i->in[0])
			return false;
		b->at[BLOCK_BN_DX] = list[k];
	}
	if (n < 1 || (b->at[BLOCK_BN_DX] >= 0 && (!find_gradient(p, b) || !find_uses(p, b))))
		return false;
	if (b->at[BLOCK_LE] >= 0) { /* nobody else sees the mask, nor which place was largest */
		n = readers(p, p->instr[b->at[BLOCK_LE]].out[0], list, 2);
		for (int k = 0; k < n; k++)
			if (!among(list[k], b->at[BLOCK_RELU], b->at[BLOCK_RELU_DX]))
				return false;
		if (n < 1)
			return false;
	}
	return b->at[BLOCK_POOL] < 0 || b->at[BLOCK_POOL_DX] >= 0 || p->value[p->instr[b->at[BLOCK_POOL]].out[1]].uses == 0;
}

/* --- layouts --------------------------------------------------------------------------------------------- */
const struct block *block_of(const struct blocks *all, int32_t instr, enum block_part *part)
{
	for (int k = 0; k < all->n; k++)
		for (int m = 0; m < BLOCK_PARTS; m++)
			if (all->block[k].at[m] == instr) {
				*part = (enum block_part)m;
				return &all->block[k];
			}
	return NULL;
}

int32_t block_gradient(const struct rein_program *p, const struct block *b)
{
	if (b->at[BLOCK_POOL_DX] >= 0)
		return p->instr[b->at[BLOCK_POOL_DX]].in[0];
	if (b->at[BLOCK_RELU_DX] >= 0)
		return p->instr[b->at[BLOCK_RELU_DX]].in[2];
	return p->instr[b->at[BLOCK_BN_DX]].in[4];
}

/* All who read it are convolutions of blocks, as their x. */
static bool result_last(const struct rein_program *p, const struct blocks *all, int32_t v)
{
	int32_t list[8];
	int n = readers(p, v, list, 8);
	for (int k = 0; k < n; k++) {
		enum block_part part;
		if (!block_of(all, list[k], &part) || (part != BLOCK_CONV && part != BLOCK_DW) ||
		    p->instr[list[k]].in[0] != v || p->instr[list[k]].in[1] == v)
			return false;
	}
	return n > 0;
}

static void find_layouts(const struct rein_program *p, struct blocks *all)
{
	for (int k = 0; k < all->n; k++)
		all->block[k].y_last = result_last(p, all, block_result(p, &all->block[k]));
	for (int k = 0; k < all->n; k++) {
		struct block *b = &all->block[k];
		for (int m = 0; m < all->n; m++) {
			struct block *before = &all->block[m];
			b->x_last |= before->y_last && block_result(p, before) == p->instr[b->at[BLOCK_CONV]].in[0];
			if (before->at[BLOCK_BN_DX] < 0 || b->at[BLOCK_DX] < 0)
				continue;
			int32_t dx = p->instr[b->at[BLOCK_DX]].out[0];
			enum block_part part;
			if (block_gradient(p, before) == dx && block_of(all, only_reader(p, dx), &part) == before)
				b->dx_last = before->g_last = true;
		}
	}
	for (int k = 0; k < all->n; k++) {
		struct block *b = &all->block[k];
		b->conv[NHWC_FORWARD].in_last = b->conv[NHWC_DW].in_last = b->x_last;
		b->conv[NHWC_FORWARD].out_last = b->conv[NHWC_DX].in_last = true;
		b->conv[NHWC_DX].out_last = b->dx_last;
	}
}

struct blocks *block_find(const struct rein_host *host, const struct rein_program *p)
{
	uint64_t most = 1;
	for (uint32_t k = 0; k < p->n_instr; k++)
		most += p->instr[k].op == REIN_OP_BATCH_NORM;
	struct blocks *all = host->alloc(host, sizeof *all + most * sizeof *all->block);
	if (!all)
		return NULL;
	all->n = 0;
	for (uint32_t k = 0; k < p->n_instr; k++)
		if (p->instr[k].op == REIN_OP_BATCH_NORM && match(p, (int32_t)k, &all->block[all->n]))
			all->n++;
	find_layouts(p, all);
	return all;
}
