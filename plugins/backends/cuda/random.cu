/* SPDX-License-Identifier: MIT
 *
 * random.cu: RANDOM: Philox4x32-10 (Salmon et al., SC 2011), the same bits as the cpu
 * backend's. Element e of a sample's (or of the whole) tensor is word e % 4 at counter
 * (e / 4, sample or step, epoch, loop index); a thread makes four elements. Normal draws are
 * Box-Muller in float64, rounded once.
 */
#include "cuda.h"

struct draw_args {
	const int32_t *id, *epoch, *loop; /* may be NULL */
	uint32_t *out;                    /* or float */
	uint64_t key;
	int64_t rows, len, quads;         /* samples, elements of one, groups of four in one */
	int32_t per_sample, dist;
};

static __device__ __forceinline__ void philox(uint32_t c[4], uint64_t key)
{
	uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
	for (int round = 0; round < 10; round++) {
		uint32_t p = 0xD2511F53u * c[0], q = 0xCD9E8D57u * c[2];
		uint32_t ph = __umulhi(0xD2511F53u, c[0]), qh = __umulhi(0xCD9E8D57u, c[2]);
		c[0] = qh ^ c[1] ^ k0;
		c[2] = ph ^ c[3] ^ k1;
		c[1] = q;
		c[3] = p;
		k0 += 0x9E3779B9u;
		k1 += 0xBB67AE85u;
	}
}

static __device__ float normal(uint32_t w0, uint32_t w1, int sine)
{
	double u = ((double)(w0 >> 8) + 1) * 0x1p-24, v = (double)(w1 >> 8) * 0x1p-24;
	double r = sqrt(-2 * log(u)), angle = 6.283185307179586477 * v;
	return (float)(r * (sine ? sin(angle) : cos(angle)));
}

__global__ void draw(struct draw_args a)
{
	for (CUDA_EACH(t, a.rows *a.quads)) {
		int64_t row = t / a.quads, e = t % a.quads * 4;
		uint32_t w[4] = { (uint32_t)(e / 4), a.id ? (uint32_t)a.id[a.per_sample ? row : 0] : 0,
			              a.epoch ? (uint32_t)a.epoch[0] : 0, a.loop ? (uint32_t)a.loop[0] : 0 };
		philox(w, a.key);
		for (int j = 0; j < 4 && e + j < a.len; j++) {
			int64_t at = row * a.len + e + j;
			if (a.dist == REIN_BITS)
				a.out[at] = w[j];
			else if (a.dist == REIN_NORMAL)
				a.out[at] = __float_as_uint(normal(w[j & 2], w[j | 1], j & 1));
			else
				a.out[at] = __float_as_uint((float)(w[j] >> 8) * 0x1p-24f);
		}
	}
}

static rein_status emit(struct cuda_build *b, int32_t n, const int32_t *instr)
{
	const struct rein_prog_instr *i = &b->p->instr[instr[n - 1]];
	const struct rein_prog_value *y = cuda_out(b, i, 0);
	struct draw_args a;
	memset(&a, 0, sizeof a);
	a.id = i->n_in > 0 ? cuda_in_mem<int32_t>(b, i, 0) : NULL;
	a.epoch = i->n_in > 1 ? cuda_in_mem<int32_t>(b, i, 1) : NULL;
	a.loop = i->n_in > 2 ? cuda_in_mem<int32_t>(b, i, 2) : NULL;
	a.out = cuda_out_mem<uint32_t>(b, i, 0);
	memcpy(&a.key, i->attr.data, sizeof a.key);
	a.per_sample = i->attr.flags == REIN_PER_SAMPLE && y->rank > 0;
	a.dist = (int32_t)i->attr.mode;
	a.rows = a.per_sample ? y->dim[0] : 1;
	a.len = y->count / a.rows;
	a.quads = (a.len + 3) / 4;
	return cuda_launch(b, draw, cuda_blocks(a.rows * a.quads, CUDA_BLOCK), CUDA_BLOCK, 0, a);
}

static bool supports(const struct rein_program *p, const struct rein_prog_instr *i)
{
	(void)p;
	return i->op == REIN_OP_RANDOM;
}

extern const struct cuda_family cuda_random = { "random", supports, NULL, emit, NULL };
