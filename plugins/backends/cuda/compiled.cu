/* SPDX-License-Identifier: MIT
 *
 * compiled.cu: kernels compiled at run time. A text is compiled by NVRTC once per device
 * architecture, toolkit version and options; the result is kept in memory and in
 * $XDG_CACHE_HOME/rein (or ~/.cache/rein), written under a temporary name and renamed. A
 * cache that cannot be read or written costs time, never an error. The file begins with its
 * key, so that a hash that two texts share is noticed, and a hash of the code: the driver takes
 * code without its length, and would read on behind a file that was cut off.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chain.h"
#include "library.h"

#define MAGIC "rein-cubin-2"

struct compiled_kernel {
	struct compiled_kernel *next;
	uint64_t hash[2];
	cudaLibrary_t library;
	const void *fn;
};

#define HASH_START { 0xCBF29CE484222325ull, 0x9E3779B97F4A7C15ull }
/* FNV-1a, two of them with different starts: 128 bits. */
static void mix(uint64_t hash[2], const char *s, size_t n)
{
	for (size_t k = 0; k < n; k++) {
		hash[0] = (hash[0] ^ (unsigned char)s[k]) * 0x100000001B3ull;
		hash[1] = (hash[1] ^ (unsigned char)s[n - 1 - k]) * 0x100000001B3ull;
	}
}

/* --- the cache on disk ------------------------------------------------------------------------- */
/* The host's environment is the user's choice of a place; nothing else of it is read. */
static bool cache_path(char *out, size_t size, const uint64_t hash[2], bool make)
{
	const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	char dir[900];
	if (xdg && xdg[0] == '/')
		snprintf(dir, sizeof dir, "%s", xdg);
	else if (home && home[0] == '/')
		snprintf(dir, sizeof dir, "%s/.cache", home);
	else
		return false;
	if (make)
		mkdir(dir, 0700);
	size_t n = strlen(dir);
	snprintf(dir + n, sizeof dir - n, "/rein");
	if (make && mkdir(dir, 0700) && errno != EEXIST)
		return false;
	struct stat st;
	/* code is run from here: only what the user alone can write is taken */
	if (lstat(dir, &st) || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022))
		return false;
	snprintf(out, size, "%s/%016llx%016llx.cubin", dir, (unsigned long long)hash[0], (unsigned long long)hash[1]);
	return true;
}

/* key, a zero, the hash of the code, the code */
#define HASH_BYTES (2 * sizeof(uint64_t))
static void hash_code(uint64_t hash[2], const char *code, size_t size)
{
	const uint64_t start[2] = HASH_START;
	memcpy(hash, start, HASH_BYTES);
	mix(hash, code, size);
}

/* The code behind the key, or NULL. */
static char *cache_read(const struct rein_host *host, const uint64_t hash[2], const char *key, size_t *size)
{
	char path[1024];
	struct stat st;
	char *all = NULL;
	if (!cache_path(path, sizeof path, hash, false))
		return NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return NULL;
	size_t n_key = strlen(key) + 1, head = n_key + HASH_BYTES;
	uint64_t sum[2] = { 0, 0 };
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022) ||
	    st.st_size <= (off_t)head || st.st_size > (off_t)(64 << 20) ||
	    !(all = static_cast<char *>(host->alloc(host, (uint64_t)st.st_size)))) {
		close(fd);
		return NULL;
	}
	ssize_t got = read(fd, all, (size_t)st.st_size);
	close(fd);
	bool good = got == st.st_size && !memcmp(all, key, n_key);
	if (good)
		hash_code(sum, all + head, (size_t)got - head);
	if (!good || memcmp(all + n_key, sum, HASH_BYTES)) {
		host->free(host, all);
		return NULL;
	}
	*size = (size_t)got - head;
	memmove(all, all + head, *size);
	return all;
}

static void cache_write(const uint64_t hash[2], const char *key, const char *code, size_t size)
{
	char path[1024], part[1100];
	if (!cache_path(path, sizeof path, hash, true))
		return;
	snprintf(part, sizeof part, "%s.%ld", path, (long)getpid());
	int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	size_t n_key = strlen(key) + 1;
	uint64_t sum[2];
	hash_code(sum, code, size);
	bool good = write(fd, key, n_key) == (ssize_t)n_key && write(fd, sum, HASH_BYTES) == (ssize_t)HASH_BYTES &&
		write(fd, code, size) == (ssize_t)size;
	good = close(fd) == 0 && good;
	if (!good || rename(part, path))
		unlink(part);
}

/* --- NVRTC --------------------------------------------------------------------------------------- */
static char *compile(const struct rein_host *host, const struct cuda_nvrtc *n, const char *text, const char *arch,
                     size_t *size, char *why, size_t why_size)
{
	/* 177, 550: functions of chain_math.h, variables of a plugin's kernel that this text does not need */
	const char *option[] = { arch, "--fmad=false", "--std=c++17", "--diag-suppress=177,550" };
	nvrtcProgram program = NULL;
	char *code = NULL;
	if (n->create(&program, text, "chain.cu", 0, NULL, NULL) != NVRTC_SUCCESS) {
		snprintf(why, why_size, "NVRTC could not be started");
		return NULL;
	}
	nvrtcResult r = n->compile(program, (int)(sizeof option / sizeof *option), option);
	if (r != NVRTC_SUCCESS) {
		size_t log_size = 0;
		n->log_size(program, &log_size);
		char *log = static_cast<char *>(host->alloc(host, log_size + 1));
		if (log)
			n->log(program, log);
		snprintf(why, why_size, "NVRTC did not accept a kernel: %s", log ? log : "");
		host->free(host, log);
	} else if (n->cubin_size(program, size) == NVRTC_SUCCESS && *size > 0 &&
	           (code = static_cast<char *>(host->alloc(host, *size)))) {
		n->cubin(program, code);
	} else {
		snprintf(why, why_size, "NVRTC made no code for %s", arch);
	}
	n->destroy(&program);
	return code;
}

static const void *load(struct compiled_kernel *k, const char *code, char *why, size_t size)
{
	cudaKernel_t kernel = NULL;
	cudaError_t e = cudaLibraryLoadData(&k->library, code, NULL, NULL, 0, NULL, NULL, 0);
	if (e == cudaSuccess) {
		e = cudaLibraryGetKernel(&kernel, k->library, "rein_chain");
		if (e != cudaSuccess)
			cudaLibraryUnload(k->library);
	}
	if (e != cudaSuccess)
		snprintf(why, size, "a compiled kernel could not be loaded: %s", cudaGetErrorString(e));
	cudaGetLastError();
	return e == cudaSuccess ? reinterpret_cast<const void *>(kernel) : NULL;
}

static const void *make(struct cuda *cuda, const struct rein_host *host, struct compiled_kernel *k, const char *text,
                        const char *key, const char *arch, char *why, size_t why_size)
{
	size_t size = 0;
	char *code = cache_read(host, k->hash, key, &size);
	if (code) {
		k->fn = load(k, code, why, why_size);
		host->free(host, code);
		if (k->fn)
			return k->fn;
		why[0] = 0; /* a damaged file: as if it were not there */
	}
	const struct cuda_nvrtc *n = cuda_nvrtc_get(cuda, host);
	code = n ? compile(host, n, text, arch, &size, why, why_size) : NULL;
	if (code)
		k->fn = load(k, code, why, why_size);
	if (k->fn)
		cache_write(k->hash, key, code, size);
	host->free(host, code);
	return k->fn;
}

const void *compiled_get(struct cuda *cuda, const struct rein_host *host, const char *text, char *why, size_t size)
{
	struct cuda_library *l = cuda_library_of(cuda, host);
	uint64_t hash[2] = HASH_START;
	int major = 0, minor = 0;
	char arch[40], key[160];
	why[0] = 0;
	if (!l)
		return NULL;
	const struct cuda_nvrtc *n = cuda_nvrtc_get(cuda, host);
	if (!n)
		return NULL;
	n->version(&major, &minor);
	snprintf(arch, sizeof arch, "--gpu-architecture=sm_%d", cuda->sm);
	mix(hash, text, strlen(text));
	snprintf(key, sizeof key, MAGIC " nvrtc %d.%d sm_%d fmad=false c++17 %zu bytes %016llx%016llx", major, minor, cuda->sm,
	         strlen(text), (unsigned long long)hash[0], (unsigned long long)hash[1]);
	mix(hash, key, strlen(key));
	for (struct compiled_kernel *k = l->compiled; k; k = k->next)
		if (k->hash[0] == hash[0] && k->hash[1] == hash[1])
			return k->fn;
	struct compiled_kernel *k = static_cast<struct compiled_kernel *>(host->alloc(host, sizeof *k));
	if (!k)
		return NULL;
	memcpy(k->hash, hash, sizeof hash);
	if (!make(cuda, host, k, text, key, arch, why, size)) {
		host->free(host, k);
		return NULL;
	}
	k->next = l->compiled;
	l->compiled = k;
	return k->fn;
}

void compiled_close(struct cuda *cuda)
{
	struct cuda_library *l = cuda->library;
	for (struct compiled_kernel *k = l->compiled, *next; k; k = next) {
		next = k->next;
		cudaLibraryUnload(k->library);
		cuda->host->free(cuda->host, k);
	}
	l->compiled = NULL;
}
