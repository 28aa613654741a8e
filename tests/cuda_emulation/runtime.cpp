/* SPDX-License-Identifier: MIT
 *
 * runtime.cpp: the emulated CUDA runtime. Work on a stream is done at once, or becomes a
 * node of the graph that the stream is captured into; a graph is a list of nodes in order.
 * Copies from pinned memory to the device wait until somebody waits for them.
 * The environment makes it misbehave, for tests of what a backend does then:
 *   EMULATION_FAIL=malloc:3    the third call of that name fails: malloc, memcpy, stream (making
 *                              one), instantiate (a graph); launch, graph (launching one), sync:
 *                              sticky, the device is lost
 *   EMULATION_DRIVER=none|old|12030   no driver, one too old for the runtime, a version
 *   EMULATION_DEVICES=2        number of devices
 *   EMULATION_MEMORY=1000000   bytes of device memory (memory.cpp)
 * and says how often it was called:
 *   EMULATION_COUNT=FILE       at the end: a line for each of the names above, `graph 60`
 */
#include <deque>
#include <map>
#include <mutex>
#include <stdio.h>
#include <stdlib.h>
#include <vector>

#include "machine.h"

struct emulation_node {
	std::function<void()> run;
	struct emulation_graph *body; /* of a loop */
	cudaGraphConditionalHandle handle;
};
struct emulation_graph {
	std::deque<struct emulation_node *> node;
	std::vector<std::pair<unsigned, bool>> *unused;
	bool child; /* owned by a node */
};
struct emulation_stream {
	struct emulation_graph *capture; /* being captured into, or NULL */
	bool own;                        /* made by BeginCapture */
	const struct emulation_node *last[1];
	std::deque<std::function<void()>> late; /* copies that wait until somebody waits for them */
};
struct condition {
	unsigned value, first;
	bool reset;
};
static std::deque<struct condition> conditions(1);
static cudaError_t sticky;
static thread_local cudaError_t last;

/* --- misbehaving ------------------------------------------------------------------------------ */
static std::map<std::string, int> *calls;

static void write_calls(void)
{
	FILE *f = fopen(getenv("EMULATION_COUNT"), "w");
	for (auto &c : *calls)
		if (f)
			fprintf(f, "%s %d\n", c.first.c_str(), c.second);
	if (f)
		fclose(f);
}

static cudaError_t fails(const char *what)
{
	static std::mutex lock;
	std::lock_guard<std::mutex> hold(lock);
	if (sticky)
		return sticky;
	if (!calls) {
		calls = new std::map<std::string, int>();
		if (getenv("EMULATION_COUNT"))
			atexit(write_calls);
	}
	const char *plan = getenv("EMULATION_FAIL");
	size_t n = strlen(what);
	int k = ++(*calls)[what];
	for (const char *s = plan; s && *s; s = strchr(s, ',') ? strchr(s, ',') + 1 : NULL) {
		if (strncmp(s, what, n) || s[n] != ':' || atoi(s + n + 1) != k)
			continue;
		if (!strcmp(what, "malloc"))
			return cudaErrorMemoryAllocation;
		if (!strcmp(what, "launch") || !strcmp(what, "graph") || !strcmp(what, "sync"))
			sticky = cudaErrorLaunchFailure;
		return cudaErrorLaunchFailure;
	}
	return cudaSuccess;
}
static cudaError_t result(cudaError_t e)
{
	if (e)
		last = e;
	return e;
}
static int driver(void)
{
	const char *s = getenv("EMULATION_DRIVER");
	return !s ? 13000 : !strcmp(s, "none") ? 0 : !strcmp(s, "old") ? 11000 : atoi(s);
}
static cudaError_t usable(void)
{
	return driver() == 0 ? cudaErrorInsufficientDriver : driver() < 12000 ? cudaErrorInsufficientDriver : cudaSuccess;
}

const char *cudaGetErrorName(cudaError_t e)
{
	switch (e) {
	case cudaSuccess: return "cudaSuccess";
	case cudaErrorInvalidValue: return "cudaErrorInvalidValue";
	case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
	case cudaErrorInsufficientDriver: return "cudaErrorInsufficientDriver";
	case cudaErrorNoDevice: return "cudaErrorNoDevice";
	case cudaErrorInvalidDevice: return "cudaErrorInvalidDevice";
	case cudaErrorLaunchFailure: return "cudaErrorLaunchFailure";
	case cudaErrorNotSupported: return "cudaErrorNotSupported";
	default: return "cudaErrorUnknown";
	}
}
const char *cudaGetErrorString(cudaError_t e)
{
	switch (e) {
	case cudaErrorInvalidValue: return "invalid argument";
	case cudaErrorMemoryAllocation: return "out of memory";
	case cudaErrorInsufficientDriver: return "CUDA driver version is insufficient for CUDA runtime version";
	case cudaErrorNoDevice: return "no CUDA-capable device is detected";
	case cudaErrorInvalidDevice: return "invalid device ordinal";
	case cudaErrorLaunchFailure: return "unspecified launch failure";
	default: return "an error";
	}
}
cudaError_t cudaGetLastError(void)
{
	cudaError_t e = last;
	last = cudaSuccess;
	return e;
}

/* --- devices ---------------------------------------------------------------------------------- */
cudaError_t cudaDriverGetVersion(int *v) { return *v = driver(), cudaSuccess; }
cudaError_t cudaRuntimeGetVersion(int *v) { return *v = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaGetDeviceCount(int *n)
{
	const char *s = getenv("EMULATION_DEVICES");
	*n = 0;
	if (usable())
		return result(usable());
	*n = s ? atoi(s) : 1;
	return result(*n ? cudaSuccess : cudaErrorNoDevice);
}
cudaError_t cudaSetDevice(int d)
{
	int n;
	cudaError_t e = cudaGetDeviceCount(&n);
	return result(e ? e : d < 0 || d >= n ? cudaErrorInvalidDevice : sticky);
}
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *p, int d)
{
	(void)d;
	*p = cudaDeviceProp();
	snprintf(p->name, sizeof p->name, "CUDA emulation");
	p->major = 9, p->minor = 0;
	p->multiProcessorCount = 2;
	p->sharedMemPerBlock = 48 << 10;
	size_t free;
	return cudaMemGetInfo(&free, &p->totalGlobalMem);
}
cudaError_t cudaDeviceGetAttribute(int *v, enum cudaDeviceAttr a, int d)
{
	(void)d;
	*v = a == cudaDevAttrMultiProcessorCount ? 2 : a == cudaDevAttrComputeCapabilityMajor ? 9 :
		a == cudaDevAttrMaxSharedMemoryPerBlockOptin ? 227 << 10 : 0;
	return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize(void) { return result(sticky); }

/* --- memory ------------------------------------------------------------------------------------- */
cudaError_t cudaMemGetInfo(size_t *free, size_t *total)
{
	const char *s = getenv("EMULATION_MEMORY");
	*total = s ? strtoull(s, NULL, 0) : (size_t)1 << 30;
	*free = *total > memory_used() ? *total - memory_used() : 0;
	return result(usable() ? usable() : sticky);
}
cudaError_t cudaMalloc(void **p, size_t bytes)
{
	cudaError_t e = usable() ? usable() : fails("malloc");
	*p = e ? NULL : memory_take(bytes);
	return result(e ? e : *p ? cudaSuccess : cudaErrorMemoryAllocation);
}
cudaError_t cudaFree(void *p)
{
	if (p && !memory_give(p))
		emulation_abort("cudaFree of an address that cudaMalloc never gave");
	return result(sticky);
}
static std::map<const char *, size_t> pinned;
cudaError_t cudaMallocHost(void **p, size_t bytes)
{
	*p = malloc(bytes ? bytes : 1);
	if (*p)
		pinned[(const char *)*p] = bytes;
	return result(*p ? cudaSuccess : cudaErrorMemoryAllocation);
}
cudaError_t cudaFreeHost(void *p)
{
	pinned.erase((const char *)p);
	return free(p), cudaSuccess;
}
static bool is_pinned(const void *p)
{
	auto i = pinned.upper_bound((const char *)p);
	return i != pinned.begin() && (const char *)p < std::prev(i)->first + std::prev(i)->second;
}

static void check_side(const char *what, const void *p, size_t bytes, bool device)
{
	if (bytes && device != memory_has(p, bytes))
		emulation_abort("%s: %zu bytes at %p are %s", what, bytes, p, device ? "no device memory" : "device memory");
}
static void copy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
	check_side("copy to", to, bytes, kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice);
	check_side("copy from", from, bytes, kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice);
	memory_open();
	memcpy(to, from, bytes);
	memory_close();
}

/* What was put off on a stream happens, in order. */
static void catch_up(cudaStream_t s)
{
	while (s && !s->late.empty()) {
		std::function<void()> f = s->late.front();
		s->late.pop_front();
		f();
	}
}

cudaError_t emulation_enqueue(cudaStream_t s, std::function<void()> f)
{
	if (s && s->capture) {
		s->capture->node.push_back(new emulation_node{ f, NULL, 0 });
		return cudaSuccess;
	}
	catch_up(s);
	f();
	return cudaSuccess;
}

bool emulation_in_loop(cudaStream_t s) { return s && s->capture && s->capture->child; }

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
	cudaError_t e = fails("memcpy");
	if (!e)
		copy(to, from, bytes, kind);
	return result(e);
}
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t s)
{
	cudaError_t e = fails("memcpy");
	/* From pinned memory as late as CUDA may do it: a reader that does not wait finds what was there before, and
	 * one that writes to `from` too early spoils the copy. Other memory is read at once. */
	if (!e && s && !s->capture && kind == cudaMemcpyHostToDevice && is_pinned(from)) {
		s->late.push_back([=] { copy(to, from, bytes, kind); });
		return result(cudaSuccess);
	}
	return result(e ? e : emulation_enqueue(s, [=] { copy(to, from, bytes, kind); }));
}
static void fill(void *to, int byte, size_t bytes)
{
	check_side("fill", to, bytes, true);
	memory_open();
	memset(to, byte, bytes);
	memory_close();
}
cudaError_t cudaMemset(void *to, int byte, size_t bytes) { return fill(to, byte, bytes), result(sticky); }
cudaError_t cudaMemsetAsync(void *to, int byte, size_t bytes, cudaStream_t s)
{
	return result(sticky ? sticky : emulation_enqueue(s, [=] { fill(to, byte, bytes); }));
}

/* --- streams, kernels ------------------------------------------------------------------------------- */
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned flags)
{
	(void)flags;
	cudaError_t e = usable() ? usable() : fails("stream");
	*s = e ? NULL : new emulation_stream();
	return result(e);
}
cudaError_t cudaStreamDestroy(cudaStream_t s) { return catch_up(s), delete s, cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t s)
{
	if (s && s->capture)
		return result(cudaErrorStreamCaptureUnsupported);
	catch_up(s);
	memory_check("synchronize");
	return result(fails("sync"));
}
cudaError_t cudaFuncSetAttribute(const void *fn, enum cudaFuncAttribute a, int v)
{
	(void)fn, (void)a;
	return result(v > 227 << 10 ? cudaErrorInvalidValue : cudaSuccess);
}

cudaError_t cudaLaunchKernel(const void *fn, dim3 grid, dim3 block, void **args, size_t shared, cudaStream_t s)
{
	size_t threads = (size_t)block.x * block.y * block.z;
	cudaError_t e = fails("launch");
	if (e)
		return result(e);
	if (!threads || threads > 1024 || !grid.x || !grid.y || !grid.z || grid.y > 65535 || grid.z > 65535 ||
	    block.z > 64 || shared > 227 << 10)
		return result(cudaErrorInvalidValue);
	const std::vector<size_t> *size = machine_parameters(fn);
	if (!size)
		emulation_abort("a kernel is launched whose parameters are not known");
	/* the arguments are taken now, as CUDA does */
	std::vector<std::vector<float4>> held;
	for (size_t k = 0; k < size->size(); k++) {
		held.emplace_back(((*size)[k] + 15) / 16);
		memcpy(held.back().data(), args[k], (*size)[k]);
	}
	return result(emulation_enqueue(s, [=]() mutable {
		std::vector<void *> arg;
		for (auto &h : held)
			arg.push_back(h.data());
		memory_open();
		machine_run(fn, grid, block, arg.data(), shared);
		memory_close();
	}));
}

/* --- graphs ------------------------------------------------------------------------------------------- */
cudaError_t cudaStreamBeginCapture(cudaStream_t s, enum cudaStreamCaptureMode mode)
{
	(void)mode;
	if (!s || s->capture)
		return result(cudaErrorInvalidValue);
	s->capture = new emulation_graph();
	s->own = true;
	return result(sticky);
}
cudaError_t cudaStreamBeginCaptureToGraph(cudaStream_t s, cudaGraph_t g, const cudaGraphNode_t *deps,
                                          const struct cudaGraphEdgeData *edge, size_t n, enum cudaStreamCaptureMode mode)
{
	(void)deps, (void)edge, (void)n, (void)mode;
	if (!s || s->capture || !g)
		return result(cudaErrorInvalidValue);
	s->capture = g;
	s->own = false;
	return result(sticky);
}
cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *g)
{
	if (!s || !s->capture)
		return result(cudaErrorInvalidValue);
	if (g)
		*g = s->capture;
	s->capture = NULL;
	return result(sticky);
}
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t s, enum cudaStreamCaptureStatus *status, unsigned long long *id,
                                     cudaGraph_t *g, const cudaGraphNode_t **deps,
                                     const struct cudaGraphEdgeData **edge, size_t *n)
{
	*status = s->capture ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
	if (id)
		*id = 1;
	if (edge)
		*edge = NULL;
	if (!s->capture)
		return cudaSuccess;
	*g = s->capture;
	*n = s->capture->node.empty() ? 0 : 1;
	s->last[0] = *n ? s->capture->node.back() : NULL;
	*deps = const_cast<cudaGraphNode_t *>(s->last);
	return cudaSuccess;
}
cudaError_t cudaStreamUpdateCaptureDependencies(cudaStream_t s, cudaGraphNode_t *node,
                                                const struct cudaGraphEdgeData *edge, size_t n, unsigned flags)
{
	(void)edge, (void)flags;
	if (!s->capture || n != 1 || s->capture->node.empty() || s->capture->node.back() != node[0])
		emulation_abort("captured work would not come after the node that was added");
	return cudaSuccess;
}
cudaError_t cudaGraphConditionalHandleCreate(cudaGraphConditionalHandle *h, cudaGraph_t g, unsigned first, unsigned flags)
{
	(void)g;
	if (driver() < 12040)
		return result(cudaErrorNotSupported);
	*h = conditions.size();
	conditions.push_back({ first, first, flags == cudaGraphCondAssignDefault });
	return cudaSuccess;
}
void cudaGraphSetConditional(cudaGraphConditionalHandle h, unsigned value) { conditions.at(h).value = value; }

static void run_graph(const struct emulation_graph *g)
{
	for (struct emulation_node *n : g->node) {
		if (!n->body) {
			n->run();
			continue;
		}
		for (int rounds = 0; conditions.at(n->handle).value; rounds++) {
			run_graph(n->body);
			if (rounds > 1000000)
				emulation_abort("a loop in a graph does not end");
		}
	}
}
static void reset(const struct emulation_graph *g)
{
	for (struct emulation_node *n : g->node)
		if (n->body) {
			struct condition *c = &conditions.at(n->handle);
			if (c->reset)
				c->value = c->first;
			reset(n->body);
		}
}
cudaError_t cudaGraphAddNode(cudaGraphNode_t *node, cudaGraph_t g, const cudaGraphNode_t *deps,
                             const struct cudaGraphEdgeData *edge, size_t n, struct cudaGraphNodeParams *p)
{
	(void)edge;
	if (p->type != cudaGraphNodeTypeConditional || p->conditional.type != cudaGraphCondTypeWhile ||
	    p->conditional.size != 1)
		return result(cudaErrorInvalidValue);
	if (n ? g->node.empty() || deps[0] != g->node.back() : !g->node.empty())
		emulation_abort("a loop that does not come after what was captured before it");
	struct emulation_node *c = new emulation_node();
	c->body = new emulation_graph();
	c->body->child = true;
	c->handle = p->conditional.handle;
	static thread_local cudaGraph_t out[1];
	out[0] = c->body;
	p->conditional.phGraph_out = out;
	g->node.push_back(c);
	*node = c;
	return cudaSuccess;
}
static void destroy(struct emulation_graph *g)
{
	for (struct emulation_node *n : g->node) {
		if (n->body)
			destroy(n->body);
		delete n;
	}
	delete g;
}
static struct emulation_graph *clone(const struct emulation_graph *g)
{
	struct emulation_graph *c = new emulation_graph();
	for (struct emulation_node *n : g->node) {
		struct emulation_node *m = new emulation_node(*n);
		if (n->body)
			m->body = clone(n->body);
		c->node.push_back(m);
	}
	return c;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *e, cudaGraph_t g, unsigned long long flags)
{
	(void)flags;
	cudaError_t failed = fails("instantiate");
	*e = failed ? NULL : clone(g);
	return result(failed);
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t e, cudaStream_t s)
{
	cudaError_t failed = fails("graph");
	if (failed)
		return result(failed);
	return result(emulation_enqueue(s, [=] {
		memory_open(); /* once for all nodes: opening costs more than most of them */
		reset(e);
		run_graph(e);
		memory_close();
	}));
}
cudaError_t cudaGraphDestroy(cudaGraph_t g) { return destroy(g), cudaSuccess; }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t e) { return destroy(e), cudaSuccess; }
cudaError_t cudaGraphGetNodes(cudaGraph_t g, cudaGraphNode_t *nodes, size_t *n)
{
	for (size_t k = 0; nodes && k < *n && k < g->node.size(); k++)
		nodes[k] = g->node[k];
	*n = g->node.size();
	return cudaSuccess;
}
