/* SPDX-License-Identifier: MIT
 *
 * outside: a layer y = x^3 whose maths is a plain C function, as if it came from a library, with
 * a recorded derivative.
 */
#include "rein/rein.h"

static rein_status cube(const void *ctx, const struct rein_tensor_view *in, struct rein_tensor_view *out)
{
	uint64_t size = in->bytes;
	for (uint32_t i = 0; i < in->rank; i++)
		size /= (uint64_t)in->dim[i]; /* of an element */
	for (uint64_t i = 0; i < in->bytes / size; i++) {
		if (size == 8)
			((double *)out->data)[i] = pow(((const double *)in->data)[i], 3);
		else
			((float *)out->data)[i] = powf(((const float *)in->data)[i], 3);
	}
	return REIN_OK;
}

static void cube_vjp(const void *ctx, struct rein_rec *r, const rein_val *in, const rein_val *out, const rein_val *g,
                     rein_val *gin)
{
	gin[0] = rein_mul(r, g[0], rein_scale(r, rein_square(r, in[0]), 3));
}

static rein_val outside_record(const void *self, struct rein_rec *r, const struct rein_call *c)
{
	rein_val x = c->in[0], y;
	struct rein_custom op = { .struct_size = sizeof op, .n_out = 1, .name = "cube", .run = cube, .vjp = cube_vjp };
	op.out[0].dtype = REIN_REAL_T;
	op.out[0].rank = (uint32_t)rein_rank(r, x);
	for (int32_t i = 0; i < rein_rank(r, x); i++)
		op.out[0].dim[i] = rein_dim(r, x, i);
	rein_custom_op(r, &op, 1, &x, 1, &y);
	return y;
}

static const struct rein_layer_vt outside_vt = { .struct_size = sizeof outside_vt, .record = outside_record };
REIN_COMPONENT(outside, REIN_LAYER, struct rein_keyless, NULL, &outside_vt, .backends = REIN_ON_CPU,
               .summary = "x^3 from a C function");
REIN_PLUGIN("outside", "1.0.0", "MIT", &outside_component)
