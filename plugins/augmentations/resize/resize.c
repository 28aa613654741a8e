/* SPDX-License-Identifier: MIT
 *
 * resize: to exactly size=H,W, bilinear, antialiased where it shrinks, as PIL does it:
 * first along rows, then along columns, each with triangle weights as wide as the step
 * between output pixels; on bytes in fixed point with 22 fractional bits, rounded to a
 * byte after each of the two passes, so that results are PIL's. antialias=no has weights of
 * neighbouring pixels alone, as torch.nn.functional.interpolate has by default. (From release 13 on Pillow
 * takes columns first for some sizes; results then differ by 1.) Floats are not rounded.
 */
#include <math.h>
#include <string.h>

#include "rein/rein.h"

#define FRACTION 22

struct resize {
	struct rein_ints size;
	int32_t antialias;
};

static const struct rein_key resize_keys[] = {
	REIN_INTS(struct resize, size, NULL, 1, 65536, 0, "height,width; one number stands for both"),
	REIN_BOOL(struct resize, antialias, "yes",
	          "weights as wide as the step between output pixels, as PIL; no: two pixels"),
	REIN_KEYS_END
};

static rein_status resize_create(void *self, const struct rein_host *h)
{
	const struct resize *s = self;
	if (s->size.n < 1 || s->size.n > 2)
		return rein_failf(h, "size= has %lld numbers; expected height,width or one for both", (long long)s->size.n);
	return REIN_OK;
}

static rein_status resize_shape(const void *self, const struct rein_host *h, uint32_t rank, const int64_t *in,
                                int64_t *out)
{
	const struct resize *s = self;
	if (rank != 3)
		return rein_failf(h, "samples of rank %u; only images (channels,height,width) can be resized", rank);
	out[0] = in[0];
	out[1] = s->size.v[0];
	out[2] = s->size.v[s->size.n - 1];
	return REIN_OK;
}

/* Weights of one axis: output k is the sum of taps weights over inputs from[k]... */
struct axis {
	int64_t from, to, taps; /* lengths; room per output */
	int32_t *first, *count; /* to */
	double *weight;         /* to x taps, summing to 1 */
	int32_t *fixed;         /* to x taps, the same times 2^22 */
};

static void axis_free(const struct rein_host *h, struct axis *a)
{
	h->free(h, a->first);
	h->free(h, a->weight);
}

/* Output k sits at c = (k + 1/2) from/to; input j weighs max(0, 1 - |j + 1/2 - c| / w), with
 * w = max(from/to, 1) or 1, over the inputs whose middles round into [c - w, c + w]. */
static rein_status axis_make(const struct rein_host *h, int64_t from, int64_t to, int antialias, struct axis *a)
{
	double step = (double)from / (double)to, w = antialias && step > 1 ? step : 1;
	a->from = from;
	a->to = to;
	a->taps = 2 * (int64_t)ceil(w) + 1;
	a->first = h->alloc(h, (uint64_t)to * 2 * sizeof *a->first);
	a->weight = h->alloc(h, (uint64_t)(to * a->taps) * (sizeof *a->weight + sizeof *a->fixed));
	if (!a->first || !a->weight)
		return REIN_ERROR;
	a->count = a->first + to;
	a->fixed = (int32_t *)(void *)(a->weight + to * a->taps);
	for (int64_t k = 0; k < to; k++) {
		double c = ((double)k + 0.5) * step, sum = 0, *weight = a->weight + k * a->taps;
		int64_t lo = (int64_t)fmax(c - w + 0.5, 0), hi = (int64_t)(c + w + 0.5);
		if (hi > from)
			hi = from;
		a->first[k] = (int32_t)lo;
		a->count[k] = (int32_t)(hi - lo);
		for (int64_t j = lo; j < hi; j++) {
			double distance = fabs(((double)j - c + 0.5) * (1 / w));
			weight[j - lo] = distance < 1 ? 1 - distance : 0;
			sum += weight[j - lo];
		}
		for (int64_t j = 0; j < hi - lo; j++) {
			weight[j] /= sum;
			a->fixed[k * a->taps + j] = (int32_t)(0.5 + weight[j] * (double)(1 << FRACTION));
		}
	}
	return REIN_OK;
}

#define LANES 16 /* bytes side by side, a number the compiler makes vectors of */

/* to[l] is the weighted sum of `count` rows, `step` bytes apart. */
static void lanes(const uint8_t *row, int64_t step, int32_t count, const int32_t *weight, uint8_t *to)
{
	int32_t sum[LANES];
	for (int l = 0; l < LANES; l++)
		sum[l] = 1 << (FRACTION - 1);
	for (int32_t j = 0; j < count; j++, row += step)
		for (int l = 0; l < LANES; l++)
			sum[l] += row[l] * weight[j];
	for (int l = 0; l < LANES; l++) {
		int32_t v = sum[l] >> FRACTION;
		to[l] = (uint8_t)(v > 255 ? 255 : v);
	}
}

/* One axis of bytes: out[o][k][i] from in[o][j][i], o < outer, i < inner */
static void pass_u8(const struct axis *a, int64_t outer, int64_t inner, const uint8_t *in, uint8_t *out)
{
	for (int64_t o = 0; o < outer; o++)
		for (int64_t k = 0; k < a->to; k++) {
			const uint8_t *row = in + (o * a->from + a->first[k]) * inner;
			const int32_t *weight = a->fixed + k * a->taps;
			uint8_t *to = out + (o * a->to + k) * inner;
			int64_t i = 0;
			for (; i + LANES <= inner; i += LANES)
				lanes(row + i, inner, a->count[k], weight, to + i);
			for (; i < inner; i++) {
				int32_t sum = 1 << (FRACTION - 1);
				for (int32_t j = 0; j < a->count[k]; j++)
					sum += row[j * inner + i] * weight[j];
				sum >>= FRACTION;
				to[i] = (uint8_t)(sum > 255 ? 255 : sum);
			}
		}
}

/* Rows of bytes, the axis within each: some at a time, turned so that they lie side by side. */
static rein_status rows_u8(const struct rein_host *h, const struct axis *a, int64_t n, const uint8_t *in, uint8_t *out)
{
	uint8_t *turned = h->alloc(h, (uint64_t)(LANES * (a->from + a->to)));
	uint8_t *made = turned + LANES * a->from;
	if (!turned)
		return REIN_ERROR;
	for (; n >= LANES; n -= LANES, in += LANES * a->from, out += LANES * a->to) {
		for (int64_t i = 0; i < a->from; i++)
			for (int l = 0; l < LANES; l++)
				turned[i * LANES + l] = in[l * a->from + i];
		for (int64_t k = 0; k < a->to; k++)
			lanes(turned + a->first[k] * LANES, LANES, a->count[k], a->fixed + k * a->taps, made + k * LANES);
		for (int l = 0; l < LANES; l++)
			for (int64_t k = 0; k < a->to; k++)
				out[l * a->to + k] = made[k * LANES + l];
	}
	pass_u8(a, n, 1, in, out);
	h->free(h, turned);
	return REIN_OK;
}

static void pass_float(const struct axis *a, int64_t outer, int64_t inner, const float *in, float *out)
{
	for (int64_t o = 0; o < outer; o++)
		for (int64_t k = 0; k < a->to; k++) {
			const float *row = in + (o * a->from + a->first[k]) * inner;
			const double *weight = a->weight + k * a->taps;
			float *to = out + (o * a->to + k) * inner;
			for (int64_t i = 0; i < inner; i++) {
				double sum = 0;
				for (int32_t j = 0; j < a->count[k]; j++)
					sum += (double)row[j * inner + i] * weight[j];
				to[i] = (float)sum;
			}
		}
}

static rein_status resize_sample(const void *self, const struct rein_host *h, int64_t number, int64_t epoch,
                                 const struct rein_sample *in, struct rein_sample *out)
{
	const struct resize *s = self;
	int64_t c = in->dim[0], height = in->dim[1], width = in->dim[2];
	uint64_t size = in->dtype == REIN_U8_T ? 1 : sizeof(float);
	struct axis x = { 0 }, y = { 0 };
	void *half = h->alloc(h, (uint64_t)(c * height * out->dim[2]) * size); /* (C,H,W') */
	rein_status st = half ? axis_make(h, width, out->dim[2], s->antialias, &x) : REIN_ERROR;
	(void)number;
	(void)epoch;
	if (st == REIN_OK)
		st = axis_make(h, height, out->dim[1], s->antialias, &y);
	if (st == REIN_OK && in->dtype == REIN_U8_T) {
		st = rows_u8(h, &x, c * height, in->data, half);
		if (st == REIN_OK)
			pass_u8(&y, c, x.to, half, out->data);
	} else if (st == REIN_OK) {
		pass_float(&x, c * height, 1, in->data, half);
		pass_float(&y, c, x.to, half, out->data);
	}
	axis_free(h, &x);
	axis_free(h, &y);
	h->free(h, half);
	return st;
}

static const struct rein_augmentation_vt resize_vt = { .struct_size = sizeof resize_vt,
	                                                   .shape = resize_shape,
	                                                   .sample = resize_sample };

REIN_COMPONENT(resize, REIN_AUGMENTATION, struct resize, resize_keys, &resize_vt, .create = resize_create,
               .summary = "images to exactly height,width; bilinear, antialiased as PIL does it",
               .reference = "PIL Image.resize(BILINEAR); torchvision.transforms.Resize on PIL images");
REIN_PLUGIN("resize", "1.0.0", "MIT", &resize_component)
