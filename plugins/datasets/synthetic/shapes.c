/* SPDX-License-Identifier: MIT
 *
 * shapes.c: images of simple shapes: a stand-in for image sets that have to be downloaded.
 * Class k has outline k mod 10; with more than 10 classes k / 10 picks the colour (or, in
 * grey, the number of stripes). Place, size, brightness and (up to 10 classes) colour are
 * random. To add an outline: a case in inside(), a name in outline_names.
 */
#include <string.h>

#include "synthetic.h"

#define OUTLINES 10
static const char *const outline_names[OUTLINES] = { "disc", "ring",  "square",     "frame",    "triangle",
	                                                 "plus", "cross", "horizontal", "vertical", "diamond" };
#define NAME_BYTES 32

rein_status shapes_create(void *self, const struct rein_host *h)
{
	struct shapes *s = self;
	if (s->channels == 2)
		return rein_failf(h, "channels=2: an image is grey (1) or colour (3)");
	s->name = h->alloc(h, (uint64_t)s->classes * sizeof *s->name);
	s->text = h->alloc(h, (uint64_t)s->classes * NAME_BYTES);
	if (!s->name || !s->text)
		return REIN_ERROR;
	for (int64_t k = 0; k < s->classes; k++) {
		char *to = s->text + k * NAME_BYTES;
		if (s->classes <= OUTLINES)
			snprintf(to, NAME_BYTES, "%s", outline_names[k]);
		else
			snprintf(to, NAME_BYTES, "%s-%d", outline_names[k % OUTLINES], (int)(k / OUTLINES));
		s->name[k] = to;
	}
	return REIN_OK;
}

void shapes_destroy(void *self, const struct rein_host *h)
{
	struct shapes *s = self;
	h->free(h, s->name);
	h->free(h, s->text);
}

static rein_status shapes_info(void *self, struct rein_dataset_info *o)
{
	const struct shapes *s = self;
	o->dtype = REIN_U8_T;
	o->rank = 3;
	o->dim[0] = s->channels;
	o->dim[1] = o->dim[2] = s->size;
	o->count = s->samples;
	o->target = REIN_TARGET_CLASS;
	o->classes = s->classes;
	o->class_names = s->name;
	return REIN_OK;
}

/* Whether (u, v), with the shape's centre at 0 and its reach 1, lies inside. */
static int inside(int outline, float u, float v)
{
	float au = fabsf(u), av = fabsf(v), rr = u * u + v * v, most = fmaxf(au, av);
	switch (outline) {
	case 0: return rr <= 1;
	case 1: return rr <= 1 && rr >= 0.4f;
	case 2: return most <= 0.85f;
	case 3: return most <= 0.9f && most >= 0.55f;
	case 4: return av <= 0.9f && au <= (v + 0.9f) / 1.8f;
	case 5: return fminf(au, av) <= 0.25f && most <= 1;
	case 6: return fminf(fabsf(u + v), fabsf(u - v)) <= 0.35f && most <= 0.8f;
	case 7: return av <= 0.3f && au <= 1;
	case 8: return au <= 0.3f && av <= 1;
	default: return au + av <= 1;
	}
}

/* A bright, full colour of the given hue (0..1). */
static void hue_to_rgb(double hue, float *rgb)
{
	for (int c = 0; c < 3; c++) {
		double d = fabs(fmod(6 * hue + 6 - 2 * c, 6) - 3) - 1; /* hexagon of the HSV model */
		rgb[c] = 0.25f + 0.75f * (float)(d < 0 ? 0 : d > 1 ? 1 : d);
	}
}

/* About N(0,1): the sum of 8 random bytes, mean 1020, variance 8 (256^2 - 1) / 12. */
static float rough_normal(uint64_t b)
{
	uint64_t even = b & UINT64_C(0x00FF00FF00FF00FF), odd = (b >> 8) & UINT64_C(0x00FF00FF00FF00FF);
	return ((float)(((even + odd) * UINT64_C(0x0001000100010001)) >> 48) - 1020.0f) * (1 / 209.022f);
}

struct drawing {
	int outline, stripes; /* stripes 0: filled */
	float cx, cy, reach, back, front[3];
};

static struct drawing choose(const struct shapes *s, int64_t i, int64_t k)
{
	struct drawing d = { 0 };
	int64_t styles = (s->classes + OUTLINES - 1) / OUTLINES, style = k / OUTLINES;
	double bright = 0.7 + 0.3 * uniform(s->seed, i, 0), hue = uniform(s->seed, i, 1);
	d.outline = (int)(k % OUTLINES);
	d.cx = (float)(0.5 + 0.2 * (uniform(s->seed, i, 2) - 0.5)) * (float)s->size;
	d.cy = (float)(0.5 + 0.2 * (uniform(s->seed, i, 3) - 0.5)) * (float)s->size;
	d.reach = (float)(0.25 + 0.13 * uniform(s->seed, i, 4)) * (float)s->size;
	d.back = (float)(0.25 * uniform(s->seed, i, 5));
	if (styles > 1) /* the style is the colour, give or take a quarter of the way to the next */
		hue = ((double)style + 0.5 * (hue - 0.5)) / (double)styles;
	hue_to_rgb(hue < 0 ? hue + 1 : hue, d.front);
	if (s->channels == 1) {
		d.front[0] = 1;
		d.stripes = (int)style;
	}
	for (int c = 0; c < 3; c++)
		d.front[c] *= (float)bright;
	return d;
}

static void draw(const struct shapes *s, int64_t i, const struct drawing *d, uint8_t *out)
{
	int64_t n = s->size, plane = n * n;
	for (int64_t p = 0; p < plane; p++) {
		float u = ((float)(p % n) + 0.5f - d->cx) / d->reach, v = ((float)(p / n) + 0.5f - d->cy) / d->reach;
		int in = inside(d->outline, u, v);
		if (d->stripes && in)
			in = (int)((u + 1) * 0.5f * (float)(2 * d->stripes + 1)) % 2 == 0;
		for (int64_t c = 0; c < s->channels; c++) {
			float value = in ? d->front[c] : d->back;
			if (s->noise > 0)
				value += (float)s->noise * rough_normal(bits(s->seed, i, (uint64_t)(16 + c * plane + p)));
			value = fminf(fmaxf(value, 0), 1);
			out[c * plane + p] = (uint8_t)(value * 255 + 0.5f);
		}
	}
}

static rein_status shapes_read(const void *self, const struct rein_host *h, int64_t i, void *x, void *y)
{
	const struct shapes *s = self;
	int64_t k = i % s->classes;
	(void)h;
	if (x) {
		struct drawing d = choose(s, i, k);
		draw(s, i, &d, x);
	}
	*(int32_t *)y = (int32_t)k;
	return REIN_OK;
}

const struct rein_dataset_vt shapes_vt = { .struct_size = sizeof shapes_vt, .info = shapes_info, .read = shapes_read };
