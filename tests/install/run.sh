#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The extension author's path: the plugins of docs/writing-a-plugin.md, as they stand there, compiled
# outside the tree from the installed headers alone, are found through REIN_PLUGIN_PATH, show in
# `rein inspect`, train, attack and prune, and have their keys range-checked by the core.
# run.sh BUILD_DIR SOURCE_DIR
set -eu
build=$1 source=$2
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
chmod 755 "$tmp"

fail() { echo "install: $*" >&2; exit 1; }

meson install -C "$build" --no-rebuild --quiet --destdir "$tmp/root" >/dev/null
inc=$(dirname "$(find "$tmp/root" -name rein.h | head -n 1)")
[ -n "$inc" ] || fail "no headers were installed"
mkdir "$tmp/plugins" "$tmp/author"
cp "$source/tests/install/author.ini" "$tmp/author"
cd "$tmp/author"
# Each block of C that is a whole plugin becomes a file.
awk '/^```c$/ { n++; on = 1; next } /^```/ { on = 0; next } on { print > (n ".c") }' "$source/docs/writing-a-plugin.md"
for file in *.c; do
	name=$(sed -n 's/^REIN_PLUGIN("\([a-z_]*\)".*/\1/p' "$file")
	[ -n "$name" ] || fail "a block of C in writing-a-plugin.md is no plugin: $(head -n 3 "$file")"
	${CC:-cc} -std=c11 -Wall -Wextra -Wno-unused-parameter -Werror -O2 -fPIC -shared -fvisibility=hidden -Wl,-z,defs \
		-I"$inc/.." "$file" -o "$tmp/plugins/$name.so"
done
[ "$(ls "$tmp/plugins" | wc -l)" -eq 5 ] || fail "not five plugins: $(ls "$tmp/plugins")"

REIN_PLUGIN_PATH=$tmp/plugins
export REIN_PLUGIN_PATH
"$build/rein" inspect regularizer/huber >"$tmp/inspect" || fail "rein inspect does not find it"
grep -q 'delta' "$tmp/inspect" || fail "rein inspect does not list its keys"
"$build/rein" run author.ini --out "$tmp/runs" >"$tmp/log" 2>&1 || { cat "$tmp/log"; fail "they do not train"; }
for what in soft.penalty norm.gain.weight step@0.2.robust_accuracy '"sparsity": *0.[1-9]'; do
	grep -q "$what" "$tmp"/runs/author/*/metrics.jsonl || fail "$what is not in the metrics"
done

set +e
"$build/rein" run author.ini --out "$tmp/runs2" regularizers.soft.lambda=-1 >"$tmp/log" 2>&1
rc=$?
set -e
[ $rc -eq 2 ] || fail "lambda=-1 gave exit code $rc, not 2"
grep -q 'lambda.*-1.*outside' "$tmp/log" || { cat "$tmp/log"; fail "no range error for lambda=-1"; }
echo "install: ok"
