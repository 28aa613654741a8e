#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The texts that the cuda backend generates are compiled by the CUDA toolkit's NVRTC, which needs no
GPU: without an error, a warning or a spilled register.

    tests/cuda_emulation/test_nvrtc.py build/rein EMULATION PLUGINS TEST_PLUGINS CONFORMANCE_RANDOM

Texts come from the programs of every benchmark net, which are compiled for each architecture, of
every plugin's example and from random programs, which take the architectures in turn (NVRTC_ALL=1:
all for each). Exit code 77, said aloud, where the library is not installed.
"""
import ctypes
import glob
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

REIN = os.path.abspath(sys.argv[1])
PATH = ":".join(os.path.abspath(p) for p in sys.argv[2:5])
RANDOM = os.path.abspath(sys.argv[5])
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
ARCHITECTURES = ("sm_80", "sm_90")
FOLDERS = ["", *(os.path.join(d, "") for d in ("/usr/local/cuda/lib64", "/usr/local/cuda/lib",
                                                "/usr/lib/x86_64-linux-gnu"))]
NAMES = ("libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so")


def library():
    for folder in FOLDERS:
        for name in NAMES:
            try:
                return ctypes.CDLL(folder + name), folder
            except OSError:
                pass
    print("skipped: NVRTC is not installed: none of", ", ".join(NAMES), "was found")
    sys.exit(77)


def compile_text(nvrtc, text, arch):
    """What the compiler says, registers included; the options are those of compiled.cu."""
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), text, b"chain.cu", 0, None, None) == 0
    options = [f"--gpu-architecture={arch}".encode(), b"--fmad=false", b"--std=c++17", b"--diag-suppress=177,550",
               b"--ptxas-options=-v"]
    result = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    assert nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size)) == 0
    log = ctypes.create_string_buffer(size.value + 1)
    assert nvrtc.nvrtcGetProgramLog(program, log) == 0
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return result, log.value.decode()


def rein(*words, code=0, **more):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("EMULATION_", "REIN_"))}
    env.update(REIN_PLUGIN_PATH=PATH, **more)
    p = subprocess.run([REIN, *words], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/tmp")
    assert p.returncode == code, f"rein {' '.join(words)}: exit code {p.returncode}, expected {code}\n{p.stdout}"
    return p.stdout


def collect(tmp):
    """Texts of all programs; the first so many are of benchmark nets."""
    texts = os.path.join(tmp, "texts")
    os.mkdir(texts)
    env = {"EMULATION_TEXTS": texts, "EMULATION_NVRTC": "texts", "XDG_CACHE_HOME": os.path.join(tmp, "cache")}
    found, counts = [], []

    def take(what):
        new = sorted(set(glob.glob(os.path.join(texts, "*.cu"))) - set(found))
        print(f"{len(new)} texts of {what}", flush=True)
        found.extend(new)
        counts.append(len(new))

    for pattern in ("bench/*.ini", "plugins/*/*/*.ini"):
        configs = sorted(glob.glob(os.path.join(ROOT, pattern)))
        for config in configs:
            rein("summary", "--program", config, "run.backend=cuda fuse=nvrtc", **env)
        take(f"{len(configs)} configs {pattern}")
    # these are made one by one, and end where they would be run
    subprocess.run([RANDOM, "--jobs", "1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   env={**os.environ, **env, "REIN_PLUGIN_PATH": PATH, "REIN_TEST_BACKEND": "cuda fuse=nvrtc"})
    take("random programs")
    assert counts[0] > 30 and counts[1] > 300 and counts[2] > 30, counts
    return [open(f, "rb").read() for f in found], counts[0]


def check_text(nvrtc, text, arch):
    result, log = compile_text(nvrtc, text, arch)
    said = [line for line in log.splitlines() if line and "ptxas info" not in line and "bytes stack frame" not in line]
    assert result == 0 and not said, f"{arch}: {log[:3000]}\n{text.decode()[-3000:]}"
    spills = re.findall(r"(\d+) bytes spill stores, (\d+) bytes spill loads", log)  # sin and cos have arrays of their own
    used = re.findall(r"Used (\d+) registers", log)
    assert spills and used, log
    assert all(s == ("0", "0") for s in spills), f"{arch}: registers are spilled: {log}\n{text.decode()[-6000:]}"
    return max(map(int, used))


def check_message(tmp, folder):
    """An error of the compiler reaches the user as it is."""
    config = os.path.join(tmp, "x.ini")
    with open(config, "w") as f:
        f.write("[run]\nconfig = 1\nepochs = 1\nbackend = cuda\n[data]\ntrain = moons samples=20\n[network]\n"
                "out = linear units=2\n[loss]\nce = cross_entropy\n[optimizer]\nsgd = sgd lr=0.1\n[regularizers]\n"
                "odd = host_only\n")
    out = rein("summary", config, code=2, EMULATION_NVRTC="real", LD_LIBRARY_PATH=folder,
               XDG_CACHE_HOME=os.path.join(tmp, "cache"))
    for part in ("x.ini:4: [run] backend", "[regularizers] odd: kernel odd: NVRTC did not accept a kernel: chain.cu(",
                 'error: identifier "only_on_the_host" is undefined'):
        assert part in out, f"'{part}' is not in:\n{out}"
    rein("run", config, "run.backend=cpu", "--out", os.path.join(tmp, "runs"))


def main():
    nvrtc, folder = library()
    with tempfile.TemporaryDirectory(prefix="rein-nvrtc-") as tmp:
        texts, nets = collect(tmp)
        check_message(tmp, folder)
    with ThreadPoolExecutor(2) as pool:
        for turn, arch in enumerate(ARCHITECTURES):
            mine = [text for k, text in enumerate(texts)
                    if k < nets or k % len(ARCHITECTURES) == turn or os.environ.get("NVRTC_ALL")]
            most = max(pool.map(lambda text: check_text(nvrtc, text, arch), mine))
            print(f"{arch}: {len(mine)} texts compiled, at most {most} registers, none spilled", flush=True)


main()
