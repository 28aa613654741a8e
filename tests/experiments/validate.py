#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every config passes `rein validate`, and every experiment has an embedded form.

    validate.py REIN SOURCE_DIR
"""
import glob
import os
import subprocess
import sys


TRANSFERS = ("000-1-augmentation.ini", "000-1-alexnet.ini")


def main():
    rein, source = sys.argv[1:3]
    bad = 0
    real = sorted(glob.glob(os.path.join(source, "configs", "*.ini")))
    embedded = sorted(glob.glob(os.path.join(source, "configs", "embedded", "*.ini")))
    missing = {os.path.basename(x) for x in real} - {os.path.basename(x) for x in embedded}
    for name in sorted(missing):
        print(f"configs/{name} has no embedded form")
    bad += len(missing)
    examples = sorted(glob.glob(os.path.join(source, "plugins", "*", "*", "*.ini")))
    if not os.environ.get("REIN_DATA"):
        print("REIN_DATA is not set: the configs on real data are skipped, their embedded forms are not")
        real = []
    for path in real + embedded + examples:
        # weights that another config trains, or that the user brings
        words = ["run.weights=", "run.weights_on="] if os.path.basename(path) in TRANSFERS else []
        done = subprocess.run([rein, "validate", path, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if f"{os.sep}backends{os.sep}" in path and any(w in done.stdout for w in ("cannot be used: ", "unknown backend")):
            print(f"{os.path.relpath(path, source)} is skipped: its backend was not built, or its device is not here")
            continue
        if done.returncode:
            print(done.stdout)
        bad += done.returncode != 0
    print(f"{len(real) + len(embedded) + len(examples)} configs, {bad} bad")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
