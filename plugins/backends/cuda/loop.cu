/* SPDX-License-Identifier: MIT
 *
 * loop.cu: REPEAT. The results' memory holds the carried values between rounds; the body
 * is an executable of its own, whose arena lies in the loop's workspace:
 *
 *   carry = start; round = 0; go = round < max && any(carry.active)
 *   while go: carry = body(round, carry, captured); round++; go = ...
 *
 * Two executors for the same items: a conditional node inside of the graph (drivers for
 * CUDA 12.4 and later), or the host, which replays the body's graph and reads `go` after
 * each round. What REIN_FREEZE and `active` do to carried values is recorded in the body.
 */
#include "cuda.h"

#define ALIGN(n) (((n) + 255) & ~(int64_t)255)

rein_status cuda_push_loop(struct cuda_build *, struct cuda_loop *);

struct control { /* at the start of the workspace */
	int32_t round, go;
};

struct cuda_loop {
	struct cuda *cuda;
	const struct rein_host *host;
	const struct rein_loop *l;
	struct rein_exec *body;
	struct control *control;   /* device */
	const uint8_t *active;     /* device, or NULL */
	int64_t rows;
	struct rein_exec *carry;   /* its items copy starting values into the carried ones */
	int32_t *go;               /* host, pinned: where the host reads control->go */
};

struct test_args {
	struct control *control;
	const uint8_t *active;
	int64_t rows;
	int32_t max, add; /* add: 0 before the first round, 1 after a round */
	cudaGraphConditionalHandle handle;
	int32_t in_graph;
};

/* One block. round += add; go = round < max and some row is active. */
__global__ void loop_test(struct test_args a)
{
	int found = a.active == NULL;
	for (int64_t k = threadIdx.x; k < a.rows && a.active; k += blockDim.x)
		found |= a.active[k];
	found = __syncthreads_or(found);
	if (threadIdx.x == 0) {
		int32_t round = (a.add ? a.control->round : 0) + a.add;
		int32_t go = found && round < a.max;
		a.control->round = round;
		a.control->go = go;
		if (a.in_graph)
			cudaGraphSetConditional(a.handle, (unsigned)go);
	}
}

/* Workspace: the control block, the body's arena, room for every carried value. */
int64_t cuda_loop_workspace(const struct rein_program *p, const struct rein_prog_instr *i, const struct rein_plan *body)
{
	int64_t bytes = 256 + ALIGN(body->arena_bytes);
	for (uint32_t k = 0; k < i->n_out; k++)
		bytes += ALIGN(cuda_bytes_of(p, i->out[k]));
	return bytes;
}

/* Where the body left new value k: staged if it is (part of) a carried value, since those are
 * about to be overwritten. */
static rein_status new_value(struct cuda_build *b, const struct rein_prog_instr *i, struct rein_exec *body, uint32_t k,
                             void *stage, const void **from)
{
	const unsigned char *at = static_cast<unsigned char *>(body->mem[body->program->output[k]]);
	*from = at;
	for (uint32_t j = 0; j < i->n_out && at != b->mem[i->out[k]]; j++) {
		const unsigned char *carry = static_cast<unsigned char *>(b->mem[i->out[j]]);
		if (at < carry || at >= carry + cuda_bytes_of(b->p, i->out[j]))
			continue;
		*from = stage;
		return cuda_copy(b, stage, at, (size_t)cuda_bytes_of(b->p, i->out[k]));
	}
	return REIN_OK;
}

/* The end of a round: results into the carried values, as if all at once. */
static rein_status emit_results(const struct cuda_build *outer, const struct rein_prog_instr *i, struct cuda_loop *l,
                                unsigned char *stage)
{
	struct cuda_build b = *outer;
	const void **from = static_cast<const void **>(b.host->alloc(b.host, (i->n_out + 1) * sizeof *from));
	rein_status s = from ? REIN_OK : REIN_ERROR;
	b.e = l->body; /* items go there, addresses are ours */
	for (uint32_t k = 0; k < i->n_out && s >= 0; k++) {
		s = new_value(&b, i, l->body, k, stage, &from[k]);
		stage += ALIGN(cuda_bytes_of(b.p, i->out[k]));
	}
	for (uint32_t k = 0; k < i->n_out && s >= 0; k++)
		s = cuda_copy(&b, b.mem[i->out[k]], from[k], (size_t)cuda_bytes_of(b.p, i->out[k]));
	b.host->free(b.host, from);
	return s;
}

rein_status cuda_loop_emit(struct cuda_build *b, int32_t instr)
{
	const struct rein_host *host = b->host;
	const struct rein_prog_instr *i = &b->p->instr[instr];
	const struct rein_plan *plan = b->plan->body[instr];
	unsigned char *work = static_cast<unsigned char *>(b->work);
	struct cuda_loop *l = static_cast<struct cuda_loop *>(host->alloc(host, sizeof *l));
	if (!l)
		return REIN_ERROR;
	l->cuda = b->cuda, l->host = host, l->l = static_cast<const struct rein_loop *>(i->ext);
	l->control = reinterpret_cast<struct control *>(work);
	if (l->l->active >= 0) {
		l->active = static_cast<uint8_t *>(b->mem[i->out[l->l->active]]);
		l->rows = b->p->value[i->out[l->l->active]].count;
	}
	rein_status s = cuda_push_loop(b, l); /* which frees it from now on */
	if (s < 0)
		return cuda_loop_destroy(l), s;
	if (b->e->depth + 1 >= CUDA_MAX_DEPTH)
		return rein_failf(host, "loops are nested more than %d deep", CUDA_MAX_DEPTH - 1);
	if (cudaMallocHost(reinterpret_cast<void **>(&l->go), sizeof *l->go) != cudaSuccess)
		return rein_failf(host, "out of pinned memory");
	/* starting values: an executable of copies alone */
	l->carry = static_cast<struct rein_exec *>(host->alloc(host, sizeof *l->carry));
	if (!l->carry)
		return REIN_ERROR;
	l->carry->cuda = b->cuda, l->carry->host = host, l->carry->program = b->p, l->carry->plan = b->plan;
	struct cuda_build c = *b;
	c.e = l->carry;
	for (uint32_t k = 0; k < i->n_out && s >= 0; k++)
		s = cuda_copy(&c, b->mem[i->out[k]], b->mem[i->in[k]], (size_t)cuda_bytes_of(b->p, i->out[k]));
	if (s >= 0)
		s = cuda_exec_create(b->cuda, i->body, plan, b->e->depth + 1, &l->body);
	if (s < 0)
		return s;
	l->body->mem[i->body->input[0]] = &l->control->round;
	for (uint32_t k = 0; k < i->n_in; k++)
		l->body->mem[i->body->input[k + 1]] = b->mem[k < i->n_out ? i->out[k] : i->in[k]];
	s = cuda_exec_emit(l->body, work + 256);
	return s < 0 ? s : emit_results(b, i, l, work + 256 + ALIGN(plan->arena_bytes));
}

void cuda_loop_destroy(struct cuda_loop *l)
{
	if (!l)
		return;
	cuda_exec_destroy(l->body);
	if (l->carry) {
		l->host->free(l->host, l->carry->item);
		l->host->free(l->host, l->carry);
	}
	if (l->go)
		cudaFreeHost(l->go);
	l->host->free(l->host, l);
}

struct rein_exec *cuda_loop_body(struct cuda_loop *l) { return l->body; }

/* --- executors --------------------------------------------------------------------------------- */
static rein_status test(struct cuda_loop *l, cudaStream_t stream, int32_t add, const cudaGraphConditionalHandle *handle)
{
	struct test_args a = { l->control, l->active, l->rows, (int32_t)l->l->max, add, handle ? *handle : 0, handle != NULL };
	void *arg[] = { &a };
	CUDA_SIGNATURE(loop_test);
	cudaError_t e = cudaLaunchKernel(reinterpret_cast<const void *>(loop_test), dim3(1), dim3(CUDA_BLOCK), arg, 0, stream);
	return e == cudaSuccess ? REIN_OK : cuda_failed(l->host, "loop_test", e);
}

rein_status cuda_loop_begin(struct cuda_loop *l, cudaStream_t stream)
{
	rein_status s = cuda_exec_issue(l->carry, stream);
	return s < 0 ? s : test(l, stream, 0, NULL);
}

/* A WHILE node behind what is captured so far; its body is captured from a stream of its own. */
static cudaError_t add_while(cudaStream_t stream, cudaGraphConditionalHandle handle, cudaGraph_t *body)
{
	enum cudaStreamCaptureStatus status;
	const cudaGraphNode_t *deps = NULL;
	cudaGraphNode_t node = NULL;
	cudaGraph_t graph = NULL;
	size_t n = 0;
	struct cudaGraphNodeParams p = { cudaGraphNodeTypeConditional }; /* the rest zero */
	p.conditional.handle = handle;
	p.conditional.type = cudaGraphCondTypeWhile;
	p.conditional.size = 1;
#if CUDART_VERSION >= 13000
	cudaError_t e = cudaStreamGetCaptureInfo(stream, &status, NULL, &graph, &deps, NULL, &n);
	if (e == cudaSuccess)
		e = cudaGraphAddNode(&node, graph, deps, NULL, n, &p);
	if (e == cudaSuccess)
		e = cudaStreamUpdateCaptureDependencies(stream, &node, NULL, 1, cudaStreamSetCaptureDependencies);
#else
	cudaError_t e = cudaStreamGetCaptureInfo_v2(stream, &status, NULL, &graph, &deps, &n);
	if (e == cudaSuccess)
		e = cudaGraphAddNode(&node, graph, deps, n, &p);
	if (e == cudaSuccess)
		e = cudaStreamUpdateCaptureDependencies(stream, &node, 1, cudaStreamSetCaptureDependencies);
#endif
	if (e == cudaSuccess)
		*body = p.conditional.phGraph_out[0];
	return e;
}

/* The handle belongs to the graph that is being captured. */
static cudaError_t make_handle(cudaStream_t stream, cudaGraphConditionalHandle *handle)
{
	enum cudaStreamCaptureStatus status;
	const cudaGraphNode_t *deps = NULL;
	cudaGraph_t graph = NULL;
	size_t n = 0;
#if CUDART_VERSION >= 13000
	cudaError_t e = cudaStreamGetCaptureInfo(stream, &status, NULL, &graph, &deps, NULL, &n);
#else
	cudaError_t e = cudaStreamGetCaptureInfo_v2(stream, &status, NULL, &graph, &deps, &n);
#endif
	return e == cudaSuccess ? cudaGraphConditionalHandleCreate(handle, graph, 0, 0) : e;
}

rein_status cuda_loop_issue(struct cuda_loop *l, cudaStream_t stream)
{
	cudaGraphConditionalHandle handle = 0;
	cudaStream_t *inner = &l->cuda->inner[l->body->depth];
	cudaGraph_t body = NULL;
	rein_status s = cuda_exec_issue(l->carry, stream);
	cudaError_t e = s < 0 ? cudaSuccess : make_handle(stream, &handle);
	if (s >= 0 && e == cudaSuccess)
		s = test(l, stream, 0, &handle);
	if (s >= 0 && e == cudaSuccess)
		e = add_while(stream, handle, &body);
	if (s >= 0 && e == cudaSuccess && !*inner)
		e = cudaStreamCreateWithFlags(inner, cudaStreamNonBlocking);
	if (s >= 0 && e == cudaSuccess)
		e = cudaStreamBeginCaptureToGraph(*inner, body, NULL, NULL, 0, cudaStreamCaptureModeThreadLocal);
	if (s < 0 || e != cudaSuccess)
		return e != cudaSuccess ? cuda_failed(l->host, "a loop inside of a graph", e) : s;
	s = cuda_exec_issue(l->body, *inner);
	if (s >= 0)
		s = test(l, *inner, 1, &handle);
	e = cudaStreamEndCapture(*inner, &body);
	return s >= 0 && e != cudaSuccess ? cuda_failed(l->host, "the body of a loop", e) : s;
}

rein_status cuda_loop_capture(struct cuda_loop *l) { return cuda_exec_capture(l->body); }

rein_status cuda_loop_replay(struct cuda_loop *l)
{
	cudaStream_t stream = l->cuda->stream;
	for (;;) {
		cudaError_t e = cudaMemcpyAsync(l->go, &l->control->go, sizeof *l->go, cudaMemcpyDeviceToHost, stream);
		if (e == cudaSuccess)
			e = cudaStreamSynchronize(stream);
		if (e != cudaSuccess)
			return cuda_failed(l->host, "reading whether a loop goes on", e);
		if (!*l->go)
			return REIN_OK;
		rein_status s = cuda_exec_replay(l->body);
		if (s >= 0)
			s = test(l, stream, 1, NULL);
		if (s < 0)
			return s;
	}
}
