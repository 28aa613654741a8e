/* SPDX-License-Identifier: MIT
 *
 * driver.c: stands in for libFuzzer where there is none: changes the seed files given as
 * arguments, always the same way, for a second. After a crash it names the round;
 * `fuzz_x --round N seeds...` runs that round alone.
 */
#include <signal.h>
#include <stdbool.h>
#include <time.h>

#include "fuzz.h"

#define SIZE_MAX_INPUT 65536
#define SECONDS        1.0

static uint64_t state;
static volatile long round_now;

static uint64_t draw(uint64_t n) /* xorshift64*, Vigna 2016 */
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (state * UINT64_C(2685821657736338717) >> 16) % n;
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void on_crash(int sig)
{
	char text[64];
	int n = snprintf(text, sizeof text, "signal %d in round %ld\n", sig, round_now);
	if (write(2, text, (size_t)n) < 0)
		_exit(2);
	signal(sig, SIG_DFL);
	raise(sig);
}

struct seed {
	uint8_t *data;
	size_t size;
};

static struct seed load(const char *path)
{
	struct seed s = { malloc(SIZE_MAX_INPUT), 0 };
	FILE *f = fopen(path, "rb");
	MUST(f && s.data);
	s.size = fread(s.data, 1, SIZE_MAX_INPUT, f);
	fclose(f);
	return s;
}

/* One change: a bit, a byte, a telling number, a cut, a repeat, a piece of another seed. */
static size_t change(uint8_t *b, size_t n, const struct seed *other)
{
	static const uint8_t telling[] = { 0, 1, 0x7F, 0x80, 0xFF, '\n', ',', '"', '=', '[', '{', '}', ' ', '-', '9', '#' };
	size_t at = n ? draw(n) : 0, k;
	switch (draw(8)) {
	case 0:
		if (n)
			b[at] ^= (uint8_t)(1u << draw(8));
		return n;
	case 1:
		if (n)
			b[at] = (uint8_t)draw(256);
		return n;
	case 2:
		if (n)
			b[at] = telling[draw(sizeof telling)];
		return n;
	case 3: /* four bytes at once: lengths */
		for (k = 0; k < 4 && at + k < n; k++)
			b[at + k] = telling[draw(5)];
		return n;
	case 4: return draw(4) ? n : at; /* cut */
	case 5:                          /* leave a piece out */
		k = at + draw(n - at + 1);
		memmove(b + at, b + k, n - k);
		return n - (k - at);
	case 6: /* a piece twice */
		k = draw(n - at + 1);
		if (n + k > SIZE_MAX_INPUT)
			return n;
		memmove(b + at + k, b + at, n - at);
		return n + k;
	default:
		if (!other->size)
			return n;
		k = draw(other->size) % 64;
		if (at + k > SIZE_MAX_INPUT || k > other->size)
			return n;
		memcpy(b + at, other->data + draw(other->size - k + 1), k);
		return at + k > n ? at + k : n;
	}
}

static void one_round(long i, int n_seed, const struct seed *seed)
{
	uint8_t *b = malloc(2 * SIZE_MAX_INPUT), *exact;
	const struct seed *s = &seed[i % n_seed];
	size_t n = s->size;
	state = (uint64_t)i * UINT64_C(0x9E3779B97F4A7C15) + 1;
	memcpy(b, s->data, n);
	if (i >= n_seed) /* first the seeds as they are */
		for (uint64_t k = 1 + draw(6); k; k--)
			n = change(b, n, &seed[draw((uint64_t)n_seed)]);
	exact = malloc(n ? n : 1); /* so that a sanitizer sees reads beyond the end */
	memcpy(exact, b, n);
	free(b);
	round_now = i;
	LLVMFuzzerTestOneInput(exact, n);
	free(exact);
}

int main(int argc, char **argv)
{
	bool single = argc > 3 && !strcmp(argv[1], "--round");
	int first = single ? 3 : 1, n = argc - first;
	struct seed *seed = calloc((size_t)(n > 0 ? n : 1), sizeof *seed);
	double start = now();
	long i = single ? atol(argv[2]) : 0;
	MUST(n > 0 && seed);
	for (int k = 0; k < n; k++)
		seed[k] = load(argv[first + k]);
	signal(SIGSEGV, on_crash);
	signal(SIGABRT, on_crash);
	signal(SIGFPE, on_crash);
	signal(SIGBUS, on_crash);
	do {
		one_round(i++, n, seed);
	} while (!single && (i < n || now() - start < SECONDS));
	printf("%ld rounds\n", i);
	for (int k = 0; k < n; k++)
		free(seed[k].data);
	free(seed);
	return 0;
}
