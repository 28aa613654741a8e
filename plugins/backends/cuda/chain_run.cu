/* SPDX-License-Identifier: MIT
 *
 * chain_run.cu: chains as launches: compiled from their text where NVRTC is found, else run
 * by chain_interpret, which walks the same steps for each element with registers in local
 * memory. Plugins' own kernels (MAP) are C text and need NVRTC.
 */
#include "chain.h"
#include "chain_math.h"

union chain_reg {
	float f;
	double d;
	int i;
	u8_t b;
};
struct code_input {
	const void *at;
	int64_t start, stride[REIN_MAX_RANK];
	uint8_t dtype, kind, reg;
};
struct code_step {
	uint8_t op, dtype, to, out, in[3];
	int64_t n, inner;
	union chain_reg number;
};
struct code_output {
	void *at;
	uint8_t dtype, reg;
};
struct chain_code {
	uint32_t first, blocks; /* of the launch */
	int64_t count, dim[REIN_MAX_RANK];
	int32_t rank, n_in, n_step, n_out;
	struct code_input in[CHAIN_INS];
	struct code_step step[CHAIN_OPS];
	struct code_output out[CHAIN_OUTS];
};

/* --- the interpreter ---------------------------------------------------------------------- */
static __device__ union chain_reg load(const void *at, int64_t e, uint8_t dtype)
{
	union chain_reg r;
	r.d = 0;
	switch (dtype) {
	case REIN_REAL_T: r.f = static_cast<const float *>(at)[e]; break;
	case REIN_WIDE_T: r.d = static_cast<const double *>(at)[e]; break;
	case REIN_I32_T: r.i = static_cast<const int *>(at)[e]; break;
	default: r.b = static_cast<const u8_t *>(at)[e]; break;
	}
	return r;
}

#define REAL1(OP, fn) \
	case OP: r.f = fn(a.f); return r;
#define SELECT(fn, real, wide, i32)                         \
	if (s.dtype == REIN_REAL_T)                             \
		real;                                               \
	else if (s.dtype == REIN_WIDE_T)                        \
		wide;                                               \
	else                                                    \
		i32;                                                \
	return r;
#define MATH2(OP, fn) \
	case OP: SELECT(fn, r.f = fn(a.f, b.f), r.d = fn(a.d, b.d), r.i = fn(a.i, b.i))
#define COMPARE(OP, fn)                                                                            \
	case OP:                                                                                       \
		r.b = s.dtype == REIN_REAL_T ? fn(a.f, b.f) : s.dtype == REIN_WIDE_T ? fn(a.d, b.d) :      \
			s.dtype == REIN_I32_T ? fn(a.i, b.i) : fn(a.b, b.b);                                   \
		return r;
#define CASTS(x)                                                                \
	switch (s.to) {                                                             \
	case REIN_REAL_T: r.f = (float)(x); return r;                               \
	case REIN_WIDE_T: r.d = (double)(x); return r;                              \
	case REIN_I32_T: r.i = to_i32(x); return r;                                 \
	case REIN_U8_T: r.b = to_u8(x); return r;                                   \
	default: r.b = to_bool(x); return r;                                        \
	}

static __device__ union chain_reg step(const struct code_step &s, int64_t e, union chain_reg a, union chain_reg b,
                                       union chain_reg c)
{
	union chain_reg r;
	r.d = 0;
	switch (s.op) {
	case REIN_OP_CONST: return s.number;
	case REIN_OP_IOTA: r.i = (int)(e / s.inner % s.n); return r;
	MATH2(REIN_OP_ADD, op_add)
	MATH2(REIN_OP_SUB, op_sub)
	MATH2(REIN_OP_MUL, op_mul)
	MATH2(REIN_OP_DIV, op_div)
	MATH2(REIN_OP_MAX, op_max)
	case REIN_OP_POW: r.f = op_pow(a.f, b.f); return r;
	case REIN_OP_ABS: SELECT(op_abs, r.f = op_abs(a.f), r.d = 0, r.i = op_abs(a.i))
	case REIN_OP_SIGN: SELECT(op_sign, r.f = op_sign(a.f), r.d = 0, r.i = op_sign(a.i))
	case REIN_OP_SQRT: SELECT(op_sqrt, r.f = op_sqrt(a.f), r.d = op_sqrt(a.d), r.i = 0)
	REAL1(REIN_OP_FLOOR, op_floor)
	REAL1(REIN_OP_RINT, op_rint)
	REAL1(REIN_OP_EXP, op_exp)
	REAL1(REIN_OP_LOG, op_log)
	REAL1(REIN_OP_LOG1P, op_log1p)
	REAL1(REIN_OP_SIN, op_sin)
	REAL1(REIN_OP_COS, op_cos)
	REAL1(REIN_OP_ERF, op_erf)
	REAL1(REIN_OP_TANH, op_tanh)
	REAL1(REIN_OP_SIGMOID, op_sigmoid)
	COMPARE(REIN_OP_LT, op_lt)
	COMPARE(REIN_OP_LE, op_le)
	COMPARE(REIN_OP_EQ, op_eq)
	case REIN_OP_AND: r.b = op_and(a.b, b.b); return r;
	case REIN_OP_NOT: r.b = op_not(a.b); return r;
	case REIN_OP_WHERE: return a.b ? b : c;
	case REIN_OP_CAST:
		if (s.dtype == REIN_REAL_T)
			CASTS(a.f)
		if (s.dtype == REIN_WIDE_T)
			CASTS(a.d)
		if (s.dtype == REIN_I32_T)
			CASTS(a.i)
		CASTS(a.b)
	default: return r;
	}
}

/* One thread an element at a time; n chains, each with blocks of its own, lie in device memory. */
__global__ void chain_interpret(const struct chain_code *code, int n)
{
	union chain_reg reg[CHAIN_REGS];
	while (n > 1 && blockIdx.x >= code[1].first)
		code++, n--;
	for (int64_t e = (int64_t)(blockIdx.x - code->first) * blockDim.x + threadIdx.x; e < code->count;
	     e += (int64_t)code->blocks * blockDim.x) {
		for (int32_t k = 0; k < code->n_in; k++) {
			const struct code_input &in = code->in[k];
			int64_t at = in.kind == CHAIN_FLAT ? e : in.start;
			if (in.kind == CHAIN_STRIDED) {
				int64_t rest = e;
				for (int32_t a = code->rank; a-- > 0; rest /= code->dim[a])
					at += rest % code->dim[a] * in.stride[a];
			}
			reg[in.reg] = load(in.at, at, in.dtype);
		}
		for (int32_t k = 0; k < code->n_step; k++) {
			const struct code_step &s = code->step[k];
			reg[s.out] = step(s, e, reg[s.in[0]], reg[s.in[1]], reg[s.in[2]]);
		}
		for (int32_t k = 0; k < code->n_out; k++) {
			const struct code_output &o = code->out[k];
			union chain_reg r = reg[o.reg];
			switch (o.dtype) {
			case REIN_REAL_T: static_cast<float *>(o.at)[e] = r.f; break;
			case REIN_WIDE_T: static_cast<double *>(o.at)[e] = r.d; break;
			case REIN_I32_T: static_cast<int *>(o.at)[e] = r.i; break;
			default: static_cast<u8_t *>(o.at)[e] = r.b; break;
			}
		}
	}
}

/* --- from slots to registers ------------------------------------------------------------------- */
struct registers {
	int16_t last[CHAIN_INS + 4 * CHAIN_OPS]; /* per slot: last step that reads it */
	int16_t of[CHAIN_INS + 4 * CHAIN_OPS];   /* per slot: its register, -1 */
	bool taken[CHAIN_REGS];
};

static int take(struct registers *r, int32_t slot)
{
	for (int k = 0; k < CHAIN_REGS; k++)
		if (!r->taken[k]) {
			r->taken[k] = true;
			return r->of[slot] = (int16_t)k;
		}
	return -1;
}
static void give(struct registers *r, const struct chain *c, int32_t n)
{
	for (int32_t s = 0; s < c->n_slot; s++)
		if (r->of[s] >= 0 && r->last[s] <= n) {
			r->taken[r->of[s]] = false;
			r->of[s] = -1;
		}
}

static bool assign(const struct chain *c, struct chain_code *code)
{
	struct registers r;
	memset(&r, 0, sizeof r);
	for (int32_t s = 0; s < c->n_slot; s++)
		r.last[s] = r.of[s] = -1;
	for (int32_t k = 0; k < c->n_step; k++)
		for (uint32_t j = 0; j < c->step[k].n_in; j++)
			r.last[c->step[k].in[j]] = (int16_t)k;
	for (int32_t k = 0; k < c->n_out; k++)
		r.last[c->out[k].slot] = CHAIN_OPS;
	for (int32_t k = 0; k < c->n_in; k++) {
		int reg = take(&r, k);
		if (reg < 0)
			return false;
		code->in[k].reg = (uint8_t)reg;
	}
	for (int32_t k = 0; k < c->n_step; k++) {
		const struct chain_step *s = &c->step[k];
		for (uint32_t j = 0; j < s->n_in && j < 3; j++)
			code->step[k].in[j] = (uint8_t)r.of[s->in[j]];
		give(&r, c, k);
		int reg = take(&r, s->out[0]);
		if (reg < 0)
			return false;
		code->step[k].out = (uint8_t)reg;
		if (r.last[s->out[0]] < 0)
			r.last[s->out[0]] = (int16_t)k;
	}
	for (int32_t k = 0; k < c->n_out; k++)
		code->out[k].reg = (uint8_t)r.of[c->out[k].slot];
	return true;
}

/* Constants, on the host. */
static double saturate(double x, double lo, double hi) { return x != x ? 0 : x < lo ? lo : x > hi ? hi : x; }

static void encode(const struct cuda_build *b, const struct chain *c, struct chain_code *code)
{
	code->count = c->count, code->rank = c->rank;
	code->n_in = c->n_in, code->n_step = c->n_step, code->n_out = c->n_out;
	memcpy(code->dim, c->dim, sizeof code->dim);
	for (int32_t k = 0; k < c->n_in; k++) {
		code->in[k].at = b->mem[c->in[k].value];
		code->in[k].dtype = (uint8_t)c->in[k].dtype;
		code->in[k].kind = (uint8_t)c->in[k].kind;
		code->in[k].start = c->in[k].start;
		memcpy(code->in[k].stride, c->in[k].stride, sizeof code->in[k].stride);
	}
	for (int32_t k = 0; k < c->n_step; k++) {
		const struct chain_step *s = &c->step[k];
		struct code_step *t = &code->step[k];
		t->op = (uint8_t)s->op, t->dtype = (uint8_t)s->dtype, t->to = (uint8_t)s->to;
		t->n = s->n, t->inner = s->inner;
		switch (s->op == REIN_OP_CONST ? s->to : 0) {
		case 0: break;
		case REIN_REAL_T: t->number.f = (float)s->number; break;
		case REIN_WIDE_T: t->number.d = s->number; break;
		case REIN_I32_T: t->number.i = (int)saturate(s->number, -2147483648.0, 2147483647.0); break;
		default: t->number.b = (u8_t)saturate(s->number, 0, 255); break;
		}
	}
	for (int32_t k = 0; k < c->n_out; k++) {
		code->out[k].at = b->mem[c->out[k].value];
		code->out[k].dtype = (uint8_t)c->out[k].dtype;
	}
}

static rein_status interpret(struct cuda_build *b, int n, const struct chain *const *c)
{
	struct chain_code *code = static_cast<struct chain_code *>(b->host->alloc(b->host, (uint64_t)n * sizeof *code));
	rein_status s = code ? REIN_OK : REIN_ERROR;
	unsigned blocks = 0;
	for (int k = 0; k < n && s >= 0; k++) {
		encode(b, c[k], &code[k]);
		code[k].first = blocks;
		blocks += code[k].blocks = cuda_blocks(c[k]->count, CUDA_BLOCK);
		if (!assign(c[k], &code[k]))
			s = rein_failf(b->host, "a chain needs more than %d registers", CHAIN_REGS);
	}
	const struct chain_code *at =
		s < 0 ? NULL : static_cast<struct chain_code *>(cuda_table(b, code, (size_t)n * sizeof *code));
	if (s >= 0 && !at)
		s = REIN_ERROR;
	if (s >= 0)
		s = cuda_launch(b, chain_interpret, blocks, CUDA_BLOCK, 0, at, n);
	b->host->free(b->host, code);
	return s;
}

/* --- compiled ------------------------------------------------------------------------------------- */
struct chain_piece { /* as in chain_text.cu */
	const void *in[CHAIN_INS];
	void *out[CHAIN_OUTS];
	long long n;
	unsigned first, blocks;
	int body;
};
struct chain_args {
	const struct chain_piece *list;
	struct chain_piece one;
	int n;
};

static struct chain_piece piece_of(const struct cuda_build *b, const struct chain *c, unsigned first, int body)
{
	struct chain_piece a;
	memset(&a, 0, sizeof a);
	for (int32_t k = 0; k < c->n_in; k++)
		a.in[k] = b->mem[c->in[k].value];
	for (int32_t k = 0; k < c->n_out; k++)
		a.out[k] = b->mem[c->out[k].value];
	a.n = c->count;
	a.first = first;
	a.blocks = cuda_blocks(c->count, CUDA_BLOCK);
	a.body = body;
	return a;
}

/* map: a plugin's kernel among them, for messages. 1: launched, 0: NVRTC is not to be had, < 0 error */
static int compiled(struct cuda_build *b, int n, const struct chain *const *c, const struct chain_step *map)
{
	char why[2048] = "";
	int body[CUDA_MERGE];
	size_t need = chain_text(n, c, body, NULL, 0) + 1;
	char *text = static_cast<char *>(b->host->alloc(b->host, need));
	if (!text)
		return REIN_ERROR;
	chain_text(n, c, body, text, need);
	const void *fn = compiled_get(b->cuda, b->host, text, why, sizeof why);
	b->host->free(b->host, text);
	if (!fn && why[0])
		return rein_failf(b->host, "%s%s%s%s%s", map ? map->origin : "", map ? ": kernel " : "",
		                  map ? map->map->name : "", map ? ": " : "", why);
	if (!fn)
		return 0;
	struct chain_piece list[CUDA_MERGE];
	struct chain_args a;
	unsigned blocks = 0;
	memset(&a, 0, sizeof a);
	for (int k = 0; k < n; k++) {
		list[k] = piece_of(b, c[k], blocks, body[k]);
		blocks += list[k].blocks;
	}
	a.one = list[0];
	a.n = n;
	if (n > 1 && !(a.list = static_cast<struct chain_piece *>(cuda_table(b, list, (size_t)n * sizeof *list))))
		return REIN_ERROR;
	const void *arg[] = { &a };
	size_t size[] = { sizeof a };
	rein_status s = cuda_push_launch(b, fn, "chain_compiled", blocks, CUDA_BLOCK, 0, 1, arg, size);
	return s < 0 ? s : 1;
}

rein_status chain_emit(struct cuda_build *b, int n, const struct chain *const *c)
{
	int key = b->cuda->fuse_key, made = 0;
	const struct chain_step *map = NULL;
	for (int k = 0; k < n; k++)
		for (int32_t j = 0; j < c[k]->n_step; j++)
			if (c[k]->step[j].map)
				map = &c[k]->step[j];
	if (map || key == CUDA_FUSE_AUTO || key == CUDA_FUSE_NVRTC)
		made = compiled(b, n, c, map);
	if (made)
		return made < 0 ? REIN_ERROR : REIN_OK;
	if (map || key == CUDA_FUSE_NVRTC)
		return rein_failf(b->host,
		                  "%s%s%s is compiled at run time and needs NVRTC; none of libnvrtc.so.13, libnvrtc.so.12 "
		                  "was found",
		                  map ? map->origin : "", map ? ": kernel " : "a chain", map ? map->map->name : "");
	return interpret(b, n, c);
}

static rein_status emit_pieces(struct cuda_build *b, int n, void *const *piece)
{
	const struct chain *c[CUDA_MERGE];
	for (int k = 0; k < n; k++)
		c[k] = static_cast<const struct chain *>(piece[k]);
	return chain_emit(b, n, c);
}

extern const struct cuda_merge chain_merge = { "chain", CUDA_MERGE, emit_pieces };
