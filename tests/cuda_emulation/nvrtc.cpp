/* SPDX-License-Identifier: MIT
 *
 * nvrtc.cpp: the emulated NVRTC: generated text is compiled for the host by the C++ compiler
 * that EMULATION_NVRTC names; its "cubin" is the shared library that comes out, with its
 * size in front. Kernels compiled so use neither barriers nor shared memory and are called
 * rein_chain. For tests of the texts:
 *   EMULATION_TEXTS=folder   keeps every text there
 *   EMULATION_NVRTC=texts    nothing is compiled: programs can be made, not run
 *   EMULATION_NVRTC=real     the library of the CUDA toolkit compiles (blas.cpp): likewise
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

#include "machine.h"

#include "include/nvrtc.h"

struct emulation_nvrtc {
	std::string text, log, code;
};

static const char prelude[] = "#include <math.h>\n"
							  "#include <string.h>\n"
							  "#define __device__\n#define __global__\n#define __forceinline__ inline\n"
							  "#define __launch_bounds__(...)\n"
							  "static double __longlong_as_double(long long x) { double d; memcpy(&d, &x, 8); return d; }\n"
							  "static thread_local struct { unsigned x; } blockIdx, threadIdx, gridDim, blockDim;\n";
static const char postlude[] =
	"extern \"C\" const unsigned long emulation_size = sizeof(chain_args);\n"
	"extern \"C\" void emulation_entry(void **args, unsigned b, unsigned t, unsigned nb, unsigned nt)\n"
	"{\n\tblockIdx.x = b; threadIdx.x = t; gridDim.x = nb; blockDim.x = nt;\n"
	"\trein_chain(*(chain_args *)args[0]);\n}\n";

static std::string slurp(const std::string &path)
{
	std::string s;
	char buf[4096];
	FILE *f = fopen(path.c_str(), "rb");
	for (size_t n; f && (n = fread(buf, 1, sizeof buf, f)) > 0;)
		s.append(buf, n);
	if (f)
		fclose(f);
	return s;
}
static void spill(const std::string &path, const std::string &s)
{
	FILE *f = fopen(path.c_str(), "wb");
	if (!f || fwrite(s.data(), 1, s.size(), f) != s.size() || fclose(f))
		emulation_abort("%s cannot be written", path.c_str());
}
static void keep_text(const std::string &text)
{
	const char *dir = getenv("EMULATION_TEXTS");
	char name[40];
	snprintf(name, sizeof name, "/%016zx.cu", std::hash<std::string>()(text));
	if (dir)
		spill(dir + std::string(name), text);
}
static bool only_made(void)
{
	const char *how = getenv("EMULATION_NVRTC");
	return how && (!strcmp(how, "texts") || !strcmp(how, "real"));
}
static std::string folder(void)
{
	const char *tmp = getenv("TMPDIR");
	std::string path = std::string(tmp && *tmp ? tmp : "/tmp") + "/rein-nvrtc-XXXXXX";
	if (!mkdtemp(&path[0]))
		emulation_abort("no temporary folder");
	return path;
}
static void remove_folder(const std::string &dir)
{
	for (const char *name : { "/k.cpp", "/k.so", "/log" })
		unlink((dir + name).c_str());
	rmdir(dir.c_str());
}

static nvrtcResult version(int *major, int *minor) { return *major = 13, *minor = 0, NVRTC_SUCCESS; }
static nvrtcResult create(nvrtcProgram *p, const char *text, const char *, int, const char *const *, const char *const *)
{
	*p = new emulation_nvrtc();
	(*p)->text = text;
	return NVRTC_SUCCESS;
}
static nvrtcResult destroy(nvrtcProgram *p) { return delete *p, *p = NULL, NVRTC_SUCCESS; }
static nvrtcResult compile(nvrtcProgram p, int, const char *const *)
{
	keep_text(p->text);
	if (only_made()) {
		p->code = "made, not to be run";
		return NVRTC_SUCCESS;
	}
	std::string dir = folder();
	spill(dir + "/k.cpp", prelude + p->text + postlude);
	std::string command = std::string(getenv("EMULATION_NVRTC")) + " -std=c++17 -O1 -w -ffp-contract=off -fPIC -shared -o " +
		dir + "/k.so " + dir + "/k.cpp >" + dir + "/log 2>&1";
	int status = system(command.c_str());
	p->log = slurp(dir + "/log");
	std::string so = status == 0 ? slurp(dir + "/k.so") : "";
	size_t n = so.size();
	p->code = std::string((const char *)&n, sizeof n) + so;
	remove_folder(dir);
	return status == 0 ? NVRTC_SUCCESS : NVRTC_ERROR_COMPILATION;
}
static nvrtcResult log_size(nvrtcProgram p, size_t *n) { return *n = p->log.size() + 1, NVRTC_SUCCESS; }
static nvrtcResult get_log(nvrtcProgram p, char *out) { return strcpy(out, p->log.c_str()), NVRTC_SUCCESS; }
static nvrtcResult cubin_size(nvrtcProgram p, size_t *n) { return *n = p->code.size(), NVRTC_SUCCESS; }
static nvrtcResult cubin(nvrtcProgram p, char *out)
{
	memcpy(out, p->code.data(), p->code.size());
	return NVRTC_SUCCESS;
}

void *nvrtc_symbol(const char *name)
{
	static const struct {
		const char *name;
		void *fn;
	} table[] = {
		{ "nvrtcVersion", (void *)version },         { "nvrtcCreateProgram", (void *)create },
		{ "nvrtcDestroyProgram", (void *)destroy },  { "nvrtcCompileProgram", (void *)compile },
		{ "nvrtcGetProgramLogSize", (void *)log_size }, { "nvrtcGetProgramLog", (void *)get_log },
		{ "nvrtcGetCUBINSize", (void *)cubin_size }, { "nvrtcGetCUBIN", (void *)cubin },
	};
	for (auto &row : table)
		if (!strcmp(row.name, name))
			return row.fn;
	return NULL;
}

/* --- loading ------------------------------------------------------------------------------------ */
struct emulation_library {
	void *so;
};
typedef void entry_fn(void **, unsigned, unsigned, unsigned, unsigned);
static void call(const void *fn, void **args)
{
	((entry_fn *)(uintptr_t)fn)(args, blockIdx.x, threadIdx.x, gridDim.x, blockDim.x);
}

cudaError_t cudaLibraryLoadData(cudaLibrary_t *l, const void *code, enum cudaJitOption *, void **, unsigned,
                                enum cudaLibraryOption *, void **, unsigned)
{
	size_t n;
	if (only_made())
		return *l = new emulation_library{ NULL }, cudaSuccess;
	memcpy(&n, code, sizeof n);
	std::string dir = folder();
	spill(dir + "/k.so", std::string((const char *)code + sizeof n, n));
	void *so = dlopen((dir + "/k.so").c_str(), RTLD_NOW | RTLD_LOCAL);
	remove_folder(dir);
	*l = so ? new emulation_library{ so } : NULL;
	return so ? cudaSuccess : cudaErrorInvalidValue;
}
cudaError_t cudaLibraryUnload(cudaLibrary_t l)
{
	if (l && l->so)
		dlclose(l->so);
	delete l;
	return cudaSuccess;
}
static void cannot_run(const void *, void **)
{
	emulation_abort("EMULATION_NVRTC=%s: programs are made, not run", getenv("EMULATION_NVRTC"));
}

cudaError_t cudaLibraryGetKernel(cudaKernel_t *k, cudaLibrary_t l, const char *name)
{
	if (!l->so) {
		emulation_signature((const void *)cannot_run, cannot_run, 0, NULL);
		*k = (cudaKernel_t)(void *)cannot_run;
		return strcmp(name, "rein_chain") ? cudaErrorInvalidValue : cudaSuccess;
	}
	void *fn = dlsym(l->so, "emulation_entry");
	const unsigned long *size = (const unsigned long *)dlsym(l->so, "emulation_size");
	if (!fn || !size || strcmp(name, "rein_chain"))
		return cudaErrorInvalidValue;
	size_t n = *size;
	emulation_signature(fn, call, 1, &n);
	*k = (cudaKernel_t)fn;
	return cudaSuccess;
}
