/* SPDX-License-Identifier: MIT
 *
 * library.cu: cuBLAS and NVRTC, looked up by name when a program first needs them: so the
 * plugin opens in milliseconds, and where a library is missing the message says which.
 */
#include <dlfcn.h>
#include <stdlib.h>

#include "library.h"

#ifndef CUDA_DLOPEN
#define CUDA_DLOPEN dlopen
#define CUDA_DLSYM  dlsym
#endif

/* The versions that this file knows the functions of, newest first, then whatever the linker finds. */
static const char *const blas_names[] = { "libcublas.so.13", "libcublas.so.12", "libcublas.so", NULL };
static const char *const nvrtc_names[] = { "libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so", NULL };

static void *open_one(const char *const *name)
{
	void *found = NULL;
	for (int k = 0; name[k] && !found; k++)
		found = CUDA_DLOPEN(name[k], RTLD_NOW | RTLD_LOCAL);
#ifdef CUDA_TOOLKIT_LIB /* where the toolkit was that built this */
	for (int k = 0; name[k] && !found; k++) {
		char path[512];
		snprintf(path, sizeof path, "%s/%s", CUDA_TOOLKIT_LIB, name[k]);
		found = CUDA_DLOPEN(path, RTLD_NOW | RTLD_LOCAL);
	}
#endif
	return found;
}

/* Fills a function pointer; remembers the first name that is missing. */
template <class F> static void look(void *library, const char *name, F *out, const char **missing)
{
	void *p = CUDA_DLSYM(library, name);
	if (!p && !*missing)
		*missing = name;
	memcpy(out, &p, sizeof p);
}

struct cuda_library *cuda_library_of(struct cuda *cuda, const struct rein_host *host)
{
	if (!cuda->library)
		cuda->library = static_cast<struct cuda_library *>(host->alloc(host, sizeof *cuda->library));
	return cuda->library;
}

/* --- cuBLAS ---------------------------------------------------------------------------------- */
#define WORKSPACE ((size_t)32 << 20) /* what NVIDIA advises for sm_90 */

static rein_status open_blas(struct cuda *cuda, const struct rein_host *host, struct cuda_library *l)
{
	struct cuda_blas *b = &l->blas;
	cublasStatus_t (*create)(cublasHandle_t *) = NULL;
	cublasStatus_t (*set_math)(cublasHandle_t, cublasMath_t) = NULL;
	const char *missing = NULL;
	void *so = open_one(blas_names);
	if (!so)
		return rein_failf(host, "matrix products need cuBLAS, and none of libcublas.so.13, libcublas.so.12 was found");
	look(so, "cublasCreate_v2", &create, &missing);
	look(so, "cublasDestroy_v2", &l->destroy_blas, &missing);
	look(so, "cublasSetStream_v2", &b->set_stream, &missing);
	look(so, "cublasSetWorkspace_v2", &b->set_workspace, &missing);
	look(so, "cublasSetMathMode", &set_math, &missing);
	look(so, "cublasSgemm_v2", &b->sgemm, &missing);
	look(so, "cublasSgemmStridedBatched", &b->sgemm_strided, &missing);
	look(so, "cublasGemmEx", &b->gemm_ex, &missing);
	if (missing)
		return rein_failf(host, "the cuBLAS that was found has no %s", missing);
	b->workspace_bytes = cuda->n_sm < 16 ? (size_t)1 << 20 : WORKSPACE;
	b->workspace = cuda_take(cuda, host, b->workspace_bytes, "cuBLAS");
	if (!b->workspace)
		return REIN_ERROR;
	cublasStatus_t s = create(&b->handle);
	if (s != CUBLAS_STATUS_SUCCESS)
		return rein_failf(host, "cuBLAS could not be started (status %d)", (int)s);
	if (cuda->math_key) /* tf32 or bf16: gemm_ex asks for the latter by itself */
		set_math(b->handle, CUBLAS_TF32_TENSOR_OP_MATH);
	l->blas_ready = true;
	return REIN_OK;
}

const struct cuda_blas *cuda_blas_get(struct cuda *cuda, const struct rein_host *host)
{
	struct cuda_library *l = cuda_library_of(cuda, host);
	if (!l || (!l->blas_ready && open_blas(cuda, host, l) < 0))
		return NULL;
	return &l->blas;
}

cublasStatus_t cuda_blas_stream(const struct cuda_blas *b, cudaStream_t stream)
{
	cublasStatus_t s = b->set_stream(b->handle, stream); /* forgets the workspace */
	return s == CUBLAS_STATUS_SUCCESS ? b->set_workspace(b->handle, b->workspace, b->workspace_bytes) : s;
}

/* --- NVRTC ------------------------------------------------------------------------------------- */
const struct cuda_nvrtc *cuda_nvrtc_get(struct cuda *cuda, const struct rein_host *host)
{
	struct cuda_library *l = cuda_library_of(cuda, host);
	const char *missing = NULL;
	if (!l)
		return NULL;
	struct cuda_nvrtc *n = &l->nvrtc;
	if (l->nvrtc_looked)
		return l->nvrtc_ready ? n : NULL;
	l->nvrtc_looked = true;
	void *so = open_one(nvrtc_names);
	if (!so)
		return NULL;
	look(so, "nvrtcVersion", &n->version, &missing);
	look(so, "nvrtcCreateProgram", &n->create, &missing);
	look(so, "nvrtcDestroyProgram", &n->destroy, &missing);
	look(so, "nvrtcCompileProgram", &n->compile, &missing);
	look(so, "nvrtcGetProgramLogSize", &n->log_size, &missing);
	look(so, "nvrtcGetProgramLog", &n->log, &missing);
	look(so, "nvrtcGetCUBINSize", &n->cubin_size, &missing);
	look(so, "nvrtcGetCUBIN", &n->cubin, &missing);
	l->nvrtc_ready = !missing;
	return l->nvrtc_ready ? n : NULL;
}

void cuda_library_close(struct cuda *cuda)
{
	struct cuda_library *l = cuda->library;
	if (!l)
		return;
	compiled_close(cuda);
	if (l->blas_ready)
		l->destroy_blas(l->blas.handle);
	cuda_give(cuda, l->blas.workspace);
	cuda->host->free(cuda->host, l);
	cuda->library = NULL;
}
