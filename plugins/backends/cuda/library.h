/* SPDX-License-Identifier: MIT
 *
 * library.h: libraries opened at run time, one set per open backend.
 */
#ifndef CUDA_LIBRARY_H
#define CUDA_LIBRARY_H

#include "cuda.h"

struct compiled_kernel;
struct cuda_nvrtc {
	nvrtcResult (*version)(int *major, int *minor);
	nvrtcResult (*create)(nvrtcProgram *, const char *text, const char *name, int n, const char *const *header,
	                      const char *const *header_name);
	nvrtcResult (*destroy)(nvrtcProgram *);
	nvrtcResult (*compile)(nvrtcProgram, int n, const char *const *option);
	nvrtcResult (*log_size)(nvrtcProgram, size_t *);
	nvrtcResult (*log)(nvrtcProgram, char *);
	nvrtcResult (*cubin_size)(nvrtcProgram, size_t *);
	nvrtcResult (*cubin)(nvrtcProgram, char *);
};
struct cuda_library {
	struct cuda_blas blas;
	cublasStatus_t (*destroy_blas)(cublasHandle_t);
	bool blas_ready, nvrtc_looked, nvrtc_ready;
	struct cuda_nvrtc nvrtc;
	struct compiled_kernel *compiled; /* compiled.cu */
};
void compiled_close(struct cuda *);
/* NULL after fail(). */
struct cuda_library *cuda_library_of(struct cuda *, const struct rein_host *);
/* NULL where there is no NVRTC; not an error. */
const struct cuda_nvrtc *cuda_nvrtc_get(struct cuda *, const struct rein_host *);

#endif
