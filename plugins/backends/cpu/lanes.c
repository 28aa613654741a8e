/* SPDX-License-Identifier: MIT
 *
 * lanes.c: which values of a program keep images in lanes: (N,C,H,W) lies in memory as
 * (N/vl, C, H, W, vl), a vector of images for each place. Convolutions of few channels compute in
 * this order; where their results go only to elementwise ops, pooling, the sums of channels and
 * the derivatives of all these, nothing is turned in between and pooling needs no shuffles. A
 * value stays if what makes it can write the order and all that reads it can read it.
 * To let another op into such a run of ops: makes() and takes() here, and its kernel.
 */
#include "fuse.h"

#define MOST_CHANNELS 16 /* of a convolution's result; with more, channels fill vectors as well */

struct find {
	const struct cpu *cpu;
	const struct rein_program *p;
	const struct blocks *blocks;
	uint8_t *lanes; /* per value: vl or 0 */
	int vl;
};

/* What op k does is up to a kernel that knows the order. */
static bool pools(const struct find *f, const struct rein_prog_instr *i)
{
	struct window w;
	return window_of(f->p, i, &w) && (w.op == REIN_OP_AVG_POOL || w.op == REIN_OP_AVG_POOL_DX) && w.pairs &&
	       w.H % 2 == 0 && w.W % 2 == 0;
}

static bool convolves(const struct find *f, const struct rein_prog_instr *i)
{
	struct conv v;
	return conv_of(f->p, i, &v) && (v.pass == CONV_DW || v.result_rows <= MOST_CHANNELS) &&
	       conv_fits_lanes(&v, f->cpu->isa);
}

static bool sums_channels(const struct find *f, const struct rein_prog_instr *i)
{
	struct norm n;
	return i->op == REIN_OP_SUM && chain_kind(f->p, i) == OP_OTHER && norm_of(f->p, i, &n) &&
	       f->p->value[i->in[0]].rank == 4 && i->attr.axes == (1 | 4 | 8);
}

/* Elementwise, each operand in the same order, one number, or one for each channel. */
static bool maps(const struct find *f, const struct rein_prog_instr *i)
{
	const struct rein_prog_value *y = &f->p->value[i->out[0]];
	if (chain_kind(f->p, i) != OP_ELEM)
		return false;
	bool any = false;
	for (uint32_t k = 0; k < i->n_in; k++) {
		const struct rein_prog_value *x = &f->p->value[i->in[k]];
		bool channel = x->rank == 4 && x->dim[0] == 1 && x->dim[2] == 1 && x->dim[3] == 1;
		any |= f->lanes[i->in[k]] != 0;
		if (x->count != 1 && (x->count == y->count ? !f->lanes[i->in[k]] : !channel))
			return false;
	}
	return any;
}

static bool makes(const struct find *f, int32_t k)
{
	const struct rein_prog_instr *i = &f->p->instr[k];
	enum block_part part;
	if (block_of(f->blocks, k, &part))
		return false;
	switch (i->op) {
	case REIN_OP_CONV2D:
	case REIN_OP_CONV2D_DX: return convolves(f, i);
	case REIN_OP_AVG_POOL: return f->lanes[i->in[0]] && pools(f, i);
	case REIN_OP_AVG_POOL_DX: return pools(f, i);
	default: return maps(f, i);
	}
}

/* Operand n of op k may be in lanes. */
static bool takes(const struct find *f, int32_t k, uint32_t n)
{
	const struct rein_prog_instr *i = &f->p->instr[k];
	enum block_part part;
	if (block_of(f->blocks, k, &part) || !i->n_out)
		return false;
	switch (i->op) {
	case REIN_OP_CONV2D:
	case REIN_OP_CONV2D_DX: return n == 0 && f->lanes[i->out[0]];
	case REIN_OP_CONV2D_DW: return convolves(f, i);
	case REIN_OP_AVG_POOL: return pools(f, i);
	case REIN_OP_AVG_POOL_DX: return f->lanes[i->out[0]];
	case REIN_OP_SUM: return sums_channels(f, i);
	default: return f->lanes[i->out[0]];
	}
}

static bool shape_fits(const struct find *f, int32_t v)
{
	const struct rein_prog_value *x = &f->p->value[v];
	return x->rank == 4 && x->dim[0] % f->vl == 0 && x->dim[0] >= 4 * f->vl && x->dim[2] * x->dim[3] > 1;
}

/* One round of taking out what cannot stay; true if anything went. */
static bool reduce(struct find *f)
{
	bool changed = false;
	for (uint32_t k = 0; k < f->p->n_instr; k++) {
		const struct rein_prog_instr *i = &f->p->instr[k];
		for (uint32_t o = 0; o < i->n_out; o++)
			if (f->lanes[i->out[o]] && !makes(f, (int32_t)k)) {
				f->lanes[i->out[o]] = 0;
				changed = true;
			}
		for (uint32_t n = 0; n < i->n_in; n++)
			if (f->lanes[i->in[n]] && !takes(f, (int32_t)k, n)) {
				f->lanes[i->in[n]] = 0;
				changed = true;
			}
	}
	return changed;
}

uint8_t *lanes_find(const struct cpu *cpu, const struct rein_program *p, const struct blocks *blocks)
{
	struct find f = { .cpu = cpu, .p = p, .blocks = blocks, .vl = conv_lanes(cpu->isa) };
	f.lanes = cpu->host->alloc(cpu->host, p->n_value + 1);
	if (!f.lanes || p->real_size != 4)
		return f.lanes;
	for (uint32_t k = 0; k < p->n_instr; k++)
		if (p->instr[k].n_out == 1 && shape_fits(&f, p->instr[k].out[0]))
			f.lanes[p->instr[k].out[0]] = (uint8_t)f.vl;
	for (uint32_t k = 0; k < p->n_commit; k++)
		f.lanes[p->commit[k].value] = 0;
	for (uint32_t k = 0; k < p->n_output; k++)
		f.lanes[p->output[k]] = 0;
	while (reduce(&f))
		;
	/* only where a convolution begins it */
	bool any = false;
	for (uint32_t k = 0; k < p->n_instr; k++)
		any |= p->instr[k].op == REIN_OP_CONV2D && f.lanes[p->instr[k].out[0]];
	for (uint32_t v = 0; v < p->n_value && !any; v++)
		f.lanes[v] = 0;
	return f.lanes;
}
