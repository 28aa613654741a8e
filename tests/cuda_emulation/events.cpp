/* SPDX-License-Identifier: MIT
 *
 * events.cpp: emulated events. Recorded while a stream is captured, external ones become nodes
 * of the graph, which note when they ran; between others CUDA would only order nodes, and in
 * the body of a loop it takes none.
 */
#include <time.h>

#include "machine.h"

struct emulation_event {
	bool timed, recorded;
	double at; /* seconds */
};

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned flags)
{
	*e = new emulation_event{ !(flags & cudaEventDisableTiming), false, 0 };
	return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t e) { return delete e, cudaSuccess; }

cudaError_t cudaEventRecordWithFlags(cudaEvent_t e, cudaStream_t s, unsigned flags)
{
	if (!e)
		return cudaErrorInvalidResourceHandle;
	if (emulation_in_loop(s))
		emulation_abort("an event is recorded in the body of a loop of a graph");
	enum cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
	cudaGraph_t graph;
	const cudaGraphNode_t *deps;
	size_t n;
	cudaStreamGetCaptureInfo(s, &status, NULL, &graph, &deps, NULL, &n);
	if (status == cudaStreamCaptureStatusActive && !(flags & cudaEventRecordExternal))
		emulation_abort("an event that is not external is recorded into a graph and asked for its time");
	return emulation_enqueue(s, [=] {
		struct timespec t;
		clock_gettime(CLOCK_MONOTONIC, &t);
		e->recorded = true;
		e->at = (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
	});
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to)
{
	if (!from || !to || !from->timed || !to->timed || !from->recorded || !to->recorded)
		return cudaErrorInvalidResourceHandle;
	*ms = (float)(1e3 * (to->at - from->at));
	return cudaSuccess;
}
