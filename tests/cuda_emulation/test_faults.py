#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the cuda backend says and keeps when something is missing or breaks: build/rein, with the
emulated GPU told to misbehave (runtime.cpp lists how).

    tests/cuda_emulation/test_faults.py build/rein EMULATION PLUGINS TEST_PLUGINS COMPILER [name ...]

Each function test_* is one case and gets an empty folder. A new case is a new function.
"""
import glob
import json
import os
import re
import subprocess
import sys
import tempfile

REIN = os.path.abspath(sys.argv[1])
PATH = ":".join(os.path.abspath(p) for p in sys.argv[2:5])
COMPILER = sys.argv[5]

CONFIG = """\
[run]
config = 1
seed   = 3
epochs = 6
batch  = 20
checkpoint_seconds = 0
backend = cuda

[data]
train = moons samples=100
val   = moons samples=40 seed=2

[network]
fc1 = linear units=8
act = {act}
out = linear units=2

[loss]
ce = cross_entropy

[optimizer]
adam = adam lr=0.05

[regularizers]
weights = {regularizer}
"""
BACKEND_LINE, ACT_LINE = 7, 15


def config(folder, backend="cuda", act="tanh", regularizer="l2 lambda=0.001"):
    text = CONFIG.format(act=act, regularizer=regularizer).replace("backend = cuda", f"backend = {backend}")
    with open(os.path.join(folder, "x.ini"), "w") as f:
        f.write(text)


def rein(*words, cwd, code=0, **more):
    """Runs to the end; what it printed. The exit code must be the expected one."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("EMULATION_", "REIN_", "XDG_"))}
    env.update(REIN_PLUGIN_PATH=PATH, XDG_CACHE_HOME=os.path.join(cwd, "cache"), **more)
    p = subprocess.run([REIN, *words], cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                       timeout=300)
    assert p.returncode == code, f"rein {' '.join(words)}: exit code {p.returncode}, expected {code}\n{p.stdout}"
    assert "cuda emulation:" not in p.stdout, p.stdout
    return p.stdout


def has(text, *parts):
    for part in parts:
        assert part in text, f"'{part}' is not in:\n{text}"


def read(*parts):
    with open(os.path.join(*parts), "rb") as f:
        return f.read()


def losses(folder):
    rows = [json.loads(line) for line in read(folder, "runs", "x", "main", "metrics.jsonl").splitlines()]
    return [row["train.loss"] for row in rows if "train.loss" in row]


def cached(tmp):
    return sorted(glob.glob(os.path.join(tmp, "cache", "rein", "*.cubin")))


# --- no device ------------------------------------------------------------------------------


def refused(tmp, *parts, backend="cuda", code=2, **more):
    config(tmp, backend)
    out = rein("run", "x.ini", cwd=tmp, code=code, **more)
    has(out, f"x.ini:{BACKEND_LINE}: [run] backend = {backend}", *parts, "nothing was run")
    assert not os.path.exists(os.path.join(tmp, "runs")), out


def test_no_driver(tmp):
    refused(tmp, "backend cuda cannot be used: no NVIDIA driver is installed (libcuda.so.1 was not found)",
            EMULATION_DRIVER="none")


def test_old_driver(tmp):
    refused(tmp, "the NVIDIA driver is too old: it knows CUDA 11.0, this build needs 13.0", EMULATION_DRIVER="old")


def test_driver_without_device(tmp):
    refused(tmp, "the NVIDIA driver is there (CUDA 13.0), but it finds no device", EMULATION_DEVICES="0")


def test_no_such_device(tmp):
    refused(tmp, "there is no device 3; there are: 0 CUDA emulation, 1 CUDA emulation", backend="cuda device=3",
            EMULATION_DEVICES="2")


def test_device_in_use(tmp):
    refused(tmp, "backend cuda cannot be opened: the device cannot be used", EMULATION_FAIL="stream:1")


def test_loops_on_an_old_driver(tmp):
    refused(tmp, "loops=device needs a driver for CUDA 12.4 or later; this one knows 12.3",
            backend="cuda loops=device", EMULATION_DRIVER="12030")
    config(tmp)
    rein("run", "x.ini", cwd=tmp, EMULATION_DRIVER="12030")


def test_auto_falls_back_and_says_so_once(tmp):
    config(tmp, "auto")
    for why, more in [("no NVIDIA driver is installed", {"EMULATION_DRIVER": "none"}),
                      ("it finds no device", {"EMULATION_DEVICES": "0"}),
                      ("the device cannot be used", {"EMULATION_FAIL": "stream:1"})]:
        out = rein("run", "x.ini", cwd=tmp, **more)
        assert out.count("using cpu (") == 1 and out.count(why) == 1, out
        has(out, "training on cpu")
    has(read(tmp, "runs", "x", "main", "resolved.ini").decode(), "backend = cpu")
    out = rein("run", "x.ini", cwd=tmp)
    has(out, "training on cuda")
    assert "using" not in out, out


def test_doctor_names_the_reason(tmp):
    out = rein("doctor", cwd=tmp, EMULATION_DRIVER="none")
    has(out, "cuda 1.0.0: not available: no NVIDIA driver is installed")


# --- a device that breaks -------------------------------------------------------------------


def test_lost_device_keeps_the_checkpoint_and_resumes_to_the_same_bits(tmp):
    config(tmp)
    rein("run", "x.ini", "--out", "whole", cwd=tmp)
    whole = [os.path.join(d, f) for d, _, fs in os.walk(os.path.join(tmp, "whole")) for f in fs if f == "model.safetensors"]
    assert len(whole) == 1, whole
    hit = set()
    for what, at in [("sync", 60), ("graph", 40), ("sync", 90)]:
        out = rein("run", "x.ini", "--out", f"{what}{at}", cwd=tmp, code=1, EMULATION_FAIL=f"{what}:{at}")
        has(out, "backend 'cuda'", "unspecified launch failure (cudaErrorLaunchFailure)", "main.unfinished")
        kept = [f for d, _, fs in os.walk(os.path.join(tmp, f"{what}{at}")) for f in fs]
        if "checkpoint.safetensors" in kept:
            hit.add(what)
        assert "model.safetensors" not in kept, kept
        rein("run", "x.ini", "--out", f"{what}{at}", "--resume", cwd=tmp)
        again = whole[0].replace(os.path.join(tmp, "whole"), os.path.join(tmp, f"{what}{at}"))
        assert read(again) == read(whole[0]), f"{what}:{at}: not the same bits"
    assert hit == {"sync", "graph"}, hit


def test_lost_while_it_waits(tmp):
    config(tmp)
    said = [rein("run", "x.ini", "--out", f"o{k}", cwd=tmp, code=1, EMULATION_FAIL=f"sync:{k}") for k in range(60, 68)]
    for out in said:
        has(out, "unspecified launch failure (cudaErrorLaunchFailure)")
    for what in ("device 0 failed while program ", "copying to the device: "):
        assert any(what in out for out in said), said


def test_memory_is_full(tmp):
    config(tmp)
    states = rein("run", "x.ini", cwd=tmp, code=2, EMULATION_MEMORY="2000")
    tables = rein("run", "x.ini", cwd=tmp, code=2, EMULATION_MEMORY="100000")
    for out in (states, tables):
        has(out, f"x.ini:{BACKEND_LINE}: [run] backend", "nothing was run")
        assert re.search(r"out of device memory: \d+ bytes \(\d+\.\d MiB\) asked for .*, \d+\.\d MiB free of \d+\.\d MiB "
                         r"on device 0, \d+\.\d MiB planned and held before", out), out
    has(states, "asked for a state")
    assert not os.path.exists(os.path.join(tmp, "runs"))


def test_every_allocation_may_fail(tmp):
    config(tmp)
    for k in range(1, 400, 4):
        env = {"EMULATION_FAIL": f"malloc:{k}"}
        try:
            out = rein("run", "x.ini", "run.epochs=1", cwd=tmp, code=2, **env)
        except AssertionError as e:
            if "exit code 0" in str(e):
                assert k > 20, k
                return
            if "exit code 1" not in str(e):
                raise
            out = str(e)
        has(out, "out of device memory")
    raise AssertionError("400 allocations")


def test_graph_that_cannot_be_made(tmp):
    config(tmp)
    out = rein("run", "x.ini", cwd=tmp, code=2, EMULATION_FAIL="instantiate:1")
    has(out, f"x.ini:{BACKEND_LINE}: [run] backend: cuda", "the graph of a program could not be made: unspecified launch failure",
        "nothing was run")


# --- what the backend does not have ----------------------------------------------------------------


def test_an_op_it_does_not_have(tmp):
    config(tmp, act="outside")
    for command in (["run", "x.ini"], ["summary", "x.ini"]):
        out = rein(*command, cwd=tmp, code=2)
        has(out, f"x.ini:{ACT_LINE}: [network] act: backend cuda cannot run op 'custom', a function in C")
    config(tmp, "cpu", act="outside")
    rein("run", "x.ini", "run.epochs=1", cwd=tmp)


def test_no_cublas(tmp):
    config(tmp)
    out = rein("run", "x.ini", cwd=tmp, EMULATION_WITHOUT="cublas")  # products of this size are its own
    has(out, "training on cuda")


# --- NVRTC ----------------------------------------------------------------------------------------


def test_without_nvrtc_chains_are_interpreted_and_kernels_of_plugins_refused(tmp):
    config(tmp)
    rein("run", "x.ini", cwd=tmp)
    config(tmp, "cuda fuse=nvrtc")
    out = rein("run", "x.ini", cwd=tmp, code=2)
    has(out, f"x.ini:{BACKEND_LINE}: [run] backend", "NVRTC", "libnvrtc.so.13")
    config(tmp, regularizer="huber lambda=0.001")
    out = rein("run", "x.ini", cwd=tmp, code=2)
    has(out, f"x.ini:{BACKEND_LINE}: [run] backend", "[regularizers] weights", "kernel bowl is compiled at run time and needs NVRTC",
        "none of libnvrtc.so.13, libnvrtc.so.12 was found", "nothing was run")


def test_the_compilers_own_message_comes_through(tmp):
    config(tmp, regularizer="huber lambda=0.001")
    bad = "sh -c 'echo chain.cu:4: error: no such function; exit 1' --"
    out = rein("run", "x.ini", cwd=tmp, code=2, EMULATION_NVRTC=bad)
    has(out, "[regularizers] weights", "kernel bowl", "chain.cu:4: error: no such function")


def compiled_run(tmp, **more):
    rein("run", "x.ini", "--out", "again", cwd=tmp, EMULATION_NVRTC=COMPILER, **more)
    files = glob.glob(os.path.join(tmp, "again", "**", "model.safetensors"), recursive=True)
    assert len(files) == 1, files
    data = read(files[0])
    subprocess.run(["rm", "-r", os.path.join(tmp, "again")], check=True)
    return data


def test_cache_of_compiled_kernels(tmp):
    config(tmp, regularizer="huber lambda=0.001")
    first = compiled_run(tmp)
    files = cached(tmp)
    assert len(files) > 1, files
    good = {f: read(f) for f in files}
    # from the cache: a compiler that cannot be run is not missed
    assert rein("run", "x.ini", cwd=tmp, EMULATION_NVRTC="false").count("training on cuda") == 1
    damage = (lambda b: b[:len(b) // 2], lambda b: b[:60], lambda b: b"", lambda b: b[:-1],
              lambda b: b[:200] + bytes([b[200] ^ 1]) + b[201:], lambda b: b[:-9] + b"123456789",
              lambda b: b"\0" * len(b), lambda b: b[:4000] + b[5000:])
    for turn in (0, 4):
        for k, f in enumerate(files):
            with open(f, "wb") as out:
                out.write(damage[(k + turn) % 8](good[f]))
        assert compiled_run(tmp) == first, "other bits from a damaged cache"
        assert {f for f in files if len(read(f)) > 5000} == set(files)  # compiled and written again
    assert rein("run", "x.ini", cwd=tmp, EMULATION_NVRTC="false").count("training on cuda") == 1


def test_cache_that_cannot_be_used(tmp):
    config(tmp, regularizer="huber lambda=0.001")
    cache = os.path.join(tmp, "cache")
    with open(cache, "w"):
        pass  # a file where the folder should be
    first = compiled_run(tmp)
    os.remove(cache)
    os.makedirs(os.path.join(cache, "rein"))
    os.chmod(os.path.join(cache, "rein"), 0o777)  # others could put code there
    assert compiled_run(tmp) == first
    assert not cached(tmp)
    os.chmod(os.path.join(cache, "rein"), 0o500)
    assert compiled_run(tmp) == first
    assert os.geteuid() == 0 or not cached(tmp)
    subprocess.run(["rm", "-r", cache], check=True)
    os.symlink("/dev", cache)
    assert compiled_run(tmp) == first


def main():
    cases = {k: v for k, v in globals().items() if k.startswith("test_")}
    wanted = sys.argv[6:] or cases
    bad = 0
    for name in wanted:
        with tempfile.TemporaryDirectory(prefix="rein-faults-") as tmp:
            try:
                cases[name](tmp)
            except AssertionError as e:
                bad += 1
                print(f"FAIL {name}\n{e}", flush=True)
            else:
                print(f"ok   {name}", flush=True)
    return bad != 0


if __name__ == "__main__":
    sys.exit(main())
