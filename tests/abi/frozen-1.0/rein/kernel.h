/* SPDX-License-Identifier: MIT
 *
 * kernel.h: an elementwise kernel written once, as C. REIN_MAP makes a loop the C
 * compiler can vectorise for the CPU and keeps the body's text, which the cuda
 * backend compiles with NVRTC: so plain C runs on the GPU without nvcc.
 *
 *   REIN_MAP(huber_grad, (w, g), (dw), (lambda, delta),
 *       dw = g + lambda * (fabs(w) < delta ? w / delta : copysign(1, w));
 *   )
 *   rein_val out;
 *   rein_map(r, &huber_grad, in, params, &out);   // in[2] tensors, params[2] scalars
 *
 * Inputs are tensors that broadcast together, parameters are rank-0 values (knobs),
 * outputs have the broadcast shape; all are real. The body sees one element of each
 * as a variable of the type `real` (float on devices and in training, double in
 * double programs) and may use C expressions, local variables, if, for with constant
 * bounds, and the functions of <tgmath.h> by their plain names (fabs, exp: they follow
 * the type, in C and in CUDA), no macros but INFINITY, NAN, FLT_MAX, FLT_EPSILON, M_PI. A reduction is a kernel and a rein_sum, which fuse. Up
 * to 8 inputs, 4 outputs, 8 parameters; no parameters: ().
 */
#ifndef REIN_KERNEL_H
#define REIN_KERNEL_H

#include <stdint.h>
#include <tgmath.h>

#include "record.h"

struct rein_map {
	uint32_t struct_size, n_in, n_out, n_par;
	const char *name;
	/* Comma-separated names and the body, as text for NVRTC. */
	const char *in_names, *out_names, *par_names, *body;
	/* [worker] n elements; in[i][0..n), out[i][0..n), par[i]. Outputs never overlap inputs. */
	void (*run_f32)(int64_t n, const float *const *in, float *const *out, const float *par);
	void (*run_f64)(int64_t n, const double *const *in, double *const *out, const double *par);
	/* Records the derivative (often another map); NULL: gradients are refused. */
	rein_vjp *vjp;
};

/* Counting and walking macro lists of 1 to 8 names. */
#define REIN_CAT_(a, b)                            a##b
#define REIN_CAT(a, b)                             REIN_CAT_(a, b)
#define REIN_NARG_(a, b, c, d, e, f, g, h, n, ...) n
#define REIN_NARG(...)                             REIN_NARG_(__VA_ARGS__, 8, 7, 6, 5, 4, 3, 2, 1, 0)
#define REIN_EACH_1(m, T, i, a)                    m(T, i, a)
#define REIN_EACH_2(m, T, i, a, ...)               m(T, i, a) REIN_EACH_1(m, T, i + 1, __VA_ARGS__)
#define REIN_EACH_3(m, T, i, a, ...)               m(T, i, a) REIN_EACH_2(m, T, i + 1, __VA_ARGS__)
#define REIN_EACH_4(m, T, i, a, ...)               m(T, i, a) REIN_EACH_3(m, T, i + 1, __VA_ARGS__)
#define REIN_EACH_5(m, T, i, a, ...)               m(T, i, a) REIN_EACH_4(m, T, i + 1, __VA_ARGS__)
#define REIN_EACH_6(m, T, i, a, ...)               m(T, i, a) REIN_EACH_5(m, T, i + 1, __VA_ARGS__)
#define REIN_EACH_7(m, T, i, a, ...)               m(T, i, a) REIN_EACH_6(m, T, i + 1, __VA_ARGS__)
#define REIN_EACH_8(m, T, i, a, ...)               m(T, i, a) REIN_EACH_7(m, T, i + 1, __VA_ARGS__)
#define REIN_EACH(m, T, ...)                       REIN_CAT(REIN_EACH_, REIN_NARG(__VA_ARGS__))(m, T, 0, __VA_ARGS__)
#define REIN_STRIP_(...)                           __VA_ARGS__
#define REIN_TEXT_(...)                            #__VA_ARGS__
#define REIN_MAP_PTR_IN_(T, i, a)                  const T *restrict const a##_in = in_[i];
#define REIN_MAP_PTR_OUT_(T, i, a)                 T *restrict const a##_out = out_[i];
/* 1 if the name a is empty: pars may be (). */
#define REIN_PROBE_             ~, 1
#define REIN_SECOND_(a, b, ...) b
#define REIN_SECOND(...)        REIN_SECOND_(__VA_ARGS__)
#define REIN_EMPTY_(a, ...)     REIN_SECOND(REIN_PROBE_##a, 0, ~)
#define REIN_NO_NAMES_(...)     REIN_EMPTY_(__VA_ARGS__, ~)
#define REIN_MAP_PAR_1(T, i, a)
#define REIN_MAP_PAR_0(T, i, a) \
	const T a = par_[i];        \
	(void)a;
#define REIN_MAP_PAR_(T, i, a) REIN_CAT(REIN_MAP_PAR_, REIN_EMPTY_(a, ~))(T, i, a)
#define REIN_MAP_LOAD_(T, i, a) \
	const T a = a##_in[k_];     \
	(void)a;
#define REIN_MAP_DECL_(T, i, a)  T a = 0;
#define REIN_MAP_STORE_(T, i, a) a##_out[k_] = a;

#define REIN_MAP_LOOP_(fn, T, ins, outs, pars, ...)                                \
	static void fn(int64_t n_, const T *const *in_, T *const *out_, const T *par_) \
	{                                                                              \
		typedef T real;                                                            \
		(void)par_;                                                                \
		REIN_EACH(REIN_MAP_PTR_IN_, T, REIN_STRIP_ ins)                            \
		REIN_EACH(REIN_MAP_PTR_OUT_, T, REIN_STRIP_ outs)                          \
		REIN_EACH(REIN_MAP_PAR_, T, REIN_STRIP_ pars)                              \
		for (int64_t k_ = 0; k_ < n_; k_++) {                                      \
			REIN_EACH(REIN_MAP_LOAD_, T, REIN_STRIP_ ins)                          \
			REIN_EACH(REIN_MAP_DECL_, T, REIN_STRIP_ outs)                         \
			real unused_ = 0;                                                      \
			(void)unused_;                                                         \
			__VA_ARGS__                                                            \
			REIN_EACH(REIN_MAP_STORE_, T, REIN_STRIP_ outs)                        \
		}                                                                          \
	}

/* clang-format off */
/* A kernel without derivative; REIN_MAP_VJP names its derivative rule first. The body becomes
 * text here, before anything in it is expanded: <tgmath.h> is macros that NVRTC does not know. */
#define REIN_MAP(ident, ins, outs, pars, ...) REIN_MAP_(ident, NULL, #__VA_ARGS__, ins, outs, pars, __VA_ARGS__)
#define REIN_MAP_VJP(ident, vjp_, ins, outs, pars, ...) REIN_MAP_(ident, vjp_, #__VA_ARGS__, ins, outs, pars, __VA_ARGS__)
#define REIN_MAP_(ident, vjp_, text_, ins, outs, pars, ...)            \
	REIN_MAP_LOOP_(ident##_f32_, float, ins, outs, pars, __VA_ARGS__)  \
	REIN_MAP_LOOP_(ident##_f64_, double, ins, outs, pars, __VA_ARGS__) \
	static const struct rein_map ident = { sizeof(struct rein_map), REIN_NARG ins, REIN_NARG outs, \
		REIN_NARG pars - REIN_NO_NAMES_ pars, \
		#ident, REIN_TEXT_ ins, REIN_TEXT_ outs, REIN_TEXT_ pars, text_, ident##_f32_, ident##_f64_, \
		vjp_ };
/* clang-format on */

/* Records the kernel: in n_in tensors, par n_par rank-0 values, out n_out values. */
static inline void rein_map(struct rein_rec *r, const struct rein_map *m, const rein_val *in, const rein_val *par,
                            rein_val *out)
{
	struct rein_attr a = { sizeof a, 0, 0, 0, 0, 0, { 0 }, { 0 }, { 0 }, { 0 }, m };
	rein_val all[16];
	if (m->n_in + m->n_par > 16) {
		rein_refuse(r, "a kernel has more than 16 inputs and parameters");
		return;
	}
	for (uint32_t i = 0; i < m->n_in; i++)
		all[i] = in[i];
	for (uint32_t i = 0; i < m->n_par; i++)
		all[m->n_in + i] = par[i];
	rein_op(r, REIN_OP_MAP, m->n_in + m->n_par, all, &a, m->n_out, out);
}

#endif
