#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints the size of every public struct, the place of each member and the value of each
constant, as the compiler sees them; with a file, compares with it.

usage: layout.py CC INCLUDE_DIR [FROZEN.txt]

What 1.0 had must stay where it was. Structs may grow at their end and new ones may come, but
only once the minor version is above that of the frozen file."""
import glob
import os
import re
import subprocess
import sys
import tempfile


def members(body):
    """Names of the members of a struct body, nested structs as one."""
    body = re.sub(r"\{[^{}]*\}", "", body)  # anonymous inner struct: its variable stays
    for decl in body.split(";"):
        decl = decl.strip()
        if not decl:
            continue
        f = re.search(r"\(\*\s*(\w+)\)\s*\(", decl)
        if f:
            yield f.group(1)
            continue
        decl = re.sub(r"\[[^\]]*\]", "", decl)
        for part in decl.split(","):
            name = re.findall(r"\w+", part)
            if name:
                yield name[-1]


def structs(folder):
    for path in sorted(glob.glob(os.path.join(folder, "rein", "*.h"))):
        text = open(path).read()
        text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
        text = re.sub(r"^\s*#.*(\\\n.*)*", "", text, flags=re.M)
        at = 0
        while True:
            m = re.compile(r"^struct (rein_\w+)\s*\{", re.M).search(text, at)
            if not m:
                break
            depth, end = 1, m.end()
            while depth:
                depth += {"{": 1, "}": -1}.get(text[end], 0)
                end += 1
            yield m.group(1), list(members(text[m.end() : end - 1]))
            at = end


def constants(folder):
    """Object-like macros that are numbers, and the numbers of ops."""
    for path in sorted(glob.glob(os.path.join(folder, "rein", "*.h"))):
        text = open(path).read()
        for name in re.findall(r"^#define (REIN_\w+)[ \t]+\(?-?(?:0[xX])?[0-9A-Fa-f]+[uU]?\)?(?=\s|$)", text, re.M):
            if name != "REIN_ABI_MINOR":
                yield name
        yield from dict.fromkeys(re.findall(r"^\s+(REIN_OP_\w+)\b.*,", text, re.M))


def layout(cc, folder):
    lines = []
    for name in constants(folder):
        lines.append(f'printf("{name} is %lld\\n", (long long){name});')
    for name, names in structs(folder):
        lines.append(f'printf("{name} size %zu\\n", sizeof(struct {name}));')
        for m in names:
            lines.append(
                f'printf("{name}.{m} at %zu, %zu bytes\\n", offsetof(struct {name}, {m}), '
                f"sizeof ((struct {name} *)0)->{m});"
            )
    lines.append('printf("minor %u\\n", REIN_ABI_MINOR);')
    source = "#include <rein/rein.h>\n#include <stdio.h>\nint main(void)\n{\n" + "\n".join(lines) + "\nreturn 0;\n}\n"
    with tempfile.TemporaryDirectory() as d:
        c, exe = os.path.join(d, "layout.c"), os.path.join(d, "layout")
        open(c, "w").write(source)
        subprocess.run(cc.split() + ["-std=c11", "-I", folder, c, "-o", exe, "-lm"], check=True)
        return subprocess.run([exe], check=True, capture_output=True, text=True).stdout.splitlines()


def compare(now, frozen):
    """Complaints."""
    minor = int(now[-1].split()[1])
    old_minor = int(frozen[-1].split()[1])
    is_now = dict(line.split(" ", 1) for line in now[:-1])
    was = dict(line.split(" ", 1) for line in frozen[:-1])
    for key, value in was.items():
        if key not in is_now:
            yield f"{key} is gone"
        elif value.startswith("size"):
            a, b = int(value.split()[1]), int(is_now[key].split()[1])
            if b < a or (b > a and minor == old_minor):
                yield f"{key} has {b} bytes, had {a}"
        elif is_now[key] != value:
            yield f"{key} is {is_now[key]}, was {value}"
    if minor == old_minor:
        for key in is_now:
            if key not in was:
                yield f"{key} is new, but the minor version is still {minor}"


def main():
    now = layout(sys.argv[1], sys.argv[2])
    if len(sys.argv) < 4:
        print("\n".join(now))
        return 0
    frozen = open(sys.argv[3]).read().splitlines()
    wrong = list(compare(now, frozen))
    for line in wrong:
        print(line)
    # The comparison itself must see a moved member and a lost one.
    probe = [line.replace(" at 0,", " at 8,") for line in frozen]
    if not list(compare(probe, frozen)) or not list(compare(frozen[1:], frozen)):
        print("the comparison sees nothing")
        return 1
    if len(frozen) < 150:
        print(f"only {len(frozen)} lines are frozen")
        return 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
