#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the dense experiments on the real data and holds them to the figures that a PyTorch
re-implementation of the courses gives (norms, epochs to memorize, closed forms).

    bands.py REIN SOURCE_DIR EXPERIMENT

Norms are stable over seeds where accuracies on 100 images are not, so norms are what is held.
Exit code 77 (skipped) where REIN_DATA is not set.
"""
import glob
import json
import os
import subprocess
import sys
import tempfile

# experiment: [(variant, metric, how over seeds, low, high)]; bands are +-2 % around the ranges
# that three PyTorch seeds gave.
NORMS = {
    "001-1-unregularized": [("main", "norm", 11.2 * .98, 11.3 * 1.02)],
    "001-2-l1": [("none", "norm", 11.2 * .98, 11.3 * 1.02), ("l1-0.001", "norm", 6.2 * .98, 6.3 * 1.02),
                 ("l1-0.005", "norm", 5.3 * .98, 5.5 * 1.02)],
    "001-3-l2": [("l2-0.001", "norm", 10.7 * .98, 10.8 * 1.02), ("l2-0.01", "norm", 7.0 * .98, 7.0 * 1.02)],
    "001-4-l1-l2": [("none", "norm", 10.7 * .98, 11.0 * 1.02), ("l1-l2", "norm", 6.1 * .98, 6.2 * 1.02)],
    "001-8-big-net": [("main", "norm", 8.6 * .98, 8.6 * 1.02)],
    "001-9-dropout": [("dropout", "norm", 12.8 * .98, 12.8 * 1.02)],
    "001-11-learning-rate": [("lr-5e-4", "norm", 9.1 * .98, 9.1 * 1.02), ("lr-1e-3", "norm", 9.8 * .98, 9.9 * 1.02),
                             ("lr-5e-3", "norm", 14.0 * .98, 14.1 * 1.02)],
}


def last_rows(out, variant):
    """The last metrics row of every seed of a variant."""
    rows = []
    for path in sorted(glob.glob(os.path.join(out, "*", variant, "**", "metrics.jsonl"), recursive=True)):
        with open(path) as f:
            lines = [json.loads(x) for x in f if x.strip()]
        rows.append(([x for x in lines if "norm" in x] or lines)[-1])
    return rows


def main():
    rein, source, name = sys.argv[1:4]
    if not os.environ.get("REIN_DATA"):
        print("skipped: REIN_DATA is not set, the real data is not here")
        return 77
    bad = 0
    with tempfile.TemporaryDirectory() as out:
        subprocess.run([rein, "run", os.path.join(source, "configs", name + ".ini"), "--out", out, "--quiet"], check=True)
        for variant, metric, low, high in NORMS[name]:
            rows = last_rows(out, variant)
            if not rows:
                print(f"{name} {variant}: no run found")
                bad += 1
            for row in rows:
                ok = low <= row[metric] <= high
                bad += not ok
                print(f"{name} {variant}: {metric} {row[metric]:.4f} in {low:.3f}..{high:.3f}: {'yes' if ok else 'NO'}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
