/* SPDX-License-Identifier: MIT
 *
 * grad.c: reverse accumulation over recorded ops. Everything it adds is recorded in ops
 * of the same table, so a gradient is a value like any other and can be differentiated.
 * Rules per op are in grad_rules.c and grad_shape.c.
 *
 * Two passes over the ops between the earliest `wrt` and y: forward, marking what depends
 * on a `wrt`; backward, asking each marked op for its operands' gradients.
 */
#include "rec.h"
#include "rein/math.h"

#include <stdlib.h>
#include <string.h>

struct sweep {
	struct recorder *r;
	int first, last; /* positions in the body's list of ops */
	int32_t lo, hi;  /* values lo..hi-1 */
	uint8_t *mark;   /* depends on a wrt */
	int32_t *adj;    /* gradient so far, -1 for none */
};

static bool marked(const struct sweep *s, int32_t v) { return v >= s->lo && v < s->hi && s->mark[v - s->lo]; }

/* First position in the body whose instruction is number `instr` or later. */
static int position(const struct rec_body *b, int instr)
{
	int a = 0, z = b->instr.n;
	while (a < z) {
		int m = (a + z) / 2;
		if (b->instr.at[m] < instr)
			a = m + 1;
		else
			z = m;
	}
	return a;
}

static bool differs(const struct rec_value *v) { return v->dtype == REIN_REAL_T || v->dtype == REIN_WIDE_T; }

static bool depends(const struct sweep *s, const struct rec_instr *i)
{
	for (uint32_t k = 0; k < i->n_in; k++)
		if (marked(s, s->r->operand.at[i->in + (int32_t)k]) && grad_reaches(i, k))
			return grad_kind(s->r, i) != GRAD_ZERO;
	return false;
}

static void mark_forward(struct sweep *s)
{
	const struct rec_body *b = s->r->body[s->r->current];
	for (int p = s->first; p <= s->last; p++) {
		const struct rec_instr *i = &s->r->instr[b->instr.at[p]];
		if (!depends(s, i))
			continue;
		for (uint32_t k = 0; k < i->n_out; k++)
			if (differs(&s->r->value[i->out + (int32_t)k]))
				s->mark[i->out + (int32_t)k - s->lo] = 1;
	}
}

static void accumulate(struct sweep *s, int32_t v, rein_val g)
{
	int32_t *a = &s->adj[v - s->lo];
	*a = *a == -1 ? g.id : rein_add(&s->r->rec, (rein_val){ *a }, g).id;
}

static bool refused(struct sweep *s, const struct rec_instr *i, const char *of)
{
	const struct rein_map *m = i->attr.data;
	const struct rein_custom *c = i->ext;

	if (grad_kind(s->r, i) != GRAD_REFUSE)
		return false;
	if (i->op == REIN_OP_REPEAT)
		rec_refuse(s->r, "the gradient of '%s' goes through 'repeat', which has none; REIN_UNROLL records the rounds",
		           of);
	else if (i->op == REIN_OP_PUT)
		rec_refuse(s->r, "the gradient of '%s' goes through 'put' with REIN_PUT_SET, which has none", of);
	else
		rec_refuse(s->r, "the gradient of '%s' goes through '%s %s', which brings no derivative", of,
		           op_info(i->op)->name, i->op == REIN_OP_MAP ? m->name : c->name);
	return true;
}

/* One op backward; false after errors. */
static bool back(struct sweep *s, int instr, const char *of)
{
	struct recorder *r = s->r;
	struct rec_instr i = r->instr[instr];
	rein_val g[REC_MAX_OUT], out[REC_MAX_OUT], *big = NULL;
	bool any = false;

	if (i.op != REIN_OP_REPEAT)
		for (uint32_t k = 0; k < i.n_out; k++) {
			out[k] = (rein_val){ i.out + (int32_t)k };
			g[k] = marked(s, out[k].id) ? (rein_val){ s->adj[out[k].id - s->lo] } : REIN_NONE;
			any |= !REIN_IS_NONE(g[k]);
		}
	else
		for (uint32_t k = 0; k < i.n_out; k++)
			any |= marked(s, i.out + (int32_t)k) && s->adj[i.out + (int32_t)k - s->lo] >= 0;
	if (!any || !depends(s, &i))
		return true;
	if (refused(s, &i, of))
		return false;

	big = rec_alloc(r, i.n_in * (2 * sizeof *big + sizeof(bool)));
	rein_val *in = big, *gin = big + i.n_in;
	bool *need = (bool *)(gin + i.n_in);
	for (uint32_t k = 0; k < i.n_in; k++) {
		in[k] = rec_in(r, &i, k);
		gin[k] = REIN_NONE;
		need[k] = marked(s, in[k].id) && grad_reaches(&i, k);
	}
	int saved = r->origin_override;
	r->origin_override = (int)i.origin;
	struct grad c = { r, &r->rec, &i, in, out, g, need, gin };
	grad_rule(&c);
	for (uint32_t k = 0; k < i.n_in; k++)
		if (need[k] && !REIN_IS_NONE(gin[k]))
			accumulate(s, in[k].id, gin[k]);
		else if (need[k] && REC_IS_POISON(gin[k]))
			r->failed = true;
	r->origin_override = saved;
	return !r->failed;
}

void grads_core(struct recorder *r, uint32_t n_y, const rein_val *y, const rein_val *seed, uint32_t n,
                const rein_val *wrt, rein_val *out)
{
	struct sweep s = { .r = r, .lo = INT32_MAX, .hi = r->n_value, .last = -1 };
	const struct rec_body *b = r->body[r->current];

	for (uint32_t k = 0; k < n; k++) {
		out[k] = REIN_NONE;
		if (wrt[k].id < s.lo)
			s.lo = wrt[k].id;
	}
	if (!n || s.lo >= s.hi)
		return;
	s.mark = calloc((size_t)(s.hi - s.lo), 1);
	s.adj = malloc((size_t)(s.hi - s.lo) * sizeof *s.adj);
	if (!s.mark || !s.adj) {
		rec_refuse(r, "out of memory");
		goto done;
	}
	memset(s.adj, 0xff, (size_t)(s.hi - s.lo) * sizeof *s.adj);
	for (uint32_t k = 0; k < n; k++)
		s.mark[wrt[k].id - s.lo] = 1;
	s.first = position(b, r->value[s.lo].instr);
	for (uint32_t k = 0; k < n_y; k++) {
		int p = REIN_IS_NONE(seed[k]) ? -1 : position(b, r->value[y[k].id].instr);
		s.last = p > s.last ? p : s.last;
	}
	mark_forward(&s);
	for (uint32_t k = 0; k < n_y; k++)
		if (!REIN_IS_NONE(seed[k]) && marked(&s, y[k].id))
			accumulate(&s, y[k].id, seed[k]);
	for (int p = s.last; p >= s.first; p--)
		if (!back(&s, r->body[r->current]->instr.at[p], op_info(r->instr[r->value[y[0].id].instr].op)->name))
			goto done;
	for (uint32_t k = 0; k < n; k++)
		out[k] = (rein_val){ s.adj[wrt[k].id - s.lo] };
done:
	free(s.mark);
	free(s.adj);
}

/* A `wrt` from outside of the loop is only reached as the loop's input; values made of it
 * outside and used inside would be a path that this gradient does not see. */
static bool crosses(struct recorder *r, rein_val wrt)
{
	int body = r->current, saved = r->current, parent = r->body[body]->parent;
	bool found = false;

	if (wrt.id < 0 || wrt.id >= r->n_value || r->value[wrt.id].body == body || parent < 0)
		return false;
	r->current = parent;
	rein_val outer = rec_use(r, wrt, "gradient");
	if (!REC_IS_POISON(outer)) {
		struct sweep s = { .r = r, .lo = outer.id, .hi = r->n_value, .last = r->body[parent]->instr.n - 1 };
		s.first = position(r->body[parent], r->value[outer.id].instr);
		s.mark = calloc((size_t)(s.hi - s.lo), 1);
		if (s.mark) {
			s.mark[0] = 1;
			mark_forward(&s);
			for (int k = 0; k < r->body[body]->captured.n; k++)
				found |= r->body[body]->captured.at[k] != outer.id && marked(&s, r->body[body]->captured.at[k]);
		}
		free(s.mark);
	}
	r->current = saved;
	return found;
}

static rein_val seed_of(struct recorder *r, rein_val y, rein_val seed)
{
	const struct rec_value *v = rec_value(r, y);
	if (!differs(v)) {
		rec_refuse(r, "gradient: of %s %s; only real values have one", dtype_name(v->dtype), SHAPE(v));
		return REC_POISON;
	}
	if (REIN_IS_NONE(seed) && !REC_IS_POISON(seed)) {
		if (v->count != 1) {
			rec_refuse(r, "gradient: y is %s; without a seed of that shape it must be a scalar", SHAPE(v));
			return REC_POISON;
		}
		return rein_like(&r->rec, y, 1);
	}
	seed = rec_use(r, seed, "gradient");
	if (REC_IS_POISON(seed))
		return seed;
	v = rec_value(r, y);
	const struct rec_value *s = rec_value(r, seed);
	if (!differs(s) || s->rank != v->rank || memcmp(s->dim, v->dim, v->rank * sizeof *v->dim) != 0) {
		rec_refuse(r, "gradient: y is %s, the seed %s %s", SHAPE(v), dtype_name(s->dtype), SHAPE(s));
		return REC_POISON;
	}
	return s->dtype == v->dtype ? seed : rein_cast(&r->rec, seed, v->dtype);
}

void rec_grads(struct rein_rec *rec, rein_val y, rein_val seed, uint32_t n, const rein_val *wrt, rein_val *out)
{
	struct recorder *r = recorder_of(rec);
	rein_val *w = rec_alloc(r, (n + 1) * sizeof *w);
	bool ok = true;

	for (uint32_t k = 0; k < n; k++) {
		if (crosses(r, wrt[k])) {
			rec_refuse(
				r, "gradient: values made from one of its targets outside of the loop are used inside; carry it in");
			ok = false;
		}
		w[k] = rec_use(r, wrt[k], "gradient");
		ok &= !REC_IS_POISON(w[k]);
		if (ok && rec_value(r, w[k])->dtype != REIN_REAL_T) {
			rec_refuse(r, "gradient: with respect to %s %s; only real values have one",
			           dtype_name(rec_value(r, w[k])->dtype), SHAPE(rec_value(r, w[k])));
			ok = false;
		}
	}
	y = rec_use(r, y, "gradient");
	if (ok && !REC_IS_POISON(y))
		seed = seed_of(r, y, seed);
	ok &= !REC_IS_POISON(y) && !REC_IS_POISON(seed);
	if (ok)
		grads_core(r, 1, &y, &seed, n, w, out);
	for (uint32_t k = 0; k < n; k++)
		if (!ok || r->failed)
			out[k] = REC_POISON;
		else if (REIN_IS_NONE(out[k]))
			out[k] = rein_like(rec, w[k], 0);
}
