/* SPDX-License-Identifier: MIT
 *
 * blas.cpp: the emulated cuBLAS: products in column-major order as plain loops, and the
 * lookup of library functions by name. A function that the backend newly uses: write it
 * here and give it a row in the table.
 */
#include <dlfcn.h>
#include <stdlib.h>

#include "machine.h"

#include "include/cublas_v2.h"

struct emulation_blas {
	cudaStream_t stream;
};

static cublasStatus_t create(cublasHandle_t *h) { return *h = new emulation_blas(), CUBLAS_STATUS_SUCCESS; }
static cublasStatus_t destroy(cublasHandle_t h) { return delete h, CUBLAS_STATUS_SUCCESS; }
static cublasStatus_t set_stream(cublasHandle_t h, cudaStream_t s) { return h->stream = s, CUBLAS_STATUS_SUCCESS; }
static cublasStatus_t set_workspace(cublasHandle_t, void *p, size_t n)
{
	return memory_has(p, n) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}
static cublasStatus_t set_math(cublasHandle_t, cublasMath_t) { return CUBLAS_STATUS_SUCCESS; }

/* c (m,n) = alpha op(a) op(b) + beta c, leading dimensions as in BLAS */
static void product(bool ta, bool tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb,
                    float beta, float *c, int ldc)
{
	for (int j = 0; j < n; j++)
		for (int i = 0; i < m; i++) {
			float acc = 0;
			for (int l = 0; l < k; l++)
				acc = fmaf(ta ? a[l + (size_t)i * lda] : a[i + (size_t)l * lda],
				           tb ? b[j + (size_t)l * ldb] : b[l + (size_t)j * ldb], acc);
			float *r = &c[i + (size_t)j * ldc];
			*r = beta == 0 ? alpha * acc : fmaf(alpha, acc, beta * *r);
		}
}

static cublasStatus_t sgemm_strided(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k,
                                    const float *alpha, const float *a, int lda, long long sa, const float *b, int ldb,
                                    long long sb, const float *beta, float *c, int ldc, long long sc, int batch)
{
	float x = *alpha, y = *beta;
	if (m < 0 || n < 0 || k < 0 || lda < (ta ? k : m) || ldb < (tb ? n : k) || ldc < m)
		return CUBLAS_STATUS_INVALID_VALUE;
	emulation_enqueue(h->stream, [=] {
		memory_open();
		for (int i = 0; i < batch; i++)
			product(ta != CUBLAS_OP_N, tb != CUBLAS_OP_N, m, n, k, x, a + i * sa, lda, b + i * sb, ldb, y, c + i * sc, ldc);
		memory_close();
	});
	return CUBLAS_STATUS_SUCCESS;
}
static cublasStatus_t sgemm(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k,
                            const float *alpha, const float *a, int lda, const float *b, int ldb, const float *beta,
                            float *c, int ldc)
{
	return sgemm_strided(h, ta, tb, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc, 0, 1);
}
/* float in and out only, whatever the compute type: the emulation has no shorter floats */
static cublasStatus_t gemm_ex(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k,
                              const void *alpha, const void *a, cudaDataType ka, int lda, const void *b,
                              cudaDataType kb, int ldb, const void *beta, void *c, cudaDataType kc, int ldc,
                              cublasComputeType_t, cublasGemmAlgo_t)
{
	if (ka != CUDA_R_32F || kb != CUDA_R_32F || kc != CUDA_R_32F)
		return CUBLAS_STATUS_NOT_SUPPORTED;
	return sgemm(h, ta, tb, m, n, k, (const float *)alpha, (const float *)a, lda, (const float *)b, ldb,
	             (const float *)beta, (float *)c, ldc);
}

void *nvrtc_symbol(const char *name); /* nvrtc.cpp */

static char blas_library, nvrtc_library;
static void *real_nvrtc;
void *emulation_dlopen(const char *name, int flags)
{
	const char *without = getenv("EMULATION_WITHOUT"), *nvrtc = getenv("EMULATION_NVRTC");
	if (nvrtc && !strcmp(nvrtc, "real") && strstr(name, "libnvrtc.so"))
		return real_nvrtc = dlopen(name, flags);
	if (!strncmp(name, "libcublas.so", 12))
		return without && strstr(without, "cublas") ? NULL : &blas_library;
	if (!strncmp(name, "libnvrtc.so", 11))
		return nvrtc ? &nvrtc_library : NULL;
	return NULL;
}
void *emulation_dlsym(void *library, const char *name)
{
	static const struct {
		const char *name;
		void *fn;
	} table[] = {
		{ "cublasCreate_v2", (void *)create },
		{ "cublasDestroy_v2", (void *)destroy },
		{ "cublasSetStream_v2", (void *)set_stream },
		{ "cublasSetWorkspace_v2", (void *)set_workspace },
		{ "cublasSetMathMode", (void *)set_math },
		{ "cublasSgemm_v2", (void *)sgemm },
		{ "cublasSgemmStridedBatched", (void *)sgemm_strided },
		{ "cublasGemmEx", (void *)gemm_ex },
	};
	if (library && library == real_nvrtc)
		return dlsym(library, name);
	if (library == &nvrtc_library)
		return nvrtc_symbol(name);
	for (auto &row : table)
		if (library == &blas_library && !strcmp(row.name, name))
			return row.fn;
	return NULL;
}
