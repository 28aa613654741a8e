#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The losses of the first ten steps of every benchmark net on the cuda backend, which may be the
emulated one, against those of the cpu backend, to the tolerance of docs/numerics.md; and two
runs on it leave the same bytes.

    tests/cuda_emulation/test_first_steps.py build/rein [net ...]

A step is an epoch here, whose one batch is all there is, so that each loss is printed. A new
net in bench/ is one more case; the list below makes those smaller that take too long.
"""
import glob
import json
import os
import subprocess
import sys
import tempfile

REIN = os.path.abspath(sys.argv[1])
BENCH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bench")
STEPS, BATCH = 10, 4
TOLERANCE = 1e-6  # relative to 1 + loss
SMALLER = {
    "alexnet_head": ["data.train.shape=3,64,64", "network.fc1.units=256", "network.fc2.units=128"],
    "mnist_cnn": ["network.fc1.units=60"],
    "mnist_pgd": ["network.fc1.units=60", f"stages.fit.epochs={STEPS}", "attacks.pgd.steps=5", "stages.robust.limit=4"],
}


def run(net, backend, folder):
    words = [f"run.epochs={STEPS}", f"run.batch={BATCH}", f"data.train.samples={BATCH}", "run.log_every=1", "run.threads=1",
             *SMALLER.get(net, [])]
    p = subprocess.run([REIN, "run", "-q", os.path.join(BENCH, net + ".ini"), "run.backend=" + backend, "--out", folder, *words],
                       capture_output=True, text=True)
    assert p.returncode == 0, f"{net} on {backend}: {p.stdout}{p.stderr}"
    place = os.path.join(folder, net, "main")
    with open(os.path.join(place, "metrics.jsonl")) as f:
        rows = [json.loads(line) for line in f]
    with open(os.path.join(place, "model.safetensors"), "rb") as f:
        return [row["train.loss"] for row in rows if "train.loss" in row], f.read()


def check(net):
    with tempfile.TemporaryDirectory(prefix="rein-steps-") as tmp:
        cpu, _ = run(net, "cpu", os.path.join(tmp, "cpu"))
        one, weights = run(net, "cuda fuse=interpreter", os.path.join(tmp, "one"))
        two, again = run(net, "cuda fuse=interpreter", os.path.join(tmp, "two"))
    assert len(cpu) == STEPS and len(one) == STEPS, f"{net}: {len(cpu)} and {len(one)} losses, expected {STEPS}"
    apart = [abs(a - b) / (1 + abs(a)) for a, b in zip(cpu, one)]
    print(f"{net:16} loss {cpu[0]:.6f} to {cpu[-1]:.6f}, at most {max(apart):.2g} apart", flush=True)
    assert max(apart) <= TOLERANCE, f"{net}: {apart}"
    assert cpu[0] != cpu[-1], f"{net} does not train"
    assert one == two and weights == again, f"{net}: two runs differ"


def main():
    nets = sys.argv[2:] or sorted(os.path.basename(f)[:-4] for f in glob.glob(os.path.join(BENCH, "*.ini")))
    assert set(SMALLER) <= set(nets) or sys.argv[2:], "a net of the list is not in bench/"
    for net in nets:
        check(net)


main()
