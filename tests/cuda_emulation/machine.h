/* SPDX-License-Identifier: MIT
 *
 * machine.h: what the emulated runtime asks of the emulated GPU.
 */
#ifndef CUDA_EMULATION_MACHINE_H
#define CUDA_EMULATION_MACHINE_H

#define EMULATION_INSIDE 1
#include <vector>

#include "include/cuda_runtime.h"

/* Runs a kernel to its end, block by block. */
void machine_run(const void *fn, dim3 grid, dim3 block, void **args, size_t shared);
/* Sizes of a kernel's parameters; NULL if CUDA_SIGNATURE never named this function. */
const std::vector<size_t> *machine_parameters(const void *fn);

/* Device memory: a region that is closed to the host unless open. NULL when it is full. */
void *memory_take(size_t bytes);
bool memory_give(void *);
bool memory_has(const void *, size_t bytes); /* inside of one allocation */
void memory_open(void);                      /* nests */
void memory_close(void);
/* Guard bands around every allocation are as they were; else aborts with who wrote. */
void memory_check(const char *after);
size_t memory_used(void);

/* Whether the body of a loop in a graph is being captured on this stream. */
bool emulation_in_loop(cudaStream_t);

/* Says what is wrong with the program under test and ends it. */
[[noreturn]] void emulation_abort(const char *format, ...);

#endif
