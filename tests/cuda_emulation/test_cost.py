#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What programs cost on the cuda backend, counted by the emulated runtime: test_cost.py REIN SMALL.ini

A training step is one graph launch, `rein run --time` says so and times kernels, `rein summary --backend` adds up,
and device memory that does not suffice is said before training starts.
"""
import os
import re
import subprocess
import sys
import tempfile

REIN, SMALL = sys.argv[1:3]
CUDA = "cuda fuse=interpreter"
SPEC = ["run.seeds=", "run.log_every=100", "data.val="]  # 200 samples by 32: 7 steps an epoch


def rein(command, *words, code=0, **env):
    done = subprocess.run([REIN, command, SMALL, "--variant", "plain", *words], text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **env})
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}"
    return done.stdout


def calls(tmp, *words):
    """Calls of the runtime by name, and the output."""
    path = os.path.join(tmp, "count")
    text = rein("run", *SPEC, "--out", os.path.join(tmp, "runs"), *words, EMULATION_COUNT=path)
    with open(path) as f:
        return {name: int(n) for name, n in map(str.split, f)}, text


def test_a_step_is_one_launch(tmp):
    for more in ([], ["--time"]):
        few, _ = calls(tmp, f"run.backend={CUDA}", "run.epochs=2", *more)
        many, _ = calls(tmp, f"run.backend={CUDA}", "run.epochs=7", *more)
        assert many["graph"] - few["graph"] == 5 * 7, (few, many)
        assert many["launch"] == few["launch"], "kernels are launched outside of graphs"
        assert many["malloc"] == few["malloc"], "steps take memory"


def programs(text):
    """[(name, runs, kernels, launches a run, host us)] of `--time`, the training step first."""
    row = r"^program ([^:\n]+): (\d+) runs? of (\d+) kernels?, each (?:([\d.]+) graph launch(?:es)? and )?([\d.]+) us of the host"
    found = re.findall(row, text, re.M)
    return [(name, int(runs), int(n), float(launches or 0), float(us)) for name, runs, n, launches, us in found]


def test_time(tmp):
    count, text = calls(tmp, f"run.backend={CUDA}", "run.epochs=3", "--time")
    found = programs(text)
    assert sum(runs for name, runs, *_ in found if name.startswith("train")) == 21, text
    assert all(launches == 1 and us > 0 for *_, launches, us in found), text
    assert sum(runs for _, runs, *_ in found) == count["graph"], (found, count)
    kernels = re.findall(r"^  k\d+ +([\d.]+) us +([\d.]+) %  (.*)", text.split("program train:")[1], re.M)
    assert any("matmul" in what for _, _, what in kernels), text
    assert all(float(us) > 0 for us, _, _ in kernels), text


def test_time_of_loops(tmp):
    """PGD in training: the loop is part of the one graph, or the host replays its body, a graph a round."""
    loop = ["attacks.pgd=pgd epsilon=0.1 steps=3", "regularizers.guard=adversarial_training attack=pgd", "run.epochs=1", "--time"]
    _, text = calls(tmp, f"run.backend={CUDA}", *loop)
    _, _, kernels, launches, _ = programs(text)[0]
    assert launches == 1, text
    count, text = calls(tmp, f"run.backend={CUDA} loops=host", *loop)
    found = programs(text)
    assert found[0][3] == 5, text  # what comes before, three rounds, what comes after
    assert found[0][2] < kernels + 5 and re.search(r"^  k\d+ .* loop$", text, re.M), text
    assert sum(runs * launches for _, runs, _, launches, _ in found) == count["graph"], (found, count)


def test_time_on_the_cpu(tmp):
    text = rein("run", *SPEC, "--out", tmp, "run.backend=cpu", "run.epochs=3", "--time")
    name, runs, kernels, launches, us = programs(text)[0]
    assert (name, runs, launches) == ("train", 18, 0) and kernels > 5 and us > 0, text


def memory(backend, **env):
    text = rein("summary", "--backend", backend, **env)
    rows = re.findall(r"^( *\S.*?) +(\d+)  +[\d.]+ (?:B|KiB|MiB|GiB)", text.split("memory on backend")[1], re.M)
    return {name: int(n) for name, n in rows}


def test_summary(tmp):
    cpu, cuda = memory("cpu"), memory(CUDA)
    states = ("parameters", "buffers", "optimizers, plugins", "data, tables", "counters, metrics")
    assert all(cpu[what] == cuda[what] for what in states) and cpu["parameters"] == 4 * 122, (cpu, cuda)
    assert cpu["optimizers, plugins"] == 2 * cpu["parameters"], cpu  # adam's two moments
    for rows in (cpu, cuda):
        assert rows["arena"] == max(n for what, n in rows.items() if what.startswith("  ")), rows
        assert rows["sum"] == sum(rows[what] for what in states) + rows["arena"] + rows["constants"], rows
    assert cuda["free besides"] + cuda["sum"] <= cuda["the device has"] == 1 << 30, cuda
    assert cuda["free besides"] > 0.99 * (1 << 30), cuda


def test_not_enough_memory(tmp):
    rows = memory(CUDA)
    states = rows["parameters"] + rows["data, tables"]
    out = rein("run", "--out", tmp, "run.backend=" + CUDA, code=2, EMULATION_MEMORY=str(states - 1000))
    assert re.search(r"backend: cuda \S+: out of device memory: \d+ bytes .* asked for a state, [\d.]+ MiB free of [\d.]+ MiB on device 0, "
                     r"[\d.]+ MiB planned and held before; there is no room for '\S+'", out), out
    assert "the states of this run take" in out and "training" not in out and "nothing was run" in out, out
    assert not os.listdir(tmp), "a run folder was begun"
    out = rein("run", "--out", tmp, "run.backend=" + CUDA, "data.val=moons samples=8000 seed=2", "run.eval_batch=8000",
               code=2, EMULATION_MEMORY="400000")
    assert re.search(r"asked for the arena of program evaluate val, .* free of .*, .* planned and held before", out), out
    assert not os.listdir(tmp), "a run folder was begun"


def main():
    bad = 0
    for name, f in [(k, v) for k, v in globals().items() if k.startswith("test_")]:
        with tempfile.TemporaryDirectory() as tmp:
            try:
                f(tmp)
                print("ok", name)
            except (AssertionError, KeyError) as e:
                bad += 1
                print("FAILED", name, type(e).__name__, e)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
