/* SPDX-License-Identifier: MIT
 *
 * cuda.cu: the cuda backend's table: whether a device is there and why not, its memory,
 * and the way into scheduling, compiling and running. Opening the plugin runs nothing of
 * CUDA; probe() asks the driver, open() makes a context.
 */
#include <stdlib.h>

#include "cuda.h"

#define MIB(n) ((double)(n) / (1 << 20))

static const char *const math_choices[] = { "fp32", "tf32", "bf16", NULL };
static const char *const loop_choices[] = { "auto", "device", "host", NULL };
static const char *const fuse_choices[] = { "auto", "nvrtc", "interpreter", "none", NULL };

static const struct rein_key cuda_keys[] = {
	{ "device", "0", "number of the device, as nvidia-smi counts", REIN_KEY_INT, 0,
	  offsetof(struct cuda, device_key), 0, 0, 1023, NULL, NULL },
	{ "math", "fp32", "matrix products in fp32, or with inputs rounded to tf32 or bf16 for tensor cores",
	  REIN_KEY_ENUM, 0, offsetof(struct cuda, math_key), 0, 0, 0, math_choices, NULL },
	{ "loops", "auto", "loops inside of the graph (device) or replayed by the host, a round at a time; auto: "
	  "device where the driver can", REIN_KEY_ENUM, 0, offsetof(struct cuda, loops_key), 0, 0, 0, loop_choices, NULL },
	{ "fuse", "auto", "elementwise chains compiled by NVRTC, run by an interpreting kernel, or not made; auto: "
	  "nvrtc where it is found", REIN_KEY_ENUM, 0, offsetof(struct cuda, fuse_key), 0, 0, 0, fuse_choices, NULL },
	{ NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, NULL, NULL },
};

rein_status cuda_failed(const struct rein_host *host, const char *what, cudaError_t e)
{
	cudaGetLastError(); /* said now; sticky errors come back */
	return rein_failf(host, "%s: %s (%s)", what, cudaGetErrorString(e), cudaGetErrorName(e));
}

/* --- the device ---------------------------------------------------------------------------- */
static void version(int v, char *out, size_t size) { snprintf(out, size, "%d.%d", v / 1000, v % 1000 / 10); }

/* Names of the devices there are, for a message. */
static void devices(int n, char *out, size_t size)
{
	size_t used = 0;
	for (int d = 0; d < n && used < size; d++) {
		struct cudaDeviceProp prop;
		if (cudaGetDeviceProperties(&prop, d) == cudaSuccess)
			used += (size_t)snprintf(out + used, size - used, "%s%d %s", d ? ", " : "", d, prop.name);
	}
}

/* A device to use, or the reason why there is none. */
static rein_status find_device(const struct cuda *cuda, const struct rein_host *host, int asked, int *device)
{
	int driver = 0, runtime = 0, n = 0;
	char has[16], needs[16], list[512] = "";
	(void)cuda;
	cudaDriverGetVersion(&driver);
	cudaRuntimeGetVersion(&runtime);
	if (driver == 0)
		return rein_failf(host, "no NVIDIA driver is installed (libcuda.so.1 was not found)"), REIN_UNSUPPORTED;
	cudaError_t e = cudaGetDeviceCount(&n);
	cudaGetLastError();
	version(driver, has, sizeof has);
	version(runtime, needs, sizeof needs);
	if (e == cudaErrorInsufficientDriver)
		return rein_failf(host, "the NVIDIA driver is too old: it knows CUDA %s, this build needs %s", has, needs),
		       REIN_UNSUPPORTED;
	if (e == cudaErrorNoDevice || (e == cudaSuccess && n == 0))
		return rein_failf(host, "the NVIDIA driver is there (CUDA %s), but it finds no device", has), REIN_UNSUPPORTED;
	if (e != cudaSuccess)
		return cuda_failed(host, "the NVIDIA driver does not answer", e), REIN_UNSUPPORTED;
	if (asked >= n) {
		devices(n, list, sizeof list);
		return rein_failf(host, "there is no device %d; there %s: %s", asked, n == 1 ? "is" : "are", list),
		       REIN_UNSUPPORTED;
	}
	*device = asked;
	return REIN_OK;
}

static rein_status cuda_probe(void *self, const struct rein_host *host, struct rein_device *d)
{
	struct cuda *cuda = (struct cuda *)self;
	struct cudaDeviceProp prop;
	int device = 0, driver = 0;
	char has[16];
	rein_status s = find_device(cuda, host, (int)cuda->device_key, &device);
	if (s < 0)
		return s;
	cudaError_t e = cudaGetDeviceProperties(&prop, device);
	if (e != cudaSuccess)
		return cuda_failed(host, "the device does not answer", e), REIN_UNSUPPORTED;
	if (prop.major < 8)
		return rein_failf(host, "device %d (%s) has compute capability %d.%d; 8.0 or later is needed", device, prop.name,
		                  prop.major, prop.minor),
		       REIN_UNSUPPORTED;
	cudaDriverGetVersion(&driver);
	version(driver, has, sizeof has);
	d->threads = (uint32_t)prop.multiProcessorCount;
	d->memory = d->memory_free = prop.totalGlobalMem;
	size_t free = 0, total = 0;
	d->memory_held = cuda->planned;
	if (cuda->stream && cudaMemGetInfo(&free, &total) == cudaSuccess) /* would make a context */
		d->memory_free = free;
	snprintf(d->name, sizeof d->name, "%.127s", prop.name);
	snprintf(d->detail, sizeof d->detail, "device %d, sm_%d%d, %d multiprocessors, %.1f GiB, CUDA %s", device, prop.major,
	         prop.minor, prop.multiProcessorCount, MIB(prop.totalGlobalMem) / 1024, has);
	return REIN_OK;
}

static rein_status cuda_open(void *self, const struct rein_host *host, const struct rein_backend_options *o)
{
	struct cuda *cuda = (struct cuda *)self;
	int asked = o->device >= 0 ? o->device : (int)cuda->device_key, major = 0, minor = 0, driver = 0;
	cuda->host = host;
	cuda->flags = o->flags;
	rein_status s = find_device(cuda, host, asked, &cuda->device);
	if (s < 0)
		return REIN_ERROR;
	cudaError_t e = cudaSetDevice(cuda->device);
	if (e == cudaSuccess)
		e = cudaStreamCreateWithFlags(&cuda->stream, cudaStreamNonBlocking);
	if (e != cudaSuccess)
		return cuda_failed(host, "the device cannot be used", e);
	cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, cuda->device);
	cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, cuda->device);
	cudaDeviceGetAttribute(&cuda->n_sm, cudaDevAttrMultiProcessorCount, cuda->device);
	cuda->sm = 10 * major + minor;
	cudaDriverGetVersion(&driver);
	cuda->conditional = driver >= 12040 && strcmp(loop_choices[cuda->loops_key], "host") != 0;
	if (!cuda->conditional && !strcmp(loop_choices[cuda->loops_key], "device"))
		return rein_failf(host, "loops=device needs a driver for CUDA 12.4 or later; this one knows %d.%d", driver / 1000,
		                  driver % 1000 / 10);
	return REIN_OK;
}

/* --- memory ----------------------------------------------------------------------------------- */
static rein_status hold(struct cuda *cuda, const struct rein_host *host, void *at, uint64_t bytes)
{
	if (cuda->n_held == cuda->cap_held) {
		int cap = cuda->cap_held ? 2 * cuda->cap_held : 64;
		struct cuda_allocation *more =
			static_cast<struct cuda_allocation *>(host->alloc(host, (uint64_t)cap * sizeof *more));
		if (!more)
			return REIN_ERROR;
		if (cuda->n_held)
			memcpy(more, cuda->held, (size_t)cuda->n_held * sizeof *more);
		host->free(host, cuda->held);
		cuda->held = more;
		cuda->cap_held = cap;
	}
	cuda->held[cuda->n_held].at = at;
	cuda->held[cuda->n_held++].bytes = bytes;
	cuda->planned += bytes;
	return REIN_OK;
}

void *cuda_take(struct cuda *cuda, const struct rein_host *host, uint64_t bytes, const char *what)
{
	void *at = NULL;
	size_t free = 0, total = 0;
	cudaError_t e = cudaMalloc(&at, bytes ? bytes : 1);
	if (e == cudaSuccess) {
		if (hold(cuda, host, at, bytes) >= 0)
			return at;
		cudaFree(at);
		return NULL;
	}
	cudaGetLastError();
	if (e != cudaErrorMemoryAllocation) {
		cuda_failed(host, "device memory", e);
		return NULL;
	}
	cudaMemGetInfo(&free, &total);
	rein_failf(host,
	           "out of device memory: %llu bytes (%.1f MiB) asked for %s, %.1f MiB free of %.1f MiB on device %d, "
	           "%.1f MiB planned and held before",
	           (unsigned long long)bytes, MIB(bytes), what, MIB(free), MIB(total), cuda->device, MIB(cuda->planned));
	return NULL;
}

void cuda_give(struct cuda *cuda, void *at)
{
	if (!at)
		return;
	for (int k = 0; k < cuda->n_held; k++) {
		if (cuda->held[k].at != at)
			continue;
		cuda->planned -= cuda->held[k].bytes;
		cuda->held[k] = cuda->held[--cuda->n_held];
		break;
	}
	cudaFree(at);
	cudaGetLastError();
}

static void *cuda_alloc(void *self, const struct rein_host *host, uint64_t bytes)
{
	struct cuda *cuda = (struct cuda *)self;
	void *at = cuda_take(cuda, host, bytes, "a state");
	cudaError_t e = at ? cudaMemset(at, 0, bytes ? bytes : 1) : cudaSuccess;
	if (e == cudaSuccess)
		return at;
	cuda_failed(host, "device memory cannot be cleared", e);
	cuda_give(cuda, at);
	return NULL;
}

static void cuda_free(void *self, void *mem) { cuda_give((struct cuda *)self, mem); }

static rein_status move(struct cuda *cuda, void *to, const void *from, uint64_t bytes, enum cudaMemcpyKind kind)
{
	/* on the stream, so that it comes after what runs there */
	cudaError_t e = bytes ? cudaMemcpyAsync(to, from, bytes, kind, cuda->stream) : cudaSuccess;
	if (e == cudaSuccess)
		e = cudaStreamSynchronize(cuda->stream);
	if (e == cudaSuccess)
		return REIN_OK;
	return cuda_failed(cuda->host, kind == cudaMemcpyHostToDevice ? "copying to the device" : "copying from the device", e);
}

static rein_status cuda_upload(void *self, void *device, const void *from, uint64_t bytes)
{
	return move((struct cuda *)self, device, from, bytes, cudaMemcpyHostToDevice);
}

static rein_status cuda_download(void *self, void *to, const void *device, uint64_t bytes)
{
	return move((struct cuda *)self, to, device, bytes, cudaMemcpyDeviceToHost);
}

/* --- copies beside what runs: from memory that stays where it is, on a stream of their own ----- */
static void *cuda_host_alloc(void *self, const struct rein_host *host, uint64_t bytes)
{
	void *at = NULL;
	cudaError_t e = cudaMallocHost(&at, bytes ? bytes : 1);
	(void)self;
	if (e == cudaSuccess)
		return at;
	cudaGetLastError();
	rein_failf(host, "%.1f MiB of the host's memory cannot be pinned: %s", MIB(bytes), cudaGetErrorString(e));
	return NULL;
}

static void cuda_host_free(void *self, void *mem)
{
	(void)self;
	if (mem)
		cudaFreeHost(mem);
}

static rein_status cuda_upload_begin(void *self, void *device, const void *from, uint64_t bytes)
{
	struct cuda *cuda = (struct cuda *)self;
	cudaError_t e = cuda->copier ? cudaSuccess : cudaStreamCreateWithFlags(&cuda->copier, cudaStreamNonBlocking);
	if (e == cudaSuccess && bytes)
		e = cudaMemcpyAsync(device, from, bytes, cudaMemcpyHostToDevice, cuda->copier);
	return e == cudaSuccess ? REIN_OK : cuda_failed(cuda->host, "copying to the device", e);
}

static rein_status cuda_upload_end(void *self)
{
	struct cuda *cuda = (struct cuda *)self;
	cudaError_t e = cuda->copier ? cudaStreamSynchronize(cuda->copier) : cudaSuccess;
	return e == cudaSuccess ? REIN_OK : cuda_failed(cuda->host, "copying to the device", e);
}

/* --- programs ------------------------------------------------------------------------------------ */
static int32_t supports(void *self, const struct rein_program *p, const struct rein_prog_instr *i)
{
	(void)self;
	return cuda_supports(p, i);
}

static rein_status schedule(void *self, const struct rein_host *host, const struct rein_program *p,
                            struct rein_plan *plan)
{
	return cuda_schedule((struct cuda *)self, host, p, plan);
}

static rein_status grow_arena(struct cuda *cuda, const struct rein_host *host, const struct rein_program *p,
                              int64_t bytes)
{
	char what[160];
	if (cuda->arena && bytes <= cuda->arena_bytes)
		return REIN_OK;
	snprintf(what, sizeof what, "the arena of program %s", p->name);
	cuda_give(cuda, cuda->arena); /* executables notice that it moved */
	cuda->arena = NULL;
	cuda->arena_bytes = 0;
	cuda->arena = static_cast<unsigned char *>(cuda_take(cuda, host, (uint64_t)bytes, what));
	if (!cuda->arena)
		return REIN_ERROR;
	cuda->arena_bytes = bytes;
	return REIN_OK;
}

static rein_status compile(void *self, const struct rein_host *host, const struct rein_program *p,
                           const struct rein_plan *plan, struct rein_exec **out)
{
	struct cuda *cuda = (struct cuda *)self;
	*out = NULL;
	rein_status s = grow_arena(cuda, host, p, plan->arena_bytes);
	if (s >= 0)
		s = cuda_exec_create(cuda, p, plan, 0, out);
	if (s >= 0)
		s = cuda_exec_emit(*out, cuda->arena);
	if (s >= 0 && !(cuda->flags & REIN_GUARD))
		s = cuda_exec_capture(*out);
	if (s < 0) {
		cuda_exec_destroy(*out);
		*out = NULL;
	}
	return s;
}

static void destroy_exec(void *self, struct rein_exec *e)
{
	struct cuda *cuda = (struct cuda *)self;
	if (e && cuda->stream)
		cudaStreamSynchronize(cuda->stream);
	cuda_exec_destroy(e);
}

rein_status cuda_exec_wait(struct rein_exec *e)
{
	char what[200];
	cudaError_t error = cudaStreamSynchronize(e->cuda->stream);
	if (error == cudaSuccess)
		return REIN_OK;
	snprintf(what, sizeof what, "device %d failed while program %s ran and cannot be used any more", e->cuda->device,
	         e->program->name);
	return cuda_failed(e->host, what, error);
}

static rein_status run(void *self, const struct rein_host *host, struct rein_exec *e, uint32_t times)
{
	struct cuda *cuda = (struct cuda *)self;
	rein_status s = REIN_OK;
	(void)host;
	if (e->base != cuda->arena) { /* a later program made it larger */
		s = cuda_exec_emit(e, cuda->arena);
		if (s >= 0 && !(cuda->flags & REIN_GUARD))
			s = cuda_exec_capture(e);
	}
	uint64_t before = cuda->launches;
	for (uint32_t t = 0; t < times && s >= 0; t++)
		s = e->timing ? cuda_time_run(e) : cuda_exec_replay(e);
	e->runs += times;
	e->launches += cuda->launches - before;
	return s < 0 ? s : cuda_exec_wait(e);
}

static double seconds(void *self, struct rein_exec *e, uint32_t kernel)
{
	(void)self;
	return cuda_time_of(e, kernel);
}

static void profile(void *self, struct rein_exec *e, struct rein_profile *p)
{
	(void)self;
	cuda_profile(e, p);
}

static void *output(void *self, struct rein_exec *e, uint32_t i)
{
	(void)self;
	return i < e->program->n_output ? e->mem[e->program->output[i]] : NULL;
}

/* Names of the launches a plan kernel became, each with its place in the order of execution. */
static void explain(void *self, struct rein_exec *e, uint32_t kernel, char *buf, uint64_t size)
{
	size_t used = 0;
	(void)self;
	if (size)
		buf[0] = 0;
	for (int k = 0; k < e->n_item && used + 1 < size; k++) {
		const struct cuda_item *i = &e->item[k];
		if (i->kernel != e->launch[kernel])
			continue;
		int n = i->kind != CUDA_LAUNCH ?
			snprintf(buf + used, size - used, "%s#%d %s", used ? ", " : "", k, i->name) :
			i->kernel != (int32_t)kernel ?
			snprintf(buf + used, size - used, "%sin #%d", used ? ", " : "", k) :
			snprintf(buf + used, size - used, "%s#%d %s %ux%u", used ? ", " : "", k, i->name,
			         i->grid.x * i->grid.y * i->grid.z, i->block.x * i->block.y * i->block.z);
		used += n > 0 ? (size_t)n : 0;
	}
}

static void destroy(void *self, const struct rein_host *host)
{
	struct cuda *cuda = (struct cuda *)self;
	cuda_library_close(cuda);
	cuda_give(cuda, cuda->arena);
	for (int k = 0; k < CUDA_MAX_DEPTH; k++)
		if (cuda->inner[k])
			cudaStreamDestroy(cuda->inner[k]);
	if (cuda->stream)
		cudaStreamDestroy(cuda->stream);
	if (cuda->copier)
		cudaStreamDestroy(cuda->copier);
	cuda->copier = NULL;
	host->free(host, cuda->held);
	cuda->held = NULL;
	cuda->stream = NULL;
	cuda->arena = NULL;
}

/* C++ wants the members in the order they were declared in. */
static const struct rein_backend_vt cuda_vt = {
	sizeof cuda_vt, 0,       cuda_probe, cuda_open, cuda_alloc,   cuda_free, cuda_upload, cuda_download,
	supports,       schedule, compile,   destroy_exec, run,    output,      explain,   seconds,
	cuda_host_alloc, cuda_host_free, cuda_upload_begin, cuda_upload_end, profile,
};
static const struct rein_component cuda_component = {
	sizeof cuda_component,
	REIN_BACKEND,
	REIN_ON_CUDA,
	sizeof(struct cuda),
	sizeof(struct rein_key),
	0,
	"cuda",
	"runs programs on an NVIDIA GPU, each as one CUDA graph",
	"kernels: docs/numerics.md; CUDA C++ Programming Guide; random numbers: Salmon et al., SC 2011",
	cuda_keys,
	NULL,
	&cuda_vt,
	NULL,
	destroy,
};

extern "C" {
REIN_PLUGIN("cuda", "1.0.0", "MIT", &cuda_component)
}
