#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""rein check on the backend of wrong.c: each fault is found, under the op it is in, and named; the
ops without one pass; a case is run again by the command that is printed; exit codes.

usage: faults.py REIN FOLDER_OF_THE_PLUGIN"""
import json
import os
import shlex
import subprocess
import sys

rein, folder = sys.argv[1:3]


def run(*words):
    words = [rein, "check", "--plugin-dir", folder, *words]
    done = subprocess.run(words, capture_output=True, text=True, timeout=110)
    return done.returncode, done.stdout, done.stderr


def expect(what, condition, *shown):
    if not condition:
        sys.exit("\n".join([what, *map(str, shown)]))


FAULTS = {  # op -> what is said of it
    "tanh": "instead of",
    "floor": "guard band: written outside of all tensors, 1 byte behind the result of floor",
    "rint": "guard band: written outside of all tensors, 1 byte before state in0",
    "abs": "other bits in a second run",
    "sign": "other bits with gaps between tensors",
    "sqrt": "run: the square root is out of order",
    "cos": ("crashed: Segmentation fault", "ended the process"),  # the second is a sanitizer's way
    "sin": "took longer than 1 seconds",
}

code, out, err = run("backend/wrong", "--level", "1", "--timeout", "1", "--json",
                     "--only", ",".join([*FAULTS, "erf", "warp", "add", "matmul", "exp", "repeat"]))
expect("exit code", code == 1, code, out, err)
report = json.loads(out)
ops = {o["op"]: o for o in report["ops"]}
for op, text in FAULTS.items():
    found = [f for f in report["failures"] if f["op"] == op]
    expect(f"{op}: no failure", ops[op]["failed"] > 0 and found, ops[op])
    expect(f"{op}: not named", any(t in f["text"] for f in found for t in ([text] if isinstance(text, str) else text)), found)
expect("cos crashes", all(f["crashed"] for f in report["failures"] if f["op"] in ("cos", "sin")))
for op in ("add", "matmul", "exp", "repeat"):
    expect(f"{op}: it is right", ops[op]["failed"] == ops[op]["unsupported"] == 0 < ops[op]["passed"], ops[op])
erf = ops["erf"]
expect("erf: unsupported and not failed", erf["unsupported"] == erf["cases"] > 0 == erf["failed"], erf)
expect("warp: the core makes up for it", ops["warp"]["passed"] == ops["warp"]["cases"], ops["warp"])

# every op of the table is tried, and is really in a program that runs
code, out, err = run("backend/cpu", "--level", "1", "--json")
table = json.loads(out)["ops"]
expect("ops", code == 0 and len(table) == 64, len(table), code)
gone = {o["op"] for o in table if not o["present"]} - {"programs"}
expect("ops that are folded away", gone == {"stop"}, gone)  # the core always drops what only gradients need

# the command that is printed runs the same case to the same end
first = next(f for f in report["failures"] if f["op"] == "tanh")
code, out, err = run(*shlex.split(first["again"])[2:])
expect("again", code == 1 and first["text"].splitlines()[1] in out and "all                 1" in out, out, err)

code, out, err = run("backend/wrong", "--only", "erf,warp")
expect("unsupported", code == 1 and "unsupported: erf: every backend must run it" in out, code, out)
expect("decomposed", "(decomposed by the core)" in out, out)
code, out, err = run("backend/wrong", "--only", "warp")
expect("all good", code == 0, code, out)

code, out, err = run("backend/absent")
expect("no device", code == 3 and "absent is not available: the device was left at home" in err, code, err)
for words, text in [
    (["backend/cpo"], "did you mean 'cpu'"),
    (["backend/cpu", "thread=2"], "did you mean 'threads'"),
    (["backend/cpu", "--only", "mathmul"], "did you mean 'matmul'"),
    (["backend/cpu", "--level", "11"], "1..10"),
    (["backend/cpu", "--case", "3"], "--only"),
    ([], "check what?"),
]:
    code, out, err = run(*words)
    expect(f"{words}: usage", code == 2 and text in err, code, err)
