#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Drives build/rein as a user does: runs, interruptions, full disks, misspelled words.

    tests/e2e/test_tool.py build/rein [name ...]

Each function test_* is one case and gets an empty folder. The configs are beside this file.
A new case is a new function.
"""
import json
import os
import pty
import random
import re
import resource
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
REIN = os.path.abspath(sys.argv[1])
SMALL = os.path.join(HERE, "small.ini")
ONE = os.path.join(HERE, "one.ini")
COMMANDS = ["run", "validate", "summary", "inspect", "evaluate", "attack", "prune", "doctor"]
PLUGINS = os.path.join(os.path.dirname(REIN), "tests", "plugins")
NO_VARIANTS = ["--variant", "plain", "run.seed=1"]


def clean_env(**more):
    env = {k: v for k, v in os.environ.items() if k not in ("REIN_DATA", "NO_COLOR")}
    env.update(more)
    return env


def rein(*words, cwd, code=0, limit=None, **more):
    """Runs to the end; (stdout, stderr). The exit code must be the expected one."""
    def before():
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    p = subprocess.run([REIN, *words], cwd=cwd, env=clean_env(**more), capture_output=True, text=True, timeout=120,
                       preexec_fn=before)
    assert p.returncode == code, f"rein {' '.join(words)}: exit code {p.returncode}, expected {code}\n{p.stdout}{p.stderr}"
    return p.stdout, p.stderr


def begun(p):
    """Waits until a run trains; before, it may say why it does not use a GPU."""
    line = p.stdout.readline()
    while line and "training" not in (line if isinstance(line, str) else line.decode()):
        line = p.stdout.readline()
    assert line, "it ended before training"


def read(*parts):
    with open(os.path.join(*parts), "rb") as f:
        return f.read()


def rows(*parts):
    return [json.loads(line) for line in read(*parts).splitlines()]


def numbers(row):
    """A row of metrics.jsonl less what depends on the clock."""
    return {k: v for k, v in row.items() if k not in ("samples_per_s", "forward_ms")}


def tensors(*parts):
    data = read(*parts)
    n = struct.unpack("<Q", data[:8])[0]
    head = json.loads(data[8:8 + n])
    head.pop("__metadata__", None)
    return head


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w") as f:
        f.write(text)
    return path


def tree(folder):
    return sorted(os.path.relpath(os.path.join(d, f), folder) for d, _, fs in os.walk(folder) for f in fs)


# --- words ---------------------------------------------------------------------------------


def test_help(tmp):
    out, _ = rein("--help", cwd=tmp)
    for c in COMMANDS:
        assert c in out
        text, _ = rein(c, "--help", cwd=tmp)
        assert text.startswith(f"Usage: rein {c}") and "Examples:" in text, text
    assert re.match(r"rein \d+\.\d+\.\d+ \(ABI \d+\.\d+\)\n$", rein("--version", cwd=tmp)[0])


def test_wrong_usage(tmp):
    assert "did you mean 'run'" in rein("rum", cwd=tmp, code=2)[1]
    assert "did you mean '--resume'" in rein("run", ONE, "--resum_", cwd=tmp, code=2)[1]
    assert "option '--time' takes no value: '--time=3'" in rein("run", ONE, "--time=3", cwd=tmp, code=2)[1]
    assert "needs a value" in rein("run", ONE, "--out", cwd=tmp, code=2)[1]
    assert "which config" in rein("run", cwd=tmp, code=2)[1]
    assert "not an override" in rein("run", ONE, "epochs", cwd=tmp, code=2)[1]
    assert "did you mean 'plain'" in rein("run", SMALL, "--variant", "plian", cwd=tmp, code=2)[1]
    assert "no variants" in rein("run", write(tmp, "x.ini", "[run]\nconfig = 1\n"), "--variant", "a", cwd=tmp, code=2)[1]
    assert "no/such.ini" in rein("run", "no/such.ini", cwd=tmp, code=2)[1]
    assert tree(tmp) == ["x.ini"]


def test_misspelled_key(tmp):
    text = read(SMALL).decode().replace("fc1 = linear units=24", "fc1 = linear unit=24")
    path = write(tmp, "x.ini", text)
    out, err = rein("run", path, cwd=tmp, code=2)
    lines = err.splitlines()
    number = text[:text.index("fc1 =")].count("\n") + 1
    at = next(i for i, line in enumerate(lines) if line.startswith(f"{path}:{number}: [network] "))
    assert lines[at].endswith("fc1 = linear unit=24")
    assert lines[at + 1].index("^") == lines[at].index("unit=24")
    assert "^~~~ unknown key 'unit' of layer 'linear'; did you mean 'units'?" in lines[at + 1]
    assert "nothing was run" in lines[-1] and tree(tmp) == ["x.ini"]


def test_misspelled_stage_key(tmp):
    path = write(tmp, "x.ini", read(SMALL).decode() + "\n[stages]\nfit = train\nend = evaluate on=train\n")
    assert "unknown key 'on' of stage 'evaluate'; known: split" in rein("validate", path, cwd=tmp, code=2)[1]
    assert "no folder or file 'nowhere'" in rein("evaluate", "nowhere", cwd=tmp, code=2)[1]
    assert "needs --weights" in rein("evaluate", path, cwd=tmp, code=2)[1]


def test_misspelled_setting(tmp):
    path = write(tmp, "x.ini", read(SMALL).decode().replace("epochs = 40", "epoch = 40").replace("= 32", "= 0"))
    err = rein("validate", path, cwd=tmp, code=2)[1]
    assert re.search(r"x.ini:\d+: \[run\] epoch = 40\n *\^.*did you mean 'epochs'", err), err
    assert re.search(r"x.ini:\d+: \[run\] batch = 0\n", err) and "expected a number of samples" in err, err
    assert "2 errors" in err


def test_search_is_not_ignored(tmp):
    path = write(tmp, "x.ini", read(SMALL).decode() + "\n[search]\noptimizer.adam.lr = log 1e-4..1e-1\n")
    err = rein("validate", path, cwd=tmp, code=2)[1]
    assert "[search]" in err and "cannot search yet" in err, err


def test_errors_of_variants(tmp):
    """Each error once, those of later variants too."""
    path = write(tmp, "x.ini", read(SMALL).decode().replace("train = moons samples=200", "train = csv file=no.csv") +
                 "\n[variant odd]\noptimizer.adam.lr = -1\nnetwork.fc1.units = 0\n")
    err = rein("run", path, cwd=tmp, code=2)[1]
    assert err.count("no.csv") == 1 and "lr=-1 is outside" in err and "units=0 is outside" in err, err
    assert "could not be prepared" not in err, err

    for old, new, say in (("cross_entropy", "crossentropy", "unknown loss"), ("adam = adam lr=0.01", "", "is empty"),
                          ("act1 = relu", "act1 = relu input=fc2", "input 'fc2'")):
        path = write(tmp, "x.ini", read(SMALL).decode().replace(old, new))
        err = rein("run", path, cwd=tmp, code=2)[1]
        assert say in err and err.endswith("1 error; nothing was run\n"), err


def test_settings(tmp):
    def says(word, text):
        assert text in rein("validate", ONE, word, cwd=tmp, code=2)[1], word
    says("run.seed=x", "expected an integer")
    says("run.rng=dice", "philox or torch")
    says("run.shuffle=maybe", "yes or no")
    says("run.evaluate=test", "val or train,val")
    says("run.config=2", "only version")
    says("run.backend=cupid", "cupid")
    says("run.backend=auto threads=1", "auto takes no keys")
    says("run.checkpoint_seconds=soon", "never")
    for seeds in ("3..1", "1,1", "1..999999", "a", "-1"):
        path = write(tmp, "x.ini", read(SMALL).decode().replace("seeds = 1,2", f"seeds = {seeds}"))
        assert "different seeds" in rein("validate", path, cwd=tmp, code=2)[1], seeds
    path = write(tmp, "x.ini", read(SMALL).decode().replace("seeds = 1,2", "seeds = 1..3,7\nseed = 4"))
    assert "both seed and seeds" in rein("validate", path, cwd=tmp, code=2)[1]
    assert "4 runs" in rein("validate", path, "run.seeds=1..3,7", "--variant", "l1", cwd=tmp)[0]


def test_refused_plugin(tmp):
    plugins = os.path.join(tmp, "plugins")
    os.mkdir(plugins)
    write(plugins, "mine.so", "this is not a shared object")
    path = write(tmp, "x.ini", read(SMALL).decode().replace("lasso = l1", "lasso = mine"))
    err = rein("run", path, "--variant", "l1", "--plugin-dir", plugins, cwd=tmp, code=3)[1]
    assert "mine" in err and "mine.so" in err, err
    path = write(tmp, "x.ini", read(SMALL).decode().replace("lasso = l1", "lasso = different"))
    err = rein("run", path, "--variant", "l1", "--plugin-dir", plugins, cwd=tmp, code=2)[1]
    assert "unknown regularizer 'different'" in err and "refused was" in err and "mine.so: it is no" in err, err
    os.chmod(plugins, 0o777)
    err = rein("run", path, "--variant", "l1", "--plugin-dir", plugins, cwd=tmp, code=2)[1]
    assert "everyone may write to this folder" in err, err
    path = write(tmp, "x.ini", read(SMALL).decode().replace("lasso = l1", "lasso = l11"))
    err = rein("run", path, "--variant", "l1", cwd=tmp, code=2)[1]
    assert "unknown regularizer 'l11'" in err and "did you mean" in err, err


# --- runs ----------------------------------------------------------------------------------


def test_show(tmp):
    """Samples as epochs see them, as PNG files whose first bytes and sizes are right."""
    def size(path):
        with open(os.path.join(tmp, path), "rb") as f:
            b = f.read(24)
        assert b[:8] == b"\x89PNG\r\n\x1a\n", path
        return int.from_bytes(b[16:20], "big"), int.from_bytes(b[20:24], "big")

    path = write(tmp, "show.ini", "[run]\nconfig = 1\n[data]\ntrain = shapes samples=40 size=12 classes=3 channels=3\n"
                 "[augmentations]\nturn = rotate degrees=90\nmirror = hflip\n[network]\nflat = flatten\nout = linear units=3\n"
                 "[loss]\nce = cross_entropy\n[optimizer]\nsgd = sgd lr=0.1\n")
    out, _ = rein("show", "batch", "1", path, "run.batch=20", "--count", "5", "--out", "row", cwd=tmp)
    assert len(re.findall("The image belongs to : [a-z]+\n", out)) == 5 and size("row/train-batch-1.png") == (5 * 14 - 2, 12)
    first = rein("show", "sample", re.search("sample ([0-9]+)", out)[1], path, "run.batch=20", "--out", "row", cwd=tmp)[0]
    assert first.splitlines()[0] == out.splitlines()[0], "the batch begins with that sample"
    assert "there are 2, counted from 0" in rein("show", "batch", "2", path, "run.batch=20", cwd=tmp, code=1)[1]
    assert "--grid is for samples" in rein("show", "batch", "0", path, "--grid", cwd=tmp, code=2)[1]
    out, _ = rein("show", "sample", "5", path, "--epoch", "3", cwd=tmp)
    assert re.search("The image belongs to : [a-z]+\n", out), out
    assert size("runs/show/images/train-5.png") == size("runs/show/images/train-5-epoch-3.png") == (12, 12)
    again, _ = rein("show", "sample", "5", path, "--epoch", "3", "--out", "again", cwd=tmp)
    with open(os.path.join(tmp, "again/train-5-epoch-3.png"), "rb") as a, open(os.path.join(tmp, "runs/show/images/train-5-epoch-3.png"), "rb") as b:
        assert a.read() == b.read()
    rein("show", "sample", "0..3", path, "--epoch", "1..2", "--grid", "--out", "g", cwd=tmp)
    assert size("g/grid.png") == (3 * 14 - 2, 4 * 14 - 2)
    assert "there are 40" in rein("show", "sample", "40", path, cwd=tmp, code=1)[1]
    assert "expected: sample NUMBER" in rein("show", "5", path, cwd=tmp, code=2)[1]
    assert "expected a number, or a list" in rein("show", "sample", "5", path, "--epoch", "last", cwd=tmp, code=2)[1]


def test_same_bytes(tmp):
    for out, words in (("a", []), ("b", []), ("c", ["--threads", "2"])):
        rein("run", ONE, *NO_VARIANTS, "--out", out, *words, cwd=tmp)
    a = read(tmp, "a/one/plain/model.safetensors")
    assert a == read(tmp, "b/one/plain/model.safetensors"), "two runs differ"
    assert a == read(tmp, "c/one/plain/model.safetensors"), "1 and 2 threads differ"
    first = [numbers(r) for r in rows(tmp, "a/one/plain/metrics.jsonl")]
    assert first == [numbers(r) for r in rows(tmp, "c/one/plain/metrics.jsonl")]
    rein("run", ONE, "--variant", "plain", "run.seed=2", "--out", "d", cwd=tmp)
    assert a != read(tmp, "d/one/plain/model.safetensors"), "another seed, the same weights"


def test_overrides(tmp):
    rein("run", ONE, "--variant", "plain", "network.fc1.units=7", "run.epochs=2", cwd=tmp)
    t = tensors(tmp, "runs/one/plain/model.safetensors")
    assert t["fc1.weight"]["shape"] == [7, 2] and t["out.weight"]["shape"] == [2, 7], t
    train = [r for r in rows(tmp, "runs/one/plain/metrics.jsonl") if r["type"] == "train"]
    assert [r["epoch"] for r in train] == [1, 2]
    resolved = read(tmp, "runs/one/plain/resolved.ini").decode()
    assert re.search(r"^epochs = 2 +; command line", resolved, re.M), resolved
    assert re.search(r"^; .*command line.*: units.*\nfc1 = linear .*units=7", resolved, re.M), resolved


def test_metrics(tmp):
    rein("run", ONE, "--variant", "l1", "run.epochs=3", cwd=tmp)
    line = rows(tmp, "runs/one/l1/metrics.jsonl")[0]
    for key in ("stage", "epoch", "epochs", "train.loss", "train.accuracy", "val.loss", "val.accuracy", "lr", "norm",
                "lasso.penalty", "norm.fc1.weight", "gradient_norm", "gradient_norm.fc1.weight", "samples_per_s"):
        assert key in line, f"{key} is missing: {sorted(line)}"


def test_resolved_repeats(tmp):
    rein("run", ONE, "--variant", "l1", cwd=tmp)
    shutil.copy(os.path.join(tmp, "runs/one/l1/resolved.ini"), os.path.join(tmp, "again.ini"))
    rein("run", "again.ini", cwd=tmp)
    assert read(tmp, "runs/one/l1/model.safetensors") == read(tmp, "runs/again/main/model.safetensors")
    strip = lambda b: [line.split("  ;")[0] for line in b.decode().splitlines() if line[:1] != ";"]
    assert strip(read(tmp, "runs/one/l1/resolved.ini")) == strip(read(tmp, "runs/again/main/resolved.ini"))


def test_variants_and_seeds(tmp):
    out, _ = rein("run", SMALL, cwd=tmp)
    folders = sorted({os.path.dirname(f) for f in tree(os.path.join(tmp, "runs/small"))} - {""})
    assert folders == ["l1/seed-1", "l1/seed-2", "plain/seed-1", "plain/seed-2"], folders
    for f in folders:
        assert os.path.exists(os.path.join(tmp, "runs/small", f, "finished.json"))
    table = json.loads(read(tmp, "runs/small/tables.json"))[0]
    assert [r[0] for r in table["rows"]] == ["plain", "l1"]
    norm = table["columns"].index("norm")
    finals = [rows(tmp, "runs/small/plain", s, "metrics.jsonl") for s in ("seed-1", "seed-2")]
    values = [[r["norm"] for r in f if "norm" in r][-1] for f in finals]
    cell = table["rows"][0][norm]
    mean = sum(values) / 2
    assert abs(cell["mean"] - mean) < 1e-12 and abs(cell["sd"] - abs(values[0] - values[1]) / 2 ** .5) < 1e-9
    assert table["rows"][1][norm]["mean"] < cell["mean"], "l1 must shrink the norm"
    assert "±" in out and out.endswith(read(tmp, "runs/small/tables.txt").decode())
    assert max(len(line) for line in out.splitlines()) <= 100, out
    # the same initial weights and batches: only the penalty differs
    a, b = (rows(tmp, "runs/small", v, "seed-1/metrics.jsonl")[0] for v in ("plain", "l1"))
    assert abs(a["train.loss"] - b["train.loss"]) < 0.5 and abs(a["norm"] / b["norm"] - 1) < 0.1


def test_unfair_comparison(tmp):
    path = write(tmp, "x.ini", read(SMALL).decode() + "\n[variant few]\ndata.train.take = 50\n"
                 "[variant wide]\nnetwork.fc1.units = 48\n[variant short]\nrun.epochs = 3\n")
    out, _ = rein("run", path, "run.seed=1", "run.epochs=4", cwd=tmp)
    assert "warning: plain (200 samples) and few (50) do not train on the same data" in out, out
    assert re.search(r"warning: plain has \d+ parameters, wide has \d+", out), out
    out, _ = rein("run", path, "run.seed=1", "--variant", "few", cwd=tmp)
    assert "warning" not in out


def test_replaces_only_when_complete(tmp):
    rein("run", ONE, "--variant", "plain", cwd=tmp)
    run = os.path.join(tmp, "runs/one/plain")
    before = read(run, "model.safetensors")
    write(run, "notes.txt", "mine")
    rein("run", ONE, "--variant", "plain", "network.fc1.units=x", cwd=tmp, code=2)
    rein("run", ONE, "--variant", "plain", "optimizer.adam=sgd lr=1e6", cwd=tmp, code=1)
    assert read(run, "model.safetensors") == before
    rein("run", ONE, "--variant", "plain", "run.epochs=3", cwd=tmp)
    assert read(run, "model.safetensors") != before and read(run, "notes.txt") == b"mine"
    assert not os.path.exists(run + ".unfinished")


def test_nan(tmp):
    path = write(tmp, "x.ini", read(SMALL).decode().replace("adam = adam lr=0.01", "sgd = sgd lr=1e6"))
    out, err = rein("run", path, *NO_VARIANTS, cwd=tmp, code=1)
    assert re.search(r"not finite|NaN|nan|infinite", err) and re.search(r"\b(fc1|out|act1|drop)\b", err), err
    assert os.path.exists(os.path.join(tmp, "runs/x/plain.unfinished/resolved.ini"))
    assert not os.path.exists(os.path.join(tmp, "runs/x/plain"))


def test_failing_variant_keeps_others(tmp):
    path = write(tmp, "x.ini", read(SMALL).decode() + "\n[variant wild]\noptimizer.adam = sgd lr=1e6\n")
    out, err = rein("run", path, "run.seed=1", "run.epochs=4", cwd=tmp, code=1)
    assert "1 of 3 runs failed" in err and "wild seed 1 did not finish" in out, out + err
    assert [r[0] for r in json.loads(read(tmp, "runs/x/tables.json"))[0]["rows"]] == ["plain", "l1"]


def test_crashing_plugin(tmp):
    path = write(tmp, "x.ini", read(SMALL).decode() + "\n[variant dies]\nregularizers.mine = crash at=epoch\n")
    line = read(path).decode().splitlines().index("regularizers.mine = crash at=epoch") + 1
    for at, how in (("create", "null"), ("record", "abort"), ("epoch", "deep")):
        p = subprocess.run([REIN, "run", path, "--variant", "dies", "--plugin-dir", PLUGINS, "run.epochs=2", f"regularizers.mine.at={at}",
                            f"regularizers.mine.how={how}"], cwd=tmp, env=clean_env(), capture_output=True, text=True)
        assert p.returncode != 0
        assert f"{path}:{line}: [regularizers] mine: regularizer 'crash' crashed (" in p.stderr, p.stderr
        assert "crash.so): it " in p.stderr, p.stderr


def test_logger_plugin(tmp):
    path = write(tmp, "x.ini", read(SMALL).decode() + "\n[loggers]\ncount = tally\n")
    words = ["run", path, "--plugin-dir", PLUGINS, "run.epochs=4"]
    rein(*words, cwd=tmp)
    for v in ("plain", "l1"):
        for seed in ("seed-1", "seed-2"):
            lines = rows(tmp, "runs/x", v, seed, "metrics.jsonl")
            own = sum(len(r) - 4 for r in lines)  # less stage, type, epoch, epochs
            assert read(tmp, "runs/x", v, seed, "tally.txt").split() == [b"5", b"4", str(own).encode(), b"0"]
    for slot, text in (("begin", "no room to tally 'plain' seed 1"), ("metrics", "lost count in stage train"),
                       ("end", "the tally is lost")):
        err = rein(*words, "--variant", "plain", "run.seed=1", f"loggers.count.fail={slot}", "--out", slot, cwd=tmp,
                   code=1)[1]
        assert f"count: tally 1.0.0: {text}" in err and re.search(r":\d+: \[loggers\]", err), err
        assert not os.path.exists(os.path.join(tmp, slot, "x/plain"))


# --- interruptions -------------------------------------------------------------------------

LONG = [ONE, "--variant", "l1", "run.epochs=2000", "run.checkpoint_seconds=0.04"]


def whole(tmp):
    rein("run", *LONG, "--out", "whole", cwd=tmp)
    return read(tmp, "whole/one/l1/model.safetensors"), rows(tmp, "whole/one/l1/metrics.jsonl")


def test_killed_and_resumed(tmp):
    seed = int(os.environ.get("E2E_SEED", time.time_ns() % 1000000))
    print(f"    (E2E_SEED={seed})", end="")
    rng = random.Random(seed)
    model, metrics = whole(tmp)
    work = os.path.join(tmp, "runs/one/l1.unfinished/metrics.jsonl")
    landed = 0
    for _ in range(5):
        p = subprocess.Popen([REIN, "run", *LONG, "--resume", "-q"], cwd=tmp, env=clean_env(), stdout=subprocess.DEVNULL)
        had = len(read(work)) if os.path.exists(work) else 0
        end = time.monotonic() + 20
        while p.poll() is None and time.monotonic() < end and (not os.path.exists(work) or len(read(work)) <= had):
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.05))
        p.kill()
        landed += p.wait() == -signal.SIGKILL and os.path.exists(work)
        if p.returncode == 0:  # it was faster than this process
            shutil.rmtree(os.path.join(tmp, "runs"))
    assert landed, "no kill hit a run under way"
    rein("run", *LONG, "--resume", cwd=tmp)
    assert read(tmp, "runs/one/l1/model.safetensors") == model
    assert [numbers(r) for r in rows(tmp, "runs/one/l1/metrics.jsonl")] == [numbers(r) for r in metrics]
    assert not os.path.exists(os.path.join(tmp, "runs/one/l1.unfinished"))


def test_old_checkpoint(tmp):
    """Numbers written after the last checkpoint are cut off, and written again."""
    model, metrics = whole(tmp)
    work = os.path.join(tmp, "runs/one/l1.unfinished")
    p = subprocess.Popen([REIN, "run", *LONG, "-q"], cwd=tmp, env=clean_env(), stdout=subprocess.DEVNULL,
                         stderr=subprocess.PIPE)
    while not os.path.exists(os.path.join(work, "checkpoint.safetensors")):
        time.sleep(0.001)
    try:
        old = read(work, "checkpoint.safetensors")
    finally:
        p.send_signal(signal.SIGINT)
        p.stderr.read()
    if p.wait() == 0:
        return  # too fast a machine: nothing was interrupted
    with open(os.path.join(work, "checkpoint.safetensors"), "wb") as f:
        f.write(old)
    with open(os.path.join(work, "metrics.jsonl"), "ab") as f:
        f.write(b'{"stage":"train","epo')  # as a power cut leaves it
    rein("run", *LONG, "--resume", cwd=tmp)
    assert read(tmp, "runs/one/l1/model.safetensors") == model
    assert [numbers(r) for r in rows(tmp, "runs/one/l1/metrics.jsonl")] == [numbers(r) for r in metrics]


def test_interrupt(tmp):
    words = [ONE, "--variant", "l1", "run.epochs=1000000"]
    p = subprocess.Popen([REIN, "run", *words], cwd=tmp, env=clean_env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         text=True)
    begun(p)
    time.sleep(0.05)
    p.send_signal(signal.SIGINT)
    out, err = p.communicate(timeout=30)
    assert p.returncode == 1 and "--resume" in err and "to go on" in err, err
    command = err.strip().splitlines()[-1].split()
    assert command[:2] == ["rein", "run"] and command[-1] == "--resume" and words[0] in command, command
    work = os.path.join(tmp, "runs/one/l1.unfinished")
    assert os.path.exists(os.path.join(work, "checkpoint.safetensors"))
    done = rows(work, "metrics.jsonl")[-1]["epoch"]
    p = subprocess.Popen([REIN, *command[1:]], cwd=tmp, env=clean_env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    begun(p)
    time.sleep(0.1)
    p.terminate()
    assert p.wait() == 1
    epochs = [r["epoch"] for r in rows(work, "metrics.jsonl")]
    assert epochs == list(range(1, len(epochs) + 1)) and epochs[-1] >= done


def test_second_interrupt(tmp):
    """The first Ctrl-C waits for the epoch; the second does not."""
    path = write(tmp, "x.ini", read(ONE).decode().replace("small.ini", SMALL))
    p = subprocess.Popen([REIN, "run", path, "--variant", "plain", "run.epochs=1000000", "data.train.samples=1000000",
                          "run.batch=16"], cwd=tmp, env=clean_env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         text=True)
    begun(p)
    for _ in range(2):
        p.send_signal(signal.SIGINT)
        time.sleep(0.05)
    start = time.monotonic()
    _, err = p.communicate(timeout=30)
    assert p.returncode == 1 and "stopped; --resume" in err, err


def test_resume_finished(tmp):
    rein("run", SMALL, "run.epochs=3", cwd=tmp)
    models = {f: read(tmp, f) for f in tree(tmp) if f.endswith("model.safetensors")}
    stamp = {f: os.stat(os.path.join(tmp, f)).st_mtime_ns for f in models}
    table = json.loads(read(tmp, "runs/small/tables.json"))[0]
    shutil.rmtree(os.path.join(tmp, "runs/small/l1/seed-2"))
    out, _ = rein("run", SMALL, "run.epochs=3", "--resume", cwd=tmp)
    assert out.count("finished earlier") == 3
    for f in models:
        assert read(tmp, f) == models[f]
        assert (os.stat(os.path.join(tmp, f)).st_mtime_ns == stamp[f]) == ("l1/seed-2" not in f)
    again = json.loads(read(tmp, "runs/small/tables.json"))[0]
    speed = table["columns"].index("samples/s")
    for a, b in zip(again["rows"], table["rows"]):
        assert a[:speed] + a[speed + 1:] == b[:speed] + b[speed + 1:]
    err = rein("run", SMALL, "run.epochs=4", "--resume", cwd=tmp, code=2)[1]
    assert "then: epochs = 3" in err and "now:  epochs = 4" in err, err


def test_two_at_once(tmp):
    p = subprocess.Popen([REIN, "run", ONE, "--variant", "l1", "run.epochs=1000000"], cwd=tmp, env=clean_env(),
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    begun(p)
    try:
        assert "another rein" in rein("run", ONE, cwd=tmp, code=1)[1]
    finally:
        p.kill()
        p.wait()


# --- disks ---------------------------------------------------------------------------------


def test_full_disk(tmp):
    rein("run", ONE, "--variant", "plain", cwd=tmp)
    run = os.path.join(tmp, "runs/one/plain")
    before = {f: read(run, f) for f in os.listdir(run)}
    # files may grow to so many bytes: the numbers, then the weights do not fit
    for limit in (0, 700, len(before["model.safetensors"]) - 100):
        err = rein("run", ONE, "--variant", "plain", "run.epochs=3", cwd=tmp, code=1, limit=limit)[1]
        assert "runs/one" in err and re.search("File too large|No space", err), (limit, err)
        assert {f: read(run, f) for f in os.listdir(run)} == before, limit
        for f in tree(tmp):
            assert "tmp" not in os.path.basename(f), f"left behind: {f}"
        if os.path.exists(run + ".unfinished/metrics.jsonl"):
            rows(run + ".unfinished", "metrics.jsonl")  # whole lines only


def test_full_stdout(tmp):
    with open("/dev/full", "w") as full:
        p = subprocess.run([REIN, "inspect"], cwd=tmp, env=clean_env(), stdout=full, stderr=subprocess.PIPE, text=True)
    assert p.returncode == 1 and "cannot write to the standard output: No space" in p.stderr, p


def test_unwritable(tmp):
    write(tmp, "file", "")
    err = rein("run", ONE, "--variant", "plain", "--out", "file/runs", cwd=tmp, code=1)[1]
    assert "file/runs" in err and "Not a directory" in err, err
    err = rein("run", ONE, "--variant", "plain", "--out", "/proc/rein", cwd=tmp, code=1)[1]
    assert "/proc/rein" in err, err
    if os.geteuid():
        os.mkdir(os.path.join(tmp, "locked"), 0o555)
        assert "Permission denied" in rein("run", ONE, "--out", "locked", cwd=tmp, code=1)[1]
    assert rein("doctor", "--out", "file/runs", cwd=tmp, code=1)[0].count("Not a directory") == 1


# --- other commands ------------------------------------------------------------------------


def test_evaluate(tmp):
    rein("run", ONE, "--variant", "l1", cwd=tmp)
    last = [r for r in rows(tmp, "runs/one/l1/metrics.jsonl") if "val.loss" in r][-1]
    out, _ = rein("evaluate", "runs/one/l1", cwd=tmp)
    split, samples, loss, accuracy = out.splitlines()[-1].split()
    assert split == "val" and samples == "100"
    assert abs(float(loss) - last["val.loss"]) < 2e-6 and abs(float(accuracy) - 100 * last["val.accuracy"]) < 0.01
    out2, _ = rein("evaluate", ONE, "--variant", "l1", "--weights", "runs/one/l1/model.safetensors", cwd=tmp)
    assert out2 == out
    assert rein("evaluate", "runs/one/l1", "--split", "train", cwd=tmp)[0].splitlines()[-1].split()[1] == "200"
    assert "tset" in rein("evaluate", "runs/one/l1", "--split", "tset", cwd=tmp, code=1)[1]
    assert "not the folder of a run" in rein("evaluate", "runs", cwd=tmp, code=2)[1]
    assert "--weights" in rein("evaluate", ONE, cwd=tmp, code=2)[1]
    write(tmp, "junk.safetensors", "junk")
    assert "junk.safetensors" in rein("evaluate", "runs/one/l1", "-w", "junk.safetensors", cwd=tmp, code=1)[1]
    err = rein("evaluate", "runs/one/l1", "network.fc1.units=5", cwd=tmp, code=1)[1]
    assert "fc1" in err, err


ATTACKED = """[run]
config = 1
epochs = 4
batch = 20
eval_batch = 16
threads = 1
checkpoint_seconds = 0

[data]
train = shapes classes=3 channels=1 size=8 samples=60
val   = shapes classes=3 channels=1 size=8 samples=30 seed=2

[network]
flat = flatten
fc1 = linear units=16
act = relu
out = linear units=3

[loss]
ce = cross_entropy

[optimizer]
adam = adam lr=0.02

[attacks]
fgsm = fgsm epsilon=0,0.1,0.3
pgd  = pgd epsilon=0.3 steps=5

[stages]
fit = train
craft = attack with=pgd split=train add=yes images=1
again = train epochs=4
robust = attack with=fgsm,pgd images=1 save=yes
"""


def test_attack(tmp):
    write(tmp, "a.ini", ATTACKED)
    out, _ = rein("run", "a.ini", cwd=tmp)
    assert "robustness" in out and "worst case" in out and "fgsm@0.3" in out
    last = rows(tmp, "runs/a/main/metrics.jsonl")[-1]
    assert last["fgsm@0.robust_accuracy"] == last["robust.clean_accuracy"] >= last["robust.worst_accuracy"]
    assert rows(tmp, "runs/a/main/metrics.jsonl")[4]["craft.added"] == 60
    folder = os.path.join(tmp, "runs/a/main")
    pictures = os.listdir(os.path.join(folder, "images/robust"))
    assert sum(p.endswith("-difference.png") for p in pictures) * 3 == len(pictures) > 0
    assert read(folder, "images/robust", pictures[0])[:4] == b"\x89PNG"
    # the set that was written is data like any other
    images = read(folder, "adversarial/robust/pgd-images.idx")
    assert images[:16] == struct.pack(">IIII", 0x803, 30, 8, 8) and len(images) == 16 + 30 * 64
    write(tmp, "b.ini", ATTACKED.split("[attacks]")[0].replace(
        "val   = shapes classes=3 channels=1 size=8 samples=30 seed=2",
        "val = idx images=runs/a/main/adversarial/robust/pgd-images.idx "
        "labels=runs/a/main/adversarial/robust/pgd-labels.idx classes=3"))
    rein("run", "b.ini", cwd=tmp)
    # the same figures from the run folder, from the config, and for what is added by hand
    out, _ = rein("attack", "runs/a/main", cwd=tmp)
    again = [line for line in out.splitlines() if line.startswith("pgd ")][0].split()
    assert abs(float(again[3]) - 100 * last["pgd.robust_accuracy"]) < 0.01
    assert rein("attack", "a.ini", cwd=tmp)[0] == out
    out, _ = rein("attack", "runs/a/main", "attacks.x=fgsm epsilon=2", "--with", "x", "--limit", "10", "--out", "o",
                  cwd=tmp)
    assert " 0.00 " in out and os.listdir(os.path.join(tmp, "o/images/attack"))
    assert "--save needs --out DIR" in rein("attack", "runs/a/main", "--save", cwd=tmp, code=2)[1]
    assert "--images needs --out DIR" in rein("attack", "runs/a/main", "--images", "2", cwd=tmp, code=2)[1]
    rein("attack", "runs/a/main", "--images", "2", "--save", "--out", "p", cwd=tmp)
    assert os.path.exists(os.path.join(tmp, "p/adversarial/attack/pgd-images.idx"))
    assert "did you mean 'pgd'" in rein("attack", "runs/a/main", "--with", "pdg", cwd=tmp, code=2)[1]
    assert "run the config first" in rein("attack", SMALL, "attacks.x=fgsm", cwd=tmp, code=2)[1]
    bad = ATTACKED.replace("split=train add=yes", "add=yes")
    write(tmp, "c.ini", bad)
    assert "cannot join the training split" in rein("validate", "c.ini", cwd=tmp, code=2)[1]


def test_warnings_of_the_robustness_statement(tmp):
    """They are drawn from the numbers of the finished run alone."""
    write(tmp, "a.ini", ATTACKED)
    rein("run", "a.ini", cwd=tmp)
    path = os.path.join(tmp, "runs/a/main/metrics.jsonl")
    lines = read(path).decode().splitlines()
    last = json.loads(lines[-1])

    def told(**numbers):
        last.update({k.replace("__", ".").replace("_at_", "@").replace("_dot_", "."): v for k, v in numbers.items()})
        write(os.path.dirname(path), "metrics.jsonl", "\n".join(lines[:-1] + [json.dumps(last)]) + "\n")
        return rein("run", "a.ini", "--resume", cwd=tmp)[0]

    fgsm = "fgsm_at_0_dot_3__"
    calm = {"robust__zero_gradients": 0, "robust__random": 0, "robust__clean_accuracy": 0.9,
            fgsm + "robust_accuracy": 0.3, fgsm + "gradients": 1, "pgd__robust_accuracy": 0.25, "pgd__gradients": 5,
            fgsm + "max_linf": 0.3, "pgd__mean_linf": 0.3}
    assert "warning:" not in told(**calm)
    assert "the input gradient of 50.0 % of the correct samples is zero" in told(robust__zero_gradients=0.5)
    assert "answers 25.0 % of the samples differently when asked twice" in told(robust__random=0.25)
    assert "catastrophic overfitting" in told(**{**calm, fgsm + "robust_accuracy": 0.8, "pgd__robust_accuracy": 0.1})
    out = told(pgd__gradients=0)
    assert "pgd, which sees no gradients, finds more than fgsm@0.3" in out and "catastrophic" not in out


def test_added_samples_are_in_the_checkpoint(tmp):
    """Stopped in the stage after samples were added, and gone on with: the same bits."""
    write(tmp, "a.ini", ATTACKED.replace("again = train epochs=4", "again = train epochs=300"))
    rein("run", "a.ini", "--out", "whole", cwd=tmp)
    p = subprocess.Popen([REIN, "run", "a.ini"], cwd=tmp, env=clean_env(), stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL)
    path = os.path.join(tmp, "runs/a/main.unfinished/metrics.jsonl")
    while p.poll() is None and (not os.path.exists(path) or len(read(path).splitlines()) < 8):
        time.sleep(0.005)
    p.send_signal(signal.SIGINT)
    p.communicate()
    rein("run", "a.ini", "--resume", cwd=tmp)
    assert read(tmp, "runs/a/main/model.safetensors") == read(tmp, "whole/a/main/model.safetensors")


def test_start_from_weights(tmp):
    rein("run", ONE, "--variant", "plain", cwd=tmp)
    model = "runs/one/plain/model.safetensors"
    rein("run", ONE, "--variant", "plain", "run.epochs=0", f"run.weights={os.path.join(tmp, model)}", "--out", "b",
         cwd=tmp)
    assert tensors(tmp, "b/one/plain/model.safetensors") == tensors(tmp, model)
    assert read(tmp, "b/one/plain/model.safetensors")[-100:] == read(tmp, model)[-100:]


def test_summary(tmp):
    out, _ = rein("summary", ONE, cwd=tmp)
    assert "fc1" in out and "out" in out and "122" in out.replace(",", ""), out  # 2*24+24 + 24*2+2
    assert len(rein("summary", ONE, "--program", cwd=tmp)[0]) > 2 * len(out)
    assert tree(tmp) == []


def test_summary_of_images(tmp):
    """Course 002: shapes of a batch of 512, and 61 706 parameters; d2l's layer_summary has the same."""
    out, _ = rein("summary", os.path.join(HERE, "../../configs/embedded/002-1-lenet.ini"), cwd=tmp)
    rows = [line.split("  ") for line in out.splitlines()]
    shapes = [cell.strip() for row in rows for cell in row if cell.strip().startswith("[512")]
    assert shapes == ["[512, 6, 28, 28]", "[512, 6, 28, 28]", "[512, 6, 14, 14]", "[512, 16, 10, 10]",
                      "[512, 16, 10, 10]", "[512, 16, 5, 5]", "[512, 400]", "[512, 120]", "[512, 120]", "[512, 84]",
                      "[512, 84]", "[512, 10]"], out
    total = next(line for line in out.splitlines() if line.startswith("total")).split()
    # multiply-adds: 6 25 28^2 + 16 6 25 10^2 + 400 120 + 120 84 + 84 10
    assert total[1:3] == ["61706", "416520"], total


def test_prune(tmp):
    rein("run", ONE, "--variant", "plain", cwd=tmp)
    before = read(tmp, "runs/one/plain/model.safetensors")
    rows_go = "pruners.rows=ln_structured amount=0.5 on=fc1.weight"
    biases_go = "pruners.all=threshold value=100 on=fc1.bias"
    out, _ = rein("prune", "runs/one/plain", rows_go, biases_go, cwd=tmp)
    assert [line.split()[0] for line in out.split("\npruned\n")[1].splitlines()[2:7]] == \
        ["before", "pruned-1", "pruned-2", "smaller", "after"], out
    assert "The smaller model is in runs/one/plain-pruned/main." in out, out
    assert read(tmp, "runs/one/plain/model.safetensors") == before, "the model itself stays as it is"
    full, less = tensors(tmp, "runs/one/plain/model.safetensors"), tensors(tmp, "runs/one/plain-pruned/main/model.safetensors")
    assert less["fc1.weight"]["shape"][0] == full["fc1.weight"]["shape"][0] // 2
    assert less["out.weight"]["shape"][1] == full["out.weight"]["shape"][1] // 2
    metrics = rows(tmp, "runs/one/plain-pruned/main/metrics.jsonl")
    assert [r["type"] for r in metrics] == ["evaluate", "prune", "prune", "remove", "evaluate"]
    assert metrics[3]["output_difference"] < 1e-5 and metrics[3]["val.loss"] == metrics[4]["val.loss"]
    assert abs(metrics[2]["val.loss"] - metrics[4]["val.loss"]) < 1e-5
    evaluated, _ = rein("evaluate", "runs/one/plain-pruned/main", cwd=tmp)
    assert abs(float(evaluated.split()[-2]) - metrics[4]["val.loss"]) < 2e-6, evaluated
    summary, _ = rein("summary", "runs/one/plain-pruned/main", cwd=tmp)
    total = next(line for line in summary.splitlines() if line.startswith("total")).split()
    assert total[1] == str(int(metrics[4]["parameters"])), summary
    kept, _ = rein("prune", "runs/one/plain", rows_go, "--keep-channels", "--out", "kept", cwd=tmp)
    assert "smaller " not in kept.split("\npruned\n")[1].split("The smaller")[0]
    assert tensors(tmp, "kept/plain-pruned/main/model.safetensors") == full
    again, _ = rein("prune", "runs/one/plain-pruned/main", "--with", "rows", rows_go, cwd=tmp)
    assert "main-pruned/main" in again
    rein("prune", "runs/one/plain-pruned/main", "pruners.new=threshold value=100 on=fc1.bias", "--out", "typed", cwd=tmp)
    typed = read(tmp, "typed/main-pruned/main/resolved.ini").decode()
    assert "with=new" in typed and "with=rows" not in typed, "what is typed is what prunes"
    for command, section in ("prune", "pruners"), ("attack", "attacks"):
        for words, message in ([["--with", "no"], f"--with no: there is no 'no' in [{section}]"],
                               [["--with", "x,x"], "'x' is there twice"], [["--split", "vall"], "did you mean 'val'?"]):
            more = rows_go.replace("rows", "x") if command == "prune" else "attacks.x=fgsm epsilon=0.1"
            err = rein(command, "runs/one/plain", more, *words, cwd=tmp, code=2)[1]
            assert message in err and "stages." not in err, err
    assert "--limit 0: expected" in rein("attack", "runs/one/plain", "--limit", "0", cwd=tmp, code=2)[1]
    assert "the config has no [pruners]" in rein("prune", "runs/one/plain", cwd=tmp, code=2)[1]
    assert "not the folder of a run" in rein("prune", "runs", cwd=tmp, code=2)[1]


def test_one_mistake_in_stages(tmp):
    """A stage that cannot be read brings no errors of those that speak of it."""
    for wrong, message in (("trian", "did you mean 'train'?"), ("train epchs=3", "did you mean 'epochs'?")):
        path = write(tmp, "stages.ini", read(ONE).decode().replace("include = small.ini", f"include = {SMALL}") +
                     f"[stages]\nfit = {wrong}\nback = rewind epoch=0\nmore = repeat from=fit times=2\n")
        err = rein("validate", path, cwd=tmp, code=2)[1]
        assert message in err and err.endswith("\n1 error; nothing was run\n"), err


def test_too_large_names_the_layer(tmp):
    text = ("[run]\nconfig = 1\nepochs = 1\n[data]\ntrain = shapes classes=3 size=12 samples=20\n[network]\n"
            "c1 = conv2d filters=2 kernel=3\n"
            "c2 = conv2d filters=512 kernel=3 padding=4096\npool = adaptive_avgpool size=1\nflat = flatten\n"
            "out = linear units=3\n[loss]\nce = cross_entropy\n[optimizer]\nsgd = sgd lr=0.1\n")
    err = rein("run", write(tmp, "large.ini", text), cwd=tmp, code=2)[1]
    assert "memory" in err and "c2" in err, err


def test_bounds_stay_with_the_run(tmp):
    """An attack on the run keeps to the bounds that it was trained with."""
    rein("run", ONE, "--variant", "plain", "run.epochs=1", "run.bounds=-2.5,3", cwd=tmp)
    assert b"\nbounds = -2.5,3 " in read(tmp, "runs/one/plain/resolved.ini")
    out, _ = rein("attack", "runs/one/plain", "attacks.far=fgsm epsilon=100", cwd=tmp)
    assert 2.5 < float(re.search("\nfar .*", out.split("changes that succeeded")[1])[0].split()[6]) < 5.51, out


def test_prune_averages(tmp):
    """What evaluation saw is what is pruned, not the weights that it was an average of."""
    average = "regularizers.mean=ema decay=0.9"
    rein("run", ONE, "--variant", "plain", "run.epochs=5", average, cwd=tmp)
    rein("prune", "runs/one/plain", "pruners.small=threshold value=1e-9", cwd=tmp)
    seen = rows(tmp, "runs/one/plain/metrics.jsonl")[-1]["val.loss"]
    before = rows(tmp, "runs/one/plain-pruned/main/metrics.jsonl")[0]["val.loss"]
    assert abs(before - seen) < 1e-6, (before, seen)
    model = os.path.join(tmp, "runs/one/plain/model.safetensors")
    rein("run", ONE, "--variant", "plain", "run.epochs=0", f"run.weights={model}", average, "--out", "b", cwd=tmp)
    assert abs(rows(tmp, "b/one/plain/metrics.jsonl")[-1]["val.loss"] - seen) > 1e-4, "to go on, the weights themselves"
    rein("run", ONE, "--variant", "plain", "run.epochs=0", f"run.weights={model}", "run.weights_averaged=yes",
         "run.weights_on=*", "--out", "c", cwd=tmp)
    assert abs(rows(tmp, "c/one/plain/metrics.jsonl")[-1]["val.loss"] - seen) < 1e-6


CUT = """
[pruners]
rows = ln_structured amount=0.25 on=fc1.weight
[stages]
fit = train epochs=1
cut = prune with=rows
less = remove
more = train epochs=3
end = evaluate
"""


def test_smaller_than_a_smaller_parent(tmp):
    """Of a model that lost channels twice the folder's own file decides; the parent may be gone."""
    text = read(ONE).decode().replace("include = small.ini", f"include = {SMALL}") + CUT
    path = write(tmp, "cut.ini", text)
    plain = ["--variant", "plain"]
    rein("run", path, *plain, cwd=tmp)
    rein("prune", "runs/cut/plain", cwd=tmp)
    rein("prune", "runs/cut/plain-pruned/main", cwd=tmp)
    start = os.path.join(tmp, "runs/cut/plain/model.safetensors")
    rein("run", path, *plain, f"run.weights={start}", "--out", "b", cwd=tmp)
    rein("run", path, *plain, f"run.weights={start}", "run.weights_on=fc1.*", "stages.cut=", "stages.less=",
         "network.fc1.units=18", "--out", "c", cwd=tmp)
    folders = ["runs/cut/plain-pruned/main", "runs/cut/plain-pruned/main-pruned/main", "b/cut/plain", "c/cut/plain"]
    units = [tensors(tmp, f, "model.safetensors")["fc1.weight"]["shape"][0] for f in folders]
    assert units[1] < units[0] and units[2] == units[0] and units[3] == 18, units
    before = [rein("evaluate", f, cwd=tmp)[0] for f in folders]
    for f, out in zip(folders, before):
        last = rows(tmp, f, "metrics.jsonl")[-1]
        assert abs(float(out.split()[-2]) - last["val.loss"]) < 2e-6, (f, out)
    shutil.rmtree(os.path.join(tmp, "runs/cut/plain"))
    for f, out in zip(folders, before):
        assert rein("evaluate", f, cwd=tmp)[0] == out
        assert "fc1" in rein("summary", f, cwd=tmp)[0]
        assert "robustness" in rein("attack", f, "attacks.x=fgsm epsilon=0.1", cwd=tmp)[0]
        rein("show", "sample", "0", f, cwd=tmp)
        rein("prune", f, "--out", "d", cwd=tmp)
    assert "finished earlier" in rein("run", path, *plain, f"run.weights={start}", "--out", "b", "--resume",
                                      "run.threads=1", cwd=tmp)[0]
    # to start anew, they are needed
    assert "plain/model.safetensors" in rein("run", path, *plain, f"run.weights={start}", cwd=tmp, code=2)[1]


def test_smaller_from_a_smaller_parent_and_resumed(tmp):
    text = read(ONE).decode().replace("include = small.ini", f"include = {SMALL}") + CUT
    path = write(tmp, "cut.ini", text)
    words = ["run", path, "--variant", "plain"]
    rein(*words, "--out", "parent", cwd=tmp)
    words.append(f"run.weights={tmp}/parent/cut/plain/model.safetensors")
    rein(*words, cwd=tmp)
    model = read(tmp, "runs/cut/plain/model.safetensors")
    words += ["--out", "b", "run.checkpoint_seconds=0"]
    p = subprocess.Popen([REIN, *words], cwd=tmp, env=clean_env(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                         text=True)
    for line in p.stdout:
        if line.startswith("less:"):
            break
    p.kill()
    p.wait()
    assert os.path.exists(os.path.join(tmp, "b/cut/plain.unfinished/checkpoint.safetensors"))
    os.rename(os.path.join(tmp, "parent"), os.path.join(tmp, "moved"))
    rein(*words, "--resume", cwd=tmp)  # the checkpoint has all of it
    assert read(tmp, "b/cut/plain/model.safetensors") == model
    os.rename(os.path.join(tmp, "moved"), os.path.join(tmp, "parent"))
    # nothing to go on with: --resume starts from the weights
    shutil.rmtree(os.path.join(tmp, "b"))
    rein(*words, "--resume", cwd=tmp)
    assert read(tmp, "b/cut/plain/model.safetensors") == model


def test_removed_and_resumed(tmp):
    """Killed after channels were removed, a run goes on to the same bits; a smaller run starts from its weights."""
    text = read(ONE).decode().replace("include = small.ini", f"include = {SMALL}") + """
[pruners]
rows = ln_structured amount=0.5 on=fc1.weight
[stages]
fit = train epochs=1
cut = prune with=rows
less = remove fold=yes
more = train epochs=3
end = evaluate
"""
    path = write(tmp, "cut.ini", text)
    rein("run", path, "--variant", "plain", cwd=tmp)
    model = read(tmp, "runs/cut/plain/model.safetensors")
    p = subprocess.Popen([REIN, "run", path, "--variant", "plain", "--out", "b", "run.checkpoint_seconds=0"], cwd=tmp,
                         env=clean_env(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    for line in p.stdout:
        if line.startswith("less:"):
            break
    p.kill()
    p.wait()
    rein("run", path, "--variant", "plain", "--out", "b", "run.checkpoint_seconds=0", "--resume", cwd=tmp)
    assert read(tmp, "b/cut/plain/model.safetensors") == model
    start = os.path.join(tmp, "b/cut/plain/model.safetensors")
    out, _ = rein("run", path, "--variant", "plain", f"run.weights={start}", "--out", "c", "stages.cut=", "stages.less=",
                  cwd=tmp)
    assert tensors(tmp, "c/cut/plain/model.safetensors") == tensors(tmp, "runs/cut/plain/model.safetensors")


def test_validate(tmp):
    out, _ = rein("validate", ONE, SMALL, cwd=tmp)
    assert out.count(": good") == 2 and "2 variants" in out and "4 runs" in out, out
    assert tree(tmp) == []


def test_doctor(tmp):
    out, _ = rein("doctor", SMALL, cwd=tmp)
    for word in ("rein", "threads", "plugins", "components", "backend", "cpu", "REIN_DATA", "runs"):
        assert word in out, out
    path = write(tmp, "x.ini", "[data]\ntrain = idx images=digits/a.gz labels=digits/b.gz\n")
    out, _ = rein("doctor", path, cwd=tmp)
    assert f"missing: {tmp}/digits/a.gz" in out, out
    assert tree(tmp) == ["x.ini"]


def test_track_and_report(tmp):
    text = read(SMALL).decode().split("[variant")[0] + "\n[reports]\nweights = describe\n"
    path = write(tmp, "x.ini", text)
    out, _ = rein("run", path, "run.track=yes", "run.epochs=5", cwd=tmp)
    tables = json.loads(read(tmp, "runs/x/tables.json"))
    assert {t["source"] for t in tables} == {"compare", "weights"}
    assert tensors(tmp, "runs/x/main/seed-1/track.safetensors")["fc1.weight"]["shape"] == [6, 48]
    rein("run", path, "run.track=yes", "run.epochs=5", "--resume", cwd=tmp)
    assert json.loads(read(tmp, "runs/x/tables.json")) == tables


def values(path):
    """Name -> (shape, values) of a model.safetensors, read here and not by rein."""
    data = read(path)
    n = struct.unpack("<Q", data[:8])[0]
    out = {}
    for name, t in json.loads(data[8:8 + n]).items():
        if name != "__metadata__" and t["dtype"] == "F32":
            a, b = t["data_offsets"]
            out[name] = t["shape"], struct.unpack(f"<{(b - a) // 4}f", data[8 + n + a:8 + n + b])
    return out


def test_reports_on_weights(tmp):
    text = read(SMALL).decode().split("[variant")[0] + """
[pruners]
small = threshold value=0.1
[stages]
fit = train epochs=2
cut = prune with=small
[reports]
left = sparsity
spread = distribution threshold=0.2 parameter=fc1.weight
"""
    path = write(tmp, "x.ini", text)
    rein("run", path, "run.seed=1", cwd=tmp)
    tables = json.loads(read(tmp, "runs/x/tables.json"))
    left, stages = [t for t in tables if t["source"] == "left"]
    spread, counts = [t for t in tables if t["source"] == "spread"]
    weights = values(tmp + "/runs/x/main/model.safetensors")
    assert len(left["rows"]) == len(weights) + 1 and len(spread["rows"]) == len(weights)
    total = [0] * 5
    for row, other in zip(left["rows"], spread["rows"]):
        shape, w = weights[row[0]]
        n, alive = len(w), sum(v != 0 for v in w)
        lines = shape[0] if len(shape) > 1 else 1
        size = [n, alive, 4 * n, 8 * alive + 4 * (lines + 1), 4 * alive + (n + 7) // 8]
        assert alive < n or "bias" in row[0], f"{row[0]}: nothing was pruned"
        assert row[1] == "x".join(map(str, shape)) and [row[2]] + [row[4]] + row[8:11] == size, (row, size)
        assert row[3] == n and row[11] == "threshold value=0.1", row
        assert abs(row[5] - 100 * (1 - alive / n)) < 1e-9
        assert row[6:8] == [min(w), max(w)] and other[:4] == [row[0], n, min(w), max(w)], (row, other)
        assert abs(other[4] - sum(abs(v) < 0.2 for v in w) / n) < 1e-9
        total = [a + b for a, b in zip(total, size)]
    last = left["rows"][-1]
    assert [last[2], last[4]] + last[8:11] == total and last[11] == "", last
    fit, cut = stages["rows"]
    assert fit[:3] == ["fit", total[0], total[0]] and cut[:3] == ["cut", total[0], total[1]], stages["rows"]
    assert cut[4:7] == total[2:] and cut[7] == fit[7] >= cut[8] > 0 and cut[9] > 0 and 0 <= cut[11] <= 100, cut
    rows = [json.loads(line) for line in read(tmp, "runs/x/main/metrics.jsonl").splitlines()]
    assert [fit[11], cut[11]] == [100 * r["val.accuracy"] for r in rows[-2:]]
    w = weights["fc1.weight"][1]
    step = (max(w) - min(w)) / 255
    want = [0] * 256
    for v in w:
        want[min(range(256), key=lambda i: abs(min(w) + step * i - v))] += 1
    assert [row[1] for row in counts["rows"]] == want
    assert abs(counts["rows"][255][0] - max(w)) < 1e-9
    rein("run", path, "reports.spread.parameter=fc9.weight", "run.out=other", cwd=tmp, code=1)


def test_reports_on_epochs_and_classes(tmp):
    """Rows of the epochs report are those of metrics.jsonl; the classification's accuracy is the run's."""
    text = read(SMALL).decode().split("[variant")[0] + """
[reports]
log = epochs metrics=val.accuracy,gradient_norm.*.weight sum=train.loss
classes = classification digits=4
taken = confusion
"""
    path = write(tmp, "x.ini", text)
    rein("run", path, "run.seed=1", "run.epochs=3", "run.batch=50", cwd=tmp)
    tables = {t["source"]: t for t in json.loads(read(tmp, "runs/x/tables.json"))}
    rows = [json.loads(line) for line in read(tmp, "runs/x/main/metrics.jsonl").splitlines()]
    log = tables["log"]
    assert log["columns"] == ["epoch", "sum of train.loss", "val.accuracy", "gradient_norm.fc1.weight",
                              "gradient_norm.out.weight"], log["columns"]
    assert [r[0] for r in log["rows"]] == ["train 1", "train 2", "train 3", "evaluate"]
    for row, told in zip(log["rows"], rows):
        want = [4 * told["train.loss"] if "train.loss" in told else None] + [told.get(c) for c in log["columns"][2:]]
        for mine, other in zip(row[1:], want, strict=True):  # tables have 15 digits
            assert mine == other or abs(mine - other) < 1e-14 * abs(other), (row, told)
    accuracy, = [r for r in tables["classes"]["rows"] if r[0] == "accuracy"]
    assert accuracy[3:] == [rows[-1]["val.accuracy"], 100], accuracy
    for spec, said in (("classification split=vall", "split=vall is not classified; did you mean 'val'? there are: val"),
                       ("confusion split=train", "split=train is not classified; there are: val")):
        out = rein("validate", path, "reports.classes=" + spec, cwd=tmp, code=2)[1]
        assert said in out, out
    linear = write(tmp, "linear.ini", text.split("[data]")[0] + """
[data]
train = linear_system samples=10
[network]
out = linear units=1
[loss]
mse = mse
[optimizer]
sgd = sgd lr=0.05
[reports]
classes = classification
""")
    assert "report 'classification' is about classes, and the data has none" in rein("validate", linear, cwd=tmp, code=2)[1]


# --- what a terminal shows -----------------------------------------------------------------


def on_terminal(tmp, *words, **more):
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(tmp)
        os.execve(REIN, [REIN, *words], clean_env(TERM="xterm", **more))
    data = b""
    while True:
        ready, _, _ = select.select([fd], [], [], 60)
        try:
            part = os.read(fd, 65536) if ready else b""
        except OSError:
            part = b""
        if not part:
            break
        data += part
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), data.decode()


def test_kernel_times(tmp):
    text = rein("run", SMALL, "--time", "--out", tmp, cwd=tmp)[0]
    train = re.search(r"^program train: (\d+) runs of \d+ kernels, each [\d.]+ us of the host\n  [\d.]+ us.*\n((?:  k\d+ .*\n)+)", text, re.M)
    assert train, text
    rows = re.findall(r"k\d+ +(\d+\.\d+) us +(\d+\.\d) %  (.*)", train[2])
    assert any("matmul" in what for _, _, what in rows), text
    assert 50 < sum(float(share) for _, share, _ in rows) <= 100.5, text
    assert "program train:" not in rein("run", SMALL, "--out", tmp, cwd=tmp)[0]


def test_terminal(tmp):
    code, text = on_terminal(tmp, "run", SMALL, "run.epochs=20")
    assert code == 0 and "\r\033[K" in text and "\033[36m" in text
    code, text = on_terminal(tmp, "run", SMALL, "run.epochs=20", NO_COLOR="1")
    assert code == 0 and "\r\033[K" in text and not re.search(r"\033\[[0-9;]*m", text)
    code, text = on_terminal(tmp, "run", SMALL, "run.epochs=20", "--quiet")
    assert code == 0 and "\033" not in text and "epoch" not in text.split("variant")[0]


def test_pipe(tmp):
    out, err = rein("run", ONE, "--variant", "plain", "run.epochs=137", cwd=tmp)
    lines = [line for line in out.splitlines() if line.startswith("epoch ")]
    assert "\033" not in out and err == "" and 15 <= len(lines) <= 21, out
    assert lines[-1].startswith("epoch 137/137 ")
    gaps = [int(line.split("/")[0][6:]) for line in lines]
    assert max(b - a for a, b in zip(gaps, gaps[1:])) <= 8


def main():
    tests = [(n, f) for n, f in globals().items() if n.startswith("test_") and (len(sys.argv) < 3 or n in sys.argv[2:])]
    failed = 0
    for name, f in tests:
        tmp = tempfile.mkdtemp(prefix="rein-e2e-")
        start = time.monotonic()
        print(f"{name} ...", end="", flush=True)
        try:
            f(tmp)
            print(f" ok ({time.monotonic() - start:.1f} s)", flush=True)
        except Exception as e:  # the next cases are worth knowing too
            failed += 1
            print(f" FAILED: {type(e).__name__}: {e}", flush=True)
            if not isinstance(e, AssertionError):
                import traceback
                traceback.print_exc()
        finally:
            shutil.rmtree(tmp, ignore_errors=True)
    print(f"{len(tests) - failed} of {len(tests)} passed")
    return failed != 0


PHOTOS = """[run]
config = 1
epochs = 3
batch = 3
eval_batch = 4
{run}
[data]
train = image_folder path={folder} channels=rgb {keys}
val = image_folder path={folder} channels=rgb skip=2 {keys}
[transforms]
size = resize size=224,224
[network]
conv = conv2d filters=2 kernel=32 stride=32
flat = flatten
out = linear units=2
[loss]
ce = cross_entropy
[optimizer]
sgd = sgd lr=0.05
[attacks]
fgsm = fgsm epsilon=2/255
[pruners]
by_gradient = taylor amount=0.5 on=out.weight
[reports]
each = classification
"""


def photos(folder):
    """Twelve images of every kind in two classes, with some that cannot be read among them."""
    data = os.path.join(os.path.dirname(HERE), "fixtures", "data")
    good = [f"kinds/deep/{k}/a.png" for k in "grey grey1 grey16 greyalpha palette rgb rgb16 rgba interlaced".split()]
    good += ["kinds/jpeg/a.jpg", "kinds/progressive/a.jpg", "exif/6/a.jpg"]
    bad = ["cut_jpeg/c/a.jpg", "cut_png/c/a.png", "cmyk/c/a.jpg", "not_png/c/a.png", "empty_png/c/a.png"]
    for i, name in enumerate(good + bad):
        place = os.path.join(folder, "one" if i % 2 else "two")
        os.makedirs(place, exist_ok=True)
        shutil.copy(os.path.join(data, name), os.path.join(place, f"{7 * i % 17:02}.png"))
    return len(good), len(bad)


def test_images_that_stay_on_disk(folder):
    good, bad = photos(os.path.join(folder, "photos"))
    for name, run, keys in [("kept", "", "on_error=skip"), ("read", "data_memory = 1", "on_error=skip"),
                            ("stops", "data_memory = 1", "")]:
        with open(os.path.join(folder, name + ".ini"), "w") as f:
            f.write(PHOTOS.format(run=run, keys=keys, folder=os.path.join(folder, "photos")))
    rows = {}
    for name in ("kept", "read"):
        out, err = rein("run", name + ".ini", cwd=folder)
        assert f"train: {bad} of {good + bad} samples cannot be read and are left out" in out + err, out + err
        assert "classification of val" in out, out
        with open(os.path.join(folder, "runs", name, "main", "metrics.jsonl")) as f:
            rows[name] = [json.loads(line) for line in f]
        for row in rows[name]:
            assert ("data_wait_s" in row) == (name == "read"), row
            for key in ("data_wait_s", "samples_per_s", "time"):
                row.pop(key, None)
    assert rows["kept"] == rows["read"], rows
    for words in (["evaluate"], ["attack"], ["prune", "--with", "by_gradient"]):
        said = [rein(words[0], f"runs/{name}/main", *words[1:], cwd=folder)[0] for name in ("kept", "read")]
        said = [re.sub("(?m)[0-9.]+$|kept|read", "", text) for text in said]  # milliseconds are last
        assert len(said[0]) > 60 and said[0] == said[1], said
    for name in ("kept", "read"):
        rein("show", "sample", "3", name + ".ini", "--epoch", "0..2", "--out", "shown-" + name, cwd=folder)
    shown = sorted(os.listdir(os.path.join(folder, "shown-kept")))
    assert shown and all(read(folder, "shown-kept", f) == read(folder, "shown-read", f) for f in shown), shown
    _, err = rein("run", "read.ini", "reports.data=describe", cwd=folder, code=2)
    assert "counts on the samples of 'train' in memory" in err, err
    _, err = rein("run", "stops.ini", cwd=folder, code=2)
    assert re.search(r"photos/(one|two)/\d\d\.png'", err), err


if __name__ == "__main__":
    sys.exit(main())
