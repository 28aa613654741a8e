/* SPDX-License-Identifier: MIT
 *
 * fold.c: constants computed in double, and identities that hold bit for bit: x * 1,
 * x - 0, x + -0 (but not x + 0, which turns -0 into 0, and not x * 0), views of views,
 * where with a known condition, broadcasting made explicit where an op broadcasts anyway.
 * Works while cleaning: operands are of the current body.
 */
#include "rec.h"
#include "rein/math.h"

#include <math.h>
#include <string.h>

static const struct rec_instr *maker(const struct recorder *r, rein_val v) { return &r->instr[r->value[v.id].instr]; }

bool fold_uniform(const struct recorder *r, rein_val v, double *value)
{
	const struct rec_instr *i = maker(r, v);
	if (i->op != REIN_OP_CONST || i->attr.data)
		return false;
	*value = i->attr.par[0];
	return true;
}

static bool same_shape(const struct rec_value *a, const struct rec_value *b)
{
	return a->dtype == b->dtype && a->rank == b->rank && !memcmp(a->dim, b->dim, a->rank * sizeof *a->dim);
}

static rein_val filled(struct recorder *r, double value, const struct rec_value *like)
{
	return rein_fill(&r->rec, like->dtype, value, like->rank, like->dim);
}

/* --- numbers ------------------------------------------------------------------------------------- */
static double saturate(double v, double lo, double hi) { return v != v ? 0 : v < lo ? lo : v > hi ? hi : trunc(v); }

static double cast(double v, uint32_t from, uint32_t to)
{
	bool real = from == REIN_REAL_T || from == REIN_WIDE_T;
	switch (to) {
	case REIN_I32_T: return real ? saturate(v, INT32_MIN, INT32_MAX) : v;
	case REIN_U8_T: return real ? saturate(v, 0, 255) : (double)(uint8_t)(int64_t)v;
	case REIN_BOOL_T: return v != 0 && v == v;
	default: return v;
	}
}

static double wrap(int64_t v) { return (double)(int32_t)(uint32_t)(uint64_t)v; }

static bool integer(uint32_t op, int64_t a, int64_t b, double *y)
{
	switch (op) {
	case REIN_OP_ADD: *y = wrap(a + b); return true;
	case REIN_OP_SUB: *y = wrap(a - b); return true;
	case REIN_OP_MUL: *y = wrap(a * b); return true;
	case REIN_OP_MAX: *y = (double)(a < b ? b : a); return true;
	case REIN_OP_DIV: /* floors; by a positive constant */
		if (b <= 0)
			return false;
		*y = (double)(a / b - (a % b < 0));
		return true;
	case REIN_OP_ABS: *y = wrap(a < 0 ? -a : a); return true;
	case REIN_OP_SIGN: *y = (double)((a > 0) - (a < 0)); return true;
	default: return false;
	}
}

static bool real(uint32_t op, double a, double b, double *y)
{
	switch (op) {
	case REIN_OP_ADD: *y = a + b; return true;
	case REIN_OP_SUB: *y = a - b; return true;
	case REIN_OP_MUL: *y = a * b; return true;
	case REIN_OP_DIV: *y = a / b; return true;
	case REIN_OP_MAX: *y = a != a || b != b ? NAN : a < b ? b : a; return true;
	case REIN_OP_POW: *y = pow(a, b); return true;
	case REIN_OP_ABS: *y = fabs(a); return true;
	case REIN_OP_SIGN: *y = (a > 0) - (a < 0); return true;
	case REIN_OP_FLOOR: *y = floor(a); return true;
	case REIN_OP_RINT: *y = rint(a); return true;
	case REIN_OP_EXP: *y = exp(a); return true;
	case REIN_OP_LOG: *y = log(a); return true;
	case REIN_OP_LOG1P: *y = log1p(a); return true;
	case REIN_OP_SQRT: *y = sqrt(a); return true;
	case REIN_OP_SIN: *y = sin(a); return true;
	case REIN_OP_COS: *y = cos(a); return true;
	case REIN_OP_ERF: *y = erf(a); return true;
	case REIN_OP_TANH: *y = tanh(a); return true;
	case REIN_OP_SIGMOID: *y = a < 0 ? exp(a) / (1 + exp(a)) : 1 / (1 + exp(-a)); return true;
	default: return false;
	}
}

/* An elementwise op on numbers of one dtype. */
static bool number(uint32_t op, uint32_t dtype, const double *v, const struct rein_attr *a, double *y)
{
	switch (op) {
	case REIN_OP_LT: *y = v[0] < v[1]; return true;
	case REIN_OP_LE: *y = v[0] <= v[1]; return true;
	case REIN_OP_EQ: *y = v[0] == v[1]; return true;
	case REIN_OP_AND: *y = v[0] != 0 && v[1] != 0; return true;
	case REIN_OP_NOT: *y = v[0] == 0; return true;
	case REIN_OP_WHERE: *y = v[0] != 0 ? v[1] : v[2]; return true;
	case REIN_OP_CAST: *y = cast(v[0], dtype, a->mode); return true;
	default:
		if (dtype == REIN_I32_T)
			return integer(op, (int64_t)v[0], (int64_t)v[1], y);
		return real(op, v[0], v[1], y);
	}
}

static rein_val fold_numbers(struct recorder *r, uint32_t op, uint32_t n_in, const rein_val *in,
                             const struct rein_attr *a, const struct rec_value *like)
{
	double v[3] = { 0 }, y;

	if (!op_info(op)->elementwise || !n_in || n_in > 3 || op == REIN_OP_MAP || op == REIN_OP_RANDOM)
		return REIN_NONE;
	for (uint32_t k = 0; k < n_in; k++)
		if (!fold_uniform(r, in[k], &v[k]))
			return REIN_NONE;
	if (!number(op, r->value[in[0].id].dtype, v, a, &y))
		return REIN_NONE;
	return filled(r, y, like);
}

/* --- broadcasting ------------------------------------------------------------------------------------ */
static bool broadcasts(uint32_t op)
{
	return (op >= REIN_OP_ADD && op <= REIN_OP_POW) || (op >= REIN_OP_LT && op <= REIN_OP_AND) || op == REIN_OP_WHERE;
}

/* Do the operands, with `as` for number k, still give like's shape? */
static bool still_fits(const struct recorder *r, uint32_t n_in, const rein_val *in, uint32_t k, rein_val as,
                       const struct rec_value *like)
{
	int64_t dim[REIN_MAX_RANK] = { 1, 1, 1, 1, 1, 1 };
	uint32_t rank = 0;

	for (uint32_t j = 0; j < n_in; j++) {
		const struct rec_value *v = &r->value[j == k ? as.id : in[j].id];
		if (v->rank && rank && v->rank != rank)
			return false;
		rank = v->rank ? v->rank : rank;
		for (uint32_t i = 0; i < v->rank; i++)
			dim[i] = v->dim[i] > dim[i] ? v->dim[i] : dim[i];
	}
	return rank == like->rank && !memcmp(dim, like->dim, rank * sizeof *dim);
}

/* Operands as small as broadcasting allows: a constant tensor as a scalar, an expand gone. */
static void shrink(struct recorder *r, uint32_t n_in, rein_val *in, const struct rec_value *like)
{
	for (uint32_t k = 0; k < n_in; k++) {
		double fill;
		for (;;) { /* an expand of an expand */
			const struct rec_instr *i = maker(r, in[k]);
			if (i->op != REIN_OP_EXPAND || !still_fits(r, n_in, in, k, rec_in(r, i, 0), like))
				break;
			in[k] = rec_in(r, i, 0);
		}
		if (r->value[in[k].id].rank && fold_uniform(r, in[k], &fill)) {
			rein_val s = rein_fill(&r->rec, r->value[in[k].id].dtype, fill, 0, NULL);
			if (still_fits(r, n_in, in, k, s, like))
				in[k] = s;
		}
	}
}

/* An elementwise op on nothing but one small shape repeated, and scalars: repeat the result. */
static rein_val sink(struct recorder *r, uint32_t op, uint32_t n_in, const rein_val *in, const struct rein_attr *a,
                     const struct rec_value *like)
{
	rein_val small[3], out;
	const struct rec_value *shape = NULL;

	if (!op_info(op)->elementwise || op == REIN_OP_MAP || !n_in || n_in > 3)
		return REIN_NONE;
	for (uint32_t k = 0; k < n_in; k++) {
		const struct rec_instr *i = maker(r, in[k]);
		small[k] = in[k];
		if (r->value[in[k].id].rank == 0)
			continue;
		if (i->op != REIN_OP_EXPAND)
			return REIN_NONE;
		small[k] = rec_in(r, i, 0);
		const struct rec_value *v = &r->value[small[k].id];
		if (shape && (v->rank != shape->rank || memcmp(v->dim, shape->dim, v->rank * sizeof *v->dim) != 0))
			return REIN_NONE;
		shape = v;
	}
	if (!shape)
		return REIN_NONE;
	rec_op(&r->rec, op, n_in, small, a, 1, &out);
	return rein_expand(&r->rec, out, like->rank, like->dim);
}

/* --- identities ------------------------------------------------------------------------------------------ */
/* x as the result: as it is, or repeated to the result's shape. */
static rein_val give(struct recorder *r, rein_val x, const struct rec_value *like)
{
	if (same_shape(&r->value[x.id], like))
		return x;
	return rein_expand(&r->rec, x, like->rank, like->dim);
}

static bool is(const struct recorder *r, rein_val v, double value)
{
	double x;
	return fold_uniform(r, v, &x) && x == value && !signbit(x) == !signbit(value);
}

static rein_val arithmetic(struct recorder *r, uint32_t op, const rein_val *in, const struct rec_value *like)
{
	bool whole = like->dtype == REIN_I32_T;
	const struct rec_instr *i = maker(r, in[0]);

	switch (op) {
	case REIN_OP_ADD:
		for (int k = 0; k < 2; k++)
			if (is(r, in[k], whole ? 0.0 : -0.0))
				return give(r, in[1 - k], like);
		return REIN_NONE;
	case REIN_OP_SUB: return is(r, in[1], 0.0) ? give(r, in[0], like) : REIN_NONE;
	case REIN_OP_MUL:
		for (int k = 0; k < 2; k++)
			if (is(r, in[k], 1))
				return give(r, in[1 - k], like);
		if (is(r, in[1], -1) && i->op == REIN_OP_MUL && is(r, rec_in(r, i, 1), -1))
			return give(r, rec_in(r, i, 0), like);
		return REIN_NONE;
	case REIN_OP_DIV:
	case REIN_OP_POW: return is(r, in[1], 1) ? give(r, in[0], like) : REIN_NONE;
	case REIN_OP_AND:
		for (int k = 0; k < 2; k++) {
			if (is(r, in[k], 1) || in[0].id == in[1].id)
				return give(r, in[1 - k], like);
			if (is(r, in[k], 0))
				return filled(r, 0, like);
		}
		return REIN_NONE;
	case REIN_OP_NOT: return i->op == REIN_OP_NOT ? rec_in(r, i, 0) : REIN_NONE;
	case REIN_OP_WHERE:
		if (is(r, in[0], 1) || in[1].id == in[2].id)
			return give(r, in[1], like);
		return is(r, in[0], 0) ? give(r, in[2], like) : REIN_NONE;
	default: return REIN_NONE;
	}
}

/* Does the order keep the axes that are larger than 1 in order? Then it moves nothing. */
static bool order_kept(const struct rec_value *x, const struct rein_attr *a)
{
	int64_t last = -1;
	for (uint32_t i = 0; i < x->rank; i++)
		if (x->dim[a->dim[i]] > 1) {
			if (a->dim[i] < last)
				return false;
			last = a->dim[i];
		}
	return true;
}

static rein_val view(struct recorder *r, uint32_t op, rein_val *in, struct rein_attr *a, const struct rec_value *like)
{
	double fill;
	const struct rec_instr *i = maker(r, in[0]);

	if (op != REIN_OP_UNSLICE && fold_uniform(r, in[0], &fill))
		return filled(r, fill, like);
	switch (op) {
	case REIN_OP_RESHAPE:
		while (maker(r, in[0])->op == REIN_OP_RESHAPE)
			in[0] = rec_in(r, maker(r, in[0]), 0);
		break;
	case REIN_OP_PERMUTE:
		if (i->op == REIN_OP_PERMUTE) {
			for (uint32_t k = 0; k < a->rank; k++)
				a->dim[k] = i->attr.dim[a->dim[k]];
			in[0] = rec_in(r, i, 0);
		}
		if (order_kept(&r->value[in[0].id], a))
			return rein_reshape(&r->rec, in[0], like->rank, like->dim);
		return REIN_NONE;
	case REIN_OP_EXPAND:
		if (i->op == REIN_OP_EXPAND)
			in[0] = rec_in(r, i, 0);
		break;
	case REIN_OP_SLICE:
	case REIN_OP_UNSLICE: /* the whole of it, in order */
		for (uint32_t k = 0; k < like->rank; k++)
			if (a->start[k] || (a->step[k] != 1 && like->dim[k] > 1))
				return REIN_NONE;
		break;
	default: break;
	}
	return same_shape(&r->value[in[0].id], like) ? in[0] : REIN_NONE;
}

static rein_val reduction(struct recorder *r, uint32_t op, const rein_val *in, const struct rein_attr *a,
                          const struct rec_value *like)
{
	struct rec_value x = r->value[in[0].id];
	double n = 1, fill;

	for (uint32_t i = 0; i < x.rank; i++)
		if (a->axes >> i & 1)
			n *= (double)x.dim[i];
	if (fold_uniform(r, in[0], &fill)) {
		if (op == REIN_OP_AMAX)
			return filled(r, fill, like);
		return filled(r, like->dtype == REIN_I32_T ? wrap((int64_t)fill * (int64_t)n) : fill * n, like);
	}
	if (n > 1)
		return REIN_NONE;
	rein_val v = rein_reshape(&r->rec, in[0], like->rank, like->dim);
	return x.dtype == like->dtype ? v : rein_cast(&r->rec, v, like->dtype);
}

/* Data of one element is a fill. */
static rein_val constant(struct recorder *r, const struct rein_attr *a, const struct rec_value *like)
{
	double v;
	if (!a->data || like->count != 1)
		return REIN_NONE;
	if (like->dtype == REIN_I32_T)
		v = *(const int32_t *)a->data;
	else if (like->dtype == REIN_REAL_T || like->dtype == REIN_WIDE_T)
		v = *(const double *)a->data;
	else
		v = *(const uint8_t *)a->data;
	return filled(r, v, like);
}

rein_val fold(struct recorder *r, uint32_t op, uint32_t n_in, rein_val *in, struct rein_attr *a,
              const struct rec_value *like)
{
	rein_val v = fold_numbers(r, op, n_in, in, a, like);

	if (!REIN_IS_NONE(v))
		return v;
	if (broadcasts(op))
		shrink(r, n_in, in, like);
	v = sink(r, op, n_in, in, a, like);
	if (!REIN_IS_NONE(v))
		return v;
	switch (op) {
	case REIN_OP_CONST: return constant(r, a, like);
	case REIN_OP_IOTA: return like->count == 1 ? filled(r, 0, like) : REIN_NONE;
	case REIN_OP_CAST: return same_shape(&r->value[in[0].id], like) ? in[0] : REIN_NONE;
	case REIN_OP_CONCAT: return n_in == 1 ? in[0] : REIN_NONE;
	case REIN_OP_RESHAPE:
	case REIN_OP_PERMUTE:
	case REIN_OP_EXPAND:
	case REIN_OP_SLICE:
	case REIN_OP_UNSLICE: return view(r, op, in, a, like);
	case REIN_OP_SUM:
	case REIN_OP_AMAX: return reduction(r, op, in, a, like);
	default: return arithmetic(r, op, in, like);
	}
}
