#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""rein check on components: every shipped one passes, each fault of faulty.c is found and named.

usage: parts.py REIN FOLDER_OF_FAULTY PLUGINS"""
import glob
import os
import subprocess
import sys

rein, folder, plugins = sys.argv[1:4]


def run(*words):
    done = subprocess.run([rein, "check", *words], capture_output=True, text=True, timeout=280)
    return done.returncode, done.stdout, done.stderr


def expect(what, condition, *shown):
    if not condition:
        sys.exit("\n".join([what, *map(str, shown)]))


FAULTS = {  # component -> what must be said of it
    "layer/slope": ["numbers, on real (4,6), evaluation:", "derivative by x, element 0:"],
    "layer/count": ["state count.n is assigned in evaluation mode", "though REIN_KEEP_STATE is set"],
    "layer/lose": ["the result's first axis is not the batch", "odd shapes, on real (2,3,5), training:", "crashed|ended the process"],
    "regularizer/edge": ["key 'n' has no help text", "ends of ranges, n=9:", "a penalty is a scalar"],
    "schedule/restless": ["not the same every time"],
    "layer/sum": ["the result's first axis is not the batch"],
    "layer/nothing": ["the layer gives no value"],
    "layer/huge": ["out of memory"],
    "regularizer/root": ["the result's sum is nan, not a finite number"],
    "loss/total": ["a loss gives one value per sample"],
    "attack/flatten_all": ["the result has another shape than what it replaces"],
}
for name, texts in FAULTS.items():
    code, out, err = run(name, "--plugin-dir", folder)
    expect(f"{name}: exit code", code == 1, code, out, err)
    for text in texts:
        expect(f"{name}: not named: {text}", any(t in out for t in text.split("|")), out, err)
    expect(f"{name}: the symbol", "exports 'helper'" in out, out)

code, out, err = run("layer/steps", "--plugin-dir", folder)
expect("steps: a derivative of its own is no fault", "1 failed" in out and out.count("failed:") == 1, out)
code, out, err = run(os.path.join(folder, "faulty.so"))
expect("the file", code == 1 and all(name + " (faulty 1.0.0)" in out for name in [*FAULTS, "layer/steps"]), code, out, err)

n = 0
for file in sorted(glob.glob(os.path.join(plugins, "*.so"))):
    code, out, err = run(file)
    expect(file, code == 0 and out, code, out, err)
    n += 1
expect("plugins", n > 90, n)

for words, text in [
    (["layer/lineer"], "did you mean 'linear'"),
    (["lair/linear"], "cannot be checked"),
    (["layer/linear", "units=0"], "units=0 is outside"),
    (["layer/linear", "unit=3"], "did you mean 'units'"),
    (["layer/linear", "units=x"], "units: 'x' is not a whole number"),
    (["layer/linear", "--only", "add"], "are for backends"),
    (["no_such.so"], "No such file"),
]:
    code, out, err = run(*words)
    expect(f"{words}: usage", code == 2 and text in err and not out, code, out, err)
