# SPDX-License-Identifier: MIT
"""The GPU's rows of bench/run: rein with backend=cuda against PyTorch, in turn, round after round.

rein runs with math=fp32 and math=tf32; PyTorch as it comes (it convolves in TF32, and multiplies in float32) and with
--fp32, each eager and compiled, images in either layout. Two ratios, best against best: of everything, and of those that
compute in float32 only. rein's number is the wall time of a long run less that of a short one; how long is found out first.
Floors are those of the table in docs/benchmarks.md, by the data sheet of an H200.
"""
import datetime
import json
import pathlib
import re
import statistics
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
MATH = ("fp32", "tf32")
FLOP, FLOP_TF32, BANDWIDTH = 67e12, 495e12, 4.8e12  # an H200 by its data sheet, dense
UNIT = {"M": 1e6, "G": 1e9, "MB": 1e6, "KB": 1e3}
LIMIT = 180  # seconds of one process


def floors():
    """net: seconds of a step that no program could go below, in float32 and in TF32, from docs/benchmarks.md."""
    found = {}
    row = r"^\| (\w+) \| \d+ \| ([\d.]+) ([MG]) \|[^|]*\| ([\d.]+) ([MK]B) \|"
    for net, n, unit, b, b_unit in re.findall(row, (HERE.parent / "docs" / "benchmarks.md").read_text(), re.M):
        operations, memory = float(n) * UNIT[unit], float(b) * UNIT[b_unit] / BANDWIDTH
        found[net] = {"fp32": max(operations / FLOP, memory), "tf32": max(operations / FLOP_TF32, memory)}
    return found


def facts(net):
    """Batch and steps of an epoch, as the config has them."""
    text = (HERE / f"{net}.ini").read_text()
    samples = int(re.search(r"samples *= *(\d+)", text)[1])
    batch = int(re.search(r"^batch *= *(\d+)", text, re.M)[1])
    return batch, samples // batch


def rein_seconds(a, net, math, epochs, folder):
    start = time.perf_counter()
    spec = f"run.backend=cuda math={math}" + (" " + a.keys if a.keys else "")
    words = [a.rein, "run", HERE / f"{net}.ini", spec, f"run.epochs={epochs}", f"run.log_every={epochs}", "--quiet", "--out", f"{folder}/{start}"]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT)
    if done.returncode:
        raise SystemExit(f"{net}: rein ended with {done.returncode}\n{done.stdout}")
    return time.perf_counter() - start


def rein(a, net, math, folder, known):
    """Samples per second. known: epochs of the long run, found in the first round."""
    batch, steps = facts(net)
    short, many, took = rein_seconds(a, net, math, 1, folder), known.get((net, math), 2), 0
    while took <= a.seconds / 4:  # in later rounds once
        took = rein_seconds(a, net, math, many, folder) - short
        known[net, math], many = many, 6 * many
    return batch * steps * (known[net, math] - 1) / took


def torch(a, net, fp32, compiled, last):
    words = [a.python, HERE / "torch_bench.py", net, "--device=cuda", f"--seconds={a.seconds}", *["--fp32"] * fp32, *["--compile"] * compiled,
             *["--channels-last"] * last]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=5 * LIMIT)
    if done.returncode:
        print(f"{net}: {' '.join(map(str, words[1:]))} ended with {done.returncode}: {done.stderr[-300:]}", flush=True)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def round_of(a, net, images, folder, known, speed):
    """One measurement of every setting. speed: {(side, precision, how): [samples/s]}. The last line of PyTorch, or None."""
    line = None
    for math in MATH:
        speed.setdefault(("rein", math, ""), []).append(rein(a, net, math, folder, known))
    for fp32 in (False, True) if a.python else ():
        for compiled in (False,) if a.no_compile else (False, True):
            for last in (False, True) if net in images else (False,):
                got = torch(a, net, fp32, compiled, last)
                if got:
                    line, key = got, ("torch", "fp32" if fp32 else "tf32", "compile" if compiled else "eager")
                    speed.setdefault(key + (last,), []).append(got["samples_per_s"])
    return line


def medians(speed):
    """{(side, precision, how): samples/s}, of layouts the better one."""
    best = {}
    for key, values in speed.items():
        best[key[:3]] = max(statistics.median(values), best.get(key[:3], 0))
    return best


def device(a):
    """What `rein doctor` says of the device."""
    text = subprocess.run([a.rein, "doctor"], stdout=subprocess.PIPE, text=True).stdout
    found = re.search(r"^backend +cuda (.*)", text, re.M)
    if not found or "not available" in found[1]:
        raise SystemExit("no GPU can be used: " + (found[1] if found else "there is no cuda backend"))
    return found[1]


def measure(a, nets, images):
    """The table as text."""
    where, floor, known, rows, version = device(a), floors(), {}, [], ""
    with tempfile.TemporaryDirectory() as folder:
        for net in nets:
            speed = {}
            for _ in range(a.rounds):
                line = round_of(a, net, images, folder, known, speed)
                version = line["version"] if line else version
            best = medians(speed)
            print(f"{net}: " + ", ".join(f"{' '.join(k).strip()} {v:,.0f}" for k, v in best.items()), flush=True)
            rows.append((net, best))
    command = f"bench/run --device cuda --rounds {a.rounds}" + " --python ..." * bool(a.python) + f" --keys '{a.keys}'" * bool(a.keys)
    out = [f"\n### {datetime.date.today()}, {where}\n",
           f"`{command}`{', PyTorch ' + version if version else ''}; samples per second. torch: convolutions in TF32, its default; "
           "floor: of rein's faster math\n",
           "| net | rein fp32 | rein tf32 | torch eager | compiled | torch fp32 eager | compiled | best / best | fp32 / fp32 | us a step | floor us | times the floor |",
           "|---|---|---|---|---|---|---|---|---|---|---|---|"]
    return "\n".join(out + [row(net, best, floor.get(net)) for net, best in rows]) + "\n"


def row(net, best, floor):
    def cell(*key):
        return f"{best[key]:,.0f}" if key in best else "-"

    def ratio(precisions):
        a, b = (max((v for k, v in best.items() if k[0] == side and k[1] in precisions), default=0) for side in ("rein", "torch"))
        return f"{a / b:.2f}x" if b else "-"
    math = max(MATH, key=lambda m: best["rein", m, ""])
    step = facts(net)[0] / best["rein", math, ""]
    cells = [net, cell("rein", "fp32", ""), cell("rein", "tf32", ""), cell("torch", "tf32", "eager"), cell("torch", "tf32", "compile"),
             cell("torch", "fp32", "eager"), cell("torch", "fp32", "compile"), ratio(("tf32", "fp32")), ratio(("fp32",)), f"{1e6 * step:,.1f}",
             f"{1e6 * floor[math]:.1f}" if floor else "-", f"{step / floor[math]:,.0f}" if floor else "-"]
    return "| " + " | ".join(cells) + " |"
