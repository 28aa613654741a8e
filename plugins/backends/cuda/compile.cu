/* SPDX-License-Identifier: MIT
 *
 * compile.cu: executables. Families append items (launches, copies, library calls) for an
 * arena at a known address; the items are captured into one CUDA graph, and run() is one
 * launch of it. Where loops cannot be part of a graph, it is cut at them: loop.cu. With
 * REIN_GUARD there is no graph: kernels run one by one and what each wrote is looked at.
 */
#include <stdlib.h>

#include "cuda.h"

#define ALIGN(n) (((n) + 255) & ~(int64_t)255)

/* --- appending items ------------------------------------------------------------------------ */
struct cuda_item *cuda_append(struct cuda_build *b, uint32_t kind, const char *name)
{
	struct rein_exec *e = b->e;
	if (e->n_item == e->cap_item) {
		int cap = e->cap_item ? 2 * e->cap_item : 64;
		struct cuda_item *more = static_cast<struct cuda_item *>(b->host->alloc(b->host, (uint64_t)cap * sizeof *more));
		if (!more)
			return NULL;
		if (e->n_item)
			memcpy(static_cast<void *>(more), e->item, (size_t)e->n_item * sizeof *more);
		b->host->free(b->host, e->item);
		e->item = more;
		e->cap_item = cap;
	}
	struct cuda_item *i = &e->item[e->n_item++];
	memset(static_cast<void *>(i), 0, sizeof *i);
	i->kind = kind;
	i->name = name;
	i->kernel = b->kernel;
	return i;
}

rein_status cuda_push_launch(struct cuda_build *b, const void *fn, const char *name, dim3 grid, dim3 block,
                             size_t shared, unsigned n_arg, const void *const *arg, const size_t *size)
{
	size_t total = 0;
	if (n_arg > CUDA_MAX_ARGS)
		return rein_failf(b->host, "kernel %s has more than %d arguments", name, CUDA_MAX_ARGS);
	struct cuda_item *i = cuda_append(b, CUDA_LAUNCH, name);
	for (unsigned k = 0; k < n_arg; k++)
		total += (size[k] + 15) & ~(size_t)15;
	if (!i || !(i->data = b->host->alloc(b->host, total + 1)))
		return REIN_ERROR;
	unsigned char *at = static_cast<unsigned char *>(i->data);
	for (unsigned k = 0; k < n_arg; k++) {
		memcpy(at, arg[k], size[k]);
		i->arg[k] = at;
		at += (size[k] + 15) & ~(size_t)15;
	}
	i->fn = fn, i->grid = grid, i->block = block, i->shared = shared;
	if (shared > 48 << 10) {
		cudaError_t e = cudaFuncSetAttribute(fn, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared);
		if (e != cudaSuccess)
			return cuda_failed(b->host, name, e);
	}
	return REIN_OK;
}

rein_status cuda_piece(struct cuda_build *b, const struct cuda_merge *merge, void *piece)
{
	struct cuda_item *i = cuda_append(b, CUDA_PIECE, merge->name);
	if (!i)
		return b->host->free(b->host, piece), REIN_ERROR;
	i->merge = merge, i->data = piece;
	return REIN_OK;
}

rein_status cuda_copy(struct cuda_build *b, void *to, const void *from, size_t bytes)
{
	struct cuda_item *i = to == from || !bytes ? NULL : cuda_append(b, CUDA_COPY, "copy");
	if (!i)
		return to == from || !bytes ? REIN_OK : REIN_ERROR;
	i->to = to, i->from = from, i->bytes = bytes;
	return REIN_OK;
}

rein_status cuda_fill(struct cuda_build *b, void *to, int byte, size_t bytes)
{
	struct cuda_item *i = bytes ? cuda_append(b, CUDA_FILL, "fill") : NULL;
	if (!i)
		return bytes ? REIN_ERROR : REIN_OK;
	i->to = to, i->value = byte, i->bytes = bytes;
	return REIN_OK;
}

rein_status cuda_call(struct cuda_build *b, const char *name, cuda_call_fn *fn, void *data)
{
	struct cuda_item *i = cuda_append(b, CUDA_CALL, name);
	if (!i)
		return b->host->free(b->host, data), REIN_ERROR;
	i->call = fn, i->data = data;
	return REIN_OK;
}

rein_status cuda_push_loop(struct cuda_build *b, struct cuda_loop *l)
{
	struct cuda_item *i = cuda_append(b, CUDA_LOOP, "loop");
	if (!i)
		return REIN_ERROR;
	i->data = l;
	return REIN_OK;
}

/* Tables are many and small: they share chunks of device memory. */
static size_t chunk_size(const struct cuda *cuda) { return (size_t)(cuda->n_sm < 16 ? 16 : 256) << 10; }

static unsigned char *new_chunk(struct cuda_build *b, size_t bytes)
{
	struct rein_exec *e = b->e;
	if (e->n_table == e->cap_table) {
		int cap = e->cap_table ? 2 * e->cap_table : 16;
		void **more = static_cast<void **>(b->host->alloc(b->host, (uint64_t)cap * sizeof *more));
		if (!more)
			return NULL;
		if (e->n_table)
			memcpy(more, e->table, (size_t)e->n_table * sizeof *more);
		b->host->free(b->host, e->table);
		e->table = more;
		e->cap_table = cap;
	}
	void *at = cuda_take(b->cuda, b->host, bytes, "tables of kernels");
	if (at)
		e->table[e->n_table++] = at;
	return static_cast<unsigned char *>(at);
}

void *cuda_table(struct cuda_build *b, const void *from, size_t bytes)
{
	struct rein_exec *e = b->e;
	size_t room = (size_t)ALIGN((int64_t)bytes), size = chunk_size(b->cuda);
	if (!e->chunk || e->chunk_used + room > e->chunk_size) {
		unsigned char *chunk = new_chunk(b, room > size ? room : size);
		if (!chunk)
			return NULL;
		e->chunk = chunk;
		e->chunk_used = 0;
		e->chunk_size = room > size ? room : size;
	}
	void *at = e->chunk + e->chunk_used;
	e->chunk_used += room;
	/* `from` may be gone when the stream comes to it: ordinary memory is copied out at once */
	cudaError_t error = cudaMemcpyAsync(at, from, bytes, cudaMemcpyHostToDevice, b->cuda->stream);
	if (error == cudaSuccess)
		return at;
	cuda_failed(b->host, "copying a table to the device", error);
	return NULL;
}

static void forget(struct rein_exec *e)
{
	for (int k = 0; k < e->n_segment; k++)
		if (e->segment[k].graph)
			cudaGraphExecDestroy(e->segment[k].graph);
	for (int k = 0; k < e->n_item; k++) {
		if (e->item[k].kind == CUDA_LOOP)
			cuda_loop_destroy(static_cast<struct cuda_loop *>(e->item[k].data));
		else
			e->host->free(e->host, e->item[k].data);
	}
	for (int k = 0; k < e->n_table; k++)
		cuda_give(e->cuda, e->table[k]);
	e->n_segment = e->n_item = e->n_table = e->n_launch = 0;
	e->chunk = NULL;
}

/* --- addresses ------------------------------------------------------------------------------------ */
/* The bytes of a CONST: given, or one value repeated. */
static void constant_bytes(const struct rein_program *p, const struct rein_prog_instr *i, void *mem)
{
	const struct rein_prog_value *v = &p->value[i->out[0]];
	double fill = i->attr.par[0], lo = v->dtype == REIN_I32_T ? -2147483648.0 : 0;
	double hi = v->dtype == REIN_I32_T ? 2147483647.0 : 255, x = fill != fill ? 0 : fill < lo ? lo : fill > hi ? hi : fill;
	if (i->attr.data) {
		memcpy(mem, i->attr.data, (size_t)cuda_bytes_of(p, i->out[0]));
		return;
	}
	for (int64_t j = 0; j < v->count; j++)
		switch (v->dtype) {
		case REIN_REAL_T: static_cast<float *>(mem)[j] = (float)fill; break;
		case REIN_WIDE_T: static_cast<double *>(mem)[j] = fill; break;
		case REIN_I32_T: static_cast<int32_t *>(mem)[j] = (int32_t)x; break;
		default: static_cast<uint8_t *>(mem)[j] = (uint8_t)x; break;
		}
}

static rein_status make_constants(struct rein_exec *e)
{
	const struct rein_program *p = e->program;
	int64_t total = 0, at = 0;
	for (uint32_t v = 0; v < p->n_value; v++)
		total += e->plan->home[v] == REIN_HOME_CONST ? ALIGN(cuda_bytes_of(p, (int32_t)v)) : 0;
	if (!total)
		return REIN_OK;
	unsigned char *all = static_cast<unsigned char *>(e->host->alloc(e->host, (uint64_t)total));
	e->constants = static_cast<unsigned char *>(cuda_take(e->cuda, e->host, (uint64_t)total, "constants"));
	for (uint32_t k = 0; k < p->n_instr && all && e->constants; k++) {
		const struct rein_prog_instr *i = &p->instr[k];
		if (i->op != REIN_OP_CONST || e->plan->home[i->out[0]] != REIN_HOME_CONST)
			continue;
		e->constant[i->out[0]] = e->constants + at;
		constant_bytes(p, i, all + at);
		at += ALIGN(cuda_bytes_of(p, i->out[0]));
	}
	cudaError_t error = cudaSuccess;
	if (all && e->constants)
		error = cudaMemcpyAsync(e->constants, all, (size_t)total, cudaMemcpyHostToDevice, e->cuda->stream);
	if (error == cudaSuccess)
		error = cudaStreamSynchronize(e->cuda->stream);
	bool good = all && e->constants;
	e->host->free(e->host, all);
	if (error != cudaSuccess)
		return cuda_failed(e->host, "copying constants to the device", error);
	return good ? REIN_OK : REIN_ERROR;
}

static void *resolve(const struct rein_exec *e, int32_t v)
{
	const struct rein_plan *plan = e->plan;
	switch (plan->home[v]) {
	case REIN_HOME_ARENA: return e->base + plan->offset[v];
	case REIN_HOME_STATE: return e->program->state[plan->base[v]].mem;
	case REIN_HOME_CONST: return e->constant[v];
	case REIN_HOME_ALIAS: {
		unsigned char *base = static_cast<unsigned char *>(resolve(e, plan->base[v]));
		return base ? base + plan->base_offset[v] : NULL;
	}
	default: return e->program->instr[e->program->value[v].instr].op == REIN_OP_INPUT ? e->mem[v] : NULL;
	}
}

/* Commits that copy out of a state which another commit's copy overwrites are staged. */
static rein_status stage_commits(struct rein_exec *e)
{
	const struct rein_program *p = e->program;
	int64_t total = 0;
	for (uint32_t k = 0; k < p->n_commit; k++) {
		int32_t v = p->commit[k].value;
		e->staged_at[k] = -1;
		while (e->plan->home[v] == REIN_HOME_ALIAS)
			v = e->plan->base[v];
		for (uint32_t j = 0; j < p->n_commit && e->plan->copied[k]; j++) {
			if (j == k || !e->plan->copied[j] || e->plan->home[v] != REIN_HOME_STATE ||
			    e->plan->base[v] != p->commit[j].state)
				continue;
			e->staged_at[k] = total;
			total += ALIGN(cuda_bytes_of(p, p->commit[k].value));
			break;
		}
	}
	if (!total)
		return REIN_OK;
	e->staged = static_cast<unsigned char *>(cuda_take(e->cuda, e->host, (uint64_t)total, "states that trade places"));
	return e->staged ? REIN_OK : REIN_ERROR;
}

static rein_status emit_commits(struct cuda_build *b)
{
	const struct rein_program *p = b->p;
	rein_status s = REIN_OK;
	for (int pass = 0; pass < 2; pass++) {
		for (uint32_t k = 0; k < p->n_commit && s >= 0; k++) {
			const struct rein_prog_commit *c = &p->commit[k];
			void *to = p->state[c->state].mem, *from = b->mem[c->value];
			size_t bytes = (size_t)cuda_bytes_of(p, c->value);
			int64_t at = b->e->staged_at[k];
			if (!b->plan->copied[k] || (!pass && at < 0))
				continue;
			if (!pass)
				s = cuda_copy(b, b->e->staged + at, from, bytes);
			else
				s = cuda_copy(b, to, at >= 0 ? b->e->staged + at : from, bytes);
		}
	}
	return s;
}

/* --- making an executable ------------------------------------------------------------------------------- */
template <class T> static T *zeros(const struct rein_host *host, size_t n)
{
	return static_cast<T *>(host->alloc(host, (n + 1) * sizeof(T)));
}

static bool sort_instructions(struct rein_exec *e)
{
	uint32_t n_kernel = e->plan->n_kernel;
	e->first = zeros<int32_t>(e->host, n_kernel + 1);
	e->instr = zeros<int32_t>(e->host, e->program->n_instr);
	e->launch = zeros<int32_t>(e->host, n_kernel);
	if (!e->first || !e->instr || !e->launch)
		return false;
	for (uint32_t i = 0; i < e->program->n_instr; i++)
		if (e->plan->kernel[i] >= 0)
			e->first[e->plan->kernel[i] + 1]++;
	for (uint32_t k = 0; k < n_kernel; k++)
		e->first[k + 1] += e->first[k];
	for (uint32_t i = e->program->n_instr; i-- > 0;) /* from the end of each kernel's */
		if (e->plan->kernel[i] >= 0)
			e->instr[--e->first[e->plan->kernel[i] + 1]] = (int32_t)i;
	for (uint32_t k = 0; k < n_kernel; k++) /* first[k + 1] is now where k begins */
		e->first[k] = e->first[k + 1];
	e->first[n_kernel] = 0;
	for (uint32_t i = 0; i < e->program->n_instr; i++)
		e->first[n_kernel] += e->plan->kernel[i] >= 0;
	return true;
}

rein_status cuda_exec_create(struct cuda *cuda, const struct rein_program *p, const struct rein_plan *plan, int depth,
                             struct rein_exec **out)
{
	const struct rein_host *host = cuda->host;
	struct rein_exec *e = *out = zeros<struct rein_exec>(host, 1);
	if (!e)
		return REIN_ERROR;
	e->cuda = cuda, e->host = host, e->program = p, e->plan = plan, e->depth = depth;
	e->mem = zeros<void *>(host, p->n_value);
	e->constant = zeros<void *>(host, p->n_value);
	e->staged_at = zeros<int64_t>(host, p->n_commit);
	if (!e->mem || !e->constant || !e->staged_at || !sort_instructions(e))
		return REIN_ERROR;
	if ((cuda->flags & REIN_GUARD) && !depth) {
		e->shadow = zeros<unsigned char>(host, (size_t)plan->arena_bytes);
		e->mine = zeros<unsigned char>(host, (size_t)plan->arena_bytes);
		if (!e->shadow || !e->mine)
			return REIN_ERROR;
	}
	rein_status s = make_constants(e);
	return s < 0 ? s : stage_commits(e);
}

void cuda_exec_destroy(struct rein_exec *e)
{
	if (!e)
		return;
	const struct rein_host *host = e->host;
	forget(e);
	cuda_time_end(e);
	cuda_give(e->cuda, e->constants);
	cuda_give(e->cuda, e->staged);
	void *all[] = { e->mem,   e->constant, e->staged_at, e->first,  e->instr, e->launch,
		            e->item,  e->table,    e->segment,   e->shadow, e->mine,  e };
	for (size_t k = 0; k < sizeof all / sizeof *all; k++)
		host->free(host, all[k]);
}

static rein_status emit_group(struct cuda_build *b, int32_t n, const int32_t *list)
{
	const struct rein_prog_instr *i = &b->p->instr[list[n - 1]];
	const struct cuda_family *f = cuda_family_of(b->p, n, list);
	if (i->op == REIN_OP_REPEAT)
		return cuda_loop_emit(b, list[0]);
	const char *origin = b->p->n_origin ? b->p->origin[i->origin] : b->p->name;
	if (!f)
		return rein_failf(b->host, "%s: the cuda backend has no op %u on %s of program %s", origin, i->op,
		                  b->p->real_size == 8 ? "float64" : "these shapes", b->p->name);
	return f->emit(b, n, list);
}

rein_status cuda_exec_emit(struct rein_exec *e, unsigned char *base)
{
	struct cuda_build b = { e->cuda, e->host, e->program, e->plan, e, 0, e->mem, NULL };
	rein_status s = REIN_OK;
	forget(e);
	e->base = base;
	for (uint32_t v = 0; v < e->program->n_value; v++)
		e->mem[v] = resolve(e, (int32_t)v);
	for (uint32_t k = 0; k < e->plan->n_kernel && s >= 0; k++) {
		int32_t n = e->first[k + 1] - e->first[k];
		b.kernel = e->launch[k] = (int32_t)k;
		b.work = base + e->plan->workspace_at[k];
		if (n)
			s = emit_group(&b, n, e->instr + e->first[k]);
	}
	b.kernel = -1;
	if (s >= 0)
		s = emit_commits(&b);
	return s < 0 ? s : cuda_order(&b);
}

/* --- running ----------------------------------------------------------------------------------------------- */
static cudaError_t issue_item(struct rein_exec *e, struct cuda_item *i, cudaStream_t stream, rein_status *s)
{
	switch (i->kind) {
	case CUDA_LAUNCH: return cudaLaunchKernel(i->fn, i->grid, i->block, i->arg, i->shared, stream);
	case CUDA_COPY: return cudaMemcpyAsync(i->to, i->from, i->bytes, cudaMemcpyDeviceToDevice, stream);
	case CUDA_FILL: return cudaMemsetAsync(i->to, i->value, i->bytes, stream);
	case CUDA_CALL: *s = i->call(e->cuda, i->data, stream); return cudaSuccess;
	default: *s = cuda_loop_issue(static_cast<struct cuda_loop *>(i->data), stream); return cudaSuccess;
	}
}

static rein_status issue_some(struct rein_exec *e, int first, int end, cudaStream_t stream)
{
	rein_status s = REIN_OK;
	for (int k = first; k < end && s >= 0; k++) {
		if (e->timing && (s = cuda_time_mark(e, k, stream)) < 0)
			return s;
		cudaError_t error = issue_item(e, &e->item[k], stream, &s);
		if (error != cudaSuccess)
			s = cuda_failed(e->host, e->item[k].name, error);
	}
	return s < 0 || !e->timing ? s : cuda_time_mark(e, end, stream);
}

rein_status cuda_exec_issue(struct rein_exec *e, cudaStream_t stream) { return issue_some(e, 0, e->n_item, stream); }

/* Items first..end-1 as one graph; after them what begins the loop, if any. */
static rein_status capture_some(struct rein_exec *e, int first, int end, struct cuda_loop *then,
                                cudaGraphExec_t *out)
{
	cudaStream_t stream = e->cuda->stream;
	cudaGraph_t graph = NULL;
	size_t nodes = 0;
	cudaError_t error = cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
	if (error != cudaSuccess)
		return cuda_failed(e->host, "the stream cannot be captured", error);
	rein_status s = issue_some(e, first, end, stream);
	if (s >= 0 && then)
		s = cuda_loop_begin(then, stream);
	error = cudaStreamEndCapture(stream, &graph);
	if (s >= 0 && error == cudaSuccess)
		error = cudaGraphInstantiate(out, graph, 0);
	if (graph && cudaGraphGetNodes(graph, NULL, &nodes) == cudaSuccess)
		e->n_launch += (int)nodes - (e->timing ? end - first + 1 : 0);
	if (graph)
		cudaGraphDestroy(graph);
	if (s >= 0 && error != cudaSuccess)
		return cuda_failed(e->host, "the graph of a program could not be made", error);
	cudaGetLastError();
	return s;
}

/* The host has to come in wherever a loop is, unless the graph can hold it. */
rein_status cuda_exec_capture(struct rein_exec *e)
{
	int cuts = 1, first = 0;
	rein_status s = REIN_OK;
	for (int k = 0; k < e->n_item; k++)
		cuts += 2 * (e->item[k].kind == CUDA_LOOP && !e->cuda->conditional);
	if ((e->cuda->flags & REIN_TIMED) && !e->depth)
		s = cuda_time_begin(e);
	if (s < 0)
		return s;
	e->host->free(e->host, e->segment);
	e->segment = zeros<struct cuda_segment>(e->host, (size_t)cuts);
	if (!e->segment)
		return REIN_ERROR;
	for (int k = 0; k < e->n_item && s >= 0; k++) {
		if (e->item[k].kind != CUDA_LOOP || e->cuda->conditional)
			continue;
		struct cuda_loop *l = static_cast<struct cuda_loop *>(e->item[k].data);
		s = capture_some(e, first, k, l, &e->segment[e->n_segment].graph);
		if (s >= 0)
			e->n_segment++, s = cuda_loop_capture(l);
		if (s >= 0)
			e->segment[e->n_segment++].loop = l;
		first = k + 1;
	}
	if (s < 0 || (first == e->n_item && !(e->timing && first)))
		return s; /* a loop that comes last is timed to the mark behind it */
	s = capture_some(e, first, e->n_item, NULL, &e->segment[e->n_segment].graph);
	e->n_segment += s >= 0;
	return s;
}

static void mark(struct rein_exec *e, int32_t k)
{
	const struct rein_program *p = e->program;
	const struct rein_plan *plan = e->plan;
	memset(e->mine, 0, (size_t)plan->arena_bytes);
	if (plan->workspace[k])
		memset(e->mine + plan->workspace_at[k], 1, (size_t)plan->workspace[k]);
	for (uint32_t v = 0; v < p->n_value; v++) {
		const unsigned char *mem = static_cast<const unsigned char *>(e->mem[v]);
		if (plan->kernel[p->value[v].instr] == k && mem >= e->base && mem < e->base + plan->arena_bytes)
			memset(e->mine + (mem - e->base), 1, (size_t)cuda_bytes_of(p, (int32_t)v));
	}
}

/* One item; then nothing of the arena may differ but what its kernel owns. */
static rein_status replay_item_guarded(struct rein_exec *e, int k, unsigned char *after)
{
	struct cuda_item *i = &e->item[k];
	cudaStream_t stream = e->cuda->stream;
	size_t bytes = (size_t)e->plan->arena_bytes;
	rein_status s = REIN_OK;
	cudaError_t error = cudaSuccess;
	if (bytes)
		error = cudaMemcpy(e->shadow, e->base, bytes, cudaMemcpyDeviceToHost);
	if (error == cudaSuccess && i->kind == CUDA_LOOP) {
		struct cuda_loop *l = static_cast<struct cuda_loop *>(i->data);
		s = cuda_loop_begin(l, stream);
		s = s < 0 ? s : cuda_loop_replay(l);
	} else if (error == cudaSuccess) {
		error = issue_item(e, i, stream, &s);
	}
	if (error == cudaSuccess && s >= 0)
		error = cudaStreamSynchronize(stream);
	if (error == cudaSuccess && s >= 0 && bytes)
		error = cudaMemcpy(after, e->base, bytes, cudaMemcpyDeviceToHost);
	if (error != cudaSuccess)
		return cuda_failed(e->host, i->name, error);
	if (s < 0 || i->kernel < 0)
		return s;
	mark(e, i->kernel);
	for (size_t at = 0; at < bytes; at++)
		if (e->shadow[at] != after[at] && !e->mine[at])
			return rein_failf(e->host, "kernel %d (%s) of %s wrote byte %zu of the arena, which is not its own",
			                  i->kernel, i->name, e->program->name, at);
	return REIN_OK;
}

static rein_status replay_guarded(struct rein_exec *e)
{
	rein_status s = REIN_OK;
	unsigned char *after = NULL;
	if (!e->depth) {
		after = zeros<unsigned char>(e->host, (size_t)e->plan->arena_bytes);
		if (!after)
			return REIN_ERROR;
		if (e->plan->arena_bytes) /* what is read before it is written is NaN, or -1 */
			cudaMemsetAsync(e->base, 0xFF, (size_t)e->plan->arena_bytes, e->cuda->stream);
	}
	for (int k = 0; k < e->n_item && s >= 0; k++) {
		if (!e->depth)
			s = replay_item_guarded(e, k, after);
		else if (e->item[k].kind == CUDA_LOOP) {
			struct cuda_loop *l = static_cast<struct cuda_loop *>(e->item[k].data);
			s = cuda_loop_begin(l, e->cuda->stream);
			s = s < 0 ? s : cuda_loop_replay(l);
		} else
			s = issue_some(e, k, k + 1, e->cuda->stream);
	}
	e->host->free(e->host, after);
	return s;
}

rein_status cuda_exec_replay(struct rein_exec *e)
{
	rein_status s = REIN_OK;
	if (e->cuda->flags & REIN_GUARD)
		return replay_guarded(e);
	for (int k = 0; k < e->n_segment && s >= 0; k++) {
		const struct cuda_segment *g = &e->segment[k];
		cudaError_t error = g->graph ? cudaGraphLaunch(g->graph, e->cuda->stream) : cudaSuccess;
		e->cuda->launches += g->graph != NULL;
		if (error != cudaSuccess)
			return cuda_failed(e->host, "launching a graph", error);
		if (g->loop)
			s = cuda_loop_replay(g->loop);
	}
	return s;
}
