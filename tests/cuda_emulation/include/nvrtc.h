/* SPDX-License-Identifier: MIT
 *
 * nvrtc.h of the emulation: types. The library is there when EMULATION_NVRTC names a C++
 * compiler, which then compiles the generated text for the host (nvrtc.cpp).
 */
#ifndef CUDA_EMULATION_NVRTC_H
#define CUDA_EMULATION_NVRTC_H

#include <stddef.h>

typedef enum {
	NVRTC_SUCCESS = 0,
	NVRTC_ERROR_OUT_OF_MEMORY = 1,
	NVRTC_ERROR_INVALID_INPUT = 3,
	NVRTC_ERROR_COMPILATION = 6
} nvrtcResult;
typedef struct emulation_nvrtc *nvrtcProgram;

#endif
