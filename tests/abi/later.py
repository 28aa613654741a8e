#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Builds a rein of a later minor version, in which every struct that may grow has grown, and
lets it train with the plugins of today and with the frozen one.

usage: later.py CC SOURCE_ROOT PLUGIN_FOLDER FROZEN_FOLDER CORE_SOURCE...
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

# Elements of arrays without a stride, and members of other structs: fixed in docs/abi.md.
FIXED = {
    "rein_ints", "rein_reals", "rein_number", "rein_tensor_view", "rein_attr", "rein_loop", "rein_prog_value",
    "rein_prog_instr", "rein_prog_commit", "rein_prog_state", "rein_search_dim", "rein_start",
}  # fmt: skip


def grow(text):
    """The header with one more member at the end of each struct that may grow."""
    grown = []

    def one(m):
        if m.group(1) in FIXED:
            return m.group(0)
        grown.append(m.group(1))
        return m.group(0)[: -len("\n};")] + "\n\tconst void *of_a_later_version;\n};"

    text = re.sub(r"^struct (rein_\w+) \{\n.*?\n\};", one, text, flags=re.M | re.S)
    return re.sub(r"(REIN_ABI_MINOR\s+)0u", r"\g<1>1u", text), grown


def main():
    cc, root, plugins, frozen, *sources = sys.argv[1:]
    with tempfile.TemporaryDirectory() as d:
        include = os.path.join(d, "include")
        shutil.copytree(os.path.join(root, "include"), include)
        names = []
        for name in os.listdir(os.path.join(include, "rein")):
            path = os.path.join(include, "rein", name)
            text, grown = grow(open(path).read())
            open(path, "w").write(text)
            names += grown
        if len(names) < 30 or "rein_regularizer_vt" not in names or "rein_key" not in names:
            print("only these have grown:", names)
            return 1
        rein = os.path.join(d, "rein")
        flags = ["-std=c11", "-O0", "-D_GNU_SOURCE", '-DREIN_PLUGIN_DIR="/nowhere"', '-DREIN_VERSION="later"', "-w"]
        core = os.path.join(root, "core")
        subprocess.run(
            cc.split() + flags + ["-I", include, "-I", core] + sources + [os.path.join(core, "main.c")]
            + ["-o", rein, "-linih", "-lcjson", "-lpng", "-ldl", "-lpthread", "-lm"],
            check=True,
        )  # fmt: skip
        env = dict(os.environ, REIN_PLUGIN_PATH=plugins)
        said = subprocess.run([rein, "--version"], capture_output=True, text=True).stdout
        if "ABI 1.1" not in said:
            print("not a later version:", said)
            return 1
        here = os.path.dirname(os.path.abspath(__file__))
        for config, folder in (("frozen.ini", frozen), ("today.ini", plugins)):
            run = [os.path.join(here, "frozen_run"), rein, folder, os.path.join(here, config)]
            if subprocess.run(run, env=env).returncode:
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
