/* SPDX-License-Identifier: MIT
 *
 * time.cu: what a program costs. Launches and runs are counted always. With REIN_TIMED every
 * item of a program lies between two events, which are nodes of its graph: so kernels are
 * timed where they run, and a run remains one launch. Each run is then waited for, and the
 * shortest time of each kernel kept. A loop is one item: graphs that repeat have no room for
 * events. The host's time is that of replaying, before the wait.
 */
#include <time.h>

#include "cuda.h"

struct cuda_timing {
	cudaEvent_t *event; /* before item k; one more behind the last */
	int n;
	double *best, *now; /* per kernel of the plan, seconds; best 0: never ran */
	double host_seconds;
};

static void drop_events(struct rein_exec *e)
{
	struct cuda_timing *t = e->timing;
	for (int k = 0; k < t->n; k++)
		if (t->event[k])
			cudaEventDestroy(t->event[k]);
	e->host->free(e->host, t->event);
	t->event = NULL;
	t->n = 0;
}

void cuda_time_end(struct rein_exec *e)
{
	struct cuda_timing *t = e->timing;
	if (!t)
		return;
	drop_events(e);
	e->host->free(e->host, t->best);
	e->host->free(e->host, t->now);
	e->host->free(e->host, t);
	e->timing = NULL;
}

/* The best times stay where an arena moved and everything is captured again. */
rein_status cuda_time_begin(struct rein_exec *e)
{
	const struct rein_host *host = e->host;
	size_t kernels = (e->plan->n_kernel + 1) * sizeof(double);
	struct cuda_timing *t = e->timing;
	if (!t) {
		t = e->timing = static_cast<struct cuda_timing *>(host->alloc(host, sizeof *t));
		if (!t)
			return REIN_ERROR;
		t->best = static_cast<double *>(host->alloc(host, kernels));
		t->now = static_cast<double *>(host->alloc(host, kernels));
	}
	drop_events(e);
	t->event = static_cast<cudaEvent_t *>(host->alloc(host, ((size_t)e->n_item + 1) * sizeof *t->event));
	if (!t->event || !t->best || !t->now)
		return REIN_ERROR;
	for (t->n = 0; t->n <= e->n_item; t->n++) {
		cudaError_t error = cudaEventCreateWithFlags(&t->event[t->n], cudaEventDefault);
		if (error != cudaSuccess)
			return cuda_failed(host, "an event to take the time", error);
	}
	return REIN_OK;
}

rein_status cuda_time_mark(struct rein_exec *e, int item, cudaStream_t stream)
{
	/* external: an event to be asked after the graph ran, not an order of nodes */
	cudaError_t error = cudaEventRecordWithFlags(e->timing->event[item], stream, cudaEventRecordExternal);
	return error == cudaSuccess ? REIN_OK : cuda_failed(e->host, "an event of a graph", error);
}

static double seconds_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A kernel of the plan may be several items; commits are of none. */
static rein_status read_events(struct rein_exec *e)
{
	struct cuda_timing *t = e->timing;
	memset(t->now, 0, e->plan->n_kernel * sizeof *t->now);
	for (int k = 0; k < e->n_item; k++) {
		float ms = 0;
		cudaError_t error = cudaEventElapsedTime(&ms, t->event[k], t->event[k + 1]);
		if (error != cudaSuccess)
			return cuda_failed(e->host, "the time of a kernel", error);
		if (e->item[k].kernel >= 0)
			t->now[e->item[k].kernel] += 1e-3 * (double)ms;
	}
	for (uint32_t k = 0; k < e->plan->n_kernel; k++)
		if (t->best[k] == 0 || t->now[k] < t->best[k])
			t->best[k] = t->now[k];
	return REIN_OK;
}

rein_status cuda_time_run(struct rein_exec *e)
{
	double start = seconds_now();
	rein_status s = cuda_exec_replay(e);
	e->timing->host_seconds += seconds_now() - start;
	if (s >= 0)
		s = cuda_exec_wait(e);
	return s < 0 ? s : read_events(e);
}

double cuda_time_of(const struct rein_exec *e, uint32_t kernel)
{
	return e->timing && kernel < e->plan->n_kernel ? e->timing->best[kernel] : 0;
}

void cuda_profile(const struct rein_exec *e, struct rein_profile *p)
{
	p->nodes = (uint32_t)e->n_launch;
	p->runs = e->runs;
	p->launches = e->launches;
	p->host_seconds = e->timing ? e->timing->host_seconds : 0;
	p->bytes = 0;
	for (int k = 0; k < e->cuda->n_held; k++) {
		const struct cuda_allocation *a = &e->cuda->held[k];
		bool mine = a->at == e->constants || a->at == e->staged;
		for (int n = 0; n < e->n_table && !mine; n++)
			mine = a->at == e->table[n];
		p->bytes += mine ? a->bytes : 0;
	}
}
