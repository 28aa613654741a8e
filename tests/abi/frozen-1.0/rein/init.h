/* SPDX-License-Identifier: MIT
 *
 * init.h: initial values by name, for layers with weights: the keys init= bias_init=
 * gain= slope= init_value= and what they mean. Formulas are those of torch.nn.init.
 *
 *   struct linear { int64_t units; struct rein_start start; };
 *   ... rows: REIN_START_KEYS(struct linear, start), REIN_KEYS_END
 *   struct rein_init w = rein_start_weight(&s->start, fan_in, fan_out);
 */
#ifndef REIN_INIT_H
#define REIN_INIT_H

#include <math.h>

#include "ops.h"

struct rein_start {
	int32_t init, bias_init;
	double gain, slope, value;
};

enum {
	REIN_START_TORCH,           /* U(+-1/sqrt(fan_in)), as nn.Linear and nn.Conv2d */
	REIN_START_XAVIER_UNIFORM,  /* U(+-gain sqrt(6/(fan_in+fan_out))) */
	REIN_START_XAVIER_NORMAL,   /* N(0, gain^2 2/(fan_in+fan_out)) */
	REIN_START_KAIMING_UNIFORM, /* U(+-gain sqrt(2/(1+slope^2)) sqrt(3/fan_in)) */
	REIN_START_KAIMING_NORMAL,  /* N(0, gain^2 2/(1+slope^2)/fan_in) */
	REIN_START_ORTHOGONAL,      /* gain Q, Q with orthonormal rows or columns */
	REIN_START_UNIFORM,         /* U(+-init_value) */
	REIN_START_NORMAL,          /* N(0, init_value^2) */
	REIN_START_CONSTANT         /* init_value */
};
#define REIN_BIAS_AUTO  0 /* as PyTorch's with init=torch, else zeros */
#define REIN_BIAS_TORCH 1 /* U(+-1/sqrt(fan_in)) */
#define REIN_BIAS_ZEROS 2

#if defined(__GNUC__)
#define REIN_UNUSED_ __attribute__((unused))
#else
#define REIN_UNUSED_
#endif
REIN_UNUSED_ static const char *const rein_start_names[] = {
	"torch",      "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal",
	"orthogonal", "uniform",        "normal",        "constant",        NULL
};
REIN_UNUSED_ static const char *const rein_start_bias_names[] = { "auto", "torch", "zeros", NULL };

#define REIN_START_ROW_(S, f, key, def, help, type, T, lo, hi, choices)         \
	{                                                                           \
		key, def, help, type, 0, REIN_FIELD_(S, f, T), 0, lo, hi, choices, NULL \
	}
/* clang-format off */
#define REIN_START_KEYS(S, f)                                                                                     \
	REIN_START_ROW_(S, f.init, "init", "torch",                                                                   \
	                "initial weights; torch: U(+-1/sqrt(fan_in)); xavier: scale gain sqrt(2/(fan_in+fan_out)); "  \
	                "kaiming: scale gain sqrt(2/(1+slope^2)/fan_in); uniform: U(+-init_value); normal: N(0, init_value^2)", \
	                REIN_KEY_ENUM, int32_t, 0, 0, rein_start_names),                                              \
	REIN_START_ROW_(S, f.bias_init, "bias_init", "auto",                                                          \
	                "initial bias; torch: U(+-1/sqrt(fan_in)); auto: torch where init is, else zeros",            \
	                REIN_KEY_ENUM, int32_t, 0, 0, rein_start_bias_names),                                         \
	REIN_START_ROW_(S, f.gain, "gain", "1", "factor of xavier, kaiming and orthogonal weights",                   \
	                REIN_KEY_REAL, double, 0, 1e6, NULL),                                                         \
	REIN_START_ROW_(S, f.slope, "slope", "0", "negative slope of the leaky_relu that kaiming weights feed",       \
	                REIN_KEY_REAL, double, 0, 1e6, NULL),                                                         \
	REIN_START_ROW_(S, f.value, "init_value", "0", "constant: the value; uniform: the bound; normal: the deviation",   \
	                REIN_KEY_REAL, double, -1e6, 1e6, NULL)
/* clang-format on */

static inline struct rein_init rein_start_of_(uint32_t kind, double a, double b)
{
	struct rein_init init = { sizeof init, kind, a, b, REIN_NONE, 0 };
	return init;
}
/* fan_in, fan_out: inputs and outputs of one unit, times the kernel's area. */
static inline struct rein_init rein_start_weight(const struct rein_start *s, double fan_in, double fan_out)
{
	double xavier = s->gain * sqrt(2 / (fan_in + fan_out));
	double kaiming = s->gain * sqrt(2 / (1 + s->slope * s->slope) / fan_in);
	switch (s->init) {
	case REIN_START_XAVIER_UNIFORM: return rein_start_of_(REIN_INIT_UNIFORM, -sqrt(3) * xavier, sqrt(3) * xavier);
	case REIN_START_XAVIER_NORMAL: return rein_start_of_(REIN_INIT_NORMAL, 0, xavier);
	case REIN_START_KAIMING_UNIFORM: return rein_start_of_(REIN_INIT_UNIFORM, -sqrt(3) * kaiming, sqrt(3) * kaiming);
	case REIN_START_KAIMING_NORMAL: return rein_start_of_(REIN_INIT_NORMAL, 0, kaiming);
	case REIN_START_ORTHOGONAL: return rein_start_of_(REIN_INIT_ORTHOGONAL, s->gain, 0);
	case REIN_START_UNIFORM: return rein_start_of_(REIN_INIT_UNIFORM, -fabs(s->value), fabs(s->value));
	case REIN_START_NORMAL: return rein_start_of_(REIN_INIT_NORMAL, 0, fabs(s->value));
	case REIN_START_CONSTANT: return rein_start_of_(REIN_INIT_CONSTANT, s->value, 0);
	default: return rein_start_of_(REIN_INIT_UNIFORM, -1 / sqrt(fan_in), 1 / sqrt(fan_in));
	}
}
static inline struct rein_init rein_start_bias(const struct rein_start *s, double fan_in)
{
	int torch = s->bias_init == REIN_BIAS_TORCH || (s->bias_init == REIN_BIAS_AUTO && s->init == REIN_START_TORCH);
	return torch ? rein_start_of_(REIN_INIT_UNIFORM, -1 / sqrt(fan_in), 1 / sqrt(fan_in))
	             : rein_start_of_(REIN_INIT_ZEROS, 0, 0);
}

#endif
