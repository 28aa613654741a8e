/* SPDX-License-Identifier: MIT
 *
 * cuda_runtime.h of the emulation: as much of the CUDA language and runtime as the cuda
 * backend uses, for the host. Threads of a block are fibers with real barriers, warps of 32
 * lanes exchange values through shuffles, device memory cannot be touched by the host
 * outside of kernels and copies. emulation.cpp has the machine, runtime.cpp the library.
 * To add an intrinsic: write it below as a plain function with CUDA's name and meaning.
 */
#ifndef CUDA_EMULATION_RUNTIME_H
#define CUDA_EMULATION_RUNTIME_H

#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define CUDA_EMULATION 1
#define CUDART_VERSION 13000

/* --- the language ---------------------------------------------------------------------- */
#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __noinline__
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __restrict__ __restrict
#define __shared__ static thread_local

struct dim3 {
	unsigned x, y, z;
	constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct uint3 {
	unsigned x, y, z;
};
extern thread_local uint3 threadIdx, blockIdx;
extern thread_local dim3 blockDim, gridDim;
static const int warpSize = 32;

struct float2 {
	float x, y;
};
struct float3 {
	float x, y, z;
};
struct __align__(16) float4 { float x, y, z, w; };
struct double2 {
	double x, y;
};
struct int2 {
	int x, y;
};
struct __align__(16) int4 { int x, y, z, w; };
struct uint2 {
	unsigned x, y;
};
struct __align__(16) uint4 { unsigned x, y, z, w; };
struct uchar4 {
	unsigned char x, y, z, w;
};
static inline float2 make_float2(float x, float y) { return { x, y }; }
static inline float4 make_float4(float x, float y, float z, float w) { return { x, y, z, w }; }
static inline int2 make_int2(int x, int y) { return { x, y }; }
static inline int4 make_int4(int x, int y, int z, int w) { return { x, y, z, w }; }
static inline uint2 make_uint2(unsigned x, unsigned y) { return { x, y }; }
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return { x, y, z, w }; }
static inline uchar4 make_uchar4(unsigned char x, unsigned char y, unsigned char z, unsigned char w)
{
	return { x, y, z, w };
}

/* --- barriers, warps, shared memory (emulation.cpp) ------------------------------------------- */
void emulation_barrier(int predicate, int *count); /* count: threads whose predicate was not 0 */
/* Every lane of mask comes here with `size` bytes; what each brought, EMULATION_LANE bytes apart,
 * until the caller waits again. */
#define EMULATION_LANE 16
const unsigned char *emulation_exchange(unsigned mask, const void *in, size_t size);
int emulation_lane(void);
void *emulation_shared(void);

#define CUDA_SHARED(type, name) type *name = static_cast<type *>(emulation_shared())

static inline void __syncthreads(void) { emulation_barrier(0, NULL); }
static inline int __syncthreads_count(int p)
{
	int n;
	emulation_barrier(p, &n);
	return n;
}
static inline int __syncthreads_or(int p) { return __syncthreads_count(p) != 0; }
static inline int __syncthreads_and(int p) { return __syncthreads_count(!p) == 0; }
static inline void __syncwarp(unsigned mask = 0xffffffffu)
{
	char in = 0;
	emulation_exchange(mask, &in, 1);
}
/* Reading a lane that takes no part is undefined in CUDA; here it is the own value. */
template <class T>
static inline T emulation_shuffle(unsigned mask, T v, int from)
{
	static_assert(sizeof v <= EMULATION_LANE, "shuffles are of up to 16 bytes");
	const unsigned char *all = emulation_exchange(mask, &v, sizeof v);
	if (from >= 0 && from < 32 && (mask >> from & 1))
		memcpy(&v, all + from * EMULATION_LANE, sizeof v);
	return v;
}
template <class T>
static inline T __shfl_sync(unsigned mask, T v, int lane, int width = 32)
{
	int self = emulation_lane(), base = self & ~(width - 1);
	return emulation_shuffle(mask, v, base + (lane & (width - 1)));
}
template <class T>
static inline T __shfl_down_sync(unsigned mask, T v, unsigned d, int width = 32)
{
	int self = emulation_lane(), to = self + (int)d;
	return emulation_shuffle(mask, v, (to & ~(width - 1)) == (self & ~(width - 1)) ? to : self);
}
template <class T>
static inline T __shfl_up_sync(unsigned mask, T v, unsigned d, int width = 32)
{
	int self = emulation_lane(), to = self - (int)d;
	return emulation_shuffle(mask, v, to >= (self & ~(width - 1)) ? to : self);
}
template <class T>
static inline T __shfl_xor_sync(unsigned mask, T v, int x, int width = 32)
{
	int self = emulation_lane(), to = self ^ x;
	return emulation_shuffle(mask, v, (to & ~(width - 1)) <= (self & ~(width - 1)) ? to : self);
}
static inline unsigned __ballot_sync(unsigned mask, int p)
{
	unsigned char in = p != 0;
	unsigned r = 0;
	const unsigned char *all = emulation_exchange(mask, &in, 1);
	for (int l = 0; l < 32; l++)
		if ((mask >> l & 1) && all[l * EMULATION_LANE])
			r |= 1u << l;
	return r;
}
static inline int __any_sync(unsigned mask, int p) { return __ballot_sync(mask, p) != 0; }
static inline int __all_sync(unsigned mask, int p) { return __ballot_sync(mask, p) == mask; }

/* --- intrinsics -------------------------------------------------------------------------------- */
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
static inline int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)x) : 64; }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((unsigned long long)a * b >> 32); }
template <class T>
static inline T __ldg(const T *p)
{
	return *p;
}
static inline void __threadfence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
static inline void __threadfence_block(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
template <class To, class From>
static inline To emulation_bits(From f)
{
	To t;
	static_assert(sizeof t == sizeof f, "the same size");
	memcpy(&t, &f, sizeof t);
	return t;
}
static inline int __float_as_int(float x) { return emulation_bits<int>(x); }
static inline unsigned __float_as_uint(float x) { return emulation_bits<unsigned>(x); }
static inline float __int_as_float(int x) { return emulation_bits<float>(x); }
static inline float __uint_as_float(unsigned x) { return emulation_bits<float>(x); }
static inline long long __double_as_longlong(double x) { return emulation_bits<long long>(x); }
static inline double __longlong_as_double(long long x) { return emulation_bits<double>(x); }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
static inline double rsqrt(double x) { return 1.0 / sqrt(x); }
#define EMULATION_MINMAX(T)                                 \
	static inline T min(T a, T b) { return a < b ? a : b; } \
	static inline T max(T a, T b) { return a > b ? a : b; }
EMULATION_MINMAX(int)
EMULATION_MINMAX(unsigned)
EMULATION_MINMAX(long)
EMULATION_MINMAX(unsigned long)
EMULATION_MINMAX(long long)
EMULATION_MINMAX(unsigned long long)

/* Blocks run on several threads of the host, so these are real. */
#define EMULATION_ATOMIC(name, T, expr)                                                               \
	static inline T name(T *p, T v)                                                                   \
	{                                                                                                 \
		T old, now;                                                                                   \
		__atomic_load(p, &old, __ATOMIC_SEQ_CST);                                                     \
		do                                                                                            \
			now = (expr);                                                                             \
		while (!__atomic_compare_exchange(p, &old, &now, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)); \
		return old;                                                                                   \
	}
#define EMULATION_ATOMICS(T)                                                                   \
	EMULATION_ATOMIC(atomicAdd, T, (T)(old + v))                                               \
	EMULATION_ATOMIC(atomicSub, T, (T)(old - v))                                               \
	EMULATION_ATOMIC(atomicMax, T, old > v ? old : v)                                          \
	EMULATION_ATOMIC(atomicMin, T, old < v ? old : v)                                          \
	EMULATION_ATOMIC(atomicOr, T, (T)(old | v))                                                \
	EMULATION_ATOMIC(atomicAnd, T, (T)(old & v))                                               \
	EMULATION_ATOMIC(atomicXor, T, (T)(old ^ v))                                               \
	EMULATION_ATOMIC(atomicExch, T, v)                                                         \
	static inline T atomicCAS(T *p, T compare, T v)                                            \
	{                                                                                          \
		__atomic_compare_exchange(p, &compare, &v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
		return compare;                                                                        \
	}
EMULATION_ATOMICS(unsigned)
EMULATION_ATOMICS(unsigned long long)
static inline int atomicAdd(int *p, int v) { return (int)atomicAdd((unsigned *)p, (unsigned)v); }
EMULATION_ATOMIC(atomicMax, int, old > v ? old : v)
EMULATION_ATOMIC(atomicMin, int, old < v ? old : v)
EMULATION_ATOMIC(atomicOr, int, old | v)
EMULATION_ATOMIC(atomicExch, int, v)
EMULATION_ATOMIC(atomicAdd, float, old + v)
EMULATION_ATOMIC(atomicAdd, double, old + v)

/* --- the library (runtime.cpp) --------------------------------------------------------------------- */
typedef enum cudaError {
	cudaSuccess = 0,
	cudaErrorInvalidValue = 1,
	cudaErrorMemoryAllocation = 2,
	cudaErrorInsufficientDriver = 35,
	cudaErrorNoDevice = 100,
	cudaErrorInvalidDevice = 101,
	cudaErrorInvalidResourceHandle = 400,
	cudaErrorIllegalAddress = 700,
	cudaErrorLaunchFailure = 719,
	cudaErrorNotSupported = 801,
	cudaErrorStreamCaptureInvalidated = 901,
	cudaErrorStreamCaptureUnsupported = 900,
	cudaErrorUnknown = 999
} cudaError_t;
typedef struct emulation_stream *cudaStream_t;
typedef struct emulation_graph *cudaGraph_t;
typedef struct emulation_graph *cudaGraphExec_t;
typedef struct emulation_node *cudaGraphNode_t;
typedef struct emulation_event *cudaEvent_t;
typedef struct emulation_library *cudaLibrary_t;
typedef struct emulation_kernel *cudaKernel_t;
typedef unsigned long long cudaGraphConditionalHandle;
enum cudaMemcpyKind {
	cudaMemcpyHostToHost,
	cudaMemcpyHostToDevice,
	cudaMemcpyDeviceToHost,
	cudaMemcpyDeviceToDevice,
	cudaMemcpyDefault
};
enum cudaStreamCaptureMode {
	cudaStreamCaptureModeGlobal,
	cudaStreamCaptureModeThreadLocal,
	cudaStreamCaptureModeRelaxed
};
enum cudaStreamCaptureStatus {
	cudaStreamCaptureStatusNone,
	cudaStreamCaptureStatusActive,
	cudaStreamCaptureStatusInvalidated
};
enum cudaStreamUpdateCaptureDependenciesFlags { cudaStreamAddCaptureDependencies, cudaStreamSetCaptureDependencies };
enum cudaGraphConditionalNodeType { cudaGraphCondTypeIf, cudaGraphCondTypeWhile };
enum cudaGraphNodeType { cudaGraphNodeTypeKernel = 0, cudaGraphNodeTypeConditional = 13 };
enum cudaFuncAttribute {
	cudaFuncAttributeMaxDynamicSharedMemorySize = 8,
	cudaFuncAttributePreferredSharedMemoryCarveout = 9
};
enum cudaDeviceAttr {
	cudaDevAttrMultiProcessorCount = 16,
	cudaDevAttrComputeCapabilityMajor = 75,
	cudaDevAttrComputeCapabilityMinor = 76,
	cudaDevAttrMaxSharedMemoryPerBlockOptin = 97
};
enum cudaJitOption { cudaJitErrorLogBuffer = 5, cudaJitErrorLogBufferSizeBytes = 6 };
enum cudaLibraryOption { cudaLibraryHostUniversalFunctionAndDataTable };
#define cudaStreamNonBlocking      1u
#define cudaStreamDefault          0u
#define cudaEventDefault           0u
#define cudaEventDisableTiming     2u
#define cudaEventRecordDefault     0u
#define cudaEventRecordExternal    1u
#define cudaGraphCondAssignDefault 1u
struct cudaGraphEdgeData {
	unsigned char from_port, to_port, type, reserved[5];
};
struct cudaConditionalNodeParams {
	cudaGraphConditionalHandle handle;
	enum cudaGraphConditionalNodeType type;
	unsigned int size;
	cudaGraph_t *phGraph_out;
};
struct cudaGraphNodeParams {
	enum cudaGraphNodeType type;
	int reserved0[3];
	struct cudaConditionalNodeParams conditional;
};
struct cudaDeviceProp {
	char name[256];
	size_t totalGlobalMem, sharedMemPerBlock;
	int major, minor, multiProcessorCount;
};
void emulation_signature(const void *fn, void (*call)(const void *fn, void **args), unsigned n, const size_t *size);
template <class... P>
struct emulation_caller {
	template <size_t... I>
	struct indices {
	};
	template <size_t N, size_t... I>
	struct make : make<N - 1, N - 1, I...> {
	};
	template <size_t... I>
	struct make<0, I...> {
		typedef indices<I...> type;
	};
	template <size_t... I>
	static void spread(const void *fn, void **args, indices<I...>)
	{
		reinterpret_cast<void (*)(P...)>(const_cast<void *>(fn))(*static_cast<P *>(args[I])...);
	}
	static void call(const void *fn, void **args) { spread(fn, args, typename make<sizeof...(P)>::type()); }
};
template <class... P>
static inline void emulation_sign(void (*kernel)(P...))
{
	static const size_t size[] = { sizeof(P)... };
	emulation_signature(reinterpret_cast<const void *>(kernel), emulation_caller<P...>::call, sizeof...(P), size);
}
#define CUDA_SIGNATURE(kernel) emulation_sign(kernel)

const char *cudaGetErrorString(cudaError_t);
const char *cudaGetErrorName(cudaError_t);
cudaError_t cudaGetLastError(void);
cudaError_t cudaGetDeviceCount(int *);
cudaError_t cudaSetDevice(int);
cudaError_t cudaDriverGetVersion(int *);
cudaError_t cudaRuntimeGetVersion(int *);
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *, int);
cudaError_t cudaDeviceGetAttribute(int *, enum cudaDeviceAttr, int);
cudaError_t cudaDeviceSynchronize(void);
cudaError_t cudaMemGetInfo(size_t *free, size_t *total);
cudaError_t cudaMalloc(void **, size_t);
cudaError_t cudaFree(void *);
cudaError_t cudaMallocHost(void **, size_t);
cudaError_t cudaFreeHost(void *);
cudaError_t cudaMemcpy(void *, const void *, size_t, enum cudaMemcpyKind);
cudaError_t cudaMemcpyAsync(void *, const void *, size_t, enum cudaMemcpyKind, cudaStream_t = NULL);
cudaError_t cudaMemset(void *, int, size_t);
cudaError_t cudaMemsetAsync(void *, int, size_t, cudaStream_t = NULL);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *, unsigned);
cudaError_t cudaStreamDestroy(cudaStream_t);
cudaError_t cudaStreamSynchronize(cudaStream_t);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *, unsigned);
cudaError_t cudaEventDestroy(cudaEvent_t);
cudaError_t cudaEventRecordWithFlags(cudaEvent_t, cudaStream_t, unsigned);
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t, cudaEvent_t);
cudaError_t cudaFuncSetAttribute(const void *, enum cudaFuncAttribute, int);
cudaError_t cudaLaunchKernel(const void *fn, dim3 grid, dim3 block, void **args, size_t shared, cudaStream_t);
cudaError_t cudaStreamBeginCapture(cudaStream_t, enum cudaStreamCaptureMode);
cudaError_t cudaStreamBeginCaptureToGraph(cudaStream_t, cudaGraph_t, const cudaGraphNode_t *deps,
                                          const struct cudaGraphEdgeData *, size_t n, enum cudaStreamCaptureMode);
cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t *);
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t, enum cudaStreamCaptureStatus *, unsigned long long *id,
                                     cudaGraph_t *, const cudaGraphNode_t **deps, const struct cudaGraphEdgeData **,
                                     size_t *n);
cudaError_t cudaStreamUpdateCaptureDependencies(cudaStream_t, cudaGraphNode_t *, const struct cudaGraphEdgeData *,
                                                size_t n, unsigned flags);
cudaError_t cudaGraphConditionalHandleCreate(cudaGraphConditionalHandle *, cudaGraph_t, unsigned first, unsigned flags);
cudaError_t cudaGraphAddNode(cudaGraphNode_t *, cudaGraph_t, const cudaGraphNode_t *deps,
                             const struct cudaGraphEdgeData *, size_t n, struct cudaGraphNodeParams *);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *, cudaGraph_t, unsigned long long flags = 0);
cudaError_t cudaGraphLaunch(cudaGraphExec_t, cudaStream_t);
cudaError_t cudaGraphDestroy(cudaGraph_t);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t);
cudaError_t cudaGraphGetNodes(cudaGraph_t, cudaGraphNode_t *, size_t *);
cudaError_t cudaLibraryLoadData(cudaLibrary_t *, const void *code, enum cudaJitOption *, void **, unsigned,
                                enum cudaLibraryOption *, void **, unsigned);
cudaError_t cudaLibraryUnload(cudaLibrary_t);
cudaError_t cudaLibraryGetKernel(cudaKernel_t *, cudaLibrary_t, const char *name);
/* On the device: whether the loop around this kernel goes on. */
void cudaGraphSetConditional(cudaGraphConditionalHandle, unsigned value);

/* Libraries that the backend opens at run time. */
void *emulation_dlopen(const char *name, int flags);
void *emulation_dlsym(void *library, const char *name);
#define CUDA_DLOPEN emulation_dlopen
#define CUDA_DLSYM  emulation_dlsym
/* emulated libraries put their work on a stream as this */
#ifdef EMULATION_INSIDE
#include <functional>
cudaError_t emulation_enqueue(cudaStream_t, std::function<void()>);
#endif

#endif
