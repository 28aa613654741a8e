/* SPDX-License-Identifier: MIT
 *
 * chain_text.cu: a chain as CUDA C++. Shapes and constants are written into the text, tensors
 * are arguments; a variable per slot. A plugin's kernel keeps its own text (kernel.h) as a
 * block in which its inputs, outputs and parameters have the names it gave them.
 */
#include <stdarg.h>

#include "chain.h"
#include "chain_math.h"

static const char map_prelude[] =
	"#ifndef INFINITY\n#define INFINITY __int_as_float(0x7f800000)\n#endif\n"
	"#ifndef NAN\n#define NAN __int_as_float(0x7fffffff)\n#endif\n"
	"#ifndef FLT_MAX\n#define FLT_MAX 0x1.fffffep127f\n#define FLT_EPSILON 0x1p-23f\n#endif\n"
	"#ifndef M_PI\n#define M_PI 3.14159265358979323846\n#endif\n"
	"static __device__ __forceinline__ float copysign(int a, float b) { return copysignf((float)a, b); }\n"
	"static __device__ __forceinline__ float pow(float a, int b) { return powf(a, (float)b); }\n"
	"static __device__ __forceinline__ float fmax(float a, int b) { return fmaxf(a, (float)b); }\n"
	"static __device__ __forceinline__ float fmax(int a, float b) { return fmaxf((float)a, b); }\n"
	"static __device__ __forceinline__ float fmin(float a, int b) { return fminf(a, (float)b); }\n"
	"static __device__ __forceinline__ float fmin(int a, float b) { return fminf((float)a, b); }\n";

struct writer {
	char *buf;
	size_t size, used;
};
__attribute__((format(printf, 2, 3))) static void put(struct writer *w, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	int n = vsnprintf(w->used < w->size ? w->buf + w->used : NULL, w->used < w->size ? w->size - w->used : 0, format, ap);
	va_end(ap);
	w->used += n > 0 ? (size_t)n : 0;
}

static const char *type_of(uint32_t dtype)
{
	return dtype == REIN_REAL_T ? "float" : dtype == REIN_WIDE_T ? "double" : dtype == REIN_I32_T ? "int" : "u8_t";
}

static const char *function(uint32_t op)
{
	static const char *const name[] = { "add", "sub", "mul", "div",   "max",  "pow", "abs", "sign", "floor",
		                                "rint", "exp", "log", "log1p", "sqrt", "sin", "cos", "erf",  "tanh",
		                                "sigmoid", "lt", "le", "eq",  "and",  "not", "where" };
	return name[op - REIN_OP_ADD];
}

/* Reads input k for element e. */
static void put_input(struct writer *w, const struct chain *c, int32_t k)
{
	const struct chain_input *in = &c->in[k];
	put(w, "\t\tconst %s v%d = ((const %s *)a.in[%d])[", type_of(in->dtype), k, type_of(in->dtype), k);
	if (in->kind == CHAIN_FLAT) {
		put(w, "e];\n");
		return;
	}
	put(w, "%lldll", (long long)in->start);
	int64_t below = 1;
	for (int32_t x = c->rank; x-- > 0 && in->kind == CHAIN_STRIDED; below *= c->dim[x])
		if (in->stride[x] && c->dim[x] > 1)
			put(w, " + e / %lldll %% %lldll * %lldll", (long long)below, (long long)c->dim[x], (long long)in->stride[x]);
	put(w, "];\n");
}

static void put_number(struct writer *w, uint32_t dtype, double x)
{
	if (dtype == REIN_I32_T)
		put(w, "to_i32(%a)", x != x ? 0 : x < -2147483648.0 ? -2147483648.0 : x > 2147483647.0 ? 2147483647.0 : x);
	else if (dtype != REIN_REAL_T && dtype != REIN_WIDE_T)
		put(w, "to_u8(%a)", x != x ? 0 : x < 0 ? 0 : x > 255 ? 255 : x);
	else if (x != x)
		put(w, "(%s)__longlong_as_double(0x7ff8000000000000ll)", type_of(dtype));
	else if (x - x != 0)
		put(w, "(%s)__longlong_as_double(%s)", type_of(dtype), x > 0 ? "0x7ff0000000000000ll" : "(long long)0xfff0000000000000ull");
	else if (dtype == REIN_REAL_T)
		put(w, "%af", (double)(float)x);
	else
		put(w, "%a", x);
}

/* Name number k of "(a, b, c)". */
static void name_of(const char *names, uint32_t k, char *out, size_t size)
{
	const char *s = names + strspn(names, "( \t\n");
	for (uint32_t j = 0; j < k; j++) {
		s += strcspn(s, ",");
		s += strspn(s, ", \t\n");
	}
	snprintf(out, size, "%.*s", (int)strcspn(s, ",) \t\n"), s);
}

static void put_map(struct writer *w, const struct chain_step *s)
{
	const struct rein_map *m = s->map;
	char name[128];
	for (uint32_t k = 0; k < m->n_out; k++)
		put(w, "\t\tfloat v%d = 0;\n", s->out[k]);
	put(w, "\t\t{\n\t\t\ttypedef float real;\n");
	for (uint32_t k = 0; k < m->n_in + m->n_par; k++) {
		name_of(k < m->n_in ? m->in_names : m->par_names, k < m->n_in ? k : k - m->n_in, name, sizeof name);
		put(w, "\t\t\tconst float %s = v%d;\n\t\t\t(void)%s;\n", name, s->in[k], name);
	}
	for (uint32_t k = 0; k < m->n_out; k++) {
		name_of(m->out_names, k, name, sizeof name);
		put(w, "\t\t\tfloat %s = 0;\n", name);
	}
	put(w, "\t\t\treal unused_ = 0;\n\t\t\t(void)unused_;\n\t\t\t%s\n", m->body);
	for (uint32_t k = 0; k < m->n_out; k++) {
		name_of(m->out_names, k, name, sizeof name);
		put(w, "\t\t\tv%d = %s;\n", s->out[k], name);
	}
	put(w, "\t\t}\n");
}

static void put_step(struct writer *w, const struct chain_step *s)
{
	static const char *const cast[] = { "", "(float)", "(double)", "to_i32", "to_u8", "to_bool" };
	if (s->op == REIN_OP_MAP) {
		put_map(w, s);
		return;
	}
	put(w, "\t\tconst %s v%d = ", type_of(s->to), s->out[0]);
	if (s->op == REIN_OP_CONST)
		put_number(w, s->to, s->number);
	else if (s->op == REIN_OP_IOTA)
		put(w, "(int)(e / %lldll %% %lldll)", (long long)s->inner, (long long)s->n);
	else if (s->op == REIN_OP_CAST)
		put(w, "%s(v%d)", cast[s->to], s->in[0]);
	else {
		put(w, "op_%s(v%d", function(s->op), s->in[0]);
		for (uint32_t k = 1; k < s->n_in; k++)
			put(w, ", v%d", s->in[k]);
		put(w, ")");
	}
	put(w, ";\n");
}

/* The function of one chain, number k. */
static void put_chain(struct writer *w, const struct chain *c, int number)
{
	put(w, "static __device__ __forceinline__ void chain_%d(const struct chain_piece a, unsigned block)\n{\n", number);
	put(w, "\tfor (long long e = (long long)block * blockDim.x + threadIdx.x; e < a.n; "
	       "e += (long long)a.blocks * blockDim.x) {\n");
	for (int32_t k = 0; k < c->n_in; k++)
		put_input(w, c, k);
	for (int32_t k = 0; k < c->n_step; k++)
		put_step(w, &c->step[k]);
	for (int32_t k = 0; k < c->n_out; k++)
		put(w, "\t\t((%s *)a.out[%d])[e] = v%d;\n", type_of(c->out[k].dtype), k, c->out[k].slot);
	put(w, "\t}\n}\n");
}

/* Would two chains be written alike? What is written is all that is compared. */
static bool alike(const struct chain *a, const struct chain *b)
{
	if (a->n_in != b->n_in || a->n_step != b->n_step || a->n_out != b->n_out || a->has_map || b->has_map)
		return false;
	for (int32_t k = 0; k < a->n_in; k++)
		if (a->in[k].kind == CHAIN_STRIDED || b->in[k].kind != a->in[k].kind || b->in[k].dtype != a->in[k].dtype ||
		    b->in[k].start != a->in[k].start)
			return false;
	for (int32_t k = 0; k < a->n_step; k++) {
		const struct chain_step *s = &a->step[k], *t = &b->step[k];
		if (s->op != t->op || s->dtype != t->dtype || s->to != t->to || s->n_in != t->n_in || s->n_out != t->n_out ||
		    s->n != t->n || s->inner != t->inner || memcmp(&s->number, &t->number, sizeof s->number) ||
		    memcmp(s->in, t->in, s->n_in * sizeof *s->in) || memcmp(s->out, t->out, s->n_out * sizeof *s->out))
			return false;
	}
	for (int32_t k = 0; k < a->n_out; k++)
		if (a->out[k].slot != b->out[k].slot || a->out[k].dtype != b->out[k].dtype)
			return false;
	return true;
}

size_t chain_text(int n, const struct chain *const *c, int *body, char *buf, size_t size)
{
	struct writer w = { buf, size, 0 };
	bool map = false;
	for (int k = 0; k < n; k++)
		map |= c[k]->has_map;
	put(&w, "// %d chains of elementwise ops\n%s\n", n, chain_math_text);
	/* kernel.h: the functions of tgmath.h by their plain names follow the type, as C++'s do; what
	 * they leave to C's promotions (copysign(1, x)) C++ finds ambiguous */
	if (map)
		put(&w, "%s", map_prelude);
	put(&w, "struct chain_piece { const void *in[%d]; void *out[%d]; long long n; unsigned first, blocks; int body; };\n",
	    CHAIN_INS, CHAIN_OUTS);
	put(&w, "struct chain_args { const struct chain_piece *list; struct chain_piece one; int n; };\n");
	for (int k = 0; k < n; k++) {
		body[k] = k;
		for (int j = 0; j < k; j++)
			if (body[j] == j && alike(c[j], c[k])) {
				body[k] = j;
				break;
			}
		if (body[k] == k)
			put_chain(&w, c[k], k);
	}
	/* at least 2 blocks: without a number ptxas keeps to 32 registers and spills */
	put(&w, "extern \"C\" __global__ void __launch_bounds__(%d, 2) rein_chain(struct chain_args a)\n{\n", CUDA_BLOCK);
	if (n == 1) {
		put(&w, "\tchain_0(a.one, blockIdx.x);\n}\n");
		return w.used;
	}
	put(&w, "\tint k = 0;\n\twhile (k + 1 < a.n && blockIdx.x >= a.list[k + 1].first)\n\t\tk++;\n");
	put(&w, "\tswitch (a.list[k].body) {\n");
	for (int k = 0; k < n; k++)
		if (body[k] == k)
			put(&w, "\tcase %d: chain_%d(a.list[k], blockIdx.x - a.list[k].first); break;\n", k, k);
	put(&w, "\t}\n}\n");
	return w.used;
}
